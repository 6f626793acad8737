/*
 * columns - the features of a table (csv), by the names that its header has.
 */
#ifndef DATA_COLUMNS_H
#define DATA_COLUMNS_H

#include "held.h"

/* How many features there are: all columns but the label. */
static inline size_t
columns_width(const struct held *h)
{
	return h->ncolumns - (h->label < h->ncolumns ? 1 : 0);
}

/* Are its features called so, in this order? */
bool columns_are(const struct held *h, const char *const *names, size_t n);

/*
 * Its features become those of these names, in this order, and others go.  Of
 * names that stand several times each is taken as often, in its order.  It has
 * a header, and is not normalised yet.  RK_EINVAL: some are not there, or not
 * as often; why names them.  of: "t.csv has".
 */
enum rk_err columns_pick(struct held *h, const char *const *names, size_t n,
    const char *of, struct rk_why *why) RK_MUSTCHECK;

/* Column i is no feature any more, of a table without a label. */
void columns_drop(struct held *h, size_t i);

/* The names of the features, "" for none; the caller frees (columns_free). */
char **columns_names(const struct held *h);
void columns_free(char **names, size_t n);

#endif
