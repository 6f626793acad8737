/* RUN-DIR/evaluations.jsonl: see judging.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "judging.h"

#define FIRST "{\"evaluation\":"

/* --- what is there -------------------------------------------------------- */

/* The number of the last whole line that has one; 0: none has. */
static int64_t
last_number(const char *text, size_t len)
{
	const char *end = len > 0 ? memrchr(text, '\n', len) : NULL;

	while (end != NULL && end > text) {
		const char *nl = memrchr(text, '\n', (size_t)(end - text));
		const char *line = nl != NULL ? nl + 1 : text;
		if (strncmp(line, FIRST, strlen(FIRST)) == 0) {
			int64_t n = strtoll(line + strlen(FIRST), NULL, 10);
			if (n > 0 && n < INT64_MAX / 2)
				return n;
		}
		if (nl == NULL)
			break;
		end = nl;
	}
	return 0;
}

/* All of it; "" where there is nothing that can be read.  The caller frees. */
static char *
read_all(const struct run *r, size_t *len)
{
	char *text = NULL;

	if (rk_read_file(r->dir_fd, EVALUATIONS_FILE, 2 * EVALUATIONS_MAX,
	    &text, len) == RK_OK)
		return text;
	*len = 0;
	return xstrdup("");
}

/* --- a line --------------------------------------------------------------- */

static json_t *
names_json(const struct run *r)
{
	json_t *names = input_classes(r);
	size_t bytes = 0, i;
	json_t *v;

	json_array_foreach(names, i, v)
		bytes += json_string_length(v) + 3;
	if (bytes <= EVALUATIONS_NAMES)
		return names;
	json_decref(names);
	return NULL;
}

/* The caller frees. */
static char *
line_of(const struct run *r, int64_t number)
{
	json_t *metrics = json_object(), *names = names_json(r);
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}",
	    "step", (json_int_t)r->at.step, "epoch", (json_int_t)r->at.epoch,
	    "attempt", (json_int_t)r->rep.attempt,
	    "branch", (json_int_t)r->rep.branch,
	    "time_ms", (json_int_t)now_ms(), "counts", judge_counts(r->judge));

	must(o != NULL);
	js_put(metrics, "loss", js_number(r->at.valid.loss));
	if (r->at.valid.has_accuracy)
		js_put(metrics, "accuracy", js_number(r->at.valid.accuracy));
	figures_put(metrics, &r->at.figures, false);
	js_put(o, "metrics", metrics);
	if (names != NULL)
		js_put(o, "names", names);
	char *text = rkj_text(o);
	char *line = xasprintf(FIRST "%lld,%s\n", (long long)number, text + 1);
	free(text);
	json_decref(o);
	return line;
}

/* --- keeping it ----------------------------------------------------------- */

/* The newest whole lines in half of the room, and the new one. */
static enum rk_err
rewrite(struct run *r, const char *old, size_t len, const char *line)
{
	const size_t keep = EVALUATIONS_MAX / 2;
	size_t from = len > keep ? len - keep : 0;
	struct strbuf b = {0};

	while (from > 0 && from < len && old[from - 1] != '\n')
		from++;
	sb_add(&b, old + from, len - from);
	if (b.len > 0 && b.s[b.len - 1] != '\n')
		sb_addc(&b, '\n');
	sb_adds(&b, line);
	enum rk_err rc = rk_replace_file(r->dir_fd, EVALUATIONS_FILE, b.s,
	    b.len);
	sb_fini(&b);
	return rc;
}

static enum rk_err
append(struct run *r, bool torn, const char *line)
{
	int fd = openat(r->dir_fd, EVALUATIONS_FILE,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	enum rk_err rc = RK_OK;

	if (fd < 0 || (torn && rk_write_all(fd, "\n", 1) != 0) ||
	    rk_write_all(fd, line, strlen(line)) != 0) {
		rc = rk_from_errno(errno);
		if (!r->evaluations_trouble)
			log_errno("train: cannot append to " EVALUATIONS_FILE);
	}
	rk_close(&fd);
	return rc;
}

void
evaluations_add(struct run *r)
{
	size_t len;
	char *old = read_all(r, &len);
	const int64_t number = RK_MAX(last_number(old, len),
	    r->evaluations) + 1;
	char *line = line_of(r, number);

	enum rk_err rc = len + strlen(line) + 1 <= EVALUATIONS_MAX ?
	    append(r, len > 0 && old[len - 1] != '\n', line) :
	    rewrite(r, old, len, line);
	r->evaluations_trouble = rc != RK_OK;
	r->evaluations = number;
	free(line);
	free(old);
}
