/* Threads, and the signals that none of them takes. */
#include "rekindle/base.h"

void
rk_signals_that_wait(sigset_t *set)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
		SIGSYS };

	sigfillset(set);
	for (size_t i = 0; i < RK_ARRAY_LEN(own); i++)
		sigdelset(set, own[i]);
}

void
rk_signals_block(sigset_t *old)
{
	sigset_t set;

	rk_signals_that_wait(&set);
	must(pthread_sigmask(SIG_BLOCK, &set, old) == 0);
}

int
rk_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	sigset_t old;

	rk_signals_block(&old);
	int e = pthread_create(thread, NULL, fn, arg);
	must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	return e;
}
