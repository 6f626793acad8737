/*
 * The record of a version (etc/model-version.schema.json): all that is known of
 * where it came from, when it is registered.  What is too long for a record
 * (RECORD_PART) is null, and named in `left_out`.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/judge.h"
#include "register.h"

#define EVALUATION "{\"evaluation\":"

static json_t *
text_or_null(const char *s)
{
	return s != NULL && s[0] != '\0' ? json_string(s) : json_null();
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v != NULL ? v : json_null()) == 0);
}

/* Takes v. */
static void
put_part(json_t *o, const char *key, json_t *v)
{
	char *text = v != NULL ? rkj_text(v) : NULL;
	const bool fits = text == NULL || strlen(text) <= RECORD_PART;
	json_t *list = json_object_get(o, "left_out");

	free(text);
	put(o, key, fits ? v : json_null());
	if (fits)
		return;
	json_decref(v);
	if (list == NULL) {
		put(o, "left_out", json_array());
		list = json_object_get(o, "left_out");
	}
	must(json_array_append_new(list, json_string(key)) == 0);
}

static json_t *
record_new(const struct record_head *h)
{
	const struct reg_request *q = h->request;
	json_t *o = json_object();
	char at[RK_TIME];

	put(o, "format", json_integer(1));
	put(o, "model", json_string(h->model));
	put(o, "id", json_string(h->id));
	put(o, "created_at", json_string(rk_time_text(at, h->created_ms)));
	put(o, "author", text_or_null(q->author));
	put(o, "instance", text_or_null(h->instance));
	put(o, "notes", text_or_null(q->notes));
	put(o, "labels", q->labels != NULL ? json_deep_copy(q->labels) :
	    json_object());
	return o;
}

/* --- what a checkpoint says ----------------------------------------------- */

static json_t *
data_set(const json_t *said, const char *digest)
{
	const json_t *hex = json_object_get(said, "digest");
	const json_t *samples = json_object_get(said, "samples");

	if (!json_is_string(hex) && digest[0] == '\0')
		return json_null();
	json_t *o = json_object();
	put(o, "digest", json_is_string(hex) ? json_string(json_string_value(
	    hex)) : json_string(digest));
	if (json_is_integer(samples))
		put(o, "samples", json_integer(json_integer_value(samples)));
	return o;
}

json_t *
record_data(const struct spec *spec, const struct ckpt_info *i)
{
	const json_t *data = json_object_get(i->state, "data");
	json_t *o = json_object(), *source = json_object_get(spec->metadata,
	    "data_source");

	put(o, "source", json_is_string(source) ? json_incref(source) : NULL);
	put(o, "train", data_set(json_object_get(data, "train"),
	    i->data_digest));
	put(o, "validation", data_set(json_object_get(data, "validation"),
	    ""));
	lineage_scrub(o);
	return o;
}

/* --- the evaluation ------------------------------------------------------- */

static bool
is_of(const json_t *v, const struct ckpt_info *i)
{
	const json_t *step = json_object_get(v, "step");
	const json_t *branch = json_object_get(v, "branch");

	return json_is_integer(step) && json_integer_value(step) == i->step &&
	    json_is_integer(branch) && json_integer_value(branch) ==
	    i->branch && json_is_object(json_object_get(v, "metrics"));
}

/* The newest of evaluations.jsonl at the checkpoint's step; a new reference;
 * NULL.  Only lines with the digits of the step are parsed. */
static json_t *
evaluation_of(const struct ckpt_info *i, const char *text, size_t len)
{
	json_t *found = NULL, *v;
	char part[40];

	const size_t n = (size_t)snprintf(part, sizeof(part), "\"step\":%lld",
	    (long long)i->step);
	for (size_t at = 0; at < len;) {
		const char *s = text + at, *nl = memchr(s, '\n', len - at);
		const size_t m = nl != NULL ? (size_t)(nl - s) : len - at;
		at += m + 1;
		if (strncmp(s, EVALUATION, RK_MIN(m, strlen(EVALUATION))) !=
		    0 || memmem(s, m, part, n) == NULL ||
		    rkj_parse_json(s, m, &v, NULL) != RK_OK)
			continue;
		if (is_of(v, i)) {
			json_decref(found);
			found = v;
		} else {
			json_decref(v);
		}
	}
	return found;
}

/* What was measured with the checkpoint, and by the evaluation of its step. */
static json_t *
metrics_of(const struct ckpt_info *i, const json_t *evaluation)
{
	json_t *o = i->metrics != NULL ? json_deep_copy(i->metrics) :
	    json_object(), *v;
	const char *key;

	json_object_foreach(json_object_get(evaluation, "metrics"), key, v) {
		char *word = xasprintf("val_%s", key);
		if (json_is_number(v))
			must(json_object_set(o, word, v) == 0);
		free(word);
	}
	return o;
}

static json_t *
per_class_of(const json_t *evaluation)
{
	struct judge *j = NULL;
	json_t *report, *classes = NULL;

	if (evaluation == NULL || judge_parse(json_object_get(evaluation,
	    "counts"), &j, NULL) != RK_OK)
		return NULL;
	report = judge_report(j, json_object_get(evaluation, "names"));
	judge_free(j);
	classes = json_object_get(report, "classes");
	json_incref(classes);
	json_decref(report);
	return classes;
}

/* --- whole ---------------------------------------------------------------- */

static void
put_spec(json_t *o, const struct spec *spec)
{
	json_t *tree = spec != NULL ? spec_json(spec) : NULL;
	json_t *arch = json_object_get(json_object_get(tree, "model"), "arch");

	put(o, "arch", json_is_string(arch) ? json_incref(arch) :
	    tree != NULL ? json_string("layers") : NULL);
	lineage_scrub(tree);
	put_part(o, "spec", tree);
}

json_t *
record_of_job(const struct record_head *h, const struct job_row *r,
    const struct spec *spec, const struct ckpt_info *i,
    const char *evaluations, size_t len, json_t *lineage)
{
	json_t *o = record_new(h), *e = evaluation_of(i, evaluations, len);
	json_t *source = json_object();

	put(source, "kind", json_string("job"));
	put(source, "job", json_string(r->id));
	put(source, "name", json_string(r->name));
	put(source, "checkpoint", json_string(i->dir));
	put(source, "step", json_integer(i->step));
	put(source, "epoch", json_integer(i->epoch));
	put(o, "source", source);
	put_spec(o, spec);
	put_part(o, "classes", i->classes != NULL ? json_deep_copy(
	    i->classes) : NULL);
	put_part(o, "input", i->input != NULL ? json_deep_copy(i->input) :
	    NULL);
	put(o, "metrics", metrics_of(i, e));
	put_part(o, "per_class", per_class_of(e));
	put(o, "data", record_data(spec, i));
	put(o, "lineage", lineage);
	json_decref(e);
	return o;
}

json_t *
record_of_file(const struct record_head *h, const char *address,
    const char *sha256, json_t *lineage)
{
	const struct spec *spec = h->request->spec;
	json_t *o = record_new(h), *source = json_object();
	char *shown = lineage_address(address);

	rk_text_clean(shown);
	put(source, "kind", json_string("file"));
	put(source, "address", json_string(shown));
	put(source, "sha256", text_or_null(sha256));
	put(o, "source", source);
	put_spec(o, spec);
	put(o, "classes", json_null());
	put(o, "input", json_null());
	put(o, "metrics", json_object());
	put(o, "per_class", json_null());
	put(o, "data", json_pack("{s:n, s:n, s:n}", "source", "train",
	    "validation"));
	put(o, "lineage", lineage);
	free(shown);
	return o;
}

void
record_put_files(json_t *record, const json_t *files, const char *digest,
    const char *format)
{
	json_t *list = json_array();
	json_int_t bytes = 0;
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)files, i, f) {
		const json_t *size = json_object_get(f, "size");
		bytes += json_integer_value(size);
		must(json_array_append_new(list, json_pack("{s:O, s:O, s:O}",
		    "name", json_object_get(f, "name"), "size", size,
		    "sha256", json_object_get(f, "sha256"))) == 0);
	}
	put(record, "files", list);
	put(record, "digest", json_string(digest));
	put(record, "bytes", json_integer(bytes));
	put(record, "model_format", json_string(format));
}
