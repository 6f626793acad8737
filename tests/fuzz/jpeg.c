/* module: image */
/*
 * Any bytes as a picture: refused with one sentence, or pixels of the size that a
 * look says; and a part of it has the pixels that it has in the whole.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct image_limits limits = {
	.side = 2000, .pixels = 1 << 18, .memory = 16 << 20, .scans = 12,
};

static void
part(struct image_room *r, const uint8_t *p, size_t n,
    const struct image *whole)
{
	struct image_part at = { .x = whole->w / 3, .y = whole->h / 3 };
	struct rk_why why = { 0 };
	struct image_box box;
	struct image im;

	at.w = RK_MAX(whole->w / 3, 1);
	at.h = RK_MAX(whole->h / 3, 1);
	must(image_decode_part(r, p, n, "fuzz", &limits, 0, &at, 1, &im,
	    &box, &why) == RK_OK);
	const size_t width = (size_t)(im.w * im.channels);
	for (int64_t y = 0; y < im.h; y++)
		must(memcmp(im.pixels + (size_t)y * width, whole->pixels +
		    (size_t)(((y + at.y) * whole->w + at.x) * im.channels),
		    width) == 0);
	must(image_decode_part(r, p, n, "fuzz", &limits, 3, &at, 4, &im,
	    &box, &why) == RK_OK);
	image_resize_box(r, &im, &box, 5, 3);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct image_room *r = image_room_new(), *r2 = image_room_new();
	struct rk_why why = { 0 };
	struct image_info info;
	struct image im;

	const enum rk_err looked = image_look(r, p, n, "fuzz", &limits, &info,
	    NULL);
	const enum rk_err rc = image_decode(r, p, n, "fuzz", &limits, 0, &im,
	    &why);
	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ENOMEM);
	must(why.n == (rc != RK_OK));
	if (rc == RK_OK) {
		must(looked == RK_OK && info.w == im.w && info.h == im.h &&
		    info.channels == im.channels);
		part(r2, p, n, &im);
	}
	rk_why_fini(&why);
	image_room_free(r);
	image_room_free(r2);
	return 0;
}
