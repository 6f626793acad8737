/* `training.optimizer`. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const spec_optim_words[] = {
	"sgd", "adam", "adamw", "rmsprop", "adagrad", "lamb", NULL
};

enum {
	O_SGD = 1 << SPEC_SGD, O_ADAM = 1 << SPEC_ADAM,
	O_ADAMW = 1 << SPEC_ADAMW, O_RMSPROP = 1 << SPEC_RMSPROP,
	O_ADAGRAD = 1 << SPEC_ADAGRAD, O_LAMB = 1 << SPEC_LAMB,
	O_BETAS = O_ADAM | O_ADAMW | O_LAMB,
	O_ALL = O_BETAS | O_SGD | O_RMSPROP | O_ADAGRAD
};

static const struct {
	const char *key;
	unsigned types;
	const char *of;
} optim_keys[] = {
	{ "momentum", O_SGD | O_RMSPROP, "sgd and rmsprop" },
	{ "dampening", O_SGD, "sgd" },
	{ "nesterov", O_SGD, "sgd" },
	{ "betas", O_BETAS, "adam, adamw and lamb" },
	{ "eps", O_ALL & ~O_SGD, "adam, adamw, rmsprop, adagrad and lamb" },
	{ "alpha", O_RMSPROP, "rmsprop" },
	{ "centered", O_RMSPROP, "rmsprop" },
	{ "lr_decay", O_ADAGRAD, "adagrad" },
	{ "initial_accumulator_value", O_ADAGRAD, "adagrad" },
};

/* The type, or -1; the names that others use for sgd get their own answer. */
static int
read_type(struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "type");
	const char *word = v != NULL ? json_string_value(v) : NULL;
	int type = v == NULL ? SPEC_ADAM : -1;

	if (word != NULL && strcmp(word, "momentum") == 0)
		rkj_fault(o, "type", "is \"momentum\": use sgd with momentum: "
		    "0.9");
	else if (word != NULL && strcmp(word, "nesterov") == 0)
		rkj_fault(o, "type", "is \"nesterov\": use sgd with momentum: "
		    "0.9, nesterov: true");
	else
		rkj_enum(o, "type", &type, spec_optim_words, RKJ_OPTIONAL);
	return type;
}

static void
read_betas(struct spec_optim *p, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "betas");
	char shown[SP_SHOWN];

	if (v == NULL)
		return;
	if (!json_is_array(v) || json_array_size(v) != 2) {
		rkj_fault(o, "betas", "is %s, want [beta1, beta2]",
		    json_is_array(v) ? "a list of another length" :
		    sp_shown(v, shown));
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		char at[64];
		snprintf(at, sizeof(at), "%s.betas[%zu]", o->path, i);
		o->bad |= !sp_real_value(json_array_get(v, i), at,
		    i == 0 ? &p->beta1 : &p->beta2, 0, 1, SP_BELOW,
		    "a number from 0 to below 1", o->why);
	}
}

static void
set_defaults(struct spec_optim *p)
{
	static const struct {
		double rate, decay, eps;
	} of[] = {
		[SPEC_SGD] = { 0, 0, 1e-8 },
		[SPEC_ADAM] = { 1e-3, 0, 1e-8 },
		[SPEC_ADAMW] = { 1e-3, 1e-2, 1e-8 },
		[SPEC_RMSPROP] = { 1e-2, 0, 1e-8 },
		[SPEC_ADAGRAD] = { 1e-2, 0, 1e-10 },
		[SPEC_LAMB] = { 1e-3, 1e-2, 1e-6 },
	};

	p->learning_rate = of[p->type].rate;
	p->weight_decay = of[p->type].decay;
	p->eps = of[p->type].eps;
	p->beta1 = 0.9;
	p->beta2 = 0.999;
	p->alpha = 0.99;
}

static void
check_nesterov(const struct spec_optim *p, struct rkj_obj *o)
{
	if (!p->nesterov)
		return;
	if (p->momentum == 0)
		rkj_fault(o, "nesterov", "needs momentum above 0");
	if (p->dampening != 0)
		rkj_fault(o, "nesterov", "needs dampening 0, which is %g",
		    p->dampening);
}

/* Those that some types take. */
static void
read_own(struct spec_optim *p, struct rkj_obj *o, unsigned me)
{
	static const char fraction[] = "a number from 0 to below 1";

	if (me & (O_SGD | O_RMSPROP))
		sp_real(o, "momentum", &p->momentum, 0, 1, SP_BELOW, fraction);
	if (me & O_SGD) {
		rkj_real(o, "dampening", &p->dampening, 0, 1, RKJ_OPTIONAL);
		rkj_bool(o, "nesterov", &p->nesterov, RKJ_OPTIONAL);
	}
	if (me & O_BETAS)
		read_betas(p, o);
	if (me & ~(unsigned)O_SGD)
		sp_real(o, "eps", &p->eps, 0, 1, SP_ABOVE,
		    "a number above 0, at most 1");
	if (me & O_RMSPROP) {
		sp_real(o, "alpha", &p->alpha, 0, 1, SP_BELOW, fraction);
		rkj_bool(o, "centered", &p->centered, RKJ_OPTIONAL);
	}
	if (me & O_ADAGRAD) {
		rkj_real(o, "lr_decay", &p->lr_decay, 0, 1000, RKJ_OPTIONAL);
		rkj_real(o, "initial_accumulator_value",
		    &p->initial_accumulator, 0, 1e6, RKJ_OPTIONAL);
	}
}

void
sp_read_optim(struct spec_optim *p, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;

	sp_open_typed(&s, v, "training.optimizer", why);
	const int type = read_type(o);
	p->type = type < 0 ? SPEC_SGD : (enum spec_optim_type)type;
	set_defaults(p);
	/* Of an unknown type every field is taken for its own. */
	const unsigned me = type < 0 ? O_ALL : 1u << type;
	for (size_t i = 0; i < RK_ARRAY_LEN(optim_keys); i++)
		sp_takes(o, optim_keys[i].key, me & optim_keys[i].types,
		    optim_keys[i].of, spec_optim_words[p->type]);

	if (!sp_real(o, "learning_rate", &p->learning_rate, 0, SP_MAX_RATE,
	    SP_ABOVE, "a number above 0, at most 1e6") && type == SPEC_SGD &&
	    rkj_any(o, "learning_rate") == NULL)
		rkj_fault(o, "learning_rate", "is missing: sgd has no default");
	rkj_real(o, "weight_decay", &p->weight_decay, 0, 1000, RKJ_OPTIONAL);
	rkj_any(o, "no_decay");         /* a list: groups.c */
	read_own(p, o, me);
	if (!o->bad && type >= 0)
		check_nesterov(p, o);
	sp_close(&s);
}
