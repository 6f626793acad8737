/*
 * PyTorch's files: a zip of data.pkl, which says what there is, and the
 * elements of each tensor as a member of its own.
 *
 *	archive/data.pkl, archive/byteorder, archive/data/0, ...,
 *	archive/version
 *
 * data.pkl is a pickle of protocol 2, as torch.save makes it; a tensor in it is
 * torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False,
 * OrderedDict()), and its storage the persistent id ('storage',
 * torch.FloatStorage, '0', 'cpu', number of elements).  Of types that came with
 * PyTorch 2.3 there are no such storages: _rebuild_tensor_v3 with
 * torch.storage.UntypedStorage of bytes, and torch.uint16 behind.
 */
#include <stdlib.h>
#include <string.h>

#include "zip_out.h"

#define ALIGN 64
#define TOP   "archive/"

/* Places in the pickle's memo. */
enum { SLOT_DICT, SLOT_REBUILD, STORAGE_SLOT, SLOT_UNTYPED = 30,
	SLOT_REBUILD_3 };
_Static_assert(STORAGE_SLOT + (int)DT_COUNT <= SLOT_UNTYPED, "slots");

static const struct storage {
	enum dtype dtype;
	const char *global;
	bool untyped;                   /* global is the type itself */
} storages[] = {
	{ DT_F32, "torch\nFloatStorage\n", false },
	{ DT_F64, "torch\nDoubleStorage\n", false },
	{ DT_F16, "torch\nHalfStorage\n", false },
	{ DT_BF16, "torch\nBFloat16Storage\n", false },
	{ DT_I64, "torch\nLongStorage\n", false },
	{ DT_I32, "torch\nIntStorage\n", false },
	{ DT_I16, "torch\nShortStorage\n", false },
	{ DT_I8, "torch\nCharStorage\n", false },
	{ DT_U8, "torch\nByteStorage\n", false },
	{ DT_BOOL, "torch\nBoolStorage\n", false },
	{ DT_C64, "torch\nComplexFloatStorage\n", false },
	{ DT_C128, "torch\nComplexDoubleStorage\n", false },
	{ DT_U16, "torch\nuint16\n", true },
	{ DT_U32, "torch\nuint32\n", true },
	{ DT_U64, "torch\nuint64\n", true },
};

static const struct storage *
storage_of(enum dtype t)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(storages); i++)
		if (storages[i].dtype == t)
			return &storages[i];
	return NULL;
}

static const char *
storage_global(enum dtype t)
{
	const struct storage *s = storage_of(t);

	return s != NULL ? s->global : NULL;
}

/* --- data.pkl --------------------------------------------------------------- */

struct pkl {
	struct strbuf b;
	uint32_t seen;
};

static void
begin(struct pkl *p)
{
	sb_add(&p->b, "\x80\2", 2);             /* PROTO 2 */
}

static void
put_ordered_dict(struct pkl *p)
{
	pickle_put_global(&p->b, "collections\nOrderedDict\n", SLOT_DICT,
	    &p->seen);
	sb_addc(&p->b, PICKLE_EMPTY_TUPLE);
	sb_addc(&p->b, PICKLE_REDUCE);
}

/* Tensor number i of the file. */
static void
put_tensor(struct pkl *p, const struct format_out_tensor *t, size_t i)
{
	const struct storage *s = storage_of(t->dtype);
	const unsigned slot = STORAGE_SLOT + (unsigned)t->dtype;
	int64_t stride[TENSOR_MAX_DIMS], n = 1;
	char key[24];

	for (int k = t->ndim; k-- > 0;) {
		stride[k] = n;
		n *= RK_MAX(t->d[k], (int64_t)1);
	}
	pickle_put_global(&p->b, s->untyped ?
	    "torch._utils\n_rebuild_tensor_v3\n" :
	    "torch._utils\n_rebuild_tensor_v2\n", s->untyped ?
	    SLOT_REBUILD_3 : SLOT_REBUILD, &p->seen);
	sb_addc(&p->b, PICKLE_MARK);
	sb_addc(&p->b, PICKLE_MARK);
	pickle_put_text(&p->b, "storage");
	pickle_put_global(&p->b, s->untyped ? "torch.storage\nUntypedStorage\n" :
	    s->global, s->untyped ? SLOT_UNTYPED : slot, &p->seen);
	snprintf(key, sizeof(key), "%zu", i);
	pickle_put_text(&p->b, key);
	pickle_put_text(&p->b, "cpu");
	pickle_put_int(&p->b, (int64_t)(s->untyped ? out_bytes(t) :
	    out_bytes(t) * 8 / dtype_bits(t->dtype)));
	sb_addc(&p->b, PICKLE_TUPLE);
	sb_addc(&p->b, PICKLE_BINPERSID);
	pickle_put_int(&p->b, 0);               /* where it begins in it */
	pickle_put_sizes(&p->b, t->ndim, t->d);
	pickle_put_sizes(&p->b, t->ndim, stride);
	pickle_put_bool(&p->b, false);          /* wants no gradient */
	put_ordered_dict(p);                    /* hooks */
	if (s->untyped)
		pickle_put_global(&p->b, s->global, slot, &p->seen);
	sb_addc(&p->b, PICKLE_TUPLE);
	sb_addc(&p->b, PICKLE_REDUCE);
}

static void
put_state(struct pkl *p, const struct format_out_tensor *v, size_t n)
{
	begin(p);
	put_ordered_dict(p);
	sb_addc(&p->b, PICKLE_MARK);
	for (size_t i = 0; i < n; i++) {
		pickle_put_text(&p->b, v[i].name);
		put_tensor(p, &v[i], i);
	}
	sb_addc(&p->b, PICKLE_SETITEMS);
	sb_addc(&p->b, PICKLE_STOP);
}

/* --- the archive ------------------------------------------------------------ */

static enum rk_err
put_archive(struct zip_out *z, const struct strbuf *pkl,
    const struct format_out_tensor *v, size_t n)
{
	char name[64];
	enum rk_err rc = zip_out_text(z, TOP "data.pkl", pkl->s, pkl->len,
	    ALIGN);

	if (rc == RK_OK)
		rc = zip_out_text(z, TOP "byteorder", "little", 6, ALIGN);
	for (size_t i = 0; i < n && rc == RK_OK; i++) {
		snprintf(name, sizeof(name), TOP "data/%zu", i);
		rc = zip_out_member(z, name, out_bytes(&v[i]), ALIGN);
		if (rc == RK_OK)
			rc = out_tensor(z->f, &v[i]);
		if (rc == RK_OK)
			rc = zip_out_after(z, z->f->crc);
	}
	if (rc == RK_OK)
		rc = zip_out_text(z, TOP "version", "3\n", 2, ALIGN);
	return rc == RK_OK ? zip_out_directory(z) : rc;
}

/* Takes the pickle. */
static enum rk_err
put_file(const struct format_sink *to, struct pkl *p,
    const struct format_out_tensor *v, size_t n, uint64_t *size,
    struct rk_why *why)
{
	struct out_file f;
	struct zip_out z = { .f = &f };
	enum rk_err rc = out_begin(&f, to, why);

	if (rc == RK_OK)
		rc = put_archive(&z, &p->b, v, n);
	zip_out_fini(&z);
	out_end(&f, size);
	sb_fini(&p->b);
	return rc;
}

enum rk_err
format_out_torch(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n, uint64_t *size,
    struct rk_why *why)
{
	struct pkl p = { 0 };
	enum rk_err rc = out_check(v, n, "PyTorch's format", storage_global,
	    true, why);

	if (rc != RK_OK)
		return rc;
	put_state(&p, v, n);
	return put_file(to, &p, v, n, size, why);
}

/* --- the optimiser ---------------------------------------------------------- */

static enum rk_err
put_value(struct strbuf *b, const char *key, const json_t *j,
    struct rk_why *why)
{
	const json_t *e;
	size_t i;

	switch (json_typeof(j)) {
	case JSON_INTEGER:
		pickle_put_int(b, json_integer_value(j));
		return RK_OK;
	case JSON_REAL:
		pickle_put_float(b, json_real_value(j));
		return RK_OK;
	case JSON_TRUE:
	case JSON_FALSE:
		pickle_put_bool(b, json_is_true(j));
		return RK_OK;
	case JSON_NULL:
		sb_addc(b, PICKLE_NONE);
		return RK_OK;
	case JSON_STRING:
		pickle_put_text(b, json_string_value(j));
		return RK_OK;
	case JSON_ARRAY:
		sb_addc(b, PICKLE_MARK);
		json_array_foreach(j, i, e) {
			if (json_is_array(e) || json_is_object(e))
				break;
			(void)!put_value(b, key, e, why);
		}
		sb_addc(b, PICKLE_TUPLE);
		if (i == json_array_size(j))
			return RK_OK;
		break;
	default:
		break;
	}
	return rk_refuse_at(why, key, "want a number, true, false, null, a text "
	    "or a list of those");
}

/* {'lr': 0.1, ..., 'params': [0, 1, ...]} */
static enum rk_err
put_group(struct strbuf *b, size_t params, const json_t *group,
    struct rk_why *why)
{
	const char *key;
	json_t *j;
	enum rk_err rc;

	sb_addc(b, PICKLE_EMPTY_DICT);
	sb_addc(b, PICKLE_MARK);
	/* jansson gives an object's members in the order they were set. */
	json_object_foreach((json_t *)(uintptr_t)group, key, j) {
		pickle_put_text(b, key);
		rc = put_value(b, key, j, why);
		if (rc != RK_OK)
			return rc;
	}
	pickle_put_text(b, "params");
	sb_addc(b, PICKLE_EMPTY_LIST);
	sb_addc(b, PICKLE_MARK);
	for (size_t i = 0; i < params; i++)
		pickle_put_int(b, (int64_t)i);
	sb_addc(b, PICKLE_APPENDS);
	sb_addc(b, PICKLE_SETITEMS);
	return RK_OK;
}

/* {0: {'exp_avg': tensor, ...}, 1: ...} */
static void
put_slots(struct pkl *p, const struct format_out_tensor *v,
    const struct format_torch_slot *slot, size_t n)
{
	sb_addc(&p->b, PICKLE_EMPTY_DICT);
	sb_addc(&p->b, PICKLE_MARK);
	for (size_t i = 0; i < n; i++) {
		const bool first = i == 0 || slot[i].param != slot[i - 1].param;
		must(i == 0 || slot[i].param >= slot[i - 1].param);
		if (first) {
			pickle_put_int(&p->b, (int64_t)slot[i].param);
			sb_addc(&p->b, PICKLE_EMPTY_DICT);
			sb_addc(&p->b, PICKLE_MARK);
		}
		pickle_put_text(&p->b, slot[i].key);
		put_tensor(p, &v[i], i);
		if (i + 1 == n || slot[i + 1].param != slot[i].param)
			sb_addc(&p->b, PICKLE_SETITEMS);
	}
	sb_addc(&p->b, PICKLE_SETITEMS);
}

enum rk_err
format_out_torch_optimizer(const struct format_sink *to,
    const struct format_out_tensor *v, const struct format_torch_slot *slot,
    size_t n, size_t params, const json_t *group, uint64_t *size,
    struct rk_why *why)
{
	struct pkl p = { 0 };
	enum rk_err rc = out_check(v, n, "PyTorch's format", storage_global,
	    false, why);

	if (rc != RK_OK)
		return rc;
	begin(&p);
	sb_addc(&p.b, PICKLE_EMPTY_DICT);
	sb_addc(&p.b, PICKLE_MARK);
	pickle_put_text(&p.b, "state");
	put_slots(&p, v, slot, n);
	pickle_put_text(&p.b, "param_groups");
	sb_addc(&p.b, PICKLE_EMPTY_LIST);
	sb_addc(&p.b, PICKLE_MARK);
	rc = put_group(&p.b, params, group, why);
	if (rc != RK_OK) {
		sb_fini(&p.b);
		return rc;
	}
	sb_addc(&p.b, PICKLE_APPENDS);
	sb_addc(&p.b, PICKLE_SETITEMS);
	sb_addc(&p.b, PICKLE_STOP);
	return put_file(to, &p, v, n, size, why);
}
