/* What is true of any file of weights that was taken. */
#ifndef FUZZ_WEIGHTS_H
#define FUZZ_WEIGHTS_H

#include <stdlib.h>
#include <string.h>

#include "rekindle/format_weights.h"

#define FUZZ_READ 65536u        /* elements of a tensor that are read */

static inline void
fuzz_tensor(const struct weights *w, const struct weights_tensor *t)
{
	const size_t n = (size_t)RK_MIN(t->count, (uint64_t)FUZZ_READ);
	const uint64_t from = t->count - n;
	const size_t size = dtype_bits(t->dtype) / 8;
	char *raw = malloc(n * size + 1);
	float *f = malloc((n + 1) * sizeof(*f));

	must(raw != NULL && f != NULL);
	must(t->count * size == t->bytes);
	must(t->same_as < 0 || (t->same_as < (int64_t)w->n &&
	    w->v[t->same_as].count == t->count));
	must(weights_find(w, t->role, t->name) == t);
	(void)!weights_read(t, from, n, raw, NULL);
	if (t->data != NULL)
		must(memcmp(raw, (const char *)t->data + from * size,
		    n * size) == 0);
	(void)!weights_read_f32(t, 0, n, f, NULL);
	free(raw);
	free(f);
}

static inline void
fuzz_weights(enum rk_err rc, struct weights *w, struct rk_why *why)
{
	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ELIMIT ||
	    rc == RK_ENOMEM);
	must((rc == RK_OK) == (w != NULL));
	must(why->n == (rc != RK_OK));
	for (size_t i = 0; w != NULL && i < w->n; i++)
		fuzz_tensor(w, &w->v[i]);
	weights_free(w);
	rk_why_fini(why);
}

#endif
