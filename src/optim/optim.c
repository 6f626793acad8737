/* An optimiser: its slots, its spans and the pieces that these are cut into. */
#include <stdlib.h>

#include "impl.h"

static void
name_slots(struct optim *o)
{
	const struct spec_optim *s = &o->spec;

	switch (s->type) {
	case SPEC_SGD:
		if (s->momentum != 0)
			o->name[o->nslots++] = "momentum_buffer";
		break;
	case SPEC_ADAM:
	case SPEC_ADAMW:
	case SPEC_LAMB:
		o->name[o->nslots++] = "exp_avg";
		o->name[o->nslots++] = "exp_avg_sq";
		break;
	case SPEC_RMSPROP:
		o->name[o->nslots++] = "square_avg";
		if (s->centered)
			o->name[o->nslots++] = "grad_avg";
		if (s->momentum != 0)
			o->name[o->nslots++] = "momentum_buffer";
		break;
	case SPEC_ADAGRAD:
		o->name[o->nslots++] = "sum";
		break;
	}
}

static float
first_value(const struct optim *o)
{
	return o->spec.type == SPEC_ADAGRAD ?
	    (float)o->spec.initial_accumulator : 0;
}

/* kernel_alloc() gives zeros. */
static void
fill_slots(struct optim *o)
{
	const float first = first_value(o);

	for (int64_t i = 0; first != 0 && i < o->n; i++)
		o->slot[0][i] = first;
}

void
optim_reset(struct optim *o, int64_t offset, int64_t count)
{
	const float first = first_value(o);

	for (int k = 0; k < optim_slots(o); k++)
		for (int64_t i = 0; i < count; i++)
			o->slot[k][offset + i] = k == 0 ? first : 0;
}

enum rk_err
optim_new(struct optim **op, const struct spec_optim *s, int64_t n)
{
	const struct optim_span all = { .count = n, .rate = 1,
		.decay = s->weight_decay, .trains = true };

	must(n >= 0 && n <= SPEC_MAX_PARAMS);

	struct optim *o = xcalloc(1, sizeof(*o));
	o->tag = OPTIM_TAG;
	o->spec = *s;
	o->n = n;
	name_slots(o);
	for (int i = 0; i < o->nslots; i++) {
		o->slot[i] = kernel_alloc((size_t)n * sizeof(float));
		if (o->slot[i] == NULL) {
			optim_free(o);
			return RK_ENOMEM;
		}
	}
	fill_slots(o);
	optim_set_spans(o, &all, 1);
	*op = o;
	return RK_OK;
}

static void
free_spans(struct optim *o)
{
	free(o->span);
	free(o->update);
	free(o->piece);
	free(o->sum);
}

void
optim_free(struct optim *o)
{
	if (o == NULL)
		return;
	must_be(o, OPTIM_TAG);
	for (int i = 0; i < o->nslots; i++)
		if (o->slot[i] != NULL)
			kernel_free(o->slot[i], (size_t)o->n * sizeof(float));
	free_spans(o);
	o->tag = 0;
	free(o);
}

int
optim_slots(const struct optim *o)
{
	return o->nslots;
}

const char *
optim_slot_name(const struct optim *o, int i)
{
	must(i >= 0 && i < o->nslots);
	return o->name[i];
}

float *
optim_slot(struct optim *o, int i)
{
	must(i >= 0 && i < o->nslots);
	return o->slot[i];
}

/* --- spans ---------------------------------------------------------------- */

static bool
alike(const struct optim_span *a, const struct optim_span *b)
{
	return a->rate == b->rate && a->decay == b->decay &&
	    a->trains == b->trains && a->begin == b->begin;
}

static size_t
pieces_of(int64_t n)
{
	return (size_t)((n + PIECE - 1) / PIECE);
}

/* Bounds that follow from the spans alone. */
static void
cut(struct optim *o)
{
	size_t n = 0;

	for (size_t k = 0; k < o->nspans; k++)
		n += pieces_of(o->span[k].count);
	o->piece = xcalloc(n + 1, sizeof(*o->piece));
	o->sum = xcalloc(2 * n + 1, sizeof(*o->sum));
	o->npieces = n;
	n = 0;
	for (size_t k = 0; k < o->nspans; k++) {
		const struct optim_span *s = &o->span[k];
		for (int64_t at = 0; at < s->count; at += PIECE)
			o->piece[n++] = (struct piece){ s->offset + at,
			    (size_t)RK_MIN(PIECE, s->count - at), k };
	}
}

void
optim_set_spans(struct optim *o, const struct optim_span *v, size_t n)
{
	const bool apart = o->spec.type == SPEC_LAMB;
	int64_t end = 0;

	must_be(o, OPTIM_TAG);
	free_spans(o);
	o->nspans = 0;
	o->span = xcalloc(n + 1, sizeof(*o->span));
	o->update = xcalloc(n + 1, sizeof(*o->update));
	for (size_t i = 0; i < n; i++) {
		const size_t k = o->nspans;
		must(v[i].offset == end && v[i].count >= 0);
		end += v[i].count;
		if (k > 0 && (!apart || v[i].joined) && alike(&o->span[k - 1], &v[i]))
			o->span[k - 1].count += v[i].count;
		else
			o->span[o->nspans++] = v[i];
	}
	must(end == o->n);
	cut(o);
}

size_t
optim_nspans(const struct optim *o)
{
	return o->nspans;
}

bool
optim_trains(const struct optim *o, int64_t offset)
{
	for (size_t k = 0; k < o->nspans; k++) {
		const struct optim_span *s = &o->span[k];
		if (offset >= s->offset && offset - s->offset < s->count)
			return s->trains;
	}
	return false;
}
