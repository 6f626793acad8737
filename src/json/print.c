/*
 * Trees to text, keys sorted: the same tree always gives the same bytes.
 *
 * jansson prints 0.1 as 0.10000000000000001; we print the fewest digits that
 * read back as the same number.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/json_shown.h"
#include "impl.h"

#define SHORT_TEXT 48           /* bytes of a string quoted in a message */
#define SHORT_LIST 40           /* ... and of a list behind which none begins */

char *
real_text(char *out, double x, bool point)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, RK_HUMAN, "%.*g", digits, x);
		if (strtod(out, NULL) == x)
			break;
	}
	if (point && strpbrk(out, ".eni") == NULL)
		strcat(out, ".0");
	return out;
}

static void
put_string(struct strbuf *b, const char *s, size_t n)
{
	static const char plain[] = "btn.fr";

	sb_addc(b, '"');
	for (size_t i = 0, from = 0; i <= n; i++) {
		unsigned char c = i < n ? (unsigned char)s[i] : 0;
		if (i < n && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		sb_add(b, s + from, i - from);
		from = i + 1;
		if (i == n)
			break;
		if (c == '"' || c == '\\')
			sb_addf(b, "\\%c", c);
		else if (c >= 8 && c <= 13 && c != 11)
			sb_addf(b, "\\%c", plain[c - 8]);
		else
			sb_addf(b, "\\u%04x", c);
	}
	sb_addc(b, '"');
}

/* Indent of two, or nothing in compact text (level < 0). */
static void
new_line(struct strbuf *b, int level)
{
	if (level < 0)
		return;
	sb_addc(b, '\n');
	for (int i = 0; i < level; i++)
		sb_adds(b, "  ");
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put(struct strbuf *b, const json_t *v, int level);

static void
put_object(struct strbuf *b, const json_t *v, int level)
{
	size_t n = json_object_size(v), i = 0;
	const char **keys = xcalloc(n, sizeof(*keys));
	const char *key;
	json_t *item, *object = (json_t *)(uintptr_t)v;

	json_object_foreach(object, key, item)
		keys[i++] = key;
	qsort(keys, n, sizeof(*keys), by_name);
	sb_addc(b, '{');
	int inner = level < 0 ? -1 : level + 1;
	for (i = 0; i < n; i++) {
		if (i > 0)
			sb_addc(b, ',');
		new_line(b, inner);
		put_string(b, keys[i], strlen(keys[i]));
		sb_adds(b, level < 0 ? ":" : ": ");
		put(b, json_object_get(v, keys[i]), inner);
	}
	if (n > 0)
		new_line(b, level);
	sb_addc(b, '}');
	free(keys);
}

static void
put_array(struct strbuf *b, const json_t *v, int level)
{
	size_t n = json_array_size(v);
	int inner = level < 0 ? -1 : level + 1;

	sb_addc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sb_addc(b, ',');
		new_line(b, inner);
		put(b, json_array_get(v, i), inner);
	}
	if (n > 0)
		new_line(b, level);
	sb_addc(b, ']');
}

static void
put(struct strbuf *b, const json_t *v, int level)
{
	char number[RK_HUMAN];

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		put_object(b, v, level);
		break;
	case JSON_ARRAY:
		put_array(b, v, level);
		break;
	case JSON_STRING:
		put_string(b, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		sb_addf(b, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		sb_adds(b, real_text(number, json_real_value(v), true));
		break;
	case JSON_TRUE:
		sb_adds(b, "true");
		break;
	case JSON_FALSE:
		sb_adds(b, "false");
		break;
	case JSON_NULL:
		sb_adds(b, "null");
		break;
	}
}

char *
rkj_text(const json_t *v)
{
	struct strbuf b = {0};

	must(v != NULL);
	put(&b, v, -1);
	return sb_detach(&b);
}

char *
rkj_pretty(const json_t *v)
{
	struct strbuf b = {0};

	must(v != NULL);
	put(&b, v, 0);
	return sb_detach(&b);
}

static void
show_element(struct strbuf *b, const json_t *v)
{
	if (json_is_array(v))
		sb_adds(b, json_array_size(v) > 0 ? "[...]" : "[]");
	else if (json_is_object(v))
		sb_adds(b, json_object_size(v) > 0 ? "{...}" : "{}");
	else
		rkj_show(b, v);
}

static void
show_list(struct strbuf *b, const json_t *v)
{
	const size_t n = json_array_size(v), from = b->len;

	sb_adds(b, "[");
	for (size_t i = 0; i < n; i++) {
		sb_adds(b, i > 0 ? ", " : "");
		if (b->len - from > SHORT_LIST) {
			sb_adds(b, "...");
			break;
		}
		show_element(b, json_array_get(v, i));
	}
	sb_adds(b, "]");
}

void
rkj_show(struct strbuf *b, const json_t *v)
{
	if (json_is_object(v)) {
		sb_adds(b, json_object_size(v) > 0 ? "an object" :
		    "an empty object");
	} else if (json_is_array(v) && json_array_size(v) > 0) {
		show_list(b, v);
	} else if (json_is_array(v)) {
		sb_adds(b, "an empty list");
	} else if (json_is_string(v)) {
		const char *s = json_string_value(v);
		size_t n = rk_text_fit(s, SHORT_TEXT);
		sb_addf(b, "\"%.*s%s\"", (int)n, s,
		    s[n] != '\0' ? "..." : "");
	} else {
		put(b, v, -1);
	}
}
