/* Limits on bandwidth, shared by metered calls. */
#include "http_calls.h"

/* Up: a file goes out.  Down: the server's bytes come into one. */
static struct http_request
moving(bool up, int fd, uint64_t n)
{
	char path[32];

	if (up)
		return put_from(fd, "/put", n);
	snprintf(path, sizeof(path), "/bytes/%llu", (unsigned long long)n);
	return get_into(fd, path, 200, n);
}

static void
goes_at_once(struct http_request r)
{
	int64_t t0 = mono_ms();

	t_eq_int(perform(r).end, HTTP_ANSWERED);
	t_check(mono_ms() - t0 < 1100);
}

/* 6 MB at 4 MB/s take 1.5 s; a burst of 50 ms, and the 512 KiB that each of
 * the four calls may have in hand, are ahead of the clock. */
static void
check_rate(bool up)
{
	const uint64_t rate = 4000000;
	open_all(&(struct http_config){ .up_rate = up ? rate : 0,
	    .down_rate = up ? 0 : rate });
	struct got g = {0};
	int fd = file_of("f", 5000000);
	int64_t t0 = mono_ms();
	for (int i = 0; i < 4; i++) {
		struct http_request r = moving(up, fd, 1500000);
		r.metered = true;
		r.slow_ms = 500;
		r.slow = 3000000;       /* more than its share: not its fault */
		(void)send_for(&g, r);
	}
	run_until(l, g.calls == 4);
	int64_t ms = mono_ms() - t0;
	t_eq_int(g.answered, 4);
	if (ms < 1200 || ms > 2700)
		t_fail("took %lld ms", (long long)ms);
	/* Who is not metered does not wait, and a limit can be lifted: at it,
	 * these would take 1.25 s. */
	struct http_request r = moving(up, fd, 5000000);
	goes_at_once(r);
	http_rates(h, 0, 0);
	r.metered = true;
	goes_at_once(r);
	close_all();
}

T_CASE(several_uploads_together_keep_to_the_rate)
{
	check_rate(true);
}

T_CASE(several_downloads_together_keep_to_the_rate)
{
	check_rate(false);
}

T_CASE(a_limit_that_is_lifted_frees_those_who_wait)
{
	open_all(&(struct http_config){ .up_rate = 1000 });
	struct got g = {0};
	struct http_request r = put_from(file_of("f", 900000), "/put", 900000);
	r.metered = true;
	struct http_call *c = send_for(&g, r);
	uint64_t sent = 0, sunk = 0;
	run_until(l, (http_moved(c, &sent, &sunk), sent > 0));
	run_for(l, 100);
	http_moved(c, &sent, &sunk);
	t_check(sent < 100000 && g.calls == 0);
	http_rates(h, 0, 0);
	int64_t t0 = mono_ms();
	run_until(l, g.calls == 1);
	t_check(g.end == HTTP_ANSWERED && mono_ms() - t0 < 5000);
	close_all();
}

T_MAIN
