/* What is said of what grows, in notes and in JSON. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define NAMED_MAX 24            /* in a note */
#define NAME_MAX_SHOWN 80       /* bytes of one */

static const char *const way_words[] = { "rows", "channels", "sum", "spread" };

/* --- notes ---------------------------------------------------------------- */

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
	const struct warm_sides *s = r != NULL ? warm_sides_of(p,
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
		warm_begin_words[r->grown.init], "dropped, which the file has and "
		"the job has not" };
	for (size_t k = 0; k < RK_ARRAY_LEN(all); k++) {
		const bool one = all[k]->n == 1;
		end_names(all[k]);
		if (all[k]->n > 0)
			warm_note(p, "%lld %s %s %s: %s",
			    (long long)all[k]->n, one ? warm_called[rows].one :
			    warm_called[rows].many, words[k][!one], rest[k],
			    sb_str(&all[k]->b));
		sb_fini(&all[k]->b);
	}
	free(taken);
}

/* A head whose rows go by number, of which a class has the row that another
 * had. */
static void
note_others_rows(struct warm_plan *p)
{
	const struct warm_sides *s = &p->want->classes;
	const struct warm_row *head = NULL;
	struct some b = {0};

	for (size_t i = 0; i < p->nmodel && head == NULL; i++)
		if (p->want->model[i].rows == WARM_ROWS_CLASSES && p->v[i].file
		    >= 0 && !p->v[i].grown.named && p->v[i].action !=
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

/* The same of a head that begins anew. */
static void
note_could_grow(struct warm_plan *p)
{
	for (size_t i = 0; i < p->nmodel; i++) {
		struct strbuf b = {0};
		if (p->v[i].action == WARM_INIT)
			warm_add_could_grow(&b, p, &p->v[i]);
		if (b.len > 2)
			warm_note(p, "%s begins anew; %s",
			    warm_row_name(p, &p->v[i]), b.s + 2);
		const bool said = b.len > 0;
		sb_fini(&b);
		if (said)
			return;
	}
}

/* Names that are written otherwise look like that. */
static void
note_nothing_kept(struct warm_plan *p)
{
	const struct warm_row *r = first_grown(p, WARM_ROWS_CLASSES);

	if (r != NULL && r->grown.kept == 0)
		warm_note(p, "none of the %lld classes of the file is one of "
		    "the job's, so that all rows of %s begin anew",
		    (long long)r->grown.nfile, warm_row_name(p, r));
}

/* Names of the job that are not the file's own: it may have renamed them. */
static void
note_told(struct warm_plan *p)
{
	const struct warm_names *told = &p->want->told;
	const struct warm_names *said = &p->want->classes.file;
	int64_t at = 0;

	if (warm_said(p, &at) == WARM_SAID_SAME)
		return;
	char *where = at < RK_MIN(told->n, said->n) ? xasprintf("class %lld is "
	    "\"%.80s\" there and \"%.80s\" in the job", (long long)at,
	    told->v[at], said->v[at]) : xasprintf("there are %lld there and "
	    "%lld in the job", (long long)told->n, (long long)said->n);
	warm_note(p, "the file knows what its classes are called, and "
	    "model.checkpoint_classes, which counts, calls them otherwise: %s",
	    where);
	free(where);
}

void
warm_note_growth(struct warm_plan *p)
{
	note_told(p);
	note_nothing_kept(p);
	note_could_grow(p);
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
