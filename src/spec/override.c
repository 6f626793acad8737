/* Overrides of a resume: merged, parsed like a job, and compared. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

/* What the state in a checkpoint was made with; a field and all below it. */
static const struct {
	const char *path;
	const char *because;
} fixed[] = {
	{ "model", "the checkpoint is of this network; to change it start a "
	    "new job with model.checkpoint: job://ID/CHECKPOINT" },
	{ "data.transforms.validation", "the scores so far, and which "
	    "checkpoint is the best, are of samples made so; to change it "
	    "start a new job with model.checkpoint: job://ID/CHECKPOINT" },
	{ "data.inputs", "the predictions so far are of these" },
	{ "data.input", "the samples so far were made so" },
	{ "data", "the checkpoint counts samples that were divided and scaled "
	    "so; to change it start a new job with model.checkpoint: "
	    "job://ID/CHECKPOINT" },
	{ "hold", "the job has begun" },
	{ "kind", "the job has begun" },
	{ "training.batch_size", "the checkpoint counts batches of this size" },
	{ "training.micro_batch_size", "a batch norm normalises parts of this "
	    "size" },
	{ "training.drop_last", "it decides how many batches an epoch has" },
	{ "training.shuffle", "it decides the order of the samples" },
	{ "training.sampler", "it decides the order of the samples" },
	{ "training.seed", "it decides the order of the samples" },
	{ "training.loss.type", "the metrics so far are of this loss" },
	{ "training.optimizer.type",
	    "the checkpoint holds this optimiser's state" },
	{ "training.optimizer.initial_accumulator_value",
	    "the sums in the checkpoint began with it" },
};

/* Fields of which one replaces the other. */
static const char *const instead[][2] = {
	{ "step_size", "step_size_epochs" },
	{ "milestones", "milestones_epochs" },
	{ "length", "length_epochs" },
	{ "warmup_steps", "warmup_epochs" },
};

/* What is checked by content: the digest of the data is in every checkpoint,
 * and a job whose data turn out to be others waits for a person. */
static const char *const by_digest[] = { "data.train.", "data.validation." };

/* What changes nothing that the checkpoint counts. */
static const char *const open_fields[] = {
	"data.threads", "data.broken", "data.transforms.train"
};

static const char *
why_fixed(const char *path)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(open_fields); i++) {
		if (strcmp(path, open_fields[i]) == 0)
			return NULL;
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(by_digest); i++) {
		if (strncmp(path, by_digest[i], strlen(by_digest[i])) == 0)
			return NULL;
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(fixed); i++) {
		size_t n = strlen(fixed[i].path);
		if (strncmp(path, fixed[i].path, n) == 0 &&
		    (path[n] == '\0' || path[n] == '.'))
			return fixed[i].because;
	}
	return NULL;
}

/* --- what differs -------------------------------------------------------- */

struct diff {
	json_t *changed;                /* {path: [old, new]}, or NULL */
	struct rk_why *why;             /* a fault for each fixed path */
};

static json_t *
copy_or_null(const json_t *v)
{
	return v != NULL ? json_deep_copy(v) : json_null();
}

/* A list of lists or objects, of which too little is shown to see what
 * differs. */
static bool
is_deep(const json_t *v)
{
	bool deep = false;

	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *e = json_array_get(v, i);
		deep = deep || json_is_array(e) || json_is_object(e);
	}
	return deep;
}

/* " to 128", where what was asked for is one value that is short enough. */
static const char *
asked_for(const json_t *b, char out[SP_SHOWN + 8])
{
	char shown[SP_SHOWN];

	out[0] = '\0';
	if (b != NULL && !json_is_null(b) && !json_is_object(b) &&
	    !is_deep(b) && !sp_is_shortened(b))
		snprintf(out, SP_SHOWN + 8, " to %s", sp_shown(b, shown));
	return out;
}

static void
differs(struct diff *d, const char *path, const json_t *a, const json_t *b)
{
	const char *because = why_fixed(path);
	char was[SP_SHOWN], to[SP_SHOWN + 8];

	if (because != NULL)
		rk_refuse_at(d->why, path, "is %s and cannot be changed%s on a "
		    "resume: %s", a == NULL || json_is_null(a) ? "not set" :
		    sp_is_shortened(a) ? "another" : is_deep(a) ? "a list" :
		    sp_shown(a, was),
		    asked_for(b, to), because);
	if (d->changed == NULL)
		return;
	json_t *pair = json_array();
	must(json_array_append_new(pair, copy_or_null(a)) == 0);
	must(json_array_append_new(pair, copy_or_null(b)) == 0);
	must(json_object_set_new(d->changed, path, pair) == 0);
}

static void compare(struct diff *d, const char *path, const json_t *a,
    const json_t *b);

static void
compare_field(struct diff *d, const char *path, const char *key,
    const json_t *a, const json_t *b)
{
	char *at = path[0] == '\0' ? xstrdup(key) :
	    xasprintf("%s.%s", path, key);

	compare(d, at, json_object_get(a, key), json_object_get(b, key));
	free(at);
}

/* A job without transforms has two empty lists of them; a new reference. */
static json_t *
lists_of(const json_t *v)
{
	json_t *o = json_is_object(v) ? json_copy((json_t *)(uintptr_t)v) :
	    json_object();

	if (json_object_get(o, "train") == NULL)
		sp_put(o, "train", json_array());
	if (json_object_get(o, "validation") == NULL)
		sp_put(o, "validation", json_array());
	return o;
}

static void
compare_transforms(struct diff *d, const char *path, const json_t *a,
    const json_t *b)
{
	json_t *was = lists_of(a), *is = lists_of(b);

	compare_field(d, path, "train", was, is);
	compare_field(d, path, "validation", was, is);
	json_decref(was);
	json_decref(is);
}

/* Objects field by field, all else as a whole.  As deep as a parsed tree. */
static void
compare(struct diff *d, const char *path, const json_t *a, const json_t *b)
{
	if (strcmp(path, "data.transforms") == 0) {
		compare_transforms(d, path, a, b);
		return;
	}

	json_t *v, *left = (json_t *)(uintptr_t)a;
	json_t *right = (json_t *)(uintptr_t)b;
	const char *key;

	if (!json_is_object(a) || !json_is_object(b)) {
		if (!json_equal(a, b) && (a != NULL || b != NULL))
			differs(d, path, a, b);
		return;
	}
	json_object_foreach(left, key, v)
		compare_field(d, path, key, a, b);
	json_object_foreach(right, key, v) {
		if (json_object_get(a, key) == NULL)
			compare_field(d, path, key, a, b);
	}
}

void
sp_compare(const json_t *before, const json_t *after, json_t *changed,
    struct rk_why *why)
{
	struct diff d = { changed, why };

	compare(&d, "", before, after);
}

/* A phase that is over, k of the list, in both of its normal forms. */
static void
phase_stays(int k, const json_t *was, const json_t *is, struct rk_why *why)
{
	json_t *whole = json_copy((json_t *)(uintptr_t)was), *v;
	char from[SP_SHOWN], to[SP_SHOWN + 8], path[96];
	const char *key;

	json_object_update_missing(whole, (json_t *)(uintptr_t)is);
	json_object_foreach(whole, key, v) {
		const json_t *a = json_object_get(was, key);
		const json_t *b = json_object_get(is, key);
		if (a != NULL && b != NULL && json_equal(a, b))
			continue;
		snprintf(path, sizeof(path), "training.phases[%d].%.40s", k,
		    key);
		rk_refuse_at(why, path, "is %s and cannot be changed%s on a "
		    "resume: the phase is over", a == NULL ? "not set" :
		    sp_shown(a, from), asked_for(b, to));
	}
	json_decref(whole);
}

enum rk_err
spec_phases_stay(const json_t *changed, int past, struct rk_why *why)
{
	const json_t *pair = json_object_get(changed, "training.phases");
	const json_t *was = json_array_get(pair, 0);
	const json_t *is = json_array_get(pair, 1);
	const size_t n = RK_MIN(json_array_size(was), json_array_size(is));
	struct rk_why own = {0};

	if (json_array_size(is) > 0 && json_array_size(is) <= (size_t)past)
		return rk_refuse_at(why, "training.phases", "has %zu phase%s, "
		    "and phase %d is under way: those that are over, and the "
		    "one under way, keep their places in the list",
		    json_array_size(is), rk_s((int64_t)json_array_size(is)),
		    past + 1);
	for (int k = 0; k < past && (size_t)k < n; k++)
		phase_stays(k, json_array_get(was, (size_t)k),
		    json_array_get(is, (size_t)k), &own);
	return sp_hand_over(&own, why);
}

/* --- the merge ----------------------------------------------------------- */

static json_t *
under(const json_t *v, const char *a, const char *b)
{
	return json_object_get(json_object_get(v, a), b);
}

/* {type: word} for a word, so that it is merged and does not replace. */
static void
spell_out(json_t *overrides, const char *block, const char *key)
{
	json_t *v = under(overrides, block, key);

	if (!json_is_string(v))
		return;
	json_t *o = json_object();
	must(json_object_set(o, "type", v) == 0);
	must(json_object_set_new(json_object_get(overrides, block), key,
	    o) == 0);
}

/*
 * Take out of the tree what the overrides make meaningless: of two fields that
 * say the same thing the one not given, the fields of a schedule that is
 * replaced by one of another type, the modes that went with other metrics.
 */
static void
make_room(json_t *tree, const json_t *overrides)
{
	const json_t *given = under(overrides, "training", "schedule");
	json_t *old = under(tree, "training", "schedule");
	const json_t *type = json_object_get(given, "type");

	for (size_t i = 0; i < RK_ARRAY_LEN(instead); i++) {
		for (int k = 0; k < 2; k++) {
			const json_t *v = json_object_get(given,
			    instead[i][k]);
			if (v != NULL && !json_is_null(v))
				json_object_del(old, instead[i][1 - k]);
		}
	}
	if (type != NULL && !json_equal(type, json_object_get(old, "type"))) {
		static const char *const kept[] = {
			"warmup", "warmup_steps", "warmup_epochs",
			"warmup_start_factor"
		};
		const bool warms = strcmp(json_is_string(type) ?
		    json_string_value(type) : "",
		    spec_schedule_words[SPEC_S_ONE_CYCLE]) != 0;
		json_t *fresh = json_object();
		for (size_t i = 0; warms && i < RK_ARRAY_LEN(kept); i++) {
			json_t *v = json_object_get(old, kept[i]);
			if (v != NULL)
				json_object_set(fresh, kept[i], v);
		}
		json_object_set_new(json_object_get(tree, "training"),
		    "schedule", fresh);
	}
	if (json_object_get(under(overrides, "checkpoint", "keep"),
	    "metric") != NULL)
		json_object_del(under(tree, "checkpoint", "keep"), "mode");
	if (json_object_get(under(overrides, "training", "early_stopping"),
	    "metric") != NULL)
		json_object_del(under(tree, "training", "early_stopping"),
		    "mode");
}

/* State that a checkpoint has or has not, by a number of the optimiser. */
void
sp_check_state(const struct spec_optim *a, const struct spec_optim *b,
    struct rk_why *why)
{
	static const char no_state[] = "which the checkpoint has no state for";
	static const char lost[] = "for which the checkpoint holds state";

	if ((a->momentum > 0) != (b->momentum > 0))
		rk_refuse_at(why, "training.optimizer.momentum", "cannot go "
		    "from %g to %g on a resume, %s", a->momentum, b->momentum,
		    b->momentum > 0 ? no_state : lost);
	if (a->centered != b->centered)
		rk_refuse_at(why, "training.optimizer.centered", "cannot "
		    "become %s on a resume, %s", b->centered ? "true" : "false",
		    b->centered ? no_state : lost);
}

void
sp_check_ema(bool was, bool is, struct rk_why *why)
{
	if (was != is)
		rk_refuse_at(why, "training.ema", "cannot be %s on a resume: "
		    "the checkpoint has %s average of the model",
		    is ? "begun" : "given up", is ? "no" : "an");
}

static enum rk_err
parse_merged(const struct spec *base, const json_t *before,
    const json_t *merged, struct spec **sp, json_t **changed,
    struct rk_why *why)
{
	struct rk_why own = {0};
	struct diff d = { .why = &own };
	struct spec *s = NULL;

	if (spec_parse(merged, &s, &own) == RK_OK) {
		json_t *after = spec_json(s);
		d.changed = json_object();
		compare(&d, "", before, after);
		json_decref(after);
		if (base->training.optim.type == s->training.optim.type)
			sp_check_state(&base->training.optim,
			    &s->training.optim, &own);
		sp_check_ema(base->training.ema.decay > 0,
		    s->training.ema.decay > 0, &own);
	} else {
		compare(&d, "", before, merged);        /* every fault */
	}
	enum rk_err rc = sp_hand_over(&own, why);
	if (rc != RK_OK) {
		json_decref(d.changed);
		spec_free(s);
		return rc;
	}
	*sp = s;
	if (changed != NULL)
		*changed = d.changed;
	else
		json_decref(d.changed);
	return RK_OK;
}

enum rk_err
spec_override(const json_t *tree, const json_t *overrides, struct spec **sp,
    json_t **changed, struct rk_why *why)
{
	struct spec *base;
	char shown[SP_SHOWN];

	if (!json_is_object(overrides))
		return rk_refuse(why, "is %s, want an object of fields to "
		    "override", overrides != NULL ? sp_shown(overrides, shown) :
		    "missing");
	enum rk_err rc = spec_parse(tree, &base, why);
	if (rc != RK_OK)
		return rc;
	json_t *before = spec_json(base);
	json_t *merged = json_deep_copy(before);
	json_t *given = json_deep_copy(overrides);

	spell_out(given, "training", "loss");
	spell_out(given, "training", "optimizer");
	spell_out(given, "training", "schedule");
	make_room(merged, given);
	rkj_merge(merged, given);
	rc = parse_merged(base, before, merged, sp, changed, why);
	json_decref(before);
	json_decref(merged);
	json_decref(given);
	spec_free(base);
	return rc;
}
