/* A safetensors file as weights. */
#include <stdlib.h>
#include <string.h>

#include "weights_make.h"

static const char *
meta_of(const struct tensor_set *s, const char *key)
{
	for (size_t i = 0; s->meta != NULL && s->meta[i] != NULL; i += 2)
		if (strcmp(s->meta[i], key) == 0)
			return s->meta[i + 1];
	return NULL;
}

static enum weights_framework
framework_of(const char *format)
{
	if (format == NULL)
		return WEIGHTS_FROM_UNKNOWN;
	if (strcmp(format, "pt") == 0)
		return WEIGHTS_FROM_PYTORCH;
	return strcmp(format, "pd") == 0 ? WEIGHTS_FROM_PADDLE :
	    WEIGHTS_FROM_UNKNOWN;
}

static enum rk_err
add_one(struct weights *w, const char *name, const struct tensor *t,
    const struct weights_store *store, struct rk_why *why)
{
	struct weights_laid laid = {
		.dtype = t->dtype, .ndim = t->ndim, .store = store,
	};

	memcpy(laid.d, t->d, sizeof(laid.d));
	return weights_add(w, WEIGHTS_MODEL, name, NULL, &laid, NULL, why);
}

/* PyTorch's save_model() keeps one of two names of a tensor, and says here
 * which one it left out: {"left out": "kept"}. */
static enum rk_err
add_left_out(struct weights *w, const struct tensor_set *s, const char *key,
    const char *value, size_t first, struct rk_why *why)
{
	const struct tensor *t = tensor_find(s, value);

	if (t == NULL || tensor_find(s, key) != NULL)
		return RK_OK;
	return add_one(w, key, t, w->v[first + (size_t)(t - s->v)].view->store,
	    why);
}

static enum rk_err
add_meta(struct weights *w, const struct tensor_set *s, size_t first,
    struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (size_t i = 0; rc == RK_OK && s->meta != NULL &&
	    s->meta[i] != NULL; i += 2) {
		char *path = xasprintf("__metadata__.%s", s->meta[i]);
		char *text = rk_text_clean(xstrdup(s->meta[i + 1]));
		const struct weights_value v = { .path = rk_text_clean(path),
			.kind = WEIGHTS_TEXT, .text = text };
		rc = weights_add_value(w, &v, why);
		free(path);
		free(text);
		if (rc == RK_OK)
			rc = add_left_out(w, s, s->meta[i], s->meta[i + 1],
			    first, why);
	}
	return rc;
}

/* The metadata as they are, but for what is too long to be of use. */
static enum rk_err
keep_meta(struct weights *w, const struct tensor_set *s, struct rk_why *why)
{
	size_t n = 0, kept = 0;

	while (s->meta != NULL && s->meta[n] != NULL)
		n++;
	char **meta = arena_array(&w->inside->arena, n + 1, sizeof(*meta));
	if (meta == NULL)
		return arena_full(why);
	for (size_t i = 0; i < n; i += 2) {
		const char *key = s->meta[i], *value = s->meta[i + 1];
		if (strlen(key) + strlen(value) > WEIGHTS_META_MOST)
			continue;
		meta[kept] = weights_text(w, key, strlen(key));
		meta[kept + 1] = weights_text(w, value, strlen(value));
		if (meta[kept] == NULL || meta[kept + 1] == NULL)
			return arena_full(why);
		kept += 2;
	}
	w->meta = meta;
	return RK_OK;
}

enum rk_err
weights_add_safetensors(struct weights *w, const uint8_t *p, size_t n,
    struct rk_why *why)
{
	struct tensor_set *s = tensor_set_new();
	enum rk_err rc = safetensors_parse(p, n, s, why);
	const size_t first = w->n;

	for (size_t i = 0; rc == RK_OK && i < s->n; i++) {
		struct weights_store *store = arena_get(&w->inside->arena,
		    sizeof(*store));
		if (store == NULL) {
			rc = arena_full(why);
			break;
		}
		*store = (struct weights_store){ .kind = STORE_BYTES,
		    .p = s->v[i].data, .packed = s->v[i].nbytes,
		    .size = s->v[i].nbytes };
		rc = add_one(w, s->v[i].name, &s->v[i], store, why);
	}
	if (rc == RK_OK)
		rc = add_meta(w, s, first, why);
	if (rc == RK_OK && w->format == WEIGHTS_SAFETENSORS)
		rc = keep_meta(w, s, why);
	if (rc == RK_OK && w->framework == WEIGHTS_FROM_UNKNOWN)
		w->framework = framework_of(meta_of(s, "format"));
	tensor_set_free(s);
	return rc;
}

enum rk_err
weights_read_safetensors(struct weights *w, struct rk_why *why)
{
	const struct weights_inside *in = w->inside;
	enum rk_err rc = weights_add_safetensors(w, in->p, in->n, why);

	return rc == RK_OK ? weights_one_part(w, why) : rc;
}
