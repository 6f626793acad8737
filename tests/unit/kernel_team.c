/* The team of threads: every piece once, whatever the threads do. */
#include <pthread.h>
#include <stdatomic.h>

#include "rekindle/kernel.h"
#include "t.h"

#define MOST 4000
static _Atomic int count[MOST];
static _Atomic int strays;

static void
count_piece(void *ctx, size_t i)
{
	if (ctx != &strays || kernel_self() >= kernel_threads())
		atomic_fetch_add(&strays, 1);
	atomic_fetch_add(&count[i], 1);
}

static void
check_job(size_t n)
{
	memset(count, 0, sizeof(count));
	kernel_for(n, count_piece, &strays);
	for (size_t i = 0; i < MOST; i++)
		if (count[i] != (i < n))
			t_fail("piece %zu of %zu ran %d times", i, n, count[i]);
}

T_CASE(every_piece_runs_once_with_any_number_of_threads)
{
	for (int threads = 1; threads <= 9; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		t_eq_int(kernel_threads(), threads);
		for (size_t n = 0; n < 40; n++)
			check_job(n);
		check_job(MOST);
		kernel_fini();
	}
	t_eq_int(strays, 0);
}

static void
spin_piece(void *ctx, size_t i)
{
	_Atomic uint64_t *sum = ctx;
	volatile unsigned x = 0;

	for (unsigned k = 0; k < rk_draw_u32(1, 2, 3, i) % 300; k++)
		x += k;
	(void)x;
	atomic_fetch_add(sum, i + 1);
}

T_CASE(a_hundred_thousand_jobs_follow_each_other_at_once)
{
	t_check(kernel_init(4) == RK_OK);
	for (uint32_t job = 0; job < 100000; job++) {
		size_t n = rk_draw_u32(9, 9, 9, job) % 12;
		_Atomic uint64_t sum = 0;
		kernel_for(n, spin_piece, &sum);
		t_eq_int(sum, n * (n + 1) / 2);
	}
	kernel_fini();
}

T_CASE(threads_that_went_to_sleep_wake_up)
{
	t_check(kernel_init(3) == RK_OK);
	for (int k = 0; k < 200; k++) {
		usleep(rk_draw_u32(4, 4, 4, (uint64_t)k) % 400);
		check_job(7);
	}
	usleep(50000);
	check_job(100);
	kernel_fini();
}

static void
slow_piece(void *ctx, size_t i)
{
	(void)ctx;
	/* The owner runs out of pieces and sleeps until this one is done. */
	if (i == 0)
		usleep(20000);
}

T_CASE(the_owner_sleeps_until_the_last_piece_is_done)
{
	t_check(kernel_init(2) == RK_OK);
	for (int k = 0; k < 10; k++) {
		int64_t t0 = mono_ms();
		kernel_for(2, slow_piece, NULL);
		t_check(mono_ms() - t0 >= 19);
	}
	kernel_fini();
}

static void
outer_piece(void *ctx, size_t i)
{
	_Atomic uint64_t sum = 0;

	(void)ctx;
	kernel_for(5, spin_piece, &sum);
	atomic_fetch_add(&count[i], (int)sum);
}

T_CASE(a_job_inside_a_piece_runs_there_and_then)
{
	for (int threads = 1; threads <= 3; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		memset(count, 0, sizeof(count));
		kernel_for(50, outer_piece, NULL);
		for (int i = 0; i < 50; i++)
			t_eq_int(count[i], 15);
		kernel_fini();
	}
}

static void *
stranger(void *arg)
{
	(void)arg;
	kernel_for(2, count_piece, &strays);
	return NULL;
}

static void
ask_from_another_thread(void)
{
	pthread_t t;

	if (kernel_init(2) != RK_OK)
		_exit(0);
	pthread_create(&t, NULL, stranger, NULL);
	pthread_join(t, NULL);
}

T_CASE(a_thread_that_is_not_of_the_team_may_not_give_it_work)
{
	t_aborts(ask_from_another_thread());
}

T_CASE(there_is_one_team_a_process)
{
	t_check(kernel_init(2) == RK_OK);
	t_aborts((void)!kernel_init(2));
	kernel_fini();
	kernel_fini();
	t_check(kernel_init(2) == RK_OK);
	check_job(10);
	kernel_fini();
}

T_CASE(without_a_team_work_is_done_by_the_caller)
{
	check_job(33);
	t_eq_int(kernel_threads(), 1);
	t_eq_int(kernel_self(), 0);
}

static void
denormal_piece(void *ctx, size_t i)
{
	volatile float x = 1e-30f;

	(void)i;
	if (x * x != 0 || x * 1e-10f != 0)
		atomic_fetch_add((_Atomic int *)ctx, 1);
	usleep(1000);
}

T_CASE(denormals_flush_to_zero_on_every_thread)
{
	_Atomic int bad = 0;

	t_check(kernel_init(3) == RK_OK);
	kernel_for(20, denormal_piece, &bad);
	t_eq_int(bad, 0);
	kernel_fini();
}

T_CASE(memory_is_zeroed_aligned_and_may_be_refused)
{
	static const size_t sizes[] = { 0, 1, 63, 64, 100000, 4 << 20,
		(5 << 20) + 7 };

	for (size_t i = 0; i < RK_ARRAY_LEN(sizes); i++) {
		unsigned char *p = kernel_alloc(sizes[i]);
		t_check(p != NULL && (uintptr_t)p % 64 == 0);
		for (size_t k = 0; k < sizes[i]; k++)
			t_check(p[k] == 0);
		memset(p, 1, sizes[i]);
		kernel_free(p, sizes[i]);
	}
	t_check(kernel_alloc(SIZE_MAX) == NULL);
	t_check(kernel_alloc((size_t)1 << 60) == NULL);
	kernel_free(NULL, 7);
}

T_MAIN
