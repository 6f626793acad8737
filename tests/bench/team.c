/*
 * team - what the team of threads takes for itself, by its number of threads:
 *
 *	team [MOST] [PIECES] [US]       8 threads, 64 pieces of 10 us, unless said
 *
 * Each number of threads has a process of its own.  A line each:
 *
 *	region   a job of as many pieces as threads, each empty: us of CPU time, of
 *	         all threads together, and us by the clock
 *	piece    what one empty piece more takes: ns of CPU time
 *	work     REGIONS jobs of PIECES pieces of US each, and between two of them
 *	         5 us of the owner alone, as steps are: CPU time and time by the
 *	         clock against one thread's
 *
 * Medians of ROUNDS rounds, the numbers of threads in turn.  CPU time tells what
 * waiting and waking take, on a machine that is busy with others, too; more
 * threads than cores show what a machine does whose cores are taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rekindle/kernel.h"

#define ROUNDS    9
#define REGIONS   200
#define EMPTY     5000          /* jobs of empty pieces a round */
#define WARM_US   20000         /* of work, in which all threads begin */
#define MANY      256           /* pieces, to tell what one takes */
#define ALONE_US  5
#define MOST      16            /* threads */

struct times {
	double cpu_us, wall_us;
};
struct row {
	struct times region, many, work;
};

static double
now_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* --- work ------------------------------------------------------------------ */

static long loops_a_us;

static void
busy(long loops)
{
	for (volatile long i = 0; i < loops; i++)
		;
}

/* How often the loop goes round in a microsecond of CPU time. */
static long
calibrate(void)
{
	const long loops = 1000000;
	double best = 1e30;

	for (int k = 0; k < ROUNDS; k++) {
		const double t = now_us(CLOCK_THREAD_CPUTIME_ID);
		busy(loops);
		best = RK_MIN(best, now_us(CLOCK_THREAD_CPUTIME_ID) - t);
	}
	return (long)((double)loops / best);
}

static void
empty_piece(void *ctx, size_t i)
{
	(void)ctx;
	(void)i;
}

static void
busy_piece(void *ctx, size_t i)
{
	(void)i;
	busy(*(const long *)ctx);
}

/* --- one process ------------------------------------------------------------ */

/* n jobs; behind each the owner works `alone`. */
static struct times
regions(int n, size_t pieces, kernel_piece_fn *fn, long loops, long alone)
{
	const double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
	const double wall = now_us(CLOCK_MONOTONIC);

	for (int k = 0; k < n; k++) {
		kernel_for(pieces, fn, &loops);
		busy(alone);
	}
	return (struct times){
		(now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / n,
		(now_us(CLOCK_MONOTONIC) - wall) / n,
	};
}

static void
measure(int threads, size_t pieces, long us, int to)
{
	struct row r;

	if (kernel_init(threads) != RK_OK)
		_exit(1);
	(void)regions(1, (size_t)threads, busy_piece, WARM_US * loops_a_us, 0);
	r.region = regions(EMPTY, (size_t)threads, empty_piece, 0, 0);
	r.many = regions(EMPTY, MANY, empty_piece, 0, 0);
	r.work = regions(REGIONS, pieces, busy_piece, us * loops_a_us,
	    ALONE_US * loops_a_us);
	kernel_fini();
	_exit(write(to, &r, sizeof(r)) == sizeof(r) ? 0 : 1);
}

static struct row
in_a_process(int threads, size_t pieces, long us)
{
	struct row r;
	int p[2], st;

	fflush(NULL);
	must(pipe(p) == 0);
	const pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0)
		measure(threads, pieces, us, p[1]);
	close(p[1]);
	const bool got = read(p[0], &r, sizeof(r)) == sizeof(r);
	close(p[0]);
	must(waitpid(pid, &st, 0) == pid && got && st == 0);
	return r;
}

/* --- all --------------------------------------------------------------------- */

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Each figure by itself: a row is nothing but doubles. */
#define FIGURES (sizeof(struct row) / sizeof(double))
static struct row
medians(const struct row rounds[ROUNDS])
{
	double of[ROUNDS], all[ROUNDS][FIGURES], middle[FIGURES];
	struct row r;

	memcpy(all, rounds, sizeof(all));
	for (size_t i = 0; i < FIGURES; i++) {
		for (int k = 0; k < ROUNDS; k++)
			of[k] = all[k][i];
		qsort(of, ROUNDS, sizeof(*of), by_size);
		middle[i] = of[ROUNDS / 2];
	}
	memcpy(&r, middle, sizeof(r));
	return r;
}

static void
show(int threads, const struct row *r, const struct row *one)
{
	const size_t more = MANY - (size_t)threads;

	printf("%7d  %7.2f %7.2f  %7.0f  %6.3f %6.3f\n", threads,
	    r->region.cpu_us, r->region.wall_us,
	    1e3 * (r->many.cpu_us - r->region.cpu_us) / (double)more,
	    r->work.cpu_us / one->work.cpu_us,
	    r->work.wall_us / one->work.wall_us);
}

int
main(int argc, char **argv)
{
	const int most = RK_MIN(argc > 1 ? atoi(argv[1]) : 8, MOST);
	const size_t pieces = argc > 2 ? (size_t)atol(argv[2]) : 64;
	const long us = argc > 3 ? atol(argv[3]) : 10;
	static struct row rounds[MOST + 1][ROUNDS];

	if (most < 1 || pieces < 1 || us < 0) {
		fprintf(stderr, "team [MOST] [PIECES] [US]\n");
		return 2;
	}
	loops_a_us = calibrate();
	for (int k = 0; k < ROUNDS; k++) {
		for (int t = 1; t <= most; t++)
			rounds[t][k] = in_a_process(t, pieces, us);
	}
	printf("threads  region: CPU, clock us  piece: CPU ns  "
	    "work of %zu pieces of %ld us: CPU, clock\n", pieces, us);
	const struct row one = medians(rounds[1]);
	for (int t = 1; t <= most; t++) {
		const struct row r = medians(rounds[t]);
		show(t, &r, &one);
	}
	return 0;
}
