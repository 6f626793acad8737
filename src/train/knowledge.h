/*
 * knowledge - what a run still knows of the classes that the model of its warm
 * start knew.
 *
 * Watched are the classes that both have (class_map.h) and whose outputs were
 * taken from the model's.  Their recall on the validation data is measured
 * before the first step and by each evaluation.  Before: a sample's class is
 * the largest output among those classes, which is what the model answered;
 * outputs of new classes know nothing yet and do not count.  From then on all
 * outputs do.  With labels (binary_cross_entropy) each output is for itself
 * anyway.
 *
 * A class is forgotten while its recall has fallen by more than KNOWLEDGE_DROP
 * and there are at least KNOWLEDGE_SAMPLES samples of it.  The event
 * `forgotten` names it when that begins, the first time of a run.
 *
 * A line of metrics.jsonl of split validation has, and so has a first one, of
 * step 0 and over `start`, with the model's own loss and accuracy:
 *	knowledge: {classes, before, recall, forgotten, few,
 *	    by_class: [{class, name, samples, before, recall, forgotten}]}
 * classes: how many are watched and have samples; before, recall: the means of
 * theirs; forgotten: how many are; few: how many have fewer than
 * KNOWLEDGE_SAMPLES, so that no fall of theirs is called that; by_class: all of
 * them, or of more than KNOWLEDGE_SHOWN those that have fallen most, in the
 * order of the classes; name may be absent.  A daemon keeps it as the job's
 * progress.knowledge.
 *
 * Where it stands is in checkpoint.json (state.knowledge), so that a run that
 * goes on measures nothing again and says nothing twice.  Without validation
 * data, with training.warm_start.watch false and with more classes than
 * KNOWLEDGE_CLASSES nothing is watched.
 */
#ifndef TRAIN_KNOWLEDGE_H
#define TRAIN_KNOWLEDGE_H

#include "class_map.h"
#include "plan.h"

#define KNOWLEDGE_DROP    0.05
#define KNOWLEDGE_SAMPLES 50
#define KNOWLEDGE_CLASSES 1024
#define KNOWLEDGE_SHOWN   256

struct known_class {
	int64_t class;
	/* Samples of it, and those of them that were right. */
	int64_t before_of, before, now_of, now;
	bool forgotten, said;           /* now; some time */
};

struct knowledge {
	struct known_class *v;          /* by class */
	size_t n;
	bool measured;                  /* before the first step */
	float *answers;                 /* while that is measured: [micro,
	                                   outputs]; or NULL */
	json_t *names;                  /* of the outputs, or NULL */
};

/* The classes of which the file's head gave the outputs: true, and m is the
 * caller's; false: of none that is known. */
bool knowledge_map(const struct run *r, const struct plan *p,
    struct class_map *m);

/* Into a plan: knowledge: {watched, few, classes: [name or number, ...],
 * summary}, of the classes that both have; nothing where there are none. */
void knowledge_plan(const struct run *r, const struct plan *p, json_t *plan);

/* The weights are those of a warm start by p: from here on r->knowledge says
 * what is watched.  NULL: nothing. */
void knowledge_begin(struct run *r, const struct plan *p);
void knowledge_free(struct knowledge *k);       /* NULL is fine */

/* Is recall before the first step still to be measured?  While it is, between
 * start and take, outputs to count are knowledge_answers() (NULL: the
 * network's own) of the rows of the last forward. */
bool knowledge_waits(const struct run *r);
void knowledge_start(struct run *r);
const float *knowledge_answers(const struct run *r, int64_t rows);
void knowledge_take(struct run *r);     /* r->judge has counted */
void knowledge_stop(struct run *r);     /* it has not: another time */

/* r->judge has counted an evaluation at r->at.step. */
void knowledge_judge(struct run *r);

/* Into a metric, where there is something. */
void knowledge_put(const struct run *r, json_t *metric);
/* state.knowledge, or NULL; and back. */
json_t *knowledge_json(const struct run *r);
void knowledge_read(struct run *r, const json_t *v, struct rk_why *why);

#endif
