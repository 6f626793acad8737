/*
 * feature_file - features of samples on disk, by the samples' numbers.
 *
 *	header    4096 bytes: FEATURE_MAGIC, how many samples and floats of one
 *	          there are, the key, a hash of these; zeros
 *	record i  at 4096 + i (16 + 4 floats): check, content, floats
 *
 * all little-endian.  A record counts only where `check` is a hash of the key,
 * of i and of all behind it: one that was never written (the file has holes),
 * was written in part when the power went, or has changed since is not there.
 * So nothing is synced, and any part of a file is worth as much as it holds.
 *
 * content is what the caller says of the sample that the features were made of;
 * another content finds nothing.
 *
 * A file is one process's.  feature_file_get() may be called by several threads
 * at once.
 */
#ifndef TRAIN_FEATURE_FILE_H
#define TRAIN_FEATURE_FILE_H

#include "rekindle/base.h"

#define FEATURE_MAGIC  "rekindle features 1\n"
#define FEATURE_HEADER ((uint64_t)4096)

struct feature_key {
	char hex[RK_SHA256_HEX];        /* of all that makes features but the
					   sample */
	int64_t samples, floats;        /* both at least 1 */
};

struct feature_file;

/* Bytes of a record; 0: they cannot be counted. */
uint64_t feature_record_bytes(int64_t floats);

/*
 * Open the file NAME in dir_fd, or make it; one of another key is emptied.
 * RK_OK: *fp is the caller's.  RK_EINVAL: it is no regular file.  RK_EIO,
 * RK_ENOSPC, ...: there is none, and why has a sentence.
 */
enum rk_err feature_file_open(struct feature_file **fp, int dir_fd,
    const char *name, const struct feature_key *k, struct rk_why *why)
    RK_MUSTCHECK;
void feature_file_close(struct feature_file *f);        /* NULL is fine */

/* The features of sample i into to.  False: they are not there, and `to` has
 * anything in it. */
bool feature_file_get(const struct feature_file *f, int64_t i,
    uint64_t content, float *to);
/* RK_ENOSPC, RK_EIO: they are not there, nor what was. */
enum rk_err feature_file_put(struct feature_file *f, int64_t i,
    uint64_t content, const float *from) RK_MUSTCHECK;

#endif
