/* A new job, and the job:// it may begin from. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

struct named {
	char id[RK_ID];
	int n;
};

static bool
see_named(void *ctx, const char *id, int64_t version)
{
	struct named *f = ctx;

	(void)version;
	memcpy(f->id, id, RK_ID);
	return ++f->n < 2;
}

/* A job by id, or by a name that only one has. */
static enum rk_err
find_job(struct sup *s, const char *who, struct job_row *r, struct rk_why *why)
{
	struct store_filter f = { .name = who };
	struct named found = { 0 };
	enum rk_err rc;

	if (rk_id_ok(who)) {
		rc = store_job_get(s->store, who, r);
		if (rc != RK_ENOENT)
			return rc;
	}
	rc = store_job_ids(s->store, &f, NULL, 2, see_named, &found);
	if (rc != RK_OK)
		return rc;
	if (found.n == 1)
		return store_job_get(s->store, found.id, r);
	return rk_refuse_at(why, "model.checkpoint", found.n == 0 ?
	    "there is no job \"%s\"" : "more than one job is named \"%s\": "
	    "use the id", who);
}

static enum rk_err
select_model(struct sup *s, const struct job_row *r, const char *selector,
    char **path, struct rk_why *why)
{
	struct spec *spec = NULL;
	struct ckpt *c = NULL;
	struct ckpt_info info = { 0 };
	struct rk_why own = { 0 };
	char *dir = xasprintf("%s/checkpoints", sup_job_dir(s, r->id));
	enum rk_err rc = row_spec(r, NULL, &spec, &own);

	if (rc == RK_OK && access(dir, F_OK) != 0)
		rc = rk_refuse(&own, known_any(r) ? "its checkpoints are gone" :
		    "it has no checkpoint yet");
	if (rc == RK_OK)
		rc = ckpt_open(&c, dir, false);
	if (rc == RK_OK)
		rc = ckpt_select(c, selector, spec->checkpoint.metric,
		    spec->checkpoint.mode_max, &info, &own);
	if (rc == RK_OK) {
		*path = xasprintf("%s/%s/%s", dir, info.dir,
		    ckpt_in_shards(&info) ? CKPT_INDEX_FILE :
		    CKPT_MODEL_FILE);
		ckpt_info_fini(&info);
	} else if (rc == RK_EINVAL || rc == RK_ENOENT || rc == RK_ECORRUPT) {
		rc = rk_refuse_at(why, "model.checkpoint", "job %s: %s",
		    r->id, rk_why_first(&own));
	}
	ckpt_close(&c);
	spec_free(spec);
	rk_why_fini(&own);
	free(dir);
	return rc;
}

enum rk_err
job_uri_resolve(struct sup *s, const char *uri, char **path, char **canonical,
    struct rk_why *why)
{
	struct rk_uri u;
	struct job_row r;
	char *file = NULL;
	enum rk_err rc = rk_uri_parse(&u, uri, why);

	if (rc != RK_OK)
		return rc;
	must(u.kind == RK_URI_JOB);
	rc = find_job(s, u.host, &r, why);
	if (rc == RK_OK) {
		struct rk_why own = { 0 };
		rc = select_model(s, &r, u.path, &file, &own);
		if (rc == RK_EINVAL && s->up.has != NULL &&
		    s->up.has(s->up.ctx, r.id, u.path))
			rc = RK_OK;
		if (rc != RK_OK && own.n > 0)
			rk_refuse_at(why, own.v[0].path, "%s",
			    own.v[0].message);
		rk_why_fini(&own);
		if (rc == RK_OK && canonical != NULL)
			*canonical = xasprintf("job://%s/%s", r.id, u.path);
		store_job_fini(&r);
	}
	if (rc == RK_OK && path != NULL) {
		*path = file;
		file = NULL;
	}
	free(file);
	rk_uri_fini(&u);
	return rc;
}

bool
job_says_memory(const struct job_row *r)
{
	json_t *tree = NULL;

	if (row_spec(r, &tree, NULL, NULL) != RK_OK)
		return true;
	const bool says = json_object_get(json_object_get(tree, "resources"),
	    "memory") != NULL;
	json_decref(tree);
	return says;
}

/* Threads and memory that this machine can never give. */
static void
check_size(const struct sup *s, const struct spec *spec, struct rk_why *why)
{
	char need[RK_HUMAN], have[RK_HUMAN];

	if (spec->threads > s->c.threads)
		rk_refuse_at(why, "resources.threads", "is %lld, and this "
		    "daemon has %lld to give", (long long)spec->threads,
		    (long long)s->c.threads);
	if (spec->memory > s->c.memory)
		rk_refuse_at(why, "resources.memory", "is %s, and this daemon "
		    "has %s to give", rk_human_bytes(need, spec->memory),
		    rk_human_bytes(have, s->c.memory));
}

void
check_remote(struct sup *s, const struct spec *spec, struct rk_why *why)
{
	struct spec_address v[SPEC_ADDRESSES];
	size_t n = spec_addresses(spec, v);
	char *where = sup_where(s, spec);

	for (size_t i = 0; s->up.supply == NULL && i < n; i++)
		rk_refuse_at(why, v[i].field, "is %s, which this daemon cannot "
		    "fetch: it was started without object stores", v[i].uri);
	if (s->up.shipped == NULL && spec->checkpoint.push != NULL)
		rk_refuse_at(why, "checkpoint.push", "is %s, and this daemon "
		    "sends nothing: it was started without object stores",
		    spec->checkpoint.push);
	else if (spec->checkpoint.require_remote && (where[0] == '\0' ||
	    s->up.shipped == NULL))
		rk_refuse_at(why, "checkpoint.require_remote", "wants "
		    "checkpoint.push or a mirror: there is nowhere that "
		    "checkpoints would be sent");
	free(where);
	if (s->up.check != NULL)
		(void)!s->up.check(s->up.ctx, spec, why);
}

enum rk_err
check_job(struct sup *s, const struct spec *spec, json_t *tree,
    struct rk_why *why)
{
	struct rk_why own = { 0 };
	struct rk_uri u;
	char *uri = NULL;
	enum rk_err rc = spec_check_files(spec, true, &own);

	if (rc != RK_OK && rc != RK_EINVAL) {
		rk_why_fini(&own);
		return rc;
	}
	check_size(s, spec, &own);
	check_remote(s, spec, &own);
	if (tree != NULL)               /* it is new */
		spec_check_vocabulary(spec, &own);
	if (spec->model.checkpoint != NULL &&
	    rk_uri_parse(&u, spec->model.checkpoint, NULL) == RK_OK) {
		if (u.kind == RK_URI_JOB)
			rc = job_uri_resolve(s, spec->model.checkpoint, NULL,
			    &uri, &own);
		rk_uri_fini(&u);
	}
	/* Names are nobody's claim: keep the id that this one stands for. */
	if (uri != NULL && tree != NULL)
		json_object_set_new(json_object_get(tree, "model"),
		    "checkpoint", json_string(uri));
	free(uri);
	for (size_t i = 0; i < own.n; i++)
		rk_refuse_at(why, own.v[i].path, "%s", own.v[i].message);
	if (own.n > 0)
		rc = RK_EINVAL;
	rk_why_fini(&own);
	return rc;
}

void
submit_row(struct job_row *r, const struct spec *spec, const json_t *tree)
{
	*r = (struct job_row){
		.name = xstrdup(spec->name),
		.priority = spec->priority,
		.state = spec->hold ? JOB_HELD : JOB_QUEUED,
		.reason = xstrdup(spec->hold ? "hold" : ""),
		.message = spec->hold ? xasprintf("waits for a person to start "
		    "it: rekindle start %s", spec->name) :
		    xstrdup("waits for its turn"),
		.spec = rkj_text(tree),
		.labels = rkj_text(spec->labels),
		.threads = spec->threads,
		.memory = spec->memory,
		.resume_from = xstrdup(spec->training.resume_from),
		.progress = xstrdup("{}"),
		.plan = xstrdup(""),
		.plan_summary = xstrdup(""),
		.known_dir = xstrdup(""),
		.accept = xstrdup(""),
		.said_here = xstrdup(""),
	};
}

enum rk_err
sup_submit(struct sup *s, const struct spec *spec, char id[RK_ID],
    struct store_note *note, struct rk_why *why)
{
	struct store_note n = note != NULL ? *note : (struct store_note){ 0 };
	char pin[RK_ID];
	struct job_row r;

	must_be(s, SUP_TAG);
	if (s->draining) {
		rk_refuse(why, "the daemon is draining (%s) and takes no new "
		    "work", s->drain_reason);
		return RK_EBUSY;
	}
	json_t *tree = spec_json(spec);
	if (spec->kind == SPEC_JOB_TRAIN && !spec->checkpoint.require_said)
		json_object_set_new(json_object_get(tree, "checkpoint"),
		    "require_remote", json_boolean(s->c.require_remote));
	enum rk_err rc = check_job(s, spec, tree, why);
	if (rc == RK_OK) {
		submit_row(&r, spec, tree);
		char *text = xasprintf("\"%s\" was submitted and %s", r.name,
		    spec->hold ? "is held" : "waits for its turn");
		n.kind = "submitted";
		n.message = text;
		/* Until it has an id of its own. */
		rk_id_new(r.id);
		memcpy(pin, r.id, RK_ID);
		pin_wait(s, &r);
		rc = store_job_add(s->store, &r, &n);
		free(text);
		if (rc == RK_OK) {
			memcpy(id, r.id, RK_ID);
			pin_wait(s, &r);
			log_info("job=%s %s (submitted)", r.id,
			    job_state_words[r.state]);
			sup_tell(s, r.id, 's');
			sup_tell(s, r.id, 'e');
			sched_kick(s);
		}
		pin_drop(s, pin);
		store_job_fini(&r);
	}
	json_decref(tree);
	return rc;
}
