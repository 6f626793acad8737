/* What lies in the bucket: what we put there and when it is there, what goes,
 * and what somebody else may have left. */
#include <errno.h>

#include "mirror_world.h"

/* --- records come first --------------------------------------------------- */

static bool answered, said;

static void
answer(void *ctx, bool yes)
{
	(void)ctx;
	answered = true;
	said = yes;
}

static bool
is_answered(struct world *w)
{
	(void)w;
	return answered;
}

T_CASE(the_guard_of_deletions_waits_for_the_record_and_says_no_to_who_has_lost)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_written(&a);
	/* the question may come before the mirror hears of the deletion */
	watch_guard(a.mirror, answer, NULL);
	t_check(!answered);
	t_eq_int(sup_delete(a.sup, id, NULL, NULL), RK_OK);
	w_until(is_answered, "an answer");
	t_check(said);
	t_check(w_there("instances/gpu-a/records/0000000001/"
	    "%s.9999999999.json", id));
	/* a claim's higher epoch: no */
	a.frozen = true;
	w_own(&b, "b");
	answered = false;
	watch_guard(a.mirror, answer, NULL);
	a.frozen = false;
	w_until(is_answered, "an answer");
	t_check(!said);
	free(id);
	w_world_end();
}

static bool flushed, flushed_all;

static void
on_flushed(void *ctx, bool all)
{
	(void)ctx;
	flushed = true;
	flushed_all = all;
}

static bool
is_flushed(struct world *w)
{
	(void)w;
	return flushed;
}

static void
flush(struct node *n, int64_t within_ms)
{
	mirror_flush(n->mirror, "two minutes' notice", mono_ms() + within_ms,
	    on_flushed, NULL);
	w_until(is_flushed, "the flush");
}

T_CASE(the_last_word_comes_behind_all_records)
{
	struct node a;

	w_world();
	w_own(&a, "a");
	a.mirror->c.batch_ms = 60000;
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_shipped(&a, id, 1);      /* else its record changes once more */
	t_check(a.mirror->waiting_recs > 0);
	flush(&a, 10000);
	t_check(flushed_all);
	t_eq_int(a.mirror->waiting_recs, 0);
	t_check(w_there("instances/gpu-a/left/0000000001.json"));
	struct job_row r = w_row(id);
	t_check(w_there("instances/gpu-a/records/0000000001/%s.%010lld.json",
	    id, (long long)r.version));
	store_job_fini(&r);
	free(id);
	w_world_end();
}

T_CASE(a_flush_that_cannot_end_ends_at_its_deadline)
{
	struct node a;

	w_world();
	w_own(&a, "a");
	t_eq_int(rk_remove_tree(AT_FDCWD, w_bucket), RK_OK);
	FILE *f = fopen(w_bucket, "w");
	fclose(f);
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	flush(&a, 100);
	t_check(!flushed_all);
	free(id);
	w_world_end();
}

/* --- what is over goes ---------------------------------------------------- */

static bool
newest_three(struct world *w)
{
	int64_t top = w_node->mirror->epoch;
	bool right = true;

	(void)w;
	for (int64_t i = 1; i <= top && right; i++) {
		bool kept = i > top - 3;
		right = w_there("instances/gpu-a/base/%010lld.jsonl",
		    (long long)i) == kept &&
		    w_there("instances/gpu-a/epochs/%010lld.json",
		    (long long)i) == kept;
	}
	return right;
}

/* A folder that cannot be removed holds a record yet. */
static bool
no_first_records(struct world *w)
{
	char *path = xasprintf("%s/instances/gpu-a/records/0000000001",
	    w_bucket);
	bool gone = rmdir(path) == 0 || errno == ENOENT;

	(void)w;
	free(path);
	return gone;
}

T_CASE(old_epochs_bases_and_records_go_and_the_newest_three_stay)
{
	struct node a;

	w_world();
	for (int i = 0; i < 6; i++) {
		w_own(&a, "a");
		free(w_submit("ok"));
		W.id = NULL;
		w_wait_written(&a);
		w_until(newest_three, "the newest three epochs and bases");
		if (i == 5)
			w_until(no_first_records, "the end of old records");
		w_kill(&a);
	}
	w_world_end();
}

/* --- what may lie there --------------------------------------------------- */

#define ID1 "01m84mmyytsgv1qwmhja2wsjzr"
#define HEAD(format, epoch) "{\"base\":" #format ",\"epoch\":" #epoch \
	",\"claim\":\"" ID1 "\"}\n"

T_CASE(a_base_that_is_cut_off_damaged_or_newer_is_refused_and_nothing_begins)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{ "", "cut off" },
		{ HEAD(1, 1),
		    "cut off" },
		{ HEAD(1, 1) "{\"end\":1}\n",
		    "cut off" },
		{ HEAD(2, 1) "{\"end\":0}\n",
		    "newer rekindled" },
		{ HEAD(1, 7) "{\"end\":0}\n",
		    "another epoch" },
		{ "[1]\n{\"end\":0}\n", "no JSON object" },
		{ "{\"base\":1,\"epoch\":1,\"claim\":\"../x\"}\n{\"end\":0}\n",
		    "does not begin" },
	};
	struct node a;

	w_world();
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		w_put("epochs/0000000001.json", "{}");
		w_put("base/0000000001.jsonl", bad[i].text);
		w_start(&a, "a");
		w_wait_error(&a, bad[i].error);
		w_kill(&a);
	}
	w_world_end();
}

T_CASE(records_without_their_base_are_an_error_and_nothing_begins)
{
	struct node a;

	w_world();
	w_put("records/0000000004/" ID1 ".0000000001.json", "{}");
	w_start(&a, "a");
	w_wait_error(&a, "base/0000000004.jsonl is missing");
	w_world_end();
}

T_CASE(hostile_lines_and_records_are_passed_over_and_the_others_taken)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_written(&a);
	w_kill(&a);
	w_put("base/0000000002.jsonl",
	    HEAD(1, 2)
	    "garbage\n"
	    "{\"deleted\":\"../../../etc/passwd\",\"at\":1}\n"
	    "{\"record\":{\"row\":{\"id\":\"..\",\"version\":1}}}\n"
	    "{\"record\":{\"record\":9,\"row\":{\"id\":\"" ID1 "\","
	    "\"version\":3,\"state\":\"queued\"}},"
	    "\"checkpoints\":[7,\"\",\"s3://b/k/\"]}\n"
	    "{\"end\":4}\n");
	w_put("records/0000000002/x.json", "{}");
	w_put("records/0000000002/../../../../x.0000000001.json", "{}");
	w_own(&b, "b");
	t_has(w_events(""), "3 lines of base 2");
	t_has(w_events(""), "job " ID1 " is not taken over");
	/* what a newer program could read is kept for it */
	char *text = w_get("base/0000000003.jsonl");
	t_has(text, ID1);
	t_check(strstr(text, "passwd") == NULL);
	free(text);
	w_kill(&b);
	w_own(&b, "b");                 /* and by our own next base */
	text = w_get("base/0000000004.jsonl");
	t_has(text, ID1);
	free(text);
	free(id);
	w_world_end();
}

T_MAIN
