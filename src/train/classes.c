/* The classes of the data: by their names in the order of a model's, and how
 * many samples each has. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define LISTED 4096             /* classes whose counts are told */
#define NAMED  24               /* ... in a sentence */

/* Samples of each class, [nclasses]; of several labels each counts.  NULL: the
 * labels are no classes. */
static int64_t *
count(const struct data_set *d)
{
	if (d->nclasses == 0 || (d->classes == NULL && d->many_from == NULL))
		return NULL;
	int64_t *v = xcalloc((size_t)d->nclasses, sizeof(*v));
	for (int64_t i = 0; d->classes != NULL && i < d->n; i++)
		v[d->classes[i]]++;
	for (int64_t k = 0; d->many_from != NULL && k < d->many_from[d->n];
	    k++)
		v[d->many[k]]++;
	return v;
}

/* The largest share over the smallest of those that have any; 0: there is
 * none. */
static double
balance(const int64_t *v, int64_t n)
{
	int64_t least = 0, most = 0;

	for (int64_t i = 0; i < n; i++) {
		most = RK_MAX(most, v[i]);
		if (v[i] > 0 && (least == 0 || v[i] < least))
			least = v[i];
	}
	return least > 0 ? (double)most / (double)least : 0;
}

json_t *
classes_json(const struct data_set *d)
{
	json_t *shape = json_array(), *names = json_array();
	json_t *counts = json_array();
	int64_t *v = count(d);

	for (int i = 0; i < d->ndim; i++)
		must(json_array_append_new(shape, json_integer(d->d[i])) == 0);
	json_t *o = json_pack("{s:I, s:o, s:I}", "samples", (json_int_t)d->n,
	    "shape", shape, "classes", (json_int_t)d->nclasses);
	must(o != NULL);
	for (int64_t i = 0; i < RK_MIN(d->nclasses, LISTED); i++) {
		if (d->names != NULL)
			must(json_array_append_new(names, js_text(
			    d->names[i])) == 0);
		if (v != NULL)
			must(json_array_append_new(counts, json_integer(
			    v[i])) == 0);
	}
	if (v != NULL)
		js_put(o, "balance", json_real(balance(v, d->nclasses)));
	if (json_array_size(counts) > 0)
		js_put(o, "counts", json_incref(counts));
	if (json_array_size(names) > 0)
		js_put(o, "names", json_incref(names));
	json_decref(counts);
	json_decref(names);
	free(v);
	return o;
}

char *
classes_sentence(const struct data_set *d)
{
	char digits[RK_HUMAN];
	struct strbuf b = { 0 };
	int64_t *v = count(d);

	sb_addf(&b, "%s samples", rk_group_digits(digits, d->n));
	if (v == NULL)
		return sb_detach(&b);
	sb_addf(&b, " of %lld classes", (long long)d->nclasses);
	for (int64_t i = 0; i < RK_MIN(d->nclasses, NAMED); i++) {
		sb_adds(&b, i == 0 ? ": " : ", ");
		if (d->names != NULL)
			sb_addf(&b, "%.80s", d->names[i]);
		else
			sb_addf(&b, "%lld", (long long)i);
		sb_addf(&b, " %s", rk_group_digits(digits, v[i]));
	}
	if (d->nclasses > NAMED)
		sb_addf(&b, ", and %lld more", (long long)d->nclasses - NAMED);
	const double x = balance(v, d->nclasses);
	if (x > 1)
		sb_addf(&b, "; the largest has %.3g times as many as the "
		    "smallest", x);
	free(v);
	return sb_detach(&b);
}

/* --- the order of a model's ----------------------------------------------- */

static bool
refuse(struct run *r, struct rk_why *why)
{
	run_fail(r, "bad_data", true, "%s", rk_why_first(why));
	rk_why_fini(why);
	return false;
}

bool
classes_match(struct run *r, const json_t *names, const char *what)
{
	const size_t n = json_array_size(names);
	const bool own = r->o->evaluate == NULL;
	struct strbuf others = { 0 };
	struct rk_why why = { 0 };
	bool ok = true;

	if (n == 0)
		return true;
	const char **table = xcalloc(n, sizeof(*table));
	for (size_t i = 0; i < n; i++)
		table[i] = json_string_value(json_array_get(names, i));
	if (data_match_classes(r->train, r->valid, table, (int64_t)n, &others,
	    &why) != RK_OK)
		ok = refuse(r, &why);
	else if (others.len > 0 && !own)
		ok = run_fail(r, "bad_data", true, "data: %s was not trained to "
		    "tell the class%s %s", what, strstr(others.s, "\", \"") !=
		    NULL ? "es" : "", others.s);
	else if (others.len > 0)
		report_warning(&r->rep, "classes", "classes that %s does not "
		    "know take places of their own behind its classes, or of "
		    "those that these data do not have: %s", what, others.s);
	free(table);
	sb_fini(&others);
	return ok;
}
