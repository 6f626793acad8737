/*
 * An edited job and an old checkpoint, without a daemon; and what such a run
 * has known.
 *
 * A daemon holds a resume's overrides against the job as it was.  Here the job
 * as it was is what the checkpoint has recorded of it, and what is asked for is
 * whatever the job file says now.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "phases.h"
#include "start.h"

#define KNOWN_FILE "known.json"
#define KNOWN_MAX  4096         /* bytes of it */

/* All faults, and which checkpoint they are about; behind them what has not
 * been restored of it, which has the shapes. */
static bool
refuse(struct run *r, const struct ckpt_info *i, const struct rk_why *why)
{
	char *text = rk_why_text(why), *restored = r->fail.message;

	r->fail = (struct failure){0};
	run_fail(r, "bad_spec", true, "cannot go on from %s with the job as it "
	    "is now (--from none begins anew): %s%s%s", i->dir, text,
	    restored != NULL ? "; " : "", restored != NULL ? restored : "");
	free(restored);
	free(text);
	return false;
}

/* The length is no part of the record, but of the schedule: the field that says
 * it.  As many epochs of data that have grown are no other length. */
static void
add_length(const struct spec_training *t, const struct schedule_terms *was,
    const struct schedule_terms *is, json_t *changed)
{
	const bool by_steps = t->epochs == 0 || t->steps == is->total;
	const bool same_epochs = !by_steps &&
	    was->total % was->steps_per_epoch == 0 &&
	    was->total / was->steps_per_epoch == t->epochs;

	if (was->total != is->total && !same_epochs)
		js_put(changed, by_steps ? "training.steps" :
		    "training.epochs", json_pack("[I, I]",
		    (json_int_t)was->total, (json_int_t)is->total));
}

/* Would the learning rate leap?  As in the daemon, what a request says itself
 * is meant: a rate that has changed, an on_resume that is there. */
static enum rk_err
check_rate(const struct run *r, const struct ckpt_info *i,
    json_t *changed, struct rk_why *why)
{
	const struct spec_training *t = &r->spec->training;
	const json_t *scale = json_object_get(i->state, "rate_scale");
	const json_t *recorded = json_object_get(i->state, "schedule");
	struct rk_why bad = {0};
	struct schedule old;
	struct schedule_request q = {
		.old = &old, .step = i->step, .scale = 1, .changed = changed,
		.terms = schedule_terms_at(t, r->steps_per_epoch, &r->phase),
		.says_rate = json_object_get(changed,
		    "training.optimizer.learning_rate") != NULL,
		.says_on_resume = t->schedule.on_resume != SPEC_RESUME_UNSAID,
	};

	if (json_is_number(scale))
		q.scale = json_number_value(scale);
	/* What is no schedule is a fault of the checkpoint: restore.c. */
	if (recorded == NULL || schedule_parse(recorded, &old, &bad) != RK_OK) {
		rk_why_fini(&bad);
		return RK_OK;
	}
	/* That of a phase is in the record. */
	if (phases_last(r) && (t->nphases == 0 || q.terms.total ==
	    r->steps_total))
		add_length(t, &old.said, &q.terms, changed);
	schedule_ask_phase(&q, t, r->phase.index);
	return schedule_check(&q, NULL, NULL, why);
}

bool
alone_may_go_on(struct run *r, const struct ckpt_info *i)
{
	const json_t *record = json_object_get(i->state, "spec");
	struct rk_why why = {0};
	json_t *changed = NULL;
	bool ok = true;

	if (r->rep.wire != NULL || strcmp(i->spec_digest, r->spec_digest) == 0)
		return true;
	if (record == NULL) {
		report_event(&r->rep, "spec_unrecorded", "%s was written by a "
		    "version that did not record its job: what may not change "
		    "on a resume is not checked", i->dir);
		return true;
	}
	if (spec_compare(record, r->spec, &changed, &why) != RK_OK ||
	    spec_phases_stay(changed, r->phase.index, &why) != RK_OK ||
	    check_rate(r, i, changed, &why) != RK_OK)
		ok = refuse(r, i, &why);
	json_decref(changed);
	rk_why_fini(&why);
	return ok;
}

/* --- what this run has known ---------------------------------------------- */

void
alone_known_read(struct run *r)
{
	json_t *o = NULL;
	char *text = NULL;
	size_t len;
	enum rk_err rc = RK_ENOENT;

	r->has_known = r->o->known >= 0;
	snprintf(r->known, sizeof(r->known), "a checkpoint");
	if (r->rep.wire == NULL)
		rc = rk_read_file(r->dir_fd, KNOWN_FILE, KNOWN_MAX, &text,
		    &len);
	if (rc == RK_ENOENT)
		return;
	/* One that cannot be read says as much. */
	r->has_known = true;
	const char *dir = rc == RK_OK && rkj_parse_json(text, len, &o, NULL) ==
	    RK_OK ? json_string_value(json_object_get(o, "checkpoint")) : NULL;
	if (dir != NULL && strlen(dir) < sizeof(r->known) && rk_name_ok(dir))
		snprintf(r->known, sizeof(r->known), "%s", dir);
	else
		report_warning(&r->rep, "known_bad", "%s/" KNOWN_FILE ", which "
		    "says which checkpoint this run has had, is damaged; it "
		    "counts as one", r->dir);
	json_decref(o);
	free(text);
}

void
alone_known_write(struct run *r, const char *dir)
{
	if (r->rep.wire != NULL || (r->has_known &&
	    strcmp(r->known, dir) == 0))
		return;
	json_t *o = json_pack("{s:i, s:s}", "version", 1, "checkpoint", dir);
	char *text = rkj_text(o);

	if (rk_replace_file(r->dir_fd, KNOWN_FILE, text, strlen(text)) !=
	    RK_OK)
		log_warn("train: cannot write %s/" KNOWN_FILE, r->dir);
	r->has_known = true;
	snprintf(r->known, sizeof(r->known), "%s", dir);
	free(text);
	json_decref(o);
}

void
alone_known_forget(struct run *r)
{
	if (r->rep.wire == NULL && r->has_known &&
	    unlinkat(r->dir_fd, KNOWN_FILE, 0) != 0 && errno != ENOENT)
		log_errno("train: cannot remove %s/" KNOWN_FILE, r->dir);
	r->has_known = false;
}

bool
alone_may_open(struct run *r, const char *path)
{
	struct stat st;

	if (!r->has_known || strcmp(start_selector(r), "none") == 0 ||
	    stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return true;
	return run_fail_waits(r, "checkpoints_missing", NULL, "this run has "
	    "had %s, and there is no %s%s", r->known, path,
	    r->rep.wire != NULL ? "" : ": put it back, or begin anew with "
	    "--from none or training.resume_from: none");
}
