/*
 * preempt - notices that this machine will go, and the one path out.
 *
 * Watchers ask the cloud's metadata service: AWS, GCP, Azure, Alibaba, Tencent,
 * Volcengine; src/preempt/ has a file each with its requests, answers and
 * oddities.  A notice, SIGTERM and POST /v1/drain all come to preempt_leave():
 * one absolute deadline, which only ever comes nearer.
 *
 *	  trainers commit and leave          sup_drain()
 *	  what is committed goes up          ship_drain()
 *	  records, and what was decided      mirror_flush(), last
 *	  the cloud is told (Azure)          then `left` is called
 *
 * The loop's thread.
 */
#ifndef REKINDLE_PREEMPT_H
#define REKINDLE_PREEMPT_H

#include "rekindle/http.h"
#include "rekindle/mirror.h"

struct preempt;

enum preempt_cloud { CLOUD_NONE, CLOUD_AUTO, CLOUD_AWS, CLOUD_GCP, CLOUD_AZURE,
	CLOUD_ALIBABA, CLOUD_TENCENT, CLOUD_VOLCENGINE, CLOUD_COUNT };
extern const char *const preempt_cloud_words[CLOUD_COUNT + 1];

struct preempt_config {
	enum preempt_cloud cloud;       /* CLOUD_AUTO: found out at the start */
	const char *url[CLOUD_COUNT];   /* base URLs in place of the clouds'
	                                   own; NULL: those */
	int64_t poll_ms;                /* 0: the cloud's own advice */
	double gcp_notice_seconds;      /* 30 or 120: GCP does not say */
	double margin_seconds;          /* be gone so long before; 2 */
	const char *azure_name;         /* our VM's name; NULL: asked for */
};

/* fn: this process may end now.  code: 0 all trainers had saved. */
typedef void preempt_left_fn(void *ctx, int code);

/* ship and mirror may be NULL. */
enum rk_err preempt_open(struct preempt **pp, struct loop *l, struct http *h,
    struct sup *su, struct ship *sh, struct mirror *m,
    const struct preempt_config *c, preempt_left_fn *left, void *ctx,
    struct rk_why *why) RK_MUSTCHECK;
void preempt_close(struct preempt **pp);

/* Leave before deadline_ms (mono).  reason: shutdown, drain, preempted: what
 * jobs will say; `text` a sentence.  `end`: the process ends when it is done;
 * else it stays, drained, and answers. */
void preempt_leave(struct preempt *p, int64_t deadline_ms, const char *reason,
    const char *text, bool end);

/* What would make it in so many seconds, asked of sup and ship:
 * {deadline_seconds, jobs: [{id, name, step, commit_seconds, bytes,
 * upload_seconds, local: bool, remote: bool, have}]}; a new reference. */
json_t *preempt_rehearse(struct preempt *p, double seconds);

/* {cloud, watching, notice: {kind, text, deadline} or null, asked, failed}; a
 * new reference. */
json_t *preempt_json(const struct preempt *p);

#endif
