/* Copies, broadcasts, rows of a table: what goes where, and the way back. */
#include "kernel_double.h"

static struct both X, B2, DY;
static double *Y, *DX, *DB;

static void
begin(size_t nx, size_t nb, size_t ny)
{
	X = both(nx, 1);
	B2 = both(nb, 2);
	DY = both(ny, 3);
	Y = xcalloc(ny, sizeof(*Y));
	DX = xcalloc(nx, sizeof(*DX));
	DB = xcalloc(nb, sizeof(*DB));
}

static void
end(void)
{
	both_free(&X);
	both_free(&B2);
	both_free(&DY);
	free(Y);
	free(DX);
	free(DB);
}

/* --- slice, place --------------------------------------------------------- */

static size_t OUTER, D, INNER, FROM, LEN;

static void
run_slice(float *y, bool add)
{
	kernel_slice(OUTER, D, INNER, FROM, LEN, X.f, add, y);
}

static double
slice_value(void)
{
	double_copy(OUTER, LEN * INNER, D * INNER, LEN * INNER,
	    X.d + FROM * INNER, false, Y);
	return sum_of_products(Y, DY.d, DY.n);
}

static void
run_slice_back(float *dx, bool add)
{
	if (!add)
		kernel_fill(dx, 0, X.n);
	kernel_place(OUTER, D, INNER, FROM, LEN, DY.f, true, dx);
}

static void
check_slice(size_t outer, size_t d, size_t inner, size_t from, size_t len)
{
	OUTER = outer;
	D = d;
	INNER = inner;
	FROM = from;
	LEN = len;
	begin(outer * d * inner, 1, outer * len * inner);
	double_copy(outer, len * inner, len * inner, d * inner, DY.d, true,
	    DX + from * inner);
	if (X.n < 500)
		check_slopes("dx", X.d, X.n, DX, slice_value);
	for (size_t i = 0; i < DY.n; i++)
		Y[i] = X.d[(i / (len * inner) * d + from) * inner +
		    i % (len * inner)];
	check_float("slice", Y, DY.n, 0, true, run_slice);
	check_float("its gradient", DX, X.n, 0, true, run_slice_back);
	end();
}

T_CASE(slices_and_their_gradients)
{
	check_slice(3, 5, 4, 1, 3);
	check_slice(1, 7, 1, 6, 1);
	check_slice(40, 30, 50, 0, 11);
}

T_CASE(concatenation_puts_each_input_in_its_place)
{
	float y[2][5], a[2][2] = { { 1, 2 }, { 3, 4 } };
	float b[2][3] = { { 5, 6, 7 }, { 8, 9, 10 } }, db[2][3];
	static const float want[2][5] = { { 1, 2, 5, 6, 7 },
		{ 3, 4, 8, 9, 10 } };

	kernel_place(2, 5, 1, 0, 2, a[0], false, y[0]);
	kernel_place(2, 5, 1, 2, 3, b[0], false, y[0]);
	t_check(memcmp(y, want, sizeof(y)) == 0);
	kernel_slice(2, 5, 1, 2, 3, y[0], false, db[0]);
	t_check(memcmp(db, b, sizeof(b)) == 0);
	/* Padding: what is around stays. */
	kernel_fill(y[0], -1, 10);
	kernel_place(2, 5, 1, 2, 2, a[0], false, y[0]);
	t_check(y[0][0] == -1 && y[0][2] == 1 && y[1][3] == 4 &&
	    y[1][4] == -1);
	t_aborts(kernel_slice(1, 3, 1, 2, 2, a[0], false, b[0]));
}

/* --- transpose ------------------------------------------------------------ */

static int NDIM, ORDER[KERNEL_DIMS], INVERSE[KERNEL_DIMS];
static int64_t SHAPE[KERNEL_DIMS], TURNED[KERNEL_DIMS];

static void
run_transpose(float *y, bool add)
{
	kernel_transpose(NDIM, SHAPE, ORDER, X.f, add, y);
}

static void
run_transpose_back(float *dx, bool add)
{
	kernel_transpose(NDIM, TURNED, INVERSE, DY.f, add, dx);
}

/* The place in y of element i of x. */
static size_t
turned_place(size_t i)
{
	int64_t at[KERNEL_DIMS];
	size_t to = 0;

	for (int k = NDIM - 1; k >= 0; k--) {
		at[k] = (int64_t)i % SHAPE[k];
		i /= (size_t)SHAPE[k];
	}
	for (int k = 0; k < NDIM; k++)
		to = to * (size_t)TURNED[k] + (size_t)at[ORDER[k]];
	return to;
}

static void
check_transpose(int ndim, const int64_t *d, const int *order)
{
	size_t n = 1;

	NDIM = ndim;
	for (int i = 0; i < ndim; i++) {
		n *= (size_t)d[i];
		SHAPE[i] = d[i];
		ORDER[i] = order[i];
		INVERSE[order[i]] = i;
		TURNED[i] = d[order[i]];
	}
	begin(n, 1, n);
	for (size_t i = 0; i < n; i++) {
		Y[turned_place(i)] = X.d[i];
		DX[i] = DY.d[turned_place(i)];
	}
	check_float("y", Y, n, 0, true, run_transpose);
	check_float("dx", DX, n, 0, true, run_transpose_back);
	end();
}

T_CASE(dimensions_in_another_order)
{
	static const int64_t d[] = { 3, 4, 2, 5, 6 };
	static const int orders[][5] = { { 0, 1, 2, 3, 4 }, { 0, 4, 3, 2, 1 },
		{ 0, 2, 1, 4, 3 }, { 4, 0, 3, 1, 2 } };

	for (size_t i = 0; i < RK_ARRAY_LEN(orders); i++)
		check_transpose(5, d, orders[i]);
	check_transpose(1, d, (int[]){ 0 });
	check_transpose(3, (int64_t[]){ 20, 70, 30 }, (int[]){ 0, 2, 1 });
	t_aborts(kernel_transpose(2, d, (int[]){ 0, 0 }, NULL, false, NULL));
}

/* --- the shortcut --------------------------------------------------------- */

enum { SB = 3, SC = 4, SH = 5, SW = 7, SOUT = 9, STRIDE = 2 };

static void
run_shortcut(float *y, bool add)
{
	(void)add;
	kernel_shortcut_a(SB, SC, SH, SW, SOUT, STRIDE, X.f, y);
}

static void
run_shortcut_back(float *dx, bool add)
{
	kernel_shortcut_a_back(SB, SC, SH, SW, SOUT, STRIDE, DY.f, add, dx);
}

T_CASE(every_second_pixel_and_zero_channels_around)
{
	enum { OH = 3, OW = 4 };

	begin(SB * SC * SH * SW, 1, SB * SOUT * OH * OW);
	for (size_t b = 0; b < SB; b++)
	for (size_t c = 0; c < SC; c++)
	for (size_t r = 0; r < OH; r++)
	for (size_t s = 0; s < OW; s++) {
		/* Five channels are new: two before, three behind. */
		size_t to = ((b * SOUT + 2 + c) * OH + r) * OW + s;
		size_t from = ((b * SC + c) * SH + 2 * r) * SW + 2 * s;
		Y[to] = X.d[from];
		DX[from] = DY.d[to];
	}
	check_float("y", Y, DY.n, 0, false, run_shortcut);
	check_float("dx", DX, X.n, 0, true, run_shortcut_back);
	end();
}

/* --- broadcasts ----------------------------------------------------------- */

static int64_t DA[KERNEL_DIMS], DBS[KERNEL_DIMS];

/* The element of b that counts at element i of a. */
static size_t
counts_at(size_t i)
{
	int64_t at[KERNEL_DIMS];
	size_t to = 0;

	for (int k = NDIM - 1; k >= 0; k--) {
		at[k] = (int64_t)i % DA[k];
		i /= (size_t)DA[k];
	}
	for (int k = 0; k < NDIM; k++)
		to = to * (size_t)DBS[k] + (DBS[k] == 1 ? 0 : (size_t)at[k]);
	return to;
}

static void
run_add(float *y, bool add)
{
	(void)add;
	memcpy(y, X.f, X.n * sizeof(*y));
	kernel_broadcast_add(NDIM, DA, DBS, y, B2.f, y);
}

static void
run_add_back(float *db, bool add)
{
	kernel_reduce(NDIM, DA, DBS, DY.f, NULL, add, db);
}

static void
run_multiply(float *y, bool add)
{
	kernel_broadcast_multiply(NDIM, DA, DBS, X.f, B2.f, add, y);
}

static void
run_multiply_da(float *da, bool add)
{
	kernel_broadcast_multiply(NDIM, DA, DBS, DY.f, B2.f, add, da);
}

static void
run_multiply_db(float *db, bool add)
{
	kernel_reduce(NDIM, DA, DBS, DY.f, X.f, add, db);
}

static bool TIMES;

static double
broadcast_value(void)
{
	double sum = 0;

	for (size_t i = 0; i < X.n; i++) {
		double b = B2.d[counts_at(i)];
		sum += DY.d[i] * (TIMES ? X.d[i] * b : X.d[i] + b);
	}
	return sum;
}

static void
broadcast_both_ways(double most)
{
	/* Sums in double of what is float: half an ulp of the result. */
	const double tol = EPS * (1 + sqrt(most));

	for (size_t i = 0; i < X.n; i++)
		Y[i] = X.d[i] + B2.d[counts_at(i)];
	memset(DB, 0, B2.n * sizeof(*DB));
	for (size_t i = 0; i < X.n; i++)
		DB[counts_at(i)] += DY.d[i];
	TIMES = false;
	if (X.n < 1000) {
		check_slopes("a", X.d, X.n, DY.d, broadcast_value);
		check_slopes("b", B2.d, B2.n, DB, broadcast_value);
	}
	check_float("a + b", Y, X.n, EPS, false, run_add);
	check_float("db", DB, B2.n, tol, true, run_add_back);
	memset(DB, 0, B2.n * sizeof(*DB));
	for (size_t i = 0; i < X.n; i++) {
		Y[i] = X.d[i] * B2.d[counts_at(i)];
		DX[i] = DY.d[i] * B2.d[counts_at(i)];
		DB[counts_at(i)] += DY.d[i] * X.d[i];
	}
	TIMES = true;
	if (X.n < 1000) {
		check_slopes("a", X.d, X.n, DX, broadcast_value);
		check_slopes("b", B2.d, B2.n, DB, broadcast_value);
	}
	check_float("a * b", Y, X.n, EPS, true, run_multiply);
	check_float("times da", DX, X.n, EPS, true, run_multiply_da);
	check_float("times db", DB, B2.n, tol, true, run_multiply_db);
}

static void
check_broadcast(int ndim, const int64_t *d, unsigned ones)
{
	size_t n = 1, nb = 1;

	NDIM = ndim;
	for (int i = 0; i < ndim; i++) {
		DA[i] = d[i];
		DBS[i] = ones >> i & 1 ? 1 : d[i];
		n *= (size_t)DA[i];
		nb *= (size_t)DBS[i];
	}
	begin(n, nb, n);
	broadcast_both_ways((double)(n / nb));
	end();
}

T_CASE(broadcasts_of_every_kind)
{
	static const int64_t d[] = { 3, 4, 2, 3, 2 };

	for (unsigned ones = 0; ones < 32; ones++)
		check_broadcast(5, d, ones);
	check_broadcast(1, (int64_t[]){ 1 }, 0);
	check_broadcast(2, (int64_t[]){ 1, 5 }, 1);
}

T_CASE(broadcasts_in_several_pieces)
{
	static const int64_t d[] = { 8, 130, 9, 7 };

	check_broadcast(4, d, 12);      /* [8,130,1,1], as a gate has it */
	check_broadcast(4, d, 0);
	check_broadcast(4, d, 15);
	check_broadcast(3, (int64_t[]){ 6, 50, 140 }, 2);
	check_broadcast(3, (int64_t[]){ 50, 6, 140 }, 3);
}

/* --- rows of a table ------------------------------------------------------ */

enum { TABLE_ROWS = 11, IDS = 500, WIDTH = 150 };
static int32_t IDLIST[IDS];

static void
run_gather(float *y, bool add)
{
	(void)add;
	kernel_gather(WIDTH, IDS, IDLIST, X.f, y);
}

static void
run_gather_back(float *dtable, bool add)
{
	kernel_gather_back(TABLE_ROWS, WIDTH, IDS, IDLIST, 3, DY.f, add,
	    dtable);
}

T_CASE(rows_of_a_table_and_their_sums)
{
	begin(TABLE_ROWS * WIDTH, 1, IDS * WIDTH);
	for (size_t i = 0; i < IDS; i++)
		IDLIST[i] = (int32_t)(rk_draw_u32(1, 2, 3, i) % TABLE_ROWS);
	for (size_t i = 0; i < DY.n; i++) {
		size_t row = (size_t)IDLIST[i / WIDTH];
		Y[i] = X.d[row * WIDTH + i % WIDTH];
		if (row != 3)
			DX[row * WIDTH + i % WIDTH] += DY.d[i];
	}
	check_float("y", Y, DY.n, 0, false, run_gather);
	/* Some 45 numbers below 1 are added up in float. */
	check_float("dtable", DX, X.n, 45 * EPS, true, run_gather_back);
	end();
}

enum { SEGMENT_ROWS = 4, SEQUENCES = 2, LENGTH = 300 };
static int32_t SEGMENT_IDS[SEQUENCES][LENGTH];
static const struct kernel_segments SEGMENTS = { .n = SEQUENCES,
	.length = LENGTH, .rows = SEGMENT_ROWS, .width = WIDTH,
	.ids = &SEGMENT_IDS[0][0], .separator = 7, .padding = 1 };

static void
run_segments(float *y, bool add)
{
	(void)add;
	kernel_segments(&SEGMENTS, X.f, y);
}

static void
run_segments_back(float *dtable, bool add)
{
	kernel_segments_back(&SEGMENTS, DY.f, add, dtable);
}

/* Of the first sequence the fourth separator leads to no further row. */
T_CASE(rows_of_a_table_by_segment_and_their_sums)
{
	begin(SEGMENT_ROWS * WIDTH, 1, SEQUENCES * LENGTH * WIDTH);
	for (size_t s = 0, i = 0; s < SEQUENCES; s++)
		for (size_t t = 0, row = 0; t < LENGTH; t++) {
			const bool ends = s == 0 ? t % 64 == 63 : t % 100 == 10;
			SEGMENT_IDS[s][t] = ends ? 7 : 1;
			for (size_t k = row * WIDTH; k < (row + 1) * WIDTH;
			    k++, i++) {
				Y[i] = X.d[k];
				DX[k] += row != 1 ? DY.d[i] : 0;
			}
			row = RK_MIN(row + ends, (size_t)SEGMENT_ROWS - 1);
		}
	check_float("y", Y, DY.n, 0, false, run_segments);
	/* Some 200 numbers below 1 are added up in float. */
	check_float("dtable", DX, X.n, 200 * EPS, true, run_segments_back);
	end();
}

T_CASE(the_first_id_outside_is_found)
{
	static int32_t ids[60000];

	for (int threads = 1; threads <= 4; threads++) {
		memset(ids, 0, sizeof(ids));
		t_check(kernel_init(threads) == RK_OK);
		t_check(kernel_first_outside(ids, 60000, 1) == 60000);
		t_check(kernel_first_outside(ids, 0, 1) == 0);
		ids[59999] = 7;
		t_check(kernel_first_outside(ids, 60000, 8) == 60000);
		t_check(kernel_first_outside(ids, 60000, 7) == 59999);
		ids[30000] = -1;
		ids[30001] = 9;
		t_check(kernel_first_outside(ids, 60000, 7) == 30000);
		kernel_fini();
	}
}

T_CASE(masks_and_repeated_rows)
{
	static const int32_t ids[] = { 0, 5, 0, 7 };
	static const float x[] = { 1, 2 };
	float mask[4], y[6];

	kernel_token_mask(4, ids, 0, mask);
	t_check(mask[0] == 0 && mask[1] == 1 && mask[2] == 0 && mask[3] == 1);
	kernel_repeat(3, 2, x, y);
	for (int i = 0; i < 6; i++)
		t_check(y[i] == x[i % 2]);
}

T_MAIN
