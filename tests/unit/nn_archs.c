/* Architectures: how many parameters they have, that they are layers like any
 * others, and what their variants decide. */
#include "rekindle/nn.h"
#include "t.h"

static struct spec *
job(const char *model)
{
	char *text = xasprintf("name: a\nmodel: %s\ntraining: {epochs: 1}\n"
	    "data: {train: {type: idx, images: /i, labels: /l}}\n", model);
	struct rk_why why = { 0 };
	struct spec *s = NULL;

	if (spec_parse_text(text, strlen(text), true, &s, &why) != RK_OK)
		t_fail("%.200s: %s", model, rk_why_first(&why));
	free(text);
	return s;
}

static struct nn *
outline(const struct spec *s)
{
	const struct nn_want w = { .model = &s->model,
		.loss = &s->training.loss, .batch = 4, .micro = 2,
		.memory_limit = UINT64_MAX };
	struct rk_why why = { 0 };
	struct nn *n = NULL;

	if (nn_outline(&n, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return n;
}

/* By the papers' and the frameworks' own counts, 1000 classes; vgg's and those
 * of the 1000 classes' heads are torchvision's and PaddleClas'. */
static const struct {
	const char *model;
	int64_t parameters;             /* 0: only that it can be built */
} archs[] = {
	{ "{arch: mlp, sizes: [784, 256, 10], activation: gelu}", 203530 },
	{ "{arch: lenet5, input: [1, 28, 28]}", 61706 },
	{ "{arch: resnet20, input: [3, 32, 32]}", 269722 },
	{ "{arch: resnet32, input: [3, 32, 32]}", 464154 },
	{ "{arch: resnet44, input: [3, 32, 32]}", 658586 },
	{ "{arch: resnet56, input: [3, 32, 32]}", 853018 },
#define IMAGE "input: [3, 224, 224]"
	{ "{arch: resnet18, " IMAGE "}", 11689512 },
	{ "{arch: resnet34, " IMAGE "}", 21797672 },
	{ "{arch: resnet50, " IMAGE "}", 25557032 },
	{ "{arch: resnet101, " IMAGE "}", 44549160 },
	{ "{arch: resnet18, variant: paddleclas, " IMAGE "}", 11693736 },
	{ "{arch: resnet34, variant: paddleclas, " IMAGE "}", 21801896 },
	{ "{arch: resnet50, variant: paddleclas, " IMAGE "}", 25557032 },
	{ "{arch: resnet18_vd, " IMAGE "}", 11712968 },
	{ "{arch: resnet34_vd, " IMAGE "}", 21821128 },
	{ "{arch: resnet50_vd, " IMAGE "}", 25576264 },
	{ "{arch: resnet50_vd, variant: torchvision, " IMAGE "}", 25576264 },
	{ "{arch: resnet18, stem: cifar, classes: 10, input: [3, 32, 32]}",
	    11173962 },
	{ "{arch: resnet18_vd, stem: cifar, input: [3, 33, 31]}", 0 },
	{ "{arch: mobilenet_v2, " IMAGE "}", 3504872 },
	{ "{arch: mobilenet_v2, variant: paddleclas, " IMAGE "}", 3505960 },
	{ "{arch: mobilenet_v3_small, " IMAGE "}", 2542856 },
	{ "{arch: mobilenet_v3_large, " IMAGE "}", 5483032 },
	{ "{arch: mobilenet_v3_small, variant: paddleclas, " IMAGE "}",
	    2939958 },
	{ "{arch: mobilenet_v3_large, variant: paddleclas, " IMAGE "}",
	    5480206 },
	{ "{arch: pplcnet_x0_5, " IMAGE "}", 1879576 },
	{ "{arch: pplcnet_x1_0, " IMAGE "}", 2952520 },
	{ "{arch: vgg11, " IMAGE "}", 132863336 },
	{ "{arch: vgg16, " IMAGE "}", 138357544 },
	{ "{arch: vgg11, batch_norm: true, input: [3, 64, 64]}", 132868840 },
	{ "{arch: vgg16, variant: paddleclas, " IMAGE "}", 138353320 },
	{ "{arch: bert-base-uncased, classes: 0, input: [16]}", 109482240 },
	{ "{arch: bert-base-chinese, classes: 0, input: [16]}", 102267648 },
	{ "{arch: bert-base-uncased, input: [16], pooler: false, "
	    "token_types: 0}", 0 },
	{ "{arch: bert, input: [8], hidden: 32, depth: 2, heads: 4, "
	    "intermediate: 64, vocabulary: 100, positions: 16, variant: "
	    "paddlenlp, activation: relu, dropout: 0}", 0 },
	{ "{arch: bert, input: [8], hidden: 32, depth: 1, heads: 4, "
	    "intermediate: 64, vocabulary: 100, positions: 8, separator: 3}",
	    0 },
	{ "{arch: ernie-3.0-nano-zh, input: [16], classes: 0}", 17907240 },
	{ "{arch: textcnn, vocabulary: 1000, input: [20]}", 282502 },
	{ "{arch: textcnn, vocabulary: 1000, kernels: [2], dropout: 0, input: "
	    "[20]}", 0 },
	/* Of one's own: a relu that is folded has a name outside. */
	{ "{input: [4], init: paddle, layers: [{type: linear, out: 3, name: "
	    "\"1\"}, {type: relu, name: r}, {type: linear, out: 2, name: "
	    "last}], outputs: {logits: last, inner: r}}", 23 },
};

T_CASE(architectures_have_as_many_parameters_as_elsewhere)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(archs); i++) {
		struct spec *s = job(archs[i].model);
		struct nn *n = outline(s);
		struct nn_sizes z;

		nn_sizes(n, &z);
		if (archs[i].parameters > 0 &&
		    z.parameters != archs[i].parameters)
			t_fail("%s has %lld parameters, want %lld",
			    archs[i].model, (long long)z.parameters,
			    (long long)archs[i].parameters);
		nn_free(n);
		spec_free(s);
	}
}

/* The architecture's layers, written out and read again, are the same program. */
static void
written_out(const char *model, const struct spec *s, const struct nn *n)
{
	char was[RK_SHA256_HEX], is[RK_SHA256_HEX];
	json_t *layers = nn_layers(n);
	char *text = rkj_yaml(layers, 1);
	/* As the block that `model:` has. */
	struct strbuf in = { 0 };

	nn_digest(n, was);
	sb_adds(&in, "\n  ");
	for (const char *c = text; *c != '\0'; c++) {
		sb_addc(&in, *c);
		if (*c == '\n')
			sb_adds(&in, "  ");
	}
	struct spec *again = job(sb_str(&in));
	struct nn *m = outline(again);
	nn_digest(m, is);
	if (strcmp(was, is) != 0)
		t_fail("%s written out is another program", model);
	t_eq_int(again->model.arch, SPEC_ARCH_LAYERS);
	t_eq_int(again->model.init, s->model.init);
	sb_fini(&in);
	free(text);
	json_decref(layers);
	nn_free(m);
	spec_free(again);
}

/* A list such as an architecture may make: ops of version 1 alone, no inputs that
 * are said, and linear layers that are to take each row of [4,6] by itself. */
static void
pinned(const char *layers, size_t parameters)
{
	char *model = xasprintf("{input: [4, 6], layers: [%s]}", layers);
	struct spec *s = job(model);
	struct nn_sizes z;

	for (int i = 0; i < s->model.nlayers; i++) {
		struct spec_layer *l = &s->model.layers[i];
		for (int k = 0; k < l->ninputs; k++)
			free(l->inputs[k]);
		free(l->inputs);
		l->inputs = NULL;
		l->ninputs = 0;
	}
	struct nn *n = outline(s);
	nn_sizes(n, &z);
	t_eq_int(z.parameters, parameters);
	written_out(model, s, n);
	nn_free(n);
	spec_free(s);
	free(model);
}

T_CASE(layers_that_look_like_version_1_are_not_flattened_when_they_are_read_again)
{
	pinned("{type: linear, out: 5, inputs: [input]}", 6 * 5 + 5);
	pinned("{type: linear, out: 5, name: input}, {type: relu, "
	    "inputs: [input]}, {type: linear, out: 3}", 6 * 5 + 5 + 5 * 3 + 3);
	pinned("{type: relu, inputs: [input]}, flatten, "
	    "{type: linear, out: 3}", 24 * 3 + 3);
}

T_CASE(every_architecture_has_a_row_here)
{
	for (int a = SPEC_ARCH_LAYERS + 1; a < SPEC_ARCH_COUNT; a++) {
		bool found = false;
		for (size_t i = 0; !found && i < RK_ARRAY_LEN(archs); i++) {
			struct spec *s = job(archs[i].model);
			found = (int)s->model.arch == a;
			spec_free(s);
		}
		if (!found)
			t_fail("%s has none", spec_arch_words[a]);
	}
}

T_CASE(the_layers_of_an_architecture_are_a_model_of_the_same_program)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(archs); i++) {
		struct spec *s = job(archs[i].model);
		struct nn *n = outline(s);

		written_out(archs[i].model, s, n);
		nn_free(n);
		spec_free(s);
	}
}

/* A model with one field at an end of its range: refused with a sentence, or
 * a network whose layers a job may have. */
static void
at_an_end(const char *arch, const struct spec_field *f, double v)
{
	const bool list = f->kind == SPEC_KIND_INTS;
	const bool words = strcmp(arch, "bert") == 0 ||
	    strcmp(arch, "textcnn") == 0;
	const char *more = strcmp(arch, "textcnn") == 0 &&
	    strcmp(f->key, "vocabulary") != 0 ? "vocabulary: 90, " : "";
	char *model = xasprintf("{arch: %s, input: %s, %s%s: %s%.17g%s}", arch,
	    words ? "[1024]" : "[3, 64, 64]", more, f->key, list ? "[" : "", v,
	    list ? "]" : "");
	struct spec *s = job(model);
	const struct nn_want w = { .model = &s->model,
		.loss = &s->training.loss, .batch = 4, .micro = 2,
		.memory_limit = UINT64_MAX };
	struct rk_why why = { 0 };
	struct nn *n = NULL;

	if (nn_outline(&n, &w, &why) == RK_OK) {
		written_out(model, s, n);
		nn_free(n);
	} else if (rk_why_first(&why)[0] == '\0') {
		t_fail("%s is refused without a word", model);
	}
	rk_why_fini(&why);
	spec_free(s);
	free(model);
}

T_CASE(the_ends_of_an_architectures_fields_are_layers_or_refused)
{
	for (int a = SPEC_ARCH_LAYERS + 1; a < SPEC_ARCH_COUNT; a++) {
		const enum spec_family family = spec_family_of(a);

		if (family == SPEC_FAMILY_mlp)  /* two sizes at least */
			continue;
		for (const struct spec_field *f = spec_families[family].fields;
		    f->key != NULL; f++) {
			if (f->kind != SPEC_KIND_INT &&
			    f->kind != SPEC_KIND_INTS)
				continue;
			at_an_end(spec_arch_words[a], f, f->lo);
			at_an_end(spec_arch_words[a], f, f->hi);
		}
	}
}

/* The layers that have this word as their type (or all, NULL), from the first on
 * by which the model has it: a field's value as text, or "none". */
static void
layer_has(const char *model, const char *name, const char *field,
    const char *want)
{
	struct spec *s = job(model);
	struct nn *n = outline(s);
	json_t *all = nn_layers(n), *layers, *l;
	char *got = NULL;
	size_t i;

	layers = json_object_get(all, "layers");
	json_array_foreach(layers, i, l)
		if (strcmp(json_string_value(json_object_get(l, "name")),
		    name) == 0)
			got = rkj_text(json_object_get(l, field));
	if (got == NULL || strcmp(got, want) != 0)
		t_fail("%s: %s of %s is %s, want %s", model, field, name,
		    got != NULL ? got : "not there", want);
	free(got);
	json_decref(all);
	nn_free(n);
	spec_free(s);
}

T_CASE(a_variant_decides_where_frameworks_differ)
{
#define SMALL "{arch: mobilenet_v3_small, " IMAGE
	layer_has(SMALL "}", "features.1.block.1.gate", "slope",
	    "0.16666666666666666");
	layer_has(SMALL "}", "features.0.1", "eps", "0.001");
	layer_has(SMALL "}", "features.0.1", "momentum", "0.01");
	layer_has(SMALL "}", "features.0.1", "convention", "\"torch\"");
	layer_has(SMALL "}", "classifier.2", "scaling",
	    "\"upscale_in_train\"");
	layer_has(SMALL "}", "classifier.0", "bias", "true");
#undef SMALL
#define SMALL "{arch: mobilenet_v3_small, variant: paddleclas, " IMAGE
	layer_has(SMALL "}", "blocks.0.mid_se.gate", "slope", "0.2");
	layer_has(SMALL "}", "conv.bn", "eps", "1e-05");
	layer_has(SMALL "}", "conv.bn", "momentum", "0.9");
	layer_has(SMALL "}", "conv.bn", "convention", "\"paddle\"");
	layer_has(SMALL "}", "dropout", "scaling", "\"downscale_in_infer\"");
	layer_has(SMALL "}", "last_conv", "bias", "false");
	layer_has("{arch: pplcnet_x1_0, " IMAGE "}", "blocks6.0.se.gate",
	    "slope", "0.16666666666666666");
	layer_has("{arch: resnet50_vd, " IMAGE "}", "blocks.3.short.pool",
	    "count_include_pad", "false");
	layer_has("{arch: mobilenet_v2, " IMAGE "}", "dropout", "p", "0.2");
	layer_has("{arch: mobilenet_v2, variant: paddleclas, dropout: 0.3, "
	    IMAGE "}", "dropout", "p", "0.3");
	struct spec *s = job("{arch: mobilenet_v2, variant: paddleclas}");
	t_check(s->model.u.mobilenet_v2.dropout == 0);
	spec_free(s);
}

T_MAIN
