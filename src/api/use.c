/* Jobs that use a model: what they need not say, as it is submitted. */
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

enum rk_err
use_lay(struct req *q, json_t **tree)
{
	json_t *whole = NULL;

	if (!uses_a_model(*tree))
		return RK_OK;
	const enum rk_err rc = sup_use(q->api->sup, *tree, &whole, &q->why);
	if (rc == RK_OK) {
		json_decref(*tree);
		*tree = whole;
	}
	return rc;
}
