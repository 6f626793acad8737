/*
 * The ring of batches: see data_loader.h.
 *
 *	slot       FREE ──► FILLING ──► READY ──► (the caller has it) ──► FREE
 *	           planned   all rows   next()     the next call
 *	                     are done
 *
 * Everything but the rows themselves is under one lock, which is held for some
 * hundred instructions a claim.  A generation is what data_loader_begin()
 * began: who has claimed rows of an older one finishes them, and they are not
 * counted.  So begin() waits for those rows before a slot is planned anew.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/data_loader.h"
#include "rekindle/kernel.h"

#define LOADER_TAG  0x6c6f6164u
#define CLAIM_MAX   16                  /* rows that one takes at a time */
#define DEPTH_MIN   2
#define DEPTH_MAX   4
#define AHEAD_BYTES ((uint64_t)64 << 20)        /* more than DEPTH_MIN by
						   that */
#define NICER_BY    5
#define BROKEN_KEPT 64                  /* sentences of a batch; all count */

struct slot {
	int64_t epoch, from, rows;      /* rows 0: FREE */
	int64_t claimed, done;
	float *x;                       /* or tokens: both take four bytes */
	int64_t *which;
	uint8_t *left_out;
	uint64_t *content;
	struct data_broken *broken;     /* room for BROKEN_KEPT */
	int64_t nbroken, nleft;
	enum rk_err rc;                 /* the lowest row that went wrong */
	int64_t wrong;
	char *sentence;
};

struct worker {
	struct data_loader *l;
	pthread_t thread;
	void *scratch;
};

struct data_loader {
	unsigned tag;
	const struct data_set *d;
	struct data_loading how;
	int depth;
	int64_t claim;                  /* rows at a time */
	void *scratch;                  /* of who waits and helps */

	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	bool stop;                      /* all below: under the lock */
	struct slot *slots;
	int64_t next;                   /* number of the batch that is asked
					   for */
	int64_t planned;                /* of the first that is not planned */
	int64_t most;                   /* of the first that nobody will want */
	int64_t epoch, from;            /* where batch `planned` begins */
	bool has;                       /* the caller has batch next - 1 */
	int64_t busy;                   /* rows that are being read */

	int64_t waited_ns;              /* the caller's */
	int nworkers;
	struct worker *workers;
};

static size_t
row_bytes(const struct data_set *d)
{
	_Static_assert(sizeof(float) == sizeof(int32_t), "of one size");
	return (size_t)d->width * sizeof(float);
}

/* --- sizes ---------------------------------------------------------------- */

static int
cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ?
	    RK_MAX(CPU_COUNT(&set), 1) : 1;
}

int
data_loader_threads(void)
{
	return RK_MIN(cores(), 2);
}

static uint64_t
batch_bytes(const struct data_set *d, int64_t rows)
{
	return (uint64_t)rows * (row_bytes(d) + sizeof(int64_t) +
	    sizeof(uint8_t) + sizeof(uint64_t));
}

static int
depth_of(const struct data_set *d, const struct data_loading *how)
{
	const uint64_t each = RK_MAX(batch_bytes(d, how->batch), 1);
	const uint64_t n = RK_MIN(AHEAD_BYTES / each, (uint64_t)DEPTH_MAX);

	return RK_MAX((int)n, DEPTH_MIN);
}

uint64_t
data_loader_bytes(const struct data_set *d, const struct data_loading *how)
{
	return (uint64_t)depth_of(d, how) * batch_bytes(d, how->batch) +
	    ((uint64_t)how->threads + 1) * d->lazy->scratch_bytes;
}

/* --- a row ---------------------------------------------------------------- */

/* Some rows of a batch that one thread reads. */
struct claim {
	struct slot *s;
	int64_t from, to;
};

/* Where the sentence goes that a row's failure has, in the order of the
 * rows. */
static void
note_broken(struct slot *s, int64_t row, bool changed, const char *sentence)
{
	int64_t at = s->nbroken;

	while (at > 0 && s->broken[at - 1].row > row)
		at--;
	if (at == BROKEN_KEPT)
		return;
	if (s->nbroken == BROKEN_KEPT)
		free((char *)(uintptr_t)s->broken[--s->nbroken].sentence);
	memmove(s->broken + at + 1, s->broken + at,
	    (size_t)(s->nbroken - at) * sizeof(*s->broken));
	s->broken[at] = (struct data_broken){ row, s->which[row], changed,
		xstrdup(sentence) };
	s->nbroken++;
}

static void
note_wrong(struct slot *s, int64_t row, enum rk_err rc, const char *sentence)
{
	if (s->rc != RK_OK && s->wrong < row)
		return;
	free(s->sentence);
	s->rc = rc;
	s->wrong = row;
	s->sentence = xstrdup(sentence);
}

/* Not under the lock, but to note what went wrong. */
static void
read_row(struct data_loader *l, struct slot *s, void *scratch, int64_t row)
{
	const struct data_key k = { l->how.seed, s->epoch, l->how.train };
	float *x = s->x + row * l->d->width;
	struct rk_why why = { 0 };
	struct lazy_got got;

	s->which[row] = l->how.order != NULL ? data_order_at(l->how.order,
	    s->epoch, s->from + row) : s->from + row;
	enum rk_err rc = lazy_get(l->d, scratch, s->which[row], &k, x, &got,
	    &why);
	s->content[row] = got.content;
	s->left_out[row] = rc != RK_OK;
	if (rc == RK_OK)
		return;
	memset(x, 0, row_bytes(l->d));
	pthread_mutex_lock(&l->lock);
	s->nleft++;
	if (rc == RK_EINVAL)
		note_broken(s, row, got.changed, rk_why_first(&why));
	else
		note_wrong(s, row, rc, rk_why_first(&why));
	pthread_mutex_unlock(&l->lock);
	rk_why_fini(&why);
}

static void
read_rows(struct data_loader *l, const struct claim *c, void *scratch)
{
	for (int64_t row = c->from; row < c->to; row++)
		read_row(l, c->s, scratch, row);
}

/* --- claims: all under the lock ------------------------------------------- */

static struct slot *
slot_of(const struct data_loader *l, int64_t number)
{
	return &l->slots[number % l->depth];
}

static void
empty(struct slot *s)
{
	for (int64_t i = 0; i < s->nbroken; i++)
		free((char *)(uintptr_t)s->broken[i].sentence);
	free(s->sentence);
	s->sentence = NULL;
	s->nbroken = s->nleft = 0;
	s->rc = RK_OK;
	s->rows = s->claimed = s->done = 0;
}

static int64_t
rows_at(const struct data_loader *l, int64_t place)
{
	return l->how.order != NULL ? data_order_rows(l->how.order,
	    l->epoch, place, l->how.batch, l->how.drop_last) : data_rows(l->d->n, place,
	    l->how.batch, l->how.drop_last);
}

/* Rows of the batch that begins where the plan is; an epoch that is through is
 * followed by the next.  Of one that has no whole batch all are taken. */
static int64_t
plan_rows(struct data_loader *l)
{
	int64_t rows = rows_at(l, l->from);

	if (rows == 0) {
		l->epoch++;
		l->from = 0;
		rows = rows_at(l, 0);
	}
	return rows > 0 ? rows : RK_MIN(l->d->n, l->how.batch);
}

/* The numbers of batches that the ring has room for. */
static int64_t
end_of_ring(const struct data_loader *l)
{
	return l->next - (l->has ? 1 : 0) + l->depth;
}

static bool
plan_one(struct data_loader *l)
{
	if (l->planned >= RK_MIN(l->most, end_of_ring(l)))
		return false;
	struct slot *s = slot_of(l, l->planned++);
	must(s->rows == 0);
	s->rows = plan_rows(l);
	s->epoch = l->epoch;
	s->from = l->from;
	l->from += s->rows;
	return true;
}

/* Rows that nobody has, of the lowest batch up to `last`. */
static bool
claim_rows(struct data_loader *l, int64_t last, struct claim *c)
{
	for (int64_t b = l->next; b <= last; b++) {
		if (b == l->planned && !plan_one(l))
			return false;
		struct slot *s = slot_of(l, b);
		if (s->claimed == s->rows)
			continue;
		c->s = s;
		c->from = s->claimed;
		c->to = s->claimed = RK_MIN(s->claimed + l->claim, s->rows);
		l->busy += c->to - c->from;
		return true;
	}
	return false;
}

static void
end_claim(struct data_loader *l, const struct claim *c)
{
	c->s->done += c->to - c->from;
	l->busy -= c->to - c->from;
	if (c->s->done == c->s->rows || l->busy == 0)
		pthread_cond_broadcast(&l->ready);
}

/* --- threads -------------------------------------------------------------- */

static void
set_up_thread(void)
{
	const int tid = (int)syscall(SYS_gettid);
	const int nice_now = getpriority(PRIO_PROCESS, (id_t)tid);

	(void)!pthread_setname_np(pthread_self(), "rk-loader");
	(void)!setpriority(PRIO_PROCESS, (id_t)tid,
	    RK_MIN(nice_now + NICER_BY, 19));
	kernel_like_team();
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;
	struct data_loader *l = w->l;
	struct claim c;

	set_up_thread();
	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		if (!claim_rows(l, l->next + l->depth, &c)) {
			pthread_cond_wait(&l->work, &l->lock);
			continue;
		}
		pthread_mutex_unlock(&l->lock);
		read_rows(l, &c, w->scratch);
		pthread_mutex_lock(&l->lock);
		end_claim(l, &c);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void
init_lock(struct data_loader *l)
{
	pthread_condattr_t a;

	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&l->work, &a);
	pthread_cond_init(&l->ready, &a);
	pthread_condattr_destroy(&a);
}

static enum rk_err
alloc_slot(struct slot *s, const struct data_set *d, int64_t rows,
    struct rk_why *why)
{
	static const char what[] = "batches that are read ahead";
	const uint64_t n = (uint64_t)rows;
	enum rk_err rc = held_alloc(&s->x, n, row_bytes(d), what, why);

	if (rc == RK_OK)
		rc = held_alloc(&s->which, n, sizeof(*s->which), what, why);
	if (rc == RK_OK)
		rc = held_alloc(&s->left_out, n, 1, what, why);
	if (rc == RK_OK)
		rc = held_alloc(&s->content, n, sizeof(*s->content), what,
		    why);
	s->broken = xcalloc(BROKEN_KEPT, sizeof(*s->broken));
	return rc;
}

static enum rk_err
start_threads(struct data_loader *l, struct rk_why *why)
{
	const struct data_lazy *z = l->d->lazy;

	l->scratch = z->ops->scratch_new(z);
	l->workers = xcalloc((size_t)l->how.threads, sizeof(*l->workers));
	for (int i = 0; i < l->how.threads; i++) {
		struct worker *w = &l->workers[i];
		w->l = l;
		w->scratch = z->ops->scratch_new(z);
		l->nworkers = i + 1;
		if (rk_thread_start(&w->thread, worker_main, w) == 0)
			continue;
		z->ops->scratch_free(w->scratch);
		l->nworkers = i;
		/* One is enough, and so is who waits. */
		return i > 0 ? RK_OK : (rk_refuse(why, "the system has no "
		    "thread that could read data"), RK_ENOMEM);
	}
	return RK_OK;
}

enum rk_err
data_loader_new(const struct data_set *d, const struct data_loading *how,
    struct data_loader **lp, struct rk_why *why)
{
	struct data_loader *l = xcalloc(1, sizeof(*l));
	enum rk_err rc = RK_OK;

	must(d->lazy != NULL && how->threads >= 1 && how->batch >= 1);
	l->tag = LOADER_TAG;
	l->d = d;
	l->how = *how;
	l->depth = depth_of(d, how);
	l->claim = RK_MAX(RK_MIN(how->batch / (4 * (how->threads + 1)),
	    (int64_t)CLAIM_MAX), 1);
	init_lock(l);
	l->slots = xcalloc((size_t)l->depth, sizeof(*l->slots));
	for (int i = 0; rc == RK_OK && i < l->depth; i++)
		rc = alloc_slot(&l->slots[i], d, how->batch, why);
	if (rc == RK_OK)
		rc = start_threads(l, why);
	if (rc == RK_OK)
		*lp = l;
	else
		data_loader_free(l);
	return rc;
}

void
data_loader_free(struct data_loader *l)
{
	if (l == NULL)
		return;
	must_be(l, LOADER_TAG);
	const struct lazy_ops *ops = l->d->lazy->ops;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < l->nworkers; i++) {
		pthread_join(l->workers[i].thread, NULL);
		ops->scratch_free(l->workers[i].scratch);
	}
	free(l->workers);
	if (l->scratch != NULL)
		ops->scratch_free(l->scratch);
	for (int i = 0; i < l->depth; i++) {
		struct slot *s = &l->slots[i];
		empty(s);
		free(s->x);
		free(s->which);
		free(s->left_out);
		free(s->content);
		free(s->broken);
	}
	free(l->slots);
	pthread_cond_destroy(&l->ready);
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->lock);
	l->tag = 0;
	free(l);
}

/* --- who trains ----------------------------------------------------------- */

void
data_loader_begin(struct data_loader *l, int64_t epoch, int64_t from,
    int64_t batches)
{
	must_be(l, LOADER_TAG);
	must(epoch >= 0 && from >= 0 && from <= l->d->n && batches >= 0);
	pthread_mutex_lock(&l->lock);
	l->most = l->planned = l->next;         /* nothing more to claim */
	while (l->busy > 0)
		pthread_cond_wait(&l->ready, &l->lock);
	for (int i = 0; i < l->depth; i++)
		empty(&l->slots[i]);
	l->has = false;
	l->epoch = epoch;
	l->from = from;
	l->most = batches > INT64_MAX - l->next ? INT64_MAX :
	    l->next + batches;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
}

static void
deadline(struct timespec *until, int ms)
{
	clock_gettime(CLOCK_MONOTONIC, until);
	until->tv_sec += ms / 1000;
	until->tv_nsec += ms % 1000 * 1000000L;
	if (until->tv_nsec >= 1000000000L) {
		until->tv_sec++;
		until->tv_nsec -= 1000000000L;
	}
}

/* Until batch `next` is done, reading rows of it oneself where there are some;
 * under the lock. */
static bool
await(struct data_loader *l, int ms)
{
	const int64_t end_ns = mono_ns() + (int64_t)ms * 1000000;
	struct timespec until;
	struct claim c;
	int e = 0;

	deadline(&until, ms);
	for (;;) {
		struct slot *s = slot_of(l, l->next);
		if (l->next < l->planned && s->done == s->rows)
			return true;
		if (e != 0 || mono_ns() >= end_ns)
			return false;
		if (!claim_rows(l, l->next, &c)) {
			e = pthread_cond_timedwait(&l->ready, &l->lock,
			    &until);
			continue;
		}
		pthread_mutex_unlock(&l->lock);
		read_rows(l, &c, l->scratch);
		pthread_mutex_lock(&l->lock);
		end_claim(l, &c);
	}
}

static void
give(struct data_loader *l, struct data_batch *out)
{
	const struct slot *s = slot_of(l, l->next);
	const bool tokens = data_is_tokens(l->d);

	*out = (struct data_batch){
		.epoch = s->epoch, .from = s->from, .rows = s->rows,
		.which = s->which, .x = tokens ? NULL : s->x,
		.ids = tokens ? (const int32_t *)(const void *)s->x : NULL,
		.left_out = s->nleft > 0 ? s->left_out : NULL,
		.nleft = s->nleft, .broken = s->broken, .nbroken = s->nbroken,
		.content = s->content,
	};
	l->next++;
	l->has = true;
}

/* The batch that the caller had is free. */
static void
take_back(struct data_loader *l)
{
	if (!l->has)
		return;
	empty(slot_of(l, l->next - 1));
	l->has = false;
	pthread_cond_broadcast(&l->work);
}

enum rk_err
data_loader_next(struct data_loader *l, int ms, struct data_batch *out,
    struct rk_why *why)
{
	const int64_t t0 = mono_ns();
	enum rk_err rc = RK_ETIMEDOUT;

	must_be(l, LOADER_TAG);
	pthread_mutex_lock(&l->lock);
	l->most = RK_MAX(l->most, l->next + 1);
	take_back(l);
	if (await(l, ms)) {
		const struct slot *s = slot_of(l, l->next);
		rc = s->rc;
		if (rc == RK_OK)
			give(l, out);
		else
			rk_refuse(why, "%s", s->sentence);
	}
	pthread_mutex_unlock(&l->lock);
	l->waited_ns += mono_ns() - t0;
	return rc;
}

int64_t
data_loader_waited_ns(const struct data_loader *l)
{
	must_be(l, LOADER_TAG);
	return l->waited_ns;
}
