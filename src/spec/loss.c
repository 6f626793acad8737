/* `training.loss`. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const sp_loss_words[] = {
	"cross_entropy", "mse", "binary_cross_entropy", "l1", "smooth_l1", NULL
};

static const struct {
	const char *key;
	enum spec_loss_type of;
} loss_keys[] = {
	{ "label_smoothing", SPEC_CROSS_ENTROPY },
	{ "class_weights", SPEC_CROSS_ENTROPY },
	{ "ignore_index", SPEC_CROSS_ENTROPY },
	{ "beta", SPEC_SMOOTH_L1 },
};

bool
spec_loss_is_regression(enum spec_loss_type t)
{
	return t == SPEC_MSE || t == SPEC_L1 || t == SPEC_SMOOTH_L1;
}

static void
read_weights(struct spec_loss *l, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *v = rkj_any(o, "class_weights");
	char shown[SP_SHOWN];

	if (v == NULL)
		return;
	const size_t n = json_array_size(v);
	if (!json_is_array(v) || n < 2 || n > SPEC_MAX_WEIGHTS) {
		rkj_fault(o, "class_weights", "is %s, want a list of 2 to %d "
		    "numbers, one a class", sp_shown(v, shown),
		    SPEC_MAX_WEIGHTS);
		return;
	}
	double sum = 0;
	l->class_weights = xcalloc(n, sizeof(*l->class_weights));
	for (size_t i = 0; i < n; i++) {
		char *path = xasprintf("training.loss.class_weights[%zu]", i);
		o->bad |= !sp_real_value(json_array_get(v, i), path,
		    &l->class_weights[i], 0, 1e6, 0, "a number 0 to 1e6", why);
		free(path);
		sum += l->class_weights[i];
	}
	l->nweights = (int)n;
	if (!o->bad && sum <= 0)
		rkj_fault(o, "class_weights", "are 0 for every class: there "
		    "is nothing to learn");
}

void
sp_read_loss(struct spec_loss *l, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	int type = SPEC_CROSS_ENTROPY;

	*l = (struct spec_loss){ .beta = 1 };
	sp_open_typed(&s, v, "training.loss", why);
	bool known = rkj_enum(&s.o, "type", &type, sp_loss_words,
	    RKJ_OPTIONAL) || rkj_any(&s.o, "type") == NULL;
	l->type = (enum spec_loss_type)type;
	for (size_t i = 0; i < RK_ARRAY_LEN(loss_keys); i++)
		sp_takes(&s.o, loss_keys[i].key, !known ||
		    loss_keys[i].of == l->type,
		    sp_loss_words[loss_keys[i].of], sp_loss_words[type]);
	if (l->type == SPEC_CROSS_ENTROPY) {
		sp_real(&s.o, "label_smoothing", &l->label_smoothing, 0, 1,
		    SP_BELOW, "a number from 0 to below 1");
		read_weights(l, &s.o, why);
		l->ignoring = rkj_int(&s.o, "ignore_index", &l->ignore_index,
		    0, 1 << 20, RKJ_OPTIONAL);
	}
	if (l->type == SPEC_SMOOTH_L1)
		sp_real(&s.o, "beta", &l->beta, 0, 1e6, SP_ABOVE,
		    "a number above 0, at most 1e6");
	sp_close(&s);
}

/* Fields of version 2 stand there only when they are said. */
json_t *
sp_json_loss(const struct spec_loss *l)
{
	json_t *o = json_object();

	sp_put(o, "type", json_string(sp_loss_words[l->type]));
	if (l->type == SPEC_CROSS_ENTROPY)
		sp_put(o, "label_smoothing", json_real(l->label_smoothing));
	if (l->nweights > 0) {
		json_t *a = json_array();
		for (int i = 0; i < l->nweights; i++)
			must(json_array_append_new(a, json_real(
			    l->class_weights[i])) == 0);
		sp_put(o, "class_weights", a);
	}
	if (l->ignoring)
		sp_put(o, "ignore_index", json_integer(l->ignore_index));
	if (l->type == SPEC_SMOOTH_L1)
		sp_put(o, "beta", json_real(l->beta));
	return o;
}

void
sp_free_loss(struct spec_loss *l)
{
	free(l->class_weights);
}
