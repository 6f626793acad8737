/*
 * Convolution with groups and dilation, and pools in all their ways: gradients
 * are slopes in double, and the product agrees with that in float.
 */
#include "kernel_double.h"

/* --- convolution ---------------------------------------------------------- */

static struct kernel_window V;
static int64_t M, B;
static struct both X, W, DY;
static double *Y;

static int64_t
in_plane(void)
{
	return V.h * V.w;
}

static int64_t
out_plane(void)
{
	return V.oh * V.ow;
}

static int64_t
taps(void)
{
	return V.k[0] * V.k[1];
}

/* fn for each pair of an input plane and an output plane that meet. */
static void
each_pair(void (*fn)(int64_t x, int64_t w, int64_t y))
{
	const int64_t groups = window_groups(&V), gc = V.c / groups;

	for (int64_t b = 0; b < B; b++)
		for (int64_t m = 0; m < M; m++)
			for (int64_t c = 0; c < gc; c++)
				fn(b * V.c + m / (M / groups) * gc + c,
				    m * gc + c, b * M + m);
}

static void
pair(int64_t x, int64_t w, int64_t y)
{
	double_plane_conv(&V, X.d + x * in_plane(), W.d + w * taps(),
	    Y + y * out_plane());
}

static double
conv_value(void)
{
	memset(Y, 0, DY.n * sizeof(*Y));
	each_pair(pair);
	return sum_of_products(Y, DY.d, DY.n);
}

static double *DX, *DW;

static void
pair_back(int64_t x, int64_t w, int64_t y)
{
	double_plane_conv_back(&V, W.d + w * taps(), DY.d + y * out_plane(),
	    DX + x * in_plane());
	double_plane_conv_weight(&V, X.d + x * in_plane(),
	    DY.d + y * out_plane(), 0, taps(), DW + w * taps());
}

static float *
scratch(void)
{
	return xcalloc(kernel_conv_scratch(&V, M, B) + 1, sizeof(float));
}

static void
run_conv(float *y, bool add)
{
	float *s = scratch();

	(void)add;
	kernel_conv(&V, M, B, X.f, W.f, NULL, false, y, s);
	free(s);
}

static void
run_data(float *dx, bool add)
{
	float *s = scratch();

	kernel_conv_back_data(&V, M, B, W.f, DY.f, add, dx, s);
	free(s);
}

static void
run_weight(float *dw, bool add)
{
	float *s = scratch();

	kernel_conv_back_weight(&V, M, B, X.f, DY.f, add, dw, s);
	free(s);
}

static void
check_conv(struct kernel_window v, int64_t outputs, int64_t batch)
{
	V = v;
	M = outputs;
	B = batch;
	for (int i = 0; i < 2; i++) {
		int64_t *o = i == 0 ? &V.oh : &V.ow;
		*o = kernel_window_places(i == 0 ? V.h : V.w, V.k[i],
		    V.stride[i], V.pad[i], window_dilation(&V, i), false);
		t_check(*o > 0);
	}
	X = both((size_t)(B * V.c * in_plane()), 1);
	W = both((size_t)(M * V.c / window_groups(&V) * taps()), 2);
	DY = both((size_t)(B * M * out_plane()), 3);
	Y = xcalloc(DY.n, sizeof(*Y));
	DX = xcalloc(X.n, sizeof(*DX));
	DW = xcalloc(W.n, sizeof(*DW));
	each_pair(pair_back);
	check_slopes("dx", X.d, X.n, DX, conv_value);
	check_slopes("dw", W.d, W.n, DW, conv_value);
	(void)conv_value();
	/* Sums of up to `most` products below 1, each with half an ulp. */
	const double most = (double)RK_MAX(B * out_plane(),
	    V.c * taps());
	const double tol = EPS * (1 + sqrt(most) * 2);
	check_float("y", Y, DY.n, tol, false, run_conv);
	check_float("dx", DX, X.n, tol, true, run_data);
	check_float("dw", DW, W.n, tol, true, run_weight);
	both_free(&X);
	both_free(&W);
	both_free(&DY);
	free(Y);
	free(DX);
	free(DW);
}

#define WINDOW(C, H, WD, K, S, PAD, DIL, G)                               \
	(struct kernel_window){ .c = (C), .h = (H), .w = (WD),            \
		.k = { (K), (K) }, .stride = { (S), (S) },                \
		.pad = { (PAD), (PAD) }, .dilation = { (DIL), (DIL) },    \
		.groups = (G) }

T_CASE(a_dilated_convolution)
{
	check_conv(WINDOW(3, 9, 8, 3, 1, 2, 2, 1), 4, 3);
	check_conv(WINDOW(2, 11, 9, 2, 2, 3, 4, 0), 3, 2);
	struct kernel_window v = WINDOW(2, 7, 10, 3, 1, 1, 1, 1);
	v.dilation[1] = 3;
	v.pad[1] = 3;
	check_conv(v, 3, 2);
}

T_CASE(a_convolution_in_groups)
{
	check_conv(WINDOW(4, 6, 5, 3, 1, 1, 1, 2), 6, 3);
	check_conv(WINDOW(6, 6, 5, 3, 2, 1, 2, 3), 3, 2);
	/* Parts of several samples in the weight gradient. */
	check_conv(WINDOW(4, 4, 3, 3, 1, 1, 1, 2), 4, 20);
	/* One pixel: the input is the column. */
	check_conv(WINDOW(4, 5, 4, 1, 1, 0, 1, 2), 4, 5);
}

T_CASE(a_depthwise_convolution)
{
	check_conv(WINDOW(6, 9, 7, 3, 1, 1, 1, 6), 6, 3);
	check_conv(WINDOW(3, 9, 8, 3, 2, 1, 1, 3), 6, 2);
	check_conv(WINDOW(2, 11, 11, 5, 1, 4, 2, 2), 2, 2);
	/* More taps than are summed at a time. */
	check_conv(WINDOW(2, 13, 14, 12, 1, 3, 1, 2), 2, 2);
}

/* Enough planes for several pieces, and rows of several times eight. */
T_CASE(a_depthwise_convolution_in_pieces)
{
	V = WINDOW(12, 40, 36, 3, 1, 1, 1, 12);
	V.oh = 40;
	V.ow = 36;
	M = 12;
	B = 5;
	X = both((size_t)(B * 12 * 40 * 36), 1);
	W = both((size_t)M * 9, 2);
	DY = both(X.n, 3);
	Y = xcalloc(DY.n, sizeof(*Y));
	DX = xcalloc(X.n, sizeof(*DX));
	DW = xcalloc(W.n, sizeof(*DW));
	each_pair(pair_back);
	(void)conv_value();
	check_float("y", Y, DY.n, 1e-6, false, run_conv);
	check_float("dx", DX, X.n, 1e-6, true, run_data);
	/* 7200 products: EPS * sqrt(7200) * 2 */
	check_float("dw", DW, W.n, 2e-5, true, run_weight);
	both_free(&X);
	both_free(&W);
	both_free(&DY);
	free(Y);
	free(DX);
	free(DW);
}

static float bias[4] = { 0.5f, -1, 0, 2 };

T_CASE(bias_and_relu_of_groups)
{
	for (int groups = 2; groups <= 4; groups += 2) {
		V = WINDOW(4, 5, 5, 3, 1, 1, 1, groups);
		V.oh = V.ow = 5;
		M = 4;
		B = 2;
		X = both((size_t)(B * 4 * 25), 1);
		W = both((size_t)(M * 4 / groups * 9), 2);
		struct both y = both((size_t)(B * M * 25), 3);
		struct both plain = both(y.n, 3);
		float *s = scratch();
		kernel_conv(&V, M, B, X.f, W.f, NULL, false, plain.f, s);
		kernel_conv(&V, M, B, X.f, W.f, bias, true, y.f, s);
		for (size_t i = 0; i < y.n; i++)
			t_near(y.f[i], fmax(0, plain.f[i] + bias[i / 25 % 4]),
			    4 * EPS);
		free(s);
		both_free(&X);
		both_free(&W);
		both_free(&y);
		both_free(&plain);
	}
}

/* --- pools ---------------------------------------------------------------- */

static bool ADAPTIVE;
static int32_t *AT;

static size_t
planes(void)
{
	return (size_t)(B * V.c);
}

static double
avg_value(void)
{
	for (size_t p = 0; p < planes(); p++)
		double_avg_pool(&V, ADAPTIVE, X.d + p * (size_t)in_plane(),
		    Y + p * (size_t)out_plane());
	return sum_of_products(Y, DY.d, DY.n);
}

static double
max_value(void)
{
	for (size_t p = 0; p < planes(); p++)
		double_max_pool(&V, X.d + p * (size_t)in_plane(),
		    Y + p * (size_t)out_plane(),
		    AT + p * (size_t)out_plane());
	return sum_of_products(Y, DY.d, DY.n);
}

static void
run_avg(float *y, bool add)
{
	(void)add;
	if (ADAPTIVE)
		kernel_adaptive_avg_pool(&V, B, X.f, y);
	else
		kernel_avg_pool(&V, B, X.f, y);
}

static void
run_avg_back(float *dx, bool add)
{
	if (ADAPTIVE)
		kernel_adaptive_avg_pool_back(&V, B, DY.f, add, dx);
	else
		kernel_avg_pool_back(&V, B, DY.f, add, dx);
}

static void
run_max(float *y, bool add)
{
	(void)add;
	kernel_max_pool(&V, B, X.f, y, AT);
}

static void
run_max_back(float *dx, bool add)
{
	kernel_max_pool_back(&V, B, DY.f, AT, add, dx);
}

static void
check_pool(bool max)
{
	B = 3;
	X = both(planes() * (size_t)in_plane(), 1);
	DY = both(planes() * (size_t)out_plane(), 2);
	Y = xcalloc(DY.n, sizeof(*Y));
	AT = xcalloc(DY.n, sizeof(*AT));
	DX = xcalloc(X.n, sizeof(*DX));
	if (max)
		(void)max_value();
	for (size_t p = 0; p < planes(); p++) {
		const double *dy = DY.d + p * (size_t)out_plane();
		double *dx = DX + p * (size_t)in_plane();
		if (max)
			double_max_pool_back((size_t)out_plane(), dy,
			    AT + p * (size_t)out_plane(), dx);
		else
			double_avg_pool_back(&V, ADAPTIVE, dy, dx);
	}
	check_slopes("dx", X.d, X.n, DX, max ? max_value : avg_value);
	(void)(max ? max_value : avg_value)();
	/* Some tens of numbers below 1 are summed. */
	check_float("y", Y, DY.n, 8 * EPS, false, max ? run_max : run_avg);
	check_float("dx", DX, X.n, 8 * EPS, true,
	    max ? run_max_back : run_avg_back);
	both_free(&X);
	both_free(&DY);
	free(Y);
	free(AT);
	free(DX);
}

static void
pools_with(int64_t h, int64_t w, int64_t k, int64_t stride, int64_t pad,
    bool ceil)
{
	V = WINDOW(2, h, w, k, stride, pad, 1, 1);
	V.oh = kernel_window_places(h, k, stride, pad, 1, ceil);
	V.ow = kernel_window_places(w, k, stride, pad, 1, ceil);
	ADAPTIVE = false;
	check_pool(true);
	check_pool(false);
	V.exclude_pad = true;
	check_pool(false);
}

T_CASE(pools_with_padding_and_ceil_mode)
{
	pools_with(6, 7, 2, 2, 0, false);
	pools_with(5, 7, 2, 2, 0, true);
	pools_with(8, 9, 3, 2, 1, true);
	pools_with(4, 6, 3, 2, 1, true);
	pools_with(7, 5, 3, 1, 1, false);
}

T_CASE(adaptive_average_pools)
{
	static const int64_t out[][2] = { { 1, 1 }, { 3, 2 }, { 5, 7 },
		{ 7, 9 } };

	for (size_t i = 0; i < RK_ARRAY_LEN(out); i++) {
		V = WINDOW(2, 7, 5, 1, 1, 0, 1, 1);
		V.oh = out[i][0];
		V.ow = out[i][1];
		ADAPTIVE = true;
		check_pool(false);
	}
}

static void
run_global(float *y, bool add)
{
	(void)add;
	kernel_global_avg_pool(planes(), (size_t)in_plane(), X.f, y);
}

static void
run_global_back(float *dx, bool add)
{
	kernel_global_avg_pool_back(planes(), (size_t)in_plane(), DY.f, add,
	    dx);
}

static void
run_global_max(float *y, bool add)
{
	(void)add;
	kernel_global_max_pool(planes(), (size_t)in_plane(), X.f, y, AT);
}

static void
run_global_max_back(float *dx, bool add)
{
	kernel_global_max_pool_back(planes(), (size_t)in_plane(), DY.f, AT,
	    add, dx);
}

/* The same as a pool whose window is the plane. */
T_CASE(global_pools)
{
	V = WINDOW(3, 6, 7, 6, 1, 0, 1, 1);
	V.k[1] = 7;
	V.oh = V.ow = 1;
	B = 4;
	ADAPTIVE = false;
	X = both(planes() * 42, 1);
	DY = both(planes(), 2);
	Y = xcalloc(DY.n, sizeof(*Y));
	AT = xcalloc(DY.n, sizeof(*AT));
	DX = xcalloc(X.n, sizeof(*DX));
	(void)avg_value();
	for (size_t p = 0; p < planes(); p++)
		double_avg_pool_back(&V, false, DY.d + p, DX + p * 42);
	check_float("mean", Y, DY.n, 4 * EPS, false, run_global);
	check_float("mean dx", DX, X.n, 4 * EPS, true, run_global_back);
	(void)max_value();
	memset(DX, 0, X.n * sizeof(*DX));
	for (size_t p = 0; p < planes(); p++)
		double_max_pool_back(1, DY.d + p, AT + p, DX + p * 42);
	check_float("max", Y, DY.n, 0, false, run_global_max);
	check_float("max dx", DX, X.n, 0, true, run_global_max_back);
	both_free(&X);
	both_free(&DY);
	free(Y);
	free(AT);
	free(DX);
}

/* A mean over ones is the share of the window that counts. */
static void
ones(int64_t size, int64_t k, int64_t stride, int64_t pad, bool ceil,
    bool exclude, float *y)
{
	float x[64];

	V = WINDOW(1, size, size, k, stride, pad, 1, 1);
	V.oh = V.ow = kernel_window_places(size, k, stride, pad, 1, ceil);
	V.exclude_pad = exclude;
	kernel_fill(x, 1, 64);
	kernel_avg_pool(&V, 1, x, y);
}

T_CASE(corners_of_average_pools_by_hand)
{
	float y[64];

	/* A corner of 3x3 windows with padding 1: 4 of 9 lie inside. */
	ones(5, 3, 1, 1, false, false, y);
	t_near(y[0], 4.0 / 9, EPS);
	t_near(y[6], 1, EPS);
	ones(5, 3, 1, 1, false, true, y);
	t_near(y[0], 1, EPS);
	/* What hangs over the edge counts in neither way ... */
	ones(5, 2, 2, 0, true, false, y);
	t_check(V.oh == 3);
	for (int i = 0; i < 9; i++)
		t_near(y[i], 1, EPS);
	/* ... but the padding does: of pixel 3, padding 4, and 5 none. */
	ones(4, 3, 2, 1, true, false, y);
	t_check(V.oh == 3);
	t_near(y[8], 1.0 / 4, EPS);
	t_near(y[6], 1.0 / 3, EPS);     /* rows 3, 4; columns -1, 0, 1 */
}

T_CASE(places_of_a_window)
{
	t_check(kernel_window_places(28, 5, 1, 2, 1, false) == 28);
	t_check(kernel_window_places(28, 2, 2, 0, 1, false) == 14);
	t_check(kernel_window_places(5, 2, 2, 0, 1, false) == 2);
	t_check(kernel_window_places(5, 2, 2, 0, 1, true) == 3);
	t_check(kernel_window_places(112, 3, 2, 1, 1, true) == 57);
	t_check(kernel_window_places(112, 3, 2, 1, 1, false) == 56);
	/* The second window would begin behind the image. */
	t_check(kernel_window_places(4, 2, 5, 0, 1, true) == 1);
	/* ... in the padding behind it: right where that begins. */
	t_check(kernel_window_places(4, 2, 5, 1, 1, true) == 1);
	t_check(kernel_window_places(9, 3, 1, 0, 4, false) == 1);
	t_check(kernel_window_places(8, 3, 1, 0, 4, false) == 0);
}

T_MAIN
