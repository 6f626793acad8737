/*
 * `data.transforms`: what happens to samples on their way to the network, read
 * and put into its normal form, and what sizes pictures have behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "form.h"

/* --- the table ------------------------------------------------------------ */

#include "rows.inc"
#define HELD(t) spec_transform_##t
#define TRANSFORM(t, stage, draws, text)                                  \
	static const struct spec_field fields_##t[] = {
#define END(t) LAST
#include "rekindle/transforms.def"

const struct spec_form spec_transform_forms[SPEC_T_COUNT] = {
#define TRANSFORM(t, stage, draws, text_)                                 \
	[SPEC_T_##t] = { .word = #t, .text = text_, .fields = fields_##t },
#include "rekindle/transforms.def"
};

const char *const spec_transform_words[SPEC_T_COUNT + 1] = {
#define TRANSFORM(t, stage, draws, text) #t,
#include "rekindle/transforms.def"
	NULL
};

const bool spec_transform_draws[SPEC_T_COUNT] = {
#define TRANSFORM(t, stage, draws, text) [SPEC_T_##t] = draws,
#include "rekindle/transforms.def"
};

enum spec_stage
spec_stage_of(enum spec_transform_type t)
{
	static const enum spec_stage of[SPEC_T_COUNT] = {
#define TRANSFORM(t, stage, draws, text) [SPEC_T_##t] = SPEC_STAGE_##stage,
#include "rekindle/transforms.def"
	};

	must((int)t >= 0 && t < SPEC_T_COUNT);
	return of[t];
}

/* What the samples of a source are; of arrays the file has the last word. */
static bool
gives_tokens(const struct spec_source *s)
{
	return s->type == SPEC_TEXT || s->vocabulary > 0;
}

static bool
gives_pictures(const struct spec_source *s)
{
	static const bool of[] = {
		[SPEC_IDX] = true, [SPEC_CSV] = false, [SPEC_CIFAR] = true,
		[SPEC_SYNTHETIC] = false, [SPEC_NPY] = true,
		[SPEC_NPZ] = true, [SPEC_TEXT] = false,
		[SPEC_IMAGE_FOLDER] = true,
	};

	return of[s->type] && !gives_tokens(s);
}

/* Height and width of a source's pictures; 0: its files say that. */
static void
begin_with(const struct spec_source *s, int64_t size[2])
{
	size[0] = s->type == SPEC_CIFAR ? 32 :
	    s->type == SPEC_IMAGE_FOLDER ? s->image_size[0] : 0;
	size[1] = s->type == SPEC_CIFAR ? 32 :
	    s->type == SPEC_IMAGE_FOLDER ? s->image_size[1] : 0;
}

/* --- reading -------------------------------------------------------------- */

struct reading {
	const struct spec_source *source;
	bool validation;
	const char *path;               /* of the list */
	struct rk_why *why;
	/* The `normalize` that it has, and where; NULL: none. */
	const json_t *norm;
	char *norm_path;
};

/* Faults of a transform whose type is known. */
static void
check_kind(const struct reading *r, struct rkj_obj *o,
    enum spec_transform_type t)
{
	const char *word = spec_transform_words[t];
	const bool tokens = spec_stage_of(t) == SPEC_STAGE_TOKENS;

	if (tokens && !gives_tokens(r->source))
		rkj_fault(o, "type", "is %s, which is for tokens, and %s gives "
		    "none here", word, sp_source_words[r->source->type]);
	else if (!tokens && !gives_pictures(r->source))
		rkj_fault(o, "type", "is %s, which is for pictures, and %s "
		    "gives none", word, sp_source_words[r->source->type]);
	else if (r->validation && spec_transform_draws[t])
		rkj_fault(o, "type", "is %s, which is random, and validation "
		    "is the same each time: want resize, center_crop or "
		    "normalize", word);
}

/* What a stage works on, for a sentence. */
static const char *const works_on[] = {
	[SPEC_STAGE_PIXELS] = "works on pixels",
	[SPEC_STAGE_NORMALIZE] = "makes numbers of pixels",
	[SPEC_STAGE_NUMBERS] = "works on normalised numbers",
	[SPEC_STAGE_BATCH] = "works on whole batches",
	[SPEC_STAGE_TOKENS] = "works on tokens",
};

static void
check_order(struct rkj_obj *o, enum spec_transform_type before,
    enum spec_transform_type t)
{
	const enum spec_stage a = spec_stage_of(before), b = spec_stage_of(t);

	if (b < a)
		rkj_fault(o, "type", "is %s, which %s, behind %s, which %s: "
		    "want it before that", spec_transform_words[t],
		    works_on[b], spec_transform_words[before], works_on[a]);
	else if (b == a && t == before && (b == SPEC_STAGE_NORMALIZE ||
	    b == SPEC_STAGE_BATCH))
		rkj_fault(o, "type", "is %s a second time",
		    spec_transform_words[t]);
}

/* True: it is one of the list, and not what is read elsewhere. */
static bool
read_fields(struct reading *r, struct sp_obj *so, const json_t *v,
    struct spec_transform *out)
{
	const struct spec_form *form = &spec_transform_forms[out->type];

	if (out->type == SPEC_T_normalize) {
		r->norm = v;
		free(r->norm_path);
		r->norm_path = xstrdup(so->o.path);
		rkj_close_lenient(&so->o);
		json_decref(so->made);
		return false;
	}
	sp_form_refuse_others(spec_transform_forms, SPEC_T_COUNT, form,
	    form->word, &so->o);
	sp_form_defaults(form->fields, &out->u);
	sp_form_read(form->fields, &so->o, &out->u);
	sp_close(so);
	return true;
}

static void
read_one(struct reading *r, const json_t *v, size_t i,
    struct spec_transforms *out, int *before)
{
	struct spec_transform *t = &out->v[out->n];
	char *path = xasprintf("%s[%zu]", r->path, i);
	struct sp_obj so;
	int type = 0;

	sp_open_typed(&so, v, path, r->why);
	free(path);
	memset(t, 0, sizeof(*t));
	if (!rkj_enum(&so.o, "type", &type, spec_transform_words,
	    RKJ_REQUIRED)) {
		rkj_close_lenient(&so.o);
		json_decref(so.made);
		return;
	}
	t->type = (enum spec_transform_type)type;
	check_kind(r, &so.o, t->type);
	if (*before >= 0)
		check_order(&so.o, (enum spec_transform_type)*before, t->type);
	*before = type;
	if (read_fields(r, &so, v, t))
		out->n++;
}

static void
read_list(struct reading *r, const json_t *v, struct spec_transforms *out)
{
	char shown[SP_SHOWN];
	int before = -1;

	if (v == NULL)
		return;
	if (!json_is_array(v)) {
		rk_refuse_at(r->why, r->path, "is %s, want a list",
		    sp_shown(v, shown));
		return;
	}
	if (json_array_size(v) > SPEC_MAX_TRANSFORMS) {
		rk_refuse_at(r->why, r->path, "has %zu transforms, want at "
		    "most %d", json_array_size(v), SPEC_MAX_TRANSFORMS);
		return;
	}
	for (size_t i = 0; i < json_array_size(v); i++)
		read_one(r, json_array_get(v, i), i, out, &before);
}

/* --- normalize ------------------------------------------------------------ */

/* {type: normalize, ...} as data.normalize has it; a new reference. */
static json_t *
as_normalize(const json_t *v)
{
	json_t *o = json_is_object(v) ? json_copy((json_t *)(uintptr_t)v) :
	    json_object();

	sp_put(o, "type", json_string(spec_norm_words[SPEC_NORM_SCALE]));
	return o;
}

/* The one of both lists, and the fault where there are two. */
static void
take_normalize(struct reading *train, struct reading *valid,
    const json_t *said, struct sp_normalize *out)
{
	struct reading *of = train->norm != NULL ? train : valid;

	*out = (struct sp_normalize){ .v = json_incref((json_t *)(uintptr_t)
	    said), .path = xstrdup("data.normalize") };
	if (of->norm == NULL)
		return;
	json_t *v = as_normalize(of->norm);
	if (said != NULL)
		rk_refuse_at(of->why, "data.normalize", "and %s say the same "
		    "thing: give one of them", of->norm_path);
	if (train->norm != NULL && valid->norm != NULL) {
		json_t *w = as_normalize(valid->norm);
		if (!json_equal(v, w))
			rk_refuse_at(of->why, valid->norm_path, "is another "
			    "than %s: a network sees one scale",
			    train->norm_path);
		json_decref(w);
	}
	json_decref(out->v);
	free(out->path);
	*out = (struct sp_normalize){ .v = v, .path = of->norm_path };
	of->norm_path = NULL;
}

/* --- sizes ---------------------------------------------------------------- */

/* A picture on its way; h and w 0: each has its own. */
struct size {
	int64_t h, w;
};

static void
resized(struct size *s, const struct spec_transform_resize *u)
{
	const int64_t a = u->size.v[0];

	if (u->size.n == 2)
		*s = (struct size){ .h = a, .w = u->size.v[1] };
	else if (s->h > 0 && s->h < s->w)
		*s = (struct size){ .h = a, .w = a * s->w / s->h };
	else if (s->h > 0)
		*s = (struct size){ .h = a * s->h / s->w, .w = a };
}

static struct size
cropped(const int crop[2])
{
	return (struct size){ .h = crop[0], .w = crop[1] };
}

enum rk_err
spec_transforms_size(const struct spec_transforms *t, const char *path,
    int64_t h, int64_t w, int64_t size[2], struct rk_why *why)
{
	struct size s = { .h = h, .w = w };

	for (int i = 0; i < t->n; i++) {
		const union spec_transform_fields *u = &t->v[i].u;

		switch (t->v[i].type) {
		case SPEC_T_resize:
			resized(&s, &u->resize);
			break;
		case SPEC_T_center_crop:
			s = cropped(u->center_crop.size);
			break;
		case SPEC_T_random_crop:
			s = cropped(u->random_crop.size);
			break;
		case SPEC_T_random_resized_crop:
			s = cropped(u->random_resized_crop.size);
			break;
		default:
			break;
		}
	}
	size[0] = s.h;
	size[1] = s.w;
	if (s.h * s.w * 3 > SPEC_MAX_WIDTH)
		return rk_refuse_at(why, path, "makes pictures of %lld x %lld, "
		    "more than the %d numbers that a sample may have",
		    (long long)s.h, (long long)s.w, SPEC_MAX_WIDTH);
	return RK_OK;
}

/* What a job says by itself: sizes, and that both lists make one size. */
static void
check_sizes(const struct spec_data *d, struct rk_why *why)
{
	static const char *const paths[] = { "data.transforms.train",
		"data.transforms.validation" };
	int64_t at[2], a[2], b[2];

	begin_with(&d->train, at);
	if (spec_transforms_size(&d->train_transforms, paths[0], at[0], at[1],
	    a, why) != RK_OK)
		return;
	if (d->has_validation)
		begin_with(&d->validation, at);
	if (spec_transforms_size(&d->validation_transforms, paths[1], at[0],
	    at[1], b, why) != RK_OK)
		return;
	if (a[0] > 0 && b[0] > 0 && (a[0] != b[0] || a[1] != b[1]))
		rk_refuse_at(why, paths[1], "makes pictures of %lld x %lld, "
		    "and those of training are %lld x %lld (height x width): "
		    "want the same, as by {type: resize, size: [%lld, %lld]}",
		    (long long)b[0], (long long)b[1], (long long)a[0],
		    (long long)a[1], (long long)a[0], (long long)a[1]);
}

/* --- all ------------------------------------------------------------------ */

void
sp_read_transforms(struct spec_data *d, const json_t *v, const json_t *said,
    struct sp_normalize *norm, struct rk_why *why)
{
	struct rk_why own = { 0 };
	struct reading train = { .source = &d->train, .why = &own,
		.path = "data.transforms.train" };
	struct reading valid = { .source = &d->train, .why = &own,
		.path = "data.transforms.validation", .validation = true };
	struct sp_obj so;

	sp_open(&so, v, "data.transforms", &own);
	read_list(&train, rkj_any(&so.o, "train"), &d->train_transforms);
	read_list(&valid, rkj_any(&so.o, "validation"),
	    &d->validation_transforms);
	sp_close(&so);
	take_normalize(&train, &valid, said, norm);
	if (own.n == 0 && d->train_transforms.n +
	    d->validation_transforms.n > 0 && gives_pictures(&d->train))
		check_sizes(d, &own);
	free(train.norm_path);
	free(valid.norm_path);
	(void)sp_hand_over(&own, why);
}

static json_t *
json_list(const struct spec_transforms *t)
{
	json_t *a = json_array();

	for (int i = 0; i < t->n; i++) {
		const struct spec_transform *x = &t->v[i];
		json_t *o = json_object();
		sp_put(o, "type", json_string(spec_transform_words[x->type]));
		sp_form_put(spec_transform_forms[x->type].fields, &x->u,
		    false, o);
		must(json_array_append_new(a, o) == 0);
	}
	return a;
}

json_t *
sp_json_transforms(const struct spec_data *d)
{
	json_t *o = json_object();

	sp_put(o, "train", json_list(&d->train_transforms));
	sp_put(o, "validation", json_list(&d->validation_transforms));
	return o;
}
