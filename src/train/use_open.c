/* What a job that uses a model begins with: the model, what a sample is for it,
 * the data of an evaluation, and the network. */
#include <stdlib.h>
#include <string.h>

#include "held_out.h"
#include "row_names.h"
#include "start.h"
#include "use.h"

/* --- what a sample is ----------------------------------------------------- */

/* Of the job, of the checkpoint's folder, or of the one that the model lies in.
 * False after run_fail(); width 0: nothing says it. */
static bool
know_input(struct use *u)
{
	const struct model_file *m = &u->p.model;
	const json_t *said = u->r->spec->data.input, *input = said;
	struct recipe *c = &u->p.recipe;
	struct ckpt_info beside = {0};

	if (said == NULL && m->is_checkpoint)
		input = m->info.input;
	else if (said == NULL && m->path != NULL &&
	    held_out_beside(m->path, &beside))
		input = beside.input;
	const bool known = recipe_of_checkpoint(c, input);
	if (known)
		u->pixels = json_incref(json_object_get(input, "pixels"));
	else
		recipe_fini(c);
	ckpt_info_fini(&beside);
	return known || said == NULL || run_fail(u->r, "bad_spec", true,
	    "data.input: has not all that a sample is normalised with: want "
	    "scale and shift");
}

static bool
is_known(const struct use *u)
{
	return u->p.recipe.width > 0;
}

static bool
refuse_standard(struct use *u)
{
	return u->r->spec->data.normalize.type != SPEC_NORM_STANDARD ||
	    run_fail(u->r, "bad_spec", true, "data.normalize: is standard, and "
	    "nothing says what that came to on the data that the model was "
	    "trained on: want data.input, as the checkpoint.json of the model "
	    "has it");
}

/* As data.normalize says it of pictures, or of numbers. */
static bool
make_norm(struct use *u)
{
	const struct spec_data *d = &u->r->spec->data;
	const struct spec_normalize *s = &d->normalize;
	struct recipe *c = &u->p.recipe;
	const int64_t parts = c->ndim == 3 ? c->d[0] : c->width;
	const double unit = s->type == SPEC_NORM_NONE || (d->has_train &&
	    d->train.type != SPEC_IDX && d->train.type != SPEC_CIFAR &&
	    d->train.type != SPEC_IMAGE_FOLDER) ? 1 : 1.0 / 255;

	if (!refuse_standard(u))
		return false;
	if (s->n > 1 && s->n != parts)
		return run_fail(u->r, "bad_spec", true, "data.normalize: has "
		    "%d means, and the network's samples have %lld %s", s->n,
		    (long long)parts, c->ndim == 3 ? "channels" : "numbers");
	c->nnorm = RK_MAX(s->n, 1);
	c->scale = xcalloc((size_t)c->nnorm, sizeof(*c->scale));
	c->shift = xcalloc((size_t)c->nnorm, sizeof(*c->shift));
	for (int64_t i = 0; i < c->nnorm; i++) {
		const double mean = s->n > 0 ? s->mean[i] : 0;
		const double std = s->n > 0 ? s->std[i] : 1;
		c->scale[i] = (float)(unit / std);
		c->shift[i] = (float)((0 - mean) / std);
	}
	return true;
}

/* Of a model of which nothing is known but what the job says. */
static bool
make_recipe(struct use *u)
{
	const struct run *r = u->r;
	struct recipe *c = &u->p.recipe;

	*c = (struct recipe){ .ndim = r->sample.ndim, .width = 1,
		.dtype = nn_input_dtype(r->nn) };
	memcpy(c->d, r->sample.d, sizeof(c->d));
	for (int i = 0; i < c->ndim; i++)
		c->width *= c->d[i];
	return c->dtype == NN_I32 || make_norm(u);
}

static bool
reads_tokens(const struct spec_model *m)
{
	const enum spec_family f = spec_family_of(m->arch);

	return f == SPEC_FAMILY_bert || f == SPEC_FAMILY_textcnn;
}

/* The shape of a sample, for the network. */
static bool
know_sample(struct use *u)
{
	const struct spec_model *m = &u->r->spec->model;
	const struct recipe *c = &u->p.recipe;
	struct run *r = u->r;

	if (r->valid != NULL) {
		r->sample.ndim = r->valid->ndim;
		memcpy(r->sample.d, r->valid->d, sizeof(r->sample.d));
		r->sample.dtype = data_is_tokens(r->valid) ? NN_I32 : NN_F32;
	} else if (is_known(u)) {
		r->sample.ndim = c->ndim;
		memcpy(r->sample.d, c->d, sizeof(r->sample.d));
		r->sample.dtype = c->dtype;
	} else if (m->ninput > 0) {
		r->sample.ndim = m->ninput;
		memcpy(r->sample.d, m->input, sizeof(m->input));
		r->sample.dtype = reads_tokens(m) ? NN_I32 : NN_F32;
	} else if (m->arch == SPEC_ARCH_mlp) {
		r->sample.ndim = 1;
		r->sample.d[0] = m->u.mlp.sizes.v[0];
		r->sample.dtype = NN_F32;
	} else {
		return run_fail(r, "bad_spec", true, "model.input: is missing, "
		    "and neither data.input nor a checkpoint.json beside the "
		    "model says what a sample is: want its shape, such as %s",
		    reads_tokens(m) ? "[128]" : "[3, 224, 224]");
	}
	return true;
}

/* --- the data of an evaluation -------------------------------------------- */

/* The source is read as data.train is, and called by its own name. */
static bool
refuse_set(struct run *r, enum rk_err rc, struct rk_why *why)
{
	static const char side[] = "data.train";
	struct rk_why own = { .more = why->more };

	for (size_t i = 0; i < why->n; i++) {
		const char *path = why->v[i].path;
		const size_t n = strlen(side);
		char *ours = path != NULL && strncmp(path, side, n) == 0 ?
		    xasprintf("data.validation%s", path + n) :
		    xstrdup(path != NULL ? path : "");
		rk_refuse_at(&own, ours, "%s", why->v[i].message);
		free(ours);
	}
	rk_why_fini(why);
	return run_refuse_data(r, rc, &own);
}

/* The classes in the order of the model's. */
static bool
match(struct use *u, const json_t *names)
{
	struct data_set *d = u->r->valid;
	const size_t n = json_array_size(names);
	struct strbuf others = {0};
	struct rk_why why = {0};
	bool ok = true;

	if (d->names == NULL || n == 0)
		return true;
	const char **table = xcalloc(n, sizeof(*table));
	for (size_t i = 0; i < n; i++)
		table[i] = json_string_value(json_array_get(names, i));
	if (data_match_classes(d, NULL, table, (int64_t)n, &others, &why) !=
	    RK_OK)
		ok = refuse_set(u->r, RK_EINVAL, &why);
	else if (others.len > 0)
		ok = run_fail(u->r, "bad_data", true, "data.validation: the "
		    "model was not trained to tell the class%s %s",
		    strstr(others.s, "\", \"") != NULL ? "es" : "", others.s);
	free(table);
	sb_fini(&others);
	return ok;
}

/* Samples are normalised, and tokens made, as those that it was trained on. */
static bool
suits(struct use *u)
{
	const struct recipe *c = &u->p.recipe;
	struct data_set *d = u->r->valid;
	struct rk_why why = {0};
	bool ok = true;

	if (!is_known(u))
		return refuse_standard(u);
	if (d->ndim != c->ndim || memcmp(d->d, c->d, (size_t)c->ndim *
	    sizeof(c->d[0])) != 0)
		ok = run_fail(u->r, "bad_data", true, "data.validation: its "
		    "samples have %lld numbers in %d dimension%s, and the "
		    "network takes %lld in %d, in another shape",
		    (long long)d->width, d->ndim, rk_s(d->ndim),
		    (long long)c->width, c->ndim);
	else if (recipe_check_columns(c, d, "the data of the model", &why) !=
	    RK_OK)
		ok = run_fail(u->r, "bad_data", true, "data.validation: %s",
		    rk_why_first(&why));
	else if (c->tokenizer != 0 && c->tokenizer != data_reading(d))
		ok = run_fail(u->r, "bad_data", true, "data.validation: cannot "
		    "be read as the model's own texts were: it is of another "
		    "tokenizer than data.validation.tokenizer is");
	rk_why_fini(&why);
	if (ok)
		recipe_impose(c, d);
	return ok;
}

static bool
open_set(struct use *u, const json_t *names)
{
	static const struct data_split none = { .rule = DATA_SPLIT_NONE };
	struct data_files *files = NULL;
	struct data_set *rest = NULL;
	struct run *r = u->r;
	struct rk_why why = {0};
	struct spec_data local;

	if (!memory_draws(r) || !place_data(r, &local))
		return false;
	local.train = local.validation;
	local.has_validation = false;
	local.validation_split = 0;
	enum rk_err rc = data_read(&local, &files, &why);
	if (rc == RK_OK)
		rc = data_divide(files, &none, &r->valid, &rest, &why);
	data_files_free(files);
	if (rc != RK_OK)
		return refuse_set(r, rc, &why);
	if (r->valid->n < 1)
		return run_fail(r, "bad_data", true, "data.validation: there "
		    "are no samples");
	data_digest(r->valid, u->data);
	return match(u, names) && suits(u);
}

/* --- the model ------------------------------------------------------------ */

/* Names that the job says, else those of the file. */
static json_t *
names_of(const struct use *u)
{
	const struct run *r = u->r;

	return r->warm_model.classes != NULL ? r->warm_model.classes :
	    u->p.model.info.classes;
}

static bool
open_model(struct use *u)
{
	struct model_file *m = &u->p.model;
	struct run *r = u->r;

	m->said = r->spec->model.checkpoint;
	m->deed = "model.checkpoint: cannot use";
	m->file = u->path = warm_model_path(r);
	if (m->file == NULL || !model_file_open(r, m))
		return false;
	exact_settle(r, m->is_checkpoint ? &m->info : NULL);
	return row_names_classes(r);
}

bool
use_measure(struct use *u, struct run_memory *m)
{
	const bool scores = u->r->spec->kind == SPEC_JOB_EVALUATE;

	return know_input(u) && (!scores || open_set(u, names_of(u))) &&
	    know_sample(u) && run_measure(u->r, m);
}

/* Pictures, as those of the data are made into samples. */
static bool
open_view(struct use *u)
{
	struct spec_data d = u->r->spec->data;  /* borrows all it points to */
	struct recipe *c = &u->p.recipe;
	struct rk_why why = {0};

	if (c->dtype != NN_F32 || c->ndim != 3 || (c->d[0] != 1 && c->d[0] !=
	    3))
		return true;
	if (!data_view_is_said(&d) && json_array_size(u->pixels) == 3) {
		d.train.type = SPEC_NPY;
		d.train.ndim = 3;
		for (size_t i = 0; i < 3; i++)
			d.train.shape[i] = json_integer_value(json_array_get(
			    u->pixels, i));
	}
	if (!data_view_is_said(&d))
		return run_fail(u->r, "bad_spec", true, "data.transforms: "
		    "begin with pictures of the size that the model's data "
		    "have, which nothing says: want data.input.pixels, "
		    "[channels, height, width]");
	const bool ok = recipe_view(c, &d, NULL, &why) == RK_OK ||
	    run_fail(u->r, "bad_spec", true, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

/* What reads the inputs. */
static bool
open_inputs(struct use *u)
{
	const struct spec_source *s = &u->r->spec->data.train;

	if (!is_known(u) && !make_recipe(u))
		return false;
	if (u->p.recipe.dtype == NN_F32)
		return open_view(u);
	if (!u->r->spec->data.has_train || s->type != SPEC_TEXT)
		return run_fail(u->r, "bad_spec", true, "data.train: the "
		    "network takes whole numbers, which are made of texts: "
		    "want data.train of type text, with the tokenizer");
	return s->text.vocabulary == NULL ||
	    !spec_is_address(s->text.vocabulary) ||
	    place_of(u->r, s->text.vocabulary) != NULL ||
	    place_missing(u->r, "data.train.tokenizer.vocabulary",
	    s->text.vocabulary);
}

bool
use_open(struct use *u, struct run_memory *m)
{
	struct run *r = u->r;

	if (!open_model(u) || !use_measure(u, m) || !run_build(r, m) ||
	    !model_file_load(r, &u->p.model))
		return false;
	json_t *names = names_of(u);
	u->p.lines.names = names != NULL ? json_incref(names) :
	    r->valid != NULL ? input_classes(r) : NULL;
	u->p.lines.says = lines_says(r);
	warm_file_free(r->warm);
	r->warm = NULL;
	return r->spec->kind == SPEC_JOB_EVALUATE || open_inputs(u);
}
