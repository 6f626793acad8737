/* What a checkpoint keeps of the job that made it, and whether a job of later
 * may go on from it. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

#define SHORT_MAX 256           /* bytes of a value that is kept as it is */
#define SHORT     "sha256:"

bool
sp_is_shortened(const json_t *v)
{
	const char *s = json_string_value(v);

	return s != NULL && strncmp(s, SHORT, sizeof(SHORT) - 1) == 0 &&
	    strlen(s) == sizeof(SHORT) - 1 + RK_SHA256_HEX - 1;
}

/* "sha256:HEX" of a value's text; a new reference. */
static json_t *
shortened(const json_t *v)
{
	char *text = rkj_text(v), hex[RK_SHA256_HEX];

	rk_sha256_of(text, strlen(text), hex);
	free(text);
	char *s = xasprintf("%s%s", SHORT, hex);
	json_t *out = json_string(s);
	free(s);
	return out;
}

/* All below v that is no object and too long.  As deep as a job. */
static void
shorten(json_t *v)
{
	const char *key;
	json_t *f;

	json_object_foreach(v, key, f) {
		if (json_is_object(f)) {
			shorten(f);
			continue;
		}
		char *text = rkj_text(f);
		if (strlen(text) > SHORT_MAX)
			must(json_object_set_new(v, key, shortened(f)) == 0);
		free(text);
	}
}

static void
null_if_absent(json_t *o, const char *key)
{
	if (json_object_get(o, key) == NULL)
		must(json_object_set_new(o, key, json_null()) == 0);
}

static void
record_data(json_t *data)
{
	json_t *v = json_object_get(data, "validation");
	json_t *norm = json_object_get(data, "normalize");

	json_object_del(data, "train");
	sp_drop_loading(data);
	if (v != NULL)
		must(json_object_set_new(data, "validation", json_true()) ==
		    0);
	null_if_absent(norm, "mean");
	null_if_absent(norm, "std");
}

/* So that a checkpoint of before is held against what it knew. */
static void
put_brief(json_t *whole, const struct spec *s)
{
	must(json_object_set_new(whole, "model", sp_json_model(&s->model,
	    true)) == 0 &&
	    json_object_set_new(whole, "training", sp_json_training(
	    &s->training, true)) == 0);
}

json_t *
spec_record(const struct spec *s)
{
	static const char *const kept[] = { "model", "training", "data" };
	static const char *const left_out[] = { "resume_from", "log_every",
		"epochs", "steps", "register" };
	static const char *const addresses[] = { "checkpoint",
		"checkpoint_classes", "checkpoint_vocabulary" };
	json_t *whole = spec_json(s), *o = json_object();

	put_brief(whole, s);
	for (size_t i = 0; i < RK_ARRAY_LEN(kept); i++)
		must(json_object_set(o, kept[i], json_object_get(whole,
		    kept[i])) == 0);
	json_decref(whole);
	for (size_t i = 0; i < RK_ARRAY_LEN(left_out); i++)
		json_object_del(json_object_get(o, "training"), left_out[i]);
	record_data(json_object_get(o, "data"));
	json_t *model = json_object_get(o, "model");
	null_if_absent(model, "input");
	null_if_absent(model, "checkpoint");
	/* An address may hold what is not for all who see a checkpoint. */
	for (size_t i = 0; i < RK_ARRAY_LEN(addresses); i++) {
		const json_t *v = json_object_get(model, addresses[i]);
		if (json_is_string(v))
			must(json_object_set_new(model, addresses[i],
			    shortened(v)) == 0);
	}
	shorten(o);
	return o;
}

/* Fields that are left out at their default, so that a record without them is
 * none that does not know them. */
static bool
may_be_left_out(const char *key)
{
	static const char *const keys[] = { "arithmetic", "cache_features",
		"distill", "early_stopping", "ema", "frozen_batch_norm",
		"gradient_clip_value", "learning_rates", "micro_batch_size",
		"no_decay", "parameters", "phases", "sampler", "transforms",
		"warmup" };

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		if (strcmp(key, keys[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Take out of v what the record does not know.  In a model a record leaves out
 * only what has its default, so there a field that it does not have is a
 * change.
 */
static void
prune(json_t *v, const json_t *record)
{
	const char *key;
	json_t *f;
	void *next;

	json_object_foreach_safe(v, next, key, f) {
		const json_t *r = json_object_get(record, key);
		if (r == NULL && !may_be_left_out(key))
			json_object_del(v, key);
		else if (strcmp(key, "model") != 0 && json_is_object(f) &&
		    json_is_object(r))
			prune(f, r);
	}
}

enum rk_err
spec_compare(const json_t *record, const struct spec *s, json_t **changed,
    struct rk_why *why)
{
	const json_t *training = json_object_get(record, "training");
	const json_t *was = json_object_get(training, "optimizer");
	json_t *now = spec_record(s), *all = json_object();
	struct rk_why own = {0}, bad = {0};
	struct spec_optim old = {0};

	prune(now, record);
	sp_compare(record, now, all, &own);
	sp_read_optim(&old, was, &bad);
	if (bad.n == 0 && old.type == s->training.optim.type)
		sp_check_state(&old, &s->training.optim, &own);
	rk_why_fini(&bad);
	sp_check_ema(json_object_get(training, "ema") != NULL,
	    s->training.ema.decay > 0, &own);
	json_decref(now);
	if (changed != NULL)
		*changed = all;
	else
		json_decref(all);
	return sp_hand_over(&own, why);
}
