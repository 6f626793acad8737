/*
 * The end of step 3: jobs into the database, and local checkpoints that do not
 * count out of the way.  First the trainers that an earlier daemon left behind
 * must be gone, as they commit before they leave.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "rekindle/ckpt.h"

#define POLL_MS   100
#define TELL_MS   60000

static void step_slice(struct mirror *m);

/* --- trainers of an earlier daemon ---------------------------------------- */

/* Goes on where it stopped: those before m->at have gone. */
static void
step_wait(struct mirror *m)
{
	for (; m->at < m->base.n; m->at++) {
		const struct bjob *j = &m->base.v[m->at];
		if (!j->take || !j->here || !sup_job_locked(m->sup, j->id))
			continue;
		if (m->waits_since_ms == 0)
			m->waits_since_ms = mono_ms();
		if (mono_ms() - m->waits_since_ms > TELL_MS && m->fails == 0) {
			char *text = xasprintf("job %s: the trainer of an "
			    "earlier daemon is still there", j->id);
			go_again(m, text);
			free(text);
			return;
		}
		m->step = step_wait;
		loop_timer_at(m->step_timer, mono_ms() + POLL_MS);
		return;
	}
	m->at = 0;
	go_to(m, step_slice);
}

/* --- checkpoints ---------------------------------------------------------- */

struct counted {
	struct mirror *m;
	const struct ckpt_info *i;
	bool yes;
	int64_t branch;                 /* the highest */
};

static bool
see_row(void *ctx, const struct remote_row *r)
{
	struct counted *c = ctx;
	struct ckpt_info i = { 0 };

	c->branch = RK_MAX(c->branch, r->branch);
	if (c->i == NULL || strcmp(r->dir, c->i->dir) != 0 ||
	    r->info == NULL || ckpt_info_parse(r->info, strlen(r->info),
	    r->dir, &i, NULL) != RK_OK)
		return true;
	c->yes = c->yes || strcmp(i.digest, c->i->digest) == 0;
	ckpt_info_fini(&i);
	return true;
}

/* A branch that only late checkpoints were on is no branch. */
static enum rk_err
cut_branch(struct ckpt *c, int64_t highest)
{
	char *path = xasprintf("%s/branch.json", ckpt_path(c)), *text = NULL;
	json_t *o = NULL;
	size_t n;
	enum rk_err rc = RK_OK;

	if (rk_read_file(AT_FDCWD, path, 1 << 20, &text, &n) == RK_OK &&
	    rkj_parse_json(text, n, &o, NULL) == RK_OK &&
	    json_integer_value(json_object_get(o, "branch")) > highest &&
	    unlink(path) != 0 && errno != ENOENT)
		rc = rk_from_errno(errno);
	json_decref(o);
	free(text);
	free(path);
	return rc;
}

static enum rk_err
set_aside(struct mirror *m, const char *id)
{
	const unsigned there = 1u << RS_REMOTE | 1u << RS_VERIFIED;
	char *path = xasprintf("%s/checkpoints", sup_job_dir(m->sup, id));
	struct ckpt *c = NULL;
	struct ckpt_info *v = NULL;
	size_t n = 0, late = 0;
	struct counted x = { .m = m };
	enum rk_err rc = access(path, F_OK) == 0 ? ckpt_open(&c, path, false) :
	    RK_ENOENT;

	free(path);
	if (rc != RK_OK)
		return rc == RK_ENOENT ? RK_OK : rc;
	rc = ckpt_list(c, &v, &n);
	for (size_t i = 0; i < n && rc == RK_OK; i++) {
		x.i = &v[i];
		x.yes = false;
		rc = store_remotes(m->store, id, there, see_row, &x);
		if (rc == RK_OK && !x.yes) {
			rc = ckpt_set_aside(c, v[i].dir);
			late++;
		}
	}
	if (rc == RK_OK && late > 0)
		rc = cut_branch(c, x.branch);
	if (rc == RK_OK && late > 0) {
		char *text = xasprintf("%zu checkpoint%s of this directory "
		    "%s later than what counts, and set aside (late-...)",
		    late, rk_s((int64_t)late), late == 1 ? "is" : "are");
		log_info("job=%s mirror: %s", id, text);
		sup_event(m->sup, id, "mirror", text, NULL);
		free(text);
	}
	ckpt_list_free(v, n);
	ckpt_close(&c);
	return rc;
}

/* --- jobs ----------------------------------------------------------------- */

/* Out of the database, in whatever state it is; with what was to be sent of
 * it. */
static enum rk_err
remove_row(struct mirror *m, const struct bjob *j, const struct store_note *n)
{
	json_t *record = NULL;
	enum rk_err rc = drop_rows(m, j->id);

	if (rc == RK_OK)
		rc = store_job_export(m->store, j->id, &record);
	if (rc != RK_OK)
		return rc == RK_ENOENT ? RK_OK : rc;
	json_object_set_new(json_object_get(record, "row"), "state",
	    json_string(job_state_words[JOB_CANCELLED]));
	rc = store_job_import(m->store, record, NULL, NULL, NULL);
	if (rc == RK_OK)
		rc = store_job_delete(m->store, j->id, n);
	json_decref(record);
	return rc;
}

/* Its line stays in the bucket; what this directory had of it must not run. */
static enum rk_err
leave_aside(struct mirror *m, struct bjob *j, const char *why)
{
	char *text;

	if (j->refused == NULL)
		j->refused = xstrdup(why);
	text = xasprintf("job %s is not taken over: %s", j->id, j->refused);
	rk_text_clean(text);
	log_error("mirror: %s", text);
	sup_event(m->sup, "", "mirror", text, NULL);
	free(text);
	return j->here ? remove_row(m, j, NULL) : RK_OK;
}

/* Versions of a job only grow, also for who has seen ours. */
static void
grow_version(const struct bjob *j, json_t *record)
{
	json_t *row = json_object_get(record, "row");
	int64_t version = json_integer_value(json_object_get(row, "version"));

	if (j->here && j->here_version >= version)
		json_object_set_new(row, "version",
		    json_integer(j->here_version + 1));
}

static enum rk_err
import(struct mirror *m, struct bjob *j)
{
	struct rk_why why = { 0 };
	json_t *record = bjob_record(j, m->text, &why);
	char *text = xasprintf("goes on here: taken over from epoch %lld",
	    (long long)m->base.epoch);
	struct store_note note = { .kind = "taken_over", .message = text };
	char *said = said_here(m, j);
	enum rk_err rc = RK_EINVAL;

	if (record != NULL) {
		grow_version(j, record);
		rc = store_job_import(m->store, record, said, &note, &why);
	}
	if (rc == RK_EINVAL) {
		char *all = rk_why_text(&why);
		rc = leave_aside(m, j, all);
		free(all);
	}
	json_decref(record);
	free(said);
	free(text);
	rk_why_fini(&why);
	return rc;
}

/* It was deleted by the owner; its folder goes as deleted ones do, at the next
 * start. */
static enum rk_err
remove_job(struct mirror *m, const struct bjob *j)
{
	struct store_note note = { .kind = "deleted",
		.message = "was deleted on another machine" };
	enum rk_err rc = remove_row(m, j, &note);
	char *from, *to;

	from = xstrdup(sup_job_dir(m->sup, j->id));
	to = xasprintf("%.*s.del-%s", (int)(strlen(from) - strlen(j->id)), from,
	    j->id);
	if (rc == RK_OK && rename(from, to) != 0 && errno != ENOENT)
		log_errno("mirror: cannot move %s", from);
	free(from);
	free(to);
	return rc;
}

static enum rk_err
take(struct mirror *m, struct bjob *j)
{
	enum rk_err rc;

	if (j->gone)
		return remove_job(m, j);
	if (j->refused != NULL)
		return leave_aside(m, j, "");
	/* Before the row: a crash between them finds the row to be taken. */
	rc = set_aside(m, j->id);
	return rc == RK_OK ? import(m, j) : rc;
}

/* Some jobs, with one sync, then others may have the loop. */
static void
step_slice(struct mirror *m)
{
	enum rk_err begun = store_batch_begin(m->store), rc = begun, end;
	size_t from = m->at;
	int n = 0;

	for (; rc == RK_OK && m->at < m->base.n && n < SLICE; m->at++) {
		struct bjob *j = &m->base.v[m->at];
		if (!j->take)
			continue;
		rc = take(m, j);
		n++;
	}
	end = begun == RK_OK ? store_batch_end(m->store) : begun;
	if (rc == RK_OK)
		rc = end;
	if (rc != RK_OK) {
		char *text = xasprintf("cannot take the jobs into this "
		    "directory: %s", rk_strerror(rc));
		m->at = from;
		go_again(m, text);
		free(text);
		return;
	}
	went_well(m);
	if (m->at < m->base.n)
		go_to(m, step_slice);
	else
		go_to(m, step_begin);
}

void
step_take(struct mirror *m)
{
	m->at = 0;
	m->waits_since_ms = 0;
	go_to(m, step_wait);
}
