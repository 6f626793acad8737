/*
 * Curves over the steps: loss, accuracy, learning rate.  What later attempts
 * went over again, or left for a branch, is pale; the rest is one line from the
 * first step to the last.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "svg.h"

#define WIDE   720
#define LEFT   70
#define INNER  620              /* also: points of a curve, at most */
#define TOP    56
#define HIGH   170              /* of a panel */
#define GAP    52
#define VALUE_MAX 1e12          /* what is beyond is not drawn */
#define DOTS   40               /* evaluations that get one each */
#define INK    "#222"
#define GREY   "#666"

struct point {
	double step, v;
	bool pale;
	bool breaks;                    /* no line leads here from before */
};

struct series {
	const char *key, *split;        /* of a line */
	const char *over;
	const char *color, *faint;
	bool dots;
	struct point *v;
	size_t n, cap;
};

/* --- out of the lines ----------------------------------------------------- */

static void
add_point(struct series *s, const struct point *p)
{
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 64;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = *p;
}

static bool
is_word(const json_t *line, const char *key, const char *word)
{
	const char *s = json_string_value(json_object_get(line, key));

	return s != NULL && strcmp(s, word) == 0;
}

static bool
number_of(const json_t *line, const char *key, double *v)
{
	const json_t *x = json_object_get(line, key);

	*v = json_number_value(x);
	return json_is_number(x) && isfinite(*v) && fabs(*v) <= VALUE_MAX;
}

/* Which lines were left behind: those from the first step on of a later
 * attempt. */
static void
find_pale(const json_t *lines, bool *pale)
{
	double limit = HUGE_VAL, least = HUGE_VAL, step, attempt;
	double now = HUGE_VAL;

	for (size_t i = json_array_size(lines); i-- > 0;) {
		const json_t *line = json_array_get(lines, i);
		if (!number_of(line, "step", &step) ||
		    !number_of(line, "attempt", &attempt))
			continue;
		if (attempt < now) {
			limit = RK_MIN(limit, least);
			least = HUGE_VAL;
			now = attempt;
		}
		least = RK_MIN(least, step);
		pale[i] = step >= limit;
	}
}

static void
gather(struct series *s, const json_t *lines, const bool *pale)
{
	const json_t *line;
	double last = -1, attempt;
	struct point p;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)lines, i, line) {
		if (!is_word(line, "split", s->split) ||
		    (s->over != NULL && !is_word(line, "over", s->over)) ||
		    !number_of(line, "step", &p.step) ||
		    !number_of(line, "attempt", &attempt) ||
		    !number_of(line, s->key, &p.v) || p.step < 0)
			continue;
		p.pale = pale[i];
		p.breaks = attempt != last;
		last = attempt;
		add_point(s, &p);
	}
}

/* --- drawing -------------------------------------------------------------- */

struct panel {
	const char *title;
	double top;
	struct svg_axis x, y;
};

static void
put_point(struct strbuf *b, const struct panel *p, double step, double v,
    bool first)
{
	sb_addc(b, first ? 'M' : 'L');
	svg_number(b, svg_at(&p->x, step));
	sb_addc(b, ' ');
	svg_number(b, svg_at(&p->y, v));
}

/* Draws a curve: the points of one column of pixels as their mean. */
struct pen {
	struct strbuf *b;
	const struct panel *p;
	double steps, sum;
	size_t in, drawn;               /* in: points of the column so far */
	bool down;                      /* a line goes on from the last point */
};

static void
pen_flush(struct pen *n)
{
	if (n->in == 0)
		return;
	if (n->drawn++ == 0)
		sb_adds(n->b, "<path d=\"");
	put_point(n->b, n->p, n->steps / (double)n->in, n->sum /
	    (double)n->in, !n->down);
	n->down = true;
	n->steps = n->sum = 0;
	n->in = 0;
}

static void
pen_lift(struct pen *n)
{
	pen_flush(n);
	n->down = false;
}

/* The points of one kind, INNER of them at most, or some more where a step back
 * makes new columns. */
static void
put_curve(struct strbuf *b, const struct panel *p, const struct series *s,
    bool pale)
{
	struct pen n = { .b = b, .p = p };
	int64_t column = -1;

	for (size_t i = 0; i < s->n && n.drawn < 2 * INNER; i++) {
		const struct point *q = &s->v[i];
		const int64_t at = (int64_t)svg_at(&p->x, q->step);
		if (pale && (!q->pale || q->breaks))
			pen_lift(&n);
		if (q->pale != pale)
			continue;
		if (at != column)
			pen_flush(&n);
		column = at;
		n.steps += q->step;
		n.sum += q->v;
		n.in++;
	}
	pen_flush(&n);
	if (n.drawn > 0)
		sb_addf(b, "\" fill=\"none\" stroke=\"%s\" "
		    "stroke-width=\"1.5\"/>\n", pale ? s->faint : s->color);
}

static void
put_dots(struct strbuf *b, const struct panel *p, const struct series *s)
{
	if (!s->dots || s->n > DOTS)
		return;
	for (size_t i = 0; i < s->n; i++) {
		sb_adds(b, "<circle cx=\"");
		svg_number(b, svg_at(&p->x, s->v[i].step));
		sb_adds(b, "\" cy=\"");
		svg_number(b, svg_at(&p->y, s->v[i].v));
		sb_addf(b, "\" r=\"2.5\" fill=\"%s\"/>\n", s->v[i].pale ?
		    s->faint : s->color);
	}
}

static void
put_axes(struct strbuf *b, const struct panel *p)
{
	char text[RK_HUMAN];
	double v;

	for (int i = 0; svg_mark(&p->y, i, &v, text); i++) {
		const double y = svg_at(&p->y, v);
		svg_line(b, LEFT, y, LEFT + INNER, y, "#e4e4e4");
		svg_text(b, LEFT - 6, y + 4, SVG_END, 11, GREY, text);
	}
	for (int i = 0; svg_mark(&p->x, i, &v, text); i++) {
		const double x = svg_at(&p->x, v);
		svg_line(b, x, p->top + HIGH, x, p->top + HIGH + 4, GREY);
		svg_text(b, x, p->top + HIGH + 16, SVG_MIDDLE, 11, GREY, text);
	}
	svg_line(b, LEFT, p->top + HIGH, LEFT + INNER, p->top + HIGH, GREY);
	svg_text(b, LEFT, p->top - 8, SVG_START, 12, INK, p->title);
}

static void
widen(const struct series *s, double *lo, double *hi)
{
	for (size_t i = 0; i < s->n; i++) {
		*lo = RK_MIN(*lo, s->v[i].v);
		*hi = RK_MAX(*hi, s->v[i].v);
	}
}

/* n series into a panel; a wide range above 0 is logarithmic. */
static void
put_panel(struct strbuf *b, struct panel *p, struct series *const *s, int n)
{
	const double bottom = p->top + HIGH;
	double lo = HUGE_VAL, hi = -HUGE_VAL;

	for (int i = 0; i < n; i++)
		widen(s[i], &lo, &hi);
	p->y = lo > 0 && hi / lo > 100 ?
	    svg_axis_log(lo, hi, bottom, p->top) :
	    svg_axis_of(lo, hi, 5, bottom, p->top);
	put_axes(b, p);
	for (int i = 0; i < n; i++)
		put_curve(b, p, s[i], true);
	for (int i = 0; i < n; i++) {
		put_curve(b, p, s[i], false);
		put_dots(b, p, s[i]);
	}
}

static void
put_legend(struct strbuf *b, const struct series *train,
    const struct series *valid, bool pale)
{
	double x = LEFT;

	svg_box(b, x, 34, 18, 3, train->color);
	svg_text(b, x + 23, 39, SVG_START, 11, INK, "training");
	x += 100;
	if (valid->n > 0) {
		svg_box(b, x, 34, 18, 3, valid->color);
		svg_text(b, x + 23, 39, SVG_START, 11, INK, "validation");
		x += 110;
	}
	if (pale) {
		svg_box(b, x, 34, 9, 3, train->faint);
		svg_box(b, x + 9, 34, 9, 3, valid->faint);
		svg_text(b, x + 23, 39, SVG_START, 11, INK, "left behind");
	}
}

enum { LOSS, VAL_LOSS, ACCURACY, VAL_ACCURACY, RATE, SERIES };

static void
draw(struct strbuf *b, struct series s[SERIES], const char *title, bool pale)
{
	const struct {
		const char *title;
		int from, n;
	} panels[] = {
		{ "loss", LOSS, 2 }, { "accuracy", ACCURACY, 2 },
		{ "learning rate", RATE, 1 },
	};
	double lo = 0, hi = 1;
	struct panel p;
	int n = 0;

	for (int i = 0; i < SERIES; i++)
		for (size_t k = 0; k < s[i].n; k++)
			hi = RK_MAX(hi, s[i].v[k].step);
	for (size_t i = 0; i < RK_ARRAY_LEN(panels); i++)
		n += s[panels[i].from].n + s[panels[i].from +
		    panels[i].n - 1].n > 0;
	svg_begin(b, WIDE, TOP + n * (HIGH + GAP) + 14, title);
	svg_text(b, 16, 22, SVG_START, 15, INK, title);
	put_legend(b, &s[LOSS], &s[VAL_LOSS], pale);
	p.top = TOP + 14;
	for (size_t i = 0; i < RK_ARRAY_LEN(panels); i++) {
		struct series *v[] = { &s[panels[i].from],
			&s[panels[i].from + panels[i].n - 1] };
		if (v[0]->n + v[1]->n == 0)
			continue;
		p.title = panels[i].title;
		p.x = svg_axis_of(lo, hi, 8, LEFT, LEFT + INNER);
		p.x.hi = hi;            /* not behind the last step */
		put_panel(b, &p, v, panels[i].n);
		p.top += HIGH + GAP;
	}
	svg_text(b, LEFT + INNER, p.top - GAP + 32, SVG_END, 11, GREY,
	    "steps");
	svg_end(b);
}

bool
judge_draw_curves(const json_t *lines, const char *title, struct strbuf *out)
{
	const size_t n = json_array_size(lines);
	static const struct series kinds[SERIES] = {
		{ "loss", "train", "steps", "#1f5a96", "#bccfe1", false, NULL,
		    0, 0 },
		{ "loss", "validation", NULL, "#b23a3a", "#e6c3c3", true, NULL,
		    0, 0 },
		{ "accuracy", "train", "steps", "#1f5a96", "#bccfe1", false,
		    NULL, 0, 0 },
		{ "accuracy", "validation", NULL, "#b23a3a", "#e6c3c3", true,
		    NULL, 0, 0 },
		{ "learning_rate", "train", "steps", "#1f5a96", "#bccfe1",
		    false, NULL, 0, 0 },
	};
	struct series s[SERIES];
	bool *pale = xcalloc(n + 1, sizeof(*pale)), any = false;

	find_pale(lines, pale);
	for (size_t i = 0; i < n; i++)
		any |= pale[i];
	for (int i = 0; i < SERIES; i++) {
		s[i] = kinds[i];
		gather(&s[i], lines, pale);
		/* An epoch shorter than training.log_every has a line, too. */
		if (s[i].n == 0 && s[i].over != NULL) {
			s[i].over = "epoch";
			gather(&s[i], lines, pale);
		}
	}
	const bool ok = s[LOSS].n + s[VAL_LOSS].n > 0;
	if (ok)
		draw(out, s, title, any);
	for (int i = 0; i < SERIES; i++)
		free(s[i].v);
	free(pale);
	return ok;
}
