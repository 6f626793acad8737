/*
 * schedule - the learning rate as a pure function of the step and of the
 * schedule that a run follows (of which reduce_on_plateau has a part that the
 * run's evaluations decide).
 *
 * Trainer and daemon share it, so that what the daemon promises of a resume is
 * what the trainer does.  Pure: no files, no clocks; all of it may be called
 * from any thread.
 *
 * The formulas.  t counts steps from 0, W is the warm-up and L the length, both
 * in steps, f warmup_start_factor, base the peak (learning_rate):
 *
 *   warm-up  t < W:  base * (f + (1 - f) * (t + 1) / W)
 *     torch            base * (f + (1 - f) * t / W)
 *     paddle           f * base + (base - f * base) * t / W
 *   then, with u = t - W:
 *   constant    base
 *   step        base * gamma^floor(u / size)
 *   multistep   base * gamma^(milestones <= u)
 *   cosine      min + (base - min) * (1 + cos(pi * min(u, L) / L)) / 2
 *   linear      base * (1 + (end - 1) * min(u, L) / L)
 *   polynomial  min + (base - min) * (1 - min(u, L) / L)^power
 *   one_cycle   with first = base / div_factor, last = first /
 *               final_div_factor and its peak at a = pct_start * L - 1:
 *               u < a:   anneal(first, base, u / a)
 *               u >= a:  anneal(base, last, (min(u, L - 1) - a) / (L - 1 - a))
 *               anneal(x, y, z) = y + (x - y) * (1 + cos(pi * z)) / 2,
 *               linear:  x + (y - x) * z
 *   reduce_on_plateau   max(base * scale, min); scale below
 *
 * L follows from the training's length where the job does not say it: total -
 * W.  Step and multistep count from the end of the warm-up, and so does all
 * else that comes behind one: it begins with its own 0.
 *
 * Whose they are.  PyTorch's (torch.optim.lr_scheduler) closed forms: StepLR,
 * MultiStepLR, CosineAnnealingLR (which rises again behind L; ours stays),
 * LinearLR, PolynomialLR, OneCycleLR in two phases, without its momentum.
 * `warmup: torch` is LinearLR(start_factor=f, total_iters=W) with the other
 * schedule behind it by SequentialLR(milestones=[W]); `paddle` is Paddle's
 * LinearWarmup(other, W, start_lr=f * base, end_lr=base), the same line in
 * another order of rounding.  In both the other schedule is at its own 0 at
 * step W, as here; both are one step lower than ours, which is at base in the
 * last step of the warm-up and never at 0.  PyTorch's default for f is 1/3,
 * ours 0.  Paddle's OneCycleLR has an absolute end of 1e-4 where PyTorch has
 * first / 1e4: for that say final_div_factor: base / (div_factor * 1e-4).  Both
 * refuse a step behind the end; ours goes on with the last rate.
 *
 * reduce_on_plateau, as PyTorch's ReduceLROnPlateau with a relative threshold:
 * scale begins as 1; the evaluation at the end of each epoch gives a
 * value of checkpoint.keep.metric.  One that is less than best * (1 -
 * threshold) (mode max: more than best * (1 + threshold)) is the new best, any
 * other is bad.  During a cooldown, whose first epochs follow a reduction,
 * nothing is bad.  When more than `patience` in a row are bad, scale is
 * multiplied by factor (base * scale not below min_learning_rate), the count
 * begins again, and a cooldown begins.  A reduction that would take no more
 * than 1e-8 (PyTorch's eps) off the rate leaves it as it is, so that it does
 * not go on to 0.  An evaluation inside the warm-up, one that was cut short and
 * one that is not at an epoch's end do not count.  With another metric or mode
 * than before, the best begins anew, and scale stays.
 *
 * A run's schedule.  A run follows the terms of its job from step `from` on:
 *
 *   r(t) = formula(min(t - from, end - 1))
 *
 * where `end` is total, or W + L where that is later; constant, step, multistep
 * and reduce_on_plateau have none.  So a run that goes on behind the end of its
 * schedule has the last rate that was trained with, and not the formula's value
 * behind it, which is 0 as a rule.
 *
 * A run that begins has from = 0, or, where a warm start goes on with the
 * schedule of its file, minus the steps that were made of that.  A checkpoint
 * carries the schedule (state.schedule), and a run that goes on from it goes on
 * with that: rates never depend on what happened between.  Only where the job
 * says something else than the job that the schedule was decided for - another
 * schedule, another number of steps in all or in an epoch, another on_resume -
 * it is decided anew, for the resume at step n (the checkpoint's), by
 * training.schedule.on_resume:
 *
 *   keep      the old schedule as it is: its terms, its total, its from
 *   stretch   the job's terms, the old from, total = the training's new total -
 *             from: as if the run had had that length from the beginning (of
 *             this schedule: 0, or where it was restarted last)
 *   restart   the job's terms, from = n, total = the training's total - n; so
 *             with the warm-up
 *
 * A learning_rate that is changed becomes the peak of whichever it is; where
 * that is all that has changed, the old schedule goes on with the new peak
 * (and min_learning_rate is cut to it).  Resumes in a row compose, since each
 * begins with the schedule in the checkpoint.  What reduce_on_plateau has come
 * to (its scale, best and counts) goes on with keep and stretch, and begins
 * anew with restart.
 *
 * A checkpoint from before schedules were recorded has none: `stretch` and
 * `restart` need none, and `keep` cannot be had.
 */
#ifndef REKINDLE_SCHEDULE_H
#define REKINDLE_SCHEDULE_H

#include "rekindle/spec.h"

/* What a job says of its learning rate, with lengths in steps. */
struct schedule_terms {
	struct spec_schedule shape;
	double peak;
	int64_t steps_per_epoch;
	int64_t total;                  /* steps of the training */
};

/* What reduce_on_plateau has come to; {.scale = 1} in the beginning. */
#define SCHEDULE_METRIC_MAX 32
struct schedule_plateau {
	char metric[SCHEDULE_METRIC_MAX];       /* that `best` is of; "":
						   none */
	bool mode_max;
	double best;
	int64_t bad;                    /* in a row */
	int64_t cooldown;               /* evaluations that it has yet */
	double scale;                   /* 0 to 1 */
};

/* What a run follows. */
struct schedule {
	struct schedule_terms said;     /* by the job, when it was decided */
	struct schedule_terms now;      /* total counts from `from` */
	int64_t from;
	/* The step from which it is followed, and why: UNSAID, the run began
	 * with it; KEEP; RESTART.  One that was stretched is what it would be
	 * had the run had its length from the beginning, in this too. */
	int64_t since;
	enum spec_on_resume by;
	struct schedule_plateau plateau;        /* if now is
						   reduce_on_plateau */
};

/* Steps of a training in all; at most 2^53, what JSON can say. */
#define SCHEDULE_STEPS_MAX ((int64_t)1 << 53)
int64_t schedule_total(const struct spec_training *t, int64_t steps_per_epoch);
/* Of a run that begins: of the first phase, if there are phases. */
struct schedule_terms schedule_terms_of(const struct spec_training *t,
    int64_t steps_per_epoch);

/*
 * The phase under way (spec_phases.h), by where it began: behind `step` steps
 * in all and `epoch` whole epochs, when `of_epoch` steps of the next had been
 * made.  {0}: a run that begins, and any run of a job without phases.  It is in
 * a checkpoint's state, from which a run that goes on has it; where the state
 * of a job with phases has none, they were given on this resume, and
 * schedule_phase_find() counts them from the beginning of the training.
 *
 * Each phase has a schedule of its own, which begins with it: `from` is its
 * first step, and the total that its terms have is the step at which it is over
 * by its own length; of one that has none, the step at which the training is.
 * So is it of one that a resume has begin late, by a shorter phase before it,
 * where all lengths are in the training's own unit.
 */
struct schedule_phase {
	int index;
	int64_t step, epoch, of_epoch;
};
/* The step at which it is over, or the training; SCHEDULE_STEPS_MAX: neither
 * ends. */
int64_t schedule_phase_end(const struct spec_training *t,
    int64_t steps_per_epoch, const struct schedule_phase *at);
/* Is it over behind so many steps and epochs?  Where there is no other after
 * it, so is the training. */
bool schedule_phase_over(const struct spec_training *t,
    const struct schedule_phase *at, int64_t step, int64_t epoch);
/* Where the next will begin; there must be one. */
struct schedule_phase schedule_phase_next(const struct spec_training *t,
    int64_t steps_per_epoch, const struct schedule_phase *at);
struct schedule_phase schedule_phase_find(const struct spec_training *t,
    int64_t steps_per_epoch, int64_t step, int64_t epoch);
/* schedule_total() where this phase began so; and what the job says of its
 * rates. */
int64_t schedule_total_at(const struct spec_training *t,
    int64_t steps_per_epoch, const struct schedule_phase *at);
struct schedule_terms schedule_terms_at(const struct spec_training *t,
    int64_t steps_per_epoch, const struct schedule_phase *at);
/* {number, step, epoch, of_epoch}, number counting from 1; a new reference. */
json_t *schedule_phase_json(const struct schedule_phase *at);
enum rk_err schedule_phase_parse(const json_t *v, struct schedule_phase *out,
    struct rk_why *why) RK_MUSTCHECK;

/* The schedule of a run that begins; and of a phase that begins at a step. */
void schedule_begin(struct schedule *s, const struct schedule_terms *m);
void schedule_begin_at(struct schedule *s, const struct schedule_terms *m,
    int64_t step);
/* The schedule of a run that goes on at `step`, where the checkpoint has `old`
 * (NULL: it is from before schedules were recorded; not for keep) and its job
 * says m; and what became of the old one. */
enum schedule_change {
	SCHEDULE_SAME,                  /* it goes on */
	SCHEDULE_PEAK,                  /* it goes on with another peak */
	SCHEDULE_ANEW                   /* decided anew, by on_resume */
};
enum schedule_change schedule_go_on(struct schedule *s,
    const struct schedule *old, const struct schedule_terms *m, int64_t step);
/* Decided anew by this word, whatever the job's on_resume is. */
void schedule_decide(struct schedule *s, const struct schedule *old,
    const struct schedule_terms *m, int64_t step, enum spec_on_resume how);

/* The learning rate of the update that makes step `step` + 1, so 0 for the
 * first. */
double schedule_rate(const struct schedule *s, int64_t step);

/* The evaluation at the end of an epoch, behind `step` steps, gave this value,
 * of which more (mode_max) or less is better.  True: the rate is lower from
 * here on.  Does nothing for a schedule of another type. */
bool schedule_judge(struct schedule *s, int64_t step, const char *metric,
    bool mode_max, double value);

/* As it stands in checkpoint.json: {said: {schedule, learning_rate,
 * steps_per_epoch, total}, now: {...} (left out where it is the same), from,
 * since, by, plateau: {scale, bad, cooldown, metric, mode, best} (of
 * reduce_on_plateau; the last three from the first evaluation on)}; a new
 * reference. */
json_t *schedule_json(const struct schedule *s);
enum rk_err schedule_parse(const json_t *v, struct schedule *out,
    struct rk_why *why) RK_MUSTCHECK;

/* For people and the API: {type, learning_rate, from, steps, since, by, and of
 * reduce_on_plateau scale: what the peak is multiplied by now}.  scale: what a
 * warm start multiplies every rate with (1 without one); learning_rate is the
 * peak that the run has, scaled by that alone. */
json_t *schedule_look(const struct schedule *s, double scale);
/* "cosine over 1,200 steps from step 0, peak 0.001", scaled, too; the caller
 * frees. */
char *schedule_text(const struct schedule *s, double scale);

/*
 * What a person may not have meant, a sentence each: a warm-up, step_size,
 * milestone or length that is longer than the run.  None of it is an error:
 * `steps` may be cut on purpose.  scale: of the rates that a sentence tells.
 */
typedef void schedule_remark_fn(void *ctx, const char *sentence);
void schedule_remarks(const struct schedule *s, double scale,
    schedule_remark_fn *fn, void *ctx);

/*
 * A request to go on at `step` with other terms than those of `old`.  It is
 * refused where the rate of the next step would be more than SCHEDULE_LEAP
 * times what the old schedule has there, unless the request itself says a
 * learning rate or on_resume; and where it changes the schedule while on_resume
 * is keep, which would not use it.  Of a training in phases it is the phase
 * under way that is judged: a list of phases, which is given as a whole, says a
 * learning rate where that of this phase is another than before.
 */
#define SCHEDULE_LEAP 1.5
struct schedule_request {
	const struct schedule *old;
	struct schedule_terms terms;    /* with the request */
	int64_t step;                   /* of the checkpoint */
	double scale;                   /* of a warm start; all rates times
					   it */
	const json_t *changed;          /* {path: [old, new]} of the job */
	bool says_rate, says_on_resume;
	int phase;                      /* its number, 0: no phases; and does */
	bool own_rate, own_schedule;    /* ... it say these for itself? */
};
/* With terms, old and changed: the phase under way, from 0, of the job as it
 * will be; and does its list of phases say a rate or on_resume? */
void schedule_ask_phase(struct schedule_request *q,
    const struct spec_training *t, int k);
/* RK_EINVAL with a fault at the path that makes it leap.  The rates of the next
 * step, with and without the request, are set in any case; NULL: not wanted. */
enum rk_err schedule_check(const struct schedule_request *q, double *was,
    double *is, struct rk_why *why) RK_MUSTCHECK;

/* --- parts of the formulas ------------------------------------------------ */

/* The formula at t = step, without from and end. */
double schedule_lr_at(const struct schedule_terms *m, int64_t step);
double schedule_in_steps(int64_t n, bool epochs, int64_t steps_per_epoch);
double schedule_warmup(const struct schedule_terms *m);         /* W */
double schedule_decay(const struct schedule_terms *m);          /* L */
bool schedule_decays(const struct spec_schedule *s);    /* it has an L */

#endif
