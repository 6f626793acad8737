/* The learning rate over a resume, where the checkpoint is one of a version
 * before, or only a bucket has it. */
#include "rekindle/schedule.h"
#include "sup_supplier.h"

/* A job with a cosine of 4 epochs, at its end. */
static char *
cosine_job(void)
{
	json_t *tree = w_job("ok ok ok");

	up_set(tree, "training.epochs", json_integer(4));
	up_set(tree, "training.schedule", json_string("cosine"));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_SUCCEEDED);
	return id;
}

/* What the bucket has from now on: the end of epoch 4, of 57 steps each. */
static void
bucket_has(json_t *state)
{
	up.has = true;
	up.info = (struct ckpt_info){ .dir = "step-000000228", .step = 228,
		.epoch = 4, .state = state };
}

/* The resume from there with these overrides; the first fault's path and
 * message, the caller's, or NULL. */
static char *
resume(const char *id, json_t *overrides)
{
	struct rk_why why = { 0 };
	char *text = NULL;

	if (sup_resume(W.sup, id, "there", overrides, NULL, &why) != RK_OK)
		text = xasprintf("%s: %s", why.v[0].path, why.v[0].message);
	rk_why_fini(&why);
	json_decref(overrides);
	return text;
}

static void
refused(const char *id, json_t *overrides, const char *words)
{
	char *text = resume(id, overrides);

	t_check(text != NULL);
	t_has(text, words);
	free(text);
}

T_CASE(a_checkpoint_of_a_version_before_has_the_schedule_of_its_job)
{
	up_begin();
	char *a = cosine_job();
	bucket_has(json_object());
	refused(a, json_pack("{s:{s:i}}", "training", "epochs", 6),
	    "overrides.training.epochs: makes the learning rate leap from "
	    "4.75e-08 to 0.00025 at step 228");
	refused(a, json_pack("{s:{s:i, s:{s:s}}}", "training", "epochs", 6,
	    "schedule", "on_resume", "keep"),
	    "overrides.training.schedule.on_resume: is keep, and "
	    "step-000000228 was written by a version that did not record");
	t_check(resume(a, json_pack("{s:{s:i, s:{s:s}}}", "training", "epochs",
	    6, "schedule", "on_resume", "stretch")) == NULL);
	json_decref(up.info.state);
	free(a);
	w_close();
}

T_CASE(where_the_steps_of_an_epoch_are_not_known_nothing_is_refused)
{
	up_begin();
	char *a = cosine_job();
	bucket_has(json_object());
	up.info.epoch = 0;
	t_check(resume(a, json_pack("{s:{s:i}}", "training", "epochs", 6)) ==
	    NULL);
	json_decref(up.info.state);
	free(a);
	w_close();
}

T_CASE(a_warm_starts_scale_is_in_the_rates_that_are_told)
{
	const struct schedule_terms m = { .shape = { .type = SPEC_S_COSINE },
		.peak = 0.001, .steps_per_epoch = 57, .total = 228 };
	struct schedule s;

	up_begin();
	char *a = cosine_job();
	schedule_begin(&s, &m);
	bucket_has(json_pack("{s:f, s:o}", "rate_scale", 0.2, "schedule",
	    schedule_json(&s)));
	refused(a, json_pack("{s:{s:i}}", "training", "epochs", 6),
	    "leap from 9.49e-09 to 5e-05 at step 228");
	/* A record that is none is left to the trainer, which refuses it. */
	up_set(up.info.state, "schedule", json_integer(5));
	t_check(resume(a, json_pack("{s:{s:i}}", "training", "epochs", 6)) ==
	    NULL);
	json_decref(up.info.state);
	free(a);
	w_close();
}

/* A job that has ended the second of two phases of two epochs each, a cosine,
 * which is to be longer; up.info.state is the caller's. */
static char *
in_a_second_phase(void)
{
	const struct schedule_phase at = { 1, 114, 2, 0 };
	const struct schedule_terms m = { .shape = { .type = SPEC_S_COSINE },
		.peak = 0.001, .steps_per_epoch = 57, .total = 228 };
	struct schedule s;

	up_begin();
	json_t *tree = w_job("ok ok ok");
	up_set(tree, "training.epochs", json_integer(4));
	up_set(tree, "training.phases", json_pack("[{s:i}, {s:s}]", "epochs",
	    2, "schedule", "cosine"));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_SUCCEEDED);
	schedule_begin_at(&s, &m, at.step);
	bucket_has(json_pack("{s:o, s:o}", "schedule", schedule_json(&s),
	    "phase", schedule_phase_json(&at)));
	return id;
}

T_CASE(the_phase_under_way_is_judged)
{
	char *a = in_a_second_phase();

	refused(a, json_pack("{s:{s:i}}", "training", "epochs", 6),
	    "leap from 1.9e-07 to 0.0005 at step 228");
	/* The list is given as a whole, and says the rate that it was. */
	refused(a, json_pack("{s:{s:i, s:[{s:i}, {s:s}]}}", "training",
	    "epochs", 6, "phases", "epochs", 2, "schedule", "cosine"),
	    "overrides.training.epochs: makes");
	refused(a, json_pack("{s:{s:n, s:[{s:i}, {s:s, s:i}]}}", "training",
	    "epochs", "phases", "epochs", 2, "schedule", "cosine", "epochs",
	    4), "overrides.training.phases[1]: makes the learning rate leap "
	    "from 1.9e-07 to 0.0005 at step 228: say training.phases[1]."
	    "schedule.on_resume: keep");
	refused(a, json_pack("{s:{s:i, s:n}}", "training", "epochs", 6,
	    "phases"), "overrides.training.phases: makes the learning rate "
	    "leap from 1.9e-07 to 0.001 at step 228: say training.schedule");
	/* What is over stays. */
	refused(a, json_pack("{s:{s:[{s:i, s:s}, {s:s}]}}", "training",
	    "phases", "epochs", 2, "train", "fc*", "schedule", "cosine"),
	    "overrides.training.phases[0].train: is [\"*\"] and cannot be "
	    "changed");
	/* The training's schedule is not that of the phase. */
	refused(a, json_pack("{s:{s:i, s:{s:s}}}", "training", "epochs", 6,
	    "schedule", "on_resume", "stretch"), "training.phases[1].schedule."
	    "on_resume: keep");
	t_check(resume(a, json_pack("{s:{s:i, s:[{s:i}, {s:s, s:f}]}}",
	    "training", "epochs", 6, "phases", "epochs", 2, "schedule",
	    "cosine", "learning_rate", 0.002)) == NULL);
	json_decref(up.info.state);
	free(a);
	w_close();
}

T_CASE(a_phase_whose_schedule_says_on_resume_may_leap)
{
	char *a = in_a_second_phase();

	t_check(resume(a, json_pack("{s:{s:i, s:[{s:i}, {s:{s:s, s:s}}]}}",
	    "training", "epochs", 6, "phases", "epochs", 2, "schedule", "type",
	    "cosine", "on_resume", "stretch")) == NULL);
	json_decref(up.info.state);
	free(a);
	w_close();
}

T_MAIN
