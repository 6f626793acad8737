/*
 * source - the bytes of a file or of memory, gunzipped where they are gzip,
 * read from front to back.  One thread uses a source.
 */
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H

#include <zlib.h>

#include "rekindle/base.h"

struct source {
	const char *what;               /* names it in messages */
	int fd;                         /* -1: memory */
	uint8_t *chunk;                 /* what was last read from fd */
	const uint8_t *next;            /* bytes read and not yet used ... */
	size_t have;                    /* ... so many */
	uint64_t size;                  /* of the file or memory, packed */
	bool gz;
	bool z_open;                    /* z wants inflateEnd() */
	bool z_done;                    /* the last member's end was seen */
	z_stream z;
};

/* Both look at the first bytes.  A refusal names the file and is in why, for
 * every error.  source_close() is due in any case. */
enum rk_err source_open(struct source *s, const char *path,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err source_open_mem(struct source *s, const void *p, size_t n,
    const char *what, struct rk_why *why) RK_MUSTCHECK;
void source_close(struct source *s);

/* The most bytes that can come out of it: its size, or what deflate can make
 * of that. */
uint64_t source_most(const struct source *s);

/* Fill dst with want bytes; *got is less only when the source ends there. */
enum rk_err source_read(struct source *s, void *dst, size_t want, size_t *got,
    struct rk_why *why) RK_MUSTCHECK;

/* Refuse if anything follows; checks gzip's checksum. */
enum rk_err source_end(struct source *s, struct rk_why *why) RK_MUSTCHECK;

#endif
