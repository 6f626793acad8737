/*
 * Behind our base and the look: what older epochs left is deleted, but for the
 * newest bases and what goes with them.  Nothing depends on it; what fails is
 * for the next start.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static const struct {
	const char *kind, *suffix;
	bool folder;
} kinds[] = {
	/* A base goes behind its records, and its epoch behind both. */
	{ "records/", "/", true },
	{ "left/", ".json", false },
	{ "base/", ".jsonl", false },
	{ "epochs/", ".json", false },
};

struct cleaner {
	struct mirror *m;
	struct remote_op *op;
	struct numbers list;
	int64_t below;                  /* what is lower goes */
	size_t kind, at;
	char **keys;                    /* of a folder */
	size_t nkeys, key;
};

static void next_kind(struct cleaner *c);
static void next_number(struct cleaner *c);

static void
drop_keys(struct cleaner *c)
{
	for (size_t i = 0; i < c->nkeys; i++)
		free(c->keys[i]);
	free(c->keys);
	c->keys = NULL;
	c->nkeys = c->key = 0;
}

void
clean_fini(struct mirror *m)
{
	struct cleaner *c = m->cleaner;

	if (c == NULL)
		return;
	remote_cancel(&c->op);
	drop_keys(c);
	numbers_fini(&c->list);
	free(c);
	m->cleaner = NULL;
}

/* true: it may go on. */
static bool
fine(struct cleaner *c, const struct remote_result *r)
{
	c->op = NULL;
	if (r->end == REMOTE_OK || r->end == REMOTE_CANCELLED)
		return true;
	log_info("mirror: old objects stay for now: %s", r->error);
	clean_fini(c->m);
	return false;
}

static void
deleted(void *ctx, const struct remote_result *r)
{
	struct cleaner *c = ctx;

	if (fine(c, r))
		next_number(c);
}

static void
drop(struct cleaner *c, char *key)
{
	struct remote_patience pt = patience(30000);

	c->op = remote_delete(c->m->remote, key, &pt, deleted, c);
	free(key);
}

static bool
see_numbers(void *ctx, const struct remote_entry *v, size_t n)
{
	struct cleaner *c = ctx;

	return numbers_see(&c->list, v, n);
}

static bool
see_keys(void *ctx, const struct remote_entry *v, size_t n)
{
	struct cleaner *c = ctx;
	char id[RK_ID];
	int64_t version;

	for (size_t i = 0; i < n; i++) {
		if (!record_name(v[i].key, id, &version))
			continue;
		if ((c->nkeys & (c->nkeys - 1)) == 0)
			c->keys = xrealloc(c->keys, RK_MAX(2 * c->nkeys,
			    (size_t)1) * sizeof(*c->keys));
		c->keys[c->nkeys++] = xstrdup(v[i].key);
	}
	return c->nkeys < JOBS_MAX;
}

static void
keys_listed(void *ctx, const struct remote_result *r)
{
	struct cleaner *c = ctx;

	if (fine(c, r))
		next_number(c);
}

static void
next_number(struct cleaner *c)
{
	struct mirror *m = c->m;

	if (c->key < c->nkeys) {
		char *dir = key_of(m, kinds[c->kind].kind,
		    c->list.v[c->at - 1], "/");
		drop(c, xasprintf("%s%s", dir, c->keys[c->key++]));
		free(dir);
		return;
	}
	drop_keys(c);
	while (c->at < c->list.n && c->list.v[c->at] >= c->below)
		c->at++;
	if (c->at == c->list.n) {
		c->kind++;
		next_kind(c);
		return;
	}
	char *key = key_of(m, kinds[c->kind].kind, c->list.v[c->at++],
	    kinds[c->kind].suffix);
	if (kinds[c->kind].folder) {
		struct remote_patience pt = patience(120000);
		c->op = remote_list(m->remote, key, false, see_keys, &pt,
		    keys_listed, c);
		free(key);
	} else {
		drop(c, key);
	}
}

static void
kind_listed(void *ctx, const struct remote_result *r)
{
	struct cleaner *c = ctx;

	if (fine(c, r))
		next_number(c);
}

static void
next_kind(struct cleaner *c)
{
	struct remote_patience pt = patience(30000);
	char *dir;

	if (c->kind == RK_ARRAY_LEN(kinds)) {
		clean_fini(c->m);
		return;
	}
	dir = dir_of(c->m, kinds[c->kind].kind);
	numbers_fini(&c->list);
	c->list.suffix = kinds[c->kind].suffix;
	c->at = 0;
	c->op = remote_list(c->m->remote, dir, kinds[c->kind].folder,
	    see_numbers, &pt, kind_listed, c);
	free(dir);
}

static int
downward(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? 1 : *x > *y ? -1 : 0;
}

static void
bases_listed(void *ctx, const struct remote_result *r)
{
	struct cleaner *c = ctx;

	if (!fine(c, r))
		return;
	/* Only our own base makes older ones superfluous: the newest below it
	 * are kept with it. */
	if (c->list.n > BASES_KEPT) {
		qsort(c->list.v, c->list.n, sizeof(*c->list.v), downward);
		c->below = RK_MIN(c->list.v[BASES_KEPT - 1], c->m->epoch);
	}
	next_kind(c);
}

void
clean_begin(struct mirror *m)
{
	struct remote_patience pt = patience(30000);
	struct cleaner *c = xcalloc(1, sizeof(*c));
	char *dir = dir_of(m, "base/");

	c->m = m;
	m->cleaner = c;
	c->list.suffix = ".jsonl";
	c->op = remote_list(m->remote, dir, false, see_numbers, &pt,
	    bases_listed, c);
	free(dir);
}
