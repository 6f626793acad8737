/* RFC 9457: what a refusal looks like. */
#include "impl.h"

const struct problem_def problems[PROBLEMS] = {
	[P_BAD_REQUEST]      = { "bad-request", "Bad request", 400 },
	[P_INVALID_QUERY]    = { "invalid-query", "A query parameter is wrong",
	                         400 },
	[P_MALFORMED_BODY]   = { "malformed-body",
	                         "The body is not what its type says", 400 },
	[P_FORBIDDEN_ORIGIN] = { "forbidden-origin",
	                         "Another site made this request", 403 },
	[P_WRONG_HOST]       = { "wrong-host", "This is not that host", 421 },
	[P_NOT_FOUND]        = { "not-found", "There is no such thing", 404 },
	[P_METHOD]           = { "method-not-allowed",
	                         "It does not take that method", 405 },
	[P_CONFLICT]         = { "conflict", "Not in this state", 409 },
	[P_IN_PROGRESS]      = { "in-progress",
	                         "The same request is being answered", 409 },
	[P_PRECONDITION]     = { "precondition-failed",
	                         "It has changed since", 412 },
	[P_TOO_LARGE]        = { "too-large", "The body is too large", 413 },
	[P_MEDIA_TYPE]       = { "unsupported-media-type",
	                         "It needs one of our content types", 415 },
	[P_RANGE]            = { "range", "Not in the file", 416 },
	[P_INVALID_JOB]      = { "invalid-job", "The job is not valid", 422 },
	[P_INVALID_FIELDS]   = { "invalid-fields", "The fields are not valid",
	                         422 },
	[P_KEY_REUSED]       = { "idempotency-key-reused",
	                         "The key was used for another request", 422 },
	[P_INTERNAL]         = { "internal", "Something failed here", 500 },
	[P_CORRUPT]          = { "corrupt", "What is stored is damaged", 500 },
	[P_DRAINING]         = { "draining", "No new work is taken", 503 },
	[P_NOT_READY]        = { "not-ready", "Not ready", 503 },
	[P_TOO_MANY_STREAMS] = { "too-many-streams",
	                         "Too many are following already", 503 },
	[P_READ_ONLY]        = { "read-only",
	                         "The state directory cannot be written", 503 },
	[P_DATABASE_GONE]    = { "database-gone",
	                         "The database was removed or replaced", 503 },
	[P_TIMEOUT]          = { "timeout", "It took too long", 504 },
	[P_STORE]            = { "store-unreachable",
	                         "The object store does not answer", 503 },
	[P_NO_CONDITION]     = { "no-put-if-absent",
	                         "The object store has no put-if-absent",
	                         409 },
	[P_NO_SPACE]         = { "no-space", "No space left on the disk", 507 },
};

void
problem_write(struct strbuf *b, enum problem p, const char *detail,
    const struct rk_why *faults)
{
	const struct problem_def *d = &problems[p];

	sb_addf(b, "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d",
	    d->slug, d->title, d->status);
	put_key(b, "detail");
	put_str(b, detail);
	if (faults != NULL && faults->n > 0) {
		put_key(b, "errors");
		for (size_t i = 0; i < faults->n; i++) {
			sb_adds(b, i == 0 ? "[{\"path\":" : ",{\"path\":");
			put_str(b, faults->v[i].path);
			put_key(b, "message");
			put_str(b, faults->v[i].message);
			sb_addc(b, '}');
		}
		sb_addc(b, ']');
		if (faults->more > 0)
			sb_addf(b, ",\"errors_left_out\":%zu", faults->more);
	}
	sb_adds(b, "}\n");
}
