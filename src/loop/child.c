/* Children, by a pidfd each: no SIGCHLD, no mix-up when a pid comes again. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"

static void
forget(struct loop_child *c)
{
	loop_fd_del(&c->watch);
	rk_close(&c->pidfd);
	LIST_TAKE(c);
	free(c);
}

static void
on_pidfd(void *ctx, unsigned events)
{
	struct loop_child *c = ctx;
	struct loop_child was = *c;
	int status = 0;
	pid_t got;

	(void)events;
	do
		got = waitpid(c->pid, &status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return;
	if (got < 0) {
		/* Reaped by somebody else: a bug, but the end is an end. */
		log_errno("loop: waitpid for %ld", (long)c->pid);
		status = 255 << 8;      /* as if by exit(255) */
	}
	forget(c);
	was.fn(was.ctx, was.pid, status);
}

enum rk_err
loop_child(struct loop *l, pid_t pid, loop_child_fn *fn, void *ctx)
{
	must_be(l, LOOP_TAG);
	must(fn != NULL && pid > 0);
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0) {
		log_errno("loop: pidfd_open of %ld", (long)pid);
		return rk_from_errno(errno);
	}
	rk_set_cloexec(fd, true);
	struct loop_child *c = xcalloc(1, sizeof(*c));
	*c = (struct loop_child){ .l = l, .pid = pid, .pidfd = fd, .fn = fn,
	    .ctx = ctx };
	c->watch = loop_fd_add(l, fd, LOOP_IN, on_pidfd, c);
	if (c->watch == NULL) {
		rk_close(&fd);
		free(c);
		return RK_EIO;
	}
	LIST_PUT(&l->children, c);
	return RK_OK;
}

void
children_fini(struct loop *l)
{
	while (l->children != NULL)
		forget(l->children);
}
