/* A network into memory; and other programs into the memory of one. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

static float *
slot_at(const struct nn_program *p, int slot)
{
	return slot >= 0 ? p->slots[slot].p : NULL;
}

/* Point every operand of every instruction to its place, in the memory of n. */
static void
wire_up(const struct nn *n, struct nn_program *p)
{
	for (int i = 0; i < p->nslots; i++) {
		struct nn_slot *s = &p->slots[i];
		const struct nn_storage *st = &p->storages[s->storage];
		s->p = st->outside ? n->input : n->arena + st->at;
	}
	for (int i = 0; i < p->ninstrs; i++) {
		struct nn_instr *in = &p->instrs[i];
		for (int k = 0; k < in->nin; k++) {
			in->x[k] = slot_at(p, in->xs[k]);
			in->dx[k] = slot_at(p, in->dxs[k]);
		}
		in->y = slot_at(p, in->ys);
		in->dy = slot_at(p, in->dys);
		in->saved = slot_at(p, in->saved_s);
		in->scratch = in->nd != NULL ? n->scratch :
		    (float *)(void *)n->row_scratch;
	}
}

static void
wire_tensors(struct nn_graph *g, float *params, float *grads, float *buffers)
{
	for (int i = 0; i < g->nparams; i++) {
		struct nn_tensor *t = &g->params[i].t;
		t->value = params + t->offset;
		t->grad = grads != NULL ? grads + t->offset : NULL;
	}
	for (int i = 0; i < g->nbuffers; i++) {
		struct nn_tensor *t = &g->buffers[i].t;
		t->value = buffers + t->offset;
	}
}

/* For what a step computes. */
static bool
allocate_values(struct nn *n)
{
	const size_t f = sizeof(float);

	n->arena = kernel_alloc(n->arena_floats * f);
	n->scratch = kernel_alloc(n->scratch_floats * f);
	n->row_scratch = kernel_alloc(2 * (size_t)n->micro * sizeof(double));
	return n->arena != NULL && n->scratch != NULL &&
	    n->row_scratch != NULL;
}

static void
free_values(struct nn *n)
{
	const size_t f = sizeof(float);

	kernel_free(n->arena, n->arena_floats * f);
	kernel_free(n->scratch, n->scratch_floats * f);
	kernel_free(n->row_scratch, 2 * (size_t)n->micro * sizeof(double));
	n->arena = n->scratch = NULL;
	n->row_scratch = NULL;
}

static bool
allocate(struct nn *n)
{
	const size_t f = sizeof(float);
	const bool values = allocate_values(n);

	n->input = kernel_alloc(n->input_floats * f);
	n->param_array = kernel_alloc((size_t)n->g.nparam * f);
	if (!n->answers)
		n->grad_array = kernel_alloc((size_t)n->g.nparam * f);
	n->buffer_array = kernel_alloc((size_t)n->g.nbuffer * f);
	return values && n->input != NULL &&
	    n->param_array != NULL && (n->answers || n->grad_array != NULL) &&
	    n->buffer_array != NULL;
}

/* A network into the memory of n, which is itself or has the longer samples. */
static void
wire_all(const struct nn *n, struct nn *one)
{
	wire_up(n, &one->train);
	wire_up(n, &one->infer);
	wire_tensors(&one->g, n->param_array, n->grad_array, n->buffer_array);
	one->arena = n->arena;
}

static void
wire(struct nn *n)
{
	wire_all(n, n);
	for (int i = 0; i < n->nshorter; i++)
		wire_all(n, n->shorter[i]);
}

enum rk_err
nn_build(struct nn **np, const struct nn_want *w, struct rk_why *why)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	struct nn_sizes s;
	struct nn *n;
	enum rk_err rc = nn_make(&n, w, why);

	*np = NULL;
	if (rc != RK_OK)
		return rc;
	nn_sizes(n, &s);
	rk_human_bytes(need, s.total_bytes);
	if (s.total_bytes > w->memory_limit) {
		(void)rk_refuse_at(why, "resources.memory", "the network needs "
		    "%s, more than the %s it may have", need,
		    rk_human_bytes(have, w->memory_limit));
		nn_free(n);
		return RK_ENOMEM;
	}
	if (!allocate(n)) {
		(void)rk_refuse_at(why, "resources.memory",
		    "the network needs %s, and the system has no memory", need);
		nn_free(n);
		return RK_ENOMEM;
	}
	wire(n);
	nn_zero_grads(n);
	*np = n;
	return RK_OK;
}

/* But for what lies in memory that may be another's. */
static void
fini_one(struct nn *n)
{
	nn_program_fini(&n->train);
	nn_program_fini(&n->infer);
	nn_graph_fini(&n->g);
}

static void
free_one(struct nn *n)
{
	fini_one(n);
	free(n);
}

void
nn_free(struct nn *n)
{
	const size_t f = sizeof(float);

	if (n == NULL)
		return;
	for (int i = 0; i < n->nshorter; i++)
		free_one(n->shorter[i]);
	free_values(n);
	kernel_free(n->input, n->input_floats * f);
	kernel_free(n->param_array, (size_t)n->g.nparam * f);
	kernel_free(n->grad_array, (size_t)n->g.nparam * f);
	kernel_free(n->buffer_array, (size_t)n->g.nbuffer * f);
	free_one(n);
}

/* --- other tensors are trained -------------------------------------------- */

static void
point_to(struct nn_program *p, const struct nn_graph *g)
{
	for (int i = 0; i < p->ninstrs; i++)
		p->instrs[i].g = g;
}

/* Graph and programs of m, which has no memory, become those of n; m is gone.
 * Instructions know their graph by its place. */
static void
take_programs(struct nn *n, struct nn *m)
{
	const enum nn_running running = n->g.running;

	for (int i = 0; i < n->nshorter; i++)
		free_one(n->shorter[i]);
	fini_one(n);
	n->g = m->g;
	n->g.running = running;
	n->train = m->train;
	n->infer = m->infer;
	point_to(&n->train, &n->g);
	point_to(&n->infer, &n->g);
	memcpy(n->shorter, m->shorter, sizeof(n->shorter));
	n->nshorter = m->nshorter;
	n->arena_floats = m->arena_floats;
	n->scratch_floats = m->scratch_floats;
	n->use = n;
	n->on = NULL;
	n->have_loss = false;
	free(m);
}

enum rk_err
nn_retrain(struct nn *n, const struct nn_want *w, struct rk_why *why)
{
	struct nn *m;
	enum rk_err rc = nn_make(&m, w, why);

	if (rc != RK_OK)
		return rc;
	must(m->g.nparam == n->g.nparam && m->g.nbuffer == n->g.nbuffer &&
	    m->input_floats == n->input_floats && m->micro == n->micro);
	free_values(n);
	take_programs(n, m);
	if (!allocate_values(n))
		return rk_refuse_at(why, "resources.memory", "the system has "
		    "no memory for the network"), RK_ENOMEM;
	wire(n);
	memset(n->grad_array, 0, (size_t)n->g.nparam * sizeof(float));
	nn_zero_grads(n);
	return RK_OK;
}
