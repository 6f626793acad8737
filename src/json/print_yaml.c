/* Trees to YAML, which people go on to edit. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* Is this text the same without quotes, also for who reads YAML 1.1? */
static bool
plain(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789./-";
	static const char *const words[] = { "true", "false", "null", "yes",
	    "no", "on", "off", "y", "n" };

	if (*s == '\0' || strchr(letters, *s) == NULL ||
	    s[strspn(s, rest)] != '\0')
		return false;
	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	return true;
}

/* JSON's form of a scalar is one of YAML's; but to YAML 1.1 1e-05 is text, and
 * 1.0e-05 a number. */
static void
put_scalar(struct strbuf *b, const json_t *v)
{
	if (json_is_string(v) && plain(json_string_value(v))) {
		sb_adds(b, json_string_value(v));
		return;
	}
	char *text = rkj_text(v);
	const size_t point = json_is_real(v) && strchr(text, '.') == NULL ?
	    strcspn(text, "e") : 0;
	sb_add(b, text, point);
	sb_adds(b, point > 0 ? ".0" : "");
	sb_adds(b, text + point);
	free(text);
}

static void
put_key(struct strbuf *b, const char *key)
{
	json_t *v = json_string(key);

	put_scalar(b, v);
	sb_adds(b, ":");
	json_decref(v);
}

/* On one line: {a: 1, b: [2, 3]} */
static void
put_flow(struct strbuf *b, const json_t *v)
{
	json_t *tree = (json_t *)(uintptr_t)v, *e;
	const char *key;
	size_t i, n = 0;

	if (json_is_object(v)) {
		sb_adds(b, "{");
		json_object_foreach(tree, key, e) {
			sb_adds(b, n++ > 0 ? ", " : "");
			put_key(b, key);
			sb_adds(b, " ");
			put_flow(b, e);
		}
		sb_adds(b, "}");
	} else if (json_is_array(v)) {
		sb_adds(b, "[");
		json_array_foreach(tree, i, e) {
			sb_adds(b, i > 0 ? ", " : "");
			put_flow(b, e);
		}
		sb_adds(b, "]");
	} else {
		put_scalar(b, v);
	}
}

static void
indent(struct strbuf *b, int by)
{
	for (int i = 0; i < by; i++)
		sb_adds(b, "  ");
}

static bool
has_objects(const json_t *v)
{
	return json_is_object(json_array_get(v, 0));
}

static void
put_block(struct strbuf *b, const json_t *v, int levels, int by)
{
	json_t *tree = (json_t *)(uintptr_t)v, *e, *item;
	const char *key;
	size_t i;

	json_object_foreach(tree, key, e) {
		indent(b, by);
		put_key(b, key);
		if (levels > 1 && json_object_size(e) > 0) {
			sb_adds(b, "\n");
			put_block(b, e, levels - 1, by + 1);
			continue;
		}
		if (!has_objects(e)) {
			sb_adds(b, " ");
			put_flow(b, e);
			sb_adds(b, "\n");
			continue;
		}
		sb_adds(b, "\n");
		json_array_foreach(e, i, item) {
			indent(b, by);
			sb_adds(b, "- ");
			put_flow(b, item);
			sb_adds(b, "\n");
		}
	}
}

char *
rkj_yaml(const json_t *v, int levels)
{
	struct strbuf b = {0};

	if (json_object_size(v) > 0 && levels > 0) {
		put_block(&b, v, levels, 0);
	} else {
		put_flow(&b, v);
		sb_adds(&b, "\n");
	}
	return sb_detach(&b);
}
