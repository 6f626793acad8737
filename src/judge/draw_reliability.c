/*
 * The reliability diagram (Guo et al., 2017): of each bin of confidence the
 * share that is right, beside what it would be if the network were calibrated;
 * below, how many rows each bin has.
 */
#include <math.h>
#include <stdlib.h>

#include "impl.h"
#include "svg.h"

#define LEFT  60
#define TOP   50
#define SIDE  300
#define BARS  70                /* height of the counts */
#define GAP   40
#define INK   "#222"
#define GREY  "#666"
#define BLUE  "#1f5a96"
#define RED   "#b23a3a"

static void
put_axes(struct strbuf *b, const struct svg_axis *x, const struct svg_axis *y)
{
	char text[RK_HUMAN];
	double v;

	for (int i = 0; svg_mark(y, i, &v, text); i++) {
		svg_line(b, LEFT, svg_at(y, v), LEFT + SIDE, svg_at(y, v),
		    "#ddd");
		svg_text(b, LEFT - 6, svg_at(y, v) + 4, SVG_END, 11, GREY,
		    text);
	}
	for (int i = 0; svg_mark(x, i, &v, text); i++)
		svg_text(b, svg_at(x, v), TOP + SIDE + 16, SVG_MIDDLE, 11,
		    GREY, text);
}

/* A bar to the share that is right, and what is missing or too much in red. */
static void
put_bin(struct strbuf *b, const struct bin *v, int k,
    const struct svg_axis *x, const struct svg_axis *y)
{
	const double left = svg_at(x, (double)k / JUDGE_BINS) + 1;
	const double wide = (double)SIDE / JUDGE_BINS - 2;
	const double right = (double)v->right / (double)v->rows;
	const double sure = v->confidence / (double)v->rows;
	const double a = svg_at(y, right), c = svg_at(y, sure);

	svg_box(b, left, a, wide, svg_at(y, 0) - a, BLUE);
	sb_adds(b, "<g fill-opacity=\"0.4\">");
	svg_box(b, left, RK_MIN(a, c), wide, fabs(a - c), RED);
	sb_adds(b, "</g>\n");
}

static void
put_counts(struct strbuf *b, const struct judge *j, const struct svg_axis *x)
{
	const double floor_y = TOP + SIDE + GAP + BARS;
	char text[RK_HUMAN];
	int64_t most = 1;

	for (int k = 0; k < JUDGE_BINS; k++)
		most = RK_MAX(most, j->bins[k].rows);
	for (int k = 0; k < JUDGE_BINS; k++) {
		const double high = BARS * (double)j->bins[k].rows /
		    (double)most;
		if (j->bins[k].rows > 0)
			svg_box(b, svg_at(x, (double)k / JUDGE_BINS) + 1,
			    floor_y - high, (double)SIDE / JUDGE_BINS - 2,
			    high, "#9db8d2");
	}
	svg_line(b, LEFT, floor_y, LEFT + SIDE, floor_y, GREY);
	svg_text(b, LEFT - 6, floor_y - BARS + 8, SVG_END, 11, GREY,
	    rk_group_digits(text, most));
	svg_text(b, LEFT + SIDE / 2.0, floor_y + 16, SVG_MIDDLE, 11, GREY,
	    j->w.task == JUDGE_TASK_LABELS ? "predictions by their probability"
	    : "rows by the confidence of their prediction");
}

bool
judge_draw_reliability(const struct judge *j, struct strbuf *out)
{
	const struct svg_axis x = svg_axis_of(0, 1, 5, LEFT, LEFT + SIDE);
	const struct svg_axis y = svg_axis_of(0, 1, 5, TOP + SIDE, TOP);
	const double ece = judge_figure(j, JUDGE_ECE);

	if (!is_calibrated(j))
		return false;
	svg_begin(out, LEFT + SIDE + 30, TOP + SIDE + GAP + BARS + 30,
	    "reliability");
	char *text = isfinite(ece) ? xasprintf("calibration error %.4f", ece) :
	    xstrdup("no rows");
	svg_text(out, 16, 22, SVG_START, 15, INK, text);
	free(text);
	svg_text(out, 16, 39, SVG_START, 11, GREY,
	    j->w.task == JUDGE_TASK_LABELS ?
	    "share of labels that are there, by probability; red: the gap" :
	    "share that is right, by confidence; red: the gap");
	put_axes(out, &x, &y);
	for (int k = 0; k < JUDGE_BINS; k++) {
		if (j->bins[k].rows > 0)
			put_bin(out, &j->bins[k], k, &x, &y);
	}
	svg_dashes(out, LEFT, svg_at(&y, 0), LEFT + SIDE, svg_at(&y, 1), GREY);
	put_counts(out, j, &x);
	svg_end(out);
	return true;
}
