/*
 * rekindled, the program: configuration, state directory, sockets, signals, and
 * what systemd wants to hear.  main.c puts the parts together; nothing else in
 * the tree includes this.
 */
#ifndef REKINDLE_DAEMON_IMPL_H
#define REKINDLE_DAEMON_IMPL_H

#include <sys/types.h>

#include "rekindle/api.h"
#include "rekindle/json.h"
#include "rekindle/loop.h"
#include "rekindle/mirror.h"
#include "rekindle/preempt.h"
#include "rekindle/remote.h"
#include "rekindle/ship.h"
#include "rekindle/store.h"
#include "rekindle/sup.h"

/* How rekindled ends; --help has the same list. */
enum daemon_exit {
	EXIT_LEFT = 0,          /* asked to leave, and all trainers had saved */
	EXIT_FAILED = 1,        /* what is none of these; the log says */
	EXIT_USAGE = 2,         /* wrong flags or configuration */
	EXIT_STATE = 3,         /* the state directory cannot be used */
	EXIT_BUSY = 4,          /* another daemon uses it */
	EXIT_DATABASE = 5,      /* corrupt, or of a newer rekindled */
	EXIT_LISTEN = 6,        /* the address or the socket cannot be had */
	EXIT_TAKEN = 7,         /* another daemon has taken the jobs over */
	EXIT_NO_ROOM = 8,       /* the disk is full: start again later */
};

#define CONFIG_FILE    "/etc/rekindle/rekindled.yaml"
#define CONFIG_CREDENTIAL "rekindled.yaml"      /* the same, from systemd */
#define CONFIG_MAX     (1u << 20)
#define PATHS_MAX    64              /* folders of paths.allow */
#define DEFAULT_STATE  "/var/lib/rekindle"
#define DEFAULT_LISTEN "127.0.0.1:7450"

/* --- config.c ------------------------------------------------------------ */

/* etc/rekindled.yaml explains each field; strings are owned. */
struct config {
	char *file;             /* that was read, as a person calls it; or
				   NULL */
	char *state_dir;
	char *listen;           /* ADDR:PORT, or "none" */
	char *socket;           /* a path, or "none"; NULL: in state_dir */
	char *socket_mode;      /* octal */
	char *trainer;          /* NULL: looked for */
	char *log_level;
	int64_t threads;        /* capacity; 0: what the machine has */
	uint64_t memory;        /* the same; 80 % of it */
	int64_t nice;
	double start_timeout, stall_timeout, stop_timeout;      /* seconds */
	double retry_base, retry_max;
	uint64_t disk_reserve;
	double disk_check;
	uint64_t body_limit, header_limit;
	int64_t connections, streams;
	int64_t descriptors;    /* of the API; set by files_fit() */
	double idle_timeout, heartbeat;
	uint64_t log_max;       /* bytes of a job's log, in log_files files */
	int64_t log_files;
	int64_t keep_events;
	double sweep;
	json_t *paths;                  /* paths.allow: folders, or NULL */
	json_t *stores;         /* a list, as remote.h says; or NULL */
	char *aws_metadata, *alibaba_metadata;  /* or NULL */
	struct config_ship {
		int64_t uploads, parts;
		uint64_t part_size, upload_rate, download_rate, cache;
		double stale_uploads, retry_base, retry_max, recheck;
	} ship;
	struct config_mirror {
		char *prefix, *instance;        /* NULL: none */
		double check, start_wait;
	} mirror;
	struct config_preempt {
		int cloud;              /* enum preempt_cloud */
		char *url[CLOUD_COUNT]; /* or NULL */
		char *azure_name;       /* or NULL */
		double poll, gcp_notice, margin, survived;
		int acknowledge;        /* enum preempt_ack */
	} preempt;
};
void config_init(struct config *c);
void config_fini(struct config *c);

/* Read a file over what is there; every fault is in why. */
enum rk_err config_load(struct config *c, const char *path,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err config_parse(struct config *c, const json_t *tree,
    struct rk_why *why) RK_MUSTCHECK;

/* Flags, over the file that they or the default name, over --default-flags.
 * Prints help, version or what is wrong; true: go on, false: end with *code. */
bool config_args(struct config *c, int argc, char **argv, int *code);

/* Fill in what depends on the machine. */
enum rk_err config_settle(struct config *c, struct rk_why *why) RK_MUSTCHECK;

/* --- files.c ------------------------------------------------------------- */

/* Raise the limit on open files as far as may be, and fit connections and
 * streams to it. */
enum rk_err files_fit(struct config *c, struct rk_why *why) RK_MUSTCHECK;

/* --- where.c ------------------------------------------------------------- */

/* Refuses addresses that could never be asked. */
void where_check(const struct config *c, struct rk_why *why);

/* --- help.c -------------------------------------------------------------- */

void help_print(void);

/* --- gaveup.c ------------------------------------------------------------ */

/* Say in the service's journal why systemd has given it up and what to do: the
 * whole work of `rekindled --gave-up`, which rekindled-failed.service runs. */
void gave_up_say(void);

/* --- state.c ------------------------------------------------------------- */

struct state {
	int dirfd, lockfd;
};
/* Make the directory if it is not there, and lock it.  RK_EBUSY: another daemon
 * has it. */
enum rk_err state_open(struct state *st, const char *dir, struct rk_why *why)
    RK_MUSTCHECK;
void state_close(struct state *st);
/* Where we listen, for who wants to find us: <state>/address. */
void state_address(const struct state *st, const char *url);

/* --- listen.c ------------------------------------------------------------ */

struct address {
	char host[64];          /* numeric, without brackets */
	int port;
	bool v6;
};
/* "127.0.0.1:0", "[::1]:8080", "localhost:80".  What is not loopback is refused
 * with a sentence. */
enum rk_err listen_parse(const char *text, struct address *a,
    struct rk_why *why) RK_MUSTCHECK;
/* *fd is a listening socket; a->port is the one that it got. */
enum rk_err listen_tcp(struct address *a, int *fd, struct rk_why *why)
    RK_MUSTCHECK;
/* The file of a Unix socket that we made: its path may be another's by now. */
struct unix_place {
	bool made;
	dev_t dev;
	ino_t ino;
};
/* A socket left by a daemon that was killed is replaced; one that somebody
 * listens on, or a file that is no socket, is not. */
enum rk_err listen_unix(const char *path, unsigned mode,
    struct unix_place *place, int *fd, struct rk_why *why) RK_MUSTCHECK;
/* Remove the file, if it is still ours.  Before the socket is closed: as long
 * as that is open, no other file can have its inode's number. */
void listen_unix_remove(const char *path, struct unix_place *place);

/* --- notify.c ------------------------------------------------------------ */

/* What systemd hears: status lines and the watchdog; nothing without it. */
struct notify;
struct notify *notify_new(struct loop *l, struct sup *s);
void notify_free(struct notify **n);
void notify_ready(void);
/* The start cannot go on for want of room on a disk, since since_ms.  Under
 * systemd: say so, wait a little, and true: try again, or false: it has taken
 * too long.  Without systemd false at once.  A signal ends the program. */
bool notify_no_room(int64_t since_ms);
void notify_stopping(void);

#endif
