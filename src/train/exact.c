/*
 * Exactness: are the bytes those of a run that nothing interrupted?
 *
 * Resume is exact by construction (train.h), as long as what computes a step is
 * the same: the arithmetic (kernel_arithmetic) and the program that the network
 * is compiled to (nn_digest).  A checkpoint says what it was computed with; an
 * attempt that goes on with something else says so, and its checkpoints carry
 * that on (ckpt.h, `inexact`), unless the job wants no such attempt.
 */
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define IDENTITY_KEY "identity"
#define MODE_KEY     "mode"
#define DECODER_KEY  "decoder"

json_t *
exact_arithmetic(const struct run *r)
{
	struct kernel_fact v[KERNEL_FACTS];
	const size_t n = kernel_arithmetic(v);
	const struct data_set *d = r->train != NULL ? r->train : r->valid;
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		js_put(o, v[i].key, js_text(v[i].value));
	js_put(o, IDENTITY_KEY, js_text(TRAIN_IDENTITY));
	if (d != NULL && data_decoder(d) != NULL)
		js_put(o, DECODER_KEY, js_text(data_decoder(d)));
	js_put(o, MODE_KEY, js_text(spec_arithmetic_words[
	    r->spec->training.arithmetic]));
	return o;
}

/* The same of a checkpoint; NULL where it does not say.  A new reference. */
static json_t *
arithmetic_of(const struct ckpt_info *i)
{
	if (json_object_size(i->arithmetic) == 0)
		return NULL;
	json_t *o = json_deep_copy(i->arithmetic);
	if (json_object_get(o, IDENTITY_KEY) == NULL)
		js_put(o, IDENTITY_KEY, js_text(TRAIN_IDENTITY_UNSAID));
	return o;
}

/* --- exact or fast -------------------------------------------------------- */

/* What training.arithmetic was when i was taken, by the job that it has
 * recorded. */
static enum spec_arithmetic
mode_of(const struct ckpt_info *i)
{
	const json_t *spec = json_object_get(i->state, "spec");
	const char *word = json_string_value(json_object_get(json_object_get(
	    spec, "training"), "arithmetic"));

	return word != NULL && strcmp(word, spec_arithmetic_words[
	    SPEC_ARITHMETIC_FAST]) == 0 ? SPEC_ARITHMETIC_FAST :
	    SPEC_ARITHMETIC_EXACT;
}

void
exact_settle(struct run *r, const struct ckpt_info *i)
{
	struct spec_training *t = &r->spec->training;

	if (t->arithmetic_said || r->rep.wire != NULL)
		return;
	if (i != NULL) {
		t->arithmetic = mode_of(i);
		t->arithmetic_said = true;
	} else {
		spec_begin_new(r->spec);
	}
	spec_digest(r->spec, r->spec_digest);
	json_decref(r->spec_record);
	r->spec_record = spec_record(r->spec);
}

void
exact_tell_mode(struct run *r, const struct ckpt_info *i)
{
	const enum spec_arithmetic is = r->spec->training.arithmetic;

	if (mode_of(i) != is)
		report_event(&r->rep, "arithmetic_chosen", "training.arithmetic "
		    "is %s now, as the job says; %s was computed %s",
		    spec_arithmetic_words[is], i->dir,
		    spec_arithmetic_words[mode_of(i)]);
}

/* --- is it the same? ------------------------------------------------------ */

/* How a checkpoint's arithmetic is to ours. */
enum likeness { SAME, CHANGED, UNKNOWN };

/* A field of a job that it need not have. */
static bool
is_same_field(const json_t *was, const json_t *is, const char *key)
{
	const json_t *a = json_object_get(was, key);
	const json_t *b = json_object_get(is, key);

	return a == b || json_equal(a, b);
}

/* What a person changed of the network, of the loss, of what is trained or of
 * the arithmetic makes another program, and no break. */
static bool
is_same_network(const struct run *r, const struct ckpt_info *i)
{
	const json_t *was = json_object_get(i->state, "spec");
	const json_t *is = r->spec_record;
	const json_t *before = json_object_get(was, "training");
	const json_t *now = json_object_get(is, "training");
	static const char *const fields[] = { "loss", "parameters", "phases",
		"frozen_batch_norm", "arithmetic" };

	if (strcmp(i->spec_digest, r->spec_digest) == 0)
		return true;
	for (size_t k = 0; was != NULL && k < RK_ARRAY_LEN(fields); k++)
		if (!is_same_field(before, now, fields[k]))
			return false;
	return was != NULL && is_same_field(was, is, "model");
}

/* The programs, by as much of their digests as people compare. */
static void
compare_programs(const struct run *r, const struct ckpt_info *i,
    struct strbuf *b)
{
	if (i->program[0] == '\0' || strcmp(i->program, r->program) == 0 ||
	    !is_same_network(r, i))
		return;
	sb_addf(b, "%sprogram was %.12s, is %.12s", b->len > 0 ? ", " : "",
	    i->program, r->program);
}

/* A checkpoint records what its process would have computed with, also what
 * this network has nothing of: that changes none of its bits. */
static void
drop_unused(const struct run *r, json_t *arithmetic)
{
	struct kernel_fact v[KERNEL_FACTS];
	const size_t n = kernel_arithmetic(v);

	for (size_t i = 0; i < n; i++)
		if (v[i].of == KERNEL_OF_CONVOLUTIONS &&
		    !nn_has_convolutions(r->nn))
			json_object_del(arithmetic, v[i].key);
}

/*
 * Only what both have is compared: a version that records more or less than
 * another does not by that compute another way.  *text says what differs, "gemm
 * was oneDNN 2.6.3, is OpenBLAS 0.3.21, ..."; the caller frees.
 */
static enum likeness
compare(const struct run *r, const struct ckpt_info *i, char **text)
{
	json_t *theirs = arithmetic_of(i), *ours = exact_arithmetic(r), *v;
	struct strbuf b = {0};
	const char *key;
	bool any = false;

	drop_unused(r, ours);
	json_object_foreach(ours, key, v) {
		const json_t *was = json_object_get(theirs, key);
		/* The mode is what the job asks for, and no break. */
		if (was == NULL || strcmp(key, MODE_KEY) == 0)
			continue;
		any = true;
		if (!json_equal(was, v))
			sb_addf(&b, "%s%s was %s, is %s", b.len > 0 ? ", " : "",
			    key, json_string_value(was), json_string_value(v));
	}
	json_decref(ours);
	json_decref(theirs);
	if (any)
		compare_programs(r, i, &b);
	enum likeness is = !any ? UNKNOWN : b.len > 0 ? CHANGED : SAME;
	*text = rk_text_clean(sb_detach(&b));
	return is;
}

/* "the arithmetic has changed since step-000000100 was taken (gemm was ...)" */
static char *
sentence(const char *dir, enum likeness is, const char *what)
{
	if (is == CHANGED)
		return xasprintf("the arithmetic has changed since %s was "
		    "taken (%s)", dir, what);
	return xasprintf("%s does not say what arithmetic it was computed with "
	    "(an earlier version took it)", dir);
}

bool
exact_allows(struct run *r, const struct ckpt_info *i)
{
	char *what;
	enum likeness is = compare(r, i, &what);
	bool ok = is == SAME ||
	    r->spec->training.exact != SPEC_EXACT_REQUIRE;

	if (!ok) {
		char *s = sentence(i->dir, is, what);
		json_t *details = json_pack("{s:s, s:O?, s:o}", "checkpoint",
		    i->dir, "was", i->arithmetic, "is", exact_arithmetic(r));
		must(details != NULL);
		/* The daemon has words of its own for what to do. */
		run_fail_waits(r, "arithmetic_changed", details, "%s, and "
		    "training.exact is require%s", s, r->rep.wire != NULL ? "" :
		    ": go on where it is the same, or with --set "
		    "training.exact=prefer");
		free(s);
	}
	free(what);
	return ok;
}

static const char unknown[] = "arithmetic_unknown";

static json_t *
pack_break(const struct run *r, const char *reason, const char *message)
{
	json_t *v = json_pack("{s:s, s:I, s:I, s:o}", "reason", reason,
	    "attempt", (json_int_t)r->rep.attempt, "step",
	    (json_int_t)r->exact.from, "message", js_text(message));

	must(v != NULL);
	return v;
}

static bool
is_known_break(const json_t *inexact)
{
	const char *reason = json_string_value(json_object_get(inexact,
	    "reason"));

	return reason != NULL && strcmp(reason, unknown) != 0;
}

void
exact_tell(struct run *r, const struct ckpt_info *i)
{
	static const struct {
		const char *reason, *but;
	} words[] = {
		[CHANGED] = { "arithmetic_changed", "what follows is not bit "
		    "for bit what it would have computed" },
		[UNKNOWN] = { unknown, "whether what follows is bit for bit "
		    "the same is not known" },
	};
	char *what;
	enum likeness is = compare(r, i, &what);

	r->exact.why_not = json_incref(i->inexact);
	r->exact.from = i->step;
	if (is != SAME) {
		char *s = sentence(i->dir, is, what);
		report_event(&r->rep, words[is].reason, "%s: %s", s,
		    words[is].but);
		/* The first break on the way here counts; to know that there is
		 * one says more than not to know. */
		if (i->inexact == NULL ||
		    (is == CHANGED && !is_known_break(i->inexact))) {
			json_decref(r->exact.why_not);
			r->exact.why_not = pack_break(r, words[is].reason, s);
		}
		free(s);
	}
	free(what);
}

json_t *
exact_why_not(const struct run *r)
{
	json_t *v;

	if (!r->exact.other_data || is_known_break(r->exact.why_not))
		return json_incref(r->exact.why_not);
	char *s = xasprintf("the data has changed since %s was taken, which "
	    "was accepted", r->parent);
	v = pack_break(r, "data_changed", s);
	free(s);
	return v;
}

void
exact_put(const struct run *r, json_t *message)
{
	json_t *why_not = exact_why_not(r);

	js_put(message, "arithmetic", exact_arithmetic(r));
	if (why_not != NULL)
		js_put(message, "inexact", why_not);
}
