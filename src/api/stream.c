/*
 * Streams: events, metrics or a log, followed as server-sent events.
 *
 * Each has its own place (an event's number, a byte of a file) and reads on
 * from there when its client has taken what was sent; one chunk at a time is
 * all that it holds.  With nothing to say it is suspended.  It is woken by
 * what the supervisor tells, and each second where only the file can tell;
 * after a while of silence it sends a comment, which is how a client that has
 * gone is found.
 *
 * `id:` is where to go on, so Last-Event-ID takes up without a gap.  When the
 * job has ended and all was sent, the stream ends; a client that comes back
 * after that with its Last-Event-ID gets 204, which tells a browser to stop.
 */
#include "impl.h"

#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define TICK_MS   1000
#define OUT_ENOUGH 32768        /* go on filling until here */
#define SCAN_ENOUGH (512 << 10) /* bytes looked at in one go */

struct stream {
	unsigned tag;
	struct api *api;
	struct MHD_Connection *conn;
	struct stream *prev, *next;
	enum stream_kind kind;
	char job[RK_ID];        /* "" for all */
	int64_t pos, attempt;
	char *split;
	int fd;
	struct strbuf out;
	size_t sent;            /* of out */
	int64_t last_ms;        /* something was sent */
	bool asleep, over;
	bool place;             /* the client is to be told where it begins */
	bool half;              /* its client writes no more, and was told
	                           something since */
};

static bool
enough(const struct stream *s)
{
	return s->out.len >= OUT_ENOUGH;
}

static bool
put_event(void *ctx, const struct event_row *e)
{
	struct stream *s = ctx;

	sb_addf(&s->out, "id: %lld\ndata: ", (long long)e->seq);
	event_write(&s->out, e);
	sb_adds(&s->out, "\n\n");
	s->pos = e->seq;
	return !enough(s);
}

static bool
put_metric(void *ctx, const char *p, size_t n, int64_t end)
{
	struct stream *s = ctx;

	if (enough(s))
		return false;
	if (!lines_metric_ok(p, n, s->attempt, s->split))
		return true;
	sb_addf(&s->out, "id: %lld\ndata: ", (long long)end);
	sb_add(&s->out, p, n);
	sb_adds(&s->out, "\n\n");
	return true;
}

/* A carriage return would end a field of the stream: it starts a new one. */
static bool
put_log(void *ctx, const char *p, size_t n, int64_t end)
{
	struct stream *s = ctx;

	if (enough(s))
		return false;
	sb_addf(&s->out, "id: %lld\ndata: ", (long long)end);
	for (;;) {
		const char *cr = n > 0 ? memchr(p, '\r', n) : NULL;
		size_t k = cr != NULL ? (size_t)(cr - p) : n;
		sb_add(&s->out, p, k);
		if (cr == NULL || k + 1 == n)
			break;
		sb_adds(&s->out, "\ndata: ");
		p += k + 1;
		n -= k + 1;
	}
	sb_adds(&s->out, "\n\n");
	return true;
}

/* The job's last word, if it has ended or is gone. */
static bool
job_over(struct stream *s, char state[16])
{
	struct job_row r;
	enum rk_err rc;
	bool over;

	if (s->job[0] == '\0')
		return false;
	rc = store_job_get(s->api->store, s->job, &r);
	if (rc != RK_OK) {
		snprintf(state, 16, "%s", rc == RK_ENOENT ? "deleted" : "");
		return rc == RK_ENOENT;
	}
	over = job_ended(r.state);
	snprintf(state, 16, "%s", job_state_words[r.state]);
	store_job_fini(&r);
	return over;
}

/* Read on from where the stream is; whatever there is goes to out. */
static void
fill_on(struct stream *s, bool rest)
{
	int64_t was, start = s->pos;

	if (s->kind == STREAM_EVENTS) {
		const char *job = s->job[0] ? s->job : NULL;
		if (store_events(s->api->store, job, s->pos, 64, put_event,
		    s) != RK_OK)
			s->over = true;         /* the client will come back */
		return;
	}
	if (s->fd < 0 && s->kind == STREAM_METRICS)
		s->fd = lines_open(s->api, s->job, LINES_METRICS);
	do {
		was = s->pos;
		s->pos = s->kind == STREAM_LOG ?
		    lines_read_log(s->api, s->job, was, rest, put_log, s) :
		    lines_read(s->fd, was, rest, put_metric, s);
	} while (s->pos > was && s->out.len == 0 &&
	    s->pos - start < SCAN_ENOUGH);
	/* Nothing of all that is wanted: let others have their turn. */
	if (s->pos > was && s->out.len == 0)
		sb_adds(&s->out, ":\n\n");
}

/* Fill out, or leave it empty when there is nothing to say. */
static void
fill(struct stream *s)
{
	char state[16];
	/* Asked before reading: what was written before the end is read. */
	bool over = job_over(s, state);

	sb_reset(&s->out);
	s->sent = 0;
	/* An id without data: one that follows the tail of a log, and loses us
	 * before a line has come, goes on from here. */
	if (s->place)
		sb_addf(&s->out, "id: %lld\n\n", (long long)s->pos);
	s->place = false;
	fill_on(s, over && s->kind == STREAM_LOG);
	if (s->out.len > 0 || !over)
		return;
	sb_addf(&s->out, ": the end, %s\n\n", state);
	s->over = true;
}

static ssize_t
stream_read(void *ctx, uint64_t at, char *buf, size_t max)
{
	struct stream *s = ctx;
	size_t n;

	(void)at;
	must_be(s, STREAM_TAG);
	if (s->sent == s->out.len && !s->over && !s->api->closing)
		fill(s);
	n = RK_MIN(s->out.len - s->sent, max);
	if (n > 0) {
		memcpy(buf, s->out.s + s->sent, n);
		s->sent += n;
		s->last_ms = mono_ms();
		if (s->sent == s->out.len && s->out.cap > OUT_ENOUGH) {
			sb_fini(&s->out);       /* a long one: not to be kept */
			s->sent = 0;
		}
		return (ssize_t)n;
	}
	if (s->over || s->api->closing)
		return MHD_CONTENT_READER_END_OF_STREAM;
	s->asleep = true;
	MHD_suspend_connection(s->conn);
	return 0;
}

static void
wake(struct stream *s)
{
	if (!s->asleep)
		return;
	s->asleep = false;
	MHD_resume_connection(s->conn);
}

static void
stream_free(void *ctx)
{
	struct stream *s = ctx;
	struct api *a = s->api;

	must_be(s, STREAM_TAG);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		a->streams = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	a->nstreams--;
	if (a->nstreams == 0 && !a->closing)
		loop_timer_off(a->tick);
	rk_close(&s->fd);
	sb_fini(&s->out);
	free(s->split);
	s->tag = 0;
	free(s);
}

int64_t
stream_after(struct req *q, int64_t fallback)
{
	const char *id = req_header(q, "Last-Event-ID");
	char *end;
	long long n;

	if (id == NULL || *id < '0' || *id > '9')
		return fallback;
	n = strtoll(id, &end, 10);
	return *end == '\0' && n >= 0 && n < INT64_MAX / 2 ? n : fallback;
}

static struct stream *
stream_new(struct req *q, const struct stream_want *w)
{
	struct api *a = q->api;
	struct stream *s = xcalloc(1, sizeof(*s));

	s->tag = STREAM_TAG;
	s->api = a;
	s->conn = q->conn;
	s->kind = w->kind;
	snprintf(s->job, sizeof(s->job), "%s", w->job);
	s->pos = w->after;
	s->attempt = w->attempt;
	s->split = w->split != NULL ? xstrdup(w->split) : NULL;
	s->fd = -1;
	s->last_ms = mono_ms();
	s->place = w->kind == STREAM_LOG && w->after > 0 &&
	    req_header(q, "Last-Event-ID") == NULL;
	s->next = a->streams;
	if (a->streams != NULL)
		a->streams->prev = s;
	a->streams = s;
	if (a->nstreams++ == 0)
		loop_timer_at(a->tick, mono_ms() + TICK_MS);
	return s;
}

void
stream_reply(struct req *q, const struct stream_want *w)
{
	struct stream *s;
	struct MHD_Response *r;

	if (q->api->nstreams >= q->api->cfg.streams) {
		reply_problem(q, P_TOO_MANY_STREAMS, "%d stream%s open "
		    "already, and no more are served at a time",
		    q->api->nstreams, q->api->nstreams == 1 ? " is" : "s are");
		return;
	}
	s = stream_new(q, w);
	fill(s);
	if (s->over && req_header(q, "Last-Event-ID") != NULL) {
		stream_free(s);         /* it has seen all that there will be */
		reply_empty(q, 204);
		return;
	}
	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192,
	    stream_read, s, stream_free);
	if (r == NULL) {
		stream_free(s);
		reply_err(q, RK_ENOMEM, NULL, "stream");
		return;
	}
	MHD_add_response_header(r, "Content-Type", "text/event-stream");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	reply_with(q, 200, r);
}

static bool
concerns(const struct stream *s, const char *job, char what)
{
	if (s->job[0] != '\0' && strcmp(s->job, job) != 0)
		return false;
	if (what == 's')
		return s->job[0] != '\0';       /* perhaps it has ended */
	return (what == 'e' && s->kind == STREAM_EVENTS) ||
	    (what == 'm' && s->kind == STREAM_METRICS) ||
	    (what == 'l' && s->kind == STREAM_LOG);
}

void
stream_told(struct api *a, const char *job, char what)
{
	for (struct stream *s = a->streams; s != NULL; s = s->next) {
		if (s->asleep && concerns(s, job, what))
			wake(s);
	}
}

static bool
file_grew(const struct stream *s)
{
	int64_t first, end;
	struct stat st;

	if (s->kind == STREAM_EVENTS)
		return false;
	if (s->kind == STREAM_LOG)
		return sup_log_extent(s->api->sup, s->job, &first, &end) &&
		    end > s->pos;
	return s->fd < 0 || (fstat(s->fd, &st) == 0 && st.st_size > s->pos);
}

/*
 * Is a comment due?  After a silence, and once when the client has closed its
 * side: one that has only done with writing reads on, and of one that has gone
 * the kernel then says so.  Descriptors are too dear to wait for two silences.
 */
static bool
comment_due(struct stream *s, int64_t now)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(s->conn,
	    MHD_CONNECTION_INFO_CONNECTION_FD);
	struct pollfd p = { .fd = info->connect_fd, .events = POLLRDHUP };

	if (poll(&p, 1, 0) == 1) {
		if (p.revents & (POLLHUP | POLLERR))
			return s->over = true;
		if (!s->half)
			return s->half = true;
	}
	return now - s->last_ms >= s->api->cfg.heartbeat_ms;
}

void
stream_tick(void *ctx)
{
	struct api *a = ctx;
	int64_t now = mono_ms();

	must_be(a, API_TAG);
	for (struct stream *s = a->streams; s != NULL; s = s->next) {
		if (!s->asleep)
			continue;
		if (comment_due(s, now)) {
			sb_reset(&s->out);
			sb_adds(&s->out, ": still here\n\n");
			s->sent = 0;
			wake(s);
		} else if (file_grew(s)) {
			wake(s);
		}
	}
	if (a->streams != NULL)
		loop_timer_at(a->tick, now + TICK_MS);
}

void
stream_close_all(struct api *a)
{
	for (struct stream *s = a->streams; s != NULL; s = s->next)
		wake(s);
}
