/* Sets of named tensors: growing, finding by name, and giving back. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rekindle/tensor.h"

/* Places in v, by name.  Sorted, not hashed: names come from files, and no
 * choice of them makes a binary search slow. */
struct tensor_index {
	uint32_t n;
	uint32_t at[];
};

size_t
tensor_count(const struct tensor *t)
{
	size_t n = 1;

	for (int i = 0; i < t->ndim; i++)
		n *= (size_t)t->d[i];
	return n;
}

bool
tensor_same_shape(const struct tensor *a, const struct tensor *b)
{
	if (a->ndim != b->ndim)
		return false;
	for (int i = 0; i < a->ndim; i++) {
		if (a->d[i] != b->d[i])
			return false;
	}
	return true;
}

char *
tensor_shape_text(char *out, int ndim, const int64_t *d)
{
	size_t n = 0;

	must(ndim >= 0 && ndim <= TENSOR_MAX_DIMS);
	out[n++] = '[';
	for (int i = 0; i < ndim; i++) {
		n += (size_t)snprintf(out + n, TENSOR_SHAPE_TEXT - n, "%s%lld",
		    i > 0 ? "," : "", (long long)d[i]);
	}
	out[n++] = ']';
	out[n] = '\0';
	return out;
}

struct tensor_set *
tensor_set_new(void)
{
	return xcalloc(1, sizeof(struct tensor_set));
}

void
tensor_set_free(struct tensor_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	free(s->index);
	for (size_t i = 0; s->meta != NULL && s->meta[i] != NULL; i++)
		free(s->meta[i]);
	free(s->meta);
	if (s->backing != NULL)
		munmap(s->backing, s->backing_len);
	tensor_set_free(s->behind);
	free(s);
}

void
tensor_set_keep(struct tensor_set *s, struct tensor_set *part)
{
	struct tensor_set **end = &s->behind;

	while (*end != NULL)
		end = &(*end)->behind;
	*end = part;
}

/* Names go into logs and onto terminals: no control characters. */
static enum rk_err
check_name(const char *name, struct rk_why *why)
{
	size_t len = strlen(name);

	if (len == 0)
		return rk_refuse(why, "a tensor has an empty name");
	if (len > TENSOR_NAME_MAX)
		return rk_refuse(why, "the name %.40s... has %zu bytes, at "
		    "most %d are taken", name, len, TENSOR_NAME_MAX);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c < 0x20 || c == 0x7f)
			return rk_refuse(why, "a tensor has a control "
			    "character in its name: \\x%02x at byte %zu", c, i);
	}
	return RK_OK;
}

/* Bytes of a tensor of this type and shape, or RK_EINVAL. */
static enum rk_err
shape_bytes(const char *name, enum dtype dt, int ndim, const int64_t *d,
    size_t *nbytes, struct rk_why *why)
{
	char shape[TENSOR_SHAPE_TEXT];
	size_t n = 1;

	if (ndim < 0 || ndim > TENSOR_MAX_DIMS)
		return rk_refuse_at(why, name, "has %d dimensions, at most %d "
		    "are taken", ndim, TENSOR_MAX_DIMS);
	tensor_shape_text(shape, ndim, d);
	for (int i = 0; i < ndim; i++) {
		if (d[i] < 0)
			return rk_refuse_at(why, name,
			    "has a negative dimension: %s", shape);
		if (!rk_mul(n, (size_t)d[i], &n))
			return rk_refuse_at(why, name,
			    "has more elements than can be counted: %s", shape);
	}
	if (!rk_mul(n, dtype_bits(dt), &n))
		return rk_refuse_at(why, name, "has more bits than can be "
		    "counted: %s of %s", shape, dtype_name(dt));
	if (n % 8 != 0)
		return rk_refuse_at(why, name, "%s of %s is no whole number "
		    "of bytes", shape, dtype_name(dt));
	*nbytes = n / 8;
	return RK_OK;
}

/* Room for one more.  The array doubles, so its room follows from n. */
static bool
grow(struct tensor_set *s)
{
	size_t n = s->n, room;

	if (n > 0 && (n < 8 || (n & (n - 1)) != 0))
		return true;
	if (!rk_mul(n < 8 ? 8 : 2 * n, sizeof(*s->v), &room))
		return false;
	struct tensor *v = realloc(s->v, room);
	if (v == NULL)
		return false;
	s->v = v;
	return true;
}

enum rk_err
tensor_set_add(struct tensor_set *s, const char *name, enum dtype dt, int ndim,
    const int64_t *d, const void *data, struct rk_why *why)
{
	size_t nbytes = 0;

	must((unsigned)dt < DT_COUNT);
	must(s->index == NULL);
	enum rk_err rc = check_name(name, why);
	if (rc == RK_OK)
		rc = shape_bytes(name, dt, ndim, d, &nbytes, why);
	if (rc != RK_OK)
		return rc;
	char *copy = s->n < UINT32_MAX && grow(s) ? strdup(name) : NULL;
	if (copy == NULL) {
		rk_refuse(why, "not enough memory for %zu tensors", s->n + 1);
		return RK_ENOMEM;
	}
	struct tensor *t = &s->v[s->n++];
	*t = (struct tensor){ .name = copy, .dtype = dt, .ndim = ndim,
	    .nbytes = nbytes, .data = data };
	for (int i = 0; i < ndim; i++)
		t->d[i] = d[i];
	return RK_OK;
}

static int
by_name(const void *a, const void *b, void *ctx)
{
	const struct tensor *v = ctx;

	return strcmp(v[*(const uint32_t *)a].name,
	    v[*(const uint32_t *)b].name);
}

enum rk_err
tensor_set_seal(struct tensor_set *s, struct rk_why *why)
{
	must(s->index == NULL);
	struct tensor_index *x = malloc(sizeof(*x) + s->n * sizeof(x->at[0]));
	if (x == NULL) {
		rk_refuse(why, "not enough memory to index %zu tensors", s->n);
		return RK_ENOMEM;
	}
	x->n = (uint32_t)s->n;
	for (uint32_t i = 0; i < x->n; i++)
		x->at[i] = i;
	if (x->n > 0)
		qsort_r(x->at, x->n, sizeof(x->at[0]), by_name, s->v);
	for (uint32_t i = 1; i < x->n; i++) {
		const char *name = s->v[x->at[i]].name;
		if (strcmp(name, s->v[x->at[i - 1]].name) != 0)
			continue;
		free(x);
		return rk_refuse_at(why, name, "occurs twice");
	}
	s->index = x;
	return RK_OK;
}

const struct tensor *
tensor_find(const struct tensor_set *s, const char *name)
{
	must(s->index != NULL);
	uint32_t lo = 0, hi = s->index->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct tensor *t = &s->v[s->index->at[mid]];
		int c = strcmp(name, t->name);
		if (c == 0)
			return t;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}
