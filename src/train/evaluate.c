/* --evaluate: a model file or a checkpoint, scored on the job's data. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "draw.h"
#include "epoch.h"
#include "judging.h"
#include "model_file.h"
#include "start.h"
#include "summary.h"

struct evaluation {
	struct model_file model;
	struct format_npy_out npy;
	char npy_sha256[RK_SHA256_HEX];
	struct score score;
};

/* --- the score ------------------------------------------------------------ */

static const struct data_set *
set_of(const struct run *r)
{
	return r->valid != NULL ? r->valid : r->train;
}

static bool
logits_failed(struct run *r, enum rk_err rc)
{
	char *deed = xasprintf("cannot write %s", r->o->logits);

	run_fail_rc(r, rc, deed);
	free(deed);
	return false;
}

/* Before the work, not behind it. */
static bool
check_logits(struct run *r)
{
	struct stat st;

	if (r->o->logits == NULL || stat(r->o->logits, &st) != 0 ||
	    !S_ISDIR(st.st_mode))
		return true;
	return run_fail(r, "io", false, "cannot write %s: it is a folder, want "
	    "the name of a file", r->o->logits);
}

/* Of rows that were scored: to their places, which with buckets are
 * anywhere. */
static void
keep_logits(const struct run *r, float *all, int64_t rows)
{
	const int64_t n = nn_outputs(r->nn);

	for (int64_t i = 0; i < rows; i++)
		memcpy(all + r->which[i] * n, nn_output(r->nn) + i * n,
		    (size_t)n * sizeof(*all));
}

static bool
score_all(struct run *r, struct evaluation *e, float *all, struct tally *t)
{
	const struct data_set *d = set_of(r);
	enum rk_err rc = RK_OK;

	for (int64_t at = 0; rc == RK_OK && at < d->n;) {
		const int64_t rows = score_batch(r, d, at, t);
		if (rows == 0 && r->fail.reason != NULL)
			return false;
		if (all != NULL)
			keep_logits(r, all, rows);
		else if (r->o->logits != NULL)
			rc = format_npy_add(&e->npy, nn_output(r->nn), rows);
		if (signals_came())
			return run_fail(r, "io", false, "was told to end "
			    "before all samples were scored");
		at += rows;
	}
	return rc == RK_OK || logits_failed(r, rc);
}

static bool
score(struct run *r, struct evaluation *e)
{
	const struct data_set *d = set_of(r);
	float *all = r->o->logits == NULL || d->nlengths == 0 ? NULL :
	    xcalloc((size_t)d->n, (size_t)nn_outputs(r->nn) * sizeof(*all));
	struct tally t = {0};
	enum rk_err rc = RK_OK;

	judge_reset(r->judge);
	if (r->o->logits != NULL)
		rc = format_npy_begin(&e->npy, r->o->logits, d->n,
		    nn_outputs(r->nn));
	bool ok = rc == RK_OK ? score_all(r, e, all, &t) :
	    logits_failed(r, rc);
	if (ok && all != NULL)
		rc = format_npy_add(&e->npy, all, d->n);
	if (ok && rc == RK_OK && r->o->logits != NULL)
		rc = format_npy_end(&e->npy, e->npy_sha256);
	if (ok && rc != RK_OK)
		ok = logits_failed(r, rc);
	free(all);
	e->score = run_score(r, &t);
	return ok;
}

/* --- what is said --------------------------------------------------------- */

static json_t *
data_json(const struct run *r)
{
	const struct data_set *d = set_of(r);
	char hex[RK_SHA256_HEX];

	data_digest(d, hex);
	json_t *o = json_pack("{s:s, s:I, s:o, s:I, s:s}", "of",
	    d == r->valid ? "validation" : "train", "samples",
	    (json_int_t)d->n, "shape", shape_json(d->ndim, d->d), "classes",
	    (json_int_t)d->nclasses, "digest", hex);
	char *sentence = held_out_sentence(r);
	if (sentence != NULL)
		js_put(o, "summary", js_text(sentence));
	if (sentence != NULL && r->held.how.rule != DATA_SPLIT_NONE)
		js_put(o, "split", held_out_json(&r->held));
	free(sentence);
	return o;
}

/* Of --json all that was counted, by class, too. */
static void
put_judged(json_t *o, const struct run *r, const json_t *names)
{
	json_t *all = judge_report(r->judge, names);

	if (r->o->json)
		must(json_object_update_missing(o, all) == 0);
	else
		js_put(o, "metrics", json_incref(json_object_get(all,
		    "metrics")));
	json_decref(all);
}

static void
say(const struct run *r, const struct evaluation *e, const json_t *names)
{
	json_t *o = json_pack("{s:s, s:o, s:o, s:I, s:o, s:I, s:I, s:o}",
	    "name", r->spec->name, "model", model_file_json(r, &e->model),
	    "data", data_json(r), "samples", (json_int_t)set_of(r)->n,
	    "loss", js_number(e->score.loss),
	    "outputs", (json_int_t)nn_outputs(r->nn),
	    "batch_size", (json_int_t)r->batch,
	    "arithmetic", exact_arithmetic(r));

	must(o != NULL);
	if (e->score.has_accuracy)
		js_put(o, "accuracy", js_number(e->score.accuracy));
	if (r->o->logits != NULL)
		js_put(o, "logits", json_pack("{s:o, s:s}", "file",
		    js_text(r->o->logits), "sha256", e->npy_sha256));
	put_judged(o, r, names);
	char *text = rkj_pretty(o);
	puts(text);
	free(text);
	json_decref(o);
}

bool
evaluate_print(struct run *r)
{
	struct evaluation e = { .npy = { .fd = -1 }, .model = {
		.file = r->o->evaluate, .deed = "cannot evaluate" } };
	struct run_memory m;

	bool ok = check_logits(r) && model_file_open(r, &e.model);
	if (ok)
		exact_settle(r, e.model.is_checkpoint ? &e.model.info : NULL);
	ok = ok && run_open_data(r, NULL) &&
	    model_file_normalize(r, &e.model);
	if (ok) {
		remarks_print(r->train, "data.train: ");
		remarks_print(r->valid, "data.validation: ");
	}
	ok = ok && run_measure(r, &m) && run_build(r, &m) &&
	    model_file_load(r, &e.model);
	json_t *names = ok ? model_file_names(r, &e.model) : NULL;
	if (ok) {
		data_digest(r->train, r->data_digest);
		held_out_count(r);
		ok = score(r, &e) && (r->o->plot == NULL ||
		    draw_evaluation(r, r->judge, names));
	}
	if (ok) {
		const struct judge_rows n = judge_rows(r->judge);
		say(r, &e, names);
		model_file_warn(&e.model, n.not_finite, n.counted);
	}
	json_decref(names);
	format_npy_drop(&e.npy);
	model_file_fini(&e.model);
	return ok;
}
