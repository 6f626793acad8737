/* Plans of warm starts, and jobs that are only checked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

char *
cli_plan_rate(const json_t *plan)
{
	const json_t *r = json_object_get(plan, "learning_rate");
	const double scale = cli_num(r, "scale", 1);

	if (!json_is_object(r) || scale == 1)
		return xstrdup("");
	return xasprintf("%g, which is %g times the job's %g",
	    cli_num(r, "to", 0), scale, cli_num(r, "from", 0));
}

/* Why, and what it is called in the file where that is another name. */
static char *
reason(const json_t *row)
{
	const char *from = cli_str(row, "from"), *why = cli_str(row, "why");
	const bool renamed = *from != '\0' && strcmp(from,
	    cli_str(row, "name")) != 0;

	return xasprintf("%s%s%s%s", renamed ? "from " : "",
	    renamed ? from : "", renamed && *why != '\0' ? "; " : "", why);
}

void
cli_plan_table(const json_t *plan, const char *indent)
{
	const json_t *tensors = json_object_get(plan, "tensors"), *row;
	char *first = xasprintf("%sTENSOR", indent);
	const char *const head[] = { first, "ACTION", "FILE", "MODEL", "WHY" };
	struct cli_table t = {0};
	size_t i;

	if (json_array_size(tensors) > 0)
		cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(tensors, i, row) {
		char *file = cli_value(row, "file_shape");
		char *model = cli_value(row, "model_shape");
		char *name = xasprintf("%s%s", indent, cli_str(row, "name"));
		char *why = reason(row);
		const char *cells[] = { name, cli_str(row, "action"), file,
		    model, why };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
		free(name);
		free(file);
		free(model);
		free(why);
	}
	if (json_array_size(tensors) > 0)
		cli_table_print(&t);
	free(first);
}

static void
line(const char *key, const char *value)
{
	if (*value != '\0')
		printf("%-9s %s\n", key, value);
}

static void
lines(const char *key, const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		line(key, cli_text(v));
}

static void
print_plan(const json_t *plan)
{
	const json_t *next = json_object_get(plan, "runner_up");
	char *rate = cli_plan_rate(plan);

	printf("%s\n", cli_str(plan, "summary"));
	line("source", cli_str(plan, "source"));
	printf("%-9s %s", "dialect", cli_str(plan, "dialect"));
	if (json_is_object(next))
		printf("; next %s, by %.0f tensors", cli_str(next, "dialect"),
		    cli_num(next, "tensors", 0));
	putchar('\n');
	line("rate", rate);
	line("plan", cli_str(plan, "digest"));
	line("known", cli_str(json_object_get(plan, "knowledge"), "summary"));
	line("distill", cli_str(json_object_get(plan, "distill"), "summary"));
	lines("note", json_object_get(plan, "notes"));
	line("split", cli_str(json_object_get(plan, "validation"), "summary"));
	const json_t *state = json_object_get(plan, "optimizer");
	line("state", cli_str(state, "summary"));
	lines("state", json_object_get(state, "notes"));
	line("changed", cli_str(plan, "changed"));
	free(rate);
}

enum cli_exit
cmd_plan(const struct cli_args *a)
{
	struct cli_reply r = {0};
	json_t *job = NULL;
	enum cli_exit rc = cli_read_job(a, &job);

	if (rc == CLI_OK)
		rc = cli_call("POST", "/v1/warm-starts/plan", job, &r);
	json_decref(job);
	if (rc == CLI_OK && a->json) {
		cli_print_json(r.json);
	} else if (rc == CLI_OK) {
		print_plan(r.json);
		cli_plan_table(r.json, "");
		lines("refused", json_object_get(r.json, "refused"));
	}
	if (rc == CLI_OK && !json_is_true(json_object_get(r.json, "accepted")))
		rc = CLI_REFUSED;
	cli_reply_fini(&r);
	return rc;
}

/* What a job would be that would be accepted. */
enum cli_exit
cli_dry_run(const struct cli_args *a, const char *path, const char *name,
    const json_t *body)
{
	struct cli_reply r = {0};
	char bytes[RK_HUMAN], steps[RK_HUMAN];

	const enum cli_exit rc = cli_call("POST", path, body, &r);
	if (rc == CLI_OK && a->json) {
		cli_print_json(r.json);
	} else if (rc == CLI_OK) {
		const json_t *plan = json_object_get(r.json, "plan");
		printf("%s would be accepted: %s steps, %s of memory\n",
		    name, rk_group_digits(steps,
		    (int64_t)cli_num(r.json, "steps_total", 0)),
		    rk_human_bytes(bytes, (uint64_t)cli_num(r.json, "memory",
		    0)));
		lines("remark", json_object_get(r.json, "remarks"));
		if (json_is_object(plan))
			print_plan(plan);
	}
	cli_reply_fini(&r);
	return rc;
}
