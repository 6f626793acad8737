/* The configuration: its file, its flags, and what is refused. */
#include "t.h"

#include <getopt.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "impl.h"

/* Where the tests were started; a case runs in a folder of its own. */
static char root[4096];

__attribute__((constructor)) static void
remember_root(void)
{
	if (getcwd(root, sizeof(root)) == NULL)
		root[0] = '\0';
	unsetenv("STATE_DIRECTORY");
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	t_check(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

T_CASE(the_file_that_we_ship_says_the_defaults)
{
	struct config a, b;
	struct rk_why why = { 0 };
	char path[5000];

	snprintf(path, sizeof(path), "%s/etc/rekindled.yaml", root);
	if (access(path, R_OK) != 0)
		t_skip("not started in the project's root");
	config_init(&a);
	config_init(&b);
	if (config_load(&b, path, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_check(same(a.state_dir, b.state_dir) && same(a.listen, b.listen));
	t_check(same(a.socket, b.socket) && same(a.trainer, b.trainer));
	t_check(same(a.socket_mode, b.socket_mode));
	t_check(same(a.log_level, b.log_level));
	/* all behind the strings is numbers */
	t_check(memcmp(&a.threads, &b.threads,
	    sizeof(a) - offsetof(struct config, threads)) == 0);
	config_fini(&a);
	config_fini(&b);
}

static void
faults(const char *yaml, size_t n, const char *path, const char *part)
{
	struct config c;
	struct rk_why why = { 0 };

	config_init(&c);
	write_file("c.yaml", yaml);
	t_check(config_load(&c, "c.yaml", &why) != RK_OK);
	t_eq_int(why.n, n);
	t_eq_str(why.v[0].path, path);
	t_has(why.v[0].message, part);
	rk_why_fini(&why);
	config_fini(&c);
}

T_CASE(an_unknown_field_is_refused_by_its_path)
{
	faults("stale_dir: /x\n", 1, "stale_dir", "state_dir");
	faults("api: {body_limt: 5}\n", 1, "api.body_limt", "body_limit");
	faults("capacity: 5\n", 1, "capacity", "object");
}

T_CASE(every_fault_is_listed_and_not_just_the_first)
{
	faults("log_level: loud\nnice: 30\nstop_timeout: 0\n", 3, "nice", "19");
}

T_CASE(values_that_cannot_work_are_refused)
{
	faults("listen: 0.0.0.0:80\n", 1, "listen", "loopback");
	faults("listen: none\nsocket: none\n", 1, "listen", "nobody");
	faults("socket_mode: rw\n", 1, "socket_mode", "octal");
	faults("socket_mode: 0660\n", 1, "socket_mode", "want text in quotes, "
	    "such as \"0660\"");
	faults("mirror: {prefix: /tmp/x, instance: a}\n", 1, "mirror.prefix",
	    "want s3://BUCKET/PREFIX/");
	faults("mirror: {prefix: tmp/x, instance: a}\n", 1, "mirror.prefix",
	    "file:///FOLDER/");
	faults("mirror: {prefix: s3://b/x}\n", 1, "mirror.instance",
	    "is missing; a mirror wants both prefix and instance");
	faults("state_dir: ''\n", 1, "state_dir", "empty");
	faults("- 1\n", 1, "", "object");
	faults("a: b: c\n", 1, "", "line 1");
}

T_CASE(a_file_of_comments_alone_changes_nothing)
{
	struct config c;
	struct rk_why why = { 0 };

	config_init(&c);
	write_file("c.yaml", "# nothing\n\n  # at all");
	t_check(config_load(&c, "c.yaml", &why) == RK_OK);
	t_eq_str(c.listen, "127.0.0.1:7450");
	rk_why_fini(&why);
	config_fini(&c);
}

/* --- flags --------------------------------------------------------------- */

static int
args(struct config *c, int n, const char *const *v)
{
	char *argv[16] = { NULL };
	int code = -1;
	bool go;

	for (int i = 0; i < n; i++)
		argv[i + 1] = xstrdup(v[i]);
	argv[0] = xstrdup("rekindled");
	config_init(c);
	optind = 0;
	go = config_args(c, n + 1, argv, &code);
	for (int i = 0; i <= n; i++)
		free(argv[i]);
	return go ? -1 : code;
}

T_CASE(flags_go_over_the_file)
{
	struct config c;

	write_file("c.yaml", "threads: 1\n");
	t_eq_int(args(&c, 2, (const char *[]){ "--config", "c.yaml" }),
	    EXIT_USAGE);
	config_fini(&c);
	write_file("c.yaml", "capacity: {threads: 1, memory: 1GiB}\n"
	    "listen: 127.0.0.1:1\n");
	t_eq_int(args(&c, 6, (const char *[]){ "--threads", "3", "--config",
	    "c.yaml", "--memory", "2GiB" }), -1);
	t_eq_int(c.threads, 3);
	t_eq_int(c.memory, (int64_t)2 << 30);
	t_eq_str(c.listen, "127.0.0.1:1");
	config_fini(&c);
}

T_CASE(the_file_goes_over_default_flags)
{
	static const char *const v[] = { "--default-socket", "/run/x/sock",
	    "--config", "c.yaml", "--default-socket-mode", "0666" };
	struct config c;

	write_file("c.yaml", "socket: null\n");
	t_eq_int(args(&c, 6, v), -1);
	t_eq_str(c.socket, "/run/x/sock");
	t_eq_str(c.socket_mode, "0666");
	config_fini(&c);
	write_file("c.yaml", "socket: none\nsocket_mode: '0600'\n");
	t_eq_int(args(&c, 6, v), -1);
	t_eq_str(c.socket, "none");
	t_eq_str(c.socket_mode, "0600");
	config_fini(&c);
	t_eq_int(args(&c, 4, (const char *[]){ "--default-socket-mode", "0666",
	    "--socket-mode", "0640" }), -1);
	t_eq_str(c.socket_mode, "0640");
	config_fini(&c);
	t_eq_int(args(&c, 2, (const char *[]){ "--default-socket-mode", "9" }),
	    EXIT_USAGE);
	config_fini(&c);
}

T_CASE(the_file_that_systemd_passes_on_is_the_one_read)
{
	struct config c;
	char dir[4096];

	t_check(getcwd(dir, sizeof(dir)) != NULL);
	write_file(CONFIG_CREDENTIAL, "listen: 127.0.0.1:5\n");
	write_file("c.yaml", "listen: 127.0.0.1:6\n");
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	t_eq_int(args(&c, 0, NULL), -1);
	t_eq_str(c.listen, "127.0.0.1:5");
	config_fini(&c);
	t_eq_int(args(&c, 2, (const char *[]){ "--config", "c.yaml" }), -1);
	t_eq_str(c.listen, "127.0.0.1:6");
	config_fini(&c);
	unsetenv("CREDENTIALS_DIRECTORY");
}

T_CASE(wrong_flags_are_wrong_usage)
{
	static const char *const bad[][2] = {
		{ "--nonsense", "x" }, { "--threads", "many" },
		{ "--threads", "0" }, { "--memory", "much" },
		{ "--listen", "everywhere" }, { "--log-level", "loud" },
		{ "--config", "/nowhere/c.yaml" }, { "word", "word" },
		{ "--listen", "8.8.8.8:80" }, { "--socket-mode", "9" },
	};
	struct config c;

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		if (args(&c, 2, bad[i]) != EXIT_USAGE)
			t_fail("%s %s was taken", bad[i][0], bad[i][1]);
		config_fini(&c);
	}
}

T_CASE(a_state_directory_may_be_called_anything)
{
	struct config c;

	t_eq_int(args(&c, 2, (const char *[]){ "--state-dir", "7" }), -1);
	t_eq_str(c.state_dir, "7");
	config_fini(&c);
}

/* --- addresses and sockets ----------------------------------------------- */

T_CASE(addresses_are_loopback_or_refused)
{
	static const char *const good[] = { "127.0.0.1:0", "127.9.9.9:65535",
	    "[::1]:8080", "localhost:80" };
	static const char *const bad[] = { "", "127.0.0.1", "127.0.0.1:",
	    "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1]", "[::]:80",
	    "0.0.0.0:80", "10.0.0.1:80", "example.com:80", "127.0.0.1:8o",
	    "127.1:80", "[::ffff:127.0.0.1]:80" };
	struct address a;

	for (size_t i = 0; i < RK_ARRAY_LEN(good); i++) {
		if (listen_parse(good[i], &a, NULL) != RK_OK)
			t_fail("%s was refused", good[i]);
	}
	t_eq_str(a.host, "127.0.0.1");
	t_eq_int(a.port, 80);
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		if (listen_parse(bad[i], &a, NULL) == RK_OK)
			t_fail("%s was taken", bad[i]);
	}
}

T_CASE(port_0_becomes_the_one_that_it_got)
{
	struct address a;
	int fd;

	t_check(listen_parse("127.0.0.1:0", &a, NULL) == RK_OK);
	t_check(listen_tcp(&a, &fd, NULL) == RK_OK);
	t_check(a.port > 0);
	close(fd);
}

T_CASE(a_port_that_is_taken_is_a_sentence)
{
	struct rk_why why = { 0 };
	struct address a;
	int fd, other;

	t_check(listen_parse("127.0.0.1:0", &a, NULL) == RK_OK);
	t_check(listen_tcp(&a, &fd, NULL) == RK_OK);
	t_check(listen_tcp(&a, &other, &why) != RK_OK);
	t_has(rk_why_first(&why), "in use");
	t_eq_int(other, -1);
	rk_why_fini(&why);
	close(fd);
}

T_CASE(a_socket_left_behind_is_replaced_a_live_one_is_not)
{
	struct rk_why why = { 0 };
	struct unix_place place, place2;
	struct stat st;
	int fd, other;

	t_check(listen_unix("s", 0600, &place, &fd, NULL) == RK_OK);
	t_check(stat("s", &st) == 0 && (st.st_mode & 0777) == 0600);
	t_check(listen_unix("s", 0600, &place2, &other, &why) != RK_OK);
	t_has(rk_why_first(&why), "already");
	close(fd);
	t_check(listen_unix("s", 0660, &place, &fd, NULL) == RK_OK);
	close(fd);
	rk_why_fini(&why);
}

T_CASE(only_the_socket_that_we_made_is_removed)
{
	struct unix_place place, place2;
	int fd, other;

	t_check(listen_unix("s", 0600, &place, &fd, NULL) == RK_OK);
	t_eq_int(unlink("s"), 0);
	t_check(listen_unix("s", 0600, &place2, &other, NULL) == RK_OK);
	listen_unix_remove("s", &place);
	t_eq_int(access("s", F_OK), 0);
	listen_unix_remove("s", &place2);
	t_check(access("s", F_OK) != 0);
	close(fd);
	close(other);
}

T_CASE(a_file_in_the_place_of_the_socket_stays)
{
	struct rk_why why = { 0 };
	struct unix_place place;
	int fd;

	write_file("s", "precious");
	t_check(listen_unix("s", 0600, &place, &fd, &why) != RK_OK);
	t_has(rk_why_first(&why), "no socket");
	t_eq_int(access("s", F_OK), 0);
	rk_why_fini(&why);
}

T_CASE(a_socket_with_too_long_a_path_is_a_sentence)
{
	struct rk_why why = { 0 };
	struct unix_place place;
	char path[200];
	int fd;

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	t_check(listen_unix(path, 0600, &place, &fd, &why) != RK_OK);
	t_has(rk_why_first(&why), "107");
	rk_why_fini(&why);
}

/* --- the state directory ------------------------------------------------- */

T_CASE(a_second_daemon_is_told_who_has_the_directory)
{
	struct rk_why why = { 0 };
	struct state a, b;

	t_check(state_open(&a, "deep/er/state", NULL) == RK_OK);
	t_eq_int(state_open(&b, "deep/er/state", &why), RK_EBUSY);
	char pid[32];
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	t_has(rk_why_first(&why), pid);
	state_address(&a, "http://127.0.0.1:1");
	t_eq_int(access("deep/er/state/address", F_OK), 0);
	state_close(&a);
	t_check(access("deep/er/state/address", F_OK) != 0);
	t_check(state_open(&b, "deep/er/state", NULL) == RK_OK);
	state_close(&b);
	rk_why_fini(&why);
}

T_CASE(a_file_in_the_place_of_the_directory_is_a_sentence)
{
	struct rk_why why = { 0 };
	struct state a;

	write_file("state", "x");
	t_check(state_open(&a, "state", &why) != RK_OK);
	t_has(rk_why_first(&why), "state directory");
	rk_why_fini(&why);
}

T_MAIN
