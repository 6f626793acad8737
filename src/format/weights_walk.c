/* Going through the values of a pickle, see weights_walk.h. */
#include <stdlib.h>
#include <string.h>

#include "weights_walk.h"

#define DEPTH      128          /* more than a pickle's own, for what cycles */
#define KEY_MOST   1024         /* bytes */
#define LIST_MOST  4096         /* plain items of a list that are taken */
#define AGAIN_MOST 1000000u     /* items of what was gone through before */

enum { SEEN_NEVER, SEEN_BEFORE, SEEN_NOW };

struct frame {
	struct pickle_seq *seq;
	bool dict;
	bool again;                     /* not for the first time */
	uint64_t at;                    /* the next item */
	size_t path;                    /* bytes of the path before its items */
	struct weights_node *node;
};

struct walk {
	struct weights_gather *g;
	struct weights *w;
	struct arena *arena;
	struct weights_tree *tree;
	struct frame frames[DEPTH];
	size_t depth;
	struct strbuf path;
	uint64_t again;
	struct rk_why *why;
};

static enum rk_err
bad_at(struct walk *k, const char *what)
{
	return rk_refuse_at(k->why, sb_str(&k->path), "%s", what);
}

static void
cut_path(struct walk *k, size_t n)
{
	if (n == k->path.len)
		return;
	k->path.len = n;
	k->path.s[n] = '\0';
}

/* --- keys ----------------------------------------------------------------- */

static int
compare_keys(const struct pickle_value *a, const struct pickle_value *b)
{
	const bool x = a->kind == PK_INT, y = b->kind == PK_INT;

	if (x != y)
		return x ? -1 : 1;
	if (x)
		return (a->i > b->i) - (a->i < b->i);
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return memcmp(a->p, b->p, a->n);
}

static bool
is_key(const struct pickle_value *v)
{
	return v->kind == PK_INT || pickle_is_text(v);
}

static int
by_key(const void *a, const void *b)
{
	return compare_keys(*(const struct pickle_value *const *)a,
	    *(const struct pickle_value *const *)b);
}

/* Python keeps the last of two; whoever wrote both meant something else. */
static enum rk_err
check_keys(struct walk *k, const struct pickle_seq *dict)
{
	const struct pickle_value **v = malloc((dict->n / 2 + 1) * sizeof(*v));
	enum rk_err rc = RK_OK;
	size_t n = 0;

	if (v == NULL)
		return arena_full(k->why);
	for (uint64_t i = 0; i < dict->n; i += 2)
		if (is_key(&dict->v[i]))
			v[n++] = &dict->v[i];
	qsort(v, n, sizeof(*v), by_key);
	for (size_t i = 1; i < n && rc == RK_OK; i++) {
		char text[PICKLE_SHOW];
		if (compare_keys(v[i - 1], v[i]) == 0)
			rc = rk_refuse_at(k->why, sb_str(&k->path), "has a key "
			    "twice: %s", pickle_show(text, v[i]));
	}
	free(v);
	return rc;
}

/* The key behind the path; false: it is none that has a name. */
static enum rk_err
add_key(struct walk *k, const struct pickle_value *key, bool *named)
{
	*named = is_key(key);
	if (!*named) {
		k->tree->strange++;
		return RK_OK;
	}
	if (k->path.len > 0)
		sb_addc(&k->path, '.');
	if (key->kind == PK_INT) {
		sb_addf(&k->path, "%lld", (long long)key->i);
		return RK_OK;
	}
	if (key->n > KEY_MOST)
		return bad_at(k, "has a key of more than 1024 bytes");
	if (memchr(key->p, '\0', key->n) != NULL)
		return bad_at(k, "has a key with a NUL in it");
	sb_add(&k->path, key->p, key->n);
	return RK_OK;
}

/* --- what is found -------------------------------------------------------- */

static enum rk_err
new_node(struct walk *k, struct weights_node *parent, const char *key,
    const struct pickle_value *v, struct weights_node **out)
{
	struct weights_node *n = arena_get(k->arena, sizeof(*n));

	if (n == NULL || !arena_grow(k->arena, &k->tree->nodes, k->tree->n,
	    sizeof(n)))
		return arena_full(k->why);
	n->parent = parent;
	n->v = v;
	n->depth = parent != NULL ? parent->depth + 1 : 0;
	n->path = arena_text(k->arena, sb_str(&k->path), k->path.len);
	if (n->path == NULL)
		return arena_full(k->why);
	n->key = n->path + (k->path.len - strlen(key));
	k->tree->nodes[k->tree->n++] = n;
	*out = n;
	return RK_OK;
}

static enum rk_err
found_tensor(struct walk *k, const struct weights_laid *laid,
    struct weights_node *node)
{
	struct weights_tree *t = k->tree;
	struct weights_tensor *tensor;
	const char *path = k->path.len > 0 ? k->path.s : laid->alias != NULL ?
	    laid->alias : "tensor";
	enum rk_err rc = weights_add(k->w, WEIGHTS_OTHER, path, NULL, laid,
	    &tensor, k->why);

	if (rc != RK_OK)
		return rc;
	const size_t i = k->w->n - 1 - t->first;
	if (!arena_grow(k->arena, &t->of, i, sizeof(*t->of)))
		return arena_full(k->why);
	t->of[i] = node;
	node->tensors++;
	for (; node != NULL; node = node->parent) {
		node->all++;
		node->count += tensor->count;
	}
	return RK_OK;
}

static enum rk_err
found_value(struct walk *k, struct weights_value *v)
{
	if (k->w->nvalues == WEIGHTS_VALUES) {
		k->w->inside->values_left_out++;
		return RK_OK;
	}
	char *path = rk_text_clean(xstrdup(sb_str(&k->path)));
	v->path = path;
	enum rk_err rc = weights_add_value(k->w, v, k->why);
	free(path);
	return rc;
}

/* A whole number of any length, about: above the topmost byte the sign goes
 * on. */
static double
long_number(const struct pickle_value *v)
{
	double f = (v->p[v->n - 1] & 0x80) != 0 ? -1 : 0;

	for (uint64_t i = v->n; i-- > 0;)
		f = f * 256 + v->p[i];
	return f;
}

/* Is it a number, a text or None? */
static enum rk_err
plain_value(struct walk *k, const struct pickle_value *v, bool *plain)
{
	struct weights_value value = { .kind = WEIGHTS_NONE };
	char *text = NULL;

	*plain = true;
	switch (v->kind) {
	case PK_NONE:
		break;
	case PK_BOOL:
		value.kind = WEIGHTS_BOOL;
		value.f = (double)(value.i = v->b);
		break;
	case PK_INT:
		value.kind = WEIGHTS_INT;
		value.f = (double)(value.i = v->i);
		break;
	case PK_LONG:
		value.kind = WEIGHTS_FLOAT;
		value.f = long_number(v);
		break;
	case PK_FLOAT:
		value.kind = WEIGHTS_FLOAT;
		value.f = v->f;
		break;
	case PK_TEXT: case PK_STRING:
		value.kind = WEIGHTS_TEXT;
		text = rk_text_clean(xstrndup((const char *)v->p,
		    RK_MIN((size_t)v->n, (size_t)4096)));
		value.text = text;
		break;
	default:
		*plain = false;
		return RK_OK;
	}
	enum rk_err rc = found_value(k, &value);
	free(text);
	return rc;
}

/* --- the walk ------------------------------------------------------------- */

static bool
is_seq(const struct pickle_value *v)
{
	return v->kind == PK_LIST || v->kind == PK_TUPLE ||
	    v->kind == PK_SET || v->kind == PK_DICT;
}

static enum rk_err
enter(struct walk *k, const struct pickle_value *v, struct weights_node *parent,
    const char *key, bool again)
{
	struct pickle_seq *s = v->seq;
	struct weights_node *node;

	if (s->seen == SEEN_NOW)
		return bad_at(k, "holds itself");
	if (k->depth == DEPTH)
		return bad_at(k, "is nested too deep");
	enum rk_err rc = v->kind == PK_DICT ? check_keys(k, s) : RK_OK;
	if (rc == RK_OK)
		rc = new_node(k, parent, key, v, &node);
	if (rc != RK_OK)
		return rc;
	k->frames[k->depth++] = (struct frame){ .seq = s,
	    .dict = v->kind == PK_DICT, .path = k->path.len, .node = node,
	    .again = again || s->seen == SEEN_BEFORE };
	s->seen = SEEN_NOW;
	return RK_OK;
}

/* What a value is; containers are entered. */
static enum rk_err
visit(struct walk *k, const struct pickle_value *v, struct frame *f,
    const char *key)
{
	struct weights_value value = { .kind = WEIGHTS_NONE };
	struct weights_laid laid = { .ndim = 0 };
	struct rk_why own = {0};
	enum weights_is is = IS_NOTHING;
	bool plain;
	enum rk_err rc = plain_value(k, v, &plain);

	if (rc != RK_OK || plain)
		return rc;
	if (v->kind == PK_OBJECT && v->object->name->id == PN_NAMESPACE &&
	    v->object->state.kind == PK_DICT)
		v = &v->object->state;
	if (!is_seq(v) || v->kind == PK_TUPLE)
		is = k->g->is(k->g, v, &laid, &value, &own);
	if (is == IS_TENSOR)
		rc = found_tensor(k, &laid, f->node);
	else if (is == IS_VALUE)
		rc = found_value(k, &value);
	else if (is == IS_BAD)
		rc = bad_at(k, rk_why_first(&own));
	else if (is_seq(v))
		rc = enter(k, v, f->node, key, f->again);
	rk_why_fini(&own);
	return rc;
}

/* The next item of the topmost frame, or out of it. */
static enum rk_err
next_item(struct walk *k)
{
	struct frame *f = &k->frames[k->depth - 1];
	const struct pickle_value *v = f->seq->v;
	char key[32];
	bool named = true;
	enum rk_err rc = RK_OK;

	cut_path(k, f->path);
	if (f->at >= f->seq->n || (f->dict && f->at + 1 == f->seq->n)) {
		f->seq->seen = SEEN_BEFORE;
		k->depth--;
		return RK_OK;
	}
	if (f->again && ++k->again > AGAIN_MOST)
		return bad_at(k, "holds the same values again and again, more "
		    "than a million times: it is made to take time");
	v += f->at;
	f->at += f->dict ? 2 : 1;
	if (f->dict) {
		rc = add_key(k, v, &named);
		v++;
	} else {
		snprintf(key, sizeof(key), "%llu",
		    (unsigned long long)f->at - 1);
		sb_addf(&k->path, "%s%s", f->path > 0 ? "." : "", key);
		/* Of a history of numbers the beginning is enough. */
		if (f->at > LIST_MOST && v->kind <= PK_STRING) {
			k->tree->cut++;
			return RK_OK;
		}
	}
	if (rc != RK_OK || !named)
		return rc;
	return visit(k, v, f, k->path.s + f->path + (f->path > 0));
}

enum rk_err
weights_walk(struct weights_gather *g, const struct pickle_value *root,
    struct weights_tree *tree, struct rk_why *why)
{
	struct walk *k = xcalloc(1, sizeof(*k));
	struct frame outside = { .again = false };
	enum rk_err rc;

	*k = (struct walk){ .g = g, .w = g->w, .arena = &g->w->inside->arena,
	    .tree = tree, .why = why };
	*tree = (struct weights_tree){ .first = g->w->n };
	if (is_seq(root)) {
		rc = enter(k, root, NULL, "", false);
	} else {
		/* One tensor alone: a root that holds it. */
		rc = new_node(k, NULL, "", root, &outside.node);
		if (rc == RK_OK)
			rc = visit(k, root, &outside, "");
	}
	while (rc == RK_OK && k->depth > 0)
		rc = next_item(k);
	sb_fini(&k->path);
	free(k);
	return rc;
}
