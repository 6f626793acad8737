/* draw - --plot: pictures of an evaluation or of a run into a folder. */
#ifndef TRAIN_DRAW_H
#define TRAIN_DRAW_H

#include "run.h"

/* Confusion matrix and reliability into o->plot, as far as there are any. */
bool draw_evaluation(struct run *r, const struct judge *j,
    const json_t *names);
/* Those of the run's newest evaluation, and its curves; says which files. */
bool draw_print(struct run *r);

#endif
