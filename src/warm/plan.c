/* The rows of a plan. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/base_regex.h"
#include "impl.h"

#define REGEX_BUDGET ((uint64_t)1 << 32)        /* for all names: seconds */

const char *const warm_kind_words[] = {
	"other", "linear", "convolution", "norm", "running", "table",
	"recurrent", NULL
};
const char *const warm_framework_words[] = {
	"unknown", "pytorch", "paddle", NULL
};
const char *const warm_action_words[] = {
	"copy", "rename", "convert", "transpose", "slice", "init", "skip",
	"grow", NULL
};

/* --- model.rename --------------------------------------------------------- */

struct renamed {
	const char **v;                 /* names of the file */
	char **own;                     /* those that were made, or NULL */
	bool *did;                      /* of each expression: it fits one */
	size_t n;
};

static enum rk_err
rename_one(struct renamed *r, size_t i, const struct rk_regex *x, int k,
    const char *text, uint64_t *budget)
{
	char *out;
	enum rk_err rc = rk_regex_replace(x, r->v[i], text, TENSOR_NAME_MAX,
	    budget, &out);

	if (rc == RK_OK && out != NULL) {
		free(r->own[i]);
		r->own[i] = out;
		r->v[i] = out;
		r->did[k] = true;
	}
	return rc;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two tensors of one name would hide each other. */
static enum rk_err
refuse_twice(const struct renamed *r, struct rk_why *why)
{
	const char **s = xcalloc(r->n + 1, sizeof(*s));
	enum rk_err rc = RK_OK;

	memcpy(s, r->v, r->n * sizeof(*s));
	qsort(s, r->n, sizeof(*s), by_text);
	for (size_t i = 0; i < r->n && rc == RK_OK; i++) {
		if (s[i][0] == '\0')
			rc = rk_refuse_at(why, "model.rename", "leaves nothing "
			    "of a name of the file");
		else if (i > 0 && strcmp(s[i], s[i - 1]) == 0)
			rc = rk_refuse_at(why, "model.rename", "makes two "
			    "tensors of the file %s", s[i]);
	}
	free(s);
	return rc;
}

static enum rk_err
rename_all(struct renamed *r, const struct warm_want *w, struct rk_why *why)
{
	uint64_t budget = REGEX_BUDGET;

	r->n = w->nfile;
	r->v = xcalloc(r->n + 1, sizeof(*r->v));
	r->own = xcalloc(r->n + 1, sizeof(*r->own));
	r->did = xcalloc((size_t)w->spec->nrename + 1, sizeof(*r->did));
	for (size_t i = 0; i < r->n; i++)
		r->v[i] = w->file[i].name;
	for (int k = 0; k < w->spec->nrename; k++) {
		const struct spec_rename *n = &w->spec->rename[k];
		struct rk_regex *x;
		enum rk_err rc = rk_regex_new(&x, n->from, why);
		for (size_t i = 0; rc == RK_OK && i < r->n; i++)
			rc = rename_one(r, i, x, k, n->to, &budget);
		rk_regex_free(x);
		if (rc == RK_ELIMIT)
			rc = rk_refuse_at(why, "model.rename", "%s takes too "
			    "long, or makes a name longer than %d bytes",
			    n->from, TENSOR_NAME_MAX);
		if (rc != RK_OK)
			return rc;
	}
	return w->spec->nrename > 0 ? refuse_twice(r, why) : RK_OK;
}

static void
renamed_fini(struct renamed *r)
{
	warm_names_free(r->own, r->n);
	free(r->v);
	free(r->did);
}

/* --- rows ----------------------------------------------------------------- */

static bool
type_is_taken(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_F64;
}

int64_t
warm_count(const struct warm_tensor *t)
{
	int64_t n = 1;

	for (int i = 0; i < t->ndim; i++)
		n *= t->d[i];
	return n;
}

static void
add_step(struct warm_row *r, enum warm_action a)
{
	r->steps |= 1u << a;
	r->action = RK_MAX(r->action, a);
}

/* Elements that both shapes have. */
static int64_t
shared(const struct warm_tensor *m, const struct warm_tensor *f, bool turned)
{
	int64_t n = 1;

	for (int i = 0; i < m->ndim; i++)
		n *= RK_MIN(m->d[i], f->d[turned ? 1 - i : i]);
	return n;
}

void
warm_explain(struct warm_row *r, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	if (r->why != NULL)
		sb_addf(&b, "%s; ", r->why);
	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	free(r->why);
	r->why = sb_detach(&b);
}

/* A tensor of the file that is taken, whole or in part. */
static void
take(const struct warm_plan *p, struct warm_row *r, const char *renamed)
{
	const struct warm_want *w = p->want;
	const struct warm_tensor *m = &w->model[r->model];
	const struct warm_tensor *f = &w->file[r->file];
	const bool turned = warm_is_turned(m, p->layout);

	if ((r->steps & 1u << WARM_GROW) == 0)
		r->loaded = shared(m, f, turned);
	if (strcmp(f->name, m->name) != 0)
		add_step(r, WARM_RENAME);
	if (strcmp(f->name, renamed) != 0)
		warm_explain(r, "model.rename makes it %s", renamed);
	if (f->dtype != DT_F32) {
		add_step(r, WARM_CONVERT);
		warm_explain(r, "from %s", dtype_name(f->dtype));
	}
	if (turned) {
		add_step(r, WARM_TRANSPOSE);
		warm_explain(r, "Paddle has a linear weight as [in,out]");
	}
	if (r->fault == SPEC_MISMATCH) {
		add_step(r, WARM_SLICE);
		warm_explain(r, "%lld of %lld elements are taken",
		    (long long)r->loaded, (long long)warm_count(m));
	}
}

static void
begin_anew(struct warm_row *r, const char *why)
{
	r->action = WARM_INIT;
	r->steps = 1u << WARM_INIT;
	warm_explain(r, "%s", why);
}

enum spec_policy
warm_policy(const struct warm_plan *p, const struct warm_row *r)
{
	return spec_policy_for(p->want->spec, p->want->strict, r->fault,
	    warm_row_name(p, r));
}

static void
model_row(struct warm_plan *p, size_t i, const struct warm_fit *fit,
    const struct renamed *names)
{
	const struct warm_want *w = p->want;
	const struct warm_tensor *m = &w->model[i];
	struct warm_row *r = &p->v[i];

	*r = (struct warm_row){ .action = WARM_COPY, .steps = 1u << WARM_COPY,
		.model = (int64_t)i, .file = fit->from[i], .added = -1,
		.fault = SPEC_FAULTS };
	if (r->file < 0) {
		r->fault = SPEC_MISSING;
		begin_anew(r, "the file has no such tensor");
		return;
	}
	const struct warm_tensor *f = &w->file[r->file];
	const bool typed = type_is_taken(f->dtype);
	const bool grows = typed && warm_grow(p, r);
	if (r->ungrown != NULL || (!grows && (!typed ||
	    !warm_shape_fits(m, f, p->layout))))
		r->fault = SPEC_MISMATCH;
	if (r->ungrown != NULL)
		begin_anew(r, r->ungrown);
	else if (r->fault == SPEC_FAULTS ||
	    (typed && m->ndim == f->ndim && m->ndim > 0 &&
	    warm_policy(p, r) == SPEC_POLICY_SLICE))
		take(p, r, names->v[r->file]);
	else
		begin_anew(r, !typed ? "numbers of this type are not taken" :
		    warm_shape_fits(m, f, WARM_UNKNOWN) ? "the shapes differ "
		    "once it is transposed" : "the shapes differ");
	if (fit->positions == (int64_t)i && r->action != WARM_INIT &&
	    type_is_taken(w->file[fit->tasks].dtype)) {
		r->added = fit->tasks;
		warm_explain(r, "row 0 of %s is added to each row",
		    w->file[fit->tasks].name);
	}
}

static bool
ends_with(const char *s, const char *word)
{
	const size_t n = strlen(s), k = strlen(word);

	return n >= k && strcmp(s + n - k, word) == 0 &&
	    (n == k || s[n - k - 1] == '.');
}

/* Nothing that is trained depends on it: PyTorch's counts of the batches that a
 * batch norm has seen and of the models that are in an average (swa_utils.
 * AveragedModel), and the numbers 0, 1, 2 ... of places in a text. */
static bool
is_needless(const struct warm_tensor *f)
{
	return ends_with(f->name, "num_batches_tracked") ||
	    (strcmp(f->name, "n_averaged") == 0 && f->ndim == 0) ||
	    (ends_with(f->name, "position_ids") && !type_is_taken(f->dtype));
}

static void
file_row(struct warm_plan *p, size_t j, const bool *used, int64_t added,
    const struct renamed *names)
{
	const struct warm_tensor *f = &p->want->file[j];
	struct warm_row *r = &p->v[p->n++];

	*r = (struct warm_row){ .action = WARM_SKIP, .steps = 1u << WARM_SKIP,
		.model = -1, .file = (int64_t)j, .added = -1,
		.fault = SPEC_FAULTS };
	if ((int64_t)j == added) {
		warm_explain(r, "row 0 is added to each row of the positions");
	} else if (is_needless(f)) {
		warm_explain(r, "training does not need it");
	} else if (f->same_as >= 0 && used[f->same_as]) {
		warm_explain(r, "the same numbers as %s",
		    p->want->file[f->same_as].name);
	} else {
		r->fault = SPEC_UNEXPECTED;
		if (names->own[j] == NULL)
			warm_explain(r, "the model has no such tensor");
		else
			warm_explain(r, "the model has no %s, which model.rename "
			    "makes of it", names->own[j]);
	}
}

static void
make_rows(struct warm_plan *p, const struct warm_fit *fit,
    const struct renamed *names)
{
	const struct warm_want *w = p->want;
	bool *used = xcalloc(w->nfile + 1, sizeof(*used));
	int64_t added = -1;

	p->v = xcalloc(w->nmodel + w->nfile + 1, sizeof(*p->v));
	p->n = p->nmodel = w->nmodel;
	for (size_t i = 0; i < w->nmodel; i++) {
		const struct warm_row *r = &p->v[i];
		model_row(p, i, fit, names);
		if (r->file >= 0)
			used[r->file] = true;
		if (r->added >= 0)
			added = r->added;
	}
	for (size_t j = 0; j < w->nfile; j++)
		if (!used[j])
			file_row(p, j, used, added, names);
	free(used);
}

static void
count(struct warm_plan *p)
{
	for (size_t i = 0; i < p->nmodel; i++) {
		const struct warm_row *r = &p->v[i];
		const struct warm_tensor *m = &p->want->model[i];
		const int64_t n = m->buffer ? 0 : warm_count(m);
		p->parameters += n;
		p->tensors += r->action != WARM_INIT;
		if (r->fault != SPEC_MISMATCH && r->action != WARM_GROW)
			p->outside += n;
		if (!m->buffer)
			p->loaded += r->loaded;
	}
}

/* --- notes ---------------------------------------------------------------- */

void
warm_note(struct warm_plan *p, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	char *s = rk_text_clean(sb_detach(&b));
	must(json_array_append_new(p->notes, json_string(s)) == 0);
	free(s);
}

/* Of which convention the variances are: names tell. */
static void
note_variances(struct warm_plan *p)
{
	int64_t n = 0;
	bool biased = false;

	for (size_t i = 0; i < p->nmodel; i++) {
		const struct warm_tensor *m = &p->want->model[i];
		if (m->kind != WARM_RUNNING || p->v[i].action == WARM_INIT)
			continue;
		const char *from = p->want->file[p->v[i].file].name;
		const char *dot = strrchr(from, '.');
		const bool is = (dot != NULL ? dot[1] : from[0]) == '_';
		if (is == m->biased)
			continue;
		biased = is;
		n++;
	}
	p->others_running = n > 0;
	p->biased = biased;
	if (n > 0)
		warm_note(p, "%lld running statistic%s of %s stay%s the number%s "
		    "that %s, and batch norms go on by that convention: "
		    "variances are of %s variances of batches", (long long)n,
		    rk_s(n), biased ? "Paddle" : "PyTorch",
		    n == 1 ? "s" : "", rk_s(n), n == 1 ? "it is" : "they are",
		    biased ? "biased" : "unbiased");
}

static void
note_reading(struct warm_plan *p)
{
	const struct warm_want *w = p->want;

	if (p->prefix[0] != '\0')
		warm_note(p, "names of the file are taken without \"%s\"",
		    p->prefix);
	if (w->spec->dialect != SPEC_DIALECT_UNSAID &&
	    w->framework != WARM_UNKNOWN &&
	    (w->framework == WARM_PADDLE) != (p->layout == WARM_PADDLE))
		warm_note(p, "the file is of %s, and model.dialect is %s, which "
		    "counts", warm_framework_words[w->framework],
		    spec_dialect_words[p->dialect]);
}

/* --- the whole ------------------------------------------------------------ */

enum rk_err
warm_plan_new(struct warm_plan **pp, const struct warm_want *w,
    struct rk_why *why)
{
	struct renamed names;
	struct warm_fit fit;
	struct warm_plan *p;

	*pp = NULL;
	enum rk_err rc = rename_all(&names, w, why);
	if (rc != RK_OK) {
		renamed_fini(&names);
		return rc;
	}
	warm_fit(w, names.v, &fit);
	p = xcalloc(1, sizeof(*p));
	p->want = w;
	p->notes = json_array();
	p->dialect = fit.table->dialect;
	p->next = fit.next != NULL ? fit.next->dialect : SPEC_DIALECT_UNSAID;
	p->next_fits = fit.next_fits;
	p->fits = fit.fits;
	p->prefix = xstrdup(fit.prefix);
	p->layout = fit.layout == WARM_PADDLE ? WARM_PADDLE : WARM_PYTORCH;
	make_rows(p, &fit, &names);
	count(p);
	warm_summarise(p);
	warm_digest(p);
	note_reading(p);
	note_variances(p);
	warm_note_growth(p);
	warm_note_unused(p, names.did);
	rc = warm_judge(p, &fit, why);
	warm_fit_free(&fit);
	renamed_fini(&names);
	*pp = p;
	return rc;
}

void
warm_plan_free(struct warm_plan *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].why);
		free(p->v[i].ungrown);
		free(p->v[i].grown.from);
	}
	free(p->v);
	free(p->prefix);
	free(p->summary);
	json_decref(p->notes);
	free(p);
}

bool
warm_adam_step(double beta2, double beta2_pow, int64_t *step,
    const char **reason)
{
	if (!(beta2 > 0 && beta2 < 1)) {
		*reason = "the optimizer's second beta is not between 0 and 1";
		return false;
	}
	if (!(beta2_pow > 0)) {
		*reason = "beta2_pow is 0: it has underflowed, and the count "
		    "of steps cannot be told";
		return false;
	}
	const double n = log(beta2_pow) / log(beta2) - 1;
	if (!(n > -0.5 && n < 9e15)) {
		*reason = "beta2_pow is no power of the optimizer's second "
		    "beta";
		return false;
	}
	*step = (int64_t)(n + 0.5);
	return true;
}
