/*
 * suggest - what a job would best begin from, for the routes.
 *
 *	suggest.c       the question
 *	suggest_versions.c  which versions of models it is about
 *	suggest_rank.c  the answer: what a trainer said of each, in order
 */
#ifndef API_SUGGEST_H
#define API_SUGGEST_H

#include "impl.h"

/*
 * What is known here of the candidates: {ID: {kind, source, arch, metrics,
 * data: {train, validation}, created_at, evaluations, others (ids that have the
 * same plan), and what else an answer has of it}}.  A job's has kind, source,
 * job, name and state; the rest its trainer said.
 */

/* Versions of models into a file of candidates (warm_suggest.h), by the copy of
 * the registry.  passed: [{id, why}] of those that cannot be looked into;
 * *left: how many are left out. */
enum rk_err suggest_versions(struct api *a, json_t *candidates, json_t *known,
    json_t *passed, json_int_t *left) RK_MUSTCHECK;

/*
 * The answer, a new reference.  said: of `rekindle-train --suggest` (train.h);
 * job: the job that asks, in its normal form.  At most `limit` suggestions: by
 * the share that loads, then of the same architecture, then by metrics of the
 * same data, then the newest.
 */
json_t *suggest_answer(const json_t *said, json_t *known, const json_t *job,
    int64_t limit);

#endif
