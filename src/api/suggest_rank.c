/*
 * Suggestions in their order: see suggest.h.
 *
 * Figures are compared where they were measured on the same data.  So that this
 * is an order all the same, candidates that are equal but for figures are
 * grouped by their data: first those of the job's own, then by the newest of
 * each group; within a group the better figure is first.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suggest.h"

struct one {
	const json_t *said, *known;     /* of the trainer, and ours */
	const json_t *metrics;
	const char *id, *data;          /* "": its data are not known */
	int64_t loaded, created_ms, group_ms;
	bool same_arch, own_data, measured;
	double figure;                  /* larger is better */
};

struct ask {
	const json_t *said, *job;
	const char *arch, *metric, *train, *validation;
	double sign;
};

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

/* What the trainer says of a job's checkpoint, the record of a version. */
static json_t *
fact(const struct one *x, const char *key)
{
	json_t *v = json_object_get(x->known, key);

	return v != NULL ? v : json_object_get(x->said, key);
}

/* --- one ------------------------------------------------------------------ */

/* Digests of its training and validation data, "" for what is not known. */
static void
data_of(const struct one *x, const char **train, const char **validation)
{
	const json_t *data = fact(x, "data");

	*train = text(data, "train");
	*validation = text(data, "validation");
}

/* Its figures on the job's own data, where it was evaluated on these, too. */
static bool
take_evaluation(struct one *x, const struct ask *a)
{
	const json_t *list = fact(x, "evaluations"), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *digest = text(json_object_get(v, "data"),
		    "digest");
		const json_t *metrics = json_object_get(v, "metrics");
		if (a->validation[0] == '\0' || strcmp(digest,
		    a->validation) != 0 || json_object_get(metrics,
		    a->metric) == NULL)
			continue;
		x->metrics = metrics;
		x->data = a->validation;
		return true;
	}
	return false;
}

static void
measure(struct one *x, const struct ask *a)
{
	const char *arch = json_string_value(fact(x, "arch"));
	const char *when = json_string_value(fact(x, "created_at"));
	const char *train, *validation;

	data_of(x, &train, &validation);
	x->loaded = json_integer_value(json_object_get(x->said,
	    "parameters_loaded"));
	x->same_arch = arch != NULL && strcmp(arch, a->arch) == 0;
	x->data = validation[0] != '\0' ? validation : train;
	x->metrics = fact(x, "metrics");
	x->own_data = (x->data[0] != '\0' && strcmp(x->data,
	    validation[0] != '\0' ? a->validation : a->train) == 0) ||
	    take_evaluation(x, a);
	const json_t *figure = json_object_get(x->metrics, a->metric);
	x->measured = x->data[0] != '\0' && json_is_number(figure);
	x->figure = x->measured ? a->sign * json_number_value(figure) : 0;
	if (when == NULL || !rk_time_parse(when, &x->created_ms))
		x->created_ms = 0;
	x->group_ms = x->created_ms;
}

/* --- order ---------------------------------------------------------------- */

#define DOWN(a, b) do { \
	if ((a) != (b)) \
		return (a) > (b) ? -1 : 1; \
} while (0)

static int
by_group(const void *pa, const void *pb)
{
	const struct one *a = pa, *b = pb;

	DOWN(a->loaded, b->loaded);
	DOWN(a->same_arch, b->same_arch);
	DOWN(a->own_data, b->own_data);
	DOWN(a->group_ms, b->group_ms);
	return strcmp(a->data, b->data);
}

static int
by_all(const void *pa, const void *pb)
{
	const struct one *a = pa, *b = pb;
	const int c = by_group(a, b);

	if (c != 0)
		return c;
	DOWN(a->measured, b->measured);
	DOWN(a->figure, b->figure);
	DOWN(a->created_ms, b->created_ms);
	return strcmp(a->id, b->id);
}

static int
by_data(const void *pa, const void *pb)
{
	const struct one *a = pa, *b = pb;

	DOWN(a->loaded, b->loaded);
	DOWN(a->same_arch, b->same_arch);
	const int c = strcmp(a->data, b->data);
	if (c != 0)
		return c;
	DOWN(a->created_ms, b->created_ms);
	return 0;
}

static void
order(struct one *v, size_t n)
{
	if (n == 0)
		return;
	qsort(v, n, sizeof(*v), by_data);
	for (size_t i = 1; i < n; i++)
		if (v[i].data[0] != '\0' && v[i].loaded == v[i - 1].loaded &&
		    v[i].same_arch == v[i - 1].same_arch &&
		    strcmp(v[i].data, v[i - 1].data) == 0)
			v[i].group_ms = v[i - 1].group_ms;
	qsort(v, n, sizeof(*v), by_all);
}

/* --- the lines ------------------------------------------------------------ */

/* What the job says of another file. */
static const char *const of_another[] = { "dialect", "rename", "missing",
	"unexpected", "mismatch", "minimum", "producer", "grow",
	"checkpoint_classes", "checkpoint_vocabulary" };

static const char *const words[] = { "strict", "grow", "minimum", "dialect" };

/* A merge patch (RFC 7396): what the job says of another file is null. */
static json_t *
lines_of(const struct one *x, const struct ask *a, const char *source)
{
	const json_t *is = json_object_get(a->job, "model");
	const json_t *start = json_object_get(json_object_get(a->job,
	    "training"), "warm_start");
	const json_t *said = json_object_get(x->said, "model");
	json_t *model = json_object();

	put(model, "checkpoint", json_string(source));
	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++)
		if (json_object_get(said, words[i]) != NULL)
			put(model, words[i], json_incref(json_object_get(said,
			    words[i])));
	for (size_t i = 0; i < RK_ARRAY_LEN(of_another); i++)
		if (json_object_get(is, of_another[i]) != NULL &&
		    json_object_get(model, of_another[i]) == NULL)
			put(model, of_another[i], json_null());
	json_t *o = json_pack("{s:o}", "model", model);
	must(o != NULL);
	if (json_is_string(json_object_get(start, "plan")))
		put(o, "training", json_pack("{s:{s:n}}", "warm_start",
		    "plan"));
	return o;
}

/* The same as a person writes it; what is to go is a comment. */
static char *
yaml_of(const json_t *lines)
{
	json_t *model = json_copy(json_object_get(lines, "model")), *v;
	struct strbuf gone = {0};
	const char *key;
	void *next;

	json_object_foreach_safe(model, next, key, v) {
		if (!json_is_null(v))
			continue;
		sb_addf(&gone, "# without model.%s\n", key);
		json_object_del(model, key);
	}
	if (json_object_get(lines, "training") != NULL)
		sb_adds(&gone, "# without training.warm_start.plan\n");
	json_t *o = json_pack("{s:o}", "model", model);
	must(o != NULL);
	char *yaml = rkj_yaml(o, 2);
	char *all = xasprintf("%s%s", yaml, sb_str(&gone));
	free(yaml);
	sb_fini(&gone);
	json_decref(o);
	return all;
}

static json_t *
equal_json(const char *theirs, const char *ours)
{
	return theirs[0] == '\0' || ours[0] == '\0' ? json_null() :
	    json_boolean(strcmp(theirs, ours) == 0);
}

static json_t *
suggestion(const struct one *x, const struct ask *a)
{
	static const char *const inner[] = { "id", "model", "data",
		"selector" };
	static const char *const ours[] = { "data", "evaluations", "others" };
	json_t *o = json_copy((json_t *)(uintptr_t)x->said);
	const char *selector = text(x->said, "selector");
	const char *train, *validation, *source = text(x->known, "source");
	char *at = selector[0] != '\0' ? xasprintf("%s/%s", source, selector) :
	    xstrdup(source);

	for (size_t i = 0; i < RK_ARRAY_LEN(inner); i++)
		(void)!json_object_del(o, inner[i]);
	must(json_object_update(o, (json_t *)(uintptr_t)x->known) == 0);
	data_of(x, &train, &validation);
	for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++)
		(void)!json_object_del(o, ours[i]);
	put(o, "metrics", json_is_object(x->metrics) ? json_incref((json_t *)
	    (uintptr_t)x->metrics) : json_object());
	put(o, "source", json_string(at));
	put(o, "same_arch", json_string_value(fact(x, "arch")) == NULL ?
	    json_null() : json_boolean(x->same_arch));
	put(o, "same_data", json_pack("{s:o, s:o}", "train", equal_json(train,
	    a->train), "validation", x->data == a->validation ? json_true() :
	    equal_json(validation, a->validation)));
	json_t *lines = lines_of(x, a, at);
	char *yaml = yaml_of(lines);
	put(o, "yaml", json_string(yaml));
	put(o, "lines", lines);
	free(yaml);
	free(at);
	return o;
}

/* --- its own warm start --------------------------------------------------- */

static int
percent(const json_t *o)
{
	const double all = json_number_value(json_object_get(o,
	    "parameters_total"));

	return all > 0 ? (int)floor(100 * json_number_value(json_object_get(o,
	    "parameters_loaded")) / all) : 0;
}

/* How what the job has compares with the best there is. */
static json_t *
own_json(const struct ask *a, const json_t *best)
{
	json_t *o = json_deep_copy(json_object_get(a->said, "own"));
	const json_t *got = json_object_get(o, "parameters_loaded");
	char *s;

	if (!json_is_object(o))
		return o;
	if (got == NULL)
		s = xasprintf("what the job begins from could not be compared: "
		    "%s", text(o, "error"));
	else if (best == NULL || json_integer_value(json_object_get(best,
	    "parameters_loaded")) <= json_integer_value(got))
		s = xasprintf("nothing that was looked at loads more than the "
		    "%d %% that the job begins with", percent(o));
	else
		s = xasprintf("%s would load %d %% of the parameters, where "
		    "the job begins with %d %%", text(best, "source"),
		    percent(best), percent(o));
	put(o, "compared", json_string(s));
	free(s);
	return o;
}

/* --- all ------------------------------------------------------------------ */

/* ID to what people call it, of what could not be read. */
static json_t *
unreadable_json(const json_t *said, const json_t *known)
{
	const json_t *list = json_object_get(said, "unreadable"), *v;
	json_t *out = json_array();
	size_t i;

	json_array_foreach(list, i, v) {
		const json_t *k = json_object_get(known, text(v, "id"));
		json_t *o = json_pack("{s:s, s:s}", "source", k != NULL ?
		    text(k, "source") : text(v, "id"), "why", text(v, "why"));
		must(o != NULL && json_array_append_new(out, o) == 0);
	}
	return out;
}

struct all {
	struct one *v;
	size_t n;
};

static void
add(struct all *all, const struct ask *a, const json_t *said,
    const json_t *known, const char *id)
{
	struct one x = { .said = said, .id = id,
		.known = json_object_get(known, id) };

	if (x.known == NULL)                    /* deleted meanwhile */
		return;
	measure(&x, a);
	all->v = xrealloc(all->v, (all->n + 1) * sizeof(*all->v));
	all->v[all->n++] = x;
}

static void
collect(struct all *all, const struct ask *a, const json_t *known)
{
	const json_t *list = json_object_get(a->said, "candidates"), *v, *other;
	size_t i, k;

	*all = (struct all){0};
	json_array_foreach(list, i, v) {
		const char *id = text(v, "id");
		add(all, a, v, known, id);
		json_array_foreach(json_object_get(json_object_get(known, id),
		    "others"), k, other)
			add(all, a, v, known, json_string_value(other));
	}
	order(all->v, all->n);
}

json_t *
suggest_answer(const json_t *said, json_t *known, const json_t *job,
    int64_t limit)
{
	const json_t *data = json_object_get(said, "data");
	const struct ask a = { .said = said, .job = job,
		.arch = text(said, "arch"), .metric = text(said, "metric"),
		.train = text(data, "train"),
		.validation = text(data, "validation"),
		.sign = json_is_true(json_object_get(said,
		    "larger_is_better")) ? 1 : -1 };
	json_t *list = json_array();
	struct all all;

	collect(&all, &a, known);
	for (size_t i = 0; i < all.n && (int64_t)i < limit; i++)
		must(json_array_append_new(list, suggestion(&all.v[i], &a)) ==
		    0);
	json_t *o = json_pack("{s:s, s:s, s:s, s:O, s:o, s:o, s:O, s:I}",
	    "name", text(said, "name"), "arch", a.arch, "metric", a.metric,
	    "data", data, "suggestions", list, "unreadable",
	    unreadable_json(said, known), "little", json_object_get(said,
	    "little"), "more", (json_int_t)(all.n - json_array_size(list)));
	must(o != NULL);
	put(o, "own", own_json(&a, json_array_get(list, 0)));
	free(all.v);
	return o;
}
