/*
 * training.register: a job that has succeeded becomes a version by itself.
 *
 * The id of its registration is made of the job's id, the model's name, what
 * decides the weights (spec_digest()) and the step at which it succeeded: the
 * same on each machine that finds the job succeeded, whichever of them entered
 * the version, and another one where the job was taken further.  A job without
 * such a registration is looked for when a daemon begins, so that a kill
 * between both loses nothing.
 *
 * What cannot be registered is an event of the job, and a registration to be
 * read; it is no failure of the job.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "register.h"

#define LOOK_MS 500
#define MARK    "\"register\":{"  /* in the normal form of those that do */
#define WARM    "\"checkpoint\":\"" /* ... and that do not begin cold */

static void
id_of(const struct job_row *row, const struct spec *spec, char id[RK_ID])
{
	static const char base32[] = "0123456789abcdefghjkmnpqrstvwxyz";
	char hex[RK_SHA256_HEX], weights[RK_SHA256_HEX];
	json_t *progress = NULL;

	if (rkj_parse_json(row->progress, strlen(row->progress), &progress,
	    NULL) != RK_OK)
		progress = NULL;
	spec_digest(spec, weights);
	char *text = xasprintf("register %s %s %s %lld", row->id,
	    spec->training.reg.name, weights, (long long)json_integer_value(
	    json_object_get(progress, "step")));
	rk_sha256_of(text, strlen(text), hex);
	/* The time of the job's id; 16 letters of 5 bits. */
	memcpy(id, row->id, 10);
	for (int k = 0; k < 16; k++) {
		unsigned v = 0;
		(void)sscanf(hex + 2 * k, "%2x", &v);
		id[10 + k] = base32[v & 31];
	}
	id[26] = '\0';
	free(text);
	json_decref(progress);
}

static void
copy_text(char **to, const char *from)
{
	free(*to);
	*to = from != NULL && from[0] != '\0' ? xstrdup(from) : NULL;
}

static struct reg *
reg_of(struct registrar *r, const struct job_row *row, const struct spec *spec,
    const char *id)
{
	struct reg *g = xcalloc(1, sizeof(*g));

	g->tag = REG_TAG;
	g->r = r;
	g->automatic = true;
	snprintf(g->row.id, sizeof(g->row.id), "%s", id);
	g->row.model = xstrdup(spec->training.reg.name);
	g->request.optimizer = true;
	g->request.job = xstrdup(row->id);
	g->request.labels = json_object();
	copy_text(&g->request.alias, spec->training.reg.alias);
	copy_text(&g->request.notes, spec->training.reg.notes);
	copy_text(&g->request.author, json_string_value(json_object_get(
	    spec->metadata, "author")));
	return g;
}

/* Is the condition of the job met by what the checkpoint has?  Else row.error
 * says both numbers. */
static bool
is_met(struct reg *g, const struct spec_register *reg)
{
	const json_t *x = json_object_get(json_object_get(g->record,
	    "metrics"), reg->cond.metric != NULL ? reg->cond.metric : "");

	if (reg->cond.metric == NULL)
		return true;
	if (json_is_number(x) && spec_condition_holds(&reg->cond,
	    json_number_value(x)))
		return true;
	free(g->row.error);
	g->row.error = json_is_number(x) ? xasprintf("%s of %s is %.6g, and "
	    "training.register.if wants %s %s %.6g", reg->cond.metric, g->dir,
	    json_number_value(x), reg->cond.metric,
	    spec_than_words[reg->cond.than], reg->cond.value) :
	    xasprintf("%s has no %s, and training.register.if wants it %s "
	    "%.6g", g->dir, reg->cond.metric, spec_than_words[reg->cond.than],
	    reg->cond.value);
	return false;
}

/* The whole of it, of a job that has succeeded. */
static void
begin(struct registrar *r, const struct job_row *row, const struct spec *spec)
{
	struct registration_row old;
	enum reg_state state = REG_LOOKING;
	struct rk_why why = { 0 };
	char id[RK_ID];

	id_of(row, spec, id);
	if (store_registration_get(r->m->store, id, &old) == RK_OK) {
		store_registration_fini(&old);
		return;
	}
	struct reg *g = reg_of(r, row, spec, id);
	const enum rk_err rc = of_job(r, g, &why);
	if (rc != RK_OK) {
		/* Another machine may have entered it all the same. */
		g->row.error = why.n > 0 ? rk_why_text(&why) :
		    xstrdup(rk_strerror(rc));
		free(g->dir);
		g->dir = NULL;
	} else if (!is_met(g, &spec->training.reg)) {
		state = REG_UNMET;
	}
	if (g->row.job == NULL)
		g->row.job = xstrdup(row->id);
	if (reg_add(r, g, state, NULL) != RK_OK)
		reg_free(g);            /* looked for at the next start */
	rk_why_fini(&why);
}

void
by_job_ended(struct reg *g)
{
	const char *alias = g->request.alias;
	struct strbuf b = { 0 };

	json_t *data = json_pack("{s:s, s:s}", "registration", g->row.id,
	    "model", g->row.model);
	if (g->state == REG_REGISTERED) {
		json_object_set_new(data, "version", json_integer(
		    g->row.version));
		sb_addf(&b, "%s is version %lld of model %s", g->dir != NULL ?
		    g->dir : "its checkpoint", (long long)g->row.version,
		    g->row.model);
		if (g->row.error[0] != '\0')
			sb_addf(&b, "; %s", g->row.error);
		else if (alias != NULL)
			sb_addf(&b, "; %s is at it", alias);
	} else {
		sb_addf(&b, "it is not registered as a version of model %s: "
		    "%s", g->row.model, g->state == REG_CANCELLED ? "a person "
		    "has given it up" : g->row.error);
	}
	sup_event(g->r->m->sup, g->row.job, g->state == REG_REGISTERED ?
	    "registered" : "not_registered", sb_str(&b), data);
	json_decref(data);
	sb_fini(&b);
}

/* --- which jobs ----------------------------------------------------------- */

static void
look_at(struct registrar *r, const char *id)
{
	struct spec *spec = NULL;
	json_t *tree = NULL;
	struct job_row row;

	if (store_job_get(r->m->store, id, &row) != RK_OK)
		return;
	if (row.state == JOB_RUNNING && strstr(row.spec, WARM) != NULL)
		kept_look(r, &row);
	if (row.state == JOB_SUCCEEDED && strstr(row.spec, MARK) != NULL &&
	    rkj_parse_json(row.spec, strlen(row.spec), &tree, NULL) == RK_OK &&
	    spec_parse(tree, &spec, NULL) == RK_OK &&
	    spec->kind == SPEC_JOB_TRAIN && spec->training.reg.name != NULL)
		begin(r, &row, spec);
	json_decref(tree);
	spec_free(spec);
	store_job_fini(&row);
}

static void
add_dirty(struct registrar *r, const char *id)
{
	for (size_t i = 0; i < r->ndirty; i++)
		if (strcmp(r->dirty[i], id) == 0)
			return;
	r->dirty = xrealloc(r->dirty, (r->ndirty + 1) * sizeof(*r->dirty));
	snprintf(r->dirty[r->ndirty++], RK_ID, "%s", id);
}

static void
heard(void *ctx, const char *job, char what)
{
	struct registrar *r = ctx;

	must_be(r, REGISTRAR_TAG);
	if (what != 's' || job[0] == '\0')
		return;
	add_dirty(r, job);
	if (r->scanned)
		loop_timer_at(r->job_timer, mono_ms());
}

static bool
see_succeeded(void *ctx, const struct job_row *row)
{
	if (strstr(row->spec, MARK) != NULL)
		add_dirty(ctx, row->id);
	return true;
}

/* Once the jobs are ours: those that ended while nobody looked, too. */
static void
job_timer(void *ctx)
{
	struct registrar *r = ctx;
	const struct store_filter f = { .states = 1u << JOB_SUCCEEDED };
	char (*ids)[RK_ID] = NULL;
	size_t n;

	must_be(r, REGISTRAR_TAG);
	if (sup_held(r->m->sup)) {
		loop_timer_at(r->job_timer, mono_ms() + LOOK_MS);
		return;
	}
	if (!r->scanned && store_jobs(r->m->store, &f, NULL, INT32_MAX,
	    see_succeeded, r) != RK_OK)
		log_error("models: the jobs that have succeeded cannot be "
		    "read");
	r->scanned = true;
	ids = r->dirty;
	n = r->ndirty;
	r->dirty = NULL;
	r->ndirty = 0;
	for (size_t i = 0; i < n; i++)
		look_at(r, ids[i]);
	free(ids);
}

void
by_job_open(struct registrar *r)
{
	r->job_timer = loop_timer_add(r->m->loop, job_timer, r);
	sup_listen(r->m->sup, heard, r);
	loop_timer_at(r->job_timer, mono_ms());
}

void
by_job_close(struct registrar *r)
{
	if (r->job_timer == NULL)
		return;
	sup_unlisten(r->m->sup, heard, r);
	loop_timer_del(&r->job_timer);
	free(r->dirty);
	r->dirty = NULL;
}
