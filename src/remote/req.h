/* A request from inside: req.c has its life, req_try.c puts a try on the wire,
 * req_judge.c decides what comes of an answer. */
#ifndef REMOTE_REQ_H
#define REMOTE_REQ_H

#include "impl.h"

#define NO_PROGRESS_MS (10 * 60 * 1000)
#define OWNED          96

struct req {
	unsigned tag;
	enum { REQ_WAIT, REQ_KEYS, REQ_WIRE } state;
	struct remote *r;
	struct req_spec s;              /* strings are in owned */
	char *owned[OWNED];
	size_t nowned;
	struct loop_timer *timer;
	struct http_call *call;
	struct rate_watch watch;
	struct cred *cred;              /* of the last try */
	char payload[RK_SHA256_HEX];
	int64_t deadline_ms;            /* loop_seen_ms()'s clock */
	int tries, transport, damaged;
	bool clocked, refreshed, moved, ambiguous;
	bool probe, probed;
	bool expects;                   /* this try may send Expect */
};

/* req.c: the end; the request is gone. */
void req_finish(struct req *q, struct req_result *res);
/* req_try.c: sign it as it is now, and send it. */
void req_try(struct req *q);
bool req_sends(const struct req *q);    /* has it a body? */
/* The try is off the wire, having moved so many bytes. */
void req_leave_wire(struct req *q, uint64_t bytes);
/* req_judge.c */
void req_answered(void *ctx, const struct http_answer *a);

#endif
