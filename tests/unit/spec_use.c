/* Jobs that use a model: what they take, their normal form, and how one is made
 * of the job that trained the model. */
#include "read.h"
#include "spec_common.h"

#define PREDICT "kind: predict\n" \
	"model: {checkpoint: /m/best.safetensors}\n" \
	"data: {inputs: [/d/a.png, /d/more]}\n"
#define EVALUATE "kind: evaluate\nmodel: {checkpoint: /m/best.safetensors}\n"
#define INPUT "{dtype: f32, shape: [4], normalize: {type: standard, count: " \
	"1, scale: [0.5], shift: [-1.0]}, columns: [a, b, c, d]}"

static json_t *
merged(const char *a, const char *b)
{
	json_t *job = yaml(MLP), *x = yaml(a), *y = yaml(b);

	rkj_merge(job, x);
	rkj_merge(job, y);
	json_decref(x);
	json_decref(y);
	return job;
}

static void
use_refused(const char *kind, const char *changes, const char *path,
    const char *words)
{
	json_t *tree = merged(kind, changes);
	struct rk_why w = {0};
	struct spec *s = NULL;

	if (spec_parse(tree, &s, &w) != RK_EINVAL)
		t_fail("not refused: %s", changes);
	json_decref(tree);
	one_fault(&w, changes, path, words);
}

static bool
has_field(const char *text, const char *field)
{
	char *quoted = xasprintf("\"%s\":", field);
	const bool is = strstr(text, quoted) != NULL;

	free(quoted);
	return is;
}

T_CASE(a_job_that_trains_has_no_kind_in_its_normal_form)
{
	struct spec *s = job_with("{kind: train}"), *t = job_with("{}");
	char *a = normal(s), *b = normal(t);

	t_eq_str(a, b);
	t_check(!has_field(a, "kind"));
	t_eq_int(s->kind, SPEC_JOB_TRAIN);
	t_check(s->data.has_train);
	free(a);
	free(b);
	spec_free(s);
	spec_free(t);
}

/* What it read as a job that trains counts for nothing. */
T_CASE(the_normal_form_of_a_prediction_has_what_counts_and_no_more)
{
	static const char *const gone[] = { "epochs", "optimizer", "schedule",
		"checkpoint_vocabulary", "validation_split", "keep", "seed" };
	struct spec *s = must_parse(merged(PREDICT, "{training: {batch_size: 7, "
	    "seed: 9, phases: [{train: [fc], epochs: 2}], loss: mse}, "
	    "checkpoint: {keep: {last: 9}}, "
	    "data: {validation: null, validation_split: 0.5}}"));
	char *text = normal(s);

	t_eq_int(s->kind, SPEC_JOB_PREDICT);
	t_eq_int(s->data.kind, SPEC_JOB_PREDICT);
	t_eq_int(s->data.ninputs, 2);
	t_eq_str(s->data.inputs[1], "/d/more");
	t_eq_int(s->training.batch_size, 7);
	t_eq_int(s->training.loss.type, SPEC_MSE);
	t_eq_int(s->training.nphases, 0);
	t_eq_int(s->training.seed, 1);
	t_eq_int(s->checkpoint.keep_last, 3);
	t_check(s->checkpoint.require_said && !s->checkpoint.require_remote);
	for (size_t i = 0; i < RK_ARRAY_LEN(gone); i++)
		if (has_field(text, gone[i]))
			t_fail("%s has %s", text, gone[i]);
	json_t *v = spec_json(s);
	struct spec *t = must_parse(v);
	char *again = normal(t);
	t_eq_str(again, text);
	free(again);
	free(text);
	spec_free(t);
	spec_free(s);
}

T_CASE(a_prediction_needs_neither_training_nor_a_form_of_its_data)
{
	struct spec *s = must_parse(merged(PREDICT, "{training: null, data: "
	    "{train: null, validation: null, inputs: [/d/a.png]}}"));
	char *text = normal(s);

	t_check(!s->data.has_train && !has_field(text, "train"));
	t_eq_int(s->data.train.type, SPEC_IMAGE_FOLDER);
	t_eq_int(s->data.ninputs, 1);
	free(text);
	spec_free(s);
}

T_CASE(an_evaluation_is_of_its_own_source_alone)
{
	struct spec *s = must_parse(merged(EVALUATE, "{data: {input: " INPUT
	    ", transforms: {train: [hflip]}}}"));
	char *text = normal(s);
	struct spec_file f[SPEC_FILES];

	t_eq_int(s->kind, SPEC_JOB_EVALUATE);
	t_check(!s->data.has_train && s->data.has_validation);
	t_eq_int(s->data.train.type, SPEC_IDX);
	t_eq_int(s->data.train_transforms.n, 1);
	t_has(text, "\"columns\":[\"a\",\"b\",\"c\",\"d\"]");
	t_eq_int(spec_files(&s->data, f), 2);
	t_eq_str(f[0].field, "data.validation.images");
	free(text);
	spec_free(s);
}

T_CASE(what_is_read_of_a_prediction_are_its_inputs_and_a_vocabulary)
{
	struct spec *s = must_parse(merged(PREDICT, "{data: {validation: null, "
	    "train: {type: text, path: /gone.csv, text: t, label: l, "
	    "images: null, labels: null, "
	    "tokenizer: {type: words, vocabulary: /v.txt}}}}"));
	struct spec_file f[SPEC_FILES];

	t_eq_int(spec_files(&s->data, f), 3);
	t_eq_str(f[0].field, "data.train.tokenizer.vocabulary");
	t_eq_str(f[2].field, "data.inputs[1]");
	t_check(f[2].folder);
	spec_free(s);
}

T_CASE(faults_of_jobs_that_use_a_model_say_the_field_and_what_is_wanted)
{
	refused("{kind: guess}", "kind", "train, predict or evaluate");
	refused("{data: {inputs: [/a]}}", "data.inputs", "for kind predict");
	refused("{data: {input: {dtype: f32, shape: [4]}}}", "data.input",
	    "kind predict and evaluate");
	use_refused(PREDICT, "{model: {checkpoint: null}}", "model.checkpoint",
	    "missing");
	use_refused(PREDICT, "{data: {inputs: null}}", "data.inputs",
	    "missing");
	use_refused(PREDICT, "{data: {inputs: []}}", "data.inputs", "1 to 64");
	use_refused(PREDICT, "{data: {inputs: [3]}}", "data.inputs[0]", "text");
	use_refused(PREDICT, "{data: {inputs: ['ftp://x/y']}}",
	    "data.inputs[0]", "ftp://x/y");
	use_refused(PREDICT, "{training: {batch: 3}}", "training.batch",
	    "batch_size");
	use_refused(PREDICT, "{report: {worst: 3}}", "report",
	    "for kind evaluate, not for predict");
	use_refused(EVALUATE, "{report: {worst: 1001}}", "report.worst",
	    "0 to 1000");
	use_refused(EVALUATE, "{data: {validation: null}}", "data.validation",
	    "missing");
}

T_CASE(what_a_sample_is_is_believed_in_no_part)
{
	use_refused(PREDICT, "{data: {input: {shape: [4]}}}",
	    "data.input.dtype", "missing");
	use_refused(PREDICT, "{data: {input: {dtype: f32, shape: [0]}}}",
	    "data.input.shape[0]", "0");
	use_refused(PREDICT, "{data: {input: {dtype: f32, shape: [4], "
	    "normalize: {type: scale, count: 2, scale: [1], shift: [1, 2]}}}}",
	    "data.input.normalize.scale", "2 numbers");
	use_refused(PREDICT, "{data: {input: {dtype: f32, shape: [4], "
	    "normalize: {type: scale, count: 1, scale: [1e300], "
	    "shift: [0]}}}}", "data.input.normalize.scale", "1 numbers");
	use_refused(PREDICT, "{data: {input: {dtype: f32, shape: [4], "
	    "columns: [1]}}}", "data.input.columns", "names");
	use_refused(PREDICT, "{data: {input: {dtype: i32, shape: [4], "
	    "tokenizer: xyz}}}", "data.input.tokenizer", "16 hexadecimal");
}

/* --- of a model's job ------------------------------------------------------- */

static struct spec *
used(const char *said, const char *of, const char *classes)
{
	json_t *asked = yaml(said), *made = of != NULL ? tree_with(of) : NULL;
	json_t *input = yaml(INPUT), *names = yaml(classes);
	json_t *tree = spec_use(asked, made, input, names);

	json_decref(asked);
	json_decref(made);
	json_decref(input);
	json_decref(names);
	return must_parse(tree);
}

T_CASE(a_model_brings_its_network_its_transforms_and_its_names)
{
	struct spec *s = used("{kind: predict, name: p, model: {checkpoint: "
	    "/m/v3}, data: {inputs: [/d/x.idx]}}", "{training: {batch_size: 3, "
	    "arithmetic: fast, distill: {weight: 0.5}}, model: {checkpoint: "
	    "/old, grow: [fc], rename: {a: b}, strict: false}, "
	    "data: {normalize: {mean: 0.5, std: 0.25}}, metadata: {a: b}}", "[cat, dog]");

	t_eq_int(s->training.batch_size, 3);
	t_eq_int(s->training.arithmetic, SPEC_ARITHMETIC_FAST);
	t_eq_str(s->model.checkpoint, "/m/v3");
	t_check(s->model.strict);
	t_eq_int(s->model.warm.ngrow + s->model.warm.nrename, 0);
	t_eq_int(s->model.warm.classes.n, 2);
	t_near(s->data.normalize.std[0], 0.25, 0);
	t_check(s->data.input != NULL);
	t_eq_int(json_object_size(s->metadata), 0);
	spec_free(s);
}

T_CASE(a_source_without_a_type_is_laid_over_the_models_own)
{
	struct spec *s = used("{kind: evaluate, name: e, model: {checkpoint: "
	    "/m/v3}, data: {validation: {images: /n/i}}}", "{}", "null");

	t_eq_str(s->data.validation.images, "/n/i");
	t_eq_str(s->data.validation.labels, "/d/vl");
	spec_free(s);
	s = used("{kind: evaluate, name: e, model: {checkpoint: /m/v3}, "
	    "data: {validation: {images: /n/i}}}", "{data: {validation: null, "
	    "validation_split: 0.5}}", "[]");
	t_eq_str(s->data.validation.labels, "/d/l");
	spec_free(s);
	s = used("{kind: evaluate, name: e, model: {checkpoint: /m/v3}}", "{}",
	    "null");
	t_eq_str(s->data.validation.images, "/d/vi");
	spec_free(s);
}

T_CASE(a_model_of_which_no_job_is_known_needs_all_of_it)
{
	struct spec *s = used("{kind: predict, name: p, model: {checkpoint: "
	    "/m/f.pdparams, arch: mlp, sizes: [4, 2], dialect: paddle}, "
	    "data: {inputs: [/d/x.npy]}}", NULL, "null");

	t_eq_int(s->model.warm.dialect, SPEC_DIALECT_PADDLE);
	t_eq_int(s->training.batch_size, 64);
	spec_free(s);
}

T_CASE(a_resume_changes_neither_kind_nor_inputs)
{
	json_t *tree = merged(PREDICT, "{}"), *o = yaml("{kind: train, data: "
	    "{inputs: [/other]}, priority: 3}");
	struct rk_why w = {0};
	struct spec *s = NULL;

	t_eq_int(spec_override(tree, o, &s, NULL, &w), RK_EINVAL);
	char *all = rk_why_text(&w);
	t_has(all, "kind: is \"predict\" and cannot be changed");
	free(all);
	rk_why_fini(&w);
	json_decref(o);
	o = yaml("{data: {inputs: [/other]}}");
	t_eq_int(spec_override(tree, o, &s, NULL, &w), RK_EINVAL);
	one_fault(&w, "inputs", "data.inputs", "the predictions so far");
	json_decref(o);
	o = yaml("{priority: 3, resources: {threads: 2}}");
	t_eq_int(spec_override(tree, o, &s, NULL, &w), RK_OK);
	t_eq_int(s->priority, 3);
	spec_free(s);
	json_decref(o);
	json_decref(tree);
}

T_CASE(relative_inputs_are_seen_from_the_jobs_folder)
{
	json_t *job = yaml("{data: {inputs: [a.png, 'b:c.png', 's3://b/k', "
	    "/x]}}");

	rkj_job_paths(job, "/home");
	char *text = rkj_text(job);
	t_has(text, "[\"/home/a.png\",\"/home/b:c.png\",\"s3://b/k\",\"/x\"]");
	free(text);
	json_decref(job);
}

T_MAIN
