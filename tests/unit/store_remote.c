/* What the store knows of object stores: checkpoints, uploads, the cache. */
#include "store_help.h"

/* --- checkpoints in buckets ----------------------------------------------- */

static struct remote_row
remote(const char *job, const char *dir, int64_t epoch, int64_t branch,
    int64_t step)
{
	struct remote_row r = { .dir = text(dir), .uri = text("s3://b/x/"),
		.epoch = epoch, .branch = branch, .step = step,
		.files = text("[]"), .info = text(""), .error = text("") };

	snprintf(r.job, sizeof(r.job), "%s", job);
	return r;
}

static bool
see_remote(void *ctx, const struct remote_row *r)
{
	sb_addf(ctx, "%s:%s ", r->dir, remote_state_words[r->state]);
	return true;
}

static const char *
remotes(struct store *s, const char *job, unsigned states)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_remotes(s, job, states, see_remote, &b), RK_OK);
	return sb_str(&b);
}

static bool
take_remote(void *ctx, const struct remote_row *r)
{
	struct remote_row *out = ctx;

	*out = *r;
	out->dir = xstrdup(r->dir);
	out->uri = xstrdup(r->uri);
	out->files = xstrdup(r->files);
	out->info = xstrdup(r->info);
	out->error = xstrdup(r->error);
	return false;
}

T_CASE(every_field_of_a_remote_checkpoint_comes_back_after_reopening)
{
	struct store *s = open_store();
	struct remote_row r = remote("j1", "step-000000010-b2", 3, 2, 10), got;

	r.state = RS_UPLOADING;
	r.bytes = (uint64_t)5 << 40;
	r.sent = 77;
	r.files = text("[{\"name\":\"m\"}]");
	r.info = text("{\"step\":10}");
	r.error = text("503 SlowDown");
	r.created_ms = 1;
	r.remote_ms = 2;
	r.verified_ms = 3;
	t_eq_int(store_remote_put(s, &r, NULL), RK_OK);
	s = reopened(s);
	t_eq_int(store_remotes(s, "j1", 0, take_remote, &got), RK_OK);
	t_eq_str(got.job, "j1");
	t_eq_str(got.dir, r.dir);
	t_eq_str(got.uri, r.uri);
	t_eq_int(got.state, RS_UPLOADING);
	t_check(got.bytes == r.bytes && got.sent == 77);
	t_eq_int(got.epoch, 3);
	t_eq_int(got.branch, 2);
	t_eq_int(got.step, 10);
	t_eq_str(got.files, r.files);
	t_eq_str(got.info, r.info);
	t_eq_str(got.error, r.error);
	t_check(got.created_ms == 1 && got.remote_ms == 2 &&
	    got.verified_ms == 3);
	store_remote_fini(&got);
	store_close(&s);
}

T_CASE(remote_checkpoints_are_newest_first_by_job_and_by_state)
{
	struct store *s = open_store();
	struct remote_row r[] = {
		remote("j1", "a", 1, 1, 50), remote("j1", "b", 1, 2, 10),
		remote("j1", "c", 2, 1, 5), remote("j2", "d", 1, 1, 60),
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(r); i++)
		t_eq_int(store_remote_put(s, &r[i], NULL), RK_OK);
	t_eq_str(remotes(s, "j1", 0), "c:queued b:queued a:queued ");
	t_eq_str(remotes(s, NULL, 0), "c:queued b:queued d:queued a:queued ");
	t_eq_str(remotes(s, "j3", 0), "");
	/* the same key again: in its place */
	r[0].state = RS_VERIFIED;
	r[1].state = RS_DELETING;
	t_eq_int(store_remote_put(s, &r[0], NULL), RK_OK);
	t_eq_int(store_remote_put(s, &r[1], NULL), RK_OK);
	t_eq_str(remotes(s, "j1", 0), "c:queued b:deleting a:verified ");
	t_eq_str(remotes(s, "j1", 1u << RS_VERIFIED | 1u << RS_REMOTE),
	    "a:verified ");
	t_eq_str(remotes(s, NULL, 1u << RS_QUEUED), "c:queued d:queued ");
	t_eq_str(remotes(s, NULL, 1u << RS_DROPPED), "");
	t_eq_int(store_remote_drop(s, &r[1]), RK_OK);
	t_eq_int(store_remote_drop(s, &r[1]), RK_OK);
	t_eq_str(remotes(s, "j1", 0), "c:queued a:verified ");
	store_close(&s);
}

T_CASE(what_is_remote_outlives_its_job_and_says_so_in_events)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "durable", .message = "is there" };
	struct job_row j = blank("j");

	j.state = JOB_FAILED;
	t_eq_int(store_job_add(s, &j, NULL), RK_OK);
	struct remote_row r = remote(j.id, "step-000000001", 1, 1, 1);
	t_eq_int(store_remote_put(s, &r, &note), RK_OK);
	t_eq_int(store_last_seq(s), 1);
	t_eq_str(events(s, j.id, 0), "durable(is there) ");
	t_eq_int(store_job_delete(s, j.id, NULL), RK_OK);
	t_eq_str(remotes(s, j.id, 0), "step-000000001:queued ");
	store_job_fini(&j);
	store_close(&s);
}

/* --- uploads, the cache, facts -------------------------------------------- */

static bool
see_upload(void *ctx, const struct upload_row *u)
{
	sb_addf(ctx, "%s=%s ", u->uri, u->upload_id);
	return true;
}

T_CASE(an_upload_that_was_begun_is_found_again)
{
	struct store *s = open_store();
	struct upload_row u = { .uri = text("s3://b/k"),
		.upload_id = text("2~x"), .job = "j1",
		.dir = text("step-000000001"), .file = text("m"),
		.size = 1 << 30, .part_size = 8 << 20,
		.mtime_ns = 1700000000123456789, .inode = 42,
		.created_ms = 5 }, got;
	struct strbuf b = { 0 };

	t_eq_int(store_upload_get(s, "s3://b/k", &got), RK_ENOENT);
	t_eq_int(store_upload_put(s, &u), RK_OK);
	u.uri = text("s3://b/earlier");
	u.upload_id = text("1");
	u.created_ms = 4;
	t_eq_int(store_upload_put(s, &u), RK_OK);
	s = reopened(s);
	t_eq_int(store_upload_get(s, "s3://b/k", &got), RK_OK);
	t_eq_str(got.upload_id, "2~x");
	t_eq_str(got.job, "j1");
	t_eq_str(got.dir, "step-000000001");
	t_eq_str(got.file, "m");
	t_check(got.size == 1 << 30 && got.part_size == 8 << 20);
	t_check(got.mtime_ns == 1700000000123456789 && got.inode == 42);
	t_eq_int(got.created_ms, 5);
	store_upload_fini(&got);
	t_eq_int(store_uploads(s, see_upload, &b), RK_OK);
	t_eq_str(sb_str(&b), "s3://b/earlier=1 s3://b/k=2~x ");
	t_eq_int(store_upload_drop(s, "s3://b/k"), RK_OK);
	t_eq_int(store_upload_drop(s, "s3://b/k"), RK_OK);
	t_eq_int(store_upload_get(s, "s3://b/k", &got), RK_ENOENT);
	sb_fini(&b);
	store_close(&s);
}

static bool
see_cache(void *ctx, const struct cache_row *c)
{
	sb_addf(ctx, "%s ", c->etag);
	return true;
}

T_CASE(the_cache_is_asked_by_address_and_swept_oldest_first)
{
	struct store *s = open_store();
	struct cache_row c = { .uri = text("s3://b/k"), .etag = text("e1"),
		.digest = "aa", .size = 9, .used_ms = 300 }, got;
	struct strbuf b = { 0 };

	t_eq_int(store_cache_get(s, c.uri, NULL, &got), RK_ENOENT);
	t_eq_int(store_cache_put(s, &c), RK_OK);
	c.etag = text("e2");
	c.used_ms = 200;
	t_eq_int(store_cache_put(s, &c), RK_OK);
	c.uri = text("s3://b/other");
	c.etag = text("e3");
	memcpy(c.digest, "bb", 3);
	c.used_ms = 250;
	t_eq_int(store_cache_put(s, &c), RK_OK);
	t_eq_int(store_cache_get(s, "s3://b/k", NULL, &got), RK_OK);
	t_eq_str(got.etag, "e1");
	store_cache_fini(&got);
	t_eq_int(store_cache_get(s, "s3://b/k", "e2", &got), RK_OK);
	t_eq_str(got.uri, "s3://b/k");
	t_eq_str(got.digest, "aa");
	t_check(got.size == 9 && got.used_ms == 200);
	store_cache_fini(&got);
	t_eq_int(store_cache_get(s, "s3://b/k", "e3", &got), RK_ENOENT);
	t_eq_int(store_caches(s, see_cache, &b), RK_OK);
	t_eq_str(sb_str(&b), "e2 e3 e1 ");
	/* a digest goes with all its addresses */
	t_eq_int(store_cache_drop(s, "aa"), RK_OK);
	sb_reset(&b);
	t_eq_int(store_caches(s, see_cache, &b), RK_OK);
	t_eq_str(sb_str(&b), "e3 ");
	sb_fini(&b);
	store_close(&s);
}

T_CASE(a_fact_is_replaced_and_stays)
{
	struct store *s = open_store();
	char *v;

	t_eq_int(store_fact_get(s, "epoch", &v), RK_ENOENT);
	t_check(v == NULL);
	t_eq_int(store_fact_put(s, "epoch", "6"), RK_OK);
	t_eq_int(store_fact_put(s, "epoch", "7"), RK_OK);
	s = reopened(s);
	t_eq_int(store_fact_get(s, "epoch", &v), RK_OK);
	t_eq_str(v, "7");
	free(v);
	store_close(&s);
}

T_MAIN
