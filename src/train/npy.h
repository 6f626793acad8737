/*
 * npy - a matrix of 32-bit floats as a NumPy file, format version 1.0
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), in
 * C order, row by row.  The file is there whole after npy_end(), or what was
 * there before is.
 */
#ifndef TRAIN_NPY_H
#define TRAIN_NPY_H

#include "rekindle/base.h"

struct npy {
	int fd;                         /* -1: none */
	const char *path;               /* borrowed */
	char *dir, *tmp;                /* tmp: a name in dir, until the end */
	struct rk_sha256 *sha;
	int64_t columns;
	uint64_t left;                  /* numbers that are to come */
};

/* A failure of the world is logged; npy_drop() is due in any case, and fine on
 * {.fd = -1}. */
enum rk_err npy_begin(struct npy *n, const char *path, int64_t rows,
    int64_t columns) RK_MUSTCHECK;
enum rk_err npy_add(struct npy *n, const float *p, int64_t rows) RK_MUSTCHECK;
/* After all rows: synced and renamed into place, with the file's digest. */
enum rk_err npy_end(struct npy *n, char hex[RK_SHA256_HEX]) RK_MUSTCHECK;
void npy_drop(struct npy *n);

#endif
