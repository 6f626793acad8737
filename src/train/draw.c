/* Pictures: see draw.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/base_folders.h"
#include "draw.h"
#include "judging.h"

#define METRICS_FILE "metrics.jsonl"
#define READ_MAX     ((size_t)1 << 30)

/* --- files ---------------------------------------------------------------- */

static bool
save(struct run *r, const char *name, const struct strbuf *b)
{
	char *which;
	const int e = rk_make_folders(r->o->plot, 0777, &which);

	if (e != 0) {
		run_fail(r, "io", false, "cannot write %s/%s: cannot make the "
		    "folder %s: %s", r->o->plot, name, which != NULL ? which :
		    "\"\"", strerror(e));
		free(which);
		return false;
	}
	int fd = open(r->o->plot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rk_err rc = fd < 0 ? rk_from_errno(errno) :
	    rk_replace_file(fd, name, b->s, b->len);
	rk_close(&fd);
	if (rc != RK_OK)
		return run_fail(r, "io", false, "cannot write %s/%s: %s",
		    r->o->plot, name, rk_strerror(rc));
	if (r->o->evaluate == NULL)
		printf("%s/%s\n", r->o->plot, name);
	return true;
}

bool
draw_evaluation(struct run *r, const struct judge *j, const json_t *names)
{
	struct strbuf b = {0};
	bool ok = true;

	if (judge_draw_confusion(j, names, &b))
		ok = save(r, JUDGE_CONFUSION_SVG, &b);
	sb_reset(&b);
	if (ok && judge_draw_reliability(j, &b))
		ok = save(r, JUDGE_RELIABILITY_SVG, &b);
	sb_fini(&b);
	return ok;
}

/* --- a run ---------------------------------------------------------------- */

/* The lines of a file in the run's folder that are objects; only_last: the last
 * of them. */
static json_t *
read_lines(const char *dir, const char *name, bool only_last)
{
	char *path = xasprintf("%s/%s", dir, name), *text = NULL;
	json_t *lines = json_array(), *v;
	size_t len = 0;

	if (rk_read_file(AT_FDCWD, path, READ_MAX, &text, &len) != RK_OK)
		len = 0;
	free(path);
	for (size_t at = 0; at < len;) {
		const char *nl = memchr(text + at, '\n', len - at);
		if (nl == NULL)         /* its end is still to come */
			break;
		const size_t n = (size_t)(nl - text) - at;
		v = NULL;
		if (rkj_parse_json(text + at, n, &v, NULL) == RK_OK &&
		    json_is_object(v)) {
			if (only_last)
				json_array_clear(lines);
			must(json_array_append(lines, v) == 0);
		}
		json_decref(v);
		at += n + 1;
	}
	free(text);
	return lines;
}

static bool
draw_curves(struct run *r, const char *dir, bool *any)
{
	json_t *lines = read_lines(dir, METRICS_FILE, false);
	struct strbuf b = {0};
	bool ok = true;

	*any = judge_draw_curves(lines, r->spec->name, &b);
	if (*any)
		ok = save(r, JUDGE_CURVES_SVG, &b);
	sb_fini(&b);
	json_decref(lines);
	return ok;
}

static bool
draw_newest(struct run *r, const char *dir)
{
	json_t *lines = read_lines(dir, EVALUATIONS_FILE, true);
	const json_t *v = json_array_get(lines, 0);
	struct judge *j = NULL;
	bool ok = true;

	if (judge_parse(json_object_get(v, "counts"), &j, NULL) == RK_OK)
		ok = draw_evaluation(r, j, json_object_get(v, "names"));
	judge_free(j);
	json_decref(lines);
	return ok;
}

bool
draw_print(struct run *r)
{
	char *dir = r->o->run_dir != NULL ? xstrdup(r->o->run_dir) :
	    xasprintf("%s.run", r->spec->name);
	bool any = false, ok = draw_curves(r, dir, &any);

	if (ok && !any)
		ok = run_fail(r, "io", false, "%s has no " METRICS_FILE
		    " with a loss in it: nothing can be drawn", dir);
	ok = ok && draw_newest(r, dir);
	free(dir);
	return ok;
}
