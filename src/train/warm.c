/* The warm start: another model's weights into this run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "start.h"

#define PLAN_FILE "plan.json"

bool
warm_wanted(const struct run *r)
{
	return r->o->evaluate != NULL || r->o->model != NULL ||
	    r->spec->model.checkpoint != NULL;
}

const char *
warm_source(const struct run *r)
{
	if (r->o->evaluate != NULL)
		return r->o->evaluate;
	return r->spec->model.checkpoint != NULL ? r->spec->model.checkpoint :
	    r->o->model;
}

/* The file's path, the caller's to free; NULL after run_fail(). */
static char *
model_path(struct run *r)
{
	const char *uri = r->spec->model.checkpoint;
	const char *at = r->o->model;
	struct rk_why why = {0};
	struct rk_uri u;
	char *path = NULL;

	if (at == NULL)
		at = place_of(r, uri);
	if (at != NULL)
		return xstrdup(at);
	if (rk_uri_parse(&u, uri, &why) != RK_OK) {
		run_fail(r, "bad_spec", true, "model.checkpoint: %s",
		    rk_why_first(&why));
		rk_why_fini(&why);
		return NULL;
	}
	if (u.kind == RK_URI_FILE)
		path = xstrdup(u.path);
	else
		place_missing(r, "model.checkpoint", uri);
	rk_uri_fini(&u);
	return path;
}

bool
warm_open_path(struct run *r, const char *path, const char *deed)
{
	struct rk_why why = {0};
	enum rk_err rc = format_load(path, &r->warm, &why);

	if (rc == RK_OK) {
		held_out_of_model(&r->warm_model, r->warm, path);
	} else if (rc == RK_EINVAL || rc == RK_ENOENT || rc == RK_ECORRUPT ||
	    rc == RK_EROFS) {
		char *reason = access(path, R_OK) != 0 ?
		    rk_why_unreadable(path, errno) : NULL;
		char *text = xasprintf("%s: %s", path, reason != NULL ? reason :
		    why.n > 0 ? rk_why_first(&why) : rk_strerror(rc));
		char *named = place_named(r, text);
		free(reason);
		run_fail(r, "warm_start", true, "%s %s", deed, named);
		free(text);
		free(named);
	} else {
		run_fail_rc(r, rc, "cannot read the model");
	}
	rk_why_fini(&why);
	return rc == RK_OK;
}

bool
warm_open(struct run *r)
{
	char *path = r->warm == NULL ? model_path(r) : NULL;
	bool ok = r->warm != NULL || (path != NULL &&
	    warm_open_path(r, path, "model.checkpoint: cannot start "
	    "from"));

	free(path);
	return ok;
}

/* A warm start's plan with what it means for the validation. */
static json_t *
whole_plan(const struct run *r, const struct plan *p)
{
	json_t *tree = plan_json(p, warm_source(r));
	char *sentence = held_out_sentence(r);

	if (sentence != NULL) {
		json_t *v = held_out_json(&r->held);
		js_put(v, "summary", js_text(sentence));
		js_put(tree, "validation", v);
	}
	free(sentence);
	return tree;
}

static bool
keep_plan(struct run *r, const struct plan *p)
{
	json_t *tree = whole_plan(r, p);
	char *text = rkj_pretty(tree);
	enum rk_err rc = rk_replace_file(r->dir_fd, PLAN_FILE, text,
	    strlen(text));

	free(text);
	report_plan(&r->rep, plan_summary(p), tree);
	return rc == RK_OK || run_fail_rc(r, rc, "cannot keep the plan");
}

static bool
refuse(struct run *r, struct rk_why *why)
{
	char *text = rk_why_text(why);

	bool strict = r->spec->model.strict;
	run_fail(r, "warm_start", true, "%s of %s: %s%s", strict ?
	    "a strict warm start refuses the file" : "nothing can be taken out",
	    warm_source(r), text, strict ? "; model.strict: false takes what "
	    "fits" : "");
	free(text);
	return false;
}

bool
warm_start(struct run *r)
{
	const struct spec_training *t = &r->spec->training;
	struct rk_why why = {0};
	struct plan *p = NULL;
	bool ok = false;

	if (!warm_open(r))
		return false;
	held_out_count(r);
	if (plan_new(&p, r->nn, r->warm, r->spec->model.strict, &why) !=
	    RK_OK) {
		refuse(r, &why);
	} else if (plan_apply(p, r->nn, t->seed) != RK_OK) {
		run_fail(r, "internal", true, "a tensor that the plan "
		    "converts could not be converted");
	} else {
		ok = keep_plan(r, p);
		if (ok && r->at.rate_scale != 1)
			report_event(&r->rep, "warm_start", "warm start: the "
			    "learning rate is scaled by %g, from %g to %g",
			    r->at.rate_scale, t->optim.learning_rate,
			    t->optim.learning_rate * r->at.rate_scale);
		if (ok)
			held_out_tell(r);
	}
	plan_free(p);
	tensor_set_free(r->warm);
	r->warm = NULL;
	rk_why_fini(&why);
	return ok;
}

json_t *
warm_plan(struct run *r)
{
	struct rk_why why = {0};
	struct plan *p = NULL;
	json_t *tree = NULL;

	if (!warm_open(r))
		return NULL;
	data_digest(r->train, r->data_digest);
	held_out_count(r);
	json_t *refused = json_array();
	if (plan_new(&p, r->nn, r->warm, r->spec->model.strict, &why) !=
	    RK_OK) {
		for (size_t i = 0; i < why.n; i++) {
			char *s = xasprintf("%s%s%s", why.v[i].path,
			    why.v[i].path[0] != '\0' ? ": " : "",
			    why.v[i].message);
			must(json_array_append_new(refused, js_text(s)) == 0);
			free(s);
		}
		rk_why_fini(&why);
	}
	/* What a plan that is refused would have been, as far as there is
	 * one. */
	if (p == NULL && plan_new(&p, r->nn, r->warm, false, &why) != RK_OK)
		tree = json_pack("{s:s}", "source", warm_source(r));
	else
		tree = whole_plan(r, p);
	js_put(tree, "accepted", json_boolean(json_array_size(refused) == 0));
	js_put(tree, "strict", json_boolean(r->spec->model.strict));
	js_put(tree, "refused", refused);
	plan_free(p);
	rk_why_fini(&why);
	return tree;
}
