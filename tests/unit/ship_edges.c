/* Two things at once, and objects that are not what they were. */
#include "impl.h"
#include "ship_world.h"

/* A job with a checkpoint in the bucket that it has not here any more. */
static char *
only_remote(int n)
{
	char *id = s_job(5);

	for (int k = 1; k <= n; k++) {
		char *dir = xasprintf("step-%09d", k * 100);
		s_save(id, k * 100);
		s_wait(id, dir, "verified");
		free(dir);
	}
	char *path = xasprintf("%s/jobs/%s", S.state, id);
	t_eq_int(rk_remove_tree(AT_FDCWD, path), RK_OK);
	free(path);
	return id;
}

static void
start(const char *id)
{
	struct rk_why why = {0};

	if (sup_start(W.sup, id, NULL, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

static void
delete(const char *id)
{
	struct rk_why why = {0};

	if (sup_cancel(W.sup, id, NULL, &why) != RK_OK ||
	    sup_delete(W.sup, id, NULL, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

static void
give_name(const char *id, const char *dir, const char *name)
{
	struct ckpt *c = s_folder(id);

	t_eq_int(ckpt_name(c, dir, name), RK_OK);
	ckpt_close(&c);
}

/* --- names --------------------------------------------------------------- */

T_CASE(a_name_on_its_way_does_not_bring_a_deleted_checkpoint_back)
{
	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	s_wait(id, "step-000000100", "verified");
	give_name(id, "step-000000100", "good-one");
	scan_job(S.ship, id);
	t_check(S.ship->namings != NULL);
	delete(id);
	s_wait_gone(id, "step-000000100");
	w_spin(100);
	t_check(s_is_gone(&W));
	t_check(!s_there(id, "step-000000100/checkpoint.json"));
	s_close();
}

static bool
took_row(void *ctx, const struct remote_row *r)
{
	row_copy(ctx, r);
	return false;
}

static bool
sees_whole(void *ctx, const struct remote_row *r)
{
	if (strstr(r->uri, "-r") == NULL && r->state == RS_VERIFIED)
		*(bool *)ctx = true;
	return true;
}

/* Whatever becomes of the row while the bucket is told of the name. */
T_CASE(a_row_that_does_not_count_any_more_stays_so_when_its_name_is_there)
{
	struct remote_row r = {0};
	bool whole = false;

	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	s_wait(id, "step-000000100", "verified");
	give_name(id, "step-000000100", "good-one");
	scan_job(S.ship, id);
	t_eq_int(store_remotes(W.store, id, 0, took_row, &r), RK_OK);
	row_damaged(S.ship, &r, "it is not there");
	store_remote_fini(&r);
	for (int i = 0; i < 500 && S.ship->namings != NULL; i++)
		w_spin(2);
	t_check(S.ship->namings == NULL);
	t_eq_int(store_remotes(W.store, id, 0, sees_whole, &whole), RK_OK);
	t_check(!whole);
	s_close();
}

/* The bucket has not been told yet. */
T_CASE(remote_retention_keeps_what_has_a_name_here)
{
	s_begin();
	char *id = s_job(1);
	s_save(id, 100);
	s_wait(id, "step-000000100", "verified");
	t_eq_int(mkdir(s_path(id, "step-000000100/names.json"), 0755), 0);
	give_name(id, "step-000000100", "good-one");
	s_save(id, 200);
	s_wait(id, "step-000000200", "verified");
	w_spin(100);
	t_eq_str(s_state(id, "step-000000100"), "verified");
	t_check(s_there(id, "step-000000100/checkpoint.json"));
	t_check(!s_there(id, "step-000000100-r2/checkpoint.json"));
	s_close();
}

/* --- pulls and fetches --------------------------------------------------- */

T_CASE(an_object_that_has_grown_is_damaged_and_stops_nobody)
{
	s_begin();
	char *id = only_remote(2);
	FILE *f = fopen(s_path(id, "step-000000200/model.safetensors"), "a");
	t_check(f != NULL && fputs("and more", f) >= 0 && fclose(f) == 0);
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:succeeded:step-000000100");
	t_eq_int(s_count(w_events(id), "[remote_damaged]"), 1);
	t_eq_int(entries("state/cache/partial"), 0);
	s_close();
}

static struct fetch_ask asks[2];
static enum rk_err answers[2];

static bool
both_are_there(struct world *w)
{
	(void)w;
	for (int k = 0; k < 2; k++) {
		char hex[RK_SHA256_HEX];
		struct rk_why why = {0};
		if (answers[k] == RK_EBUSY)
			answers[k] = fetch_want(S.ship, &asks[k], hex, &why);
		if (answers[k] != RK_OK && answers[k] != RK_EBUSY)
			t_fail("%s", rk_why_first(&why));
		rk_why_fini(&why);
	}
	return answers[0] == RK_OK && answers[1] == RK_OK;
}

static bool
nothing_is_partial(struct world *w)
{
	(void)w;
	return entries("state/cache/partial") == 0;
}

T_CASE(one_address_with_a_digest_and_without_is_fetched_by_both)
{
	char uri[700], hex[RK_SHA256_HEX], one[RK_ID], two[RK_ID];
	struct rk_why why = {0};

	s_begin();
	char *text = xcalloc(1, 5001);
	memset(text, 'a', 5000);
	s_write("bucket/m", text);
	rk_sha256_of(text, 5000, hex);
	free(text);
	snprintf(uri, sizeof(uri), "%sm", S.prefix);
	rk_id_new(one);
	rk_id_new(two);
	asks[0] = (struct fetch_ask){ .uri = uri, .sha256 = hex, .size = 5000,
		.job = one, .patient = true };
	asks[1] = (struct fetch_ask){ .uri = uri, .job = two };
	for (int k = 0; k < 2; k++) {
		char got[RK_SHA256_HEX];
		answers[k] = fetch_want(S.ship, &asks[k], got, &why);
		t_eq_int(answers[k], RK_EBUSY);
	}
	rk_why_fini(&why);
	w_until(both_are_there, "both downloads");
	w_until(nothing_is_partial, "an empty folder of partial files");
	s_close();
}

/* --- ends ---------------------------------------------------------------- */

T_CASE(without_a_destination_what_must_be_remote_is_not)
{
	s_begin();
	t_eq_int(rename("bucket", "away"), 0);
	write_file("bucket", "");
	json_t *t = w_job("ok");
	json_object_set_new(t, "checkpoint", json_pack("{s:b}",
	    "require_remote", 1));
	char *id = w_submit_tree(t);
	w_wait(id, JOB_PAUSED);
	s_close();
	/* The next daemon is configured without a mirror. */
	S.c.prefix = NULL;
	s_open();
	w_spin(300);
	t_eq_int(w_state(id), JOB_PAUSED);
	t_eq_str(w_reason(id), "uploading");
	s_close();
}

static int found_n = -2;

static void
found(void *ctx, int n, const char *why)
{
	(void)ctx;
	(void)why;
	found_n = n;
}

static bool
is_found(struct world *w)
{
	(void)w;
	return found_n > -2;
}

/* Ended jobs are looked for behind the start of a daemon that took them over:
 * somebody may have deleted one by then. */
T_CASE(what_is_found_of_a_job_that_was_deleted_meanwhile_goes)
{
	struct remote_row r = {0};

	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	s_wait(id, "step-000000100", "verified");
	t_eq_int(store_remotes(W.store, id, 0, took_row, &r), RK_OK);
	t_eq_int(store_remote_drop(W.store, &r), RK_OK);
	store_remote_fini(&r);
	delete(id);
	w_spin(20);
	t_check(s_there(id, "step-000000100/checkpoint.json"));
	ship_find(S.ship, id, S.prefix, NULL, found, NULL);
	w_until(is_found, "the end of a look");
	s_wait_gone(id, "step-000000100");
	t_check(!s_there(id, "step-000000100/checkpoint.json"));
	t_check(!s_there(id, "step-000000100/model.safetensors"));
	s_close();
}

T_CASE(a_job_whose_specification_cannot_be_read_loses_no_checkpoint)
{
	s_begin();
	char *id = s_job(5);
	for (int k = 1; k <= 3; k++)
		s_save(id, k * 100);
	s_wait(id, "step-000000300", "verified");
	s_wait(id, "step-000000200", "verified");
	s_wait(id, "step-000000100", "verified");
	struct job_row r = w_row(id);
	free(r.spec);
	r.spec = xstrdup("{\"of\": \"a newer rekindled\"}");
	t_eq_int(store_job_put(W.store, &r, NULL), RK_OK);
	store_job_fini(&r);
	struct jobinfo j;
	t_check(job_look(S.ship, id, &j));
	retain_job(S.ship, id, &j);
	jobinfo_fini(&j);
	w_spin(50);
	t_check(s_there(id, "step-000000100/checkpoint.json"));
	t_eq_str(s_state(id, "step-000000100"), "verified");
	s_close();
}

T_MAIN
