/* Making a struct weights: tensors that are checked, values, notes. */
#include <stdlib.h>
#include <string.h>

#include "weights_make.h"

#define TEXT_MOST 4096          /* bytes of a value's text */

/* A view may have more elements than its storage (expand() in PyTorch), but not
 * so many bytes more. */
#define SPREAD_MOST ((uint64_t)64 << 20)

char *
weights_text(struct weights *w, const void *p, size_t n)
{
	return arena_text(&w->inside->arena, p, n);
}

void
weights_note(struct weights *w, const char *fmt, ...)
{
	struct arena *a = &w->inside->arena;
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	char *s = arena_text(a, sb_str(&b), b.len);
	if (s != NULL && arena_grow(a, &w->notes, w->nnotes,
	    sizeof(*w->notes)))
		w->notes[w->nnotes++] = rk_text_clean(s);
	sb_fini(&b);
}

/* --- values --------------------------------------------------------------- */

enum rk_err
weights_add_value(struct weights *w, const struct weights_value *value,
    struct rk_why *why)
{
	struct arena *a = &w->inside->arena;
	struct weights_value v = *value;

	if (w->nvalues == WEIGHTS_VALUES) {
		w->inside->values_left_out++;
		return RK_OK;
	}
	v.path = arena_text(a, v.path, strlen(v.path));
	if (v.text != NULL)
		v.text = arena_text(a, v.text, rk_text_fit(v.text, TEXT_MOST));
	if (v.path == NULL || (value->text != NULL && v.text == NULL) ||
	    !arena_grow(a, &w->values, w->nvalues, sizeof(v)))
		return arena_full(why);
	w->values[w->nvalues++] = v;
	return RK_OK;
}

/* --- tensors -------------------------------------------------------------- */

/* Names go into JSON, logs and onto terminals. */
static enum rk_err
check_name(const char *name, const char *path, struct rk_why *why)
{
	const size_t n = strlen(name);

	if (n == 0)
		return rk_refuse(why, "a tensor has an empty name");
	if (n > TENSOR_NAME_MAX)
		return rk_refuse(why, "the name %.40s... has %zu bytes, at "
		    "most %d are taken", name, n, TENSOR_NAME_MAX);
	if (rk_utf8_good(name, n) != n)
		return rk_refuse_at(why, path, "the tensor's name is not "
		    "UTF-8");
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)name[i];
		/* U+0080 to U+009F, which terminals obey too. */
		const bool c1 = c == 0xc2 && (unsigned char)name[i + 1] < 0xa0;
		if (c < 0x20 || c == 0x7f || c1)
			return rk_refuse(why, "a tensor has a control "
			    "character in its name: \\x%02x at byte %zu",
			    c1 ? (unsigned char)name[i + 1] : c, i);
	}
	return RK_OK;
}

/* Floats of 8 bits and fewer are for making answers, not for training on. */
static enum rk_err
check_dtype(enum dtype t, const char *path, struct rk_why *why)
{
	switch (t) {
	case DT_F4: case DT_F6_E2M3: case DT_F6_E3M2: case DT_F8_E5M2:
	case DT_F8_E4M3: case DT_F8_E8M0: case DT_F8_E4M3FNUZ:
	case DT_F8_E5M2FNUZ:
		return rk_refuse_at(why, path, "is of %s, which is not taken: "
		    "save it again as float32, float16 or bfloat16",
		    dtype_name(t));
	default:
		return RK_OK;
	}
}

static bool
add_to(uint64_t *sum, uint64_t a, uint64_t b)
{
	uint64_t product;

	return !__builtin_mul_overflow(a, b, &product) &&
	    !__builtin_add_overflow(*sum, product, sum);
}

/* Elements and bytes by its shape. */
static enum rk_err
count_elements(const struct weights_laid *l, const char *path,
    struct weights_tensor *t, struct rk_why *why)
{
	char shape[TENSOR_SHAPE_TEXT];
	size_t n = 1, bytes = 0;

	if (l->ndim < 0 || l->ndim > TENSOR_MAX_DIMS)
		return rk_refuse_at(why, path, "has %d dimensions, at most %d "
		    "are taken", l->ndim, TENSOR_MAX_DIMS);
	tensor_shape_text(shape, l->ndim, l->d);
	for (int i = 0; i < l->ndim; i++) {
		t->d[i] = l->d[i];
		if (l->d[i] < 0)
			return rk_refuse_at(why, path, "has a negative "
			    "dimension: %s", shape);
		if (!rk_mul(n, (size_t)l->d[i], &n))
			return rk_refuse_at(why, path, "has more elements than "
			    "can be counted: %s", shape);
	}
	if (!rk_mul(n, dtype_bits(l->dtype) / 8, &bytes) || bytes > INT64_MAX)
		return rk_refuse_at(why, path, "has more bytes than can be "
		    "counted: %s of %s", shape, dtype_name(l->dtype));
	t->count = n;
	t->bytes = bytes;
	t->ndim = l->ndim;
	t->dtype = l->dtype;
	return RK_OK;
}

/* Do its strides give C order?  The stride of a dimension of 1 says nothing. */
static bool
in_c_order(const struct weights_laid *l)
{
	uint64_t want = 1;

	for (int i = l->ndim; l->strided && i-- > 0;) {
		if (l->d[i] != 1 && (uint64_t)l->stride[i] != want)
			return false;
		want *= (uint64_t)l->d[i];
	}
	return true;
}

/* Does each element lie in the store? */
static enum rk_err
check_bounds(const struct weights_laid *l, const struct weights_tensor *t,
    const char *path, struct rk_why *why)
{
	const uint64_t have = l->store->size / (dtype_bits(l->dtype) / 8);
	char shape[TENSOR_SHAPE_TEXT];
	uint64_t last = l->offset, step = 1;
	bool fits = true;

	for (int i = l->ndim; i-- > 0;) {
		if (l->strided && l->stride[i] < 0)
			return rk_refuse_at(why, path, "has a negative stride, "
			    "%lld: save it again as a tensor of its own",
			    (long long)l->stride[i]);
		if (t->count > 0)
			fits = fits && add_to(&last, (uint64_t)l->d[i] - 1,
			    l->strided ? (uint64_t)l->stride[i] : step);
		step *= (uint64_t)l->d[i];
	}
	if (t->count > 0 && (!fits || last >= have))
		return rk_refuse_at(why, path, "is %s from element %llu on, "
		    "which reaches out of its storage of %llu elements",
		    tensor_shape_text(shape, l->ndim, l->d),
		    (unsigned long long)l->offset, (unsigned long long)have);
	if (t->count > have && t->bytes > SPREAD_MOST)
		return rk_refuse_at(why, path, "is %s of %s, made of a storage "
		    "of only %llu elements: save it again as a tensor of its "
		    "own", tensor_shape_text(shape, l->ndim, l->d),
		    dtype_name(l->dtype), (unsigned long long)have);
	return RK_OK;
}

/* How it lies, and the view that reads it. */
static bool
lay(struct weights *w, const struct weights_laid *l, struct weights_tensor *t)
{
	struct arena *a = &w->inside->arena;
	struct weights_view *v = arena_get(a, sizeof(*v));
	const size_t size = dtype_bits(l->dtype) / 8;

	if (v == NULL)
		return false;
	*v = (struct weights_view){ .in = w->inside, .store = l->store,
	    .offset = l->offset, .size = size, .big = l->big && size > 1 };
	if (t->count > 0 && !in_c_order(l)) {
		v->stride = arena_array(a, (size_t)l->ndim, sizeof(*v->stride));
		if (v->stride == NULL)
			return false;
		memcpy(v->stride, l->stride, (size_t)l->ndim *
		    sizeof(*v->stride));
	}
	t->view = v;
	t->lie = l->store->kind != STORE_BYTES ? WEIGHTS_STREAMED :
	    v->stride != NULL || v->big ? WEIGHTS_STRIDED : WEIGHTS_MAPPED;
	if (t->lie == WEIGHTS_MAPPED)
		t->data = l->store->p + (t->count > 0 ? l->offset * size : 0);
	return true;
}

enum rk_err
weights_add(struct weights *w, enum weights_role role, const char *name,
    const char *path, const struct weights_laid *laid,
    struct weights_tensor **out, struct rk_why *why)
{
	struct weights_tensor t = { .role = role, .same_as = -1 };
	struct arena *a = &w->inside->arena;
	const char *at = path != NULL ? path : name;
	enum rk_err rc = check_name(name, at, why);

	if (out != NULL)
		*out = NULL;
	if (rc == RK_OK)
		rc = check_dtype(laid->dtype, at, why);
	if (rc == RK_OK)
		rc = count_elements(laid, at, &t, why);
	if (rc == RK_OK)
		rc = check_bounds(laid, &t, at, why);
	if (rc != RK_OK)
		return rc;
	if (w->n == WEIGHTS_TENSORS)
		return rk_refuse(why, "has more than %u tensors",
		    WEIGHTS_TENSORS);
	t.name = arena_text(a, name, strlen(name));
	t.path = path == NULL || strcmp(path, name) == 0 ? t.name :
	    arena_text(a, path, strlen(path));
	if (laid->alias != NULL)
		t.alias = arena_text(a, laid->alias, strlen(laid->alias));
	if (t.name == NULL || t.path == NULL ||
	    (laid->alias != NULL && t.alias == NULL) || !lay(w, laid, &t) ||
	    !arena_grow(a, &w->v, w->n, sizeof(t)))
		return arena_full(why);
	w->v[w->n] = t;
	if (out != NULL)
		*out = &w->v[w->n];
	w->n++;
	return RK_OK;
}

/* --- stores --------------------------------------------------------------- */

struct weights_store *
weights_store_of(struct weights *w, const struct pickle_value *bytes)
{
	struct weights_store *s = arena_get(&w->inside->arena, sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct weights_store){ .kind = STORE_BYTES, .p = bytes->p,
	    .packed = bytes->n, .size = bytes->n };
	if (bytes->kind != PK_LATIN)
		return s;
	/* A byte of 0x80 and more takes two: the second begins with 10. */
	for (uint64_t i = 0; i < bytes->n; i++)
		s->size -= (bytes->p[i] & 0xc0) == 0x80;
	/* All below 0x80: the text is the bytes. */
	if (s->size < s->packed)
		s->kind = STORE_LATIN;
	return s;
}
