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

/* --- how far its attempt came --------------------------------------------- */

static bool
see_attempt(void *ctx, const struct attempt_row *a)
{
	struct attempt_row *out = ctx;

	*out = *a;
	out->from = xstrdup(a->from);
	out->outcome = xstrdup(a->outcome);
	out->message = xstrdup(a->message);
	out->instance = xstrdup(a->instance);
	return false;
}

enum rk_err
attempt_read(struct sup *s, const char *id, int64_t n, struct attempt_row *out)
{
	*out = (struct attempt_row){ 0 };
	return store_attempts(s->store, id, n - 1, 1, see_attempt, out);
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

/* What is said of a job is said of its newest checkpoint. */
static void
put_reached(struct job_row *r, const struct ckpt_info *i)
{
	json_t *p = NULL;

	set_str(&r->known_dir, i->dir);
	r->known_step = i->step;
	r->known_ms = i->created_ms;
	if (rkj_parse_json(r->progress, strlen(r->progress), &p, NULL) != RK_OK)
		return;
	if (i->step > json_integer_value(json_object_get(p, "step"))) {
		put(p, "step", json_integer(i->step));
		put(p, "epoch", json_integer(i->epoch));
	}
	put(p, "checkpoint", json_string(i->dir));
	put(p, "checkpoint_step", json_integer(i->step));
	free(r->progress);
	r->progress = rkj_text(p);
	json_decref(p);
}

static void
row_reached(struct sup *s, const char *id, const struct ckpt_info *i)
{
	struct job_row r;

	if (run_find(s, id) != NULL || store_job_get(s->store, id, &r) != RK_OK)
		return;
	if (r.attempt == i->attempt && i->step > r.known_step) {
		put_reached(&r, i);
		if (sup_put(s, &r, NULL, NULL) != RK_OK)
			log_warn("job=%s that it has %s is not recorded", id,
			    i->dir);
	}
	store_job_fini(&r);
}

void
attempt_reached(struct sup *s, const char *id, int64_t n, struct job_row *r)
{
	struct ckpt_info i = { 0 };
	struct attempt_row a;

	if (n < 1)
		return;
	bool own = attempt_read(s, id, n, &a) == RK_OK && a.n == n &&
	    strcmp(a.outcome, "interrupted") == 0 &&
	    own_latest(s, id, &i) == RK_OK && i.attempt == n;
	if (own && r == NULL)
		row_reached(s, id, &i);
	else if (own && i.step > r->known_step)
		put_reached(r, &i);
	if (own && i.step > a.end_step) {
		a.end_step = i.step;
		if (store_attempt_put(s->store, id, &a) != RK_OK)
			log_warn("job=%s that attempt %lld came to step %lld "
			    "is not recorded", id, (long long)n,
			    (long long)i.step);
	}
	ckpt_info_fini(&i);
	store_attempt_fini(&a);
}

/* --- is it there ---------------------------------------------------------- */

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
	o->threads = sup_threads(s, r);
	o->memory = sup_memory(s, r);
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
			attempt_reached(s, o->id, o->attempt, NULL);
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
