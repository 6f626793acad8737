/*
 * What a network takes, where neither the job nor its checkpoint says it: those
 * of format 1 do not.  The checkpoint's tensors decide: the shape whose network
 * has them all, and no other, is it.
 */
#include <stdlib.h>
#include <string.h>

#include "export.h"

#define SIDE_MAX 512            /* of images, which are taken for square ones */

struct guess {
	struct nn_want *w;
	const struct tensor_set *s;
	struct nn *nn;                  /* once it is found */
};

static bool
has_all(const struct nn *n, const struct tensor_set *s)
{
	bool same = nn_ntensors(n) == s->n;

	for (size_t i = 0; same && i < s->n; i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		const struct tensor *f = tensor_find(s, t->name);
		same = f != NULL && f->ndim == t->ndim &&
		    memcmp(f->d, t->d, (size_t)t->ndim * sizeof(t->d[0])) == 0;
	}
	return same;
}

static bool
try_shape(struct guess *g, int ndim, int64_t first, int64_t side)
{
	g->w->ndim = ndim;
	g->w->d[0] = first;
	g->w->d[1] = g->w->d[2] = side;
	if (nn_outline(&g->nn, g->w, NULL) != RK_OK)
		return false;
	if (has_all(g->nn, g->s))
		return true;
	nn_free(g->nn);
	g->nn = NULL;
	return false;
}

/* Images of so many channels: the usual sizes first. */
static bool
try_images(struct guess *g, int64_t channels)
{
	static const int64_t usual[] = { 28, 32, 64, 224 };

	for (size_t k = 0; k < RK_ARRAY_LEN(usual); k++)
		if (try_shape(g, 3, channels, usual[k]))
			return true;
	for (int64_t side = 1; side <= SIDE_MAX; side++)
		if (try_shape(g, 3, channels, side))
			return true;
	return false;
}

static bool
try_all(struct guess *g)
{
	int64_t channels[8];
	size_t n = 0;

	for (size_t i = 0; i < g->s->n; i++) {
		const struct tensor *t = &g->s->v[i];
		bool known = n == RK_ARRAY_LEN(channels) || t->ndim != 4;
		if (t->ndim == 2 && try_shape(g, 1, t->d[1], 0))
			return true;
		for (size_t k = 0; k < n && !known; k++)
			known = channels[k] == t->d[1];
		if (known)
			continue;
		channels[n++] = t->d[1];
		if (try_images(g, t->d[1]))
			return true;
	}
	return false;
}

struct nn *
export_guess(const struct export *x, struct nn_want *w)
{
	char *path = xasprintf("%s/" CKPT_MODEL_FILE, x->folder);
	struct tensor_set *s = NULL;
	struct guess g = { .w = w };

	if (format_load(path, &s, NULL) == RK_OK) {
		g.s = s;
		w->dtype = NN_F32;
		(void)try_all(&g);
	}
	tensor_set_free(s);
	free(path);
	return g.nn;
}
