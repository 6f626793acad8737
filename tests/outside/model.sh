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

# check PART STORE RULE SENTENCE: explore one part, on a store that is GOOD or
# less; with a rule broken, an assertion must fail, else none may.
check() {
	local part=-DPART=$1 store=-DSTORE_$2 d="$dir/$1-$2-$3" order=
	shift
	shift
	mkdir "$d"
	cd "$d" || exit 1
	[ "$1" = none ] || order=-DREVERSE      # finds the faults sooner
	# shellcheck disable=SC2086
	if ! { spin -a "$part" "$store" "-DBROKEN_$1" "$model" &&
	    ${CC:-cc} -w -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -DNOFAIR $order \
	        -o pan pan.c && ./pan -m10000 -w24; } >log 2>&1; then
		echo "FAILED $2: spin or the compiler failed"
		tail -5 log
		return
	fi
	if grep -q 'max search depth too small\|out of memory' log; then
		echo "FAILED $2: not all could be explored"
	elif [ "$1" = none ] && grep -q 'errors: 0' log; then
		echo "ok $2 ($(awk '/states, stored/ {print $1}' log) states)"
	elif [ "$1" != none ] && grep -q 'assertion violated' log; then
		echo "ok $2"
	else
		echo "FAILED $2"
		grep -E 'errors:|violated' log
		spin -k takeover.pml.trail -p -g "$part" "$store" \
		    "-DBROKEN_$1" "$model" 2>&1 | tail -60
	fi
}
export -f check

xargs -P 2 -L 1 bash -c 'check "$@"' check <<'END' >"$dir/out"
3 GOOD none checkpoints_survive_any_take-over_and_no_late_one_counts
1 GOOD none changes_of_records_survive_any_take-over
5 GOOD none who_takes_over_a_job_that_ended_has_its_last_checkpoint
4 GOOD none a_directory_that_merely_claimed_is_not_believed
1 GOOD CHECK without_a_look_behind_the_base_changes_would_be_lost
2 GOOD CHECK without_a_look_behind_the_base_a_late_checkpoint_would_count
1 GOOD ORDER reading_before_claiming_would_lose_changes
2 GOOD ORDER reading_before_claiming_would_lose_checkpoints
2 GOOD BASE counting_what_the_base_does_not_name_would_take_late_checkpoints
4 GOOD OWNER believing_the_directory_that_claimed_last_would_lose_changes
2 GOOD GUARD deleting_without_a_look_would_lose_checkpoints
2 GOOD EARLY looking_before_the_newer_one_is_there_would_lose_checkpoints
2 GOOD UNSENT forgetting_uploads_under_way_would_lose_checkpoints
3 GOOD SHARE sharing_any_file_across_epochs_would_lose_checkpoints
5 GOOD AHEAD a_record_ahead_of_its_bytes_would_end_a_job_without_them
5 GOOD LOOK looking_for_checkpoints_before_reading_records_would_end_a_job_without_them
1 LATE none changes_of_records_survive_where_lists_are_late
2 LATE none checkpoints_survive_where_lists_are_late
1 HEAD none changes_of_records_survive_where_a_claim_is_a_HEAD_and_a_PUT
2 HEAD none checkpoints_survive_where_a_claim_is_a_HEAD_and_a_PUT
1 CHANCE none of_two_that_claim_one_epoch_one_begins
1 LATE NAMES believing_a_late_list_of_bases_would_lose_all_changes
2 LATE NAMES believing_a_late_list_of_bases_would_lose_all_checkpoints
2 LATE NEXT believing_a_late_list_of_claims_would_lose_checkpoints
1 HEAD GAPS claims_without_gaps_would_let_the_base_of_who_lost_come_last
1 CHANCE REREAD not_reading_the_claim_again_would_make_two_owners
1 CHANCE BLIND putting_a_base_without_asking_would_make_two_owners
1 IGNORES PROBE owning_where_put-if-absent_is_ignored_would_make_two_owners
END
cat "$dir/out"
! grep -q '^FAILED' "$dir/out"
