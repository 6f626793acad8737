/* Routes of what a trainer appends to: its metrics and its log. */
#include "impl.h"

#include <fcntl.h>
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

	free(path);
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
		rk_close(&fd);
	return fd;
}

int64_t
lines_read(int fd, int64_t pos, bool rest, lines_fn *fn, void *ctx)
{
	char buf[LINES_CHUNK];
	ssize_t got = fd < 0 ? 0 : pread(fd, buf, sizeof(buf), pos);
	size_t n = got > 0 ? (size_t)got : 0, at = 0;

	while (at < n) {
		const char *nl = memchr(buf + at, '\n', n - at);
		size_t len = nl != NULL ? (size_t)(nl - buf) - at : n - at;
		size_t step = len + (nl != NULL);
		if (nl == NULL && !rest && (at > 0 || n < sizeof(buf)))
			break;          /* its end is still to come */
		if (!fn(ctx, buf + at, len, pos + (int64_t)(at + step)))
			break;
		at += step;
	}
	return pos + (int64_t)at;
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

/* Where the last n lines of a file of that size begin. */
static int64_t
tail_start(int fd, int64_t size, int64_t n)
{
	char buf[LINES_CHUNK];
	int64_t at = size, floor = RK_MAX(size - TAIL_MAX, 0);

	if (n == 0)
		return size;
	while (at > floor) {
		size_t want = (size_t)RK_MIN(at - floor, LINES_CHUNK);
		ssize_t got = pread(fd, buf, want, at - (int64_t)want);
		if (got != (ssize_t)want)
			return at;
		for (size_t i = want; i-- > 0;) {
			int64_t here = at - (int64_t)want + (int64_t)i;
			/* the newline that ends the file begins no line */
			if (buf[i] == '\n' && here != size - 1 && --n == 0)
				return here + 1;
		}
		at -= (int64_t)want;
	}
	return floor;
}

static void
send_log(struct req *q, int fd, int64_t from, int64_t size)
{
	struct MHD_Response *r = fd < 0 || from >= size ?
	    MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT) :
	    MHD_create_response_from_fd_at_offset64((uint64_t)(size - from),
	    fd, (uint64_t)from);
	char text[32];

	if (fd >= 0 && (r == NULL || from >= size))
		close(fd);
	if (r == NULL) {
		reply_err(q, RK_ENOMEM, NULL, "log");
		return;
	}
	snprintf(text, sizeof(text), "%lld", (long long)size);
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
	struct stat st = { 0 };
	int64_t tail, offset, size = 0;
	bool follow;
	int fd;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	follow = req_follows(q);
	tail = query_int(&q->query, "tail", -1, 0, 1000000);
	offset = query_int(&q->query, "offset", 0, 0, INT64_MAX / 2);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	fd = lines_open(q->api, q->arg[0], LINES_LOG);
	if (fd >= 0 && fstat(fd, &st) == 0)
		size = st.st_size;
	if (tail >= 0)
		offset = RK_MAX(offset, tail_start(fd, size, tail));
	if (!follow) {
		send_log(q, fd, RK_MIN(offset, size), size);
		return;
	}
	rk_close(&fd);
	stream_reply(q, &(struct stream_want){ .kind = STREAM_LOG,
	    .job = q->arg[0], .after = stream_after(q, offset) });
}
