/* The part of an address behind the question mark. */
#include "impl.h"

#include <errno.h>
#include <string.h>

void
query_add(struct query *q, const char *key, const char *value)
{
	if (q->n == QUERY_MAX) {
		q->overflow = true;
		return;
	}
	q->v[q->n].key = key;
	q->v[q->n].value = value ? value : "";
	q->n++;
}

static bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		size_t m = strcspn(list, " ");
		if (m == n && memcmp(list, word, n) == 0)
			return true;
		list += m;
		list += strspn(list, " ");
	}
	return false;
}

void
query_check(struct query *q, const char *known)
{
	if (q->overflow)
		rk_refuse(q->why, "more than %d parameters", QUERY_MAX);
	for (size_t i = 0; i < q->n; i++) {
		if (known[0] == '\0')
			rk_refuse_at(q->why, q->v[i].key,
			    "is not known: this address takes no parameters");
		else if (!has_word(known, q->v[i].key))
			rk_refuse_at(q->why, q->v[i].key,
			    "is not known here; parameters are: %s", known);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(q->v[i].key, q->v[j].key) == 0) {
				rk_refuse_at(q->why, q->v[i].key,
				    "is given more than once");
				break;
			}
		}
	}
}

const char *
query_get(const struct query *q, const char *key)
{
	for (size_t i = 0; i < q->n; i++) {
		if (strcmp(q->v[i].key, key) == 0)
			return q->v[i].value;
	}
	return NULL;
}

int64_t
query_int(struct query *q, const char *key, int64_t fallback, int64_t min,
    int64_t max)
{
	const char *s = query_get(q, key);
	char *end;
	long long n;

	if (s == NULL)
		return fallback;
	errno = 0;
	n = strtoll(s, &end, 10);
	/* strtoll() would skip white space and a plus */
	if (strspn(s, "-0123456789") != strlen(s) || *end != '\0' || end == s ||
	    errno != 0 || n < min || n > max) {
		rk_refuse_at(q->why, key,
		    "is \"%.40s\", want an integer %lld to %lld", s,
		    (long long)min, (long long)max);
		return fallback;
	}
	return n;
}

int64_t
query_after(struct query *q, int64_t fallback)
{
	const char *key = query_get(q, "cursor") != NULL ? "cursor" : "after";

	return query_int(q, key, fallback, 0, INT64_MAX / 2);
}

bool
query_flag(struct query *q, const char *key)
{
	const char *s = query_get(q, key);

	if (s == NULL || strcmp(s, "false") == 0 || strcmp(s, "0") == 0)
		return false;
	if (*s == '\0' || strcmp(s, "true") == 0 || strcmp(s, "1") == 0)
		return true;
	rk_refuse_at(q->why, key, "is \"%.40s\", want true or false", s);
	return false;
}

unsigned
query_states(struct query *q, const char *key)
{
	const char *s = query_get(q, key);
	unsigned bits = 0;

	if (s == NULL)
		return 0;
	for (;;) {
		size_t n = strcspn(s, ",");
		int i;
		for (i = 0; i < JOB_STATES; i++) {
			if (strlen(job_state_words[i]) == n &&
			    memcmp(job_state_words[i], s, n) == 0)
				break;
		}
		if (i == JOB_STATES)
			rk_refuse_at(q->why, key, "\"%.*s\" is no state; "
			    "states are: held, queued, starting, running, "
			    "paused, succeeded, failed, cancelled",
			    (int)RK_MIN(n, (size_t)40), s);
		else
			bits |= 1u << i;
		if (s[n] == '\0')
			return bits;
		s += n + 1;
	}
}
