/* Faults, log lines, strings, times, ids, names and addresses. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "rekindle/base.h"
#include "t.h"

T_CASE(faults_are_kept_with_path_and_message)
{
	struct rk_why why = {0};
	t_eq_str(rk_why_first(&why), "no reason given");
	t_eq_int(rk_refuse(&why, "is %d", 3), RK_EINVAL);
	t_eq_int(rk_refuse_at(&why, "a.b", "is %s", "x\ny"), RK_EINVAL);
	t_eq_int(rk_refuse_at(NULL, "a.b", "is %s", "x"), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "is 3");
	t_eq_str(why.v[0].path, "");
	t_eq_str(why.v[1].path, "a.b");
	t_eq_str(why.v[1].message, "is x y");
	char *all = rk_why_text(&why);
	t_eq_str(all, "is 3; a.b: is x y");
	free(all);
	rk_why_fini(&why);
	t_check(why.n == 0 && why.v == NULL);
}

T_CASE(faults_beyond_64_are_counted)
{
	struct rk_why why = {0};
	for (int i = 0; i < 70; i++)
		rk_refuse_at(&why, "p", "%d", i);
	t_eq_int(why.n, RK_WHY_MAX);
	t_eq_int(why.more, 6);
	char *all = rk_why_text(&why);
	t_has(all, "p: 63; and 6 more");
	free(all);
	rk_why_fini(&why);
}

T_CASE(utf_8_is_good_up_to_the_first_byte_that_is_none)
{
	static const char good[] = "caf\xc3\xa9 \xe4\xb8\xad, \xed\x9f\xbf "
	    "and \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf";
	static const char *const bad[] = { "\x80", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xc3", "\xe4\xb8", "\xf0\x9f\x98",
		"\xc3x" };
	char text[32];

	t_eq_int(rk_utf8_good(good, sizeof(good) - 1), sizeof(good) - 1);
	t_eq_int(rk_utf8_good(good, 4), 3);
	t_eq_int(rk_utf8_good("", 0), 0);
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++)
		for (size_t before = 0; before < 18; before++) {
			const size_t n = (size_t)snprintf(text, sizeof(text),
			    "%.*s%s", (int)before, "123456789012345678",
			    bad[i]);
			t_eq_int(rk_utf8_len(bad[i], n - before), 0);
			t_eq_int(rk_utf8_good(text, n), before);
		}
}

T_CASE(must_aborts_and_says_why)
{
	must(1 + 1 == 2);
	t_aborts(must(1 + 1 == 3));
	struct { unsigned tag; } *none = NULL, thing = { 7 };
	must_be(&thing, 7);
	t_aborts(must_be(&thing, 8));
	t_aborts(must_be(none, 7));
}

/* What is written to stderr in the meantime, up to 8 KiB. */
static int stderr_was;
static void
catch_stderr(void)
{
	stderr_was = dup(2);
	int fd = open("log", O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0600);
	dup2(fd, 2);
	close(fd);
}

static const char *
caught(void)
{
	static char text[8192];
	dup2(stderr_was, 2);
	FILE *f = fopen("log", "r");
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

T_CASE(a_log_call_is_one_line_with_time_and_level)
{
	catch_stderr();
	errno = ENOSPC;
	log_debug("not shown");
	log_info("job %d", 17);
	log_errno("ckpt: cannot save");
	log_warn("two\nlines \x1b[0m and \xff");
	t_eq_int(errno, ENOSPC);
	const char *s = caught();
	/* 2026-11-23T12:00:00.000Z info job 17 */
	t_check(s[4] == '-' && s[10] == 'T' && s[23] == 'Z');
	t_check(strncmp(s + 24, " info job 17\n", 13) == 0);
	t_has(s, "Z error ckpt: cannot save: No space left on device\n");
	t_has(s, "Z warn two lines ?[0m and ?\n");
	t_check(strstr(s, "not shown") == NULL);
}

T_CASE(a_very_long_log_line_is_cut_and_ended)
{
	char *big = xcalloc(1, 10000);
	memset(big, 'x', 9999);
	catch_stderr();
	log_info("%s", big);
	log_info("%s", "next");
	const char *s = caught();
	t_check(strlen(s) < 4300);
	t_has(s, "x\n");
	t_has(s, "info next\n");
	free(big);
}

T_CASE(the_journal_gets_a_priority_and_no_time)
{
	struct stat st;
	catch_stderr();
	fstat(2, &st);
	char *id = xasprintf("%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", id, 1);
	log_warn("x");
	setenv("JOURNAL_STREAM", "1:1", 1);     /* that of another process */
	log_warn("y");
	const char *s = caught();
	t_check(strncmp(s, "<4>x\n", 5) == 0);
	t_has(s, "Z warn y\n");
	free(id);
}

T_CASE(the_log_level_is_named_and_obeyed)
{
	enum log_level lv;
	t_check(log_level_from_name("warn", &lv) && lv == LOG_L_WARN);
	t_check(!log_level_from_name("loud", &lv));
	catch_stderr();
	log_set_level(LOG_L_WARN);
	log_info("quiet");
	log_set_level(LOG_L_DEBUG);
	log_debug("shown");
	const char *s = caught();
	t_check(strstr(s, "quiet") == NULL);
	t_has(s, "debug shown\n");
}

T_CASE(a_strbuf_grows_and_is_always_ended)
{
	struct strbuf b = {0};
	t_eq_str(sb_str(&b), "");
	sb_cut(&b, 0);
	sb_adds(&b, "ab");
	sb_addc(&b, 'c');
	sb_addf(&b, "%0200d", 7);
	sb_add(&b, "\0x", 2);
	t_eq_int(b.len, 205);
	t_eq_int(strlen(b.s), 203);
	sb_cut(&b, 202);
	t_check(memcmp(b.s, "7\0x", 4) == 0);
	t_aborts(sb_cut(&b, 4));
	sb_reset(&b);
	t_eq_str(sb_str(&b), "");
	sb_adds(&b, "z");
	char *s = sb_detach(&b);
	t_eq_str(s, "z");
	t_check(b.s == NULL && b.len == 0);
	free(s);
	s = sb_detach(&b);
	t_eq_str(s, "");
	free(s);
	for (int i = 0; i < 100000; i++)
		sb_addc(&b, 'x');
	t_eq_int(strlen(sb_str(&b)), 100000);
	sb_fini(&b);
}

T_CASE(sizes_that_overflow_are_told)
{
	size_t n = 0;
	t_check(rk_mul(3, 4, &n) && n == 12);
	t_check(!rk_mul(SIZE_MAX, 2, &n));
	t_check(!rk_add(SIZE_MAX, 1, &n));
	t_aborts(xcalloc(SIZE_MAX, 2));
#if !RK_SANITIZED    /* which ends the process in its own way */
	t_aborts(free(xmalloc(SIZE_MAX / 2)));
#endif
	free(xmalloc(0));
	free(xcalloc(0, 8));
}

T_CASE(numbers_are_shown_as_people_write_them)
{
	char s[RK_HUMAN];
	t_eq_str(rk_group_digits(s, 0), "0");
	t_eq_str(rk_group_digits(s, 999), "999");
	t_eq_str(rk_group_digits(s, 200960), "200,960");
	t_eq_str(rk_group_digits(s, -1234567), "-1,234,567");
	t_eq_str(rk_group_digits(s, INT64_MIN), "-9,223,372,036,854,775,808");
	t_eq_str(rk_human_rate(s, 0), "0");
	t_eq_str(rk_human_rate(s, 0.347), "0.35");
	t_eq_str(rk_human_rate(s, 9.4), "9.4");
	t_eq_str(rk_human_rate(s, 12345.9), "12,345");
	t_eq_str(rk_human_bytes(s, 0), "0 B");
	t_eq_str(rk_human_bytes(s, 1023), "1023 B");
	t_eq_str(rk_human_bytes(s, 1024), "1 KiB");
	t_eq_str(rk_human_bytes(s, 3ull << 29), "1.5 GiB");
	t_eq_str(rk_human_bytes(s, (1 << 20) - 1), "1 MiB");
	t_eq_str(rk_human_bytes(s, UINT64_MAX), "16 EiB");
}

T_CASE(times_are_rfc_3339_in_utc)
{
	char s[RK_TIME];
	t_eq_str(rk_time_text(s, 0), "1970-01-01T00:00:00.000Z");
	t_eq_str(rk_time_text(s, 1795435200123), "2026-11-23T12:00:00.123Z");
	t_eq_str(rk_time_text(s, -1), "1969-12-31T23:59:59.999Z");
	t_eq_str(rk_time_text(s, INT64_MAX), "9999-12-31T23:59:59.999Z");
	rk_time_text(s, INT64_MIN);
	t_check(mono_ms() > 0 && now_ms() > 1700000000000);
}

T_CASE(marks_of_direction_are_no_text)
{
	/* U+061C, 200E, 200F, 202A, 202E, 2066, 2069; and their neighbours. */
	char s[] = "a\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\xaa\xe2\x80"
	    "\xae\xe2\x81\xa6\xe2\x81\xa9z\n";
	char near[] = "\xd8\x9b\xd8\x9d\xe2\x80\x8d\xe2\x80\x90\xe2\x80\xa9"
	    "\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa";
	char mark[8], same[sizeof(near)], *t = xstrdup(s);

	memcpy(same, near, sizeof(near));
	t_eq_str(rk_text_clean(near), same);
	t_eq_str(rk_marks_clean(near), same);
	t_eq_str(rk_marks_clean(t), "a????????????????????z\n");
	t_eq_str(rk_mark_json(mark, s + 1), "\\u061c");
	t_eq_str(rk_mark_json(mark, s + 12), "\\u202e");
	t_eq_str(rk_mark_json(mark, s + 18), "\\u2069");
	t_eq_str(rk_text_clean(s), "a????????????????????z ");
	free(t);
}

T_CASE(text_from_outside_is_cleaned)
{
	char s[] = "a\tb\n\x01\x7f \xc3\xa4 \xff \xc3( \xe2\x82 \xed\xa0\x80 "
	    "\xf0\x9f\x94\xa5 \xc2\x85.";
	t_eq_str(rk_text_clean(s), "a b ?? \xc3\xa4 ? ?( ?? ??? "
	    "\xf0\x9f\x94\xa5 ??.");
	char cut[] = "x\xf0\x9f";
	t_eq_str(rk_text_clean(cut), "x??");
	t_eq_int(rk_text_fit("abc", 5), 3);
	t_eq_int(rk_text_fit("abc", 2), 2);
	t_eq_int(rk_text_fit("a\xc3\xa4", 2), 1);
	t_eq_int(rk_text_fit("a\xc3\xa4", 3), 3);
}

T_CASE(ids_are_unique_and_grow)
{
	char last[RK_ID] = "", id[RK_ID];
	for (int i = 0; i < 100000; i++) {
		rk_id_new(id);
		t_check(rk_id_ok(id));
		t_check(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(id));
	}
}

/* 01HF... : the first ten digits are the milliseconds, in base 32. */
T_CASE(an_id_begins_with_the_time)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	char id[RK_ID];
	int64_t t0 = now_ms(), ms = 0;
	rk_id_new(id);
	for (int i = 0; i < 10; i++)
		ms = ms << 5 | (strchr(digits, id[i]) - digits);
	t_check(ms >= t0 && ms <= now_ms());
}

T_CASE(a_forked_child_makes_other_ids)
{
	int p[2];
	char a[RK_ID], b[RK_ID];
	t_eq_int(pipe(p), 0);
	for (int i = 0; i < 50; i++) {
		rk_id_new(a);
		pid_t pid = fork();
		rk_id_new(b);
		if (pid == 0) {
			(void)!write(p[1], b, RK_ID);
			_exit(0);
		}
		t_check(read(p[0], a, RK_ID) == RK_ID);
		waitpid(pid, NULL, 0);
		t_check(strcmp(a, b) != 0);
	}
}

static char ids[4][1000][RK_ID];
static void *
make_ids(void *arg)
{
	char (*out)[RK_ID] = arg;
	for (int i = 0; i < 1000; i++)
		rk_id_new(out[i]);
	return NULL;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

T_CASE(ids_of_many_threads_differ)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, make_ids, ids[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	qsort(ids, 4000, RK_ID, by_text);
	char (*all)[RK_ID] = ids[0];
	for (int i = 1; i < 4000; i++)
		t_check(strcmp(all[i - 1], all[i]) != 0);
}

T_CASE(ids_and_names_are_checked)
{
	t_check(rk_id_ok("01arz3ndektsv4rrffq69g5fav"));
	t_check(!rk_id_ok("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
	t_check(!rk_id_ok("81arz3ndektsv4rrffq69g5fav"));
	t_check(!rk_id_ok("01arz3ndektsv4rrffq69g5fai"));
	t_check(!rk_id_ok("01arz3ndektsv4rrffq69g5fa"));
	t_check(!rk_id_ok(""));
	t_check(rk_name_ok("before-lr.drop_2") && rk_name_ok("_x"));
	t_check(!rk_name_ok("") && !rk_name_ok(".x") && !rk_name_ok("-x"));
	t_check(!rk_name_ok("a/b") && !rk_name_ok("a b"));
	t_check(!rk_name_ok("\xc3"));
	char n[66];
	memset(n, 'x', 65);
	n[65] = '\0';
	t_check(!rk_name_ok(n));
	n[64] = '\0';
	t_check(rk_name_ok(n));
}

static void
uri_is(const char *s, enum rk_uri_kind kind, const char *scheme,
    const char *host, const char *path)
{
	struct rk_why why = {0};
	struct rk_uri u;
	if (rk_uri_parse(&u, s, &why) != RK_OK)
		t_fail("%s is refused: %s", s, rk_why_first(&why));
	t_eq_int(u.kind, kind);
	t_eq_str(u.scheme, scheme);
	t_eq_str(u.path, path);
	if (host != NULL)
		t_eq_str(u.host, host);
	else
		t_check(u.host == NULL);
	rk_uri_fini(&u);
}

T_CASE(addresses_are_taken_apart)
{
	uri_is("/a/b.st", RK_URI_FILE, "file", NULL, "/a/b.st");
	uri_is("b%20.st", RK_URI_FILE, "file", NULL, "b%20.st");
	uri_is("./a:b", RK_URI_FILE, "file", NULL, "./a:b");
	uri_is("a/b:c", RK_URI_FILE, "file", NULL, "a/b:c");
	uri_is("file:/a%20b", RK_URI_FILE, "file", NULL, "/a b");
	uri_is("FILE:///a", RK_URI_FILE, "file", NULL, "/a");
	uri_is("file://localhost/a", RK_URI_FILE, "file", NULL, "/a");
	uri_is("job://01arz3ndektsv4rrffq69g5fav/best", RK_URI_JOB, "job",
	    "01arz3ndektsv4rrffq69g5fav", "best");
	uri_is("job://mine/step:1200", RK_URI_JOB, "job", "mine", "step:1200");
	uri_is("s3://bucket/a/b", RK_URI_OTHER, "s3", "bucket", "a/b");
	uri_is("https://h", RK_URI_OTHER, "https", "h", "");
	uri_is("model://defects@production", RK_URI_MODEL, "model", "defects",
	    "production");
	uri_is("MODEL://de.f-e_c/12", RK_URI_MODEL, "model", "de.f-e_c", "12");
	uri_is("model://a@1b", RK_URI_MODEL, "model", "a", "1b");
}

static void
uri_refused(const char *s, const char *words)
{
	struct rk_why why = {0};
	struct rk_uri u;
	if (rk_uri_parse(&u, s, &why) != RK_EINVAL)
		t_fail("%s is not refused", s);
	t_has(rk_why_first(&why), words);
	t_check(u.path == NULL && u.host == NULL && u.scheme == NULL);
	rk_why_fini(&why);
}

T_CASE(addresses_that_mean_nothing_are_refused_with_a_sentence)
{
	uri_refused("", "is empty");
	uri_refused("ftp://x/y", "not an address that we know");
	uri_refused("ftp://x/y", "not an address that we know");
	uri_refused("file://other/x", "names the host \"other\"");
	uri_refused("file:x", "not an absolute path");
	uri_refused("file:///a%", "hexadecimal");
	uri_refused("file:///a%4", "hexadecimal");
	uri_refused("file:///a%00b", "hexadecimal");
	uri_refused("job:x", "job://ID/CHECKPOINT");
	uri_refused("job://x", "job://ID/CHECKPOINT");
	uri_refused("job://x/", "job://ID/CHECKPOINT");
	uri_refused("job://x/../y", "job://ID/CHECKPOINT");
	uri_refused("job:///best", "job://ID/CHECKPOINT");
	uri_refused("job://x/step:", "job://ID/CHECKPOINT");
	uri_refused("job://x/step:1a", "job://ID/CHECKPOINT");
	uri_refused("model:x", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x@", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x/", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://@p", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://_x@p", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x@12", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x@a/b", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x/a", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x/03", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x/0", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x/3/y", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("model://x/1234567890123456789", "model://NAME/N");
	uri_refused("model://../x@p", "model://NAME@ALIAS or model://NAME/N");
	uri_refused("s3:///x", "names no bucket");
	uri_refused("s3:", "names no bucket");
	uri_refused("a\nb", "control character (byte 10)");
	char *big = xcalloc(1, 5000);
	memset(big, 'x', 4999);
	uri_refused(big, "longer than 4096");
	free(big);
}

T_MAIN
