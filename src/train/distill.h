/*
 * distill - the ancestor of training.distill: the model of the warm start, as a
 * network of its own, which answers what the run's network is asked.
 *
 * It is the job's network with as many outputs as the file's head has rows
 * (nn.h, `answers`); each of its tensors must be in the file, by copy, rename,
 * convert or transpose.  Which of its classes is which of the job's class_map.h
 * says.  It never changes, so no checkpoint has it: the file is read when a run
 * begins and by each attempt that goes on.
 *
 * state.distill of checkpoint.json is {digest}: SHA-256 over its parameters and
 * buffers as they are in the network, and over which class is which.  An
 * attempt that finds no file, or one of another digest, waits
 * (ancestor_missing), as it would not compute what an uninterrupted run does.
 */
#ifndef TRAIN_DISTILL_H
#define TRAIN_DISTILL_H

#include "run.h"

struct distill;

bool distill_wanted(const struct run *r);
/* Bytes of the ancestor's network, with as many outputs as the job's; 0: none
 * is wanted. */
bool distill_bytes(struct run *r, uint64_t limit, uint64_t *bytes);

/* Read the ancestor, behind warm start or restoration: r->distill.  Random
 * weights and the job's own classes: of a profile. */
bool distill_begin(struct run *r);
bool distill_begin_random(struct run *r);
void distill_free(struct distill *d);           /* NULL is fine */

/*
 * Can it be made?  For --plan and --check, whose file is open: {weight,
 * temperature, outputs, classes, summary}, a new reference; NULL, and why has
 * what stands against it.
 */
json_t *distill_plan(struct run *r, struct rk_why *why);

/* The rows of the network's input are asked of the ancestor, too: what it says
 * is in s from here on.  counted: rows of the whole step that count. */
void distill_ask(struct run *r, struct nn_step *s, int64_t counted);

/* The loss of a step or a stretch of them, whose task has this mean. */
double distill_loss(const struct run *r, double task, double taught_sum,
    int64_t taught);
/* {task_loss, distill_loss} of a tally into a metric; nothing of none. */
void distill_put(const struct tally *t, json_t *metric);

/* state.distill, or NULL; and back. */
json_t *distill_json(const struct run *r);
void distill_read(struct run *r, const json_t *v, struct rk_why *why);

#endif
