/* Files that grow while they are read. */
#include "t.h"

#include <fcntl.h>

#include "impl.h"

static char got[100000];
static int stop_at;

static bool
collect(void *ctx, const char *s, size_t n, int64_t end)
{
	int *count = ctx;

	(void)end;
	if (stop_at > 0 && *count == stop_at)
		return false;
	(*count)++;
	size_t at = strlen(got);
	snprintf(got + at, sizeof(got) - at, "<%.*s>", (int)n, s);
	return true;
}

static int
file_of(const char *bytes, size_t n)
{
	int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);

	t_check(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	got[0] = '\0';
	return fd;
}

T_CASE(half_a_line_waits_for_its_end)
{
	int n = 0, fd = file_of("one\ntwo\nthr", 11);

	t_eq_int(lines_read(fd, 0, false, collect, &n), 8);
	t_eq_str(got, "<one><two>");
	t_eq_int(lines_read(fd, 8, false, collect, &n), 8);
	t_check(write(fd, "ee\n", 3) == 3);
	t_eq_int(lines_read(fd, 8, false, collect, &n), 14);
	t_eq_str(got, "<one><two><three>");
	close(fd);
}

T_CASE(the_rest_is_a_line_when_no_more_will_come)
{
	int n = 0, fd = file_of("one\ntw", 6);

	t_eq_int(lines_read(fd, 0, true, collect, &n), 6);
	t_eq_str(got, "<one><tw>");
	t_eq_int(lines_read(fd, 6, true, collect, &n), 6);
	t_eq_int(n, 2);
	close(fd);
}

T_CASE(a_line_that_is_not_taken_stays_unread)
{
	int n = 0, fd = file_of("1\n2\n3\n", 6);

	stop_at = 2;
	t_eq_int(lines_read(fd, 0, false, collect, &n), 4);
	t_eq_str(got, "<1><2>");
	close(fd);
}

T_CASE(a_line_longer_than_a_chunk_comes_in_pieces)
{
	char *big = xmalloc(LINES_CHUNK + 100);
	int n = 0, fd;
	int64_t pos;

	memset(big, 'x', LINES_CHUNK + 99);
	big[LINES_CHUNK + 99] = '\n';
	fd = file_of(big, LINES_CHUNK + 100);
	pos = lines_read(fd, 0, false, collect, &n);
	t_eq_int(pos, LINES_CHUNK);
	t_eq_int(lines_read(fd, pos, false, collect, &n), LINES_CHUNK + 100);
	t_eq_int(n, 2);
	close(fd);
	free(big);
}

T_CASE(a_file_that_is_not_there_has_no_lines)
{
	int n = 0;

	t_eq_int(lines_read(-1, 17, true, collect, &n), 17);
	t_eq_int(n, 0);
}

static bool
ok(const char *s, int64_t attempt, const char *split)
{
	return lines_metric_ok(s, strlen(s), attempt, split);
}

T_CASE(a_torn_metric_is_left_out)
{
	t_check(ok("{\"step\":1}", 0, NULL));
	t_check(!ok("", 0, NULL));
	t_check(!ok("[1]", 0, NULL));
	t_check(!ok("{\"step\":1", 0, NULL));
	t_check(!ok("{\"step\":{\"step\":1}", 0, NULL));
	t_check(!ok("\x00\x00\x00", 0, NULL));
}

T_CASE(metrics_are_chosen_by_attempt_and_split)
{
	static const char m[] = "{\"attempt\":2,\"split\":\"train\"}";

	t_check(ok(m, 2, NULL) && ok(m, 0, "train") && ok(m, 2, "train"));
	t_check(!ok(m, 1, NULL) && !ok(m, 2, "validation"));
	t_check(!ok("{\"step\":1}", 1, NULL));
	t_check(!ok("{\"step\":1}", 0, "train"));
}

T_MAIN
