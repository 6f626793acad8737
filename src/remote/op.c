/* Operations: how they begin and end, and what they say of a request's end. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "impl.h"

/* --- begin and end -------------------------------------------------------- */

bool
op_begin(struct remote *r, size_t size, const char *uri,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx,
    struct remote_op **opp)
{
	struct rk_why why = {0};

	must_be(r, REMOTE_TAG);
	must(size >= sizeof(struct remote_op));
	struct remote_op *op = *opp = xcalloc(1, size);
	op->tag = OP_TAG;
	op->r = r;
	op->done = fn;
	op->ctx = ctx;
	op->patience = p != NULL ? *p : (struct remote_patience){0};
	op->next = r->ops;
	op->prev = &r->ops;
	if (op->next != NULL)
		op->next->prev = &op->next;
	r->ops = op;
	bool ok = place_of(r, uri, &op->place, &why) == RK_OK;
	if (!ok)
		op_later(op, REMOTE_REFUSED, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

static void
unlink_op(struct remote_op *op)
{
	*op->prev = op->next;
	if (op->next != NULL)
		op->next->prev = op->prev;
}

static void
free_op(struct remote_op *op)
{
	file_forget(op);
	if (op->cancel != NULL)
		op->cancel(op);
	loop_timer_del(&op->timer);
	place_fini(&op->place);
	free(op->later_error);
	op->tag = 0;
	free(op);
}

void
op_end(struct remote_op *op, const struct remote_result *res)
{
	struct remote_result r = *res;

	must_be(op, OP_TAG);
	/* Nobody has to check for NULL. */
	r.error = r.error != NULL ? r.error : "";
	r.code = r.code != NULL ? r.code : "";
	r.etag = r.etag != NULL ? r.etag : "";
	r.sha256 = r.sha256 != NULL ? r.sha256 : "";
	r.body = r.body != NULL ? r.body : "";
	unlink_op(op);
	if (op->done != NULL)
		op->done(op->ctx, &r);
	free_op(op);
}

void
remote_cancel(struct remote_op **opp)
{
	struct remote_op *op = *opp;

	*opp = NULL;
	if (op == NULL)
		return;
	must_be(op, OP_TAG);
	unlink_op(op);
	free_op(op);
}

static void
on_later(void *ctx)
{
	struct remote_op *op = ctx;

	must_be(op, OP_TAG);
	op_end(op, &(struct remote_result){ .end = op->later,
	    .error = op->later_error });
}

void
op_later(struct remote_op *op, enum remote_end end, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	must(op->timer == NULL);
	op->later = end;
	op->later_error = sb_detach(&b);
	op->timer = loop_timer_add(op->r->loop, on_later, op);
	loop_timer_at(op->timer, 0);
}

void
remote_moved(const struct remote_op *op, uint64_t *done, uint64_t *total)
{
	must_be(op, OP_TAG);
	*done = *total = 0;
	if (op->moved != NULL)
		op->moved(op, done, total);
}

void
remote_hold(struct remote_op *op, bool hold)
{
	must_be(op, OP_TAG);
	if (op->hold != NULL)
		op->hold(op, hold);
}

/* --- what an answer says -------------------------------------------------- */

void
etag_clean(const char *s, char etag[ETAG_MAX])
{
	struct strbuf b = {0};
	bool hex = true;

	for (; s != NULL && *s != '\0' && b.len < ETAG_MAX - 1; s++) {
		if (strncasecmp(s, "&quot;", 6) == 0) {
			s += 5;
			continue;
		}
		if (*s == '"')
			continue;
		hex &= isxdigit((unsigned char)*s) || *s == '-';
		sb_addc(&b, *s);
	}
	for (size_t i = 0; hex && i < b.len; i++)
		b.s[i] = (char)tolower((unsigned char)b.s[i]);
	snprintf(etag, ETAG_MAX, "%s", sb_str(&b));
	sb_fini(&b);
}

static uint64_t
number(const char *s)
{
	if (s == NULL || s[0] == '\0' || strlen(s) > 18 ||
	    strspn(s, "0123456789") != strlen(s))
		return 0;
	return strtoull(s, NULL, 10);
}

/* Of a ranged answer the size is the whole object's, "bytes 0-0/1234". */
static uint64_t
size_of(const struct http_answer *a)
{
	const char *range = http_header(a, "content-range");

	if (a->status == 206 && range != NULL &&
	    (range = strchr(range, '/')) != NULL)
		return number(range + 1);
	return number(http_header(a, "content-length"));
}

static const char *
digest_of(const struct http_answer *a)
{
	const char *s = http_header(a, "x-amz-meta-sha256");

	if (s == NULL)
		s = http_header(a, "x-oss-meta-sha256");
	if (s == NULL || strlen(s) != 64 ||
	    strspn(s, "0123456789abcdef") != 64)
		return "";
	return s;
}

void
op_result(const struct req_result *q, struct remote_result *res,
    char etag[ETAG_MAX])
{
	const struct http_answer *a = q->a;

	etag[0] = '\0';
	*res = (struct remote_result){ .end = end_of(q->fault),
	    .error = q->error, .code = q->code, .tries = q->tries,
	    .etag = etag, .sha256 = "", .body = "" };
	if (a == NULL)
		return;
	res->status = a->status;
	res->hidden = q->hidden;
	res->too_large = a->end == HTTP_TOO_LONG && a->status == 200;
	if (q->fault == F_DISK)
		res->err = a->err;
	if (q->fault != F_NONE)
		return;
	etag_clean(http_header(a, "etag"), etag);
	res->size = size_of(a);
	if (!rk_time_parse(http_header(a, "last-modified") != NULL ?
	    http_header(a, "last-modified") : "", &res->modified_ms))
		res->modified_ms = 0;
	res->sha256 = digest_of(a);
	res->body = a->body != NULL ? a->body : "";
	res->len = a->len;
}
