/* check - a trainer that answers one question and ends: see check.c. */
#ifndef SUP_CHECK_H
#define SUP_CHECK_H

#include "impl.h"

/* Of a check that asks what a job would best begin from: suggest.c. */
struct suggest {
	json_t *tree;                   /* the file of candidates */
	json_t *passed;                 /* those that could not be fetched */
	int64_t jobs_left;              /* not looked at */
	struct spec *cold;              /* without what it begins from, with
	                                   its text; NULL: that is asked for */
	char *cold_text;
	char *own, *own_error;          /* what it begins from, and why that
	                                   was left out */
};

struct check {
	struct check *next;
	struct sup *s;
	struct job_row row;             /* of no job: id and specification */
	struct spec *spec;
	char *address;                  /* of a file of weights: inspect.c; then
	                                   there is no spec.  Else NULL */
	bool here;                      /* ... which need not be fetched */
	bool statistics;
	char *form;                     /* what it is to be converted to:
	                                   convert.c; or NULL */
	char *form_spec;                /* by the names of this job; or NULL */
	struct suggest *suggest;        /* or NULL */
	json_t *files;                  /* {address: path} */
	char *dir;
	pid_t pid;                      /* 0: not yet, or no more */
	bool late;                      /* killed: its time was up */
	struct loop_timer *timer;
	int64_t since_ms, until_ms;     /* mono */
	sup_check_fn *fn;               /* both NULL: nobody waits any more */
	sup_weights_fn *bytes;          /* of an address; then there is no fn */
	void *ctx;
};

/* RK_ELIMIT: there are as many as may be.  It begins from the loop. */
enum rk_err check_new(struct sup *s, sup_check_fn *fn, void *ctx,
    struct check **out, struct rk_why *why) RK_MUSTCHECK;
/* sup_check(), for so long. */
enum rk_err check_spec(struct sup *s, const struct spec *spec,
    int64_t within_ms, sup_check_fn *fn, void *ctx, struct rk_why *why)
    RK_MUSTCHECK;
/* The process; an errno. */
int check_spawn(struct check *c, const char *const *argv);
/* What it wrote, "out" or "err", the caller's; NULL. */
char *check_read(const struct check *c, const char *name, size_t max);
/* The last line of that to standard error, or how it ended; the caller's. */
char *check_last_words(const struct check *c, int status);
/* Tell who asked; c is gone afterwards. */
void check_answer(struct check *c, enum rk_err rc, const json_t *said,
    const struct rk_why *why);
void check_answer_text(struct check *c, enum rk_err rc, const char *text);

/* The path of job:// in model.checkpoint into c->files. */
enum rk_err check_model(struct check *c, struct rk_why *why) RK_MUSTCHECK;

/* suggest.c: after supply_ask(), which gave rc; the lists of candidates that
 * are fetched, and the file of them all, where launch() finds it. */
enum rk_err suggest_supply(struct check *c, enum rk_err rc,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err suggest_fetch(struct check *c) RK_MUSTCHECK;
enum rk_err suggest_write(struct check *c) RK_MUSTCHECK;
char *suggest_path(const struct check *c);
/* Is it an answer?  What the trainer could not know is put to it. */
bool suggest_answers(struct check *c, json_t *said);
void suggest_free(struct suggest *g);           /* NULL is fine */

/* inspect.c: the bytes, then the process (an errno), then its answer. */
enum rk_err inspect_fetch(struct check *c, struct rk_why *why) RK_MUSTCHECK;
int inspect_launch(struct check *c);
int inspect_bytes(const struct check *c);       /* a descriptor; -1, errno */
void inspect_ended(struct check *c, int status);
const char *inspect_path(const struct check *c);        /* of the file */
/* A sentence in which the file is called what people call it. */
char *inspect_named(const struct check *c, const char *text);

/* convert.c: the same of a file that is to be another. */
int convert_launch(struct check *c);
int convert_bytes(const struct check *c);
void convert_ended(struct check *c, int status);

#endif
