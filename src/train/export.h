/*
 * export - --export: a checkpoint as a file that other frameworks read.
 *
 * The job gives the network, the network its tensors and what layer each is of,
 * warm_export.h what they are called and how they lie there, format_out.h the
 * bytes.  Numbers are read out of the checkpoint's mapped files when they are
 * due, so that it takes no more memory than the names do.
 */
#ifndef TRAIN_EXPORT_H
#define TRAIN_EXPORT_H

#include "rekindle/format_out.h"
#include "rekindle/warm_export.h"
#include "run.h"

struct export {
	struct run *r;
	const char *folder;             /* of the checkpoint, or the file that
	                                   is converted, as it was given */
	const char *deed;               /* "export", for refusals */
	enum ckpt_form form;
	enum warm_target target;
	struct ckpt_info info;
	struct tensor_set *model, *optim;       /* NULL: not of this form */

	struct warm_own *own;           /* r->nn's tensors, in its order, by the
	                                   names that the target has */
	size_t nown;
	char **names;                   /* ... where they are others; or NULL */
	struct warm_export *as;
	int64_t batches;                /* of num_batches_tracked */
	bool whole;                     /* the model out of its shards, as it
	                                   is */
	const char *meta;               /* `format` of safetensors; NULL: pt */

	struct format_out_tensor *out;
	size_t nout;
	/* Of an optimiser: what is not in the checkpoint's file ... */
	char **made;                    /* names of out; or NULL */
	float *counts;                  /* what out[] points to */
	float *unmoved;                 /* a slot that no update has changed; of
					   the largest parameter */
	struct format_paddle_rate rate; /* ... of .pdopt */
	struct format_torch_slot *slots;        /* ... of optimizer.pt */
	size_t params;
	json_t *group;
};

bool export_print(struct run *r);

/* What --convert shares; each is false after run_fail(): the form by --to or
 * OUT; the network (r->nn) of the job and info.input, with `own` and `as`;
 * `out` to where it goes. */
bool export_form(struct export *x);
bool export_list(struct export *x);
bool export_write(struct export *x);
void export_fini(struct export *x);

/* export_shape.c: the network that has the checkpoint's tensors, whose input
 * neither the job nor the checkpoint says; w is what is wanted but for that.
 * NULL: none. */
struct nn *export_guess(const struct export *x, struct nn_want *w);

/* export_state.c: out and what goes with it, of CKPT_PDOPT and
 * CKPT_OPTIMIZER_PT.  False after run_fail(): the other framework has no such
 * state. */
bool export_state(struct export *x);
/* A tensor of the checkpoint's file, which must be of this shape, as the file
 * that is written has g. */
bool export_tensor(struct export *x, const struct tensor_set *from,
    const char *name, const struct warm_given *g, struct format_out_tensor *to);

#endif
