/*
 * rekindle submit: a file, with what --set says, to the daemon.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static enum cli_exit
too_long(const char *what)
{
	char *sentence = rk_too_long(what, RK_JOB_MAX);

	fprintf(stderr, "rekindle: %s\n", sentence);
	free(sentence);
	return CLI_REFUSED;
}

static enum cli_exit
read_stdin(char **text, size_t *len)
{
	struct strbuf b = {0};
	char buf[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
		if (b.len + (size_t)n > RK_JOB_MAX) {
			sb_fini(&b);
			return too_long("the job");
		}
		sb_add(&b, buf, (size_t)n);
	}
	*len = b.len;
	*text = b.s != NULL ? sb_detach(&b) : xstrdup("");
	return CLI_OK;
}

static enum cli_exit
cannot_read(const char *file, enum rk_err e)
{
	struct stat st;
	const char *because = e != RK_EINVAL ? rk_strerror(e) :
	    stat(file, &st) == 0 && S_ISDIR(st.st_mode) ?
	    "is a folder, want a job's file" :
	    "is no regular file, want a job's file";

	fprintf(stderr, "rekindle: %s: %s\n", file, because);
	return CLI_USAGE;
}

static enum cli_exit
read_job(const char *file, json_t **job)
{
	struct rk_why why = {0};
	char *text = NULL;
	size_t len = 0;
	enum rk_err e;

	if (strcmp(file, "-") == 0) {
		enum cli_exit rc = read_stdin(&text, &len);
		if (rc != CLI_OK)
			return rc;
	} else if ((e = rk_read_file(AT_FDCWD, file, RK_JOB_MAX,
	    &text, &len)) == RK_ELIMIT) {
		return too_long(file);
	} else if (e != RK_OK) {
		return cannot_read(file, e);
	}
	/* JSON is tried where it looks like it; all else is YAML. */
	size_t at = strspn(text, " \t\r\n");
	e = text[at] == '{' ? rkj_parse_json(text, len, job, &why) :
	    rkj_parse_yaml(text, len, job, &why);
	free(text);
	if (e == RK_OK && !json_is_object(*job)) {
		json_decref(*job);
		e = rk_refuse(&why, "is not a job: it has no fields");
	}
	if (e != RK_OK)
		fprintf(stderr, "rekindle: %s: %s\n", file, rk_why_first(&why));
	rk_why_fini(&why);
	return e == RK_OK ? CLI_OK : CLI_USAGE;
}

enum cli_exit
cli_apply_sets(json_t *tree, const struct cli_args *a)
{
	for (int i = 0; i < a->nset; i++) {
		struct rk_why why = {0};
		const char *eq = strchr(a->set[i], '=');
		if (eq == NULL || eq == a->set[i]) {
			fprintf(stderr, "rekindle: --set %s: want PATH=VALUE, "
			    "as training.epochs=3\n", a->set[i]);
			return CLI_USAGE;
		}
		char *path = xstrndup(a->set[i], (size_t)(eq - a->set[i]));
		enum rk_err e = rkj_set_path(tree, path, rkj_value(eq + 1),
		    &why);
		free(path);
		if (e != RK_OK)
			fprintf(stderr, "rekindle: --set %s: %s\n", a->set[i],
			    rk_why_first(&why));
		rk_why_fini(&why);
		if (e != RK_OK)
			return CLI_USAGE;
	}
	return CLI_OK;
}

/* The daemon has another working directory. */
static void
absolute_paths(json_t *job, const char *file)
{
	char folder[PATH_MAX];
	char *copy = xstrdup(file), *slash = strrchr(copy, '/');

	if (slash == copy)
		slash++;
	if (slash != NULL)
		*slash = '\0';
	const char *from = strcmp(file, "-") == 0 || slash == NULL ? "." : copy;
	if (realpath(from, folder) != NULL)
		rkj_job_paths(job, folder);
	free(copy);
}

enum cli_exit
cli_read_job(const struct cli_args *a, json_t **job)
{
	enum cli_exit rc = read_job(a->pos[0], job);

	if (rc != CLI_OK)
		return rc;
	if ((rc = cli_apply_sets(*job, a)) != CLI_OK) {
		json_decref(*job);
		*job = NULL;
		return rc;
	}
	if (a->name != NULL)
		json_object_set_new(*job, "name", json_string(a->name));
	if (a->hold)
		json_object_set_new(*job, "hold", json_true());
	absolute_paths(*job, a->pos[0]);
	return CLI_OK;
}

enum cli_exit
cmd_submit(const struct cli_args *a)
{
	struct cli_reply r = {0};
	json_t *job = NULL;
	char id[RK_ID];
	enum cli_exit rc = cli_read_job(a, &job);

	if (rc == CLI_OK && a->dry_run) {
		rc = cli_dry_run(a, "/v1/jobs?dry_run=1",
		    cli_str(job, "name"), job);
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
	if (a->json)
		cli_print_json(r.json);
	else
		printf("%s  %s  %s\n", id, cli_str(r.json, "name"),
		    cli_str(r.json, "state"));
	cli_hint(a, r.json);
	cli_reply_fini(&r);
	return a->watch ? cli_watch(id, true) : CLI_OK;
}
