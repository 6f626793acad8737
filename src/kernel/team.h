/*
 * team - what the files of kernel share: the matrix product's set-up, which the
 * team calls, and the vector loops, which are compiled twice (see loops.inc).
 */
#ifndef KERNEL_TEAM_H
#define KERNEL_TEAM_H

#include "rekindle/kernel.h"

/* Once a process, and once on each thread of the team: the libraries behind
 * the product must not start threads of their own. */
void kernel_gemm_init(void);
void kernel_gemm_thread_init(void);

/* The library behind the product: "oneDNN 2.6.3", "OpenBLAS 0.3.21". */
const char *kernel_gemm_version(void);
bool kernel_gemm_is_openblas(void);

/* True on a thread that is working on a piece of a job of several. */
bool kernel_inside(void);

#endif
