/*
 * The little XML that object stores speak: elements and text.
 *
 * A reader under limits (depth, length of names), without document types,
 * namespaces or attributes: those are skipped.  Whatever is not well-formed in
 * this sense ends it; it never looks behind the bytes that it was given.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

void
xml_open(struct xml *x, const char *p, size_t n)
{
	*x = (struct xml){ .p = p, .end = p + n };
}

void
xml_fini(struct xml *x)
{
	sb_fini(&x->text);
}

static enum xml_event
bad(struct xml *x)
{
	x->bad = true;
	return XML_BAD;
}

static bool
starts(const struct xml *x, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(x->end - x->p) >= n && memcmp(x->p, s, n) == 0;
}

/* Go behind the next occurrence of s; false if there is none. */
static bool
skip_past(struct xml *x, const char *s)
{
	const char *at = memmem(x->p, (size_t)(x->end - x->p), s, strlen(s));

	if (at == NULL)
		return false;
	x->p = at + strlen(s);
	return true;
}

static void
add_utf8(struct strbuf *b, uint32_t c)
{
	if (c < 0x80) {
		sb_addc(b, (char)c);
	} else if (c < 0x800) {
		sb_addc(b, (char)(0xc0 | c >> 6));
		sb_addc(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		sb_addc(b, (char)(0xe0 | c >> 12));
		sb_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		sb_addc(b, (char)(0x80 | (c & 0x3f)));
	} else {
		sb_addc(b, (char)(0xf0 | c >> 18));
		sb_addc(b, (char)(0x80 | (c >> 12 & 0x3f)));
		sb_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		sb_addc(b, (char)(0x80 | (c & 0x3f)));
	}
}

/* "#38" and "#x26", n bytes of them. */
static bool
add_character(struct strbuf *b, const char *s, size_t n)
{
	char digits[12], *end;

	if (n < 2 || n >= sizeof(digits))
		return false;
	memcpy(digits, s + 1, n - 1);
	digits[n - 1] = '\0';
	bool hex = digits[0] == 'x';
	const char *set = hex ? "0123456789abcdefABCDEF" : "0123456789";
	if (strspn(digits + hex, set) != n - 1 - hex || n - 1 == hex)
		return false;
	unsigned long c = strtoul(digits + hex, &end, hex ? 16 : 10);
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return false;
	add_utf8(b, (uint32_t)c);
	return true;
}

/* At an '&': what it stands for. */
static bool
add_entity(struct xml *x)
{
	static const struct {
		const char *name;
		char c;
	} known[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' },
	    { "quot", '"' }, { "apos", '\'' } };
	size_t left = (size_t)(x->end - x->p) - 1;
	const char *s = x->p + 1, *end = memchr(s, ';', RK_MIN(left, 12));

	if (end == NULL)
		return false;
	size_t n = (size_t)(end - s);
	x->p = end + 1;
	if (n > 0 && s[0] == '#')
		return add_character(&x->text, s, n);
	for (size_t i = 0; i < RK_ARRAY_LEN(known); i++) {
		if (strlen(known[i].name) == n &&
		    memcmp(known[i].name, s, n) == 0) {
			sb_addc(&x->text, known[i].c);
			return true;
		}
	}
	return false;
}

/* Text up to the next '<' or the end; outside of the root only blanks. */
static bool
read_text(struct xml *x)
{
	while (x->p < x->end && *x->p != '<') {
		if (*x->p == '\0')
			return false;
		if (x->depth == 0 && strchr(" \t\r\n", *x->p) == NULL)
			return false;
		if (*x->p == '&') {
			if (!add_entity(x))
				return false;
		} else {
			if (x->depth > 0)
				sb_addc(&x->text, *x->p);
			x->p++;
		}
	}
	return true;
}

static bool
is_name_end(char c)
{
	return strchr(" \t\r\n/>", c) != NULL;
}

/* The name at p, without its prefix, into out; p is left behind it. */
static bool
read_name(struct xml *x, char out[XML_NAME])
{
	const char *s = x->p;
	size_t n;

	while (x->p < x->end && !is_name_end(*x->p)) {
		if (strchr("<&\"'=", *x->p) != NULL)
			return false;
		if (*x->p++ == ':')
			s = x->p;
	}
	n = (size_t)(x->p - s);
	if (x->p == x->end || n == 0 || n >= XML_NAME)
		return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

static enum xml_event
open_tag(struct xml *x)
{
	x->p++;
	if (x->depth == XML_DEPTH || (x->depth == 0 && x->rooted) ||
	    !read_name(x, x->stack[x->depth]))
		return bad(x);
	x->name = x->stack[x->depth++];
	x->rooted = true;
	for (char quote = 0; x->p < x->end; x->p++) {
		if (*x->p == '\0' || *x->p == '<')
			return bad(x);
		if (quote != 0) {
			if (*x->p == quote)
				quote = 0;
		} else if (*x->p == '"' || *x->p == '\'') {
			quote = *x->p;
		} else if (*x->p == '>') {
			x->empty = x->p[-1] == '/';
			x->p++;
			sb_reset(&x->text);
			return XML_OPEN;
		}
	}
	return bad(x);
}

static enum xml_event
close_tag(struct xml *x)
{
	char name[XML_NAME];

	x->p += 2;
	if (x->depth == 0 || !read_name(x, name))
		return bad(x);
	while (x->p < x->end && strchr(" \t\r\n", *x->p) != NULL &&
	    *x->p != '\0')
		x->p++;
	if (x->p == x->end || *x->p++ != '>' ||
	    strcmp(name, x->stack[x->depth - 1]) != 0)
		return bad(x);
	x->name = x->stack[--x->depth];
	return XML_CLOSE;
}

/* <?...?>, <!--...--> and <![CDATA[...]]>; nothing else begins so. */
static bool
skip_other(struct xml *x)
{
	if (starts(x, "<?"))
		return skip_past(x, "?>");
	if (starts(x, "<!--")) {
		x->p += 4;
		return skip_past(x, "-->");
	}
	if (!starts(x, "<![CDATA[") || x->depth == 0)
		return false;
	x->p += 9;
	const char *from = x->p;
	if (!skip_past(x, "]]>"))
		return false;
	size_t n = (size_t)(x->p - 3 - from);
	if (memchr(from, '\0', n) != NULL)
		return false;
	sb_add(&x->text, from, n);
	return true;
}

enum xml_event
xml_next(struct xml *x)
{
	if (x->bad)
		return XML_BAD;
	if (x->empty) {
		x->empty = false;
		x->name = x->stack[--x->depth];
		return XML_CLOSE;
	}
	if (x->name != NULL)
		sb_reset(&x->text);
	for (;;) {
		if (!read_text(x))
			return bad(x);
		if (x->p == x->end)
			return x->depth == 0 && x->rooted ? XML_END : bad(x);
		if (starts(x, "</"))
			return close_tag(x);
		if (!starts(x, "<?") && !starts(x, "<!"))
			return open_tag(x);
		if (!skip_other(x))
			return bad(x);
	}
}

char *
xml_find(const char *p, size_t n, const char *name)
{
	char *found = NULL;
	enum xml_event e;
	struct xml x;

	xml_open(&x, p, n);
	while (found == NULL && (e = xml_next(&x)) != XML_END && e != XML_BAD) {
		if (e == XML_CLOSE && strcmp(x.name, name) == 0)
			found = xstrdup(sb_str(&x.text));
	}
	xml_fini(&x);
	return found;
}
