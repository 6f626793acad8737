/*
 * An entry of ours.  It is decided by the copy and put behind the last entry
 * that the copy has, if there is none: so what was decided was right when it
 * became true, whoever else writes.  Somebody else was quicker: his entry is
 * read, and all is decided anew.
 *
 * A refusal must not come from a copy that is old: one that was not made of the
 * newest entry is asked for again behind a look.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define TRIES  200
#define KEY_MS ((int64_t)24 * 3600 * 1000)

static void
append_free(struct mappend *a)
{
	free(a->id);
	free(a->by);
	free(a->text);
	free(a);
}

/* The first of them is answered. */
static void
done(struct mlog *g, enum rk_err rc, const json_t *said, const char *why)
{
	struct mappend *a = g->appends;

	g->appends = a->next;
	if (a->fn != NULL)
		answer_later(g->m, a->fn, a->ctx, rc, said, why);
	append_free(a);
}

/* May anything be written at all?  RK_OK, or the reason. */
enum rk_err
models_may_write(struct models *m, struct rk_why *why)
{
	if (m->mirror == NULL)
		return RK_OK;
	switch (mirror_absent(m->mirror)) {
	case MIRROR_ABSENT_WORKS:
		return RK_OK;
	case MIRROR_ABSENT_UNKNOWN:
		(void)rk_refuse(why, "whether the store of %s has "
		    "put-if-absent is not known yet, for it has not answered: "
		    "nothing is registered or promoted until it has", m->root);
		return RK_EBUSY;
	case MIRROR_ABSENT_BY_HEAD:
	case MIRROR_ABSENT_IGNORED:
		break;
	}
	(void)rk_refuse(why, "the store of %s %s: two machines could make one "
	    "number, so that nothing is registered or promoted there; reading "
	    "works", m->root, mirror_absent(m->mirror) ==
	    MIRROR_ABSENT_IGNORED ? "ignores the condition of a put-if-absent "
	    "(a bucket of OSS with versioning does)" : "has no put-if-absent");
	return RK_EROFS;
}

/* The log of this model has a gap: nobody can write behind it. */
static enum rk_err
is_whole(struct mlog *g, struct model_row *row, struct rk_why *why)
{
	enum rk_err rc = store_model_get(g->m->store, g->name, row);

	if (rc == RK_OK && row->fault[0] != '\0') {
		(void)rk_refuse(why, "%s", row->fault);
		return RK_ECORRUPT;
	}
	return rc == RK_ENOENT ? RK_OK : rc;
}

/*
 * Was it written before, by a try whose end nobody saw?  Of an Idempotency-Key
 * that counts for a day, as everywhere.
 */
static enum rk_err
written_before(struct mlog *g, const char *id, json_t **said)
{
	const size_t n = strlen(MODELS_OF_KEY);
	struct model_entry_row e;
	enum rk_err rc = store_entry_by_id(g->m->store, g->name, id, &e);

	*said = NULL;
	if (rc != RK_OK)
		return rc;
	if (strncmp(id, MODELS_OF_KEY, n) == 0 && e.at_ms + KEY_MS < now_ms())
		rc = RK_ENOENT;
	else
		rc = rkj_parse_json(e.entry, strlen(e.entry), said, NULL);
	store_entry_fini(&e);
	return rc;
}

/* --- being put ------------------------------------------------------------ */

static void
kept(struct mlog *g)
{
	struct mappend *a = g->appends;
	json_t *said = NULL;
	enum rk_err rc;

	g->began_ms = now_ms();
	if ((rc = store_batch_begin(g->m->store)) == RK_OK) {
		rc = fold(g, a->seq, a->text, strlen(a->text));
		enum rk_err ended = store_batch_end(g->m->store);
		rc = rc == RK_OK ? ended : rc;
	}
	if (rc == RK_OK) {
		g->looked_ms = g->began_ms;
		g->looked_mono = mono_ms();
		news_tell(g);
		rc = rkj_parse_json(a->text, strlen(a->text), &said, NULL);
	} else {
		news_drop(g);
	}
	done(g, rc, said, "it is written in the store, and cannot be kept "
	    "here");
	json_decref(said);
}

static void
put_done(void *ctx, const struct remote_result *r)
{
	struct mlog *g = ctx;
	struct mappend *a = g->appends;

	must_be(g, MLOG_TAG);
	must(a != NULL);
	g->put_op = NULL;
	if (r->end == REMOTE_OK) {
		kept(g);
	} else if (r->end == REMOTE_EXISTS && ++a->tries < TRIES) {
		a->wants_look = true;
		a->looked = false;
	} else if (r->end == REMOTE_EXISTS) {
		done(g, RK_EBUSY, NULL, "others write to this model's log all "
		    "the time, and were quicker each time");
	} else {
		char *why = xasprintf("it cannot be written: %s%s",
		    r->error[0] != '\0' ? r->error : remote_end_words[r->end],
		    models_end(r) == RK_ETIMEDOUT ? "; whether it was is known "
		    "when the store answers again" : "");
		a->wants_look = false;
		done(g, models_end(r) == RK_ENOENT ? RK_EIO : models_end(r),
		    NULL, why);
		free(why);
	}
	log_next(g);
}

/* The fields that every entry has, beside those that decide() said. */
static void
complete(struct mlog *g, struct mappend *a, const struct model_row *row,
    json_t *entry)
{
	const char *event = json_string_value(json_object_get(entry, "event"));
	char at[RK_TIME];

	a->seq = row->seq + 1;
	json_object_set_new(entry, "format", json_integer(1));
	json_object_set_new(entry, "seq", json_integer(a->seq));
	json_object_set_new(entry, "id", json_string(a->id));
	json_object_set_new(entry, "at", json_string(rk_time_text(at,
	    now_ms())));
	json_object_set_new(entry, "by", json_string(a->by));
	json_object_set_new(entry, "instance", json_string(g->m->instance));
	if (event != NULL && strcmp(event, "version") == 0) {
		json_t *record = json_object_get(entry, "record");
		const json_int_t n = row->top + 1;
		json_object_set_new(entry, "version", json_integer(n));
		json_object_set_new(record, "model", json_string(g->name));
		json_object_set_new(record, "version", json_integer(n));
	}
}

/* What nobody could read is not written. */
static enum rk_err
put(struct mlog *g, struct mappend *a, struct rk_why *why)
{
	struct remote_patience p = models_patience(PUT_MS);
	struct entry e;
	enum rk_err rc = entry_parse(&e, a->text, strlen(a->text), g->name,
	    a->seq, why);

	if (rc != RK_OK)
		return rc;
	entry_fini(&e);
	char *key = entry_key(g->m, g->name, a->seq);
	g->put_op = remote_put(g->m->remote, key, a->text, strlen(a->text),
	    true, &p, put_done, g);
	free(key);
	return RK_OK;
}

/* --- deciding ------------------------------------------------------------- */

/* RK_OK: it is being put, or has been answered. */
static enum rk_err
decide(struct mlog *g, struct mappend *a, struct rk_why *why)
{
	json_t *said = NULL, *entry;
	struct model_row row;
	enum rk_err rc = written_before(g, a->id, &said);

	if (rc == RK_OK) {
		done(g, RK_OK, said, NULL);
		json_decref(said);
		return RK_OK;
	}
	if (rc != RK_ENOENT)
		return rc;
	rc = is_whole(g, &row, why);
	entry = json_object();
	if (rc == RK_OK)
		rc = a->decide(a->ctx, entry, why);
	if (rc == RK_OK && json_object_size(entry) == 0) {
		done(g, RK_OK, NULL, NULL);
	} else if (rc == RK_OK) {
		complete(g, a, &row, entry);
		free(a->text);
		a->text = rkj_text(entry);
		rc = put(g, a, why);
	}
	json_decref(entry);
	store_model_fini(&row);
	return rc;
}

void
append_step(struct mlog *g)
{
	struct mappend *a = g->appends;
	struct rk_why why = { 0 };
	enum rk_err rc;

	if (a->fn == NULL && a->decide == NULL) {
		done(g, RK_OK, NULL, NULL);     /* who asked has gone */
		return;
	}
	if (!a->looked && !log_fresh(g, g->m->fresh_ms)) {
		a->wants_look = true;
		return;
	}
	if ((rc = models_may_write(g->m, &why)) == RK_OK)
		rc = decide(g, a, &why);
	if (rc != RK_OK && rc != RK_EROFS && rc != RK_EBUSY && !a->looked)
		a->wants_look = true;
	else if (rc != RK_OK)
		done(g, rc, NULL, why.n > 0 ? rk_why_first(&why) :
		    rk_strerror(rc));
	rk_why_fini(&why);
}

void
append_looked(struct mlog *g, enum rk_err rc, const char *why)
{
	struct mappend *a = g->appends;

	if (a == NULL || !a->wants_look)
		return;
	a->wants_look = false;
	a->looked = true;
	if (rc != RK_OK)
		done(g, rc, NULL, why);
}

void
models_append(struct models *m, const char *name, const char *id,
    const char *by, models_decide_fn *decide_fn, models_fn *fn, void *ctx)
{
	struct mlog *g = mlog_of(m, name);
	struct mappend *a = xcalloc(1, sizeof(*a)), **at = &g->appends;

	must_be(m, MODELS_TAG);
	must(models_word(name) && models_word(id));
	a->id = xstrdup(id);
	a->by = rk_text_clean(xstrdup(by != NULL ? by : ""));
	a->decide = decide_fn;
	a->fn = fn;
	a->ctx = ctx;
	while (*at != NULL)
		at = &(*at)->next;
	*at = a;
	log_next(g);
}

void
append_forget(struct mlog *g, const void *ctx)
{
	for (struct mappend *a = g->appends; a != NULL; a = a->next) {
		if (a->ctx == ctx) {
			a->fn = NULL;
			a->decide = NULL;
		}
	}
}

void
append_fini(struct mlog *g)
{
	struct mappend *a;

	remote_cancel(&g->put_op);
	while ((a = g->appends) != NULL) {
		g->appends = a->next;
		append_free(a);
	}
}
