/* What an evaluation says beside loss and accuracy: see judging.h. */
#include <math.h>

#include "judging.h"
#include "knowledge.h"

static struct judge_want
want_of(const struct run *r, int64_t outputs)
{
	const struct spec_loss *l = &r->spec->training.loss;
	const bool regression = spec_loss_is_regression(l->type);
	struct judge_want w = {
		.task = JUDGE_TASK_CLASSES, .outputs = outputs,
		.logits = l->type == SPEC_CROSS_ENTROPY,
		.distance = regression,
		.ignore = l->ignoring ? l->ignore_index : -1,
	};

	if (l->type == SPEC_BINARY_CROSS_ENTROPY)
		w.task = JUDGE_TASK_LABELS;
	else if (regression && outputs == 1)
		w.task = JUDGE_TASK_NUMBERS;
	return w;
}

uint64_t
judging_bytes(const struct run *r, int64_t outputs)
{
	const struct judge_want w = want_of(r, outputs);

	return judge_bytes(&w);
}

void
judging_new(struct run *r)
{
	const struct judge_want w = want_of(r, nn_outputs(r->nn));

	r->judge = judge_new(&w);
}

void
judging_add(struct run *r, int64_t rows, const uint8_t *left_out)
{
	const float *z = knowledge_answers(r, rows);

	judge_add(r->judge, rows, z != NULL ? z : nn_output(r->nn),
	    r->classes, r->targets, left_out);
}

void
judging_take(const struct run *r, struct judged *f)
{
	*f = (struct judged){0};
	for (int m = JUDGE_TOP5; m < JUDGE_METRICS; m++) {
		f->v[m] = judge_figure(r->judge, (enum judge_metric)m);
		f->has[m] = isfinite(f->v[m]);
	}
}

void
figures_put(json_t *o, const struct judged *f, bool val)
{
	for (int m = JUDGE_TOP5; m < JUDGE_METRICS; m++) {
		if (f->has[m])
			js_put(o, val ? judge_metrics[m].val_word :
			    judge_metrics[m].word, json_real(f->v[m]));
	}
}

void
figures_read(struct judged *f, const json_t *o)
{
	*f = (struct judged){0};
	for (int m = JUDGE_TOP5; m < JUDGE_METRICS; m++) {
		const json_t *v = json_object_get(o, judge_metrics[m].word);
		f->v[m] = json_number_value(v);
		f->has[m] = json_is_number(v) && isfinite(f->v[m]);
	}
}
