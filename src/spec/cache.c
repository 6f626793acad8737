/* `training.cache_features`: features of what is frozen are kept on disk. */
#include <stdio.h>
#include <string.h>

#include "read.h"

#define MOST  ((uint64_t)1 << 50)
#define LEAST ((uint64_t)1 << 20)

void
sp_read_cache(struct spec_cache *c, const json_t *v, const char *path,
    struct rk_why *why)
{
	char shown[SP_SHOWN];
	struct sp_obj s;

	if (v == NULL || json_is_null(v) || json_is_false(v))
		return;
	if (!json_is_true(v) && !json_is_object(v)) {
		rk_refuse_at(why, path, "is %s, want true, false or "
		    "{max_bytes: 16GiB}", sp_shown(v, shown));
		return;
	}
	c->max_bytes = SPEC_CACHE_BYTES;
	if (json_is_true(v))
		return;
	sp_open(&s, v, path, why);
	rkj_bytes(&s.o, "max_bytes", &c->max_bytes, LEAST, MOST,
	    RKJ_OPTIONAL);
	sp_close(&s);
}

/* Is some parameter frozen in phase k, for all that the job says? */
static bool
freezes(const struct spec_training *t, int k)
{
	for (int i = 0; i < t->ngroups; i++)
		if (!t->groups[i].trainable)
			return true;
	for (int i = 0; t->nphases > 0 && i < t->phases[k].ntrain; i++)
		if (strcmp(t->phases[k].train[i], "*") == 0)
			return false;
	return t->nphases > 0;
}

/* As it is said of phase k. */
static uint64_t
said(const struct spec_training *t, int k)
{
	return t->nphases > 0 && t->phases[k].cache_said ?
	    t->phases[k].cache.max_bytes : t->cache.max_bytes;
}

uint64_t
spec_phase_cache(const struct spec_training *t, int k)
{
	must(k >= 0 && (k < t->nphases || k == 0));
	return freezes(t, k) ? said(t, k) : 0;
}

/* Phases that say nothing of it may freeze nothing, if another does. */
static bool
keeps_some(const struct spec_training *t)
{
	for (int k = 0; k < RK_MAX(t->nphases, 1); k++)
		if (spec_phase_cache(t, k) > 0)
			return true;
	return false;
}

static bool
is_on(const struct spec_training *t)
{
	for (int k = 0; k < RK_MAX(t->nphases, 1); k++)
		if (said(t, k) > 0)
			return true;
	return false;
}

static void
check_frozen(const struct spec_training *t, struct rk_why *why)
{
	static const char words[] = "keeps what the frozen part of a network "
	    "gives, and nothing is frozen: want training.parameters with "
	    "trainable: false, or a phase that trains less than all";
	char path[64];

	if (!keeps_some(t) && t->cache.max_bytes > 0)
		rk_refuse_at(why, "training.cache_features", "%s", words);
	for (int k = 0; k < t->nphases; k++) {
		if (t->phases[k].cache.max_bytes == 0 || freezes(t, k))
			continue;
		snprintf(path, sizeof(path), "training.phases[%d]."
		    "cache_features", k);
		rk_refuse_at(why, path, "%s", words);
	}
}

/* A sample has to be the same in each epoch. */
void
sp_check_cache(const struct spec *s, struct rk_why *why)
{
	static const char path[] = "training.cache_features";
	const struct spec_transforms *t = &s->data.train_transforms;

	if (!is_on(&s->training))
		return;
	check_frozen(&s->training, why);
	if (s->training.distill.weight > 0)
		rk_refuse_at(why, path, "keeps what a sample gives in its "
		    "place, and training.distill shows each sample to the "
		    "ancestor, too: leave one of them out");
	for (int i = 0; i < t->n; i++) {
		if (!spec_transform_draws[t->v[i].type])
			continue;
		rk_refuse_at(why, path, "keeps what a sample gives in the "
		    "first epoch for all others, and data.transforms.train[%d] "
		    "(%s) is random: leave one of them out", i,
		    spec_transform_words[t->v[i].type]);
		return;
	}
}

json_t *
sp_json_cache(const struct spec_cache *c)
{
	json_t *o;

	if (c->max_bytes == 0)
		return json_false();
	o = json_object();
	sp_put(o, "max_bytes", json_integer((json_int_t)c->max_bytes));
	return o;
}

static void
drop(json_t *o)
{
	if (json_is_object(json_object_get(o, "cache_features")))
		sp_put(o, "cache_features", json_true());
}

void
sp_drop_cache_bytes(json_t *training)
{
	json_t *phases = json_object_get(training, "phases");

	drop(training);
	for (size_t k = 0; k < json_array_size(phases); k++)
		drop(json_array_get(phases, k));
}
