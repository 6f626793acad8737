/*
 * data_view - a picture that is none of the data's, made into what the network
 * would get if it were one of the validation samples: decoded, brought to the
 * size that the source's pictures have, through data.transforms.validation,
 * normalised.  The numbers are the same, bit for bit, as those of the loader.
 *
 * Where the job has no transforms a picture is resized to what the network
 * takes.  Where it has some, pictures of a folder without `size` go through
 * them as they are, and all others are first resized to what the source's have.
 *
 * A view is one thread's.
 */
#ifndef REKINDLE_DATA_VIEW_H
#define REKINDLE_DATA_VIEW_H

#include "rekindle/data.h"

struct data_view;

/* Do the job's fields alone say what pictures are before the transforms?
 * false: its data must be opened for a view. */
bool data_view_is_said(const struct spec_data *s);

/* What the pictures of a set are before the transforms, [channels, height,
 * width], where that is one size; else false. */
bool data_view_from(const struct data_set *of, int64_t from[3]);

/*
 * For a network that takes samples of shape d, [channels, height, width] with
 * one or three channels.  `of` is the job's opened training set; NULL only
 * where data_view_is_said().  RK_EINVAL: the transforms make something else.
 */
enum rk_err data_view_new(const struct spec_data *s, const int64_t d[3],
    const struct data_set *of, struct data_view **vp,
    struct rk_why *why) RK_MUSTCHECK;
void data_view_free(struct data_view *v);       /* NULL is fine */

/* How pixels become numbers: x * scale[c] + shift[c], of n channels or of all
 * (1). */
struct data_view_norm {
	const float *scale, *shift;
	int64_t n;
};

/* The bytes of a JPEG or a PNG into x[c][h][w].  RK_EINVAL: it is broken, or
 * becomes too large on its way; why has a sentence that begins with `what`. */
enum rk_err data_view_file(struct data_view *v, const uint8_t *bytes, size_t n,
    const char *what, const struct data_view_norm *norm, float *x,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * The same of pixels in memory, [channels][h][w] as the source's are.  from:
 * their shape; false: it has none of its own, because there are no transforms
 * or because pictures have a size each.
 */
bool data_view_takes_pixels(const struct data_view *v, int64_t from[3]);
enum rk_err data_view_pixels(struct data_view *v, const uint8_t *planes,
    const char *what, const struct data_view_norm *norm, float *x,
    struct rk_why *why) RK_MUSTCHECK;

#endif
