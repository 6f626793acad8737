/*
 * The commands that ask something of a job: start, pause, resume, cancel,
 * retry, checkpoint, delete; and of the daemon: drain, adopt.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void
print_job(const struct cli_args *a, const json_t *job)
{
	if (a->json) {
		cli_print_json(job);
		return;
	}
	printf("%s  %s  %s", cli_str(job, "id"), cli_str(job, "name"),
	    cli_str(job, "state"));
	if (*cli_str(job, "message") != '\0')
		printf("  %s", cli_str(job, "message"));
	putchar('\n');
}

static enum cli_exit
verb(const struct cli_args *a, const char *what, const json_t *body)
{
	struct cli_reply r;
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	char *path = xasprintf("/v1/jobs/%s/%s", id, what);
	rc = cli_call("POST", path, body, &r);
	free(path);
	if (rc == CLI_OK)
		print_job(a, r.json);
	cli_reply_fini(&r);
	return rc == CLI_OK && a->watch ? cli_watch(id, true) : rc;
}

enum cli_exit
cmd_start(const struct cli_args *a)
{
	return verb(a, "start", NULL);
}

enum cli_exit
cmd_pause(const struct cli_args *a)
{
	return verb(a, "pause", NULL);
}

enum cli_exit
cmd_cancel(const struct cli_args *a)
{
	return verb(a, "cancel", NULL);
}

enum cli_exit
cmd_retry(const struct cli_args *a)
{
	return verb(a, "retry", NULL);
}

static enum cli_exit
dry_resume(const struct cli_args *a, const json_t *body)
{
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	char *path = xasprintf("/v1/jobs/%s/resume?dry_run=1", id);
	rc = cli_dry_run(a, path, a->pos[0], body);
	free(path);
	return rc;
}

enum cli_exit
cmd_resume(const struct cli_args *a)
{
	json_t *body = json_object(), *overrides = json_object();
	enum cli_exit rc = cli_apply_sets(overrides, a);

	if (rc == CLI_OK) {
		if (a->from != NULL)
			json_object_set_new(body, "from", json_string(a->from));
		if (json_object_size(overrides) > 0)
			json_object_set(body, "overrides", overrides);
		json_t *accept = json_array();
		for (int i = 0; i < a->naccept; i++)
			json_array_append_new(accept,
			    json_string(a->accept[i]));
		if (a->naccept > 0)
			json_object_set(body, "accept", accept);
		json_decref(accept);
		rc = a->dry_run ? dry_resume(a, body) :
		    verb(a, "resume", body);
	}
	json_decref(overrides);
	json_decref(body);
	return rc;
}

enum cli_exit
cmd_checkpoint(const struct cli_args *a)
{
	struct cli_reply r;
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	char *path = xasprintf("/v1/jobs/%s/checkpoints", id);
	json_t *body = json_object();
	if (a->name != NULL)
		json_object_set_new(body, "name", json_string(a->name));
	rc = cli_call("POST", path, body, &r);
	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		printf("%s%s%s%s%s\n", cli_str(r.json, "checkpoint"),
		    a->name != NULL ? "  " : "",
		    a->name != NULL ? a->name : "",
		    cli_str(r.json, "message")[0] != '\0' ? "; " : "",
		    cli_str(r.json, "message"));
	cli_reply_fini(&r);
	json_decref(body);
	free(path);
	return rc;
}

enum cli_exit
cmd_delete(const struct cli_args *a)
{
	struct cli_reply r;
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	char *path = xasprintf("/v1/jobs/%s", id);
	rc = cli_call("DELETE", path, NULL, &r);
	if (rc == CLI_OK)
		printf("%s deleted, with its checkpoints\n", id);
	cli_reply_fini(&r);
	free(path);
	return rc;
}

/* "1.2 s", "-" when it is not known. */
static void
seconds_text(char *out, size_t n, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_number(v))
		snprintf(out, n, "%.3g s", json_number_value(v));
	else
		snprintf(out, n, "-");
}

/* What would make it: a line a job, and the rate that was counted with. */
static void
print_rehearsal(const json_t *v)
{
	static const char *const head[] = { "JOB", "STEP", "SIZE", "COMMIT",
	    "UPLOAD", "SAVED HERE", "IN THE BUCKET", "THERE ALREADY" };
	struct cli_table t = { 0 };
	const json_t *j, *rate = json_object_get(v, "rate_bytes_per_second");
	char size[RK_HUMAN], step[32], commit[32], upload[32];
	size_t i;

	if (json_array_size(json_object_get(v, "jobs")) == 0) {
		printf("no job is running: there is nothing to save\n");
		return;
	}
	cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(json_object_get(v, "jobs"), i, j) {
		seconds_text(commit, sizeof(commit), j, "commit_seconds");
		seconds_text(upload, sizeof(upload), j, "upload_seconds");
		rk_human_bytes(size, (uint64_t)cli_num(j, "bytes", 0));
		snprintf(step, sizeof(step), "%.0f", cli_num(j, "step", 0));
		const char *have = cli_str(j, "have");
		const char *cells[] = { cli_str(j, "name"), step, size, commit,
		    upload, json_is_true(json_object_get(j, "local")) ? "yes" :
		    "no", json_is_true(json_object_get(j, "remote")) ? "yes" :
		    "no", *have != '\0' ? have : "-" };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
	}
	cli_table_print(&t);
	if (json_is_number(rate))
		printf("uploads were measured at %s/s\n", rk_human_bytes(size,
		    (uint64_t)json_number_value(rate)));
}

enum cli_exit
cmd_drain(const struct cli_args *a)
{
	struct cli_reply r;
	json_t *body = json_object();

	if (a->deadline >= 0)
		json_object_set_new(body, "deadline_seconds",
		    json_integer(a->deadline));
	if (a->rehearse)
		json_object_set_new(body, "rehearse", json_true());
	enum cli_exit rc = cli_call("POST", "/v1/drain", body, &r);
	json_decref(body);
	if (rc == CLI_OK && r.json != NULL && a->rehearse && !a->json)
		print_rehearsal(r.json);
	else if (rc == CLI_OK && r.json != NULL)
		cli_print_json(r.json);
	cli_reply_fini(&r);
	return rc;
}

/* A page of them; *next (the caller's) goes on behind it, NULL: there is no
 * more. */
static enum cli_exit
adopt_page(const struct cli_args *a, json_t *body, char **next)
{
	struct cli_reply r;
	const json_t *v;
	size_t i;
	enum cli_exit rc = cli_call("POST", "/v1/adopt", body, &r);

	*next = NULL;
	if (rc == CLI_OK && a->json) {
		cli_print_json(r.json);
	} else if (rc == CLI_OK) {
		json_array_foreach(json_object_get(r.json, "adopted"), i, v)
			print_job(a, v);
	}
	json_array_foreach(json_object_get(r.json, "refused"), i, v)
		fprintf(stderr, "rekindle: %s: %s\n", cli_str(v, "job"),
		    cli_str(v, "reason"));
	if (rc == CLI_OK && json_array_size(json_object_get(r.json,
	    "refused")) > 0)
		rc = CLI_REFUSED;
	if (json_is_string(json_object_get(r.json, "next")))
		*next = xstrdup(cli_str(r.json, "next"));
	cli_reply_fini(&r);
	return rc;
}

enum cli_exit
cmd_adopt(const struct cli_args *a)
{
	json_t *body = json_object();
	enum cli_exit rc = CLI_OK, one;
	char *next = NULL;

	if (a->npos > 0)
		json_object_set_new(body, "job", json_string(a->pos[0]));
	if (a->resume)
		json_object_set_new(body, "resume", json_true());
	do {
		if (next != NULL)
			json_object_set_new(body, "after", json_string(next));
		free(next);
		one = adopt_page(a, body, &next);
		rc = one != CLI_OK ? one : rc;
	} while (next != NULL);
	json_decref(body);
	return rc;
}

enum cli_exit
cmd_status(const struct cli_args *a)
{
	struct cli_reply r;
	enum cli_exit rc = cli_call("GET", "/v1/status", NULL, &r);

	(void)a;
	if (rc == CLI_OK)
		cli_print_json(r.json);
	cli_reply_fini(&r);
	return rc;
}
