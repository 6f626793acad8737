/*
 * format - files of tensors, of arrays and of files: what their bytes mean.
 *
 *	tensors   safetensors to a tensor set, and back
 *	source    the bytes of a file, plain or gzip, from front to back
 *	npy, npz  NumPy's arrays
 *	tar       the files in an archive, read where they lie
 *	weights   what PyTorch, Paddle and others save: format_weights.h
 *
 * All that is read here somebody else wrote: nothing is allocated on a header's
 * word that the file's size does not bear out, and what is refused is refused
 * with a sentence.  Functions may be called from any thread; an object is used
 * by one at a time unless its words say more.
 *
 * safetensors: https://github.com/huggingface/safetensors (README, "Format");
 * u64 LE header length N, N bytes of JSON, then the bytes of the tensors.
 * Read: every rule of the reference (header at most 100 MB, UTF-8, no holes, no
 * overlap, sizes equal to shape times type, file ends where the last tensor
 * does), and stricter: a key that occurs twice is refused, also where both have
 * the same range, and so are names that are empty, over 512 bytes or with
 * control characters, more than 8 dimensions, and more than a million tensors.
 * Whitespace round the header is accepted, and "__metadata__": null for none.
 */
#ifndef REKINDLE_FORMAT_H
#define REKINDLE_FORMAT_H

#include "rekindle/json.h"
#include "rekindle/tensor.h"

/* --- tensors -------------------------------------------------------------- */

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
 * once for the digests and once for the disk; where data lie contiguous and
 * page-aligned in memory, they go to the disk past the page cache (O_DIRECT, if
 * the file system can), which costs a training run next to it less.  The data
 * begin at byte 4096 or a multiple.  RK_ENOSPC (also over the file size limit),
 * RK_EROFS, RK_EIO: fd has something or nothing, and the caller removes it.  fd
 * must not be open for appending.
 */
enum rk_err format_write(int fd, const struct tensor_set *s,
    char *sha256, char *xxh128, uint64_t *size) RK_MUSTCHECK;

/* The same digests and size, of what format_write() would write. */
void format_digests(const struct tensor_set *s, char *sha256, char *xxh128,
    uint64_t *size);

/* format_write to path: temporary file, fsync, rename, directory fsync. */
enum rk_err format_save(const char *path, const struct tensor_set *s)
    RK_MUSTCHECK;

/* --- bytes, plain or gzip ------------------------------------------------- */

/*
 * The bytes of a file, of memory, or of a part of a file, from front to back,
 * unpacked where they are gzip (RFC 1952, told by its first two bytes; several
 * members in a row are one stream).  The owner sees `what`, `size` and
 * `packed`; the rest is source.c's.  format_source_close() is due after an open
 * in any case.
 */
struct format_source {
	const char *what;               /* names it in messages; borrowed */
	uint64_t size;                  /* as it lies in the file or memory */
	bool packed;                    /* more bytes may come out of it */

	int fd;                         /* -1: memory */
	uint64_t at, left;              /* of fd: the next byte, and how many */
	uint8_t *chunk;                 /* what was last read from fd */
	const uint8_t *next;            /* bytes read and not yet used ... */
	size_t have;                    /* ... so many */
	struct format_inflate *z;       /* what unpacks, or NULL */
	char *own_what;                 /* what `what` is, of a part; or NULL */
};

/* A refusal names the file and is in why, for every error. */
enum rk_err format_source_open(struct format_source *s, const char *path,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err format_source_open_mem(struct format_source *s, const void *p,
    size_t n, const char *what, struct rk_why *why) RK_MUSTCHECK;
void format_source_close(struct format_source *s);

/* The most bytes that can come out of it: its size, or what deflate can make
 * of that. */
uint64_t format_source_most(const struct format_source *s);
/* Do its bytes lie in a file as they come out?  Then fd is a descriptor that
 * the source closes, and offset is where the next byte is. */
bool format_source_place(const struct format_source *s, int *fd,
    uint64_t *offset);

/* Fill dst with want bytes; *got is less only when the source ends there. */
enum rk_err format_source_read(struct format_source *s, void *dst,
    size_t want, size_t *got, struct rk_why *why) RK_MUSTCHECK;
/* Pass over bytes; *passed is less only when the source ends there.  Of plain
 * bytes none is read. */
enum rk_err format_source_pass(struct format_source *s, uint64_t want,
    uint64_t *passed, struct rk_why *why) RK_MUSTCHECK;
/* Refuse if anything follows; checks the checksum that the packed form has. */
enum rk_err format_source_end(struct format_source *s, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * All that comes out of a file of gzip (or of plain bytes) into fd, from there
 * on; at most `most` bytes: RK_ELIMIT, with a sentence.  RK_ENOSPC, RK_EIO: the
 * disk.  Nothing is synced; after a failure the caller removes what there is.
 */
enum rk_err format_gunzip(const char *path, int fd, uint64_t most,
    uint64_t *size, struct rk_why *why) RK_MUSTCHECK;

/* --- npy and npz ---------------------------------------------------------- */

/*
 * npy: an array of NumPy, format 1.0 to 3.0
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
 * "\x93NUMPY", two bytes of version, the header's length in 2 bytes (1.0) or
 * 4, little-endian; the header, a dict of Python as text, {'descr': '<f4',
 * 'fortran_order': False, 'shape': (2, 3), }; the elements.
 *
 * Taken are the types b1, u1 to u8, i1 to i8, f2, f4, f8, of either byte order,
 * and headers of at most FORMAT_NPY_HEADER bytes.  Others are refused by their
 * name: complex numbers, text, dates, records, and objects, which are pickles.
 * The dict has these three keys, in any order, once each.
 *
 * npz: a zip archive (APPNOTE 6.3; with its central directory at the end, also
 * in its form of 64 bits) whose member NAME.npy is the array NAME, stored or
 * deflated.  Refused: members that are encrypted, of another method, of several
 * disks, whose two headers differ or that lie outside the file, and two of the
 * same name.  At most FORMAT_NPZ_MEMBERS members.
 */
#define FORMAT_NPY_DIMS    8
#define FORMAT_NPY_HEADER  (1u << 16)
#define FORMAT_NPZ_MEMBERS (1u << 16)

struct format_npy {
	enum dtype dtype;
	bool big;                       /* most significant byte first */
	bool fortran;                   /* the first index runs fastest; never
	                                   set where that is the same order */
	int ndim;                       /* 0: one number */
	uint64_t d[FORMAT_NPY_DIMS];
	size_t size;                    /* of an element in bytes */
	uint64_t elements;              /* elements * size fits */
};

/* The header at the source's beginning; the elements come next.  It is
 * checked that so many can come. */
enum rk_err format_npy_head(struct format_source *in, struct format_npy *out,
    struct rk_why *why) RK_MUSTCHECK;
/* "60000 x 28 x 28 of u1"; out holds FORMAT_NPY_TEXT bytes. */
#define FORMAT_NPY_TEXT 224
char *format_npy_text(char *out, const struct format_npy *a);

/*
 * n elements as they lie in the file (anywhere in memory) as floats, the
 * nearest where there is no such float.  The number of the first that is not
 * finite as one; n: all are.  Or as whole numbers from 0 to below `limit`, of
 * which dtype must be (format_npy_is_whole); the number of the first that is
 * not; n.
 */
size_t format_npy_floats(const struct format_npy *a, const void *raw, size_t n,
    float *out);
size_t format_npy_ids(const struct format_npy *a, const void *raw, size_t n,
    int64_t limit, int32_t *out);
bool format_npy_is_whole(const struct format_npy *a);
/* Element k alone, as a person would write it. */
#define FORMAT_NPY_NUMBER 32
char *format_npy_number(char out[FORMAT_NPY_NUMBER],
    const struct format_npy *a, const void *raw, size_t k);

/* The source of the array `name` in an npz: its npy.  RK_EINVAL where there is
 * none; why then says which there are. */
enum rk_err format_npz_open(struct format_source *s, const char *path,
    const char *name, struct rk_why *why) RK_MUSTCHECK;
enum rk_err format_npz_open_mem(struct format_source *s, const void *p,
    size_t n, const char *what, const char *name,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Writing a matrix of 32-bit floats: npy 1.0, '<f4', C order, row by row.  The
 * file is there whole after format_npy_end(), or what was there before is.  A
 * failure of the world is logged; format_npy_drop() is due in any case, fine
 * on {.fd = -1}.
 */
struct format_npy_out {
	int fd;                         /* -1: none */
	const char *path;               /* borrowed */
	char *dir, *tmp;                /* tmp: a name in dir, until the end */
	struct rk_sha256 *sha;
	int64_t columns;
	uint64_t left;                  /* numbers that are to come */
};
enum rk_err format_npy_begin(struct format_npy_out *n, const char *path,
    int64_t rows, int64_t columns) RK_MUSTCHECK;
enum rk_err format_npy_add(struct format_npy_out *n, const float *p,
    int64_t rows) RK_MUSTCHECK;
/* After all rows: synced and renamed into place, with the file's digest. */
enum rk_err format_npy_end(struct format_npy_out *n, char hex[RK_SHA256_HEX])
    RK_MUSTCHECK;
void format_npy_drop(struct format_npy_out *n);

/* --- tar ------------------------------------------------------------------ */

/*
 * The regular files of a tar, by an index of where their bytes lie: ustar, pax
 * (POSIX.1-2017, pax), the long names and large sizes of GNU tar, and the
 * headers of before both.  Opening reads each header and none of the files.
 *
 *	paths       relative, without "." and empty parts.  One that is
 *	            absolute, has "..", a NUL or more than FORMAT_TAR_PATH bytes
 *	            is refused, and the archive with it
 *	folders     are passed over: files have them in their paths
 *	twice       of two files of one path the later one is meant, as when it
 *	            is unpacked; `replaced` counts
 *	links       a hard link to a file that came before is that file again;
 *	            other hard links and all symbolic ones are left out, and
 *	            counted in `links`
 *	others      devices, pipes and what no standard names are left out, and
 *	            counted in `others`
 *	sparse      files with holes are refused: their bytes do not lie there
 *	checksums   of headers are checked
 *	the end     a block of zeros; an archive without it is cut off, and
 *	            refused.  What is behind it is not looked at
 *	pax         path, linkpath and size count; other keys do not matter, but
 *	            those of sparse files.  A header of at most FORMAT_TAR_PAX
 *		    bytes
 *
 * A gzipped tar has no places and is refused here: format_gunzip() it first.
 */
#define FORMAT_TAR_PATH   4096
#define FORMAT_TAR_PAX    ((size_t)1 << 20)
#define FORMAT_TAR_FILES  ((size_t)1 << 24)
#define FORMAT_TAR_NAMES  ((size_t)1 << 30)     /* bytes of all paths */

struct format_tar_file {
	const char *path;               /* the tar's */
	uint64_t offset, size;          /* of its bytes in the archive */
};
struct format_tar {
	const struct format_tar_file *files;    /* by their paths' bytes */
	size_t n;
	uint64_t replaced, links, others;
	uint64_t bytes;                 /* memory that the index takes */
};

/* On RK_OK *out is the caller's (format_tar_free; NULL is fine).  An archive of
 * no file is one.  Errors leave a sentence that begins with the path. */
enum rk_err format_tar_open(const char *path, struct format_tar **out,
    struct rk_why *why) RK_MUSTCHECK;
/* The same of memory that the caller keeps. */
enum rk_err format_tar_parse(const void *p, size_t n, const char *what,
    struct format_tar **out, struct rk_why *why) RK_MUSTCHECK;
void format_tar_free(struct format_tar *t);
/* The file of this path, or -1. */
int64_t format_tar_find(const struct format_tar *t, const char *path);
/*
 * n bytes of file i from its byte `from` on; they must be its own.  Any thread,
 * several at once, as long as the tar lives.  RK_ECORRUPT: the archive has been
 * cut since it was opened; RK_EIO.  The sentence begins with the file's path.
 */
enum rk_err format_tar_read(const struct format_tar *t, size_t i,
    uint64_t from, void *dst, size_t n, struct rk_why *why) RK_MUSTCHECK;

/*
 * "./a//b/./c" to "a/b/c", in place.  The path is inside the folder or the
 * archive that it is relative to unless it is absolute or has ".." in it; then
 * it may have been changed in part.
 */
enum format_path { FORMAT_PATH_INSIDE, FORMAT_PATH_ABSOLUTE, FORMAT_PATH_LEAVES };
enum format_path format_clean_path(char *path);

#endif
