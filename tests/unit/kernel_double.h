/*
 * The plain loops of kernel compiled for double, and what the tests compare:
 * their gradients with the slopes of their results, and what the product
 * computes in float with them, which has to have the same bits for teams of one
 * to four threads and to be added to what is there or put in its place.
 *
 * DIFFERENCE is the step of a central difference: its error is of the order of
 * DIFFERENCE^2 = 1e-10 times the third derivative, and rounding gives 2e-16 /
 * DIFFERENCE = 2e-11 times the sum.
 */
#ifndef KERNEL_DOUBLE_H
#define KERNEL_DOUBLE_H

#include <float.h>

#include "rekindle/kernel.h"
#include "plain.h"
#include "t.h"
#include "window.h"

#undef REAL
#undef P
#define REAL    double
#define P(name) double_##name
#include "plain_decl.inc"
#include "plain_images.inc"
#include "plain_places.inc"
#include "plain_rows.inc"

#define DIFFERENCE 1e-5
#define EPS        (double)FLT_EPSILON

/* n numbers of [-1, 1), in both types. */
struct both {
	size_t n;
	float *f;
	double *d;
};

static inline struct both
both(size_t n, uint32_t stream)
{
	struct both b = { n, xcalloc(n, sizeof(float)),
		xcalloc(n, sizeof(double)) };

	for (size_t i = 0; i < n; i++) {
		b.f[i] = 2 * rk_draw_unit(11, stream, 0, i) - 1;
		b.d[i] = b.f[i];
	}
	return b;
}

static inline void
both_free(struct both *b)
{
	free(b->f);
	free(b->d);
	*b = (struct both){ 0 };
}

static inline double
sum_of_products(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* grad is the slope of value() in each of x[n]. */
static inline void
check_slopes(const char *what, double *x, size_t n, const double *grad,
    double (*value)(void))
{
	for (size_t i = 0; i < n; i++) {
		const double was = x[i];
		x[i] = was + DIFFERENCE;
		const double above = value();
		x[i] = was - DIFFERENCE;
		const double slope = (above - value()) / (2 * DIFFERENCE);
		x[i] = was;
		if (!(fabs(slope - grad[i]) <= 1e-7 * (1 + fabs(slope))))
			t_fail("%s[%zu]: gradient %.9g, slope %.9g", what, i,
			    grad[i], slope);
	}
}

static inline void
check_near(const char *what, const float *got, const float *before,
    const double *want, size_t n, double tol)
{
	for (size_t i = 0; i < n; i++) {
		double w = want[i] + (before ? (double)before[i] : 0);
		if (!(fabs(got[i] - w) <= tol + 2 * EPS * fabs(w)))
			t_fail("%s[%zu] is %.9g, want %.9g within %g", what, i,
			    (double)got[i], w, tol);
	}
}

/*
 * run(out, add) gives want[n] within tol, whatever the team; with `adds` also
 * added to numbers that are there.
 */
static inline void
check_float(const char *what, const double *want, size_t n, double tol,
    bool adds, void (*run)(float *out, bool add))
{
	struct both before = both(n, 99), out = both(n, 99);
	float *first = xcalloc(n, sizeof(*first));

	for (int add = 0; add <= adds; add++)
		for (int threads = 1; threads <= 4; threads++) {
			memcpy(out.f, before.f, n * sizeof(float));
			t_check(kernel_init(threads) == RK_OK);
			run(out.f, add);
			kernel_fini();
			if (threads == 1)
				memcpy(first, out.f, n * sizeof(float));
			else if (memcmp(first, out.f, n * sizeof(float)) != 0)
				t_fail("%s: %d threads give other bits", what,
				    threads);
			check_near(what, out.f, add ? before.f : NULL, want, n,
			    tol);
		}
	free(first);
	both_free(&before);
	both_free(&out);
}

#endif
