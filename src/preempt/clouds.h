/*
 * Clouds as tables of questions.  Sources: the vendors' documentation of their
 * metadata services; each file says what it relies on.
 */
#ifndef PREEMPT_CLOUDS_H
#define PREEMPT_CLOUDS_H

#include "impl.h"

#define STALE_MS (5 * 60 * 1000)        /* a time so long past means nothing */
#define SHORTEST_MS (30 * 1000)         /* what clouds promise at the least */
#define SOON_MS  (10 * 60 * 1000)       /* what is announced hours ahead is
					   followed when it is so near */
#define OVER_MAX 16
#define EVENT_ID 128

/* Who reads an answer, and when.  Times are wall clock by the cloud's clock. */
struct sight {
	const char *me;                 /* the machine's name; "": not known */
	int64_t now_ms, begun_ms;       /* begun: this daemon */
	int64_t boot_ms;                /* the machine's last boot; 0: not
					   known */
	bool first;                     /* the first answer to this question */
	char over[OVER_MAX][EVENT_ID];  /* events that were over at the first
					   answer, and are listed on */
	int overs;
};

struct question {
	const char *path;       /* behind the base URL */
	int64_t poll_ms;
	int64_t first_ms;       /* how long the first answer may take; 0: 2 s */
	bool hanging;           /* answers when something changes: see gcp.c */
};

struct cloud {
	const char *base;
	const char *header;             /* of every request, or NULL */
	const char *token_path;         /* PUT for a token, or NULL */
	const char *token_ttl;          /* header of that request */
	const char *token_header;       /* "Name: " of the others */
	int64_t token_ms;               /* how long a token lives */
	struct question q[QUESTIONS_MAX];       /* path NULL: no more */
	/* What the answer to q[i] says; n is NOTICE_NONE when called.  False:
	 * nothing, not even that there is no notice (an error of the service,
	 * a body that cannot be read).  But for s->over pure. */
	bool (*read)(int i, int status, const char *body, size_t len,
	    struct sight *s, struct notice *n);
	const char *name_path;          /* where the machine's name is asked */
};

extern const struct cloud cloud_aws, cloud_gcp, cloud_azure, cloud_alibaba,
    cloud_tencent, cloud_volcengine;
const struct cloud *cloud_of(enum preempt_cloud c);     /* NULL for none,
							   auto */

/* detect.c: by what the firmware says of the machine; nobody is asked. */
enum preempt_cloud detect_cloud(void);
enum preempt_cloud detect_from(const char *vendor, const char *product,
    const char *asset_tag, const char *hypervisor_uuid);

/* when.c: "YYYY-MM-DDThh:mm:ssZ", "YYYY-MM-DD hh:mm:ss" (in a zone of so many
 * minutes east of UTC) or RFC 1123, with blanks around it. */
bool when_parse(const char *s, size_t len, int zone_minutes, int64_t *ms);
bool when_blank(const char *s, size_t len);     /* nothing, or blanks */
/* Fill in a leave notice, unless its time is over: it lies before this daemon
 * began, so that the machine has survived it, or has long passed. */
void when_notice(struct notice *n, const char *who, int64_t when_ms,
    const struct sight *s);

#endif
