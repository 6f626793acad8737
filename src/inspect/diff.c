/*
 * Two files of weights against each other, tensor by tensor: see inspect.h.
 *
 * Tensors are the same by role and name.  Each file has a process of its own
 * that reads it; elements are compared here, by pieces.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PIECE ((size_t)32 << 10)        /* elements */

/* What became of a tensor. */
enum verdict { EQUAL, VALUES, TYPE, SHAPE, ONLY_A, ONLY_B, VERDICTS };
static const char *const words[VERDICTS] = {
	"equal", "values", "type", "shape", "only_a", "only_b"
};
static const char *const said[VERDICTS] = {
	"equal", "differs", "other type", "other shape", "only in A",
	"only in B"
};

struct row {
	const struct weights_tensor *a, *b;     /* NULL: is not there */
	enum verdict verdict;
	uint64_t different;             /* elements */
	bool compared;                  /* else nothing is known of these: */
	double largest;                 /* difference of finite ones ... */
	uint64_t at;                    /* ... and the first element with it */
};

struct diff {
	const struct weights *a, *b;
	const char *path_a, *path_b;
	struct row *v;
	size_t n, of[VERDICTS];
};

/* --- elements ------------------------------------------------------------- */

struct piece {
	unsigned char *bytes;
	double *x;
};

static struct piece
piece_new(void)
{
	return (struct piece){ xmalloc(PIECE * 16),
		xmalloc(PIECE * 2 * sizeof(double)) };
}

static void
piece_free(struct piece *p)
{
	free(p->bytes);
	free(p->x);
}

/* How many numbers an element has. */
static size_t
width_of(enum dtype t)
{
	return t == DT_C64 || t == DT_C128 ? 2 : 1;
}

static enum rk_err
piece_read(struct piece *p, const struct weights_tensor *t, uint64_t from,
    size_t n, struct rk_why *why)
{
	const enum dtype parts = t->dtype == DT_C64 ? DT_F32 :
	    t->dtype == DT_C128 ? DT_F64 : t->dtype;
	enum rk_err rc = weights_read(t, from, n, p->bytes, why);

	if (rc == RK_OK)
		must(inspect_doubles(parts, p->bytes, n * width_of(t->dtype),
		    p->x));
	return rc;
}

/* Whole numbers beyond 2^53, which doubles do not tell apart. */
static bool
is_whole(enum dtype t)
{
	return t == DT_I64 || t == DT_U64;
}

static bool
compare_element(struct row *r, const struct piece *a, const struct piece *b,
    size_t i, uint64_t place)
{
	const size_t size = dtype_bits(r->a->dtype) / 8;
	const size_t width = width_of(r->a->dtype);
	bool same = true;

	for (size_t k = i * width; k < (i + 1) * width; k++) {
		const double x = a->x[k], y = b->x[k];
		double d = fabs(x - y);
		const bool hidden = x == y && is_whole(r->a->dtype) &&
		    r->a->dtype == r->b->dtype && memcmp(a->bytes + i * size,
		    b->bytes + i * size, size) != 0;
		if (hidden)
			d = 1;
		if ((x == y && !hidden) || (isnan(x) && isnan(y)))
			continue;
		same = false;
		if (isfinite(d) && d > r->largest) {
			r->largest = d;
			r->at = place;
		}
	}
	return same;
}

static enum rk_err
compare_elements(struct row *r, struct rk_why *why)
{
	struct piece a = piece_new(), b = piece_new();
	const size_t size = dtype_bits(r->a->dtype) / 8;
	enum rk_err rc = RK_OK;

	r->compared = width_of(r->a->dtype) == width_of(r->b->dtype);
	for (uint64_t at = 0; r->compared && at < r->a->count; at += PIECE) {
		const size_t n = (size_t)RK_MIN(PIECE, r->a->count - at);
		rc = piece_read(&a, r->a, at, n, why);
		if (rc == RK_OK)
			rc = piece_read(&b, r->b, at, n, why);
		if (rc != RK_OK)
			break;
		if (r->a->dtype == r->b->dtype && memcmp(a.bytes, b.bytes,
		    n * size) == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			r->different += !compare_element(r, &a, &b, i, at + i);
	}
	piece_free(&a);
	piece_free(&b);
	return rc;
}

/* --- tensors -------------------------------------------------------------- */

static enum rk_err
judge(struct row *r, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	if (r->a == NULL || r->b == NULL) {
		r->verdict = r->a == NULL ? ONLY_B : ONLY_A;
	} else if (r->a->ndim != r->b->ndim || memcmp(r->a->d, r->b->d,
	    (size_t)r->a->ndim * sizeof(r->a->d[0])) != 0) {
		r->verdict = SHAPE;
	} else {
		rc = compare_elements(r, why);
		r->verdict = r->a->dtype != r->b->dtype ? TYPE :
		    r->different > 0 ? VALUES : EQUAL;
	}
	return rc;
}

/* Of A in its order, then what only B has. */
static enum rk_err
compare(struct diff *d, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	d->v = xcalloc(d->a->n + d->b->n + 1, sizeof(*d->v));
	for (size_t i = 0; i < d->a->n; i++) {
		const struct weights_tensor *t = &d->a->v[i];
		d->v[d->n++] = (struct row){ .a = t,
			.b = weights_find(d->b, t->role, t->name) };
	}
	for (size_t i = 0; i < d->b->n; i++) {
		const struct weights_tensor *t = &d->b->v[i];
		if (weights_find(d->a, t->role, t->name) == NULL)
			d->v[d->n++] = (struct row){ .b = t };
	}
	for (size_t i = 0; rc == RK_OK && i < d->n; i++) {
		rc = judge(&d->v[i], why);
		d->of[d->v[i].verdict]++;
	}
	return rc;
}

static const struct weights_tensor *
either(const struct row *r)
{
	return r->a != NULL ? r->a : r->b;
}

/* --- what is printed ------------------------------------------------------ */

static void
put_side(struct strbuf *b, const char *key, const struct weights_tensor *t)
{
	char shape[TENSOR_SHAPE_TEXT];

	if (t == NULL)
		sb_addf(b, ", \"%s\": null", key);
	else
		sb_addf(b, ", \"%s\": {\"dtype\": \"%s\", \"shape\": %s}", key,
		    dtype_name(t->dtype), tensor_shape_text(shape, t->ndim,
		    t->d));
}

static void
put_row(struct strbuf *b, const struct row *r)
{
	sb_adds(b, "{\"name\": ");
	inspect_put_text(b, either(r)->name);
	sb_addf(b, ", \"role\": \"%s\", \"verdict\": \"%s\"",
	    weights_role_words[either(r)->role], words[r->verdict]);
	put_side(b, "a", r->a);
	put_side(b, "b", r->b);
	if (r->compared)
		sb_addf(b, ", \"different\": %" PRIu64 ", \"largest\": %.17g",
		    r->different, r->largest);
	if (r->largest > 0)
		sb_addf(b, ", \"at\": %" PRIu64, r->at);
	sb_addc(b, '}');
}

static void
put_json(struct strbuf *b, const struct diff *d)
{
	sb_adds(b, "{\n  \"a\": ");
	inspect_put_text(b, d->path_a);
	sb_adds(b, ", \"b\": ");
	inspect_put_text(b, d->path_b);
	sb_addf(b, ", \"equal\": %s,\n  \"count\": {",
	    d->of[EQUAL] == d->n ? "true" : "false");
	for (int i = 0; i < VERDICTS; i++)
		sb_addf(b, "%s\"%s\": %zu", i > 0 ? ", " : "", words[i],
		    d->of[i]);
	sb_adds(b, "},\n  \"tensors\": [");
	for (size_t i = 0; i < d->n; i++) {
		sb_adds(b, i > 0 ? ",\n    " : "\n    ");
		put_row(b, &d->v[i]);
	}
	sb_adds(b, "]\n}\n");
}

/* "3 of 12 elements, by 0.25 at most (element 7)". */
static void
put_how(struct strbuf *b, const struct row *r)
{
	char x[TENSOR_SHAPE_TEXT], y[TENSOR_SHAPE_TEXT];

	if (r->verdict == TYPE)
		sb_addf(b, "%s and %s; ", dtype_name(r->a->dtype),
		    dtype_name(r->b->dtype));
	if (r->verdict == SHAPE)
		sb_addf(b, "%s and %s", tensor_shape_text(x, r->a->ndim,
		    r->a->d), tensor_shape_text(y, r->b->ndim, r->b->d));
	else if (r->compared && r->different == 0 && r->verdict != EQUAL)
		sb_adds(b, "the same numbers");
	else if (r->compared && r->different > 0)
		sb_addf(b, "%" PRIu64 " of %" PRIu64 " elements", r->different,
		    r->a->count);
	if (r->largest > 0)
		sb_addf(b, ", by %.6g at most (element %" PRIu64 ")",
		    r->largest, r->at);
}

static bool
are_of_two_frameworks(const struct diff *d)
{
	return d->of[EQUAL] < d->n && d->a->framework != d->b->framework &&
	    d->a->framework != WEIGHTS_FROM_UNKNOWN &&
	    d->b->framework != WEIGHTS_FROM_UNKNOWN;
}

static void
put_table(struct strbuf *b, const struct diff *d)
{
	const size_t at = b->len;

	sb_addf(b, "A: %s\nB: %s\n", d->path_a, d->path_b);
	for (size_t i = 0; i < d->n; i++) {
		const struct weights_tensor *t = either(&d->v[i]);
		sb_addf(b, "%-11s  %s%s%s  ", said[d->v[i].verdict], t->name,
		    t->role != WEIGHTS_MODEL ? ", " : "", t->role !=
		    WEIGHTS_MODEL ? weights_role_words[t->role] : "");
		put_how(b, &d->v[i]);
		while (b->s[b->len - 1] == ' ')
			b->s[--b->len] = '\0';
		sb_addc(b, '\n');
	}
	for (int i = 0; i < VERDICTS; i++)
		if (d->of[i] > 0 || i == EQUAL)
			sb_addf(b, "%s%zu %s", i > 0 ? ", " : "", d->of[i],
			    said[i]);
	sb_addc(b, '\n');
	if (are_of_two_frameworks(d))
		sb_adds(b, "one is PyTorch's and one Paddle's, whose linear "
		    "weights lie the other way and whose statistics have other "
		    "names: convert one first, with --arch or --job\n");
	rk_marks_clean(b->s + at);
}

/* --- files ---------------------------------------------------------------- */

static int
trouble(const char *path, enum rk_err rc, const struct rk_why *why)
{
	char *sentence = rk_text_clean(xasprintf("%s: %s", path, why->n > 0 ?
	    rk_why_first(why) : rk_strerror(rc)));

	fprintf(stderr, "%s\n", sentence);
	free(sentence);
	return 2;
}

int
inspect_diff(const struct inspect_show *show, char **paths)
{
	struct diff d = { .path_a = paths[0], .path_b = paths[1] };
	struct weights *w[2] = { NULL, NULL };
	struct strbuf out = {0};
	struct rk_why why = {0};
	enum rk_err rc = RK_OK;
	int code = 0;

	for (int i = 0; code == 0 && i < 2; i++) {
		rc = inspect_shown(show, paths[i], &w[i], &why);
		if (rc != RK_OK)
			code = trouble(paths[i], rc, &why);
	}
	if (code == 0) {
		d.a = w[0];
		d.b = w[1];
		rc = compare(&d, &why);
		if (rc != RK_OK)
			code = trouble("cannot compare", rc, &why);
	}
	if (code == 0) {
		if (show->table)
			put_table(&out, &d);
		else
			put_json(&out, &d);
		fwrite(out.s, 1, out.len, stdout);
		code = fflush(stdout) != 0 ? 2 : d.of[EQUAL] < d.n;
	}
	free(d.v);
	sb_fini(&out);
	weights_free(w[0]);
	weights_free(w[1]);
	rk_why_fini(&why);
	return code;
}
