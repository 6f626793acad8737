/* One end of the line: bytes in and out of a stream socket, never blocking. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rekindle/wire.h"

#define WIRE_TAG   0x57495245u
#define READ_BYTES 65536
#define IN_MAX     (2u * WIRE_LINE_MAX)         /* then we stop reading */
#define OUT_MAX    (4u * WIRE_LINE_MAX)
#define OUT_BUSY   (WIRE_LINE_MAX / 4)          /* then progress is dropped */

struct wire {
	unsigned tag;
	int fd;
	struct strbuf in;       /* read, from in_at on not yet handed out */
	size_t in_at;
	size_t in_seen;         /* no newline before this */
	bool skipping;          /* in a line that was too long */
	struct strbuf out;      /* to be written from out_at on */
	size_t out_at;
};

struct wire *
wire_new(int fd)
{
	struct wire *w = xcalloc(1, sizeof(*w));

	w->tag = WIRE_TAG;
	w->fd = fd;
	if (rk_set_nonblock(fd, true) != 0 || rk_set_cloexec(fd, true) != 0)
		log_errno("wire: cannot set up fd %d", fd);
	return w;
}

void
wire_free(struct wire **wp)
{
	struct wire *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	must_be(w, WIRE_TAG);
	w->tag = 0;
	rk_close(&w->fd);
	sb_fini(&w->in);
	sb_fini(&w->out);
	free(w);
}

int
wire_fd(const struct wire *w)
{
	must_be(w, WIRE_TAG);
	return w->fd;
}

/* Forget what was handed out, when that is worth the move. */
static void
in_compact(struct wire *w)
{
	if (w->in_at < READ_BYTES && w->in_at < w->in.len)
		return;
	sb_cut(&w->in, w->in_at);
	w->in_seen -= w->in_at;
	w->in_at = 0;
}

enum rk_err
wire_fill(struct wire *w)
{
	char buf[READ_BYTES];

	must_be(w, WIRE_TAG);
	while (w->in.len - w->in_at < IN_MAX) {
		ssize_t n = read(w->fd, buf, sizeof(buf));
		if (n > 0) {
			in_compact(w);
			sb_add(&w->in, buf, (size_t)n);
			continue;
		}
		if (n == 0)
			return RK_ENOENT;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return RK_OK;
		/* It left without having read what we wrote. */
		if (errno == ECONNRESET)
			return RK_ENOENT;
		log_errno("wire: cannot read");
		return RK_EIO;
	}
	return RK_OK;
}

/* The next line, [*at, *at + *len), with its newline taken out of the buffer;
 * false if there is no whole one. */
static bool
next_line(struct wire *w, size_t *at, size_t *len)
{
	const char *s = sb_str(&w->in);
	const char *nl = memchr(s + w->in_seen, '\n', w->in.len - w->in_seen);

	if (nl == NULL) {
		w->in_seen = w->in.len;
		return false;
	}
	*at = w->in_at;
	*len = (size_t)(nl - s) - w->in_at;
	w->in_at = w->in_seen = (size_t)(nl - s) + 1;
	return true;
}

/* Throw away the rest of a line that is too long; true once it has ended. */
static bool
skip_line(struct wire *w)
{
	size_t at, len;

	if (next_line(w, &at, &len)) {
		w->skipping = false;
		return true;
	}
	w->in_at = w->in.len;
	in_compact(w);
	return false;
}

bool
wire_next(struct wire *w, struct wire_msg *m, enum rk_err *rc,
    struct rk_why *why)
{
	size_t at, len;

	must_be(w, WIRE_TAG);
	if (w->skipping && !skip_line(w))
		return false;
	if (next_line(w, &at, &len)) {
		*rc = wire_parse(sb_str(&w->in) + at, len, m, why);
		return true;
	}
	if (w->in.len - w->in_at <= WIRE_LINE_MAX) {
		in_compact(w);
		return false;
	}
	w->skipping = true;
	*m = (struct wire_msg){ .type = WIRE_UNKNOWN };
	*rc = rk_refuse(why, "a line of more than %u bytes", WIRE_LINE_MAX);
	return true;
}

bool
wire_pending(const struct wire *w)
{
	must_be(w, WIRE_TAG);
	return w->out_at < w->out.len;
}

enum rk_err
wire_flush(struct wire *w)
{
	must_be(w, WIRE_TAG);
	while (w->out_at < w->out.len) {
		ssize_t n = send(w->fd, w->out.s + w->out_at,
		    w->out.len - w->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			w->out_at += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return RK_OK;
		bool gone = errno == EPIPE || errno == ECONNRESET;
		if (!gone)
			log_errno("wire: cannot write");
		sb_reset(&w->out);
		w->out_at = 0;
		return gone ? RK_ENOENT : RK_EIO;
	}
	sb_reset(&w->out);
	w->out_at = 0;
	return RK_OK;
}

static enum rk_err
queue(struct wire *w, enum wire_type type, const char *line)
{
	size_t waiting = w->out.len - w->out_at, n = strlen(line);

	if (type == WIRE_PROGRESS && waiting > OUT_BUSY)
		return RK_OK;
	if (n > WIRE_LINE_MAX || waiting + n + 1 > OUT_MAX)
		return RK_ELIMIT;
	if (w->out_at > OUT_BUSY) {
		sb_cut(&w->out, w->out_at);
		w->out_at = 0;
	}
	sb_add(&w->out, line, n);
	sb_addc(&w->out, '\n');
	return RK_OK;
}

enum rk_err
wire_send(struct wire *w, enum wire_type type, json_t *tree)
{
	must_be(w, WIRE_TAG);
	must(type < WIRE_UNKNOWN && json_is_object(tree));
	must(json_object_set_new(tree, "type",
	    json_string(wire_words[type])) == 0);
	char *line = rkj_text(tree);
	json_decref(tree);
	enum rk_err rc = queue(w, type, line);
	free(line);
	enum rk_err flushed = wire_flush(w);
	return rc != RK_OK ? rc : flushed;
}

static bool
has_line(const struct wire *w)
{
	return memchr(sb_str(&w->in) + w->in_at, '\n',
	    w->in.len - w->in_at) != NULL;
}

bool
wire_wait(struct wire *w, int ms)
{
	int64_t end_ms = mono_ms() + ms;

	must_be(w, WIRE_TAG);
	for (;;) {
		if (!w->skipping && has_line(w))
			return true;
		struct pollfd p = { .fd = w->fd, .events = POLLIN };
		if (wire_pending(w))
			p.events |= POLLOUT;
		int64_t left = ms < 0 ? -1 : RK_MAX(end_ms - mono_ms(), 0);
		int n = poll(&p, 1, (int)left);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0 && (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
			return true;
		/* A broken line shows as POLLHUP in the next round. */
		if (n > 0 && (p.revents & POLLOUT) != 0)
			(void)!wire_flush(w);
		if (n == 0 || (ms >= 0 && mono_ms() >= end_ms))
			return false;
	}
}
