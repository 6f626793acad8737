/* The file of a warm start: see warm_file.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/ckpt.h"
#include "rekindle/warm_export.h"
#include "held_out.h"
#include "warm_file.h"

/* --- opening -------------------------------------------------------------- */

static struct warm_tensor
of_tensor(const char *name, enum dtype dtype, int ndim, const int64_t *d)
{
	struct warm_tensor t = { .name = name, .dtype = dtype, .ndim = ndim,
		.same_as = -1 };

	memcpy(t.d, d, (size_t)ndim * sizeof(*d));
	return t;
}

const char *
warm_file_meta(const struct warm_file *f, const char *key)
{
	char *const *meta = f->set != NULL ? f->set->meta : f->weights->meta;

	for (size_t i = 0; meta != NULL && meta[i] != NULL; i += 2)
		if (strcmp(meta[i], key) == 0)
			return meta[i + 1];
	return NULL;
}

static void
list_set(struct warm_file *f)
{
	const struct tensor_set *s = f->set;
	const char *format = warm_file_meta(f, "format");

	f->n = s->n;
	f->v = xcalloc(s->n + 1, sizeof(*f->v));
	f->at = xcalloc(s->n + 1, sizeof(*f->at));
	for (size_t i = 0; i < s->n; i++) {
		f->v[i] = of_tensor(s->v[i].name, s->v[i].dtype, s->v[i].ndim,
		    s->v[i].d);
		f->at[i] = i;
	}
	if (format != NULL && strcmp(format, "pt") == 0) {
		f->framework = WARM_PYTORCH;
		f->writer = "pytorch";
	} else if (format != NULL && strcmp(format, "pd") == 0) {
		f->framework = WARM_PADDLE;
		f->writer = "paddle";
	}
}

struct warm_file *
warm_file_of(struct tensor_set *set)
{
	struct warm_file *f = xcalloc(1, sizeof(*f));

	f->set = set;
	list_set(f);
	return f;
}

void
warm_file_is_ours(struct warm_file *f)
{
	f->framework = WARM_PYTORCH;
	f->writer = "rekindle";
}

static void
list_weights(struct warm_file *f, enum weights_role role)
{
	static const enum warm_framework frameworks[] = {
		[WEIGHTS_FROM_UNKNOWN] = WARM_UNKNOWN,
		[WEIGHTS_FROM_PYTORCH] = WARM_PYTORCH,
		[WEIGHTS_FROM_PADDLE] = WARM_PADDLE,
	};
	const struct weights *w = f->weights;
	int64_t *place = xcalloc(w->n + 1, sizeof(*place));

	f->v = xcalloc(w->n + 1, sizeof(*f->v));
	f->at = xcalloc(w->n + 1, sizeof(*f->at));
	for (size_t i = 0; i < w->n; i++) {
		const struct weights_tensor *t = &w->v[i];
		place[i] = -1;
		if (t->role != role)
			continue;
		f->v[f->n] = of_tensor(t->name, t->dtype, t->ndim, t->d);
		if (t->same_as >= 0 && t->same_as < (int64_t)i)
			f->v[f->n].same_as = place[t->same_as];
		f->at[f->n] = i;
		place[i] = (int64_t)f->n++;
	}
	free(place);
	f->framework = frameworks[w->framework];
	f->writer = w->writer != NULL ? w->writer :
	    f->framework != WARM_UNKNOWN ?
	    warm_framework_words[f->framework] : NULL;
}

static bool
has_role(const struct weights *w, enum weights_role role)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].role == role)
			return true;
	return false;
}

/* Of a file that has only the state of an optimizer one would have to guess
 * what the sentence of the plan means. */
static enum rk_err
want_model(const struct weights *w, struct rk_why *why)
{
	if (has_role(w, WEIGHTS_MODEL) || !has_role(w, WEIGHTS_OPTIMIZER))
		return RK_OK;
	return rk_refuse(why, "has the state of an optimizer and no model: want "
	    "the file of the model%s", w->format == WEIGHTS_PADDLE ?
	    " (.pdparams, where this one is a .pdopt)" : "");
}

enum rk_err
warm_file_open_how(const char *path, const struct inspect_how *how,
    struct warm_file **out, struct rk_why *why)
{
	struct warm_file *f = xcalloc(1, sizeof(*f));
	enum rk_err rc = inspect_open(path, how, &f->weights, why);

	if (rc == RK_OK)
		rc = want_model(f->weights, why);
	*out = rc == RK_OK ? f : NULL;
	if (rc == RK_OK)
		list_weights(f, WEIGHTS_MODEL);
	else
		warm_file_free(f);
	return rc;
}

char *
warm_file_index(const char *path)
{
	char *index = access(path, F_OK) != 0 ? xasprintf("%s.index.json",
	    path) : NULL;

	if (index != NULL && access(index, F_OK) == 0)
		return index;
	free(index);
	return NULL;
}

/* A file of ours; of a checkpoint in shards, whose index it is, all of them. */
static enum rk_err
open_ours(const char *path, struct tensor_set **out, struct rk_why *why)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	struct ckpt_info info;

	if (strcmp(name, CKPT_INDEX_FILE) != 0 ||
	    !held_out_beside(path, &info))
		return format_load(path, out, why);
	char *folder = slash != NULL ? xstrndup(path, (size_t)(slash - path)) :
	    xstrdup(".");
	const enum rk_err rc = ckpt_load_model(folder, &info, out, why);
	free(folder);
	ckpt_info_fini(&info);
	return rc;
}

enum rk_err
warm_file_open(const char *path, bool ours, bool average,
    struct warm_file **out, struct rk_why *why)
{
	struct warm_file *f = xcalloc(1, sizeof(*f));
	enum rk_err rc = ours ? open_ours(path, &f->set, why) :
	    inspect_open(path, NULL, &f->weights, why);

	*out = NULL;
	f->own_set = f->set != NULL;
	if (rc == RK_OK && f->weights != NULL)
		rc = want_model(f->weights, why);
	if (rc == RK_OK && average && (f->weights == NULL ||
	    !has_role(f->weights, WEIGHTS_AVERAGE)))
		rc = rk_refuse(why, "has no moving average beside its model, "
		    "and training.warm_start.ema is true");
	if (rc != RK_OK) {
		warm_file_free(f);
		return rc;
	}
	if (f->set != NULL)
		list_set(f);
	else
		list_weights(f, average ? WEIGHTS_AVERAGE : WEIGHTS_MODEL);
	*out = f;
	return RK_OK;
}

void
warm_file_free(struct warm_file *f)
{
	if (f == NULL)
		return;
	if (f->state != f->weights)
		weights_free(f->state);
	tensor_set_free(f->state_set);
	weights_free(f->weights);
	if (f->own_set)
		tensor_set_free(f->set);
	free(f->v);
	free(f->at);
	free(f);
}

enum rk_err
warm_file_read(const struct warm_file *f, size_t i, float *dst,
    struct rk_why *why)
{
	if (f->set != NULL)
		return tensor_to_f32(&f->set->v[f->at[i]], dst);
	const struct weights_tensor *t = &f->weights->v[f->at[i]];

	return weights_read_f32(t, 0, (size_t)t->count, dst, why);
}

/* --- the optimizer: where it is ------------------------------------------- */

/* The path with another name in its folder, or another end of its name. */
static char *
beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return xasprintf("%.*s%s", slash != NULL ? (int)(slash + 1 - path) : 0,
	    path, name);
}

static char *
stem_with(const char *path, const char *end)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	const size_t n = dot != NULL && (slash == NULL || dot > slash) ?
	    (size_t)(dot - path) : strlen(path);

	return xasprintf("%.*s%s", (int)n, path, end);
}

/* As a checkpoint of ours has it, which the model of a stranger's safetensors
 * file may come from, too. */
static bool
open_state_beside(struct warm_file *f, const char *path, const char *state,
    char **reason)
{
	char *at = state != NULL ? xstrdup(state) :
	    beside(path, CKPT_OPTIM_FILE);
	struct rk_why why = {0};

	const bool ok = (f->set != NULL ? format_load(at, &f->state_set,
	    &why) : inspect_open(at, NULL, &f->state, &why)) == RK_OK;
	f->state_by_name = ok;
	if (!ok)
		*reason = xasprintf("%s: %s", at, rk_why_first(&why));
	rk_why_fini(&why);
	free(at);
	return ok;
}

/* Out of a file of its own, beside the parameters: on the disk, or in the same
 * archive. */
static bool
open_pdopt(struct warm_file *f, const struct rk_part *part, const char *state,
    char **reason)
{
	const bool member = part->member != NULL && state == NULL;
	struct rk_why why = {0};
	char *at = state != NULL ? xstrdup(state) : stem_with(member ?
	    part->member : part->bare, ".pdopt");
	char *path = member ? xasprintf("%s#member=%s", part->bare, at) :
	    xstrdup(at);

	const bool ok = inspect_open(path, NULL, &f->state, &why) == RK_OK;
	if (!ok)
		*reason = xasprintf("%s: %s", at, rk_why_first(&why));
	rk_why_fini(&why);
	free(path);
	free(at);
	return ok;
}

bool
warm_file_state(struct warm_file *f, const char *path, const char *state,
    char **reason)
{
	struct rk_part part;
	bool ok = false;

	*reason = NULL;
	if (f->set != NULL || f->weights->format == WEIGHTS_SAFETENSORS)
		return open_state_beside(f, path, state, reason);
	if (has_role(f->weights, WEIGHTS_OPTIMIZER)) {
		f->state = f->weights;
		return true;
	}
	if (f->framework != WARM_PADDLE) {
		*reason = xstrdup("the file has no state of an optimizer");
	} else if (rk_part_parse(&part, path, NULL) == RK_OK) {
		ok = open_pdopt(f, &part, state, reason);
		rk_part_fini(&part);
	}
	return ok;
}

/* --- the optimizer: its parts --------------------------------------------- */

static bool
is_statistic(const char *name)
{
	static const char *const words[] = { "running_mean", "running_var",
		"num_batches_tracked", "_mean", "_variance" };
	const char *dot = strrchr(name, '.');

	for (size_t k = 0; k < RK_ARRAY_LEN(words); k++)
		if (strcmp(dot != NULL ? dot + 1 : name, words[k]) == 0)
			return true;
	return false;
}

/* How the state calls tensor i: Paddle by its parameter's name, PyTorch by its
 * number among the parameters. */
static bool
owner_of(const struct warm_file *f, size_t i, char *out, size_t size)
{
	const struct weights_tensor *t = &f->weights->v[f->at[i]];
	size_t k = 0;

	if (f->framework == WARM_PADDLE) {
		snprintf(out, size, "%s", t->alias != NULL ? t->alias :
		    t->name);
		return true;
	}
	for (size_t j = 0; j < i; j++)
		k += !is_statistic(f->v[j].name) && f->v[j].same_as < 0;
	snprintf(out, size, "%zu", k);
	return !is_statistic(f->v[i].name) && f->v[i].same_as < 0;
}

static const struct weights_tensor *
find_state(const struct warm_file *f, size_t i, const char *slot)
{
	char owner[TENSOR_NAME_MAX + 1];

	if (!owner_of(f, i, owner, sizeof(owner)))
		return NULL;
	for (size_t j = 0; j < f->state->n; j++) {
		const struct weights_tensor *t = &f->state->v[j];
		if (t->role == WEIGHTS_OPTIMIZER && t->of != NULL &&
		    t->slot != NULL && strcmp(t->of, owner) == 0 &&
		    strcmp(t->slot, slot) == 0)
			return t;
	}
	return NULL;
}

static bool
is_of_shape(int ndim, const int64_t *d, const struct warm_tensor *w)
{
	return ndim == w->ndim && memcmp(d, w->d, (size_t)ndim * sizeof(*d)) ==
	    0;
}

static bool
slot_read(const struct warm_file *f, size_t i, const struct weights_tensor *t,
    float *dst, size_t count)
{
	return t != NULL && t->count == count &&
	    is_of_shape(t->ndim, t->d, &f->v[i]) &&
	    (dst == NULL || weights_read_f32(t, 0, count, dst, NULL) == RK_OK);
}

/* As a checkpoint of ours calls it. */
static bool
slot_by_name(const struct warm_file *f, size_t i, const char *slot, float *dst,
    size_t count)
{
	char *name = xasprintf("%s.%s", f->v[i].name, slot);
	const struct tensor *s = f->state_set != NULL ?
	    tensor_find(f->state_set, name) : NULL;
	const struct weights_tensor *t = f->state != NULL ?
	    weights_find(f->state, WEIGHTS_MODEL, name) : NULL;

	free(name);
	if (s != NULL)
		return tensor_count(s) == count &&
		    is_of_shape(s->ndim, s->d, &f->v[i]) &&
		    (dst == NULL || tensor_to_f32(s, dst) == RK_OK);
	return slot_read(f, i, t, dst, count);
}

bool
warm_file_slot(const struct warm_file *f, size_t i, const char *slot,
    float *dst, size_t count)
{
	const char *theirs = slot;

	if (f->state_by_name)
		return slot_by_name(f, i, slot, dst, count);
	if (f->framework == WARM_PADDLE)
		theirs = warm_paddle_slot(slot);
	if (theirs == NULL)
		return false;
	return slot_read(f, i, find_state(f, i, theirs), dst, count);
}

/* --- the optimizer: its steps --------------------------------------------- */

static bool
count_of(double steps, int64_t *out, const char **reason)
{
	*reason = "its count of steps is no number of steps";
	if (!(steps >= 0 && steps < 9e15))
		return false;
	*out = (int64_t)steps;
	return true;
}

bool
warm_file_updates(const struct warm_file *f, size_t i, double beta2,
    int64_t *updates, const char **reason)
{
	const struct weights_tensor *t;
	char owner[TENSOR_NAME_MAX + 1];
	double steps;
	float power;

	*reason = "its count of steps is not told";
	if (f->state_by_name)
		return false;           /* checkpoint.json has it */
	if (f->framework == WARM_PADDLE) {
		t = find_state(f, i, "beta2_pow_acc");
		return t != NULL && t->count == 1 && weights_read_f32(t, 0, 1,
		    &power, NULL) == RK_OK && warm_adam_step(beta2,
		    (double)power, updates, reason);
	}
	if (!owner_of(f, i, owner, sizeof(owner)) ||
	    f->state->optimizer == NULL)
		return false;
	char *path = xasprintf("%s.state.%s.step", f->state->optimizer, owner);
	const bool ok = weights_number(f->state, path, &steps) &&
	    count_of(steps, updates, reason);
	free(path);
	return ok;
}

int64_t
warm_file_step(const struct warm_file *f)
{
	static const char *const paths[] = { "LR_Scheduler.last_epoch",
		"scheduler.last_epoch", "lr_scheduler.last_epoch" };
	double x;

	for (size_t k = 0; f->state != NULL && k < RK_ARRAY_LEN(paths); k++)
		if (weights_number(f->state, paths[k], &x) && x >= 0 &&
		    x < 9e15)
			return (int64_t)x;
	return -1;
}
