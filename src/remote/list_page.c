/*
 * A page of a list.
 *
 * Keys come percent-encoded inside XML (encoding-type=url), because a key may
 * hold what XML cannot: so first the entities are resolved, then the percents.
 */
#include <stdlib.h>
#include <string.h>

#include "list.h"

#define ITEMS_MAX 10000                 /* 1000 are asked for */

static void
item_fini(struct item *i)
{
	free(i->key);
	free(i->etag);
	free(i->id);
}

void
page_fini(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		item_fini(&p->v[i]);
	free(p->v);
	free(p->token);
	free(p->mark);
	free(p->mark_id);
	*p = (struct page){0};
}

static void
page_add(struct page *p, struct item *i)
{
	if (p->n == p->cap) {
		p->cap = RK_MAX(p->cap * 2, 64);
		p->v = xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->n++] = *i;
	*i = (struct item){0};
}

void
page_set(char **out, const char *s)
{
	free(*out);
	*out = xstrdup(s);
}

/* Elements of <Contents>, <CommonPrefixes> and <Upload>. */
static void
read_field(struct item *i, const char *name, const char *text)
{
	if (strcmp(name, "Key") == 0 || strcmp(name, "Prefix") == 0)
		page_set(&i->key, text);
	else if (strcmp(name, "ETag") == 0)
		page_set(&i->etag, text);
	else if (strcmp(name, "UploadId") == 0)
		page_set(&i->id, text);
	else if (strcmp(name, "Size") == 0)
		i->size = strlen(text) <= 18 ? strtoull(text, NULL, 10) : 0;
	else if ((strcmp(name, "LastModified") == 0 ||
	    strcmp(name, "Initiated") == 0) &&
	    !rk_time_parse(text, &i->at_ms))
		i->at_ms = 0;
}

/* Elements right below the root. */
static void
read_head(struct page *p, const char *name, const char *text)
{
	if (strcmp(name, "IsTruncated") == 0)
		p->more = strcmp(text, "true") == 0;
	else if (strcmp(name, "EncodingType") == 0)
		p->encoded = strcmp(text, "url") == 0;
	else if (strcmp(name, "NextContinuationToken") == 0)
		page_set(&p->token, text);
	else if (strcmp(name, "NextKeyMarker") == 0)
		page_set(&p->mark, text);
	else if (strcmp(name, "NextUploadIdMarker") == 0)
		page_set(&p->mark_id, text);
}

static bool
is_item(const char *name)
{
	return strcmp(name, "Contents") == 0 ||
	    strcmp(name, "CommonPrefixes") == 0 || strcmp(name, "Upload") == 0;
}

static bool
read_page(const char *body, size_t n, const char *root, struct page *p)
{
	struct item item = {0};
	enum xml_event e;
	bool ok = true;
	struct xml x;

	xml_open(&x, body, n);
	while ((e = xml_next(&x)) != XML_END && e != XML_BAD && ok) {
		const char *text = sb_str(&x.text);
		if (e == XML_OPEN)
			ok = x.depth > 1 || strcmp(x.name, root) == 0;
		else if (x.depth == 2 && is_item(x.stack[1]))
			read_field(&item, x.name, text);
		else if (x.depth == 1 && is_item(x.name)) {
			item.folder = strcmp(x.name, "CommonPrefixes") == 0;
			if (item.key != NULL)
				page_add(p, &item);
			item_fini(&item);
			item = (struct item){0};
			ok = p->n <= ITEMS_MAX;
		} else if (x.depth == 1)
			read_head(p, x.name, text);
	}
	item_fini(&item);
	xml_fini(&x);
	return ok && e == XML_END;
}

static int
hex_of(char c)
{
	const char *set_ = "0123456789abcdef0123456789ABCDEF";
	const char *at = c != '\0' ? strchr(set_, c) : NULL;

	return at == NULL ? -1 : (int)(at - set_) & 15;
}

/* In place; '+' is a blank, and stores write '+' itself as %2B. */
static bool
url_decode(char *s)
{
	char *to = s;

	for (; s != NULL && *s != '\0'; s++) {
		if (*s == '%') {
			int hi = hex_of(s[1]), lo = hi < 0 ? -1 : hex_of(s[2]);
			if (lo < 0 || (hi | lo) == 0)
				return false;
			*to++ = (char)(hi << 4 | lo);
			s += 2;
		} else {
			*to++ = *s == '+' ? ' ' : *s;
		}
	}
	if (to != NULL)
		*to = '\0';
	return true;
}

static bool
decode_page(struct page *p)
{
	bool ok = true;

	if (!p->encoded)
		return true;
	for (size_t i = 0; i < p->n; i++)
		ok &= url_decode(p->v[i].key);
	return ok && url_decode(p->mark);
}

static int
by_key(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return strcmp(x->key, y->key);
}

bool
page_read(struct page *p, const char *body, size_t n, const char *root)
{
	if (!read_page(body, n, root, p) || !decode_page(p))
		return false;
	if (p->n > 0)
		qsort(p->v, p->n, sizeof(*p->v), by_key);
	return true;
}
