/*
 * optim - optimisers and learning-rate schedules.
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
 * One update, step counting from 1 for the first; lr as lr_at() gives it.
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
 * The learning rate of the update that makes step `step` (0 for the first):
 *
 *   warm-up  t < W:  base * (f + (1 - f) * (t + 1) / W), f warmup_start_factor
 *   then, with u = t - W and L the length:
 *   constant    base
 *   step        base * gamma^floor(u / size)
 *   multistep   base * gamma^(milestones <= u)
 *   cosine      min + (base - min) * (1 + cos(pi * min(u, L) / L)) / 2
 *   linear      base * (1 + (end - 1) * min(u, L) / L)
 *   polynomial  min + (base - min) * (1 - min(u, L) / L)^power
 *
 * steps_per_epoch turns lengths in epochs into steps; total is the training's
 * length in steps, from which L follows when the job does not say it.  Step and
 * multistep count from the end of the warm-up.
 */
double optim_lr_at(const struct spec_schedule *s, double base, int64_t step,
    int64_t steps_per_epoch, int64_t total);

#endif
