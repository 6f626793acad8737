/* A struct's fields out of a tree, with a path in every complaint. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/json_shown.h"
#include "impl.h"

#define KEY_SHOWN 80            /* bytes of a key that go into a path */

void
rkj_open(struct rkj_obj *o, const json_t *v, const char *path,
    struct rk_why *why)
{
	struct strbuf b = {0};

	*o = (struct rkj_obj){ .path = xstrdup(path), .why = why };
	if (json_is_object(v)) {
		o->v = v;
		return;
	}
	o->bad = true;
	if (v == NULL || json_is_null(v)) {
		rk_refuse_at(why, path, "is missing, want an object");
		return;
	}
	rkj_show(&b, v);
	rk_refuse_at(why, path, "is %s, want an object", sb_str(&b));
	sb_fini(&b);
}

void
rkj_close_lenient(struct rkj_obj *o)
{
	free(o->path);
	o->path = NULL;
	o->v = NULL;
}

static bool
was_asked_for(const struct rkj_obj *o, const char *key)
{
	for (size_t i = 0; i < o->nseen; i++) {
		if (strcmp(o->seen[i], key) == 0)
			return true;
	}
	return false;
}

void
rkj_close(struct rkj_obj *o)
{
	json_t *item, *object = (json_t *)(uintptr_t)o->v;
	const char *key;

	json_object_foreach(object, key, item) {
		if (was_asked_for(o, key))
			continue;
		/* Of a hundred thousand faults only the first few are kept. */
		bool kept = o->why != NULL && o->why->n < RK_WHY_MAX;
		const char *meant = kept ?
		    rkj_nearest(key, o->seen, o->nseen) : NULL;
		if (meant != NULL)
			rkj_fault(o, key, "is not a known field; did you mean "
			    "\"%s\"?", meant);
		else
			rkj_fault(o, key, "is not a known field");
	}
	rkj_close_lenient(o);
}

char *
rkj_child(const struct rkj_obj *o, const char *key)
{
	int n = (int)rk_text_fit(key, KEY_SHOWN);
	const char *more = key[n] != '\0' ? "..." : "";

	if (o->path[0] == '\0')
		return xasprintf("%.*s%s", n, key, more);
	return xasprintf("%s.%.*s%s", o->path, n, key, more);
}

void
rkj_fault(struct rkj_obj *o, const char *key, const char *fmt, ...)
{
	struct strbuf b = {0};
	char *path = rkj_child(o, key);
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	rk_refuse_at(o->why, path, "%s", sb_str(&b));
	o->bad = true;
	sb_fini(&b);
	free(path);
}

const json_t *
rkj_any(struct rkj_obj *o, const char *key)
{
	if (!was_asked_for(o, key)) {
		must(o->nseen < RKJ_MAX_FIELDS);
		o->seen[o->nseen++] = key;
	}
	const json_t *v = json_object_get(o->v, key);
	return json_is_null(v) ? NULL : v;
}

/* "is 3, want ...", where v is what is there, or NULL. */
static void
want(struct rkj_obj *o, const char *key, const json_t *v, const char *what)
{
	struct strbuf b = {0};

	if (v == NULL) {
		rkj_fault(o, key, "is missing, want %s", what);
		return;
	}
	rkj_show(&b, v);
	rkj_fault(o, key, "is %s, want %s", sb_str(&b), what);
	sb_fini(&b);
}

/* The field's value if there is one to be read.  When there is none but should
 * be, the caller says so by want(); an object that is none had its fault. */
static bool
fetch(struct rkj_obj *o, const char *key, int required, const json_t **v)
{
	*v = rkj_any(o, key);
	return *v != NULL || (required && o->v != NULL);
}

static void
integer_range(struct strbuf *b, int64_t min, int64_t max)
{
	if (min == INT64_MIN && max == INT64_MAX)
		sb_adds(b, "an integer");
	else if (max == INT64_MAX)
		sb_addf(b, "an integer of at least %lld", (long long)min);
	else if (min == INT64_MIN)
		sb_addf(b, "an integer of at most %lld", (long long)max);
	else
		sb_addf(b, "an integer %lld to %lld", (long long)min,
		    (long long)max);
}

/* 1e6 is written for 1000000; a double is exact up to 2^53. */
static bool
as_integer(const json_t *v, int64_t *n)
{
	if (json_is_integer(v)) {
		*n = json_integer_value(v);
		return true;
	}
	if (!json_is_real(v))
		return false;
	double x = json_real_value(v);
	if (!(x >= -0x1p53 && x <= 0x1p53))
		return false;
	*n = (int64_t)x;
	return (double)*n == x;
}

bool
rkj_int(struct rkj_obj *o, const char *key, int64_t *out, int64_t min,
    int64_t max, int required)
{
	const json_t *v;
	int64_t n;

	if (!fetch(o, key, required, &v))
		return false;
	if (as_integer(v, &n) && n >= min && n <= max) {
		*out = n;
		return true;
	}
	struct strbuf b = {0};
	integer_range(&b, min, max);
	want(o, key, v, sb_str(&b));
	sb_fini(&b);
	return false;
}

static void
real_range(struct strbuf *b, double min, double max)
{
	char lo[RK_HUMAN], hi[RK_HUMAN];
	const double huge = 1e300;      /* callers write HUGE_VAL or DBL_MAX */

	real_text(lo, min, false);
	real_text(hi, max, false);
	if (min < -huge && max > huge)
		sb_adds(b, "a number");
	else if (max > huge)
		sb_addf(b, "a number of at least %s", lo);
	else if (min < -huge)
		sb_addf(b, "a number of at most %s", hi);
	else
		sb_addf(b, "a number %s to %s", lo, hi);
}

bool
rkj_real(struct rkj_obj *o, const char *key, double *out, double min,
    double max, int required)
{
	const json_t *v;

	if (!fetch(o, key, required, &v))
		return false;
	if (json_is_number(v)) {
		double x = json_number_value(v);
		if (x >= min && x <= max) {
			*out = x;
			return true;
		}
	}
	struct strbuf b = {0};
	real_range(&b, min, max);
	want(o, key, v, sb_str(&b));
	sb_fini(&b);
	return false;
}

bool
rkj_bool(struct rkj_obj *o, const char *key, bool *out, int required)
{
	const json_t *v;

	if (!fetch(o, key, required, &v))
		return false;
	if (json_is_boolean(v)) {
		*out = json_is_true(v);
		return true;
	}
	want(o, key, v, "true or false");
	return false;
}

bool
rkj_str(struct rkj_obj *o, const char *key, char **out, size_t max,
    int required)
{
	const json_t *v;

	if (!fetch(o, key, required, &v))
		return false;
	if (!json_is_string(v)) {
		want(o, key, v, "text");
		return false;
	}
	size_t n = json_string_length(v);
	if (n > max) {
		rkj_fault(o, key, "is %zu bytes long, want at most %zu", n,
		    max);
		return false;
	}
	free(*out);
	*out = xstrdup(json_string_value(v));
	return true;
}

/* "sgd, adam or adamw" */
static void
word_list(struct strbuf *b, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sb_addf(b, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ",
		    words[i]);
}

bool
rkj_enum(struct rkj_obj *o, const char *key, int *out,
    const char *const *words, int required)
{
	const json_t *v;
	size_t n = 0;

	if (!fetch(o, key, required, &v))
		return false;
	for (; words[n] != NULL; n++) {
		if (json_is_string(v) &&
		    strcmp(json_string_value(v), words[n]) == 0) {
			*out = (int)n;
			return true;
		}
	}
	struct strbuf b = {0};
	word_list(&b, words, n);
	/* Of a hundred thousand faults only the first few are kept. */
	const bool kept = o->why != NULL && o->why->n < RK_WHY_MAX;
	const char *meant = kept && json_is_string(v) ?
	    rkj_nearest(json_string_value(v), words, n) : NULL;
	if (meant != NULL)
		sb_addf(&b, "; did you mean \"%s\"?", meant);
	want(o, key, v, sb_str(&b));
	sb_fini(&b);
	return false;
}
