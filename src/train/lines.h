/*
 * lines - what a network says of a sample, as a line of JSON; train.h has the
 * fields of each task (--predict).
 */
#ifndef TRAIN_LINES_H
#define TRAIN_LINES_H

#include "run.h"

/* Of what the outputs are. */
enum lines_says { SAYS_CLASS, SAYS_LABELS, SAYS_NUMBER, SAYS_SCORE };
struct lines {
	json_t *names;                  /* of the classes, or NULL */
	enum lines_says says;
	int64_t said, nothing;          /* rows, and those of which nothing is
	                                   predicted */
};

/* By the loss and the number of outputs. */
enum lines_says lines_says(const struct run *r);
/* What the n outputs z of a row say. */
void lines_put_outputs(struct lines *p, json_t *o, const float *z, int64_t n);
/* What sample i ought to be: a class, several of them, or a number. */
void lines_put_label(const struct lines *p, json_t *o,
    const struct data_set *d, int64_t i);
/* A path, so that who gave it knows it again: cleaned only where it is no
 * UTF-8. */
json_t *lines_path(const char *path);

#endif
