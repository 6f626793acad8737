/* A step: forward, loss, backward; and what the outside sees of a network. */
#include "ops.h"

void
nn_forward(struct nn *n, int64_t rows, bool train, uint64_t seed, int64_t step)
{
	must(rows >= 1 && rows <= n->batch);
	n->rows = rows;
	n->train = train;
	n->seed = seed;
	n->step = step;
	n->have_loss = false;
	for (int i = 0; i < n->nnodes; i++)
		n->nodes[i].op->forward(n, &n->nodes[i]);
}

void
nn_loss(struct nn *n, int64_t rows, const int32_t *y, const float *t,
    struct nn_result *r)
{
	struct nn_value *z = &n->vals[n->nvals - 1];
	float *d = n->train ? z->g : NULL;

	must(rows == n->rows);
	*r = (struct nn_result){ 0 };
	if (n->loss.type == SPEC_CROSS_ENTROPY) {
		must(y != NULL);
		r->loss_sum = kernel_cross_entropy((size_t)rows, z->count, z->p,
		    y, n->loss.label_smoothing, d, n->row_scratch, &r->correct);
	} else {
		must(t != NULL);
		r->loss_sum = kernel_squares((size_t)rows, z->count, z->p, t, y,
		    d, n->row_scratch, &r->correct);
	}
	n->have_loss = n->train;
}

void
nn_backward(struct nn *n, int64_t rows)
{
	must(n->have_loss && rows == n->rows);
	n->have_loss = false;
	for (int i = 0; i < n->nvals; i++)
		n->vals[i].fresh = true;
	n->vals[n->nvals - 1].fresh = false;
	for (int i = n->nnodes - 1; i >= 0; i--) {
		struct nn_node *nd = &n->nodes[i];
		if (nn_y(n, nd)->wants_grad)
			nd->op->backward(n, nd);
	}
	/* Every parameter feeds the output, so none is left unwritten. */
	for (int i = 0; i < n->nparams; i++)
		must(!n->params[i].fresh);
}

/* Lazy: see nn_dw(). */
void
nn_zero_grads(struct nn *n)
{
	for (int i = 0; i < n->nparams; i++)
		n->params[i].fresh = true;
}

size_t
nn_ntensors(const struct nn *n)
{
	return (size_t)(n->nparams + n->nbuffers);
}

const struct nn_tensor *
nn_tensor_at(const struct nn *n, size_t i)
{
	const size_t np = (size_t)n->nparams;

	must(i < nn_ntensors(n));
	return i < np ? &n->params[i].t : &n->buffers[i - np].t;
}

float *
nn_params(struct nn *n, int64_t *count)
{
	*count = n->nparam;
	return n->param_array;
}

float *
nn_grads(struct nn *n)
{
	return n->grad_array;
}

float *
nn_buffers(struct nn *n, int64_t *count)
{
	*count = n->nbuffer;
	return n->buffer_array;
}

int64_t
nn_outputs(const struct nn *n)
{
	return n->vals[n->nvals - 1].count;
}

float *
nn_input(struct nn *n)
{
	return n->vals[0].p;
}

const float *
nn_output(const struct nn *n)
{
	return n->vals[n->nvals - 1].p;
}
