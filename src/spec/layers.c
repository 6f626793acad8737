/*
 * `model.layers`: a list of layers and of groups that are repeated, written out
 * into one list whose names and inputs are whole.
 *
 * A group {repeat: N, name: P, layers: [...]} stands for N copies, in which the
 * layer NAME is called P.0.NAME, P.1.NAME and so on.  An input that is asked
 * for inside is looked for in the copy, then in the lists around it.
 *
 * Layers are computed in the order in which they stand, so an input is a layer
 * before: a cycle cannot be written.
 */
#include <stdlib.h>
#include <string.h>

#include "form.h"

#define MEANT_FAULTS 8          /* that get a "did you mean" */
#define MEANT_AMONG  512        /* names */

struct list {
	struct spec_layer *v;
	size_t n, room;
	int depth;
	struct rk_why *why;
	const json_t *now;              /* the list that is being read */
	/* Names that have been used, sorted by a hash: see name_find(). */
	int *slot;                      /* index + 1 into v, or 0 */
	size_t nslots;
};

void
spec_layer_free(struct spec_layer *l)
{
	if (l->type < SPEC_OP_COUNT)
		sp_form_free(spec_ops[l->type].fields, &l->u);
	for (int i = 0; i < l->ninputs; i++)
		free(l->inputs[i]);
	free(l->inputs);
	free(l->name);
	free(l->path);
}

/* --- names ---------------------------------------------------------------- */

static bool
name_ok(const char *s)
{
	const size_t n = strlen(s);

	if (n < 1 || n > SPEC_NAME_MAX || s[0] == '.' || s[0] == '-')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789._-") == n;
}

/* Where a name is, or would be, among the slots. */
static size_t
name_slot(const struct list *l, const char *name)
{
	size_t at = rk_hash64(0, name, strlen(name)) % l->nslots;

	while (l->slot[at] != 0 &&
	    strcmp(l->v[l->slot[at] - 1].name, name) != 0)
		at = (at + 1) % l->nslots;
	return at;
}

/* The layer of this name, or -1. */
static int
name_find(const struct list *l, const char *name)
{
	return l->slot[name_slot(l, name)] - 1;
}

/* Names are the prefixes of tensors in a checkpoint: no two may be equal. */
static void
name_add(struct list *l, size_t i)
{
	const struct spec_layer *x = &l->v[i];
	const size_t at = name_slot(l, x->name);

	if (l->slot[at] == 0) {
		l->slot[at] = (int)i + 1;
		return;
	}
	char *path = xasprintf("%s.name", x->path);
	rk_refuse_at(l->why, path, "is \"%s\", as is that of %s: names must "
	    "differ", x->name, l->v[l->slot[at] - 1].path);
	free(path);
}

/*
 * The layer that an input means, from inside the groups of `prefix` ("a.0.b.2."
 * or ""): the innermost that has such a name.  NULL: none; else a new string.
 */
static char *
resolve(const struct list *l, const char *prefix, const char *name)
{
	size_t n = strlen(prefix);

	for (;;) {
		char *whole = xasprintf("%.*s%s", (int)n, prefix, name);
		if (name_find(l, whole) >= 0)
			return whole;
		free(whole);
		if (n == 0)
			break;
		/* Up by one part: "a.0.b.2." to "a.0.b." and further. */
		for (n--; n > 0 && prefix[n - 1] != '.'; n--)
			;
	}
	return strcmp(name, SPEC_INPUT) == 0 ? xstrdup(SPEC_INPUT) : NULL;
}

/* --- one layer ------------------------------------------------------------ */

static size_t
faults(const struct list *l)
{
	return l->why->n + l->why->more;
}

/* Is this the own name of a layer in the job's list, which is one after? */
static bool
comes_later(const struct list *l, const char *name)
{
	for (size_t i = 0; i < json_array_size(l->now); i++) {
		const char *s = json_string_value(json_object_get(
		    json_array_get(l->now, i), "name"));
		if (s != NULL && strcmp(s, name) == 0)
			return true;
	}
	return false;
}

/* A name not far before that it may be meant for, or NULL.  Comparing takes its
 * time, which a job with many faults does not get. */
static const char *
meant(const struct list *l, const char *name)
{
	const char *names[MEANT_AMONG];
	size_t n = 0;

	/* The last is the layer itself. */
	for (size_t i = l->n - 1; i > 0 && n < MEANT_AMONG; i--)
		if (l->v[i - 1].name != NULL)
			names[n++] = l->v[i - 1].name;
	return faults(l) < MEANT_FAULTS ? rkj_nearest(name, names, n) : NULL;
}

static void
refuse_input(struct list *l, const char *path, const char *name)
{
	const char *near = meant(l, name);

	if (faults(l) < MEANT_FAULTS && comes_later(l, name))
		rk_refuse_at(l->why, path, "is \"%s\", which comes later, or is "
		    "this layer: layers are computed in the order in which "
		    "they stand", name);
	else if (near != NULL)
		rk_refuse_at(l->why, path, "is \"%s\", and no layer before has "
		    "that name; did you mean \"%s\"?", name, near);
	else
		rk_refuse_at(l->why, path, "is \"%s\", and no layer before has that "
	    "name: layers are computed in the order in which they stand, and "
	    "the first input is called " SPEC_INPUT, name);
}

/* How many are given, or -1 where one of them is wrong. */
static int
read_inputs(struct list *l, struct spec_layer *x, struct rkj_obj *o,
    const char *prefix)
{
	const json_t *v = rkj_any(o, "inputs");
	char shown[SP_SHOWN];

	if (v == NULL)
		return 0;
	const bool list = json_is_array(v);
	const size_t n = list ? json_array_size(v) : 1;
	if ((!list && !json_is_string(v)) || n < 1 || n > SPEC_MAX_INPUTS) {
		rkj_fault(o, "inputs", "is %s, want a list of 1 to %d names of "
		    "layers", sp_shown(v, shown), SPEC_MAX_INPUTS);
		return -1;
	}
	x->inputs = xcalloc(n, sizeof(*x->inputs));
	for (size_t i = 0; i < n; i++) {
		const json_t *e = list ? json_array_get(v, i) : v;
		const char *name = json_string_value(e);
		char *path = xasprintf("%s.inputs[%zu]", x->path, i);
		char *to = name != NULL ? resolve(l, prefix, name) : NULL;
		if (to != NULL)
			x->inputs[x->ninputs++] = to;
		else if (name != NULL && strlen(name) <= SPEC_NAME_MAX)
			refuse_input(l, path, name);
		else
			rk_refuse_at(l->why, path, "is %s, want the name of a "
			    "layer", sp_shown(e, shown));
		free(path);
	}
	return x->ninputs == (int)n ? x->ninputs : -1;
}

/* NODE fields name layers as inputs do. */
static void
resolve_fields(struct list *l, struct spec_layer *x, const char *prefix)
{
	for (const struct spec_field *f = spec_ops[x->type].fields;
	    f->key != NULL; f++) {
		if (f->kind != SPEC_KIND_NODE)
			continue;
		char **name = (char **)(void *)((char *)&x->u + f->at);
		if (*name == NULL)
			continue;
		char *to = resolve(l, prefix, *name);
		if (to == NULL || strcmp(to, SPEC_INPUT) == 0) {
			char *path = xasprintf("%s.%s", x->path, f->key);
			rk_refuse_at(l->why, path, "is \"%s\", and no layer "
			    "before has that name", *name);
			free(path);
			free(to);
			continue;
		}
		free(*name);
		*name = to;
	}
}

/* What the rows of a table cannot say. */
static void
settle(struct spec_layer *x, struct rkj_obj *o)
{
	const bool max = x->type == SPEC_OP_max_pool2d;

	if (max || x->type == SPEC_OP_avg_pool2d) {
		const int *k = max ? x->u.max_pool2d.kernel :
		    x->u.avg_pool2d.kernel;
		const int *p = max ? x->u.max_pool2d.padding :
		    x->u.avg_pool2d.padding;
		/* A window must never lie in the padding altogether. */
		for (int i = 0; i < 2; i++) {
			if (k[i] == 0 || p[i] <= k[i] / 2)
				continue;
			rkj_fault(o, "padding", "is %d, want at most half of "
			    "the kernel's %d", p[i], k[i]);
			break;
		}
	}
	if (x->type == SPEC_OP_batch_norm && x->u.batch_norm.convention ==
	    spec_word("torch|paddle", "paddle") && rkj_any(o, "momentum") ==
	    NULL)
		x->u.batch_norm.momentum = 0.9;
}

static void
check_count(const struct spec_layer *x, struct rkj_obj *o, struct rk_why *why)
{
	const struct spec_form *f = &spec_ops[x->type];
	const int n = RK_MAX(x->ninputs, 1);

	if (n >= f->min && n <= f->max)
		return;
	if (x->ninputs > 0)
		rkj_fault(o, "inputs", "has %d name%s, and %s takes %d%s%d", n,
		    rk_s(n), f->word, f->min, f->min == f->max ? ", not " : " to ",
		    f->min == f->max ? n : f->max);
	else
		rk_refuse_at(why, x->path, "%s takes %d input%s or more: name "
		    "them in `inputs`", f->word, f->min, rk_s(f->min));
}

static struct spec_layer *
add(struct list *l)
{
	if (l->n == l->room) {
		l->room = l->room > 0 ? 2 * l->room : 64;
		l->v = xrealloc(l->v, l->room * sizeof(*l->v));
	}
	struct spec_layer *x = &l->v[l->n++];
	*x = (struct spec_layer){ .type = SPEC_OP_COUNT };
	return x;
}

static void
read_layer(struct list *l, const json_t *v, size_t number, const char *path,
    const char *prefix)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;
	char *own = NULL;
	int type = -1;
	struct spec_layer *x = add(l);

	x->path = xstrdup(path);
	sp_open_typed(&s, v, path, l->why);
	rkj_enum(o, "type", &type, spec_op_words, RKJ_REQUIRED);
	if (rkj_str(o, "name", &own, SPEC_NAME_MAX, RKJ_OPTIONAL) &&
	    !name_ok(own))
		rkj_fault(o, "name", "is not 1 to %d of [A-Za-z0-9._-], the "
		    "first no . and no -", SPEC_NAME_MAX);
	x->name = own != NULL ? xasprintf("%s%s", prefix, own) :
	    xasprintf("%s%zu", prefix, number);
	free(own);
	if (strlen(x->name) > SPEC_NAME_MAX)
		rkj_fault(o, "name", "is \"%.40s...\" with its groups', want "
		    "at most %d characters", x->name, SPEC_NAME_MAX);
	const int given = read_inputs(l, x, o, prefix);
	/* With an unknown type nothing is known of the other fields. */
	sp_form_refuse_others(spec_ops, SPEC_OP_COUNT, type < 0 ? NULL :
	    &spec_ops[type], type < 0 ? "" : spec_op_words[type], o);
	if (type >= 0) {
		x->type = (enum spec_op)type;
		spec_op_defaults(x->type, &x->u);
		sp_form_read(spec_ops[type].fields, o, &x->u);
		settle(x, o);
		resolve_fields(l, x, prefix);
		if (given >= 0)
			check_count(x, o, l->why);
	}
	sp_close(&s);
	name_add(l, l->n - 1);
}

/* --- lists and groups ----------------------------------------------------- */

static void read_list(struct list *l, const json_t *v, const char *path,
    const char *prefix);

static bool
is_group(const json_t *v)
{
	return json_is_object(v) && (json_object_get(v, "repeat") != NULL ||
	    json_object_get(v, "layers") != NULL);
}

static void
read_group(struct list *l, const json_t *v, size_t number, const char *path,
    const char *prefix)
{
	char *name = NULL, *inside = xasprintf("%s.layers", path);
	struct rkj_obj o;
	int64_t n = 1;

	rkj_open(&o, v, path, l->why);
	rkj_int(&o, "repeat", &n, 1, SPEC_MAX_LAYERS, RKJ_REQUIRED);
	if (rkj_str(&o, "name", &name, SPEC_NAME_MAX, RKJ_OPTIONAL) &&
	    !name_ok(name))
		rkj_fault(&o, "name", "is not 1 to %d of [A-Za-z0-9._-], the "
		    "first no . and no -", SPEC_NAME_MAX);
	const json_t *layers = rkj_any(&o, "layers");
	if (name == NULL)
		name = xasprintf("%zu", number);
	if (l->depth >= SPEC_MAX_NESTED)
		rk_refuse_at(l->why, path, "is a group inside %d others, at "
		    "most %d", l->depth, SPEC_MAX_NESTED);
	else if (strlen(prefix) + strlen(name) > SPEC_NAME_MAX)
		rkj_fault(&o, "name", "makes names of more than %d characters",
		    SPEC_NAME_MAX);
	else if (!o.bad) {
		/* What is wrong in one copy is wrong in all: say it once. */
		const size_t before = faults(l);
		l->depth++;
		for (int64_t i = 0; i < n && l->n <= SPEC_MAX_LAYERS &&
		    faults(l) == before; i++) {
			char *p = xasprintf("%s%s.%lld.", prefix, name,
			    (long long)i);
			read_list(l, layers, inside, p);
			free(p);
		}
		l->depth--;
	}
	rkj_close(&o);
	free(name);
	free(inside);
}

static void
read_list(struct list *l, const json_t *v, const char *path,
    const char *prefix)
{
	char shown[SP_SHOWN];

	if (!json_is_array(v)) {
		rk_refuse_at(l->why, path, "is %s, want a list of layers",
		    v != NULL ? sp_shown(v, shown) : "missing");
		return;
	}
	const size_t n = json_array_size(v);
	if (n == 0 || n > SPEC_MAX_LAYERS) {
		rk_refuse_at(l->why, path, "has %zu layers, want 1 to %d", n,
		    SPEC_MAX_LAYERS);
		return;
	}
	for (size_t i = 0; i < n && l->n <= SPEC_MAX_LAYERS; i++) {
		const json_t *e = json_array_get(v, i);
		char *at = xasprintf("%s[%zu]", path, i);
		l->now = v;
		if (is_group(e))
			read_group(l, e, i, at, prefix);
		else
			read_layer(l, e, i, at, prefix);
		free(at);
	}
}

/* --- version 1 ------------------------------------------------------------ */

/* A list that version 1 could have read: a chain of its ops. */
static bool
is_v1(const struct spec_layer *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((int)v[i].type >= SPEC_OP_V1 || v[i].ninputs > 0)
			return false;
	return true;
}

#define FLATTEN ".flatten"

/*
 * The name of a flatten that is put in before the layer `name`: with FLATTEN
 * behind it, once more for each time that the list has such a name already.  As
 * much of a name is left out as would make that too long.  A new string.
 */
static char *
flatten_name(const struct list *l, const char *name)
{
	const size_t most = SPEC_NAME_MAX - strlen(FLATTEN);
	char *s = xasprintf("%.*s" FLATTEN, (int)most, name);

	while (name_find(l, s) >= 0 && strlen(s) <= most) {
		char *longer = xasprintf("%s" FLATTEN, s);
		free(s);
		s = longer;
	}
	return s;
}

/* Was this put in by put_flattens()? */
static bool
is_put_in(const struct spec_layer *v, int i, int n)
{
	const size_t most = SPEC_NAME_MAX - strlen(FLATTEN);

	if (v[i].type != SPEC_OP_flatten || v[i].u.flatten.start != 0 ||
	    i + 1 >= n || v[i + 1].type != SPEC_OP_linear)
		return false;
	const size_t len = RK_MIN(strlen(v[i + 1].name), most);
	const char *rest = v[i].name + len;
	if (strncmp(v[i].name, v[i + 1].name, len) != 0 || *rest == '\0')
		return false;
	while (strncmp(rest, FLATTEN, strlen(FLATTEN)) == 0)
		rest += strlen(FLATTEN);
	return *rest == '\0';
}

/* Going through a list of version 1: does a flatten belong before a layer of
 * this type?  *row: only rows can come to it, and afterwards, to the next. */
static bool
wants_flatten(enum spec_op type, bool *row)
{
	const bool wants = type == SPEC_OP_linear && !*row;

	if (type == SPEC_OP_linear || type == SPEC_OP_flatten)
		*row = true;
	else if (type == SPEC_OP_conv2d || type == SPEC_OP_max_pool2d ||
	    type == SPEC_OP_avg_pool2d)
		*row = false;
	return wants;
}

/*
 * In version 1 a linear layer took an input of any shape as one row.  In a list
 * of its kind a flatten says so, before each linear layer to which not only
 * rows can come; where the input is a row already, it does nothing.
 */
static void
put_flattens(struct list *l)
{
	const size_t n = l->n;
	size_t *before = xcalloc(n, sizeof(*before)), k = 0;
	bool row = false;

	/* At the end at first, where their names are found. */
	for (size_t i = 0; i < n; i++) {
		if (wants_flatten(l->v[i].type, &row)) {
			char *name = flatten_name(l, l->v[i].name);
			struct spec_layer *flat = add(l);
			*flat = (struct spec_layer){ .type = SPEC_OP_flatten,
				.name = name, .path = xstrdup(l->v[i].path) };
			before[i] = l->n - 1;
			name_add(l, l->n - 1);
		}
	}
	struct spec_layer *v = xcalloc(l->n, sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		if (before[i] > 0)
			v[k++] = l->v[before[i]];
		v[k++] = l->v[i];
	}
	free(before);
	free(l->v);
	l->v = v;
	l->room = l->n;
}

void
spec_layers_pin(struct spec_layer *v, int n)
{
	bool row = false, wants = false;

	for (int i = 0; i < n; i++)
		wants |= wants_flatten(v[i].type, &row);
	if (!wants || !is_v1(v, (size_t)n))
		return;
	/* That of the second layer is not to be confused with a layer that is
	 * called "input". */
	const int at = n > 1 ? 1 : 0;
	v[at].inputs = xcalloc(1, sizeof(*v[at].inputs));
	v[at].inputs[0] = xstrdup(at == 1 ? v[0].name : SPEC_INPUT);
	v[at].ninputs = 1;
}

/* --- the whole ------------------------------------------------------------ */

void
sp_read_layers(struct spec_model *m, const json_t *v, struct rk_why *why)
{
	static const char path[] = "model.layers";
	struct list l = { .why = why, .nslots = 4 * SPEC_MAX_LAYERS };
	const size_t before = faults(&l);
	bool any = false;

	l.slot = xcalloc(l.nslots, sizeof(*l.slot));
	read_list(&l, v, path, "");
	if (l.n <= SPEC_MAX_LAYERS && faults(&l) == before && is_v1(l.v, l.n))
		put_flattens(&l);
	if (l.n > SPEC_MAX_LAYERS)
		rk_refuse_at(why, path, "has more than %d layers with each "
		    "repeat written out", SPEC_MAX_LAYERS);
	if (faults(&l) == before) {
		for (size_t i = 0; i < l.n; i++)
			any |= spec_op_learns[l.v[i].type];
		if (!any)
			rk_refuse_at(why, path, "has no layer with parameters "
			    "(linear, conv2d, batch_norm, ...): there is "
			    "nothing to train");
	}
	free(l.slot);
	m->layers = l.v;
	m->nlayers = (int)l.n;
}

/* --- printing ------------------------------------------------------------- */

static json_t *
layer_json(const struct spec_layer *l, bool brief)
{
	json_t *o = json_pack("{s:s, s:s}", "type", spec_op_words[l->type],
	    "name", l->name);

	must(o != NULL);
	if (l->ninputs > 0) {
		json_t *a = json_array();
		for (int i = 0; i < l->ninputs; i++)
			must(json_array_append_new(a,
			    json_string(l->inputs[i])) == 0);
		must(json_object_set_new(o, "inputs", a) == 0);
	}
	sp_form_put(spec_ops[l->type].fields, &l->u, brief, o);
	return o;
}

json_t *
spec_layers_json(const struct spec_layer *layers, int n, bool brief)
{
	const bool hide = brief && is_v1(layers, (size_t)n);
	json_t *a = json_array();

	for (int i = 0; i < n; i++)
		if (!hide || !is_put_in(layers, i, n))
			must(json_array_append_new(a, layer_json(&layers[i],
			    brief)) == 0);
	return a;
}
