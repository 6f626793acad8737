/*
 * The verbs of rekindle models that change something: register, promote,
 * rollback, delete.
 */
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models.h"

#define LOOK_US 300000          /* between two looks at a registration */

static void
put(json_t *o, const char *key, const char *text)
{
	if (text == NULL)
		return;
	json_t *v = json_string(text);
	/* What is no UTF-8 is said as far as it is. */
	if (v == NULL) {
		char *clean = rk_text_clean(xstrdup(text));
		v = json_string(clean);
		free(clean);
	}
	must(json_object_set_new(o, key, v) == 0);
}

const char *
cli_author(const struct cli_args *a)
{
	const struct passwd *p = a->author == NULL ? getpwuid(getuid()) : NULL;

	return a->author != NULL ? a->author : p != NULL ? p->pw_name : NULL;
}

/* --- register ------------------------------------------------------------- */

/* KEY=VALUE each. */
static enum cli_exit
put_labels(json_t *body, const struct cli_args *a)
{
	json_t *labels = json_object();

	for (int i = 0; i < a->nlabels; i++) {
		const char *eq = strchr(a->labels[i], '=');
		if (eq == NULL || eq == a->labels[i]) {
			fprintf(stderr, "rekindle: --label %s: want "
			    "KEY=VALUE\n", a->labels[i]);
			json_decref(labels);
			return CLI_USAGE;
		}
		char *key = xstrndup(a->labels[i], (size_t)(eq -
		    a->labels[i]));
		put(labels, rk_text_clean(key), eq + 1);
		free(key);
	}
	if (a->nlabels > 0)
		must(json_object_set(body, "labels", labels) == 0);
	json_decref(labels);
	return CLI_OK;
}

/* An address: of a path the whole, as the daemon has another folder. */
static bool
put_address(json_t *body, const char *text)
{
	char whole[PATH_MAX];

	if (strstr(text, "://") == NULL && *text != '/' && *text != '.')
		return false;
	put(body, "address", *text == '.' && realpath(text, whole) != NULL ?
	    whole : text);
	return true;
}

/* JOB, JOB/CHECKPOINT, or an address. */
static enum cli_exit
put_source(json_t *body, const struct cli_args *a)
{
	const char *text = a->pos[1], *slash = strchr(text, '/');
	char id[RK_ID];

	if (put_address(body, text))
		return CLI_OK;
	char *job = xstrndup(text, slash != NULL ? (size_t)(slash - text) :
	    strlen(text));
	const enum cli_exit rc = cli_find_job(job, id);
	free(job);
	if (rc != CLI_OK)
		return rc;
	put(body, "job", id);
	if (slash != NULL)
		put(body, "checkpoint", slash + 1);
	return CLI_OK;
}

/* Whose network a file is, as a job's file has it. */
static enum cli_exit
put_spec(json_t *body, const struct cli_args *a)
{
	const struct cli_args of = { .pos = { a->job }, .npos = 1 };
	json_t *job = NULL;

	if (a->job == NULL)
		return CLI_OK;
	const enum cli_exit rc = cli_read_job(&of, &job);
	if (rc == CLI_OK)
		must(json_object_set_new(body, "spec", job) == 0);
	return rc;
}

static enum cli_exit
body_of(const struct cli_args *a, json_t *body)
{
	enum cli_exit rc = put_labels(body, a);

	if (rc == CLI_OK)
		rc = put_spec(body, a);
	if (rc == CLI_OK)
		rc = put_source(body, a);
	put(body, "notes", a->notes);
	put(body, "alias", a->alias);
	put(body, "author", cli_author(a));
	if (a->no_optimizer)
		json_object_set_new(body, "optimizer", json_false());
	return rc;
}

/* A registration that takes longer is one of the daemon's, with a state. */
static bool
is_under_way(const json_t *v)
{
	const char *state = cli_str(v, "state");

	return *state != '\0' && strcmp(state, "registered") != 0 &&
	    strcmp(state, "failed") != 0 && strcmp(state, "cancelled") != 0;
}

/* Look until it has ended, and say what it waits for. */
static enum cli_exit
wait_for(const char *name, struct cli_reply *r)
{
	char *told = xstrdup("");
	enum cli_exit rc = CLI_OK;

	while (rc == CLI_OK && is_under_way(r->json)) {
		const char *message = cli_str(r->json, "message");
		if (strcmp(message, told) != 0) {
			fprintf(stderr, "(%s)\n", *message != '\0' ? message :
			    "it goes on");
			free(told);
			told = xstrdup(message);
		}
		char *path = xasprintf("/v1/models/%s/registrations/%s", name,
		    cli_str(r->json, "id"));
		cli_reply_fini(r);
		usleep(LOOK_US);
		rc = cli_call("GET", path, NULL, r);
		free(path);
	}
	free(told);
	return rc;
}

/* The version is there; or why it, or its alias, is not. */
static enum cli_exit
judge(const char *name, const json_t *v)
{
	const char *error = cli_str(v, "error");
	const double version = cli_num(v, "version", 0);

	if (*cli_str(v, "state") == '\0' || (*error == '\0' && version > 0))
		return CLI_OK;
	if (version > 0)
		fprintf(stderr, "rekindle: %s/%.0f is registered: %s\n", name,
		    version, error);
	else
		fprintf(stderr, "rekindle: the registration %s%s%s\n",
		    cli_str(v, "state"), *error != '\0' ? ": " : "", error);
	return CLI_REFUSED;
}

enum cli_exit
models_register(const struct cli_args *a)
{
	struct cli_reply r = {0};
	json_t *body = json_object();
	char name[65];
	enum cli_exit rc = which_name(name, a->pos[0]);

	if (rc == CLI_OK)
		rc = body_of(a, body);
	if (rc == CLI_OK) {
		char *path = xasprintf("/v1/models/%s/versions", name);
		rc = cli_call("POST", path, body, &r);
		free(path);
	}
	if (rc == CLI_OK)
		rc = wait_for(name, &r);
	if (rc == CLI_OK)
		rc = judge(name, r.json);
	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		printf("%s/%.0f%s%s\n", name, cli_num(r.json, "version", 0),
		    a->alias != NULL ? "  " : "", a->alias != NULL ? a->alias :
		    "");
	json_decref(body);
	cli_reply_fini(&r);
	return rc;
}

/* --- aliases -------------------------------------------------------------- */

/* What an alias was moved to, as the daemon says it. */
static enum cli_exit
move(const struct cli_args *a, const char *name, const char *alias,
    const char *tail, const json_t *body)
{
	struct cli_reply r;
	char *path = xasprintf("/v1/models/%s/aliases/%s%s", name, alias,
	    tail);
	const enum cli_exit rc = cli_call("POST", path, body, &r);
	const double was = cli_num(json_array_get(json_object_get(r.json,
	    "history"), 0), "was", 0);

	free(path);
	if (rc == CLI_OK && a->json) {
		cli_print_json(r.json);
	} else if (rc == CLI_OK) {
		printf("%s@%s is version %.0f", name, alias, cli_num(r.json,
		    "version", 0));
		if (json_is_false(json_object_get(r.json, "changed")))
			printf(" already");
		else if (was > 0)
			printf(", was %.0f", was);
		putchar('\n');
	}
	cli_reply_fini(&r);
	return rc;
}

enum cli_exit
models_promote(const struct cli_args *a)
{
	json_t *body = json_object();
	char alias[65];
	struct which w;
	enum cli_exit rc = which_parse(&w, a->pos[0]);

	if (rc == CLI_OK)
		rc = which_name(alias, a->pos[1]);
	if (rc == CLI_OK && w.way == BY_NEWEST) {
		fprintf(stderr, "rekindle: \"%s\": want NAME/N or NAME@ALIAS: "
		    "what is promoted is said, not found\n", w.name);
		rc = CLI_USAGE;
	}
	if (rc == CLI_OK) {
		if (w.way == BY_ALIAS)
			put(body, "from", w.version);
		else
			json_object_set_new(body, "version", json_integer(
			    strtoll(w.version, NULL, 10)));
		put(body, "if_better", a->if_better);
		put(body, "note", a->note);
		put(body, "author", cli_author(a));
		rc = move(a, w.name, alias, "", body);
	}
	json_decref(body);
	return rc;
}

enum cli_exit
models_rollback(const struct cli_args *a)
{
	json_t *body = json_object();
	char name[65], alias[65];
	enum cli_exit rc = which_name(name, a->pos[0]);

	if (rc == CLI_OK)
		rc = which_name(alias, a->pos[1]);
	if (rc == CLI_OK) {
		put(body, "note", a->note);
		put(body, "author", cli_author(a));
		rc = move(a, name, alias, "/rollback", body);
	}
	json_decref(body);
	return rc;
}

/* --- delete --------------------------------------------------------------- */

enum cli_exit
models_delete(const struct cli_args *a)
{
	struct cli_reply r = {0};
	struct which w;
	enum cli_exit rc = which_parse(&w, a->pos[0]);

	if (rc == CLI_OK && w.way != BY_NUMBER) {
		fprintf(stderr, "rekindle: \"%s\": want NAME/N: what is deleted "
		    "is said by its number\n", a->pos[0]);
		rc = CLI_USAGE;
	}
	if (rc == CLI_OK) {
		const char *author = cli_author(a);
		char *by = cli_escape(author != NULL ? author : "");
		char *tail = xasprintf("?by=%s", by);
		char *path = which_path(&w, *by != '\0' ? tail : "");
		rc = cli_call("DELETE", path, NULL, &r);
		free(path);
		free(tail);
		free(by);
	}
	if (rc == CLI_OK && a->json) {
		json_t *o = json_pack("{s:s, s:I, s:b}", "model", w.name,
		    "version", (json_int_t)strtoll(w.version, NULL, 10),
		    "deleted", true);
		cli_print_json(o);
		json_decref(o);
	} else if (rc == CLI_OK)
		printf("%s/%s deleted; its record stays\n", w.name, w.version);
	cli_reply_fini(&r);
	return rc;
}
