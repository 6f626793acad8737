/* module: nn */
/*
 * A job as somebody sends it, to the outline of its network: no graph may crash,
 * hang or take more than its limits.  A network that is small is built and run,
 * what is dead filled with NaN: a step of training and a forward of inference.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "rekindle/nn.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define BATCH   3
#define LIMIT   ((uint64_t)1 << 20)     /* bytes of a network that is run */
#define MOST    1e6                     /* multiply-adds of a sample */
#define LAYERS  200

static void
fill(struct nn *n, int64_t width)
{
	for (int64_t i = 0; i < nn_micro(n) * width; i++) {
		if (nn_input_dtype(n) == NN_I32)
			nn_input_ids(n)[i] = (int32_t)(i % 3);
		else
			nn_input(n)[i] = (float)(i % 7) - 3;
	}
}

static void
run(struct nn *n)
{
	const int64_t outputs = nn_outputs(n);
	int32_t y[BATCH] = { 0, (int32_t)(outputs - 1), 0 };
	float *t = xcalloc((size_t)(BATCH * outputs), sizeof(*t));
	struct nn_result r;

	for (int64_t at = 0; at < BATCH; at += nn_micro(n)) {
		const int64_t rows = RK_MIN(nn_micro(n), BATCH - at);
		nn_forward(n, &(struct nn_step){ .rows = rows, .first = at,
		    .all = BATCH, .seed = 1, .step = 1 }, true);
		nn_loss(n, y, t, &r);
		nn_backward(n);
	}
	nn_forward(n, &(struct nn_step){ .rows = 1, .all = 1 }, false);
	nn_loss(n, y, t, &r);
	free(t);
}

static void
describe(const struct nn *n)
{
	char hex[RK_SHA256_HEX];
	struct strbuf b = { 0 };

	nn_digest(n, hex);
	nn_describe(n, &b);
	sb_fini(&b);
	json_decref(nn_layers(n));
}

/* The network of a job whose data have samples of this shape. */
static void
check_network(const struct spec *s, struct nn_want *w, int64_t width)
{
	struct rk_why why = { 0 };
	struct nn_sizes sizes;
	struct nn *n;

	w->model = &s->model;
	w->loss = &s->training.loss;
	w->batch = BATCH;
	w->micro = s->training.micro_batch_size;
	w->memory_limit = LIMIT;
	w->poison = true;
	if (nn_outline(&n, w, &why) != RK_OK) {
		must(why.n > 0 && n == NULL);
		rk_why_fini(&why);
		return;
	}
	nn_sizes(n, &sizes);
	describe(n);
	const bool small = s->model.nlayers <= LAYERS &&
	    sizes.total_bytes <= LIMIT && sizes.multiply_adds <= MOST &&
	    nn_may_train(n, 1, NULL) == RK_OK;
	nn_free(n);
	if (!small)
		return;
	must(nn_build(&n, w, NULL) == RK_OK);
	nn_init(n, 1);
	fill(n, width);
	if (nn_input_dtype(n) != NN_I32 || nn_check_ids(n, nn_input_ids(n),
	    nn_micro(n), NULL) == RK_OK)
		run(n);
	nn_free(n);
}

static void
check(const struct spec *s)
{
	struct nn_want image = { .ndim = 3, .d = { 1, 8, 8 } };
	struct nn_want tokens = { .ndim = 1, .d = { 12 }, .dtype = NN_I32 };
	struct nn_want own = { 0 };
	int64_t width = 1;

	for (int i = 0; i < s->model.ninput; i++)
		if (width <= INT32_MAX)
			width *= s->model.input[i];
	if (s->model.ninput > 0)
		check_network(s, &own, width);
	check_network(s, &image, 64);
	check_network(s, &tokens, 12);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (int yaml = 0; yaml < 2; yaml++) {
		struct spec *s = NULL;
		if (spec_parse_text((const char *)p, n, yaml, &s, NULL) ==
		    RK_OK)
			check(s);
		spec_free(s);
	}
	return 0;
}
