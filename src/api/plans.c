/* Plans of warm starts, and jobs that are only checked: answers of a trainer,
 * which the request waits for. */
#include "impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_FILE "plan.json"
#define LOOK_MS   20000         /* a resume waits so long to be looked at */
#define USUAL_MS  120000

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
	    overrides, USUAL_MS, dry_run_done, q, &q->why);

	if (rc != RK_OK) {
		not_checked(q, rc, &q->why);
		return;
	}
	q->checked = true;
	req_wait(q);
}

/* --- a resume that names parameters --------------------------------------- */

/* Fields of training whose patterns only the trainer can hold against names. */
static const char *const named[] = { "phases", "learning_rates",
    "parameters" };

static bool
names_parameters(const json_t *overrides)
{
	const json_t *training = json_object_get(overrides, "training");

	for (size_t i = 0; i < RK_ARRAY_LEN(named); i++) {
		const json_t *v = json_object_get(training, named[i]);
		if (v != NULL && !json_is_null(v))
			return true;
	}
	return false;
}

static bool
is_named(const char *path)
{
	const char *field = path + strlen("training.");

	if (strncmp(path, "training.", strlen("training.")) != 0)
		return false;
	for (size_t i = 0; i < RK_ARRAY_LEN(named); i++) {
		size_t n = strlen(named[i]);
		if (strncmp(field, named[i], n) == 0 &&
		    strchr(".[", field[n]) != NULL)
			return true;
	}
	return false;
}

static void
do_resume(struct req *q)
{
	struct store_note note = req_note(q);
	enum rk_err rc = sup_resume_accept(q->api->sup, q->arg[0],
	    json_string_value(json_object_get(q->resume, "from")),
	    json_object_get(q->resume, "overrides"),
	    json_object_get(q->resume, "accept"), &note, &q->why);

	/* The job is there: what is missing is what `from` selects. */
	verb_done(q, rc == RK_ENOENT ? RK_EINVAL : rc);
}

/* Only what these fields say is held against them: data that are not here yet,
 * or a trainer that takes long, are the attempt's business. */
static void
looked_at(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;
	struct rk_why all = { 0 };

	must_be(q, REQ_TAG);
	(void)why;
	q->checked = false;
	if (rc == RK_OK)
		add_faults(&all, said);
	for (size_t i = 0; i < all.n; i++) {
		if (is_named(all.v[i].path))
			rk_refuse_at(&q->why, all.v[i].path, "%s",
			    all.v[i].message);
	}
	rk_why_fini(&all);
	if (q->why.n > 0)
		reply_faults(q, P_INVALID_FIELDS, &q->why);
	else
		do_resume(q);
	req_wake(q);
}

void
go_resume(struct req *q, json_t *body)
{
	const json_t *overrides = json_object_get(body, "overrides");
	struct rk_why why = { 0 };

	q->resume = json_incref(body);
	if (names_parameters(overrides) && sup_check_resume(q->api->sup,
	    q->arg[0], overrides, LOOK_MS, looked_at, q, &why) == RK_OK) {
		q->checked = true;
		req_wait(q);
	} else {
		do_resume(q);
	}
	rk_why_fini(&why);
}

/* --- plans of warm starts ------------------------------------------------- */

static void
warm_plan(struct req *q, json_t *tree)
{
	struct spec *spec = NULL;
	enum rk_err rc = spec_parse(tree, &spec, &q->why);

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

void
h_warm_plan(struct req *q)
{
	json_t *tree = req_tree(q, false);

	if (tree == NULL)
		return;
	if (q->len > SPEC_MAX_BYTES) {
		json_decref(tree);
		reply_too_long(q, "the job", SPEC_MAX_BYTES);
		return;
	}
	settle_job(q, tree, warm_plan);
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
