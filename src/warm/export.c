/* Names and layout of a model in other frameworks' files: see warm_export.h. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/warm_export.h"

const char *const warm_target_words[] = { "safetensors", "pytorch", "paddle",
	NULL };
const char *const warm_layer_words[WARM_LAYERS + 1] = { "other", "linear",
	"conv2d", "batch_norm", "batch_norm1d", "batch_norm2d", "layer_norm",
	"embedding", NULL };

bool
warm_layer_is_batch_norm(enum warm_layer l)
{
	return l == WARM_LAYER_BATCH_NORM || l == WARM_LAYER_BATCH_NORM1D ||
	    l == WARM_LAYER_BATCH_NORM2D;
}

/* --- layers --------------------------------------------------------------- */

/* Neighbours in a list whose names are alike but for the last word. */
struct layer {
	const char *name;
	size_t len;                     /* of the name, which ends before a
					   dot */
	enum warm_layer is;
	int64_t number;                 /* among those of its class */
	bool counted;
};

struct layers {
	struct layer *v;
	size_t n;
	size_t *of;                     /* [tensors]: the layer of each */
};

static size_t
stem_len(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? (size_t)(dot - name) : 0;
}

static const char *
last_word(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? dot + 1 : name;
}

/* Parameters of a layer follow each other; its buffers come behind all. */
static size_t
find_layer(const struct layers *l, const char *name, size_t len)
{
	for (size_t k = l->n; k-- > 0;)
		if (l->v[k].len == len &&
		    strncmp(l->v[k].name, name, len) == 0)
			return k;
	return l->n;
}

static void
list_layers(struct layers *l, const struct warm_own *v, size_t n)
{
	l->v = xcalloc(n + 1, sizeof(*l->v));
	l->of = xcalloc(n + 1, sizeof(*l->of));
	for (size_t i = 0; i < n; i++) {
		const size_t len = stem_len(v[i].name);
		const size_t k = find_layer(l, v[i].name, len);
		if (k == l->n)
			l->v[l->n++] = (struct layer){ .name = v[i].name,
				.len = len, .is = v[i].layer };
		l->of[i] = k;
	}
}

/* --- Paddle's second names ------------------------------------------------ */

static void
count(struct layer *l, int64_t made[WARM_LAYERS])
{
	if (!l->counted)
		l->number = made[l->is]++;
	l->counted = true;
}

/* The shortcuts of the block that layer i is of are made before it. */
static void
count_shortcuts(struct layers *l, size_t i, int64_t made[WARM_LAYERS])
{
	static const char word[] = "downsample.";
	const struct layer *is = &l->v[i];
	size_t block = is->len;

	while (block > 0 && is->name[block - 1] != '.')
		block--;
	for (size_t k = i + 1; block > 0 && k < l->n; k++) {
		struct layer *s = &l->v[k];
		if (s->len > block && strncmp(s->name, is->name, block) == 0 &&
		    strncmp(s->name + block, word, sizeof(word) - 1) == 0)
			count(s, made);
	}
}

static void
count_layers(struct layers *l)
{
	int64_t made[WARM_LAYERS] = { 0 };

	for (size_t i = 0; i < l->n; i++) {
		count_shortcuts(l, i, made);
		count(&l->v[i], made);
	}
}

static const struct word {
	const char *ours, *paddle, *part;
} words[] = {
	{ "weight", "weight", "w_0" }, { "bias", "bias", "b_0" },
	{ "running_mean", "_mean", "w_1" }, { "_mean", "_mean", "w_1" },
	{ "running_var", "_variance", "w_2" },
	{ "_variance", "_variance", "w_2" },
};

static const struct word *
word_of(const char *last)
{
	for (size_t k = 0; k < RK_ARRAY_LEN(words); k++)
		if (strcmp(words[k].ours, last) == 0)
			return &words[k];
	return NULL;
}

static char *
second_name(const struct layer *l, const char *last)
{
	const struct word *w = word_of(last);

	if (l->is == WARM_LAYER_OTHER || w == NULL)
		return NULL;
	return xasprintf("%s_%lld.%s", warm_layer_words[l->is],
	    (long long)l->number, w->part);
}

/* --- a tensor ------------------------------------------------------------- */

/* Statistics of a batch norm by the target's words. */
static char *
given_name(enum warm_target to, const struct warm_own *t)
{
	const char *last = last_word(t->name), *word = last;
	const struct word *w = word_of(last);

	if (!t->buffer || !warm_layer_is_batch_norm(t->layer) || w == NULL)
		return xstrdup(t->name);
	if (to == WARM_TO_PADDLE)
		word = w->paddle;
	else if (strcmp(w->part, "w_1") == 0)
		word = "running_mean";
	else if (strcmp(w->part, "w_2") == 0)
		word = "running_var";
	return xasprintf("%.*s%s", (int)(last - t->name), t->name, word);
}

static void
give(struct warm_given *g, enum warm_target to, const struct warm_own *t,
    size_t i, const struct layer *l)
{
	*g = (struct warm_given){ .name = given_name(to, t), .own = (int64_t)i,
		.ndim = t->ndim,
		.turned = to == WARM_TO_PADDLE && t->ndim == 2 &&
		    t->layer == WARM_LAYER_LINEAR };
	memcpy(g->d, t->d, sizeof(g->d));
	if (g->turned) {
		g->d[0] = t->d[1];
		g->d[1] = t->d[0];
	}
	if (to == WARM_TO_PADDLE)
		g->alias = second_name(l, last_word(t->name));
}

static bool
has_statistics(const struct layers *l, size_t k, const struct warm_own *v,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (l->of[i] == k && v[i].buffer)
			return true;
	return false;
}

/* --- all ------------------------------------------------------------------ */

/* A layer's tensors, and what counts its batches. */
static void
give_layer(struct warm_export *e, enum warm_target to,
    const struct layers *l, size_t k, const struct warm_own *v, size_t n)
{
	const struct layer *is = &l->v[k];

	for (size_t i = 0; i < n; i++)
		if (l->of[i] == k)
			give(&e->v[e->n++], to, &v[i], i, is);
	if (to != WARM_TO_PADDLE && warm_layer_is_batch_norm(is->is) &&
	    has_statistics(l, k, v, n))
		e->v[e->n++] = (struct warm_given){ .own = -1,
			.name = xasprintf("%.*s%snum_batches_tracked",
			    (int)is->len, is->name, is->len > 0 ? "." : "") };
}

struct warm_export *
warm_export_new(enum warm_target to, const struct warm_own *v, size_t n)
{
	struct warm_export *e = xcalloc(1, sizeof(*e));
	struct layers l = { 0 };

	list_layers(&l, v, n);
	count_layers(&l);
	e->v = xcalloc(n + l.n + 1, sizeof(*e->v));
	for (size_t k = 0; k < l.n; k++)
		give_layer(e, to, &l, k, v, n);
	free(l.v);
	free(l.of);
	return e;
}

void
warm_export_free(struct warm_export *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->n; i++) {
		free(e->v[i].name);
		free(e->v[i].alias);
	}
	free(e->v);
	free(e);
}

/* --- the optimiser -------------------------------------------------------- */

const char *
warm_paddle_slot(const char *slot)
{
	static const char *const slots[][2] = {
		{ "exp_avg", "moment1" }, { "exp_avg_sq", "moment2" },
		{ "momentum_buffer", "velocity" }, { "sum", "moment" },
	};

	for (size_t k = 0; k < RK_ARRAY_LEN(slots); k++)
		if (strcmp(slots[k][0], slot) == 0)
			return slots[k][1];
	return NULL;
}

/* --- of a file alone ------------------------------------------------------- */

/* "linear_0.w_0": the class's length; 0: it is no such name. */
static size_t
class_len(const char *alias)
{
	const char *dot = strrchr(alias, '.');
	size_t n = dot != NULL ? (size_t)(dot - alias) : 0;

	if (n == 0 || (dot[1] != 'w' && dot[1] != 'b') || dot[2] != '_')
		return 0;
	const size_t end = n;
	while (n > 0 && alias[n - 1] >= '0' && alias[n - 1] <= '9')
		n--;
	return n > 1 && n < end && alias[n - 1] == '_' ? n - 1 : 0;
}

enum warm_told
warm_told(const char *name, const char *alias, int ndim)
{
	static const char linear[] = "linear";
	const char *last = last_word(name);

	if (ndim != 2 || strncmp(last, "weight_ih", 9) == 0 ||
	    strncmp(last, "weight_hh", 9) == 0)
		return WARM_TOLD_OTHER;
	const size_t n = alias != NULL ? class_len(alias) : 0;
	if (n == 0)
		return WARM_TOLD_NOTHING;
	return n == sizeof(linear) - 1 && strncmp(alias, linear, n) == 0 ?
	    WARM_TOLD_LINEAR : WARM_TOLD_OTHER;
}
