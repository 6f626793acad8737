/* Files that an earlier rekindled wrote: brought up to date, or left alone. */
#include <sqlite3.h>

#include "store_help.h"

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

T_CASE(a_file_of_schema_1_is_brought_up_to_date_with_its_jobs)
{
	struct job_row r;

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
		t_eq_int(count(s, JOB_RUNNING), 1);
		t_eq_int(store_last_seq(s), 1);
		t_eq_int(store_job_put(s, &r, NULL), RK_OK);
		store_job_fini(&r);
		store_close(&s);
	}
	run_sql("SELECT state FROM remotes; SELECT key FROM facts");
}

T_CASE(what_an_old_job_has_known_is_taken_from_its_progress)
{
	static const struct {
		const char *progress, *dir;
		int64_t step;
	} v[] = {
		{ "{\"checkpoint\":\"step-000000040\",\"checkpoint_step\":40}",
		    "step-000000040", 40 },
		{ "{\"checkpoint\":\"step-000000040\"}", "step-000000040", 0 },
		{ "{\"checkpoint\":\"a\",\"checkpoint_step\":\"x\"}", "a", 0 },
		{ "{\"checkpoint\":7,\"checkpoint_step\":40}", "", 0 },
		{ "{\"step\":7}", "", 0 }, { "no JSON", "", 0 },
	};
	struct job_row r;

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++) {
		(void)!system("rm -f " DB "*");
		make_old();
		char *sql = xasprintf("UPDATE jobs SET progress = '%s'",
		    v[i].progress);
		run_sql(sql);
		free(sql);
		struct store *s = open_store();
		t_eq_int(store_job_get(s, OLD_ID, &r), RK_OK);
		t_eq_str(r.known_dir, v[i].dir);
		t_eq_int(r.known_step, v[i].step);
		t_eq_int(r.known_ms, v[i].dir[0] != '\0' ? 12 : 0);
		t_eq_int(r.lost_steps, 0);
		t_eq_str(r.accept, "");
		store_job_fini(&r);
		store_close(&s);
	}
}

T_CASE(an_old_job_that_was_taken_over_came_from_a_record)
{
	static const struct {
		const char *events, *said_here;
	} v[] = {
		{ "", "" },             /* submitted here: make_old() */
		{ "INSERT INTO events (time_ms,job,kind,message,data) VALUES "
		    "(2,'" OLD_ID "','taken_over','','');", "" },
		{ "UPDATE events SET kind = 'taken_over'", "[]" },
	};
	struct job_row r;

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++) {
		(void)!system("rm -f " DB "*");
		make_old();
		run_sql(v[i].events);
		struct store *s = open_store();
		t_eq_int(store_job_get(s, OLD_ID, &r), RK_OK);
		t_eq_str(r.said_here, v[i].said_here);
		store_job_fini(&r);
		store_close(&s);
	}
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
	s = reopened(s);
	t_eq_str(attempts(s, r.id), "1:::gpu-a:7 2::::0 ");
	store_job_fini(&r);
	store_close(&s);
}

T_MAIN
