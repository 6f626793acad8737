/*
 * embedding   y[b,t] = table[i], i = x[b,t], t or 0 by `index`, or how many
 *             x[b,u], u < t, are the separator (at most the last row)
 *             dtable[i] += dy[b,t], in the order of b and t; not for the row
 *             padding_index
 * token_mask  y[b,t] = 0 where x[b,t] is padding_index, else 1
 */
#include <string.h>

#include "ops.h"

enum { INPUT, POSITION, ZERO, SEGMENT };        /* index, as ops.def has it */

static enum rk_err
want_sequence(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(g, nd, 0);
	char text[NN_SHAPE];

	if (x->ndim == 1)
		return RK_OK;
	return rk_refuse_at(why, nd->path, "%s (%s) wants a sequence of whole "
	    "numbers, of 1 dimension, but gets %s", nd->name,
	    spec_op_words[g->layers[nd - g->nodes].type],
	    nn_shape_text(text, sizeof(text), x->ndim, x->d));
}

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_embedding *e = &nd->u->embedding;
	enum rk_err rc = want_sequence(g, nd, why);

	if (rc != RK_OK)
		return rc;
	const int64_t T = nn_x(g, nd, 0)->d[0];
	if (e->index == POSITION && T > e->rows)
		return rk_refuse_at(why, nd->path, "%s has %lld position%s, but "
		    "a sample has %lld", nd->name, (long long)e->rows,
		    rk_s(e->rows), (long long)T);
	if (e->padding_index >= e->rows)
		return rk_refuse_at(why, nd->path, "%s's padding_index is "
		    "%lld, and its rows are 0 to %lld", nd->name,
		    (long long)e->padding_index, (long long)e->rows - 1);
	if ((e->index == SEGMENT) != (e->separator >= 0))
		return rk_refuse_at(why, nd->path, "%s has %s: want both or "
		    "neither", nd->name, e->index == SEGMENT ?
		    "index segment and no separator" :
		    "a separator and not index segment");
	rc = nn_add_param(g, nd, &(struct nn_param_want){ .what = "weight",
	    .ndim = 2, .d = { e->rows, e->width }, .fill = NN_FILL_TABLE,
	    .fan_in = e->rows, .fan_out = e->width,
	    .zero_row = e->padding_index }, why);
	if (rc != RK_OK)
		return rc;
	if ((e->index == POSITION || e->index == ZERO) &&
	    e->padding_index >= 0)
		nd->scratch = (size_t)e->width;
	return nn_set_shape(g, nd, 2, (int64_t[]){ T, e->width }, why);
}

static const int32_t *
ids(const struct nn_instr *i)
{
	return (const int32_t *)(const void *)i->x[0];
}

static struct kernel_segments
segments(const struct nn_instr *i, size_t rows)
{
	const struct spec_op_embedding *e = &i->nd->u->embedding;

	return (struct kernel_segments){
		.n = rows, .length = (size_t)nn_x(i->g, i->nd, 0)->d[0],
		.rows = e->rows, .width = e->width, .ids = ids(i),
		.separator = (int32_t)e->separator,
		.padding = e->padding_index,
	};
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct spec_op_embedding *e = &i->nd->u->embedding;
	const size_t B = (size_t)now->s.rows;
	const size_t T = (size_t)nn_x(i->g, i->nd, 0)->d[0];
	const size_t W = (size_t)e->width;
	const struct kernel_segments s = segments(i, B);

	if (e->index == SEGMENT)
		kernel_segments(&s, nn_w(i, 0), i->y);
	else if (e->index == INPUT)
		kernel_gather(e->width, B * T, ids(i), nn_w(i, 0), i->y);
	else if (e->index == POSITION)
		kernel_repeat(B, T * W, nn_w(i, 0), i->y);
	else
		kernel_repeat(B * T, W, nn_w(i, 0), i->y);
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct spec_op_embedding *e = &i->nd->u->embedding;
	const size_t B = (size_t)now->s.rows;
	const size_t T = (size_t)nn_x(i->g, i->nd, 0)->d[0];
	const size_t W = (size_t)e->width;
	const size_t used = e->index == POSITION ? T : 1;
	bool add;
	float *dw = nn_dw(i, now, 0, &add);

	if (dw == NULL)
		return;
	if (e->index == SEGMENT) {
		const struct kernel_segments s = segments(i, B);
		kernel_segments_back(&s, i->dy, add, dw);
		return;
	}
	if (e->index == INPUT) {
		kernel_gather_back(e->rows, e->width, B * T, ids(i),
		    e->padding_index, i->dy, add, dw);
		return;
	}
	/* The row padding_index is set aside and put back. */
	const bool keep = e->padding_index >= 0;
	float *row = keep ? dw + (size_t)e->padding_index * W : NULL;
	if (keep && add)
		memcpy(i->scratch, row, W * sizeof(*row));
	kernel_col_sums(B * T / used, used * W, i->dy, NULL, add, dw);
	if (!add)
		kernel_fill(dw + used * W, 0, ((size_t)e->rows - used) * W);
	if (keep && add)
		memcpy(row, i->scratch, W * sizeof(*row));
	else if (keep)
		kernel_fill(row, 0, W);
}

const struct nn_op nn_op_embedding = {
	.shape = shape, .forward = forward, .backward = backward,
	.keeps_x = 1, .ids = 1,
};

static enum rk_err
mask_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	enum rk_err rc = want_sequence(g, nd, why);

	return rc == RK_OK ? nn_same_shape(g, nd, why) : rc;
}

static void
mask_forward(const struct nn_instr *i, const struct nn_now *now)
{
	kernel_token_mask(nn_yn(i, now), ids(i),
	    (int32_t)i->nd->u->token_mask.padding_index, i->y);
}

/* A mask has no gradient. */
static void
mask_backward(const struct nn_instr *i, const struct nn_now *now)
{
	(void)now;
	must(i->dx[0] == NULL);
}

const struct nn_op nn_op_token_mask = {
	.shape = mask_shape, .forward = mask_forward,
	.backward = mask_backward, .ids = 1,
};
