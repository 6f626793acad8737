/*
 * Labels of texts: numbers as long as all of them are; else words, which are
 * classes in the order of their bytes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "text_source.h"

#define LABEL_MAX 200                   /* bytes of a word */

static size_t
slot_of(const struct text_labels *l, const char *s, size_t n)
{
	size_t k = rk_hash64(0, s, n) & (l->nslots - 1);

	while (l->slots[k] >= 0 && (strncmp(l->names[l->slots[k]], s, n) != 0 ||
	    l->names[l->slots[k]][n] != '\0'))
		k = (k + 1) & (l->nslots - 1);
	return k;
}

static void
index_names(struct text_labels *l)
{
	l->nslots = RK_MAX(2 * l->nslots, 64);
	l->slots = xrealloc(l->slots, l->nslots * sizeof(*l->slots));
	memset(l->slots, 0xff, l->nslots * sizeof(*l->slots));
	for (size_t i = 0; i < l->n; i++)
		l->slots[slot_of(l, l->names[i], strlen(l->names[i]))] =
		    (int32_t)i;
}

/* The number of a name; -1 where there are too many. */
static int32_t
intern(struct text_labels *l, const char *s, size_t n)
{
	if (l->n * 2 >= l->nslots)
		index_names(l);
	const size_t k = slot_of(l, s, n);
	if (l->slots[k] >= 0)
		return l->slots[k];
	if (l->n == LABELS_MAX) {
		l->overflowed = true;
		return -1;
	}
	if (l->n == l->cap) {
		l->cap = RK_MAX(2 * l->cap, 16);
		l->names = xrealloc(l->names, l->cap * sizeof(*l->names));
	}
	l->names[l->n] = xstrndup(s, n);
	l->slots[k] = (int32_t)l->n;
	return (int32_t)l->n++;
}

/* The first of its kind, for a sentence. */
static void
note(char **what, unsigned long long *at, size_t *count, const char *file,
    unsigned long long line)
{
	if ((*count)++ == 0) {
		*what = xstrdup(file);
		*at = line;
	}
}

enum rk_err
text_label_add(struct text_labels *l, const char *s, size_t n,
    const char *what, unsigned long long line, int32_t *name, float *value,
    struct rk_why *why)
{
	double v = 0;

	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	for (; n > 0 && (*s == ' ' || *s == '\t'); n--)
		s++;
	if (n == 0)
		return rk_refuse(why, "%s: line %llu has no label", what,
		    line);
	if (n > LABEL_MAX)
		return rk_refuse(why, "%s: line %llu has a label of %zu bytes, "
		    "want at most %d: is it the right column?", what, line, n,
		    LABEL_MAX);
	const char *end = number_parse(s, s + n, &v);
	const bool number = end == s + n && isfinite((float)v);
	*value = number ? (float)v : NAN;
	*name = intern(l, s, n);
	if (number)
		l->numbers++;
	else if (number_is_nonfinite(s, n) || end == s + n)
		note(&l->nonfinite_what, &l->nonfinite_line, &l->nonfinite,
		    what, line);
	else
		note(&l->word_what, &l->word_line, &l->words, what, line);
	return RK_OK;
}

void
text_label_name(struct text_labels *l, const char *name)
{
	(void)intern(l, name, strlen(name));
	l->words++;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Classes by the order of their names. */
static enum rk_err
make_classes(struct text_labels *l, struct held *h, const int32_t *name)
{
	char **sorted = xcalloc(l->n, sizeof(*sorted));
	float *class = xcalloc(l->n, sizeof(*class));

	memcpy(sorted, l->names, l->n * sizeof(*sorted));
	qsort(sorted, l->n, sizeof(*sorted), by_bytes);
	for (size_t c = 0; c < l->n; c++)
		class[l->slots[slot_of(l, sorted[c], strlen(sorted[c]))]] =
		    (float)c;
	for (int64_t i = 0; i < h->pub.n; i++)
		h->targets[i] = class[name[i]];
	/* The names are the set's now. */
	h->class_names = sorted;
	h->nclasses = (int64_t)l->n;
	l->n = 0;
	free(class);
	return RK_OK;
}

enum rk_err
text_labels_end(struct text_labels *l, struct held *h, const int32_t *name,
    struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	if (l->words == 0 && l->nonfinite > 0)
		return rk_refuse(why, "%s: line %llu has a label that is no "
		    "finite number, and all others are numbers",
		    l->nonfinite_what, l->nonfinite_line);
	if (l->words > 0 && l->overflowed)
		return rk_refuse(why, "%s: has more than %d different labels, "
		    "and the one in line %llu is no number: is it the right "
		    "column?", l->word_what != NULL ? l->word_what : h->what,
		    LABELS_MAX, l->word_line);
	if (l->words > 0 && l->numbers > 0)
		held_remark(h, "%s: labels are words, for line %llu has one "
		    "that is no number: classes are called by them",
		    l->word_what != NULL ? l->word_what : h->what,
		    l->word_line);
	if (l->words > 0)
		rc = make_classes(l, h, name);
	return rc == RK_OK ? held_find_classes(h, why) : rc;
}

void
text_labels_fini(struct text_labels *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	free(l->slots);
	free(l->word_what);
	free(l->nonfinite_what);
	*l = (struct text_labels){0};
}
