/* Routes of what a trainer appends to: its metrics and its log. */
#include "impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_DEFAULT 500
#define PAGE_MAX     500
#define SCAN_MAX     (2 << 20)  /* bytes looked at for one page: a page may
                                   be short, or empty, and have a next */
#define TAIL_MAX     (4 << 20)  /* bytes looked at for ?tail= */

int
lines_open(struct api *a, const char *job, const char *name)
{
	char *path = xasprintf("%s/%s", sup_job_dir(a->sup, job), name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	int err = errno;
	free(path);
	errno = err;
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		rk_close(&fd);
		errno = ENOENT;
	}
	return fd;
}

/* The lines in a chunk of n bytes that lies at pos. */
static int64_t
split(const char *buf, size_t n, int64_t pos, bool rest, lines_fn *fn,
    void *ctx)
{
	size_t at = 0;

	while (at < n) {
		const char *nl = memchr(buf + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - buf) - at : n - at;
		size_t step = len + (nl != NULL);
		if (nl == NULL && !rest && (at > 0 || n < LINES_CHUNK))
			break;          /* its end is still to come */
		if (!fn(ctx, buf + at, len, pos + (int64_t)(at + step)))
			break;
		at += step;
	}
	return pos + (int64_t)at;
}

int64_t
lines_read(int fd, int64_t pos, bool rest, lines_fn *fn, void *ctx)
{
	char buf[LINES_CHUNK];
	ssize_t got = fd < 0 ? 0 : pread(fd, buf, sizeof(buf), pos);

	return split(buf, got > 0 ? (size_t)got : 0, pos, rest, fn, ctx);
}

int64_t
lines_read_log(struct api *a, const char *job, int64_t pos, bool rest,
    lines_fn *fn, void *ctx)
{
	char buf[LINES_CHUNK];
	ssize_t got = sup_log_read(a->sup, job, &pos, buf, sizeof(buf));

	return split(buf, got > 0 ? (size_t)got : 0, pos, rest, fn, ctx);
}

bool
lines_metric_ok(const char *s, size_t n, int64_t attempt, const char *split)
{
	json_t *v = NULL;
	bool ok;

	if (n == 0 || s[0] != '{' ||
	    rkj_parse_json(s, n, &v, NULL) != RK_OK)
		return false;
	ok = json_is_object(v);
	if (ok && attempt > 0)
		ok = json_integer_value(json_object_get(v, "attempt")) ==
		    attempt;
	if (ok && split != NULL) {
		const char *is = json_string_value(json_object_get(v, "split"));
		ok = is != NULL && strcmp(is, split) == 0;
	}
	json_decref(v);
	return ok;
}

struct metrics_page {
	struct req *q;
	int64_t attempt;
	const char *split;
	int limit, n;
	bool full;
};

static bool
page_metric(void *ctx, const char *s, size_t n, int64_t end)
{
	struct metrics_page *p = ctx;

	(void)end;
	if (!lines_metric_ok(s, n, p->attempt, p->split))
		return true;
	if (p->n == p->limit) {
		p->full = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	sb_add(&p->q->out, s, n);
	return true;
}

static void
write_metrics(struct metrics_page *p, int64_t after)
{
	struct req *q = p->q;
	int fd = lines_open(q->api, q->arg[0], LINES_METRICS);
	int64_t pos = after, was;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		reply_problem(q, P_NOT_READY, "the metrics cannot be read now: "
		    "%s", strerror(errno));
		return;
	}
	sb_adds(&q->out, "{\"metrics\":[");
	do {
		was = pos;
		pos = lines_read(fd, pos, false, page_metric, p);
	} while (pos > was && !p->full && pos - after < SCAN_MAX);
	rk_close(&fd);
	put_next(&q->out, pos, pos > was || p->full);
	reply_json(q, 200);
}

void
h_metrics_page(struct req *q)
{
	struct metrics_page p = { .q = q };
	struct job_row r;
	int64_t after;
	bool follow;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	follow = req_follows(q);
	after = query_after(&q->query, 0);
	p.attempt = query_int(&q->query, "attempt", 0, 1, INT64_MAX);
	p.split = query_get(&q->query, "split");
	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	if (follow)
		stream_reply(q, &(struct stream_want){ .kind = STREAM_METRICS,
		    .job = q->arg[0], .after = stream_after(q, after),
		    .attempt = p.attempt, .split = p.split });
	else
		write_metrics(&p, after);
}

/* --- the log ------------------------------------------------------------- */

/* Where the last n lines of the log begin. */
static int64_t
tail_start(struct req *q, int64_t first, int64_t end, int64_t n)
{
	char buf[LINES_CHUNK];
	int64_t at = end, floor = RK_MAX(end - TAIL_MAX, first);

	if (n == 0)
		return end;
	while (at > floor) {
		size_t want = (size_t)RK_MIN(at - floor, LINES_CHUNK);
		int64_t from = at - (int64_t)want;
		ssize_t got = sup_log_read(q->api->sup, q->arg[0], &from, buf,
		    want);
		if (got != (ssize_t)want || from != at - (int64_t)want)
			return at;
		for (size_t i = want; i-- > 0;) {
			/* the newline that ends the log begins no line */
			if (buf[i] == '\n' && from + (int64_t)i != end - 1 &&
			    --n == 0)
				return from + (int64_t)i + 1;
		}
		at = from;
	}
	return floor;
}

/* A log on its way to a client. */
struct log_send {
	struct sup *sup;
	char job[RK_ID];
	int64_t from;
};

static ssize_t
send_more(void *ctx, uint64_t at, char *buf, size_t max)
{
	struct log_send *s = ctx;
	int64_t want = s->from + (int64_t)at, pos = want;
	ssize_t got = sup_log_read(s->sup, s->job, &pos, buf, max);

	/* A client that reads more slowly than the log is dropped must not take
	 * what it gets for the whole. */
	return got > 0 && pos == want ? got : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void
send_log(struct req *q, int64_t from, int64_t end)
{
	struct log_send *s = xcalloc(1, sizeof(*s));
	char text[32];

	s->sup = q->api->sup;
	s->from = from;
	memcpy(s->job, q->arg[0], sizeof(s->job) - 1);
	struct MHD_Response *r = MHD_create_response_from_callback(
	    (uint64_t)(end - from), LINES_CHUNK, send_more, s, free);
	if (r == NULL) {
		free(s);
		reply_err(q, RK_ENOMEM, NULL, "log");
		return;
	}
	snprintf(text, sizeof(text), "%lld", (long long)end);
	MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8");
	MHD_add_response_header(r, "Rekindle-Offset", text);
	MHD_add_response_header(r, "Cache-Control", "no-cache");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	reply_with(q, 200, r);
}

void
h_log(struct req *q)
{
	struct job_row r;
	int64_t tail, offset, first, end;
	bool follow;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	follow = req_follows(q);
	tail = query_int(&q->query, "tail", -1, 0, 1000000);
	offset = query_int(&q->query, "offset", 0, 0, INT64_MAX / 2);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	if (!sup_log_extent(q->api->sup, q->arg[0], &first, &end)) {
		reply_problem(q, P_NOT_READY, "the log cannot be read now: %s",
		    strerror(errno));
		return;
	}
	if (tail >= 0)
		offset = RK_MAX(offset, tail_start(q, first, end, tail));
	if (!follow) {
		send_log(q, RK_MIN(RK_MAX(offset, first), end), end);
		return;
	}
	stream_reply(q, &(struct stream_want){ .kind = STREAM_LOG,
	    .job = q->arg[0], .after = stream_after(q, offset) });
}
