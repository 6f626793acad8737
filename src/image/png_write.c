/* Pixels to a PNG of 8 bits: with png_read.c the only file that knows
 * libpng. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#include <png.h>

struct job {
	const struct image *im;
	struct strbuf bytes;
	jmp_buf gave_up;
};

static RK_NORETURN void
on_error(png_structp png, png_const_charp text)
{
	struct job *j = png_get_error_ptr(png);

	(void)text;
	longjmp(j->gave_up, 1);
}

static void
on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void
on_write(png_structp png, png_bytep p, size_t n)
{
	struct job *j = png_get_io_ptr(png);

	sb_add(&j->bytes, p, n);
}

static void
on_flush(png_structp png)
{
	(void)png;
}

static bool
encode(struct job *j, png_structp png, png_infop info)
{
	const struct image *im = j->im;

	if (setjmp(j->gave_up) != 0)
		return false;
	png_set_write_fn(png, j, on_write, on_flush);
	png_set_IHDR(png, info, (png_uint_32)im->w, (png_uint_32)im->h, 8,
	    im->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
	    PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
	    PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (int64_t y = 0; y < im->h; y++)
		png_write_row(png, im->pixels + (size_t)(y * im->w *
		    im->channels));
	png_write_end(png, info);
	return true;
}

enum rk_err
image_png(const struct image *im, uint8_t **out, size_t *n,
    struct rk_why *why)
{
	struct job j = { .im = im };

	must(image_bytes(im->w, im->h, im->channels) > 0);
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &j,
	    on_error, on_warning);
	png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
	const bool ok = info != NULL && encode(&j, png, info);
	png_destroy_write_struct(&png, &info);
	if (!ok) {
		sb_fini(&j.bytes);
		rk_refuse(why, "the system has no memory for a PNG of %lld x "
		    "%lld pixels", (long long)im->w, (long long)im->h);
		return RK_ENOMEM;
	}
	*n = j.bytes.len;
	*out = (uint8_t *)sb_detach(&j.bytes);
	return RK_OK;
}

enum rk_err
image_write_png(const struct image *im, const char *path, struct rk_why *why)
{
	uint8_t *bytes = NULL;
	size_t n;

	enum rk_err rc = image_png(im, &bytes, &n, why);
	if (rc == RK_OK)
		rc = rk_replace_path(path, bytes, n, why);
	free(bytes);
	return rc;
}
