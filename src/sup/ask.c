/* Checkpoints that people ask for, and wait for. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define ASK_MS 60000

/* --- where a name was ----------------------------------------------------- */

void
sup_named_look(struct sup *s, const char *id, const char *name,
    struct sup_named *out)
{
	char *path = xasprintf("%s/checkpoints", sup_job_dir(s, id));
	struct ckpt_info i = { 0 };
	struct ckpt *c = NULL;

	*out = (struct sup_named){ 0 };
	/* ckpt_open() would make the folder. */
	if (name != NULL && name[0] != '\0' && access(path, F_OK) == 0 &&
	    ckpt_open(&c, path, false) == RK_OK &&
	    ckpt_select(c, name, NULL, true, &i, NULL) == RK_OK) {
		snprintf(out->dir, sizeof(out->dir), "%s", i.dir);
		out->kept = i.names != NULL && i.names[0] != NULL &&
		    i.names[1] != NULL;
	}
	ckpt_info_fini(&i);
	ckpt_close(&c);
	free(path);
}

char *
sup_named_moved(const struct sup_named *was, const char *name, const char *to)
{
	if (was->dir[0] == '\0' || strcmp(was->dir, to) == 0)
		return NULL;
	return xasprintf("%s moved from %s%s", name, was->dir, was->kept ?
	    ", which has another name" : ", which retention may delete now");
}

const struct sup_named *
asked_was(const struct run *run, const char *name)
{
	for (const struct asked *a = run->s->asked; a != NULL; a = a->next) {
		if (a->run == run && a->name[0] != '\0' &&
		    strcmp(a->name, name) == 0)
			return &a->was;
	}
	return NULL;
}

/* --- who has asked -------------------------------------------------------- */

static void
clock_of(struct sup *s)
{
	int64_t next = 0;

	for (const struct asked *a = s->asked; a != NULL; a = a->next)
		next = next == 0 ? a->until_ms : RK_MIN(next, a->until_ms);
	if (next != 0)
		loop_timer_seen(s->ask_timer, next);
	else
		loop_timer_off(s->ask_timer);
}

static void
forget(struct asked *a)
{
	free(a->name);
	free(a);
}

/* Take those that match out of the list, then answer them: an answer may ask
 * again. */
static void
answer(struct sup *s, const struct run *run, const char *name, int64_t now,
    enum rk_err rc, const char *dir, const char *why)
{
	struct asked *out = NULL, **p = &s->asked, *a;

	while ((a = *p) != NULL) {
		bool is = run != NULL ? a->run == run && (name == NULL ||
		    a->name[0] == '\0' || strcmp(a->name, name) == 0) :
		    a->until_ms <= now;
		if (!is) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		a->next = out;
		out = a;
	}
	clock_of(s);
	while ((a = out) != NULL) {
		out = a->next;
		if (a->fn != NULL)
			a->fn(a->ctx, rc, dir, why);
		forget(a);
	}
}

static void
pass_on(struct run *run, const char *name)
{
	run_send(run, WIRE_CHECKPOINT, json_pack("{s:s}", "name", name));
}

/* A trainer hears nothing before our hello. */
void
asked_before_hello(struct run *run)
{
	for (const struct asked *a = run->s->asked; a != NULL; a = a->next) {
		if (a->run == run)
			pass_on(run, a->name);
	}
}

void
asked_by_checkpoint(struct run *run, const char *dir, const char *name)
{
	answer(run->s, run, name != NULL ? name : "", 0, RK_OK, dir, NULL);
}

void
asked_by_end(struct run *run)
{
	answer(run->s, run, NULL, 0, RK_ECONFLICT, NULL, "the trainer ended "
	    "before it had saved one; the newest checkpoint is as it was");
}

void
ask_timer_fn(void *ctx)
{
	struct sup *s = ctx;

	must_be(s, SUP_TAG);
	answer(s, NULL, NULL, loop_seen_ms(s->loop), RK_ETIMEDOUT, NULL,
	    "the trainer has saved none within 60 s");
}

void
ask_fini(struct sup *s)
{
	struct asked *a;

	while ((a = s->asked) != NULL) {
		s->asked = a->next;
		forget(a);
	}
}

/* No process: its newest checkpoint is what would be saved. */
static enum rk_err
name_latest(struct sup *s, const struct job_row *r, const char *name,
    sup_checkpoint_fn *fn, void *ctx, struct rk_why *why)
{
	struct ckpt_info info = { 0 };
	enum rk_err rc = own_latest(s, r->id, &info);

	if (rc == RK_ENOENT || rc == RK_EINVAL) {
		rk_refuse(why, "job %s is %s and %s", r->id,
		    job_state_words[r->state], known_any(r) ?
		    "its checkpoints are gone" : "has no checkpoint yet");
		rc = RK_ECONFLICT;
	}
	if (rc == RK_OK && name[0] != '\0')
		sup_give_name(s, r->id, info.dir, name, fn, ctx);
	else if (rc == RK_OK)
		fn(ctx, RK_OK, info.dir, NULL);
	ckpt_info_fini(&info);
	return rc;
}

enum rk_err
sup_checkpoint(struct sup *s, const char *id, const char *name,
    sup_checkpoint_fn *fn, void *ctx, struct rk_why *why)
{
	struct job_row r;
	struct run *run;
	enum rk_err rc;

	must_be(s, SUP_TAG);
	if (name == NULL)
		name = "";
	if ((rc = get_job(s, id, &r, why)) != RK_OK)
		return rc;
	if (!sup_trains(&r))
		rc = refuse_kind(&r, "so none can be saved", why);
	else if (name[0] != '\0')
		rc = spec_checkpoint_name_ok(name, why);
	run = run_find(s, id);
	if (rc == RK_OK && (run == NULL || run->exited)) {
		rc = name_latest(s, &r, name, fn, ctx, why);
	} else if (rc == RK_OK) {
		struct asked *a = xcalloc(1, sizeof(*a));
		*a = (struct asked){ .next = s->asked, .run = run,
		    .name = xstrdup(name),
		    .until_ms = loop_seen_ms(s->loop) + ASK_MS,
		    .fn = fn, .ctx = ctx };
		sup_named_look(s, id, name, &a->was);
		s->asked = a;
		clock_of(s);
		if (run->hello)
			pass_on(run, name);
	}
	store_job_fini(&r);
	return rc;
}

void
sup_checkpoint_forget(struct sup *s, void *ctx)
{
	must_be(s, SUP_TAG);
	for (struct asked *a = s->asked; a != NULL; a = a->next) {
		if (a->ctx == ctx)
			a->fn = NULL;
	}
	give_name_forget(s, ctx);
}
