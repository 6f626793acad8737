/*
 * Jobs that are paused because the disk is full or read-only.  `desired` stays
 * RUN, so they go on by themselves: when what is free holds the reserve and
 * another checkpoint as large as the last one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define AT_ONCE 64              /* jobs looked at a round */

bool
disk_reason(const char *reason)
{
	return strcmp(reason, "disk_full") == 0 ||
	    strcmp(reason, "read_only") == 0;
}

void
disk_wait(struct sup *s)
{
	s->disk_waiting = true;
	loop_timer_at(s->disk_timer, mono_ms() + s->c.disk_check_ms);
}

struct waiting {
	char id[AT_ONCE][RK_ID];
	int n;
};

static bool
collect(void *ctx, const struct job_row *r)
{
	struct waiting *w = ctx;

	if (r->desired == JOB_RUN && disk_reason(r->reason))
		memcpy(w->id[w->n++], r->id, RK_ID);
	return w->n < AT_ONCE;
}

static bool
can_write(int dirfd)
{
	static const char name[] = RK_TMP_PREFIX "probe";
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
	bool ok = fd >= 0;

	rk_close(&fd);
	if (ok)
		unlinkat(dirfd, name, 0);
	return ok;
}

/* Those above us may still have no room for what it needs. */
static bool
may_be_fetched(struct sup *s, const char *id)
{
	struct rk_why why = { 0 };
	struct spec *spec = NULL;
	json_t *files = json_object();
	const char *reason;
	struct job_row r;
	bool yes = true;

	if (s->up.supply != NULL && store_job_get(s->store, id, &r) == RK_OK) {
		if (row_spec(&r, NULL, &spec, NULL) == RK_OK)
			yes = supply_ask(s, &r, spec, files, &reason, &why) !=
			    RK_ENOSPC;
		store_job_fini(&r);
	}
	spec_free(spec);
	json_decref(files);
	rk_why_fini(&why);
	return yes;
}

/* *room: what the jobs before this one have been promised is off already. */
static bool
may_go_on(struct sup *s, const char *id, uint64_t *room)
{
	struct ckpt_info info = { 0 };
	uint64_t need = s->c.disk_reserve;

	if (own_latest(s, id, &info) == RK_OK) {
		/* What is frozen is linked, not written again. */
		need += info.bytes - ckpt_info_frozen(&info);
		ckpt_info_fini(&info);
	}
	if (*room < need)
		return false;
	*room -= need - s->c.disk_reserve;
	return true;
}

static enum rk_err
wake(struct sup *s, const char *id)
{
	struct cause c = { "room again", "", "there is room on the disk again; "
	    "waits for its turn", NULL, NULL, NULL };
	struct job_row r;
	enum rk_err rc = store_job_get(s->store, id, &r);

	if (rc != RK_OK)
		return rc;
	if (strcmp(r.reason, "read_only") == 0)
		c.message = "the disk can be written again; waits for its turn";
	rc = sup_move(s, &r, JOB_QUEUED, NULL, &c);
	store_job_fini(&r);
	return rc;
}

void
disk_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	struct store_filter f = { .states = 1u << JOB_PAUSED };
	struct waiting w = { .n = 0 };
	uint64_t room = 0;
	int woken = 0;

	must_be(s, SUP_TAG);
	if (s->draining || !s->recovered) {
		if (!s->draining)
			disk_wait(s);
		return;
	}
	if (store_jobs(s->store, &f, NULL, INT32_MAX, collect, &w) != RK_OK) {
		disk_wait(s);
		return;
	}
	s->disk_waiting = w.n > 0;
	if (!s->disk_waiting)
		return;
	if (rk_disk_free(s->jobs_fd, &room) == RK_OK && can_write(s->jobs_fd)) {
		/* the oldest first: pages are newest first */
		for (int i = w.n - 1; i >= 0; i--) {
			if (may_go_on(s, w.id[i], &room) &&
			    may_be_fetched(s, w.id[i]) &&
			    wake(s, w.id[i]) == RK_OK)
				woken++;
		}
	}
	if (woken > 0)
		sched_kick(s);
	disk_wait(s);
}
