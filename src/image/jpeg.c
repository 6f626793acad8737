/*
 * JPEG by libjpeg-turbo: the only file that knows it.
 *
 * The library ends a picture that it cannot decode by a call that must not
 * return.  It jumps back to guarded(), and no function between there and the
 * library owns anything: all memory is the room's or the library's, which is
 * given back in one place, jpeg_end().  An object is made for each picture,
 * because one that is used again hands its tables on to files that have none.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#include <jpeglib.h>
/* Their words for warnings. */
#include <jerror.h>

struct jpeg_room {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr err;
	struct jpeg_source_mgr src;
	struct jpeg_progress_mgr progress;
	jmp_buf out;
	int scans;                      /* the most */
	bool ended;                     /* there are no bytes any more */
	bool several;                   /* scans, by its head */
	bool no_memory;
	char text[JMSG_LENGTH_MAX];     /* what was wrong */
};

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x
#define VERSION "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION)

const char *
image_jpeg_version(void)
{
	return VERSION;
}

const char *
image_jpeg_version_shrunk(void)
{
	return VERSION ", shrunk by exact boxes";
}

/* --- what the library calls ----------------------------------------------- */

static struct jpeg_room *
room_of(j_common_ptr c)
{
	/* The object is the first member. */
	return (struct jpeg_room *)(void *)c;
}

static void
on_error(j_common_ptr c)
{
	struct jpeg_room *j = room_of(c);

	j->no_memory = c->err->msg_code == JERR_OUT_OF_MEMORY;
	c->err->format_message(c, j->text);
	longjmp(j->out, 1);
}

/* Of these warnings pixels are missing or guessed. */
static bool
is_broken(int code)
{
	switch (code) {
	case JWRN_ARITH_BAD_CODE:
	case JWRN_BOGUS_PROGRESSION:
	case JWRN_HIT_MARKER:
	case JWRN_HUFF_BAD_CODE:
	case JWRN_MUST_RESYNC:
	case JWRN_NOT_SEQUENTIAL:
		return true;
	default:
		return false;
	}
}

static void
on_message(j_common_ptr c, int level)
{
	if (level < 0 && is_broken(c->err->msg_code))
		on_error(c);
}

static void
on_output(j_common_ptr c)
{
	(void)c;
}

static void
on_progress(j_common_ptr c)
{
	struct jpeg_room *j = room_of(c);

	if (j->c.input_scan_number <= j->scans)
		return;
	snprintf(j->text, sizeof(j->text), "it has more than %d scans",
	    j->scans);
	longjmp(j->out, 1);
}

static void
source_nothing(j_decompress_ptr c)
{
	(void)c;
}

/* An end marker where there is nothing: whether something is missing by that,
 * the decoder finds out, and what it cannot, is_whole(). */
static boolean
source_fill(j_decompress_ptr c)
{
	static const JOCTET end[] = { 0xff, JPEG_EOI };

	room_of((j_common_ptr)c)->ended = true;
	c->src->next_input_byte = end;
	c->src->bytes_in_buffer = sizeof(end);
	return TRUE;
}

static void
source_skip(j_decompress_ptr c, long n)
{
	struct jpeg_source_mgr *s = c->src;

	if (n <= 0)
		return;
	if ((size_t)n >= s->bytes_in_buffer) {
		source_fill(c);
		return;
	}
	s->next_input_byte += n;
	s->bytes_in_buffer -= (size_t)n;
}

/* --- one picture ---------------------------------------------------------- */

struct job {
	struct jpeg_room *j;
	const struct decoding *d;
	struct image_part part;         /* of the picture as it is decoded */
	struct image *out;
	uint8_t *row;                   /* one of the decoder's */
};

/* False: the library gave up, and j->text says why. */
static bool
guarded(void (*fn)(struct job *), struct job *job)
{
	if (setjmp(job->j->out) != 0)
		return false;
	fn(job);
	return true;
}

static void
begin(struct job *job)
{
	struct jpeg_room *j = job->j;

	jpeg_create_decompress(&j->c);
	j->c.mem->max_memory_to_use = (long)job->d->limits->memory;
	j->c.progress = &j->progress;
	j->c.src = &j->src;
	j->src.next_input_byte = job->d->p;
	j->src.bytes_in_buffer = job->d->n;
	jpeg_read_header(&j->c, TRUE);
	j->several = jpeg_has_multiple_scans(&j->c);
}

static struct jpeg_room *
jpeg_begin(const struct decoding *d)
{
	struct jpeg_room *j = d->room->jpeg;

	if (j == NULL)
		j = d->room->jpeg = xmalloc(sizeof(*j));
	memset(j, 0, sizeof(*j));
	j->c.err = jpeg_std_error(&j->err);
	j->err.error_exit = on_error;
	j->err.emit_message = on_message;
	j->err.output_message = on_output;
	j->progress.progress_monitor = on_progress;
	j->src.init_source = source_nothing;
	j->src.fill_input_buffer = source_fill;
	j->src.skip_input_data = source_skip;
	j->src.resync_to_restart = jpeg_resync_to_restart;
	j->src.term_source = source_nothing;
	j->scans = d->limits->scans;
	return j;
}

static void
jpeg_end(struct jpeg_room *j)
{
	jpeg_destroy_decompress(&j->c);
}

void
jpeg_room_free(struct jpeg_room *j)
{
	free(j);
}

static enum rk_err
gave_up(const struct decoding *d, const struct jpeg_room *j)
{
	if (j->no_memory) {
		rk_refuse(d->why, "%s: the system has no memory to decode it",
		    d->what);
		return RK_ENOMEM;
	}
	return rk_refuse(d->why, "%s: is a broken JPEG: %s", d->what, j->text);
}

/* --- its head ------------------------------------------------------------- */

/* Coefficients of a picture of several scans are all kept. */
static uint64_t
coefficients(const struct jpeg_decompress_struct *c)
{
	uint64_t n = 0;

	for (int i = 0; i < c->num_components; i++) {
		const jpeg_component_info *k = &c->comp_info[i];
		n += (uint64_t)(k->width_in_blocks +
		    (JDIMENSION)k->h_samp_factor) * (k->height_in_blocks +
		    (JDIMENSION)k->v_samp_factor) * sizeof(JBLOCK);
	}
	return n;
}

static enum rk_err
check_head(const struct decoding *d, struct jpeg_room *j)
{
	const int n = j->c.num_components;
	char text[RK_HUMAN], most[RK_HUMAN];

	if (n != 1 && n != 3 && n != 4)
		return rk_refuse(d->why, "%s: is a JPEG of %d components, want "
		    "1, 3 or 4", d->what, n);
	enum rk_err rc = decode_check(d, j->c.image_width, j->c.image_height);
	if (rc == RK_OK && j->several &&
	    coefficients(&j->c) > d->limits->memory)
		return rk_refuse(d->why, "%s: is a progressive JPEG that takes "
		    "%s to decode, want at most %s", d->what,
		    rk_human_bytes(text, coefficients(&j->c)),
		    rk_human_bytes(most, d->limits->memory));
	return rc;
}

static enum rk_err
read_head(const struct decoding *d, struct jpeg_room *j)
{
	struct job job = { .j = j, .d = d };

	if (!guarded(begin, &job))
		return gave_up(d, j);
	return check_head(d, j);
}

enum rk_err
jpeg_head(const struct decoding *d, struct stored *s)
{
	struct jpeg_room *j = jpeg_begin(d);
	const enum rk_err rc = read_head(d, j);

	*s = (struct stored){ .w = j->c.image_width, .h = j->c.image_height,
		.channels = j->c.num_components == 1 ? 1 : 3 };
	s->progressive = j->several;
	jpeg_end(j);
	return rc;
}

/* --- its pixels ----------------------------------------------------------- */

/* n pixels of Adobe's inverted inks. */
static void
inks_to_rgb(uint8_t *to, const uint8_t *from, int64_t n)
{
	for (int64_t i = 0; i < n; i++, from += 4, to += 3) {
		for (int k = 0; k < 3; k++) {
			const unsigned v = from[3] * (255u - from[k]) + 128;
			to[k] = (uint8_t)(from[3] - ((v + (v >> 8)) >> 8));
		}
	}
}

static int
row_bytes_of_pixel(const struct jpeg_decompress_struct *c)
{
	return c->out_color_space == JCS_CMYK ? 4 :
	    c->out_color_space == JCS_RGB ? 3 : 1;
}

static void
read_row(struct job *job)
{
	JSAMPROW row = job->row;

	while (jpeg_read_scanlines(&job->j->c, &row, 1) == 0)
		;
}

/* Columns left and right of the part are decoded, too, as far as its outermost
 * pixels are interpolated from them.  Where the row then begins. */
static int64_t
crop_columns(struct job *job)
{
	struct jpeg_decompress_struct *c = &job->j->c;
	const int64_t unit = (int64_t)c->min_DCT_scaled_size *
	    c->max_h_samp_factor;
	const int64_t from = RK_MAX(job->part.x - unit, 0);
	const int64_t to = RK_MIN(job->part.x + job->part.w + unit,
	    (int64_t)c->output_width);
	JDIMENSION x = (JDIMENSION)from, w = (JDIMENSION)(to - from);

	if (to - from + 2 * unit > (int64_t)c->output_width)
		return 0;
	jpeg_crop_scanline(c, &x, &w);
	return x;
}

/* Rows above the part: of those that are near by, it may need what is
 * between. */
static void
pass_rows_above(struct job *job)
{
	struct jpeg_decompress_struct *c = &job->j->c;
	const int64_t unit = (int64_t)c->min_DCT_scaled_size *
	    c->max_v_samp_factor;
	const int64_t far = job->part.y / unit - 1;

	if (far > 0)
		jpeg_skip_scanlines(c, (JDIMENSION)(far * unit));
	while (c->output_scanline < (JDIMENSION)job->part.y)
		read_row(job);
}

/* Those below are judged, but not made into pixels.  All that is left at once
 * would not even be looked at. */
static void
pass_rows_below(struct job *job)
{
	struct jpeg_decompress_struct *c = &job->j->c;
	const JDIMENSION left = c->output_height - c->output_scanline;

	if (left > 1)
		jpeg_skip_scanlines(c, left - 1);
	while (c->output_scanline < c->output_height)
		read_row(job);
}

static void
read_pixels(struct job *job)
{
	struct jpeg_decompress_struct *c = &job->j->c;
	const struct image *out = job->out;
	const size_t width = (size_t)(out->w * out->channels);

	jpeg_start_decompress(c);
	const int bytes = row_bytes_of_pixel(c);
	const size_t at = (size_t)((job->part.x - crop_columns(job)) * bytes);
	pass_rows_above(job);
	for (int64_t y = 0; y < out->h; y++) {
		uint8_t *to = out->pixels + (size_t)y * width;
		read_row(job);
		if (bytes == 4)
			inks_to_rgb(to, job->row + at, out->w);
		else
			memcpy(to, job->row + at, width);
	}
	pass_rows_below(job);
	jpeg_finish_decompress(c);
}

/* What the decoder does not find out by itself. */
static bool
is_whole(struct jpeg_room *j)
{
	return !j->ended || (!j->several && !j->c.arith_code);
}

static void
choose_method(struct jpeg_decompress_struct *c, bool colour, int shrink)
{
	const bool inks = c->jpeg_color_space == JCS_CMYK ||
	    c->jpeg_color_space == JCS_YCCK;

	c->out_color_space = inks ? JCS_CMYK : colour ||
	    c->num_components > 1 ? JCS_RGB : JCS_GRAYSCALE;
	c->dct_method = JDCT_ISLOW;
	c->do_fancy_upsampling = TRUE;
	c->do_block_smoothing = FALSE;
	c->scale_num = 1;
	c->scale_denom = (unsigned)shrink;
}

/* The pixels of the smaller picture that have something of the part. */
static struct image_part
shrunk_part(const struct image_part *p, int shrink)
{
	const int64_t x = p->x / shrink, y = p->y / shrink;

	return (struct image_part){ .x = x, .y = y,
		.w = (p->x + p->w + shrink - 1) / shrink - x,
		.h = (p->y + p->h + shrink - 1) / shrink - y };
}

/* Where the part lies in them; eighths are exact. */
static struct image_box
shrunk_box(const struct image_part *p, const struct image_part *at, int shrink)
{
	const double s = shrink;

	return (struct image_box){ .x = (double)p->x / s - (double)at->x,
		.y = (double)p->y / s - (double)at->y,
		.w = (double)p->w / s, .h = (double)p->h / s };
}

enum rk_err
jpeg_read(const struct decoding *d, const struct image_part *part,
    bool colour, int shrink, struct image *out, struct image_box *box)
{
	struct jpeg_room *j = jpeg_begin(d);
	struct job job = { .j = j, .d = d, .out = out };
	enum rk_err rc = read_head(d, j);

	if (rc == RK_OK) {
		choose_method(&j->c, colour, shrink);
		job.part = shrunk_part(part, shrink);
		*box = shrunk_box(part, &job.part, shrink);
		out->w = job.part.w;
		out->h = job.part.h;
		out->channels = j->c.out_color_space == JCS_GRAYSCALE ? 1 : 3;
		out->pixels = room_get(&d->room->picture[0], image_bytes(
		    out->w, out->h, out->channels));
		job.row = room_get(&d->room->rows,
		    4 * (size_t)j->c.image_width);
		if (!guarded(read_pixels, &job))
			rc = gave_up(d, j);
		else if (!is_whole(j))
			rc = rk_refuse(d->why, "%s: is a broken JPEG: it ends "
			    "before its end marker", d->what);
	}
	jpeg_end(j);
	return rc;
}
