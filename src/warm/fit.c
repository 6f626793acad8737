/* Which dialect a file's names are of, by how many tensors of the model find
 * one of a fitting shape. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define MOST_PREFIXES 8
#define LEAST_TOLD    4         /* names, for a file to be of a dialect */
#define TASKS         "embeddings.task_type_embeddings.weight"
#define POSITIONS     "embeddings.position_embeddings.weight"

/* --- names by their bytes ------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	const struct warm_entry *x = a, *y = b;
	const int c = strcmp(x->name, y->name);

	return c != 0 ? c : x->is < y->is ? -1 : x->is > y->is;
}

struct warm_entry *
warm_index(const char *const *names, size_t n)
{
	struct warm_entry *e = xcalloc(n + 1, sizeof(*e));

	for (size_t i = 0; i < n; i++)
		e[i] = (struct warm_entry){ names[i], i };
	qsort(e, n, sizeof(*e), by_name);
	return e;
}

int64_t
warm_index_find(const struct warm_entry *e, size_t n, const char *name)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		if (strcmp(e[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && strcmp(e[lo].name, name) == 0 ? (int64_t)e[lo].is : -1;
}

/* --- prefixes ------------------------------------------------------------- */

struct prefixes {
	char *v[MOST_PREFIXES];
	size_t n;
};

static void
keep_prefix(struct prefixes *p, const char *s, size_t len)
{
	for (size_t i = 0; i < p->n; i++)
		if (strlen(p->v[i]) == len && strncmp(p->v[i], s, len) == 0)
			return;
	if (p->n < MOST_PREFIXES)
		p->v[p->n++] = xstrndup(s, len);
}

/* "", and what names begin with: "module.", "module.backbone.". */
static void
prefixes_of(struct prefixes *p, const char *const *names, size_t n)
{
	*p = (struct prefixes){ .n = 0 };
	keep_prefix(p, "", 0);
	for (size_t i = 0; i < n && p->n < MOST_PREFIXES; i++) {
		size_t at = 0;
		for (size_t k = 0; warm_prefixes[k] != NULL;) {
			const size_t len = strlen(warm_prefixes[k]);
			if (strncmp(names[i] + at, warm_prefixes[k], len) !=
			    0 || names[i][at + len] == '\0') {
				k++;
				continue;
			}
			at += len;
			keep_prefix(p, names[i], at);
			k = 0;
		}
	}
}

static void
prefixes_fini(struct prefixes *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
}

/* --- one way to read the names -------------------------------------------- */

bool
warm_is_turned(const struct warm_tensor *m, enum warm_framework layout)
{
	return layout == WARM_PADDLE && m->kind == WARM_LINEAR && m->ndim == 2;
}

bool
warm_shape_fits(const struct warm_tensor *m, const struct warm_tensor *f,
    enum warm_framework layout)
{
	if (m->ndim != f->ndim)
		return false;
	if (warm_is_turned(m, layout))
		return m->d[0] == f->d[1] && m->d[1] == f->d[0];
	for (int i = 0; i < m->ndim; i++)
		if (m->d[i] != f->d[i])
			return false;
	return true;
}

struct way {
	const struct warm_table *table;
	const char *off_file, *off_model;
	enum warm_framework layout;
	size_t fits, named;
	bool own;                       /* a file of ours, read as one */
	int64_t *from;
	int64_t tasks, positions;
};

struct search {
	const struct warm_want *w;
	const char *const *file;
	const char **model;             /* its names */
	const struct warm_table *own;   /* whose names the model has */
	bool paddles;                   /* the file has Paddle's own words */
};

/* ERNIE's table of tasks that the model has not, and where it goes. */
static void
find_tasks(const struct search *s, struct way *y, char *const *model,
    const struct warm_entry *file)
{
	const size_t n = s->w->nmodel;

	y->tasks = y->positions = -1;
	if (y->table->dialect != SPEC_DIALECT_PADDLENLP &&
	    y->table->dialect != SPEC_DIALECT_HUGGINGFACE)
		return;
	const int64_t tasks = warm_index_find(file, s->w->nfile, TASKS);
	struct warm_entry *e = warm_index((const char *const *)model, n);
	const int64_t at = warm_index_find(e, n, POSITIONS);
	if (tasks >= 0 && warm_index_find(e, n, TASKS) < 0 && at >= 0 &&
	    y->from[at] >= 0) {
		const struct warm_tensor *m = &s->w->model[at];
		const struct warm_tensor *t = &s->w->file[tasks];
		if (m->ndim == 2 && t->ndim == 2 && t->d[0] > 0 &&
		    t->d[1] == m->d[1]) {
			y->tasks = tasks;
			y->positions = at;
		}
	}
	free(e);
}

/* False: the names are not this table's. */
static bool
try_way(const struct search *s, struct way *y)
{
	static const char *const none[] = { NULL };
	static const struct warm_table plain = { .prefixes = none };
	const struct warm_want *w = s->w;
	size_t told, told_model;
	char **file = warm_canonical(y->table, s->file, w->nfile, y->off_file,
	    &told);

	y->fits = y->named = 0;
	if (y->table->nrules > 0 && told < LEAST_TOLD &&
	    w->spec->dialect == SPEC_DIALECT_UNSAID) {
		warm_names_free(file, w->nfile);
		return false;
	}
	char **model = warm_canonical(y->table->nrules > 0 ? s->own : &plain,
	    s->model, w->nmodel, y->off_model, &told_model);
	struct warm_entry *e = warm_index((const char *const *)file,
	    w->nfile);
	y->from = xcalloc(w->nmodel + 1, sizeof(*y->from));
	for (size_t i = 0; i < w->nmodel; i++) {
		const int64_t j = warm_index_find(e, w->nfile, model[i]);
		y->from[i] = j;
		y->named += j >= 0;
		y->fits += j >= 0 && warm_shape_fits(&w->model[i],
		    &w->file[j], y->layout);
	}
	find_tasks(s, y, model, e);
	free(e);
	warm_names_free(file, w->nfile);
	warm_names_free(model, w->nmodel);
	return true;
}

/* Would both load the same? */
static bool
same_loads(const struct search *s, const struct way *a, const struct way *b)
{
	for (size_t i = 0; i < s->w->nmodel; i++) {
		if (a->from[i] != b->from[i])
			return false;
		if (a->from[i] >= 0 && warm_is_turned(&s->w->model[i],
		    a->layout) != warm_is_turned(&s->w->model[i], b->layout))
			return false;
	}
	return a->tasks == b->tasks;
}

/* --- all of them ---------------------------------------------------------- */

/* Names that only Paddle gives to running statistics. */
static bool
has_paddles_words(const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *dot = strrchr(names[i], '.');
		if (dot != NULL && (strcmp(dot, "._mean") == 0 ||
		    strcmp(dot, "._variance") == 0))
			return true;
	}
	return false;
}

static bool
is_ours(const struct warm_want *w)
{
	return w->writer != NULL && strncmp(w->writer, "rekindle", 8) == 0;
}

/* May a file of this framework be read so? */
static bool
is_asked(const struct search *s, const struct warm_table *t)
{
	const struct warm_want *w = s->w;

	if (w->spec->dialect != SPEC_DIALECT_UNSAID)
		return t->dialect == w->spec->dialect;
	if (is_ours(w))                 /* any names, one layout */
		return true;
	if (w->framework != WARM_UNKNOWN)
		return t->framework == w->framework;
	/* Names of the model alone do not tell that it is Paddle's layout. */
	return t->dialect != SPEC_DIALECT_PADDLE || s->paddles;
}

static bool
is_better(const struct way *a, const struct way *b)
{
	if (a->fits != b->fits)
		return a->fits > b->fits;
	return a->named != b->named ? a->named > b->named : a->own > b->own;
}

static const struct warm_table *
own_table(const char *const *names, size_t n)
{
	const struct warm_table *own = &warm_tables[0];
	size_t most = 0;

	for (size_t k = 0; k < warm_ntables; k++) {
		size_t told;
		warm_names_free(warm_canonical(&warm_tables[k], names, n, "",
		    &told), n);
		if (told > most) {
			most = told;
			own = &warm_tables[k];
		}
	}
	return own;
}

/* What to keep of two ways: the better one as best, and as next the best of
 * those of other dialects or layouts that would load otherwise. */
static void
judge(const struct search *s, struct way *best, struct way *next,
    struct way *y)
{
	struct way lost;

	if (best->from == NULL) {
		*best = *y;
		return;
	}
	const bool other = (y->table->dialect != best->table->dialect ||
	    y->layout != best->layout) && !same_loads(s, best, y);
	lost = is_better(y, best) ? *best : *y;
	if (lost.from != y->from)
		*best = *y;
	if (other && (next->from == NULL || is_better(&lost, next))) {
		free(next->from);
		*next = lost;
	} else {
		free(lost.from);
	}
}

static void
try_table(const struct search *s, const struct warm_table *t,
    const struct prefixes *file, const struct prefixes *model,
    struct way *best, struct way *next)
{
	const bool said = s->w->spec->dialect != SPEC_DIALECT_UNSAID;

	for (size_t p = 0; p < file->n; p++)
		for (size_t q = 0; q < model->n; q++) {
			struct way y = { .table = t, .off_file = file->v[p],
				.off_model = model->v[q],
				.layout = !said && s->w->framework !=
				    WARM_UNKNOWN ? s->w->framework :
				    t->framework,
				.own = is_ours(s->w) && t->dialect ==
				    SPEC_DIALECT_REKINDLE };
			if (try_way(s, &y))
				judge(s, best, next, &y);
		}
}

void
warm_fit(const struct warm_want *w, const char *const *file,
    struct warm_fit *out)
{
	struct search s = { .w = w, .file = file,
		.model = xcalloc(w->nmodel + 1, sizeof(*s.model)),
		.paddles = has_paddles_words(file, w->nfile) };
	struct way best = {0}, next = {0};
	struct prefixes of_file, of_model;

	for (size_t i = 0; i < w->nmodel; i++)
		s.model[i] = w->model[i].name;
	s.own = own_table(s.model, w->nmodel);
	prefixes_of(&of_file, file, w->nfile);
	prefixes_of(&of_model, s.model, w->nmodel);
	for (size_t k = 0; k < warm_ntables; k++)
		if (is_asked(&s, &warm_tables[k]))
			try_table(&s, &warm_tables[k], &of_file, &of_model,
			    &best, &next);
	must(best.from != NULL);
	/* Of one that was the next of a way that is not the best any more. */
	if (next.from != NULL && same_loads(&s, &best, &next)) {
		free(next.from);
		next = (struct way){0};
	}
	*out = (struct warm_fit){ .table = best.table, .next = next.table,
		.prefix = xstrdup(best.off_file), .layout = best.layout,
		.fits = best.fits, .next_fits = next.fits, .from = best.from,
		.tasks = best.tasks, .positions = best.positions,
		.tie = next.from != NULL && best.fits > 0 && next.fits ==
		    best.fits && next.named == best.named };
	free(next.from);
	prefixes_fini(&of_file);
	prefixes_fini(&of_model);
	free(s.model);
}

void
warm_fit_free(struct warm_fit *f)
{
	free(f->prefix);
	free(f->from);
	*f = (struct warm_fit){0};
}
