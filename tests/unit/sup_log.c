/* A log that is bounded: what is kept, what is lost and said, and every point at
 * which the daemon may be killed. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "t.h"

#include "impl.h"
#include "log.h"
#include "sup_fake.h"
#include "u_kill.h"

#define LINE 16                 /* "line 0000000001\n" */

static const char job[] = "01m8ma4nbqtz0d076c4b40cgkd";
static uint64_t lost;
static struct log_bound b;

/* A folder, and a log that is open as a trainer's is; only `share` counts. */
static void
begin(int64_t share, int files)
{
	w_begin();
	t_eq_int(rk_mkdirs(sup_job_dir(W.sup, job), 0750), RK_OK);
	lost = 0;
	b = (struct log_bound){ .dirfd = open(sup_job_dir(W.sup, job),
	    O_RDONLY | O_DIRECTORY), .fd = log_open(W.sup, job),
	    .shared = true, .share = share, .files = files, .lost = &lost };
	t_check(b.dirfd >= 0 && b.fd >= 0);
}

static void
end(void)
{
	close(b.dirfd);
	close(b.fd);
	w_close();
}

static void
put_lines(int from, int n)
{
	char text[LINE + 1];

	for (int i = from; i < from + n; i++) {
		snprintf(text, sizeof(text), "line %010d\n", i);
		t_eq_int(write(b.fd, text, LINE), LINE);
	}
}

/* All that there still is, from its first place on. */
static char *
whole(int64_t *first, int64_t *last)
{
	t_check(sup_log_extent(W.sup, job, first, last));
	size_t n = (size_t)(*last - *first);
	char *text = xcalloc(n + 1, 1);
	int64_t pos = *first;
	size_t at = 0;
	while (at < n) {
		/* in pieces that fit nowhere */
		ssize_t got = sup_log_read(W.sup, job, &pos, text + at,
		    RK_MIN(n - at, 1013));
		t_check(got > 0);
		pos += got;
		at += (size_t)got;
	}
	return text;
}

static int64_t
on_disk(void)
{
	char name[LOG_NAME];
	struct stat st;
	int64_t sum = 0;

	for (int k = 0; k < LOG_FILES_MAX; k++) {
		log_name(name, k);
		if (fstatat(b.dirfd, name, &st, 0) == 0)
			sum += st.st_size;
	}
	return sum;
}

T_CASE(the_files_of_a_log_are_read_as_one_and_places_stay)
{
	int64_t first, last;

	begin(5000, 3);
	for (int i = 0; i < 10; i++) {
		put_lines(i * 300, 300);        /* 4,800 bytes */
		t_check(log_rotate(&b));
		put_lines(10000 + i, 0);
		t_check(on_disk() <= 3 * 4800);
	}
	put_lines(3000, 7);
	char *text = whole(&first, &last);
	t_eq_int(last, 3007 * LINE);
	t_eq_int(first, 2400 * LINE);
	for (int i = 2400; i < 3007; i++)
		t_eq_int(atoi(text + (i - 2400) * LINE + 5), i);
	t_eq_int((int64_t)lost, 0);
	/* What is gone is passed over. */
	char buf[LINE];
	int64_t pos = 5;
	t_eq_int(sup_log_read(W.sup, job, &pos, buf, LINE), LINE);
	t_eq_int(pos, first);
	pos = last;
	t_eq_int(sup_log_read(W.sup, job, &pos, buf, LINE), 0);
	free(text);
	end();
}

T_CASE(fewer_files_than_before_take_the_others_away)
{
	begin(1600, 6);
	for (int i = 0; i < 6; i++) {
		put_lines(i * 100, 100);
		t_check(log_rotate(&b));
	}
	t_eq_int(on_disk(), 5 * 1600);
	b.files = 2;
	put_lines(600, 100);
	t_check(log_rotate(&b));
	t_eq_int(on_disk(), 1600);
	end();
}

T_CASE(of_a_flood_the_end_is_kept_and_the_rest_is_counted_in_the_log)
{
	int64_t first, last;

	begin(100 * LINE, 4);
	put_lines(0, 200000);
	t_check(log_rotate(&b));
	t_check(on_disk() < 300 * LINE + 200);
	t_eq_int((int64_t)lost, 199700 * LINE);
	char *text = whole(&first, &last);
	t_has(text, "3,195,200 bytes of the log are not here: more was");
	t_has(text, "\nline 0000199700\nline 0000199701\n");
	t_eq_int(last, 200000 * LINE);
	free(text);
	end();
}

T_CASE(what_came_at_once_becomes_as_many_files_as_there_may_be)
{
	int64_t first, last;

	begin(100 * LINE, 6);
	put_lines(0, 60);
	t_check(log_rotate(&b));
	put_lines(60, 330);
	t_check(log_rotate(&b));
	char *text = whole(&first, &last);
	t_eq_int(last - first, 390 * LINE);
	for (int i = 0; i < 390; i++)
		t_eq_int(atoi(text + i * LINE + 5), i);
	for (int k = 1; k <= 4; k++) {
		char name[LOG_NAME];
		struct stat st;
		log_name(name, k);
		t_eq_int(fstatat(b.dirfd, name, &st, 0), 0);
		t_check(st.st_size <= 110 * LINE);
	}
	t_eq_int((int64_t)lost, 0);
	free(text);
	end();
}

T_CASE(a_log_that_cannot_be_copied_is_cut_in_the_end_and_says_so)
{
	int64_t first, last;

	begin(100 * LINE, 4);
	/* Nothing can be written in its place. */
	t_eq_int(mkdirat(b.dirfd, RK_TMP_PREFIX "log", 0700), 0);
	put_lines(0, 140);
	t_check(!log_rotate(&b));
	t_eq_int(on_disk(), 140 * LINE);
	put_lines(140, 70);
	t_check(log_rotate(&b));
	char *text = whole(&first, &last);
	t_has(text, "3,360 bytes of the log are not here: they could not be "
	    "copied to train.log.1: Is a directory");
	t_eq_int(first, 210 * LINE);
	t_eq_int((int64_t)lost, 210 * LINE);
	free(text);
	end();
}

/* A writer that never stops: each line is there, or is counted. */
T_CASE(what_is_lost_between_copy_and_truncation_is_counted)
{
	int64_t first, last;
	int told = 0, missing = 0, expect = 0, perhaps = 0, tells = 0,
	    n;
	int64_t said = 0;

	begin(4000 * LINE, 16);
	pid_t p = fork();
	if (p == 0) {
		put_lines(0, 40000);
		_exit(0);
	}
	for (int st; waitpid(p, &st, WNOHANG) == 0;) {
		struct stat s;
		t_eq_int(fstat(b.fd, &s), 0);
		if (s.st_size > 3000 * LINE)
			t_check(log_rotate(&b));
	}
	char *text = whole(&first, &last), *line = text, *nl;
	for (; (nl = strchr(line, '\n')) != NULL; line = nl + 1) {
		*nl = '\0';
		if (sscanf(line, "line %d", &n) == 1) {
			if (first > 0 && expect == 0)
				expect = n;
			missing += n - expect;
			expect = n + 1;
		} else if (strstr(line, "may not be here") != NULL) {
			perhaps++;
		} else if (strstr(line, "are not here") != NULL) {
			char *at = strstr(line, ": ");
			for (at += 2; strchr("0123456789,", *at); at++)
				if (*at != ',')
					said = said * 10 + *at - '0';
			told += (int)said;
			tells++;
			said = 0;
		}
	}
	t_eq_int(first, 0);
	missing += 40000 - expect;
	/* Of a line that was cut a part is there. */
	t_check(told <= missing * LINE);
	if (perhaps == 0)
		t_check(missing * LINE - told < LINE * RK_MAX(tells, 1));
	free(text);
	end();
}

/* After a kill: each line is there once, in order, with those that were rotated
 * before. */
static void
is_whole(long n)
{
	int64_t first, last;

	close(b.fd);
	b.fd = log_open(W.sup, job);
	t_check(b.fd >= 0);
	put_lines(400, 1);
	char *text = whole(&first, &last);
	t_eq_int(first, 0);
	if (last != 401 * LINE)
		t_fail("killed at call %ld: %lld bytes, want %d", n,
		    (long long)last, 401 * LINE);
	for (int i = 0; i < 401; i++)
		t_eq_int(atoi(text + i * LINE + 5), i);
	free(text);
}

T_CASE(a_kill_at_any_call_of_a_rotation_loses_and_doubles_nothing)
{
	bool killed = true;

	need_ptrace();
	begin(100 * LINE, 6);
	for (long n = 1; killed; n++) {
		if (n > 400)
			t_fail("no end in sight");
		for (int k = 0; k < LOG_FILES_MAX; k++) {
			char name[LOG_NAME];
			log_name(name, k);
			if (k > 0)
				unlinkat(b.dirfd, name, 0);
		}
		unlinkat(b.dirfd, LOG_AT, 0);
		t_eq_int(ftruncate(b.fd, 0), 0);
		put_lines(0, 100);
		t_check(log_rotate(&b));
		put_lines(100, 300);    /* three files */
		pid_t p = fork();
		if (p == 0) {
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			raise(SIGSTOP);
			_exit(!log_rotate(&b));
		}
		killed = kill_at(p, n);
		is_whole(n);
	}
	end();
}

T_MAIN
