/*
 * zip - the members of a zip archive and where their bytes lie: APPNOTE.TXT
 * 6.3.
 *
 *	local header 50 4b 03 04, name, extra, the member's bytes
 *	...
 *	central directory: an entry 50 4b 01 02 for each member
 *	[zip64 end 50 4b 06 06, its locator 50 4b 06 07]
 *	end 50 4b 05 06, comment
 *
 * What counts is the central directory; the local header must have the same
 * name and method, and says where the bytes begin.
 */
#ifndef REKINDLE_FORMAT_ZIP_H
#define REKINDLE_FORMAT_ZIP_H

#include "impl.h"

struct zip {
	/* The caller's: */
	const char *what;               /* begins each refusal; NULL: nothing
	                                   does */
	const char *kind, *member;      /* "npz", "array": for refusals */
	uint64_t most;                  /* members that are taken */
	int fd;                         /* read from here where mem is NULL */
	const unsigned char *mem;
	uint64_t size;                  /* of the archive */
	struct rk_why *why;

	uint64_t at, bytes, members;    /* of the central directory */
	const unsigned char *dir;
	unsigned char *own_dir;         /* or NULL */
};

struct zip_member {
	const char *name;               /* in the directory; no NUL behind */
	size_t name_len;
	unsigned flags, method;
	uint32_t crc;
	uint64_t packed, size;
	uint64_t offset;                /* of the local header */
};

/* Find and check the directory.  zip_close() is due in any case. */
enum rk_err zip_open(struct zip *z) RK_MUSTCHECK;
void zip_close(struct zip *z);
/* The entry at *at of the directory (0 at first), and over it. */
enum rk_err zip_next(struct zip *z, uint64_t *at, struct zip_member *m)
    RK_MUSTCHECK;
/* Where its bytes are; refused are members that are encrypted, packed by
 * another method than deflate, whose headers differ, or that reach out of the
 * file.  Names in refusals are the n bytes at `shown`. */
enum rk_err zip_place(struct zip *z, const struct zip_member *m,
    const char *shown, size_t n, struct source_part *part) RK_MUSTCHECK;

#endif
