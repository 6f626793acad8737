/* What the parts of format share. */
#ifndef REKINDLE_FORMAT_IMPL_H
#define REKINDLE_FORMAT_IMPL_H

#include "rekindle/format.h"

#define ST_LEN_BYTES   8                /* of the header's length */
#define ST_HEADER_MAX  100000000u       /* the reference's limit */

static inline uint64_t
format_le64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* Do these bytes begin like a safetensors file that could be whole? */
bool safetensors_looks_like(const unsigned char *p, size_t n);

/* Parse a whole file; refuses with a sentence whatever is not safetensors. */
enum rk_err safetensors_parse(const unsigned char *p, size_t n,
    struct tensor_set *s, struct rk_why *why) RK_MUSTCHECK;

/* What a file that we cannot read looks like ("a zip archive"), or NULL. */
const char *format_sniff(const unsigned char *p, size_t n);
/* Refuse what is of no format of weights that we know: one sentence that says
 * what it is and what its owner can do. */
enum rk_err format_refuse(const unsigned char *p, size_t n, struct rk_why *why);

/* --- npy.c ---------------------------------------------------------------- */

/* A type of NumPy by its code without the order, "f4"; NULL: not taken. */
struct npy_kind {
	const char *code;
	enum dtype dtype;
	size_t size;
	const char *name;
};
const struct npy_kind *npy_kind_find(const void *code, size_t n);
/* What an array that is not taken holds, by the letter of its type. */
const char *npy_other_kind(char letter);

/* --- source.c ------------------------------------------------------------- */

/* A file or memory as its bytes are, gzip or not. */
enum rk_err source_open_file(struct format_source *s, const char *path,
    struct rk_why *why) RK_MUSTCHECK;
void source_open_bytes(struct format_source *s, const void *p, size_t n,
    const char *what);
/* From then on it is a member of the zip archive that it was, which must lie
 * inside. */
struct source_part {
	uint64_t offset, packed;        /* its bytes in the archive */
	uint64_t size;                  /* what comes out of them */
	uint32_t crc;
	bool deflated;                  /* else stored: packed is size */
};
enum rk_err source_narrow(struct format_source *s,
    const struct source_part *part, struct rk_why *why) RK_MUSTCHECK;
/* All that comes out of it into fd, at most `most` bytes: as
 * format_gunzip(). */
enum rk_err source_copy(struct format_source *s, int fd, uint64_t most,
    uint64_t *size, struct rk_why *why) RK_MUSTCHECK;

static inline uint32_t
format_le32(const unsigned char *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[1] << 8 | p[0];
}

static inline uint32_t
format_le16(const unsigned char *p)
{
	return (uint32_t)p[1] << 8 | p[0];
}

#endif
