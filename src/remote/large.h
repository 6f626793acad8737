/*
 * Large objects from inside: what upload*.c and download*.c share.
 */
#ifndef REMOTE_LARGE_H
#define REMOTE_LARGE_H

#include "impl.h"

/* --- large_sum.c: digests of a range of a file, by a worker ------------- */

#define SUM_MD5_   1u
#define SUM_SHA_   2u
#define SUM_CRC64_ 4u
#define SUM_CRC32_ 8u

struct sums {
	unsigned char md5[16];
	char sha256[RK_SHA256_HEX];
	uint64_t crc64;
	uint32_t crc32c;
};
/* err: RK_OK; RK_EIO; RK_ECORRUPT: the file is shorter than it was. */
typedef void sum_fn(void *ctx, enum rk_err err, const struct sums *s);
struct sum_job;
/* fn is called from the loop, unless it is cancelled first.  fd: duplicated. */
struct sum_job *sum_start(struct loop *l, int fd, uint64_t at, uint64_t n,
    unsigned want, sum_fn *fn, void *ctx);
void sum_cancel(struct sum_job **j);

/* CRC-32C (Castagnoli, reflected); begin with 0. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* --- large_end.c: the ends of both; parts are freed by op->cancel ------- */

void large_end(struct remote_op *op, int tries, const struct remote_result *r);
void large_fault(struct remote_op *op, int tries, const struct req_result *q);
void large_fail(struct remote_op *op, int tries, enum remote_end end,
    enum rk_err err, const char *fmt, va_list ap);

/* --- upload_plan.c: how an object is cut, and what stores say of it ----- */

#define PARTS_MAX   10000u

uint64_t plan_part_size(uint64_t wanted, uint64_t size);
/* 0: more parts than a store takes. */
size_t plan_parts(uint64_t size, uint64_t part_size);

/* A part as a store lists it. */
struct listed {
	unsigned number;
	uint64_t size, crc64;
	bool has_crc64;
	char etag[ETAG_MAX];
};
/*
 * One page of ListParts: fn for each part.  *next is the marker of the next
 * page, 0 if this was the last.  false: it is not such a list.
 */
typedef void listed_fn(void *ctx, const struct listed *l);
bool parts_read(const char *p, size_t n, listed_fn *fn, void *ctx,
    unsigned *next);

/* An ETag without quotes and "W/"; false: none, or too long. */
bool etag_read(char out[ETAG_MAX], const char *s);
/* 32 hex digits: maybe an MD5. */
bool etag_md5(const char *etag, unsigned char md5[16]);
/* The ETag of n parts as Amazon makes it: "MD5 of the MD5s-n". */
void etag_of_parts(char out[ETAG_MAX], const unsigned char (*md5)[16],
    size_t n);
char *base64_of_hex(const char *hex);           /* the caller frees */

/* --- what an answer says of an object ----------------------------------- */

struct object {
	bool has_size, has_crc64;
	bool opaque_etag;       /* encrypted with a key of its own: no MD5 */
	bool weak_etag;         /* fit for no If-Match */
	uint64_t size, crc64;
	int64_t modified_ms;
	char etag[ETAG_MAX];    /* "" for none */
	char sha256[RK_SHA256_HEX], upload_id[64];
};
void object_read(struct object *o, const struct http_answer *a);
/* "bytes 0-99/100"; total UINT64_MAX for '*'.  false: it is something else. */
bool content_range_read(const char *s, uint64_t *first, uint64_t *last,
    uint64_t *total);

/* --- download_plan.c: what is there of an object, and what is missing --- */

/* Ranges in order, that do not touch.  Ends are below 2^63. */
struct ranges {
	struct remote_range *v;
	size_t n, room;
};
void ranges_add(struct ranges *r, uint64_t at, uint64_t n);
/* The first piece at or behind `from` that is missing below size, `most` bytes
 * at most; false: there is none. */
bool ranges_gap(const struct ranges *r, uint64_t from, uint64_t size,
    uint64_t most, struct remote_range *gap);
/* Without a gap from 0 to here. */
uint64_t ranges_head(const struct ranges *r);
void ranges_fini(struct ranges *r);
uint64_t plan_range_size(uint64_t part_size, uint64_t size);

#endif
