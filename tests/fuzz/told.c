/* module: format */
/*
 * Any bytes as what another process says of a file: refused with one sentence, or
 * weights whose tensors are found by their names, and that say the same again.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/format_weights.h"

#define ROOM ((size_t)1 << 20)

static enum rk_err
nothing(void *ctx, uint64_t tensor, uint64_t from, size_t n, size_t size,
    void *dst, struct rk_why *why)
{
	(void)ctx;
	(void)tensor;
	(void)from;
	(void)why;
	memset(dst, 0, n * size);
	return RK_OK;
}

static enum rk_err
no_floats(void *ctx, uint64_t tensor, uint64_t from, size_t n, float *dst,
    struct rk_why *why)
{
	return nothing(ctx, tensor, from, n, sizeof(*dst), dst, why);
}

static void
no_more(void *ctx)
{
	(void)ctx;
}

static const struct weights_teller teller = { nothing, no_floats, no_more };

static void
look(const struct weights *w)
{
	unsigned char buf[16 * 16];
	char *again = xmalloc(ROOM);
	uint64_t next = 0;
	double number;
	size_t n;

	for (size_t i = 0; i < w->n; i++) {
		const struct weights_tensor *t = &w->v[i];
		must(weights_find(w, t->role, t->name) == t);
		must(t->same_as < (int64_t)i && t->data == NULL);
		must(weights_read(t, 0, (size_t)RK_MIN(t->count, 16), buf,
		    NULL) == RK_OK);
	}
	for (size_t i = 0; i < w->nvalues && i < 10; i++)
		(void)weights_number(w, w->values[i].path, &number);
	must(weights_tell(w, &next, again, ROOM, &n, NULL) == RK_OK);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct weights_told *t = weights_told_new(&teller, NULL);
	struct rk_why why = {0};
	struct weights *w = NULL;
	enum rk_err rc = weights_told_add(t, p, n, &why);

	if (rc == RK_OK)
		rc = weights_told_end(t, &w, &why);
	else
		weights_told_free(t);
	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ELIMIT);
	must(why.n == (rc != RK_OK) && (w != NULL) == (rc == RK_OK));
	if (w != NULL)
		look(w);
	weights_free(w);
	rk_why_fini(&why);
	return 0;
}
