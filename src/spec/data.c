/* The block `data`: who validates, and how samples are normalised. */
#include <math.h>
#include <stdlib.h>

#include "read.h"

const char *const spec_norm_words[] = { "none", "scale", "standard", NULL };

/* mean or std: a number or a list of them.  NULL if absent or wrong. */
static double *
read_channels(struct rkj_obj *o, const char *key, double lo, int *n)
{
	const char *want = lo < 0 ? "a number -1e6 to 1e6" :
	    "a number above 0, at most 1e6";
	const json_t *v = rkj_any(o, key);
	const bool list = json_is_array(v);
	size_t count = list ? json_array_size(v) : 1;
	bool ok = true;

	if (v == NULL)
		return NULL;
	if (count < 1 || count > SPEC_MAX_CHANNELS) {
		rkj_fault(o, key, "has %zu numbers, want 1 to %d", count,
		    SPEC_MAX_CHANNELS);
		return NULL;
	}
	double *out = xcalloc(count, sizeof(*out));
	for (size_t i = 0; i < count; i++) {
		char at[64];
		snprintf(at, sizeof(at), list ? "%s.%s[%zu]" : "%s.%s",
		    o->path, key, i);
		ok &= sp_real_value(list ? json_array_get(v, i) : v, at,
		    &out[i], lo, 1e6, lo < 0 ? 0 : SP_ABOVE, want, o->why);
	}
	o->bad |= !ok;
	*n = (int)count;
	return out;
}

/* Samples become x * (1 / std) - mean / std, in floats. */
static void
check_scale(const struct spec_normalize *n, struct rkj_obj *o)
{
	const bool list = json_is_array(rkj_any(o, "std"));

	for (int i = 0; i < n->n; i++) {
		const double std = n->std[i], mean = n->mean[i];
		char at[64];
		snprintf(at, sizeof(at), list ? "%s.std[%d]" : "%s.std",
		    o->path, i);
		if (!isfinite((float)(1 / std)))
			rk_refuse_at(o->why, at, "is %.15g, want a number whose "
			    "reciprocal is finite as a 32-bit float: 3e-39 or "
			    "more", std);
		else if (!isfinite((float)(mean / std)))
			rk_refuse_at(o->why, at, "is %.15g, and mean %.15g: "
			    "want mean / std finite as a 32-bit float (below "
			    "3.4e38)", std, mean);
	}
}

static double *
all_of(double value, int n)
{
	double *v = xcalloc((size_t)n, sizeof(*v));

	for (int i = 0; i < n; i++)
		v[i] = value;
	return v;
}

/* What a source's samples take, and what is meant where a job says nothing. */
static const struct {
	enum spec_norm_type def;
	bool scale;                     /* standard and none are for all */
} norm_of[] = {
	[SPEC_IDX] = { SPEC_NORM_SCALE, true },
	[SPEC_CSV] = { SPEC_NORM_STANDARD, false },
	[SPEC_CIFAR] = { SPEC_NORM_SCALE, true },
	[SPEC_SYNTHETIC] = { SPEC_NORM_NONE, true },
	[SPEC_NPY] = { SPEC_NORM_SCALE, true },
	[SPEC_NPZ] = { SPEC_NORM_SCALE, true },
	[SPEC_TEXT] = { SPEC_NORM_NONE, true },
	[SPEC_IMAGE_FOLDER] = { SPEC_NORM_SCALE, true },
};

/* Some kinds are for numbers of some kinds. */
static void
check_norm_type(struct rkj_obj *o, enum spec_norm_type type,
    const struct spec_source *source)
{
	if ((source->vocabulary > 0 || source->type == SPEC_TEXT) &&
	    type != SPEC_NORM_NONE)
		rkj_fault(o, "type", "is %s, and tokens are whole numbers that "
		    "stay as they are: want none", spec_norm_words[type]);
	else if (type == SPEC_NORM_SCALE && !norm_of[source->type].scale)
		rkj_fault(o, "type", "is scale, which is for pixels: %s "
		    "takes standard or none",
		    sp_source_words[source->type]);
	else if (type == SPEC_NORM_STANDARD &&
	    source->type == SPEC_IMAGE_FOLDER)
		rkj_fault(o, "type", "is standard, for which all images would "
		    "be read before the first step: image_folder takes none, or "
		    "scale with mean and std");
}

static void
read_normalize(struct spec_normalize *n, const json_t *v, const char *path,
    const struct spec_source *source, struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;
	int type = source->vocabulary > 0 ? SPEC_NORM_NONE :
	    norm_of[source->type].def;
	int nmean = 0, nstd = 0;

	sp_open_typed(&so, v, path, why);
	rkj_enum(o, "type", &type, spec_norm_words, RKJ_OPTIONAL);
	n->type = (enum spec_norm_type)type;
	if (!o->bad)
		check_norm_type(o, n->type, source);
	bool scale = type == SPEC_NORM_SCALE;
	if (sp_takes(o, "mean", scale, "scale", spec_norm_words[type]))
		n->mean = read_channels(o, "mean", -1e6, &nmean);
	if (sp_takes(o, "std", scale, "scale", spec_norm_words[type]))
		n->std = read_channels(o, "std", 0, &nstd);
	n->n = RK_MAX(nmean, nstd);
	if (nmean != 0 && nstd != 0 && nmean != nstd)
		rkj_fault(o, "std", "has %d number%s and mean %d: want as "
		    "many", nstd, rk_s(nstd), nmean);
	if (nmean == 0 && nstd != 0 && n->mean == NULL)
		n->mean = all_of(0, nstd);
	if (nstd == 0 && nmean != 0 && n->std == NULL)
		n->std = all_of(1, nmean);
	if (!o->bad && n->std != NULL)
		check_scale(n, o);
	sp_close(&so);
}

/* How much of the training samples is held out, and which. */
static void
read_split(struct spec_data *d, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *how = rkj_any(o, "split");
	struct sp_obj so;
	int64_t seed = 1;

	rkj_real(o, "validation_split", &d->validation_split, 0, 0.9,
	    RKJ_OPTIONAL);
	if (d->has_validation && d->validation_split > 0)
		rkj_fault(o, "validation_split", "and validation say the same "
		    "thing: give one of them");
	d->split_seed_said = rkj_any(o, "split_seed") != NULL;
	rkj_int(o, "split_seed", &seed, 0, SP_MAX_SEED, RKJ_OPTIONAL);
	d->split_seed = (uint64_t)seed;
	if (d->has_validation && d->split_seed_said)
		rkj_fault(o, "split_seed", "is for validation_split, and "
		    "validation has files of its own");
	sp_open(&so, how, "data.split", why);
	d->stratify_said = rkj_any(&so.o, "stratify") != NULL;
	rkj_bool(&so.o, "stratify", &d->stratify, RKJ_OPTIONAL);
	if (d->stratify && d->validation_split <= 0 && !o->bad)
		rkj_fault(&so.o, "stratify", "is true, and there is no "
		    "validation_split whose share it would make exact");
	sp_close(&so);
}

/* What the network learns from; of jobs that use one, what form samples have,
 * which may be told by what is scored, or be that of pictures. */
static void
read_train(struct spec_data *d, struct rkj_obj *o, const json_t *train,
    const json_t *valid, struct rk_why *why)
{
	struct rk_why told = {0};       /* of data.validation, which says it */

	d->has_train = train != NULL;
	if (train != NULL)
		sp_read_source(&d->train, train, "data.train", why);
	else if (d->kind == SPEC_JOB_TRAIN && o->v != NULL)
		rkj_fault(o, "train", "is missing, want {type: ..., ...}: what "
		    "the network learns from");
	else if (d->kind == SPEC_JOB_EVALUATE && valid != NULL)
		sp_read_source(&d->train, valid, "data.validation", &told);
	else
		d->train = (struct spec_source){ .type = SPEC_IMAGE_FOLDER,
			.channels = 3 };
	rk_why_fini(&told);
	if (d->kind == SPEC_JOB_EVALUATE && valid == NULL)
		rkj_fault(o, "validation", "is missing, want {type: ..., ...}: "
		    "what the model is scored on");
}

void
sp_read_data(struct spec_data *d, const json_t *v, struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;

	sp_open(&so, v, "data", why);
	const json_t *train = rkj_any(o, "train");
	const json_t *valid = rkj_any(o, "validation");
	read_train(d, o, train, valid, why);
	if (valid != NULL) {
		d->has_validation = true;
		json_t *filled = sp_text_fill(train, valid);
		sp_read_source(&d->validation, filled, "data.validation", why);
		json_decref(filled);
		if (!o->bad && train != NULL &&
		    d->validation.type != d->train.type)
			rkj_fault(o, "validation", "is %s and train is %s: "
			    "want the same",
			    sp_source_words[d->validation.type],
			    sp_source_words[d->train.type]);
		else if (!o->bad && train != NULL &&
		    d->kind == SPEC_JOB_TRAIN &&
		    d->train.type == SPEC_SYNTHETIC &&
		    d->validation.seed == d->train.seed)
			rkj_fault(o, "validation", "has the seed of train, "
			    "%llu, so its samples would be those of train: "
			    "want another", (unsigned long long)
			    d->train.seed);
		if (!o->bad)
			sp_text_same(o, &d->train, &d->validation);
		sp_image_folder_as(&d->validation, &d->train, valid);
	}
	read_split(d, o, why);
	struct sp_normalize norm;
	sp_read_transforms(d, rkj_any(o, "transforms"),
	    rkj_any(o, "normalize"), &norm, why);
	read_normalize(&d->normalize, norm.v, norm.path, &d->train, why);
	json_decref(norm.v);
	free(norm.path);
	sp_read_loading(d, o);
	sp_read_inputs(d, o);
	sp_read_input(d, o);
	sp_close(&so);
}

void
sp_free_data(struct spec_data *d)
{
	sp_free_source(&d->train);
	sp_free_source(&d->validation);
	free(d->normalize.mean);
	free(d->normalize.std);
	for (int i = 0; i < d->ninputs; i++)
		free(d->inputs[i]);
	json_decref(d->input);
}
