/* Checkpoints and models come down: once, whole, and only when needed. */
#include "impl.h"
#include "ship_world.h"

/* A job whose checkpoints are in the bucket alone. */
static char *
only_remote(int n, const char *name)
{
	char *id = s_job(5);

	for (int k = 1; k <= n; k++) {
		char *dir = xasprintf("step-%09d", k * 100);
		s_save_as(id, k * 100, (uint64_t)k, k == 1 ? name : NULL);
		s_wait(id, dir, "verified");
		free(dir);
	}
	return id;
}

static void
lose_folder(const char *id)
{
	char *path = xasprintf("%s/jobs/%s", S.state, id);

	t_eq_int(rk_remove_tree(AT_FDCWD, path), RK_OK);
	free(path);
}

static void
start(const char *id)
{
	struct rk_why why = {0};

	if (sup_start(W.sup, id, NULL, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

static int64_t
pulls(void)
{
	struct ship_stats st;

	ship_stats(S.ship, &st);
	return st.pulled;
}

T_CASE(a_checkpoint_that_only_the_bucket_has_is_there_when_its_job_starts)
{
	s_begin();
	char *id = only_remote(2, "good-one");
	char *path = xasprintf("%s/jobs/%s/metrics.jsonl", S.state, id);
	char *judged = xasprintf("%s/jobs/%s/evaluations.jsonl", S.state,
	    id);
	s_write(path, "{\"step\": 1}\n");
	s_write(judged, "{\"evaluation\":1,\"step\":9}\n");
	s_save(id, 300);
	s_wait(id, "step-000000300", "verified");
	lose_folder(id);
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:succeeded:step-000000300");
	t_has(w_events(id), "[pulled] step 300 came from the bucket");
	t_eq_int(pulls(), 1);
	char *metrics = s_read(path);
	t_has(metrics, "{\"step\": 1}");
	free(metrics);
	metrics = s_read(judged);
	t_has(metrics, "\"step\":9");
	free(metrics);
	free(judged);
	free(path);
	s_close();
}

T_CASE(names_and_the_branch_come_along)
{
	struct rk_why why = {0};

	s_begin();
	char *id = only_remote(1, "good-one");
	lose_folder(id);
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	struct ckpt *c = s_folder(id);
	struct ckpt_info i;
	t_eq_int(ckpt_read(c, "good-one", &i), RK_OK);
	t_eq_str(i.dir, "step-000000100");
	t_eq_int(ckpt_verify(c, &i, &why), RK_OK);
	ckpt_info_fini(&i);
	t_eq_int(ckpt_select(c, "latest", "loss", false, &i, &why), RK_OK);
	ckpt_info_fini(&i);
	ckpt_close(&c);
	s_close();
}

T_CASE(a_newer_local_one_is_used_and_nothing_is_pulled)
{
	s_begin();
	char *id = only_remote(2, NULL);
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:succeeded:step-000000200");
	t_eq_int(pulls(), 0);
	s_close();
}

T_CASE(an_older_local_folder_gets_the_newer_one)
{
	s_begin();
	char *id = only_remote(2, NULL);
	char *path = xasprintf("%s/jobs/%s/checkpoints/step-000000200",
	    S.state, id);
	t_eq_int(rk_remove_tree(AT_FDCWD, path), RK_OK);
	free(path);
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:succeeded:step-000000200");
	t_eq_int(pulls(), 1);
	s_close();
}

T_CASE(a_damaged_one_is_passed_over_for_the_next_older)
{
	s_begin();
	char *id = only_remote(3, NULL);
	lose_folder(id);
	s_flip(s_path(id, "step-000000300/model.safetensors"));
	t_eq_int(remove(s_path(id, "step-000000200/optimizer.safetensors")),
	    0);
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:succeeded:step-000000100");
	t_eq_int(s_count(w_events(id), "[remote_damaged]"), 2);
	/* No torn file is left of it. */
	t_eq_int(entries("state/cache/partial"), 0);
	s_close();
}

T_CASE(when_all_are_damaged_the_job_begins_anew)
{
	s_begin();
	char *id = only_remote(1, NULL);
	lose_folder(id);
	s_flip(s_path(id, "step-000000100/model.safetensors"));
	start(id);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:succeeded::");
	s_close();
}

T_CASE(a_named_one_that_is_damaged_is_an_error)
{
	s_begin();
	char *id = only_remote(2, "good-one");
	struct job_row r = w_row(id);
	free(r.resume_from);
	r.resume_from = xstrdup("good-one");
	t_eq_int(store_job_put(W.store, &r, NULL), RK_OK);
	store_job_fini(&r);
	lose_folder(id);
	s_flip(s_path(id, "step-000000100/model.safetensors"));
	start(id);
	w_wait(id, JOB_FAILED);
	t_eq_str(w_reason(id), "fetch");
	s_close();
}

T_CASE(a_job_may_begin_from_a_model_that_only_the_bucket_has)
{
	s_begin();
	char *old = only_remote(2, NULL);
	lose_folder(old);
	json_t *t = w_job("ok");
	char *uri = xasprintf("job://%s/latest", old);
	json_object_set_new(json_object_get(t, "model"), "checkpoint",
	    json_string(uri));
	char *id = w_submit_tree(t);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_int(entries("state/cache/sha256"), 1);
	free(uri);
	free(old);
	s_close();
}

T_CASE(an_address_of_a_checkpoint_means_its_model)
{
	char hex[RK_SHA256_HEX], job[RK_ID];
	struct rk_why why = {0};
	int state = 0;

	s_begin();
	char *id = only_remote(1, NULL);
	rk_id_new(job);
	char *uri = xasprintf("%sjobs/%s/checkpoints/step-000000100/"
	    "checkpoint.json", S.prefix, id);
	struct fetch_ask a = { .uri = uri, .job = job, .model = true };
	for (; state < 1000 && fetch_want(S.ship, &a, hex, &why) == RK_EBUSY;
	    state++)
		w_spin(5);
	t_eq_int(fetch_want(S.ship, &a, hex, &why), RK_OK);
	char *model = s_read(s_path(id, "step-000000100/model.safetensors"));
	char *path = cache_path(S.ship, hex);
	char *here = s_read(path);
	t_check(memcmp(model, here, 100) == 0);
	rk_why_fini(&why);
	free(model);
	free(here);
	free(path);
	free(uri);
	s_close();
}

T_CASE(a_job_has_succeeded_when_its_last_checkpoint_is_verified)
{
	s_begin();
	t_eq_int(rename("bucket", "away"), 0);
	write_file("bucket", "");
	json_t *t = w_job("ok");
	json_object_set_new(t, "checkpoint", json_pack("{s:b}",
	    "require_remote", 1));
	char *id = w_submit_tree(t);
	w_wait(id, JOB_PAUSED);
	t_eq_str(w_reason(id), "uploading");
	t_eq_int(remove("bucket"), 0);
	t_eq_int(rename("away", "bucket"), 0);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(s_state(id, "step-000000100"), "verified");
	s_close();
}

/* --- find ---------------------------------------------------------------- */

static int found_n = -2;
static char found_why[300];

static void
found(void *ctx, int n, const char *why)
{
	(void)ctx;
	found_n = n;
	snprintf(found_why, sizeof(found_why), "%s", why);
}

static bool
is_found(struct world *w)
{
	(void)w;
	return found_n > -2;
}

static bool
drop_one(void *ctx, const struct remote_row *r)
{
	row_copy(ctx, r);
	return false;
}

static void
drop_rows(void)
{
	struct remote_row r;

	for (;;) {
		memset(&r, 0, sizeof(r));
		t_eq_int(store_remotes(W.store, NULL, 0, drop_one, &r),
		    RK_OK);
		if (r.dir == NULL)
			return;
		t_eq_int(store_remote_drop(W.store, &r), RK_OK);
		store_remote_fini(&r);
	}
}

static bool
no_e2(void *ctx, const char *folder, int64_t epoch)
{
	(void)ctx;
	t_check(folder[strlen(folder) - 1] == '/');
	return epoch != 2;
}

static int
find_all(const char *id, ship_accept_fn *accept)
{
	found_n = -2;
	ship_find(S.ship, id, S.prefix, accept, found, NULL);
	w_until(is_found, "the end of a look");
	return found_n;
}

T_CASE(what_a_bucket_has_is_found_and_goes_on_as_ours)
{
	s_begin();
	char *id = only_remote(3, "good-one");
	s_close();
	/* A checkpoint that is not whole, one that is none, and a stranger. */
	t_eq_int(remove(s_path(id, "step-000000200/model.safetensors")), 0);
	t_eq_int(remove(s_path(id, "step-000000300/checkpoint.json")), 0);
	s_write(s_path(id, "step-7/checkpoint.json"), "{}");
	S.held_back = true;
	s_open();
	drop_rows();
	t_eq_int(find_all(id, NULL), 1);
	t_eq_str(s_state(id, "step-000000100"), "remote");
	ship_go(S.ship, 0);
	s_wait(id, "step-000000100", "verified");
	struct ckpt_info *v;
	char **uris;
	size_t n;
	t_eq_int(ship_remote_list(S.ship, id, &v, &uris, &n), RK_OK);
	t_check(n >= 1);
	t_eq_str(v[0].dir, "step-000000100");
	t_eq_str(v[0].names[0], "good-one");
	t_has(uris[0], "/step-000000100/");
	ckpt_list_free(v, n);
	ship_uris_free(uris, n);
	s_close();
}

T_CASE(folders_of_an_epoch_that_does_not_count_are_not_taken)
{
	s_prepare();
	S.epoch = 1;
	s_open();
	char *id = s_job(5);
	s_save(id, 100);
	s_wait(id, "step-000000100", "verified");
	s_close();
	S.epoch = 2;
	s_open();
	s_save(id, 200);
	s_wait(id, "step-000000200", "verified");
	s_close();
	S.held_back = true;
	s_open();
	drop_rows();
	t_eq_int(find_all(id, no_e2), 1);
	t_eq_str(s_state(id, "step-000000100"), "remote");
	t_eq_str(s_state(id, "step-000000200"), "local");
	s_close();
}

T_CASE(a_job_that_the_bucket_does_not_know_has_nothing_there)
{
	s_begin();
	char *id = s_job(1);
	t_eq_int(find_all(id, NULL), 0);
	s_close();
}

/* --- the cache ----------------------------------------------------------- */

static char uri_of[3][700];
static char hex_of[3][RK_SHA256_HEX];

static void
three_files(void)
{
	for (int k = 0; k < 3; k++) {
		char name[32], *text = xcalloc(1, 5001);
		snprintf(name, sizeof(name), "bucket/m%d", k);
		memset(text, 'a' + k, 5000);
		s_write(name, text);
		rk_sha256_of(text, 5000, hex_of[k]);
		snprintf(uri_of[k], sizeof(uri_of[k]), "%sm%d", S.prefix, k);
		free(text);
	}
}

static const char *want_uri, *want_job;
static enum rk_err want_rc;
static char want_why[600];

static bool
asked_for(struct world *w)
{
	struct fetch_ask a = { .uri = want_uri, .job = want_job };
	char hex[RK_SHA256_HEX];
	struct rk_why why = {0};

	(void)w;
	want_rc = fetch_want(S.ship, &a, hex, &why);
	snprintf(want_why, sizeof(want_why), "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return want_rc != RK_EBUSY;
}

static enum rk_err
fetch(const char *uri, const char *job)
{
	want_uri = uri;
	want_job = job;
	w_until(asked_for, "a fetch");
	return want_rc;
}

static bool
cached(int k)
{
	char *path = xasprintf("state/cache/sha256/%s", hex_of[k]);
	bool there = access(path, R_OK) == 0;

	free(path);
	return there;
}

T_CASE(many_who_wait_make_one_download)
{
	struct ship_stats st;
	char hex[RK_SHA256_HEX], id[3][RK_ID];
	struct rk_why why = {0};

	s_begin();
	three_files();
	for (int k = 0; k < 3; k++) {
		struct fetch_ask a = { .uri = uri_of[0], .job = id[k] };
		rk_id_new(id[k]);
		t_eq_int(fetch_want(S.ship, &a, hex, &why), RK_EBUSY);
	}
	rk_why_fini(&why);
	for (int k = 0; k < 3; k++)
		t_eq_int(fetch(uri_of[0], id[k]), RK_OK);
	ship_stats(S.ship, &st);
	t_eq_int(st.pulled_bytes, 5000);
	t_eq_int(st.cache_files, 1);
	t_eq_int(entries("state/cache/partial"), 0);
	s_close();
	/* A daemon after this one has it, too. */
	s_open();
	t_eq_int(fetch(uri_of[0], id[0]), RK_OK);
	ship_stats(S.ship, &st);
	t_eq_int(st.pulled_bytes, 0);
	s_close();
}

T_CASE(an_object_that_was_replaced_is_fetched_again)
{
	char id[RK_ID];

	s_begin();
	three_files();
	rk_id_new(id);
	t_eq_int(fetch(uri_of[0], id), RK_OK);
	s_close();
	s_write("bucket/m0", "another");
	s_open();
	t_eq_int(fetch(uri_of[0], id), RK_OK);
	t_eq_int(entries("state/cache/sha256"), 2);
	s_close();
}

T_CASE(bytes_that_are_not_the_pinned_ones_are_refused)
{
	char id[RK_ID];

	s_begin();
	three_files();
	rk_id_new(id);
	char *uri = xasprintf("%s#sha256=%s", uri_of[0], hex_of[1]);
	t_eq_int(fetch(uri, id), RK_ECORRUPT);
	t_eq_int(entries("state/cache/partial"), 0);
	t_eq_int(entries("state/cache/sha256"), 0);
	free(uri);
	uri = xasprintf("%s#sha256=%s", uri_of[1], hex_of[1]);
	t_eq_int(fetch(uri, id), RK_OK);
	/* Pinned and here: the store is not asked any more. */
	t_eq_int(remove("bucket/m1"), 0);
	s_close();
	s_open();
	t_eq_int(fetch(uri, id), RK_OK);
	free(uri);
	s_close();
}

T_CASE(what_is_not_there_is_said_once_and_asked_for_again)
{
	char id[RK_ID];

	s_begin();
	three_files();
	rk_id_new(id);
	char *uri = xasprintf("%snowhere", S.prefix);
	t_eq_int(fetch(uri, id), RK_ENOENT);
	t_has(want_why, "nowhere");
	s_write("bucket/nowhere", "now");
	t_eq_int(fetch(uri, id), RK_OK);
	free(uri);
	s_close();
}

T_CASE(the_least_recently_used_leaves_but_nothing_that_is_in_use)
{
	char a[RK_ID], b[RK_ID];

	s_prepare();
	S.c.cache_limit = 11000;
	s_open();
	three_files();
	rk_id_new(a);
	rk_id_new(b);
	t_eq_int(fetch(uri_of[0], a), RK_OK);
	w_spin(5);
	t_eq_int(fetch(uri_of[1], b), RK_OK);
	cache_unuse(S.ship, b);
	t_eq_int(fetch(uri_of[2], b), RK_OK);
	/* The oldest is in use; the next one went. */
	t_check(cached(0) && !cached(1) && cached(2));
	cache_unuse(S.ship, a);
	t_eq_int(fetch(uri_of[1], b), RK_OK);
	t_check(!cached(0) && cached(1) && cached(2));
	s_close();
}

/* As a trainer leaves it: see src/train/unpack.c. */
static void
unpack_beside(const char *hex, size_t bytes)
{
	char *dir = xasprintf("state/cache/sha256/%s" SPEC_UNPACKED, hex);
	char *tar = xasprintf("%s/" SPEC_UNPACKED_TAR, dir);

	t_check(mkdir(dir, 0750) == 0);
	s_write(tar, "");
	t_check(truncate(tar, (off_t)bytes) == 0);
	free(tar);
	free(dir);
}

T_CASE(what_a_trainer_unpacked_counts_and_goes_with_its_file)
{
	struct ship_stats st;
	char a[RK_ID];

	s_prepare();
	S.c.cache_limit = 11000;
	s_open();
	three_files();
	rk_id_new(a);
	t_eq_int(fetch(uri_of[0], a), RK_OK);
	unpack_beside(hex_of[0], 7000);
	cache_unuse(S.ship, a);
	t_eq_int(fetch(uri_of[1], a), RK_OK);
	t_check(!cached(0) && cached(1));
	t_eq_int(entries("state/cache/sha256"), 1);
	unpack_beside(hex_of[1], 7000);
	unpack_beside(hex_of[2], 10);           /* of a file that is not there */
	s_close();
	s_open();
	ship_stats(S.ship, &st);
	t_eq_int(st.cache_bytes, 5000 + 7000);
	t_eq_int(entries("state/cache/sha256"), 2);
	s_close();
}

T_CASE(the_limit_gives_way_to_what_jobs_need)
{
	char id[RK_ID];

	s_prepare();
	S.c.cache_limit = 1;
	s_open();
	three_files();
	rk_id_new(id);
	for (int k = 0; k < 3; k++)
		t_eq_int(fetch(uri_of[k], id), RK_OK);
	t_check(cached(0) && cached(1) && cached(2));
	s_close();
}

T_CASE(no_room_is_said_with_both_sizes)
{
	char id[RK_ID];

	s_prepare();
	S.c.disk_reserve = UINT64_MAX / 2;
	s_open();
	three_files();
	rk_id_new(id);
	t_eq_int(fetch(uri_of[0], id), RK_ENOSPC);
	t_has(want_why, "needs 4.9 KiB");
	t_has(want_why, "are to stay free");
	t_eq_int(entries("state/cache/partial"), 0);
	s_close();
}

T_CASE(a_pull_that_was_killed_goes_on)
{
	s_begin();
	char *id = only_remote(1, NULL);
	lose_folder(id);
	start(id);
	s_close();
	for (int n = 0; n < 10; n++)
		s_killed((useconds_t)(n * 700));
	s_open();
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), ":step-000000100:");
	s_close();
}

T_MAIN
