/* A plan in words: the sentence, JSON, the table, and the digest. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define NAMED_MAX   8           /* tensors named in the sentence */
#define PART_DIGITS 20          /* of the digest: the file's, the model's */

const char *
warm_row_name(const struct warm_plan *p, const struct warm_row *r)
{
	return r->model >= 0 ? p->want->model[r->model].name :
	    p->want->file[r->file].name;
}

static bool
same_dims(const struct warm_tensor *a, const struct warm_tensor *b)
{
	return a->ndim == b->ndim && memcmp(a->d, b->d, (size_t)a->ndim *
	    sizeof(a->d[0])) == 0;
}

void
warm_both_shapes(struct strbuf *b, const struct warm_plan *p,
    const struct warm_row *r)
{
	const struct warm_tensor *m = r->model >= 0 ?
	    &p->want->model[r->model] : NULL;
	const struct warm_tensor *f = r->file >= 0 ?
	    &p->want->file[r->file] : NULL;
	char text[TENSOR_SHAPE_TEXT];
	const bool of_type = m != NULL && f != NULL && same_dims(m, f);

	if (f != NULL)
		sb_addf(b, "file %s%s%s", of_type ? dtype_name(f->dtype) : "",
		    of_type ? " " : "", tensor_shape_text(text, f->ndim,
		    f->d));
	if (m != NULL)
		sb_addf(b, "%smodel %s", f != NULL ? ", " : "",
		    tensor_shape_text(text, m->ndim, m->d));
}

/* --- the sentence --------------------------------------------------------- */

/* "25.56 M", or all digits; a part is never rounded up to the whole. */
char *
warm_human(char out[RK_HUMAN], int64_t n, int64_t all)
{
	if (all < 1000000)
		return rk_group_digits(out, n);
	const int64_t hundredths = (n + (n == all ? 5000 : 0)) / 10000;
	snprintf(out, RK_HUMAN, "%lld.%02lld M", (long long)(hundredths / 100),
	    (long long)(hundredths % 100));
	return out;
}

/* Of which layer: what is before the last dot. */
static bool
same_layer(const char *a, const char *b)
{
	const char *x = strrchr(a, '.'), *y = strrchr(b, '.');

	return x != NULL && y != NULL && x - a == y - b &&
	    strncmp(a, b, (size_t)(x - a)) == 0;
}

/* What the sentence has of the model's tensors. */
enum pick { PICK_NEW, PICK_SLICED, PICK_GROWN, PICK_MISSING };
static const struct {
	const char *word;
	bool shapes;                    /* both are said */
	bool always;                    /* also where there are none */
} picks[] = {
	[PICK_NEW] = { "new", true, true },
	[PICK_SLICED] = { "sliced", true, false },
	[PICK_GROWN] = { "grown", true, false },
	[PICK_MISSING] = { "missing", false, true },
};

static bool
is_one(const struct warm_row *r, enum pick k)
{
	const bool sliced = (r->steps & 1u << WARM_SLICE) != 0;

	switch (k) {
	case PICK_NEW:
		return r->fault == SPEC_MISMATCH && !sliced;
	case PICK_SLICED:
		return sliced;
	case PICK_GROWN:
		return r->action == WARM_GROW;
	case PICK_MISSING:
		return r->fault == SPEC_MISSING;
	}
	return false;
}

/* "fc.weight, fc.bias (file [1000,2048], model [13,2048])": the tensors of a
 * layer one behind the other, and the shapes of its first. */
static void
name_some(struct strbuf *b, const struct warm_plan *p, enum pick k, size_t n)
{
	const struct warm_row *first = NULL;
	size_t named = 0;

	for (size_t i = 0; i < p->nmodel && named < NAMED_MAX; i++) {
		const struct warm_row *r = &p->v[i];
		if (!is_one(r, k))
			continue;
		const char *name = warm_row_name(p, r);
		if (first != NULL && picks[k].shapes &&
		    !same_layer(warm_row_name(p, first), name)) {
			sb_adds(b, " (");
			warm_both_shapes(b, p, first);
			sb_addc(b, ')');
			first = NULL;
		}
		sb_addf(b, "%s %s", named++ > 0 ? "," : ":", name);
		if (first == NULL)
			first = r;
	}
	if (first != NULL && picks[k].shapes) {
		sb_adds(b, " (");
		warm_both_shapes(b, p, first);
		sb_addc(b, ')');
	}
	if (n > named)
		sb_addf(b, ", and %zu more", n - named);
}

static void
list(struct strbuf *b, const struct warm_plan *p, enum pick k)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nmodel; i++)
		n += is_one(&p->v[i], k);
	if (n == 0 && !picks[k].always)
		return;
	sb_addf(b, "; %zu %s", n, picks[k].word);
	name_some(b, p, k, n);
}

void
warm_summarise(struct warm_plan *p)
{
	char got[RK_HUMAN], all[RK_HUMAN];
	struct strbuf b = {0};

	sb_addf(&b, "loaded %zu of %zu tensor%s (%s of %s parameter%s)",
	    p->tensors, p->nmodel, rk_s((int64_t)p->nmodel),
	    warm_human(got, p->loaded, p->parameters),
	    warm_human(all, p->parameters, p->parameters), rk_s(p->parameters));
	list(&b, p, PICK_NEW);
	list(&b, p, PICK_SLICED);
	list(&b, p, PICK_GROWN);
	list(&b, p, PICK_MISSING);
	sb_addf(&b, "; %zu ignored", p->n - p->nmodel);
	p->summary = rk_text_clean(sb_detach(&b));
}

/* --- the digest ----------------------------------------------------------- */

static void
add_tensors(struct strbuf *b, const struct warm_tensor *v, size_t n, bool ours)
{
	char text[TENSOR_SHAPE_TEXT];

	for (size_t i = 0; i < n; i++)
		sb_addf(b, "%s %s %s %d\n", v[i].name, dtype_name(v[i].dtype),
		    tensor_shape_text(text, v[i].ndim, v[i].d),
		    ours ? (int)v[i].kind : 0);
}

static void
part(struct strbuf *b, char hex[RK_SHA256_HEX])
{
	rk_sha256_of(sb_str(b), b->len, hex);
	sb_reset(b);
}

/* Which rows go where; nothing where nothing grows. */
static void
add_growth(struct strbuf *b, const struct warm_plan *p)
{
	for (size_t i = 0; i < p->nmodel; i++) {
		const struct warm_grown *g = &p->v[i].grown;
		if (p->v[i].action != WARM_GROW)
			continue;
		sb_addf(b, "grown %zu %d %d", i, (int)g->way, (int)g->init);
		for (int64_t k = 0; g->from != NULL && k < g->n; k++)
			sb_addf(b, " %lld", (long long)g->from[k]);
		sb_addc(b, '\n');
	}
}

void
warm_digest(struct warm_plan *p)
{
	const struct warm_want *w = p->want;
	char hex[RK_SHA256_HEX];
	struct strbuf b = {0};

	sb_addf(&b, "file %d\n", (int)p->layout);
	add_tensors(&b, w->file, w->nfile, false);
	part(&b, hex);
	memcpy(p->digest, hex, PART_DIGITS);
	sb_adds(&b, "model\n");
	add_tensors(&b, w->model, w->nmodel, true);
	part(&b, hex);
	memcpy(p->digest + PART_DIGITS, hex, PART_DIGITS);
	sb_adds(&b, "rows\n");
	for (size_t i = 0; i < p->n; i++)
		sb_addf(&b, "%lld %lld %lld %u\n", (long long)p->v[i].model,
		    (long long)p->v[i].file, (long long)p->v[i].added,
		    p->v[i].steps);
	add_growth(&b, p);
	part(&b, hex);
	memcpy(p->digest + 2 * PART_DIGITS, hex, sizeof(hex) - 2 *
	    PART_DIGITS - 1);
	p->digest[RK_SHA256_HEX - 1] = '\0';
	sb_fini(&b);
}

char *
warm_plan_changed(const struct warm_plan *p, const char *digest)
{
	static const char *const whose[] = { "the tensors of the file",
		"the tensors of the model", "what is done with them" };
	struct strbuf b = {0};
	size_t at = 0, n = 0;

	if (strcmp(digest, p->digest) == 0)
		return NULL;
	if (strlen(digest) != strlen(p->digest))
		return xasprintf("%s is no plan's digest; that of the plan is "
		    "%s", digest, p->digest);
	for (size_t k = 0; k < RK_ARRAY_LEN(whose); k++) {
		const size_t len = k < 2 ? PART_DIGITS :
		    strlen(p->digest) - at;
		if (strncmp(digest + at, p->digest + at, len) != 0)
			sb_addf(&b, "%s%s", n++ > 0 ? ", " : "", whose[k]);
		at += len;
	}
	char *s = xasprintf("the plan is not the one that was shown (%.12s): "
	    "%s changed; now it is %s: %s", digest, sb_str(&b), p->digest,
	    p->summary);
	sb_fini(&b);
	return s;
}

/* --- JSON ----------------------------------------------------------------- */

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

/* A name that need not be fit for JSON. */
static json_t *
text(const char *s)
{
	char *clean = rk_text_clean(xstrdup(s));
	json_t *v = json_string(clean);

	free(clean);
	return v;
}

static json_t *
shape(const struct warm_tensor *t)
{
	json_t *v = json_array();

	for (int i = 0; i < t->ndim; i++)
		must(json_array_append_new(v, json_integer(t->d[i])) == 0);
	return v;
}

static json_t *
steps(const struct warm_row *r)
{
	json_t *v = json_array();

	for (int a = WARM_RENAME; a < WARM_ACTIONS; a++)
		if ((r->steps & 1u << a) != 0)
			must(json_array_append_new(v,
			    json_string(warm_action_words[a])) == 0);
	return v;
}

static json_t *
row_json(const struct warm_plan *p, const struct warm_row *r)
{
	json_t *v = json_pack("{s:o, s:s, s:o}", "name",
	    text(warm_row_name(p, r)), "action", warm_action_words[r->action],
	    "steps", steps(r));

	must(v != NULL);
	if (r->file >= 0) {
		const struct warm_tensor *f = &p->want->file[r->file];
		put(v, "from", text(f->name));
		put(v, "file_shape", shape(f));
		put(v, "file_dtype", json_string(dtype_name(f->dtype)));
	}
	if (r->model >= 0) {
		const struct warm_tensor *m = &p->want->model[r->model];
		int64_t n = 1;
		for (int i = 0; i < m->ndim; i++)
			n *= m->d[i];
		put(v, "model_shape", shape(m));
		put(v, "kind", json_string(m->buffer ? "buffer" :
		    "parameter"));
		put(v, "elements", json_integer(n));
		put(v, "loaded", json_integer(r->loaded));
	}
	if (r->added >= 0)
		put(v, "added", text(p->want->file[r->added].name));
	if (r->action == WARM_GROW)
		put(v, "grown", warm_grown_json(r));
	if (r->why != NULL)
		put(v, "why", text(r->why));
	return v;
}

json_t *
warm_plan_json(const struct warm_plan *p, const char *source)
{
	const struct warm_want *w = p->want;
	json_t *rows = json_array();

	for (size_t i = 0; i < p->n; i++)
		must(json_array_append_new(rows, row_json(p, &p->v[i])) == 0);
	json_t *v = json_pack("{s:s, s:s, s:b, s:o, s:s, s:s, s:s}",
	    "summary", p->summary, "digest", p->digest, "strict",
	    (int)w->strict, "source", text(source), "dialect",
	    spec_dialect_words[p->dialect], "prefix", p->prefix,
	    "framework", warm_framework_words[w->framework]);
	must(v != NULL);
	put(v, "runner_up", p->next == SPEC_DIALECT_UNSAID ? json_null() :
	    json_pack("{s:s, s:I}", "dialect", spec_dialect_words[p->next],
	    "tensors", (json_int_t)p->next_fits));
	put(v, "writer", w->writer != NULL ? text(w->writer) : json_null());
	put(v, "tensors_loaded", json_integer((json_int_t)p->tensors));
	put(v, "tensors_total", json_integer((json_int_t)p->nmodel));
	put(v, "parameters_loaded", json_integer(p->loaded));
	put(v, "parameters_total", json_integer(p->parameters));
	put(v, "minimum", json_real(spec_warm_minimum(w->spec, w->strict)));
	put(v, "notes", json_deep_copy(p->notes));
	json_t *classes = warm_classes_json(p);
	if (classes != NULL)
		put(v, "classes", classes);
	put(v, "tensors", rows);
	return v;
}

/* --- the table ------------------------------------------------------------ */

void
warm_plan_table(const struct warm_plan *p, struct strbuf *out)
{
	char a[TENSOR_SHAPE_TEXT], b[TENSOR_SHAPE_TEXT];
	int wide = 6;

	for (size_t i = 0; i < p->n; i++)
		wide = RK_MAX(wide, (int)strlen(warm_row_name(p, &p->v[i])));
	wide = RK_MIN(wide, 60);
	sb_addf(out, "%-9s  %-*s  %-20s  %-20s  %s\n", "ACTION", wide,
	    "TENSOR", "FILE", "MODEL", "WHY");
	for (size_t i = 0; i < p->n; i++) {
		const struct warm_row *r = &p->v[i];
		const struct warm_tensor *m = r->model >= 0 ?
		    &p->want->model[r->model] : NULL;
		const struct warm_tensor *f = r->file >= 0 ?
		    &p->want->file[r->file] : NULL;
		char *name = rk_text_clean(xstrdup(warm_row_name(p, r)));
		char *from = (r->steps & 1u << WARM_RENAME) != 0 ?
		    rk_text_clean(xasprintf("from %s%s", f->name,
		    r->why != NULL ? "; " : "")) : xstrdup("");
		sb_addf(out, "%-9s  %-*s  %-20s  %-20s  %s%s\n",
		    warm_action_words[r->action], wide, name,
		    f != NULL ? tensor_shape_text(a, f->ndim, f->d) : "",
		    m != NULL ? tensor_shape_text(b, m->ndim, m->d) : "",
		    from, r->why != NULL ? r->why : "");
		free(name);
		free(from);
	}
}
