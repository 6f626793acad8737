/* An npz as weights: each array a tensor, where it lies in the archive. */
#include <string.h>

#include "weights_make.h"
#include "zip.h"

#define SUFFIX ".npy"

static bool
ends_with(const struct zip_member *m, const char *end)
{
	const size_t n = strlen(end);

	return m->name_len >= n &&
	    memcmp(m->name + m->name_len - n, end, n) == 0;
}

/* Does each file of the zip end in .npy, and is there one? */
bool
weights_looks_npz(const uint8_t *p, size_t n)
{
	struct zip z = { .kind = "npz", .member = "array", .mem = p, .fd = -1,
		.size = n, .most = FORMAT_NPZ_MEMBERS };
	struct zip_member m;
	uint64_t at = 0;
	bool all = n > 4 && memcmp(p, "PK\3\4", 4) == 0 &&
	    zip_open(&z) == RK_OK && z.members > 0;

	for (uint64_t i = 0; all && i < z.members; i++)
		all = zip_next(&z, &at, &m) == RK_OK && ends_with(&m, SUFFIX);
	zip_close(&z);
	return all;
}

/* Bytes before the elements, of which the first 12 say how many. */
static enum rk_err
header_bytes(const uint8_t *archive, const struct source_part *part,
    size_t size, const char *what, uint64_t *bytes, struct rk_why *why)
{
	struct format_source s;
	uint8_t p[12] = { 0 };
	size_t got;

	source_open_bytes(&s, archive, size, what);
	enum rk_err rc = source_narrow(&s, part, why);
	if (rc == RK_OK)
		rc = format_source_read(&s, p, sizeof(p), &got, why);
	format_source_close(&s);
	*bytes = p[6] == 1 ? 10 + format_le16(p + 8) :
	    12 + (uint64_t)format_le32(p + 8);
	return rc;
}

static enum rk_err
read_head(const uint8_t *archive, const struct source_part *part, size_t size,
    const char *what, struct format_npy *a, struct rk_why *why)
{
	struct format_source s;

	source_open_bytes(&s, archive, size, what);
	enum rk_err rc = source_narrow(&s, part, why);
	if (rc == RK_OK)
		rc = format_npy_head(&s, a, why);
	format_source_close(&s);
	return rc;
}

static enum rk_err
lay_array(struct weights *w, const struct source_part *part,
    const char *what, struct weights_laid *l, struct rk_why *why)
{
	const struct weights_inside *in = w->inside;
	struct weights_store *s = arena_get(&w->inside->arena, sizeof(*s));
	struct format_npy a;
	uint64_t head;
	int64_t step = 1;
	enum rk_err rc = read_head(in->p, part, in->n, what, &a, why);

	if (rc == RK_OK)
		rc = header_bytes(in->p, part, in->n, what, &head, why);
	if (rc != RK_OK)
		return rc;
	if (s == NULL)
		return arena_full(why);
	if (part->deflated && head % a.size != 0)
		return rk_refuse(why, "%s: has a header of %llu bytes, and is "
		    "packed: save it again by numpy.savez", what,
		    (unsigned long long)head);
	if (head + a.elements * a.size != part->size)
		return rk_refuse(why, "%s: has %llu bytes, its header says "
		    "%llu", what, (unsigned long long)part->size,
		    (unsigned long long)(head + a.elements * a.size));
	*s = (struct weights_store){
		.kind = part->deflated ? STORE_DEFLATED : STORE_BYTES,
		.p = in->p + part->offset, .packed = part->packed,
		.size = part->size, .crc = part->crc,
	};
	*l = (struct weights_laid){ .dtype = a.dtype, .ndim = a.ndim,
	    .store = s, .big = a.big, .strided = a.fortran };
	if (part->deflated) {
		l->offset = head / a.size;
	} else {
		s->p += head;
		s->packed = s->size = part->size - head;
	}
	for (int i = 0; i < a.ndim; i++) {
		if (a.d[i] > INT64_MAX)
			return rk_refuse(why, "%s: has a size over 2^63", what);
		l->d[i] = (int64_t)a.d[i];
		l->stride[i] = step;
		/* What overflows has an element too many for its bytes, or
		 * none at all. */
		if (__builtin_mul_overflow(step, l->d[i], &step))
			step = 0;
	}
	return RK_OK;
}

/* Names of classes and the like lie beside weights, and are none: by the code
 * of the elements, of which the first bytes tell. */
static bool
holds_text(const uint8_t *archive, const struct source_part *part, size_t size)
{
	static const char key[] = "'descr':";
	struct format_source s;
	char head[96] = "";
	size_t got = 0;

	source_open_bytes(&s, archive, size, "");
	if (source_narrow(&s, part, NULL) == RK_OK)
		(void)!format_source_read(&s, head, sizeof(head) - 1, &got,
		    NULL);
	format_source_close(&s);
	const char *p = memmem(head, got, key, sizeof(key) - 1);
	if (p == NULL)
		return false;
	p += sizeof(key) - 1;
	p += strspn(p, " '<>|=");
	return *p == 'U' || *p == 'S';
}

static enum rk_err
add_member(struct weights *w, struct zip *z, const struct zip_member *m,
    struct rk_why *why)
{
	const size_t n = m->name_len - strlen(SUFFIX);
	struct source_part part = { 0 };
	struct weights_laid laid = { .ndim = 0 };
	struct strbuf name = {0}, what = {0};
	enum rk_err rc = zip_place(z, m, m->name, n, &part);

	sb_add(&name, m->name, n);
	sb_addf(&what, "its array \"%.60s\"", sb_str(&name));
	const bool text = rc == RK_OK && holds_text(w->inside->p, &part,
	    w->inside->n);
	if (text)
		weights_note(w, "%s holds text, and is left out", what.s);
	else if (rc == RK_OK)
		rc = lay_array(w, &part, what.s, &laid, why);
	if (rc == RK_OK && !text && strlen(name.s) != n)
		rc = rk_refuse(why, "has an array with a NUL in its name");
	if (rc == RK_OK && !text)
		rc = weights_add(w, WEIGHTS_MODEL, name.s, NULL, &laid, NULL,
		    why);
	sb_fini(&name);
	sb_fini(&what);
	return rc;
}

enum rk_err
weights_read_npz(struct weights *w, struct rk_why *why)
{
	struct zip z = { .kind = "npz", .member = "array", .mem = w->inside->p,
		.fd = -1, .size = w->inside->n, .most = FORMAT_NPZ_MEMBERS,
		.why = why };
	struct zip_member m;
	uint64_t at = 0;
	enum rk_err rc = zip_open(&z);

	for (uint64_t i = 0; rc == RK_OK && i < z.members; i++) {
		rc = zip_next(&z, &at, &m);
		if (rc == RK_OK)
			rc = add_member(w, &z, &m, why);
	}
	zip_close(&z);
	return rc == RK_OK ? weights_one_part(w, why) : rc;
}
