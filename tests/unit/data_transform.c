/*
 * Transforms of samples and batches: what is drawn, that it is drawn by the key and
 * by nothing else, that it makes of a picture what transform.h says, and that what
 * a list says is done in its order.
 */
#include <math.h>
#include <pthread.h>

#include "transform_draw.h"
#include "image_help.h"

static struct spec *spec;

/* The training list of a job, or that of validation. */
static const struct spec_transforms *
list_of(const char *list)
{
	static const char head[] = "name: a\nmodel: {arch: lenet5}\ntraining: "
	    "{epochs: 1}\ndata:\n  train: {type: idx, images: /i, labels: "
	    "/l}\n  transforms: {train: ";
	char *text = xasprintf("%s%s}\n", head, list);
	struct rk_why why = { 0 };

	spec_free(spec);
	if (spec_parse_text(text, strlen(text), true, &spec, &why) != RK_OK)
		t_fail("%s", rk_why_text(&why));
	free(text);
	return &spec->data.train_transforms;
}

static struct transform_plan *
plan_of(const char *list, int64_t c, int64_t h, int64_t w)
{
	const int64_t d[3] = { c, h, w };
	struct transform_plan *p = NULL;
	struct rk_why why = { 0 };

	if (transform_plan_new(&p, list_of(list), "t", d, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return p;
}

#define SIDE 24
static uint8_t planes[3 * SIDE * SIDE];
static const float scale[1] = { 1 }, shift[1] = { 0 };
static const struct transform_norm as_bytes = { scale, shift, 1 };

static void
fill_planes(void)
{
	for (int i = 0; i < 3 * SIDE * SIDE; i++)
		planes[i] = (uint8_t)(i * 7 + i / 24 * 3);
}

static void
apply(const struct transform_plan *p, struct transform_room *r,
    uint64_t seed, int64_t epoch, int64_t sample, float *x)
{
	const struct transform_key k = { seed, epoch, sample };
	struct rk_why why = { 0 };

	if (transform_planes(p, r, &k, planes, SIDE, SIDE, "x", &as_bytes, x,
	    &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

/* --- by hand --------------------------------------------------------------- */

#define SEED  11
#define EPOCH 2

/* As transform.h has the draws of the first transform of a list. */
static uint32_t
drawn(int64_t sample, uint64_t k)
{
	return rk_draw_u32(SEED ^ TRANSFORM_SALT, EPOCH, 0,
	    ((uint64_t)sample << 24) + k);
}

static double
unit(int64_t sample, uint64_t k)
{
	return drawn(sample, k) * 0x1p-32;
}

static int64_t
below(int64_t sample, uint64_t k, int64_t n)
{
	return (int64_t)((uint64_t)drawn(sample, k) * (uint64_t)n >> 32);
}

static void
flip_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	if (unit(i, 0) < 0.5)
		image_orient(r, im, 2);
}

static void
vflip_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	if (unit(i, 0) < 0.25)
		image_orient(r, im, 4);
}

static void
rotate_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	image_rotate(r, im, -30 + 60 * unit(i, 0), true, 7);
}

static void
rotate_nearest_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	image_rotate(r, im, -180 + 360 * unit(i, 0), false, 200);
}

static void
jitter_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	static const double by[] = { 0.4, 1.5, 0.3, 0.1 };
	int order[] = { 0, 1, 2, 3 };

	for (int k = 3; k >= 1; k--) {
		const int64_t with = below(i, (uint64_t)(7 - k), k + 1);
		const int was = order[k];
		order[k] = order[with];
		order[with] = was;
	}
	for (int k = 0; k < 4; k++) {
		const int what = order[k];
		const double from = what == 3 ? -by[3] : RK_MAX(1 - by[what],
		    0.0);
		const double to = what == 3 ? by[3] : 1 + by[what];
		const float f = (float)(from + (to - from) * unit(i,
		    (uint64_t)what));
		if (what == 0)
			image_brightness(r, im, f);
		else if (what == 1)
			image_contrast(r, im, f);
		else if (what == 2)
			image_saturation(r, im, f);
		else
			image_hue(r, im, f);
	}
}

static void
crop_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	const struct image_part at = { .w = 14, .h = 16,
		.y = below(i, 0, SIDE + 2 * 2 - 16 + 1) - 2,
		.x = below(i, 1, SIDE + 2 * 3 - 14 + 1) - 3 };

	image_crop(r, im, &at, 9);
}

/* Six rows are missing, and are above and below. */
static void
larger_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	const struct image_part at = { .w = 20, .h = 30,
		.y = below(i, 0, SIDE + 2 * 6 - 30 + 1) - 6,
		.x = below(i, 1, SIDE - 20 + 1) };

	image_crop(r, im, &at, 0);
}

static void
resized_crop_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	const double low = transform_log(0.75), high = transform_log(4.0 / 3);

	for (uint64_t k = 0; k < 40; k += 4) {
		const double area = (double)(im->w * im->h) *
		    (0.08 + 0.92 * unit(i, k));
		const double aspect = transform_exp(low + (high - low) *
		    unit(i, k + 1));
		struct image_part at = {
			.w = lrint(sqrt(area * aspect)),
			.h = lrint(sqrt(area / aspect)) };
		if (at.w < 1 || at.h < 1 || at.w > im->w || at.h > im->h)
			continue;
		at.y = below(i, k + 2, im->h - at.h + 1);
		at.x = below(i, k + 3, im->w - at.w + 1);
		image_crop(r, im, &at, 0);
		image_resize(r, im, 18, 12);
		return;
	}
	t_fail("sample %lld fits never", (long long)i);
}

static void
resize_by_hand(struct image_room *r, struct image *im, int64_t i)
{
	(void)i;
	image_resize(r, im, im->w > im->h ? 10 * im->w / im->h : 10,
	    im->w > im->h ? 10 : 10 * im->h / im->w);
}

static const struct {
	const char *list;
	void (*by_hand)(struct image_room *r, struct image *im, int64_t i);
	bool own;                       /* for pictures that have a size each */
} each[] = {
	{ "[hflip]", flip_by_hand, false },
	{ "[{type: vflip, p: 0.25}]", vflip_by_hand, false },
	{ "[{type: rotate, degrees: 30, interpolation: bilinear, fill: 7}]",
	    rotate_by_hand, false },
	{ "[{type: rotate, degrees: 180, fill: 200}]",
	    rotate_nearest_by_hand, false },
	{ "[{type: color_jitter, brightness: 0.4, contrast: 1.5, saturation: "
	    "0.3, hue: 0.1}]", jitter_by_hand, false },
	{ "[{type: random_crop, size: [16, 14], padding: [2, 3], fill: 9}]",
	    crop_by_hand, false },
	{ "[{type: random_crop, size: [30, 20]}]", larger_by_hand, true },
	{ "[{type: random_crop, size: [30, 20]}]", larger_by_hand, false },
	{ "[{type: random_resized_crop, size: [12, 18]}]",
	    resized_crop_by_hand, false },
	{ "[{type: resize, size: 10}]", resize_by_hand, false },
};

T_CASE(each_transform_is_what_the_draws_that_are_written_down_make_it)
{
	struct transform_room *r = transform_room_new();
	struct image_room *room = image_room_new();
	float x[3 * 32 * 32], want[3 * 32 * 32];

	fill_planes();
	for (size_t k = 0; k < RK_ARRAY_LEN(each); k++) {
		const int64_t side = each[k].own ? 0 : SIDE;
		struct transform_plan *p = plan_of(each[k].list, 3, side,
		    side);
		for (int64_t i = 0; i < 100; i++) {
			struct image im;
			apply(p, r, SEED, EPOCH, i, x);
			image_of_planes(room, planes, SIDE, SIDE, 3, &im);
			each[k].by_hand(room, &im, i);
			image_floats(&im, scale, shift, 1, want);
			if (memcmp(x, want, (size_t)(3 * im.w * im.h) *
			    sizeof(*x)) != 0)
				t_fail("%s: sample %lld", each[k].list,
				    (long long)i);
		}
		transform_plan_free(p);
	}
	image_room_free(room);
	transform_room_free(r);
	spec_free(spec);
}

T_CASE(a_file_becomes_what_its_pixels_become)
{
	enum { W = 61, H = 43 };
	struct transform_room *r = transform_room_new();
	struct image_room *room = image_room_new();
	uint8_t *bytes, of[3 * W * H];
	float *x = malloc(3 * W * H * sizeof(*x)), *y = malloc(3 * W * H *
	    sizeof(*y));
	struct rk_why why = { 0 };
	struct image im;
	size_t n;

	for (int i = 0; i < 3 * W * H; i++)
		of[i] = (uint8_t)(i * 31 + i / 61 * 7);
	image_of_planes(room, of, W, H, 3, &im);
	t_eq_int(image_png(&im, &bytes, &n, &why), RK_OK);
	for (size_t k = 0; k < RK_ARRAY_LEN(each); k++) {
		const int64_t d[3] = { 3, H, W };
		int64_t to[3];
		struct transform_plan *p = plan_of(each[k].list, 3,
		    each[k].own ? 0 : H, each[k].own ? 0 : W);
		/* Of pictures of a size each, what comes first is decoded. */
		struct transform_plan *q = NULL;
		(void)!transform_plan_new(&q, &spec->data.train_transforms,
		    "t", (const int64_t[]){ 3, 0, 0 }, NULL);
		transform_shape(p, to);
		for (int64_t i = 0; i < 30; i++) {
			const struct transform_key key = { SEED, EPOCH, i };
			const size_t size = (size_t)(to[0] * to[1] * to[2]) *
			    sizeof(*x);
			t_eq_int(transform_planes(p, r, &key, of, d[1], d[2],
			    "x", &as_bytes, x, &why), RK_OK);
			t_eq_int(transform_file(p, r, &key, bytes, n, "x",
			    &as_bytes, y, &why), RK_OK);
			t_check(memcmp(x, y, size) == 0);
			if (q == NULL)
				continue;
			t_eq_int(transform_file(q, r, &key, bytes, n, "x",
			    &as_bytes, y, &why), RK_OK);
			if (memcmp(x, y, size) != 0)
				t_fail("%s: sample %lld", each[k].list,
				    (long long)i);
		}
		transform_plan_free(p);
		transform_plan_free(q);
	}
	free(bytes);
	free(x);
	free(y);
	image_room_free(room);
	transform_room_free(r);
	spec_free(spec);
}

/* The numbers of x[3][h][w] as bytes [h][w][3]. */
static void
digest_of_numbers(const float *x, int64_t w, int64_t h,
    char hex[RK_SHA256_HEX])
{
	uint8_t *p = malloc((size_t)(3 * w * h));
	const struct image im = image_of(p, w, h, 3);

	for (int64_t c = 0; c < 3; c++)
		for (int64_t k = 0; k < w * h; k++)
			p[3 * k + c] = (uint8_t)x[c * w * h + k];
	digest_of(&im, hex);
	free(p);
}

/* jpeg_large is 150 x 110: neither is a multiple of 4 and 8. */
T_CASE(a_large_jpeg_becomes_small_by_pils_draft_and_the_exact_box)
{
	const struct golden_file *f = golden("jpeg_large");
	const struct transform_key key = { SEED, EPOCH, 0 };
	struct transform_room *r = transform_room_new();
	struct rk_why why = { 0 };
	char hex[RK_SHA256_HEX];
	float x[3 * 32 * 32];
	int seen = 0;

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_drafts); i++) {
		const struct golden_draft *g = &golden_drafts[i];
		if (g->w != f->w)
			continue;
		char *list = xasprintf("[{type: resize, size: [%lld, %lld]}]",
		    (long long)g->to_h, (long long)g->to_w);
		struct transform_plan *p = plan_of(list, 3, 0, 0);
		t_eq_int(transform_file(p, r, &key, f->p, f->n, "x", &as_bytes,
		    x, &why), RK_OK);
		digest_of_numbers(x, g->to_w, g->to_h, hex);
		t_eq_str(hex, g->sha256);
		transform_plan_free(p);
		free(list);
		seen++;
	}
	t_eq_int(seen, 3);
	transform_room_free(r);
	spec_free(spec);
}

/* --- keys ------------------------------------------------------------------ */

#define ALL "[{type: random_resized_crop, size: 20}, hflip, vflip, {type: " \
	"rotate, degrees: 20, interpolation: bilinear}, {type: color_jitter, " \
	"brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2}, {type: " \
	"random_crop, size: 16, padding: 2}, {type: random_erasing, noise: true}]"
#define WIDTH (3 * 16 * 16)
#define SAMPLES 200

struct part {
	const struct transform_plan *p;
	float *x;
	int from, by;
};

static void *
run_part(void *arg)
{
	const struct part *w = arg;
	struct transform_room *r = transform_room_new();

	for (int i = w->from; i < SAMPLES; i += w->by)
		apply(w->p, r, 5, 3, i, w->x + (size_t)i * WIDTH);
	transform_room_free(r);
	return NULL;
}

T_CASE(samples_are_the_same_by_any_number_of_threads)
{
	const size_t n = SAMPLES * WIDTH;
	float *one = malloc(n * sizeof(float)), *x = malloc(n * sizeof(float));
	struct transform_plan *p;

	fill_planes();
	p = plan_of(ALL, 3, SIDE, SIDE);
	run_part(&(struct part){ p, one, 0, 1 });
	for (int threads = 2; threads <= 8; threads += 3) {
		struct part w[8];
		pthread_t t[8];
		for (int i = 0; i < threads; i++) {
			w[i] = (struct part){ p, x, i, threads };
			t_eq_int(pthread_create(&t[i], NULL, run_part, &w[i]),
			    0);
		}
		for (int i = 0; i < threads; i++)
			pthread_join(t[i], NULL);
		t_check(memcmp(x, one, n * sizeof(float)) == 0);
	}
	free(one);
	free(x);
	transform_plan_free(p);
	spec_free(spec);
}

T_CASE(seed_epoch_sample_and_place_in_the_list_are_the_key)
{
	struct transform_room *r = transform_room_new();
	float a[WIDTH], b[WIDTH];
	struct transform_plan *p;

	fill_planes();
	p = plan_of(ALL, 3, SIDE, SIDE);
	apply(p, r, 1, 2, 3, a);
	apply(p, r, 9, 9, 9, b);
	apply(p, r, 1, 2, 3, b);
	t_check(memcmp(a, b, sizeof(a)) == 0);
	apply(p, r, 2, 2, 3, b);
	t_check(memcmp(a, b, sizeof(a)) != 0);
	apply(p, r, 1, 3, 3, b);
	t_check(memcmp(a, b, sizeof(a)) != 0);
	apply(p, r, 1, 2, 4, b);
	t_check(memcmp(a, b, sizeof(a)) != 0);
	transform_plan_free(p);
	/* Two flips of one kind draw for themselves. */
	p = plan_of("[hflip, hflip]", 3, SIDE, SIDE);
	int same = 0;
	float x[3 * SIDE * SIDE];
	for (int i = 0; i < 400; i++) {
		apply(p, r, 1, 0, i, x);
		same += x[0] == (float)planes[0];
	}
	t_check(same > 150 && same < 250);      /* 5 deviations of sqrt(100) */
	transform_plan_free(p);
	transform_room_free(r);
	spec_free(spec);
}

/* --- what is drawn --------------------------------------------------------- */

T_CASE(flips_come_as_often_as_they_are_said_to)
{
	struct transform_room *r = transform_room_new();
	struct transform_plan *p;
	float x[3 * SIDE * SIDE];
	int done = 0;

	fill_planes();
	p = plan_of("[{type: hflip, p: 0.2}]", 3, SIDE, SIDE);
	for (int i = 0; i < 4000; i++) {
		apply(p, r, 1, 0, i, x);
		const bool flipped = x[0] == (float)planes[SIDE - 1];
		t_check(flipped || x[0] == (float)planes[0]);
		done += flipped;
	}
	/* 800, and 5 deviations of sqrt(4000 * 0.2 * 0.8) = 25. */
	t_near(done, 800, 127);
	transform_plan_free(p);
	transform_room_free(r);
	spec_free(spec);
}

T_CASE(crops_are_of_the_areas_and_aspects_that_are_said)
{
	const double scales[2] = { 0.08, 1 }, ratios[2] = { 0.75, 4.0 / 3 };
	const struct areas a = areas_of(scales, ratios);
	double area = 0, log_ratio = 0;
	int whole = 0;

	for (int i = 0; i < 4000; i++) {
		const struct transform_key k = { 1, 0, i };
		const struct draws d = draws_of(&k, 0);
		const struct image_part p = draw_crop(&d, &a, 375, 500);
		const double w = (double)p.w, h = (double)p.h;

		t_check(p.x >= 0 && p.y >= 0 && p.w > 0 && p.h > 0 &&
		    p.x + p.w <= 500 && p.y + p.h <= 375);
		/* A pixel's rounding of the smallest side, 100. */
		t_check(w / h > 0.74 && w / h < 1.35);
		t_check(w * h / 187500 > 0.079);
		area += w * h / 187500;
		log_ratio += log(w / h);
		whole += p.w == 500;
	}
	/* Of an area s above 9/16 the share -log(s) / (2 log(4/3)) of aspects
	 * fits, of others each: means by integration; 5 deviations of 0.23 and
	 * 0.17 / sqrt(4000). */
	t_near(area / 4000, 0.432, 0.019);
	t_near(log_ratio / 4000, 0.031, 0.014);
	t_check(whole < 400);
}

/* What fits never is the middle with the nearest aspect. */
T_CASE(a_crop_that_never_fits_is_the_middle)
{
	const double scales[2] = { 1, 1 }, ratios[2] = { 0.75, 4.0 / 3 };
	const struct areas a = areas_of(scales, ratios);
	const struct transform_key k = { 1, 0, 0 };
	const struct draws d = draws_of(&k, 0);
	struct image_part p = draw_crop(&d, &a, 100, 1000);

	t_eq_int(p.h, 100);
	t_eq_int(p.w, 133);
	t_eq_int(p.x, 433);
	p = draw_crop(&d, &a, 1000, 100);
	t_eq_int(p.w, 100);
	t_eq_int(p.h, 133);
	t_eq_int(p.y, 433);
	p = draw_crop(&d, &a, 1, 1);
	t_check(p.w == 1 && p.h == 1);
}

T_CASE(random_crops_reach_every_place_and_pad_with_the_fill)
{
	struct transform_room *r = transform_room_new();
	struct transform_plan *p;
	float x[3 * SIDE * SIDE];
	int seen[5][5] = { { 0 } };

	fill_planes();
	p = plan_of("[{type: random_crop, size: 24, padding: 2, fill: 250}]",
	    3, SIDE, SIDE);
	for (int i = 0; i < 500; i++) {
		apply(p, r, 3, 1, i, x);
		/* Where row 12, column 12 has come from. */
		for (int dy = 0; dy < 5; dy++)
			for (int dx = 0; dx < 5; dx++) {
				const int at = (10 + dy) * SIDE + 10 + dx;
				seen[dy][dx] += x[12 * SIDE + 12] ==
				    (float)planes[at] && x[SIDE * SIDE + 12 *
				    SIDE + 13] == (float)planes[SIDE * SIDE +
				    at + 1];
			}
	}
	for (int k = 0; k < 25; k++)
		t_check(seen[k / 5][k % 5] > 0);
	bool filled = false;
	for (int i = 0; i < 3 * SIDE * SIDE; i++)
		filled |= x[i] == 250;
	t_check(filled);
	transform_plan_free(p);
	transform_room_free(r);
	spec_free(spec);
}

T_CASE(the_middle_is_where_torchvision_has_it)
{
	struct transform_room *r = transform_room_new();
	const struct transform_key k = { 0 };
	struct rk_why why = { 0 };
	uint8_t row[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	float x[16];

	/* 9 to 4: 2.5 rounds to 2; 9 to 6: 1.5 rounds to 2. */
	struct transform_plan *p = plan_of("[{type: center_crop, size: [1, "
	    "4]}]", 1, 1, 9);
	t_eq_int(transform_planes(p, r, &k, row, 1, 9, "x", &as_bytes, x,
	    &why), RK_OK);
	t_near(x[0], 3, 0);
	transform_plan_free(p);
	p = plan_of("[{type: center_crop, size: [1, 6]}]", 1, 1, 9);
	t_eq_int(transform_planes(p, r, &k, row, 1, 9, "x", &as_bytes, x,
	    &why), RK_OK);
	t_near(x[0], 3, 0);
	transform_plan_free(p);
	/* A picture that is smaller, of a folder where each has its size and of
	 * a source where all have one. */
	for (int known = 0; known < 2; known++) {
		p = plan_of("[{type: center_crop, size: [1, 12]}]", 1, known,
		    9 * known);
		t_eq_int(transform_planes(p, r, &k, row, 1, 9, "x", &as_bytes,
		    x, &why), RK_OK);
		t_near(x[0], 0, 0);
		t_near(x[1], 1, 0);
		t_near(x[9], 9, 0);
		t_near(x[10], 0, 0);
		transform_plan_free(p);
	}
	transform_room_free(r);
	spec_free(spec);
}

T_CASE(an_erased_part_is_a_rectangle_of_the_value)
{
	struct transform_room *r = transform_room_new();
	struct transform_plan *p;
	float x[3 * SIDE * SIDE];
	int erased = 0;

	fill_planes();
	p = plan_of("[{type: random_erasing, p: 0.5, value: -7}]", 3, SIDE,
	    SIDE);
	for (int i = 0; i < 1000; i++) {
		int n = 0;
		apply(p, r, 1, 0, i, x);
		for (int k = 0; k < SIDE * SIDE; k++) {
			n += x[k] == -7;
			t_check((x[k] == -7) == (x[k + SIDE * SIDE] == -7));
		}
		erased += n > 0;
		/* 0.02 to 0.33 of 576, and the rounding of both sides. */
		t_check(n == 0 || (n >= 8 && n <= 220));
	}
	t_near(erased, 500, 80);        /* 5 deviations of sqrt(250) */
	transform_plan_free(p);
	transform_room_free(r);
	spec_free(spec);
}

/* --- numbers --------------------------------------------------------------- */

T_CASE(exp_and_log_are_exp_and_log)
{
	for (double x = -30; x < 30; x += 0.37) {
		t_near(transform_exp(x) / exp(x), 1, 1e-14);
		t_near(transform_log(exp(x)), x, 1e-13);
	}
	t_near(transform_exp(0), 1, 0);
	t_near(transform_exp(-1000), 0, 0);
	t_near(transform_log(1), 0, 1e-15);
}

/* Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2a + 1)). */
T_CASE(shares_are_of_the_beta_distribution)
{
	static const double alphas[] = { 1, 0.8, 0.2, 0.01 };

	for (size_t j = 0; j < RK_ARRAY_LEN(alphas); j++) {
		const double a = alphas[j];
		double mean = 0, square = 0;
		for (int i = 0; i < 20000; i++) {
			const struct transform_key k = { 3, 1, i };
			const struct draws d = draws_of_batch(&k, 0);
			const double v = draw_beta(&d, 4, a);
			t_check(v >= 0 && v <= 1);
			mean += v / 20000;
			square += v * v / 20000;
		}
		/* 5 deviations of 0.5 / sqrt(20000) */
		t_near(mean, 0.5, 0.018);
		t_near(square - mean * mean, 1 / (4 * (2 * a + 1)), 0.01);
	}
}

/* --- batches ---------------------------------------------------------------- */

T_CASE(mixed_rows_are_what_their_share_says)
{
	struct transform_plan *p = plan_of("[{type: mixup, alpha: 0.4}]", 1, 2,
	    2);
	const float a[4] = { 1, 2, 3, 4 }, b[4] = { 10, 20, 30, 40 };
	double shares = 0;
	float y[4];

	t_check(transform_mixes(p));
	for (int i = 0; i < 100; i++) {
		const struct transform_key k = { 1, 2, i * 64 };
		struct data_mixture m;
		transform_mixture(p, &k, &m);
		t_check(!m.cuts && m.share >= 0 && m.share <= 1);
		shares += m.share / 100;
		data_mix(&m, a, b, y);
		for (int j = 0; j < 4; j++)
			t_near(y[j], m.share * a[j] + (1 - m.share) * b[j],
			    1e-5);
	}
	t_near(shares, 0.5, 0.2);
	transform_plan_free(p);
	spec_free(spec);
}

T_CASE(a_cut_takes_the_share_of_the_area_that_it_says)
{
	struct transform_plan *p = plan_of("[cutmix]", 3, 8, 6);
	float a[144], b[144], y[144];

	for (int i = 0; i < 144; i++) {
		a[i] = 1;
		b[i] = 2;
	}
	for (int i = 0; i < 200; i++) {
		const struct transform_key k = { 1, 2, i };
		struct data_mixture m;
		int theirs = 0;
		transform_mixture(p, &k, &m);
		data_mix(&m, a, b, y);
		for (int j = 0; j < 144; j++)
			theirs += y[j] == 2;
		t_near(theirs / 144.0, 1 - m.share, 1e-12);
	}
	transform_plan_free(p);
	spec_free(spec);
}

T_CASE(of_two_each_batch_gets_one_and_some_get_none)
{
	struct transform_plan *p = plan_of("[{type: mixup, p: 0.5}, {type: "
	    "cutmix, p: 1}]", 1, 32, 32);
	int cuts = 0, mixes = 0;

	for (int i = 0; i < 2000; i++) {
		const struct transform_key k = { 1, 2, i * 32 };
		struct data_mixture m;
		transform_mixture(p, &k, &m);
		cuts += m.cuts;
		mixes += !m.cuts && m.share < 1;
	}
	t_near(cuts, 1000, 112);        /* 5 deviations of sqrt(500) */
	t_near(mixes, 500, 100);
	transform_plan_free(p);
	spec_free(spec);
}

/* --- tokens ----------------------------------------------------------------- */

T_CASE(tokens_are_masked_but_for_those_that_are_kept)
{
	static const int32_t kept[] = { 0, 2 };
	const struct transform_tokens s = { .mask = 99, .kept = kept,
		.nkept = 2 };
	const struct transform_key k = { 1, 0, 7 };
	struct rk_why why = { 0 };
	static const char job[] = "name: a\nmodel: {arch: lenet5}\ntraining: "
	    "{epochs: 1}\ndata:\n  train: {type: synthetic, tokens: 9, "
	    "vocabulary: 9, samples: 9}\n  transforms: {train: [{type: "
	    "random_mask, p: 0.3}]}\n";
	int32_t ids[4000];
	int masked = 0;

	t_eq_int(spec_parse_text(job, strlen(job), true, &spec, &why), RK_OK);
	for (int i = 0; i < 4000; i++)
		ids[i] = i % 4;
	transform_mask(&spec->data.train_transforms, &k, &s, ids, 4000);
	for (int i = 0; i < 4000; i++) {
		t_check(ids[i] == i % 4 || (ids[i] == 99 && i % 2 == 1));
		masked += ids[i] == 99;
	}
	t_near(masked, 600, 103);       /* 5 deviations of sqrt(2000 .3 .7) */
	spec_free(spec);
}

/* --- plans ------------------------------------------------------------------ */

T_CASE(a_plan_must_make_one_size)
{
	const int64_t any[3] = { 3, 0, 0 };
	struct transform_plan *p = NULL;
	struct rk_why why = { 0 };
	int64_t d[3];

	t_eq_int(transform_plan_new(&p, list_of("[{type: resize, size: 9}]"),
	    "data.transforms.train", any, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "data.transforms.train");
	t_has(why.v[0].message, "leaves each picture the size that it has");
	rk_why_fini(&why);
	p = plan_of("[{type: resize, size: 9}, {type: center_crop, size: [8, "
	    "7]}]", 3, 0, 0);
	transform_shape(p, d);
	t_check(d[0] == 3 && d[1] == 8 && d[2] == 7);
	t_check(!transform_mixes(p));
	transform_plan_free(p);
	spec_free(spec);
}

/* 1 x 30,000 pixels to 256 on the shorter side: 7,680,000 on the longer. */
T_CASE(a_picture_that_would_become_enormous_is_refused)
{
	struct transform_plan *p = plan_of("[{type: resize, size: 256}, {type: "
	    "center_crop, size: 224}]", 1, 0, 0);
	struct transform_room *r = transform_room_new();
	uint8_t *row = calloc(1, 30000);
	float *x = malloc(224 * 224 * sizeof(float));
	const struct transform_key k = { 0 };
	struct rk_why why = { 0 };

	t_eq_int(transform_planes(p, r, &k, row, 1, 30000, "a.png", &as_bytes,
	    x, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "a.png: would become 256 x 7680000");
	rk_why_fini(&why);
	free(row);
	free(x);
	transform_plan_free(p);
	transform_room_free(r);
	spec_free(spec);
}

T_MAIN
