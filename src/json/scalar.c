/*
 * Plain scalars of YAML to JSON values, by the core schema of YAML 1.2
 * (https://yaml.org/spec/1.2.2/, section 10.3.2).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static bool
is_any(const char *s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(s, *words) == 0)
			return true;
	}
	return false;
}

/* s is made of one or more of `digits` and nothing else. */
static bool
all_of(const char *s, const char *digits)
{
	return *s != '\0' && s[strspn(s, digits)] == '\0';
}

/* Where the digits begin, and their base; 0 if s is no integer. */
static int
integer_base(const char *s, const char **digits)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	if (strncmp(s, "0x", 2) == 0 && all_of(s + 2, hex)) {
		*digits = s + 2;
		return 16;
	}
	if (strncmp(s, "0o", 2) == 0 && all_of(s + 2, "01234567")) {
		*digits = s + 2;
		return 8;
	}
	*digits = s;
	s += *s == '-' || *s == '+';
	return all_of(s, "0123456789") ? 10 : 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool
is_real(const char *s)
{
	static const char digits[] = "0123456789";

	s += *s == '-' || *s == '+';
	size_t whole = strspn(s, digits), part = 0;
	s += whole;
	if (*s == '.') {
		part = strspn(s + 1, digits);
		s += 1 + part;
	}
	if (whole + part == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		return all_of(s, digits);
	}
	return *s == '\0';
}

enum scalar_kind
scalar_value(const char *s, json_t **out)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL",
	    NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };
	static const char *const infs[] = { ".inf", ".Inf", ".INF", ".nan",
	    ".NaN", ".NAN", NULL };
	const char *digits;
	int base;

	if (is_any(s, nulls)) {
		*out = json_null();
	} else if (is_any(s, trues) || is_any(s, falses)) {
		*out = json_boolean(is_any(s, trues));
	} else if ((base = integer_base(s, &digits)) != 0) {
		errno = 0;
		long long n = strtoll(digits, NULL, base);
		if (errno == ERANGE)
			return SCALAR_TOO_BIG;
		*out = json_integer(n);
	} else if (is_real(s)) {
		double x = strtod(s, NULL);
		if (!isfinite(x))
			return SCALAR_NOT_FINITE;
		*out = json_real(x);
	} else if (is_any(s + (*s == '-' || *s == '+'), infs)) {
		return SCALAR_NOT_FINITE;
	} else {
		*out = json_string(s);
	}
	return *out != NULL ? SCALAR_OK : SCALAR_NOT_UTF8;
}

json_t *
rkj_scalar(const char *text)
{
	json_t *v = NULL;

	if (scalar_value(text, &v) == SCALAR_OK)
		return v;
	/* No number and not fit to be one: then it is text. */
	char *clean = rk_text_clean(xstrdup(text));
	v = json_string(clean);
	free(clean);
	must(v != NULL);
	return v;
}

json_t *
rkj_value(const char *text)
{
	struct rk_why why = {0};
	json_t *v = NULL;

	if (*text == '[' || *text == '{') {
		if (rkj_parse_yaml(text, strlen(text), &v, &why) != RK_OK)
			v = NULL;
		rk_why_fini(&why);
	}
	return v != NULL ? v : rkj_scalar(text);
}
