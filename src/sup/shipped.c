/*
 * Jobs whose training has ended and that have succeeded only when their last
 * checkpoint is verified in the bucket (checkpoint.require_remote).  They are
 * PAUSED, reason `uploading`, with `desired` RUN, and go on to SUCCEEDED by
 * themselves; a person may resume or cancel them as any that is paused.
 *
 * One that was taken over may have left that checkpoint on a machine that is
 * gone: it is QUEUED again, and trained to its end from the newest there is.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define GAP_MS   100            /* between two looks, however often asked */
#define AGAIN_MS 10000          /* and one unasked */

static bool
waits(const struct job_row *r)
{
	return r->state == JOB_PAUSED && r->desired == JOB_RUN &&
	    strcmp(r->reason, "uploading") == 0;
}

char *
sup_where(struct sup *s, const struct spec *spec)
{
	if (s->up.where != NULL)
		return s->up.where(s->up.ctx, spec);
	return xstrdup(spec->checkpoint.push != NULL ? spec->checkpoint.push :
	    "");
}

/* A text of the row's progress, or ""; the caller frees.  That of a record may
 * say anything. */
static char *
row_text(const struct job_row *r, const char *key)
{
	json_t *p = NULL;
	const char *text = NULL;

	if (rkj_parse_json(r->progress, strlen(r->progress), &p, NULL) ==
	    RK_OK)
		text = json_string_value(json_object_get(p, key));
	char *out = xstrdup(text != NULL ? text : "");
	json_decref(p);
	return out;
}

/* The sentence of one that waits; the caller frees. */
static char *
waits_for(struct sup *s, const struct spec *spec, const char *checkpoint)
{
	char *where = sup_where(s, spec), *text;

	if (s->up.shipped == NULL || where[0] == '\0')
		text = xstrdup("training is finished; its last checkpoint "
		    "should be elsewhere, and this daemon sends none: "
		    "configure it, or resume with checkpoint.require_remote: "
		    "false");
	else if (checkpoint[0] == '\0')
		text = xasprintf("training is finished, and left no checkpoint "
		    "that could be verified at %s", where);
	else
		text = xasprintf("training is finished; waits until %s is "
		    "verified at %s", checkpoint, where);
	free(where);
	return text;
}

bool
shipped_yet(struct sup *s, const struct job_row *r, const char *checkpoint,
    char **waits_text)
{
	struct spec *spec = NULL;
	bool yes = true;

	if (row_spec(r, NULL, &spec, NULL) == RK_OK &&
	    spec->checkpoint.require_remote) {
		yes = s->up.shipped != NULL && checkpoint[0] != '\0' &&
		    s->up.shipped(s->up.ctx, r, spec, checkpoint);
		if (!yes)
			*waits_text = waits_for(s, spec, checkpoint);
	}
	spec_free(spec);
	return yes;
}

/* --- those that wait ------------------------------------------------------ */

void
shipped_wait(struct sup *s, const char *id)
{
	struct uploading *u = xcalloc(1, sizeof(*u));

	memcpy(u->id, id, sizeof(u->id));
	u->next = s->uploading;
	s->uploading = u;
	shipped_look(s);
}

static bool
see_epoch(void *ctx, const struct attempt_row *a)
{
	*(int64_t *)ctx = a->epoch;
	return false;
}

/* Before keep_epoch(): its last attempt was not of this directory's daemons. */
static bool
has_moved(struct sup *s, const struct job_row *r)
{
	int64_t epoch = s->epoch_before;

	return store_attempts(s->store, r->id, r->attempt - 1, 1, see_epoch,
	    &epoch) == RK_OK && epoch != s->epoch_before;
}

static bool
collect(void *ctx, const struct job_row *r)
{
	struct sup *s = ctx;

	if (waits(r)) {
		shipped_wait(s, r->id);
		s->uploading->moved = has_moved(s, r);
	}
	return true;
}

void
shipped_find(struct sup *s)
{
	struct store_filter f = { .states = 1u << JOB_PAUSED };

	shipped_fini(s);
	if (store_jobs(s->store, &f, NULL, INT32_MAX, collect, s) != RK_OK)
		log_error("sup: cannot read which jobs wait for an upload");
}

void
shipped_look(struct sup *s)
{
	if (s->uploading != NULL)
		loop_timer_at(s->shipped_timer, RK_MAX(mono_ms(),
		    s->shipped_ms + GAP_MS));
}

/* It is not here, and the bucket has not got it. */
static bool
is_lost(struct sup *s, const struct uploading *u, const char *checkpoint)
{
	if (!u->moved || checkpoint[0] == '\0' || s->up.has == NULL)
		return false;
	char *path = xasprintf("%s/checkpoints/%s/checkpoint.json",
	    sup_job_dir(s, u->id), checkpoint);
	bool here = access(path, F_OK) == 0;
	free(path);
	return !here && !s->up.has(s->up.ctx, u->id, checkpoint);
}

static enum rk_err
train_again(struct sup *s, struct job_row *r, const char *checkpoint)
{
	char *text = xasprintf("%s never got to the bucket, and its machine is "
	    "gone; the job goes on from the newest that is there", checkpoint);
	struct cause c = { "lost", "interrupted", text, NULL, NULL, NULL };

	requeue(r);
	set_str(&r->resume_from, "latest");
	enum rk_err rc = sup_move(s, r, JOB_QUEUED, NULL, &c);
	if (rc == RK_OK)
		sched_kick(s);
	free(text);
	return rc;
}

/* True: it waits no more; or its end could not be written, and it does. */
static bool
settle(struct sup *s, const struct uploading *u)
{
	struct job_row r;
	char *text = NULL, *checkpoint, *early;
	enum rk_err rc = store_job_get(s->store, u->id, &r);

	if (rc != RK_OK)
		return rc == RK_ENOENT;
	if (!waits(&r)) {
		store_job_fini(&r);
		return true;
	}
	checkpoint = row_text(&r, "checkpoint");
	if (!rk_name_ok(checkpoint))
		checkpoint[0] = '\0';
	early = row_text(&r, EARLY_STOPPED);
	bool yes = shipped_yet(s, &r, checkpoint, &text);
	if (yes) {
		text = early[0] != '\0' ? xasprintf("stopped early: %s; %s is "
		    "verified in the bucket", early, checkpoint) :
		    xasprintf("finished; %s is verified in the bucket",
		    checkpoint);
		struct cause c = { "shipped", early[0] != '\0' ?
		    EARLY_STOPPED : "", text, NULL, NULL, NULL };
		r.ended_ms = now_ms();
		yes = sup_move(s, &r, JOB_SUCCEEDED, NULL, &c) == RK_OK;
	} else if (is_lost(s, u, checkpoint)) {
		yes = train_again(s, &r, checkpoint) == RK_OK;
	}
	free(early);
	free(text);
	free(checkpoint);
	store_job_fini(&r);
	return yes;
}

void
shipped_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	struct uploading **p, *u;

	must_be(s, SUP_TAG);
	for (p = &s->uploading; (u = *p) != NULL;) {
		if (!settle(s, u)) {
			p = &u->next;
			continue;
		}
		*p = u->next;
		free(u);
	}
	s->shipped_ms = mono_ms();
	if (s->uploading != NULL)
		loop_timer_at(s->shipped_timer, s->shipped_ms + AGAIN_MS);
}

void
shipped_fini(struct sup *s)
{
	struct uploading *u;

	while ((u = s->uploading) != NULL) {
		s->uploading = u->next;
		free(u);
	}
}
