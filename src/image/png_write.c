/* Pixels to a PNG of 8 bits: with png_read.c the only file that knows libpng. */
#include <fcntl.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The folder of a path, and what follows its last slash. */
static int
open_folder(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? xstrdup(".") : xstrndup(path,
	    (size_t)(slash - path) + 1);
	const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	free(folder);
	*name = slash == NULL ? path : slash + 1;
	return fd;
}

enum rk_err
image_write_png(const struct image *im, const char *path, struct rk_why *why)
{
	uint8_t *bytes = NULL;
	const char *name;
	size_t n;

	enum rk_err rc = image_png(im, &bytes, &n, why);
	if (rc != RK_OK)
		return rc;
	int fd = open_folder(path, &name);
	rc = fd < 0 ? rk_from_errno(errno) : name[0] == '\0' ? RK_EINVAL :
	    rk_replace_file(fd, name, bytes, n);
	if (rc != RK_OK)
		rk_refuse(why, "cannot write %s: %s", path, name[0] == '\0' ?
		    "is a folder" : rk_strerror(rc));
	rk_close(&fd);
	free(bytes);
	return rc;
}
