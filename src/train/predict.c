/* --predict: see predict.h and train.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "epoch.h"
#include "model_file.h"
#include "predict.h"
#include "start.h"
#include "summary.h"

/* Takes the object. */
static void
print(json_t *o)
{
	char *text = rkj_text(o);

	puts(text);
	free(text);
	json_decref(o);
}

/* --- files ---------------------------------------------------------------- */

static bool
told_to_end(struct run *r)
{
	return signals_came() && !run_fail(r, "io", false, "was told to end "
	    "before all inputs were predicted");
}

static void
take_line(void *ctx, json_t *o)
{
	(void)ctx;
	print(o);
}

static bool
goes_on(void *ctx)
{
	return !told_to_end(ctx);
}

static bool
predict_files(struct run *r, struct prediction *p)
{
	bool ok = true;

	p->take = take_line;
	p->goes_on = goes_on;
	p->ctx = r;
	for (int i = 0; ok && i < r->o->ninput; i++) {
		const struct sample_file f = { .path = r->o->input[i],
			.name = r->o->input[i] };
		ok = !told_to_end(r) && batches_file(r, p, &f, 0);
	}
	if (ok)
		batches_flush(r, p);
	return ok && (p->failed == 0 || run_fail(r, "bad_data", false,
	    "%lld of %d inputs could not be read", (long long)p->failed,
	    r->o->ninput));
}

/* --- the job's data ------------------------------------------------------- */

static bool
predict_data(struct run *r, struct prediction *p)
{
	const struct data_set *d = r->valid != NULL ? r->valid : r->train;
	const int64_t outputs = nn_outputs(r->nn);
	struct tally t = {0};

	for (int64_t at = 0; at < d->n;) {
		const int64_t rows = score_batch(r, d, at, &t);
		if (rows < 1) {         /* it has said why, or a signal came */
			(void)told_to_end(r);
			return false;
		}
		for (int64_t i = 0; i < rows; i++) {
			json_t *o = json_pack("{s:s, s:I}", "input",
			    d == r->valid ? "validation" : "train", "row",
			    (json_int_t)r->which[i]);
			lines_put_outputs(&p->lines, o, nn_output(r->nn) +
			    i * outputs, outputs);
			lines_put_label(&p->lines, o, d, r->which[i]);
			print(o);
		}
		if (told_to_end(r))
			return false;
		at += rows;
	}
	return true;
}

/* --- all of it ------------------------------------------------------------ */

static bool
open_view(struct run *r, struct prediction *p)
{
	struct rk_why why = {0};
	const bool ok = recipe_view(&p->recipe, &r->spec->data, r->train,
	    &why) == RK_OK;

	if (!ok)
		run_fail(r, "bad_spec", true, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

/* Of a checkpoint from before there were names of columns: has the job's
 * file? */
static bool
may_have_columns(const struct spec_source *s, const struct recipe *c)
{
	return s->type == SPEC_CSV && c->columns == NULL && !c->no_columns &&
	    access(s->path, R_OK) == 0;
}

/* Does the checkpoint say what a sample is?  Of tokens the job has to say how
 * they are made, of texts. */
static bool
knows_samples(const struct run *r, struct prediction *p)
{
	const struct spec_source *s = &r->spec->data.train;
	const struct recipe *c = &p->recipe;

	if (!p->model.is_checkpoint ||
	    !recipe_of_checkpoint(&p->recipe, p->model.info.input))
		return false;
	return c->dtype == NN_F32 ? data_view_is_said(&r->spec->data) &&
	    !may_have_columns(s, c) :
	    s->type == SPEC_TEXT && c->ndim == 1 && c->d[0] == s->text.length;
}

static bool
check_texts(struct run *r)
{
	const struct spec_source *s = &r->spec->data.train;
	const char *vocabulary = s->text.vocabulary;

	if (s->type != SPEC_TEXT)
		return run_fail(r, "bad_spec", true, "the network takes whole "
		    "numbers (i32), which --predict makes of texts alone: leave "
		    "the inputs out, and the job's data are taken");
	return vocabulary == NULL || !spec_is_address(vocabulary) ||
	    place_of(r, vocabulary) != NULL || place_missing(r,
	    "data.train.tokenizer.vocabulary", vocabulary);
}

/* With files to predict, and a checkpoint that says what a sample is, the job's
 * data are not needed; but where their transforms begin with what only the data
 * say. */
static bool
prepare(struct run *r, struct prediction *p)
{
	const bool files = r->o->ninput > 0;
	const bool alone = files && knows_samples(r, p);
	struct run_memory m;

	if (alone) {
		r->sample.ndim = p->recipe.ndim;
		memcpy(r->sample.d, p->recipe.d, sizeof(r->sample.d));
		r->sample.dtype = p->recipe.dtype;
	} else {
		recipe_fini(&p->recipe);
	}
	if (!alone && !run_open_data(r, NULL))
		return false;
	if (!alone && !model_file_normalize(r, &p->model))
		return false;
	if (!run_measure(r, &m) || !run_build(r, &m) ||
	    !model_file_load(r, &p->model))
		return false;
	if (!alone)
		recipe_of_data(&p->recipe, r->train, nn_input_dtype(r->nn));
	p->lines.names = model_file_names(r, &p->model);
	p->lines.says = lines_says(r);
	if (!files)
		return true;
	return p->recipe.dtype == NN_F32 ? open_view(r, p) : check_texts(r);
}

bool
predict_print(struct run *r)
{
	struct prediction p = { .model = { .file = r->o->predict,
		.deed = "cannot predict with" } };

	bool ok = model_file_open(r, &p.model);
	if (ok)
		exact_settle(r, p.model.is_checkpoint ? &p.model.info : NULL);
	ok = ok && prepare(r, &p) && (r->o->ninput > 0 ?
	    predict_files(r, &p) : predict_data(r, &p));
	model_file_warn(&p.model, p.lines.nothing, p.lines.said);
	batches_fini(&p);
	json_decref(p.lines.names);
	recipe_fini(&p.recipe);
	model_file_fini(&p.model);
	return ok;
}
