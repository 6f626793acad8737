/* A file into samples: see predict.h. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/format.h"
#include "rekindle/image.h"
#include "rekindle/kernel.h"
#include "predict.h"

#define FILE_MAX ((size_t)2 << 30)

/* --- what a sample is ----------------------------------------------------- */

static bool
read_floats(const json_t *a, float *out, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(a, (size_t)i);
		out[i] = (float)json_number_value(v);
		if (!json_is_number(v) || !isfinite(out[i]))
			return false;
	}
	return true;
}

static bool
read_normalize(struct recipe *c, const json_t *v)
{
	const json_t *scale = json_object_get(v, "scale");
	const json_t *shift = json_object_get(v, "shift");
	const size_t n = json_array_size(scale);

	if (n < 1 || n > CKPT_NORMALIZE_MAX || json_array_size(shift) != n ||
	    c->width % (int64_t)n != 0)
		return false;
	c->nnorm = (int64_t)n;
	c->scale = xcalloc(n, sizeof(*c->scale));
	c->shift = xcalloc(n, sizeof(*c->shift));
	return read_floats(scale, c->scale, c->nnorm) &&
	    read_floats(shift, c->shift, c->nnorm);
}

/* Of each number what its column was called. */
static void
read_columns(struct recipe *c, const json_t *v)
{
	c->no_columns = json_is_null(v) || (json_is_array(v) &&
	    json_array_size(v) == 0);       /* as a job has it: spec_use.h */
	if ((int64_t)json_array_size(v) != c->width)
		return;
	c->columns = xcalloc((size_t)c->width, sizeof(*c->columns));
	for (int64_t i = 0; i < c->width; i++) {
		const char *s = json_string_value(json_array_get(v,
		    (size_t)i));
		c->columns[i] = xstrdup(s != NULL ? s : "");
	}
}

static uint64_t
read_hash(const json_t *v)
{
	const char *s = json_string_value(v);
	char *end = NULL;
	const unsigned long long n = s != NULL ? strtoull(s, &end, 16) : 0;

	return s != NULL && *end == '\0' ? n : 0;
}

bool
recipe_of_checkpoint(struct recipe *c, const json_t *input)
{
	const json_t *shape = json_object_get(input, "shape");
	const char *dtype = json_string_value(json_object_get(input, "dtype"));

	*c = (struct recipe){ .width = 1 };
	c->ndim = (int)json_array_size(shape);
	if (dtype == NULL || c->ndim < 1 || c->ndim > SPEC_MAX_DIMS)
		return false;
	for (int i = 0; i < c->ndim; i++) {
		c->d[i] = json_integer_value(json_array_get(shape, (size_t)i));
		if (c->d[i] < 1 || c->d[i] > SPEC_MAX_WIDTH / c->width)
			return false;
		c->width *= c->d[i];
	}
	if (strcmp(dtype, "i32") == 0) {
		c->dtype = NN_I32;
		c->tokenizer = read_hash(json_object_get(input, "tokenizer"));
		return true;
	}
	read_columns(c, json_object_get(input, "columns"));
	return strcmp(dtype, "f32") == 0 &&
	    read_normalize(c, json_object_get(input, "normalize"));
}

static float *
copy_of(const float *v, int64_t n)
{
	float *p = xcalloc((size_t)RK_MAX(n, 1), sizeof(*p));

	if (n > 0)
		memcpy(p, v, (size_t)n * sizeof(*p));
	return p;
}

void
recipe_of_data(struct recipe *c, const struct data_set *d, enum nn_dtype dtype)
{
	*c = (struct recipe){ .ndim = d->ndim, .width = d->width,
		.dtype = dtype, .nnorm = d->nnorm,
		.scale = copy_of(d->scale, d->nnorm),
		.shift = copy_of(d->shift, d->nnorm),
		.tokenizer = data_reading(d) };
	memcpy(c->d, d->d, sizeof(c->d));
	char *first = data_column(d, 0);
	if (first == NULL)
		return;
	free(first);
	c->columns = xcalloc((size_t)c->width, sizeof(*c->columns));
	for (int64_t i = 0; i < c->width; i++)
		c->columns[i] = data_column(d, i);
}

enum rk_err
recipe_check_columns(const struct recipe *c, const struct data_set *d,
    const char *of, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	if (d == NULL || c->columns == NULL || d->width != c->width)
		return RK_OK;
	for (int64_t i = 0; rc == RK_OK && i < c->width; i++) {
		char *name = data_column(d, i);
		if (name != NULL && strcmp(name, c->columns[i]) != 0)
			rc = rk_refuse(why, "feature %lld is \"%s\", in %s it "
			    "is \"%s\"", (long long)i + 1, name, of,
			    c->columns[i]);
		free(name);
	}
	return rc;
}

void
recipe_impose(const struct recipe *c, struct data_set *d)
{
	if (d == NULL || d->nnorm < 1 || d->ndim != c->ndim ||
	    memcmp(d->d, c->d, (size_t)c->ndim * sizeof(c->d[0])) != 0)
		return;
	free(d->scale);
	free(d->shift);
	d->nnorm = c->nnorm;
	d->scale = copy_of(c->scale, c->nnorm);
	d->shift = copy_of(c->shift, c->nnorm);
}

void
recipe_fini(struct recipe *c)
{
	data_view_free(c->view);
	for (int64_t i = 0; c->columns != NULL && i < c->width; i++)
		free(c->columns[i]);
	free(c->columns);
	free(c->scale);
	free(c->shift);
	*c = (struct recipe){0};
}

/* --- shapes --------------------------------------------------------------- */

/* A shape as "1,28,28". */
static char *
shape_text(int ndim, const int64_t *d)
{
	struct strbuf b = {0};

	for (int i = 0; i < ndim; i++)
		sb_addf(&b, "%s%lld", i > 0 ? "," : "", (long long)d[i]);
	return sb_detach(&b);
}

/* Pixels of this shape go through the transforms. */
static bool
views_pixels(const struct recipe *c, int64_t from[3])
{
	return c->view != NULL && data_view_takes_pixels(c->view, from);
}

/* What samples of a file must be: what the network takes or, before transforms,
 * what the source has. */
static enum rk_err
check_shape(const struct inputs *in, const struct recipe *c, const char *path,
    struct rk_why *why)
{
	const struct data_set *set = in->set;
	int64_t from[3];
	const bool viewed = set->bytes != NULL && views_pixels(c, from);
	const int64_t *d = viewed ? from : c->d;

	if (set->ndim == c->ndim && memcmp(set->d, d, (size_t)c->ndim *
	    sizeof(*d)) == 0)
		return RK_OK;
	char *has = shape_text(set->ndim, set->d);
	char *want = shape_text(c->ndim, d);
	enum rk_err rc = rk_refuse(why, "%s: its samples are [%s], %s [%s]",
	    path, has, viewed ? "data.transforms begin with" :
	    "the network takes", want);
	free(has);
	free(want);
	return rc;
}

/* --- pictures ------------------------------------------------------------- */

/* The shape that a picture can have, [1 or 3, height, width]. */
static bool
takes_pictures(const struct recipe *c)
{
	return c->dtype == NN_F32 && c->ndim == 3 &&
	    (c->d[0] == 1 || c->d[0] == 3) &&
	    (c->nnorm == 1 || c->nnorm == c->d[0]);
}

enum rk_err
recipe_view(struct recipe *c, const struct spec_data *s,
    const struct data_set *of, struct rk_why *why)
{
	return takes_pictures(c) ? data_view_new(s, c->d, of, &c->view, why) :
	    RK_OK;
}

static struct data_view_norm
norm_of(const struct recipe *c)
{
	return (struct data_view_norm){ c->scale, c->shift, c->nnorm };
}

static enum rk_err
open_picture(struct inputs *in, const struct recipe *c, const char *path,
    const char *p, size_t n, struct rk_why *why)
{
	const struct data_view_norm norm = norm_of(c);

	if (c->view == NULL)
		return rk_refuse(why, "%s: is a picture, and the network takes "
		    "no samples of [1 or 3, height, width]", path);
	in->n = 1;
	in->x = xcalloc((size_t)c->width, sizeof(*in->x));
	return data_view_file(c->view, (const uint8_t *)p, n, path, &norm,
	    in->x, why);
}

/* Pixels as the source has them, before the transforms.  What fails with one
 * sample fails with all, because they are of one size. */
static enum rk_err
view_pixels(struct inputs *in, const struct recipe *c, const char *path,
    struct rk_why *why)
{
	const struct data_view_norm norm = norm_of(c);
	float *x = xcalloc((size_t)c->width, sizeof(*x));

	enum rk_err rc = data_view_pixels(c->view, in->set->bytes, path, &norm,
	    x, why);
	free(x);
	in->n = in->set->n;
	in->several = in->viewed = true;
	return rc;
}

/* --- an array of NumPy -------------------------------------------------------- */

/* How many samples it has: dimensions behind the first, or all of them, are
 * those of a sample, but for such as are 1.  0: they are not. */
static int64_t
samples_of(const struct format_npy *a, const struct recipe *c)
{
	for (int from = 1; from >= 0; from--) {
		int k = 0;
		bool same = from <= a->ndim;
		for (int i = from; same && i < a->ndim; i++) {
			if (a->d[i] == 1)
				continue;
			while (k < c->ndim && c->d[k] == 1)
				k++;
			same = k < c->ndim && a->d[i] == (uint64_t)c->d[k++];
		}
		while (k < c->ndim && c->d[k] == 1)
			k++;
		if (same && k == c->ndim)
			return from == 1 && a->ndim > 0 ? (int64_t)RK_MIN(
			    a->d[0], (uint64_t)DATA_MAX_SAMPLES) : 1;
	}
	return 0;
}

static void
normalize(float *x, const struct recipe *c)
{
	const size_t width = (size_t)c->width, parts = (size_t)c->nnorm;

	if (parts == width) {
		kernel_floats_affine_each(x, x, width, c->scale, c->shift);
		return;
	}
	for (size_t k = 0; k < parts; k++)
		kernel_floats_affine(x + k * (width / parts),
		    x + k * (width / parts), width / parts, c->scale[k],
		    c->shift[k]);
}

/* The elements behind the head, as they lie there. */
static enum rk_err
read_elements(struct format_source *s, const struct format_npy *a,
    void **raw, struct rk_why *why)
{
	const size_t bytes = (size_t)a->elements * a->size;
	size_t got = 0;

	*raw = xmalloc(RK_MAX(bytes, (size_t)1));
	enum rk_err rc = format_source_read(s, *raw, bytes, &got, why);
	if (rc == RK_OK && got < bytes)
		rc = rk_refuse(why, "%s: is cut off", s->what);
	return rc;
}

static enum rk_err
take_array(struct inputs *in, const struct recipe *c, const char *path,
    const struct format_npy *a, const void *raw, struct rk_why *why)
{
	char text[FORMAT_NPY_TEXT];

	in->n = a->fortran ? 0 : samples_of(a, c);
	if (in->n < 1 || (uint64_t)in->n * (uint64_t)c->width != a->elements)
		return rk_refuse(why, "%s: has %s%s, want samples of %lld "
		    "numbers in the shape that the network takes", path,
		    format_npy_text(text, a), a->fortran ?
		    ", the first index fastest" : "", (long long)c->width);
	in->x = xcalloc((size_t)a->elements, sizeof(*in->x));
	const size_t bad = format_npy_floats(a, raw, (size_t)a->elements,
	    in->x);
	if (bad < a->elements)
		return rk_refuse(why, "%s: number %zu is not finite", path,
		    bad);
	in->several = true;
	for (int64_t i = 0; i < in->n; i++)
		normalize(in->x + i * c->width, c);
	return RK_OK;
}

/* Bytes are pixels: where there are transforms, those before them. */
static enum rk_err
open_pixels(struct inputs *in, const struct recipe *c, const char *path,
    const char *p, size_t n, struct rk_why *why)
{
	const struct spec_source plain = { .type = SPEC_NPY };

	enum rk_err rc = data_parse_npy((const uint8_t *)p, n, path, &plain,
	    false, &in->set, why);
	if (rc == RK_OK)
		rc = check_shape(in, c, path, why);
	return rc == RK_OK ? view_pixels(in, c, path, why) : rc;
}

static enum rk_err
open_array(struct inputs *in, const struct recipe *c, const char *path,
    const char *p, size_t n, struct rk_why *why)
{
	struct format_source s;
	struct format_npy a;
	void *raw = NULL;
	int64_t from[3];

	enum rk_err rc = format_source_open_mem(&s, p, n, path, why);
	if (rc == RK_OK)
		rc = format_npy_head(&s, &a, why);
	if (rc == RK_OK && a.dtype == DT_U8 && views_pixels(c, from)) {
		format_source_close(&s);
		return open_pixels(in, c, path, p, n, why);
	}
	if (rc == RK_OK)
		rc = read_elements(&s, &a, &raw, why);
	if (rc == RK_OK)
		rc = take_array(in, c, path, &a, raw, why);
	format_source_close(&s);
	free(raw);
	return rc;
}

/* An archive of arrays: the one that the job's features are called. */
static enum rk_err
open_archive(struct inputs *in, const struct run *r, const struct recipe *c,
    const char *path, const char *p, size_t n, struct rk_why *why)
{
	const struct spec_source *src = &r->spec->data.train;
	struct format_source s;
	struct strbuf b = {0};
	char some[4096];
	size_t got = sizeof(some);

	enum rk_err rc = format_npz_open_mem(&s, p, n, path,
	    src->type == SPEC_NPZ ? src->features : "x", why);
	while (rc == RK_OK && got == sizeof(some) && b.len <= FILE_MAX) {
		rc = format_source_read(&s, some, sizeof(some), &got, why);
		if (rc == RK_OK)
			sb_add(&b, some, got);
	}
	if (rc == RK_OK && b.len > FILE_MAX)
		rc = rk_refuse(why, "%s: is too large", s.what);
	if (rc == RK_OK)
		rc = open_array(in, c, path, sb_str(&b), b.len, why);
	format_source_close(&s);
	sb_fini(&b);
	return rc;
}

/* --- a file of samples ---------------------------------------------------- */

static enum rk_err
parse(struct inputs *in, const struct run *r, const struct recipe *c,
    const char *path, const char *p, size_t n, struct rk_why *why)
{
	const struct spec_source *src = &r->spec->data.train;

	switch (src->type) {
	case SPEC_IDX:
		return data_parse_idx((const uint8_t *)p, n, path, &in->set,
		    why);
	case SPEC_CSV:
		return data_parse_table(p, n, path, src,
		    (const char *const *)c->columns, c->width, &in->set,
		    why);
	case SPEC_CIFAR:
		return data_parse_cifar((const uint8_t *)p, n, path, src,
		    &in->set, why);
	default:
		return rk_refuse(why, "%s: is no JPEG and no PNG, and the "
		    "job's data come from no file of samples", path);
	}
}

/* They are normalised as the network's own were. */
static enum rk_err
open_samples(struct inputs *in, const struct run *r, const struct recipe *c,
    const char *path, const char *p, size_t n, struct rk_why *why)
{
	int64_t from[3];
	enum rk_err rc = parse(in, r, c, path, p, n, why);

	if (rc == RK_OK)
		rc = check_shape(in, c, path, why);
	if (rc != RK_OK)
		return rc;
	if (in->set->bytes != NULL && views_pixels(c, from))
		return view_pixels(in, c, path, why);
	in->n = in->set->n;
	in->several = true;
	in->set->nnorm = c->nnorm;
	in->set->scale = copy_of(c->scale, c->nnorm);
	in->set->shift = copy_of(c->shift, c->nnorm);
	return RK_OK;
}

/* Texts, by the tokenizer that the network's own went through. */
static enum rk_err
open_texts(struct inputs *in, const struct run *r, const struct recipe *c,
    const struct sample_file *f, struct rk_why *why)
{
	const char *path = f->name;
	struct spec_source s = r->spec->data.train;     /* borrows */
	const char *own = s.text.vocabulary;
	const char *place = own != NULL && spec_is_address(own) ?
	    place_of(r, own) : own;

	s.text.vocabulary = (char *)(uintptr_t)place;
	enum rk_err rc = data_open_texts(&s, f->path, f->name, &in->set,
	    why);
	if (rc == RK_OK)
		rc = run_check_vocabulary(r, in->set, why);
	if (rc != RK_OK)
		return rc;
	in->n = in->set->n;
	in->several = true;
	if (c->tokenizer == 0 || c->tokenizer == data_reading(in->set))
		return RK_OK;
	return rk_refuse(why, "%s: cannot be read as the network's own texts "
	    "were: the checkpoint is of another tokenizer than "
	    "data.train.tokenizer%s%s is", path, own != NULL ?
	    " with the vocabulary " : "", own != NULL ? own : "");
}

enum rk_err
inputs_open(struct inputs *in, const struct run *r, const struct recipe *c,
    const struct sample_file *f, struct rk_why *why)
{
	const char *path = f->path;
	char *p = NULL;
	size_t n;

	*in = (struct inputs){0};
	if (c->dtype == NN_I32) {
		enum rk_err texts = open_texts(in, r, c, f, why);
		if (texts != RK_OK)
			inputs_close(in);
		return texts;
	}
	enum rk_err rc = rk_read_file(AT_FDCWD, path, FILE_MAX, &p, &n);
	if (rc != RK_OK) {
		char *reason = access(path, R_OK) != 0 ?
		    rk_why_unreadable(path, errno) : xstrdup(rc == RK_EINVAL ?
		    "is no regular file" : rk_strerror(rc));
		rk_refuse(why, "%s: %s", path, reason);
		free(reason);
		return rc;
	}
	if (image_kind_of((const uint8_t *)p, n) != IMAGE_UNKNOWN)
		rc = open_picture(in, c, path, p, n, why);
	else if (n >= 6 && memcmp(p, "\x93NUMPY", 6) == 0)
		rc = open_array(in, c, path, p, n, why);
	else if (r->spec->data.train.type == SPEC_NPZ || (n >= 4 &&
	    memcmp(p, "PK\3\4", 4) == 0))
		rc = open_archive(in, r, c, path, p, n, why);
	else
		rc = open_samples(in, r, c, path, p, n, why);
	free(p);
	if (rc != RK_OK)
		inputs_close(in);
	return rc;
}

void
inputs_put(const struct inputs *in, const struct recipe *c, int64_t at,
    float *x)
{
	const struct data_view_norm norm = norm_of(c);
	const size_t width = (size_t)c->width;

	if (in->viewed)
		must(data_view_pixels(c->view, in->set->bytes + (size_t)at *
		    (size_t)in->set->width, "a sample", &norm, x, NULL) ==
		    RK_OK);
	else if (in->x != NULL)
		memcpy(x, in->x + (size_t)at * width, width * sizeof(*x));
	else
		data_gather(in->set, &at, 1, x, NULL, NULL);
}

void
inputs_close(struct inputs *in)
{
	data_close(in->set);
	free(in->x);
	*in = (struct inputs){0};
}
