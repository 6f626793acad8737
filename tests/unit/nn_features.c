/*
 * Features: what is still computes them in any row and beside any others with
 * the same bits, and from them a step and an inference have the bits that they
 * have from the input.
 */
#include <math.h>

#include "nn_graphs.h"
#include "rekindle/kernel_mm.h"

#define GRAPHS (RK_SANITIZED ? 600 : 3000)

/* --- a step from features ------------------------------------------------- */

struct both {
	struct graph *r;
	struct nn *whole, *parted;      /* parted gets its rows as features */
	float *store;                   /* [batch][features] */
	int64_t width;                  /* of the input */
};

/* Sample i of a step. */
static void
fill_row(const struct both *b, struct nn *n, int step, int64_t i, int64_t row)
{
	for (int64_t k = 0; k < b->width; k++) {
		const uint64_t at = (uint64_t)(i * b->width + k);
		if (nn_input_dtype(n) == NN_I32)
			nn_input_ids(n)[row * b->width + k] = (int32_t)(
			    rk_draw_u32(b->r->seed, 1, (uint32_t)step, at) %
			    GRAPH_IDS);
		else
			nn_input(n)[row * b->width + k] = rk_draw_normal(
			    b->r->seed, 1, (uint32_t)step, at);
	}
}

/* Of all samples of a step: each in another row than there, beside others. */
static void
make_features(const struct both *b, int step, int64_t all, bool train)
{
	struct nn *n = b->parted;
	const int64_t f = nn_features(n), rows = nn_features_rows(n);

	for (int64_t at = 0; at < all; at += rows) {
		for (int64_t k = 0; k < rows; k++)
			fill_row(b, n, step, RK_MAX(all - 1 - at - k, 0), k);
		nn_forward(n, &(struct nn_step){ .stretch = NN_TO_FEATURES,
		    .rows = rows, .all = rows, .seed = 9, .step = 99 }, train);
		for (int64_t k = 0; k < rows && at + k < all; k++)
			nn_features_get(n, k, b->store + (all - 1 - at - k) *
			    f);
	}
}

static void
same(const struct both *b, const char *what, const float *x, const float *y,
    int64_t n)
{
	if (memcmp(x, y, (size_t)n * sizeof(*x)) == 0)
		return;
	t_fail("%s differ; SEED=%llu N=1 gives it again", what,
	    (unsigned long long)b->r->seed);
}

static void
loss(const struct both *b, struct nn *n, const struct nn_step *s)
{
	float t[GRAPH_BATCH * GRAPH_VALUE * 4];
	int32_t y[GRAPH_BATCH];
	struct nn_result res;

	for (int64_t i = 0; i < s->rows * nn_outputs(n); i++)
		t[i] = rk_draw_unit(b->r->seed, 3, (uint32_t)s->step,
		    (uint64_t)i);
	for (int64_t i = 0; i < s->rows; i++)
		y[i] = (int32_t)(rk_draw_u32(b->r->seed, 2, (uint32_t)s->step,
		    (uint64_t)i) % (uint32_t)nn_outputs(n));
	const bool classes = b->r->loss.type == SPEC_CROSS_ENTROPY &&
	    !b->r->soft;
	nn_loss(n, y, classes ? NULL : t, &res);
	if (s->step > 0)
		nn_backward(n);
}

/* Rows at..at + rows - 1 of a step through both. */
static void
part(const struct both *b, int64_t at, const struct nn_step *s, bool train)
{
	const int64_t f = nn_features(b->parted);
	struct nn_step from = *s;
	int64_t n;

	for (int64_t k = 0; k < s->rows; k++) {
		fill_row(b, b->whole, (int)s->step, at + k, k);
		nn_features_put(b->parted, train, k, b->store + (at + k) * f);
	}
	from.stretch = NN_FROM_FEATURES;
	nn_forward(b->whole, s, train);
	nn_forward(b->parted, &from, train);
	same(b, "logits", nn_output(b->whole), nn_output(b->parted),
	    s->rows * nn_outputs(b->whole));
	loss(b, b->whole, s);
	loss(b, b->parted, s);
	(void)nn_params(b->whole, &n);
	same(b, "gradients", nn_grads(b->whole), nn_grads(b->parted), n);
}

static void
step(const struct both *b, int number, int64_t all, bool train)
{
	const int64_t micro = nn_micro(b->whole);
	int64_t n;

	make_features(b, number, all, train);
	nn_zero_grads(b->whole);
	nn_zero_grads(b->parted);
	for (int64_t at = 0; at < all; at += micro)
		part(b, at, &(struct nn_step){ .rows = RK_MIN(micro, all - at),
		    .first = at, .all = all, .seed = 5, .step = number },
		    train);
	const float *buffers = nn_buffers(b->whole, &n);
	same(b, "buffers", buffers, nn_buffers(b->parted, &n), n);
}

static struct nn *
build(struct graph *r, bool poison)
{
	struct nn_want w = graph_want(r);
	struct rk_why why = { 0 };
	struct nn *n;

	w.poison = poison;
	w.layouts = r->seed % 3 == 0 ? NN_CHOSEN : r->seed % 3 == 1 ?
	    NN_BLOCKED : NN_MIXED;
	if (nn_build(&n, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	nn_init(n, 7);
	return n;
}

struct tally {
	long with, ops[SPEC_OP_COUNT], blocked, many;
};

static void
count(struct tally *t, const struct nn *n)
{
	const struct nn_graph *g = &n->g;

	t->with++;
	t->many += g->ncut > 1;
	for (int i = 0; i < g->nlayers; i++) {
		if (!g->nodes[i].still || g->nodes[i].dead)
			continue;
		t->ops[g->layers[i].type]++;
		t->blocked += nn_is_blocked(g, &g->nodes[i]);
	}
}

static void
check(struct tally *t, struct graph *r)
{
	struct both b = { .r = r, .width = r->g.vals[0].count };

	b.whole = build(r, false);
	b.parted = build(r, true);
	const int64_t f = nn_features(b.parted);
	if (f > 0) {
		count(t, b.parted);
		b.store = xcalloc((size_t)(r->batch * f), sizeof(*b.store));
		step(&b, 1, r->batch, true);
		step(&b, 2, r->ragged, true);
		step(&b, 0, r->ragged, false);
		free(b.store);
	}
	nn_free(b.whole);
	nn_free(b.parted);
}

T_CASE(random_graphs_have_the_same_bits_from_features)
{
	const char *of = getenv("N"), *from = getenv("SEED");
	const long n = of != NULL ? atol(of) : GRAPHS;
	const long first = from != NULL ? atol(from) : 300001;
	struct tally t = { 0 };
	struct graph r;

	t_check(kernel_init(2) == RK_OK);
	/* Else a sample by itself has other last bits than one among others. */
	if (!kernel_mm_rows_alike())
		return;
	for (long i = 0; i < n; i++) {
		if (!graph_make(&r, (uint64_t)(first + i)))
			continue;
		check(&t, &r);
		graph_free(&r);
	}
	fprintf(stderr, "%ld graphs with features, %ld of several values, %ld "
	    "blocked nodes\n", t.with, t.many, t.blocked);
	if (n < GRAPHS)
		return;
	t_check(t.with >= n / 10 && t.many >= n / 50 && t.blocked >= n / 100);
	for (int i = 0; i < SPEC_OP_COUNT; i++)
		if (t.ops[i] < n / 1000)
			t_fail("%s is still %ld times", spec_op_words[i],
			    t.ops[i]);
}

/* --- of real shapes ------------------------------------------------------- */

static bool
trains_last(void *ctx, const char *tensor)
{
	(void)ctx;
	return strncmp(tensor, "fc.", 3) == 0 || strncmp(tensor, "fc2", 3) ==
	    0 ||
	    strncmp(tensor, "classifier", 10) == 0;
}

static struct nn *
build_arch(const char *model, int64_t micro)
{
	char *text = xasprintf("name: a\nmodel: %s\ntraining: {epochs: 1}\n"
	    "data: {train: {type: idx, images: /i, labels: /l}}\n", model);
	struct rk_why why = { 0 };
	struct spec *s = NULL;
	struct nn *n = NULL;

	if (spec_parse_text(text, strlen(text), true, &s, &why) != RK_OK)
		t_fail("%s: %s", model, rk_why_first(&why));
	const struct nn_want w = { .model = &s->model,
		.loss = &s->training.loss, .batch = micro, .fast = true,
		.memory_limit = UINT64_MAX, .trains = trains_last,
		.evaluate_frozen = true };
	if (nn_build(&n, &w, &why) != RK_OK)
		t_fail("%s: %s", model, rk_why_first(&why));
	nn_init(n, 7);
	spec_free(s);
	free(text);
	return n;
}

/* The features of sample 0 in this row, and other samples around it. */
static void
features_in(struct nn *n, int64_t width, int64_t rows, int64_t row,
    float *to)
{
	for (int64_t r = 0; r < rows; r++) {
		const uint64_t sample = r == row ? 0 :
		    (uint64_t)(1 + r + rows * row);
		for (int64_t k = 0; k < width; k++) {
			const uint64_t at = sample * (uint64_t)width +
			    (uint64_t)k;
			if (nn_input_dtype(n) == NN_I32)
				nn_input_ids(n)[r * width + k] = (int32_t)(
				    1 + rk_draw_u32(3, 1, 1, at) % 90);
			else
				nn_input(n)[r * width + k] = rk_draw_normal(3,
				    1, 1, at);
		}
	}
	nn_forward(n, &(struct nn_step){ .stretch = NN_TO_FEATURES,
	    .rows = rows, .all = rows }, true);
	nn_features_get(n, row, to);
}

T_CASE(the_features_of_a_sample_are_the_same_in_every_row)
{
	static const struct {
		const char *model;
		int64_t width, micro;
	} nets[] = {
		/* So deep a product that it is cut where rows are few. */
		{ "{arch: mlp, sizes: [3072, 96, 3]}", 3072, 13 },
		{ "{arch: resnet18, input: [3, 64, 48], classes: 3}",
		    3 * 64 * 48, 8 },
		{ "{arch: mobilenet_v3_small, input: [3, 64, 64], classes: 3}",
		    3 * 64 * 64, 5 },
		{ "{arch: bert, input: [24], hidden: 96, depth: 2, heads: 4, "
		    "intermediate: 160, vocabulary: 100, positions: 24, "
		    "classes: 3, dropout: 0}", 24, 19 },
	};

	t_check(kernel_init(2) == RK_OK);
	for (size_t i = 0; i < RK_ARRAY_LEN(nets); i++) {
		struct nn *n = build_arch(nets[i].model, nets[i].micro);
		const int64_t f = nn_features(n), rows = nn_features_rows(n);
		float *a = xcalloc((size_t)f + 1, sizeof(*a));
		float *b = xcalloc((size_t)f + 1, sizeof(*b));
		t_check(f > 0 && rows <= nets[i].micro);
		features_in(n, nets[i].width, rows, 0, a);
		for (int64_t r = 1; r < rows; r++) {
			features_in(n, nets[i].width, rows, r, b);
			if (memcmp(a, b, (size_t)f * sizeof(*a)) != 0)
				t_fail("%s: row %lld", nets[i].model,
				    (long long)r);
		}
		free(a);
		free(b);
		nn_free(n);
	}
}

T_MAIN
