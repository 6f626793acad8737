/*
 * All models are looked at: the root is listed, and each log is read on.  A
 * listing that is late hides a new model for a while; those that the copy knows
 * are looked at all the same.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define LIST_MS    30000
#define AT_ONCE    8                    /* models */
#define MODELS_MAX 100000

struct all {
	unsigned tag;
	struct models *m;
	struct remote_op *op;
	struct mwait *waits, *next_waits;
	char (*name)[65];
	size_t n, cap, at;
	int under_way;
	int64_t began_ms, began_mono;
	enum rk_err rc;
	char *why;
};

static void all_begin(struct models *m);

static void
add(struct all *a, const char *name, size_t len)
{
	if (a->n == a->cap) {
		a->cap = a->cap == 0 ? 64 : 2 * a->cap;
		a->name = xrealloc(a->name, a->cap * sizeof(*a->name));
	}
	snprintf(a->name[a->n++], sizeof(*a->name), "%.*s", (int)len, name);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
sort(struct all *a)
{
	size_t kept = 0;

	if (a->n == 0)
		return;
	qsort(a->name, a->n, sizeof(*a->name), by_name);
	for (size_t i = 1; i < a->n; i++) {
		if (strcmp(a->name[kept], a->name[i]) != 0)
			memmove(a->name[++kept], a->name[i],
			    sizeof(*a->name));
	}
	a->n = kept + 1;
}

static void
all_end(struct all *a)
{
	struct models *m = a->m;
	struct mwait *waits = a->waits, *next = a->next_waits;

	m->all = NULL;
	if (a->rc == RK_OK) {
		models_looked(m, a->began_ms, a->began_mono);
	}
	failure_set(&m->failed, a->rc, a->why);
	answer_waits(m, &waits, a->rc, a->why);
	free(a->name);
	free(a->why);
	a->tag = 0;
	free(a);
	if (next != NULL) {
		all_begin(m);
		m->all->waits = next;
	}
}

static void
fail(struct all *a, enum rk_err rc, const char *why)
{
	if (a->rc == RK_ETIMEDOUT || (a->rc != RK_OK && rc != RK_ETIMEDOUT))
		return;
	free(a->why);
	a->rc = rc;
	a->why = xstrdup(why);
}

/* --- one after the other -------------------------------------------------- */

static void go_on(struct all *a);

static void
looked(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct all *a = ctx;

	must_be(a, ALL_TAG);
	(void)said;
	a->under_way--;
	if (rc != RK_OK)
		fail(a, rc, why->n > 0 ? rk_why_first(why) : rk_strerror(rc));
	go_on(a);
}

/* One that cannot be read does not keep the others from being read; where the
 * store does not answer at all, those that are left are not asked for. */
static void
go_on(struct all *a)
{
	while (a->rc != RK_ETIMEDOUT && a->at < a->n &&
	    a->under_way < AT_ONCE) {
		const char *name = a->name[a->at++];
		const int64_t age = RK_MAX((int64_t)1,
		    mono_ms() - a->began_mono);
		a->under_way++;
		log_look(mlog_of(a->m, name), age, looked, a);
	}
	if (a->under_way == 0)
		all_end(a);
}

static bool
known(void *ctx, const struct model_row *r)
{
	struct all *a = ctx;

	add(a, r->name, strlen(r->name));
	return a->n < MODELS_MAX;
}

static bool
see(void *ctx, const struct remote_entry *v, size_t n)
{
	struct all *a = ctx;

	must_be(a, ALL_TAG);
	for (size_t i = 0; i < n && a->n < MODELS_MAX; i++) {
		const size_t len = strlen(v[i].key);
		char name[65];
		if (len < 2 || len > sizeof(name) || v[i].key[len - 1] != '/')
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(len - 1), v[i].key);
		if (models_word(name))
			add(a, name, len - 1);
		else
			log_debug("models: %s is no model's name", name);
	}
	return true;
}

static void
listed(void *ctx, const struct remote_result *r)
{
	struct all *a = ctx;

	must_be(a, ALL_TAG);
	a->op = NULL;
	/* A folder of this machine is made by the first model. */
	if (r->end != REMOTE_OK && !(r->end == REMOTE_MISSING &&
	    strncmp(a->m->root, "file:", 5) == 0)) {
		char *why = xasprintf("the models in %s cannot be listed: %s",
		    a->m->root, r->error[0] != '\0' ? r->error :
		    remote_end_words[r->end]);
		fail(a, models_end(r) == RK_ENOENT ? RK_EIO : models_end(r),
		    why);
		free(why);
	}
	const enum rk_err rc = store_models(a->m->store, "", MODELS_MAX, known,
	    a);
	if (rc != RK_OK)
		fail(a, rc, rk_strerror(rc));
	sort(a);
	go_on(a);
}

static void
all_begin(struct models *m)
{
	struct remote_patience p = models_patience(LIST_MS);
	struct all *a = xcalloc(1, sizeof(*a));

	a->tag = ALL_TAG;
	a->m = m;
	a->began_ms = now_ms();
	a->began_mono = mono_ms();
	m->all = a;
	a->op = remote_list(m->remote, m->root, true, see, &p, listed, a);
}

void
all_look(struct models *m, models_fn *fn, void *ctx)
{
	struct mwait *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->ctx = ctx;
	if (m->all == NULL) {
		all_begin(m);
		m->all->waits = w;
		return;
	}
	w->next = m->all->next_waits;
	m->all->next_waits = w;
}

void
all_forget(struct models *m, const void *ctx)
{
	if (m->all == NULL)
		return;
	forget_waits(m->all->waits, ctx);
	forget_waits(m->all->next_waits, ctx);
}

void
all_fini(struct models *m)
{
	struct all *a = m->all;
	struct mwait *w;

	if (a == NULL)
		return;
	remote_cancel(&a->op);
	while ((w = a->waits) != NULL) {
		a->waits = w->next;
		free(w);
	}
	while ((w = a->next_waits) != NULL) {
		a->next_waits = w->next;
		free(w);
	}
	free(a->name);
	free(a->why);
	free(a);
	m->all = NULL;
}
