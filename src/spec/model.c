/* The block `model`: what is trained, and what it begins from. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const sp_arch_words[] = { "layers", "mlp", "lenet5", NULL };
const char *const spec_activation_words[] = {
	"relu", "gelu", "sigmoid", "tanh", NULL
};
const char *const spec_layer_words[SPEC_L_COUNT + 1] = {
	"linear", "conv2d", "max_pool2d", "avg_pool2d", "batch_norm", "dropout",
	"flatten", "relu", "gelu", "sigmoid", "tanh", NULL
};

enum {
	F_OUT = 1, F_KERNEL = 2, F_STRIDE = 4, F_PADDING = 8, F_BIAS = 16,
	F_EPS = 32, F_MOMENTUM = 64, F_P = 128
};
#define F_POOL (F_KERNEL | F_STRIDE | F_PADDING)

/* The fields that each type of layer takes. */
static const unsigned layer_fields[SPEC_L_COUNT] = {
	[SPEC_L_LINEAR] = F_OUT | F_BIAS,
	[SPEC_L_CONV2D] = F_OUT | F_BIAS | F_POOL,
	[SPEC_L_MAX_POOL2D] = F_POOL,
	[SPEC_L_AVG_POOL2D] = F_POOL,
	[SPEC_L_BATCH_NORM] = F_EPS | F_MOMENTUM,
	[SPEC_L_DROPOUT] = F_P,
};

static const struct {
	const char *key;
	unsigned field;
	const char *of;
} layer_keys[] = {
	{ "out", F_OUT, "linear and conv2d" },
	{ "kernel", F_KERNEL, "conv2d and the pools" },
	{ "stride", F_STRIDE, "conv2d and the pools" },
	{ "padding", F_PADDING, "conv2d and the pools" },
	{ "bias", F_BIAS, "linear and conv2d" },
	{ "eps", F_EPS, "batch_norm" },
	{ "momentum", F_MOMENTUM, "batch_norm" },
	{ "p", F_P, "dropout" },
};

static bool
is_pool(const struct spec_layer *l)
{
	return l->type == SPEC_L_MAX_POOL2D || l->type == SPEC_L_AVG_POOL2D;
}

static void
read_window(struct spec_layer *l, struct rkj_obj *o)
{
	bool kernel = sp_pair(o, "kernel", l->kernel, 1, 1024, RKJ_REQUIRED);

	if (is_pool(l))
		memcpy(l->stride, l->kernel, sizeof(l->stride));
	sp_pair(o, "stride", l->stride, 1, 1024, RKJ_OPTIONAL);
	if (!sp_pair(o, "padding", l->padding, 0, 1024, RKJ_OPTIONAL) ||
	    !kernel || !is_pool(l))
		return;
	/* A window must never lie in the padding altogether. */
	for (int i = 0; i < 2; i++) {
		if (l->padding[i] > l->kernel[i] / 2) {
			rkj_fault(o, "padding", "is %d, want at most half of "
			    "the kernel's %d", l->padding[i], l->kernel[i]);
			return;
		}
	}
}

static void
read_layer(struct spec_layer *l, const json_t *v, size_t i, const char *path,
    struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;
	int type = -1;

	l->name = xasprintf("%zu", i);
	l->stride[0] = l->stride[1] = 1;
	l->bias = true;
	l->eps = 1e-5;
	l->momentum = 0.1;
	l->p = 0.5;
	sp_open_typed(&s, v, path, why);
	rkj_enum(o, "type", &type, spec_layer_words, RKJ_REQUIRED);
	if (rkj_str(o, "name", &l->name, RK_NAME_MAX, RKJ_OPTIONAL) &&
	    !rk_name_ok(l->name))
		rkj_fault(o, "name", "is not 1 to 64 of [A-Za-z0-9._-], the "
		    "first no . and no -");
	/* With an unknown type nothing is known of the other fields. */
	unsigned f = type < 0 ? 0 : layer_fields[type];
	for (size_t k = 0; k < RK_ARRAY_LEN(layer_keys); k++)
		sp_takes(o, layer_keys[k].key,
		    type < 0 || (f & layer_keys[k].field), layer_keys[k].of,
		    type < 0 ? "" : spec_layer_words[type]);
	if (type >= 0)
		l->type = (enum spec_layer_type)type;

	if (f & F_OUT)
		rkj_int(o, "out", &l->out, 1, SPEC_MAX_WIDTH, RKJ_REQUIRED);
	if (f & F_KERNEL)
		read_window(l, o);
	if (f & F_BIAS)
		rkj_bool(o, "bias", &l->bias, RKJ_OPTIONAL);
	if (f & F_EPS)
		sp_real(o, "eps", &l->eps, 0, 1, SP_ABOVE,
		    "a number above 0, at most 1");
	if (f & F_MOMENTUM)
		rkj_real(o, "momentum", &l->momentum, 0, 1, RKJ_OPTIONAL);
	if (f & F_P)
		sp_real(o, "p", &l->p, 0, 1, SP_BELOW,
		    "a number from 0 to below 1");
	sp_close(&s);
}

static int
by_name(const void *a, const void *b)
{
	const struct spec_layer *const *x = a, *const *y = b;
	int c = strcmp((*x)->name, (*y)->name);

	return c != 0 ? c : (*x > *y) - (*x < *y);
}

/* Names are the prefixes of tensors in a checkpoint: no two may be equal. */
static void
check_names(const struct spec_model *m, const char *path, struct rk_why *why)
{
	const struct spec_layer **v;

	v = xcalloc((size_t)m->nlayers, sizeof(*v));
	for (int i = 0; i < m->nlayers; i++)
		v[i] = &m->layers[i];
	qsort(v, (size_t)m->nlayers, sizeof(*v), by_name);
	for (int i = 1; i < m->nlayers; i++) {
		if (strcmp(v[i - 1]->name, v[i]->name) != 0)
			continue;
		char *at = xasprintf("%s[%td].name", path, v[i] - m->layers);
		rk_refuse_at(why, at, "is \"%s\", as is that of %s[%td]: names "
		    "must differ", v[i]->name, path, v[i - 1] - m->layers);
		free(at);
	}
	free(v);
}

static void
read_layers(struct spec_model *m, const json_t *v, struct rk_why *why)
{
	static const char path[] = "model.layers";
	char shown[SP_SHOWN];
	bool learns = false;

	if (!json_is_array(v)) {
		rk_refuse_at(why, path, "is %s, want a list of layers",
		    sp_shown(v, shown));
		return;
	}
	size_t n = json_array_size(v);
	if (n == 0 || n > SPEC_MAX_LAYERS) {
		rk_refuse_at(why, path, "has %zu layers, want 1 to %d", n,
		    SPEC_MAX_LAYERS);
		return;
	}
	m->layers = xcalloc(n, sizeof(*m->layers));
	m->nlayers = (int)n;
	size_t before = why->n + why->more;
	for (size_t i = 0; i < n; i++) {
		char *at = xasprintf("%s[%zu]", path, i);
		read_layer(&m->layers[i], json_array_get(v, i), i, at, why);
		free(at);
		enum spec_layer_type t = m->layers[i].type;
		learns |= t == SPEC_L_LINEAR || t == SPEC_L_CONV2D ||
		    t == SPEC_L_BATCH_NORM;
	}
	if (why->n + why->more > before)
		return;
	check_names(m, path, why);
	if (!learns)
		rk_refuse_at(why, path, "has no linear, conv2d or batch_norm "
		    "layer: there is nothing to train");
}

static void
check_parameters(const struct spec_model *m, struct rkj_obj *o)
{
	char have[RK_HUMAN], most[RK_HUMAN];
	int64_t total = 0;      /* at most 63 * 2^49: does not overflow */

	for (int i = 1; i < m->nsizes; i++)
		total += m->sizes[i - 1] * m->sizes[i] + m->sizes[i];
	if (total > SPEC_MAX_PARAMS)
		rkj_fault(o, "sizes", "make %s parameters, more than the "
		    "limit of %s", rk_group_digits(have, total),
		    rk_group_digits(most, SPEC_MAX_PARAMS));
}

static void
check_warm_start(char *uri, struct rkj_obj *o)
{
	struct rk_why w = {0};
	struct rk_uri u;

	if (rk_uri_parse(&u, uri, &w) != RK_OK ||
	    (spec_is_address(uri) && sp_check_address(uri, &w) != RK_OK)) {
		rkj_fault(o, "checkpoint", "%s", w.v[0].message);
		rk_uri_fini(&u);
		rk_why_fini(&w);
		return;
	}
	if (u.kind == RK_URI_OTHER && !spec_is_address(uri))
		rkj_fault(o, "checkpoint", "is an address of scheme %s:, which "
		    "cannot be fetched: want a file, job://ID/CHECKPOINT, "
		    "s3:, oss:, https: or http:", u.scheme);
	else if (u.kind == RK_URI_JOB && strcmp(u.path, "none") == 0)
		rkj_fault(o, "checkpoint", "asks for checkpoint none of a job, "
		    "want latest, best, step:N or a name");
	rk_uri_fini(&u);
	rk_why_fini(&w);
}

/* arch or layers: sets m->arch; false if neither can be understood. */
static bool
read_arch(struct spec_model *m, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *layers = rkj_any(o, "layers");
	const bool given = rkj_any(o, "arch") != NULL;
	int word;

	/* "layers" is the first word; no job says it. */
	bool named = rkj_enum(o, "arch", &word, sp_arch_words + 1,
	    RKJ_OPTIONAL);
	m->arch = named ? (enum spec_arch)(word + 1) : SPEC_ARCH_LAYERS;
	if (given && layers != NULL)
		rkj_fault(o, "layers", "and arch say the same thing: give one "
		    "of them");
	else if (layers != NULL)
		read_layers(m, layers, why);
	else if (!given && o->v != NULL)
		rkj_fault(o, "arch", "is missing: want mlp or lenet5, or "
		    "layers instead");
	return named || (layers != NULL && !given);
}

/* The fields that only some of mlp, lenet5 and layers take. */
static void
read_shape(struct spec_model *m, struct rkj_obj *o)
{
	const bool mlp = m->arch == SPEC_ARCH_MLP;
	const bool lenet5 = m->arch == SPEC_ARCH_LENET5;
	const bool stack = m->arch == SPEC_ARCH_LAYERS;
	const char *is = sp_arch_words[m->arch];
	int word;

	if (sp_takes(o, "sizes", mlp, "mlp", is) &&
	    sp_ints(o, "sizes", m->sizes, &m->nsizes, 2, SPEC_MAX_SIZES, 1,
	    SPEC_MAX_WIDTH, RKJ_REQUIRED))
		check_parameters(m, o);
	if (sp_takes(o, "activation", mlp, "mlp", is) &&
	    rkj_enum(o, "activation", &word, spec_activation_words,
	    RKJ_OPTIONAL))
		m->activation = (enum spec_activation)word;
	if (sp_takes(o, "classes", lenet5, "lenet5", mlp ? "mlp, whose last "
	    "size is that number" : is))
		rkj_int(o, "classes", &m->classes, 2, 1 << 20, RKJ_OPTIONAL);
	if (sp_takes(o, "input", stack, "layers", is))
		sp_ints(o, "input", m->input, &m->ninput, 1, SPEC_MAX_DIMS, 1,
		    SPEC_MAX_WIDTH, RKJ_OPTIONAL);
}

void
sp_read_model(struct spec_model *m, const json_t *v, struct rk_why *why)
{
	static const char *const shape[] = {
		"sizes", "activation", "classes", "input"
	};
	struct sp_obj s;
	struct rkj_obj *o = &s.o;

	m->strict = true;
	m->classes = 10;
	sp_open(&s, v, "model", why);
	if (read_arch(m, o, why))
		read_shape(m, o);
	for (size_t i = 0; i < RK_ARRAY_LEN(shape); i++)
		rkj_any(o, shape[i]);   /* known, whatever the arch */
	if (rkj_str(o, "checkpoint", &m->checkpoint, SP_MAX_PATH, RKJ_OPTIONAL))
		check_warm_start(m->checkpoint, o);
	rkj_bool(o, "strict", &m->strict, RKJ_OPTIONAL);
	sp_close(&s);
}

void
sp_free_model(struct spec_model *m)
{
	for (int i = 0; i < m->nlayers; i++)
		free(m->layers[i].name);
	free(m->layers);
	free(m->checkpoint);
}
