/*
 * models_views - what people ask of versions: where one comes from, how two
 * differ, a page about one.
 *
 * Pure functions of records (models.h, etc/model-version.schema.json).  A
 * record may have been edited by hand: a field of another type than it should
 * have counts as not recorded, and nothing is made up in its place.
 */
#ifndef REKINDLE_MODELS_VIEWS_H
#define REKINDLE_MODELS_VIEWS_H

#include "rekindle/json.h"

/* What has become of a version that a lineage names. */
enum models_now { MODELS_THERE, MODELS_DELETED, MODELS_UNKNOWN };
typedef enum models_now models_now_fn(void *ctx, const char *model,
    int64_t version);

/*
 * A version with all that it comes from: {kind: "version" | "job" | "file",
 * ..., parents: [...]}, a new reference.  A version that is gone has deleted:
 * true, one that no log has unknown: true; a node whose parents are too deep or
 * too many to be shown has cut: true.
 */
json_t *models_lineage(const json_t *record, models_now_fn *now, void *ctx);

/*
 * How b differs from a: metrics, classes, data, tensors, the jobs' specs, a new
 * reference.  tensors_a, tensors_b: their tensors.json; NULL where there is
 * none.
 */
json_t *models_compare(const json_t *a, const json_t *b,
    const json_t *tensors_a, const json_t *tensors_b);

/*
 * A model card: a page of Markdown about a version, that the caller frees.
 * lineage: of models_lineage(); tensors as above.  What others wrote is
 * escaped: it is text, whatever it looks like.
 */
char *models_card(const json_t *record, const json_t *lineage,
    const json_t *tensors);

#endif
