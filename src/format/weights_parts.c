/*
 * Which of the objects in a file is the model, which the average, which the
 * optimiser's state: the rule of format_weights.h.
 */
#include <string.h>

#include "weights_walk.h"

/* What the model is called, the likeliest first. */
static const char *const model_words[] = {
	"state_dict", "model_state_dict", "model_state", "model", "network",
	"net", "module", "weights", "params", "parameters",
};

/* What wrappers of PyTorch put in front of each name. */
static const char *const wrappers[] = { "module.", "_orig_mod." };

struct parts {
	struct weights *w;
	struct weights_tree *tree;
	struct weights_node *model, *average, *optimizer;
	bool all;                       /* the model is all that is nothing
					   else */
	struct rk_why *why;
};

/* --- what a node is ------------------------------------------------------- */

/* Is a in b, or b itself? */
static bool
is_in(const struct weights_node *a, const struct weights_node *b)
{
	for (; a != NULL; a = a->parent)
		if (a == b)
			return true;
	return false;
}

/* PyTorch's Optimizer.state_dict(). */
static bool
is_state(const struct weights_node *n)
{
	const struct pickle_value *s = pickle_get(n->v, "state");
	const struct pickle_value *g = pickle_get(n->v, "param_groups");

	return s != NULL && s->kind == PK_DICT && g != NULL &&
	    (g->kind == PK_LIST || g->kind == PK_TUPLE);
}

static bool
has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool
has_suffix(const char *s, const char *suffix)
{
	const size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

static bool
named_optimizer(const struct weights_node *n)
{
	return n->all > 0 && (has_prefix(n->key, "optim") ||
	    has_suffix(n->key, "_optimizer") || strcmp(n->key, "opt") == 0);
}

static bool
named_average(const struct weights_node *n)
{
	return n->all > 0 && (strcmp(n->key, "ema") == 0 ||
	    has_prefix(n->key, "ema_") || has_suffix(n->key, "_ema") ||
	    strcmp(n->key, "averaged_model") == 0);
}

/* Roles go down from a node to what is in it: parents come first. */
static void
inherit(struct parts *p)
{
	for (size_t i = 1; i < p->tree->n; i++) {
		struct weights_node *n = p->tree->nodes[i];
		if (n->parent->role != WEIGHTS_MODEL)
			n->role = n->parent->role;
	}
}

/* Until the end WEIGHTS_MODEL says that nothing is known of a node. */
static void
mark(struct parts *p, bool (*is)(const struct weights_node *n),
    enum weights_role role)
{
	for (size_t i = 0; i < p->tree->n; i++) {
		struct weights_node *n = p->tree->nodes[i];
		if (n->role == WEIGHTS_MODEL && is(n))
			n->role = role;
	}
	inherit(p);
}

/* Children come behind their parents. */
static void
count_up(struct parts *p)
{
	for (size_t i = 0; i < p->tree->n; i++) {
		struct weights_node *n = p->tree->nodes[i];
		n->open = n->role == WEIGHTS_MODEL ? n->tensors : 0;
		n->has_state = n->role == WEIGHTS_OPTIMIZER;
	}
	for (size_t i = p->tree->n; i-- > 1;) {
		struct weights_node *n = p->tree->nodes[i];
		n->parent->open += n->open;
		n->parent->has_state |= n->has_state;
	}
}

/* By the form; by the name where what is called so has nothing of the form. */
static void
mark_optimizers(struct parts *p, bool all)
{
	if (all)
		p->tree->nodes[0]->role = WEIGHTS_OPTIMIZER;
	inherit(p);
	mark(p, is_state, WEIGHTS_OPTIMIZER);
	count_up(p);
	for (size_t i = 1; i < p->tree->n; i++) {
		struct weights_node *n = p->tree->nodes[i];
		if (n->role == WEIGHTS_MODEL && named_optimizer(n) &&
		    !n->has_state)
			n->role = WEIGHTS_OPTIMIZER;
	}
	inherit(p);
}

/* The first node of a role, and nearest to the root: its parent has another. */
static struct weights_node *
first_of(const struct parts *p, enum weights_role role)
{
	for (size_t i = 0; i < p->tree->n; i++)
		if (p->tree->nodes[i]->role == role)
			return p->tree->nodes[i];
	return NULL;
}

/* --- the choice ----------------------------------------------------------- */

/* The dict inside of `in` (NULL: anywhere) that is called so, nearest to the
 * root. */
static struct weights_node *
called(const struct parts *p, const char *word, const struct weights_node *in,
    enum weights_role role)
{
	struct weights_node *best = NULL;

	for (size_t i = 1; i < p->tree->n; i++) {
		struct weights_node *n = p->tree->nodes[i];
		if (n->role != role || n->v->kind != PK_DICT || n->all == 0 ||
		    strcmp(n->key, word) != 0 || (in != NULL &&
		    n->parent != in) || (role == WEIGHTS_MODEL && n->open == 0))
			continue;
		if (best == NULL || n->depth < best->depth)
			best = n;
	}
	return best;
}

/* "model" that holds a "state_dict" is that. */
static struct weights_node *
descend(const struct parts *p, struct weights_node *n)
{
	for (bool found = true; found && n->tensors == 0;) {
		found = false;
		for (size_t i = 0; !found && i < RK_ARRAY_LEN(model_words);
		    i++) {
			struct weights_node *inner = called(p, model_words[i],
			    n, n->role);
			found = inner != NULL;
			n = found ? inner : n;
		}
	}
	return n;
}

/* Dicts that hold tensors, and whose parents do not: *n of them, the last. */
static struct weights_node *
only_part(const struct parts *p, size_t *n)
{
	struct weights_node *last = NULL;

	*n = 0;
	for (size_t i = 0; i < p->tree->n; i++) {
		struct weights_node *o = p->tree->nodes[i];
		if (o->role != WEIGHTS_MODEL || o->tensors == 0)
			continue;
		if (last != NULL && is_in(o, last))
			continue;
		last = o;
		++*n;
	}
	return last;
}

static struct weights_node *
by_words(const struct parts *p)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(model_words); i++) {
		struct weights_node *n = called(p, model_words[i], NULL,
		    WEIGHTS_MODEL);
		if (n != NULL)
			return descend(p, n);
	}
	return NULL;
}

static void
choose_model(struct parts *p)
{
	size_t n;

	p->model = by_words(p);
	if (p->model != NULL)
		return;
	p->model = only_part(p, &n);
	if (n > 1) {
		p->model = p->tree->nodes[0];
		p->all = true;
	} else if (n == 0 && p->average != NULL) {
		p->model = p->average;
		p->average = NULL;
		weights_note(p->w, "the weights are the moving average \"%s\": "
		    "the file has no others", p->model->path);
	}
}

/* What the caller said: the node with this path. */
static enum rk_err
choose_said(struct parts *p, const char *path)
{
	struct strbuf b = {0};
	size_t listed = 0;

	for (size_t i = 0; i < p->tree->n; i++) {
		struct weights_node *n = p->tree->nodes[i];
		if (n->all > 0 && strcmp(n->path, path) == 0) {
			p->model = n;
			p->all = n->parent == NULL;
			if (p->average != NULL && is_in(p->average, n))
				p->average = NULL;
			sb_fini(&b);
			return RK_OK;
		}
		if (n->all > 0 && n->parent != NULL && n->depth <= 2 &&
		    n->role != WEIGHTS_OPTIMIZER && listed++ < 8)
			sb_addf(&b, "%s\"%.60s\"", b.len > 0 ? ", " : "",
			    n->path);
	}
	rk_refuse(p->why, "has no part \"%.80s\" with tensors; there is %s",
	    path, b.len > 0 ? b.s : "only the whole file");
	sb_fini(&b);
	return RK_EINVAL;
}

/* --- names and roles ------------------------------------------------------ */

/* The tensor's path behind the node's. */
static const char *
inside_of(const struct weights_tensor *t, const struct weights_node *n)
{
	return n->path[0] == '\0' ? t->path : t->path + strlen(n->path) + 1;
}

/* "0" and "exp_avg" of state.0.exp_avg. */
static void
name_state(struct parts *p, struct weights_tensor *t,
    const struct weights_node *n)
{
	for (; n != p->optimizer && n->parent != NULL; n = n->parent) {
		if (n->parent->parent != p->optimizer ||
		    strcmp(n->parent->key, "state") != 0)
			continue;
		t->of = n->key;
		t->slot = inside_of(t, n);
		return;
	}
}

static void
assign(struct parts *p, struct weights_tensor *t, const struct weights_node *n)
{
	const struct weights_node *const in[] = {
		[WEIGHTS_MODEL] = p->model, [WEIGHTS_AVERAGE] = p->average,
		[WEIGHTS_OPTIMIZER] = p->optimizer,
	};
	enum weights_role role = n->role;

	/* What was chosen is the model whatever it is called; all of it, but
	 * for what has another role inside of it. */
	if (p->model != NULL && is_in(n, p->model) &&
	    (role == WEIGHTS_MODEL || role == p->model->role))
		role = WEIGHTS_MODEL;
	else if (role == WEIGHTS_MODEL)
		role = WEIGHTS_OTHER;
	if (role == WEIGHTS_OTHER || in[role] == NULL || !is_in(n, in[role]))
		return;
	t->role = role;
	t->name = inside_of(t, in[role]);
	if (role == WEIGHTS_OPTIMIZER)
		name_state(p, t, n);
}

/* Do all names of the role begin so?  Then without it. */
static bool
strip(struct parts *p, enum weights_role role, const char *prefix)
{
	const struct weights *w = p->w;
	size_t n = 0;

	for (size_t i = p->tree->first; i < w->n; i++) {
		if (w->v[i].role != role)
			continue;
		if (!has_prefix(w->v[i].name, prefix) ||
		    w->v[i].name[strlen(prefix)] == '\0')
			return false;
		n++;
	}
	for (size_t i = p->tree->first; n > 0 && i < w->n; i++)
		if (w->v[i].role == role)
			w->v[i].name += strlen(prefix);
	return n > 0;
}

static void
strip_all(struct parts *p, enum weights_role role)
{
	struct strbuf b = {0};

	for (size_t round = 0, i = 0; round < 4 && i <
	    RK_ARRAY_LEN(wrappers);) {
		if (!strip(p, role, wrappers[i])) {
			i++;
			continue;
		}
		sb_adds(&b, wrappers[i]);
		round++;
		i = 0;
	}
	if (b.len > 0 && role == WEIGHTS_MODEL)
		weights_note(p->w, "all names began with \"%s\", as PyTorch's "
		    "wrappers make them, and are taken without", b.s);
	sb_fini(&b);
}

/* --- what is told --------------------------------------------------------- */

/* Is it, or one that it is in, what was chosen? */
static bool
is_chosen(const struct parts *p, const struct weights_node *n)
{
	return (p->model != NULL && !p->all && is_in(n, p->model)) ||
	    (p->average != NULL && is_in(n, p->average)) ||
	    (p->optimizer != NULL && is_in(n, p->optimizer));
}

/* Does what was chosen lie in it? */
static bool
has_chosen(const struct parts *p, const struct weights_node *n)
{
	return is_in(p->model, n) || is_in(p->average, n) ||
	    is_in(p->optimizer, n);
}

/* Where something else was chosen out of it, the tensors of its role alone. */
static enum rk_err
add_part(struct parts *p, const struct weights_node *n, enum weights_role role)
{
	struct weights *w = p->w;
	struct weights_part part = { .path = n->path, .role = role,
		.tensors = n->all, .count = n->count };

	if (has_chosen(p, n)) {
		part.tensors = 0;
		part.count = 0;
		for (size_t i = p->tree->first; i < w->n; i++) {
			if (w->v[i].role != role ||
			    !is_in(p->tree->of[i - p->tree->first], n))
				continue;
			part.tensors++;
			part.count += w->v[i].count;
		}
	}
	if (!arena_grow(&w->inside->arena, &w->parts, w->nparts,
	    sizeof(*w->parts)))
		return arena_full(p->why);
	w->parts[w->nparts++] = part;
	return RK_OK;
}

/* Is it listed, as a part? */
static bool
is_part(const struct parts *p, const struct weights_node *n)
{
	if (n == p->model || n == p->average || n == p->optimizer)
		return true;
	if (n->all == 0 || is_chosen(p, n))
		return false;
	/* Of another average or optimiser the outermost node. */
	if (n->role != WEIGHTS_MODEL)
		return !has_chosen(p, n) && (n->parent == NULL ||
		    n->parent->role == WEIGHTS_MODEL);
	if (n->tensors == 0)
		return false;
	for (const struct weights_node *o = n->parent; o != NULL; o = o->parent)
		if (o->tensors > 0)
			return false;
	return true;
}

static enum rk_err
list_parts(struct parts *p)
{
	enum rk_err rc = RK_OK;

	for (size_t i = 0; rc == RK_OK && i < p->tree->n; i++) {
		const struct weights_node *n = p->tree->nodes[i];
		enum weights_role role = WEIGHTS_OTHER;
		if (!is_part(p, n))
			continue;
		if (n == p->model || (p->all && n->role == WEIGHTS_MODEL))
			role = WEIGHTS_MODEL;
		else if (n == p->average || n == p->optimizer)
			role = n->role;
		rc = add_part(p, n, role);
	}
	p->w->model = p->model != NULL ? p->model->path : NULL;
	p->w->optimizer = p->optimizer != NULL ? p->optimizer->path : NULL;
	return rc;
}

/* "the weights are "state_dict"; beside it are "ema" (average) ..." */
static void
tell_parts(struct parts *p)
{
	const struct weights *w = p->w;
	struct strbuf b = {0};
	size_t others = 0;

	for (size_t i = 0; i < w->nparts; i++) {
		const struct weights_part *t = &w->parts[i];
		if (t->path == w->model || others++ >= 8)
			continue;
		sb_adds(&b, b.len > 0 ? ", " : "");
		if (t->path[0] != '\0')
			sb_addf(&b, "\"%.60s\"", t->path);
		else
			sb_adds(&b, "what no part has");
		sb_addf(&b, " (%s, %zu tensor%s)", weights_role_words[t->role],
		    t->tensors, rk_s((int64_t)t->tensors));
	}
	if (p->all && others > 0)
		weights_note(p->w, "no part of the file is called as a model "
		    "is, so all are taken, under their names: %s", b.s);
	else if (p->model != NULL && others > 0)
		weights_note(p->w, "the weights are \"%s\"; beside it %s %s",
		    p->model->path, others == 1 ? "is" : "are", b.s);
	sb_fini(&b);
	if (p->tree->strange > 0)
		weights_note(p->w, "%llu key%s that %s neither text nor a whole "
		    "number %s passed over", (unsigned long long)
		    p->tree->strange, rk_s((int64_t)p->tree->strange),
		    p->tree->strange == 1 ? "is" : "are",
		    p->tree->strange == 1 ? "is" : "are");
	if (p->tree->cut > 0)
		weights_note(p->w, "of long lists of numbers and texts only the "
		    "beginning is listed");
}

enum rk_err
weights_gather(struct weights_gather *g, const struct pickle_value *root,
    struct rk_why *why)
{
	const char *said = g->w->inside->how->part;
	struct weights_tree tree;
	struct parts p = { .w = g->w, .tree = &tree, .why = why };
	enum rk_err rc = weights_walk(g, root, &tree, why);

	g->strange = tree.strange;
	if (rc != RK_OK)
		return rc;
	mark_optimizers(&p, g->optimizer);
	mark(&p, named_average, WEIGHTS_AVERAGE);
	count_up(&p);
	p.optimizer = first_of(&p, WEIGHTS_OPTIMIZER);
	p.average = first_of(&p, WEIGHTS_AVERAGE);
	if (p.average != NULL)
		p.average = descend(&p, p.average);
	if (said != NULL)
		rc = choose_said(&p, said);
	else
		choose_model(&p);
	if (rc != RK_OK)
		return rc;
	for (size_t i = tree.first; i < g->w->n; i++)
		assign(&p, &g->w->v[i], tree.of[i - tree.first]);
	strip_all(&p, WEIGHTS_MODEL);
	strip_all(&p, WEIGHTS_AVERAGE);
	rc = list_parts(&p);
	tell_parts(&p);
	return rc;
}

enum rk_err
weights_one_part(struct weights *w, struct rk_why *why)
{
	uint64_t count = 0;

	for (size_t i = 0; i < w->n; i++)
		count += w->v[i].count;
	if (!arena_grow(&w->inside->arena, &w->parts, w->nparts,
	    sizeof(*w->parts)))
		return arena_full(why);
	w->parts[w->nparts++] = (struct weights_part){ .path = "",
	    .role = WEIGHTS_MODEL, .tensors = w->n, .count = count };
	w->model = "";
	return RK_OK;
}
