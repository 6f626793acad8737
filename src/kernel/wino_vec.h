/* wino_vec - what wino_tiles.c and wino_windows.c share: vectors of AVX2. */
#ifndef KERNEL_WINO_VEC_H
#define KERNEL_WINO_VEC_H

#include <string.h>

#include "twice.h"
#include "wino.h"

#define LANES 8
#define LINE  16                        /* floats of a cache line */
#define SIDE  6                         /* of a tile of the input */
#define OUT   4                         /* of one of the output */

typedef float vec __attribute__((vector_size(4 * LANES)));

#define HELP FAST static inline __attribute__((always_inline))
#define EACH _Pragma("GCC unroll 6")    /* loops over registers */

HELP vec
load(const float *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

HELP void
store(float *p, vec v)
{
	memcpy(p, &v, sizeof(v));
}

/* p (+)= v */
HELP void
put(float *p, vec v, bool add)
{
	store(p, add ? load(p) + v : v);
}

/* Where row r and column c of the first matrix is. */
static inline float *
element(const struct wino_matrices *m, int64_t r, int64_t c)
{
	return m->at + c / m->width * m->panel + r * m->width + c % m->width;
}

#endif
