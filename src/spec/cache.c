/* `training.cache_features`: features of what is frozen are kept on disk. */
#include "read.h"

#define MOST  ((uint64_t)1 << 50)
#define LEAST ((uint64_t)1 << 20)

void
sp_read_cache(struct spec_cache *c, const json_t *v, struct rk_why *why)
{
	static const char path[] = "training.cache_features";
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

static bool
freezes(const struct spec_training *t)
{
	for (int i = 0; i < t->ngroups; i++)
		if (!t->groups[i].trainable)
			return true;
	return false;
}

/* A sample has to be the same in each epoch. */
void
sp_check_cache(const struct spec *s, struct rk_why *why)
{
	static const char path[] = "training.cache_features";
	const struct spec_transforms *t = &s->data.train_transforms;

	if (s->training.cache.max_bytes == 0)
		return;
	if (!freezes(&s->training))
		rk_refuse_at(why, path, "keeps what the frozen part of a "
		    "network gives, and nothing is frozen: want "
		    "training.parameters with trainable: false");
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
	json_t *o = json_object();

	sp_put(o, "max_bytes", json_integer((json_int_t)c->max_bytes));
	return o;
}
