/*
 * Results of jobs that do not train: results.c up, results_here.c down.
 *
 *	PREFIX/jobs/<id>/results/e<epoch>-a<attempt>/predictions.jsonl
 *	                                             report.json
 */
#ifndef SHIP_RESULTS_H
#define SHIP_RESULTS_H

#include <sys/stat.h>

#include "impl.h"

#define RESULTS_TAG  0x72657375u
#define RESULTS_DIR  "results"
#define RESULT_FILES 2
extern const char *const result_files[RESULT_FILES];    /* the report last */

static inline int64_t
results_mtime(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* PREFIX/jobs/<id>/results/; the caller frees. */
char *results_folder(const struct jobinfo *j, const char *id);
/* Does what a row says lie below where its job's results go?  A record of a
 * bucket may say anything. */
bool results_are_its(struct ship *h, const struct job_row *r,
    const char *where);
/* What lies there is not wanted any more. */
void results_away(struct ship *h, const char *job, const char *where);
void results_forget_job(struct ship *h, const char *job);

#endif
