/*
 * spec_register - training.register: what a job gives to the registry when it
 * has succeeded (models.h).
 *
 *	training: {register: {name: defects, alias: candidate,
 *	    if: "val_accuracy >= 0.9", notes: three new classes}}
 *
 *	name     the model; required
 *	alias    moved to the new version; none
 *	if       none; METRIC OP NUMBER, OP being >= > <= or <, of a metric of
 *	         checkpoint.keep.metric: where the checkpoint does not have it
 *	         so, nothing is registered, and an event says both numbers
 *	notes    of the version; "", at most SPEC_NOTES_MAX bytes
 *
 * The checkpoint is the best one by checkpoint.keep, or, where no best one is
 * kept, the latest.  The block decides no weight: it is in no digest, in no
 * record of a checkpoint, and a resume may change it.  rekindle-train alone
 * does nothing with it.
 */
#ifndef REKINDLE_SPEC_REGISTER_H
#define REKINDLE_SPEC_REGISTER_H

#include "rekindle/json.h"

#define SPEC_NOTES_MAX 16384

enum spec_than { SPEC_THAN_GE, SPEC_THAN_GT, SPEC_THAN_LE, SPEC_THAN_LT };
extern const char *const spec_than_words[];     /* ">=", ... */

/* A metric held against a number. */
struct spec_condition {
	char *metric;
	enum spec_than than;
	double value;
};
/* "val_accuracy >= 0.9", blanks as one likes; the metric is any word.  Faults
 * have no path.  On RK_OK out->metric is the caller's. */
enum rk_err spec_condition_parse(const char *text, struct spec_condition *out,
    struct rk_why *why) RK_MUSTCHECK;
bool spec_condition_holds(const struct spec_condition *c, double x);

struct spec_register {
	char *name;                     /* NULL: nothing is registered */
	char *alias, *notes;            /* NULL: none */
	char *cond_text;                /* `if` as it was said; NULL: none */
	struct spec_condition cond;     /* of that */
};

/* Names of models and of aliases (models.h).  Faults have no path. */
enum rk_err spec_model_name_ok(const char *name, struct rk_why *why)
    RK_MUSTCHECK;
enum rk_err spec_model_alias_ok(const char *alias, struct rk_why *why)
    RK_MUSTCHECK;

#endif
