/* Which tensors of a Paddle file are an optimiser's, and of which parameter. */
#include <stdlib.h>
#include <string.h>

#include "paddle.h"
#include "paddle_in.h"

/* --- of a whole file ------------------------------------------------------------- */

enum content { NO_TENSOR, ALL_STATE, NOT_STATE };

static enum content
content_of(const struct pickle_seq *dict)
{
	enum content found = NO_TENSOR;
	char name[TENSOR_NAME_MAX + 1];
	const char *slot;
	size_t of;

	for (uint64_t i = 0; i < dict->n; i += 2) {
		const struct pickle_value *key = &dict->v[i];
		if (pickle_is(key, PADDLE_SCHEDULER) && found == NO_TENSOR)
			found = ALL_STATE;
		if (!paddle_is_tensor(&key[1]))
			continue;
		if (!pickle_is_text(key) || key->n > TENSOR_NAME_MAX)
			return NOT_STATE;
		memcpy(name, key->p, key->n);
		name[key->n] = '\0';
		if (!paddle_accumulator(name, &of, &slot))
			return NOT_STATE;
		found = ALL_STATE;
	}
	return found;
}

bool
paddle_is_state(const struct pickle_value *root)
{
	bool state = false;

	if (root->kind == PK_DICT)
		return content_of(root->seq) == ALL_STATE;
	if (root->kind != PK_LIST && root->kind != PK_TUPLE)
		return false;
	for (uint64_t i = 0; i < root->seq->n; i++) {
		const struct pickle_value *v = &root->seq->v[i];
		const enum content c = v->kind == PK_DICT ?
		    content_of(v->seq) : NO_TENSOR;
		if (c == NOT_STATE)
			return false;
		state = state || c == ALL_STATE;
	}
	return state;
}

/* --- of each tensor ---------------------------------------------------------------- */

/* The parameter that a master weight is of: "master_weights.linear_0.w_0". */
static const char *
master_of(const char *name)
{
	static const char word[] = PADDLE_MASTER ".";
	const char *at = strstr(name, word);

	return at != NULL && (at == name || at[-1] == '.') &&
	    at[sizeof(word) - 1] != '\0' ? at + sizeof(word) - 1 : NULL;
}

static enum rk_err
name_state(struct weights *w, struct weights_tensor *t, struct rk_why *why)
{
	const char *variable = t->alias != NULL ? t->alias : t->name;
	const char *slot;
	size_t of;

	t->of = master_of(t->name);
	if (t->of != NULL) {
		t->slot = PADDLE_MASTER;
		return RK_OK;
	}
	if (!paddle_accumulator(variable, &of, &slot))
		return RK_OK;
	t->of = weights_text(w, variable, of);
	t->slot = slot;
	return t->of != NULL ? RK_OK : arena_full(why);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Programs save what persists: parameters and accumulators in one dict.  One of
 * these is known by its parameter being there. */
static enum rk_err
part_from_parameters(struct weights *w, struct rk_why *why)
{
	const char **names = malloc((2 * w->n + 1) * sizeof(*names));
	char want[TENSOR_NAME_MAX + 1];
	size_t n = 0, of;
	const char *slot, *key = want;

	if (names == NULL)
		return arena_full(why);
	for (size_t i = 0; i < w->n; i++) {
		const struct weights_tensor *t = &w->v[i];
		if (t->role != WEIGHTS_MODEL)
			continue;
		names[n++] = t->name;
		if (t->alias != NULL)
			names[n++] = t->alias;
	}
	qsort(names, n, sizeof(*names), by_text);
	for (size_t i = 0; i < w->n; i++) {
		struct weights_tensor *t = &w->v[i];
		if (t->role != WEIGHTS_MODEL || !paddle_accumulator(t->name,
		    &of, &slot))
			continue;
		memcpy(want, t->name, of);
		want[of] = '\0';
		if (bsearch(&key, names, n, sizeof(*names), by_text) == NULL)
			continue;
		t->role = WEIGHTS_OPTIMIZER;
		if (w->optimizer == NULL)
			w->optimizer = w->model;
	}
	free(names);
	return RK_OK;
}

enum rk_err
paddle_roles(struct weights *w, struct rk_why *why)
{
	enum rk_err rc = part_from_parameters(w, why);

	for (size_t i = 0; i < w->n && rc == RK_OK; i++)
		if (w->v[i].role == WEIGHTS_OPTIMIZER)
			rc = name_state(w, &w->v[i], why);
	return rc;
}
