/* What the tests of spec share: a small job, changed one field at a time. */
#ifndef SPEC_COMMON_H
#define SPEC_COMMON_H

#include "rekindle/spec.h"
#include "t.h"

#define MLP "name: tiny\n" \
	"model: {arch: mlp, sizes: [4, 3, 2]}\n" \
	"training: {epochs: 2}\n" \
	"data:\n" \
	"  train: {type: idx, images: /d/i, labels: /d/l}\n" \
	"  validation: {type: idx, images: /d/vi, labels: /d/vl}\n"

#define PIN "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static inline json_t *
yaml(const char *text)
{
	struct rk_why w = {0};
	json_t *v = NULL;

	if (rkj_parse_yaml(text, strlen(text), &v, &w) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&w));
	return v;
}

/* The small job with changes merged in as RFC 7396 says. */
static inline json_t *
tree_with(const char *changes)
{
	json_t *job = yaml(MLP), *c = yaml(changes);

	if (json_is_object(c))
		rkj_merge(job, c);
	json_decref(c);
	return job;
}

static inline struct spec *
must_parse(json_t *tree)
{
	struct rk_why w = {0};
	struct spec *s = NULL;

	if (spec_parse(tree, &s, &w) != RK_OK)
		t_fail("refused: %s", rk_why_text(&w));
	t_eq_int(w.n, 0);
	json_decref(tree);
	return s;
}

static inline struct spec *
job_with(const char *changes)
{
	return must_parse(tree_with(changes));
}

static inline char *
normal(const struct spec *s)
{
	json_t *v = spec_json(s);
	char *text = rkj_text(v);

	json_decref(v);
	return text;
}

/* Exactly one fault, at path, with these words in its message. */
static inline void
one_fault(struct rk_why *w, const char *changes, const char *path,
    const char *words)
{
	char *all = rk_why_text(w);

	if (w->n != 1 || w->more != 0)
		t_fail("%s: want one fault at %s, got %zu: %s", changes, path,
		    w->n, all);
	if (strcmp(w->v[0].path, path) != 0 ||
	    strstr(w->v[0].message, words) == NULL)
		t_fail("%s: want \"%s: ...%s\", got \"%s\"", changes, path,
		    words, all);
	free(all);
	rk_why_fini(w);
}

static inline void
refused(const char *changes, const char *path, const char *words)
{
	struct rk_why w = {0};
	struct spec *s = NULL;
	json_t *tree = tree_with(changes);

	if (spec_parse(tree, &s, &w) != RK_EINVAL || s != NULL)
		t_fail("not refused: %s", changes);
	json_decref(tree);
	one_fault(&w, changes, path, words);
}

#endif
