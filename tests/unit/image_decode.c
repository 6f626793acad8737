/*
 * JPEG and PNG to pixels: each kind against PIL, parts against wholes, and
 * files that are cut, damaged, hostile or none.
 */
#include "image_help.h"

/* Of a PNG's chunk. */
static uint32_t
crc(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
	}
	return ~c;
}

/* --- kinds ---------------------------------------------------------------- */

T_CASE(every_kind_of_file_has_the_pixels_that_pil_gives)
{
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_files); i++) {
		const struct golden_file *f = &golden_files[i];
		const struct image im = must_decode(r, f->p, f->n, f->name, 0);

		digest_of(&im, hex);
		if (im.w != f->w || im.h != f->h || im.channels !=
		    f->channels || strcmp(hex, f->sha256) != 0)
			t_fail("%s: %lld x %lld x %d, %s", f->name,
			    (long long)im.w, (long long)im.h, im.channels,
			    hex);
	}
	image_room_free(r);
}

T_CASE(a_look_says_what_a_decoding_gives)
{
	struct image_room *r = image_room_new();
	struct rk_why why = { 0 };
	struct image_info info;

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_files); i++) {
		const struct golden_file *f = &golden_files[i];
		t_eq_int(image_look(r, f->p, f->n, f->name, NULL, &info,
		    &why), RK_OK);
		t_eq_int(info.w, f->w);
		t_eq_int(info.h, f->h);
		t_eq_int(info.channels, f->channels);
		t_eq_int(info.progressive, strstr(f->name, "progressive") !=
		    NULL);
	}
	image_room_free(r);
}

T_CASE(as_many_channels_are_given_as_are_wanted)
{
	struct image_room *r = image_room_new();
	const struct golden_file *f = golden("jpeg_420"), *g =
	    golden("png_grey");
	struct image im = must_decode(r, f->p, f->n, "colour", 3);
	uint8_t rgb[3];

	memcpy(rgb, im.pixels + 300, 3);
	im = must_decode(r, f->p, f->n, "colour", 1);
	t_eq_int(im.channels, 1);
	t_eq_int(im.pixels[100], (19595 * rgb[0] + 38470 * rgb[1] + 7471 *
	    rgb[2] + 32768) / 65536);
	im = must_decode(r, g->p, g->n, "grey", 3);
	t_eq_int(im.channels, 3);
	const struct image grey = pattern(PATTERN_W, PATTERN_H, 1);
	for (int k = 0; k < PATTERN_W * PATTERN_H; k++)
		for (int c = 0; c < 3; c++)
			t_eq_int(im.pixels[3 * k + c], grey.pixels[k]);
	free(grey.pixels);
	image_room_free(r);
}

T_CASE(a_room_that_was_used_gives_the_same_pixels)
{
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];

	/* Each behind each other: tables of one must not serve the next. */
	for (size_t i = 0; i < RK_ARRAY_LEN(golden_files); i++)
		for (size_t k = 0; k < RK_ARRAY_LEN(golden_files); k += 3) {
			const struct golden_file *f = &golden_files[i];
			const struct golden_file *g = &golden_files[k];
			struct image im = must_decode(r, g->p, g->n,
			    g->name, 0);
			im = must_decode(r, f->p, f->n, f->name, 0);
			digest_of(&im, hex);
			t_eq_str(hex, f->sha256);
		}
	image_room_free(r);
}

/* A file without the tables that another one has. */
T_CASE(tables_of_a_picture_are_not_those_of_the_next)
{
	const struct golden_file *f = golden("jpeg_grey");
	struct image_room *r = image_room_new();
	struct rk_why why = { 0 };
	uint8_t *p = malloc(f->n);
	size_t n = 2, at = 2;
	struct image im;

	memcpy(p, f->p, 2);
	while (f->p[at + 1] != 0xda) {
		const size_t len = 2 + ((size_t)f->p[at + 2] << 8 |
		    f->p[at + 3]);
		if (f->p[at + 1] != 0xdb) {     /* all but quantisation */
			memcpy(p + n, f->p + at, len);
			n += len;
		}
		at += len;
	}
	memcpy(p + n, f->p + at, f->n - at);
	n += f->n - at;
	im = must_decode(r, f->p, f->n, "whole", 0);
	t_eq_int(image_decode(r, p, n, "bare", NULL, 0, &im, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "bare: is a broken JPEG: Quantization table");
	rk_why_fini(&why);
	free(p);
	image_room_free(r);
}

/* --- parts ---------------------------------------------------------------- */

static void
part_is_cut_out(const struct golden_file *f, const struct image *whole,
    struct image_room *r, const struct image_part *at)
{
	struct rk_why why = { 0 };
	struct image_box box;
	struct image im;

	if (image_decode_part(r, f->p, f->n, f->name, NULL, 0, at, 1, &im,
	    &box, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_check(im.w == at->w && im.h == at->h);
	t_check(box.x == 0 && box.y == 0 && box.w == (double)at->w &&
	    box.h == (double)at->h);
	const size_t width = (size_t)(im.w * im.channels);
	for (int64_t y = 0; y < im.h; y++)
		if (memcmp(im.pixels + (size_t)y * width, whole->pixels +
		    (size_t)(((y + at->y) * whole->w + at->x) * im.channels),
		    width) != 0)
			t_fail("%s: %lld x %lld at %lld, %lld: row %lld is "
			    "another", f->name, (long long)at->w,
			    (long long)at->h, (long long)at->x,
			    (long long)at->y, (long long)y);
}

T_CASE(a_part_has_the_pixels_that_it_has_in_the_whole)
{
	struct image_room *r = image_room_new(), *r2 = image_room_new();
	uint32_t draw = 1;

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_files); i++) {
		const struct golden_file *f = &golden_files[i];
		const struct image whole = must_decode(r, f->p, f->n, f->name,
		    0);
		for (int k = 0; k < 60; k++) {
			int64_t v[4];
			for (int j = 0; j < 4; j++)
				v[j] = rk_draw_u32(5, 0, 0, draw++) >> 8;
			struct image_part at = { .w = 1 + v[0] % f->w,
				.h = 1 + v[1] % f->h };
			at.x = v[2] % (f->w - at.w + 1);
			at.y = v[3] % (f->h - at.h + 1);
			part_is_cut_out(f, &whole, r2, &at);
		}
	}
	image_room_free(r);
	image_room_free(r2);
}

T_CASE(a_shrunk_picture_looks_like_the_whole)
{
	const struct golden_file *f = golden("jpeg_large");
	struct image_room *r = image_room_new(), *r2 = image_room_new();
	const struct image_part all = { .w = f->w, .h = f->h };
	struct rk_why why = { 0 };

	for (int shrink = 2; shrink <= 8; shrink *= 2) {
		struct image whole = must_decode(r, f->p, f->n, f->name, 0);
		struct image_box box;
		struct image im;
		double off = 0;

		t_eq_int(image_decode_part(r2, f->p, f->n, f->name, NULL, 0,
		    &all, shrink, &im, &box, &why), RK_OK);
		t_eq_int(im.w, (f->w + shrink - 1) / shrink);
		t_eq_int(im.h, (f->h + shrink - 1) / shrink);
		image_resize(r, &whole, im.w, im.h);
		const size_t n = (size_t)(im.w * im.h * 3);
		for (size_t k = 0; k < n; k++)
			off += abs(im.pixels[k] - whole.pixels[k]);
		/* Two low-pass filters of one picture, in grey levels. */
		t_check(off / (double)n < 12);
	}
	image_room_free(r);
	image_room_free(r2);
}

T_CASE(a_shrunk_part_is_resized_to_the_bytes_of_pils_draft)
{
	const struct golden_file *f = golden("jpeg_large");
	struct image_room *r = image_room_new();
	struct rk_why why = { 0 };
	char hex[RK_SHA256_HEX];

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_drafts); i++) {
		const struct golden_draft *g = &golden_drafts[i];
		const struct image_part at = { g->x, g->y, g->w, g->h };
		struct image_box box;
		struct image im;

		t_eq_int(image_decode_part(r, f->p, f->n, f->name, NULL, 0,
		    &at, g->shrink, &im, &box, &why), RK_OK);
		image_resize_box(r, &im, &box, g->to_w, g->to_h);
		digest_of(&im, hex);
		if (strcmp(hex, g->sha256) != 0)
			t_fail("a %dth of %lld x %lld at %lld, %lld: other "
			    "bytes", g->shrink, (long long)g->w,
			    (long long)g->h, (long long)g->x, (long long)g->y);
	}
	image_room_free(r);
}

/* Two ways to one picture differ where a byte between was rounded. */
static void
is_nearly(const struct image *a, const struct image *b, const char *name)
{
	t_check(a->w == b->w && a->h == b->h && a->channels == b->channels);
	for (int64_t k = 0; k < a->w * a->h * a->channels; k++)
		if (abs(a->pixels[k] - b->pixels[k]) > 1)
			t_fail("%s: %d and %d", name, a->pixels[k],
			    b->pixels[k]);
}

/* The part that people see lies elsewhere in the file, and so do the fractions of
 * its edges. */
T_CASE(a_shrunk_picture_that_is_turned_is_the_one_that_is_not)
{
	const struct golden_file *f = golden("jpeg_turned_1");
	const struct image_part all = { .w = f->w, .h = f->h };
	struct image_room *r = image_room_new(), *r2 = image_room_new();
	struct rk_why why = { 0 };
	struct image_box box;

	for (int k = 2; k <= 8; k++) {
		char name[] = "jpeg_turned_0";
		struct image plain, im;
		name[12] = (char)('0' + k);
		const struct golden_file *g = golden(name);
		const struct image_part turned = { .w = g->w, .h = g->h };
		t_eq_int(image_decode_part(r, f->p, f->n, "x", NULL, 0, &all,
		    2, &plain, &box, &why), RK_OK);
		image_resize_box(r, &plain, &box, 5, 5);
		image_orient(r, &plain, k);
		t_eq_int(image_decode_part(r2, g->p, g->n, "x", NULL, 0,
		    &turned, 2, &im, &box, &why), RK_OK);
		image_resize_box(r2, &im, &box, 5, 5);
		is_nearly(&im, &plain, name);
	}
	image_room_free(r);
	image_room_free(r2);
}

T_CASE(only_what_is_much_larger_is_shrunk)
{
	t_eq_int(image_shrink_for(500, 375, 224, 224), 1);
	t_eq_int(image_shrink_for(896, 895, 224, 224), 1);
	t_eq_int(image_shrink_for(896, 896, 224, 224), 2);
	t_eq_int(image_shrink_for(4000, 3000, 224, 224), 4);
	t_eq_int(image_shrink_for(4000, 4000, 224, 224), 8);
}

/* --- broken --------------------------------------------------------------- */

T_CASE(a_file_that_is_cut_is_refused_wherever_it_is_cut)
{
	static const char *const names[] = { "jpeg_420", "jpeg_progressive",
		"jpeg_grey", "jpeg_cmyk", "png_rgb", "png_interlaced",
		"png_palette_alpha" };
	struct image_room *r = image_room_new();

	for (size_t i = 0; i < RK_ARRAY_LEN(names); i++) {
		const struct golden_file *f = golden(names[i]);
		/* The end marker alone may be missing, and of a baseline JPEG
		 * bits that fill up its last byte. */
		const size_t end = names[i][0] == 'p' ? 12 :
		    strstr(names[i], "progressive") != NULL ? 2 : 3;
		for (size_t n = 0; n < f->n - end; n++) {
			struct rk_why why = { 0 };
			struct image im;
			/* Sized exactly, so that a read behind it is seen. */
			uint8_t *p = malloc(n > 0 ? n : 1);

			memcpy(p, f->p, n);
			if (image_decode(r, p, n, "x", NULL, 0, &im, &why) !=
			    RK_EINVAL)
				t_fail("%s is taken without its last %zu bytes",
				    names[i], f->n - n);
			t_eq_int(why.n, 1);
			rk_why_fini(&why);
			free(p);
		}
	}
	image_room_free(r);
}

T_CASE(an_end_marker_alone_may_be_missing)
{
	const struct golden_file *f = golden("jpeg_420"), *g =
	    golden("png_rgb");
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];

	struct image im = must_decode(r, f->p, f->n - 2, "jpeg", 0);
	digest_of(&im, hex);
	t_eq_str(hex, f->sha256);
	im = must_decode(r, g->p, g->n - 12, "png", 0);
	digest_of(&im, hex);
	t_eq_str(hex, g->sha256);
	image_room_free(r);
}

T_CASE(a_broken_file_is_broken_by_whatever_part)
{
	const struct golden_file *f = golden("jpeg_large");
	const struct image_part top = { .w = 16, .h = 8 };
	struct image_room *r = image_room_new();
	struct rk_why why = { 0 };
	struct image im;
	struct image_box box;

	t_eq_int(image_decode_part(r, f->p, f->n - 40, "x", NULL, 0, &top, 1,
	    &im, &box, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "premature end of data");
	rk_why_fini(&why);
	image_room_free(r);
}

T_CASE(a_byte_that_is_changed_ends_no_process)
{
	struct image_room *r = image_room_new();
	uint64_t draw = 1;
	int taken = 0, refused = 0;

	for (size_t i = 0; i < RK_ARRAY_LEN(golden_files); i++) {
		const struct golden_file *f = &golden_files[i];
		for (int k = 0; k < 100; k++) {
			struct rk_why why = { 0 };
			uint8_t *p = copy_of(f);
			struct image im;

			const uint32_t at = rk_draw_u32(7, 0, 0, draw++);
			p[at % f->n] = (uint8_t)rk_draw_u32(7, 0, 0, draw++);
			const enum rk_err rc = image_decode(r, p, f->n, "x",
			    NULL, 0, &im, &why);
			t_check(rc == RK_OK || rc == RK_EINVAL);
			t_eq_int(why.n, rc != RK_OK);
			taken += rc == RK_OK;
			refused += rc != RK_OK;
			rk_why_fini(&why);
			free(p);
		}
	}
	t_check(taken > 100 && refused > 100);
	image_room_free(r);
}

T_CASE(checksums_of_pixels_are_looked_at)
{
	const struct golden_file *f = golden("png_rgb");
	uint8_t *p = copy_of(f);

	p[f->n - 13] ^= 1;              /* of the last IDAT's checksum */
	must_refuse(p, f->n, NULL, "is a broken PNG: IDAT: CRC error");
	free(p);
}

/* --- none, and too much --------------------------------------------------- */

T_CASE(what_is_no_picture_is_called_what_it_is)
{
	must_refuse((const uint8_t *)"", 0, NULL, "is empty");
	must_refuse((const uint8_t *)"GIF89a....", 10, NULL, "is a GIF, want");
	must_refuse((const uint8_t *)"RIFF....WEBPVP8 ", 16, NULL, "a WebP");
	must_refuse((const uint8_t *)"....ftypheic", 12, NULL, "a HEIF");
	must_refuse((const uint8_t *)"BM......", 8, NULL, "is a BMP");
	must_refuse((const uint8_t *)"II*\0....", 8, NULL, "is a TIFF");
	must_refuse((const uint8_t *)"hello world", 11, NULL,
	    "is neither a JPEG nor a PNG");
	must_refuse((const uint8_t *)"\xff\xd8\xff", 3, NULL,
	    "is a broken JPEG");
	must_refuse((const uint8_t *)"\x89PNG\r\n\x1a\n", 8, NULL,
	    "is a broken PNG");
}

/* The place of a marker's segment. */
static size_t
segment(const uint8_t *p, size_t n, uint8_t marker)
{
	size_t at = 2;

	while (at + 4 < n && p[at + 1] != marker)
		at += 2 + ((size_t)p[at + 2] << 8 | p[at + 3]);
	t_check(p[at + 1] == marker);
	return at;
}

static void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

T_CASE(sizes_are_looked_at_before_memory_is_taken)
{
	const struct golden_file *f = golden("jpeg_420"), *g =
	    golden("png_rgb");
	struct image_limits l = image_limits_default;
	uint8_t *p = copy_of(f);
	const size_t at = segment(p, f->n, 0xc0);

	put16(p + at + 5, 30000);
	put16(p + at + 7, 30000);
	must_refuse(p, f->n, NULL, "is of 30000 x 30000 pixels, which are "
	    "900,000,000: want at most 67,108,864");
	put16(p + at + 7, 65535);
	must_refuse(p, f->n, NULL, "Maximum supported image dimension is 65500");
	free(p);
	p = copy_of(g);
	put16(p + 16, 0x1000);          /* 2^28 rows of 37 */
	const uint32_t sum = crc(p + 12, 17);
	put16(p + 29, sum >> 16);
	put16(p + 31, sum & 0xffff);
	must_refuse(p, g->n, NULL, "want at most 65500 on each side");
	free(p);
	l.pixels = 1000;
	must_refuse(f->p, f->n, &l, "1,073: want at most 1,000");
}

T_CASE(coefficients_of_a_progressive_file_are_bounded)
{
	const struct golden_file *f = golden("jpeg_progressive");
	struct image_limits l = image_limits_default;
	uint8_t *p = copy_of(f);
	const size_t at = segment(p, f->n, 0xc2);

	put16(p + at + 5, 8000);
	put16(p + at + 7, 8000);
	l.memory = (uint64_t)100 << 20;
	must_refuse(p, f->n, &l, "is a progressive JPEG that takes");
	free(p);
}

/* Its first scan so many times: the coefficients that a scan refines are those
 * that it has. */
static uint8_t *
many_scans(const struct golden_file *f, int scans, size_t *n)
{
	const size_t at = segment(f->p, f->n, 0xda);
	size_t end = at + 2;

	while (!(f->p[end] == 0xff && f->p[end + 1] != 0 &&
	    (f->p[end + 1] & 0xf8) != 0xd0))
		end++;
	const size_t len = end - at;
	uint8_t *p = malloc(at + (size_t)scans * len + 2);
	memcpy(p, f->p, at);
	*n = at;
	for (int i = 0; i < scans; i++) {
		memcpy(p + *n, f->p + at, len);
		/* Not to be refined: the low bits are in this scan. */
		const size_t head = 2 + ((size_t)f->p[at + 2] << 8 |
		    f->p[at + 3]);
		p[*n + head - 1] = 0;
		*n += len;
	}
	p[(*n)++] = 0xff;
	p[(*n)++] = 0xd9;
	return p;
}

T_CASE(a_file_of_very_many_scans_is_refused)
{
	const struct golden_file *f = golden("jpeg_progressive_grey");
	struct image_room *r = image_room_new();
	size_t n;

	uint8_t *p = many_scans(f, 90, &n);
	must_decode(r, p, n, "ninety", 0);
	free(p);
	p = many_scans(f, 20000, &n);
	must_refuse(p, n, NULL, "is a broken JPEG: it has more than 100 scans");
	free(p);
	image_room_free(r);
}

T_CASE(a_scan_that_comes_out_of_its_order_is_refused)
{
	const struct golden_file *f = golden("jpeg_progressive_grey");
	size_t n;

	/* The first again, whose low bits are yet to come. */
	uint8_t *p = many_scans(f, 1, &n);
	const size_t at = segment(f->p, f->n, 0xda);
	const size_t head = 2 + ((size_t)f->p[at + 2] << 8 | f->p[at + 3]);
	t_eq_int(p[at + head - 1], 0);
	free(p);
	p = many_scans(f, 2, &n);
	p[at + head - 1] = 1;
	must_refuse(p, n, NULL, "Inconsistent progression sequence");
	free(p);
}

T_CASE(what_a_progressive_file_does_not_say_is_not_made_up)
{
	const struct golden_file *f = golden("jpeg_progressive_grey");
	struct image_room *r = image_room_new();
	size_t n;

	/* The means of blocks and nothing else: squares, not smooth. */
	uint8_t *p = many_scans(f, 1, &n);
	const struct image im = must_decode(r, p, n, "means", 1);
	for (int64_t y = 0; y < im.h; y++)
		for (int64_t x = 0; x < im.w; x++)
			t_eq_int(im.pixels[y * im.w + x],
			    im.pixels[(y - y % 8) * im.w + x - x % 8]);
	free(p);
	image_room_free(r);
}

/* n bytes put in at a place; freed by the case's end. */
static uint8_t *
put_in(const struct golden_file *f, size_t at, const char *bytes, size_t n)
{
	uint8_t *p = malloc(f->n + n);

	memcpy(p, f->p, at);
	memcpy(p + at, bytes, n);
	memcpy(p + at + n, f->p + at, f->n - at);
	return p;
}

T_CASE(markers_that_are_missing_are_not_guessed)
{
	const struct golden_file *f = golden("jpeg_grey");
	const size_t at = segment(f->p, f->n, 0xda);

	/* A marker behind each block, of which there is none. */
	uint8_t *p = put_in(f, at, "\xff\xdd\0\4\0\1", 6);
	must_refuse(p, f->n + 6, NULL, "instead of RST0");
	free(p);
}

T_CASE(a_code_that_no_table_has_is_refused)
{
	const struct golden_file *f = golden("jpeg_420");
	const size_t at = segment(f->p, f->n, 0xda);
	struct image_room *r = image_room_new();
	int found = 0;

	for (size_t k = at + 14; k < f->n - 2; k++) {
		struct rk_why why = { 0 };
		uint8_t *p = copy_of(f);
		struct image im;

		p[k] = 0xfe;
		if (image_decode(r, p, f->n, "x", NULL, 0, &im, &why) !=
		    RK_OK)
			found += strstr(rk_why_first(&why),
			    "bad Huffman code") != NULL;
		rk_why_fini(&why);
		free(p);
	}
	t_check(found > 0);
	image_room_free(r);
}

T_CASE(two_components_are_no_picture)
{
	const struct golden_file *f = golden("jpeg_grey");
	const size_t at = segment(f->p, f->n, 0xc0);
	uint8_t *p = put_in(f, at + 13, "\2\x11\0", 3);

	p[at + 3] = 14;                 /* bytes of the segment */
	p[at + 9] = 2;
	must_refuse(p, f->n + 3, NULL, "is a JPEG of 2 components, want 1, 3 "
	    "or 4");
	free(p);
}

T_CASE(exif_is_found_behind_filling_and_in_four_bytes)
{
	const struct golden_file *f = golden("jpeg_turned_6");
	const size_t at = segment(f->p, f->n, 0xe1);
	struct image_room *r = image_room_new();
	char hex[RK_SHA256_HEX];
	size_t k = at;

	uint8_t *p = put_in(f, at, "\xff\xff", 2);
	struct image im = must_decode(r, p, f->n + 2, "filled", 0);
	digest_of(&im, hex);
	t_eq_str(hex, f->sha256);
	free(p);
	p = copy_of(f);
	while (memcmp(p + k, "\x12\1\3\0", 4) != 0 &&
	    memcmp(p + k, "\1\x12\0\3", 4) != 0)
		k++;
	const bool big = p[k] == 1;
	p[k + (big ? 3 : 2)] = 4;       /* LONG */
	p[k + 8] = big ? 0 : 6;
	p[k + 9] = p[k + 10] = 0;
	p[k + 11] = big ? 6 : 0;
	im = must_decode(r, p, f->n, "long", 0);
	digest_of(&im, hex);
	t_eq_str(hex, f->sha256);
	free(p);
	image_room_free(r);
}

T_CASE(exif_that_is_damaged_turns_nothing)
{
	const struct golden_file *f = golden("jpeg_turned_6");
	struct image_room *r = image_room_new();
	const size_t at = segment(f->p, f->n, 0xe1);
	const size_t len = 2 + ((size_t)f->p[at + 2] << 8 | f->p[at + 3]);

	for (size_t k = at + 4; k < at + len; k++)
		for (int v = 0; v < 256; v += 5) {
			uint8_t *p = copy_of(f);
			p[k] = (uint8_t)v;
			const struct image im = must_decode(r, p, f->n, "x",
			    0);
			t_eq_int(im.w * im.h, f->w * f->h);
			free(p);
		}
	image_room_free(r);
}

/* --- written -------------------------------------------------------------- */

T_CASE(a_png_that_is_written_is_read_as_it_was)
{
	struct image_room *r = image_room_new();
	struct rk_why why = { 0 };

	for (int channels = 1; channels <= 3; channels += 2) {
		const struct image im = pattern(PATTERN_W, PATTERN_H,
		    channels);
		uint8_t *p;
		size_t n;

		t_eq_int(image_png(&im, &p, &n, &why), RK_OK);
		const struct image back = must_decode(r, p, n, "back", 0);
		t_eq_int(back.channels, channels);
		t_check(memcmp(back.pixels, im.pixels, (size_t)(PATTERN_W *
		    PATTERN_H * channels)) == 0);
		free(p);
		free(im.pixels);
	}
	image_room_free(r);
}

T_CASE(a_file_is_written_whole_or_a_sentence_says_why_not)
{
	const struct image im = pattern(PATTERN_W, PATTERN_H, 3);
	struct rk_why why = { 0 };

	t_eq_int(image_write_png(&im, "a.png", &why), RK_OK);
	t_eq_int(access("a.png", R_OK), 0);
	t_eq_int(image_write_png(&im, "none/a.png", &why), RK_ENOENT);
	t_has(rk_why_first(&why), "cannot write none/a.png: ");
	rk_why_fini(&why);
	t_eq_int(mkdir("dir", 0755), 0);
	t_eq_int(image_write_png(&im, "dir", &why), RK_EINVAL);
	t_has(rk_why_first(&why), "cannot write dir: it is a folder");
	rk_why_fini(&why);
	t_eq_int(image_write_png(&im, "dir/", &why), RK_EINVAL);
	rk_why_fini(&why);
	free(im.pixels);
}

T_CASE(the_version_of_the_arithmetic_is_said)
{
	t_has(image_jpeg_version(), "libjpeg-turbo ");
}

T_MAIN
