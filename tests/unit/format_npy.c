/*
 * Arrays of NumPy and the archives that hold them: what is read, and a sentence
 * for each way in which they can lie.
 */
#include <fcntl.h>
#include <zlib.h>

#include "impl.h"
#include "t.h"

/* A file being made. */
struct file {
	uint8_t p[8192];
	size_t n;
};

static void
put(struct file *f, const void *p, size_t n)
{
	t_check(f->n + n <= sizeof(f->p));
	if (n > 0)
		memcpy(f->p + f->n, p, n);
	f->n += n;
}

static void
put_le(struct file *f, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++, v >>= 8)
		put(f, &(uint8_t){ (uint8_t)v }, 1);
}

/* Of version 1 to 3; the header as it is given. */
static struct file
npy(int version, const char *header, const void *data, size_t n)
{
	struct file f = { .n = 0 };

	put(&f, "\x93NUMPY", 6);
	put_le(&f, (uint64_t)version, 2);
	put_le(&f, strlen(header), version == 1 ? 2 : 4);
	put(&f, header, strlen(header));
	put(&f, data, n);
	return f;
}

/* Exactly sized, so that ASan sees a read past the end. */
static uint8_t *
exact(const struct file *f)
{
	uint8_t *p = malloc(f->n + 1);

	memcpy(p, f->p, f->n);
	return realloc(p, f->n > 0 ? f->n : 1);
}

static enum rk_err
head(const struct file *f, struct format_npy *a, struct rk_why *why)
{
	struct format_source s;
	uint8_t *p = exact(f);
	enum rk_err rc = format_source_open_mem(&s, p, f->n, "a.npy", why);

	if (rc == RK_OK)
		rc = format_npy_head(&s, a, why);
	format_source_close(&s);
	free(p);
	return rc;
}

static struct format_npy
good(const struct file *f)
{
	struct rk_why why = {0};
	struct format_npy a;

	if (head(f, &a, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	return a;
}

static void
bad(const struct file *f, const char *words)
{
	struct rk_why why = {0};
	struct format_npy a;

	t_eq_int(head(f, &a, &why), RK_EINVAL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), words);
	t_check(strncmp(rk_why_first(&why), "a.npy: ", 7) == 0);
	rk_why_fini(&why);
}

static void
bad_header(const char *header, const char *words)
{
	const struct file f = npy(1, header, "0123456789abcdef", 16);

	bad(&f, words);
}

T_CASE(a_header_is_read_as_python_writes_it)
{
	static const char *const same[] = {
		"{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }  \n",
		"{'shape':(2,3),'fortran_order':False,'descr':'<i2'}",
		(" {\"descr\" : \"<i2\" ,\n\t\"fortran_order\": False, \"shape\": "
		    "( 2L , 3L , ) } "),
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(same); i++)
		for (int version = 1; version <= 3; version++) {
			struct file f = npy(version, same[i], "0123456789ab",
			    12);
			struct format_npy a = good(&f);
			char text[FORMAT_NPY_TEXT];
			t_eq_int(a.dtype, DT_I16);
			t_check(!a.big && !a.fortran && a.size == 2);
			t_check(a.ndim == 2 && a.d[0] == 2 && a.d[1] == 3);
			t_eq_int(a.elements, 6);
			t_eq_str(format_npy_text(text, &a), "2 x 3 of int16");
		}
}

T_CASE(fortran_order_counts_from_two_dimensions_on)
{
	struct file f = npy(1, "{'descr': '>f8', 'fortran_order': True, "
	    "'shape': (1, 2)}", "0123456789abcdef", 16);
	struct format_npy a = good(&f);

	t_check(a.fortran && a.big && a.dtype == DT_F64);
	f = npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2,)}",
	    "ab", 2);
	a = good(&f);
	t_check(!a.fortran && !a.big && a.ndim == 1);
	f = npy(1, "{'descr': '>u1', 'fortran_order': True, 'shape': ()}", "a",
	    1);
	a = good(&f);
	t_check(!a.fortran && !a.big && a.ndim == 0 && a.elements == 1);
	f = npy(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (0, "
	    "18446744073709551615)}", "", 0);
	t_eq_int(good(&f).elements, 0);
}

#define WITH(descr, shape) "{'descr': " descr ", 'fortran_order': False, " \
    "'shape': " shape "}"

T_CASE(what_is_no_plain_array_is_refused_by_its_name)
{
	static const struct {
		const char *header, *words;
	} v[] = {
		{ WITH("'|O'", "(2,)"), "objects of Python, which only a" },
		{ WITH("'<U5'", "(2,)"), "holds text ('<U5')" },
		{ WITH("'|S5'", "(2,)"), "holds text" },
		{ WITH("'<c8'", "(2,)"), "holds complex numbers" },
		{ WITH("'<M8[ns]'", "(2,)"), "holds dates" },
		{ WITH("[('a', '<f4')]", "(2,)"), "holds records" },
		{ WITH("'<f16'", "(1,)"), "a type that is not taken ('<f16')" },
		{ WITH("'=i4'", "(2,)"), "a type that is not taken" },
		{ WITH("'i4'", "(2,)"), "a type that is not taken" },
		{ WITH("''", "(2,)"), "want the type of the elements" },
		{ WITH("7", "(2,)"), "want the type of the elements" },
		{ WITH("'<i4'", "(2"), "want a comma or )" },
		{ WITH("'<i4'", "2"), "want the shape" },
		{ WITH("'<i4'", "(-2,)"), "want a size" },
		{ WITH("'<i4'", "(2.5,)"), "want a comma or )" },
		{ WITH("'<i4'", "(18446744073709551616,)"), "below 2^64" },
		{ WITH("'<i4'", "(1,1,1,1,1,1,1,1,1)"), "more than 8 dim" },
		{ WITH("'<i4'", "(4294967296, 4294967296)"),
		    "more than there can be" },
		{ WITH("'<i4'", "(4611686018427387904,)"),
		    "more than there can be" },
		{ WITH("'<i4'", "(5,)"), "its header says 5 of int32, 20 bytes "
		    "and 65 of the header, but there are 81" },
		{ WITH("'<i4'", "(2,)") "x", "nothing behind" },
		{ "{'descr': '<i4', 'shape': (2,)}", "has no 'fortran_order'" },
		{ "{'shape': (2,), 'shape': (2,)}", "has 'shape' twice" },
		{ "{'order': 1}", "want 'descr', 'fortran_order' or 'shape'" },
		{ "{'descr' '<i4'}", "want a colon" },
		{ "{descr: '<i4'}", "want a key in quotes" },
		{ "{'descr", "want a key in quotes" },
		{ "{'de\\x73cr': '<i4'}", "want a key in quotes" },
		{ "", "want {" }, { "{", "want a key" },
		{ "{'fortran_order': 1}", "want True or False" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		bad_header(v[i].header, v[i].words);
}

T_CASE(a_file_that_is_cut_or_another_is_refused)
{
	struct file f = npy(1, WITH("'<i4'", "(2,)"), "01234567", 8);

	for (size_t n = 0; n < f.n - 8; n++) {
		struct file cut = f;
		cut.n = n;
		bad(&cut, "ends inside the header");
	}
	f.n--;
	bad(&f, "8 bytes and");
	f = (struct file){ .n = 0 };
	put(&f, "PK\3\4 and so on", 14);
	bad(&f, "is no array of NumPy: begins with 50 4b 03 04");
	f = npy(4, WITH("'<i4'", "(2,)"), "01234567", 8);
	bad(&f, "format 4.0, want 1.0");
	f = npy(2, "", "", 0);
	f.p[10] = 1;                    /* 65537 bytes of header */
	f.p[8] = 1;
	bad(&f, "has 65537 bytes, at most 65536");
}

/* --- elements ------------------------------------------------------------- */

static const struct {
	const char *descr;
	const char *bytes;              /* of two elements */
	size_t size;
	float x, y;
	int64_t id;                     /* of the first; -1: it is none */
} kinds[] = {
	{ "|b1", "\1\0", 1, 1, 0, 1 },
	{ "|u1", "\7\xff", 1, 7, 255, 7 },
	{ "|i1", "\xff\x7f", 1, -1, 127, -1 },
	{ "<u2", "\1\2\xff\xff", 2, 513, 65535, 513 },
	{ ">u2", "\1\2\xff\xff", 2, 258, 65535, 258 },
	{ "<i2", "\xfe\xff\1\0", 2, -2, 1, -1 },
	{ ">i2", "\xff\xfe\0\1", 2, -2, 1, -1 },
	{ "<i4", "\0\0\1\0\xff\xff\xff\xff", 4, 65536, -1, 65536 },
	{ ">u4", "\0\0\1\0\xff\xff\xff\xff", 4, 256, 4294967296.0f, 256 },
	{ "<i8", "\2\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 8, 2, -1,
	    2 },
	{ ">u8", "\0\0\0\0\0\0\0\3\xff\xff\xff\xff\xff\xff\xff\xff", 8, 3,
	    18446744073709551616.0f, 3 },
	{ "<f2", "\x00\x3c\x01\x00", 2, 1, 0x1p-24f, -1 },
	{ ">f2", "\xc1\x00\x7b\xff", 2, -2.5f, 65504, -1 },
	{ "<f4", "\0\0\x80\x3f\0\0\x20\xc1", 4, 1, -10, -1 },
	{ ">f4", "\x3f\x80\0\0\xc1\x20\0\0", 4, 1, -10, -1 },
	{ "<f8", "\0\0\0\0\0\0\xf0\x3f\x9a\x99\x99\x99\x99\x99\xb9\x3f", 8, 1,
	    0.1f, -1 },
	{ ">f8", "\x3f\xf0\0\0\0\0\0\0\x3f\xb9\x99\x99\x99\x99\x99\x9a", 8, 1,
	    0.1f, -1 },
};

T_CASE(elements_of_every_type_and_order_are_what_they_were)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++) {
		char *header = xasprintf("{'descr': '%s', 'fortran_order': "
		    "False, 'shape': (2,)}", kinds[i].descr);
		struct file f = npy(1, header, kinds[i].bytes,
		    2 * kinds[i].size);
		struct format_npy a = good(&f);
		float x[2];
		int32_t id;
		t_eq_int(a.size, kinds[i].size);
		t_eq_int(format_npy_floats(&a, f.p + f.n - 2 * a.size, 2, x),
		    2);
		if (x[0] != kinds[i].x || x[1] != kinds[i].y)
			t_fail("%s: %g %g", kinds[i].descr, (double)x[0],
			    (double)x[1]);
		if (format_npy_is_whole(&a) && kinds[i].id >= 0) {
			t_eq_int(format_npy_ids(&a, f.p + f.n - 2 * a.size, 1,
			    1 << 24, &id), 1);
			t_eq_int(id, kinds[i].id);
		} else if (format_npy_is_whole(&a)) {
			t_eq_int(format_npy_ids(&a, f.p + f.n - 2 * a.size, 1,
			    1 << 24, &id), 0);
		}
		free(header);
	}
}

T_CASE(what_is_not_finite_or_outside_the_vocabulary_is_found)
{
	const struct format_npy f8 = { .dtype = DT_F64, .size = 8 };
	const struct format_npy i4 = { .dtype = DT_I32, .size = 4 };
	const double x[] = { 1, 1e300, 2 }, nan[] = { 1, 2, NAN };
	int32_t ids[3];
	const int32_t raw[] = { 0, 9, 10 };
	char text[FORMAT_NPY_NUMBER];
	float y[3];

	t_eq_int(format_npy_floats(&f8, x, 3, y), 1);
	t_eq_str(format_npy_number(text, &f8, x, 1), "1e+300");
	t_eq_int(format_npy_floats(&f8, nan, 3, y), 2);
	t_eq_str(format_npy_number(text, &f8, nan, 2), "nan");
	t_eq_int(format_npy_ids(&i4, raw, 3, 10, ids), 2);
	t_eq_int(format_npy_ids(&i4, raw, 3, 11, ids), 3);
	t_eq_int(ids[1], 9);
	t_eq_str(format_npy_number(text, &i4, &(int32_t){ INT32_MIN }, 0),
	    "-2147483648");
	t_check(!format_npy_is_whole(&f8) && format_npy_is_whole(&i4));
}

/* More than one piece of a big-endian array. */
T_CASE(long_arrays_of_the_other_order_are_turned_piece_by_piece)
{
	enum { N = 5000 };
	const struct format_npy a = { .dtype = DT_I16, .size = 2, .big = true };
	uint8_t *raw = xmalloc(2 * N);
	float *out = xcalloc(N, sizeof(*out));

	for (int i = 0; i < N; i++) {
		raw[2 * i] = (uint8_t)(i >> 8);
		raw[2 * i + 1] = (uint8_t)i;
	}
	t_eq_int(format_npy_floats(&a, raw, N, out), N);
	for (int i = 0; i < N; i++)
		t_check(out[i] == (float)i);
	free(raw);
	free(out);
}

/* --- npz ------------------------------------------------------------------ */

struct member {
	const char *name;
	const char *bytes;              /* what is unpacked */
	bool deflated;
	unsigned flags;
};

static struct file
deflated(const void *p, size_t n)
{
	struct file out = { .n = 0 };
	z_stream z = { 0 };

	t_check(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, 0) == Z_OK);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = out.p;
	z.avail_out = sizeof(out.p);
	t_check(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out.n = z.total_out;
	deflateEnd(&z);
	return out;
}

/* Local header, or with central the directory's entry. */
static void
put_entry(struct file *f, const struct member *m, const struct file *packed,
    bool central, uint64_t at)
{
	const size_t n = strlen(m->bytes);

	put_le(f, central ? 0x02014b50 : 0x04034b50, 4);
	put_le(f, 20, central ? 4 : 2);
	put_le(f, m->flags, 2);
	put_le(f, m->deflated ? 8 : 0, 2);
	put_le(f, 0, 4);
	put_le(f, crc32(0, (const Bytef *)m->bytes, (uInt)n), 4);
	put_le(f, packed->n, 4);
	put_le(f, n, 4);
	put_le(f, strlen(m->name), 2);
	put_le(f, 0, 2);
	if (central) {
		put_le(f, 0, 10);
		put_le(f, at, 4);
	}
	put(f, m->name, strlen(m->name));
}

static struct file
npz(const struct member *m, size_t n)
{
	struct file f = { .n = 0 }, packed[8];
	uint64_t at[8];

	for (size_t i = 0; i < n; i++) {
		packed[i] = (struct file){ .n = 0 };
		put(&packed[i], m[i].bytes, strlen(m[i].bytes));
		if (m[i].deflated)
			packed[i] = deflated(m[i].bytes, strlen(m[i].bytes));
		at[i] = f.n;
		put_entry(&f, &m[i], &packed[i], false, 0);
		put(&f, packed[i].p, packed[i].n);
	}
	const uint64_t dir = f.n;
	for (size_t i = 0; i < n; i++)
		put_entry(&f, &m[i], &packed[i], true, at[i]);
	const uint64_t size = f.n - dir;
	put_le(&f, 0x06054b50, 4);
	put_le(&f, 0, 4);
	put_le(&f, n, 2);
	put_le(&f, n, 2);
	put_le(&f, size, 4);
	put_le(&f, dir, 4);
	put_le(&f, 0, 2);
	return f;
}

/* What comes out of the member, at most 64 bytes. */
static enum rk_err
unpack(const struct file *f, const char *name, char out[65],
    struct rk_why *why)
{
	struct format_source s;
	uint8_t *p = exact(f);
	size_t got = 0;
	enum rk_err rc = format_npz_open_mem(&s, p, f->n, "a.npz", name, why);

	if (rc == RK_OK)
		rc = format_source_read(&s, out, 64, &got, why);
	if (rc == RK_OK)
		rc = format_source_end(&s, why);
	out[got] = '\0';
	format_source_close(&s);
	free(p);
	return rc;
}

static void
bad_npz(const struct file *f, const char *name, const char *words)
{
	struct rk_why why = {0};
	char out[65];

	t_eq_int(unpack(f, name, out, &why), RK_EINVAL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
}

static const struct member two[] = {
	{ "x.npy", "the features are here, here, here", false, 0 },
	{ "y.npy", "labels, labels, labels, labels", true, 0 },
};

T_CASE(members_of_an_archive_are_found_stored_or_deflated)
{
	struct file f = npz(two, 2);
	struct rk_why why = {0};
	char out[65];

	t_eq_int(unpack(&f, "x", out, &why), RK_OK);
	t_eq_str(out, two[0].bytes);
	t_eq_int(unpack(&f, "y", out, &why), RK_OK);
	t_eq_str(out, two[1].bytes);
	bad_npz(&f, "z", "a.npz: has no array \"z\"; there is \"x\", \"y\"");
	bad_npz(&f, "x.npy", "has no array \"x.npy\"");
	bad_npz(&f, "", "has no array \"\"");
	/* A comment at the end, which has the end's own mark in it. */
	f.p[f.n - 2] = 30;
	put(&f, "PK\5\6 is what an end begins with", 30);
	t_eq_int(unpack(&f, "y", out, &why), RK_OK);
}

T_CASE(an_archive_cut_anywhere_is_refused)
{
	const struct file f = npz(two, 2);

	for (size_t n = 0; n < f.n; n++) {
		struct file cut = f;
		cut.n = n;
		bad_npz(&cut, "x", "is no whole npz");
	}
}

/* Any byte may be another: refused, or what was there comes out. */
T_CASE(a_flipped_byte_never_gives_other_numbers)
{
	const struct file f = npz(two, 2);

	for (size_t i = 0; i < f.n; i++)
		for (size_t k = 0; k < 2; k++) {
			struct rk_why why = {0};
			struct file other = f;
			char out[65];
			other.p[i] ^= 0x15;
			if (unpack(&other, k == 0 ? "x" : "y", out, &why) ==
			    RK_OK)
				t_eq_str(out, two[k].bytes);
			else
				t_eq_int(why.n, 1);
			rk_why_fini(&why);
		}
}

T_CASE(what_an_archive_may_not_have_is_refused)
{
	const struct member twins[] = { two[0], two[0] };
	const struct member locked[] = { { "x.npy", "secret", false, 1 } };
	struct file f = npz(twins, 2);

	bad_npz(&f, "x", "has two arrays \"x\"");
	f = npz(locked, 1);
	bad_npz(&f, "x", "its array \"x\" is encrypted");
	f = npz(two, 2);
	f.p[8] = f.p[f.n - 22 - 2 * (46 + 5) + 10] = 12;        /* bzip2 */
	bad_npz(&f, "x", "by another method than deflate");
	f = npz(two, 2);
	f.p[30] = 'z';
	bad_npz(&f, "x", "has two headers that differ");
	f = npz(two, 0);
	bad_npz(&f, "x", "there is none");
	f = npz(two, 2);
	f.p[f.n - 22 + 4] = 1;
	bad_npz(&f, "x", "of several disks");
}

/* A member that says less than what comes out of it, and one that says more. */
T_CASE(a_member_unpacks_to_what_the_directory_says)
{
	struct file f = npz(two, 2);
	uint8_t *size = f.p + f.n - 22 - (46 + 5) + 24;

	t_eq_int(*size, 30);
	*size = 29;
	bad_npz(&f, "y", "unpacks to more than the 29 bytes");
	*size = 31;
	bad_npz(&f, "y", "unpacks to 30 bytes, the archive says 31");
	*size = 30;
	size[-8] ^= 1;
	bad_npz(&f, "y", "is damaged: its CRC-32 is");
}

/* As numpy writes what may grow past 4 GiB: sizes in the extra field. */
T_CASE(sizes_of_64_bits_are_read)
{
	struct file f = { .n = 0 };
	struct rk_why why = {0};
	char out[65];
	const uint32_t crc = (uint32_t)crc32(0, (const Bytef *)"abc", 3);
	const struct file packed = deflated("abc", 3);

	t_check(packed.n != 3);         /* two sizes that can be told apart */
	put_le(&f, 0x04034b50, 4);
	put_le(&f, 45 | (uint64_t)8 << 32, 10);
	put_le(&f, crc, 4);
	put_le(&f, UINT64_MAX, 8);
	put_le(&f, 5 | 20 << 16, 4);
	put(&f, "x.npy", 5);
	put_le(&f, 1 | 16 << 16, 4);
	put_le(&f, 3, 8);
	put_le(&f, packed.n, 8);
	put(&f, packed.p, packed.n);
	const uint64_t dir = f.n;
	put_le(&f, 0x02014b50, 4);
	put_le(&f, 45 | (uint64_t)8 << 48, 12);
	put_le(&f, crc, 4);
	put_le(&f, UINT64_MAX, 8);
	put_le(&f, 5 | 28 << 16, 4);
	put_le(&f, 0, 10);
	put_le(&f, UINT32_MAX, 4);
	put(&f, "x.npy", 5);
	put_le(&f, 1 | 24 << 16, 4);
	put_le(&f, 3, 8);
	put_le(&f, packed.n, 8);
	put_le(&f, 0, 8);
	const uint64_t end64 = f.n;
	put_le(&f, 0x06064b50, 4);
	put_le(&f, 44, 8);
	put_le(&f, 45 | 45 << 16, 4);
	put_le(&f, 0, 8);
	put_le(&f, 1, 8);
	put_le(&f, 1, 8);
	put_le(&f, end64 - dir, 8);
	put_le(&f, dir, 8);
	put_le(&f, 0x07064b50, 4);
	put_le(&f, 0, 4);
	put_le(&f, end64, 8);
	put_le(&f, 1, 4);
	put_le(&f, 0x06054b50, 4);
	put_le(&f, 0, 4);
	put_le(&f, UINT64_MAX, 4);
	put_le(&f, UINT64_MAX, 8);
	put_le(&f, 0, 2);
	if (unpack(&f, "x", out, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_str(out, "abc");
}

/* --- sources -------------------------------------------------------------- */

T_CASE(the_elements_of_a_plain_array_have_a_place_in_its_file)
{
	const struct file f = npz(two, 2);
	struct format_source s;
	struct rk_why why = {0};
	uint64_t at, passed;
	char out[4];
	int fd;

	FILE *w = fopen("a.npz", "wb");
	t_check(w != NULL && fwrite(f.p, 1, f.n, w) == f.n && fclose(w) == 0);
	t_eq_int(format_npz_open(&s, "a.npz", "x", &why), RK_OK);
	t_check(format_source_place(&s, &fd, &at));
	t_check(pread(fd, out, 3, (off_t)at) == 3 && !memcmp(out, "the", 3));
	t_eq_int(format_source_pass(&s, 4, &passed, &why), RK_OK);
	t_eq_int(passed, 4);
	t_check(format_source_place(&s, &fd, &at));
	t_check(pread(fd, out, 3, (off_t)at) == 3 && !memcmp(out, "fea", 3));
	format_source_close(&s);
	t_eq_int(format_npz_open(&s, "a.npz", "y", &why), RK_OK);
	t_check(!format_source_place(&s, &fd, &at));
	format_source_close(&s);
	t_eq_int(format_npz_open(&s, "b.npz", "y", &why), RK_ENOENT);
	format_source_close(&s);
	t_has(rk_why_first(&why), "b.npz: ");
	rk_why_fini(&why);
}

T_CASE(gunzipping_a_file_stops_at_the_bytes_that_are_taken)
{
	char text[300000], *p = NULL;
	struct rk_why why = {0};
	uint64_t size;
	size_t n;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 7);
	gzFile z = gzopen("a.gz", "wb");
	t_check(gzwrite(z, text, sizeof(text)) == sizeof(text));
	t_check(gzclose(z) == Z_OK);
	FILE *out = fopen("a", "wb");
	t_eq_int(format_gunzip("a.gz", fileno(out), sizeof(text), &size, &why),
	    RK_OK);
	t_eq_int(size, sizeof(text));
	fclose(out);
	t_eq_int(rk_read_file(AT_FDCWD, "a", 1 << 20, &p, &n), RK_OK);
	t_check(n == sizeof(text) && memcmp(p, text, n) == 0);
	free(p);
	out = fopen("b", "wb");
	t_eq_int(format_gunzip("a.gz", fileno(out), sizeof(text) - 1, &size,
	    &why), RK_ELIMIT);
	t_has(rk_why_first(&why), "a.gz: unpacks to more than 293 KiB");
	rk_why_fini(&why);
	fclose(out);
	out = fopen("/dev/full", "wb");
	t_eq_int(format_gunzip("a.gz", fileno(out), sizeof(text), &size, &why),
	    RK_ENOSPC);
	fclose(out);
	rk_why_fini(&why);
}

T_MAIN
