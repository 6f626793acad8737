/*
 * Blocked images against plain ones: the same numbers go through both, and what
 * comes out is compared place by place.  Channels are 1 to 20, so that the last
 * block has every number of lanes; those of no channel must be 0.
 */
#include <math.h>

#include "rekindle/kernel_blocked.h"
#include "t.h"

#define B    3
#define MOST 20                         /* channels */
#define SIDE 9
#define ROOM (B * 32 * SIDE * SIDE)     /* with any block up to 16 */

static float X[ROOM], DY[ROOM], R[ROOM], Y[2][ROOM], DX[2][ROOM], DR[2][ROOM];
static float S[2][ROOM], back[ROOM];
static int32_t at[ROOM];

static void
fill(float *x, int64_t n, uint32_t which)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = rk_draw_normal(3, 1, which, (uint64_t)i);
}

/* The plain image x of c channels, blocked, in a buffer of its own. */
static const float *
blocked(const float *x, int64_t c, int64_t plane)
{
	static float buffer[4][ROOM];
	static int next;
	float *y = buffer[next++ % 4];

	kernel_to_blocked(B, c, plane, x, false, y);
	return y;
}

/* y, blocked, has the numbers of the plain want, and zeros beside. */
static void
same(const float *y, const float *want, int64_t c, int64_t plane, double eps)
{
	kernel_to_plain(B, c, plane, y, false, back);
	for (int64_t i = 0; i < B * c * plane; i++)
		t_near(back[i], want[i], eps * (1 + fabs(want[i])));
	for (int64_t b = 0; b < B; b++)
		for (int64_t k = c; k < kernel_blocks(c) * KERNEL_BLOCK; k++)
			for (int64_t p = 0; p < plane; p++)
				t_check(y[((b * kernel_blocks(c) + k /
				    KERNEL_BLOCK) * plane + p) * KERNEL_BLOCK +
				    k % KERNEL_BLOCK] == 0);
}

T_CASE(an_image_comes_back_from_the_other_layout)
{
	for (int64_t c = 1; c <= MOST; c++)
		for (int64_t plane = 1; plane <= 20; plane++) {
			const int64_t n = B * c * plane;
			fill(X, n, 1);
			same(blocked(X, c, plane), X, c, plane, 0);
			kernel_to_blocked(B, c, plane, X, false, Y[0]);
			kernel_to_blocked(B, c, plane, X, true, Y[0]);
			kernel_to_plain(B, c, plane, Y[0], false, Y[1]);
			kernel_to_plain(B, c, plane, Y[0], true, Y[1]);
			for (int64_t i = 0; i < n; i++)
				t_near(Y[1][i], 4 * X[i], 0);
		}
}

/* Windows that overlap, leave gaps, and hang over the edge; the last ones are the
 * usual pool, of images that they fill. */
static struct kernel_window
window(int64_t c, int i)
{
	static const int64_t w[][4] = {         /* k, stride, pad, ceil */
		{ 2, 2, 0, 0 }, { 3, 2, 1, 0 }, { 3, 1, 1, 0 }, { 2, 3, 0, 0 },
		{ 3, 2, 0, 1 }, { 5, 2, 2, 1 }, { 9, 1, 0, 0 },
		{ 2, 2, 0, 0 }, { 2, 2, 0, 0 },
	};
	struct kernel_window v = { .c = c, .h = SIDE, .w = SIDE - 1,
		.exclude_pad = i % 2 == 1 };

	if (i >= (int)RK_ARRAY_LEN(w))
		return (struct kernel_window){ 0 };
	if (i + 2 >= (int)RK_ARRAY_LEN(w)) {
		v.h -= v.h % 2;
		v.w -= v.w % 2;
	}
	for (int s = 0; s < 2; s++) {
		v.k[s] = RK_MIN(w[i][0], s == 0 ? v.h : v.w);
		v.stride[s] = w[i][1];
		v.pad[s] = w[i][2];
		*(s == 0 ? &v.oh : &v.ow) = kernel_window_places(s == 0 ? v.h :
		    v.w, v.k[s], v.stride[s], v.pad[s], 1, w[i][3] != 0);
	}
	return v;
}

static void
begin_gradients(int64_t c, int64_t plane, bool add)
{
	fill(DX[0], B * c * plane, 5);
	if (add)
		memcpy(DX[1], blocked(DX[0], c, plane), sizeof(DX[1]));
	else
		fill(DX[1], ROOM, 6);
}

T_CASE(the_largest_of_windows)
{
	for (int64_t c = 1; c <= MOST; c++)
		for (int i = 0; window(c, i).c > 0; i++) {
			const struct kernel_window v = window(c, i);
			const int64_t in = v.h * v.w, out = v.oh * v.ow;
			fill(X, B * c * in, 1);
			fill(DY, B * c * out, 2);
			kernel_max_pool(&v, B, X, Y[0], at);
			begin_gradients(c, in, i % 2 == 0);
			kernel_max_pool_back(&v, B, DY, at, i % 2 == 0, DX[0]);
			kernel_blocked_max(&v, B, blocked(X, c, in), Y[1], at);
			same(Y[1], Y[0], c, out, 0);
			kernel_blocked_max_back(&v, B, blocked(DY, c, out), at,
			    i % 2 == 0, DX[1]);
			same(DX[1], DX[0], c, in, 1e-6);
		}
}

T_CASE(a_NaN_is_the_largest)
{
	const struct kernel_window v = window(5, 1);

	fill(X, B * 5 * v.h * v.w, 1);
	X[100] = NAN;
	kernel_max_pool(&v, B, X, Y[0], at);
	kernel_blocked_max(&v, B, blocked(X, 5, v.h * v.w), Y[1], at);
	kernel_to_plain(B, 5, v.oh * v.ow, Y[1], false, back);
	for (int64_t i = 0; i < B * 5 * v.oh * v.ow; i++)
		t_check(isnan(back[i]) ? isnan(Y[0][i]) : back[i] == Y[0][i]);
}

static void
mean(const struct kernel_window *v, bool adaptive, bool add)
{
	const int64_t c = v->c, in = v->h * v->w, out = v->oh * v->ow;

	fill(X, B * c * in, 1);
	fill(DY, B * c * out, 2);
	begin_gradients(c, in, add);
	if (adaptive) {
		kernel_adaptive_avg_pool(v, B, X, Y[0]);
		kernel_adaptive_avg_pool_back(v, B, DY, add, DX[0]);
	} else {
		kernel_avg_pool(v, B, X, Y[0]);
		kernel_avg_pool_back(v, B, DY, add, DX[0]);
	}
	kernel_blocked_mean(v, adaptive, B, blocked(X, c, in), Y[1]);
	same(Y[1], Y[0], c, out, 1e-6);
	kernel_blocked_mean_back(v, adaptive, B, blocked(DY, c, out), add,
	    DX[1]);
	same(DX[1], DX[0], c, in, 1e-6);
}

T_CASE(means_of_windows)
{
	for (int64_t c = 1; c <= MOST; c++) {
		for (int i = 0; window(c, i).c > 0; i++) {
			const struct kernel_window v = window(c, i);
			mean(&v, false, i % 3 == 0);
		}
		for (int64_t out = 1; out < 12; out += 3)
			mean(&(struct kernel_window){ .c = c, .h = SIDE,
			    .w = SIDE - 1, .oh = out, .ow = 4 }, true,
			    out == 4);
	}
}

T_CASE(one_number_for_each_channel)
{
	const int64_t plane = 11;

	for (int64_t c = 1; c <= MOST; c++) {
		const int64_t d[] = { B, c, plane }, s[] = { B, c, 1 };
		fill(X, B * c * plane, 1);
		fill(DY, B * c * plane, 2);
		fill(S[0], B * c, 3);
		const bool add = c % 2 == 0;
		begin_gradients(c, plane, add);
		kernel_broadcast_multiply(3, d, s, X, S[0], add, DX[0]);
		kernel_blocked_gate(B, c, plane, blocked(X, c, plane),
		    blocked(S[0], c, 1), add, DX[1]);
		same(DX[1], DX[0], c, plane, 1e-6);
		memcpy(S[1], blocked(S[0], c, 1), sizeof(S[1]));
		kernel_reduce(3, d, s, DY, X, add, S[0]);
		kernel_blocked_dots(B, c, plane, blocked(DY, c, plane),
		    blocked(X, c, plane), add, S[1]);
		same(S[1], S[0], c, 1, 1e-6);
	}
}

T_CASE(the_shortcut_of_zero_channels)
{
	const int64_t c = KERNEL_BLOCK, out[] = { KERNEL_BLOCK,
		3 * KERNEL_BLOCK, 3 * KERNEL_BLOCK + 1 };
	const int64_t h = 4, w = 5;
	static float x[B * 16 * 20], y[B * 49 * 20], by[B * 64 * 20];
	static float dx[B * 16 * 20], bx[B * 16 * 20], to[B * 64 * 20];

	for (size_t i = 0; i < RK_ARRAY_LEN(out); i++)
		for (int64_t stride = 1; stride <= 3; stride++) {
			const int64_t plane = ((h + stride - 1) / stride) *
			    ((w + stride - 1) / stride);
			fill(x, B * c * h * w, 1);
			kernel_shortcut_a(B, c, h, w, out[i], stride, x, y);
			kernel_to_blocked(B, c, h * w, x, false, bx);
			kernel_blocked_shortcut(B, c, h, w, out[i], stride, bx,
			    by);
			kernel_to_blocked(B, out[i], plane, y, false, to);
			t_check(memcmp(to, by, (size_t)(B * plane *
			    kernel_blocks(out[i]) * KERNEL_BLOCK) * 4) == 0);
			kernel_shortcut_a_back(B, c, h, w, out[i], stride, y,
			    stride == 2, x);
			kernel_blocked_shortcut_back(B, c, h, w, out[i],
			    stride, by, stride == 2, bx);
			kernel_to_plain(B, c, h * w, bx, false, dx);
			t_check(memcmp(x, dx, (size_t)(B * c * h * w) * 4) ==
			    0);
		}
}

/* --- batch norm and what is done with it ---------------------------------- */

static float weight[MOST], bias[MOST], stats[2][4][MOST], dw[2][MOST],
    db[2][MOST];

static struct kernel_bnorm
settings(int64_t c, int64_t n, int which)
{
	return (struct kernel_bnorm){ .c = c, .n = n, .eps = 1e-5f,
		.momentum = 0.1f, .weight = weight, .bias = bias,
		.run_mean = stats[which][0], .run_var = stats[which][1],
		.mean = stats[which][2], .inv = stats[which][3],
		.blocked = which == 1 };
}

static void
begin_norm(int64_t c, int64_t n)
{
	fill(X, B * c * n, 1);
	fill(DY, B * c * n, 2);
	fill(R, B * c * n, 3);
	for (int64_t i = 0; i < MOST; i++) {
		weight[i] = 0.5f + 0.1f * (float)i;
		bias[i] = 0.3f * (float)(i % 3) - 0.2f;
		for (int k = 0; k < 2; k++) {
			stats[k][0][i] = 0;
			stats[k][1][i] = 1;
			dw[k][i] = db[k][i] = 1;
		}
	}
}

static void
same_channels(int64_t c)
{
	for (int64_t i = 0; i < c; i++) {
		for (int k = 0; k < 4; k++)
			t_near(stats[1][k][i], stats[0][k][i], 1e-6);
		t_near(dw[1][i], dw[0][i], 1e-4);
		t_near(db[1][i], db[0][i], 1e-4);
	}
}

/* As batch norm, sum and activation one behind the other in plain layout. */
static void
norm(int64_t c, int64_t n, enum kernel_act act, bool sum, int which)
{
	const struct kernel_activation f = { .act = act, .slope = 0.25f,
		.offset = 0.5f };
	const int64_t all = B * c * n;
	struct kernel_bnorm p = settings(c, n, 0), b = settings(c, n, which);
	static float z[ROOM], d[ROOM];

	begin_norm(c, n);
	kernel_bnorm(&p, B, true, X, z);
	for (int64_t i = 0; sum && i < all; i++)
		z[i] += R[i];
	kernel_activate(&f, z, Y[0], (size_t)all);
	kernel_activate_back(&f, kernel_act_reads_x(act) ? z : Y[0], DY, false,
	    d, (size_t)all);
	kernel_bnorm_back(&p, B, X, d, false, DX[0], true, dw[0], true, db[0]);

	const bool blocks = which == 1;
	const float *x = blocks ? blocked(X, c, n) : X;
	const float *dy = blocks ? blocked(DY, c, n) : DY;
	b.blocked = blocks;
	b.run_mean = stats[1][0];
	b.run_var = stats[1][1];
	b.mean = stats[1][2];
	b.inv = stats[1][3];
	b.act = f;
	b.r = !sum ? NULL : blocks ? blocked(R, c, n) : R;
	kernel_bnorm(&b, B, true, x, Y[1]);
	b.y = sum ? Y[1] : NULL;
	b.dr = sum ? DR[1] : NULL;
	kernel_bnorm_back(&b, B, x, dy, false, DX[1], true, dw[1], true,
	    db[1]);
	same_channels(c);
	if (!blocks) {
		kernel_to_blocked(B, c, n, Y[1], false, S[0]);
		kernel_to_blocked(B, c, n, DX[1], false, S[1]);
	}
	same(blocks ? Y[1] : S[0], Y[0], c, n, 3e-6);
	same(blocks ? DX[1] : S[1], DX[0], c, n, 3e-6);
	if (sum && blocks)
		same(DR[1], d, c, n, 0);
}

T_CASE(batch_norm_with_each_activation)
{
	for (int64_t c = 1; c <= MOST; c += 3)
		for (int act = 0; act < KERNEL_ACTS; act++) {
			const bool zero = act != KERNEL_SIGMOID &&
			    act != KERNEL_HARD_SIGMOID;
			norm(c, 37, (enum kernel_act)act, false, 0);
			if (zero)
				norm(c, 37, (enum kernel_act)act, false, 1);
		}
	/* Longer than a chunk. */
	norm(5, 81, KERNEL_HARD_SWISH, false, 1);
	norm(16, 81, KERNEL_SIGMOID, false, 1);
}

T_CASE(batch_norm_with_a_sum)
{
	for (int64_t c = 1; c <= MOST; c++)
		for (int which = 0; which < 2; which++) {
			norm(c, 13, KERNEL_RELU, true, which);
			norm(c, 8, KERNEL_NO_ACT, true, which);
		}
}

/* dr on dy, or dx there: each is read before it is written. */
T_CASE(gradients_of_batch_norm_may_lie_on_dy)
{
	const int64_t c = 11, n = 7;
	struct kernel_bnorm b = settings(c, n, 1);

	begin_norm(c, n);
	b.act.act = KERNEL_RELU;
	b.r = blocked(R, c, n);
	const float *x = blocked(X, c, n);
	kernel_bnorm(&b, B, true, x, Y[0]);
	b.y = Y[0];
	b.dr = DR[0];
	kernel_bnorm_back(&b, B, x, blocked(DY, c, n), false, DX[0], false,
	    dw[0], false, db[0]);
	memcpy(DR[1], blocked(DY, c, n), sizeof(DR[1]));
	b.dr = DR[1];
	kernel_bnorm_back(&b, B, x, DR[1], false, DX[1], false, dw[1], false,
	    db[1]);
	t_check(memcmp(DR[0], DR[1], sizeof(DR[0])) == 0);
	t_check(memcmp(DX[0], DX[1], sizeof(DX[0])) == 0);
	b.dr = NULL;
	memcpy(DX[1], blocked(DY, c, n), sizeof(DX[1]));
	kernel_bnorm_back(&b, B, x, DX[1], false, DX[1], false, dw[1], false,
	    db[1]);
	t_check(memcmp(DX[0], DX[1], sizeof(DX[0])) == 0);
	t_check(memcmp(dw[0], dw[1], sizeof(dw[0])) == 0);
}

/* Running statistics, in inference, on top of x. */
T_CASE(batch_norm_in_inference_may_lie_on_x)
{
	const int64_t c = 9, n = 6;
	struct kernel_bnorm p = settings(c, n, 0), b = settings(c, n, 1);

	begin_norm(c, n);
	for (int k = 0; k < 2; k++)
		for (int64_t i = 0; i < c; i++) {
			stats[k][0][i] = 0.1f * (float)i;
			stats[k][1][i] = 0.5f + (float)i;
		}
	kernel_bnorm(&p, B, false, X, Y[0]);
	kernel_act(KERNEL_RELU, Y[0], Y[0], (size_t)(B * c * n));
	memcpy(Y[1], blocked(X, c, n), sizeof(Y[1]));
	b.act.act = KERNEL_RELU;
	kernel_bnorm(&b, B, false, Y[1], Y[1]);
	same(Y[1], Y[0], c, n, 1e-6);
}

T_MAIN
