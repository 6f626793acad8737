/*
 * What paddle.save wrote: a pickle, of one of three forms (python/paddle/
 * framework/io.py):
 *
 *	a state dict     {'fc.weight': array, ...,
 *	                 'StructuredToParameterName@@': {'fc.weight':
 *	                 'linear_0.w_0', ...}}
 *	of a program     {'linear_0.w_0': array, ...}
 *	anything else    dicts and lists, a tensor in it is ('linear_0.w_0',
 *			 array)
 *
 * Protocols 2 and 3 have no room for an array of 2^30 bytes and more: it is cut
 * into 'fc.weight@@.0', 'fc.weight@@.1', ..., and 'UnpackBigParamInfor@@' has
 * its shape and its pieces.  An array of numpy's uint16 is bfloat16.
 */
#include <stdlib.h>
#include <string.h>

#include "paddle.h"
#include "paddle_in.h"

/* A key of a dict and where its value is. */
struct key {
	const uint8_t *p;
	size_t n;
	uint64_t at;
};

struct paddle {
	struct weights *w;
	struct rk_why *why;
	struct pickle pickle;
	struct pickle_value root;       /* without Paddle's own keys */
	struct key *names;              /* of the table of names, sorted */
	size_t nnames;
	const struct pickle_seq *table; /* that table; NULL: there is none */
};

/* What a tensor in pieces becomes: its arguments are the shape and the
 * pieces. */
static const struct pickle_row in_pieces = { "paddle", "pieces", PN_OBJECT,
    PICKLE_PADDLE };

/* --- keys by name -------------------------------------------------------------- */

static int
by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	const int c = memcmp(x->p, y->p, RK_MIN(x->n, y->n));

	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* The texts among the keys of a dict, sorted, in the arena; NULL: no room. */
static struct key *
sort_keys(struct paddle *p, const struct pickle_seq *dict, size_t *n)
{
	struct key *v = arena_array(&p->w->inside->arena, dict->n / 2 + 1,
	    sizeof(*v));

	*n = 0;
	for (uint64_t i = 0; v != NULL && i < dict->n; i += 2)
		if (pickle_is_text(&dict->v[i]))
			v[(*n)++] = (struct key){ dict->v[i].p, dict->v[i].n,
			    i + 1 };
	if (v != NULL)
		qsort(v, *n, sizeof(*v), by_key);
	return v;
}

static const struct key *
find_key(const struct key *v, size_t n, const void *text, size_t len)
{
	const struct key want = { text, len, 0 };

	return n == 0 ? NULL : bsearch(&want, v, n, sizeof(*v), by_key);
}

/* --- arrays -------------------------------------------------------------------- */

static enum weights_is
array_of(struct weights *w, const struct pickle_value *v,
    struct weights_laid *laid, struct rk_why *why)
{
	struct weights_value number;

	return weights_numpy(w, v, true, laid, &number, why);
}

/* A tensor of the third form: the array, or NULL. */
static const struct pickle_value *
named_array(const struct pickle_value *v)
{
	const struct pickle_value *pair = pickle_tuple(v, 2);

	return pair != NULL && pickle_is_text(&pair[0]) &&
	    (pickle_is_object(&pair[1], PN_ND_RECONSTRUCT) ||
	    pickle_is_object(&pair[1], PN_ND_FROM_BUFFER)) ? &pair[1] : NULL;
}

bool
paddle_is_tensor(const struct pickle_value *v)
{
	return pickle_is_object(v, PN_ND_RECONSTRUCT) ||
	    pickle_is_object(v, PN_ND_FROM_BUFFER) || named_array(v) != NULL ||
	    (v->kind == PK_OBJECT && v->object->name == &in_pieces);
}

static enum weights_is
refuse_pieces(struct rk_why *why, const char *what)
{
	rk_refuse(why, "is saved in pieces (" PADDLE_SPLIT "), and %s", what);
	return IS_BAD;
}

/* The shape that the pieces have together. */
static bool
take_shape(const struct pickle_value *v, struct weights_laid *laid,
    uint64_t bytes)
{
	size_t n = dtype_bits(laid->dtype) / 8;

	if ((v->kind != PK_TUPLE && v->kind != PK_LIST) ||
	    v->seq->n > TENSOR_MAX_DIMS)
		return false;
	laid->ndim = (int)v->seq->n;
	for (int i = 0; i < laid->ndim; i++) {
		if (v->seq->v[i].kind != PK_INT || v->seq->v[i].i < 0)
			return false;
		laid->d[i] = v->seq->v[i].i;
		if (!rk_mul(n, (size_t)laid->d[i], &n))
			return false;
	}
	return n == bytes;
}

static enum weights_is
join_pieces(struct paddle *p, const struct pickle_value *v,
    struct weights_laid *laid, struct rk_why *why)
{
	const struct pickle_seq *args = v->object->args.seq;
	const size_t n = args->n - 1;
	struct weights_store *all = arena_get(&p->w->inside->arena,
	    sizeof(*all));
	const struct weights_store **pieces = arena_array(
	    &p->w->inside->arena, n, sizeof(*pieces));

	if (all == NULL || pieces == NULL) {
		arena_full(why);
		return IS_BAD;
	}
	*laid = (struct weights_laid){ 0 };
	*all = (struct weights_store){ .kind = STORE_PIECES, .pieces = pieces,
	    .npieces = n };
	for (size_t i = 0; i < n; i++) {
		struct weights_laid piece = { 0 };
		const enum weights_is is = array_of(p->w, &args->v[i + 1],
		    &piece, why);
		if (is == IS_BAD)
			return is;
		if (is != IS_TENSOR || piece.ndim != 1 || piece.strided ||
		    piece.offset != 0 || (i > 0 &&
		    (piece.dtype != laid->dtype || piece.big != laid->big)))
			return refuse_pieces(why, "they are not parts of one "
			    "array");
		laid->dtype = piece.dtype;
		laid->big = piece.big;
		pieces[i] = piece.store;
		all->size += piece.store->size;
	}
	laid->store = all;
	return take_shape(&args->v[0], laid, all->size) ? IS_TENSOR :
	    refuse_pieces(why, "its shape is another than theirs");
}

static enum weights_is
paddle_is(struct weights_gather *g, const struct pickle_value *v,
    struct weights_laid *laid, struct weights_value *value,
    struct rk_why *why)
{
	struct paddle *p = g->ctx;
	const struct pickle_value *array = named_array(v);

	if (v->kind == PK_OBJECT && v->object->name == &in_pieces)
		return join_pieces(p, v, laid, why);
	if (array == NULL)
		return v->kind == PK_TUPLE ? IS_NOTHING : weights_numpy(p->w, v,
		    true, laid, value, why);
	const enum weights_is is = array_of(p->w, array, laid, why);
	if (is != IS_TENSOR)
		return is;
	laid->alias = weights_text(p->w, v->seq->v[0].p, v->seq->v[0].n);
	if (laid->alias != NULL)
		return IS_TENSOR;
	arena_full(why);
	return IS_BAD;
}

/* --- Paddle's own keys ---------------------------------------------------------- */

/* The tensor in pieces that an entry of the table describes, as one value. */
static enum rk_err
make_pieces(struct paddle *p, const struct pickle_value *key,
    const struct pickle_value *entry, const struct key *keys, size_t nkeys,
    struct pickle_value *out, uint64_t *first)
{
	const struct pickle_value *shape = pickle_get(entry, "OriginShape");
	const struct pickle_value *slices = pickle_get(entry, "slices");
	struct arena *a = &p->w->inside->arena;

	if (shape == NULL || slices == NULL || slices->kind != PK_LIST ||
	    slices->seq->n == 0)
		return rk_refuse(p->why, PADDLE_SPLIT " of \"%.*s\" has no "
		    "OriginShape, or no slices", (int)RK_MIN(key->n, 80u),
		    (const char *)key->p);
	const uint64_t n = slices->seq->n;
	struct pickle_object *o = arena_get(a, sizeof(*o));
	struct pickle_seq *args = arena_get(a, sizeof(*args));
	struct pickle_value *v = arena_array(a, n + 1, sizeof(*v));
	if (o == NULL || args == NULL || v == NULL)
		return arena_full(p->why);
	v[0] = *shape;
	for (uint64_t i = 0; i < n; i++) {
		const struct pickle_value *s = &slices->seq->v[i];
		const struct key *k = pickle_is_text(s) ? find_key(keys, nkeys,
		    s->p, s->n) : NULL;
		if (k == NULL)
			return rk_refuse(p->why, "the piece %llu of \"%.*s\" "
			    "that " PADDLE_SPLIT " names is not in the file",
			    (unsigned long long)i, (int)RK_MIN(key->n, 80u),
			    (const char *)key->p);
		v[i + 1] = p->pickle.value.seq->v[k->at];
		if (i == 0)
			*first = k->at;
		/* Passed over when the others are copied. */
		p->pickle.value.seq->v[k->at - 1].kind = PK_NONE;
	}
	*args = (struct pickle_seq){ .v = v, .n = n + 1, .depth = 2 };
	*o = (struct pickle_object){ .name = &in_pieces, .depth = 3,
	    .args = { .kind = PK_TUPLE, .seq = args } };
	*out = (struct pickle_value){ .kind = PK_OBJECT, .object = o };
	return RK_OK;
}

/* Each tensor in pieces takes the place of its first piece. */
static enum rk_err
join_split(struct paddle *p, const struct pickle_seq *split)
{
	struct pickle_seq *root = p->pickle.value.seq;
	size_t n;
	const struct key *keys = sort_keys(p, root, &n);

	if (keys == NULL)
		return arena_full(p->why);
	for (uint64_t i = 0; i < split->n; i += 2) {
		struct pickle_value joined;
		uint64_t first = 1;
		if (!pickle_is_text(&split->v[i]))
			continue;
		enum rk_err rc = make_pieces(p, &split->v[i], &split->v[i + 1],
		    keys, n, &joined, &first);
		if (rc != RK_OK)
			return rc;
		root->v[first - 1] = split->v[i];
		root->v[first] = joined;
	}
	return RK_OK;
}

/* The root is what the file has without the two tables. */
static enum rk_err
take_tables(struct paddle *p)
{
	struct pickle_value *all = &p->pickle.value;
	const struct pickle_value *names = pickle_get(all, PADDLE_NAMES);
	const struct pickle_value *split = pickle_get(all, PADDLE_SPLIT);
	enum rk_err rc = RK_OK;

	p->root = *all;
	if (names != NULL && names->kind == PK_DICT) {
		p->table = names->seq;
		p->names = sort_keys(p, p->table, &p->nnames);
		if (p->names == NULL)
			return arena_full(p->why);
	}
	if (split != NULL && split->kind == PK_DICT)
		rc = join_split(p, split->seq);
	if (rc != RK_OK || (names == NULL && split == NULL))
		return rc;

	struct pickle_seq *s = arena_get(&p->w->inside->arena, sizeof(*s));
	struct pickle_value *v = arena_array(&p->w->inside->arena,
	    all->seq->n + 1, sizeof(*v));
	if (s == NULL || v == NULL)
		return arena_full(p->why);
	*s = (struct pickle_seq){ .v = v, .depth = all->seq->depth };
	for (uint64_t i = 0; i < all->seq->n; i += 2) {
		const struct pickle_value *key = &all->seq->v[i];
		if (key + 1 == names || key + 1 == split ||
		    key->kind == PK_NONE)
			continue;
		v[s->n++] = key[0];
		v[s->n++] = key[1];
	}
	p->root.seq = s;
	return RK_OK;
}

/* In a state dict each tensor has a name. */
static enum rk_err
check_keys(struct paddle *p)
{
	char shown[PICKLE_SHOW];

	for (uint64_t i = 0; p->root.kind == PK_DICT && i < p->root.seq->n;
	    i += 2) {
		const struct pickle_value *key = &p->root.seq->v[i];
		if (!pickle_is_text(key) && paddle_is_tensor(&key[1]))
			return rk_refuse(p->why, "has an array with %s for its "
			    "key, want a name", pickle_show(shown, key));
	}
	return RK_OK;
}

/* --- names of parameters --------------------------------------------------------- */

/* The table's name for each tensor of the root. */
static enum rk_err
add_aliases(struct paddle *p)
{
	for (size_t i = 0; i < p->w->n; i++) {
		struct weights_tensor *t = &p->w->v[i];
		const struct key *k = find_key(p->names, p->nnames, t->path,
		    strlen(t->path));
		if (k == NULL || !pickle_is_text(&p->table->v[k->at]))
			continue;
		t->alias = weights_text(p->w, p->table->v[k->at].p,
		    p->table->v[k->at].n);
		if (t->alias == NULL)
			return arena_full(p->why);
	}
	return RK_OK;
}

static int
by_alias(const void *a, const void *b, void *ctx)
{
	const struct weights_tensor *v = ctx;
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;
	const int c = strcmp(v[x].alias, v[y].alias);

	return c != 0 ? c : (x > y) - (x < y);
}

/* The digest of all elements, read from front to back: what is streamed begins
 * anew when it is read in turn with another. */
static bool
digest_of(const struct weights_tensor *t, char hex[RK_SHA256_HEX])
{
	struct rk_sha256 *d = rk_sha256_new();
	const size_t size = dtype_bits(t->dtype) / 8;
	enum rk_err rc = RK_OK;
	char piece[16384];

	const size_t step = sizeof(piece) / size;
	for (uint64_t at = 0; at < t->count && rc == RK_OK; at += step) {
		const size_t n = (size_t)RK_MIN(t->count - at, step);
		rc = weights_read(t, at, n, piece, NULL);
		if (rc == RK_OK)
			rk_sha256_add(d, piece, n * size);
	}
	rk_sha256_end(d, hex);
	return rc == RK_OK;
}

static bool
same_elements(const struct weights_tensor *a, const struct weights_tensor *b)
{
	char x[RK_SHA256_HEX], y[RK_SHA256_HEX];

	if (a->dtype != b->dtype || a->ndim != b->ndim ||
	    memcmp(a->d, b->d, (size_t)a->ndim * sizeof(a->d[0])) != 0)
		return false;
	if (a->data != NULL && b->data != NULL)
		return memcmp(a->data, b->data, (size_t)a->bytes) == 0;
	return digest_of(a, x) && digest_of(b, y) && strcmp(x, y) == 0;
}

/*
 * Two keys of one parameter: a recurrent layer has each of its own as
 * "weight_ih_l0" and as "0.cell.weight_ih".  They are one tensor where they are
 * equal; where they are not, both stay, and there is a note.
 */
static void
find_same(struct paddle *p, const size_t *order, size_t n)
{
	struct weights_tensor *v = p->w->v;
	const struct weights_tensor *example = NULL;
	size_t found = 0;

	for (size_t i = 1; i < n; i++) {
		struct weights_tensor *t = &v[order[i]];
		struct weights_tensor *first = &v[order[i - 1]];
		if (strcmp(t->alias, first->alias) != 0)
			continue;
		if (first->same_as >= 0)
			first = &v[first->same_as];
		if (!same_elements(t, first)) {
			weights_note(p->w, "\"%s\" and \"%s\" are one parameter "
			    "of Paddle's (%s), and differ", first->path,
			    t->path, t->alias);
			continue;
		}
		t->same_as = first - v;
		example = t;
		found++;
	}
	if (found > 0)
		weights_note(p->w, "%zu tensor%s there under two names, such as "
		    "\"%s\" and \"%s\", and equal", found, found == 1 ? " is" :
		    "s are", v[example->same_as].path, example->path);
}

static enum rk_err
find_doubles(struct paddle *p)
{
	const struct weights *w = p->w;
	size_t *order = malloc((w->n + 1) * sizeof(*order)), n = 0;

	if (order == NULL)
		return arena_full(p->why);
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].alias != NULL)
			order[n++] = i;
	qsort_r(order, n, sizeof(*order), by_alias, w->v);
	find_same(p, order, n);
	free(order);
	return RK_OK;
}

/* --- all ------------------------------------------------------------------------- */

bool
weights_looks_paddle(const uint8_t *p, size_t n)
{
	return pickle_looks_like(p, n);
}

static enum rk_err
read_pickle(struct paddle *p)
{
	const struct weights_inside *in = p->w->inside;

	p->pickle = (struct pickle){ .arena = &p->w->inside->arena,
	    .who = PICKLE_PADDLE, .p = in->p, .n = in->n };
	enum rk_err rc = pickle_read(&p->pickle, p->why);
	if (rc == RK_OK && p->pickle.at < in->n)
		weights_note(p->w, "%zu byte%s after the end of the pickle %s "
		    "not looked at", in->n - p->pickle.at,
		    rk_s((int64_t)(in->n - p->pickle.at)),
		    in->n - p->pickle.at == 1 ? "is" : "are");
	return rc;
}

/* A tensor that was saved alone: its name is the parameter's. */
static enum rk_err
add_alone(struct paddle *p, const struct pickle_value *v)
{
	struct weights_gather g = { .w = p->w, .is = paddle_is, .ctx = p };
	struct weights_laid laid = { 0 };
	struct weights_value none = { 0 };
	struct weights_tensor *t;

	if (paddle_is(&g, v, &laid, &none, p->why) != IS_TENSOR)
		return p->why != NULL && p->why->n > 0 ? RK_EINVAL :
		    rk_refuse(p->why, "is a pickle without a tensor");
	const char *name = laid.alias != NULL ? laid.alias : "tensor";
	enum rk_err rc = weights_add(p->w, WEIGHTS_MODEL, name, NULL, &laid, &t,
	    p->why);
	return rc == RK_OK ? weights_one_part(p->w, p->why) : rc;
}

enum rk_err
weights_read_paddle(struct weights *w, struct rk_why *why)
{
	struct paddle p = { .w = w, .why = why };
	struct weights_gather g = { .w = w, .is = paddle_is, .ctx = &p };

	w->framework = WEIGHTS_FROM_PADDLE;
	enum rk_err rc = read_pickle(&p);
	if (rc == RK_OK)
		rc = take_tables(&p);
	if (rc == RK_OK)
		rc = check_keys(&p);
	if (rc != RK_OK)
		return rc;
	if (named_array(&p.root) != NULL || p.root.kind == PK_OBJECT)
		return add_alone(&p, &p.root);
	g.optimizer = paddle_is_state(&p.root);
	rc = weights_gather(&g, &p.root, why);
	if (rc == RK_OK)
		rc = add_aliases(&p);
	if (rc == RK_OK)
		rc = find_doubles(&p);
	return rc == RK_OK ? paddle_roles(w, why) : rc;
}
