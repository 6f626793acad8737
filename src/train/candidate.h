/*
 * candidate - a file that a job could begin from, opened as far as a plan wants
 * it: the list of its tensors, and what their rows are called.
 *
 * That of a job of this machine is its best checkpoint, else its latest, as
 * --plan would read it: headers alone, no weights.
 */
#ifndef TRAIN_CANDIDATE_H
#define TRAIN_CANDIDATE_H

#include "rekindle/warm_suggest.h"
#include "run.h"

struct candidate {
	const struct warm_tensor *v;
	size_t n;
	enum warm_framework framework;
	const char *writer;
	struct warm_names classes;      /* v is owned, its texts are not */
	char *vocabulary;               /* a token a line; NULL */
	/* Of a job: its job.json and the checkpoint. */
	struct spec *spec;
	struct ckpt_info info;
	const char *selector;           /* best or latest; NULL: of no job */

	struct warm_list list;          /* what the above borrows from */
	struct warm_file *file;
	struct tensor_set *set;
	json_t *names;
};

/* False: why it cannot be read, a sentence in `why`. */
bool candidate_open(struct candidate *c, const struct warm_candidate *of,
    struct rk_why *why);
void candidate_close(struct candidate *c);      /* fine on {0} */

/* Lines of a text, in place: v is the caller's. */
void candidate_lines(char *text, struct warm_names *out);

#endif
