/*
 * judge - what an evaluation says: counts over the outputs of a network and the
 * labels, the figures made of them, their JSON, and pictures of them.
 *
 * Rows are added in the order of the samples, by one thread, and every sum goes
 * in that order: what comes out depends on the outputs and the labels alone,
 * not on batches or threads.  Nothing is allocated after judge_new().  Trainer
 * and daemon share the module: the trainer counts and keeps the counts
 * (judge_counts()), who shows them reads them back (judge_parse()) and makes
 * the figures of them, so that there is one definition of each.
 *
 * Tasks.
 *	classes  one label of K a row: the class is the largest output, the
 *	         first of equals
 *	labels   K labels a row, each there or not (binary_cross_entropy): one
 *	         is there where its output is above 0 (a probability above 1/2),
 *	         and ought to be where its target is above 1/2
 *	numbers  a number a row (mse, l1, smooth_l1 with one output)
 *
 * Rows.  One that is left out (an image that could not be read) is `skipped`,
 * one whose class is ignore_index is `ignored`; neither counts anywhere else.
 * One whose outputs have a NaN, or whose largest is infinite, is `not_finite`:
 * it is of its class (support) and is predicted as nothing, so it is wrong; it
 * has no part in calibration, plain loss and distance.
 *
 * Figures, with K classes (or labels) and, of class k, support s[k] (rows that
 * are of it), predicted p[k] and correct c[k] (both):
 *
 *	precision  c / p, 0 where p = 0
 *	recall     c / s, 0 where s = 0
 *	f1         2c / (s + p), 0 where s + p = 0
 *	macro_...  the mean of it over the classes with s + p > 0, that is those
 *	           which a label or a prediction names
 *	  as scikit-learn's precision_recall_fscore_support has them, with
 *	  zero_division=0 and, of the mean, average="macro" over the labels that
 *	  are there (its default); of `labels` over all K, as it does there
 *	top5       the share of rows with fewer than 5 outputs before that of
 *	           the label: larger, or equal and of a lower class.
 *	           top_k_accuracy_score with k=5, but for the order of equals; 1
 *	           where K <= 5
 *	ece        expected calibration error, sum of n[b] / N * |acc[b] -
 *	           conf[b]| over 15 bins of equal width of the confidence, bin b
 *	           being ((b - 1) / 15, b / 15]: Guo et al., "On calibration of
 *	           modern neural networks", ICML 2017.  Of `classes` the
 *	           confidence is the largest softmax, and acc the share that is
 *	           right; of `labels` the sigmoid of each output, and acc the
 *	           share of labels that are there (as scikit-learn's
 *	           calibration_curve)
 *	plain_loss the mean of log sum exp z - z[label] in natural logarithms,
 *	without
 *	           label_smoothing and class_weights: log_loss of scikit-learn,
 *	           which loss is not where these are used.  Minus infinity at
 *	           the label makes it infinite, so that there is none
 *	mae        the mean over rows and outputs of |z - t|:
 *		   mean_absolute_error
 *
 * A figure of no row is NaN: there is none.
 *
 * The confusion matrix has rows by label and columns by prediction.  It is kept
 * as the cells that are not 0, at most JUDGE_CELLS of them (so up to 256
 * classes all there can be); what would be one more is counted in `others`.
 *
 * Pictures are SVG 1.1, self-contained, without scripts; the same bytes for the
 * same numbers, and no larger than some 100 kB, whatever is drawn: of more
 * classes than JUDGE_DRAWN those with the most errors are, and curves have a
 * point a pixel at most.  Names are cleaned (rk_text_clean), cut and escaped.
 */
#ifndef REKINDLE_JUDGE_H
#define REKINDLE_JUDGE_H

#include "rekindle/json.h"

#define JUDGE_BINS     15
#define JUDGE_CELLS    65536
#define JUDGE_CLASSES  10000            /* of more, JSON has no class by
					   itself */
#define JUDGE_OUTPUTS  (1 << 24)        /* that a network may have */
#define JUDGE_DENSE    64               /* classes of a matrix in rows */
#define JUDGE_SHOWN    4096             /* cells in JSON, the largest first */
#define JUDGE_DRAWN    40               /* classes in a picture */
#define JUDGE_NAME_MAX 256              /* bytes of a class's name in JSON */

/* --- which figures there are ---------------------------------------------- */

/* Losses that a figure is for: those with one label, with several, without. */
#define JUDGE_OF_CLASSES 1
#define JUDGE_OF_LABELS  2
#define JUDGE_OF_NUMBERS 4

enum judge_metric {
	JUDGE_ACCURACY, JUDGE_LOSS,     /* measured by the trainer itself */
	JUDGE_TOP5, JUDGE_MACRO_PRECISION, JUDGE_MACRO_RECALL, JUDGE_MACRO_F1,
	JUDGE_ECE, JUDGE_PLAIN_LOSS, JUDGE_MAE,
	JUDGE_METRICS
};
/* The name in a line of metrics.jsonl; behind "val_" in checkpoint.json and in
 * checkpoint.keep.metric. */
struct judge_metric_def {
	const char *word, *val_word;
	bool more;                      /* is better */
	unsigned of;                    /* JUDGE_OF_... */
};
extern const struct judge_metric_def judge_metrics[JUDGE_METRICS];
/* The one of this name behind "val_"; -1: none. */
int judge_metric_of(const char *val_word);

/* --- counting ------------------------------------------------------------- */

enum judge_task { JUDGE_TASK_CLASSES, JUDGE_TASK_LABELS, JUDGE_TASK_NUMBERS };
extern const char *const judge_task_words[];    /* by enum, then NULL */

struct judge_want {
	enum judge_task task;
	int64_t outputs;                /* K, of a row; 1 to JUDGE_OUTPUTS */
	bool logits;                    /* classes: softmax of them means
	                                   something (cross entropy) */
	bool distance;                  /* mae is wanted */
	int64_t ignore;                 /* a class; -1: none */
};
struct judge;
struct judge *judge_new(const struct judge_want *w);
void judge_free(struct judge *j);               /* NULL is fine */
void judge_reset(struct judge *j);
/* Bytes that one takes. */
uint64_t judge_bytes(const struct judge_want *w);

/*
 * Add rows: z[rows, K]; y[rows] of classes, which are 0 to K-1 or the ignored
 * one; t[rows, K] of labels and numbers, and where distance is wanted.
 * left_out[rows]: those that are skipped, whatever their outputs are; NULL:
 * none.
 */
void judge_add(struct judge *j, int64_t rows, const float *z, const int32_t *y,
    const float *t, const uint8_t *left_out);

/* A figure, NaN for none; JUDGE_ACCURACY by the counts, JUDGE_LOSS never. */
double judge_figure(const struct judge *j, enum judge_metric m);

/* Rows that are of class k, that are said to be, and both; all 0 where classes
 * are not counted by themselves, as of numbers. */
struct judge_class {
	int64_t support, predicted, correct;
};
struct judge_class judge_class(const struct judge *j, int64_t k);

struct judge_rows {
	int64_t counted, skipped, ignored, not_finite;
};
struct judge_rows judge_rows(const struct judge *j);

/* --- JSON ----------------------------------------------------------------- */

/*
 * The counts, all that the figures are made of; a new reference, and back.
 * Parsing believes nothing: RK_EINVAL with a sentence where the numbers are not
 * of one another.
 *	{task, outputs, rows, skipped, ignored, not_finite, right, top5,
 *	 logits, plain_loss, distance,
 *	 support: [K], predicted: [K], correct: [K],
 *	 cells: [label, class, rows, ...] (JUDGE_SHOWN of them), others,
 *	 bins: {count: [15], confidence: [15], correct: [15]}}
 * support to others are there up to JUDGE_CLASSES classes, macro: [precision,
 * recall, f1] beyond; what is 0 may be absent.
 */
json_t *judge_counts(const struct judge *j);
enum rk_err judge_parse(const json_t *counts, struct judge **jp,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * The same with all cells: what judge_parse() makes of it goes on where j is.  A
 * new reference; NULL: there are more classes than JSON has by themselves.
 */
json_t *judge_state(const struct judge *j);

/*
 * What people and programs look at; names (NULL: there are none) is an array of
 * texts, of which K count.  A new reference.
 *	{task, rows, skipped, ignored, not_finite,
 *	 metrics: {accuracy, top5, macro_precision, ...},
 *	 classes: [{class, name, precision, recall, f1, support, predicted,
 *	    correct}],
 *	 confusion: {matrix: [[...]]} up to JUDGE_DENSE classes, or {cells:
 *	    [[label, class, rows], ...], others}: cells off the diagonal, the
 *	    most rows first,
 *	 calibration: {ece, bins: [{from, to, rows, confidence, accuracy}]}}
 * What a task does not have is absent; confidence and accuracy of a bin without
 * rows are null.
 */
json_t *judge_report(const struct judge *j, const json_t *names);
/* The figures alone: {top5, ...} without accuracy and loss; a new reference. */
json_t *judge_figures(const struct judge *j);

/* --- pictures ------------------------------------------------------------- */

/* False, and nothing is added: the task has no such picture. */
bool judge_draw_confusion(const struct judge *j, const json_t *names,
    struct strbuf *out);
bool judge_draw_reliability(const struct judge *j, struct strbuf *out);
/*
 * Loss, accuracy and learning rate over the steps, out of lines of
 * metrics.jsonl (an array of objects; what is none of ours is passed over).  A
 * line behind the first step of a later attempt was left behind, by a crash or
 * for a branch, and is drawn pale.  False: no line has a loss.
 */
bool judge_draw_curves(const json_t *lines, const char *title,
    struct strbuf *out);

/* What a folder of them is called: confusion.svg, reliability.svg,
 * curves.svg. */
#define JUDGE_CONFUSION_SVG   "confusion.svg"
#define JUDGE_RELIABILITY_SVG "reliability.svg"
#define JUDGE_CURVES_SVG      "curves.svg"

#endif
