/*
 * Trainers whose daemon was killed.  They see their line close, save and leave;
 * as long as one holds its job's lock the job is not started again, and what it
 * uses of the machine counts.  One that stays too long is killed, but only when
 * it is surely the trainer of that job: its command line says so.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "impl.h"

#define POLL_MS      50
#define POLL_SLOW_MS 1000
#define CMDLINE_MAX  65536

/* Is pid a trainer of this job?  Its arguments have "--job", ID. */
static bool
is_trainer(int64_t pid, const char *id)
{
	static const char flag[] = "--job";
	char path[64], *text = NULL;
	size_t len = 0, at = 0;
	bool after_flag = false, yes = false;

	if (pid <= 1)
		return false;
	snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
	if (rk_read_file(AT_FDCWD, path, CMDLINE_MAX, &text, &len) != RK_OK)
		return false;
	while (at < len && !yes) {
		yes = after_flag && strcmp(text + at, id) == 0;
		after_flag = strcmp(text + at, flag) == 0;
		at += strlen(text + at) + 1;
	}
	free(text);
	return yes;
}

/* The trainer of a job by looking at every process; 0: there is none. */
static int64_t
find_trainer(const char *id)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int64_t pid = 0;

	if (d == NULL)
		return 0;
	while (pid == 0 && (e = readdir(d)) != NULL) {
		char *end;
		long long n = strtoll(e->d_name, &end, 10);
		if (*end == '\0' && is_trainer(n, id))
			pid = n;
	}
	closedir(d);
	return pid;
}

bool
sup_job_locked(struct sup *s, const char *id)
{
	char *path = xasprintf("%s/lock", sup_job_dir(s, id));
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool held;

	free(path);
	if (fd < 0)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	rk_close(&fd);
	return held;
}

static bool
is_there(struct sup *s, const struct orphan *o)
{
	return sup_job_locked(s, o->id) || is_trainer(o->pid, o->id);
}

bool
orphan_look(struct sup *s, const struct job_row *r, int64_t pid)
{
	struct orphan *o = xcalloc(1, sizeof(*o));

	memcpy(o->id, r->id, sizeof(o->id));
	o->attempt = r->attempt;
	o->threads = r->threads;
	o->memory = r->memory;
	o->pid = pid;
	if (orphan_has(s, r->id) || !is_there(s, o)) {
		free(o);
		return orphan_has(s, r->id);
	}
	o->kill_ms = loop_seen_ms(s->loop) + s->c.stop_timeout_ms;
	o->next = s->orphans;
	s->orphans = o;
	log_info("job=%s a trainer of an earlier daemon is still there",
	    o->id);
	loop_timer_seen(s->orphan_timer, loop_seen_ms(s->loop) + POLL_MS);
	loop_timer_at(s->log_timer, mono_ms());
	return true;
}

bool
orphan_has(const struct sup *s, const char *id)
{
	const struct orphan *o = s->orphans;

	while (o != NULL && strcmp(o->id, id) != 0)
		o = o->next;
	return o != NULL;
}

static void
end_it(struct sup *s, struct orphan *o)
{
	char *text;

	/* The pid is in the attempt's row from its hello on. */
	if (!is_trainer(o->pid, o->id))
		o->pid = find_trainer(o->id);
	if (o->pid != 0) {
		pid_t pid = (pid_t)o->pid;
		if (getpgid(pid) == pid)
			kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		text = xasprintf("the trainer of an earlier daemon (pid %ld) "
		    "did not leave and was killed", (long)pid);
	} else {
		text = xstrdup("another process holds the job's folder (its "
		    "file `lock`); the job waits until that has gone");
	}
	if (!o->told) {
		log_warn("job=%s %s", o->id, text);
		sup_event(s, o->id, "orphan", text, NULL);
		o->told = true;
	}
	free(text);
}

void
orphan_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	struct orphan **p = &s->orphans, *o;
	int64_t now = loop_seen_ms(s->loop), again = POLL_SLOW_MS;

	must_be(s, SUP_TAG);
	while ((o = *p) != NULL) {
		if (!is_there(s, o)) {
			*p = o->next;
			free(o);
			sched_kick(s);
			continue;
		}
		if (now >= o->kill_ms)
			end_it(s, o);
		else
			again = POLL_MS;
		p = &o->next;
	}
	if (s->orphans != NULL)
		loop_timer_seen(s->orphan_timer, now + again);
}

void
orphan_fini(struct sup *s)
{
	struct orphan *o;

	while ((o = s->orphans) != NULL) {
		s->orphans = o->next;
		free(o);
	}
}
