/*
 * Routes of checkpoints.  The folder of a job's checkpoints is read each time:
 * it is the truth, and the trainer writes to it.
 */
#include "impl.h"

#include <string.h>
#include <unistd.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX     500

static char *
folder_of(struct req *q)
{
	return xasprintf("%s/checkpoints", sup_job_dir(q->api->sup, q->arg[0]));
}

/* The job's folder of checkpoints.  *cp is NULL while it has none, which
 * reading does not change.  False: the refusal is the answer already. */
static bool
open_folder(struct req *q, struct job_row *r, struct ckpt **cp)
{
	char *path;
	enum rk_err rc = RK_OK;

	*cp = NULL;
	if (!req_job(q, r))
		return false;
	path = folder_of(q);
	if (access(path, F_OK) == 0)
		rc = ckpt_open(cp, path, false);
	free(path);
	if (rc == RK_OK)
		return true;
	store_job_fini(r);
	reply_err(q, rc, NULL, "folder of checkpoints");
	return false;
}

/* What `best` goes by, from the job; *metric is a new string. */
static void
best_by(const struct job_row *r, char **metric, bool *max)
{
	json_t *tree = NULL;
	struct spec *s = NULL;

	*metric = xstrdup("val_accuracy");
	*max = true;
	if (rkj_parse_json(r->spec, strlen(r->spec), &tree, NULL) == RK_OK &&
	    spec_parse(tree, &s, NULL) == RK_OK) {
		free(*metric);
		*metric = xstrdup(s->checkpoint.metric);
		*max = s->checkpoint.mode_max;
	}
	spec_free(s);
	json_decref(tree);
}

bool
checkpoint_select(struct req *q, struct ckpt **cp, struct ckpt_info *i)
{
	struct job_row r;
	char *metric;
	bool max;
	enum rk_err rc;

	if (!open_folder(q, &r, cp))
		return false;
	if (*cp == NULL) {
		reply_problem(q, P_NOT_FOUND, "job %s has no checkpoint yet",
		    r.id);
		store_job_fini(&r);
		return false;
	}
	best_by(&r, &metric, &max);
	store_job_fini(&r);
	rc = ckpt_select(*cp, q->arg[1], metric, max, i, &q->why);
	free(metric);
	if (rc == RK_OK)
		return true;
	ckpt_close(cp);
	if (rc == RK_EINVAL)            /* no selector: there is no such one */
		reply_faults(q, P_NOT_FOUND, &q->why);
	else
		reply_err(q, rc, &q->why, "checkpoint of that name");
	return false;
}

/* As ckpt shows it, with the time in the form of all our times, and where its
 * bytes are. */
static json_t *
checkpoint_json(struct req *q, const struct ckpt_info *i, bool local)
{
	json_t *v = ckpt_info_json(i);
	char t[RK_TIME];

	must(json_object_set_new(v, "local", json_boolean(local)) == 0);
	must(json_object_set_new(v, "durability",
	    ship_durability(q->api->ship, q->arg[0], i->dir)) == 0);

	must(json_object_set_new(v, "created",
	    json_string(rk_time_text(t, i->created_ms))) == 0);
	(void)json_object_del(v, "created_ms");
	return v;
}

static void
reply_checkpoint(struct req *q, int status, const struct ckpt_info *i)
{
	json_t *v = checkpoint_json(q, i, true);
	char *moved = q->name != NULL ? sup_named_moved(&q->was, q->name,
	    i->dir) : NULL;

	if (moved != NULL) {
		json_object_set_new(v, "moved_from", json_string(q->was.dir));
		json_object_set_new(v, "message", json_string(moved));
	}
	free(moved);
	reply_tree(q, status, v);
}

/* "step-000001200-b2": branch and step, by which a folder is ordered. */
static bool
order_of(const char *dir, int *branch, int64_t *step)
{
	long long s;
	int end = 0;

	*branch = 1;
	if (sscanf(dir, "step-%19lld%n", &s, &end) != 1 || s < 0)
		return false;
	*step = s;
	if (dir[end] == '\0')
		return true;
	dir += end;
	end = 0;
	return sscanf(dir, "-b%9d%n", branch, &end) == 1 && dir[end] == '\0';
}

static void
write_page(struct req *q, const struct union_ckpt *v, size_t n,
    const char *cursor, int limit)
{
	const char *next = NULL;
	int64_t step, at = 0;
	int branch, from = 0, count = 0;

	if (cursor != NULL)
		(void)order_of(cursor, &from, &at);
	sb_adds(&q->out, "{\"checkpoints\":[");
	for (size_t i = n; i-- > 0;) {          /* newest first */
		json_t *one;
		char *text;
		if (cursor != NULL && order_of(v[i].info->dir, &branch, &step) &&
		    (branch > from || (branch == from && step >= at)))
			continue;
		if (count == limit) {
			next = v[i + 1].info->dir;
			break;
		}
		if (count++ > 0)
			sb_adds(&q->out, ",\n");
		one = checkpoint_json(q, v[i].info, v[i].local);
		text = rkj_text(one);
		json_decref(one);
		sb_adds(&q->out, text);
		free(text);
	}
	sb_adds(&q->out, "],\"next\":");
	put_or_null(&q->out, next);
	sb_adds(&q->out, "}\n");
}

void
h_checkpoints(struct req *q)
{
	const char *cursor = query_get(&q->query, "cursor");
	int limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	struct union_list u;
	struct job_row r;
	struct ckpt *c;
	int64_t step;
	int branch;
	enum rk_err rc;

	if (cursor != NULL && !order_of(cursor, &branch, &step))
		rk_refuse_at(&q->why, "cursor", "is not one that we gave");
	if (req_refused(q, P_INVALID_QUERY) || !open_folder(q, &r, &c))
		return;
	store_job_fini(&r);
	rc = union_open(&u, q->api, q->arg[0], c);
	if (rc == RK_OK) {
		write_page(q, u.v, u.n, cursor, limit);
		reply_json(q, 200);
		union_close(&u);
	} else {
		reply_err(q, rc, NULL, "list of checkpoints");
	}
	ckpt_close(&c);
}

/* One that a bucket had: by its folder's name, as latest and best are others. */
static void
reply_lost(struct req *q)
{
	struct ckpt_info *v = NULL;
	size_t n = 0;
	enum rk_err rc = ship_missing_list(q->api->ship, q->arg[0], &v, &n);

	for (size_t i = 0; rc == RK_OK && i < n; i++) {
		if (strcmp(v[i].dir, q->arg[1]) != 0)
			continue;
		q->status = 0;          /* in place of the 404 */
		reply_tree(q, 200, checkpoint_json(q, &v[i], false));
		break;
	}
	ckpt_list_free(v, n);
}

/* One that is only in a bucket; false: there is none that is meant. */
static bool
reply_elsewhere(struct req *q)
{
	struct ckpt_info *v = NULL;
	struct job_row r;
	char *metric;
	size_t n = 0;
	int at = -1;
	bool max;

	if (store_job_get(q->api->store, q->arg[0], &r) != RK_OK)
		return false;
	best_by(&r, &metric, &max);
	store_job_fini(&r);
	if (ship_remote_list(q->api->ship, q->arg[0], &v, NULL, &n) == RK_OK)
		at = ckpt_info_select(v, n, q->arg[1], metric, max, NULL);
	free(metric);
	if (at >= 0) {
		q->status = 0;          /* in place of the 404 */
		reply_tree(q, 200, checkpoint_json(q, &v[at], false));
	}
	ckpt_list_free(v, n);
	return at >= 0;
}

void
h_checkpoint(struct req *q)
{
	struct ckpt_info i = { 0 };
	struct ckpt *c;

	if (!checkpoint_select(q, &c, &i)) {
		if (q->status == 404 && !reply_elsewhere(q))
			reply_lost(q);
		return;
	}
	reply_checkpoint(q, 200, &i);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

/* A name moves to what this request gives it to: from where? */
static void
name_given(struct req *q, const char *name)
{
	if (name == NULL)
		return;
	q->name = xstrdup(name);
	sup_named_look(q->api->sup, q->arg[0], name, &q->was);
}

/* --- save now ------------------------------------------------------------ */

/* The answer, from the folder that was committed or named. */
static void
reply_dir(struct req *q, int status, const char *dir)
{
	struct ckpt_info i = { 0 };
	struct ckpt *c = NULL;
	char *path = folder_of(q);
	enum rk_err rc = ckpt_open(&c, path, false);

	free(path);
	if (rc == RK_OK)
		rc = ckpt_read(c, dir, &i);
	if (rc == RK_OK) {
		reply_checkpoint(q, status, &i);
		if (status == 201)
			q->location = xasprintf("/v1/jobs/%s/checkpoints/%s",
			    q->arg[0], i.dir);
		ckpt_info_fini(&i);
	} else {
		reply_err(q, rc, NULL, "checkpoint any more");
	}
	ckpt_close(&c);
}

static void
answered(struct req *q, int status, enum rk_err rc, const char *dir,
    const char *sentence)
{
	struct rk_why why = { 0 };

	must_be(q, REQ_TAG);
	if (sentence != NULL)
		rk_refuse(&why, "%s", sentence);
	if (dir != NULL)
		reply_dir(q, status, dir);
	else
		reply_err(q, rc, &why, "checkpoint any more");
	rk_why_fini(&why);
	if (q->waiting)
		req_wake(q);
}

static void
checkpoint_done(void *ctx, enum rk_err rc, const char *dir, const char *why)
{
	answered(ctx, 201, rc, dir, why);
}

void
h_checkpoint_now(struct req *q)
{
	struct job_row r;
	struct rkj_obj o;
	char *name = NULL;
	json_t *tree;
	enum rk_err rc;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	if ((tree = req_tree(q, true)) == NULL)
		return;
	rkj_open(&o, tree, "", &q->why);
	if (rkj_str(&o, "name", &name, RK_NAME_MAX, RKJ_OPTIONAL)) {
		struct rk_why why = { 0 };
		if (spec_checkpoint_name_ok(name, &why) != RK_OK)
			rkj_fault(&o, "name", "%s", rk_why_first(&why));
		rk_why_fini(&why);
	}
	rkj_close(&o);
	json_decref(tree);
	if (!req_refused(q, P_INVALID_FIELDS)) {
		name_given(q, name);
		q->asked = true;
		rc = sup_checkpoint(q->api->sup, q->arg[0], name,
		    checkpoint_done, q, &q->why);
		if (rc != RK_OK || q->status != 0)
			q->asked = false;
		if (q->status == 0 && rc != RK_OK)
			reply_err(q, rc, &q->why, "job of that id");
		else if (q->status == 0)
			req_wait(q);
	}
	free(name);
}

/* --- names, deletion ----------------------------------------------------- */

/* Write down what a person did to a checkpoint, and tell who looks on.  Takes
 * the sentence. */
static void
noted(struct req *q, char *sentence)
{
	struct store_note note = { .kind = "checkpoint", .message = sentence };
	enum rk_err rc = store_event_add(q->api->store, q->arg[0], &note);

	/* It has happened; a missing line about it is no reason to say that it
	 * has not. */
	if (rc != RK_OK)
		log_warn("api: job=%s the event \"%s\" is lost: %s", q->arg[0],
		    sentence, rk_strerror(rc));
	free(sentence);
	ship_look(q->api->ship, q->arg[0]);
	api_changed(q->api, q->arg[0], 'e');
	api_changed(q->api, q->arg[0], 'c');
}

static enum rk_err
take_names(struct req *q, struct ckpt *c, const struct ckpt_info *i)
{
	enum rk_err rc = RK_OK;

	for (char **n = i->names; rc == RK_OK && n != NULL && *n; n++) {
		rc = ckpt_unname(c, *n);
		if (rc == RK_OK)
			noted(q, xasprintf("%s is not named %s any "
			    "more", i->dir, *n));
	}
	return rc;
}

static void
named(void *ctx, enum rk_err rc, const char *dir, const char *why)
{
	answered(ctx, 200, rc, dir, why);
}

/* {"name": "x"} or {"name": null}; false: refused. */
static bool
read_name(struct req *q, char **name)
{
	json_t *tree = req_tree(q, false), *v;
	struct rkj_obj o;

	*name = NULL;
	if (tree == NULL)
		return false;
	rkj_open(&o, tree, "", &q->why);
	v = json_object_get(tree, "name");
	if (v == NULL)
		rkj_fault(&o, "name", "is missing: a name, or null to take "
		    "its names away");
	if (rkj_str(&o, "name", name, RK_NAME_MAX, RKJ_OPTIONAL)) {
		struct rk_why why = { 0 };
		if (spec_checkpoint_name_ok(*name, &why) != RK_OK)
			rkj_fault(&o, "name", "%s", rk_why_first(&why));
		rk_why_fini(&why);
	}
	rkj_close(&o);
	json_decref(tree);
	if (!req_refused(q, P_INVALID_FIELDS))
		return true;
	free(*name);
	return false;
}

void
h_checkpoint_patch(struct req *q)
{
	struct ckpt_info i = { 0 };
	struct ckpt *c;
	char *name;
	enum rk_err rc;

	if (!read_name(q, &name))
		return;
	if (!checkpoint_select(q, &c, &i)) {
		free(name);
		return;
	}
	if (name != NULL) {
		name_given(q, name);
		q->asked = true;
		sup_give_name(q->api->sup, q->arg[0], i.dir, name, named, q);
		req_wait(q);
	} else if ((rc = take_names(q, c, &i)) == RK_OK) {
		reply_dir(q, 200, i.dir);
	} else {
		reply_err(q, rc, NULL, "checkpoint any more");
	}
	ckpt_info_fini(&i);
	ckpt_close(&c);
	free(name);
}

void
h_checkpoint_delete(struct req *q)
{
	struct ckpt_info i = { 0 };
	struct ckpt *c;
	char id[RK_ID];
	enum rk_err rc;

	if (!checkpoint_select(q, &c, &i))
		return;
	if (sup_needed_by(q->api->sup, q->arg[0], i.dir, id)) {
		reply_problem(q, P_CONFLICT, "job %s is about to begin from "
		    "%s, so it stays until that has begun", id, i.dir);
		goto out;
	}
	rc = ckpt_delete(c, i.dir);
	if (rc == RK_OK) {
		noted(q, xasprintf("%s was deleted", i.dir));
		reply_empty(q, 204);
	} else if (rc == RK_ECONFLICT) {
		reply_problem(q, P_CONFLICT, "%s is the latest checkpoint: the "
		    "job goes on from it, so it stays", i.dir);
	} else if (rc == RK_EBUSY) {
		reply_problem(q, P_CONFLICT, "%s is about to get a name, or "
		    "its trainer tidies up: ask again", i.dir);
	} else {
		reply_err(q, rc, NULL, "checkpoint any more");
	}
out:
	ckpt_info_fini(&i);
	ckpt_close(&c);
}
