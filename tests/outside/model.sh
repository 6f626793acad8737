#!/bin/bash
# Who goes on with the jobs: the protocol of src/mirror/PROTOCOL, every order of
# steps and a crash after each (tests/model/takeover.pml, by spin); and that the
# model notices when one of its rules is left out.
set -u
cd "$(dirname "$0")/../.." || exit 1
model=$PWD/tests/model/takeover.pml
command -v spin >/dev/null || {
	echo "skipped the_protocol_holds: spin is not installed (make deps-test)"
	exit 0
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export model dir

# check PART RULE SENTENCE: explore one part; with a rule broken, an assertion
# must fail, else none may.
check() {
	local d="$dir/$1-$2" order=
	mkdir "$d"
	cd "$d" || exit 1
	[ "$2" = none ] || order=-DREVERSE      # finds the faults sooner
	# shellcheck disable=SC2086
	if ! { spin -a "-DPART=$1" "-DBROKEN_$2" "$model" &&
	    ${CC:-cc} -w -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -DNOFAIR $order \
	        -o pan pan.c && ./pan -m10000 -w24; } >log 2>&1; then
		echo "FAILED $3: spin or the compiler failed"
		tail -5 log
		return
	fi
	if grep -q 'max search depth too small\|out of memory' log; then
		echo "FAILED $3: not all could be explored"
	elif [ "$2" = none ] && grep -q 'errors: 0' log; then
		echo "ok $3 ($(awk '/states, stored/ {print $1}' log) states)"
	elif [ "$2" != none ] && grep -q 'assertion violated' log; then
		echo "ok $3"
	else
		echo "FAILED $3"
		grep -E 'errors:|violated' log
		spin -t -p -g "-DPART=$1" "-DBROKEN_$2" "$model" 2>&1 | tail -60
	fi
}
export -f check

xargs -P 2 -L 1 bash -c 'check "$@"' check <<'END' >"$dir/out"
3 none checkpoints_survive_any_take-over_and_no_late_one_counts
1 none changes_of_records_survive_any_take-over
5 none who_takes_over_a_job_that_ended_has_its_last_checkpoint
4 none a_directory_that_merely_claimed_is_not_believed
1 CHECK without_a_look_behind_the_base_changes_would_be_lost
2 CHECK without_a_look_behind_the_base_a_late_checkpoint_would_count
1 ORDER reading_before_claiming_would_lose_changes
2 ORDER reading_before_claiming_would_lose_checkpoints
2 BASE counting_what_the_base_does_not_name_would_take_late_checkpoints
4 OWNER believing_the_directory_that_claimed_last_would_lose_changes
2 GUARD deleting_without_a_look_would_lose_checkpoints
2 EARLY looking_before_the_newer_one_is_there_would_lose_checkpoints
2 UNSENT forgetting_uploads_under_way_would_lose_checkpoints
3 SHARE sharing_any_file_across_epochs_would_lose_checkpoints
5 AHEAD a_record_ahead_of_its_bytes_would_end_a_job_without_them
5 LOOK looking_for_checkpoints_before_reading_records_would_end_a_job_without_them
END
cat "$dir/out"
! grep -q '^FAILED' "$dir/out"
