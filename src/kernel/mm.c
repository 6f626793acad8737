/*
 * The matrix product, cut into tiles of C.
 *
 *	job        way, depth of a block of K, tiles, parts of K
 *	stretch    of K: as much as fits MM_SHARED when it is packed for all
 *	           tiles; the others are packed by who computes the tile
 *	    pack   pieces of the team
 *	    tiles  pieces of the team
 *	parts      where K was cut: their sums, in order
 *
 * Inside a piece of another job, and on a thread that is not the team's, a
 * product is one tile.
 */
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "loops.h"
#include "mm.h"
#include "team.h"

const char *const kernel_mm_words[KERNEL_MM_WAYS] = { "own", "openblas",
	"onednn" };

static float *shared;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_shared(void)
{
	/* Pages that no product is large enough for are never touched.
	 * Without it, who computes a tile packs for it alone. */
	shared = kernel_alloc((size_t)MM_SHARED * sizeof(*shared));
}

void
kernel_mm_init(void)
{
	pthread_once(&once, make_shared);
}

static double
flop(const struct kernel_mm *p)
{
	return 2.0 * (double)p->M * (double)p->N * (double)p->K;
}

/* Whether the tiles are as small as they may be. */
static bool
is_cut(const struct mm_job *j, double tiles, double want)
{
	if (tiles >= want)
		return true;
	/* A long K is rather cut into parts than read by many tiles. */
	if (j->p->K >= 2048 && j->tn <= 64 && j->tm <= 96)
		return true;
	return j->tn <= 32 && (j->tm <= 12 || (j->tm <= 96 && tiles >= 8));
}

/*
 * Tiles by shape alone.  A tile is worth handing out from some 150 kFLOP on
 * (a few microseconds); the longer side is halved until there are enough tiles,
 * four at least where it pays, and from 64 tiles on bigger rather than more
 * ones.  Up to 256 rows stay together: the panels of a tile's columns are then
 * packed for that tile only.
 */
static void
cut(struct mm_job *j, int64_t batch)
{
	const struct kernel_mm *p = j->p;
	const double all = flop(p) * (double)batch;
	double want = all / 6e6;

	if (want > 64)
		want = RK_MAX(64, all / 100e6);
	else
		want = RK_MAX(want, all >= 1e6 ? 4 : all >= 3e5 ? 2 : 1);
	j->tm = p->M;
	j->tn = p->N;
	for (;;) {
		j->down = (p->M + j->tm - 1) / j->tm;
		j->across = (p->N + j->tn - 1) / j->tn;
		if (is_cut(j, (double)(batch * j->down * j->across), want))
			break;
		if (j->tn > (j->tm <= 256 ? 32 : 64) &&
		    (j->tm <= 256 || j->tn >= j->tm))
			j->tn = RK_ROUND_UP(j->tn / 2, 32);
		else if (j->tm > 12)
			j->tm = RK_ROUND_UP(j->tm / 2, 12);
		else
			j->tn = RK_ROUND_UP(j->tn / 2, 32);
	}
}

/*
 * What is packed once for all tiles, and how much of K at a time: B where it
 * would be packed for several rows of tiles, A where it would be for several
 * columns of them, but for what lies well, and for rows that a second-level
 * cache holds as they lie (those a multiple of 2 KiB apart fall into one set of
 * the first-level one).
 */
static void
share(struct mm_job *j)
{
	const struct kernel_mm *p = j->p;
	const bool b = j->down > 1 && !kernel_mm_b_lies_well(p);
	const bool a = j->across > 1 && !kernel_mm_a_lies_well(p) &&
	    (p->ta ? p->K > 64 : p->M * p->K > 128 * 1024 ||
	    p->lda % 512 == 0);

	if (j->way != KERNEL_MM_OWN || shared == NULL || flop(p) < 8e6 ||
	    !(a || b))
		return;
	const int64_t each = (b ? kernel_mm_panel_floats(p, j->depth) : 0) +
	    (a ? kernel_mm_strip_floats(p, j->depth) : 0);
	const int64_t blocks = MM_SHARED / each;
	if (blocks == 0)
		return;
	j->part = RK_MIN(j->part, blocks * j->depth);
	j->panels = b ? shared : NULL;
	j->strips = a ? shared + (b ? kernel_mm_panel_floats(p, j->part) : 0) :
	    NULL;
}

/*
 * K is cut where there are fewer tiles than a team could use and a part is long
 * enough to be worth its sums in memory.
 */
static void
cut_depth(struct mm_job *j)
{
	const struct kernel_mm *p = j->p;
	const int64_t tiles = j->down * j->across;
	const int64_t parts = RK_MIN(RK_MIN(16 / tiles, p->K / 1024),
	    MM_SHARED / RK_MAX(1, p->M * p->N));

	if (parts < 2 || flop(p) < 4e6 || shared == NULL)
		return;
	j->part = RK_ROUND_UP((p->K + parts - 1) / parts, j->depth);
	j->parts = (p->K + j->part - 1) / j->part;
	if (j->parts > 1)
		j->sums = shared;
}

static void
tile_piece(void *ctx, size_t i)
{
	const struct mm_job *j = ctx;
	const struct kernel_mm *p = j->p;
	const int64_t tiles = j->down * j->across, at = (int64_t)i % tiles;
	/* Of the parts of K where there are several, else of the batch. */
	const int64_t item = (int64_t)i / tiles;
	struct mm_tile t = { .r = at / j->across * j->tm,
		.c = at % j->across * j->tn, .k0 = j->k0, .k1 = j->k1,
		.ldc = p->ldc, .add = p->add || j->k0 > 0 };

	t.m = RK_MIN(j->tm, p->M - t.r);
	t.n = RK_MIN(j->tn, p->N - t.c);
	t.C = p->C + item * p->stepC + t.r * p->ldc + t.c;
	const float *A = p->A + item * p->stepA, *B = p->B + item * p->stepB;
	if (j->sums != NULL) {
		A = p->A;
		B = p->B;
		t.k0 = item * j->part;
		t.k1 = RK_MIN(p->K, t.k0 + j->part);
		t.C = j->sums + item * p->M * p->N + t.r * p->N + t.c;
		t.ldc = p->N;
		t.add = false;
	}
	if (j->way == KERNEL_MM_OWN) {
		kernel_mm_own(j, &t, A, B);
		return;
	}
	kernel_mm_lib(j->way, p, &t, A, B);
	if (j->sums == NULL && kernel_mm_ends(p))
		kernel_mm_end(p, item * p->stepC, t.r, t.c, t.m, t.n);
}

/* Row i of C from the parts' sums. */
static void
sum_piece(void *ctx, size_t i)
{
	const struct mm_job *j = ctx;
	const struct kernel_mm *p = j->p;
	const size_t n = (size_t)p->N;
	float *y = p->C + (int64_t)i * p->ldc;

	for (int64_t part = 0; part < j->parts; part++) {
		const float *s = j->sums + (part * p->M + (int64_t)i) * p->N;
		if (part == 0 && !p->add)
			memcpy(y, s, n * sizeof(*y));
		else
			kernel_loops()->add(y, s, n);
	}
	if (kernel_mm_ends(p))
		kernel_mm_end(p, 0, (int64_t)i, 0, 1, p->N);
}

void
kernel_mm_by(enum kernel_mm_way way, const struct kernel_mm *p)
{
	const int64_t batch = RK_MAX(1, p->batch);
	struct mm_job j = { .p = p, .way = way, .tm = p->M, .tn = p->N,
		.down = 1, .across = 1, .parts = 1, .part = p->K,
		.depth = kernel_mm_depth(p->K) };

	must(p->M >= 0 && p->N >= 0 && p->K >= 0 && p->K <= INT_MAX);
	must(p->lda <= INT_MAX && p->ldb <= INT_MAX && p->ldc <= INT_MAX);
	must(!p->add || !kernel_mm_ends(p));
	if (p->M == 0 || p->N == 0)
		return;
	if (p->K == 0)
		j.way = KERNEL_MM_OWN;
	if (kernel_is_owner()) {
		cut(&j, batch);
		if (batch == 1) {
			cut_depth(&j);
			if (j.parts == 1)
				share(&j);
		}
	}
	must(j.tm <= INT_MAX && j.tn <= INT_MAX);
	const size_t pieces = (size_t)(j.down * j.across *
	    (j.sums != NULL ? j.parts : batch));
	if (j.sums != NULL) {
		kernel_for(pieces, tile_piece, &j);
		kernel_for((size_t)p->M, sum_piece, &j);
		return;
	}
	do {
		j.k1 = RK_MIN(p->K, j.k0 + j.part);
		if (j.panels != NULL || j.strips != NULL)
			kernel_mm_pack(&j);
		kernel_for(pieces, tile_piece, &j);
		j.k0 = j.k1;
	} while (j.k0 < p->K);
}

void
kernel_mm(const struct kernel_mm *p)
{
	kernel_mm_by(kernel_gemm_way(), p);
}

bool
kernel_mm_rows_alike(void)
{
	return kernel_gemm_way() == KERNEL_MM_OWN;
}

void
kernel_sgemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K,
    const float *A, int64_t lda, const float *B, int64_t ldb, float beta,
    float *C, int64_t ldc)
{
	must(beta == 0 || beta == 1);
	kernel_mm(&(struct kernel_mm){ .ta = ta, .tb = tb, .M = M, .N = N,
	    .K = K, .A = A, .lda = lda, .B = B, .ldb = ldb, .add = beta == 1,
	    .C = C, .ldc = ldc });
}

void
kernel_linear(int64_t M, int64_t N, int64_t K, const float *x, const float *w,
    const float *b, bool relu, float *y)
{
	kernel_mm(&(struct kernel_mm){ .tb = true, .M = M, .N = N, .K = K,
	    .A = x, .lda = K, .B = w, .ldb = K, .C = y, .ldc = N, .bias = b,
	    .act.act = relu ? KERNEL_RELU : KERNEL_NO_ACT });
}
