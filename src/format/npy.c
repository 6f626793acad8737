/*
 * The header of an array of NumPy, a dict of Python as text:
 *
 *	{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }
 *
 * numpy reads it with Python's own parser; read here is what numpy and its
 * likenesses write: three keys once each in any order, texts in single or
 * double quotes without escapes, a comma behind the last or not, white space
 * anywhere, and sizes with the L of Python 2.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define MAGIC_BYTES 6
#define SHOWN       40          /* bytes of a wrong text that are shown */

struct dict {
	const char *what;
	const char *p, *end;
	struct format_npy *a;
	bool has_descr, has_order, has_shape;
	bool fortran;
	struct rk_why *why;
};

static enum rk_err
bad_header(struct dict *d, const char *want)
{
	const size_t n = RK_MIN((size_t)(d->end - d->p), (size_t)SHOWN);

	return rk_refuse(d->why, "%s: its header is no good at \"%.*s\": want "
	    "%s", d->what, (int)n, d->p, want);
}

static void
skip_space(struct dict *d)
{
	while (d->p < d->end && strchr(" \t\r\n\f\v", *d->p) != NULL &&
	    *d->p != '\0')
		d->p++;
}

static bool
try(struct dict *d, char c)
{
	skip_space(d);
	if (d->p == d->end || *d->p != c)
		return false;
	d->p++;
	return true;
}

static bool
try_word(struct dict *d, const char *word)
{
	const size_t n = strlen(word);

	skip_space(d);
	if ((size_t)(d->end - d->p) < n || memcmp(d->p, word, n) != 0)
		return false;
	d->p += n;
	return true;
}

/* A text in quotes, without escapes. */
static bool
read_text(struct dict *d, const char **s, size_t *n)
{
	skip_space(d);
	if (d->p == d->end || (*d->p != '\'' && *d->p != '"'))
		return false;
	const char *close = memchr(d->p + 1, *d->p, (size_t)(d->end - d->p) -
	    1);
	if (close == NULL || memchr(d->p, '\\', (size_t)(close - d->p)) != NULL)
		return false;
	*s = d->p + 1;
	*n = (size_t)(close - *s);
	d->p = close + 1;
	return true;
}

/* --- the three values ----------------------------------------------------- */

static const struct npy_kind kinds[] = {
	{ "b1", DT_BOOL, 1, "bool" }, { "?", DT_BOOL, 1, "bool" },
	{ "u1", DT_U8, 1, "uint8" }, { "B", DT_U8, 1, "uint8" },
	{ "i1", DT_I8, 1, "int8" }, { "b", DT_I8, 1, "int8" },
	{ "u2", DT_U16, 2, "uint16" }, { "i2", DT_I16, 2, "int16" },
	{ "u4", DT_U32, 4, "uint32" }, { "i4", DT_I32, 4, "int32" },
	{ "u8", DT_U64, 8, "uint64" }, { "i8", DT_I64, 8, "int64" },
	{ "f2", DT_F16, 2, "float16" }, { "f4", DT_F32, 4, "float32" },
	{ "f8", DT_F64, 8, "float64" },
};

const struct npy_kind *
npy_kind_find(const void *code, size_t n)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++)
		if (strlen(kinds[i].code) == n &&
		    memcmp(kinds[i].code, code, n) == 0)
			return &kinds[i];
	return NULL;
}

static const char *
name_of(enum dtype t)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++)
		if (kinds[i].dtype == t)
			return kinds[i].name;
	return dtype_name(t);
}

const char *
npy_other_kind(char letter)
{
	static const struct {
		char letter;
		const char *what;
	} others[] = {
		{ 'O', "objects of Python, which only a pickle can hold" },
		{ 'U', "text" }, { 'S', "text" }, { 'a', "text" },
		{ 'c', "complex numbers" }, { 'M', "dates" },
		{ 'm', "spans of time" }, { 'V', "records" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++)
		if (others[i].letter == letter)
			return others[i].what;
	return "numbers of a type that is not taken";
}

static enum rk_err
read_descr(struct dict *d)
{
	const char *s, *wrong = "numbers of a type that is not taken";
	size_t n;

	skip_space(d);
	if (d->p < d->end && *d->p == '[')
		return rk_refuse(d->why, "%s: holds records, want an array of "
		    "plain numbers", d->what);
	if (!read_text(d, &s, &n) || n == 0 || n > 16)
		return bad_header(d, "the type of the elements");
	const bool order = strchr("<>|=", s[0]) != NULL;
	const char *code = s + order;
	const size_t len = n - order;
	const struct npy_kind *k = npy_kind_find(code, len);
	/* Of one byte there is no order; '=' is the writer's own, which a file
	 * does not tell. */
	if (k != NULL && (k->size == 1 || s[0] == '<' || s[0] == '>')) {
		d->a->dtype = k->dtype;
		d->a->size = k->size;
		d->a->big = k->size > 1 && s[0] == '>';
		return RK_OK;
	}
	if (len > 0)
		wrong = npy_other_kind(code[0]);
	return rk_refuse(d->why, "%s: holds %s ('%.*s'): want bool, int8 to "
	    "int64, uint8 to uint64, or float16 to float64", d->what, wrong,
	    (int)n, s);
}

static enum rk_err
read_order(struct dict *d)
{
	d->fortran = try_word(d, "True");
	if (d->fortran || try_word(d, "False"))
		return RK_OK;
	return bad_header(d, "True or False");
}

/* A size, and the L that Python 2 writes behind it. */
static enum rk_err
read_size(struct dict *d, uint64_t *out)
{
	uint64_t v = 0;
	int digits = 0;

	skip_space(d);
	for (; d->p < d->end && *d->p >= '0' && *d->p <= '9'; d->p++) {
		const unsigned digit = (unsigned)(*d->p - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return bad_header(d, "a size below 2^64");
		v = v * 10 + digit;
		digits++;
	}
	if (digits == 0)
		return bad_header(d, "a size");
	(void)try(d, 'L');
	*out = v;
	return RK_OK;
}

static enum rk_err
read_shape(struct dict *d)
{
	struct format_npy *a = d->a;

	if (!try(d, '('))
		return bad_header(d, "the shape, as (2, 3)");
	while (!try(d, ')')) {
		uint64_t size = 0;
		enum rk_err rc = read_size(d, &size);
		if (rc != RK_OK)
			return rc;
		if (a->ndim == FORMAT_NPY_DIMS)
			return rk_refuse(d->why, "%s: has more than %d "
			    "dimensions", d->what, FORMAT_NPY_DIMS);
		a->d[a->ndim++] = size;
		if (!try(d, ',') && (d->p == d->end || *d->p != ')'))
			return bad_header(d, "a comma or )");
	}
	return RK_OK;
}

/* --- the dict ------------------------------------------------------------- */

static enum rk_err
read_entry(struct dict *d)
{
	struct {
		const char *key;
		bool *has;
		enum rk_err (*read)(struct dict *d);
	} entries[] = {
		{ "descr", &d->has_descr, read_descr },
		{ "fortran_order", &d->has_order, read_order },
		{ "shape", &d->has_shape, read_shape },
	};
	const char *at = d->p, *s;
	size_t n;

	if (!read_text(d, &s, &n))
		return bad_header(d, "a key in quotes");
	if (!try(d, ':'))
		return bad_header(d, "a colon");
	for (size_t i = 0; i < RK_ARRAY_LEN(entries); i++) {
		if (strlen(entries[i].key) != n ||
		    memcmp(entries[i].key, s, n) != 0)
			continue;
		if (*entries[i].has)
			return rk_refuse(d->why, "%s: its header has '%s' "
			    "twice", d->what, entries[i].key);
		*entries[i].has = true;
		return entries[i].read(d);
	}
	d->p = at;
	return bad_header(d, "'descr', 'fortran_order' or 'shape'");
}

static enum rk_err
read_dict(struct dict *d)
{
	if (!try(d, '{'))
		return bad_header(d, "{");
	while (!try(d, '}')) {
		enum rk_err rc = read_entry(d);
		if (rc != RK_OK)
			return rc;
		if (!try(d, ',') && (d->p == d->end || *d->p != '}'))
			return bad_header(d, "a comma or }");
	}
	skip_space(d);
	if (d->p < d->end)
		return bad_header(d, "nothing behind the }");
	if (d->has_descr && d->has_order && d->has_shape)
		return RK_OK;
	return rk_refuse(d->why, "%s: its header has no '%s'", d->what,
	    !d->has_descr ? "descr" : !d->has_order ? "fortran_order" :
	    "shape");
}

/* --- the file ------------------------------------------------------------- */

static enum rk_err
read_bytes(struct format_source *in, void *p, size_t n, struct rk_why *why)
{
	size_t got;
	enum rk_err rc = format_source_read(in, p, n, &got, why);

	if (rc == RK_OK && got < n)
		return rk_refuse(why, "%s: ends inside the header of its array",
		    in->what);
	return rc;
}

/* The length of the header; *fixed is how many bytes come before it. */
static enum rk_err
read_magic(struct format_source *in, size_t *len, size_t *fixed,
    struct rk_why *why)
{
	unsigned char p[12];
	enum rk_err rc = read_bytes(in, p, 10, why);

	if (rc != RK_OK)
		return rc;
	if (memcmp(p, "\x93NUMPY", MAGIC_BYTES) != 0)
		return rk_refuse(why, "%s: is no array of NumPy: begins with "
		    "%02x %02x %02x %02x, want 93 and NUMPY", in->what, p[0],
		    p[1], p[2], p[3]);
	if (p[6] < 1 || p[6] > 3 || p[7] != 0)
		return rk_refuse(why, "%s: is of NumPy's format %d.%d, want "
		    "1.0, 2.0 or 3.0", in->what, p[6], p[7]);
	*fixed = p[6] == 1 ? 10 : 12;
	if (p[6] > 1)
		rc = read_bytes(in, p + 10, 2, why);
	if (rc != RK_OK)
		return rc;
	*len = p[6] == 1 ? format_le16(p + 8) : format_le32(p + 8);
	if (*len <= FORMAT_NPY_HEADER)
		return RK_OK;
	return rk_refuse(why, "%s: its header has %zu bytes, at most %u are "
	    "taken", in->what, *len, FORMAT_NPY_HEADER);
}

/* How many elements, and can they come? */
static enum rk_err
check_size(const struct format_source *in, struct format_npy *a,
    size_t header, struct rk_why *why)
{
	const uint64_t most = format_source_most(in);
	char text[FORMAT_NPY_TEXT];
	size_t all = 1, bytes;
	bool fits = true, none = false;

	for (int i = 0; i < a->ndim; i++)
		none = none || a->d[i] == 0;
	for (int i = 0; i < a->ndim && !none; i++)
		fits = fits && a->d[i] <= SIZE_MAX &&
		    rk_mul(all, (size_t)a->d[i], &all);
	if (none)
		all = 0;
	if (!fits || !rk_mul(all, a->size, &bytes))
		return rk_refuse(why, "%s: its header says %s, which is more "
		    "than there can be", in->what, format_npy_text(text, a));
	a->elements = all;
	if (most >= header && most - header >= bytes)
		return RK_OK;
	return rk_refuse(why, "%s: its header says %s, %zu bytes and %zu of "
	    "the header, but there are %llu%s", in->what,
	    format_npy_text(text, a), bytes, header,
	    (unsigned long long)in->size, in->packed ?
	    ", which cannot unpack to that" : "");
}

enum rk_err
format_npy_head(struct format_source *in, struct format_npy *out,
    struct rk_why *why)
{
	size_t len = 0, fixed = 0;
	enum rk_err rc = read_magic(in, &len, &fixed, why);

	*out = (struct format_npy){ .dtype = DT_U8, .size = 1 };
	if (rc != RK_OK)
		return rc;
	char *text = xmalloc(len + 1);
	rc = read_bytes(in, text, len, why);
	if (rc == RK_OK) {
		struct dict d = { .what = in->what, .p = text,
			.end = text + len, .a = out, .why = why };
		rc = read_dict(&d);
		out->fortran = d.fortran && out->ndim > 1;
	}
	free(text);
	return rc == RK_OK ? check_size(in, out, fixed + len, why) : rc;
}

char *
format_npy_text(char *out, const struct format_npy *a)
{
	size_t n = 0;

	for (int i = 0; i < a->ndim; i++)
		n += (size_t)snprintf(out + n, FORMAT_NPY_TEXT - n, "%s%llu",
		    i > 0 ? " x " : "", (unsigned long long)a->d[i]);
	snprintf(out + n, FORMAT_NPY_TEXT - n, "%s of %s", a->ndim == 0 ?
	    "one number" : "", name_of(a->dtype));
	return out;
}

/* --- elements ------------------------------------------------------------- */

#define PIECE ((size_t)1024)    /* elements that are turned at a time */

/* Elements with their bytes in this machine's order: where they lie, or a copy
 * of them in buf. */
static const void *
in_order(const struct format_npy *a, const unsigned char *raw, size_t n,
    unsigned char *buf)
{
	const size_t size = a->size;

	if (!a->big)
		return raw;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < size; k++)
			buf[i * size + k] = raw[i * size + size - 1 - k];
	return buf;
}

/* At most PIECE elements; truth is 0 or 1. */
static void
some_floats(const struct format_npy *a, const unsigned char *raw, size_t n,
    float *out)
{
	unsigned char buf[PIECE * 8];
	const struct tensor t = {
		.dtype = a->dtype, .ndim = 1, .d = { (int64_t)n },
		.nbytes = n * a->size, .data = in_order(a, raw, n, buf),
	};

	if (a->dtype == DT_BOOL)
		for (size_t i = 0; i < n; i++)
			out[i] = raw[i] != 0;
	else
		must(tensor_to_f32(&t, out) == RK_OK);
}

/* Bits, so that a compiler that takes numbers for finite cannot drop it. */
static bool
is_finite(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	return (u & 0x7f800000u) != 0x7f800000u;
}

size_t
format_npy_floats(const struct format_npy *a, const void *raw, size_t n,
    float *out)
{
	const unsigned char *p = raw;

	for (size_t at = 0; at < n; at += PIECE) {
		const size_t some = RK_MIN(PIECE, n - at);
		some_floats(a, p + at * a->size, some, out + at);
		for (size_t i = at; i < at + some; i++)
			if (!is_finite(out[i]))
				return i;
	}
	return n;
}

bool
format_npy_is_whole(const struct format_npy *a)
{
	return a->dtype != DT_F16 && a->dtype != DT_F32 && a->dtype != DT_F64;
}

/* One element of whole numbers: its magnitude and its sign. */
static uint64_t
whole(const struct format_npy *a, const unsigned char *raw, bool *negative)
{
	const bool is_signed = a->dtype == DT_I8 || a->dtype == DT_I16 ||
	    a->dtype == DT_I32 || a->dtype == DT_I64;
	uint64_t v = 0;

	for (size_t k = 0; k < a->size; k++)
		v = v << 8 | raw[a->big ? k : a->size - 1 - k];
	*negative = is_signed && v >> (8 * a->size - 1) != 0;
	if (*negative && a->size < 8)
		v |= UINT64_MAX << (8 * a->size);
	if (a->dtype == DT_BOOL)
		v = v != 0;
	return *negative ? -v : v;
}

size_t
format_npy_ids(const struct format_npy *a, const void *raw, size_t n,
    int64_t limit, int32_t *out)
{
	const unsigned char *p = raw;

	must(format_npy_is_whole(a) && limit > 0 && limit <= INT32_MAX);
	for (size_t i = 0; i < n; i++) {
		bool negative;
		const uint64_t v = whole(a, p + i * a->size, &negative);
		if (negative || v >= (uint64_t)limit)
			return i;
		out[i] = (int32_t)v;
	}
	return n;
}

char *
format_npy_number(char out[FORMAT_NPY_NUMBER], const struct format_npy *a,
    const void *raw, size_t k)
{
	const unsigned char *p = (const unsigned char *)raw + k * a->size;
	unsigned char buf[8];
	bool negative;
	double d;
	float f;

	if (format_npy_is_whole(a)) {
		const uint64_t v = whole(a, p, &negative);
		snprintf(out, FORMAT_NPY_NUMBER, "%s%llu", negative ? "-" : "",
		    (unsigned long long)v);
	} else if (a->dtype == DT_F64) {
		memcpy(&d, in_order(a, p, 1, buf), sizeof(d));
		snprintf(out, FORMAT_NPY_NUMBER, "%.9g", d);
	} else {
		some_floats(a, p, 1, &f);
		snprintf(out, FORMAT_NPY_NUMBER, "%.9g", (double)f);
	}
	return out;
}
