/* Posts into the loop, and work outside of it. */
#include <pthread.h>

#include "rekindle/loop.h"
#include "t.h"

static struct loop *
open_loop(void)
{
	struct loop *l = NULL;
	t_eq_int(loop_open(&l), RK_OK);
	return l;
}

/* A loop that would never end fails the case instead. */
static void
run(struct loop *l)
{
	alarm(t_limit(10));
	loop_run(l);
	alarm(0);
}

static void
stop(void *ctx)
{
	loop_stop(ctx);
}

static char seen[64];
static void
note(void *ctx)
{
	strcat(seen, ctx);
}

T_CASE(posts_run_in_their_order)
{
	struct loop *l = open_loop();
	static char names[][2] = { "a", "b", "c" };
	for (int i = 0; i < 3; i++)
		loop_post(l, note, names[i]);
	t_eq_str(seen, "");
	loop_post(l, stop, l);
	run(l);
	t_eq_str(seen, "abc");
	loop_close(&l);
}

static int left = 1000;
static void
post_again(void *ctx)
{
	struct loop *l = ctx;
	if (--left > 0)
		loop_post(l, post_again, l);
	else
		loop_stop(l);
}

static int ticks;
static void
tick(void *ctx)
{
	struct loop_timer **t = ctx;
	ticks++;
	loop_timer_at(*t, 0);
}

T_CASE(a_post_that_posts_again_holds_up_nobody)
{
	struct loop *l = open_loop();
	struct loop_timer *t = NULL;
	t = loop_timer_add(l, tick, &t);
	loop_timer_at(t, 0);
	loop_post(l, post_again, l);
	run(l);
	t_check(ticks > 500);
	loop_close(&l);
}

/* Each of four threads posts 5000 times; each post adds one, unlocked, and
 * knows its place among those of its thread. */
#define POSTS 5000
struct poster {
	struct loop *l;
	pthread_t thread;
	int next, got;
};
static struct poster posters[4];
static int all_posts;

static void
count(void *ctx)
{
	struct poster *p = ctx;
	p->got++;
	if (++all_posts == 4 * POSTS)
		loop_stop(p->l);
}

static void *
post_many(void *ctx)
{
	struct poster *p = ctx;
	for (int i = 0; i < POSTS; i++)
		loop_post(p->l, count, p);
	return NULL;
}

T_CASE(posts_of_many_threads_all_arrive)
{
	struct loop *l = open_loop();
	for (int i = 0; i < 4; i++) {
		posters[i].l = l;
		t_eq_int(pthread_create(&posters[i].thread, NULL, post_many,
		    &posters[i]), 0);
	}
	run(l);
	for (int i = 0; i < 4; i++) {
		pthread_join(posters[i].thread, NULL);
		t_eq_int(posters[i].got, POSTS);
	}
	loop_close(&l);
}

struct job {
	struct loop *l;
	pthread_t worked, ended;
	bool blocked, done;
	int left;
};

static void
work(void *ctx)
{
	struct job *j = ctx;
	sigset_t now;
	j->worked = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	j->blocked = sigismember(&now, SIGTERM) == 1 &&
	    sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGINT) == 1;
}

static void
work_done(void *ctx)
{
	struct job *j = ctx;
	j->done = true;
	j->ended = pthread_self();
	loop_stop(j->l);
}

T_CASE(work_runs_elsewhere_with_signals_blocked_and_ends_in_the_loop)
{
	struct loop *l = open_loop();
	struct job j = { .l = l };
	sigset_t now;
	loop_work(l, work, work_done, &j);
	run(l);
	t_check(j.done && j.blocked);
	t_check(!pthread_equal(j.worked, pthread_self()));
	t_check(pthread_equal(j.ended, pthread_self()));
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	t_eq_int(sigismember(&now, SIGTERM), 0);
	loop_close(&l);
}

/* Two that meet can only do so if both are under way at once. */
static pthread_barrier_t meet;
static int met;
static void
meet_other(void *ctx)
{
	(void)ctx;
	pthread_barrier_wait(&meet);
}
static void
have_met(void *ctx)
{
	if (++met == 2)
		loop_stop(ctx);
}

T_CASE(two_pieces_of_work_go_on_at_once)
{
	struct loop *l = open_loop();
	pthread_barrier_init(&meet, NULL, 2);
	loop_work(l, meet_other, have_met, l);
	loop_work(l, meet_other, have_met, l);
	run(l);
	t_eq_int(met, 2);
	loop_close(&l);
}

static void
slow(void *ctx)
{
	int *n = ctx;
	usleep(50000);
	__atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
}
static void
never(void *ctx)
{
	(void)ctx;
	t_fail("done after the loop was closed");
}

T_CASE(closing_waits_for_work_that_has_begun_and_drops_the_rest)
{
	struct loop *l = open_loop();
	int n = 0;
	for (int i = 0; i < 20; i++)
		loop_work(l, slow, never, &n);
	loop_post(l, never, NULL);
	usleep(20000);
	loop_close(&l);
	t_check(n >= 1 && n <= 4);
	int then = n;
	usleep(60000);
	t_eq_int(n, then);
}

T_MAIN
