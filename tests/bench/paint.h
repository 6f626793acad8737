/*
 * Pictures that are to a decoder what photographs are, as JPEGs.
 *
 * Noise of octaves, each of which has less of it the finer it is, as the spectrum
 * of photographs falls; over it discs with sharp edges; colours follow brightness
 * and have less detail.  How much detail there is differs from picture to picture,
 * and so does what a file takes: 500 x 375 in 4:2:0 of quality 90, some 70 KB.
 * A picture is a function of its number and size alone.
 */
#ifndef BENCH_PAINT_H
#define BENCH_PAINT_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rekindle/base.h"

#include <jpeglib.h>

#define PAINT_COARSEST 128              /* pixels between points of noise */
#define PAINT_DISCS    12
#define PAINT_QUALITY  90

struct paint_file {
	unsigned char *p;               /* free() */
	unsigned long n;
};

/* In [-1, 1): the same for the same three. */
static inline float
paint_draw(int number, int what, uint32_t at)
{
	const uint32_t key[2] = { (uint32_t)number, 1 };
	const uint32_t ctr[4] = { at, (uint32_t)what, 0, 0 };
	uint32_t draw[4];

	rk_philox(key, ctr, draw);
	return (float)draw[0] * 0x1p-31f - 1;
}

/* v[h][w] += strength * noise that is linear between points `apart`. */
static inline void
paint_octave(float *v, int w, int h, int number, int what, int apart,
    float strength)
{
	const int across = w / apart + 2, down = h / apart + 2;
	float *g = xmalloc((size_t)(across * down) * sizeof(*g));

	for (int i = 0; i < across * down; i++)
		g[i] = strength * paint_draw(number, what, (uint32_t)i);
	for (int y = 0; y < h; y++) {
		const float *a = g + y / apart * across, *b = a + across;
		const float fy = (float)(y % apart) / (float)apart;
		for (int x = 0; x < w; x++) {
			const float fx = (float)(x % apart) / (float)apart;
			const int k = x / apart;
			const float p = a[k] + fy * (b[k] - a[k]);
			const float q = a[k + 1] + fy * (b[k + 1] - a[k + 1]);
			v[y * w + x] += p + fx * (q - p);
		}
	}
	free(g);
}

/* Channel 0 is brightness, 1 and 2 what red and blue have more of. */
static inline void
paint_noise(float *v, int w, int h, int number, int channel)
{
	const float detail = 1.7f + 0.9f * paint_draw(number, 100, 0);
	const float all = channel == 0 ? 42 : 20;
	const int finest = channel == 0 ? 1 : 8;

	for (int apart = PAINT_COARSEST; apart >= finest; apart /= 2) {
		const float octave = sqrtf((float)apart / PAINT_COARSEST);
		paint_octave(v, w, h, number, 1000 * channel + apart, apart,
		    all * octave * (apart <= 8 ? detail : 1));
	}
}

static inline void
paint_discs(float *v, int w, int h, int number, int channel)
{
	const float by = channel == 0 ? 40 : 20;

	for (uint32_t i = 0; i < PAINT_DISCS; i++) {
		const float x0 = (float)w * (0.5f + 0.5f *
		    paint_draw(number, 200, i));
		const float y0 = (float)h * (0.5f + 0.5f *
		    paint_draw(number, 201, i));
		const float r = (float)h * (0.14f + 0.1f *
		    paint_draw(number, 202, i));
		const float add = by * paint_draw(number, 203 + channel, i);
		for (int y = 0; y < h; y++)
			for (int x = 0; x < w; x++)
				if (hypotf((float)x - x0, (float)y - y0) < r)
					v[y * w + x] += add;
	}
}

static inline uint8_t
paint_byte(float v)
{
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* rgb[h][w][3] */
static inline void
paint(uint8_t *rgb, int w, int h, int number)
{
	const size_t n = (size_t)w * (size_t)h;
	float *v = xcalloc(3 * n, sizeof(*v));

	for (int c = 0; c < 3; c++) {
		paint_noise(v + (size_t)c * n, w, h, number, c);
		paint_discs(v + (size_t)c * n, w, h, number, c);
	}
	for (size_t i = 0; i < n; i++) {
		const float bright = 118 + v[i];
		rgb[3 * i] = paint_byte(bright + v[n + i]);
		rgb[3 * i + 1] = paint_byte(bright);
		rgb[3 * i + 2] = paint_byte(bright + v[2 * n + i]);
	}
	free(v);
}

static inline struct paint_file
paint_encode(uint8_t *rgb, int w, int h)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	struct paint_file f = { 0 };

	c.err = jpeg_std_error(&err);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &f.p, &f.n);
	c.image_width = (JDIMENSION)w;
	c.image_height = (JDIMENSION)h;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, PAINT_QUALITY, TRUE);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < (JDIMENSION)h) {
		JSAMPROW row = rgb + 3 * (size_t)w * c.next_scanline;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return f;
}

static inline struct paint_file
paint_jpeg(int w, int h, int number)
{
	uint8_t *rgb = xmalloc(3 * (size_t)w * (size_t)h);

	paint(rgb, w, h, number);
	const struct paint_file f = paint_encode(rgb, w, h);
	free(rgb);
	return f;
}

#endif
