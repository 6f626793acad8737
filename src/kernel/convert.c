/*
 * y = x * scale + shift, from bytes and from floats: how stored samples become
 * a network's input.
 */
#include "rekindle/kernel.h"
#include "twice.h"

LOOP
bytes_body(float *restrict y, const uint8_t *restrict x, size_t n, float scale,
    float shift)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (float)x[i] * scale + shift;
}

LOOP
floats_body(float *restrict y, const float *restrict x, size_t n, float scale,
    float shift)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * scale + shift;
}

LOOP
bytes_each_body(float *restrict y, const uint8_t *restrict x, size_t n,
    const float *restrict scale, const float *restrict shift)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (float)x[i] * scale[i] + shift[i];
}

LOOP
floats_each_body(float *restrict y, const float *restrict x, size_t n,
    const float *restrict scale, const float *restrict shift)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * scale[i] + shift[i];
}

FAST static void
bytes_fast(float *y, const uint8_t *x, size_t n, float scale, float shift)
{
	bytes_body(y, x, n, scale, shift);
}

FAST static void
floats_fast(float *y, const float *x, size_t n, float scale, float shift)
{
	floats_body(y, x, n, scale, shift);
}

FAST static void
bytes_each_fast(float *y, const uint8_t *x, size_t n, const float *scale,
    const float *shift)
{
	bytes_each_body(y, x, n, scale, shift);
}

FAST static void
floats_each_fast(float *y, const float *x, size_t n, const float *scale,
    const float *shift)
{
	floats_each_body(y, x, n, scale, shift);
}

void
kernel_bytes_affine(float *y, const uint8_t *x, size_t n, float scale,
    float shift)
{
	if (fast_cpu())
		bytes_fast(y, x, n, scale, shift);
	else
		bytes_body(y, x, n, scale, shift);
}

void
kernel_floats_affine(float *y, const float *x, size_t n, float scale,
    float shift)
{
	if (fast_cpu())
		floats_fast(y, x, n, scale, shift);
	else
		floats_body(y, x, n, scale, shift);
}

void
kernel_bytes_affine_each(float *y, const uint8_t *x, size_t n,
    const float *scale, const float *shift)
{
	if (fast_cpu())
		bytes_each_fast(y, x, n, scale, shift);
	else
		bytes_each_body(y, x, n, scale, shift);
}

void
kernel_floats_affine_each(float *y, const float *x, size_t n,
    const float *scale, const float *shift)
{
	if (fast_cpu())
		floats_each_fast(y, x, n, scale, shift);
	else
		floats_each_body(y, x, n, scale, shift);
}
