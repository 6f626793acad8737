/*
 * Batch norm of few channels, whose second pass is cut by samples: the bits are
 * those of the same channels among so many that it is not cut.
 */
#include "rekindle/kernel_blocked.h"
#include "t.h"

#define B     5
#define PLANE (50 * 61)                 /* places */
#define MOST  (9 * KERNEL_BLOCK)        /* channels */
#define ROOM  (B * MOST * PLANE)

/* What goes in and comes out of one batch norm. */
struct norm {
	int64_t c;
	bool blocked;
	float *x, *dy, *r, *y, *dx, *dr;
	float weight[MOST], bias[MOST], stats[4][MOST], dw[MOST], db[MOST];
};

static struct norm few, many;

static float *
room(void)
{
	float *p = kernel_alloc(ROOM * sizeof(*p));

	t_check(p != NULL);
	return p;
}

/* Numbers of a run, a plane of a block or of a channel. */
static int64_t
run_floats(const struct norm *a)
{
	return PLANE * (a->blocked ? KERNEL_BLOCK : 1);
}

static int64_t
runs(const struct norm *a)
{
	return a->blocked ? kernel_blocks(a->c) : a->c;
}

/* Drawn by sample and run, however many runs there are. */
static void
fill(const struct norm *a, float *x, uint32_t which)
{
	const int64_t n = run_floats(a);

	for (int64_t s = 0; s < B; s++)
		for (int64_t k = 0; k < runs(a); k++)
			for (int64_t i = 0; i < n; i++)
				x[(s * runs(a) + k) * n + i] = rk_draw_normal(3,
				    which, (uint32_t)(s * MOST + k),
				    (uint64_t)i);
}

static void
set_up(struct norm *a, int64_t c, bool blocked)
{
	a->c = c;
	a->blocked = blocked;
	if (a->x == NULL) {
		a->x = room();
		a->dy = room();
		a->r = room();
		a->y = room();
		a->dx = room();
		a->dr = room();
	}
	fill(a, a->x, 1);
	fill(a, a->dy, 2);
	fill(a, a->r, 3);
	for (int64_t i = 0; i < MOST; i++) {
		a->weight[i] = 0.5f + 0.1f * (float)(i % 7);
		a->bias[i] = 0.3f * (float)(i % 3) - 0.2f;
		a->stats[0][i] = 0;
		a->stats[1][i] = a->dw[i] = a->db[i] = 1;
	}
}

static void
compute(struct norm *a, enum kernel_act act, bool sum, bool train)
{
	struct kernel_bnorm b = { .c = a->c, .n = PLANE, .eps = 1e-5f,
		.momentum = 0.1f, .weight = a->weight, .bias = a->bias,
		.run_mean = a->stats[0], .run_var = a->stats[1],
		.mean = a->stats[2], .inv = a->stats[3],
		.blocked = a->blocked, .act = { .act = act },
		.r = sum ? a->r : NULL };

	kernel_bnorm(&b, B, train, a->x, a->y);
	b.eval = !train;
	b.y = sum || b.eval ? a->y : NULL;
	b.dr = sum ? a->dr : NULL;
	kernel_bnorm_back(&b, B, a->x, a->dy, false, a->dx, true, train ?
	    a->dw : NULL, true, train ? a->db : NULL);
}

/* The runs of `few` among those of `many`. */
static void
same_runs(const float *x, const float *y)
{
	const size_t n = (size_t)run_floats(&few);

	for (int64_t s = 0; s < B; s++)
		for (int64_t k = 0; k < runs(&few); k++)
			t_check(memcmp(x + (size_t)(s * runs(&few) + k) * n,
			    y + (size_t)(s * runs(&many) + k) * n,
			    n * sizeof(*x)) == 0);
}

static void
same_channels(const float *x, const float *y)
{
	t_check(memcmp(x, y, (size_t)few.c * sizeof(*x)) == 0);
}

static void
check(int64_t c, bool blocked, enum kernel_act act, bool sum, bool train)
{
	set_up(&few, c, blocked);
	set_up(&many, blocked ? MOST : 9, blocked);
	compute(&few, act, sum, train);
	compute(&many, act, sum, train);
	same_runs(few.y, many.y);
	same_runs(few.dx, many.dx);
	if (sum)
		same_runs(few.dr, many.dr);
	if (!train)
		return;
	for (int k = 0; k < 4; k++)
		same_channels(few.stats[k], many.stats[k]);
	same_channels(few.dw, many.dw);
	same_channels(few.db, many.db);
}

static void
check_all(void)
{
	for (int train = 0; train < 2; train++) {
		check(2 * KERNEL_BLOCK, true, KERNEL_RELU, false, train);
		check(KERNEL_BLOCK, true, KERNEL_RELU, true, train);
		check(2 * KERNEL_BLOCK, true, KERNEL_HARD_SIGMOID, false,
		    train);
		check(5, false, KERNEL_NO_ACT, false, train);
	}
}

T_CASE(few_channels_have_the_bits_that_they_have_among_many)
{
	check_all();
}

T_CASE(by_a_team_of_three_too)
{
	t_eq_int(kernel_init(3), RK_OK);
	check_all();
	kernel_fini();
}

/* PyTorch: F.batch_norm(x, mean, var, w, b, training=False), then relu. */
T_CASE(of_constants_it_is_a_scale_and_a_shift)
{
	set_up(&few, 5, false);
	few.stats[0][4] = 0.3f;
	few.stats[1][4] = 2;
	compute(&few, KERNEL_RELU, true, false);
	for (int64_t s = 0; s < B; s++)
		for (int64_t i = 0; i < PLANE; i++) {
			const int64_t at = (s * 5 + 4) * PLANE + i;
			const double a = few.weight[4] / sqrt(2 + 1e-5);
			const double y = (few.x[at] - 0.3f) * a + few.bias[4] +
			    few.r[at];
			const double d = y > 0 ? few.dy[at] : 0;
			if (fabs(y) < 1e-5)
				continue;
			t_near(few.y[at], y > 0 ? y : 0, 1e-5);
			t_near(few.dx[at], d * a, 1e-6);
			t_near(few.dr[at], d, 0);
		}
}

T_MAIN
