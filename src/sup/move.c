/*
 * States: the edges with their causes, and the one mover.
 *
 * HELD ──► QUEUED ──► STARTING ──► RUNNING ──► SUCCEEDED
 *           ▲ │ ▲         │           │ │ └──► FAILED
 *           │ │ └─────────┴───────────┘ ▼
 *           │ └────────────────────► PAUSED ──► SUCCEEDED
 *           └── resume, retry ── PAUSED and what has ended
 *
 * and CANCELLED from any that has not ended.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static const struct edge {
	enum job_state from, to;
} edges[] = {
	{ JOB_HELD, JOB_QUEUED },       /* a person started it               */
	{ JOB_HELD, JOB_CANCELLED },    /* a person cancelled it             */
	{ JOB_QUEUED, JOB_STARTING },   /* the scheduler found a slot        */
	{ JOB_QUEUED, JOB_PAUSED },     /* a person; no room for its folder, or
	                                   for what it needs; its checkpoints
	                                   are gone                          */
	{ JOB_QUEUED, JOB_FAILED },     /* what it starts from has gone, or
	                                   cannot be fetched                 */
	{ JOB_QUEUED, JOB_CANCELLED },
	{ JOB_STARTING, JOB_RUNNING },  /* the trainer said hello            */
	{ JOB_STARTING, JOB_QUEUED },   /* crash, stall, interrupted, room
	                                   made for a higher priority, drain */
	{ JOB_STARTING, JOB_PAUSED },   /* a person; the disk is full; what its
	                                   trainer found waits for a person  */
	{ JOB_STARTING, JOB_FAILED },   /* bad job; crashed too often        */
	{ JOB_STARTING, JOB_CANCELLED },
	{ JOB_RUNNING, JOB_SUCCEEDED }, /* the trainer said done             */
	{ JOB_RUNNING, JOB_QUEUED },    /* as from STARTING                  */
	{ JOB_RUNNING, JOB_PAUSED },    /* as from STARTING; trained, and its
	                                   last checkpoint not elsewhere yet */
	{ JOB_RUNNING, JOB_FAILED },
	{ JOB_RUNNING, JOB_CANCELLED },
	{ JOB_PAUSED, JOB_QUEUED },     /* resume; there is room again       */
	{ JOB_PAUSED, JOB_SUCCEEDED },  /* its last checkpoint is elsewhere  */
	{ JOB_PAUSED, JOB_CANCELLED },
	{ JOB_SUCCEEDED, JOB_QUEUED },  /* resume: taken further             */
	{ JOB_FAILED, JOB_QUEUED },     /* retry, resume                     */
	{ JOB_CANCELLED, JOB_QUEUED },
};

bool
job_may(enum job_state from, enum job_state to)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(edges); i++) {
		if (edges[i].from == from && edges[i].to == to)
			return true;
	}
	return false;
}

void
set_str(char **p, const char *v)
{
	char *copy = xstrdup(v != NULL ? v : "");

	free(*p);
	*p = copy;
}

void
sup_tell(struct sup *s, const char *job, char what)
{
	unsigned h = 0;

	for (const char *c = job; *c != '\0'; c++)
		h = h * 31 + (unsigned char)*c;
	s->generation[h % SUP_GENERATIONS] = ++s->generation_last;
	for (int i = 0; i < s->nlisteners; i++)
		s->listeners[i].fn(s->listeners[i].ctx, job, what);
}

static json_t *
move_data(const struct job_row *r, enum job_state from, enum job_state to,
    const struct cause *c)
{
	json_t *d = json_pack("{s:s, s:s, s:s, s:I}", "from",
	    job_state_words[from], "to", job_state_words[to], "reason",
	    c->reason, "attempt", (json_int_t)r->attempt);

	must(d != NULL);
	if (c->data != NULL)
		must(json_object_update_missing(d, c->data) == 0);
	return d;
}

enum rk_err
sup_move(struct sup *s, struct job_row *r, enum job_state to,
    const struct attempt_row *a, const struct cause *c)
{
	enum job_state from = r->state;
	struct store_note note = c->note != NULL ? *c->note :
	    (struct store_note){ 0 };

	must(job_may(from, to));
	char *old_reason = r->reason, *old_message = r->message;
	r->reason = xstrdup(c->reason);
	r->message = rk_text_clean(xstrdup(c->message));
	json_t *data = move_data(r, from, to, c);
	note.kind = c->kind != NULL ? c->kind : "state";
	note.message = r->message;
	note.data = data;
	r->state = to;
	enum rk_err rc = store_job_step(s->store, r, a, &note);
	json_decref(data);
	if (rc != RK_OK) {
		r->state = from;
		free(r->reason);
		free(r->message);
		r->reason = old_reason;
		r->message = old_message;
		return rc;
	}
	known_count(s, r, from, old_reason);
	free(old_reason);
	free(old_message);
	log_info("job=%s %s -> %s (%s)", r->id, job_state_words[from],
	    job_state_words[to], c->word);
	if (job_ended(to))
		pin_drop(s, r->id);
	else if (to == JOB_RUNNING && a != NULL && a->from != NULL &&
	    a->from[0] != '\0')
		pin_wait(s, r);         /* it may need it no more */
	else if (to == JOB_QUEUED && (job_ended(from) || from == JOB_PAUSED))
		pin_wait(s, r);
	if (to != JOB_STARTING && to != JOB_RUNNING)
		record_file_keep(s, r->id);
	sup_tell(s, r->id, 's');
	sup_tell(s, r->id, 'e');
	return RK_OK;
}

enum rk_err
sup_put(struct sup *s, struct job_row *r, const struct attempt_row *a,
    const struct store_note *note)
{
	enum rk_err rc = store_job_step(s->store, r, a, note);

	if (rc != RK_OK)
		return rc;
	sup_tell(s, r->id, 's');
	if (note != NULL && note->kind != NULL)
		sup_tell(s, r->id, 'e');
	return RK_OK;
}

enum rk_err
sup_renew(struct sup *s, const char *id)
{
	struct job_row r;
	enum rk_err rc;

	must_be(s, SUP_TAG);
	rc = store_job_get(s->store, id, &r);
	if (rc != RK_OK)
		return rc;
	rc = sup_put(s, &r, NULL, NULL);
	store_job_fini(&r);
	return rc;
}

void
sup_event(struct sup *s, const char *job, const char *kind,
    const char *message, const json_t *data)
{
	char *clean = rk_text_clean(xstrdup(message));
	struct store_note note = { .kind = kind, .message = clean,
		.data = data };

	if (store_event_add(s->store, job, &note) == RK_OK)
		sup_tell(s, job, 'e');
	else
		log_warn("sup: an event of %s was not kept: %s", job, clean);
	free(clean);
}
