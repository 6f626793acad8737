/*
 * PNG by libpng: with png_write.c the only file that knows it.
 *
 * As in jpeg.c, the library jumps back to guarded() where it gives up, over
 * functions that own nothing.  Of the chunks it sees those that pixels come
 * from alone: IHDR, PLTE, tRNS and IDAT; texts and profiles, which may be
 * bombs, are passed over.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#include <png.h>

#define TEXT_MAX 128

struct source {
	const uint8_t *next;
	size_t left;
};

struct job {
	const struct decoding *d;
	struct stored *stored;
	struct image_part part;
	bool colour;
	struct image *out;
	uint8_t *row;                   /* ... or all rows, of an interlaced
					   one */
	png_structp png;
	png_infop info;
	struct source source;
	jmp_buf gave_up;
	char text[TEXT_MAX];
};

/* --- what the library calls ----------------------------------------------- */

static RK_NORETURN void
on_error(png_structp png, png_const_charp text)
{
	struct job *j = png_get_error_ptr(png);

	snprintf(j->text, sizeof(j->text), "%s", text);
	longjmp(j->gave_up, 1);
}

static void
on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void
on_read(png_structp png, png_bytep to, size_t n)
{
	struct source *s = png_get_io_ptr(png);

	if (n > s->left)
		png_error(png, "it ends too early");
	memcpy(to, s->next, n);
	s->next += n;
	s->left -= n;
}

/* --- one picture ---------------------------------------------------------- */

/* Chunks that libpng knows and that no pixel comes from. */
static void
pass_over_chunks(png_structp png)
{
	static const png_byte names[] =
	    "acTL\0bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0"
	    "pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";

	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names,
	    (int)(sizeof(names) / 5));
}

static void
begin(struct job *j)
{
	const struct image_limits *l = j->d->limits;

	png_set_read_fn(j->png, &j->source, on_read);
	/* Ours are checked after; these only must not be in the way. */
	png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_chunk_malloc_max(j->png, (png_alloc_size_t)l->memory);
	pass_over_chunks(j->png);
	png_read_info(j->png, j->info);
	const int type = png_get_color_type(j->png, j->info);
	*j->stored = (struct stored){
		.w = png_get_image_width(j->png, j->info),
		.h = png_get_image_height(j->png, j->info),
		.channels = (type & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1,
	};
}

/* Every kind of pixel to bytes of grey or of colours. */
static void
choose_form(struct job *j)
{
	png_structp png = j->png;
	const int type = png_get_color_type(png, j->info);

	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(png);
	if (type == PNG_COLOR_TYPE_GRAY &&
	    png_get_bit_depth(png, j->info) < 8)
		png_set_expand_gray_1_2_4_to_8(png);
	png_set_scale_16(png);
	png_set_strip_alpha(png);
	if (j->colour && j->stored->channels == 1)
		png_set_gray_to_rgb(png);
}

static void
read_plain(struct job *j)
{
	const struct image *out = j->out;
	const size_t width = (size_t)(out->w * out->channels);
	const size_t at = (size_t)(j->part.x * out->channels);

	for (int64_t y = 0; y < j->stored->h; y++) {
		png_read_row(j->png, j->row, NULL);
		if (y >= j->part.y && y < j->part.y + j->part.h)
			memcpy(out->pixels + (size_t)(y - j->part.y) * width,
			    j->row + at, width);
	}
}

/* Seven passes over all rows. */
static void
read_interlaced(struct job *j, size_t row_bytes)
{
	const struct image *out = j->out;
	const size_t width = (size_t)(out->w * out->channels);
	const size_t at = (size_t)(j->part.x * out->channels);

	for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
		for (size_t y = 0; y < (size_t)j->stored->h; y++)
			png_read_row(j->png, j->row + y * row_bytes, NULL);
	for (size_t y = 0; y < (size_t)out->h; y++)
		memcpy(out->pixels + y * width, j->row +
		    (y + (size_t)j->part.y) * row_bytes + at, width);
}

static void
read_pixels(struct job *j)
{
	const bool interlaced = png_get_interlace_type(j->png, j->info) !=
	    PNG_INTERLACE_NONE;
	struct image *out = j->out;

	choose_form(j);
	if (interlaced)
		(void)png_set_interlace_handling(j->png);
	png_read_update_info(j->png, j->info);
	const size_t row_bytes = png_get_rowbytes(j->png, j->info);
	out->w = j->part.w;
	out->h = j->part.h;
	out->channels = png_get_channels(j->png, j->info);
	must(row_bytes == (size_t)(j->stored->w * out->channels));
	out->pixels = room_get(&j->d->room->picture[0], image_bytes(out->w,
	    out->h, out->channels));
	/* Rows of a pass are put into what is there of the passes before. */
	j->row = room_get(&j->d->room->rows, interlaced ?
	    row_bytes * (size_t)j->stored->h : row_bytes);
	if (interlaced)
		read_interlaced(j, row_bytes);
	else
		read_plain(j);
}

/* False: the library gave up, and j->text says why. */
static bool
guarded(void (*fn)(struct job *), struct job *j)
{
	if (setjmp(j->gave_up) != 0)
		return false;
	fn(j);
	return true;
}

static enum rk_err
png_begin(struct job *j, const struct decoding *d, struct stored *s)
{
	*j = (struct job){ .d = d, .stored = s,
		.source = { .next = d->p, .left = d->n } };
	*s = (struct stored){ 0 };
	/* What these two cannot make they return NULL for. */
	j->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, j, on_error,
	    on_warning);
	j->info = j->png != NULL ? png_create_info_struct(j->png) : NULL;
	if (j->info == NULL) {
		rk_refuse(d->why, "%s: the system has no memory to decode it",
		    d->what);
		return RK_ENOMEM;
	}
	if (!guarded(begin, j))
		return rk_refuse(d->why, "%s: is a broken PNG: %s", d->what,
		    j->text);
	return decode_check(d, s->w, s->h);
}

static void
png_finish(struct job *j)
{
	png_destroy_read_struct(&j->png, &j->info, NULL);
}

enum rk_err
png_head(const struct decoding *d, struct stored *s)
{
	struct job j;
	const enum rk_err rc = png_begin(&j, d, s);

	png_finish(&j);
	return rc;
}

enum rk_err
png_read(const struct decoding *d, const struct image_part *part, bool colour,
    struct image *out)
{
	struct stored s;
	struct job j;
	enum rk_err rc = png_begin(&j, d, &s);

	j.part = *part;
	j.colour = colour;
	j.out = out;
	if (rc == RK_OK && !guarded(read_pixels, &j))
		rc = rk_refuse(d->why, "%s: is a broken PNG: %s", d->what,
		    j.text);
	png_finish(&j);
	return rc;
}
