/*
 * A download from inside.
 *
 *   look (HEAD) ──▶ ranges, in parallel ──▶ behind: hash, sync ──▶ end
 *     │  ▲                 │                   ▲
 *     │  ├─ redirect ◀─────┤ answered whole    │
 *     ▼                    ▼                   │
 *   probe (1 byte) ──▶ stream, one GET ────────┘
 */
#ifndef REMOTE_DOWNLOAD_H
#define REMOTE_DOWNLOAD_H

#include "large.h"

#define DOWNLOAD_TAG 0x646f776eu

/* A range under way. */
struct pull {
	struct download *d;
	struct req *req;        /* NULL: the slot is free */
	uint64_t begin, at, end;        /* all below at is in the file */
	bool progress;          /* this request brought something */
	int wrong;              /* answers that were of another range */
	char range[64];
};

struct behind;

struct download {
	struct remote_op op;    /* first */
	unsigned tag;
	int fd;
	uint64_t max, size, range_size;
	bool sized_known;
	char *want;             /* SHA-256 that it must have, or NULL */
	bool has_crc;           /* the store's CRC-64 of the whole object */
	uint64_t crc;
	int64_t modified_ms;
	char etag[ETAG_MAX], quoted[ETAG_MAX + 2];      /* quoted: for If-Match,
	                                   "" if it is weak or none */
	char *have_etag;
	struct ranges have;
	bool (*sized)(void *ctx, uint64_t size, const char *etag);
	void (*got)(void *ctx, uint64_t at, uint64_t n);

	struct ranges done, taken;      /* taken: done or under way */
	struct pull *pulls;
	size_t npulls, pulling;
	struct req *req;        /* look, probe, stream */
	uint64_t streamed;
	bool pumping, held;
	struct hops hops;
	int tries;
	struct loop_timer *timer;
	struct behind *behind;
};

void download_end(struct download *d, const struct remote_result *res);
void download_fault(struct download *d, const struct req_result *q);
void download_fail(struct download *d, enum remote_end end, enum rk_err err,
    const char *fmt, ...) RK_PRINTF(4, 5);
void download_spec(struct download *d, struct req_spec *s, const char *method,
    req_fn *fn);
/* Its length is known (or is not, UINT64_MAX): begin with the bytes. */
void download_go(struct download *d, const struct object *o);
/* All of size bytes is there and hashed. */
void download_all(struct download *d, const char *sha256, uint64_t crc);

/* download_look.c */
void download_look(struct download *d);
/* True: the answer was a redirect, and is dealt with.  No other request may be
 * under way. */
bool download_followed(struct download *d, const struct http_answer *a);

/* download_pull.c */
void pulls_pump(struct download *d);
void pulls_drop(struct download *d);
uint64_t pulls_moving(const struct download *d);
void stream_begin(struct download *d);

/*
 * download_behind.c: what follows the bytes, on workers.  It hashes the object
 * in order, as far as it is there, and makes ranges durable before `got` is
 * told.  behind_see() after each range; it calls download_all() at the end.
 */
void behind_begin(struct download *d);
void behind_see(struct download *d, uint64_t at, uint64_t n);
void behind_drop(struct download *d);

#endif
