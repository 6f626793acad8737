/*
 * Put a file: in one request, or in the parts of a multipart upload.
 *
 * Parts are hashed by a worker just before they are sent, two ahead of those
 * on the wire, so that the hash is of bytes that the page cache still holds.
 * What the store says of a part is compared with what was hashed; what it says
 * of the finished object is asked for at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload.h"

#define HASH_AHEAD 2
#define ANEW_MAX   2

static struct upload *
upload_of(struct remote_op *op)
{
	/* The operation is the upload's first member. */
	struct upload *u = (struct upload *)(void *)op;

	must_be(u, UPLOAD_TAG);
	return u;
}

bool
upload_is_oss(const struct upload *u)
{
	return u->op.place.store->kind == STORE_OSS;
}

/* --- ends --------------------------------------------------------------- */

static void
drop(struct remote_op *op)
{
	struct upload *u = upload_of(op);

	req_cancel(&u->req);
	parts_drop(u);
	loop_timer_del(&u->timer);
	free(u->parts);
	free(u->sha256);
	free(u->upload_id);
	rk_close(&u->fd);
	u->parts = NULL;
	u->nparts = 0;
	u->sha256 = u->upload_id = NULL;
}

void
upload_end(struct upload *u, const struct remote_result *res)
{
	large_end(&u->op, u->tries, res);
}

void
upload_fault(struct upload *u, const struct req_result *q)
{
	large_fault(&u->op, u->tries, q);
}

void
upload_fail(struct upload *u, enum remote_end end, enum rk_err err,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	large_fail(&u->op, u->tries, end, err, fmt, ap);
	va_end(ap);
}

/* --- the file ----------------------------------------------------------- */

static int64_t
mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

bool
upload_same_file(struct upload *u)
{
	struct stat st;

	if (fstat(u->fd, &st) != 0) {
		upload_fail(u, REMOTE_LOCAL, rk_from_errno(errno),
		    "the file cannot be looked at: %s", strerror(errno));
		return false;
	}
	if ((uint64_t)st.st_size == u->size && mtime_ns(&st) == u->mtime_ns)
		return true;
	upload_fail(u, REMOTE_LOCAL, RK_ECORRUPT,
	    "the file changed while it was uploaded");
	return false;
}

/* --- requests ----------------------------------------------------------- */

void
upload_spec(struct upload *u, struct req_spec *s, const char *method,
    req_fn *fn)
{
	*s = (struct req_spec){
		.place = &u->op.place, .method = method, .body_fd = -1,
		.sink_fd = -1, .patience = u->op.patience, .fn = fn, .ctx = u,
	};
}

static void
on_timer(void *ctx)
{
	struct upload *u = ctx;

	must_be(u, UPLOAD_TAG);
	u->then(u);
}

void
upload_later(struct upload *u, int64_t ms, void (*then)(struct upload *))
{
	u->then = then;
	loop_timer_at(u->timer, mono_ms() + ms);
}

/* --- parts -------------------------------------------------------------- */

/* How many may be on the wire now.  One always may, or nothing would move. */
static size_t
room(const struct upload *u)
{
	int most = RK_MIN(u->op.r->c.parts, u->op.place.store->window);

	return (size_t)RK_MAX(most, 1);
}

/* Begin what may begin; complete when all is done.  May end the upload. */
void
upload_pump(struct upload *u)
{
	if (!u->moving)
		return;
	while (u->low < u->nparts && u->parts[u->low].state == PART_DONE)
		u->low++;
	if (u->low == u->nparts) {
		u->moving = false;
		if (!u->whole)
			upload_complete(u);
		else
			upload_look(u);
		return;
	}
	for (size_t i = u->low; i < u->nparts && !u->held; i++) {
		struct part *p = &u->parts[i];

		if (p->state == PART_READY && u->sending < room(u))
			part_send(p);
		else if (p->state == PART_WAITS &&
		    u->hashing + u->ready < HASH_AHEAD)
			part_hash(p);
		if (u->hashing + u->ready >= HASH_AHEAD &&
		    u->sending >= room(u))
			break;
	}
}

static void
cut(struct upload *u, uint64_t part_size)
{
	u->part_size = part_size;
	u->nparts = plan_parts(u->size, part_size);
	must(u->nparts > 0);
	u->parts = xcalloc(u->nparts, sizeof(*u->parts));
	for (size_t i = 0; i < u->nparts; i++)
		u->parts[i].u = u;
	u->low = u->hashing = u->ready = u->sending = u->done = 0;
	u->done_bytes = 0;
}

/* --- create ------------------------------------------------------------- */

static void
begin_whole(struct upload *u)
{
	u->whole = true;
	cut(u, RK_MAX(u->size, 1));
	u->moving = true;
	upload_pump(u);
}

static void
aborted(void *ctx, const struct req_result *q)
{
	struct upload *u = ctx;

	must_be(u, UPLOAD_TAG);
	(void)q;
	u->req = NULL;
	upload_fail(u, REMOTE_LOCAL, RK_EIO,
	    "the upload could not be recorded, and was given up");
}

/* It would be billed and never found again. */
static void
abort_unrecorded(struct upload *u)
{
	struct req_spec s;

	upload_spec(u, &s, "DELETE", aborted);
	s.query[s.nquery++] = (struct sign_query){ "uploadId", u->upload_id };
	u->req = req_send(u->op.r, &s);
}

static void
created(void *ctx, const struct req_result *q)
{
	struct upload *u = ctx;

	must_be(u, UPLOAD_TAG);
	u->req = NULL;
	u->tries += q->tries;
	if (q->fault != F_NONE) {
		upload_fault(u, q);
		return;
	}
	u->upload_id = xml_find(q->a->body, q->a->len, "UploadId");
	if (u->upload_id == NULL || u->upload_id[0] == '\0' ||
	    strlen(u->upload_id) > 1024) {
		upload_fail(u, REMOTE_REFUSED, RK_OK,
		    "%s began an upload without a name",
		    u->op.place.store->host);
		return;
	}
	if (u->began != NULL &&
	    !u->began(u->op.ctx, u->upload_id, u->part_size)) {
		abort_unrecorded(u);
		return;
	}
	u->moving = true;
	upload_pump(u);
}

static void
create(struct upload *u)
{
	static const char *const sums[] = { NULL, "CRC32C", "SHA256" };
	const struct rstore *st = u->op.place.store;
	struct req_spec s;
	bool oss = upload_is_oss(u);

	cut(u, plan_part_size(u->op.r->c.part_size, u->size));
	upload_spec(u, &s, "POST", created);
	s.query[s.nquery++] = (struct sign_query){ "uploads", "" };
	s.headers[s.nheaders++] = (struct sign_header){ "Content-Type",
	    "application/octet-stream" };
	s.headers[s.nheaders++] = (struct sign_header){
	    oss ? "x-oss-meta-upload-id" : "x-amz-meta-upload-id", u->own_id };
	if (u->sha256 != NULL)
		s.headers[s.nheaders++] = (struct sign_header){ oss ?
		    "x-oss-meta-sha256" : "x-amz-meta-sha256", u->sha256 };
	if (!oss && st->checksum != SUM_NONE)
		s.headers[s.nheaders++] = (struct sign_header){
		    "x-amz-checksum-algorithm", sums[st->checksum] };
	u->req = req_send(u->op.r, &s);
}

void
upload_anew(struct upload *u)
{
	parts_drop(u);
	free(u->parts);
	free(u->upload_id);
	u->parts = NULL;
	u->upload_id = NULL;
	u->nparts = 0;
	u->unsure = u->crc_known = u->moving = false;
	if (++u->anew > ANEW_MAX) {
		upload_fail(u, REMOTE_MISSING, RK_OK, "%s forgets the upload "
		    "again and again", u->op.place.store->host);
		return;
	}
	create(u);
}

/* --- begin -------------------------------------------------------------- */

static void
begin(struct upload *u)
{
	struct stat st;

	if (u->fd < 0 || fstat(u->fd, &st) != 0) {
		upload_fail(u, REMOTE_LOCAL, RK_EIO,
		    "the file cannot be looked at");
		return;
	}
	u->mtime_ns = mtime_ns(&st);
	if (!upload_same_file(u))
		return;
	if (u->op.place.store->kind == STORE_HTTPS)
		upload_fail(u, REMOTE_REFUSED, RK_OK,
		    "https:// addresses can only be read");
	else if (u->upload_id != NULL &&
	    plan_parts(u->size, u->part_size) > 0) {
		cut(u, u->part_size);
		upload_list(u);
	} else if (u->size <= u->op.r->c.part_size)
		begin_whole(u);
	else {
		free(u->upload_id);
		u->upload_id = NULL;
		create(u);
	}
}

static void
moved(const struct remote_op *op, uint64_t *done, uint64_t *total)
{
	const struct upload *u = (const struct upload *)(const void *)op;
	uint64_t sent, sunk;

	must_be(u, UPLOAD_TAG);
	*total = u->size;
	*done = u->done_bytes;
	for (size_t i = u->low, n = 0; i < u->nparts && n < u->sending; i++) {
		if (u->parts[i].state != PART_SENDING)
			continue;
		req_moved(u->parts[i].req, &sent, &sunk);
		*done += RK_MIN(sent, part_len(u, &u->parts[i]));
		n++;
	}
}

static void
hold(struct remote_op *op, bool on)
{
	struct upload *u = upload_of(op);

	u->held = on;
	if (!on && u->moving)
		upload_later(u, 0, upload_pump);
}

struct remote_op *
remote_upload(struct remote *r, const char *uri, const struct remote_upload *a)
{
	struct remote_op *op;
	struct upload *u;
	unsigned char id[16];

	if (!op_begin(r, sizeof(*u), uri, &a->patience, a->done, a->ctx, &op))
		return op;
	if (op->place.store->kind == STORE_FILE)
		return file_upload(op, a), op;
	u = (struct upload *)(void *)op;
	u->tag = UPLOAD_TAG;
	u->fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
	u->size = a->size;
	u->part_size = a->part_size;
	u->began = a->began;
	u->sha256 = a->sha256 != NULL ? xstrdup(a->sha256) : NULL;
	u->upload_id = a->upload_id != NULL ? xstrdup(a->upload_id) : NULL;
	rk_random_bytes(id, sizeof(id));
	rk_hex(u->own_id, id, sizeof(id));
	op->cancel = drop;
	op->moved = moved;
	op->hold = hold;
	u->timer = loop_timer_add(r->loop, on_timer, u);
	upload_later(u, 0, begin);
	return op;
}
