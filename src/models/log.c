/*
 * A model's log is read: entries are asked for by name until there is none.
 *
 *	            nothing is known           the first WINDOW of them
 *	  (idle) ─────────────────▶ listing ──────────────┐
 *	    ▲  └── known up to N: N again, and N+1 ──▶ reading ◀─┐ taken: into the
 *	    │                                           │  └─────┘ copy, and the
 *	    └── one is missing, and none behind it ─────┘          next asked for
 *
 * Of a model that is not known at all, or whose log had a gap, the log is
 * listed first, for how far it goes at least: an entry that is missing below
 * that was taken away, and what is behind it counts for nobody.  The entry that
 * was read last is read again with each look: where the bucket has another one
 * there, or none, the copy is of something that is no more, and all is read
 * anew.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define LIST_MS 30000

static void pump(struct mlog *g);
static void look_begin(struct mlog *g);

int64_t
log_number(const char *key)
{
	if (strspn(key, "0123456789") != 10 || strcmp(key + 10, ".json") != 0)
		return 0;
	return strtoll(key, NULL, 10);
}

bool
log_fresh(const struct mlog *g, int64_t max_age_ms)
{
	int64_t at = g->looked_mono;
	struct model_row row;

	/* A look at all may not have seen a new model. */
	if (g->m->looked_mono > at && store_model_get(g->m->store, g->name,
	    &row) == RK_OK) {
		at = g->m->looked_mono;
		store_model_fini(&row);
	}
	return max_age_ms > 0 && at != 0 && mono_ms() - at < max_age_ms;
}

/* --- the end of a look ---------------------------------------------------- */

static void
slots_free(struct mlog *g)
{
	for (int i = 0; i < RING; i++) {
		struct slot *s = &g->slot[i];
		remote_cancel(&s->op);
		free(s->text);
		*s = (struct slot){ .g = g };
	}
	g->flying = 0;
	g->held = 0;
}

static void
look_end(struct mlog *g, enum rk_err rc, const char *why)
{
	slots_free(g);
	g->looking = g->first = false;
	if (rc == RK_OK) {
		g->looked_mono = g->began_mono;
		g->looked_ms = g->began_ms;
	}
	failure_set(&g->failed, rc, why);
	answer_waits(g->m, &g->waits, rc, why);
	news_tell(g);
	append_looked(g, rc, why);
	log_next(g);
}

static void
look_failed(struct mlog *g, const struct remote_result *r)
{
	char *why = xasprintf("the log of model %s cannot be read: %s", g->name,
	    r->error[0] != '\0' ? r->error : remote_end_words[r->end]);

	log_warn("models: %s", why);
	look_end(g, models_end(r) == RK_ENOENT ? RK_EIO : models_end(r), why);
	free(why);
}

/* The row as it is now, with what this look found of the log's end. */
static void
look_whole(struct mlog *g, const char *fault)
{
	struct model_row row;
	enum rk_err rc = store_model_get(g->m->store, g->name, &row);

	if (rc == RK_ENOENT && fault[0] == '\0') {
		look_end(g, RK_OK, NULL);       /* there is no such model */
		return;
	}
	if (rc == RK_ENOENT) {
		row.name = xstrdup(g->name);
		row.fault = xstrdup("");
		rc = RK_OK;
	}
	if (rc == RK_OK && strcmp(row.fault, fault) != 0) {
		free(row.fault);
		row.fault = xstrdup(fault);
		if (fault[0] != '\0')
			log_warn("models: %s: %s", g->name, fault);
		row.looked_ms = g->began_ms;
		rc = store_model_put(g->m->store, &row);
	}
	store_model_fini(&row);
	look_end(g, rc, rk_strerror(rc));
}

/* --- entries -------------------------------------------------------------- */

static struct slot *
slot_of(struct mlog *g, int64_t seq)
{
	return &g->slot[seq % RING];
}

/* The bucket's entry of this number, which the copy has, is another one: false;
 * *rc: what came of asking the copy. */
static bool
same_as_known(struct mlog *g, const struct slot *s, enum rk_err *rc)
{
	struct model_entry_row e;

	*rc = store_entry_get(g->m->store, g->name, g->base, &e);
	if (*rc != RK_OK)
		return false;
	const bool same = s->text == NULL ? e.entry[0] == '\0' :
	    strlen(e.entry) == s->len && memcmp(e.entry, s->text, s->len) == 0;
	store_entry_fini(&e);
	return same;
}

static void
begin_anew(struct mlog *g)
{
	slots_free(g);
	log_warn("models: the log of %s is not the one that was read before; "
	    "it is read anew", g->name);
	enum rk_err rc = store_model_drop(g->m->store, g->name);
	if (rc != RK_OK)
		look_end(g, rc, rk_strerror(rc));
	else
		look_begin(g);
}

/* One is missing where others are behind it: asked for once more, for it may
 * have come between the two questions; then it is a gap. */
static void
at_the_end(struct mlog *g)
{
	int64_t behind = g->top > g->base ? g->top : 0;

	if (g->base <= g->known) {
		begin_anew(g);
		return;
	}
	for (int64_t n = g->base + 1; n < g->asked; n++)
		if (slot_of(g, n)->is == SLOT_FOUND)
			behind = RK_MAX(behind, n);
	if (behind == 0) {
		look_whole(g, "");
		return;
	}
	if (!g->again) {
		g->again = true;
		slots_free(g);
		g->asked = g->base;
		pump(g);
		return;
	}
	char *fault = xasprintf("entry %lld of its log is missing in "
	    "%s%s/log/, and entry %lld is there: what was written behind the "
	    "gap does not count, and nothing can be written until it is filled",
	    (long long)g->base, g->m->root, g->name, (long long)behind);
	look_whole(g, fault);
	free(fault);
}

static void
slot_free(struct mlog *g, struct slot *s)
{
	g->held -= s->len;
	free(s->text);
	*s = (struct slot){ .g = g };
}

/* A sync is dear: is it time for one? */
static bool
is_worth_it(struct mlog *g)
{
	int64_t n = g->base;

	while (n < g->asked && slot_of(g, n)->is == SLOT_FOUND)
		n++;
	return n > g->base && (n - g->base >= RING / 2 || g->flying == 0 ||
	    g->held >= HELD_MAX || (n < g->asked &&
	    slot_of(g, n)->is == SLOT_MISSING));
}

/* Those that have come, in their order: one sync for all of them. */
static enum rk_err
take(struct mlog *g)
{
	enum rk_err rc = store_batch_begin(g->m->store);

	if (rc != RK_OK)
		return rc;
	for (;;) {
		struct slot *s = slot_of(g, g->base);
		if (g->base >= g->asked || s->is != SLOT_FOUND)
			break;
		if (rc == RK_OK)
			rc = fold(g, g->base, s->text, s->len);
		slot_free(g, s);
		g->base++;
		g->again = false;
	}
	enum rk_err ended = store_batch_end(g->m->store);
	return rc == RK_OK ? ended : rc;
}

static void
collect(struct mlog *g)
{
	struct slot *s = slot_of(g, g->base);
	enum rk_err rc = RK_OK;

	if (g->base <= g->known && s->is == SLOT_FOUND) {
		if (!same_as_known(g, s, &rc) && rc == RK_OK) {
			begin_anew(g);
			return;
		}
		slot_free(g, s);
		g->base++;
		g->window = 1;
	}
	if (rc == RK_OK && g->base > g->known && is_worth_it(g))
		rc = take(g);
	if (rc != RK_OK) {
		news_drop(g);
		look_end(g, rc, "the copy of the models cannot be written");
		return;
	}
	if (g->base >= g->asked || slot_of(g, g->base)->is != SLOT_MISSING)
		pump(g);
	else if (g->flying == 0)
		at_the_end(g);
}

static void
got(void *ctx, const struct remote_result *r)
{
	struct slot *s = ctx;
	struct mlog *g = s->g;

	must_be(g, MLOG_TAG);
	s->op = NULL;
	g->flying--;
	if (r->end == REMOTE_OK) {
		s->is = SLOT_FOUND;
		g->held += r->len;
		g->window = RK_MIN(2 * g->window, (int64_t)WINDOW);
		s->text = xstrndup(r->body, r->len);
		s->len = r->len;
	} else if (r->end == REMOTE_REFUSED && r->too_large) {
		s->is = SLOT_FOUND;
	} else if (r->end == REMOTE_MISSING || (r->hidden &&
	    s->seq > g->known && s->seq > g->top)) {
		/* What is known to be there is not hidden: it is forbidden. */
		s->is = SLOT_MISSING;
	} else {
		look_failed(g, r);
		return;
	}
	collect(g);
}

static void
pump(struct mlog *g)
{
	while (g->flying < g->window && g->asked < g->base + RING &&
	    g->asked <= SEQ_MAX && !(g->asked > g->base &&
	    slot_of(g, g->asked - 1)->is == SLOT_MISSING)) {
		struct remote_patience p = models_patience(READ_MS);
		struct slot *s = slot_of(g, g->asked);
		char *key = entry_key(g->m, g->name, g->asked);
		must(s->is == SLOT_FREE);
		s->is = SLOT_ASKED;
		s->seq = g->asked;
		g->flying++;
		s->op = remote_get(g->m->remote, key, ENTRY_MAX, &p, got, s);
		free(key);
		g->asked++;
	}
}

/* --- the beginning of a look ---------------------------------------------- */

static bool
see(void *ctx, const struct remote_entry *v, size_t n)
{
	struct mlog *g = ctx;

	must_be(g, MLOG_TAG);
	for (size_t i = 0; i < n; i++)
		g->top = RK_MAX(g->top, log_number(v[i].key));
	return true;
}

/* Who may not list reads all the same, and sees no gap. */
static void
listed(void *ctx, const struct remote_result *r)
{
	struct mlog *g = ctx;

	must_be(g, MLOG_TAG);
	g->list_op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING &&
	    r->end != REMOTE_DENIED) {
		look_failed(g, r);
		return;
	}
	g->window = RK_MIN((int64_t)WINDOW, RK_MAX((int64_t)2,
	    g->top + 1 - g->base));
	pump(g);
}

static void
look_begin(struct mlog *g)
{
	struct remote_patience p = models_patience(LIST_MS);
	struct model_row row;
	enum rk_err rc = store_model_get(g->m->store, g->name, &row);

	if (rc != RK_OK && rc != RK_ENOENT) {
		look_end(g, rc, rk_strerror(rc));
		return;
	}
	g->known = row.seq;
	const bool faulty = row.fault != NULL && row.fault[0] != '\0';
	store_model_fini(&row);
	g->first = g->known == 0;
	g->again = false;
	g->top = 0;
	g->base = g->asked = g->first ? 1 : g->known;
	g->window = 2;
	if (!g->first && !faulty) {
		pump(g);
		return;
	}
	char *dir = model_dir(g->m, g->name, "log/");
	g->list_op = remote_list(g->m->remote, dir, false, see, &p, listed, g);
	free(dir);
}

void
log_look(struct mlog *g, int64_t max_age_ms, models_fn *fn, void *ctx)
{
	if (!g->looking && log_fresh(g, max_age_ms)) {
		answer_later(g->m, fn, ctx, RK_OK, NULL, NULL);
		return;
	}
	if (!g->looking && failure_counts(&g->failed, max_age_ms)) {
		answer_later(g->m, fn, ctx, g->failed.rc, NULL, g->failed.why);
		return;
	}
	struct mwait *w = xcalloc(1, sizeof(*w));
	w->fn = fn;
	w->ctx = ctx;
	/* A look that is under way may have asked before what is to be seen was
	 * written: the next one is this one's. */
	if (g->looking && max_age_ms == 0) {
		w->next = g->next_waits;
		g->next_waits = w;
		return;
	}
	w->next = g->waits;
	g->waits = w;
	log_next(g);
}

/* Whoever waits for a look is seen to before whoever wants to write. */
void
log_next(struct mlog *g)
{
	while (!g->looking && g->put_op == NULL) {
		if (g->waits == NULL) {
			g->waits = g->next_waits;
			g->next_waits = NULL;
		}
		if (g->waits == NULL && g->appends == NULL)
			return;
		if (g->waits == NULL && !g->appends->wants_look) {
			append_step(g);
			continue;
		}
		g->looking = true;
		g->began_ms = now_ms();
		g->began_mono = mono_ms();
		look_begin(g);
	}
}

bool
log_idle(const struct mlog *g)
{
	return !g->looking && g->waits == NULL && g->next_waits == NULL &&
	    g->appends == NULL && g->put_op == NULL && g->list_op == NULL &&
	    g->news == NULL;
}

void
log_fini(struct mlog *g)
{
	struct mwait **lists[] = { &g->waits, &g->next_waits };

	slots_free(g);
	remote_cancel(&g->list_op);
	news_drop(g);
	free(g->failed.why);
	for (size_t i = 0; i < RK_ARRAY_LEN(lists); i++) {
		struct mwait *w;
		while ((w = *lists[i]) != NULL) {
			*lists[i] = w->next;
			free(w);
		}
	}
}
