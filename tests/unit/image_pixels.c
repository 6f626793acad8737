/* What is done with pixels: resizing, crops, turns and colours, against PIL. */
#include "image_help.h"

T_CASE(resizing_gives_pils_bytes)
{
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_sizes); i++) {
		const struct golden_size *g = &golden_sizes[i];
		const struct image from = pattern(PATTERN_W, PATTERN_H,
		    g->channels);
		struct image im = from;

		image_resize(r, &im, g->w, g->h);
		t_check(im.w == g->w && im.h == g->h);
		digest_of(&im, hex);
		if (strcmp(hex, g->sha256) != 0)
			t_fail("%d channels to %lld x %lld: other bytes",
			    g->channels, (long long)g->w, (long long)g->h);
		free(from.pixels);
	}
	image_room_free(r);
}

T_CASE(a_part_whose_edges_are_fractions_is_resized_to_pils_bytes)
{
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_boxes); i++) {
		const struct golden_box *g = &golden_boxes[i];
		const struct image_box box = { g->x, g->y, g->w, g->h };
		const struct image from = pattern(PATTERN_W, PATTERN_H,
		    g->channels);
		struct image im = from;

		image_resize_box(r, &im, &box, g->to_w, g->to_h);
		t_check(im.w == g->to_w && im.h == g->to_h);
		digest_of(&im, hex);
		if (strcmp(hex, g->sha256) != 0)
			t_fail("%d channels, %g x %g at %g, %g: other bytes",
			    g->channels, g->w, g->h, g->x, g->y);
		free(from.pixels);
	}
	image_room_free(r);
}

T_CASE(an_even_picture_stays_even)
{
	struct image_room *r = image_room_new();
	uint8_t *p = malloc(301 * 203);

	for (int v = 0; v < 256; v += 51) {
		memset(p, v, 301 * 203);
		for (int64_t w = 1; w < 700; w = w * 3 + 1) {
			struct image im = image_of(p, 301, 203, 1);
			image_resize(r, &im, w, 700 - w);
			for (int64_t k = 0; k < im.w * im.h; k++)
				t_eq_int(im.pixels[k], v);
		}
	}
	free(p);
	image_room_free(r);
}

static void
adjust(struct image_room *r, struct image *im, const struct golden_colour *g)
{
	if (strcmp(g->what, "brightness") == 0)
		image_brightness(r, im, g->f);
	else if (strcmp(g->what, "contrast") == 0)
		image_contrast(r, im, g->f);
	else if (strcmp(g->what, "saturation") == 0)
		image_saturation(r, im, g->f);
	else
		image_hue(r, im, g->f);
}

T_CASE(colours_change_as_pils_do)
{
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_colours); i++) {
		const struct golden_colour *g = &golden_colours[i];
		const struct image from = pattern(PATTERN_W, PATTERN_H,
		    g->channels);
		struct image im = from;

		adjust(r, &im, g);
		digest_of(&im, hex);
		if (strcmp(hex, g->sha256) != 0)
			t_fail("%s by %g of %d channels: other bytes", g->what,
			    (double)g->f, g->channels);
		free(from.pixels);
	}
	image_room_free(r);
}

T_CASE(a_turn_is_pils_within_a_grey_level)
{
	struct image_room *r = image_room_new();

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_turns); i++) {
		const struct golden_turn *g = &golden_turns[i];
		struct image im = image_of(turned_from, 24, 18, 1);
		int other = 0, sum = 0;

		image_rotate(r, &im, g->degrees, g->bilinear, 200);
		for (int k = 0; k < 24 * 18; k++) {
			const int off = im.pixels[k] - g->pixels[k];
			other += abs(off) > 1;
			sum += abs(off) > 1 ? 0 : off;
		}
		/* Between pixels PIL cuts and we round: half a level more, but
		 * for what is filled. */
		t_check(g->bilinear ? sum > 24 * 18 / 4 && sum < 24 * 18 / 2 :
		    sum == 0);
		/* PIL counts places in 2^-16 of a pixel: one that lies nearly
		 * between two may be the other one. */
		if (other > 24 * 18 / 100)
			t_fail("%g degrees: %d of %d pixels are others",
			    g->degrees, other, 24 * 18);
	}
	image_room_free(r);
}

T_CASE(turns_by_quarters_are_exact)
{
	struct image_room *r = image_room_new(), *r2 = image_room_new();
	const struct image from = pattern(20, 20, 3);
	static const struct {
		double degrees;
		int orientation;
	} turns[] = { { 0, 1 }, { 90, 8 }, { 180, 3 }, { -90, 6 },
		{ 270, 6 }, { -180, 3 } };

	for (size_t i = 0; i < RK_ARRAY_LEN(turns); i++) {
		struct image a = from, b = from;
		image_rotate(r, &a, turns[i].degrees, false, 0);
		image_orient(r2, &b, turns[i].orientation);
		t_check(memcmp(a.pixels, b.pixels, 1200) == 0);
	}
	free(from.pixels);
	image_room_free(r);
	image_room_free(r2);
}

T_CASE(a_crop_that_reaches_out_is_filled_up)
{
	struct image_room *r = image_room_new();
	const struct image from = pattern(5, 4, 3);
	const struct image_part at = { .x = -2, .y = -1, .w = 9, .h = 7 };
	struct image im = from;

	image_crop(r, &im, &at, 9);
	for (int64_t y = 0; y < 7; y++)
		for (int64_t x = 0; x < 9; x++)
			for (int c = 0; c < 3; c++) {
				const int64_t fx = x - 2, fy = y - 1;
				const bool in = fx >= 0 && fx < 5 && fy >= 0 &&
				    fy < 4;
				t_eq_int(im.pixels[(y * 9 + x) * 3 + c], in ?
				    from.pixels[(fy * 5 + fx) * 3 + c] : 9);
			}
	free(from.pixels);
	image_room_free(r);
}

T_CASE(pixels_of_the_caller_are_not_written_to)
{
	struct image_room *r = image_room_new();
	const struct image from = pattern(PATTERN_W, PATTERN_H, 3);
	const struct image_part at = { .x = 1, .y = 2, .w = 20, .h = 20 };
	char before[RK_SHA256_HEX], after[RK_SHA256_HEX];
	struct image im = from;

	digest_of(&from, before);
	image_brightness(r, &im, 0.5f);
	im = from;
	image_hue(r, &im, 0.25f);
	image_saturation(r, &im, 0.25f);
	image_orient(r, &im, 2);
	image_crop(r, &im, &at, 0);
	image_rotate(r, &im, 30, true, 0);
	image_resize(r, &im, 7, 9);
	image_contrast(r, &im, 2);
	image_to_channels(r, &im, 1);
	digest_of(&from, after);
	t_eq_str(after, before);
	free(from.pixels);
	image_room_free(r);
}

T_CASE(planes_and_numbers_are_where_they_belong)
{
	struct image_room *r = image_room_new();
	const uint8_t planes[] = { 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16,
		21, 22, 23, 24, 25, 26 };
	const float scale[] = { 1, 2, 0.5f }, shift[] = { 0, 10, -1 };
	struct image im;
	float y[18];

	image_of_planes(r, planes, 3, 2, 3, &im);
	t_eq_int(im.pixels[0], 1);
	t_eq_int(im.pixels[1], 11);
	t_eq_int(im.pixels[17], 26);
	image_floats(&im, scale, shift, 3, y);
	for (int k = 0; k < 18; k++)
		t_near(y[k], planes[k] * scale[k / 6] + shift[k / 6], 0);
	image_floats(&im, scale + 1, shift + 1, 1, y);
	t_near(y[17], 62, 0);
	image_room_free(r);
}

T_CASE(text_is_written_and_cut_at_the_edge)
{
	uint8_t p[20 * 10 * 3] = { 0 };
	struct image im = image_of(p, 20, 10, 3);
	const uint8_t red[3] = { 255, 0, 0 };
	int lit = 0;

	image_write_text(&im, 0, 0, "I1~\xc3\xa9zzzz", red);
	for (int k = 0; k < 200; k++)
		lit += p[3 * k] == 255;
	t_check(lit > 20 && lit < 100);
	/* The I: its middle column is whole. */
	for (int y = 0; y < 7; y++)
		t_eq_int(p[(y * 20 + 2) * 3], 255);
}

T_CASE(a_character_that_is_not_ascii_is_one_question_mark)
{
	uint8_t p[40 * 8] = { 0 }, q[40 * 8] = { 0 };
	struct image a = image_of(p, 40, 8, 1), b = image_of(q, 40, 8, 1);
	const uint8_t white[3] = { 255, 255, 255 };

	image_write_text(&a, 0, 0, "\xe5\x90\x8dI\xc3\xa9", white);
	image_write_text(&b, 0, 0, "?I?", white);
	t_check(memcmp(p, q, sizeof(p)) == 0);
}

T_MAIN
