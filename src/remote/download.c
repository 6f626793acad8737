/*
 * Get an object into a file: ranges of it in parallel, each written where it
 * belongs, hashed behind them in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "download.h"

static struct download *
download_of(struct remote_op *op)
{
	/* The operation is the download's first member. */
	struct download *d = (struct download *)(void *)op;

	must_be(d, DOWNLOAD_TAG);
	return d;
}

/* --- ends --------------------------------------------------------------- */

static void
drop(struct remote_op *op)
{
	struct download *d = download_of(op);

	req_cancel(&d->req);
	pulls_drop(d);
	behind_drop(d);
	loop_timer_del(&d->timer);
	ranges_fini(&d->have);
	ranges_fini(&d->done);
	ranges_fini(&d->taken);
	hops_fini(&d->hops);
	free(d->want);
	free(d->have_etag);
	d->want = d->have_etag = NULL;
	rk_close(&d->fd);
}

void
download_end(struct download *d, const struct remote_result *res)
{
	large_end(&d->op, d->tries, res);
}

void
download_fault(struct download *d, const struct req_result *q)
{
	large_fault(&d->op, d->tries, q);
}

void
download_fail(struct download *d, enum remote_end end, enum rk_err err,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	large_fail(&d->op, d->tries, end, err, fmt, ap);
	va_end(ap);
}

void
download_spec(struct download *d, struct req_spec *s, const char *method,
    req_fn *fn)
{
	*s = (struct req_spec){
		.place = &d->op.place, .method = method, .body_fd = -1,
		.sink_fd = -1, .patience = d->op.patience, .fn = fn, .ctx = d,
	};
}

/* --- the size is known -------------------------------------------------- */

/* What an earlier call got, if it is of this object and in the file. */
static void
believe(struct download *d, uint64_t file_size)
{
	uint64_t end = RK_MIN(d->size, file_size);

	if (d->have_etag == NULL || d->etag[0] == '\0' ||
	    strcasecmp(d->have_etag, d->etag) != 0)
		return;
	for (size_t i = 0; i < d->have.n; i++) {
		uint64_t at = d->have.v[i].at, n = d->have.v[i].n;

		if (at < end)
			ranges_add(&d->done, at, RK_MIN(n, end - at));
	}
	for (size_t i = 0; i < d->done.n; i++)
		ranges_add(&d->taken, d->done.v[i].at, d->done.v[i].n);
}

static bool
ready_file(struct download *d)
{
	struct stat st;

	if (d->fd < 0 || fstat(d->fd, &st) != 0 ||
	    ((uint64_t)st.st_size > d->size &&
	    ftruncate(d->fd, (off_t)d->size) != 0)) {
		download_fail(d, REMOTE_LOCAL, rk_from_errno(errno),
		    "the file cannot be written: %s", strerror(errno));
		return false;
	}
	believe(d, (uint64_t)st.st_size);
	return true;
}

static void
keep(struct download *d, const struct object *o)
{
	memcpy(d->etag, o->etag, sizeof(d->etag));
	d->quoted[0] = '\0';
	if (d->etag[0] != '\0' && !o->weak_etag)
		snprintf(d->quoted, sizeof(d->quoted), "\"%s\"", d->etag);
	d->modified_ms = o->modified_ms;
	d->has_crc = o->has_crc64;
	d->crc = o->crc64;
	if (d->want == NULL && d->op.place.sha256 != NULL)
		d->want = xstrdup(d->op.place.sha256);
	if (d->want == NULL && o->sha256[0] != '\0')
		d->want = xstrdup(o->sha256);
}

void
download_go(struct download *d, const struct object *o)
{
	char have[RK_HUMAN], most[RK_HUMAN];

	d->sized_known = o->has_size;
	d->size = o->has_size ? o->size : 0;
	keep(d, o);
	if (d->max > 0 && d->size > d->max) {
		download_fail(d, REMOTE_REFUSED, RK_OK, "it has %s, at most "
		    "%s are wanted", rk_human_bytes(have, d->size),
		    rk_human_bytes(most, d->max));
		return;
	}
	if (d->sized != NULL && !d->sized(d->op.ctx, d->size, d->etag)) {
		download_fail(d, REMOTE_LOCAL, RK_ENOSPC,
		    "there is no room for %s", rk_human_bytes(have, d->size));
		return;
	}
	if (!ready_file(d))
		return;
	d->range_size = plan_range_size(d->op.r->c.part_size, d->size);
	if (!d->sized_known) {
		stream_begin(d);
		return;
	}
	d->pumping = true;
	behind_begin(d);
	pulls_pump(d);
	behind_see(d, 0, 0);    /* last: of nothing, all is there */
}

void
download_all(struct download *d, const char *sha256, uint64_t crc)
{
	struct remote_result res = { .end = REMOTE_OK, .err = RK_OK,
	    .error = "", .code = "", .body = "" };

	if (d->want != NULL && strcasecmp(d->want, sha256) != 0) {
		download_fail(d, REMOTE_DAMAGED, RK_OK, "the digest of what "
		    "came, SHA-256 %s, is not %s", sha256, d->want);
		return;
	}
	if (d->want == NULL && d->has_crc && d->crc != crc) {
		download_fail(d, REMOTE_DAMAGED, RK_OK,
		    "the bytes do not have the CRC that the store says");
		return;
	}
	res.status = 200;
	res.etag = d->etag;
	res.size = d->size;
	res.modified_ms = d->modified_ms;
	res.sha256 = sha256;
	download_end(d, &res);
}

/* --- begin -------------------------------------------------------------- */

static void
moved(const struct remote_op *op, uint64_t *done, uint64_t *total)
{
	const struct download *d = (const struct download *)(const void *)op;

	must_be(d, DOWNLOAD_TAG);
	*total = d->size;
	*done = pulls_moving(d);
	for (size_t i = 0; i < d->done.n; i++)
		*done += d->done.v[i].n;
}

static void
on_timer(void *ctx)
{
	struct download *d = ctx;

	must_be(d, DOWNLOAD_TAG);
	pulls_pump(d);
}

static void
hold(struct remote_op *op, bool on)
{
	struct download *d = download_of(op);

	d->held = on;
	if (!on && d->pumping)
		loop_timer_at(d->timer, mono_ms());
}

struct remote_op *
remote_download(struct remote *r, const char *uri,
    const struct remote_download *a)
{
	struct remote_op *op;
	struct download *d;

	if (!op_begin(r, sizeof(*d), uri, &a->patience, a->done, a->ctx, &op))
		return op;
	if (op->place.store->kind == STORE_FILE)
		return file_download(op, a), op;
	d = (struct download *)(void *)op;
	d->tag = DOWNLOAD_TAG;
	d->fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
	d->max = a->max;
	d->want = a->sha256 != NULL ? xstrdup(a->sha256) : NULL;
	d->have_etag = a->etag != NULL ? xstrdup(a->etag) : NULL;
	for (size_t i = 0; i < a->nhave; i++)
		ranges_add(&d->have, a->have[i].at, a->have[i].n);
	d->sized = a->sized;
	d->got = a->got;
	op->cancel = drop;
	op->moved = moved;
	op->hold = hold;
	d->timer = loop_timer_add(r->loop, on_timer, d);
	download_look(d);
	return op;
}
