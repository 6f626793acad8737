/*
 * The model of a checkpoint in shards (ckpt.h), for who wants one file.
 *
 *	PARTS   each of its files is asked for like any other address, by its
 *	        digest where that is known, so that what the cache has is not
 *	        fetched; then a worker joins them in the fetch's partial file,
 *	        which goes into the cache by its own digest
 *
 * The cache knows the joined file by the address and the digest of
 * checkpoint.json: what was joined once is not joined again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

/* A worker's, with its own copies. */
struct joining {
	struct whole *whole;            /* NULL: nobody waits any more */
	struct ckpt_info info;          /* of its files alone */
	char *paths[CKPT_MAX_FILES];
	int fd;
	char sha256[RK_SHA256_HEX];
	uint64_t size;
	enum rk_err rc;
	struct rk_why why;
};

struct whole {
	struct fetch *f;
	struct ckpt_info info;
	struct {
		char *uri;              /* NULL: it is not of the model */
		char sha256[RK_SHA256_HEX];
		char hex[RK_SHA256_HEX];        /* in the cache */
	} part[CKPT_MAX_FILES];
	struct joining *joining;
};

struct whole *
whole_new(struct ckpt_info *i)
{
	struct whole *w = xcalloc(1, sizeof(*w));

	w->info = *i;
	*i = (struct ckpt_info){0};
	return w;
}

void
whole_free(struct whole **wp)
{
	struct whole *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	if (w->joining != NULL)
		w->joining->whole = NULL;       /* its end frees it */
	for (int k = 0; k < CKPT_MAX_FILES; k++)
		free(w->part[k].uri);
	ckpt_info_fini(&w->info);
	free(w);
}

void
whole_part(struct whole *w, const char *name, char *uri, const char *sha256)
{
	int k = 0;

	while (k < w->info.nfiles && strcmp(w->info.files[k].name, name) != 0)
		k++;
	if (k == w->info.nfiles || !ckpt_is_of_model(&w->info.files[k])) {
		free(uri);
		return;
	}
	free(w->part[k].uri);
	w->part[k].uri = uri;
	snprintf(w->part[k].sha256, sizeof(w->part[k].sha256), "%s", sha256);
}

/* A version's pin was held against its record. */
static bool
is_wanted(const struct fetch *f, const char *hex)
{
	return f->want[0] == '\0' || f->version != NULL ||
	    strcmp(f->want, hex) == 0;
}

/* --- the worker ----------------------------------------------------------- */

static void
join_work(void *ctx)
{
	struct joining *j = ctx;

	j->rc = j->fd < 0 ? RK_EIO : ckpt_join((const char *const *)j->paths,
	    &j->info, j->fd, j->sha256, &j->size, &j->why);
}

static void
free_joining(struct joining *j)
{
	for (int k = 0; k < CKPT_MAX_FILES; k++)
		free(j->paths[k]);
	rk_close(&j->fd);
	rk_why_fini(&j->why);
	free(j);
}

static void
joined(struct fetch *f, const struct joining *j)
{
	char *text;

	if (j->rc != RK_OK) {
		text = j->why.n > 0 ? rk_why_text(&j->why) :
		    xstrdup(rk_strerror(j->rc));
		if (j->rc == RK_ECORRUPT || j->rc == RK_ENOENT)
			fetch_damaged(f, text);
		else
			fetch_failed(f, j->rc, text);
		free(text);
	} else if (!is_wanted(f, j->sha256)) {
		text = xasprintf("its model has the digest %s", j->sha256);
		fetch_failed(f, RK_EINVAL, text);
		free(text);
	} else {
		fetch_keep(f, j->sha256, f->digest);
	}
}

/* Parts that turn out to be no good are fetched anew. */
static void
forget_parts(struct fetch *f, const struct whole *w)
{
	for (int k = 0; k < w->info.nfiles; k++)
		if (w->part[k].hex[0] != '\0')
			cache_forget(f->h, w->part[k].hex);
}

static void
join_done(void *ctx)
{
	struct joining *j = ctx;
	struct whole *w = j->whole;

	if (w != NULL) {
		struct fetch *f = w->f;
		must_be(f, FETCH_TAG);
		w->joining = NULL;
		if (j->rc == RK_ECORRUPT)
			forget_parts(f, w);
		joined(f, j);
	}
	free_joining(j);
}

static enum rk_err
start_join(struct fetch *f, struct rk_why *why)
{
	struct whole *w = f->whole;
	uint64_t need = 0;

	for (int k = 0; k < w->info.nfiles; k++)
		need += w->part[k].uri != NULL ? w->info.files[k].size : 0;
	if (cache_room(f->h, f->bare, need, why) != RK_OK)
		return RK_ENOSPC;
	if (!fetch_part_open(f)) {
		rk_refuse(why, "%s", f->error);
		return f->err;
	}
	struct joining *j = w->joining = xcalloc(1, sizeof(*j));
	j->whole = w;
	memcpy(j->info.files, w->info.files, sizeof(j->info.files));
	j->info.nfiles = w->info.nfiles;
	for (int k = 0; k < w->info.nfiles; k++)
		if (w->part[k].uri != NULL)
			j->paths[k] = cache_path(f->h, w->part[k].hex);
	j->fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	loop_work(f->h->loop, join_work, join_done, j);
	return RK_OK;
}

/* --- driven by who asks --------------------------------------------------- */

static bool
is_known(struct fetch *f)
{
	struct cache_row c;

	if (store_cache_get(f->h->store, f->bare, f->digest, &c) != RK_OK)
		return false;
	char hex[RK_SHA256_HEX];
	memcpy(hex, c.digest, sizeof(hex));
	const bool is = cache_has(f->h, hex, c.size) && is_wanted(f, hex);
	store_cache_fini(&c);
	if (is)
		fetch_done(f, hex);
	return is;
}

void
whole_begin(struct fetch *f)
{
	f->whole->f = f;
	if (is_known(f))
		return;
	f->state = FETCH_PARTS;
	sup_supplied(f->h->sup);
}

static enum rk_err
want_part(struct fetch *f, int k, const struct fetch_ask *by,
    struct rk_why *why)
{
	struct whole *w = f->whole;
	const struct fetch_ask a = { .uri = w->part[k].uri,
		.sha256 = w->part[k].sha256[0] != '\0' ?
		    w->part[k].sha256 : NULL,
		.size = w->info.files[k].size, .job = by->job,
		.attempt = by->attempt, .patient = f->patient };
	const enum rk_err rc = fetch_want(f->h, &a, w->part[k].hex, why);

	if (rc == RK_OK)
		version_seen(f, w->info.files[k].name, NULL);
	else if (rc == RK_ENOENT || rc == RK_ECORRUPT)
		version_seen(f, w->info.files[k].name, rk_why_first(why));
	return rc;
}

/* Trouble wins over waiting, with its words. */
static enum rk_err
want_parts(struct fetch *f, const struct fetch_ask *by, struct rk_why *why)
{
	struct whole *w = f->whole;
	struct rk_why worst = { 0 };
	enum rk_err rc = RK_OK;

	for (int k = 0; k < w->info.nfiles; k++) {
		struct rk_why own = { 0 };
		const enum rk_err one = w->part[k].uri != NULL ?
		    want_part(f, k, by, &own) : RK_OK;
		if (one != RK_OK && (rc == RK_OK || (rc == RK_EBUSY &&
		    one != RK_EBUSY))) {
			rc = one;
			rk_why_fini(&worst);
			worst = own;
		} else {
			rk_why_fini(&own);
		}
	}
	for (size_t i = 0; i < worst.n; i++)
		rk_refuse_at(why, worst.v[i].path, "%s", worst.v[i].message);
	rk_why_fini(&worst);
	return rc;
}

enum rk_err
whole_go(struct fetch *f, const struct fetch_ask *by, struct rk_why *why)
{
	struct whole *w = f->whole;

	if (w->joining != NULL) {
		rk_refuse(why, "joins the shards of %s", f->bare);
		return RK_EBUSY;
	}
	enum rk_err rc = want_parts(f, by, why);
	if (rc == RK_OK)
		rc = start_join(f, why);
	if (rc == RK_OK) {
		rk_refuse(why, "joins the shards of %s", f->bare);
		rc = RK_EBUSY;
	}
	return rc;
}
