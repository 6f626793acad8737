/* A page of a list: what is in it, and where the next one begins. */
#ifndef REMOTE_LIST_H
#define REMOTE_LIST_H

#include "impl.h"

struct item {
	char *key, *etag, *id;          /* id: of an upload */
	uint64_t size;
	int64_t at_ms;
	bool folder;
};

struct page {
	struct item *v;
	size_t n, cap;
	char *token, *mark, *mark_id;   /* where the next begins */
	bool more, encoded;
};

/* Read a page whose root element is `root`; entries in the order of their keys.
 * False if it is none, and then, too, page_fini() it.  *p begins as {0}. */
bool page_read(struct page *p, const char *body, size_t n, const char *root);
void page_fini(struct page *p);
/* *out becomes a copy of s. */
void page_set(char **out, const char *s);

#endif
