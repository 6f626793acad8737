/*
 * alive - until a trainer is ready for hello it says that it is at work.
 *
 * Data are read or drawn, a network is laid out, a checkpoint is read: from a
 * slow disk, or of the largest data, that takes longer than a daemon waits for
 * a first word.  A thread sends `alive` a few times a second, but only when
 * another thread has had a processor since: one that waits for a disk that does
 * not answer, or for a lock that is not given back, stays silent and is found
 * to hang.
 *
 * The line belongs to this thread from alive_start() to alive_stop(), which
 * every word of the main thread is behind (report.c holds them until hello).
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "report.h"

#define ALIVE_MS 250            /* a daemon's patience is 1 s or more */
#define NOISE_NS 50000          /* between two looks at two clocks; reading 64
                                   KiB takes no less */

struct alive {
	struct wire *wire;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;              /* under the lock */
};

static int64_t
clock_of(clockid_t id)
{
	struct timespec t = {0};

	must(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Processor time of all threads but this one. */
static int64_t
work_ns(void)
{
	return clock_of(CLOCK_PROCESS_CPUTIME_ID) -
	    clock_of(CLOCK_THREAD_CPUTIME_ID);
}

/* True: told to stop before so many milliseconds were over. */
static bool
stopped_within(struct alive *a, int ms)
{
	struct timespec until;
	int e = 0;

	must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&a->lock);
	while (!a->stop && e == 0)
		e = pthread_cond_timedwait(&a->changed, &a->lock, &until);
	const bool stop = a->stop;
	pthread_mutex_unlock(&a->lock);
	return stop;
}

static void *
alive_main(void *arg)
{
	struct alive *a = arg;
	int64_t seen = work_ns();
	enum rk_err rc = RK_OK;

	/* Where the daemon has gone, the main thread finds out at hello. */
	while (rc == RK_OK && !stopped_within(a, ALIVE_MS)) {
		const int64_t now = work_ns();
		if (now - seen <= NOISE_NS)
			continue;
		rc = wire_send(a->wire, WIRE_ALIVE, json_object());
		seen = now;
	}
	return NULL;
}

struct alive *
alive_start(struct wire *w)
{
	struct alive *a = xcalloc(1, sizeof(*a));
	pthread_condattr_t attr;

	a->wire = w;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (rk_thread_start(&a->thread, alive_main, a) == 0)
		return a;
	/* Without a thread to spare the start is as quick as it is. */
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return NULL;
}

void
alive_stop(struct alive **ap)
{
	struct alive *a = *ap;

	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
	*ap = NULL;
}
