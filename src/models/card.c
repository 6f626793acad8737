/*
 * A model card: what a version is, what it learned from, how good it is, how it
 * was trained, where it comes from, and how to use it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "card.h"
#include "rekindle/models.h"
#include "rekindle/models_views.h"

#define CLASSES_MAX 100         /* names and rows that are listed */
#define NOT_RECORDED "not recorded"

const char *
card_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s != NULL ? s : "";
}

const char *
card_lack(const json_t *record, const char *key)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(record, "left_out"), i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), key) ==
		    0)
			return "too long for the record";
	return NOT_RECORDED;
}

void
card_begin(struct strbuf *b, const char *what)
{
	sb_addf(b, "- **%s:** ", what);
}

/* A line with a text of others; code: as such. */
static void
line(struct strbuf *b, const char *what, const char *s, bool code)
{
	card_begin(b, what);
	if (*s == '\0')
		sb_adds(b, NOT_RECORDED);
	else if (code)
		md_code(b, s, false);
	else
		md_text(b, s);
	sb_addc(b, '\n');
}

void
card_number(struct strbuf *b, const json_t *v)
{
	char digits[RK_HUMAN];

	if (json_is_integer(v))
		sb_adds(b, rk_group_digits(digits, json_integer_value(v)));
	else if (json_is_number(v) && isfinite(json_number_value(v)))
		sb_addf(b, "%.4g", json_number_value(v));
	else
		sb_adds(b, "-");
}

/* --- what it is ----------------------------------------------------------- */

static void
names(struct strbuf *b, const json_t *list)
{
	const size_t n = json_array_size(list);
	const json_t *v;
	size_t i;

	sb_addf(b, "%zu", n);
	json_array_foreach(list, i, v) {
		if (i == CLASSES_MAX) {
			sb_addf(b, ", and %zu more", n - i);
			break;
		}
		sb_adds(b, i == 0 ? ": " : ", ");
		md_code(b, json_is_string(v) ? json_string_value(v) : "?",
		    false);
	}
}

static void
aliases(struct strbuf *b, const json_t *record)
{
	const json_t *list = json_object_get(record, "aliases"), *v;
	size_t i;

	card_begin(b, "Aliases");
	if (json_array_size(list) == 0)
		sb_adds(b, "none");
	json_array_foreach(list, i, v) {
		if (i > 0)
			sb_adds(b, ", ");
		md_code(b, json_is_string(v) ? json_string_value(v) :
		    card_text(v, "alias"), false);
	}
	sb_addc(b, '\n');
}

static void
labels(struct strbuf *b, const json_t *record)
{
	json_t *all = json_object_get(record, "labels"), *v;
	const char *key, *comma = "";

	if (json_object_size(all) == 0)
		return;
	card_begin(b, "Labels");
	json_object_foreach(all, key, v) {
		char *pair = xasprintf("%s=%s", key, json_is_string(v) ?
		    json_string_value(v) : "");
		sb_adds(b, comma);
		md_code(b, pair, false);
		comma = ", ";
		free(pair);
	}
	sb_addc(b, '\n');
}

/* Elements of a shape; false: it is none. */
static bool
elements(const json_t *shape, int64_t *n)
{
	const json_t *d;
	size_t i;

	if (!json_is_array(shape))
		return false;
	*n = 1;
	json_array_foreach(shape, i, d)
		if (!json_is_integer(d) || json_integer_value(d) < 0 ||
		    __builtin_mul_overflow(*n, json_integer_value(d), n))
			return false;
	return true;
}

/* "11,181,642 numbers in 122 tensors" */
static void
size_of(struct strbuf *b, const json_t *tensors)
{
	const json_t *list = json_is_array(tensors) ? tensors :
	    json_object_get(tensors, "tensors"), *t;
	char digits[RK_HUMAN];
	int64_t all = 0, n;
	size_t i;

	json_array_foreach(list, i, t) {
		if (!elements(json_object_get(t, "shape"), &n) ||
		    __builtin_add_overflow(all, n, &all)) {
			list = NULL;
			break;
		}
	}
	card_begin(b, "Parameters");
	if (json_array_size(list) == 0)
		sb_adds(b, NOT_RECORDED);
	else
		sb_addf(b, "%s numbers in %zu tensors, with those that are not "
		    "trained", rk_group_digits(digits, all),
		    json_array_size(list));
	sb_addc(b, '\n');
}

static void
put_input(struct strbuf *b, const json_t *record)
{
	const json_t *in = json_object_get(record, "input");
	json_t *shape = json_object_get(in, "shape");

	card_begin(b, "Input");
	if (json_is_array(shape)) {
		char *text = rkj_text(shape);
		md_code(b, card_text(in, "dtype"), false);
		sb_addc(b, ' ');
		md_code(b, text, false);
		free(text);
	} else {
		sb_adds(b, card_lack(record, "input"));
	}
	sb_addc(b, '\n');
}

static void
put_who(struct strbuf *b, const json_t *record)
{
	const char *author = card_text(record, "author");
	const char *instance = card_text(record, "instance");

	line(b, "Registered", card_text(record, "created_at"), false);
	line(b, "Author", author, false);
	if (*instance != '\0')
		line(b, "Instance", instance, true);
}

static void
what_it_is(struct strbuf *b, const json_t *record, const json_t *tensors)
{
	const json_t *classes = json_object_get(record, "classes");
	const json_t *bytes = json_object_get(record, "bytes");
	char size[RK_HUMAN];

	aliases(b, record);
	put_who(b, record);
	labels(b, record);
	line(b, "Architecture", card_text(record, "arch"), true);
	size_of(b, tensors);
	card_begin(b, "Classes");
	if (json_is_array(classes))
		names(b, classes);
	else
		sb_adds(b, card_lack(record, "classes"));
	sb_addc(b, '\n');
	put_input(b, record);
	line(b, "Format", card_text(record, "model_format"), true);
	line(b, "Size of all files", json_is_integer(bytes) &&
	    json_integer_value(bytes) >= 0 ? rk_human_bytes(size,
	    (uint64_t)json_integer_value(bytes)) : "", false);
	line(b, "SHA-256", card_text(record, "digest"), true);
}

/* --- how to use it -------------------------------------------------------- */

static void
how_to_use(struct strbuf *b, const json_t *record, const char *which)
{
	if (*card_text(record, "arch") == '\0' && !json_is_object(
	    json_object_get(record, "spec"))) {
		sb_addf(b, "Of its network nothing is recorded: `rekindle "
		    "models pull %s DIR` gives the file as it was "
		    "registered.\n", which);
		return;
	}
	sb_addf(b, "- rekindle: `rekindle predict model://%s FILE...`; in a "
	    "job `model: {checkpoint: model://%s}` begins with it\n", which,
	    which);
	sb_addf(b, "- PyTorch: `rekindle models pull %s DIR --format "
	    "pytorch`, then `torch.load(\"DIR/model.pt\")` is its state "
	    "dict\n", which);
	sb_addf(b, "- Paddle: `rekindle models pull %s DIR --format paddle`, "
	    "then `paddle.load(\"DIR/model.pdparams\")` is its state dict\n",
	    which);
}

/* --- data, metrics -------------------------------------------------------- */

static void
put_data(struct strbuf *b, const json_t *record)
{
	const json_t *data = json_object_get(record, "data");
	const json_t *validation = json_object_get(data, "validation");
	const json_t *samples = json_object_get(validation, "samples");

	line(b, "Source", card_text(data, "source"), false);
	line(b, "Training data, digest", card_text(json_object_get(data,
	    "train"), "digest"), true);
	line(b, "Validation data, digest", card_text(validation, "digest"),
	    true);
	if (json_is_integer(samples)) {
		card_begin(b, "Validation samples");
		card_number(b, samples);
		sb_addc(b, '\n');
	}
}

static void
put_metrics(struct strbuf *b, json_t *metrics)
{
	const char *name;
	json_t *v;

	if (json_object_size(metrics) == 0) {
		sb_adds(b, "Metrics: " NOT_RECORDED ".\n");
		return;
	}
	sb_adds(b, "| metric | value |\n|---|---|\n");
	json_object_foreach(metrics, name, v) {
		sb_adds(b, "| ");
		md_code(b, name, true);
		sb_adds(b, " | ");
		card_number(b, v);
		sb_adds(b, " |\n");
	}
}

static void
put_classes(struct strbuf *b, const json_t *record)
{
	const json_t *classes = json_object_get(record, "per_class");
	static const char *const keys[] = { "support", "precision", "recall",
		"f1" };
	const json_t *c;
	size_t i;

	if (json_array_size(classes) == 0) {
		sb_addf(b, "\nOf each class: %s.\n", card_lack(record,
		    "per_class"));
		return;
	}
	sb_adds(b, "\n| class | samples | precision | recall | F1 |\n"
	    "|---|---|---|---|---|\n");
	json_array_foreach(classes, i, c) {
		if (i == CLASSES_MAX) {
			sb_addf(b, "\n%zu classes more are in its record.\n",
			    json_array_size(classes) - i);
			break;
		}
		sb_adds(b, "| ");
		md_code(b, card_text(c, "name"), true);
		for (size_t k = 0; k < RK_ARRAY_LEN(keys); k++) {
			sb_adds(b, " | ");
			card_number(b, json_object_get(c, keys[k]));
		}
		sb_adds(b, " |\n");
	}
}

/* What later evaluations gave, on other data perhaps. */
static void
put_evaluations(struct strbuf *b, const json_t *list)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e) {
		const json_t *data = json_object_get(e, "data");
		if (i == CLASSES_MAX)
			break;
		sb_adds(b, "\nEvaluated on ");
		md_text(b, *card_text(data, "source") != '\0' ?
		    card_text(data, "source") : "data of the digest");
		sb_addc(b, ' ');
		md_code(b, card_text(data, "digest"), false);
		sb_adds(b, ":\n\n");
		put_metrics(b, json_object_get(e, "metrics"));
	}
}

/* --- files ---------------------------------------------------------------- */

static void
put_files(struct strbuf *b, const json_t *files)
{
	const json_t *f;
	size_t i;

	if (json_array_size(files) == 0) {
		sb_adds(b, NOT_RECORDED "\n");
		return;
	}
	sb_adds(b, "| file | bytes | SHA-256 |\n|---|---|---|\n");
	json_array_foreach(files, i, f) {
		sb_adds(b, "| ");
		md_code(b, card_text(f, "name"), true);
		sb_adds(b, " | ");
		card_number(b, json_object_get(f, "size"));
		sb_adds(b, " | ");
		md_code(b, card_text(f, "sha256"), true);
		sb_adds(b, " |\n");
	}
}

char *
models_card(const json_t *record, const json_t *lineage,
    const json_t *tensors)
{
	const json_t *number = json_object_get(record, "version");
	const char *notes = card_text(record, "notes");
	const char *model = card_text(record, "model");
	/* It goes into commands that people paste. */
	if (models_name_ok(model, NULL) != RK_OK)
		model = "MODEL";
	char *which = xasprintf("%s/%lld", model,
	    (long long)json_integer_value(number));
	struct strbuf b = {0};

	sb_adds(&b, "# ");
	md_text(&b, model);
	sb_addf(&b, ", version %lld\n\n",
	    (long long)json_integer_value(number));
	if (json_is_true(json_object_get(record, "deleted")))
		sb_adds(&b, "**This version was deleted.** Its files are gone; "
		    "this is what its record keeps.\n\n");
	what_it_is(&b, record, tensors);
	sb_adds(&b, "\n## How to use it\n\n");
	how_to_use(&b, record, which);
	sb_adds(&b, "\n## Data\n\n");
	put_data(&b, record);
	sb_adds(&b, "\n## Metrics\n\n");
	put_metrics(&b, json_object_get(record, "metrics"));
	put_classes(&b, record);
	put_evaluations(&b, json_object_get(record, "evaluations"));
	sb_adds(&b, "\n## How it was trained\n\n");
	card_recipe(&b, record);
	sb_adds(&b, "\n## Where it comes from\n\n");
	card_lineage(&b, lineage);
	sb_adds(&b, "\n## Files\n\n");
	put_files(&b, json_object_get(record, "files"));
	sb_adds(&b, "\n## Notes\n\n");
	if (*notes != '\0')
		md_quote(&b, notes);
	else
		sb_adds(&b, NOT_RECORDED "\n");
	free(which);
	return sb_detach(&b);
}
