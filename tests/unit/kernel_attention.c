/* Attention: gradients are slopes in double, and the product agrees with it. */
#include "drop.h"
#include "kernel_double.h"

enum { B = 2, T = 5, HEADS = 2, W = 3, D = HEADS * W, N = B * T * D,
	PROBS = B * HEADS * T * T };

static struct both Q, K, V, DY;
static double Y[N], P_[PROBS], FACTORS[PROBS], DQ[N], DK[N], DV[N];
static float PF[PROBS], YF[N], *MASK, MASKS[B * T];
static struct kernel_drop DROP;
static struct kernel_attention A = { .T = T, .D = D, .heads = HEADS };

static double
value(void)
{
	for (size_t i = 0; i < B * HEADS; i++) {
		const size_t b = i / HEADS;
		const size_t at = b * T * D + i % HEADS * W;
		double_attention(T, D, W, Q.d + at, K.d + at, V.d + at,
		    MASK ? MASK + b * T : NULL, FACTORS + i * T * T,
		    P_ + i * T * T, Y + at);
	}
	return sum_of_products(Y, DY.d, N);
}

static void
slopes(void)
{
	double s[T * T];

	for (size_t i = 0; i < B * HEADS; i++) {
		const size_t at = i / HEADS * T * D + i % HEADS * W;
		double_attention_back(T, D, W, Q.d + at, K.d + at, V.d + at,
		    FACTORS + i * T * T, P_ + i * T * T, DY.d + at, false,
		    DQ + at, DK + at, DV + at, s);
	}
}

static float *
scratch(void)
{
	return xcalloc(kernel_attention_scratch(&A), sizeof(float));
}

static void
run_forward(float *y, bool add)
{
	float *s = scratch();

	(void)add;
	kernel_attention(&A, B, Q.f, K.f, V.f, MASK, PF, y, s);
	free(s);
}

static void
run_inference(float *y, bool add)
{
	float *s = scratch();

	(void)add;
	kernel_attention(&A, B, Q.f, K.f, V.f, MASK, NULL, y, s);
	free(s);
}

static float OTHER[2][N];

#define GRADIENT(NAME, DQP, DKP, DVP)                                     \
	static void                                                       \
	run_##NAME(float *out, bool add)                                  \
	{                                                                 \
		float *s = scratch();                                     \
		kernel_attention_back(&A, B, Q.f, K.f, V.f, PF, DY.f,     \
		    add, DQP, add, DKP, add, DVP, s);                     \
		free(s);                                                  \
	}
GRADIENT(dq, out, OTHER[0], OTHER[1])
GRADIENT(dk, OTHER[0], out, OTHER[1])
GRADIENT(dv, OTHER[0], OTHER[1], out)

/* q, k and v are one value: so are their gradients. */
static void
run_one(float *dx, bool add)
{
	float *s = scratch();

	kernel_attention_back(&A, B, Q.f, K.f, V.f, PF, DY.f, add, dx,
	    true, dx, true, dx, s);
	free(s);
}

static void
check_attention(float *mask, float p)
{
	float m[PROBS];
	double sum[N];

	Q = both(N, 1);
	K = both(N, 2);
	V = both(N, 3);
	DY = both(N, 4);
	MASK = mask;
	DROP = (struct kernel_drop){ .p = p, .seed = 3, .a = 4, .b = 5,
		.from = 77 };
	A.drop = p > 0 ? &DROP : NULL;
	kernel_drop_factors(&DROP, 0, PROBS, m);
	for (size_t i = 0; i < PROBS; i++)
		FACTORS[i] = p > 0 ? (double)m[i] : 1;
	(void)value();
	slopes();
	check_slopes("dq", Q.d, N, DQ, value);
	check_slopes("dk", K.d, N, DK, value);
	check_slopes("dv", V.d, N, DV, value);
	(void)value();
	/* Sums of T or W products, scaled by at most 1 / (1 - p). */
	check_float("y", Y, N, 16 * EPS, false, run_forward);
	run_forward(YF, false);
	check_near("P", PF, NULL, P_, PROBS, 8 * EPS);
	check_float("dq", DQ, N, 16 * EPS, true, run_dq);
	check_float("dk", DK, N, 16 * EPS, true, run_dk);
	check_float("dv", DV, N, 16 * EPS, true, run_dv);
	for (size_t i = 0; i < N; i++)
		sum[i] = DQ[i] + DK[i] + DV[i];
	check_float("dx", sum, N, 32 * EPS, true, run_one);
	check_float("without P", Y, N, 16 * EPS, false, run_inference);
	both_free(&Q);
	both_free(&K);
	both_free(&V);
	both_free(&DY);
}

T_CASE(attention_and_its_gradients)
{
	check_attention(NULL, 0);
	check_attention(NULL, 0.4f);
}

T_CASE(attention_with_keys_left_out)
{
	for (int i = 0; i < B * T; i++)
		MASKS[i] = i % 3 != 0;
	check_attention(MASKS, 0);
	check_attention(MASKS, 0.4f);
	/* One sample has no key at all. */
	for (int i = T; i < B * T; i++)
		MASKS[i] = 0;
	check_attention(MASKS, 0);
	for (size_t i = T * D; i < N; i++)
		t_check(Y[i] == 0 && DQ[i] == 0 && DK[i] == 0 && DV[i] == 0);
}

T_CASE(a_row_that_is_all_masked_gives_zero)
{
	static const float v[] = { 5, 7 }, mask[] = { 0, 0 };
	struct kernel_attention a = { .T = 2, .D = 1, .heads = 1 };
	float y[2] = { 9, 9 }, p[4], dq[2], dk[2], dv[2];
	float *s = xcalloc(kernel_attention_scratch(&a), sizeof(*s));

	kernel_attention(&a, 1, v, v, v, mask, p, y, s);
	t_check(y[0] == 0 && y[1] == 0);
	kernel_attention_back(&a, 1, v, v, v, p, v, false, dq, false, dk,
	    false, dv, s);
	for (int i = 0; i < 2; i++)
		t_check(dq[i] == 0 && dk[i] == 0 && dv[i] == 0);
	free(s);
}

/* --- lengths: blocks of rows, strips and panels that are not full ---------- */

/* One sample of two heads. */
static void
check_length(int64_t T_, int64_t W_, bool one)
{
	const size_t t = (size_t)T_, w = (size_t)W_, n = 2 * t * w;
	struct kernel_attention a = { .T = T_, .D = 2 * W_, .heads = 2 };
	struct both q = both(n, 1), k = both(n, 2), v = both(n, 3);
	struct both dy = both(n, 4), y = both(n, 5), dq = both(n, 6);
	struct both dk = both(n, 7), dv = both(n, 8), p = both(2 * t * t, 9);
	double *s = xcalloc(t * t, sizeof(*s));
	float *scr = xcalloc(kernel_attention_scratch(&a), sizeof(*scr));

	for (size_t at = 0, i = 0; i < 2; i++, at += w) {
		double_attention(t, 2 * w, w, q.d + at, k.d + at, v.d + at,
		    NULL, NULL, p.d + i * t * t, y.d + at);
		double_attention_back(t, 2 * w, w, q.d + at, k.d + at,
		    v.d + at, NULL, p.d + i * t * t, dy.d + at, false,
		    dq.d + at, dk.d + at, dv.d + at, s);
	}
	kernel_attention(&a, 1, q.f, k.f, v.f, NULL, p.f, y.f, scr);
	/* Sums of W or T products, each of numbers up to 1. */
	check_near("y", y.f, NULL, y.d, n, 32 * EPS);
	check_near("P", p.f, NULL, p.d, 2 * t * t, 32 * EPS);
	for (size_t i = 0; i < n && one; i++) {
		dq.f[i] = 7;    /* is written over */
		dq.d[i] += dk.d[i] + dv.d[i];
	}
	kernel_attention_back(&a, 1, q.f, k.f, v.f, p.f, dy.f, false,
	    dq.f, one, one ? dq.f : dk.f, one, one ? dq.f : dv.f, scr);
	check_near("dq", dq.f, NULL, dq.d, n, 64 * EPS);
	if (!one) {
		check_near("dk", dk.f, NULL, dk.d, n, 64 * EPS);
		check_near("dv", dv.f, NULL, dv.d, n, 64 * EPS);
	}
	struct both *all[] = { &q, &k, &v, &dy, &y, &dq, &dk, &dv, &p };
	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		both_free(all[i]);
	free(s);
	free(scr);
}

T_CASE(attention_of_any_length_and_width)
{
	static const struct {
		int64_t T, W;
	} l[] = { { 1, 1 }, { 1, 40 }, { 2, 16 }, { 7, 3 }, { 13, 33 },
		{ 16, 17 }, { 37, 8 }, { 128, 32 }, { 129, 32 }, { 150, 7 },
		{ 310, 20 }, { 512, 5 }, { 11, 300 } };

	for (size_t i = 0; i < RK_ARRAY_LEN(l); i++) {
		check_length(l[i].T, l[i].W, false);
		check_length(l[i].T, l[i].W, true);
	}
}

/* The second sample alone, at its place in the batch, is what it is there. */
T_CASE(a_part_of_a_batch_drops_what_the_whole_drops)
{
	float whole[N], part[N];

	Q = both(N, 1);
	DROP = (struct kernel_drop){ .p = 0.4f, .seed = 3, .a = 4, .b = 5 };
	A.drop = &DROP;
	float *s = scratch();
	kernel_attention(&A, B, Q.f, Q.f, Q.f, NULL, NULL, whole, s);
	DROP.from = HEADS * T * T;
	kernel_attention(&A, 1, Q.f + T * D, Q.f + T * D, Q.f + T * D, NULL,
	    NULL, part, s);
	t_check(memcmp(whole + T * D, part, T * D * sizeof(float)) == 0);
	free(s);
	both_free(&Q);
}

/* Threads that work at the same time have scratch of their own. */
T_CASE(heads_at_the_same_time_are_apart)
{
	enum { MANY = 6, LONG = 48, WIDE = 32, ALL = MANY * LONG * WIDE };
	struct kernel_attention a = { .T = LONG, .D = WIDE, .heads = 4,
		.drop = &DROP };
	struct both q = both(ALL, 1), y = both(ALL, 2), d = both(3 * ALL, 3);
	float *first = xcalloc(4 * ALL, sizeof(*first));
	float *p = xcalloc(MANY * 4 * LONG * LONG, sizeof(*p));

	DROP = (struct kernel_drop){ .p = 0.4f, .seed = 3, .a = 4, .b = 5 };
	for (int round = 0; round < 20; round++) {
		t_check(kernel_init(1 + round % 4) == RK_OK);
		float *s = xcalloc(kernel_attention_scratch(&a), sizeof(*s));
		kernel_attention(&a, MANY, q.f, q.f, q.f, NULL, p, y.f, s);
		kernel_attention_back(&a, MANY, q.f, q.f, q.f, p, q.f,
		    false, d.f, false, d.f + ALL, false, d.f + 2 * ALL, s);
		free(s);
		kernel_fini();
		if (round == 0) {
			memcpy(first, y.f, ALL * sizeof(float));
			memcpy(first + ALL, d.f, 3 * ALL * sizeof(float));
		}
		t_check(memcmp(first, y.f, ALL * sizeof(float)) == 0);
		t_check(memcmp(first + ALL, d.f, 3 * ALL * sizeof(float)) ==
		    0);
	}
	free(first);
	free(p);
	both_free(&q);
	both_free(&y);
	both_free(&d);
}

T_MAIN
