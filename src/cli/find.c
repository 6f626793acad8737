/*
 * Which job a person means: an id, the unique beginning of one, or a name that
 * only one job has.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* How many jobs a query finds, at most two of them looked at. */
static enum cli_exit
ask(const char *key, const char *ref, char id[RK_ID], size_t *n)
{
	struct cli_reply r;
	char *esc = cli_escape(ref);
	char *path = xasprintf("/v1/jobs?limit=2&%s=%s", key, esc);
	enum cli_exit rc = cli_call("GET", path, NULL, &r);
	const json_t *jobs = json_object_get(r.json, "jobs");

	*n = rc == CLI_OK ? json_array_size(jobs) : 0;
	if (*n > 0)
		snprintf(id, RK_ID, "%s",
		    cli_str(json_array_get(jobs, 0), "id"));
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

	/* It begins every id: `delete "$NOT_SET"` must not find the only job. */
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
		if ((rc = ask("name", ref, id, &n)) != CLI_OK)
			return rc;
		if (n == 1)
			return CLI_OK;
		if (n > 1) {
			fprintf(stderr, "rekindle: more than one job is named "
			    "\"%s\"; use the id (rekindle list)\n", ref);
			return CLI_NO_JOB;
		}
	}
	if (could_be_id(ref)) {
		if ((rc = ask("id_prefix", ref, id, &n)) != CLI_OK)
			return rc;
		if (n == 1)
			return CLI_OK;
		if (n > 1) {
			fprintf(stderr, "rekindle: more than one job's id "
			    "begins with \"%s\"\n", ref);
			return CLI_NO_JOB;
		}
	}
	fprintf(stderr, "rekindle: no job has the id or the name \"%s\"\n",
	    ref);
	return CLI_NO_JOB;
}
