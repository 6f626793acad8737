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

/*
 * After a notice the process does not end: saved and drained, it answers, and
 * asks on.  When no notice stands any more, because the cloud has withdrawn it
 * (three answers in a row are without) or because survived_seconds have gone by
 * since its time and the machine is still here, the daemon takes work again and
 * its jobs go on.  Its mirror's epoch stays its own all the while: should
 * another machine have taken the jobs over, mirror.h says so, and nothing goes
 * on.  A drain by hand and a signal are for good.
 *
 * What is past when the daemon begins is over: a time before then, an event of
 * Azure that has Started by the first answer, a recommendation of AWS from
 * before the machine's boot.
 */
struct preempt;

enum preempt_cloud { CLOUD_NONE, CLOUD_AUTO, CLOUD_AWS, CLOUD_GCP, CLOUD_AZURE,
	CLOUD_ALIBABA, CLOUD_TENCENT, CLOUD_VOLCENGINE, CLOUD_COUNT };
extern const char *const preempt_cloud_words[CLOUD_COUNT + 1];

/* Which events Azure is told of, so that it need not wait for their time, once
 * all jobs are saved and everything that goes to a bucket is verified there:
 * none; those that end the machine (Preempt, Terminate); all, Reboot and
 * Redeploy, too. */
enum preempt_ack { ACK_NONE, ACK_ENDS, ACK_ALL, ACK_COUNT };
extern const char *const preempt_ack_words[ACK_COUNT + 1];

struct preempt_config {
	enum preempt_cloud cloud;       /* CLOUD_AUTO: found out at the start */
	const char *url[CLOUD_COUNT];   /* base URLs in place of the clouds'
	                                   own; NULL: those */
	int64_t poll_ms;                /* 0: the cloud's own advice */
	double gcp_notice_seconds;      /* 30 or 120: GCP does not say */
	double margin_seconds;          /* be saved so long before; 2 */
	double survived_seconds;        /* still here so long after it: 60 */
	enum preempt_ack acknowledge;   /* ACK_ENDS */
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

/* {cloud, watching, notice: {kind: early | leave, text, deadline} that stands,
 * or null, saved: all that could be saved in time is, and the machine may go,
 * asked, failed}; a new reference. */
json_t *preempt_json(const struct preempt *p);

#endif
