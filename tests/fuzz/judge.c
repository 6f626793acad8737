/* module: judge */
/* The counts of an evaluation, as a file or a daemon has them: what is taken is
 * written and read again to the same report, and can be drawn.  And lines of
 * metrics, of which curves are drawn. */
#include <string.h>

#include "rekindle/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
draw(const struct judge *j, const json_t *names)
{
	struct strbuf b = {0};

	(void)judge_draw_confusion(j, names, &b);
	(void)judge_draw_reliability(j, &b);
	sb_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct judge *a = NULL, *b = NULL;
	struct strbuf curves = {0};
	json_t *v = NULL;

	if (rkj_parse_json((const char *)p, n, &v, NULL) != RK_OK)
		return 0;
	(void)judge_draw_curves(v, "", &curves);
	sb_fini(&curves);
	if (judge_parse(v, &a, NULL) == RK_OK) {
		json_t *w = judge_counts(a);
		must(judge_parse(w, &b, NULL) == RK_OK);
		json_t *x = judge_report(a, json_object_get(v, "names"));
		json_t *y = judge_report(b, json_object_get(v, "names"));
		must(json_equal(x, y));
		draw(a, json_object_get(v, "names"));
		json_decref(w);
		json_decref(x);
		json_decref(y);
	}
	judge_free(a);
	judge_free(b);
	json_decref(v);
	return 0;
}
