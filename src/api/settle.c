/*
 * model://NAME@ALIAS in what was sent: settled before anybody else reads it.
 *
 *	settle() ──▶ models_settle() ··· the store is asked ──▶ the handler goes on
 *	   │         (the request waits)     with the number and the digest in place
 *	   └─ no version is named ─────────────────────────────▶ at once
 */
#include "impl.h"

#include <string.h>

struct settling {
	json_t *body, *in;              /* in: borrowed, of body */
	const char *key;
	char *path;                     /* for faults */
	settled_fn *go;
};

void
settling_free(struct settling **sp)
{
	struct settling *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	json_decref(s->body);
	free(s->path);
	free(s);
}

/* What growing layers match their rows with, of a file that was no job's and
 * does not tell. */
static void
put_classes(json_t *model, const json_t *said)
{
	const json_t *grow = json_object_get(model, "grow");
	json_t *classes = json_object_get(said, "classes");

	if (json_is_array(classes) && grow != NULL && !json_is_null(grow) &&
	    json_object_get(model, "checkpoint_classes") == NULL)
		json_object_set(model, "checkpoint_classes", classes);
}

static void
put(struct settling *s, const json_t *said)
{
	json_t *address = json_object_get(said, "address");
	json_t *was = json_object_get(said, "said");

	/* One that was settled before keeps what was said then. */
	if (strcmp(s->key, "checkpoint") == 0) {
		if (!json_equal(address, was))
			json_object_set(s->in, "checkpoint_said", was);
		put_classes(s->in, said);
	}
	json_object_set(s->in, s->key, address);
}

static void
refuse(struct req *q, const char *path, enum rk_err rc,
    const struct rk_why *why)
{
	const char *text = why != NULL && why->n > 0 ? rk_why_first(why) :
	    rk_strerror(rc);
	struct rk_why own = { 0 };

	if (rc == RK_ENOENT || rc == RK_EINVAL) {
		rk_refuse_at(&own, path, "%s", text);
		reply_faults(q, strcmp(path, "model.checkpoint") == 0 ?
		    P_INVALID_JOB : P_INVALID_FIELDS, &own);
		rk_why_fini(&own);
	} else {
		reply_problem(q, P_STORE, "%s: %s", path, text);
	}
}

static void
settled(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;
	struct settling *s = q->settling;

	must_be(q, REQ_TAG);
	q->settling = NULL;
	if (rc == RK_OK) {
		put(s, said);
		s->go(q, s->body);
	} else {
		refuse(q, s->path, rc, why);
	}
	settling_free(&s);
	if (q->status != 0)             /* else somebody else has it */
		req_wake(q);
}

static void
settle(struct req *q, json_t *body, json_t *in, const char *path,
    settled_fn *go)
{
	const char *dot = strrchr(path, '.');
	const char *key = dot != NULL ? dot + 1 : path;
	const char *text = json_string_value(json_object_get(in, key));

	if (q->api->models == NULL || !spec_is_version(text)) {
		go(q, body);
		json_decref(body);
		return;
	}
	struct settling *s = q->settling = xcalloc(1, sizeof(*s));
	*s = (struct settling){ .body = body, .in = in, .key = key,
		.path = xstrdup(path), .go = go };
	s->key = s->path + (key - path);
	models_settle(q->api->models, text, settled, q);
	req_wait(q);
}

void
settle_job(struct req *q, json_t *body, settled_fn *go)
{
	settle(q, body, json_object_get(body, "model"), "model.checkpoint",
	    go);
}

void
settle_overrides(struct req *q, json_t *body, settled_fn *go)
{
	settle(q, body, json_object_get(json_object_get(body, "overrides"),
	    "model"), "overrides.model.checkpoint", go);
}

void
settle_address(struct req *q, json_t *body, settled_fn *go)
{
	settle(q, body, body, "address", go);
}
