/*
 * kernel_watch - where the time of the team goes, piece by piece; and what the
 * machine can do at most.
 *
 * Off, this costs the team the test of a pointer a piece.  All calls come from
 * the thread that called kernel_init(), between jobs of kernel_for(): then no
 * thread works on a piece, and what the lanes hold is at rest.
 */
#ifndef REKINDLE_KERNEL_WATCH_H
#define REKINDLE_KERNEL_WATCH_H

#include "rekindle/kernel.h"

/* A piece that a thread has computed; times are of mono_ns(). */
struct kernel_span {
	int64_t from_ns, to_ns;
	int64_t tag;                    /* that of the watch, then */
};

/* What one thread did. */
struct kernel_lane {
	_Alignas(64) int64_t busy_ns;   /* in pieces */
	int64_t waited_ns;              /* lane 0: for others, at jobs' ends */
	struct kernel_span *spans;      /* the first `most` of its pieces */
	size_t nspans, most;
	uint64_t left_out;              /* pieces that came after these */
};

struct kernel_watch {
	int nlanes;                     /* kernel_threads(), by kernel_self() */
	int64_t tag;                    /* of the pieces to come */
	struct kernel_lane *lane;
};

/* With room for `spans` pieces a thread (0: none are kept); never NULL. */
struct kernel_watch *kernel_watch_new(size_t spans);
void kernel_watch_free(struct kernel_watch *w);         /* NULL is fine */
/* Watch from now on; NULL: no more.  w stays the caller's. */
void kernel_watch(struct kernel_watch *w);

/*
 * Time in which threads of the team had no piece, in nanoseconds of a thread,
 * over wall_ns since *w was as in `before` (a copy of the sums of all lanes):
 * of a worker all but its pieces, of the owner what it waited for others.
 */
struct kernel_sums {
	int64_t workers_busy_ns, owner_waited_ns;
};
struct kernel_sums kernel_watch_sums(const struct kernel_watch *w);
int64_t kernel_watch_waiting(const struct kernel_watch *w,
    const struct kernel_sums *before, int64_t wall_ns);

/*
 * The multiply-adds of floats that the team does in a second, two operations
 * each, with all operands in registers: in GFLOP/s, measured in some
 * milliseconds with the widest instructions that this CPU has (*isa: "avx512f",
 * "avx2 fma" or "plain"); of more threads than this process may use cores, the
 * cores'.  A neighbour, or a quota, does not make it smaller.  No kernel comes
 * above it but by doing less than its formula says, as Winograd's does.
 */
double kernel_peak_gflops(const char **isa);

#endif
