/* The warm start: another model's weights into this run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "carry.h"
#include "distill.h"
#include "knowledge.h"
#include "plan.h"
#include "row_names.h"
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

/* The path of what an address names, with what of it is meant; NULL after
 * run_fail(). */
static char *
local_path(struct run *r, const char *uri, const struct rk_part *p)
{
	struct rk_why why = {0};
	struct rk_uri u;
	char *path = NULL;

	if (rk_uri_parse(&u, p->bare, &why) != RK_OK) {
		run_fail(r, "bad_spec", true, "model.checkpoint: %s",
		    rk_why_first(&why));
		rk_why_fini(&why);
		return NULL;
	}
	if (u.kind == RK_URI_FILE)
		path = xasprintf("%s%s", u.path, rk_part_of(uri));
	else
		place_missing(r, "model.checkpoint", uri);
	rk_uri_fini(&u);
	return path;
}

char *
warm_model_path(struct run *r)
{
	const char *uri = r->spec->model.checkpoint, *at;
	struct rk_part p;

	if (r->o->model != NULL)
		return xstrdup(r->o->model);
	must(rk_part_parse(&p, uri, NULL) == RK_OK);    /* spec did */
	at = place_of(r, uri);
	/* Who fetched a file has held it against its digest, and has not looked
	 * into an archive. */
	char *path = at == NULL ? local_path(r, uri, &p) :
	    xasprintf("%s%s", at, p.member != NULL ? rk_part_of(uri) : "");
	rk_part_fini(&p);
	return path;
}

/* The bytes of the file, without what of them is meant. */
static char *
bare_path(const char *path)
{
	return xstrndup(path, (size_t)(rk_part_of(path) - path));
}

bool
warm_at_hand(const struct run *r)
{
	const char *uri = r->spec->model.checkpoint;
	struct rk_uri u = {0};
	bool is = r->o->model != NULL;

	if (is || uri == NULL)
		return is;
	if (place_of(r, uri) != NULL)
		return true;
	char *bare = bare_path(uri);
	if (rk_uri_parse(&u, bare, NULL) == RK_OK && u.kind == RK_URI_FILE)
		is = access(u.path, R_OK) == 0;
	rk_uri_fini(&u);
	free(bare);
	return is;
}

/* Why a file is not read; always false. */
static bool
cannot_open(struct run *r, const char *path, const char *deed, enum rk_err rc,
    const struct rk_why *why)
{
	const bool world = rc == RK_ENOMEM || rc == RK_EIO || rc == RK_ENOSPC;
	char *reason = access(path, R_OK) != 0 ? rk_why_unreadable(path,
	    errno) : NULL;
	char *text = xasprintf("%s: %s", path, reason != NULL ? reason :
	    why->n > 0 ? rk_why_first(why) : rk_strerror(rc));
	char *named = place_named(r, text);

	run_fail(r, !world ? "warm_start" : rc == RK_ENOMEM ? "no_memory" :
	    rc == RK_ENOSPC ? "disk_full" : "io", !world, "%s %s", deed, named);
	free(reason);
	free(text);
	free(named);
	return false;
}

bool
warm_open_path(struct run *r, const char *given, const char *deed)
{
	char *index = warm_file_index(given);
	const char *path = index != NULL ? index : given;
	struct rk_why why = {0};
	const bool average = r->o->evaluate == NULL &&
	    r->spec->training.warm_start.ema;
	char *bare = bare_path(path);
	const bool ours = strcmp(bare, path) == 0 && held_out_is_ours(bare);
	enum rk_err rc = warm_file_open(path, ours, average, &r->warm, &why);

	if (rc == RK_OK) {
		held_out_of_model(&r->warm_model, r->warm->set != NULL ?
		    r->warm->set->meta : r->warm->weights->meta, bare);
		free(r->warm_path);
		r->warm_path = xstrdup(path);
	} else {
		cannot_open(r, bare, deed, rc, &why);
	}
	rk_why_fini(&why);
	free(bare);
	free(index);
	return rc == RK_OK;
}

/* A file that one of our jobs wrote: another job's checkpoint, what lies in a
 * checkpoint's folder, or what says so itself. */
static bool
is_ours(const struct run *r)
{
	const char *source = warm_source(r);

	if (strncmp(source, "job://", 6) == 0 || r->warm_model.beside)
		return true;
	return warm_file_meta(r->warm, HELD_OUT_META) != NULL ||
	    warm_file_meta(r->warm, CLASSES_META) != NULL;
}

bool
warm_open(struct run *r)
{
	char *path = r->warm == NULL ? warm_model_path(r) : NULL;
	bool ok = r->warm != NULL || (path != NULL &&
	    warm_open_path(r, path, "model.checkpoint: cannot start "
	    "from") && row_names_classes(r));

	if (ok && is_ours(r))
		warm_file_is_ours(r->warm);
	free(path);
	return ok;
}

static enum rk_err
make_plan(struct run *r, const struct row_names *names, struct plan **pp,
    struct rk_why *why)
{
	const struct plan_how how = { .model = &r->spec->model,
		.classes = &names->classes, .tokens = &names->tokens,
		.told = &names->told };

	return plan_new(pp, r->nn, r->warm, &how, why);
}

/* --- what is said of it --------------------------------------------------- */

static json_t *
rate_json(const struct run *r)
{
	const struct spec_training *t = &r->spec->training;

	return json_pack("{s:f, s:f, s:f}", "scale", t->warm_start_lr_scale,
	    "from", t->optim.learning_rate, "to", t->optim.learning_rate *
	    t->warm_start_lr_scale);
}

/* A warm start's plan with what it means for the rate and the validation. */
static json_t *
whole_plan(const struct run *r, const struct plan *p)
{
	json_t *tree = warm_plan_json(p->is, warm_source(r));
	char *sentence = held_out_sentence(r);

	js_put(tree, "learning_rate", rate_json(r));
	knowledge_plan(r, p, tree);
	if (sentence != NULL) {
		json_t *v = held_out_json(&r->held);
		js_put(v, "summary", js_text(sentence));
		js_put(tree, "validation", v);
	}
	free(sentence);
	return tree;
}

/* What is carried, in the plan, with its sentence. */
static void
put_carried(json_t *plan, json_t *carried)
{
	if (carried == NULL)
		return;
	const int64_t n = json_integer_value(json_object_get(carried,
	    "tensors"));
	char *s = xasprintf("the optimizer's state of %lld tensor%s is taken "
	    "along, after %lld updates", (long long)n, rk_s(n), (long long)
	    json_integer_value(json_object_get(carried, "updates")));

	js_put(carried, "summary", js_text(s));
	js_put(plan, "optimizer", json_incref(carried));
	free(s);
}

static bool
keep_plan(struct run *r, const struct plan *p, json_t *carried)
{
	json_t *tree = whole_plan(r, p);

	put_carried(tree, carried);
	char *text = rkj_pretty(tree);
	enum rk_err rc = rk_replace_file(r->dir_fd, PLAN_FILE, text,
	    strlen(text));

	free(text);
	report_plan(&r->rep, p->is->summary, tree);
	return rc == RK_OK || run_fail_rc(r, rc, "cannot keep the plan");
}

static void
tell(struct run *r, const struct plan *p, const json_t *carried)
{
	const struct spec_training *t = &r->spec->training;
	json_t *note;
	size_t i;

	json_array_foreach(p->is->notes, i, note)
		report_event(&r->rep, "warm_start", "warm start: %s",
		    json_string_value(note));
	if (carried != NULL)
		report_event(&r->rep, "warm_start", "warm start: %s",
		    json_string_value(json_object_get(carried, "summary")));
	json_array_foreach(json_object_get(carried, "notes"), i, note)
		report_event(&r->rep, "warm_start", "warm start: %s",
		    json_string_value(note));
	if (r->at.rate_scale != 1)
		report_event(&r->rep, "warm_start", "warm start: the learning "
		    "rate is scaled by %g, from %g to %g", r->at.rate_scale,
		    t->optim.learning_rate, t->optim.learning_rate *
		    r->at.rate_scale);
	held_out_tell(r);
}

static bool
refuse(struct run *r, struct rk_why *why)
{
	const struct spec_model *m = &r->spec->model;
	const bool loose = spec_warm_is_loose(&m->warm, m->strict);
	char *text = rk_why_text(why);

	run_fail(r, "warm_start", true, "%s of %s: %s%s", loose ?
	    "the warm start is refused" : "a strict warm start refuses the "
	    "file", warm_source(r), text, loose ? "" : "; model.strict: false "
	    "takes what fits");
	free(text);
	return false;
}

/* The plan that was shown is the one that is done. */
static bool
is_as_shown(struct run *r, const struct plan *p)
{
	const char *shown = r->spec->training.warm_start.plan;
	char *changed = shown != NULL ? warm_plan_changed(p->is, shown) : NULL;

	if (changed == NULL)
		return true;
	run_fail(r, "warm_start", true, "training.warm_start.plan: %s",
	    changed);
	free(changed);
	return false;
}

/* --- doing it ------------------------------------------------------------- */

static bool
carry_out(struct run *r, const struct plan *p)
{
	struct rk_why why = {0};
	json_t *carried = NULL;
	bool ok = true;

	if (plan_apply(p, r->nn, r->spec->training.seed, &why) != RK_OK)
		ok = run_fail(r, "warm_start", true, "model.checkpoint: cannot "
		    "read %s: %s", warm_source(r), rk_why_first(&why));
	if (p->is->others_running)
		r->at.running = p->is->biased ? NN_RUNNING_BIASED :
		    NN_RUNNING_UNBIASED;
	nn_set_running(r->nn, r->at.running);
	ok = ok && carry_over(r, p, r->warm_path, &carried) &&
	    keep_plan(r, p, carried);
	if (ok) {
		tell(r, p, carried);
		knowledge_begin(r, p);
	}
	json_decref(carried);
	rk_why_fini(&why);
	return ok;
}

bool
warm_start(struct run *r)
{
	struct row_names names = {0};
	struct rk_why why = {0};
	struct plan *p = NULL;

	if (!warm_open(r))
		return false;
	held_out_count(r);
	const bool ok = row_names_open(r, &names) && (make_plan(r, &names, &p,
	    &why) == RK_OK ? is_as_shown(r, p) && carry_out(r, p) :
	    refuse(r, &why));
	plan_free(p);
	row_names_close(&names);
	if (!distill_wanted(r)) {       /* else it is read once more */
		warm_file_free(r->warm);
		r->warm = NULL;
	}
	rk_why_fini(&why);
	return ok;
}

/* --- showing it ----------------------------------------------------------- */

static json_t *
faults_json(const struct rk_why *why)
{
	json_t *v = json_array();

	for (size_t i = 0; i < why->n; i++) {
		char *s = xasprintf("%s%s%s", why->v[i].path,
		    why->v[i].path[0] != '\0' ? ": " : "",
		    why->v[i].message);
		must(json_array_append_new(v, js_text(s)) == 0);
		free(s);
	}
	return v;
}

/* "known    4 classes that the source knows, too: a, b, c, d" */
static void
add_line(struct strbuf *b, const char *word, const json_t *of)
{
	const char *summary = json_string_value(json_object_get(of,
	    "summary"));

	if (summary != NULL)
		sb_addf(b, "%-8s %s\n", word, summary);
}

/* The same for people: the sentence, what was thought of the names, a line a
 * tensor, and what is refused. */
static char *
plan_text(const struct plan *p, const json_t *tree, const json_t *refused)
{
	const struct warm_plan *w = p->is;
	struct strbuf b = {0};
	json_t *line;
	size_t i;

	sb_addf(&b, "%s\nsource   %s\ndialect  %s, by %zu of %zu tensors",
	    w->summary, json_string_value(json_object_get(tree, "source")),
	    spec_dialect_words[w->dialect], w->fits, w->nmodel);
	if (w->next != SPEC_DIALECT_UNSAID)
		sb_addf(&b, "; next %s, by %zu", spec_dialect_words[w->next],
		    w->next_fits);
	sb_addf(&b, "\nplan     %s\n", w->digest);
	json_array_foreach(w->notes, i, line)
		sb_addf(&b, "note     %s\n", json_string_value(line));
	add_line(&b, "known", json_object_get(tree, "knowledge"));
	add_line(&b, "distill", json_object_get(tree, "distill"));
	add_line(&b, "split", json_object_get(tree, "validation"));
	const json_t *carried = json_object_get(tree, "optimizer");
	if (carried != NULL)
		sb_addf(&b, "state    %s\n", json_string_value(
		    json_object_get(carried, "summary")));
	json_array_foreach(json_object_get(carried, "notes"), i, line)
		sb_addf(&b, "state    %s\n", json_string_value(line));
	warm_plan_table(w, &b);
	json_array_foreach(refused, i, line)
		sb_addf(&b, "refused  %s\n", json_string_value(line));
	return sb_detach(&b);
}

/* What would be taken along beside weights; false: what cannot be had. */
static bool
foretell(struct run *r, const struct plan *p, json_t *tree, json_t *refused)
{
	json_t *carried = NULL;
	const bool ok = carry_foretell(r, p, r->warm_path, &carried);

	put_carried(tree, carried);
	json_decref(carried);
	if (!ok)
		js_note(refused, "%s", r->fail.message);
	return ok;
}

json_t *
warm_plan(struct run *r, char **text)
{
	struct row_names names = {0};
	struct rk_why why = {0};
	struct plan *p = NULL;
	json_t *tree;

	*text = NULL;
	if (!warm_open(r) || !row_names_open(r, &names)) {
		row_names_close(&names);
		return NULL;
	}
	data_digest(r->train, r->data_digest);
	held_out_count(r);
	bool ok = make_plan(r, &names, &p, &why) == RK_OK;
	json_t *taught = distill_wanted(r) ? distill_plan(r, &why) : NULL;
	ok = ok && (taught != NULL || !distill_wanted(r));
	json_t *refused = faults_json(&why);
	tree = p != NULL ? whole_plan(r, p) : json_pack("{s:s}", "source",
	    warm_source(r));
	if (ok)
		ok = foretell(r, p, tree, refused);
	const char *shown = r->spec->training.warm_start.plan;
	char *changed = p != NULL && shown != NULL ?
	    warm_plan_changed(p->is, shown) : NULL;
	if (changed != NULL)
		js_put(tree, "changed", js_text(changed));
	free(changed);
	if (taught != NULL)
		js_put(tree, "distill", taught);
	js_put(tree, "accepted", json_boolean(ok));
	js_put(tree, "strict", json_boolean(r->spec->model.strict));
	*text = p != NULL ? plan_text(p, tree, refused) : rk_why_text(&why);
	js_put(tree, "refused", refused);
	plan_free(p);
	row_names_close(&names);
	rk_why_fini(&why);
	return tree;
}
