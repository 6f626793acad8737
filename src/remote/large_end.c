/* How an upload or a download of a large object ends. */
#include "large.h"

void
large_end(struct remote_op *op, int tries, const struct remote_result *r)
{
	struct remote_result copy = *r;

	copy.tries = tries;
	op->cancel(op);
	op_end(op, &copy);
}

void
large_fault(struct remote_op *op, int tries, const struct req_result *q)
{
	struct remote_result r = { 0 };
	char etag[ETAG_MAX];

	op_result(q, &r, etag);
	large_end(op, tries, &r);
}

void
large_fail(struct remote_op *op, int tries, enum remote_end end,
    enum rk_err err, const char *fmt, va_list ap)
{
	struct remote_result r = { .end = end, .err = err, .code = "",
	    .etag = "", .sha256 = "", .body = "" };
	struct strbuf b = { 0 };

	sb_vaddf(&b, fmt, ap);
	r.error = sb_str(&b);
	large_end(op, tries, &r);
	sb_fini(&b);
}
