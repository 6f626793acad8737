/*
 * A job's data: files put together, split, normalised, and batches out of them.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include "rekindle/data.h"
#include "rekindle/kernel.h"
#include "t.h"

static void
write_file(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	t_check(f != NULL && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

/* n images of one channel, 2x2; pixel k of image i is (i + k) % 256. */
static void
write_images(const char *path, int n)
{
	size_t size = 16 + (size_t)n * 4;
	uint8_t *p = calloc(1, size);
	const uint8_t head[16] = { 0, 0, 8, 3, 0, 0, (uint8_t)(n >> 8),
	    (uint8_t)n, 0, 0, 0, 2, 0, 0, 0, 2 };

	memcpy(p, head, 16);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < 4; k++)
			p[16 + i * 4 + k] = (uint8_t)(i + k);
	write_file(path, p, size);
	free(p);
}

/* The label of image i is i % classes. */
static void
write_labels(const char *path, int n, int classes)
{
	uint8_t p[8 + 1000] = { 0, 0, 8, 1, 0, 0, (uint8_t)(n >> 8),
	    (uint8_t)n };

	for (int i = 0; i < n; i++)
		p[8 + i] = (uint8_t)(i % classes);
	write_file(path, p, 8 + (size_t)n);
}

/* Both kinds name their files alike; a test that wants others sets them. */
static struct spec_data
spec_of(enum spec_source_type type, enum spec_norm_type norm)
{
	static char x[] = "x", y[] = "y", vx[] = "vx", vy[] = "vy";
	static char t[] = "t.csv", v[] = "v.csv";

	return (struct spec_data){
		.train = { .type = type, .images = x, .labels = y, .path = t,
		    .label_index = -1, .delimiter = ',' },
		.validation = { .type = type, .images = vx, .labels = vy,
		    .path = v, .label_index = -1, .delimiter = ',' },
		.normalize = { .type = norm },
	};
}

static struct spec_data
idx_spec(void)
{
	return spec_of(SPEC_IDX, SPEC_NORM_SCALE);
}

static struct spec_data
csv_spec(void)
{
	return spec_of(SPEC_CSV, SPEC_NORM_STANDARD);
}

static void
opens(struct spec_data *s, uint64_t seed, struct data_set **t,
    struct data_set **v)
{
	struct rk_why why = { 0 };

	s->split_seed = seed;
	if (data_open(s, t, v, &why) != RK_OK)
		t_fail("refused: %s", rk_why_text(&why));
}

static void
refuses(struct spec_data *s, enum rk_err want, const char *sentences)
{
	struct rk_why why = { 0 };
	struct data_set *t = NULL, *v = NULL;

	t_eq_int(data_open(s, &t, &v, &why), want);
	char *text = rk_why_text(&why);
	t_eq_str(text, sentences);
	free(text);
	t_check(t == NULL && v == NULL);
	rk_why_fini(&why);
}

T_CASE(images_and_labels_come_together)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;

	write_images("x", 20);
	write_labels("y", 20, 3);
	opens(&s, 1, &t, &v);
	t_check(v == NULL);
	t_eq_int(t->n, 20);
	t_eq_int(t->nclasses, 3);
	t_eq_int(t->bytes[4 * 7 + 2], 9);
	t_eq_int(t->classes[7], 1);
	data_close(t);
}

T_CASE(validation_may_have_its_own_files)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;

	s.has_validation = true;
	write_images("x", 20);
	write_labels("y", 20, 3);
	write_images("vx", 5);
	write_labels("vy", 5, 2);
	opens(&s, 1, &t, &v);
	t_check(t->n == 20 && v->n == 5 && v->nclasses == 2);
	t_check(v->nnorm == 1 && v->scale[0] == t->scale[0]);
	data_close(t);
	data_close(v);
}

/* --- refusals ----------------------------------------------------------- */

T_CASE(missing_files_are_all_named)
{
	struct spec_data s = idx_spec();

	s.has_validation = true;
	write_images("x", 4);
	refuses(&s, RK_ENOENT, "y: there is no such file; vx: there is no such "
	    "file; vy: there is no such file");
	s = csv_spec();
	struct rk_why why = { 0 };
	struct data_set *t, *v;
	t_eq_int(data_open(&s, &t, &v, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "t.csv: ");
	rk_why_fini(&why);
}

T_CASE(a_directory_is_no_data)
{
	struct spec_data s = idx_spec();

	t_check(mkdir("x", 0700) == 0 && mkdir("t.csv", 0700) == 0);
	write_labels("y", 4, 2);
	refuses(&s, RK_EINVAL, "x: is no regular file");
	s = csv_spec();
	refuses(&s, RK_EINVAL, "t.csv: is no regular file");
}

T_CASE(images_and_labels_of_different_numbers_are_refused)
{
	struct spec_data s = idx_spec();

	write_images("x", 20);
	write_labels("y", 19, 3);
	refuses(&s, RK_EINVAL, "data.train: x (images) has "
	    "20 samples, but y (labels) has 19 labels");
}

T_CASE(images_and_labels_that_are_swapped_are_refused)
{
	struct spec_data s = idx_spec();

	write_images("y", 20);
	write_labels("x", 20, 3);
	refuses(&s, RK_EINVAL, "x: has one dimension, so it holds labels; want "
	    "images; y: holds samples of 4 numbers, want labels, which have "
	    "one dimension");
}

T_CASE(training_and_validation_of_different_shapes_are_refused)
{
	struct spec_data s = idx_spec();
	const uint8_t vx[] = { 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2,
	    1, 2 };

	s.has_validation = true;
	write_images("x", 20);
	write_labels("y", 20, 3);
	write_file("vx", vx, sizeof(vx));
	write_labels("vy", 1, 2);
	refuses(&s, RK_EINVAL,
	    "vx: its samples are 1x1x2, those of x are 1x2x2");
}

T_CASE(columns_of_validation_are_found_by_their_names)
{
	struct spec_data s = csv_spec();
	struct data_set *train, *valid;
	struct rk_why why = { 0 };
	char y[] = "y";
	size_t n;

	s.has_validation = true;
	s.train.label_name = s.validation.label_name = y;
	write_file("t.csv", "a,b,y\n1,2,0\n", 12);
	write_file("v.csv", "b,y,a\n5,1,6\n", 12);
	t_eq_int(data_open(&s, &train, &valid, &why), RK_OK);
	t_eq_int(valid->width, 2);
	t_near((double)valid->floats[0], 6, 0);
	t_near((double)valid->floats[1], 5, 0);
	t_eq_int(valid->classes[0], 1);
	t_has(data_remarks(valid, &n)[0], "are taken by their names");
	data_close(train);
	data_close(valid);
	write_file("v.csv", "a,c,y\n1,2,0\n", 12);
	refuses(&s, RK_EINVAL, "v.csv: has no column \"b\", which t.csv has; "
	    "it has \"a\", \"c\"");
	write_file("v.csv", "a,y\n1,2\n", 8);
	refuses(&s, RK_EINVAL, "v.csv: has no column \"b\", which t.csv has; "
	    "it has \"a\"");
}

T_CASE(a_file_that_memory_cannot_hold_is_refused)
{
#if RK_SANITIZED
	t_skip("ASan takes address space of its own");
#endif
	struct spec_data s = idx_spec();
	const uint8_t head[16] = { 0, 0, 8, 3, 0x20, 0, 0, 0, 0, 0, 0, 2,
	    0, 0, 0, 2 };
	struct rlimit lim = { 1 << 30, 1 << 30 };

	/* Two GiB of holes. */
	write_file("x", head, 16);
	t_check(truncate("x", 16 + ((off_t)1 << 31)) == 0);
	write_labels("y", 4, 2);
	setrlimit(RLIMIT_AS, &lim);
	refuses(&s, RK_ENOMEM,
	    "x: needs 2 GiB of memory, and there is none");
}

/* --- normalisation and batches ------------------------------------------ */

T_CASE(scale_takes_pixels_to_0_to_1)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	float x[8];
	int32_t y[2];
	const int64_t which[2] = { 19, 3 };

	write_images("x", 20);
	write_labels("y", 20, 3);
	opens(&s, 1, &t, &v);
	data_gather(t, which, 2, x, y, NULL);
	for (int k = 0; k < 4; k++) {
		t_near(x[k], (19 + k) / 255.0, 1e-7);
		t_near(x[4 + k], (3 + k) / 255.0, 1e-7);
	}
	t_check(y[0] == 19 % 3 && y[1] == 0);
	data_close(t);
}

T_CASE(mean_and_std_are_taken_off_after_the_scale)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	double mean = 0.2860, std = 0.3530;
	float x[4], y[1];
	const int64_t which[1] = { 200 };

	s.normalize.mean = &mean;
	s.normalize.std = &std;
	s.normalize.n = 1;
	write_images("x", 250);
	write_labels("y", 250, 3);
	opens(&s, 1, &t, &v);
	data_gather(t, which, 1, x, NULL, y);
	for (int k = 0; k < 4; k++)
		t_near(x[k], ((200 + k) / 255.0 - mean) / std, 3e-7);
	t_check(y[0] == 2);
	data_close(t);
}

/* Two channels of 1x2. */
static void
write_two_channels(void)
{
	const uint8_t p[] = { 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1,
	    0, 0, 0, 2, 10, 20, 30, 40, 50, 60, 70, 80 };

	write_file("x", p, sizeof(p));
	write_labels("y", 2, 2);
}

T_CASE(mean_and_std_may_be_one_a_channel)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	double mean[] = { 0.1, 0.2 }, std[] = { 0.5, 0.25 };
	float x[4];
	const int64_t which[1] = { 1 };

	s.normalize = (struct spec_normalize){ SPEC_NORM_SCALE, mean, std, 2 };
	write_two_channels();
	opens(&s, 1, &t, &v);
	t_eq_int(t->nnorm, 2);
	data_gather(t, which, 1, x, NULL, NULL);
	t_near(x[0], (50 / 255.0 - 0.1) / 0.5, 2e-7);
	t_near(x[1], (60 / 255.0 - 0.1) / 0.5, 2e-7);
	t_near(x[2], (70 / 255.0 - 0.2) / 0.25, 2e-7);
	t_near(x[3], (80 / 255.0 - 0.2) / 0.25, 2e-7);
	data_close(t);
}

T_CASE(means_for_other_channels_are_refused)
{
	struct spec_data s = idx_spec();
	double three[] = { 1, 1, 1 };

	s.normalize = (struct spec_normalize){ SPEC_NORM_SCALE, three, three,
	    3 };
	write_two_channels();
	refuses(&s, RK_EINVAL, "data.normalize: has 3 means, but the samples "
	    "have 2 channels");
}

T_CASE(standard_of_pixels_is_over_all_of_them)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	float x[250 * 4];
	int64_t which[250];
	double sum = 0, sq = 0;

	s.normalize.type = SPEC_NORM_STANDARD;
	write_images("x", 250);
	write_labels("y", 250, 3);
	opens(&s, 1, &t, &v);
	for (int i = 0; i < 250; i++)
		which[i] = i;
	data_gather(t, which, 250, x, NULL, NULL);
	for (int i = 0; i < 1000; i++) {
		sum += (double)x[i];
		sq += (double)x[i] * (double)x[i];
	}
	/* A thousand values of up to 2, each off by some ulps. */
	t_near(sum / 1000, 0, 1e-6);
	t_near(sq / 1000, 1, 1e-6);
	data_close(t);
}

T_CASE(standard_of_columns_is_measured_on_the_training_samples)
{
	struct spec_data s = csv_spec();
	struct data_set *t, *v;
	float x[9], y[3];
	const int64_t which[3] = { 0, 1, 2 };

	s.has_validation = true;
	write_file("t.csv", "1,5,100,0\n2,5,200,1\n3,5,600,0\n", 30);
	write_file("v.csv", "10,6,0,1\n", 9);
	opens(&s, 1, &t, &v);
	t_eq_int(t->nnorm, 3);
	data_gather(t, which, 3, x, NULL, y);
	/* 1 2 3: mean 2, variance 2/3.  A column that never changes is only
	 * shifted.  100 200 600: mean 300, variance 140000/3. */
	t_near(x[0], -1 / sqrt(2.0 / 3), 3e-7);
	t_near(x[3], 0, 3e-7);
	t_check(x[1] == 0 && x[4] == 0 && x[7] == 0);
	t_near(x[8], 300 / sqrt(140000.0 / 3), 3e-7);
	t_check(y[0] == 0 && y[1] == 1 && y[2] == 0);
	data_gather(v, which, 1, x, NULL, NULL);
	t_near(x[0], 8 / sqrt(2.0 / 3), 1e-6);
	t_check(x[1] == 1);
	t_near(x[2], -300 / sqrt(140000.0 / 3), 3e-7);
	data_close(t);
	data_close(v);
}

T_CASE(none_leaves_the_numbers_as_they_are)
{
	struct spec_data s = csv_spec();
	struct data_set *t, *v;
	float x[3];
	const int64_t which[1] = { 1 };

	s.normalize.type = SPEC_NORM_NONE;
	write_file("t.csv", "1,5,100,0\n2,5.5,-200,1\n", 23);
	opens(&s, 1, &t, &v);
	data_gather(t, which, 1, x, NULL, NULL);
	t_check(x[0] == 2 && x[1] == 5.5f && x[2] == -200);
	data_close(t);
}

/* Values at the ends of float, whose deviation or its inverse is none. */
T_CASE(standard_of_extreme_columns_gives_numbers)
{
	struct spec_data s = csv_spec();
	struct data_set *t, *v;
	const char *text = "1e-42,3e38,3e38,0\n2e-42,-3e38,3e38,1\n";
	float x[6];
	const int64_t which[2] = { 0, 1 };

	write_file("t.csv", text, strlen(text));
	opens(&s, 1, &t, &v);
	data_gather(t, which, 2, x, NULL, NULL);
	for (int i = 0; i < 6; i++)
		t_check(isfinite(x[i]));
	data_close(t);
}

T_CASE(a_large_batch_is_the_same_for_any_number_of_threads)
{
	enum { MANY = 60000 };
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	float *a = malloc(MANY * 4 * sizeof(*a));
	float *b = malloc(MANY * 4 * sizeof(*b));
	int64_t *which = malloc(MANY * sizeof(*which));
	int32_t *y = malloc(MANY * sizeof(*y));

	write_images("x", 1000);
	write_labels("y", 1000, 7);
	opens(&s, 1, &t, &v);
	for (int64_t i = 0; i < MANY; i++)
		which[i] = i * 31 % 1000;
	data_gather(t, which, MANY, a, y, NULL);
	t_eq_int(kernel_init(3), RK_OK);
	data_gather(t, which, MANY, b, NULL, NULL);
	kernel_fini();
	t_check(memcmp(a, b, MANY * 4 * sizeof(*a)) == 0);
	for (int64_t i = 0; i < MANY; i++) {
		t_check(y[i] == which[i] % 7);
		t_near(a[i * 4], (which[i] % 256) / 255.0, 1e-7);
	}
	data_close(t);
	free(a);
	free(b);
	free(which);
	free(y);
}

/* --- order, classes, digest --------------------------------------------- */

T_CASE(an_epoch_has_every_sample_once_in_an_order_of_its_own)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	char seen[1000];
	int same = 0;

	write_images("x", 1000);
	write_labels("y", 1000, 7);
	opens(&s, 1, &t, &v);
	for (int64_t epoch = 0; epoch < 3; epoch++) {
		memset(seen, 0, sizeof(seen));
		for (int64_t i = 0; i < 1000; i++) {
			int64_t at = data_at(t, 5, epoch, true, i);
			t_check(at >= 0 && at < 1000 && !seen[at]);
			seen[at] = 1;
			same += at == data_at(t, 5, epoch + 1, true, i);
			same += at == data_at(t, 6, epoch, true, i);
			t_eq_int(data_at(t, 5, epoch, false, i), i);
		}
	}
	/* 6000 draws that agree once in 1000 by chance; five deviations. */
	t_check(same < 6 + 5 * 3);
	t_aborts(data_at(t, 5, 0, true, 1000));
	data_close(t);
}

static void
check_classes(struct data_set *d, int64_t outputs, const char *sentence)
{
	struct rk_why why = { 0 };
	enum rk_err rc = data_check_classes(d, outputs, -1, &why);

	t_eq_int(rc, sentence == NULL ? RK_OK : RK_EINVAL);
	if (sentence != NULL)
		t_eq_str(rk_why_first(&why), sentence);
	rk_why_fini(&why);
}

T_CASE(a_label_past_the_outputs_is_refused_with_its_sample)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;

	write_images("x", 100);
	write_labels("y", 100, 12);
	opens(&s, 1, &t, &v);
	check_classes(t, 12, NULL);
	check_classes(t, 10, "y: the label of sample 10 (from 0) is 10, want 0 "
	    "to 9, for the network has 10 outputs");
	data_close(t);
}

T_CASE(a_label_of_a_split_set_has_its_place_in_the_file)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	uint8_t y[8 + 100] = { 0, 0, 8, 1, 0, 0, 0, 100 };

	s.validation_split = 0.5;
	y[8 + 73] = 9;
	write_images("x", 100);
	write_file("y", y, sizeof(y));
	opens(&s, 1, &t, &v);
	check_classes(t->nclasses == 10 ? t : v, 3, "y: the label of sample 73 "
	    "(from 0) is 9, want 0 to 2, for the network has 3 outputs");
	check_classes(t->nclasses == 10 ? v : t, 3, NULL);
	data_close(t);
	data_close(v);
}

T_CASE(a_csv_label_that_is_no_class_is_refused_with_its_line)
{
	struct spec_data s = csv_spec();
	struct data_set *t, *v;

	write_file("t.csv", "a,b\n1,0\n2,1\n3,1.5\n", 18);
	opens(&s, 1, &t, &v);
	check_classes(t, 2, "t.csv: line 4: the label is 1.5, want 0 to 1, for "
	    "the network has 2 outputs");
	data_close(t);
}

T_CASE(the_digest_is_of_samples_and_labels_and_nothing_else)
{
	struct spec_data s = idx_spec();
	struct data_set *t, *v;
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];

	write_images("x", 10);
	write_labels("y", 10, 3);
	opens(&s, 1, &t, &v);
	data_digest(t, a);
	data_close(t);

	s.normalize.type = SPEC_NORM_STANDARD;
	opens(&s, 2, &t, &v);
	data_digest(t, b);
	t_eq_str(a, b);
	data_close(t);

	write_labels("y", 10, 4);
	opens(&s, 1, &t, &v);
	data_digest(t, b);
	t_check(strcmp(a, b) != 0);
	data_close(t);
}

T_CASE(fashion_mnist_is_read_whole)
{
#define DIR "/usr/share/datasets/fashion-mnist/"
	static char name[4][64] = {
		DIR "train-images-idx3-ubyte.gz",
		DIR "train-labels-idx1-ubyte.gz",
		DIR "t10k-images-idx3-ubyte.gz",
		DIR "t10k-labels-idx1-ubyte.gz",
	};
	struct spec_data s = idx_spec();
	struct rk_why why = { 0 };
	struct data_set *t, *v;
	int of[10] = { 0 };

	if (access(name[0], R_OK) != 0)
		t_skip("Debian's dataset-fashion-mnist is not installed");
	s.has_validation = true;
	s.normalize.type = SPEC_NORM_STANDARD;
	s.train.images = name[0];
	s.train.labels = name[1];
	s.validation.images = name[2];
	s.validation.labels = name[3];
	t_eq_int(data_open(&s, &t, &v, &why), RK_OK);
	t_check(t->n == 60000 && v->n == 10000 && t->width == 784);
	for (int64_t i = 0; i < t->n; i++)
		of[t->classes[i]]++;
	for (int i = 0; i < 10; i++)
		t_eq_int(of[i], 6000);
	/* Known of this set: mean 0.2860, standard deviation 0.3530 of pixels
	 * scaled to 0..1, both rounded to four digits. */
	t_near(1 / (255 * t->scale[0]), 0.3530, 5e-5);
	t_near(-t->shift[0] / (255 * t->scale[0]), 0.2860, 5e-5);
	data_close(t);
	data_close(v);
}

T_MAIN
