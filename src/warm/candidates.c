/* A file of candidates for a warm start: see warm_suggest.h. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/warm_suggest.h"

#define ID_MAX       256        /* bytes */
#define PATH_LONGEST 4096
#define WRITER_MAX   128
#define ELEMENTS_MAX ((int64_t)1 << 48)         /* of one tensor */

/* --- lists of tensors ----------------------------------------------------- */

static bool
read_shape(struct warm_tensor *t, const json_t *shape)
{
	int64_t left = ELEMENTS_MAX;
	const json_t *v;
	size_t i;

	if (!json_is_array(shape) || json_array_size(shape) > TENSOR_MAX_DIMS)
		return false;
	t->ndim = (int)json_array_size(shape);
	json_array_foreach(shape, i, v) {
		const json_int_t d = json_integer_value(v);
		if (!json_is_integer(v) || d < 0 || d > left)
			return false;
		left /= RK_MAX(d, 1);
		t->d[i] = d;
	}
	return true;
}

/* at: "tensors[3]", for a sentence. */
static enum rk_err
read_tensor(struct warm_tensor *t, const json_t *v, size_t i,
    struct rk_why *why)
{
	const json_t *name = json_object_get(v, "name");
	const char *type = json_string_value(json_object_get(v, "dtype"));
	const size_t len = json_string_length(name);

	*t = (struct warm_tensor){ .name = json_string_value(name),
		.same_as = -1 };
	if (t->name == NULL || len == 0 || len > TENSOR_NAME_MAX)
		return rk_refuse(why, "tensors[%zu] has no name of 1 to %d "
		    "bytes", i, TENSOR_NAME_MAX);
	if (type == NULL || !dtype_from_name(type, strlen(type), &t->dtype))
		return rk_refuse(why, "tensors[%zu] (%.80s) has the dtype "
		    "\"%.20s\", want one of safetensors", i, t->name,
		    type != NULL ? type : "");
	if (!read_shape(t, json_object_get(v, "shape")))
		return rk_refuse(why, "tensors[%zu] (%.80s) has no shape of at "
		    "most %d dimensions", i, t->name, TENSOR_MAX_DIMS);
	return RK_OK;
}

static int
by_name(const void *a, const void *b)
{
	const struct warm_tensor *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static enum rk_err
refuse_twice(const struct warm_list *l, struct rk_why *why)
{
	const struct warm_tensor **s = xcalloc(l->n + 1, sizeof(*s));
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < l->n; i++)
		s[i] = &l->v[i];
	qsort(s, l->n, sizeof(*s), by_name);
	for (size_t i = 1; i < l->n && rc == RK_OK; i++)
		if (strcmp(s[i]->name, s[i - 1]->name) == 0)
			rc = rk_refuse(why, "tensors has %.80s twice",
			    s[i]->name);
	free(s);
	return rc;
}

static enum warm_framework
framework_of(const json_t *v)
{
	const char *word = json_string_value(json_object_get(v, "framework"));

	for (int k = 0; word != NULL && warm_framework_words[k] != NULL; k++)
		if (strcmp(warm_framework_words[k], word) == 0)
			return (enum warm_framework)k;
	return WARM_UNKNOWN;
}

enum rk_err
warm_list_read(const json_t *v, struct warm_list *out, struct rk_why *why)
{
	const json_t *list = json_object_get(v, "tensors"), *t;
	const size_t n = json_array_size(list);
	enum rk_err rc = RK_OK;
	size_t i;

	*out = (struct warm_list){0};
	if (!json_is_array(list) || n > WARM_LIST_TENSORS)
		return rk_refuse(why, "has no list `tensors` of at most %d",
		    WARM_LIST_TENSORS);
	out->tree = json_incref((json_t *)(uintptr_t)v);
	out->v = xcalloc(n + 1, sizeof(*out->v));
	out->framework = framework_of(v);
	out->writer = json_string_value(json_object_get(v, "writer"));
	json_array_foreach(list, i, t) {
		const char *role = json_string_value(json_object_get(t,
		    "role"));
		if (role != NULL && strcmp(role, "model") != 0)
			continue;
		rc = read_tensor(&out->v[out->n], t, i, why);
		if (rc != RK_OK)
			break;
		out->n++;
	}
	if (rc == RK_OK)
		rc = refuse_twice(out, why);
	if (rc != RK_OK)
		warm_list_fini(out);
	return rc;
}

void
warm_list_fini(struct warm_list *l)
{
	free(l->v);
	json_decref(l->tree);
	*l = (struct warm_list){0};
}

/* --- the file ------------------------------------------------------------- */

/* A text of 1 to max bytes, or NULL. */
static const char *
text_of(const json_t *v, const char *key, size_t max)
{
	const json_t *s = json_object_get(v, key);
	const size_t n = json_string_length(s);

	return n > 0 && n <= max ? json_string_value(s) : NULL;
}

static bool
are_names(const json_t *list)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > SPEC_MAX_CLASSES)
		return false;
	json_array_foreach(list, i, v)
		if (!json_is_string(v) || json_string_length(v) >
		    SPEC_MAX_CLASS_NAME)
			return false;
	return true;
}

static enum rk_err
read_candidate(struct warm_candidate *c, const json_t *v, size_t i,
    const json_t *lists, struct rk_why *why)
{
	const json_t *number = json_object_get(v, "classes");

	*c = (struct warm_candidate){
		.id = text_of(v, "id", ID_MAX),
		.description = json_is_array(json_object_get(v, "tensors")) ?
		    v : NULL,
		.file = text_of(v, "file", PATH_LONGEST),
		.checkpoints = text_of(v, "checkpoints", PATH_LONGEST),
		.writer = text_of(v, "writer", WRITER_MAX),
		.framework = framework_of(v),
	};
	if (c->id == NULL)
		return rk_refuse(why, "candidates[%zu] has no id of 1 to %d "
		    "bytes", i, ID_MAX);
	if ((c->description != NULL) + (c->file != NULL) +
	    (c->checkpoints != NULL) != 1)
		return rk_refuse(why, "candidates[%zu] (%.80s) has not one of "
		    "tensors, file and checkpoints", i, c->id);
	if (number == NULL || json_is_null(number))
		return RK_OK;
	c->classes = json_is_integer(number) && json_integer_value(number) >=
	    0 ? json_array_get(lists, (size_t)json_integer_value(number)) :
	    NULL;
	if (c->classes == NULL)
		return rk_refuse(why, "candidates[%zu] (%.80s) has for classes "
		    "no number of one of the %zu lists", i, c->id,
		    json_array_size(lists));
	return RK_OK;
}

static enum rk_err
read_all(struct warm_candidates *out, struct rk_why *why)
{
	const json_t *list = json_object_get(out->tree, "candidates"), *v;
	const json_t *names = json_object_get(out->tree, "classes");
	enum rk_err rc = RK_OK;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) >
	    WARM_CANDIDATES_MAX)
		return rk_refuse(why, "has no list `candidates` of at most %d",
		    WARM_CANDIDATES_MAX);
	json_array_foreach(names, i, v)
		if (!are_names(v))
			return rk_refuse(why, "classes[%zu] is no list of at "
			    "most %d names", i, SPEC_MAX_CLASSES);
	out->v = xcalloc(json_array_size(list) + 1, sizeof(*out->v));
	json_array_foreach(list, i, v) {
		rc = read_candidate(&out->v[i], v, i, names, why);
		if (rc != RK_OK)
			break;
		out->n++;
	}
	return rc;
}

enum rk_err
warm_candidates_parse(const char *text, size_t len,
    struct warm_candidates *out, struct rk_why *why)
{
	*out = (struct warm_candidates){0};
	enum rk_err rc = rkj_parse_json(text, len, &out->tree, why);

	if (rc == RK_OK)
		rc = read_all(out, why);
	if (rc != RK_OK)
		warm_candidates_fini(out);
	return rc;
}

void
warm_candidates_fini(struct warm_candidates *c)
{
	free(c->v);
	json_decref(c->tree);
	*c = (struct warm_candidates){0};
}
