/*
 * A line to a message.  One table says which field belongs to which types, what
 * it must be and where it goes, so that adding a field is adding a row.
 */
#include <math.h>
#include <string.h>

#include "rekindle/wire.h"

#define WORD_MAX 64             /* bytes of a kind or a reason */
#define COUNT_MAX ((int64_t)1 << 53)

const char *const wire_words[] = {
	"hello", "plan", "event", "progress", "metric", "checkpoint", "log",
	"done", "failed", "pause", "stop", "alive", NULL
};
static const char *const outcomes[] = {
	"succeeded", "paused", "stopped", NULL
};

enum kind {
	K_COUNT,                /* whole number, 0 to 2^53 */
	K_REAL,
	K_AMOUNT,               /* real, not negative */
	K_TEXT,
	K_WORD,                 /* lower case letters, digits and _ */
	K_NAME,                 /* a plain file name, or "" */
	K_DIGEST,               /* 64 hex digits, or "" */
	K_OBJECT,
	K_BOOL,
	K_LEVEL,
	K_OUTCOME
};

#define T(t)      (1u << WIRE_##t)
#define F(member) offsetof(struct wire_msg, member)
#define NO_HAS    0

static const struct field {
	const char *key;
	enum kind kind;
	unsigned types;         /* the types that it belongs to ... */
	unsigned required;      /* ... and those that cannot be without */
	size_t at;
	size_t has;             /* a bool: it was there; or NO_HAS */
} fields[] = {
	{ "version", K_COUNT, T(HELLO), T(HELLO), F(version), NO_HAS },
	{ "pid", K_COUNT, T(HELLO), 0, F(pid), NO_HAS },
	{ "producer", K_TEXT, T(HELLO), 0, F(producer), NO_HAS },
	{ "from", K_NAME, T(HELLO), 0, F(from), NO_HAS },
	{ "branch", K_COUNT, T(HELLO), 0, F(branch), NO_HAS },
	{ "steps_total", K_COUNT, T(HELLO), 0, F(steps_total), NO_HAS },
	{ "epochs_total", K_COUNT, T(HELLO), 0, F(epochs_total), NO_HAS },
	{ "phases", K_COUNT, T(HELLO), 0, F(phases), NO_HAS },
	{ "phase", K_COUNT, T(HELLO) | T(PROGRESS), 0, F(phase), NO_HAS },
	{ "parameters", K_COUNT, T(HELLO), 0, F(parameters), NO_HAS },
	{ "memory", K_COUNT, T(HELLO), 0, F(memory), NO_HAS },
	{ "schedule", K_OBJECT, T(HELLO) | T(PROGRESS), 0, F(schedule),
	    NO_HAS },
	{ "arithmetic", K_OBJECT, T(HELLO) | T(CHECKPOINT), 0, F(arithmetic),
	    NO_HAS },
	{ "inexact", K_OBJECT, T(HELLO) | T(CHECKPOINT), 0, F(inexact),
	    NO_HAS },
	{ "step", K_COUNT, T(HELLO) | T(PROGRESS) | T(CHECKPOINT) | T(DONE),
	    T(PROGRESS), F(step), NO_HAS },
	{ "epoch", K_COUNT, T(HELLO) | T(PROGRESS) | T(CHECKPOINT), 0,
	    F(epoch), NO_HAS },
	{ "summary", K_TEXT, T(PLAN), T(PLAN), F(summary), NO_HAS },
	{ "plan", K_OBJECT, T(PLAN), 0, F(plan), NO_HAS },
	{ "kind", K_WORD, T(EVENT), T(EVENT), F(kind), NO_HAS },
	{ "message", K_TEXT, T(EVENT) | T(LOG) | T(FAILED) | T(DONE),
	    T(EVENT) | T(LOG), F(message), NO_HAS },
	{ "level", K_LEVEL, T(LOG), 0, F(level), NO_HAS },
	{ "loss", K_REAL, T(PROGRESS), 0, F(loss), F(has_loss) },
	{ "accuracy", K_REAL, T(PROGRESS), 0, F(accuracy), F(has_accuracy) },
	{ "learning_rate", K_REAL, T(PROGRESS), 0, F(learning_rate), NO_HAS },
	{ "samples_per_second", K_AMOUNT, T(PROGRESS), 0,
	    F(samples_per_second), NO_HAS },
	{ "eta_seconds", K_AMOUNT, T(PROGRESS), 0, F(eta_seconds), NO_HAS },
	{ "stall_ratio", K_AMOUNT, T(PROGRESS), 0, F(stall_ratio), NO_HAS },
	{ "data_wait_ratio", K_AMOUNT, T(PROGRESS), 0, F(data_wait_ratio),
	    F(has_data_wait) },
	{ "broken", K_COUNT, T(PROGRESS), 0, F(broken), NO_HAS },
	{ "data", K_OBJECT, T(HELLO), 0, F(data), NO_HAS },
	{ "metric", K_OBJECT, T(METRIC), T(METRIC), F(metric), NO_HAS },
	{ "checkpoint", K_NAME, T(CHECKPOINT) | T(DONE), 0, F(checkpoint),
	    NO_HAS },
	{ "name", K_NAME, T(CHECKPOINT), 0, F(name), NO_HAS },
	{ "digest", K_DIGEST, T(CHECKPOINT), 0, F(digest), NO_HAS },
	{ "bytes", K_COUNT, T(CHECKPOINT), 0, F(bytes), NO_HAS },
	{ "metrics", K_OBJECT, T(CHECKPOINT) | T(DONE), 0, F(metrics), NO_HAS },
	{ "stall_seconds", K_AMOUNT, T(CHECKPOINT), 0, F(stall_seconds),
	    NO_HAS },
	{ "write_seconds", K_AMOUNT, T(CHECKPOINT), 0, F(write_seconds),
	    NO_HAS },
	{ "outcome", K_OUTCOME, T(DONE), T(DONE), F(outcome), NO_HAS },
	{ "reason", K_WORD, T(FAILED) | T(DONE), T(FAILED), F(reason),
	    NO_HAS },
	{ "permanent", K_BOOL, T(FAILED), 0, F(permanent), NO_HAS },
	{ "refused", K_BOOL, T(HELLO), 0, F(refused), NO_HAS },
	{ "details", K_OBJECT, T(FAILED), 0, F(details), NO_HAS },
	{ "deadline_seconds", K_AMOUNT, T(PAUSE) | T(STOP), T(PAUSE) | T(STOP),
	    F(deadline_seconds), NO_HAS },
};

void
wire_msg_fini(struct wire_msg *m)
{
	json_decref(m->tree);
	*m = (struct wire_msg){ .type = WIRE_UNKNOWN };
}

static int
word_index(const char *const *words, const char *s)
{
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], s) == 0)
			return i;
	}
	return -1;
}

static bool
is_word(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n > 0 && n <= WORD_MAX && s[n] == '\0';
}

static bool
is_digest(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return s[n] == '\0' && (n == 0 || n == RK_SHA256_HEX - 1);
}

static bool
get_number(const json_t *v, enum kind k, void *out)
{
	double x;

	if (k == K_COUNT) {
		int64_t n = json_integer_value(v);
		if (!json_is_integer(v) || n < 0 || n > COUNT_MAX)
			return false;
		*(int64_t *)out = n;
		return true;
	}
	x = json_number_value(v);
	if (!json_is_number(v) || !isfinite(x) || (k == K_AMOUNT && x < 0))
		return false;
	*(double *)out = x;
	return true;
}

static bool
get_string(const json_t *v, enum kind k, const char **out)
{
	const char *s = json_string_value(v);

	if (s == NULL || (k == K_WORD && !is_word(s)) ||
	    (k == K_NAME && s[0] != '\0' && !rk_name_ok(s)) ||
	    (k == K_DIGEST && !is_digest(s)))
		return false;
	*out = s;
	return true;
}

/* Put v where the field goes; false if it is not of its kind. */
static bool
get(const json_t *v, enum kind k, char *at)
{
	const char *s = json_string_value(v);
	int i;

	switch (k) {
	case K_COUNT:
	case K_REAL:
	case K_AMOUNT:
		return get_number(v, k, at);
	case K_TEXT:
	case K_WORD:
	case K_NAME:
	case K_DIGEST:
		return get_string(v, k, (const char **)(void *)at);
	case K_OBJECT:
		*(const json_t **)(void *)at = v;
		return json_is_object(v);
	case K_BOOL:
		*(bool *)at = json_is_true(v);
		return json_is_boolean(v);
	case K_LEVEL:
		return s != NULL &&
		    log_level_from_name(s, (enum log_level *)(void *)at);
	case K_OUTCOME:
		i = s != NULL ? word_index(outcomes, s) : -1;
		*(enum wire_outcome *)(void *)at = (enum wire_outcome)i;
		return i >= 0;
	}
	return false;
}

static const char *
wanted(enum kind k)
{
	switch (k) {
	case K_COUNT:   return "a whole number, 0 to 2^53";
	case K_REAL:    return "a number";
	case K_AMOUNT:  return "a number that is not negative";
	case K_TEXT:    return "text";
	case K_WORD:    return "a word of a-z, 0-9 and _";
	case K_NAME:    return "a plain name of at most 64 characters, or \"\"";
	case K_DIGEST:  return "64 hex digits, or \"\"";
	case K_OBJECT:  return "an object";
	case K_BOOL:    return "true or false";
	case K_LEVEL:   return "debug, info, warn or error";
	case K_OUTCOME: return "succeeded, paused or stopped";
	}
	return "something else";
}

static bool
is_string_kind(enum kind k)
{
	return k == K_TEXT || k == K_WORD || k == K_NAME || k == K_DIGEST;
}

static void
get_field(struct wire_msg *m, const struct field *f, struct rk_why *why,
    bool *bad)
{
	const json_t *v = json_object_get(m->tree, f->key);
	char *at = (char *)m + f->at;

	if (v == NULL || json_is_null(v)) {
		if (is_string_kind(f->kind))
			*(const char **)(void *)at = "";
		if ((f->required & 1u << m->type) == 0)
			return;
		rk_refuse_at(why, f->key, "is missing in \"%s\", want %s",
		    wire_words[m->type], wanted(f->kind));
		*bad = true;
		return;
	}
	if (!get(v, f->kind, at)) {
		rk_refuse_at(why, f->key, "is wrong in \"%s\", want %s",
		    wire_words[m->type], wanted(f->kind));
		*bad = true;
		return;
	}
	if (f->has != NO_HAS)
		*(bool *)((char *)m + f->has) = true;
}

enum rk_err
wire_parse(const char *s, size_t len, struct wire_msg *m, struct rk_why *why)
{
	bool bad = false;
	int type;

	*m = (struct wire_msg){ .type = WIRE_UNKNOWN, .level = LOG_L_INFO };
	if (len > WIRE_LINE_MAX)
		return rk_refuse(why, "a line of %zu bytes, at most %u are "
		    "taken", len, WIRE_LINE_MAX);
	enum rk_err rc = rkj_parse_json(s, len, &m->tree, why);
	if (rc != RK_OK)
		return rc;

	const char *word = json_string_value(json_object_get(m->tree, "type"));
	if (!json_is_object(m->tree) || word == NULL) {
		wire_msg_fini(m);
		return rk_refuse(why, "the line is no object with a \"type\"");
	}
	type = word_index(wire_words, word);
	if (type < 0)
		return RK_OK;
	m->type = (enum wire_type)type;
	for (size_t i = 0; i < RK_ARRAY_LEN(fields); i++) {
		if ((fields[i].types & 1u << type) != 0)
			get_field(m, &fields[i], why, &bad);
	}
	if (!bad && m->type == WIRE_HELLO && m->version != WIRE_VERSION) {
		rk_refuse_at(why, "version", "is %lld, we speak %d",
		    (long long)m->version, WIRE_VERSION);
		bad = true;
	}
	if (bad) {
		wire_msg_fini(m);
		return RK_EINVAL;
	}
	return RK_OK;
}
