/* Going on: from the latest or a checkpoint by name, with other settings. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "impl.h"

const char *const sup_accept_words[] = { "data", NULL };

bool
accepts(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)) != NULL; p += n) {
		if ((p == words || p[-1] == ' ') &&
		    (p[n] == '\0' || p[n] == ' '))
			return true;
	}
	return false;
}

static bool
is_accept_word(const char *s)
{
	for (size_t i = 0; sup_accept_words[i] != NULL; i++) {
		if (s != NULL && strcmp(s, sup_accept_words[i]) == 0)
			return true;
	}
	return false;
}

/* ["data"] to the row's words. */
static enum rk_err
take_accept(struct job_row *r, const json_t *accept, struct rk_why *why)
{
	enum rk_err rc = RK_OK;
	struct strbuf b = { 0 };
	const json_t *v;
	size_t i;

	if (!json_is_array(accept))
		return rk_refuse_at(why, "accept", "want a list of words: "
		    "data");
	json_array_foreach((json_t *)(uintptr_t)accept, i, v) {
		const char *word = json_string_value(v);
		char path[40];
		if (!is_accept_word(word)) {
			snprintf(path, sizeof(path), "accept[%zu]", i);
			rc = rk_refuse_at(why, path, "is \"%.*s\", want data",
			    word != NULL ? (int)rk_text_fit(word, 40) : 0,
			    word != NULL ? word : "");
		} else if (!accepts(sb_str(&b), word)) {
			sb_addf(&b, "%s%s", b.len > 0 ? " " : "", word);
		}
	}
	if (rc == RK_OK)
		set_str(&r->accept, sb_str(&b));
	sb_fini(&b);
	return rc;
}

/* A job that does not train goes on where its file ends, or begins anew. */
static enum rk_err
check_anew(const struct job_row *r, const char *from, struct rk_why *why)
{
	if (strcmp(from, "latest") == 0 || strcmp(from, "none") == 0)
		return RK_OK;
	return rk_refuse_at(why, "from", "is \"%.*s\", and a job of kind %s "
	    "has no checkpoints: want latest, which goes on at the sample "
	    "where it was, or none, which begins anew",
	    (int)rk_text_fit(from, 40), from, sup_kind(r));
}

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
	enum known k;
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
	else if (sel_ok && sel.kind == SPEC_SEL_LATEST && known_any(r))
		rc = RK_OK;             /* it waits for it: known.c */
	else if (sel_ok && known_any(r) && (k = known_look(s, r->id,
	    KNOWN_ASIDE | KNOWN_BRANCHES, NULL)) != KNOWN_THERE)
		rc = known_refuse(r, k, from, why);
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

enum rk_err
sup_check_resume(struct sup *s, const char *id, const json_t *overrides,
    int64_t within_ms, sup_check_fn *fn, void *ctx, struct rk_why *why)
{
	struct spec *spec = NULL;
	json_t *changed = NULL;
	const char *reason;
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (r.state != JOB_PAUSED && !job_ended(r.state))
		rc = refuse_state(&r, "resumed", "pause it first", why);
	if (rc == RK_OK && overrides != NULL)
		rc = override(s, &r, overrides, &changed, why);
	if (rc == RK_OK)
		rc = row_spec(&r, NULL, &spec, why);
	/* What would wait is not looked at for who asks, either. */
	if (rc == RK_OK && supply_allowed(s, &r, spec, &reason, why) != RK_OK)
		rc = RK_EINVAL;
	if (rc == RK_OK)
		rc = check_spec(s, spec, within_ms, fn, ctx, why);
	spec_free(spec);
	json_decref(changed);
	store_job_fini(&r);
	return rc;
}

static enum rk_err
go_on(struct sup *s, struct job_row *r, const char *from,
    const json_t *overrides, const json_t *accept,
    const struct store_note *note, struct rk_why *why)
{
	json_t *changed = NULL, *data = json_object(), *rates = NULL;
	char *before = xstrdup(r->spec);
	enum rk_err rc = RK_OK;

	set_str(&r->accept, "");
	if (accept != NULL)
		rc = take_accept(r, accept, why);
	const bool trains = sup_trains(r);
	if (from != NULL) {
		enum rk_err e = trains ? check_from(s, r, from, why) :
		    check_anew(r, from, why);
		rc = rc == RK_OK ? e : rc;
	}
	if (overrides != NULL) {
		enum rk_err e = override(s, r, overrides, &changed, why);
		rc = rc == RK_OK ? e : rc;
	}
	if (rc == RK_OK && trains && (from != NULL || overrides != NULL)) {
		const struct rate_ask a = { from != NULL ? from :
		    r->resume_from, before, overrides, changed };
		rc = rate_check(s, r, &a, &rates, why);
	}
	if (rc == RK_OK) {
		if (from != NULL)
			set_str(&r->resume_from, from);
		char *what = changed != NULL ? changes_text(changed) : NULL;
		char *rate = rate_text(rates);
		char *text = xasprintf("resumed by a person from %s%s%s%s%s%s",
		    r->resume_from, what != NULL ? ", with " : "",
		    what != NULL ? what : "", r->accept[0] != '\0' ?
		    ", accepting changed " : "", r->accept, rate);
		json_object_set_new(data, "resume_from",
		    json_string(r->resume_from));
		if (changed != NULL)
			json_object_set(data, "changed", changed);
		if (accept != NULL)
			json_object_set(data, "accept", (json_t *)
			    (uintptr_t)accept);
		if (rates != NULL)
			json_object_set(data, "learning_rate", rates);
		struct cause c = { "resume", "", text, "resumed", data, note };
		requeue(r);
		rc = sup_move(s, r, JOB_QUEUED, NULL, &c);
		free(what);
		free(rate);
		free(text);
	}
	free(before);
	json_decref(rates);
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
	return sup_resume_accept(s, id, from, overrides, NULL, note, why);
}

enum rk_err
sup_resume_accept(struct sup *s, const char *id, const char *from,
    const json_t *overrides, const json_t *accept, struct store_note *note,
    struct rk_why *why)
{
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	if (r.state == JOB_PAUSED || job_ended(r.state))
		rc = go_on(s, &r, from, overrides, accept, note, why);
	else if (r.state == JOB_HELD)
		rc = refuse_state(&r, "resumed", "start it", why);
	else if (r.desired == JOB_PAUSE && from == NULL && overrides == NULL &&
	    accept == NULL)
		rc = change_of_mind(s, &r, note);
	else
		rc = refuse_state(&r, "resumed", r.desired == JOB_RUN ?
		    "pause it first" : "wait until it has come to rest", why);
	store_job_fini(&r);
	sched_kick(s);
	return rc;
}
