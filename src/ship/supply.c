/*
 * What sup asks: is all here that a job needs; may it have these addresses; is
 * its last checkpoint safe.  Answered at once, from what is known.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* The first word on why counts most: never, no room, not yet. */
static enum rk_err
worse(enum rk_err a, enum rk_err b)
{
	static const enum rk_err order[] = {
		RK_EINVAL, RK_ENOSPC, RK_EROFS, RK_EIO, RK_EBUSY
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(order); i++) {
		if (a == order[i] || b == order[i])
			return order[i];
	}
	return a != RK_OK ? a : b;
}

static void
put_path(struct ship *h, json_t *files, const char *uri, const char *hex)
{
	char *path = cache_path(h, hex);

	json_object_set_new(files, uri, json_string(path));
	free(path);
}

static enum rk_err
supply_address(struct ship *h, const struct job_row *r,
    const struct spec_address *at, bool own_checkpoint, json_t *files,
    struct rk_why *why)
{
	char hex[RK_SHA256_HEX];
	struct rk_why own = {0};
	const bool has_run = r->attempt > 0;
	/* Of a job that goes on it is for the trainer to say what it means that
	 * what it learns from is gone. */
	const bool optional = at->of == SPEC_ADDRESS_STATE ||
	    (own_checkpoint && at->of != SPEC_ADDRESS_DATA);
	/* A job that goes on does so with the bytes it had.  One that begins,
	 * perhaps not for the first time, gets those that are there now. */
	const bool goes_on = own_checkpoint || (!sup_trains(r) &&
	    strcmp(r->resume_from, "none") != 0);
	struct fetch_ask a = { .uri = at->uri, .job = r->id,
		.attempt = r->attempt, .known = has_run && goes_on,
		.had = has_run, .patient = has_run,
		.model = at->of == SPEC_ADDRESS_MODEL,
		.optional = optional };
	enum rk_err rc = fetch_want(h, &a, hex, &own);

	if (rc == RK_OK)
		put_path(h, files, at->uri, hex);
	if (rc == RK_ENOENT && optional) {
		json_object_set_new(files, at->uri, json_null());
		rk_why_fini(&own);
		return RK_OK;
	}
	if (rc == RK_ECORRUPT || rc == RK_ENOENT)
		rc = RK_EINVAL;
	for (size_t i = 0; i < own.n; i++) {
		if (rc == RK_EINVAL)
			rk_refuse_at(why, at->field, "%s", own.v[i].message);
		else
			rk_refuse(why, "%s", own.v[i].message);
	}
	rk_why_fini(&own);
	return rc;
}

/* --- a model of another job ---------------------------------------------- */

/* The model's file of a row: by its digest, from the cache.  again: as of an
 * address. */
static enum rk_err
supply_row_model(struct ship *h, const struct job_row *r,
    const struct remote_row *row, bool again, json_t *files, const char *uri,
    struct rk_why *why)
{
	/* In shards: by the folder's address. */
	struct fetch_ask a = { .uri = row->uri, .job = r->id,
		.attempt = r->attempt, .patient = true,
		.model = true, .optional = again };
	char hex[RK_SHA256_HEX];
	struct rfiles f;
	int model = 0;

	rfiles_parse(&f, row->files);
	while (model < f.n && strcmp(f.v[model].name, CKPT_MODEL_FILE) != 0)
		model++;
	if (model < f.n) {
		a.uri = f.v[model].uri;
		a.sha256 = f.v[model].sha256;
		a.size = f.v[model].size;
		a.model = false;
	}
	enum rk_err rc = fetch_want(h, &a, hex, why);
	if (rc == RK_OK)
		put_path(h, files, uri, hex);
	rfiles_fini(&f);
	if (rc == RK_ENOENT && again) {
		json_object_set_new(files, uri, json_null());
		return RK_OK;
	}
	return rc == RK_ECORRUPT || rc == RK_ENOENT ? RK_EINVAL : rc;
}

/* Some file of a row; where the bucket has it no more, null. */
static enum rk_err
supply_row_file(struct ship *h, struct fetch_ask *a, json_t *files,
    const char *uri, struct rk_why *why)
{
	char hex[RK_SHA256_HEX];
	const enum rk_err rc = a->uri != NULL ? fetch_want(h, a, hex, why) :
	    RK_ENOENT;

	if (rc == RK_OK)
		put_path(h, files, uri, hex);
	if (rc != RK_ENOENT)
		return rc == RK_ECORRUPT ? RK_EINVAL : rc;
	json_object_set_new(files, uri, json_null());
	return RK_OK;
}

/* The state of its optimizer, for a job that takes it along, and the record,
 * which has the updates. */
static enum rk_err
supply_row_state(struct ship *h, const struct job_row *r,
    const struct remote_row *row, const struct spec_warm_start *w,
    json_t *files, struct rk_why *why)
{
	struct fetch_ask a = { .job = r->id, .attempt = r->attempt,
		.patient = true, .optional = true };
	char *record = xasprintf("%scheckpoint.json", row->uri);
	char digest[RK_SHA256_HEX];
	struct rfiles f;

	rk_sha256_of(row->info, strlen(row->info), digest);
	a.uri = record;
	a.sha256 = digest;
	a.size = strlen(row->info);
	enum rk_err rc = supply_row_file(h, &a, files, w->record, why);
	rfiles_parse(&f, row->files);
	a.uri = NULL;
	for (int k = 0; k < f.n; k++) {
		if (strcmp(f.v[k].name, CKPT_OPTIM_FILE) != 0)
			continue;
		a.uri = f.v[k].uri;
		a.sha256 = f.v[k].sha256;
		a.size = f.v[k].size;
	}
	rc = worse(supply_row_file(h, &a, files, w->beside, why), rc);
	rfiles_fini(&f);
	free(record);
	return rc;
}

/* job://ID/SELECTOR of a job whose checkpoint only a bucket has. */
static enum rk_err
supply_job(struct ship *h, const struct job_row *r, const struct spec *s,
    bool own_checkpoint, json_t *files, struct rk_why *why)
{
	const char *uri = s->model.checkpoint;
	const struct spec_warm_start *w = &s->training.warm_start;
	struct job_row other;
	struct remote_row row;
	struct rk_why own = {0};
	struct spec *spec = NULL;
	json_t *tree = NULL;
	struct rk_uri u;
	enum rk_err rc = RK_OK;

	if (rk_uri_parse(&u, uri, NULL) != RK_OK)
		return RK_OK;
	if (u.kind == RK_URI_JOB && rk_id_ok(u.host) &&
	    store_job_get(h->store, u.host, &other) == RK_OK) {
		const char *settled = sup_pinned(h->sup, r->id, other.id);
		if (rkj_parse_json(other.spec, strlen(other.spec), &tree,
		    NULL) == RK_OK && spec_parse(tree, &spec, NULL) == RK_OK &&
		    ship_allows(h, other.said_here, spec, true, NULL) ==
		    SHIP_ALLOWED && choose(h, other.id, spec, settled != NULL ?
		    settled : u.path, &row) == CHOSE_REMOTE) {
			rc = sup_pin(h->sup, r->id, other.id, row.dir);
			if (rc == RK_ENOENT)    /* it is not here, but there */
				rc = RK_OK;
			if (rc == RK_OK)
				rc = supply_row_model(h, r, &row,
				    own_checkpoint, files, uri, &own);
			if (rc == RK_OK && w->record != NULL && !own_checkpoint)
				rc = supply_row_state(h, r, &row, w, files,
				    &own);
			store_remote_fini(&row);
		}
		spec_free(spec);
		json_decref(tree);
		store_job_fini(&other);
	}
	rk_uri_fini(&u);
	for (size_t i = 0; i < own.n; i++)
		rk_refuse_at(why, rc == RK_EINVAL ? "model.checkpoint" : "",
		    "%s", own.v[i].message);
	rk_why_fini(&own);
	return rc;
}

/* --- supply -------------------------------------------------------------- */

/* The model does not matter any more once there is a checkpoint to go on from:
 * where it is known, or null. */
static void
supply_known(struct ship *h, const struct job_row *r, const char *uri,
    json_t *files)
{
	char hex[RK_SHA256_HEX];

	if (fetch_known(h, uri, r->id, hex))
		put_path(h, files, uri, hex);
	else
		json_object_set_new(files, uri, json_null());
}

/* What an attempt that goes on reads again: the ancestor of training.distill,
 * and what its classes are called. */
static bool
is_read_again(const struct spec *spec, enum spec_address_of of)
{
	return spec_distills(spec) && (of == SPEC_ADDRESS_MODEL ||
	    of == SPEC_ADDRESS_NAMES);
}

/* A model of this machine that is fetched all the same, or of another job. */
static enum rk_err
supply_other(struct ship *h, const struct job_row *r, const struct spec *spec,
    bool own, json_t *files, struct rk_why *why)
{
	struct spec_address at = { .field = "model.checkpoint",
		.of = SPEC_ADDRESS_MODEL, .uri = spec->model.checkpoint };

	if (at.uri == NULL || spec_is_address(at.uri))
		return RK_OK;
	const bool fetched = h->fetch_files && starts_with(at.uri, "file://");
	const bool again = own && is_read_again(spec, at.of);
	if (own && fetched && !again)
		supply_known(h, r, at.uri, files);
	if (own && !again)
		return RK_OK;
	return fetched ? supply_address(h, r, &at, own, files, why) :
	    supply_job(h, r, spec, own, files, why);
}

static enum rk_err
supply(void *ctx, const struct job_row *r, const struct spec *spec,
    json_t *files, struct rk_why *why)
{
	struct ship *h = ctx;
	struct spec_address v[SPEC_ADDRESSES];
	enum rk_err model = RK_OK;
	bool own;

	must_be(h, SHIP_TAG);
	enum rk_err rc = pull_step(h, r, spec, &own, why);
	rc = worse(supply_other(h, r, spec, own, files, why), rc);
	const size_t n = spec_addresses(spec, v);
	for (size_t i = 0; i < n; i++) {
		enum rk_err got = RK_OK;
		/* The state beside the model is asked for when the model is
		 * here. */
		if (own && v[i].of != SPEC_ADDRESS_DATA &&
		    !is_read_again(spec, v[i].of))
			supply_known(h, r, v[i].uri, files);
		else if (v[i].of != SPEC_ADDRESS_STATE || model == RK_OK)
			got = supply_address(h, r, &v[i], own, files,
			    why);
		if (v[i].of == SPEC_ADDRESS_MODEL)
			model = got;
		rc = worse(got, rc);
	}
	return rc;
}

enum rk_err
supply_may_fetch(struct ship *h, const char *uri, struct rk_why *why)
{
	if (!spec_is_version(uri))
		return remote_check(h->remote, uri, why);
	return h->registry.version != NULL ? RK_OK : rk_refuse(why, "is %s, "
	    "and this daemon has no registry of models", uri);
}

/* For nobody's job. */
static enum rk_err
fetch(void *ctx, const char *who, const char *address, char **path,
    struct rk_why *why)
{
	struct ship *h = ctx;
	const struct fetch_ask a = { .uri = address, .job = who,
		.model = true };
	char hex[RK_SHA256_HEX];
	struct rk_why own = {0};

	must_be(h, SHIP_TAG);
	enum rk_err rc = supply_may_fetch(h, address, &own);
	if (rc == RK_OK)
		rc = fetch_want(h, &a, hex, &own);
	if (rc == RK_OK)
		*path = cache_path(h, hex);
	if (rc == RK_ECORRUPT || rc == RK_ENOENT)
		rc = RK_EINVAL;
	if (own.n > 0)
		rk_refuse_at(why, rc == RK_EINVAL ? "address" : "", "%s",
		    rk_why_first(&own));
	rk_why_fini(&own);
	return rc;
}

static void
check_one(struct ship *h, const char *field, const char *uri,
    struct rk_why *why)
{
	struct rk_why own = {0};

	if (supply_may_fetch(h, uri, &own) != RK_OK)
		rk_refuse_at(why, field, "%s", rk_why_first(&own));
	rk_why_fini(&own);
}

/* A folder of this machine: could anything be written there? */
static void
check_folder(const char *field, const char *uri, struct rk_why *why)
{
	struct rk_uri u;
	char *reason = NULL;

	if (rk_uri_parse(&u, uri, NULL) != RK_OK)
		return;
	if (u.kind == RK_URI_FILE)
		reason = rk_folder_fault(u.path);
	if (reason != NULL)
		rk_refuse_at(why, field, "is \"%s\": %s", uri, reason);
	free(reason);
	rk_uri_fini(&u);
}

static enum rk_err
check(void *ctx, const struct spec *spec, struct rk_why *why)
{
	struct ship *h = ctx;
	struct spec_address v[SPEC_ADDRESSES];
	size_t n = spec_addresses(spec, v), before = why->n + why->more;

	must_be(h, SHIP_TAG);
	for (size_t i = 0; i < n; i++)
		check_one(h, v[i].field, v[i].uri, why);
	if (spec->checkpoint.push != NULL && spec->checkpoint.push[0] != '\0') {
		check_one(h, "checkpoint.push", spec->checkpoint.push, why);
		check_folder("checkpoint.push", spec->checkpoint.push, why);
	}
	allow_check(h, spec, why);
	return why->n + why->more > before ? RK_EINVAL : RK_OK;
}

static bool
silent(void *ctx, const char *who, int64_t since_ms, struct rk_why *why)
{
	struct ship *h = ctx;

	must_be(h, SHIP_TAG);
	return fetch_silent(h, who, since_ms, why);
}

static const char *
allowed(void *ctx, const struct job_row *r, const struct spec *spec,
    struct rk_why *why)
{
	const enum ship_allow a = ship_allows(ctx, r->said_here, spec, false,
	    why);

	return a == SHIP_ALLOWED ? NULL : ship_allow_words[a];
}

/* What a selector means of the checkpoints that are there; out may be NULL. */
static bool
select_there(void *ctx, const char *job, const char *selector,
    struct ckpt_info *out)
{
	struct ship *h = ctx;
	struct jobinfo j;
	struct ckpt_info *v;
	struct rows rows;
	size_t *at, n;

	must_be(h, SHIP_TAG);
	if (!job_look(h, job, &j))
		return false;
	rows_load(h, job, RS_THERE, &rows);
	rows_infos(&rows, &v, &at, &n);
	int k = ckpt_info_select(v, n, selector, j.metric, j.mode_max, NULL);
	if (k >= 0 && out != NULL) {
		*out = v[k];
		v[k] = (struct ckpt_info){ 0 };
	}
	if (k < 0)
		reappear_look(h, job, j.prefix);
	free(at);
	ckpt_list_free(v, n);
	rows_fini(&rows);
	jobinfo_fini(&j);
	return k >= 0;
}

static bool
has(void *ctx, const char *job, const char *selector)
{
	return select_there(ctx, job, selector, NULL);
}

struct sought {
	const char *dir, *base;
	bool found;
};

static bool
is_sought(void *ctx, const struct remote_row *r)
{
	struct sought *s = ctx;

	s->found = strcmp(r->dir, s->dir) == 0 && starts_with(r->uri, s->base);
	return !s->found;
}

static bool
shipped(void *ctx, const struct job_row *r, const struct spec *spec,
    const char *checkpoint)
{
	struct ship *h = ctx;

	must_be(h, SHIP_TAG);
	char *prefix = ship_prefix(h, spec);
	char *base = job_base(prefix, r->id);
	struct sought s = { checkpoint, base, false };

	/* Without a prefix it is nowhere. */
	if (prefix[0] != '\0' && store_remotes(h->store, r->id,
	    RS_BIT(RS_VERIFIED), is_sought, &s) != RK_OK)
		s.found = false;
	if (!s.found)
		scan_later(h, r->id);
	free(prefix);
	free(base);
	return s.found;
}

static void
gone(void *ctx, const char *job)
{
	struct ship *h = ctx;
	struct push *p, *next;
	struct rows rows;

	must_be(h, SHIP_TAG);
	for (p = h->pushes; p != NULL; p = next) {
		next = p->next;
		if (strcmp(p->row.job, job) == 0)
			push_free(p);
	}
	naming_gone(h, job);
	pull_gone(h, job);
	mend_gone(h, job);
	reappear_gone(h, job);
	fetch_unwait(h, job);
	cache_unuse(h, job);
	rows_load(h, job, 0, &rows);
	for (size_t i = 0; i < rows.n; i++) {
		if (rows.v[i].state == RS_QUEUED)
			(void)row_drop(h, &rows.v[i]);
		else if (rows.v[i].state != RS_DELETING)
			(void)delete_row(h, &rows.v[i], "its job was deleted");
	}
	rows_fini(&rows);
	queue_kick(h);
}

static char *
where(void *ctx, const struct spec *spec)
{
	return ship_prefix(ctx, spec);
}

void
supply_set(struct ship *h)
{
	struct sup_supplier p = { .ctx = h, .supply = supply, .fetch = fetch,
		.silent = silent, .check = check,
		.has = has, .info = select_there,
		.shipped = shipped, .gone = gone,
		.results_gone = results_gone, .where = where,
		.allowed = allowed };

	sup_supplier_set(h->sup, &p);
}
