/* The ends of an upload: what a store has of an earlier one, completing it, and
 * looking at the finished object. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "upload.h"

#define LOOK_AGAIN_MS 1000
#define LIST_MAX      (4u << 20)        /* a page of 1,000 parts */

/* --- what is there already ---------------------------------------------- */

static void
found(void *ctx, const struct listed *l)
{
	struct upload *u = ctx;
	struct part *p;

	if (l->number > u->nparts)
		return;
	p = &u->parts[l->number - 1];
	if (l->size != part_len(u, p) || l->etag[0] == '\0')
		return;
	p->listed = true;
	p->has_crc64 = l->has_crc64;
	p->listed_crc64 = l->crc64;
	memcpy(p->etag, l->etag, sizeof(p->etag));
}

static void
listed(void *ctx, const struct req_result *q)
{
	struct upload *u = ctx;
	unsigned next;

	must_be(u, UPLOAD_TAG);
	u->req = NULL;
	u->tries += q->tries;
	if ((q->fault == F_MISSING && strcmp(q->code, "NoSuchBucket") != 0) ||
	    (q->fault == F_DENIED && strcmp(q->code, "AccessDenied") == 0)) {
		/* Gone, or parts are not for us to see. */
		u->unsure = true;
		upload_look(u);
		return;
	}
	if (q->fault != F_NONE) {
		upload_fault(u, q);
		return;
	}
	if (!parts_read(q->a->body, q->a->len, found, u, &next)) {
		upload_fail(u, REMOTE_REFUSED, RK_OK,
		    "%s answered something that is no list of parts",
		    u->op.place.store->host);
		return;
	}
	if (next > u->marker) {
		u->marker = next;
		upload_list(u);
		return;
	}
	u->moving = true;
	upload_pump(u);
}

void
upload_list(struct upload *u)
{
	struct req_spec s;
	char marker[16];

	upload_spec(u, &s, "GET", listed);
	s.max = LIST_MAX;
	s.query[s.nquery++] = (struct sign_query){ "max-parts", "1000" };
	snprintf(marker, sizeof(marker), "%u", u->marker);
	if (u->marker > 0)
		s.query[s.nquery++] = (struct sign_query){ "part-number-marker",
		    marker };
	s.query[s.nquery++] = (struct sign_query){ "uploadId", u->upload_id };
	u->req = req_send(u->op.r, &s);
}

/* --- complete ----------------------------------------------------------- */

static void
add_part(const struct upload *u, const struct part *p, struct strbuf *b)
{
	const struct rstore *st = u->op.place.store;
	unsigned char be[4];
	char *sum = NULL;

	sb_addf(b, "<Part><PartNumber>%zu</PartNumber><ETag>\"",
	    (size_t)(p - u->parts) + 1);
	for (const char *c = p->etag; *c != '\0'; c++)
		if (*c == '&')
			sb_adds(b, "&amp;");
		else if (*c == '<')
			sb_adds(b, "&lt;");
		else
			sb_addc(b, *c);
	sb_adds(b, "\"</ETag>");
	if (st->kind == STORE_S3 && st->checksum == SUM_CRC32C) {
		for (int i = 0; i < 4; i++)
			be[i] = (unsigned char)(p->sums.crc32c >> (24 - 8 * i));
		sum = rk_base64(be, 4);
		sb_addf(b, "<ChecksumCRC32C>%s</ChecksumCRC32C>", sum);
	} else if (st->kind == STORE_S3 && st->checksum == SUM_SHA256) {
		sum = base64_of_hex(p->sums.sha256);
		sb_addf(b, "<ChecksumSHA256>%s</ChecksumSHA256>", sum);
	}
	free(sum);
	sb_adds(b, "</Part>");
}

static void
completed(void *ctx, const struct req_result *q)
{
	struct upload *u = ctx;
	struct object o;

	must_be(u, UPLOAD_TAG);
	u->req = NULL;
	u->tries += q->tries;
	if (q->fault == F_NONE) {
		object_read(&o, q->a);
		u->crc_known = o.has_crc64;
		u->crc_said = o.crc64;
		upload_look(u);
	} else if (q->fault == F_MISSING &&
	    strcmp(q->code, "NoSuchBucket") != 0) {
		/* A try whose answer was lost may have completed it. */
		u->unsure = true;
		upload_look(u);
	} else if (strncmp(q->code, "InvalidPart", 11) == 0 ||
	    strcmp(q->code, "EntityTooSmall") == 0) {
		log_warn("remote: the upload of %s begins anew: %s",
		    u->op.place.key, q->error);
		upload_anew(u);
	} else
		upload_fault(u, q);
}

void
upload_complete(struct upload *u)
{
	struct req_spec s;
	struct strbuf b = { 0 };
	char size[24];

	if (!upload_same_file(u))
		return;
	sb_adds(&b, "<CompleteMultipartUpload>");
	for (size_t i = 0; i < u->nparts; i++)
		add_part(u, &u->parts[i], &b);
	sb_adds(&b, "</CompleteMultipartUpload>");
	upload_spec(u, &s, "POST", completed);
	s.complete = true;
	s.body = sb_str(&b);
	s.body_len = b.len;
	s.query[s.nquery++] = (struct sign_query){ "uploadId", u->upload_id };
	s.headers[s.nheaders++] = (struct sign_header){ "Content-Type",
	    "application/xml" };
	snprintf(size, sizeof(size), "%llu", (unsigned long long)u->size);
	if (!upload_is_oss(u))
		s.headers[s.nheaders++] = (struct sign_header){
		    "x-amz-mp-object-size", size };
	u->req = req_send(u->op.r, &s);
	sb_fini(&b);
}

/* --- the finished object ------------------------------------------------ */

static bool
crc_agrees(const struct upload *u, uint64_t said)
{
	uint64_t crc = 0;

	for (size_t i = 0; i < u->nparts; i++)
		crc = rk_crc64_combine(crc, u->parts[i].sums.crc64,
		    part_len(u, &u->parts[i]));
	return crc == said;
}

/* As Amazon computes ETags; of an object that was not sent as one it cannot be
 * told, nor where the parts' own are no MD5s. */
static bool
etag_agrees(const struct upload *u, const char *etag)
{
	unsigned char (*md5)[16] = xcalloc(u->nparts, sizeof(*md5));
	char want[ETAG_MAX];
	bool known = true;

	for (size_t i = 0; i < u->nparts && known; i++)
		known = etag_md5(u->parts[i].etag, md5[i]);
	if (known && u->whole)
		rk_hex(want, md5[0], sizeof(md5[0]));
	else if (known)
		etag_of_parts(want, md5, u->nparts);
	free(md5);
	return !known || strcasecmp(want, etag) == 0;
}

/* NULL, or how the object differs from the file that was sent. */
static const char *
differs(const struct upload *u, const struct object *o)
{
	bool ours = !u->unsure;
	const struct rstore *st = u->op.place.store;

	if (!o->has_size || o->size != u->size)
		return "its length is not that of the file";
	if (u->sha256 != NULL && strcasecmp(o->sha256, u->sha256) != 0)
		return "its metadata is not what was sent with it";
	if (ours && upload_is_oss(u) && ((o->has_crc64 &&
	    !crc_agrees(u, o->crc64)) ||
	    (u->crc_known && !crc_agrees(u, u->crc_said))))
		return "its CRC is not that of the file";
	if (!ours || upload_is_oss(u) || o->opaque_etag ||
	    o->etag[0] == '\0' || etag_agrees(u, o->etag))
		return NULL;
	if (st->check_etag)
		return "its ETag is not that of the file";
	log_info("remote: the ETag of %s says nothing of its bytes",
	    u->op.place.key);
	return NULL;
}

static void
agreed(struct upload *u, const struct req_result *q, const struct object *o)
{
	struct remote_result res = { .end = REMOTE_OK, .err = RK_OK,
	    .error = "", .code = "", .body = "" };

	res.status = q->a->status;
	res.etag = o->etag;
	res.size = o->size;
	res.modified_ms = o->modified_ms;
	res.sha256 = o->sha256;
	upload_end(u, &res);
}

/* Is what lies there the object of this upload, which the store does not know
 * any more?  Of one that an earlier process began only its digest tells. */
static bool
is_ours(const struct upload *u, const struct object *o)
{
	return u->sha256 != NULL && strcasecmp(o->sha256, u->sha256) == 0 &&
	    o->has_size && o->size == u->size;
}

static void
disagreed(struct upload *u, const char *why)
{
	if (u->looks++ == 0) {
		upload_later(u, LOOK_AGAIN_MS, upload_look);
		return;
	}
	upload_fail(u, REMOTE_DAMAGED, RK_OK,
	    "%s says that %s is complete, but %s", u->op.place.store->host,
	    u->op.place.key, why);
}

static void
looked(void *ctx, const struct req_result *q)
{
	struct upload *u = ctx;
	struct object o;
	const char *why;

	must_be(u, UPLOAD_TAG);
	u->req = NULL;
	u->tries += q->tries;
	if (q->fault == F_NONE) {
		object_read(&o, q->a);
		if (strcmp(o.upload_id, u->own_id) == 0)
			u->unsure = false;
		if (u->unsure && !is_ours(u, &o))
			upload_anew(u);
		else if ((why = differs(u, &o)) != NULL)
			disagreed(u, why);
		else
			agreed(u, q, &o);
	} else if ((q->fault == F_MISSING || q->hidden) && u->unsure)
		upload_anew(u);
	else if (q->fault == F_MISSING)
		disagreed(u, "it is not there");
	else
		upload_fault(u, q);
}

void
upload_look(struct upload *u)
{
	struct req_spec s;

	upload_spec(u, &s, "HEAD", looked);
	u->req = req_send(u->op.r, &s);
}
