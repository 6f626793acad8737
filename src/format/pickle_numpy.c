/*
 * Arrays and scalars as NumPy pickles them:
 *
 *	dtype   numpy.dtype("f4", False, True), state (3, "<", None, ...)
 *	array   _reconstruct(numpy.ndarray, (0,), b"b"),
 *	        state (1, shape, dtype, is Fortran's order, bytes)
 *	        or, of protocol 5, _frombuffer(bytes, dtype, shape, "C")
 *	scalar  scalar(dtype, bytes)
 */
#include <string.h>

#include "weights_make.h"

/* An array or a scalar, taken apart. */
struct array {
	const struct pickle_value *dtype, *bytes;
	const struct pickle_value *shape;       /* NULL: a scalar */
	bool fortran;
};

struct element {
	enum dtype dtype;
	size_t size;
	bool big;
};

static enum weights_is
bad(struct rk_why *why, const char *what)
{
	rk_refuse(why, "%s", what);
	return IS_BAD;
}

static bool
is_true(const struct pickle_value *v)
{
	return (v->kind == PK_BOOL && v->b) || (v->kind == PK_INT && v->i != 0);
}

/* IS_TENSOR, IS_NOTHING or IS_BAD. */
static enum weights_is
take_apart(const struct pickle_value *v, struct array *a, struct rk_why *why)
{
	const struct pickle_value *t;

	*a = (struct array){ .shape = NULL };
	if (pickle_is_object(v, PN_ND_RECONSTRUCT)) {
		t = pickle_tuple(&v->object->state, 5);
		if (t == NULL)
			return bad(why, "is an array of NumPy without its data");
		a->shape = &t[1];
		a->dtype = &t[2];
		a->fortran = is_true(&t[3]);
		a->bytes = &t[4];
	} else if (pickle_is_object(v, PN_ND_FROM_BUFFER)) {
		t = pickle_tuple(&v->object->args, 4);
		if (t == NULL)
			return bad(why, "is an array of NumPy in a form that "
			    "it does not write");
		a->bytes = &t[0];
		a->dtype = &t[1];
		a->shape = &t[2];
		a->fortran = pickle_is(&t[3], "F");
	} else if (pickle_is_object(v, PN_ND_SCALAR)) {
		t = pickle_tuple(&v->object->args, 2);
		if (t == NULL)
			return bad(why, "is a number of NumPy in a form that "
			    "it does not write");
		a->dtype = &t[0];
		a->bytes = &t[1];
	} else {
		return IS_NOTHING;
	}
	return IS_TENSOR;
}

static enum weights_is
read_order(const struct pickle_value *state, struct element *e,
    struct rk_why *why)
{
	if (state->kind == PK_NONE)
		return IS_TENSOR;
	if (state->kind != PK_TUPLE || state->seq->n < 2)
		return bad(why, "has a dtype of NumPy in a form that it does "
		    "not write");
	const struct pickle_value *order = &state->seq->v[1];
	e->big = pickle_is(order, ">");
	if (e->big || pickle_is(order, "<") || pickle_is(order, "|") ||
	    pickle_is(order, "="))
		return IS_TENSOR;
	return bad(why, "has a dtype of NumPy whose byte order is none");
}

static enum weights_is
read_dtype(const struct array *a, bool paddle, struct element *e,
    struct rk_why *why)
{
	*e = (struct element){ .size = 0 };
	if (!pickle_is_object(a->dtype, PN_ND_DTYPE))
		return bad(why, "is an array of NumPy without a dtype");
	const struct pickle_object *o = a->dtype->object;
	if (o->args.seq->n == 0 || !pickle_is_text(o->args.seq->v))
		return bad(why, "has a dtype of NumPy in a form that it does "
		    "not write");
	const struct pickle_value *code = o->args.seq->v;
	const struct npy_kind *k = npy_kind_find(code->p, code->n);
	if (k != NULL) {
		e->dtype = k->dtype;
		e->size = k->size;
	} else if (pickle_is(code, "c8")) {
		e->dtype = DT_C64;
		e->size = 8;
	} else if (pickle_is(code, "c16")) {
		e->dtype = DT_C128;
		e->size = 16;
	} else if (!paddle) {
		return IS_NOTHING;
	} else {
		rk_refuse(why, "holds %s (\"%.*s\"): want bool, integers or "
		    "floats of 8 to 64 bits", code->n > 0 ?
		    npy_other_kind((char)code->p[0]) : "nothing",
		    (int)RK_MIN(code->n, 16u), (const char *)code->p);
		return IS_BAD;
	}
	/* As Paddle gives bfloat16 to NumPy, which has none. */
	if (paddle && e->dtype == DT_U16)
		e->dtype = DT_BF16;
	return read_order(&o->state, e, why);
}

static enum weights_is
read_shape(const struct array *a, struct weights_laid *l, struct rk_why *why)
{
	const struct pickle_value *v = a->shape;
	int64_t step = 1;

	if (v->kind != PK_TUPLE || v->seq->n > TENSOR_MAX_DIMS)
		return bad(why, "has a shape that is no tuple of at most 8 "
		    "whole numbers");
	l->ndim = (int)v->seq->n;
	l->strided = a->fortran && l->ndim > 1;
	for (int i = 0; i < l->ndim; i++) {
		if (v->seq->v[i].kind != PK_INT)
			return bad(why, "has a shape that is no tuple of at "
			    "most 8 whole numbers");
		l->d[i] = v->seq->v[i].i;
		l->stride[i] = step;
		/* What overflows has more elements than bytes, or none. */
		if (l->d[i] < 0 || __builtin_mul_overflow(step, l->d[i], &step))
			step = 0;
	}
	return IS_TENSOR;
}

static enum weights_is
check_length(const struct weights_laid *l, const struct element *e,
    struct rk_why *why)
{
	char shape[TENSOR_SHAPE_TEXT];
	uint64_t want = e->size;
	bool fits = true;

	for (int i = 0; i < l->ndim; i++)
		fits = fits && l->d[i] >= 0 && !__builtin_mul_overflow(want,
		    (uint64_t)l->d[i], &want);
	/* A shape that is no shape is refused with the tensor. */
	if (!fits || want == l->store->size)
		return IS_TENSOR;
	rk_refuse(why, "has %llu bytes of data, but %s of %s has %llu",
	    (unsigned long long)l->store->size,
	    tensor_shape_text(shape, l->ndim, l->d), dtype_name(e->dtype),
	    (unsigned long long)want);
	return IS_BAD;
}

/* The one number of a scalar. */
static enum weights_is
read_scalar(struct weights *w, const struct weights_laid *l,
    const struct element *e, struct weights_value *value, struct rk_why *why)
{
	uint8_t p[8] = { 0 };
	uint64_t u = 0;
	float f = 0;

	if (e->dtype == DT_C64 || e->dtype == DT_C128)
		return IS_NOTHING;
	if (weights_store_read(w->inside, l->store, 0, e->size, p, why) !=
	    RK_OK)
		return IS_BAD;
	for (size_t i = 0; i < e->size; i++)
		u |= (uint64_t)p[e->big ? e->size - 1 - i : i] << 8 * i;
	value->kind = WEIGHTS_FLOAT;
	switch (e->dtype) {
	case DT_F64:
		memcpy(&value->f, &u, sizeof(u));
		return IS_VALUE;
	case DT_F32: case DT_F16: case DT_BF16: {
		const struct tensor t = { .dtype = e->dtype, .data = &u,
			.nbytes = e->size };
		must(tensor_to_f32(&t, &f) == RK_OK);
		value->f = (double)f;
		return IS_VALUE;
	}
	case DT_I8: case DT_I16: case DT_I32:
		/* The sign goes on to the left. */
		value->i = (int64_t)(u << (64 - 8 * e->size)) >>
		    (64 - 8 * e->size);
		break;
	default:
		value->i = (int64_t)u;
	}
	value->kind = e->dtype == DT_BOOL ? WEIGHTS_BOOL : WEIGHTS_INT;
	value->f = (double)value->i;
	return IS_VALUE;
}

enum weights_is
weights_numpy(struct weights *w, const struct pickle_value *v, bool paddle,
    struct weights_laid *laid, struct weights_value *value, struct rk_why *why)
{
	struct array a;
	struct element e;
	enum weights_is is = take_apart(v, &a, why);

	if (is == IS_TENSOR)
		is = read_dtype(&a, paddle, &e, why);
	if (is != IS_TENSOR)
		return is;
	if (!pickle_is_bytes(a.bytes))
		return bad(why, "is an array of NumPy whose data are no bytes");
	*laid = (struct weights_laid){ .dtype = e.dtype, .big = e.big,
	    .store = weights_store_of(w, a.bytes) };
	if (laid->store == NULL) {
		arena_full(why);
		return IS_BAD;
	}
	if (a.shape != NULL)
		is = read_shape(&a, laid, why);
	if (is == IS_TENSOR)
		is = check_length(laid, &e, why);
	if (is != IS_TENSOR || a.shape != NULL)
		return is;
	return read_scalar(w, laid, &e, value, why);
}
