/*
 * What a job is for: train, predict, evaluate.
 *
 * Those that do not train have no checkpoints: what is done lies in their
 * folder, a line a sample, and an attempt goes on behind the last whole line.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define RESULTS "results"

/* Most jobs have no such word in their specification, and need not be
 * parsed. */
const char *
sup_kind(const struct job_row *r)
{
	static const char *const kinds[] = { "predict", "evaluate" };
	const char *kind = "train", *said;
	json_t *tree = NULL;

	if (strstr(r->spec, "\"kind\"") == NULL ||
	    row_spec(r, &tree, NULL, NULL) != RK_OK)
		return kind;
	said = json_string_value(json_object_get(tree, "kind"));
	for (size_t i = 0; said != NULL && i < RK_ARRAY_LEN(kinds); i++) {
		if (strcmp(said, kinds[i]) == 0)
			kind = kinds[i];
	}
	json_decref(tree);
	return kind;
}

bool
sup_trains(const struct job_row *r)
{
	return strcmp(sup_kind(r), "train") == 0;
}

enum rk_err
refuse_kind(const struct job_row *r, const char *what, struct rk_why *why)
{
	rk_refuse(why, "job %s is of kind %s: it has no checkpoints%s%s", r->id,
	    sup_kind(r), what[0] != '\0' ? ", " : "", what);
	return RK_ECONFLICT;
}

const char *
run_place(const struct run *run, int64_t at, char out[PLACE])
{
	char digits[RK_HUMAN];

	snprintf(out, PLACE, "%s %s", run->trains ? "step" : "sample",
	    rk_group_digits(digits, at));
	return out;
}

/* --- where its results are ------------------------------------------------ */

char *
sup_results(const struct job_row *r)
{
	json_t *p = NULL;
	const char *where = NULL;

	if (rkj_parse_json(r->progress, strlen(r->progress), &p, NULL) == RK_OK)
		where = json_string_value(json_object_get(p, RESULTS));
	char *out = where != NULL ? xstrdup(where) : NULL;
	json_decref(p);
	return out;
}

enum rk_err
sup_results_are(struct sup *s, const char *id, const char *where)
{
	json_t *p = NULL;
	struct job_row r;

	must_be(s, SUP_TAG);
	enum rk_err rc = store_job_get(s->store, id, &r);
	if (rc != RK_OK)
		return rc;
	if (r.state != JOB_SUCCEEDED)
		rc = RK_ECONFLICT;
	else
		rc = rkj_parse_json(r.progress, strlen(r.progress), &p, NULL);
	if (rc == RK_OK && json_is_object(p)) {
		json_object_set_new(p, RESULTS, json_string(where));
		free(r.progress);
		r.progress = rkj_text(p);
		rc = sup_put(s, &r, NULL, NULL);
	}
	if (rc == RK_OK)
		record_file_keep(s, id);
	json_decref(p);
	store_job_fini(&r);
	return rc;
}
