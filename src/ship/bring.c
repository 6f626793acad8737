/*
 * Bytes for somebody who is no job (the registry): what an address leads to,
 * and the files of a checkpoint that only a bucket has.  They come into the
 * cache, as those of jobs do, and stay there for whom they were brought.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static enum rk_err
want(struct ship *h, const struct fetch_ask *a, char **path,
    struct rk_why *why)
{
	char hex[RK_SHA256_HEX];
	const enum rk_err rc = fetch_want(h, a, hex, why);

	if (rc == RK_OK)
		*path = cache_path(h, hex);
	return rc;
}

enum rk_err
ship_bring(struct ship *h, const char *who, const char *address, char **path,
    struct rk_why *why)
{
	const struct fetch_ask a = { .uri = address, .job = who,
		.model = true };

	must_be(h, SHIP_TAG);
	const enum rk_err rc = supply_may_fetch(h, address, why);
	return rc == RK_OK ? want(h, &a, path, why) : rc;
}

/* The newest row of a folder's name that is there. */
static bool
find_row(struct ship *h, const char *job, const char *dir,
    struct remote_row *out)
{
	struct rows rows;
	bool found = false;

	rows_load(h, job, RS_THERE, &rows);
	for (size_t i = 0; i < rows.n && !found; i++) {
		found = strcmp(rows.v[i].dir, dir) == 0;
		if (found)
			row_copy(out, &rows.v[i]);
	}
	rows_fini(&rows);
	return found;
}

enum rk_err
ship_bring_file(struct ship *h, const char *who, const char *job,
    const char *dir, const char *name, char **path, struct rk_why *why)
{
	struct fetch_ask a = { .job = who, .patient = true };
	enum rk_err rc = RK_ENOENT;
	struct remote_row row;
	struct rfiles f;

	must_be(h, SHIP_TAG);
	if (!find_row(h, job, dir, &row)) {
		rk_refuse(why, "%s of job %s is not in the bucket any more",
		    dir, job);
		return RK_ENOENT;
	}
	rfiles_parse(&f, row.files);
	for (int k = 0; k < f.n; k++) {
		if (strcmp(f.v[k].name, name) != 0)
			continue;
		a.uri = f.v[k].uri;
		a.sha256 = f.v[k].sha256;
		a.size = f.v[k].size;
		rc = want(h, &a, path, why);
	}
	if (a.uri == NULL)
		rk_refuse(why, "%s of job %s has no file %s", dir, job, name);
	rfiles_fini(&f);
	store_remote_fini(&row);
	return rc;
}

bool
ship_bring_silent(struct ship *h, const char *who, int64_t since_ms,
    struct rk_why *why)
{
	must_be(h, SHIP_TAG);
	return fetch_silent(h, who, since_ms, why);
}

char *
ship_record_there(struct ship *h, const char *job, const char *dir)
{
	struct remote_row row;
	char *text = NULL;

	must_be(h, SHIP_TAG);
	if (find_row(h, job, dir, &row)) {
		text = xstrdup(row.info);
		store_remote_fini(&row);
	}
	return text;
}

void
ship_brought(struct ship *h, const char *who)
{
	must_be(h, SHIP_TAG);
	fetch_unwait(h, who);
	cache_unuse(h, who);
}

enum rk_err
ship_path_ok(struct ship *h, const char *field, const char *path,
    struct rk_why *why)
{
	struct spec_place p = { .kind = SPEC_PLACE_FILE,
		.text = (char *)(uintptr_t)path };

	must_be(h, SHIP_TAG);
	snprintf(p.field, sizeof(p.field), "%s", field);
	return allow_place(h, &p, why);
}
