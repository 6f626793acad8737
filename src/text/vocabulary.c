/*
 * A set of tokens by their bytes, and the file that it is read from.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define HASH_TOKEN 0
#define HASH_REST  1                    /* of what is behind "##" */
#define TOKEN_MAX  (4 * TEXT_MAX_WORD + 2)      /* bytes, "##" among them */

/* Bytes of "##" where s begins with it and something follows, else 0. */
static size_t
prefix(const char *s, size_t n)
{
	return n > 2 && s[0] == '#' && s[1] == '#' ? 2 : 0;
}

const char *
vocabulary_at(const struct vocabulary *v, int32_t i, size_t *n)
{
	must(i >= 0 && i < v->n);
	*n = v->at[i + 1] - v->at[i];
	return v->blob + v->at[i];
}

/* The slot where s (behind `skip` bytes of a token) is, or would be. */
static size_t
slot_of(const struct vocabulary *v, const int32_t *slots, size_t skip,
    uint64_t seed, const char *s, size_t n)
{
	size_t k = rk_hash64(seed, s, n) & (v->nslots - 1), len;

	while (slots[k] >= 0) {
		const char *t = vocabulary_at(v, slots[k], &len);
		if (len == n + skip && memcmp(t + skip, s, n) == 0)
			break;
		k = (k + 1) & (v->nslots - 1);
	}
	return k;
}

int32_t
vocabulary_find(const struct vocabulary *v, const char *s, size_t n)
{
	return v->nslots == 0 ? -1 :
	    v->slots[slot_of(v, v->slots, 0, HASH_TOKEN, s, n)];
}

int32_t
vocabulary_rest(const struct vocabulary *v, const char *s, size_t n)
{
	return v->nslots == 0 ? -1 :
	    v->rests[slot_of(v, v->rests, 2, HASH_REST, s, n)];
}

static void
put(struct vocabulary *v, int32_t i)
{
	size_t n;
	const char *s = vocabulary_at(v, i, &n);
	const size_t skip = prefix(s, n);

	v->slots[slot_of(v, v->slots, 0, HASH_TOKEN, s, n)] = i;
	if (skip > 0)
		v->rests[slot_of(v, v->rests, skip, HASH_REST, s + skip,
		    n - skip)] = i;
}

/* At most half of the slots are taken. */
static void
grow(struct vocabulary *v)
{
	v->nslots = RK_MAX(2 * v->nslots, 64);
	v->slots = xrealloc(v->slots, v->nslots * sizeof(*v->slots));
	v->rests = xrealloc(v->rests, v->nslots * sizeof(*v->rests));
	memset(v->slots, 0xff, v->nslots * sizeof(*v->slots));
	memset(v->rests, 0xff, v->nslots * sizeof(*v->rests));
	for (int32_t i = 0; i < v->n; i++)
		put(v, i);
}

int32_t
vocabulary_add(struct vocabulary *v, const char *s, size_t n)
{
	const size_t used = v->n > 0 ? v->at[v->n] : 0;

	must(used + n <= UINT32_MAX);
	if (used + n > v->blob_cap) {
		v->blob_cap = RK_MAX(2 * v->blob_cap, used + n + 4096);
		v->blob = xrealloc(v->blob, v->blob_cap);
	}
	if ((size_t)v->n + 2 > v->at_cap) {
		v->at_cap = RK_MAX(2 * v->at_cap, 256);
		v->at = xrealloc(v->at, v->at_cap * sizeof(*v->at));
	}
	memcpy(v->blob + used, s, n);
	v->at[v->n] = (uint32_t)used;
	v->at[v->n + 1] = (uint32_t)(used + n);
	v->n++;
	v->most = RK_MAX(v->most, (int)n);
	if ((size_t)v->n * 2 > v->nslots)
		grow(v);
	else
		put(v, v->n - 1);
	return v->n - 1;
}

void
vocabulary_fini(struct vocabulary *v)
{
	free(v->blob);
	free(v->at);
	free(v->slots);
	free(v->rests);
	*v = (struct vocabulary){0};
}

/* --- the file ------------------------------------------------------------- */

static enum rk_err
refuse_line(const char *what, int32_t line, const char *says,
    struct rk_why *why)
{
	return rk_refuse(why, "%s: line %lld %s", what, (long long)line + 1,
	    says);
}

/* Token number v->n, which is line v->n, too. */
static enum rk_err
take_line(struct vocabulary *v, const char *s, size_t n, const char *what,
    struct rk_why *why)
{
	if (n == 0)
		return refuse_line(what, v->n, "is empty, want a token", why);
	if (memchr(s, '\0', n) != NULL)
		return refuse_line(what, v->n, "has a NUL byte", why);
	if (rk_utf8_good(s, n) < n)
		return refuse_line(what, v->n, "is not UTF-8", why);
	if (n > TOKEN_MAX)
		return rk_refuse(why, "%s: line %lld is %zu bytes long, and a "
		    "token is at most %d", what, (long long)v->n + 1, n,
		    TOKEN_MAX);
	const int32_t before = vocabulary_find(v, s, n);
	if (before >= 0)
		return rk_refuse(why, "%s: line %lld is \"%.*s\", as line %lld "
		    "is: want each token once", what, (long long)v->n + 1,
		    (int)RK_MIN(n, 64), s, (long long)before + 1);
	if (v->n == TEXT_MAX_TOKENS)
		return rk_refuse(why, "%s: has more than %d tokens", what,
		    TEXT_MAX_TOKENS);
	vocabulary_add(v, s, n);
	return RK_OK;
}

enum rk_err
vocabulary_read(struct vocabulary *v, const char *p, size_t n,
    const char *what, struct rk_why *why)
{
	const char *end = p + n, *other;
	char most[RK_HUMAN];
	enum rk_err rc = RK_OK;

	if (n == 0)
		return rk_refuse(why, "%s: is empty, want a token a line",
		    what);
	if (n > TEXT_MAX_FILE)
		return rk_refuse(why, "%s: is longer than the %s that a "
		    "vocabulary may be", what,
		    rk_human_bytes(most, TEXT_MAX_FILE));
	p += text_mark(TEXT_UTF8, p, n, &other);
	if (other != NULL)
		return rk_refuse(why, "%s: begins with the byte order mark of "
		    "%s, want UTF-8", what, other);
	while (rc == RK_OK && p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf != NULL ? lf : end;
		const char *next = lf != NULL ? lf + 1 : end;
		if (stop > p && stop[-1] == '\r' && lf != NULL)
			stop--;
		rc = take_line(v, p, (size_t)(stop - p), what, why);
		p = next;
	}
	return rc;
}
