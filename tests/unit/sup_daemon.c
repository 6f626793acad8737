/* The daemon's own ends: drained, closed, killed; and what the next one
 * does. */
#include <sys/mount.h>

#include "sup_fake.h"

static int drained;

static void
on_drained(void *ctx)
{
	(void)ctx;
	drained++;
}

static bool
is_drained(struct world *w)
{
	(void)w;
	return drained > 0;
}

T_CASE(a_drain_saves_everything_takes_no_more_and_the_next_daemon_goes_on)
{
	w_begin();
	struct rk_why why = { 0 };
	char id[RK_ID];
	char *a = w_submit("run ok"), *b = w_submit("mute ok");
	char *c = w_submit("run ok");
	w_wait_step(a, 3);
	w_wait_step(c, 3);
	w_wait(b, JOB_STARTING);
	t_eq_int(sup_pause(W.sup, c, NULL, NULL), RK_OK);
	sup_drain(W.sup, mono_ms() + 1000 * (int64_t)t_limit(10),
	    "shutdown", on_drained, NULL);
	t_eq_int(drained, 0);
	t_check(sup_draining(W.sup));
	t_eq_int(w_try_submit(w_job("ok"), id, &why), RK_EBUSY);
	t_has(rk_why_first(&why), "takes no new work");
	rk_why_fini(&why);
	w_until(is_drained, "the end of the drain");
	t_eq_int(w_state(a), JOB_QUEUED);
	t_eq_str(w_reason(a), "shutdown");
	t_eq_str(w_attempts(a), "1:stopped::1 ");
	t_eq_int(w_state(b), JOB_QUEUED);
	t_eq_str(w_attempts(b), "1:killed::0 ");
	t_eq_int(w_state(c), JOB_PAUSED);
	w_spin(50);
	t_eq_int(w_state(a), JOB_QUEUED);
	t_eq_int(drained, 1);
	sup_drain(W.sup, mono_ms() + 1000 * (int64_t)t_limit(10),
	    "again", on_drained, NULL);
	w_spin(20);
	t_eq_int(drained, 2);
	w_close();
	w_open();
	w_wait(a, JOB_SUCCEEDED);
	w_wait(b, JOB_SUCCEEDED);
	t_eq_int(w_state(c), JOB_PAUSED);
	t_has(w_attempts(a), "2:succeeded:step-0000000");
	struct job_row r = w_row(a);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(a_drain_keeps_its_deadline)
{
	w_begin();
	char *a = w_submit("deaf ok");
	w_wait_step(a, 3);
	int64_t begun = mono_ms();
	sup_drain(W.sup, begun + 9000, "drain", NULL, NULL);
	sup_drain(W.sup, begun + 300, "drain", on_drained, NULL);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() - begun < 5000);
	t_eq_int(w_state(a), JOB_QUEUED);
	t_eq_str(w_attempts(a), "1:killed::1 ");
	free(a);
	w_close();
}

static void
message_has(const char *id, const char *words)
{
	struct job_row r = w_row(id);

	t_has(r.message, words);
	store_job_fini(&r);
}

static bool
has_saved(struct world *w)
{
	return strstr(w_events(w->id), "[checkpoint]") != NULL;
}

static void
on_saved(void *ctx, enum rk_err rc, const char *dir, const char *why)
{
	(void)rc;
	(void)why;
	snprintf(ctx, CKPT_DIR_MAX, "%s", dir != NULL ? dir : "");
}

T_CASE(a_trainer_that_is_stopped_is_killed_and_its_last_checkpoint_counts)
{
	char dir[CKPT_DIR_MAX] = "", want[200];

	w_begin();
	char *a = w_submit("run ok");
	w_wait_step(a, 3);
	t_eq_int(sup_checkpoint(W.sup, a, NULL, on_saved, dir, NULL), RK_OK);
	w_until(has_saved, "a checkpoint");
	t_eq_int(kill(W.sup->runs->pid, SIGSTOP), 0);
	int64_t begun = mono_ms();
	sup_drain(W.sup, begun + 300, "preempted", on_drained, NULL);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() - begun >= 300 && mono_ms() - begun < 5000);
	t_eq_int(w_state(a), JOB_QUEUED);
	t_eq_str(w_reason(a), "preempted");
	t_eq_str(w_attempts(a), "1:killed::1 ");
	snprintf(want, sizeof(want), "the machine is taken away; the job goes "
	    "on from %s on the next one; its trainer had not saved in time",
	    dir);
	message_has(a, want);
	w_close();
	w_open();
	w_wait(a, JOB_SUCCEEDED);
	snprintf(want, sizeof(want), "2:succeeded:%s:1", dir);
	t_has(w_attempts(a), want);
	free(a);
	w_close();
}

T_CASE(a_nearer_deadline_is_for_those_too_who_were_leaving_already)
{
	w_begin();
	char *a = w_submit("deaf"), *b = w_submit("deaf");
	w_wait_step(a, 3);
	w_wait_step(b, 3);
	/* one for a person, who would wait for ten seconds */
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	int64_t begun = mono_ms();
	sup_drain(W.sup, begun + 9000, "drain", NULL, NULL);
	sup_drain(W.sup, begun + 200, "preempted", on_drained, NULL);
	sup_drain(W.sup, begun + 60000, "shutdown", NULL, NULL);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() - begun < 5000);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_str(w_reason(b), "drain");
	message_has(b, "the daemon is drained; the job goes on from the start "
	    "when it takes work again; its trainer had not saved in time");
	const char *e = w_events("");
	t_has(e, "drains (drain): every trainer saves and leaves within 9 s");
	t_has(e, "drains (preempted): every trainer saves and leaves within");
	t_check(strstr(e, "within 60") == NULL);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_daemon_that_is_taken_over_says_so_whatever_it_was_draining_for)
{
	w_begin();
	char *a = w_submit("run");
	w_wait_step(a, 3);
	sup_drain(W.sup, mono_ms() + 1000 * (int64_t)t_limit(9),
	    "shutdown", NULL, NULL);
	sup_drain(W.sup, mono_ms() + 1000 * (int64_t)t_limit(9),
	    "taken_over", on_drained, NULL);
	w_until(is_drained, "the end of the drain");
	t_eq_str(w_reason(a), "taken_over");
	message_has(a, "another daemon has taken the jobs over; the job goes on "
	    "from step ");
	free(a);
	w_close();
}

T_CASE(a_rehearsal_says_what_a_drain_would_have_to_do_and_does_nothing)
{
	char dir[CKPT_DIR_MAX] = "";

	w_begin();
	json_t *tree = w_job("run");
	json_object_set_new(tree, "priority", json_integer(5));
	char *low = w_submit("run"), *high = w_submit_tree(tree);
	char *done = w_submit("ok");
	w_wait(done, JOB_SUCCEEDED);
	w_wait_step(low, 3);
	w_wait_step(high, 3);
	W.id = low;
	t_eq_int(sup_checkpoint(W.sup, low, NULL, on_saved, dir, NULL), RK_OK);
	w_until(has_saved, "a checkpoint");
	json_t *all = sup_drain_rehearse(W.sup);
	json_t *jobs = json_object_get(all, "jobs");
	t_eq_int(json_array_size(jobs), 2);
	const json_t *a = json_array_get(jobs, 0), *b = json_array_get(jobs, 1);
	t_eq_str(json_string_value(json_object_get(a, "id")), high);
	t_eq_str(json_string_value(json_object_get(a, "name")), "j");
	t_eq_int(json_integer_value(json_object_get(a, "priority")), 5);
	t_check(json_integer_value(json_object_get(a, "step")) >= 3);
	t_check(json_is_null(json_object_get(a, "commit_seconds")));
	t_check(json_is_null(json_object_get(a, "bytes")));
	t_eq_str(json_string_value(json_object_get(b, "id")), low);
	t_near(json_real_value(json_object_get(b, "commit_seconds")), 0.01,
	    1e-9);
	t_check(json_integer_value(json_object_get(b, "bytes")) > 0);
	json_decref(all);
	t_check(!sup_draining(W.sup));
	w_wait_step(low, 10);
	free(low);
	free(high);
	free(done);
	w_close();
}

T_CASE(jobs_of_a_daemon_that_was_closed_are_interrupted_and_go_on)
{
	w_begin();
	char *a = w_submit("run ok"), *b = w_submit("run ok");
	char *c = w_submit("deaf ok");
	w_wait_step(a, 3);
	w_wait_step(b, 3);
	w_wait_step(c, 3);
	t_eq_int(sup_pause(W.sup, c, NULL, NULL), RK_OK);
	w_close();
	w_open();
	t_eq_int(w_state(a), JOB_QUEUED);
	t_eq_str(w_reason(a), "interrupted");
	t_eq_int(w_state(c), JOB_PAUSED);
	t_eq_str(w_reason(c), "user");
	w_wait(a, JOB_SUCCEEDED);
	w_wait(b, JOB_SUCCEEDED);
	t_eq_str(w_attempts(a), "1:interrupted::1 2:succeeded::1 ");
	struct job_row r = w_row(a);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	free(a);
	free(b);
	free(c);
	w_close();
}

/* A daemon in a process of its own, killed when its job is at step 5. */
static char *
killed_daemon(const char *script)
{
	int p[2];
	char *id = xcalloc(1, RK_ID);

	t_eq_int(pipe(p), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		w_begin();
		char *mine = w_submit(script);
		w_wait_step(mine, 5);
		(void)!write(p[1], mine, RK_ID);
		for (;;)
			w_spin(1000);
	}
	close(p[1]);
	t_eq_int(read(p[0], id, RK_ID), RK_ID);
	close(p[0]);
	t_eq_int(kill(pid, SIGKILL), 0);
	t_eq_int(waitpid(pid, NULL, 0), pid);
	w_begin();
	return id;
}

T_CASE(after_kill_9_of_the_daemon_its_trainer_saves_and_the_job_goes_on)
{
	char *id = killed_daemon("run ok");

	t_eq_int(w_state(id), JOB_QUEUED);
	w_wait(id, JOB_SUCCEEDED);
	/* what it saved when its daemon had gone is what came next */
	t_has(w_attempts(id), "1:interrupted::1 2:succeeded:step-0000000");
	struct attempt_row first = { 0 }, second = { 0 };
	t_eq_int(attempt_read(W.sup, id, 1, &first), RK_OK);
	t_eq_int(attempt_read(W.sup, id, 2, &second), RK_OK);
	t_check(first.end_step > 0);
	t_eq_int(first.end_step, second.start_step);
	store_attempt_fini(&first);
	store_attempt_fini(&second);
	free(id);
	w_close();
}

/* A trainer that refuses it speaks of that checkpoint, and so does the job. */
T_CASE(what_was_saved_behind_a_killed_daemon_is_what_a_waiting_job_is_at)
{
	char *id = killed_daemon("run changed");
	struct attempt_row first = { 0 };

	w_wait(id, JOB_PAUSED);
	t_eq_str(w_reason(id), "data_changed");
	t_eq_int(attempt_read(W.sup, id, 1, &first), RK_OK);
	struct job_row r = w_row(id);
	json_t *p = NULL;
	t_eq_int(rkj_parse_json(r.progress, strlen(r.progress), &p, NULL),
	    RK_OK);
	t_check(first.end_step >= 5);
	t_eq_int(r.known_step, first.end_step);
	t_eq_int(json_integer_value(json_object_get(p, "checkpoint_step")),
	    first.end_step);
	t_eq_int(json_integer_value(json_object_get(p, "step")),
	    first.end_step);
	t_eq_str(json_string_value(json_object_get(p, "checkpoint")),
	    r.known_dir);
	json_decref(p);
	store_job_fini(&r);
	store_attempt_fini(&first);
	free(id);
	w_close();
}

T_CASE(a_trainer_that_outlives_its_daemon_is_waited_for_and_then_killed)
{
	w_prepare();
	char *id = killed_daemon("stubborn ok");

	w_close();
	W.c.stop_timeout_ms = 300;
	w_open();
	w_spin(100);
	t_eq_int(w_state(id), JOB_QUEUED);
	struct job_row r = w_row(id);
	t_eq_int(r.attempt, 1);
	store_job_fini(&r);
	/* what it uses is not given to others */
	int running;
	int64_t queued, threads;
	uint64_t memory;
	sup_stats(W.sup, &running, &queued, &threads, &memory);
	t_eq_int(running, 0);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_events(id), "did not leave and was killed");
	t_eq_str(w_attempts(id), "1:interrupted::1 2:succeeded::1 ");
	free(id);
	w_close();
}

T_CASE(a_stranger_who_holds_the_lock_is_waited_for_and_not_killed)
{
	char *id = killed_daemon("run ok");

	W.id = id;
	w_close();
	char *path = xasprintf("%s/jobs/%s/lock", W.state_dir, id);
	int p[2];
	char c;
	t_eq_int(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR);
		if (fd < 0 || flock(fd, LOCK_EX) != 0)
			_exit(1);
		(void)!write(p[1], "x", 1);
		pause();
	}
	t_eq_int(read(p[0], &c, 1), 1);
	W.c.stop_timeout_ms = 100;
	/* as a daemon would have left it that was killed a second time */
	struct store *s;
	struct job_row r;
	t_eq_int(store_open(&s, "test.db", NULL), RK_OK);
	t_eq_int(store_job_get(s, id, &r), RK_OK);
	r.state = JOB_STARTING;
	t_eq_int(store_job_put(s, &r, NULL), RK_OK);
	store_job_fini(&r);
	store_close(&s);
	w_open();
	w_spin(400);
	t_eq_int(w_state(id), JOB_QUEUED);
	t_has(w_events(id), "another process holds");
	t_eq_int(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	w_wait(id, JOB_SUCCEEDED);
	free(path);
	free(id);
	w_close();
}

T_CASE(an_end_that_cannot_be_written_is_written_when_there_is_room)
{
	w_prepare();
	t_eq_int(mkdir("full", 0700), 0);
	if (mount("none", "full", "tmpfs", 0, "size=8m") != 0)
		t_skip("may not mount a small tmpfs");
	t_eq_int(chdir("full"), 0);     /* the store; jobs/ stay outside */
	w_open();
	char junk[4096] = { 0 };
	char *id = w_submit("run ok");
	w_wait_step(id, 3);
	unlink("test.db-reserve");
	int fd = open("junk", O_RDWR | O_CREAT, 0600);
	/* the WAL, too, has no room left that it owns */
	struct store_note note = { .kind = "k", .message = junk };
	memset(junk, 'x', sizeof(junk) - 1);
	while (write(fd, junk, sizeof(junk)) > 0)
		;
	while (store_event_add(W.store, "", &note) == RK_OK)
		;
	struct job_row r = w_row(id);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_ENOSPC);
	t_eq_int(kill((pid_t)W.sup->runs->pid, SIGKILL), 0);
	w_spin(200);
	t_eq_int(w_state(id), JOB_RUNNING);
	t_eq_int(ftruncate(fd, 0), 0);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:crashed::1 2:succeeded::1 ");
	store_job_fini(&r);
	close(fd);
	free(id);
	w_close();
	t_eq_int(chdir(".."), 0);
	umount("full");
}

T_MAIN
