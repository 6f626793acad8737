/* Opening, closing, answers, and which version is meant. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "register.h"

#define FRESH_MS 60000
#define FACT_ROOT "models_root"
#define FACT_LOOKED "models_looked"

struct remote_patience
models_patience(int64_t ms)
{
	return (struct remote_patience){ .deadline_ms = mono_ms() + ms };
}

enum rk_err
models_end(const struct remote_result *r)
{
	switch (r->end) {
	case REMOTE_OK:
		return RK_OK;
	case REMOTE_MISSING:
		return RK_ENOENT;
	case REMOTE_UNAVAILABLE:
	case REMOTE_CANCELLED:
		return RK_ETIMEDOUT;
	case REMOTE_LOCAL:
		return r->err != RK_OK ? r->err : RK_EIO;
	default:
		return RK_EIO;
	}
}

/* --- answers -------------------------------------------------------------- */

static void
answer_now(void *ctx)
{
	struct models *m = ctx;
	struct manswer *a, *all = m->answers;

	must_be(m, MODELS_TAG);
	m->answers = NULL;
	m->last_answer = &m->answers;
	/* What is asked for in a callback is answered in the next round; one
	 * that is forgotten in a callback must still be found. */
	while ((a = all) != NULL) {
		struct rk_why why = { 0 };
		all = a->next;
		a->next = NULL;
		if (a->why != NULL)
			rk_refuse(&why, "%s", a->why);
		m->answering = all;
		if (a->fn != NULL)
			a->fn(a->ctx, a->rc, a->said, &why);
		rk_why_fini(&why);
		json_decref(a->said);
		free(a->why);
		free(a);
	}
	m->answering = NULL;
}

void
answer_later(struct models *m, models_fn *fn, void *ctx, enum rk_err rc,
    const json_t *said, const char *why)
{
	struct manswer *a = xcalloc(1, sizeof(*a));

	a->fn = fn;
	a->ctx = ctx;
	a->rc = rc;
	a->said = json_incref((json_t *)(uintptr_t)said);
	a->why = why != NULL && rc != RK_OK ? xstrdup(why) : NULL;
	*m->last_answer = a;
	m->last_answer = &a->next;
	loop_timer_at(m->answer_timer, mono_ms());
}

void
answer_waits(struct models *m, struct mwait **w, enum rk_err rc,
    const char *why)
{
	struct mwait *v = *w;

	*w = NULL;
	while (v != NULL) {
		struct mwait *next = v->next;
		if (v->fn != NULL)
			answer_later(m, v->fn, v->ctx, rc, NULL, why);
		free(v);
		v = next;
	}
}

void
forget_waits(struct mwait *w, const void *ctx)
{
	for (; w != NULL; w = w->next)
		w->fn = w->ctx == ctx ? NULL : w->fn;
}

void
models_forget(struct models *m, const void *ctx)
{
	if (m == NULL)
		return;
	must_be(m, MODELS_TAG);
	for (struct manswer *a = m->answers; a != NULL; a = a->next)
		a->fn = a->ctx == ctx ? NULL : a->fn;
	for (struct manswer *a = m->answering; a != NULL; a = a->next)
		a->fn = a->ctx == ctx ? NULL : a->fn;
	for (int i = 0; i < BUCKETS; i++) {
		for (struct mlog *g = m->logs[i]; g != NULL; g = g->next) {
			forget_waits(g->waits, ctx);
			forget_waits(g->next_waits, ctx);
			append_forget(g, ctx);
		}
	}
	changes_forget(m, ctx);
	all_forget(m, ctx);
	tensors_forget(m, ctx);
	settle_forget(m, ctx);
	registrar_forget(m, ctx);
}

#define SILENT_MS 15000

void
failure_set(struct failure *f, enum rk_err rc, const char *why)
{
	free(f->why);
	*f = (struct failure){ .rc = rc, .at_mono = mono_ms() };
	if (rc != RK_OK)
		f->why = rk_text_clean(xstrdup(why != NULL ? why :
		    rk_strerror(rc)));
}

bool
failure_counts(const struct failure *f, int64_t max_age_ms)
{
	return f->rc != RK_OK && max_age_ms > 0 &&
	    mono_ms() - f->at_mono < SILENT_MS;
}

void
models_age(struct models *m, const char *name, struct models_age *out)
{
	struct model_row r;

	must_be(m, MODELS_TAG);
	*out = (struct models_age){ m->looked_ms, m->failed.why };
	if (name == NULL)
		return;
	const struct mlog *g = mlog_of(m, name);
	out->error = g->failed.why;
	out->as_of_ms = RK_MAX(out->as_of_ms, g->looked_ms);
	if (store_model_get(m->store, name, &r) == RK_OK) {
		out->as_of_ms = RK_MAX(out->as_of_ms, r.looked_ms);
		store_model_fini(&r);
	}
}

static bool
count(void *ctx, const struct model_row *r)
{
	struct models_stats *s = ctx;

	s->models++;
	s->versions += r->live;
	s->unread += r->bad;
	s->faults += r->fault[0] != '\0';
	return true;
}

void
models_stats(struct models *m, struct models_stats *out)
{
	*out = (struct models_stats){ .models = 0 };
	must_be(m, MODELS_TAG);
	if (store_models(m->store, "", INT_MAX, count, out) != RK_OK)
		log_warn("models: they cannot be counted");
}

/* --- logs ----------------------------------------------------------------- */

/*
 * Whoever asks for names that are none makes a log of each.  Those that nothing
 * is under way with are forgotten when there are many: what they know is in the
 * copy, but for when they were looked at.
 */
#define LOGS_MAX 20000

static void
logs_thin(struct models *m)
{
	for (int i = 0; i < BUCKETS; i++) {
		struct mlog **at = &m->logs[i], *g;
		while ((g = *at) != NULL) {
			if (!log_idle(g)) {
				at = &g->next;
				continue;
			}
			*at = g->next;
			log_fini(g);
			free(g);
			m->nlogs--;
		}
	}
}

struct mlog *
mlog_of(struct models *m, const char *name)
{
	if (m->nlogs >= LOGS_MAX)
		logs_thin(m);
	struct mlog **at = &m->logs[rk_hash64(0, name, strlen(name)) % BUCKETS];
	struct mlog *g;

	for (g = *at; g != NULL; g = g->next)
		if (strcmp(g->name, name) == 0)
			return g;
	g = xcalloc(1, sizeof(*g));
	m->nlogs++;
	g->tag = MLOG_TAG;
	g->m = m;
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->last_news = &g->news;
	for (int i = 0; i < RING; i++)
		g->slot[i].g = g;
	g->next = *at;
	*at = g;
	return g;
}

void
models_look(struct models *m, const char *name, int64_t max_age_ms,
    models_fn *fn, void *ctx)
{
	must_be(m, MODELS_TAG);
	if (name != NULL)
		log_look(mlog_of(m, name), max_age_ms, fn, ctx);
	else if (m->looked_mono != 0 && max_age_ms > 0 &&
	    mono_ms() - m->looked_mono < max_age_ms)
		answer_later(m, fn, ctx, RK_OK, NULL, NULL);
	else if (failure_counts(&m->failed, max_age_ms))
		answer_later(m, fn, ctx, m->failed.rc, NULL, m->failed.why);
	else
		all_look(m, fn, ctx);
}

/* --- opening and closing -------------------------------------------------- */

static bool
drop_first(void *ctx, const struct model_row *r)
{
	char *name = ctx;

	snprintf(name, 65, "%s", r->name);
	return false;
}

/* What was copied from elsewhere is not what lies below this root. */
static enum rk_err
forget_copy(struct models *m)
{
	enum rk_err rc = RK_OK;
	char name[65];

	for (;;) {
		name[0] = '\0';
		rc = store_models(m->store, "", 1, drop_first, name);
		if (rc != RK_OK || name[0] == '\0')
			break;
		if ((rc = store_model_drop(m->store, name)) != RK_OK)
			break;
	}
	if (rc == RK_OK)
		rc = store_fact_put(m->store, FACT_LOOKED, "0");
	if (rc == RK_OK)
		rc = store_fact_put(m->store, FACT_MISSING, "{}");
	return rc == RK_OK ? store_fact_put(m->store, FACT_ROOT, m->root) : rc;
}

static enum rk_err
open_copy(struct models *m)
{
	char *root = NULL, *at = NULL;
	enum rk_err rc = store_fact_get(m->store, FACT_ROOT, &root);

	if (rc == RK_ENOENT || (rc == RK_OK && strcmp(root, m->root) != 0))
		rc = forget_copy(m);
	free(root);
	if (rc == RK_OK)
		rc = store_fact_get(m->store, FACT_LOOKED, &at);
	if (rc == RK_OK)
		m->looked_ms = strtoll(at, NULL, 10);
	free(at);
	return rc == RK_ENOENT ? RK_OK : rc;
}

void
models_looked(struct models *m, int64_t at_ms, int64_t at_mono)
{
	char text[24];

	m->looked_ms = at_ms;
	m->looked_mono = at_mono;
	snprintf(text, sizeof(text), "%lld", (long long)at_ms);
	if (store_fact_put(m->store, FACT_LOOKED, text) != RK_OK)
		log_warn("models: the age of the copy is not kept");
}

enum rk_err
models_open(struct models **mp, struct loop *l, struct remote *r,
    struct store *st, struct sup *su, struct ship *h, struct mirror *mi,
    const struct models_config *c, struct rk_why *why)
{
	struct models *m = xcalloc(1, sizeof(*m));
	enum rk_err rc = remote_check(r, c->root, why);

	m->tag = MODELS_TAG;
	m->loop = l;
	m->remote = r;
	m->store = st;
	m->sup = su;
	m->ship = h;
	m->mirror = mi;
	m->root = xstrdup(c->root);
	m->instance = xstrdup(c->instance != NULL ? c->instance : "");
	m->fresh_ms = c->fresh_ms > 0 ? c->fresh_ms : FRESH_MS;
	m->last_answer = &m->answers;
	m->answer_timer = loop_timer_add(l, answer_now, m);
	evaluated_open(m);
	*mp = m;
	if (rc == RK_OK && (rc = open_copy(m)) != RK_OK)
		(void)rk_refuse(why, "the copy of the models cannot be read: "
		    "%s", rk_strerror(rc));
	if (rc == RK_OK)
		rc = registrar_open(m, c, why);
	if (rc != RK_OK) {
		models_close(mp);
		return rc;
	}
	for_ship_open(m);
	settle_open(m);
	remove_open(m);
	return rc;
}

void
models_close(struct models **mp)
{
	struct models *m = *mp;
	struct manswer *a;

	if (m == NULL)
		return;
	must_be(m, MODELS_TAG);
	for_ship_fini(m);
	settle_fini(m);
	evaluated_close(m);
	registrar_close(m);
	all_fini(m);
	remove_close(m);
	tensors_fini(m);
	for (int i = 0; i < BUCKETS; i++) {
		struct mlog *g;
		while ((g = m->logs[i]) != NULL) {
			m->logs[i] = g->next;
			log_fini(g);
			append_fini(g);
			free(g);
		}
	}
	while ((a = m->answers) != NULL) {
		m->answers = a->next;
		json_decref(a->said);
		free(a->why);
		free(a);
	}
	changes_fini(m);
	loop_timer_del(&m->answer_timer);
	free(m->failed.why);
	free(m->root);
	free(m->instance);
	m->tag = 0;
	free(m);
	*mp = NULL;
}
