/* The normal form, the digest, and the files a job names. */
#include <sys/stat.h>

#include "spec_common.h"

/* One of each arch, optimiser, schedule, source and normalisation. */
static const char *const variants[] = {
	"{}",
	"{labels: {b: x, a: y}, metadata: {k: \"two\\nlines, \\u00e9\"}, "
	    "hold: true, priority: -3, retries: 0, "
	    "resources: {threads: 3, memory: 1.5GiB}}",
	"{model: {arch: lenet5, sizes: null, classes: 12, strict: false, "
	    "checkpoint: 'job://x/best'}}",
	"{model: {activation: gelu}, training: {optimizer: {type: sgd, "
	    "learning_rate: 0.1, momentum: 0.9, nesterov: true}, "
	    "schedule: {type: step, step_size: 10, warmup_epochs: 2}}}",
	"{training: {epochs: null, steps: 70, optimizer: rmsprop, "
	    "schedule: {type: multistep, milestones_epochs: [1, 2]}}}",
	"{training: {optimizer: {type: adamw, betas: [0.1, 0.2]}, "
	    "schedule: {type: polynomial, length: 10, power: 0.3}, "
	    "seed: 9007199254740992, resume_from: 'step:7', "
	    "gradient_clip_norm: 0.3333333333333333}}",
	"{training: {schedule: {type: linear, length_epochs: 2}, loss: mse}, "
	    "data: {normalize: {mean: 0.1, std: [0.3]}}}",
	"{training: {schedule: {type: cosine, length_epochs: 0, "
	    "warmup_epochs: 0}}, data: {normalize: none, validation: null, "
	    "validation_split: 0.25}, checkpoint: {every: {seconds: 1.5}, "
	    "keep: {mode: max, metric: val_loss, best: 0}}}",
	"{model: {arch: null, sizes: null, input: [3, 8, 8], layers: ["
	    "{type: conv2d, out: 4, kernel: [3, 1], padding: 1, stride: 2}, "
	    "batch_norm, {type: dropout, p: 0.3}, {type: max_pool2d, "
	    "kernel: 2}, {type: avg_pool2d, kernel: 3, padding: 1}, tanh, "
	    "sigmoid, gelu, flatten, {type: linear, out: 2, name: fc, "
	    "bias: false}]}}",
	/* Nothing as it is by default, so that what is left out is missed. */
	"{training: {epochs: 3, steps: 9, batch_size: 7, drop_last: true, "
	    "shuffle: false, seed: 5, log_every: 3, exact: require, resume_from: best, "
	    "warm_start: {learning_rate_scale: 0.5}, "
	    "loss: {type: cross_entropy, label_smoothing: 0.25}, "
	    "optimizer: {type: rmsprop, learning_rate: 0.5, momentum: 0.5, "
	    "weight_decay: 0.5, alpha: 0.5, eps: 0.5, centered: true}, "
	    "schedule: {type: polynomial, power: 2, length_epochs: 2, "
	    "min_learning_rate: 0.1, warmup_steps: 3, on_resume: restart, "
	    "warmup_start_factor: 0.5}}, checkpoint: {every: {steps: 3, "
	    "seconds: 4, epochs: 5}, keep: {last: 7, best: 8, metric: loss, "
	    "mode: max}}}",
	"{data: {validation: null, validation_split: 0.25, split_seed: 7, "
	    "split: {stratify: true}}}",
	"{data: {validation: null, validation_split: 0.25}, model: "
	    "{checkpoint: /m}}",
	"{data: {validation: null, validation_split: 0.25, split_seed: 1, "
	    "split: {stratify: false}}, model: {checkpoint: /m}}",
	"{training: {schedule: {type: cosine, length: 7, "
	    "min_learning_rate: 1e-4}}}",
	"{training: {optimizer: {type: sgd, learning_rate: 0.5, "
	    "momentum: 0.5, dampening: 0.5, weight_decay: 0.5}, "
	    "schedule: {type: step, step_size_epochs: 2, gamma: 0.5, "
	    "warmup_epochs: 2}}}",
	"{training: {optimizer: {type: adam, betas: [0.5, 0.6], eps: 0.5, "
	    "weight_decay: 0.5}, schedule: {type: linear, end_factor: 0.5, "
	    "length: 3}}}",
	"{training: {schedule: {type: multistep, milestones: [3, 4], "
	    "gamma: 0.5}}, model: {arch: null, sizes: null, layers: ["
	    "{type: batch_norm, eps: 0.5, momentum: 0.5, name: b}, "
	    "{type: avg_pool2d, kernel: [4, 5], stride: [2, 3], "
	    "padding: [1, 2]}, {type: max_pool2d, kernel: [4, 5], "
	    "stride: 1}]}}",
	"{model: {checkpoint: 's3://b/a key#3#sha256=" PIN "'}, data: "
	    "{train: {images: 'https://h:8443/x?v=1', labels: 'oss://b/l'}}, "
	    "checkpoint: {push: 's3://b/team', require_remote: true}}",
	"{data: {normalize: standard, train: {type: csv, images: null, "
	    "labels: null, path: rel/x.csv, label: y, header: true, "
	    "delimiter: ;}, validation: {type: csv, images: null, "
	    "labels: null, path: /y.csv, label: -2, header: false}}}",
	/* Younger than before[] below. */
	"{data: {normalize: {type: scale, mean: [0.5, 0.4, 0.3]}, train: "
	    "{type: cifar, images: null, labels: null, path: [/a, 's3://b/c']}, "
	    "validation: {type: cifar, images: null, labels: null, path: "
	    "[/d]}}}",
	"{data: {validation: null, normalize: standard, train: {type: cifar, "
	    "images: null, labels: null, path: /a, classes: 100, label: "
	    "coarse}}}",
	"{data: {train: {type: synthetic, images: null, labels: null, shape: "
	    "[3, 8, 8], samples: 100}, validation: {type: synthetic, images: "
	    "null, labels: null, shape: [3, 8, 8], samples: 10, seed: 2}}}",
	"{data: {validation: null, train: {type: synthetic, images: null, "
	    "labels: null, tokens: 16, vocabulary: 1000, classes: 2, samples: "
	    "50, seed: 9}}}",
	"{data: {train: {type: npy, images: null, path: /x.npy, labels: "
	    "'s3://b/y.npy', shape: [1, 28, 28]}, validation: {type: npy, "
	    "images: null, path: /v.npy, labels: /w.npy}}}",
	"{data: {validation: null, train: {type: npz, images: null, path: "
	    "/x.npz, labels: null, features: ids, vocabulary: 30000}}}",
	"{training: {optimizer: {type: adagrad, lr_decay: 0.25, eps: 0.5, "
	    "initial_accumulator_value: 0.125, weight_decay: 0.5, no_decay: "
	    "['*.bias', '*bn*']}, parameters: [{match: 'fc.*', "
	    "learning_rate_scale: 0.5, weight_decay: 0.25, trainable: false}, "
	    "{match: '?'}], gradient_clip_value: 0.75, ema: {decay: 0.5, "
	    "warmup: true}, schedule: {type: one_cycle, pct_start: 0.25, "
	    "div_factor: 5, final_div_factor: 50, anneal: linear, length: "
	    "9}}}",
	"{training: {optimizer: {type: lamb, betas: [0.5, 0.6], eps: 0.5, "
	    "weight_decay: 0.5}, schedule: {type: reduce_on_plateau, factor: "
	    "0.5, patience: 3, threshold: 0.25, cooldown: 4, "
	    "min_learning_rate: 1e-4, warmup_epochs: 2, warmup: paddle}}}",
	"{training: {arithmetic: fast}}",
};

/* Structs without pointers in them; xcalloc() made their padding zero. */
#define SAME(a, b, field) \
	t_check(memcmp(&(a)->field, &(b)->field, sizeof((a)->field)) == 0)

static void
same_text(const char *a, const char *b)
{
	t_check((a == NULL) == (b == NULL));
	t_check(a == NULL || strcmp(a, b) == 0);
}

static void
same_source(const struct spec_source *a, const struct spec_source *b)
{
	SAME(a, b, type);
	same_text(a->images, b->images);
	same_text(a->labels, b->labels);
	same_text(a->path, b->path);
	same_text(a->label_name, b->label_name);
	SAME(a, b, label_index);
	SAME(a, b, header);
	SAME(a, b, delimiter);
	SAME(a, b, nfiles);
	for (int i = 0; i < a->nfiles; i++)
		same_text(a->files[i], b->files[i]);
	SAME(a, b, label);
	SAME(a, b, classes);
	SAME(a, b, ndim);
	SAME(a, b, shape);
	SAME(a, b, tokens);
	SAME(a, b, vocabulary);
	SAME(a, b, samples);
	SAME(a, b, seed);
}

/* By their bytes, but for names of other layers. */
static void
same_settings(const struct spec_layer *x, const struct spec_layer *y)
{
	if (x->type == SPEC_OP_linear)
		same_text(x->u.linear.tied, y->u.linear.tied);
	else
		t_check(memcmp(&x->u, &y->u, sizeof(x->u)) == 0);
}

static void
same_model(const struct spec_model *a, const struct spec_model *b)
{
	SAME(a, b, arch);
	t_check(memcmp(&a->u, &b->u, sizeof(a->u)) == 0);
	SAME(a, b, init);
	SAME(a, b, input);
	SAME(a, b, ninput);
	SAME(a, b, strict);
	same_text(a->checkpoint, b->checkpoint);
	t_eq_int(a->nlayers, b->nlayers);
	for (int i = 0; i < a->nlayers; i++) {
		const struct spec_layer *x = &a->layers[i], *y = &b->layers[i];
		SAME(x, y, type);
		same_text(x->name, y->name);
		SAME(x, y, ninputs);
		for (int k = 0; k < x->ninputs; k++)
			same_text(x->inputs[k], y->inputs[k]);
		same_settings(x, y);
	}
}

static void
same_training(const struct spec_training *a, const struct spec_training *b)
{
	same_text(a->resume_from, b->resume_from);
	SAME(a, b, epochs);
	SAME(a, b, steps);
	SAME(a, b, batch_size);
	SAME(a, b, drop_last);
	SAME(a, b, shuffle);
	SAME(a, b, seed);
	SAME(a, b, loss);
	SAME(a, b, optim);
	SAME(a, b, schedule);
	SAME(a, b, gradient_clip_norm);
	SAME(a, b, gradient_clip_value);
	SAME(a, b, ema.decay);
	SAME(a, b, ema.warmup);
	t_eq_int(a->nno_decay, b->nno_decay);
	for (int i = 0; i < a->nno_decay; i++)
		same_text(a->no_decay[i], b->no_decay[i]);
	t_eq_int(a->ngroups, b->ngroups);
	for (int i = 0; i < a->ngroups; i++) {
		same_text(a->groups[i].match, b->groups[i].match);
		SAME(a, b, groups[i].rate);
		SAME(a, b, groups[i].decay);
		SAME(a, b, groups[i].decay_said);
		SAME(a, b, groups[i].trainable);
	}
	SAME(a, b, warm_start_lr_scale);
	SAME(a, b, log_every);
	SAME(a, b, exact);
	SAME(a, b, arithmetic);
}

static void
same(const struct spec *a, const struct spec *b)
{
	const size_t norm = sizeof(double) * (size_t)a->data.normalize.n;

	same_text(a->name, b->name);
	SAME(a, b, priority);
	SAME(a, b, threads);
	SAME(a, b, memory);
	SAME(a, b, hold);
	SAME(a, b, retries);
	t_check(json_equal(a->labels, b->labels));
	t_check(json_equal(a->metadata, b->metadata));
	same_model(&a->model, &b->model);
	same_training(&a->training, &b->training);
	same_source(&a->data.train, &b->data.train);
	SAME(a, b, data.has_validation);
	if (a->data.has_validation)
		same_source(&a->data.validation, &b->data.validation);
	SAME(a, b, data.validation_split);
	SAME(a, b, data.split_seed);
	SAME(a, b, data.stratify);
	/* A cold job's says all; of a warm start only what the job says. */
	if (a->model.checkpoint != NULL) {
		SAME(a, b, data.split_seed_said);
		SAME(a, b, data.stratify_said);
	}
	SAME(a, b, data.normalize.type);
	SAME(a, b, data.normalize.n);
	t_check(norm == 0 || (memcmp(a->data.normalize.mean,
	    b->data.normalize.mean, norm) == 0 && memcmp(a->data.normalize.std,
	    b->data.normalize.std, norm) == 0));
	SAME(a, b, checkpoint.every_steps);
	SAME(a, b, checkpoint.every_epochs);
	SAME(a, b, checkpoint.every_seconds);
	SAME(a, b, checkpoint.keep_last);
	SAME(a, b, checkpoint.keep_best);
	SAME(a, b, checkpoint.mode_max);
	same_text(a->checkpoint.metric, b->checkpoint.metric);
	same_text(a->checkpoint.push, b->checkpoint.push);
	SAME(a, b, checkpoint.require_remote);
}

T_CASE(the_normal_form_is_an_equal_job_and_its_own_normal_form)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(variants); i++) {
		struct spec *a = job_with(variants[i]), *b;
		struct rk_why w = {0};
		char *first = normal(a), ha[RK_SHA256_HEX], hb[RK_SHA256_HEX];

		if (spec_parse_text(first, strlen(first), false, &b, &w) !=
		    RK_OK)
			t_fail("%s: %s", variants[i], rk_why_first(&w));
		char *second = normal(b);
		t_eq_str(second, first);
		same(a, b);
		spec_digest(a, ha);
		spec_digest(b, hb);
		t_eq_str(ha, hb);
		free(first);
		free(second);
		spec_free(a);
		spec_free(b);
	}
}

T_CASE(the_normal_form_holds_every_field_of_a_short_job)
{
	struct spec *s = job_with("{}");
	char *text = normal(s);

	t_eq_str(text, "{\"checkpoint\":{\"every\":{\"epochs\":1,"
	    "\"seconds\":0.0,\"steps\":0},\"keep\":{\"best\":1,\"last\":3,"
	    "\"metric\":\"val_accuracy\",\"mode\":\"max\"},\"require_remote\":false},\"data\":{"
	    "\"normalize\":{\"type\":\"scale\"},\"train\":{\"images\":\"/d/i\","
	    "\"labels\":\"/d/l\",\"type\":\"idx\"},\"validation\":{\"images\":"
	    "\"/d/vi\",\"labels\":\"/d/vl\",\"type\":\"idx\"}},\"hold\":false,"
	    "\"labels\":{},\"metadata\":{},\"model\":{\"activation\":\"relu\","
	    "\"arch\":\"mlp\",\"init\":\"torch\",\"sizes\":[4,3,2],"
	    "\"strict\":true},"
	    "\"name\":\"tiny\",\"priority\":0,\"resources\":{},"
	    "\"retries\":3,\"training\":{\"arithmetic\":\"exact\","
	    "\"batch_size\":64,"
	    "\"drop_last\":false,\"epochs\":2,\"exact\":\"prefer\","
	    "\"gradient_clip_norm\":0.0,"
	    "\"log_every\":50,\"loss\":{\"label_smoothing\":0.0,\"type\":"
	    "\"cross_entropy\"},\"optimizer\":{\"betas\":[0.9,0.999],"
	    "\"eps\":1e-08,\"learning_rate\":0.001,\"type\":\"adam\","
	    "\"weight_decay\":0.0},\"resume_from\":\"latest\",\"schedule\":{"
	    "\"type\":\"constant\",\"warmup_start_factor\":0.0,"
	    "\"warmup_steps\":0},\"seed\":1,\"shuffle\":true,\"steps\":0,"
	    "\"warm_start\":{\"learning_rate_scale\":0.2}}}");
	free(text);
	spec_free(s);
}

static void
digest_of(const char *changes, char hex[RK_SHA256_HEX])
{
	struct spec *s = job_with(changes);

	spec_digest(s, hex);
	spec_free(s);
}

T_CASE(the_digest_does_not_see_what_decides_no_weight)
{
	static const char *const same[] = {
		"name: other", "labels: {a: b}", "priority: 7", "hold: true",
		"retries: 9", "resources: {threads: 7, memory: 7GB}",
		"metadata: {a: b}", "checkpoint: {every: {steps: 9}}",
		"training: {resume_from: none}", "training: {log_every: 1}",
		"training: {exact: require}",
		/* What a job of before the field means. */
		"training: {arithmetic: exact}",
		/* Said or not, other order, other spelling. */
		"training: {batch_size: 64, shuffle: true}",
		"training: {optimizer: {learning_rate: 1e-3, type: adam}}",
		"data: {normalize: {type: scale}}",
	};
	static const char *const other[] = {
		"training: {seed: 2}", "training: {epochs: 3}",
		"model: {sizes: [4, 2]}", "model: {strict: false}",
		"data: {train: {images: /e}}",
		"training: {optimizer: {type: adam, eps: 1e-7}}",
		"training: {arithmetic: fast}",
	};
	char base[RK_SHA256_HEX], hex[RK_SHA256_HEX];

	digest_of("{}", base);
	for (size_t i = 0; i < RK_ARRAY_LEN(same); i++) {
		digest_of(same[i], hex);
		if (strcmp(hex, base) != 0)
			t_fail("%s changes the digest", same[i]);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(other); i++) {
		digest_of(other[i], hex);
		if (strcmp(hex, base) == 0)
			t_fail("%s leaves the digest", other[i]);
	}
}

/* The first of `variants`, by the version before the fields that spec.h calls
 * young: the beginnings of the digest and of SHA-256 of the record's text. */
static const char *const before[][2] = {
	{ "c0df77504bee3134", "c2fe8bedc9c2ecc8" },
	{ "c0df77504bee3134", "c2fe8bedc9c2ecc8" },
	{ "b9b4b56bddf510ff", "b818e90ff94e29a2" },
	{ "1577b6bef25035b5", "60db0a914b6a1e1a" },
	{ "21a6e2a007d888a1", "cbb8135cd81eb40f" },
	{ "1e8cb346019adfd6", "3033c0ca413d9fb3" },
	{ "08dfa7800276bcb5", "eaf5923ab28321cc" },
	{ "c73ca1847413176d", "b99b921cc0e2089b" },
	{ "ff391e5475195cf7", "1ecd1dc88a7c5329" },
	{ "9dda831e48f71c07", "2d610a90d00666f7" },
	{ "43aef0abe23761b1", "5d1cf8ff8e754fa2" },
	{ "4a0fa05a22a642cb", "90be4ee852f2c671" },
	{ "4a1b7abf1b083395", "1bd1c46d2d94deb7" },
	{ "a601ee4b2aa066a2", "ebbef35c25bd436b" },
	{ "de02e08f27811827", "82b86d2ad5926de0" },
	{ "686776bda23a165d", "cacaf3eb3ffba771" },
	{ "052594ee37303cd0", "e24e6e90f999cf3e" },
	{ "bb4e486ffe71033f", "6c8141a45f968d69" },
	{ "6f1f9e80fd38dd1b", "a698ffcc5bce2ca0" },
};

T_CASE(jobs_of_before_have_the_digest_and_the_record_that_they_had)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(before); i++) {
		struct spec *s = job_with(variants[i]);
		char hex[RK_SHA256_HEX];
		json_t *v = spec_record(s);
		char *text = rkj_text(v);

		spec_digest(s, hex);
		if (strncmp(hex, before[i][0], 16) != 0)
			t_fail("%s has another digest: %s", variants[i], hex);
		rk_sha256_of(text, strlen(text), hex);
		if (strncmp(hex, before[i][1], 16) != 0)
			t_fail("%s has another record: %s", variants[i], text);
		free(text);
		json_decref(v);
		spec_free(s);
	}
}

static const char *
arithmetic_in(const json_t *tree)
{
	return json_string_value(json_object_get(json_object_get(tree,
	    "training"), "arithmetic"));
}

/* A job that is new is another than the stored one with the same text. */
T_CASE(what_is_stored_without_arithmetic_is_exact_and_what_is_new_is_fast)
{
	struct spec *stored = job_with("{}"), *fresh = job_with("{}");
	struct spec *says = job_with("training: {arithmetic: exact}");
	struct spec *const all[] = { stored, fresh, says };
	static const char *const want[] = { "exact", "fast", "exact" };

	t_check(!stored->training.arithmetic_said);
	spec_begin_new(fresh);
	spec_begin_new(says);
	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++) {
		json_t *v = spec_json(all[i]), *record = spec_record(all[i]);
		struct spec *again = must_parse(json_incref(v));
		t_eq_str(arithmetic_in(v), want[i]);
		t_check(again->training.arithmetic_said);
		t_eq_int(again->training.arithmetic,
		    all[i]->training.arithmetic);
		/* exact is what a record without the field means. */
		if (i == 1)
			t_eq_str(arithmetic_in(record), "fast");
		else
			t_check(arithmetic_in(record) == NULL);
		json_decref(record);
		json_decref(v);
		spec_free(again);
		spec_free(all[i]);
	}
}

T_CASE(a_record_without_arithmetic_is_held_against_as_exact)
{
	struct spec *old = job_with("{}");
	struct spec *now = job_with("training: {arithmetic: fast}");
	json_t *record = spec_record(old), *changed = NULL;

	t_eq_int(spec_compare(record, old, &changed, NULL), RK_OK);
	t_eq_int((int)json_object_size(changed), 0);
	json_decref(changed);
	t_eq_int(spec_compare(record, now, &changed, NULL), RK_OK);
	char *text = rkj_text(changed);
	t_eq_str(text, "{\"training.arithmetic\":[null,\"fast\"]}");
	free(text);
	json_decref(changed);
	json_decref(record);
	spec_free(old);
	spec_free(now);
}

/* As of before, so that their old checkpoints are of the same job. */
T_CASE(the_digest_of_a_job_from_before_split_seed_is_what_it_was)
{
	static const char split[] = "data: {validation: null, "
	    "validation_split: 0.1}";
	char hex[RK_SHA256_HEX], other[RK_SHA256_HEX];

	digest_of(split, hex);
	t_eq_str(hex, "12364193c8df4a6c2f9ebee6eb6a1b88"
	    "708616602d8374765ed00147dc053869");
	digest_of("{model: {checkpoint: /m}, data: {validation: null, "
	    "validation_split: 0.1}}", hex);
	t_eq_str(hex, "f258125177ffd82cb3689aac8c861901"
	    "d3ec48101bcd930d4ee57a68eeb46022");
	digest_of("{model: {checkpoint: /m}, data: {validation: null, "
	    "validation_split: 0.1, split_seed: 1}}", other);
	t_check(strcmp(hex, other) != 0);
	digest_of(split, hex);
	digest_of("data: {validation: null, validation_split: 0.1, "
	    "split: {stratify: true}}", other);
	t_check(strcmp(hex, other) != 0);
	digest_of("data: {validation: null, validation_split: 0.1, "
	    "split_seed: 2}", other);
	t_check(strcmp(hex, other) != 0);
}

T_CASE(the_digest_is_the_same_in_any_order_of_fields)
{
	char base[RK_SHA256_HEX], hex[RK_SHA256_HEX];
	struct spec *s = must_parse(yaml("data:\n"
	    "  validation: {labels: /d/vl, images: /d/vi, type: idx}\n"
	    "  train: {labels: /d/l, images: /d/i, type: idx}\n"
	    "training: {epochs: 2}\n"
	    "model: {sizes: [4, 3, 2], arch: mlp}\nname: t\n"));

	digest_of("{}", base);
	spec_digest(s, hex);
	t_eq_str(hex, base);
	spec_free(s);
}

/* --- files --------------------------------------------------------------- */

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	t_check(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char here[] = "name: f\nmodel: {arch: lenet5, "
    "checkpoint: ./m.safetensors}\ntraining: {epochs: 1}\ndata: {train: "
    "{type: idx, images: i.gz, labels: /abs/l}, validation_split: 0.1}\n";

T_CASE(relative_paths_are_taken_from_the_jobs_folder)
{
	struct rk_why w = {0};
	struct spec *s = NULL;
	char cwd[4096], want[5000];

	t_check(getcwd(cwd, sizeof(cwd)) != NULL && mkdir("sub", 0700) == 0);
	write_file("sub/job.yaml", here);
	t_eq_int(spec_load("sub/job.yaml", &s, &w), RK_OK);
	snprintf(want, sizeof(want), "%s/sub/i.gz", cwd);
	t_eq_str(s->data.train.images, want);
	t_eq_str(s->data.train.labels, "/abs/l");
	snprintf(want, sizeof(want), "%s/sub/m.safetensors", cwd);
	t_eq_str(s->model.checkpoint, want);
	spec_free(s);
	/* From the folder itself. */
	t_eq_int(chdir("sub"), 0);
	t_eq_int(spec_load("job.yaml", &s, &w), RK_OK);
	t_eq_str(s->model.checkpoint, want);
	spec_free(s);
}

T_CASE(a_job_file_ending_in_json_is_json)
{
	struct rk_why w = {0};
	struct spec *s = NULL;

	write_file("a.json", "{\"name\": bare}");
	t_eq_int(spec_load("a.json", &s, &w), RK_EINVAL);
	t_has(rk_why_first(&w), "JSON");
	rk_why_fini(&w);
	t_eq_int(spec_load("none.yaml", &s, &w), RK_ENOENT);
	t_has(rk_why_first(&w), "cannot read none.yaml");
	rk_why_fini(&w);
	t_check(spec_load(".", &s, &w) != RK_OK);
	t_check(w.n == 1);
	rk_why_fini(&w);
}

T_CASE(files_that_are_not_there_are_named)
{
	struct rk_why w = {0};
	struct spec *s = NULL;
	char cwd[4096];

	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	write_file("job.yaml", here);
	write_file("i.gz", "");
	t_eq_int(mkdir("m.safetensors", 0700), 0);
	t_eq_int(spec_load("job.yaml", &s, &w), RK_OK);
	t_eq_int(spec_check_files(s, true, &w), RK_EINVAL);
	t_eq_int(w.n, 2);
	t_eq_str(w.v[0].path, "data.train.labels");
	t_has(w.v[0].message, "is \"/abs/l\": there is no such file");
	t_eq_str(w.v[1].path, "model.checkpoint");
	t_has(w.v[1].message, "which is a folder, want a file");
	rk_why_fini(&w);
	spec_free(s);
}

T_CASE(relative_paths_are_refused_where_they_mean_nothing)
{
	struct rk_why w = {0};
	struct spec *s = job_with("{model: {checkpoint: m}, data: "
	    "{validation: null, train: {images: i, labels: l}}}");

	write_file("i", "");
	write_file("l", "");
	write_file("m", "");
	t_eq_int(spec_check_files(s, false, &w), RK_OK);
	t_eq_int(spec_check_files(s, true, &w), RK_EINVAL);
	t_eq_int(w.n, 3);
	t_has(w.v[0].message, "is \"i\", want an absolute path");
	rk_why_fini(&w);
	spec_free(s);
}

T_CASE(files_of_a_list_are_made_absolute_and_looked_for_one_by_one)
{
	struct rk_why w = {0};
	struct spec *s = NULL;
	char cwd[4096], want[5000];

	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	write_file("a.bin", "");
	write_file("job.yaml", "name: a\nmodel: {arch: mlp, sizes: [3072, 2]}\n"
	    "training: {epochs: 1}\ndata: {train: {type: cifar, path: [a.bin, "
	    "'s3://b/k', ./b.bin]}, validation: {type: cifar, path: c.bin}}\n");
	t_eq_int(spec_load("job.yaml", &s, &w), RK_OK);
	snprintf(want, sizeof(want), "%s/a.bin", cwd);
	t_eq_str(s->data.train.files[0], want);
	t_eq_str(s->data.train.files[1], "s3://b/k");
	snprintf(want, sizeof(want), "%s/b.bin", cwd);
	t_eq_str(s->data.train.files[2], want);
	t_eq_int(spec_check_files(s, true, &w), RK_EINVAL);
	t_eq_int(w.n, 2);
	t_eq_str(w.v[0].path, "data.train.path[2]");
	t_eq_str(w.v[1].path, "data.validation.path");
	rk_why_fini(&w);
	spec_free(s);
}

T_CASE(images_may_lie_in_a_folder_and_their_list_may_not_be_one)
{
	struct rk_why w = {0};
	struct spec *s = job_with("data: {validation: null, train: {type: "
	    "image_folder, images: null, labels: null, path: /, list: /}}");

	t_eq_int(spec_check_files(s, false, &w), RK_EINVAL);
	t_eq_int(w.n, 1);
	t_eq_str(w.v[0].path, "data.train.list");
	t_has(w.v[0].message, "is a folder, want a file");
	rk_why_fini(&w);
	spec_free(s);
	s = job_with("data: {validation: null, train: {type: csv, images: "
	    "null, labels: null, path: /, label: y}}");
	t_eq_int(spec_check_files(s, false, &w), RK_EINVAL);
	t_has(w.v[0].message, "is a folder, want a file");
	rk_why_fini(&w);
	spec_free(s);
}

T_CASE(a_jobs_checkpoint_is_not_looked_for_on_disk)
{
	struct rk_why w = {0};
	struct spec *s = job_with("{model: {checkpoint: 'job://a/best'}, data: "
	    "{validation: null, train: {images: i, labels: i}}}");

	write_file("i", "");
	t_eq_int(spec_check_files(s, false, &w), RK_OK);
	spec_free(s);
}

T_CASE(addresses_are_neither_made_absolute_nor_looked_for)
{
	struct rk_why w = {0};
	struct spec *s = NULL;

	write_file("job.yaml", "name: a\nmodel: {arch: mlp, sizes: [4, 2], "
	    "checkpoint: 's3://b/m.safetensors'}\ntraining: {epochs: 1}\n"
	    "data: {train: {type: csv, path: 'https://h/x.csv', label: y}, "
	    "validation: {type: csv, path: 'oss://b/y.csv', label: y}}\n");
	t_eq_int(spec_load("job.yaml", &s, &w), RK_OK);
	t_eq_str(s->model.checkpoint, "s3://b/m.safetensors");
	t_eq_str(s->data.train.path, "https://h/x.csv");
	t_eq_str(s->data.validation.path, "oss://b/y.csv");
	t_eq_int(spec_check_files(s, true, &w), RK_OK);
	t_eq_int(w.n, 0);
	spec_free(s);
}

/* Said of a version alone; a file that took its place leaves nothing of it. */
T_CASE(what_was_said_of_a_version_is_in_the_normal_form_and_in_no_digest)
{
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	struct spec *s = job_with("model: {checkpoint: 'model://m/3'}");
	struct spec *t = job_with("model: {checkpoint: 'model://m/3', "
	    "checkpoint_said: 'MODEL://m@production'}");
	json_t *record = spec_record(t), *tree = spec_json(t);

	t_eq_str(t->model.said, "model://m@production");
	t_eq_str(json_string_value(json_object_get(json_object_get(tree,
	    "model"), "checkpoint_said")), "model://m@production");
	t_check(json_object_get(json_object_get(record, "model"),
	    "checkpoint_said") == NULL);
	spec_digest(s, a);
	spec_digest(t, b);
	t_eq_str(a, b);
	json_decref(record);
	json_decref(tree);
	spec_free(s);
	spec_free(t);
	s = job_with("model: {checkpoint: /f, checkpoint_said: 'model://m@p'}");
	t_check(s->model.said == NULL);
	spec_free(s);
}

T_CASE(the_digest_sees_where_bytes_lie_and_what_pins_them)
{
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];

	digest_of("data: {train: {images: 's3://b/i'}}", a);
	digest_of("data: {train: {images: 's3://b/i'}, validation: {labels: "
	    "'/d/vl'}}", b);
	t_eq_str(a, b);
	digest_of("data: {train: {images: 's3://b/i#sha256=" PIN "'}}", b);
	t_check(strcmp(a, b) != 0);
	digest_of("{data: {train: {images: 's3://b/i'}}, checkpoint: {push: "
	    "'s3://b/p', require_remote: true}}", b);
	t_eq_str(a, b);
}

T_CASE(a_file_without_permission_is_refused)
{
	struct rk_why w = {0};
	struct spec *s = job_with("data: {validation: null, train: "
	    "{images: i, labels: /dev/null}}");

	write_file("i", "");
	t_eq_int(chmod("i", 0), 0);
	t_eq_int(spec_check_files(s, false, &w), RK_EINVAL);
	t_has(w.v[w.n - 1].message, "no regular file");
	if (access("i", R_OK) != 0)
		t_has(w.v[0].message, "may not read i (mode 0000");
	rk_why_fini(&w);
	spec_free(s);
}

T_MAIN
