/*
 * image, inside: the memory of a room, and what the decoders share.
 *
 *	room.c    memory
 *	look.c    what a file is, and how it is turned
 *	decode.c  the two decoders behind one face; channels
 *	jpeg.c, png_read.c, png_write.c  the only files that know the libraries
 *	resize.c, crop.c, rotate.c, colour.c, letters.c  pixels
 */
#ifndef IMAGE_IMPL_H
#define IMAGE_IMPL_H

#include "rekindle/image.h"

struct image_room {
	unsigned tag;
	struct room_block {
		uint8_t *p;
		size_t cap;
	} picture[2];                   /* one of them has the picture */
	struct room_block rows;         /* rows on their way: resize, JPEG,
					   PNG */
	struct room_block weights;      /* resize */
	struct jpeg_room *jpeg;         /* NULL before the first JPEG */
};

/* At least n bytes of a block; what was in it is lost when it grows. */
uint8_t *room_get(struct room_block *b, size_t n);
/* Room for a picture beside im, which may be in the room: im stays as it is. */
uint8_t *room_beside(struct image_room *r, const struct image *im, int64_t w,
    int64_t h, int channels);
/* im's pixels may be written to: those of the caller are copied. */
void room_own(struct image_room *r, struct image *im);
/* Bytes of a picture; it must be one. */
size_t image_bytes(int64_t w, int64_t h, int channels);

/* Rec. 601's luma of a pixel of three bytes, rounded. */
static inline uint8_t
grey_of(const uint8_t *p)
{
	return (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] +
	    32768u) >> 16);
}

/* Where a picture of Exif's orientation begins, and which way it goes, as it is
 * stored. */
struct image_turn {
	bool turned;                    /* its rows are stored as columns */
	bool from_right, from_below;    /* ... and which ends come first */
};
struct image_turn image_turn_of(int orientation);       /* 1 to 8 */

/* Exif's orientation in a JPEG or a PNG, 1 where it does not say. */
int look_orientation(enum image_kind k, const uint8_t *p, size_t n);

/* A picture's file on its way. */
struct decoding {
	struct image_room *room;
	const uint8_t *p;
	size_t n;
	const char *what;
	const struct image_limits *limits;
	struct rk_why *why;
};
/* Over a limit, or of no size: RK_EINVAL and a sentence. */
enum rk_err decode_check(const struct decoding *d, int64_t w, int64_t h)
    RK_MUSTCHECK;

/* What a decoder finds at the head of a file, before it is turned. */
struct stored {
	int64_t w, h;
	int channels;
	bool progressive;
};
/* The part in stored order; *out has 1 or 3 channels: 3 where `colour`, else as
 * stored.  box: where the part lies in *out. */
enum rk_err jpeg_head(const struct decoding *d, struct stored *s) RK_MUSTCHECK;
enum rk_err jpeg_read(const struct decoding *d, const struct image_part *part,
    bool colour, int shrink, struct image *out, struct image_box *box)
    RK_MUSTCHECK;
void jpeg_room_free(struct jpeg_room *j);
enum rk_err png_head(const struct decoding *d, struct stored *s) RK_MUSTCHECK;
enum rk_err png_read(const struct decoding *d, const struct image_part *part,
    bool colour, struct image *out) RK_MUSTCHECK;

#endif
