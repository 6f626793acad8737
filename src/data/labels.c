/* Classes by their names. */
#include <stdlib.h>
#include <string.h>

#include "held.h"

#define NAMED 8                 /* classes that a refusal names */

void
labels_copy_names(struct held *to, const struct held *from)
{
	to->nclasses = from->nclasses;
	if (from->class_names == NULL)
		return;
	to->class_names = xcalloc((size_t)from->nclasses,
	    sizeof(*to->class_names));
	for (int64_t i = 0; i < from->nclasses; i++)
		to->class_names[i] = xstrdup(from->class_names[i]);
}

/* The number of a name among those of a set, which are sorted, or -1. */
static int64_t
number_of(const struct held *h, const char *name)
{
	int64_t lo = 0, hi = h->nclasses;

	while (lo < hi) {
		const int64_t mid = (lo + hi) / 2;
		const int c = strcmp(name, h->class_names[mid]);
		if (c == 0)
			return mid;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -1;
}

static enum rk_err
renumber(struct held *h, const int64_t *to, const struct held *train,
    struct rk_why *why)
{
	for (int64_t i = 0; i < h->pub.n; i++)
		h->targets[i] = (float)to[(int64_t)h->targets[i]];
	for (int64_t i = 0; i < h->nclasses; i++)
		free(h->class_names[i]);
	free(h->class_names);
	labels_copy_names(h, train);
	free(h->classes);
	h->classes = NULL;
	return held_find_classes(h, why);
}

enum rk_err
labels_as(struct held *h, const struct held *train, struct rk_why *why)
{
	struct strbuf b = { 0 };
	size_t named = 0;
	enum rk_err rc;

	if ((h->class_names == NULL) != (train->class_names == NULL))
		return rk_refuse(why, "%s: its labels are %s, those of %s are "
		    "%s", h->labels_what, h->class_names != NULL ? "names" :
		    "numbers", train->labels_what, h->class_names != NULL ?
		    "numbers" : "names");
	if (h->class_names == NULL)
		return RK_OK;
	int64_t *to = xcalloc((size_t)h->nclasses, sizeof(*to));
	for (int64_t c = 0; c < h->nclasses; c++) {
		to[c] = number_of(train, h->class_names[c]);
		if (to[c] < 0 && ++named <= NAMED)
			sb_addf(&b, "%s\"%s\"", named > 1 ? ", " : "",
			    h->class_names[c]);
	}
	if (named > 0)
		rc = rk_refuse(why, "%s: has %zu class%s that %s has not: "
		    "%s%s", h->what, named, named == 1 ? "" : "es",
		    train->what, sb_str(&b), named > NAMED ? ", ..." : "");
	else
		rc = renumber(h, to, train, why);
	free(to);
	sb_fini(&b);
	return rc;
}
