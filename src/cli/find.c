/*
 * Which job a person means: an id, the unique beginning of one, or a name that
 * only one job has.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SHOWN 5

/* More than one, newest first: SHOWN of them to choose from. */
static void
say_choice(const json_t *jobs)
{
	const json_t *job;
	char age[40];
	size_t i;

	json_array_foreach(jobs, i, job) {
		if (i == SHOWN) {
			fprintf(stderr, "  and more (rekindle list)\n");
			return;
		}
		fprintf(stderr, "  %s  %s, %s\n", cli_str(job, "id"),
		    cli_str(job, "state"), cli_age(age, sizeof(age),
		    cli_str(job, "created")));
	}
}

/* How many jobs a query finds; more than one: the sentence `many` about them
 * has been printed. */
static enum cli_exit
ask(const char *key, const char *ref, const char *many, char id[RK_ID],
    size_t *n)
{
	struct cli_reply r;
	char *esc = cli_escape(ref);
	char *path = xasprintf("/v1/jobs?limit=%d&%s=%s", SHOWN + 1, key,
	    esc);
	enum cli_exit rc = cli_call("GET", path, NULL, &r);
	const json_t *jobs = json_object_get(r.json, "jobs");

	*n = rc == CLI_OK ? json_array_size(jobs) : 0;
	if (*n > 0)
		snprintf(id, RK_ID, "%s",
		    cli_str(json_array_get(jobs, 0), "id"));
	if (*n > 1) {
		fprintf(stderr, "rekindle: more than one job%s \"%s\"; use the "
		    "id\n", many, ref);
		say_choice(jobs);
		rc = CLI_NO_JOB;
	}
	cli_reply_fini(&r);
	free(path);
	free(esc);
	return rc;
}

static bool
could_be_id(const char *s)
{
	return strlen(s) <= RK_ID_LEN &&
	    s[strspn(s, "0123456789abcdefghjkmnpqrstvwxyz")] == '\0';
}

enum cli_exit
cli_find_job(const char *ref, char id[RK_ID])
{
	enum cli_exit rc;
	size_t n;

	/* It begins every id: `delete "$NOT_SET"` must not find the only
	 * job. */
	if (*ref == '\0') {
		fprintf(stderr, "rekindle: JOB is empty, want an id, the "
		    "beginning of one, or a name\n");
		return CLI_NO_JOB;
	}
	if (rk_id_ok(ref)) {
		snprintf(id, RK_ID, "%s", ref);
		return CLI_OK;
	}
	if (rk_name_ok(ref)) {
		rc = ask("name", ref, " is named", id, &n);
		if (rc != CLI_OK || n == 1)
			return rc;
	}
	if (could_be_id(ref)) {
		rc = ask("id_prefix", ref, "'s id begins with", id, &n);
		if (rc != CLI_OK || n == 1)
			return rc;
	}
	fprintf(stderr, "rekindle: no job has the id or the name \"%s\"\n",
	    ref);
	return CLI_NO_JOB;
}
