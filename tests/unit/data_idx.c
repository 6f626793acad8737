/*
 * IDX: every element type, plain and gzip, and a sentence for each way in which
 * a header can lie or a file be cut.
 */
#include <zlib.h>

#include "rekindle/data.h"
#include "t.h"

/* A file being made. */
struct file {
	uint8_t p[4096];
	size_t n;
};

static void
put(struct file *f, const void *p, size_t n)
{
	t_check(f->n + n <= sizeof(f->p));
	memcpy(f->p + f->n, p, n);
	f->n += n;
}

static void
put32(struct file *f, uint32_t v)
{
	const uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
	    (uint8_t)(v >> 8), (uint8_t)v };
	put(f, b, 4);
}

static struct file
header(int type, int ndim, const uint32_t *dim)
{
	struct file f = { .n = 0 };
	const uint8_t magic[4] = { 0, 0, (uint8_t)type, (uint8_t)ndim };

	put(&f, magic, 4);
	for (int i = 0; i < ndim; i++)
		put32(&f, dim[i]);
	return f;
}

/* Two images of 2x3 with the pixels 0, 20, ..., 220. */
static struct file
images(void)
{
	struct file f = header(8, 3, (uint32_t[]){ 2, 2, 3 });

	for (int i = 0; i < 12; i++)
		put(&f, &(uint8_t){ (uint8_t)(i * 20) }, 1);
	return f;
}

static struct file
gzip(const struct file *in)
{
	struct file out = { .n = 0 };
	z_stream z = { 0 };

	t_check(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0) == Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in->p;
	z.avail_in = (uInt)in->n;
	z.next_out = out.p;
	z.avail_out = sizeof(out.p);
	t_check(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out.n = z.total_out;
	deflateEnd(&z);
	return out;
}

static struct data_set *
parse(const struct file *f)
{
	struct rk_why why = { 0 };
	struct data_set *d;

	/* Exactly sized, so that ASan sees a read past the end. */
	uint8_t *p = malloc(f->n + 1);
	memcpy(p, f->p, f->n);
	if (data_parse_idx(p, f->n, "a.idx", &d, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	free(p);
	return d;
}

static void
refuses(const struct file *f, const char *sentence)
{
	struct rk_why why = { 0 };
	struct data_set *d;
	uint8_t *p = malloc(f->n + 1);

	memcpy(p, f->p, f->n);
	t_eq_int(data_parse_idx(p, f->n, "a.idx", &d, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), sentence);
	t_eq_int(why.n, 1);
	rk_why_fini(&why);
	free(p);
}

static void
check_images(struct data_set *d)
{
	t_eq_int(d->n, 2);
	t_eq_int(d->ndim, 3);
	t_check(d->d[0] == 1 && d->d[1] == 2 && d->d[2] == 3);
	t_eq_int(d->width, 6);
	t_check(d->floats == NULL && d->classes == NULL);
	for (int i = 0; i < 12; i++)
		t_eq_int(d->bytes[i], i * 20);
	data_close(d);
}

T_CASE(grey_images_have_one_channel)
{
	struct file f = images();

	check_images(parse(&f));
}

T_CASE(gzip_is_told_from_the_bytes)
{
	struct file f = images(), z = gzip(&f);

	check_images(parse(&z));
}

T_CASE(gzip_members_in_a_row_are_one_stream)
{
	struct file f = images(), a = f, b = f, z;

	a.n = 19;
	memmove(b.p, b.p + 19, b.n -= 19);
	z = gzip(&a);
	struct file y = gzip(&b);
	put(&z, y.p, y.n);
	check_images(parse(&z));
}

T_CASE(samples_may_be_rows_or_have_channels)
{
	struct file f = header(8, 2, (uint32_t[]){ 2, 3 });
	struct data_set *d;

	put(&f, "abcdef", 6);
	d = parse(&f);
	t_check(d->ndim == 1 && d->d[0] == 3 && d->width == 3);
	data_close(d);

	f = header(8, 4, (uint32_t[]){ 1, 3, 1, 2 });
	put(&f, "abcdef", 6);
	d = parse(&f);
	t_check(d->ndim == 3 && d->d[0] == 3 && d->d[1] == 1 && d->d[2] == 2);
	data_close(d);
}

T_CASE(one_dimension_is_labels)
{
	struct file f = header(8, 1, (uint32_t[]){ 4 });

	put(&f, "\3\0\7\1", 4);
	struct data_set *d = parse(&f);
	t_check(d->ndim == 0 && d->bytes == NULL && d->floats == NULL);
	t_eq_int(d->n, 4);
	t_eq_int(d->nclasses, 8);
	t_check(d->classes[0] == 3 && d->classes[2] == 7);
	t_check(d->targets[0] == 3 && d->targets[3] == 1);
	data_close(d);
}

T_CASE(every_element_type_is_read_as_big_endian)
{
	struct file f = header(9, 2, (uint32_t[]){ 1, 2 });
	struct data_set *d;

	put(&f, "\x80\x7f", 2);
	d = parse(&f);
	t_check(d->floats[0] == -128 && d->floats[1] == 127);
	data_close(d);

	f = header(0xb, 2, (uint32_t[]){ 1, 2 });
	put(&f, "\xff\xfe\x01\x02", 4);
	d = parse(&f);
	t_check(d->floats[0] == -2 && d->floats[1] == 258);
	data_close(d);

	f = header(0xc, 2, (uint32_t[]){ 1, 2 });
	put(&f, "\xff\xff\xff\xfe\0\1\0\0", 8);
	d = parse(&f);
	t_check(d->floats[0] == -2 && d->floats[1] == 65536);
	data_close(d);

	f = header(0xd, 2, (uint32_t[]){ 1, 2 });
	put(&f, "\x3f\x80\0\0\xc0\x20\0\0", 8);
	d = parse(&f);
	t_check(d->floats[0] == 1 && d->floats[1] == -2.5f);
	data_close(d);

	f = header(0xe, 2, (uint32_t[]){ 1, 2 });
	put(&f, "\x3f\xf0\0\0\0\0\0\0\xc0\x04\0\0\0\0\0\0", 16);
	d = parse(&f);
	t_check(d->floats[0] == 1 && d->floats[1] == -2.5f);
	data_close(d);
}

T_CASE(labels_that_are_no_classes_stay_targets)
{
	struct file f = header(0xd, 1, (uint32_t[]){ 2 });

	put(&f, "\x3f\x80\0\0\xc0\x20\0\0", 8);
	struct data_set *d = parse(&f);
	t_check(d->classes == NULL && d->nclasses == 0);
	t_check(d->targets[0] == 1 && d->targets[1] == -2.5f);
	data_close(d);
}

/* --- refusals ----------------------------------------------------------- */

T_CASE(a_file_cut_off_at_any_byte_is_refused)
{
	struct file f = images();
	struct rk_why why = { 0 };
	struct data_set *d;

	for (size_t n = 0; n < f.n; n++)
		t_eq_int(data_parse_idx(f.p, n, "a.idx", &d, &why), RK_EINVAL);
	rk_why_fini(&why);
	f.n = 11;
	refuses(&f, "a.idx: ends inside its IDX header");
	f.n = 20;
	refuses(&f, "a.idx: its header says 2 x 2 x 3 elements of 1 byte, "
	    "28 bytes in all, but the file has 20");
}

T_CASE(gzip_cut_off_at_any_byte_is_refused)
{
	struct file f = images(), z = gzip(&f);
	struct rk_why why = { 0 };
	struct data_set *d;

	for (size_t n = 0; n < z.n; n++)
		t_eq_int(data_parse_idx(z.p, n, "a.idx", &d, &why), RK_EINVAL);
	rk_why_fini(&why);
	z.n -= 6;
	refuses(&z, "a.idx: its gzip stream ends early: the file is cut off");
}

T_CASE(gzip_with_a_wrong_checksum_is_refused)
{
	struct file f = images(), z = gzip(&f);

	z.p[z.n - 8] ^= 1;
	refuses(&z, "a.idx: its gzip stream is corrupt (incorrect data check)");
}

T_CASE(gzip_that_ends_before_the_elements_do_is_refused)
{
	struct file f = images();

	f.n -= 3;
	struct file z = gzip(&f);
	refuses(&z, "a.idx: ends after 9 of 12 bytes of elements");
}

T_CASE(bytes_after_the_end_are_refused)
{
	struct file f = images(), z = gzip(&f);

	put(&z, "x", 1);
	refuses(&z, "a.idx: has bytes after the end of its gzip stream");
	put(&f, "x", 1);
	refuses(&f, "a.idx: has more bytes than its header says");
	z = gzip(&f);
	refuses(&z, "a.idx: has more bytes than its header says");
}

T_CASE(a_header_that_promises_more_than_gzip_can_hold_is_refused)
{
	struct file f = header(8, 3, (uint32_t[]){ 60000, 100, 100 });
	struct file z = gzip(&f);
	char want[200];

	snprintf(want, sizeof(want), "a.idx: its header says 60000 x 100 x 100 "
	    "elements of 1 byte, 600000016 bytes in all, but the file has %zu "
	    "and cannot unpack to that", z.n);
	refuses(&z, want);
}

T_CASE(other_files_are_refused)
{
	struct file f = { .p = "\x89PNG....", .n = 8 };

	refuses(&f, "a.idx: is no IDX file: begins with 89 50 4e 47, want 00 "
	    "00 TYPE DIMENSIONS");
	f.n = 0;
	refuses(&f, "a.idx: ends inside its IDX header");
}

T_CASE(wrong_types_and_dimensions_are_refused)
{
	struct file f = header(0xa, 1, (uint32_t[]){ 1 });

	refuses(&f, "a.idx: has elements of type 0a, want 08, 09, 0b, 0c, 0d "
	    "or 0e");
	f = header(8, 0, NULL);
	refuses(&f, "a.idx: has 0 dimensions, want 1 to 4");
	f = header(8, 5, (uint32_t[]){ 1, 1, 1, 1, 1 });
	refuses(&f, "a.idx: has 5 dimensions, want 1 to 4");
}

T_CASE(no_samples_are_refused)
{
	struct file f = header(8, 3, (uint32_t[]){ 0, 28, 28 });

	refuses(&f, "a.idx: has no samples");
	f = header(8, 3, (uint32_t[]){ 10, 28, 0 });
	refuses(&f, "a.idx: its header says 10 x 28 x 0 elements, and that is "
	    "none");
}

T_CASE(sizes_that_overflow_are_refused)
{
	struct file f = header(8, 4, (uint32_t[]){ 1u << 31, 1u << 31, 1u << 31,
	    1u << 31 });

	refuses(&f, "a.idx: its header says 2147483648 x 2147483648 x "
	    "2147483648 x 2147483648 elements, which is over the limit of "
	    "64 GiB");
	f = header(8, 2, (uint32_t[]){ 0xffffffff, 1 });
	refuses(&f, "a.idx: has 4294967295 samples, at most 2147483648 can be");
	f = header(0xe, 2, (uint32_t[]){ 1u << 31, 1u << 30 });
	refuses(&f, "a.idx: its header says 2147483648 x 1073741824 elements, "
	    "which is over the limit of 64 GiB");
}

T_CASE(numbers_that_are_not_finite_are_refused)
{
	struct file f = header(0xd, 2, (uint32_t[]){ 2, 2 });

	put(&f, "\x3f\x80\0\0\x3f\x80\0\0\x3f\x80\0\0\x7f\xc0\0\0", 16);
	refuses(&f, "a.idx: element 1 of sample 1 (both from 0) is no finite "
	    "32-bit number");
	/* 1e300 is a number, but not to a float. */
	f = header(0xe, 1, (uint32_t[]){ 1 });
	put(&f, "\x7e\x37\xe4\x3c\x88\x00\x75\x9c", 8);
	refuses(&f, "a.idx: element 0 of sample 0 (both from 0) is no finite "
	    "32-bit number");
}

T_MAIN
