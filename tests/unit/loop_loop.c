/* Descriptors, timers, signals, children and the hook of the loop. */
#include <fcntl.h>
#include <sys/socket.h>

#include "rekindle/loop.h"
#include "t.h"

static struct loop *
open_loop(void)
{
	struct loop *l = NULL;
	t_eq_int(loop_open(&l), RK_OK);
	return l;
}

static void
stop(void *ctx)
{
	loop_stop(ctx);
}

/* A loop that would never end fails the case instead. */
static void
run(struct loop *l)
{
	alarm(t_limit(10));
	loop_run(l);
	alarm(0);
}

static char seen[64];

static void
note(void *ctx)
{
	strcat(seen, ctx);
}

T_CASE(timers_run_in_the_order_of_their_times)
{
	struct loop *l = open_loop();
	int64_t now = mono_ms();
	static struct {
		char name[2];
		int ms;
	} t[] = { { "d", 30 }, { "a", 0 }, { "c", 20 }, { "b", 10 },
	    { "x", 15 }, { "e", 30 } };
	struct loop_timer *timer[6], *end = loop_timer_add(l, stop, l);
	for (size_t i = 0; i < 6; i++) {
		timer[i] = loop_timer_add(l, note, t[i].name);
		loop_timer_at(timer[i], now + t[i].ms);
	}
	loop_timer_at(end, now + 40);
	loop_timer_off(timer[4]);
	run(l);
	t_check(mono_ms() >= now + 40);
	t_eq_str(seen, "abcde");
	loop_timer_del(&timer[0]);
	t_check(timer[0] == NULL);
	loop_close(&l);
	t_check(l == NULL);
}

static int64_t last_at;
static int fired;
static void
check_order(void *ctx)
{
	int64_t *at = ctx;
	t_check(*at >= last_at && *at <= mono_ms());
	last_at = *at;
	fired++;
}

T_CASE(a_thousand_timers_set_moved_and_removed_keep_order)
{
	struct loop *l = open_loop();
	static struct loop_timer *timer[1000];
	static int64_t at[1000];
	int64_t now = mono_ms();
	int left = 0;
	for (int i = 0; i < 1000; i++) {
		timer[i] = loop_timer_add(l, check_order, &at[i]);
		loop_timer_at(timer[i], now + 5000);
	}
	for (int i = 0; i < 1000; i++) {
		at[i] = now + rk_draw_u32(1, 2, 3, (uint64_t)i) % 50;
		loop_timer_at(timer[i], at[i]);
		if (i % 3 == 0)
			loop_timer_del(&timer[i]);
		else
			left++;
	}
	struct loop_timer *end = loop_timer_add(l, stop, l);
	loop_timer_at(end, now + 60);
	run(l);
	t_eq_int(fired, left);
	loop_close(&l);
}

static struct loop_timer *again;
static void
set_again(void *ctx)
{
	(void)ctx;
	fired++;
	loop_timer_at(again, 0);
}

T_CASE(a_timer_that_always_sets_itself_holds_up_no_other)
{
	struct loop *l = open_loop();
	again = loop_timer_add(l, set_again, NULL);
	loop_timer_at(again, 0);
	struct loop_timer *end = loop_timer_add(l, stop, l);
	loop_timer_at(end, mono_ms() + 20);
	run(l);
	t_check(fired > 2);
	loop_close(&l);
}

static struct loop_timer *self;
static void
remove_self(void *ctx)
{
	loop_timer_del(&self);
	loop_stop(ctx);
}

T_CASE(a_timer_may_remove_itself)
{
	struct loop *l = open_loop();
	self = loop_timer_add(l, remove_self, l);
	loop_timer_at(self, 0);
	run(l);
	loop_close(&l);
}

struct end {
	struct loop *l;
	struct loop_fd *w, *other;
	int fd, calls;
	unsigned events;
};

static void
take(void *ctx, unsigned events)
{
	struct end *e = ctx;
	char c[16];
	e->calls++;
	e->events |= events;
	if (events & LOOP_IN && read(e->fd, c, sizeof(c)) == 0) {
		loop_fd_del(&e->w);
		loop_stop(e->l);
	}
}

T_CASE(bytes_and_the_end_of_a_peer_are_reported)
{
	struct loop *l = open_loop();
	int sv[2];
	t_eq_int(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	struct end e = { .l = l, .fd = sv[0] };
	e.w = loop_fd_add(l, sv[0], LOOP_IN, take, &e);
	t_check(write(sv[1], "x", 1) == 1);
	close(sv[1]);
	run(l);
	t_eq_int(e.calls, 2);
	t_check(e.events == (LOOP_IN | LOOP_HUP));
	t_check(e.w == NULL);
	loop_close(&l);
	close(sv[0]);
}

static void
count_out(void *ctx, unsigned events)
{
	struct end *e = ctx;
	t_check(events == LOOP_OUT);
	if (++e->calls == 3) {
		loop_fd_want(e->w, 0);
		struct loop_timer *t = loop_timer_add(e->l, stop, e->l);
		loop_timer_at(t, mono_ms() + 20);
	}
}

T_CASE(what_is_no_longer_wanted_is_no_longer_reported)
{
	struct loop *l = open_loop();
	int sv[2];
	t_eq_int(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	struct end e = { .l = l, .fd = sv[0] };
	e.w = loop_fd_add(l, sv[0], LOOP_OUT, count_out, &e);
	run(l);
	t_eq_int(e.calls, 3);
	loop_close(&l);
}

/* Both are ready in one round; whoever comes first removes the other. */
static void
remove_other(void *ctx, unsigned events)
{
	struct end *e = ctx;
	(void)events;
	fired++;
	loop_fd_del(&((struct end *)(void *)e->other)->w);
	loop_stop(e->l);
}

T_CASE(a_watch_removed_in_a_round_is_not_called_in_it)
{
	struct loop *l = open_loop();
	int p[2], q[2];
	t_check(pipe(p) == 0 && pipe(q) == 0);
	t_check(write(p[1], "x", 1) == 1 && write(q[1], "x", 1) == 1);
	struct end a = { .l = l, .fd = p[0] }, b = { .l = l, .fd = q[0] };
	a.other = (void *)&b;
	b.other = (void *)&a;
	a.w = loop_fd_add(l, p[0], LOOP_IN, remove_other, &a);
	b.w = loop_fd_add(l, q[0], LOOP_IN, remove_other, &b);
	run(l);
	t_eq_int(fired, 1);
	t_check((a.w == NULL) != (b.w == NULL));
	loop_close(&l);
}

T_CASE(a_plain_file_cannot_be_watched)
{
	struct loop *l = open_loop();
	int fd = open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	t_check(fd >= 0);
	t_check(loop_fd_add(l, fd, LOOP_IN, take, NULL) == NULL);
	loop_close(&l);
}

static int signals[64];
static void
on_signal(void *ctx, int sig)
{
	signals[sig]++;
	if (sig == SIGTERM)
		loop_stop(ctx);
}

T_CASE(signals_are_delivered_in_the_loop)
{
	struct loop *l = open_loop();
	t_eq_int(loop_signal(l, SIGUSR1, on_signal, l), RK_OK);
	t_eq_int(loop_signal(l, SIGTERM, on_signal, l), RK_OK);
	raise(SIGUSR1);
	raise(SIGTERM);
	t_eq_int(signals[SIGUSR1], 0);
	run(l);
	t_eq_int(signals[SIGUSR1], 1);
	t_eq_int(signals[SIGTERM], 1);
	loop_close(&l);
}

static int ended;
static void
on_child(void *ctx, pid_t pid, int status)
{
	(void)pid;
	if (WIFEXITED(status))
		ended += WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		ended += 1000 * WTERMSIG(status);
	if (ended == 1 + 2 + 1000 * SIGKILL)
		loop_stop(ctx);
}

T_CASE(each_child_is_reaped_once_with_its_status)
{
	struct loop *l = open_loop();
	for (int i = 0; i < 3; i++) {
		pid_t p = fork();
		if (p == 0) {
			if (i == 0)
				pause();
			_exit(i);
		}
		t_eq_int(loop_child(l, p, on_child, l), RK_OK);
		if (i == 0)
			kill(p, SIGKILL);
	}
	run(l);
	t_eq_int(waitpid(-1, NULL, WNOHANG), -1);
	loop_close(&l);
}

T_CASE(a_child_still_running_when_the_loop_closes_is_left_alone)
{
	struct loop *l = open_loop();
	pid_t p = fork();
	if (p == 0) {
		pause();
		_exit(0);
	}
	t_eq_int(loop_child(l, p, on_child, l), RK_OK);
	loop_close(&l);
	t_eq_int(kill(p, SIGKILL), 0);
	t_eq_int(waitpid(p, NULL, 0), p);
}

static int64_t
hook(void *ctx)
{
	if (++fired == 4)
		loop_stop(ctx);
	return fired == 3 ? 10 : 0;
}

T_CASE(the_hook_runs_each_round_and_limits_the_sleep)
{
	struct loop *l = open_loop();
	int64_t t0 = mono_ms();
	loop_hook(l, hook, l);
	run(l);
	t_eq_int(fired, 4);
	t_check(mono_ms() >= t0 + 9);
	loop_close(&l);
}

T_CASE(a_stop_before_the_run_ends_it_at_once)
{
	struct loop *l = open_loop();
	loop_stop(l);
	run(l);
	loop_close(&l);
	loop_close(&l);
}

static void
wait_700(void *ctx)
{
	(void)ctx;
	usleep(700000);
}

T_CASE(time_in_which_nothing_was_seen_counts_for_nobody)
{
	struct loop *l = open_loop();
	struct loop_timer *busy = loop_timer_add(l, wait_700, NULL),
	    *judge = loop_timer_add(l, stop, l);
	int64_t t0 = mono_ms(), seen0 = loop_seen_ms(l);
	loop_timer_at(busy, t0);
	loop_timer_seen(judge, seen0 + 300);
	run(l);
	t_check(mono_ms() - t0 >= 1000);
	t_check(loop_seen_ms(l) - seen0 >= 300);
	t_check(mono_ms() - t0 - (loop_seen_ms(l) - seen0) >= 700);
	loop_close(&l);
}

static int heard;
static void
hear(void *ctx, unsigned events)
{
	char c;
	(void)events;
	t_eq_int(read(*(int *)ctx, &c, 1), 1);
	heard++;
}

static void
judge_all(void *ctx)
{
	t_eq_int(heard, 300);
	loop_stop(ctx);
}

/* More are ready than the kernel hands out in a round. */
T_CASE(all_that_was_said_is_read_before_anybody_is_judged)
{
	struct loop *l = open_loop();
	struct loop_timer *judge = loop_timer_add(l, judge_all, l);
	int p[300][2];
	for (int i = 0; i < 300; i++) {
		t_eq_int(pipe(p[i]), 0);
		(void)!loop_fd_add(l, p[i][0], LOOP_IN, hear, &p[i][0]);
		t_eq_int(write(p[i][1], "x", 1), 1);
	}
	heard = 0;
	loop_timer_seen(judge, loop_seen_ms(l));
	run(l);
	loop_close(&l);
	for (int i = 0; i < 300; i++) {
		close(p[i][0]);
		close(p[i][1]);
	}
}

/* Stopped by its own child while it sleeps, long past the time of the judge;
 * what is said in between is heard first. */
T_CASE(a_freeze_is_no_silence)
{
	for (int round = 0; round < 3; round++) {
		struct loop *l = open_loop();
		struct loop_timer *judge = loop_timer_add(l, stop, l);
		int64_t t0 = mono_ms();
		pid_t p = fork();
		if (p == 0) {
			usleep(100000);
			kill(getppid(), SIGSTOP);
			usleep(1500000);
			kill(getppid(), SIGCONT);
			_exit(0);
		}
		loop_timer_seen(judge, loop_seen_ms(l) + 1200);
		run(l);
		/* 1.2 s seen, 1.5 s frozen, half a second of it perhaps in a
		 * sleep that was meant. */
		t_check(mono_ms() - t0 >= 2190);
		loop_close(&l);
		t_eq_int(waitpid(p, NULL, 0), p);
	}
}

T_MAIN
