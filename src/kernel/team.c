/*
 * The team: the thread that called kernel_init() and threads-1 workers.
 *
 *	owner                           worker
 *	job = fn, ctx, n                sees the generation change
 *	ticket = generation | n left    takes a piece: ticket - 1 by CAS
 *	generation++, wake sleepers     fn(ctx, piece), done++
 *	takes pieces itself             ... until the ticket has none left
 *	waits until done == n
 *
 * The ticket holds generation and count in one word, so a worker that comes
 * late either takes a piece of the job that is there now or none.  A job stays
 * put while one of its pieces is being worked on, because done < n until then;
 * so fn, ctx and n may be read once a piece is taken, and only then.
 *
 * Who waits spins for a moment and then sleeps: jobs follow each other within
 * microseconds, but a machine may have more runnable threads than cores, and
 * then spinning takes the core from the thread that is waited for.  There is no
 * sched_yield() between the two: who yields comes last, and a compiler next
 * door then costs the second core; who sleeps is put on a core when woken.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "rekindle/kernel.h"
#include "rekindle/kernel_watch.h"
#include "team.h"

#define SPIN_NS 30000
#define MAX_THREADS 1024

static struct {
	_Alignas(64) _Atomic uint64_t ticket;
	_Alignas(64) _Atomic uint32_t generation; /* workers sleep on it */
	_Atomic uint32_t sleepers;
	_Atomic bool quit;
	_Alignas(64) _Atomic uint32_t done;  /* the owner sleeps on it */
	_Atomic uint32_t owner_sleeps;
	_Alignas(64) kernel_piece_fn *fn;
	void *ctx;
	uint32_t n;
	struct kernel_watch *watch;     /* NULL, but for who asks; like fn */
	int threads;                                    /* 0: no team */
	pthread_t *workers;
} team;

/* 0: a stranger, 1: the owner, 2 and up: a worker. */
static _Thread_local int seat;
static _Thread_local bool in_piece;

static void
futex_wait(_Atomic uint32_t *word, uint32_t while_it_is)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, NULL,
	    NULL, 0);
}

static void
futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static inline void
pause_a_little(void)
{
#if defined(__x86_64__)
	_mm_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Wait, awake, until *word differs from old (want_eq: equals it); false when
 * it is time to sleep. */
static bool
spin(_Atomic uint32_t *word, uint32_t value, bool want_eq)
{
	int64_t t0 = 0;

	for (unsigned round = 0;; round++) {
		for (int i = 0; i < 32; i++) {
			uint32_t now = atomic_load_explicit(word,
			    memory_order_acquire);
			if ((now == value) == want_eq)
				return true;
			pause_a_little();
		}
		int64_t t = mono_ns();
		if (t0 == 0)
			t0 = t;
		if (t - t0 > SPIN_NS)
			return false;
	}
}

/*
 * Small numbers that decay (Adam's moments do) become denormal, and denormals
 * cost a hundred cycles each; results flush to zero, as do operands.
 */
static void
set_up_thread(void)
{
#if defined(__x86_64__)
	_mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
	uint64_t fpcr;
	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	__asm__ volatile("msr fpcr, %0" : : "r"(fpcr | (1u << 24)));
#endif
	kernel_gemm_thread_init();
}

void
kernel_like_team(void)
{
	set_up_thread();
}

/* A piece whose time is taken, on its thread's lane. */
static void
watched_piece(struct kernel_watch *w, kernel_piece_fn *fn, void *ctx, size_t i)
{
	struct kernel_lane *l = &w->lane[kernel_self()];
	struct kernel_span s = { .from_ns = mono_ns(), .tag = w->tag };

	fn(ctx, i);
	s.to_ns = mono_ns();
	l->busy_ns += s.to_ns - s.from_ns;
	if (l->nspans < l->most)
		l->spans[l->nspans++] = s;
	else
		l->left_out++;
}

static inline void
run_piece(kernel_piece_fn *fn, void *ctx, size_t i)
{
	if (team.watch == NULL)
		fn(ctx, i);
	else
		watched_piece(team.watch, fn, ctx, i);
}

void
kernel_watch(struct kernel_watch *w)
{
	must(!in_piece && (w == NULL || w->nlanes == kernel_threads()));
	team.watch = w;
}

/* Take pieces until the ticket has none left. */
static void
work(void)
{
	uint64_t t = atomic_load_explicit(&team.ticket, memory_order_acquire);

	in_piece = true;
	while ((uint32_t)t != 0) {
		if (!atomic_compare_exchange_weak_explicit(&team.ticket, &t,
		    t - 1, memory_order_acq_rel, memory_order_acquire))
			continue;
		const uint32_t n = team.n;
		run_piece(team.fn, team.ctx, n - (uint32_t)t);
		if (atomic_fetch_add(&team.done, 1) + 1 == n &&
		    atomic_load(&team.owner_sleeps))
			futex_wake(&team.done);
		t = atomic_load_explicit(&team.ticket, memory_order_acquire);
	}
	in_piece = false;
}

static void *
worker_main(void *arg)
{
	uint32_t seen = 0;

	seat = (int)(intptr_t)arg;
	set_up_thread();
	for (;;) {
		while (!spin(&team.generation, seen, false)) {
			atomic_fetch_add(&team.sleepers, 1);
			futex_wait(&team.generation, seen);
			atomic_fetch_sub(&team.sleepers, 1);
		}
		seen = atomic_load(&team.generation);
		if (atomic_load(&team.quit))
			return NULL;
		work();
	}
}

static void
next_generation(void)
{
	atomic_fetch_add(&team.generation, 1);
	if (atomic_load(&team.sleepers) > 0)
		futex_wake(&team.generation);
}

static void
stop_workers(int n)
{
	atomic_store(&team.quit, true);
	next_generation();
	for (int i = 0; i < n; i++)
		pthread_join(team.workers[i], NULL);
	free(team.workers);
	team.workers = NULL;
	team.threads = 0;
	atomic_store(&team.quit, false);
	atomic_store(&team.generation, 0);
}

enum rk_err
kernel_init(int threads)
{
	must(threads >= 1 && threads <= MAX_THREADS && team.threads == 0);
	rk_signals_block(NULL);
	kernel_gemm_init();
	kernel_mm_init();
	seat = 1;
	set_up_thread();
	team.workers = xcalloc((size_t)threads, sizeof(*team.workers));
	int started = 0, e = 0;
	while (started < threads - 1 && e == 0) {
		e = rk_thread_start(&team.workers[started], worker_main,
		    (void *)(intptr_t)(started + 2));
		if (e == 0)
			started++;
	}
	if (e != 0) {
		errno = e;
		log_errno("kernel: cannot start %d thread%s", threads,
		    rk_s(threads));
		stop_workers(started);
		return RK_ENOMEM;
	}
	team.threads = threads;
	return RK_OK;
}

void
kernel_fini(void)
{
	if (team.threads == 0)
		return;
	must(seat == 1);
	stop_workers(team.threads - 1);
	seat = 0;
}

int
kernel_threads(void)
{
	return team.threads > 0 ? team.threads : 1;
}

int
kernel_self(void)
{
	return seat > 0 ? seat - 1 : 0;
}

bool
kernel_inside(void)
{
	return in_piece;
}

bool
kernel_is_owner(void)
{
	return seat == 1 && !in_piece;
}

/* There and then: a piece's own pieces are part of it. */
static void
run_here(size_t n, kernel_piece_fn *fn, void *ctx)
{
	const bool outer = in_piece;

	in_piece = outer || n > 1;
	for (size_t i = 0; i < n; i++) {
		if (outer)
			fn(ctx, i);
		else
			run_piece(fn, ctx, i);
	}
	in_piece = outer;
}

static void
wait_for_others(uint32_t n)
{
	while (!spin(&team.done, n, true)) {
		uint32_t now = atomic_load(&team.done);
		atomic_store(&team.owner_sleeps, 1);
		/* A worker that finishes after this store wakes us; one that
		 * finished before it has changed the word that we sleep on. */
		if (now != n)
			futex_wait(&team.done, now);
		atomic_store(&team.owner_sleeps, 0);
	}
}

void
kernel_for(size_t n, kernel_piece_fn *fn, void *ctx)
{
	if (n <= 1 || team.threads <= 1 || in_piece) {
		run_here(n, fn, ctx);
		return;
	}
	must(seat == 1 && n < UINT32_MAX);
	team.fn = fn;
	team.ctx = ctx;
	team.n = (uint32_t)n;
	atomic_store(&team.done, 0);
	uint64_t generation = atomic_load(&team.generation) + 1u;
	atomic_store_explicit(&team.ticket, generation << 32 | n,
	    memory_order_release);
	next_generation();
	work();
	const int64_t t0 = team.watch != NULL ? mono_ns() : 0;
	wait_for_others((uint32_t)n);
	if (team.watch != NULL)
		team.watch->lane[0].waited_ns += mono_ns() - t0;
}
