/* What the store knows of object stores, records of jobs, and older files. */
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "t.h"

#include "rekindle/store.h"

#define DB "test.db"

static struct store *
open_store(void)
{
	struct rk_why why = { 0 };
	struct store *s;

	if (store_open(&s, DB, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return s;
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static struct job_row
blank(const char *name)
{
	return (struct job_row){
		.name = xstrdup(name), .reason = xstrdup(""),
		.message = xstrdup(""), .spec = xstrdup("{\"a\":1}"),
		.labels = xstrdup("{\"team\":\"qa\"}"),
		.resume_from = xstrdup("latest"),
		.progress = xstrdup("{\"step\":7}"), .plan = xstrdup(""),
		.plan_summary = xstrdup(""), .state = JOB_QUEUED,
		.threads = 1, .memory = 1 << 20,
	};
}

/* --- older files ---------------------------------------------------------- */

/* The tables of schema 1, as they were written. */
static const char schema_1[] =
"CREATE TABLE jobs ("
" id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL,"
" priority INTEGER NOT NULL, state INTEGER NOT NULL,"
" desired INTEGER NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,"
" labels TEXT NOT NULL, threads INTEGER NOT NULL, memory INTEGER NOT NULL,"
" created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
" started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
" attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
" not_before_ms INTEGER NOT NULL, resume_from TEXT NOT NULL,"
" progress TEXT NOT NULL, plan_summary TEXT NOT NULL,"
" version INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
"CREATE INDEX jobs_state ON jobs (state, id);"
"CREATE INDEX jobs_name ON jobs (name, state, id);"
"CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE state = 1;"
"CREATE TABLE texts ("
" job TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,"
" spec TEXT NOT NULL, plan TEXT NOT NULL) STRICT;"
"CREATE TABLE labels ("
" key TEXT NOT NULL, value TEXT NOT NULL, state INTEGER NOT NULL,"
" job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
" PRIMARY KEY (key, value, state, job)) STRICT, WITHOUT ROWID;"
"CREATE INDEX labels_key ON labels (key, state, job);"
"CREATE INDEX labels_job ON labels (job);"
"CREATE TABLE attempts ("
" job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
" n INTEGER NOT NULL, pid INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
" hello_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
" from_ckpt TEXT NOT NULL, branch INTEGER NOT NULL,"
" start_step INTEGER NOT NULL, end_step INTEGER NOT NULL,"
" outcome TEXT NOT NULL, message TEXT NOT NULL,"
" PRIMARY KEY (job, n)) STRICT, WITHOUT ROWID;"
"CREATE TABLE events ("
" seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL,"
" job TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,"
" data TEXT NOT NULL) STRICT;"
"CREATE INDEX events_job ON events (job, seq);"
"CREATE TABLE idem ("
" key TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL, job TEXT NOT NULL,"
" status INTEGER NOT NULL, body TEXT NOT NULL, created_ms INTEGER NOT NULL)"
" STRICT, WITHOUT ROWID;"
"CREATE INDEX idem_age ON idem (created_ms);"
"CREATE TABLE probe (n INTEGER NOT NULL) STRICT;"
"INSERT INTO probe VALUES (0);";

#define OLD_ID "01hv5j8k0q3m7n9p2r4s6t8v0w"

static void
run_sql(const char *sql)
{
	sqlite3 *db;
	char *err = NULL;

	t_eq_int(sqlite3_open(DB, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &err) != SQLITE_OK)
		t_fail("%s", err);
	sqlite3_close(db);
}

static void
make_old(void)
{
	run_sql("PRAGMA journal_mode=WAL;");
	run_sql(schema_1);
	run_sql("PRAGMA application_id=1380664396; PRAGMA user_version=1;"
	    "INSERT INTO jobs VALUES ('" OLD_ID "','old',5,3,0,'','runs',"
	    "'{\"k\":\"v\"}',2,1024,11,12,13,0,2,1,0,'latest','{}','',9);"
	    "INSERT INTO texts VALUES ('" OLD_ID "','{}','');"
	    "INSERT INTO labels VALUES ('k','v',3,'" OLD_ID "');"
	    "INSERT INTO attempts VALUES ('" OLD_ID "',1,77,1,2,3,'',1,0,40,"
	    "'crashed','bad');"
	    "INSERT INTO attempts VALUES ('" OLD_ID "',2,78,4,5,0,"
	    "'step-000000040',1,40,50,'','');"
	    "INSERT INTO events (time_ms,job,kind,message,data) VALUES "
	    "(1,'" OLD_ID "','submitted','hello','');");
}

static bool
see_attempt(void *ctx, const struct attempt_row *a)
{
	sb_addf(ctx, "%lld:%s:%s:%s:%lld ", (long long)a->n, a->from,
	    a->outcome, a->instance, (long long)a->epoch);
	return true;
}

static const char *
attempts(struct store *s, const char *id)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_attempts(s, id, 0, 1000, see_attempt, &b), RK_OK);
	return sb_str(&b);
}

T_CASE(a_file_of_schema_1_is_brought_up_to_date_with_its_jobs)
{
	struct job_row r;
	int64_t n[JOB_STATES];

	make_old();
	for (int k = 0; k < 2; k++) {
		struct store *s = open_store();
		t_eq_int(store_job_get(s, OLD_ID, &r), RK_OK);
		t_eq_str(r.name, "old");
		t_eq_int(r.state, JOB_RUNNING);
		t_eq_int(r.version, 9 + k);
		t_eq_str(r.labels, "{\"k\":\"v\"}");
		t_eq_str(attempts(s, OLD_ID),
		    "1::crashed::0 2:step-000000040:::0 ");
		t_eq_int(store_counts(s, n), RK_OK);
		t_eq_int(n[JOB_RUNNING], 1);
		t_eq_int(store_last_seq(s), 1);
		t_eq_int(store_job_put(s, &r, NULL), RK_OK);
		store_job_fini(&r);
		store_close(&s);
	}
	run_sql("SELECT state FROM remotes; SELECT key FROM facts");
}

T_CASE(a_file_that_cannot_be_brought_up_to_date_stays_as_it_was)
{
	struct rk_why why = { 0 };
	struct store *s;

	make_old();
	run_sql("CREATE TABLE facts (mine TEXT)");
	t_eq_int(store_open(&s, DB, &why), RK_ECORRUPT);
	rk_why_fini(&why);
	/* nothing of the step is left: what is in the way away, it works */
	run_sql("DROP TABLE facts");
	s = open_store();
	t_eq_str(attempts(s, OLD_ID), "1::crashed::0 2:step-000000040:::0 ");
	store_close(&s);
}

T_CASE(an_attempt_knows_whose_daemon_ran_it)
{
	struct store *s = open_store();
	struct job_row r = blank("a");
	struct attempt_row a = { .n = 1, .instance = text("gpu-a"),
		.epoch = 7 };

	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	t_eq_int(store_attempt_put(s, r.id, &a), RK_OK);
	a = (struct attempt_row){ .n = 2 };
	t_eq_int(store_attempt_put(s, r.id, &a), RK_OK);
	store_close(&s);
	s = open_store();
	t_eq_str(attempts(s, r.id), "1:::gpu-a:7 2::::0 ");
	store_job_fini(&r);
	store_close(&s);
}

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
	store_close(&s);
	s = open_store();
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

static bool
see_event(void *ctx, const struct event_row *e)
{
	sb_addf(ctx, "%s:%s ", e->kind, e->message);
	return true;
}

T_CASE(what_is_remote_outlives_its_job_and_says_so_in_events)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "durable", .message = "is there" };
	struct job_row j = blank("j");
	struct strbuf b = { 0 };

	j.state = JOB_FAILED;
	t_eq_int(store_job_add(s, &j, NULL), RK_OK);
	struct remote_row r = remote(j.id, "step-000000001", 1, 1, 1);
	t_eq_int(store_remote_put(s, &r, &note), RK_OK);
	t_eq_int(store_last_seq(s), 1);
	t_eq_int(store_events(s, j.id, 0, 9, see_event, &b), RK_OK);
	t_eq_str(sb_str(&b), "durable:is there ");
	t_eq_int(store_job_delete(s, j.id, NULL), RK_OK);
	t_eq_str(remotes(s, j.id, 0), "step-000000001:queued ");
	sb_fini(&b);
	store_job_fini(&j);
	store_close(&s);
}

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
	store_close(&s);
	s = open_store();
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
	store_close(&s);
	s = open_store();
	t_eq_int(store_fact_get(s, "epoch", &v), RK_OK);
	t_eq_str(v, "7");
	free(v);
	store_close(&s);
}

/* --- records -------------------------------------------------------------- */

static json_t *
exported(struct store *s, const char *id)
{
	json_t *v;

	t_eq_int(store_job_export(s, id, &v), RK_OK);
	/* as another machine gets it */
	char *t = rkj_text(v);
	json_decref(v);
	t_eq_int(rkj_parse_json(t, strlen(t), &v, NULL), RK_OK);
	free(t);
	return v;
}

static void
imports(struct store *s, const json_t *record, const struct store_note *note)
{
	struct rk_why why = { 0 };

	if (store_job_import(s, record, note, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

/* A job with all that a record holds. */
static struct job_row
full(struct store *s)
{
	struct job_row r = blank("defects \xc3\xa9");
	struct attempt_row a = { .n = 1, .pid = 9, .started_ms = 1,
		.hello_ms = 2, .ended_ms = 3, .from = text("step-000000001"),
		.branch = 2, .start_step = 1, .end_step = 5,
		.outcome = text("crashed"), .message = text("it\nfell"),
		.instance = text("gpu-a"), .epoch = 4 };

	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	free(r.message);
	r.message = xstrdup("a \"sentence\"\n");
	free(r.plan);
	r.plan = xstrdup("{\"p\":[1,2]}");
	free(r.plan_summary);
	r.plan_summary = xstrdup("loaded 2 of 4");
	r.priority = -7;
	r.state = JOB_RUNNING;
	r.desired = JOB_PAUSE;
	r.memory = (uint64_t)3 << 60;
	r.started_ms = 11;
	r.ended_ms = 12;
	r.attempt = 3;
	r.failures = 2;
	r.not_before_ms = 15;
	t_eq_int(store_job_step(s, &r, &a, NULL), RK_OK);
	a.n = 3;
	t_eq_int(store_attempt_put(s, r.id, &a), RK_OK);
	return r;
}

T_CASE(a_record_makes_the_same_job_on_another_machine)
{
	struct store *s = open_store();
	struct job_row r = full(s);
	json_t *one = exported(s, r.id);
	int64_t n[JOB_STATES];
	struct strbuf b = { 0 };
	struct store_note note = { .kind = "taken", .message = "over" };

	store_close(&s);
	t_check(unlink(DB) == 0);
	s = open_store();
	imports(s, one, &note);
	json_t *two = exported(s, r.id);
	t_check(json_equal(one, two));
	t_eq_str(attempts(s, r.id), "1:step-000000001:crashed:gpu-a:4 "
	    "3:step-000000001:crashed:gpu-a:4 ");
	t_eq_int(store_counts(s, n), RK_OK);
	t_eq_int(n[JOB_RUNNING], 1);
	t_eq_int(store_events(s, r.id, 0, 9, see_event, &b), RK_OK);
	t_eq_str(sb_str(&b), "taken:over ");
	/* the version is the record's: its owner's next write is no conflict */
	t_eq_int(store_job_put(s, &r, NULL), RK_OK);
	json_decref(one);
	json_decref(two);
	sb_fini(&b);
	store_job_fini(&r);
	store_close(&s);
}

static bool
see_name(void *ctx, const struct job_row *r)
{
	sb_addf(ctx, "%s ", r->name);
	return true;
}

static const char *
queue(struct store *s)
{
	static struct strbuf b;

	sb_reset(&b);
	t_eq_int(store_queue(s, 9, see_name, &b), RK_OK);
	return sb_str(&b);
}

static const char *
labelled(struct store *s, const char *value)
{
	static struct strbuf b;
	struct store_filter f = { .label_key = "team", .label_value = value };

	sb_reset(&b);
	t_eq_int(store_jobs(s, &f, NULL, 9, see_name, &b), RK_OK);
	return sb_str(&b);
}

T_CASE(a_record_takes_the_place_of_the_job_that_is_there)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "k", .message = "m",
		.idem_key = "key", .idem_digest = "d" };
	struct job_row r = blank("one");
	struct attempt_row a = { .n = 2 };
	struct strbuf b = { 0 };
	struct idem_row i;
	int64_t n[JOB_STATES];

	t_eq_int(store_job_add(s, &r, &note), RK_OK);
	json_t *old = exported(s, r.id);
	/* the job goes on here: other labels, other state, an attempt */
	r.state = JOB_SUCCEEDED;
	r.attempt = 2;
	free(r.labels);
	r.labels = xstrdup("{\"team\":\"ops\"}");
	t_eq_int(store_job_step(s, &r, &a, NULL), RK_OK);
	t_eq_str(queue(s), "");
	for (int k = 0; k < 2; k++) {
		imports(s, old, NULL);
		t_eq_str(queue(s), "one ");
		t_eq_str(labelled(s, "qa"), "one ");
		t_eq_str(labelled(s, "ops"), "");
		t_eq_str(attempts(s, r.id), "");
		t_eq_int(store_counts(s, n), RK_OK);
		t_check(n[JOB_QUEUED] == 1 && n[JOB_SUCCEEDED] == 0);
		store_close(&s);
		s = open_store();
	}
	t_eq_int(store_counts(s, n), RK_OK);
	t_check(n[JOB_QUEUED] == 1 && n[JOB_SUCCEEDED] == 0);
	t_eq_int(store_events(s, r.id, 0, 9, see_event, &b), RK_OK);
	t_eq_str(sb_str(&b), "k:m ");
	t_eq_int(store_idem_get(s, "key", &i), RK_OK);
	store_idem_fini(&i);
	json_decref(old);
	sb_fini(&b);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(a_record_holds_the_newest_hundred_attempts)
{
	struct store *s = open_store();
	struct job_row r = blank("a");
	json_t *v;

	r.attempt = 130;
	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	for (int64_t k = 1; k <= 130; k++) {
		struct attempt_row a = { .n = k };
		t_eq_int(store_attempt_put(s, r.id, &a), RK_OK);
	}
	v = exported(s, r.id);
	const json_t *a = json_object_get(v, "attempts");
	t_eq_int(json_array_size(a), 100);
	t_eq_int(json_integer_value(json_object_get(json_array_get(a, 0),
	    "n")), 31);
	imports(s, v, NULL);
	json_decref(v);
	t_eq_int(store_job_export(s, OLD_ID, &v), RK_ENOENT);
	store_job_fini(&r);
	store_close(&s);
}

/* Import of the record with one thing other than it should be. */
static void
refuses(struct store *s, const json_t *good, const char *path, json_t *value,
    const char *sentence)
{
	json_t *v = json_deep_copy(good), *o = v;
	struct rk_why why = { 0 };
	char part[64];
	const char *dot;

	for (; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)(dot - path), path);
		o = json_is_array(o) ? json_array_get(o, (size_t)atoi(part)) :
		    json_object_get(o, part);
	}
	if (value != NULL)
		json_object_set_new(o, path, value);
	else
		json_object_del(o, path);
	t_eq_int(store_job_import(s, v, NULL, &why), RK_EINVAL);
	t_has(rk_why_first(&why), sentence);
	rk_why_fini(&why);
	json_decref(v);
}

T_CASE(what_is_no_record_is_refused_by_its_path_and_changes_nothing)
{
	struct store *s = open_store();
	struct job_row r = full(s);
	json_t *good = exported(s, r.id), *now;
	json_t *many = json_array();
	struct rk_why why = { 0 };

	for (int i = 0; i < 101; i++)
		json_array_append_new(many, json_object());
	refuses(s, good, "record", json_integer(2),
	    "record: is 2, this rekindled reads 1");
	refuses(s, good, "record", NULL, "record: is missing");
	refuses(s, good, "row", NULL, "row: is missing");
	refuses(s, good, "row", json_array(), "row: is ");
	refuses(s, good, "row.id", json_string("../../etc/passwd"),
	    "row.id: is no id");
	refuses(s, good, "row.id", NULL, "row.id: is missing");
	refuses(s, good, "row.state", json_string("asleep"), "row.state: ");
	refuses(s, good, "row.desired", json_integer(1), "row.desired: ");
	refuses(s, good, "row.version", json_integer(0), "row.version: ");
	refuses(s, good, "row.version", json_integer(INT64_MAX),
	    "row.version: ");
	refuses(s, good, "row.memory", json_integer(-1), "row.memory: ");
	refuses(s, good, "row.attempt", json_real(1.5), "row.attempt: ");
	refuses(s, good, "row.spec", json_string("[1]"),
	    "row.spec: is no JSON object");
	refuses(s, good, "row.spec", json_string("{"), "row.spec: is no JSON");
	refuses(s, good, "row.plan", json_string("{"), "row.plan: is no JSON");
	refuses(s, good, "row.progress", json_string(""), "row.progress: ");
	refuses(s, good, "row.labels", json_string("{\"a\":1}"),
	    "row.labels: has a value that is no text");
	refuses(s, good, "row.labels",
	    json_string("{\"a\":\"1\",\"a\":\"\"}"),
	    "row.labels: is no JSON");
	refuses(s, good, "row.message", NULL, "row.message: is missing");
	refuses(s, good, "attempts", NULL, "attempts: is no list");
	refuses(s, good, "attempts", json_incref(many),
	    "attempts: is no list of at most");
	refuses(s, good, "attempts.0.n", json_integer(0), "attempts[0].n: ");
	refuses(s, good, "attempts.1.n", json_integer(1),
	    "attempts[1].n: is 1, want 2 to 3");
	refuses(s, good, "attempts.1.n", json_integer(4),
	    "attempts[1].n: is 4, want 2 to 3");
	refuses(s, good, "attempts.1.instance", json_true(),
	    "attempts[1].instance: ");
	t_eq_int(store_job_import(s, many, NULL, &why), RK_EINVAL);
	t_eq_int(store_job_import(s, NULL, NULL, NULL), RK_EINVAL);
	rk_why_fini(&why);
	now = exported(s, r.id);
	t_check(json_equal(good, now));
	json_decref(many);
	json_decref(now);
	json_decref(good);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(fields_that_a_newer_rekindled_adds_are_passed_over)
{
	struct store *s = open_store();
	struct job_row r = full(s);
	json_t *v = exported(s, r.id);

	json_object_set_new(v, "mood", json_string("good"));
	json_object_set_new(json_object_get(v, "row"), "mood", json_true());
	imports(s, v, NULL);
	json_decref(v);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(a_batch_is_written_whole_and_a_refused_part_leaves_the_others)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "k", .message = "m" };
	struct job_row a = blank("a"), b = blank("b");
	int64_t n[JOB_STATES];

	t_eq_int(store_batch_begin(s), RK_OK);
	t_eq_int(store_job_add(s, &a, &note), RK_OK);
	a.version = 9;          /* somebody else's */
	t_eq_int(store_job_put(s, &a, &note), RK_ECONFLICT);
	t_eq_int(store_job_add(s, &b, &note), RK_OK);
	t_eq_int(store_batch_end(s), RK_OK);
	for (int k = 0; k < 2; k++) {
		t_eq_str(queue(s), "a b ");
		t_eq_int(store_counts(s, n), RK_OK);
		t_eq_int(n[JOB_QUEUED], 2);
		t_eq_int(store_last_seq(s), 2);
		store_close(&s);
		s = open_store();
	}
	store_job_fini(&a);
	store_job_fini(&b);
	store_close(&s);
}

T_CASE(a_batch_that_is_cut_off_is_not_there)
{
	struct store *s = open_store();
	struct job_row a = blank("a");
	int64_t n[JOB_STATES];

	store_close(&s);
	fflush(NULL);
	pid_t p = fork();
	if (p == 0) {
		s = open_store();
		t_eq_int(store_job_add(s, &a, NULL), RK_OK);
		t_eq_int(store_batch_begin(s), RK_OK);
		for (int k = 0; k < 500; k++)
			t_eq_int(store_job_add(s, &a, NULL), RK_OK);
		kill(getpid(), SIGKILL);
	}
	int st;
	waitpid(p, &st, 0);
	t_check(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
	s = open_store();
	t_eq_int(store_counts(s, n), RK_OK);
	t_eq_int(n[JOB_QUEUED], 1);
	store_job_fini(&a);
	store_close(&s);
}

T_CASE(a_batch_for_which_there_is_no_room_is_not_there)
{
	struct store *s;
	struct job_row a = blank("a");
	int64_t n[JOB_STATES];
	enum rk_err rc = RK_OK;

	t_eq_int(mkdir("full", 0700), 0);
	if (mount("none", "full", "tmpfs", 0, "size=4m") != 0)
		t_skip("may not mount a small tmpfs");
	t_eq_int(store_open(&s, "full/test.db", NULL), RK_OK);
	free(a.spec);
	a.spec = xmalloc(100001);
	memset(a.spec, 'x', 100000);
	a.spec[100000] = '\0';
	t_eq_int(store_job_add(s, &a, NULL), RK_OK);
	log_set_level(LOG_L_ERROR + 1);
	t_eq_int(store_batch_begin(s), RK_OK);
	for (int k = 0; k < 60; k++)
		rc = store_job_add(s, &a, NULL) != RK_OK ? RK_ENOSPC : rc;
	t_check(store_batch_end(s) != RK_OK || rc != RK_OK);
	t_eq_int(store_counts(s, n), RK_OK);
	int64_t told = n[JOB_QUEUED];
	store_close(&s);
	t_eq_int(store_open(&s, "full/test.db", NULL), RK_OK);
	t_eq_int(store_counts(s, n), RK_OK);
	t_eq_int(n[JOB_QUEUED], told);
	store_job_fini(&a);
	store_close(&s);
	umount("full");
}

T_MAIN
