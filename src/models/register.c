/*
 * A registration, from the wish to the version.
 *
 *	looking ──▶ fetching ──▶ staging ──▶ reading ──▶ sending ──▶ entering
 *	   │            ▲                                   │            │
 *	   │ it is      └────── its folder is gone ─────────┘            ▼
 *	   └─ there ───────────────────────────────────────────▶ describing
 *	                                                                 │
 *	   any before entering ──▶ clearing ──▶ failed, cancelled        ▼
 *	   (unmet: by_job.c)                         registered ◀── naming
 *
 *	looking     of a job's own (training.register): has another machine
 *	            entered it?  Its id is the same there
 *	fetching    what is not on this machine comes into the cache
 *	staging     all files are in <state>/models-staging/ID, and a worker has
 *	            held them against their digests
 *	reading     a trainer says what tensors are in them
 *	sending     the files are put into the version's folder
 *	entering    the entry `version` is put behind all others: from here on
 *	            there is a version, and its files stay
 *	describing  version.json is put beside them
 *	naming      the alias is moved
 *	clearing    what was put is taken away again
 *
 * The row in the store says how far it is, so that a daemon that was killed
 * goes on there: what was done in a state is done again, and does no harm.
 * Trouble that may pass (the store does not answer, or denies; the disk is full)
 * is waited for in the same state, for as long as it takes.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

#define SOON_MS 200

static void look_step(struct reg *g);
static void fetch_step(struct reg *g);
static void stage_step(struct reg *g);
static void enter_step(struct reg *g);
static void name_step(struct reg *g);

/* What begins a state; it ends in one of reg_next(), reg_again(), reg_jump(),
 * reg_busy(), reg_trouble(), reg_fail(). */
static const struct reg_step {
	void (*begin)(struct reg *g);
	enum reg_state next;
} steps[REG_REGISTERED] = {
	[REG_LOOKING] = { look_step, REG_FETCHING },
	[REG_FETCHING] = { fetch_step, REG_STAGING },
	[REG_STAGING] = { stage_step, REG_READING },
	[REG_READING] = { read_step, REG_SENDING },
	[REG_SENDING] = { send_step, REG_ENTERING },
	[REG_ENTERING] = { enter_step, REG_DESCRIBING },
	[REG_DESCRIBING] = { describe_step, REG_NAMING },
	[REG_NAMING] = { name_step, REG_REGISTERED },
	[REG_CLEARING] = { clear_step, REG_FAILED },
};

/* --- the mover ------------------------------------------------------------ */

void
reg_due(struct reg *g, int64_t at_ms)
{
	g->due_ms = at_ms;
	loop_timer_at(g->r->timer, mono_ms());
}

static void
say(struct reg *g, const char *sentence)
{
	free(g->message);
	g->message = sentence != NULL ? rk_text_clean(xstrdup(sentence)) :
	    NULL;
}

/* It has ended: out of the list, and out of the folder. */
void
reg_leave(struct reg *g)
{
	struct reg **at = &g->r->regs;
	char *folder = reg_folder(g);

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	of_job_staged(g);
	(void)!rk_remove_tree(AT_FDCWD, folder);
	free(folder);
	if (g->automatic)
		by_job_ended(g);
	shown_ended(g);
	reg_free(g);
}

static void
move(struct reg *g, enum reg_state to, const char *cause)
{
	const enum reg_state from = g->state;

	g->state = to;
	g->at = 0;
	if (!reg_save(g)) {             /* it is tried again */
		g->state = from;
		reg_due(g, mono_ms() + g->r->retry_ms);
		return;
	}
	log_info("registration=%s model=%s %s -> %s%s%s%s", g->row.id,
	    g->row.model, reg_state_words[from], reg_state_words[to],
	    cause != NULL ? " (" : "", cause != NULL ? cause : "",
	    cause != NULL ? ")" : "");
	g->fails = 0;
	say(g, NULL);
	if (reg_ended(to))
		reg_leave(g);
	else
		reg_due(g, mono_ms());
}

void
reg_jump(struct reg *g, enum reg_state to)
{
	move(g, to, NULL);
}

void
reg_next(struct reg *g)
{
	move(g, g->state == REG_CLEARING ? g->then : steps[g->state].next,
	    NULL);
}

void
reg_again(struct reg *g)
{
	g->fails = 0;
	say(g, NULL);
	reg_due(g, mono_ms());
}

void
reg_busy(struct reg *g, const char *sentence)
{
	say(g, sentence);
	reg_due(g, mono_ms() + SOON_MS);
}

/* What was put is taken away first. */
static void
end(struct reg *g, enum reg_state to, const char *cause)
{
	bool any = g->upload_id != NULL;

	/* What is on the wire may still arrive. */
	if (g->state == REG_SENDING && g->at < g->files.n)
		g->files.v[g->at].sent = true;
	for (int k = 0; k < g->files.n; k++)
		any = any || g->files.v[k].sent;
	g->then = to;
	move(g, any ? REG_CLEARING : to, cause);
}

void
reg_fail(struct reg *g, const char *sentence)
{
	char *text = rk_text_clean(xstrdup(sentence));

	reg_set(&g->row.error, text);
	log_warn("registration=%s model=%s failed: %s", g->row.id,
	    g->row.model, text);
	end(g, REG_FAILED, NULL);
	free(text);
}

static void
wait_and_again(struct reg *g, const char *sentence)
{
	int64_t wait = g->r->retry_ms;

	for (int i = 0; i < g->fails && wait < g->r->retry_max_ms; i++)
		wait *= 2;
	if (g->fails++ == 0)
		log_warn("registration=%s model=%s waits (%s): %s; tried again "
		    "until it works", g->row.id, g->row.model,
		    reg_state_words[g->state], sentence);
	say(g, sentence);
	reg_due(g, mono_ms() + RK_MIN(wait, g->r->retry_max_ms));
}

void
reg_trouble(struct reg *g, enum rk_err rc, const char *sentence)
{
	const bool entered = g->state >= REG_DESCRIBING &&
	    g->state <= REG_NAMING;

	switch (rc) {
	case RK_EINVAL:
	case RK_ENOENT:
	case RK_EROFS:
		if (!entered) {
			reg_fail(g, sentence);
			return;
		}
		break;
	case RK_ECORRUPT:
		/* A log with a gap is mended by people. */
		if (!entered && g->state != REG_ENTERING) {
			reg_fail(g, sentence);
			return;
		}
		break;
	case RK_EBUSY:
	case RK_ELIMIT:
		reg_busy(g, sentence);
		return;
	default:
		break;
	}
	wait_and_again(g, sentence);
}

/* A denial is for a person to mend, and it may be mended. */
void
reg_store_trouble(struct reg *g, const struct remote_result *r)
{
	char *text = xasprintf("%s%s", r->error[0] != '\0' ? r->error :
	    remote_end_words[r->end], r->end == REMOTE_DENIED ? "; mend the "
	    "keys or the rights, and it goes on" : "");

	wait_and_again(g, text);
	free(text);
}

void
reg_cancel(struct reg *g)
{
	staging_drop(&g->staging);
	remote_cancel(&g->op);
	if (g->asked) {
		sup_check_forget(g->r->m->sup, g);
		models_forget(g->r->m, g);
		g->asked = false;
	}
	end(g, REG_CANCELLED, "a person");
}

/* --- looking, fetching, staging ------------------------------------------- */

/* The entry of this id: another machine's, or our own of before. */
static bool
take_entry(struct reg *g)
{
	struct model_entry_row e;
	json_t *v = NULL;

	if (store_entry_by_id(g->r->m->store, g->row.model, g->row.id, &e) !=
	    RK_OK)
		return false;
	if (rkj_parse_json(e.entry, strlen(e.entry), &v, NULL) == RK_OK) {
		json_decref(g->record);
		g->record = json_incref(json_object_get(v, "record"));
	}
	g->row.version = e.version;
	reg_set(&g->row.error, NULL);
	json_decref(v);
	store_entry_fini(&e);
	return g->row.version > 0;
}

static void
looked(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	(void)said;
	g->asked = false;
	if (rc != RK_OK && rc != RK_ENOENT)
		reg_trouble(g, RK_ETIMEDOUT, rk_why_first(why));
	else if (take_entry(g))
		reg_jump(g, REG_DESCRIBING);
	else
		reg_next(g);
}

static void
look_step(struct reg *g)
{
	g->asked = true;
	models_look(g->r->m, g->row.model, 0, looked, g);
}

static void
fetch_step(struct reg *g)
{
	struct rk_why why = { 0 };
	enum rk_err rc = RK_EINVAL;

	if (g->dir != NULL)
		rc = of_job_fetch(g, &why);
	else if (g->request.address != NULL)
		rc = of_file_fetch(g, &why);
	else                    /* what by_job.c found, unless it was there */
		(void)rk_refuse(&why, "%s", g->row.error);
	if (rc == RK_OK)
		reg_next(g);
	else
		reg_trouble(g, rc, why.n > 0 ? rk_why_first(&why) :
		    rk_strerror(rc));
	rk_why_fini(&why);
}

static void
staged(void *ctx, enum rk_err rc, const struct staged *s, const char *digest,
    const char *why)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->staging = NULL;
	if (rc == RK_ECORRUPT) {
		char *text = xasprintf("it is damaged: %s", why);
		reg_fail(g, text);
		free(text);
		return;
	}
	if (rc != RK_OK) {
		reg_trouble(g, rc, why);
		return;
	}
	for (int k = 0; k < g->files.n; k++) {
		struct staged_file *to = &g->files.v[k];
		const struct staged_file *from = &s->v[k];
		free(to->from);
		to->from = NULL;
		to->size = from->size;
		memcpy(to->sha256, from->sha256, sizeof(to->sha256));
		memcpy(to->xxh128, from->xxh128, sizeof(to->xxh128));
	}
	snprintf(g->digest, sizeof(g->digest), "%s", digest);
	ship_brought(g->r->m->ship, g->row.id);
	of_job_staged(g);
	reg_next(g);
}

static void
stage_step(struct reg *g)
{
	char *folder = reg_folder(g);

	g->staging = staging_start(g->r->m->loop, folder, &g->files,
	    g->r->reserve, staged, g);
	free(folder);
}

/* What was made in the folder is made again from where files come. */
void
reg_unstage(struct reg *g)
{
	int n = 0;

	for (int k = 0; k < g->files.n; k++) {
		if (strcmp(g->files.v[k].name, TENSORS_FILE) == 0)
			free(g->files.v[k].from);
		else
			g->files.v[n++] = g->files.v[k];
	}
	g->files.n = n;
	if (g->dir == NULL && n == 1)
		snprintf(g->files.v[0].name, sizeof(g->files.v[0].name), "%s",
		    STAGED_MODEL);
}

/* --- entering, naming ----------------------------------------------------- */

static enum rk_err
decide_version(void *ctx, json_t *entry, struct rk_why *why)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	(void)why;
	json_object_set_new(entry, "event", json_string("version"));
	json_object_set_new(entry, "record", json_deep_copy(g->record));
	return RK_OK;
}

static void
entered(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->asked = false;
	if (rc != RK_OK) {
		reg_trouble(g, rc, rk_why_first(why));
		return;
	}
	json_decref(g->record);
	g->record = json_deep_copy(json_object_get(said, "record"));
	g->row.version = json_integer_value(json_object_get(said, "version"));
	reg_next(g);
}

static void
enter_step(struct reg *g)
{
	g->asked = true;
	models_append(g->r->m, g->row.model, g->row.id, g->request.author,
	    decide_version, entered, g);
}

static void
named(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	(void)said;
	g->asked = false;
	/* There is a version, whatever becomes of its alias. */
	if (rc == RK_EINVAL || rc == RK_ENOENT || rc == RK_ECONFLICT) {
		char *text = xasprintf("its alias %s was not moved: %s",
		    g->request.alias, rk_why_first(why));
		reg_set(&g->row.error, text);
		free(text);
	} else if (rc != RK_OK) {
		reg_trouble(g, rc, rk_why_first(why));
		return;
	}
	reg_next(g);
}

static void
name_step(struct reg *g)
{
	const struct models_move to = { .version = g->row.version };
	char id[RK_ID + 8];
	const struct models_by by = { .id = id, .author = g->request.author };

	if (g->request.alias == NULL) {
		reg_next(g);
		return;
	}
	snprintf(id, sizeof(id), "%s-alias", g->row.id);
	g->asked = true;
	models_move(g->r->m, g->row.model, g->request.alias, &to, &by, named,
	    g);
}

void
reg_begin(struct reg *g)
{
	steps[g->state].begin(g);
}
