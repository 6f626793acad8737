/*
 * Exactness: are the bytes those of a run that nothing interrupted?
 *
 * Resume is exact by construction (train.h), as long as what computes a step is
 * the same: the arithmetic (kernel_arithmetic) and the program that the network is
 * compiled to (nn_digest).  A checkpoint says what it was computed with;
 * an attempt that goes on with something else says so, and its checkpoints carry
 * that on (ckpt.h, `inexact`), unless the job wants no such attempt.
 */
#include <stdlib.h>
#include <string.h>

#include "run.h"

json_t *
exact_arithmetic(void)
{
	struct kernel_fact v[KERNEL_FACTS];
	const size_t n = kernel_arithmetic(v);
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		js_put(o, v[i].key, js_text(v[i].value));
	return o;
}

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

/* What a person changed of the network, of the loss or of what is trained makes
 * another program, and no break. */
static bool
is_same_network(const struct run *r, const struct ckpt_info *i)
{
	const json_t *was = json_object_get(i->state, "spec");
	const json_t *is = r->spec_record;
	const json_t *before = json_object_get(was, "training");
	const json_t *now = json_object_get(is, "training");

	if (strcmp(i->spec_digest, r->spec_digest) == 0)
		return true;
	return was != NULL && is_same_field(was, is, "model") &&
	    is_same_field(before, now, "loss") &&
	    is_same_field(before, now, "parameters");
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

/*
 * Only what both have is compared: a version that records more or less than
 * another does not by that compute another way.  *text says what differs, "gemm
 * was oneDNN 2.6.3, is OpenBLAS 0.3.21, ..."; the caller frees.
 */
static enum likeness
compare(const struct run *r, const struct ckpt_info *i, char **text)
{
	json_t *theirs = i->arithmetic, *ours = exact_arithmetic(), *v;
	struct strbuf b = {0};
	const char *key;
	bool any = false;

	json_object_foreach(ours, key, v) {
		const json_t *was = json_object_get(theirs, key);
		if (was == NULL)
			continue;
		any = true;
		if (!json_equal(was, v))
			sb_addf(&b, "%s%s was %s, is %s", b.len > 0 ? ", " : "",
			    key, json_string_value(was), json_string_value(v));
	}
	json_decref(ours);
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
		    i->dir, "was", i->arithmetic, "is", exact_arithmetic());
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

	js_put(message, "arithmetic", exact_arithmetic());
	if (why_not != NULL)
		js_put(message, "inexact", why_not);
}
