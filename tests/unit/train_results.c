/* predictions.jsonl and its state: what is cut, what counts, what is begun
 * anew. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"
#include "t.h"

struct world {
	char path[64];
	int dir;
	struct results out;
};

static void
begin(struct world *w)
{
	strcpy(w->path, "/tmp/rk-results-XXXXXX");
	t_check(mkdtemp(w->path) != NULL);
	w->dir = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->out.fd = -1;
}

static void
end(struct world *w)
{
	results_close(&w->out);
	close(w->dir);
	t_eq_int(rk_remove_tree(AT_FDCWD, w->path), RK_OK);
}

/* What the state has of the caller's number; -1: it begins anew, and *lost says
 * why, or "". */
static int64_t
open_it(struct world *w, bool anew, char lost[128])
{
	json_t *of;
	char *why;

	results_close(&w->out);
	t_eq_int(results_open(&w->out, w->dir, anew, &of, &why), RK_OK);
	snprintf(lost, 128, "%s", why != NULL ? why : "");
	const int64_t n = of != NULL ? json_integer_value(json_object_get(of,
	    "n")) : -1;
	json_decref(of);
	free(why);
	return n;
}

static void
commit(struct world *w, int64_t n)
{
	json_t *of = json_pack("{s:I}", "n", (json_int_t)n);

	t_eq_int(results_commit(&w->out, of), RK_OK);
	json_decref(of);
}

static char *
read_it(struct world *w)
{
	char *text;
	size_t n;

	t_eq_int(rk_read_file(w->dir, RESULTS_FILE, 1 << 20, &text, &n), RK_OK);
	return text;
}

static void
is(struct world *w, const char *want)
{
	char *text = read_it(w);

	t_eq_str(text, want);
	free(text);
}

static void
append(struct world *w, const char *name, const char *text)
{
	int fd = openat(w->dir, name, O_WRONLY | O_APPEND | O_CLOEXEC);

	t_eq_int(rk_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

T_CASE(lines_behind_the_last_commit_are_cut_and_what_follows_is_in_their_place)
{
	struct world w = {0};
	char lost[128];

	begin(&w);
	t_eq_int(open_it(&w, false, lost), -1);
	t_eq_int(results_add(&w.out, "one"), RK_OK);
	t_eq_int(results_add(&w.out, "two"), RK_OK);
	commit(&w, 2);
	append(&w, RESULTS_FILE, "three\nfou");
	t_eq_int(open_it(&w, false, lost), 2);
	t_eq_str(lost, "");
	is(&w, "one\ntwo\n");
	t_eq_int(w.out.lines, 2);
	t_eq_int(results_add(&w.out, "THREE"), RK_OK);
	commit(&w, 3);
	is(&w, "one\ntwo\nTHREE\n");
	end(&w);
}

T_CASE(without_a_state_nothing_counts)
{
	struct world w = {0};
	char lost[128];

	begin(&w);
	t_eq_int(open_it(&w, false, lost), -1);
	t_eq_int(results_add(&w.out, "one"), RK_OK);
	commit(&w, 1);
	t_eq_int(unlinkat(w.dir, RESULTS_STATE, 0), 0);
	t_eq_int(open_it(&w, false, lost), -1);
	t_eq_str(lost, "");
	is(&w, "");
	end(&w);
}

T_CASE(who_asks_for_it_begins_anew_whatever_there_is)
{
	struct world w = {0};
	char lost[128];

	begin(&w);
	t_eq_int(open_it(&w, false, lost), -1);
	t_eq_int(results_add(&w.out, "one"), RK_OK);
	commit(&w, 1);
	t_eq_int(open_it(&w, true, lost), -1);
	t_eq_str(lost, "");
	is(&w, "");
	t_eq_int(w.out.lines, 0);
	t_eq_int(faccessat(w.dir, RESULTS_STATE, F_OK, 0), -1);
	end(&w);
}

T_CASE(a_file_that_is_not_what_the_state_says_begins_anew_with_a_reason)
{
	struct world w = {0};
	char lost[128];

	begin(&w);
	t_eq_int(open_it(&w, false, lost), -1);
	t_eq_int(results_add(&w.out, "one"), RK_OK);
	commit(&w, 1);
	int fd = openat(w.dir, RESULTS_FILE, O_WRONLY | O_CLOEXEC);
	t_eq_int(pwrite(fd, "x", 1, 1), 1);
	close(fd);
	t_eq_int(open_it(&w, false, lost), -1);
	t_has(lost, "is not what was written");
	t_eq_int(results_add(&w.out, "one"), RK_OK);
	commit(&w, 1);
	fd = openat(w.dir, RESULTS_FILE, O_WRONLY | O_CLOEXEC);
	t_eq_int(ftruncate(fd, 2), 0);
	close(fd);
	t_eq_int(open_it(&w, false, lost), -1);
	t_has(lost, "is shorter than the 4 bytes");
	commit(&w, 0);
	append(&w, RESULTS_STATE, "x");
	t_eq_int(open_it(&w, false, lost), -1);
	t_has(lost, "is damaged");
	end(&w);
}

/* The file is written in pieces, and each line once. */
T_CASE(many_lines_take_no_memory_but_for_a_piece)
{
	struct world w = {0};
	char line[1024], lost[128];
	struct stat st;

	begin(&w);
	t_eq_int(open_it(&w, false, lost), -1);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 5000; i++) {
		t_eq_int(results_add(&w.out, line), RK_OK);
		t_check(w.out.pending.len < RESULTS_PENDING);
	}
	commit(&w, 5000);
	t_eq_int(fstatat(w.dir, RESULTS_FILE, &st, 0), 0);
	t_eq_int(st.st_size, 5000 * 1024);
	t_eq_int(open_it(&w, false, lost), 5000);
	t_eq_int(w.out.lines, 5000);
	end(&w);
}

T_MAIN
