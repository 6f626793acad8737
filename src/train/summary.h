/* summary - --summary and --plan print their JSON on standard output; nothing
 * is written to the run directory. */
#ifndef TRAIN_SUMMARY_H
#define TRAIN_SUMMARY_H

#include "run.h"

bool summary_print(struct run *r);

#endif
