/* Where a direct convolution reads and writes. */
#include <stdlib.h>
#include <string.h>

#include "conv_phases.h"
#include "window.h"

#define L ((int64_t)KERNEL_BLOCK)

/* Taps of a phase along one side: the offset, for each place of the window that
 * counts there. */
static bool
offset(const struct conv_geometry *p, int side, int64_t first, int64_t i,
    int64_t *o)
{
	const int64_t s = p->v.stride[side];
	const int64_t at = i * window_dilation(&p->v, side) - p->v.pad[side];

	if (!p->data) {
		*o = at;
		return true;
	}
	if ((first - at) % s != 0)
		return false;
	*o = (first - at) / s;
	return true;
}

static void
add_taps(const struct conv_geometry *p, struct conv_phase *f)
{
	const int64_t *k = p->v.k;
	int64_t y, x;

	f->taps = xcalloc((size_t)(k[0] * k[1]), sizeof(*f->taps));
	for (int64_t i = 0; i < k[0]; i++)
	for (int64_t j = 0; j < k[1]; j++) {
		if (!offset(p, 0, f->y0, i, &y) || !offset(p, 1, f->x0, j, &x))
			continue;
		const bool first = f->ntaps == 0;
		f->taps[f->ntaps++] = (struct conv_tap){ y, x, i * k[1] + j };
		f->y_min = first ? y : RK_MIN(f->y_min, y);
		f->y_max = first ? y : RK_MAX(f->y_max, y);
		f->x_min = first ? x : RK_MIN(f->x_min, x);
		f->x_max = first ? x : RK_MAX(f->x_max, x);
	}
}

/* The rows and samples of a chunk, and how what it reads lies. */
static void
lay_out(const struct conv_geometry *p, struct conv_phase *f)
{
	f->rows = RK_MIN(RK_MAX(p->chunk / f->w, 1), f->h);
	f->samples = f->rows < f->h ? 1 :
	    RK_MIN(RK_MAX(p->chunk / (f->h * f->w), 1), p->B);
	f->copy = p->in.layout == KERNEL_PLAIN || f->y_min < 0 ||
	    f->x_min < 0 || (f->h - 1) * p->step[0] + f->y_max >= p->in.h ||
	    (f->w - 1) * p->step[1] + f->x_max >= p->in.w;
	f->in_rows = (f->rows - 1) * p->step[0] + f->y_max - f->y_min + 1;
	f->in_w = f->copy ? (f->w - 1) * p->step[1] + f->x_max - f->x_min + 1 :
	    p->in.w;
	f->in_row = f->in_w * p->wide;
	f->in_block = f->copy ? f->samples * f->in_rows * f->in_row :
	    p->in.h * f->in_row;
	f->in_sample = f->copy ? f->in_rows * f->in_row :
	    p->groups * p->in_blocks * f->in_block;
}

static void
add_places(const struct conv_geometry *p, struct conv_phase *f)
{
	const int64_t n = f->samples * f->rows * f->w;
	const int64_t out_sample = kernel_image_floats(KERNEL_BLOCKED, p->out.c,
	    p->out.h * p->out.w);
	int64_t k = 0;

	f->in = xcalloc((size_t)n, sizeof(*f->in));
	f->at = xcalloc((size_t)n, sizeof(*f->at));
	for (int64_t b = 0; b < f->samples; b++)
	for (int64_t r = 0; r < f->rows; r++)
	for (int64_t i = 0; i < f->w; i++, k++) {
		f->in[k] = (int32_t)(b * f->in_sample + r * p->step[0] *
		    f->in_row + i * p->step[1] * p->wide);
		f->at[k] = (int32_t)(b * out_sample + (r * p->out_step[0] *
		    p->out.w + i * p->out_step[1]) * L);
	}
}

/* Of a plain image the columns of the window lie side by side. */
static void
add_runs(const struct conv_geometry *p, struct conv_phase *f)
{
	const bool joined = p->in.layout == KERNEL_PLAIN &&
	    window_dilation(&p->v, 1) == 1;
	const int64_t each = joined ? p->v.k[1] : 1;
	int64_t k = 0;

	f->len = each * p->wide;
	f->nruns = p->in_blocks * f->ntaps / each;
	f->runs = xcalloc((size_t)f->nruns + 1, sizeof(*f->runs));
	for (int64_t b = 0; b < p->in_blocks; b++)
		for (int64_t t = 0; t < f->ntaps; t += each)
			f->runs[k++] = (int32_t)(b * f->in_block +
			    (f->taps[t].y - f->y_min) * f->in_row +
			    (f->taps[t].x - f->x_min) * p->wide);
}

static void
add_phases(struct conv_geometry *p)
{
	const int64_t ny = p->out_step[0], nx = p->out_step[1];

	p->phases = xcalloc((size_t)(ny * nx), sizeof(*p->phases));
	for (int64_t i = 0; i < ny * nx; i++) {
		struct conv_phase *f = &p->phases[p->nphases];
		*f = (struct conv_phase){ .y0 = i / nx, .x0 = i % nx };
		f->h = (p->out.h - f->y0 + ny - 1) / ny;
		f->w = (p->out.w - f->x0 + nx - 1) / nx;
		if (f->h <= 0 || f->w <= 0)
			continue;
		p->nphases++;
		add_taps(p, f);
		lay_out(p, f);
		add_places(p, f);
		add_runs(p, f);
		if (f->copy)
			p->copy_floats = RK_MAX(p->copy_floats, p->in_blocks *
			    f->in_block);
	}
}

void
kernel_conv_geometry(struct conv_geometry *p,
    const struct kernel_conv_want *w, bool data, int64_t groups, int64_t chunk)
{
	const struct kernel_window *v = &w->v;
	const struct conv_image x = { w->x, v->c, v->h, v->w, NULL };
	const struct conv_image y = { w->y, w->M, v->oh, v->ow, NULL };

	*p = (struct conv_geometry){ .data = data, .v = *v, .B = w->B,
		.chunk = chunk, .in = data ? y : x, .out = data ? x : y,
		.groups = groups };
	p->wide = p->in.layout == KERNEL_PLAIN ? v->c : L;
	for (int i = 0; i < 2; i++) {
		p->step[i] = data ? 1 : v->stride[i];
		p->out_step[i] = data ? v->stride[i] : 1;
	}
	p->in_blocks = p->in.layout == KERNEL_PLAIN ? 1 :
	    kernel_blocks(p->in.c) / groups;
	p->out_blocks = kernel_blocks(p->out.c) / groups;
	add_phases(p);
}

void
kernel_conv_geometry_free(struct conv_geometry *p)
{
	for (int64_t i = 0; i < p->nphases; i++) {
		free(p->phases[i].taps);
		free(p->phases[i].in);
		free(p->phases[i].at);
		free(p->phases[i].runs);
	}
	free(p->phases);
}

static int64_t
chunks(const struct conv_phase *f, int64_t B)
{
	return f->samples > 1 ? (B + f->samples - 1) / f->samples :
	    B * ((f->h + f->rows - 1) / f->rows);
}

int64_t
kernel_conv_parts(const struct conv_geometry *p, int64_t B)
{
	int64_t n = 0;

	for (int64_t i = 0; i < p->nphases; i++)
		n += chunks(&p->phases[i], B);
	return n;
}

void
kernel_conv_part(const struct conv_geometry *p, int64_t B, int64_t i,
    struct conv_part *s)
{
	int64_t n;

	s->f = p->phases;
	for (; i >= (n = chunks(s->f, B)); i -= n)
		s->f++;
	if (s->f->samples > 1) {
		s->b = i * s->f->samples;
		s->nb = RK_MIN(s->f->samples, B - s->b);
		s->q = 0;
		s->nq = s->f->h;
	} else {
		const int64_t down = (s->f->h + s->f->rows - 1) / s->f->rows;
		s->b = i / down;
		s->nb = 1;
		s->q = i % down * s->f->rows;
		s->nq = RK_MIN(s->f->rows, s->f->h - s->q);
	}
}

const float *
kernel_conv_source(const struct conv_geometry *p, const struct conv_part *s,
    const float *data, float *copy)
{
	const struct conv_phase *f = s->f;
	const int64_t top = s->q * p->step[0] + f->y_min;
	const int64_t first = s->g * p->in_blocks;
	struct conv_image im = p->in;

	if (!f->copy)
		return data + s->b * f->in_sample + first * f->in_block +
		    top * f->in_row + f->x_min * p->wide;
	im.data = data;
	const int64_t rows = (s->nq - 1) * p->step[0] + f->y_max - f->y_min + 1;
	for (int64_t c = 0; c < p->in_blocks; c++)
	for (int64_t k = 0; k < s->nb; k++)
	for (int64_t i = 0; i < rows; i++)
		kernel_conv_row(&im, s->b + k, first + c, top + i, f->x_min,
		    f->in_w, copy + c * f->in_block + k * f->in_sample +
		    i * f->in_row);
	return copy;
}

float *
kernel_conv_target(const struct conv_geometry *p, const struct conv_part *s,
    float *out)
{
	return out + ((s->b * p->groups + s->g) * p->out_blocks * p->out.h *
	    p->out.w + (s->f->y0 + s->q * p->out_step[0]) * p->out.w +
	    s->f->x0) * L;
}

void
kernel_conv_zeros(const struct conv_geometry *p, const struct conv_part *s,
    float *out)
{
	const int64_t plane = p->out.h * p->out.w * L;

	for (int64_t k = 0; k < p->out_blocks; k++)
		for (int64_t i = 0; i < s->nb * s->nq * s->f->w; i++)
			memset(out + k * plane + s->f->at[i], 0,
			    (size_t)L * sizeof(*out));
}
