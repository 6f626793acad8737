/*
 * Lingering: a socket that is closed while bytes of the client lie unread makes
 * the kernel send a reset, and the client loses the answer (413, 431) that was
 * to tell it why.  So such a connection is kept a little: its bytes are read
 * and thrown away until the client has closed, or for LINGER_MS.
 */
#include "impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS  2000
#define LINGER_MAX 32           /* at a time; more get their reset */

struct lingering {
	struct api *api;
	struct lingering *next;
	int fd;
	struct loop_fd *watch;
	int64_t until_ms;
};

static void
let_go(struct lingering **p)
{
	struct lingering *l = *p;

	*p = l->next;
	l->api->nlingers--;
	loop_fd_del(&l->watch);
	close(l->fd);
	free(l);
}

/* Read and forget; done at the end, at an error, or when it is time. */
static void
drain(void *ctx, unsigned events)
{
	struct lingering *l = ctx, **p = &l->api->lingers;
	char buf[16384];
	ssize_t n;

	(void)events;
	do {
		n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0 && mono_ms() < l->until_ms);
	if (n < 0 && (errno == EAGAIN || errno == EINTR) &&
	    mono_ms() < l->until_ms)
		return;
	while (*p != l)
		p = &(*p)->next;
	let_go(p);
}

void
linger_tick(void *ctx)
{
	struct api *a = ctx;
	struct lingering **p = &a->lingers;
	int64_t now = mono_ms();

	must_be(a, API_TAG);
	while (*p != NULL) {
		if ((*p)->until_ms <= now)
			let_go(p);
		else
			p = &(*p)->next;
	}
	if (a->lingers != NULL)
		loop_timer_at(a->linger_timer, now + LINGER_MS / 4);
}

static void
keep(struct api *a, int fd)
{
	struct lingering *l = xcalloc(1, sizeof(*l));

	*l = (struct lingering){ .api = a, .next = a->lingers, .fd = fd,
	    .until_ms = mono_ms() + LINGER_MS };
	l->watch = loop_fd_add(a->loop, fd, LOOP_IN, drain, l);
	if (l->watch == NULL) {
		close(fd);
		free(l);
		return;
	}
	a->lingers = l;
	if (a->nlingers++ == 0)
		loop_timer_at(a->linger_timer, mono_ms() + LINGER_MS / 4);
}

/* libmicrohttpd is about to close a connection; it has said its last. */
void
linger_keep(struct api *a, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info;
	int unread = 0, fd;

	if (a->closing || a->nlingers >= RK_MIN(LINGER_MAX,
	    a->cfg.descriptors / 8))
		return;
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info == NULL || ioctl(info->connect_fd, FIONREAD, &unread) != 0 ||
	    unread == 0)
		return;
	fd = fcntl(info->connect_fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		keep(a, fd);
}

void
linger_close_all(struct api *a)
{
	while (a->lingers != NULL)
		let_go(&a->lingers);
}
