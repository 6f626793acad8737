/* Whose turn it is among registrations; the beginning and the end of all. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "register.h"

#define ACTIVE_MAX 4            /* that do something at a time */
#define SOON_MS    200
#define LOST_MS    1000

static bool
is_busy(const struct reg *g)
{
	return g->staging != NULL || g->op != NULL || g->asked;
}

static void
registrar_timer(void *ctx)
{
	struct registrar *r = ctx;
	struct mirror *mirror = r->m->mirror;
	const int64_t now = mono_ms();
	int64_t at = INT64_MAX;
	struct reg *g, *next;
	int active = 0;

	must_be(r, REGISTRAR_TAG);
	at = shown_late(r);
	if (mirror != NULL && mirror_state(mirror) == MIRROR_LOST) {
		loop_timer_at(r->timer, now + LOST_MS);
		return;
	}
	for (g = r->regs; g != NULL; g = g->next)
		active += is_busy(g);
	for (g = r->regs; g != NULL; g = next) {
		next = g->next;
		if (is_busy(g))
			continue;
		if (g->due_ms > now) {
			at = RK_MIN(at, g->due_ms);
		} else if (active < ACTIVE_MAX) {
			active++;
			g->due_ms = INT64_MAX;
			reg_begin(g);
		} else {
			at = RK_MIN(at, now + SOON_MS);
		}
	}
	for (g = r->regs; g != NULL; g = g->next)
		if (!is_busy(g))
			at = RK_MIN(at, RK_MAX(g->due_ms, now));
	if (at != INT64_MAX)
		loop_timer_at(r->timer, at);
}

enum rk_err
reg_add(struct registrar *r, struct reg *g, enum reg_state state,
    const struct store_note *idem)
{
	json_t *request = request_json(&g->request);

	must_be(g, REG_TAG);
	g->r = r;
	g->state = state;
	g->row.job = g->row.job != NULL ? g->row.job : xstrdup("");
	g->row.error = g->row.error != NULL ? g->row.error : xstrdup("");
	g->row.request = rkj_text(request);
	g->row.created_ms = now_ms();
	reg_set(&g->row.idem_key, idem != NULL ? idem->idem_key : NULL);
	reg_set(&g->row.idem_digest, idem != NULL ? idem->idem_digest : NULL);
	json_decref(request);
	if (!reg_save(g))
		return RK_EIO;
	reg_link(r, g);
	log_info("registration=%s model=%s begins (%s)", g->row.id,
	    g->row.model, reg_state_words[state]);
	if (reg_ended(state))
		reg_leave(g);
	else
		reg_due(g, mono_ms());
	return RK_OK;
}

/* Folders that no registration needs. */
static bool
is_needed(void *ctx, const char *name)
{
	return reg_find(ctx, name) != NULL;
}

enum rk_err
registrar_open(struct models *m, const struct models_config *c,
    struct rk_why *why)
{
	struct registrar *r;
	enum rk_err rc = RK_OK;

	if (c->state_dir == NULL)       /* reads alone */
		return RK_OK;
	r = m->registrar = xcalloc(1, sizeof(*r));
	r->tag = REGISTRAR_TAG;
	r->m = m;
	r->folder = xasprintf("%s/models-staging", c->state_dir);
	r->reserve = c->disk_reserve;
	r->retry_ms = c->retry_ms > 0 ? c->retry_ms : 5000;
	r->retry_max_ms = c->retry_max_ms > 0 ? c->retry_max_ms : 300000;
	r->timer = loop_timer_add(m->loop, registrar_timer, r);
	for (int k = 0; k < REG_REGISTERED && rc == RK_OK; k++)
		rc = store_registrations(m->store, NULL, reg_state_words[k],
		    NULL, INT32_MAX, reg_take_row, r);
	if (rc != RK_OK) {
		rk_refuse(why, "the registrations cannot be read: %s",
		    rk_strerror(rc));
		return rc;
	}
	staged_sweep(r->folder, is_needed, r);
	by_job_open(r);
	loop_timer_at(r->timer, mono_ms());
	return RK_OK;
}

void
registrar_close(struct models *m)
{
	struct registrar *r = m->registrar;
	struct reg *g;
	struct reg_wait *w;

	if (r == NULL)
		return;
	must_be(r, REGISTRAR_TAG);
	by_job_close(r);
	kept_fini(r);
	while ((g = r->regs) != NULL) {
		r->regs = g->next;
		staging_drop(&g->staging);
		remote_cancel(&g->op);
		if (g->asked) {
			sup_check_forget(m->sup, g);
			models_forget(m, g);
		}
		reg_free(g);
	}
	while ((w = r->waits) != NULL) {
		r->waits = w->next;
		free(w);
	}
	loop_timer_del(&r->timer);
	free(r->folder);
	r->tag = 0;
	free(r);
	m->registrar = NULL;
}
