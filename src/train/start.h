/*
 * start - what a run goes on from: one of its checkpoints, another model (a
 * warm start), or nothing.
 *
 * Reading and verifying a checkpoint takes a while, as reading the data does,
 * so it happens on a thread of its own: begin, open the data, then decide.
 */
#ifndef TRAIN_START_H
#define TRAIN_START_H

#include <pthread.h>

#include "run.h"

struct start {
	const char *selector;
	const struct spec *spec;
	struct ckpt *ckpt;
	pthread_t thread;
	bool running;

	enum rk_err rc;                 /* of ckpt_load */
	bool had;                       /* after RK_ENOENT: there has been
					   one */
	struct rk_why why;
	struct ckpt_info info;
	struct tensor_set *model, *optim;
	json_t *notes;                  /* what was passed over, and why */
};

/* --from, or what the job says. */
const char *start_selector(const struct run *r);
/* Nothing is to be started when the selector is none. */
void start_begin(struct start *s, const struct run *r);
/* Waits for the thread.  True: rc is RK_OK, and info says from where the run
 * can go on, or RK_ENOENT, and it may begin anew; else the run is refused. */
bool start_may(struct start *s, struct run *r);
/* The same, and the data are those of the checkpoint, if there is one. */
bool start_judge_data(struct start *s, struct run *r);
/* The same, and weights, optimiser and cursor of the run are set. */
bool start_decide(struct start *s, struct run *r);
void start_end(struct start *s);

/* The warm start's file, once: r->warm and what it tells, r->warm_model. */
bool warm_open(struct run *r);
/* Where it is and what of it is meant (struct rk_part), the caller's to free;
 * NULL after run_fail(). */
char *warm_model_path(struct run *r);
/* The same of any file; the refusal says "DEED PATH: ...". */
bool warm_open_path(struct run *r, const char *path, const char *deed);
/* What the job or --evaluate calls it, for lineage; else the path. */
const char *warm_source(const struct run *r);
/* The warm start's file, its plan and its application. */
bool warm_start(struct run *r);
/* The plan as JSON without doing it, with what stands against it in `refused`;
 * and as *text for people, the caller's. */
json_t *warm_plan(struct run *r, char **text);
bool warm_wanted(const struct run *r);
/* Can its file be read here, as far as its address tells? */
bool warm_at_hand(const struct run *r);

#endif
