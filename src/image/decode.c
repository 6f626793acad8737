/* The two decoders behind one face. */
#include <string.h>

#include "impl.h"

/* --- what may be decoded -------------------------------------------------- */

enum rk_err
decode_check(const struct decoding *d, int64_t w, int64_t h)
{
	const struct image_limits *l = d->limits;
	char all[RK_HUMAN], most[RK_HUMAN];

	if (w < 1 || h < 1)
		return rk_refuse(d->why, "%s: is of %lld x %lld pixels",
		    d->what, (long long)w, (long long)h);
	if (w > l->side || h > l->side)
		return rk_refuse(d->why, "%s: is of %lld x %lld pixels, want "
		    "at most %lld on each side", d->what, (long long)w,
		    (long long)h, (long long)l->side);
	if (w * h > l->pixels)
		return rk_refuse(d->why, "%s: is of %lld x %lld pixels, which "
		    "are %s: want at most %s", d->what, (long long)w,
		    (long long)h, rk_group_digits(all, w * h),
		    rk_group_digits(most, l->pixels));
	return RK_OK;
}

static enum rk_err
refuse_kind(const struct decoding *d, enum image_kind k)
{
	if (d->n == 0)
		return rk_refuse(d->why, "%s: is empty, want a JPEG or a PNG",
		    d->what);
	if (k == IMAGE_UNKNOWN)
		return rk_refuse(d->why, "%s: is neither a JPEG nor a PNG",
		    d->what);
	return rk_refuse(d->why, "%s: is a %s, want a JPEG or a PNG", d->what,
	    image_kind_words[k]);
}

static enum rk_err
read_head(const struct decoding *d, struct image_info *i, struct stored *s)
{
	*i = (struct image_info){ .kind = image_kind_of(d->p, d->n),
		.orientation = 1 };
	if (!image_kind_is_read(i->kind))
		return refuse_kind(d, i->kind);
	const enum rk_err rc = i->kind == IMAGE_JPEG ? jpeg_head(d, s) :
	    png_head(d, s);
	if (rc != RK_OK)
		return rc;
	i->orientation = look_orientation(i->kind, d->p, d->n);
	const bool turned = image_turn_of(i->orientation).turned;
	i->w = turned ? s->h : s->w;
	i->h = turned ? s->w : s->h;
	i->channels = s->channels;
	i->progressive = s->progressive;
	return RK_OK;
}

enum rk_err
image_look(struct image_room *r, const uint8_t *p, size_t n, const char *what,
    const struct image_limits *l, struct image_info *out, struct rk_why *why)
{
	const struct decoding d = { .room = r, .p = p, .n = n, .what = what,
		.limits = l != NULL ? l : &image_limits_default, .why = why };
	struct stored s;

	return read_head(&d, out, &s);
}

/* --- part of a picture ---------------------------------------------------- */

/* Where a part that people see is stored; w and h are of all as it is
 * stored. */
static struct image_part
stored_part(const struct image_part *p, int orientation, int64_t w, int64_t h)
{
	const struct image_turn t = image_turn_of(orientation);
	struct image_part s = !t.turned ? *p : (struct image_part){
		.x = p->y, .y = p->x, .w = p->h, .h = p->w };

	if (t.from_right)
		s.x = w - (s.x + s.w);
	if (t.from_below)
		s.y = h - (s.y + s.h);
	return s;
}

/* A box of what is stored, w x h, as people see it. */
static struct image_box
seen_box(struct image_box b, int orientation, int64_t w, int64_t h)
{
	const struct image_turn t = image_turn_of(orientation);

	if (t.from_right)
		b.x = (double)w - (b.x + b.w);
	if (t.from_below)
		b.y = (double)h - (b.y + b.h);
	return !t.turned ? b : (struct image_box){ .x = b.y, .y = b.x,
		.w = b.h, .h = b.w };
}

static enum rk_err
decode(const struct decoding *d, const struct image_info *i,
    const struct stored *s, int channels, const struct image_part *part,
    int shrink, struct image *out, struct image_box *box)
{
	const struct image_part at = stored_part(part, i->orientation, s->w,
	    s->h);
	const bool colour = channels == 3;
	enum rk_err rc;

	*box = (struct image_box){ .w = (double)at.w, .h = (double)at.h };
	if (i->kind == IMAGE_JPEG)
		rc = jpeg_read(d, &at, colour, shrink, out, box);
	else
		rc = png_read(d, &at, colour, out);
	if (rc != RK_OK)
		return rc;
	*box = seen_box(*box, i->orientation, out->w, out->h);
	image_to_channels(d->room, out, channels);
	image_orient(d->room, out, i->orientation);
	return RK_OK;
}

enum rk_err
image_decode_part(struct image_room *r, const uint8_t *p, size_t n,
    const char *what, const struct image_limits *l, int channels,
    const struct image_part *part, int shrink, struct image *out,
    struct image_box *box, struct rk_why *why)
{
	const struct decoding d = { .room = r, .p = p, .n = n, .what = what,
		.limits = l != NULL ? l : &image_limits_default, .why = why };
	struct image_info i;
	struct stored s;

	must(channels == 0 || channels == 1 || channels == 3);
	must(shrink == 1 || shrink == 2 || shrink == 4 || shrink == 8);
	enum rk_err rc = read_head(&d, &i, &s);
	if (rc != RK_OK)
		return rc;
	const struct image_part all = { .w = i.w, .h = i.h };
	if (part == NULL)
		part = &all;
	must(part->x >= 0 && part->y >= 0 && part->w > 0 && part->h > 0 &&
	    part->x + part->w <= i.w && part->y + part->h <= i.h);
	return decode(&d, &i, &s, channels, part, shrink, out, box);
}

enum rk_err
image_decode(struct image_room *r, const uint8_t *p, size_t n,
    const char *what, const struct image_limits *l, int channels,
    struct image *out, struct rk_why *why)
{
	struct image_box box;

	return image_decode_part(r, p, n, what, l, channels, NULL, 1, out,
	    &box, why);
}

int
image_shrink_for(int64_t from_w, int64_t from_h, int64_t to_w, int64_t to_h)
{
	for (int s = 8; s > 1; s /= 2)
		if (from_w / s >= 2 * to_w && from_h / s >= 2 * to_h)
			return s;
	return 1;
}

/* --- channels ------------------------------------------------------------- */

static void
to_grey(uint8_t *to, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++, from += 3)
		to[i] = grey_of(from);
}

static void
to_colour(uint8_t *to, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++, to += 3)
		to[0] = to[1] = to[2] = from[i];
}

void
image_to_channels(struct image_room *r, struct image *im, int channels)
{
	const size_t n = image_bytes(im->w, im->h, 1);

	if (channels == 0 || channels == im->channels)
		return;
	uint8_t *to = room_beside(r, im, im->w, im->h, channels);
	if (channels == 1)
		to_grey(to, im->pixels, n);
	else
		to_colour(to, im->pixels, n);
	im->pixels = to;
	im->channels = channels;
}
