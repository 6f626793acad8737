/*
 * Processes of trainers, above all that of an attempt.
 *
 * posix_spawn(), so that nothing of ours runs in the child.  Who trains has
 * /dev/null, the job's log twice, and the wire.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "impl.h"

#define ENV_MAX   64
#define FILES_MAX (SPEC_ADDRESSES + 1)
#define ARGS_MAX  (28 + 2 * FILES_MAX)

extern char **environ;

/* A name, or the beginning of names when it ends in '_'. */
static const char *const env_kept[] = {
	"PATH", "HOME", "LANG", "LC_", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
	"ASAN_", "UBSAN_", "LSAN_", "OMP_", "GOMP_", "OPENBLAS_", "ONEDNN_",
	"DNNL_", "REKINDLE_TRAIN_", "REKINDLE_GEMM", "REKINDLE_SIMD",
};

static bool
env_is_kept(const char *var)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(env_kept); i++) {
		size_t n = strlen(env_kept[i]);
		if (strncmp(var, env_kept[i], n) == 0 &&
		    (var[n] == '=' || env_kept[i][n - 1] == '_'))
			return true;
	}
	return false;
}

static void
make_env(char *env[ENV_MAX])
{
	int n = 0;

	for (char **e = environ; e != NULL && *e != NULL; e++) {
		if (n < ENV_MAX - 1 && env_is_kept(*e))
			env[n++] = *e;
	}
	env[n] = NULL;
}

static int
make_actions(posix_spawn_file_actions_t *fa, const struct spawn_how *how)
{
	int e = 0;

	for (int i = 0; e == 0 && i < how->nfds; i++)
		e = how->fds[i] < 0 ? posix_spawn_file_actions_addopen(fa, i,
		    "/dev/null", O_RDWR, 0) :
		    posix_spawn_file_actions_adddup2(fa, how->fds[i], i);
	if (e == 0)
		e = posix_spawn_file_actions_addclosefrom_np(fa, how->nfds);
	if (e == 0 && how->dir != NULL)
		e = posix_spawn_file_actions_addchdir_np(fa, how->dir);
	return e;
}

static int
make_attr(posix_spawnattr_t *at)
{
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	if ((e = posix_spawnattr_setflags(at, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0 &&
	    (e = posix_spawnattr_setpgroup(at, 0)) == 0 &&
	    (e = posix_spawnattr_setsigmask(at, &none)) == 0)
		e = posix_spawnattr_setsigdefault(at, &all);
	return e;
}

/* Less of the processor than the daemon, and first to go when memory is short.
 * It has only just been executed: threads that it makes inherit both. */
static void
humble(const struct sup *s, pid_t pid)
{
	char path[64];

	setpriority(PRIO_PROCESS, (id_t)pid, s->c.nice);
	snprintf(path, sizeof(path), "/proc/%ld/oom_score_adj", (long)pid);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "500", 3);
	rk_close(&fd);
}

static void
bound(pid_t pid, int of, rlim_t most)
{
	const struct rlimit limit = { most, most };

	if (most > 0)
		(void)prlimit(pid, of, &limit, NULL);
}

int
spawn_trainer(const struct sup *s, const struct spawn_how *how, pid_t *pid)
{
	const char *argv[ARGS_MAX] = { s->c.trainer };
	char *env[ENV_MAX];
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int e, n = 0;

	while (how->argv[n] != NULL) {
		must(n + 2 < ARGS_MAX);
		argv[n + 1] = how->argv[n];
		n++;
	}
	make_env(env);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	if ((e = make_actions(&fa, how)) == 0 && (e = make_attr(&at)) == 0)
		e = posix_spawn(pid, argv[0], &fa, &at,
		    (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	if (e != 0) {
		*pid = 0;
		return e;
	}
	bound(*pid, RLIMIT_CPU, how->cpu_s);
	bound(*pid, RLIMIT_FSIZE, how->file_bytes);
	humble(s, *pid);
	return 0;
}

/* --- of an attempt -------------------------------------------------------- */

/* The log, with a line that says whose words follow. */
static enum rk_err
open_log(struct run *run, const struct spawn_args *a)
{
	int fd = log_open(run->s, run->id);
	char when[RK_TIME];
	int64_t first;

	if (fd < 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("job=%s cannot open its log", run->id);
		return rc;
	}
	char *line = xasprintf("--- attempt %lld, %s, from %s\n",
	    (long long)run->at.n, rk_time_text(when, now_ms()), a->from);
	(void)!rk_write_all(fd, line, strlen(line));
	free(line);
	(void)sup_log_extent(run->s, run->id, &first, &run->log_from);
	log_watch(run, fd);
	return RK_OK;
}

int
spawn_files(const json_t *of, char *out[])
{
	json_t *files = (json_t *)(uintptr_t)of, *path;
	const char *uri;
	int n = 0;

	json_object_foreach(files, uri, path) {
		must(n < FILES_MAX);
		if (!json_is_string(path))
			continue;
		out[n++] = xasprintf("%s=%s", uri, json_string_value(path));
	}
	return n;
}

static int
launch(struct run *run, const struct spawn_args *a, int log_fd, int wire_fd)
{
	char attempt[24], threads[24], memory[24], known[24];
	char *files[FILES_MAX];
	const char *argv[ARGS_MAX];
	int n = 0, nfiles = spawn_files(a->files, files);

	snprintf(attempt, sizeof(attempt), "%lld", (long long)run->at.n);
	snprintf(threads, sizeof(threads), "%lld", (long long)run->threads);
	snprintf(memory, sizeof(memory), "%llu",
	    (unsigned long long)RK_MIN(run->s->c.memory, INT64_MAX));
	argv[n++] = "--wire";
	argv[n++] = "--job";            /* orphan.c looks for these two */
	argv[n++] = run->id;
	argv[n++] = "--attempt";
	argv[n++] = attempt;
	argv[n++] = "--run-dir";
	argv[n++] = a->job_dir;
	argv[n++] = "--threads";
	argv[n++] = threads;
	/* Of a job that says none; it may then have it all. */
	argv[n++] = "--memory";
	argv[n++] = memory;
	argv[n++] = "--from";
	argv[n++] = a->from;
	if (!run->known.anew) {
		snprintf(known, sizeof(known), "%lld",
		    (long long)run->known.step);
		argv[n++] = "--known";
		argv[n++] = known;
	}
	for (int i = 0; sup_accept_words[i] != NULL; i++) {
		if (accepts(a->accept, sup_accept_words[i])) {
			argv[n++] = "--accept";
			argv[n++] = sup_accept_words[i];
		}
	}
	if (a->leaves)
		argv[n++] = "--sha256";
	for (int i = 0; i < nfiles; i++) {
		argv[n++] = "--file";
		argv[n++] = files[i];
	}
	argv[n++] = a->job_file;
	argv[n] = NULL;
	const struct spawn_how how = { .argv = argv, .dir = a->job_dir,
		.nfds = WIRE_FD + 1, .fds = { -1, log_fd, log_fd, wire_fd } };
	const int e = spawn_trainer(run->s, &how, &run->pid);
	for (int i = 0; i < nfiles; i++)
		free(files[i]);
	return e;
}

enum rk_err
spawn(struct run *run, const struct spawn_args *a)
{
	int pair[2] = { -1, -1 };
	enum rk_err rc = open_log(run, a);

	if (rc != RK_OK)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		log_errno("job=%s socketpair", run->id);
		rc = rk_from_errno(errno);
		return rc;
	}
	int e = launch(run, a, run->log_fd, pair[1]);
	rk_close(&pair[1]);
	if (e != 0) {
		rk_close(&pair[0]);
		run->no_means = e == EAGAIN || e == ENOMEM || e == EMFILE ||
		    e == ENFILE;
		errno = e;
		log_errno("job=%s cannot start %s", run->id,
		    run->s->c.trainer);
		free(run->sentence);
		run->sentence = xasprintf("cannot start %s: %s",
		    run->s->c.trainer, strerror(e));
		return rk_from_errno(e);
	}
	run->wire = wire_new(pair[0]);
	return run_watch(run);
}
