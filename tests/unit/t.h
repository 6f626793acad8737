/*
 * t - the unit tests' harness.  A test program is one file:
 *
 *	#include "t.h"
 *	T_CASE(a_done_job_cannot_run_again) { t_aborts(job_move(...)); }
 *	T_MAIN
 *
 * Each case runs in a process of its own, in an empty directory of its own
 * that is removed afterwards; the program prints `ok NAME` or `FAILED NAME` a
 * case and exits non-zero if one failed.  With arguments, only the cases whose
 * name contains one of them run.  A case may t_skip("why").
 */
#ifndef T_H
#define T_H

#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct t_case {
	const char *name;
	void (*fn)(void);
	struct t_case *next;
};
static struct t_case *t_first, **t_last = &t_first;

#define T_CASE(n)                                                         \
	static void t_fn_##n(void);                                       \
	static struct t_case t_case_##n = { #n, t_fn_##n, NULL };         \
	__attribute__((constructor)) static void t_reg_##n(void)          \
	{                                                                 \
		*t_last = &t_case_##n;                                    \
		t_last = &t_case_##n.next;                                \
	}                                                                 \
	static void t_fn_##n(void)

#define t_fail(...)                                                       \
	do {                                                              \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);           \
		fprintf(stderr, __VA_ARGS__);                             \
		fputc('\n', stderr);                                      \
		fflush(NULL);                                             \
		_exit(1);                                                 \
	} while (0)
#define t_skip(why)                                                       \
	do {                                                              \
		fprintf(stderr, "skipped: %s\n", why);                    \
		fflush(NULL);                                             \
		_exit(77);                                                \
	} while (0)
#define t_check(c)                                                        \
	do {                                                              \
		if (!(c))                                                 \
			t_fail("not so: %s", #c);                         \
	} while (0)
#define t_eq_int(a, b)                                                    \
	do {                                                              \
		long long t_a = (long long)(a), t_b = (long long)(b);     \
		if (t_a != t_b)                                           \
			t_fail("%s is %lld, want %lld", #a, t_a, t_b);    \
	} while (0)
#define t_eq_str(a, b)                                                    \
	do {                                                              \
		const char *t_a = (a), *t_b = (b);                        \
		if (t_a == NULL || strcmp(t_a, t_b) != 0)                 \
			t_fail("%s is \"%s\", want \"%s\"", #a,           \
			    t_a ? t_a : "(null)", t_b);                   \
	} while (0)
#define t_has(a, b)                                                       \
	do {                                                              \
		const char *t_a = (a), *t_b = (b);                        \
		if (t_a == NULL || strstr(t_a, t_b) == NULL)              \
			t_fail("\"%s\" is not in %s: \"%s\"", t_b, #a,    \
			    t_a ? t_a : "(null)");                        \
	} while (0)
/* Equal within tol; a tolerance carries its arithmetic where it is used. */
#define t_near(a, b, tol)                                                 \
	do {                                                              \
		double t_a = (a), t_b = (b);                              \
		if (!(fabs(t_a - t_b) <= (tol)))                          \
			t_fail("%s is %.9g, want %.9g within %g", #a,     \
			    t_a, t_b, (double)(tol));                     \
	} while (0)
/* The statement must abort() the process. */
#define t_aborts(stmt)                                                    \
	do {                                                              \
		fflush(NULL);                                             \
		pid_t t_p = fork();                                       \
		if (t_p == 0) {                                           \
			struct rlimit t_r = { 0, 0 };                     \
			setrlimit(RLIMIT_CORE, &t_r);                     \
			if (freopen("/dev/null", "w", stderr) == NULL)    \
				_exit(3);                                 \
			stmt;                                             \
			_exit(0);                                         \
		}                                                         \
		int t_st = 0;                                             \
		waitpid(t_p, &t_st, 0);                                   \
		if (!WIFSIGNALED(t_st) || WTERMSIG(t_st) != SIGABRT)      \
			t_fail("did not abort: %s", #stmt);               \
	} while (0)

/* Where the shared sample data lie, or skip. */
static inline const char *
t_shared(const char *rel)
{
	static char path[4096];
	const char *root = getenv("RK_SHARED");
	if (root == NULL)
		t_skip("RK_SHARED is not set: no sample data");
	snprintf(path, sizeof(path), "%s/%s", root, rel);
	if (access(path, R_OK) != 0)
		t_skip("no sample data at $RK_SHARED");
	return path;
}

/*
 * For a limit that guards against hanging: seconds in which what takes `s` on a
 * machine that has nothing else to do is done for sure.  The more threads want
 * to run than there are cores, the longer; outside/patience.py has the same.
 */
static inline unsigned
t_limit(unsigned s)
{
	const char *slow = getenv("T_SLOW");
	long cores = sysconf(_SC_NPROCESSORS_ONLN), run = 0;
	FILE *f = fopen("/proc/loadavg", "re");

	if (f != NULL) {
		if (fscanf(f, "%*s %*s %*s %ld", &run) != 1)
			run = 0;
		fclose(f);
	}
	if (cores < 1 || run < cores)
		run = cores = 1;
	return s * 3 * (unsigned)(slow != NULL ? atoi(slow) : 1) *
	    (unsigned)((run + cores - 1) / cores);
}

static inline int
t_rm(const char *p, const struct stat *s, int f, struct FTW *w)
{
	(void)s; (void)f; (void)w;
	return remove(p);
}

static int
t_run(const struct t_case *c)
{
	char dir[] = "/tmp/rk-unit-XXXXXX";
	if (mkdtemp(dir) == NULL) {
		perror("mkdtemp");
		return 1;
	}
	fflush(NULL);
	pid_t p = fork();
	if (p == 0) {
		if (chdir(dir) != 0)
			_exit(2);
		c->fn();
		exit(0);        /* exit, not _exit: LeakSanitizer looks here */
	}
	int st = 0;
	waitpid(p, &st, 0);
	nftw(dir, t_rm, 16, FTW_DEPTH | FTW_PHYS);
	if (WIFEXITED(st) && WEXITSTATUS(st) == 77) {
		printf("skipped %s\n", c->name);
		return 0;
	}
	bool ok = WIFEXITED(st) && WEXITSTATUS(st) == 0;
	printf("%s %s\n", ok ? "ok" : "FAILED", c->name);
	return ok ? 0 : 1;
}

#define T_MAIN                                                            \
	int main(int argc, char **argv)                                   \
	{                                                                 \
		int t_bad = 0;                                            \
		for (struct t_case *c = t_first; c; c = c->next) {        \
			bool want = argc < 2;                             \
			for (int i = 1; i < argc; i++)                    \
				want |= strstr(c->name, argv[i]) != NULL; \
			if (want)                                         \
				t_bad += t_run(c);                        \
		}                                                         \
		return t_bad ? 1 : 0;                                     \
	}

#endif
