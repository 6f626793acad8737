/* --convert: see convert.h and train.h. */
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "export.h"
#include "plan.h"

#define NAMED_MAX 5             /* names in a refusal */

/* A tensor of the file that is written. */
struct piece {
	struct convert *c;
	const struct weights_tensor *from;
	const struct weights_tensor *added;     /* its row 0 is added to each
	                                           row of from, as floats; or
	                                           NULL */
	bool turned;
};

struct convert {
	struct export x;
	const char *path;
	struct warm_file *f;
	struct plan *plan;              /* with a model; else NULL */
	struct piece *pieces;
	void *whole;                    /* the tensor that is written now, where
	                                   it is not read from front to back */
	json_t *notes;
};

static bool
cannot(struct convert *c, const char *because)
{
	return run_fail(c->x.r, "no_form", true, "cannot convert %s: %s",
	    c->path, because);
}

/* --- elements ------------------------------------------------------------- */

static enum rk_err
read_added(const struct piece *p, float *x, struct rk_why *why)
{
	const size_t width = (size_t)p->from->d[p->from->ndim - 1];
	float *row = xcalloc(width + 1, sizeof(*row));
	enum rk_err rc = weights_read_f32(p->from, 0, (size_t)p->from->count, x,
	    why);

	if (rc == RK_OK)
		rc = weights_read_f32(p->added, 0, width, row, why);
	for (size_t i = 0; rc == RK_OK && i < p->from->count; i++)
		x[i] += row[i % width];
	free(row);
	return rc;
}

/* All of it, as long as it is written. */
static enum rk_err
read_whole(const struct piece *p, struct rk_why *why)
{
	const size_t n = (size_t)p->from->count;
	const size_t bytes = p->added != NULL ? n * sizeof(float) :
	    (size_t)p->from->bytes;

	free(p->c->whole);
	p->c->whole = malloc(bytes + 1);
	if (p->c->whole == NULL) {
		rk_refuse(why, "there is no memory for %s", p->from->name);
		return RK_ENOMEM;
	}
	return p->added != NULL ? read_added(p, p->c->whole, why) :
	    weights_read(p->from, 0, n, p->c->whole, why);
}

static enum rk_err
read_piece(const struct format_out_tensor *t, uint64_t from, size_t n,
    void *dst, struct rk_why *why)
{
	const struct piece *p = t->ctx;
	struct format_out_tensor whole = *t;
	enum rk_err rc = RK_OK;

	if (!p->turned && p->added == NULL)
		return weights_read(p->from, from, n, dst, why);
	if (from == 0)
		rc = read_whole(p, why);
	if (rc != RK_OK)
		return rc;
	whole.ctx = p->c->whole;
	return p->turned ? format_read_transposed(&whole, from, n, dst, why) :
	    format_read_memory(&whole, from, n, dst, why);
}

static void
put_piece(struct convert *c, const char *name, const char *alias,
    const struct piece *is)
{
	struct piece *p = &c->pieces[c->x.nout];
	struct format_out_tensor *to = &c->x.out[c->x.nout++];

	*p = *is;
	p->c = c;
	*to = (struct format_out_tensor){ .name = name, .alias = alias,
		.dtype = is->added != NULL ? DT_F32 : is->from->dtype,
		.ndim = is->from->ndim, .read = read_piece, .ctx = p };
	memcpy(to->d, is->from->d, sizeof(to->d));
	if (is->turned) {
		to->d[0] = is->from->d[1];
		to->d[1] = is->from->d[0];
	}
}

static void
make_room(struct convert *c, size_t n)
{
	c->x.out = xcalloc(n + 1, sizeof(*c->x.out));
	c->pieces = xcalloc(n + 1, sizeof(*c->pieces));
}

/* --- with a model --------------------------------------------------------- */

static bool
make_plan(struct convert *c)
{
	struct run *r = c->x.r;
	const struct plan_how how = { .model = &r->spec->model,
		.whole = true };
	struct rk_why why = {0};
	const bool ok = plan_new(&c->plan, r->nn, c->f, &how, &why) == RK_OK;

	if (!ok) {
		char *text = rk_why_text(&why);
		run_fail(r, "no_form", true, "%s is not of this network: %s",
		    c->path, text);
		free(text);
	}
	rk_why_fini(&why);
	return ok;
}

/* Tensor of the plan's row, as the file that is written has g. */
static void
put_row(struct convert *c, const struct warm_given *g)
{
	const struct warm_row *row = &c->plan->is->v[g->own];
	const struct weights *w = c->f->weights;
	const bool is_turned = (row->steps & 1u << WARM_TRANSPOSE) != 0;
	const struct piece p = { .from = &w->v[c->f->at[row->file]],
		.added = row->added >= 0 ? &w->v[c->f->at[row->added]] : NULL,
		.turned = is_turned != g->turned };

	put_piece(c, g->name, g->alias, &p);
}

static bool
by_model(struct convert *c)
{
	struct export *x = &c->x;

	if (!export_list(x) || !make_plan(c))
		return false;
	make_room(c, x->as->n);
	for (size_t i = 0; i < x->as->n; i++) {
		const struct warm_given *g = &x->as->v[i];
		if (g->own >= 0)
			put_row(c, g);
		else
			x->out[x->nout++] = (struct format_out_tensor){
				.name = g->name, .dtype = DT_I64,
				.ctx = &x->batches,
				.read = format_read_memory };
	}
	js_note(c->notes, "%s, by the names of %s",
	    c->plan->is->summary,
	    spec_dialect_words[c->plan->is->dialect]);
	return true;
}

/* --- without -------------------------------------------------------------- */

/* How linear layers lie in what is written. */
static bool
goes_to_paddle(const struct convert *c)
{
	return c->x.target == WARM_TO_SAFETENSORS ?
	    c->f->framework == WARM_PADDLE : c->x.target == WARM_TO_PADDLE;
}

static bool
refuse_untold(struct convert *c, const char *names, size_t n)
{
	return run_fail(c->x.r, "no_form", true, "cannot convert %s: Paddle has "
	    "the weight of a linear layer as [in,out], PyTorch as [out,in], and "
	    "the file does not say which of its matrices are such weights: "
	    "%s%s; say --arch or --job, or --as-is to leave them as they lie",
	    c->path, names, n > NAMED_MAX ? ", ..." : "");
}

/* Which matrices are turned; those of which the file does not tell are left
 * only where that is asked for. */
static bool
turn(struct convert *c)
{
	const bool turns = goes_to_paddle(c) != (c->f->framework ==
	    WARM_PADDLE);
	struct strbuf untold = {0};
	size_t n = 0, turned = 0;
	bool ok = true;

	for (size_t i = 0; turns && i < c->x.nout; i++) {
		const struct weights_tensor *t = c->pieces[i].from;
		const enum warm_told told = warm_told(t->name, t->alias,
		    t->ndim);
		c->pieces[i].turned = told == WARM_TOLD_LINEAR;
		turned += c->pieces[i].turned;
		if (told == WARM_TOLD_NOTHING && n++ < NAMED_MAX)
			sb_addf(&untold, "%s%s", n > 1 ? ", " : "", t->name);
		if (c->pieces[i].turned) {
			c->x.out[i].d[0] = t->d[1];
			c->x.out[i].d[1] = t->d[0];
		}
	}
	if (n > 0 && !c->x.r->o->as_is)
		ok = refuse_untold(c, sb_str(&untold), n);
	else if (n > 0)
		js_note(c->notes,
		    "%zu matrices are left as they lie: %s%s", n,
		    sb_str(&untold), n > NAMED_MAX ? ", ..." : "");
	if (turned > 0)
		js_note(c->notes,
		    "%zu weights of linear layers are turned", turned);
	sb_fini(&untold);
	return ok;
}

/* Paddle's second key of a recurrent layer's tensor, where the file has not got
 * it. */
static void
put_twin(struct convert *c, const struct weights_tensor *t)
{
	const struct weights *w = c->f->weights;
	char *back = xasprintf("%s_reverse", t->name);
	char *name = warm_recurrent_twin(t->name, weights_find(w,
	    WEIGHTS_MODEL, back) != NULL);

	free(back);
	if (name != NULL && weights_find(w, WEIGHTS_MODEL, name) == NULL) {
		c->x.made[c->x.nout] = name;
		put_piece(c, name, t->alias != NULL ? t->alias : t->name,
		    &(struct piece){ .from = t });
	} else {
		free(name);
	}
}

static bool
as_named(struct convert *c)
{
	const struct weights *w = c->f->weights;

	make_room(c, 2 * c->f->n);
	c->x.made = xcalloc(2 * c->f->n + 1, sizeof(*c->x.made));
	for (size_t i = 0; i < c->f->n; i++) {
		const struct weights_tensor *t = &w->v[c->f->at[i]];
		put_piece(c, t->name, t->alias, &(struct piece){ .from = t });
		if (c->x.target == WARM_TO_PADDLE)
			put_twin(c, t);
	}
	if (c->f->n == 0)
		return cannot(c, "it has no tensors of a model");
	c->x.meta = goes_to_paddle(c) ? "pd" : "pt";
	return turn(c);
}

/* --- the model that is said ------------------------------------------------ */

/* A sample that the architecture takes, where the job does not say its own:
 * only the parameters' shapes count, and these do not depend on it. */
static json_t *
usual_data(const json_t *model)
{
	const char *arch = json_string_value(json_object_get(model, "arch"));
	const json_t *input = json_object_get(model, "input");
	json_t *shape = json_pack("[i, i, i]", 3, 224, 224), *o;

	if (arch != NULL && (strstr(arch, "bert") != NULL ||
	    strstr(arch, "ernie") != NULL || strcmp(arch, "textcnn") == 0)) {
		json_decref(shape);
		return json_pack("{s:s, s:i, s:i, s:i}", "type", "synthetic",
		    "tokens", 32, "vocabulary", 2, "samples", 2);
	}
	if (arch != NULL && strcmp(arch, "lenet5") == 0) {
		json_decref(shape);
		shape = json_pack("[i, i, i]", 1, 28, 28);
	}
	const json_t *sizes = json_object_get(model, "sizes");
	if (arch != NULL && strcmp(arch, "mlp") == 0 &&
	    json_array_size(sizes) > 0) {
		json_decref(shape);
		shape = json_pack("[O]", json_array_get(sizes, 0));
	}
	if (json_is_array(input)) {
		json_decref(shape);
		shape = json_deep_copy(input);
	}
	o = json_pack("{s:s, s:o, s:i, s:i}", "type", "synthetic", "shape",
	    shape, "classes", 2, "samples", 2);
	must(o != NULL);
	return o;
}

/* --arch WORD, or {arch: WORD, classes: 10, ...}. */
static enum rk_err
parse_arch(const char *text, struct spec **sp, struct rk_why *why)
{
	json_t *model = NULL;
	enum rk_err rc = RK_OK;

	if (strchr(text, '{') == NULL)
		model = json_pack("{s:o}", "arch", js_text(text));
	else
		rc = rkj_parse_yaml(text, strlen(text), &model, why);
	if (rc != RK_OK)
		return rc;
	json_t *job = json_pack("{s:s, s:O, s:{s:i, s:s}, s:{s:o}}", "name",
	    "convert", "model", model, "training", "steps", 1, "optimizer",
	    "adam", "data", "train", usual_data(model));
	must(job != NULL);
	rc = spec_parse(job, sp, why);
	json_decref(job);
	json_decref(model);
	return rc;
}

bool
convert_load_spec(struct run *r)
{
	struct rk_why why = {0};
	enum rk_err rc = RK_OK;

	if (r->o->arch != NULL)
		rc = parse_arch(r->o->arch, &r->spec, &why);
	else if (r->o->job != NULL)
		rc = spec_load(r->o->job, &r->spec, &why);
	if (rc != RK_OK) {
		char *text = rk_why_text(&why);
		run_fail(r, "bad_spec", true, "%s%s", r->o->arch != NULL ?
		    "--arch: " : "", text);
		free(text);
	}
	rk_why_fini(&why);
	return rc == RK_OK;
}

/* Pictures whose size the job says, as they are behind its transforms. */
static void
add_picture(const struct spec *s, json_t *shape)
{
	const struct spec_source *d = &s->data.train;
	const bool cifar = d->type == SPEC_CIFAR;
	int64_t size[2];

	if (spec_transforms_size(&s->data.train_transforms,
	    "data.transforms.train", cifar ? 32 : d->image_size[0], cifar ?
	    32 : d->image_size[1], size, NULL) != RK_OK || size[0] == 0)
		return;
	json_array_append_new(shape, json_integer(cifar ? 3 : d->channels));
	for (int i = 0; i < 2; i++)
		json_array_append_new(shape, json_integer(size[i]));
}

/* {dtype, shape} as a checkpoint has it, of a sample of the data that are
 * said. */
static json_t *
input_of(const struct spec *s)
{
	const struct spec_source *d = &s->data.train;
	json_t *shape = json_array();
	const bool tokens = d->type == SPEC_SYNTHETIC && d->tokens > 0;

	for (int i = 0; i < s->model.ninput; i++)
		json_array_append_new(shape, json_integer(s->model.input[i]));
	if (s->model.ninput == 0 && (d->type == SPEC_CIFAR ||
	    d->type == SPEC_IMAGE_FOLDER))
		add_picture(s, shape);
	if (s->model.ninput == 0 && (d->type == SPEC_SYNTHETIC ||
	    ((d->type == SPEC_NPY || d->type == SPEC_NPZ) &&
	    d->vocabulary == 0)) && !tokens)
		for (int i = 0; i < d->ndim; i++)
			json_array_append_new(shape, json_integer(
			    d->shape[i]));
	if (s->model.ninput == 0 && tokens)
		json_array_append_new(shape, json_integer(d->tokens));
	return json_pack("{s:s, s:o}", "dtype", tokens || d->type ==
	    SPEC_TEXT ? "i32" : "f32", "shape", shape);
}

/* --- all ------------------------------------------------------------------ */

static bool
open_it(struct convert *c)
{
	struct run *r = c->x.r;
	const struct inspect_how how = { .member = r->o->member,
		.part = r->o->part,
		.at = inspect_place((char *const *)(uintptr_t)r->o->file,
		r->o->nfile, c->path) };
	struct rk_why why = {0};

	const enum rk_err rc = warm_file_open_how(c->path, &how, &c->f, &why);
	if (rc != RK_OK)
		run_fail(r, "no_form", true, "%s: %s", c->path, why.n > 0 ?
		    rk_why_first(&why) : rk_strerror(rc));
	rk_why_fini(&why);
	return rc == RK_OK;
}

/* What the file has beside the model stays behind. */
static void
note_others(struct convert *c)
{
	static const char *const what[] = {
		[WEIGHTS_AVERAGE] = "of a moving average",
		[WEIGHTS_OPTIMIZER] = "of an optimizer's state",
		[WEIGHTS_OTHER] = "of other objects",
	};
	const struct weights *w = c->f->weights;

	for (size_t k = 0; k < RK_ARRAY_LEN(what); k++) {
		size_t n = 0;
		for (size_t i = 0; i < w->n; i++)
			n += (size_t)w->v[i].role == k;
		if (what[k] != NULL && n > 0)
			js_note(c->notes,
			    "%zu tensor%s %s %s left out", n, rk_s((int64_t)
			    n), what[k], n == 1 ? "is" : "are");
	}
	for (size_t i = 0; i < w->nnotes; i++)
		js_note(c->notes, "%s", w->notes[i]);
}

static bool
convert(struct convert *c)
{
	struct export *x = &c->x;

	if (!export_form(x) || !open_it(c))
		return false;
	if (x->form == CKPT_PDOPT || x->form == CKPT_OPTIMIZER_PT)
		return cannot(c, "only a model's weights are converted, and "
		    "that is the form of an optimizer's state");
	if (x->r->spec != NULL)
		x->info.input = input_of(x->r->spec);
	if (!(x->r->spec != NULL ? by_model(c) : as_named(c)))
		return false;
	note_others(c);
	return export_write(x);
}

bool
convert_print(struct run *r)
{
	struct convert c = { .path = r->o->convert, .notes = json_array(),
		.x = { .r = r, .folder = r->o->convert, .deed = "convert" } };
	json_t *text;
	size_t i;
	const bool ok = convert(&c);

	json_array_foreach(c.notes, i, text)
		if (ok)
			printf("%s\n", json_string_value(text));
	plan_free(c.plan);
	export_fini(&c.x);
	warm_file_free(c.f);
	json_decref(c.notes);
	free(c.pieces);
	free(c.whole);
	return ok;
}
