/* What the tests of the store share: its file, a job with little in it, and
 * what is in there as a text to compare with. */
#ifndef STORE_HELP_H
#define STORE_HELP_H

#include "t.h"

#include "rekindle/store.h"

#define DB "test.db"

static inline struct store *
open_store(void)
{
	struct rk_why why = { 0 };
	struct store *s;

	if (store_open(&s, DB, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return s;
}

/* As the next daemon finds it. */
static inline struct store *
reopened(struct store *s)
{
	store_close(&s);
	return open_store();
}

/* A literal, where a row's texts could be freed and are not. */
static inline char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static inline void
put_str(char **p, const char *v)
{
	free(*p);
	*p = xstrdup(v);
}

static inline struct job_row
blank(const char *name)
{
	return (struct job_row){
		.name = xstrdup(name), .reason = xstrdup(""),
		.message = xstrdup(""), .spec = xstrdup("{}"),
		.labels = xstrdup("{}"), .resume_from = xstrdup("latest"),
		.progress = xstrdup("{}"), .plan = xstrdup(""),
		.plan_summary = xstrdup(""), .state = JOB_QUEUED,
		.threads = 1, .memory = 1 << 20,
	};
}

static inline int64_t
count(struct store *s, enum job_state state)
{
	int64_t n[JOB_STATES];

	t_eq_int(store_counts(s, n), RK_OK);
	return n[state];
}

/* --- texts, each valid until the next call -------------------------------- */

static inline bool
see_name(void *ctx, const struct job_row *r)
{
	sb_addf(ctx, "%s ", r->name);
	return true;
}

/* The names of a page, each followed by a space. */
static inline const char *
page(struct store *s, struct store_filter f, const char *before, int limit)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_jobs(s, &f, before, limit, see_name, &b), RK_OK);
	return sb_str(&b);
}

/* The names of the first that are queued, each followed by a space. */
static inline const char *
queue(struct store *s, int limit)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_queue(s, limit, see_name, &b), RK_OK);
	return sb_str(&b);
}

static inline bool
see_attempt(void *ctx, const struct attempt_row *a)
{
	sb_addf(ctx, "%lld:%s:%s:%s:%lld ", (long long)a->n, a->from,
	    a->outcome, a->instance, (long long)a->epoch);
	return true;
}

/* "1:step-000000010:crashed:gpu-a:4 2::::0 " */
static inline const char *
attempts(struct store *s, const char *id)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_attempts(s, id, 0, 1000, see_attempt, &b), RK_OK);
	return sb_str(&b);
}

static inline bool
see_event(void *ctx, const struct event_row *e)
{
	sb_addf(ctx, "%s(%s)%s ", e->kind, e->message, e->data);
	return true;
}

/* "submitted(hello) state(starts){"attempt":1} ": the events of a job, or of
 * all if id is NULL, behind that number. */
static inline const char *
events(struct store *s, const char *id, int64_t after)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_events(s, id, after, 1000, see_event, &b), RK_OK);
	return sb_str(&b);
}

#endif
