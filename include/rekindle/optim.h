/*
 * optim - optimisers.
 *
 * An optimiser works on one flat array of parameters and gradients (the
 * network's arena) and keeps `slots`, each as long as the parameters.  Formulas
 * are PyTorch's, which are Paddle's except for RMSProp.
 */
#ifndef REKINDLE_OPTIM_H
#define REKINDLE_OPTIM_H

#include "rekindle/spec.h"

struct optim;

/* For n parameters; slots zero.  RK_ENOMEM. */
enum rk_err optim_new(struct optim **op, const struct spec_optim *s, int64_t n)
    RK_MUSTCHECK;
void optim_free(struct optim *o);               /* NULL is fine */

/* State arrays, in a fixed order, by PyTorch's names: adam(w) exp_avg,
 * exp_avg_sq; sgd with momentum momentum_buffer; rmsprop square_avg, grad_avg
 * (centered), momentum_buffer.  Plain sgd has none. */
int optim_slots(const struct optim *o);
const char *optim_slot_name(const struct optim *o, int i);
float *optim_slot(struct optim *o, int i);

/*
 * One update, step counting from 1 for the first; lr as schedule_rate() gives it.
 * When shadow is not NULL, the updated parameters and slots are also written
 * there: shadow[0] parameters, shadow[1..] slots (a checkpoint taken on the
 * way, while the values are in registers).
 */
void optim_step(struct optim *o, float *params, const float *grads,
    int64_t step, double lr, float *const *shadow);

/* Scale gradients so that their 2-norm is at most max: PyTorch's
 * clip_grad_norm_, g *= min(1, max / (norm + 1e-6)).  Returns the norm. */
double optim_clip(float *grads, int64_t n, double max);

/*
 * The learning rate is no business of an optimiser: optim_step() is given it.
 * schedule.h has the formulas of all schedules, and those of
 * training.schedule.on_resume, which say what becomes of a schedule r(t) where
 * a resume at step n has changed it or the length of the training:
 *
 *   keep      the old r(t), its length and peak; behind its end r(end - 1)
 *   stretch   the new formula from the old one's first step, with the new
 *             length
 *   restart   the new formula from step n, over the steps that remain
 */

#endif
