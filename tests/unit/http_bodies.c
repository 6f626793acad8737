/* Bodies: out of files and into them, and how much of one is taken. */
#include "http_calls.h"

/* --- what goes out ------------------------------------------------------- */

T_CASE(a_file_s_range_goes_out)
{
	open_plain();
	int fd = file_of("f", 5000000);
	static const uint64_t sizes[] = { 0, 1, 70000, 3000000 };
	for (size_t i = 0; i < RK_ARRAY_LEN(sizes); i++) {
		char *want = sum_of(1234, sizes[i]);
		for (int post = 0; post < 2; post++) {
			struct http_request r = put_from(fd, "/put", sizes[i]);
			r.method = post ? "POST" : "PUT";
			r.body_at = 1234;
			struct got g = perform(r);
			t_eq_int(g.end, HTTP_ANSWERED);
			t_eq_str(g.body, want);
			t_eq_int(g.sent, sizes[i]);
		}
		free(want);
	}
	t_eq_int(lseek(fd, 0, SEEK_CUR), 5000000);
	close_all();
}

T_CASE(a_file_that_became_shorter_is_a_fault_of_the_disk)
{
	open_plain();
	struct got g = perform(put_from(file_of("f", 100000), "/put", 200000));
	t_check(g.end == HTTP_DISK && g.err == RK_EIO);
	t_has(g.error, "shorter");
	close_all();
}

/* The headers of a 100 come before the answer and are not part of it. */
T_CASE(a_large_body_waits_for_the_server_s_word)
{
	open_plain();
	struct http_request r = put_from(file_of("f", 3000000), "/put",
	    3000000);
	struct got g = perform(r);
	t_check(g.status == 200 && g.sent == 3000000);
	t_eq_str(g.header, "one two");
	r.url = url("/early");
	g = perform(r);
	t_check(g.end == HTTP_ANSWERED && g.status == 403 && g.sent == 0);
	t_eq_str(g.body, "no");
	close_all();
}

/* --- what comes in ------------------------------------------------------- */

/* From `at` to its end the file has the server's bytes from `from` on, n of
 * them, and nothing before. */
static void
check_file(const char *name, uint64_t at, uint64_t from, uint64_t n)
{
	char *p = NULL;
	size_t len = 0;

	t_eq_int(rk_read_file(AT_FDCWD, name, 1 << 26, &p, &len), RK_OK);
	t_eq_int(len, at + n);
	for (uint64_t i = 0; i < at + n; i++) {
		if ((unsigned char)p[i] != (i < at ? 0 :
		    server_byte(from + i - at)))
			t_fail("byte %llu is wrong", (unsigned long long)i);
	}
	free(p);
}

T_CASE(a_range_goes_into_its_place_in_a_file)
{
	open_plain();
	struct http_request r = get_into(file_of("f", 0), "/bytes/9000000",
	    206, 2000000);
	static const char *const headers[] = { "Range: bytes=100-2000099",
	    NULL };
	r.headers = headers;
	r.sink_at = 5000;
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_check(g.status == 206 && g.sunk == 2000000 && g.len == 0);
	check_file("f", 5000, 100, 2000000);
	close_all();
}

T_CASE(a_chunked_answer_goes_into_a_file_and_its_trailer_nowhere)
{
	open_plain();
	struct got g = perform(get_into(file_of("f", 0), "/chunked/300000",
	    200, 400000));
	t_check(g.end == HTTP_ANSWERED && g.sunk == 300000);
	t_eq_str(g.header, "-");
	check_file("f", 0, 0, 300000);
	close_all();
}

T_CASE(an_answer_of_another_status_stays_out_of_the_file)
{
	open_plain();
	struct got g = perform(get_into(file_of("f", 0), "/status/404", 206,
	    100));
	t_check(g.end == HTTP_ANSWERED && g.status == 404 && g.sunk == 0);
	t_eq_str(g.body, "status 404");
	t_eq_int(size_of("f"), 0);
	close_all();
}

T_CASE(an_answer_longer_than_wanted_is_refused)
{
	open_plain();
	t_eq_int(perform(get("/bytes/65537")).end, HTTP_TOO_LONG);
	struct got g = perform(get("/bytes/65536"));
	t_check(g.end == HTTP_ANSWERED && g.len == 65536);
	g = perform(get_into(file_of("f", 0), "/bytes/100001", 200, 100000));
	t_eq_int(g.end, HTTP_TOO_LONG);
	t_check(size_of("f") <= 100000);
	close_all();
}

T_CASE(a_sink_that_cannot_be_written_is_a_fault_of_the_disk)
{
	open_plain();
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct got g = perform(get_into(full, "/bytes/100000", 200, 100000));
	t_check(g.end == HTTP_DISK && g.err == RK_ENOSPC && g.sunk == 0);
	close_all();
}

T_MAIN
