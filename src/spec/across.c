/* What the blocks of a job must mean to one another. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

/* How many outputs the network has for certain; 0 where that is not plain. */
static int64_t
outputs(const struct spec_model *m)
{
	if (m->arch == SPEC_ARCH_mlp)
		return m->u.mlp.sizes.v[m->u.mlp.sizes.n - 1];
	if (m->arch == SPEC_ARCH_lenet5)
		return m->u.lenet5.classes;
	if (m->arch != SPEC_ARCH_LAYERS || m->noutputs > 0)
		return 0;
	const struct spec_layer *last = &m->layers[m->nlayers - 1];
	return last->type == SPEC_OP_linear ? last->u.linear.out : 0;
}

/* The metric that chooses the best checkpoint: default, and whether there will
 * be such a number at all. */
static void
check_metric(struct spec *s, const json_t *tree, struct rk_why *why)
{
	struct spec_checkpoint *c = &s->checkpoint;
	const bool mse = spec_loss_is_regression(s->training.loss.type);
	const bool held_out = s->data.has_validation ||
	    s->data.validation_split > 0;
	const json_t *keep = json_object_get(json_object_get(tree,
	    "checkpoint"), "keep");

	if (c->metric == NULL)
		c->metric = xstrdup(!held_out ? "loss" : mse ? "val_loss" :
		    "val_accuracy");
	else
		sp_check_metric(s, "checkpoint.keep.metric", c->metric, why);
	const json_t *mode = json_object_get(keep, "mode");
	if (mode == NULL || json_is_null(mode))
		c->mode_max = sp_metric_grows(c->metric);
	sp_check_early(s, why);
	sp_check_register(s, why);
}

static void
check_outputs(const struct spec *s, struct rk_why *why)
{
	if (s->training.loss.type == SPEC_CROSS_ENTROPY &&
	    outputs(&s->model) == 1)
		rk_refuse_at(why, s->model.arch == SPEC_ARCH_mlp ?
		    "model.sizes" : "model.layers", "ends in 1 output, and "
		    "cross_entropy needs at least 2 (mse takes 1)");
}

static void
check_rates(const struct spec_training *t, struct rk_why *why)
{
	sp_check_phases(t, why);
	if (t->nphases == 0 &&
	    t->schedule.min_learning_rate > t->optim.learning_rate)
		rk_refuse_at(why, "training.schedule.min_learning_rate",
		    "is %g, more than the learning rate's %g",
		    t->schedule.min_learning_rate, t->optim.learning_rate);
}

/* A regression has no classes whose share could be exact. */
static void
check_split(const struct spec *s, struct rk_why *why)
{
	if (s->data.stratify &&
	    spec_loss_is_regression(s->training.loss.type))
		rk_refuse_at(why, "data.split.stratify", "is true, and the "
		    "loss %s has no classes: it is for cross_entropy",
		    sp_loss_words[s->training.loss.type]);
}

/* Labels that are mixed are shares of classes. */
static void
check_mixing(const struct spec *s, struct rk_why *why)
{
	const struct spec_transforms *t = &s->data.train_transforms;
	const struct spec_loss *l = &s->training.loss;

	for (int i = 0; i < t->n; i++) {
		const char *word = spec_transform_words[t->v[i].type];
		char path[64];

		if (spec_stage_of(t->v[i].type) != SPEC_STAGE_BATCH)
			continue;
		snprintf(path, sizeof(path), "data.transforms.train[%d]", i);
		if (l->type != SPEC_CROSS_ENTROPY)
			rk_refuse_at(why, path, "is %s, which mixes labels, "
			    "and the loss is %s: it is for cross_entropy",
			    word, sp_loss_words[l->type]);
		else if (l->nweights > 0 || l->ignoring)
			rk_refuse_at(why, path, "is %s, which mixes labels, "
			    "and training.loss.%s is for labels that are not "
			    "mixed: want one of them", word, l->nweights > 0 ?
			    "class_weights" : "ignore_index");
	}
}

uint64_t
spec_drawn_bytes(const struct spec_source *of)
{
	uint64_t width = (uint64_t)RK_MAX(of->tokens, 1);

	if (of->type != SPEC_SYNTHETIC)
		return 0;
	for (int i = 0; i < of->ndim; i++)
		width *= (uint64_t)of->shape[i];
	return (uint64_t)of->samples * width * sizeof(float);
}

/* 0: it has no table of tokens, or that is a layer among others. */
static int64_t
vocabulary(const struct spec_model *m)
{
	switch (spec_family_of(m->arch)) {
	case SPEC_FAMILY_bert:
		return m->u.bert.vocabulary;
	case SPEC_FAMILY_textcnn:
		return m->u.textcnn.vocabulary;
	default:
		return 0;
	}
}

void
spec_check_vocabulary(const struct spec *s, struct rk_why *why)
{
	const struct spec_source *d = &s->data.train;
	const int64_t most = vocabulary(&s->model);

	/* That of data.validation is the same. */
	if (d->type == SPEC_SYNTHETIC && most > 0 && d->vocabulary > most)
		rk_refuse_at(why, "model.vocabulary", "is %lld, and "
		    "data.train.vocabulary is %lld: want at least as many",
		    (long long)most, (long long)d->vocabulary);
}

/* Buckets have an order of their own. */
static void
check_buckets(const struct spec *s, struct rk_why *why)
{
	const struct spec_source *d = &s->data.train;

	if (s->training.sampler == SPEC_SAMPLER_BALANCED &&
	    d->type == SPEC_TEXT && d->text.nbuckets > 0)
		rk_refuse_at(why, "training.sampler", "is balanced, and "
		    "data.train.buckets puts samples of one length together: "
		    "want one of them");
}

/* Nor any whose shares could be the same. */
static void
check_sampler(const struct spec *s, struct rk_why *why)
{
	if (s->training.sampler == SPEC_SAMPLER_BALANCED &&
	    spec_loss_is_regression(s->training.loss.type))
		rk_refuse_at(why, "training.sampler", "is balanced, and the "
		    "loss %s has no classes",
		    sp_loss_words[s->training.loss.type]);
}

/* Samples that no file bounds. */
static void
check_synthetic(const struct spec *s, const struct spec_source *of,
    const char *path, struct rk_why *why)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	const uint64_t bytes = spec_drawn_bytes(of);

	if (s->memory > 0 && bytes > s->memory)
		rk_refuse_at(why, path, "is of %s, and resources.memory is %s",
		    rk_human_bytes(need, bytes),
		    rk_human_bytes(have, s->memory));
}

/* What says how a model begins, of a job whose model begins cold: the line with
 * model.checkpoint was lost.  Older fields than these are remarked upon, as
 * jobs of before have them. */
static void
check_warm(const struct spec *s, struct rk_why *why)
{
	const struct spec_warm *w = &s->model.warm;
	const struct {
		bool said;
		const char *field;
	} fields[] = {
		{ w->ngrow > 0, "model.grow" },
		{ w->classes.n > 0 || w->classes.file != NULL,
		    "model.checkpoint_classes" },
		{ w->vocabulary != NULL, "model.checkpoint_vocabulary" },
		{ s->training.warm_start.plan != NULL,
		    "training.warm_start.plan" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(fields) && s->model.checkpoint ==
	    NULL; i++)
		if (fields[i].said)
			rk_refuse_at(why, fields[i].field, "is for a model "
			    "that starts from model.checkpoint, which the job "
			    "does not say");
}

void
sp_check_across(struct spec *s, const json_t *tree, unsigned sound,
    struct rk_why *why)
{
	const unsigned metric = SP_TRAINING | SP_DATA | SP_CHECKPOINT;

	if ((sound & (SP_MODEL | SP_TRAINING)) == (SP_MODEL | SP_TRAINING)) {
		check_outputs(s, why);
		sp_check_distill(s, why);
		check_warm(s, why);
	}
	if (sound & SP_TRAINING) {
		check_rates(&s->training, why);
		check_sampler(s, why);
	}
	if (sound & SP_DATA) {
		check_synthetic(s, &s->data.train, "data.train.samples", why);
		if (s->data.has_validation)
			check_synthetic(s, &s->data.validation,
			    "data.validation.samples", why);
	}
	if ((sound & (SP_TRAINING | SP_DATA)) == (SP_TRAINING | SP_DATA)) {
		check_split(s, why);
		check_buckets(s, why);
		check_mixing(s, why);
		sp_check_cache(s, why);
	}
	if ((sound & metric) == metric)
		check_metric(s, tree, why);
}
