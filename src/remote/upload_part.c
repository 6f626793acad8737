/* One part of an upload: hashed, sent, and compared with what the store says
 * that it got. */
#include <stdlib.h>
#include <string.h>

#include "upload.h"

#define DAMAGED_MAX 2

uint64_t
part_at(const struct upload *u, const struct part *p)
{
	return (uint64_t)(p - u->parts) * u->part_size;
}

uint64_t
part_len(const struct upload *u, const struct part *p)
{
	return RK_MIN(u->part_size, u->size - part_at(u, p));
}

static void
moves(struct part *p, enum part_state to)
{
	struct upload *u = p->u;
	size_t *const count[] = { NULL, &u->hashing, &u->ready, &u->sending,
	    &u->done };

	if (count[p->state] != NULL)
		--*count[p->state];
	if (count[to] != NULL)
		++*count[to];
	p->state = to;
}

void
parts_drop(struct upload *u)
{
	for (size_t i = 0; i < u->nparts; i++) {
		req_cancel(&u->parts[i].req);
		sum_cancel(&u->parts[i].job);
	}
}

/* Hash and send it again. */
static void
anew(struct part *p)
{
	struct upload *u = p->u;

	moves(p, PART_WAITS);
	u->low = RK_MIN(u->low, (size_t)(p - u->parts));
	upload_pump(u);
}

/* Send it again if its bytes did not arrive as they were read: read anew,
 * because the disk may have been what was wrong. */
static void
again(struct part *p, const char *error)
{
	struct upload *u = p->u;

	if (++p->damaged > DAMAGED_MAX) {
		upload_fail(u, REMOTE_DAMAGED, RK_OK, "part %zu: %s",
		    (size_t)(p - u->parts) + 1, error);
		return;
	}
	log_warn("remote: part %zu of %s is sent again: %s",
	    (size_t)(p - u->parts) + 1, u->op.place.key, error);
	anew(p);
}

/* --- hashing ------------------------------------------------------------ */

/* What a store wants to be told, and what its answers can be compared with. */
static unsigned
wanted(const struct part *p)
{
	const struct rstore *st = p->u->op.place.store;
	unsigned want;

	if (st->kind == STORE_OSS)
		return SUM_MD5_ | SUM_CRC64_;
	want = st->tls ? SUM_MD5_ : SUM_SHA_;
	if (p->listed || st->check_etag || st->wants_md5)
		want |= SUM_MD5_;
	if (st->checksum == SUM_CRC32C)
		want |= SUM_CRC32_;
	else if (st->checksum == SUM_SHA256)
		want |= SUM_SHA_;
	return want;
}

/* What the store listed is what the file has. */
static bool
is_there(const struct part *p)
{
	unsigned char md5[16];

	if (upload_is_oss(p->u) && p->has_crc64)
		return p->listed_crc64 == p->sums.crc64;
	return etag_md5(p->etag, md5) && memcmp(md5, p->sums.md5, 16) == 0;
}

static void
settle(struct part *p)
{
	moves(p, PART_DONE);
	p->u->done_bytes += part_len(p->u, p);
}

static void
hashed(void *ctx, enum rk_err err, const struct sums *s)
{
	struct part *p = ctx;
	struct upload *u = p->u;

	must_be(u, UPLOAD_TAG);
	p->job = NULL;
	if (!upload_same_file(u))
		return;
	if (err != RK_OK) {
		upload_fail(u, REMOTE_LOCAL, err, "the file cannot be read: %s",
		    rk_strerror(err));
		return;
	}
	p->sums = *s;
	if (p->listed && is_there(p))
		settle(p);
	else
		moves(p, PART_READY);
	p->listed = false;
	upload_pump(u);
}

void
part_hash(struct part *p)
{
	struct upload *u = p->u;

	moves(p, PART_HASHING);
	p->has_md5 = (wanted(p) & SUM_MD5_) != 0;
	p->job = sum_start(u->op.r->loop, u->fd, part_at(u, p), part_len(u, p),
	    wanted(p), hashed, p);
}

/* --- sending ------------------------------------------------------------ */

/* NULL, or why the answer is not of these bytes. */
static const char *
disagrees(const struct part *p, const struct http_answer *a)
{
	const struct rstore *st = p->u->op.place.store;
	unsigned char md5[16];
	struct object o;

	object_read(&o, a);
	if (st->kind == STORE_OSS && o.has_crc64 && o.crc64 != p->sums.crc64)
		return "the store's CRC is not that of the file";
	if (st->kind == STORE_S3 && st->check_etag && !o.opaque_etag &&
	    etag_md5(o.etag, md5) && memcmp(md5, p->sums.md5, 16) != 0)
		return "the store's MD5 is not that of the file";
	return NULL;
}

static void
sent(void *ctx, const struct req_result *q)
{
	struct part *p = ctx;
	struct upload *u = p->u;
	const char *why;

	must_be(u, UPLOAD_TAG);
	p->req = NULL;
	u->tries += q->tries;
	if (q->fault == F_INTEGRITY) {
		if (upload_same_file(u))
			again(p, q->error);
	} else if (!p->has_md5 && fault_wants_md5(q)) {
		u->op.place.store->wants_md5 = true;
		if (upload_same_file(u))
			anew(p);
	} else if (q->fault == F_MISSING && !u->whole &&
	    strcmp(q->code, "NoSuchBucket") != 0)
		upload_anew(u);
	else if (q->fault != F_NONE)
		upload_fault(u, q);
	else if ((why = disagrees(p, q->a)) != NULL)
		again(p, why);
	else if (!etag_read(p->etag, http_header(q->a, "ETag")) && !u->whole)
		upload_fail(u, REMOTE_REFUSED, RK_OK,
		    "%s took a part and gave no ETag",
		    u->op.place.store->host);
	else {
		settle(p);
		upload_pump(u);
	}
}

/* Strings that a request copies, and that are freed when it has. */
struct texts {
	char number[16], *md5, *sum;
};

static void
add_sums(const struct part *p, struct req_spec *s, struct texts *t)
{
	const struct rstore *st = p->u->op.place.store;
	unsigned char be[4];

	if (p->has_md5) {
		t->md5 = rk_base64(p->sums.md5, 16);
		s->content_md5 = t->md5;
	}
	if (st->kind == STORE_S3 && !st->tls)
		s->payload = p->sums.sha256;
	if (st->kind != STORE_S3 || st->checksum == SUM_NONE)
		return;
	for (int i = 0; i < 4; i++)
		be[i] = (unsigned char)(p->sums.crc32c >> (24 - 8 * i));
	t->sum = st->checksum == SUM_CRC32C ? rk_base64(be, 4) :
	    base64_of_hex(p->sums.sha256);
	s->headers[s->nheaders++] = (struct sign_header){
	    st->checksum == SUM_CRC32C ? "x-amz-checksum-crc32c" :
	    "x-amz-checksum-sha256", t->sum };
}

static void
name_it(const struct upload *u, struct req_spec *s)
{
	bool oss = upload_is_oss(u);

	s->headers[s->nheaders++] = (struct sign_header){ "Content-Type",
	    "application/octet-stream" };
	s->headers[s->nheaders++] = (struct sign_header){
	    oss ? "x-oss-meta-upload-id" : "x-amz-meta-upload-id", u->own_id };
	if (u->sha256 != NULL)
		s->headers[s->nheaders++] = (struct sign_header){ oss ?
		    "x-oss-meta-sha256" : "x-amz-meta-sha256", u->sha256 };
}

void
part_send(struct part *p)
{
	struct upload *u = p->u;
	struct req_spec s;
	struct texts t = { .md5 = NULL };

	moves(p, PART_SENDING);
	upload_spec(u, &s, "PUT", sent);
	s.ctx = p;
	s.metered = true;
	s.body_fd = u->fd;
	s.body_at = part_at(u, p);
	s.body_size = part_len(u, p);
	snprintf(t.number, sizeof(t.number), "%zu",
	    (size_t)(p - u->parts) + 1);
	if (u->whole)
		name_it(u, &s);
	else {
		s.query[s.nquery++] = (struct sign_query){ "partNumber",
		    t.number };
		s.query[s.nquery++] = (struct sign_query){ "uploadId",
		    u->upload_id };
	}
	add_sums(p, &s, &t);
	p->req = req_send(u->op.r, &s);
	free(t.md5);
	free(t.sum);
}
