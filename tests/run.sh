#!/bin/bash
# Run the tests given (programs that print `ok`, `FAILED`, `skipped` lines) and
# count: the last line is `N passed, N failed`, with `, N skipped` if there are.
# -j N runs N at a time; the output of each comes out whole.
set -u
jobs=1
if [ "${1:-}" = -j ]; then
	jobs=$2
	shift 2
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export out

one() {
	local name log start end
	name=$(echo "$*" | sed 's|.*/||; s| |_|g')
	log=$out/$(echo "$*" | tr '/ ' '__')
	start=$(date +%s)
	# shellcheck disable=SC2068
	timeout "${T_LIMIT:-900}" $@ >"$log" 2>&1 </dev/null
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
export -f one
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
