/* json_shown - a value in a sentence for a person. */
#ifndef REKINDLE_JSON_SHOWN_H
#define REKINDLE_JSON_SHOWN_H

#include "rekindle/json.h"

/*
 * Append what v is, short: 3, "text", [1, 0.5], an object, an empty list.  A
 * text is cut at 48 bytes, a list behind the value that passes 40 of them: [1,
 * 2, ...]; what stands deeper in it is [...] and {...}.
 */
#define RKJ_SHOWN_MAX 128               /* more than is ever appended */
void rkj_show(struct strbuf *b, const json_t *v);

#endif
