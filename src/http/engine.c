/*
 * The engine: a thread around a libcurl multi handle.
 *
 * Calls wait here, not in libcurl, until their host has a place for them; so
 * their clocks begin when they do.  One round of the thread: take what is new,
 * let go of what was cancelled, begin what may begin, move bytes, end what has
 * ended, sleep until a socket or a clock has something to say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "impl.h"

#define CONNECTIONS 32
#define PER_HOST    16
#define FROZEN_MS   1000        /* a look that comes so late saw nothing */
#define LOOK_MS     1000        /* at slow calls; sooner for short patience */

/* --- in the engine's thread -------------------------------------------- */

/*
 * Sleep until the first call, or the end, before libcurl is set up: with the
 * TLS library that it brings it takes megabytes, which a daemon that has
 * nothing to fetch or to send shall not have.
 */
static void
sleep_first(struct http *h)
{
	must(pthread_mutex_lock(&h->lock) == 0);
	while (TAILQ_EMPTY(&h->incoming) && !h->quit)
		must(pthread_cond_wait(&h->first, &h->lock) == 0);
	bool quit = h->quit;
	must(pthread_mutex_unlock(&h->lock) == 0);
	if (quit)
		return;
	easy_global();
	CURLM *multi = curl_multi_init();
	must(multi != NULL);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)h->connections);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	must(pthread_mutex_lock(&h->lock) == 0);
	h->multi = multi;
	must(pthread_mutex_unlock(&h->lock) == 0);
}

static void
finish(struct http *h, struct http_call *c, CURLcode rc)
{
	const uint64_t one = 1;

	call_end(c, rc);
	easy_close(c, false);
	if (call_cancelled(c)) {
		call_free(c);
		return;
	}
	must(pthread_mutex_lock(&h->lock) == 0);
	bool first = TAILQ_EMPTY(&h->finished);
	TAILQ_INSERT_TAIL(&h->finished, c, link);
	must(pthread_mutex_unlock(&h->lock) == 0);
	if (first)
		must(write(h->eventfd, &one, sizeof(one)) == sizeof(one));
}

/* Take it out of the multi handle and end it. */
static void
stop(struct http *h, struct http_call *c, CURLcode rc)
{
	TAILQ_REMOVE(&h->active, c, link);
	h->running--;
	curl_multi_remove_handle(h->multi, c->easy);
	finish(h, c, rc);
}

static bool
take_news(struct http *h)
{
	must(pthread_mutex_lock(&h->lock) == 0);
	TAILQ_CONCAT(&h->waiting, &h->incoming, link);
	bool cancels = h->cancels, quit = h->quit;
	if (h->rates) {
		bucket_set(&h->up, h->up_rate, mono_ns());
		bucket_set(&h->down, h->down_rate, mono_ns());
	}
	h->rates = h->cancels = false;
	must(pthread_mutex_unlock(&h->lock) == 0);

	struct http_call *c, *next;
	if (!cancels)
		return !quit;
	for (c = TAILQ_FIRST(&h->waiting); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (call_cancelled(c)) {
			TAILQ_REMOVE(&h->waiting, c, link);
			call_free(c);
		}
	}
	for (c = TAILQ_FIRST(&h->active); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (call_cancelled(c))
			stop(h, c, CURLE_ABORTED_BY_CALLBACK);
	}
	return !quit;
}

static bool
has_place(const struct http *h, const struct http_call *c)
{
	const struct http_call *o;
	int same = 0;

	TAILQ_FOREACH(o, &h->active, link)
		same += strcmp(o->host, c->host) == 0;
	return same < h->per_host;
}

static void
begin(struct http *h, struct http_call *c)
{
	TAILQ_REMOVE(&h->waiting, c, link);
	if (!easy_open(c, NULL)) {
		finish(h, c, CURLE_OK);
		return;
	}
	must(curl_multi_add_handle(h->multi, c->easy) == CURLM_OK);
	TAILQ_INSERT_TAIL(&h->active, c, link);
	h->running++;
}

static void
begin_waiting(struct http *h)
{
	struct http_call *c, *next;

	for (c = TAILQ_FIRST(&h->waiting);
	    c != NULL && h->running < h->connections; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->failed || has_place(h, c))
			begin(h, c);
	}
}

static void
restart(struct http *h, struct http_call *c)
{
	curl_multi_remove_handle(h->multi, c->easy);
	must(easy_open(c, c->easy));
	must(curl_multi_add_handle(h->multi, c->easy) == CURLM_OK);
}

static bool
end_ended(struct http *h)
{
	CURLMsg *m;
	bool any = false;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_call *c = NULL;
		CURLcode rc = m->data.result;
		char *private = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		c = (struct http_call *)(void *)private;
		must_be(c, HTTP_CALL_TAG);
		if (call_again(c, rc))
			restart(h, c);
		else
			stop(h, c, rc);
		any = true;
	}
	return any;
}

/* Let paused calls go on while there is something to be had, those first that
 * have waited longest; true if some must go on waiting. */
static bool
unpause(struct http *h)
{
	struct http_call *c, *next, *last = TAILQ_LAST(&h->active, calls);
	bool left = false;

	bucket_fill(&h->up, mono_ns());
	bucket_fill(&h->down, mono_ns());
	for (c = TAILQ_FIRST(&h->active); c != NULL; c = next) {
		next = c != last ? TAILQ_NEXT(c, link) : NULL;
		if (!c->wants_up && !c->wants_down)
			continue;
		if (c->wants_up && bucket_some(&h->up, 1) > 0)
			c->wants_up = false;
		if (c->wants_down && bucket_some(&h->down, 1) > 0)
			c->wants_down = false;
		int still = (c->wants_up ? CURLPAUSE_SEND : 0) |
		    (c->wants_down ? CURLPAUSE_RECV : 0);
		c->brisk_ms = mono_ms();        /* it is not its fault */
		if (still == 0) {
			/* It goes behind the others for the next time. */
			TAILQ_REMOVE(&h->active, c, link);
			TAILQ_INSERT_TAIL(&h->active, c, link);
			curl_easy_pause(c->easy, CURLPAUSE_CONT);
		}
		left = left || still != 0 || c->wants_up || c->wants_down;
	}
	return left;
}

/* End calls that have been too slow for too long.  Returns when to look next,
 * -1: no call has such a rule. */
static int64_t
look_at_speed(struct http *h)
{
	struct http_call *c, *next;
	int64_t now = mono_ms(), wait = -1;

	for (c = TAILQ_FIRST(&h->active); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->r.slow_ms <= 0)
			continue;
		int64_t step = RK_MIN(RK_MAX(c->r.slow_ms / 8, 10), LOOK_MS);
		wait = wait < 0 ? step : RK_MIN(wait, step);
		int64_t ms = now - c->looked_ms;
		if (ms < step)
			continue;
		/* We, or the machine, stood still: that was not the server. */
		if (ms > step + FROZEN_MS) {
			c->brisk_ms += ms - step;
			ms = step;
		}
		uint64_t moved = c->moved;
		/* It starts from nothing when a body is sent again. */
		uint64_t by = moved > c->looked_at ? moved - c->looked_at : 0;
		if (!c->connected ||
		    (by > 0 && by * 1000 >= (uint64_t)c->r.slow * (uint64_t)ms))
			c->brisk_ms = now;
		c->looked_ms = now;
		c->looked_at = moved;
		if (now - c->brisk_ms < c->r.slow_ms)
			continue;
		call_fail(c, HTTP_STALLED, RK_OK,
		    "less than %lld bytes a second for %lld ms",
		    (long long)RK_MAX(c->r.slow, 1), (long long)c->r.slow_ms);
		stop(h, c, CURLE_OK);
	}
	return wait;
}

/* Of two waits in milliseconds, those that are none aside. */
static int64_t
sooner(int64_t wait, int64_t ms)
{
	return ms <= 0 ? wait : wait < 0 ? ms : RK_MIN(wait, ms);
}

static void *
engine(void *ctx)
{
	struct http *h = ctx;
	int running;

	sleep_first(h);
	while (take_news(h)) {
		bool more;
		do {
			begin_waiting(h);
			must(curl_multi_perform(h->multi, &running) ==
			    CURLM_OK);
			more = end_ended(h);
		} while (more);
		int64_t wait = look_at_speed(h);
		if (unpause(h)) {
			wait = sooner(wait, bucket_wait_ms(&h->up));
			wait = sooner(wait, bucket_wait_ms(&h->down));
		}
		must(curl_multi_poll(h->multi, NULL, 0,
		    wait < 0 ? 60000 : (int)wait, NULL) == CURLM_OK);
	}
	return NULL;
}

/* --- in the loop's thread ---------------------------------------------- */

static void
deliver(void *ctx, unsigned events)
{
	struct http *h = ctx;
	struct http_call *c;
	bool gone = false;
	uint64_t n;

	must_be(h, HTTP_TAG);
	(void)events;
	(void)!read(h->eventfd, &n, sizeof(n));
	must(pthread_mutex_lock(&h->lock) == 0);
	TAILQ_CONCAT(&h->delivering, &h->finished, link);
	must(pthread_mutex_unlock(&h->lock) == 0);
	h->gone = &gone;
	while ((c = TAILQ_FIRST(&h->delivering)) != NULL) {
		TAILQ_REMOVE(&h->delivering, c, link);
		h->current = c;
		if (!call_cancelled(c))
			c->done(c->ctx, &c->answer);
		call_free(c);
		if (gone)
			return;
		h->current = NULL;
	}
	h->gone = NULL;
}

/* The lock is held, and let go: the engine looks at what is new. */
static void
unlock_and_wake(struct http *h)
{
	CURLM *multi = h->multi;

	if (multi == NULL)
		must(pthread_cond_signal(&h->first) == 0);
	must(pthread_mutex_unlock(&h->lock) == 0);
	if (multi != NULL)
		curl_multi_wakeup(multi);
}

static enum rk_err
start(struct http *h)
{
	h->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->eventfd < 0) {
		log_errno("http: eventfd");
		return RK_EIO;
	}
	h->watch = loop_fd_add(h->loop, h->eventfd, LOOP_IN, deliver, h);
	int rc = rk_thread_start(&h->thread, engine, h);
	h->started = rc == 0;
	if (rc != 0)
		log_error("http: no thread: %s", strerror(rc));
	return rc == 0 && h->watch != NULL ? RK_OK : RK_EIO;
}

enum rk_err
http_open(struct http **hp, struct loop *l, const struct http_config *c)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->tag = HTTP_TAG;
	h->loop = l;
	h->connections = c->connections > 0 ? c->connections : CONNECTIONS;
	h->per_host = c->per_host > 0 ? c->per_host : PER_HOST;
	h->up_rate = c->up_rate;
	h->down_rate = c->down_rate;
	h->rates = true;
	TAILQ_INIT(&h->incoming);
	TAILQ_INIT(&h->finished);
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->active);
	TAILQ_INIT(&h->delivering);
	must(pthread_mutex_init(&h->lock, NULL) == 0);
	must(pthread_cond_init(&h->first, NULL) == 0);
	enum rk_err rc = start(h);
	*hp = h;
	if (rc != RK_OK)
		http_close(hp);
	return rc;
}

static void
free_all(struct http *h, struct calls *list)
{
	struct http_call *c;

	while ((c = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, c, link);
		if (c->easy != NULL)
			curl_multi_remove_handle(h->multi, c->easy);
		easy_close(c, false);
		call_free(c);
	}
}

void
http_close(struct http **hp)
{
	struct http *h = *hp;

	if (h == NULL)
		return;
	must_be(h, HTTP_TAG);
	*hp = NULL;
	must(pthread_mutex_lock(&h->lock) == 0);
	h->quit = true;
	unlock_and_wake(h);
	if (h->started)
		must(pthread_join(h->thread, NULL) == 0);
	free_all(h, &h->incoming);
	free_all(h, &h->waiting);
	free_all(h, &h->active);
	free_all(h, &h->finished);
	free_all(h, &h->delivering);
	if (h->multi != NULL)
		curl_multi_cleanup(h->multi);
	loop_fd_del(&h->watch);
	rk_close(&h->eventfd);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->first);
	if (h->gone != NULL)
		*h->gone = true;
	h->tag = 0;
	free(h);
}

void
http_rates(struct http *h, uint64_t up, uint64_t down)
{
	must_be(h, HTTP_TAG);
	must(pthread_mutex_lock(&h->lock) == 0);
	h->up_rate = up;
	h->down_rate = down;
	h->rates = true;
	unlock_and_wake(h);
}

struct http_call *
http_send(struct http *h, const struct http_request *r)
{
	must_be(h, HTTP_TAG);
	struct http_call *c = call_new(r);
	c->h = h;
	must(pthread_mutex_lock(&h->lock) == 0);
	TAILQ_INSERT_TAIL(&h->incoming, c, link);
	unlock_and_wake(h);
	return c;
}

void
http_cancel(struct http_call **cp)
{
	struct http_call *c = *cp;

	if (c == NULL)
		return;
	must_be(c, HTTP_CALL_TAG);
	*cp = NULL;
	struct http *h = c->h;
	if (c == h->current)
		return;         /* its `done` is what is running */
	/* From the unlocking on, c may be gone. */
	must(pthread_mutex_lock(&c->io) == 0);
	__atomic_store_n(&c->cancel, true, __ATOMIC_RELEASE);
	must(pthread_mutex_unlock(&c->io) == 0);
	must(pthread_mutex_lock(&h->lock) == 0);
	h->cancels = true;
	unlock_and_wake(h);
}

void
http_moved(const struct http_call *c, uint64_t *sent, uint64_t *sunk)
{
	must_be(c, HTTP_CALL_TAG);
	*sent = GET(c->sent);
	*sunk = GET(c->sunk);
}
