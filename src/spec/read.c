/* Readers of fields that json.h does not have. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"

enum rk_err
sp_hand_over(struct rk_why *own, struct rk_why *why)
{
	enum rk_err rc = own->n > 0 ? RK_EINVAL : RK_OK;

	for (size_t i = 0; i < own->n; i++)
		rk_refuse_at(why, own->v[i].path, "%s", own->v[i].message);
	if (why != NULL)
		why->more += own->more;
	rk_why_fini(own);
	return rc;
}

const char *
sp_shown(const json_t *v, char out[SP_SHOWN])
{
	struct strbuf b = { 0 };

	rkj_show(&b, v);
	snprintf(out, SP_SHOWN, "%s", sb_str(&b));
	sb_fini(&b);
	return out;
}

void
sp_open(struct sp_obj *s, const json_t *v, const char *path,
    struct rk_why *why)
{
	s->made = NULL;
	if (v == NULL)
		v = s->made = json_object();
	rkj_open(&s->o, v, path, why);
}

void
sp_open_typed(struct sp_obj *s, const json_t *v, const char *path,
    struct rk_why *why)
{
	if (!json_is_string(v)) {
		sp_open(s, v, path, why);
		return;
	}
	s->made = json_object();
	json_object_set_new(s->made, "type", json_string(json_string_value(v)));
	rkj_open(&s->o, s->made, path, why);
}

/* Fields that other systems have, by the field of ours beside which they would
 * stand, and how that is written here. */
static const struct {
	const char *theirs, *beside, *ours;
} foreign[] = {
	{ "lr", "learning_rate", "learning_rate" },
	{ "lr", "optimizer", "optimizer: {learning_rate: ...}" },
	{ "learning_rate", "optimizer", "optimizer: {learning_rate: ...}" },
	{ "momentum", "optimizer", "optimizer: {momentum: ...}" },
	{ "weight_decay", "optimizer", "optimizer: {weight_decay: ...}" },
	{ "wd", "weight_decay", "weight_decay" },
	{ "max_epochs", "epochs", "epochs" },
	{ "num_epochs", "epochs", "epochs" },
	{ "max_steps", "steps", "steps" },
	{ "max_iter", "steps", "steps" },
	{ "batch", "batch_size", "batch_size" },
	{ "lr_scheduler", "schedule", "schedule" },
	{ "scheduler", "schedule", "schedule" },
	{ "clip_grad_norm", "gradient_clip_norm", "gradient_clip_norm" },
	{ "num_classes", "classes", "classes" },
	{ "pretrained", "checkpoint", "checkpoint" },
	{ "kernel_size", "kernel", "kernel" },
	{ "out_channels", "out", "out" },
	{ "out_features", "out", "out" },
	{ "min_lr", "min_learning_rate", "min_learning_rate" },
	{ "eta_min", "min_learning_rate", "min_learning_rate" },
	{ "T_max", "length", "length" },
	{ "max_lr", "pct_start", "optimizer: {learning_rate: ...}" },
	{ "anneal_strategy", "anneal", "anneal" },
	{ "clip_grad_value", "gradient_clip_value", "gradient_clip_value" },
	{ "no_weight_decay_name", "no_decay", "no_decay" },
	{ "ema_decay", "ema", "ema: {decay: ...}" },
	{ "gradient_accumulation_steps", "micro_batch_size",
	    "micro_batch_size: batch_size divided by it" },
	{ "accumulate_grad_batches", "micro_batch_size",
	    "micro_batch_size: batch_size divided by it" },
	{ "accumulate", "micro_batch_size",
	    "micro_batch_size: batch_size divided by it" },
	{ "grad_accum", "micro_batch_size",
	    "micro_batch_size: batch_size divided by it" },
	{ "param_groups", "parameters", "parameters: [{match: ...}]" },
	{ "requires_grad", "trainable", "trainable" },
	{ "stratify", "split", "split: {stratify: ...}" },
};

static bool
asked_for(const struct rkj_obj *o, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(o->seen[i], key) == 0)
			return true;
	}
	return false;
}

/* "phases[0]", of a --set or of one who asks for a part of a list. */
static void
fault_parts(struct rkj_obj *o, size_t n)
{
	json_t *v, *object = (json_t *)(uintptr_t)o->v;
	const char *key;

	json_object_foreach(object, key, v) {
		for (size_t i = 0; i < n; i++) {
			const char *seen = o->seen[i];
			const size_t len = strlen(seen);
			if (strncmp(key, seen, len) != 0 || key[len] != '[' ||
			    asked_for(o, o->nseen, key))
				continue;
			rkj_any(o, key);        /* answered: not unknown */
			rkj_fault(o, key, "cannot be set by itself: a list is "
			    "given as a whole, %s: [...]", seen);
			return;
		}
	}
}

void
sp_close(struct sp_obj *s)
{
	struct rkj_obj *o = &s->o;
	const size_t n = o->nseen;      /* before we ask for theirs */

	for (size_t i = 0; o->v != NULL && i < RK_ARRAY_LEN(foreign); i++) {
		if (!asked_for(o, n, foreign[i].beside) ||
		    asked_for(o, n, foreign[i].theirs) ||
		    json_object_get(o->v, foreign[i].theirs) == NULL)
			continue;
		rkj_any(o, foreign[i].theirs);  /* answered: not unknown */
		rkj_fault(o, foreign[i].theirs, "is not a known field; this is "
		    "written %s", foreign[i].ours);
	}
	fault_parts(o, n);
	rkj_close(o);
	json_decref(s->made);
	s->made = NULL;
}

bool
sp_takes(struct rkj_obj *o, const char *key, bool applies, const char *of,
    const char *not_for)
{
	if (rkj_any(o, key) != NULL && !applies)
		rkj_fault(o, key, "is for %s, not for %s", of, not_for);
	return applies;
}

bool
sp_real_value(const json_t *v, const char *path, double *out, double lo,
    double hi, int open, const char *want, struct rk_why *why)
{
	char shown[SP_SHOWN];
	double x = json_is_number(v) ? json_number_value(v) : NAN;

	if (!(x >= lo && x <= hi) || ((open & SP_ABOVE) && x == lo) ||
	    ((open & SP_BELOW) && x == hi)) {
		rk_refuse_at(why, path, "is %s, want %s", sp_shown(v, shown),
		    want);
		return false;
	}
	*out = x;
	return true;
}

bool
sp_real(struct rkj_obj *o, const char *key, double *out, double lo, double hi,
    int open, const char *want)
{
	const json_t *v = rkj_any(o, key);

	if (v == NULL)
		return false;
	char *path = rkj_child(o, key);
	bool ok = sp_real_value(v, path, out, lo, hi, open, want, o->why);
	free(path);
	o->bad |= !ok;
	return ok;
}

bool
sp_int_value(const json_t *v, const char *path, int64_t *out, int64_t lo,
    int64_t hi, struct rk_why *why)
{
	char shown[SP_SHOWN];

	if (json_is_integer(v) && json_integer_value(v) >= lo &&
	    json_integer_value(v) <= hi) {
		*out = json_integer_value(v);
		return true;
	}
	rk_refuse_at(why, path, "is %s, want an integer %lld to %lld",
	    sp_shown(v, shown), (long long)lo, (long long)hi);
	return false;
}

bool
sp_ints(struct rkj_obj *o, const char *key, int64_t *out, int *n, int min,
    int max, int64_t lo, int64_t hi, int required)
{
	const json_t *v = rkj_any(o, key);
	char shown[SP_SHOWN];
	bool ok = true;

	if (v == NULL) {
		if (required)
			rkj_fault(o, key, "is missing, want a list of %d to "
			    "%d integers", min, max);
		return false;
	}
	if (!json_is_array(v)) {
		rkj_fault(o, key, "is %s, want a list of integers",
		    sp_shown(v, shown));
		return false;
	}
	size_t len = json_array_size(v);
	if (len < (size_t)min || len > (size_t)max) {
		rkj_fault(o, key, "has %zu number%s, want %d to %d", len,
		    rk_s((int64_t)len), min, max);
		return false;
	}
	char *path = rkj_child(o, key);
	for (size_t i = 0; i < len; i++) {
		char *at = xasprintf("%s[%zu]", path, i);
		ok &= sp_int_value(json_array_get(v, i), at, &out[i], lo, hi,
		    o->why);
		free(at);
	}
	free(path);
	o->bad |= !ok;
	if (ok)
		*n = (int)len;
	return ok;
}

bool
sp_pair(struct rkj_obj *o, const char *key, int out[2], int lo, int hi,
    int required)
{
	const json_t *v = rkj_any(o, key);
	int64_t p[2];
	char shown[SP_SHOWN];

	if (v == NULL) {
		if (required)
			rkj_fault(o, key, "is missing, want an integer %d to "
			    "%d or [height, width]", lo, hi);
		return false;
	}
	bool ok = json_is_array(v) ? json_array_size(v) == 2 :
	    json_is_integer(v);
	for (size_t i = 0; ok && i < 2; i++) {
		const json_t *e = json_is_array(v) ? json_array_get(v, i) : v;
		p[i] = json_integer_value(e);
		ok = json_is_integer(e) && p[i] >= lo && p[i] <= hi;
	}
	if (!ok) {
		rkj_fault(o, key, "is %s, want an integer %d to %d or "
		    "[height, width]", sp_shown(v, shown), lo, hi);
		return false;
	}
	out[0] = (int)p[0];
	out[1] = (int)p[1];
	return true;
}

bool
sp_either(struct rkj_obj *o, const char *key, const char *key2, int64_t *out,
    bool *epochs, int64_t lo, int64_t hi, int required)
{
	bool a = rkj_any(o, key) != NULL, b = rkj_any(o, key2) != NULL;

	if (a && b) {
		rkj_fault(o, key2, "and %s say the same thing: give one of "
		    "them", key);
		return false;
	}
	if (!a && !b) {
		if (required)
			rkj_fault(o, key, "is missing (or %s), want an integer "
			    "%lld to %lld", key2, (long long)lo, (long long)hi);
		return false;
	}
	if (!rkj_int(o, b ? key2 : key, out, lo, hi, RKJ_OPTIONAL))
		return false;
	*epochs = b && *out > 0;        /* none is the same in both units */
	return true;
}

static bool
text_ok(const char *s, size_t max, bool strict)
{
	size_t n = strlen(s);

	if (n > max || (strict && n == 0))
		return false;
	return !strict || strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._/-") == n;
}

static json_t *
text_of(const json_t *v)
{
	char digits[32];

	switch (json_typeof(v)) {
	case JSON_STRING:
		/* A NUL inside would be cut off silently. */
		return strlen(json_string_value(v)) == json_string_length(v) ?
		    json_string(json_string_value(v)) : NULL;
	case JSON_INTEGER:
		snprintf(digits, sizeof(digits), "%lld",
		    (long long)json_integer_value(v));
		return json_string(digits);
	case JSON_TRUE:
		return json_string("true");
	case JSON_FALSE:
		return json_string("false");
	default:
		return NULL;
	}
}

static bool
add_text(json_t *out, const char *key, const json_t *v, const char *path,
    size_t max, bool strict, struct rk_why *why)
{
	char shown[SP_SHOWN];
	json_t *t = text_of(v);

	if (t == NULL) {
		rk_refuse_at(why, path, "is %s, want text (in quotes if it "
		    "looks like a number)", sp_shown(v, shown));
		return false;
	}
	if (!text_ok(json_string_value(t), max, strict)) {
		rk_refuse_at(why, path, "is %s, want "
		    "%d to %zu%s", sp_shown(t, shown), strict, max,
		    strict ? " of [A-Za-z0-9._/-]" : " bytes");
		json_decref(t);
		return false;
	}
	json_object_set_new(out, key, t);
	return true;
}

json_t *
sp_texts(struct rkj_obj *o, const char *key, size_t max_entries,
    size_t max_value, bool strict)
{
	json_t *out = json_object();
	const json_t *v = rkj_any(o, key);
	const char *set = strict ? " of [A-Za-z0-9._/-]" : " bytes";
	char shown[SP_SHOWN];

	if (v == NULL)
		return out;
	if (!json_is_object(v)) {
		rkj_fault(o, key, "is %s, want an object of names to texts",
		    sp_shown(v, shown));
		return out;
	}
	if (json_object_size(v) > max_entries) {
		rkj_fault(o, key, "has %zu entries, want at most %zu",
		    json_object_size(v), max_entries);
		return out;
	}
	char *path = rkj_child(o, key);
	json_t *w = (json_t *)(uintptr_t)v;     /* iterated, not changed */
	for (void *it = json_object_iter(w); it != NULL;
	    it = json_object_iter_next(w, it)) {
		const char *k = json_object_iter_key(it);
		if (!text_ok(k, 64, strict) || k[0] == '\0') {
			rk_refuse_at(o->why, path, "has the name \"%.*s\", "
			    "want 1 to 64%s", (int)rk_text_fit(k, 80), k, set);
			o->bad = true;
		} else if (!json_is_null(json_object_iter_value(it))) {
			char *at = xasprintf("%s.%s", path, k);
			o->bad |= !add_text(out, k, json_object_iter_value(it),
			    at, max_value, strict, o->why);
			free(at);
		}
	}
	free(path);
	return out;
}
