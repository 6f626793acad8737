/*
 * spec_phases - a training in phases: parts of the network that are trained for
 * a time, others that rest; and rates by the names of parameters.
 *
 *	training:
 *	  epochs: 20
 *	  phases:
 *	    - {epochs: 3, train: ["fc.*"]}
 *	    - {train: ["*"], learning_rate_scale: 0.1, schedule: cosine}
 *	  learning_rates: {"layer1.*": 0.1, "fc.*": 1}
 *
 * Phases follow one another.  In each the parameters whose names fit a pattern
 * of `train` (struct spec_group says what a pattern is; one without * and ? may
 * be the name of a layer, or of several up to a dot) are trained, but for
 * those of a group of training.parameters that is not trainable; all others
 * have no gradient, no update and no decay, and count for no norm of the
 * gradient.  A pattern that fits no parameter, or none that may be trained, is
 * refused by the trainer, which knows the names.
 *
 * A parameter's updates are counted for itself, and what rests has none and no
 * moments: one that thaws has the bias corrections, the first momentum and the
 * moments of a first step, also where an earlier phase trained it.  A warm
 * start takes moments along for what the first phase trains.
 *
 *	train            ["*"]; a pattern, or 1 to SPEC_MAX_GROUPS of them
 *	epochs | steps   how long, 1 to 2^40, in passes over the data (what is
 *	                 left of one that has begun is the first) or in steps.
 *	                 The last phase need not say it and goes on to the end
 *	                 that training.epochs or training.steps say; where all
 *	                 say it neither is needed.  Lengths that are all in the
 *	                 training's own unit must add up to it; of others the
 *	                 shorter counts
 *	learning_rate    the peak (>0 to 1e6); that of the optimizer, or
 *	learning_rate_scale  that of the optimizer times this (>0 to 1000); 1
 *	schedule         struct spec_schedule; training.schedule.  It begins
 *	                 with the phase, with its warm-up, and its length
 *	                 follows from the phase's
 *	learning_rates   see below; goes before those of the training
 *	frozen_batch_norm  evaluation | training; what training says of it, else
 *	                 evaluation
 *	cache_features   as training.cache_features, which is what it is unless
 *	                 the phase says it
 *
 * A warm start's learning_rate_scale multiplies these rates, too.
 *
 * learning_rates: {PATTERN: factor}, at most SPEC_MAX_GROUPS, 0 to 1000: the
 * rate of a parameter is the phase's times the factor of the pattern that fits
 * it - of several the longest counts, of one length the last in the alphabet -
 * times learning_rate_scale of its group of training.parameters.  What fits no
 * pattern has 1.  A pattern that fits nothing (of a phase: nothing that it
 * trains) is refused by the trainer.
 *
 * frozen_batch_norm: how a batch norm none of whose parameters is trained goes
 * through a step of training.  evaluation: by its running statistics, which
 * stay (nn.h, evaluate_frozen); training: by those of the batch, and the
 * running ones go on.  A job without phases has the latter, as before there was
 * the field, unless training.frozen_batch_norm says otherwise.
 *
 * Evaluations and checkpoints are as without phases; so is the average of the
 * model (ema), which goes on over all of them.  early_stopping counts in the
 * last phase alone, where the count begins anew, and its best is that of all.
 * reduce_on_plateau begins anew in each.
 *
 * A resume may change phases, also how many follow; those that are over, and
 * the one under way, keep their places in the list.  Those that are over stay
 * as they were.  Of the one under way all may change: its length counts from
 * its beginning, all else from the step that is gone on from.  What is changed
 * of one to come counts from its beginning.  phases: null goes on without, with
 * all of the network.  schedule.h says how the phase under way is found again.
 */
#ifndef REKINDLE_SPEC_PHASES_H
#define REKINDLE_SPEC_PHASES_H

#include <stdbool.h>
#include <stdint.h>

#include "rekindle/json.h"

#define SPEC_MAX_PHASES 32

struct spec_schedule;
struct spec_training;

/* Factors by pattern, those that count first in front. */
struct spec_rates {
	struct spec_rate {
		char *match;
		double by;
	} *v;
	int n;
};

enum spec_frozen_norm { SPEC_NORM_UNSAID, SPEC_NORM_EVALUATION,
	SPEC_NORM_TRAINING };

/*
 * The cache of features.  Below all that is trained a network computes the same
 * for a sample in each epoch, where nothing in there is random: what it gives,
 * the features, is written to files in the run's directory when a sample is
 * first needed, and read in place of the sample from then on.  They are in no
 * checkpoint and are sent nowhere; without them, or with some, a run has the
 * same bits, only later.
 *
 * A phase may say it for itself, also false; else it has what the training
 * says.  A job that freezes nothing is refused, and so are random transforms of
 * training; a dropout in the frozen part ends what is kept below it.  A sample
 * that has changed on disk is not noticed while its features are used.  At most
 * max_bytes of both data sets are kept: features of the other samples are
 * computed each time.  It may change on a resume.
 */
#define SPEC_CACHE_BYTES ((uint64_t)16 << 30)
struct spec_cache {
	uint64_t max_bytes;     /* 0: nothing is kept */
};

struct spec_phase {
	char **train;
	int ntrain;
	int64_t epochs, steps;          /* one is 0, of the last maybe both */
	bool has_length;                /* one is said, be it a wrong one */
	double rate;                    /* `learning_rate`; 0: not said */
	double scale;                   /* `learning_rate_scale` */
	struct spec_schedule *schedule; /* NULL: the training's */
	struct spec_rates rates;
	enum spec_frozen_norm norm;     /* as it is said */
	struct spec_cache cache;        /* `cache_features`, where it */
	bool cache_said;                /* ... is said */
};

/* Does a pattern of train or learning_rates fit a parameter's name? */
bool spec_phase_fits(const char *pattern, const char *name);

/*
 * What counts in phase k, from 0; of a job without phases k is 0, and they tell
 * of the whole training.  Is a parameter of this name trained; times which
 * rate; the peak of the rates, without a warm start's scale; the schedule,
 * which is t's; and do frozen batch norms evaluate?
 */
bool spec_phase_trains(const struct spec_training *t, int k,
    const char *name);
double spec_phase_rate_of(const struct spec_training *t, int k,
    const char *name);
double spec_phase_peak(const struct spec_training *t, int k);
const struct spec_schedule *spec_phase_schedule(const struct spec_training *t,
    int k);
bool spec_phase_evaluates(const struct spec_training *t, int k);
/* Bytes of features that may be kept; 0: none are, or nothing is frozen. */
uint64_t spec_phase_cache(const struct spec_training *t, int k);
/* Epochs of the whole training; 0: it is not by epochs. */
int64_t spec_phase_epochs(const struct spec_training *t);
/* A resume where so many phases are over, with {path: [old, new]} of the job as
 * spec_override() and spec_compare() give it: RK_EINVAL with a fault for each
 * field of theirs that would change, or for a list that ends before the one
 * under way.  A list that a record has as a digest is not compared. */
enum rk_err spec_phases_stay(const json_t *changed, int past,
    struct rk_why *why) RK_MUSTCHECK;
/* Has any phase a schedule that evaluations decide? */
bool spec_phase_any_plateau(const struct spec_training *t);

#endif
