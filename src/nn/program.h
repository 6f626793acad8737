/*
 * program - what is run: a list of instructions for one kind of pass.
 *
 * A slot is something that is computed and read again: a value, the gradient of
 * a value, what a node saves.  An instruction reads slots and makes or changes
 * some; its number is the time at which that happens.  The plan (plan.c) puts
 * slots into storages: a view, an op in place and the gradients that an
 * addition passes on share one, by a rule; and storages into the arena, where
 * two may overlap when their times do not meet.
 *
 * The forward instructions come first, `forward` of them; then the loss, which
 * in TRAIN makes the gradient of the logits; then, in TRAIN alone, backward
 * instructions.  What is still (pass_still.c) runs first, `still` instructions,
 * in TRAIN as in INFER; the cut are the values that the rest reads of it.
 */
#ifndef NN_PROGRAM_H
#define NN_PROGRAM_H

#include "graph.h"

struct nn_instr;
/* What a step in progress is to an instruction. */
struct nn_now {
	struct nn_step s;
	bool train;
	bool accumulate;                /* gradients of parameters are added
					   to */
	const int32_t *y;               /* of nn_loss(): op_loss.c */
	const float *t;
	struct nn_result *result;
};
typedef void nn_run(const struct nn_instr *i, const struct nn_now *now);

/* What slots are read and written by an instruction; -1: none. */
struct nn_instr {
	nn_run *run;
	const struct nn_node *nd;       /* NULL: the loss */
	const struct nn_graph *g;
	bool back;
	int nin;
	int *xs, ys, saved_s, dys, *dxs;        /* slots */
	unsigned first_dw;              /* bit k: the first that writes param
					   k */
	/* Where they are. */
	float **x, *y, *saved, *dy, **dx, *scratch;
	bool *add;                      /* [nin]: dx[k] is added to */
};

enum nn_alias { NN_APART, NN_VIEW, NN_IN_PLACE };

struct nn_slot {
	size_t floats;
	int born, read;                 /* times: made, last read */
	int *writes, nwrites;           /* later changes, in order */
	bool fixed;                     /* the caller's: nobody writes over
					   it */
	int storage;
	float *p;
};

/* Slot `made` may share the storage of slot `from`, at made's birth. */
struct nn_share {
	int from, made;
	enum nn_alias how;
};

struct nn_storage {
	size_t floats, at;              /* in the arena */
	int first, last;                /* times */
	int changed;                    /* the last change of a member; -1 */
	bool outside;                   /* the input's: not in the arena */
	int *member, nmembers;          /* slots */
};

struct nn_program {
	struct nn_instr *instrs;
	int ninstrs, forward, still;
	struct nn_slot *slots;
	int nslots;
	struct nn_share *shares;
	int nshares;
	struct nn_storage *storages;
	int nstorages;
	int *of_value, *of_grad;        /* slots of the graph's values; -1 */
	size_t arena_floats;
};

/* emit.c: false: sizes do not fit in a size_t.  parted: what is still runs
 * first; else as if nothing were still, which computes the same. */
bool nn_emit(struct nn_program *p, const struct nn_graph *g, bool train,
    bool parted) RK_MUSTCHECK;
void nn_program_fini(struct nn_program *p);
/* describe.c: what instructions compute, as text. */
void nn_describe_instrs(struct strbuf *b, const struct nn_program *p, int n);
/* plan.c: storages, and places in an arena.  apart: none is shared. */
bool nn_plan(struct nn_program *p, bool apart) RK_MUSTCHECK;

/* Networks of the other lengths have graphs and programs of their own and
 * borrow all memory; the one that owns it has the gradients' state, too. */
struct nn {
	struct nn_graph g;
	struct nn_program train, infer;
	int64_t batch, micro;
	int ninput;
	int64_t input_d[SPEC_MAX_DIMS];
	bool poison, answers;           /* answers: as nn_want says */
	size_t arena_floats, scratch_floats, input_floats;
	float *arena, *scratch, *input;
	float *param_array, *grad_array, *buffer_array;
	double *row_scratch;            /* [2 * micro], for the loss */
	/* The step that is going on. */
	const struct nn_program *on;
	struct nn_now now;
	bool have_loss, fresh;          /* fresh: gradients count as zero */
	const struct nn_watch *watch;   /* or NULL */
	struct nn *shorter[SPEC_MAX_BUCKETS];
	int nshorter;
	struct nn *use;                 /* one of them, or the network itself */
};

/* build.c: all programs of a network, of each length, and how much memory they
 * take; nothing is allocated for values.  On failure *np is NULL. */
enum rk_err nn_make(struct nn **np, const struct nn_want *w,
    struct rk_why *why) RK_MUSTCHECK;

/* --- what an op's functions see ------------------------------------------- */

static inline float *
nn_w(const struct nn_instr *i, int k)
{
	return i->g->params[i->nd->param[k]].t.value;
}

static inline float *
nn_buffer(const struct nn_instr *i, int k)
{
	return i->g->buffers[i->nd->buffer[k]].t.value;
}

/*
 * Where to put the gradient of parameter k, and whether to add it to what is
 * there: the first contribution to a gradient is written, not added, which
 * saves a pass that zeroes it and half of one that reads it.  NULL: it is not
 * trained.
 */
static inline float *
nn_dw(const struct nn_instr *i, const struct nn_now *now, int k, bool *add)
{
	const struct nn_tensor *t = &i->g->params[i->nd->param[k]].t;

	*add = now->accumulate || !(i->first_dw >> k & 1);
	return t->trained ? t->grad : NULL;
}

/* Floats of all rows of x[k], of y, where they are kept. */
static inline size_t
nn_xn(const struct nn_instr *i, const struct nn_now *now, int k)
{
	return (size_t)(now->s.rows * nn_floats(nn_x(i->g, i->nd, k)));
}

static inline size_t
nn_yn(const struct nn_instr *i, const struct nn_now *now)
{
	return (size_t)(now->s.rows * nn_floats(nn_y(i->g, i->nd)));
}

#endif
