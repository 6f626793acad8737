/* Running statistics that came from another framework go on by its convention. */
#include "rekindle/kernel.h"
#include "rekindle/nn.h"
#include "t.h"

#define ROWS 3

static struct nn *
build(const char *convention)
{
	char *text = xasprintf("{\"name\": \"n\", \"model\": {\"input\": [2], "
	    "\"layers\": [{\"type\": \"batch_norm\", \"name\": \"bn\", "
	    "\"convention\": \"%s\", \"momentum\": %s}, {\"type\": \"linear\", "
	    "\"out\": 2}]}, \"training\": {\"epochs\": 1}, \"data\": "
	    "{\"train\": {\"type\": \"csv\", \"path\": \"/d\", \"label\": 0}}}",
	    convention, strcmp(convention, "torch") == 0 ? "0.25" : "0.75");
	struct rk_why why = {0};
	struct spec *s = NULL;
	struct nn *n = NULL;

	if (spec_parse_text(text, strlen(text), false, &s, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	const struct nn_want w = { .model = &s->model,
		.loss = &s->training.loss, .ndim = 1, .d = { 2 },
		.batch = ROWS, .memory_limit = UINT64_MAX };
	if (nn_build(&n, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	nn_init(n, 1);
	spec_free(s);
	free(text);
	return n;
}

/* The two means, then the two variances, after one step. */
static const float *
after_a_step(struct nn *n)
{
	const float x[ROWS * 2] = { 1, -2, 4, 0, 7, 8 };
	const struct nn_step s = { .rows = ROWS, .all = ROWS };
	int64_t count;

	memcpy(nn_input(n), x, sizeof(x));
	nn_forward(n, &s, true);
	const float *b = nn_buffers(n, &count);
	t_eq_int(count, 4);
	return b;
}

static void
goes_on_as(const char *names, enum nn_running how, const char *like)
{
	struct nn *a = build(names), *b = build(like);

	nn_set_running(a, how);
	const float *x = after_a_step(a), *y = after_a_step(b);
	for (int i = 0; i < 4; i++)
		t_near(x[i], y[i], 1e-6);
	nn_free(a);
	nn_free(b);
}

T_CASE(statistics_go_on_by_the_convention_of_their_source)
{
	t_check(kernel_init(1) == RK_OK);
	goes_on_as("torch", NN_RUNNING_BIASED, "paddle");
	goes_on_as("paddle", NN_RUNNING_UNBIASED, "torch");
	goes_on_as("torch", NN_RUNNING_OWN, "torch");
	goes_on_as("torch", NN_RUNNING_UNBIASED, "torch");
}

T_CASE(the_two_conventions_are_not_the_same)
{
	t_check(kernel_init(1) == RK_OK);
	struct nn *a = build("torch"), *b = build("paddle");
	const float *x = after_a_step(a), *y = after_a_step(b);

	t_near(x[0], y[0], 1e-6);
	t_check(x[2] - y[2] > 0.1f);
	nn_free(a);
	nn_free(b);
}

T_MAIN
