/* What people want of a job: start, pause, cancel, retry, patch, delete. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

enum rk_err
refuse_state(const struct job_row *r, const char *verb, const char *instead,
    struct rk_why *why)
{
	rk_refuse(why, "job %s is %s: it cannot be %s; %s", r->id,
	    job_state_words[r->state], verb, instead);
	return RK_ECONFLICT;
}

enum rk_err
get_job(struct sup *s, const char *id, struct job_row *r, struct rk_why *why)
{
	enum rk_err rc = store_job_get(s->store, id, r);

	if (rc == RK_ENOENT)
		rk_refuse(why, "there is no job %s", id);
	return rc;
}

/* What is asked for is so already; only the key has to be kept. */
static enum rk_err
as_it_is(struct sup *s, const char *id, const struct store_note *note)
{
	struct store_note n = note != NULL ? *note : (struct store_note){ 0 };

	if (n.idem_key == NULL)
		return RK_OK;
	n.kind = NULL;
	return store_event_add(s->store, id, &n);
}

enum rk_err
sup_start(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why)
{
	struct cause c = { "start", "", "started by a person; waits for its "
	    "turn", NULL, NULL, note };
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (r.state != JOB_HELD)
		rc = refuse_state(&r, "started", "only a held job waits for "
		    "that", why);
	else
		rc = sup_move(s, &r, JOB_QUEUED, NULL, &c);
	store_job_fini(&r);
	sched_kick(s);
	return rc;
}

/* Write the wish of a job that has a process, and pass it on. */
static enum rk_err
wish(struct sup *s, struct job_row *r, enum job_desired what,
    const char *message, const struct store_note *note)
{
	struct store_note n = note != NULL ? *note : (struct store_note){ 0 };
	struct run *run = run_find(s, r->id);
	char *was = xstrdup(r->reason);

	r->desired = what;
	n.kind = what == JOB_CANCEL ? "cancel" : "pause";
	n.message = message;
	set_str(&r->reason, "user");
	set_str(&r->message, message);
	enum rk_err rc = sup_put(s, r, NULL, &n);
	if (rc == RK_OK)
		known_count(s, r, r->state, was);
	free(was);
	if (rc == RK_OK && run != NULL)
		run_leave(run, LEAVE_WISH, what == JOB_CANCEL, 0);
	return rc;
}

enum rk_err
sup_pause(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why)
{
	struct cause c = { "pause", "user", "paused by a person before it ran",
		NULL, NULL, note };
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (r.state == JOB_QUEUED) {
		r.desired = JOB_PAUSE;
		if (r.attempt > 0)
			c.message = "paused by a person";
		rc = sup_move(s, &r, JOB_PAUSED, NULL, &c);
		sched_kick(s);
	} else if (r.state == JOB_STARTING || r.state == JOB_RUNNING) {
		if (r.desired == JOB_CANCEL)
			rc = refuse_state(&r, "paused", "it is being cancelled",
			    why);
		else if (r.desired == JOB_PAUSE)
			rc = as_it_is(s, id, note);
		else
			rc = wish(s, &r, JOB_PAUSE, "asked by a person to save "
			    "and pause", note);
	} else if (r.state == JOB_PAUSED && r.desired == JOB_RUN) {
		/* It waited for the disk, or for an upload; now it waits for a
		 * person. */
		rc = wish(s, &r, JOB_PAUSE, "paused by a person", note);
	} else if (r.state == JOB_PAUSED) {
		rc = as_it_is(s, id, note);
	} else {
		rc = refuse_state(&r, "paused", r.state == JOB_HELD ?
		    "it does not run before it is started" :
		    "it has ended", why);
	}
	store_job_fini(&r);
	return rc;
}

enum rk_err
sup_cancel(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why)
{
	struct cause c = { "cancel", "user", "cancelled by a person", NULL,
		NULL, note };
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	switch (r.state) {
	case JOB_HELD:
	case JOB_QUEUED:
	case JOB_PAUSED:
		r.desired = JOB_CANCEL;
		r.ended_ms = now_ms();
		rc = sup_move(s, &r, JOB_CANCELLED, NULL, &c);
		sched_kick(s);
		break;
	case JOB_STARTING:
	case JOB_RUNNING:
		rc = r.desired == JOB_CANCEL ? as_it_is(s, id, note) :
		    wish(s, &r, JOB_CANCEL, "asked by a person to save and end",
		    note);
		break;
	case JOB_CANCELLED:
		rc = as_it_is(s, id, note);
		break;
	default:
		rc = refuse_state(&r, "cancelled", "it has ended", why);
	}
	store_job_fini(&r);
	return rc;
}

enum rk_err
sup_retry(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why)
{
	struct cause c = { "retry", "", "to be tried again, by a person",
		NULL, NULL, note };
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (r.state != JOB_FAILED && r.state != JOB_CANCELLED) {
		rc = refuse_state(&r, "retried", r.state == JOB_PAUSED ?
		    "resume it" : r.state == JOB_SUCCEEDED ?
		    "resume it with overrides to take it further" :
		    "it has neither failed nor been cancelled", why);
	} else {
		requeue(&r);
		rc = sup_move(s, &r, JOB_QUEUED, NULL, &c);
	}
	store_job_fini(&r);
	sched_kick(s);
	return rc;
}

void
requeue(struct job_row *r)
{
	r->desired = JOB_RUN;
	r->failures = 0;
	r->not_before_ms = 0;
	r->ended_ms = 0;
}

/* --- patch ---------------------------------------------------------------- */

static enum rk_err
check_fields(const json_t *fields, struct rk_why *why)
{
	static const char *const known[] = { "priority", "labels",
		"checkpoint" };
	json_t *tree = (json_t *)(uintptr_t)fields, *v;
	struct rkj_obj o;
	const char *key;
	bool bad;

	rkj_open(&o, fields, "", why);
	for (size_t i = 0; i < RK_ARRAY_LEN(known); i++)
		(void)rkj_any(&o, known[i]);
	rkj_close(&o);
	bad = o.bad;
	v = json_object_get(tree, "checkpoint");
	if (v != NULL) {
		rkj_open(&o, v, "checkpoint", why);
		(void)rkj_any(&o, "keep");
		rkj_close(&o);
		bad |= o.bad;
	}
	json_object_foreach(tree, key, v) {
		if (json_is_null(v) && strcmp(key, "labels") != 0) {
			rk_refuse_at(why, key, "is null, want a value");
			bad = true;
		}
	}
	return bad ? RK_EINVAL : RK_OK;
}

/* Its data alone: the model that it once began with may be gone. */
static void
check_data(struct sup *s, const struct spec *spec, struct rk_why *why)
{
	struct rk_why own = { 0 };

	(void)!spec_check_files(spec, true, &own);
	check_remote(s, spec, &own);
	for (size_t i = 0; i < own.n; i++) {
		if (strncmp(own.v[i].path, "data.", 5) == 0)
			rk_refuse_at(why, own.v[i].path, "%s",
			    own.v[i].message);
	}
	rk_why_fini(&own);
}

/* What is asked only of what was said now: a machine may have become smaller,
 * a bucket another. */
static enum rk_err
check_said(struct sup *s, const struct spec *spec, const json_t *overrides,
    struct rk_why *why)
{
	const json_t *c = json_object_get(overrides, "checkpoint");
	struct rk_why own = { 0 };

	if (json_object_get(overrides, "resources") != NULL)
		return check_job(s, spec, NULL, why);
	if (json_object_get(overrides, "data") != NULL)
		check_data(s, spec, &own);
	if (json_object_get(c, "push") != NULL ||
	    json_object_get(c, "require_remote") != NULL)
		check_remote(s, spec, &own);
	for (size_t i = 0; i < own.n; i++)
		rk_refuse_at(why, own.v[i].path, "%s", own.v[i].message);
	enum rk_err rc = own.n > 0 ? RK_EINVAL : RK_OK;
	rk_why_fini(&own);
	return rc;
}

/* The row with another specification; `changed` is for the event. */
enum rk_err
respec(struct sup *s, struct job_row *r, const json_t *overrides,
    json_t **changed, struct rk_why *why)
{
	struct spec *spec = NULL;
	json_t *tree = NULL;
	enum rk_err rc = row_spec(r, &tree, NULL, why);

	if (rc == RK_OK)
		rc = spec_override(tree, overrides, &spec, changed, why);
	json_decref(tree);
	if (rc != RK_OK)
		return rc;
	rc = check_said(s, spec, overrides, why);
	const json_t *resources = json_object_get(overrides, "resources");
	if (resources != NULL) {
		r->threads = spec->threads;
		/* What a trainer has told of it holds on. */
		if (spec->memory > 0 || json_object_get(resources, "memory") !=
		    NULL)
			r->memory = spec->memory;
	}
	if (rc == RK_OK && r->said_here[0] != '\0') {
		struct spec *was = NULL;
		rc = row_spec(r, NULL, &was, why);
		if (rc == RK_OK)
			said_by_overrides(r, was, spec, overrides);
		spec_free(was);
	}
	if (rc == RK_OK) {
		tree = spec_json(spec);
		free(r->spec);
		r->spec = rkj_text(tree);
		json_decref(tree);
		free(r->labels);
		r->labels = rkj_text(spec->labels);
		set_str(&r->name, spec->name);
		r->priority = spec->priority;
	} else {
		json_decref(*changed);
		*changed = NULL;
	}
	spec_free(spec);
	return rc;
}

/* "training.epochs 3 -> 5, priority 0 -> 2" */
char *
changes_text(const json_t *changed)
{
	struct strbuf b = { 0 };
	json_t *tree = (json_t *)(uintptr_t)changed, *v;
	const char *key;

	json_object_foreach(tree, key, v) {
		char *was = rkj_text(json_array_get(v, 0));
		char *is = rkj_text(json_array_get(v, 1));
		sb_addf(&b, "%s%s %s -> %s", b.len > 0 ? ", " : "", key, was,
		    is);
		free(was);
		free(is);
	}
	if (b.len == 0)
		sb_adds(&b, "nothing");
	return sb_detach(&b);
}

enum rk_err
sup_patch(struct sup *s, const char *id, const json_t *fields,
    int64_t if_version, struct store_note *note, struct rk_why *why)
{
	struct store_note n = note != NULL ? *note : (struct store_note){ 0 };
	json_t *changed = NULL;
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (if_version >= 0 && if_version != r.version) {
		rk_refuse(why, "job %s is at version %lld, not %lld: somebody "
		    "changed it", id, (long long)r.version,
		    (long long)if_version);
		rc = RK_ECONFLICT;
	}
	if (rc == RK_OK)
		rc = check_fields(fields, why);
	if (rc == RK_OK && json_object_get(fields, "checkpoint") != NULL &&
	    !sup_trains(&r))
		rc = refuse_kind(&r, "so none can be kept", why);
	if (rc == RK_OK)
		rc = respec(s, &r, fields, &changed, why);
	if (rc == RK_OK) {
		char *what = changes_text(changed);
		char *text = xasprintf("changed by a person: %s", what);
		n.kind = "changed";
		n.message = text;
		n.data = changed;
		rc = sup_put(s, &r, NULL, &n);
		if (rc == RK_OK)
			record_file_keep(s, id);
		free(text);
		free(what);
	}
	struct run *run = run_find(s, id);
	if (rc == RK_OK && run != NULL)
		run->priority = r.priority;
	json_decref(changed);
	store_job_fini(&r);
	sched_kick(s);
	return rc;
}

/* --- delete --------------------------------------------------------------- */

struct beginner {
	const char *of;
	char id[RK_ID];
};

static bool
see_beginner(void *ctx, const char *id, const char *what)
{
	struct beginner *b = ctx;

	(void)what;
	if (strcmp(id, b->of) == 0)
		return true;
	memcpy(b->id, id, RK_ID);
	return false;
}

/*
 * The folder is set aside under a name that the next start knows, then the row
 * goes, then the folder.  Whatever ends us between: a row without its folder
 * gets it back, a folder without its row is removed (open.c).
 */
enum rk_err
sup_delete(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why)
{
	struct store_note n = note != NULL ? *note : (struct store_note){ 0 };
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (!job_ended(r.state) || orphan_has(s, id) ||
	    run_find(s, id) != NULL) {
		rc = refuse_state(&r, "deleted", "only what has ended can be: cancel "
		    "it first",
		    why);
		store_job_fini(&r);
		return rc;
	}
	struct beginner b = { .of = id };
	sup_pins(s, id, see_beginner, &b);
	if (b.id[0] != '\0') {
		rk_refuse(why, "job %s is to begin from it: it cannot be "
		    "deleted before that has a checkpoint of its own, or has "
		    "ended", b.id);
		store_job_fini(&r);
		return RK_ECONFLICT;
	}
	char *aside = xasprintf(".del-%s", id), *results = sup_results(&r);
	char *text = xasprintf("\"%s\" was deleted by a person", r.name);
	n.kind = "deleted";
	n.message = text;
	bool moved = renameat(s->jobs_fd, id, s->jobs_fd, aside) == 0;
	rc = store_job_delete(s->store, id, &n);
	if (rc == RK_OK) {
		log_info("job=%s deleted", id);
		if (s->up.gone != NULL)
			s->up.gone(s->up.ctx, id);
		if (s->up.results_gone != NULL && results != NULL)
			s->up.results_gone(s->up.ctx, &r, results);
		sup_tell(s, id, 's');
		sup_tell(s, id, 'e');
		if (moved)
			trash_remove(s, aside);
	} else if (moved && renameat(s->jobs_fd, aside, s->jobs_fd, id) != 0) {
		log_errno("job=%s cannot put its folder back", id);
	}
	free(results);
	free(aside);
	free(text);
	store_job_fini(&r);
	return rc;
}
