/*
 * What can be sent in time.
 *
 * One line, one after another: the newest checkpoint of each job before older
 * ones, jobs by priority, then what is least to send.  What would come too late
 * is left out, and leaves its time to those behind it.
 */
#include <stdlib.h>

#include "impl.h"

static int
by_worth(const void *a, const void *b)
{
	const struct plan_item *x = a, *y = b;

	if (x->newest != y->newest)
		return x->newest ? -1 : 1;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->left != y->left)
		return x->left < y->left ? -1 : 1;
	return (x->tag > y->tag) - (x->tag < y->tag);
}

/* rate 0: not known; then everything is believed to fit. */
void
plan_fit(struct plan_item *v, size_t n, double rate, double seconds)
{
	double t = 0;

	if (n > 0)
		qsort(v, n, sizeof(*v), by_worth);
	for (size_t i = 0; i < n; i++) {
		double need = rate > 0 ? (double)v[i].left / rate : 0;
		double end = RK_MAX(t, v[i].after) + need;
		v[i].fits = end <= seconds;
		v[i].end = v[i].fits ? end : -1;
		if (v[i].fits)
			t = end;
	}
}
