/* Parts of a picture: see svg.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "svg.h"

#define FONT "font-family=\"sans-serif\""
#define MARKS_MAX 24

/* --- texts and numbers ---------------------------------------------------- */

void
svg_number(struct strbuf *b, double v)
{
	char s[32];

	snprintf(s, sizeof(s), "%.1f", v);
	char *dot = strstr(s, ".0");
	if (dot != NULL)
		*dot = '\0';
	sb_adds(b, strcmp(s, "-0") == 0 ? "0" : s);
}

/* U+FFFE and U+FFFF, which XML does not have. */
static bool
is_no_character(const unsigned char *p)
{
	return p[0] == 0xef && p[1] == 0xbf && (p[2] == 0xbe || p[2] == 0xbf);
}

void
svg_escape(struct strbuf *b, const char *text)
{
	char *clean = rk_text_clean(xstrdup(text));

	for (const char *p = clean; *p != '\0'; p++) {
		switch (*p) {
		case '&':
			sb_adds(b, "&amp;");
			break;
		case '<':
			sb_adds(b, "&lt;");
			break;
		case '>':
			sb_adds(b, "&gt;");
			break;
		case '"':
			sb_adds(b, "&quot;");
			break;
		case '\'':
			sb_adds(b, "&#39;");
			break;
		default:
			if (is_no_character((const unsigned char *)p)) {
				sb_addc(b, '?');
				p += 2;
			} else {
				sb_addc(b, *p);
			}
		}
	}
	free(clean);
}

static void
attribute(struct strbuf *b, const char *name, double v)
{
	sb_addf(b, " %s=\"", name);
	svg_number(b, v);
	sb_addc(b, '"');
}

/* --- parts ---------------------------------------------------------------- */

void
svg_begin(struct strbuf *b, int w, int h, const char *title)
{
	sb_addf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
	    "height=\"%d\" viewBox=\"0 0 %d %d\" " FONT ">\n<title>", w, h, w,
	    h);
	svg_escape(b, title);
	sb_adds(b, "</title>\n");
	svg_box(b, 0, 0, w, h, "#fff");
}

void
svg_end(struct strbuf *b)
{
	sb_adds(b, "</svg>\n");
}

static void
put_text(struct strbuf *b, double x, double y, enum svg_anchor a, int size,
    const char *color, const char *text, bool up)
{
	static const char *const anchors[] = { "start", "middle", "end" };

	sb_adds(b, "<text");
	if (up) {
		sb_adds(b, " transform=\"translate(");
		svg_number(b, x);
		sb_addc(b, ' ');
		svg_number(b, y);
		sb_adds(b, ") rotate(-90)\"");
	} else {
		attribute(b, "x", x);
		attribute(b, "y", y);
	}
	if (a != SVG_START)
		sb_addf(b, " text-anchor=\"%s\"", anchors[a]);
	sb_addf(b, " font-size=\"%d\" fill=\"%s\">", size, color);
	svg_escape(b, text);
	sb_adds(b, "</text>\n");
}

void
svg_text(struct strbuf *b, double x, double y, enum svg_anchor a, int size,
    const char *color, const char *text)
{
	put_text(b, x, y, a, size, color, text, false);
}

void
svg_text_up(struct strbuf *b, double x, double y, enum svg_anchor a, int size,
    const char *color, const char *text)
{
	put_text(b, x, y, a, size, color, text, true);
}

void
svg_box(struct strbuf *b, double x, double y, double w, double h,
    const char *fill)
{
	sb_adds(b, "<rect");
	attribute(b, "x", x);
	attribute(b, "y", y);
	attribute(b, "width", w);
	attribute(b, "height", h);
	sb_addf(b, " fill=\"%s\"/>\n", fill);
}

static void
put_line(struct strbuf *b, double x1, double y1, double x2, double y2,
    const char *color, const char *more)
{
	sb_adds(b, "<line");
	attribute(b, "x1", x1);
	attribute(b, "y1", y1);
	attribute(b, "x2", x2);
	attribute(b, "y2", y2);
	sb_addf(b, " stroke=\"%s\"%s/>\n", color, more);
}

void
svg_line(struct strbuf *b, double x1, double y1, double x2, double y2,
    const char *color)
{
	put_line(b, x1, y1, x2, y2, color, "");
}

void
svg_dashes(struct strbuf *b, double x1, double y1, double x2, double y2,
    const char *color)
{
	put_line(b, x1, y1, x2, y2, color, " stroke-dasharray=\"4 3\"");
}

/* --- axes ----------------------------------------------------------------- */

/* The least of 1, 2 and 5 times a power of ten that is at least x. */
static double
round_up(double x)
{
	const double power = pow(10, floor(log10(x)));
	const double m = x / power;

	return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

struct svg_axis
svg_axis_of(double lo, double hi, int want, double from, double to)
{
	struct svg_axis a = { .from = from, .to = to };

	/* One value, or nearly: in the middle. */
	if (!(hi - lo > 1e-9 * RK_MAX(fabs(lo), fabs(hi)))) {
		const double wide = fabs(lo) > 0 ? fabs(lo) / 2 : 1;
		hi = lo + wide;
		lo -= wide;
	}
	a.step = round_up((hi - lo) / want);
	a.lo = floor(lo / a.step + 1e-9) * a.step;
	a.hi = ceil(hi / a.step - 1e-9) * a.step;
	return a;
}

struct svg_axis
svg_axis_log(double lo, double hi, double from, double to)
{
	struct svg_axis a = { .from = from, .to = to, .log = true };

	a.lo = floor(log10(lo) + 1e-9);
	a.hi = ceil(log10(hi) - 1e-9);
	if (!(a.hi > a.lo))
		a.hi = a.lo + 1;
	a.step = ceil((a.hi - a.lo) / 8);
	return a;
}

double
svg_at(const struct svg_axis *a, double v)
{
	const double x = a->log ? log10(v) : v;

	return a->from + (x - a->lo) / (a->hi - a->lo) * (a->to - a->from);
}

bool
svg_mark(const struct svg_axis *a, int i, double *v, char text[RK_HUMAN])
{
	const double x = a->lo + i * a->step;

	if (i >= MARKS_MAX || x > a->hi + a->step * 1e-6)
		return false;
	*v = a->log ? pow(10, x) : fabs(x) < a->step * 1e-6 ? 0 : x;
	if (!a->log && a->step >= 1 && fabs(*v) >= 1000 && fabs(*v) < 1e12)
		rk_group_digits(text, (int64_t)llround(*v));
	else
		snprintf(text, RK_HUMAN, "%.6g", *v);
	return true;
}
