/* A step: forward, loss, backward; and what the outside sees of a network. */
#include <math.h>
#include <string.h>

#include "ops.h"

/* For tests: what nobody reads any more becomes NaN. */
static void
poison(const struct nn *n, const struct nn_program *p, int time)
{
	for (int i = 0; i < p->nstorages; i++) {
		const struct nn_storage *st = &p->storages[i];
		if (st->last != time || st->outside)
			continue;
		for (size_t k = 0; k < st->floats; k++)
			n->arena[st->at + k] = NAN;
	}
}

/* For tests: lanes of no channel are 0. */
static void
must_pad(const struct nn_value *v, int64_t rows, const float *p)
{
	const int64_t blocks = kernel_blocks(v->d[0]);
	const int64_t plane = v->d[1] * v->d[2];

	if (v->layout == KERNEL_PLAIN || p == NULL ||
	    v->d[0] % KERNEL_BLOCK == 0)
		return;
	for (int64_t b = 0; b < rows; b++)
		for (int64_t i = 0; i < plane; i++)
			for (int64_t l = v->d[0] % KERNEL_BLOCK;
			    l < KERNEL_BLOCK; l++)
				must(p[(((b + 1) * blocks - 1) * plane + i) *
				    KERNEL_BLOCK + l] == 0);
}

static void
must_pad_all(const struct nn_instr *i, int64_t rows)
{
	for (int k = 0; i->nd != NULL && k < i->nin; k++)
		must_pad(nn_x(i->g, i->nd, k), rows, i->dx[k]);
	if (i->nd != NULL && !i->back)
		must_pad(nn_y(i->g, i->nd), rows, i->y);
}

static void
run_one(struct nn *n, const struct nn_instr *in)
{
	const struct nn_watch *w = n->watch;
	const size_t at = (size_t)(in - n->on->instrs);
	struct nn_now now = n->now;

	/* Statistics and draws are those of inference. */
	now.train &= (int)at >= n->on->still;
	if (w == NULL || !n->now.train) {
		in->run(in, &now);
		return;
	}
	w->begin(w->ctx, at);
	in->run(in, &now);
	w->end(w->ctx, at, n->now.s.rows);
}

static void
run(struct nn *n, int from, int to)
{
	const struct nn_program *p = n->on;

	for (int i = from; i < to; i++) {
		run_one(n, &p->instrs[i]);
		if (!n->poison)
			continue;
		must_pad_all(&p->instrs[i], n->now.s.rows);
		poison(n, p, i);
	}
}

enum rk_err
nn_may_train(const struct nn *n, int64_t rows, struct rk_why *why)
{
	const struct nn_graph *g = &n->use->g;

	for (int i = 0; i < g->nnodes; i++) {
		const struct nn_node *nd = &g->nodes[i];
		if (nd->op != &nn_op_batch_norm || nd->evaluates)
			continue;
		const struct nn_value *x = nn_x(g, nd, 0);
		if (rows * (x->count / x->d[0]) > 1)
			continue;
		return rk_refuse_at(why, nd->path, "%s (batch_norm) would "
		    "normalise a single value for each channel in a batch of "
		    "%lld", nd->name, (long long)rows);
	}
	return RK_OK;
}

void
nn_forward(struct nn *n, const struct nn_step *s, bool train)
{
	struct nn *u = n->use;

	must(s->rows >= 1 && s->rows <= n->micro);
	must(s->first >= 0 && s->first + s->rows <= s->all);
	must(!train || !n->answers);
	u->on = train ? &u->train : &u->infer;
	u->now = (struct nn_now){ .s = *s, .train = train };
	u->have_loss = false;
	run(u, s->stretch == NN_FROM_FEATURES ? u->on->still : 0,
	    s->stretch == NN_TO_FEATURES ? u->on->still : u->on->forward);
}

/* Of the network in use. */
static float *
logits(const struct nn *n)
{
	return n->on->slots[n->on->of_value[n->g.logits]].p;
}

void
nn_loss(struct nn *n, const int32_t *y, const float *t, struct nn_result *r)
{
	struct nn *u = n->use;
	const int at = u->on->forward;

	must(u->now.s.stretch != NN_TO_FEATURES);
	u->now.y = y;
	u->now.t = t;
	u->now.result = r;
	run(u, at, at + 1);
	u->have_loss = u->now.train;
}

void
nn_backward(struct nn *n)
{
	struct nn *u = n->use;

	must(u->have_loss);
	u->have_loss = false;
	u->now.accumulate = !n->fresh;
	n->fresh = false;
	run(u, u->on->forward + 1, u->on->ninstrs);
}

/* Lazy: see nn_dw(). */
void
nn_zero_grads(struct nn *n)
{
	n->fresh = true;
}

size_t
nn_ntensors(const struct nn *n)
{
	return (size_t)(n->g.nparams + n->g.nbuffers);
}

void
nn_set_running(struct nn *n, enum nn_running how)
{
	n->g.running = how;
}

const struct nn_tensor *
nn_tensor_at(const struct nn *n, size_t i)
{
	const size_t np = (size_t)n->g.nparams;

	must(i < nn_ntensors(n));
	return i < np ? &n->g.params[i].t : &n->g.buffers[i - np].t;
}

float *
nn_params(struct nn *n, int64_t *count)
{
	*count = n->g.nparam;
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
	*count = n->g.nbuffer;
	return n->buffer_array;
}

int64_t
nn_outputs(const struct nn *n)
{
	return n->g.vals[n->g.logits].count;
}

int64_t
nn_micro(const struct nn *n)
{
	return n->micro;
}

enum nn_dtype
nn_input_dtype(const struct nn *n)
{
	return n->g.vals[0].dtype;
}

float *
nn_input(struct nn *n)
{
	return n->input;
}

int32_t *
nn_input_ids(struct nn *n)
{
	must(nn_input_dtype(n) == NN_I32);
	return (int32_t *)(void *)n->input;
}

const float *
nn_output(const struct nn *n)
{
	must(n->use->on != NULL);
	return logits(n->use);
}

const float *
nn_output_named(const struct nn *net, const char *name, int64_t *count)
{
	const struct nn *n = net->use;

	must(n->on != NULL);
	for (int i = 0; i < n->g.noutputs; i++) {
		if (strcmp(n->g.outputs[i].name, name) != 0)
			continue;
		const int v = n->g.outputs[i].value;
		*count = n->g.vals[v].count;
		return n->on->slots[n->on->of_value[v]].p;
	}
	if (strcmp(name, SPEC_LOGITS) != 0)
		return NULL;
	*count = nn_outputs(n);
	return logits(n);
}

enum rk_err
nn_check_ids(const struct nn *n, const int32_t *ids, int64_t rows,
    struct rk_why *why)
{
	const int64_t width = n->g.vals[0].count;

	for (int i = 0; i < n->g.nnodes; i++) {
		const struct nn_node *nd = &n->g.nodes[i];
		if (nd->op != &nn_op_embedding || nd->in[0] != 0 ||
		    nd->u->embedding.index != 0)
			continue;
		const int64_t most = nd->u->embedding.rows;
		for (int64_t k = 0; k < rows * width; k++) {
			if (ids[k] >= 0 && ids[k] < most)
				continue;
			return rk_refuse(why, "token %lld of row %lld is %d, "
			    "and %s has rows 0 to %lld (%s)", (long long)
			    (k % width), (long long)(k / width), (int)ids[k],
			    nd->name, (long long)(most - 1), nd->path);
		}
	}
	return RK_OK;
}
