/*
 * The copy of the registry: versions, and pages of those looked for.
 *
 * What is searched lies in small rows, and what is shown beside them, so that a
 * page costs a walk over the former and its own rows of the latter.
 */
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "rekindle/store_models.h"

const char *const store_cmp_words[CMP_COUNT + 1] = {
	"<", "<=", "=", "!=", ">=", ">", NULL
};

void
store_version_fini(struct version_row *r)
{
	free(r->model);
	free(r->id);
	free(r->author);
	free(r->job);
	free(r->digest);
	free(r->labels);
	free(r->metrics);
	free(r->head);
	free(r->record);
	memset(r, 0, sizeof(*r));
}

/* --- writing -------------------------------------------------------------- */

static enum rk_err
put_row(struct store *s, const struct version_row *r, int64_t *n)
{
	sqlite3_stmt *st = db_st(s, ST_VERSION_PUT);

	must(r->bytes <= INT64_MAX);
	db_text(st, 1, r->model);
	sqlite3_bind_int64(st, 2, r->version);
	db_text(st, 3, r->id);
	sqlite3_bind_int64(st, 4, r->created_ms);
	sqlite3_bind_int64(st, 5, r->deleted_ms);
	db_text(st, 6, r->author);
	db_text(st, 7, r->job);
	db_text(st, 8, r->digest);
	sqlite3_bind_int64(st, 9, (int64_t)r->bytes);
	sqlite3_bind_int64(st, 10, r->removing);
	enum rk_err rc = db_do(s, ST_VERSION_PUT, "write a version");
	if (rc != RK_OK)
		return rc;
	st = db_st(s, ST_VERSION_N);
	db_text(st, 1, r->model);
	sqlite3_bind_int64(st, 2, r->version);
	rc = db_one(s, st, "read a version");
	*n = rc == RK_OK ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return rc;
}

static enum rk_err
put_texts(struct store *s, const struct version_row *r, int64_t n)
{
	sqlite3_stmt *st = db_st(s, ST_VERSION_TEXTS);

	sqlite3_bind_int64(st, 1, n);
	db_text(st, 2, r->labels);
	db_text(st, 3, r->metrics);
	db_text(st, 4, r->head);
	db_text(st, 5, r->record);
	return db_do(s, ST_VERSION_TEXTS, "write a version's texts");
}

/* The members of an object, each a row: text of labels, numbers of metrics. */
static enum rk_err
put_members(struct store *s, const char *text, int64_t n, enum st drop,
    enum st put)
{
	json_t *tree = NULL, *v;
	const char *key;

	sqlite3_bind_int64(db_st(s, drop), 1, n);
	enum rk_err rc = db_do(s, drop, "drop what a version is searched by");
	if (rc != RK_OK)
		return rc;
	rc = rkj_parse_json(text, strlen(text), &tree, NULL);
	must(rc == RK_OK && json_is_object(tree));
	json_object_foreach(tree, key, v) {
		sqlite3_stmt *st = db_st(s, put);
		sqlite3_bind_int64(st, 1, n);
		db_text(st, 2, key);
		if (put == ST_VMETRIC_PUT)
			sqlite3_bind_double(st, 3, json_number_value(v));
		else
			db_text(st, 3, json_string_value(v));
		rc = db_do(s, put, "write what a version is searched by");
		if (rc != RK_OK)
			break;
	}
	json_decref(tree);
	return rc;
}

enum rk_err
store_version_put(struct store *s, const struct version_row *r)
{
	enum rk_err rc = db_begin(s);
	int64_t n;

	if (rc != RK_OK)
		return rc;
	if ((rc = put_row(s, r, &n)) == RK_OK)
		rc = put_texts(s, r, n);
	if (rc == RK_OK)
		rc = put_members(s, r->labels, n, ST_VLABELS_DROP,
		    ST_VLABEL_PUT);
	if (rc == RK_OK)
		rc = put_members(s, r->metrics, n, ST_VMETRICS_DROP,
		    ST_VMETRIC_PUT);
	return db_end(s, rc);
}

/* --- reading -------------------------------------------------------------- */

static void
row_of(sqlite3_stmt *st, struct version_row *r)
{
	memset(r, 0, sizeof(*r));
	r->n = sqlite3_column_int64(st, 0);
	r->model = db_lend(st, 1);
	r->version = sqlite3_column_int64(st, 2);
	r->id = db_lend(st, 3);
	r->created_ms = sqlite3_column_int64(st, 4);
	r->deleted_ms = sqlite3_column_int64(st, 5);
	r->author = db_lend(st, 6);
	r->job = db_lend(st, 7);
	r->digest = db_lend(st, 8);
	r->bytes = (uint64_t)sqlite3_column_int64(st, 9);
	r->removing = sqlite3_column_int(st, 10) != 0;
	r->labels = db_lend(st, 11);
	r->metrics = db_lend(st, 12);
	r->head = db_lend(st, 13);
}

enum rk_err
store_version_get(struct store *s, const char *model, int64_t version,
    struct version_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_VERSION_GET);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, model);
	sqlite3_bind_int64(st, 2, version);
	enum rk_err rc = db_one(s, st, "read a version");
	if (rc == RK_OK) {
		row_of(st, out);
		out->model = xstrdup(out->model);
		out->id = xstrdup(out->id);
		out->author = xstrdup(out->author);
		out->job = xstrdup(out->job);
		out->digest = xstrdup(out->digest);
		out->labels = xstrdup(out->labels);
		out->metrics = xstrdup(out->metrics);
		out->head = xstrdup(out->head);
		out->record = xstrdup(db_col(st, VERSION_NCOLS));
	}
	sqlite3_reset(st);
	return rc;
}

/* Do few versions have a metric so?  Then they are gathered first; else each
 * version that is looked at is asked for its metric. */
#define FEW 1000
static enum rk_err
few_match(struct store *s, const struct store_versions_filter *f, size_t i,
    bool *few)
{
	sqlite3_stmt *st = NULL;
	char text[160];

	snprintf(text, sizeof(text), "SELECT count(*) FROM (SELECT 1 FROM "
	    "version_metrics WHERE metric=?1 AND value%s?2 LIMIT %d)",
	    store_cmp_words[f->metric[i].cmp], FEW);
	int got = sqlite3_prepare_v2(s->db, text, -1, &st, NULL);
	if (got == SQLITE_OK) {
		db_text(st, 1, f->metric[i].name);
		sqlite3_bind_double(st, 2, f->metric[i].value);
		got = sqlite3_step(st);
	}
	*few = got == SQLITE_ROW && sqlite3_column_int(st, 0) < FEW;
	enum rk_err rc = db_err(s, got, "count versions by a metric");
	sqlite3_finalize(st);
	return rc;
}

/*
 * The text of a search.  Its parameters have names, so that what is bound and
 * what is asked stand in the same order of conditions: :l0 :w0 a label, :m0 :x0
 * a metric, :by the metric of the order, :key :n the place behind which to go
 * on.
 */
static void
search_text(struct strbuf *b, const struct store_versions_filter *f,
    const bool few[STORE_CONDITIONS])
{
	const char *key = f->by != NULL ? "o.value" : f->model != NULL ?
	    "v.version" : "v.created_ms";
	const char *way = f->ascending ? "ASC" : "DESC";

	sb_addf(b, "SELECT " VERSION_COLS ",q.key FROM "
	    "(SELECT v.n AS n,%s AS key FROM %s WHERE 1", key, f->by != NULL ?
	    "version_metrics o CROSS JOIN versions v ON v.n=o.n" :
	    "versions v");
	if (f->by != NULL)
		sb_adds(b, " AND o.metric=:by");
	if (f->removing)
		sb_adds(b, " AND v.removing=1");
	else if (!f->deleted)
		sb_adds(b, " AND v.deleted_ms=0");
	/* Of these there are few: their index, and not the model's. */
	if (f->model != NULL)
		sb_addf(b, " AND %sv.model=:model", f->id != NULL ||
		    f->job != NULL || f->digest != NULL ? "+" : "");
	if (f->author != NULL)
		sb_adds(b, " AND v.author=:author");
	if (f->job != NULL)
		sb_adds(b, " AND v.job=:job");
	if (f->digest != NULL)
		sb_adds(b, " AND v.digest=:digest");
	if (f->id != NULL)
		sb_adds(b, " AND v.id=:id");
	for (size_t i = 0; i < f->nlabels; i++) {
		sb_addf(b, " AND v.n IN (SELECT n FROM version_labels WHERE "
		    "key=:l%zu", i);
		if (f->label[i].value != NULL)
			sb_addf(b, " AND value=:w%zu", i);
		sb_addc(b, ')');
	}
	for (size_t i = 0; i < f->nmetrics; i++)
		sb_addf(b, few[i] ? " AND v.n IN (SELECT n FROM "
		    "version_metrics WHERE metric=:m%zu AND value%s:x%zu)" :
		    " AND EXISTS (SELECT 1 FROM version_metrics x WHERE "
		    "x.n=v.n AND x.metric=:m%zu AND x.value%s:x%zu)", i,
		    store_cmp_words[f->metric[i].cmp], i);
	if (f->after)
		sb_addf(b, " AND (%s,v.n)%s(:key,:n)", key,
		    f->ascending ? ">" : "<");
	sb_addf(b, " ORDER BY %s %s,v.n %s LIMIT :limit) q "
	    "CROSS JOIN versions v ON v.n=q.n "
	    "CROSS JOIN version_texts t ON t.n=q.n ORDER BY q.key %s,q.n %s",
	    key, way, way, way, way);
}

static int
place(sqlite3_stmt *st, const char *name, size_t i)
{
	char text[32];

	snprintf(text, sizeof(text), ":%s%zu", name, i);
	return sqlite3_bind_parameter_index(st, text);
}

static void
bind_text(sqlite3_stmt *st, const char *name, const char *text)
{
	const int at = sqlite3_bind_parameter_index(st, name);

	if (at > 0)
		db_text(st, at, text);
}

static void
search_bind(sqlite3_stmt *st, const struct store_versions_filter *f, int limit)
{
	bind_text(st, ":by", f->by);
	bind_text(st, ":model", f->model);
	bind_text(st, ":author", f->author);
	bind_text(st, ":job", f->job);
	bind_text(st, ":digest", f->digest);
	bind_text(st, ":id", f->id);
	for (size_t i = 0; i < f->nlabels; i++) {
		db_text(st, place(st, "l", i), f->label[i].key);
		if (f->label[i].value != NULL)
			db_text(st, place(st, "w", i), f->label[i].value);
	}
	for (size_t i = 0; i < f->nmetrics; i++) {
		db_text(st, place(st, "m", i), f->metric[i].name);
		sqlite3_bind_double(st, place(st, "x", i),
		    f->metric[i].value);
	}
	if (f->after) {
		sqlite3_bind_double(st,
		    sqlite3_bind_parameter_index(st, ":key"), f->after_key);
		sqlite3_bind_int64(st, sqlite3_bind_parameter_index(st, ":n"),
		    f->after_n);
	}
	sqlite3_bind_int64(st, sqlite3_bind_parameter_index(st, ":limit"),
	    limit);
}

enum rk_err
store_versions(struct store *s, const struct store_versions_filter *f,
    int limit, store_version_fn *fn, void *ctx)
{
	bool few[STORE_CONDITIONS] = { false };
	struct strbuf b = { 0 };
	sqlite3_stmt *st = NULL;
	struct version_row r;
	int got;

	must(f->nlabels <= STORE_CONDITIONS && f->nmetrics <= STORE_CONDITIONS);
	for (size_t i = 0; i < f->nmetrics; i++) {
		enum rk_err rc = few_match(s, f, i, &few[i]);
		if (rc != RK_OK)
			return rc;
	}
	search_text(&b, f, few);
	got = sqlite3_prepare_v2(s->db, b.s, -1, &st, NULL);
	sb_fini(&b);
	if (got != SQLITE_OK)
		return db_err(s, got, "prepare a search for versions");
	search_bind(st, f, limit);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		row_of(st, &r);
		if (!fn(ctx, &r, sqlite3_column_double(st, VERSION_NCOLS)))
			break;
	}
	enum rk_err rc = db_err(s, got, "look for versions");
	sqlite3_finalize(st);
	return rc;
}
