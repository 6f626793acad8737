/*
 * What a job has known, and jobs that wait for it.
 *
 * The row has the newest checkpoint that a job has ever had (known_dir, step,
 * time).  A job that has had one and for which none is left that can be used
 * does not begin anew: it is PAUSED, with `desired` RUN and the reason
 *
 *	checkpoints_missing     there is none: the folder was moved away or is
 *	                        on a disk that is not mounted, or all of them
 *	                        are damaged
 *	checkpoints_unreadable  the folder, or all that is in it, gives errors
 *
 * and goes on by itself when one can be seen again, here or in a bucket.  Only
 * a person lets it begin anew, by a resume from none.
 *
 * While it waits nothing is made in its folder, so that what was moved away can
 * be moved back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

static const char *const reasons[] = {
	[KNOWN_MISSING] = "checkpoints_missing",
	[KNOWN_UNREADABLE] = "checkpoints_unreadable",
};

bool
known_reason(const char *reason)
{
	return strcmp(reason, reasons[KNOWN_MISSING]) == 0 ||
	    strcmp(reason, reasons[KNOWN_UNREADABLE]) == 0;
}

bool
known_any(const struct job_row *r)
{
	return r->known_dir != NULL && r->known_dir[0] != '\0';
}

/* A person let it begin from nothing. */
static bool
may_begin_anew(const struct job_row *r)
{
	return !known_any(r) || strcmp(r->resume_from, "none") == 0;
}

/* --- what is left --------------------------------------------------------- */

/* Something is there that cannot be used: an error that may pass, or nothing
 * that is a checkpoint. */
static enum known
not_usable(enum rk_err rc, const char *path, const char *what,
    struct rk_why *why)
{
	rk_refuse(why, "%s: %s", path, what);
	return rc == RK_ENOENT ? KNOWN_MISSING : KNOWN_UNREADABLE;
}

static enum known
look_into(struct ckpt *c, unsigned what, struct rk_why *why)
{
	struct ckpt_left left;
	enum rk_err rc = ckpt_left(c, &left, why);

	if (rc != RK_OK)
		return not_usable(rc, ckpt_path(c), rk_strerror(rc), why);
	if (left.usable || ((what & KNOWN_ASIDE) && left.aside > 0) ||
	    ((what & KNOWN_BRANCHES) && left.others > 0))
		return KNOWN_THERE;
	return left.unreadable > 0 ? KNOWN_UNREADABLE : KNOWN_MISSING;
}

enum known
known_look(struct sup *s, const char *id, unsigned what, struct rk_why *why)
{
	char *path = xasprintf("%s/checkpoints", sup_job_dir(s, id));
	enum known k = KNOWN_MISSING;
	struct ckpt *c = NULL;
	struct stat st;

	/* ckpt_open() would make the folder. */
	if (stat(path, &st) != 0) {
		int e = errno;
		k = not_usable(rk_from_errno(e), path, strerror(e), why);
	} else if (!S_ISDIR(st.st_mode)) {
		k = not_usable(RK_ENOENT, path, "is no folder", why);
	} else {
		enum rk_err rc = ckpt_open(&c, path, false);
		k = rc == RK_OK ? look_into(c, what, why) :
		    not_usable(rc, path, rk_strerror(rc), why);
	}
	ckpt_close(&c);
	free(path);
	return k;
}

enum known
known_before_start(struct sup *s, const struct job_row *r, bool supplied,
    struct rk_why *why)
{
	if (may_begin_anew(r))
		return KNOWN_THERE;
	if (!supplied && s->up.has != NULL &&
	    s->up.has(s->up.ctx, r->id, r->resume_from))
		return KNOWN_THERE;     /* fetched before the start */
	return known_look(s, r->id, KNOWN_ASIDE | (strcmp(r->resume_from,
	    "latest") == 0 ? 0 : KNOWN_BRANCHES), why);
}

/* --- waiting -------------------------------------------------------------- */

char *
known_sentence(const struct job_row *r, enum known k, const char *detail)
{
	char step[RK_HUMAN], when[RK_TIME];

	return xasprintf("%s: the newest that it has had was %s (step %s, "
	    "%s)%s%s; goes on by itself when one is there again, and begins "
	    "anew only when told to: rekindle resume %s --from none",
	    k == KNOWN_MISSING ? "its checkpoints are gone" :
	    "its checkpoints cannot be read", r->known_dir,
	    rk_group_digits(step, r->known_step),
	    rk_time_text(when, r->known_ms), detail[0] != '\0' ? "; " : "",
	    detail, r->id);
}

enum rk_err
known_refuse(const struct job_row *r, enum known k, const char *from,
    struct rk_why *why)
{
	char step[RK_HUMAN], when[RK_TIME];

	return rk_refuse_at(why, "from", "is \"%s\", and the job's "
	    "checkpoints %s: the newest that it has had was %s (step %s, "
	    "%s); latest waits until one is there again, none begins anew",
	    from, k == KNOWN_MISSING ? "are gone" : "cannot be read",
	    r->known_dir, rk_group_digits(step, r->known_step),
	    rk_time_text(when, r->known_ms));
}

json_t *
known_json(const struct job_row *r)
{
	json_t *o = json_pack("{s:s*, s:I, s:I}", "known_checkpoint",
	    r->known_dir, "known_step", (json_int_t)r->known_step,
	    "known_ms", (json_int_t)r->known_ms);

	must(o != NULL);
	return o;
}

const char *
known_word(enum known k)
{
	must(k != KNOWN_THERE);
	return reasons[k];
}

enum rk_err
known_wait(struct sup *s, struct job_row *r, enum known k, const char *detail)
{
	char *text = known_sentence(r, k, detail);
	json_t *data = known_json(r);
	struct cause c = { reasons[k], reasons[k], text, NULL, data, NULL };
	enum rk_err rc = sup_move(s, r, JOB_PAUSED, NULL, &c);

	if (rc == RK_OK)
		known_timer_set(s);
	json_decref(data);
	free(text);
	return rc;
}

/* --- and going on --------------------------------------------------------- */

void
known_timer_set(struct sup *s)
{
	loop_timer_at(s->known_timer, mono_ms() + s->c.disk_check_ms);
}

struct waiting {
	char (*id)[RK_ID];
	size_t n;
};

static bool
collect(void *ctx, const struct job_row *r)
{
	struct waiting *w = ctx;

	if (r->desired != JOB_RUN || !known_reason(r->reason))
		return true;
	w->id = xrealloc(w->id, (w->n + 1) * sizeof(*w->id));
	memcpy(w->id[w->n++], r->id, RK_ID);
	return true;
}

/* A volume that was mounted over the folder of all jobs since. */
static void
renew_jobs_fd(struct sup *s)
{
	struct stat a, b;
	int fd;

	if (stat(s->jobs_dir, &a) != 0 || fstat(s->jobs_fd, &b) != 0 ||
	    (a.st_dev == b.st_dev && a.st_ino == b.st_ino))
		return;
	fd = open(s->jobs_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	log_info("sup: %s is another folder now", s->jobs_dir);
	rk_close(&s->jobs_fd);
	s->jobs_fd = fd;
}

/* One that its trainer found no good is tried again after a while only. */
static bool
wake(struct sup *s, const char *id)
{
	struct cause c = { "checkpoints again", "", "a checkpoint is there "
	    "again; waits for its turn", NULL, NULL, NULL };
	struct job_row r;
	bool woken = false;

	if (store_job_get(s->store, id, &r) != RK_OK)
		return false;
	int64_t left = r.not_before_ms - now_ms();
	bool yet = left <= 0 || left > s->c.retry_max_ms;
	if (yet && ((s->up.has != NULL && s->up.has(s->up.ctx, id,
	    r.resume_from)) || known_look(s, id, 0, NULL) == KNOWN_THERE))
		woken = sup_move(s, &r, JOB_QUEUED, NULL, &c) == RK_OK;
	store_job_fini(&r);
	return woken;
}

void
known_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	struct store_filter f = { .states = 1u << JOB_PAUSED };
	struct waiting w = { 0 };
	size_t woken = 0;

	must_be(s, SUP_TAG);
	if (s->draining)
		return;
	if (!s->recovered || store_jobs(s->store, &f, NULL, INT32_MAX, collect,
	    &w) != RK_OK) {
		free(w.id);
		known_timer_set(s);
		return;
	}
	s->known_waiting = w.n;
	if (w.n > 0)
		renew_jobs_fd(s);
	/* the oldest first: pages are newest first */
	for (size_t i = w.n; i-- > 0;)
		woken += wake(s, w.id[i]);
	free(w.id);
	if (woken > 0)
		sched_kick(s);
	if (w.n > woken)
		known_timer_set(s);
}

void
known_count(struct sup *s, const struct job_row *r, enum job_state was,
    const char *was_reason)
{
	if (was == JOB_PAUSED && known_reason(was_reason) &&
	    s->known_waiting > 0)
		s->known_waiting--;
	if (r->state == JOB_PAUSED && known_reason(r->reason))
		s->known_waiting++;
}

/* --- of a run ------------------------------------------------------------- */

void
known_of_row(struct run *run, const struct job_row *r)
{
	snprintf(run->known.dir, sizeof(run->known.dir), "%s",
	    known_any(r) ? r->known_dir : "");
	run->known.step = r->known_step;
	run->known.ms = r->known_ms;
	run->known.anew = may_begin_anew(r);
	run->known.latest = strcmp(r->resume_from, "latest") == 0;
}

void
known_to_row(const struct run *run, struct job_row *r)
{
	set_str(&r->known_dir, run->known.dir);
	r->known_step = run->known.step;
	r->known_ms = run->known.ms;
}

/* It begins with `dir` ("": with nothing) at a step. */
void
known_begins(struct run *run, const char *dir, int64_t step)
{
	if (dir[0] == '\0') {
		run->known.dir[0] = '\0';
		run->known.step = run->known.ms = 0;
		return;
	}
	if (run->known.latest && run->known.dir[0] != '\0' &&
	    run->known.step > step)
		run->known.lost = run->known.step - step;
	if (strcmp(run->known.dir, dir) == 0)
		return;
	snprintf(run->known.was, sizeof(run->known.was), "%s",
	    run->known.dir);
	snprintf(run->known.dir, sizeof(run->known.dir), "%s", dir);
	run->known.step = step;
	run->known.ms = now_ms();
}

void
known_saved(struct run *run, const char *dir, int64_t step)
{
	if (run->known.dir[0] != '\0' && step < run->known.step)
		return;
	snprintf(run->known.dir, sizeof(run->known.dir), "%s", dir);
	run->known.step = step;
	run->known.ms = now_ms();
}
