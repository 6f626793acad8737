/* Eight lines by eight columns at a time, in registers; see conv_pack.h. */
#include "conv_pack.h"
#include "vec8.h"

#define LINE 16                         /* floats of a cache line */

/* --- lines ---------------------------------------------------------------- */

/* The row of the panel for one channel and place after the other. */
struct walk {
	int64_t c, t;
	ptrdiff_t at;
};

static inline void
walk_on(const struct conv_rows *r, struct walk *s)
{
	const ptrdiff_t place = r->block * r->width;

	s->at += place;
	if (++s->t < r->taps)
		return;
	s->t = 0;
	s->at += r->width - r->taps * place;
	if (++s->c % r->block == 0)
		s->at += (r->taps - 1) * place;
}

/* Where the next rows are: up to a cache line of the lines. */
static int64_t
next_rows(const struct conv_rows *r, struct walk *s, ptrdiff_t at[LINE])
{
	const int64_t n = RK_MIN(LINE, (r->channels - s->c) * r->taps - s->t);

	for (int64_t i = 0; i < n; i++) {
		at[i] = s->at;
		walk_on(r, s);
	}
	return n;
}

/* Up to eight numbers n of up to eight lines, to as many rows. */
HELP void
pack_square(int64_t lines, int64_t n, const float *w, int64_t apart,
    const ptrdiff_t *at, float *panel)
{
	vec r[LANES];

	if (n < LANES) {
		for (int64_t i = 0; i < n; i++)
			for (int64_t l = 0; l < LANES; l++)
				panel[at[i] + l] = l < lines ?
				    w[l * apart + i] : 0;
		return;
	}
	for (int l = 0; l < LANES; l++)
		r[l] = l < lines ? load(w + l * apart) : (vec){ 0 };
	transpose(r);
	for (int i = 0; i < LANES; i++)
		store(panel + at[i], r[i]);
}

/*
 * Sixteen lines at a time, so that whole cache lines of the panel are written,
 * and of each of them a whole cache line before the next eight are read: lines
 * that are some KiB apart fall into the same few sets of a cache.
 */
FAST void
kernel_conv_pack_lines(const struct conv_rows *r, int64_t lines,
    const float *w, int64_t apart, float *panel)
{
	ptrdiff_t at[LINE];

	for (int64_t l = 0; l < lines; l += LINE) {
		const int64_t end = RK_MIN(lines, l + LINE);
		struct walk s = { 0 };
		for (int64_t q = 0, n; (n = next_rows(r, &s, at)) > 0; q += n)
			for (int64_t h = l; h < end; h += LANES)
				for (int64_t i = 0; i < n; i += LANES)
					pack_square(lines - h, n - i, w + h *
					    apart + q + i, apart, at + i,
					    panel + h);
	}
}

HELP void
unpack_square(int64_t lines, int64_t n, const float *panel,
    const ptrdiff_t *at, bool add, float *w, int64_t apart)
{
	vec r[LANES];

	if (n < LANES) {
		for (int64_t l = 0; l < RK_MIN(lines, LANES); l++)
			for (int64_t i = 0; i < n; i++) {
				const float v = panel[at[i] + l];
				float *to = w + l * apart + i;
				*to = add ? *to + v : v;
			}
		return;
	}
	for (int i = 0; i < LANES; i++)
		r[i] = load(panel + at[i]);
	transpose(r);
	for (int l = 0; l < LANES && l < lines; l++)
		put(w + l * apart, r[l], add);
}

FAST void
kernel_conv_unpack_lines(const struct conv_rows *r, int64_t lines,
    const float *panel, bool add, float *w, int64_t apart)
{
	ptrdiff_t at[LINE];
	struct walk s = { 0 };

	for (int64_t q = 0, n; (n = next_rows(r, &s, at)) > 0; q += n)
		for (int64_t h = 0; h < lines; h += LANES)
			for (int64_t i = 0; i < n; i += LANES)
				unpack_square(lines - h, n - i, panel + h,
				    at + i, add, w + h * apart + q + i, apart);
}

/* --- windows -------------------------------------------------------------- */

/* Places i to i + 7 of eight windows, and of those the ones that are asked for,
 * which are taps[t] and what follows; returns the first tap behind these. */
HELP int64_t
eight_places(const struct conv_tap *taps, int64_t ntaps, int64_t t, int64_t i,
    int64_t all, const float *w, int64_t step, float *panel)
{
	vec r[LANES];

	for (int l = 0; l < LANES; l++)
		r[l] = load(w + l * all + i);
	transpose(r);
	for (; t < ntaps && taps[t].i < i + LANES; t++)
		store(panel + t * step, r[taps[t].i - i]);
	return t;
}

FAST void
kernel_conv_pack_windows(const struct conv_tap *taps, int64_t ntaps,
    int64_t all, int64_t n, const float *w, int64_t step, float *panel)
{
	if (all == 1 && ntaps == 1) {
		memcpy(panel, w, (size_t)n * sizeof(*w));
		return;
	}
	for (int64_t j = 0; j < n; j += LANES, w += LANES * all,
	    panel += LANES) {
		const int64_t there = RK_MIN(n - j, LANES);
		int64_t t = 0;
		for (int64_t i = 0; there == LANES && i + LANES <= all;
		    i += LANES)
			t = eight_places(taps, ntaps, t, i, all, w, step,
			    panel);
		for (; t < ntaps; t++)
			for (int64_t l = 0; l < there; l++)
				panel[t * step + l] = w[l * all + taps[t].i];
	}
}
