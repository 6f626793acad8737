/* How a checkpoint is chosen, and what one may be called. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

static const struct {
	const char *word;
	enum spec_select_kind kind;
} selectors[] = {
	{ "latest", SPEC_SEL_LATEST },
	{ "best", SPEC_SEL_BEST },
	{ "none", SPEC_SEL_NONE },
};

static enum rk_err
parse_step(const char *digits, struct spec_select *out, struct rk_why *why)
{
	size_t n = strspn(digits, "0123456789");

	/* 15 digits are below 2^53, so that any client can say them. */
	if (n == 0 || n > 15 || digits[n] != '\0')
		return rk_refuse(why, "is \"step:%.*s\", want step:N with the "
		    "number of a step", (int)rk_text_fit(digits, 40), digits);
	out->kind = SPEC_SEL_STEP;
	out->step = strtoll(digits, NULL, 10);
	return RK_OK;
}

enum rk_err
spec_select_parse(const char *text, struct spec_select *out,
    struct rk_why *why)
{
	*out = (struct spec_select){0};
	for (size_t i = 0; i < RK_ARRAY_LEN(selectors); i++) {
		if (strcmp(text, selectors[i].word) == 0) {
			out->kind = selectors[i].kind;
			return RK_OK;
		}
	}
	if (strncmp(text, "step:", 5) == 0)
		return parse_step(text + 5, out, why);
	if (!rk_name_ok(text))
		return rk_refuse(why, "is \"%.*s\", want latest, best, step:N, "
		    "none or a checkpoint's name", (int)rk_text_fit(text, 80),
		    text);
	out->kind = SPEC_SEL_NAME;
	out->name = text;
	return RK_OK;
}

/* A name becomes an entry of the job's folder of checkpoints (ckpt.h), beside
 * entries of our own. */
enum rk_err
spec_checkpoint_name_ok(const char *name, struct rk_why *why)
{
	static const char *const ours[] = {
		"latest", "best", "none", "branch.json"
	};
	static const char *const begin[] = { "step-", "step:", "bad-step-" };

	for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++) {
		if (strcmp(name, ours[i]) == 0)
			return rk_refuse(why, "is \"%s\", which is a word of "
			    "our own: choose another name", name);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(begin); i++) {
		if (strncmp(name, begin[i], strlen(begin[i])) == 0)
			return rk_refuse(why, "begins with \"%s\", as our own "
			    "names do: choose another name", begin[i]);
	}
	if (!rk_name_ok(name))
		return rk_refuse(why, "is \"%.*s\", want 1 to 64 of "
		    "[A-Za-z0-9._-], the first no . and no -",
		    (int)rk_text_fit(name, 80), name);
	return RK_OK;
}
