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

#endif
