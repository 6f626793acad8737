/* Files of weights that a test makes, opened: of zip archives, and PyTorch's. */
#ifndef FORMAT_MADE_TEST_H
#define FORMAT_MADE_TEST_H

#include "format_zip.h"
#include "rekindle/format_weights.h"

/* --- opening -------------------------------------------------------------- */

static struct weights *
opened_as(const void *p, size_t n, const struct weights_how *how)
{
	struct rk_why why = {0};
	struct weights *w;

	if (weights_open_mem(p, n, how, &w, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	t_eq_int(why.n, 0);
	return w;
}

static void
refused_as(const void *p, size_t n, const struct weights_how *how,
    enum rk_err want, const char *part)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(weights_open_mem(p, n, how, &w, &why), want);
	t_check(w == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

static inline void
refused(const void *p, size_t n, const char *part)
{
	refused_as(p, n, NULL, RK_EINVAL, part);
}

/* Elements in C order from `from` on, all floats. */
static void
has_floats(const struct weights_tensor *t, uint64_t from, size_t n,
    const float *want)
{
	float *got = malloc((n + 1) * sizeof(*got));
	struct rk_why why = {0};

	if (weights_read_f32(t, from, n, got, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	for (size_t i = 0; i < n; i++)
		t_near(got[i], want[i], 0);
	free(got);
}

static const struct weights_tensor *
model_tensor(const struct weights *w, const char *name)
{
	const struct weights_tensor *t = weights_find(w, WEIGHTS_MODEL, name);

	if (t == NULL)
		t_fail("there is no %s", name);
	return t;
}

/* --- made as PyTorch makes them -------------------------------------------------------------- */

static void
put_ints(struct strbuf *b, int n, const int64_t *v)
{
	sb_addc(b, '(');
	for (int i = 0; i < n; i++) {
		sb_add(b, "\x8a\x08", 2);
		zip_le(b, (uint64_t)v[i], 8);
	}
	sb_addc(b, 't');
}

static void
put_str(struct strbuf *b, const char *s)
{
	sb_addc(b, 'U');
	sb_addc(b, (char)strlen(s));
	sb_adds(b, s);
}

struct torch_tensor {
	const char *key, *type;         /* "FloatStorage" */
	int64_t elements, offset;
	int ndim;
	int64_t d[9], stride[9];
	const char *view;               /* bytes behind the id; legacy: "N" */
	const char *dtype;              /* of _rebuild_tensor_v3, or NULL */
};

/* What PyTorch writes for a tensor. */
static void
put_tensor(struct strbuf *b, const struct torch_tensor *t)
{
	sb_addf(b, "ctorch._utils\n_rebuild_tensor_v%c\n((", t->dtype != NULL ?
	    '3' : '2');
	put_str(b, "storage");
	sb_addf(b, "ctorch\n%s\n", t->type);
	put_str(b, t->key);
	put_str(b, "cpu");
	sb_add(b, "\x8a\x08", 2);
	zip_le(b, (uint64_t)t->elements, 8);
	sb_adds(b, t->view != NULL ? t->view : "");
	sb_adds(b, "tQ");
	sb_add(b, "\x8a\x08", 2);
	zip_le(b, (uint64_t)t->offset, 8);
	put_ints(b, t->ndim, t->d);
	put_ints(b, t->ndim, t->stride);
	sb_adds(b, "\x89N");
	if (t->dtype != NULL)
		sb_addf(b, "ctorch\n%s\nN", t->dtype);
	sb_adds(b, "tR");
}

/* A dict of one tensor, "a", as a pickle. */
static struct strbuf
dict_of(const struct torch_tensor *t)
{
	struct strbuf b = {0};

	sb_adds(&b, "\x80\x02}U\1a");
	put_tensor(&b, t);
	sb_adds(&b, "s.");
	return b;
}

static const struct torch_tensor plain = {
	.key = "0", .type = "FloatStorage", .elements = 6, .ndim = 2,
	.d = { 2, 3 }, .stride = { 3, 1 },
};
static const float six[] = { 0, 1, 2, 3, 4, 5 };

static void
put_pickle(struct zip_test *z, const struct torch_tensor *t)
{
	struct strbuf b = dict_of(t);

	zip_put(z, "x/data.pkl", b.s, b.len);
	sb_fini(&b);
}

/* An archive of one tensor and its storage. */
static uint8_t *
archive(const struct torch_tensor *t, const void *data, size_t bytes, size_t *n)
{
	struct zip_test z = {0};

	put_pickle(&z, t);
	zip_put(&z, "x/data/0", data, bytes);
	return zip_end(&z, n);
}

#define MANY ((size_t)100000)
static inline float *
many(void)
{
	float *p = malloc(MANY * sizeof(*p));

	for (size_t i = 0; i < MANY; i++)
		p[i] = (float)((i * 2654435761u) % 1000003);
	return p;
}

#endif
