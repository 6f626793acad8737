/* The numbers of what grows in a warm start: see plan.h. */
#include <string.h>

#include "plan.h"

/*
 * A tensor as outer[n][inner], of which n are rows (outer 1) or the input
 * channels of each output (outer [out], inner [kh][kw]).
 */
struct view {
	int64_t outer, n, inner;
};

static struct view
view_of(const struct nn_tensor *t, const struct warm_grown *g)
{
	struct view v = { .outer = 1, .n = g->n };

	if (g->way != WARM_BY_ROWS)
		v.outer = t->d[0];
	v.inner = v.outer * v.n > 0 ? t->count / (v.outer * v.n) : 0;
	return v;
}

/* Place k of all n blocks of x, added up. */
static double
sum_of(const float *x, int64_t n, int64_t inner, int64_t k)
{
	double sum = 0;

	for (int64_t j = 0; j < n; j++)
		sum += (double)x[j * inner + k];
	return sum;
}

static void
begin_block(float *dst, const float *x, const struct warm_grown *g,
    int64_t inner)
{
	for (int64_t k = 0; k < inner && g->init != SPEC_GROW_DEFAULT; k++)
		dst[k] = g->init == SPEC_GROW_ZERO || g->nfile == 0 ? 0 :
		    (float)(sum_of(x, g->nfile, inner, k) / (double)g->nfile);
}

static void
by_number(float *dst, const float *x, const struct warm_grown *g,
    int64_t inner, bool state)
{
	for (int64_t i = 0; i < g->n; i++) {
		if (g->from[i] >= 0)
			memcpy(dst + i * inner, x + g->from[i] * inner,
			    (size_t)inner * sizeof(*dst));
		else if (!state)
			begin_block(dst + i * inner, x, g, inner);
	}
}

void
plan_grow(float *dst, const float *x, const struct nn_tensor *to,
    const struct warm_grown *g, bool state)
{
	const struct view v = view_of(to, g);

	for (int64_t o = 0; o < v.outer; o++) {
		float *d = dst + o * v.n * v.inner;
		const float *s = x + o * g->nfile * v.inner;
		if (g->from != NULL)
			by_number(d, s, g, v.inner, state);
		for (int64_t k = 0; g->way == WARM_SUM && k < v.inner; k++)
			d[k] = (float)sum_of(s, g->nfile, v.inner, k);
		for (int64_t k = 0; g->way == WARM_SPREAD && k < v.n *
		    v.inner; k++)
			d[k] = (float)((double)s[k % v.inner] / (double)v.n);
	}
}
