/* paddle_in - what the files that read Paddle's pickles share. */
#ifndef REKINDLE_FORMAT_PADDLE_IN_H
#define REKINDLE_FORMAT_PADDLE_IN_H

#include "weights_make.h"

/* Is it a tensor: an array, or (name, array)? */
bool paddle_is_tensor(const struct pickle_value *v);

/* Is all of it an optimiser's state: a dict of accumulators, or a list of
 * such? */
bool paddle_is_state(const struct pickle_value *root);
/* Of each tensor of an optimiser, which parameter's it is and which part; and
 * of those that lie among the parameters that they are an optimiser's. */
enum rk_err paddle_roles(struct weights *w, struct rk_why *why) RK_MUSTCHECK;

#endif
