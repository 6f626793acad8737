/*
 * What a person may not have meant, said before a run begins and in a summary:
 * none of it is an error.  More outputs than there are classes, outputs of
 * which each is a number of an image, a batch norm that will come upon one
 * value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phases.h"
#include "start.h"

struct remarks {
	const struct run *r;
	remark_fn *fn;
	void *ctx;
};

static void RK_PRINTF(2, 3)
remark(const struct remarks *m, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	char *text = rk_text_clean(sb_detach(&b));
	m->fn(m->ctx, text);
	free(text);
}

/* --- outputs -------------------------------------------------------------- */

/* The `classes` of an architecture, or NULL. */
static const int64_t *
classes_of(const struct spec_model *m)
{
	const enum spec_family f = spec_family_of(m->arch);

	if (f == SPEC_FAMILY_NONE)
		return NULL;
	for (const struct spec_field *k = spec_families[f].fields;
	    k->key != NULL; k++)
		if (strcmp(k->key, "classes") == 0)
			return (const int64_t *)(const void *)((const char *)
			    &m->u + k->at);
	return NULL;
}

/* "model.layers[3]: head (linear)", or the field of an architecture that says
 * how many outputs there are; the caller frees. */
static char *
output_words(const struct spec_model *m, const struct nn_layer *l)
{
	const int64_t *classes = classes_of(m);

	if (classes != NULL)
		return xasprintf("model.classes is %lld: %s (%s)",
		    (long long)*classes, l->name, l->type);
	if (m->arch == SPEC_ARCH_mlp)
		return xasprintf("model.sizes: %s (%s)", l->name, l->type);
	return xasprintf("%s: layer %s (%s)", l->path, l->name, l->type);
}

static int64_t
classes_of_data(const struct run *r)
{
	const int64_t n = r->train != NULL ? r->train->nclasses : 0;

	return r->valid != NULL ? RK_MAX(n, r->valid->nclasses) : n;
}

/* Dimensions that are more than 1; only one of them can be the classes. */
static int
wide_dims(const struct nn_layer *l)
{
	int n = 0;

	for (int i = 0; i < l->ndim; i++)
		n += l->d[i] > 1;
	return n;
}

static void
shape_text(struct strbuf *b, const struct nn_layer *l)
{
	for (int i = 0; i < l->ndim; i++)
		sb_addf(b, "%s%lld", i > 0 ? "x" : "", (long long)l->d[i]);
}

static void
remark_outputs(const struct remarks *m)
{
	const struct run *r = m->r;
	const struct spec_model *model = &r->spec->model;
	const int64_t outputs = nn_outputs(r->nn);
	const int64_t classes = classes_of_data(r);
	char some[RK_HUMAN], data[RK_HUMAN];
	struct strbuf shape = {0};
	struct nn_layer l;

	if (!run_classifies(r) || r->spec->training.loss.nweights > 0)
		return;
	nn_logits_at(r->nn, &l);
	char *who = output_words(model, &l);
	shape_text(&shape, &l);
	rk_group_digits(some, outputs);
	rk_group_digits(data, classes);
	if (wide_dims(&l) > 1)
		remark(m, "%s gives %s, of which the loss takes each of the "
		    "%s numbers for a class%s: %s", who, sb_str(&shape), some,
		    classes > 0 ? ", more than the data have" : "",
		    classes_of(model) != NULL ? "say how many there are" :
		    "a linear layer works on the last dimension, and wants a "
		    "flatten or global_avg_pool2d and flatten before it");
	else if (classes > 0 && outputs > classes)
		remark(m, "%s gives %s outputs, and the labels of the data "
		    "are 0 to %lld: output %s and those behind are never "
		    "right; %s", who, some, (long long)classes - 1, data,
		    classes_of(model) != NULL ? "say model.classes" :
		    "want one a class");
	sb_fini(&shape);
	free(who);
}

/* --- batch norm ----------------------------------------------------------- */

/* The smallest part of a step of so many rows, `micro` at a time. */
static int64_t
last_part(int64_t rows, int64_t micro)
{
	const int64_t left = rows % micro;

	return left > 0 ? left : RK_MIN(rows, micro);
}

static bool
fits(const struct run *r, int64_t rows, int64_t micro)
{
	return rows == 0 || nn_may_train(r->nn, last_part(rows, micro),
	    NULL) == RK_OK;
}

/* Rows of the smaller step at the end of an epoch; 0: there is none, or
 * several, of buckets. */
static int64_t
rest_of(const struct run *r, int64_t batch)
{
	return r->train == NULL || r->train->nlengths > 0 ||
	    r->spec->training.drop_last ? 0 : r->train->n % batch;
}

static void
advise_micro(const struct run *r, struct strbuf *b)
{
	int64_t m = nn_micro(r->nn) + 1;

	while (m < r->batch && !(fits(r, r->batch, m) &&
	    fits(r, rest_of(r, r->batch), m)))
		m++;
	sb_addf(b, "; say another, such as %lld", (long long)m);
}

static void
advise_batch(const struct run *r, struct strbuf *b)
{
	const int64_t most = RK_MIN(2 * r->batch, r->train->n);
	const int64_t micro = r->spec->training.micro_batch_size;
	int64_t m = r->batch + 1;

	while (m <= most && !fits(r, rest_of(r, m), micro > 0 ? micro : m))
		m++;
	if (m <= most)
		sb_addf(b, "; say another, such as %lld, or "
		    "training.drop_last: true", (long long)m);
	else
		sb_adds(b, "; say another, or training.drop_last: true");
}

bool
remarks_may_train(const struct run *r, int64_t rows, struct strbuf *b)
{
	const struct spec_training *t = &r->spec->training;
	const int64_t micro = nn_micro(r->nn);
	const int64_t part = last_part(rows, micro);
	struct rk_why why = {0};

	if (nn_may_train(r->nn, part, &why) == RK_OK)
		return true;
	if (part < rows)
		sb_addf(b, "training.micro_batch_size is %lld, and the last "
		    "part of a step of %lld sample%s is %lld",
		    (long long)micro, (long long)rows, rk_s(rows),
		    (long long)part);
	else if (rows < t->batch_size && rows < r->train->n)
		sb_addf(b, "training.batch_size is %lld, and the last step of "
		    "an epoch of %lld sample%s has %lld",
		    (long long)t->batch_size, (long long)r->train->n,
		    rk_s(r->train->n), (long long)rows);
	else
		sb_addf(b, "a step has %lld sample%s", (long long)rows,
		    rk_s(rows));
	sb_addf(b, ": %s", why.v[0].message);
	rk_why_fini(&why);
	if (part < rows)
		advise_micro(r, b);
	else if (rows < r->batch)
		advise_batch(r, b);
	else
		sb_adds(b, "; say a training.batch_size of 2 or more");
	return false;
}

/* The step at which it will be refused, if the run comes to it. */
static void
remark_parts(const struct remarks *m)
{
	const struct run *r = m->r;
	const int64_t rest = rest_of(r, r->batch);
	struct strbuf b = {0};
	int64_t step = r->at.step + 1;

	bool bad = !remarks_may_train(r, r->batch, &b);
	if (!bad && rest > 0 && !remarks_may_train(r, rest, &b)) {
		bad = true;
		step = (r->at.epoch + 1) * r->steps_per_epoch;
	}
	if (bad && step <= r->steps_total)
		remark(m, "step %lld will be refused: %s", (long long)step,
		    sb_str(&b));
	sb_fini(&b);
}

/* What the sources have to say, and classes that one side does not have. */
static void
remark_data(const struct remarks *m)
{
	const struct data_set *sets[] = { m->r->train, m->r->valid };

	for (size_t k = 0; k < RK_ARRAY_LEN(sets); k++) {
		size_t n = 0;
		const char *const *v = sets[k] != NULL ?
		    data_remarks(sets[k], &n) : NULL;
		for (size_t i = 0; i < n; i++) {
			/* Of data.transforms, both lists: once. */
			if (strncmp(v[i], "data.", 5) != 0)
				remark(m, "data.%s: %s", k == 0 ? "train" :
				    "validation", v[i]);
			else if (k == 0)
				remark(m, "%s", v[i]);
		}
	}
}

/* A cache that has nothing to keep. */
static void
remark_features(const struct remarks *m)
{
	if (spec_phase_cache(&m->r->spec->training, m->r->phase.index) == 0 ||
	    nn_features(m->r->nn) > 0)
		return;
	remark(m, "training.cache_features keeps nothing: no layer with "
	    "parameters lies below all that is trained, and below each "
	    "dropout and each batch norm that takes the statistics of a "
	    "batch");
}

/* What is said of a warm start that there is not: a lost line is a cold one. */
static void
remark_cold(const struct remarks *m)
{
	const struct spec_warm *w = &m->r->spec->model.warm;
	const struct spec_warm_start *t = &m->r->spec->training.warm_start;
	const struct {
		bool said;
		const char *field;
	} fields[] = {
		{ w->dialect != SPEC_DIALECT_UNSAID, "model.dialect" },
		{ w->nrename > 0, "model.rename" },
		{ w->nproducer > 0, "model.producer" },
		{ t->optimizer != SPEC_CARRY_NONE,
		    "training.warm_start.optimizer" },
		{ t->schedule != SPEC_FROM_RESTART,
		    "training.warm_start.schedule" },
		{ t->ema, "training.warm_start.ema" },
	};
	struct strbuf b = {0};

	for (size_t i = 0; !warm_wanted(m->r) && i < RK_ARRAY_LEN(fields); i++)
		if (fields[i].said)
			sb_addf(&b, "%s%s", b.len > 0 ? ", " : "",
			    fields[i].field);
	if (b.len > 0)
		remark(m, "the job starts cold, as it says no "
		    "model.checkpoint; without one %s counts for nothing",
		    sb_str(&b));
	sb_fini(&b);
}

void
remarks(const struct run *r, remark_fn *fn, void *ctx)
{
	const struct remarks m = { r, fn, ctx };

	phases_remarks(r, fn, ctx);
	remark_cold(&m);
	remark_features(&m);
	remark_data(&m);
	remark_outputs(&m);
	if (r->train != NULL)
		remark_parts(&m);
}

void
remarks_print(const struct data_set *d, const char *of)
{
	size_t n = 0;
	const char *const *v = d != NULL ? data_remarks(d, &n) : NULL;

	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "remark: %s%s\n", of, v[i]);
}

static void
say(void *ctx, const char *sentence)
{
	struct run *r = ctx;

	report_warning(&r->rep, "remark", "%s", sentence);
}

void
remarks_tell(struct run *r)
{
	remarks(r, say, r);
}
