/* A record in the bucket says no more than the bucket has the bytes of. */
#include "mirror_world.h"

/* --- what the bucket says ------------------------------------------------- */

static json_t *
parse(const char *text)
{
	json_t *o = NULL;

	t_eq_int(rkj_parse_json(text, strlen(text), &o, NULL), RK_OK);
	return o;
}

/* The newest record of a job under this node's epoch; NULL: none. */
static json_t *
record(const struct node *n, const char *id)
{
	char name[400];

	for (int64_t v = 60; v > 0; v--) {
		snprintf(name, sizeof(name), "instances/%s/records/%010lld/"
		    "%s.%010lld.json", w_instance, (long long)n->mirror->epoch,
		    id, (long long)v);
		if (w_there("%s", name)) {
			char *text = w_get(strchr(strchr(name, '/') + 1, '/') +
			    1);
			json_t *o = parse(text);
			free(text);
			return o;
		}
	}
	return NULL;
}

/* The job's record in base n. */
static json_t *
in_base(int64_t n, const char *id)
{
	char name[64], *text, *line;
	json_t *found = NULL;

	snprintf(name, sizeof(name), "base/%010lld.jsonl", (long long)n);
	text = w_get(name);
	for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL,
	    "\n")) {
		json_t *o = parse(line), *r = json_object_get(o, "record");
		const char *s = json_string_value(json_object_get(
		    json_object_get(r, "row"), "id"));
		if (s != NULL && strcmp(s, id) == 0)
			found = json_incref(r);
		json_decref(o);
	}
	free(text);
	return found;
}

/* A field of the row; a new string. */
static char *
field(json_t *rec, const char *key)
{
	const json_t *v = json_object_get(json_object_get(rec, "row"), key);

	t_check(v != NULL);
	return json_is_string(v) ? xstrdup(json_string_value(v)) :
	    xasprintf("%lld", (long long)json_integer_value(v));
}

static void
says(json_t *rec, const char *key, const char *want)
{
	t_check(rec != NULL);
	char *s = field(rec, key);
	t_eq_str(s, want);
	free(s);
}

static int64_t
progress(json_t *rec, const char *key)
{
	char *s = field(rec, "progress");
	json_t *p = parse(s);
	int64_t n = json_integer_value(json_object_get(p, key));

	json_decref(p);
	free(s);
	return n;
}

/* The machine vanishes, with its disk. */
static void
vanish(struct node *n)
{
	w_kill(n);
	t_eq_int(rk_remove_tree(AT_FDCWD, n->dir), RK_OK);
}

static void
resume(const char *id, const char *from)
{
	struct rk_why why = { 0 };

	if (sup_resume(W.sup, id, from, NULL, NULL, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

static void
pause_job(const char *id)
{
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
}

static int64_t
step_of(const char *dir)
{
	return atoll(dir + strlen("step-"));
}

/* Its attempt n, which runs, went on from dir, on this branch. */
static void
runs_from(const char *id, int64_t n, const char *dir, int branch)
{
	char *want = xasprintf("%lld::%s:%d ", (long long)n, dir, branch);

	w_wait_attempt(id, n);
	w_wait(id, JOB_RUNNING);
	t_has(w_attempts(id), want);
	free(want);
}

/* --- a job that succeeded ------------------------------------------------- */

T_CASE(a_job_that_succeeded_runs_for_the_bucket_until_its_last_checkpoint_is_there)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	ship_stop(a.ship);              /* its bytes never get there */
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_written(&a);             /* that is no record left to write */
	json_t *r = record(&a, id);
	says(r, "state", "running");
	says(r, "desired", "run");
	says(r, "ended_ms", "0");
	t_eq_int(progress(r, "step"), 0);
	json_decref(r);
	vanish(&a);

	/* Nothing of it is left, and it has known more: a person decides. */
	w_own(&b, "b");
	w_wait(id, JOB_PAUSED);
	t_eq_str(w_reason(id), "checkpoints_missing");
	resume(id, "none");
	w_wait_attempt(id, 2);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:interrupted");
	t_has(w_attempts(id), "2:succeeded");
	w_wait_shipped(&b, id, 1);
	free(id);
	w_world_end();
}

T_CASE(once_its_last_checkpoint_is_there_the_record_says_that_it_succeeded)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	json_t *r = record(&a, id);
	says(r, "state", "succeeded");
	t_eq_int(progress(r, "checkpoint_step"), 100);
	/* What is put has a version of its own, which the row has, too. */
	struct job_row row = w_row(id);
	char *version = xasprintf("%lld", (long long)row.version);
	says(r, "version", version);
	store_job_fini(&row);
	free(version);
	json_decref(r);
	vanish(&a);

	w_own(&b, "b");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&b);
	t_check(strstr(w_attempts(id), "2:") == NULL);
	free(id);
	w_world_end();
}

T_CASE(a_base_says_no_more_than_the_bucket_has_either)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	ship_stop(a.ship);
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_written(&a);
	w_kill(&a);
	w_own(&a, "a");                 /* and now it ships */
	json_t *r = in_base(2, id);
	says(r, "state", "running");
	json_decref(r);
	t_eq_int(w_state(id), JOB_SUCCEEDED);
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	r = record(&a, id);             /* newer than the base's line */
	says(r, "state", "succeeded");
	json_decref(r);
	vanish(&a);

	w_own(&b, "b");
	w_wait(id, JOB_SUCCEEDED);
	t_check(strstr(w_attempts(id), "2:") == NULL);
	free(id);
	w_world_end();
}

/* --- how far, and what people said ---------------------------------------- */

T_CASE(a_running_job_is_for_the_bucket_at_its_newest_checkpoint_there)
{
	struct node a, b;
	char first[CKPT_DIR_MAX], second[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *id = w_run_shipped(&a, first);
	ship_stop(a.ship);
	snprintf(second, sizeof(second), "%s", w_save(id));
	t_check(step_of(second) > step_of(first));
	w_wait_written(&a);
	json_t *r = record(&a, id);
	says(r, "state", "running");
	t_eq_int(progress(r, "step"), step_of(first));
	t_eq_int(progress(r, "checkpoint_step"), step_of(first));
	json_decref(r);
	vanish(&a);

	w_own(&b, "b");
	runs_from(id, 2, first, 1);
	free(id);
	w_world_end();
}

T_CASE(what_a_person_said_goes_up_at_once_whatever_the_bucket_has)
{
	struct node a, b;
	char first[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *paused = w_run_shipped(&a, first), *stopped = w_submit("run");
	w_wait_step(stopped, 3);
	ship_stop(a.ship);
	pause_job(paused);
	t_eq_int(sup_cancel(a.sup, stopped, NULL, NULL), RK_OK);
	w_wait(stopped, JOB_CANCELLED);
	w_wait_written(&a);
	json_t *r = record(&a, paused);
	says(r, "state", "paused");
	says(r, "reason", "user");
	t_eq_int(progress(r, "checkpoint_step"), step_of(first));
	json_decref(r);
	r = record(&a, stopped);
	says(r, "state", "cancelled");
	t_eq_int(progress(r, "step"), 0);
	json_decref(r);
	vanish(&a);

	w_own(&b, "b");
	t_eq_int(w_state(paused), JOB_PAUSED);
	t_eq_int(w_state(stopped), JOB_CANCELLED);
	resume(paused, NULL);
	runs_from(paused, 2, first, 1);
	free(paused);
	free(stopped);
	w_world_end();
}

/* --- what it goes on from ------------------------------------------------- */

/* A job with two checkpoints there, paused. */
static char *
two_there(struct node *n, char first[CKPT_DIR_MAX], char second[CKPT_DIR_MAX])
{
	char *id = w_run_shipped(n, first);

	snprintf(second, CKPT_DIR_MAX, "%s", w_save(id));
	w_wait_shipped(n, id, 2);
	pause_job(id);
	w_wait_shipped(n, id, 3);
	return id;
}

T_CASE(a_branch_of_which_nothing_is_there_begins_again_where_it_began)
{
	struct node a, b;
	char first[CKPT_DIR_MAX], second[CKPT_DIR_MAX], third[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *id = two_there(&a, first, second);
	ship_stop(a.ship);
	resume(id, first);
	w_wait(id, JOB_RUNNING);
	snprintf(third, sizeof(third), "%s", w_save(id));
	t_has(third, "-b2");
	w_wait_written(&a);
	json_t *r = record(&a, id);
	says(r, "resume_from", first);
	json_decref(r);
	vanish(&a);

	w_own(&b, "b");
	runs_from(id, 3, first, 2);
	/* On a branch of its own, as on the first machine. */
	t_has(w_save(id), "-b2");
	w_kill(&b);
	w_own(&b, "b");                 /* which its own restart knows */
	w_wait_attempt(id, 4);
	w_wait(id, JOB_RUNNING);
	t_has(w_save(id), "-b2");
	free(id);
	w_world_end();
}

T_CASE(a_job_begun_anew_of_which_nothing_is_there_begins_anew_again)
{
	struct node a, b;
	char first[CKPT_DIR_MAX], second[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *id = two_there(&a, first, second);
	ship_stop(a.ship);
	resume(id, "none");
	w_wait(id, JOB_RUNNING);
	w_wait_written(&a);
	json_t *r = record(&a, id);
	says(r, "resume_from", "none");
	json_decref(r);
	vanish(&a);

	w_own(&b, "b");
	ship_stop(b.ship);
	runs_from(id, 3, "", 2);
	w_kill(&b);                     /* before it has a checkpoint there */
	w_own(&b, "b");
	runs_from(id, 4, "", 2);
	t_has(w_save(id), "-b2");
	free(id);
	w_world_end();
}

T_CASE(a_job_resumed_from_a_checkpoint_that_is_lost_is_paused_and_says_so)
{
	struct node a, b;
	char first[CKPT_DIR_MAX], second[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *id = w_run_shipped(&a, first);
	ship_stop(a.ship);
	snprintf(second, sizeof(second), "%s", w_save(id));
	w_wait_step(id, step_of(second) + 3);
	pause_job(id);
	resume(id, second);
	w_wait(id, JOB_RUNNING);
	w_wait_written(&a);
	vanish(&a);

	w_own(&b, "b");
	w_wait(id, JOB_PAUSED);
	w_says(id, "user", "never got to the bucket");
	struct job_row r = w_row(id);
	t_has(r.message, second);
	store_job_fini(&r);
	resume(id, "latest");
	runs_from(id, 3, first, 1);
	free(id);
	w_world_end();
}

T_MAIN
