/* Jobs that use a model: see spec_use.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const spec_job_words[] = { "train", "predict", "evaluate", NULL };

/* --- kind ----------------------------------------------------------------- */

void
sp_read_kind(struct spec *s, struct rkj_obj *o)
{
	int word = SPEC_JOB_TRAIN;

	rkj_enum(o, "kind", &word, spec_job_words, RKJ_OPTIONAL);
	s->kind = s->data.kind = (enum spec_job)word;
}

void
sp_read_report(struct spec *s, const json_t *v, struct rkj_obj *o)
{
	struct sp_obj so;

	s->worst = 50;
	if (v == NULL || !sp_takes(o, "report", s->kind == SPEC_JOB_EVALUATE,
	    "kind evaluate", spec_job_words[s->kind]))
		return;
	sp_open(&so, v, "report", o->why);
	rkj_int(&so.o, "worst", &s->worst, 0, 1000, RKJ_OPTIONAL);
	sp_close(&so);
}

/* A training of one step, where nothing says how long: what is there of it is
 * judged as in a job that trains.  A new reference; the caller puts away. */
json_t *
sp_use_training(const json_t *said)
{
	static const char *const lengths[] = { "epochs", "steps", "phases" };
	json_t *t = json_is_object(said) ? json_copy((json_t *)(uintptr_t)
	    said) : said != NULL ? json_incref((json_t *)(uintptr_t)said) :
	    json_object();
	bool any = false;

	for (size_t i = 0; i < RK_ARRAY_LEN(lengths); i++) {
		const json_t *v = json_object_get(t, lengths[i]);
		any |= v != NULL && !json_is_null(v);
	}
	if (!any && json_is_object(t))
		sp_put(t, "steps", json_integer(1));
	return t;
}

/* --- data.inputs ---------------------------------------------------------- */

void
sp_read_inputs(struct spec_data *d, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "inputs");
	const size_t n = json_array_size(v);
	char shown[SP_SHOWN];

	if (d->kind != SPEC_JOB_PREDICT) {
		if (v != NULL)
			rkj_fault(o, "inputs", "is for kind predict, not for "
			    "%s", spec_job_words[d->kind]);
		return;
	}
	if (v == NULL) {
		rkj_fault(o, "inputs", "is missing, want a list of files or "
		    "folders: what is predicted");
		return;
	}
	if (n < 1 || n > SPEC_MAX_USED) {
		rkj_fault(o, "inputs", "is %s, want a list of 1 to %d files or "
		    "folders (a folder may hold any number)",
		    sp_shown(v, shown), SPEC_MAX_USED);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		char key[24];
		snprintf(key, sizeof(key), "inputs[%zu]", i);
		if (sp_read_listed(o, json_array_get(v, i), key,
		    &d->inputs[d->ninputs]))
			d->ninputs++;
	}
}

/* --- data.input ----------------------------------------------------------- */

static bool
are_numbers(const json_t *a, size_t n)
{
	bool ok = json_is_array(a) && json_array_size(a) == n;

	for (size_t i = 0; ok && i < n; i++) {
		const json_t *v = json_array_get(a, i);
		ok = json_is_number(v) &&
		    isfinite((float)json_number_value(v));
	}
	return ok;
}

static void
check_normalize(const json_t *v, struct rkj_obj *o)
{
	struct sp_obj s;
	int64_t count = 0;

	if (v == NULL)
		return;
	sp_open(&s, v, "data.input.normalize", o->why);
	rkj_any(&s.o, "type");
	const json_t *scale = rkj_any(&s.o, "scale");
	const json_t *shift = rkj_any(&s.o, "shift");
	if (rkj_int(&s.o, "count", &count, 1, SPEC_MAX_WIDTH, RKJ_REQUIRED) &&
	    (count > SPEC_INPUT_NUMBERS ? scale != NULL || shift != NULL :
	    !are_numbers(scale, (size_t)count) ||
	    !are_numbers(shift, (size_t)count)))
		rkj_fault(&s.o, "scale", "and shift are not %lld numbers each, "
		    "as `count` says; of more than %d there are none",
		    (long long)count, SPEC_INPUT_NUMBERS);
	sp_close(&s);
}

static void
check_columns(const json_t *v, struct rkj_obj *o)
{
	size_t all = 0;
	bool ok = json_array_size(v) <= SPEC_INPUT_NUMBERS;

	if (v == NULL)
		return;
	for (size_t i = 0; ok && i < json_array_size(v); i++) {
		const json_t *e = json_array_get(v, i);
		ok = json_is_string(e);
		all += json_string_length(e);
	}
	if (!json_is_array(v) || !ok || all > SPEC_INPUT_COLUMNS)
		rkj_fault(o, "columns", "are no list of at most %d names",
		    SPEC_INPUT_NUMBERS);
}

static void
check_shapes(struct rkj_obj *o)
{
	static const char *const keys[] = { "shape", "pixels" };
	int64_t d[SPEC_MAX_DIMS];
	int n;

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
		sp_ints(o, keys[i], d, &n, i == 0 ? 1 : 3, i == 0 ?
		    SPEC_MAX_DIMS : 3, 1, SPEC_MAX_WIDTH, i == 0 ?
		    RKJ_REQUIRED : RKJ_OPTIONAL);
}

/* Of what a newer checkpoint may say beside these nothing is kept.  A null is
 * taken out by a merge, so columns that have no names are an empty list. */
void
sp_read_input(struct spec_data *d, struct rkj_obj *in)
{
	static const char *const dtypes[] = { "f32", "i32", NULL };
	static const char *const kept[] = { "dtype", "shape", "normalize",
		"columns", "tokenizer", "pixels" };
	const json_t *v = rkj_any(in, "input");
	char *tokenizer = NULL;
	struct rkj_obj o;
	int dtype;

	if (v == NULL || !sp_takes(in, "input", d->kind != SPEC_JOB_TRAIN,
	    "kind predict and evaluate", "train"))
		return;
	rkj_open(&o, v, "data.input", in->why);
	rkj_enum(&o, "dtype", &dtype, dtypes, RKJ_REQUIRED);
	check_shapes(&o);
	check_normalize(rkj_any(&o, "normalize"), &o);
	check_columns(rkj_any(&o, "columns"), &o);
	if (rkj_str(&o, "tokenizer", &tokenizer, 16, RKJ_OPTIONAL) &&
	    (strlen(tokenizer) != 16 || strspn(tokenizer, "0123456789abcdef") !=
	    16))
		rkj_fault(&o, "tokenizer", "is not 16 hexadecimal digits");
	free(tokenizer);
	rkj_close_lenient(&o);
	d->input = json_object();
	for (size_t i = 0; i < RK_ARRAY_LEN(kept); i++) {
		json_t *e = json_object_get(v, kept[i]);
		if (e != NULL && !json_is_null(e))
			sp_put(d->input, kept[i], json_deep_copy(e));
		else if (e != NULL && strcmp(kept[i], "columns") == 0)
			sp_put(d->input, kept[i], json_array());
	}
}

void
sp_put_use(json_t *o, const struct spec_data *d)
{
	json_t *inputs = json_array();

	for (int i = 0; i < d->ninputs; i++)
		must(json_array_append_new(inputs, json_string(
		    d->inputs[i])) == 0);
	if (d->kind == SPEC_JOB_PREDICT)
		sp_put(o, "inputs", json_incref(inputs));
	if (d->input != NULL)
		sp_put(o, "input", json_deep_copy(d->input));
	json_decref(inputs);
}

/* --- what counts ---------------------------------------------------------- */

void
sp_check_use(const struct spec *s, struct rk_why *why)
{
	if (s->kind != SPEC_JOB_TRAIN && s->model.checkpoint == NULL)
		rk_refuse_at(why, "model.checkpoint", "is missing: want the "
		    "model that is used, a file, the folder of a checkpoint or "
		    "an address");
}

static void
keep(json_t *o, const char *const *keys, size_t n)
{
	const char *key;
	json_t *v;
	void *next;

	json_object_foreach_safe(o, next, key, v) {
		bool is = false;
		for (size_t i = 0; i < n; i++)
			is |= strcmp(keys[i], key) == 0;
		if (!is)
			json_object_del(o, key);
	}
}

static const char *const of_training[] = { "batch_size", "micro_batch_size",
	"loss", "exact", "arithmetic" };
static const char *const of_data[] = { "train", "validation", "inputs",
	"input", "normalize", "threads", "broken", "transforms" };
/* Of the warm start of the model itself. */
static const char *const of_warm[] = { "checkpoint", "strict", "missing",
	"unexpected", "mismatch", "minimum", "dialect", "rename", "grow",
	"checkpoint_classes", "checkpoint_vocabulary", "producer" };
/* ... which mean nothing where all tensors must be there. */
static const char *const of_start[] = { "missing", "unexpected", "mismatch",
	"minimum", "grow", "checkpoint_vocabulary" };

void
sp_keep_used(json_t *job, enum spec_job kind)
{
	json_t *data = json_object_get(job, "data");
	json_t *model = json_object_get(job, "model");

	keep(json_object_get(job, "training"), of_training,
	    RK_ARRAY_LEN(of_training));
	keep(data, of_data, RK_ARRAY_LEN(of_data));
	json_object_del(data, kind == SPEC_JOB_PREDICT ? "validation" :
	    "train");
	for (size_t i = 0; i < RK_ARRAY_LEN(of_start); i++)
		json_object_del(model, of_start[i]);
	sp_put(model, "strict", json_true());
	json_object_del(job, "checkpoint");
}

/* --- a model's ------------------------------------------------------------ */

static json_t *
copy_of(const json_t *of, const char *block)
{
	const json_t *v = json_object_get(of, block);

	return json_is_object(v) ? json_deep_copy(v) : json_object();
}

/* What the source that is said is laid over. */
static json_t *
validation_of(const json_t *said, const json_t *of)
{
	const json_t *own = json_object_get(json_object_get(said, "data"),
	    "validation");
	const json_t *data = json_object_get(of, "data");
	json_t *v = json_object_get(data, "validation");

	if (v == NULL && json_is_object(own))
		v = json_object_get(data, "train");
	return json_object_get(own, "type") == NULL && v != NULL ?
	    json_deep_copy(v) : NULL;
}

json_t *
spec_use(const json_t *said, const json_t *of, const json_t *input,
    const json_t *classes)
{
	json_t *job = json_object(), *model = copy_of(of, "model");
	json_t *training = copy_of(of, "training"), *data = copy_of(of, "data");
	json_t *validation = validation_of(said, of);

	for (size_t i = 0; i < RK_ARRAY_LEN(of_warm); i++)
		json_object_del(model, of_warm[i]);
	keep(training, of_training, RK_ARRAY_LEN(of_training));
	json_object_del(data, "threads");
	keep(data, of_data, RK_ARRAY_LEN(of_data));
	json_object_del(data, "validation");
	if (validation != NULL)
		sp_put(data, "validation", validation);
	if (json_is_object(input))
		sp_put(data, "input", json_deep_copy(input));
	if (json_array_size(classes) > 0)
		sp_put(model, "checkpoint_classes", json_deep_copy(classes));
	sp_put(job, "model", model);
	sp_put(job, "training", training);
	sp_put(job, "data", data);
	rkj_merge(job, said);
	return job;
}
