/* The columns of a table by their names: see columns.h. */
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "field.h"

#define NAMED 8                 /* columns that a refusal names */

/* Column of feature i. */
static size_t
column_of(const struct held *h, size_t i)
{
	return i + (i >= h->label ? 1 : 0);
}

char *
data_column(const struct data_set *d, int64_t i)
{
	const struct held *h = held_of(d);

	must(i >= 0 && i < d->width);
	return h->names == NULL || h->ncolumns == 0 ? NULL :
	    rk_text_clean(xstrdup(h->names[column_of(h, (size_t)i)]));
}

char **
columns_names(const struct held *h)
{
	const size_t n = columns_width(h);
	char **names = xcalloc(RK_MAX(n, 1), sizeof(*names));

	for (size_t i = 0; i < n; i++)
		names[i] = rk_text_clean(xstrdup(h->names == NULL ? "" :
		    h->names[column_of(h, i)]));
	return names;
}

void
columns_free(char **names, size_t n)
{
	for (size_t i = 0; names != NULL && i < n; i++)
		free(names[i]);
	free(names);
}

bool
columns_are(const struct held *h, const char *const *names, size_t n)
{
	char **own = columns_names(h);
	const size_t width = columns_width(h);
	bool same = width == n;

	for (size_t i = 0; same && i < n; i++)
		same = strcmp(own[i], names[i]) == 0;
	columns_free(own, width);
	return same;
}

/* --- by name -------------------------------------------------------------- */

/* A feature by its name, and of those that are alike by its place. */
struct entry {
	const char *name;
	size_t at;
};

static int
by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	const int c = strcmp(x->name, y->name);

	return c != 0 ? c : (x->at > y->at) - (x->at < y->at);
}

static struct entry *
sorted(const char *const *names, size_t n)
{
	struct entry *v = xcalloc(RK_MAX(n, 1), sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (struct entry){ names[i], i };
	qsort(v, n, sizeof(*v), by_name);
	return v;
}

/* How many from v[i] on have its name. */
static size_t
alike(const struct entry *v, size_t n, size_t i)
{
	size_t k = i;

	while (k < n && strcmp(v[k].name, v[i].name) == 0)
		k++;
	return k - i;
}

static void
add_names(struct strbuf *b, const char *const *names, size_t n)
{
	for (size_t i = 0; i < RK_MIN(n, NAMED); i++) {
		sb_adds(b, i > 0 ? ", \"" : "\"");
		field_show(b, names[i], strlen(names[i]));
		sb_addc(b, '"');
	}
	if (n > NAMED)
		sb_adds(b, ", ...");
}

static enum rk_err
refuse_columns(const struct held *h, const char *const *missing,
    size_t nmissing, const char *const *own, size_t nown, const char *of,
    struct rk_why *why)
{
	struct strbuf a = { 0 }, b = { 0 };
	bool some = false;

	for (size_t i = 0; i < nown; i++)
		some |= strcmp(own[i], missing[0]) == 0;
	add_names(&a, missing, nmissing);
	add_names(&b, own, nown);
	enum rk_err rc = rk_refuse(why, "%s: has no column%s %s%s, which %s; "
	    "it has %s", h->what, rk_s((int64_t)nmissing), sb_str(&a),
	    some ? " as often" : "", of, sb_str(&b));
	sb_fini(&a);
	sb_fini(&b);
	return rc;
}

/* The places in `own` of the features that are wanted; and those that are not
 * there. */
static size_t
match(const char *const *own, size_t nown, const char *const *names, size_t n,
    size_t *place, const char **missing)
{
	struct entry *v = sorted(own, nown), *w = sorted(names, n);
	size_t nmissing = 0, k = 0;

	for (size_t i = 0, some; i < n; i += some) {
		some = alike(w, n, i);
		while (k < nown && strcmp(v[k].name, w[i].name) < 0)
			k++;
		if (k == nown || strcmp(v[k].name, w[i].name) != 0 ||
		    alike(v, nown, k) != some) {
			missing[nmissing++] = w[i].name;
			continue;
		}
		for (size_t j = 0; j < some; j++)
			place[w[i + j].at] = v[k + j].at;
	}
	free(v);
	free(w);
	return nmissing;
}

/* Feature place[i] becomes feature i of n. */
static void
move(struct held *h, const size_t *place, size_t n)
{
	const size_t width = columns_width(h);
	float *row = xcalloc(RK_MAX(width, 1), sizeof(*row));

	must(n <= width);
	for (size_t i = 0; i < (size_t)h->pub.n; i++) {
		memcpy(row, h->floats + i * width, width * sizeof(*row));
		for (size_t k = 0; k < n; k++)
			h->floats[i * n + k] = row[place[k]];
	}
	free(row);
	h->pub.width = h->pub.d[0] = (int64_t)n;
}

/* The features are called so, and the label, if there is one, comes last. */
static void
rename_to(struct held *h, const char *const *names, size_t n)
{
	const bool labelled = h->label < h->ncolumns;
	char **all = xcalloc(n + 1, sizeof(*all));

	for (size_t i = 0; i < n; i++)
		all[i] = xstrdup(names[i]);
	if (labelled)
		all[n] = xstrdup(h->names[h->label]);
	for (size_t i = 0; i < h->ncolumns; i++)
		free(h->names[i]);
	free(h->names);
	h->names = all;
	h->ncolumns = n + labelled;
	h->label = labelled ? n : SIZE_MAX;
}

enum rk_err
columns_pick(struct held *h, const char *const *names, size_t n,
    const char *of, struct rk_why *why)
{
	const size_t width = columns_width(h);
	enum rk_err rc = RK_OK;

	must(h->names != NULL && h->floats != NULL);
	if (columns_are(h, names, n))
		return RK_OK;
	char **own = columns_names(h);
	size_t *place = xcalloc(RK_MAX(n, 1), sizeof(*place));
	const char **missing = xcalloc(RK_MAX(n, 1), sizeof(*missing));
	const size_t nmissing = match((const char *const *)own, width, names,
	    n, place, missing);
	if (nmissing > 0) {
		rc = refuse_columns(h, missing, nmissing,
		    (const char *const *)own, width, of, why);
	} else {
		move(h, place, n);
		rename_to(h, names, n);
	}
	columns_free(own, width);
	free(place);
	free(missing);
	return rc;
}

void
columns_drop(struct held *h, size_t i)
{
	const size_t width = h->ncolumns;
	size_t *place = xcalloc(width, sizeof(*place));

	h->label = SIZE_MAX;
	for (size_t k = 0; k + 1 < width; k++)
		place[k] = k + (k >= i ? 1 : 0);
	move(h, place, width - 1);
	free(place);
	if (h->names != NULL) {
		free(h->names[i]);
		memmove(h->names + i, h->names + i + 1,
		    (width - 1 - i) * sizeof(*h->names));
	}
	h->ncolumns = width - 1;
}
