/* early - early stopping: spec.h (struct spec_early) says what it is. */
#ifndef TRAIN_EARLY_H
#define TRAIN_EARLY_H

#include "run.h"

/* An epoch has been scored: count it. */
void early_judge(struct run *r);
/* Has it been bad for as long as the job has patience?  A function of the job
 * and of the cursor alone. */
bool early_stopped(const struct run *r);
/* "val_accuracy has not been better than 0.91 (step 938) for 3 epochs"; the
 * caller frees. */
char *early_sentence(const struct run *r);
/* Behind the last step of a run that was stopped: the weights of the best epoch
 * again, if the job wants that and they are there.  False: the run fails. */
bool early_restore(struct run *r);

/* Its part of the state of a checkpoint; NULL: none.  And back. */
json_t *early_json(const struct run *r);
void early_read(struct run *r, const json_t *v, struct rk_why *why);

#endif
