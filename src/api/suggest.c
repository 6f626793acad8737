/*
 * What a job would best begin from:
 *
 *	begin() ··· the copy of the registry is made fresh ──▶ looked() ──▶ ask()
 *	 ··· a trainer plans the candidates ──▶ suggested()
 *
 * The request waits, and carries in q->suggest {job, but, known, passed,
 * versions_left, error}.
 */
#include <string.h>

#include "suggest.h"

#define LIMIT_DEFAULT 10
#define LIMIT_MAX     500
#define FRESH_MS      60000     /* as lists of models may be */

/* --- jobs ----------------------------------------------------------------- */

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

/* --- the answer ----------------------------------------------------------- */

static void
answer(struct req *q, const json_t *said)
{
	json_t *g = q->suggest, *known = json_object_get(g, "known");
	const json_t *error = json_object_get(g, "error");

	must(json_array_extend(json_object_get(said, "unreadable"),
	    json_object_get(g, "passed")) == 0);
	add_rows(q->api, said, known);
	json_t *o = suggest_answer(said, known, json_object_get(g, "job"),
	    query_int(&q->query, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX));
	json_t *left = json_pack("{s:O, s:O}", "versions", json_object_get(g,
	    "versions_left"), "jobs", json_object_get(said, "jobs_left"));
	must(left != NULL);
	must(json_object_set_new(o, "not_looked_at", left) == 0);
	if (error != NULL)
		must(json_object_set(o, "error", (json_t *)(uintptr_t)error) ==
		    0);
	reply_tree(q, 200, o);
}

static void
refuse(struct req *q, enum rk_err rc, const struct rk_why *why)
{
	if (rc == RK_EINVAL && why != NULL)
		reply_faults(q, P_INVALID_JOB, why);
	else
		reply_err(q, rc, why, "job");
}

static void
suggested(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc == RK_OK)
		answer(q, said);
	else
		refuse(q, rc, why);
	req_wake(q);
}

/* --- the question --------------------------------------------------------- */

static void
ask(struct req *q)
{
	json_t *candidates = json_pack("{s:[], s:[]}", "candidates",
	    "classes"), *g = q->suggest;
	const json_t *but = json_object_get(g, "but");
	struct spec *spec = NULL;
	json_int_t left = 0;

	must(candidates != NULL);
	enum rk_err rc = spec_parse(json_object_get(g, "job"), &spec,
	    &q->why);
	if (rc == RK_OK)
		rc = suggest_versions(q->api, candidates, json_object_get(g,
		    "known"), json_object_get(g, "passed"), &left);
	must(json_object_set_new(g, "versions_left", json_integer(left)) == 0);
	if (rc == RK_OK)
		rc = sup_suggest(q->api->sup, spec, json_string_value(but),
		    candidates, suggested, q, &q->why);
	else
		json_decref(candidates);
	spec_free(spec);
	if (rc != RK_OK) {
		refuse(q, rc, &q->why);
		return;
	}
	q->checked = true;
	req_wait(q);
}

/* A store that does not answer is told; the copy is as old as it is. */
static void
looked(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	(void)said;
	if (rc != RK_OK) {
		json_t *v = json_string(why != NULL && why->n > 0 ?
		    rk_why_first(why) : rk_strerror(rc));
		must(json_object_set_new(q->suggest, "error", v) == 0);
	}
	ask(q);
	if (q->status != 0)
		req_wake(q);
}

/* but: the job itself; NULL: it is none yet. */
static void
begin(struct req *q, const struct spec *spec, const char *but)
{
	if (spec->kind != SPEC_JOB_TRAIN) {
		rk_refuse_at(&q->why, "kind", "is %s: such a job uses a model "
		    "as it is, and begins from none", spec_job_words[
		    spec->kind]);
		refuse(q, RK_EINVAL, &q->why);
		return;
	}
	q->suggest = json_pack("{s:o, s:{}, s:[], s:s?}", "job", spec_json(
	    spec), "known", "passed", "but", but);
	must(q->suggest != NULL);
	if (q->api->models == NULL) {
		ask(q);
		return;
	}
	models_look(q->api->models, NULL, FRESH_MS, looked, q);
	req_wait(q);
}

/* The parameter is read where the answer is made; here it is only refused. */
static bool
limit_is_wrong(struct req *q)
{
	(void)query_int(&q->query, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX);
	return req_refused(q, P_INVALID_QUERY);
}

static void
suggest(struct req *q, json_t *tree)
{
	struct spec *spec = NULL;

	if (spec_parse(tree, &spec, &q->why) == RK_OK) {
		spec_begin_new(spec);
		begin(q, spec, NULL);
	} else {
		refuse(q, RK_EINVAL, &q->why);
	}
	spec_free(spec);
}

void
h_suggest(struct req *q)
{
	json_t *tree;

	if (limit_is_wrong(q) || (tree = req_tree(q, false)) == NULL)
		return;
	if (q->len > SPEC_MAX_BYTES) {
		json_decref(tree);
		reply_too_long(q, "the job", SPEC_MAX_BYTES);
		return;
	}
	settle_job(q, tree, suggest);
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
		begin(q, spec, r.id);
	else
		reply_err(q, RK_ECORRUPT, &q->why, "job");
	json_decref(tree);
	spec_free(spec);
	store_job_fini(&r);
}
