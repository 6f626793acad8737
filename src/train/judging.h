/*
 * judging - what an evaluation says beside loss and accuracy: the figures of
 * judge.h, and RUN-DIR/evaluations.jsonl, which keeps what they are made of.
 *
 * evaluations.jsonl: an object a line, one an evaluation, oldest first:
 *	{evaluation, step, epoch, attempt, branch, time_ms, metrics: {loss,
 *	 accuracy, top5, ...}, names: [...], counts: {...}}
 * evaluation counts from 1 over all attempts of the run, and comes first in its
 * line; names of the classes are left out where there are none, and beyond
 * EVALUATIONS_NAMES bytes; counts are judge_counts().  Lines are appended;
 * where the file would grow beyond EVALUATIONS_MAX, the older half goes first.
 * What cannot be written is said once and fails no run.
 */
#ifndef TRAIN_JUDGING_H
#define TRAIN_JUDGING_H

#include "run.h"

#define EVALUATIONS_FILE  "evaluations.jsonl"
#define EVALUATIONS_MAX   ((size_t)4 << 20)
#define EVALUATIONS_NAMES ((size_t)256 << 10)

/* judging.c: r->judge for a network of r's job; its bytes for one of so many
 * outputs. */
void judging_new(struct run *r);
uint64_t judging_bytes(const struct run *r, int64_t outputs);
/* The rows of the last forward, in the order of the set; left_out as in
 * judge.h. */
void judging_add(struct run *r, int64_t rows, const uint8_t *left_out);
/* What it has come to. */
void judging_take(const struct run *r, struct judged *f);
/* Into an object, by the words of metrics.jsonl (val: of checkpoint.json), and
 * out of one. */
void figures_put(json_t *o, const struct judged *f, bool val);
void figures_read(struct judged *f, const json_t *o);

/* evaluations.c: keep the evaluation of now. */
void evaluations_add(struct run *r);

#endif
