/*
 * The door-keeper: takes connections in, as many as there is room for.
 *
 * Both doors share the descriptors that the API may use; each has a bound of
 * its own below that, so that a flood at one leaves places at the other.  Where
 * there is no room, the listening socket is not watched and callers wait in the
 * kernel's queue; the hook looks again after each round, in which somebody may
 * have left.  If a descriptor cannot be had all the same, we try again soon,
 * without spinning: the others in this process give theirs back, too.
 */
#include "impl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE  64             /* connections taken before others' turn */
#define AGAIN_MS 100            /* no descriptor was to be had */
#define TELL_MS  60000

int
accept_limit(const struct door *d)
{
	const struct api *a = d->api;
	int all = a->cfg.descriptors;
	bool two = a->door[DOOR_TCP].listen_fd >= 0 &&
	    a->door[DOOR_UNIX].listen_fd >= 0;

	return RK_MIN(a->cfg.connections, two ? all - all / 8 : all);
}

static bool
has_room(const struct door *d)
{
	const struct api *a = d->api;
	int all = a->nlingers;

	for (int i = 0; i < DOORS; i++)
		all += a->door[i].nguests;
	return d->nguests < accept_limit(d) && all < a->cfg.descriptors;
}

void
accept_look(struct door *d)
{
	if (d->listen_watch != NULL)
		loop_fd_want(d->listen_watch,
		    has_room(d) && !d->no_descriptor ? LOOP_IN : 0);
}

static void
on_again(void *ctx)
{
	struct door *d = ctx;

	d->no_descriptor = false;
	accept_look(d);
}

static void
cannot(struct door *d, int err)
{
	int64_t now = mono_ms();

	d->no_descriptor = true;
	loop_timer_at(d->again, now + AGAIN_MS);
	if (d->told_ms != 0 && now - d->told_ms < TELL_MS)
		return;
	d->told_ms = now;
	log_warn("api: a client has to wait: %s", strerror(err));
}

static void
on_listen(void *ctx, unsigned events)
{
	struct door *d = ctx;

	(void)events;
	for (int i = 0; i < AT_ONCE && has_room(d); i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		int fd = accept4(d->listen_fd, (struct sockaddr *)&from, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				cannot(d, errno);
			break;
		}
		/* It closes the descriptor if it will not have it. */
		if (MHD_add_connection(d->mhd, fd, (struct sockaddr *)&from,
		    len) != MHD_YES)
			log_debug("api: a connection was not taken");
	}
	accept_look(d);
}

enum rk_err
accept_open(struct door *d, int fd)
{
	d->listen_fd = fd;
	d->again = loop_timer_add(d->api->loop, on_again, d);
	d->listen_watch = loop_fd_add(d->api->loop, fd, LOOP_IN, on_listen, d);
	return d->listen_watch != NULL ? RK_OK : RK_EIO;
}

void
accept_close(struct door *d)
{
	loop_fd_del(&d->listen_watch);
	loop_timer_del(&d->again);
	d->listen_fd = -1;
}
