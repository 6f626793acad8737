/*
 * Exactness: are the bytes those of a run that nothing interrupted?
 *
 * Resume is exact by construction (train.h), as long as what computes a step is
 * the same (kernel_arithmetic).  A checkpoint says what it was computed with;
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

/*
 * Only what both have is compared: a version that records more or less than
 * another does not by that compute another way.  *text says what differs, "gemm
 * was oneDNN 2.6.3, is OpenBLAS 0.3.21, ..."; the caller frees.
 */
static enum likeness
compare(const json_t *theirs, char **text)
{
	json_t *ours = exact_arithmetic(), *v;
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
	enum likeness is = compare(i->arithmetic, &what);
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

void
exact_tell(struct run *r, const struct ckpt_info *i)
{
	static const char *const reasons[] = {
		[CHANGED] = "arithmetic_changed",
		[UNKNOWN] = "arithmetic_unknown",
	};
	char *what;
	enum likeness is = compare(i->arithmetic, &what);
	const char *before = json_string_value(json_object_get(i->inexact,
	    "reason"));

	r->inexact = json_incref(i->inexact);
	if (is == SAME) {
		free(what);
		return;
	}
	char *s = sentence(i->dir, is, what);
	report_event(&r->rep, reasons[is], is == CHANGED ? "%s: what follows "
	    "is not bit for bit what it would have computed" : "%s: whether "
	    "what follows is bit for bit the same is not known", s);
	/* The first break counts; to know that there is one says more than not
	 * to know. */
	if (before == NULL || (is == CHANGED &&
	    strcmp(before, reasons[UNKNOWN]) == 0)) {
		json_decref(r->inexact);
		r->inexact = json_pack("{s:s, s:I, s:I, s:o}",
		    "reason", reasons[is],
		    "attempt", (json_int_t)r->rep.attempt,
		    "step", (json_int_t)i->step, "message", js_text(s));
		must(r->inexact != NULL);
	}
	free(s);
	free(what);
}
