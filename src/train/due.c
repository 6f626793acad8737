/* When a checkpoint is due, and taking it: see due.h. */
#include <string.h>
#include <sys/resource.h>

#include "due.h"
#include "feed.h"
#include "seen.h"
#include "writer.h"

#define WAIT_MS 100             /* between heartbeats while we wait */

/* --- what came of the last one -------------------------------------------- */

static void
say_checkpoint(struct run *r, const struct ckpt_info *i, const char *name,
    double stall_s, double write_s)
{
	json_t *metrics = i->metrics != NULL ? json_incref(i->metrics) :
	    json_object();

	json_t *m = json_pack(
	    "{s:s, s:s, s:I, s:I, s:s, s:I, s:o, s:f, s:f}",
	    "checkpoint", i->dir, "name", name, "step", (json_int_t)i->step,
	    "epoch", (json_int_t)i->epoch, "digest", i->digest,
	    "bytes", (json_int_t)(i->bytes - i->shared), "metrics", metrics,
	    "stall_seconds", stall_s, "write_seconds", write_s);
	must(m != NULL);
	exact_put(r, m);
	report_checkpoint(&r->rep, m);
}

static bool
fail_write(struct run *r, const struct writer_result *res)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	uint64_t bytes = 0;
	struct rlimit is;

	if (res->not_finite)
		return run_fail(r, "non_finite_loss", true, "a weight is not "
		    "finite after step %lld (the last loss was %g), so it is "
		    "not kept; the last good checkpoint is %s",
		    (long long)res->info.step, r->last_loss,
		    r->due.dir[0] != '\0' ? r->due.dir : "none");
	if (res->rc != RK_ENOSPC)
		return run_fail_rc(r, res->rc, "cannot save a checkpoint");
	if (rk_disk_free(r->dir_fd, &bytes) != RK_OK)
		bytes = 0;
	if (getrlimit(RLIMIT_FSIZE, &is) == 0 && is.rlim_cur <
	    run_needs(r) && bytes > run_needs(r))
		return run_fail(r, "disk_full", false, "no checkpoint at step "
		    "%lld: it has %s, and the limit of a file's size (ulimit "
		    "-f) is %s", (long long)res->info.step,
		    rk_human_bytes(need, run_needs(r)),
		    rk_human_bytes(have, is.rlim_cur));
	return run_fail(r, "disk_full", false, "no room for a checkpoint at "
	    "step %lld: it needs %s, %s is free",
	    (long long)res->info.step,
	    rk_human_bytes(need, run_needs(r)),
	    rk_human_bytes(have, bytes));
}

static bool
collect(struct run *r)
{
	struct writer_result res;
	bool ok = true;

	if (!writer_collect(r->writer, &res))
		return true;
	if (res.rc == RK_OK) {
		snprintf(r->due.dir, sizeof(r->due.dir), "%s", res.info.dir);
		r->write_s = res.write_s;
		run_newest(r, &res.info);
		alone_known_write(r, res.info.dir);
		say_checkpoint(r, &res.info, res.name, r->due.stall_s,
		    res.write_s);
	} else {
		ok = fail_write(r, &res);
	}
	ckpt_info_fini(&res.info);
	return ok;
}

static bool
wait_free(struct run *r)
{
	while (!writer_wait(r->writer, WAIT_MS))
		loop_tick(r, false);
	return collect(r);
}

/* --- taking one ----------------------------------------------------------- */

static double
since(int64_t ns)
{
	return (double)(mono_ns() - ns) * 1e-9;
}

/* The writer is free. */
static void
hand_over(struct run *r, const char *name)
{
	const int64_t t0 = mono_ns();
	struct ckpt_info info;

	if (r->due.captured != r->at.step) {
		r->due.stall_s = 0;
		writer_copy(r->writer);
	}
	r->due.captured = -1;
	run_describe(r, &info);
	info.data = seen_take(r);
	writer_submit(r->writer, &info, name);
	r->due.taken = r->at.step;
	r->due.last_ms = mono_ms();
	r->due.schedule = r->due.best = false;
	r->due.stall_s += since(t0);
	r->stall_total_s += r->due.stall_s;
}

/* These weights are in a checkpoint already: it gets the name. */
static bool
name_taken(struct run *r, const char *name)
{
	struct ckpt_info i = {0};
	enum rk_err rc = RK_OK;

	if (name[0] != '\0')
		rc = ckpt_name(r->ckpt, r->due.dir, name);
	if (rc == RK_OK)
		rc = ckpt_read(r->ckpt, r->due.dir, &i);
	if (rc == RK_OK)
		say_checkpoint(r, &i, name, 0, 0);
	ckpt_info_fini(&i);
	return rc == RK_OK || run_fail_rc(r, rc, "cannot name a checkpoint");
}

static bool
take_now(struct run *r, const char *name)
{
	const int64_t t0 = mono_ns();
	bool ok = same_wait(r) && wait_free(r);

	r->stall_total_s += since(t0);
	if (!ok)
		return false;
	r->due.best = false;
	if (r->due.taken == r->at.step)
		return name_taken(r, name);
	if (!r->same.final)             /* it has to leave */
		return true;
	hand_over(r, name);
	return true;
}

/* Those that people asked for; each is committed on its own. */
static bool
take_asked(struct run *r)
{
	for (int i = 0; i < r->ask.n; i++) {
		if (!take_now(r, r->ask.name[i]))
			return false;
	}
	r->ask.n = 0;
	return true;
}

/* --- when ----------------------------------------------------------------- */

static bool
is_due_at(const struct run *r, int64_t step)
{
	const struct spec_checkpoint *c = &r->spec->checkpoint;

	if (r->due.schedule)
		return true;
	if (c->every_steps > 0 && step % c->every_steps == 0)
		return true;
	return c->every_seconds > 0 && (double)(mono_ms() - r->due.last_ms) >=
	    c->every_seconds * 1e3;
}

bool
due_capture(struct run *r)
{
	const struct spec_checkpoint *c = &r->spec->checkpoint;
	const int64_t step = r->at.step + 1;
	const bool last = feed_rows(r, r->at.epoch,
	    r->at.sample + next_rows(r)) == 0;
	bool due = is_due_at(r, step) || r->ask.n > 0 || r->ask.leave ||
	    step >= r->steps_total ||
	    (last && c->every_epochs > 0 &&
	    (r->at.epoch + 1) % c->every_epochs == 0);

	return due && r->writer != NULL && r->same.final &&
	    writer_is_free(r->writer);
}

bool
due_take(struct run *r)
{
	if (!collect(r))
		return false;
	if (r->due.taken != r->at.step && r->at.step > 0 &&
	    is_due_at(r, r->at.step))
		r->due.schedule = true;
	if (r->due.best && !take_now(r, ""))
		return false;
	if (r->due.schedule && r->due.taken != r->at.step && r->same.final &&
	    writer_is_free(r->writer))
		hand_over(r, "");
	return take_asked(r);
}

bool
due_settle(struct run *r)
{
	return r->writer == NULL || wait_free(r);
}

bool
due_commit(struct run *r)
{
	if (!same_wait(r) || !wait_free(r))
		return false;
	if (r->due.taken == r->at.step || !r->same.final)
		return true;
	hand_over(r, "");
	return wait_free(r);
}

bool
due_final(struct run *r)
{
	if (!same_wait(r) || !wait_free(r) || !take_asked(r) || !wait_free(r))
		return false;
	if (!r->same.final) {
		report_event(&r->rep, "not_saved", "leaves at step %lld "
		    "without a new checkpoint: there was no time to see "
		    "whether the data are those of the one before",
		    (long long)r->at.step);
		return true;
	}
	if (r->due.taken != r->at.step) {
		hand_over(r, "");
		return wait_free(r);
	}
	return true;
}
