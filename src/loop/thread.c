/*
 * Other threads: a queue into the loop, and a queue to a few workers.
 *
 * One mutex guards both.  The eventfd is written when the first of some posts
 * comes, and read before they are taken, so that none is overlooked.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "impl.h"

struct loop_task {
	struct loop_task *next;
	loop_post_fn *work;     /* NULL: a post */
	loop_post_fn *done;
	void *ctx;
};

static void
put(struct loop_queue *q, struct loop_task *t)
{
	t->next = NULL;
	if (q->first == NULL)
		q->first = t;
	else
		q->last->next = t;
	q->last = t;
}

static struct loop_task *
take(struct loop_queue *q)
{
	struct loop_task *t = q->first;

	if (t != NULL)
		q->first = t->next;
	return t;
}

static void
drop_all(struct loop_queue *q)
{
	for (struct loop_task *t; (t = take(q)) != NULL;)
		free(t);
}

static struct loop_task *
new_task(loop_post_fn *work, loop_post_fn *done, void *ctx)
{
	struct loop_task *t = xmalloc(sizeof(*t));

	*t = (struct loop_task){ .work = work, .done = done, .ctx = ctx };
	return t;
}

static void
post(struct loop *l, struct loop_task *t)
{
	const uint64_t one = 1;

	must(pthread_mutex_lock(&l->lock) == 0);
	bool first = l->posts.first == NULL;
	put(&l->posts, t);
	must(pthread_mutex_unlock(&l->lock) == 0);
	if (first)
		must(write(l->eventfd, &one, sizeof(one)) == sizeof(one));
}

/* What is posted from here on runs in the next round. */
static void
on_posts(void *ctx, unsigned events)
{
	struct loop *l = ctx;
	uint64_t n;

	must_be(l, LOOP_TAG);
	(void)events;
	(void)!read(l->eventfd, &n, sizeof(n));
	must(pthread_mutex_lock(&l->lock) == 0);
	struct loop_queue all = l->posts;
	l->posts.first = NULL;
	must(pthread_mutex_unlock(&l->lock) == 0);
	for (struct loop_task *t; (t = take(&all)) != NULL;) {
		struct loop_task copy = *t;
		free(t);
		copy.done(copy.ctx);
	}
}

enum rk_err
threads_init(struct loop *l)
{
	must(pthread_mutex_init(&l->lock, NULL) == 0);
	must(pthread_cond_init(&l->more, NULL) == 0);
	l->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->eventfd < 0) {
		log_errno("loop: eventfd");
		return RK_EIO;
	}
	l->post_watch = loop_fd_add(l, l->eventfd, LOOP_IN, on_posts, l);
	return l->post_watch != NULL ? RK_OK : RK_EIO;
}

void
threads_fini(struct loop *l)
{
	must(pthread_mutex_lock(&l->lock) == 0);
	l->closing = true;
	must(pthread_cond_broadcast(&l->more) == 0);
	must(pthread_mutex_unlock(&l->lock) == 0);
	for (int i = 0; i < l->nworkers; i++)
		must(pthread_join(l->workers[i], NULL) == 0);
	drop_all(&l->tasks);
	drop_all(&l->posts);
	loop_fd_del(&l->post_watch);
	rk_close(&l->eventfd);
	pthread_cond_destroy(&l->more);
	pthread_mutex_destroy(&l->lock);
}

void
loop_post(struct loop *l, loop_post_fn *fn, void *ctx)
{
	must_be(l, LOOP_TAG);
	must(fn != NULL);
	post(l, new_task(NULL, fn, ctx));
}

static void *
worker(void *ctx)
{
	struct loop *l = ctx;

	must(pthread_mutex_lock(&l->lock) == 0);
	while (!l->closing) {
		struct loop_task *t = take(&l->tasks);
		if (t == NULL) {
			must(pthread_cond_wait(&l->more, &l->lock) == 0);
			continue;
		}
		must(pthread_mutex_unlock(&l->lock) == 0);
		t->work(t->ctx);
		post(l, t);
		must(pthread_mutex_lock(&l->lock) == 0);
	}
	must(pthread_mutex_unlock(&l->lock) == 0);
	return NULL;
}

static void
start_workers(struct loop *l)
{
	while (l->nworkers < LOOP_WORKERS && rk_thread_start(
	    &l->workers[l->nworkers], worker, l) == 0)
		l->nworkers++;
}

void
loop_work(struct loop *l, loop_post_fn *work, loop_post_fn *done, void *ctx)
{
	must_be(l, LOOP_TAG);
	must(work != NULL && done != NULL);
	struct loop_task *t = new_task(work, done, ctx);
	if (l->nworkers == 0)
		start_workers(l);
	if (l->nworkers == 0) {
		log_error("loop: no thread to be had; working in the loop");
		work(ctx);
		post(l, t);
		return;
	}
	must(pthread_mutex_lock(&l->lock) == 0);
	put(&l->tasks, t);
	must(pthread_cond_signal(&l->more) == 0);
	must(pthread_mutex_unlock(&l->lock) == 0);
}
