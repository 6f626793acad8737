/* What a job would best begin from: a trainer's answer, which the request waits
 * for. */
#include <string.h>

#include "suggest.h"

#define LIMIT_DEFAULT 10
#define LIMIT_MAX     500

/* --- jobs -------------------------------------------------------------------- */

struct rows {
	struct api *a;
	json_t *known;
};

/* What a row says of each job that a trainer has looked into. */
static void
add_row(struct rows *rows, const json_t *candidate)
{
	const char *id = json_string_value(json_object_get(candidate, "id"));
	struct job_row r;

	if (id == NULL || strncmp(id, "job://", 6) != 0 ||
	    store_job_get(rows->a->store, id + 6, &r) != RK_OK)
		return;
	json_t *v = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "job",
	    "source", id, "job", r.id, "name", r.name, "state",
	    job_state_words[r.state]);
	must(v != NULL && json_object_set_new(rows->known, id, v) == 0);
	store_job_fini(&r);
}

static void
add_rows(struct api *a, const json_t *said, json_t *known)
{
	static const char *const lists[] = { "candidates", "unreadable" };
	struct rows rows = { a, known };
	const json_t *v;
	size_t i;

	for (size_t k = 0; k < RK_ARRAY_LEN(lists); k++)
		json_array_foreach(json_object_get(said, lists[k]), i, v)
			add_row(&rows, v);
}

/* --- the answer --------------------------------------------------------------- */

static void
suggested(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc == RK_EINVAL && why != NULL) {
		reply_faults(q, P_INVALID_JOB, why);
	} else if (rc != RK_OK) {
		reply_err(q, rc, why, "job");
	} else {
		json_t *known = json_object_get(q->suggest, "known");
		add_rows(q->api, said, known);
		json_t *o = suggest_answer(said, known, json_object_get(
		    q->suggest, "job"), query_int(&q->query, "limit",
		    LIMIT_DEFAULT, 1, LIMIT_MAX));
		must(json_object_set_new(o, "not_looked_at", json_pack(
		    "{s:O}", "jobs", json_object_get(said, "jobs_left"))) ==
		    0);
		reply_tree(q, 200, o);
	}
	req_wake(q);
}

/* but: the job itself; NULL: it is none yet. */
static void
ask(struct req *q, const struct spec *spec, const char *but)
{
	json_t *candidates = json_pack("{s:[], s:[]}", "candidates",
	    "classes");

	must(candidates != NULL);
	q->suggest = json_pack("{s:o, s:{}}", "job", spec_json(spec),
	    "known");
	must(q->suggest != NULL);
	const enum rk_err rc = sup_suggest(q->api->sup, spec, but, candidates,
	    suggested, q, &q->why);
	if (rc == RK_OK) {
		q->checked = true;
		req_wait(q);
	} else if (rc == RK_EINVAL) {
		reply_faults(q, P_INVALID_JOB, &q->why);
	} else {
		reply_err(q, rc, &q->why, "job");
	}
}

/* The parameter is read where the answer is made; here it is only refused. */
static bool
limit_is_wrong(struct req *q)
{
	(void)query_int(&q->query, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX);
	return req_refused(q, P_INVALID_QUERY);
}

void
h_suggest(struct req *q)
{
	struct spec *spec = NULL;
	json_t *tree;

	if (limit_is_wrong(q) || (tree = req_tree(q, false)) == NULL)
		return;
	if (q->len > SPEC_MAX_BYTES) {
		json_decref(tree);
		reply_too_long(q, "the job", SPEC_MAX_BYTES);
		return;
	}
	if (spec_parse(tree, &spec, &q->why) == RK_OK) {
		spec_begin_new(spec);
		ask(q, spec, NULL);
	} else {
		reply_faults(q, P_INVALID_JOB, &q->why);
	}
	json_decref(tree);
	spec_free(spec);
}

void
h_suggest_job(struct req *q)
{
	const char *id = query_get(&q->query, "job");
	struct spec *spec = NULL;
	json_t *tree = NULL;
	struct job_row r;

	if (id == NULL || !rk_id_ok(id))
		rk_refuse_at(&q->why, "job", id == NULL ? "is missing: the id "
		    "of the job that would begin from it" : "is no id of a "
		    "job");
	if (limit_is_wrong(q))
		return;
	enum rk_err rc = store_job_get(q->api->store, id, &r);
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "job");
		return;
	}
	rc = rkj_parse_json(r.spec, strlen(r.spec), &tree, &q->why);
	if (rc == RK_OK)
		rc = spec_parse(tree, &spec, &q->why);
	if (rc == RK_OK)
		ask(q, spec, r.id);
	else
		reply_err(q, RK_ECORRUPT, &q->why, "job");
	json_decref(tree);
	spec_free(spec);
	store_job_fini(&r);
}
