/*
 * YAML text to the same tree that JSON gives.
 *
 * libyaml turns text into events; the rest is a walk of one function a kind of
 * node, as deep as the text is nested and never deeper than RKJ_MAX_DEPTH.
 */
#include <string.h>
#include <yaml.h>

#include "impl.h"

struct reader {
	yaml_parser_t yaml;
	struct rk_why *why;
	size_t nodes;
};

#define MAX_DIRECTIVES 64
#define TAG "tag:yaml.org,2002:"

static enum rk_err
refuse_at_mark(struct reader *r, yaml_mark_t m, const char *what)
{
	return text_fault(r->why, m.line + 1, m.column + 1, "%s", what);
}

static enum rk_err
refuse_text(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;
	const char *problem = y->problem != NULL ? y->problem : "no reason";

	if (y->error == YAML_MEMORY_ERROR)
		return RK_ENOMEM;
	/* The reader, which decodes UTF-8, counts bytes and not lines. */
	if (y->error == YAML_READER_ERROR)
		return text_fault(r->why, y->mark.line + 1, y->mark.column + 1,
		    "cannot be read as UTF-8 text near byte %zu: %s",
		    y->problem_offset, problem);
	if (y->context != NULL)
		return text_fault(r->why, y->problem_mark.line + 1,
		    y->problem_mark.column + 1,
		    "is not valid YAML: %s, %s that began on line %zu",
		    problem, y->context, y->context_mark.line + 1);
	return text_fault(r->why, y->problem_mark.line + 1,
	    y->problem_mark.column + 1, "is not valid YAML: %s", problem);
}

static enum rk_err
next_event(struct reader *r, yaml_event_t *ev)
{
	return yaml_parser_parse(&r->yaml, ev) ? RK_OK : refuse_text(r);
}

/* Anchors and tags: refused, but for the tag that changes nothing. */
static enum rk_err
check_properties(struct reader *r, const yaml_event_t *ev,
    const yaml_char_t *anchor, const yaml_char_t *tag, const char *usual)
{
	if (anchor != NULL)
		return text_fault(r->why, ev->start_mark.line + 1,
		    ev->start_mark.column + 1, "has the anchor &%.64s; anchors "
		    "and aliases are not supported: write the value out",
		    (const char *)anchor);
	if (tag != NULL && strcmp((const char *)tag, usual) != 0)
		return text_fault(r->why, ev->start_mark.line + 1,
		    ev->start_mark.column + 1, "has the tag %.64s; tags are "
		    "not supported: put text in quotes to keep it text",
		    (const char *)tag);
	return RK_OK;
}

static enum rk_err
check_limits(struct reader *r, const yaml_event_t *ev, size_t depth)
{
	struct strbuf b = {0};

	if (depth > RKJ_MAX_DEPTH)
		sb_addf(&b, "is nested more than %d levels deep",
		    RKJ_MAX_DEPTH);
	else if (++r->nodes > RKJ_MAX_NODES)
		sb_addf(&b, "has more than %d values", RKJ_MAX_NODES);
	else
		return RK_OK;
	refuse_at_mark(r, ev->start_mark, sb_str(&b));
	sb_fini(&b);
	return RK_EINVAL;
}

static enum rk_err
check_scalar(struct reader *r, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;

	if (strlen(s) != ev->data.scalar.length)
		return refuse_at_mark(r, ev->start_mark,
		    "has a NUL character in a string");
	return check_properties(r, ev, ev->data.scalar.anchor,
	    ev->data.scalar.tag, TAG "str");
}

static enum rk_err
read_scalar(struct reader *r, const yaml_event_t *ev, json_t **out)
{
	const char *s = (const char *)ev->data.scalar.value;
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    ev->data.scalar.tag == NULL;
	size_t line = ev->start_mark.line + 1;
	size_t column = ev->start_mark.column + 1;

	if (check_scalar(r, ev) != RK_OK)
		return RK_EINVAL;
	if (!plain) {
		*out = json_string(s);
		return *out != NULL ? RK_OK : refuse_at_mark(r,
		    ev->start_mark, "has a string that is not valid UTF-8");
	}
	switch (scalar_value(s, out)) {
	case SCALAR_OK:
		return RK_OK;
	case SCALAR_NOT_FINITE:
		return text_fault(r->why, line, column, "%.64s is not a finite "
		    "number; if it is text, put it in quotes", s);
	case SCALAR_TOO_BIG:
		return text_fault(r->why, line, column, "the integer %.64s "
		    "does not fit into 64 bits; if it is text, put it in "
		    "quotes", s);
	case SCALAR_NOT_UTF8:
		break;
	}
	return refuse_at_mark(r, ev->start_mark,
	    "has a string that is not valid UTF-8");
}

static enum rk_err read_node(struct reader *r, yaml_event_t *ev, size_t depth,
    json_t **out);

/* The items up to the end of a sequence whose beginning has been read. */
static enum rk_err
read_items(struct reader *r, size_t depth, json_t *list)
{
	yaml_event_t ev;
	json_t *v;

	for (;;) {
		enum rk_err rc = next_event(r, &ev);
		if (rc != RK_OK)
			return rc;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return RK_OK;
		}
		rc = read_node(r, &ev, depth + 1, &v);
		if (rc != RK_OK)
			return rc;
		must(json_array_append_new(list, v) == 0);
	}
}

/* A key: text, whatever it looks like, and new in this mapping. */
static enum rk_err
check_key(struct reader *r, const yaml_event_t *ev, const json_t *map)
{
	if (ev->type == YAML_ALIAS_EVENT)
		return refuse_at_mark(r, ev->start_mark, "has an alias; "
		    "anchors and aliases are not supported");
	if (ev->type != YAML_SCALAR_EVENT)
		return refuse_at_mark(r, ev->start_mark,
		    "has a list or a mapping as a key; a key must be text");
	if (check_scalar(r, ev) != RK_OK)
		return RK_EINVAL;
	const char *key = (const char *)ev->data.scalar.value;
	if (json_object_get(map, key) != NULL)
		return text_fault(r->why, ev->start_mark.line + 1,
		    ev->start_mark.column + 1, "has the key \"%.*s\" twice",
		    (int)rk_text_fit(key, 64), key);
	return RK_OK;
}

/* One "key: value"; the event of the key has been read and is freed here. */
static enum rk_err
read_pair(struct reader *r, yaml_event_t *key, size_t depth, json_t *map)
{
	yaml_event_t ev;
	json_t *v = NULL;
	enum rk_err rc = check_key(r, key, map);

	if (rc == RK_OK)
		rc = next_event(r, &ev);
	if (rc == RK_OK)
		rc = read_node(r, &ev, depth + 1, &v);
	if (rc == RK_OK && json_object_set_new(map,
	    (const char *)key->data.scalar.value, v) != 0)
		rc = refuse_at_mark(r, key->start_mark,
		    "has a key that is not valid UTF-8");
	yaml_event_delete(key);
	return rc;
}

static enum rk_err
read_pairs(struct reader *r, size_t depth, json_t *map)
{
	yaml_event_t ev;

	for (;;) {
		enum rk_err rc = next_event(r, &ev);
		if (rc != RK_OK)
			return rc;
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return RK_OK;
		}
		rc = read_pair(r, &ev, depth, map);
		if (rc != RK_OK)
			return rc;
	}
}

/* The node that begins with *ev, which is freed here. */
static enum rk_err
read_node(struct reader *r, yaml_event_t *ev, size_t depth, json_t **out)
{
	enum yaml_event_type_e type = ev->type;
	bool leaf = type != YAML_SEQUENCE_START_EVENT &&
	    type != YAML_MAPPING_START_EVENT;
	enum rk_err rc = check_limits(r, ev, leaf ? depth - 1 : depth);

	*out = NULL;
	if (rc == RK_OK && type == YAML_SCALAR_EVENT)
		rc = read_scalar(r, ev, out);
	else if (rc == RK_OK && type == YAML_SEQUENCE_START_EVENT)
		rc = check_properties(r, ev, ev->data.sequence_start.anchor,
		    ev->data.sequence_start.tag, TAG "seq");
	else if (rc == RK_OK && type == YAML_MAPPING_START_EVENT)
		rc = check_properties(r, ev, ev->data.mapping_start.anchor,
		    ev->data.mapping_start.tag, TAG "map");
	else if (rc == RK_OK)
		rc = refuse_at_mark(r, ev->start_mark, "has an alias; anchors "
		    "and aliases are not supported: write the value out");
	yaml_event_delete(ev);
	if (rc != RK_OK || leaf)
		return rc;

	*out = type == YAML_MAPPING_START_EVENT ? json_object() : json_array();
	must(*out != NULL);
	rc = type == YAML_MAPPING_START_EVENT ? read_pairs(r, depth, *out) :
	    read_items(r, depth, *out);
	if (rc != RK_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/* Take an event of this type, or say `else_say`. */
static enum rk_err
expect(struct reader *r, yaml_event_type_t type, const char *else_say)
{
	yaml_event_t ev;
	enum rk_err rc = next_event(r, &ev);

	if (rc != RK_OK)
		return rc;
	if (ev.type != type)
		rc = refuse_at_mark(r, ev.start_mark, else_say);
	yaml_event_delete(&ev);
	return rc;
}

static enum rk_err
read_document(struct reader *r, json_t **out)
{
	yaml_event_t ev;
	enum rk_err rc;

	rc = expect(r, YAML_STREAM_START_EVENT, "is not YAML");
	if (rc == RK_OK)
		rc = expect(r, YAML_DOCUMENT_START_EVENT, "is empty");
	if (rc == RK_OK)
		rc = next_event(r, &ev);
	if (rc == RK_OK)
		rc = read_node(r, &ev, 1, out);
	if (rc != RK_OK)
		return rc;
	rc = expect(r, YAML_DOCUMENT_END_EVENT, "is not valid YAML");
	if (rc == RK_OK)
		rc = expect(r, YAML_STREAM_END_EVENT, "begins a second "
		    "document here; want one");
	if (rc != RK_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/*
 * libyaml compares each %TAG directive with all before it, so that a megabyte
 * of them takes minutes.  Nobody needs many, as tags are refused.
 */
static bool
too_many_directives(const char *s, size_t len)
{
	const char *end = s + len;

	for (int n = 0; n <= MAX_DIRECTIVES; n++) {
		s = memmem(s, (size_t)(end - s), "%TAG", 4);
		if (s == NULL)
			return false;
		s += 4;
	}
	return true;
}

enum rk_err
rkj_parse_yaml(const char *s, size_t len, json_t **out, struct rk_why *why)
{
	struct reader r = { .why = why };
	json_t *v = NULL;

	if (len > RKJ_MAX_BYTES)
		return rk_refuse(why, "is %zu bytes long, want at most %u",
		    len, RKJ_MAX_BYTES);
	if (too_many_directives(s, len))
		return rk_refuse(why, "has %%TAG more than %d times",
		    MAX_DIRECTIVES);
	if (!yaml_parser_initialize(&r.yaml))
		return RK_ENOMEM;
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)s, len);
	enum rk_err rc = read_document(&r, &v);
	yaml_parser_delete(&r.yaml);
	if (rc == RK_OK)
		*out = v;
	return rc;
}
