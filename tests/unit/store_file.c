/* The store's file: locked, damaged, newer, foreign, cut, on a full disk. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "t.h"

#include "rekindle/store.h"

#define DB "test.db"

static struct job_row
blank(void)
{
	return (struct job_row){
		.name = xstrdup("j"), .reason = xstrdup(""),
		.message = xstrdup(""), .spec = xstrdup("{}"),
		.labels = xstrdup("{\"team\":\"qa\"}"),
		.resume_from = xstrdup("latest"), .progress = xstrdup("{}"),
		.plan = xstrdup(""), .plan_summary = xstrdup(""),
		.state = JOB_QUEUED, .threads = 1, .memory = 1 << 20,
	};
}

static struct store *
open_ok(const char *path)
{
	struct rk_why why = { 0 };
	struct store *s;

	if (store_open(&s, path, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return s;
}

/* A file with n jobs in it; closed. */
static void
make_db(const char *path, int n)
{
	struct store *s = open_ok(path);
	struct store_note note = { .kind = "submitted", .message = "hello" };
	struct job_row r = blank();

	free(r.spec);
	r.spec = xmalloc(1001);
	memset(r.spec, 'x', 1000);
	r.spec[1000] = '\0';
	for (int i = 0; i < n; i++)
		t_eq_int(store_job_add(s, &r, &note), RK_OK);
	store_job_fini(&r);
	store_close(&s);
}

static void
run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	t_eq_int(sqlite3_open(path, &db), SQLITE_OK);
	t_eq_int(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
refused(const char *path, enum rk_err want, const char *word)
{
	struct rk_why why = { 0 };
	struct store *s = NULL;
	enum rk_err rc = store_open(&s, path, &why);

	t_eq_int(rc, want);
	t_check(s == NULL);
	t_has(rk_why_first(&why), word);
	rk_why_fini(&why);
}

T_CASE(a_second_opener_is_told_that_it_is_busy)
{
	struct store *s = open_ok(DB);

	refused(DB, RK_EBUSY, "another process");
	/* also from another process, and after this one has written */
	pid_t p = fork();
	if (p == 0) {
		struct store *t;
		_exit(store_open(&t, DB, NULL) == RK_EBUSY ? 0 : 1);
	}
	int st;
	waitpid(p, &st, 0);
	t_eq_int(st, 0);
	struct store_note note = { .kind = "k", .message = "m" };
	t_eq_int(store_event_add(s, "", &note), RK_OK);
	store_close(&s);
	s = open_ok(DB);
	store_close(&s);
}

T_CASE(a_file_that_is_no_database_is_refused_and_left_alone)
{
	char *text;
	size_t len;
	FILE *f = fopen(DB, "w");

	for (int i = 0; i < 1000; i++)
		fputs("this is a shopping list\n", f);
	fclose(f);
	refused(DB, RK_ECORRUPT, "move it away");
	t_eq_int(rk_read_file(AT_FDCWD, DB, 1 << 20, &text, &len), RK_OK);
	t_eq_int(len, 24000);
	free(text);
}

T_CASE(a_newer_schema_is_refused_with_both_numbers)
{
	make_db(DB, 1);
	run_sql(DB, "PRAGMA user_version=7");
	refused(DB, RK_ECORRUPT, "schema 7, this one knows 5");
}

T_CASE(a_database_of_another_program_is_refused)
{
	run_sql(DB, "CREATE TABLE songs (title TEXT)");
	refused(DB, RK_ECORRUPT, "another program");
}

T_CASE(a_database_that_lacks_a_table_is_refused)
{
	make_db(DB, 1);
	run_sql(DB, "DROP TABLE attempts");
	refused(DB, RK_ECORRUPT, "damaged");
}

T_CASE(a_folder_or_a_missing_folder_is_refused)
{
	t_eq_int(mkdir("d", 0700), 0);
	struct store *s;
	t_check(store_open(&s, "d", NULL) != RK_OK);
	refused("nowhere/test.db", RK_ENOENT, "cannot open");
}

T_CASE(a_file_that_may_not_be_written_is_refused)
{
	bool root = geteuid() == 0;

	/* Root may write everything, so as somebody else. */
	t_eq_int(chmod(".", 0777), 0);
	if (root && (setegid(65534) != 0 || seteuid(65534) != 0))
		t_skip("cannot become nobody");
	make_db(DB, 1);
	t_eq_int(chmod(DB, 0400), 0);
	refused(DB, RK_EROFS, "cannot be written");
	/* LeakSanitizer looks into us at the end, and may only as ourselves. */
	if (root)
		t_check(seteuid(0) == 0 && setegid(0) == 0 &&
		    prctl(PR_SET_DUMPABLE, 1) == 0);
}

static bool
any_job(void *ctx, const struct job_row *r)
{
	(void)r;
	++*(int *)ctx;
	return true;
}

/* Read and write all that can be; whatever comes back, no crash. */
static void
use_all(struct store *s)
{
	struct store_filter f = { 0 };
	struct store_note note = { .kind = "k", .message = "m" };
	struct job_row r = blank(), got;
	int n = 0;
	enum rk_err rc = store_jobs(s, &f, NULL, 1 << 20, any_job, &n);

	f.label_key = "team";
	rc |= store_jobs(s, &f, NULL, 1 << 20, any_job, &n);
	f = (struct store_filter){ .name = "j", .states = 6 };
	rc |= store_jobs(s, &f, NULL, 1 << 20, any_job, &n);
	rc |= store_queue(s, 1 << 20, any_job, &n);
	if (store_job_add(s, &r, &note) == RK_OK &&
	    store_job_get(s, r.id, &got) == RK_OK) {
		got.state = JOB_FAILED;
		rc |= store_job_put(s, &got, &note);
		rc |= store_job_delete(s, got.id, &note);
		store_job_fini(&got);
	}
	rc |= store_sweep(s, 10);
	(void)rc;
	store_job_fini(&r);
}

T_CASE(a_database_cut_anywhere_is_refused_or_read_but_crashes_nothing)
{
	char *bytes;
	size_t len;
	int opened = 0, corrupt = 0;

	make_db(DB, 60);
	t_eq_int(rk_read_file(AT_FDCWD, DB, 1 << 26, &bytes, &len), RK_OK);
	log_set_level(LOG_L_ERROR + 1);
	for (uint64_t i = 0; i < 120; i++) {
		struct store *s;
		size_t cut = rk_draw_u32(1, 2, 3, i) % len;
		int fd = open("cut.db", O_RDWR | O_CREAT | O_TRUNC, 0600);
		t_eq_int(rk_write_all(fd, bytes, cut), 0);
		/* every other time garbage follows instead of nothing */
		for (size_t k = cut; i % 2 && k + 4 < len; k += 4) {
			uint32_t x = rk_draw_u32(i, 4, 5, k);
			t_eq_int(rk_write_all(fd, &x, 4), 0);
		}
		close(fd);
		unlink("cut.db-wal");
		enum rk_err rc = store_open(&s, "cut.db", NULL);
		if (rc == RK_OK) {
			opened++;
			use_all(s);
			store_close(&s);
		} else {
			t_eq_int(rc, RK_ECORRUPT);
			corrupt++;
		}
	}
	free(bytes);
	t_check(opened > 0 && corrupt > 0);
}

T_CASE(a_wal_cut_anywhere_loses_its_tail_and_nothing_else)
{
	char *wal, *db;
	size_t wal_len, db_len;
	struct store *s = open_ok(DB);
	struct job_row r = blank();
	int before = -1;

	/* the WAL as a killed daemon leaves it */
	for (int i = 0; i < 20; i++)
		t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	t_eq_int(rk_read_file(AT_FDCWD, DB "-wal", 1 << 26, &wal, &wal_len),
	    RK_OK);
	pid_t p = fork();       /* a copy, so that no lock of ours is dropped */
	if (p == 0)
		_exit(system("cp " DB " copy.db") == 0 ? 0 : 1);
	int st;
	waitpid(p, &st, 0);
	t_eq_int(st, 0);
	t_eq_int(rk_read_file(AT_FDCWD, "copy.db", 1 << 26, &db, &db_len),
	    RK_OK);
	for (size_t cut = 0; cut <= wal_len; cut += 7919) {
		size_t at = RK_MIN(cut, wal_len);
		int fd = open("cut.db", O_RDWR | O_CREAT | O_TRUNC, 0600);
		t_eq_int(rk_write_all(fd, db, db_len), 0);
		close(fd);
		fd = open("cut.db-wal", O_RDWR | O_CREAT | O_TRUNC, 0600);
		t_eq_int(rk_write_all(fd, wal, at), 0);
		close(fd);
		struct store *c = open_ok("cut.db");
		struct store_filter f = { 0 };
		int n = 0;
		t_eq_int(store_jobs(c, &f, NULL, 99, any_job, &n), RK_OK);
		t_check(n >= before);
		before = n;
		store_close(&c);
	}
	t_check(before >= 19);
	free(wal);
	free(db);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(on_a_full_disk_a_state_change_is_still_written)
{
	struct rk_why why = { 0 };
	struct store *s;
	struct job_row r = blank();
	char junk[4096] = { 0 };

	t_eq_int(mkdir("full", 0700), 0);
	if (mount("none", "full", "tmpfs", 0, "size=8m") != 0)
		t_skip("may not mount a small tmpfs");
	if (store_open(&s, "full/test.db", &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	int fd = open("full/junk", O_RDWR | O_CREAT, 0600);
	while (write(fd, junk, sizeof(junk)) > 0)
		;
	while (write(fd, junk, 1) > 0)
		;
	struct job_row other = blank();
	enum rk_err rc = RK_OK;
	/* the WAL's last page may have room for the first of them */
	for (int i = 0; i < 1000 && rc == RK_OK; i++)
		rc = store_job_add(s, &other, NULL);
	t_eq_int(rc, RK_ENOSPC);
	t_eq_int(store_ready(s), RK_ENOSPC);
	r.state = JOB_PAUSED;
	for (int i = 0; i < 10; i++)
		t_eq_int(store_job_step(s, &r, NULL, NULL), RK_OK);
	t_check(access("full/test.db-reserve", F_OK) != 0);
	t_eq_int(ftruncate(fd, 0), 0);
	t_eq_int(store_job_add(s, &other, NULL), RK_OK);
	t_eq_int(store_ready(s), RK_OK);
	store_close(&s);
	s = open_ok("full/test.db");
	struct job_row got;
	t_eq_int(store_job_get(s, r.id, &got), RK_OK);
	t_eq_int(got.state, JOB_PAUSED);
	store_job_fini(&got);
	store_job_fini(&r);
	store_job_fini(&other);
	store_close(&s);
	close(fd);
	umount("full");
}

T_CASE(the_wal_stays_small)
{
	struct store *s = open_ok(DB);
	struct job_row r = blank();
	struct stat st;

	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	for (int i = 0; i < 1500; i++)
		t_eq_int(store_job_put(s, &r, NULL), RK_OK);
	t_eq_int(stat(DB "-wal", &st), 0);
	/* 1000 pages of 4 KiB and one transaction */
	t_check(st.st_size < 5 << 20);
	store_job_fini(&r);
	store_close(&s);
}

T_MAIN
