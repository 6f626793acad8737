/* What the files of the registry's routes share. */
#ifndef REKINDLE_API_MODELS_H
#define REKINDLE_API_MODELS_H

#include "impl.h"
#include "rekindle/store_models.h"

/*
 * Look at the model {model} (one), or at all, unless the copy is younger than
 * max_age_ms (0: in any case); then `then` answers, or waits for more.
 * q->models_rc says what came of the look.
 */
void models_first(struct req *q, bool one, int64_t max_age_ms,
    route_fn *then);
/* A refusal of models.h: what the store says no with is not the disk's. */
void reply_models_err(struct req *q, enum rk_err rc, const struct rk_why *why,
    const char *what);
/* rc of asking the copy: true: it is not RK_OK, and is the answer.  What the
 * copy does not have is not known to be missing where the store is silent. */
bool models_lacks(struct req *q, enum rk_err rc, const struct rk_why *why,
    const char *what);
/* The rows that the address names; false: the refusal is the answer. */
bool req_model(struct req *q, struct model_row *r);
bool req_version(struct req *q, int64_t *version);      /* {version} */
/* ,"as_of":...,"age_seconds":...,"error":... of a model; NULL: of all. */
void put_age(struct req *q, const char *model);
void reply_version(struct req *q, int64_t version);
/* The id of the entry that this request makes. */
void model_entry_id(const struct req *q, char id[65]);

/* --- model_query.c -------------------------------------------------------- */

struct version_query {
	struct store_versions_filter filter;
	char *label, *metric, *sort;            /* cut up; filter borrows */
};
/* Faults are the query's; the caller frees. */
struct version_query *version_query_new(struct query *u);
void version_query_free(struct version_query *v);

#endif
