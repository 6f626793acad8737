/* What somebody who wrote an unknown word may have meant. */
#include <string.h>
#include <strings.h>

#include "impl.h"

#define WORD_MAX 63
#define NEAR 2                  /* letters changed, put in or left out */

/* Levenshtein's distance, row by row; of at most WORD_MAX bytes each. */
static size_t
distance_of(const char *a, size_t n, const char *b, size_t m)
{
	size_t row[WORD_MAX + 1];

	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			best = RK_MIN(best, row[j] + 1);
			row[j] = RK_MIN(best, row[j - 1] + 1);
		}
	}
	return row[m];
}

/* NEAR + 1 for words that are too long. */
static size_t
distance(const char *a, const char *b)
{
	size_t n = strnlen(a, WORD_MAX + 1), m = strnlen(b, WORD_MAX + 1);

	return n > WORD_MAX || m > WORD_MAX ? NEAR + 1 :
	    distance_of(a, n, b, m);
}

size_t
rkj_distance(const char *a, const char *b)
{
	const size_t n = strlen(a), m = strlen(b);
	const size_t i = n > WORD_MAX ? n - WORD_MAX : 0;
	const size_t j = m > WORD_MAX ? m - WORD_MAX : 0;

	return distance_of(a + i, n - i, b + j, m - j);
}

static bool
one_begins_the_other(const char *a, const char *b)
{
	size_t n = RK_MIN(strlen(a), strlen(b));

	return n >= 3 && strncmp(a, b, n) == 0;
}

const char *
rkj_nearest(const char *word, const char *const *list, size_t n)
{
	const char *found = NULL;
	/* Of a short word two letters are too much: "lr" is not "k". */
	size_t len = strnlen(word, WORD_MAX), limit = RK_MIN(NEAR, len / 2);

	for (size_t i = 0; i < n; i++)
		if (strcasecmp(word, list[i]) == 0)
			return list[i];
	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, list[i]);
		if (d <= limit && d < strlen(list[i])) {
			found = list[i];
			if (d == 0)
				break;
			limit = d - 1;
		}
	}
	for (size_t i = 0; found == NULL && i < n; i++) {
		if (one_begins_the_other(word, list[i]))
			found = list[i];
	}
	return found;
}
