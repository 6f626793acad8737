/* Going on: from the latest or a checkpoint by name, with other settings. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

/* Is there such a checkpoint?  What there is, if not. */
static enum rk_err
check_from(struct sup *s, const struct job_row *r, const char *from,
    struct rk_why *why)
{
	struct rk_why own = { 0 };
	struct spec_select sel;
	struct spec *spec = NULL;
	struct ckpt *c = NULL;
	struct ckpt_info info = { 0 };
	char *dir = xasprintf("%s/checkpoints", sup_job_dir(s, r->id));
	enum rk_err rc = spec_select_parse(from, &sel, &own);
	const bool sel_ok = rc == RK_OK;

	if (rc == RK_OK && sel.kind == SPEC_SEL_NONE)
		goto out;
	if (rc == RK_OK)
		rc = row_spec(r, NULL, &spec, &own);
	if (rc == RK_OK && access(dir, F_OK) != 0)
		rc = rk_refuse(&own, "the job has no checkpoint yet");
	if (rc == RK_OK)
		rc = ckpt_open(&c, dir, false);
	if (rc == RK_OK)
		rc = ckpt_select(c, from, spec->checkpoint.metric,
		    spec->checkpoint.mode_max, &info, &own);
	if (rc == RK_OK)
		ckpt_info_fini(&info);
	else if (s->up.has != NULL && sel_ok &&
	    s->up.has(s->up.ctx, r->id, from))
		rc = RK_OK;             /* fetched before it starts */
	else if (rc == RK_EINVAL || rc == RK_ENOENT || rc == RK_ECORRUPT)
		rc = rk_refuse_at(why, "from", "%s", rk_why_first(&own));
out:
	ckpt_close(&c);
	spec_free(spec);
	rk_why_fini(&own);
	free(dir);
	return rc;
}

/* Faults of overrides, with the name they have in the request before them. */
static enum rk_err
override(struct sup *s, struct job_row *r, const json_t *overrides,
    json_t **changed, struct rk_why *why)
{
	struct rk_why own = { 0 };
	enum rk_err rc = respec(s, r, overrides, changed, &own);

	for (size_t i = 0; i < own.n; i++) {
		char *path = xasprintf("overrides%s%s",
		    own.v[i].path[0] != '\0' ? "." : "", own.v[i].path);
		rk_refuse_at(why, path, "%s", own.v[i].message);
		free(path);
	}
	rk_why_fini(&own);
	return rc;
}

static enum rk_err
go_on(struct sup *s, struct job_row *r, const char *from,
    const json_t *overrides, const struct store_note *note, struct rk_why *why)
{
	json_t *changed = NULL, *data = json_object();
	enum rk_err rc = RK_OK;

	if (from != NULL)
		rc = check_from(s, r, from, why);
	if (overrides != NULL) {
		enum rk_err e = override(s, r, overrides, &changed, why);
		rc = rc == RK_OK ? e : rc;
	}
	if (rc == RK_OK) {
		if (from != NULL)
			set_str(&r->resume_from, from);
		char *what = changed != NULL ? changes_text(changed) : NULL;
		char *text = xasprintf("resumed by a person from %s%s%s",
		    r->resume_from, what != NULL ? ", with " : "",
		    what != NULL ? what : "");
		json_object_set_new(data, "resume_from",
		    json_string(r->resume_from));
		if (changed != NULL)
			json_object_set(data, "changed", changed);
		struct cause c = { "resume", "", text, "resumed", data, note };
		requeue(r);
		rc = sup_move(s, r, JOB_QUEUED, NULL, &c);
		free(what);
		free(text);
	}
	json_decref(changed);
	json_decref(data);
	return rc;
}

/* It is on its way to a pause, and shall not stay there. */
static enum rk_err
change_of_mind(struct sup *s, struct job_row *r, const struct store_note *note)
{
	struct store_note n = note != NULL ? *note : (struct store_note){ 0 };

	r->desired = JOB_RUN;
	n.kind = "resumed";
	n.message = "to go on by itself when its pause is reached";
	set_str(&r->reason, "");
	set_str(&r->message, n.message);
	return sup_put(s, r, NULL, &n);
}

enum rk_err
sup_resume(struct sup *s, const char *id, const char *from,
    const json_t *overrides, struct store_note *note, struct rk_why *why)
{
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (r.state == JOB_PAUSED || job_ended(r.state))
		rc = go_on(s, &r, from, overrides, note, why);
	else if (r.state == JOB_HELD)
		rc = refuse_state(&r, "resumed", "start it", why);
	else if (r.desired == JOB_PAUSE && from == NULL && overrides == NULL)
		rc = change_of_mind(s, &r, note);
	else
		rc = refuse_state(&r, "resumed", r.desired == JOB_RUN ?
		    "pause it first" : "wait until it has come to rest", why);
	store_job_fini(&r);
	sched_kick(s);
	return rc;
}
