/* The block `data`: where samples come from and how they are normalised. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "read.h"

const char *const sp_source_words[] = { "idx", "csv", NULL };
const char *const sp_norm_words[] = { "none", "scale", "standard", NULL };

/* "scheme://" at the beginning; all else is a path, whatever is in it. */
static bool
has_scheme(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return n > 0 && strncmp(s + n, "://", 3) == 0;
}

/* A file's path, or an address; a file: address becomes its path. */
static void
read_path(struct rkj_obj *o, const char *key, char **out)
{
	struct rk_why w = {0};
	struct rk_uri u;

	if (!rkj_str(o, key, out, SP_MAX_PATH, RKJ_REQUIRED))
		return;
	if ((*out)[0] == '\0') {
		rkj_fault(o, key, "is empty, want the path of a file");
	} else if (spec_is_address(*out)) {
		if (sp_check_address(*out, &w) != RK_OK)
			rkj_fault(o, key, "%s", w.v[0].message);
	} else if (has_scheme(*out)) {
		if (strncasecmp(*out, "file:", 5) != 0) {
			rkj_fault(o, key, "is \"%.*s\", want the path of a "
			    "file, or an address of s3:, oss:, https: or http:",
			    (int)rk_text_fit(*out, 80), *out);
		} else if (rk_uri_parse(&u, *out, &w) != RK_OK) {
			rkj_fault(o, key, "%s", w.v[0].message);
		} else {
			free(*out);
			*out = xstrdup(u.path);
			rk_uri_fini(&u);
		}
	}
	rk_why_fini(&w);
}

static void
read_label(struct spec_source *s, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "label");

	if (v == NULL)
		rkj_fault(o, "label", "is missing: the name of the label's "
		    "column, or its number from 0 (-1 is the last)");
	else if (json_is_string(v))
		rkj_str(o, "label", &s->label_name, 1024, RKJ_REQUIRED);
	else
		rkj_int(o, "label", &s->label_index, -(1 << 24), 1 << 24,
		    RKJ_REQUIRED);
	if (s->label_name != NULL && s->label_name[0] == '\0')
		rkj_fault(o, "label", "is empty");
}

static void
read_header(struct spec_source *s, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "header");
	char shown[SP_SHOWN];

	if (v == NULL)
		return;
	if (json_is_boolean(v))
		s->header = json_is_true(v) ? SPEC_HEADER_YES : SPEC_HEADER_NO;
	else if (!json_is_string(v) ||
	    strcmp(json_string_value(v), "auto") != 0)
		rkj_fault(o, "header", "is %s, want auto, true or false",
		    sp_shown(v, shown));
}

static void
read_delimiter(struct spec_source *s, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "delimiter");
	const char *d = v != NULL ? json_string_value(v) : NULL;
	char shown[SP_SHOWN];

	if (v == NULL)
		return;
	/* Nothing that can be part of a number, a quote or a line's end. */
	if (d != NULL && json_string_length(v) == 1 &&
	    strchr(",;\t|: ", d[0]) != NULL)
		s->delimiter = d[0];
	else
		rkj_fault(o, "delimiter", "is %s, want one of , ; | : space "
		    "and tab", sp_shown(v, shown));
}

static void
read_source(struct spec_source *s, const json_t *v, const char *path,
    struct rk_why *why)
{
	static const struct {
		const char *key;
		enum spec_source_type type;
	} keys[] = {
		{ "images", SPEC_IDX }, { "labels", SPEC_IDX },
		{ "path", SPEC_CSV }, { "label", SPEC_CSV },
		{ "header", SPEC_CSV }, { "delimiter", SPEC_CSV },
	};
	struct sp_obj so;
	struct rkj_obj *o = &so.o;
	int type;

	s->delimiter = ',';
	sp_open(&so, v, path, why);
	bool known = rkj_enum(o, "type", &type, sp_source_words, RKJ_REQUIRED);
	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
		sp_takes(o, keys[i].key, !known ||
		    (enum spec_source_type)type == keys[i].type,
		    sp_source_words[keys[i].type],
		    known ? sp_source_words[type] : "");
	if (known)
		s->type = (enum spec_source_type)type;
	if (known && s->type == SPEC_IDX) {
		read_path(o, "images", &s->images);
		read_path(o, "labels", &s->labels);
	} else if (known) {
		read_path(o, "path", &s->path);
		read_label(s, o);
		read_header(s, o);
		read_delimiter(s, o);
	}
	sp_close(&so);
}

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

static double *
all_of(double value, int n)
{
	double *v = xcalloc((size_t)n, sizeof(*v));

	for (int i = 0; i < n; i++)
		v[i] = value;
	return v;
}

static void
read_normalize(struct spec_normalize *n, const json_t *v,
    enum spec_source_type source, struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;
	int type = source == SPEC_IDX ? SPEC_NORM_SCALE : SPEC_NORM_STANDARD;
	int nmean = 0, nstd = 0;

	sp_open_typed(&so, v, "data.normalize", why);
	rkj_enum(o, "type", &type, sp_norm_words, RKJ_OPTIONAL);
	n->type = (enum spec_norm_type)type;
	if (type == SPEC_NORM_SCALE && source == SPEC_CSV && !o->bad)
		rkj_fault(o, "type", "is scale, which is for idx: csv takes "
		    "standard or none");
	bool scale = type == SPEC_NORM_SCALE;
	if (sp_takes(o, "mean", scale, "scale", sp_norm_words[type]))
		n->mean = read_channels(o, "mean", -1e6, &nmean);
	if (sp_takes(o, "std", scale, "scale", sp_norm_words[type]))
		n->std = read_channels(o, "std", 0, &nstd);
	n->n = RK_MAX(nmean, nstd);
	if (nmean != 0 && nstd != 0 && nmean != nstd)
		rkj_fault(o, "std", "has %d numbers and mean %d: want as many",
		    nstd, nmean);
	if (nmean == 0 && nstd != 0 && n->mean == NULL)
		n->mean = all_of(0, nstd);
	if (nstd == 0 && nmean != 0 && n->std == NULL)
		n->std = all_of(1, nmean);
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

void
sp_read_data(struct spec_data *d, const json_t *v, struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;

	sp_open(&so, v, "data", why);
	const json_t *train = rkj_any(o, "train");
	const json_t *valid = rkj_any(o, "validation");
	if (train != NULL)
		read_source(&d->train, train, "data.train", why);
	else if (o->v != NULL)
		rkj_fault(o, "train", "is missing");
	if (valid != NULL) {
		d->has_validation = true;
		read_source(&d->validation, valid, "data.validation", why);
		if (!o->bad && train != NULL &&
		    d->validation.type != d->train.type)
			rkj_fault(o, "validation", "is %s and train is %s: "
			    "want the same",
			    sp_source_words[d->validation.type],
			    sp_source_words[d->train.type]);
	}
	read_split(d, o, why);
	read_normalize(&d->normalize, rkj_any(o, "normalize"), d->train.type,
	    why);
	sp_close(&so);
}

static void
free_source(struct spec_source *s)
{
	free(s->images);
	free(s->labels);
	free(s->path);
	free(s->label_name);
}

void
sp_free_data(struct spec_data *d)
{
	free_source(&d->train);
	free_source(&d->validation);
	free(d->normalize.mean);
	free(d->normalize.std);
}
