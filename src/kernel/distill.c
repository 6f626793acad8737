/* Distillation: see kernel.h.  As losses, a row at a time, and the rows are
 * added up in their order. */
#include "rekindle/kernel.h"
#include "plain.h"

struct rows {
	const struct kernel_distill *l;
	size_t n, block;
	const float *z, *a;
	double scale;
	float *dz;
	double *loss;
};

static void
rows_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;
	const struct kernel_distill *l = s->l;
	const size_t end = RK_MIN((i + 1) * s->block, s->n);

	for (size_t r = i * s->block; r < end; r++) {
		float *dz = s->dz != NULL ? s->dz + r * (size_t)l->n : NULL;
		const bool out = l->left_out != NULL && l->left_out[r];
		s->loss[r] = out ? 0 : kernel_plain_distill(l,
		    s->z + r * (size_t)l->n, s->a + r * (size_t)l->m,
		    s->scale, dz);
	}
}

double
kernel_distill(const struct kernel_distill *l, size_t rows, const float *z,
    const float *a, float *dz, double *scratch)
{
	const double norm = l->norm > 0 ? l->norm : (double)rows;
	struct rows s = { .l = l, .n = rows, .z = z, .a = a, .dz = dz,
		.scale = l->weight / norm, .loss = scratch };
	double sum = 0;

	must(l->pairs >= 1);
	/* Some hundreds of exponents a piece. */
	s.block = RK_MAX(1024 / l->pairs, (size_t)1);
	kernel_for((rows + s.block - 1) / s.block, rows_piece, &s);
	for (size_t r = 0; r < rows; r++)
		sum += s.loss[r];
	return sum;
}
