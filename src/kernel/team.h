/*
 * team - what the files of kernel share: the matrix product's set-up, which the
 * team calls, and the vector loops, which are compiled twice (see loops.inc).
 */
#ifndef KERNEL_TEAM_H
#define KERNEL_TEAM_H

#include "rekindle/kernel_mm.h"

/* Once a process, and once on each thread of the team: the libraries behind
 * the product must not start threads of their own. */
void kernel_gemm_init(void);
void kernel_gemm_thread_init(void);

/* What is behind the product: "own 1", "OpenBLAS 0.3.21", "oneDNN 2.6.3". */
const char *kernel_gemm_version(void);
/* The way of all products of this process. */
enum kernel_mm_way kernel_gemm_way(void);
/* Asked for: then oneDNN computes no convolution either. */
bool kernel_gemm_is_openblas(void);
/* Memory that products share; once a process. */
void kernel_mm_init(void);
/* A product by one way; kernel_mm() is that by kernel_gemm_way(). */
void kernel_mm_by(enum kernel_mm_way way, const struct kernel_mm *p);

/* True on a thread that is working on a piece of a job of several. */
bool kernel_inside(void);
/* True on the thread that called kernel_init(), outside of pieces. */
bool kernel_is_owner(void);

#endif
