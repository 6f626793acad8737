/* A zip archive being made, with what a test wants wrong in it. */
#ifndef FORMAT_ZIP_TEST_H
#define FORMAT_ZIP_TEST_H

#include <zlib.h>

#include "impl.h"
#include "t.h"

struct zip_test {
	struct strbuf b, dir;
	unsigned members;
	/* Of the next member: */
	bool deflate;
	unsigned flags;
	uint32_t crc_off;               /* added to the checksum */
	int64_t size_off;               /* added to the size */
	int64_t at_off;                 /* added to where it is */
};

static void
zip_le(struct strbuf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++, v >>= 8)
		sb_addc(b, (char)(v & 0xff));
}

/* Bare deflate. */
static struct strbuf
zip_pack(const void *p, size_t n)
{
	struct strbuf b = {0};
	z_stream z = {0};
	char *out = malloc(n + 1024);

	t_check(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, 0) == Z_OK);
	z.next_in = (z_const Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)n + 1024;
	t_check(deflate(&z, Z_FINISH) == Z_STREAM_END);
	sb_add(&b, out, z.total_out);
	deflateEnd(&z);
	free(out);
	return b;
}

static void
zip_put(struct zip_test *z, const char *name, const void *p, size_t n)
{
	struct strbuf data = {0};
	const size_t at = z->b.len, len = strlen(name);
	const uint64_t size = (uint64_t)((int64_t)n + z->size_off);
	const uint32_t crc = (uint32_t)crc32(0, p, (uInt)n) + z->crc_off;

	if (z->deflate)
		data = zip_pack(p, n);
	else
		sb_add(&data, p, n);
	zip_le(&z->b, 0x04034b50u, 4);
	zip_le(&z->b, 0, 4);
	zip_le(&z->b, z->deflate ? 8 : 0, 2);
	zip_le(&z->b, 0, 16);           /* sizes are in the directory */
	zip_le(&z->b, len, 4);
	sb_adds(&z->b, name);
	sb_add(&z->b, data.s, data.len);
	zip_le(&z->dir, 0x02014b50u, 4);
	zip_le(&z->dir, 0, 4);
	zip_le(&z->dir, z->flags, 2);
	zip_le(&z->dir, z->deflate ? 8 : 0, 2);
	zip_le(&z->dir, 0, 4);
	zip_le(&z->dir, crc, 4);
	zip_le(&z->dir, data.len + (z->deflate ? 0 : (uint64_t)z->size_off), 4);
	zip_le(&z->dir, size, 4);
	zip_le(&z->dir, len, 4);
	zip_le(&z->dir, 0, 10);
	zip_le(&z->dir, (uint64_t)((int64_t)at + z->at_off), 4);
	sb_adds(&z->dir, name);
	z->members++;
	sb_fini(&data);
}

/* The end; what comes back is the archive, exactly sized for ASan. */
static uint8_t *
zip_end(struct zip_test *z, size_t *n)
{
	const size_t at = z->b.len;

	sb_add(&z->b, z->dir.s, z->dir.len);
	zip_le(&z->b, 0x06054b50u, 4);
	zip_le(&z->b, 0, 4);
	zip_le(&z->b, z->members, 2);
	zip_le(&z->b, z->members, 2);
	zip_le(&z->b, z->dir.len, 4);
	zip_le(&z->b, at, 4);
	zip_le(&z->b, 0, 2);
	*n = z->b.len;
	uint8_t *p = malloc(*n);
	memcpy(p, z->b.s, *n);
	sb_fini(&z->b);
	sb_fini(&z->dir);
	*z = (struct zip_test){0};
	return p;
}

#endif
