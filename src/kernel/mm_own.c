/*
 * A tile of a product by the micro-kernel.
 *
 *	for each block of K              (MM_DEPTH at most: a panel in L1)
 *	    for each MM_COLUMNS columns  panels of B: shared, where it lies, or
 *	                                 packed here
 *	        for each MM_ROWS rows    A: shared strips, where it lies, or
 *	            micro-kernel         packed here; MM_ROWS x MM_DEPTH in L2
 *	            end                  after the last block of K
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "micro.h"
#include "mm.h"

#define PANEL_FLOATS (MM_DEPTH * MM_COLUMNS)
#define STRIP_FLOATS (MM_DEPTH * MM_ROWS)
#define FEW_ROWS     96

static pthread_key_t mine_key;
static pthread_once_t mine_once = PTHREAD_ONCE_INIT;

static void
make_key(void)
{
	must(pthread_key_create(&mine_key, free) == 0);
}

struct mm_mine
kernel_mm_mine(void)
{
	static _Thread_local float *mine;

	if (mine == NULL) {
		pthread_once(&mine_once, make_key);
		/* Freed when the thread ends. */
		mine = aligned_alloc(64, (PANEL_FLOATS + STRIP_FLOATS) *
		    sizeof(*mine));
		must(mine != NULL && pthread_setspecific(mine_key, mine) == 0);
	}
	return (struct mm_mine){ mine, mine + PANEL_FLOATS };
}

/* As few blocks as MM_DEPTH allows, of nearly the same depth. */
int64_t
kernel_mm_depth(int64_t K)
{
	const int64_t blocks = (K + MM_DEPTH - 1) / MM_DEPTH;

	return blocks == 0 ? MM_DEPTH : RK_ROUND_UP((K + blocks - 1) / blocks, 8);
}

int64_t
kernel_mm_strip_floats(const struct kernel_mm *p, int64_t k)
{
	return RK_ROUND_UP(p->M, MICRO_M) * k;
}

int64_t
kernel_mm_panel_floats(const struct kernel_mm *p, int64_t k)
{
	return RK_ROUND_UP(p->N, MICRO_N) * k;
}

/*
 * With AVX-512 a k has so many multiply-adds that what they read comes from the
 * second-level cache in the time, and packing only costs.  But not where rows
 * lie so far apart that those of a strip, or the k of a panel, fall into one or
 * two sets of the first-level cache: for rows of A a multiple of 4 KiB, for
 * columns of it, of which each k is in another row, one of 2 KiB in either
 * operand.  Rows of B have to begin with a cache line, too.
 */
static bool
has_time(void)
{
	return strcmp(kernel_micro_word(), "avx512") == 0;
}

bool
kernel_mm_a_lies_well(const struct kernel_mm *p)
{
	if (p->ta)
		return has_time() && p->lda % 512 != 0 &&
		    (p->tb || p->ldb % 512 != 0);
	return has_time() && p->lda % 1024 != 0;
}

bool
kernel_mm_b_lies_well(const struct kernel_mm *p)
{
	return has_time() && !p->tb && p->ldb % MICRO_N == 0 &&
	    p->ldb % 1024 != 0;
}

/* Rows r to r+m of op(A) in columns k to k+kc, as strips. */
static void
pack_a(const struct kernel_mm *p, const float *A, int64_t r, int64_t m,
    int64_t k, int64_t kc, float *strips)
{
	kernel_micro_strips(p->ta, m, kc,
	    A + (p->ta ? k * p->lda + r : r * p->lda + k), p->lda, strips);
}

static void
pack_b(const struct kernel_mm *p, const float *B, int64_t c, int64_t n,
    int64_t k, int64_t kc, float *panels)
{
	kernel_micro_panels(p->tb, kc, n,
	    B + (p->tb ? c * p->ldb + k : k * p->ldb + c), p->ldb, panels);
}

/*
 * Whether rows of op(A) are better packed than read where they lie: columns of
 * A take of each cache line only what one strip needs and touch a page for each
 * k, and rows that are a multiple of 1 KiB apart fall into the same few sets of
 * a cache.  It pays from some number of columns of C on.
 */
static bool
scattered(const struct kernel_mm *p, int64_t m, int64_t n, int64_t kc)
{
	if (kernel_mm_a_lies_well(p))
		return false;
	if (p->ta)
		return m > MICRO_M && n > 4 * MICRO_N && kc > 64;
	return m > 32 && n > 4 * MICRO_N;
}

static void
set_a(struct micro *u, const struct mm_job *j, const float *A, int64_t r,
    int64_t k, bool pack, float *strips)
{
	const struct kernel_mm *p = j->p;

	if (j->strips != NULL || pack) {
		u->kind = MICRO_PACKED;
		u->lda = u->K * MICRO_M;
		u->A = strips;
		if (j->strips != NULL)
			u->A = j->strips + kernel_mm_strip_floats(p,
			    k - j->k0) + r / MICRO_M * u->lda;
		else
			pack_a(p, A, r, u->m, k, u->K, strips);
	} else {
		u->kind = p->ta ? MICRO_COLUMNS : MICRO_ROWS;
		u->lda = p->lda;
		u->A = A + (p->ta ? k * p->lda + r : r * p->lda + k);
	}
}

/*
 * Columns c to c+n of op(B).  Few rows of C are not worth packing rows of B;
 * only whole panels are read where they lie, for what is behind the last column
 * may not be there.
 */
static void
set_b(struct micro *u, const struct mm_job *j, const float *B, int64_t c,
    int64_t n, int64_t k, float *panels)
{
	const struct kernel_mm *p = j->p;

	u->n = n;
	u->ldb = u->K * MICRO_N;
	u->step = MICRO_N;
	u->B = panels;
	if (j->panels != NULL) {
		u->B = j->panels + kernel_mm_panel_floats(p, k - j->k0) +
		    c / MICRO_N * u->ldb;
	} else if (!p->tb && n >= MICRO_N && (j->tm <= FEW_ROWS ||
	    p->K <= FEW_ROWS || kernel_mm_b_lies_well(p))) {
		u->n = n / MICRO_N * MICRO_N;
		u->B = B + k * p->ldb + c;
		u->ldb = MICRO_N;
		u->step = p->ldb;
	} else {
		pack_b(p, B, c, n, k, u->K, panels);
	}
}

/* C (+)= the transpose of m x n sums, whose rows are MICRO_N apart. */
static void
put_turned(const float *sums, int64_t m, int64_t n, bool add, float *C,
    int64_t ldc)
{
	for (int64_t r = 0; r < n; r++, C += ldc)
		for (int64_t i = 0; i < m; i++)
			C[i] = add ? C[i] + sums[i * MICRO_N + r] :
			    sums[i * MICRO_N + r];
}

/*
 * Up to 16 rows of C by the rows of B, which need no packing then: the
 * transpose of the tile, op(B)^T op(A)^T, whose only panel is op(A)^T.
 */
static void
few_rows(const struct mm_job *j, const struct mm_tile *t, const float *A,
    const float *B)
{
	const struct kernel_mm *p = j->p;
	const struct mm_mine mine = kernel_mm_mine();
	float *sums = mine.strips;
	struct micro u = { .n = t->m, .B = mine.panels, .lda = p->ldb,
		.C = sums, .ldc = MICRO_N };

	for (int64_t k = t->k0; k < t->k1; k += j->depth) {
		u.K = RK_MIN(j->depth, t->k1 - k);
		kernel_micro_panels(!p->ta, u.K, t->m, A + (p->ta ?
		    k * p->lda + t->r : t->r * p->lda + k), p->lda,
		    mine.panels);
		for (int64_t c = 0; c < t->n; c += MM_ROWS) {
			u.m = RK_MIN(MM_ROWS, t->n - c);
			u.A = B + (t->c + c) * p->ldb + k;
			kernel_micro()(&u);
			put_turned(sums, u.m, t->m, t->add || k > t->k0,
			    t->C + c, t->ldc);
		}
	}
}

static void
tile(const struct mm_job *j, const struct mm_tile *t, const float *A,
    const float *B, bool end)
{
	const struct kernel_mm *p = j->p;
	micro_fn *micro = kernel_micro();
	const struct mm_mine mine = kernel_mm_mine();
	struct micro u = { .ldc = t->ldc };

	for (int64_t k = t->k0; k < t->k1 || k == t->k0; k += j->depth) {
		u.K = RK_MIN(j->depth, t->k1 - k);
		u.add = t->add || k > t->k0;
		const bool pack = scattered(p, t->m, t->n, u.K);
		for (int64_t c = 0; c < t->n; c += u.n) {
			set_b(&u, j, B, t->c + c, RK_MIN(MM_COLUMNS, t->n - c),
			    k, mine.panels);
			for (int64_t r = 0; r < t->m; r += MM_ROWS) {
				u.m = RK_MIN(MM_ROWS, t->m - r);
				set_a(&u, j, A, t->r + r, k, pack, mine.strips);
				u.C = t->C + r * t->ldc + c;
				micro(&u);
				if (end && k + u.K == t->k1)
					kernel_mm_end(p, t->C - p->C -
					    t->r * p->ldc - t->c, t->r + r,
					    t->c + c, u.m, u.n);
			}
		}
	}
}

void
kernel_mm_own(const struct mm_job *j, const struct mm_tile *t, const float *A,
    const float *B)
{
	const struct kernel_mm *p = j->p;
	const bool end = j->sums == NULL && t->k1 == p->K && kernel_mm_ends(p);

	if (!p->tb || t->m < 12 || t->m > MICRO_N || t->k0 == t->k1 ||
	    j->panels != NULL) {
		tile(j, t, A, B, end);
		return;
	}
	few_rows(j, t, A, B);
	if (end)
		kernel_mm_end(p, t->C - p->C - t->r * p->ldc - t->c, t->r, t->c,
		    t->m, t->n);
}

/* Pieces of packing: 8 panels or 32 strips of a block of K. */
struct packing {
	const struct mm_job *j;
	int64_t blocks, of_b, of_a;     /* pieces of a block */
};
#define PACK_COLUMNS (8 * MICRO_N)
#define PACK_ROWS    (32 * MICRO_M)

static void
pack_piece(void *ctx, size_t i)
{
	const struct packing *w = ctx;
	const struct mm_job *j = w->j;
	const struct kernel_mm *p = j->p;
	const int64_t each = w->of_a + w->of_b;
	const int64_t k = j->k0 + (int64_t)i / each * j->depth;
	const int64_t kc = RK_MIN(j->depth, j->k1 - k);
	int64_t at = (int64_t)i % each;

	if (at < w->of_b) {
		at *= PACK_COLUMNS;
		pack_b(p, p->B, at, RK_MIN(PACK_COLUMNS, p->N - at), k, kc,
		    j->panels + kernel_mm_panel_floats(p, k - j->k0) + at * kc);
	} else {
		at = (at - w->of_b) * PACK_ROWS;
		pack_a(p, p->A, at, RK_MIN(PACK_ROWS, p->M - at), k, kc,
		    j->strips + kernel_mm_strip_floats(p, k - j->k0) + at * kc);
	}
}

void
kernel_mm_pack(const struct mm_job *j)
{
	struct packing w = { .j = j,
		.blocks = (j->k1 - j->k0 + j->depth - 1) / j->depth,
		.of_b = j->panels == NULL ? 0 :
		    (j->p->N + PACK_COLUMNS - 1) / PACK_COLUMNS,
		.of_a = j->strips == NULL ? 0 :
		    (j->p->M + PACK_ROWS - 1) / PACK_ROWS };

	kernel_for((size_t)(w.blocks * (w.of_a + w.of_b)), pack_piece, &w);
}
