/* Which lines of a job take the most out of a file: see warm_suggest.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/warm_suggest.h"
#include "impl.h"

/* A job's warm start that is tried. */
struct attempt {
	struct warm_want want;
	struct spec_warm spec;
	struct spec_grow grow[SPEC_MAX_GROW];   /* layers are owned */
	struct warm_plan *plan;
	enum rk_err rc;
};

/* A loose start, which is to show all that it could do.  dialect: the one to
 * read names by, where that is known: to try them all takes time. */
static void
attempt_init(struct attempt *a, const struct warm_want *w,
    enum spec_dialect dialect)
{
	*a = (struct attempt){ .want = *w };
	a->want.strict = false;
	a->want.spec = &a->spec;
	a->spec.grow = a->grow;
	a->spec.minimum_said = true;
	a->spec.dialect = dialect;
}

static void
try(struct attempt *a)
{
	struct rk_why why = {0};

	warm_plan_free(a->plan);
	a->rc = warm_plan_new(&a->plan, &a->want, &why);
	must(a->plan != NULL);          /* there is no model.rename */
	rk_why_fini(&why);
}

static void
attempt_fini(struct attempt *a)
{
	warm_plan_free(a->plan);
	for (int i = 0; i < a->spec.ngrow; i++)
		free(a->grow[i].layer);
}

/* --- growth --------------------------------------------------------------- */

static bool
is_of_layer(const char *tensor, const char *layer)
{
	const int len = warm_layer_len(tensor);

	return strncmp(tensor, layer, (size_t)len) == 0 &&
	    layer[len] == '\0';
}

static void
add_layer(struct attempt *a, const char *tensor)
{
	for (int i = 0; i < a->spec.ngrow; i++)
		if (is_of_layer(tensor, a->grow[i].layer))
			return;
	if (a->spec.ngrow == SPEC_MAX_GROW)
		return;
	a->grow[a->spec.ngrow++] = (struct spec_grow){
		.layer = xstrndup(tensor, (size_t)warm_layer_len(tensor)),
		.match = SPEC_GROW_NAME };
}

/* What could grow, of a plan without growth: shapes that differ, and a head
 * whose rows are other classes'. */
static void
add_layers(struct attempt *a, const struct warm_plan *plain)
{
	const bool differ = warm_classes_differ(plain->want);

	for (size_t i = 0; i < plain->nmodel; i++) {
		const struct warm_row *r = &plain->v[i];
		const struct warm_tensor *m = &plain->want->model[i];
		if (m->buffer || r->file < 0)
			continue;
		if (r->fault == SPEC_MISMATCH ||
		    (differ && m->rows == WARM_ROWS_CLASSES))
			add_layer(a, m->name);
	}
}

/* Does something of the layer grow, and nothing fail to? */
static bool
grows(const struct warm_plan *p, const char *layer)
{
	bool any = false;

	for (size_t i = 0; i < p->nmodel; i++) {
		const struct warm_row *r = &p->v[i];
		if (!is_of_layer(p->want->model[i].name, layer))
			continue;
		if (r->ungrown != NULL || (r->action == WARM_GROW &&
		    r->grown.named && r->grown.kept == 0))
			return false;
		any |= r->action == WARM_GROW;
	}
	return any;
}

/* Leave out what cannot grow; is anything left out? */
static bool
prune(struct attempt *a)
{
	const int before = a->spec.ngrow;
	int n = 0;

	for (int i = 0; i < before; i++) {
		if (grows(a->plan, a->grow[i].layer))
			a->grow[n++] = a->grow[i];
		else
			free(a->grow[i].layer);
	}
	a->spec.ngrow = n;
	return n < before;
}

/* --- the lines ------------------------------------------------------------ */

static bool
is_accepted(struct attempt *a, bool strict)
{
	a->want.strict = strict;
	try(a);
	return a->rc == RK_OK;
}

/* As few words as will do: true where a job would be accepted. */
static bool
settle(struct attempt *a)
{
	a->spec.dialect = SPEC_DIALECT_UNSAID;
	a->spec.minimum_said = false;
	if (is_accepted(a, true) || is_accepted(a, false))
		return true;
	const double outside = (double)a->plan->outside;
	const double share = outside > 0 ?
	    (double)warm_loaded_outside(a->plan) / outside : 0;
	a->spec.minimum_said = share < spec_warm_minimum(&a->spec, false);
	a->spec.minimum = floor(share * 100) / 100;
	if (is_accepted(a, false))
		return true;
	a->spec.dialect = a->plan->dialect;
	return is_accepted(a, false);
}

static json_t *
lines_json(const struct attempt *a)
{
	json_t *o = json_pack("{s:b}", "strict", (int)a->want.strict);
	json_t *grow = json_array();

	must(o != NULL);
	for (int i = 0; i < a->spec.ngrow; i++) {
		char *layer = rk_text_clean(xstrdup(a->grow[i].layer));
		must(json_array_append_new(grow, json_string(layer)) == 0);
		free(layer);
	}
	if (a->spec.ngrow > 0)
		must(json_object_set(o, "grow", grow) == 0);
	json_decref(grow);
	if (a->spec.minimum_said)
		must(json_object_set_new(o, "minimum",
		    json_real(a->spec.minimum)) == 0);
	if (a->spec.dialect != SPEC_DIALECT_UNSAID)
		must(json_object_set_new(o, "dialect", json_string(
		    spec_dialect_words[a->spec.dialect])) == 0);
	return o;
}

/* A part is never said to be the whole. */
static double
share_of(const struct warm_plan *p)
{
	const double share = (double)p->loaded / (double)p->parameters;

	return p->loaded < p->parameters ? floor(share * 1e6) / 1e6 : 1;
}

static json_t *
suggestion(const struct attempt *best, const struct warm_plan *plain)
{
	const struct warm_plan *p = best->plan;
	char *reason = warm_suggest_reason(plain, p);
	json_int_t ignored = 0;

	for (size_t i = p->nmodel; i < p->n; i++)
		ignored += p->v[i].fault == SPEC_UNEXPECTED;
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:f, s:I, s:s, s:o}",
	    "parameters_loaded", (json_int_t)p->loaded,
	    "parameters_total", (json_int_t)p->parameters,
	    "tensors_loaded", (json_int_t)p->tensors,
	    "tensors_total", (json_int_t)p->nmodel, "share", share_of(p),
	    "ignored", ignored, "reason", reason, "model", lines_json(best));
	must(o != NULL);
	free(reason);
	return o;
}

static bool
is_worth_it(const struct warm_plan *p)
{
	return p->loaded > 0 && (double)p->loaded >= WARM_SUGGEST_LEAST *
	    (double)p->parameters;
}

/* A strict start would take it as it is. */
static bool
is_whole(const struct attempt *a)
{
	const struct warm_plan *p = a->plan;

	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].fault != SPEC_FAULTS)
			return false;
	return a->rc == RK_OK && !warm_classes_differ(&a->want);
}

json_t *
warm_suggest(const struct warm_want *want)
{
	struct attempt plain, best;
	json_t *o = NULL;

	attempt_init(&plain, want, SPEC_DIALECT_UNSAID);
	try(&plain);
	attempt_init(&best, want, plain.plan->dialect);
	if (is_whole(&plain)) {
		plain.want.strict = true;
		plain.spec.minimum_said = false;
		if (is_worth_it(plain.plan))
			o = suggestion(&plain, plain.plan);
	} else {
		add_layers(&best, plain.plan);
		do
			try(&best);
		while (prune(&best));
		if (is_worth_it(best.plan) && settle(&best))
			o = suggestion(&best, plain.plan);
	}
	attempt_fini(&best);
	attempt_fini(&plain);
	return o;
}
