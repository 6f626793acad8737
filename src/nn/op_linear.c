/*
 * y[R,M] = f(x[R,N] · w[M,N]ᵀ + b[M]), f an activation that was folded in, if
 * one was; N is the last dimension of x, R all others and the batch.  What f is
 * taken of is saved where f' needs it.
 *
 *   dy       = dy f'                         (in place)
 *   dx[R,N] += dy[R,M]  · w[M,N]
 *   dw[M,N] += dy[R,M]ᵀ · x[R,N]
 *   db[M]   += sum over R of dy[R,M]
 */
#include <string.h>

#include "rekindle/kernel_mm.h"
#include "ops.h"

enum { WEIGHT, BIAS };

/* The weight of another layer, which must be [M,N]. */
static enum rk_err
tie(struct nn_graph *g, struct nn_node *nd, int64_t M, int64_t N,
    struct rk_why *why)
{
	enum rk_err rc = nn_borrow_param(g, nd, nd->u->linear.tied, "weight",
	    "tied", why);
	char text[NN_SHAPE];

	if (rc != RK_OK)
		return rc;
	const struct nn_tensor *t = &g->params[nd->param[WEIGHT]].t;
	if (t->ndim == 2 && t->d[0] == M && t->d[1] == N)
		return RK_OK;
	return rk_refuse_at(why, nd->path, "%s wants a weight of %lldx%lld, "
	    "but %s, to which it is tied, is %s", nd->name, (long long)M,
	    (long long)N, t->name, nn_shape_text(text, sizeof(text), t->ndim,
	    t->d));
}

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	char out[RK_HUMAN], most[RK_HUMAN];
	const struct spec_op_linear *l = &nd->u->linear;
	const struct nn_value *x = nn_x(g, nd, 0);
	const int64_t N = x->d[x->ndim - 1], M = l->out;
	int64_t d[SPEC_MAX_DIMS];

	if (M < 1 || M > SPEC_MAX_WIDTH)
		return rk_refuse_at(why, nd->path, "%s has %s outputs, want 1 "
		    "to %s", nd->name, rk_group_digits(out, M),
		    rk_group_digits(most, SPEC_MAX_WIDTH));
	enum rk_err rc = l->tied != NULL ? tie(g, nd, M, N, why) :
	    nn_add_param(g, nd, &(struct nn_param_want){ .what = "weight",
	    .ndim = 2, .d = { M, N }, .fill = NN_FILL_WEIGHT, .fan_in = N,
	    .fan_out = M }, why);
	if (rc == RK_OK && l->bias)
		rc = nn_add_param(g, nd, &(struct nn_param_want){
		    .what = "bias", .ndim = 1, .d = { M },
		    .fill = NN_FILL_BIAS, .fan_in = N }, why);
	if (rc != RK_OK)
		return rc;
	nd->madds = (double)x->count * (double)M;
	memcpy(d, x->d, sizeof(d));
	d[x->ndim - 1] = M;
	return nn_set_shape(g, nd, x->ndim, d, why);
}

static struct kernel_activation
folded(const struct nn_node *nd)
{
	return nd->fused ? (struct kernel_activation){ .act = KERNEL_RELU } :
	    nd->act;
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_node *nd = i->nd;
	const struct nn_value *x = nn_x(i->g, nd, 0);
	const int64_t N = x->d[x->ndim - 1], R = now->s.rows * (x->count / N);

	kernel_mm(&(struct kernel_mm){ .tb = true, .M = R,
	    .N = nd->u->linear.out, .K = N, .A = i->x[0], .lda = N,
	    .B = nn_w(i, WEIGHT), .ldb = N, .C = i->y,
	    .ldc = nd->u->linear.out,
	    .bias = nd->u->linear.bias ? nn_w(i, BIAS) : NULL,
	    .act = folded(nd), .before = i->saved });
}

/* dy = dy f', and db, which may be NULL. */
static void
back_act(const struct nn_instr *i, size_t R, bool add, float *db)
{
	const struct kernel_activation f = folded(i->nd);
	const float *ref = kernel_act_reads_x(f.act) ? i->saved : i->y;
	const size_t M = (size_t)i->nd->u->linear.out;

	if (f.act == KERNEL_NO_ACT || f.act == KERNEL_RELU) {
		if (db != NULL)
			kernel_col_sums(R, M, i->dy, f.act == KERNEL_RELU ?
			    ref : NULL, add, db);
		else if (f.act == KERNEL_RELU)
			kernel_act_back(KERNEL_RELU, ref, i->dy, false, i->dy,
			    R * M);
	} else if (db != NULL) {
		kernel_act_col_sums(&f, ref, R, M, i->dy, add, db, i->scratch);
	} else {
		kernel_activate_back(&f, ref, i->dy, false, i->dy, R * M);
	}
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_node *nd = i->nd;
	const struct nn_value *x = nn_x(i->g, nd, 0);
	const int64_t N = x->d[x->ndim - 1], R = now->s.rows * (x->count / N);
	const int64_t M = nd->u->linear.out;
	bool add = false;
	float *db = nd->u->linear.bias ? nn_dw(i, now, BIAS, &add) : NULL;

	back_act(i, (size_t)R, add, db);
	float *dw = nn_dw(i, now, WEIGHT, &add);
	if (dw != NULL)
		kernel_sgemm(true, false, M, N, R, i->dy, M, i->x[0], N,
		    add ? 1 : 0, dw, N);
	if (i->dx[0] != NULL)
		kernel_sgemm(false, false, R, N, M, i->dy, M, nn_w(i, WEIGHT),
		    N, i->add[0] ? 1 : 0, i->dx[0], N);
}

const struct nn_op nn_op_linear = {
	.shape = shape, .forward = forward, .backward = backward,
	.takes_relu = true, .takes_act = true, .keeps_x = 1,
	.saves_for_back = true,
};
