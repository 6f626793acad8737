/*
 * A step allocates nothing: the calls of malloc and its kind, of mmap and munmap
 * that anything in this process makes, libraries too (but for u_mallocs.h), are
 * counted while networks of each family are trained.  This program's own functions take the place of
 * libc's for all of it, so there is none of this where a sanitizer does the same.
 */
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "rekindle/kernel.h"
#include "rekindle/nn.h"
#include "rekindle/optim.h"
#include "t.h"
#include "u_mallocs.h"

#define FRAMES  16
#define THREADS 3

static _Atomic bool counting;
static _Atomic int calls;
/* Of the first: who it was. */
static void *frames[FRAMES];
static _Atomic int nframes;

#if !RK_SANITIZED
static void
count(const void *caller)
{
	if (!atomic_load(&counting) || is_onednns(caller))
		return;
	if (atomic_fetch_add(&calls, 1) == 0) {
		atomic_store(&counting, false); /* backtrace() may ask too */
		nframes = backtrace(frames, FRAMES);
		atomic_store(&counting, true);
	}
}

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

void *
malloc(size_t n)
{
	count(__builtin_return_address(0));
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	count(__builtin_return_address(0));
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	count(__builtin_return_address(0));
	return __libc_realloc(p, n);
}

void
free(void *p)
{
	if (p != NULL)
		count(__builtin_return_address(0));
	__libc_free(p);
}

void *
memalign(size_t align, size_t n)
{
	count(__builtin_return_address(0));
	return __libc_memalign(align, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
	count(__builtin_return_address(0));
	return __libc_memalign(align, n);
}

int
posix_memalign(void **p, size_t align, size_t n)
{
	count(__builtin_return_address(0));
	*p = __libc_memalign(align, n);
	return *p != NULL ? 0 : ENOMEM;
}

void *
mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	count(__builtin_return_address(0));
	return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

int
munmap(void *p, size_t n)
{
	count(__builtin_return_address(0));
	return (int)syscall(SYS_munmap, p, n);
}
#endif

/* --- networks ------------------------------------------------------------- */

struct net {
	struct spec *spec;
	struct nn *nn;
	struct optim *optim;
	int64_t n, rows;
	int32_t y[64];
};

static void
build(struct net *t, const char *model, const char *training,
    const char *data, enum nn_dtype dtype, int ndim, const int64_t *d,
    int64_t rows)
{
	char *text = xasprintf("{name: x, model: %s, training: {epochs: 1, "
	    "%s}, data: {train: {type: synthetic, samples: 9, %s}}}", model,
	    training, data);
	struct rk_why why = { 0 };

	*t = (struct net){ .rows = rows };
	if (spec_parse_text(text, strlen(text), true, &t->spec, &why) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&why));
	free(text);
	struct nn_want w = { .model = &t->spec->model,
		.loss = &t->spec->training.loss, .dtype = dtype, .ndim = ndim,
		.batch = rows, .memory_limit = (uint64_t)1 << 32, .fast = true };
	memcpy(w.d, d, (size_t)ndim * sizeof(*d));
	if (nn_build(&t->nn, &w, &why) != RK_OK)
		t_fail("%s: %s", model, rk_why_first(&why));
	nn_init(t->nn, 7);
	(void)nn_params(t->nn, &t->n);
	t_check(optim_new(&t->optim, &t->spec->training.optim, t->n) == RK_OK);
	int64_t one = 1;
	for (int k = 0; k < ndim; k++)
		one *= d[k];
	for (int64_t i = 0; i < rows * one; i++) {
		const uint32_t r = rk_draw_u32(5, 5, 5, (uint64_t)i);
		if (dtype == NN_I32)
			nn_input_ids(t->nn)[i] = (int32_t)(r % 50);
		else
			nn_input(t->nn)[i] = (float)(r % 2001) / 1000 - 1;
	}
	for (int64_t i = 0; i < rows; i++)
		t->y[i] = (int32_t)(i % 2);
}

static void
step(struct net *t, int64_t k)
{
	const struct nn_step s = { .rows = t->rows, .all = t->rows,
		.seed = 3, .step = k };
	struct nn_result r;
	int64_t n;

	nn_zero_grads(t->nn);
	nn_forward(t->nn, &s, true);
	nn_loss(t->nn, t->y, NULL, &r);
	nn_backward(t->nn);
	optim_clip(t->optim, nn_grads(t->nn), 1);
	optim_step(t->optim, nn_params(t->nn, &n), nn_grads(t->nn), k + 1,
	    1e-3, NULL);
}

/* OpenBLAS keeps as many buffers as there were ever products at a time, so one
 * more may come whenever threads happen to meet: ask for all of them now. */
static void
warm_openblas(void)
{
	union {
		void *p;
		void *(*fn)(int);
	} get = { dlsym(RTLD_DEFAULT, "blas_memory_alloc") };
	union {
		void *p;
		void (*fn)(void *);
	} put = { dlsym(RTLD_DEFAULT, "blas_memory_free") };
	void *v[THREADS];

	for (int i = 0; get.p != NULL && put.p != NULL && i < THREADS; i++)
		v[i] = get.fn(0);
	for (int i = 0; get.p != NULL && put.p != NULL && i < THREADS; i++)
		put.fn(v[i]);
}

static _Atomic int here;

/* Each thread has one: it ends when all have begun. */
static void
meet_piece(void *ctx, size_t i)
{
	(void)ctx;
	(void)i;
	atomic_fetch_add(&here, 1);
	while (atomic_load(&here) < kernel_threads())
		;
}

/* The first two steps may, and a thread as it begins: what is made once. */
static void
warm_up(struct net *t)
{
	void *warm[2];

	(void)backtrace(warm, 2);               /* loads a library */
	atomic_store(&here, 0);
	kernel_for((size_t)kernel_threads(), meet_piece, NULL);
	warm_openblas();
	for (int64_t k = 0; k < 2; k++)
		step(t, k);
}

static void
train(struct net *t, const char *what)
{
#if RK_SANITIZED
	t_skip("a sanitizer has malloc");
#endif
	warm_up(t);
	atomic_store(&counting, true);
	for (int64_t k = 2; k < 10; k++)
		step(t, k);
	atomic_store(&counting, false);
	if (calls > 0) {
		fflush(stdout);
		backtrace_symbols_fd(frames, nframes, STDOUT_FILENO);
		t_fail("steps 3 to 10 of %s allocate or free %d times", what,
		    (int)calls);
	}
	optim_free(t->optim);
	nn_free(t->nn);
	spec_free(t->spec);
}

#define ADAM "optimizer: adam"
#define SGD  "optimizer: {type: sgd, learning_rate: 0.1, momentum: 0.9}"

/* One thread and three, since each has its own state of the libraries. */
static void
check(const char *gemm, const char *what, const char *model,
    const char *training, const char *data, enum nn_dtype dtype, int ndim,
    const int64_t *d, int64_t rows)
{
	static const int threads[] = { 1, THREADS };
	struct net t;

	if (gemm != NULL)
		t_check(setenv("REKINDLE_GEMM", gemm, 1) == 0);
	else if (strstr(kernel_backend(), "avx") == NULL)
		t_skip("without AVX2 convolutions are oneDNN's, which puts "
		    "the arguments of each call on the heap");
	for (size_t i = 0; i < RK_ARRAY_LEN(threads); i++) {
		t_check(kernel_init(threads[i]) == RK_OK);
		build(&t, model, training, data, dtype, ndim, d, rows);
		train(&t, what);
		kernel_fini();
	}
}

/* As it is chosen for this CPU, and with OpenBLAS alone.  oneDNN's product, the
 * third setting, allocates in each call. */
#define CASES(name, ...)                                                  \
	T_CASE(a_step_of_##name##_allocates_nothing)                      \
	{                                                                 \
		check(NULL, #name, __VA_ARGS__);                          \
	}                                                                 \
	T_CASE(a_step_of_##name##_allocates_nothing_with_openblas)        \
	{                                                                 \
		check("openblas", #name, __VA_ARGS__);                    \
	}

static const int64_t flat[] = { 784 }, digit[] = { 1, 28, 28 };
static const int64_t image[] = { 3, 32, 32 }, sequence[] = { 24 };

CASES(mlp, "{arch: mlp, sizes: [784, 256, 10]}", ADAM, "shape: [784]", NN_F32,
    1, flat, 64)
CASES(lenet5, "{arch: lenet5}", ADAM, "shape: [1, 28, 28]", NN_F32, 3, digit,
    16)
CASES(resnet20, "{arch: resnet20}", SGD, "shape: [3, 32, 32]", NN_F32, 3,
    image, 4)
CASES(mobilenet_v2, "{arch: mobilenet_v2, classes: 10}", SGD,
    "shape: [3, 32, 32]", NN_F32, 3, image, 4)
CASES(bert, "{arch: bert, vocabulary: 50, hidden: 48, depth: 2, heads: 4, "
    "intermediate: 96, positions: 32}", ADAM,
    "tokens: 24, vocabulary: 50, classes: 2", NN_I32, 1, sequence, 6)

T_MAIN
