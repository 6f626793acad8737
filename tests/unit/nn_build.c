/* Networks from specifications: names, shapes, sizes, and what is refused. */
#include "program.h"
#include "nn_net.h"

static const struct nn_tensor *
tensor(const struct nn *n, const char *name)
{
	for (size_t i = 0; i < nn_ntensors(n); i++)
		if (strcmp(nn_tensor_at(n, i)->name, name) == 0)
			return nn_tensor_at(n, i);
	t_fail("no tensor %s", name);
}

static void
has_shape(const struct nn *n, const char *name, int ndim, int64_t a, int64_t b,
    int64_t c, int64_t d)
{
	const struct nn_tensor *t = tensor(n, name);
	const int64_t want[] = { a, b, c, d };

	t_eq_int(t->ndim, ndim);
	for (int i = 0; i < ndim; i++)
		t_eq_int(t->d[i], want[i]);
}

static struct nn *
build(const struct spec_model *m, int ndim, const int64_t *d)
{
	const struct spec_loss loss = { 0 };
	struct nn_want w = { .model = m, .loss = &loss, .ndim = ndim,
		.batch = 64, .memory_limit = (uint64_t)1 << 30 };
	struct rk_why why = { 0 };
	struct nn *n;

	memcpy(w.d, d, (size_t)ndim * sizeof(*d));
	if (nn_build(&n, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return n;
}

T_CASE(an_mlp_has_pytorchs_tensors)
{
	const struct spec_model m = { .arch = SPEC_ARCH_mlp,
		.u.mlp.sizes = { { 784, 256, 10 }, 3 } };
	const int64_t image[] = { 1, 28, 28 };
	struct nn *n = build(&m, 3, image);
	int64_t count, offset = 0;

	t_eq_int(nn_ntensors(n), 4);
	has_shape(n, "fc1.weight", 2, 256, 784, 0, 0);
	has_shape(n, "fc1.bias", 1, 256, 0, 0, 0);
	has_shape(n, "fc2.weight", 2, 10, 256, 0, 0);
	has_shape(n, "fc2.bias", 1, 10, 0, 0, 0);
	float *p = nn_params(n, &count);
	t_eq_int(count, 784 * 256 + 256 + 2560 + 10);
	for (size_t i = 0; i < 4; i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		t_eq_int(t->offset, offset);
		t_check(t->value == p + offset && !t->is_buffer);
		t_check(t->grad == nn_grads(n) + offset);
		offset += t->count;
	}
	t_eq_int(nn_outputs(n), 10);
	nn_free(n);
	nn_free(NULL);
}

T_CASE(lenet5_has_its_usual_tensors)
{
	const struct spec_model m = { .arch = SPEC_ARCH_lenet5, .u.lenet5.classes = 10 };
	const int64_t image[] = { 1, 28, 28 };
	struct nn *n = build(&m, 3, image);
	int64_t count;

	has_shape(n, "conv1.weight", 4, 6, 1, 5, 5);
	has_shape(n, "conv2.weight", 4, 16, 6, 5, 5);
	has_shape(n, "fc1.weight", 2, 120, 400, 0, 0);
	has_shape(n, "fc2.weight", 2, 84, 120, 0, 0);
	has_shape(n, "fc3.weight", 2, 10, 84, 0, 0);
	(void)nn_params(n, &count);
	t_eq_int(count, 61706);         /* the number of the literature */
	nn_free(n);
}

T_CASE(layers_are_named_by_their_index_and_buffers_come_last)
{
	struct net s = { 0 };

	net_input(&s, 3, 3, 8, 8);
	net_window(&s, SPEC_OP_conv2d, 4, 3, 3, 1, 1)->u.conv2d.bias = false;
	net_add(&s, SPEC_OP_batch_norm);
	net_add(&s, SPEC_OP_relu);
	net_window(&s, SPEC_OP_max_pool2d, 0, 2, 2, 2, 0);
	net_add(&s, SPEC_OP_flatten);
	net_linear(&s, 5);
	s.layers[6].name = (char *)(uintptr_t)"head";
	net_build(&s, 4);
	static const char *const want[] = { "0.weight", "1.weight", "1.bias",
		"head.weight", "head.bias", "1.running_mean",
		"1.running_var" };
	t_eq_int(nn_ntensors(s.nn), RK_ARRAY_LEN(want));
	for (size_t i = 0; i < RK_ARRAY_LEN(want); i++) {
		const struct nn_tensor *t = nn_tensor_at(s.nn, i);
		t_eq_str(t->name, want[i]);
		t_check(t->is_buffer == (i >= 5) && (t->grad == NULL) ==
		    (i >= 5));
	}
	has_shape(s.nn, "head.weight", 2, 5, 64, 0, 0);
	int64_t count;
	float *b = nn_buffers(s.nn, &count);
	t_eq_int(count, 8);
	t_check(b[0] == 0 && b[4] == 1);
	nn_free(s.nn);
}

T_CASE(the_description_has_layers_shapes_and_counts)
{
	const struct spec_model m = { .arch = SPEC_ARCH_lenet5, .u.lenet5.classes = 10 };
	const int64_t image[] = { 1, 28, 28 };
	struct nn *n = build(&m, 3, image);
	struct strbuf b = { 0 };

	nn_describe(n, &b);
	t_has(b.s, "conv1");
	t_has(b.s, "conv2d 5x5, relu");
	t_has(b.s, "16x5x5");
	t_has(b.s, "48,120");
	t_has(b.s, "61,706");
	sb_fini(&b);
	nn_free(n);
}

/* --- initial values ------------------------------------------------------- */

T_CASE(initial_values_are_uniform_within_one_over_root_fan_in)
{
	const struct spec_model m = { .arch = SPEC_ARCH_mlp,
		.u.mlp.sizes = { { 400, 300, 10 }, 3 } };
	const int64_t d[] = { 400 };
	struct nn *n = build(&m, 1, d);
	double sum = 0, sq = 0, most = 0;

	nn_init(n, 3);
	const struct nn_tensor *w = tensor(n, "fc1.weight");
	for (int64_t i = 0; i < w->count; i++) {
		sum += w->value[i];
		sq += (double)w->value[i] * w->value[i];
		most = fmax(most, fabs(w->value[i]));
	}
	/* U(-a, a), a = 1/20: the mean's sigma is a/sqrt(3N) = 8e-5, the mean
	 * square a^2/3 has a relative sigma of sqrt(4/5/N) = 0.26 %. */
	t_near(sum / (double)w->count, 0, 4e-4);
	t_near(sq / (double)w->count * 3 * 400, 1, 0.013);
	t_check(most <= 0.05f && most > 0.0499);
	const struct nn_tensor *b = tensor(n, "fc2.bias");
	for (int64_t i = 0; i < b->count; i++)
		t_check(fabs(b->value[i]) <= 1 / sqrt(300.0));
	nn_free(n);
}

T_CASE(a_convolutions_fan_in_is_its_window)
{
	const struct spec_model m = { .arch = SPEC_ARCH_lenet5, .u.lenet5.classes = 10 };
	const int64_t image[] = { 1, 28, 28 };
	static const char *const names[] = { "conv2.weight", "conv2.bias" };
	struct nn *n = build(&m, 3, image);
	const float bound = (float)(1 / sqrt(6 * 25));

	nn_init(n, 3);
	for (int i = 0; i < 2; i++) {
		const struct nn_tensor *t = tensor(n, names[i]);
		float most = 0;
		for (int64_t k = 0; k < t->count; k++)
			most = fmaxf(most, fabsf(t->value[k]));
		/* The largest of 16 falls below half with 2^-16. */
		t_check(most <= bound && most > bound / 2);
	}
	nn_free(n);
}

/* The same tensor in another network, another place, with more threads. */
T_CASE(initial_values_depend_on_seed_name_and_element_only)
{
	const struct spec_model small = { .arch = SPEC_ARCH_mlp,
		.u.mlp.sizes = { { 784, 256, 10 }, 3 } };
	const struct spec_model deep = { .arch = SPEC_ARCH_mlp,
		.u.mlp.sizes = { { 784, 256, 10, 256, 10 }, 5 } };
	const int64_t d[] = { 784 };
	struct nn *a = build(&small, 1, d), *b = build(&deep, 1, d);

	nn_init(a, 9);
	t_check(kernel_init(3) == RK_OK);
	nn_init_one(b, 9, tensor(b, "fc2.weight"));
	nn_init_one(b, 9, tensor(b, "fc1.weight"));
	for (int i = 1; i <= 2; i++) {
		char name[16];
		snprintf(name, sizeof(name), "fc%d.weight", i);
		t_check(memcmp(tensor(a, name)->value, tensor(b, name)->value,
		    (size_t)tensor(a, name)->count * 4) == 0);
	}
	const struct nn_tensor *w = tensor(b, "fc1.weight");
	float was = w->value[5];
	nn_init_one(b, 10, w);
	t_check(w->value[5] != was);
	t_check(tensor(b, "fc1.weight")->value[0] !=
	    tensor(b, "fc2.weight")->value[0]);
	nn_free(a);
	nn_free(b);
	kernel_fini();
}

/* --- refusals ------------------------------------------------------------- */

static void
refused(struct net *s, enum rk_err rc, uint64_t limit, const char *path,
    const char *a, const char *b)
{
	struct rk_why why = { 0 };
	struct nn *n = (struct nn *)&why;
	struct nn_want w = net_want(s, 64);

	w.memory_limit = limit;
	t_eq_int(nn_build(&n, &w, &why), rc);
	t_check(n == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), path);
	t_has(rk_why_first(&why), a);
	t_has(rk_why_first(&why), b);
	rk_why_fini(&why);
	t_eq_int(nn_build(&n, &w, NULL), rc);
	if (rc == RK_EINVAL)
		t_eq_int(nn_outline(&n, &w, NULL), rc);
}

#define GIB ((uint64_t)1 << 30)

T_CASE(a_width_of_10_to_the_12_is_refused)
{
	struct net s = { 0 };
	net_input(&s, 1, 784, 0, 0);
	net_linear(&s, 1000000000000);
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "1,000,000,000,000",
	    "16,777,216");
	s.layers[1].u.linear.out = INT64_MAX;
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "outputs",
	    "16,777,216");
	s.layers[1].u.linear.out = 0;
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "0 outputs",
	    "16,777,216");
}

T_CASE(too_many_parameters_are_refused)
{
	struct net s = { 0 };
	net_input(&s, 1, 1 << 20, 0, 0);
	net_linear(&s, 1 << 24);
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "16777216x1048576",
	    "2,147,483,648");
	/* Each fits, both together do not. */
	struct net t = { 0 };
	net_input(&t, 1, 1 << 15, 0, 0);
	net_linear(&t, 1 << 15);
	net_linear(&t, 1 << 15);
	refused(&t, RK_EINVAL, GIB, "model.layers[1]", "32768x32768",
	    "2,147,483,648");
}

T_CASE(more_memory_than_allowed_is_refused_with_both_numbers)
{
	struct net s = { 0 };
	struct nn_sizes sizes;
	struct nn *n;

	net_input(&s, 1, 784, 0, 0);
	net_linear(&s, 25600);
	struct nn_want w = net_want(&s, 64);
	t_check(nn_outline(&n, &w, NULL) == RK_OK);
	nn_sizes(n, &sizes);
	nn_free(n);
	t_eq_int(sizes.parameters, 785 * 25600);
	const uint64_t bytes = sizes.total_bytes;
	/* Parameters and gradients, logits and their gradient, and little
	 * more, each in whole pages of 2 MiB. */
	const uint64_t least = 8 * 785 * 25600 + 8 * 64 * 25600;
	t_check(bytes >= least && bytes < least + (8 << 20));
	refused(&s, RK_ENOMEM, bytes - 1, "resources.memory", "MiB",
	    "more than");
	w.memory_limit = bytes;
	t_check(nn_build(&n, &w, NULL) == RK_OK);
	nn_free(n);
}

T_CASE(a_batch_that_no_memory_can_hold_is_refused)
{
	struct net s = { 0 };
	struct rk_why why = { 0 };
	struct nn *n;

	net_input(&s, 3, 64, 4096, 4096);
	net_window(&s, SPEC_OP_conv2d, 64, 1, 1, 1, 0);
	refused(&s, RK_ENOMEM, 8 * GIB, "resources.memory", "768 GiB",
	    "needs");
	const struct nn_want w = net_want(&s, INT64_MAX / 2);
	t_eq_int(nn_outline(&n, &w, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "training.batch_size");
	rk_why_fini(&why);
}

T_CASE(values_of_more_than_an_int_are_refused)
{
	struct net s = { 0 };
	net_input(&s, 3, 1, 40000, 40000);
	net_window(&s, SPEC_OP_conv2d, 2, 1, 1, 1, 0);
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "2x40000x40000",
	    "2,147,483,647");
	net_input(&s, 3, 3, 40000, 40000);
	refused(&s, RK_EINVAL, GIB, "data.train", "3x40000x40000",
	    "2,147,483,647");
}

T_CASE(shapes_that_do_not_fit_are_refused_with_both_numbers)
{
	struct net s = { 0 };
	net_input(&s, 3, 1, 28, 28);
	net_window(&s, SPEC_OP_conv2d, 4, 31, 3, 1, 1);
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "31 high", "30");
	s.layers[0].u.conv2d.kernel[0] = 3;
	s.layers[0].u.conv2d.kernel[1] = 40;
	refused(&s, RK_EINVAL, GIB, "model.layers[0]", "40 wide", "30");

	struct net flat = { 0 };
	net_input(&flat, 1, 784, 0, 0);
	net_window(&flat, SPEC_OP_max_pool2d, 0, 2, 2, 2, 0);
	refused(&flat, RK_EINVAL, GIB, "model.layers[0]", "3 dimensions",
	    "1: 784");

	struct net pad = { 0 };
	net_input(&pad, 3, 1, 8, 8);
	net_window(&pad, SPEC_OP_avg_pool2d, 0, 2, 2, 2, 2);
	refused(&pad, RK_EINVAL, GIB, "model.layers[0]", "padding is 2",
	    "kernel of 2");
}

T_CASE(inputs_that_do_not_fit_the_data_are_refused_with_both_numbers)
{
	struct net s = { 0 };
	net_input(&s, 3, 1, 28, 28);
	s.m = (struct spec_model){ .arch = SPEC_ARCH_mlp,
		.u.mlp.sizes = { { 100, 10 }, 2 } };
	refused(&s, RK_EINVAL, GIB, "model.sizes", "100", "1x28x28");

	struct net t = { 0 };
	net_input(&t, 1, 784, 0, 0);
	net_linear(&t, 3);
	t.m.ninput = 3;
	t.m.input[0] = 3;
	t.m.input[1] = t.m.input[2] = 16;
	refused(&t, RK_EINVAL, GIB, "model.input", "3x16x16", "784");
	t.m.input[0] = 1;
	t.m.input[1] = t.m.input[2] = 28;
	net_build(&t, 4);
	nn_free(t.nn);

	struct net small = { 0 };
	net_input(&small, 3, 1, 8, 8);
	small.m = (struct spec_model){ .arch = SPEC_ARCH_lenet5,
		.u.lenet5.classes = 10 };
	refused(&small, RK_EINVAL, GIB, "model", "conv2", "5");
}

T_CASE(a_network_with_nothing_to_train_is_refused)
{
	struct net s = { 0 };
	net_input(&s, 1, 8, 0, 0);
	net_add(&s, SPEC_OP_relu);
	refused(&s, RK_EINVAL, GIB, "model.layers", "no layer", "parameters");
	s.m.nlayers = 0;
	refused(&s, RK_EINVAL, GIB, "model.layers", "no layer", "parameters");
}

T_CASE(two_layers_of_one_name_are_refused)
{
	struct net s = { 0 };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 4);
	net_linear(&s, 4);
	s.layers[1].name = s.layers[3].name = (char *)(uintptr_t)"twin";
	refused(&s, RK_EINVAL, GIB, "model.layers[1]", "another layer",
	    "twin");
}

/* --- the memory plan ------------------------------------------------------ */

/* No two storages in use at a common time lie over each other. */
static void
check_program(const struct nn *n, const struct nn_program *p)
{
	for (int i = 0; i < p->nstorages; i++)
	for (int j = 0; j < i; j++) {
		const struct nn_storage *a = &p->storages[i];
		const struct nn_storage *b = &p->storages[j];
		bool meet = a->first <= b->last && b->first <= a->last;
		bool overlap = a->at < b->at + b->floats &&
		    b->at < a->at + a->floats;
		if (a->outside || b->outside)
			continue;
		t_check(!meet || !overlap);
		t_check(a->at % 16 == 0 && a->at + a->floats <=
		    n->arena_floats);
	}
}

static void
check_plan(const struct nn *n)
{
	check_program(n, &n->train);
	check_program(n, &n->infer);
}

static void
random_net(struct net *s, uint32_t seed)
{
	uint64_t k = 0;
	bool image = true;
	int n = 1 + (int)(rk_draw_u32(seed, 0, 0, k++) % 12);

	net_input(s, 3, 2, 8, 8);
	for (int i = 0; i < n; i++) {
		enum spec_op t = (enum spec_op)
		    (rk_draw_u32(seed, 0, 0, k++) % SPEC_OP_V1);
		if (t == SPEC_OP_linear || t == SPEC_OP_flatten) {
			image = false;
			int64_t out = 1 + rk_draw_u32(seed, 0, 0, k++) % 50;
			if (t == SPEC_OP_linear)
				net_linear(s, out);
			else
				net_add(s, t);
		} else if (t <= SPEC_OP_avg_pool2d) {
			if (image)
				net_window(s, t, 3, 3, 3, 1, 1);
		} else {
			net_add(s, t);
		}
	}
	net_linear(s, 7);
}

T_CASE(memory_plans_of_random_networks_hold)
{
	for (uint32_t seed = 0; seed < 300; seed++) {
		struct net s = { 0 };
		random_net(&s, seed);
		net_build(&s, 3);
		check_plan(s.nn);
		net_step(&s, 3);
		nn_free(s.nn);
	}
}

/* With every storage in a place of its own, or what is dead turned into NaN, the
 * result is the same. */
T_CASE(sharing_places_changes_nothing)
{
	for (uint32_t seed = 0; seed < 60; seed++) {
		struct net s = { .poison = true }, t = { .apart = true };
		int64_t n;
		random_net(&s, seed);
		random_net(&t, seed);
		net_build(&s, 3);
		net_build(&t, 3);
		net_step(&s, 3);
		net_step(&t, 3);
		(void)nn_params(s.nn, &n);
		t_check(memcmp(nn_grads(s.nn), nn_grads(t.nn),
		    (size_t)n * 4) == 0);
		nn_free(s.nn);
		nn_free(t.nn);
	}
}

T_CASE(deep_networks_reuse_the_places_of_gradients)
{
	struct spec_model m = { .arch = SPEC_ARCH_mlp, .u.mlp.sizes.n = 41 };
	const struct spec_loss loss = { 0 };
	const struct nn_want w = { .model = &m, .loss = &loss, .ndim = 1,
		.d = { 100 }, .batch = 1000, .memory_limit = GIB };
	struct nn *n;

	for (int i = 0; i < 41; i++)
		m.u.mlp.sizes.v[i] = 100;
	t_check(nn_build(&n, &w, NULL) == RK_OK);
	check_plan(n);
	/* 41 values are kept for backward; of 40 gradients two at a time are
	 * alive, and a value that backward has read makes room for them. */
	t_check(n->arena_floats < 44 * 100 * 1000);
	nn_free(n);
}

T_MAIN
