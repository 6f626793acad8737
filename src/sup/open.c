/* Opening: what the last daemon left, put in order.  And closing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"

#define INTERRUPTED_MAX 256     /* rows settled a round */
#define LOG_MAX_DEFAULT (64u << 20)
#define LOG_FILES_DEFAULT 4
#define SUPPLY_ASK_MS 1000      /* a job that fetches: ask again */
#define SUPPLY_SAY_MS 3000      /* ... and write how far it is */

/* --- jobs that ran when the last daemon ended ----------------------------- */

struct ids {
	char v[INTERRUPTED_MAX][RK_ID];
	int n;
};

static bool
see_id(void *ctx, const char *id, int64_t version)
{
	struct ids *ids = ctx;

	(void)version;
	memcpy(ids->v[ids->n++], id, RK_ID);
	return true;
}

/* --- whose attempts they were --------------------------------------------- */

#define EPOCH_FACT "sup.epoch"          /* of the attempts made here last */

static void
read_epoch(struct sup *s)
{
	char *text = NULL;

	s->epoch_before = 0;
	if (store_fact_get(s->store, EPOCH_FACT, &text) == RK_OK)
		s->epoch_before = strtoll(text, NULL, 10);
	free(text);
}

static void
keep_epoch(struct sup *s)
{
	char text[24];

	if (s->epoch == s->epoch_before)
		return;
	snprintf(text, sizeof(text), "%lld", (long long)s->epoch);
	if (store_fact_put(s->store, EPOCH_FACT, text) == RK_OK)
		s->epoch_before = s->epoch;
	else
		log_warn("sup: the epoch %s was not kept; a later daemon may "
		    "take its attempts for another machine's", text);
}

/* An attempt that was running: this directory's last daemon had it, or the row
 * came from another machine. */
static bool
ran_elsewhere(const struct sup *s, const struct attempt_row *a)
{
	return a->n > 0 && a->epoch != s->epoch_before;
}

/* The step that the row knew last. */
static int64_t
row_step(const struct job_row *r)
{
	json_t *p = NULL;
	int64_t step = 0;

	if (rkj_parse_json(r->progress, strlen(r->progress), &p, NULL) ==
	    RK_OK)
		step = json_integer_value(json_object_get(p, "step"));
	json_decref(p);
	return step;
}

/* To where the wish says; its trainer, if it is still there, saves and leaves
 * by itself. */
static enum rk_err
interrupted(struct sup *s, const char *id)
{
	static const char text[] = "the daemon ended while it ran; the job "
	    "goes on from its newest checkpoint";
	static const char far[] = "the machine that ran it is gone; the job "
	    "goes on here from its newest checkpoint";
	struct attempt_row a = { 0 };
	struct cause c = { "interrupted", "interrupted", text, NULL, NULL,
		NULL };
	struct job_row r;
	enum job_state to = JOB_QUEUED;
	enum rk_err rc = store_job_get(s->store, id, &r);

	if (rc == RK_OK)
		rc = attempt_read(s, id, r.attempt, &a);
	if (rc != RK_OK)
		return rc;
	if (r.desired != JOB_RUN) {
		to = r.desired == JOB_PAUSE ? JOB_PAUSED : JOB_CANCELLED;
		c.reason = "user";
		c.message = r.desired == JOB_PAUSE ? "paused by a person" :
		    "cancelled by a person";
		if (to == JOB_CANCELLED)
			r.ended_ms = now_ms();
	}
	const bool elsewhere = ran_elsewhere(s, &a);
	if (elsewhere && r.desired == JOB_RUN)
		c.message = far;
	a.ended_ms = now_ms();
	a.end_step = RK_MAX(a.end_step, row_step(&r));
	set_str(&a.outcome, "interrupted");
	set_str(&a.message, elsewhere ? "its machine is gone" :
	    "the daemon ended");
	rc = sup_move(s, &r, to, a.n > 0 ? &a : NULL, &c);
	if (rc == RK_OK && !elsewhere && !orphan_look(s, &r, a.pid))
		attempt_reached(s, id, r.attempt, NULL);
	store_attempt_fini(&a);
	store_job_fini(&r);
	return rc;
}

static enum rk_err
recover(struct sup *s)
{
	struct store_filter f = { .states = 1u << JOB_STARTING |
	    1u << JOB_RUNNING };
	struct ids ids;
	char last[RK_ID] = "";
	enum rk_err rc;

	do {
		ids.n = 0;
		rc = store_job_ids(s->store, &f, last[0] != '\0' ? last : NULL,
		    INTERRUPTED_MAX, see_id, &ids);
		for (int i = 0; rc == RK_OK && i < ids.n; i++) {
			memcpy(last, ids.v[i], RK_ID);
			if (run_find(s, last) == NULL)
				rc = interrupted(s, last);
		}
	} while (rc == RK_OK && ids.n > 0);
	s->recovered = rc == RK_OK;
	if (rc != RK_OK)
		return rc;
	shipped_find(s);
	pin_settle(s);
	strays_find(s);
	keep_epoch(s);
	/* The first look says whether any job waits for it. */
	disk_wait(s);
	loop_timer_at(s->known_timer, mono_ms());
	sched_kick(s);
	return RK_OK;
}

/* On a full disk the daemon serves, starts nothing, and tries again. */
static void
recover_timer_fn(void *ctx)
{
	struct sup *s = ctx;

	must_be(s, SUP_TAG);
	enum rk_err rc = recover(s);
	if (rc != RK_OK) {
		log_error("sup: cannot settle what the last daemon left: %s",
		    rk_strerror(rc));
		loop_timer_at(s->recover_timer, mono_ms() + SETTLE_AGAIN_MS);
	}
}

void
sup_go(struct sup *s, int64_t epoch)
{
	must_be(s, SUP_TAG);
	s->epoch = epoch;
	s->held = false;
	/* One that leaves before it had begun leaves the rows to the next.  One
	 * that went on alone may have been given jobs since. */
	if (!s->draining)
		recover_timer_fn(s);
}

bool
sup_held(const struct sup *s)
{
	return s->held;
}

/* --- folders of deletions that were cut short ----------------------------- */

static void
sweep_one(struct sup *s, const char *name)
{
	const char *id = name + strlen(".del-");
	struct job_row r;
	enum rk_err rc = rk_id_ok(id) ? store_job_get(s->store, id, &r) :
	    RK_ENOENT;

	if (rc == RK_OK) {
		store_job_fini(&r);
		if (faccessat(s->jobs_fd, id, F_OK, 0) != 0)
			(void)!renameat(s->jobs_fd, name, s->jobs_fd, id);
	} else if (rc == RK_ENOENT) {
		trash_remove(s, name);
	}
}

static void
sweep(struct sup *s)
{
	int fd = openat(s->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL) {
		rk_close(&fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, ".del-", 5) == 0)
			sweep_one(s, e->d_name);
		else if (strncmp(e->d_name, RK_TMP_PREFIX,
		    strlen(RK_TMP_PREFIX)) == 0)
			unlinkat(s->jobs_fd, e->d_name, 0);
	}
	closedir(d);
}

/* --- open and close ------------------------------------------------------- */

static enum rk_err
open_dirs(struct sup *s, struct rk_why *why)
{
	enum rk_err rc;

	s->jobs_dir = xasprintf("%s/jobs", s->c.state_dir);
	rc = rk_mkdirs(s->jobs_dir, 0750);
	if (rc == RK_OK) {
		s->jobs_fd = open(s->jobs_dir, O_RDONLY | O_DIRECTORY |
		    O_CLOEXEC);
		if (s->jobs_fd < 0)
			rc = rk_from_errno(errno);
	}
	if (rc != RK_OK)
		rk_refuse(why, "cannot use the folder %s: %s", s->jobs_dir,
		    rk_strerror(rc));
	return rc;
}

static enum rk_err
check_config(const struct sup_config *c, struct rk_why *why)
{
	if (c->threads < 1 || c->memory < 1)
		return rk_refuse(why, "the machine has %lld thread%s and %llu "
		    "byte%s for jobs: want at least one of each",
		    (long long)c->threads, rk_s(c->threads),
		    (unsigned long long)c->memory, rk_s((int64_t)c->memory));
	if (c->trainer == NULL || access(c->trainer, X_OK) != 0)
		return rk_refuse(why, "cannot run the trainer %s: %s",
		    c->trainer != NULL ? c->trainer : "(none)",
		    strerror(errno));
	return RK_OK;
}

enum rk_err
sup_open(struct sup **sp, struct loop *l, struct store *st,
    const struct sup_config *c, struct rk_why *why)
{
	enum rk_err rc = check_config(c, why);

	*sp = NULL;
	if (rc != RK_OK)
		return rc;
	struct sup *s = xcalloc(1, sizeof(*s));
	s->tag = SUP_TAG;
	s->loop = l;
	s->store = st;
	s->c = *c;
	s->c.state_dir = xstrdup(c->state_dir);
	s->c.trainer = xstrdup(c->trainer);
	s->c.instance = xstrdup(c->instance != NULL ? c->instance : "");
	if (s->c.log_files == 0) {
		s->c.log_max = LOG_MAX_DEFAULT;
		s->c.log_files = LOG_FILES_DEFAULT;
	}
	s->held = c->held;
	s->cgroup = cgroup_open(c->machine != NULL ? c->machine : "");
	s->supply_ask_ms = SUPPLY_ASK_MS;
	s->supply_say_ms = SUPPLY_SAY_MS;
	s->jobs_fd = s->pins_fd = -1;
	s->sched_timer = loop_timer_add(l, sched_timer_fn, s);
	s->orphan_timer = loop_timer_add(l, orphan_timer_fn, s);
	s->disk_timer = loop_timer_add(l, disk_timer_fn, s);
	s->ask_timer = loop_timer_add(l, ask_timer_fn, s);
	s->recover_timer = loop_timer_add(l, recover_timer_fn, s);
	s->drain_timer = loop_timer_add(l, drain_timer_fn, s);
	s->shipped_timer = loop_timer_add(l, shipped_timer_fn, s);
	s->log_timer = loop_timer_add(l, log_timer_fn, s);
	s->known_timer = loop_timer_add(l, known_timer_fn, s);
	if ((rc = open_dirs(s, why)) != RK_OK)
		goto fail;
	sweep(s);
	checks_sweep(s);
	pin_load(s);
	read_epoch(s);
	rc = s->held ? RK_OK : recover(s);
	if (rc == RK_ENOSPC || rc == RK_EROFS || rc == RK_EIO)
		loop_timer_at(s->recover_timer, mono_ms() + SETTLE_AGAIN_MS);
	else if (rc != RK_OK) {
		rk_refuse(why, "cannot settle what the last daemon left: %s",
		    rk_strerror(rc));
		goto fail;
	}
	*sp = s;
	return RK_OK;

fail:
	sup_close(&s);
	return rc;
}

static void
end_all(struct sup *s)
{
	for (struct run *r = s->runs; r != NULL; r = r->next)
		run_kill(r);
	for (struct run *r = s->runs; r != NULL; r = r->next) {
		if (r->pid <= 0 || r->exited)
			continue;
		while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
			;
	}
	while (s->runs != NULL)
		run_free(s->runs);
}

void
sup_close(struct sup **sp)
{
	struct sup *s = *sp;

	if (s == NULL)
		return;
	must_be(s, SUP_TAG);
	end_all(s);
	checks_fini(s);
	exports_fini(s);
	ask_fini(s);
	give_name_fini(s);
	drain_fini(s);
	orphan_fini(s);
	trash_fini(s);
	supply_fini(s);
	shipped_fini(s);
	pin_fini(s);
	strays_fini(s);
	loop_timer_del(&s->shipped_timer);
	loop_timer_del(&s->log_timer);
	loop_timer_del(&s->known_timer);
	loop_timer_del(&s->sched_timer);
	loop_timer_del(&s->orphan_timer);
	loop_timer_del(&s->disk_timer);
	loop_timer_del(&s->ask_timer);
	loop_timer_del(&s->recover_timer);
	loop_timer_del(&s->drain_timer);
	rk_close(&s->jobs_fd);
	cgroup_close(&s->cgroup);
	free(s->jobs_dir);
	free(s->dir_buf);
	free((void *)(uintptr_t)s->c.state_dir);
	free((void *)(uintptr_t)s->c.trainer);
	free((void *)(uintptr_t)s->c.instance);
	s->tag = 0;
	free(s);
	*sp = NULL;
}
