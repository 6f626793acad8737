/* JSON text to a tree, under limits. */
#include <string.h>

#include "impl.h"

enum rk_err
text_fault(struct rk_why *why, size_t line, size_t column, const char *fmt,
    ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	rk_refuse(why, "line %zu, column %zu: %s", line, column, sb_str(&b));
	sb_fini(&b);
	return RK_EINVAL;
}

/*
 * Walk the brackets before jansson does, for it recurses and allocates as deep
 * and as much as the text says.  Where text is valid, `depth` is exact, and the
 * number of values is at most opened + commas + 1.  Where it is not, jansson
 * stops at the latest where the two begin to differ.
 */
static enum rk_err
check_size(const char *s, size_t len, struct rk_why *why)
{
	size_t depth = 0, nodes = 1, line = 1, start = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		if (c == '\n') {
			line++;
			start = i + 1;
		}
		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
			continue;
		}
		if (c == '"')
			quoted = true;
		else if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		nodes += c == '[' || c == '{' || c == ',';
		if (depth > RKJ_MAX_DEPTH)
			return text_fault(why, line, i - start + 1,
			    "is nested more than %d levels deep",
			    RKJ_MAX_DEPTH);
		if (nodes > RKJ_MAX_NODES)
			return text_fault(why, line, i - start + 1,
			    "has more than %d values", RKJ_MAX_NODES);
	}
	return RK_OK;
}

/* jansson's own words for what it cannot read, in ours where those are more
 * helpful. */
static const char *
reason(const json_error_t *e)
{
	switch (json_error_code(e)) {
	case json_error_invalid_utf8:
		return "is not valid UTF-8";
	case json_error_premature_end_of_input:
		return "ends too early";
	case json_error_end_of_input_expected:
		return "has more text behind the end of the JSON value";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "has a NUL character (\\u0000) in a string";
	case json_error_duplicate_key:
		return "has the same key twice in one object";
	case json_error_numeric_overflow:
		return "has a number too large for 64 bits";
	default:
		return "is not valid JSON";
	}
}

static enum rk_err
refuse_json(const json_error_t *e, struct rk_why *why)
{
	const char *near = strstr(e->text, " near ");
	size_t line = e->line > 0 ? (size_t)e->line : 1;
	size_t column = e->column > 0 ? (size_t)e->column : 1;

	if (json_error_code(e) == json_error_out_of_memory)
		return RK_ENOMEM;
	if (json_error_code(e) == json_error_invalid_syntax)
		return text_fault(why, line, column, "%s: %s", reason(e),
		    e->text);
	return text_fault(why, line, column, "%s%s", reason(e),
	    near != NULL ? near : "");
}

enum rk_err
rkj_parse_json(const char *s, size_t len, json_t **out, struct rk_why *why)
{
	json_error_t e;

	if (len > RKJ_MAX_BYTES)
		return rk_refuse(why, "is %zu bytes long, want at most %u",
		    len, RKJ_MAX_BYTES);
	/* Editors on Windows begin a file so; RFC 8259 lets us pass over it. */
	if (len >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) {
		s += 3;
		len -= 3;
	}
	if (check_size(s, len, why) != RK_OK)
		return RK_EINVAL;
	json_t *v = json_loadb(s, len,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (v == NULL)
		return refuse_json(&e, why);
	*out = v;
	return RK_OK;
}
