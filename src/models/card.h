/* card - the parts of a model card: card.c; card_recipe.c and its helpers. */
#ifndef MODELS_CARD_H
#define MODELS_CARD_H

#include "markdown.h"
#include "rekindle/json.h"

/* A field's text, "" where there is none. */
const char *card_text(const json_t *o, const char *key);
/* Why a part of a record is null: "not recorded", or too long for it. */
const char *card_lack(const json_t *record, const char *key);
/* "- **WHAT:** " */
void card_begin(struct strbuf *b, const char *what);
/* "1,200", "0.8833"; "-" for what is no number. */
void card_number(struct strbuf *b, const json_t *v);

/* How it was trained, by its source and the job's specification. */
void card_recipe(struct strbuf *b, const json_t *record);
/* What it comes from: a list in lists. */
void card_lineage(struct strbuf *b, const json_t *lineage);

#endif
