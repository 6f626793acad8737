/*
 * What a job would best begin from: a check (check.c) whose trainer plans many
 * candidates (rekindle-train --suggest) in place of one start.
 *
 * Candidates are what the caller has, and the jobs of this daemon that have had
 * a checkpoint, whose folders the trainer looks into.  Lists of tensors that lie
 * elsewhere are fetched first, for FETCH_MS at most; those that did not come are
 * told, and the others looked at without them.  So it is with the warm start
 * that the job has already: after OWN_MS, or where it cannot be had, the
 * question is put without it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define OWN_MS    20000
#define FETCH_MS  15000
#define JOBS_READ 2000          /* rows, newest first */
#define JOBS_MOST 300           /* candidates of these */

/* --- candidates ----------------------------------------------------------- */

struct jobs {
	struct sup *s;
	const char *but;
	json_t *list;
	int64_t read, more;             /* more: had a checkpoint, and are left
	                                   out */
	size_t n;
};

static bool
add_job(void *ctx, const struct job_row *r)
{
	struct jobs *j = ctx;

	j->read++;
	if (r->known_dir[0] == '\0' || (j->but != NULL &&
	    strcmp(r->id, j->but) == 0))
		return true;
	if (j->n == JOBS_MOST) {
		j->more++;
		return true;
	}
	j->n++;
	char *id = xasprintf("job://%s", r->id);
	char *at = xasprintf("%s/%s/checkpoints", j->s->jobs_dir, r->id);
	json_t *v = json_pack("{s:s, s:s}", "id", id, "checkpoints", at);
	must(v != NULL && json_array_append_new(j->list, v) == 0);
	free(id);
	free(at);
	return true;
}

/* Those of this daemon; of *left it cannot be said whether they would do. */
static enum rk_err
add_jobs(struct sup *s, const char *but, json_t *list, int64_t *left)
{
	struct jobs j = { .s = s, .but = but, .list = list };
	int64_t counts[JOB_STATES] = { 0 }, all = 0;
	enum rk_err rc = store_jobs(s->store, NULL, NULL, JOBS_READ, add_job,
	    &j);

	if (rc == RK_OK)
		rc = store_counts(s->store, counts);
	for (int k = 0; k < JOB_STATES; k++)
		all += counts[k];
	*left = j.more + RK_MAX(all - j.read, 0);
	return rc;
}

void
suggest_free(struct suggest *g)
{
	if (g == NULL)
		return;
	spec_free(g->cold);
	free(g->cold_text);
	free(g->own_error);
	free(g->own);
	json_decref(g->tree);
	json_decref(g->passed);
	free(g);
}

/* --- without its own warm start ------------------------------------------- */

/* The job as if it began cold. */
static json_t *
cold_tree(const struct spec *spec)
{
	static const char *const model[] = { "checkpoint", "checkpoint_said",
		"dialect", "rename", "missing", "unexpected", "mismatch",
		"minimum", "producer", "grow", "checkpoint_classes",
		"checkpoint_vocabulary" };
	static const char *const training[] = { "warm_start", "distill" };
	json_t *tree = spec_json(spec);

	for (size_t i = 0; i < RK_ARRAY_LEN(model); i++)
		(void)!json_object_del(json_object_get(tree, "model"),
		    model[i]);
	for (size_t i = 0; i < RK_ARRAY_LEN(training); i++)
		(void)!json_object_del(json_object_get(tree, "training"),
		    training[i]);
	return tree;
}

/* From here on the question is about a job that begins cold. */
static void
go_cold(struct check *c, const struct rk_why *why)
{
	struct suggest *g = c->suggest;

	free(g->own_error);
	g->own_error = why->n > 0 ? rk_why_text(why) :
	    xstrdup("it was not fetched in time");
	spec_free(c->spec);
	c->spec = g->cold;
	g->cold = NULL;
	free(c->row.spec);
	c->row.spec = g->cold_text;
	g->cold_text = NULL;
	json_object_clear(c->files);
}

/* --- before the process --------------------------------------------------- */

enum rk_err
suggest_supply(struct check *c, enum rk_err rc, struct rk_why *why)
{
	struct suggest *g = c->suggest;
	const bool late = mono_ms() >= c->since_ms + OWN_MS;
	const char *reason;

	if (rc == RK_OK)
		rc = check_model(c, why);
	if (g->cold == NULL || rc == RK_OK || (rc == RK_EBUSY && !late))
		return rc;
	go_cold(c, why);
	rk_why_fini(why);
	return supply_ask(c->s, &c->row, c->spec, c->files, &reason, why);
}

static void
pass(struct suggest *g, const json_t *candidate, const char *why)
{
	json_t *v = json_pack("{s:O, s:s}", "id", json_object_get(candidate,
	    "id"), "why", why);

	must(v != NULL && json_array_append_new(g->passed, v) == 0);
}

/* The list of one that lies elsewhere: RK_EBUSY, or it is settled. */
static enum rk_err
fetch_one(struct check *c, json_t *candidate, struct rk_why *why)
{
	const struct sup_supplier *up = &c->s->up;
	const char *address = json_string_value(json_object_get(candidate,
	    "address"));
	char *path = NULL;

	if (address == NULL)
		return RK_OK;
	enum rk_err rc = up->fetch != NULL ? up->fetch(up->ctx, c->row.id,
	    address, &path, why) : RK_EINVAL;
	if (rc == RK_OK) {
		json_object_set_new(candidate, "file", json_string(path));
		(void)!json_object_del(candidate, "address");
	}
	free(path);
	return rc;
}

enum rk_err
suggest_fetch(struct check *c)
{
	struct suggest *g = c->suggest;
	json_t *list = json_object_get(g->tree, "candidates");
	const bool late = mono_ms() >= c->since_ms + FETCH_MS;
	bool waits = false;

	for (size_t i = 0; i < json_array_size(list);) {
		json_t *v = json_array_get(list, i);
		struct rk_why why = { 0 };
		const enum rk_err rc = fetch_one(c, v, &why);
		const bool on_its_way = rc == RK_EBUSY && !late;
		waits |= on_its_way;
		if (rc != RK_OK && !on_its_way) {
			pass(g, v, why.n > 0 ? rk_why_first(&why) :
			    rk_strerror(rc));
			json_array_remove(list, i);
		} else {
			i++;
		}
		rk_why_fini(&why);
	}
	return waits ? RK_EBUSY : RK_OK;
}

enum rk_err
suggest_write(struct check *c)
{
	char *path = suggest_path(c), *text = rkj_text(c->suggest->tree);
	const enum rk_err rc = rk_replace_path(path, text, strlen(text),
	    NULL);

	free(text);
	free(path);
	return rc;
}

char *
suggest_path(const struct check *c)
{
	return xasprintf("%s/candidates.json", c->dir);
}

/* --- behind it ------------------------------------------------------------ */

bool
suggest_answers(struct check *c, json_t *said)
{
	const struct suggest *g = c->suggest;
	json_t *unreadable = json_object_get(said, "unreadable");

	if (!json_is_array(json_object_get(said, "candidates")) ||
	    !json_is_array(unreadable))
		return false;
	json_array_extend(unreadable, g->passed);
	json_object_set_new(said, "jobs_left", json_integer(g->jobs_left));
	if (g->own_error != NULL)
		json_object_set_new(said, "own", json_pack("{s:s, s:s}",
		    "source", g->own, "error", g->own_error));
	return true;
}

/* --- asking --------------------------------------------------------------- */

/* The job, and beside it the same without what it begins from; which of them
 * may be submitted.  RK_EINVAL: not even that. */
static enum rk_err
check_both(struct sup *s, const struct spec *spec, struct suggest *g,
    struct rk_why *own, struct rk_why *why)
{
	json_t *cold = cold_tree(spec);

	enum rk_err rc = spec_parse(cold, &g->cold, why);
	if (rc == RK_OK)
		rc = check_job(s, g->cold, NULL, why);
	if (rc == RK_OK) {
		g->cold_text = rkj_text(cold);
		(void)!check_job(s, spec, NULL, own);
	}
	json_decref(cold);
	return rc;
}

static void
fill_in(struct check *c, const struct spec *spec, struct suggest *g,
    const struct rk_why *own)
{
	json_t *tree = spec_json(spec);
	char id[RK_ID];

	memcpy(id, c->row.id, RK_ID);
	submit_row(&c->row, spec, tree);
	memcpy(c->row.id, id, RK_ID);
	must(spec_parse(tree, &c->spec, NULL) == RK_OK);
	json_decref(tree);
	c->suggest = g;
	if (own->n > 0)
		go_cold(c, own);
}

enum rk_err
sup_suggest(struct sup *s, const struct spec *spec, const char *but,
    json_t *candidates, sup_check_fn *fn, void *ctx, struct rk_why *why)
{
	struct suggest *g = xcalloc(1, sizeof(*g));
	struct rk_why own = { 0 };
	struct check *c;

	must_be(s, SUP_TAG);
	g->tree = candidates;
	g->passed = json_array();
	g->own = spec->model.checkpoint != NULL ?
	    xstrdup(spec->model.checkpoint) : NULL;
	enum rk_err rc = check_both(s, spec, g, &own, why);
	if (rc == RK_OK)
		rc = add_jobs(s, but, json_object_get(candidates,
		    "candidates"), &g->jobs_left);
	if (rc == RK_OK)
		rc = check_new(s, fn, ctx, &c, why);
	if (rc == RK_OK) {
		fill_in(c, spec, g, &own);
		g = NULL;
	}
	suggest_free(g);
	rk_why_fini(&own);
	return rc;
}
