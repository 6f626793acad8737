/*
 * The update of all parameters: this step's numbers in double, then pieces of
 * fixed bounds over the team.  Every element is a pure function of its own
 * gradient and slots, so the bits depend neither on the pieces nor on the
 * number of threads.
 */
#include <math.h>
#include <stdlib.h>

#include "rekindle/kernel.h"
#include "rekindle/optim.h"

#define OPTIM_TAG   0x6f707469u
#define MAX_SLOTS   3

/* Floats of a piece: with Adam 1 MiB of memory passes, enough that handing out
 * a piece costs nothing, and small networks are still shared out. */
#define PIECE       ((int64_t)64 << 10)

/* From this many floats on, a shadow is written past the caches (measured: what
 * it would push out of them costs more than reading it back). */
#define STREAM_FROM ((int64_t)512 << 10)

struct optim {
	unsigned tag;
	struct spec_optim spec;
	int64_t n;
	int nslots;
	const char *name[MAX_SLOTS];
	float *slot[MAX_SLOTS];
};

/* One call of optim_step() or optim_clip(), as the pieces see it. */
struct pass {
	struct kernel_update u;
	int64_t n;
	float *params;
	float *grads;
	const float *cgrads;
	int nslots;
	float *const *slot;
	float *const *shadow;
	double *sum;                    /* one for each piece */
	float by;
};

static void
name_slots(struct optim *o)
{
	const struct spec_optim *s = &o->spec;

	switch (s->type) {
	case SPEC_SGD:
		if (s->momentum != 0)
			o->name[o->nslots++] = "momentum_buffer";
		break;
	case SPEC_ADAM:
	case SPEC_ADAMW:
		o->name[o->nslots++] = "exp_avg";
		o->name[o->nslots++] = "exp_avg_sq";
		break;
	case SPEC_RMSPROP:
		o->name[o->nslots++] = "square_avg";
		if (s->centered)
			o->name[o->nslots++] = "grad_avg";
		if (s->momentum != 0)
			o->name[o->nslots++] = "momentum_buffer";
		break;
	}
}

enum rk_err
optim_new(struct optim **op, const struct spec_optim *s, int64_t n)
{
	must(n >= 0 && n <= SPEC_MAX_PARAMS);

	struct optim *o = xcalloc(1, sizeof(*o));
	o->tag = OPTIM_TAG;
	o->spec = *s;
	o->n = n;
	name_slots(o);
	for (int i = 0; i < o->nslots; i++) {
		o->slot[i] = kernel_alloc((size_t)n * sizeof(float));
		if (o->slot[i] == NULL) {
			optim_free(o);
			return RK_ENOMEM;
		}
	}
	*op = o;
	return RK_OK;
}

void
optim_free(struct optim *o)
{
	if (o == NULL)
		return;
	must_be(o, OPTIM_TAG);
	for (int i = 0; i < o->nslots; i++)
		if (o->slot[i] != NULL)
			kernel_free(o->slot[i], (size_t)o->n * sizeof(float));
	o->tag = 0;
	free(o);
}

int
optim_slots(const struct optim *o)
{
	return o->nslots;
}

const char *
optim_slot_name(const struct optim *o, int i)
{
	must(i >= 0 && i < o->nslots);
	return o->name[i];
}

float *
optim_slot(struct optim *o, int i)
{
	must(i >= 0 && i < o->nslots);
	return o->slot[i];
}

static struct kernel_update
update_sgd(const struct spec_optim *s, int64_t step, double lr)
{
	/* PyTorch's first momentum buffer is the gradient itself, undampened;
	 * the slots are zero then. */
	double take = step == 1 ? 1 : 1 - s->dampening;

	return (struct kernel_update){
		.rule = s->momentum == 0 ? KERNEL_SGD :
		    s->nesterov ? KERNEL_NESTEROV : KERNEL_MOMENTUM,
		.lr = (float)lr,
		.decay = (float)s->weight_decay,
		.mu = (float)s->momentum,
		.take = (float)take,
	};
}

/*
 * PyTorch: p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), after
 * p *= 1 - lr * wd (adamw) or g += wd * p (adam).
 */
static struct kernel_update
update_adam(const struct spec_optim *s, int64_t step, double lr)
{
	const bool w = s->type == SPEC_ADAMW;
	const double c1 = 1 - pow(s->beta1, (double)step);
	const double c2 = 1 - pow(s->beta2, (double)step);

	return (struct kernel_update){
		.rule = KERNEL_ADAM,
		.lr = (float)(lr / c1),
		.decay = w ? 0 : (float)s->weight_decay,
		.shrink = w ? (float)(1 - lr * s->weight_decay) : 1,
		.mu = (float)s->beta1,
		.take = (float)(1 - s->beta1),
		.alpha = (float)s->beta2,
		.alpha1 = (float)(1 - s->beta2),
		.root = (float)(1 / sqrt(c2)),
		.eps = (float)s->eps,
	};
}

static struct kernel_update
update_rmsprop(const struct spec_optim *s, double lr)
{
	return (struct kernel_update){
		.rule = KERNEL_RMSPROP,
		.centered = s->centered,
		.with_momentum = s->momentum != 0,
		.lr = (float)lr,
		.decay = (float)s->weight_decay,
		.mu = (float)s->momentum,
		.alpha = (float)s->alpha,
		.alpha1 = (float)(1 - s->alpha),
		.eps = (float)s->eps,
	};
}

static size_t
pieces(int64_t n)
{
	return (size_t)((n + PIECE - 1) / PIECE);
}

static size_t
piece_len(int64_t n, size_t i)
{
	return (size_t)RK_MIN(PIECE, n - (int64_t)i * PIECE);
}

static void
step_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	const size_t at = i * (size_t)PIECE;
	float *slot[MAX_SLOTS], *shadow[MAX_SLOTS + 1];

	for (int k = 0; k < p->nslots; k++)
		slot[k] = p->slot[k] + at;
	if (p->shadow != NULL)
		for (int k = 0; k < p->nslots + 1; k++)
			shadow[k] = p->shadow[k] + at;
	kernel_update(&p->u, piece_len(p->n, i), p->params + at,
	    p->cgrads + at, slot, p->shadow != NULL ? shadow : NULL);
}

void
optim_step(struct optim *o, float *params, const float *grads, int64_t step,
    double lr, float *const *shadow)
{
	must_be(o, OPTIM_TAG);
	must(step >= 1);

	struct pass p = {
		.n = o->n,
		.params = params,
		.cgrads = grads,
		.nslots = o->nslots,
		.slot = o->slot,
		.shadow = shadow,
	};
	switch (o->spec.type) {
	case SPEC_SGD:
		p.u = update_sgd(&o->spec, step, lr);
		break;
	case SPEC_ADAM:
	case SPEC_ADAMW:
		p.u = update_adam(&o->spec, step, lr);
		break;
	case SPEC_RMSPROP:
		p.u = update_rmsprop(&o->spec, lr);
		break;
	}
	p.u.stream = o->n >= STREAM_FROM;
	kernel_for(pieces(o->n), step_piece, &p);
}

static void
square_piece(void *ctx, size_t i)
{
	struct pass *p = ctx;

	p->sum[i] = kernel_sum_squares(p->grads + i * (size_t)PIECE,
	    piece_len(p->n, i));
}

static void
scale_piece(void *ctx, size_t i)
{
	struct pass *p = ctx;

	kernel_scale(p->grads + i * (size_t)PIECE, piece_len(p->n, i), p->by);
}

double
optim_clip(float *grads, int64_t n, double max)
{
	const size_t np = pieces(n);
	struct pass p = { .n = n, .grads = grads };
	double total = 0;

	p.sum = xcalloc(np + 1, sizeof(*p.sum));
	kernel_for(np, square_piece, &p);
	for (size_t i = 0; i < np; i++)
		total += p.sum[i];
	free(p.sum);

	double norm = sqrt(total), by = max / (norm + 1e-6);
	/* A norm that is no number must not pass for a small one: the
	 * gradients become NaN, and the loss shows it. */
	if (!(by >= 1)) {
		p.by = (float)by;
		kernel_for(np, scale_piece, &p);
	}
	return norm;
}
