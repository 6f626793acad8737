/*
 * The update of all parameters: this step's numbers of each span in double,
 * then pieces of fixed bounds over the team.  Every element is a pure function
 * of its own gradient and slots, and for lamb of its tensor's norms, which are
 * summed in the order of the pieces; so the bits do not depend on the number of
 * threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* From this many floats on, a shadow is written past the caches (measured: what
 * it would push out of them costs more than reading it back). */
#define STREAM_FROM ((int64_t)512 << 10)

/* One call of optim_step(), as the pieces see it. */
struct pass {
	struct optim *o;
	float *params;
	const float *grads;
	float *const *shadow;
};

/* --- the numbers of a step ------------------------------------------------ */

static struct kernel_update
update_sgd(const struct spec_optim *s, double decay, int64_t t, double lr)
{
	/* PyTorch's first momentum buffer is the gradient itself, undampened;
	 * the slots are zero then. */
	double take = t == 1 ? 1 : 1 - s->dampening;

	return (struct kernel_update){
		.rule = s->momentum == 0 ? KERNEL_SGD :
		    s->nesterov ? KERNEL_NESTEROV : KERNEL_MOMENTUM,
		.lr = (float)lr,
		.decay = (float)decay,
		.mu = (float)s->momentum,
		.take = (float)take,
	};
}

/*
 * PyTorch: p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), after
 * p *= 1 - lr * wd (adamw) or g += wd * p (adam).
 */
static struct kernel_update
update_adam(const struct spec_optim *s, double decay, int64_t t, double lr)
{
	const bool w = s->type == SPEC_ADAMW;
	const double c1 = 1 - pow(s->beta1, (double)t);
	const double c2 = 1 - pow(s->beta2, (double)t);

	return (struct kernel_update){
		.rule = KERNEL_ADAM,
		.lr = (float)(lr / c1),
		.decay = w ? 0 : (float)decay,
		.shrink = w ? (float)(1 - lr * decay) : 1,
		.mu = (float)s->beta1,
		.take = (float)(1 - s->beta1),
		.alpha = (float)s->beta2,
		.alpha1 = (float)(1 - s->beta2),
		.root = (float)(1 / sqrt(c2)),
		.eps = (float)s->eps,
	};
}

static struct kernel_update
update_rmsprop(const struct spec_optim *s, double decay, double lr)
{
	return (struct kernel_update){
		.rule = KERNEL_RMSPROP,
		.centered = s->centered,
		.with_momentum = s->momentum != 0,
		.lr = (float)lr,
		.decay = (float)decay,
		.mu = (float)s->momentum,
		.alpha = (float)s->alpha,
		.alpha1 = (float)(1 - s->alpha),
		.eps = (float)s->eps,
	};
}

/* rmsprop that forgets nothing. */
static struct kernel_update
update_adagrad(const struct spec_optim *s, double decay, int64_t t, double lr)
{
	return (struct kernel_update){
		.rule = KERNEL_RMSPROP,
		.lr = (float)(lr / (1 + (double)(t - 1) * s->lr_decay)),
		.decay = (float)decay,
		.alpha = 1,
		.alpha1 = 1,
		.eps = (float)s->eps,
	};
}

/* Its lr lacks the trust, which scale_by_trust() knows. */
static struct kernel_update
update_lamb(const struct spec_optim *s, double decay, int64_t t, double lr)
{
	struct kernel_update u = update_adam(s, decay, t, lr);

	u.rule = KERNEL_LAMB;
	u.lr = (float)lr;
	u.unbias = (float)(1 / (1 - pow(s->beta1, (double)t)));
	return u;
}

static struct kernel_update
update_of(const struct spec_optim *s, const struct optim_span *a, int64_t step,
    double lr)
{
	const int64_t t = step - a->begin;

	must(t >= 1);
	lr *= a->rate;
	switch (s->type) {
	case SPEC_SGD:
		return update_sgd(s, a->decay, t, lr);
	case SPEC_ADAM:
	case SPEC_ADAMW:
		return update_adam(s, a->decay, t, lr);
	case SPEC_RMSPROP:
		return update_rmsprop(s, a->decay, lr);
	case SPEC_ADAGRAD:
		return update_adagrad(s, a->decay, t, lr);
	case SPEC_LAMB:
		return update_lamb(s, a->decay, t, lr);
	}
	return (struct kernel_update){0};
}

/* --- pieces --------------------------------------------------------------- */

/* Of what is not trained only the shadow's copy is wanted. */
static void
copy_piece(const struct pass *p, const struct piece *c)
{
	const size_t bytes = c->n * sizeof(float);

	if (p->shadow == NULL)
		return;
	memcpy(p->shadow[0] + c->at, p->params + c->at, bytes);
	for (int k = 0; k < p->o->nslots; k++)
		memcpy(p->shadow[k + 1] + c->at, p->o->slot[k] + c->at, bytes);
}

static void
step_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	const struct optim *o = p->o;
	const struct piece *c = &o->piece[i];
	float *slot[MAX_SLOTS], *shadow[MAX_SLOTS + 1];

	if (!o->span[c->span].trains) {
		copy_piece(p, c);
		return;
	}
	for (int k = 0; k < o->nslots; k++)
		slot[k] = o->slot[k] + c->at;
	if (p->shadow != NULL)
		for (int k = 0; k < o->nslots + 1; k++)
			shadow[k] = p->shadow[k] + c->at;
	kernel_update(&o->update[c->span], c->n, p->params + c->at,
	    p->grads + c->at, slot, p->shadow != NULL ? shadow : NULL);
}

static void
lamb_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	const struct optim *o = p->o;
	const struct piece *c = &o->piece[i];

	if (o->span[c->span].trains)
		kernel_lamb(&o->update[c->span], c->n, p->params + c->at,
		    p->grads + c->at, o->slot[0] + c->at, o->slot[1] + c->at,
		    &o->sum[2 * i]);
}

/* A tensor's norms are the sums of its pieces, in their order; it has a span,
 * or several that are joined. */
static void
scale_by_trust(struct optim *o)
{
	size_t i = 0, end;

	for (size_t k = 0; k < o->nspans; k = end) {
		double p = 0, r = 0;
		for (end = k + 1; end < o->nspans && o->span[end].joined;)
			end++;
		for (; i < o->npieces && o->piece[i].span < end; i++) {
			p += o->sum[2 * i];
			r += o->sum[2 * i + 1];
		}
		for (; k < end; k++)
			if (o->span[k].trains && p > 0 && r > 0)
				o->update[k].lr *= (float)(sqrt(p) / sqrt(r));
	}
}

void
optim_step(struct optim *o, float *params, const float *grads, int64_t step,
    double lr, float *const *shadow)
{
	struct pass p = { o, params, grads, shadow };

	must_be(o, OPTIM_TAG);
	must(step >= 1);
	for (size_t k = 0; k < o->nspans; k++) {
		if (!o->span[k].trains)
			continue;
		o->update[k] = update_of(&o->spec, &o->span[k], step, lr);
		o->update[k].stream = o->n >= STREAM_FROM;
	}
	if (o->spec.type == SPEC_LAMB) {
		kernel_for(o->npieces, lamb_piece, &p);
		scale_by_trust(o);
	}
	kernel_for(o->npieces, step_piece, &p);
}
