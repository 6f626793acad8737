/*
 * Winograd's convolution against the plain loops in double, on shapes of all
 * kinds; its bits for teams of one to four and for AVX2 and AVX-512; lanes that
 * are no channel; scratch that holds NaN; batches below the plan's.
 */
#include "kernel_double.h"
#include "loops.h"
#include "wino.h"

static struct kernel_conv_want W;

/* 3x3 windows, channels c in and m out, samples b. */
static struct kernel_conv_want
want(int64_t c, int64_t m, int64_t h, int64_t w, int64_t pad, int64_t b)
{
	return (struct kernel_conv_want){ .M = m, .B = b,
		.x = KERNEL_BLOCKED, .y = KERNEL_BLOCKED, .fast = true,
		.v = { .c = c, .h = h, .w = w, .oh = h + 2 * pad - 2,
			.ow = w + 2 * pad - 2, .k = { 3, 3 },
			.stride = { 1, 1 }, .pad = { pad, pad } } };
}

/* --- images --------------------------------------------------------------- */

static size_t
x_plane(void)
{
	return (size_t)(W.v.h * W.v.w);
}

static size_t
y_plane(void)
{
	return (size_t)(W.v.oh * W.v.ow);
}

static size_t
x_floats(void)
{
	return (size_t)kernel_blocks(W.v.c) * KERNEL_BLOCK * x_plane() *
	    (size_t)W.B;
}

static size_t
y_floats(void)
{
	return (size_t)kernel_blocks(W.M) * KERNEL_BLOCK * y_plane() *
	    (size_t)W.B;
}

/* The place in a blocked image of place p of channel i of all samples. */
static size_t
blocked(int64_t channels, size_t plane, size_t i, size_t p)
{
	const size_t b = i / (size_t)channels, c = i % (size_t)channels;

	return ((b * (size_t)kernel_blocks(channels) + c / KERNEL_BLOCK) *
	    plane + p) * KERNEL_BLOCK + c % KERNEL_BLOCK;
}

static float *
to_blocked(int64_t channels, size_t plane, const struct both *x)
{
	float *y = xcalloc((size_t)kernel_blocks(channels) * KERNEL_BLOCK *
	    plane * (size_t)W.B, sizeof(*y));

	for (size_t i = 0; i < x->n; i++)
		y[blocked(channels, plane, i / plane, i % plane)] = x->f[i];
	return y;
}

/* --- the three passes ----------------------------------------------------- */

static struct both X, DY, WT, BIAS;
static float *XB, *DYB;
static bool relu;

static float *
scratch(enum kernel_conv_pass pass, size_t *n)
{
	*n = wino_scratch(&W, pass);
	float *s = kernel_alloc((*n + 1) * sizeof(*s));

	for (size_t i = 0; i < *n; i++)
		s[i] = NAN;
	s[*n] = 1234;
	return s;
}

static void
scratch_end(float *s, size_t n)
{
	t_check(s[n] == 1234);
	kernel_free(s, (n + 1) * sizeof(*s));
}

static void
run(enum kernel_conv_pass pass, int64_t B, bool add, float *out)
{
	size_t n;
	float *s = scratch(pass, &n);

	if (pass == KERNEL_CONV_FORWARD)
		wino_forward(&W, B, XB, WT.f, BIAS.f, relu, out, s);
	else if (pass == KERNEL_CONV_DATA)
		wino_data(&W, B, WT.f, DYB, add, out, s);
	else
		wino_weight(&W, B, XB, DYB, add, out, s);
	scratch_end(s, n);
}

static size_t
out_floats(enum kernel_conv_pass pass)
{
	return pass == KERNEL_CONV_FORWARD ? y_floats() :
	    pass == KERNEL_CONV_DATA ? x_floats() : WT.n;
}

/* What the pass gives, in double, plain. */
static double *
oracle(enum kernel_conv_pass pass, size_t *n)
{
	const size_t C = (size_t)W.v.c, M = (size_t)W.M;

	*n = pass == KERNEL_CONV_FORWARD ? DY.n :
	    pass == KERNEL_CONV_DATA ? X.n : WT.n;
	double *o = xcalloc(*n, sizeof(*o));
	for (size_t b = 0; b < (size_t)W.B; b++)
	for (size_t m = 0; m < M; m++)
	for (size_t c = 0; c < C; c++) {
		const double *x = X.d + (b * C + c) * x_plane();
		const double *w = WT.d + (m * C + c) * 9;
		const double *dy = DY.d + (b * M + m) * y_plane();
		if (pass == KERNEL_CONV_FORWARD)
			double_plane_conv(&W.v, x, w,
			    o + (b * M + m) * y_plane());
		else if (pass == KERNEL_CONV_DATA)
			double_plane_conv_back(&W.v, w, dy,
			    o + (b * C + c) * x_plane());
		else
			double_plane_conv_weight(&W.v, x, dy, 0, 9,
			    o + (m * C + c) * 9);
	}
	for (size_t i = 0; pass == KERNEL_CONV_FORWARD && i < *n; i++) {
		o[i] += BIAS.d[i / y_plane() % M];
		o[i] = relu && o[i] < 0 ? 0 : o[i];
	}
	return o;
}

/* Where element i of the oracle's is. */
static size_t
element(enum kernel_conv_pass pass, size_t i)
{
	if (pass == KERNEL_CONV_FORWARD)
		return blocked(W.M, y_plane(), i / y_plane(), i % y_plane());
	if (pass == KERNEL_CONV_DATA)
		return blocked(W.v.c, x_plane(), i / x_plane(), i % x_plane());
	return i;
}

static void
need_fast(void)
{
	if (kernel_loops() == &kernel_loops_plain)
		t_skip("this CPU has no AVX2 or no FMA");
}

static void
prepare(struct kernel_conv_want w)
{
	W = w;
	need_fast();
	t_check(wino_can(&W));
	X = both((size_t)(W.B * W.v.c) * x_plane(), 1);
	WT = both((size_t)(W.M * W.v.c * 9), 2);
	DY = both((size_t)(W.B * W.M) * y_plane(), 3);
	BIAS = both((size_t)W.M, 4);
	XB = to_blocked(W.v.c, x_plane(), &X);
	DYB = to_blocked(W.M, y_plane(), &DY);
}

static void
put_away(void)
{
	both_free(&X);
	both_free(&WT);
	both_free(&DY);
	both_free(&BIAS);
	free(XB);
	free(DYB);
}

/* --- what is compared ----------------------------------------------------- */

/* The root of the mean square of the error, over that of what is wanted. */
static double
error(enum kernel_conv_pass pass, const float *got, const float *before)
{
	size_t n;
	double *o = oracle(pass, &n);
	double e = 0, all = 0;

	for (size_t i = 0; i < n; i++) {
		const size_t at = element(pass, i);
		const double d = got[at] - (before ? before[at] : 0) - o[i];
		e += d * d;
		all += o[i] * o[i];
	}
	free(o);
	return sqrt(e / all);
}

/* Lanes behind the last channel hold 0, or what was there before. */
static void
check_lanes(enum kernel_conv_pass pass, const float *got, const float *before)
{
	const size_t n = out_floats(pass);
	bool *is = xcalloc(n, sizeof(*is));
	const size_t real = pass == KERNEL_CONV_FORWARD ? DY.n :
	    pass == KERNEL_CONV_DATA ? X.n : WT.n;

	for (size_t i = 0; i < real; i++)
		is[element(pass, i)] = true;
	for (size_t i = 0; i < n; i++)
		t_check(is[i] || got[i] == (before ? before[i] : 0));
	free(is);
}

#define TOLERANCE 4e-6

static void
check_pass(enum kernel_conv_pass pass, bool add)
{
	static const char *const words[] = { "y", "dx", "dw" };
	const size_t n = out_floats(pass);
	struct both before = both(n, 9);
	float *first = xcalloc(n, sizeof(*first));
	float *out = xcalloc(n, sizeof(*out));

	for (int threads = 1; threads <= 4; threads++) {
		memcpy(out, before.f, n * sizeof(*out));
		t_check(kernel_init(threads) == RK_OK);
		run(pass, W.B, add, out);
		kernel_fini();
		if (threads == 1)
			memcpy(first, out, n * sizeof(*out));
		else if (memcmp(first, out, n * sizeof(*out)) != 0)
			t_fail("%s: %d threads give other bits", words[pass],
			    threads);
	}
	check_lanes(pass, out, add ? before.f : NULL);
	const double e = error(pass, out, add ? before.f : NULL);
	if (getenv("T_SHOW"))
		printf("%s %.2g\n", words[pass], e);
	if (!(e < TOLERANCE))
		t_fail("%s of %d to %d channels, %dx%d: error %.3g",
		    words[pass], (int)W.v.c, (int)W.M, (int)W.v.h, (int)W.v.w,
		    e);
	both_free(&before);
	free(first);
	free(out);
}

static void
check(struct kernel_conv_want w)
{
	prepare(w);
	check_pass(KERNEL_CONV_FORWARD, false);
	for (int add = 0; add <= 1; add++) {
		check_pass(KERNEL_CONV_DATA, add);
		check_pass(KERNEL_CONV_WEIGHT, add);
	}
	put_away();
}

/* --- cases ---------------------------------------------------------------- */

T_CASE(channels_and_images_of_any_size)
{
	static const int64_t shapes[][5] = {    /* c, M, h, w, B */
		{ 1, 1, 1, 1, 1 }, { 3, 5, 4, 4, 2 }, { 8, 8, 5, 3, 3 },
		{ 7, 9, 9, 13, 2 }, { 16, 24, 8, 8, 5 }, { 24, 16, 7, 7, 3 },
		{ 20, 33, 14, 10, 1 }, { 40, 17, 6, 11, 4 },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(shapes); i++)
		check(want(shapes[i][0], shapes[i][1], shapes[i][2],
		    shapes[i][3], 1, shapes[i][4]));
}

T_CASE(padding_of_none_one_and_two_each_way)
{
	for (int64_t p = 0; p < 3; p++)
		for (int64_t q = 0; q < 3; q++) {
			struct kernel_conv_want w = want(6, 10, 9, 6, p, 2);
			w.v.pad[1] = q;
			w.v.ow = w.v.w + 2 * q - 2;
			check(w);
		}
}

/* More than WINO_K channels are summed in steps; many tiles, in pieces and in
 * chunks. */
T_CASE(sums_in_steps)
{
	check(want(130, 20, 6, 6, 1, 2));
	check(want(20, 260, 5, 5, 1, 2));
	check(want(4, 4, 36, 40, 1, 12));
}

/* Few tiles of many channels go by slabs. */
T_CASE(slabs_of_channels)
{
	check(want(330, 328, 3, 6, 1, 3));
}

/* Where all windows would take too much memory, some outputs after the other:
 * the same bits. */
T_CASE(outputs_in_groups)
{
	const int64_t usual = wino_most;

	prepare(want(24, 72, 9, 10, 1, 5));
	t_check(kernel_init(2) == RK_OK);
	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++) {
		const size_t n = out_floats(pass);
		float *a = xcalloc(n, sizeof(*a)), *b = xcalloc(n, sizeof(*b));
		run(pass, 5, false, a);
		wino_most = WINO_FREQS * 24 * 33;
		t_check(wino_group(24, 80) == 32);
		run(pass, 5, false, b);
		wino_most = usual;
		if (memcmp(a, b, n * sizeof(*a)) != 0)
			t_fail("pass %d has other bits", pass);
		free(a);
		free(b);
	}
	kernel_fini();
	put_away();
	wino_most = WINO_FREQS * 24;
	check(want(24, 40, 6, 6, 1, 3));
}

T_CASE(relu_keeps_what_is_no_number)
{
	prepare(want(5, 6, 8, 8, 1, 1));
	relu = true;
	t_check(kernel_init(2) == RK_OK);
	float *y = xcalloc(y_floats(), sizeof(*y));
	run(KERNEL_CONV_FORWARD, 1, false, y);
	t_check(error(KERNEL_CONV_FORWARD, y, NULL) < TOLERANCE);
	XB[blocked(5, 64, 2, 3)] = NAN;
	XB[blocked(5, 64, 2, 63)] = INFINITY;
	run(KERNEL_CONV_FORWARD, 1, false, y);
	check_lanes(KERNEL_CONV_FORWARD, y, NULL);
	t_check(isnan(y[blocked(6, 64, 0, 3)]));
	t_check(!isfinite(y[blocked(6, 64, 0, 63)]));
	kernel_fini();
	free(y);
	put_away();
}

/* y and dx of the first samples are those of a larger batch. */
static void
check_fewer(struct kernel_conv_want w)
{
	prepare(w);
	t_check(kernel_init(2) == RK_OK);
	for (int pass = 0; pass <= KERNEL_CONV_DATA; pass++) {
		const size_t n = out_floats(pass);
		const size_t each = n / (size_t)W.B;
		float *whole = xcalloc(n, sizeof(*whole));
		float *some = xcalloc(n, sizeof(*some));
		run(pass, W.B, false, whole);
		for (int64_t B = 1; B < W.B; B++) {
			memset(some, 0, n * sizeof(*some));
			run(pass, B, false, some);
			t_check(memcmp(some, whole, (size_t)B * each *
			    sizeof(*some)) == 0);
			for (size_t i = (size_t)B * each; i < n; i++)
				t_check(some[i] == 0);
		}
		free(whole);
		free(some);
	}
	kernel_fini();
	put_away();
}

T_CASE(fewer_samples_than_planned)
{
	check_fewer(want(12, 20, 9, 9, 1, 5));
	check_fewer(want(256, 256, 4, 4, 1, 3));
	/* What a plan for fewer would give, though it is cut another way. */
	prepare(want(256, 256, 12, 12, 1, 30));
	t_check(kernel_init(2) == RK_OK);
	float *many = xcalloc(y_floats(), sizeof(*many));
	run(KERNEL_CONV_FORWARD, 30, false, many);
	W.B = 3;
	float *few = xcalloc(y_floats(), sizeof(*few));
	run(KERNEL_CONV_FORWARD, 3, false, few);
	t_check(memcmp(many, few, y_floats() * sizeof(*few)) == 0);
	kernel_fini();
	free(many);
	free(few);
	put_away();
}

/* A gradient of fewer samples is that of a plan for them. */
T_CASE(weights_of_fewer_samples)
{
	for (int big = 0; big <= 1; big++) {
		struct kernel_conv_want w = big ? want(330, 328, 6, 6, 1, 7) :
		    want(12, 20, 30, 30, 1, 7);
		prepare(w);
		t_check(kernel_init(2) == RK_OK);
		float *a = xcalloc(WT.n, sizeof(*a));
		float *b = xcalloc(WT.n, sizeof(*b));
		run(KERNEL_CONV_WEIGHT, 3, false, a);
		W.B = 3;
		run(KERNEL_CONV_WEIGHT, 3, false, b);
		t_check(memcmp(a, b, WT.n * sizeof(*a)) == 0);
		kernel_fini();
		free(a);
		free(b);
		put_away();
	}
}

/* Results of all passes, with the vectors that REKINDLE_SIMD allows. */
static float *
results(size_t *n)
{
	*n = y_floats() + x_floats() + WT.n;
	float *all = xcalloc(*n, sizeof(*all));

	t_check(kernel_init(2) == RK_OK);
	run(KERNEL_CONV_FORWARD, W.B, false, all);
	run(KERNEL_CONV_DATA, W.B, false, all + y_floats());
	run(KERNEL_CONV_WEIGHT, W.B, false, all + y_floats() + x_floats());
	kernel_fini();
	return all;
}

T_CASE(avx512_gives_the_bits_of_avx2)
{
	size_t n;

	prepare(want(140, 45, 10, 9, 1, 6));
	const pid_t p = fork();
	if (p == 0) {
		setenv("REKINDLE_SIMD", "avx2", 1);
		const float *all = results(&n);
		FILE *f = fopen("avx2", "w");
		t_check(f != NULL && fwrite(all, sizeof(*all), n, f) == n);
		fclose(f);
		_exit(0);
	}
	int st = 1;
	t_check(waitpid(p, &st, 0) == p && st == 0);
	float *all = results(&n), *avx2 = xcalloc(n, sizeof(*avx2));
	FILE *f = fopen("avx2", "r");
	t_check(f != NULL && fread(avx2, sizeof(*avx2), n, f) == n);
	fclose(f);
	t_check(memcmp(all, avx2, n * sizeof(*all)) == 0);
	free(all);
	free(avx2);
	put_away();
}

T_CASE(shapes_that_are_refused)
{
	struct kernel_conv_want w = want(8, 8, 8, 8, 1, 1);

	need_fast();
	t_check(wino_can(&w));
	w.fast = false;
	t_check(!wino_can(&w));
	w = want(8, 8, 8, 8, 1, 1);
	w.x = KERNEL_PLAIN;
	t_check(!wino_can(&w));
	w = want(8, 8, 8, 8, 1, 1);
	w.v.groups = 2;
	t_check(!wino_can(&w));
	w = want(8, 8, 8, 8, 3, 1);
	t_check(!wino_can(&w));
	for (int side = 0; side < 2; side++) {
		w = want(8, 8, 8, 8, 1, 1);
		w.v.stride[side] = 2;
		t_check(!wino_can(&w));
		w = want(8, 8, 8, 8, 1, 1);
		w.v.dilation[side] = 2;
		t_check(!wino_can(&w));
		w = want(8, 8, 8, 8, 1, 1);
		w.v.k[side] = 1;
		t_check(!wino_can(&w));
	}
}

T_CASE(a_cpu_that_has_less_does_not_go_this_way)
{
	const struct kernel_conv_want w = want(64, 64, 32, 32, 1, 8);

	setenv("REKINDLE_SIMD", "plain", 1);
	t_check(!wino_can(&w));
	struct kernel_conv_plan *p = kernel_conv_plan(&w);
	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++)
		t_check(kernel_conv_plan_way(p, pass) !=
		    KERNEL_CONV_WINOGRAD);
	kernel_conv_plan_free(p);
}

T_CASE(a_plan_goes_this_way_where_it_wins)
{
	struct kernel_conv_want few = want(96, 96, 5, 5, 1, 1);

	need_fast();
	t_check(wino_can(&few) && wino_saves(&few) < 1);
	struct kernel_conv_want many = want(512, 512, 64, 64, 1, 64);
	t_check(wino_saves(&many) > 3.5 && wino_saves(&many) < 4);
	prepare(want(32, 32, 16, 16, 1, 4));
	t_check(kernel_init(2) == RK_OK);
	struct kernel_conv_plan *p = kernel_conv_plan(&W);
	float *s = xcalloc(kernel_conv_plan_scratch(p), sizeof(*s));
	float *out = xcalloc(y_floats() + x_floats() + WT.n, sizeof(*out));
	float *own = xcalloc(y_floats() + x_floats() + WT.n, sizeof(*own));
	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++) {
		t_check(kernel_conv_plan_way(p, pass) ==
		    KERNEL_CONV_WINOGRAD);
		run(pass, 3, false, own);
		if (pass == KERNEL_CONV_FORWARD)
			kernel_conv_run(p, 3, XB, WT.f, BIAS.f, relu, out, s);
		else if (pass == KERNEL_CONV_DATA)
			kernel_conv_run_data(p, 3, WT.f, DYB, false, out, s);
		else
			kernel_conv_run_weight(p, 3, XB, DYB, false, out, s);
		t_check(memcmp(out, own, out_floats(pass) * sizeof(*out)) ==
		    0);
	}
	kernel_conv_plan_free(p);
	W.fast = false;
	p = kernel_conv_plan(&W);
	t_check(kernel_conv_plan_way(p, KERNEL_CONV_FORWARD) !=
	    KERNEL_CONV_WINOGRAD);
	kernel_conv_plan_free(p);
	kernel_fini();
	free(s);
	free(out);
	free(own);
	put_away();
}

T_MAIN
