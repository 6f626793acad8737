/*
 * models - the commands of `rekindle models`.
 *
 *	models.c          the verbs; list, search, history
 *	models_show.c     show
 *	models_change.c   register, promote, rollback, delete
 *	models_tree.c     lineage, drawn
 *	models_compare.c  compare, card
 *	models_pull.c     pull
 */
#ifndef CLI_MODELS_H
#define CLI_MODELS_H

#include "cli.h"

/* A version as a person names it: NAME/N, NAME@ALIAS, NAME (the newest). */
struct which {
	char name[65];
	char version[65];       /* digits, an alias, or "latest" */
	enum which_way { BY_NEWEST, BY_ALIAS, BY_NUMBER } way;
};
/* CLI_USAGE: it is none, which has been printed. */
enum cli_exit which_parse(struct which *w, const char *text);
/* The same of a name alone. */
enum cli_exit which_name(char name[65], const char *text);

/* /v1/models/NAME/versions/VERSION + tail; the caller frees. */
char *which_path(const struct which *w, const char *tail);
/* GET it, of a text as above. */
enum cli_exit which_get(const char *text, const char *tail,
    struct cli_reply *r);

/* Behind a list, on standard error: how old it is, and why so old. */
void models_say_age(const json_t *page);
/* "tiles/2", as an answer has it in model and version; the caller frees. */
char *models_label(const json_t *o);
/* Text of others as one line, the caller's. */
char *models_line(const char *s);
/* "production,candidate" of a version, "production=3" of a model. */
void models_put_aliases(struct strbuf *b, const json_t *o);
/* "0.8833", "-" */
#define FIGURE 32
const char *models_figure(char out[FIGURE], const json_t *v);

cli_command_fn models_list, models_show, models_search, models_history,
    models_register, models_promote, models_rollback, models_delete,
    models_lineage, models_compare, models_card, models_pull;

#endif
