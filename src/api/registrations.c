/*
 * Routes of registrations: how a checkpoint or a file becomes a version.  A
 * request waits for the version for a while (not with `Prefer: respond-async`,
 * RFC 7240); what takes longer goes on without it, and has an address of its
 * own.
 */
#include "models.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_MS    20000
#define PAGE_DEFAULT 50
#define PAGE_MAX     500

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* --- the answer ----------------------------------------------------------- */

static void
reply_made(struct req *q, const json_t *said)
{
	const json_int_t n = json_integer_value(json_object_get(said,
	    "version"));

	q->location = xasprintf("/v1/models/%s/versions/%lld", q->arg[0],
	    (long long)n);
	reply_version(q, n);
	if (q->status == 200)
		q->status = 201;
}

static void
reply_refused(struct req *q, const json_t *said)
{
	const bool of_job = json_is_string(json_object_get(said, "job"));
	struct rk_why why = { 0 };

	rk_refuse_at(&why, of_job ? "checkpoint" : "address", "%s",
	    *text(said, "error") != '\0' ? text(said, "error") :
	    "it was given up");
	reply_faults(q, P_INVALID_FIELDS, &why);
	rk_why_fini(&why);
}

static void
reply_registration(struct req *q, const json_t *said)
{
	const char *state = text(said, "state");

	if (strcmp(state, "registered") == 0) {
		reply_made(q, said);
	} else if (strcmp(state, "failed") == 0 || strcmp(state,
	    "cancelled") == 0) {
		reply_refused(q, said);
	} else {
		q->location = xasprintf("/v1/models/%s/registrations/%s",
		    q->arg[0], text(said, "id"));
		reply_tree(q, 202, json_deep_copy(said));
	}
}

static void
waited(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	q->registers = false;
	if (rc == RK_OK)
		reply_registration(q, said);
	else
		reply_err(q, rc, why, "registration");
	req_wake(q);
}

static void
await(struct req *q, const char *id)
{
	const char *prefer = req_header(q, "Prefer");
	const bool at_once = prefer != NULL && strstr(prefer,
	    "respond-async") != NULL;

	q->registers = true;
	models_registration_wait(q->api->models, id, at_once ? 0 : ANSWER_MS,
	    waited, q);
	req_wait(q);
}

/* --- beginning ------------------------------------------------------------ */

/* Of a name that no model can have. */
static bool
name_ok(struct req *q)
{
	struct rk_why own = { 0 };

	if (models_name_ok(q->arg[0], &own) == RK_OK)
		return true;
	rk_refuse_at(&q->why, "model", "%s", own.v[0].message);
	rk_why_fini(&own);
	reply_faults(q, P_INVALID_FIELDS, &q->why);
	return false;
}

/* Was it begun before, by a request whose answer nobody kept? */
static bool
is_repeated(struct req *q)
{
	char id[RK_ID];
	const enum rk_err rc = q->idem_key != NULL ? models_registered_by(
	    q->api->models, q->idem_key, q->idem_digest, id) : RK_ENOENT;

	if (rc == RK_ENOENT)
		return false;
	if (rc == RK_OK) {
		q->replayed = true;
		await(q, id);
	} else if (rc == RK_ECONFLICT) {
		reply_problem(q, P_KEY_REUSED, "this Idempotency-Key came with "
		    "another request before; a new request needs a new key");
	} else {
		reply_err(q, rc, NULL, "registration");
	}
	return true;
}

static void
refuse(struct req *q, enum rk_err rc)
{
	if (rc == RK_EINVAL)
		reply_faults(q, P_INVALID_FIELDS, &q->why);
	else if (rc == RK_ENOENT && q->why.n > 0)
		reply_problem(q, P_NOT_FOUND, "%s", q->why.v[0].message);
	else
		reply_models_err(q, rc, &q->why, "registration");
}

void
h_register(struct req *q)
{
	const struct store_note note = req_note(q);
	char id[RK_ID];
	json_t *body;

	if (!name_ok(q) || is_repeated(q) || (body = req_tree(q, false)) ==
	    NULL)
		return;
	const enum rk_err rc = models_register(q->api->models, q->arg[0], body,
	    &note, id, &q->why);
	json_decref(body);
	if (rc == RK_OK)
		await(q, id);
	else
		refuse(q, rc);
}

/* --- looking, giving up --------------------------------------------------- */

void
h_registration(struct req *q)
{
	json_t *v = NULL;
	const enum rk_err rc = models_registration(q->api->models, q->arg[0],
	    q->arg[1], &v, &q->why);

	if (rc == RK_OK)
		reply_tree(q, 200, v);
	else
		refuse(q, rc);
}

void
h_registration_drop(struct req *q)
{
	const enum rk_err rc = models_registration_drop(q->api->models,
	    q->arg[0], q->arg[1], &q->why);

	if (rc == RK_OK)
		reply_empty(q, 204);
	else if (rc == RK_ECONFLICT)
		reply_problem(q, P_CONFLICT, "%s", rk_why_first(&q->why));
	else
		refuse(q, rc);
}

void
h_registrations(struct req *q)
{
	const char *cursor = query_get(&q->query, "cursor");
	const int limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	struct rk_why own = { 0 };
	json_t *list = NULL, *o;

	if (cursor != NULL && !rk_id_ok(cursor))
		rk_refuse_at(&q->why, "cursor", "is \"%.80s\", want `next` of "
		    "the page before", cursor);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	if (models_name_ok(q->arg[0], &own) != RK_OK) {
		reply_problem(q, P_NOT_FOUND, "the model %s",
		    rk_why_first(&own));
		rk_why_fini(&own);
		return;
	}
	const enum rk_err rc = models_registrations(q->api->models, q->arg[0],
	    cursor, limit + 1, &list);
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "registrations");
		return;
	}
	o = json_object();
	json_object_set_new(o, "next", json_null());
	if (json_array_size(list) > (size_t)limit) {
		json_array_remove(list, (size_t)limit);
		json_object_set(o, "next", json_object_get(json_array_get(list,
		    (size_t)limit - 1), "id"));
	}
	json_object_set_new(o, "registrations", list);
	reply_tree(q, 200, o);
}
