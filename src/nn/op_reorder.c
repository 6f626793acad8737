/*
 * y = x, an image in its other layout: pass_layout.c puts this op into graphs,
 * and jobs do not know it
 *
 *   dx += dy, in x's layout
 */
#include "ops.h"

static void
change(const struct nn_value *to, int64_t rows, const float *x, bool add,
    float *y)
{
	const int64_t plane = to->d[1] * to->d[2];

	if (to->layout == KERNEL_BLOCKED)
		kernel_to_blocked(rows, to->d[0], plane, x, add, y);
	else
		kernel_to_plain(rows, to->d[0], plane, x, add, y);
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	change(nn_y(i->g, i->nd), now->s.rows, i->x[0], false, i->y);
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	if (i->dx[0] != NULL)
		change(nn_x(i->g, i->nd, 0), now->s.rows, i->dy, i->add[0],
		    i->dx[0]);
}

const struct nn_op nn_op_reorder = {
	.forward = forward, .backward = backward,
};
