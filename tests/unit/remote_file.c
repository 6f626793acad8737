/* file://: a folder as a store. */
#include "remote_drive.h"

static struct drive the;
static char *said;
static size_t said_len;

static void
set_up(void)
{
	the.out = open_memstream(&said, &said_len);
	t_check(the.out != NULL);
	t_eq_int(loop_open(&the.loop), RK_OK);
	on_line(&the, "{}", 2);
	t_eq_str(said, "{\"ok\":true}\n");
}

static void
tear_down(void)
{
	close_all(&the);
	fclose(the.out);
	free(said);
}

/* A command with %s for the current folder; the lines that it brought. */
static const char *
run(const char *fmt)
{
	char here[4096], *line;

	t_check(getcwd(here, sizeof(here)) != NULL);
	char *at = strstr(fmt, "%s");
	t_check(at != NULL);
	line = xasprintf("%.*s%s%s", (int)(at - fmt), fmt, here, at + 2);
	rewind(the.out);
	fflush(the.out);
	the.over = false;
	on_line(&the, line, strlen(line));
	the.over = true;
	alarm(t_limit(20));
	if (the.jobs != NULL)
		loop_run(the.loop);
	alarm(0);
	free(line);
	fflush(the.out);
	return said;
}

T_CASE(a_file_is_put_looked_at_got_and_deleted)
{
	set_up();
	t_has(run("{\"id\":\"1\",\"do\":\"put\",\"uri\":\"file://%s/a/b c\","
	    "\"text\":\"hello\"}"), "\"end\":\"ok\"");
	t_has(run("{\"id\":\"2\",\"do\":\"head\",\"uri\":\"file://%s/a/b c\"}"),
	    "\"size\":5");
	t_has(run("{\"id\":\"3\",\"do\":\"get\",\"uri\":\"file://%s/a/b c\"}"),
	    "\"body\":\"hello\"");
	t_has(run("{\"id\":\"4\",\"do\":\"get\",\"uri\":\"file://%s/a/b c\","
	    "\"max\":4}"), "\"end\":\"refused\"");
	t_has(run("{\"id\":\"5\",\"do\":\"delete\",\"uri\":"
	    "\"file://%s/a/b c\"}"), "\"end\":\"ok\"");
	t_has(run("{\"id\":\"6\",\"do\":\"delete\",\"uri\":"
	    "\"file://%s/a/b c\"}"), "\"end\":\"ok\"");
	t_has(run("{\"id\":\"7\",\"do\":\"head\",\"uri\":\"file://%s/a/b c\"}"),
	    "\"end\":\"missing\"");
	tear_down();
}

T_CASE(a_file_that_is_there_is_not_put_if_absent)
{
	set_up();
	t_has(run("{\"id\":\"1\",\"do\":\"put\",\"uri\":\"file://%s/e\","
	    "\"text\":\"one\",\"if_absent\":true}"), "\"end\":\"ok\"");
	t_has(run("{\"id\":\"2\",\"do\":\"put\",\"uri\":\"file://%s/e\","
	    "\"text\":\"two\",\"if_absent\":true}"), "\"end\":\"exists\"");
	t_has(run("{\"id\":\"3\",\"do\":\"get\",\"uri\":\"file://%s/e\"}"),
	    "\"body\":\"one\"");
	t_has(run("{\"id\":\"4\",\"do\":\"list\",\"uri\":\"file://%s/\"}"),
	    "\"entries\":[[\"e\",3,");
	tear_down();
}

T_CASE(a_folder_lists_keys_in_order_and_no_unfinished_file)
{
	set_up();
	t_check(mkdir("d", 0755) == 0 && mkdir("d/none", 0755) == 0);
	(void)run("{\"id\":\"1\",\"do\":\"put\",\"uri\":\"file://%s/d/b/x\","
	    "\"text\":\"\"}");
	(void)run("{\"id\":\"2\",\"do\":\"put\",\"uri\":\"file://%s/d/b-y\","
	    "\"text\":\"\"}");
	(void)run("{\"id\":\"3\",\"do\":\"put\",\"uri\":\"file://%s/d/c\","
	    "\"text\":\"\"}");
	fclose(fopen("d/" RK_TMP_PREFIX "1", "w"));
	const char *all = run("{\"id\":\"4\",\"do\":\"list\",\"uri\":"
	    "\"file://%s/d/b\"}");
	t_has(strstr(all, "\"-y\""), "\"/x\"");
	t_check(strstr(all, "\"c\"") == NULL);
	const char *some = run("{\"id\":\"5\",\"do\":\"list\",\"uri\":"
	    "\"file://%s/d/\",\"folders\":true}");
	t_has(strstr(strstr(some, "\"b-y\""), "\"b/\""), "\"c\"");
	t_check(strstr(some, "none") == NULL && strstr(some, "tmp") == NULL);
	t_has(run("{\"id\":\"6\",\"do\":\"list\",\"uri\":\"file://%s/no/\"}"),
	    "\"end\":\"ok\"");
	tear_down();
}

T_CASE(a_large_file_goes_there_and_back_with_its_digest)
{
	set_up();
	char *bytes = xmalloc(3 << 20);
	for (size_t i = 0; i < 3 << 20; i++)
		bytes[i] = (char)rk_draw_u32(1, 2, 3, i);
	int fd = open("from", O_WRONLY | O_CREAT, 0644);
	t_check(rk_write_all(fd, bytes, 3 << 20) == 0);
	close(fd);
	const char *up = run("{\"id\":\"1\",\"do\":\"upload\",\"uri\":"
	    "\"file://%s/to/x\",\"file\":\"from\"}");
	t_has(up, "\"end\":\"ok\"");
	char hex[RK_SHA256_HEX];
	rk_sha256_of(bytes, 3 << 20, hex);
	t_has(up, hex);
	const char *down = run("{\"id\":\"2\",\"do\":\"download\",\"uri\":"
	    "\"file://%s/to/x\",\"file\":\"back\"}");
	t_has(down, "\"event\":\"sized\"");
	t_has(down, "\"at\":0,\"event\":\"got\"");
	t_has(down, hex);
	t_has(run("{\"id\":\"3\",\"do\":\"download\",\"uri\":\"file://%s/to/x"
	    "\",\"file\":\"back\",\"sha256\":\"00\"}"), "\"end\":\"damaged\"");
	t_has(run("{\"id\":\"4\",\"do\":\"download\",\"uri\":\"file://%s/to/x"
	    "\",\"file\":\"back\",\"room\":false}"), "no room");
	char *back = NULL;
	size_t n;
	t_eq_int(rk_read_file(AT_FDCWD, "back", 4 << 20, &back, &n), RK_OK);
	t_check(n == 3 << 20 && memcmp(back, bytes, n) == 0);
	free(back);
	free(bytes);
	tear_down();
}

T_CASE(an_operation_that_is_cancelled_or_closed_says_nothing)
{
	set_up();
	static const char *const lines[] = {
		"{\"id\":\"1\",\"do\":\"head\",\"uri\":\"file:///\"}",
		"{\"id\":\"1\",\"do\":\"cancel\"}",
		"{\"id\":\"2\",\"do\":\"head\",\"uri\":\"ftp://x\"}",
		"{\"id\":\"3\",\"do\":\"head\",\"uri\":\"file:///\"}",
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(lines); i++)
		on_line(&the, lines[i], strlen(lines[i]));
	t_check(strstr(said, "\"end\"") == NULL);
	tear_down();
}

T_CASE(an_address_that_cannot_be_used_is_refused_later)
{
	set_up();
	t_has(run("{\"id\":\"1\",\"do\":\"head\",\"uri\":\"ftp://%s\"}"),
	    "\"end\":\"refused\"");
	t_has(run("{\"id\":\"2\",\"do\":\"get\",\"uri\":\"s3://bucket#%s\"}"),
	    "\"end\":\"refused\"");
	t_has(run("{\"id\":\"3\",\"do\":\"put\",\"uri\":\"https://h/%s\","
	    "\"text\":\"\"}"), "can only be read");
	tear_down();
}

T_MAIN
