/*
 * The product's results and gradients against PyTorch's in double precision,
 * which tests/golden/kernel_ops.py has written down.
 */
#include <float.h>

#include "rekindle/kernel.h"
#include "kernel_torch.h"
#include "t.h"

#define EPS (double)FLT_EPSILON
#define MOST 256

/* The numbers that go in, as the script makes them. */
static float *
x(int s, int n)
{
	static float rows[4][MOST];
	float *v = rows[s];

	must(n <= MOST);
	for (int i = 0; i < n; i++)
		v[i] = (float)((37 * i + 11 * s) % 101 - 50) / 16;
	return v;
}

static float *
g(int n)
{
	static float v[MOST];

	must(n <= MOST);
	for (int i = 0; i < n; i++)
		v[i] = (float)((53 * i + 7) % 97 - 48) / 32;
	return v;
}

/* tol: of numbers of the size of the largest. */
static void
near(const char *what, const float *got, const double *want, size_t n,
    double tol)
{
	double most = 1;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(want[i]));
	for (size_t i = 0; i < n; i++)
		if (!(fabs(got[i] - want[i]) <= tol * most))
			t_fail("%s[%zu] is %.9g, want %.9g", what, i,
			    (double)got[i], want[i]);
}

/* Some tens of float operations, and nine digits in the file. */
#define NEAR(got, want) near(#want, got, want, RK_ARRAY_LEN(want), 8 * EPS)

static void
conv(struct kernel_window v, int M, const double *y, const double *dx,
    const double *dw)
{
	const int taps = (int)(v.k[0] * v.k[1] * v.c / v.groups);
	float to[MOST];

	for (int i = 0; i < 2; i++)
		*(i == 0 ? &v.oh : &v.ow) = kernel_window_places(i == 0 ? v.h :
		    v.w, v.k[i], v.stride[i], v.pad[i], v.dilation[i], false);
	const int ny = M * (int)(v.oh * v.ow), nx = (int)(v.c * v.h * v.w);
	float *s = xcalloc(kernel_conv_scratch(&v, M, 1) + 1, sizeof(*s));
	kernel_conv(&v, M, 1, x(1, nx), x(2, M * taps), NULL, false, to, s);
	near("y", to, y, (size_t)ny, 8 * EPS);
	kernel_conv_back_data(&v, M, 1, x(2, M * taps), g(ny), false, to, s);
	near("dx", to, dx, (size_t)nx, 8 * EPS);
	kernel_conv_back_weight(&v, M, 1, x(1, nx), g(ny), false, to, s);
	near("dw", to, dw, (size_t)(M * taps), 8 * EPS);
	free(s);
}

T_CASE(convolutions_have_pytorchs_values)
{
	conv((struct kernel_window){ .c = 4, .h = 5, .w = 6, .k = { 3, 3 },
	    .stride = { 1, 2 }, .pad = { 2, 1 }, .dilation = { 2, 2 },
	    .groups = 2 }, 4, groups_y, groups_dx, groups_dw);
	conv((struct kernel_window){ .c = 3, .h = 5, .w = 4, .k = { 3, 3 },
	    .stride = { 1, 1 }, .pad = { 1, 1 }, .dilation = { 1, 1 },
	    .groups = 3 }, 6, depthwise_y, depthwise_dx, depthwise_dw);
}

T_CASE(pools_have_pytorchs_values)
{
	struct kernel_window v = { .c = 1, .h = 6, .w = 7, .oh = 4, .ow = 4,
		.k = { 3, 3 }, .stride = { 2, 2 }, .pad = { 1, 1 } };
	float to[MOST];
	int32_t at[16];

	t_check(kernel_window_places(6, 3, 2, 1, 1, true) == 4);
	t_check(kernel_window_places(7, 3, 2, 1, 1, true) == 4);
	kernel_avg_pool(&v, 1, x(1, 42), to);
	NEAR(to, with_pad_y);
	kernel_avg_pool_back(&v, 1, g(16), false, to);
	NEAR(to, with_pad_dx);
	v.exclude_pad = true;
	kernel_avg_pool(&v, 1, x(1, 42), to);
	NEAR(to, without_pad_y);
	kernel_avg_pool_back(&v, 1, g(16), false, to);
	NEAR(to, without_pad_dx);
	kernel_max_pool(&v, 1, x(1, 42), to, at);
	NEAR(to, max_ceil_y);
	kernel_max_pool_back(&v, 1, g(16), at, false, to);
	NEAR(to, max_ceil_dx);
	v = (struct kernel_window){ .c = 1, .h = 5, .w = 7, .oh = 3, .ow = 4 };
	kernel_adaptive_avg_pool(&v, 1, x(1, 35), to);
	NEAR(to, adaptive_y);
	kernel_adaptive_avg_pool_back(&v, 1, g(12), false, to);
	NEAR(to, adaptive_dx);
}

T_CASE(activations_have_pytorchs_values)
{
	static const struct {
		struct kernel_activation f;
		const double *y, *dx;
	} acts[] = {
		{ { KERNEL_RELU6, 0, 0 }, relu6_y, relu6_dx },
		{ { KERNEL_LEAKY_RELU, 0.125f, 0 }, leaky_relu_y,
			leaky_relu_dx },
		{ { KERNEL_ELU, 1.5f, 0 }, elu_y, elu_dx },
		{ { KERNEL_GELU_TANH, 0, 0 }, gelu_tanh_y, gelu_tanh_dx },
		{ { KERNEL_SILU, 0, 0 }, silu_y, silu_dx },
		{ { KERNEL_HARD_SIGMOID, 1.0f / 6, 0.5f }, hard_sigmoid_y,
			hard_sigmoid_dx },
		{ { KERNEL_HARD_SWISH, 0, 0 }, hard_swish_y, hard_swish_dx },
	};
	enum { N = 21 };
	float a[N], y[N], dx[N];

	kernel_scaled(x(1, N), 2.5f, false, a, N);
	for (size_t i = 0; i < RK_ARRAY_LEN(acts); i++) {
		const struct kernel_activation *f = &acts[i].f;
		kernel_activate(f, a, y, N);
		near("y", y, acts[i].y, N, 4 * EPS);
		kernel_activate_back(f, kernel_act_reads_x(f->act) ? a : y,
		    g(N), false, dx, N);
		near("dx", dx, acts[i].dx, N, 4 * EPS);
	}
}

T_CASE(softmax_and_layer_norm_have_pytorchs_values)
{
	float y[21], dx[21], dw[7], db[7], mean[3], inv[3];
	struct kernel_lnorm l = { .n = 7, .eps = 1e-5f, .weight = x(2, 7),
		.bias = x(3, 7), .mean = mean, .inv = inv };
	float *parts = xcalloc(kernel_lnorm_scratch(7), sizeof(*parts));

	kernel_softmax(2, 9, x(1, 18), y);
	NEAR(y, softmax_y);
	kernel_softmax_back(2, 9, y, g(18), false, dx);
	NEAR(dx, softmax_dx);
	kernel_lnorm(&l, 3, x(1, 21), y);
	NEAR(y, lnorm_y);
	kernel_lnorm_back(&l, 3, x(1, 21), g(21), false, dx, false, dw, false,
	    db, parts);
	NEAR(dx, lnorm_dx);
	NEAR(dw, lnorm_dw);
	NEAR(db, lnorm_db);
	free(parts);
}

T_CASE(attention_has_pytorchs_values)
{
	static const float mask[] = { 1, 1, 1, 1, 1, 1, 0, 0 };
	struct kernel_attention a = { .T = 4, .D = 6, .heads = 2 };
	const float *q = x(1, 48), *k = x(2, 48), *v = x(3, 48);
	float P[64], y[48], dq[48], dk[48], dv[48];
	float *s = xcalloc(kernel_attention_scratch(&a), sizeof(*s));

	kernel_attention(&a, 2, q, k, v, mask, P, y, s);
	NEAR(y, attention_y);
	kernel_attention_back(&a, 2, q, k, v, P, g(48), false, dq, false,
	    dk, false, dv, s);
	NEAR(dq, attention_dq);
	NEAR(dk, attention_dk);
	NEAR(dv, attention_dv);
	free(s);
}

T_CASE(a_table_has_pytorchs_values)
{
	static const int32_t ids[] = { 1, 5, 1, 0, 2, 1 };
	float y[18], dw[18];

	kernel_gather(3, 6, ids, x(2, 18), y);
	NEAR(y, table_y);
	kernel_gather_back(6, 3, 6, ids, 2, g(18), false, dw);
	NEAR(dw, table_dw);
}

/* The mean over the rows, or over their weights. */
static void
loss(struct kernel_loss l, const float *t, const int32_t *y,
    const double *want, const double *dz)
{
	double scratch[10];
	float d[20];

	l.n = 4;
	l.norm = t == NULL ? kernel_loss_weight(&l, 5, y, NULL) : 5;
	double sum = kernel_loss(&l, 5, x(1, 20), t, y, false, d, scratch,
	    NULL);
	t_near(sum / l.norm, *want, 4 * EPS * fmax(1, fabs(*want)));
	near("dz", d, dz, 20, 4 * EPS);
}

T_CASE(losses_have_pytorchs_values)
{
	static const int32_t y[] = { 0, 3, 1, 2, 3 };
	static const float w[] = { 0.5f, 1, 2, 0.25f };
	float t[20];

	for (int i = 0; i < 20; i++)
		t[i] = (float)chances[i];
	loss((struct kernel_loss){ .smoothing = 0 }, NULL, y, plain_ce,
	    plain_ce_dz);
	loss((struct kernel_loss){ .smoothing = 0.1, .weight = w,
	    .ignoring = true, .ignore = 1 }, NULL, y, all_ce, all_ce_dz);
	loss((struct kernel_loss){ .smoothing = 0.1, .weight = w }, t, NULL,
	    soft_ce, soft_ce_dz);
	loss((struct kernel_loss){ .kind = KERNEL_BINARY }, x(2, 20), NULL,
	    binary, binary_dz);
	loss((struct kernel_loss){ .kind = KERNEL_L1 }, x(2, 20), NULL, l1,
	    l1_dz);
	loss((struct kernel_loss){ .kind = KERNEL_SMOOTH_L1, .beta = 2 },
	    x(2, 20), NULL, smooth_l1, smooth_l1_dz);
}

T_MAIN
