/* What was pulled from where, and small facts of the daemon. */
#include <stdlib.h>
#include <string.h>

#include "db.h"

void
store_cache_fini(struct cache_row *c)
{
	free(c->uri);
	free(c->etag);
	memset(c, 0, sizeof(*c));
}

enum rk_err
store_cache_put(struct store *s, const struct cache_row *c)
{
	sqlite3_stmt *st = db_st(s, ST_CACHE_PUT);

	must(c->size <= INT64_MAX);
	db_text(st, 1, c->uri);
	db_text(st, 2, c->etag);
	db_text(st, 3, c->digest);
	sqlite3_bind_int64(st, 4, (int64_t)c->size);
	sqlite3_bind_int64(st, 5, c->used_ms);
	return db_write(s, ST_CACHE_PUT, "write a cached file");
}

static void
cache_read(sqlite3_stmt *st, struct cache_row *c)
{
	memset(c, 0, sizeof(*c));
	c->uri = db_lend(st, 0);
	c->etag = db_lend(st, 1);
	snprintf(c->digest, sizeof(c->digest), "%s", db_col(st, 2));
	c->size = (uint64_t)sqlite3_column_int64(st, 3);
	c->used_ms = sqlite3_column_int64(st, 4);
}

enum rk_err
store_cache_get(struct store *s, const char *uri, const char *etag,
    struct cache_row *out)
{
	sqlite3_stmt *st = db_st(s, etag != NULL ? ST_CACHE_GET :
	    ST_CACHE_LAST);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, uri);
	if (etag != NULL)
		db_text(st, 2, etag);
	enum rk_err rc = db_one(s, st, "read a cached file");
	if (rc == RK_OK) {
		cache_read(st, out);
		out->uri = xstrdup(out->uri);
		out->etag = xstrdup(out->etag);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_cache_drop(struct store *s, const char *digest)
{
	db_text(db_st(s, ST_CACHE_DROP), 1, digest);
	return db_write(s, ST_CACHE_DROP, "drop a cached file");
}

enum rk_err
store_caches(struct store *s, store_cache_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_CACHES);
	struct cache_row c;
	int got;

	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		cache_read(st, &c);
		if (!fn(ctx, &c))
			break;
	}
	enum rk_err rc = db_err(s, got, "read cached files");
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_fact_put(struct store *s, const char *key, const char *text)
{
	sqlite3_stmt *st = db_st(s, ST_FACT_PUT);

	db_text(st, 1, key);
	db_text(st, 2, text);
	return db_write(s, ST_FACT_PUT, "write a fact");
}

enum rk_err
store_fact_get(struct store *s, const char *key, char **text)
{
	sqlite3_stmt *st = db_st(s, ST_FACT_GET);

	*text = NULL;
	db_text(st, 1, key);
	enum rk_err rc = db_one(s, st, "read a fact");
	if (rc == RK_OK)
		*text = xstrdup(db_col(st, 0));
	sqlite3_reset(st);
	return rc;
}
