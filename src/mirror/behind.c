/*
 * What is true of a job as long as its bytes are not in the bucket.
 *
 * A record that somebody takes over is all that he has of a job, with the
 * checkpoints that are there.  So it says nothing that stands for others:
 *
 *	progress      that of the newest checkpoint there
 *	succeeded     running, from there, until the last checkpoint is there,
 *	              too; resume being exact, whoever goes on ends with its
 *	              bytes
 *	resume_from   a checkpoint that is there: also where the branch began
 *	              that the job is on, when nothing of the branch is there
 *	              yet (`latest` there would be another branch's)
 *
 * A job that a person resumed from a checkpoint that is not there cannot be
 * gone on with as he wanted: it is paused, and says so.
 *
 * A job that does not train has its results in place of checkpoints: it has
 * succeeded when they are there, and until then nothing of it is.
 *
 * What another machine trained is as its record said: its bytes will not come.
 *
 * What a job has known (known_dir and its like) stays as it is, for it stands
 * for no bytes: so a successor says how many steps are lost with this machine,
 * and does not begin anew by itself where nothing is there at all (sup.h).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

struct facts {
	struct mirror *m;
	json_t *row, *at;               /* at: the last attempt, or NULL */
	json_t *progress;
	const char *id;
	struct spec *spec;
	struct ckpt_info *v;            /* in the bucket */
	size_t n;
	int newest;                     /* `latest` there; -1: none */
	struct ckpt *c;                 /* the folder here; NULL: there is
					   none */
};

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void
set(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static bool
is_there(const struct facts *f, const char *dir)
{
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].dir, dir) == 0)
			return true;
	}
	return false;
}

static bool
in_state(const struct facts *f, enum job_state s)
{
	return strcmp(text(f->row, "state"), job_state_words[s]) == 0;
}

static bool
has_ended(const struct facts *f)
{
	return in_state(f, JOB_SUCCEEDED) || in_state(f, JOB_FAILED) ||
	    in_state(f, JOB_CANCELLED);
}

/* --- reading -------------------------------------------------------------- */

/* Was it trained here last?  Attempts of before there was a mirror have no
 * epoch. */
static bool
is_ours(const struct facts *f)
{
	int64_t epoch = json_integer_value(json_object_get(f->at, "epoch"));

	return f->at != NULL && (epoch == 0 || mine_made(f->m, epoch));
}

static void
open_folder(struct facts *f)
{
	char *path = xasprintf("%s/checkpoints", sup_job_dir(f->m->sup,
	    f->id));

	/* ckpt_open() would make it. */
	if (access(path, F_OK) == 0 && ckpt_open(&f->c, path, false) != RK_OK)
		f->c = NULL;
	free(path);
}

/* false: it has nothing that could be behind. */
static bool
read_record(struct facts *f, json_t *record)
{
	json_t *attempts = json_object_get(record, "attempts"), *tree = NULL;
	const char *spec = text(f->row, "spec"), *p = text(f->row, "progress");

	f->id = text(f->row, "id");
	f->at = json_array_get(attempts, json_array_size(attempts) - 1);
	if (f->at == NULL || !is_ours(f) ||
	    rkj_parse_json(p, strlen(p), &f->progress, NULL) != RK_OK ||
	    rkj_parse_json(spec, strlen(spec), &tree, NULL) != RK_OK)
		return false;
	if (spec_parse(tree, &f->spec, NULL) != RK_OK)
		f->spec = NULL;         /* it goes nowhere */
	json_decref(tree);
	return f->spec != NULL;
}

static void
facts_fini(struct facts *f)
{
	json_decref(f->progress);
	spec_free(f->spec);
	ckpt_list_free(f->v, f->n);
	ckpt_close(&f->c);
}

/* --- how far it is -------------------------------------------------------- */

static const char *const of_checkpoint[] = {
	"checkpoint", "checkpoint_step", "metrics", "loss", "accuracy",
	"learning_rate"
};

static void
set_progress(struct facts *f)
{
	const struct ckpt_info *i = f->newest >= 0 ? &f->v[f->newest] : NULL;
	json_t *p = f->progress;

	for (size_t k = 0; k < RK_ARRAY_LEN(of_checkpoint); k++)
		json_object_del(p, of_checkpoint[k]);
	set(p, "step", json_integer(i != NULL ? i->step : 0));
	set(p, "epoch", json_integer(i != NULL ? i->epoch : 0));
	if (i != NULL) {
		set(p, "checkpoint", json_string(i->dir));
		set(p, "checkpoint_step", json_integer(i->step));
		if (i->metrics != NULL)
			set(p, "metrics", json_deep_copy(i->metrics));
	}
	char *s = rkj_text(p);
	set(f->row, "progress", json_string(s));
	free(s);
}

/* Trained to its end: what stands for that is the last checkpoint. */
static bool
says_trained(const struct facts *f)
{
	return in_state(f, JOB_SUCCEEDED) || (in_state(f, JOB_PAUSED) &&
	    strcmp(text(f->row, "desired"), job_desired_words[JOB_RUN]) == 0 &&
	    strcmp(text(f->row, "reason"), "uploading") == 0);
}

static void
set_state(struct facts *f, enum job_state s, enum job_desired d,
    const char *reason, const char *message)
{
	set(f->row, "state", json_string(job_state_words[s]));
	set(f->row, "desired", json_string(job_desired_words[d]));
	set(f->row, "reason", json_string(reason));
	set(f->row, "message", json_string(message));
	set(f->row, "ended_ms", json_integer(0));
}

static void
set_running(struct facts *f, const char *message)
{
	int64_t step = f->newest >= 0 ? f->v[f->newest].step : 0;
	int64_t start = json_integer_value(json_object_get(f->at,
	    "start_step"));

	set_state(f, JOB_RUNNING, JOB_RUN, "", message);
	set(f->at, "outcome", json_string(""));
	set(f->at, "message", json_string(""));
	set(f->at, "ended_ms", json_integer(0));
	set(f->at, "end_step", json_integer(RK_MAX(start, step)));
}

/* Nothing of it is there, or all. */
static void
set_results(struct facts *f)
{
	char *prefix = ship_prefix(f->m->ship, f->spec);
	const bool there = json_is_string(json_object_get(f->progress,
	    "results"));

	if (prefix[0] != '\0' && !there) {
		if (in_state(f, JOB_SUCCEEDED))
			set_running(f, "its results are on their way to the "
			    "bucket");
		set_progress(f);
	}
	free(prefix);
}

/* --- what it goes on from ------------------------------------------------- */

/* The folder that the next attempt here would begin from, "" for the newest
 * that is there, "none".  A new string. */
static char *
begins_from(struct facts *f, const char *selector)
{
	struct ckpt_info i = { 0 };
	char from[CKPT_DIR_MAX];
	int branch;

	if (f->c == NULL || strcmp(selector, "none") == 0)
		return xstrdup("");
	if (strcmp(selector, "latest") != 0) {
		enum rk_err rc = ckpt_select(f->c, selector,
		    f->spec->checkpoint.metric, f->spec->checkpoint.mode_max,
		    &i, NULL);
		char *dir = xstrdup(rc == RK_OK ? i.dir : "");
		ckpt_info_fini(&i);
		return dir;
	}
	if (!ckpt_origin(f->c, &branch, from) || branch == 1)
		return xstrdup("");
	for (size_t k = 0; k < f->n; k++) {
		if (f->v[k].branch >= branch)
			return xstrdup("");
	}
	return xstrdup(from[0] != '\0' ? from : "none");
}

static void
set_lost(struct facts *f, const char *dir)
{
	char *s;

	set(f->row, "resume_from", json_string("latest"));
	if (has_ended(f))
		return;
	s = xasprintf("was to go on from %s, which never got to the bucket: "
	    "resume it from another checkpoint", dir);
	set_state(f, JOB_PAUSED, JOB_PAUSE, "user", s);
	if (text(f->at, "outcome")[0] == '\0')
		set(f->at, "outcome", json_string("interrupted"));
	free(s);
}

static void
set_from(struct facts *f)
{
	char *dir = begins_from(f, text(f->row, "resume_from"));

	if (strcmp(dir, "none") == 0 || (dir[0] != '\0' && is_there(f, dir)))
		set(f->row, "resume_from", json_string(dir));
	else if (dir[0] != '\0')
		set_lost(f, dir);
	free(dir);
}

/* --- the whole ------------------------------------------------------------ */

enum rk_err
behind_set(struct mirror *m, json_t *record)
{
	struct facts f = { .m = m, .row = json_object_get(record, "row") };
	enum rk_err rc = RK_OK;

	if (!read_record(&f, record)) {
		facts_fini(&f);
		return RK_OK;
	}
	if (f.spec->kind != SPEC_JOB_TRAIN) {
		f.newest = -1;
		set_results(&f);
		facts_fini(&f);
		return RK_OK;
	}
	rc = ship_there(m->ship, f.id, f.spec, &f.v, &f.n);
	if (rc == RK_OK) {
		const char *dir = text(f.progress, "checkpoint");
		bool behind = dir[0] != '\0' && !is_there(&f, dir);
		f.newest = ckpt_info_select(f.v, f.n, "latest", NULL, true,
		    NULL);
		if (behind && says_trained(&f))
			set_running(&f, "its last checkpoint is on its way to "
			    "the bucket");
		if (behind)
			set_progress(&f);
		if (!in_state(&f, JOB_SUCCEEDED)) {
			open_folder(&f);
			set_from(&f);
		}
	}
	facts_fini(&f);
	return rc;
}
