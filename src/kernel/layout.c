/* Images from one layout to the other; a piece is some blocks. */
#include "rekindle/kernel_conv.h"
#include "loops.h"

#define PIECE 16384                     /* numbers */

struct change {
	int64_t c, plane, blocks, n, each;
	const float *x;
	float *y;
	bool add, back;
};

static void
piece(void *ctx, size_t i)
{
	const struct change *j = ctx;
	const int64_t end = RK_MIN(((int64_t)i + 1) * j->each, j->n);

	for (int64_t at = (int64_t)i * j->each; at < end; at++) {
		const int64_t b = at / j->blocks;
		const int64_t ch = at % j->blocks * KERNEL_BLOCK;
		const size_t lanes = (size_t)RK_MIN(j->c - ch, KERNEL_BLOCK);
		const int64_t plain = (b * j->c + ch) * j->plane;
		const int64_t blocked = at * j->plane * KERNEL_BLOCK;
		if (j->back)
			kernel_loops()->from_block(j->x + blocked, lanes,
			    j->add, j->y + plain, (size_t)j->plane);
		else
			kernel_loops()->to_block(j->x + plain, lanes, j->add,
			    j->y + blocked, (size_t)j->plane);
	}
}

static void
change(int64_t B, struct change j)
{
	j.blocks = kernel_blocks(j.c);
	j.n = B * j.blocks;
	j.each = RK_MAX(PIECE / (j.plane * KERNEL_BLOCK), 1);
	kernel_for((size_t)((j.n + j.each - 1) / j.each), piece, &j);
}

void
kernel_to_blocked(int64_t B, int64_t c, int64_t plane, const float *x,
    bool add, float *y)
{
	change(B, (struct change){ .c = c, .plane = plane, .x = x, .add = add,
	    .y = y });
}

void
kernel_to_plain(int64_t B, int64_t c, int64_t plane, const float *x, bool add,
    float *y)
{
	change(B, (struct change){ .c = c, .plane = plane, .x = x, .add = add,
	    .y = y, .back = true });
}
