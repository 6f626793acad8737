/*
 * Jobs that use a model: what they need not say, as they are submitted.  Of a
 * version the registry has the job that made it, by its record; of a job and of
 * a checkpoint's folder the supervisor has it.
 */
#include "impl.h"

#include <string.h>

#include "rekindle/spec_use.h"

static bool
uses_a_model(const json_t *tree)
{
	const char *kind = json_string_value(json_object_get(tree, "kind"));

	return kind != NULL && (strcmp(kind,
	    spec_job_words[SPEC_JOB_PREDICT]) == 0 || strcmp(kind,
	    spec_job_words[SPEC_JOB_EVALUATE]) == 0);
}

/* As the copy has it, which was brought up to date when the address was
 * settled. */
static enum rk_err
of_version(struct req *q, const char *address, const json_t *said,
    json_t **whole)
{
	struct models_which w;
	struct rk_why why = { 0 };
	json_t *record = NULL;
	enum rk_err rc = models_which(q->api->models, address, &w, &why);

	if (rc == RK_OK)
		rc = models_version(q->api->models, w.name, w.version, &record,
		    &why);
	if (rc == RK_OK)
		*whole = spec_use(said, json_object_get(record, "spec"),
		    json_object_get(record, "input"), json_object_get(record,
		    "classes"));
	else if (why.n > 0)
		rc = rk_refuse_at(&q->why, "model.checkpoint", "%s",
		    rk_why_first(&why));
	json_decref(record);
	rk_why_fini(&why);
	return rc;
}

/* Nobody knows what the tensors are those of. */
static enum rk_err
check_network(struct req *q, const char *address, const json_t *whole)
{
	static const char *const words[] = { "arch", "layers" };
	const json_t *model = json_object_get(whole, "model");

	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++) {
		const json_t *v = json_object_get(model, words[i]);
		if (v != NULL && !json_is_null(v))
			return RK_OK;
	}
	return rk_refuse_at(&q->why, "model.arch", "is missing, and nothing is "
	    "known of %s but its tensors: want the network (model.arch or "
	    "model.layers, as in a job that trains), and where they matter how "
	    "samples are prepared (data.transforms.validation, data.normalize "
	    "or data.input) and what the classes are called "
	    "(model.checkpoint_classes)", address);
}

enum rk_err
use_lay(struct req *q, json_t **tree)
{
	const char *address = json_string_value(json_object_get(
	    json_object_get(*tree, "model"), "checkpoint"));
	json_t *whole = NULL;
	enum rk_err rc;

	if (!uses_a_model(*tree) || address == NULL)
		return RK_OK;           /* spec_parse() says what is missing */
	rc = q->api->models != NULL && spec_is_version(address) ?
	    of_version(q, address, *tree, &whole) :
	    sup_use(q->api->sup, *tree, &whole, &q->why);
	if (rc == RK_OK)
		rc = check_network(q, address, whole);
	if (rc == RK_OK) {
		json_decref(*tree);
		*tree = json_incref(whole);
	}
	json_decref(whole);
	return rc;
}
