/*
 * preempt from inside.
 *
 *	preempt.c    opening, closing, what is shown
 *	leave.c      the one path out, and its deadline
 *	rehearse.c   what would make it
 *	watch.c      asking the metadata service again and again
 *	stand.c      what stands of its answers: news, what was withdrawn, what
 *	             this machine has survived
 *	detect.c     which cloud is this
 *	aws.c gcp.c azure.c alibaba.c tencent.c volcengine.c
 *	             what is asked, and what the answers mean
 *
 * A cloud is a table of questions.  A question is sent every poll_ms (a hanging
 * one as soon as it was answered), never twice at a time; its answer is read
 * into a notice by a pure function, which is what the tests and the fuzzer
 * drive.
 */
#ifndef PREEMPT_IMPL_H
#define PREEMPT_IMPL_H

#include "rekindle/preempt.h"

#define PREEMPT_TAG 0x70726565u
#define QUESTIONS_MAX 4
#define LEAD_CONFIGURED (-1)    /* gcp_notice */

/* What an answer says. */
enum notice_kind {
	NOTICE_NONE,
	NOTICE_EARLY,           /* perhaps, later: push what there is */
	NOTICE_LEAVE,           /* it goes at when_ms */
};
struct notice {
	enum notice_kind kind;
	int64_t when_ms;        /* wall clock; 0: not said */
	int64_t lead_ms;        /* if not said: so long after it is first seen;
				   0: nobody knows */
	char text[256];         /* a sentence: who says what */
	char id[128];           /* of the event, for an acknowledgement; "" */
	bool alone;             /* it is of no other machine */
	bool ends;              /* the machine does not come back from it */
};

/* What one question has come to. */
struct stand {
	struct notice last;     /* what it said, and was passed on */
	bool stands;            /* that counts: it was neither withdrawn nor
				   survived */
	int without;            /* answers in a row that did not say it */
};

/* What the path out has come to. */
enum leave_stage {
	LEAVE_NOT,
	LEAVE_SAVING,           /* trainers commit, uploads go */
	LEAVE_FLUSHING,         /* records, and what was decided */
	LEAVE_LEFT,             /* all is done, or the deadline is here; after a
				   notice the daemon waits for what comes */
};

struct watch;

struct preempt {
	unsigned tag;
	struct loop *loop;
	struct http *http;
	struct sup *sup;
	struct ship *ship;      /* or NULL */
	struct mirror *mirror;  /* or NULL */
	struct preempt_config c;        /* its strings are ours */
	preempt_left_fn *left;
	void *ctx;

	enum leave_stage stage;
	int64_t by_ms;          /* mono: the deadline */
	int64_t began_ms;
	char *reason, *text;
	bool end;               /* the process ends when it is done */
	bool stays;             /* not only a notice asked for it */
	const char *back;       /* why it is over; NULL: it is not */
	bool told;              /* left() was called */
	int code;               /* for left() */
	bool sup_done, ship_done, flushed;
	struct loop_timer *limit;

	enum preempt_cloud cloud;       /* found out, or configured */
	struct watch *watch;            /* NULL: nobody is asked */
	struct stand stand[QUESTIONS_MAX];
	struct loop_timer *over;        /* when the next has been survived */
	struct notice notice;           /* the nearest of those that stand */
	int64_t asked, failed;          /* requests */
};

/* leave.c */
void leave_init(struct preempt *p);
void leave_fini(struct preempt *p);
void leave_tell(struct preempt *p);     /* the caller: this process may end */
/* A question has a new answer, and p->notice knows of it: an early notice is
 * passed on, one that says leave is followed, if it leaves less time than what
 * is known. */
void leave_notice(struct preempt *p, const struct notice *n);
/* No notice that says leave stands any more, says the sentence: as soon as what
 * has begun is done, jobs go on. */
void leave_back(struct preempt *p, const char *why);
/* By when a notice wants us gone, mono. */
int64_t leave_deadline(const struct preempt *p, const struct notice *n);

/* stand.c */
void stand_init(struct preempt *p);
void stand_fini(struct preempt *p);
/* Question i was answered with n.  Answers that say nothing are not for
 * here. */
void stand_answer(struct preempt *p, int i, struct notice *n);

/* watch.c: asks p->cloud, or finds out which one it is first. */
void watch_open(struct preempt *p);
void watch_close(struct preempt *p);
/* All has been committed and shipped: tell the cloud that it may go on, if this
 * is an event to be told of.  True: leave_tell() will be called when it has
 * heard. */
bool watch_acknowledge(struct preempt *p);

#endif
