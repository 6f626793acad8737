/*
 * The losses: ops at the end of a program, whose inputs are the logits z[B,n]
 * and a target, which is no value of the graph but what the caller of nn_loss()
 * has: classes y[B], or numbers t[B,n].  kernel.h has the equations.
 *
 *   dz = gradient of the sum over the rows / norm
 *
 * With an ancestor's answers dz is (1 - weight) times that, and weight times
 * the gradient of T^2 KL is added.
 *
 * norm is that of the whole step, so that its parts add up to the gradient of
 * the mean.  Loss and gradient come from one pass over the logits, so the
 * gradient is written forward; in INFER there is none.
 */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

enum rk_err
nn_loss_shape(struct nn_graph *g, const struct spec_loss *l,
    struct rk_why *why)
{
	static const enum kernel_loss_kind kinds[] = {
		[SPEC_CROSS_ENTROPY] = KERNEL_CROSS_ENTROPY,
		[SPEC_MSE] = KERNEL_SQUARES,
		[SPEC_BINARY_CROSS_ENTROPY] = KERNEL_BINARY,
		[SPEC_L1] = KERNEL_L1,
		[SPEC_SMOOTH_L1] = KERNEL_SMOOTH_L1,
	};
	const int64_t outputs = g->vals[g->logits].count;

	g->loss = (struct kernel_loss){ .kind = kinds[l->type], .n = outputs,
		.smoothing = l->label_smoothing, .ignoring = l->ignoring,
		.ignore = (int32_t)l->ignore_index, .beta = l->beta };
	if (l->nweights == 0)
		return RK_OK;
	if (l->nweights != outputs)
		return rk_refuse_at(why, "training.loss.class_weights", "has "
		    "%d number%s, and the network has %lld output%s",
		    l->nweights, rk_s(l->nweights), (long long)outputs,
		    rk_s(outputs));
	g->class_weights = xcalloc((size_t)outputs, sizeof(float));
	for (int64_t i = 0; i < outputs; i++)
		g->class_weights[i] = (float)l->class_weights[i];
	g->loss.weight = g->class_weights;
	return RK_OK;
}

bool
nn_loss_weighs(const struct nn *n)
{
	return n->g.loss.weight != NULL || n->g.loss.ignoring;
}

double
nn_loss_weight(const struct nn *n, const int32_t *y, int64_t rows)
{
	if (!nn_loss_weighs(n))
		return (double)rows;
	return kernel_loss_weight(&n->g.loss, (size_t)rows, y, NULL);
}

/* Of the gradient of the task so much stays. */
static void
scale_task(const struct nn_now *now, struct kernel_loss *l, float **dz)
{
	const struct nn_taught *t = now->s.taught;

	if (t == NULL || *dz == NULL)
		return;
	if (t->weight < 1) {
		l->norm /= 1 - t->weight;
		return;
	}
	memset(*dz, 0, (size_t)now->s.rows * (size_t)l->n * sizeof(**dz));
	*dz = NULL;
}

static void
learn_from_ancestor(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_taught *t = now->s.taught;
	const struct kernel_distill d = {
		.binary = i->g->loss.kind == KERNEL_BINARY, .n = i->g->loss.n,
		.m = t->width, .ours = t->ours, .theirs = t->theirs,
		.pairs = t->pairs, .temperature = t->temperature,
		.weight = t->weight, .left_out = now->s.left_out,
		.norm = t->norm > 0 ? t->norm : (double)now->s.all,
	};

	now->result->taught_sum = kernel_distill(&d, (size_t)now->s.rows,
	    i->x[0], t->z, i->dx[0], (double *)(void *)i->scratch);
}

void
nn_loss_run(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_loss l = i->g->loss;
	struct nn_result *r = now->result;
	const size_t rows = (size_t)now->s.rows;
	float *dz = i->dx[0];
	size_t left = 0;

	must(l.kind == KERNEL_CROSS_ENTROPY ?
	    now->y != NULL || now->t != NULL : now->t != NULL);
	l.left_out = now->s.left_out;
	l.norm = now->s.norm > 0 ? now->s.norm : (double)now->s.all;
	for (size_t k = 0; l.left_out != NULL && k < rows; k++)
		left += l.left_out[k];
	*r = (struct nn_result){ .weight = (double)(rows - left),
		.counted = (int64_t)(rows - left) };
	scale_task(now, &l, &dz);
	r->loss_sum = kernel_loss(&l, rows, i->x[0], now->t, now->y, false,
	    dz, (double *)(void *)i->scratch, &r->correct);
	if ((l.weight != NULL || l.ignoring) && now->t == NULL)
		r->weight = kernel_loss_weight(&l, rows, now->y, &r->counted);
	if (now->s.taught == NULL)
		return;
	learn_from_ancestor(i, now);
	r->taught = (int64_t)(rows - left);
}
