/* Paddle's raw tensors, see static.h. */
#include <string.h>

#include "impl.h"
#include "paddle.h"
#include "proto.h"
#include "static.h"

#define LEVELS_MAX 8            /* of a LoD; weights have none */
#define DESC_MAX   4096         /* bytes of a TensorDesc */
#define TYPES_MAX  64           /* more than there are */

struct cursor {
	const uint8_t *p;
	size_t n, at;
	size_t number;
	struct rk_why *why;
};

static bool
bad(struct cursor *c, const char *what)
{
	rk_refuse(c->why, "tensor %zu of the file, at byte %zu, %s: it is "
	    "damaged, or no .pdiparams of Paddle", c->number, c->at, what);
	return false;
}

static bool
cut_off(struct cursor *c, uint64_t wanted)
{
	rk_refuse(c->why, "tensor %zu of the file, at byte %zu, wants %llu more "
	    "bytes, but the file has only %zu: it is cut off", c->number,
	    c->at, (unsigned long long)wanted, c->n - c->at);
	return false;
}

static bool
take_u32(struct cursor *c, uint32_t *v)
{
	if (c->n - c->at < 4)
		return cut_off(c, 4);
	*v = format_le32(c->p + c->at);
	c->at += 4;
	return true;
}

static bool
take_u64(struct cursor *c, uint64_t *v)
{
	if (c->n - c->at < 8)
		return cut_off(c, 8);
	*v = format_le64(c->p + c->at);
	c->at += 8;
	return true;
}

static bool
take_version(struct cursor *c)
{
	uint32_t version;

	if (!take_u32(c, &version))
		return false;
	if (version == 0)
		return true;
	c->at -= 4;
	return bad(c, "has a version other than 0");
}

static bool
skip_levels(struct cursor *c)
{
	uint64_t levels, bytes;

	if (!take_u64(c, &levels))
		return false;
	if (levels > LEVELS_MAX)
		return bad(c, "has more levels than a tensor has");
	for (; levels > 0; levels--) {
		if (!take_u64(c, &bytes))
			return false;
		if (bytes > c->n - c->at)
			return cut_off(c, bytes);
		c->at += (size_t)bytes;
	}
	return true;
}

static bool
add_dim(struct cursor *c, struct static_record *r, uint64_t v)
{
	if (r->ndim == TENSOR_MAX_DIMS)
		return bad(c, "has more than 8 dimensions");
	if (v > INT64_MAX)
		return bad(c, "has a negative dimension");
	r->d[r->ndim++] = (int64_t)v;
	return true;
}

/* dims: one field each, or all in one. */
static bool
add_dims(struct cursor *c, struct static_record *r,
    const struct proto_field *f)
{
	if (!f->is_bytes)
		return add_dim(c, r, f->v);
	struct proto m = proto_inside(f);
	while (m.p < m.end) {
		uint64_t v = 0;
		int shift = 0;
		do {
			if (m.p == m.end || shift > 63)
				return bad(c, "has a description that is no "
				    "TensorDesc");
			v |= (uint64_t)(*m.p & 0x7f) << shift;
			shift += 7;
		} while ((*m.p++ & 0x80) != 0);
		if (!add_dim(c, r, v))
			return false;
	}
	return true;
}

static bool
set_type(struct cursor *c, struct static_record *r, uint64_t number)
{
	if (paddle_type_numbered(number, &r->dtype))
		return true;
	const char *word = paddle_other_type(number);
	rk_refuse(c->why, "tensor %zu of the file, at byte %zu, is of Paddle's "
	    "type %llu%s%s%s, which is not taken", c->number, c->at,
	    (unsigned long long)number, word != NULL ? " (" : "",
	    word != NULL ? word : "", word != NULL ? ")" : "");
	return false;
}

static bool
take_description(struct cursor *c, struct static_record *r)
{
	uint32_t size;
	bool typed = false;
	struct proto_field f;

	if (!take_u32(c, &size))
		return false;
	if (size > DESC_MAX)
		return bad(c, "has a description that is too long");
	if (size > c->n - c->at)
		return cut_off(c, size);
	struct proto m = { c->p + c->at, c->p + c->at + size, false };
	while (proto_next(&m, &f)) {
		if (f.number == 1 && !f.is_bytes) {
			typed = true;
			if (!set_type(c, r, f.v))
				return false;
		} else if (f.number == 2 && !add_dims(c, r, &f)) {
			return false;
		}
	}
	if (m.bad || !typed)
		return bad(c, "has a description that is no TensorDesc");
	c->at += size;
	return true;
}

static bool
take_elements(struct cursor *c, struct static_record *r)
{
	size_t bytes = dtype_bits(r->dtype) / 8;

	for (int i = 0; i < r->ndim; i++)
		if (!rk_mul(bytes, (size_t)r->d[i], &bytes))
			return bad(c, "has more elements than can be counted");
	if (bytes > c->n - c->at)
		return cut_off(c, bytes);
	r->p = c->p + c->at;
	r->bytes = bytes;
	c->at += bytes;
	return true;
}

enum rk_err
static_record_read(const uint8_t *p, size_t n, size_t *at, size_t number,
    struct static_record *out, struct rk_why *why)
{
	struct cursor c = { .p = p, .n = n, .at = *at, .number = number,
	    .why = why };

	*out = (struct static_record){ 0 };
	if (!take_version(&c) || !skip_levels(&c) || !take_version(&c) ||
	    !take_description(&c, out) || !take_elements(&c, out))
		return RK_EINVAL;
	*at = c.at;
	return RK_OK;
}

/* --- as weights -------------------------------------------------------------- */

bool
weights_looks_static(const uint8_t *p, size_t n)
{
	struct cursor c = { .p = p, .n = n };

	/* What is cut off or damaged behind that is meant as one. */
	return n >= 24 && format_le32(p) == 0 && take_version(&c) &&
	    skip_levels(&c) && take_version(&c) && c.n - c.at > 5 &&
	    format_le32(c.p + c.at) <= DESC_MAX && c.p[c.at + 4] == 0x08 &&
	    c.p[c.at + 5] < TYPES_MAX;
}

/* Records, in an array of the arena that grows. */
static enum rk_err
read_records(struct weights *w, struct static_record **out, size_t *n,
    struct rk_why *why)
{
	const struct weights_inside *in = w->inside;
	struct static_record *v = NULL;
	size_t at = 0;

	*n = 0;
	while (at < in->n) {
		if (*n == WEIGHTS_TENSORS)
			return rk_refuse(why, "has more than %u tensors",
			    WEIGHTS_TENSORS);
		if (!arena_grow(&w->inside->arena, &v, *n, sizeof(*v)))
			return arena_full(why);
		enum rk_err rc = static_record_read(in->p, in->n, &at, *n + 1,
		    &v[*n], why);
		if (rc != RK_OK)
			return rc;
		(*n)++;
	}
	*out = v;
	return RK_OK;
}

static enum rk_err
add_record(struct weights *w, const struct static_record *r,
    const struct static_name *name, size_t number, struct rk_why *why)
{
	struct weights_laid laid = { .dtype = r->dtype, .ndim = r->ndim };
	struct weights_tensor *t;
	char counted[24];

	struct weights_store *s = arena_get(&w->inside->arena, sizeof(*s));
	if (s == NULL)
		return arena_full(why);
	*s = (struct weights_store){ .kind = STORE_BYTES, .p = r->p,
	    .packed = r->bytes, .size = r->bytes };
	laid.store = s;
	memcpy(laid.d, r->d, sizeof(laid.d));
	snprintf(counted, sizeof(counted), "%zu", number);
	if (name == NULL)
		return weights_add(w, WEIGHTS_MODEL, counted, NULL, &laid, &t,
		    why);
	laid.alias = name->variable;
	return weights_add(w, WEIGHTS_MODEL, name->structured != NULL ?
	    name->structured : name->variable, name->variable, &laid, &t, why);
}

enum rk_err
weights_read_static(struct weights *w, struct rk_why *why)
{
	const struct static_name *names = NULL;
	struct static_record *v = NULL;
	size_t n;
	enum rk_err rc = read_records(w, &v, &n, why);

	w->framework = WEIGHTS_FROM_PADDLE;
	if (rc == RK_OK)
		rc = static_names(w, v, n, &names, why);
	for (size_t i = 0; i < n && rc == RK_OK; i++)
		rc = add_record(w, &v[i], names != NULL ? &names[i] : NULL, i,
		    why);
	return rc == RK_OK ? weights_one_part(w, why) : rc;
}
