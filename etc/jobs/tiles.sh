#!/bin/bash
# tiles.sh IMAGES: a model of four kinds of magnetic tiles learns two more.
#
# IMAGES is a folder or a tar of class folders (MT_Blowhole, MT_Break, MT_Crack,
# MT_Fray, MT_Free, MT_Uneven, each with its JPEGs).  A daemon of its own trains
# tiles-four.yaml without Crack and Fray, and then tiles-six.yaml out of that;
# in each phase of it daemon and trainer are killed with -9.  The same job is
# trained once more, undisturbed: its bytes are to be the same.  Both models are
# versions of the model `tiles`: the first is in production when the second
# grows out of it, which then takes its place, is rolled back, and put there
# again: story.txt and card.md in the folder tell it.
#
#	BUILD   where the programs are; ../../build, else where rekindled is found
#	JOBS    where the two jobs are; the folder of this script
#	DIR     where all of it happens, made anew; tiles.run
#	KILLS   epochs of tiles-six.yaml behind which it is killed; "1 10"
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
IMAGES=$(realpath "${1:?usage: tiles.sh IMAGES}")
BUILD=${BUILD:-$HERE/../../build}
[ -x "$BUILD/rekindled" ] || BUILD=$(dirname "$(command -v rekindled)")
JOBS=${JOBS:-$HERE}
DIR=${DIR:-$PWD/tiles.run}
KILLS=${KILLS:-1 10}
LATE='MT_Crack MT_Fray'
DAEMON=

say() { printf '\n%s\n' "$*"; }
fail() {
	echo "tiles: $*" >&2
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
	for _ in $(seq 400); do
		grep -q http:// "$DIR/daemon.out" && break
		kill -0 $DAEMON 2>/dev/null || fail "the daemon did not start"
		sleep 0.05
	done
	REKINDLE_SERVER=$(grep -o 'http://[^ ]*' "$DIR/daemon.out" | head -n 1)
	export REKINDLE_SERVER
}
rk() { "$BUILD/rekindle" "$@"; }
here() {                # here FILE: that job, with its data here, on what is in production
	sed -e "s,/var/lib/rekindle/data,$DIR/data,g" \
	    -e 's,job://tiles-four/latest,model://tiles@production,' "$JOBS/$1"
}
submit() {              # submit NAME FILE: that job by this name; its id
	here "$2" | sed "s/^name: .*/name: $1/" >"$DIR/$1.yaml"
	rk submit "$DIR/$1.yaml" --json | tr -d ' \n' |
	    sed -n 's/.*"id":"\([0-9a-z]*\)".*/\1/p'
}
evaluations() {         # of a job; the first is of before the first step
	grep -o '"split":"validation"' "$DIR/state/jobs/$1/metrics.jsonl" \
	    2>/dev/null | wc -l
}
trainers() {            # of a job, by their command lines
	local p words
	for p in /proc/[0-9]*; do
		mapfile -d '' -t words 2>/dev/null <"$p/cmdline" || continue
		case "${words[*]} " in
		*"--run-dir $DIR/state/jobs/$1"*) printf '%s ' "${p#/proc/}" ;;
		esac
	done 2>/dev/null
}
final() {               # of a job, the digests of what its last checkpoint has learned
	(cd "$(ls -d "$DIR/state/jobs/$1/checkpoints"/step-* | sort | tail -n 1)" &&
	    sha256sum model.safetensors optimizer.safetensors)
}

rm -rf "$DIR"
mkdir -p "$DIR/data/tiles-six"
if [ -d "$IMAGES" ]; then
	cp -r "$IMAGES/." "$DIR/data/tiles-six"
else
	tar -C "$DIR/data/tiles-six" -xf "$IMAGES"
fi
cp -r "$DIR/data/tiles-six" "$DIR/data/tiles-four"
for class in $LATE; do
	[ -d "$DIR/data/tiles-six/$class" ] || fail "$IMAGES has no folder $class"
	rm -r "$DIR/data/tiles-four/$class"
done

say "1. A model of four classes"
daemon_start
submit tiles-four tiles-four.yaml >/dev/null
rk watch tiles-four
rk models register tiles tiles-four/latest --alias production --author ana \
    --notes "four kinds of surface"

say "2. What it would give to a model of six"
here tiles-six.yaml >"$DIR/six.yaml"
rk plan "$DIR/six.yaml" | grep -v ' copy '

say "3. It grows; kill -9 of daemon and trainer in each phase"
ID=$(submit tiles-six tiles-six.yaml)
[ -n "$ID" ] || fail "the job was not taken"
for after in $KILLS; do
	until [ "$(evaluations "$ID")" -gt "$after" ]; do
		kill -0 $DAEMON || fail "the daemon has gone"
		sleep 0.05
	done
	TRAINER=$(trainers "$ID")
	[ -n "$TRAINER" ] || fail "the job was over before it could be killed"
	# shellcheck disable=SC2086
	kill -9 $DAEMON $TRAINER
	echo "killed after epoch $after: rekindled $DAEMON, rekindle-train $TRAINER"
	for _ in $(seq 400); do         # a process that is killed takes a moment to go
		kill -0 $DAEMON 2>/dev/null || break
		sleep 0.05
	done
	daemon_start
done
rk watch tiles-six
rk attempts tiles-six
rk events tiles-six

say "4. The same job, undisturbed"
SAME=$(submit tiles-six-undisturbed tiles-six.yaml)
rk watch tiles-six-undisturbed

say "5. What came of it"
rk show tiles-six | grep -E '^(knowledge|forgotten)' || true
rk evaluations tiles-six latest
A=$(final "$ID")
B=$(final "$SAME")
echo "after two times kill -9:"
echo "$A"
echo "undisturbed:"
echo "$B"
[ "$A" = "$B" ] || fail "the bytes differ"
echo "identical"

say "6. It goes into production, and back, and forth"
set -o pipefail
# told WORDS: rekindle WORDS, and what it says, for story.txt too
told() {
	printf '%s rekindle' '$'
	printf ' %s' "$@"
	printf '\n'
	rk "$@"
}
{
	told models register tiles tiles-six/latest --author ben
	told models promote tiles/2 production --author ben
	told models rollback tiles production --author ana
	told models promote tiles/2 production --author ben --note again
	told models history tiles production
	told models lineage tiles@production
} | tee "$DIR/story.txt"
rk models compare tiles/1 tiles/2
rk models card tiles@production >"$DIR/card.md"
rk models pull tiles@production "$DIR/pulled"
cmp "$DIR/pulled/model.safetensors" "$(ls -d "$DIR/state/jobs/$ID/checkpoints"/step-* |
    sort | tail -n 1)/model.safetensors" || fail "other bytes were pulled"
echo "what is in production is what was trained"
