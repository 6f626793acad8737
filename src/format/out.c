/* Bytes of the writers to their sink, and the opcodes of a pickle. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "out.h"

/* --- checks before the first byte ------------------------------------------ */

static enum rk_err
check_one(const struct format_out_tensor *t, struct tensor_set *s,
    const char *what, const char *(*code)(enum dtype t), struct rk_why *why)
{
	if (code(t->dtype) == NULL)
		return rk_refuse_at(why, t->name, "is %s, a type that %s does "
		    "not have", dtype_name(t->dtype), what);
	const char *const texts[] = { t->name, t->alias };
	for (size_t i = 0; i < RK_ARRAY_LEN(texts); i++) {
		if (texts[i] == NULL)
			continue;
		const size_t len = strlen(texts[i]);
		if (rk_utf8_good(texts[i], len) != len)
			return rk_refuse(why, "the name \"%s\" is not UTF-8",
			    texts[i]);
		if (len > TENSOR_NAME_MAX)
			return rk_refuse(why, "the name %.40s... has %zu "
			    "bytes, at most %d are taken", texts[i], len,
			    TENSOR_NAME_MAX);
	}
	return tensor_set_add(s, t->name, t->dtype, t->ndim, t->d, NULL, why);
}

enum rk_err
out_check(const struct format_out_tensor *v, size_t n, const char *what,
    const char *(*code)(enum dtype t), bool names, struct rk_why *why)
{
	struct tensor_set *s = tensor_set_new();
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < n && rc == RK_OK; i++)
		rc = check_one(&v[i], s, what, code, why);
	if (rc == RK_OK && names)
		rc = tensor_set_seal(s, why);
	tensor_set_free(s);
	return rc;
}

/* --- bytes ------------------------------------------------------------------ */

enum rk_err
format_put_fd(void *ctx, const void *p, size_t n, struct rk_why *why)
{
	const int *fd = ctx;

	if (rk_write_all(*fd, p, n) == 0)
		return RK_OK;
	int e = errno;
	rk_refuse(why, "cannot be written: %s", strerror(e));
	return e == EFBIG ? RK_ENOSPC : rk_from_errno(e);
}

enum rk_err
out_begin(struct out_file *f, const struct format_sink *to, struct rk_why *why)
{
	*f = (struct out_file){ .to = to, .why = why };
	if (to->put == NULL)
		return RK_OK;
	f->chunk = malloc(OUT_CHUNK);
	if (f->chunk != NULL)
		return RK_OK;
	rk_refuse(why, "there is no memory to write it");
	return RK_ENOMEM;
}

enum rk_err
out_put(struct out_file *f, const void *p, size_t n)
{
	f->at += n;
	return f->to->put == NULL || n == 0 ? RK_OK :
	    f->to->put(f->to->ctx, p, n, f->why);
}

enum rk_err
out_zeros(struct out_file *f, size_t n)
{
	static const char zeros[64];

	must(n <= sizeof(zeros));
	return out_put(f, zeros, n);
}

enum rk_err
out_flush(struct out_file *f, struct strbuf *b)
{
	enum rk_err rc = out_put(f, sb_str(b), b->len);

	sb_reset(b);
	return rc;
}

static uint64_t
elements(const struct format_out_tensor *t)
{
	uint64_t n = 1;

	for (int i = 0; i < t->ndim; i++)
		n *= (uint64_t)t->d[i];
	return n;
}

uint64_t
out_bytes(const struct format_out_tensor *t)
{
	return elements(t) * dtype_bits(t->dtype) / 8;
}

/* One chunk is written while the next one is read. */
static enum rk_err
put_behind(struct out_file *f, const struct format_out_tensor *t)
{
	const uint64_t all = elements(t);
	const size_t size = dtype_bits(t->dtype) / 8, step = OUT_CHUNK / size;
	enum rk_err rc = RK_OK;

	for (uint64_t at = 0; at < all && rc == RK_OK; at += step) {
		const size_t k = (size_t)RK_MIN(all - at, step);
		rc = t->read(t, at, k, out_behind_chunk(f->behind), f->why);
		if (rc == RK_OK)
			rc = out_behind_put(f->behind, k * size);
		if (rc == RK_OK)
			f->at += k * size;
	}
	const enum rk_err put = out_behind_drain(f->behind, &f->crc, f->why);
	return put != RK_OK ? put : rc;
}

enum rk_err
out_tensor(struct out_file *f, const struct format_out_tensor *t)
{
	const uint64_t all = elements(t);
	const size_t size = dtype_bits(t->dtype) / 8;
	const size_t step = OUT_CHUNK / RK_MAX(size, (size_t)1);

	f->crc = (uint32_t)crc32(0, NULL, 0);
	if (f->chunk == NULL) {
		f->at += out_bytes(t);
		return RK_OK;
	}
	if (all > step && f->behind == NULL)
		f->behind = out_behind_new(f->to);
	if (all > step && f->behind != NULL)
		return put_behind(f, t);
	for (uint64_t at = 0; at < all; at += step) {
		const size_t k = (size_t)RK_MIN(all - at, step);
		enum rk_err rc = t->read(t, at, k, f->chunk, f->why);
		if (rc == RK_OK)
			rc = out_put(f, f->chunk, k * size);
		if (rc != RK_OK)
			return rc;
		f->crc = (uint32_t)crc32(f->crc, f->chunk, (uInt)(k * size));
	}
	return RK_OK;
}

void
out_end(struct out_file *f, uint64_t *size)
{
	out_behind_free(f->behind);
	f->behind = NULL;
	free(f->chunk);
	f->chunk = NULL;
	if (size != NULL)
		*size = f->at;
}

/* --- elements in memory ------------------------------------------------------ */

enum rk_err
format_read_memory(const struct format_out_tensor *t, uint64_t from, size_t n,
    void *dst, struct rk_why *why)
{
	const size_t size = dtype_bits(t->dtype) / 8;

	(void)why;
	memcpy(dst, (const char *)t->ctx + from * size, n * size);
	return RK_OK;
}

/* A number of two halves. */
struct pair {
	uint64_t half[2];
};

/* Row i of t is column i of what lies there. */
#define COLUMN(type)                                                      \
	for (size_t k = 0; k < n; k++) {                                  \
		memcpy((char *)dst + k * sizeof(type),                    \
		    src + (j * rows + i) * sizeof(type), sizeof(type));   \
		if (++j == cols) {                                        \
			j = 0;                                            \
			i++;                                              \
		}                                                         \
	}                                                                 \
	return RK_OK

enum rk_err
format_read_transposed(const struct format_out_tensor *t, uint64_t from,
    size_t n, void *dst, struct rk_why *why)
{
	must(t->ndim == 2);
	const char *src = t->ctx;
	const size_t rows = (size_t)t->d[0], cols = (size_t)t->d[1];

	(void)why;
	if (n == 0)
		return RK_OK;
	size_t i = (size_t)(from / cols), j = (size_t)(from % cols);
	switch (dtype_bits(t->dtype)) {
	case 8:
		COLUMN(uint8_t);
	case 16:
		COLUMN(uint16_t);
	case 32:
		COLUMN(uint32_t);
	case 64:
		COLUMN(uint64_t);
	case 128:
		COLUMN(struct pair);
	default:
		must(!"of whole bytes");
		return RK_EINVAL;
	}
}

/* --- little-endian numbers --------------------------------------------------- */

static void
put_le(struct strbuf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		sb_addc(b, (char)(v >> 8 * i & 0xff));
}

void
out_le16(struct strbuf *b, unsigned v)
{
	put_le(b, v, 2);
}

void
out_le32(struct strbuf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void
out_le64(struct strbuf *b, uint64_t v)
{
	put_le(b, v, 8);
}

/* --- a pickle ----------------------------------------------------------------- */

void
pickle_put_global(struct strbuf *b, const char *global, unsigned slot,
    uint32_t *seen)
{
	must(slot < 32);
	if (*seen & 1u << slot) {
		sb_addc(b, 'h');                /* BINGET */
	} else {
		sb_addc(b, 'c');                /* GLOBAL */
		sb_adds(b, global);
		sb_addc(b, 'q');                /* BINPUT */
		*seen |= 1u << slot;
	}
	sb_addc(b, (char)slot);
}

void
pickle_put_text(struct strbuf *b, const char *s)
{
	const size_t n = strlen(s);

	must(n <= UINT32_MAX);
	sb_addc(b, 'X');                        /* BINUNICODE */
	out_le32(b, (uint32_t)n);
	sb_add(b, s, n);
}

void
pickle_put_int(struct strbuf *b, int64_t v)
{
	if (v >= 0 && v <= UINT8_MAX) {
		sb_addc(b, 'K');                /* BININT1 */
		sb_addc(b, (char)v);
	} else if (v >= 0 && v <= UINT16_MAX) {
		sb_addc(b, 'M');                /* BININT2 */
		out_le16(b, (unsigned)v);
	} else if (v >= INT32_MIN && v <= INT32_MAX) {
		sb_addc(b, 'J');                /* BININT */
		out_le32(b, (uint32_t)v);
	} else {
		sb_addc(b, '\x8a');             /* LONG1 */
		sb_addc(b, 8);
		out_le64(b, (uint64_t)v);
	}
}

void
pickle_put_float(struct strbuf *b, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	sb_addc(b, 'G');                        /* BINFLOAT, big-endian */
	for (int i = 7; i >= 0; i--)
		sb_addc(b, (char)(bits >> 8 * i & 0xff));
}

void
pickle_put_bool(struct strbuf *b, bool v)
{
	sb_addc(b, v ? '\x88' : '\x89');        /* NEWTRUE, NEWFALSE */
}

void
pickle_put_sizes(struct strbuf *b, int n, const int64_t *v)
{
	if (n == 0) {
		sb_addc(b, PICKLE_EMPTY_TUPLE);
		return;
	}
	sb_addc(b, PICKLE_MARK);
	for (int i = 0; i < n; i++)
		pickle_put_int(b, v[i]);
	sb_addc(b, PICKLE_TUPLE);
}
