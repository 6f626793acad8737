/*
 * rekindle suggest: what a job would best begin from, with the lines to write;
 * and a line of it behind a submit of a job that begins cold.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define HINT_MS    5000
#define HINT_SHARE 0.9          /* of the parameters, for a hint */

/* 99.97 is not 100. */
static int
percent(const json_t *s)
{
	return (int)floor(100 * cli_num(s, "share", 0));
}

/* "model://tiles/2 (production)", "job://01.../best (tiles)". */
static char *
called(const json_t *s)
{
	const json_t *aliases = json_object_get(s, "aliases"), *v;
	const char *name = cli_str(s, "name");
	struct strbuf b = {0};
	size_t i;

	sb_adds(&b, cli_str(s, "source"));
	json_array_foreach(aliases, i, v)
		sb_addf(&b, "%s%s", i == 0 ? " (" : ", ", cli_text(v));
	if (json_array_size(aliases) > 0)
		sb_addc(&b, ')');
	else if (*name != '\0')
		sb_addf(&b, " (%s)", name);
	return rk_text_clean(sb_detach(&b));
}

/* "val_accuracy 0.93 on the same data, 3 days ago". */
static char *
figures(const json_t *s, const char *metric)
{
	const json_t *same = json_object_get(s, "same_data");
	const json_t *of = json_object_get(same, "validation");
	const json_t *v = json_object_get(json_object_get(s, "metrics"),
	    metric);
	struct strbuf b = {0};
	char age[32];

	if (json_is_null(of) || of == NULL)
		of = json_object_get(same, "train");
	if (json_is_number(v))
		sb_addf(&b, "%s %.4g", metric, json_number_value(v));
	if (json_is_boolean(of))
		sb_addf(&b, "%s%s data", b.len > 0 ? " on " : "of ",
		    json_is_true(of) ? "the same" : "other");
	if (*cli_str(s, "created_at") != '\0')
		sb_addf(&b, "%s%s", b.len > 0 ? ", " : "", cli_age(age,
		    sizeof(age), cli_str(s, "created_at")));
	return rk_text_clean(sb_detach(&b));
}

static void
print_indented(const char *text)
{
	while (*text != '\0') {
		const size_t n = strcspn(text, "\n");
		printf("     %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void
print_one(size_t i, const json_t *s, const char *metric)
{
	char *name = called(s), *more = figures(s, metric);

	printf("%3zu. %s: %d %% of the parameters\n", i + 1, name, percent(s));
	printf("     %s\n", cli_str(s, "reason"));
	if (*more != '\0')
		printf("     %s\n", more);
	print_indented(cli_str(s, "yaml"));
	putchar('\n');
	free(name);
	free(more);
}

/* How many of each kind were not looked at, where there are any. */
static void
print_left(const json_t *left)
{
	const char *kind;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)left, kind, v)
		if (json_integer_value(v) > 0)
			printf("not looked at: %lld older %s\n",
			    (long long)json_integer_value(v), kind);
}

static void
print_rest(const json_t *a)
{
	const json_t *list = json_object_get(a, "unreadable"), *v;
	const double more = cli_num(a, "more", 0);
	const char *compared = cli_str(json_object_get(a, "own"), "compared");
	const char *error = cli_str(a, "error");
	size_t i;

	if (*compared != '\0')
		printf("%s\n", compared);
	if (more > 0)
		printf("%.0f more, with --limit\n", more);
	json_array_foreach(list, i, v)
		printf("passed over: %s: %s\n", cli_str(v, "source"),
		    cli_str(v, "why"));
	print_left(json_object_get(a, "not_looked_at"));
	if (*error != '\0')
		printf("versions of models may be missing: %s\n", error);
}

static void
print_answer(const json_t *a)
{
	const json_t *list = json_object_get(a, "suggestions"), *s;
	size_t i;

	json_array_foreach(list, i, s)
		print_one(i, s, cli_str(a, "metric"));
	if (json_array_size(list) == 0)
		printf("nothing that was looked at would give %s a tenth of "
		    "its parameters\n", cli_str(a, "name"));
	print_rest(a);
}

enum cli_exit
cmd_suggest(const struct cli_args *a)
{
	struct cli_reply r = {0};
	json_t *job = NULL;
	enum cli_exit rc = cli_read_job(a, &job);
	char *path = a->limit > 0 ? xasprintf("/v1/warm-starts/suggest?limit="
	    "%lld", (long long)a->limit) : xstrdup("/v1/warm-starts/suggest");

	if (rc == CLI_OK)
		rc = cli_call("POST", path, job, &r);
	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		print_answer(r.json);
	json_decref(job);
	free(path);
	cli_reply_fini(&r);
	return rc;
}

/* --- the hint ------------------------------------------------------------- */

static bool
begins_cold(const json_t *job)
{
	return !json_is_string(json_object_get(json_object_get(
	    json_object_get(job, "spec"), "model"), "checkpoint"));
}

/* What there is is told, and nothing of what goes wrong. */
static json_t *
best_for(const char *id)
{
	static const char *const headers[] = { NULL };
	char *path = xasprintf("/v1/warm-starts/suggest?job=%s&limit=1", id);
	struct strbuf b = {0};
	struct cli_ended e = { .body = &b };
	json_t *answer = NULL;

	cli_perform("GET", path, headers, NULL, NULL, NULL, HINT_MS, &e);
	free(path);
	if (e.end != HTTP_ANSWERED || e.status != 200 ||
	    rkj_parse_json(sb_str(&b), b.len, &answer, NULL) != RK_OK)
		answer = NULL;
	sb_fini(&b);
	json_t *best = json_incref(json_array_get(json_object_get(answer,
	    "suggestions"), 0));
	json_decref(answer);
	return best;
}

void
cli_hint(const struct cli_args *a, const json_t *job)
{
	if (!begins_cold(job) || !(a->hint || isatty(STDERR_FILENO)))
		return;
	fflush(stdout);
	json_t *s = best_for(cli_str(job, "id"));
	if (s != NULL && cli_num(s, "share", 0) >= HINT_SHARE) {
		char *name = called(s);
		fprintf(stderr, "rekindle: hint: the job begins cold, and %s "
		    "would give it %d %% of its parameters: rekindle suggest "
		    "%s has the lines\n", name, percent(s), a->pos[0]);
		free(name);
	}
	json_decref(s);
}
