/* Names of models and of aliases. */
#include <string.h>

#include "rekindle/models.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyz" "ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789"
#define NAME_MAX_BYTES 64

static bool
is_word(const char *s)
{
	const size_t n = strlen(s);

	return n > 0 && n <= NAME_MAX_BYTES && strspn(s, ALNUM "._-") == n &&
	    strchr(ALNUM, s[0]) != NULL;
}

enum rk_err
models_name_ok(const char *name, struct rk_why *why)
{
	if (is_word(name))
		return RK_OK;
	return rk_refuse(why, "is \"%.*s\", want the name of a model: a letter "
	    "or digit, and up to 63 more of [A-Za-z0-9._-]",
	    (int)rk_text_fit(name, 80), name);
}

enum rk_err
models_alias_ok(const char *alias, struct rk_why *why)
{
	if (is_word(alias) && strcmp(alias, "latest") != 0 &&
	    strspn(alias, "0123456789") != strlen(alias))
		return RK_OK;
	return rk_refuse(why, "is \"%.*s\", want the name of an alias: a letter "
	    "or digit, and up to 63 more of [A-Za-z0-9._-], not digits alone, "
	    "and not latest", (int)rk_text_fit(alias, 80), alias);
}
