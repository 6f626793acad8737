/*
 * phases - the phase of the training that is under way (spec_phases.h), and the
 * change to the next.
 *
 * r->phase says which it is and where it began; the network and the optimiser's
 * spans are of its mask.  A change is between two steps, behind the evaluation
 * of an epoch that ends there and behind the checkpoint that is due there,
 * which is of the phase that is over: a run that goes on from it makes the
 * change first.  At a change
 *
 *	spans.c     what each parameter has had of updates is counted to here;
 *	            what thaws counts from here
 *	nn_retrain  the network's programs are made anew in the memory that is
 *	            there; parameters, buffers and their places stay.  Whoever
 *	            keeps what nn said of its programs (features, digest,
 *	            instructions) asks again behind phases_turn()
 *	rate.c      the next schedule begins
 *
 * Who needs the mask asks phases_train(), which knows jobs without phases, too:
 * then it is what training.parameters says.
 */
#ifndef TRAIN_PHASES_H
#define TRAIN_PHASES_H

#include "run.h"

/* Is a parameter of this name trained in the phase under way? */
bool phases_train(const struct run *r, const char *name);
/* Is it the last one?  True of a job without phases. */
bool phases_last(const struct run *r);
/* Is it over, behind the steps that have been made? */
bool phases_over(const struct run *r);

/* Before there is a network, with steps_per_epoch: the phase that is under way
 * in checkpoint i, or the first (NULL).  False: it is none of the job's. */
bool phases_settle(struct run *r, const struct ckpt_info *i);
/* With a network: does each pattern fit something that can be trained? */
bool phases_check(struct run *r);
/* Factors of the training that no phase has a use for, a sentence each. */
void phases_remarks(const struct run *r, remark_fn *fn, void *ctx);
/* Say which phase the run begins in, or goes on in. */
void phases_tell(struct run *r, bool anew);
/* Between two steps: begin the next phase if this one is over. */
bool phases_turn(struct run *r);

/* {number, ...} of a checkpoint's state, or NULL without phases; its number
 * into a line of metrics; and all of them for a summary, where first is the
 * schedule of a run that begins: new references. */
json_t *phases_state(const struct run *r);
void phases_put(const struct run *r, json_t *m);
json_t *phases_json(const struct run *r);
/* Two lines for each, for people; the caller frees. */
char *phases_text(const struct run *r);

/* Steps to go, each as dear as one of this phase: costs by the operations of
 * a step. */
double phases_left(const struct run *r);

#endif
