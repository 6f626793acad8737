/* What a network says of a sample, as a line of JSON: see lines.h. */
#include <math.h>

#include "lines.h"

#define TOP 5

static void
put_name(const struct lines *p, json_t *o, const char *key, int64_t k)
{
	const char *s = json_string_value(json_array_get(p->names,
	    (size_t)k));

	if (s != NULL)
		js_put(o, key, js_text(s));
}

/* Output k, with what it is worth. */
static void
put_class(const struct lines *p, json_t *o, int64_t k, double worth)
{
	js_put(o, "class", json_integer(k));
	put_name(p, o, "name", k);
	js_put(o, p->says == SAYS_SCORE ? "score" : "probability",
	    js_number(worth));
}

/* The place of the largest that is not taken yet, the first of equals; NaN is
 * below all. */
static int64_t
next_largest(const float *z, int64_t n, const int64_t *taken, int ntaken)
{
	int64_t at = -1;

	for (int64_t k = 0; k < n; k++) {
		bool is_taken = false;
		for (int i = 0; i < ntaken; i++)
			is_taken |= taken[i] == k;
		if (!is_taken && (at < 0 || z[k] > z[at] ||
		    (isnan(z[at]) && !isnan(z[k]))))
			at = k;
	}
	return at;
}

/* As judge.h has it: a NaN, or the largest is infinite; of labels a NaN, and of
 * a number what is none. */
static bool
says_nothing(const struct lines *p, const float *z, int64_t n)
{
	float top = z[0];

	for (int64_t k = 0; k < n; k++) {
		if (isnan(z[k]))
			return true;
		top = RK_MAX(top, z[k]);
	}
	return p->says == SAYS_NUMBER ? isinf(z[0]) :
	    p->says != SAYS_LABELS && isinf(top);
}

static void
put_nothing(const struct lines *p, json_t *o)
{
	static const struct {
		const char *key, *worth;
	} words[] = {
		[SAYS_CLASS] = { "class", "probability" },
		[SAYS_LABELS] = { "labels", NULL },
		[SAYS_NUMBER] = { "value", NULL },
		[SAYS_SCORE] = { "class", "score" },
	};

	js_put(o, words[p->says].key, json_null());
	if (words[p->says].worth != NULL)
		js_put(o, words[p->says].worth, json_null());
	if (p->says != SAYS_NUMBER)
		js_put(o, "top", json_array());
}

/* softmax, by the largest; or sigmoid; or the output itself. */
static double
worth_of(const struct lines *p, const float *z, int64_t n, int64_t k)
{
	double sum = 0, top = -HUGE_VAL;

	if (p->says == SAYS_LABELS)
		return 1 / (1 + exp(-(double)z[k]));
	if (p->says != SAYS_CLASS)
		return z[k];
	for (int64_t i = 0; i < n; i++)
		top = RK_MAX(top, (double)z[i]);
	for (int64_t i = 0; i < n; i++)
		sum += exp((double)z[i] - top);
	return exp((double)z[k] - top) / sum;
}

static void
put_labels(const struct lines *p, json_t *o, const float *z, int64_t n)
{
	json_t *labels = json_array();

	for (int64_t k = 0; k < n; k++) {
		if (!(z[k] > 0))
			continue;
		json_t *e = json_object();
		put_class(p, e, k, worth_of(p, z, n, k));
		must(json_array_append_new(labels, e) == 0);
	}
	js_put(o, "labels", labels);
}

static void
put_top(const struct lines *p, json_t *o, const float *z, int64_t n)
{
	int64_t taken[TOP];
	json_t *top = json_array();

	for (int i = 0; i < TOP && i < n; i++) {
		json_t *e = json_object();
		taken[i] = next_largest(z, n, taken, i);
		put_class(p, e, taken[i], worth_of(p, z, n, taken[i]));
		must(json_array_append_new(top, e) == 0);
	}
	if (p->says == SAYS_LABELS)
		put_labels(p, o, z, n);
	else
		put_class(p, o, taken[0], worth_of(p, z, n, taken[0]));
	js_put(o, "top", top);
}

void
lines_put_outputs(struct lines *p, json_t *o, const float *z, int64_t n)
{
	const bool nothing = says_nothing(p, z, n);

	p->said++;
	p->nothing += nothing;
	if (nothing)
		put_nothing(p, o);
	else if (p->says == SAYS_NUMBER)
		js_put(o, "value", js_number(z[0]));
	else
		put_top(p, o, z, n);
}

void
lines_put_label(const struct lines *p, json_t *o, const struct data_set *d,
    int64_t i)
{
	if (d->many_from != NULL) {
		json_t *labels = json_array();
		for (int64_t k = d->many_from[i]; k < d->many_from[i + 1]; k++)
			must(json_array_append_new(labels, json_integer(
			    d->many[k])) == 0);
		js_put(o, "label", labels);
	} else if (d->classes != NULL && p->says != SAYS_NUMBER) {
		js_put(o, "label", json_integer(d->classes[i]));
		put_name(p, o, "label_name", d->classes[i]);
	} else {
		js_put(o, "label", js_number(d->targets[i]));
	}
}

enum lines_says
lines_says(const struct run *r)
{
	const enum spec_loss_type l = r->spec->training.loss.type;

	if (l == SPEC_BINARY_CROSS_ENTROPY)
		return SAYS_LABELS;
	if (!spec_loss_is_regression(l))
		return SAYS_CLASS;
	return nn_outputs(r->nn) == 1 ? SAYS_NUMBER : SAYS_SCORE;
}

json_t *
lines_path(const char *path)
{
	json_t *v = json_string(path);

	return v != NULL ? v : js_text(path);
}
