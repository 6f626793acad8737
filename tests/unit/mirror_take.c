/* Taking over: records, checkpoints, directories that are older, crashes. */
#include <errno.h>

#include "mirror_world.h"

static bool
has_local(const struct node *n, const char *job, const char *name)
{
	char *p = xasprintf("%s/jobs/%s/checkpoints/%s", n->dir, job, name);
	bool yes = access(p, F_OK) == 0;

	free(p);
	return yes;
}

static void
remove_dir(struct node *n)
{
	t_eq_int(rk_remove_tree(AT_FDCWD, n->dir), RK_OK);
}

static struct job_row
row_of(struct node *n, const char *id)
{
	w_use(n);
	return w_row(id);
}

T_CASE(an_empty_directory_takes_the_jobs_and_their_newest_checkpoints)
{
	struct node a, b;
	char dir[CKPT_DIR_MAX];

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *done = w_submit("ok");
	w_wait(done, JOB_SUCCEEDED);
	char *runs = w_submit("run");
	w_wait_step(runs, 10);
	snprintf(dir, sizeof(dir), "%s", w_save(runs));
	w_wait_shipped(&a, runs, 1);
	w_wait_shipped(&a, done, 1);
	w_wait_written(&a);
	w_kill(&a);
	remove_dir(&a);

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	t_eq_int(b.mirror->epoch, 2);
	w_use(&b);
	t_eq_int(w_state(done), JOB_SUCCEEDED);
	t_has(w_events(done), "taken over from epoch 1");
	w_wait(runs, JOB_RUNNING);
	char *want = xasprintf(":%s:1 ", dir);
	t_has(w_attempts(runs), want);  /* went on from there */
	t_check(has_local(&b, runs, dir));
	struct job_row r = row_of(&b, runs);
	t_eq_int(r.attempt, 2);
	store_job_fini(&r);
	/* An ended job's checkpoints are known, too, a little later. */
	w_wait_shipped(&b, done, 1);
	free(want);
	free(done);
	free(runs);
	w_kill(&b);
	w_world_end();
}

T_CASE(what_an_older_directory_has_beyond_the_take_over_is_set_aside)
{
	struct node a, b;
	char first[CKPT_DIR_MAX], late[CKPT_DIR_MAX], name[100];

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("run");
	w_wait_step(id, 5);
	snprintf(first, sizeof(first), "%s", w_save(id));
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	char *unseen = w_submit("run"); /* the bucket never hears of it */
	ship_stop(a.ship);              /* nor of the next checkpoint */
	w_wait_step(id, 20);
	snprintf(late, sizeof(late), "%s", w_save(id));
	t_check(strcmp(first, late) != 0);
	a.frozen = true;

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	w_wait(id, JOB_RUNNING);
	w_wait_written(&b);
	w_kill(&b);
	w_kill(&a);

	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	t_eq_int(a.mirror->epoch, 3);
	t_check(a.mirror->foreign);
	t_check(has_local(&a, id, first));
	t_check(!has_local(&a, id, late));
	snprintf(name, sizeof(name), "late-%s", late);
	t_check(has_local(&a, id, name));
	w_use(&a);
	w_wait(id, JOB_RUNNING);
	char *want = xasprintf("3::%s:1 ", first);
	t_has(w_attempts(id), want);
	free(want);
	w_wait(unseen, JOB_RUNNING);    /* acknowledged here: it stays */
	free(id);
	free(unseen);
	w_kill(&a);
	w_world_end();
}

T_CASE(a_frozen_daemon_uploads_late_and_nobody_takes_it_for_newer)
{
	struct node a, b, c;
	char first[CKPT_DIR_MAX], late[CKPT_DIR_MAX], path[200];

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("run");
	w_wait_step(id, 5);
	snprintf(first, sizeof(first), "%s", w_save(id));
	w_wait_shipped(&a, id, 1);
	w_wait_step(id, 100);
	a.frozen = true;

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	/* The frozen one goes on: without a look, it saves and ships. */
	loop_timer_off(a.mirror->tick);
	loop_timer_off(a.mirror->batch_timer);
	a.mirror->in_batch = true;
	a.frozen = false;
	b.frozen = true;
	w_use(&a);
	snprintf(late, sizeof(late), "%s", w_save(id));
	w_wait_shipped(&a, id, 2);
	snprintf(path, sizeof(path), "jobs/%s/checkpoints/%s-e1/"
	    "checkpoint.json", id, late);
	t_check(w_there(path));
	t_eq_int(mirror_state(a.mirror), MIRROR_OWNER);
	/* And when it looks, as one does that was frozen: */
	a.mirror->c.check_ms = INT32_MAX;
	a.mirror->boot_ms -= 5000;
	loop_timer_at(a.mirror->tick, mono_ms());
	w_node = &a;
	w_until(w_is_lost, "a has lost");
	w_kill(&a);
	w_kill(&b);

	w_start(&c, "c");
	w_wait_mirror(&c, MIRROR_OWNER);
	w_use(&c);
	w_wait(id, JOB_RUNNING);
	char *want = xasprintf(":%s:1 ", first);
	t_has(w_attempts(id), want);
	t_check(strstr(w_attempts(id), late) == NULL);
	free(want);
	free(id);
	w_kill(&c);
	w_world_end();
}

T_CASE(a_deleted_job_stays_deleted_also_for_an_older_directory)
{
	struct rk_why why = { 0 };
	struct node a, b;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&a);
	w_kill(&a);
	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	t_eq_int(sup_delete(b.sup, id, NULL, &why), RK_OK);
	w_wait_written(&b);
	w_kill(&b);
	w_start(&b, "b");               /* its base names it */
	w_wait_mirror(&b, MIRROR_OWNER);
	w_kill(&b);

	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	struct job_row r;
	t_eq_int(store_job_get(a.store, id, &r), RK_ENOENT);
	free(id);
	w_kill(&a);
	w_world_end();
}

T_CASE(a_deletion_that_never_got_to_the_bucket_is_not_undone_by_our_own_restart)
{
	struct rk_why why = { 0 };
	struct job_row r;
	struct node a;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&a);
	t_eq_int(sup_delete(a.sup, id, NULL, &why), RK_OK);
	w_kill(&a);
	for (int i = 0; i < 2; i++) {
		w_start(&a, "a");
		w_wait_mirror(&a, MIRROR_OWNER);
		t_eq_int(store_job_get(a.store, id, &r), RK_ENOENT);
		w_kill(&a);
	}
	free(id);
	w_world_end();
}

static void
copy_db(const char *from, const char *to)
{
	char *cmd = xasprintf("mkdir -p %s && cp -r %s/. %s/", to, from, to);

	t_eq_int(system(cmd), 0);
	free(cmd);
}

T_CASE(a_directory_that_was_restored_takes_what_the_bucket_has_newer)
{
	struct node a;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("run");
	w_wait_step(id, 3);
	w_wait_written(&a);
	w_kill(&a);
	copy_db("a", "backup");
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_kill(&a);
	/* from here on the copy is behind: its directory made base 2 no more */
	copy_db("a", "copy");
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	struct rk_why why = { 0 };
	json_t *f = json_pack("{s:i}", "priority", 7);
	t_eq_int(sup_patch(a.sup, id, f, -1, NULL, &why), RK_OK);
	json_decref(f);
	char *later = w_submit("run");
	w_wait_written(&a);
	w_kill(&a);

	w_start(&a, "copy");            /* base 3 is not its own */
	w_wait_mirror(&a, MIRROR_OWNER);
	t_check(a.mirror->foreign);
	struct job_row r = row_of(&a, id);
	t_eq_int(r.priority, 7);
	store_job_fini(&r);
	w_wait(later, JOB_RUNNING);
	free(id);
	free(later);
	w_kill(&a);
	w_world_end();
}

T_CASE(a_copy_of_the_owners_directory_takes_newer_records_and_keeps_the_rest)
{
	struct rk_why why = { 0 };
	struct node a;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *same = w_submit("ok"), *id = w_submit("run");
	w_wait(same, JOB_SUCCEEDED);
	w_wait_step(id, 3);
	w_wait_written(&a);
	a.frozen = true;
	copy_db("a", "copy");           /* an image of a running machine */
	a.frozen = false;
	json_t *f = json_pack("{s:i}", "priority", 7);
	t_eq_int(sup_patch(a.sup, id, f, -1, NULL, &why), RK_OK);
	json_decref(f);
	char *later = w_submit("run");
	w_wait(later, JOB_RUNNING);
	w_wait_written(&a);
	w_kill(&a);

	w_start(&a, "copy");
	w_wait_mirror(&a, MIRROR_OWNER);
	t_check(!a.mirror->foreign);    /* base 1 was made by this one, too */
	struct job_row r = row_of(&a, id);
	t_eq_int(r.priority, 7);
	store_job_fini(&r);
	w_wait(later, JOB_RUNNING);
	t_eq_int(w_state(same), JOB_SUCCEEDED);
	t_check(strstr(w_events(same), "taken over") == NULL);
	free(same);
	free(id);
	free(later);
	w_kill(&a);
	w_world_end();
}

/* Whatever b has done after so many rounds of its loop, it dies then; a third
 * finds everything. */
static bool
die_after(struct node *b, int rounds)
{
	char name[20];

	snprintf(name, sizeof(name), "b%d", rounds);
	w_start(b, name);
	for (int i = 0; i < rounds; i++) {
		w_run_node(b, 0);
		if (b->mirror->state == MIRROR_OWNER)
			return true;
		usleep(300);
	}
	return false;
}

T_CASE(a_crash_at_any_step_of_a_take_over_leaves_all_to_the_next)
{
	struct node a, b, c;
	char dir[CKPT_DIR_MAX], *ids[3];
	bool through = false;
	int deaths = 0;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	ids[0] = w_submit("ok");
	w_wait(ids[0], JOB_SUCCEEDED);
	ids[1] = w_submit("run");
	w_wait_step(ids[1], 5);
	snprintf(dir, sizeof(dir), "%s", w_save(ids[1]));
	ids[2] = w_submit("run");
	w_wait(ids[2], JOB_RUNNING);
	w_wait_shipped(&a, ids[1], 1);
	w_wait_shipped(&a, ids[0], 1);
	w_wait_written(&a);
	w_kill(&a);
	for (int n = 1; !through; n += 1 + n / 10) {
		through = die_after(&b, n);
		w_kill(&b);
		deaths++;
		/* The same directory, half way, or a new one. */
		char name[20];
		snprintf(name, sizeof(name), n % 2 ? "b%d" : "c%d", n);
		w_start(&c, name);
		w_wait_mirror(&c, MIRROR_OWNER);
		w_use(&c);
		t_eq_int(w_state(ids[0]), JOB_SUCCEEDED);
		if (n % 3 == 0) {
			w_wait(ids[1], JOB_RUNNING);
			t_has(w_attempts(ids[1]), dir);
		}
		t_check(w_state(ids[2]) <= JOB_RUNNING);
		w_kill(&c);
	}
	t_check(deaths > 10);
	for (int i = 0; i < 3; i++)
		free(ids[i]);
	w_world_end();
}

/* An answer that was on its way when it froze may let it begin; then its next
 * look ends it. */
T_CASE(a_freeze_at_any_step_of_a_take_over_ends_in_being_lost)
{
	struct node a, b, c;
	char dir[CKPT_DIR_MAX];
	bool through = false;
	int freezes = 0, began = 0;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("run");
	w_wait_step(id, 5);
	snprintf(dir, sizeof(dir), "%s", w_save(id));
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	w_kill(&a);
	for (int n = 1; !through; n += 1 + n / 8) {
		through = die_after(&b, n);
		if (through) {
			w_kill(&b);
			break;
		}
		bool claimed = b.mirror->epoch > 0;
		b.frozen = true;
		w_start(&c, "c");
		w_wait_mirror(&c, MIRROR_OWNER);
		b.frozen = false;
		if (claimed && b.mirror->epoch < c.mirror->epoch) {
			w_node = &b;
			w_until(w_is_lost, "b has lost");
			began += b.mirror->began;
			t_eq_int(mirror_state(c.mirror), MIRROR_OWNER);
			freezes++;
		}
		w_kill(&b);
		w_kill(&c);
	}
	t_check(freezes > 5 && began <= 2);
	free(id);
	w_world_end();
}

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
	struct rk_why why = { 0 };
	char path[200];
	struct node a, b;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&a);
	/* the question may come before the mirror hears of the deletion */
	watch_guard(a.mirror, answer, NULL);
	t_check(!answered);
	t_eq_int(sup_delete(a.sup, id, NULL, &why), RK_OK);
	w_until(is_answered, "an answer");
	t_check(said);
	snprintf(path, sizeof(path), "instances/gpu-a/records/0000000001/"
	    "%s.9999999999.json", id);
	t_check(w_there(path));
	/* a claims's higher epoch: no */
	a.frozen = true;
	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	answered = false;
	watch_guard(a.mirror, answer, NULL);
	a.frozen = false;
	w_until(is_answered, "an answer");
	t_check(!said);
	free(id);
	w_kill(&a);
	w_kill(&b);
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

T_CASE(the_last_word_comes_behind_all_records)
{
	struct node a;
	char path[200];

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	a.mirror->c.batch_ms = 60000;
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	t_check(a.mirror->waiting_recs > 0);
	mirror_flush(a.mirror, "two minutes' notice", mono_ms() + 10000,
	    on_flushed, NULL);
	w_until(is_flushed, "the flush");
	t_check(flushed_all);
	t_eq_int(a.mirror->waiting_recs, 0);
	t_check(w_there("instances/gpu-a/left/0000000001.json"));
	struct job_row r = row_of(&a, id);
	snprintf(path, sizeof(path), "instances/gpu-a/records/0000000001/"
	    "%s.%010lld.json", id, (long long)r.version);
	t_check(w_there(path));
	store_job_fini(&r);
	free(id);
	w_kill(&a);
	w_world_end();
}

T_CASE(a_flush_that_cannot_end_ends_at_its_deadline)
{
	struct node a;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	t_eq_int(rk_remove_tree(AT_FDCWD, w_bucket), RK_OK);
	FILE *f = fopen(w_bucket, "w");
	fclose(f);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	mirror_flush(a.mirror, "x", mono_ms() + 100, on_flushed, NULL);
	w_until(is_flushed, "the flush");
	t_check(!flushed_all);
	free(id);
	w_kill(&a);
	w_world_end();
}

/* --- what may lie in a bucket --------------------------------------------- */

#define ID1 "01m84mmyytsgv1qwmhja2wsjzr"
#define HEAD(format, epoch) "{\"base\":" #format ",\"epoch\":" #epoch \
	",\"claim\":\"" ID1 "\"}\n"
static bool
has_error(struct world *w)
{
	(void)w;
	return w_node->mirror->error != NULL;
}

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
		w_node = &a;
		w_until(has_error, "an error");
		t_has(a.mirror->error, bad[i].error);
		t_check(sup_held(a.sup));
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
	w_node = &a;
	w_until(has_error, "an error");
	t_has(a.mirror->error, "base/0000000004.jsonl is missing");
	t_check(sup_held(a.sup));
	w_kill(&a);
	w_world_end();
}

static char *
slurp(const char *path)
{
	char *p = xasprintf("%s/instances/gpu-a/%s", w_bucket, path), *text;
	size_t n;

	t_eq_int(rk_read_file(AT_FDCWD, p, 64 << 20, &text, &n), RK_OK);
	free(p);
	return text;
}

T_CASE(hostile_lines_and_records_are_passed_over_and_the_others_taken)
{
	struct node a, b;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&a);
	w_kill(&a);
	w_put("base/0000000002.jsonl",
	    "{\"base\":1,\"epoch\":2,\"claim\":\"" ID1 "\"}\n"
	    "garbage\n"
	    "{\"deleted\":\"../../../etc/passwd\",\"at\":1}\n"
	    "{\"record\":{\"row\":{\"id\":\"..\",\"version\":1}}}\n"
	    "{\"record\":{\"record\":9,\"row\":{\"id\":\"" ID1 "\","
	    "\"version\":3,\"state\":\"queued\"}},"
	    "\"checkpoints\":[7,\"\",\"s3://b/k/\"]}\n"
	    "{\"end\":4}\n");
	w_put("records/0000000002/x.json", "{}");
	w_put("records/0000000002/../../../../x.0000000001.json", "{}");
	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	t_has(w_events_of(&b, ""), "3 lines of base 2");
	t_has(w_events_of(&b, ""), "job " ID1 " is not taken over");
	/* what a newer program could read is kept for it */
	char *text = slurp("base/0000000003.jsonl");
	t_has(text, ID1);
	t_check(strstr(text, "passwd") == NULL);
	free(text);
	w_kill(&b);
	w_start(&b, "b");               /* and by our own next base */
	w_wait_mirror(&b, MIRROR_OWNER);
	text = slurp("base/0000000004.jsonl");
	t_has(text, ID1);
	free(text);
	free(id);
	w_kill(&b);
	w_world_end();
}

T_CASE(a_job_whose_own_store_does_not_answer_is_left_aside_until_the_next_start)
{
	struct job_row r;
	struct node a, b;
	char other[700], uri[720];

	w_world();
	snprintf(other, sizeof(other), "%s.other", w_bucket);
	snprintf(uri, sizeof(uri), "file://%s/", other);
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	json_t *tree = w_job("run");
	json_object_set_new(tree, "checkpoint", json_pack("{s:s}", "push",
	    uri));
	char *away = w_submit_tree(tree), *near = w_submit("run");
	w_wait_step(away, 5);
	char *dir = xstrdup(w_save(away));
	w_wait_shipped(&a, away, 1);
	w_wait_step(near, 5);
	w_wait_written(&a);
	w_kill(&a);
	t_eq_int(rename(other, "kept"), 0);
	t_eq_int(symlink(other, other), 0);     /* leads nowhere: an error */

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	t_eq_int(store_job_get(b.store, away, &r), RK_ENOENT);
	t_has(w_events_of(&b, ""), "its checkpoints cannot be looked for");
	w_wait(near, JOB_RUNNING);      /* the others go on */
	w_kill(&b);
	t_eq_int(unlink(other), 0);
	t_eq_int(rename("kept", other), 0);
	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	w_wait(away, JOB_RUNNING);
	t_has(w_attempts(away), dir);
	free(dir);
	free(away);
	free(near);
	w_kill(&b);
	w_world_end();
}

T_CASE(another_instance_below_the_same_prefix_has_its_own_jobs)
{
	struct node a, b;
	struct job_row r;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("run");
	w_wait_written(&a);
	w_instance = "gpu-b";
	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	t_eq_int(b.mirror->epoch, 1);
	t_eq_int(store_job_get(b.store, id, &r), RK_ENOENT);
	w_spin(150);
	t_eq_int(mirror_state(a.mirror), MIRROR_OWNER);
	free(id);
	w_kill(&a);
	w_kill(&b);
	w_world_end();
}

T_CASE(old_epochs_bases_and_records_go_and_the_newest_three_stay)
{
	struct node a;
	char path[800];

	w_world();
	for (int i = 0; i < 6; i++) {
		w_start(&a, "a");
		w_wait_mirror(&a, MIRROR_OWNER);
		w_use(&a);
		free(w_submit("ok"));
		w_wait_written(&a);
		w_spin(60);
		w_kill(&a);
	}
	for (int i = 1; i <= 6; i++) {
		snprintf(path, sizeof(path), "instances/gpu-a/base/%010d.jsonl",
		    i);
		t_eq_int(w_there(path), i >= 4);
		snprintf(path, sizeof(path),
		    "instances/gpu-a/epochs/%010d.json", i);
		t_eq_int(w_there(path), i >= 4);
	}
	snprintf(path, sizeof(path), "%s/instances/gpu-a/records/0000000001",
	    w_bucket);
	t_check(rmdir(path) == 0 || errno == ENOENT);   /* it is empty */
	w_world_end();
}

static bool
all_here(struct world *w)
{
	int64_t n[JOB_STATES], sum = 0;

	t_eq_int(store_counts(w_node->store, n), RK_OK);
	for (int i = 0; i < JOB_STATES; i++)
		sum += n[i];
	return sum == w->want && w_node->mirror->state == MIRROR_OWNER;
}

T_CASE(two_thousand_jobs_are_taken_over)
{
	struct node a, b;
	json_t *record = NULL;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&a);
	t_eq_int(store_job_export(a.store, id, &record), RK_OK);
	w_kill(&a);
	t_eq_int(store_open(&a.store, "a/test.db", NULL), RK_OK);
	t_eq_int(store_batch_begin(a.store), RK_OK);
	for (int i = 0; i < 1999; i++) {
		char new[RK_ID];
		rk_id_new(new);
		json_object_set_new(json_object_get(record, "row"), "id",
		    json_string(new));
		if (i % 10 == 0)        /* some wait, with a checkpoint to be */
			json_object_set_new(json_object_get(record, "row"),
			    "state", json_string(i % 20 ? "succeeded" :
			    "held"));
		t_eq_int(store_job_import(a.store, record, NULL, NULL),
		    RK_OK);
	}
	t_eq_int(store_batch_end(a.store), RK_OK);
	store_close(&a.store);
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_kill(&a);
	/* One had ended, and its last checkpoint came just behind the base. */
	char *name = xasprintf("../../jobs/%s/checkpoints/step-000000007-e2/"
	    "checkpoint.json", id);
	w_put(name, "{}");
	strcpy(strstr(name, "-e2"), "-e20/checkpoint.json");
	w_put(name, "{}");
	w_start(&b, "b");
	w_node = &b;
	W.want = 2000;
	int64_t from = mono_ms();
	w_until(all_here, "all jobs");
	fprintf(stderr, "2,000 jobs in %lld ms\n", (long long)(mono_ms() -
	    from));
	char *base = slurp("base/0000000003.jsonl");
	t_has(base, "step-000000007-e2/");
	t_check(strstr(base, "step-000000007-e20/") == NULL);
	free(base);
	free(name);
	json_decref(record);
	free(id);
	w_kill(&b);
	w_world_end();
}

T_MAIN
