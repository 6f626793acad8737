/* Counts into figures: see rekindle/judge.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define C JUDGE_OF_CLASSES
#define L JUDGE_OF_LABELS
#define N JUDGE_OF_NUMBERS
const struct judge_metric_def judge_metrics[JUDGE_METRICS] = {
	[JUDGE_ACCURACY] = { "accuracy", "val_accuracy", true, C | L },
	[JUDGE_LOSS] = { "loss", "val_loss", false, C | L | N },
	[JUDGE_TOP5] = { "top5", "val_top5", true, C },
	[JUDGE_MACRO_PRECISION] = { "macro_precision", "val_macro_precision",
		true, C | L },
	[JUDGE_MACRO_RECALL] = { "macro_recall", "val_macro_recall", true,
		C | L },
	[JUDGE_MACRO_F1] = { "macro_f1", "val_macro_f1", true, C | L },
	[JUDGE_ECE] = { "ece", "val_ece", false, C | L },
	[JUDGE_PLAIN_LOSS] = { "plain_loss", "val_plain_loss", false, C },
	[JUDGE_MAE] = { "mae", "val_mae", false, N },
};
#undef C
#undef L
#undef N

const char *const judge_task_words[] = { "classes", "labels", "numbers", NULL };

int
judge_metric_of(const char *val_word)
{
	for (int m = 0; m < JUDGE_METRICS; m++) {
		if (strcmp(judge_metrics[m].val_word, val_word) == 0)
			return m;
	}
	return -1;
}

struct judge_class
judge_class(const struct judge *j, int64_t k)
{
	if (!has_classes(j) || k < 0 || k >= j->w.outputs)
		return (struct judge_class){ 0, 0, 0 };
	return (struct judge_class){ j->support[k], j->predicted[k],
		j->correct[k] };
}

/* 0 of 0 is 0. */
static double
part(int64_t some, int64_t all)
{
	return all > 0 ? (double)some / (double)all : 0;
}

struct per_class
class_figures(const struct judge *j, int64_t k)
{
	const int64_t s = j->support[k], p = j->predicted[k];
	const int64_t c = j->correct[k];

	return (struct per_class){ part(c, p), part(c, s), part(2 * c, s + p) };
}

/* Of `which`: precision, recall, f1. */
static double
macro(const struct judge *j, int which)
{
	double sum = 0;
	int64_t n = 0;

	if (j->only_macro)
		return j->macro[which];
	if (j->support == NULL || j->n.counted == 0)
		return NAN;
	for (int64_t k = 0; k < j->w.outputs; k++) {
		const struct per_class f = class_figures(j, k);
		const double v[] = { f.precision, f.recall, f.f1 };
		if (j->w.task == JUDGE_TASK_CLASSES && j->support[k] +
		    j->predicted[k] == 0)
			continue;
		sum += v[which];
		n++;
	}
	return n > 0 ? sum / (double)n : NAN;
}

static double
ece(const struct judge *j)
{
	double sum = 0;
	int64_t n = 0;

	if (!is_calibrated(j))
		return NAN;
	for (int b = 0; b < JUDGE_BINS; b++) {
		sum += fabs((double)j->bins[b].right - j->bins[b].confidence);
		n += j->bins[b].rows;
	}
	return n > 0 ? sum / (double)n : NAN;
}

static double
mean(double sum, int64_t n)
{
	return n > 0 ? sum / (double)n : NAN;
}

double
judge_figure(const struct judge *j, enum judge_metric m)
{
	const bool classes = j->w.task == JUDGE_TASK_CLASSES;

	switch (m) {
	case JUDGE_ACCURACY:
		return j->support == NULL ? NAN :
		    mean((double)j->right, j->n.counted);
	case JUDGE_TOP5:
		return classes ? mean((double)j->top5, j->n.counted) : NAN;
	case JUDGE_MACRO_PRECISION:
		return macro(j, 0);
	case JUDGE_MACRO_RECALL:
		return macro(j, 1);
	case JUDGE_MACRO_F1:
		return macro(j, 2);
	case JUDGE_ECE:
		return ece(j);
	case JUDGE_PLAIN_LOSS:
		return classes && j->w.logits ?
		    mean(j->plain_loss, finite_rows(j)) : NAN;
	case JUDGE_MAE:
		return j->w.distance ? mean(j->distance, finite_rows(j)) : NAN;
	case JUDGE_LOSS:
	case JUDGE_METRICS:
		break;
	}
	return NAN;
}
