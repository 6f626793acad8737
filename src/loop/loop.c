/*
 * One round: hook, sleep, descriptors, timers.
 *
 * Signals, children and posts are descriptors too (signalfd, pidfd, eventfd),
 * so that all that happens to the daemon happens at one place in this file.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "impl.h"

#define EVENTS_A_ROUND 64

enum rk_err
loop_open(struct loop **lp)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0) {
		log_errno("loop: epoll_create1");
		return rk_from_errno(errno);
	}
	/* Where SIGCHLD is ignored, as under some parents, children vanish
	 * before we could learn how they ended. */
	signal(SIGCHLD, SIG_DFL);
	struct loop *l = xcalloc(1, sizeof(*l));
	l->tag = LOOP_TAG;
	l->epoll = fd;
	l->signalfd = -1;
	l->eventfd = -1;
	sigemptyset(&l->mask);
	enum rk_err rc = threads_init(l);
	if (rc != RK_OK)
		loop_close(&l);
	*lp = l;
	return rc;
}

static void
free_dead(struct loop *l)
{
	while (l->dead != NULL) {
		struct loop_fd *w = l->dead;
		LIST_TAKE(w);
		w->tag = 0;
		free(w);
	}
}

void
loop_close(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	must_be(l, LOOP_TAG);
	must(!l->running);
	threads_fini(l);
	children_fini(l);
	signals_fini(l);
	timers_fini(l);
	while (l->fds != NULL) {
		struct loop_fd *w = l->fds;
		loop_fd_del(&w);
	}
	free_dead(l);
	rk_close(&l->epoll);
	l->tag = 0;
	free(l);
	*lp = NULL;
}

static uint32_t
to_epoll(unsigned events)
{
	return (events & LOOP_IN ? (uint32_t)EPOLLIN : 0) |
	    (events & LOOP_OUT ? (uint32_t)EPOLLOUT : 0);
}

static unsigned
from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? LOOP_IN : 0) |
	    (events & EPOLLOUT ? LOOP_OUT : 0) |
	    (events & (EPOLLHUP | EPOLLERR) ? LOOP_HUP : 0);
}

struct loop_fd *
loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *ctx)
{
	must_be(l, LOOP_TAG);
	must(fn != NULL && (events & ~(LOOP_IN | LOOP_OUT)) == 0);
	struct loop_fd *w = xcalloc(1, sizeof(*w));
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = w };
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
		log_errno("loop: cannot watch descriptor %d", fd);
		free(w);
		return NULL;
	}
	*w = (struct loop_fd){ .tag = LOOP_FD_TAG, .l = l, .fd = fd,
	    .events = events, .fn = fn, .ctx = ctx };
	LIST_PUT(&l->fds, w);
	return w;
}

void
loop_fd_want(struct loop_fd *w, unsigned events)
{
	must_be(w, LOOP_FD_TAG);
	must((events & ~(LOOP_IN | LOOP_OUT)) == 0);
	if (events == w->events)
		return;
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = w };
	must(epoll_ctl(w->l->epoll, EPOLL_CTL_MOD, w->fd, &ev) == 0);
	w->events = events;
}

void
loop_fd_del(struct loop_fd **wp)
{
	struct loop_fd *w = *wp;

	if (w == NULL)
		return;
	must_be(w, LOOP_FD_TAG);
	*wp = NULL;
	/* Of a descriptor closed too early the kernel has dropped the watch. */
	(void)epoll_ctl(w->l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	w->fn = NULL;
	LIST_TAKE(w);
	LIST_PUT(&w->l->dead, w);
	if (!w->l->delivering)
		free_dead(w->l);
}

void
loop_hook(struct loop *l, loop_hook_fn *fn, void *ctx)
{
	must_be(l, LOOP_TAG);
	l->hook = fn;
	l->hook_ctx = ctx;
}

static int
shorter(int64_t a, int64_t b)
{
	int64_t ms = a < 0 ? b : b < 0 ? a : RK_MIN(a, b);

	return ms < 0 ? -1 : (int)RK_MIN(ms, INT_MAX);
}

static void
deliver(struct loop *l, const struct epoll_event *ev, int n)
{
	l->delivering = true;
	for (int i = 0; i < n; i++) {
		struct loop_fd *w = ev[i].data.ptr;
		must_be(w, LOOP_FD_TAG);
		if (w->fn == NULL)
			continue;       /* removed in this round */
		/* An earlier callback may have changed what is wanted. */
		unsigned events = from_epoll(ev[i].events) &
		    (w->events | LOOP_HUP);
		if (events != 0)
			w->fn(w->ctx, events);
	}
	l->delivering = false;
	free_dead(l);
}

void
loop_run(struct loop *l)
{
	struct epoll_event ev[EVENTS_A_ROUND];

	must_be(l, LOOP_TAG);
	must(!l->running);
	l->running = true;
	while (!l->stopping) {
		int64_t most = l->hook != NULL ? l->hook(l->hook_ctx) : -1;
		if (l->stopping)
			break;
		int wait = shorter(shorter(most, timers_wait(l)),
		    seen_wait(l));
		(void)seen_look(l, 0);
		int n = epoll_wait(l->epoll, ev, EVENTS_A_ROUND, wait);
		must(n >= 0 || errno == EINTR);
		bool gap = seen_look(l, wait < 0 ? INT64_MAX / 2 : wait);
		deliver(l, ev, RK_MAX(n, 0));
		/* Behind a gap these may be of before it. */
		if (!gap)
			seen_delivered(l, (size_t)RK_MAX(n, 0),
			    EVENTS_A_ROUND);
		timers_run(l);
	}
	l->running = l->stopping = false;
}

void
loop_stop(struct loop *l)
{
	must_be(l, LOOP_TAG);
	l->stopping = true;
}
