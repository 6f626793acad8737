/*
 * results - RUN-DIR/predictions.jsonl, to which lines are only appended, and
 * RUN-DIR/predictions.state, which says how much of it counts.
 *
 * results_commit() puts all lines so far on disk and then the state in its
 * place, so after a kill or a power cut at any moment the state is of the first
 * `bytes` of the file.  What is behind them, a torn line at its end, is cut
 * when it is opened again.
 *
 *	predictions.state  {format: 1, bytes, lines, tail, of}: tail is a hash
 *	                   of the last RESULTS_TAIL bytes that count, of what
 *	                   the caller says.  It is replaced as one; where it is
 *	                   damaged, or the file is not what it says, all begins
 *	                   anew
 *
 * Memory: RESULTS_PENDING and a line, whatever the file has.
 */
#ifndef TRAIN_RESULTS_H
#define TRAIN_RESULTS_H

#include "rekindle/json.h"

#define RESULTS_FILE      "predictions.jsonl"
#define RESULTS_STATE     "predictions.state"
#define RESULTS_STATE_MAX ((size_t)64 << 20)
#define RESULTS_TAIL      4096
#define RESULTS_PENDING   ((size_t)1 << 20)

struct results {
	int dir_fd, fd;
	struct strbuf pending;          /* lines that are not written yet */
	uint64_t bytes;                 /* of all lines */
	int64_t lines;
};

/*
 * Open both in a folder; anew: whatever there is.  *of (a new reference) is
 * what the state has of the caller's; NULL: there is none, and the file is
 * empty.  Then *lost may have a sentence (the caller frees) on a state that was
 * there.
 */
enum rk_err results_open(struct results *p, int dir_fd, bool anew,
    json_t **of, char **lost) RK_MUSTCHECK;
void results_close(struct results *p);          /* what is pending is lost */
/* A line without its newline. */
enum rk_err results_add(struct results *p, const char *line) RK_MUSTCHECK;
/* `of` stays the caller's. */
enum rk_err results_commit(struct results *p, const json_t *of) RK_MUSTCHECK;

#endif
