/* Bytes before a start, the last upload at the end, and being held. */
#include "sup_fake.h"

/* Those above the supervisor, who answer what a test tells them to. */
static struct {
	enum rk_err answer;             /* of supply */
	const char *text;
	char path[600];
	bool shipped, has, no_where;
	int asked, gone;
	char said[200];                 /* what shipped and has were asked */
} up;

static enum rk_err
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

static enum rk_err
up_check(void *ctx, const struct spec *spec, struct rk_why *why)
{
	const char *push = spec->checkpoint.push;

	(void)ctx;
	if (push != NULL && strcmp(push, "s3://nobodys/") == 0)
		return rk_refuse_at(why, "checkpoint.push", "no credentials");
	return RK_OK;
}

static bool
up_has(void *ctx, const char *job, const char *selector)
{
	(void)ctx;
	snprintf(up.said, sizeof(up.said), "%s/%s", job, selector);
	return up.has;
}

static bool
up_shipped(void *ctx, const struct job_row *r, const struct spec *spec,
    const char *checkpoint)
{
	(void)ctx;
	(void)spec;
	snprintf(up.said, sizeof(up.said), "%s/%s", r->id, checkpoint);
	return up.shipped;
}

static void
up_gone(void *ctx, const char *job)
{
	(void)ctx;
	snprintf(up.said, sizeof(up.said), "%s", job);
	up.gone++;
}

static char *
up_where(void *ctx, const struct spec *spec)
{
	(void)ctx;
	return xstrdup(up.no_where ? "" : spec->checkpoint.push != NULL ?
	    spec->checkpoint.push : "s3://mirror/");
}

static const struct sup_supplier supplier = {
	NULL, up_supply, up_check, up_has, up_shipped, up_gone, up_where
};

static void
begin_supplied(void)
{
	w_begin();
	snprintf(up.path, sizeof(up.path), "%s", W.data);
	W.sup->supply_ask_ms = 20;
	W.sup->supply_say_ms = 100;
	sup_supplier_set(W.sup, &supplier);
}

static void
set(json_t *tree, const char *path, json_t *v)
{
	t_eq_int(rkj_set_path(tree, path, v, NULL), RK_OK);
}

static json_t *
far_job(const char *script)
{
	json_t *tree = w_job(script);

	set(tree, "data.train.path", json_string("s3://b/x"));
	return tree;
}

static json_t *
sent_job(const char *script, const char *push)
{
	json_t *tree = w_job(script);

	json_object_set_new(tree, "checkpoint", push != NULL ?
	    json_pack("{s:b, s:s}", "require_remote", 1, "push", push) :
	    json_pack("{s:b}", "require_remote", 1));
	return tree;
}

static void
row_says(const char *id, const char *reason, const char *message)
{
	struct job_row r = w_row(id);

	t_eq_str(r.reason, reason);
	t_has(r.message, message);
	store_job_fini(&r);
}

static char *
read_log(const char *id)
{
	char *path = xasprintf("%s/train.log", sup_job_dir(W.sup, id));
	char *text = NULL;
	size_t n;

	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &text, &n), RK_OK);
	free(path);
	return text;
}

static bool
has_message(struct world *w)
{
	struct job_row r = w_row(w->id);
	bool yes = strstr(r.message, up.text) != NULL;

	store_job_fini(&r);
	return yes;
}

static void
answer(enum rk_err rc, const char *text)
{
	up.answer = rc;
	up.text = text;
	sup_supplied(W.sup);
}

/* --- before a start ------------------------------------------------------- */

T_CASE(without_a_supplier_what_is_elsewhere_is_refused_by_its_field)
{
	struct rk_why why = { 0 };
	char id[RK_ID];

	w_begin();
	json_t *tree = far_job("ok");
	set(tree, "model.checkpoint", json_string("https://h/m"));
	t_eq_int(w_try_submit(tree, id, &why), RK_EINVAL);
	t_eq_int(why.n, 2);
	t_eq_str(why.v[0].path, "data.train.path");
	t_has(why.v[0].message, "is s3://b/x, which this daemon cannot fetch");
	t_eq_str(why.v[1].path, "model.checkpoint");
	rk_why_fini(&why);
	t_eq_int(w_try_submit(sent_job("ok", "s3://b/"), id, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "checkpoint.push");
	t_has(why.v[0].message, "sends nothing");
	rk_why_fini(&why);
	t_eq_int(w_try_submit(sent_job("ok", NULL), id, &why), RK_EINVAL);
	t_eq_int(why.n, 1);
	t_eq_str(why.v[0].path, "checkpoint.require_remote");
	t_has(why.v[0].message, "wants checkpoint.push or a mirror");
	rk_why_fini(&why);
	w_close();
}

T_CASE(a_job_waits_for_its_bytes_while_those_behind_it_run)
{
	begin_supplied();
	up.answer = RK_EBUSY;
	up.text = "fetches s3://b/x, 43 %";
	char *far = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	row_says(far, "fetching", "fetches s3://b/x, 43 %");
	t_eq_int(w_state(far), JOB_QUEUED);
	char *near = w_submit("ok");
	w_wait(near, JOB_SUCCEEDED);
	t_eq_int(w_state(far), JOB_QUEUED);
	answer(RK_OK, NULL);
	w_wait(far, JOB_SUCCEEDED);
	t_has(w_events(far), "[fetching] fetches s3://b/x, 43 %");
	char *log = read_log(far), *want = xasprintf("--file s3://b/x=%s\n",
	    W.data);
	t_has(log, want);
	free(want);
	free(log);
	free(far);
	free(near);
	w_close();
}

T_CASE(it_is_asked_again_without_being_told)
{
	begin_supplied();
	up.answer = RK_EBUSY;
	up.text = "soon";
	char *far = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	up.answer = RK_OK;              /* and nobody says sup_supplied() */
	w_wait(far, JOB_SUCCEEDED);
	free(far);
	w_close();
}

T_CASE(how_far_a_fetch_is_is_written_now_and_then)
{
	static char text[100][40];

	begin_supplied();
	up.answer = RK_EBUSY;
	up.text = "fetches x, 0 %";
	char *far = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	struct job_row a = w_row(far);
	W.sup->supply_say_ms = 100000;
	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "fetches x, %d %%", i);
		answer(RK_EBUSY, text[i]);
		w_spin(3);
	}
	struct job_row b = w_row(far);
	t_eq_int(b.version, a.version);
	W.sup->supply_say_ms = 20;
	w_until(has_message, "the newest number");
	/* Other words are worth more than other numbers. */
	W.sup->supply_say_ms = 200;
	int64_t begun = mono_ms();
	answer(RK_EBUSY, "waits for the store, which answers 503");
	w_until(has_message, "other words");
	t_check(mono_ms() - begun < 900);
	store_job_fini(&a);
	store_job_fini(&b);
	free(far);
	w_close();
}

T_CASE(what_can_never_be_fetched_fails_the_job)
{
	begin_supplied();
	up.answer = RK_EINVAL;
	up.text = "s3://b/x: there is no such object";
	char *far = w_submit_tree(far_job("ok"));
	w_wait(far, JOB_FAILED);
	row_says(far, "fetch", "there is no such object");
	/* Also when that turns out on the way, and there is no slot. */
	up.answer = RK_EBUSY;
	up.text = "on its way";
	char *b = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	json_t *all = w_job("run");
	set(all, "resources.threads", json_integer(4));
	char *c = w_submit_tree(all);
	w_wait(c, JOB_RUNNING);
	answer(RK_EINVAL, "its bytes are others than #sha256 says");
	w_wait(b, JOB_FAILED);
	row_says(b, "fetch", "its bytes are others");
	struct job_row r = w_row(b);
	t_eq_int(r.attempt, 0);
	t_check(r.ended_ms > 0);
	store_job_fini(&r);
	/* A person may try again. */
	answer(RK_OK, NULL);
	t_eq_int(sup_retry(W.sup, b, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, c, NULL, NULL), RK_OK);
	w_wait(b, JOB_SUCCEEDED);
	free(far);
	free(b);
	free(c);
	w_close();
}

T_CASE(a_disk_that_is_full_while_fetching_pauses_once_and_goes_on)
{
	begin_supplied();
	up.answer = RK_ENOSPC;
	up.text = "no room for the 3 GiB of s3://b/x";
	char *far = w_submit_tree(far_job("ok"));
	w_wait(far, JOB_PAUSED);
	row_says(far, "disk_full", "no room for the 3 GiB of s3://b/x; goes on "
	    "by itself");
	struct job_row a = w_row(far);
	w_spin(150);                    /* disk_check_ms is 20 */
	struct job_row b = w_row(far);
	t_eq_int(b.version, a.version);
	up.answer = RK_OK;
	w_wait(far, JOB_SUCCEEDED);
	store_job_fini(&a);
	store_job_fini(&b);
	free(far);
	w_close();
}

T_CASE(nobody_makes_room_for_a_job_whose_bytes_are_not_there)
{
	begin_supplied();
	json_t *all = w_job("run");
	set(all, "resources.threads", json_integer(4));
	char *low = w_submit_tree(all);
	w_wait(low, JOB_RUNNING);
	up.answer = RK_EBUSY;
	up.text = "on its way";
	json_t *tree = far_job("ok");
	json_object_set_new(tree, "priority", json_integer(9));
	char *far = w_submit_tree(tree);
	w_until(has_message, "the sentence in its row");
	w_spin(80);
	t_eq_int(w_state(low), JOB_RUNNING);
	t_check(strstr(w_events(low), "make room") == NULL);
	answer(RK_OK, NULL);
	w_wait(far, JOB_SUCCEEDED);
	t_has(w_events(low), "make room");
	free(low);
	free(far);
	w_close();
}

static bool
waits_for_turn(struct world *w)
{
	return strcmp(w_reason(w->id), "") == 0;
}

T_CASE(a_job_whose_bytes_have_come_says_that_it_waits_for_its_turn)
{
	begin_supplied();
	json_t *all = w_job("run");
	set(all, "resources.threads", json_integer(4));
	char *first = w_submit_tree(all);
	w_wait(first, JOB_RUNNING);
	up.answer = RK_EBUSY;
	up.text = "on its way";
	char *far = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	answer(RK_OK, NULL);
	w_until(waits_for_turn, "another reason");
	t_eq_int(w_state(far), JOB_QUEUED);
	row_says(far, "", "waits for its turn");
	t_eq_int(sup_cancel(W.sup, first, NULL, NULL), RK_OK);
	w_wait(far, JOB_SUCCEEDED);
	free(first);
	free(far);
	w_close();
}

T_CASE(people_pause_and_cancel_jobs_that_fetch)
{
	begin_supplied();
	up.answer = RK_EBUSY;
	up.text = "on its way";
	char *a = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	char *b = w_submit_tree(far_job("ok"));
	w_until(has_message, "the sentence in its row");
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	answer(RK_OK, NULL);
	w_spin(60);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_str(w_reason(a), "user");
	t_eq_int(w_state(b), JOB_CANCELLED);
	t_check(W.sup->fetching == NULL);
	t_eq_int(sup_resume(W.sup, a, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	free(b);
	w_close();
}

T_CASE(hundreds_of_jobs_that_fetch_stop_nobody_for_long)
{
	begin_supplied();
	up.answer = RK_EBUSY;
	up.text = "on its way";
	char *id = NULL;
	for (int i = 0; i < 60; i++) {
		free(id);
		id = w_submit_tree(far_job("ok"));
	}
	char *near = w_submit("ok");
	w_wait(near, JOB_SUCCEEDED);
	/* There is an end to how many are asked about at a time. */
	for (int i = 0; i < 40; i++) {
		free(id);
		id = w_submit_tree(far_job("ok"));
	}
	w_spin(100);
	int n = 0;
	for (struct fetching *f = W.sup->fetching; f != NULL; f = f->next)
		n++;
	t_check(n >= 60 && n <= 64 + 4);
	answer(RK_OK, NULL);
	w_wait(id, JOB_SUCCEEDED);
	free(id);
	free(near);
	w_close();
}

T_CASE(a_supplier_that_forgets_a_file_starts_nothing)
{
	begin_supplied();
	struct sup_supplier p = supplier;
	p.supply = NULL;
	char *far = w_submit_tree(far_job("ok"));
	sup_supplier_set(W.sup, &p);
	w_wait(far, JOB_FAILED);
	row_says(far, "fetch", "data.train.path: is s3://b/x, which this "
	    "daemon cannot fetch");
	free(far);
	w_close();
}

/* --- what is asked of a bucket -------------------------------------------- */

T_CASE(those_above_may_refuse_a_job_and_what_is_said_at_a_resume)
{
	struct rk_why why = { 0 };
	char id[RK_ID];

	begin_supplied();
	t_eq_int(w_try_submit(sent_job("ok", "s3://nobodys"), id, &why),
	    RK_EINVAL);
	t_eq_str(why.v[0].path, "checkpoint.push");
	t_eq_str(why.v[0].message, "no credentials");
	rk_why_fini(&why);
	up.no_where = true;
	t_eq_int(w_try_submit(sent_job("ok", NULL), id, &why), RK_EINVAL);
	t_has(why.v[0].message, "wants checkpoint.push or a mirror");
	rk_why_fini(&why);
	char *a = w_submit("ok");
	w_wait(a, JOB_SUCCEEDED);
	json_t *o = json_pack("{s:{s:s}}", "checkpoint", "push",
	    "s3://nobodys");
	t_eq_int(sup_resume(W.sup, a, NULL, o, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "overrides.checkpoint.push");
	rk_why_fini(&why);
	json_decref(o);
	o = json_pack("{s:{s:b}}", "checkpoint", "require_remote", 1);
	t_eq_int(sup_resume(W.sup, a, NULL, o, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "overrides.checkpoint.require_remote");
	rk_why_fini(&why);
	/* What has nothing to do with it is not asked. */
	json_decref(o);
	o = json_pack("{s:{s:i}}", "training", "epochs", 2);
	t_eq_int(sup_resume(W.sup, a, NULL, o, NULL, &why), RK_OK);
	json_decref(o);
	free(a);
	w_close();
}

T_CASE(a_checkpoint_that_only_the_bucket_has_may_be_resumed_from)
{
	struct rk_why why = { 0 };

	begin_supplied();
	char *a = w_submit("ok run");
	w_wait(a, JOB_SUCCEEDED);
	t_eq_int(sup_resume(W.sup, a, "before", NULL, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "from");
	rk_why_fini(&why);
	t_eq_int(sup_resume(W.sup, a, "step:", NULL, NULL, &why), RK_EINVAL);
	rk_why_fini(&why);
	up.has = true;
	t_eq_int(sup_resume(W.sup, a, "before", NULL, NULL, &why), RK_OK);
	char *want = xasprintf("%s/before", a);
	t_eq_str(up.said, want);
	struct job_row r = w_row(a);
	t_eq_str(r.resume_from, "before");
	store_job_fini(&r);
	free(want);
	free(a);
	w_close();
}

T_CASE(a_warm_start_may_be_from_a_job_whose_checkpoint_is_elsewhere)
{
	struct rk_why why = { 0 };
	char id[RK_ID];

	begin_supplied();
	json_t *held = w_job("ok");
	json_object_set_new(held, "hold", json_true());
	char *a = w_submit_tree(held);
	char *uri = xasprintf("job://%s/latest", a);
	json_t *tree = w_job("ok");
	set(tree, "model.checkpoint", json_string(uri));
	t_eq_int(w_try_submit(json_deep_copy(tree), id, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "has no checkpoint");
	rk_why_fini(&why);
	up.has = true;
	char *b = w_submit_tree(tree);
	/* It was not fetched after all. */
	w_wait(b, JOB_FAILED);
	row_says(b, "warm_start", "which a bucket has and this machine has "
	    "not");
	free(uri);
	free(a);
	free(b);
	w_close();
}

T_CASE(who_ships_is_told_of_a_deletion)
{
	begin_supplied();
	char *a = w_submit("ok");
	w_wait(a, JOB_SUCCEEDED);
	t_eq_int(sup_delete(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(up.gone, 1);
	t_eq_str(up.said, a);
	free(a);
	w_close();
}

/* --- the last upload ------------------------------------------------------ */

T_CASE(a_job_succeeds_when_its_last_checkpoint_is_verified_elsewhere)
{
	begin_supplied();
	char *a = w_submit_tree(sent_job("ok", "s3://b/p"));
	w_wait(a, JOB_PAUSED);
	row_says(a, "uploading", "training is finished; waits until "
	    "step-000000100 is verified at s3://b/p/");
	t_eq_str(w_attempts(a), "1:succeeded::1 ");
	struct job_row r = w_row(a);
	t_eq_int(r.desired, JOB_RUN);
	t_eq_int(r.ended_ms, 0);
	store_job_fini(&r);
	sup_supplied(W.sup);
	w_spin(250);
	t_eq_int(w_state(a), JOB_PAUSED);
	char *want = xasprintf("%s/step-000000100", a);
	t_eq_str(up.said, want);
	up.shipped = true;
	sup_supplied(W.sup);
	w_wait(a, JOB_SUCCEEDED);
	row_says(a, "", "finished; step-000000100 is verified in the bucket");
	r = w_row(a);
	t_check(r.ended_ms > 0);
	store_job_fini(&r);
	t_check(W.sup->uploading == NULL);
	/* And at once, if it is there by the end. */
	char *b = w_submit_tree(sent_job("ok", NULL));
	w_wait(b, JOB_SUCCEEDED);
	t_eq_str(w_attempts(b), "1:succeeded::1 ");
	free(want);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_job_that_waits_for_its_upload_does_so_after_a_restart)
{
	begin_supplied();
	char *a = w_submit_tree(sent_job("ok", NULL));
	w_wait(a, JOB_PAUSED);
	row_says(a, "uploading", "verified at s3://mirror/");
	w_close();
	w_open();                       /* without a supplier yet */
	w_spin(150);
	t_eq_int(w_state(a), JOB_PAUSED);
	up.shipped = true;
	sup_supplier_set(W.sup, &supplier);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	w_close();
}

T_CASE(a_person_may_pause_resume_and_cancel_what_waits_for_its_upload)
{
	begin_supplied();
	char *a = w_submit_tree(sent_job("ok", "oss://b"));
	char *b = w_submit_tree(sent_job("ok", "oss://b"));
	char *c = w_submit_tree(sent_job("ok", "oss://b"));
	w_wait(a, JOB_PAUSED);
	w_wait(b, JOB_PAUSED);
	w_wait(c, JOB_PAUSED);
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	json_t *o = json_pack("{s:{s:b}}", "checkpoint", "require_remote", 0);
	t_eq_int(sup_resume(W.sup, c, NULL, o, NULL, NULL), RK_OK);
	json_decref(o);
	w_wait(c, JOB_SUCCEEDED);
	up.shipped = true;
	sup_supplied(W.sup);
	w_spin(250);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_str(w_reason(a), "user");
	t_eq_int(w_state(b), JOB_CANCELLED);
	t_check(W.sup->uploading == NULL);
	t_eq_int(sup_resume(W.sup, a, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(a_wish_that_comes_as_the_training_ends_leaves_no_trap)
{
	begin_supplied();
	char *a = w_submit_tree(sent_job("late", NULL));
	char *b = w_submit_tree(sent_job("late", NULL));
	w_wait_step(a, 3);
	w_wait_step(b, 3);
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	/* There is nothing left that a pause could stop. */
	w_wait(a, JOB_PAUSED);
	t_eq_str(w_reason(a), "uploading");
	w_wait(b, JOB_CANCELLED);
	row_says(b, "user", "but not verified in the bucket");
	up.shipped = true;
	sup_supplied(W.sup);
	w_wait(a, JOB_SUCCEEDED);
	t_eq_int(w_state(b), JOB_CANCELLED);
	free(a);
	free(b);
	w_close();
}

/* --- held ----------------------------------------------------------------- */

static bool
see_owner(void *ctx, const struct attempt_row *a)
{
	sb_addf(ctx, "%lld:%s:%lld:%s ", (long long)a->n, a->instance,
	    (long long)a->epoch, a->message);
	return true;
}

static char *
attempt_texts(const char *id)
{
	struct strbuf b = { 0 };

	t_eq_int(store_attempts(W.store, id, 0, 100, see_owner, &b), RK_OK);
	return sb_detach(&b);
}

T_CASE(a_held_supervisor_starts_and_settles_nothing_until_it_goes)
{
	w_prepare();
	W.c.instance = "gpu-a";
	w_open();
	sup_go(W.sup, 3);
	char *a = w_submit("run run ok");
	w_wait_step(a, 3);
	w_close();
	W.c.held = true;
	w_open();
	t_check(sup_held(W.sup));
	char *b = w_submit("ok");
	w_spin(80);
	t_eq_int(w_state(a), JOB_RUNNING);
	t_eq_int(w_state(b), JOB_QUEUED);
	sup_go(W.sup, 4);
	t_check(!sup_held(W.sup));
	row_says(a, "interrupted", "the daemon ended while it ran");
	w_wait(b, JOB_SUCCEEDED);
	w_wait_attempt(a, 2);
	w_wait(a, JOB_RUNNING);
	w_close();
	w_open();
	sup_go(W.sup, 5);
	row_says(a, "interrupted", "the daemon ended while it ran");
	w_wait(a, JOB_SUCCEEDED);
	char *owners = attempt_texts(a);
	t_has(owners, "1:gpu-a:3:the daemon ended ");
	t_has(owners, "2:gpu-a:4:the daemon ended ");
	t_has(owners, "3:gpu-a:5:finished at step ");
	free(owners);
	free(a);
	free(b);
	w_close();
}

/* A row as it comes from a machine that is gone. */
static void
import_running(const char *id, int64_t epoch, enum job_desired desired)
{
	struct job_row r = w_row(id);
	struct attempt_row a = { .n = 1, .started_ms = now_ms(),
		.hello_ms = now_ms(), .pid = getpid(), .from = (char[]){ "" },
		.outcome = (char[]){ "" }, .message = (char[]){ "" },
		.instance = (char[]){ "gpu-a" }, .epoch = epoch };

	r.state = JOB_RUNNING;
	r.desired = desired;
	r.attempt = 1;
	t_eq_int(store_job_step(W.store, &r, &a, NULL), RK_OK);
	store_job_fini(&r);
}

T_CASE(jobs_of_a_machine_that_is_gone_say_so_and_go_on)
{
	w_prepare();
	W.c.instance = "gpu-a";
	W.c.held = true;
	w_open();
	char *a = w_submit("ok"), *b = w_submit("ok"), *c = w_submit("ok");
	import_running(a, 7, JOB_RUN);
	import_running(b, 7, JOB_PAUSE);
	import_running(c, 7, JOB_CANCEL);
	sup_go(W.sup, 8);
	row_says(a, "interrupted", "the machine that ran it is gone; the job "
	    "goes on here from its newest checkpoint");
	t_eq_int(w_state(b), JOB_PAUSED);
	t_eq_int(w_state(c), JOB_CANCELLED);
	w_wait(a, JOB_SUCCEEDED);
	char *owners = attempt_texts(a);
	t_has(owners, "1:gpu-a:7:its machine is gone ");
	free(owners);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(one_that_is_told_to_leave_while_held_leaves_its_rows_alone)
{
	w_prepare();
	W.c.held = true;
	w_open();
	char *a = w_submit("ok");
	import_running(a, 7, JOB_RUN);
	sup_drain(W.sup, mono_ms() + 1000, "shutdown", NULL, NULL);
	sup_go(W.sup, 8);
	w_spin(50);
	t_eq_int(w_state(a), JOB_RUNNING);
	free(a);
	w_close();
}

T_MAIN
