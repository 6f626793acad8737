/*
 * Files by way of a process that reads them: the same comes out as without it, and
 * whatever becomes of that process is a sentence here.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "impl.h"
static int serve_or_lie(int n, char **words);
#define INSPECT_SERVE serve_or_lie
#include "inspect_help.h"
#include "start.h"

/* --- a process that a file has taken over --------------------------------- */

static void
lie(const struct inspect_packet *p, size_t n)
{
	if (write(INSPECT_SOCKET_FD, p, n) != (ssize_t)n)
		_exit(0);
}

/* What it is given for a name: an errno, 0 for a descriptor. */
static int
beg(const char *name)
{
	struct inspect_packet p = { .kind = SAY_NEED };

	snprintf(p.text, sizeof(p.text), "%s", name);
	lie(&p, sizeof(p));
	if (read(INSPECT_SOCKET_FD, &p, sizeof(p)) != (ssize_t)sizeof(p))
		_exit(0);
	return (int)p.rc;
}

/* By the name of the file. */
static int
serve_or_lie(int n, char **words)
{
	struct inspect_packet q, p = { .kind = SAY_DONE };

	if (strncmp(words[0], "evil-", 5) != 0)
		return inspect_serve(n, words);
	while (read(INSPECT_SOCKET_FD, &q, sizeof(q)) == (ssize_t)sizeof(q)) {
		if (strcmp(words[0], "evil-kind") == 0)
			p.kind = 77;
		if (strcmp(words[0], "evil-rc") == 0)
			p.rc = 9999;
		if (strcmp(words[0], "evil-text") == 0) {
			p.rc = RK_EINVAL;
			memset(p.text, '\n', sizeof(p.text));
		}
		if (strcmp(words[0], "evil-items") == 0)
			p.n = q.kind == ASK_TELL ? UINT64_MAX : 0;
		if (strcmp(words[0], "evil-beg") == 0) {
			p.rc = RK_EINVAL;
			snprintf(p.text, sizeof(p.text), "%d %d %d %d",
			    beg("/etc/passwd"), beg("../secret"),
			    beg("folder"), beg("beside"));
		}
		while (strcmp(words[0], "evil-more") == 0)
			(void)beg("beside");
		if (strcmp(words[0], "evil-mute") == 0) {
			close(INSPECT_SOCKET_FD);
			pause();
		}
		lie(&p, strcmp(words[0], "evil-short") == 0 ? 3 : sizeof(p));
	}
	return 0;
}

/* --- files ---------------------------------------------------------------- */

static void
put_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	t_check(fd >= 0 && rk_write_all(fd, p, n) == 0);
	close(fd);
}

/* A tensor "a" of n floats: 0, 1, 2, ... */
static void
put_floats(const char *path, size_t n)
{
	char *json = xasprintf("{\"a\":{\"dtype\":\"F32\",\"shape\":[%zu],"
	    "\"data_offsets\":[0,%zu]}}", n, n * 4);
	const uint64_t len = strlen(json);
	struct strbuf b = {0};

	sb_add(&b, &len, 8);
	sb_adds(&b, json);
	for (size_t i = 0; i < n; i++) {
		const float x = (float)i;
		sb_add(&b, &x, sizeof(x));
	}
	put_file(path, b.s, b.len);
	sb_fini(&b);
	free(json);
}

static struct weights *
opened(const char *path, const struct inspect_how *how)
{
	struct rk_why why = {0};
	struct weights *w;

	if (inspect_open(path, how, &w, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	t_eq_int(why.n, 0);
	return w;
}

static void
refused(const char *path, enum rk_err want, const char *part)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(inspect_open(path, NULL, &w, &why), want);
	t_check(w == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

static struct inspect *
process(const struct weights *w)
{
	return weights_teller_ctx(w);
}

/* A sanitizer makes an exit of a fault, and a report. */
#define SANITIZER_SAID "the process that reads it ended without an answer"

/* Reading must fail, and say so; twice, as it does not begin anew. */
static void
fails(const struct weights *w, enum rk_err want, const char *part)
{
	float x[4];

	for (int i = 0; i < 2; i++) {
		struct rk_why why = {0};
		t_eq_int(weights_read_f32(&w->v[0], 0, 4, x, &why), want);
		t_has(rk_why_first(&why), part);
		rk_why_fini(&why);
	}
}

/* --- what comes out ------------------------------------------------------- */

#define MANY ((size_t)3 * 1024 * 1024 / 2 + 5)  /* three windows of floats */

T_CASE(elements_are_those_of_the_file_over_several_windows)
{
	struct rk_why why = {0};
	struct weights *w, *own;
	float *x = malloc(MANY * sizeof(*x)), *y = malloc(MANY * sizeof(*y));

	put_floats("m.safetensors", MANY);
	w = opened("m.safetensors", NULL);
	t_eq_int(weights_open("m.safetensors", NULL, &own, NULL), RK_OK);
	t_eq_int(w->n, 1);
	t_eq_int(w->size, own->size);
	t_check(weights_find(w, WEIGHTS_MODEL, "a") == &w->v[0]);
	t_check(w->v[0].data == NULL && w->v[0].lie == WEIGHTS_MAPPED);
	t_eq_int(weights_read_f32(&w->v[0], 1, MANY - 2, x, &why), RK_OK);
	t_eq_int(weights_read(&w->v[0], 1, MANY - 2, y, &why), RK_OK);
	for (size_t i = 0; i < MANY - 2; i++)
		if (x[i] != (float)(i + 1) || y[i] != x[i])
			t_fail("element %zu is %g and %g", i + 1, (double)x[i],
			    (double)y[i]);
	weights_free(own);
	weights_free(w);
	free(x);
	free(y);
}

T_CASE(figures_are_counted_by_the_process)
{
	static const float data[] = { 1, 2, 3, (float)NAN, -6, (float)INFINITY };
	struct inspect_figures f;
	struct weights *w;
	struct strbuf b = {0};
	const char *json = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],"
	    "\"data_offsets\":[0,24]}}";
	const uint64_t len = strlen(json);
	char hex[RK_SHA256_HEX], want[RK_SHA256_HEX];

	sb_add(&b, &len, 8);
	sb_adds(&b, json);
	sb_add(&b, data, sizeof(data));
	put_file("f.safetensors", b.s, b.len);
	w = opened("f.safetensors", NULL);
	t_eq_int(inspect_figures(w, &w->v[0], &f, NULL), RK_OK);
	t_eq_int(f.finite, 4);
	t_eq_int(f.nans, 1);
	t_eq_int(f.infinities, 1);
	t_near(f.min, -6, 0);
	t_near(f.max, 3, 0);
	t_near(f.mean, 0, 0);
	/* (1 + 4 + 9 + 36) / 4 = 12.5; a rounding of the root */
	t_near(f.std * f.std, 12.5, 1e-14);
	rk_hex(hex, f.sha256, 32);
	rk_sha256_of(data, sizeof(data), want);
	t_eq_str(hex, want);
	weights_free(w);
	sb_fini(&b);
}

T_CASE(a_mean_far_from_zero_takes_nothing_from_the_deviation)
{
	const size_t n = 100000;
	double *x = malloc(n * sizeof(*x));
	struct inspect_figures f;
	struct strbuf b = {0};
	char *json = xasprintf("{\"a\":{\"dtype\":\"F64\",\"shape\":[%zu],"
	    "\"data_offsets\":[0,%zu]}}", n, n * 8);
	const uint64_t len = strlen(json);

	for (size_t i = 0; i < n; i++)
		x[i] = 1e9 + (double)(i < n / 2);
	sb_add(&b, &len, 8);
	sb_adds(&b, json);
	sb_add(&b, x, n * sizeof(*x));
	put_file("d.safetensors", b.s, b.len);
	struct weights *w = opened("d.safetensors", NULL);
	t_eq_int(inspect_figures(w, &w->v[0], &f, NULL), RK_OK);
	/* 1e9 has 24 bits left for the fraction in a double: 6e-8. */
	t_near(f.mean, 1e9 + 0.5, 1.2e-7);
	t_near(f.std, 0.5, 1e-6);
	weights_free(w);
	free(x);
	free(json);
	sb_fini(&b);
}

/* --- files that are none -------------------------------------------------- */

T_CASE(what_is_no_file_of_weights_is_refused_in_the_words_of_its_reader)
{
	refused("absent.pt", RK_ENOENT, "cannot open the file: No such file");
	t_check(mkdir("folder", 0700) == 0 && mkfifo("fifo", 0600) == 0);
	refused("folder", RK_EINVAL, "is not a regular file");
	refused("fifo", RK_EINVAL, "is not a regular file");
	put_file("empty", "", 0);
	refused("empty", RK_EINVAL, "is an empty file");
	put_file("text", "hello, world", 12);
	refused("text", RK_EINVAL, "hello, world");
}

/* --- what lies beside ----------------------------------------------------- */

T_CASE(the_files_of_an_index_are_opened_for_the_process)
{
	static const char index[] = "{\"weight_map\":{\"a\":\"s.safetensors\"}}";
	static const char absent[] = "{\"weight_map\":{\"a\":\"gone\"}}";
	static const char outside[] = "{\"weight_map\":{\"a\":\"../s\"}}";
	struct weights *w;
	float x[3];

	t_check(mkdir("m", 0700) == 0);
	put_floats("m/s.safetensors", 3);
	put_file("m/index.json", index, sizeof(index) - 1);
	w = opened("m/index.json", NULL);
	t_eq_int(w->format, WEIGHTS_SAFETENSORS_INDEX);
	t_eq_int(weights_read_f32(&w->v[0], 0, 3, x, NULL), RK_OK);
	t_near(x[2], 2, 0);
	weights_free(w);
	/* Also by a plain name. */
	t_check(chdir("m") == 0);
	weights_free(opened("index.json", NULL));
	put_file("index.json", absent, sizeof(absent) - 1);
	refused("index.json", RK_EINVAL, "the index names gone, which is not "
	    "beside it");
	put_file("index.json", outside, sizeof(outside) - 1);
	refused("index.json", RK_EINVAL, "not the name of a file beside the "
	    "index");
}

T_CASE(a_gz_is_unpacked_into_a_file_that_the_process_is_given)
{
	struct weights *w;
	float x[3];

	put_floats("a.safetensors", 3);
	t_check(system("gzip -n a.safetensors") == 0);
	w = opened("a.safetensors.gz", NULL);
	t_check(w->packed);
	t_eq_int(weights_read_f32(&w->v[0], 0, 3, x, NULL), RK_OK);
	t_near(x[2], 2, 0);
	weights_free(w);
	t_check(setenv("TMPDIR", "nowhere", 1) == 0);
	refused("a.safetensors.gz", RK_ENOENT, "cannot be unpacked: no file "
	    "can be made in $TMPDIR");
}

T_CASE(a_member_of_a_tar_is_named)
{
	const struct inspect_how how = { .member = "a.safetensors" };
	struct weights *w;

	put_floats("a.safetensors", 3);
	t_check(system("tar -cf a.tar a.safetensors") == 0);
	w = opened("a.tar", &how);
	t_eq_str(w->v[0].name, "a");
	weights_free(w);
	refused("a.tar", RK_EINVAL, "say which file of it is meant");
}

/* --- lies ----------------------------------------------------------------- */

T_CASE(what_cannot_be_said_is_not_believed)
{
	static const char *const kinds[] = { "evil-kind", "evil-rc",
		"evil-short", "evil-items" };

	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++) {
		put_file(kinds[i], "x", 1);
		refused(kinds[i], RK_EINVAL, "the process that reads it says "
		    "what cannot be");
	}
}

T_CASE(a_sentence_of_the_process_is_one_line_whatever_it_says)
{
	struct rk_why why = {0};
	struct weights *w;

	put_file("evil-text", "x", 1);
	t_eq_int(inspect_open("evil-text", NULL, &w, &why), RK_EINVAL);
	t_eq_int(strlen(rk_why_first(&why)), INSPECT_TEXT - 1);
	t_check(strchr(rk_why_first(&why), '\n') == NULL);
	rk_why_fini(&why);
}

T_CASE(the_process_is_given_no_file_but_those_beside)
{
	char want[64];

	t_check(mkdir("m", 0700) == 0 && mkdir("m/folder", 0700) == 0);
	put_file("secret", "x", 1);
	put_file("m/beside", "x", 1);
	put_file("m/evil-beg", "x", 1);
	t_check(chdir("m") == 0);
	snprintf(want, sizeof(want), "%d %d %d 0", EACCES, EACCES, EINVAL);
	refused("evil-beg", RK_EINVAL, want);
}

T_CASE(asking_on_and_on_does_not_buy_time)
{
	const struct inspect_how how = { .wait_ms = 100 };
	struct rk_why why = {0};
	struct weights *w;

	put_file("beside", "x", 1);
	put_file("evil-more", "x", 1);
	t_eq_int(inspect_open("evil-more", &how, &w, &why), RK_ETIMEDOUT);
	rk_why_fini(&why);
}

T_CASE(a_process_that_hangs_up_and_stays_is_ended)
{
	put_file("evil-mute", "x", 1);
	refused("evil-mute", RK_EIO, "was killed by signal 9");
}

/* --- ends ----------------------------------------------------------------- */

T_CASE(a_process_that_is_killed_is_a_sentence)
{
	struct weights *w;

	put_floats("m.safetensors", 8);
	w = opened("m.safetensors", NULL);
	t_check(kill(process(w)->pid, SIGKILL) == 0);
	fails(w, RK_EIO, "the process that reads it was killed by signal 9");
	weights_free(w);
	w = opened("m.safetensors", NULL);
	t_check(kill(process(w)->pid, SIGSEGV) == 0);
	if (RK_SANITIZED)
		fails(w, RK_EIO, SANITIZER_SAID);
	else
		fails(w, RK_EINVAL, "the file is damaged, or made to do harm: "
		    "nothing of it was taken");
	weights_free(w);
}

T_CASE(a_file_that_is_cut_while_it_is_read_ends_the_process_and_not_us)
{
	struct weights *w;

	put_floats("m.safetensors", 1 << 20);
	w = opened("m.safetensors", NULL);
	t_check(truncate("m.safetensors", 50) == 0);
	struct rk_why why = {0};
	float x[4];
	t_eq_int(weights_read_f32(&w->v[0], 1 << 19, 4, x, &why), RK_SANITIZED ?
	    RK_EIO : RK_EINVAL);
	t_has(rk_why_first(&why), RK_SANITIZED ? SANITIZER_SAID :
	    "the file was cut short");
	rk_why_fini(&why);
	weights_free(w);
}

T_CASE(a_process_that_does_not_answer_is_waited_for_so_long_and_ended)
{
	const struct inspect_how how = { .wait_ms = 60000 };
	struct weights *w;

	put_floats("m.safetensors", 8);
	w = opened("m.safetensors", &how);
	const pid_t pid = process(w)->pid;
	t_check(kill(pid, SIGSTOP) == 0);
	process(w)->wait_ms = 50;
	fails(w, RK_ETIMEDOUT, "was too long about it, and is ended");
	t_check(kill(pid, 0) != 0 && errno == ESRCH);
	weights_free(w);
}

T_CASE(the_process_ends_with_the_weights)
{
	struct weights *w;

	put_floats("m.safetensors", 8);
	w = opened("m.safetensors", NULL);
	const pid_t pid = process(w)->pid;
	t_check(kill(pid, 0) == 0);
	weights_free(w);
	t_check(kill(pid, 0) != 0 && errno == ESRCH);
}

T_CASE(the_process_has_no_descriptors_but_those_that_it_was_given)
{
	struct weights *w;
	char name[64], to[256];
	int open_ones = 0;

	put_floats("m.safetensors", 8);
	/* Not to be closed by exec: the child must close it. */
	const int extra = dup2(open("m.safetensors", O_RDONLY), 40);
	t_eq_int(extra, 40);
	w = opened("m.safetensors", NULL);
	for (int fd = 0; fd < 64; fd++) {
		snprintf(name, sizeof(name), "/proc/%d/fd/%d",
		    (int)process(w)->pid, fd);
		const ssize_t n = readlink(name, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = '\0';
		open_ones++;
		if (fd <= 1 || (fd == 2 && !RK_SANITIZED))
			t_eq_str(to, "/dev/null");
		if (fd == INSPECT_SOCKET_FD)
			t_has(to, "socket:");
		if (fd == INSPECT_FILE_FD)
			t_has(to, "m.safetensors");
	}
	t_eq_int(open_ones, 5);
	weights_free(w);
}

T_MAIN
