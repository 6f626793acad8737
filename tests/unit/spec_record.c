/* What a checkpoint keeps of its job, and jobs held against it. */
#include "spec_common.h"

static json_t *
record_of(const char *changes)
{
	struct spec *s = job_with(changes);
	json_t *v = spec_record(s);

	spec_free(s);
	return v;
}

/* A job against the record of another: the faults as text ("" for none), the
 * caller's; *changed as text if wanted. */
static char *
against(const json_t *record, const char *changes, char **changed)
{
	struct spec *s = job_with(changes);
	struct rk_why why = {0};
	json_t *c = NULL;
	char *text = xstrdup("");

	if (spec_compare(record, s, &c, &why) != RK_OK) {
		free(text);
		text = rk_why_text(&why);
	}
	if (changed != NULL)
		*changed = rkj_text(c);
	json_decref(c);
	rk_why_fini(&why);
	spec_free(s);
	return text;
}

static void
faults(const char *job, const char *later, const char *want)
{
	json_t *record = record_of(job);
	char *text = against(record, later, NULL);

	if (want[0] == '\0')
		t_eq_str(text, "");
	else
		t_has(text, want);
	free(text);
	json_decref(record);
}

T_CASE(the_table_of_overrides_holds_for_an_edited_job)
{
	faults("{}", "{}", "");
	faults("{}", "training: {batch_size: 32}", "training.batch_size: is 64 "
	    "and cannot be changed to 32 on a resume");
	faults("{}", "training: {seed: 7}", "training.seed: is 1 and cannot");
	faults("{}", "model: {activation: gelu}", "model.activation: is "
	    "\"relu\" and cannot be");
	faults("{}", "model: {sizes: [4, 5, 2]}", "model.sizes: is [4, 3, 2] and");
	faults("{}", "model: {checkpoint: /x}", "model.checkpoint: is not set "
	    "and cannot");
	faults("data: {normalize: {mean: 0.1}}", "data: {normalize: {mean: "
	    "0.2}}", "data.normalize.mean: is [0.1] and cannot");
	faults("{}", "data: {normalize: {mean: 0.2}}", "data.normalize.mean: "
	    "is not set and");
	faults("training: {optimizer: {type: sgd, learning_rate: 0.1}}",
	    "training: {optimizer: {type: sgd, learning_rate: 0.1, "
	    "momentum: 0.5}}", "training.optimizer.momentum: cannot go from 0 "
	    "to 0.5");
}

T_CASE(what_may_change_is_told_and_what_is_no_part_of_it_is_not)
{
	json_t *record = record_of("{}");
	char *changed, *text;

	text = against(record, "{training: {optimizer: {type: adam, "
	    "learning_rate: 0.5}, schedule: {warmup_steps: 3}, epochs: 9, log_every: 3, "
	    "resume_from: best}, name: b, data: {train: {images: /other}}}",
	    &changed);
	t_eq_str(text, "");
	t_eq_str(changed, "{\"training.optimizer.learning_rate\":[0.001,0.5],"
	    "\"training.schedule.warmup_steps\":[0,3]}");
	free(text);
	free(changed);
	json_decref(record);
}

/* A record leaves it out, as those of before do. */
T_CASE(a_field_of_the_model_that_had_its_default_cannot_change_either)
{
	faults("{}", "model: {init: torch}", "");
	faults("{}", "model: {init: paddle}", "model.init: is not set and "
	    "cannot be");
	faults("model: {init: paddle}", "{}", "model.init: is \"paddle\" and "
	    "cannot be");
}

T_CASE(no_address_and_no_path_of_data_is_in_a_record)
{
	json_t *v = record_of("{model: {checkpoint: "
	    "'https://h/m?key=SECRET'}, data: {train: {images: "
	    "'https://h/i?key=SECRET', labels: /home/ann/l}}}");
	char *text = rkj_text(v);

	t_check(strstr(text, "SECRET") == NULL);
	t_check(strstr(text, "ann") == NULL);
	free(text);
	json_decref(v);
	faults("model: {checkpoint: /a}", "model: {checkpoint: /b}",
	    "model.checkpoint: is another and cannot be changed");
	faults("model: {checkpoint: /a}", "model: {checkpoint: /a}", "");
}

T_CASE(a_long_value_is_kept_as_its_digest)
{
	struct strbuf a = {0}, b = {0};

	sb_adds(&a, "data: {normalize: {mean: [0");
	for (int i = 1; i < 1000; i++)
		sb_addf(&a, ", %d", i);
	sb_addf(&b, "%s, 8]}}", sb_str(&a));
	sb_adds(&a, ", 7]}}");
	json_t *v = record_of(sb_str(&a));
	char *text = rkj_text(v);
	t_check(strlen(text) < 4000);
	t_has(text, "\"mean\":\"sha256:");
	faults(sb_str(&a), sb_str(&a), "");
	faults(sb_str(&a), sb_str(&b), "data.normalize.mean: is another and "
	    "cannot be changed on a resume");
	free(text);
	json_decref(v);
	sb_fini(&a);
	sb_fini(&b);
}

T_CASE(a_field_that_an_older_record_does_not_know_is_not_compared)
{
	json_t *v = record_of("{}");
	char *text;

	json_object_del(json_object_get(v, "training"), "drop_last");
	json_object_del(json_object_get(v, "data"), "normalize");
	text = against(v, "{training: {drop_last: true}, data: {normalize: "
	    "none}}", NULL);
	t_eq_str(text, "");
	free(text);
	/* Nor is one that is no record at all. */
	json_t *none = json_integer(5);
	text = against(none, "training: {seed: 9}", NULL);
	t_eq_str(text, "");
	free(text);
	json_decref(none);
	json_decref(v);
}

T_MAIN
