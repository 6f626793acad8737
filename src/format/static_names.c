/*
 * What the tensors of a .pdiparams are called.  Its records are in the order of
 * their variables' names, and the names are in files beside it:
 *
 *	NAME.pdmodel          the program, a ProgramDesc: names, types, shapes
 *	NAME.json             the same of Paddle 3: {"program": {"regions":
 *	                      [{"blocks": [{"ops": [{"#": "p", "A": [0, 1, 1,
 *	                      "linear_0.w_0"], "O": {"TT": {"D": [{}, [3, 2]]}}
 *	NAME.pdiparams.info   a pickle, {'linear_0.w_0': {'structured_name':
 *	                      'fc.weight', ...}, ...}
 *
 * Names fit where there are as many as records, and of a program where types
 * and shapes are the same too.
 */
#include <stdlib.h>
#include <string.h>

#include "paddle.h"
#include "proto.h"
#include "rekindle/json.h"
#include "static.h"

#define SUFFIX ".pdiparams"

/* Kinds of variables that are not saved (VarType.Type). */
enum { VAR_FEED = 9, VAR_FETCH = 10, VAR_RAW = 17 };

struct variable {
	const char *name;
	bool has_type, has_shape;
	enum dtype dtype;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
};

struct variables {
	struct weights *w;
	struct variable *v;
	size_t n;
};

/* The name of a file beside this one, which the caller frees; NULL: ours has no
 * name.  behind: NAME.pdiparams.info of NAME.pdiparams, else NAME.info. */
static char *
beside(const struct weights *w, const char *suffix, bool behind)
{
	const struct weights_inside *in = w->inside;
	const char *path = in->how != NULL && in->how->member != NULL ?
	    in->how->member : in->path;

	if (path == NULL)
		return NULL;
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t n = strlen(name);
	const size_t end = strlen(SUFFIX);
	if (n > end && strcmp(name + n - end, SUFFIX) == 0 && !behind)
		n -= end;
	return xasprintf("%.*s%s", (int)n, name, suffix);
}

/* A file beside; false: there is none. */
static bool
map_beside(struct weights *w, const char *suffix, bool behind,
    const uint8_t **p, size_t *n)
{
	struct rk_why none = {0};
	char *name = beside(w, suffix, behind);

	if (name == NULL)
		return false;
	enum rk_err rc = weights_map_beside(w, name, p, n, &none);
	rk_why_fini(&none);
	free(name);
	return rc == RK_OK;
}

/* --- the program -------------------------------------------------------------- */

static void
read_shape(struct proto m, struct variable *v)
{
	struct proto_field f;

	while (proto_next(&m, &f)) {
		if (f.number == 1 && !f.is_bytes)
			v->has_type = paddle_type_numbered(f.v, &v->dtype);
		else if (f.number == 2 && !f.is_bytes &&
		    v->ndim < TENSOR_MAX_DIMS)
			v->d[v->ndim++] = (int64_t)f.v;
	}
}

/* VarType: type 1; lod_tensor 3 {tensor 1 {data_type 1, dims 2}}. */
static void
read_type(struct proto m, struct variable *v, uint64_t *kind)
{
	struct proto_field f, t;

	while (proto_next(&m, &f)) {
		if (f.number == 1)
			*kind = f.v;
		if (f.number != 3 || !f.is_bytes)
			continue;
		struct proto lod = proto_inside(&f);
		while (proto_next(&lod, &t))
			if (t.number == 1 && t.is_bytes) {
				v->has_shape = true;
				read_shape(proto_inside(&t), v);
			}
	}
}

static bool
add_variable(struct variables *s, const struct variable *v)
{
	if (v->name == NULL || !arena_grow(&s->w->inside->arena, &s->v, s->n,
	    sizeof(*s->v)))
		return false;
	s->v[s->n++] = *v;
	return true;
}

/* VarDesc: name 1, type 2, persistable 3. */
static enum rk_err
read_variable(struct variables *s, struct proto m, struct rk_why *why)
{
	struct variable v = { 0 };
	const uint8_t *name = NULL;
	uint64_t kind = 0, stays = 0;
	size_t len = 0;
	struct proto_field f;

	while (proto_next(&m, &f)) {
		if (f.number == 1 && f.is_bytes) {
			name = f.p;
			len = f.n;
		} else if (f.number == 2 && f.is_bytes) {
			read_type(proto_inside(&f), &v, &kind);
		} else if (f.number == 3) {
			stays = f.v;
		}
	}
	if (!stays || name == NULL || kind == VAR_FEED || kind == VAR_FETCH ||
	    kind == VAR_RAW)
		return RK_OK;
	v.name = weights_text(s->w, name, len);
	return add_variable(s, &v) ? RK_OK : arena_full(why);
}

/* ProgramDesc: blocks 1 {vars 3}; what is saved is in the first block. */
static enum rk_err
read_program(struct variables *s, const uint8_t *p, size_t n,
    struct rk_why *why)
{
	struct proto m = { p, p + n, false };
	struct proto_field f, g;

	while (proto_next(&m, &f)) {
		if (f.number != 1 || !f.is_bytes)
			continue;
		struct proto block = proto_inside(&f);
		while (proto_next(&block, &g)) {
			if (g.number != 3 || !g.is_bytes)
				continue;
			enum rk_err rc = read_variable(s, proto_inside(&g),
			    why);
			if (rc != RK_OK)
				return rc;
		}
		break;
	}
	return RK_OK;
}

/* The item of a list, or of an object by its key; NULL. */
static const json_t *
inside(const json_t *j, size_t i, const char *key)
{
	return key != NULL ? json_object_get(j, key) : json_array_get(j, i);
}

/* An operation "p": a parameter. */
static bool
add_operation(struct variables *s, const json_t *op)
{
	const char *kind = json_string_value(json_object_get(op, "#"));
	const char *name = json_string_value(inside(json_object_get(op, "A"),
	    3, NULL));
	const json_t *type = inside(json_object_get(op, "O"), 0, "TT");
	const json_t *shape = inside(inside(type, 0, "D"), 1, NULL);
	struct variable v = { .has_shape = json_is_array(shape) };
	const json_t *d;
	size_t i;

	if (kind == NULL || strcmp(kind, "p") != 0 || name == NULL)
		return true;
	json_array_foreach(shape, i, d)
		if (i < TENSOR_MAX_DIMS)
			v.d[v.ndim++] = json_integer_value(d);
	v.name = weights_text(s->w, name, strlen(name));
	return add_variable(s, &v);
}

static enum rk_err
read_pir(struct variables *s, const uint8_t *p, size_t n, struct rk_why *why)
{
	struct rk_why none = {0};
	json_t *root = NULL, *op;
	bool fits = true;
	size_t i;

	if (rkj_parse_json((const char *)p, n, &root, &none) == RK_OK) {
		const json_t *program = inside(root, 0, "program");
		const json_t *region = inside(inside(program, 0, "regions"), 0,
		    NULL);
		const json_t *block = inside(inside(region, 0, "blocks"), 0,
		    NULL);
		json_array_foreach(inside(block, 0, "ops"), i, op)
			fits = fits && add_operation(s, op);
	}
	json_decref(root);
	rk_why_fini(&none);
	return fits ? RK_OK : arena_full(why);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct variable *)a)->name,
	    ((const struct variable *)b)->name);
}

/* Are these the records' variables, in their order? */
static bool
fits(struct variables *s, const struct static_record *r, size_t n)
{
	if (s->n != n || n == 0)
		return false;
	qsort(s->v, s->n, sizeof(*s->v), by_name);
	for (size_t i = 0; i < n; i++) {
		const struct variable *v = &s->v[i];
		if (i > 0 && strcmp(v->name, v[-1].name) == 0)
			return false;
		if (v->has_type && v->dtype != r[i].dtype)
			return false;
		if (v->has_shape && (v->ndim != r[i].ndim || memcmp(v->d,
		    r[i].d, (size_t)v->ndim * sizeof(v->d[0])) != 0))
			return false;
	}
	return true;
}

/* --- .info -------------------------------------------------------------------- */

/* The dict of the pickle, or NULL: it is no such file. */
static const struct pickle_seq *
read_info(struct weights *w, const uint8_t *p, size_t n)
{
	struct rk_why none = {0};
	struct pickle *k = arena_get(&w->inside->arena, sizeof(*k));

	if (k == NULL || !pickle_looks_like(p, n))
		return NULL;
	*k = (struct pickle){ .arena = &w->inside->arena,
	    .who = PICKLE_PADDLE, .p = p, .n = n };
	enum rk_err rc = pickle_read(k, &none);
	rk_why_fini(&none);
	return rc == RK_OK && k->value.kind == PK_DICT ? k->value.seq : NULL;
}

static const char *
text_of(struct weights *w, const struct pickle_value *v)
{
	return v != NULL && pickle_is_text(v) ? weights_text(w, v->p, v->n) :
	    NULL;
}

static enum rk_err
info_variables(struct variables *s, const struct pickle_seq *info,
    struct rk_why *why)
{
	for (uint64_t i = 0; i < info->n; i += 2) {
		struct variable v = { .name = text_of(s->w, &info->v[i]) };
		if (v.name == NULL)
			continue;
		if (!add_variable(s, &v))
			return arena_full(why);
	}
	return RK_OK;
}

static int
by_variable(const void *a, const void *b)
{
	return strcmp(((const struct static_name *)a)->variable,
	    ((const struct static_name *)b)->variable);
}

/* The structured names, for the variables that have one. */
static void
add_structured(struct weights *w, const struct pickle_seq *info,
    struct static_name *v, size_t n)
{
	for (uint64_t i = 0; i < info->n; i += 2) {
		const struct static_name key = { .variable =
		    text_of(w, &info->v[i]) };
		if (key.variable == NULL || info->v[i + 1].kind != PK_DICT)
			continue;
		struct static_name *at = bsearch(&key, v, n, sizeof(*v),
		    by_variable);
		if (at != NULL)
			at->structured = text_of(w, pickle_get(&info->v[i + 1],
			    "structured_name"));
	}
}

/* --- both --------------------------------------------------------------------- */

static enum rk_err
make_names(struct variables *s, const struct pickle_seq *info,
    const struct static_name **out, struct rk_why *why)
{
	struct static_name *v = arena_array(&s->w->inside->arena, s->n,
	    sizeof(*v));

	if (v == NULL)
		return arena_full(why);
	for (size_t i = 0; i < s->n; i++)
		v[i] = (struct static_name){ .variable = s->v[i].name };
	if (info != NULL)
		add_structured(s->w, info, v, s->n);
	*out = v;
	return RK_OK;
}

enum rk_err
static_names(struct weights *w, const struct static_record *r, size_t n,
    const struct static_name **out, struct rk_why *why)
{
	const struct pickle_seq *info = NULL;
	struct variables s = { .w = w };
	const uint8_t *p;
	enum rk_err rc = RK_OK;
	bool seen = false, found = false;
	size_t size;

	*out = NULL;
	if (map_beside(w, ".info", true, &p, &size)) {
		info = read_info(w, p, size);
		seen = true;
	}
	if (map_beside(w, ".pdmodel", false, &p, &size)) {
		rc = read_program(&s, p, size, why);
		found = rc == RK_OK && fits(&s, r, n);
		seen = true;
	}
	if (rc == RK_OK && !found && map_beside(w, ".json", false, &p,
	    &size)) {
		s = (struct variables){ .w = w };
		rc = read_pir(&s, p, size, why);
		found = rc == RK_OK && fits(&s, r, n);
		seen = true;
	}
	if (rc == RK_OK && !found && info != NULL) {
		s = (struct variables){ .w = w };
		rc = info_variables(&s, info, why);
		found = rc == RK_OK && fits(&s, r, n);
	}
	if (rc == RK_OK && found)
		return make_names(&s, info, out, why);
	if (rc == RK_OK)
		weights_note(w, "%s, so its tensors are numbered", seen ?
		    "the files beside it do not name its tensors" :
		    "it has no names, and none of .pdmodel, "
		    ".json and .pdiparams.info is beside it");
	return rc;
}
