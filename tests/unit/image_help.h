/* What the tests of image share: golden files and the pattern. */
#ifndef IMAGE_HELP_H
#define IMAGE_HELP_H

#include "rekindle/image.h"
#include "image_golden.h"
#include "t.h"

#define PATTERN_W 37
#define PATTERN_H 29

static inline const struct golden_file *
golden(const char *name)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(golden_files); i++)
		if (strcmp(golden_files[i].name, name) == 0)
			return &golden_files[i];
	t_fail("no golden file %s", name);
}

/* Pixels of tests/golden/images.py; freed by the case's end. */
static inline struct image
pattern(int64_t w, int64_t h, int channels)
{
	uint8_t *p = malloc((size_t)(w * h * channels));

	for (int64_t y = 0, k = 0; y < h; y++)
		for (int64_t x = 0; x < w; x++)
			for (int64_t c = 0; c < channels; c++)
				p[k++] = (uint8_t)(7 * x * x + 5 * x * y +
				    3 * y + 67 * c * (x + 1));
	return image_of(p, w, h, channels);
}

static inline void
digest_of(const struct image *im, char hex[RK_SHA256_HEX])
{
	rk_sha256_of(im->pixels, (size_t)(im->w * im->h * im->channels), hex);
}

static inline struct image
must_decode(struct image_room *r, const uint8_t *p, size_t n,
    const char *what, int channels)
{
	struct rk_why why = { 0 };
	struct image im;

	if (image_decode(r, p, n, what, NULL, channels, &im, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_int(why.n, 0);
	return im;
}

/* One sentence that begins with "x.jpg: " and has these words. */
static inline void
must_refuse(const uint8_t *p, size_t n, const struct image_limits *l,
    const char *words)
{
	struct image_room *r = image_room_new();
	struct rk_why why = { 0 };
	struct image im;

	t_eq_int(image_decode(r, p, n, "x.jpg", l, 0, &im, &why), RK_EINVAL);
	t_eq_int(why.n, 1);
	t_check(strncmp(rk_why_first(&why), "x.jpg: ", 7) == 0);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
	image_room_free(r);
}

/* A copy that may be changed; freed by the case's end. */
static inline uint8_t *
copy_of(const struct golden_file *f)
{
	uint8_t *p = malloc(f->n);

	memcpy(p, f->p, f->n);
	return p;
}

#endif
