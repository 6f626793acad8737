#!/bin/bash
# make demo: from nothing to a network that survived kill -9.
#
# Starts a daemon in a folder of its own, submits etc/jobs/fashion-mlp.yaml,
# kills daemon and trainer with -9 half way, starts the daemon again, and
# compares the final weights with those of a run that nobody disturbed.
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-$PWD/build}
JOB=$PWD/etc/jobs/fashion-mlp.yaml
DIR=$BUILD/demo
DAEMON=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }
fail() {
	echo "demo: $*" >&2
	tail -n 5 "$DIR/daemon.log" >&2 || true
	exit 1
}
cleanup() {
	[ -z "$DAEMON" ] || kill "$DAEMON" 2>/dev/null || true
	wait 2>/dev/null || true
}
trap cleanup EXIT

daemon_start() {
	: >"$DIR/daemon.out"
	"$BUILD/rekindled" --state-dir "$DIR/state" --listen 127.0.0.1:0 \
	    --socket "$DIR/sock" >"$DIR/daemon.out" 2>>"$DIR/daemon.log" &
	DAEMON=$!
	disown $DAEMON          # the shell need not tell how it died
	for _ in $(seq 200); do
		grep -q http:// "$DIR/daemon.out" && break
		kill -0 $DAEMON 2>/dev/null || fail "the daemon did not start"
		sleep 0.05
	done
	REKINDLE_SERVER=$(grep -o 'http://[^ ]*' "$DIR/daemon.out" | head -n 1)
	export REKINDLE_SERVER
	echo "rekindled (pid $DAEMON) listens on $REKINDLE_SERVER"
}
percent() {             # of the steps done
	"$BUILD/rekindle" show "$ID" --json | tr -d ' \n' |
	    grep -oE '"(step|steps_total)":[0-9]+' |
	    awk -F: '/"step"/{s=$2} /"steps_total"/{t=$2}
	        END {print (t > 0) ? int(100 * s / t) : 0}'
}
trainers() {            # of this job, by their command lines; forks nothing, so that
	local p words           # it takes no time however busy the machine is
	for p in /proc/[0-9]*; do
		mapfile -d '' -t words 2>/dev/null <"$p/cmdline" || continue
		case "${words[*]} " in
		*"--run-dir $DIR/state/jobs/$ID"*) printf '%s ' "${p#/proc/}" ;;
		esac
	done 2>/dev/null
}
final() {               # final CHECKPOINTS-FOLDER: digest of the last weights
	sha256sum "$(ls -d "$1"/step-* | sort | tail -n 1)/model.safetensors" |
	    cut -c1-64
}

rm -rf "$DIR"
mkdir -p "$DIR"

say "1. A daemon in $DIR"
daemon_start

say "2. A job: rekindle submit ${JOB#"$PWD"/}"
ID=$("$BUILD/rekindle" submit "$JOB" --json | tr -d ' \n' |
    sed -n 's/.*"id":"\([0-9a-z]*\)".*/\1/p')
[ -n "$ID" ] || fail "the job was not taken"
"$BUILD/rekindle" list

say "3. It trains; half way, kill -9 of daemon and trainer"
for _ in $(seq 1200); do
	p=$(percent)
	[ "${p:-0}" -lt 50 ] || break
	sleep 0.05
done
"$BUILD/rekindle" list
TRAINER=$(trainers)
[ -n "$TRAINER" ] || fail "the job was over before it could be killed"
# shellcheck disable=SC2086
kill -9 $DAEMON $TRAINER
echo "killed: rekindled $DAEMON, rekindle-train $TRAINER"
echo "what is on disk: $(ls "$DIR/state/jobs/$ID/checkpoints" | tr '\n' ' ')"

say "4. The daemon again; nobody tells it what to do"
daemon_start
"$BUILD/rekindle" watch "$ID"
"$BUILD/rekindle" events "$ID"

say "5. The same job, undisturbed, for comparison"
"$BUILD/rekindle-train" --run-dir "$DIR/undisturbed" "$JOB"

say "6. The proof"
ACCURACY=$("$BUILD/rekindle" metrics "$ID" --json |
    tr -d ' \n' | tr '{' '\n' | grep '"split":"validation"' | tail -n 1 |
    sed -n 's/.*"accuracy":\([0-9.]*\).*/\1/p')
A=$(final "$DIR/state/jobs/$ID/checkpoints")
B=$(final "$DIR/undisturbed/checkpoints")
echo "test accuracy               $ACCURACY"
echo "weights after kill -9       $A"
echo "weights of undisturbed run  $B"
[ "$A" = "$B" ] || fail "the weights differ"
awk -v a="$ACCURACY" 'BEGIN {exit !(a >= 0.87)}' || fail "accuracy below 0.87"
echo "identical"
