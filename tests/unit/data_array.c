/*
 * Arrays of NumPy as data sets: npy and npz.
 */
#include <zlib.h>

#include "rekindle/data.h"
#include "t.h"

/* An array; `head` is its type, order and shape as the header has them. */
#define C_ORDER(descr, shape) "{'descr': '" descr "', 'fortran_order': False, " \
    "'shape': " shape ", }\n"
#define F_ORDER(descr, shape) "{'descr': '" descr "', 'fortran_order': True, " \
    "'shape': " shape ", }\n"

struct file {
	uint8_t p[4096];
	size_t n;
};

static struct file
array(const char *header, const void *data, size_t n)
{
	struct file f = { .n = 10 };
	const size_t len = strlen(header);

	memcpy(f.p, "\x93NUMPY\1\0", 8);
	f.p[8] = (uint8_t)len;
	f.p[9] = (uint8_t)(len >> 8);
	memcpy(f.p + f.n, header, len);
	f.n += len;
	memcpy(f.p + f.n, data, n);
	f.n += n;
	return f;
}

static void
write_file(const char *path, const struct file *f)
{
	FILE *w = fopen(path, "wb");

	t_check(w != NULL && fwrite(f->p, 1, f->n, w) == f->n &&
	    fclose(w) == 0);
}

static const struct spec_source plain = { .type = SPEC_NPY };
static const struct spec_source tokens = { .type = SPEC_NPY, .vocabulary = 8 };
static const struct spec_source shaped = { .type = SPEC_NPY, .ndim = 3,
	.shape = { 1, 3, 2 } };

static struct data_set *
parse(const struct file *f, const struct spec_source *s, bool labels)
{
	struct rk_why why = {0};
	struct data_set *d;
	uint8_t *p = malloc(f->n);

	memcpy(p, f->p, f->n);
	if (data_parse_npy(p, f->n, "a.npy", s, labels, &d, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	free(p);
	return d;
}

static void
refuses(const struct file *f, const struct spec_source *s, bool labels,
    const char *sentence)
{
	struct rk_why why = {0};
	struct data_set *d = NULL;

	t_eq_int(data_parse_npy(f->p, f->n, "a.npy", s, labels, &d, &why),
	    RK_EINVAL);
	t_eq_str(rk_why_first(&why), sentence);
	t_check(d == NULL && why.n == 1);
	rk_why_fini(&why);
}

T_CASE(bytes_stay_bytes_and_have_the_arrays_shape)
{
	const struct file f = array(C_ORDER("|u1", "(2, 3, 2)"),
	    "\0\1\2\3\4\5\6\7\10\11\12\377", 12);
	struct data_set *d = parse(&f, &plain, false);

	t_check(d->n == 2 && d->ndim == 2 && d->d[0] == 3 && d->d[1] == 2);
	t_check(d->width == 6 && d->floats == NULL && d->tokens == NULL);
	t_check(d->bytes[0] == 0 && d->bytes[11] == 255);
	data_close(d);
	d = parse(&f, &shaped, false);
	t_check(d->ndim == 3 && d->d[0] == 1 && d->d[1] == 3 && d->d[2] == 2);
	data_close(d);
}

T_CASE(all_other_numbers_are_floats)
{
	const int64_t x[] = { 1, -2, 1 << 20 };
	struct file f = array(C_ORDER("<i8", "(3,)"), x, sizeof(x));
	struct data_set *d = parse(&f, &plain, false);

	t_check(d->n == 3 && d->ndim == 1 && d->d[0] == 1 && d->width == 1);
	t_check(d->bytes == NULL && d->floats[1] == -2 &&
	    d->floats[2] == 1 << 20);
	data_close(d);
	f = array(C_ORDER("|b1", "(2, 2)"), "\1\0\0\1", 4);
	d = parse(&f, &plain, false);
	t_check(d->floats[0] == 1 && d->floats[1] == 0 && d->floats[3] == 1);
	data_close(d);
}

/* [2, 2, 3] whose element [i][j][k] is 100 i + 10 j + k. */
T_CASE(fortrans_order_is_put_into_cs)
{
	float x[12];
	uint8_t b[12];
	size_t at = 0;

	for (int k = 0; k < 3; k++)
		for (int j = 0; j < 2; j++)
			for (int i = 0; i < 2; i++, at++) {
				x[at] = (float)(100 * i + 10 * j + k);
				b[at] = (uint8_t)x[at];
			}
	struct file f = array(F_ORDER("<f4", "(2, 2, 3)"), x, sizeof(x));
	struct file g = array(F_ORDER("|u1", "(2, 2, 3)"), b, sizeof(b));
	struct data_set *d = parse(&f, &plain, false);
	struct data_set *e = parse(&g, &plain, false);
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			for (int k = 0; k < 3; k++) {
				const int want = 100 * i + 10 * j + k;
				t_check(d->floats[6 * i + 3 * j + k] ==
				    (float)want);
				t_check(e->bytes[6 * i + 3 * j + k] == want);
			}
	data_close(d);
	data_close(e);
	x[7] = NAN;                     /* sample 7 % 2 */
	f = array(F_ORDER("<f4", "(2, 2, 3)"), x, sizeof(x));
	refuses(&f, &plain, false, "a.npy: a number of sample 1 (from 0) is "
	    "nan, no finite 32-bit number");
}

T_CASE(whole_numbers_are_tokens_where_there_is_a_vocabulary)
{
	const int16_t x[] = { 0x0700, 0x0100, 0x0000, 0x0300 };
	struct file f = array(C_ORDER(">i2", "(2, 2)"), x, sizeof(x));
	struct data_set *d = parse(&f, &tokens, false);

	t_check(d->tokens != NULL && d->floats == NULL && d->bytes == NULL);
	t_check(d->vocabulary == 8 && d->width == 2);
	t_check(d->tokens[0] == 7 && d->tokens[1] == 1 && d->tokens[3] == 3);
	data_close(d);
	f = array(C_ORDER("|u1", "(2, 2)"), "\1\2\3\10", 4);
	refuses(&f, &tokens, false, "a.npy: element 1 of sample 1 (both from "
	    "0) is 8, want 0 to 7, for the vocabulary is 8");
	f = array(C_ORDER("|i1", "(2, 2)"), "\1\377\3\7", 4);
	refuses(&f, &tokens, false, "a.npy: element 1 of sample 0 (both from "
	    "0) is -1, want 0 to 7, for the vocabulary is 8");
	f = array(C_ORDER("<f4", "(1, 1)"), "\0\0\0\0", 4);
	refuses(&f, &tokens, false, "a.npy: is 1 x 1 of float32, and tokens "
	    "are whole numbers");
}

T_CASE(labels_are_one_a_sample_and_of_any_type)
{
	const int64_t y[] = { 0, 2, 1 };
	const float t[] = { 0.5f, -1, 3 };
	struct file f = array(C_ORDER("<i8", "(3,)"), y, sizeof(y));
	struct data_set *d = parse(&f, &tokens, true);

	t_check(d->n == 3 && d->width == 0 && d->nclasses == 3);
	t_check(d->classes[1] == 2 && d->targets[1] == 2);
	data_close(d);
	f = array(C_ORDER("<f4", "(3, 1)"), t, sizeof(t));
	d = parse(&f, &plain, true);
	t_check(d->classes == NULL && d->targets[0] == 0.5f &&
	    d->targets[1] == -1);
	data_close(d);
	f = array(C_ORDER("<f4", "(1, 3)"), t, sizeof(t));
	refuses(&f, &plain, true, "a.npy: is 1 x 3 of float32, want a label a "
	    "sample: one dimension, or a second one of 1");
	f = array(C_ORDER("<f4", "(3,)"), "\0\0\x80\x7f........", 12);
	refuses(&f, &plain, true, "a.npy: number 0 (from 0) is inf, no finite "
	    "32-bit number");
}

T_CASE(what_is_no_set_of_samples_is_refused)
{
	static const struct {
		const char *header, *sentence;
		const struct spec_source *s;
		bool labels;
	} v[] = {
		{ C_ORDER("|u1", "()"), "a.npy: is one number, want an array "
		    "of samples", &plain, false },
		{ C_ORDER("|u1", "()"), "a.npy: is one number, want an array "
		    "of labels", &plain, true },
		{ C_ORDER("|u1", "(0, 4)"), "a.npy: is 0 x 4 of uint8, and "
		    "that is none", &plain, false },
		{ C_ORDER("|u1", "(1, 1, 1, 1, 1, 4)"), "a.npy: is 1 x 1 x 1 x "
		    "1 x 1 x 4 of uint8, so a sample has 5 dimensions, want 1 "
		    "to 4", &plain, false },
		{ C_ORDER("|u1", "(1, 4)"), "a.npy: is 1 x 4 of uint8, so a "
		    "sample has 4 numbers, and the job's shape has 6", &shaped,
		    false },
		{ C_ORDER("|u1", "(3,)"), "a.npy: has more bytes than its "
		    "header says", &plain, false },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++) {
		const struct file f = array(v[i].header, "0123", 4);
		refuses(&f, v[i].s, v[i].labels, v[i].sentence);
	}
}

/* --- a job's -------------------------------------------------------------- */

static struct data_set *
opens(struct spec_data *s)
{
	struct rk_why why = {0};
	struct data_set *t, *v;

	if (data_open(s, &t, &v, &why) != RK_OK)
		t_fail("refused: %s", rk_why_text(&why));
	t_check(v == NULL);
	return t;
}

static char x_npy[] = "x.npy", y_npy[] = "y.npy";

T_CASE(two_files_are_one_set_and_standard_is_per_feature)
{
	const double x[] = { 1, 10, 3, 10, 5, 10 };
	const uint8_t y[] = { 1, 0, 1 };
	struct spec_data s = { .train = { .type = SPEC_NPY, .path = x_npy,
	    .labels = y_npy }, .normalize = { .type = SPEC_NORM_STANDARD } };
	struct file f = array(C_ORDER("<f8", "(3, 2)"), x, sizeof(x));
	float out[6];

	write_file("x.npy", &f);
	f = array(C_ORDER("|u1", "(3,)"), y, sizeof(y));
	gzFile z = gzopen("y.npy", "wb");       /* packed is fine, too */
	t_check(gzwrite(z, f.p, (unsigned)f.n) == (int)f.n &&
	    gzclose(z) == Z_OK);
	struct data_set *d = opens(&s);
	t_check(d->n == 3 && d->nclasses == 2 && d->classes[0] == 1);
	t_eq_int(d->nnorm, 2);
	data_gather(d, (int64_t[]){ 0, 1, 2 }, 3, out, NULL, NULL);
	/* Mean 3, variance 8/3; a feature that never changes is 0. */
	t_near(out[0], -2 / sqrt(8.0 / 3), 1e-6);
	t_near(out[4], 2 / sqrt(8.0 / 3), 1e-6);
	t_check(out[1] == 0 && out[3] == 0);
	data_close(d);
}

T_CASE(files_of_other_lengths_are_refused_by_both_names)
{
	struct spec_data s = { .train = { .type = SPEC_NPY, .path = x_npy,
	    .labels = y_npy }, .normalize = { .type = SPEC_NORM_SCALE } };
	struct file f = array(C_ORDER("|u1", "(3, 2)"), "012345", 6);
	struct rk_why why = {0};
	struct data_set *t, *v;

	write_file("x.npy", &f);
	f = array(C_ORDER("|u1", "(2,)"), "01", 2);
	write_file("y.npy", &f);
	t_eq_int(data_open(&s, &t, &v, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "data.train: x.npy (path) has 3 samples, "
	    "but y.npy (labels) has 2 labels");
	rk_why_fini(&why);
}

T_MAIN
