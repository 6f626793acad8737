/* What a run still knows of the classes of before: see knowledge.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "knowledge.h"

#define NAMED     8             /* classes in a sentence */
#define COUNT_MAX ((int64_t)1 << 53)

static double
part(int64_t some, int64_t all)
{
	return all > 0 ? (double)some / (double)all : 0;
}

/* How far recall has fallen; a class without samples has none. */
static double
fall(const struct known_class *c)
{
	if (c->before_of == 0 || c->now_of == 0)
		return 0;
	return part(c->before, c->before_of) - part(c->now, c->now_of);
}

/* Too few samples for a fall to be called forgotten. */
static bool
is_few(const struct known_class *c)
{
	return RK_MIN(c->before_of, c->now_of) < KNOWLEDGE_SAMPLES;
}

/* "; 3 of 4 have fewer than 50 samples: ..." */
static void
add_few(struct strbuf *b, int64_t few, int64_t of)
{
	if (few > 0)
		sb_addf(b, "; %lld of %lld ha%s fewer than %d validation "
		    "samples: a fall of theirs is not called forgotten",
		    (long long)few, (long long)of, few == 1 ? "s" : "ve",
		    KNOWLEDGE_SAMPLES);
}

static const char *
name_of(const struct knowledge *k, int64_t class)
{
	return json_string_value(json_array_get(k->names, (size_t)class));
}

/* --- which classes -------------------------------------------------------- */

/* The head's rows, as the plan has grown it. */
static void
map_grown(struct class_map *m, const struct run *r, const struct warm_row *head)
{
	const struct warm_grown *g = &head->grown;

	*m = (struct class_map){ .n = g->n, .nmodel = g->nfile,
		.kept = g->kept, .names = input_classes(r),
		.from = xcalloc((size_t)g->n + 1, sizeof(*m->from)) };
	memcpy(m->from, g->from, (size_t)g->n * sizeof(*m->from));
}

/* Row i is row i: those whose classes are the same. */
static bool
map_copied(struct class_map *m, const struct run *r,
    const struct warm_tensor *t, bool turned)
{
	const int64_t theirs = turned ? t->d[t->ndim - 1] : t->d[0];
	const int64_t outputs = nn_outputs(r->nn);

	if (!class_map_make(m, r, theirs)) {
		/* Who copies a head of so many says that they are the same. */
		if (theirs != outputs)
			return false;
		*m = (struct class_map){ .n = theirs, .nmodel = theirs,
			.kept = theirs, .names = input_classes(r) };
		m->from = xcalloc((size_t)theirs + 1, sizeof(*m->from));
		for (int64_t i = 0; i < theirs; i++)
			m->from[i] = i;
	}
	for (int64_t i = 0; i < m->n; i++) {
		const bool there = m->from[i] == i && i < outputs && i < theirs;
		m->kept -= m->from[i] >= 0 && !there;
		m->from[i] = there ? i : -1;
	}
	return true;
}

bool
knowledge_map(const struct run *r, const struct plan *p, struct class_map *m)
{
	const struct warm_row *head = plan_head(p, r->nn);

	*m = (struct class_map){0};
	if (head == NULL || head->file < 0 || head->loaded == 0)
		return false;
	if (head->action == WARM_GROW && head->grown.way == WARM_BY_ROWS)
		map_grown(m, r, head);
	else if (!map_copied(m, r, &p->want.file[head->file],
	    (head->steps & 1u << WARM_TRANSPOSE) != 0))
		return false;
	if (m->kept == 0)
		class_map_fini(m);
	return m->kept > 0;
}

/* Classes that are ignored have no recall. */
static bool
is_ignored(const struct run *r, int64_t class)
{
	const struct spec_loss *l = &r->spec->training.loss;

	return l->ignoring && l->ignore_index == class;
}

static bool
may_watch(struct run *r, const struct class_map *m)
{
	if (m->kept <= KNOWLEDGE_CLASSES)
		return true;
	report_event(&r->rep, "warm_start", "warm start: %lld classes of the "
	    "source are too many for the recall of each to be watched (at most "
	    "%d)", (long long)m->kept, KNOWLEDGE_CLASSES);
	return false;
}

void
knowledge_begin(struct run *r, const struct plan *p)
{
	struct class_map m;

	if (r->valid == NULL || !r->spec->training.warm_start.watch ||
	    !run_classifies(r) || !knowledge_map(r, p, &m))
		return;
	if (may_watch(r, &m)) {
		struct knowledge *k = xcalloc(1, sizeof(*k));
		k->v = xcalloc((size_t)m.kept, sizeof(*k->v));
		for (int64_t i = 0; i < m.n; i++)
			if (m.from[i] >= 0 && !is_ignored(r, i))
				k->v[k->n++].class = i;
		k->names = json_incref(m.names);
		r->knowledge = k;
		if (k->n == 0) {        /* all of them are ignored */
			knowledge_free(k);
			r->knowledge = NULL;
		}
	}
	class_map_fini(&m);
}

static json_t *
class_word(const struct class_map *m, int64_t i)
{
	const json_t *name = json_array_get(m->names, (size_t)i);

	return name != NULL ? js_text(json_string_value(name)) :
	    json_integer(i);
}

/* "4 classes that the source knows, too, are watched: a, b, c, d" */
static json_t *
plan_summary(const json_t *classes, int64_t n, bool watched, int64_t few)
{
	struct strbuf b = {0};

	sb_addf(&b, "%lld class%s that the source knows, too, %s%s", (long long)
	    n, n == 1 ? "" : "es", n == 1 ? "is" : "are", watched ?
	    " watched" : " not watched");
	for (size_t i = 0; i < RK_MIN(json_array_size(classes),
	    (size_t)3 * NAMED); i++) {
		const json_t *v = json_array_get(classes, i);
		sb_adds(&b, i == 0 ? ": " : ", ");
		if (json_is_string(v))
			sb_addf(&b, "%.80s", json_string_value(v));
		else
			sb_addf(&b, "%lld", (long long)json_integer_value(v));
	}
	if (n > 3 * NAMED)
		sb_addf(&b, " and %lld more", (long long)n - 3 * NAMED);
	if (watched)
		add_few(&b, few, n);
	json_t *v = js_text(b.s);
	sb_fini(&b);
	return v;
}

/* How many of those that are kept have few samples to be judged by. */
static int64_t
count_few(const struct run *r, const struct class_map *m)
{
	const struct data_set *d = r->valid;
	int64_t *of = xcalloc((size_t)m->n + 1, sizeof(*of)), few = 0;
	const int32_t *v = d->many_from != NULL ? d->many : d->classes;
	const int64_t n = d->many_from != NULL ? d->many_from[d->n] : d->n;

	for (int64_t i = 0; v != NULL && i < n; i++)
		if (v[i] < m->n)
			of[v[i]]++;
	for (int64_t i = 0; v != NULL && i < m->n; i++)
		few += m->from[i] >= 0 && of[i] < KNOWLEDGE_SAMPLES;
	free(of);
	return few;
}

void
knowledge_plan(const struct run *r, const struct plan *p, json_t *plan)
{
	json_t *classes = json_array();
	struct class_map m;

	if (!run_classifies(r) || !knowledge_map(r, p, &m)) {
		json_decref(classes);
		return;
	}
	const bool watched = r->valid != NULL &&
	    r->spec->training.warm_start.watch &&
	    m.kept <= KNOWLEDGE_CLASSES;
	for (int64_t i = 0; i < m.n && json_array_size(classes) <
	    KNOWLEDGE_CLASSES; i++)
		if (m.from[i] >= 0)
			must(json_array_append_new(classes, class_word(&m,
			    i)) == 0);
	const int64_t few = watched ? count_few(r, &m) : 0;
	json_t *o = json_pack("{s:b, s:o, s:I, s:o}", "watched", (int)watched,
	    "summary", plan_summary(classes, m.kept, watched, few),
	    "few", (json_int_t)few, "classes", classes);
	must(o != NULL);
	js_put(plan, "knowledge", o);
	class_map_fini(&m);
}

void
knowledge_free(struct knowledge *k)
{
	if (k == NULL)
		return;
	json_decref(k->names);
	free(k->answers);
	free(k->v);
	free(k);
}

/* --- before the first step ------------------------------------------------ */

bool
knowledge_waits(const struct run *r)
{
	return r->knowledge != NULL && !r->knowledge->measured &&
	    r->at.step == 0;
}

void
knowledge_start(struct run *r)
{
	struct knowledge *k = r->knowledge;
	const int64_t outputs = nn_outputs(r->nn);

	if ((int64_t)k->n < outputs &&
	    r->spec->training.loss.type != SPEC_BINARY_CROSS_ENTROPY)
		k->answers = xcalloc((size_t)(r->micro * outputs),
		    sizeof(*k->answers));
}

const float *
knowledge_answers(const struct run *r, int64_t rows)
{
	const struct knowledge *k = r->knowledge;
	const int64_t outputs = nn_outputs(r->nn);
	const float *z = nn_output(r->nn);

	if (k == NULL || k->answers == NULL)
		return NULL;
	for (int64_t i = 0; i < rows * outputs; i++)
		k->answers[i] = -INFINITY;
	for (int64_t i = 0; i < rows; i++)
		for (size_t c = 0; c < k->n; c++) {
			const int64_t at = i * outputs + k->v[c].class;
			k->answers[at] = z[at];
		}
	return k->answers;
}

void
knowledge_stop(struct run *r)
{
	free(r->knowledge->answers);
	r->knowledge->answers = NULL;
}

/* Those that have samples; the caller's. */
static const struct known_class **
measured(const struct knowledge *k, size_t *n)
{
	const struct known_class **v = xcalloc(k->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i < k->n; i++)
		if (k->v[i].before_of > 0 && k->v[i].now_of > 0)
			v[(*n)++] = &k->v[i];
	return v;
}

static int64_t
few_of(const struct known_class *const *v, size_t n)
{
	int64_t few = 0;

	for (size_t i = 0; i < n; i++)
		few += is_few(v[i]);
	return few;
}

/* "crack 0.952 (63), blowhole 0.81 (120) and 2 more" */
static void
add_before(struct strbuf *b, const struct knowledge *k)
{
	size_t said = 0, more = 0;

	for (size_t i = 0; i < k->n; i++) {
		const struct known_class *c = &k->v[i];
		const char *name = name_of(k, c->class);
		if (c->before_of == 0)
			continue;
		if (said == NAMED) {
			more++;
			continue;
		}
		sb_adds(b, said++ > 0 ? ", " : "");
		if (name != NULL)
			sb_addf(b, "%.80s", name);
		else
			sb_addf(b, "class %lld", (long long)c->class);
		sb_addf(b, " %.3f (%lld)", part(c->before, c->before_of),
		    (long long)c->before_of);
	}
	if (more > 0)
		sb_addf(b, " and %zu more", more);
	size_t n;
	const struct known_class **v = measured(k, &n);
	add_few(b, few_of(v, n), (int64_t)n);
	free(v);
}

void
knowledge_take(struct run *r)
{
	struct knowledge *k = r->knowledge;
	struct strbuf b = {0};

	knowledge_stop(r);
	for (size_t i = 0; i < k->n; i++) {
		const struct judge_class c = judge_class(r->judge,
		    k->v[i].class);
		k->v[i].before_of = k->v[i].now_of = c.support;
		k->v[i].before = k->v[i].now = c.correct;
	}
	k->measured = true;
	add_before(&b, k);
	if (b.len > 0)
		report_event(&r->rep, "warm_start", "warm start: recall of the "
		    "classes that the source knows, before the first step "
		    "(samples): %s", b.s);
	sb_fini(&b);
}

/* --- and after ------------------------------------------------------------ */

static void
add_fall(struct strbuf *b, const struct knowledge *k,
    const struct known_class *c)
{
	const char *name = name_of(k, c->class);

	if (name != NULL)
		sb_addf(b, "%.80s", name);
	else
		sb_addf(b, "class %lld", (long long)c->class);
	sb_addf(b, " from %.3f to %.3f (%lld samples)", part(c->before,
	    c->before_of), part(c->now, c->now_of), (long long)c->now_of);
}

/* What it has come to, and those that are forgotten since. */
static size_t
judge_class_by_class(struct run *r, struct strbuf *b)
{
	struct knowledge *k = r->knowledge;
	size_t fresh = 0;

	for (size_t i = 0; i < k->n; i++) {
		struct known_class *c = &k->v[i];
		const struct judge_class is = judge_class(r->judge, c->class);
		c->now_of = is.support;
		c->now = is.correct;
		/* 0.95 - 0.9 is not more than 0.05 by rounding alone. */
		c->forgotten = !is_few(c) && fall(c) > KNOWLEDGE_DROP + 1e-9;
		if (!c->forgotten || c->said)
			continue;
		c->said = true;
		if (fresh < NAMED) {
			sb_adds(b, fresh > 0 ? ", of " : "");
			add_fall(b, k, c);
		}
		fresh++;
	}
	if (fresh > NAMED)
		sb_addf(b, ", and of %zu more", fresh - NAMED);
	return fresh;
}

void
knowledge_judge(struct run *r)
{
	struct strbuf b = {0};

	if (r->knowledge == NULL || !r->knowledge->measured)
		return;
	if (judge_class_by_class(r, &b) > 0)
		report_warning(&r->rep, "forgotten", "forgotten at step %lld "
		    "(epoch %lld): recall of %s; training.distill, a lower "
		    "learning rate or more samples of them keep more",
		    (long long)r->at.step, (long long)r->at.epoch, b.s);
	sb_fini(&b);
}

/* --- in metrics ----------------------------------------------------------- */

static int
by_fall(const void *x, const void *y)
{
	const struct known_class *a = *(const struct known_class *const *)x;
	const struct known_class *b = *(const struct known_class *const *)y;
	const double d = fall(b) - fall(a);

	return d > 0 ? 1 : d < 0 ? -1 : a->class < b->class ? -1 : 1;
}

static int
by_class(const void *x, const void *y)
{
	const struct known_class *a = *(const struct known_class *const *)x;
	const struct known_class *b = *(const struct known_class *const *)y;

	return a->class < b->class ? -1 : a->class > b->class;
}

static json_t *
class_json(const struct knowledge *k, const struct known_class *c)
{
	const char *name = name_of(k, c->class);
	json_t *o = json_pack("{s:I, s:I, s:f, s:f, s:b}",
	    "class", (json_int_t)c->class, "samples", (json_int_t)c->now_of,
	    "before", part(c->before, c->before_of),
	    "recall", part(c->now, c->now_of),
	    "forgotten", (int)c->forgotten);

	must(o != NULL);
	if (name != NULL)
		js_put(o, "name", js_text(name));
	return o;
}

void
knowledge_put(const struct run *r, json_t *metric)
{
	const struct knowledge *k = r->knowledge;
	double before = 0, now = 0;
	int64_t forgotten = 0;
	size_t n;

	if (k == NULL || !k->measured)
		return;
	const struct known_class **v = measured(k, &n);
	for (size_t i = 0; i < n; i++) {
		before += part(v[i]->before, v[i]->before_of);
		now += part(v[i]->now, v[i]->now_of);
		forgotten += v[i]->forgotten;
	}
	if (n > 0) {
		json_t *list = json_array();
		json_t *o = json_pack("{s:I, s:f, s:f, s:I, s:I}",
		    "classes", (json_int_t)n, "before", before / (double)n,
		    "recall", now / (double)n,
		    "forgotten", (json_int_t)forgotten,
		    "few", (json_int_t)few_of(v, n));
		must(o != NULL);
		qsort(v, n, sizeof(v[0]), by_fall);
		n = RK_MIN(n, (size_t)KNOWLEDGE_SHOWN);
		qsort(v, n, sizeof(v[0]), by_class);
		for (size_t i = 0; i < n; i++)
			must(json_array_append_new(list, class_json(k, v[i])) ==
			    0);
		js_put(o, "by_class", list);
		js_put(metric, "knowledge", o);
	}
	free(v);
}

/* --- in a checkpoint ------------------------------------------------------ */

/* {classes: [[class, before, of, now, of, flags], ...], measured}; flags: 1 it
 * is forgotten, 2 that it was has been said */
json_t *
knowledge_json(const struct run *r)
{
	const struct knowledge *k = r->knowledge;
	json_t *list = json_array();

	if (k == NULL) {
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < k->n; i++) {
		const struct known_class *c = &k->v[i];
		json_t *v = json_pack("[I, I, I, I, I, i]",
		    (json_int_t)c->class, (json_int_t)c->before,
		    (json_int_t)c->before_of, (json_int_t)c->now,
		    (json_int_t)c->now_of, c->forgotten | c->said << 1);
		must(v != NULL && json_array_append_new(list, v) == 0);
	}
	json_t *o = json_pack("{s:o, s:b}", "classes", list,
	    "measured", (int)k->measured);
	must(o != NULL);
	return o;
}

static bool
read_class(const json_t *v, struct known_class *c)
{
	int64_t x[6];

	for (size_t i = 0; i < RK_ARRAY_LEN(x); i++) {
		const json_t *n = json_array_get(v, i);
		x[i] = json_integer_value(n);
		if (!json_is_integer(n) || x[i] < 0 || x[i] > COUNT_MAX)
			return false;
	}
	*c = (struct known_class){ .class = x[0], .before = x[1],
		.before_of = x[2], .now = x[3], .now_of = x[4],
		.forgotten = (x[5] & 1) != 0, .said = (x[5] & 2) != 0 };
	return json_array_size(v) == RK_ARRAY_LEN(x) && x[1] <= x[2] &&
	    x[3] <= x[4] && x[5] <= 3;
}

void
knowledge_read(struct run *r, const json_t *v, struct rk_why *why)
{
	const json_t *list = json_object_get(v, "classes");
	const size_t n = json_array_size(list);
	bool ok = n >= 1 && n <= KNOWLEDGE_CLASSES;

	knowledge_free(r->knowledge);
	r->knowledge = NULL;
	if (v == NULL || r->valid == NULL ||
	    !r->spec->training.warm_start.watch)
		return;
	struct knowledge *k = xcalloc(1, sizeof(*k));
	k->v = xcalloc(n + 1, sizeof(*k->v));
	for (size_t i = 0; ok && i < n; i++) {
		ok = read_class(json_array_get(list, i), &k->v[i]) &&
		    k->v[i].class < nn_outputs(r->nn) &&
		    (i == 0 || k->v[i].class > k->v[i - 1].class);
		k->n++;
	}
	k->measured = json_is_true(json_object_get(v, "measured"));
	k->names = input_classes(r);
	r->knowledge = k;
	if (!ok)
		rk_refuse_at(why, "state.knowledge", "is not the classes that "
		    "are watched, want [class, before, of, now, of, flags] of "
		    "each, by class");
}
