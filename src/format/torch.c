/*
 * Tensors as PyTorch pickles them:
 *
 *	storage  persistent id of ('storage', torch.FloatStorage, key, place,
 *	         elements[, view])
 *	tensor   torch._utils._rebuild_tensor_v2(storage, offset, size, stride,
 *	         requires_grad, hooks[, metadata]); _rebuild_tensor has the
 *	         first four, _v3 a dtype behind the hooks
 *
 * element i of a tensor is element offset + sum(i_k * stride_k) of its storage.
 */
#include <stdlib.h>
#include <string.h>

#include "torch.h"

/* --- types ---------------------------------------------------------------- */

/* By the name of a storage's class, or of a dtype. */
static const struct type {
	const char *storage, *dtype;
	enum dtype is;                  /* DT_COUNT: not taken */
	size_t size;
} types[] = {
	{ "FloatStorage", "float32", DT_F32, 4 },
	{ "DoubleStorage", "float64", DT_F64, 8 },
	{ "HalfStorage", "float16", DT_F16, 2 },
	{ "BFloat16Storage", "bfloat16", DT_BF16, 2 },
	{ "LongStorage", "int64", DT_I64, 8 },
	{ "IntStorage", "int32", DT_I32, 4 },
	{ "ShortStorage", "int16", DT_I16, 2 },
	{ "CharStorage", "int8", DT_I8, 1 },
	{ "ByteStorage", "uint8", DT_U8, 1 },
	{ "BoolStorage", "bool", DT_BOOL, 1 },
	{ "ComplexFloatStorage", "complex64", DT_C64, 8 },
	{ "ComplexDoubleStorage", "complex128", DT_C128, 16 },
	{ "", "complex32", DT_COUNT, 4 },
	{ "", "uint16", DT_U16, 2 },
	{ "", "uint32", DT_U32, 4 },
	{ "", "uint64", DT_U64, 8 },
	{ "", "float8_e4m3fn", DT_F8_E4M3, 1 },
	{ "", "float8_e4m3fnuz", DT_F8_E4M3FNUZ, 1 },
	{ "", "float8_e5m2", DT_F8_E5M2, 1 },
	{ "", "float8_e5m2fnuz", DT_F8_E5M2FNUZ, 1 },
	{ "", "float8_e8m0fnu", DT_F8_E8M0, 1 },
	{ "", "float4_e2m1fn_x2", DT_COUNT, 1 },
	{ "QInt8Storage", "qint8", DT_COUNT, 1 },
	{ "QUInt8Storage", "quint8", DT_COUNT, 1 },
	{ "QInt32Storage", "qint32", DT_COUNT, 4 },
	{ "QUInt4x2Storage", "quint4x2", DT_COUNT, 1 },
	{ "QUInt2x4Storage", "quint2x4", DT_COUNT, 1 },
	/* Bytes, of which the tensor says what they are. */
	{ "UntypedStorage", "", DT_U8, 1 },
};

static const struct type *
type_of(const struct pickle_row *row)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(types); i++)
		if (strcmp(row->id == PN_STORAGE ? types[i].storage :
		    types[i].dtype, row->name) == 0)
			return &types[i];
	return NULL;
}

/* --- storages ------------------------------------------------------------- */

static enum rk_err
bad_id(struct rk_why *why, const char *what)
{
	return rk_refuse(why, "has a storage that PyTorch does not write: %s",
	    what);
}

/* A whole number that is not negative. */
static bool
is_count(const struct pickle_value *v, uint64_t *out)
{
	*out = (uint64_t)v->i;
	return v->kind == PK_INT && v->i >= 0;
}

/* (key of the window, first element, elements): of files of before 0.4. */
static enum rk_err
read_view(const struct pickle_value *v, struct torch_id *out,
    struct rk_why *why)
{
	const struct pickle_value *t = pickle_tuple(v, 3);

	if (v->kind == PK_NONE)
		return RK_OK;
	if (t == NULL || !is_count(&t[1], &out->view_at) ||
	    !is_count(&t[2], &out->view_elements) ||
	    out->view_at > out->elements ||
	    out->view_elements > out->elements - out->view_at)
		return bad_id(why, "its window is no part of it");
	out->is_view = true;
	return RK_OK;
}

enum rk_err
torch_id_read(const struct pickle_value *id, struct torch_id *out,
    struct rk_why *why)
{
	const struct pickle_value *v = pickle_tuple(id, 5);
	const bool old = v == NULL;

	*out = (struct torch_id){ .type = NULL };
	if (old)
		v = pickle_tuple(id, 6);
	if (id->kind == PK_TUPLE && id->seq->n > 0 &&
	    pickle_is(id->seq->v, "module"))
		return rk_refuse(why, "holds a whole module, not its weights "
		    "alone; nothing was run: save it again with torch.save("
		    "model.state_dict(), ...)");
	if (v == NULL || !pickle_is(&v[0], "storage"))
		return bad_id(why, "its id is no (\"storage\", ...)");
	if (v[1].kind != PK_NAME || v[1].name->id != PN_STORAGE)
		return bad_id(why, "its type is none of torch's storages");
	if (!pickle_is_text(&v[2]))
		return bad_id(why, "its key is no text");
	if (!is_count(&v[4], &out->elements))
		return bad_id(why, "its number of elements is none");
	const struct type *t = type_of(v[1].name);
	must(t != NULL);
	out->type = v[1].name;
	out->key = &v[2];
	out->size = t->size;
	return old ? read_view(&v[5], out, why) : RK_OK;
}

char *
torch_key_text(char *out, const struct pickle_value *key)
{
	const bool text = pickle_is_text(key);

	snprintf(out, TORCH_KEY, "\"%.*s\"", text ? (int)RK_MIN(key->n, 40u) :
	    1, text ? (const char *)key->p : "?");
	return out;
}

/* --- tensors -------------------------------------------------------------- */

/* A call that makes a tensor: what it calls, and with what. */
struct rebuild {
	const struct pickle_row *name;
	const struct pickle_value *v;
	size_t n;
};

static bool
is_rebuild(const struct pickle_row *name)
{
	return name->id == PN_TENSOR || name->id == PN_TENSOR_V2 ||
	    name->id == PN_TENSOR_V3;
}

/* The calls that make a tensor; _rebuild_from_type_v2(call, class, arguments,
 * state) is one in a wrapper. */
static bool
rebuild_of(const struct pickle_value *v, struct rebuild *r)
{
	const struct pickle_object *o = v->object;
	const struct pickle_value *args = &o->args;

	r->name = o->name;
	if (o->name->id == PN_FROM_TYPE_V2 && args->seq->n >= 3 &&
	    args->seq->v[0].kind == PK_NAME &&
	    args->seq->v[2].kind == PK_TUPLE) {
		r->name = args->seq->v[0].name;
		args = &args->seq->v[2];
	}
	r->v = args->seq->v;
	r->n = args->seq->n;
	return is_rebuild(r->name);
}

static enum weights_is
bad(struct rk_why *why, const char *what)
{
	rk_refuse(why, "%s", what);
	return IS_BAD;
}

/* size and stride. */
static bool
read_shape(const struct pickle_value *size, const struct pickle_value *stride,
    struct weights_laid *l, struct rk_why *why)
{
	if (size->kind != PK_TUPLE || stride->kind != PK_TUPLE ||
	    size->seq->n != stride->seq->n) {
		rk_refuse(why, "has a size and strides that are no two tuples "
		    "of one length");
		return false;
	}
	if (size->seq->n > TENSOR_MAX_DIMS) {
		rk_refuse(why, "has %llu dimensions, at most %d are taken",
		    (unsigned long long)size->seq->n, TENSOR_MAX_DIMS);
		return false;
	}
	l->ndim = (int)size->seq->n;
	l->strided = true;
	for (int i = 0; i < l->ndim; i++) {
		if (size->seq->v[i].kind != PK_INT ||
		    stride->seq->v[i].kind != PK_INT) {
			rk_refuse(why, "has a size or a stride that is no "
			    "whole number of 64 bits");
			return false;
		}
		l->d[i] = size->seq->v[i].i;
		l->stride[i] = stride->seq->v[i].i;
	}
	return true;
}

/* Is it stored as what it is, and not negated or conjugated when it is read? */
static bool
is_lazy(const struct pickle_value *metadata)
{
	const struct pickle_value *conj = pickle_get(metadata, "conj");
	const struct pickle_value *neg = pickle_get(metadata, "neg");

	return (conj != NULL && conj->kind == PK_BOOL && conj->b) ||
	    (neg != NULL && neg->kind == PK_BOOL && neg->b);
}

/* What its elements are: the storage says so, or of untyped ones the dtype. */
static enum weights_is
read_type(const struct rebuild *r, const struct torch_id *id,
    struct weights_laid *l, struct rk_why *why)
{
	const struct type *t = type_of(id->type);

	if (r->name->id == PN_TENSOR_V3) {
		const struct pickle_value *v = &r->v[6];
		if (v->kind != PK_NAME || v->name->id != PN_DTYPE)
			return bad(why, "has a type that is none of torch's");
		t = type_of(v->name);
		must(t != NULL);
	}
	l->dtype = t->is;
	if (t->is != DT_COUNT)
		return IS_TENSOR;
	if (t->dtype[0] == 'q')
		rk_refuse(why, "is quantised (%s), which is not taken: save it "
		    "again as float32, tensor.dequantize()", t->dtype);
	else
		rk_refuse(why, "is of %s, which is not taken", t->dtype);
	return IS_BAD;
}

static enum weights_is
read_storage(struct torch *t, const struct torch_id *id,
    struct weights_laid *l, struct rk_why *why)
{
	enum rk_err rc = t->find(t, id->key, id->elements, id->size, &l->store,
	    why);

	if (rc != RK_OK)
		return IS_BAD;
	l->big = t->big;
	if (!id->is_view)
		return IS_TENSOR;
	/* A window has a store of its own: what reaches out of it is wrong, be
	 * there more or not. */
	struct weights_store *s = arena_get(&t->w->inside->arena, sizeof(*s));
	if (s == NULL) {
		arena_full(why);
		return IS_BAD;
	}
	must(l->store->kind == STORE_BYTES);
	*s = *l->store;
	s->p += id->view_at * id->size;
	s->size = s->packed = id->view_elements * id->size;
	l->store = s;
	return IS_TENSOR;
}

static enum weights_is
is_tensor(struct torch *t, const struct rebuild *r, struct weights_laid *l,
    struct rk_why *why)
{
	static const size_t least[] = {
		[PN_TENSOR] = 4, [PN_TENSOR_V2] = 4, [PN_TENSOR_V3] = 7,
	};
	struct torch_id id;

	if (r->n < least[r->name->id] || r->v[0].kind != PK_PERSISTENT)
		return bad(why, "is rebuilt in a way that PyTorch does not "
		    "write");
	if (torch_id_read(r->v[0].id, &id, why) != RK_OK ||
	    !read_shape(&r->v[2], &r->v[3], l, why))
		return IS_BAD;
	if (!is_count(&r->v[1], &l->offset))
		return bad(why, "has an offset that is no whole number from 0 "
		    "on");
	if (r->name->id == PN_TENSOR_V2 && r->n > 6 && is_lazy(&r->v[6]))
		return bad(why, "is to be negated or conjugated when it is "
		    "read: save it again as a tensor of its own, "
		    "tensor.resolve_conj().resolve_neg()");
	const enum weights_is is = read_type(r, &id, l, why);
	return is == IS_TENSOR ? read_storage(t, &id, l, why) : is;
}

/* --- what else there is --------------------------------------------------- */

/* Tensors of other kinds: their name, and what to do. */
static const struct {
	enum pickle_name id;
	const char *what;
} others[] = {
	{ PN_SPARSE, "is a sparse tensor, which is not taken: save it again "
	    "dense, tensor.to_dense()" },
	{ PN_QTENSOR, "is a quantised tensor, which is not taken: save it again "
	    "as float32, tensor.dequantize()" },
	{ PN_META, "is a tensor without data (of the meta device): save it again "
	    "from a model that has its weights" },
	{ PN_WRAPPER, "is a tensor of a subclass (DTensor?), which is not taken: "
	    "save it again as plain tensors" },
	{ PN_FROM_TYPE_V2, "is a tensor of a subclass, which is not taken: save "
	    "it again as plain tensors" },
};

static enum weights_is
is_object(struct torch *t, const struct pickle_value *v,
    struct weights_laid *l, struct weights_value *value, struct rk_why *why)
{
	const struct pickle_object *o = v->object;
	struct rebuild r;

	if (rebuild_of(v, &r))
		return is_tensor(t, &r, l, why);
	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++)
		if (others[i].id == r.name->id || others[i].id == o->name->id)
			return bad(why, others[i].what);
	/* From a device that torch does not know: the array is numpy's. */
	if (o->name->id == PN_FROM_NUMPY && o->args.seq->n > 0)
		v = &o->args.seq->v[0];
	return weights_numpy(t->w, v, false, l, value, why);
}

static enum weights_is
what_is(struct weights_gather *g, const struct pickle_value *v,
    struct weights_laid *laid, struct weights_value *value, struct rk_why *why)
{
	struct torch *t = g->ctx;

	if (v->kind == PK_OBJECT)
		return is_object(t, v, laid, value, why);
	if (v->kind == PK_NAME && v->name->id == PN_DTYPE) {
		value->kind = WEIGHTS_TEXT;
		value->text = v->name->name;
		return IS_VALUE;
	}
	return IS_NOTHING;
}

enum rk_err
torch_gather(struct torch *t, const struct pickle_value *object,
    struct rk_why *why)
{
	struct weights_gather g = { .w = t->w, .is = what_is, .ctx = t };
	struct weights *w = t->w;
	enum rk_err rc = weights_gather(&g, object, why);

	if (rc != RK_OK)
		return rc;
	w->framework = WEIGHTS_FROM_PYTORCH;
	const struct weights_value *v = weights_value(w,
	    "pytorch-lightning_version");
	if (v != NULL && v->kind == WEIGHTS_TEXT) {
		char *s = xasprintf("pytorch-lightning %.40s", v->text);
		w->writer = weights_text(w, s, strlen(s));
		free(s);
	}
	if (w->n == 0 && g.strange > 0)
		return rk_refuse(why, "has no tensor with a name: keys are "
		    "neither text nor whole numbers; save it again as "
		    "{\"name\": tensor}");
	if (w->n == 0)
		return rk_refuse(why, "has no tensor: the object that was saved "
		    "is something else than weights; save it again as "
		    "torch.save(model.state_dict(), ...) does");
	return RK_OK;
}
