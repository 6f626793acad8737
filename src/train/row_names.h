/*
 * row_names - what the rows of a network are called after, for a warm start
 * that grows: the classes of its head, the tokens of its embedding.
 *
 * Of the job: its data's classes (input_classes()) and the vocabulary of its
 * texts.  Of the model that it starts from: model.checkpoint_classes and
 * model.checkpoint_vocabulary, else what the file tells, or of classes the
 * checkpoint.json beside it.
 */
#ifndef TRAIN_ROW_NAMES_H
#define TRAIN_ROW_NAMES_H

#include "run.h"

struct row_names {
	struct warm_sides classes, tokens;      /* for warm.h */
	struct warm_names told;                 /* ... too */
	json_t *lists[3];                       /* that classes borrow from */
	char *texts[2];                         /* that tokens borrow from */
};

/* After warm_open() and with a network.  False after run_fail(): a file of
 * names cannot be read. */
bool row_names_open(struct run *r, struct row_names *n);
void row_names_close(struct row_names *n);      /* fine on {0} */

/* The vocabulary of the job's texts, a token a line, the caller's; NULL: it has
 * none. */
char *row_names_vocabulary(const struct run *r);

/* Put the classes that the job says its model has in place of those that the
 * file tells; false after run_fail(). */
bool row_names_classes(struct run *r);

/* The layer whose rows are the outputs: the last linear or conv2d with a row
 * for each.  "": there is none.  Ends at *len. */
const char *row_names_head(const struct nn *n, int *len);
/* What the rows of a tensor of the network are called after. */
enum warm_rows row_names_of(const struct nn *n, const struct nn_tensor *t);
/*
 * Of the n classes of a warm start's model, how many of the first have their
 * places in the job's outputs, where its own of the same name then go: all of
 * them; as many as there are outputs, where the head grows by number; none
 * where it grows by name, so that classes stay where the data have them, or
 * where there are fewer outputs, so that the head is another.  With the data,
 * of a network that is not there yet.
 */
int64_t row_names_places(const struct run *r, int64_t n);

#endif
