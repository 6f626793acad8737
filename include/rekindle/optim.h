/*
 * optim - optimisers, and the average of a model.
 *
 * An optimiser works on one flat array of parameters and gradients (the
 * network's arena) and keeps `slots`, each as long as the parameters.  Spans of
 * the array may be trained at rates of their own, with decays of their own, or
 * not at all.  Nothing is allocated in a step, and no bit depends on the number
 * of threads.
 *
 * The formulas, with t the updates that a parameter has had with this one, lr
 * the rate times its span's, wd its span's weight decay, g' = g + wd * p:
 *
 *	sgd       p -= lr * g'
 *	  with momentum   b = mu * b + (1 - dampening) * g' (the first b is g'),
 *	                  p -= lr * b;  nesterov: p -= lr * (g' + mu * b)
 *	adam      m = b1 * m + (1 - b1) * g',  v = b2 * v + (1 - b2) * g'^2
 *	          p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)
 *	adamw     p *= 1 - lr * wd, then adam with g for g'
 *	rmsprop   v = a * v + (1 - a) * g'^2,  p -= lr * g' / (sqrt(v) + eps)
 *	  centered        c = a * c + (1 - a) * g',  v - c^2 for v under the
 *			  root
 *	  with momentum   b = mu * b + g' / (...),  p -= lr * b
 *	adagrad   s = s + g'^2 (s begins as initial_accumulator_value)
 *	          p -= lr / (1 + (t - 1) * lr_decay) * g' / (sqrt(s) + eps)
 *	lamb      m, v as adam's, of g
 *	          r = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + wd * p
 *	          p -= lr * trust * r,  trust = |p| / |r|, 1 where either is 0
 *
 * Those of PyTorch (torch.optim, whose manual has them), which are Paddle's
 * except for RMSProp; adagrad: Duchi, Hazan, Singer 2011.  lamb is that of You
 * et al. 2020 (arXiv:1904.00962, algorithm 2 with the identity for phi) with
 * the bias corrections, as in Paddle; |.| are the 2-norms of one tensor, so
 * that no span of lamb's is of two.  No trust is cut off, as some other
 * versions do.
 *
 * The learning rate is no business of an optimiser: optim_step() is given it.
 * schedule.h has the formulas of all schedules, and what a resume does to them.
 */
#ifndef REKINDLE_OPTIM_H
#define REKINDLE_OPTIM_H

#include "rekindle/spec.h"

struct optim;

/* For n parameters; one span, of the job's weight decay; slots zero, but
 * adagrad's sum.  RK_ENOMEM. */
enum rk_err optim_new(struct optim **op, const struct spec_optim *s, int64_t n)
    RK_MUSTCHECK;
void optim_free(struct optim *o);               /* NULL is fine */

/*
 * The parameters offset to offset + count - 1.  begin: the step, as
 * optim_step() has it, behind which their updates are counted, t = step -
 * begin; 0 for what has been trained from the first step on, and for what was
 * trained in some steps only as many as those that it was left out of.
 */
struct optim_span {
	int64_t offset, count;
	double rate;                    /* times the step's rate */
	double decay;                   /* weight decay */
	bool trains;                    /* false: nothing of it changes */
	int64_t begin;
	bool joined;                    /* of one tensor with the span before:
					   lamb's norms are over both */
};
/* In place of the spans so far: all parameters in order, without a gap, a span
 * for each tensor, or several of one whose rows began at different steps.
 * Neighbours that are alike become one, but for lamb's of two tensors; so a job
 * whose parameters are all alike has one span, and its bits. */
void optim_set_spans(struct optim *o, const struct optim_span *v, size_t n);
size_t optim_nspans(const struct optim *o);
/* Whether the parameter at this offset is trained. */
bool optim_trains(const struct optim *o, int64_t offset);

/* State arrays, in a fixed order, by PyTorch's names: adam(w) and lamb exp_avg,
 * exp_avg_sq; sgd with momentum momentum_buffer; rmsprop square_avg, grad_avg
 * (centered), momentum_buffer; adagrad sum.  Plain sgd has none. */
int optim_slots(const struct optim *o);
const char *optim_slot_name(const struct optim *o, int i);
float *optim_slot(struct optim *o, int i);
/* As they began, of these parameters. */
void optim_reset(struct optim *o, int64_t offset, int64_t count);

/*
 * One update, step counting from 1 for the first; lr as schedule_rate() gives
 * it.  When shadow is not NULL, the updated parameters and slots are also
 * written there: shadow[0] parameters, shadow[1..] slots (a checkpoint taken on
 * the way, while the values are in registers); those of spans that are not
 * trained, too.
 */
void optim_step(struct optim *o, float *params, const float *grads,
    int64_t step, double lr, float *const *shadow);

/*
 * Clipping, before the weight decay is added, over the spans that are trained:
 * others have no gradient.
 *
 * optim_clip: scale gradients so that their 2-norm is at most max: PyTorch's
 * clip_grad_norm_, g *= min(1, max / (norm + 1e-6)).  Returns the norm.
 * Paddle's ClipGradByGlobalNorm has no epsilon, g *= max / max(norm, max): the
 * two differ by a part of 1e-6 / norm.
 *
 * optim_clip_value: each number to -max..max: PyTorch's clip_grad_value_ and
 * Paddle's ClipGradByValue.  NaN stays NaN.
 */
double optim_clip(struct optim *o, float *grads, double max);
void optim_clip_value(struct optim *o, float *grads, double max);

/* --- the average of a model (ema.c) --------------------------------------- */

/* Parameters and buffers, averaged over the steps: struct spec_ema has the
 * formula. */
struct optim_ema;

/* RK_ENOMEM. */
enum rk_err optim_ema_new(struct optim_ema **ep, const struct spec_ema *s,
    int64_t nparams, int64_t nbuffers) RK_MUSTCHECK;
void optim_ema_free(struct optim_ema *e);       /* NULL is fine */
/* The averages; nparams, then nbuffers floats. */
float *optim_ema_params(struct optim_ema *e);
float *optim_ema_buffers(struct optim_ema *e);
/* It begins as the model is. */
void optim_ema_begin(struct optim_ema *e, const float *params,
    const float *buffers);
/* After an update; step counting from 1, as optim_step() has it.  shadow: where
 * the averages are copied to as well, parameters, then buffers; NULL:
 * nowhere. */
void optim_ema_step(struct optim_ema *e, const float *params,
    const float *buffers, int64_t step, float *shadow);
/* Exchange the averages and the model's own; a second call puts both back. */
void optim_ema_swap(struct optim_ema *e, float *params, float *buffers);

#endif
