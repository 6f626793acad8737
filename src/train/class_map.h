/*
 * class_map - which class of a warm start's model each class of a job was.
 *
 * By name, where both have names: the job's classes are what its data call
 * them, in the order of the outputs (input_classes()); the model's are those
 * of its checkpoint, or what model.checkpoint_classes says.  Where neither has
 * any, or the head is grown by `match: index`, class i was class i.
 *
 * The main thread's, after warm_open() and with a network.  A run that goes on
 * from a checkpoint of its own opens no model: who needs the map then keeps it.
 */
#ifndef TRAIN_CLASS_MAP_H
#define TRAIN_CLASS_MAP_H

#include "run.h"

struct class_map {
	bool named;             /* by name; else by number */
	int64_t n;              /* outputs of the job's network */
	int64_t *from;          /* [n]: the model's class; -1: a new one */
	int64_t nmodel;         /* classes of the model */
	int64_t kept;           /* those that the job has, too */
	/* Texts, each in the order of its list; NULL where nothing is named. */
	json_t *names;          /* [n] of the job */
	json_t *model_names;    /* [nmodel] */
	json_t *fresh;          /* of the job, that the model has not */
	json_t *dropped;        /* of the model, that the job has not */
};

/* False: one side has names and the other has none, so that nothing is known;
 * m is then empty.  nmodel: classes of the model where it has no names; 0: as
 * many as the job has. */
bool class_map_make(struct class_map *m, const struct run *r, int64_t nmodel);
void class_map_fini(struct class_map *m);       /* fine on {0} */

#endif
