/* Convolution, pooling, batch norm against loops written from the formula. */
#include <float.h>

#include "rekindle/kernel.h"
#include "t.h"

static float *
numbers(int64_t n, uint32_t stream)
{
	float *v = xmalloc((size_t)n * sizeof(*v));

	for (int64_t i = 0; i < n; i++)
		v[i] = 2 * rk_draw_unit(1, stream, 0, (uint64_t)i) - 1;
	return v;
}

static struct kernel_window
window(int64_t c, int64_t h, int64_t w, int k, int stride, int pad)
{
	struct kernel_window v = { .c = c, .h = h, .w = w, .k = { k, k },
		.stride = { stride, stride }, .pad = { pad, pad } };

	v.oh = (h + 2 * pad - k) / stride + 1;
	v.ow = (w + 2 * pad - k) / stride + 1;
	return v;
}

/* Calls fn for every pair of an input place and an output place that a weight
 * connects. */
static void
each_tap(const struct kernel_window *v, int64_t M, int64_t B,
    void (*fn)(int64_t x, int64_t w, int64_t y))
{
	for (int64_t b = 0; b < B; b++)
	for (int64_t m = 0; m < M; m++)
	for (int64_t oy = 0; oy < v->oh; oy++)
	for (int64_t ox = 0; ox < v->ow; ox++)
	for (int64_t c = 0; c < v->c; c++)
	for (int64_t i = 0; i < v->k[0]; i++)
	for (int64_t j = 0; j < v->k[1]; j++) {
		int64_t y = oy * v->stride[0] - v->pad[0] + i;
		int64_t x = ox * v->stride[1] - v->pad[1] + j;
		if (y < 0 || y >= v->h || x < 0 || x >= v->w)
			continue;
		fn(((b * v->c + c) * v->h + y) * v->w + x,
		    ((m * v->c + c) * v->k[0] + i) * v->k[1] + j,
		    ((b * M + m) * v->oh + oy) * v->ow + ox);
	}
}

static const float *X, *W, *DY;
static double *Y, *DX, *DW;

static void
tap(int64_t x, int64_t w, int64_t y)
{
	Y[y] += (double)X[x] * W[w];
	DX[x] += (double)DY[y] * W[w];
	DW[w] += (double)DY[y] * X[x];
}

static void
near_all(const char *what, const float *a, const double *b, int64_t n,
    double tol)
{
	for (int64_t i = 0; i < n; i++)
		if (!(fabs(a[i] - b[i]) <= tol))
			t_fail("%s[%lld] is %g, want %g", what, (long long)i,
			    (double)a[i], b[i]);
}

static double *
doubles(const float *from, int64_t n)
{
	double *v = xcalloc((size_t)n, sizeof(*v));

	for (int64_t i = 0; i < n && from != NULL; i++)
		v[i] = from[i];
	return v;
}

static void
check_conv(struct kernel_window v, int64_t M, int64_t B, bool add)
{
	const int64_t nx = B * v.c * v.h * v.w, ny = B * M * v.oh * v.ow;
	const int64_t nw = M * v.c * v.k[0] * v.k[1], all = v.oh * v.ow;
	float *x = numbers(nx, 1), *w = numbers(nw, 2), *dy = numbers(ny, 3);
	float *b = numbers(M, 4), *db = numbers(M, 5);
	float *y = numbers(ny, 6), *dx = numbers(nx, 7), *dw = numbers(nw, 8);
	float *scratch = kernel_alloc(kernel_conv_scratch(&v, M, B) * 4);

	X = x, W = w, DY = dy;
	Y = doubles(NULL, ny);
	DX = doubles(add ? dx : NULL, nx);
	DW = doubles(add ? dw : NULL, nw);
	double *DB = doubles(add ? db : NULL, M);
	each_tap(&v, M, B, tap);
	for (int64_t i = 0; i < ny; i++) {
		Y[i] += b[i / all % M];
		DB[i / all % M] += dy[i];
	}
	kernel_conv(&v, M, B, x, w, b, false, y, scratch);
	kernel_conv_back_data(&v, M, B, w, dy, add, dx, scratch);
	kernel_conv_back_weight(&v, M, B, x, dy, add, dw, scratch);
	kernel_conv_back_bias(&v, M, B, dy, add, db);
	/* Sums of up to B * all products: as in kernel_gemm.c. */
	double most = (double)RK_MAX(B * all, nw);
	double tol = 1e-6 + 2e-8 * most * sqrt(most);
	near_all("y", y, Y, ny, tol);
	near_all("dx", dx, DX, nx, tol);
	near_all("dw", dw, DW, nw, tol);
	near_all("db", db, DB, M, tol);
	kernel_conv(&v, M, B, x, w, NULL, true, y, scratch);
	for (int64_t i = 0; i < ny; i++)
		t_near(y[i], fmax(0, Y[i] - b[i / all % M]), tol);
	kernel_free(scratch, kernel_conv_scratch(&v, M, B) * 4);
	float *f[] = { x, w, dy, b, db, y, dx, dw };
	for (size_t i = 0; i < RK_ARRAY_LEN(f); i++)
		free(f[i]);
	double *d[] = { Y, DX, DW, DB };
	for (size_t i = 0; i < RK_ARRAY_LEN(d); i++)
		free(d[i]);
}

T_CASE(convolutions_agree_with_their_formula)
{
	for (int threads = 1; threads <= 2; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		for (int add = 0; add < 2; add++) {
			check_conv(window(1, 28, 28, 5, 1, 2), 6, 3, add);
			check_conv(window(6, 14, 14, 5, 1, 0), 16, 20, add);
			check_conv(window(3, 9, 7, 3, 2, 1), 4, 5, add);
			check_conv(window(3, 9, 7, 1, 1, 0), 4, 5, add);
			check_conv(window(3, 9, 7, 1, 2, 0), 4, 5, add);
			check_conv(window(2, 5, 5, 5, 3, 4), 3, 1, add);
			check_conv(window(1, 3, 3, 2, 5, 0), 1, 2, add);
			/* Several chunks of rows: 64*9 values a column. */
			check_conv(window(64, 20, 12, 3, 1, 1), 2, 2, add);
			check_conv(window(300, 20, 20, 1, 1, 0), 2, 2, add);
		}
		kernel_fini();
	}
}

T_CASE(a_window_that_is_not_square)
{
	struct kernel_window v = { .c = 2, .h = 6, .w = 9, .oh = 6, .ow = 3,
		.k = { 3, 4 }, .stride = { 1, 3 }, .pad = { 1, 1 } };

	check_conv(v, 3, 4, true);
}

static float *PX, *PY;
static const struct kernel_window *PV;

static double
in_window(int64_t plane, int64_t oy, int64_t ox, bool max)
{
	const struct kernel_window *v = PV;
	double best = -INFINITY, sum = 0;

	for (int64_t i = 0; i < v->k[0]; i++)
	for (int64_t j = 0; j < v->k[1]; j++) {
		int64_t y = oy * v->stride[0] - v->pad[0] + i;
		int64_t x = ox * v->stride[1] - v->pad[1] + j;
		if (y < 0 || y >= v->h || x < 0 || x >= v->w)
			continue;
		double p = PX[(plane * v->h + y) * v->w + x];
		best = fmax(best, p);
		sum += p;
	}
	return max ? best : sum / (double)(v->k[0] * v->k[1]);
}

static void
check_pool(struct kernel_window v, int64_t B)
{
	const int64_t planes = B * v.c, out = v.oh * v.ow, in = v.h * v.w;
	int32_t *at = xcalloc((size_t)(planes * out), sizeof(*at));
	float *dx = numbers(planes * in, 3);

	PX = numbers(planes * in, 1);
	PY = numbers(planes * out, 2);
	PV = &v;
	kernel_max_pool(&v, B, PX, PY, at);
	for (int64_t i = 0; i < planes * out; i++) {
		t_near(PY[i], in_window(i / out, i % out / v.ow, i % v.ow,
		    true), 0);
		t_check(at[i] >= 0 && at[i] < in &&
		    PX[i / out * in + at[i]] == PY[i]);
	}
	/* Gradients sum to what came in: one place takes each of them, or
	 * the pixels of a window share it. */
	for (int add = 0; add < 2; add++) {
		double before = 0, after = 0, came = 0, inside = 0;
		for (int64_t i = 0; i < planes * in; i++)
			before += add ? dx[i] : 0;
		kernel_max_pool_back(&v, B, PY, at, add, dx);
		for (int64_t i = 0; i < planes * in; i++)
			after += dx[i];
		for (int64_t i = 0; i < planes * out; i++)
			came += PY[i];
		t_near(after - before, came, 1e-4);
		before = add ? after : 0;
		kernel_avg_pool_back(&v, B, PY, add, dx);
		after = 0;
		for (int64_t i = 0; i < planes * in; i++)
			after += dx[i];
		/* Count the pixels of each window that are in the image. */
		for (int64_t i = 0; i < planes * out; i++) {
			int64_t oy = i % out / v.ow * v.stride[0] - v.pad[0];
			int64_t ox = i % v.ow * v.stride[1] - v.pad[1];
			int64_t rows = RK_MIN(oy + v.k[0], v.h) -
			    RK_MAX(oy, 0);
			int64_t cols = RK_MIN(ox + v.k[1], v.w) -
			    RK_MAX(ox, 0);
			inside += PY[i] * (double)(rows * cols) /
			    (double)(v.k[0] * v.k[1]);
		}
		t_near(after - before, inside, 1e-4);
	}
	kernel_avg_pool(&v, B, PX, PY);
	for (int64_t i = 0; i < planes * out; i++)
		t_near(PY[i], in_window(i / out, i % out / v.ow, i % v.ow,
		    false), 1e-6);
	free(PX);
	free(PY);
	free(at);
	free(dx);
}

T_CASE(pools_agree_with_their_formula)
{
	t_check(kernel_init(2) == RK_OK);
	check_pool(window(6, 28, 28, 2, 2, 0), 9);
	check_pool(window(3, 7, 5, 3, 2, 1), 2);
	check_pool(window(3, 7, 5, 3, 1, 1), 2);
	check_pool(window(1, 4, 4, 4, 4, 0), 1);
	kernel_fini();
}

T_CASE(a_maximum_of_nan_is_nan)
{
	struct kernel_window v = window(1, 2, 2, 2, 2, 0);
	static const float x[] = { 1, NAN, 3, 2 };
	float y;
	int32_t at;

	kernel_max_pool(&v, 1, x, &y, &at);
	t_check(isnan(y));
}

/* $RK_SHARED/data/samples/golden/optim_loss_bn.json, "torch batchnorm": the
 * running statistics begin at 0 and 1. */
T_CASE(batch_norm_has_pytorchs_values)
{
	static const float x[] = { 1, 10, 2, 20, 4, 0 };
	static const double want[] = { -1.0690414905548096, 0,
		-0.2672603130340576, 1.2247447967529297, 1.3363020420074463,
		-1.2247447967529297 };
	static const double rm[] = { 0.23333333432674408, 1.0 };
	static const double rv[] = { 1.1333333253860474, 10.90000057220459 };
	const float one[] = { 1, 1 }, zero[] = { 0, 0 };
	float run_mean[] = { 0, 0 }, run_var[] = { 1, 1 }, mean[2], inv[2];
	float y[6];
	struct kernel_bnorm b = { .c = 2, .n = 1, .eps = 1e-5f,
		.momentum = 0.1f, .weight = one, .bias = zero,
		.run_mean = run_mean, .run_var = run_var, .mean = mean, .inv = inv };

	kernel_bnorm(&b, 3, true, x, y);
	for (int i = 0; i < 6; i++)
		t_near(y[i], want[i], 3e-7);
	for (int i = 0; i < 2; i++) {
		t_near(run_mean[i], rm[i], 1e-7);
		t_near(run_var[i], rv[i], 2e-6);        /* 2 ulp of 10.9 */
	}
	/* The same numbers as images of one row of three. */
	static const float planes[] = { 1, 2, 4, 10, 20, 0 };
	float m2[] = { 0, 0 }, v2[] = { 1, 1 };
	b = (struct kernel_bnorm){ .c = 2, .n = 3, .eps = 1e-5f,
		.momentum = 0.1f, .weight = one, .bias = zero,
		.run_mean = m2, .run_var = v2, .mean = mean, .inv = inv };
	kernel_bnorm(&b, 1, true, planes, y);
	for (int i = 0; i < 6; i++)
		t_near(y[i], want[i % 3 * 2 + i / 3], 3e-7);
	t_near(v2[1], rv[1], 2e-6);
	/* In eval, by the running ones. */
	kernel_bnorm(&b, 1, false, planes, y);
	t_near(y[0], (1 - rm[0]) / sqrt(rv[0] + 1e-5), 3e-7);
	t_near(v2[1], rv[1], 2e-6);
}

T_CASE(batch_norm_of_a_single_value_leaves_the_running_ones_alone)
{
	const float x = 5, w = 2, bias = 3;
	float rm = 0.5f, rv = 2, mean, inv, y;
	struct kernel_bnorm b = { .c = 1, .n = 1, .eps = 1e-5f,
		.momentum = 0.1f, .weight = &w, .bias = &bias,
		.run_mean = &rm, .run_var = &rv, .mean = &mean, .inv = &inv };

	kernel_bnorm(&b, 1, true, &x, &y);
	t_check(y == 3 && rm == 0.5f && rv == 2);
}

/* A channel far from zero: mean 1000, deviation 0.01. */
T_CASE(batch_norm_keeps_its_digits_far_from_zero)
{
	enum { N = 4096 };
	static float x[N], y[N];
	const float w = 1, bias = 0;
	float rm = 0, rv = 1, mean, inv;
	double sum = 0, sq = 0;
	struct kernel_bnorm b = { .c = 1, .n = N, .eps = 1e-12f,
		.momentum = 0.1f, .weight = &w, .bias = &bias,
		.run_mean = &rm, .run_var = &rv, .mean = &mean, .inv = &inv };

	for (int i = 0; i < N; i++)
		x[i] = 1000 + 0.01f * rk_draw_normal(1, 1, 1, (uint64_t)i);
	kernel_bnorm(&b, 1, true, x, y);
	for (int i = 0; i < N; i++) {
		sum += y[i];
		sq += (double)y[i] * y[i];
	}
	/* The mean is a float: an ulp of 1000 is 6e-5, 0.006 deviations. */
	t_near(sum / N, 0, 0.004);
	t_near(sq / N, 1, 0.001);
}

T_MAIN
