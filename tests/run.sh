#!/bin/bash
# Run the tests given (programs that print `ok`, `FAILED`, `skipped` lines) and
# count: the last line is `N passed, N failed`, with `, N skipped` if there are.
# -j N runs N at a time; the output of each comes out whole.  One that takes longer
# than T_LIMIT seconds (900) of a machine that has nothing else to do is ended.
set -u
jobs=1
if [ "${1:-}" = -j ]; then
	jobs=$2
	shift 2
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export out

# Run a test, and end it when its patience is spent: a second counts less the
# more threads want to run than there are cores (outside/patience.py).
bounded() {
	local pid run left=$((${T_LIMIT:-900} * 1000 * ${T_SLOW:-1})) at now cores
	cores=$(nproc)
	# The shell would have it ignore SIGINT, and nohup(1) SIGHUP: tests send
	# both.
	set -m
	env --default-signal "$@" &
	pid=$!
	set +m
	at=$SECONDS
	while kill -0 $pid 2>/dev/null; do
		sleep 0.1
		now=$SECONDS
		[ "$now" != "$at" ] || continue
		read -r _ _ _ run _ </proc/loadavg
		run=${run%/*}
		[ "$run" -gt "$cores" ] || run=$cores
		left=$((left - (now - at) * 1000 * cores / run))
		at=$now
		if [ $left -lt 0 ]; then
			echo "it took longer than T_LIMIT"
			kill -- -$pid
			sleep 1
			kill -9 -- -$pid 2>/dev/null
		fi
	done
	wait $pid
}
one() {
	local name log start end
	name=$(echo "$*" | sed 's|.*/||; s| |_|g')
	log=$out/$(echo "$*" | tr '/ ' '__')
	start=$(date +%s)
	# shellcheck disable=SC2068
	bounded $@ >"$log" 2>&1 </dev/null
	local rc=$?
	end=$(date +%s)
	# A program that fails without saying which case counts as one failure,
	# and so does one that says nothing at all.
	if [ $rc != 0 ] && ! grep -q '^FAILED' "$log"; then
		echo "FAILED $name: exit status $rc" >>"$log"
	elif ! grep -qE '^(ok|FAILED|skipped) ' "$log"; then
		echo "FAILED $name: it ran no case" >>"$log"
	fi
	{
		echo "== $name ($((end - start)) s)"
		if [ -n "${VERBOSE:-}" ] || grep -q '^FAILED' "$log"; then
			cat "$log"
		else
			grep -E '^skipped' "$log"
		fi
	} >"$log.show"
	cat "$log.show"
}
export -f one bounded
printf '%s\n' "$@" | xargs -P "$jobs" -I{} bash -c 'one {}'

rm -f "$out"/*.show
passed=$(cat "$out"/* | grep -c '^ok ')
failed=$(cat "$out"/* | grep -c '^FAILED ')
skipped=$(cat "$out"/* | grep -c '^skipped ')
if [ "$failed" != 0 ]; then
	echo "failed:"
	cat "$out"/* | grep '^FAILED ' | sed 's/^FAILED /    /'
fi
if [ "$skipped" != 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ] && [ "$passed" != 0 ]
