/* What is done to a tile of a product when its sums are there. */
#include <string.h>

#include "loops.h"
#include "mm.h"

bool
kernel_mm_ends(const struct kernel_mm *p)
{
	return (p->scale != 0 && p->scale != 1) || p->bias != NULL ||
	    p->row_bias != NULL || p->act.act != KERNEL_NO_ACT ||
	    p->before != NULL || p->residual != NULL;
}

static void
end_row(const struct kernel_mm *p, size_t at, int64_t r, int64_t c, size_t n)
{
	const struct kernel_loops *l = kernel_loops();
	const bool relu = p->act.act == KERNEL_RELU && p->before == NULL;
	float *y = p->C + at;

	if (p->scale != 0 && p->scale != 1)
		l->scaled(y, y, p->scale, false, n);
	if (p->row_bias != NULL)
		l->bias1(y, n, p->row_bias[r], relu && p->bias == NULL);
	if (p->bias != NULL || (relu && p->row_bias == NULL))
		l->bias(y, n, p->bias != NULL ? p->bias + c : NULL, relu);
	if (p->before != NULL)
		memcpy(p->before + at, y, n * sizeof(*y));
	if (p->act.act != KERNEL_NO_ACT && !relu)
		l->act(&p->act, y, y, n);
	if (p->residual != NULL)
		l->add(y, p->residual + at, n);
}

void
kernel_mm_end(const struct kernel_mm *p, int64_t at, int64_t r, int64_t c,
    int64_t m, int64_t n)
{
	for (int64_t i = r; i < r + m; i++)
		end_row(p, (size_t)(at + i * p->ldc + c), i, c, (size_t)n);
}
