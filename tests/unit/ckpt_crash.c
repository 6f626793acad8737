/*
 * A process that writes checkpoints is killed; what can be seen then is whole.
 *
 * Once at every system call of a session of saving, naming, branching,
 * retention and deletion (ptrace stops it there), and once at random moments.
 */
#include <poll.h>
#include <sys/stat.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_calls.h"
#include "u_ckpt.h"
#include "u_kill.h"

/* What the child has been promised: sent after the call returned. */
struct said {
	char what;              /* 'c'ommitted, 'n'amed, 'b'ranching, 'e'rror */
	char dir[CKPT_DIR_MAX];
};

static int report_fd = -1;

static void
say(char what, const char *dir)
{
	struct said s = { .what = what };

	snprintf(s.dir, sizeof(s.dir), "%s", dir);
	if (write(report_fd, &s, sizeof(s)) != sizeof(s))
		_exit(3);
}

static void
child_needs(enum rk_err rc, const char *what)
{
	if (rc == RK_OK)
		return;
	say('e', what);
	_exit(4);
}

static void
note_is_wrong(void *ctx, const char *sentence)
{
	(void)ctx;
	say('e', sentence);
}

/* --- the child ------------------------------------------------------------ */

/* Of three in four a part is in a shard, which they share. */
static struct tensor_set *
model(int64_t step)
{
	struct tensor_set *m = tensors((uint64_t)step, 2);

	if (step % 4 != 0) {
		struct tensor_set *frozen = tensors(1, 1);
		m->v[0].data = frozen->v[0].data;
		m->v[0].part = CKPT_FROZEN;
		tensor_set_free(frozen);
	}
	return m;
}

static int64_t
commit(struct ckpt *c, int64_t step, const char *name)
{
	struct ckpt_info i = info_at(step);
	struct tensor_set *m = model(step);

	json_object_set_new(i.metrics, "acc", json_real((double)(step % 7)));
	child_needs(ckpt_save(c, &i, m, m, name), "save");
	say('c', i.dir);
	if (name != NULL)
		say('n', i.dir);
	tensor_set_free(m);
	ckpt_info_fini(&i);
	return step;
}

/* Go on from the latest, as a trainer does; 0 if there is none. */
static int64_t
go_on(struct ckpt *c)
{
	struct ckpt_info i;
	struct tensor_set *m, *o;
	int branch;

	enum rk_err rc = ckpt_load(c, "latest", NULL, false, &i, &m, &o,
	    note_is_wrong, NULL, NULL);
	if (rc == RK_ENOENT)
		return 0;
	child_needs(rc, "load");
	struct tensor_set *want = model(i.step);
	if (!same_tensors(m, want) || !same_tensors(o, want))
		child_needs(RK_ECORRUPT, "tensors");
	child_needs(ckpt_branch_from(c, i.dir, &branch), "branch_from");
	int64_t step = i.step;
	tensor_set_free(want);
	tensor_set_free(m);
	tensor_set_free(o);
	ckpt_info_fini(&i);
	return step;
}

/* Something that changes what is there, by the die. */
static int64_t
disturb(struct ckpt *c, int64_t step, uint32_t die)
{
	struct ckpt_info *v;
	size_t n;
	int k;

	child_needs(ckpt_list(c, &v, &n), "list");
	const struct ckpt_info *i = &v[die / 8 % n];
	enum rk_err rc = RK_OK;
	switch (die % 8) {
	case 0:
		rc = ckpt_name(c, i->dir, "keep");
		if (rc == RK_OK)
			say('n', i->dir);
		break;
	case 1:
		if (i->names[0] == NULL && i->step != step)
			rc = ckpt_delete(c, i->dir);
		if (rc == RK_ECONFLICT)
			rc = RK_OK;
		break;
	case 2:
		say('b', i->dir);
		rc = ckpt_branch_from(c, i->dir, &k);
		step = i->step;
		break;
	default:
		rc = ckpt_retain(c, 3, 1, "acc", true, &k);
		break;
	}
	child_needs(rc, "disturb");
	ckpt_list_free(v, n);
	return step;
}

static void
live(uint64_t seed, int turns)
{
	struct ckpt *c;

	log_set_level(LOG_L_WARN);
	child_needs(ckpt_open(&c, "c", true), "open");
	int64_t step = go_on(c);
	for (int k = 0; turns < 0 || k < turns; k++) {
		uint32_t die = rk_draw_u32(seed, 1, 0, (uint64_t)k);
		step = commit(c, step + 1 + die % 3,
		    die % 5 == 0 ? "keep" : NULL);
		step = disturb(c, step, die >> 8);
	}
	ckpt_close(&c);
}

/* --- the parent ----------------------------------------------------------- */

/* Fork a child that lives; *fd is what it says. */
static pid_t
start(uint64_t seed, int turns, bool traced, int *fd)
{
	int p[2];

	t_check(pipe(p) == 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(p[0]);
		report_fd = p[1];
		if (traced) {
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			raise(SIGSTOP);
		}
		live(seed, turns);
		_exit(0);
	}
	close(p[1]);
	*fd = p[0];
	return pid;
}

struct heard {
	struct said last;       /* the last commit that was promised */
	bool branching;         /* ... after which a branch may have begun */
	bool named;
};

static void
listen_to(int fd, struct heard *h)
{
	struct said s;

	while (read(fd, &s, sizeof(s)) == sizeof(s)) {
		if (s.what == 'e')
			t_fail("the child failed: %s", s.dir);
		if (s.what == 'c')
			h->last = s;
		if (s.what == 'n')
			h->named = true;
		h->branching = s.what == 'b' ||
		    (h->branching && s.what != 'c');
	}
	close(fd);
}

static int
count_prefix(const char *prefix)
{
	DIR *d = opendir("c");
	int n = 0;

	if (d == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

static void
check_promises(struct ckpt *c, const struct heard *h)
{
	struct ckpt_info i;

	if (h->last.what != 0) {
		if (ckpt_read(c, h->last.dir, &i) != RK_OK)
			t_fail("%s was promised and is gone", h->last.dir);
		int64_t step = i.step, branch = i.branch;
		ckpt_info_fini(&i);
		t_eq_int(ckpt_select(c, "latest", NULL, false, &i, NULL),
		    RK_OK);
		t_check(h->branching || i.branch > branch ||
		    (i.branch == branch && i.step >= step));
		ckpt_info_fini(&i);
	}
	if (h->named) {
		t_eq_int(ckpt_read(c, "keep", &i), RK_OK);
		ckpt_info_fini(&i);
	}
}

/* All that can be seen is whole, all that was promised is there, and opening
 * clears the litter. */
static void
check_scene(const struct heard *h)
{
	struct ckpt *c;
	struct ckpt_info *v;
	struct rk_why why = {0};
	size_t n;

	t_eq_int(ckpt_open(&c, "c", false), RK_OK);
	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	t_eq_int(n, count_prefix("step-"));
	for (size_t k = 0; k < n; k++) {
		if (ckpt_verify(c, &v[k], &why) != RK_OK)
			t_fail("%s: %s", v[k].dir, rk_why_first(&why));
		if (v[k].names[0] != NULL)
			digests(c, v[k].dir, v[k].nfiles, v[k].nfiles);
	}
	ckpt_list_free(v, n);
	check_promises(c, h);
	ckpt_close(&c);

	t_eq_int(ckpt_open(&c, "c", true), RK_OK);
	t_eq_int(count_prefix(".tmp-") + count_prefix(".del-") +
	    count_prefix(".rk-tmp-") + count_prefix("bad-"), 0);
	t_eq_int(count_prefix("step-"), n);
	check_promises(c, h);
	ckpt_close(&c);
}

T_CASE(killed_at_any_moment_what_can_be_seen_is_whole)
{
	const char *env = getenv("RK_KILLS");
	int rounds = env != NULL ? atoi(env) : 60;
	struct heard h = {0};
	int commits = 0;

	log_set_level(LOG_L_WARN);
	for (int k = 0; k < rounds; k++) {
		int fd, st;
		pid_t pid = start((uint64_t)k, -1, false, &fd);
		/* At any moment; every other time one behind the first
		 * commit, however slow the machine is. */
		if (k % 2 == 1)
			(void)poll(&(struct pollfd){ fd, POLLIN, 0 }, 1,
			    1000 * (int)t_limit(10));
		usleep(rk_draw_u32(7, 0, 0, (uint64_t)k) % 40000);
		kill(pid, SIGKILL);
		waitpid(pid, &st, 0);
		t_check(WIFSIGNALED(st));
		char before = h.last.what;
		h.last.what = 0;
		listen_to(fd, &h);
		commits += h.last.what != 0;
		if (h.last.what == 0)
			h.last.what = before;
		check_scene(&h);
	}
	/* The test has seen something only if most rounds got that far. */
	t_check(commits > rounds / 4);
}

/* A child that starts with a folder in which there is something, is stopped at
 * its n-th system call. */
static bool
crash_at(long n)
{
	struct heard h = {0};
	int fd, st;

	t_check(system("rm -rf c") == 0);
	pid_t pid = start(1, 2, false, &fd);
	t_check(waitpid(pid, &st, 0) == pid && st == 0);
	listen_to(fd, &h);
	pid = start(11, 4, true, &fd);
	bool killed = kill_at(pid, n);
	listen_to(fd, &h);
	check_scene(&h);
	return killed;
}

T_CASE(killed_at_any_system_call_what_can_be_seen_is_whole)
{
	const char *env = getenv("RK_KILL_STRIDE");
	long stride = env != NULL ? atol(env) : 23, n = 1, last = 0;

	log_set_level(LOG_L_WARN);
	need_ptrace();
	/* Entry and exit are two stops; an odd stride meets both. */
	for (; crash_at(n); n += stride)
		last = n;
	t_check(last > 100);
}

/* A power cut cannot be made here; but that each thing is on the disk before
 * the next relies on it can be seen. */
T_CASE(files_are_synced_before_the_folder_and_that_before_its_name)
{
	struct ckpt *c = folder();

	report_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	calls_begin("calls");
	commit(c, 4, NULL);
	commit(c, 5, NULL);
	/* model, optimizer: write, sync; checkpoint.json, folder: write, sync,
	 * sync; rename; parent: sync.  Then in shards, trained, frozen, index,
	 * optimizer. */
	calls_are("wsws" "wssrs" "wswswsws" "wssrs");
	calls_always("write */c/.tmp-*", "sync */c/.tmp-*", "rename *");
	calls_always("rename * */c/step-*", "sync */c", NULL);
	ckpt_close(&c);
}

T_CASE(what_is_deleted_or_loses_its_name_is_gone_from_the_disk)
{
	struct ckpt *c = folder();

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_name(c, "step-000000010", "keep"), RK_OK);
	calls_begin("calls");
	t_eq_int(ckpt_unname(c, "keep"), RK_OK);
	calls_always("remove */c/keep", "sync */c", NULL);
	t_eq_int(ckpt_delete(c, "step-000000010"), RK_OK);
	calls_always("rename */c/step-* */c/.del-*", "sync */c",
	    "remove */c/.del-*");
	ckpt_close(&c);
}

T_MAIN
