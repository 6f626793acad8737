/* A job from its tree or its text. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

#define MAX_LABELS    32
#define MAX_METADATA  64

static void
read_resources(struct spec *s, const json_t *v, struct rk_why *why)
{
	struct sp_obj so;

	sp_open(&so, v, "resources", why);
	rkj_int(&so.o, "threads", &s->threads, 1, 256, RKJ_OPTIONAL);
	rkj_bytes(&so.o, "memory", &s->memory, (uint64_t)1 << 20,
	    (uint64_t)1 << 50, RKJ_OPTIONAL);
	sp_close(&so);
}

static void
read_top(struct spec *s, struct rkj_obj *o, struct rk_why *why)
{
	if (rkj_str(o, "name", &s->name, 4096, RKJ_REQUIRED) &&
	    !rk_name_ok(s->name))
		rkj_fault(o, "name", "is \"%.*s\", want 1 to 64 of "
		    "[A-Za-z0-9._-], the first no . and no -",
		    (int)rk_text_fit(s->name, 80), s->name);
	sp_read_kind(s, o);
	sp_read_report(s, rkj_any(o, "report"), o);
	rkj_int(o, "priority", &s->priority, -1000, 1000, RKJ_OPTIONAL);
	rkj_bool(o, "hold", &s->hold, RKJ_OPTIONAL);
	s->retries = 3;
	rkj_int(o, "retries", &s->retries, 0, 100, RKJ_OPTIONAL);
	s->labels = sp_texts(o, "labels", MAX_LABELS, 64, true);
	s->metadata = sp_texts(o, "metadata", MAX_METADATA, 4096, false);
	read_resources(s, rkj_any(o, "resources"), why);
}

/* The blocks; the bits of those that had no fault. */
static unsigned
read_blocks(struct spec *s, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *model = rkj_any(o, "model");
	json_t *training = (json_t *)(uintptr_t)rkj_any(o, "training");
	const json_t *data = rkj_any(o, "data");
	unsigned sound = 0;
	size_t before;

	before = why->n + why->more;
	if (model != NULL)
		sp_read_model(&s->model, model, why);
	else
		rkj_fault(o, "model", "is missing: what is to be trained");
	sound |= why->n + why->more == before ? SP_MODEL : 0;

	before = why->n + why->more;
	training = s->kind != SPEC_JOB_TRAIN ? sp_use_training(training) :
	    json_incref(training);
	if (training != NULL)
		sp_read_training(&s->training, training, why);
	else
		rkj_fault(o, "training", "is missing, with epochs or steps at "
		    "least");
	json_decref(training);
	sound |= why->n + why->more == before ? SP_TRAINING : 0;

	before = why->n + why->more;
	if (data != NULL)
		sp_read_data(&s->data, data, why);
	else
		rkj_fault(o, "data", "is missing, with train at least");
	sound |= why->n + why->more == before ? SP_DATA : 0;

	before = why->n + why->more;
	sp_read_checkpoint(&s->checkpoint, rkj_any(o, "checkpoint"), why);
	sound |= why->n + why->more == before ? SP_CHECKPOINT : 0;
	return sound;
}

static enum rk_err
parse(const json_t *tree, struct spec **sp, struct rk_why *why)
{
	struct rk_why own = {0};        /* the caller's may be NULL, or used */
	struct spec *s = xcalloc(1, sizeof(*s));
	struct rkj_obj o;
	enum rk_err rc;

	rkj_open(&o, tree, "", &own);
	if (o.v != NULL) {
		read_top(s, &o, &own);
		sp_check_across(s, tree, read_blocks(s, &o, &own), &own);
		sp_check_use(s, &own);
	}
	rkj_close(&o);
	rc = sp_hand_over(&own, why);
	if (rc == RK_OK) {
		sp_find_beside(s);
		*sp = s;
	} else {
		spec_free(s);
	}
	return rc;
}

/* Of a job that uses a model all that counts for nothing is gone: it is read
 * again from its normal form. */
static enum rk_err
settle(struct spec **sp, struct rk_why *why)
{
	const bool said = (*sp)->training.arithmetic_said;
	json_t *tree = spec_json(*sp);
	struct spec *s = NULL;

	enum rk_err rc = parse(tree, &s, why);
	json_decref(tree);
	spec_free(*sp);
	*sp = s;
	if (rc != RK_OK)
		return rc;
	s->training.arithmetic_said = said;
	s->checkpoint.require_said = true;      /* false: nothing is sent */
	return RK_OK;
}

enum rk_err
spec_parse(const json_t *tree, struct spec **sp, struct rk_why *why)
{
	struct spec *s = NULL;
	enum rk_err rc = parse(tree, &s, why);

	if (rc == RK_OK && s->kind != SPEC_JOB_TRAIN)
		rc = settle(&s, why);
	if (rc == RK_OK)
		*sp = s;
	return rc;
}

/* JSON when it begins with a brace and may be JSON; YAML reads most of JSON as
 * well, but its complaints are not about JSON. */
static bool
looks_like_json(const char *s, size_t len)
{
	if (len >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) {
		s += 3;
		len -= 3;
	}
	for (; len > 0; s++, len--) {
		if (*s != ' ' && *s != '\t' && *s != '\n' && *s != '\r')
			return *s == '{';
	}
	return false;
}

enum rk_err
sp_parse_text(const char *s, size_t len, bool yaml, struct spec **sp,
    struct rk_why *why)
{
	json_t *tree = NULL;
	enum rk_err rc;

	if (!yaml && looks_like_json(s, len))
		rc = rkj_parse_json(s, len, &tree, why);
	else
		rc = rkj_parse_yaml(s, len, &tree, why);
	if (rc != RK_OK)
		return rc;
	rc = spec_parse(tree, sp, why);
	json_decref(tree);
	return rc;
}

enum rk_err
spec_parse_text(const char *s, size_t len, bool yaml, struct spec **sp,
    struct rk_why *why)
{
	if (len <= SPEC_MAX_BYTES)
		return sp_parse_text(s, len, yaml, sp, why);
	char *sentence = rk_too_long("the job", SPEC_MAX_BYTES);
	enum rk_err rc = rk_refuse(why, "%s", sentence);
	free(sentence);
	return rc;
}

void
spec_free(struct spec *s)
{
	if (s == NULL)
		return;
	free(s->name);
	json_decref(s->labels);
	json_decref(s->metadata);
	sp_free_model(&s->model);
	sp_free_loss(&s->training.loss);
	free(s->training.resume_from);
	free(s->training.early.metric);
	sp_free_register(&s->training.reg);
	free(s->training.warm_start.plan);
	free(s->training.warm_start.beside);
	free(s->training.warm_start.record);
	sp_free_groups(&s->training);
	sp_free_phases(&s->training);
	sp_free_data(&s->data);
	free(s->checkpoint.metric);
	free(s->checkpoint.push);
	free(s);
}
