/* vec8 - vectors of eight floats, for AVX2, and eight of them turned round.
 * Elsewhere nobody calls what is made of them. */
#ifndef KERNEL_VEC8_H
#define KERNEL_VEC8_H

#include <string.h>

#include "twice.h"

#define LANES 8

typedef float vec __attribute__((vector_size(4 * LANES)));

#define HELP FAST static inline __attribute__((always_inline))

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

#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* r[i][j] and r[j][i] change places. */
HELP void
transpose(vec r[LANES])
{
	vec t[LANES], u[LANES];

	_Static_assert(LANES == 8, "eight rows of eight");
	for (int i = 0; i < 8; i += 2) {
		t[i] = PICK(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
		t[i + 1] = PICK(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
	}
	for (int i = 0; i < 8; i += 4)
		for (int j = 0; j < 2; j++) {
			const vec a4 = t[i + j], b4 = t[i + j + 2];
			u[i + 2 * j] = PICK(a4, b4, 0, 1, 8, 9, 4, 5, 12, 13);
			u[i + 2 * j + 1] = PICK(a4, b4, 2, 3, 10, 11, 6, 7, 14,
			    15);
		}
	for (int i = 0; i < 4; i++) {
		r[i] = PICK(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
		r[i + 4] = PICK(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
	}
}

#endif
