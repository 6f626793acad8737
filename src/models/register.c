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
 * The row in the store says how far it is, so that a daemon that was killed goes
 * on there: what was done in a state is done again, and does no harm.  Trouble
 * that may pass (the store does not answer, or denies; the disk is full) is
 * waited for in the same state, for as long as it takes.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

#define ACTIVE_MAX 4            /* that do something at a time */
#define SOON_MS    200
#define LOST_MS    1000

const char *const reg_state_words[REG_STATES + 1] = {
	[REG_LOOKING] = "looking", [REG_FETCHING] = "fetching",
	[REG_STAGING] = "staging", [REG_READING] = "reading",
	[REG_SENDING] = "sending", [REG_ENTERING] = "entering",
	[REG_DESCRIBING] = "describing", [REG_NAMING] = "naming",
	[REG_CLEARING] = "clearing", [REG_REGISTERED] = "registered",
	[REG_UNMET] = "unmet", [REG_FAILED] = "failed",
	[REG_CANCELLED] = "cancelled", NULL
};

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

bool
reg_ended(enum reg_state s)
{
	return s >= REG_REGISTERED;
}

/* --- the row -------------------------------------------------------------- */

static void
set(char **field, const char *text)
{
	char *own = xstrdup(text != NULL ? text : "");

	free(*field);
	*field = own;
}

static char *
progress_text(const struct reg *g)
{
	json_t *o = json_object();

	/* Of one that has ended the version has the record. */
	if (!reg_ended(g->state) && g->record != NULL)
		json_object_set(o, "record", g->record);
	json_object_set_new(o, "files", staged_json(&g->files));
	json_object_set_new(o, "automatic", json_boolean(g->automatic));
	if (g->dir != NULL)
		json_object_set_new(o, "dir", json_string(g->dir));
	if (g->format != NULL)
		json_object_set_new(o, "format", json_string(g->format));
	json_object_set_new(o, "digest", json_string(g->digest));
	if (g->upload_id != NULL)
		json_object_set_new(o, "upload", json_pack("{s:s, s:s, s:I}",
		    "file", g->upload_file, "id", g->upload_id, "part_size",
		    (json_int_t)g->part_size));
	if (g->state == REG_CLEARING)
		json_object_set_new(o, "then", json_string(
		    reg_state_words[g->then]));
	char *text = rkj_text(o);
	json_decref(o);
	return text;
}

bool
reg_save(struct reg *g)
{
	set(&g->row.state, reg_state_words[g->state]);
	free(g->row.progress);
	g->row.progress = progress_text(g);
	g->row.updated_ms = now_ms();
	const enum rk_err rc = store_registration_put(g->r->m->store, &g->row);
	if (rc != RK_OK)
		log_error("registration=%s cannot be written: %s", g->row.id,
		    rk_strerror(rc));
	return rc == RK_OK;
}

static void
read_upload(struct reg *g, const json_t *v)
{
	const char *file = json_string_value(json_object_get(v, "file"));
	const char *id = json_string_value(json_object_get(v, "id"));

	if (file == NULL || id == NULL)
		return;
	g->upload_file = xstrdup(file);
	g->upload_id = xstrdup(id);
	g->part_size = (uint64_t)json_integer_value(json_object_get(v,
	    "part_size"));
}

static enum reg_state
state_of(const char *word)
{
	int k = 0;

	while (k < REG_STATES && (word == NULL || strcmp(word,
	    reg_state_words[k]) != 0))
		k++;
	return (enum reg_state)k;
}

/* A registration as its row has it; NULL, logged: that is none. */
static struct reg *
reg_of_row(struct registrar *r, const struct registration_row *row)
{
	json_t *request = NULL, *v = NULL;
	struct reg *g = xcalloc(1, sizeof(*g));
	struct rk_why why = { 0 };

	g->tag = REG_TAG;
	g->r = r;
	enum rk_err rc = rkj_parse_json(row->request, strlen(row->request),
	    &request, &why);
	if (rc == RK_OK)
		rc = request_read(request, &g->request, &why);
	if (rc == RK_OK)
		rc = rkj_parse_json(row->progress, strlen(row->progress), &v,
		    &why);
	if (rc == RK_OK)
		rc = staged_read(&g->files, json_object_get(v, "files"), &why);
	if (rc == RK_OK) {
		const char *s = json_string_value(json_object_get(v, "dir"));
		g->dir = s != NULL ? xstrdup(s) : NULL;
		s = json_string_value(json_object_get(v, "format"));
		g->format = s != NULL ? xstrdup(s) : NULL;
		s = json_string_value(json_object_get(v, "digest"));
		snprintf(g->digest, sizeof(g->digest), "%s", s != NULL ? s :
		    "");
		g->automatic = json_is_true(json_object_get(v, "automatic"));
		g->record = json_incref(json_object_get(v, "record"));
		read_upload(g, json_object_get(v, "upload"));
		g->then = state_of(json_string_value(json_object_get(v,
		    "then")));
	} else {
		log_error("registration=%s cannot be read: %s", row->id,
		    rk_why_first(&why));
		reg_free(g);
		g = NULL;
	}
	json_decref(request);
	json_decref(v);
	rk_why_fini(&why);
	return g;
}

void
reg_free(struct reg *g)
{
	store_registration_fini(&g->row);
	request_fini(&g->request);
	json_decref(g->record);
	json_decref(g->tensors);
	staged_fini(&g->files);
	free(g->dir);
	free(g->format);
	free(g->upload_file);
	free(g->upload_id);
	free(g->message);
	g->tag = 0;
	free(g);
}

char *
reg_folder(const struct reg *g)
{
	return xasprintf("%s/%s", g->r->folder, g->row.id);
}

struct reg *
reg_find(struct registrar *r, const char *id)
{
	struct reg *g = r->regs;

	while (g != NULL && strcmp(g->row.id, id) != 0)
		g = g->next;
	return g;
}

/* --- the mover ------------------------------------------------------------ */

static bool
is_busy(const struct reg *g)
{
	return g->staging != NULL || g->op != NULL || g->asked;
}

static void
due(struct reg *g, int64_t at_ms)
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
static void
leave(struct reg *g)
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
		due(g, mono_ms() + g->r->retry_ms);
		return;
	}
	log_info("registration=%s model=%s %s -> %s%s%s%s", g->row.id,
	    g->row.model, reg_state_words[from], reg_state_words[to],
	    cause != NULL ? " (" : "", cause != NULL ? cause : "",
	    cause != NULL ? ")" : "");
	g->fails = 0;
	say(g, NULL);
	if (reg_ended(to))
		leave(g);
	else
		due(g, mono_ms());
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
	due(g, mono_ms());
}

void
reg_busy(struct reg *g, const char *sentence)
{
	say(g, sentence);
	due(g, mono_ms() + SOON_MS);
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

	set(&g->row.error, text);
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
	due(g, mono_ms() + RK_MIN(wait, g->r->retry_max_ms));
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
	set(&g->row.error, NULL);
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
		set(&g->row.error, text);
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

/* --- whose turn it is ----------------------------------------------------- */

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
			steps[g->state].begin(g);
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
	set(&g->row.idem_key, idem != NULL ? idem->idem_key : NULL);
	set(&g->row.idem_digest, idem != NULL ? idem->idem_digest : NULL);
	json_decref(request);
	if (!reg_save(g))
		return RK_EIO;
	g->next = r->regs;
	r->regs = g;
	log_info("registration=%s model=%s begins (%s)", g->row.id,
	    g->row.model, reg_state_words[state]);
	if (reg_ended(state))
		leave(g);
	else
		due(g, mono_ms());
	return RK_OK;
}

/* --- after a start -------------------------------------------------------- */

static bool
take_row(void *ctx, const struct registration_row *row)
{
	struct registrar *r = ctx;
	struct reg *g = reg_of_row(r, row);

	if (g == NULL)
		return true;
	memcpy(g->row.id, row->id, sizeof(g->row.id));
	set(&g->row.model, row->model);
	set(&g->row.job, row->job);
	set(&g->row.request, row->request);
	set(&g->row.error, row->error);
	set(&g->row.idem_key, row->idem_key);
	set(&g->row.idem_digest, row->idem_digest);
	g->row.version = row->version;
	g->row.created_ms = row->created_ms;
	g->state = state_of(row->state);
	if (g->state > REG_FETCHING && g->state <= REG_READING) {
		reg_unstage(g);
		g->state = REG_FETCHING;
	}
	g->next = r->regs;
	r->regs = g;
	return true;
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
		    NULL, INT32_MAX, take_row, r);
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
