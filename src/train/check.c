/* --check: all that a run would be refused for before its first step, without
 * training. */
#include <stdlib.h>
#include <string.h>

#include "start.h"
#include "summary.h"
#include "use.h"

/* {path, message}: a sentence of run_fail() begins with a field of the job, or
 * does not. */
static void
add_refusal(json_t *list, const char *fallback, const char *sentence)
{
	static const char *const blocks[] = { "model", "data", "training",
		"resources", "checkpoint" };
	const size_t n = strspn(sentence, "abcdefghijklmnopqrstuvwxyz_.[]"
	    "0123456789");
	bool field = false;

	for (size_t k = 0; k < RK_ARRAY_LEN(blocks); k++) {
		const size_t m = strlen(blocks[k]);
		field |= strncmp(sentence, blocks[k], m) == 0 && n > m &&
		    sentence[m] == '.';
	}
	field = field && strncmp(sentence + n, ": ", 2) == 0;
	char *path = field ? xstrndup(sentence, n) : xstrdup(fallback);
	json_t *o = json_pack("{s:o, s:o}", "path", js_text(path), "message",
	    js_text(field ? sentence + n + 2 : sentence));
	must(o != NULL && json_array_append_new(list, o) == 0);
	free(path);
}

static void
add_remark(void *ctx, const char *sentence)
{
	must(json_array_append_new(ctx, js_text(sentence)) == 0);
}

/* The plan, and what stands against it. */
static bool
check_plan(struct run *r, json_t *out, json_t *refused)
{
	const char *shown = r->spec->training.warm_start.plan;
	char *text;

	json_t *tree = warm_plan(r, &text), *fault;
	if (tree == NULL)
		return false;
	free(text);
	size_t i;
	json_array_foreach(json_object_get(tree, "refused"), i, fault)
		add_refusal(refused, "model.checkpoint",
		    json_string_value(fault));
	const json_t *changed = json_object_get(tree, "changed");
	if (shown != NULL && json_is_string(changed))
		add_refusal(refused, "training.warm_start.plan",
		    json_string_value(changed));
	js_put(out, "plan", tree);
	return true;
}

/* As a run says them before its first step.  One that goes on with the schedule
 * of its file is not known yet. */
static void
add_rate_remarks(struct run *r, json_t *notes)
{
	const struct spec_training *t = &r->spec->training;
	const bool warm = warm_wanted(r);

	if (warm && t->warm_start.schedule == SPEC_FROM_CONTINUE)
		return;
	r->at.rate_scale = warm ? t->warm_start_lr_scale : 1;
	rate_remarks(r, add_remark, notes);
}

/* What a run warns of: that it validates on what its model has learned. */
static void
add_split_remark(const struct run *r, json_t *notes)
{
	char *text = held_out_warns(r) ? held_out_sentence(r) : NULL;

	if (text != NULL)
		add_remark(notes, text);
	free(text);
}

static bool
check_all(struct run *r, json_t *out, json_t *refused)
{
	struct run_memory m;

	if (r->spec->kind != SPEC_JOB_TRAIN)
		return use_check(r, out);
	exact_settle(r, NULL);
	if (!run_open_data(r, NULL) || !run_measure(r, &m) ||
	    !run_build(r, &m))
		return false;
	json_t *notes = json_array();
	remarks(r, add_remark, notes);
	add_rate_remarks(r, notes);
	js_put(out, "remarks", notes);
	js_put(out, "memory", json_integer((json_int_t)RK_MIN(m.wanted,
	    (uint64_t)INT64_MAX)));
	js_put(out, "steps_total", json_integer(r->steps_total));
	js_put(out, "data", json_pack("{s:o, s:o}", "train",
	    classes_json(r->train), "validation", r->valid != NULL ?
	    classes_json(r->valid) : json_null()));
	if (!warm_wanted(r))
		return true;
	if (!check_plan(r, out, refused))
		return false;
	add_split_remark(r, notes);
	return true;
}

bool
check_print(struct run *r)
{
	json_t *out = json_object(), *refused = json_array();

	js_put(out, "plan", json_null());
	bool ok = check_all(r, out, refused);
	if (!ok)
		add_refusal(refused, "", r->fail.message);
	else if (json_array_size(refused) > 0)
		ok = run_fail(r, "warm_start", true, "the job is refused: %s",
		    json_string_value(json_object_get(json_array_get(refused,
		    0), "message")));
	js_put(out, "accepted", json_boolean(ok));
	js_put(out, "refused", refused);
	char *text = rkj_pretty(out);
	puts(text);
	free(text);
	json_decref(out);
	return ok;
}
