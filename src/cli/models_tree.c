/*
 * rekindle models lineage: what a version comes from, drawn as a tree.
 *
 *	tiles/2 (production), 2026-11-30 by ana
 *	└─ job tiles-six, step-000000120, on line 7
 *	   └─ tiles/1, deleted
 *	      └─ job tiles-four, step-000000600
 *	         └─ file s3://models/resnet18.pdparams, sha256 2c26b46b68ff
 */
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"

#define DEPTH_MAX 200
#define DIGEST_SHOWN 12

/* What stands before a node, and before what is below it. */
static const struct lines {
	const char *next, *last, *beside, *below;
} boxes = { "├─ ", "└─ ", "│  ", "   " },
    plain = { "|- ", "`- ", "|  ", "   " };

static const struct lines *
lines_of_locale(void)
{
	locale_t here = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	const char *set = here != (locale_t)0 ? nl_langinfo_l(CODESET, here) :
	    "";
	const bool utf8 = strcmp(set, "UTF-8") == 0;

	if (here != (locale_t)0)
		freelocale(here);
	return utf8 ? &boxes : &plain;
}

/* ", WHAT" of what is known. */
static void
also(struct strbuf *b, const char *before, const char *what)
{
	if (*what != '\0')
		sb_addf(b, ", %s%s", before, what);
}

static void
version_text(struct strbuf *b, const json_t *n)
{
	const char *author = cli_str(n, "author");
	struct strbuf aliases = {0};
	char *name = models_label(n);
	char day[11];

	models_put_aliases(&aliases, n);
	snprintf(day, sizeof(day), "%s", cli_str(n, "created_at"));
	sb_adds(b, name);
	if (aliases.len > 0)
		sb_addf(b, " (%s)", sb_str(&aliases));
	also(b, "", day);
	if (*author != '\0')
		sb_addf(b, " by %s", author);
	if (json_is_true(json_object_get(n, "deleted")))
		sb_adds(b, ", deleted");
	if (json_is_true(json_object_get(n, "unknown")))
		sb_adds(b, ", of no log that is known here");
	sb_fini(&aliases);
	free(name);
}

static void
file_text(struct strbuf *b, const json_t *n)
{
	const char *sha256 = cli_str(n, "sha256");

	sb_addf(b, "file %s", *cli_str(n, "address") != '\0' ?
	    cli_str(n, "address") : "of an unknown address");
	if (*sha256 != '\0')
		sb_addf(b, ", sha256 %.*s", DIGEST_SHOWN, sha256);
	else
		sb_adds(b, ", of an unknown digest");
}

/* One line, of text that is others' in part. */
static char *
node_text(const json_t *n)
{
	const char *kind = cli_str(n, "kind");
	struct strbuf b = {0};

	if (strcmp(kind, "version") == 0) {
		version_text(&b, n);
	} else if (strcmp(kind, "job") == 0) {
		sb_addf(&b, "job %s", *cli_str(n, "name") != '\0' ?
		    cli_str(n, "name") : cli_str(n, "job"));
		also(&b, "", cli_str(n, "checkpoint"));
		also(&b, "on ", cli_str(json_object_get(n, "data"), "source"));
	} else {
		file_text(&b, n);
	}
	if (json_is_true(json_object_get(n, "cut")))
		sb_adds(&b, ", and more");
	return rk_text_clean(sb_detach(&b));
}

static void
draw(const json_t *node, const struct lines *l, struct strbuf *before,
    int depth)
{
	const json_t *parents = json_object_get(node, "parents"), *p;
	const size_t n = json_array_size(parents), len = before->len;
	size_t i;

	if (depth >= DEPTH_MAX)
		return;
	json_array_foreach(parents, i, p) {
		char *text = node_text(p);
		printf("%s%s%s\n", sb_str(before), i + 1 < n ? l->next :
		    l->last, text);
		free(text);
		sb_adds(before, i + 1 < n ? l->beside : l->below);
		draw(p, l, before, depth + 1);
		before->len = len;
		before->s[len] = '\0';
	}
}

enum cli_exit
models_lineage(const struct cli_args *a)
{
	struct cli_reply r;
	const enum cli_exit rc = which_get(a->pos[0], "/lineage", &r);
	const json_t *root = json_object_get(r.json, "lineage");

	if (rc == CLI_OK && a->json) {
		cli_print_json(r.json);
	} else if (rc == CLI_OK) {
		struct strbuf before = {0};
		char *text = node_text(root);
		printf("%s\n", text);
		draw(root, lines_of_locale(), &before, 0);
		free(text);
		sb_fini(&before);
	}
	if (rc == CLI_OK)
		models_say_age(r.json);
	cli_reply_fini(&r);
	return rc;
}
