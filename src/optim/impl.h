/* optim, inside: the optimiser as its files share it. */
#ifndef OPTIM_IMPL_H
#define OPTIM_IMPL_H

#include "rekindle/kernel.h"
#include "rekindle/optim.h"

#define OPTIM_TAG   0x6f707469u
#define MAX_SLOTS   3

/* Floats of a piece: with Adam 1 MiB of memory passes, enough that handing out
 * a piece costs nothing, and small networks are still shared out. */
#define PIECE       ((int64_t)64 << 10)

/* What one thread works on; no longer than PIECE, all of one span, in order. */
struct piece {
	int64_t at;
	size_t n;
	size_t span;
};

struct optim {
	unsigned tag;
	struct spec_optim spec;
	int64_t n;
	int nslots;
	const char *name[MAX_SLOTS];
	float *slot[MAX_SLOTS];
	struct optim_span *span;
	struct kernel_update *update;   /* of each span, of this step */
	size_t nspans;
	struct piece *piece;
	double *sum;                    /* two for each piece, of this call */
	size_t npieces;
};

#endif
