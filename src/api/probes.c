/* Routes about the daemon itself: is it alive, is it ready, how is it. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#define DRAIN_SECONDS 60        /* unless the request says */
#define DRAIN_JOBS    1000      /* named in the answer */

void
h_health(struct req *q)
{
	sb_adds(&q->out, "{\"status\":\"ok\",\"version\":\"" REKINDLE_VERSION
	    "\"}\n");
	reply_json(q, 200);
}

/* A daemon that goes on alone takes work, and nobody would take it over. */
static void
reply_ready(struct req *q)
{
	const struct mirror *m = q->api->mirror;
	bool alone = m != NULL && mirror_state(m) == MIRROR_ALONE;
	char *error = api_mirror_error(q->api);
	json_t *o = json_pack("{s:s}", "status", "ready");

	if (alone)
		json_object_set_new(o, "alone", json_string(error));
	free(error);
	reply_tree(q, 200, o);
}

/* Ready to take work: it can be written down, and somebody will see to it. */
void
h_ready(struct req *q)
{
	enum rk_err rc = store_here(q->api->store, &q->why);

	if (rc != RK_OK) {
		reply_faults(q, P_NOT_READY, &q->why);
	} else if ((rc = store_ready(q->api->store)) != RK_OK) {
		reply_problem(q, P_NOT_READY, "the state directory cannot be "
		    "written: %s", rk_strerror(rc));
	} else if (sup_draining(q->api->sup)) {
		reply_problem(q, P_NOT_READY, "the daemon is draining and "
		    "takes no new work");
	} else if (sup_held(q->api->sup)) {
		reply_taking_over(q);
	} else {
		reply_ready(q);
	}
}

/* What a person wants to see first. */
void
h_status(struct req *q)
{
	const struct api *a = q->api;
	struct ship_stats s;
	json_t *v;

	ship_stats(a->ship, &s);
	v = json_pack("{s:s, s:b, s:b, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I}}",
	    "version", REKINDLE_VERSION, "draining", sup_draining(a->sup),
	    "held", sup_held(a->sup), "mirror", a->mirror != NULL ?
	    mirror_json(a->mirror) : json_null(), "preemption",
	    preempt_json(a->preempt), "checkpoints", "queued",
	    (json_int_t)s.queued, "uploading", (json_int_t)s.uploading,
	    "failed", (json_int_t)s.failed, "pushed", (json_int_t)s.pushed,
	    "verified", (json_int_t)s.verified, "missing",
	    (json_int_t)s.missing);
	must(v != NULL);
	must(json_object_set_new(v, "unrecorded", adopt_status(q->api)) == 0);
	reply_tree(q, 200, v);
}

void
h_prometheus(struct req *q)
{
	stats_write(&q->out, q->api);
	reply_json(q, 200);
	q->ctype = "text/plain; version=0.0.4; charset=utf-8";
}

/* Made at the first question, and kept. */
void
h_openapi(struct req *q)
{
	struct api *a = q->api;

	if (a->openapi == NULL) {
		json_t *v = openapi_tree();
		char *text = rkj_pretty(v);
		json_decref(v);
		a->openapi = MHD_create_response_from_buffer(strlen(text), text,
		    MHD_RESPMEM_MUST_FREE);
		if (a->openapi == NULL) {
			free(text);
			reply_err(q, RK_ENOMEM, NULL, "document");
			return;
		}
		MHD_add_response_header(a->openapi, "Content-Type",
		    "application/json");
		MHD_add_response_header(a->openapi, "Cache-Control",
		    "no-cache");
	}
	reply_shared(q, 200, a->openapi);
}

static bool
leaving_job(void *ctx, const struct job_row *r)
{
	struct req *q = ctx;
	const json_t *p = sup_progress(q->api->sup, r->id);
	const json_t *step = json_object_get(p, "step");

	if (q->out.s[q->out.len - 1] != '[')
		sb_addc(&q->out, ',');
	sb_addf(&q->out, "{\"id\":\"%s\"", r->id);
	put_key(&q->out, "name");
	put_str(&q->out, r->name);
	sb_addf(&q->out, ",\"step\":%lld}",
	    (long long)json_integer_value(step));
	return true;
}

/* Who has to leave, or is still there. */
static void
drain_answer(struct req *q, int status)
{
	struct store_filter f = {
	    .states = 1u << JOB_RUNNING | 1u << JOB_STARTING };
	enum rk_err rc;

	sb_addf(&q->out, "{\"draining\":%s,\"jobs\":[",
	    sup_draining(q->api->sup) ? "true" : "false");
	rc = store_jobs(q->api->store, &f, NULL, DRAIN_JOBS, leaving_job, q);
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "list of jobs");
		return;
	}
	sb_adds(&q->out, "]}\n");
	reply_json(q, status);
}

/* 202: it has begun; asked again, it says who is still there.  A rehearsal
 * says what would make it in time, and asks nobody to leave. */
void
h_drain(struct req *q)
{
	json_t *tree = req_tree(q, true);
	struct rkj_obj o;
	double seconds = DRAIN_SECONDS;
	bool rehearse = false;

	if (tree == NULL)
		return;
	rkj_open(&o, tree, "", &q->why);
	rkj_real(&o, "deadline_seconds", &seconds, 1, 86400, RKJ_OPTIONAL);
	rkj_bool(&o, "rehearse", &rehearse, RKJ_OPTIONAL);
	rkj_close(&o);
	json_decref(tree);
	if (req_refused(q, P_INVALID_FIELDS))
		return;
	if (rehearse) {
		json_t *v = preempt_rehearse(q->api->preempt, seconds);
		must(json_object_set_new(v, "draining",
		    json_boolean(sup_draining(q->api->sup))) == 0);
		reply_tree(q, 200, v);
		return;
	}
	preempt_leave(q->api->preempt, mono_ms() + (int64_t)(seconds * 1000),
	    "drain", "a person asked for it", false);
	q->api->change++;
	drain_answer(q, 202);
}
