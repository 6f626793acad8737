/*
 * Records of CIFAR: both forms, plain and gzip, one file and several; and a
 * sentence for each way in which one can be cut or wrong.
 */
#include <sys/stat.h>
#include <zlib.h>

#include "rekindle/data.h"
#include "t.h"

#define PIXELS 3072

/* A file being made. */
struct file {
	uint8_t *p;
	size_t n;
};

/* Memory that a case has to its end. */
static uint8_t *
memory(size_t n)
{
	static uint8_t *kept[32];
	static size_t nkept;

	t_check(nkept < 32);
	return kept[nkept++] = calloc(1, n);
}

/* Pixel k of plane c of record i. */
static uint8_t
pixel(int i, int c, int k)
{
	return (uint8_t)(i * 7 + c * 50 + k % 13);
}

/* n records whose labels are these, from record `first` of all on. */
static struct file
records(int first, int n, int nlabels, const uint8_t *labels)
{
	struct file f = { memory((size_t)n * (PIXELS + 2) + 1), 0 };

	for (int i = 0; i < n; i++) {
		for (int k = 0; k < nlabels; k++)
			f.p[f.n++] = labels[i * nlabels + k];
		for (int k = 0; k < PIXELS; k++)
			f.p[f.n++] = pixel(first + i, k / 1024, k % 1024);
	}
	return f;
}

static struct file
gzip(const struct file *in)
{
	struct file out = { memory(in->n + 1000), 0 };
	z_stream z = { 0 };

	t_check(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0) == Z_OK);
	z.next_in = in->p;
	z.avail_in = (uInt)in->n;
	z.next_out = out.p;
	z.avail_out = (uInt)in->n + 1000;
	t_check(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out.n = z.total_out;
	deflateEnd(&z);
	return out;
}

static void
write_file(const char *path, const struct file *f)
{
	FILE *out = fopen(path, "wb");

	t_check(out != NULL && fwrite(f->p, 1, f->n, out) == f->n &&
	    fclose(out) == 0);
}

static struct spec_source
source(int64_t classes, enum spec_label label)
{
	return (struct spec_source){
		.type = SPEC_CIFAR, .classes = classes, .label = label,
	};
}

static struct data_set *
parse(const struct file *f, struct spec_source s)
{
	struct rk_why why = { 0 };
	struct data_set *d;

	/* Exactly sized, so that ASan sees a read past the end. */
	uint8_t *p = malloc(f->n + 1);
	memcpy(p, f->p, f->n);
	if (data_parse_cifar(p, f->n, "a.bin", &s, &d, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	free(p);
	return d;
}

static void
refuses(const struct file *f, struct spec_source s, const char *sentence)
{
	struct rk_why why = { 0 };
	struct data_set *d;
	uint8_t *p = malloc(f->n + 1);

	memcpy(p, f->p, f->n);
	t_eq_int(data_parse_cifar(p, f->n, "a.bin", &s, &d, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), sentence);
	t_eq_int(why.n, 1);
	rk_why_fini(&why);
	free(p);
}

static void
check_pixels(const struct data_set *d, int n)
{
	t_eq_int(d->n, n);
	t_check(d->ndim == 3 && d->d[0] == 3 && d->d[1] == 32 && d->d[2] == 32);
	t_eq_int(d->width, PIXELS);
	t_check(d->bytes != NULL && d->floats == NULL && d->tokens == NULL);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < PIXELS; k++)
			t_check(d->bytes[i * PIXELS + k] ==
			    pixel(i, k / 1024, k % 1024));
}

static const uint8_t ten[] = { 9, 0, 3 };
static const uint8_t hundred[] = { 19, 99, 0, 4, 7, 41 };

T_CASE(records_of_ten_classes_have_one_label)
{
	struct file f = records(0, 3, 1, ten);
	struct data_set *d = parse(&f, source(10, SPEC_LABEL_FINE));

	check_pixels(d, 3);
	for (int i = 0; i < 3; i++)
		t_eq_int(d->classes[i], ten[i]);
	t_eq_int(d->nclasses, 10);
	data_close(d);
}

T_CASE(records_of_a_hundred_classes_have_a_coarse_and_a_fine_one)
{
	struct file f = records(0, 3, 2, hundred);
	struct data_set *d = parse(&f, source(100, SPEC_LABEL_FINE));

	check_pixels(d, 3);
	for (int i = 0; i < 3; i++)
		t_eq_int(d->classes[i], hundred[2 * i + 1]);
	data_close(d);
	d = parse(&f, source(100, SPEC_LABEL_COARSE));
	check_pixels(d, 3);
	for (int i = 0; i < 3; i++)
		t_eq_int(d->classes[i], hundred[2 * i]);
	data_close(d);
}

/* More than are read at a time, and more than are first made room for. */
T_CASE(gzip_is_told_from_the_bytes_however_many_records_there_are)
{
	enum { MANY = 2500 };
	uint8_t *labels = memory(MANY);

	for (int i = 0; i < MANY; i++)
		labels[i] = (uint8_t)(i % 10);
	struct file f = records(0, MANY, 1, labels), z = gzip(&f);
	struct data_set *d = parse(&z, source(10, SPEC_LABEL_FINE));
	check_pixels(d, MANY);
	for (int i = 0; i < MANY; i++)
		t_eq_int(d->classes[i], i % 10);
	data_close(d);
}

/* --- refusals ------------------------------------------------------------- */

T_CASE(a_file_that_is_no_whole_number_of_records_is_refused)
{
	struct file f = records(0, 2, 1, ten), z;

	f.n -= 1;
	refuses(&f, source(10, SPEC_LABEL_FINE), "a.bin: has 6145 bytes, which "
	    "are 1 record of CIFAR-10 (3073 bytes each) and 3072 bytes more");
	z = gzip(&f);
	refuses(&z, source(10, SPEC_LABEL_FINE), "a.bin: has 6145 bytes "
	    "unpacked, which are 1 record of CIFAR-10 (3073 bytes each) and "
	    "3072 bytes more");
	f.n = 1;
	refuses(&f, source(10, SPEC_LABEL_FINE), "a.bin: has 1 byte, which "
	    "is 0 records of CIFAR-10 (3073 bytes each) and 1 byte more");
}

T_CASE(records_of_the_other_form_are_recognised)
{
	struct file f = records(0, 2, 2, hundred);

	refuses(&f, source(10, SPEC_LABEL_FINE), "a.bin: has 6148 bytes, which "
	    "are 2 records of CIFAR-10 (3073 bytes each) and 2 bytes more; of "
	    "CIFAR-100 it would be whole records: classes: 100");
	f = records(0, 2, 1, ten);
	refuses(&f, source(100, SPEC_LABEL_FINE), "a.bin: has 6146 bytes, "
	    "which are 1 record of CIFAR-100 (3074 bytes each) and 3072 bytes "
	    "more; of CIFAR-10 it would be whole records: classes: 10");
}

T_CASE(no_records_are_refused)
{
	struct file f = records(0, 1, 1, ten), z;

	f.n = 0;
	z = gzip(&f);
	refuses(&f, source(10, SPEC_LABEL_FINE), "a.bin: has no records");
	refuses(&z, source(10, SPEC_LABEL_FINE), "a.bin: has no records");
}

T_CASE(a_label_out_of_its_range_is_refused_with_its_record)
{
	uint8_t bad[] = { 9, 10, 3 };
	uint8_t coarse[] = { 19, 99, 20, 4 }, fine[] = { 0, 100, 0, 4 };
	struct file f = records(0, 3, 1, bad);

	refuses(&f, source(10, SPEC_LABEL_FINE), "a.bin: record 1 (from 0): "
	    "the label is 10, want 0 to 9, so this is no file of "
	    "CIFAR-10's binary records");
	/* The one that is not chosen shows another file, too. */
	f = records(0, 2, 2, coarse);
	refuses(&f, source(100, SPEC_LABEL_FINE), "a.bin: record 1 (from 0): "
	    "the coarse label is 20, want 0 to 19, so this is no file of "
	    "CIFAR-100's binary records");
	f = records(0, 2, 2, fine);
	refuses(&f, source(100, SPEC_LABEL_COARSE), "a.bin: record 0 (from "
	    "0): the fine label is 100, want 0 to 99, so this is no file of "
	    "CIFAR-100's binary records");
}

T_CASE(gzip_cut_off_anywhere_is_refused)
{
	struct file f = records(0, 2, 1, ten), z = gzip(&f);
	struct spec_source s = source(10, SPEC_LABEL_FINE);

	for (size_t n = 2; n < z.n; n++) {
		struct rk_why why = { 0 };
		struct data_set *d;
		t_eq_int(data_parse_cifar(z.p, n, "a.bin", &s, &d, &why),
		    RK_EINVAL);
		t_has(rk_why_first(&why), "ends early");
		rk_why_fini(&why);
	}
}

/* --- several files -------------------------------------------------------- */

static void
opens(struct spec_data *s, struct data_set **t, struct data_set **v)
{
	struct rk_why why = { 0 };

	if (data_open(s, t, v, &why) != RK_OK)
		t_fail("refused: %s", rk_why_text(&why));
}

/* Three records in a plain file, then two in a packed one. */
static struct spec_data
two_files(void)
{
	static char a[] = "a.bin", b[] = "b.bin.gz";
	const uint8_t more[] = { 5, 8 };
	struct file f = records(0, 3, 1, ten), g = records(3, 2, 1, more);
	struct file z = gzip(&g);

	write_file("a.bin", &f);
	write_file("b.bin.gz", &z);
	struct spec_data s = {
		.train = source(10, SPEC_LABEL_FINE),
		.normalize = { .type = SPEC_NORM_SCALE },
	};
	s.train.files[0] = a;
	s.train.files[1] = b;
	s.train.nfiles = 2;
	return s;
}

T_CASE(files_of_a_list_are_one_behind_the_other)
{
	struct spec_data s = two_files();
	struct data_set *t, *v;

	opens(&s, &t, &v);
	check_pixels(t, 5);
	t_eq_int(t->classes[0], 9);
	t_eq_int(t->classes[3], 5);
	t_eq_int(t->classes[4], 8);
	data_close(t);
}

T_CASE(every_file_of_a_list_that_cannot_be_read_is_named)
{
	static char c[] = "c.bin";
	struct spec_data s = two_files();
	struct rk_why why = { 0 };
	struct data_set *t, *v;

	t_eq_int(truncate("a.bin", 3073), 0);
	t_eq_int(truncate("b.bin.gz", 30), 0);
	s.train.files[2] = c;
	s.train.nfiles = 3;
	t_check(data_open(&s, &t, &v, &why) != RK_OK);
	char *text = rk_why_text(&why);
	t_has(text, "b.bin.gz: its gzip stream ends early");
	t_has(text, "c.bin: there is no such file");
	free(text);
	rk_why_fini(&why);
}

T_CASE(a_label_past_the_outputs_is_refused_with_its_file_and_place)
{
	struct spec_data s = two_files();
	struct rk_why why = { 0 };
	struct data_set *t, *v;

	opens(&s, &t, &v);
	t_eq_int(data_check_classes(t, 9, -1, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "a.bin: the label of sample 0 (from 0) is "
	    "9, want 0 to 8, for the network has 9 outputs");
	rk_why_fini(&why);
	why = (struct rk_why){ 0 };
	data_close(t);
	/* Of a part that was split off, too. */
	struct file f = records(0, 3, 1, (const uint8_t[]){ 1, 0, 3 });
	write_file("a.bin", &f);
	s.validation_split = 0.4;
	s.split_seed = 1;
	opens(&s, &t, &v);
	t_check((t->nclasses == 9) != (v->nclasses == 9));
	t_eq_int(data_check_classes(t->nclasses == 9 ? t : v, 8, -1,
	    &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "b.bin.gz: the label of sample 1 (from "
	    "0) is 8, want 0 to 7, for the network has 8 outputs");
	rk_why_fini(&why);
	data_close(t);
	data_close(v);
}

/* Zeros are good records, and 192 MiB of them are 190 KB packed. */
T_CASE(what_unpacks_to_more_than_memory_holds_is_refused)
{
#if RK_SANITIZED
	t_skip("ASan takes address space of its own");
#endif
	static char a[] = "a.gz";
	struct spec_data s = { .train = source(10, SPEC_LABEL_FINE) };
	unsigned long pages;
	struct file f = { memory(65536u * 3073), 65536u * 3073 };
	struct file z = gzip(&f);
	struct rk_why why = { 0 };
	struct data_set *t, *v;

	write_file("a.gz", &z);
	s.train.files[0] = a;
	s.train.nfiles = 1;
	FILE *statm = fopen("/proc/self/statm", "r");
	t_check(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
	fclose(statm);
	const rlim_t most = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (96 << 20);
	setrlimit(RLIMIT_AS, &(struct rlimit){ most, most });
	t_eq_int(data_open(&s, &t, &v, &why), RK_ENOMEM);
	t_has(rk_why_first(&why), "a.gz: needs ");
	t_has(rk_why_first(&why), "of memory, and there is none");
	rk_why_fini(&why);
}

/* --- normalisation -------------------------------------------------------- */

T_CASE(mean_and_std_may_be_one_a_channel)
{
	struct spec_data s = two_files();
	double mean[] = { 0.485, 0.456, 0.406 };
	double std[] = { 0.229, 0.224, 0.225 };
	const int64_t which[2] = { 4, 1 };
	float *x = malloc(2 * PIXELS * sizeof(*x));
	struct data_set *t, *v;

	s.normalize = (struct spec_normalize){ SPEC_NORM_SCALE, mean, std, 3 };
	opens(&s, &t, &v);
	data_gather(t, which, 2, x, NULL, NULL);
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < PIXELS; k++) {
			const int c = k / 1024;
			const double p = pixel((int)which[i], c, k % 1024);
			/* Two roundings of numbers up to 3. */
			t_check(fabs((double)x[i * PIXELS + k] -
			    (p / 255 - mean[c]) / std[c]) < 1e-6);
		}
	data_close(t);
	free(x);
}

T_CASE(standard_is_of_each_channel_by_itself)
{
	struct spec_data s = two_files();
	const int64_t which[5] = { 0, 1, 2, 3, 4 };
	float *x = malloc(5 * PIXELS * sizeof(*x));
	struct data_set *t, *v;

	s.normalize.type = SPEC_NORM_STANDARD;
	opens(&s, &t, &v);
	t_eq_int(t->nnorm, 3);
	data_gather(t, which, 5, x, NULL, NULL);
	for (int c = 0; c < 3; c++) {
		double sum = 0, sq = 0;
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 1024; k++) {
				double e = (double)x[i * PIXELS + c * 1024 + k];
				sum += e;
				sq += e * e;
			}
		/* 5,120 values of up to 2, each off by some ulps. */
		t_check(fabs(sum / 5120) < 1e-6);
		t_check(fabs(sq / 5120 - 1) < 1e-6);
	}
	data_close(t);
	free(x);
}

T_CASE(real_records_are_read_whole)
{
	const char *shared = getenv("RK_SHARED");
	char path[600];
	struct spec_data s = { .train = source(10, SPEC_LABEL_FINE),
		.normalize = { .type = SPEC_NORM_STANDARD } };
	struct data_set *t, *v;
	int of[10] = { 0 };

	snprintf(path, sizeof(path), "%s/data/cifar10/train_2000.bin.gz",
	    shared != NULL ? shared : "../shared");
	if (access(path, R_OK) != 0)
		t_skip("no ../shared/data/cifar10");
	s.train.files[0] = path;
	s.train.nfiles = 1;
	opens(&s, &t, &v);
	t_eq_int(t->n, 2000);
	for (int64_t i = 0; i < t->n; i++)
		of[t->classes[i]]++;
	for (int i = 0; i < 10; i++)
		t_check(of[i] > 100);
	/* What all of CIFAR-10 is known to have, in the order red, green, blue,
	 * within what 2,000 of its pictures differ by. */
	const double mean[] = { 0.4914, 0.4822, 0.4465 };
	const double std[] = { 0.2470, 0.2435, 0.2616 };
	for (int c = 0; c < 3; c++) {
		const double scale = (double)t->scale[c];
		t_check(fabs(1 / (255 * scale) - std[c]) < 0.01);
		t_check(fabs(-(double)t->shift[c] / (255 * scale) - mean[c]) <
		    0.015);
	}
	data_close(t);
}

T_MAIN
