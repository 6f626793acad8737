/*
 * SIGTERM, SIGINT and SIGHUP: taken by a thread that does nothing else.
 *
 *	thread       signals blocked                      what it runs
 *	main         all that can be                      the training
 *	rk-signals   these three, and what the program    sigwait(), a counter
 *	             was started with
 *	all others   all that can be                      the rest
 *
 * No handler is installed: kernel.h says why.  Signals with another meaning to
 * the system keep it, for rk-signals does not block them: SIGTSTP stops the
 * process, SIGQUIT and SIGUSR1 end it at once without a checkpoint.
 *
 * Whoever asks twice does not want to wait for the checkpoint, which may take
 * long on a full or hung disk; so it is not the main thread that leaves then.
 * But one wish may come as several signals: timeout(1) tells its child and then
 * the child's group, a terminal that closes sends SIGHUP from the kernel and
 * from the shell, systemd may send SIGHUP behind SIGTERM.  What comes within
 * SAME_MS of the first belongs to it.
 */
#include <stdatomic.h>
#include <unistd.h>

#include "run.h"

#define SAME_MS 500

static struct {
	bool held;
	sigset_t before;        /* the mask that the program was started with */
	sigset_t ours;
	_Atomic bool came;
} signals;

void
train_hold_signals(void)
{
	if (!signals.held)
		rk_signals_block(&signals.before);
	signals.held = true;
}

static RK_NORETURN void *
signals_main(void *arg)
{
	int64_t first_ms = 0;

	(void)arg;
	(void)!pthread_setname_np(pthread_self(), "rk-signals");
	must(pthread_sigmask(SIG_SETMASK, &signals.before, NULL) == 0);
	for (;;) {
		int sig;
		if (sigwait(&signals.ours, &sig) != 0)
			continue;
		if (!atomic_exchange(&signals.came, true))
			first_ms = mono_ms();
		else if (mono_ms() - first_ms > SAME_MS)
			_exit(TRAIN_FAILED);
	}
}

bool
signals_start(struct run *r)
{
	static const int ours[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction now;
	pthread_t thread;

	train_hold_signals();
	sigemptyset(&signals.ours);
	for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++) {
		/* nohup and shells that put a job aside ignore some. */
		if (sigaction(ours[i], NULL, &now) == 0 &&
		    now.sa_handler == SIG_IGN)
			continue;
		sigaddset(&signals.ours, ours[i]);
		sigaddset(&signals.before, ours[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	if (rk_thread_start(&thread, signals_main, NULL) != 0)
		return run_fail(r, "no_memory", false, "the system has no "
		    "thread for the signals");
	pthread_detach(thread);
	return true;
}

bool
signals_came(void)
{
	return atomic_load(&signals.came);
}
