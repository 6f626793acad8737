/*
 * image - how many JPEGs of 500 x 375 one core makes ready for a network: decoded,
 * random_resized_crop to 224 and hflip, normalised, as floats.
 *
 * The pictures are made here (paint.h).  Prints three numbers of images a second by
 * the thread's CPU time, each the median of rounds: what training sees, all decoded
 * and nothing else, and what validation sees (resize to 256, centre crop to 224);
 * and the bytes of a file: the mean, the least and the most.
 */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "paint.h"
#include "transform.h"

#define W       500
#define H       375
#define FILES   16
#define ROUNDS  15

static struct transform_plan *
plan_of(const char *list)
{
	static const int64_t d[3] = { 3, 0, 0 };
	char *text = xasprintf("name: a\nmodel: {arch: lenet5}\ntraining: "
	    "{epochs: 1}\ndata: {train: {type: idx, images: /i, labels: /l}, "
	    "transforms: {train: %s}}\n", list);
	struct transform_plan *p = NULL;
	struct spec *s = NULL;

	must(spec_parse_text(text, strlen(text), true, &s, NULL) == RK_OK);
	must(transform_plan_new(&p, &s->data.train_transforms, "t", d, NULL) ==
	    RK_OK);
	spec_free(s);
	free(text);
	return p;
}

static double
cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int
ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* plan NULL: decoded alone. */
static double
rate(const struct paint_file *f, const struct transform_plan *plan)
{
	static const float scale[3] = { 1 / 58.4f, 1 / 57.1f, 1 / 57.4f };
	static const float shift[3] = { -2.1f, -2.0f, -1.8f };
	static const struct transform_norm norm = { scale, shift, 3 };
	struct transform_room *r = transform_room_new();
	struct image_room *room = image_room_new();
	float *x = xmalloc(3 * 224 * 224 * sizeof(*x));
	double v[ROUNDS];

	for (int k = 0; k < ROUNDS; k++) {
		const double t = cpu_s();
		for (int i = 0; i < FILES; i++) {
			const struct transform_key key = { 1, k, i };
			struct image im;
			must((plan != NULL ? transform_file(plan, r, &key,
			    f[i].p, f[i].n, "x", &norm, x, NULL) :
			    image_decode(room, f[i].p, f[i].n, "x", NULL, 3,
			    &im, NULL)) == RK_OK);
		}
		v[k] = FILES / (cpu_s() - t);
	}
	qsort(v, ROUNDS, sizeof(*v), ascending);
	free(x);
	image_room_free(room);
	transform_room_free(r);
	return v[ROUNDS / 2];
}

int
main(void)
{
	struct transform_plan *train = plan_of("[{type: random_resized_crop, "
	    "size: 224}, hflip]");
	struct transform_plan *valid = plan_of("[{type: resize, size: 256}, "
	    "{type: center_crop, size: 224}]");
	unsigned long all = 0, least = ULONG_MAX, most = 0;
	struct paint_file f[FILES];

	for (int i = 0; i < FILES; i++) {
		f[i] = paint_jpeg(W, H, i);
		all += f[i].n;
		least = RK_MIN(least, f[i].n);
		most = RK_MAX(most, f[i].n);
	}
	printf("%.1f %.1f %.1f %lu %lu %lu\n", rate(f, train), rate(f, NULL),
	    rate(f, valid), all / FILES, least, most);
	for (int i = 0; i < FILES; i++)
		free(f[i].p);
	transform_plan_free(train);
	transform_plan_free(valid);
	return 0;
}
