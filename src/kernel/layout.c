/* Images from one layout to the other; a piece is one block of one sample. */
#include <string.h>

#include "rekindle/kernel_conv.h"

struct change {
	int64_t c, plane, blocks;
	const float *x;
	float *y;
	bool add;
};

/* Channels in block k. */
static int64_t
lanes(const struct change *j, int64_t k)
{
	return RK_MIN(j->c - k * KERNEL_BLOCK, KERNEL_BLOCK);
}

static void
to_blocked_piece(void *ctx, size_t i)
{
	const struct change *j = ctx;
	const int64_t b = (int64_t)i / j->blocks, k = (int64_t)i % j->blocks;
	const int64_t n = lanes(j, k);
	const float *x = j->x + (b * j->c + k * KERNEL_BLOCK) * j->plane;
	float *y = j->y + (int64_t)i * j->plane * KERNEL_BLOCK;

	for (int64_t p = 0; p < j->plane; p++, y += KERNEL_BLOCK)
		for (int64_t l = 0; l < KERNEL_BLOCK; l++) {
			const float v = l < n ? x[l * j->plane + p] : 0;
			y[l] = j->add ? y[l] + v : v;
		}
}

static void
to_plain_piece(void *ctx, size_t i)
{
	const struct change *j = ctx;
	const int64_t b = (int64_t)i / j->blocks, k = (int64_t)i % j->blocks;
	const int64_t n = lanes(j, k);
	const float *x = j->x + (int64_t)i * j->plane * KERNEL_BLOCK;
	float *y = j->y + (b * j->c + k * KERNEL_BLOCK) * j->plane;

	for (int64_t l = 0; l < n; l++, y += j->plane)
		for (int64_t p = 0; p < j->plane; p++) {
			const float v = x[p * KERNEL_BLOCK + l];
			y[p] = j->add ? y[p] + v : v;
		}
}

void
kernel_to_blocked(int64_t B, int64_t c, int64_t plane, const float *x,
    bool add, float *y)
{
	struct change j = { c, plane, kernel_blocks(c), x, y, add };

	kernel_for((size_t)(B * j.blocks), to_blocked_piece, &j);
}

void
kernel_to_plain(int64_t B, int64_t c, int64_t plane, const float *x, bool add,
    float *y)
{
	struct change j = { c, plane, kernel_blocks(c), x, y, add };

	kernel_for((size_t)(B * j.blocks), to_plain_piece, &j);
}
