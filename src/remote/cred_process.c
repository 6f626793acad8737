/*
 * credential_process: a program that prints keys as JSON.
 *
 * It is started without a shell, in a process group of its own, with nothing to
 * read and its complaints thrown away, which may hold what must not be in our
 * log.  It has a minute and 64 KiB.  Then it is killed, and not waited for: it
 * may have become another user's, or have left its group.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cred.h"

#define OUT_MAX  CRED_ANSWER_MAX

extern char **environ;

int64_t cred_process_ms = 60000;

/* It lives until its child is reaped, which may be after the fetch; all of them
 * are on a list, for a loop that closes forgets its children. */
struct cred_process {
	struct cred_process *next, **prev;
	struct fetch *f;                /* NULL: nobody waits */
	pid_t pid;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *limit;
	struct strbuf out;
	bool too_long;
};
static struct cred_process *all;

/* Its group, and itself, should it be in another. */
static void
end_it(const struct cred_process *p)
{
	kill(-p->pid, SIGKILL);
	kill(p->pid, SIGKILL);
}

static void
stop_listening(struct cred_process *p)
{
	loop_fd_del(&p->watch);
	rk_close(&p->fd);
	if (p->limit != NULL)
		loop_timer_del(&p->limit);
}

static void
destroy(struct cred_process *p)
{
	stop_listening(p);
	rk_wipe(p->out.s, p->out.len);
	sb_fini(&p->out);
	*p->prev = p->next;
	if (p->next != NULL)
		p->next->prev = p->prev;
	free(p);
}

void
process_free(struct cred_process **pp)
{
	struct cred_process *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	end_it(p);
	stop_listening(p);
	p->f = NULL;
}

/* All that is there to read now. */
static void
drain(struct cred_process *p)
{
	char buf[4096];
	ssize_t n = 0;

	while (p->fd >= 0 && (n = read(p->fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && p->out.len + (size_t)n > OUT_MAX) {
			p->too_long = true;
			end_it(p);
			n = 0;
			break;
		}
		if (n > 0)
			sb_add(&p->out, buf, (size_t)n);
	}
	rk_wipe(buf, sizeof(buf));
	if (n == 0) {
		loop_fd_del(&p->watch);
		rk_close(&p->fd);
	}
}

static void
on_output(void *ctx, unsigned events)
{
	(void)events;
	drain(ctx);
}

static void
on_limit(void *ctx)
{
	struct cred_process *p = ctx;
	struct fetch *f = p->f;

	must_be(f, FETCH_TAG);
	process_free(&f->process);
	fetch_fail(f, "credential_process: it took longer than %lld s",
	    (long long)(cred_process_ms / 1000));
}

static void
on_end(void *ctx, pid_t pid, int status)
{
	struct cred_process *p = ctx;
	struct fetch *f = p->f;
	char *why = NULL;

	(void)pid;
	if (f == NULL) {
		destroy(p);
		return;
	}
	drain(p);
	must_be(f, FETCH_TAG);
	f->process = NULL;
	struct cred *c = NULL;
	if (p->too_long)
		why = xstrdup("it printed more than 64 KiB");
	else if (WIFSIGNALED(status))
		why = xasprintf("it was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		why = xasprintf("it ended with status %d",
		    WEXITSTATUS(status));
	else
		c = cred_of_json(sb_str(&p->out), p->out.len, FORM_PROCESS,
		    &why);
	destroy(p);
	fetch_take(f, c, "credential_process", why);
}

static int
set_attr(posix_spawnattr_t *at)
{
	sigset_t none, every;
	int e;

	sigemptyset(&none);
	sigfillset(&every);
	sigdelset(&every, SIGKILL);
	sigdelset(&every, SIGSTOP);
	if ((e = posix_spawnattr_setflags(at, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0 &&
	    (e = posix_spawnattr_setpgroup(at, 0)) == 0 &&
	    (e = posix_spawnattr_setsigmask(at, &none)) == 0)
		e = posix_spawnattr_setsigdefault(at, &every);
	return e;
}

static int
set_actions(posix_spawn_file_actions_t *fa, int out)
{
	int e;

	if ((e = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY,
	    0)) == 0 &&
	    (e = posix_spawn_file_actions_adddup2(fa, out, 1)) == 0 &&
	    (e = posix_spawn_file_actions_addopen(fa, 2, "/dev/null", O_WRONLY,
	    0)) == 0)
		e = posix_spawn_file_actions_addclosefrom_np(fa, 3);
	return e;
}

/* 0, or an errno. */
static int
spawn(char **words, int out, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int e = posix_spawn_file_actions_init(&fa);

	if (e != 0)
		return e;
	if ((e = posix_spawnattr_init(&at)) == 0) {
		if ((e = set_actions(&fa, out)) == 0 && (e = set_attr(&at)) == 0)
			e = posix_spawnp(pid, words[0], &fa, &at, words,
			    environ);
		posix_spawnattr_destroy(&at);
	}
	posix_spawn_file_actions_destroy(&fa);
	return e;
}

static void
watch(struct fetch *f, pid_t pid, int fd)
{
	struct cred_process *p = xcalloc(1, sizeof(*p));

	*p = (struct cred_process){ .f = f, .pid = pid, .fd = fd };
	if ((p->next = all) != NULL)
		p->next->prev = &p->next;
	p->prev = &all;
	all = p;
	f->process = p;
	p->watch = loop_fd_add(f->cs->loop, fd, LOOP_IN, on_output, p);
	p->limit = loop_timer_add(f->cs->loop, on_limit, p);
	loop_timer_seen(p->limit, loop_seen_ms(f->cs->loop) +
	    cred_process_ms);
	if (loop_child(f->cs->loop, pid, on_end, p) != RK_OK) {
		kill(-pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		f->process = NULL;
		destroy(p);
		fetch_fail(f, "credential_process: it cannot be watched");
	}
}

void
process_run(struct fetch *f, const char *line)
{
	char **words = words_of(line);
	int out[2] = { -1, -1 };
	pid_t pid = 0;

	if (words == NULL) {
		fetch_fail(f, "credential_process: its command line is "
		    "malformed");
		return;
	}
	int e = pipe2(out, O_CLOEXEC) != 0 ? errno : 0;
	if (e == 0)
		e = spawn(words, out[1], &pid);
	rk_close(&out[1]);
	words_free(words);
	if (e != 0) {
		rk_close(&out[0]);
		fetch_fail(f, "credential_process: it cannot be started: %s",
		    strerror(e));
		return;
	}
	rk_set_nonblock(out[0], true);
	watch(f, pid, out[0]);
}
