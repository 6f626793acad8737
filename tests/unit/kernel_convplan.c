/*
 * Convolutions prepared for a shape, each way and each pair of layouts against
 * the loops in double: bias, relu, `add`, batches smaller than the plan's, and
 * the same bits on one to four threads.  Scratch and results begin as NaN, and
 * lanes behind the last channel come out as zeros.
 */
#include "conv_loops.h"
#include "conv_way.h"
#include "kernel_double.h"
#include "micro.h"
#include "rekindle/kernel_conv.h"

struct shape {
	int64_t c, M, h, w, k[2], stride[2], pad[2], dil, groups, B;
};

/* A shape, its operands in double, and the results that they have. */
static struct kernel_window V;
static int64_t M, B;
static struct both X, W, DY, BIAS;
static double *Y, *DX, *DW;
static enum kernel_layout LX, LY;

#define PLANE_X (V.h * V.w)
#define PLANE_Y (V.oh * V.ow)

static void
oracle(void)
{
	const int64_t G = window_groups(&V), gc = V.c / G, T = V.k[0] * V.k[1];

	for (int64_t b = 0; b < B; b++)
		for (int64_t m = 0; m < M; m++)
			for (int64_t c = 0; c < gc; c++) {
				const int64_t y = (b * M + m) * PLANE_Y;
				const int64_t w = (m * gc + c) * T;
				const int64_t x = (b * V.c + m / (M / G) * gc +
				    c) * PLANE_X;
				double_plane_conv(&V, X.d + x, W.d + w, Y + y);
				double_plane_conv_back(&V, W.d + w, DY.d + y,
				    DX + x);
				double_plane_conv_weight(&V, X.d + x, DY.d + y,
				    0, T, DW + w);
			}
}

static void
setup(const struct shape *s)
{
	V = (struct kernel_window){ .c = s->c, .h = s->h, .w = s->w,
		.k = { s->k[0], s->k[1] },
		.stride = { s->stride[0], s->stride[1] },
		.pad = { s->pad[0], s->pad[1] }, .dilation = { s->dil, s->dil },
		.groups = s->groups };
	V.oh = kernel_window_places(V.h, V.k[0], V.stride[0], V.pad[0],
	    window_dilation(&V, 0), false);
	V.ow = kernel_window_places(V.w, V.k[1], V.stride[1], V.pad[1],
	    window_dilation(&V, 1), false);
	t_check(V.oh > 0 && V.ow > 0);
	M = s->M;
	B = s->B;
	X = both((size_t)(B * V.c * PLANE_X), 1);
	W = both((size_t)(M * V.c / window_groups(&V) * V.k[0] * V.k[1]), 2);
	DY = both((size_t)(B * M * PLANE_Y), 3);
	BIAS = both((size_t)M, 4);
	Y = xcalloc(DY.n, sizeof(*Y));
	DX = xcalloc(X.n, sizeof(*DX));
	DW = xcalloc(W.n, sizeof(*DW));
	oracle();
}

static void
teardown(void)
{
	both_free(&X);
	both_free(&W);
	both_free(&DY);
	both_free(&BIAS);
	free(Y);
	free(DX);
	free(DW);
}

/* --- images in a layout --------------------------------------------------- */

static float *
nans(size_t n)
{
	float *p = xmalloc((n + 1) * sizeof(*p));

	memset(p, 0xff, n * sizeof(*p));
	return p;
}

static size_t
floats(enum kernel_layout l, int64_t batch, int64_t c, int64_t plane)
{
	return (size_t)(batch * kernel_image_floats(l, c, plane));
}

static float *
laid(enum kernel_layout l, int64_t batch, int64_t c, int64_t plane,
    const float *plain)
{
	const size_t n = floats(l, batch, c, plane);
	float *p = nans(n);

	if (l == KERNEL_PLAIN)
		memcpy(p, plain, n * sizeof(*p));
	else
		kernel_to_blocked(batch, c, plane, plain, false, p);
	return p;
}

/* p in plain layout; its lanes that are no channels are 0. */
static float *
unlaid(enum kernel_layout l, int64_t batch, int64_t c, int64_t plane,
    const float *p)
{
	float *plain = nans(floats(KERNEL_PLAIN, batch, c, plane));

	if (l == KERNEL_PLAIN) {
		memcpy(plain, p, floats(l, batch, c, plane) * sizeof(*p));
		return plain;
	}
	kernel_to_plain(batch, c, plane, p, false, plain);
	for (int64_t b = 0; b < batch; b++)
		for (int64_t k = c; k < kernel_blocks(c) * KERNEL_BLOCK; k++)
			for (int64_t i = 0; i < plane; i++)
				t_check(p[((b * kernel_blocks(c) +
				    k / KERNEL_BLOCK) * plane + i) *
				    KERNEL_BLOCK + k % KERNEL_BLOCK] == 0);
	return plain;
}

/* --- the passes ----------------------------------------------------------- */

enum pass { FORWARD, FORWARD_RELU, DATA, DATA_ADD, WEIGHT, WEIGHT_ADD, DBIAS,
	PASSES };

static const char *const words[] = { "y", "y of relu and bias", "dx",
	"dx added", "dw", "dw added", "db added" };

static float *
run_pass(const struct kernel_conv_plan *p, int64_t batch, enum pass pass)
{
	float *x = laid(LX, batch, V.c, PLANE_X, X.f);
	float *dy = laid(LY, batch, M, PLANE_Y, DY.f), *out, *plain;
	float *s = nans(kernel_conv_plan_scratch(p));

	switch (pass) {
	case FORWARD:
	case FORWARD_RELU:
		out = nans(floats(LY, batch, M, PLANE_Y));
		kernel_conv_run(p, batch, x, W.f, pass == FORWARD ? NULL :
		    BIAS.f, pass == FORWARD_RELU, out, s);
		plain = unlaid(LY, batch, M, PLANE_Y, out);
		break;
	case DATA:
	case DATA_ADD:
		out = pass == DATA ? nans(floats(LX, batch, V.c, PLANE_X)) :
		    laid(LX, batch, V.c, PLANE_X, X.f);
		kernel_conv_run_data(p, batch, W.f, dy, pass == DATA_ADD, out,
		    s);
		plain = unlaid(LX, batch, V.c, PLANE_X, out);
		break;
	case DBIAS:
		out = NULL;
		plain = nans(BIAS.n);
		memcpy(plain, BIAS.f, BIAS.n * sizeof(float));
		kernel_conv_run_bias(p, batch, dy, true, plain);
		break;
	default:
		out = NULL;
		plain = nans(W.n);
		if (pass == WEIGHT_ADD)
			memcpy(plain, W.f, W.n * sizeof(float));
		kernel_conv_run_weight(p, batch, x, dy, pass == WEIGHT_ADD,
		    plain, s);
	}
	free(out);
	free(x);
	free(dy);
	free(s);
	return plain;
}

static void
check_pass(const float *got, int64_t batch, enum pass pass)
{
	/*
	 * A sum of n products of numbers from [-1, 1) is some sqrt(i) / 3 after
	 * i of them and then rounded by up to half an ulp, so its error is some
	 * 0.07 n EPS, and three times that where the sum is a large one; five
	 * times the latter is not seen.
	 */
	const double most = (double)RK_MAX(batch * PLANE_Y,
	    RK_MAX(V.c, M) * V.k[0] * V.k[1]);
	const double tol = EPS * (1 + most);

	if (pass == FORWARD) {
		check_near(words[pass], got, NULL, Y,
		    floats(KERNEL_PLAIN, batch, M, PLANE_Y), tol);
	} else if (pass == FORWARD_RELU) {
		for (int64_t i = 0; i < batch * M * PLANE_Y; i++) {
			double y = Y[i] + BIAS.d[i / PLANE_Y % M];
			check_near(words[pass], got + i, NULL,
			    &(double){ y > 0 ? y : 0 }, 1, tol);
		}
	} else if (pass == DATA || pass == DATA_ADD) {
		check_near(words[pass], got, pass == DATA ? NULL : X.f, DX,
		    floats(KERNEL_PLAIN, batch, V.c, PLANE_X), tol);
	} else if (pass == DBIAS) {
		for (int64_t m = 0; m < M; m++) {
			double db = 0;
			for (int64_t i = 0; i < batch * PLANE_Y; i++)
				db += DY.d[(i / PLANE_Y * M + m) * PLANE_Y +
				    i % PLANE_Y];
			check_near(words[pass], got + m, BIAS.f + m, &db, 1,
			    tol);
		}
	} else if (batch == B) {
		check_near(words[pass], got, pass == WEIGHT ? NULL : W.f, DW,
		    W.n, tol);
	}
}

static size_t
result_floats(int64_t batch, enum pass pass)
{
	return pass <= FORWARD_RELU ?
	    floats(KERNEL_PLAIN, batch, M, PLANE_Y) : pass <= DATA_ADD ?
	    floats(KERNEL_PLAIN, batch, V.c, PLANE_X) : pass == DBIAS ?
	    BIAS.n : W.n;
}

static void
check_batch(int64_t batch, enum pass pass, bool fast)
{
	float *first = NULL;

	for (int threads = 1; threads <= 4; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		struct kernel_conv_plan *p = kernel_conv_plan(
		    &(struct kernel_conv_want){ V, M, B, LX, LY, fast });
		float *got = run_pass(p, batch, pass);
		kernel_conv_plan_free(p);
		kernel_fini();
		if (first == NULL) {
			first = got;
			check_pass(got, batch, pass);
			continue;
		}
		if (memcmp(first, got, result_floats(batch, pass) *
		    sizeof(float)) != 0)
			t_fail("%s: %d threads give other bits", words[pass],
			    threads);
		free(got);
	}
	free(first);
}

static void
check(const struct shape *s)
{
	setup(s);
	for (int l = 0; l < 4; l++) {
		LX = l & 1 ? KERNEL_BLOCKED : KERNEL_PLAIN;
		LY = l & 2 ? KERNEL_BLOCKED : KERNEL_PLAIN;
		for (int pass = 0; pass < PASSES; pass++)
			for (int64_t b = B; b > 0; b = b > 1 ? b / 2 : 0)
				check_batch(b, (enum pass)pass, false);
	}
	teardown();
}

#define SHAPE(C, OUT, H, WD, K, S, P, DIL, G, N)                       \
	&(struct shape){ (C), (OUT), (H), (WD), { (K), (K) }, { (S), (S) }, \
		{ (P), (P) }, (DIL), (G), (N) }

T_CASE(windows_of_three)
{
	check(SHAPE(16, 16, 9, 7, 3, 1, 1, 1, 1, 3));
	check(SHAPE(8, 24, 8, 10, 3, 1, 0, 1, 1, 9));
	check(SHAPE(64, 64, 7, 7, 3, 1, 1, 1, 1, 2));
}

T_CASE(windows_that_stride)
{
	check(SHAPE(16, 8, 9, 8, 3, 2, 1, 1, 1, 3));
	check(SHAPE(16, 32, 8, 9, 1, 2, 0, 1, 1, 3));
	check(SHAPE(8, 8, 11, 13, 5, 3, 2, 1, 1, 2));
	check(SHAPE(8, 8, 7, 7, 1, 3, 1, 1, 1, 2));
}

T_CASE(windows_of_one)
{
	check(SHAPE(16, 64, 5, 7, 1, 1, 0, 1, 1, 3));
	check(SHAPE(64, 24, 6, 6, 1, 1, 0, 1, 1, 17));
	check(SHAPE(40, 8, 1, 1, 1, 1, 0, 1, 1, 3));
}

T_CASE(channels_that_fill_no_block)
{
	check(SHAPE(13, 5, 7, 6, 3, 1, 1, 1, 1, 3));
	check(SHAPE(5, 13, 6, 7, 1, 1, 0, 1, 1, 3));
	check(SHAPE(6, 16, 14, 14, 5, 1, 0, 1, 1, 9));
	check(SHAPE(13, 7, 9, 15, 3, 1, 1, 1, 1, 3));
	check(SHAPE(5, 9, 8, 20, 3, 1, 2, 2, 1, 2));
	check(SHAPE(12, 20, 9, 9, 3, 2, 1, 1, 1, 2));
}

T_CASE(images_of_few_channels)
{
	check(SHAPE(1, 6, 28, 28, 5, 1, 2, 1, 1, 9));
	check(SHAPE(3, 16, 17, 19, 7, 2, 3, 1, 1, 2));
	check(SHAPE(3, 13, 9, 9, 3, 1, 1, 1, 1, 4));
}

T_CASE(dilation_and_groups)
{
	check(SHAPE(8, 16, 9, 11, 3, 1, 2, 2, 1, 2));
	check(SHAPE(16, 16, 9, 11, 3, 2, 2, 2, 1, 2));
	check(SHAPE(16, 32, 6, 6, 3, 1, 1, 1, 2, 3));
	check(SHAPE(8, 8, 6, 6, 3, 1, 1, 1, 2, 3));
	check(SHAPE(32, 16, 7, 7, 3, 2, 1, 1, 2, 2));
	check(SHAPE(12, 12, 9, 7, 3, 1, 1, 1, 12, 2));
}

T_CASE(one_channel_a_group)
{
	check(SHAPE(16, 16, 9, 8, 3, 1, 1, 1, 16, 3));
	check(SHAPE(13, 13, 8, 9, 3, 2, 1, 1, 13, 5));
	check(SHAPE(24, 24, 7, 7, 5, 1, 2, 1, 24, 4));
	check(SHAPE(8, 8, 11, 10, 5, 2, 2, 1, 8, 9));
	check(SHAPE(8, 8, 9, 9, 3, 1, 2, 2, 8, 2));
	check(SHAPE(8, 16, 9, 9, 3, 1, 1, 1, 8, 2));
	check(SHAPE(8, 8, 9, 9, 1, 2, 0, 1, 8, 2));
}

T_CASE(windows_that_are_not_square)
{
	check(&(struct shape){ 8, 8, 9, 12, { 1, 7 }, { 1, 1 }, { 0, 3 }, 1, 1,
	    3 });
	check(&(struct shape){ 8, 16, 12, 9, { 5, 3 }, { 2, 1 }, { 1, 2 }, 1, 1,
	    3 });
	check(&(struct shape){ 1, 12, 9, 16, { 3, 16 }, { 1, 1 }, { 0, 0 }, 1,
	    1, 5 });
}

/* The result of a pass by one way, for all B; NULL where it does not take the
 * shape. */
static float *
by_way(const struct conv_way *way, enum kernel_conv_pass pass, bool add)
{
	const struct kernel_conv_want want = { V, M, B, LX, LY, false };
	const bool data = pass == KERNEL_CONV_DATA;
	void *state = way->make(&want, pass);

	if (state == NULL)
		return NULL;
	float *x = laid(LX, B, V.c, PLANE_X, X.f);
	float *dy = laid(LY, B, M, PLANE_Y, DY.f), *s = nans(way->scratch(
	    state));
	float *out = data ? laid(LX, B, V.c, PLANE_X, X.f) :
	    nans(floats(LY, B, M, PLANE_Y));
	way->run(state, &(struct conv_call){ .B = B, .x = data ? NULL : x,
	    .w = W.f, .b = data ? NULL : BIAS.f, .dy = data ? dy : NULL,
	    .relu = !data, .add = add, .out = out, .scratch = s });
	way->free(state);
	free(x);
	free(dy);
	free(s);
	return out;
}

static void
narrow_is_direct(const struct shape *s, enum kernel_layout x,
    enum kernel_conv_pass pass)
{
	setup(s);
	LX = x;
	LY = KERNEL_BLOCKED;
	for (int add = 0; add < (pass == KERNEL_CONV_DATA ? 2 : 1); add++) {
		float *got = by_way(&kernel_conv_narrow, pass, add != 0);
		float *want = by_way(&kernel_conv_direct, pass, add != 0);
		const size_t n = pass == KERNEL_CONV_DATA ?
		    floats(LX, B, V.c, PLANE_X) : floats(LY, B, M, PLANE_Y);
		t_check(got != NULL && want != NULL);
		t_check(memcmp(got, want, n * sizeof(*got)) == 0);
		free(got);
		free(want);
	}
	teardown();
}

T_CASE(places_in_the_lanes_give_the_bits_of_channels_in_the_lanes)
{
	if (kernel_conv_loops() == NULL ||
	    kernel_conv_loops()->lanes <= KERNEL_BLOCK)
		t_skip("the vectors of this CPU are no longer than a block");
	t_check(kernel_init(2) == RK_OK);
	narrow_is_direct(SHAPE(1, 6, 28, 28, 5, 1, 2, 1, 1, 3), KERNEL_PLAIN,
	    KERNEL_CONV_FORWARD);
	narrow_is_direct(SHAPE(3, 8, 9, 31, 3, 1, 1, 1, 1, 20), KERNEL_PLAIN,
	    KERNEL_CONV_FORWARD);
	narrow_is_direct(SHAPE(3, 5, 9, 30, 3, 1, 2, 2, 1, 2), KERNEL_PLAIN,
	    KERNEL_CONV_FORWARD);
	narrow_is_direct(SHAPE(13, 7, 14, 15, 3, 1, 1, 1, 1, 2),
	    KERNEL_BLOCKED, KERNEL_CONV_FORWARD);
	narrow_is_direct(SHAPE(6, 16, 14, 14, 5, 1, 0, 1, 1, 9),
	    KERNEL_BLOCKED, KERNEL_CONV_DATA);
	narrow_is_direct(SHAPE(1, 11, 17, 16, 3, 1, 1, 1, 1, 3),
	    KERNEL_BLOCKED, KERNEL_CONV_DATA);
	kernel_fini();
}

static enum kernel_conv_way
way(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	struct kernel_conv_plan *p = kernel_conv_plan(w);
	enum kernel_conv_way got = kernel_conv_plan_way(p, pass);

	kernel_conv_plan_free(p);
	return got;
}

T_CASE(ways_go_by_the_shape)
{
	struct kernel_conv_want w = { .v = { .c = 16, .h = 8, .w = 8, .oh = 8,
		.ow = 8, .k = { 3, 3 }, .stride = { 1, 1 }, .pad = { 1, 1 } },
		.M = 16, .B = 4, .x = KERNEL_BLOCKED, .y = KERNEL_BLOCKED };

	t_check(kernel_init(1) == RK_OK);
	const bool fast = strcmp(kernel_micro_word(), "plain") != 0;
	for (int p = 0; p < KERNEL_CONV_PASSES && fast; p++)
		t_check(way(&w, (enum kernel_conv_pass)p) ==
		    KERNEL_CONV_DIRECT);
	w.v.groups = 16;
	if (fast)
		t_check(way(&w, KERNEL_CONV_WEIGHT) == KERNEL_CONV_DEPTHWISE);
	w.v.groups = 1;
	w.x = w.y = KERNEL_PLAIN;
	for (int p = 0; p < KERNEL_CONV_PASSES; p++)
		t_check(way(&w, (enum kernel_conv_pass)p) ==
		    KERNEL_CONV_PLAIN);
	t_eq_str(kernel_conv_words[KERNEL_CONV_DIRECT], "direct");
	kernel_fini();
}

/* 64 words of 128 numbers, windows of three words: going over each place of x
 * with 384 numbers of a window would be 132 times the products that there are. */
T_CASE(a_window_as_wide_as_the_image_goes_back_by_products)
{
	struct kernel_conv_want w = { .v = { .c = 1, .h = 64, .w = 128,
		.oh = 62, .ow = 1, .k = { 3, 128 }, .stride = { 1, 1 } },
		.M = 100, .B = 4, .x = KERNEL_BLOCKED, .y = KERNEL_BLOCKED };

	t_check(kernel_init(1) == RK_OK);
	t_check(way(&w, KERNEL_CONV_DATA) == KERNEL_CONV_PLAIN);
	w.x = KERNEL_PLAIN;
	t_check(way(&w, KERNEL_CONV_DATA) == KERNEL_CONV_PLAIN);
	kernel_fini();
}

T_MAIN
