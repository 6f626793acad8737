/* Graphs that cannot be: which layers, and the numbers of both sides. */
#include "nn_net.h"

#define GIB ((uint64_t)1 << 30)
#define NAME(s) ((char *)(uintptr_t)(s))

/* Refused at path, with all of these words. */
static void
refuses(struct net *s, const char *path, const char *a, const char *b,
    const char *c)
{
	struct nn_want w = net_want(s, 4);
	struct rk_why why = { 0 };
	struct nn *n = NULL;

	t_eq_int(nn_build(&n, &w, &why), RK_EINVAL);
	t_check(n == NULL && why.n == 1);
	t_eq_str(why.v[0].path, path);
	t_has(why.v[0].message, a);
	t_has(why.v[0].message, b);
	t_has(why.v[0].message, c);
	rk_why_fini(&why);
	t_eq_int(nn_outline(&n, &w, NULL), RK_EINVAL);
}

/* Images of 4 x 6 x 5 by a layer c, and vectors 3 x 4 by a layer v. */
static struct net
images(void)
{
	struct net s = { 0 };

	net_input(&s, 3, 2, 6, 5);
	net_window(&s, SPEC_OP_conv2d, 4, 3, 3, 1, 1);
	s.layers[0].name = NAME("c");
	return s;
}

static struct net
vectors(void)
{
	struct net s = { 0 };

	net_input(&s, 2, 3, 2, 0);
	net_add(&s, SPEC_OP_linear)->u.linear.out = 4;
	s.layers[0].name = NAME("v");
	return s;
}

static struct net
tokens(void)
{
	struct net s = { .dtype = NN_I32, .ids = 5 };

	net_input(&s, 1, 6, 0, 0);
	return s;
}

/* The layer named it, behind the last. */
static struct spec_layer *
it(struct net *s, enum spec_op op)
{
	struct spec_layer *l = net_add(s, op);

	l->name = NAME("it");
	return l;
}

#define AT "model.layers[1]"

/* --- names ---------------------------------------------------------------- */

T_CASE(an_input_that_no_layer_before_makes)
{
	struct net s = images();
	net_from(&s, it(&s, SPEC_OP_add), "c", "later", NULL);
	net_add_as(&s, SPEC_OP_relu, "later");
	refuses(&s, AT, "it reads later", "no layer before", "name");
	/* Itself, the shortest cycle. */
	struct net t = images();
	net_from(&t, it(&t, SPEC_OP_add), "c", "it", NULL);
	refuses(&t, AT, "it reads it", "no layer before", "name");
}

T_CASE(two_layers_of_one_name_without_parameters)
{
	struct net s = images();
	it(&s, SPEC_OP_relu);
	it(&s, SPEC_OP_tanh);
	refuses(&s, "model.layers[2]", "two layers", "called it", "");
}

T_CASE(a_layer_that_nobody_reads)
{
	struct net s = images();
	it(&s, SPEC_OP_relu);
	net_from(&s, net_add(&s, SPEC_OP_tanh), "c", NULL, NULL);
	refuses(&s, AT, "nobody reads what it gives", "inputs", "outputs");
	/* An output by a name is a reader. */
	s.m.noutputs = 2;
	s.m.outputs[0] = (struct spec_output){ NAME("x"), NAME("it") };
	s.m.outputs[1] = (struct spec_output){ NAME(SPEC_LOGITS), NAME("2") };
	net_build(&s, 4);
	nn_free(s.nn);
	s.m.outputs[1].layer = NAME("nobody");
	refuses(&s, "model.outputs", SPEC_LOGITS, "nobody",
	    "want the name of a layer");
	/* Outputs without logits: what the last layer gives goes nowhere. */
	s.m.noutputs = 1;
	refuses(&s, "model.layers[2]", "nobody reads what 2 gives", "", "");
}

T_CASE(a_weight_that_another_layer_does_not_have)
{
	struct net s = vectors();
	it(&s, SPEC_OP_tanh);
	struct spec_op_linear *l = &net_add(&s, SPEC_OP_linear)->u.linear;
	l->out = 2;
	l->tied = NAME("it");
	refuses(&s, "model.layers[2]", "tied is it", "has no weight", "");
	l->tied = NAME("nobody");
	refuses(&s, "model.layers[2]", "nobody", "has no weight", "");
	l->tied = NAME("v");
	refuses(&s, "model.layers[2]", "2x4", "v.weight", "is 4x2");
}

/* --- whole numbers and others --------------------------------------------- */

T_CASE(whole_numbers_where_others_are_wanted)
{
	struct net s = tokens();
	net_add(&s, SPEC_OP_linear)->u.linear.out = 2;
	refuses(&s, "model.layers[0]", "0 (linear) wants", "f32",
	    "but input is of whole numbers");
	struct net t = images();
	it(&t, SPEC_OP_token_mask);
	refuses(&t, AT, "it (token_mask) wants whole numbers", "i32",
	    "but c is of numbers with a fraction");
	struct net u = images();
	struct spec_layer *l = it(&u, SPEC_OP_embedding);
	l->u.embedding.rows = l->u.embedding.width = 2;
	refuses(&u, AT, "it (embedding)", "whole numbers", "c");
}

T_CASE(tokens_that_a_table_does_not_have)
{
	struct net s = tokens();
	struct spec_layer *l = it(&s, SPEC_OP_embedding);
	int32_t ids[12] = { 0 };
	struct rk_why why = { 0 };

	l->u.embedding.rows = 5;
	l->u.embedding.width = 2;
	net_linear(&s, 3);
	net_build(&s, 4);
	t_eq_int(nn_check_ids(s.nn, ids, 2, &why), RK_OK);
	ids[8] = 4;
	t_eq_int(nn_check_ids(s.nn, ids, 2, &why), RK_OK);
	ids[8] = 5;
	t_eq_int(nn_check_ids(s.nn, ids, 2, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "token 2 of row 1 is 5");
	t_has(rk_why_first(&why), "it has rows 0 to 4");
	rk_why_fini(&why);
	ids[8] = -1;
	t_eq_int(nn_check_ids(s.nn, ids, 2, &why), RK_EINVAL);
	rk_why_fini(&why);
	/* Whose rows are those of positions does not look at them. */
	t_eq_int(nn_check_ids(s.nn, ids, 1, &why), RK_OK);
	nn_free(s.nn);
}

T_CASE(tables_and_masks_want_rows_of_tokens)
{
	struct net s = { .dtype = NN_I32 };
	net_input(&s, 2, 6, 3, 0);
	struct spec_layer *l = it(&s, SPEC_OP_embedding);
	l->u.embedding.rows = l->u.embedding.width = 2;
	refuses(&s, "model.layers[0]", "1 dimension", "6x3", "it");
	l->type = SPEC_OP_token_mask;
	refuses(&s, "model.layers[0]", "1 dimension", "6x3", "token_mask");
	struct net t = tokens();
	l = it(&t, SPEC_OP_embedding);
	l->u.embedding.rows = 5;
	l->u.embedding.width = 2;
	l->u.embedding.index = 1;
	refuses(&t, "model.layers[0]", "5 positions", "has 6", "it");
	l->u.embedding.index = 0;
	l->u.embedding.padding_index = 5;
	refuses(&t, "model.layers[0]", "padding_index is 5", "0 to 4", "it");
	l->u.embedding.padding_index = -1;
	l->u.embedding.index = 3;
	refuses(&t, "model.layers[0]", "index segment", "no separator", "it");
	l->u.embedding.index = 0;
	l->u.embedding.separator = 3;
	refuses(&t, "model.layers[0]", "a separator", "not index segment",
	    "it");
}

/* --- shapes that do not meet ---------------------------------------------- */

T_CASE(sums_and_products_of_shapes_that_do_not_meet)
{
	static const enum spec_op ops[] = { SPEC_OP_add, SPEC_OP_multiply };

	for (int i = 0; i < 2; i++) {
		struct net s = images();
		net_window(&s, SPEC_OP_max_pool2d, 0, 2, 2, 2, 0);
		s.layers[1].name = NAME("p");
		net_from(&s, it(&s, ops[i]), "c", "p", NULL);
		refuses(&s, "model.layers[2]", "4x6x5 (c)", "4x3x2 (p)",
		    "1 in the later");
		/* The first must be the larger; as many dimensions. */
		struct net t = images();
		net_add_as(&t, SPEC_OP_global_avg_pool2d, "p");
		net_from(&t, it(&t, ops[i]), "p", "c", NULL);
		refuses(&t, AT, "4x1x1 (p)", "4x6x5 (c)", "it");
		struct net u = images();
		net_add_as(&u, SPEC_OP_flatten, "p");
		net_from(&u, it(&u, ops[i]), "c", "p", NULL);
		refuses(&u, AT, "4x6x5 (c)", "120 (p)", "it");
	}
}

T_CASE(concatenations_of_shapes_that_do_not_meet)
{
	struct net s = images();
	net_window(&s, SPEC_OP_max_pool2d, 0, 2, 2, 2, 0);
	s.layers[1].name = NAME("p");
	struct spec_layer *l = net_from(&s, it(&s, SPEC_OP_concat), "c", "p",
	    NULL);
	refuses(&s, "model.layers[2]", "4x3x2 (p)", "4x6x5 (c)",
	    "in dimension 0");
	l->u.concat.dim = 3;
	refuses(&s, "model.layers[2]", "dimension 3", "has 3", "it");
}

T_CASE(attention_of_shapes_that_do_not_meet)
{
	struct net s = vectors();
	net_add_as(&s, SPEC_OP_linear, "w")->u.linear.out = 3;
	struct spec_layer *l = net_from(&s, it(&s, SPEC_OP_attention), "v", "w",
	    "v");
	l->u.attention.heads = 2;
	refuses(&s, AT, "keys are 3x3 (w)", "want 3x4", "(v)");
	l->inputs[1] = NAME("v");
	l->inputs[2] = NAME("w");
	refuses(&s, AT, "values are 3x3 (w)", "want 3x4", "(v)");
	net_from(&s, l, "v", NULL, NULL);
	l->inputs[2] = NAME("v");
	refuses(&s, AT, "masks are 3x4 (v)", "want 3 ", "(v)");
	l->ninputs = 3;
	l->u.attention.heads = 3;
	refuses(&s, AT, "3 heads", "width of 4", "it");
	struct net t = images();
	net_from(&t, it(&t, SPEC_OP_attention), "c", "c",
	    "c")->u.attention.heads = 1;
	refuses(&t, AT, "2 dimensions", "4x6x5", "it");
}

T_CASE(groups_and_windows_that_do_not_fit)
{
	struct net s = images();
	struct spec_op_conv2d *c = &net_window(&s, SPEC_OP_conv2d, 6, 3, 3, 1,
	    0)->u.conv2d;
	c->groups = 3;
	refuses(&s, AT, "3 groups", "4 channels in", "6 out");
	c->groups = 4;
	refuses(&s, AT, "4 groups", "4 channels in", "6 out");
	c->groups = 1;
	c->dilation[0] = 3;
	refuses(&s, AT, "kernel is 7 high with dilation", "only 6", "");
	struct net t = images();
	it(&t, SPEC_OP_shortcut_a)->u.shortcut_a.out = 3;
	refuses(&t, AT, "3 channels of 4", "only add", "it");
}

/* Each op of images gets vectors. */
T_CASE(vectors_where_images_are_wanted)
{
	static const enum spec_op ops[] = { SPEC_OP_conv2d,
		SPEC_OP_max_pool2d, SPEC_OP_avg_pool2d,
		SPEC_OP_adaptive_avg_pool2d, SPEC_OP_global_avg_pool2d,
		SPEC_OP_global_max_pool2d, SPEC_OP_shortcut_a };

	for (size_t i = 0; i < RK_ARRAY_LEN(ops); i++) {
		struct net s = vectors();
		it(&s, ops[i]);
		refuses(&s, AT, spec_op_words[ops[i]],
		    "3 dimensions, channels x height x width", "2: 3x4");
	}
}

static void
one(struct net s, enum spec_op op, union spec_op_fields u, const char *a,
    const char *b, const char *c)
{
	it(&s, op)->u = u;
	refuses(&s, AT, a, b, c);
}

#define SET(op, ...) (union spec_op_fields){ .op = { __VA_ARGS__ } }

T_CASE(dimensions_that_are_not_there)
{
	one(images(), SPEC_OP_flatten, SET(flatten, .start = 3),
	    "from dimension 3", "has 3", "it");
	one(images(), SPEC_OP_layer_norm, SET(layer_norm, .dims = 4),
	    "4 dimensions", "has 3", "it");
	one(images(), SPEC_OP_slice, SET(slice, .dim = 3), "dimension 3",
	    "has 3", "it");
	one(images(), SPEC_OP_pad, SET(pad, .dim = 3), "dimension 3", "has 3",
	    "it");
	one(images(), SPEC_OP_transpose, SET(transpose, .order = { { 1, 0 },
	    2 }), "orders 2", "has 3", "it");
	one(images(), SPEC_OP_transpose, SET(transpose, .order = { { 1, 0, 3 },
	    3 }), "3 in it", "0 to 2", "it");
	one(images(), SPEC_OP_transpose, SET(transpose, .order = { { 1, 0, 1 },
	    3 }), "1 twice", "0 to 2", "it");
}

T_CASE(parts_and_shapes_that_are_not_there)
{
	one(images(), SPEC_OP_slice, SET(slice, .dim = 1, .start = 2, .end = 7),
	    "2 to 7", "which has 6", "it");
	one(images(), SPEC_OP_slice, SET(slice, .dim = 1, .start = -7),
	    "-7 to 0", "which has 6", "it");
	one(images(), SPEC_OP_slice, SET(slice, .dim = 1, .start = 3, .end = 3),
	    "3 to 3", "which has 6", "it");
	one(images(), SPEC_OP_slice, SET(slice, .dim = 1, .start = 3,
	    .end = -4), "3 to -4", "which has 6", "it");
	one(images(), SPEC_OP_reshape, SET(reshape, .shape = { { 7, 17 }, 2 }),
	    "7x17 of 4x6x5", "120", "it");
	one(images(), SPEC_OP_reshape, SET(reshape, .shape = { { -1, 7 }, 2 }),
	    "-1x7 of 4x6x5", "120", "it");
	one(images(), SPEC_OP_reshape, SET(reshape, .shape = { { -1, -1 },
	    2 }), "more than one -1", "", "it");
	one(images(), SPEC_OP_reshape, SET(reshape, .shape = { { 120, 0 },
	    2 }), "has a 0", "", "it");
	one(images(), SPEC_OP_reshape, SET(reshape, .shape = { { 1 << 24,
	    1 << 24, 1 << 24, 1 << 24 }, 4 }), "16777216x16777216", "120",
	    "it");
}

/* --- sizes ---------------------------------------------------------------- */

T_CASE(sizes_that_overflow)
{
	struct net s = images();
	for (int i = 0; i < 3; i++) {
		struct spec_op_pad *p = &net_add(&s, SPEC_OP_pad)->u.pad;
		p->dim = i;
		p->before = p->after = SPEC_MAX_WIDTH;
	}
	refuses(&s, "model.layers[2]", "33554436x33554438x5", "2,147,483,647",
	    "2");
	struct net t = images();
	struct spec_op_adaptive_avg_pool2d *a =
	    &net_add(&t, SPEC_OP_adaptive_avg_pool2d)->u.adaptive_avg_pool2d;
	a->size[0] = a->size[1] = 1024;
	for (int i = 0; i < 6; i++) {
		char *name = t.names[t.m.nlayers - 1];
		net_from(&t, net_add(&t, SPEC_OP_concat), name, name, name);
	}
	refuses(&t, "model.layers[7]", "2916x1024x1024", "2,147,483,647", "");
	struct net u = tokens();
	struct spec_layer *l = it(&u, SPEC_OP_embedding);
	l->u.embedding.rows = l->u.embedding.width = SPEC_MAX_WIDTH;
	refuses(&u, "model.layers[0]", "it.weight has 16777216x16777216",
	    "2,147,483,648", "");
	struct net v = vectors();
	l = net_from(&v, it(&v, SPEC_OP_attention), "v", "v", "v");
	v.d[0] = 1 << 20;
	l->u.attention.heads = 4;
	refuses(&v, AT, "4x1048576x1048576", "too many", "it");
}

/* --- one value for a batch norm ------------------------------------------- */

T_CASE(a_batch_norm_of_one_value_may_not_be_trained)
{
	struct rk_why why = { 0 };
	struct net s = vectors();

	net_add_as(&s, SPEC_OP_flatten, "f");
	it(&s, SPEC_OP_batch_norm);
	net_build(&s, 4);
	t_eq_int(nn_may_train(s.nn, 2, &why), RK_OK);
	t_eq_int(nn_may_train(s.nn, 1, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, AT);
	t_has(why.v[0].message, "it (batch_norm)");
	t_has(why.v[0].message, "a batch of 1");
	rk_why_fini(&why);
	nn_free(s.nn);
	/* Over the places of an image one row is enough. */
	struct net t = images();
	it(&t, SPEC_OP_batch_norm);
	net_build(&t, 4);
	t_eq_int(nn_may_train(t.nn, 1, &why), RK_OK);
	nn_free(t.nn);
}

T_MAIN
