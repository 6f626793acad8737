/* `training.early_stopping`, and the metrics by which runs are judged. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/judge.h"
#include "read.h"

const char *const spec_restore_words[] = { "none", "best", NULL };

/* In the order in which a refusal lists them; judge.h says what each is. */
const char *const sp_metric_words[] = {
	"val_accuracy", "val_loss", "loss", "val_top5", "val_macro_precision",
	"val_macro_recall", "val_macro_f1", "val_ece", "val_plain_loss",
	"val_mae", NULL
};
const char *const sp_mode_words[] = { "max", "min", NULL };

/* --- metrics -------------------------------------------------------------- */

bool
sp_metric_grows(const char *metric)
{
	const int m = judge_metric_of(metric);

	return m >= 0 && judge_metrics[m].more;
}

static unsigned
kind_of(enum spec_loss_type t)
{
	if (spec_loss_is_regression(t))
		return JUDGE_OF_NUMBERS;
	return t == SPEC_BINARY_CROSS_ENTROPY ? JUDGE_OF_LABELS :
	    JUDGE_OF_CLASSES;
}

/* Of classes, and without a softmax: the largest of several outputs is a class,
 * whatever the loss. */
static bool
of_several(int m)
{
	return (judge_metrics[m].of & JUDGE_OF_CLASSES) != 0 &&
	    (judge_metrics[m].of & JUDGE_OF_NUMBERS) == 0 &&
	    m != JUDGE_ECE && m != JUDGE_PLAIN_LOSS;
}

void
sp_check_metric(const struct spec *s, const char *path, const char *metric,
    struct rk_why *why)
{
	const enum spec_loss_type loss = s->training.loss.type;
	const int m = judge_metric_of(metric);
	const bool held_out = s->data.has_validation ||
	    s->data.validation_split > 0;

	if (m < 0)                      /* of the training: loss */
		return;
	if (!held_out)
		rk_refuse_at(why, path, "is %s, and there are no validation "
		    "data: give data.validation or data.validation_split, or "
		    "use loss", metric);
	else if (spec_loss_is_regression(loss) && of_several(m))
		rk_refuse_at(why, path, "is %s, which a job with the loss %s "
		    "has only where its outputs are several, so that it decides "
		    "nothing: use val_loss or val_mae", metric,
		    sp_loss_words[loss]);
	else if ((judge_metrics[m].of & kind_of(loss)) == 0)
		rk_refuse_at(why, path, "is %s, which the loss %s does not "
		    "have: use val_loss", metric, sp_loss_words[loss]);
}

/* --- early stopping ------------------------------------------------------- */

void
sp_read_early(struct spec_early *e, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;
	char shown[SP_SHOWN];
	int word = 0;

	if (v == NULL || json_is_null(v))
		return;
	if (!json_is_object(v)) {
		rk_refuse_at(why, "training.early_stopping", "is %s, want "
		    "{patience: 10, ...}", sp_shown(v, shown));
		return;
	}
	e->on = true;
	e->patience = 10;
	sp_open(&s, v, "training.early_stopping", why);
	if (rkj_enum(o, "metric", &word, sp_metric_words, RKJ_OPTIONAL))
		e->metric = xstrdup(sp_metric_words[word]);
	e->mode_said = rkj_enum(o, "mode", &word, sp_mode_words, RKJ_OPTIONAL);
	e->mode_max = e->mode_said && word == 0;
	rkj_int(o, "patience", &e->patience, 1, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_real(o, "min_delta", &e->min_delta, 0, 1e9, RKJ_OPTIONAL);
	word = SPEC_RESTORE_NONE;
	rkj_enum(o, "restore", &word, spec_restore_words, RKJ_OPTIONAL);
	e->restore = (enum spec_restore)word;
	sp_close(&s);
}

/* What is restored must be kept, so it must be the best by what is kept. */
static void
check_restore(const struct spec *s, struct rk_why *why)
{
	static const char path[] = "training.early_stopping.restore";
	const struct spec_early *e = &s->training.early;
	const struct spec_checkpoint *c = &s->checkpoint;

	if (e->restore != SPEC_RESTORE_BEST)
		return;
	if (c->keep_best < 1)
		rk_refuse_at(why, path, "is best, and checkpoint.keep.best is "
		    "0: want 1 at least, so that there is one");
	else if (strcmp(e->metric, c->metric) != 0 ||
	    e->mode_max != c->mode_max)
		rk_refuse_at(why, path, "is best, and checkpoint.keep.metric is "
		    "%s (%s), that of early_stopping %s (%s): want the same",
		    c->metric, sp_mode_words[c->mode_max ? 0 : 1], e->metric,
		    sp_mode_words[e->mode_max ? 0 : 1]);
}

void
sp_check_early(struct spec *s, struct rk_why *why)
{
	struct spec_early *e = &s->training.early;
	const struct spec_checkpoint *c = &s->checkpoint;

	if (!e->on)
		return;
	if (e->metric == NULL) {
		e->metric = xstrdup(c->metric);
		if (!e->mode_said)
			e->mode_max = c->mode_max;
	} else {
		sp_check_metric(s, "training.early_stopping.metric", e->metric,
		    why);
		if (!e->mode_said)
			e->mode_max = sp_metric_grows(e->metric);
	}
	check_restore(s, why);
}

json_t *
sp_json_early(const struct spec_early *e)
{
	json_t *o = json_object();

	sp_put(o, "metric", json_string(e->metric));
	sp_put(o, "mode", json_string(sp_mode_words[e->mode_max ? 0 : 1]));
	sp_put(o, "patience", json_integer(e->patience));
	sp_put(o, "min_delta", json_real(e->min_delta));
	sp_put(o, "restore", json_string(spec_restore_words[e->restore]));
	return o;
}
