/* Where the team's time goes: every piece in one lane, and who waited. */
#include <stdatomic.h>
#include <string.h>

#include "rekindle/kernel_watch.h"
#include "t.h"

static void
work_piece(void *ctx, size_t i)
{
	volatile unsigned x = 0;        /* so that the work is done */

	for (unsigned k = 0; k < 2000 + 100 * i; k++)
		x = x + k;
	(void)ctx;
}

static void
nest_piece(void *ctx, size_t i)
{
	(void)i;
	kernel_for(5, work_piece, ctx);
}

/* The pieces kept with this tag, over all lanes; each is well formed. */
static size_t
spans_of(const struct kernel_watch *w, int64_t tag)
{
	size_t n = 0;

	for (int t = 0; t < w->nlanes; t++) {
		const struct kernel_lane *l = &w->lane[t];
		for (size_t i = 0; i < l->nspans; i++) {
			t_check(l->spans[i].from_ns <= l->spans[i].to_ns);
			if (i > 0)
				t_check(l->spans[i - 1].to_ns <=
				    l->spans[i].from_ns);
			n += l->spans[i].tag == tag;
		}
	}
	return n;
}

T_CASE(every_piece_is_in_one_lane_under_the_tag_of_its_job)
{
	for (int threads = 1; threads <= 4; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		struct kernel_watch *w = kernel_watch_new(1000);
		t_eq_int(w->nlanes, threads);
		kernel_for(9, work_piece, NULL);        /* unseen */
		kernel_watch(w);
		for (int64_t job = 1; job <= 20; job++) {
			w->tag = job;
			kernel_for((size_t)job, work_piece, NULL);
		}
		w->tag = 21;
		/* A piece's own pieces are part of it. */
		kernel_for(2, nest_piece, NULL);
		kernel_watch(NULL);
		kernel_for(9, work_piece, NULL);
		for (int64_t job = 1; job <= 20; job++)
			t_eq_int((long long)spans_of(w, job), job);
		t_eq_int((long long)spans_of(w, 21), 2);
		t_eq_int((long long)spans_of(w, 0), 0);
		kernel_watch_free(w);
		kernel_fini();
	}
}

T_CASE(a_lane_is_busy_for_as_long_as_its_pieces_took)
{
	t_check(kernel_init(3) == RK_OK);
	struct kernel_watch *w = kernel_watch_new(1000);
	kernel_watch(w);
	for (int k = 0; k < 10; k++)
		kernel_for(12, work_piece, NULL);
	kernel_watch(NULL);
	for (int t = 0; t < w->nlanes; t++) {
		int64_t sum = 0;
		for (size_t i = 0; i < w->lane[t].nspans; i++)
			sum += w->lane[t].spans[i].to_ns -
			    w->lane[t].spans[i].from_ns;
		t_eq_int(w->lane[t].busy_ns, sum);
	}
	kernel_watch_free(w);
	kernel_fini();
}

T_CASE(pieces_that_have_no_room_are_counted_and_their_time_too)
{
	t_check(kernel_init(1) == RK_OK);
	struct kernel_watch *w = kernel_watch_new(7);
	kernel_watch(w);
	kernel_for(10, work_piece, NULL);
	kernel_watch(NULL);
	t_eq_int((long long)w->lane[0].nspans, 7);
	t_eq_int((long long)w->lane[0].left_out, 3);
	kernel_watch_free(w);
	w = kernel_watch_new(0);
	kernel_watch(w);
	kernel_for(10, work_piece, NULL);
	kernel_watch(NULL);
	t_eq_int((long long)w->lane[0].left_out, 10);
	t_check(w->lane[0].busy_ns > 0);
	kernel_watch_free(w);
	kernel_fini();
}

T_CASE(who_has_no_piece_waits)
{
	t_check(kernel_init(3) == RK_OK);
	struct kernel_watch *w = kernel_watch_new(0);
	struct kernel_sums before;

	kernel_watch(w);
	/* One piece is the owner's, and the other two have none. */
	before = kernel_watch_sums(w);
	kernel_for(1, work_piece, NULL);
	t_eq_int(kernel_watch_waiting(w, &before, 1000000), 2000000);
	/* All that is waited for and done is the threads' time in all. */
	before = kernel_watch_sums(w);
	const int64_t t0 = mono_ns();
	for (int k = 0; k < 50; k++)
		kernel_for(30, work_piece, NULL);
	const int64_t wall = mono_ns() - t0;
	const int64_t waited = kernel_watch_waiting(w, &before, wall);
	t_check(waited >= 0 && waited <= 3 * wall);
	kernel_watch(NULL);
	kernel_watch_free(w);
	kernel_fini();
}

T_CASE(the_peak_is_that_of_the_widest_instructions)
{
	const char *isa = NULL;

	t_check(kernel_init(2) == RK_OK);
	t_check(kernel_peak_gflops(&isa) > 0);
	t_check(strcmp(isa, "plain") == 0 || strcmp(isa, "avx2 fma") == 0 ||
	    strcmp(isa, "avx512f") == 0);
#if defined(__x86_64__)
	t_eq_int(strcmp(isa, "avx512f") == 0,
	    __builtin_cpu_supports("avx512f") != 0 &&
	    __builtin_cpu_supports("avx512vl") != 0 &&
	    __builtin_cpu_supports("avx2") != 0 &&
	    __builtin_cpu_supports("fma") != 0);
#endif
	kernel_fini();
}

T_MAIN
