/*
 * due - when a checkpoint is due, and taking it.
 *
 *	due by                   when the writer is still busy
 *	steps, seconds, epochs   it is taken at the first boundary at which it
 *	                         is free; two are never queued
 *	a new best, a name,      training waits: the weights meant are those
 *	the end                  of now
 *
 * A boundary is the place between two steps; at an epoch's end, behind the
 * evaluation, so that a checkpoint there carries what was measured on it.
 */
#ifndef TRAIN_DUE_H
#define TRAIN_DUE_H

#include "run.h"

/* Before an update: will one be taken at the boundary behind it? */
bool due_capture(struct run *r);
/* At a boundary. */
bool due_take(struct run *r);
/* A checkpoint of these weights is there when it returns true, or the run is to
 * leave without one (same.h). */
bool due_commit(struct run *r);
/* Before a run ends badly: what is being written becomes the last good one.
 * True when due.dir is it. */
bool due_settle(struct run *r);
/* At the end: what there is is committed when this returns. */
bool due_final(struct run *r);

#endif
