/*
 * svg - boxes, lines and texts of a picture, and axes with round numbers.
 *
 * Coordinates are in pixels from the upper left corner, written with at most
 * one decimal; nothing depends on a locale, so the same numbers give the same
 * bytes.
 */
#ifndef JUDGE_SVG_H
#define JUDGE_SVG_H

#include "rekindle/base.h"

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };

/* A picture of w times h on white, and its end.  title: what a reader without
 * eyes gets, too. */
void svg_begin(struct strbuf *b, int w, int h, const char *title);
void svg_end(struct strbuf *b);
/* Text of any bytes but control characters, escaped. */
void svg_text(struct strbuf *b, double x, double y, enum svg_anchor a,
    int size, const char *color, const char *text);
/* The same, read upwards. */
void svg_text_up(struct strbuf *b, double x, double y, enum svg_anchor a,
    int size, const char *color, const char *text);
void svg_box(struct strbuf *b, double x, double y, double w, double h,
    const char *fill);
void svg_line(struct strbuf *b, double x1, double y1, double x2, double y2,
    const char *color);
void svg_dashes(struct strbuf *b, double x1, double y1, double x2, double y2,
    const char *color);
/* A coordinate, without what is not needed: "12", "12.5". */
void svg_number(struct strbuf *b, double v);
/* Escaped for XML; what is no character of it becomes '?'. */
void svg_escape(struct strbuf *b, const char *text);

/*
 * An axis over lo to hi, widened to whole steps of 1, 2 or 5 times a power of
 * ten, of which there are about `want`; a logarithmic one to whole powers of
 * ten.
 */
struct svg_axis {
	double lo, hi, step;
	bool log;
	double from, to;                /* pixels of lo and hi */
};
struct svg_axis svg_axis_of(double lo, double hi, int want, double from,
    double to);
struct svg_axis svg_axis_log(double lo, double hi, double from, double to);
double svg_at(const struct svg_axis *a, double v);
/* Mark i of them, from 0; false: there are no more.  text: as people write
 * it. */
bool svg_mark(const struct svg_axis *a, int i, double *v,
    char text[RK_HUMAN]);

#endif
