/*
 * suggest - what a job would best begin from, for the routes.
 *
 *	suggest.c       the question, and the candidates that it is about
 *	suggest_rank.c  the answer: what a trainer said of each, in order
 */
#ifndef API_SUGGEST_H
#define API_SUGGEST_H

#include "impl.h"

/*
 * What is known here of the candidates: {ID: {kind, source, arch, metrics,
 * data: {train, validation}, created_at, and what else an answer has of it}}.
 * A job's has kind, source, job, name and state; the rest its trainer said.
 */

/*
 * The answer, a new reference.  said: of `rekindle-train --suggest` (train.h);
 * job: the job that asks, in its normal form.  At most `limit` suggestions: by
 * the share that loads, then of the same architecture, then by metrics of the
 * same data, then the newest.
 */
json_t *suggest_answer(const json_t *said, json_t *known, const json_t *job,
    int64_t limit);

#endif
