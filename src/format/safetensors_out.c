/* Tensors to a safetensors file, from front to back, in the reference's
 * order. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "out.h"

static const char *
name_of(enum dtype t)
{
	return t < DT_C128 ? dtype_name(t) : NULL;
}

static int
by_width(const void *a, const void *b, void *ctx)
{
	const struct format_out_tensor *v = ctx;
	const struct format_out_tensor *x = &v[*(const size_t *)a];
	const struct format_out_tensor *y = &v[*(const size_t *)b];

	if (x->dtype != y->dtype)
		return x->dtype > y->dtype ? -1 : 1;
	return strcmp(x->name, y->name);
}

static enum rk_err
put_all(struct out_file *f, const struct format_out_tensor *v,
    const size_t *order, size_t n, struct tensor_set *s)
{
	enum rk_err rc = RK_OK;
	char *header;
	size_t len;

	for (size_t i = 0; i < n && rc == RK_OK; i++) {
		const struct format_out_tensor *t = &v[order[i]];
		rc = tensor_set_add(s, t->name, t->dtype, t->ndim, t->d, NULL,
		    f->why);
	}
	if (rc != RK_OK)
		return rc;
	format_header(s, ST_LEN_BYTES, &header, &len);
	if (len > ST_HEADER_MAX)
		rc = rk_refuse(f->why, "the header of %zu tensors has %zu "
		    "bytes, at most %u are taken", n, len, ST_HEADER_MAX);
	else
		rc = out_put(f, header, len);
	free(header);
	for (size_t i = 0; i < n && rc == RK_OK; i++)
		rc = out_tensor(f, &v[order[i]]);
	return rc;
}

enum rk_err
format_out_safetensors(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n, char *const *meta,
    uint64_t *size, struct rk_why *why)
{
	struct out_file f = { 0 };
	enum rk_err rc = out_check(v, n, "safetensors", name_of, true, why);

	if (rc != RK_OK)
		return rc;
	size_t *order = xcalloc(n + 1, sizeof(*order));
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), by_width, (void *)(uintptr_t)v);
	struct tensor_set *s = tensor_set_new();
	s->meta = (char **)(uintptr_t)meta;
	rc = out_begin(&f, to, why);
	if (rc == RK_OK)
		rc = put_all(&f, v, order, n, s);
	s->meta = NULL;                 /* the caller's */
	tensor_set_free(s);
	free(order);
	out_end(&f, size);
	return rc;
}
