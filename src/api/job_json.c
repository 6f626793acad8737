/* A job as the API shows it. */
#include "impl.h"

#include <string.h>

static void
put_tree(struct strbuf *b, const char *key, const json_t *v)
{
	char *text = v != NULL ? rkj_text(v) : NULL;

	put_key(b, key);
	sb_adds(b, text != NULL ? text : "null");
	free(text);
}

/* What the trainer said last, or else what was written down last; and of that
 * what is a fact of the job. */
static void
put_progress(struct strbuf *b, struct api *a, const struct job_row *r)
{
	const json_t *live = sup_progress(a->sup, r->id);
	json_t *kept = NULL;

	put_key(b, "progress");
	if (live != NULL && json_object_size(live) > 0) {
		char *text = rkj_text(live);
		sb_adds(b, text);
		free(text);
	} else {
		put_raw(b, r->progress, "{}");
		if (rkj_parse_json(r->progress, strlen(r->progress), &kept,
		    NULL) == RK_OK)
			live = kept;
	}
	put_tree(b, "exact", json_object_get(live, "exact"));
	put_tree(b, "inexact", json_object_get(live, "inexact"));
	put_tree(b, "arithmetic", json_object_get(live, "arithmetic"));
	json_decref(kept);
}

static void
put_int(struct strbuf *b, const char *key, int64_t n)
{
	put_key(b, key);
	sb_addf(b, "%lld", (long long)n);
}

static void
put_field(struct strbuf *b, const char *key, const char *s)
{
	put_key(b, key);
	put_str(b, s != NULL ? s : "");
}

static void
put_when(struct strbuf *b, const char *key, int64_t ms)
{
	put_key(b, key);
	put_time(b, ms);
}

/* The newest checkpoint that the job has ever had, also when it is gone. */
static void
put_known(struct strbuf *b, const struct job_row *r)
{
	put_key(b, "newest_known");
	if (r->known_dir[0] == '\0') {
		sb_adds(b, "null");
		return;
	}
	sb_adds(b, "{\"checkpoint\":");
	put_str(b, r->known_dir);
	put_int(b, "step", r->known_step);
	put_when(b, "time", r->known_ms);
	sb_addc(b, '}');
}

/* What a person said where the job has what was meant by it. */
static void
put_said(struct strbuf *b, const struct job_row *r)
{
	json_t *tree = NULL;

	put_key(b, "said");
	/* Most have no such address, and need not be parsed. */
	if (strstr(r->spec, "\"checkpoint_said\"") != NULL &&
	    rkj_parse_json(r->spec, strlen(r->spec), &tree, NULL) != RK_OK)
		tree = NULL;
	json_t *said = json_object_get(json_object_get(tree, "model"),
	    "checkpoint_said");
	if (json_is_string(said)) {
		sb_adds(b, "{\"model.checkpoint\":");
		put_str(b, json_string_value(said));
		sb_addc(b, '}');
	} else {
		sb_adds(b, "null");
	}
	json_decref(tree);
}

void
job_write(struct strbuf *b, struct api *a, const struct job_row *r, bool whole)
{
	sb_adds(b, "{\"id\":\"");
	sb_adds(b, r->id);
	sb_addc(b, '"');
	put_field(b, "name", r->name);
	put_field(b, "kind", sup_kind(r));
	put_field(b, "state", job_state_words[r->state]);
	put_field(b, "desired", job_desired_words[r->desired]);
	put_field(b, "reason", r->reason);
	put_field(b, "message", r->message);
	put_int(b, "priority", r->priority);
	put_key(b, "labels");
	put_raw(b, r->labels, "{}");
	put_int(b, "threads", sup_threads(a->sup, r));
	put_key(b, "memory");
	sb_addf(b, "%llu", (unsigned long long)sup_memory(a->sup, r));
	put_when(b, "created", r->created_ms);
	put_when(b, "updated", r->updated_ms);
	put_when(b, "started", r->started_ms);
	put_when(b, "ended", r->ended_ms);
	put_when(b, "not_before", r->not_before_ms);
	put_int(b, "attempt", r->attempt);
	put_int(b, "failures", r->failures);
	put_field(b, "resume_from", r->resume_from);
	put_progress(b, a, r);
	put_known(b, r);
	put_int(b, "lost_steps", r->lost_steps);
	put_key(b, "plan_summary");
	put_or_null(b, r->plan_summary);
	put_int(b, "version", r->version);
	if (whole) {
		put_said(b, r);
		put_key(b, "plan");
		put_raw(b, r->plan, "null");
		put_key(b, "spec");
		put_raw(b, r->spec, "{}");
	}
	sb_addc(b, '}');
}

void
reply_job(struct req *q, int status, const char *id)
{
	struct job_row r;
	enum rk_err rc = store_job_get(q->api->store, id, &r);

	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "job of that id");
		return;
	}
	snprintf(q->etag, sizeof(q->etag), "\"%lld.%lld\"",
	    (long long)r.version, (long long)sup_generation(q->api->sup, id));
	sb_reset(&q->out);
	job_write(&q->out, q->api, &r, true);
	sb_addc(&q->out, '\n');
	q->draining = sup_drain_reason(q->api->sup);
	store_job_fini(&r);
	reply_json(q, status);
}

bool
req_job(struct req *q, struct job_row *r)
{
	const char *id = q->arg[0];
	enum rk_err rc;

	if (!rk_id_ok(id)) {
		reply_problem(q, P_NOT_FOUND, "there is no job \"%s\": an id "
		    "has %d characters of 0-9 and a-z; a job is found by its "
		    "name with GET /v1/jobs?name=", id, RK_ID_LEN);
		return false;
	}
	rc = store_job_get(q->api->store, id, r);
	if (rc == RK_OK)
		return true;
	if (rc == RK_ENOENT)
		reply_problem(q, P_NOT_FOUND, "there is no job %s", id);
	else
		reply_err(q, rc, NULL, "job");
	return false;
}
