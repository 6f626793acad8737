/*
 * mm - what the files of the matrix product share.
 *
 *	mm.c        the face: cuts a product into tiles and hands them out
 *	mm_own.c    a tile by the micro-kernel, and packing
 *	mm_lib.c    a tile by OpenBLAS or oneDNN, and their names
 *	mm_end.c    what is done to a tile when its sums are there
 */
#ifndef KERNEL_MM_H
#define KERNEL_MM_H

#include "rekindle/kernel_mm.h"

/* Depth of a block of K at most; it decides bits. */
#define MM_DEPTH   384
/* Rows of A, columns of B that are packed for one thread at a time. */
#define MM_ROWS    144
#define MM_COLUMNS 128
/* Floats for operands that are packed once for all tiles. */
#define MM_SHARED  ((int64_t)2 << 20)

struct mm_tile {
	int64_t r, c, m, n;             /* place and size in C */
	int64_t k0, k1;                 /* of the sums, this part */
	float *C;                       /* of its first element */
	int64_t ldc;
	bool add;
};

/* One product under way; of several, what belongs to all. */
struct mm_job {
	const struct kernel_mm *p;
	enum kernel_mm_way way;
	int64_t depth;                  /* of a block of K */
	int64_t tm, tn, down, across;   /* tiles of an item */
	int64_t parts, part;            /* of K, and their length */
	int64_t k0, k1;                 /* what is packed of K, and summed */
	float *panels, *strips;         /* packed for all tiles, or NULL */
	float *sums;                    /* [parts][M,N], or NULL: one part */
};

/* The depth of all blocks of K but the last. */
int64_t kernel_mm_depth(int64_t K);

void kernel_mm_own(const struct mm_job *j, const struct mm_tile *t,
    const float *A, const float *B);
/* Floats of A and of B that are packed for a stretch of K. */
int64_t kernel_mm_strip_floats(const struct kernel_mm *p, int64_t k);
int64_t kernel_mm_panel_floats(const struct kernel_mm *p, int64_t k);
/* Whether the micro-kernel reads it where it lies rather than packed. */
bool kernel_mm_a_lies_well(const struct kernel_mm *p);
bool kernel_mm_b_lies_well(const struct kernel_mm *p);
/* Pack j->strips and j->panels, for as far as they are not NULL. */
void kernel_mm_pack(const struct mm_job *j);
/* This thread's memory for packing; made when first asked for. */
struct mm_mine {
	float *panels, *strips;
};
struct mm_mine kernel_mm_mine(void);

void kernel_mm_lib(enum kernel_mm_way way, const struct kernel_mm *p,
    const struct mm_tile *t, const float *A, const float *B);

/* scale, bias, activation and residual of m x n elements, whose first is C[r,c]
 * of the item that is `at` floats from p->C. */
bool kernel_mm_ends(const struct kernel_mm *p);
void kernel_mm_end(const struct kernel_mm *p, int64_t at, int64_t r, int64_t c,
    int64_t m, int64_t n);

#endif
