/* The server: two doors into one set of routes, in the daemon's loop. */
#include "impl.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define GAP_MS 250              /* less than what the loop calls one */

static void
mhd_says(void *ctx, const char *fmt, va_list ap)
{
	struct strbuf b = { 0 };

	(void)ctx;
	sb_vaddf(&b, fmt, ap);
	while (b.len > 0 && b.s[b.len - 1] == '\n')
		b.s[--b.len] = '\0';
	/* A client that goes away in the middle is told of here, too. */
	log_debug("api: %s", sb_str(&b));
	sb_fini(&b);
}

/*
 * Address decoding of our own: "%00" stays as it is, so that no address is
 * cut short by it.  Returns the new length.
 */
static size_t
unescape(void *ctx, struct MHD_Connection *c, char *s)
{
	char *out = s, *start = s;

	(void)ctx;
	(void)c;
	while (*s) {
		unsigned v;
		if (*s == '%' && sscanf(s, "%%%2x", &v) == 1 && v != 0 &&
		    strspn(s + 1, "0123456789abcdefABCDEF") >= 2) {
			*out++ = (char)v;
			s += 3;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
	return (size_t)(out - start);
}

/* Runs in the loop before it sleeps: libmicrohttpd does all that it can, and
 * says how long it can do without us. */
static int64_t
api_hook(void *ctx)
{
	struct api *a = ctx;
	int64_t sleep_ms = -1, unseen = mono_ms() - loop_seen_ms(a->loop);

	must_be(a, API_TAG);
	bool gap = unseen - a->unseen_ms >= GAP_MS;
	a->unseen_ms = gap ? unseen : a->unseen_ms;
	for (int i = 0; i < DOORS; i++) {
		MHD_UNSIGNED_LONG_LONG ms;
		if (a->door[i].mhd == NULL)
			continue;
		if (gap)
			guests_pardon(&a->door[i]);
		MHD_run(a->door[i].mhd);
		guests_thin(&a->door[i]);
		accept_look(&a->door[i]);
		if (MHD_get_timeout(a->door[i].mhd, &ms) != MHD_YES)
			continue;
		if (sleep_ms < 0 || (int64_t)ms < sleep_ms)
			sleep_ms = (int64_t)ms;
	}
	return sleep_ms;
}

/* Its epoll set has something: the hook, which follows, sees to it. */
static void
door_ready(void *ctx, unsigned events)
{
	(void)ctx;
	(void)events;
}

static void
told(void *ctx, const char *job, char what)
{
	struct api *a = ctx;

	must_be(a, API_TAG);
	api_changed(a, job, what);
}

void
api_changed(struct api *a, const char *job, char what)
{
	a->change++;
	stream_told(a, job, what);
}

static enum rk_err
door_open(struct api *a, int which, int fd, struct rk_why *why)
{
	struct door *d = &a->door[which];
	const union MHD_DaemonInfo *info;

	d->api = a;
	d->local = which == DOOR_UNIX;
	d->listen_fd = fd;
	if (fd < 0)
		return RK_OK;
	/* We accept ourselves: the library stops listening where descriptors
	 * are short, and would not listen again before something else wakes
	 * it. */
	d->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
	    MHD_USE_NO_LISTEN_SOCKET |
	    MHD_USE_TURBO | MHD_USE_ERROR_LOG, 0, NULL, NULL, req_handle, d,
	    MHD_OPTION_EXTERNAL_LOGGER, mhd_says, NULL,
	    MHD_OPTION_URI_LOG_CALLBACK, req_uri, d,
	    MHD_OPTION_NOTIFY_COMPLETED, req_completed, d,
	    MHD_OPTION_NOTIFY_CONNECTION, guest_notify, d,
	    MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)a->cfg.connections,
	    MHD_OPTION_CONNECTION_TIMEOUT, a->idle_seconds,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, a->cfg.header_limit,
	    MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (d->mhd == NULL) {
		(void)rk_refuse(why, "the HTTP library did not start on the %s "
		    "socket", d->local ? "Unix" : "TCP");
		return RK_EIO;
	}
	info = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	must(info != NULL);
	d->watch = loop_fd_add(a->loop, info->epoll_fd, LOOP_IN, door_ready, d);
	return accept_open(d, fd);
}

static void
door_close(struct door *d)
{
	int fd = d->listen_fd;

	accept_close(d);
	loop_fd_del(&d->watch);
	if (d->mhd == NULL)
		return;
	/* Requests that waited were woken with an answer; libmicrohttpd wants
	 * them resumed before it stops. */
	MHD_run(d->mhd);
	MHD_stop_daemon(d->mhd);
	d->mhd = NULL;
	if (d->api->opened)
		close(fd);
}

enum rk_err
api_open(struct api **ap, struct loop *l, const struct api_parts *p,
    const struct api_config *c, struct rk_why *why)
{
	struct api *a = xcalloc(1, sizeof(*a));
	enum rk_err rc;

	a->tag = API_TAG;
	a->loop = l;
	a->store = p->store;
	a->sup = p->sup;
	a->remote = p->remote;
	a->ship = p->ship;
	a->mirror = p->mirror;
	a->models = p->models;
	a->preempt = p->preempt;
	a->cfg = *c;
	a->tcp_host = xstrdup(c->tcp_host ? c->tcp_host : "");
	a->cfg.tcp_host = a->tcp_host;
	a->idle_seconds = (unsigned)((c->idle_timeout_ms + 999) / 1000);
	stats_init(&a->stats);
	for (int i = 0; i < DOORS; i++)
		a->door[i] = (struct door){ .api = a, .listen_fd = -1 };
	rc = door_open(a, DOOR_TCP, c->tcp_fd, why);
	if (rc == RK_OK)
		rc = door_open(a, DOOR_UNIX, c->unix_fd, why);
	if (rc != RK_OK) {
		/* The caller keeps both sockets when we fail. */
		for (int i = 0; i < DOORS; i++)
			door_close(&a->door[i]);
		stats_fini(&a->stats);
		free(a->tcp_host);
		free(a);
		return rc;
	}
	a->opened = true;
	a->tick = loop_timer_add(l, stream_tick, a);
	a->linger_timer = loop_timer_add(l, linger_tick, a);
	loop_hook(l, api_hook, a);
	sup_listen(a->sup, told, a);
	*ap = a;
	return RK_OK;
}

void
api_close(struct api **ap)
{
	struct api *a = *ap;

	if (a == NULL)
		return;
	must_be(a, API_TAG);
	*ap = NULL;
	a->closing = true;
	sup_unlisten(a->sup, told, a);
	loop_hook(a->loop, NULL, NULL);
	for (struct req *q = a->reqs; q != NULL; q = q->next) {
		if (!q->waiting)
			continue;
		reply_problem(q, P_NOT_READY, "the daemon is leaving");
		if (q->asked)
			sup_checkpoint_forget(a->sup, q);
		if (q->checked)
			sup_check_forget(a->sup, q);
		q->checked = false;
		if (q->settling != NULL || (q->suggest != NULL &&
		    a->models != NULL))
			models_forget(a->models, q);
		settling_free(&q->settling);
		version_file_free(&q->version_file);
		sup_export_end(&q->exporting);
		models_forget(a->models, q);
		req_wake(q);
	}
	stream_close_all(a);
	download_close_all(a);
	for (int i = 0; i < DOORS; i++)
		door_close(&a->door[i]);
	linger_close_all(a);
	loop_timer_del(&a->tick);
	loop_timer_del(&a->linger_timer);
	cache_clear(&a->cache);
	if (a->openapi != NULL)
		MHD_destroy_response(a->openapi);
	must(a->reqs == NULL && a->streams == NULL && a->downloads == NULL);
	stats_fini(&a->stats);
	free(a->tcp_host);
	a->tag = 0;
	free(a);
}
