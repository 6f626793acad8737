/* Rows into counts: see rekindle/judge.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define TOP 5

uint64_t
judge_bytes(const struct judge_want *w)
{
	uint64_t n = sizeof(struct judge) + cells_room(w) *
	    sizeof(struct cell);

	if (w->task != JUDGE_TASK_NUMBERS)
		n += 3 * (uint64_t)w->outputs * sizeof(int64_t);
	return n;
}

struct judge *
judge_new(const struct judge_want *w)
{
	struct judge *j = xcalloc(1, sizeof(*j));
	const size_t k = (size_t)w->outputs;

	must(w->outputs >= 1 && w->outputs <= JUDGE_OUTPUTS);
	j->w = *w;
	j->kept = w->outputs;
	j->room = cells_room(w);
	if (j->room > 0)
		j->cells = xcalloc(j->room, sizeof(*j->cells));
	if (w->task != JUDGE_TASK_NUMBERS) {
		j->support = xcalloc(3 * k, sizeof(*j->support));
		j->predicted = j->support + k;
		j->correct = j->predicted + k;
	}
	return j;
}

void
judge_free(struct judge *j)
{
	if (j == NULL)
		return;
	free(j->support);
	free(j->cells);
	free(j);
}

void
judge_reset(struct judge *j)
{
	const struct judge old = *j;

	*j = (struct judge){ .w = old.w, .support = old.support,
		.predicted = old.predicted, .correct = old.correct,
		.cells = old.cells, .room = old.room, .kept = old.kept };
	if (j->support != NULL)
		memset(j->support, 0, 3 * (size_t)j->kept *
		    sizeof(*j->support));
	if (j->cells != NULL)
		memset(j->cells, 0, j->room * sizeof(*j->cells));
}

/* Bin b is of (b / 15, (b + 1) / 15]. */
static void
add_to_bin(struct judge *j, double confidence, bool right)
{
	int b = (int)ceil(confidence * JUDGE_BINS) - 1;
	struct bin *to = &j->bins[RK_MIN(RK_MAX(b, 0), JUDGE_BINS - 1)];

	to->rows++;
	to->right += right;
	to->confidence += confidence;
}

static void
add_distance(struct judge *j, const float *z, const float *t)
{
	double sum = 0;

	for (int64_t k = 0; k < j->w.outputs; k++)
		sum += fabs((double)z[k] - (double)t[k]);
	j->distance += sum / (double)j->w.outputs;
}

static int64_t
largest(const float *z, int64_t n)
{
	int64_t at = 0;

	for (int64_t k = 1; k < n; k++) {
		if (z[k] > z[at])
			at = k;
	}
	return at;
}

static bool
has_nan(const float *z, int64_t n)
{
	bool nan = false;

	for (int64_t k = 0; k < n; k++)
		nan |= z[k] != z[k];
	return nan;
}

/* How many outputs go before that of y. */
static int64_t
before(const float *z, int64_t n, int64_t y)
{
	int64_t sum = 0;

	for (int64_t k = 0; k < n; k++)
		sum += z[k] > z[y] || (z[k] == z[y] && k < y);
	return sum;
}

/*
 * softmax(z)[at] = 1 / sum exp(z - z[at]), z[at] being the largest
 * -log softmax(z)[y] = log sum exp(z - z[at]) - (z[y] - z[at])
 */
static void
add_probability(struct judge *j, const float *z, int64_t at, int64_t y)
{
	const double top = z[at];
	double sum = 0;

	for (int64_t k = 0; k < j->w.outputs; k++)
		sum += exp((double)z[k] - top);
	add_to_bin(j, 1 / sum, at == y);
	j->plain_loss += log(sum) - ((double)z[y] - top);
}

static void
add_class(struct judge *j, const float *z, int64_t y, const float *t)
{
	const int64_t n = j->w.outputs, at = largest(z, n);

	must(y >= 0 && y < n);
	j->support[y]++;
	if (has_nan(z, n) || isinf(z[at])) {
		j->n.not_finite++;
		return;
	}
	j->predicted[at]++;
	if (at == y) {
		j->correct[y]++;
		j->right++;
	} else {
		cells_add(j, y, at, 1);
	}
	j->top5 += at == y || before(z, n, y) < TOP;
	if (j->w.logits)
		add_probability(j, z, at, y);
	if (j->w.distance)
		add_distance(j, z, t);
}

static void
add_labels(struct judge *j, const float *z, const float *t)
{
	const bool nan = has_nan(z, j->w.outputs);
	bool right = !nan;

	j->n.not_finite += nan;
	for (int64_t k = 0; k < j->w.outputs; k++) {
		const bool is = t[k] > 0.5f, said = !nan && z[k] > 0;
		j->support[k] += is;
		j->predicted[k] += said;
		j->correct[k] += is && said;
		right = right && is == said;
		if (!nan)
			add_to_bin(j, 1 / (1 + exp(-(double)z[k])), is);
	}
	j->right += right;
}

static void
add_number(struct judge *j, const float *z, const float *t)
{
	bool finite = true;

	for (int64_t k = 0; k < j->w.outputs; k++)
		finite = finite && isfinite(z[k]);
	if (!finite)
		j->n.not_finite++;
	else if (j->w.distance)
		add_distance(j, z, t);
}

void
judge_add(struct judge *j, int64_t rows, const float *z, const int32_t *y,
    const float *t, const uint8_t *left_out)
{
	const int64_t k = j->w.outputs;

	for (int64_t r = 0; r < rows; r++, z += k) {
		const float *u = t != NULL ? t + r * k : NULL;
		if (left_out != NULL && left_out[r]) {
			j->n.skipped++;
			continue;
		}
		if (j->w.task == JUDGE_TASK_CLASSES && j->w.ignore >= 0 &&
		    y[r] == j->w.ignore) {
			j->n.ignored++;
			continue;
		}
		j->n.counted++;
		switch (j->w.task) {
		case JUDGE_TASK_CLASSES:
			add_class(j, z, y[r], u);
			break;
		case JUDGE_TASK_LABELS:
			add_labels(j, z, u);
			break;
		case JUDGE_TASK_NUMBERS:
			add_number(j, z, u);
			break;
		}
	}
}

struct judge_rows
judge_rows(const struct judge *j)
{
	return j->n;
}
