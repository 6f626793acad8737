/* What samples were when they were first read: see seen.h. */
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "seen.h"

#define SIDES 2

struct side {
	const struct data_set *d;       /* NULL: in memory, or there is none */
	const char *name;
	uint64_t *content;              /* what the writer reads */
	uint64_t *file;
};

struct seen {
	struct side side[SIDES];
	struct tensor_set *set;
	struct tensor_set *was;         /* of a checkpoint, or NULL */
};

/* --- opening -------------------------------------------------------------- */

static void
add(struct tensor_set *set, const struct side *s, const char *what,
    const uint64_t *v)
{
	char *name = xasprintf("%s.%s", s->name, what);

	must(tensor_set_add(set, name, DT_U64, 1, &s->d->n, v, NULL) == RK_OK);
	free(name);
}

void
seen_open(struct run *r)
{
	const struct data_set *const sets[SIDES] = { r->train, r->valid };
	static const char *const names[SIDES] = { "train", "validation" };
	struct seen *z;

	if (!feed_loads(r->train) && !feed_loads(r->valid))
		return;
	z = r->seen = xcalloc(1, sizeof(*z));
	z->set = tensor_set_new();
	for (int i = 0; i < SIDES; i++) {
		struct side *s = &z->side[i];
		if (!feed_loads(sets[i]))
			continue;
		s->d = sets[i];
		s->name = names[i];
		s->file = xcalloc((size_t)s->d->n, sizeof(*s->file));
		if (!data_knows_content(s->d)) {
			s->content = xcalloc((size_t)s->d->n,
			    sizeof(*s->content));
			add(z->set, s, "content", s->content);
		}
		add(z->set, s, "file", s->file);
	}
	must(tensor_set_seal(z->set, NULL) == RK_OK);
}

void
seen_close(struct run *r)
{
	struct seen *z = r->seen;

	if (z == NULL)
		return;
	tensor_set_free(z->set);
	tensor_set_free(z->was);
	for (int i = 0; i < SIDES; i++) {
		free(z->side[i].content);
		free(z->side[i].file);
	}
	free(z);
	r->seen = NULL;
}

static struct side *
side_of(const struct run *r, const struct data_set *d)
{
	for (int i = 0; d != NULL && r->seen != NULL && i < SIDES; i++)
		if (r->seen->side[i].d == d)
			return &r->seen->side[i];
	return NULL;
}

uint64_t *
seen_files(struct run *r, const struct data_set *d)
{
	struct side *s = side_of(r, d);

	return s != NULL ? s->file : NULL;
}

/* --- from a checkpoint ---------------------------------------------------- */

void
seen_load(struct run *r, const struct ckpt_info *i)
{
	struct rk_why why = {0};

	if (r->seen == NULL)
		return;
	tensor_set_free(r->seen->was);
	r->seen->was = NULL;
	enum rk_err rc = ckpt_load_data(r->ckpt, i, &r->seen->was, &why);
	/* Without it changes are found by size alone until all was read
	 * again. */
	if (rc != RK_OK && rc != RK_ENOENT)
		report_warning(&r->rep, "data_unknown", "what the data were at "
		    "%s cannot be read: %s", i->dir, rk_why_first(&why));
	rk_why_fini(&why);
}

/* Numbers of the checkpoint, anywhere in memory; NULL: it has none of as many
 * samples, or any number of them where n is not NULL. */
static const char *
was_of(const struct run *r, const struct side *s, const char *what,
    int64_t *n)
{
	char *name = xasprintf("%s.%s", s->name, what);
	const struct tensor *t = r->seen->was == NULL ? NULL :
	    tensor_find(r->seen->was, name);

	free(name);
	if (t == NULL || t->dtype != DT_U64 || t->ndim != 1 ||
	    (n == NULL && t->d[0] != s->d->n))
		return NULL;
	if (n != NULL)
		*n = t->d[0];
	return t->data;
}

void
seen_restore(struct run *r)
{
	for (int i = 0; r->seen != NULL && i < SIDES; i++) {
		const struct side *s = &r->seen->side[i];
		const char *was = s->d == NULL ? NULL :
		    was_of(r, s, "content", NULL);
		uint64_t *known = s->d == NULL ? NULL : feed_known(r, s->d);
		if (was != NULL && known != NULL)
			memcpy(known, was, (size_t)s->d->n * sizeof(*known));
	}
}

void
seen_forget(struct run *r)
{
	for (int i = 0; r->seen != NULL && i < SIDES; i++) {
		const struct side *s = &r->seen->side[i];
		uint64_t *known = s->d == NULL ? NULL : feed_known(r, s->d);
		if (known != NULL)
			memset(known, 0, (size_t)s->d->n * sizeof(*known));
	}
	if (r->seen != NULL) {
		tensor_set_free(r->seen->was);
		r->seen->was = NULL;
	}
}

char *
seen_changed(struct run *r, const struct data_set *d)
{
	const struct side *s = side_of(r, d);
	int64_t n = 0, i = 0;
	const char *was = s == NULL ? NULL : was_of(r, s, "file", &n);

	if (was == NULL)
		return NULL;
	while (i < n && i < d->n && memcmp(was + (size_t)i * sizeof(uint64_t),
	    &s->file[i], sizeof(uint64_t)) == 0)
		i++;
	if (i < d->n)
		return data_sample_name(d, i);
	/* Those behind the last one are gone. */
	char *last = n > d->n ? data_sample_name(d, d->n - 1) : NULL;
	char *text = last == NULL ? NULL : xasprintf("what came behind %s",
	    last);
	free(last);
	return text;
}

/* --- into one ------------------------------------------------------------- */

const struct tensor_set *
seen_take(struct run *r)
{
	if (r->seen == NULL)
		return NULL;
	for (int i = 0; i < SIDES; i++) {
		const struct side *s = &r->seen->side[i];
		const uint64_t *known = s->d == NULL ? NULL :
		    feed_known(r, s->d);
		if (known != NULL)
			memcpy(s->content, known, (size_t)s->d->n *
			    sizeof(*known));
	}
	return r->seen->set;
}

uint64_t
seen_bytes(const struct run *r)
{
	const struct data_set *const sets[SIDES] = { r->train, r->valid };
	uint64_t n = 0;

	for (int i = 0; i < SIDES; i++)
		if (feed_loads(sets[i]))
			n += (uint64_t)sets[i]->n * sizeof(uint64_t) *
			    (data_knows_content(sets[i]) ? 1 : 2);
	return n;
}
