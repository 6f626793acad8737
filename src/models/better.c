/*
 * Is a version better than another by a metric?  Only what was measured on the
 * same data says so: by the digest of the validation data that a record has, or
 * of the data of an evaluation of it.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define MEASURES 100                    /* evaluations of a version */

struct measure {
	char data[80];                  /* digest */
	double value;
};
struct measures {
	const char *metric;
	struct measure v[MEASURES + 1];
	size_t n;
	bool without_data;              /* measured, on nobody knows what */
};

static bool
ends_with(const char *s, const char *end)
{
	const size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

bool
metric_is_cost(const char *metric)
{
	static const char *const costs[] = { "loss", "error", "mae", "ece",
	    "mse", "perplexity" };

	for (size_t i = 0; i < RK_ARRAY_LEN(costs); i++)
		if (ends_with(metric, costs[i]))
			return true;
	return false;
}

/*
 * A job calls it val_macro_f1, an evaluation macro_f1: both are meant.  What a
 * job calls macro_f1 is of what it was trained on, and says nothing of how good
 * it is.
 */
static const json_t *
find(const json_t *metrics, const char *metric, bool of_job)
{
	const char *bare = strncmp(metric, "val_", 4) == 0 ? metric + 4 :
	    metric;
	char *val = xasprintf("val_%s", bare);
	const json_t *v = json_object_get(metrics, val);

	if (!json_is_number(v) && !of_job)
		v = json_object_get(metrics, bare);
	free(val);
	return json_is_number(v) ? v : NULL;
}

static void
measured(struct measures *l, const json_t *data, const json_t *metrics,
    bool of_job)
{
	const char *digest = json_string_value(json_object_get(data,
	    "digest"));
	const json_t *v = find(metrics, l->metric, of_job);

	if (v == NULL || l->n > MEASURES)
		return;
	if (digest == NULL || digest[0] == '\0') {
		l->without_data = true;
		return;
	}
	snprintf(l->v[l->n].data, sizeof(l->v[0].data), "%.79s", digest);
	l->v[l->n++].value = json_number_value(v);
}

static bool
see_evaluation(void *ctx, const struct model_entry_row *r)
{
	struct measures *l = ctx;
	json_t *e = NULL;

	if (r->fault[0] == '\0' && rkj_parse_json(r->entry, strlen(r->entry),
	    &e, NULL) == RK_OK)
		measured(l, json_object_get(e, "data"),
		    json_object_get(e, "metrics"), false);
	json_decref(e);
	return true;
}

/* The newest first; what the record says last. */
static enum rk_err
measures_of(struct models *m, const char *name, int64_t version,
    struct measures *l)
{
	const struct store_entry_filter f = { .version = version,
	    .event = "evaluated" };
	struct version_row r;
	json_t *record = NULL;
	enum rk_err rc = store_version_get(m->store, name, version, &r);

	if (rc != RK_OK)
		return rc;
	rc = store_entries(m->store, name, &f, 0, MEASURES, see_evaluation, l);
	if (rc == RK_OK && rkj_parse_json(r.record, strlen(r.record), &record,
	    NULL) == RK_OK)
		measured(l, json_object_get(json_object_get(record, "data"),
		    "validation"), json_object_get(record, "metrics"), true);
	json_decref(record);
	store_version_fini(&r);
	return rc;
}

/* --- sentences ------------------------------------------------------------ */

static enum rk_err
not_comparable(const char *name, const struct measures *is, int64_t version,
    const struct measures *was, int64_t current, struct rk_why *why)
{
	struct strbuf b = { 0 };
	const struct {
		const struct measures *l;
		int64_t version;
	} both[] = { { is, version }, { was, current } };

	for (size_t i = 0; i < 2; i++) {
		const struct measures *l = both[i].l;
		sb_addf(&b, "%sversion %lld ", i == 0 ? "" : ", and ",
		    (long long)both[i].version);
		if (l->n > 0)
			sb_addf(&b, "has it of data %.16s", l->v[0].data);
		else
			sb_adds(&b, l->without_data ? "has it of data that "
			    "nobody wrote down" : "has none");
	}
	(void)rk_refuse(why, "%s was not measured of both on the same data: %s;"
	    " `rekindle evaluate model://%s/%lld DATA` and `rekindle evaluate "
	    "model://%s/%lld DATA` measure them", is->metric, sb_str(&b), name,
	    (long long)version, name, (long long)current);
	sb_fini(&b);
	return RK_ECONFLICT;
}

static enum rk_err
compare(const char *metric, int64_t version, const struct measure *a,
    int64_t current, const struct measure *b, json_t **better,
    struct rk_why *why)
{
	const bool cost = metric_is_cost(metric);

	if (cost ? a->value < b->value : a->value > b->value) {
		*better = json_pack("{s:s, s:s, s:f, s:f, s:I}", "metric",
		    metric, "data", a->data, "was", b->value, "is",
		    a->value, "was_version", (json_int_t)current);
		return RK_OK;
	}
	(void)rk_refuse(why, "%s of version %lld is %.6g, and of version %lld, "
	    "where the alias is, %.6g, on the same data (%.16s): %s is better",
	    metric, (long long)version, a->value, (long long)current,
	    b->value, a->data, cost ? "less" : "more");
	return RK_ECONFLICT;
}

enum rk_err
models_better(struct models *m, const char *name, int64_t version,
    int64_t current, const char *metric, json_t **better, struct rk_why *why)
{
	struct measures is = { .metric = metric }, was = { .metric = metric };
	enum rk_err rc = measures_of(m, name, version, &is);

	*better = NULL;
	if (rc == RK_OK)
		rc = measures_of(m, name, current, &was);
	if (rc != RK_OK)
		return rc;
	for (size_t i = 0; i < is.n; i++) {
		for (size_t k = 0; k < was.n; k++) {
			if (strcmp(is.v[i].data, was.v[k].data) == 0)
				return compare(metric, version, &is.v[i],
				    current, &was.v[k], better, why);
		}
	}
	return not_comparable(name, &is, version, &was, current, why);
}
