/* The plan of a warm start: which tensor of the file goes where. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/train.h"
#include "summary.h"

#define PLAN_TAG   0x504c414eu
#define NAMED_MAX  8            /* tensors named in the summary */

struct plan_row {
	enum plan_action action;
	const struct tensor *from;      /* NULL: not in the file */
	const struct nn_tensor *to;     /* NULL: not in the model */
};

struct plan {
	unsigned tag;
	struct plan_row *v;             /* the model's tensors, then the rest */
	size_t n, nmodel;
	bool strict;
	int64_t tensors_loaded, parameters_loaded, parameters_total;
	char *summary;
};

static const char *const action_words[] = {
	"copy", "convert", "init", "mismatch", "skip"
};

static bool
same_shape(const struct tensor *f, const struct nn_tensor *m)
{
	if (f->ndim != m->ndim)
		return false;
	for (int i = 0; i < f->ndim; i++) {
		if (f->d[i] != m->d[i])
			return false;
	}
	return true;
}

static enum plan_action
action_for(const struct tensor *f, const struct nn_tensor *m)
{
	if (f == NULL)
		return PLAN_INIT;
	if (!same_shape(f, m))
		return PLAN_MISMATCH;
	switch (f->dtype) {
	case DT_F32:
		return PLAN_COPY;
	case DT_F16:
	case DT_BF16:
	case DT_F64:
		return PLAN_CONVERT;
	default:
		return PLAN_MISMATCH;
	}
}

static bool
is_loaded(const struct plan_row *w)
{
	return w->action == PLAN_COPY || w->action == PLAN_CONVERT;
}

/* PyTorch counts the batches that a batch norm has seen; nothing that we train
 * depends on it, so a file that has the counter is still a clean copy. */
static bool
is_counter(const struct tensor *t)
{
	static const char word[] = "num_batches_tracked";
	size_t n = strlen(t->name), w = sizeof(word) - 1;

	return n >= w && strcmp(t->name + n - w, word) == 0 &&
	    (n == w || t->name[n - w - 1] == '.');
}

static void
match(struct plan *p, const struct nn *n, const struct tensor_set *file)
{
	bool *used = xcalloc(file->n + 1, sizeof(*used));

	for (size_t i = 0; i < p->nmodel; i++) {
		struct plan_row *w = &p->v[i];
		w->to = nn_tensor_at(n, i);
		w->from = tensor_find(file, w->to->name);
		w->action = action_for(w->from, w->to);
		if (w->from != NULL)
			used[w->from - file->v] = true;
		int64_t params = w->to->is_buffer ? 0 : w->to->count;
		p->parameters_total += params;
		if (is_loaded(w)) {
			p->tensors_loaded++;
			p->parameters_loaded += params;
		}
	}
	p->n = p->nmodel;
	for (size_t i = 0; i < file->n; i++) {
		if (!used[i])
			p->v[p->n++] = (struct plan_row){
				.action = PLAN_SKIP, .from = &file->v[i]
			};
	}
	free(used);
}

/* "file [10,256] model [12,256]", with the type where that is what differs. */
static void
both_shapes(struct strbuf *b, const struct plan_row *w)
{
	char text[TENSOR_SHAPE_TEXT];

	if (w->from != NULL) {
		bool of_type = w->to != NULL && same_shape(w->from, w->to);
		sb_addf(b, " file %s%s%s", of_type ?
		    dtype_name(w->from->dtype) : "", of_type ? " " : "",
		    tensor_shape_text(text, w->from->ndim, w->from->d));
	}
	if (w->to != NULL)
		sb_addf(b, " model %s", tensor_shape_text(text, w->to->ndim,
		    w->to->d));
}

static const char *
row_name(const struct plan_row *w)
{
	return w->to != NULL ? w->to->name : w->from->name;
}

/* "; 2 new: a file [1] model [2], b model [3]" for the rows from..to-1 that
 * want it. */
static void
name_some(struct strbuf *b, const struct plan *p, size_t from, size_t to,
    const char *word)
{
	size_t n = 0, named = 0;

	for (size_t i = from; i < to; i++)
		n += !is_loaded(&p->v[i]);
	if (n == 0)
		return;
	sb_addf(b, "; %zu %s:", n, word);
	for (size_t i = from; i < to && named < NAMED_MAX; i++) {
		if (is_loaded(&p->v[i]))
			continue;
		sb_addf(b, "%s %s", named++ > 0 ? "," : "",
		    row_name(&p->v[i]));
		both_shapes(b, &p->v[i]);
	}
	if (n > named)
		sb_addf(b, ", and %zu more", n - named);
}

static char *
summarise(const struct plan *p)
{
	char got[RK_HUMAN], all[RK_HUMAN];
	struct strbuf b = {0};

	sb_addf(&b, "loaded %lld of %zu tensor%s (%s of %s parameter%s)",
	    (long long)p->tensors_loaded, p->nmodel, rk_s((int64_t)p->nmodel),
	    rk_group_digits(got, p->parameters_loaded),
	    rk_group_digits(all, p->parameters_total),
	    rk_s(p->parameters_total));
	name_some(&b, p, 0, p->nmodel, "new");
	name_some(&b, p, p->nmodel, p->n, "not used");
	return rk_text_clean(sb_detach(&b));
}

/* Every row that keeps a strict load from being a clean copy, as a fault. */
static enum rk_err
refuse_unless_clean(const struct plan *p, struct rk_why *why)
{
	static const char *const words[] = {
		[PLAN_INIT] = "is missing from the file",
		[PLAN_MISMATCH] = "does not match",
		[PLAN_SKIP] = "is unexpected: the model has no such tensor",
	};
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < p->n; i++) {
		const struct plan_row *w = &p->v[i];
		if (is_loaded(w) || (w->to == NULL && is_counter(w->from)))
			continue;
		struct strbuf b = {0};
		both_shapes(&b, w);
		rc = rk_refuse_at(why, row_name(w), "%s:%s", words[w->action],
		    sb_str(&b));
		sb_fini(&b);
	}
	return rc;
}

/* What a file whose names nobody knows might be, for the refusal. */
static void
hint(struct strbuf *b, const struct plan *p)
{
	for (size_t i = p->nmodel; i < p->n; i++) {
		const char *theirs = p->v[i].from->name;
		size_t n = strlen(theirs);
		for (size_t k = 0; k < RK_MIN(p->nmodel, 64u); k++) {
			const char *ours = p->v[k].to->name;
			size_t m = strlen(ours);
			if (n > m + 1 && theirs[n - m - 1] == '.' &&
			    strcmp(theirs + n - m, ours) == 0) {
				sb_addf(b, "; its names begin with \"%.*s\"",
				    (int)(n - m), theirs);
				return;
			}
		}
	}
	for (size_t k = 0; k < p->nmodel; k++) {
		const struct plan_row *w = &p->v[k];
		if (w->from != NULL && w->from->ndim == 2 && w->to->ndim == 2 &&
		    w->from->d[0] == w->to->d[1] &&
		    w->from->d[1] == w->to->d[0]) {
			sb_addf(b, "; its %s is transposed", w->to->name);
			return;
		}
	}
}

static enum rk_err
refuse_if_nothing(const struct plan *p, const struct tensor_set *file,
    struct rk_why *why)
{
	struct strbuf b = {0};

	if (p->tensors_loaded > 0)
		return RK_OK;
	if (file->n == 0) {
		sb_adds(&b, "the file has no tensors");
	} else {
		sb_addf(&b, "nothing in the file fits the model: it has %s",
		    file->v[0].name);
		both_shapes(&b, &(struct plan_row){ .from = &file->v[0] });
		sb_addf(&b, " and %zu more, the model wants %s", file->n - 1,
		    p->v[0].to->name);
		both_shapes(&b, &(struct plan_row){ .to = p->v[0].to });
		hint(&b, p);
	}
	enum rk_err rc = rk_refuse(why, "%s", sb_str(&b));
	sb_fini(&b);
	return rc;
}

enum rk_err
plan_new(struct plan **pp, const struct nn *n, const struct tensor_set *file,
    bool strict, struct rk_why *why)
{
	struct plan *p = xcalloc(1, sizeof(*p));
	enum rk_err rc;

	p->tag = PLAN_TAG;
	p->strict = strict;
	p->nmodel = nn_ntensors(n);
	p->v = xcalloc(p->nmodel + file->n + 1, sizeof(*p->v));
	match(p, n, file);
	p->summary = summarise(p);
	rc = p->nmodel > 0 ? refuse_if_nothing(p, file, why) : RK_OK;
	if (strict && refuse_unless_clean(p, why) != RK_OK)
		rc = RK_EINVAL;
	if (rc == RK_OK)
		*pp = p;
	else
		plan_free(p);
	return rc;
}

void
plan_free(struct plan *p)
{
	if (p == NULL)
		return;
	must_be(p, PLAN_TAG);
	free(p->summary);
	free(p->v);
	free(p);
}

const char *
plan_summary(const struct plan *p)
{
	must_be(p, PLAN_TAG);
	return p->summary;
}

static json_t *
row_json(const struct plan_row *w)
{
	char *name = rk_text_clean(xstrdup(row_name(w)));
	json_t *v = json_pack("{s:s, s:s}", "name", name, "action",
	    action_words[w->action]);

	free(name);
	must(v != NULL);
	if (w->from != NULL) {
		must(json_object_set_new(v, "file_shape",
		    shape_json(w->from->ndim, w->from->d)) == 0);
		must(json_object_set_new(v, "file_dtype",
		    json_string(dtype_name(w->from->dtype))) == 0);
	}
	if (w->to != NULL) {
		must(json_object_set_new(v, "model_shape",
		    shape_json(w->to->ndim, w->to->d)) == 0);
		must(json_object_set_new(v, "kind", json_string(
		    w->to->is_buffer ? "buffer" : "parameter")) == 0);
		must(json_object_set_new(v, "elements",
		    json_integer(w->to->count)) == 0);
	}
	return v;
}

json_t *
plan_json(const struct plan *p, const char *source)
{
	json_t *rows = json_array();

	must_be(p, PLAN_TAG);
	for (size_t i = 0; i < p->n; i++)
		must(json_array_append_new(rows, row_json(&p->v[i])) == 0);
	char *from = rk_text_clean(xstrdup(source));
	json_t *v = json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:o}",
	    "summary", p->summary, "strict", (int)p->strict, "source", from,
	    "tensors_loaded", (json_int_t)p->tensors_loaded,
	    "tensors_total", (json_int_t)p->nmodel,
	    "parameters_loaded", (json_int_t)p->parameters_loaded,
	    "parameters_total", (json_int_t)p->parameters_total,
	    "tensors", rows);
	free(from);
	must(v != NULL);
	return v;
}

enum rk_err
plan_apply(const struct plan *p, struct nn *n, uint64_t seed)
{
	must_be(p, PLAN_TAG);
	for (size_t i = 0; i < p->nmodel; i++) {
		const struct plan_row *w = &p->v[i];
		if (!is_loaded(w)) {
			nn_init_one(n, seed, w->to);
			continue;
		}
		enum rk_err rc = tensor_to_f32(w->from, w->to->value);
		if (rc != RK_OK)
			return rc;
	}
	return RK_OK;
}
