/*
 * What jobs of kind evaluate found of versions, into the logs of their models.
 *
 * A job that has succeeded, and whose model is a version, has its figures
 * appended, once: the entry's id is made of the job's.  It is tried until the
 * store answers, by whoever has the job: an event of the job (`evaluated`) says
 * that it is done, and at the start all jobs are looked through for those that
 * have none.  The report is in the job's folder, or is brought there (ship.h).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define EVALUATION_TAG 0x6d6f6404u
#define REPORT_MAX   ((size_t)64 << 20)
#define FIRST_MS     1000       /* until it is tried again; then twice that */
#define LAST_MS      60000
#define EVENTS       200        /* of a job, a page */
#define SAID         "evaluated"

struct evaluation {
	unsigned tag;
	struct models *m;
	struct evaluation *next;
	char job[RK_ID];
	char *name, *by;                /* of the model; whose job it is */
	char *source;                   /* what the job says of its data */
	int64_t version;
	json_t *data, *metrics;         /* NULL: not read yet */
	bool under_way;
	int64_t again_ms;               /* mono */
	int fails;
};

static void begin(struct evaluation *x);

/* --- the list ------------------------------------------------------------- */

static struct evaluation *
find(const struct models *m, const char *job)
{
	struct evaluation *x = m->evaluations;

	while (x != NULL && strcmp(x->job, job) != 0)
		x = x->next;
	return x;
}

static void
free_evaluation(struct evaluation *x)
{
	struct evaluation **p = &x->m->evaluations;

	must_be(x, EVALUATION_TAG);
	while (*p != x)
		p = &(*p)->next;
	*p = x->next;
	free(x->name);
	free(x->by);
	free(x->source);
	json_decref(x->data);
	json_decref(x->metrics);
	x->tag = 0;
	free(x);
}

static void
clock_of(struct models *m)
{
	int64_t next = INT64_MAX;

	for (const struct evaluation *x = m->evaluations; x != NULL;
	    x = x->next) {
		if (!x->under_way)
			next = RK_MIN(next, x->again_ms);
	}
	if (next != INT64_MAX)
		loop_timer_at(m->evaluated_timer, next);
}

static void
later(struct evaluation *x, const char *why)
{
	if (x->fails++ == 0)
		log_warn("job=%s its figures are not in the log of model %s "
		    "yet: %s; tried until it works", x->job, x->name, why);
	x->under_way = false;
	x->again_ms = mono_ms() + RK_MIN((int64_t)FIRST_MS << RK_MIN(x->fails -
	    1, 16), LAST_MS);
	clock_of(x->m);
}

/* It is not tried again. */
static void
ends(struct evaluation *x, const char *sentence)
{
	json_t *data = json_pack("{s:s, s:I}", "model", x->name, "version",
	    (json_int_t)x->version);

	log_info("job=%s %s", x->job, sentence);
	sup_event(x->m->sup, x->job, SAID, sentence, data);
	json_decref(data);
	free_evaluation(x);
}

static void
fails(struct evaluation *x, const char *why)
{
	char *text = xasprintf("its figures are not in the log of model %s: "
	    "%s", x->name, why);

	ends(x, text);
	free(text);
}

/* --- an entry ------------------------------------------------------------- */

static void
appended(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct evaluation *x = ctx;
	char *text = rc != RK_OK && why->n > 0 ? rk_why_text(why) :
	    xstrdup(rk_strerror(rc));

	(void)said;
	must_be(x, EVALUATION_TAG);
	if (rc == RK_OK) {
		free(text);
		text = xasprintf("its figures are in the log of model %s, of "
		    "version %lld", x->name, (long long)x->version);
		ends(x, text);
	} else if (rc == RK_ENOENT || rc == RK_EINVAL || rc == RK_EROFS) {
		fails(x, text);
	} else {
		later(x, text);
	}
	free(text);
}

/* --- the report ----------------------------------------------------------- */

static json_t *
read_report(struct models *m, const char *job)
{
	char *path = xasprintf("%s/%s", sup_job_dir(m->sup, job), SUP_REPORT);
	char *text = NULL;
	json_t *report = NULL;
	size_t len;

	if (rk_read_file(AT_FDCWD, path, REPORT_MAX, &text, &len) == RK_OK &&
	    rkj_parse_json(text, len, &report, NULL) != RK_OK)
		report = NULL;
	free(path);
	free(text);
	return report;
}

/* Numbers alone: a metric that could not be computed is none. */
static json_t *
metrics_of(const json_t *report)
{
	static const char *const beside[] = { "loss", "accuracy" };
	json_t *all = json_object(), *v;
	const char *key;

	for (size_t i = 0; i < RK_ARRAY_LEN(beside); i++) {
		v = json_object_get(report, beside[i]);
		if (json_is_number(v))
			must(json_object_set(all, beside[i], v) == 0);
	}
	json_object_foreach(json_object_get(report, "metrics"), key, v) {
		if (json_is_number(v))
			must(json_object_set(all, key, v) == 0);
	}
	return all;
}

static void
take(struct evaluation *x, const json_t *report)
{
	const json_t *of = json_object_get(report, "data");
	const char *digest = json_string_value(json_object_get(of, "digest"));

	x->data = json_pack("{s:s, s:s}", "digest", digest != NULL ? digest :
	    "", "source", x->source);
	must(x->data != NULL);
	x->metrics = metrics_of(report);
	begin(x);
}

static void
brought(void *ctx, enum rk_err rc, const struct rk_why *why)
{
	struct evaluation *x = ctx;

	must_be(x, EVALUATION_TAG);
	json_t *report = rc == RK_OK ? read_report(x->m, x->job) : NULL;
	if (report != NULL)
		take(x, report);
	else if (rc == RK_OK || rc == RK_ENOENT)
		fails(x, rc == RK_OK ? "its report cannot be read" :
		    rk_why_first(why));
	else
		later(x, rk_why_first(why));
	json_decref(report);
}

static void
begin(struct evaluation *x)
{
	char id[RK_ID + 16];
	const struct models_by by = { .id = id, .author = x->by };

	x->under_way = true;
	json_t *report = x->data == NULL ? read_report(x->m, x->job) : NULL;
	if (report != NULL) {
		take(x, report);
		json_decref(report);
		return;
	}
	snprintf(id, sizeof(id), SAID "-%s", x->job);
	if (x->data != NULL)
		models_evaluated(x->m, x->name, x->version, x->job, x->data,
		    x->metrics, &by, appended, x);
	else
		ship_results(x->m->ship, x->job, brought, x);
}

/* --- which ---------------------------------------------------------------- */

static bool
see_event(void *ctx, const struct event_row *e)
{
	int64_t *last = ctx;

	*last = strcmp(e->kind, SAID) == 0 ? -1 : e->seq;
	return *last >= 0;
}

static bool
is_said(struct models *m, const char *job)
{
	int64_t last = 0, before = -1;

	while (last > before) {
		before = last;
		if (store_events(m->store, job, last, EVENTS, see_event,
		    &last) != RK_OK)
			break;
	}
	return last < 0;
}

/* What a job says of itself, "" for nothing; the caller frees. */
static char *
said_of(const json_t *tree, const char *block, const char *key)
{
	const json_t *v = json_object_get(json_object_get(tree, block), key);

	return xstrdup(json_is_string(v) ? json_string_value(v) : "");
}

/* What the data are called: metadata.data_source, or their place. */
static char *
source_of(const json_t *tree)
{
	static const char *const places[] = { "path", "list", "images" };
	const json_t *of = json_object_get(json_object_get(tree, "data"),
	    "validation");
	char *text = said_of(tree, "metadata", "data_source");

	for (size_t i = 0; text[0] == '\0' && i < RK_ARRAY_LEN(places); i++) {
		const json_t *v = json_object_get(of, places[i]);
		if (!json_is_string(v))
			continue;
		free(text);
		text = xstrdup(json_string_value(v));
		/* A query may be a key. */
		if (strstr(text, "://") != NULL)
			text[strcspn(text, "?")] = '\0';
	}
	return text;
}

/* The version that it is of; false: of none. */
static bool
version_of(const json_t *tree, struct rk_uri *u, int64_t *version)
{
	char *where = said_of(tree, "model", "checkpoint");
	struct rk_part part;
	bool is = false;

	if (rk_part_parse(&part, where, NULL) == RK_OK) {
		if (rk_uri_parse(u, part.bare, NULL) == RK_OK) {
			is = u->kind == RK_URI_MODEL && u->path[0] != '\0' &&
			    u->path[strspn(u->path, "0123456789")] == '\0';
			*version = is ? strtoll(u->path, NULL, 10) : 0;
			if (!is)
				rk_uri_fini(u);
		}
		rk_part_fini(&part);
	}
	free(where);
	return is;
}

static void
add(struct models *m, const struct job_row *r, const json_t *tree)
{
	struct evaluation *x;
	struct rk_uri u;
	int64_t version;

	if (!version_of(tree, &u, &version))
		return;
	x = xcalloc(1, sizeof(*x));
	*x = (struct evaluation){ .tag = EVALUATION_TAG, .m = m,
		.next = m->evaluations, .name = xstrdup(u.host),
		.by = said_of(tree, "metadata", "author"),
		.source = source_of(tree), .version = version,
		.again_ms = mono_ms() };
	memcpy(x->job, r->id, sizeof(x->job));
	m->evaluations = x;
	rk_uri_fini(&u);
	clock_of(m);
}

static void
look(struct models *m, const struct job_row *r)
{
	json_t *tree = NULL;

	if (r->state != JOB_SUCCEEDED || strstr(r->spec, "model:") == NULL ||
	    strcmp(sup_kind(r), "evaluate") != 0 || find(m, r->id) != NULL ||
	    is_said(m, r->id) || rkj_parse_json(r->spec, strlen(r->spec),
	    &tree, NULL) != RK_OK)
		return;
	add(m, r, tree);
	json_decref(tree);
}

static bool
see_job(void *ctx, const struct job_row *r)
{
	look(ctx, r);
	return true;
}

static void
hear(void *ctx, const char *job, char what)
{
	struct models *m = ctx;
	struct job_row r;

	must_be(m, MODELS_TAG);
	if (what != 's' || job[0] == '\0' || sup_held(m->sup) ||
	    store_job_get(m->store, job, &r) != RK_OK)
		return;
	look(m, &r);
	store_job_fini(&r);
}

/* While the jobs are not ours yet nothing is said of them; then all are looked
 * through, once. */
static void
timer_fn(void *ctx)
{
	struct models *m = ctx;
	struct store_filter f = { .states = 1u << JOB_SUCCEEDED };
	struct evaluation *x, *next;
	const int64_t now = mono_ms();

	must_be(m, MODELS_TAG);
	if (sup_held(m->sup)) {
		loop_timer_at(m->evaluated_timer, now + FIRST_MS);
		return;
	}
	if (!m->evaluated_looked) {
		m->evaluated_looked = store_jobs(m->store, &f, NULL, INT32_MAX,
		    see_job, m) == RK_OK;
		if (!m->evaluated_looked)
			loop_timer_at(m->evaluated_timer, now + FIRST_MS);
	}
	for (x = m->evaluations; x != NULL; x = next) {
		next = x->next;
		if (!x->under_way && x->again_ms <= now)
			begin(x);
	}
	clock_of(m);
}

void
evaluated_open(struct models *m)
{
	if (m->sup == NULL)             /* of a test */
		return;
	m->evaluated_timer = loop_timer_add(m->loop, timer_fn, m);
	sup_listen(m->sup, hear, m);
	loop_timer_at(m->evaluated_timer, mono_ms());
}

void
evaluated_close(struct models *m)
{
	if (m->evaluated_timer == NULL)
		return;
	sup_unlisten(m->sup, hear, m);
	while (m->evaluations != NULL) {
		ship_results_forget(m->ship, m->evaluations);
		models_forget(m, m->evaluations);
		free_evaluation(m->evaluations);
	}
	loop_timer_del(&m->evaluated_timer);
}
