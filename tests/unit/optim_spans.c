/* Spans: rates and decays of their own, what is not trained, and clipping. */
#include <math.h>

#include "rekindle/kernel.h"
#include "rekindle/optim.h"
#include "t.h"

#define N 300007                /* five pieces and an odd end */

static const struct spec_optim adam = { .type = SPEC_ADAM,
    .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
    .weight_decay = 0.01 };

static float *
drawn(uint32_t a)
{
	float *p = malloc(N * sizeof(*p));

	for (int64_t i = 0; i < N; i++)
		p[i] = rk_draw_normal(7, a, 0, (uint64_t)i);
	return p;
}

static struct optim *
made(const struct spec_optim *s, const struct optim_span *v, size_t n)
{
	struct optim *o;

	t_eq_int(optim_new(&o, s, N), RK_OK);
	if (v != NULL)
		optim_set_spans(o, v, n);
	return o;
}

/* Three clipped steps. */
static float *
three(struct optim *o)
{
	float *p = drawn(0);

	for (int t = 1; t <= 3; t++) {
		float *g = drawn((uint32_t)t);
		optim_clip(o, g, 1);
		optim_step(o, p, g, t, 1e-3, NULL);
		free(g);
	}
	return p;
}

/* from, the one behind the last, rate, decay, trains */
#define SPAN(from, to, r, d, t) \
	{ .offset = (from), .count = (to) - (from), .rate = (r), \
	  .decay = (d), .trains = (t) }
#define ALIKE(from, to) SPAN(from, to, 1, 0.01, true)

T_CASE(tensors_that_are_alike_are_one_span_and_have_its_bits)
{
	const struct optim_span v[] = { ALIKE(0, 7), ALIKE(7, 8), ALIKE(8, 8),
	    ALIKE(8, 100003), ALIKE(100003, N) };
	struct optim *a = made(&adam, NULL, 0), *b = made(&adam, v, 5);
	float *p = three(a), *q = three(b);

	t_eq_int((int)optim_nspans(b), 1);
	t_check(memcmp(p, q, N * sizeof(*p)) == 0);
	for (int k = 0; k < 2; k++)
		t_check(memcmp(optim_slot(a, k), optim_slot(b, k),
		    N * sizeof(*p)) == 0);
	optim_free(a);
	optim_free(b);
	free(p);
	free(q);
}

/* Wherever it begins and ends, a span is trained as if it were alone with its
 * rate and its decay. */
T_CASE(a_span_has_its_rate_and_its_decay)
{
	const struct optim_span v[] = { ALIKE(0, 5), SPAN(5, 70001,
	    0.5, 0.01, true), SPAN(70001, N, 1, 0, true) };
	struct optim *o = made(&adam, v, 3);
	float *g = drawn(1), *p = drawn(0);

	t_eq_int((int)optim_nspans(o), 3);
	optim_step(o, p, g, 1, 1e-3, NULL);
	for (int k = 0; k < 3; k++) {
		struct spec_optim s = adam;
		struct optim *alone;
		float *q = drawn(0);
		s.weight_decay = v[k].decay;
		t_eq_int(optim_new(&alone, &s, v[k].count), RK_OK);
		optim_step(alone, q + v[k].offset, g + v[k].offset, 1,
		    1e-3 * v[k].rate, NULL);
		t_check(memcmp(q + v[k].offset, p + v[k].offset,
		    (size_t)v[k].count * sizeof(*p)) == 0);
		optim_free(alone);
		free(q);
	}
	optim_free(o);
	free(g);
	free(p);
}

T_CASE(what_is_not_trained_stays_and_so_do_its_moments)
{
	const struct optim_span v[] = { ALIKE(0, 100), SPAN(100, 200000,
	    1, 0.01, false), ALIKE(200000, N) };
	struct optim *o = made(&adam, v, 3);
	float *first = drawn(0), *p = three(o), *shadow[3];

	t_check(memcmp(p + 100, first + 100, 199900 * sizeof(*p)) == 0);
	t_check(p[0] != first[0] && p[200000] != first[200000]);
	for (int k = 0; k < 2; k++)
		for (int i = 100; i < 200000; i++)
			t_check(optim_slot(o, k)[i] == 0);
	t_check(optim_trains(o, 99) && !optim_trains(o, 100) &&
	    !optim_trains(o, 199999) && optim_trains(o, 200000));
	/* A shadow has all of it. */
	for (int k = 0; k < 3; k++)
		shadow[k] = malloc(N * sizeof(float));
	optim_step(o, p, first, 4, 1e-3, shadow);
	t_check(memcmp(shadow[0], p, N * sizeof(*p)) == 0);
	for (int k = 0; k < 2; k++)
		t_check(memcmp(shadow[k + 1], optim_slot(o, k),
		    N * sizeof(*p)) == 0);
	for (int k = 0; k < 3; k++)
		free(shadow[k]);
	optim_free(o);
	free(first);
	free(p);
}

/* At step 1001 its first update is that of a step 1. */
T_CASE(updates_are_counted_from_where_a_span_begins)
{
	static const enum spec_optim_type types[] = { SPEC_SGD, SPEC_ADAM,
	    SPEC_ADAMW, SPEC_ADAGRAD, SPEC_LAMB };

	for (size_t k = 0; k < RK_ARRAY_LEN(types); k++) {
		const struct spec_optim s = { .type = types[k],
		    .momentum = types[k] == SPEC_SGD ? 0.9 : 0,
		    .dampening = 0.5, .beta1 = 0.9, .beta2 = 0.99,
		    .eps = 1e-8, .lr_decay = 0.1 };
		const struct optim_span late = { .count = 3, .rate = 1,
		    .trains = true, .begin = 1000 };
		const float g[3] = { 1, -2, 0.5f };
		float p[3] = { 1, 2, 3 }, q[3] = { 1, 2, 3 };
		struct optim *a, *b;
		t_eq_int(optim_new(&a, &s, 3), RK_OK);
		t_eq_int(optim_new(&b, &s, 3), RK_OK);
		optim_set_spans(b, &late, 1);
		for (int t = 1; t <= 3; t++) {
			optim_step(a, p, g, t, 0.1, NULL);
			optim_step(b, q, g, 1000 + t, 0.1, NULL);
			t_check(memcmp(p, q, sizeof(p)) == 0);
		}
		t_aborts(optim_step(b, q, g, 1000, 0.1, NULL));
		optim_free(a);
		optim_free(b);
	}
}

/*
 * A row that is new beside old ones has moments of 0.  Under the count of 1000
 * updates its first step is m / sqrt(v) = (1 - b1) g / (sqrt(1 - b2) |g|) =
 * 0.1 / sqrt(0.001) = 3.16 rates long (and the corrections of 1000 updates,
 * 1 / 0.795 under the root: 3.16 * 0.795 = 2.51); of 30,000 updates all of the
 * 3.16.  Counted by itself it is one rate long, as any first step of Adam's.
 */
T_CASE(a_new_row_under_the_count_of_old_ones_would_go_too_far)
{
	struct spec_optim s = adam;
	const float g[4] = { 0.3f, -0.3f, 0.02f, -5 };
	const struct optim_span one = { .count = 4, .rate = 1, .trains = true,
		.begin = -30000 };
	const struct optim_span two[] = { { .count = 2, .rate = 1,
		.trains = true, .begin = -30000 }, { .offset = 2, .count = 2,
		.rate = 1, .trains = true, .joined = true } };
	float p[4] = { 0 }, q[4] = { 0 };
	struct optim *a, *b;

	s.weight_decay = 0;
	t_eq_int(optim_new(&a, &s, 4), RK_OK);
	t_eq_int(optim_new(&b, &s, 4), RK_OK);
	optim_set_spans(a, &one, 1);
	optim_set_spans(b, two, 2);
	for (int i = 0; i < 2; i++) {   /* old moments, of the gradient */
		optim_slot(a, 0)[i] = optim_slot(b, 0)[i] = g[i];
		optim_slot(a, 1)[i] = optim_slot(b, 1)[i] = g[i] * g[i];
	}
	optim_step(a, p, g, 1, 1e-3, NULL);
	optim_step(b, q, g, 1, 1e-3, NULL);
	/* eps is 5e-7 of the smallest root, floats round by 6e-8. */
	for (int i = 0; i < 4; i++) {
		t_near(fabsf(q[i]), 1e-3, 1e-8);
		t_near(fabsf(p[i]), i < 2 ? 1e-3 : 3.1623e-3, 1e-7);
	}
	optim_free(a);
	optim_free(b);
}

/* lamb's norms are of the tensor, whichever of its rows began when: spans that
 * are joined have one trust, and the same trust as one span. */
T_CASE(rows_that_are_joined_have_one_trust)
{
	const struct spec_optim s = { .type = SPEC_LAMB, .beta1 = 0.9,
	    .beta2 = 0.99, .eps = 1e-8 };
	const struct optim_span v[] = { { .count = 3, .rate = 1, .trains = true,
		.begin = -500 }, { .offset = 3, .count = 1, .rate = 1,
		.trains = true, .joined = true } };
	const float g[4] = { 1, -2, 0.5f, 3 };
	float p[4] = { 3, -1, 2, 1.5f }, was[4];
	struct optim *o;
	double norm = 0, all = 0, r[4];

	t_eq_int(optim_new(&o, &s, 4), RK_OK);
	optim_set_spans(o, v, 2);
	t_eq_int((int)optim_nspans(o), 2);
	memcpy(was, p, sizeof(p));
	optim_step(o, p, g, 1, 0.1, NULL);
	for (int i = 0; i < 4; i++) {
		const double t = i < 3 ? 501 : 1;
		r[i] = 0.1 * g[i] / (1 - pow(0.9, t)) / (sqrt(0.01 * g[i] *
		    g[i] / (1 - pow(0.99, t))) + 1e-8);
		norm += r[i] * r[i];
		all += (double)was[i] * was[i];
	}
	for (int i = 0; i < 4; i++)
		t_near(p[i], was[i] - 0.1 * sqrt(all / norm) * r[i], 1e-6);
	optim_free(o);
}

T_CASE(spans_with_a_gap_are_a_bug)
{
	const struct optim_span v[] = { ALIKE(0, 5), ALIKE(6, N) };
	const struct optim_span w[] = { ALIKE(0, N - 1) };
	struct optim *o = made(&adam, NULL, 0);

	t_aborts(optim_set_spans(o, v, 2));
	t_aborts(optim_set_spans(o, w, 1));
	optim_free(o);
}

/* --- clipping ------------------------------------------------------------- */

T_CASE(what_is_not_trained_counts_for_no_norm)
{
	const struct spec_optim s = { .type = SPEC_SGD };
	const struct optim_span v[] = {
		{ .count = 2, .rate = 1, .trains = true },
		{ .offset = 2, .count = 2, .rate = 1 },
	};
	struct optim *o;
	float g[4] = { 3, 4, NAN, 1000 };

	t_eq_int(optim_new(&o, &s, 4), RK_OK);
	optim_set_spans(o, v, 2);
	t_near(optim_clip(o, g, 1), 5, 1e-12);
	t_near(g[0], 0.6, 1e-6);
	t_check(isnan(g[2]) && g[3] == 1000);
	optim_free(o);
}

/* clip_grad_value_(0.25) of these gives these, exactly. */
T_CASE(clipping_by_value_cuts_each_number)
{
	const struct spec_optim s = { .type = SPEC_SGD };
	float g[6] = { 0.1f, -0.2f, 0.3f, -0.4f, INFINITY, NAN };
	struct optim *o;

	t_eq_int(optim_new(&o, &s, 6), RK_OK);
	optim_clip_value(o, g, 0.25);
	t_check(g[0] == 0.1f && g[1] == -0.2f && g[2] == 0.25f &&
	    g[3] == -0.25f && g[4] == 0.25f && isnan(g[5]));
	optim_free(o);
}

T_MAIN
