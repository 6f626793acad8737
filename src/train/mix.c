/* Rows of a batch, mixed on their way into the network. */
#include <stdlib.h>
#include <string.h>

#include "mix.h"

void
mix_open(struct mix *m, const struct run *r)
{
	mix_none(m);
	if (!data_mixes(r->train))
		return;
	m->outputs = nn_outputs(r->nn);
	m->soft = xcalloc((size_t)r->micro * (size_t)m->outputs,
	    sizeof(*m->soft));
}

void
mix_close(struct mix *m)
{
	free(m->soft);
	m->soft = NULL;
}

void
mix_none(struct mix *m)
{
	m->now.share = 1;
}

void
mix_begin(struct mix *m, const struct run *r, const struct data_batch *b)
{
	if (m->soft != NULL)
		data_mixture_at(r->train, r->spec->training.seed, b->epoch,
		    b->from, &m->now);
}

bool
mix_is_on(const struct mix *m)
{
	return m->now.share < 1;
}

struct rows {
	struct mix *m;
	const struct run *r;
	const struct data_batch *b;
	int64_t from;
};

static void
mix_row(void *ctx, size_t i)
{
	const struct rows *w = ctx;
	const struct data_set *d = w->r->train;
	const struct data_batch *b = w->b;
	const int64_t at = w->from + (int64_t)i;
	const int64_t partner = at > 0 ? at - 1 : b->rows - 1;
	const bool whole = b->left_out == NULL ||
	    (!b->left_out[at] && !b->left_out[partner]);
	const float *x = b->x + at * d->width;
	float *to = nn_input(w->r->nn) + (int64_t)i * d->width;
	float *t = w->m->soft + (int64_t)i * w->m->outputs;
	const double share = whole ? w->m->now.share : 1;

	memset(t, 0, (size_t)w->m->outputs * sizeof(*t));
	t[d->classes[b->which[at]]] += (float)share;
	t[d->classes[b->which[partner]]] += (float)(1 - share);
	if (whole)
		data_mix(&w->m->now, x, b->x + partner * d->width, to);
	else
		memcpy(to, x, (size_t)d->width * sizeof(*to));
}

void
mix_rows(struct mix *m, const struct run *r, const struct data_batch *b,
    int64_t from, int64_t rows)
{
	struct rows w = { m, r, b, from };

	kernel_for((size_t)rows, mix_row, &w);
}
