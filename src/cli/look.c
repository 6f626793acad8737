/*
 * The commands that look: list, show, checkpoints, metrics, log, events,
 * attempts.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/judge.h"
#include "cli.h"

/* --- lists ---------------------------------------------------------------- */

enum cli_exit
cli_walk(const char *path, const char *query, const char *key, int64_t limit,
    json_t *all, bool *more)
{
	return cli_walk_pages(path, query, key, limit, all, more, NULL);
}

enum cli_exit
cli_walk_pages(const char *path, const char *query, const char *key,
    int64_t limit, json_t *all, bool *more, json_t **page)
{
	char *cursor = NULL;
	enum cli_exit rc;
	int64_t left = limit;

	do {
		struct strbuf p = {0};
		struct cli_reply r;

		sb_addf(&p, "%s?limit=%d%s", path, (int)RK_MIN(left, 500),
		    query);
		if (cursor != NULL) {
			char *esc = cli_escape(cursor);
			sb_addf(&p, "&cursor=%s", esc);
			free(esc);
		}
		rc = cli_call("GET", p.s, NULL, &r);
		sb_fini(&p);
		free(cursor);
		cursor = NULL;
		json_t *list = json_object_get(r.json, key);
		if (rc == CLI_OK && json_array_size(list) > 0) {
			json_array_extend(all, list);
			if (*cli_str(r.json, "next") != '\0')
				cursor = xstrdup(cli_str(r.json, "next"));
		}
		if (rc == CLI_OK && page != NULL) {
			json_decref(*page);
			*page = json_incref(r.json);
		}
		cli_reply_fini(&r);
		left = limit - (int64_t)json_array_size(all);
	} while (rc == CLI_OK && cursor != NULL && left > 0);
	*more = cursor != NULL;
	free(cursor);
	return rc;
}

typedef void row_fn(struct cli_table *t, const json_t *row);

/* As JSON for programs, or a line an entry. */
static void
print_list(const struct cli_args *a, const json_t *all, size_t n,
    const char *const *head, row_fn *row)
{
	struct cli_table t = {0};
	const json_t *v;
	size_t i;

	if (a->json) {
		cli_print_json(all);
		return;
	}
	cli_table_row(&t, n, head);
	json_array_foreach(all, i, v)
		row(&t, v);
	cli_table_print(&t);
}

/* --- list ---------------------------------------------------------------- */

static void
job_cells(struct cli_table *t, const json_t *job)
{
	const json_t *p = json_object_get(job, "progress");
	const char *reason = cli_str(job, "reason");
	double step = cli_num(p, "step", NAN), v;
	char state[96], epoch[48] = "", done[16] = "", loss[24] = "", age[32];

	snprintf(state, sizeof(state), *reason ? "%s (%s)" : "%s%s",
	    cli_str(job, "state"), reason);
	if (!isnan(step)) {
		double total = cli_num(p, "steps_total", 0);
		snprintf(epoch, sizeof(epoch), "%.0f/%.0f",
		    cli_num(p, "epoch", 0), cli_num(p, "epochs_total", 0));
		if (total > 0)
			snprintf(done, sizeof(done), "%.0f%%",
			    floor(100 * step / total));
	}
	if (!isnan(v = cli_num(p, "loss", NAN)))
		snprintf(loss, sizeof(loss), "%.4f", v);
	const char *cells[] = { cli_str(job, "id"), cli_str(job, "name"), state,
	    cli_trains(job) ? epoch : "", done, loss,
	    cli_age(age, sizeof(age), cli_str(job, "created")),
	    cli_trains(job) ? "train" : cli_str(job, "kind") };
	/* Where all of them train nothing is said of it. */
	cli_table_row(t, t->n > 0 ? t->n : RK_ARRAY_LEN(cells), cells);
}

static bool
all_train(const json_t *jobs)
{
	bool yes = true;
	const json_t *v;
	size_t i;

	json_array_foreach(jobs, i, v)
		yes = yes && cli_trains(v);
	return yes;
}

void
cli_query_add(struct strbuf *q, const char *key, const char *value)
{
	if (value == NULL)
		return;
	char *esc = cli_escape(value);
	sb_addf(q, "&%s=%s", key, esc);
	free(esc);
}

enum cli_exit
cmd_list(const struct cli_args *a)
{
	static const char *const head[] = { "ID", "NAME", "STATE", "EPOCH",
	    "DONE", "LOSS", "CREATED", "KIND" };
	int64_t limit = a->limit > 0 ? a->limit : a->all ? INT64_MAX : 50;
	struct strbuf query = {0};
	json_t *all = json_array();
	bool more;

	cli_query_add(&query, "state", a->state);
	cli_query_add(&query, "label", a->label);
	enum cli_exit rc = cli_walk("/v1/jobs", sb_str(&query), "jobs", limit, all,
	    &more);
	if (rc == CLI_OK && json_array_size(all) == 0 && !a->json)
		printf("no jobs\n");
	else if (rc == CLI_OK)
		print_list(a, all, RK_ARRAY_LEN(head) - all_train(all), head,
		    job_cells);
	if (rc == CLI_OK && more && !a->json)
		fprintf(stderr, "(there are more: --all, or --limit N)\n");
	sb_fini(&query);
	json_decref(all);
	return rc;
}

/* --- show ---------------------------------------------------------------- */

static void
line(const char *key, const char *value)
{
	if (*value != '\0')
		printf("%-12s %s\n", key, value);
}

/* What it has known, where that is more than what it is at. */
static void
show_known(const json_t *job)
{
	const json_t *k = json_object_get(job, "newest_known");
	double lost = cli_num(job, "lost_steps", 0);
	char age[32];

	if (json_is_object(k))
		printf("%-12s %s, step %.0f, %s\n", "newest known",
		    cli_str(k, "checkpoint"), cli_num(k, "step", 0),
		    cli_age(age, sizeof(age), cli_str(k, "time")));
	if (lost > 0)
		printf("%-12s %.0f step%s, whose checkpoints were gone\n",
		    "lost", lost, rk_s((int64_t)lost));
}

/* "cosine over 1,200 steps from step 0, peak 0.001; since step 600 (keep)" */
static void
show_schedule(const json_t *p)
{
	const json_t *s = json_object_get(p, "schedule");
	const char *by = cli_str(s, "by");
	char steps[RK_HUMAN], from[RK_HUMAN], since[RK_HUMAN];

	if (!json_is_object(s))
		return;
	printf("%-12s %s over %s steps from step %s, peak %g", "schedule",
	    cli_str(s, "type"),
	    rk_group_digits(steps, (int64_t)cli_num(s, "steps", 0)),
	    rk_group_digits(from, (int64_t)cli_num(s, "from", 0)),
	    cli_num(s, "learning_rate", 0));
	if (cli_num(s, "scale", 1) < 1)
		printf(", times %.3g so far", cli_num(s, "scale", 1));
	rk_group_digits(since, (int64_t)cli_num(s, "since", 0));
	if (strcmp(by, "start") == 0)
		putchar('\n');
	else
		printf("; since step %s (%s)\n", since, by);
}

/* "2 of 3" */
static void
show_phase(const json_t *p)
{
	if (cli_num(p, "phases", 0) > 0)
		printf("%-12s %.0f of %.0f\n", "phase", cli_num(p, "phase", 0),
		    cli_num(p, "phases", 0));
}

/* "checkpoint was said as model://defects@production" */
static void
show_said(const json_t *job)
{
	const char *field;
	json_t *v;

	json_object_foreach(json_object_get(job, "said"), field, v) {
		const char *dot = strrchr(field, '.');
		char *text = xasprintf("%s was said as %s", dot != NULL ?
		    dot + 1 : field, cli_text(v));
		line("address", text);
		free(text);
	}
}

/* "no, since attempt 3 from step 1,200: the arithmetic has changed since
 * ..." */
static void
show_exact(const json_t *job)
{
	const json_t *exact = json_object_get(job, "exact");
	const json_t *why = json_object_get(job, "inexact");

	if (json_is_true(exact))
		line("exact", "yes");
	else if (json_is_object(why))
		printf("%-12s %s since attempt %.0f, from step %.0f: %s\n",
		    "exact", json_is_false(exact) ? "no," : "not known",
		    cli_num(why, "attempt", 0), cli_num(why, "step", 0),
		    cli_str(why, "message"));
	line("arithmetic", cli_str(job, "arithmetic"));
}

/* What the newest evaluation gave beside loss and accuracy, as far as a
 * checkpoint has it: "val_top5 0.998, val_macro_f1 0.91". */
static void
show_figures(const json_t *p)
{
	const json_t *m = json_object_get(p, "metrics");
	struct strbuf b = {0};

	for (int i = JUDGE_TOP5; i < JUDGE_METRICS; i++) {
		const char *word = judge_metrics[i].val_word;
		const double v = cli_num(m, word, NAN);
		if (!isnan(v))
			sb_addf(&b, "%s%s %.4g", b.len > 0 ? ", " : "", word,
			    v);
	}
	line("figures", sb_str(&b));
	line("early stop", cli_str(p, "early_stopped"));
	sb_fini(&b);
}

/* Of what it learns: "512 samples of 6 classes: ..."; what could not be read of
 * it, and how long training waited for it. */
static void
show_data(const json_t *p)
{
	const json_t *data = json_object_get(p, "data");
	const double broken = cli_num(p, "broken", 0);
	const double wait = cli_num(p, "data_wait_ratio", NAN);

	line("train data", cli_str(data, "train"));
	line("valid. data", cli_str(data, "validation"));
	if (broken > 0)
		printf("%-12s %.0f sample%s could not be read, and %s left "
		    "out\n", "broken", broken, broken == 1 ? "" : "s",
		    broken == 1 ? "is" : "are");
	if (!isnan(wait))
		printf("%-12s %.1f %% of the time, for samples to be read\n",
		    "data wait", 100 * wait);
}

static void
add_fallen(struct strbuf *b, const json_t *c)
{
	const char *name = cli_str(c, "name");

	if (*name != '\0')
		sb_adds(b, name);
	else
		sb_addf(b, "class %.0f", cli_num(c, "class", 0));
	sb_addf(b, " %.3f -> %.3f (%.0f samples)", cli_num(c, "before", 0),
	    cli_num(c, "recall", 0), cli_num(c, "samples", 0));
}

size_t
cli_forgotten(struct strbuf *b, const json_t *progress)
{
	const json_t *v = json_object_get(json_object_get(progress,
	    "knowledge"), "forgotten"), *c;
	size_t i;

	json_array_foreach(v, i, c) {
		sb_adds(b, i > 0 ? ", " : "");
		add_fallen(b, c);
	}
	return json_array_size(v);
}

/* What a warm start still knows of the classes of its source. */
static void
show_knowledge(const json_t *p)
{
	const json_t *k = json_object_get(p, "knowledge");
	const json_t *fall = json_object_get(k, "largest_fall");
	const double classes = cli_num(k, "classes", 0);
	const double few = cli_num(k, "few", 0);
	struct strbuf b = {0};

	if (!json_is_object(k))
		return;
	printf("%-12s mean recall of %.0f class%s of before %.3f -> %.3f at "
	    "step %.0f", "knowledge", classes, classes == 1 ? "" : "es",
	    cli_num(k, "before", 0), cli_num(k, "recall", 0),
	    cli_num(k, "step", 0));
	if (few > 0)
		printf("; %.0f of %.0f class%s ha%s fewer than 50 samples: a "
		    "fall of theirs is not called forgotten", few, classes,
		    classes == 1 ? "" : "es", few == 1 ? "s" : "ve");
	putchar('\n');
	cli_forgotten(&b, p);
	line("forgotten", sb_str(&b));
	sb_fini(&b);
	if (json_is_object(fall))
		add_fallen(&b, fall);
	line("largest fall", sb_str(&b));
	sb_fini(&b);
}

/* Who has what a queued job waits for. */
static void
show_running(const json_t *job)
{
	struct cli_reply r = {0};
	struct strbuf b = {0};
	const json_t *jobs, *o;
	size_t i;

	if (strcmp(cli_str(job, "state"), "queued") != 0 || cli_call("GET",
	    "/v1/jobs?state=running&limit=20", NULL, &r) != CLI_OK) {
		cli_reply_fini(&r);
		return;
	}
	jobs = json_object_get(r.json, "jobs");
	json_array_foreach(jobs, i, o) {
		const double threads = cli_num(o, "threads", 0);
		sb_addf(&b, "%s%s (%.0f thread%s)", i > 0 ? ", " : "",
		    cli_str(o, "name"), threads, rk_s((int64_t)threads));
	}
	line("running now", sb_str(&b));
	sb_fini(&b);
	cli_reply_fini(&r);
}

static void
show_job(const json_t *job)
{
	const char *reason = cli_str(job, "reason");
	const json_t *labels = json_object_get(job, "labels");
	struct strbuf b = {0};
	char *text;

	line("id", cli_str(job, "id"));
	line("name", cli_str(job, "name"));
	if (!cli_trains(job))
		line("kind", cli_str(job, "kind"));
	sb_addf(&b, *reason ? "%s (%s)" : "%s%s", cli_str(job, "state"),
	    reason);
	line("state", sb_str(&b));
	line("", cli_str(job, "message"));
	show_running(job);
	line("desired", cli_str(job, "desired"));
	printf("%-12s %.0f\n", "priority", cli_num(job, "priority", 0));
	if (json_object_size(labels) > 0) {
		text = rkj_text(labels);
		line("labels", text);
		free(text);
	}
	line("created", cli_str(job, "created"));
	line("started", cli_str(job, "started"));
	line("ended", cli_str(job, "ended"));
	printf("%-12s %.0f\n", "attempt", cli_num(job, "attempt", 0));
	if (json_object_size(json_object_get(job, "progress")) > 0) {
		sb_reset(&b);
		cli_progress_line(&b, job, 0, 0);
		line("progress", sb_str(&b));
	}
	show_figures(json_object_get(job, "progress"));
	show_knowledge(json_object_get(job, "progress"));
	show_known(job);
	show_phase(json_object_get(job, "progress"));
	show_schedule(json_object_get(job, "progress"));
	show_exact(job);
	show_said(job);
	line("warm start", cli_str(job, "plan_summary"));
	char *rate = cli_plan_rate(json_object_get(job, "plan"));
	line("rate", rate);
	free(rate);
	line("validation", cli_str(json_object_get(json_object_get(job,
	    "plan"), "validation"), "summary"));
	show_data(json_object_get(job, "progress"));
	cli_plan_table(json_object_get(job, "plan"), "  ");
	printf("spec\n");
	cli_print_json(json_object_get(job, "spec"));
	sb_fini(&b);
}

enum cli_exit
cli_get(const struct cli_args *a, const char *tail, struct cli_reply *r)
{
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	*r = (struct cli_reply){0};
	if (rc != CLI_OK)
		return rc;
	char *path = xasprintf("/v1/jobs/%s%s", id, tail);
	rc = cli_call("GET", path, NULL, r);
	free(path);
	return rc;
}

enum cli_exit
cmd_show(const struct cli_args *a)
{
	struct cli_reply r;
	enum cli_exit rc = cli_get(a, "", &r);

	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		show_job(r.json);
	cli_reply_fini(&r);
	return rc;
}

/* --- pages of things ----------------------------------------------------- */

/* One of a job's lists. */
static enum cli_exit
pages(const struct cli_args *a, const char *what, const char *query, size_t n,
    const char *const *head, row_fn *row)
{
	char id[RK_ID];
	bool more;
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	json_t *all = json_array();
	char *path = xasprintf("/v1/jobs/%s/%s", id, what);
	rc = cli_walk(path, query, what, INT64_MAX, all, &more);
	if (rc == CLI_OK)
		print_list(a, all, n, head, row);
	free(path);
	json_decref(all);
	return rc;
}

static void
number(char *out, size_t n, const json_t *o, const char *key, const char *fmt)
{
	double v = cli_num(o, key, NAN);
	if (isnan(v))
		snprintf(out, n, "-");
	else
		snprintf(out, n, fmt, v);
}

/* "local", "uploading 43 %", "verified"; and what only a bucket has. */
static void
where_text(char *out, size_t n, const json_t *c)
{
	const json_t *d = json_object_get(c, "durability");
	const char *state = cli_str(d, "state");

	if (json_is_number(json_object_get(d, "percent")) &&
	    strcmp(state, "uploading") == 0)
		snprintf(out, n, "uploading %.0f %%", cli_num(d, "percent", 0));
	else
		snprintf(out, n, "%s%s", state,
		    !json_is_false(json_object_get(c, "local")) ? "" :
		    strcmp(state, "missing") == 0 ? ", lost" : ", not here");
}

static void
checkpoint_row(struct cli_table *t, const json_t *c)
{
	const json_t *names = json_object_get(c, "names"), *name;
	const json_t *m = json_object_get(c, "metrics");
	struct strbuf b = {0};
	char step[32], epoch[32], loss[32], acc[32], size[RK_HUMAN], age[32];
	char where[64];
	size_t i;

	where_text(where, sizeof(where), c);
	json_array_foreach(names, i, name)
		sb_addf(&b, "%s%s", i > 0 ? "," : "", cli_text(name));
	number(step, sizeof(step), c, "step", "%.0f");
	number(epoch, sizeof(epoch), c, "epoch", "%.0f");
	number(loss, sizeof(loss), m, "val_loss", "%.4f");
	number(acc, sizeof(acc), m, "val_accuracy", "%.4f");
	rk_human_bytes(size, (uint64_t)cli_num(c, "bytes", 0));
	const char *cells[] = { cli_str(c, "checkpoint"), sb_str(&b), step,
	    epoch, loss, acc, size,
	    cli_age(age, sizeof(age), cli_str(c, "created")), where };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
	sb_fini(&b);
}

enum cli_exit
cmd_checkpoints(const struct cli_args *a)
{
	static const char *const head[] = { "CHECKPOINT", "NAMES", "STEP",
	    "EPOCH", "VAL LOSS", "VAL ACC", "SIZE", "WRITTEN", "WHERE" };
	return pages(a, "checkpoints", "", RK_ARRAY_LEN(head),
	    head, checkpoint_row);
}

static void
metric_row(struct cli_table *t, const json_t *m)
{
	char attempt[32], step[32], epoch[32], loss[32], acc[32], lr[32];
	char rate[32], phase[32];

	number(attempt, sizeof(attempt), m, "attempt", "%.0f");
	number(step, sizeof(step), m, "step", "%.0f");
	number(epoch, sizeof(epoch), m, "epoch", "%.0f");
	number(loss, sizeof(loss), m, "loss", "%.5f");
	number(acc, sizeof(acc), m, "accuracy", "%.4f");
	number(lr, sizeof(lr), m, "learning_rate", "%.4g");
	number(rate, sizeof(rate), m, "samples_per_second", "%.0f");
	number(phase, sizeof(phase), m, "phase", "%.0f");
	const char *cells[] = { attempt, step, epoch, phase,
	    cli_str(m, "split"), loss, acc, lr, rate };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
}

static bool
print_data(void *ctx, const char *data, size_t len)
{
	(void)ctx;
	printf("%.*s\n", (int)len, data);
	fflush(stdout);
	return true;
}

static enum cli_exit
follow(const struct cli_args *a, const char *what, const char *query,
    cli_event_fn *fn)
{
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	char *path = xasprintf("/v1/jobs/%s/%s?follow=1%s", id, what, query);
	rc = cli_stream(path, fn, NULL);
	free(path);
	return rc;
}

enum cli_exit
cmd_metrics(const struct cli_args *a)
{
	static const char *const head[] = { "ATTEMPT", "STEP", "EPOCH", "PHASE",
	    "SPLIT", "LOSS", "ACCURACY", "LR", "SAMPLES/S" };
	char *q = a->split != NULL ? xasprintf("&split=%s", a->split) :
	    xstrdup("");
	enum cli_exit rc = a->follow ? follow(a, "metrics", q, print_data) :
	    pages(a, "metrics", q, RK_ARRAY_LEN(head), head,
	    metric_row);
	free(q);
	return rc;
}

static void
event_row(struct cli_table *t, const json_t *e)
{
	const char *cells[] = { cli_str(e, "time"), cli_str(e, "kind"),
	    cli_str(e, "message") };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
}

static bool
print_event(void *ctx, const char *data, size_t len)
{
	json_t *e = json_loadb(data, len, 0, NULL);

	(void)ctx;
	if (e != NULL)
		printf("%s  %s  %s\n", cli_str(e, "time"), cli_str(e, "kind"),
		    cli_str(e, "message"));
	fflush(stdout);
	json_decref(e);
	return true;
}

enum cli_exit
cmd_events(const struct cli_args *a)
{
	static const char *const head[] = { "TIME", "KIND", "MESSAGE" };

	if (a->follow)
		return follow(a, "events", "",
		    a->json ? print_data : print_event);
	return pages(a, "events", "", RK_ARRAY_LEN(head), head,
	    event_row);
}

static void
attempt_row(struct cli_table *t, const json_t *m)
{
	char n[32], start[32], end[32];

	number(n, sizeof(n), m, "attempt", "%.0f");
	number(start, sizeof(start), m, "start_step", "%.0f");
	number(end, sizeof(end), m, "end_step", "%.0f");
	const char *cells[] = { n, cli_str(m, "started"), cli_str(m, "ended"),
	    cli_str(m, "from"), start, end, cli_str(m, "outcome"),
	    cli_str(m, "message") };
	cli_table_row(t, RK_ARRAY_LEN(cells), cells);
}

enum cli_exit
cmd_attempts(const struct cli_args *a)
{
	static const char *const head[] = { "ATTEMPT", "STARTED", "ENDED",
	    "FROM", "FIRST", "LAST", "OUTCOME", "MESSAGE" };
	return pages(a, "attempts", "", RK_ARRAY_LEN(head), head,
	    attempt_row);
}

enum cli_exit
cmd_log(const struct cli_args *a)
{
	struct cli_reply r;
	char q[64] = "";

	if (a->tail >= 0)
		snprintf(q, sizeof(q), "%stail=%lld", a->follow ? "&" : "?",
		    (long long)a->tail);
	if (a->follow)
		return follow(a, "log", q, print_data);
	char *tail = xasprintf("/log%s", q);
	enum cli_exit rc = cli_get(a, tail, &r);
	free(tail);
	if (rc == CLI_OK)
		fwrite(r.text, 1, r.len, stdout);
	cli_reply_fini(&r);
	return rc;
}
