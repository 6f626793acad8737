/* predictions.jsonl and its state: see results.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"

#define COUNT_MAX ((int64_t)1 << 53)

/* --- the end of what counts ----------------------------------------------- */

/* A hash of the last bytes before `bytes`, as 16 digits; false: they are not
 * there. */
static bool
tail_of(int fd, uint64_t bytes, char hex[24])
{
	const size_t n = (size_t)RK_MIN(bytes, (uint64_t)RESULTS_TAIL);
	char tail[RESULTS_TAIL];
	size_t got = 0;

	while (got < n) {
		ssize_t k = pread(fd, tail + got, n - got, (off_t)(bytes - n +
		    got));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		got += (size_t)k;
	}
	snprintf(hex, 24, "%016llx", (unsigned long long)rk_hash64(0, tail,
	    n));
	return true;
}

/* --- opening -------------------------------------------------------------- */

struct read_state {
	int64_t bytes, lines;
	char *tail;
	json_t *of;
};

/* RK_EINVAL: it is none of ours. */
static enum rk_err
parse_state(const char *text, size_t len, struct read_state *s)
{
	struct rk_why why = {0};
	json_t *tree = NULL;
	int64_t format = 0;
	struct rkj_obj o;

	if (rkj_parse_json(text, len, &tree, NULL) != RK_OK)
		return RK_EINVAL;
	rkj_open(&o, tree, "", &why);
	rkj_int(&o, "format", &format, 1, 1, RKJ_REQUIRED);
	rkj_int(&o, "bytes", &s->bytes, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_int(&o, "lines", &s->lines, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_str(&o, "tail", &s->tail, 16, RKJ_REQUIRED);
	const json_t *of = rkj_any(&o, "of");
	if (json_is_object(of))
		s->of = json_deep_copy(of);
	rkj_close_lenient(&o);
	const bool ok = why.n == 0 && s->of != NULL;
	rk_why_fini(&why);
	json_decref(tree);
	return ok ? RK_OK : RK_EINVAL;
}

/* What is there counts, or *lost says why not; of RK_ENOENT nothing is said. */
static enum rk_err
read_state(struct results *p, struct read_state *s, char **lost)
{
	char *text = NULL, hex[24] = "";
	struct stat st;
	size_t len;

	enum rk_err rc = rk_read_file(p->dir_fd, RESULTS_STATE,
	    RESULTS_STATE_MAX, &text, &len);
	if (rc == RK_ENOENT || rc == RK_EIO || rc == RK_ENOMEM)
		return rc;
	if (rc == RK_OK)
		rc = parse_state(text, len, s);
	free(text);
	if (rc != RK_OK)
		*lost = xstrdup(RESULTS_STATE " is damaged");
	else if (fstat(p->fd, &st) != 0 || st.st_size < s->bytes)
		*lost = xasprintf(RESULTS_FILE " is shorter than the %lld "
		    "bytes that were written", (long long)s->bytes);
	else if (!tail_of(p->fd, (uint64_t)s->bytes, hex) ||
	    strcmp(hex, s->tail) != 0)
		*lost = xstrdup(RESULTS_FILE " is not what was written");
	return *lost == NULL ? RK_OK : RK_EINVAL;
}

/* The state goes first: without it nothing counts. */
static enum rk_err
begin_anew(struct results *p)
{
	if ((unlinkat(p->dir_fd, RESULTS_STATE, 0) != 0 && errno != ENOENT) ||
	    fsync(p->dir_fd) != 0 || ftruncate(p->fd, 0) != 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("train: cannot begin " RESULTS_FILE);
		return rc;
	}
	return RK_OK;
}

static enum rk_err
go_on(struct results *p, struct read_state *s, json_t **of)
{
	if (ftruncate(p->fd, (off_t)s->bytes) != 0 ||
	    lseek(p->fd, 0, SEEK_END) < 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("train: cannot go on with " RESULTS_FILE);
		return rc;
	}
	p->bytes = (uint64_t)s->bytes;
	p->lines = s->lines;
	*of = json_incref(s->of);
	return RK_OK;
}

enum rk_err
results_open(struct results *p, int dir_fd, bool anew, json_t **of,
    char **lost)
{
	struct read_state s = {0};

	*p = (struct results){ .dir_fd = dir_fd };
	*of = NULL;
	*lost = NULL;
	p->fd = openat(dir_fd, RESULTS_FILE, O_RDWR | O_CREAT | O_APPEND |
	    O_CLOEXEC | O_NOFOLLOW, 0640);
	if (p->fd < 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("train: cannot open " RESULTS_FILE);
		return rc;
	}
	enum rk_err rc = anew ? RK_ENOENT : read_state(p, &s, lost);
	if (rc == RK_OK)
		rc = go_on(p, &s, of);
	else if (rc == RK_ENOENT || rc == RK_EINVAL)
		rc = begin_anew(p);
	free(s.tail);
	json_decref(s.of);
	if (rc != RK_OK)
		results_close(p);
	return rc;
}

void
results_close(struct results *p)
{
	if (p->fd > 0)
		close(p->fd);
	sb_fini(&p->pending);
	*p = (struct results){ .fd = -1 };
}

/* --- lines ---------------------------------------------------------------- */

/* A write that failed in its midst leaves bytes that nothing says count. */
static enum rk_err
write_pending(struct results *p)
{
	if (p->pending.len > 0 && rk_write_all(p->fd, p->pending.s,
	    p->pending.len) != 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("train: cannot append to " RESULTS_FILE);
		return rc;
	}
	sb_reset(&p->pending);
	return RK_OK;
}

enum rk_err
results_add(struct results *p, const char *line)
{
	const size_t n = strlen(line);

	sb_add(&p->pending, line, n);
	sb_addc(&p->pending, '\n');
	p->bytes += n + 1;
	p->lines++;
	return p->pending.len < RESULTS_PENDING ? RK_OK : write_pending(p);
}

enum rk_err
results_commit(struct results *p, const json_t *of)
{
	char hex[24];
	enum rk_err rc = write_pending(p);

	if (rc == RK_OK && fdatasync(p->fd) != 0) {
		rc = rk_from_errno(errno);
		log_errno("train: cannot put " RESULTS_FILE " on disk");
	}
	if (rc == RK_OK && !tail_of(p->fd, p->bytes, hex))
		rc = RK_EIO;
	if (rc != RK_OK)
		return rc;
	json_t *o = json_pack("{s:i, s:I, s:I, s:s, s:O}", "format", 1,
	    "bytes", (json_int_t)p->bytes, "lines", (json_int_t)p->lines,
	    "tail", hex, "of", of);
	must(o != NULL);
	char *text = rkj_text(o);
	json_decref(o);
	rc = rk_replace_file(p->dir_fd, RESULTS_STATE, text, strlen(text));
	free(text);
	return rc;
}
