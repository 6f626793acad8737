/* What a job does not take of a file. */
#include <string.h>

#include "impl.h"

/* The name of a tensor's layer ends at *len. */
static const char *
layer_of(const char *name, int *len)
{
	const char *dot = strrchr(name, '.');

	*len = (int)(dot != NULL ? (size_t)(dot - name) : strlen(name));
	return name;
}

/* A linear weight that would fit in the other layout. */
static bool
add_transposed(struct strbuf *b, const struct warm_plan *p,
    const struct warm_row *r)
{
	const bool paddle = p->layout == WARM_PADDLE;

	if (r->fault != SPEC_MISMATCH || r->model < 0)
		return false;
	const struct warm_tensor *m = &p->want->model[r->model];
	if (m->kind != WARM_LINEAR || !warm_shape_fits(m,
	    &p->want->file[r->file], paddle ? WARM_PYTORCH : WARM_PADDLE))
		return false;
	sb_addf(b, "; its %s is transposed: say model.dialect: %s, if that is "
	    "what it is", m->name, paddle ? "pytorch" : "paddle");
	return true;
}

/* A head of other classes, of which nobody knows which they are. */
static void
add_head(struct strbuf *b, const struct warm_plan *p,
    const struct warm_row *r)
{
	const struct warm_sides *s = &p->want->classes;

	if (r->fault != SPEC_MISMATCH || r->model < 0 ||
	    p->want->model[r->model].rows != WARM_ROWS_CLASSES ||
	    (s->file.n > 0 && s->model.n > 0) ||
	    spec_grow_of(p->want->spec, warm_row_name(p, r)) != NULL)
		return;
	int len;
	const char *name = layer_of(warm_row_name(p, r), &len);
	sb_addf(b, "; model.mismatch: {\"%.*s.*\": init} begins it anew; ",
	    len, name);
	if (s->file.n == 0)
		sb_addf(b, "model.grow: [%.*s] with model.checkpoint_classes "
		    "(what the file's classes are called) keeps what it knows "
		    "of classes that the job has, too", len, name);
	else
		sb_addf(b, "model.grow: {%.*s: {match: index}} keeps the "
		    "first rows", len, name);
}

static enum rk_err
refuse_rows(const struct warm_plan *p, struct rk_why *why)
{
	static const char *const words[SPEC_FAULTS] = {
		"is missing from the file",
		"is unexpected: the model has no such tensor",
		"does not match",
	};
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < p->n; i++) {
		const struct warm_row *r = &p->v[i];
		if (r->fault == SPEC_FAULTS || r->ungrown != NULL ||
		    warm_policy(p, r) != SPEC_POLICY_ERROR)
			continue;
		struct strbuf b = {0};
		warm_both_shapes(&b, p, r);
		add_transposed(&b, p, r);
		warm_add_could_grow(&b, p, r);
		add_head(&b, p, r);
		warm_add_unused(&b, p, r->fault);
		rc = rk_refuse_at(why, warm_row_name(p, r), "%s: %s",
		    words[r->fault],
		    sb_str(&b));
		sb_fini(&b);
	}
	return rc;
}

/* The last layer, which people mean first. */
static const char *
last_layer(const struct warm_plan *p, int *len)
{
	const struct warm_want *w = p->want;
	const char *name = "";

	for (size_t i = 0; i < w->nmodel; i++)
		if (!w->model[i].buffer)
			name = w->model[i].name;
	return layer_of(name, len);
}

#define NAMED_FIRST 3

static void
add_first(struct strbuf *b, const struct warm_names *n)
{
	for (int64_t i = 0; i < RK_MIN(n->n, NAMED_FIRST); i++)
		sb_addf(b, "%s\"%.*s\"", i > 0 ? ", " : "",
		    (int)rk_text_fit(n->v[i], 80), n->v[i]);
	if (n->n > NAMED_FIRST)
		sb_adds(b, " ...");
}

/* Names that are written otherwise look like that: a head of which nothing is
 * kept is a cold one.  Of the first tensor alone: its bias is the same. */
static enum rk_err
refuse_nothing_kept(const struct warm_plan *p, struct rk_why *why)
{
	const struct warm_row *r = NULL;
	struct strbuf b = {0};

	for (size_t i = 0; i < p->nmodel && r == NULL; i++)
		if (p->v[i].action == WARM_GROW && p->v[i].grown.named &&
		    p->v[i].grown.kept == 0)
			r = &p->v[i];
	if (r == NULL || !p->want->strict)
		return RK_OK;
	const struct warm_tensor *m = &p->want->model[r->model];
	const struct warm_called *k = &warm_called[m->rows];
	const struct warm_sides *s = warm_sides_of(p, m);
	sb_addf(&b, "%s is matched by name, and none of the %lld %s of the "
	    "file (", m->name, (long long)s->file.n, k->many);
	add_first(&b, &s->file);
	sb_addf(&b, ") is one of the job's %lld (", (long long)s->model.n);
	add_first(&b, &s->model);
	sb_addf(&b, "), so that all of its rows would begin anew: want %s with "
	    "the file's %s, in its order, called as the job calls them",
	    k->field, k->many);
	const enum rk_err rc = rk_refuse_at(why, "model.grow", "%s",
	    sb_str(&b));
	sb_fini(&b);
	return rc;
}

/* The same names in another order than the file has them are no other names,
 * but a mistake; of which the rows of all would be another's. */
static enum rk_err
refuse_other_order(const struct warm_plan *p, struct rk_why *why)
{
	int64_t at;

	if (!p->want->strict || warm_said(p, &at) != WARM_SAID_ORDER)
		return RK_OK;
	return rk_refuse_at(why, "model.checkpoint_classes", "has the names "
	    "that the checkpoint itself has, in another order: class %lld is "
	    "\"%.80s\" there and \"%.80s\" here; want none, as the checkpoint "
	    "knows its classes", (long long)at, p->want->told.v[at],
	    p->want->classes.file.v[at]);
}

/* What model.grow names, and cannot grow or is not there. */
static enum rk_err
refuse_growth(const struct warm_plan *p, struct rk_why *why)
{
	const struct spec_warm *s = p->want->spec;
	enum rk_err rc = RK_OK;
	int len;

	for (size_t i = 0; i < p->nmodel; i++)
		if (p->v[i].ungrown != NULL)
			rc = rk_refuse_at(why, "model.grow", "%s %s",
			    warm_row_name(p, &p->v[i]), p->v[i].ungrown);
	for (int k = 0; k < s->ngrow; k++) {
		const struct spec_warm one = { .grow = &s->grow[k],
			.ngrow = 1 };
		bool fits = false;
		for (size_t i = 0; i < p->nmodel; i++)
			fits |= !p->want->model[i].buffer && spec_grow_of(&one,
			    p->want->model[i].name) != NULL;
		const char *last = last_layer(p, &len);
		if (!fits)
			rc = rk_refuse_at(why, "model.grow", "has \"%s\", which "
			    "fits no layer of the model with parameters; its "
			    "last is %.*s", s->grow[k].layer, len, last);
	}
	return rc;
}

/* Do half of the file's names begin so?  Else it is a part of the network that
 * is called as another one of it ends: layer1.0.bn1 and bn1. */
static bool
is_before_half(const struct warm_want *w, const char *prefix, size_t n)
{
	size_t begin = 0;

	for (size_t j = 0; j < w->nfile; j++)
		begin += strncmp(w->file[j].name, prefix, n) == 0;
	return begin * 2 >= w->nfile;
}

/* What a file whose names nobody knows might be. */
static void
hint(struct strbuf *b, const struct warm_plan *p)
{
	const struct warm_want *w = p->want;

	for (size_t j = 0; j < RK_MIN(w->nfile, 64u); j++)
		for (size_t i = 0; i < RK_MIN(w->nmodel, 64u); i++) {
			const char *theirs = w->file[j].name;
			const char *ours = w->model[i].name;
			const size_t n = strlen(theirs), m = strlen(ours);
			if (n <= m + 1 || theirs[n - m - 1] != '.' ||
			    strcmp(theirs + n - m, ours) != 0 ||
			    !is_before_half(w, theirs, n - m))
				continue;
			sb_addf(b, "; its names begin with \"%.*s\", which "
			    "model.rename can take off", (int)(n - m), theirs);
			return;
		}
	for (size_t i = 0; i < w->nmodel; i++)
		if (add_transposed(b, p, &p->v[i]))
			return;
}

static enum rk_err
refuse_nothing(const struct warm_plan *p, struct rk_why *why)
{
	const struct warm_want *w = p->want;
	struct strbuf b = {0};

	if (w->nfile == 0) {
		sb_adds(&b, "the file has no tensors");
	} else {
		sb_addf(&b, "nothing in the file fits the model: it has %s ",
		    w->file[0].name);
		warm_both_shapes(&b, p, &(struct warm_row){ .model = -1 });
		sb_addf(&b, " and %zu more, the model wants %s ",
		    w->nfile - 1, w->model[0].name);
		warm_both_shapes(&b, p, &(struct warm_row){ .file = -1 });
		hint(&b, p);
	}
	enum rk_err rc = rk_refuse(why, "%s", sb_str(&b));
	sb_fini(&b);
	return rc;
}

int64_t
warm_loaded_outside(const struct warm_plan *p)
{
	int64_t loaded = 0;

	for (size_t i = 0; i < p->nmodel; i++)
		if (p->v[i].fault != SPEC_MISMATCH && p->v[i].action !=
		    WARM_GROW && !p->want->model[i].buffer)
			loaded += p->v[i].loaded;
	return loaded;
}

/* Of the parameters outside the tensors that do not match; rounded down. */
static enum rk_err
refuse_little(const struct warm_plan *p, struct rk_why *why)
{
	const struct warm_want *w = p->want;
	const double least = spec_warm_minimum(w->spec, w->strict);
	const int64_t loaded = warm_loaded_outside(p);
	char got[RK_HUMAN], all[RK_HUMAN];

	if (p->outside == 0 || (double)loaded >= least * (double)p->outside)
		return RK_OK;
	struct strbuf b = {0};
	sb_addf(&b, "is %g, and %.1f %% of the parameters outside the tensors "
	    "that do not match would load (%s of %s): %s", least,
	    100 * (double)loaded / (double)p->outside,
	    rk_group_digits(got, loaded), rk_group_digits(all, p->outside),
	    p->summary);
	hint(&b, p);
	enum rk_err rc = rk_refuse_at(why, "model.minimum", "%s", sb_str(&b));
	sb_fini(&b);
	return rc;
}

static enum rk_err
refuse_tie(const struct warm_plan *p, const struct warm_fit *fit,
    struct rk_why *why)
{
	if (!fit->tie)
		return RK_OK;
	return rk_refuse_at(why, "model.dialect", "is not said, and the file "
	    "can be read as %s and as %s: %zu tensors fit either way, and "
	    "other numbers would be loaded; say which",
	    spec_dialect_words[p->dialect], spec_dialect_words[p->next],
	    p->fits);
}

/* The version that a team has locked. */
static enum rk_err
refuse_producer(struct warm_plan *p, struct rk_why *why)
{
	const struct warm_want *w = p->want;
	struct strbuf b = {0};
	enum rk_err rc = RK_OK;

	const enum spec_version v = spec_producer_fits(w->spec, w->writer);
	for (int i = 0; i < w->spec->nproducer; i++)
		sb_addf(&b, "%s%s %s", i > 0 ? " or " : "",
		    w->spec->producer[i].name, w->spec->producer[i].versions);
	if (v == SPEC_VERSION_OTHER && w->strict)
		rc = rk_refuse_at(why, "model.producer", "asks for %s, and the "
		    "file says that it was written by %s", sb_str(&b),
		    w->writer);
	else if (v == SPEC_VERSION_OTHER)
		warm_note(p, "the file says that it was written by %s, and "
		    "model.producer asks for %s", w->writer, sb_str(&b));
	else if (v == SPEC_VERSION_UNSAID && w->writer != NULL)
		warm_note(p, "model.producer asks for %s, and the file is of "
		    "%s and does not say of which version, so that this is "
		    "not held against it; #sha256=... behind model.checkpoint "
		    "pins its bytes", sb_str(&b), w->writer);
	else if (v == SPEC_VERSION_UNSAID)
		warm_note(p, "model.producer asks for %s, and the file does not "
		    "say who wrote it, so that this is not held against it; "
		    "#sha256=... behind model.checkpoint pins its bytes",
		    sb_str(&b));
	sb_fini(&b);
	return rc;
}

enum rk_err
warm_judge(struct warm_plan *p, const struct warm_fit *fit, struct rk_why *why)
{
	enum rk_err rc = refuse_producer(p, why);

	const bool nothing = p->tensors == 0 && p->nmodel > 0;

	if (nothing && refuse_nothing(p, why) != RK_OK)
		rc = RK_EINVAL;
	if (refuse_tie(p, fit, why) != RK_OK)
		rc = RK_EINVAL;
	if (refuse_growth(p, why) != RK_OK)
		rc = RK_EINVAL;
	if (refuse_nothing_kept(p, why) != RK_OK)
		rc = RK_EINVAL;
	if (refuse_other_order(p, why) != RK_OK)
		rc = RK_EINVAL;
	if (refuse_rows(p, why) != RK_OK)
		rc = RK_EINVAL;
	if (!nothing && refuse_little(p, why) != RK_OK)
		rc = RK_EINVAL;
	return rc;
}
