/* The parts of a model card about training: the recipe, and the ancestors. */
#include <stdlib.h>
#include <string.h>

#include "card.h"

#define INDENT_MAX 64

/* --- the recipe ----------------------------------------------------------- */

/* "adamw (learning_rate 0.001, weight_decay 0.05)" of an object with a type, or
 * of a word. */
static void
typed(struct strbuf *b, json_t *o)
{
	const char *key, *open = " (";
	json_t *v;

	if (json_is_string(o)) {
		md_code(b, json_string_value(o), false);
		return;
	}
	md_code(b, card_text(o, "type"), false);
	json_object_foreach(o, key, v) {
		/* What is 0 is not used. */
		if (!json_is_number(v) || json_number_value(v) == 0)
			continue;
		sb_adds(b, open);
		md_text(b, key);
		sb_addc(b, ' ');
		card_number(b, v);
		open = ", ";
	}
	if (*open == ',')
		sb_addc(b, ')');
}

static void
typed_line(struct strbuf *b, const char *what, const json_t *training,
    const char *key)
{
	json_t *v = json_object_get(training, key);

	if (!json_is_object(v) && !json_is_string(v))
		return;
	card_begin(b, what);
	typed(b, v);
	sb_addc(b, '\n');
}

static void
number_line(struct strbuf *b, const char *what, const json_t *o,
    const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_number(v))
		return;
	/* A training has a length in epochs or in steps; the other is 0. */
	if (strcmp(key, "seed") != 0 && json_number_value(v) == 0)
		return;
	card_begin(b, what);
	card_number(b, v);
	sb_addc(b, '\n');
}

/* "`fc.*` for 2 epochs" */
static void
put_phase(struct strbuf *b, const json_t *phase)
{
	static const char *const units[] = { "epochs", "steps" };
	const json_t *train = json_object_get(phase, "train"), *v;
	const json_t *scale = json_object_get(phase, "learning_rate_scale");
	size_t i;

	json_array_foreach(train, i, v) {
		sb_adds(b, i > 0 ? ", " : "");
		md_code(b, json_is_string(v) ? json_string_value(v) : "?",
		    false);
	}
	for (i = 0; i < RK_ARRAY_LEN(units); i++) {
		v = json_object_get(phase, units[i]);
		if (!json_is_integer(v) || json_integer_value(v) == 0)
			continue;
		sb_adds(b, " for ");
		card_number(b, v);
		sb_addf(b, " %s", units[i]);
	}
	if (json_is_number(scale)) {
		sb_adds(b, ", rate times ");
		card_number(b, scale);
	}
}

static void
put_phases(struct strbuf *b, const json_t *phases)
{
	const json_t *p;
	size_t i;

	if (json_array_size(phases) == 0)
		return;
	card_begin(b, "Phases");
	json_array_foreach(phases, i, p) {
		sb_adds(b, i > 0 ? "; then " : "");
		put_phase(b, p);
	}
	sb_addc(b, '\n');
}

static void
put_warm_start(struct strbuf *b, const json_t *record)
{
	const json_t *spec = json_object_get(record, "spec");
	const json_t *model = json_object_get(spec, "model");
	const json_t *grow = json_object_get(model, "grow");
	const char *from = card_text(model, "checkpoint");
	const char *said = card_text(model, "checkpoint_said");
	const char *plan = card_text(json_object_get(record, "lineage"),
	    "plan");

	card_begin(b, "Warm start");
	if (*from == '\0') {
		sb_adds(b, "none\n");
		return;
	}
	sb_adds(b, "from ");
	if (*said != '\0') {
		md_code(b, said, false);
		sb_adds(b, ", which was ");
	}
	md_code(b, from, false);
	if (json_is_object(grow) || json_array_size(grow) > 0) {
		char *text = rkj_text(grow);
		sb_adds(b, ", growing ");
		md_code(b, text, false);
		free(text);
	}
	sb_addc(b, '\n');
	card_begin(b, "Loaded by it");
	if (*plan != '\0')
		md_text(b, plan);
	else
		sb_adds(b, "not recorded");
	sb_addc(b, '\n');
}

static void
put_source(struct strbuf *b, const json_t *source)
{
	const char *address = card_text(source, "address");

	if (*address != '\0') {
		card_begin(b, "File");
		md_code(b, address, false);
		sb_addc(b, '\n');
		return;
	}
	card_begin(b, "Job");
	md_code(b, card_text(source, "name"), false);
	sb_addc(b, ' ');
	md_code(b, card_text(source, "job"), false);
	sb_adds(b, ", checkpoint ");
	md_code(b, card_text(source, "checkpoint"), false);
	sb_adds(b, ", epoch ");
	card_number(b, json_object_get(source, "epoch"));
	sb_addc(b, '\n');
}

void
card_recipe(struct strbuf *b, const json_t *record)
{
	const json_t *source = json_object_get(record, "source");
	const json_t *spec = json_object_get(record, "spec");
	const json_t *training = json_object_get(spec, "training");

	if (json_is_object(source))
		put_source(b, source);
	if (!json_is_object(training)) {
		sb_addf(b, "- **Recipe:** %s\n", card_lack(record, "spec"));
		return;
	}
	number_line(b, "Epochs", training, "epochs");
	number_line(b, "Steps", training, "steps");
	number_line(b, "Batch size", training, "batch_size");
	number_line(b, "Seed", training, "seed");
	typed_line(b, "Optimizer", training, "optimizer");
	typed_line(b, "Schedule", training, "schedule");
	typed_line(b, "Loss", training, "loss");
	put_phases(b, json_object_get(training, "phases"));
	put_warm_start(b, record);
}

/* --- the ancestors -------------------------------------------------------- */

static void
put_version(struct strbuf *b, const json_t *n)
{
	char *which = xasprintf("%s/%lld", card_text(n, "model"),
	    (long long)json_integer_value(json_object_get(n, "version")));

	md_code(b, which, false);
	free(which);
	if (*card_text(n, "author") != '\0') {
		sb_adds(b, " by ");
		md_text(b, card_text(n, "author"));
	}
	if (*card_text(n, "created_at") != '\0') {
		sb_adds(b, ", ");
		md_text(b, card_text(n, "created_at"));
	}
	if (json_is_true(json_object_get(n, "deleted")))
		sb_adds(b, ", **deleted**");
	if (json_is_true(json_object_get(n, "unknown")))
		sb_adds(b, ", **of no log that is known here**");
}

static void
put_job(struct strbuf *b, const json_t *n)
{
	const char *source = card_text(json_object_get(n, "data"), "source");

	sb_adds(b, "job ");
	md_code(b, card_text(n, "name"), false);
	sb_addc(b, ' ');
	md_code(b, card_text(n, "job"), false);
	sb_adds(b, ", checkpoint ");
	md_code(b, card_text(n, "checkpoint"), false);
	if (*source != '\0') {
		sb_adds(b, ", on ");
		md_text(b, source);
	}
}

static void
put_file(struct strbuf *b, const json_t *n)
{
	sb_adds(b, "file ");
	md_code(b, card_text(n, "address"), false);
	sb_adds(b, ", SHA-256 ");
	if (*card_text(n, "sha256") != '\0')
		md_code(b, card_text(n, "sha256"), false);
	else
		sb_adds(b, "not recorded");
}

static void
put_node(struct strbuf *b, const json_t *n, int depth)
{
	const char *kind = card_text(n, "kind");
	const json_t *p;
	size_t i;

	sb_addf(b, "%*s- ", 2 * depth, "");
	if (strcmp(kind, "version") == 0)
		put_version(b, n);
	else if (strcmp(kind, "job") == 0)
		put_job(b, n);
	else
		put_file(b, n);
	sb_adds(b, json_is_true(json_object_get(n, "cut")) ||
	    depth >= INDENT_MAX ? ", and more\n" : "\n");
	if (depth < INDENT_MAX)
		json_array_foreach(json_object_get(n, "parents"), i, p)
			put_node(b, p, depth + 1);
}

void
card_lineage(struct strbuf *b, const json_t *lineage)
{
	if (json_is_object(lineage))
		put_node(b, lineage, 0);
	else
		sb_adds(b, "not recorded\n");
}
