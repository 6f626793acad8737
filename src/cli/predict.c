/*
 * predict and evaluate: a job that puts a model to data, and what it leaves.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* --- the job -------------------------------------------------------------- */

/* NAME@ALIAS or NAME/N: of the registry, where there is no such file. */
static bool
is_version(const char *word)
{
	const char *end = strpbrk(word, "@/"), *rest = end != NULL ? end + 1 :
	    "";

	if (end == NULL || end == word || *rest == '\0' ||
	    strchr(rest, '/') != NULL || access(word, F_OK) == 0)
		return false;
	return *end == '@' || rest[strspn(rest, "0123456789")] == '\0';
}

/* "predict-defects-production": what a job is called that nobody names. */
static char *
name_of(const char *kind, const char *model)
{
	const char *from = strstr(model, "://");
	struct strbuf b = {0};

	from = from != NULL ? from + 3 : model;
	if (strncmp(model, "model://", 8) != 0 && strncmp(model, "job://", 6) !=
	    0 && !is_version(model) && strrchr(from, '/') != NULL)
		from = strrchr(from, '/') + 1;
	sb_addf(&b, "%s-", kind);
	for (const char *p = from; *p != '\0' && *p != '#' && b.len <
	    RK_NAME_MAX; p++) {
		const bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' &&
		    *p <= 'Z') || (*p >= '0' && *p <= '9') ||
		    strchr("._-", *p) != NULL;
		sb_addc(&b, plain ? *p : '-');
	}
	return sb_detach(&b);
}

static json_t *
model_of(const char *word)
{
	char *text = xasprintf("%s%s", is_version(word) ? "model://" : "",
	    word);
	json_t *v = json_string(text);

	free(text);
	return v;
}

/* One word is a text, several are a list. */
static json_t *
words(const struct cli_args *a, bool list)
{
	json_t *all = json_array();

	for (int i = 1; i < a->npos; i++) {
		json_t *v = json_string(a->pos[i]);
		if (v == NULL) {
			fprintf(stderr, "rekindle: %s: the name is no UTF-8\n",
			    a->pos[i]);
			json_decref(all);
			return NULL;
		}
		must(json_array_append_new(all, v) == 0);
	}
	if (list || json_array_size(all) != 1)
		return all;
	json_t *one = json_incref(json_array_get(all, 0));
	json_decref(all);
	return one;
}

/* data.inputs of predict, data.validation.path of evaluate: without, what the
 * model's own job was scored on. */
static json_t *
data_of(const struct cli_args *a, bool predict)
{
	json_t *data = json_object(), *v = words(a, predict);

	if (v == NULL) {
		json_decref(data);
		return NULL;
	}
	if (predict) {
		json_object_set_new(data, "inputs", v);
	} else if (a->npos > 1) {
		json_object_set_new(data, "validation", json_pack("{s:o}",
		    "path", v));
	} else {
		json_decref(v);
	}
	return data;
}

static enum cli_exit
make_job(const struct cli_args *a, const char *kind, json_t **job)
{
	const bool predict = strcmp(kind, "predict") == 0;
	json_t *data = data_of(a, predict), *model = model_of(a->pos[0]);
	char *name = a->name != NULL ? xstrdup(a->name) : name_of(kind,
	    a->pos[0]), here[PATH_MAX];

	*job = data != NULL && model != NULL ? json_pack(
	    "{s:s, s:s, s:{s:O}, s:O}", "name", name, "kind", kind, "model",
	    "checkpoint", model, "data", data) : NULL;
	json_decref(data);
	json_decref(model);
	free(name);
	if (*job == NULL)
		return CLI_USAGE;
	/* Of what an evaluation says in the model's log; --set says another. */
	const char *author = cli_author(a);
	if (author != NULL)
		json_object_set_new(*job, "metadata", json_pack("{s:s}",
		    "author", author));
	enum cli_exit rc = cli_apply_sets(*job, a);
	if (a->hold)
		json_object_set_new(*job, "hold", json_true());
	/* The daemon has another working directory. */
	if (rc == CLI_OK && realpath(".", here) != NULL)
		rkj_job_paths(*job, here);
	if (rc != CLI_OK) {
		json_decref(*job);
		*job = NULL;
	}
	return rc;
}

/* --- its predictions ------------------------------------------------------ */

struct arriving {
	struct rk_replacing f;
	int fd;
	int error;                      /* errno of a write; 0 */
};

static bool
arrives(void *ctx, const char *p, size_t n)
{
	struct arriving *to = ctx;

	if (rk_write_all(to->fd, p, n) == 0)
		return true;
	to->error = errno;
	return false;
}

static enum cli_exit
judge(const struct arriving *to, const struct cli_ended *e, const char *out)
{
	struct cli_reply r = {0};
	enum cli_exit rc = CLI_OK;

	if (to->error != 0) {
		fprintf(stderr, "rekindle: cannot write %s: %s\n", out,
		    strerror(to->error));
		rc = CLI_REFUSED;
	} else if (e->end != HTTP_ANSWERED) {
		rc = cli_unreachable(cli_why_unreachable(e));
	} else if (e->status != 200) {
		rc = cli_judge(&r, e, false);
	}
	cli_reply_fini(&r);
	return rc;
}

/* To a file, whole or not at all, or as they come to standard output. */
static enum cli_exit
save(const char *id, const char *out)
{
	static const char *const headers[] = { NULL };
	const bool plain = strcmp(out, "-") == 0;
	struct arriving to = { .fd = STDOUT_FILENO };
	struct strbuf body = {0};
	struct cli_ended e = { .body = &body };
	struct rk_why why = {0};

	if (!plain && rk_replacing_begin(&to.f, out, RK_REPLACE_OLD, &why) !=
	    RK_OK) {
		fprintf(stderr, "rekindle: %s\n", rk_why_first(&why));
		rk_why_fini(&why);
		return CLI_REFUSED;
	}
	if (!plain)
		to.fd = to.f.fd;
	char *path = xasprintf("/v1/jobs/%s/predictions", id);
	cli_perform("GET", path, headers, NULL, arrives, &to, 0, &e);
	free(path);
	enum cli_exit rc = judge(&to, &e, out);
	if (!plain && rk_replacing_end(&to.f, rc == CLI_OK, &why) != RK_OK) {
		fprintf(stderr, "rekindle: %s\n", rk_why_first(&why));
		rc = CLI_REFUSED;
	}
	rk_why_fini(&why);
	sb_fini(&body);
	return rc;
}

/* --- the whole ------------------------------------------------------------ */

/* What is watched is for people: where a program reads standard output, they
 * look at the other one. */
static enum cli_exit
watch_aside(const char *id, bool aside)
{
	int kept = -1;

	fflush(stdout);
	if (aside && (kept = dup(STDOUT_FILENO)) >= 0)
		(void)!dup2(STDERR_FILENO, STDOUT_FILENO);
	const enum cli_exit rc = cli_watch(id, true);
	fflush(stdout);
	if (kept >= 0) {
		(void)!dup2(kept, STDOUT_FILENO);
		close(kept);
	}
	return rc;
}

/* Are the predictions to go to standard output? */
static bool
is_plain(const struct cli_args *a)
{
	return a->out != NULL && strcmp(a->out, "-") == 0;
}

static enum cli_exit
finish(const struct cli_args *a, const char *id)
{
	const bool plain = is_plain(a);
	enum cli_exit rc = watch_aside(id, a->json || plain);
	struct cli_reply r = {0};

	if (rc == CLI_OK && a->out != NULL)
		rc = save(id, a->out);
	if (rc != CLI_OK || plain)
		return rc;
	char *path = xasprintf("/v1/jobs/%s/report", id);
	rc = cli_call("GET", path, NULL, &r);
	free(path);
	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		cli_report(r.json, id, a->out);
	cli_reply_fini(&r);
	return rc;
}

static enum cli_exit
run(const struct cli_args *a, const char *kind)
{
	const bool waits = a->watch || a->out != NULL;
	struct cli_reply r = {0};
	json_t *job = NULL;
	char id[RK_ID];
	enum cli_exit rc = make_job(a, kind, &job);

	if (rc == CLI_OK && a->dry_run) {
		rc = cli_dry_run(a, "/v1/jobs?dry_run=1", cli_str(job, "name"),
		    job);
		json_decref(job);
		return rc;
	}
	if (rc == CLI_OK)
		rc = cli_call("POST", "/v1/jobs", job, &r);
	json_decref(job);
	if (rc != CLI_OK) {
		cli_reply_fini(&r);
		return rc;
	}
	snprintf(id, sizeof(id), "%s", cli_str(r.json, "id"));
	if (a->json && !waits)
		cli_print_json(r.json);
	else
		fprintf(waits && (a->json || is_plain(a)) ? stderr : stdout,
		    "%s  %s  %s\n", id, cli_str(r.json, "name"),
		    cli_str(r.json, "state"));
	cli_reply_fini(&r);
	return waits ? finish(a, id) : CLI_OK;
}

enum cli_exit
cmd_predict(const struct cli_args *a)
{
	return run(a, "predict");
}

enum cli_exit
cmd_evaluate(const struct cli_args *a)
{
	return run(a, "evaluate");
}
