# The from-outside tests' vocabulary.  A test file is
#
#	. "$(dirname "$0")/../lib.sh"
#	t_case "a queued job survives kill -9 of the daemon"
#	a_queued_job_survives() { ... }
#	t_run
#
# Each case is a function, run in a subshell with -e, in an empty directory of
# its own ($PWD, removed afterwards), with a daemon of its own if it starts one.
# What it starts is killed by pid at its end.  Each prints `ok NAME`, `FAILED
# NAME` or `skipped NAME`; what a failed case said is shown.
# Arguments of the test file choose cases by part of their name.
#
# shellcheck shell=bash
set -u
T_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$T_ROOT/build}
RK_SHARED=${RK_SHARED:-$T_ROOT/../shared}
FASHION=/usr/share/datasets/fashion-mnist
# Sanitizers make everything slower; waits are multiplied by this.
T_SLOW=${T_SLOW:-1}
T_CORES=$(nproc)
T_WANT=("$@")
T_NAMES=()
export BUILD RK_SHARED

# --- cases ----------------------------------------------------------------------

# Register the function that is defined next in the file; the sentence, spaces
# made underscores, is its name.
t_case() {
	T_NAMES+=("${1// /_}")
}

t_fail() {
	echo "not so: $*" >&2
	exit 1
}
t_skip() {
	echo "$*" >&2
	exit 77
}
# eq GOT WANT [what]
eq() {
	[ "$1" = "$2" ] || t_fail "${3:-value} is '$1', want '$2'"
}
has() {
	case $1 in
	*"$2"*) ;;
	*) t_fail "'$2' is not in '$1'" ;;
	esac
}
# Thousandths of a quiet machine's time that N milliseconds were worth, by the
# threads that want to run now for each core.  outside/patience.py has the same.
t_worth() {
	local run
	read -r _ _ _ run _ </proc/loadavg
	run=${run%/*}
	[ "$run" -gt "$T_CORES" ] || run=$T_CORES
	echo $(($1 * T_CORES / run))
}
t_now_ms() {
	echo $((${EPOCHREALTIME/[.,]/} / 1000))
}
# wait_for SECONDS COMMAND...: poll until the command holds; says what never came.
# The seconds are those of a machine that has nothing else to do.
wait_for() {
	local left=$(($1 * T_SLOW * 1000)) begun at now
	shift
	begun=$(t_now_ms)
	at=$begun
	until "$@" >/dev/null 2>&1; do
		now=$(t_now_ms)
		left=$((left - $(t_worth $((now - at)))))
		at=$now
		if [ $left -lt 0 ]; then
			t_fail "after $(((now - begun) / 1000)) s still not: $*"
		fi
		sleep 0.03
	done
}
# limit SECONDS: for a time-out that somebody else keeps, as curl: wall seconds in
# which what takes SECONDS on a quiet machine is done for sure.
limit() {
	echo $(($1 * T_SLOW * 3 * 1000 / $(t_worth 1000)))
}

t_cleanup() {
	local p
	set +e                  # what has ended already is no failure
	for p in $(jobs -p) $(cat pids 2>/dev/null); do
		kill -9 "$p" 2>/dev/null
	done
	# Trainers outlive their daemon on purpose; these are this case's own.
	for p in $(pgrep -f -- "--run-dir $PWD/" 2>/dev/null); do
		kill -9 "$p" 2>/dev/null
	done
	for m in $(awk -v d="$PWD/" 'index($2, d) == 1 {print $2}' /proc/mounts); do
		umount -l "$m" 2>/dev/null
	done
	return 0
}

# What a sanitizer said in any log is a failure.
t_sanitizers() {
	if [ -n "${SAN:-}" ] && [ -n "${DAEMON:-}" ] && kill -0 "$DAEMON" 2>/dev/null; then
		daemon_stop             # an orderly end, for LeakSanitizer to look
	fi
	if grep -lE 'ERROR: [A-Za-z]+Sanitizer|runtime error:' ./*.log state/jobs/*/train.log 2>/dev/null; then
		grep -hE -A 20 'ERROR: [A-Za-z]+Sanitizer|runtime error:' ./*.log state/jobs/*/train.log >&2
		t_fail "a sanitizer complained"
	fi
}

t_run() {
	local n dir rc bad=0 want w
	local fns
	# The functions in the order of their definition, one a t_case.
	mapfile -t fns < <(awk '/^t_case /{want=1; next}
	    want && /^[A-Za-z_][A-Za-z_0-9]*\(\)/{sub(/\(.*/, ""); print; want=0}' "$0")
	for i in "${!T_NAMES[@]}"; do
		n=${T_NAMES[$i]}
		want=1
		if [ ${#T_WANT[@]} -gt 0 ]; then
			want=0
			for w in "${T_WANT[@]}"; do
				case $n in *"${w// /_}"*) want=1 ;; esac
			done
		fi
		[ $want = 1 ] || continue
		dir=$(mktemp -d /tmp/rk-test-XXXXXX)
		(
			cd "$dir" || exit 1
			trap t_cleanup EXIT
			set -e
			"${fns[$i]}"
			t_sanitizers
		) >"$dir.out" 2>&1 </dev/null
		rc=$?
		case $rc in
		0) echo "ok $n" ;;
		77) echo "skipped $n: $(tail -n 1 "$dir.out")" ;;
		*)
			echo "FAILED $n"
			tail -n 40 "$dir.out" | sed 's/^/    /'
			for f in "$dir"/*.log; do
				[ -f "$f" ] || continue
				echo "    --- $(basename "$f")"
				tail -n 15 "$f" | sed 's/^/    /'
			done
			bad=1
			;;
		esac
		if [ -z "${T_KEEP:-}" ]; then
			rm -rf "$dir"
		else
			echo "    kept: $dir"
		fi
		rm -f "$dir.out"
	done
	exit $bad
}

# --- the daemon -------------------------------------------------------------------

# daemon_start [flags]: on a free port, state in ./state, log in ./daemon.log;
# sets DAEMON (pid) and URL, and waits until it is ready.
daemon_start() {
	: >daemon.out
	# No daemon of a test asks the metadata service of the machine it is on.
	case " $* " in
	*" --config "*) ;;
	*)
		echo 'preempt: {cloud: none}' >no-cloud.yaml
		set -- --config "$PWD/no-cloud.yaml" "$@"
		;;
	esac
	"$BUILD/rekindled" --state-dir "$PWD/state" --listen 127.0.0.1:0 \
	    --socket "$PWD/sock" --trainer "$BUILD/rekindle-train" --nice 0 "$@" \
	    >daemon.out 2>>daemon.log &
	DAEMON=$!
	echo $DAEMON >>pids
	wait_for 20 daemon_said_where
	URL=$(grep -o 'http://[0-9.:]*' daemon.out | head -n 1)
	export REKINDLE_SERVER=$URL
	wait_for 20 curl -sf "$URL/readyz"
}
daemon_said_where() {
	kill -0 "$DAEMON" 2>/dev/null || t_fail "the daemon ended: $(tail -n 3 daemon.log)"
	grep -q 'http://' daemon.out
}
daemon_kill9() {
	kill -9 "$DAEMON"
	wait "$DAEMON" 2>/dev/null || true
}
# daemon_stop: SIGTERM, and wait for it to leave by itself.
daemon_stop() {
	kill -TERM "$DAEMON"
	wait_for 60 daemon_gone
}
daemon_gone() {
	! kill -0 "$DAEMON" 2>/dev/null
}
trainers() {
	pgrep -f -- "--run-dir $PWD/" || true
}
no_trainers() {
	[ -z "$(trainers)" ]
}
trainer_of() {
	pgrep -f -- "--run-dir $PWD/state/jobs/$1" | head -n 1
}

rk() {
	"$BUILD/rekindle" "$@"
}

# api METHOD PATH [BODY [CONTENT-TYPE]]: body on stdout; STATUS in ./status.
api() {
	local m=$1 p=$2
	shift 2
	if [ "$m" = GET ]; then
		curl -sS -m "$(limit 60)" -o body -w '%{http_code}' "$URL$p" >status
	elif [ $# -gt 0 ]; then
		curl -sS -m "$(limit 60)" -o body -w '%{http_code}' -X "$m" \
		    -H "Content-Type: ${2:-application/json}" \
		    --data-binary "$1" "$URL$p" >status
	else
		curl -sS -m "$(limit 60)" -o body -w '%{http_code}' -X "$m" \
		    -H 'Content-Type: application/json' "$URL$p" >status
	fi
	cat body
}
status() {
	cat status
}
# submit FILE: the new job's id.
submit() {
	api POST /v1/jobs "@$1" application/yaml | jq -r '.id // empty' >id
	[ -s id ] || t_fail "submit $1: $(cat status) $(cat body)"
	cat id
}
field() {               # field ID .path
	curl -sS -m "$(limit 20)" "$URL/v1/jobs/$1" | jq -r "$2"
}
job_is() {              # job_is ID STATE
	[ "$(field "$1" .state)" = "$2" ]
}
job_ended() {
	case $(field "$1" .state) in
	succeeded | failed | cancelled) return 0 ;;
	esac
	return 1
}
step_at_least() {       # step_at_least ID N
	[ "$(field "$1" '.progress.step // 0')" -ge "$2" ]
}
succeeds() {            # succeeds ID [SECONDS]
	wait_for "${2:-60}" job_ended "$1"
	eq "$(field "$1" .state)" succeeded "state of $1 ($(field "$1" .message))"
}
checkpoint_dir() {      # the folder of a job's newest checkpoint
	ls -d "$PWD/state/jobs/$1/checkpoints"/step-* | sort | tail -n 1
}
# The digest of a job's final weights and optimiser state.
weights() {
	local d
	d=$(checkpoint_dir "$1")
	cat "$d/model.safetensors" "$d/optimizer.safetensors" | sha256sum | cut -c1-64
}

# --- small jobs ---------------------------------------------------------------------

# numbers_csv N [SEED]: N rows of four features and a class of 0..2 that
# depends on them, on stdout.
numbers_csv() {
	awk -v n="$1" -v seed="${2:-1}" 'BEGIN {
		srand(seed); print "a,b,c,d,class"
		for (i = 0; i < n; i++) {
			a = rand(); b = rand(); c = rand(); d = rand()
			k = a + b > 1.2 ? 2 : (c > d ? 1 : 0)
			printf "%.4f,%.4f,%.4f,%.4f,%d\n", a, b, c, d, k
		}
	}'
}

# tiny_job [EXTRA YAML]: writes ./tiny.yaml (and ./tiny.csv): about a second of
# training in EPOCHS (default 30) epochs of 57 steps.
tiny_job() {
	[ -f tiny.csv ] || numbers_csv 1000 >tiny.csv
	cat >"${NAME:-tiny}.yaml" <<-EOF
		name: ${NAME:-tiny}
		resources: {threads: ${THREADS:-1}, memory: 128MiB}
		model: {arch: mlp, sizes: [4, ${HIDDEN:-32}, 3]}
		training:
		  epochs: ${EPOCHS:-30}
		  batch_size: 16
		  seed: ${SEED:-1}
		  optimizer: {type: adam, learning_rate: 0.003}
		data:
		  train: {type: csv, path: $PWD/tiny.csv, label: class}
		  validation_split: 0.1
		  split: {stratify: true}    # so that it has 57 steps an epoch
		checkpoint:
		  every: {steps: ${EVERY:-50}}
		  keep: {last: 3, best: 1}
		${1:-}
	EOF
}
# slow_job: like tiny_job, but seconds long: time to pause it, kill it, watch it.
slow_job() {
	EPOCHS=${EPOCHS:-900} HIDDEN=1024 EVERY=500 tiny_job "$@"
}
# long_job: like tiny_job, but minutes long.
long_job() {
	EPOCHS=${EPOCHS:-200000} HIDDEN=1024 EVERY=500 NAME=${NAME:-long} tiny_job "$@"
}
