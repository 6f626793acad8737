/*
 * zip_out - a zip archive of stored members, written from front to back
 * (APPNOTE 6.3): sizes are known beforehand, checksums come behind the bytes.
 *
 *	zip_out_member(&z, "archive/data/0", n, 64);  bytes to z.f;
 *	zip_out_after(&z, crc);  ...  zip_out_directory(&z);
 */
#ifndef REKINDLE_FORMAT_ZIP_OUT_H
#define REKINDLE_FORMAT_ZIP_OUT_H

#include "out.h"

struct zip_out_member;

struct zip_out {
	struct out_file *f;
	struct zip_out_member *v;
	size_t n, room;
};

/* The header of a member of `size` bytes, which begin at a multiple of `align`
 * (a power of two, at most 64). */
enum rk_err zip_out_member(struct zip_out *z, const char *name, uint64_t size,
    size_t align) RK_MUSTCHECK;
/* After its bytes. */
enum rk_err zip_out_after(struct zip_out *z, uint32_t crc) RK_MUSTCHECK;
/* A whole member in memory. */
enum rk_err zip_out_text(struct zip_out *z, const char *name, const void *p,
    size_t n, size_t align) RK_MUSTCHECK;
/* The end of the archive. */
enum rk_err zip_out_directory(struct zip_out *z) RK_MUSTCHECK;
void zip_out_fini(struct zip_out *z);

#endif
