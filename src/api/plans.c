/* Plans of warm starts, and jobs that are only checked: answers of a trainer,
 * which the request waits for. */
#include "impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_FILE "plan.json"

/* --- a job that is not submitted ------------------------------------------ */

/* What a trainer refuses, each with its field. */
static void
add_faults(struct rk_why *why, const json_t *said)
{
	const json_t *list = json_object_get(said, "refused");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		const char *path = json_string_value(json_object_get(v,
		    "path"));
		const char *text = json_string_value(json_object_get(v,
		    "message"));
		rk_refuse_at(why, path != NULL ? path : "", "%s",
		    text != NULL ? text : "is refused");
	}
}

static void
refuse_said(struct req *q, const json_t *said)
{
	struct rk_why why = { 0 };

	add_faults(&why, said);
	if (why.n == 0)
		rk_refuse(&why, "the job would be refused");
	reply_faults(q, P_INVALID_JOB, &why);
	rk_why_fini(&why);
}

static void
not_checked(struct req *q, enum rk_err rc, const struct rk_why *why)
{
	if (rc == RK_EINVAL && why != NULL)
		reply_faults(q, P_INVALID_JOB, why);
	else
		reply_err(q, rc, why, "job");
}

/* All of it, for who would submit the job. */
static void
dry_run_done(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc != RK_OK)
		not_checked(q, rc, why);
	else if (!json_is_true(json_object_get(said, "accepted")))
		refuse_said(q, said);
	else
		reply_tree(q, 200, json_deep_copy(said));
	req_wake(q);
}

/* The plan alone, refused or not, where there is one. */
static void
plan_done(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;
	const json_t *plan = json_object_get(said, "plan");

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc != RK_OK)
		not_checked(q, rc, why);
	else if (!json_is_object(plan))
		refuse_said(q, said);
	else
		reply_tree(q, 200, json_deep_copy(plan));
	req_wake(q);
}

static void
check(struct req *q, const struct spec *spec, sup_check_fn *fn)
{
	const enum rk_err rc = sup_check(q->api->sup, spec, fn, q, &q->why);

	if (rc != RK_OK) {
		not_checked(q, rc, &q->why);
		return;
	}
	q->checked = true;
	req_wait(q);
}

void
dry_run(struct req *q, const struct spec *spec)
{
	check(q, spec, dry_run_done);
}

void
dry_resume(struct req *q, const json_t *overrides)
{
	const enum rk_err rc = sup_check_resume(q->api->sup, q->arg[0],
	    overrides, dry_run_done, q, &q->why);

	if (rc != RK_OK) {
		not_checked(q, rc, &q->why);
		return;
	}
	q->checked = true;
	req_wait(q);
}

void
h_warm_plan(struct req *q)
{
	struct spec *spec = NULL;
	json_t *tree = req_tree(q, false);

	if (tree == NULL)
		return;
	if (q->len > SPEC_MAX_BYTES) {
		json_decref(tree);
		reply_too_long(q, "the job", SPEC_MAX_BYTES);
		return;
	}
	enum rk_err rc = spec_parse(tree, &spec, &q->why);
	json_decref(tree);
	if (rc == RK_OK && spec->model.checkpoint == NULL)
		rc = rk_refuse_at(&q->why, "model.checkpoint", "is missing: "
		    "there is nothing to plan");
	if (rc == RK_OK) {
		spec_begin_new(spec);
		check(q, spec, plan_done);
	} else {
		not_checked(q, rc, &q->why);
	}
	spec_free(spec);
}

/* --- that of a job -------------------------------------------------------- */

/* One that was too long for the wire is in the job's folder. */
static void
send_plan_file(struct req *q)
{
	const int fd = lines_open(q->api, q->arg[0], PLAN_FILE);
	struct MHD_Response *r = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		reply_problem(q, P_NOT_FOUND, "the job has no plan: it begins "
		    "cold, or has not begun");
		return;
	}
	r = MHD_create_response_from_fd((size_t)st.st_size, fd);
	if (r == NULL) {
		close(fd);
		reply_err(q, RK_ENOMEM, NULL, "plan");
		return;
	}
	MHD_add_response_header(r, "Content-Type", "application/json");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	reply_with(q, 200, r);
}

void
h_plan(struct req *q)
{
	struct job_row r;

	if (!req_job(q, &r))
		return;
	if (r.plan[0] != '\0') {
		sb_addf(&q->out, "%s\n", r.plan);
		reply_json(q, 200);
	} else {
		send_plan_file(q);
	}
	store_job_fini(&r);
}
