/*
 * image - how many JPEGs of 500 x 375 one core makes ready for a network: decoded,
 * random_resized_crop to 224 and hflip, normalised, as floats.
 *
 * The pictures are made here: 16 of them, smooth with noise and edges, 4:2:0 of
 * quality 90, some 70 KB each.  Prints three numbers of images a second by the
 * thread's CPU time, each the median of rounds: what training sees, all decoded
 * and nothing else, and what validation sees (resize to 256, centre crop to 224).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rekindle/base.h"
#include "transform.h"

#include <jpeglib.h>

#define W       500
#define H       375
#define FILES   16
#define ROUNDS  15

struct file {
	unsigned char *p;
	unsigned long n;
};

static void
paint(uint8_t *p, int number)
{
	uint32_t draw[4];

	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++) {
			const uint32_t key[2] = { (uint32_t)number, 1 };
			const uint32_t ctr[4] = { (uint32_t)(y * W + x), 0, 0,
				0 };
			const bool inside = (x / 70 + y / 50 + number) % 3 ==
			    0;
			rk_philox(key, ctr, draw);
			for (int c = 0; c < 3; c++) {
				const int v = 60 + x / 4 + y / (c + 4) +
				    (inside ? 50 : 0) +
				    (int)(draw[c] % 21) - 10;
				p[3 * (y * W + x) + c] = (uint8_t)(v > 255 ?
				    255 : v < 0 ? 0 : v);
			}
		}
}

static struct file
encode(const uint8_t *p)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	struct file f = { 0 };

	c.err = jpeg_std_error(&err);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &f.p, &f.n);
	c.image_width = W;
	c.image_height = H;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 90, TRUE);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < H) {
		JSAMPROW row = (JSAMPROW)(uintptr_t)(p +
		    3 * W * c.next_scanline);
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return f;
}

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
rate(const struct file *f, const struct transform_plan *plan)
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
	uint8_t *p = xmalloc(3 * W * H);
	struct file f[FILES];
	unsigned long all = 0;

	for (int i = 0; i < FILES; i++) {
		paint(p, i);
		f[i] = encode(p);
		all += f[i].n;
	}
	printf("%.1f %.1f %.1f %lu\n", rate(f, train), rate(f, NULL),
	    rate(f, valid), all / FILES);
	for (int i = 0; i < FILES; i++)
		free(f[i].p);
	free(p);
	transform_plan_free(train);
	transform_plan_free(valid);
	return 0;
}
