/*
 * metrics.jsonl: one JSON object a line, only ever appended to, by whichever
 * attempt of the job runs.  A crash may tear the last line; the next attempt
 * ends it with a newline, and readers skip what does not parse.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

#define METRICS_FILE "metrics.jsonl"
#define TAIL_BYTES   4096       /* room for the last whole line */
#define UNSAVED_MAX  (1u << 20)

/* The attempt that the last whole line in the tail tells of. */
static int64_t
attempt_in(const char *tail, size_t len)
{
	const char *end = len > 0 ? memrchr(tail, '\n', len) : NULL;
	int64_t attempt = 0;

	if (end == NULL)
		return 0;
	const char *nl = end > tail ?
	    memrchr(tail, '\n', (size_t)(end - tail)) : NULL;
	const char *from = nl != NULL ? nl + 1 : tail;
	json_t *tree = NULL;
	if (rkj_parse_json(from, (size_t)(end - from), &tree, NULL) == RK_OK)
		attempt = json_integer_value(json_object_get(tree, "attempt"));
	json_decref(tree);
	return RK_MAX(attempt, 0);
}

enum rk_err
metrics_open(struct report *p, int dirfd)
{
	char tail[TAIL_BYTES];
	struct stat st;

	p->metrics_fd = openat(dirfd, METRICS_FILE,
	    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (p->metrics_fd < 0 || fstat(p->metrics_fd, &st) != 0)
		goto fail;
	size_t want = (size_t)RK_MIN(st.st_size, TAIL_BYTES);
	ssize_t n = pread(p->metrics_fd, tail, want,
	    st.st_size - (off_t)want);
	if (n < 0)
		goto fail;
	p->last_attempt = attempt_in(tail, (size_t)n);
	if (n > 0 && tail[n - 1] != '\n')
		sb_addc(&p->unsaved, '\n');
	return RK_OK;

fail:;
	enum rk_err rc = rk_from_errno(errno);
	log_errno("train: cannot open " METRICS_FILE);
	rk_close(&p->metrics_fd);
	return rc;
}

/* What fits is written; a line may be cut where the disk is full, and goes on
 * from there when there is room. */
static void
save(struct report *p)
{
	while (p->unsaved.len > 0) {
		ssize_t n = write(p->metrics_fd, p->unsaved.s, p->unsaved.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (!p->metrics_trouble)
				log_errno("train: cannot append to "
				    METRICS_FILE ", will try again");
			p->metrics_trouble = true;
			if (p->unsaved.len > UNSAVED_MAX) {
				sb_reset(&p->unsaved);
				sb_addc(&p->unsaved, '\n');
			}
			return;
		}
		sb_cut(&p->unsaved, (size_t)n);
	}
	p->metrics_trouble = false;
}

void
metrics_add(struct report *p, json_t *m)
{
	js_put(m, "attempt", json_integer(p->attempt));
	js_put(m, "branch", json_integer(p->branch));
	js_put(m, "time_ms", json_integer(now_ms()));
	if (p->metrics_fd >= 0) {
		char *line = rkj_text(m);
		sb_adds(&p->unsaved, line);
		sb_addc(&p->unsaved, '\n');
		free(line);
		save(p);
	}
	report_metric(p, m);
}

void
metrics_close(struct report *p)
{
	if (p->metrics_fd >= 0)
		save(p);
	rk_close(&p->metrics_fd);
	sb_fini(&p->unsaved);
}
