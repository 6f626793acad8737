/*
 * markdown - text of others in a page of Markdown (CommonMark, and GitHub's
 * tables): it is shown as it is, and never a heading, a link, a row or HTML.
 * Control characters, marks of direction and what is no UTF-8 are '?'.
 */
#ifndef MODELS_MARKDOWN_H
#define MODELS_MARKDOWN_H

#include "rekindle/base.h"

/* Within a line, where something of ours stands before it. */
void md_text(struct strbuf *b, const char *s);
/* The same as code, which is what names, addresses and digests are; in_table:
 * in a cell of a table. */
void md_code(struct strbuf *b, const char *s, bool in_table);
/* Lines of their own, as a quotation; nothing for none. */
void md_quote(struct strbuf *b, const char *s);

#endif
