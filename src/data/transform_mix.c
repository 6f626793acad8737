/* Batches through mixup and cutmix, and tokens through random_mask. */
#include <math.h>
#include <string.h>

#include "transform_plan.h"

/* --- which ---------------------------------------------------------------- */

/* Places of mixup and cutmix in the list, -1: not there. */
struct mixers {
	int first, second;
};

static struct mixers
mixers_of(const struct transform_plan *p)
{
	struct mixers m = { -1, -1 };

	for (int i = 0; i < p->list.n; i++) {
		if (spec_stage_of(p->list.v[i].type) != SPEC_STAGE_BATCH)
			continue;
		if (m.first < 0)
			m.first = i;
		else
			m.second = i;
	}
	return m;
}

bool
transform_mixes(const struct transform_plan *p)
{
	return mixers_of(p).first >= 0;
}

/* --- what a batch gets ---------------------------------------------------- */

static void
draw_window(struct data_mixture *m, const struct draws *d, double alpha)
{
	const double half = 0.5 * sqrt(1 - draw_beta(d, 4, alpha));
	const int64_t y = draw_below(d, 2, m->h), x = draw_below(d, 3, m->w);
	const int64_t dy = (int64_t)(half * (double)m->h);
	const int64_t dx = (int64_t)(half * (double)m->w);

	m->cuts = true;
	m->y0 = RK_MAX(y - dy, 0);
	m->y1 = RK_MIN(y + dy, m->h);
	m->x0 = RK_MAX(x - dx, 0);
	m->x1 = RK_MIN(x + dx, m->w);
	m->share = 1 - (double)((m->y1 - m->y0) * (m->x1 - m->x0)) /
	    (double)(m->h * m->w);
}

void
transform_mixture(const struct transform_plan *p,
    const struct transform_key *k, struct data_mixture *out)
{
	const struct mixers m = mixers_of(p);

	*out = (struct data_mixture){ .share = 1, .planes = p->d[0],
		.h = p->d[1], .w = p->d[2] };
	if (m.first < 0)
		return;
	const struct draws one = draws_of_batch(k, m.first);
	const int i = m.second >= 0 && draw_unit(&one, 1) >= 0.5 ? m.second :
	    m.first;
	const struct spec_transform *t = &p->list.v[i];
	const struct draws d = draws_of_batch(k, i);
	const bool cuts = t->type == SPEC_T_cutmix;

	if (!(draw_unit(&d, 0) < (cuts ? t->u.cutmix.p : t->u.mixup.p)))
		return;
	if (cuts)
		draw_window(out, &d, t->u.cutmix.alpha);
	else
		out->share = draw_beta(&d, 4, t->u.mixup.alpha);
}

static void
put_window(const struct data_mixture *m, const float *partner, float *y)
{
	const size_t n = (size_t)(m->x1 - m->x0) * sizeof(*y);

	for (int64_t c = 0; c < m->planes; c++)
		for (int64_t i = m->y0; i < m->y1; i++) {
			const int64_t at = (c * m->h + i) * m->w + m->x0;
			memcpy(y + at, partner + at, n);
		}
}

void
data_mix(const struct data_mixture *m, const float *x, const float *partner,
    float *y)
{
	const size_t n = (size_t)(m->planes * m->h * m->w);
	const float mine = (float)m->share, theirs = 1 - mine;

	if (m->share >= 1 || m->cuts) {
		memcpy(y, x, n * sizeof(*y));
		if (m->cuts)
			put_window(m, partner, y);
		return;
	}
	for (size_t i = 0; i < n; i++)
		y[i] = mine * x[i] + theirs * partner[i];
}

/* --- tokens --------------------------------------------------------------- */

static bool
is_kept(const struct transform_tokens *s, int32_t id)
{
	for (int i = 0; i < s->nkept; i++)
		if (s->kept[i] == id)
			return true;
	return false;
}

static void
mask(const struct spec_transform_random_mask *u, const struct draws *d,
    const struct transform_tokens *s, int32_t *ids, int64_t n)
{
	const int32_t by = u->token >= 0 ? (int32_t)u->token : s->mask;

	for (int64_t i = 0; i < n; i++)
		if (!is_kept(s, ids[i]) && draw_unit(d, (uint64_t)i) < u->p)
			ids[i] = by;
}

void
transform_mask(const struct spec_transforms *list,
    const struct transform_key *k, const struct transform_tokens *s,
    int32_t *ids, int64_t n)
{
	for (int i = 0; i < list->n; i++) {
		const struct draws d = draws_of(k, i);
		if (list->v[i].type == SPEC_T_random_mask)
			mask(&list->v[i].u.random_mask, &d, s, ids, n);
	}
}
