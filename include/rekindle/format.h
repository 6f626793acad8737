/*
 * format - files of tensors to tensor sets, and back.
 *
 * safetensors: https://github.com/huggingface/safetensors (README, "Format");
 * u64 LE header length N, N bytes of JSON, then the bytes of the tensors.
 * Read: every rule of the reference (header at most 100 MB, UTF-8, no holes, no
 * overlap, sizes equal to shape times type, file ends where the last tensor
 * does), and stricter: a key that occurs twice is refused, also where both have
 * the same range, and so are names that are empty, over 512 bytes or with
 * control characters, more than 8 dimensions, and more than a million tensors.
 * Whitespace round the header is accepted.
 */
#ifndef REKINDLE_FORMAT_H
#define REKINDLE_FORMAT_H

#include "rekindle/json.h"
#include "rekindle/tensor.h"

/*
 * Open a file of tensors; the format is told from its bytes, never from its
 * name.  On RK_OK *out is sealed and the caller's (tensor_set_free); its data
 * is mapped, not read.  RK_EINVAL: not a file we can read, or a bad one; why
 * has the sentence, without the path.  RK_ENOENT, RK_EROFS, RK_EIO: the file
 * itself.  Data may lie at any address: copy elements out, don't cast.  Who
 * cuts a file short while it is mapped gets its reader a SIGBUS; our own files
 * are only ever replaced.
 */
enum rk_err format_load(const char *path, struct tensor_set **out,
    struct rk_why *why) RK_MUSTCHECK;

/* The same out of memory that the caller keeps until the set is freed. */
enum rk_err format_parse(const void *p, size_t n, struct tensor_set **out,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Lay out a safetensors header for a set: entries and data in the set's order
 * (readers take any), contiguous, and the header padded with spaces so that
 * the data begin at a multiple of `align` (8 at least; 4096 lets a set whose
 * data already lie contiguous in memory go out by O_DIRECT).  *header (caller
 * frees) is the 8 length bytes and the JSON; `meta` pairs of the set become
 * "__metadata__".
 */
void format_header(const struct tensor_set *s, size_t align, char **header,
    size_t *len);

/*
 * Write a set to fd from its start, with the digests and the size of what was
 * written (base.h; NULL: not this digest).  Does not fsync.  Each byte is read
 * once for the digests and once for the disk; where data lie contiguous and page-aligned in memory, they go to
 * the disk past the page cache (O_DIRECT, if the file system can), which costs
 * a training run next to it less.  The data begin at byte 4096 or a multiple.
 * RK_ENOSPC (also over the file size limit), RK_EROFS, RK_EIO: fd has something
 * or nothing, and the caller removes it.  fd must not be open for appending.
 */
enum rk_err format_write(int fd, const struct tensor_set *s,
    char *sha256, char *xxh128, uint64_t *size) RK_MUSTCHECK;

/* format_write to path: temporary file, fsync, rename, directory fsync. */
enum rk_err format_save(const char *path, const struct tensor_set *s)
    RK_MUSTCHECK;

#endif
