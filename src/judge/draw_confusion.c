/*
 * The confusion matrix: a row a label, a column a prediction, the darker the
 * larger the share of the row.  Of more than JUDGE_DRAWN classes those that
 * have the most errors, in the order of the classes.  Of labels, which exclude
 * nobody: a row a label with what was found, missed and wrongly said.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "svg.h"

#define LEFT   150              /* for the names */
#define TOP    60
#define BELOW  120
#define SIDE   560              /* of the matrix, at most */
#define NAME   22               /* bytes of a name */
#define INK    "#222"
#define GREY   "#666"

struct chosen {
	int64_t class, errors;
};

static int64_t
errors_of(const struct judge *j, int64_t k)
{
	return j->support[k] + j->predicted[k] - 2 * j->correct[k];
}

static int
more_errors(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	if (x->errors != y->errors)
		return x->errors < y->errors ? 1 : -1;
	return x->class < y->class ? -1 : x->class > y->class;
}

static int
lower_class(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	return x->class < y->class ? -1 : x->class > y->class;
}

/* Which classes are drawn; the caller frees. */
static struct chosen *
choose(const struct judge *j, int64_t *n)
{
	struct chosen *v = xcalloc((size_t)j->w.outputs, sizeof(*v));

	for (int64_t k = 0; k < j->w.outputs; k++)
		v[k] = (struct chosen){ k, errors_of(j, k) };
	*n = RK_MIN(j->w.outputs, JUDGE_DRAWN);
	if (*n < j->w.outputs) {
		qsort(v, (size_t)j->w.outputs, sizeof(*v), more_errors);
		qsort(v, (size_t)*n, sizeof(*v), lower_class);
	}
	return v;
}

/* White to blue; share 0 to 1. */
static void
shade(char out[8], double share, bool right)
{
	static const int ends[2][3] = { { 0xb2, 0x3a, 0x3a },
		{ 0x1f, 0x5a, 0x96 } };
	const int *to = ends[right];
	const double s = sqrt(RK_MIN(RK_MAX(share, 0), 1));
	int c[3];

	for (int i = 0; i < 3; i++)
		c[i] = (int)lround(255 + s * (to[i] - 255));
	snprintf(out, 8, "#%02x%02x%02x", c[0], c[1], c[2]);
}

static void
put_cell(struct strbuf *b, double x, double y, double side, int64_t rows,
    int64_t all, bool right, bool numbers)
{
	char fill[8], text[RK_HUMAN];
	const double share = all > 0 ? (double)rows / (double)all : 0;

	if (rows == 0)
		return;
	shade(fill, share, right);
	svg_box(b, x, y, side, side, fill);
	if (!numbers)
		return;
	svg_text(b, x + side / 2, y + side / 2 + 4, SVG_MIDDLE, 11,
	    share > 0.35 ? "#fff" : INK, rk_group_digits(text, rows));
}

static void
put_names(struct strbuf *b, const json_t *names, const struct chosen *v,
    int64_t n, double side)
{
	const int size = side >= 14 ? 12 : 9;

	for (int64_t i = 0; i < n; i++) {
		char *name = class_name(names, v[i].class, NAME);
		const double at = TOP + ((double)i + 0.5) * side + size / 3.0;
		svg_text(b, LEFT - 8, at, SVG_END, size, INK, name);
		svg_text_up(b, LEFT + at - TOP, TOP + (double)n * side + 8,
		    SVG_END, size, INK, name);
		free(name);
	}
}

static void
put_grid(struct strbuf *b, int64_t n, double side)
{
	for (int64_t i = 0; i <= n; i++) {
		const double at = (double)i * side;
		svg_line(b, LEFT, TOP + at, LEFT + (double)n * side, TOP + at,
		    "#ddd");
		svg_line(b, LEFT + at, TOP, LEFT + at, TOP + (double)n * side,
		    "#ddd");
	}
}

/* Where a class is drawn, or -1. */
static int64_t *
places(const struct judge *j, const struct chosen *v, int64_t n)
{
	int64_t *at = xcalloc((size_t)j->w.outputs, sizeof(*at));

	for (int64_t k = 0; k < j->w.outputs; k++)
		at[k] = -1;
	for (int64_t i = 0; i < n; i++)
		at[v[i].class] = i;
	return at;
}

static void
put_matrix(struct strbuf *b, const struct judge *j, const struct chosen *v,
    int64_t n, double side)
{
	const bool numbers = side >= 26;
	int64_t *at = places(j, v, n);
	size_t ncells;
	struct cell *c = cells_sorted(j, &ncells);

	for (int64_t i = 0; i < n; i++)
		put_cell(b, LEFT + (double)i * side, TOP + (double)i * side,
		    side, j->correct[v[i].class], j->support[v[i].class], true,
		    numbers);
	for (size_t i = 0; i < ncells; i++) {
		const int64_t y = at[c[i].label], x = at[c[i].class];
		if (x >= 0 && y >= 0)
			put_cell(b, LEFT + (double)x * side, TOP + (double)y *
			    side, side, c[i].rows, j->support[c[i].label],
			    false, numbers);
	}
	free(c);
	free(at);
}

static void
put_heading(struct strbuf *b, const struct judge *j, int64_t n)
{
	char rows[RK_HUMAN], right[RK_HUMAN], all[RK_HUMAN];
	char *text = xasprintf("%s of %s rows right: %.2f %%",
	    rk_group_digits(right, j->right),
	    rk_group_digits(rows, j->n.counted), j->n.counted > 0 ? 100.0 *
	    (double)j->right / (double)j->n.counted : 0.0);

	svg_text(b, 16, 24, SVG_START, 15, INK, text);
	free(text);
	text = n < j->w.outputs ? xasprintf("rows: label, columns: prediction; "
	    "%lld of %s classes, those with the most errors", (long long)n,
	    rk_group_digits(all, j->w.outputs)) :
	    xstrdup("rows: label, columns: prediction");
	svg_text(b, 16, 42, SVG_START, 11, GREY, text);
	free(text);
}

static void
draw_matrix(struct strbuf *b, const struct judge *j, const json_t *names,
    const struct chosen *v, int64_t n)
{
	const double side = RK_MIN(floor((double)SIDE / (double)n), 48);
	const int square = (int)((double)n * side);

	svg_begin(b, RK_MAX(LEFT + square + 20, 420), TOP + square + BELOW,
	    "confusion matrix");
	put_heading(b, j, n);
	put_matrix(b, j, v, n, side);
	put_grid(b, n, side);
	put_names(b, names, v, n, side);
	svg_end(b);
}

/* found, missed, wrongly said: three bars a label, of one scale. */
static void
draw_labels(struct strbuf *b, const struct judge *j, const json_t *names,
    const struct chosen *v, int64_t n)
{
	static const char *const words[] = { "found", "missed",
		"wrongly said" };
	static const char *const fills[] = { "#1f5a96", "#9db8d2", "#b23a3a" };
	const double high = 20, wide = 400;
	int64_t most = 1;

	for (int64_t i = 0; i < n; i++) {
		const int64_t k = v[i].class;
		most = RK_MAX(most, j->support[k] + j->predicted[k] -
		    j->correct[k]);
	}
	svg_begin(b, LEFT + (int)wide + 30, TOP + (int)((double)n * high) + 20,
	    "labels found and missed");
	put_heading(b, j, n);
	for (int w = 0; w < 3; w++) {
		svg_box(b, LEFT + w * 100, 47, 9, 9, fills[w]);
		svg_text(b, LEFT + w * 100 + 13, 56, SVG_START, 11, INK,
		    words[w]);
	}
	for (int64_t i = 0; i < n; i++) {
		const int64_t k = v[i].class, c = j->correct[k];
		const int64_t part[] = { c, j->support[k] - c,
			j->predicted[k] - c };
		const double y = TOP + 4 + (double)i * high;
		double x = LEFT;
		char *name = class_name(names, k, NAME);
		svg_text(b, LEFT - 8, y + 11, SVG_END, 12, INK, name);
		free(name);
		for (int w = 0; w < 3; w++) {
			const double len = wide * (double)part[w] /
			    (double)most;
			if (part[w] > 0)
				svg_box(b, x, y, len, high - 6, fills[w]);
			x += len;
		}
	}
	svg_end(b);
}

bool
judge_draw_confusion(const struct judge *j, const json_t *names,
    struct strbuf *out)
{
	int64_t n;

	if (!has_classes(j) || j->w.outputs > JUDGE_CLASSES)
		return false;
	struct chosen *v = choose(j, &n);
	if (j->w.task == JUDGE_TASK_CLASSES)
		draw_matrix(out, j, names, v, n);
	else
		draw_labels(out, j, names, v, n);
	free(v);
	return true;
}
