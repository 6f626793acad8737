/*
 * loop - the daemon's one epoll loop: descriptors, timers, signals, children.
 *
 * One thread.  Callbacks run from loop_run() and may add or remove anything,
 * themselves included; an event already fetched for a removed watch is not
 * delivered.
 */
#ifndef REKINDLE_LOOP_H
#define REKINDLE_LOOP_H

#include <signal.h>
#include <sys/types.h>

#include "rekindle/base.h"

struct loop;
struct loop_fd;
struct loop_timer;

#define LOOP_IN   1u
#define LOOP_OUT  2u
#define LOOP_HUP  4u            /* only reported: peer gone or error */

typedef void loop_fd_fn(void *ctx, unsigned events);
typedef void loop_timer_fn(void *ctx);
typedef void loop_signal_fn(void *ctx, int sig);
/* status as of waitpid(2) */
typedef void loop_child_fn(void *ctx, pid_t pid, int status);

/* Opening sets SIGCHLD to its default.  Closing removes what is left in the
 * loop, and leaves signals blocked; children go on, not reaped. */
enum rk_err loop_open(struct loop **lp) RK_MUSTCHECK;
void loop_close(struct loop **lp);

/*
 * Watch fd (not owned) for LOOP_IN|LOOP_OUT, level-triggered; LOOP_HUP comes
 * unasked.  NULL, with a log line, if the kernel cannot watch it (a plain file,
 * no memory).  Remove the watch before the descriptor is closed.
 */
struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events,
    loop_fd_fn *fn, void *ctx);
void loop_fd_want(struct loop_fd *w, unsigned events);
void loop_fd_del(struct loop_fd **w);           /* NULL inside is fine */

/* A timer that is off until set, and off again when it has run; at_ms is on
 * mono_ms()'s clock, and the past means the next round.  Those of one time run
 * in the order in which they were set. */
struct loop_timer *loop_timer_add(struct loop *l, loop_timer_fn *fn, void *ctx);
void loop_timer_at(struct loop_timer *t, int64_t at_ms);

/*
 * The clock to judge others by: milliseconds of mono_ms() without those in
 * which this loop saw nothing - the process was stopped, its container paused,
 * its machine frozen, or a callback took long.  What a trainer or a server said
 * in a gap still lies in a buffer, and in most freezes it stood still itself;
 * so "silent for so long" is counted on this clock.  Gaps of less than half a
 * second are not noticed.
 *
 * A timer set by loop_timer_seen() is on this clock, and does not run before
 * all that was ready has been delivered: read first, judge later.  While one is
 * set, the loop wakes each half second, or a freeze could hide in a long sleep.
 */
int64_t loop_seen_ms(struct loop *l);
void loop_timer_seen(struct loop_timer *t, int64_t at_seen_ms);

void loop_timer_off(struct loop_timer *t);
void loop_timer_del(struct loop_timer **t);

/* Block a signal and deliver it here (signalfd).  Block it before any thread is
 * started, and unblock it in a child before exec. */
enum rk_err loop_signal(struct loop *l, int sig, loop_signal_fn *fn,
    void *ctx) RK_MUSTCHECK;

/* Call fn once when child pid has ended (pidfd); the child is reaped. */
enum rk_err loop_child(struct loop *l, pid_t pid, loop_child_fn *fn,
    void *ctx) RK_MUSTCHECK;

/* fn runs after every round of callbacks, before the loop sleeps again:
 * where libmicrohttpd's MHD_run() goes.  It returns the most milliseconds the
 * loop may sleep, -1 for no limit.  One hook. */
typedef int64_t loop_hook_fn(void *ctx);
void loop_hook(struct loop *l, loop_hook_fn *fn, void *ctx);

/*
 * Other threads.  loop_post(): from any thread, fn(ctx) runs on the loop's
 * thread, in the order of the posts.  loop_work(): work(ctx) runs on one of a
 * few worker threads, first come first served, then done(ctx) on the loop's.
 * loop_close() waits for work that has begun and drops what has not, and posts
 * that have not run; nobody may post after it.  A worker has all signals
 * blocked and touches nothing but its ctx.
 */
typedef void loop_post_fn(void *ctx);
void loop_post(struct loop *l, loop_post_fn *fn, void *ctx);
void loop_work(struct loop *l, loop_post_fn *work, loop_post_fn *done,
    void *ctx);

/* Until loop_stop(), which may come before: then it returns at once. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

#endif
