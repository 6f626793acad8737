/* `model.layers`: every op's settings, groups, inputs by name, the flattens of
 * version 1, and what is refused. */
#include "spec_common.h"

/* The tiny job with these layers. */
static char *
with_layers(const char *layers)
{
	return xasprintf("model: {arch: null, sizes: null, layers: [%s]}",
	    layers);
}

static struct spec *
layers_of(const char *layers)
{
	char *c = with_layers(layers);
	struct spec *s = job_with(c);

	free(c);
	return s;
}

static void
digest_of(const char *layers, char hex[RK_SHA256_HEX])
{
	struct spec *s = layers_of(layers);

	spec_digest(s, hex);
	spec_free(s);
}

/* A job that is its own normal form again; the normal form, parsed. */
static struct spec *
again(const struct spec *a)
{
	char *first = normal(a), ha[RK_SHA256_HEX], hb[RK_SHA256_HEX];
	struct rk_why w = {0};
	struct spec *b;

	if (spec_parse_text(first, strlen(first), false, &b, &w) != RK_OK)
		t_fail("%s: %s", first, rk_why_first(&w));
	char *second = normal(b);
	t_eq_str(second, first);
	spec_digest(a, ha);
	spec_digest(b, hb);
	t_eq_str(ha, hb);
	free(first);
	free(second);
	return b;
}

/* --- every op ------------------------------------------------------------- */

/* A value of the field that is not its default and that fits beside the others
 * of these; NULL: the op takes one alone. */
static char *
odd(const struct spec_field *f)
{
	static const struct {
		const char *key, *value;
	} by_key[] = {
		{ "kernel", "[7, 6]" }, { "padding", "[2, 1]" },
		{ "stride", "[3, 2]" }, { "dilation", "[2, 3]" },
		{ "size", "[3, 5]" }, { "shape", "[-1, 3, 2]" },
		{ "order", "[1, 0, 2]" }, { "tied", "base" },
		{ "rows", "9" }, { "padding_index", "4" }, { "start", "-3" },
		{ "end", "-1" }, { "groups", "3" }, { "value", "-2.5" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(by_key); i++)
		if (strcmp(by_key[i].key, f->key) == 0 &&
		    !(f->lo >= 0 && by_key[i].value[0] == '-') &&
		    !(f->kind == SPEC_KIND_INT && by_key[i].value[0] == '['))
			return xstrdup(by_key[i].value);
	const double most = fmin(f->hi, f->lo + 7);
	switch (f->kind) {
	case SPEC_KIND_INT:
		return xasprintf("%d", (int)most - ((int)most == f->def));
	case SPEC_KIND_REAL:
		return xasprintf("%.17g", f->lo + (most - f->lo) / 3);
	case SPEC_KIND_BOOL:
		return xstrdup(f->def != 0 ? "false" : "true");
	case SPEC_KIND_WORD:
		/* The second of "a|b". */
		return xasprintf("%.*s", (int)strcspn(strchr(f->words, '|') +
		    1, "|"), strchr(f->words, '|') + 1);
	default:
		t_fail("no odd value for %s", f->key);
	}
}

/* {type: OP, name: it, inputs: ..., FIELDS}; only: one field beside those that
 * must be given, else all. */
static char *
layer_with(enum spec_op op, const struct spec_field *only)
{
	const struct spec_form *form = &spec_ops[op];
	struct strbuf b = {0};

	sb_addf(&b, "{type: linear, out: 6, name: base}, {type: %s, name: it",
	    form->word);
	for (int i = 0; form->min > 1 && i < form->min; i++)
		sb_addf(&b, "%sbase", i == 0 ? ", inputs: [" : ", ");
	sb_addf(&b, "%s", form->min > 1 ? "]" : "");
	for (const struct spec_field *f = form->fields; f->key != NULL; f++) {
		const bool list = f->kind == SPEC_KIND_INTS;
		if (only != NULL && f != only && !isnan(f->def) && !list)
			continue;
		char *v = odd(f);
		sb_addf(&b, ", %s: %s", f->key, v);
		free(v);
	}
	sb_addf(&b, "}, {type: linear, out: 2, inputs: it}");
	return sb_detach(&b);
}

T_CASE(every_op_with_odd_settings_is_its_own_normal_form)
{
	for (int op = 0; op < SPEC_OP_COUNT; op++) {
		char *layers = layer_with((enum spec_op)op, NULL);
		struct spec *a = layers_of(layers), *b = again(a);
		union spec_op_fields x, y, def;

		t_eq_int(a->model.nlayers, b->model.nlayers);
		t_eq_int(a->model.layers[1].type, op);
		x = a->model.layers[1].u;
		y = b->model.layers[1].u;
		if (op == SPEC_OP_linear) {
			t_eq_str(x.linear.tied, "base");
			t_eq_str(y.linear.tied, "base");
			x.linear.tied = y.linear.tied = NULL;
		}
		t_check(memcmp(&x, &y, sizeof(x)) == 0);
		/* None of its fields has been left as it is by default. */
		spec_op_defaults((enum spec_op)op, &def);
		if (spec_ops[op].fields[0].key != NULL)
			t_check(memcmp(&x, &def, sizeof(x)) != 0);
		free(layers);
		spec_free(a);
		spec_free(b);
	}
}

T_CASE(the_digest_sees_each_setting_of_each_op)
{
	for (int op = 0; op < SPEC_OP_COUNT; op++) {
		char plain[RK_SHA256_HEX], hex[RK_SHA256_HEX];
		/* No field but those that must be there. */
		static const struct spec_field none = { .key = "" };
		char *layers = layer_with((enum spec_op)op, &none);

		digest_of(layers, plain);
		free(layers);
		for (const struct spec_field *f = spec_ops[op].fields;
		    f->key != NULL; f++) {
			if (isnan(f->def) || f->kind == SPEC_KIND_INTS)
				continue;
			layers = layer_with((enum spec_op)op, f);
			digest_of(layers, hex);
			if (strcmp(hex, plain) == 0)
				t_fail("%s leaves the digest", layers);
			free(layers);
		}
	}
}

T_CASE(a_default_that_is_said_leaves_the_digest)
{
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];

	digest_of("{type: conv2d, out: 4, kernel: 3}, {type: avg_pool2d, "
	    "kernel: 2}, batch_norm, {type: linear, out: 2}", a);
	digest_of("{type: conv2d, out: 4, kernel: 3, groups: 1, dilation: 1, "
	    "stride: 1}, {type: avg_pool2d, kernel: 2, count_include_pad: "
	    "true, ceil_mode: false}, {type: batch_norm, convention: torch}, "
	    "{type: linear, out: 2, tied: null}", b);
	t_eq_str(b, a);
}

T_CASE(paddles_momentum_is_its_own_unless_said)
{
	struct spec *s = layers_of("{type: batch_norm, convention: paddle}, "
	    "{type: batch_norm, convention: paddle, momentum: 0.1}, "
	    "batch_norm, {type: linear, out: 2}"), *b = again(s);

	t_near(b->model.layers[0].u.batch_norm.momentum, 0.9, 0);
	t_near(b->model.layers[1].u.batch_norm.momentum, 0.1, 0);
	t_near(b->model.layers[2].u.batch_norm.momentum, 0.1, 0);
	spec_free(s);
	spec_free(b);
}

/* --- groups and names ----------------------------------------------------- */

static void
layer_is(const struct spec *s, int i, const char *name, const char *inputs)
{
	const struct spec_layer *l = &s->model.layers[i];
	struct strbuf b = {0};

	for (int k = 0; k < l->ninputs; k++)
		sb_addf(&b, "%s%s", k > 0 ? " " : "", l->inputs[k]);
	t_eq_str(l->name, name);
	t_eq_str(sb_str(&b), inputs);
	sb_fini(&b);
}

T_CASE(repeats_in_repeats_name_their_copies_and_find_their_inputs)
{
	static const char layers[] =
	    "{type: conv2d, name: stem, out: 4, kernel: 1}, "
	    "{repeat: 2, name: stage, layers: [{type: relu, name: in}, "
	    "{repeat: 2, name: block, layers: ["
	    "{type: conv2d, name: conv, out: 4, kernel: 1}, "
	    "{type: add, name: sum, inputs: [conv, in]}, "
	    "{type: add, inputs: [sum, stem]}]}, "
	    "{type: add, inputs: [block.1.2, in]}]}, "
	    "{type: linear, out: 2, name: fc, inputs: stage.1.2}, "
	    "{repeat: 1, layers: [{type: linear, out: 2, tied: fc}]}";
	static const struct {
		const char *name, *inputs;
	} want[] = {
		{ "stem", "" },
		{ "stage.0.in", "" },
		{ "stage.0.block.0.conv", "" },
		{ "stage.0.block.0.sum", "stage.0.block.0.conv stage.0.in" },
		{ "stage.0.block.0.2", "stage.0.block.0.sum stem" },
		{ "stage.0.block.1.conv", "" },
		{ "stage.0.block.1.sum", "stage.0.block.1.conv stage.0.in" },
		{ "stage.0.block.1.2", "stage.0.block.1.sum stem" },
		{ "stage.0.2", "stage.0.block.1.2 stage.0.in" },
		{ "stage.1.in", "" },
		{ "stage.1.block.0.conv", "" },
		{ "stage.1.block.0.sum", "stage.1.block.0.conv stage.1.in" },
		{ "stage.1.block.0.2", "stage.1.block.0.sum stem" },
		{ "stage.1.block.1.conv", "" },
		{ "stage.1.block.1.sum", "stage.1.block.1.conv stage.1.in" },
		{ "stage.1.block.1.2", "stage.1.block.1.sum stem" },
		{ "stage.1.2", "stage.1.block.1.2 stage.1.in" },
		{ "fc", "stage.1.2" },
		{ "3.0.0", "" },
	};
	struct spec *s = layers_of(layers), *b = again(s);

	t_eq_int(s->model.nlayers, RK_ARRAY_LEN(want));
	for (int i = 0; i < s->model.nlayers; i++) {
		layer_is(s, i, want[i].name, want[i].inputs);
		layer_is(b, i, want[i].name, want[i].inputs);
	}
	t_eq_str(b->model.layers[18].u.linear.tied, "fc");
	spec_free(s);
	spec_free(b);
}

/* The innermost that has the name, and what the data give where none has. */
T_CASE(a_name_means_the_nearest_layer_before)
{
	struct spec *s = layers_of("{type: linear, out: 2, name: a, "
	    "inputs: input}, {repeat: 2, name: g, layers: ["
	    "{type: add, name: x, inputs: [a, a]}, {type: relu, name: a}, "
	    "{type: add, name: y, inputs: [a, g.0.x]}]}, "
	    "{type: relu, name: input}, {type: linear, out: 2, "
	    "inputs: [input]}"), *b = again(s);

	layer_is(b, 0, "a", "input");
	layer_is(b, 1, "g.0.x", "a a");
	layer_is(b, 3, "g.0.y", "g.0.a g.0.x");
	/* The second copy begins before it has an a of its own. */
	layer_is(b, 4, "g.1.x", "a a");
	layer_is(b, 6, "g.1.y", "g.1.a g.0.x");
	layer_is(b, 8, "3", "input");
	spec_free(s);
	spec_free(b);
}

/* --- version 1 ------------------------------------------------------------ */

static void
layers_are(const char *layers, const char *names)
{
	struct spec *s = layers_of(layers), *b = again(s);
	struct strbuf t = {0};

	t_eq_int(s->model.nlayers, b->model.nlayers);
	for (int i = 0; i < b->model.nlayers; i++)
		sb_addf(&t, "%s%s", i > 0 ? " " : "", b->model.layers[i].name);
	t_eq_str(sb_str(&t), names);
	sb_fini(&t);
	spec_free(s);
	spec_free(b);
}

#define LINEAR "{type: linear, out: 2}"
#define CONV   "{type: conv2d, out: 2, kernel: 1}"

T_CASE(a_chain_of_version_1_gets_its_flattens)
{
	layers_are(LINEAR, "0.flatten 0");
	layers_are(LINEAR ", relu, " LINEAR, "0.flatten 0 1 2");
	layers_are(CONV ", relu, batch_norm, " LINEAR, "0 1 2 3.flatten 3");
	layers_are(CONV ", flatten, dropout, " LINEAR, "0 1 2 3");
	layers_are("{repeat: 2, name: g, layers: [" CONV "]}, " LINEAR,
	    "g.0.0 g.1.0 1.flatten 1");
}

T_CASE(a_graph_of_version_2_gets_none)
{
	layers_are(LINEAR ", silu, " LINEAR, "0 1 2");
	layers_are("{type: linear, out: 2, inputs: input}", "0");
	layers_are(CONV ", global_avg_pool2d, " LINEAR, "0 1 2");
}

/* Names that jobs of version 1 may have. */
T_CASE(a_flatten_that_is_put_in_takes_nobodys_name)
{
	layers_are("{type: relu, name: fc.flatten}, {type: linear, out: 2, "
	    "name: fc}", "fc.flatten fc.flatten.flatten fc");
	layers_are("{type: linear, out: 2, name: fc.flatten}, " CONV ", "
	    "{type: linear, out: 2, name: fc}", "fc.flatten.flatten "
	    "fc.flatten 1 fc.flatten.flatten.flatten fc");
	/* The longest name that a layer may have. */
	char *name = xmalloc(SPEC_NAME_MAX + 1);
	memset(name, 'n', SPEC_NAME_MAX);
	name[SPEC_NAME_MAX] = '\0';
	char *layers = xasprintf("{type: linear, out: 2, name: %s}", name);
	char *want = xasprintf("%.192s.flatten %s", name, name);
	layers_are(layers, want);
	free(layers);
	free(want);
	free(name);
}

T_CASE(the_digest_hides_flattens_of_version_1_alone)
{
	static const char fc[] = "{type: linear, out: 2, name: fc}";
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX], *c;

	c = xasprintf("relu, %s", fc);
	/* As of before, when there were none. */
	struct spec *s = layers_of(c);
	json_t *all = spec_layers_json(s->model.layers, s->model.nlayers,
	    false);
	json_t *brief = spec_layers_json(s->model.layers, s->model.nlayers,
	    true);
	t_eq_int(json_array_size(all), 3);
	t_eq_int(json_array_size(brief), 2);
	json_decref(all);
	json_decref(brief);
	spec_free(s);
	digest_of(c, a);
	free(c);
	c = xasprintf("relu, {type: flatten, name: fc.flatten}, %s", fc);
	digest_of(c, b);
	free(c);
	t_eq_str(b, a);
	/* Of version 2 the second has a layer more. */
	c = xasprintf("silu, %s", fc);
	digest_of(c, a);
	free(c);
	c = xasprintf("silu, {type: flatten, name: fc.flatten}, %s", fc);
	digest_of(c, b);
	free(c);
	t_check(strcmp(b, a) != 0);
}

/* --- refusals ------------------------------------------------------------- */

#define A "{type: linear, out: 2, name: a}, "

static const struct {
	const char *layers, *path, *words;
} rules[] = {
	/* Inputs. */
	{ A "{type: add, inputs: [a, b]}, {type: relu, name: b}",
	    "[1].inputs[1]", "is \"b\", which comes later, or is this layer" },
	{ "{type: linear, out: 2, name: block1}, {type: relu, inputs: blok1}",
	    "[1].inputs[0]", "did you mean \"block1\"?" },
	{ A "{type: add, name: s, inputs: [a, s]}", "[1].inputs[1]",
	    "in the order in which they stand" },
	{ A "{type: relu, inputs: nobody}", "[1].inputs[0]",
	    "is \"nobody\", and no layer before" },
	{ A "{type: relu, inputs: [3]}", "[1].inputs[0]",
	    "is 3, want the name of a layer" },
	{ A "{type: relu, inputs: []}", "[1].inputs",
	    "want a list of 1 to 64 names" },
	{ A "{type: relu, inputs: {x: a}}", "[1].inputs",
	    "want a list of 1 to 64 names" },
	{ A "{type: relu, inputs: [a, a]}", "[1].inputs",
	    "has 2 names, and relu takes 1, not 2" },
	{ A "add", "[1]", "add takes 2 inputs or more" },
	{ A "{type: add, inputs: a}", "[1].inputs",
	    "has 1 name, and add takes 2 to 64" },
	{ A "{type: multiply, inputs: [a, a, a]}", "[1].inputs",
	    "has 3 names, and multiply takes 2, not 3" },
	{ A "{type: attention, heads: 1, inputs: [a, a]}", "[1].inputs",
	    "has 2 names, and attention takes 3 to 4" },
	/* Tied weights. */
	{ A "{type: linear, out: 2, tied: b}", "[1].tied",
	    "is \"b\", and no layer before has that name" },
	{ A "{type: linear, out: 2, tied: input}", "[1].tied", "no layer" },
	/* Groups. */
	{ A "{repeat: 0, layers: [relu]}", "[1].repeat",
	    "is 0, want an integer 1 to 4096" },
	{ A "{repeat: 4097, layers: [relu]}", "[1].repeat", "is 4097" },
	{ A "{layers: [relu]}", "[1].repeat", "missing" },
	{ A "{repeat: 2}", "[1].layers", "want a list of layers" },
	{ A "{repeat: 2, layers: relu}", "[1].layers",
	    "want a list of layers" },
	{ A "{repeat: 2, layers: []}", "[1].layers", "has 0 layers" },
	{ A "{repeat: 2, layers: [relu], name: 'a b'}", "[1].name",
	    "[A-Za-z0-9._-]" },
	{ A "{repeat: 2, layers: [relu], out: 3}", "[1].out",
	    "not a known field" },
	{ A "{repeat: 3, layers: [pool]}", "[1].layers[0].type", "linear" },
	{ A "{repeat: 1, name: a, layers: [{type: relu, name: x}]}, "
	    "{type: relu, name: a.0.x}", "[2].name",
	    "is \"a.0.x\", as is that of model.layers[1].layers[0]" },
	{ A "{repeat: 1, layers: [{repeat: 1, layers: [{repeat: 1, layers: ["
	    "{repeat: 1, layers: [{repeat: 1, layers: [relu]}]}]}]}]}",
	    "[1].layers[0].layers[0].layers[0].layers[0]",
	    "is a group inside 4 others, at most 4" },
	{ A "{repeat: 1000, layers: [{repeat: 1000, layers: [relu]}]}", "",
	    "has more than 4096 layers with each repeat written out" },
	{ A "{repeat: 4096, layers: [{repeat: 4096, layers: [{repeat: 4096, "
	    "layers: [{repeat: 4096, layers: [relu, relu]}]}]}]}", "",
	    "has more than 4096 layers with each repeat written out" },
	/* Settings of ops of version 2. */
	{ A "{type: reshape}", "[1].shape", "missing" },
	{ A "{type: reshape, shape: [1, 2, 3, 4, 5]}", "[1].shape",
	    "has 5 numbers, want 1 to 4" },
	{ A "{type: embedding, rows: 3}", "[1].width", "missing" },
	{ A "{type: embedding, rows: 3, width: 2, index: name}", "[1].index",
	    "is \"name\", want input, position, zero or segment" },
	{ A "{type: conv2d, out: 2, kernel: 1, groups: 0}", "[1].groups",
	    "is 0" },
	{ A "{type: batch_norm, convention: tf}", "[1].convention",
	    "want torch or paddle" },
	{ A "{type: leaky_relu, slope: 2}", "[1].slope", "is 2" },
	{ A "{type: hard_sigmoid, slope: 0}", "[1].slope", "above 0" },
	{ A "{type: attention, heads: 0, inputs: [a, a, a]}", "[1].heads",
	    "is 0" },
	{ A "{type: relu, slope: 1}", "[1].slope",
	    "is for leaky_relu and hard_sigmoid, not for relu" },
};

T_CASE(each_rule_of_a_list_is_refused_with_its_path_and_sentence)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(rules); i++) {
		char *c = with_layers(rules[i].layers);
		char *path = xasprintf("model.layers%s", rules[i].path);
		refused(c, path, rules[i].words);
		free(c);
		free(path);
	}
}

T_CASE(names_that_groups_make_too_long_are_refused)
{
	char *name = xmalloc(101), *c;

	memset(name, 'n', 100);
	name[100] = '\0';
	c = xasprintf("model: {arch: null, sizes: null, layers: [" A
	    "{repeat: 2, name: %s, layers: [{type: relu, name: %s}]}]}", name,
	    name);
	refused(c, "model.layers[1].layers[0].name", "want at most 200");
	free(c);
	c = xasprintf("model: {arch: null, sizes: null, layers: [" A
	    "{repeat: 2, name: %s, layers: [{repeat: 2, name: %s, layers: "
	    "[relu]}]}]}", name, name);
	refused(c, "model.layers[1].layers[0].name",
	    "makes names of more than 200 characters");
	free(c);
	free(name);
}

T_CASE(more_layers_than_there_may_be_are_refused_flattens_counted)
{
	json_t *v = tree_with("model: {arch: null, sizes: null, layers: []}");
	json_t *a = json_object_get(json_object_get(v, "model"), "layers");
	struct rk_why w = {0};
	struct spec *s = NULL;

	for (int i = 0; i < SPEC_MAX_LAYERS; i++)
		json_array_append_new(a, i % 2 == 0 ?
		    json_pack("{s:s, s:i, s:i}", "type", "conv2d", "out", 1,
		    "kernel", 1) : json_pack("{s:s, s:i}", "type", "linear",
		    "out", 2));
	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	one_fault(&w, "4096 layers", "model.layers",
	    "has more than 4096 layers");
	json_array_append_new(a, json_string("relu"));
	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	one_fault(&w, "4097 layers", "model.layers",
	    "has 4097 layers, want 1 to 4096");
	json_decref(v);
}

/* What follows from a fault is not a fault of its own. */
T_CASE(a_fault_before_a_group_does_not_hide_its_layers)
{
	json_t *v = tree_with("{name: '', model: {arch: null, sizes: null, "
	    "layers: [{repeat: 2, name: g, layers: [{type: linear, out: 2, "
	    "name: x}]}, {type: add, inputs: [g.0.x, g.1.x]}], outputs: "
	    "{logits: g.1.x}}}");
	struct rk_why w = {0};
	struct spec *s = NULL;

	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	one_fault(&w, "a name", "name", "");
	json_decref(v);
}

T_CASE(outputs_name_layers_and_have_logits)
{
	static const char model[] = "model: {arch: null, sizes: null, layers: ["
	    A "{type: relu, name: b, inputs: a}], outputs: %s}";
	static const struct {
		const char *outputs, *path, *words;
	} bad[] = {
		{ "{logits: c}", "model.outputs.logits",
		    "is \"c\", want the name of a layer" },
		{ "{logits: 3}", "model.outputs.logits", "is 3, want" },
		{ "{features: b}", "model.outputs", "has no logits" },
		{ "[a]", "model.outputs", "want at most 16 of NAME: LAYER" },
		{ "{logits: a, 'x y': b}", "model.outputs.x y", "is no name" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		char *outputs = xasprintf(model, bad[i].outputs);
		refused(outputs, bad[i].path, bad[i].words);
		free(outputs);
	}
	char *good = xasprintf(model, "{logits: a, features: b}");
	struct spec *s = job_with(good), *b = again(s);
	t_eq_int(b->model.noutputs, 2);
	spec_free(s);
	spec_free(b);
	free(good);
}

T_MAIN
