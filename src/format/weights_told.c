/*
 * What weights say, for another process, and back.
 *
 * Writing and reading go through the same functions, so that they agree on what
 * follows what: walk_...() put their fields in, or fill them.  Numbers are 8
 * bytes of this machine, texts a length and their bytes, NONE for a NULL.  Who
 * reads believes nothing: what is too short, too long, or no text makes `bad`,
 * and tensors are added as those of a file are (weights_add).
 */
#include <stdlib.h>
#include <string.h>

#include "weights_make.h"

#define NONE UINT64_MAX

enum part { HEAD, TENSORS, VALUES, PARTS, NOTES, META, ENDED };

struct walk {
	struct weights *w;              /* told ones; NULL: it writes */
	uint8_t *out;
	const uint8_t *in;
	size_t at, room;                /* of out or in */
	bool bad;
};

struct weights_told {
	struct weights *w;
	const struct weights_teller *ops;
	void *ctx;
	uint64_t want[ENDED];           /* of each part, by the head */
	enum part part;
	uint64_t done;                  /* of this part */
};

/* --- fields --------------------------------------------------------------- */

static void
walk_bytes(struct walk *c, void *p, size_t n)
{
	c->bad = c->bad || n > c->room - c->at;
	if (c->bad)
		return;
	if (c->w == NULL)
		memcpy(c->out + c->at, p, n);
	else
		memcpy(p, c->in + c->at, n);
	c->at += n;
}

static void
walk_number(struct walk *c, uint64_t *v)
{
	walk_bytes(c, v, sizeof(*v));
}

/* A number below `end`. */
static void
walk_below(struct walk *c, uint64_t *v, uint64_t end)
{
	walk_number(c, v);
	if (c->bad || *v >= end) {
		c->bad = true;
		*v = 0;
	}
}

static void
read_text(struct walk *c, const char **s)
{
	uint64_t n = 0;

	*s = NULL;
	walk_number(c, &n);
	if (c->bad || n == NONE)
		return;
	c->bad = n > c->room - c->at || memchr(c->in + c->at, 0, n) != NULL;
	if (c->bad)
		return;
	*s = weights_text(c->w, c->in + c->at, n);
	c->bad = *s == NULL;
	c->at += n;
}

static void
walk_raw(struct walk *c, const char **s)
{
	uint64_t n = *s != NULL ? strlen(*s) : NONE;

	if (c->w != NULL) {
		read_text(c, s);
		return;
	}
	walk_number(c, &n);
	if (n != NONE)
		walk_bytes(c, (void *)(uintptr_t)*s, n);
}

/* A text for people: one line of UTF-8. */
static void
walk_text(struct walk *c, const char **s)
{
	walk_raw(c, s);
	if (c->w != NULL && !c->bad && *s != NULL)
		rk_text_clean((char *)(uintptr_t)*s);
}

/* --- items ---------------------------------------------------------------- */

static void
walk_head(struct walk *c, struct weights *w, uint64_t want[ENDED])
{
	uint64_t format = w->format, framework = w->framework;
	uint64_t packed = w->packed;

	walk_below(c, &format, WEIGHTS_NPZ + 1);
	walk_below(c, &framework, WEIGHTS_FROM_PADDLE + 1);
	walk_below(c, &packed, 2);
	walk_number(c, &w->size);
	walk_text(c, &w->writer);
	walk_text(c, &w->model);
	walk_text(c, &w->optimizer);
	walk_below(c, &want[TENSORS], WEIGHTS_TENSORS + 1);
	walk_below(c, &want[VALUES], WEIGHTS_VALUES + 1);
	walk_below(c, &want[PARTS], WEIGHTS_TENSORS + 1);
	walk_below(c, &want[NOTES], WEIGHTS_TENSORS + 1);
	walk_below(c, &want[META], WEIGHTS_TENSORS + 1);
	w->format = (enum weights_format)format;
	w->framework = (enum weights_framework)framework;
	w->packed = packed != 0;
}

static void
walk_tensor(struct walk *c, struct weights_tensor *t)
{
	uint64_t role = t->role, dtype = t->dtype, lie = t->lie;
	uint64_t ndim = (uint64_t)t->ndim, same = (uint64_t)t->same_as;

	walk_raw(c, &t->name);
	walk_text(c, &t->path);
	walk_text(c, &t->alias);
	walk_text(c, &t->of);
	walk_text(c, &t->slot);
	walk_below(c, &role, WEIGHTS_OTHER + 1);
	walk_below(c, &dtype, DT_COUNT);
	walk_below(c, &lie, WEIGHTS_STREAMED + 1);
	walk_below(c, &ndim, TENSOR_MAX_DIMS + 1);
	for (uint64_t i = 0; i < ndim; i++)
		walk_bytes(c, &t->d[i], sizeof(t->d[i]));
	walk_number(c, &same);
	t->role = (enum weights_role)role;
	t->dtype = (enum dtype)dtype;
	t->lie = (enum weights_lie)lie;
	t->ndim = (int)ndim;
	t->same_as = (int64_t)same;
}

static void
walk_value(struct walk *c, struct weights_value *v)
{
	uint64_t kind = v->kind;

	walk_text(c, &v->path);
	walk_text(c, &v->text);
	walk_below(c, &kind, WEIGHTS_NONE + 1);
	walk_bytes(c, &v->i, sizeof(v->i));
	walk_bytes(c, &v->f, sizeof(v->f));
	v->kind = (enum weights_kind)kind;
	c->bad = c->bad || v->path == NULL ||
	    (v->kind == WEIGHTS_TEXT) != (v->text != NULL);
}

static void
walk_part(struct walk *c, struct weights_part *p)
{
	uint64_t role = p->role, tensors = p->tensors;

	walk_text(c, &p->path);
	walk_below(c, &role, WEIGHTS_OTHER + 1);
	walk_number(c, &tensors);
	walk_number(c, &p->count);
	p->role = (enum weights_role)role;
	p->tensors = tensors;
	c->bad = c->bad || p->path == NULL;
}

/* --- telling -------------------------------------------------------------- */

static void
count_parts(const struct weights *w, uint64_t want[ENDED])
{
	size_t meta = 0;

	while (w->meta != NULL && w->meta[meta] != NULL)
		meta++;
	want[HEAD] = 1;
	want[TENSORS] = w->n;
	want[VALUES] = w->nvalues;
	want[PARTS] = w->nparts;
	want[NOTES] = w->nnotes;
	want[META] = meta;
}

/* The item of a number; what is put in is not changed. */
static void
put_item(struct walk *c, const struct weights *w, uint64_t want[ENDED],
    enum part part, uint64_t i)
{
	struct weights head = *w;
	struct weights_tensor t;
	struct weights_value v;
	struct weights_part p;
	const char *s;

	switch (part) {
	case HEAD:
		walk_head(c, &head, want);
		break;
	case TENSORS:
		t = w->v[i];
		walk_tensor(c, &t);
		break;
	case VALUES:
		v = w->values[i];
		walk_value(c, &v);
		break;
	case PARTS:
		p = w->parts[i];
		walk_part(c, &p);
		break;
	case NOTES:
		s = w->notes[i];
		walk_text(c, &s);
		break;
	case META:
		s = w->meta[i];
		walk_raw(c, &s);
		break;
	case ENDED:
		break;
	}
}

/* Which part item `at` is of, and its number there. */
static enum part
part_of(const uint64_t want[ENDED], uint64_t at, uint64_t *i)
{
	enum part part = HEAD;

	while (part < ENDED && at >= want[part])
		at -= want[part++];
	*i = at;
	return part;
}

enum rk_err
weights_tell(const struct weights *w, uint64_t *next, void *buf, size_t room,
    size_t *n, struct rk_why *why)
{
	struct walk c = { .out = buf, .room = room };
	uint64_t want[ENDED], i;
	enum part part;

	count_parts(w, want);
	*n = 0;
	while ((part = part_of(want, *next, &i)) != ENDED) {
		put_item(&c, w, want, part, i);
		if (c.bad)
			break;
		*n = c.at;
		++*next;
	}
	if (!c.bad || *n > 0)
		return RK_OK;
	rk_refuse(why, "has a name or a path of more than %zu bytes", room);
	return RK_ELIMIT;
}

/* --- being told ----------------------------------------------------------- */

struct weights_told *
weights_told_new(const struct weights_teller *ops, void *ctx)
{
	struct weights_told *t = xcalloc(1, sizeof(*t));

	t->w = weights_new(NULL, NULL);
	t->ops = ops;
	t->ctx = ctx;
	t->want[HEAD] = 1;
	return t;
}

void
weights_told_free(struct weights_told *t)
{
	if (t == NULL)
		return;
	weights_free(t->w);
	free(t);
}

static enum rk_err
never(struct rk_why *why)
{
	return rk_refuse(why, "the process that reads it says what cannot be");
}

/* An earlier one of the same type and shape. */
static bool
same_is_good(const struct weights *w, const struct weights_tensor *t)
{
	if (t->same_as == -1)
		return true;
	if (t->same_as < 0 || (uint64_t)t->same_as >= w->n)
		return false;
	const struct weights_tensor *s = &w->v[t->same_as];
	return s->dtype == t->dtype && s->ndim == t->ndim &&
	    memcmp(s->d, t->d, (size_t)t->ndim * sizeof(t->d[0])) == 0;
}

static enum rk_err
add_tensor(struct weights *w, const struct weights_tensor *t,
    struct rk_why *why)
{
	struct weights_store *store = arena_get(&w->inside->arena,
	    sizeof(*store));
	struct weights_laid laid = { .dtype = t->dtype, .ndim = t->ndim,
		.store = store, .alias = t->alias };
	struct weights_tensor *out;

	if (store == NULL)
		return arena_full(why);
	/* As large as it may be: its shape says how much there is. */
	*store = (struct weights_store){ .kind = STORE_TOLD, .packed = w->n,
		.size = INT64_MAX };
	memcpy(laid.d, t->d, sizeof(laid.d));
	enum rk_err rc = weights_add(w, t->role, t->name, t->path, &laid,
	    &out, why);
	if (rc != RK_OK)
		return rc;
	store->size = out->bytes;
	out->of = t->of;
	out->slot = t->slot;
	out->same_as = t->same_as;
	out->lie = t->lie;
	return RK_OK;
}

static enum rk_err
take_tensor(struct walk *c, struct weights *w, struct rk_why *why)
{
	struct weights_tensor t = { .name = NULL };

	walk_tensor(c, &t);
	if (c->bad || t.name == NULL || t.path == NULL || !same_is_good(w, &t))
		return never(why);
	return add_tensor(w, &t, why);
}

static enum rk_err
take_value(struct walk *c, struct weights *w, struct rk_why *why)
{
	struct weights_value v = { .path = NULL };

	walk_value(c, &v);
	return c->bad ? never(why) : weights_add_value(w, &v, why);
}

static enum rk_err
take_part(struct walk *c, struct weights *w, struct rk_why *why)
{
	struct weights_part p = { .path = NULL };

	walk_part(c, &p);
	if (c->bad)
		return never(why);
	if (!arena_grow(&w->inside->arena, &w->parts, w->nparts, sizeof(p)))
		return arena_full(why);
	w->parts[w->nparts++] = p;
	return RK_OK;
}

static enum rk_err
take_text(struct walk *c, struct weights_told *t, struct rk_why *why)
{
	struct weights *w = t->w;
	const char *s = NULL;

	if (t->part == NOTES)
		walk_text(c, &s);
	else
		walk_raw(c, &s);
	if (c->bad || s == NULL)
		return never(why);
	if (t->part == META) {
		w->meta[t->done] = (char *)(uintptr_t)s;
		return RK_OK;
	}
	if (!arena_grow(&w->inside->arena, &w->notes, w->nnotes,
	    sizeof(*w->notes)))
		return arena_full(why);
	w->notes[w->nnotes++] = (char *)(uintptr_t)s;
	return RK_OK;
}

static enum rk_err
take_head(struct walk *c, struct weights_told *t, struct rk_why *why)
{
	walk_head(c, t->w, t->want);
	if (c->bad || t->want[META] % 2 != 0)
		return never(why);
	if (t->want[META] == 0)
		return RK_OK;
	t->w->meta = arena_array(&t->w->inside->arena, t->want[META] + 1,
	    sizeof(*t->w->meta));
	return t->w->meta == NULL ? arena_full(why) : RK_OK;
}

enum rk_err
weights_told_add(struct weights_told *t, const void *p, size_t n,
    struct rk_why *why)
{
	struct walk c = { .w = t->w, .in = p, .room = n };
	enum rk_err rc = RK_OK;

	while (rc == RK_OK && c.at < n) {
		while (t->part < ENDED && t->done == t->want[t->part]) {
			t->part++;
			t->done = 0;
		}
		rc = t->part == HEAD ? take_head(&c, t, why) :
		    t->part == TENSORS ? take_tensor(&c, t->w, why) :
		    t->part == VALUES ? take_value(&c, t->w, why) :
		    t->part == PARTS ? take_part(&c, t->w, why) :
		    t->part == ENDED ? never(why) : take_text(&c, t, why);
		t->done++;
	}
	return rc;
}

enum rk_err
weights_told_end(struct weights_told *t, struct weights **out,
    struct rk_why *why)
{
	struct weights *w = t->w;
	enum rk_err rc = RK_OK;

	*out = NULL;
	while (t->part < ENDED && t->done == t->want[t->part]) {
		t->part++;
		t->done = 0;
	}
	if (t->part != ENDED)
		rc = never(why);
	if (rc == RK_OK)
		rc = weights_make_index(w, why);
	if (rc == RK_OK) {
		w->inside->teller = t->ops;
		w->inside->teller_ctx = t->ctx;
		t->w = NULL;
		*out = w;
	}
	weights_told_free(t);
	return rc;
}

void *
weights_teller_ctx(const struct weights *w)
{
	return w->inside->teller != NULL ? w->inside->teller_ctx : NULL;
}
