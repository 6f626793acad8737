/* Routes of jobs: pages, one job, and the verbs. */
#include "impl.h"

#include <string.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX     500

struct page {
	struct req *q;
	int limit, n;
	bool more;
	char last[RK_ID];
};

static bool
page_job(void *ctx, const struct job_row *r)
{
	struct page *p = ctx;

	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	job_write(&p->q->out, p->q->api, r, false);
	memcpy(p->last, r->id, sizeof(p->last));
	return true;
}

/* "team=qa" or "team" to key and value; the key is a new string. */
static char *
split_label(const char *s, const char **value)
{
	const char *eq = strchr(s, '=');

	*value = eq != NULL ? eq + 1 : NULL;
	return eq != NULL ? xstrndup(s, (size_t)(eq - s)) : xstrdup(s);
}

static bool
prefix_ok(const char *s)
{
	return strlen(s) <= RK_ID_LEN &&
	    strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz") == strlen(s);
}

/* Does the page lack jobs that are on their way here?  A directory's own jobs
 * are shown until it is known that they are another's. */
static bool
lacks_some(const struct api *a, const struct page *p)
{
	return api_taking_over(a) && (p->n == 0 ||
	    mirror_state(a->mirror) == MIRROR_TAKING);
}

void
h_jobs(struct req *q)
{
	struct query *u = &q->query;
	struct store_filter f = { 0 };
	struct page p = { .q = q };
	const char *label = query_get(u, "label");
	const char *cursor = query_get(u, "cursor");
	char *key = NULL;
	enum rk_err rc;

	f.states = query_states(u, "state");
	f.name = query_get(u, "name");
	f.id_prefix = query_get(u, "id_prefix");
	p.limit = (int)query_int(u, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	if (f.id_prefix != NULL && !prefix_ok(f.id_prefix))
		rk_refuse_at(&q->why, "id_prefix", "is no beginning of an id");
	if (cursor != NULL && !rk_id_ok(cursor))
		rk_refuse_at(&q->why, "cursor", "is not one that we gave");
	if (label != NULL && (*label == '\0' || *label == '='))
		rk_refuse_at(&q->why, "label", "want KEY or KEY=VALUE");
	if (req_refused(q, P_INVALID_QUERY))
		return;
	if (label != NULL)
		f.label_key = key = split_label(label, &f.label_value);
	sb_adds(&q->out, "{\"jobs\":[");
	rc = store_jobs(q->api->store, &f, cursor, p.limit + 1, page_job, &p);
	free(key);
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "page");
		return;
	}
	if (lacks_some(q->api, &p)) {
		reply_taking_over(q);
		return;
	}
	sb_adds(&q->out, "],\"next\":");
	put_or_null(&q->out, p.more ? p.last : NULL);
	sb_adds(&q->out, "}\n");
	reply_json(q, 200);
}

static void
submit(struct req *q, json_t *tree)
{
	struct store_note note = req_note(q);
	struct spec *spec = NULL;
	char id[RK_ID];
	enum rk_err rc;

	json_t *whole = json_incref(tree);
	rc = use_lay(q, &whole);
	if (rc == RK_OK)
		rc = spec_parse(whole, &spec, &q->why);
	json_decref(whole);
	if (rc == RK_OK)
		spec_begin_new(spec);
	if (rc == RK_OK && query_flag(&q->query, "dry_run")) {
		dry_run(q, spec);
		spec_free(spec);
		return;
	}
	if (rc == RK_OK)
		rc = sup_submit(q->api->sup, spec, id, &note, &q->why);
	spec_free(spec);
	if (rc == RK_EINVAL) {
		reply_faults(q, P_INVALID_JOB, &q->why);
		return;
	}
	if (rc != RK_OK) {
		reply_err(q, rc, &q->why, "job");
		return;
	}
	q->api->change++;
	reply_job(q, 201, id);
	if (q->status == 201)
		q->location = xasprintf("/v1/jobs/%s", id);
}

void
h_submit(struct req *q)
{
	(void)query_flag(&q->query, "dry_run");
	json_t *tree = req_refused(q, P_INVALID_QUERY) ? NULL :
	    req_tree(q, false);

	if (tree == NULL)
		return;
	if (q->len > SPEC_MAX_BYTES) {  /* api.body_limit may be more */
		json_decref(tree);
		reply_too_long(q, "the job", SPEC_MAX_BYTES);
		return;
	}
	settle_job(q, tree, submit);
}

void
h_job(struct req *q)
{
	struct job_row r;

	/* reply_job() reads the row again; this path is for what is refused. */
	if (rk_id_ok(q->arg[0]))
		reply_job(q, 200, q->arg[0]);
	else if (req_job(q, &r))
		store_job_fini(&r);
}

/* If-Match: `"7.12"` or `"7"` is version 7 (what follows the dot counts the
 * progress, which is nobody's edit); -1: none, or any.  False: refused. */
static bool
if_match(struct req *q, const struct job_row *r, int64_t *version)
{
	const char *m = req_header(q, "If-Match");

	*version = -1;
	if (m == NULL || strcmp(m, "*") == 0)
		return true;
	*version = *m == '"' ? strtoll(m + 1, NULL, 10) : -2;
	if (*version == r->version)
		return true;
	reply_problem(q, P_PRECONDITION, "the job is at version %lld, "
	    "If-Match says %.40s", (long long)r->version, m);
	return false;
}

void
h_job_patch(struct req *q)
{
	struct store_note note = req_note(q);
	struct job_row r;
	int64_t version;
	json_t *tree;
	enum rk_err rc;
	bool ok;

	if (!req_job(q, &r))
		return;
	ok = if_match(q, &r, &version);
	store_job_fini(&r);
	if (!ok || (tree = req_tree(q, false)) == NULL)
		return;
	rc = sup_patch(q->api->sup, q->arg[0], tree, version, &note, &q->why);
	json_decref(tree);
	if (rc == RK_OK) {
		q->api->change++;
		reply_job(q, 200, q->arg[0]);
	} else {
		reply_err(q, rc, &q->why, "job");
	}
}

void
h_job_delete(struct req *q)
{
	struct store_note note = req_note(q);
	struct job_row r;
	enum rk_err rc;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	rc = sup_delete(q->api->sup, q->arg[0], &note, &q->why);
	if (rc != RK_OK) {
		reply_err(q, rc, &q->why, "job");
		return;
	}
	api_changed(q->api, q->arg[0], 's');
	reply_empty(q, 204);
}

typedef enum rk_err verb_fn(struct sup *, const char *, struct store_note *,
    struct rk_why *);

void
verb_done(struct req *q, enum rk_err rc)
{
	if (rc != RK_OK) {
		reply_err(q, rc, &q->why, "job of that id");
		return;
	}
	q->api->change++;
	reply_job(q, 202, q->arg[0]);
}

/* A verb without fields: its body is empty, or an empty object. */
static void
verb(struct req *q, verb_fn *fn)
{
	struct store_note note = req_note(q);
	struct job_row r;
	struct rkj_obj o;
	json_t *tree;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	if ((tree = req_tree(q, true)) == NULL)
		return;
	rkj_open(&o, tree, "", &q->why);
	rkj_close(&o);
	json_decref(tree);
	if (!req_refused(q, P_INVALID_FIELDS))
		verb_done(q, fn(q->api->sup, q->arg[0], &note, &q->why));
}

void
h_start(struct req *q)
{
	verb(q, sup_start);
}

void
h_pause(struct req *q)
{
	verb(q, sup_pause);
}

void
h_cancel(struct req *q)
{
	verb(q, sup_cancel);
}

void
h_retry(struct req *q)
{
	verb(q, sup_retry);
}

static void
resume(struct req *q, json_t *body)
{
	if (query_flag(&q->query, "dry_run"))
		dry_resume(q, json_object_get(body, "overrides"));
	else
		go_resume(q, body);
}

void
h_resume(struct req *q)
{
	const json_t *overrides;
	struct job_row r;
	struct rkj_obj o;
	char *from = NULL;
	json_t *tree;

	(void)query_flag(&q->query, "dry_run");
	if (req_refused(q, P_INVALID_QUERY) || !req_job(q, &r))
		return;
	store_job_fini(&r);
	if ((tree = req_tree(q, true)) == NULL)
		return;
	rkj_open(&o, tree, "", &q->why);
	rkj_str(&o, "from", &from, CKPT_DIR_MAX, RKJ_OPTIONAL);
	overrides = rkj_any(&o, "overrides");
	if (overrides != NULL && !json_is_object(overrides))
		rkj_fault(&o, "overrides", "want an object of fields of the "
		    "job");
	(void)rkj_any(&o, "accept");
	rkj_close(&o);
	free(from);
	if (req_refused(q, P_INVALID_FIELDS))
		json_decref(tree);
	else
		settle_overrides(q, tree, resume);
}
