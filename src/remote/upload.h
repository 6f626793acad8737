/*
 * An upload from inside.
 *
 *   begin ──▶ whole ─────────────────────────────────┐
 *     │                                              ▼
 *     ├─────▶ create ──▶ parts ──▶ complete ──▶ look (HEAD) ──▶ end
 *     │         ▲          ▲          │              │
 *     └─▶ list ─┼──────────┘          │              │
 *               └──── the store does not know it ────┘
 */
#ifndef REMOTE_UPLOAD_H
#define REMOTE_UPLOAD_H

#include "large.h"

#define UPLOAD_TAG 0x75706c64u

enum part_state {
	PART_WAITS, PART_HASHING, PART_READY, PART_SENDING, PART_DONE
};

struct part {
	struct upload *u;
	enum part_state state;
	bool listed;            /* the store says it has it */
	bool has_crc64;
	bool has_md5;           /* its MD5 is computed, and sent */
	int damaged;            /* times its bytes did not agree */
	struct sum_job *job;
	struct req *req;
	struct sums sums;
	uint64_t listed_crc64;
	char etag[ETAG_MAX];
};

struct upload {
	struct remote_op op;    /* first */
	unsigned tag;
	int fd;
	int64_t mtime_ns;
	uint64_t size, part_size;
	char *sha256;           /* or NULL */
	char *upload_id;        /* or NULL: none under way */
	bool (*began)(void *ctx, const char *upload_id, uint64_t part_size);
	char own_id[33];        /* metadata that tells our object from others */
	bool whole;             /* one PUT, no multipart upload */
	bool held;
	bool moving;            /* parts may begin */
	bool unsure;            /* it may be complete; HEAD decides */
	bool crc_known;         /* the store's of the whole, from Complete */
	uint64_t crc_said;
	struct part *parts;
	size_t nparts, low;     /* all below low are done */
	size_t hashing, ready, sending, done;
	uint64_t done_bytes;
	struct req *req;        /* all but parts */
	struct loop_timer *timer;
	void (*then)(struct upload *u);         /* what the timer does */
	int anew, looks, tries;
	unsigned marker;        /* of ListParts */
};

uint64_t part_at(const struct upload *u, const struct part *p);
uint64_t part_len(const struct upload *u, const struct part *p);
bool upload_is_oss(const struct upload *u);

/* End it, with what a request's end stands for, or with a sentence. */
void upload_end(struct upload *u, const struct remote_result *res);
void upload_fault(struct upload *u, const struct req_result *q);
void upload_fail(struct upload *u, enum remote_end end, enum rk_err err,
    const char *fmt, ...) RK_PRINTF(4, 5);
/* false: the file is not what it was, and the upload has ended. */
bool upload_same_file(struct upload *u);
/* A request about this object; fn gets the upload. */
void upload_spec(struct upload *u, struct req_spec *s, const char *method,
    req_fn *fn);
void upload_later(struct upload *u, int64_t ms, void (*then)(struct upload *));
/* Forget the multipart upload, and begin another. */
void upload_anew(struct upload *u);
void upload_pump(struct upload *u);

/* upload_end.c */
void upload_list(struct upload *u);
void upload_complete(struct upload *u);
void upload_look(struct upload *u);

/* upload_part.c */
void part_hash(struct part *p);
void part_send(struct part *p);
void parts_drop(struct upload *u);              /* requests and hashing */

#endif
