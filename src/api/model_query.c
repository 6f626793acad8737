/*
 * What versions are looked for:
 *
 *	label=line=7,team        each label with this value, or with any
 *	metric=val_accuracy>=0.9,val_loss<1
 *	sort=-val_macro_f1       by a metric, the highest first; or created
 */
#include "models.h"

#include <stdlib.h>
#include <string.h>

/* The next of a list by commas, cut off; NULL: there is no more. */
static char *
next_of(char **list)
{
	char *s = *list, *comma;

	if (s == NULL)
		return NULL;
	comma = strchr(s, ',');
	*list = comma != NULL ? comma + 1 : NULL;
	if (comma != NULL)
		*comma = '\0';
	return s;
}

static void
add_label(struct store_versions_filter *f, char *s, struct query *u)
{
	char *eq = strchr(s, '=');

	if (eq != NULL)
		*eq = '\0';
	if (s[0] == '\0') {
		rk_refuse_at(u->why, "label", "want KEY or KEY=VALUE, more by "
		    "commas");
	} else if (f->nlabels == STORE_CONDITIONS) {
		rk_refuse_at(u->why, "label", "has more than %d labels",
		    STORE_CONDITIONS);
	} else {
		f->label[f->nlabels].key = s;
		f->label[f->nlabels++].value = eq != NULL ? eq + 1 : NULL;
	}
}

static bool
read_cmp(const char *op, size_t n, enum store_cmp *out)
{
	for (int i = 0; i < CMP_COUNT; i++) {
		if (strlen(store_cmp_words[i]) == n &&
		    strncmp(store_cmp_words[i], op, n) == 0) {
			*out = (enum store_cmp)i;
			return true;
		}
	}
	return false;
}

static void
add_metric(struct store_versions_filter *f, char *s, struct query *u)
{
	char *op = s + strcspn(s, "<>=!"), *end = NULL;
	const size_t n = strspn(op, "<>=!");
	enum store_cmp cmp = CMP_EQ;
	double value = 0;

	if (n > 0)
		value = strtod(op + n, &end);
	if (op == s || n == 0 || !read_cmp(op, n, &cmp) || end == op + n ||
	    *end != '\0' || value != value) {
		rk_refuse_at(u->why, "metric", "has \"%.80s\", want METRIC OP "
		    "NUMBER without blanks, OP being < <= = != >= or >; more "
		    "by commas", s);
	} else if (f->nmetrics == STORE_CONDITIONS) {
		rk_refuse_at(u->why, "metric", "has more than %d conditions",
		    STORE_CONDITIONS);
	} else {
		*op = '\0';
		f->metric[f->nmetrics].name = s;
		f->metric[f->nmetrics].cmp = cmp;
		f->metric[f->nmetrics++].value = value;
	}
}

static void
read_sort(struct version_query *v, struct query *u)
{
	struct store_versions_filter *f = &v->filter;
	const char *s = query_get(u, "sort");

	if (s == NULL)
		return;
	v->sort = xstrdup(s[0] == '-' ? s + 1 : s);
	f->ascending = s[0] != '-';
	if (v->sort[0] == '\0')
		rk_refuse_at(u->why, "sort", "want created or a metric, with "
		    "a - before it for the highest first");
	else if (strcmp(v->sort, "created") != 0)
		f->by = v->sort;
}

static void
read_cursor(struct store_versions_filter *f, struct query *u)
{
	const char *s = query_get(u, "cursor");
	char *end, *last;

	if (s == NULL)
		return;
	f->after = true;
	f->after_key = strtod(s, &end);
	f->after_n = *end == ',' ? strtoll(end + 1, &last, 10) : -1;
	if (end == s || *end != ',' || last == end + 1 || *last != '\0')
		rk_refuse_at(u->why, "cursor", "is not one that we gave");
}

struct version_query *
version_query_new(struct query *u)
{
	struct version_query *v = xcalloc(1, sizeof(*v));
	struct store_versions_filter *f = &v->filter;
	const char *label = query_get(u, "label");
	const char *metric = query_get(u, "metric");
	char *list, *s;

	v->label = label != NULL ? xstrdup(label) : NULL;
	v->metric = metric != NULL ? xstrdup(metric) : NULL;
	for (list = v->label; (s = next_of(&list)) != NULL;)
		add_label(f, s, u);
	for (list = v->metric; (s = next_of(&list)) != NULL;)
		add_metric(f, s, u);
	f->author = query_get(u, "author");
	f->job = query_get(u, "job");
	f->digest = query_get(u, "digest");
	f->deleted = query_flag(u, "deleted");
	read_sort(v, u);
	read_cursor(f, u);
	return v;
}

void
version_query_free(struct version_query *v)
{
	free(v->label);
	free(v->metric);
	free(v->sort);
	free(v);
}
