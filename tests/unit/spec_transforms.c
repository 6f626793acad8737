/* data.transforms of a job: what it may say, its normal form and its sizes. */
#include "spec_common.h"

#define CIFAR "train: {type: cifar, path: /d/x, images: null, labels: null}, " \
	"validation: null"
#define OF_CIFAR(t) "data: {" CIFAR ", transforms: {" t "}}"
#define OF_IDX(t) "data: {transforms: {" t "}}"
#define TOKENS "data: {train: {type: synthetic, images: null, labels: null, " \
	"tokens: 8, vocabulary: 30, samples: 9}, validation: null, "
#define CSV "data: {train: {type: csv, path: /x, label: y, images: null, " \
	"labels: null}, validation: null, "

static struct spec *
again(const struct spec *s)
{
	return must_parse(spec_json(s));
}

/* The normal form is one: read again it is the same. */
static void
stays(const char *changes)
{
	struct spec *s = job_with(changes), *t = again(s);
	char *a = normal(s), *b = normal(t);
	char hex[2][RK_SHA256_HEX];

	t_eq_str(a, b);
	spec_digest(s, hex[0]);
	spec_digest(t, hex[1]);
	t_eq_str(hex[0], hex[1]);
	free(a);
	free(b);
	spec_free(s);
	spec_free(t);
}

T_CASE(the_normal_form_of_each_transform_is_read_as_it_was)
{
	stays(OF_CIFAR("train: [{type: resize, size: 40}, {type: random_crop, "
	    "size: [32, 30], padding: 4, fill: 7}, hflip, {type: vflip, p: "
	    "0.25}, {type: rotate, degrees: 10, interpolation: bilinear}, "
	    "{type: color_jitter, brightness: 0.4, hue: 0.1}, {type: "
	    "random_erasing, noise: true}, {type: mixup, alpha: 0.2}, cutmix], "
	    "validation: [{type: resize, size: [40, 41]}, {type: center_crop, "
	    "size: [32, 30]}]"));
	stays(OF_IDX("train: [{type: random_resized_crop, size: 24, scale: "
	    "[0.5, 1], ratio: [1, 1]}], validation: [{type: resize, size: "
	    "[24, 24]}]"));
	stays(TOKENS "transforms: {train: [{type: random_mask, token: 3}]}}");
}

T_CASE(a_word_has_the_defaults_of_torchvision)
{
	struct spec *s = job_with(OF_CIFAR("train: [{type: "
	    "random_resized_crop, size: 32}, hflip, random_erasing, mixup]"));
	const struct spec_transforms *t = &s->data.train_transforms;

	t_eq_int(t->n, 4);
	t_near(t->v[0].u.random_resized_crop.scale[0], 0.08, 0);
	t_near(t->v[0].u.random_resized_crop.ratio[1], 4.0 / 3, 0);
	t_near(t->v[1].u.hflip.p, 0.5, 0);
	t_near(t->v[2].u.random_erasing.p, 0.5, 0);
	t_near(t->v[2].u.random_erasing.scale[1], 0.33, 0);
	t_near(t->v[3].u.mixup.alpha, 1, 0);
	spec_free(s);
}

T_CASE(a_job_without_transforms_has_the_digest_of_before)
{
	struct spec *s = job_with("{}"), *t = job_with(OF_IDX("train: []"));
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	char *text = normal(s);

	t_check(strstr(text, "transforms") == NULL);
	free(text);
	spec_digest(s, a);
	spec_digest(t, b);
	t_eq_str(a, b);
	spec_free(t);
	t = job_with(OF_IDX("train: [hflip]"));
	spec_digest(t, b);
	t_check(strcmp(a, b) != 0);
	spec_free(s);
	spec_free(t);
}

T_CASE(normalize_in_a_list_is_data_normalize)
{
	struct spec *s = job_with(OF_CIFAR("train: [hflip, {type: normalize, "
	    "mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.1]}, random_erasing], "
	    "validation: [{type: normalize, mean: [0.5, 0.4, 0.3], std: [0.2, "
	    "0.2, 0.1]}]"));
	struct spec *t = job_with("data: {" CIFAR ", normalize: {mean: [0.5, "
	    "0.4, 0.3], std: [0.2, 0.2, 0.1]}, transforms: {train: [hflip, "
	    "random_erasing]}}");
	char *a = normal(s), *b = normal(t);

	t_eq_str(a, b);
	free(a);
	free(b);
	spec_free(s);
	spec_free(t);
}

T_CASE(what_a_list_may_not_say_is_refused_by_its_path)
{
	static const struct {
		const char *changes, *path, *words;
	} rules[] = {
		{ "data: {transforms: [hflip]}", "data.transforms",
		    "want an object" },
		{ OF_IDX("train: hflip"), "data.transforms.train",
		    "is \"hflip\", want a list" },
		{ OF_IDX("test: [hflip]"), "data.transforms.test",
		    "not a known field" },
		{ OF_IDX("train: [5]"), "data.transforms.train[0]",
		    "want an object" },
		{ OF_IDX("train: [hflip, flip]"),
		    "data.transforms.train[1].type", "is \"flip\"" },
		{ OF_IDX("train: [{p: 1}]"), "data.transforms.train[0].type",
		    "missing" },
		{ OF_IDX("train: [{type: hflip, q: 1}]"),
		    "data.transforms.train[0].q", "not a known field" },
		{ OF_IDX("train: [{type: hflip, size: 8}]"),
		    "data.transforms.train[0].size", "is for resize, "
		    "center_crop, random_crop and random_resized_crop, not for "
		    "hflip" },
		{ OF_IDX("train: [{type: hflip, p: 2}]"),
		    "data.transforms.train[0].p", "is 2" },
		{ OF_IDX("train: [resize]"), "data.transforms.train[0].size",
		    "missing" },
		{ OF_IDX("train: [{type: resize, size: 0}]"),
		    "data.transforms.train[0].size", "or [height, width]" },
		{ OF_IDX("train: [{type: resize, size: [1, 2, 3]}]"),
		    "data.transforms.train[0].size", "or [height, width]" },
		{ OF_IDX("train: [{type: random_resized_crop, size: 8, scale: "
		    "[0.5, 0.2]}]"), "data.transforms.train[0].scale",
		    "the first not above the second" },
		{ OF_IDX("train: [resize]"), "data.transforms.train[0].size",
		    "is missing, want an integer 1 to 8192 or [height, "
		    "width]" },
		{ OF_IDX("train: [{type: random_resized_crop, size: 8, ratio: "
		    "1}]"), "data.transforms.train[0].ratio", "[from, to]" },
		{ OF_IDX("train: [{type: mixup, alpha: 0}]"),
		    "data.transforms.train[0].alpha", "above 0" },
		{ OF_IDX("train: [{type: rotate, degrees: 10, interpolation: "
		    "cubic}]"), "data.transforms.train[0].interpolation",
		    "want nearest or bilinear" },
		/* The order. */
		{ OF_IDX("train: [normalize, {type: resize, size: 8}]"),
		    "data.transforms.train[1].type", "is resize, which works "
		    "on pixels, behind normalize, which makes numbers of "
		    "pixels: want it before that" },
		{ OF_IDX("train: [random_erasing, hflip]"),
		    "data.transforms.train[1].type", "behind random_erasing" },
		{ OF_IDX("train: [random_erasing, normalize]"),
		    "data.transforms.train[1].type", "behind random_erasing" },
		{ OF_IDX("train: [mixup, random_erasing]"),
		    "data.transforms.train[1].type", "works on whole batches" },
		{ OF_IDX("train: [normalize, normalize]"),
		    "data.transforms.train[1].type", "a second time" },
		{ OF_IDX("train: [mixup, mixup]"),
		    "data.transforms.train[1].type", "a second time" },
		/* What is random is not for validation. */
		{ OF_IDX("validation: [hflip]"),
		    "data.transforms.validation[0].type", "which is random" },
		/* What is of no pictures, and of no tokens. */
		{ CSV "transforms: {train: [hflip]}}",
		    "data.transforms.train[0].type", "is hflip, which is for "
		    "pictures, and csv gives none" },
		{ TOKENS "transforms: {train: [hflip]}}",
		    "data.transforms.train[0].type", "for pictures" },
		{ OF_IDX("train: [random_mask]"),
		    "data.transforms.train[0].type", "for tokens" },
		/* One scale, said once. */
		{ "data: {normalize: none, transforms: {train: [normalize]}}",
		    "data.normalize", "and data.transforms.train[0] say the "
		    "same thing" },
		{ OF_IDX("train: [{type: normalize, mean: 0.1}], validation: "
		    "[{type: normalize, mean: 0.2}]"),
		    "data.transforms.validation[0]",
		    "is another than data.transforms.train[0]" },
		{ OF_IDX("train: [hflip, {type: normalize, std: 0}]"),
		    "data.transforms.train[1].std", "above 0" },
		{ OF_IDX("train: [{type: normalize, p: 1}]"),
		    "data.transforms.train[0].p", "not a known field" },
		/* Sizes. */
		{ OF_CIFAR("train: [{type: random_crop, size: 24}]"),
		    "data.transforms.validation", "makes pictures of 32 x 32, "
		    "and those of training are 24 x 24" },
		{ OF_CIFAR("train: [{type: resize, size: 5000}], validation: "
		    "[{type: resize, size: 5000}]"), "data.transforms.train",
		    "more than the 16777216 numbers" },
		/* Labels that are mixed. */
		{ "{training: {loss: mse}, " OF_IDX("train: [mixup]") "}",
		    "data.transforms.train[0]", "is for cross_entropy" },
		{ "{training: {loss: {class_weights: [1, 2]}}, "
		    OF_IDX("train: [mixup]") "}",
		    "data.transforms.train[0]",
		    "training.loss.class_weights" },
		{ "{training: {loss: {ignore_index: 3}}, "
		    OF_IDX("train: [hflip, cutmix]") "}",
		    "data.transforms.train[1]", "training.loss.ignore_index" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(rules); i++)
		refused(rules[i].changes, rules[i].path, rules[i].words);
}

T_CASE(sizes_are_those_of_torchvision)
{
	static const struct {
		const char *list;
		int64_t h, w, to_h, to_w;
	} cases[] = {
		{ "[{type: resize, size: 256}]", 375, 500, 256, 341 },
		{ "[{type: resize, size: 256}]", 500, 375, 341, 256 },
		{ "[{type: resize, size: 256}]", 400, 400, 256, 256 },
		{ "[{type: resize, size: 256}]", 0, 0, 0, 0 },
		{ "[{type: resize, size: [30, 20]}]", 0, 0, 30, 20 },
		{ "[{type: resize, size: 256}, {type: center_crop, size: "
		    "224}]", 0, 0, 224, 224 },
		{ "[{type: random_crop, size: [32, 30], padding: [4, 3]}]",
		    24, 24, 32, 30 },
		{ "[{type: random_resized_crop, size: 224}, hflip]", 10, 10,
		    224, 224 },
		{ "[hflip, color_jitter]", 28, 28, 28, 28 },
		/* What is smaller is padded, whether its size is known or
		 * not. */
		{ "[{type: center_crop, size: 33}]", 32, 32, 33, 33 },
		{ "[{type: center_crop, size: 33}]", 0, 0, 33, 33 },
		{ "[{type: random_crop, size: [32, 41], padding: 4}]", 32, 32,
		    32, 41 },
		{ "[{type: resize, size: 224}, {type: center_crop, size: "
		    "256}]", 0, 0, 256, 256 },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(cases); i++) {
		char *text = xasprintf("data: {transforms: {train: %s}}",
		    cases[i].list);
		struct spec *s = job_with(text);
		struct rk_why why = { 0 };
		int64_t to[2];
		t_eq_int(spec_transforms_size(&s->data.train_transforms, "t",
		    cases[i].h, cases[i].w, to, &why), RK_OK);
		t_eq_int(to[0], cases[i].to_h);
		t_eq_int(to[1], cases[i].to_w);
		spec_free(s);
		free(text);
	}
}

/* What has changed since the record, as far as that is allowed. */
static void
may_change(const json_t *record, const struct spec *s, const char *want)
{
	struct rk_why why = { 0 };
	json_t *changed = NULL;

	if (spec_compare(record, s, &changed, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	char *text = rkj_text(changed);
	t_eq_str(text, want);
	free(text);
	json_decref(changed);
}

T_CASE(transforms_of_training_may_change_on_a_resume_and_no_others)
{
	struct spec *s = job_with(OF_CIFAR("train: [hflip]"));
	struct spec *t = job_with(OF_CIFAR("train: [vflip]"));
	struct spec *v = job_with(OF_CIFAR("train: [hflip], validation: "
	    "[{type: center_crop, size: 32}]"));
	struct spec *none = job_with("data: {" CIFAR "}");
	json_t *record = spec_record(s);
	struct rk_why why = { 0 };

	may_change(record, s, "{}");
	may_change(record, t, "{\"data.transforms.train\":[[{\"p\":0.5,"
	    "\"type\":\"hflip\"}],[{\"p\":0.5,\"type\":\"vflip\"}]]}");
	may_change(record, none, "{\"data.transforms.train\":[[{\"p\":0.5,"
	    "\"type\":\"hflip\"}],[]]}");
	t_eq_int(spec_compare(record, v, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "data.transforms.validation");
	t_has(why.v[0].message, "start a new job with model.checkpoint");
	rk_why_fini(&why);
	json_decref(record);
	/* A record of before transforms has none. */
	record = spec_record(none);
	may_change(record, none, "{}");
	may_change(record, s, "{\"data.transforms.train\":[[],[{\"p\":0.5,"
	    "\"type\":\"hflip\"}]]}");
	t_eq_int(spec_compare(record, v, NULL, &why), RK_EINVAL);
	rk_why_fini(&why);
	json_decref(record);
	spec_free(s);
	spec_free(t);
	spec_free(v);
	spec_free(none);
}

T_MAIN
