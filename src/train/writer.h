/*
 * writer - the thread that writes checkpoints behind the training.
 *
 *	main thread                        writer's thread
 *	writer_free()? copy into shadow
 *	writer_submit()            ──▶     digest, write, fsync, commit, retain
 *	goes on training
 *	writer_collect()           ◀──     the result
 *
 * There is one shadow, so there is one checkpoint under way: the shadow is the
 * main thread's while the writer is free, and the writer's from submit until
 * the result has been collected.  The same holds for the struct ckpt.
 */
#ifndef TRAIN_WRITER_H
#define TRAIN_WRITER_H

#include "rekindle/ckpt.h"
#include "rekindle/nn.h"
#include "rekindle/optim.h"

struct writer;

struct writer_result {
	enum rk_err rc;
	bool not_finite;        /* not written: a weight is NaN or infinite */
	struct ckpt_info info;
	char name[RK_NAME_MAX + 1];
	double write_s;
	int deleted;            /* by retention */
};

/*
 * What the files have: model.safetensors the network's tensors, NAME, or with
 * an average their averages, as validation measured them; optimizer.safetensors
 * NAME.SLOT for every parameter, and with an average NAME.raw for every tensor,
 * what is trained.  Of what is in a shard (ckpt.h: parameters that are not
 * trained, as the optimizer's spans are when the writer is given the work)
 * there is nothing in the optimizer's file, and state.updates says 0.
 */
#define WRITER_RAW "raw"

/* Starts the thread.  ema: the average, or NULL.  metrics_fd (-1: none) is
 * synced before each commit, so that metrics are at least as durable as what
 * they describe.  split, classes and vocabulary (NULL: none) go into the
 * model's metadata: see held_out.h.  RK_ENOMEM. */
enum rk_err writer_new(struct writer **wp, struct ckpt *c, struct nn *n,
    struct optim *o, struct optim_ema *ema,
    const struct spec_checkpoint *keep, int metrics_fd, const char *split,
    const char *classes, const char *vocabulary) RK_MUSTCHECK;
/* Waits for a write under way.  NULL is fine. */
void writer_stop(struct writer **wp);

/* Bytes of the shadow, and of a checkpoint on disk, for so many parameters,
 * buffer elements and slots, with or without an average. */
uint64_t writer_shadow_bytes(int64_t nparams, int64_t nbuffers, int nslots,
    bool ema);

bool writer_is_free(struct writer *w);
/* Where optim_step() puts copies of parameters and slots. */
float *const *writer_shadow(struct writer *w);
/* Where optim_ema_step() puts a copy. */
float *writer_ema(struct writer *w);
/* Copy parameters, slots and the average, on all threads; buffers go with
 * submit. */
void writer_copy(struct writer *w);

/* Buffers are copied here.  Takes what info owns.  name: "" for none. */
void writer_submit(struct writer *w, struct ckpt_info *info, const char *name);
/* True, and *res is the caller's (ckpt_info_fini), when one has been done. */
bool writer_collect(struct writer *w, struct writer_result *res);
/* Until there is a result or the writer is free; false after ms. */
bool writer_wait(struct writer *w, int ms);

#endif
