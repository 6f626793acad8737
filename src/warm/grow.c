/* What grows: which rows or channels of a tensor are from where in the file. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

const char *const warm_begin_words[] = { "as in a cold start",
    "as the mean of the file's", "as zeros" };

/* --- which names ---------------------------------------------------------- */

/* What rows are called after, for people. */
const struct warm_called warm_called[] = {
	[WARM_ROWS_UNNAMED] = { "row", "rows", "" },
	[WARM_ROWS_CLASSES] = { "class", "classes",
	    "model.checkpoint_classes" },
	[WARM_ROWS_TOKENS] = { "token", "tokens",
	    "model.checkpoint_vocabulary" },
};

const struct warm_sides *
warm_sides_of(const struct warm_plan *p, const struct warm_tensor *m)
{
	return m->rows == WARM_ROWS_CLASSES ? &p->want->classes :
	    m->rows == WARM_ROWS_TOKENS ? &p->want->tokens : NULL;
}

/* What says `match: index` of this tensor: its layer. */
static char *
by_index(const struct warm_tensor *m)
{
	const char *dot = strrchr(m->name, '.');

	return xasprintf("model.grow: {%.*s: {match: index}}", dot != NULL ?
	    (int)(dot - m->name) : (int)strlen(m->name), m->name);
}

/* A name of the model that the file has twice: which is meant?  The caller's;
 * NULL: there is none. */
static char *
ambiguous(const struct warm_sides *s, const struct warm_called *k)
{
	const size_t n = (size_t)s->file.n, m = (size_t)s->model.n;
	struct warm_entry *e = warm_index(s->file.v, n);
	struct warm_entry *ours = warm_index(s->model.v, m);
	char *found = NULL;

	for (size_t i = 1; i < n && found == NULL; i++)
		if (strcmp(e[i].name, e[i - 1].name) == 0 &&
		    warm_index_find(ours, m, e[i].name) >= 0)
			found = xasprintf("is matched by name, and the file "
			    "has the %s \"%.80s\" twice, as number %zu and "
			    "%zu: want %s with names that tell them apart",
			    k->one, e[i].name, e[i - 1].is, e[i].is, k->field);
	free(ours);
	free(e);
	return found;
}

/* Can its rows be matched by name?  False: r->ungrown has why they cannot. */
static bool
has_names(struct warm_row *r, const struct warm_tensor *m,
    const struct warm_sides *s, int64_t nfile)
{
	const struct warm_called *k = &warm_called[m->rows];
	const bool whole = m->rows == WARM_ROWS_CLASSES;
	const int64_t n = m->d[0];
	char *index = by_index(m);

	if (s == NULL)
		r->ungrown = xasprintf("has %lld rows in the file and %lld in "
		    "the model, and its rows are no classes and no tokens, "
		    "which could be matched by name: want %s",
		    (long long)nfile, (long long)n, index);
	else if (s->file.n == 0)
		r->ungrown = xasprintf("is matched by name, and what the %s of "
		    "the file are called is not known: want %s, or %s",
		    k->many, k->field, index);
	else if (s->model.n == 0)
		r->ungrown = xasprintf("is matched by name, and the %s of the "
		    "job have no names: want %s", k->many, index);
	else if (whole ? s->file.n != nfile : s->file.n > nfile)
		r->ungrown = xasprintf("has %lld rows in the file, and %s "
		    "names %lld %s", (long long)nfile, k->field,
		    (long long)s->file.n, s->file.n == 1 ? k->one : k->many);
	else if (whole ? s->model.n != n : s->model.n > n)
		r->ungrown = xasprintf("has %lld rows in the model, and the "
		    "job %lld %s", (long long)n, (long long)s->model.n,
		    s->model.n == 1 ? k->one : k->many);
	free(index);
	if (r->ungrown == NULL)
		r->ungrown = ambiguous(s, k);
	return r->ungrown == NULL;
}

enum warm_said
warm_said(const struct warm_plan *p, int64_t *at)
{
	const struct warm_names *told = &p->want->told;
	const struct warm_names *said = &p->want->classes.file;
	const size_t n = (size_t)told->n;
	int64_t i = 0;
	bool all = told->n == said->n;

	if (n == 0 || said->n == 0)
		return WARM_SAID_SAME;
	while (i < RK_MIN(told->n, said->n) &&
	    strcmp(told->v[i], said->v[i]) == 0)
		i++;
	*at = i;
	if (all && i == told->n)
		return WARM_SAID_SAME;
	struct warm_entry *e = warm_index(told->v, n);
	for (i = 0; i < said->n && all; i++)
		all = warm_index_find(e, n, said->v[i]) >= 0;
	free(e);
	return all ? WARM_SAID_ORDER : WARM_SAID_OTHERS;
}

/* --- which rows ----------------------------------------------------------- */

static void
make_from(struct warm_grown *g, int64_t n, int64_t nfile)
{
	g->n = n;
	g->nfile = nfile;
	g->from = xcalloc((size_t)n + 1, sizeof(*g->from));
	for (int64_t i = 0; i < n; i++)
		g->from[i] = i < nfile ? i : -1;
	g->kept = RK_MIN(n, nfile);
}

/* Each of the model's where the file has the one of its name; what has none on
 * either side stays at its number. */
static void
match_names(struct warm_grown *g, const struct warm_sides *s)
{
	struct warm_entry *e = warm_index(s->file.v, (size_t)s->file.n);

	g->named = true;
	g->kept = 0;
	for (int64_t i = 0; i < g->n; i++) {
		if (i < s->model.n)
			g->from[i] = warm_index_find(e, (size_t)s->file.n,
			    s->model.v[i]);
		else if (i < s->file.n)
			g->from[i] = -1;
		g->kept += g->from[i] >= 0;
	}
	free(e);
}

static bool
is_identity(const struct warm_grown *g)
{
	for (int64_t i = 0; i < g->n; i++)
		if (g->from[i] != i)
			return false;
	return g->n == g->nfile;
}

/* All but the first dimension are the same. */
static bool
other_rows(const struct warm_tensor *m, const int64_t *fd)
{
	for (int i = 1; i < m->ndim; i++)
		if (m->d[i] != fd[i])
			return false;
	return m->ndim > 0;
}

/* All but the second of a convolution's. */
static bool
other_channels(const struct warm_tensor *m, const int64_t *fd)
{
	if (m->kind != WARM_CONV || m->d[1] == fd[1])
		return false;
	for (int i = 0; i < m->ndim; i++)
		if (i != 1 && m->d[i] != fd[i])
			return false;
	return true;
}

static bool
grow_rows(struct warm_plan *p, struct warm_row *r, const struct spec_grow *how,
    const int64_t *fd)
{
	const struct warm_tensor *m = &p->want->model[r->model];
	const struct warm_sides *s = warm_sides_of(p, m);
	struct warm_grown *g = &r->grown;

	/* The rows of what is no head may be anything. */
	if (how->match == SPEC_GROW_NAME && m->d[0] == fd[0] && (s == NULL ||
	    (m->rows == WARM_ROWS_TOKENS && s->file.n == 0)))
		return false;
	if (how->match == SPEC_GROW_NAME && !has_names(r, m, s, fd[0]))
		return false;
	*g = (struct warm_grown){ .way = WARM_BY_ROWS, .init = how->init };
	make_from(g, m->d[0], fd[0]);
	if (how->match == SPEC_GROW_NAME)
		match_names(g, s);
	if (!is_identity(g))
		return true;
	free(g->from);
	*g = (struct warm_grown){0};
	return false;
}

static bool
grow_channels(struct warm_plan *p, struct warm_row *r,
    const struct spec_grow *how, const int64_t *fd)
{
	const struct warm_tensor *m = &p->want->model[r->model];
	struct warm_grown *g = &r->grown;

	*g = (struct warm_grown){ .init = how->init, .n = m->d[1],
		.nfile = fd[1], .kept = fd[1] };
	if (how->match == SPEC_GROW_INDEX) {
		g->way = WARM_BY_CHANNELS;
		make_from(g, m->d[1], fd[1]);
	} else if (m->d[1] == 1) {
		g->way = WARM_SUM;
	} else if (fd[1] == 1) {
		g->way = WARM_SPREAD;
	} else {
		char *index = by_index(m);
		r->ungrown = xasprintf("has %lld input channels in the file "
		    "and %lld in the model, which have no names: want %s",
		    (long long)fd[1], (long long)m->d[1], index);
		free(index);
	}
	return r->ungrown == NULL;
}

/* Elements of a row or channel of the model. */
static int64_t
width_of(const struct warm_tensor *m, const struct warm_grown *g)
{
	return g->n > 0 ? warm_count(m) / g->n : 0;
}

static void
explain_growth(struct warm_row *r, const struct warm_tensor *m)
{
	const struct warm_grown *g = &r->grown;
	const struct warm_called *k = &warm_called[g->named ? m->rows : WARM_ROWS_UNNAMED];
	const int64_t fresh = g->n - g->kept, gone = g->nfile - g->kept;
	const bool channels = g->way == WARM_BY_CHANNELS;

	if (g->way == WARM_SUM) {
		warm_explain(r, "the sum of %lld input channels",
		    (long long)g->nfile);
		return;
	}
	if (g->way == WARM_SPREAD) {
		warm_explain(r, "each of %lld input channels has an equal part "
		    "of the file's one", (long long)g->n);
		return;
	}
	warm_explain(r, "%lld %s kept by %s", (long long)g->kept, channels ?
	    g->kept == 1 ? "channel" : "channels" : g->kept == 1 ? k->one :
	    k->many, g->named ? "name" : "number");
	if (fresh > 0)
		warm_explain(r, "%lld new, %s", (long long)fresh,
		    warm_begin_words[g->init]);
	if (gone > 0)
		warm_explain(r, "%lld dropped", (long long)gone);
}

/* The shape of the file's in our layout; false: of other dimensions. */
static bool
dims_of(const struct warm_plan *p, const struct warm_row *r, int64_t *fd)
{
	const struct warm_tensor *m = &p->want->model[r->model];
	const struct warm_tensor *f = &p->want->file[r->file];
	const bool turned = warm_is_turned(m, p->layout);

	if (m->ndim != f->ndim)
		return false;
	for (int i = 0; i < m->ndim; i++)
		fd[i] = f->d[turned ? 1 - i : i];
	return true;
}

bool
warm_grow(struct warm_plan *p, struct warm_row *r)
{
	const struct warm_tensor *m = &p->want->model[r->model];
	const struct spec_grow *how = spec_grow_of(p->want->spec, m->name);
	int64_t fd[TENSOR_MAX_DIMS] = { 0 };
	bool grows = false;

	if (how == NULL || m->buffer || !dims_of(p, r, fd))
		return false;
	if (other_rows(m, fd))
		grows = grow_rows(p, r, how, fd);
	else if (other_channels(m, fd))
		grows = grow_channels(p, r, how, fd);
	if (!grows)
		return false;
	r->steps |= 1u << WARM_GROW;
	r->action = WARM_GROW;
	r->loaded = r->grown.from == NULL ? warm_count(m) : r->grown.kept *
	    width_of(m, &r->grown);
	explain_growth(r, m);
	return true;
}

/* --- what could ------------------------------------------------------------ */

/* How many names both have. */
static int64_t
in_common(const struct warm_sides *s)
{
	struct warm_entry *e = warm_index(s->file.v, (size_t)s->file.n);
	int64_t n = 0;

	for (int64_t i = 0; i < s->model.n; i++)
		n += warm_index_find(e, (size_t)s->file.n, s->model.v[i]) >= 0;
	free(e);
	return n;
}

void
warm_add_could_grow(struct strbuf *b, const struct warm_plan *p,
    const struct warm_row *r)
{
	const struct warm_sides *s = &p->want->classes;
	int64_t fd[TENSOR_MAX_DIMS] = { 0 };

	if (r->fault != SPEC_MISMATCH || r->model < 0 || r->file < 0)
		return;
	const struct warm_tensor *m = &p->want->model[r->model];
	if (m->rows != WARM_ROWS_CLASSES || spec_grow_of(p->want->spec,
	    m->name) != NULL || !dims_of(p, r, fd) || !other_rows(m, fd) ||
	    s->model.n != m->d[0] || s->file.n != fd[0])
		return;
	const int64_t n = in_common(s);
	const char *dot = strrchr(m->name, '.');
	if (n > 0)
		sb_addf(b, "; model.grow: [%.*s] keeps the rows of %lld "
		    "class%s that both have", dot != NULL ?
		    (int)(dot - m->name) : (int)strlen(m->name), m->name,
		    (long long)n, n == 1 ? "" : "es");
}
