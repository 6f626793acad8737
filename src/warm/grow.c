/* What grows: which rows or channels of a tensor are from where in the file. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define NAMED_MAX 24            /* in a note */
#define NAME_MAX_SHOWN 80       /* bytes of one */

/* By enum spec_grow_init. */
static const char *const begin_words[] = { "as in a cold start",
    "as the mean of the file's", "as zeros" };
static const char *const way_words[] = { "rows", "channels", "sum", "spread" };

/* --- which names ---------------------------------------------------------- */

/* What rows are called after, for people. */
static const struct kind {
	const char *one, *many, *field;
} kinds[] = {
	[WARM_ROWS_UNNAMED] = { "row", "rows", "" },
	[WARM_ROWS_CLASSES] = { "class", "classes",
	    "model.checkpoint_classes" },
	[WARM_ROWS_TOKENS] = { "token", "tokens",
	    "model.checkpoint_vocabulary" },
};

static const struct warm_sides *
sides_of(const struct warm_plan *p, const struct warm_tensor *m)
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

/* Can its rows be matched by name?  False: r->ungrown has why they cannot. */
static bool
has_names(struct warm_row *r, const struct warm_tensor *m,
    const struct warm_sides *s, int64_t nfile)
{
	const struct kind *k = &kinds[m->rows];
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
		r->ungrown = xasprintf("has %lld rows in the file, and there "
		    "are names of %lld %s", (long long)nfile,
		    (long long)s->file.n, k->many);
	else if (whole ? s->model.n != n : s->model.n > n)
		r->ungrown = xasprintf("has %lld rows in the model, and the "
		    "job %lld %s", (long long)n, (long long)s->model.n,
		    k->many);
	free(index);
	return r->ungrown == NULL;
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
	const struct warm_sides *s = sides_of(p, m);
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
	const struct kind *k = &kinds[g->named ? m->rows : WARM_ROWS_UNNAMED];
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
		    begin_words[g->init]);
	if (gone > 0)
		warm_explain(r, "%lld dropped", (long long)gone);
}

bool
warm_grow(struct warm_plan *p, struct warm_row *r)
{
	const struct warm_tensor *m = &p->want->model[r->model];
	const struct warm_tensor *f = &p->want->file[r->file];
	const struct spec_grow *how = spec_grow_of(p->want->spec, m->name);
	const bool turned = warm_is_turned(m, p->layout);
	int64_t fd[TENSOR_MAX_DIMS] = { 0 };
	bool grows = false;

	if (how == NULL || m->buffer || m->ndim != f->ndim)
		return false;
	for (int i = 0; i < m->ndim; i++)
		fd[i] = f->d[turned ? 1 - i : i];
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

/* --- what is said --------------------------------------------------------- */

/* The first tensor of the kind that grows by name; NULL: none does. */
static const struct warm_row *
first_grown(const struct warm_plan *p, enum warm_rows rows)
{
	for (size_t i = 0; i < p->nmodel; i++) {
		const struct warm_row *r = &p->v[i];
		if (r->action == WARM_GROW && r->grown.named &&
		    p->want->model[r->model].rows == rows)
			return r;
	}
	return NULL;
}

/* Texts that are picked one by one, of which a sentence has the first. */
struct some {
	struct strbuf b;
	int64_t n;
};

static void
add_name(struct some *s, const char *name)
{
	if (s->n++ < NAMED_MAX)
		sb_addf(&s->b, "%s%.*s", s->n > 1 ? ", " : "",
		    (int)rk_text_fit(name, NAME_MAX_SHOWN), name);
}

static void
end_names(struct some *s)
{
	if (s->n > NAMED_MAX)
		sb_addf(&s->b, " and %lld more", (long long)(s->n -
		    NAMED_MAX));
}

/* Those of the file that no row of the model is from: [nfile], the caller's. */
static bool *
taken_of(const struct warm_grown *g)
{
	bool *v = xcalloc((size_t)g->nfile + 1, sizeof(*v));

	for (int64_t i = 0; i < g->n; i++)
		if (g->from[i] >= 0)
			v[g->from[i]] = true;
	return v;
}

static void
note_names(struct warm_plan *p, enum warm_rows rows)
{
	const struct warm_row *r = first_grown(p, rows);
	const struct warm_sides *s = r != NULL ? sides_of(p,
	    &p->want->model[r->model]) : NULL;
	struct some kept = {0}, fresh = {0}, gone = {0};

	if (r == NULL)
		return;
	bool *taken = taken_of(&r->grown);
	for (int64_t i = 0; i < s->model.n; i++)
		add_name(r->grown.from[i] >= 0 ? &kept : &fresh,
		    s->model.v[i]);
	for (int64_t i = 0; i < s->file.n; i++)
		if (!taken[i])
			add_name(&gone, s->file.v[i]);
	struct some *const all[] = { &kept, &fresh, &gone };
	static const char *const words[][2] = { { "keeps", "keep" },
		{ "begins", "begin" }, { "is", "are" } };
	const char *const rest[] = { "what the file knows",
		begin_words[r->grown.init], "dropped, which the file has and "
		"the job has not" };
	for (size_t k = 0; k < RK_ARRAY_LEN(all); k++) {
		const bool one = all[k]->n == 1;
		end_names(all[k]);
		if (all[k]->n > 0)
			warm_note(p, "%lld %s %s %s: %s",
			    (long long)all[k]->n, one ? kinds[rows].one :
			    kinds[rows].many, words[k][!one], rest[k],
			    sb_str(&all[k]->b));
		sb_fini(&all[k]->b);
	}
	free(taken);
}

/* A head that is copied, of which a class has the row that another had. */
static void
note_others_rows(struct warm_plan *p)
{
	const struct warm_sides *s = &p->want->classes;
	const struct warm_row *head = NULL;
	struct some b = {0};

	for (size_t i = 0; i < p->nmodel && head == NULL; i++)
		if (p->want->model[i].rows == WARM_ROWS_CLASSES && p->v[i].file
		    >= 0 && p->v[i].action != WARM_GROW && p->v[i].action !=
		    WARM_INIT)
			head = &p->v[i];
	if (head == NULL)
		return;
	for (int64_t i = 0; i < RK_MIN(s->model.n, s->file.n); i++) {
		if (strcmp(s->model.v[i], s->file.v[i]) == 0)
			continue;
		char *text = xasprintf("%.64s that of %.64s", s->model.v[i],
		    s->file.v[i]);
		add_name(&b, text);
		free(text);
	}
	end_names(&b);
	const char *name = warm_row_name(p, head), *dot = strrchr(name, '.');
	if (b.n > 0)
		warm_note(p, "%lld class%s %s the row of another class of the "
		    "file: %s; model.grow: [%.*s] goes by their names",
		    (long long)b.n, b.n == 1 ? "" : "es", b.n == 1 ? "begins "
		    "with" : "begin with", sb_str(&b.b), dot != NULL ?
		    (int)(dot - name) : (int)strlen(name), name);
	sb_fini(&b.b);
}

void
warm_note_growth(struct warm_plan *p)
{
	note_names(p, WARM_ROWS_CLASSES);
	note_names(p, WARM_ROWS_TOKENS);
	note_others_rows(p);
}

/* --- JSON ----------------------------------------------------------------- */

static void
append(json_t *list, const char *name)
{
	char *clean = rk_text_clean(xstrdup(name));

	if (json_array_size(list) < WARM_LISTED)
		must(json_array_append_new(list, json_string(clean)) == 0);
	free(clean);
}

json_t *
warm_classes_json(const struct warm_plan *p)
{
	const struct warm_row *r = first_grown(p, WARM_ROWS_CLASSES);
	const struct warm_sides *s = &p->want->classes;

	if (r == NULL)
		return NULL;
	json_t *kept = json_array(), *fresh = json_array();
	json_t *gone = json_array();
	bool *taken = taken_of(&r->grown);
	for (int64_t i = 0; i < s->model.n; i++)
		append(r->grown.from[i] >= 0 ? kept : fresh, s->model.v[i]);
	for (int64_t i = 0; i < s->file.n; i++)
		if (!taken[i])
			append(gone, s->file.v[i]);
	free(taken);
	json_t *o = json_pack("{s:o, s:o, s:o}", "kept", kept, "new", fresh,
	    "dropped", gone);
	must(o != NULL);
	return o;
}

json_t *
warm_grown_json(const struct warm_row *r)
{
	const struct warm_grown *g = &r->grown;
	const bool rows = g->from != NULL;
	json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "way",
	    way_words[g->way], "match",
	    spec_grow_match_words[g->named || !rows ? SPEC_GROW_NAME :
	    SPEC_GROW_INDEX], "init", spec_grow_init_words[g->init], "kept",
	    (json_int_t)g->kept, "new", (json_int_t)(rows ? g->n - g->kept :
	    0), "dropped", (json_int_t)(rows ? g->nfile - g->kept : 0));

	must(o != NULL);
	return o;
}
