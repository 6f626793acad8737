/* What systemd hears of us: ready, a status line, that we are alive. */
#include "impl.h"

#include <pthread.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define STATUS_MS 1000          /* at most one status line in so long */
#define ROOM_LOOK_S 10          /* a full disk at the start: look again */
/* ... and for so long, then systemd starts another daemon: StartLimitBurst=
 * starts take longer than StartLimitIntervalSec= of the unit, so that it never
 * gives up. */
#define ROOM_WAIT_MS 30000

struct notify {
	struct sup *sup;
	struct loop_timer *status, *watchdog;
	int64_t every_ms;       /* of the watchdog; 0: none */
	bool due;               /* the status timer is set */
};

static void
say_status(void *ctx)
{
	struct notify *n = ctx;
	int running = 0;
	int64_t queued = 0, threads;
	uint64_t memory;

	n->due = false;
	sup_stats(n->sup, &running, &queued, &threads, &memory);
	(void)sd_notifyf(0, "STATUS=%d running, %lld queued%s", running,
	    (long long)queued, sup_draining(n->sup) ? ", draining" : "");
}

static void
say_alive(void *ctx)
{
	struct notify *n = ctx;

	(void)sd_notify(0, "WATCHDOG=1");
	loop_timer_at(n->watchdog, mono_ms() + n->every_ms);
}

static void
job_changed(void *ctx, const char *job, char what)
{
	struct notify *n = ctx;

	(void)job;
	if (what != 's' || n->due)
		return;
	n->due = true;
	loop_timer_at(n->status, mono_ms() + STATUS_MS);
}

struct notify *
notify_new(struct loop *l, struct sup *s)
{
	struct notify *n = xcalloc(1, sizeof(*n));
	uint64_t usec;

	n->sup = s;
	n->status = loop_timer_add(l, say_status, n);
	n->watchdog = loop_timer_add(l, say_alive, n);
	if (sd_watchdog_enabled(0, &usec) > 0) {
		n->every_ms = RK_MAX((int64_t)(usec / 2000), 1);
		say_alive(n);
	}
	if (getenv("NOTIFY_SOCKET") != NULL) {
		sup_listen(s, job_changed, n);
		say_status(n);
	}
	return n;
}

void
notify_free(struct notify **np)
{
	struct notify *n = *np;

	if (n == NULL)
		return;
	*np = NULL;
	sup_unlisten(n->sup, job_changed, n);
	loop_timer_del(&n->status);
	loop_timer_del(&n->watchdog);
	free(n);
}

void
notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void
notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

bool
notify_no_room(int64_t since_ms)
{
	const struct timespec look = { .tv_sec = ROOM_LOOK_S };
	sigset_t leave;

	if (getenv("NOTIFY_SOCKET") == NULL ||
	    mono_ms() - since_ms > ROOM_WAIT_MS)
		return false;
	(void)sd_notifyf(0, "STATUS=waits for room on the disk\n"
	    "EXTEND_TIMEOUT_USEC=%d", 4 * ROOM_LOOK_S * 1000000);
	/* The loop that took these is closed. */
	sigemptyset(&leave);
	sigaddset(&leave, SIGTERM);
	sigaddset(&leave, SIGINT);
	must(pthread_sigmask(SIG_UNBLOCK, &leave, NULL) == 0);
	(void)nanosleep(&look, NULL);
	return true;
}
