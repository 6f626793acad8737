/* summary - --summary and --plan print their JSON on standard output; nothing
 * is written to the run directory. */
#ifndef TRAIN_SUMMARY_H
#define TRAIN_SUMMARY_H

#include "run.h"

bool summary_print(struct run *r);
/* [12, 256]; a new reference. */
json_t *shape_json(int ndim, const int64_t *d);

#endif
