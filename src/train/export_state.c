/* The state of an optimiser as other frameworks have it: see export.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"

/* --- of both -------------------------------------------------------------- */

/* The parts of the state, by PyTorch's names. */
struct parts {
	struct optim *o;
	int n;
	bool adam;                      /* Adam's kind, with powers of its
					   betas */
};

static bool
parts_of(struct export *x, struct parts *p)
{
	const struct spec_optim *s = &x->r->spec->training.optim;

	if (optim_new(&p->o, s, 1) != RK_OK)
		return run_fail_rc(x->r, RK_ENOMEM, "cannot export");
	p->n = optim_slots(p->o);
	p->adam = s->type == SPEC_ADAM || s->type == SPEC_ADAMW ||
	    s->type == SPEC_LAMB;
	return true;
}

/*
 * Updates that a parameter has had; all steps where the checkpoint says nothing
 * else (src/train/spans.c).  Others count whole tensors: of rows that began at
 * different steps the fewest, as a bias correction that is too strong makes
 * steps that are too short, and one that is too weak such as are too long.
 */
static double
updates_of(const struct export *x, const struct warm_given *g)
{
	const json_t *v = json_object_get(json_object_get(x->info.state,
	    "updates"), nn_tensor_at(x->r->nn, (size_t)g->own)->name);
	double least = (double)x->info.step;
	json_t *e;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)v, i, e) {
		const double n = json_number_value(json_object_get(e,
		    "updates"));
		least = i == 0 ? n : RK_MIN(least, n);
	}
	if (json_is_array(v))
		return least;
	return json_is_number(v) ? json_number_value(v) :
	    (double)x->info.step;
}

static bool
is_parameter(const struct export *x, const struct warm_given *g)
{
	return g->own >= 0 && !x->own[g->own].buffer;
}

/* What is in a shard has no state, which is that before its first update. */
static bool
add_unmoved(struct export *x, const struct warm_given *g, float value,
    struct format_out_tensor *to)
{
	size_t most = 0;

	for (size_t i = 0; i < nn_ntensors(x->r->nn); i++)
		most = RK_MAX(most, (size_t)nn_tensor_at(x->r->nn, i)->count);
	if (x->unmoved == NULL)
		x->unmoved = xcalloc(most + 1, sizeof(*x->unmoved));
	for (size_t i = 0; i < most; i++)
		x->unmoved[i] = value;
	*to = (struct format_out_tensor){ .dtype = DT_F32, .ndim = g->ndim,
		.ctx = x->unmoved, .read = format_read_memory };
	memcpy(to->d, g->d, sizeof(to->d));
	return true;
}

/* Tensor `name` (taken) of the file is the slot of g's parameter. */
static bool
add_slot(struct export *x, const struct warm_given *g, const struct parts *p,
    int k, char *name)
{
	char *ours = xasprintf("%s.%s", nn_tensor_at(x->r->nn,
	    (size_t)g->own)->name, optim_slot_name(p->o, k));
	struct format_out_tensor *to = &x->out[x->nout];
	const bool absent = ckpt_in_shards(&x->info) && x->optim != NULL &&
	    tensor_find(x->optim, ours) == NULL && updates_of(x, g) == 0;
	const bool ok = absent ? add_unmoved(x, g, optim_slot(p->o, k)[0],
	    to) : export_tensor(x, x->optim, ours, g, to);

	free(ours);
	x->made[x->nout++] = name;
	to->name = name;
	to->alias = NULL;
	return ok;
}

/* A number by itself: ndim 0, or 1 of one element. */
static void
add_count(struct export *x, int ndim, double v, char *name)
{
	x->counts[x->nout] = (float)v;
	x->out[x->nout] = (struct format_out_tensor){ .name = name,
		.dtype = DT_F32, .ndim = ndim, .d = { 1 },
		.read = format_read_memory, .ctx = &x->counts[x->nout] };
	x->made[x->nout++] = name;
}

/* Room for so many tensors of each parameter. */
static void
make_room(struct export *x, int each)
{
	const size_t n = x->as->n * (size_t)each + 1;

	x->out = xcalloc(n, sizeof(*x->out));
	x->made = xcalloc(n, sizeof(*x->made));
	x->counts = xcalloc(n, sizeof(*x->counts));
	x->slots = xcalloc(n, sizeof(*x->slots));
}

/* The rate of the next update; of a checkpoint from before schedules were
 * recorded, that of the last.  peak: NULL, not wanted. */
static double
rate_of(const struct export *x, double *peak)
{
	const json_t *state = x->info.state;
	const json_t *scale = json_object_get(state, "rate_scale");
	const double times = json_is_number(scale) ?
	    json_number_value(scale) : 1;
	struct schedule s;
	struct rk_why why = {0};

	const enum rk_err rc = schedule_parse(json_object_get(state,
	    "schedule"), &s, &why);
	rk_why_fini(&why);
	if (peak != NULL)
		*peak = rc == RK_OK ? times * s.now.peak :
		    x->info.learning_rate;
	return rc == RK_OK ? times * schedule_rate(&s, x->info.step) :
	    x->info.learning_rate;
}

/* --- Paddle --------------------------------------------------------------- */

/* "linear_0.w_0_moment1_0"; what has no second name goes by its own. */
static char *
accumulator(const struct warm_given *g, const char *word)
{
	return xasprintf("%s_%s_0", g->alias != NULL ? g->alias : g->name,
	    word);
}

/* All of one accumulator, then all of the next, as Paddle has them. */
static bool
paddle_slots(struct export *x, const struct parts *p)
{
	for (int k = 0; k < p->n; k++) {
		const char *slot = optim_slot_name(p->o, k);
		const char *word = warm_paddle_slot(slot);
		if (word == NULL)
			return run_fail(x->r, "no_form", true, "cannot export "
			    "%s as .pdopt: RMSProp of Paddle has its epsilon "
			    "inside the root and the rate inside the momentum, "
			    "so that its state means something else",
			    x->folder);
		for (size_t i = 0; i < x->as->n; i++) {
			const struct warm_given *g = &x->as->v[i];
			if (is_parameter(x, g) &&
			    !add_slot(x, g, p, k, accumulator(g, word)))
				return false;
		}
	}
	return true;
}

/* beta^(t + 1) after t updates. */
static void
paddle_powers(struct export *x)
{
	static const char *const words[] = { "beta1_pow_acc",
		"beta2_pow_acc" };
	const struct spec_optim *s = &x->r->spec->training.optim;
	const double betas[] = { s->beta1, s->beta2 };

	for (size_t k = 0; k < RK_ARRAY_LEN(words); k++)
		for (size_t i = 0; i < x->as->n; i++) {
			const struct warm_given *g = &x->as->v[i];
			if (is_parameter(x, g))
				add_count(x, 1, pow(betas[k], updates_of(x,
				    g) + 1), accumulator(g, words[k]));
		}
}

static bool
paddle_state(struct export *x, const struct parts *p)
{
	make_room(x, p->n + 2);
	if (!paddle_slots(x, p))
		return false;
	if (p->adam)
		paddle_powers(x);
	x->rate = (struct format_paddle_rate){ .last_epoch = x->info.step,
		.last_lr = rate_of(x, NULL) };
	return true;
}

/* --- PyTorch -------------------------------------------------------------- */

static bool
torch_parameter(struct export *x, const struct parts *p,
    const struct warm_given *g)
{
	const enum spec_optim_type type = x->r->spec->training.optim.type;

	if (type != SPEC_SGD) {
		x->slots[x->nout] = (struct format_torch_slot){ x->params,
			"step" };
		add_count(x, 0, updates_of(x, g), xasprintf("%s.step",
		    g->name));
	}
	for (int k = 0; k < p->n; k++) {
		const char *slot = optim_slot_name(p->o, k);
		x->slots[x->nout] = (struct format_torch_slot){ x->params,
			slot };
		if (!add_slot(x, g, p, k, xasprintf("%s.%s", g->name, slot)))
			return false;
	}
	x->params++;
	return true;
}

/* The words of each optimiser's group; those that say how PyTorch computes have
 * its defaults. */
static json_t *
torch_group(const struct export *x)
{
	const struct spec_optim *s = &x->r->spec->training.optim;
	double peak;
	json_t *o = json_pack("{s:f}", "lr", rate_of(x, &peak));

	must(o != NULL);
	js_put(o, "initial_lr", json_real(peak));
	js_put(o, "weight_decay", json_real(s->weight_decay));
	switch (s->type) {
	case SPEC_SGD:
		js_put(o, "momentum", json_real(s->momentum));
		js_put(o, "dampening", json_real(s->dampening));
		js_put(o, "nesterov", json_boolean(s->nesterov));
		break;
	case SPEC_RMSPROP:
		js_put(o, "momentum", json_real(s->momentum));
		js_put(o, "alpha", json_real(s->alpha));
		js_put(o, "eps", json_real(s->eps));
		js_put(o, "centered", json_boolean(s->centered));
		js_put(o, "capturable", json_false());
		break;
	case SPEC_ADAGRAD:
		js_put(o, "lr_decay", json_real(s->lr_decay));
		js_put(o, "initial_accumulator_value",
		    json_real(s->initial_accumulator));
		js_put(o, "eps", json_real(s->eps));
		break;
	default:
		js_put(o, "betas", json_pack("[f, f]", s->beta1, s->beta2));
		js_put(o, "eps", json_real(s->eps));
		js_put(o, "amsgrad", json_false());
		js_put(o, "capturable", json_false());
		break;
	}
	js_put(o, "maximize", json_false());
	js_put(o, "foreach", json_null());
	js_put(o, "differentiable", json_false());
	return o;
}

static bool
torch_state(struct export *x, const struct parts *p)
{
	make_room(x, p->n + 1);
	for (size_t i = 0; i < x->as->n; i++)
		if (is_parameter(x, &x->as->v[i]) &&
		    !torch_parameter(x, p, &x->as->v[i]))
			return false;
	x->group = torch_group(x);
	return true;
}

bool
export_state(struct export *x)
{
	struct parts p = { 0 };
	const bool ok = parts_of(x, &p) && (x->form == CKPT_PDOPT ?
	    paddle_state(x, &p) : torch_state(x, &p));

	/* Names of slots are texts that stay. */
	optim_free(p.o);
	return ok;
}
