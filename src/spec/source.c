/* Where samples come from: `data.train` and `data.validation`, read and put
 * into their normal form, and the files that they name. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "read.h"

#define MAX_SAMPLES ((int64_t)1 << 31)
#define MAX_CLASSES (1 << 20)

const char *const sp_source_words[] = {
	"idx", "csv", "cifar", "synthetic", "npy", "npz", "text", "image_folder",
	NULL
};
const char *const spec_label_words[] = { "fine", "coarse", NULL };

/* Which types take a field. */
#define OF(type) (1u << SPEC_##type)
static const struct {
	const char *key;
	unsigned types;
} keys[] = {
	{ "images", OF(IDX) },
	{ "labels", OF(IDX) | OF(NPY) | OF(NPZ) },
	{ "path", OF(CSV) | OF(CIFAR) | OF(NPY) | OF(NPZ) | OF(TEXT) |
	    OF(IMAGE_FOLDER) },
	{ "label", OF(CSV) | OF(CIFAR) | OF(TEXT) },
	{ "header", OF(CSV) | OF(TEXT) },
	{ "delimiter", OF(CSV) | OF(TEXT) },
	{ "classes", OF(CIFAR) | OF(SYNTHETIC) | OF(TEXT) },
	{ "shape", OF(SYNTHETIC) | OF(NPY) | OF(NPZ) },
	{ "tokens", OF(SYNTHETIC) },
	{ "vocabulary", OF(SYNTHETIC) | OF(NPY) | OF(NPZ) },
	{ "samples", OF(SYNTHETIC) },
	{ "seed", OF(SYNTHETIC) },
	{ "text", OF(TEXT) }, { "pair", OF(TEXT) }, { "encoding", OF(TEXT) },
	{ "tokenizer", OF(TEXT) }, { "length", OF(TEXT) },
	{ "buckets", OF(TEXT) },
	{ "features", OF(NPZ) },
	{ "list", OF(IMAGE_FOLDER) },
	{ "size", OF(IMAGE_FOLDER) },
	{ "channels", OF(IMAGE_FOLDER) },
};

/* "csv, cifar and npy": the types whose bits are set. */
static char *
types_text(unsigned types)
{
	struct strbuf b = {0};

	for (int i = 0; sp_source_words[i] != NULL; i++) {
		if (!(types >> i & 1))
			continue;
		if (b.len > 0)
			sb_adds(&b, types >> i == 1 ? " and " : ", ");
		sb_adds(&b, sp_source_words[i]);
	}
	return sb_detach(&b);
}

/* known: the type is; else each key may be the right one. */
static void
check_key(struct rkj_obj *o, const char *key, unsigned types, int type,
    bool known)
{
	if (rkj_any(o, key) == NULL || !known || (types >> type & 1))
		return;
	char *of = types_text(types);
	rkj_fault(o, key, "is for %s, not for %s", of, sp_source_words[type]);
	free(of);
}

/* --- files ---------------------------------------------------------------- */

/* "scheme://" or "file:" at the beginning; all else is a path, whatever is in
 * it. */
static bool
has_scheme(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return (n > 0 && strncmp(s + n, "://", 3) == 0) ||
	    strncasecmp(s, "file:", 5) == 0;
}

/* A file's path, or an address; a file: address becomes its path. */
static enum rk_err
check_path(char **out, struct rk_why *why)
{
	struct rk_uri u;

	if ((*out)[0] == '\0')
		return rk_refuse(why, "is empty, want the path of a file");
	if (spec_is_address(*out) && strstr(*out, "#member=") != NULL)
		return rk_refuse(why, "is \"%.*s\": a file in an archive is "
		    "only taken as model.checkpoint",
		    (int)rk_text_fit(*out, 80), *out);
	if (spec_is_address(*out))
		return sp_check_address(*out, why);
	if (!has_scheme(*out))
		return RK_OK;
	if (strncasecmp(*out, "file:", 5) != 0)
		return rk_refuse(why, "is \"%.*s\", want the path of a file, "
		    "or an address of s3:, oss:, https: or http:",
		    (int)rk_text_fit(*out, 80), *out);
	enum rk_err rc = rk_uri_parse(&u, *out, why);
	if (rc != RK_OK)
		return rc;
	free(*out);
	*out = xstrdup(u.path);
	rk_uri_fini(&u);
	return RK_OK;
}

void
sp_read_path(struct rkj_obj *o, const char *key, char **out, int required)
{
	struct rk_why w = {0};

	if (rkj_str(o, key, out, SP_MAX_PATH, required) &&
	    check_path(out, &w) != RK_OK)
		rkj_fault(o, key, "%s", w.v[0].message);
	rk_why_fini(&w);
}

bool
sp_read_listed(struct rkj_obj *o, const json_t *v, const char *key, char **out)
{
	const size_t n = json_string_length(v);
	struct rk_why w = {0};
	char shown[SP_SHOWN];

	if (!json_is_string(v)) {
		rkj_fault(o, key, "is %s, want text", sp_shown(v, shown));
		return false;
	}
	if (n > SP_MAX_PATH) {
		rkj_fault(o, key, "is %zu bytes long, want at most %d", n,
		    SP_MAX_PATH);
		return false;
	}
	*out = xstrdup(json_string_value(v));
	if (check_path(out, &w) != RK_OK)
		rkj_fault(o, key, "%s", w.v[0].message);
	rk_why_fini(&w);
	return true;
}

/* A path, or a list of them. */
static void
read_paths(struct spec_source *s, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "path");
	const size_t n = json_array_size(v);

	if (!json_is_array(v)) {
		sp_read_path(o, "path", &s->files[0], RKJ_REQUIRED);
		s->nfiles = s->files[0] != NULL;
		return;
	}
	if (n < 1 || n > SPEC_MAX_FILES) {
		rkj_fault(o, "path", "has %zu files, want 1 to %d", n,
		    SPEC_MAX_FILES);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		char key[32];
		snprintf(key, sizeof(key), "path[%zu]", i);
		if (sp_read_listed(o, json_array_get(v, i), key,
		    &s->files[s->nfiles]))
			s->nfiles++;
	}
}

static size_t
add_file(struct spec_file *v, size_t n, const char *side, const char *key,
    char **name)
{
	if (*name == NULL)
		return n;
	v[n] = (struct spec_file){ .name = name };
	snprintf(v[n].field, sizeof(v[n].field), "data.%s.%s", side, key);
	return n + 1;
}

/* Of a class or with columns, and the vocabulary. */
static size_t
add_text_files(struct spec_file *v, size_t n, const char *side,
    struct spec_source *s)
{
	char key[80];

	n = add_file(v, n, side, "path", &s->path);
	for (int i = 0; i < s->nfiles; i++) {
		snprintf(key, sizeof(key), "classes.%s",
		    s->text.class_names[i]);
		n = add_file(v, n, side, key, &s->files[i]);
	}
	return add_file(v, n, side, "tokenizer.vocabulary",
	    &s->text.vocabulary);
}

static size_t
add_files(struct spec_file *v, size_t n, const char *side,
    struct spec_source *s)
{
	char key[24];

	switch (s->type) {
	case SPEC_IDX:
		n = add_file(v, n, side, "images", &s->images);
		return add_file(v, n, side, "labels", &s->labels);
	case SPEC_NPY:
		n = add_file(v, n, side, "path", &s->path);
		return add_file(v, n, side, "labels", &s->labels);
	case SPEC_CSV:
	case SPEC_NPZ:
		return add_file(v, n, side, "path", &s->path);
	case SPEC_CIFAR:
		for (int i = 0; i < s->nfiles; i++) {
			snprintf(key, sizeof(key), "path[%d]", i);
			n = add_file(v, n, side, s->nfiles > 1 ? key : "path",
			    &s->files[i]);
		}
		return n;
	case SPEC_TEXT:
		return add_text_files(v, n, side, s);
	case SPEC_IMAGE_FOLDER:
		if (s->path != NULL) {
			n = add_file(v, n, side, "path", &s->path);
			v[n - 1].folder = true;
		}
		return add_file(v, n, side, "list", &s->list);
	case SPEC_SYNTHETIC:
		break;
	}
	return n;
}

size_t
spec_files(struct spec_data *d, struct spec_file v[SPEC_FILES])
{
	size_t n = 0;
	char key[24];

	if (d->kind == SPEC_JOB_TRAIN)
		n = add_files(v, n, "train", &d->train);
	else if (d->has_train && d->train.type == SPEC_TEXT)
		n = add_file(v, n, "train.tokenizer", "vocabulary",
		    &d->train.text.vocabulary);
	for (int i = 0; i < d->ninputs; i++) {
		snprintf(key, sizeof(key), "data.inputs[%d]", i);
		v[n] = (struct spec_file){ .name = &d->inputs[i],
			.folder = true };
		memcpy(v[n++].field, key, sizeof(key));
	}
	return d->has_validation ?
	    add_files(v, n, "validation", &d->validation) : n;
}

/* --- csv ------------------------------------------------------------------ */

void
sp_read_header(struct spec_source *s, struct rkj_obj *o)
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

void
sp_read_delimiter(struct spec_source *s, struct rkj_obj *o)
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

/* --- cifar ---------------------------------------------------------------- */

static void
read_records(struct spec_source *s, struct rkj_obj *o)
{
	int label = SPEC_LABEL_FINE;
	bool sound;

	s->classes = 10;
	sound = rkj_any(o, "classes") == NULL ||
	    rkj_int(o, "classes", &s->classes, 10, 100, RKJ_OPTIONAL);
	if (sound && s->classes != 10 && s->classes != 100)
		rkj_fault(o, "classes", "is %lld, want 10 (records of "
		    "CIFAR-10) or 100 (of CIFAR-100)", (long long)s->classes);
	rkj_enum(o, "label", &label, spec_label_words, RKJ_OPTIONAL);
	s->label = (enum spec_label)label;
	if (sound && s->classes == 10 && s->label != SPEC_LABEL_FINE)
		rkj_fault(o, "label", "is %s, and records of 10 classes have "
		    "one label: want classes: 100",
		    spec_label_words[s->label]);
}

/* --- synthetic ------------------------------------------------------------ */

void
sp_read_shape(struct spec_source *s, struct rkj_obj *o)
{
	int64_t all = 1;

	if (!sp_ints(o, "shape", s->shape, &s->ndim, 1, SPEC_MAX_DIMS, 1,
	    SPEC_MAX_WIDTH, RKJ_REQUIRED))
		return;
	for (int i = 0; i < s->ndim; i++) {
		all *= s->shape[i];     /* below 2^48 */
		if (all <= SPEC_MAX_WIDTH)
			continue;
		rkj_fault(o, "shape", "is of more than the %d numbers that a "
		    "sample may have", SPEC_MAX_WIDTH);
		return;
	}
}

static void
read_synthetic(struct spec_source *s, struct rkj_obj *o)
{
	const bool shape = rkj_any(o, "shape") != NULL;
	const bool tokens = rkj_any(o, "tokens") != NULL;
	int64_t seed = 1;

	s->classes = 10;
	rkj_int(o, "classes", &s->classes, 2, MAX_CLASSES, RKJ_OPTIONAL);
	rkj_int(o, "samples", &s->samples, 1, MAX_SAMPLES, RKJ_REQUIRED);
	rkj_int(o, "seed", &seed, 0, SP_MAX_SEED, RKJ_OPTIONAL);
	s->seed = (uint64_t)seed;
	if (shape && tokens) {
		rkj_fault(o, "tokens", "and shape are both given: want tokens "
		    "for whole numbers, or shape for floats");
	} else if (tokens) {
		rkj_int(o, "tokens", &s->tokens, 1, SPEC_MAX_WIDTH,
		    RKJ_REQUIRED);
	} else if (shape) {
		sp_read_shape(s, o);
	} else if (o->v != NULL) {
		rkj_fault(o, "shape", "is missing, and so is tokens: want one "
		    "of them");
	}
	if (sp_takes(o, "vocabulary", tokens || !shape, "tokens",
	    "a shape") && tokens && !shape)
		rkj_int(o, "vocabulary", &s->vocabulary, 2, SPEC_MAX_WIDTH,
		    RKJ_REQUIRED);
}

/* --- all ------------------------------------------------------------------ */

void
sp_read_source(struct spec_source *s, const json_t *v, const char *path,
    struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;
	int type = 0;

	s->delimiter = ',';
	sp_open(&so, v, path, why);
	bool known = rkj_enum(o, "type", &type, sp_source_words, RKJ_REQUIRED);
	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
		check_key(o, keys[i].key, keys[i].types, type, known);
	if (known) {
		s->type = (enum spec_source_type)type;
		switch (s->type) {
		case SPEC_IDX:
			sp_read_path(o, "images", &s->images, RKJ_REQUIRED);
			sp_read_path(o, "labels", &s->labels, RKJ_REQUIRED);
			break;
		case SPEC_CSV:
			sp_read_path(o, "path", &s->path, RKJ_REQUIRED);
			sp_read_column(o, "label", "label", &s->label_name,
			    &s->label_index, RKJ_REQUIRED);
			sp_read_header(s, o);
			sp_read_delimiter(s, o);
			break;
		case SPEC_CIFAR:
			read_paths(s, o);
			read_records(s, o);
			break;
		case SPEC_SYNTHETIC:
			read_synthetic(s, o);
			break;
		case SPEC_NPY:
		case SPEC_NPZ:
			sp_read_array(s, o);
			break;
		case SPEC_TEXT:
			sp_read_text(s, o, why);
			break;
		case SPEC_IMAGE_FOLDER:
			sp_read_image_folder(s, o);
			break;
		}
	}
	sp_close(&so);
}

void
sp_free_source(struct spec_source *s)
{
	free(s->images);
	free(s->labels);
	free(s->path);
	free(s->label_name);
	sp_free_text(&s->text);
	free(s->features);
	free(s->list);
	for (int i = 0; i < SPEC_MAX_FILES; i++)
		free(s->files[i]);
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static void
put_csv(json_t *o, const struct spec_source *s)
{
	const char delimiter[2] = { s->delimiter, '\0' };

	put(o, "path", json_string(s->path));
	put(o, "label", s->label_name != NULL ? json_string(s->label_name) :
	    json_integer(s->label_index));
	put(o, "header", s->header == SPEC_HEADER_AUTO ? json_string("auto") :
	    json_boolean(s->header == SPEC_HEADER_YES));
	put(o, "delimiter", json_string(delimiter));
}

/* One file is no list; one label has no choice. */
static void
put_cifar(json_t *o, const struct spec_source *s)
{
	json_t *all = json_array();

	for (int i = 0; i < s->nfiles; i++)
		must(json_array_append_new(all, json_string(s->files[i])) ==
		    0);
	put(o, "path", s->nfiles == 1 ? json_string(s->files[0]) :
	    json_incref(all));
	json_decref(all);
	put(o, "classes", json_integer(s->classes));
	if (s->classes != 10)
		put(o, "label", json_string(spec_label_words[s->label]));
}

json_t *
sp_json_shape(const struct spec_source *s)
{
	json_t *shape = json_array();

	for (int i = 0; i < s->ndim; i++)
		must(json_array_append_new(shape, json_integer(s->shape[i])) ==
		    0);
	return shape;
}

static void
put_synthetic(json_t *o, const struct spec_source *s)
{
	if (s->tokens > 0) {
		put(o, "tokens", json_integer(s->tokens));
		put(o, "vocabulary", json_integer(s->vocabulary));
	} else {
		put(o, "shape", sp_json_shape(s));
	}
	put(o, "classes", json_integer(s->classes));
	put(o, "samples", json_integer(s->samples));
	put(o, "seed", json_integer((json_int_t)s->seed));
}

json_t *
sp_json_source(const struct spec_source *s)
{
	json_t *o = json_object();

	put(o, "type", json_string(sp_source_words[s->type]));
	switch (s->type) {
	case SPEC_IDX:
		put(o, "images", json_string(s->images));
		put(o, "labels", json_string(s->labels));
		break;
	case SPEC_CSV:
		put_csv(o, s);
		break;
	case SPEC_CIFAR:
		put_cifar(o, s);
		break;
	case SPEC_SYNTHETIC:
		put_synthetic(o, s);
		break;
	case SPEC_NPY:
	case SPEC_NPZ:
		sp_put_array(o, s);
		break;
	case SPEC_TEXT:
		sp_put_text(o, s);
		break;
	case SPEC_IMAGE_FOLDER:
		sp_put_image_folder(o, s);
		break;
	}
	return o;
}
