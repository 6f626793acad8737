/*
 * --samples: a contact sheet of what the network will see.
 *
 * The first samples of the first epoch in their order, behind the transforms of
 * training, with the mixture that their batch gets; numbers are made pixels
 * again by the normalisation backwards.  Below each stands its label: a class's
 * name or number, and behind a mixture both, with their shares.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/data_loader.h"
#include "rekindle/image.h"
#include "feed.h"
#include "start.h"
#include "summary.h"

#define GAP        4                    /* pixels between cells */
#define ZOOM_TO    96                   /* of a side that is smaller */
#define MAX_PIXELS ((int64_t)1 << 26)
#define WAIT_MS    1000

struct sheet {
	const struct data_set *d;
	int64_t n, columns, zoom;       /* zoom: pixels of the sheet by one */
	int64_t cell_w, cell_h;
	struct image im;
	int64_t broken;                 /* of the samples that are shown */
};

/* --- labels --------------------------------------------------------------- */

/* Text in ASCII: other characters as \u4e2d, other bytes as \xff. */
static void
add_escaped(struct strbuf *b, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p != '\0') {
		const size_t n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 :
		    *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;
		uint32_t c = n > 1 ? *p & (0x7fu >> n) : *p;
		size_t k = 1;

		while (k < n && (p[k] & 0xc0) == 0x80)
			c = c << 6 | (p[k++] & 0x3f);
		if (n == 1 && c >= ' ' && c < 0x7f)
			sb_addc(b, (char)c);
		else if (n > 1 && k == n)
			sb_addf(b, "\\u%04x", c);
		else
			sb_addf(b, "\\x%02x", *p);
		p += n > 1 && k == n ? n : 1;
	}
}

static void
add_class(struct strbuf *b, const struct data_set *d, int64_t class)
{
	if (d->names != NULL && class >= 0 && class < d->nclasses)
		add_escaped(b, d->names[class]);
	else
		sb_addf(b, "%lld", (long long)class);
}

static void
add_label(struct strbuf *b, const struct data_set *d, int64_t i)
{
	if (d->many_from != NULL) {
		for (int64_t k = d->many_from[i]; k < d->many_from[i + 1];
		    k++) {
			sb_adds(b, k > d->many_from[i] ? "," : "");
			add_class(b, d, d->many[k]);
		}
	} else if (d->classes != NULL) {
		add_class(b, d, d->classes[i]);
	} else {
		sb_addf(b, "%g", (double)d->targets[i]);
	}
}

/* --- one cell ------------------------------------------------------------- */

static uint8_t
pixel_of(const struct data_set *d, const float *x, int64_t c, int64_t at)
{
	const int64_t k = d->nnorm == 1 ? 0 : d->nnorm == d->d[0] ? c : at;
	const float v = (x[at] - d->shift[k]) / d->scale[k];

	return (uint8_t)(v > 0 ? v < 255 ? lrintf(v) : 255 : 0);
}

static void
put_picture(const struct sheet *s, int64_t left, int64_t top, const float *x)
{
	const int64_t h = s->d->d[1], w = s->d->d[2], z = s->zoom;

	for (int64_t y = 0; y < h * z; y++)
		for (int64_t i = 0; i < w * z; i++) {
			uint8_t *p = s->im.pixels + 3 * ((top + y) * s->im.w +
			    left + i);
			for (int64_t c = 0; c < 3; c++) {
				const int64_t of = s->d->d[0] == 3 ? c : 0;
				p[c] = pixel_of(s->d, x, of, (of * h + y / z) *
				    w + i / z);
			}
		}
}

static void
put_cell(struct sheet *s, int64_t number, const float *x, const char *label)
{
	static const uint8_t ink[3] = { 255, 255, 255 };
	const int64_t left = GAP + number % s->columns * s->cell_w;
	const int64_t top = GAP + number / s->columns * s->cell_h;
	const size_t most = (size_t)((s->cell_w - GAP) / IMAGE_LETTER_W);
	char *cut = xasprintf("%.*s", (int)most, label);

	put_picture(s, left, top, x);
	image_write_text(&s->im, left, top + s->d->d[1] * s->zoom + 1, cut,
	    ink);
	free(cut);
}

/* --- batches -------------------------------------------------------------- */

/* Row i of a batch, as it is put to the network. */
static void
put_row(struct sheet *s, const struct data_mixture *m, const float *x,
    const int64_t *which, int64_t rows, int64_t i, int64_t number)
{
	const int64_t width = s->d->width, k = i > 0 ? i - 1 : rows - 1;
	float *y = xmalloc((size_t)width * sizeof(*y));
	struct strbuf b = { 0 };

	memcpy(y, x + i * width, (size_t)width * sizeof(*y));
	if (m->share < 1)
		data_mix(m, x + i * width, x + k * width, y);
	add_label(&b, s->d, which[i]);
	if (m->share < 1) {
		sb_addf(&b, " %.2f ", m->share);
		add_label(&b, s->d, which[k]);
	}
	put_cell(s, number, y, sb_str(&b));
	sb_fini(&b);
	free(y);
}

/* A sample that the run would skip: an empty place with what it is called. */
static void
put_broken(struct sheet *s, int64_t which, int64_t number)
{
	float *x = xmalloc((size_t)s->d->width * sizeof(*x));
	char *name = data_sample_name(s->d, which);
	struct strbuf b = { 0 };

	/* What becomes black when it is made pixels again. */
	for (int64_t i = 0; i < s->d->width; i++)
		x[i] = -HUGE_VALF;
	sb_adds(&b, "broken ");
	add_escaped(&b, name);
	put_cell(s, number, x, sb_str(&b));
	s->broken++;
	sb_fini(&b);
	free(name);
	free(x);
}

/* By data.broken; with skip each is named. */
static bool
judge_broken(struct run *r, const struct data_batch *b, int64_t rows)
{
	if (b->nleft == 0 || b->broken[0].row >= rows)
		return true;
	if (r->spec->data.broken == SPEC_BROKEN_FAIL)
		return run_fail(r, "bad_data", true, "data.train: %s; "
		    "data.broken: skip goes on without it",
		    b->broken[0].sentence);
	for (int64_t i = 0; i < b->nbroken && b->broken[i].row < rows; i++)
		printf("data.train: %s; it is skipped\n",
		    b->broken[i].sentence);
	return true;
}

static struct data_mixture
mixture_at(const struct run *r, int64_t epoch, int64_t from)
{
	struct data_mixture m = { .share = 1 };

	if (data_mixes(r->train))
		data_mixture_at(r->train, r->spec->training.seed, epoch, from,
		    &m);
	return m;
}

static bool
read_all(struct run *r, struct sheet *s, struct data_loader *l)
{
	struct data_batch b;
	struct rk_why why = { 0 };

	data_loader_begin(l, 0, 0, INT64_MAX);
	for (int64_t done = 0; done < s->n;) {
		enum rk_err rc = data_loader_next(l, WAIT_MS, &b, &why);
		if (rc == RK_ETIMEDOUT)
			continue;
		if (rc == RK_OK && !judge_broken(r, &b, RK_MIN(b.rows, s->n -
		    done)))
			return false;
		if (rc != RK_OK) {
			run_fail(r, "bad_data", rc == RK_EINVAL,
			    "data.train: %s", rk_why_first(&why));
			rk_why_fini(&why);
			return false;
		}
		const struct data_mixture m = mixture_at(r, b.epoch, b.from);
		for (int64_t i = 0; i < b.rows && done < s->n; i++, done++) {
			if (b.left_out != NULL && b.left_out[i])
				put_broken(s, b.which[i], done);
			else
				put_row(s, &m, b.x, b.which, b.rows, i, done);
		}
	}
	return true;
}

static bool
gather_all(struct run *r, struct sheet *s, const struct data_order *order)
{
	const struct data_mixture none = { .share = 1 };
	const size_t width = (size_t)s->d->width;
	float *x = xmalloc(width * sizeof(*x));

	(void)r;
	for (int64_t i = 0; i < s->n; i++) {
		const int64_t which = data_order_at(order, 0, i);
		data_gather(s->d, &which, 1, x, NULL, NULL);
		put_row(s, &none, x, &which, 1, 0, i);
	}
	free(x);
	return true;
}

static bool
fill(struct run *r, struct sheet *s)
{
	const struct spec_training *t = &r->spec->training;
	const struct data_order_how how = { .sampler = t->sampler,
		.seed = t->seed, .shuffle = t->shuffle };
	struct data_order *order = NULL;
	struct data_loader *l = NULL;
	struct rk_why why = { 0 };

	enum rk_err rc = data_order_new(s->d, &how, &order, &why);
	const struct data_loading load = { .threads = data_loader_threads(),
		.batch = RK_MIN(t->batch_size, s->d->n), .train = true,
		.seed = t->seed, .order = order };
	if (rc == RK_OK && feed_loads(s->d))
		rc = data_loader_new(s->d, &load, &l, &why);
	bool ok = rc == RK_OK;
	if (!ok)
		run_fail(r, "bad_data", rc == RK_EINVAL, "%s",
		    rk_why_first(&why));
	else
		ok = l != NULL ? read_all(r, s, l) : gather_all(r, s, order);
	data_loader_free(l);
	data_order_free(order);
	rk_why_fini(&why);
	return ok;
}

/* --- the sheet ------------------------------------------------------------ */

static bool
measure(struct run *r, struct sheet *s)
{
	const struct data_set *d = s->d;

	if (!data_is_pixels(d) || d->ndim != 3 || (d->d[0] != 1 &&
	    d->d[0] != 3))
		return run_fail(r, "bad_data", true, "--samples: the samples "
		    "are %s, no pictures of one or three channels that a sheet "
		    "could show", data_is_tokens(d) ? "tokens" :
		    data_is_pixels(d) ? "pixels of another shape" :
		    "numbers");
	s->n = RK_MIN(r->o->samples, d->n);
	s->columns = (int64_t)ceil(sqrt((double)s->n));
	s->zoom = RK_MAX(ZOOM_TO / RK_MIN(d->d[1], d->d[2]), 1);
	s->cell_w = RK_MAX(d->d[2] * s->zoom, ZOOM_TO) + GAP;
	s->cell_h = d->d[1] * s->zoom + IMAGE_LETTER_H + GAP;
	const int64_t w = GAP + s->columns * s->cell_w;
	const int64_t h = GAP + (s->n + s->columns - 1) / s->columns *
	    s->cell_h;
	if (w * h > MAX_PIXELS)
		return run_fail(r, "bad_data", true, "--samples: %lld samples "
		    "of %lld x %lld are too many for one picture",
		    (long long)s->n, (long long)d->d[1], (long long)d->d[2]);
	s->im = image_of(xcalloc((size_t)(w * h), 3), w, h, 3);
	memset(s->im.pixels, 48, (size_t)(w * h * 3));
	return true;
}

/* What the sets are, and what there was to remark. */
static void
say_data(const struct run *r)
{
	const struct data_set *const sets[] = { r->train, r->valid };

	for (size_t k = 0; k < RK_ARRAY_LEN(sets); k++) {
		const char *side = k == 0 ? "train" : "validation";
		size_t n = 0;
		if (sets[k] == NULL)
			continue;
		char *text = classes_sentence(sets[k]);
		printf("data.%s: %s\n", side, text);
		free(text);
		const char *const *v = data_remarks(sets[k], &n);
		for (size_t i = 0; i < n; i++)
			printf("data.%s: %s\n", side, v[i]);
	}
}

bool
samples_print(struct run *r)
{
	struct rk_why why = { 0 };
	struct sheet s = { 0 };

	bool ok = run_open_data(r, NULL);
	if (ok) {
		say_data(r);
		s.d = r->train;
		ok = measure(r, &s) && fill(r, &s);
	}
	if (ok && image_write_png(&s.im, r->o->sheet, &why) != RK_OK)
		ok = run_fail(r, "io", false, "%s", rk_why_first(&why));
	if (ok)
		printf("%s: %lld of %lld training samples%s\n", r->o->sheet,
		    (long long)s.n, (long long)s.d->n, s.broken > 0 ?
		    ", broken ones as empty places" : "");
	rk_why_fini(&why);
	free(s.im.pixels);
	return ok;
}
