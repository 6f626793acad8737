/*
 * Those above the supervisor, who fetch for it and ship for it (struct
 * sup_supplier): here they answer what a test tells them to.
 */
#ifndef SUP_SUPPLIER_H
#define SUP_SUPPLIER_H

#include "sup_fake.h"

static struct {
	enum rk_err answer;             /* of supply */
	const char *text;
	char path[600];
	bool shipped, has, no_where;
	struct ckpt_info info;          /* of what a bucket has; state NULL:
	                                   nothing */
	int asked, gone;
	char said[200];                 /* what shipped and has were asked */
} up;

static inline enum rk_err
up_supply(void *ctx, const struct job_row *r, const struct spec *spec,
    json_t *files, struct rk_why *why)
{
	struct spec_address v[SPEC_ADDRESSES];
	size_t n = spec_addresses(spec, v);

	(void)ctx;
	t_eq_int(r->state == JOB_QUEUED || r->state == JOB_PAUSED, true);
	up.asked++;
	if (n == 0)
		return RK_OK;
	if (up.answer != RK_OK) {
		rk_refuse(why, "%s", up.text);
		return up.answer;
	}
	for (size_t i = 0; i < n; i++)
		json_object_set_new(files, v[i].uri, json_string(up.path));
	return RK_OK;
}

static inline enum rk_err
up_check(void *ctx, const struct spec *spec, struct rk_why *why)
{
	const char *push = spec->checkpoint.push;

	(void)ctx;
	if (push != NULL && strcmp(push, "s3://nobodys/") == 0)
		return rk_refuse_at(why, "checkpoint.push", "no credentials");
	return RK_OK;
}

static inline bool
up_has(void *ctx, const char *job, const char *selector)
{
	(void)ctx;
	snprintf(up.said, sizeof(up.said), "%s/%s", job, selector);
	return up.has;
}

static inline bool
up_info(void *ctx, const char *job, const char *selector,
    struct ckpt_info *out)
{
	(void)ctx;
	(void)job;
	(void)selector;
	*out = up.info;
	json_incref(out->state);
	return up.info.state != NULL;
}

static inline bool
up_shipped(void *ctx, const struct job_row *r, const struct spec *spec,
    const char *checkpoint)
{
	(void)ctx;
	(void)spec;
	snprintf(up.said, sizeof(up.said), "%s/%s", r->id, checkpoint);
	return up.shipped;
}

static inline void
up_gone(void *ctx, const char *job)
{
	(void)ctx;
	snprintf(up.said, sizeof(up.said), "%s", job);
	up.gone++;
}

static inline char *
up_where(void *ctx, const struct spec *spec)
{
	(void)ctx;
	return xstrdup(up.no_where ? "" : spec->checkpoint.push != NULL ?
	    spec->checkpoint.push : "s3://mirror/");
}

static const struct sup_supplier up_supplier = {
	.supply = up_supply, .check = up_check, .has = up_has,
	.info = up_info, .shipped = up_shipped, .gone = up_gone,
	.where = up_where
};

/* w_begin(), with the supplier. */
static inline void
up_begin(void)
{
	w_begin();
	snprintf(up.path, sizeof(up.path), "%s", W.data);
	W.sup->supply_ask_ms = 20;
	W.sup->supply_say_ms = 100;
	sup_supplier_set(W.sup, &up_supplier);
}

/* From now on supply says this, and what it says is news. */
static inline void
up_answer(enum rk_err rc, const char *text)
{
	up.answer = rc;
	up.text = text;
	sup_supplied(W.sup);
}

/* From now on the bucket has every checkpoint. */
static inline void
up_ships(void)
{
	up.shipped = true;
	sup_supplied(W.sup);
}

static inline void
up_set(json_t *tree, const char *path, json_t *v)
{
	t_eq_int(rkj_set_path(tree, path, v, NULL), RK_OK);
}

/* A job whose data are elsewhere. */
static inline json_t *
up_far_job(const char *script)
{
	json_t *tree = w_job(script);

	up_set(tree, "data.train.path", json_string("s3://b/x"));
	return tree;
}

/* A job whose last checkpoint must be elsewhere by its end. */
static inline json_t *
up_sent_job(const char *script, const char *push)
{
	json_t *tree = w_job(script);

	json_object_set_new(tree, "checkpoint", push != NULL ?
	    json_pack("{s:b, s:s}", "require_remote", 1, "push", push) :
	    json_pack("{s:b}", "require_remote", 1));
	return tree;
}

/* Not taken, for n reasons, one of which is that field. */
static inline void
up_refused(json_t *tree, size_t n, const char *path, const char *part)
{
	struct rk_why why = { 0 };
	char id[RK_ID];
	size_t i = 0;

	t_eq_int(w_try_submit(tree, id, &why), RK_EINVAL);
	t_eq_int(why.n, n);
	while (i < n - 1 && strcmp(why.v[i].path, path) != 0)
		i++;
	t_eq_str(why.v[i].path, path);
	t_has(why.v[i].message, part);
	rk_why_fini(&why);
}

#endif
