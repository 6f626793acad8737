/*
 * rekindle models: the verbs, and those that list: list, search, history.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"

#define PAGE 50
#define VERSION "NAME[@ALIAS|/N]"

const struct cli_command cli_models_verbs[] = {
	{ "models list", 0, 1, "[NAME] [--limit N] [--all]",
	    "the models, or the versions of one, newest first", models_list },
	{ "models show", 1, 1, VERSION, "all about a version", models_show },
	{ "models search", 0, 1, "[NAME] [--metric CONDITION] "
	    "[--author WHO] [--label KEY[=VALUE]] [--sort [-]METRIC] "
	    "[--limit N] [--all]",
	    "versions by what is recorded of them", models_search },
	{ "models register", 2, 2, "NAME JOB[/CHECKPOINT]|ADDRESS "
	    "[--alias ALIAS] [--notes TEXT] [--label KEY=VALUE]... "
	    "[--author WHO] [--job JOB.yaml] [--no-optimizer]",
	    "make a new version of a checkpoint, or of a file of weights",
	    models_register },
	{ "models promote", 2, 2, "NAME/N|NAME@ALIAS ALIAS "
	    "[--if-better METRIC] [--note TEXT] [--author WHO]",
	    "move an alias to a version", models_promote },
	{ "models rollback", 2, 2, "NAME ALIAS [--note TEXT] [--author WHO]",
	    "move an alias back to where it was before", models_rollback },
	{ "models history", 1, 2, "NAME [ALIAS] [--limit N] [--all]",
	    "what happened to a model, or to an alias of it, newest first",
	    models_history },
	{ "models lineage", 1, 1, VERSION,
	    "what a version comes from, to the first ancestor",
	    models_lineage },
	{ "models compare", 2, 2, VERSION " " VERSION,
	    "how the second version differs from the first", models_compare },
	{ "models card", 1, 1, VERSION, "a page of Markdown about a version",
	    models_card },
	{ "models pull", 2, 2, VERSION " DIR "
	    "[--format safetensors|paddle|pytorch] [--force]",
	    "the files of a version into a folder", models_pull },
	{ "models delete", 1, 1, "NAME/N [--author WHO]",
	    "remove the files of a version; its record stays",
	    models_delete },
};
const size_t cli_nmodels_verbs = RK_ARRAY_LEN(cli_models_verbs);

const struct cli_command *
cli_models_verb(const char *name)
{
	for (size_t i = 0; i < cli_nmodels_verbs; i++)
		if (strcmp(strchr(cli_models_verbs[i].name, ' ') + 1, name) ==
		    0)
			return &cli_models_verbs[i];
	return NULL;
}

/* --- which ---------------------------------------------------------------- */

static enum cli_exit
none_of(const char *text, const char *want)
{
	char *shown = models_line(text);

	fprintf(stderr, "rekindle: \"%s\": want %s\n", shown, want);
	free(shown);
	return CLI_USAGE;
}

static bool
is_word(const char *s, size_t n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return n > 0 && n <= 64 && strspn(s, letters) >= n &&
	    strchr("._-", s[0]) == NULL;
}

static const char *
without_scheme(const char *text)
{
	return strncmp(text, "model://", 8) == 0 ? text + 8 : text;
}

enum cli_exit
which_parse(struct which *w, const char *text)
{
	static const char want[] = "NAME/N, NAME@ALIAS, or NAME for the "
	    "newest version";
	const char *s = without_scheme(text);
	const size_t n = strcspn(s, "@/");
	const char *rest = s[n] != '\0' ? s + n + 1 : "";
	const bool digits = strspn(rest, "0123456789") == strlen(rest);

	*w = (struct which){ .way = s[n] == '\0' ? BY_NEWEST : s[n] == '@' ?
	    BY_ALIAS : BY_NUMBER };
	if (!is_word(s, n) || (w->way != BY_NEWEST && !is_word(rest,
	    strlen(rest))))
		return none_of(text, want);
	if (w->way == BY_NUMBER && !digits)
		return none_of(text, "a number behind the slash; an alias "
		    "stands behind @");
	if (w->way == BY_ALIAS && digits)
		return none_of(text, "an alias behind @; a number stands "
		    "behind a slash");
	snprintf(w->name, sizeof(w->name), "%.*s", (int)n, s);
	snprintf(w->version, sizeof(w->version), "%s", w->way == BY_NEWEST ?
	    "latest" : rest);
	return CLI_OK;
}

enum cli_exit
which_name(char name[65], const char *text)
{
	const char *s = without_scheme(text);

	if (!is_word(s, strlen(s)))
		return none_of(text, "the name of a model");
	snprintf(name, 65, "%s", s);
	return CLI_OK;
}

char *
which_path(const struct which *w, const char *tail)
{
	return xasprintf("/v1/models/%s/versions/%s%s", w->name, w->version,
	    tail);
}

enum cli_exit
which_get(const char *text, const char *tail, struct cli_reply *r)
{
	struct which w;
	const enum cli_exit rc = which_parse(&w, text);

	*r = (struct cli_reply){0};
	if (rc != CLI_OK)
		return rc;
	char *path = which_path(&w, tail);
	const enum cli_exit said = cli_call("GET", path, NULL, r);
	free(path);
	return said;
}

/* --- words ---------------------------------------------------------------- */

char *
models_line(const char *s)
{
	return rk_text_clean(xstrdup(s));
}

char *
models_label(const json_t *o)
{
	char *name = models_line(cli_str(o, "model"));
	char *text = xasprintf("%s/%.0f", name, cli_num(o, "version", 0));

	free(name);
	return text;
}

const char *
models_figure(char out[FIGURE], const json_t *v)
{
	if (json_is_integer(v))
		snprintf(out, FIGURE, "%lld", (long long)json_integer_value(v));
	else if (json_is_number(v))
		snprintf(out, FIGURE, "%.4f", json_number_value(v));
	else
		snprintf(out, FIGURE, "-");
	return out;
}

void
models_say_age(const json_t *page)
{
	const char *error = cli_str(page, "error");
	const double age = cli_num(page, "age_seconds", NAN);

	if (*error != '\0' && isnan(age))
		fprintf(stderr, "(never looked at: %s)\n", error);
	else if (*error != '\0')
		fprintf(stderr, "(%.0f s old: %s)\n", age, error);
	else if (age >= 1)
		fprintf(stderr, "(%.0f s old)\n", age);
}

void
models_put_aliases(struct strbuf *b, const json_t *o)
{
	json_t *list = json_object_get(o, "aliases"), *v;
	const char *name;
	size_t i;

	json_array_foreach(list, i, v)
		sb_addf(b, "%s%s", b->len > 0 ? "," : "", json_is_object(v) ?
		    cli_str(v, "alias") : cli_text(v));
	json_object_foreach(list, name, v)
		sb_addf(b, "%s%s=%.0f", b->len > 0 ? "," : "", name,
		    json_is_number(v) ? json_number_value(v) :
		    cli_num(v, "version", 0));
}

/* --- lists ---------------------------------------------------------------- */

typedef void row_fn(struct cli_table *t, const json_t *o);

/* All pages of a list as a table, or as JSON. */
static enum cli_exit
print_list(const struct cli_args *a, const char *path, const char *query,
    const char *key, const char *const *head, size_t n, row_fn *row)
{
	const int64_t limit = a->limit > 0 ? a->limit : a->all ? INT64_MAX :
	    PAGE;
	json_t *all = json_array(), *page = NULL, *v;
	struct cli_table t = { .cut = true };
	bool more;
	size_t i;

	const enum cli_exit rc = cli_walk_pages(path, query, key, limit, all,
	    &more, &page);
	if (rc == CLI_OK && a->json) {
		cli_print_json(all);
	} else if (rc == CLI_OK && json_array_size(all) == 0) {
		printf("none\n");
	} else if (rc == CLI_OK) {
		cli_table_row(&t, n, head);
		json_array_foreach(all, i, v)
			row(&t, v);
		cli_table_print(&t);
	}
	if (rc == CLI_OK && more && !a->json)
		fprintf(stderr, "(there are more: --all, or --limit N)\n");
	if (rc == CLI_OK)
		models_say_age(page);
	json_decref(page);
	json_decref(all);
	return rc;
}

static void
model_row(struct cli_table *t, const json_t *m)
{
	struct strbuf aliases = {0};
	char versions[32], newest[32], age[32];

	models_put_aliases(&aliases, m);
	snprintf(versions, sizeof(versions), "%.0f", cli_num(m, "versions",
	    0));
	snprintf(newest, sizeof(newest), "%.0f", cli_num(json_object_get(m,
	    "newest"), "version", 0));
	const char *cells[] = { cli_str(m, "model"), versions, newest,
	    sb_str(&aliases), cli_age(age, sizeof(age), cli_str(m,
	    "updated")), cli_str(m, "fault") };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
	sb_fini(&aliases);
}

enum cli_exit
cmd_models(const struct cli_args *a)
{
	static const char *const head[] = { "MODEL", "VERSIONS", "NEWEST",
	    "ALIASES", "CHANGED", "FAULT" };

	if (a->npos > 0) {
		char *word = models_line(a->pos[0]);
		fprintf(stderr, "rekindle: models has no verb \"%s\"; see "
		    "rekindle models --help\n", word);
		free(word);
		return CLI_USAGE;
	}
	return print_list(a, "/v1/models", "", "models", head,
	    RK_ARRAY_LEN(head), model_row);
}

static void
version_row(struct cli_table *t, const json_t *v)
{
	const json_t *m = json_object_get(v, "metrics");
	struct strbuf aliases = {0};
	char acc[FIGURE], f1[FIGURE], size[RK_HUMAN], age[32];
	char *name = models_label(v);
	const bool gone = json_is_true(json_object_get(v, "deleted"));

	models_put_aliases(&aliases, v);
	rk_human_bytes(size, (uint64_t)RK_MAX(cli_num(v, "bytes", 0), 0));
	const char *cells[] = { name, gone ? "deleted" : sb_str(&aliases),
	    cli_str(v, "arch"), models_figure(acc, json_object_get(m,
	    "val_accuracy")), models_figure(f1, json_object_get(m,
	    "val_macro_f1")), size, cli_str(v, "author"),
	    cli_age(age, sizeof(age), cli_str(v, "created_at")),
	    cli_str(v, "notes") };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
	sb_fini(&aliases);
	free(name);
}

static const char *const version_head[] = { "VERSION", "ALIASES", "ARCH",
	"VAL ACC", "MACRO F1", "SIZE", "AUTHOR", "MADE", "NOTES" };

static enum cli_exit
print_versions(const struct cli_args *a, const char *name, const char *query)
{
	char *path = name != NULL ? xasprintf("/v1/models/%s/versions", name) :
	    xstrdup("/v1/model-versions");
	const enum cli_exit rc = print_list(a, path, query, "versions",
	    version_head, RK_ARRAY_LEN(version_head), version_row);

	free(path);
	return rc;
}

enum cli_exit
models_list(const struct cli_args *a)
{
	struct cli_args bare = *a;
	char name[65];

	bare.npos = 0;
	if (a->npos == 0)
		return cmd_models(&bare);
	const enum cli_exit rc = which_name(name, a->pos[0]);
	return rc == CLI_OK ? print_versions(a, name, "") : rc;
}

enum cli_exit
models_search(const struct cli_args *a)
{
	struct strbuf q = {0};
	char name[65];
	enum cli_exit rc = a->npos > 0 ? which_name(name, a->pos[0]) : CLI_OK;

	cli_query_add(&q, "metric", a->metric);
	cli_query_add(&q, "author", a->author);
	cli_query_add(&q, "label", a->label);
	cli_query_add(&q, "sort", a->sort);
	if (rc == CLI_OK)
		rc = print_versions(a, a->npos > 0 ? name : NULL, sb_str(&q));
	sb_fini(&q);
	return rc;
}

/* --- history -------------------------------------------------------------- */

/* "production: 1 -> 2 (rollback)", "version 2", ... */
static char *
what_happened(const json_t *e)
{
	const char *event = cli_str(e, "event"), *how = cli_str(e, "how");
	const double to = cli_num(e, "version", 0), was = cli_num(e, "was", 0);
	struct strbuf b = {0};

	if (strcmp(event, "alias") == 0 || *cli_str(e, "alias") != '\0') {
		sb_addf(&b, "%s: ", cli_str(e, "alias"));
		if (was > 0)
			sb_addf(&b, "%.0f -> ", was);
		if (to > 0)
			sb_addf(&b, "%.0f", to);
		else
			sb_adds(&b, "nothing");
		if (*how != '\0' && strcmp(how, "moved") != 0)
			sb_addf(&b, " (%s)", how);
	} else {
		sb_addf(&b, "version %.0f", to);
		if (strcmp(event, "version") != 0)
			sb_addf(&b, " %s", *event != '\0' ? event :
			    "(an entry that cannot be read)");
	}
	return sb_detach(&b);
}

/* The note; where there is none, the measurement that a move was made by. */
static char *
why_of(const json_t *e)
{
	const json_t *better = json_object_get(e, "better");
	const char *note = cli_str(e, "note");
	char was[FIGURE], is[FIGURE];

	if (!json_is_object(better))
		return xstrdup(*note != '\0' ? note : cli_str(e, "fault"));
	return xasprintf("%s %s -> %s%s%s", cli_str(better, "metric"),
	    models_figure(was, json_object_get(better, "was")),
	    models_figure(is, json_object_get(better, "is")),
	    *note != '\0' ? "; " : "", note);
}

static void
entry_row(struct cli_table *t, const json_t *e)
{
	char seq[32], *what = what_happened(e), *why = why_of(e);

	snprintf(seq, sizeof(seq), "%.0f", cli_num(e, "seq", 0));
	const char *cells[] = { seq, cli_str(e, "at"), what, cli_str(e, "by"),
	    cli_str(e, "instance"), why };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
	free(what);
	free(why);
}

enum cli_exit
models_history(const struct cli_args *a)
{
	static const char *const head[] = { "ENTRY", "TIME", "WHAT", "BY",
	    "INSTANCE", "NOTE" };
	char name[65], alias[65];
	enum cli_exit rc = which_name(name, a->pos[0]);

	if (rc == CLI_OK && a->npos > 1)
		rc = which_name(alias, a->pos[1]);
	if (rc != CLI_OK)
		return rc;
	char *path = a->npos > 1 ? xasprintf("/v1/models/%s/aliases/%s", name,
	    alias) : xasprintf("/v1/models/%s/history", name);
	rc = print_list(a, path, "", a->npos > 1 ? "history" : "entries",
	    head, RK_ARRAY_LEN(head), entry_row);
	free(path);
	return rc;
}
