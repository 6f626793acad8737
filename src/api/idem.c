/*
 * Idempotency-Key: a client that did not hear our answer asks again with the
 * same key, and gets the answer that it missed instead of a second effect.
 *
 * The row of the key is written in the transaction of the effect (store_note),
 * so a crash leaves both or neither; the answer follows in a second one.  If
 * a crash came between, the answer is made again from the job as it is.  Only
 * answers of 2xx are kept: a refusal has no effect, so the request may be
 * mended and sent again under the same key.
 *
 * The kept text is the answer's Location and ETag, a line each, and its body.
 */
#include "impl.h"

#include <string.h>

static void
digest_of(const struct req *q, char hex[RK_SHA256_HEX])
{
	struct rk_sha256 *d = rk_sha256_new();

	rk_sha256_add(d, q->method, strlen(q->method) + 1);
	rk_sha256_add(d, q->uri, strlen(q->uri) + 1);
	rk_sha256_add(d, q->body != NULL ? q->body : "", q->len);
	rk_sha256_end(d, hex);
}

static bool
same_request(struct req *q, const char *digest)
{
	if (strcmp(digest, q->idem_digest) == 0)
		return true;
	reply_problem(q, P_KEY_REUSED, "this Idempotency-Key came with another "
	    "request before; a new request needs a new key");
	return false;
}

/* Is another request with this key being answered right now? */
static bool
in_flight(struct req *q)
{
	for (struct req *r = q->api->reqs; r != NULL; r = r->next) {
		if (r == q || !r->waiting || r->idem_key == NULL ||
		    strcmp(r->idem_key, q->idem_key) != 0)
			continue;
		if (same_request(q, r->idem_digest))
			reply_problem(q, P_IN_PROGRESS, "a request with this "
			    "Idempotency-Key is still being answered");
		return true;
	}
	return false;
}

static char *
first_line(const char **text)
{
	size_t n = strcspn(*text, "\n");
	char *line = xstrndup(*text, n);

	*text += n + ((*text)[n] == '\n');
	return line;
}

/* The job that an unknown key has made may be on its way here. */
static bool
may_be_known(struct req *q)
{
	return api_taking_over(q->api) && strncmp(q->route->path, "/v1/jobs",
	    strlen("/v1/jobs")) == 0 && !query_flag(&q->query, "dry_run");
}

/* The kept answer, or one made again from the job that was its effect. */
static void
replay(struct req *q, const struct idem_row *row)
{
	const char *text = row->body != NULL ? row->body : "";
	char *etag;

	q->replayed = true;
	if (row->status == 0) {
		bool made = strcmp(q->route->op, "submitJob") == 0;
		reply_job(q, made ? 201 : 202, row->job);
		if (made && q->status == 201)
			q->location = xasprintf("/v1/jobs/%s", row->job);
		idem_end(q);
		return;
	}
	q->location = first_line(&text);
	if (q->location[0] == '\0') {
		free(q->location);
		q->location = NULL;
	}
	etag = first_line(&text);
	snprintf(q->etag, sizeof(q->etag), "%s", etag);
	free(etag);
	sb_adds(&q->out, text);
	reply_json(q, row->status);
}

bool
idem_begin(struct req *q)
{
	const char *key = req_header(q, "Idempotency-Key");
	struct idem_row row = { 0 };
	enum rk_err rc;

	if (key == NULL)
		return true;
	if (!guard_idem_key_ok(key)) {
		reply_problem(q, P_BAD_REQUEST, "an Idempotency-Key is 1 to "
		    "255 printable ASCII characters");
		return false;
	}
	q->idem_key = xstrdup(key);
	digest_of(q, q->idem_digest);
	if (in_flight(q))
		return false;
	rc = store_idem_get(q->api->store, key, &row);
	if (rc == RK_ENOENT && may_be_known(q)) {
		reply_taking_over(q);
		return false;
	}
	if (rc == RK_ENOENT)
		return true;
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "key");
		return false;
	}
	if (same_request(q, row.digest)) {
		/* Not all effects can be told from the job; those that cannot
		 * (drain, a checkpoint) may happen twice. */
		if (row.status == 0 && (row.job[0] == '\0' ||
		    strcmp(q->route->op, "checkpointNow") == 0)) {
			store_idem_fini(&row);
			return true;
		}
		replay(q, &row);
	}
	store_idem_fini(&row);
	return false;
}

void
idem_end(struct req *q)
{
	struct store *st = q->api->store;
	struct strbuf b = { 0 };
	enum rk_err rc;

	if (q->idem_key == NULL || q->status < 200 || q->status > 299)
		return;
	sb_addf(&b, "%s\n%s\n", q->location != NULL ? q->location : "",
	    q->etag);
	sb_add(&b, sb_str(&q->out), q->out.len);
	rc = store_idem_answer(st, q->idem_key, q->status, b.s);
	if (rc == RK_ENOENT) {          /* an effect without a row of its own */
		rc = store_idem_add(st, q->idem_key, q->idem_digest, q->arg[0]);
		if (rc == RK_OK)
			rc = store_idem_answer(st, q->idem_key, q->status, b.s);
	}
	if (rc != RK_OK)
		log_warn("api: the answer to an Idempotency-Key is not kept: "
		    "%s", rk_strerror(rc));
	sb_fini(&b);
}
