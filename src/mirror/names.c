/* Keys: how objects are called, and listings of their names. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define DIGITS      10
#define NUMBERS_MAX 1000000

char *
dir_of(const struct mirror *m, const char *kind)
{
	return xasprintf("%s%s", m->dir, kind);
}

char *
key_of(const struct mirror *m, const char *kind, int64_t n, const char *suffix)
{
	return xasprintf("%s%s%010lld%s", m->dir, kind, (long long)n, suffix);
}

char *
record_key(const struct mirror *m, int64_t epoch, const char *id,
    int64_t version)
{
	return xasprintf("%srecords/%010lld/%s.%010lld.json", m->dir,
	    (long long)epoch, id, (long long)version);
}

/* Exactly ten digits, then exactly the suffix; 0 is no number of ours. */
static bool
number(const char *s, const char *suffix, int64_t *out)
{
	int64_t n = 0;

	for (int i = 0; i < DIGITS; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
	}
	*out = n;
	return n > 0 && strcmp(s + DIGITS, suffix) == 0;
}

bool
record_name(const char *key, char id[RK_ID], int64_t *version)
{
	if (strlen(key) < RK_ID_LEN + 1 || key[RK_ID_LEN] != '.')
		return false;
	memcpy(id, key, RK_ID_LEN);
	id[RK_ID_LEN] = '\0';
	return rk_id_ok(id) && number(key + RK_ID_LEN + 1, ".json", version);
}

bool
numbers_see(struct numbers *l, const struct remote_entry *v, size_t n)
{
	int64_t x;

	for (size_t i = 0; i < n; i++) {
		if (!number(v[i].key, l->suffix, &x))
			continue;       /* nobody's */
		if (l->n == NUMBERS_MAX) {
			l->many = true;
			return false;
		}
		if ((l->n & (l->n - 1)) == 0)
			l->v = xrealloc(l->v, RK_MAX(2 * l->n, (size_t)1) *
			    sizeof(*l->v));
		l->v[l->n++] = x;
	}
	return true;
}

int64_t
numbers_top(const struct numbers *l)
{
	int64_t top = 0;

	for (size_t i = 0; i < l->n; i++)
		top = RK_MAX(top, l->v[i]);
	return top;
}

void
numbers_fini(struct numbers *l)
{
	free(l->v);
	*l = (struct numbers){ .suffix = l->suffix };
}

struct remote_patience
patience(int64_t ms)
{
	return (struct remote_patience){ .deadline_ms = mono_ms() + ms,
		.tries = 5 };
}
