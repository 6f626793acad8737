/* training.early_stopping, and the metrics by which a job may choose. */
#include "rekindle/judge.h"
#include "read.h"
#include "spec_common.h"

#define EARLY(fields) "training: {early_stopping: " fields "}"

T_CASE(early_stopping_goes_by_what_is_kept_unless_it_says_so)
{
	struct spec *s = job_with(EARLY("{}"));
	const struct spec_early *e = &s->training.early;

	t_check(e->on && e->mode_max);
	t_eq_str(e->metric, "val_accuracy");
	t_eq_int(e->patience, 10);
	t_near(e->min_delta, 0, 0);
	t_eq_int(e->restore, SPEC_RESTORE_NONE);
	spec_free(s);
	s = job_with("training: {early_stopping: {patience: 3}}\n"
	    "checkpoint: {keep: {metric: val_ece}}");
	t_eq_str(s->training.early.metric, "val_ece");
	t_check(!s->training.early.mode_max);
	spec_free(s);
	s = job_with(EARLY("{metric: val_loss, min_delta: 0.01}"));
	t_eq_str(s->training.early.metric, "val_loss");
	t_check(!s->training.early.mode_max);
	t_near(s->training.early.min_delta, 0.01, 0);
	spec_free(s);
	s = job_with(EARLY("{metric: val_macro_f1, mode: min}"));
	t_check(!s->training.early.mode_max);
	spec_free(s);
	s = job_with("training: {early_stopping: {}}\n"
	    "data: {validation: null}");
	t_eq_str(s->training.early.metric, "loss");
	t_check(!s->training.early.mode_max);
	spec_free(s);
	s = job_with("training: {early_stopping: null}");
	t_check(!s->training.early.on);
	spec_free(s);
}

T_CASE(the_normal_form_of_early_stopping_reads_back)
{
	struct spec *a = job_with(EARLY("{patience: 4, min_delta: 0.5, "
	    "restore: best}"));
	json_t *v = spec_json(a);
	struct spec *b = must_parse(json_incref(v));
	char *x = normal(a), *y = normal(b);

	t_eq_str(x, y);
	t_has(x, "\"early_stopping\":{\"metric\":\"val_accuracy\","
	    "\"min_delta\":0.5,\"mode\":\"max\",\"patience\":4,"
	    "\"restore\":\"best\"}");
	free(x);
	free(y);
	json_decref(v);
	spec_free(a);
	spec_free(b);
}

/* Jobs of before have their digests; with it a job is another one. */
T_CASE(a_job_without_early_stopping_is_as_before)
{
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	struct spec *s = job_with("{}"), *t = job_with(EARLY("{}"));
	char *text = normal(s);

	t_check(strstr(text, "early") == NULL);
	free(text);
	spec_digest(s, a);
	spec_digest(t, b);
	t_check(strcmp(a, b) != 0);
	spec_free(s);
	spec_free(t);
}

T_CASE(early_stopping_is_refused_by_path)
{
	refused(EARLY("3"), "training.early_stopping", "want {patience: 10");
	refused(EARLY("{patience: 0}"), "training.early_stopping.patience",
	    "is 0");
	refused(EARLY("{min_delta: -1}"), "training.early_stopping.min_delta",
	    "is -1");
	refused(EARLY("{patence: 3}"), "training.early_stopping.patence",
	    "patience");
	refused(EARLY("{metric: accuracy}"), "training.early_stopping.metric",
	    "val_macro_f1");
	refused(EARLY("{mode: up}"), "training.early_stopping.mode", "max");
	refused(EARLY("{restore: last}"), "training.early_stopping.restore",
	    "none or best");
	refused("training: {early_stopping: {metric: val_loss}}\n"
	    "data: {validation: null}", "training.early_stopping.metric",
	    "there are no validation data");
	refused(EARLY("{metric: val_loss, restore: best}"),
	    "training.early_stopping.restore", "checkpoint.keep.metric is "
	    "val_accuracy (max), that of early_stopping val_loss (min)");
	refused("training: {early_stopping: {restore: best}}\n"
	    "checkpoint: {keep: {best: 0}}", "training.early_stopping.restore",
	    "checkpoint.keep.best is 0");
}

/* --- metrics -------------------------------------------------------------- */

static void
keeps(const char *loss, const char *metric, bool max)
{
	char *changes = xasprintf("training: {loss: %s}\n"
	    "checkpoint: {keep: {metric: %s}}", loss, metric);
	struct spec *s = job_with(changes);

	t_eq_str(s->checkpoint.metric, metric);
	t_eq_int(s->checkpoint.mode_max, max);
	spec_free(s);
	free(changes);
}

static void
has_not(const char *loss, const char *metric)
{
	char *changes = xasprintf("training: {loss: %s}\n"
	    "checkpoint: {keep: {metric: %s}}", loss, metric);

	refused(changes, "checkpoint.keep.metric", ": use val_loss");
	free(changes);
}

T_CASE(a_job_may_keep_the_best_by_any_figure_that_its_loss_has)
{
	keeps("cross_entropy", "val_top5", true);
	keeps("cross_entropy", "val_macro_precision", true);
	keeps("cross_entropy", "val_macro_recall", true);
	keeps("cross_entropy", "val_macro_f1", true);
	keeps("cross_entropy", "val_ece", false);
	keeps("cross_entropy", "val_plain_loss", false);
	keeps("binary_cross_entropy", "val_macro_f1", true);
	keeps("binary_cross_entropy", "val_ece", false);
	keeps("mse", "val_mae", false);
	keeps("l1", "val_mae", false);
	has_not("cross_entropy", "val_mae");
	has_not("binary_cross_entropy", "val_top5");
	has_not("binary_cross_entropy", "val_plain_loss");
	has_not("mse", "val_macro_f1");
	has_not("smooth_l1", "val_accuracy");
}

T_CASE(each_metric_of_an_evaluation_may_be_chosen)
{
	for (int m = 0; m < JUDGE_METRICS; m++) {
		bool there = false;
		for (int i = 0; sp_metric_words[i] != NULL; i++)
			there |= strcmp(sp_metric_words[i],
			    judge_metrics[m].val_word) == 0;
		if (!there)
			t_fail("%s cannot be chosen", judge_metrics[m].val_word);
	}
}

/* --- resumes -------------------------------------------------------------- */

T_CASE(a_resume_may_change_give_up_and_begin_early_stopping)
{
	static const char *const changes[] = {
		"training: {early_stopping: {patience: 9}}",
		"training: {early_stopping: null}",
		"training: {early_stopping: {metric: val_loss}}",
	};
	struct rk_why why = {0};

	for (size_t i = 0; i < RK_ARRAY_LEN(changes); i++) {
		json_t *job = tree_with(EARLY("{patience: 2}"));
		json_t *over = yaml(changes[i]), *changed = NULL;
		struct spec *s = NULL;
		if (spec_override(job, over, &s, &changed, &why) != RK_OK)
			t_fail("%s: %s", changes[i], rk_why_first(&why));
		t_eq_int(s->training.early.on, i != 1);
		/* Another metric brings its own mode. */
		if (i == 2)
			t_check(!s->training.early.mode_max);
		json_decref(job);
		json_decref(over);
		json_decref(changed);
		spec_free(s);
	}
}

/* What a checkpoint has recorded of a job without it does not stand against it. */
T_CASE(a_record_of_before_may_be_gone_on_from_with_early_stopping)
{
	struct spec *s = job_with("{}"), *t = job_with(EARLY("{patience: 2}"));
	json_t *record = spec_record(s), *changed = NULL;
	struct rk_why why = {0};

	if (spec_compare(record, t, &changed, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_check(json_object_get(changed, "training.early_stopping") != NULL);
	json_decref(changed);
	json_decref(record);
	spec_free(s);
	spec_free(t);
}

T_MAIN
