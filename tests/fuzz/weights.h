/*
 * Any bytes as a file of weights: refused with one sentence, or tensors all of whose
 * elements can be read, that are found by their names, and values with paths.
 */
#ifndef FUZZ_WEIGHTS_H
#define FUZZ_WEIGHTS_H

#include <stdlib.h>
#include <string.h>

#include "rekindle/format_weights.h"

#define FUZZ_SOME ((size_t)4000)        /* elements at a tensor's two ends */

static inline void
fuzz_read(const struct weights_tensor *t, uint64_t from, size_t n)
{
	const size_t bytes = n * (dtype_bits(t->dtype) / 8);
	unsigned char *buf = xmalloc(bytes + 1);
	float *f = xmalloc(n * sizeof(*f) + 1);
	struct rk_why why = {0};
	enum rk_err rc = weights_read(t, from, n, buf, &why);

	/* What is packed may turn out to be damaged, or to be too much. */
	must(rc == RK_OK || (t->lie == WEIGHTS_STREAMED && why.n == 1));
	if (rc == RK_OK && t->data != NULL)
		must(memcmp(buf, (const char *)t->data + (t->bytes / t->count *
		    from), bytes) == 0);
	if (rc == RK_OK)
		rc = weights_read_f32(t, from, n, f, NULL);
	must(rc == RK_OK || t->dtype == DT_C64 || t->dtype == DT_C128 ||
	    t->lie == WEIGHTS_STREAMED);
	rk_why_fini(&why);
	free(buf);
	free(f);
}

static inline void
fuzz_tensor(const struct weights *w, const struct weights_tensor *t)
{
	const size_t some = RK_MIN(FUZZ_SOME, t->count);

	must(weights_find(w, t->role, t->name) == t);
	must(t->bytes == t->count * (dtype_bits(t->dtype) / 8));
	must((t->lie == WEIGHTS_MAPPED) == (t->data != NULL));
	must(t->same_as < 0 || w->v[t->same_as].bytes == t->bytes);
	must(t->name[0] != '\0' && rk_utf8_good(t->name, strlen(t->name)) ==
	    strlen(t->name));
	if (t->count == 0)
		return;
	fuzz_read(t, 0, some);
	fuzz_read(t, t->count - some, some);
}

/* Of what weights_open() or weights_open_mem() gave; frees it. */
static inline void
fuzz_weights(enum rk_err rc, struct weights *w, struct rk_why *why)
{
	double number;

	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ELIMIT ||
	    rc == RK_ENOMEM);
	must(why->n == (rc != RK_OK) && (w != NULL) == (rc == RK_OK));
	for (size_t i = 0; w != NULL && i < w->n && i < 100; i++)
		fuzz_tensor(w, &w->v[i]);
	for (size_t i = 0; w != NULL && i < w->nvalues; i++) {
		must(w->values[i].path != NULL);
		if (i < 10)
			(void)weights_number(w, w->values[i].path, &number);
	}
	weights_free(w);
	rk_why_fini(why);
}

static inline void
fuzz_bytes(const uint8_t *p, size_t n, const struct weights_how *how)
{
	struct rk_why why = {0};
	struct weights *w;
	enum rk_err rc = weights_open_mem(p, n, how, &w, &why);

	fuzz_weights(rc, w, &why);
}

#endif
