/* wino_vec - what wino_tiles.c and wino_windows.c share. */
#ifndef KERNEL_WINO_VEC_H
#define KERNEL_WINO_VEC_H

#include "vec8.h"
#include "wino.h"

#define LINE  16                        /* floats of a cache line */
#define SIDE  6                         /* of a tile of the input */
#define OUT   4                         /* of one of the output */

#define EACH _Pragma("GCC unroll 6")    /* loops over registers */

/* Where row r and column c of the first matrix is. */
static inline float *
element(const struct wino_matrices *m, int64_t r, int64_t c)
{
	return m->at + c / m->width * m->panel + r * m->width + c % m->width;
}

#endif
