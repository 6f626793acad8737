/* What the tests of plans share: lists of tensors, and how their networks are called
 * by each framework. */
#ifndef WARM_HELP_H
#define WARM_HELP_H

#include "rekindle/warm.h"
#include "t.h"

#define LIST_MAX 512

struct list {
	struct warm_tensor v[LIST_MAX];
	size_t n;
};

__attribute__((unused)) static void
add_v(struct list *l, enum warm_kind kind, int ndim, const int64_t *d,
    const char *name)
{
	struct warm_tensor *t = &l->v[l->n++];

	t_check(l->n <= LIST_MAX);
	*t = (struct warm_tensor){ .name = xstrdup(name), .dtype = DT_F32,
		.ndim = ndim, .kind = kind, .buffer = kind == WARM_RUNNING,
		.same_as = -1 };
	for (int i = 0; i < ndim; i++)
		t->d[i] = d[i];
}

#define DIMS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), \
	(const int64_t[]){ __VA_ARGS__ }

/* Names are made in place: put(l, WARM_CONV, DIMS(64, 3, 7, 7), "conv%d.weight", 1). */
__attribute__((unused, format(printf, 5, 6))) static void
put(struct list *l, enum warm_kind kind, int ndim, const int64_t *d,
    const char *fmt, ...)
{
	char name[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	add_v(l, kind, ndim, d, name);
}

__attribute__((unused)) static void
list_fini(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((char *)(uintptr_t)l->v[i].name);
	l->n = 0;
}

/* --- networks ------------------------------------------------------------- */

enum naming { OURS, TORCHVISION, TIMM_D, HUGGINGFACE, PADDLE, PADDLECLAS, PADDLENLP };

static bool
is_paddle(enum naming k)
{
	return k == PADDLE || k == PADDLECLAS || k == PADDLENLP;
}

__attribute__((unused)) static void
norm(struct list *l, enum naming k, int64_t c, const char *name)
{
	const bool p = is_paddle(k);

	put(l, WARM_NORM, DIMS(c), "%s.weight", name);
	put(l, WARM_NORM, DIMS(c), "%s.bias", name);
	put(l, WARM_RUNNING, DIMS(c), "%s.%s", name,
	    p ? "_mean" : "running_mean");
	put(l, WARM_RUNNING, DIMS(c), "%s.%s", name,
	    p ? "_variance" : "running_var");
	if (k != OURS && !p) {
		put(l, WARM_OTHER, 0, NULL, "%s.num_batches_tracked", name);
		l->v[l->n - 1].dtype = DT_I64;
	}
}

__attribute__((unused)) static void
linear(struct list *l, enum naming k, int64_t out, int64_t in,
    const char *name)
{
	if (is_paddle(k))
		put(l, WARM_LINEAR, DIMS(in, out), "%s.weight", name);
	else
		put(l, WARM_LINEAR, DIMS(out, in), "%s.weight", name);
	put(l, WARM_OTHER, DIMS(out), "%s.bias", name);
}

/* A convolution and its norm, by the names of both. */
__attribute__((unused)) static void
conv_norm(struct list *l, enum naming k, int64_t out, int64_t in, int64_t side,
    const char *conv, const char *bn)
{
	put(l, WARM_CONV, DIMS(out, in, side, side), "%s.weight", conv);
	norm(l, k, out, bn);
}

/* How a resnet's parts are called. */
struct part_names {
	char conv[96], bn[96];
};

__attribute__((unused)) static struct part_names
block_names(enum naming k, int stage, int block, int flat, int part)
{
	struct part_names n;
	const size_t m = sizeof(n.conv);

	switch (k) {
	case HUGGINGFACE:
		snprintf(n.conv, m, "resnet.encoder.stages.%d.layers.%d.%s%.0d"
		    ".convolution", stage, block, part < 0 ? "shortcut" :
		    part == 0 ? "layer.0" : "layer.", RK_MAX(part, 0));
		snprintf(n.bn, m, "resnet.encoder.stages.%d.layers.%d.%s%.0d"
		    ".normalization", stage, block, part < 0 ? "shortcut" :
		    part == 0 ? "layer.0" : "layer.", RK_MAX(part, 0));
		break;
	case PADDLECLAS:
		snprintf(n.conv, m, part < 0 ? "blocks.%d.short.conv" :
		    "blocks.%d.conv%d.conv", flat, part);
		snprintf(n.bn, m, part < 0 ? "blocks.%d.short.bn" :
		    "blocks.%d.conv%d.bn", flat, part);
		break;
	default:
		if (part < 0) {
			snprintf(n.conv, m, "layer%d.%d.downsample.%d",
			    stage + 1, block, k == TIMM_D);
			snprintf(n.bn, m, "layer%d.%d.downsample.%d",
			    stage + 1, block, 1 + (k == TIMM_D));
		} else {
			snprintf(n.conv, m, "layer%d.%d.conv%d", stage + 1,
			    block, part + 1);
			snprintf(n.bn, m, "layer%d.%d.bn%d", stage + 1, block,
			    part + 1);
		}
	}
	return n;
}

/* As resnet50, but of so many channels: stages of 3, 4, 6 and 3 blocks of three
 * convolutions; TIMM_D and deep: three convolutions first. */
__attribute__((unused)) static void
resnet50(struct list *l, enum naming k, int64_t c, int64_t classes, bool deep)
{
	static const int blocks[4] = { 3, 4, 6, 3 };
	int flat = 0;

	if (deep) {
		conv_norm(l, k, c / 2, 3, 3, k == TIMM_D ? "conv1.0" :
		    "stem.0.conv", k == TIMM_D ? "conv1.1" : "stem.0.bn");
		conv_norm(l, k, c / 2, c / 2, 3, k == TIMM_D ? "conv1.3" :
		    "stem.1.conv", k == TIMM_D ? "conv1.4" : "stem.1.bn");
		conv_norm(l, k, c, c / 2, 3, k == TIMM_D ? "conv1.6" :
		    "stem.2.conv", k == TIMM_D ? "bn1" : "stem.2.bn");
	} else if (k == HUGGINGFACE) {
		conv_norm(l, k, c, 3, 7,
		    "resnet.embedder.embedder.convolution",
		    "resnet.embedder.embedder.normalization");
	} else {
		conv_norm(l, k, c, 3, 7, k == PADDLECLAS ? "stem.0.conv" :
		    "conv1", k == PADDLECLAS ? "stem.0.bn" : "bn1");
	}
	int64_t in = c;
	for (int s = 0; s < 4; s++) {
		const int64_t w = c << s;
		for (int b = 0; b < blocks[s]; b++, flat++) {
			const int64_t dims[4][3] = { { w, in, 1 }, { w, w, 3 },
				{ 4 * w, w, 1 }, { 4 * w, in, 1 } };
			for (int i = 0; i < (b == 0 ? 4 : 3); i++) {
				struct part_names n = block_names(k, s, b,
				    flat, i == 3 ? -1 : i);
				conv_norm(l, k, dims[i][0], dims[i][1],
				    dims[i][2], n.conv, n.bn);
			}
			in = 4 * w;
		}
	}
	linear(l, k, classes, in, k == HUGGINGFACE ? "classifier.1" : "fc");
}

/* An encoder of n layers as BERT's and ERNIE's; the prefix ends in a dot. */
__attribute__((unused)) static void
encoder(struct list *l, enum naming k, int n, int64_t d, const char *prefix)
{
	static const char *const names[2][9] = {
		{ "attention.self.query", "attention.self.key",
		  "attention.self.value", "attention.output.dense",
		  "intermediate.dense", "output.dense",
		  "attention.output.LayerNorm", "output.LayerNorm", "layer" },
		{ "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
		  "self_attn.out_proj", "linear1", "linear2", "norm1",
		  "norm2", "layers" },
	};
	const char *const *w = names[k == PADDLENLP];
	char name[160];

	put(l, WARM_TABLE, DIMS(100, d),
	    "%sembeddings.word_embeddings.weight", prefix);
	put(l, WARM_TABLE, DIMS(32, d),
	    "%sembeddings.position_embeddings.weight", prefix);
	put(l, WARM_TABLE, DIMS(2, d),
	    "%sembeddings.token_type_embeddings.weight", prefix);
	for (int i = 0; i < 2; i++)
		put(l, WARM_NORM, DIMS(d), "%sembeddings.%s.%s", prefix,
		    k == PADDLENLP ? "layer_norm" : "LayerNorm",
		    i == 0 ? "weight" : "bias");
	for (int i = 0; i < n; i++)
		for (int part = 0; part < 8; part++) {
			snprintf(name, sizeof(name), "%sencoder.%s.%d.%s",
			    prefix, w[8], i, w[part]);
			if (part < 6) {
				linear(l, k, part == 4 ? 4 * d : d,
				    part == 5 ? 4 * d : d, name);
				continue;
			}
			put(l, WARM_NORM, DIMS(d), "%s.weight", name);
			put(l, WARM_NORM, DIMS(d), "%s.bias", name);
		}
	snprintf(name, sizeof(name), "%spooler.dense", prefix);
	linear(l, k, d, d, name);
	linear(l, k, 3, d, "classifier");
}

/* --- plans ---------------------------------------------------------------- */

struct made {
	struct warm_want want;
	struct warm_plan *plan;
	struct rk_why why;
	char *faults;
	enum rk_err rc;
};

__attribute__((unused)) static void
make_plan(struct made *m, const struct list *model, const struct list *file,
    enum warm_framework framework, const struct spec_warm *spec, bool strict)
{
	static const struct spec_warm nothing;

	*m = (struct made){ .want = { .model = model->v, .file = file->v,
		.nmodel = model->n, .nfile = file->n,
		.framework = framework, .strict = strict,
		.spec = spec != NULL ? spec : &nothing } };
	m->rc = warm_plan_new(&m->plan, &m->want, &m->why);
	m->faults = m->why.n > 0 ? rk_why_text(&m->why) : xstrdup("");
}

__attribute__((unused)) static void
made_fini(struct made *m)
{
	warm_plan_free(m->plan);
	rk_why_fini(&m->why);
	free(m->faults);
}

__attribute__((unused)) static const struct warm_row *
row_of(const struct made *m, const char *name)
{
	for (size_t i = 0; i < m->plan->n; i++) {
		const struct warm_row *r = &m->plan->v[i];
		const char *is = r->model >= 0 ?
		    m->want.model[r->model].name :
		    m->want.file[r->file].name;
		if (strcmp(is, name) == 0)
			return r;
	}
	t_fail("no row of %s", name);
}

__attribute__((unused)) static const char *
from_of(const struct made *m, const char *name)
{
	const struct warm_row *r = row_of(m, name);

	return r->file >= 0 ? m->want.file[r->file].name : "";
}

#define t_action(m, name, want) \
	t_eq_str(warm_action_words[row_of(m, name)->action], want)

#endif
