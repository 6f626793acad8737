/*
 * The samples of data.validation, scored.
 *
 * What the state has of where the next batch begins:
 *	{place, data, tally, judge, worst}
 * place: in the order of the samples; data: their digest; the others: what was
 * counted so far, of which doubles have all their digits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "feed.h"
#include "use.h"

/* --- the loss of a sample ------------------------------------------------- */

static double
log_sum_exp(const float *z, int64_t n)
{
	double sum = 0, top = -HUGE_VAL;

	for (int64_t i = 0; i < n; i++)
		top = RK_MAX(top, (double)z[i]);
	for (int64_t i = 0; i < n; i++)
		sum += exp((double)z[i] - top);
	return top + log(sum);
}

/* log(1 + exp(-x)) without an overflow. */
static double
log_one_and_exp(double x)
{
	return x > 0 ? log1p(exp(-x)) : log1p(exp(x)) - x;
}

static double
one_output(const struct spec_loss *l, double z, double t)
{
	const double e = fabs(z - t);

	switch (l->type) {
	case SPEC_BINARY_CROSS_ENTROPY:
		return t * log_one_and_exp(z) + (1 - t) * log_one_and_exp(-z);
	case SPEC_MSE:
		return e * e;
	case SPEC_SMOOTH_L1:
		return e < l->beta ? e * e / (2 * l->beta) : e - l->beta / 2;
	case SPEC_L1:
	case SPEC_CROSS_ENTROPY:
		break;
	}
	return e;
}

/* That of the job without label_smoothing and class_weights, in double; row i
 * of the batch.  NaN: there is none. */
static double
sample_loss(const struct use *u, const float *z, int64_t i)
{
	const struct run *r = u->r;
	const struct spec_loss *l = &r->spec->training.loss;
	const int64_t n = nn_outputs(r->nn);
	double sum = 0;

	if (l->type == SPEC_CROSS_ENTROPY)
		return log_sum_exp(z, n) - z[r->classes[i]];
	for (int64_t k = 0; k < n; k++)
		sum += one_output(l, z[k], r->targets[i * n + k]);
	return sum / (double)n;
}

/* --- a line --------------------------------------------------------------- */

/* What a sample that is a file or a line of one is called. */
static void
put_sample(const struct use *u, json_t *o, int64_t sample)
{
	char *name = data_sample_name(u->r->valid, sample);
	char *plain = xasprintf("sample %lld", (long long)sample);

	if (strcmp(name, plain) != 0)
		js_put(o, "sample", js_text(name));
	free(plain);
	free(name);
}

static bool
is_ignored(const struct use *u, int64_t i)
{
	const struct spec_loss *l = &u->r->spec->training.loss;

	return l->ignoring && u->r->classes != NULL &&
	    u->r->classes[i] == l->ignore_index;
}

/* A class that is another; labels of which one is; a number, always. */
static bool
is_wrong(const struct use *u, const json_t *line, const float *z, int64_t i)
{
	const int64_t n = nn_outputs(u->r->nn);
	bool wrong = false;

	if (u->p.lines.says == SAYS_NUMBER)
		return true;
	if (u->p.lines.says != SAYS_LABELS)
		return !json_equal(json_object_get(line, "class"),
		    json_object_get(line, "label"));
	for (int64_t k = 0; k < n; k++)
		wrong |= (z[k] > 0) != (u->r->targets[i * n + k] > 0.5f);
	return wrong;
}

static void
add_worst(struct use *u, const json_t *line)
{
	static const char *const kept[] = { "row", "sample", "label",
		"label_name", "class", "name", "probability", "score",
		"labels", "value", "loss" };
	json_t *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(line, kept[i]);
		if (v != NULL)
			js_put(o, kept[i], json_incref(v));
	}
	use_worst_add(u, o);
}

static void
one_line(struct use *u, int64_t i)
{
	struct run *r = u->r;
	const float *z = nn_output(r->nn) + i * nn_outputs(r->nn);
	const uint8_t *left_out = feed_left_out(r, 0);
	json_t *o = json_pack("{s:s, s:I}", "input", "validation", "row",
	    (json_int_t)r->which[i]);

	put_sample(u, o, r->which[i]);
	if (left_out != NULL && left_out[i]) {
		const char *why = feed_why_left_out(r, i);
		js_put(o, "error", js_text(why != NULL ? why : "cannot be "
		    "read"));
		u->p.failed++;
		use_line(u, o);
		json_decref(o);
		return;
	}
	lines_put_outputs(&u->p.lines, o, z, nn_outputs(r->nn));
	lines_put_label(&u->p.lines, o, r->valid, r->which[i]);
	if (!is_ignored(u, i)) {
		js_put(o, "loss", js_number(sample_loss(u, z, i)));
		if (is_wrong(u, o, z, i))
			add_worst(u, o);
	}
	use_line(u, o);
	json_decref(o);
}

/* --- going on ------------------------------------------------------------- */

static json_t *
tally_json(const struct tally *t)
{
	return json_pack("{s:f, s:f, s:I, s:I, s:I}", "loss", t->loss,
	    "weight", t->weight, "correct", (json_int_t)t->correct, "counted",
	    (json_int_t)t->counted, "samples", (json_int_t)t->samples);
}

/* A loss that is none has no number in JSON, and no state: such a run begins
 * anew, as one of more classes than there are counts of. */
static void
remember(struct use *u)
{
	json_t *judge = judge_state(u->r->judge), *at = NULL;

	if (judge != NULL && isfinite(u->tally.loss))
		at = json_pack("{s:I, s:s, s:o, s:O, s:O}", "place",
		    (json_int_t)u->place, "data", u->data, "tally",
		    tally_json(&u->tally), "judge", judge, "worst",
		    u->worst);
	json_decref(judge);
	json_decref(u->at);
	u->at = at;
}

static bool
read_tally(struct tally *t, const json_t *v)
{
	const json_t *loss = json_object_get(v, "loss");
	const json_t *weight = json_object_get(v, "weight");

	*t = (struct tally){
		.loss = json_number_value(loss),
		.weight = json_number_value(weight),
		.correct = json_integer_value(json_object_get(v, "correct")),
		.counted = json_integer_value(json_object_get(v, "counted")),
		.samples = json_integer_value(json_object_get(v, "samples")),
	};
	return json_is_number(loss) && json_is_number(weight);
}

static bool
go_on(struct use *u, const json_t *at)
{
	const char *was = json_string_value(json_object_get(at, "data"));
	json_t *worst = json_object_get(at, "worst");
	struct judge *j = NULL;

	if (was != NULL && strcmp(was, u->data) != 0 && !use_changed(u,
	    "data.validation is another than the lines so far are of (its "
	    "digest is %.12s, was %.12s)", u->data, was))
		return false;
	u->place = json_integer_value(json_object_get(at, "place"));
	if (u->place < 0 || u->place > u->r->valid->n ||
	    !read_tally(&u->tally, json_object_get(at, "tally")) ||
	    !json_is_array(worst) ||
	    judge_parse(json_object_get(at, "judge"), &j, NULL) != RK_OK)
		return run_fail(u->r, "io", false, RESULTS_STATE " is "
		    "damaged: --from none begins anew");
	judge_free(u->r->judge);
	u->r->judge = j;
	must(json_array_extend(u->worst, worst) == 0);
	return true;
}

bool
use_evaluate_open(struct use *u, const json_t *at)
{
	u->worst = json_array();
	u->total = u->r->valid->n;
	return at == NULL || go_on(u, at);
}

bool
use_evaluate_all(struct use *u)
{
	const struct data_set *d = u->r->valid;

	while (u->place < d->n) {
		const int64_t rows = score_batch(u->r, d, u->place, &u->tally);
		if (rows == 0)          /* it has said why, or is to leave */
			return u->r->fail.reason == NULL;
		for (int64_t i = 0; i < rows; i++)
			one_line(u, i);
		u->place += rows;
		u->stale = true;
		if (!use_between(u))
			return u->r->fail.reason == NULL;
	}
	return true;
}

/* The counts as JSON are made only where they are to be kept. */
void
use_evaluate_keep(struct use *u)
{
	if (u->stale)
		remember(u);
	u->stale = false;
}
