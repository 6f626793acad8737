/*
 * A zip archive, see zip_out.h.  A member is
 *
 *	local header, name, extra: [zip64 sizes], padding | bytes | descriptor
 *
 * with bit 3 of the flags: its checksum and sizes are in the descriptor and in
 * the directory.  Sizes and places that do not fit in 32 bits are in the extra
 * field 1.  Padding is an extra field of PyTorch's id, so that its own archives
 * and ours look alike.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "zip_out.h"

#define FLAGS         0x0808u           /* descriptor behind, names of UTF-8 */
#define VERSION       20u
#define VERSION_64    45u
#define DATE          0x0021u           /* 1980-01-01: no time goes in */
#define PAD_ID        0x4246u           /* "FB" */
#define LOCAL_BYTES   30
#define WIDE          UINT32_MAX

struct zip_out_member {
	char *name;
	uint64_t size, offset;
	uint32_t crc;
};

/* Is a number one of those that the extra field 1 has? */
static bool
wide(uint64_t v)
{
	return v >= WIDE;
}

static uint32_t
narrow(uint64_t v)
{
	return wide(v) ? WIDE : (uint32_t)v;
}

static struct zip_out_member *
add(struct zip_out *z, const char *name, uint64_t size)
{
	if (z->n == z->room) {
		z->room = z->room == 0 ? 64 : 2 * z->room;
		z->v = xrealloc(z->v, z->room * sizeof(*z->v));
	}
	struct zip_out_member *m = &z->v[z->n++];
	*m = (struct zip_out_member){ .name = xstrdup(name), .size = size,
	    .offset = z->f->at };
	return m;
}

/* What both headers have from the flags to the sizes. */
static void
put_common(struct strbuf *b, const struct zip_out_member *m, bool local)
{
	out_le16(b, FLAGS);
	out_le16(b, 0);                         /* stored */
	out_le16(b, 0);                         /* midnight */
	out_le16(b, DATE);
	out_le32(b, local ? 0 : m->crc);
	/* The local sizes are 0 but where the extra field is to be looked
	 * at. */
	const uint32_t size = local && !wide(m->size) ? 0 : narrow(m->size);
	out_le32(b, size);
	out_le32(b, size);
	out_le16(b, (unsigned)strlen(m->name));
}

enum rk_err
zip_out_member(struct zip_out *z, const char *name, uint64_t size,
    size_t align)
{
	static const char fill[64] = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ"
	    "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
	const struct zip_out_member *m = add(z, name, size);
	const size_t sizes = wide(size) ? 20 : 0;
	const size_t before = LOCAL_BYTES + strlen(name) + sizes + 4;
	const size_t pad = (align - (m->offset + before) % align) % align;
	struct strbuf b = {0};

	must(align > 0 && align <= 64 && strlen(name) <= UINT16_MAX);
	sb_add(&b, "PK\3\4", 4);
	out_le16(&b, wide(size) ? VERSION_64 : VERSION);
	put_common(&b, m, true);
	out_le16(&b, (unsigned)(sizes + 4 + pad));
	sb_adds(&b, name);
	if (sizes > 0) {
		out_le16(&b, 1);
		out_le16(&b, 16);
		out_le64(&b, size);
		out_le64(&b, size);
	}
	out_le16(&b, PAD_ID);
	out_le16(&b, (unsigned)pad);
	sb_add(&b, fill, pad);
	enum rk_err rc = out_flush(z->f, &b);
	sb_fini(&b);
	return rc;
}

enum rk_err
zip_out_after(struct zip_out *z, uint32_t crc)
{
	struct zip_out_member *m = &z->v[z->n - 1];
	struct strbuf b = {0};

	m->crc = crc;
	sb_add(&b, "PK\7\10", 4);
	out_le32(&b, crc);
	for (int i = 0; i < 2; i++) {
		if (wide(m->size))
			out_le64(&b, m->size);
		else
			out_le32(&b, (uint32_t)m->size);
	}
	enum rk_err rc = out_flush(z->f, &b);
	sb_fini(&b);
	return rc;
}

enum rk_err
zip_out_text(struct zip_out *z, const char *name, const void *p, size_t n,
    size_t align)
{
	enum rk_err rc = zip_out_member(z, name, n, align);

	if (rc == RK_OK)
		rc = out_put(z->f, p, n);
	must(n <= UINT32_MAX);
	return rc == RK_OK ? zip_out_after(z, (uint32_t)crc32(crc32(0, NULL,
	    0), p, (uInt)n)) : rc;
}

/* The directory's entry of a member. */
static void
put_entry(struct strbuf *b, const struct zip_out_member *m)
{
	const unsigned many = (wide(m->size) ? 16u : 0u) +
	    (wide(m->offset) ? 8u : 0u);
	const unsigned version = many > 0 ? VERSION_64 : VERSION;

	sb_add(b, "PK\1\2", 4);
	out_le16(b, version);
	out_le16(b, version);
	put_common(b, m, false);
	out_le16(b, many > 0 ? many + 4 : 0);
	out_le16(b, 0);                         /* no comment */
	out_le16(b, 0);                         /* the first disk */
	out_le16(b, 0);
	out_le32(b, 0);                         /* attributes */
	out_le32(b, narrow(m->offset));
	sb_adds(b, m->name);
	if (many > 0) {
		out_le16(b, 1);
		out_le16(b, many);
	}
	if (wide(m->size)) {
		out_le64(b, m->size);
		out_le64(b, m->size);
	}
	if (wide(m->offset))
		out_le64(b, m->offset);
}

/* The end of 64 bits and where it is, for who needs it. */
static void
put_end64(struct strbuf *b, const struct zip_out *z, uint64_t at,
    uint64_t bytes)
{
	sb_add(b, "PK\6\6", 4);
	out_le64(b, 44);                        /* bytes that follow */
	out_le16(b, VERSION_64);
	out_le16(b, VERSION_64);
	out_le32(b, 0);
	out_le32(b, 0);
	out_le64(b, z->n);
	out_le64(b, z->n);
	out_le64(b, bytes);
	out_le64(b, at);
	sb_add(b, "PK\6\7", 4);
	out_le32(b, 0);
	out_le64(b, at + bytes);
	out_le32(b, 1);
}

enum rk_err
zip_out_directory(struct zip_out *z)
{
	struct strbuf b = {0};
	const uint64_t at = z->f->at;

	for (size_t i = 0; i < z->n; i++)
		put_entry(&b, &z->v[i]);
	const uint64_t bytes = b.len;
	const unsigned members = (unsigned)RK_MIN(z->n, (size_t)UINT16_MAX);
	if (members == UINT16_MAX || wide(at) || wide(bytes))
		put_end64(&b, z, at, bytes);
	sb_add(&b, "PK\5\6", 4);
	out_le32(&b, 0);
	out_le16(&b, members);
	out_le16(&b, members);
	out_le32(&b, narrow(bytes));
	out_le32(&b, narrow(at));
	out_le16(&b, 0);
	enum rk_err rc = out_flush(z->f, &b);
	sb_fini(&b);
	return rc;
}

void
zip_out_fini(struct zip_out *z)
{
	for (size_t i = 0; i < z->n; i++)
		free(z->v[i].name);
	free(z->v);
	*z = (struct zip_out){ 0 };
}
