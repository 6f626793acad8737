/* The job file, with what the command line puts over it. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/spec_faults.h"
#include "run.h"

static char *
folder_of(const char *path)
{
	char *real = realpath(path, NULL);

	if (real == NULL)
		return xstrdup(".");
	*strrchr(real, '/') = '\0';
	return real;
}

/* `schedule: cosine` as {type: cosine}, so that a field of it can be set. */
static void
spell_out(json_t *tree)
{
	static const char *const typed[] = { "loss", "optimizer", "schedule" };
	json_t *training = json_object_get(tree, "training");

	for (size_t i = 0; i < RK_ARRAY_LEN(typed); i++) {
		json_t *v = json_object_get(training, typed[i]);
		if (json_is_string(v))
			js_put(training, typed[i], json_pack("{s:O}", "type",
			    v));
	}
}

static enum rk_err
set_fields(json_t *tree, const struct train_options *o, struct rk_why *why)
{
	for (int i = 0; i < o->nset; i++) {
		const char *eq = strchr(o->set[i], '=');
		char *path = xstrndup(o->set[i], (size_t)(eq - o->set[i]));
		enum rk_err rc = rkj_set_path(tree, path, rkj_value(eq + 1),
		    why);
		free(path);
		if (rc != RK_OK)
			return rc;
	}
	return RK_OK;
}

/*
 * The source that --data-set says, in place of what validates: a copy of
 * data.train with these fields, or with a type of its own these alone.
 * Relative paths are seen from here, as those of a command are.
 */
static enum rk_err
other_data(json_t *tree, const struct train_options *o, struct rk_why *why)
{
	static const char *const gone[] = { "validation", "validation_split",
		"split_seed", "split" };
	json_t *data = json_object_get(tree, "data"), *said = json_object();
	json_t *here = json_pack("{s:{s:O}}", "data", "validation", said);
	const json_t *train = json_object_get(data, "train");
	char *cwd = realpath(".", NULL);
	enum rk_err rc = RK_OK;

	for (int i = 0; rc == RK_OK && i < o->ndata_set; i++) {
		const char *eq = strchr(o->data_set[i], '=');
		char *key = xstrndup(o->data_set[i], (size_t)(eq -
		    o->data_set[i]));
		rc = rkj_set_path(said, key, rkj_value(eq + 1), why);
		free(key);
	}
	/* The type says which fields are paths. */
	const bool copy = json_object_get(said, "type") == NULL &&
	    json_is_object(train);
	if (copy && json_object_get(train, "type") != NULL)
		js_put(said, "type", json_incref(json_object_get(train,
		    "type")));
	rkj_job_paths(here, cwd != NULL ? cwd : ".");
	free(cwd);
	if (copy)
		must(json_object_update_missing(said, (json_t *)(uintptr_t)
		    train) == 0);
	for (size_t i = 0; i < RK_ARRAY_LEN(gone); i++)
		json_object_del(data, gone[i]);
	if (json_is_object(data))
		js_put(data, "validation", json_incref(said));
	json_decref(said);
	json_decref(here);
	return rc;
}

/* --model is what model.checkpoint stands for, where fields of the job ask for
 * one. */
static void
put_model(json_t *tree, const struct train_options *o)
{
	static const char *const fields[] = { "grow", "checkpoint_classes",
		"checkpoint_vocabulary" };
	json_t *model = json_object_get(tree, "model");
	bool asks = json_object_get(json_object_get(json_object_get(tree,
	    "training"), "warm_start"), "plan") != NULL;

	if (o->model == NULL || !json_is_object(model) ||
	    json_is_string(json_object_get(model, "checkpoint")))
		return;
	for (size_t i = 0; i < RK_ARRAY_LEN(fields); i++)
		asks |= json_object_get(model, fields[i]) != NULL;
	if (asks) {
		char *path = realpath(o->model, NULL);
		js_put(model, "checkpoint", js_text(path != NULL ? path :
		    o->model));
		free(path);
	}
}

/* As spec_load() reads a job, but with the fields of --set and --data-set in it
 * before any is judged. */
static enum rk_err
load_with_sets(const struct train_options *o, struct spec **sp,
    struct rk_why *why)
{
	const char *dot = strrchr(o->job, '.');
	struct rk_why own = {0};
	json_t *tree = NULL;
	char *text = NULL;
	size_t len;

	enum rk_err rc = spec_read_text(o->job, &text, &len, why);
	if (rc != RK_OK)
		return rc;
	if (dot != NULL && strcmp(dot, ".json") == 0)
		rc = rkj_parse_json(text, len, &tree, &own);
	else
		rc = rkj_parse_yaml(text, len, &tree, &own);
	free(text);
	if (spec_faults_of(o->job, &own, rc, why) != RK_OK)
		return rc;
	char *dir = folder_of(o->job);
	rkj_job_paths(tree, dir);
	free(dir);
	spell_out(tree);
	rc = set_fields(tree, o, why);
	put_model(tree, o);
	if (rc == RK_OK && o->ndata_set > 0)
		rc = other_data(tree, o, why);
	if (rc == RK_OK)
		rc = spec_faults_of(o->job, &own, spec_parse(tree, sp, &own),
		    why);
	json_decref(tree);
	return rc;
}

/* A shell makes several names of one with a *. */
static bool
check_job(struct run *r)
{
	char *name = xasprintf("%s/checkpoint.json", r->o->job);
	const bool second = r->o->evaluate != NULL && access(name, F_OK) == 0;

	free(name);
	return !second || run_fail(r, "bad_spec", true, "%s is a second "
	    "checkpoint, and %s takes one: want the job's file behind it",
	    r->o->job, r->o->predict != NULL ? "--predict" : "--evaluate");
}

bool
run_load_spec(struct run *r)
{
	struct rk_why why = {0};
	enum rk_err rc;

	if (!check_job(r))
		return false;

	if (r->o->nset + r->o->ndata_set > 0 || (r->o->model != NULL &&
	    !r->o->wire))
		rc = load_with_sets(r->o, &r->spec, &why);
	else if (r->o->wire || ((r->o->check || r->o->export != NULL ||
	    r->o->suggest != NULL) && r->o->job_id != NULL))
		rc = spec_load_normal(r->o->job, &r->spec, &why);
	else
		rc = spec_load(r->o->job, &r->spec, &why);
	if (rc != RK_OK) {
		char *text = rk_why_text(&why);
		run_fail(r, "bad_spec", true, "%s", text);
		free(text);
	} else {
		spec_digest(r->spec, r->spec_digest);
		r->spec_record = spec_record(r->spec);
	}
	rk_why_fini(&why);
	return rc == RK_OK && place_check(r);
}
