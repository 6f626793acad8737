/* Signals, by a signalfd: callbacks run where all callbacks run. */
#include <errno.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "impl.h"

static void
on_signals(void *ctx, unsigned events)
{
	struct loop *l = ctx;
	struct signalfd_siginfo si;

	must_be(l, LOOP_TAG);
	(void)events;
	while (read(l->signalfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo < LOOP_SIGNALS &&
		    l->signals[si.ssi_signo].fn != NULL)
			l->signals[si.ssi_signo].fn(
			    l->signals[si.ssi_signo].ctx, (int)si.ssi_signo);
	}
}

enum rk_err
loop_signal(struct loop *l, int sig, loop_signal_fn *fn, void *ctx)
{
	sigset_t one;

	must_be(l, LOOP_TAG);
	must(fn != NULL && sig > 0 && sig < LOOP_SIGNALS);
	sigemptyset(&one);
	must(sigaddset(&one, sig) == 0 && sigaddset(&l->mask, sig) == 0);
	must(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0);

	int fd = signalfd(l->signalfd, &l->mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		log_errno("loop: signalfd");
		return rk_from_errno(errno);
	}
	l->signalfd = fd;
	if (l->signal_watch == NULL)
		l->signal_watch = loop_fd_add(l, fd, LOOP_IN, on_signals, l);
	if (l->signal_watch == NULL)
		return RK_EIO;
	l->signals[sig].fn = fn;
	l->signals[sig].ctx = ctx;
	return RK_OK;
}

void
signals_fini(struct loop *l)
{
	loop_fd_del(&l->signal_watch);
	rk_close(&l->signalfd);
}
