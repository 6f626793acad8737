/* Where networks keep images blocked, and where they change layouts. */
#include "ops.h"
#include "t.h"

static struct nn *
outline(const char *model, enum nn_layouts layouts, struct spec **sp)
{
	char *text = xasprintf("name: a\nmodel: %s\ntraining: {epochs: 1}\n"
	    "data: {train: {type: idx, images: /i, labels: /l}}\n", model);
	struct rk_why why = { 0 };
	struct nn *n = NULL;

	if (spec_parse_text(text, strlen(text), true, sp, &why) != RK_OK)
		t_fail("%.200s: %s", model, rk_why_first(&why));
	free(text);
	const struct nn_want w = { .model = &(*sp)->model,
		.loss = &(*sp)->training.loss, .batch = 16,
		.memory_limit = UINT64_MAX, .layouts = layouts };
	if (nn_outline(&n, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return n;
}

struct count {
	int copies, views;              /* of images in another layout */
	int convs, blocked;             /* ... that give blocked images */
	int plain;                      /* nodes between, with plain images */
};

static struct count
count(const struct nn *n)
{
	struct count c = { 0 };

	for (int i = 0; i < n->g.norder; i++) {
		const struct nn_node *nd = &n->g.nodes[n->g.order[i]];
		const struct nn_value *y = nn_y(&n->g, nd);
		const bool added = nd - n->g.nodes >= n->g.nlayers;
		c.copies += nd->op == &nn_op_reorder;
		c.views += added && nd->op == &nn_op_identity;
		if (added || y->ndim != 3)
			continue;
		c.convs += nd->op == &nn_op_conv2d;
		c.blocked += nd->op == &nn_op_conv2d &&
		    y->layout == KERNEL_BLOCKED;
		c.plain += y->layout == KERNEL_PLAIN;
	}
	return c;
}

/* Does a fact of this CPU, on which the choice depends, begin so? */
static bool
fact_is(const char *key, const char *begins)
{
	struct kernel_fact v[KERNEL_FACTS];

	for (size_t i = 0; i < kernel_arithmetic(v); i++)
		if (strcmp(v[i].key, key) == 0)
			return strncmp(v[i].value, begins, strlen(begins)) == 0;
	return false;
}

static bool
is_fast(void)
{
	return !fact_is("loops", "plain");
}

/* Plain at the input, blocked to the mean of each channel, whose vectors are
 * both: no copy is made.  Where oneDNN convolves, the first convolution of
 * resnet50 may be worth one. */
T_CASE(residual_networks_copy_no_image_to_change_its_layout)
{
	static const char *const models[] = {
		"{arch: resnet20, input: [3, 32, 32]}",
		"{arch: resnet18, stem: cifar, input: [3, 32, 32]}",
		"{arch: resnet50, input: [3, 224, 224]}",
		"{arch: resnet50_vd, input: [3, 224, 224]}",
		"{arch: mobilenet_v3_large, input: [3, 224, 224]}",
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(models); i++) {
		struct spec *s;
		struct nn *n = outline(models[i], NN_CHOSEN, &s);
		const struct count c = count(n);
		t_check(c.copies <= (i == 2 && fact_is("conv", "oneDNN")));
		t_check(n->g.vals[0].layout == KERNEL_PLAIN);
		if (is_fast() && i < 3) {
			t_eq_int(c.blocked, c.convs);
			t_eq_int(c.plain, 0);
			t_eq_int(c.views, 1);
		}
		nn_free(n);
		spec_free(s);
	}
}

static const char branches[] = "{input: [3, 12, 12], layers: ["
    "{type: conv2d, out: 32, kernel: 3, name: a},"
    "{type: conv2d, out: 32, kernel: 3, padding: 1, name: b},"
    "{type: softmax, name: s},"
    "{type: conv2d, inputs: [s], out: 32, kernel: 3, padding: 1, name: c},"
    "{type: add, inputs: [b, c], name: d},"
    "{type: conv2d, out: 9, kernel: 3, name: e}],"
    "outputs: {logits: e, inner: d}}";

/* What the caller sees, and around an op that knows no other layout. */
T_CASE(what_is_seen_from_outside_is_plain)
{
	for (enum nn_layouts l = NN_CHOSEN; l <= NN_MIXED; l++) {
		struct spec *s;
		struct nn *n = outline(branches, l, &s);
		const struct nn_graph *g = &n->g;
		t_check(g->vals[g->logits].layout == KERNEL_PLAIN);
		for (int i = 0; i < g->noutputs; i++)
			t_check(g->vals[g->outputs[i].value].layout ==
			    KERNEL_PLAIN);
		t_check(nn_x(g, &g->nodes[2], 0)->layout == KERNEL_PLAIN);
		nn_free(n);
		spec_free(s);
	}
}

/* b, which s and d read plain, has one copy for both. */
T_CASE(an_image_has_one_copy_for_all_that_want_it)
{
	struct spec *s;
	struct nn *n = outline(branches, NN_BLOCKED, &s);
	const struct count c = count(n);

	t_eq_int(c.blocked, 3);
	t_eq_int(c.copies, 2);          /* of b for s and d, of c for d */
	nn_free(n);
	spec_free(s);
	n = outline(branches, NN_PLAIN, &s);
	t_eq_int(count(n).blocked, 0);
	t_eq_int(count(n).copies, 0);
	nn_free(n);
	spec_free(s);
}

/* A copy that costs more than it saves is not made. */
T_CASE(a_small_network_stays_as_it_is)
{
	struct spec *s;
	struct nn *n = outline("{input: [1, 5, 5], layers: [{type: conv2d, "
	    "out: 1, kernel: 3}, {type: softmax}, {type: conv2d, out: 1, "
	    "kernel: 2}]}", NN_CHOSEN, &s);

	t_eq_int(count(n).copies, 0);
	nn_free(n);
	spec_free(s);
}

T_MAIN
