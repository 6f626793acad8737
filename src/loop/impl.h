/* The loop from inside: what its files share. */
#ifndef LOOP_IMPL_H
#define LOOP_IMPL_H

#include <pthread.h>

#include "rekindle/loop.h"

#define LOOP_TAG       0x6c6f6f70u
#define LOOP_FD_TAG    0x6c706664u
#define LOOP_TIMER_TAG 0x6c707472u
#define LOOP_SIGNALS   65       /* signals are numbered from 1 to 64 */
#define LOOP_WORKERS   2

struct loop_fd {
	unsigned tag;
	struct loop *l;
	int fd;
	unsigned events;        /* wanted: LOOP_IN | LOOP_OUT */
	loop_fd_fn *fn;         /* NULL: removed, freed after the round */
	void *ctx;
	struct loop_fd *next, **prev;   /* of the live, or of the dead */
};

struct loop_timer {
	unsigned tag;
	struct loop *l;
	int64_t at_ms;
	uint64_t order;         /* of two at the same time, the first set
				   first */
	size_t place;           /* in the heap, from 1; 0 when off */
	bool seen;              /* set on the clock of what was seen */
	int64_t seen_ms;        /* ... for this time of it */
	loop_timer_fn *fn;
	void *ctx;
	struct loop_timer *next, **prev;
};

struct loop_child {
	struct loop *l;
	pid_t pid;
	int pidfd;
	struct loop_fd *watch;
	loop_child_fn *fn;
	void *ctx;
	struct loop_child *next, **prev;
};

struct loop_queue {
	struct loop_task *first, *last; /* last: while there is a first */
};

struct loop {
	unsigned tag;
	int epoll;
	bool running, stopping, delivering;
	struct loop_fd *fds, *dead;

	/* timer.c: a binary heap of those that are set, heap[1] the next */
	struct loop_timer *timers, **heap;
	size_t set, room;
	uint64_t order;
	int64_t now;            /* mono_ms() when timers were last looked at */

	/* seen.c: the clock without gaps */
	int64_t looked_ms;      /* mono_ms() at the last look; 0: none yet */
	int64_t unseen_ms;      /* the sum of the gaps */
	int nseen;              /* timers that are set on it */
	size_t unread;          /* watches that may have something to deliver */

	/* signal.c */
	int signalfd;
	struct loop_fd *signal_watch;
	sigset_t mask;
	struct {
		loop_signal_fn *fn;
		void *ctx;
	} signals[LOOP_SIGNALS];

	struct loop_child *children;

	/* thread.c: the lock guards the queues and `closing` */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct loop_queue posts, tasks;
	bool closing;
	int eventfd;
	struct loop_fd *post_watch;
	pthread_t workers[LOOP_WORKERS];
	int nworkers;

	loop_hook_fn *hook;
	void *hook_ctx;
};

/* Put x first in the doubly linked list at *head; take x out of its list. */
#define LIST_PUT(head, x)                                       \
	do {                                                    \
		(x)->next = *(head);                            \
		(x)->prev = (head);                             \
		if ((x)->next != NULL)                          \
			(x)->next->prev = &(x)->next;           \
		*(head) = (x);                                  \
	} while (0)
#define LIST_TAKE(x)                                            \
	do {                                                    \
		*(x)->prev = (x)->next;                         \
		if ((x)->next != NULL)                          \
			(x)->next->prev = (x)->prev;            \
	} while (0)

/* Call what is due.  Milliseconds until the next is: -1 if none is set. */
void timers_run(struct loop *l);
int64_t timers_wait(const struct loop *l);
void timers_fini(struct loop *l);

/* A look at the clock, `ms` of which were to be slept: what is more is a gap,
 * and true. */
bool seen_look(struct loop *l, int64_t ms);
/* The longest sleep in which a gap would be noticed; -1: none needs it. */
int64_t seen_wait(const struct loop *l);
/* n events, of at most `most`, were fetched after the last gap and delivered:
 * may others be judged now? */
void seen_delivered(struct loop *l, size_t n, size_t most);

void signals_fini(struct loop *l);
void children_fini(struct loop *l);

enum rk_err threads_init(struct loop *l) RK_MUSTCHECK;
void threads_fini(struct loop *l);      /* waits for work that has begun */

#endif
