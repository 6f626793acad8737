/*
 * y[b,c,i,j] = the largest of x[b,c,window(i,j)], or their mean
 *
 *   max: dx[b,c,where it was] += dy[b,c,i,j]
 *   avg: dx[b,c,window(i,j)]  += dy[b,c,i,j] / values that count
 *
 * The places of the largest are saved; padding is never the largest.  What
 * counts in a mean is in kernel.h.  Global pools have a window of the whole
 * plane; that of an adaptive one depends on i and j.
 */
#include "ops.h"
#include "rekindle/kernel_blocked.h"

static enum rk_err
pool_shape(struct nn_graph *g, struct nn_node *nd, const struct nn_window *w,
    struct rk_why *why)
{
	enum rk_err rc = nn_window_shape(g, nd, w, why);

	if (rc != RK_OK)
		return rc;
	const struct kernel_window *v = &nd->win;
	for (int i = 0; i < 2; i++)
		/* Else a window could lie in the padding alone. */
		if (v->pad[i] > v->k[i] / 2)
			return rk_refuse_at(why, nd->path, "%s's padding is "
			    "%lld, at most half its kernel of %lld", nd->name,
			    (long long)v->pad[i], (long long)v->k[i]);
	return nn_set_shape(g, nd, 3, (int64_t[]){ v->c, v->oh, v->ow }, why);
}

static bool
may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	(void)g;
	(void)nd;
	return true;
}

static bool
blocked(const struct nn_instr *i)
{
	return nn_is_blocked(i->g, i->nd);
}

/* int32_t and float are of one size, so places fit where floats would. */
static int32_t *
places(const struct nn_instr *i)
{
	return (int32_t *)(void *)i->saved;
}

/* --- max ------------------------------------------------------------------ */

static enum rk_err
max_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_max_pool2d *p = &nd->u->max_pool2d;
	const struct nn_window w = { p->kernel, p->stride, p->padding, NULL,
		p->ceil_mode };

	return pool_shape(g, nd, &w, why);
}

static void
max_settle(struct nn_graph *g, struct nn_node *nd)
{
	nd->saved = nn_floats(nn_y(g, nd));
}

static void
max_forward(const struct nn_instr *i, const struct nn_now *now)
{
	if (blocked(i))
		kernel_blocked_max(&i->nd->win, now->s.rows, i->x[0], i->y,
		    places(i));
	else
		kernel_max_pool(&i->nd->win, now->s.rows, i->x[0], i->y,
		    places(i));
}

static void
max_backward(const struct nn_instr *i, const struct nn_now *now)
{
	if (i->dx[0] == NULL)
		return;
	if (blocked(i))
		kernel_blocked_max_back(&i->nd->win, now->s.rows, i->dy,
		    places(i), i->add[0], i->dx[0]);
	else
		kernel_max_pool_back(&i->nd->win, now->s.rows, i->dy,
		    places(i), i->add[0], i->dx[0]);
}

/* --- avg ------------------------------------------------------------------ */

static enum rk_err
avg_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_avg_pool2d *p = &nd->u->avg_pool2d;
	const struct nn_window w = { p->kernel, p->stride, p->padding, NULL,
		p->ceil_mode };
	enum rk_err rc = pool_shape(g, nd, &w, why);

	nd->win.exclude_pad = !p->count_include_pad;
	return rc;
}

static void
avg_forward(const struct nn_instr *i, const struct nn_now *now)
{
	if (blocked(i))
		kernel_blocked_mean(&i->nd->win, false, now->s.rows, i->x[0],
		    i->y);
	else
		kernel_avg_pool(&i->nd->win, now->s.rows, i->x[0], i->y);
}

static void
avg_backward(const struct nn_instr *i, const struct nn_now *now)
{
	if (i->dx[0] == NULL)
		return;
	if (blocked(i))
		kernel_blocked_mean_back(&i->nd->win, false, now->s.rows,
		    i->dy, i->add[0], i->dx[0]);
	else
		kernel_avg_pool_back(&i->nd->win, now->s.rows, i->dy,
		    i->add[0], i->dx[0]);
}

/* --- adaptive ------------------------------------------------------------- */

static enum rk_err
adaptive_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const int *size = nd->u->adaptive_avg_pool2d.size;
	enum rk_err rc = nn_want_image(g, nd, why);

	if (rc != RK_OK)
		return rc;
	const struct nn_value *x = nn_x(g, nd, 0);
	nd->win = (struct kernel_window){ .c = x->d[0], .h = x->d[1],
		.w = x->d[2], .oh = size[0], .ow = size[1] };
	return nn_set_shape(g, nd, 3, (int64_t[]){ x->d[0], size[0], size[1] },
	    why);
}

static void
adaptive_forward(const struct nn_instr *i, const struct nn_now *now)
{
	if (blocked(i))
		kernel_blocked_mean(&i->nd->win, true, now->s.rows, i->x[0],
		    i->y);
	else
		kernel_adaptive_avg_pool(&i->nd->win, now->s.rows, i->x[0],
		    i->y);
}

static void
adaptive_backward(const struct nn_instr *i, const struct nn_now *now)
{
	if (i->dx[0] == NULL)
		return;
	if (blocked(i))
		kernel_blocked_mean_back(&i->nd->win, true, now->s.rows,
		    i->dy, i->add[0], i->dx[0]);
	else
		kernel_adaptive_avg_pool_back(&i->nd->win, now->s.rows, i->dy,
		    i->add[0], i->dx[0]);
}

/* --- global --------------------------------------------------------------- */

static enum rk_err
global_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	enum rk_err rc = nn_want_image(g, nd, why);

	if (rc != RK_OK)
		return rc;
	const int64_t C = nn_x(g, nd, 0)->d[0];
	return nn_set_shape(g, nd, 3, (int64_t[]){ C, 1, 1 }, why);
}

/* As one window. */
static struct kernel_window
whole(const struct nn_instr *i)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);

	return (struct kernel_window){ .c = x->d[0], .h = x->d[1],
		.w = x->d[2], .oh = 1, .ow = 1, .k = { x->d[1], x->d[2] },
		.stride = { 1, 1 } };
}

static size_t
plane(const struct nn_instr *i)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);

	return (size_t)(x->d[1] * x->d[2]);
}

static void
mean_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct kernel_window v = whole(i);

	if (blocked(i))
		kernel_blocked_mean(&v, false, now->s.rows, i->x[0], i->y);
	else
		kernel_global_avg_pool(nn_yn(i, now), plane(i), i->x[0],
		    i->y);
}

static void
mean_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct kernel_window v = whole(i);

	if (i->dx[0] == NULL)
		return;
	if (blocked(i))
		kernel_blocked_mean_back(&v, false, now->s.rows, i->dy,
		    i->add[0], i->dx[0]);
	else
		kernel_global_avg_pool_back(nn_yn(i, now), plane(i), i->dy,
		    i->add[0], i->dx[0]);
}

static void
largest_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct kernel_window v = whole(i);

	if (blocked(i))
		kernel_blocked_max(&v, now->s.rows, i->x[0], i->y, places(i));
	else
		kernel_global_max_pool(nn_yn(i, now), plane(i), i->x[0], i->y,
		    places(i));
}

static void
largest_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct kernel_window v = whole(i);

	if (i->dx[0] == NULL)
		return;
	if (blocked(i))
		kernel_blocked_max_back(&v, now->s.rows, i->dy, places(i),
		    i->add[0], i->dx[0]);
	else
		kernel_global_max_pool_back(nn_yn(i, now), plane(i), i->dy,
		    places(i), i->add[0], i->dx[0]);
}

#define POOL(NAME, PART, SHAPE, ...)                                      \
	const struct nn_op nn_op_##NAME = {                               \
		.shape = SHAPE, .forward = PART##_forward,                \
		.backward = PART##_backward, .may_block = may_block,      \
		__VA_ARGS__                                               \
	}
POOL(max_pool2d, max, max_shape, .settle = max_settle);
POOL(avg_pool2d, avg, avg_shape);
POOL(adaptive_avg_pool2d, adaptive, adaptive_shape);
POOL(global_avg_pool2d, mean, global_shape);
POOL(global_max_pool2d, largest, global_shape, .settle = max_settle);
