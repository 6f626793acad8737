/*
 * A trainer's log, bounded.
 *
 * The trainer appends to train.log by a descriptor of its own, so that it needs
 * no daemon to write.  The daemon looks at the file's size; near a share of
 * log.max it copies the file to train.log.1 (.1 was moved to .2, and so on, the
 * oldest is gone) and truncates it, which the trainer's descriptor, opened for
 * appending, does not notice.  What came in a flood becomes some files at once,
 * as many as there may be.
 *
 * Each byte has a place in the whole log, which grows for ever; train.log.at
 * says which place train.log begins at, each older file ends where the next
 * begins.  While a rotation is on its way, train.log.at also says how many
 * files it makes, and how much of train.log is before the last of them; whoever
 * finds that can tell what is done:
 *
 *	.1 to .2 ...            gaps: the next rotation fills them
 *	train.log.at            these are no part of the log: thrown away,
 *	.rk-tmp-log to .N       train.log is whole
 *	...
 *	.rk-tmp-log to .1
 *	what came meanwhile     train.log has what .1 ends with: thrown away,
 *	truncate                too; else it was truncated, and they count
 *	train.log.at
 *
 * What the trainer writes between the end of the copy and the truncation is
 * lost.  The daemon shares the trainer's file description, whose offset is
 * where the last write ended; so the bytes are counted, and a line in the log
 * says how many.  Nothing is flushed: the trainer does not flush its lines
 * either, and a power cut may take the latest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"
#include "log.h"

#define TMP_COPY RK_TMP_PREFIX "log"
#define TMP_AT   RK_TMP_PREFIX "log-at"
#define CHASES   16             /* looks for what was written during a copy */
#define CHUNK    (256 << 10)

void
log_name(char out[LOG_NAME], int k)
{
	if (k == 0)
		snprintf(out, LOG_NAME, "%s", LOG_FILE);
	else
		snprintf(out, LOG_NAME, LOG_FILE ".%d", k);
}

/* --- train.log.at --------------------------------------------------------- */

void
log_at_read(int dirfd, struct log_at *at)
{
	char *text = NULL;
	size_t len;
	long long start, ahead;
	int files;

	*at = (struct log_at){ .start = 0 };
	if (rk_read_file(dirfd, LOG_AT, 100, &text, &len) != RK_OK)
		return;
	if (sscanf(text, "%lld %lld %d", &start, &ahead, &files) == 3 &&
	    start >= 0 && start < LOG_END && ahead >= 0 && ahead < LOG_END &&
	    files >= 0 && files < LOG_FILES_MAX)
		*at = (struct log_at){ start, ahead, files };
	free(text);
}

/* Not flushed, but whole: renamed into its place. */
static bool
at_write(int dirfd, const struct log_at *at)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%lld %lld %d\n",
	    (long long)at->start, (long long)at->ahead, at->files);
	int fd = openat(dirfd, TMP_AT, O_WRONLY | O_CREAT | O_TRUNC |
	    O_CLOEXEC | O_NOFOLLOW, 0640);
	bool ok = fd >= 0 && rk_write_all(fd, text, (size_t)n) == 0;

	rk_close(&fd);
	ok = ok && renameat(dirfd, TMP_AT, dirfd, LOG_AT) == 0;
	if (!ok)
		unlinkat(dirfd, TMP_AT, 0);
	return ok;
}

/*
 * train.log.1 is a copy.  Does train.log still have what that ends with?
 * *cut: the byte behind it.
 */
static bool
still_there(int dirfd, int64_t ahead, int64_t *cut)
{
	static char a[65536], b[65536];
	int log = openat(dirfd, LOG_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int copy = openat(dirfd, LOG_FILE ".1", O_RDONLY | O_CLOEXEC |
	    O_NOFOLLOW);
	off_t end = copy >= 0 ? lseek(copy, 0, SEEK_END) : 0;
	/* A copy of the end alone has a line of ours before it. */
	size_t n = (size_t)RK_MIN(end / 2, (int64_t)sizeof(a));
	*cut = ahead + end;
	bool same = log >= 0 && n > 0 &&
	    pread(log, a, n, *cut - (off_t)n) == (ssize_t)n &&
	    pread(copy, b, n, end - (off_t)n) == (ssize_t)n &&
	    memcmp(a, b, n) == 0;

	rk_close(&log);
	rk_close(&copy);
	return same;
}

static void
forget(int dirfd, int k)
{
	char name[LOG_NAME];

	log_name(name, k);
	unlinkat(dirfd, name, 0);
}

static int64_t
size_of_file(int dirfd, int k)
{
	char name[LOG_NAME];
	struct stat st;

	log_name(name, k);
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ?
	    st.st_size : -1;
}

void
log_recover(int dirfd)
{
	struct log_at at;
	bool whole = faccessat(dirfd, TMP_COPY, F_OK, 0) == 0;
	int64_t cut;

	log_at_read(dirfd, &at);
	if (at.files > 0) {
		whole = whole || size_of_file(dirfd, 1) < 0 ||
		    still_there(dirfd, at.ahead, &cut);
		for (int k = 1; whole && k <= at.files; k++)
			forget(dirfd, k);
		if (!whole)
			at.start += cut;
		at.files = 0;
		(void)at_write(dirfd, &at);
	}
	unlinkat(dirfd, TMP_COPY, 0);
}

/* --- a rotation ----------------------------------------------------------- */

/* Make .1 to .n free, for so many bytes; those that there should not be any
 * more are removed. */
static void
make_room(const struct log_bound *b, int n, int64_t bytes)
{
	char name[LOG_NAME], next[LOG_NAME];
	int64_t room = b->share * (b->files - 1) - bytes;
	int gap = 0;

	while (gap < n && size_of_file(b->dirfd, gap + 1) < 0)
		gap++;
	const int by = n - gap;
	for (int k = RK_MAX(b->files - by, 1); k < LOG_FILES_MAX; k++)
		forget(b->dirfd, k);
	for (int k = b->files - 1 - by; by > 0 && k > 0; k--) {
		log_name(name, k);
		log_name(next, k + by);
		(void)!renameat(b->dirfd, name, b->dirfd, next);
	}
	for (int k = 1; k < b->files; k++) {
		room -= RK_MAX(size_of_file(b->dirfd, k), 0);
		if (room < 0)
			forget(b->dirfd, k);
	}
}

static char *
dropped_line(int64_t n, const char *why)
{
	char when[RK_TIME], digits[RK_HUMAN];

	return xasprintf("--- rekindled, %s: %s bytes of the log are not here: "
	    "%s\n", rk_time_text(when, now_ms()), rk_group_digits(digits, n),
	    why);
}

/* Append log[*at, to), which is there, to `out`; *at is how far it came. */
static bool
copy(int log, int out, int64_t *at, int64_t to)
{
	char *buf = xmalloc(CHUNK);
	bool ok = true;

	while (ok && *at < to) {
		ssize_t n = pread(log, buf, (size_t)RK_MIN(to - *at, CHUNK),
		    *at);
		ok = n > 0 && rk_write_all(out, buf, (size_t)n) == 0;
		*at += ok ? n : 0;
	}
	free(buf);
	return ok;
}

static int64_t
size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : 0;
}

struct copying {
	int n;                          /* files */
	int out;                        /* the one that is written */
	int64_t each;                   /* bytes of each but .1 */
	int64_t cut;                    /* the byte behind what was copied */
	int64_t dropped;                /* not copied, at the beginning */
	char *line;                     /* ... which says so; or NULL */
};

static void
plan(const struct log_bound *b, struct copying *c)
{
	int64_t size = size_of(b->fd), n = (size + b->share * 3 / 4) / b->share;

	*c = (struct copying){ .out = -1,
	    .n = (int)RK_MIN(RK_MAX(n, 1), b->files - 1) };
	if (size > b->share * (c->n + 1)) {
		c->dropped = c->cut = size - b->share * c->n;
		c->line = dropped_line(c->dropped, "more was written at a "
		    "time than log.max has room for");
	}
	c->each = (size - c->dropped) / c->n;
	make_room(b, c->n, size - c->dropped);
}

/* A copy that fills the disk would hurt the trainer, and in vain. */
static bool
has_room(const struct log_bound *b, const struct copying *c)
{
	uint64_t free_bytes;

	if (rk_disk_free(b->dirfd, &free_bytes) != RK_OK ||
	    free_bytes >= (uint64_t)(c->each * c->n + b->share / 4))
		return true;
	errno = ENOSPC;
	return false;
}

/* Copy what is there, and what came meanwhile, as long as it is not too
 * much. */
static bool
catch_up(const struct log_bound *b, struct copying *c)
{
	int64_t most = c->cut + c->each + b->share, size;
	bool ok = true;

	for (int i = 0; ok && i < CHASES; i++) {
		size = RK_MIN(size_of(b->fd), most);
		if (size <= c->cut)
			break;
		ok = copy(b->fd, c->out, &c->cut, size);
	}
	return ok;
}

/* File k, into its place. */
static bool
make_file(const struct log_bound *b, struct copying *c, int k)
{
	char name[LOG_NAME];
	bool ok;

	rk_close(&c->out);
	c->out = openat(b->dirfd, TMP_COPY, O_WRONLY | O_CREAT | O_TRUNC |
	    O_CLOEXEC | O_NOFOLLOW, 0640);
	ok = c->out >= 0;
	if (ok && c->line != NULL && k == c->n)
		ok = rk_write_all(c->out, c->line, strlen(c->line)) == 0;
	ok = ok && (k > 1 ? copy(b->fd, c->out, &c->cut, c->cut + c->each) :
	    catch_up(b, c));
	log_name(name, k);
	return ok && renameat(b->dirfd, TMP_COPY, b->dirfd, name) == 0;
}

static void
say(const struct log_bound *b, char *line)
{
	(void)!rk_write_all(b->fd, line, strlen(line));
	free(line);
}

/* Truncate; the bytes that were written and not copied, -1: perhaps some. */
static int64_t
truncate_log(const struct log_bound *b, int64_t cut)
{
	int64_t was = b->shared ? lseek(b->fd, 0, SEEK_CUR) : -1;
	int64_t size = size_of(b->fd);

	if (ftruncate(b->fd, 0) != 0)
		return 0;
	if (!b->shared)
		return size > cut ? size - cut : -1;
	int64_t now = lseek(b->fd, 0, SEEK_CUR);
	if (now > cut)
		return now - cut;
	return now == was ? RK_MAX(size - cut, 0) : -1;
}

/* No copy is to be had.  For a while the log may grow; then it is cut all the
 * same, and says so. */
static bool
cut_without_copy(const struct log_bound *b, int err)
{
	struct log_at at;
	int64_t size = size_of(b->fd);

	log_recover(b->dirfd);
	if (size < b->share * 3 / 2)
		return false;
	log_at_read(b->dirfd, &at);
	if (ftruncate(b->fd, 0) != 0)
		return false;
	at.start += size;
	(void)at_write(b->dirfd, &at);
	char *why = xasprintf("they could not be copied to " LOG_FILE ".1: %s",
	    strerror(err));
	say(b, dropped_line(size, why));
	free(why);
	*b->lost += (uint64_t)size;
	return true;
}

static bool
rotate(const struct log_bound *b, struct copying *c)
{
	struct log_at at;
	int64_t lost;

	log_at_read(b->dirfd, &at);
	at.files = c->n;
	at.ahead = c->dropped + c->each * (c->n - 1);
	if (c->n == 1 && c->line != NULL)
		at.ahead -= (int64_t)strlen(c->line);
	if (!at_write(b->dirfd, &at))
		return false;
	for (int k = c->n; k > 0; k--) {
		if (!make_file(b, c, k))
			return false;
	}
	(void)catch_up(b, c);
	lost = truncate_log(b, c->cut);
	at.start += c->cut;
	at.files = 0;
	(void)at_write(b->dirfd, &at);
	if (lost > 0)
		say(b, dropped_line(lost, "they were written between the copy "
		    "to " LOG_FILE ".1 and the truncation"));
	else if (lost < 0)
		say(b, xstrdup("--- rekindled: some bytes of the log may not "
		    "be here: the trainer wrote while the log was "
		    "truncated\n"));
	*b->lost += (uint64_t)(c->dropped + RK_MAX(lost, 0));
	return true;
}

bool
log_rotate(const struct log_bound *b)
{
	struct copying c;

	log_recover(b->dirfd);
	plan(b, &c);
	errno = 0;
	bool ok = has_room(b, &c) && rotate(b, &c);
	int err = errno;
	rk_close(&c.out);
	free(c.line);
	return ok || cut_without_copy(b, err);
}
