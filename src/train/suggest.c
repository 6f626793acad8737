/*
 * --suggest: which of many candidates a job would best begin from.
 *
 * The data are read and the network is outlined once, without memory for its
 * values; then each candidate is planned by its list of tensors.  No weights
 * are read, but for the plan of the warm start that the job has already.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "candidate.h"
#include "plan.h"
#include "row_names.h"
#include "start.h"
#include "summary.h"

/* The job's side of all plans. */
struct ours {
	struct run *r;
	struct warm_tensor *model;
	size_t n;
	json_t *names;                  /* what classes borrow from */
	struct warm_names classes, tokens;      /* v is owned */
	char *vocabulary;               /* what tokens borrow from */
	json_t *known;                  /* by what a candidate is (key_of()):
	                                   its suggestion, or null */
};

static void
ours_init(struct ours *o, struct run *r)
{
	*o = (struct ours){ .r = r, .known = json_object() };
	o->model = plan_list(r->nn, &o->n);
	if (r->train == NULL)
		return;
	o->names = input_classes(r);
	const size_t n = json_array_size(o->names);
	const char **v = xcalloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = json_string_value(json_array_get(o->names, i));
	o->classes = (struct warm_names){ v, (int64_t)n };
	o->vocabulary = row_names_vocabulary(r);
	if (o->vocabulary != NULL)
		candidate_lines(o->vocabulary, &o->tokens);
}

static void
ours_fini(struct ours *o)
{
	free((void *)(uintptr_t)o->classes.v);
	free((void *)(uintptr_t)o->tokens.v);
	json_decref(o->names);
	json_decref(o->known);
	free(o->vocabulary);
	free(o->model);
}

/* --- one ------------------------------------------------------------------ */

static const char *
arch_word(const struct spec *s)
{
	return s->model.arch == SPEC_ARCH_LAYERS ? "layers" :
	    spec_arch_words[s->model.arch];
}

/* {train, validation}: digests, or null. */
static json_t *
data_json(const struct ckpt_info *i)
{
	const json_t *sets = json_object_get(i->state, "data");
	const json_t *valid = json_object_get(json_object_get(sets,
	    "validation"), "digest");
	json_t *o = json_object();

	js_put(o, "train", i->data_digest[0] != '\0' ? js_text(
	    i->data_digest) : json_null());
	js_put(o, "validation", json_is_string(valid) ? js_text(
	    json_string_value(valid)) : json_null());
	return o;
}

/* What its checkpoint.json and its job.json say. */
static void
put_job(json_t *o, const struct candidate *c)
{
	const struct ckpt_info *i = &c->info;
	char when[RK_TIME];

	js_put(o, "selector", json_string(c->selector));
	js_put(o, "checkpoint", js_text(i->dir));
	js_put(o, "step", json_integer(i->step));
	js_put(o, "epoch", json_integer(i->epoch));
	js_put(o, "created_at", js_text(rk_time_text(when, i->created_ms)));
	js_put(o, "metrics", i->metrics != NULL ? json_incref(i->metrics) :
	    json_object());
	js_put(o, "data", data_json(i));
	js_put(o, "arch", c->spec != NULL ? js_text(arch_word(c->spec)) :
	    json_null());
}

/* Candidates of one key have one plan: the versions of a model, as a rule. */
static void
key_of(const struct candidate *c, char hex[RK_SHA256_HEX])
{
	char text[TENSOR_SHAPE_TEXT];
	struct strbuf b = {0};

	sb_addf(&b, "%d %s\n", (int)c->framework, c->writer != NULL ?
	    c->writer : "");
	for (size_t i = 0; i < c->n; i++)
		sb_addf(&b, "%s %s %s\n", c->v[i].name, dtype_name(
		    c->v[i].dtype), tensor_shape_text(text, c->v[i].ndim,
		    c->v[i].d));
	for (int64_t i = 0; i < c->classes.n; i++)
		sb_addf(&b, "class %zu %s\n", strlen(c->classes.v[i]),
		    c->classes.v[i]);
	sb_adds(&b, c->vocabulary != NULL ? c->vocabulary : "");
	rk_sha256_of(sb_str(&b), b.len, hex);
	sb_fini(&b);
}

/* A new reference; NULL: it is no candidate. */
static json_t *
plan_anew(const struct ours *o, struct candidate *c)
{
	struct warm_names tokens = {0};

	if (c->vocabulary != NULL)
		candidate_lines(c->vocabulary, &tokens);
	const struct warm_want want = {
		.model = o->model, .nmodel = o->n,
		.file = c->v, .nfile = c->n,
		.framework = c->framework, .writer = c->writer,
		.classes = { c->classes, o->classes },
		.tokens = { tokens, o->tokens },
	};
	json_t *v = warm_suggest(&want);
	free((void *)(uintptr_t)tokens.v);
	return v;
}

static json_t *
plan_one(const struct ours *o, struct candidate *c)
{
	char key[RK_SHA256_HEX];

	key_of(c, key);
	json_t *v = json_object_get(o->known, key);
	if (v == NULL) {
		v = plan_anew(o, c);
		js_put(o->known, key, v != NULL ? v : json_null());
	}
	v = json_is_object(v) ? json_copy(v) : NULL;
	if (v != NULL && c->selector != NULL)
		put_job(v, c);
	return v;
}

#define TIME_MS 30000           /* for all of them */

struct answer {
	json_t *candidates, *unreadable;
	json_int_t little;
	int64_t until_ms;
};

static void
try_one(const struct ours *o, const struct warm_candidate *of,
    struct answer *a)
{
	struct rk_why why = {0};
	struct candidate c = {0};
	json_t *v = NULL;
	bool ok = mono_ms() < a->until_ms;

	if (ok)
		ok = candidate_open(&c, of, &why);
	else
		rk_refuse(&why, "there was no time left to look at it");
	if (!ok) {
		v = json_pack("{s:o, s:o}", "id", js_text(of->id), "why",
		    js_text(rk_why_first(&why)));
		must(json_array_append_new(a->unreadable, v) == 0);
	} else if ((v = plan_one(o, &c)) != NULL) {
		js_put(v, "id", js_text(of->id));
		must(json_array_append_new(a->candidates, v) == 0);
	} else {
		a->little++;
	}
	candidate_close(&c);
	rk_why_fini(&why);
}

/* --- the job's own -------------------------------------------------------- */

/* The warm start that the job has already: null without one. */
static json_t *
own_json(struct run *r)
{
	static const char *const keys[] = { "summary", "accepted",
		"parameters_loaded", "parameters_total", "tensors_loaded",
		"tensors_total" };
	char *text = NULL;

	if (r->spec->model.checkpoint == NULL)
		return json_null();
	json_t *o = json_pack("{s:o}", "source", js_text(warm_source(r)));
	json_t *plan = r->train != NULL && warm_at_hand(r) ?
	    warm_plan(r, &text) : NULL;
	must(o != NULL);
	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(plan, keys[i]);
		if (v != NULL)
			js_put(o, keys[i], json_incref(v));
	}
	if (plan == NULL)
		js_put(o, "error", js_text(r->fail.message != NULL ?
		    r->fail.message : r->train == NULL ? "the job's data are "
		    "not on this machine" : "it is not on this machine"));
	json_decref(plan);
	free(text);
	return o;
}

/* --- all ------------------------------------------------------------------ */

static json_t *
digest_json(const struct data_set *d)
{
	char hex[RK_SHA256_HEX];

	if (d == NULL)
		return json_null();
	data_digest(d, hex);
	return json_string(hex);
}

static json_t *
answer_json(struct run *r, const struct warm_candidates *in)
{
	struct answer a = { json_array(), json_array(), 0, mono_ms() +
		TIME_MS };
	struct ours o;

	ours_init(&o, r);
	for (size_t i = 0; i < in->n; i++)
		try_one(&o, &in->v[i], &a);
	json_t *v = json_pack("{s:o, s:o, s:{s:o, s:o}, s:o, s:o, s:I}",
	    "name", js_text(r->spec->name), "arch", js_text(arch_word(
	    r->spec)), "data", "train", digest_json(r->train), "validation",
	    digest_json(r->valid), "candidates", a.candidates, "unreadable",
	    a.unreadable, "little", a.little);
	must(v != NULL);
	js_put(v, "metric", js_text(r->spec->checkpoint.metric));
	js_put(v, "larger_is_better", json_boolean(
	    r->spec->checkpoint.mode_max));
	js_put(v, "own", own_json(r));
	ours_fini(&o);
	return v;
}

static bool
read_candidates(struct run *r, struct warm_candidates *out)
{
	const char *path = r->o->suggest;
	struct rk_why why = {0};
	char *text = NULL;
	size_t len;
	enum rk_err rc = rk_read_file(AT_FDCWD, path, RKJ_MAX_BYTES, &text,
	    &len);

	*out = (struct warm_candidates){0};
	if (rc != RK_OK)
		rk_refuse(&why, "cannot be read: %s", rk_strerror(rc));
	else
		rc = warm_candidates_parse(text, len, out, &why);
	if (rc != RK_OK)
		run_fail(r, "bad_spec", true, "--suggest %s: %s", path,
		    rk_why_first(&why));
	free(text);
	rk_why_fini(&why);
	return rc == RK_OK;
}

bool
suggest_print(struct run *r)
{
	struct warm_candidates in;
	struct run_memory m;

	if (!read_candidates(r, &in))
		return false;
	exact_settle(r, NULL);
	const bool ok = summary_open(r, &m);
	if (ok) {
		json_t *v = answer_json(r, &in);
		char *text = rkj_pretty(v);
		puts(text);
		free(text);
		json_decref(v);
	}
	warm_candidates_fini(&in);
	return ok;
}
