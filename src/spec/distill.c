/* `training.distill`: what the ancestor of a warm start knows is kept. */
#include "read.h"

void
sp_read_distill(struct spec_distill *d, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	char shown[SP_SHOWN];

	if (v == NULL || json_is_null(v))
		return;
	if (!json_is_object(v)) {
		rk_refuse_at(why, "training.distill", "is %s, want {weight: "
		    "0.5, temperature: 2} or some of it", sp_shown(v, shown));
		return;
	}
	d->weight = 0.5;
	d->temperature = 2;
	sp_open(&s, v, "training.distill", why);
	sp_real(&s.o, "weight", &d->weight, 0, 1, SP_ABOVE,
	    "a number above 0, at most 1");
	rkj_real(&s.o, "temperature", &d->temperature, 0.1, 100,
	    RKJ_OPTIONAL);
	sp_close(&s);
}

bool
spec_distills(const struct spec *s)
{
	return s->training.distill.weight > 0;
}

void
sp_check_distill(const struct spec *s, struct rk_why *why)
{
	const enum spec_loss_type loss = s->training.loss.type;

	if (!spec_distills(s))
		return;
	if (s->model.checkpoint == NULL)
		rk_refuse_at(why, "training.distill", "keeps what the model of "
		    "model.checkpoint knows, and the job has none");
	if (loss != SPEC_CROSS_ENTROPY && loss != SPEC_BINARY_CROSS_ENTROPY)
		rk_refuse_at(why, "training.distill", "compares the chances of "
		    "classes, which the loss %s does not have: it is for "
		    "cross_entropy and binary_cross_entropy",
		    sp_loss_words[loss]);
}

json_t *
sp_json_distill(const struct spec_distill *d)
{
	json_t *o = json_object();

	sp_put(o, "weight", json_real(d->weight));
	sp_put(o, "temperature", json_real(d->temperature));
	return o;
}
