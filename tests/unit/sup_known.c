/* A job that has had a checkpoint never begins anew by itself. */
#include <sys/stat.h>

#include "sup_fake.h"

static char *
folder(const char *id, const char *tail)
{
	return xasprintf("%s/jobs/%s%s", W.state_dir, id, tail);
}

static void
move(const char *id, const char *from, const char *to)
{
	char *a = folder(id, from), *b = folder(id, to);

	t_eq_int(rename(a, b), 0);
	free(a);
	free(b);
}

static bool
waits(struct world *w)
{
	struct job_row r = w_row(w->id);
	bool yes = r.state == JOB_PAUSED && r.desired == JOB_RUN &&
	    strcmp(r.reason, "checkpoints_missing") == 0;

	store_job_fini(&r);
	return yes;
}

static void
w_waits(const char *id)
{
	W.id = id;
	w_until(waits, "waits for its checkpoints");
}

/* Paused by a person, with one at some step, which is the result. */
static int64_t
paused_job(char **id)
{
	*id = w_submit_until("run", JOB_RUNNING);
	w_wait_step(*id, 20);
	t_eq_int(sup_pause(W.sup, *id, NULL, NULL), RK_OK);
	w_wait(*id, JOB_PAUSED);
	struct job_row r = w_row(*id);
	int64_t step = r.known_step;
	t_check(step >= 20);
	t_has(r.known_dir, "step-0000000");
	t_check(r.known_ms > 0);
	store_job_fini(&r);
	return step;
}

T_CASE(a_job_whose_folder_was_moved_away_waits_and_says_how_far_it_was)
{
	char *id, *text;
	struct stat st;

	w_begin();
	int64_t step = paused_job(&id);
	move(id, "", ".away");
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_waits(id);
	text = xasprintf("(step %lld, 20", (long long)step);
	w_says(id, "checkpoints_missing", text);
	t_eq_int(sup_checkpoints_missing(W.sup), 1);
	t_has(w_events(id), "its checkpoints are gone");
	/* nothing is made where it could be moved back to */
	w_spin(100);
	free(text);
	text = folder(id, "");
	t_eq_int(stat(text, &st), -1);
	free(text);
	/* back, it goes on by itself from where it was */
	move(id, ".away", "");
	w_wait(id, JOB_RUNNING);
	t_eq_int(sup_checkpoints_missing(W.sup), 0);
	t_has(w_attempts(id), "2::step-0");
	t_check(strstr(w_events(id), "runs from the start\n[state] attempt 2")
	    == NULL);
	w_close();
}

T_CASE(it_waits_over_a_restart_of_the_daemon_and_while_nothing_is_mounted)
{
	char *id;

	w_begin();
	paused_job(&id);
	move("", "", "../jobs.away");   /* the whole of jobs/ */
	sup_close(&W.sup);
	t_eq_int(sup_open(&W.sup, W.loop, W.store, &W.c, NULL), RK_OK);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_waits(id);
	sup_close(&W.sup);
	t_eq_int(sup_open(&W.sup, W.loop, W.store, &W.c, NULL), RK_OK);
	w_spin(50);
	w_waits(id);
	t_eq_int(sup_checkpoints_missing(W.sup), 1);
	char *jobs = xasprintf("%s/jobs", W.state_dir);
	char *empty = xasprintf("%s/jobs.empty", W.state_dir);
	char *away = xasprintf("%s/jobs.away", W.state_dir);
	t_eq_int(rename(jobs, empty), 0);
	t_eq_int(rename(away, jobs), 0);
	w_wait(id, JOB_RUNNING);
	t_has(w_attempts(id), "2::step-0");
	free(jobs);
	free(empty);
	free(away);
	w_close();
}

T_CASE(only_a_resume_from_none_begins_anew)
{
	char *id;

	w_begin();
	paused_job(&id);
	move(id, "/checkpoints", "/elsewhere");
	t_eq_int(sup_resume(W.sup, id, "latest", NULL, NULL, NULL), RK_OK);
	w_waits(id);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	t_eq_int(sup_checkpoints_missing(W.sup), 0);
	t_eq_int(sup_resume(W.sup, id, "none", NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_RUNNING);
	t_eq_str(w_attempts(id) + strlen("1:paused::1 "), "2:::1 ");
	struct job_row r = w_row(id);
	t_eq_str(r.known_dir, "");
	store_job_fini(&r);
	w_close();
}

T_CASE(a_retry_of_a_failed_job_waits_too)
{
	char *id;

	w_begin();
	id = w_submit_until("save bad", JOB_FAILED);
	move(id, "/checkpoints", "/elsewhere");
	t_eq_int(sup_retry(W.sup, id, NULL, NULL), RK_OK);
	w_waits(id);
	move(id, "/elsewhere", "/checkpoints");
	w_wait(id, JOB_FAILED);
	t_has(w_attempts(id), "3:failed:step-000000010:1");
	w_close();
}

T_CASE(a_crash_with_the_checkpoints_gone_is_not_counted_and_waits)
{
	char *id;

	w_begin();
	id = w_submit_until("run", JOB_RUNNING);
	w_wait_step(id, 5);
	t_eq_int(sup_checkpoint(W.sup, id, "", NULL, NULL, NULL), RK_OK);
	w_until(w_has_known, "a checkpoint");
	move(id, "", ".away");
	struct run *run = run_find(W.sup, id);
	kill(run->pid, SIGKILL);
	w_waits(id);
	struct job_row r = w_row(id);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	move(id, ".away", "");
	w_wait(id, JOB_RUNNING);
	t_has(w_attempts(id), "2::step-0");
	w_close();
}

T_CASE(a_folder_moved_away_under_a_running_trainer_is_no_crash)
{
	char *id;

	w_begin();
	id = w_submit_until("run", JOB_RUNNING);
	w_wait_step(id, 5);
	move(id, "", ".away");
	/* it saves to where its folder has gone, which nobody sees here */
	t_eq_int(sup_checkpoint(W.sup, id, "", NULL, NULL, NULL), RK_OK);
	w_waits(id);
	w_says(id, "checkpoints_missing", "went away while it ran");
	t_check(strstr(w_events(id), "crashed") == NULL);
	move(id, ".away", "");
	w_wait(id, JOB_RUNNING);
	t_has(w_attempts(id), "2::step-0");
	w_close();
}

T_CASE(what_is_in_the_place_of_the_folder_is_said)
{
	char *id, *path;

	w_begin();
	paused_job(&id);
	move(id, "/checkpoints", "/elsewhere");
	path = folder(id, "/checkpoints");
	/* to nowhere: missing */
	t_eq_int(symlink("/nowhere/at/all", path), 0);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_waits(id);
	w_says(id, "checkpoints_missing", "No such file or directory");
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	/* in a circle: an error, which is not the same as nothing */
	t_eq_int(unlink(path), 0);
	t_eq_int(symlink(path, path), 0);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	w_says(id, "checkpoints_unreadable", "Too many levels");
	t_eq_int(sup_checkpoints_missing(W.sup), 1);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	/* a file */
	t_eq_int(unlink(path), 0);
	FILE *f = fopen(path, "w");
	fclose(f);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_waits(id);
	w_says(id, "checkpoints_missing", "is no folder");
	/* a link to where they are is as good as they are */
	t_eq_int(unlink(path), 0);
	t_eq_int(symlink("elsewhere", path), 0);
	w_wait(id, JOB_RUNNING);
	free(path);
	w_close();
}

T_CASE(an_older_one_is_gone_on_from_and_the_lost_steps_are_said)
{
	char *id, *dir, *to;

	w_begin();
	id = w_submit_until("save run", JOB_RUNNING);
	w_wait_attempt(id, 2);
	w_wait_step(id, 25);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	struct job_row r = w_row(id);
	char *tail = xasprintf("/checkpoints/%s", r.known_dir);
	dir = folder(id, tail);
	to = folder(id, "/elsewhere");
	t_eq_int(rename(dir, to), 0);
	const int64_t lost = r.known_step - 10;
	char *text = xasprintf("%lld steps are lost: %s was the newest",
	    (long long)lost, r.known_dir);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_RUNNING);
	t_has(w_attempts(id), "3::step-000000010:1");
	t_has(w_events(id), text);
	t_has(w_events(id), "[steps_lost]");
	store_job_fini(&r);
	r = w_row(id);
	t_eq_int(r.lost_steps, lost);
	t_eq_int(r.known_step, 10);
	struct sup_totals t;
	sup_totals(W.sup, &t);
	t_eq_int(t.lost_steps, lost);
	store_job_fini(&r);
	free(text);
	free(tail);
	free(dir);
	free(to);
	w_close();
}

T_CASE(a_person_who_goes_back_has_lost_nothing)
{
	char *id;

	w_begin();
	id = w_submit_until("save run", JOB_RUNNING);
	w_wait_attempt(id, 2);
	w_wait_step(id, 25);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	t_eq_int(sup_resume(W.sup, id, "step:10", NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_RUNNING);
	struct job_row r = w_row(id);
	t_eq_int(r.lost_steps, 0);
	t_eq_int(r.known_step, 10);
	store_job_fini(&r);
	w_close();
}

T_CASE(a_trainer_that_begins_anew_by_itself_is_ended)
{
	char *id;

	w_begin();
	id = w_submit_until("run cold", JOB_RUNNING);
	w_wait_step(id, 5);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_waits(id);
	w_says(id, "checkpoints_missing", "began anew without being asked");
	w_close();
}

/* --- what a trainer finds -------------------------------------------------- */

T_CASE(what_a_trainer_finds_changed_pauses_and_is_no_failure)
{
	char *id;

	w_begin();
	id = w_submit_until("changed", JOB_PAUSED);
	w_says(id, "data_changed", "--accept data");
	w_says(id, "data_changed", "the samples are others");
	struct job_row r = w_row(id);
	t_eq_int(r.failures, 0);
	t_eq_int(r.desired, JOB_RUN);
	store_job_fini(&r);
	t_check(strstr(w_events(id), "runs from the start") == NULL);
	w_spin(100);
	t_eq_int(w_state(id), JOB_PAUSED);      /* and not by itself */
	w_close();
}

T_CASE(what_a_person_accepts_is_told_until_a_checkpoint_is_made)
{
	struct rk_why why = { 0 };
	char *id, *log, *text;
	size_t len;

	w_begin();
	id = w_submit_until("changed crash run", JOB_PAUSED);
	json_t *bad = json_pack("[s, i]", "weather", 7);
	t_eq_int(sup_resume_accept(W.sup, id, NULL, NULL, bad, NULL, &why),
	    RK_EINVAL);
	text = rk_why_text(&why);
	t_has(text, "accept[0]: is \"weather\", want data");
	t_has(text, "accept[1]");
	free(text);
	json_decref(bad);
	json_t *data = json_pack("[s]", "data");
	t_eq_int(sup_resume_accept(W.sup, id, NULL, NULL, data, NULL, NULL),
	    RK_OK);
	json_decref(data);
	/* not used up by an attempt that made none */
	w_wait_attempt(id, 3);
	w_wait_step(id, 5);
	struct job_row r = w_row(id);
	t_eq_str(r.accept, "data");
	store_job_fini(&r);
	t_eq_int(sup_checkpoint(W.sup, id, "", NULL, NULL, NULL), RK_OK);
	w_until(w_has_known, "a checkpoint");
	r = w_row(id);
	t_eq_str(r.accept, "");
	store_job_fini(&r);
	log = folder(id, "/train.log");
	t_eq_int(rk_read_file(AT_FDCWD, log, 1 << 20, &text, &len), RK_OK);
	const char *once = strstr(text, "--accept data");
	t_check(once != NULL && strstr(once + 1, "--accept data") != NULL);
	free(log);
	free(text);
	rk_why_fini(&why);
	w_close();
}

T_MAIN
