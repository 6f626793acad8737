/* Jobs that are taken back from their folders, as the database has lost them. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#define A_TIME    100           /* jobs a request; the loop waits for them */
#define PREFIX_MIN 4            /* of an id, that means a job */
#define SHOWN     100           /* in the status */

struct folders {
	const char *who;                /* id, its beginning or a name; NULL */
	const char *after;              /* an id, or "" */
	char (*v)[RK_ID];
	size_t n;
	bool more;
};

static bool
is_meant(const char *who, const char *id, const char *name)
{
	return who == NULL || strcmp(who, name) == 0 ||
	    (strlen(who) >= PREFIX_MIN && strncmp(who, id, strlen(who)) == 0);
}

static bool
see_folder(void *ctx, const char *id, const char *name, const char *why)
{
	struct folders *f = ctx;

	(void)why;
	if (strcmp(id, f->after) <= 0 || !is_meant(f->who, id, name))
		return true;
	if (f->n == A_TIME) {
		f->more = true;
		return false;
	}
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	memcpy(f->v[f->n++], id, RK_ID);
	return true;
}

/* The one folder that is meant; false: the refusal is the answer already. */
static bool
find_one(struct req *q, struct folders *f)
{
	struct strbuf b = { 0 };

	if (rk_id_ok(f->who)) {         /* sup says what is wrong with it */
		f->v = xrealloc(f->v, sizeof(*f->v));
		memcpy(f->v[f->n++], f->who, RK_ID);
		return true;
	}
	(void)sup_strays(q->api->sup, see_folder, f);
	if (f->n == 1)
		return true;
	for (size_t i = 0; i < f->n; i++)
		sb_addf(&b, "%s%s", i > 0 ? ", " : "", f->v[i]);
	if (f->n == 0)
		reply_problem(q, P_NOT_FOUND, "no folder without a record has "
		    "a job \"%.100s\"", f->who);
	else
		reply_problem(q, P_CONFLICT, "%zu folders have a job "
		    "\"%.100s\": say the id (%s)", f->n, f->who, sb_str(&b));
	sb_fini(&b);
	return false;
}

static enum rk_err
take_back(struct req *q, const char *id, bool resume, struct rk_why *why)
{
	struct api *a = q->api;
	const char *aside = a->mirror != NULL ? mirror_aside(a->mirror, id) :
	    NULL;
	struct job_row r;

	if (aside != NULL) {
		rk_refuse(why, "%s", aside);
		return RK_ECONFLICT;
	}
	enum rk_err rc = sup_adopt(a->sup, id, why);
	if (rc != RK_OK || !resume)
		return rc;
	rc = store_job_get(a->store, id, &r);
	if (rc != RK_OK)
		return rc;
	if (r.state == JOB_PAUSED)
		rc = sup_resume(a->sup, id, NULL, NULL, NULL, why);
	store_job_fini(&r);
	return rc;
}

/* Said in the list of those that were not taken back. */
static void
add_refused(struct strbuf *b, const char *id, enum rk_err rc,
    const struct rk_why *why)
{
	if (b->len > 0)
		sb_addc(b, ',');
	sb_addf(b, "{\"job\":\"%s\"", id);
	put_key(b, "reason");
	put_str(b, why->n > 0 ? rk_why_first(why) : rk_strerror(rc));
	sb_addc(b, '}');
}

static void
add_adopted(struct req *q, const char *id)
{
	struct job_row r;

	if (store_job_get(q->api->store, id, &r) != RK_OK)
		return;
	if (q->out.s[q->out.len - 1] != '[')
		sb_addc(&q->out, ',');
	job_write(&q->out, q->api, &r, true);
	store_job_fini(&r);
}

static void
reply_one(struct req *q, enum rk_err rc, const struct rk_why *why)
{
	sb_reset(&q->out);
	reply_err(q, rc, why, "folder of that job");
}

static void
adopt_all(struct req *q, const struct folders *f, bool resume)
{
	struct strbuf refused = { 0 };

	sb_adds(&q->out, "{\"adopted\":[");
	for (size_t i = 0; i < f->n; i++) {
		struct rk_why why = { 0 };
		enum rk_err rc = take_back(q, f->v[i], resume, &why);
		if (rc == RK_OK)
			add_adopted(q, f->v[i]);
		else if (f->who == NULL)
			add_refused(&refused, f->v[i], rc, &why);
		else
			reply_one(q, rc, &why);
		rk_why_fini(&why);
	}
	q->api->change++;
	if (q->status == 0) {
		sb_addf(&q->out, "],\"refused\":[%s],\"next\":",
		    sb_str(&refused));
		put_or_null(&q->out, f->more ? f->v[f->n - 1] : NULL);
		sb_adds(&q->out, "}\n");
		reply_json(q, 200);
	}
	sb_fini(&refused);
}

/* Whose jobs they are is not settled, or cannot be asked. */
static bool
may_adopt(struct req *q)
{
	const struct api *a = q->api;

	if (!sup_held(a->sup) && (a->mirror == NULL ||
	    mirror_state(a->mirror) == MIRROR_OWNER))
		return true;
	reply_problem(q, P_NOT_READY, "jobs are taken back when this daemon "
	    "has its jobs from the bucket: the mirror is %s",
	    a->mirror != NULL ? mirror_state_words[mirror_state(a->mirror)] :
	    "held");
	return false;
}

void
h_adopt(struct req *q)
{
	json_t *tree = req_tree(q, true);
	struct folders f = { .after = "" };
	char *who = NULL, *after = NULL;
	struct rkj_obj o;
	bool resume = false;

	if (tree == NULL)
		return;
	rkj_open(&o, tree, "", &q->why);
	rkj_str(&o, "job", &who, RK_NAME_MAX, RKJ_OPTIONAL);
	rkj_str(&o, "after", &after, RK_ID_LEN, RKJ_OPTIONAL);
	rkj_bool(&o, "resume", &resume, RKJ_OPTIONAL);
	rkj_close(&o);
	json_decref(tree);
	f.who = who;
	if (after != NULL)
		f.after = after;
	if (!req_refused(q, P_INVALID_FIELDS) && may_adopt(q)) {
		if (who == NULL)
			(void)sup_strays(q->api->sup, see_folder, &f);
		if (who == NULL || find_one(q, &f))
			adopt_all(q, &f, resume);
	}
	free(f.v);
	free(who);
	free(after);
}

/* --- in the status --------------------------------------------------------- */

static bool
show_folder(void *ctx, const char *id, const char *name, const char *why)
{
	json_t *list = ctx, *v = json_pack("{s:s}", "id", id);
	char *clean = rk_text_clean(xstrdup(name));

	must(v != NULL);
	json_object_set_new(v, "name", json_string(clean));
	free(clean);
	clean = rk_text_clean(xstrdup(why));
	json_object_set_new(v, "refused", clean[0] != '\0' ?
	    json_string(clean) : json_null());
	free(clean);
	must(json_array_append_new(list, v) == 0);
	return json_array_size(list) < SHOWN;
}

json_t *
adopt_status(struct api *a)
{
	json_t *list = json_array(), *v;
	size_t n = sup_strays(a->sup, show_folder, list);

	v = json_pack("{s:I, s:o}", "count", (json_int_t)n, "jobs", list);
	must(v != NULL);
	return v;
}
