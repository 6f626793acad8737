/* module: warm */
/*
 * Any bytes as a file of candidates: refused with one sentence, or candidates,
 * each of which is planned for a small network, and what is suggested of it is
 * no more than there is.
 */
#include <string.h>

#include "rekindle/warm_suggest.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define T(n, k, r, nd, ...) { .name = (n), .dtype = DT_F32, .ndim = (nd), \
	.d = { __VA_ARGS__ }, .kind = (k), .rows = (r), .same_as = -1 }
static const struct warm_tensor model[] = {
	T("conv1.weight", WARM_CONV, WARM_ROWS_UNNAMED, 4, 2, 3, 1, 1),
	T("hidden.weight", WARM_LINEAR, WARM_ROWS_UNNAMED, 2, 2, 2),
	T("hidden.bias", WARM_OTHER, WARM_ROWS_UNNAMED, 1, 2),
	T("fc.weight", WARM_LINEAR, WARM_ROWS_CLASSES, 2, 3, 2),
	T("fc.bias", WARM_OTHER, WARM_ROWS_CLASSES, 1, 3),
};
static const char *const classes[] = { "a", "b", "c" };

static void
look(const json_t *v)
{
	const json_int_t got = json_integer_value(json_object_get(v,
	    "parameters_loaded")), all = json_integer_value(json_object_get(v,
	    "parameters_total"));
	const double share = json_number_value(json_object_get(v, "share"));

	must(got > 0 && got <= all && 10 * got >= all);
	must(share > 0 && share <= 1 && (share < 1) == (got < all));
	must(json_string_length(json_object_get(v, "reason")) > 0);
	must(json_is_boolean(json_object_get(json_object_get(v, "model"),
	    "strict")));
}

static void
plan(const struct warm_candidate *c, const struct warm_list *l)
{
	const char *names[8];
	size_t n = json_array_size(c->classes);

	n = n <= RK_ARRAY_LEN(names) ? n : 0;
	for (size_t i = 0; i < n; i++)
		names[i] = json_string_value(json_array_get(c->classes, i));
	const struct warm_want want = {
		.model = model, .nmodel = RK_ARRAY_LEN(model),
		.file = l->v, .nfile = l->n, .framework = l->framework,
		.writer = c->writer != NULL ? c->writer : l->writer,
		.classes = { { names, (int64_t)n },
		    { classes, RK_ARRAY_LEN(classes) } },
	};
	json_t *v = warm_suggest(&want);
	if (v != NULL)
		look(v);
	json_decref(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct warm_candidates in;
	struct rk_why why = {0};

	const enum rk_err rc = warm_candidates_parse((const char *)p, n, &in,
	    &why);
	must(rc == RK_OK || (rc == RK_EINVAL && why.n == 1));
	must(rc != RK_OK || why.n == 0);
	for (size_t i = 0; i < in.n && i < 64; i++) {
		const struct warm_candidate *c = &in.v[i];
		struct warm_list l = {0};
		if (c->description != NULL && warm_list_read(c->description,
		    &l, &why) == RK_OK && l.n <= 64)
			plan(c, &l);
		warm_list_fini(&l);
		rk_why_fini(&why);
	}
	warm_candidates_fini(&in);
	rk_why_fini(&why);
	return 0;
}
