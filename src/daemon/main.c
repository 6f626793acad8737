/*
 * rekindled: from nothing to listening, and back.
 *
 * Everything is opened in one order and closed in the other; a part that cannot
 * be opened ends the program with a sentence and an exit code of its own.
 */
#include "impl.h"

#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HURRY_MS 3000           /* after a second signal */
#define BATCH_MS 500            /* changes of jobs are gathered for so long */
#define LAST_MS  1000           /* for who watches a job to look once more */
#define LAST_AGAIN_MS 20
#define TRIM_MS  60000          /* give memory back to the kernel */
#define FIRST_TRIM_MS 300       /* of what the start took */

struct daemon {
	struct config cfg;
	struct state state;
	struct loop *loop;
	struct http *http;
	struct remote *remote;
	struct store *store;
	struct sup *sup;
	struct ship *ship;
	struct mirror *mirror;
	struct models *models;
	struct preempt *preempt;
	struct api *api;
	struct notify *notify;
	struct loop_timer *sweep, *trim, *last;
	int64_t last_by_ms;     /* mono: watchers are not waited for longer */
	struct address addr;
	int tcp_fd, unix_fd;
	struct unix_place socket;       /* what unix_fd is bound to */
	bool said_no_room;
	int signals;            /* TERM and INT so far */
	int code;               /* what run() ends with */
	struct rk_why why;
};

static bool
has_tcp(const struct daemon *d)
{
	return strcmp(d->cfg.listen, "none") != 0;
}

static bool
has_unix(const struct daemon *d)
{
	return strcmp(d->cfg.socket, "none") != 0;
}

/* --- while it runs ------------------------------------------------------- */

static void
on_left(void *ctx, int code)
{
	struct daemon *d = ctx;

	if (d->code == EXIT_LEFT)
		d->code = code;
	d->last_by_ms = mono_ms() + LAST_MS;
	api_last_words(d->api);
	loop_timer_at(d->last, mono_ms());
}

/* Who watches a job learns that it waits for the next daemon, and why: a
 * pipeline must tell that from a daemon that vanished. */
static void
on_last(void *ctx)
{
	struct daemon *d = ctx;

	if (api_untold(d->api) > 0 && mono_ms() < d->last_by_ms)
		loop_timer_at(d->last, mono_ms() + LAST_AGAIN_MS);
	else
		loop_stop(d->loop);
}

/* Somebody else has the jobs.  Trainers have been told; the API answers until
 * they are gone, and then this process must not come back by itself. */
static void
on_lost(void *ctx, const char *who)
{
	struct daemon *d = ctx;

	d->code = mirror_start_again(d->mirror) ? EXIT_FAILED : EXIT_TAKEN;
	notify_stopping();
	preempt_leave(d->preempt, mono_ms() + HURRY_MS, "taken_over", who,
	    true);
}

static void
on_stop(void *ctx, int sig)
{
	struct daemon *d = ctx;
	int64_t ms = (int64_t)(d->cfg.stop_timeout * 1000);

	d->signals++;
	log_info("daemon: %s; %s", strsignal(sig), d->signals == 1 ?
	    "every trainer saves and leaves" : d->signals == 2 ?
	    "in a hurry" : "at once");
	if (d->signals == 1)
		notify_stopping();
	if (d->signals > 2)
		loop_stop(d->loop);
	else
		preempt_leave(d->preempt, mono_ms() + (d->signals == 1 ? ms :
		    RK_MIN(ms, HURRY_MS)), "shutdown", strsignal(sig), true);
}

static void
on_hup(void *ctx, int sig)
{
	(void)ctx;
	(void)sig;
	log_info("daemon: SIGHUP is ignored: the configuration is read at the "
	    "start only");
}

static void
on_sweep(void *ctx)
{
	struct daemon *d = ctx;
	enum rk_err rc = store_sweep(d->store, d->cfg.keep_events);

	if (rc != RK_OK)
		log_warn("daemon: old events and keys are not swept: %s",
		    rk_strerror(rc));
	loop_timer_at(d->sweep, mono_ms() + (int64_t)(d->cfg.sweep * 1000));
}

static void
on_trim(void *ctx)
{
	struct daemon *d = ctx;

	store_forget_pages(d->store);
	malloc_trim(0);
	loop_timer_at(d->trim, mono_ms() + TRIM_MS);
}

/* --- opening ------------------------------------------------------------- */

static enum rk_err
open_loop(struct daemon *d)
{
	enum rk_err rc = loop_open(&d->loop);

	if (rc == RK_OK)
		rc = loop_signal(d->loop, SIGTERM, on_stop, d);
	if (rc == RK_OK)
		rc = loop_signal(d->loop, SIGINT, on_stop, d);
	if (rc == RK_OK)
		rc = loop_signal(d->loop, SIGHUP, on_hup, d);
	if (rc != RK_OK)
		return rc;
	d->sweep = loop_timer_add(d->loop, on_sweep, d);
	d->trim = loop_timer_add(d->loop, on_trim, d);
	d->last = loop_timer_add(d->loop, on_last, d);
	return RK_OK;
}

static enum rk_err
open_sockets(struct daemon *d)
{
	enum rk_err rc = RK_OK;

	if (has_tcp(d)) {
		rc = listen_parse(d->cfg.listen, &d->addr, &d->why);
		if (rc == RK_OK)
			rc = listen_tcp(&d->addr, &d->tcp_fd, &d->why);
	}
	if (rc == RK_OK && has_unix(d))
		rc = listen_unix(d->cfg.socket,
		    (unsigned)strtoul(d->cfg.socket_mode, NULL, 8),
		    &d->socket, &d->unix_fd, &d->why);
	return rc;
}

static enum rk_err
open_store(struct daemon *d)
{
	char *path = xasprintf("%s/rekindle.db", d->cfg.state_dir);
	enum rk_err rc = store_open(&d->store, path, &d->why);

	if (rc != RK_OK && d->why.n == 0)
		(void)rk_refuse(&d->why, "the database %s cannot be used: %s",
		    path, rk_strerror(rc));
	free(path);
	return rc;
}

static enum rk_err
open_sup(struct daemon *d)
{
	const struct config *c = &d->cfg;
	struct sup_config s = {
		.state_dir = c->state_dir, .trainer = c->trainer,
		.threads = c->threads, .memory = c->memory,
		.stall_timeout_ms = (int64_t)(c->stall_timeout * 1000),
		.start_timeout_ms = (int64_t)(c->start_timeout * 1000),
		.stop_timeout_ms = (int64_t)(c->stop_timeout * 1000),
		.retry_base_ms = (int64_t)(c->retry_base * 1000),
		.retry_max_ms = (int64_t)(c->retry_max * 1000),
		.disk_check_ms = (int64_t)(c->disk_check * 1000),
		.disk_reserve = c->disk_reserve, .nice = (int)c->nice,
		.log_max = c->log_max, .log_files = (int)c->log_files,
		.held = true, .instance = c->mirror.instance != NULL ?
		    c->mirror.instance : "",
		/* The next machine should have what this one says it has. */
		.require_remote = c->mirror.prefix != NULL,
	};

	return sup_open(&d->sup, d->loop, d->store, &s, &d->why);
}

/* Said at the start, and no reason to end: a file system may be mounted
 * late. */
static void
look_at_folder(const char *prefix)
{
	struct rk_uri u;
	char *fault = NULL;

	if (rk_uri_parse(&u, prefix, NULL) != RK_OK)
		return;
	if (u.kind == RK_URI_FILE)
		fault = rk_folder_fault(u.path);
	if (fault != NULL)
		log_warn("daemon: mirror.prefix is %s: %s", prefix, fault);
	free(fault);
	rk_uri_fini(&u);
}

static enum rk_err
open_remote(struct daemon *d)
{
	const struct config *c = &d->cfg;
	struct http_config h = { .up_rate = c->ship.upload_rate,
		.down_rate = c->ship.download_rate };
	struct remote_config r = { .stores = c->stores,
		.aws_metadata_url = c->aws_metadata,
		.alibaba_metadata_url = c->alibaba_metadata,
		.parts = (int)c->ship.parts, .part_size = c->ship.part_size };
	enum rk_err rc = http_open(&d->http, d->loop, &h);

	if (rc == RK_OK)
		rc = remote_open(&d->remote, d->loop, d->http, &r, &d->why);
	if (rc == RK_OK && c->mirror.prefix != NULL) {
		struct rk_why why = { 0 };
		rc = remote_check(d->remote, c->mirror.prefix, &why);
		if (rc == RK_EINVAL)
			rk_refuse_at(&d->why, "mirror.prefix", "%s",
			    rk_why_first(&why));
		rk_why_fini(&why);
		look_at_folder(c->mirror.prefix);
	}
	return rc;
}

static enum rk_err
open_ship(struct daemon *d)
{
	const struct config *c = &d->cfg;
	struct ship_config s = {
		.state_dir = c->state_dir, .prefix = c->mirror.prefix,
		.instance = c->mirror.instance != NULL ? c->mirror.instance :
		    "",
		.uploads = (int)c->ship.uploads,
		.cache_limit = c->ship.cache,
		.disk_reserve = c->disk_reserve,
		.stale_upload_ms = (int64_t)(c->ship.stale_uploads * 1000),
		.retry_ms = (int64_t)(c->ship.retry_base * 1000),
		.retry_max_ms = (int64_t)(c->ship.retry_max * 1000),
		.recheck_ms = (int64_t)(c->ship.recheck * 1000),
		.paths = c->paths,
		.config_file = c->file != NULL ? c->file : CONFIG_FILE,
	};

	return ship_open(&d->ship, d->loop, d->remote, d->store, d->sup, &s,
	    &d->why);
}

/* With a mirror, it says when the jobs are ours; without, they are. */
static enum rk_err
open_mirror(struct daemon *d)
{
	const struct config *c = &d->cfg;
	struct mirror_config m = {
		.prefix = c->mirror.prefix, .instance = c->mirror.instance,
		.check_ms = (int64_t)(c->mirror.check * 1000),
		.batch_ms = BATCH_MS,
		/* 0 is mirror's word for its default. */
		.start_wait_ms = RK_MAX((int64_t)1,
		    (int64_t)(c->mirror.start_wait * 1000)),
	};

	if (c->mirror.prefix != NULL)
		return mirror_open(&d->mirror, d->loop, d->remote, d->store,
		    d->sup, d->ship, &m, on_lost, d, &d->why);
	ship_go(d->ship, 0);
	sup_go(d->sup, 0);
	return RK_OK;
}

static enum rk_err
open_models(struct daemon *d)
{
	const struct config *c = &d->cfg;
	char *root = models_root(c->mirror.prefix, c->state_dir);
	const struct models_config m = { .root = root,
		.instance = c->mirror.instance, .state_dir = c->state_dir,
		.disk_reserve = c->disk_reserve,
		.retry_ms = (int64_t)(c->ship.retry_base * 1000),
		.retry_max_ms = (int64_t)(c->ship.retry_max * 1000) };
	enum rk_err rc = models_open(&d->models, d->loop, d->remote, d->store,
	    d->sup, d->ship, d->mirror, &m, &d->why);

	free(root);
	return rc;
}

static enum rk_err
open_preempt(struct daemon *d)
{
	const struct config_preempt *c = &d->cfg.preempt;
	struct preempt_config p = {
		.cloud = (enum preempt_cloud)c->cloud,
		.poll_ms = (int64_t)(c->poll * 1000),
		.gcp_notice_seconds = c->gcp_notice,
		.margin_seconds = c->margin, .survived_seconds = c->survived,
		.acknowledge = (enum preempt_ack)c->acknowledge,
		.azure_name = c->azure_name,
	};

	for (int i = 0; i < CLOUD_COUNT; i++)
		p.url[i] = c->url[i];
	return preempt_open(&d->preempt, d->loop, d->http, d->sup, d->ship,
	    d->mirror, &p, on_left, d, &d->why);
}

static enum rk_err
open_api(struct daemon *d)
{
	const struct config *c = &d->cfg;
	struct api_config a = {
		.tcp_fd = d->tcp_fd, .unix_fd = d->unix_fd,
		.tcp_host = d->addr.host, .tcp_port = d->addr.port,
		.body_limit = c->body_limit, .header_limit = c->header_limit,
		.connections = (int)c->connections,
		.streams = (int)c->streams,
		.descriptors = (int)c->descriptors,
		.idle_timeout_ms = (int64_t)(c->idle_timeout * 1000),
		.heartbeat_ms = (int64_t)(c->heartbeat * 1000),
	};
	struct api_parts parts = { d->store, d->sup, d->remote, d->ship,
		d->mirror, d->models, d->preempt };
	enum rk_err rc = api_open(&d->api, d->loop, &parts, &a, &d->why);

	if (rc == RK_OK)
		d->tcp_fd = d->unix_fd = -1;    /* the API's now */
	return rc;
}

static enum rk_err
fit_files(struct daemon *d)
{
	return files_fit(&d->cfg, &d->why);
}

/* In this order; each with the exit code of its failure, where the error does
 * not say better. */
static const struct {
	enum rk_err (*open)(struct daemon *d);
	enum daemon_exit code;
} parts[] = {
	{ fit_files, EXIT_FAILED },
	{ open_loop, EXIT_FAILED },
	{ open_sockets, EXIT_LISTEN },
	{ open_remote, EXIT_USAGE },
	{ open_store, EXIT_STATE },
	{ open_sup, EXIT_STATE },
	{ open_ship, EXIT_STATE },
	{ open_mirror, EXIT_USAGE },
	{ open_models, EXIT_STATE },
	{ open_preempt, EXIT_FAILED },
	{ open_api, EXIT_FAILED },
};

static int
open_all(struct daemon *d)
{
	enum rk_err rc = state_open(&d->state, d->cfg.state_dir, &d->why);
	int code = EXIT_STATE;

	for (size_t i = 0; rc == RK_OK && i < RK_ARRAY_LEN(parts); i++) {
		code = parts[i].code;
		rc = parts[i].open(d);
	}
	if (rc == RK_OK)
		return EXIT_LEFT;
	if (rc == RK_EBUSY)
		code = EXIT_BUSY;
	if (rc == RK_ECORRUPT)
		code = EXIT_DATABASE;
	if (rc == RK_ENOSPC)
		code = EXIT_NO_ROOM;
	char *text = rk_why_text(&d->why);
	/* What parts refuse of their settings stands in the file. */
	bool in_file = code == EXIT_USAGE && rc == RK_EINVAL &&
	    d->cfg.file != NULL;
	if (code != EXIT_NO_ROOM || !d->said_no_room)
		log_error("rekindled cannot start: %s%s%s",
		    in_file ? d->cfg.file : "", in_file ? ": " : "",
		    d->why.n > 0 ? text : rk_strerror(rc));
	d->said_no_room = code == EXIT_NO_ROOM;
	free(text);
	return code;
}

static void
close_all(struct daemon *d)
{
	notify_free(&d->notify);
	listen_unix_remove(d->cfg.socket, &d->socket);
	api_close(&d->api);
	preempt_close(&d->preempt);
	models_close(&d->models);
	mirror_close(&d->mirror);
	ship_close(&d->ship);
	if (d->sup != NULL)
		sup_close(&d->sup);
	remote_close(&d->remote);
	http_close(&d->http);
	store_close(&d->store);
	loop_timer_del(&d->sweep);
	loop_timer_del(&d->trim);
	loop_timer_del(&d->last);
	loop_close(&d->loop);
	rk_close(&d->tcp_fd);
	rk_close(&d->unix_fd);
	state_close(&d->state);
	rk_why_fini(&d->why);
}

/* Who is kept out of the socket finds the reason here. */
static void
say_to_whom(const struct daemon *d)
{
	const unsigned long mode = strtoul(d->cfg.socket_mode, NULL, 8);
	const bool group = (mode & 060) == 060;
	struct stat st;

	if ((mode & 06) == 06 || stat(d->cfg.socket, &st) != 0)
		return;
	const struct passwd *u = getpwuid(st.st_uid);
	const struct group *g = getgrgid(st.st_gid);
	log_info("daemon: %s may be used by root, user %s%s%s and nobody else "
	    "(socket_mode \"%s\")", d->cfg.socket,
	    u != NULL ? u->pw_name : "(unknown)", group ? ", group " : "",
	    !group ? "" : g != NULL ? g->gr_name : "(unknown)",
	    d->cfg.socket_mode);
}

static void
say_where(struct daemon *d)
{
	char *url = has_tcp(d) ? xasprintf(d->addr.v6 ? "http://[%s]:%d" :
	    "http://%s:%d", d->addr.host, d->addr.port) :
	    xasprintf("unix:%s", d->cfg.socket);
	char mem[RK_HUMAN];

	state_address(&d->state, url);
	log_info("daemon: rekindled " REKINDLE_VERSION " on %s%s%s, state in "
	    "%s, %lld thread%s and %s for jobs", url,
	    has_tcp(d) && has_unix(d) ? " and " : "",
	    has_tcp(d) && has_unix(d) ? d->cfg.socket : "", d->cfg.state_dir,
	    (long long)d->cfg.threads, rk_s(d->cfg.threads),
	    rk_human_bytes(mem, d->cfg.memory));
	if (has_unix(d))
		say_to_whom(d);
	printf("listening on %s\n", url);
	fflush(stdout);
	free(url);
}

/* A service is not given up for a disk that is full when the machine boots. */
static int
open_with_room(struct daemon *d)
{
	const int64_t since_ms = mono_ms();
	int code;

	while ((code = open_all(d)) == EXIT_NO_ROOM) {
		close_all(d);
		if (!notify_no_room(since_ms))
			break;
	}
	return code;
}

static int
run(struct daemon *d)
{
	int code;

	(void)umask(0027);
	(void)signal(SIGPIPE, SIG_IGN);
	code = open_with_room(d);
	if (code == EXIT_LEFT) {
		d->notify = notify_new(d->loop, d->sup);
		loop_timer_at(d->sweep, mono_ms() + TRIM_MS);
		loop_timer_at(d->trim, mono_ms() + FIRST_TRIM_MS);
		say_where(d);
		notify_ready();
		loop_run(d->loop);
		code = d->code;
		log_info("daemon: leaves");
	}
	close_all(d);
	return code;
}

int
main(int argc, char **argv)
{
	struct daemon d = { .tcp_fd = -1, .unix_fd = -1,
	    .state = { -1, -1 } };
	enum log_level lv = LOG_L_INFO;
	int code;

	remote_hide_secrets();
	config_init(&d.cfg);
	if (config_args(&d.cfg, argc, argv, &code)) {
		(void)log_level_from_name(d.cfg.log_level, &lv);
		log_set_level(lv);
		if (config_settle(&d.cfg, &d.why) == RK_OK) {
			code = run(&d);
		} else {
			log_error("rekindled cannot start: %s",
			    rk_why_first(&d.why));
			rk_why_fini(&d.why);
		}
	}
	config_fini(&d.cfg);
	return code;
}
