/*
 * image - pictures: JPEG and PNG to pixels, what is done with pixels before a
 * network sees them, and pixels to PNG.
 *
 * Pure functions; any number of threads may call in here, each with a room of
 * its own.  What comes out depends on what goes in and on nothing else, on
 * every machine: no instruction set, no number of threads, no state.
 *
 * Memory.  A room is one thread's: it keeps what a decoder and two pictures
 * need and grows to the largest that came by (as xmalloc, it aborts where the
 * system has none).  The pixels of a picture that came from a room are the
 * room's, and a room has one such picture at a time: what is made of it takes
 * its place, and so does the next one.  A picture may also be of pixels that
 * are the caller's (image_of); these are never written to.
 *
 * Decoded are JPEG (ISO 10918-1: baseline, extended and progressive, Huffman or
 * arithmetic, 8 bits; by libjpeg-turbo) and PNG (ISO 15948; by libpng), told
 * from their first bytes, whatever their name.  Decided:
 *
 *	method      the inverse DCT is JDCT_ISLOW, chroma is upsampled by the
 *	            triangle filter (fancy upsampling), blocks are not smoothed:
 *	            all three are whole-number arithmetic of which
 *	            libjpeg-turbo's SIMD gives the same bytes as its C.
 *	            image_jpeg_version() is part of the numeric identity of a
 *	            run that reads JPEGs
 *	orientation of Exif (tag 0x0112; JPEG's first APP1 that begins so, PNG's
 *	            eXIf) is applied: what is called w and h is as people see
 *	            it.  A value that is none of 1 to 8, and Exif that cannot be
 *	            read, count as 1
 *	CMYK        and YCCK: stored inverted, as Adobe does, whether there is a
 *	            marker of Adobe's or not; R = K' - K' (255 - C') / 255,
 *	            rounded, where C' and K' are the bytes as they are stored
 *	grey        as it is where one channel is wanted, three alike where
 *	            three are
 *	colour      where one channel is wanted: (19595 R + 38470 G + 7471 B +
 *	            32768) / 65536, rounded down, which is Rec. 601's luma
 *	16 bits     v / 257, rounded
 *	1, 2, 4 bits  of greys: times 255, 85 and 17; palettes: their colours
 *	alpha       and transparent colours: left out; the colours below stay
 *	gamma, ICC  and all other chunks and markers are not looked at
 *
 * A file is broken, and refused, when pixels of it are missing or guessed:
 * where data end before the picture does, where a code or a checksum of data is
 * wrong, where a progressive file ends before its end marker.  It is not broken
 * by what no pixel comes from: bytes between markers, an unknown version of
 * JFIF, checksums of chunks that are not looked at, an end marker that alone is
 * missing.  The whole file is judged, also where only part of it is wanted.
 *
 * Errors are RK_EINVAL with one sentence that begins with `what`, or RK_ENOMEM.
 * The libraries' errors end in these, too: none of them ends the process.
 */
#ifndef REKINDLE_IMAGE_H
#define REKINDLE_IMAGE_H

#include "rekindle/base.h"

struct image {
	int64_t w, h;
	int channels;                   /* 1: grey, 3: red, green, blue */
	uint8_t *pixels;                /* [h][w][channels] */
};

struct image_room;
struct image_room *image_room_new(void);
void image_room_free(struct image_room *r);     /* NULL is fine */
/* Bytes that it keeps; of a decoder's own memory nothing. */
size_t image_room_bytes(const struct image_room *r);

/* --- files ----------------------------------------------------------------- */

enum image_kind {
	IMAGE_UNKNOWN, IMAGE_JPEG, IMAGE_PNG,
	/* known by name alone */
	IMAGE_GIF, IMAGE_BMP, IMAGE_WEBP, IMAGE_TIFF, IMAGE_HEIF
};
extern const char *const image_kind_words[];    /* by enum, then NULL */
enum image_kind image_kind_of(const uint8_t *p, size_t n);
/* JPEG and PNG: can be decoded here. */
bool image_kind_is_read(enum image_kind k);

/* What a file may ask for; what is beyond is refused before it is decoded. */
struct image_limits {
	int64_t side;                   /* pixels of a row or a column */
	int64_t pixels;                 /* of all */
	uint64_t memory;                /* bytes that a decoder takes beside */
	int scans;                      /* of a JPEG */
};
/* 65,500; 2^26 (8,192 x 8,192); 512 MiB; 100. */
extern const struct image_limits image_limits_default;

struct image_info {
	enum image_kind kind;
	int64_t w, h;                   /* as people see it */
	int channels;                   /* 1 or 3, of what is stored */
	int orientation;                /* 1 to 8 */
	bool progressive;               /* a JPEG of several scans */
};
/* The beginning of a file; nothing of its pixels is read.  `n` bytes are all
 * that there are. */
enum rk_err image_look(struct image_room *r, const uint8_t *p, size_t n,
    const char *what, const struct image_limits *l, struct image_info *out,
    struct rk_why *why) RK_MUSTCHECK;

/* All of it.  channels: 1 or 3, or 0 for what is stored.  limits: NULL for the
 * default.  *out is the room's. */
enum rk_err image_decode(struct image_room *r, const uint8_t *p, size_t n,
    const char *what, const struct image_limits *l, int channels,
    struct image *out, struct rk_why *why) RK_MUSTCHECK;

/*
 * Part of it, as people see it: the same pixels as if all were decoded and this
 * cut out, only sooner.  x, y, w and h must lie within what image_look() says.
 *
 * shrink 2, 4 or 8 (1: not): a JPEG is decoded to so much of its size in each
 * direction by an inverse DCT of 4, 2 or 1 (ceil(w/shrink) x ceil(h/shrink) of
 * the whole), a fast low-pass filter that is the same on every machine, and
 * PIL's draft(): not the bytes of a plain decoding that is resized.  *out is
 * then the part whose edges are x/shrink and y/shrink rounded down and
 * (x+w)/shrink and (y+h)/shrink rounded up, and the part that was asked for
 * lies in *box of it, whose edges are fractions of its pixels: for
 * image_resize_box().  A PNG is never shrunk; of what is not shrunk the box is
 * all.
 */
struct image_part {
	int64_t x, y, w, h;
};
struct image_box {
	double x, y, w, h;
};
enum rk_err image_decode_part(struct image_room *r, const uint8_t *p, size_t n,
    const char *what, const struct image_limits *l, int channels,
    const struct image_part *part, int shrink, struct image *out,
    struct image_box *box, struct rk_why *why) RK_MUSTCHECK;
/* The rule of who resizes: the largest shrink that leaves at least twice as
 * many pixels as are wanted, in both directions; 1 where even 2 would not. */
int image_shrink_for(int64_t from_w, int64_t from_h, int64_t to_w,
    int64_t to_h);

/* "libjpeg-turbo 2.1.5": whose arithmetic pixels of JPEGs have. */
const char *image_jpeg_version(void);
/* The same where large ones are shrunk and then resized by their box:
 * "libjpeg-turbo 2.1.5, shrunk by exact boxes". */
const char *image_jpeg_version_shrunk(void);

/* Write it as a PNG of 8 bits, no file of the name before; bytes in *out, the
 * caller frees.  The same bytes for the same pixels and the same zlib. */
enum rk_err image_png(const struct image *im, uint8_t **out, size_t *n,
    struct rk_why *why) RK_MUSTCHECK;
/* The same into a file, whole or not at all (rk_replace_path). */
enum rk_err image_write_png(const struct image *im, const char *path,
    struct rk_why *why) RK_MUSTCHECK;

/* --- pixels ----------------------------------------------------------------- */

/* A picture of the caller's pixels [h][w][channels]; and one of planes
 * [channels][h][w], which is put together in the room. */
struct image image_of(const uint8_t *pixels, int64_t w, int64_t h,
    int channels);
void image_of_planes(struct image_room *r, const uint8_t *planes, int64_t w,
    int64_t h, int channels, struct image *out);

/* To so many channels, as a decoder does (above); 0: as it is. */
void image_to_channels(struct image_room *r, struct image *im, int channels);

/*
 * To w x h, bilinear and antialiased, by the arithmetic of PIL's resize (Pillow
 * 9.4, reducing_gap unset), byte for byte.  First the rows, then the columns,
 * each
 *
 *	scale = from / to,  s = max(scale, 1),  c = (i + 1/2) scale
 *	y[i] = sum_j k[j] x[j],  k[j] = max(0, 1 - |(j - c + 1/2) / s|) / sum,
 *	j from trunc(c - s + 1/2) to below trunc(c + s + 1/2), inside the
 *	picture
 *
 * with k as whole numbers of 2^-22, rounded, and y rounded to a byte.
 */
void image_resize(struct image_room *r, struct image *im, int64_t w,
    int64_t h);
/* The box alone to w x h, as PIL's resize(box=): above with from the box's
 * width or height and c = box's x or y + (i + 1/2) scale; pixels that lie
 * outside of it count as far as its filter reaches.  The box lies in the
 * picture. */
void image_resize_box(struct image_room *r, struct image *im,
    const struct image_box *box, int64_t w, int64_t h);

/* The part at x, y of w x h; what lies outside is `fill` in each channel. */
void image_crop(struct image_room *r, struct image *im,
    const struct image_part *part, uint8_t fill);

/* Turned as Exif's orientation says (1 to 8): 2 is a flip of left and right, 4
 * one of top and bottom, 3 half a turn, 6 a quarter clockwise. */
void image_orient(struct image_room *r, struct image *im, int orientation);

/*
 * Turned by so many degrees counter-clockwise around its middle, in its own
 * size; what comes from outside is `fill`.  nearest: the pixel in which the
 * place lies; bilinear: between the four around it, and places outside the
 * middles of the outermost pixels, but inside the picture, are at its edge.
 */
void image_rotate(struct image_room *r, struct image *im, double degrees,
    bool bilinear, uint8_t fill);

/*
 * Colours, as PIL's ImageEnhance and torchvision's adjust_hue (of PIL images)
 * have them; f >= 0, 1 changes nothing.  y is cut to 0 to 255 and to a whole
 * number below.
 *
 *	brightness  y = f x
 *	contrast    y = m + f (x - m), m the mean of the greys, rounded
 *	saturation  y = g + f (x - g), g the grey of the pixel
 *	hue         the colour as hue, saturation and value of 8 bits each
 *	            (PIL's HSV), the first of which moves around its circle
 * A grey picture has neither saturation nor hue, and stays.
 */
void image_brightness(struct image_room *r, struct image *im, float f);
void image_contrast(struct image_room *r, struct image *im, float f);
void image_saturation(struct image_room *r, struct image *im, float f);
/* turns: -1/2 to 1/2 of the whole circle; the hue's byte moves by 255 turns cut
 * to a whole number, modulo 256. */
void image_hue(struct image_room *r, struct image *im, float turns);

/* y[c][h][w] = x * scale[c] + shift[c], as a float in the order that networks
 * take; scale and shift have `n` numbers, 1 for all channels or one each. */
void image_floats(const struct image *im, const float *scale,
    const float *shift, int64_t n, float *y);

/* --- letters ---------------------------------------------------------------- */

/* Text in letters of 5 x 7 (a cell of 6 x 8) of our own, into pixels that are
 * the caller's: ASCII as it is, each other character as ? .  What does not fit
 * is cut. */
#define IMAGE_LETTER_W 6
#define IMAGE_LETTER_H 8
void image_write_text(struct image *im, int64_t x, int64_t y, const char *text,
    const uint8_t colour[3]);

#endif
