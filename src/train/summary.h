/* summary - --summary, --plan, --evaluate and --predict print their answer on
 * standard output; nothing is written to the run directory. */
#ifndef TRAIN_SUMMARY_H
#define TRAIN_SUMMARY_H

#include "run.h"

bool summary_print(struct run *r);
/* The same of a run that has been measured. */
bool summary_say(struct run *r, const struct run_memory *m);
bool evaluate_print(struct run *r);             /* evaluate.c */
bool check_print(struct run *r);                /* check.c */
bool samples_print(struct run *r);              /* samples.c */
bool predict_print(struct run *r);              /* predict.c */
bool suggest_print(struct run *r);              /* suggest.c */

/* The data, as far as they are here and are needed, and the network without
 * memory for its values. */
bool summary_open(struct run *r, struct run_memory *m);
/* [12, 256]; a new reference. */
json_t *shape_json(int ndim, const int64_t *d);

#endif
