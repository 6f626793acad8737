/*
 * convert - --convert: a file of weights as a file of another framework.
 *
 * A process of its own reads the file (inspect.h); this one has its tensors'
 * names and shapes, and asks for elements as they are written.
 */
#ifndef TRAIN_CONVERT_H
#define TRAIN_CONVERT_H

#include "run.h"

/* r->spec of --arch, or of the job file that is given; NULL without either. */
bool convert_load_spec(struct run *r);
bool convert_print(struct run *r);

#endif
