/* Jobs from another machine: records, and many of them in one batch. */
#include <sys/mount.h>
#include <sys/stat.h>

#include "store_help.h"

/* A job by whose labels and texts one could tell it from another. */
static struct job_row
labelled(const char *name)
{
	struct job_row r = blank(name);

	put_str(&r.spec, "{\"a\":1}");
	put_str(&r.labels, "{\"team\":\"qa\"}");
	put_str(&r.progress, "{\"step\":7}");
	return r;
}

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

	if (store_job_import(s, record, NULL, note, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

/* A job with all that a record holds. */
static struct job_row
full(struct store *s)
{
	struct job_row r = labelled("defects \xc3\xa9");
	struct attempt_row a = { .n = 1, .pid = 9, .started_ms = 1,
		.hello_ms = 2, .ended_ms = 3, .from = text("step-000000001"),
		.branch = 2, .start_step = 1, .end_step = 5,
		.outcome = text("crashed"), .message = text("it\nfell"),
		.instance = text("gpu-a"), .epoch = 4 };

	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	put_str(&r.message, "a \"sentence\"\n");
	put_str(&r.plan, "{\"p\":[1,2]}");
	put_str(&r.plan_summary, "loaded 2 of 4");
	r.priority = -7;
	r.state = JOB_RUNNING;
	r.desired = JOB_PAUSE;
	r.memory = (uint64_t)3 << 60;
	r.started_ms = 11;
	r.ended_ms = 12;
	r.attempt = 3;
	r.failures = 2;
	r.not_before_ms = 15;
	put_str(&r.known_dir, "step-000000040");
	put_str(&r.accept, "data");
	r.known_step = 40;
	r.known_ms = 17;
	r.lost_steps = 18;
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
	struct store_note note = { .kind = "taken", .message = "over" };

	store_close(&s);
	t_check(unlink(DB) == 0);
	s = open_store();
	imports(s, one, &note);
	json_t *two = exported(s, r.id);
	t_check(json_equal(one, two));
	t_eq_str(attempts(s, r.id), "1:step-000000001:crashed:gpu-a:4 "
	    "3:step-000000001:crashed:gpu-a:4 ");
	t_eq_int(count(s, JOB_RUNNING), 1);
	t_eq_str(events(s, r.id, 0), "taken(over) ");
	/* the version is the record's: its owner's next write is no conflict */
	t_eq_int(store_job_put(s, &r, NULL), RK_OK);
	json_decref(one);
	json_decref(two);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(a_record_from_before_knows_what_its_progress_says)
{
	struct store *s = open_store();
	struct job_row r = full(s), got;
	json_t *one = exported(s, r.id), *row = json_object_get(one, "row");
	static const char *const newer[] = { "known_dir", "known_step",
		"known_ms", "lost_steps", "accept" };

	for (size_t i = 0; i < RK_ARRAY_LEN(newer); i++)
		t_eq_int(json_object_del(row, newer[i]), 0);
	json_object_set_new(row, "progress", json_string("{\"checkpoint\":"
	    "\"step-000000070\",\"checkpoint_step\":70}"));
	imports(s, one, NULL);
	t_eq_int(store_job_get(s, r.id, &got), RK_OK);
	t_eq_str(got.known_dir, "step-000000070");
	t_eq_int(got.known_step, 70);
	t_eq_int(got.known_ms, got.updated_ms);
	t_eq_int(got.lost_steps, 0);
	t_eq_str(got.accept, "");
	store_job_fini(&got);
	/* and one that never had any */
	json_object_set_new(row, "progress", json_string("{\"step\":7}"));
	imports(s, one, NULL);
	t_eq_int(store_job_get(s, r.id, &got), RK_OK);
	t_eq_str(got.known_dir, "");
	store_job_fini(&got);
	json_decref(one);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(no_record_says_that_its_job_was_submitted_here)
{
	struct store *s = open_store();
	struct job_row r = full(s), got;
	json_t *one = exported(s, r.id), *row = json_object_get(one, "row");

	t_check(json_object_get(row, "said_here") == NULL);
	json_object_set_new(row, "said_here", json_string("[\"a /b\"]"));
	t_eq_int(store_job_import(s, one, "[]", NULL, NULL), RK_OK);
	t_eq_int(store_job_get(s, r.id, &got), RK_OK);
	t_eq_str(got.said_here, "[]");
	/* it stays with every write of the row */
	t_eq_int(store_job_put(s, &got, NULL), RK_OK);
	store_job_fini(&got);
	s = reopened(s);
	t_eq_int(store_job_get(s, r.id, &got), RK_OK);
	t_eq_str(got.said_here, "[]");
	store_job_fini(&got);
	json_decref(one);
	store_job_fini(&r);
	store_close(&s);
}

static const char *
team(struct store *s, const char *value)
{
	struct store_filter f = { .label_key = "team", .label_value = value };

	return page(s, f, NULL, 9);
}

T_CASE(a_record_takes_the_place_of_the_job_that_is_there)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "k", .message = "m",
		.idem_key = "key", .idem_digest = "d" };
	struct job_row r = labelled("one");
	struct attempt_row a = { .n = 2 };
	struct idem_row i;

	t_eq_int(store_job_add(s, &r, &note), RK_OK);
	json_t *old = exported(s, r.id);
	/* the job goes on here: other labels, other state, an attempt */
	r.state = JOB_SUCCEEDED;
	r.attempt = 2;
	put_str(&r.labels, "{\"team\":\"ops\"}");
	t_eq_int(store_job_step(s, &r, &a, NULL), RK_OK);
	t_eq_str(queue(s, 9), "");
	for (int k = 0; k < 2; k++) {
		imports(s, old, NULL);
		t_eq_str(queue(s, 9), "one ");
		t_eq_str(team(s, "qa"), "one ");
		t_eq_str(team(s, "ops"), "");
		t_eq_str(attempts(s, r.id), "");
		t_eq_int(count(s, JOB_QUEUED), 1);
		t_eq_int(count(s, JOB_SUCCEEDED), 0);
		s = reopened(s);
	}
	t_eq_int(count(s, JOB_QUEUED), 1);
	t_eq_int(count(s, JOB_SUCCEEDED), 0);
	t_eq_str(events(s, r.id, 0), "k(m) ");
	t_eq_int(store_idem_get(s, "key", &i), RK_OK);
	store_idem_fini(&i);
	json_decref(old);
	store_job_fini(&r);
	store_close(&s);
}

#define DAY_MS (24LL * 3600 * 1000)

/* What is kept of a key, as "job status body", or what went wrong. */
static char *
kept(struct store *s, const char *key)
{
	struct idem_row i;
	enum rk_err rc = store_idem_get(s, key, &i);

	if (rc != RK_OK)
		return xstrdup(rk_strerror(rc));
	char *out = xasprintf("%s %s %d %s", i.job, i.digest, i.status, i.body);
	store_idem_fini(&i);
	return out;
}

T_CASE(a_record_has_the_keys_that_led_to_its_job_and_what_is_known_here_stays)
{
	struct store *s = open_store();
	struct store_note note = { .idem_key = "submit",
		.idem_digest = "digest" };
	struct job_row r = blank("one"), other = blank("other");

	t_eq_int(store_job_add(s, &r, &note), RK_OK);
	t_eq_int(store_idem_answer(s, "submit", 201, "the answer"), RK_OK);
	note.idem_key = "second";
	t_eq_int(store_job_put(s, &r, &note), RK_OK);
	json_t *record = exported(s, r.id);
	t_eq_int((int)json_array_size(json_object_get(record, "keys")), 2);
	imports(s, record, NULL);
	char *text = kept(s, "submit"), *want = xasprintf("%s digest 201 "
	    "the answer", r.id);
	t_eq_str(text, want);
	free(text);
	free(want);
	store_close(&s);
	t_check(unlink(DB) == 0);

	/* Another machine, which has given one of them to a job of its own. */
	s = open_store();
	t_eq_int(store_job_add(s, &other, &note), RK_OK);
	imports(s, record, NULL);
	text = kept(s, "submit");
	want = xasprintf("%s digest 0 ", r.id);
	t_eq_str(text, want);
	free(text);
	free(want);
	text = kept(s, "second");
	t_has(text, other.id);
	free(text);
	json_t *again = exported(s, r.id);
	t_eq_int((int)json_array_size(json_object_get(again, "keys")), 1);
	json_decref(again);

	/* A record of before has none. */
	json_object_del(record, "keys");
	imports(s, record, NULL);
	json_decref(record);
	store_job_fini(&r);
	store_job_fini(&other);
	store_close(&s);
}

T_CASE(keys_older_than_a_day_stay_behind)
{
	struct store *s = open_store();
	struct job_row r = blank("one");

	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	json_t *v = exported(s, r.id), *keys = json_object_get(v, "keys");
	json_array_append_new(keys, json_pack("{s:s, s:s, s:I}", "key", "old",
	    "digest", "d", "at", (json_int_t)(now_ms() - DAY_MS - 9)));
	json_array_append_new(keys, json_pack("{s:s, s:s, s:I}", "key",
	    "of a clock that is ahead", "digest", "d", "at",
	    (json_int_t)(now_ms() + DAY_MS)));
	imports(s, v, NULL);
	json_decref(v);
	char *text = kept(s, "old");
	t_eq_str(text, rk_strerror(RK_ENOENT));
	free(text);
	v = exported(s, r.id);
	keys = json_object_get(v, "keys");
	t_eq_int((int)json_array_size(keys), 1);
	t_check(json_integer_value(json_object_get(json_array_get(keys, 0),
	    "at")) <= now_ms());
	json_decref(v);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(a_record_holds_the_newest_hundred_attempts)
{
	struct store *s = open_store();
	struct job_row r = blank("a");
	char nobody[RK_ID];
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
	rk_id_new(nobody);
	t_eq_int(store_job_export(s, nobody, &v), RK_ENOENT);
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
	t_eq_int(store_job_import(s, v, NULL, NULL, &why), RK_EINVAL);
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
	refuses(s, good, "keys", json_true(), "keys: is no list of at most");
	refuses(s, good, "keys", json_incref(many),
	    "keys: is no list of at most");
	refuses(s, good, "keys", json_pack("[{s:s, s:s, s:i}]", "key", "",
	    "digest", "d", "at", 1), "keys[0].key: is empty");
	refuses(s, good, "keys", json_pack("[{s:s, s:i}]", "key", "k", "at",
	    1), "keys[0].digest: is missing");
	refuses(s, good, "keys", json_pack("[{s:s, s:s, s:i}]", "key", "k",
	    "digest", "d", "at", -1), "keys[0].at: ");
	t_eq_int(store_job_import(s, many, NULL, NULL, &why), RK_EINVAL);
	t_eq_int(store_job_import(s, NULL, NULL, NULL, NULL), RK_EINVAL);
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

/* --- batches -------------------------------------------------------------- */

T_CASE(a_batch_is_written_whole_and_a_refused_part_leaves_the_others)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "k", .message = "m" };
	struct job_row a = blank("a"), b = blank("b");

	t_eq_int(store_batch_begin(s), RK_OK);
	t_eq_int(store_job_add(s, &a, &note), RK_OK);
	a.version = 9;          /* somebody else's */
	t_eq_int(store_job_put(s, &a, &note), RK_ECONFLICT);
	t_eq_int(store_job_add(s, &b, &note), RK_OK);
	t_eq_int(store_batch_end(s), RK_OK);
	for (int k = 0; k < 2; k++) {
		t_eq_str(queue(s, 9), "a b ");
		t_eq_int(count(s, JOB_QUEUED), 2);
		t_eq_int(store_last_seq(s), 2);
		s = reopened(s);
	}
	store_job_fini(&a);
	store_job_fini(&b);
	store_close(&s);
}

T_CASE(a_batch_that_is_cut_off_is_not_there)
{
	struct store *s = open_store();
	struct job_row a = blank("a");

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
	t_eq_int(count(s, JOB_QUEUED), 1);
	store_job_fini(&a);
	store_close(&s);
}

T_CASE(a_batch_for_which_there_is_no_room_is_not_there)
{
	struct store *s;
	struct job_row a = blank("a");
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
	int64_t told = count(s, JOB_QUEUED);
	store_close(&s);
	t_eq_int(store_open(&s, "full/test.db", NULL), RK_OK);
	t_eq_int(count(s, JOB_QUEUED), told);
	store_job_fini(&a);
	store_close(&s);
	umount("full");
}

T_MAIN
