/* Why a file is worth beginning from, in a sentence: see warm_suggest.h. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define NAMED_MAX 3             /* layers that the sentence has */

int
warm_layer_len(const char *tensor)
{
	const char *dot = strrchr(tensor, '.');

	return (int)(dot != NULL ? (size_t)(dot - tensor) : strlen(tensor));
}

static bool
same_layer(const char *a, const char *b)
{
	const int n = warm_layer_len(a);

	return n == warm_layer_len(b) && strncmp(a, b, (size_t)n) == 0;
}

/* How many of the job's classes the file has. */
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

bool
warm_classes_differ(const struct warm_want *w)
{
	const struct warm_sides *s = &w->classes;
	const int64_t n = in_common(s);

	return n > 0 && (n < s->model.n || s->model.n != s->file.n);
}

/* --- what is not taken ---------------------------------------------------- */

/* Row i is the first of its layer that begins anew; parameters of a layer
 * follow each other. */
static bool
begins_layer(const struct warm_plan *p, size_t i)
{
	const struct warm_tensor *m = &p->want->model[i];

	return p->v[i].action == WARM_INIT && !m->buffer && (i == 0 ||
	    p->v[i - 1].action != WARM_INIT || !same_layer(m[-1].name,
	    m->name));
}

static void
add_layer(struct strbuf *b, const struct warm_plan *p, size_t i)
{
	const struct warm_tensor *m = &p->want->model[i];
	const struct warm_row *r = &p->v[i];

	sb_addf(b, "%.*s, ", warm_layer_len(m->name), m->name);
	if (r->fault == SPEC_MISSING) {
		sb_adds(b, "which the file has not");
	} else if (m->rows == WARM_ROWS_CLASSES) {
		sb_adds(b, "whose classes differ");
	} else {
		sb_adds(b, "which is another (");
		warm_both_shapes(b, p, r);
		sb_addc(b, ')');
	}
}

/* "48 of 50 tensors: all but fc, whose classes differ". */
static void
add_taken(struct strbuf *b, const struct warm_plan *p)
{
	size_t layers = 0, named = 0;

	for (size_t i = 0; i < p->nmodel; i++)
		layers += begins_layer(p, i);
	if (p->tensors == p->nmodel) {
		sb_addf(b, "all %zu tensor%s", p->nmodel,
		    rk_s((int64_t)p->nmodel));
		return;
	}
	sb_addf(b, "%zu of %zu tensor%s: all but %s", p->tensors, p->nmodel,
	    rk_s((int64_t)p->nmodel), layers == 0 ? "running statistics" : "");
	for (size_t i = 0; i < p->nmodel && named < NAMED_MAX; i++) {
		if (!begins_layer(p, i))
			continue;
		if (named++ > 0)
			sb_adds(b, named == layers ? ", and " : ", ");
		add_layer(b, p, i);
	}
	if (layers > named)
		sb_addf(b, ", and %zu more layer%s", layers - named,
		    rk_s((int64_t)(layers - named)));
}

/* --- the head's classes --------------------------------------------------- */

static const struct warm_row *
head_of(const struct warm_plan *p)
{
	for (size_t i = 0; i < p->nmodel; i++)
		if (p->want->model[i].rows == WARM_ROWS_CLASSES &&
		    p->v[i].file >= 0)
			return &p->v[i];
	return NULL;
}

/* Why a head does not grow. */
static void
add_classes(struct strbuf *b, const struct warm_plan *best)
{
	const struct warm_sides *s = &best->want->classes;
	const struct warm_row *head = head_of(best);

	if (head == NULL || head->action == WARM_GROW)
		return;
	const bool begins = head->action == WARM_INIT;
	if (begins && s->file.n == 0)
		sb_adds(b, "; what the classes of the file are called is not "
		    "known");
	else if (begins && s->model.n == 0)
		sb_adds(b, "; what the classes of the job are called is not "
		    "known");
	else if (s->file.n > 0 && s->model.n > 0 && in_common(s) == 0)
		sb_addf(b, "; none of its %lld classes is one of the job's",
		    (long long)s->file.n);
}

/* --- growth --------------------------------------------------------------- */

static void
add_grown(struct strbuf *b, const struct warm_plan *p, size_t i)
{
	const struct warm_tensor *m = &p->want->model[i];
	const struct warm_grown *g = &p->v[i].grown;
	const long long n = (long long)g->n, kept = (long long)g->kept;

	sb_addf(b, "; grow: [%.*s] ", warm_layer_len(m->name), m->name);
	if (g->way == WARM_SUM)
		sb_addf(b, "takes the sum of its %lld input channels",
		    (long long)g->nfile);
	else if (g->way == WARM_SPREAD)
		sb_addf(b, "has its one input channel in each of %lld", n);
	else
		sb_addf(b, "takes %lld of %lld %s", kept, n,
		    warm_called[g->named ? m->rows : WARM_ROWS_UNNAMED].many);
}

char *
warm_suggest_reason(const struct warm_plan *plain,
    const struct warm_plan *best)
{
	const char *last = NULL;
	struct strbuf b = {0};
	long long ignored = 0;

	add_taken(&b, plain);
	for (size_t i = 0; i < best->nmodel; i++) {
		const char *name = best->want->model[i].name;
		if (best->v[i].action != WARM_GROW || (last != NULL &&
		    same_layer(last, name)))
			continue;
		last = name;
		if (plain->v[i].action != WARM_INIT)
			sb_addf(&b, "; %.*s is of other %s",
			    warm_layer_len(name), name,
			    warm_called[best->want->model[i].rows].many);
		add_grown(&b, best, i);
	}
	add_classes(&b, best);
	for (size_t i = best->nmodel; i < best->n; i++)
		ignored += best->v[i].fault == SPEC_UNEXPECTED;
	if (ignored > 0)
		sb_addf(&b, "; %lld of its own %s not used", ignored,
		    ignored == 1 ? "is" : "are");
	return rk_text_clean(sb_detach(&b));
}
