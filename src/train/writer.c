/* The thread that writes checkpoints: see writer.h. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "rekindle/kernel.h"
#include "frozen.h"
#include "held_out.h"
#include "writer.h"

#define WRITER_TAG  0x57524954u
#define PAGE        4096u
#define HUGE_FROM   (4u << 20)
#define COPY_PIECE  ((size_t)1 << 18)   /* floats that one thread copies */
#define MAX_SHADOWS 8
/* The team has work all the time; who trains comes first. */
#define NICER_BY    5
#define FINITE_LANES 16

enum writer_state { FREE, FULL, DONE, LEAVE };

struct writer {
	unsigned tag;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum writer_state state;        /* under lock */
	bool touched;                   /* under lock: the shadow has pages */

	struct ckpt *ckpt;
	struct spec_checkpoint keep;    /* metric is borrowed */
	int metrics_fd;
	struct nn *nn;
	struct optim *optim;
	struct optim_ema *average;      /* or NULL */

	void *map;
	size_t map_bytes;
	int64_t nparams, nbuffers;
	int nslots;
	float *shadow[MAX_SHADOWS];     /* parameters, then slots */
	float *buffers;
	float *ema;                     /* parameters, then buffers; or NULL */
	struct tensor_set *model_set, *optim_set;
	bool *shared;                   /* by tensor: it is in a shard */
	/* For the model's metadata; or NULL. */
	char *split, *classes, *vocabulary;
	struct writer_result job;
};

static size_t
page_up(size_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

uint64_t
writer_shadow_bytes(int64_t nparams, int64_t nbuffers, int nslots, bool ema)
{
	const size_t model = (size_t)(nparams + nbuffers) * sizeof(float);
	const size_t slots = (size_t)nparams * (size_t)nslots * sizeof(float);

	return page_up(model) + page_up(slots + (ema ? model : 0));
}

/* --- the shadow ----------------------------------------------------------- */

/*
 * What the model's file has, parameters and buffers, back to back from one
 * page's start, slots from another's and behind them what is trained, if the
 * model's file has its average: each file's data lie as one piece in memory.
 */
static enum rk_err
map_shadow(struct writer *w)
{
	size_t model = page_up((size_t)(w->nparams + w->nbuffers) *
	    sizeof(float));

	w->map_bytes = (size_t)writer_shadow_bytes(w->nparams, w->nbuffers,
	    w->nslots, w->average != NULL);
	if (w->map_bytes == 0)
		return RK_OK;
	w->map = mmap(NULL, w->map_bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->map == MAP_FAILED) {
		w->map = NULL;
		return RK_ENOMEM;
	}
	if (w->map_bytes >= HUGE_FROM)
		(void)!madvise(w->map, w->map_bytes, MADV_HUGEPAGE);
	float *first = w->map;
	float *slots = (float *)((char *)w->map + model);
	float *behind = slots + (int64_t)w->nslots * w->nparams;
	for (int k = 0; k < w->nslots; k++)
		w->shadow[k + 1] = slots + (int64_t)k * w->nparams;
	w->ema = w->average != NULL ? first : NULL;
	w->shadow[0] = w->average != NULL ? behind : first;
	w->buffers = w->shadow[0] + w->nparams;
	return RK_OK;
}

static void
add_tensor(struct tensor_set *s, const char *name, const struct nn_tensor *t,
    const float *data, enum ckpt_part part)
{
	must(tensor_set_add(s, name, DT_F32, t->ndim, t->d, data, NULL) ==
	    RK_OK);
	s->v[s->n - 1].part = (int)part;
}

/* All tensors of the network out of parameters and buffers that lie so (buffers
 * NULL: no buffers); what: behind each name, and of none that is in a shard;
 * NULL for nothing. */
static void
add_all(const struct writer *w, struct tensor_set *s, const char *what,
    const float *params, const float *buffers)
{
	for (size_t i = 0; i < nn_ntensors(w->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(w->nn, i);
		const float *base = t->is_buffer ? buffers : params;
		if (base == NULL || (what != NULL && w->shared[i]))
			continue;
		char *name = what == NULL ? xstrdup(t->name) :
		    xasprintf("%s.%s", t->name, what);
		add_tensor(s, name, t, base + t->offset, w->shared[i] ?
		    CKPT_FROZEN : CKPT_TRAINED);
		free(name);
	}
}

/* `format` is what readers of files with metadata look for, and refuse a file
 * without. */
static void
put_metadata(struct tensor_set *s, const struct writer *w)
{
	const struct {
		const char *key, *value;
	} pairs[] = {
		{ "format", "pt" }, { HELD_OUT_META, w->split },
		{ CLASSES_META, w->classes },
		{ VOCABULARY_META, w->vocabulary },
	};
	size_t n = 0;

	if (w->split == NULL && w->classes == NULL && w->vocabulary == NULL)
		return;
	s->meta = xcalloc(2 * RK_ARRAY_LEN(pairs) + 1, sizeof(*s->meta));
	for (size_t i = 0; i < RK_ARRAY_LEN(pairs); i++) {
		if (pairs[i].value == NULL)
			continue;
		s->meta[n++] = xstrdup(pairs[i].key);
		s->meta[n++] = xstrdup(pairs[i].value);
	}
}

/* The sets that ckpt_save() writes: see writer.h. */
static void
describe_shadow(struct writer *w)
{
	const float *model = w->ema != NULL ? w->ema : w->shadow[0];

	tensor_set_free(w->model_set);
	tensor_set_free(w->optim_set);
	w->optim_set = NULL;
	w->model_set = tensor_set_new();
	add_all(w, w->model_set, NULL, model, model + w->nparams);
	must(tensor_set_seal(w->model_set, NULL) == RK_OK);
	put_metadata(w->model_set, w);
	if (w->nslots == 0 && w->ema == NULL)
		return;
	w->optim_set = tensor_set_new();
	for (int k = 0; k < w->nslots; k++)
		add_all(w, w->optim_set, optim_slot_name(w->optim, k),
		    w->shadow[k + 1], NULL);
	if (w->ema != NULL)
		add_all(w, w->optim_set, WRITER_RAW, w->shadow[0], w->buffers);
	must(tensor_set_seal(w->optim_set, NULL) == RK_OK);
}

/* What is to be in a shard, of the spans as they are now. */
static void
choose_shared(struct writer *w)
{
	const size_t n = nn_ntensors(w->nn);
	bool *shared = w->average != NULL ? xcalloc(n + 1, sizeof(*shared)) :
	    frozen_choose(w->nn, w->optim);
	const bool same = w->shared != NULL &&
	    memcmp(shared, w->shared, n * sizeof(*shared)) == 0;

	free(w->shared);
	w->shared = shared;
	if (!same)
		describe_shadow(w);
}

float *const *
writer_shadow(struct writer *w)
{
	must_be(w, WRITER_TAG);
	return w->shadow;
}

float *
writer_ema(struct writer *w)
{
	must_be(w, WRITER_TAG);
	return w->ema;
}

struct copy {
	float *to;
	const float *from;
	size_t n;
};

static void
copy_piece(void *ctx, size_t i)
{
	const struct copy *c = ctx;
	const size_t at = i * COPY_PIECE;

	memcpy(c->to + at, c->from + at,
	    RK_MIN(COPY_PIECE, c->n - at) * sizeof(float));
}

static void
copy_all(float *to, const float *from, int64_t n)
{
	struct copy c = { to, from, (size_t)n };

	kernel_for((c.n + COPY_PIECE - 1) / COPY_PIECE, copy_piece, &c);
}

void
writer_copy(struct writer *w)
{
	int64_t n;

	must_be(w, WRITER_TAG);
	copy_all(w->shadow[0], nn_params(w->nn, &n), w->nparams);
	for (int k = 0; k < w->nslots; k++)
		copy_all(w->shadow[k + 1], optim_slot(w->optim, k), w->nparams);
	if (w->ema != NULL)
		copy_all(w->ema, optim_ema_params(w->average),
		    w->nparams + w->nbuffers);
}

/* --- the thread ----------------------------------------------------------- */

/* An exponent of all ones is an infinity or no number; one more carries into
 * the top bit.  Lanes, so that it goes as fast as memory does. */
static bool
all_finite(const float *x, int64_t n)
{
	uint32_t lane[FINITE_LANES] = {0}, bits[FINITE_LANES] = {0};
	uint32_t all = 0;
	int64_t i = 0;

	for (; i + FINITE_LANES <= n; i += FINITE_LANES) {
		memcpy(bits, x + i, sizeof(bits));
		for (int k = 0; k < FINITE_LANES; k++)
			lane[k] |= (bits[k] & 0x7f800000u) + 0x00800000u;
	}
	memcpy(bits, x + i, (size_t)(n - i) * sizeof(*bits));
	for (int k = 0; k < FINITE_LANES; k++)
		all |= lane[k] | ((bits[k] & 0x7f800000u) + 0x00800000u);
	return (all & 0x80000000u) == 0;
}

static double
seconds_since(int64_t ns)
{
	return (double)(mono_ns() - ns) * 1e-9;
}

static void
write_one(struct writer *w)
{
	struct writer_result *j = &w->job;
	const int64_t t0 = mono_ns();

	j->deleted = 0;
	j->not_finite = !all_finite(w->shadow[0], w->nparams + w->nbuffers) ||
	    (w->ema != NULL && !all_finite(w->ema, w->nparams + w->nbuffers));
	if (j->not_finite) {
		j->rc = RK_EINVAL;
		return;
	}
	if (w->metrics_fd >= 0 && fdatasync(w->metrics_fd) != 0)
		log_errno("train: cannot sync the metrics");
	j->rc = ckpt_save(w->ckpt, &j->info, w->model_set, w->optim_set,
	    j->name[0] != '\0' ? j->name : NULL);
	j->write_s = seconds_since(t0);
	/* What retention cannot delete now it deletes another time. */
	if (j->rc == RK_OK && ckpt_retain(w->ckpt, w->keep.keep_last,
	    w->keep.keep_best, w->keep.metric, w->keep.mode_max,
	    &j->deleted) != RK_OK)
		log_warn("train: old checkpoints stay for now");
}

static void
set_up_thread(void)
{
	int tid = (int)syscall(SYS_gettid);
	int nice_now = getpriority(PRIO_PROCESS, (id_t)tid);

	(void)!pthread_setname_np(pthread_self(), "rk-checkpoint");
	(void)!setpriority(PRIO_PROCESS, (id_t)tid,
	    RK_MIN(nice_now + NICER_BY, 19));
}

/* Give the shadow its pages now, so that the first copy need not wait for
 * them. */
static void
touch(struct writer *w)
{
	for (size_t at = 0; at < w->map_bytes; at += PAGE)
		((volatile char *)w->map)[at] = 0;
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;

	must_be(w, WRITER_TAG);
	set_up_thread();
	touch(w);
	pthread_mutex_lock(&w->lock);
	w->touched = true;
	pthread_cond_broadcast(&w->changed);
	for (;;) {
		while (w->state != FULL && w->state != LEAVE)
			pthread_cond_wait(&w->changed, &w->lock);
		if (w->state == LEAVE)
			break;
		pthread_mutex_unlock(&w->lock);
		write_one(w);
		pthread_mutex_lock(&w->lock);
		w->state = DONE;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int
start_thread(struct writer *w)
{
	pthread_condattr_t a;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &a);
	pthread_condattr_destroy(&a);
	return rk_thread_start(&w->thread, writer_main, w);
}

static void
dispose(struct writer *w)
{
	tensor_set_free(w->model_set);
	tensor_set_free(w->optim_set);
	free(w->shared);
	free(w->split);
	free(w->classes);
	free(w->vocabulary);
	if (w->map != NULL)
		munmap(w->map, w->map_bytes);
	free(w);
}

enum rk_err
writer_new(struct writer **wp, struct ckpt *c, struct nn *n, struct optim *o,
    struct optim_ema *ema, const struct spec_checkpoint *keep, int metrics_fd,
    const char *split, const char *classes, const char *vocabulary)
{
	struct writer *w = xcalloc(1, sizeof(*w));

	w->tag = WRITER_TAG;
	w->ckpt = c;
	w->keep = *keep;
	w->metrics_fd = metrics_fd;
	w->nn = n;
	w->optim = o;
	w->average = ema;
	nn_params(n, &w->nparams);
	nn_buffers(n, &w->nbuffers);
	w->nslots = optim_slots(o);
	must(w->nslots < MAX_SHADOWS);
	if (map_shadow(w) != RK_OK) {
		dispose(w);
		return RK_ENOMEM;
	}
	w->split = split != NULL ? xstrdup(split) : NULL;
	w->classes = classes != NULL ? xstrdup(classes) : NULL;
	w->vocabulary = vocabulary != NULL ? xstrdup(vocabulary) : NULL;
	choose_shared(w);
	if (start_thread(w) != 0) {
		dispose(w);
		return RK_ENOMEM;
	}
	*wp = w;
	return RK_OK;
}

void
writer_stop(struct writer **wp)
{
	struct writer *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	must_be(w, WRITER_TAG);
	pthread_mutex_lock(&w->lock);
	while (w->state == FULL)
		pthread_cond_wait(&w->changed, &w->lock);
	if (w->state == DONE)
		ckpt_info_fini(&w->job.info);
	w->state = LEAVE;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	dispose(w);
}

/* --- the main thread's side ----------------------------------------------- */

bool
writer_is_free(struct writer *w)
{
	must_be(w, WRITER_TAG);
	pthread_mutex_lock(&w->lock);
	bool is = w->state == FREE && w->touched;
	pthread_mutex_unlock(&w->lock);
	return is;
}

void
writer_submit(struct writer *w, struct ckpt_info *info, const char *name)
{
	int64_t n;

	must_be(w, WRITER_TAG);
	if (w->nbuffers > 0)
		memcpy(w->buffers, nn_buffers(w->nn, &n),
		    (size_t)w->nbuffers * sizeof(float));
	pthread_mutex_lock(&w->lock);
	must(w->state == FREE);
	w->job = (struct writer_result){ .info = *info };
	choose_shared(w);
	snprintf(w->job.name, sizeof(w->job.name), "%s", name);
	*info = (struct ckpt_info){0};
	w->state = FULL;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

bool
writer_collect(struct writer *w, struct writer_result *res)
{
	must_be(w, WRITER_TAG);
	pthread_mutex_lock(&w->lock);
	bool is = w->state == DONE;
	if (is) {
		*res = w->job;
		w->job = (struct writer_result){0};
		w->state = FREE;
	}
	pthread_mutex_unlock(&w->lock);
	return is;
}

bool
writer_wait(struct writer *w, int ms)
{
	struct timespec until;
	int e = 0;

	must_be(w, WRITER_TAG);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&w->lock);
	while ((w->state == FULL || !w->touched) && e == 0)
		e = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	bool is = w->state != FULL && w->touched;
	pthread_mutex_unlock(&w->lock);
	return is;
}
