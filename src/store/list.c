/*
 * Pages of jobs, newest first.
 *
 * Every index that a page may come from ends in (state, id), so the jobs of one
 * state are one range in the order wanted; a page over several states merges
 * one cursor a state.  So the cost is that of the page, whatever the filter.
 */
#include <string.h>

#include "db.h"

/* ?1 state, ?2 lowest id, ?3 id that all are below, ?4 name or label key, ?5
 * label value, ?6 a name beside a label, or NULL */
static const char *const from[SRC_COUNT] = {
	[SRC_ALL] = "FROM jobs j %s WHERE j.id>=?2 AND j.id<?3 "
	    "ORDER BY j.id DESC",
	[SRC_STATE] = "FROM jobs j INDEXED BY jobs_state %s WHERE j.state=?1 "
	    "AND j.id>=?2 AND j.id<?3 ORDER BY j.id DESC",
	[SRC_NAME] = "FROM jobs j INDEXED BY jobs_name %s WHERE j.name=?4 "
	    "AND j.state=?1 AND j.id>=?2 AND j.id<?3 ORDER BY j.id DESC",
	[SRC_LABEL] = "FROM labels l INDEXED BY labels_key "
	    "CROSS JOIN jobs j ON j.id=l.job %s WHERE l.key=?4 AND l.state=?1 "
	    "AND l.job>=?2 AND l.job<?3 AND (?6 IS NULL OR j.name=?6) "
	    "ORDER BY l.job DESC",
	[SRC_LABEL_VALUE] = "FROM labels l CROSS JOIN jobs j ON j.id=l.job %s "
	    "WHERE l.key=?4 AND l.value=?5 AND l.state=?1 AND l.job>=?2 "
	    "AND l.job<?3 AND (?6 IS NULL OR j.name=?6) ORDER BY l.job DESC",
};

struct walk {
	sqlite3_stmt *st[JOB_STATES];   /* each on a row; NULL: at its end */
	int n;
	char hi[RK_ID + 1];
};

/* The cursor of a source for whole rows or for ids, made when first wanted. */
static enum rk_err
cursor(struct store *s, enum src src, bool rows, int k, sqlite3_stmt **out)
{
	sqlite3_stmt **slot = &s->page[src][rows][k];
	enum rk_err rc = RK_OK;

	if (*slot == NULL) {
		struct strbuf b = { 0 };
		sb_addf(&b, "SELECT %s ", rows ? JOB_COLS : "j.id,j.version");
		const char *at = strstr(from[src], "%s");
		sb_add(&b, from[src], (size_t)(at - from[src]));
		sb_adds(&b, rows ? "CROSS JOIN texts t ON t.job=j.id" : "");
		sb_adds(&b, at + 2);
		int r = sqlite3_prepare_v3(s->db, b.s, -1,
		    SQLITE_PREPARE_PERSISTENT, slot, NULL);
		rc = db_err(s, r, "prepare a list");
		sb_fini(&b);
	}
	if (rc == RK_OK) {
		must(!sqlite3_stmt_busy(*slot));
		sqlite3_clear_bindings(*slot);
		*out = *slot;
	}
	return rc;
}

/* Ids are below hi; '~' is above every character of an id. */
static void
bounds(const struct store_filter *f, const char *before, struct walk *w)
{
	if (f->id_prefix != NULL)
		snprintf(w->hi, sizeof(w->hi), "%.*s~", RK_ID_LEN,
		    f->id_prefix);
	else
		snprintf(w->hi, sizeof(w->hi), "~");
	if (before != NULL && before[0] != '\0' && strcmp(before, w->hi) < 0)
		snprintf(w->hi, sizeof(w->hi), "%.*s", RK_ID_LEN, before);
}

static void
bind_page(sqlite3_stmt *st, const struct store_filter *f, int state,
    const struct walk *w)
{
	sqlite3_bind_int64(st, 1, state);
	db_text(st, 2, f->id_prefix);
	db_text(st, 3, w->hi);
	if (f->label_key != NULL) {
		db_text(st, 4, f->label_key);
		if (f->label_value != NULL)
			db_text(st, 5, f->label_value);
		if (f->name != NULL)
			db_text(st, 6, f->name);
	} else if (f->name != NULL) {
		db_text(st, 4, f->name);
	}
}

static enum rk_err
advance(struct store *s, struct walk *w, int i)
{
	int r = sqlite3_step(w->st[i]);

	if (r == SQLITE_ROW)
		return RK_OK;
	sqlite3_reset(w->st[i]);
	w->st[i] = NULL;
	return db_err(s, r, "list jobs");
}

static void
walk_end(struct walk *w)
{
	for (int i = 0; i < w->n; i++)
		if (w->st[i] != NULL)
			sqlite3_reset(w->st[i]);
}

static enum rk_err
walk_begin(struct store *s, struct walk *w, const struct store_filter *f,
    const char *before, bool rows)
{
	static const struct store_filter all;

	if (f == NULL)
		f = &all;
	unsigned states = f->states != 0 ? f->states : STORE_ALL_STATES;
	enum src src = f->label_key != NULL ?
	    (f->label_value != NULL ? SRC_LABEL_VALUE : SRC_LABEL) :
	    f->name != NULL ? SRC_NAME :
	    (states & STORE_ALL_STATES) == STORE_ALL_STATES ? SRC_ALL :
	    SRC_STATE;
	enum rk_err rc = RK_OK;

	memset(w, 0, sizeof(*w));
	bounds(f, before, w);
	for (int k = 0; rc == RK_OK && k < JOB_STATES; k++) {
		if ((states & 1u << k) == 0)
			continue;
		rc = cursor(s, src, rows, k, &w->st[w->n]);
		if (rc != RK_OK)
			break;
		bind_page(w->st[w->n], f, k, w);
		rc = advance(s, w, w->n++);
		if (src == SRC_ALL)
			break;
	}
	if (rc != RK_OK)
		walk_end(w);
	return rc;
}

/* The cursor with the newest id, or -1. */
static int
newest(const struct walk *w)
{
	int best = -1;

	for (int i = 0; i < w->n; i++)
		if (w->st[i] != NULL && (best < 0 ||
		    strcmp(db_col(w->st[i], 0), db_col(w->st[best], 0)) > 0))
			best = i;
	return best;
}

enum rk_err
store_jobs(struct store *s, const struct store_filter *f, const char *before,
    int limit, store_job_fn *fn, void *ctx)
{
	struct walk w;
	struct job_row r;
	int i;
	enum rk_err rc = walk_begin(s, &w, f, before, true);

	while (rc == RK_OK && limit-- > 0 && (i = newest(&w)) >= 0) {
		row_read(w.st[i], &r);
		if (!fn(ctx, &r))
			break;
		if (limit > 0)
			rc = advance(s, &w, i);
	}
	walk_end(&w);
	return rc;
}

enum rk_err
store_job_ids(struct store *s, const struct store_filter *f, const char *before,
    int limit, store_id_fn *fn, void *ctx)
{
	struct walk w;
	int i;
	enum rk_err rc = walk_begin(s, &w, f, before, false);

	while (rc == RK_OK && limit-- > 0 && (i = newest(&w)) >= 0) {
		if (!fn(ctx, db_col(w.st[i], 0),
		    sqlite3_column_int64(w.st[i], 1)))
			break;
		if (limit > 0)
			rc = advance(s, &w, i);
	}
	walk_end(&w);
	return rc;
}

enum rk_err
store_queue(struct store *s, int limit, store_job_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_QUEUE);
	struct job_row r;
	int got;

	sqlite3_bind_int(st, 1, limit);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		row_read(st, &r);
		if (!fn(ctx, &r))
			break;
	}
	enum rk_err rc = db_err(s, got, "read the queue");
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_counts(struct store *s, int64_t out[JOB_STATES])
{
	memcpy(out, s->counts, sizeof(s->counts));
	return RK_OK;
}
