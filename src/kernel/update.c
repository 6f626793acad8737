/*
 * Optimiser updates, fused: each array passes through the core once a step.
 * The formulas are in rekindle/kernel.h.
 */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "twice.h"
#include "update.h"

/* With a shadow the step goes block by block, so that a block is copied while
 * it is in the first-level cache: four arrays of 4 KiB. */
#define BLOCK 1024

LOOP
sgd_body(const struct kernel_update *u, size_t n, float *restrict p,
    const float *restrict g)
{
	const float lr = u->lr, decay = u->decay;

	for (size_t i = 0; i < n; i++)
		p[i] -= lr * (g[i] + decay * p[i]);
}

LOOP
momentum_body(const struct kernel_update *u, size_t n, float *restrict p,
    const float *restrict g, float *restrict b)
{
	const float lr = u->lr, decay = u->decay, mu = u->mu, take = u->take;

	for (size_t i = 0; i < n; i++) {
		float gi = g[i] + decay * p[i];
		b[i] = mu * b[i] + take * gi;
		p[i] -= lr * b[i];
	}
}

LOOP
nesterov_body(const struct kernel_update *u, size_t n, float *restrict p,
    const float *restrict g, float *restrict b)
{
	const float lr = u->lr, decay = u->decay, mu = u->mu, take = u->take;

	for (size_t i = 0; i < n; i++) {
		float gi = g[i] + decay * p[i];
		b[i] = mu * b[i] + take * gi;
		p[i] -= lr * (gi + mu * b[i]);
	}
}

LOOP
adam_body(const struct kernel_update *u, size_t n, float *restrict p,
    const float *restrict g, float *restrict m, float *restrict v)
{
	const float lr = u->lr, decay = u->decay, shrink = u->shrink;
	const float mu = u->mu, take = u->take;
	const float alpha = u->alpha, alpha1 = u->alpha1;
	const float root = u->root, eps = u->eps;

	for (size_t i = 0; i < n; i++) {
		float gi = g[i] + decay * p[i];
		m[i] = mu * m[i] + take * gi;
		v[i] = alpha * v[i] + alpha1 * (gi * gi);
		p[i] = p[i] * shrink - lr * (m[i] / (sqrtf(v[i]) * root + eps));
	}
}

/* c and b are not read when not in use, but restrict wants them distinct. */
LOOP
rmsprop_body(const struct kernel_update *u, bool centered, bool momentum,
    size_t n, float *restrict p, const float *restrict g, float *restrict v,
    float *restrict c, float *restrict b)
{
	const float lr = u->lr, decay = u->decay, mu = u->mu;
	const float alpha = u->alpha, alpha1 = u->alpha1, eps = u->eps;

	for (size_t i = 0; i < n; i++) {
		float gi = g[i] + decay * p[i];
		v[i] = alpha * v[i] + alpha1 * (gi * gi);
		float var = v[i];
		if (centered) {
			c[i] = alpha * c[i] + alpha1 * gi;
			var -= c[i] * c[i];
			/* Rounding may take a variance below zero; NaN is
			 * to stay NaN. */
			var = var < 0 ? 0 : var;
		}
		float d = gi / (sqrtf(var) + eps);
		if (momentum) {
			b[i] = mu * b[i] + d;
			d = b[i];
		}
		p[i] -= lr * d;
	}
}

/*
 * Lamb's direction, by the moments of this step:
 *	r = m * unbias / (sqrt(v) * root + eps) + decay * p
 */
#define LAMB_R(m, v, p) \
	((m) * unbias / (sqrtf(v) * root + eps) + decay * (p))

LOOP
lamb_body(const struct kernel_update *u, size_t n, float *restrict p,
    const float *restrict m, const float *restrict v)
{
	const float lr = u->lr, decay = u->decay, unbias = u->unbias;
	const float root = u->root, eps = u->eps;

	for (size_t i = 0; i < n; i++)
		p[i] -= lr * LAMB_R(m[i], v[i], p[i]);
}

LOOP
lamb_moments_body(const struct kernel_update *u, size_t n,
    const float *restrict g, float *restrict m, float *restrict v)
{
	const float mu = u->mu, take = u->take;
	const float alpha = u->alpha, alpha1 = u->alpha1;

	for (size_t i = 0; i < n; i++) {
		m[i] = mu * m[i] + take * g[i];
		v[i] = alpha * v[i] + alpha1 * (g[i] * g[i]);
	}
}

/* Sixteen running sums of p^2 and of r^2, then these in order. */
LOOP
lamb_sums_body(const struct kernel_update *u, size_t n,
    const float *restrict p, const float *restrict m, const float *restrict v,
    double *restrict sums)
{
	const float decay = u->decay, unbias = u->unbias;
	const float root = u->root, eps = u->eps;
	double pp[16] = { 0 }, rr[16] = { 0 };
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++) {
			float r = LAMB_R(m[i + k], v[i + k], p[i + k]);
			pp[k] += (double)p[i + k] * p[i + k];
			rr[k] += (double)r * r;
		}
	for (int k = 0; i < n; i++, k++) {
		float r = LAMB_R(m[i], v[i], p[i]);
		pp[k] += (double)p[i] * p[i];
		rr[k] += (double)r * r;
	}
	sums[0] = sums[1] = 0;
	for (int k = 0; k < 16; k++) {
		sums[0] += pp[k];
		sums[1] += rr[k];
	}
}

/* All rules over one range; inlined into the two functions below, each of
 * which then holds every loop for its target. */
LOOP
range_body(const struct kernel_update *u, size_t n, float *p, const float *g,
    float *const *s)
{
	switch (u->rule) {
	case KERNEL_SGD:
		sgd_body(u, n, p, g);
		break;
	case KERNEL_MOMENTUM:
		momentum_body(u, n, p, g, s[0]);
		break;
	case KERNEL_NESTEROV:
		nesterov_body(u, n, p, g, s[0]);
		break;
	case KERNEL_ADAM:
		adam_body(u, n, p, g, s[0], s[1]);
		break;
	case KERNEL_RMSPROP:
		if (u->centered && u->with_momentum)
			rmsprop_body(u, true, true, n, p, g, s[0], s[1], s[2]);
		else if (u->centered)
			rmsprop_body(u, true, false, n, p, g, s[0], s[1], NULL);
		else if (u->with_momentum)
			rmsprop_body(u, false, true, n, p, g, s[0], NULL, s[1]);
		else
			rmsprop_body(u, false, false, n, p, g, s[0], NULL,
			    NULL);
		break;
	case KERNEL_LAMB:
		lamb_body(u, n, p, s[0], s[1]);
		break;
	}
}

static void
range_plain(const struct kernel_update *u, size_t n, float *p, const float *g,
    float *const *s)
{
	range_body(u, n, p, g, s);
}

FAST static void
range_fast(const struct kernel_update *u, size_t n, float *p, const float *g,
    float *const *s)
{
	range_body(u, n, p, g, s);
}

static int
nslots(const struct kernel_update *u)
{
	switch (u->rule) {
	case KERNEL_SGD:
		return 0;
	case KERNEL_MOMENTUM:
	case KERNEL_NESTEROV:
		return 1;
	case KERNEL_ADAM:
	case KERNEL_LAMB:
		return 2;
	case KERNEL_RMSPROP:
		return 1 + u->centered + u->with_momentum;
	}
	return 0;
}

/* A copy past the caches where dst allows it: its lines are neither read
 * before they are written nor kept. */
static void
copy_past(float *dst, const float *src, size_t n)
{
	size_t i = 0;
#if defined(__x86_64__)
	if ((uintptr_t)dst % 16 == 0)
		for (; i + 4 <= n; i += 4)
			_mm_stream_ps(dst + i, _mm_loadu_ps(src + i));
#endif
	memcpy(dst + i, src + i, (n - i) * sizeof(*dst));
}

static void
copy_out(bool stream, float *dst, const float *src, size_t n)
{
	if (stream)
		copy_past(dst, src, n);
	else
		memcpy(dst, src, n * sizeof(*dst));
}

static void
fence(void)
{
#if defined(__x86_64__)
	_mm_sfence();
#endif
}

void
kernel_update_as(bool fast, const struct kernel_update *u, size_t n,
    float *p, const float *g, float *const *slot, float *const *shadow)
{
	const int ns = nslots(u);
	const size_t step = shadow != NULL ? BLOCK : n;
	float *s[3] = { NULL, NULL, NULL };

	for (size_t at = 0; at < n; at += step) {
		size_t len = RK_MIN(step, n - at);
		for (int k = 0; k < ns; k++)
			s[k] = slot[k] + at;
		if (fast)
			range_fast(u, len, p + at, g + at, s);
		else
			range_plain(u, len, p + at, g + at, s);
		if (shadow == NULL)
			continue;
		copy_out(u->stream, shadow[0] + at, p + at, len);
		for (int k = 0; k < ns; k++)
			copy_out(u->stream, shadow[k + 1] + at, s[k], len);
	}
	if (shadow != NULL && u->stream)
		fence();
}

void
kernel_update(const struct kernel_update *u, size_t n, float *p,
    const float *g, float *const *slot, float *const *shadow)
{
	kernel_update_as(fast_cpu(), u, n, p, g, slot, shadow);
}

static void
lamb_first_plain(const struct kernel_update *u, size_t n, const float *p,
    const float *g, float *m, float *v, double *sums)
{
	lamb_moments_body(u, n, g, m, v);
	lamb_sums_body(u, n, p, m, v, sums);
}

FAST static void
lamb_first_fast(const struct kernel_update *u, size_t n, const float *p,
    const float *g, float *m, float *v, double *sums)
{
	lamb_moments_body(u, n, g, m, v);
	lamb_sums_body(u, n, p, m, v, sums);
}

void
kernel_lamb_as(bool fast, const struct kernel_update *u, size_t n,
    const float *p, const float *g, float *m, float *v, double sums[2])
{
	if (fast)
		lamb_first_fast(u, n, p, g, m, v, sums);
	else
		lamb_first_plain(u, n, p, g, m, v, sums);
}

void
kernel_lamb(const struct kernel_update *u, size_t n, const float *p,
    const float *g, float *m, float *v, double sums[2])
{
	kernel_lamb_as(fast_cpu(), u, n, p, g, m, v, sums);
}

/*
 * Sixteen running sums, then these in order.  The product of two floats is
 * exact in double, so FMA or not makes no difference.
 */
LOOP
sum_squares_body(const float *restrict x, size_t n, double *restrict sum)
{
	double acc[16] = { 0 };
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++)
			acc[k] += (double)x[i + k] * x[i + k];
	for (int k = 0; i < n; i++, k++)
		acc[k] += (double)x[i] * x[i];
	*sum = 0;
	for (int k = 0; k < 16; k++)
		*sum += acc[k];
}

static void
sum_squares_plain(const float *x, size_t n, double *sum)
{
	sum_squares_body(x, n, sum);
}

FAST static void
sum_squares_fast(const float *x, size_t n, double *sum)
{
	sum_squares_body(x, n, sum);
}

double
kernel_sum_squares(const float *x, size_t n)
{
	double sum;

	if (fast_cpu())
		sum_squares_fast(x, n, &sum);
	else
		sum_squares_plain(x, n, &sum);
	return sum;
}

void
kernel_scale(float *x, size_t n, float by)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= by;
}

void
kernel_clamp(float *x, size_t n, float max)
{
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] > max ? max : x[i] < -max ? -max : x[i];
}

void
kernel_average(float *restrict a, const float *restrict x, size_t n, float keep,
    float take)
{
	for (size_t i = 0; i < n; i++)
		a[i] = keep * a[i] + take * x[i];
}

void
kernel_swap(float *restrict a, float *restrict b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const float x = a[i];
		a[i] = b[i];
		b[i] = x;
	}
}
