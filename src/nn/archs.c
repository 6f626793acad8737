/* The layers of a model: its own, or those of an architecture. */
#include <stdlib.h>
#include <string.h>

#include "builder.h"

static char *
copy_text(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

static void
copy_layer(struct spec_layer *to, const struct spec_layer *from)
{
	*to = *from;
	to->name = xstrdup(from->name);
	to->path = copy_text(from->path);
	to->inputs = from->ninputs > 0 ? xcalloc((size_t)from->ninputs,
	    sizeof(*to->inputs)) : NULL;
	for (int k = 0; k < from->ninputs; k++)
		to->inputs[k] = xstrdup(from->inputs[k]);
	for (const struct spec_field *f = spec_ops[to->type].fields;
	    f->key != NULL; f++) {
		if (f->kind != SPEC_KIND_NODE)
			continue;
		char **s = (char **)(void *)((char *)&to->u + f->at);
		*s = copy_text(*s);
	}
}

static void
own_layers(struct nn_builder *b, const struct spec_model *m)
{
	b->v = xcalloc((size_t)m->nlayers, sizeof(*b->v));
	for (; b->n < m->nlayers; b->n++)
		copy_layer(&b->v[b->n], &m->layers[b->n]);
}

void
nn_layers_free(struct spec_layer *layers, int n)
{
	for (int i = 0; i < n; i++)
		spec_layer_free(&layers[i]);
	free(layers);
}

enum rk_err
nn_arch_layers(const struct spec_model *m, struct spec_layer **out, int *np,
    struct rk_why *why)
{
	static nn_arch *const archs[SPEC_FAMILY_COUNT] = {
		[SPEC_FAMILY_NONE] = own_layers,
#define FAMILY(family) [SPEC_FAMILY_##family] = nn_arch_##family,
#include "rekindle/archs.def"
	};
	struct nn_builder b = { 0 };

	archs[spec_family_of(m->arch)](&b, m);
	if (b.n > SPEC_MAX_LAYERS) {
		nn_layers_free(b.v, b.n);
		return rk_refuse_at(why, "model", "has %d layers, at most %d",
		    b.n, SPEC_MAX_LAYERS);
	}
	spec_layers_pin(b.v, b.n);
	*out = b.v;
	*np = b.n;
	return RK_OK;
}
