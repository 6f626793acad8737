/* What a run goes on from: see start.h. */
#include <stdlib.h>
#include <string.h>

#include "seen.h"
#include "start.h"

static void
note(void *ctx, const char *sentence)
{
	struct start *s = ctx;

	must(json_array_append_new(s->notes, js_text(sentence)) == 0);
}

static bool
any_will_do(const struct start *s)
{
	return strcmp(s->selector, "latest") == 0 ||
	    strcmp(s->selector, "best") == 0;
}

/* Before anything is decided: has there been one? */
static void
see_what_is_left(struct start *s)
{
	struct ckpt_left left;

	rk_why_fini(&s->why);
	s->why = (struct rk_why){0};
	if (ckpt_left(s->ckpt, &left, &s->why) == RK_OK)
		s->had = left.aside > 0 || left.damaged > 0;
}

static void *
start_main(void *arg)
{
	struct start *s = arg;
	const struct spec_checkpoint *c = &s->spec->checkpoint;

	for (bool again = true; again;) {
		again = false;
		s->rc = ckpt_load(s->ckpt, s->selector, c->metric, c->mode_max,
		    &s->info, &s->model, &s->optim, note, s, &s->why);
		if (s->rc != RK_ENOENT || !any_will_do(s))
			break;
		again = ckpt_put_back(s->ckpt, note, s) == RK_OK;
		if (again)
			rk_why_fini(&s->why);
	}
	if (s->rc == RK_ENOENT && any_will_do(s))
		see_what_is_left(s);
	return NULL;
}

const char *
start_selector(const struct run *r)
{
	return r->o->from != NULL ? r->o->from : r->spec->training.resume_from;
}

void
start_begin(struct start *s, const struct run *r)
{
	*s = (struct start){
		.selector = start_selector(r),
		.spec = r->spec,
		.ckpt = r->ckpt,
		.rc = RK_ENOENT,
		.notes = json_array(),
	};
	if (strcmp(s->selector, "none") == 0)
		return;
	s->running = rk_thread_start(&s->thread, start_main, s) == 0;
	if (!s->running)
		start_main(s);
}

static void
start_wait(struct start *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void
start_end(struct start *s)
{
	start_wait(s);
	rk_why_fini(&s->why);
	ckpt_info_fini(&s->info);
	tensor_set_free(s->model);
	tensor_set_free(s->optim);
	json_decref(s->notes);
	*s = (struct start){0};
}

/* --- going on from a checkpoint ------------------------------------------- */

static void
tell_changes(struct run *r, const struct ckpt_info *i)
{
	const bool changed = strcmp(i->spec_digest, r->spec_digest) != 0;

	if (changed && same_but_moved(r, i))
		report_event(&r->rep, "data_moved", "the data have other "
		    "paths than when %s was taken; nothing else of the job has "
		    "changed", i->dir);
	else if (changed)
		report_event(&r->rep, "spec_changed", "the job has changed "
		    "since %s was taken: what follows is not what the old one "
		    "would have computed", i->dir);
	if (i->seed != r->spec->training.seed)
		report_event(&r->rep, "seed_changed", "the seed is %llu, %s "
		    "was taken with %llu: the order of samples is another",
		    (unsigned long long)r->spec->training.seed, i->dir,
		    (unsigned long long)i->seed);
}

static bool
go_on(struct start *s, struct run *r)
{
	const struct ckpt_info *i = &s->info;
	struct rate_change rate;

	bool ok = run_restore(r, i, s->model, s->optim);
	seen_restore(r);
	if (!alone_may_go_on(r, i) || !ok || !exact_allows(r, i) ||
	    !rate_go_on(r, i, &rate))
		return false;
	enum rk_err rc = ckpt_branch_from(r->ckpt, i->dir, &r->branch);
	if (rc != RK_OK)
		return run_fail_rc(r, rc, "cannot open a branch");
	snprintf(r->parent, sizeof(r->parent), "%s", i->dir);
	snprintf(r->due.dir, sizeof(r->due.dir), "%s", i->dir);
	r->due.taken = i->step;
	alone_known_write(r, i->dir);
	r->rep.branch = r->branch;
	if (r->o->attempt == 0)
		r->rep.attempt = RK_MAX(r->rep.attempt, i->attempt + 1);
	report_event(&r->rep, "resumed", "goes on from %s: step %lld, epoch "
	    "%lld, sample %lld of %lld", i->dir, (long long)i->step,
	    (long long)i->epoch, (long long)i->sample,
	    (long long)r->train->n);
	exact_tell(r, i);
	exact_tell_mode(r, i);
	tell_changes(r, i);
	if (i->split == NULL && r->held.how.rule == DATA_SPLIT_PERMUTATION)
		report_event(&r->rep, "split", "%s was split by a version "
		    "before data.split_seed: the validation samples stay those "
		    "of training.seed %llu", i->dir,
		    (unsigned long long)r->held.how.seed);
	rate_tell(r, i, &rate);
	return true;
}

/* --- or not --------------------------------------------------------------- */

/* `latest` means the newest if there is one; so does `best` in the job, which
 * was written before there was any.  All else names one that must exist. */
static bool
may_be_absent(const struct start *s, const struct run *r)
{
	return strcmp(s->selector, "latest") == 0 ||
	    (strcmp(s->selector, "best") == 0 && r->o->from == NULL);
}

/* The average begins as the model that the run begins with. */
static void
begin_ema(struct run *r)
{
	int64_t n;

	if (r->ema != NULL)
		optim_ema_begin(r->ema, nn_params(r->nn, &n),
		    nn_buffers(r->nn, &n));
}

/* From nothing of our own.  Older checkpoints in the folder are another
 * branch's. */
static bool
begin_anew(struct run *r)
{
	enum rk_err rc = ckpt_branch_from(r->ckpt, "", &r->branch);

	if (rc != RK_OK)
		return run_fail_rc(r, rc, "cannot open a branch");
	r->rep.branch = r->branch;
	r->at = (struct cursor){ .rate_scale = warm_wanted(r) ?
	    r->spec->training.warm_start_lr_scale : 1, .scored = -1 };
	r->due.taken = -1;
	alone_known_forget(r);
	rate_begin(r);
	spans_begin(r, NULL, NULL);
	if (warm_wanted(r)) {
		if (!warm_start(r))
			return false;
	} else {
		held_out_tell(r);
		nn_init(r->nn, r->spec->training.seed);
		report_event(&r->rep, "cold_start", "starts cold, from the "
		    "values of seed %llu",
		    (unsigned long long)r->spec->training.seed);
	}
	begin_ema(r);
	return true;
}

/* There has been one and none can be used: never cold unless a person says
 * so. */
static bool
refuse_cold(struct start *s, struct run *r, const char *reason)
{
	const char *detail = rk_why_first(&s->why);

	if (r->rep.wire != NULL)        /* the daemon has words of its own */
		return run_fail_waits(r, reason, NULL, "%s", detail);
	return run_fail_waits(r, reason, NULL, "this run has had %s, and none "
	    "can be used: %s; put one back, or begin anew with --from none "
	    "or training.resume_from: none", r->known, detail);
}

static bool
refuse_if_none(struct start *s, struct run *r)
{
	if (any_will_do(s) && (s->had || r->has_known))
		return refuse_cold(s, r, "checkpoints_missing");
	if (strcmp(s->selector, "none") == 0 || may_be_absent(s, r))
		return true;
	return run_fail(r, "bad_checkpoint", true,
	    "cannot begin from %s: %s", s->selector,
	    rk_why_first(&s->why));
}

bool
start_may(struct start *s, struct run *r)
{
	size_t k;
	json_t *sentence;

	start_wait(s);
	json_array_foreach(s->notes, k, sentence)
		report_event(&r->rep, "checkpoint_bad", "%s",
		    json_string_value(sentence));
	json_array_clear(s->notes);
	switch (s->rc) {
	case RK_OK:
		return true;
	case RK_ENOENT:
		return refuse_if_none(s, r);
	case RK_EINVAL:
	case RK_ECORRUPT:
		return run_fail(r, "bad_checkpoint", true, "%s: %s",
		    s->selector, rk_why_first(&s->why));
	case RK_EIO:
	case RK_EROFS:
		if (any_will_do(s))
			return refuse_cold(s, r, "checkpoints_unreadable");
		/* FALLTHROUGH */
	default:
		return run_fail_rc(r, s->rc, "cannot read the checkpoint");
	}
}

bool
start_judge_data(struct start *s, struct run *r)
{
	return start_may(s, r) && (s->rc != RK_OK || same_judge(r, &s->info));
}

bool
start_decide(struct start *s, struct run *r)
{
	return start_may(s, r) &&
	    (s->rc == RK_OK ? go_on(s, r) : begin_anew(r));
}
