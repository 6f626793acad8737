/* paddle - what the readers and the writer of Paddle's files share. */
#ifndef REKINDLE_FORMAT_PADDLE_H
#define REKINDLE_FORMAT_PADDLE_H

#include "rekindle/tensor.h"

/* Keys that paddle.save puts among the tensors. */
#define PADDLE_NAMES     "StructuredToParameterName@@"
#define PADDLE_SPLIT     "UnpackBigParamInfor@@"
#define PADDLE_SCHEDULER "LR_Scheduler"
#define PADDLE_MASTER    "master_weights"

/* The type's letters in numpy ("f4"; uint16, "u2", stands for BF16), or NULL:
 * Paddle has no such type. */
const char *paddle_numpy_code(enum dtype t);
/* The type by its number in a TensorDesc (framework.proto, VarType.Type). */
bool paddle_type_numbered(uint64_t number, enum dtype *out);
/* The word for a number that is not taken ("COMPLEX128"), or NULL. */
const char *paddle_other_type(uint64_t number);

/*
 * Is this an optimiser's variable, PARAMETER_SLOT_NUMBER?  Of
 * "linear_0.w_0_moment1_0" *of is the length of "linear_0.w_0" and *slot
 * "moment1"; what an optimiser of a name or one of higher precision puts
 * between them is left out: "linear_0.w_0_fp32_master_0_moment1_0",
 * "linear_0.w_0_adam_moment1_0".
 */
bool paddle_accumulator(const char *name, size_t *of, const char **slot);

#endif
