/* The samples of a step into the network: see feed.h. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/data_loader.h"
#include "feature_cache.h"
#include "feed.h"
#include "mix.h"
#include "readings.h"

#define WAIT_MS 50              /* between looks at the wire */
#define COPY_PIECE ((int64_t)1 << 16)   /* numbers that one thread copies */

struct feed {
	struct data_order *order;
	struct data_loader *train, *score;      /* or NULL */
	const struct data_set *scored;          /* score's ... */
	struct data_order *score_order; /* ... with buckets; else NULL */
	int64_t width;                  /* of the rows, that the network sees */
	struct data_batch batch;        /* the one that is being used; rows 0:
	                                   none, samples lie in memory */
	struct mix mix;                 /* what is done with its rows */
	int64_t epoch, from;            /* where train's next batch is */
	int64_t next;                   /* the same of score; -1: nowhere */
	struct readings read[2];        /* of r->train, r->valid */
	int64_t nbroken;
};

bool
feed_loads(const struct data_set *d)
{
	return d != NULL && d->lazy != NULL;
}

/* --- sizes ---------------------------------------------------------------- */

static int
threads_of(const struct run *r)
{
	return r->spec->data.threads > 0 ? (int)r->spec->data.threads :
	    data_loader_threads();
}

static struct data_loading
loading_of(const struct run *r, bool train, int64_t rows)
{
	return (struct data_loading){
		.threads = threads_of(r), .batch = rows, .train = train,
		.seed = r->spec->training.seed,
		.drop_last = train && r->spec->training.drop_last,
		.order = r->feed == NULL ? NULL : train ? r->feed->order :
		    r->feed->score_order,
	};
}

uint64_t
feed_bytes(const struct run *r)
{
	const struct data_loading t = loading_of(r, true, r->batch);
	uint64_t n = 0;

	if (r->train == NULL)
		return feed_loads(r->valid) ? data_loader_bytes(r->valid, &t) +
		    readings_bytes(r->valid) : 0;
	n = data_order_bytes(r->train, r->spec->training.sampler);
	if (feed_loads(r->train))
		n += data_loader_bytes(r->train, &t);
	if (feed_loads(r->valid))
		n += data_loader_bytes(r->valid, &t);
	return n + readings_bytes(r->train) + readings_bytes(r->valid);
}

/* --- opening -------------------------------------------------------------- */

static bool
refuse_why(struct run *r, enum rk_err rc, struct rk_why *why)
{
	run_fail(r, rc == RK_ENOMEM ? "no_memory" : "bad_data",
	    rc != RK_ENOMEM, "%s", rk_why_first(why));
	rk_why_fini(why);
	return false;
}

static bool
open_loader(struct run *r, const struct data_set *d, bool train, int64_t rows,
    struct data_loader **lp)
{
	const struct data_loading how = loading_of(r, train, rows);
	struct rk_why why = { 0 };

	enum rk_err rc = data_loader_new(d, &how, lp, &why);
	return rc == RK_OK || refuse_why(r, rc, &why);
}

bool
feed_open(struct run *r)
{
	const struct spec_training *t = &r->spec->training;
	const struct data_order_how how = { .sampler = t->sampler,
		.seed = t->seed, .shuffle = t->shuffle, .batch = r->batch,
		.drop_last = t->drop_last };
	struct rk_why why = { 0 };
	struct feed *f;

	if (r->train == NULL && r->valid == NULL)
		return true;
	r->feed = f = xcalloc(1, sizeof(*f));
	f->next = f->epoch = -1;
	if (r->train == NULL) {
		readings_open(&f->read[1], r->valid);
		return true;
	}
	enum rk_err rc = data_order_new(r->train, &how, &f->order, &why);
	if (rc != RK_OK)
		return refuse_why(r, rc, &why);
	mix_open(&f->mix, r);
	readings_open(&f->read[0], r->train);
	readings_open(&f->read[1], r->valid);
	return !feed_loads(r->train) || run_asks(r) ||
	    open_loader(r, r->train, true, r->batch, &f->train);
}

void
feed_close(struct run *r)
{
	struct feed *f = r->feed;

	if (f == NULL)
		return;
	data_loader_free(f->train);
	data_loader_free(f->score);
	data_order_free(f->order);
	data_order_free(f->score_order);
	mix_close(&f->mix);
	for (size_t i = 0; i < RK_ARRAY_LEN(f->read); i++)
		readings_close(&f->read[i]);
	free(f);
	r->feed = NULL;
}

/* --- what was read -------------------------------------------------------- */

static struct readings *
readings_of(struct feed *f, const struct data_set *d)
{
	return &f->read[f->read[0].d == d ? 0 : 1];
}

uint64_t *
feed_known(struct run *r, const struct data_set *d)
{
	return r->feed != NULL && feed_loads(d) ?
	    readings_of(r->feed, d)->known : NULL;
}

/* False: run_fail(), or the run is to leave. */
static bool
take(struct run *r, struct data_loader *l, const struct data_set *d,
    bool scoring)
{
	struct feed *f = r->feed;
	struct rk_why why = { 0 };
	enum rk_err rc;

	for (;;) {
		rc = data_loader_next(l, WAIT_MS, &f->batch, &why);
		if (rc != RK_ETIMEDOUT)
			break;
		loop_tick(r, scoring);
		if (r->ask.leave || signals_came())
			return false;
	}
	if (rc != RK_OK) {
		f->batch = (struct data_batch){ 0 };
		run_fail(r, rc == RK_ENOMEM ? "no_memory" : "io", false,
		    "data.%s: %s", d == r->valid ? "validation" : "train",
		    rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	return readings_take(r, readings_of(f, d), &f->batch, &f->nbroken);
}

/* --- steps ---------------------------------------------------------------- */

int64_t
feed_rows(const struct run *r, int64_t epoch, int64_t place)
{
	return data_order_rows(r->feed->order, epoch, place, r->batch,
	    r->spec->training.drop_last);
}

/* How long the samples are that the network sees next: of a bucket, whose rows
 * are the beginnings of those that were loaded.  Profiles are of the
 * longest. */
static void
set_length(struct run *r, const struct data_set *d)
{
	r->feed->width = d->width;
	if (d->nlengths == 0)
		return;
	if (r->o->profile == 0)
		r->feed->width = data_length(d, r->which[0]);
	nn_set_length(r->nn, r->feed->width);
}

/* The next step's batch of the loader. */
static bool
take_step(struct run *r, int64_t rows)
{
	struct feed *f = r->feed;

	if (f->epoch != r->at.epoch || f->from != r->at.sample) {
		data_loader_begin(f->train, r->at.epoch, r->at.sample,
		    r->o->profile != 0 ? INT64_MAX :
		    RK_MAX(r->steps_total - r->at.step, 1));
		f->epoch = r->at.epoch;
		f->from = r->at.sample;
	}
	if (!take(r, f->train, r->train, false))
		return false;
	must(f->batch.rows == rows && f->batch.epoch == r->at.epoch &&
	    f->batch.from == r->at.sample);
	memcpy(r->which, f->batch.which, (size_t)rows * sizeof(*r->which));
	mix_begin(&f->mix, r, &f->batch);
	set_length(r, r->train);
	f->from += rows;
	if (feed_rows(r, f->epoch, f->from) == 0) {
		f->epoch++;
		f->from = 0;
	}
	return true;
}

bool
feed_step(struct run *r, int64_t rows)
{
	const bool features = features_of(r, r->train);
	struct feed *f = r->feed;

	if (f->train == NULL || features) {
		f->batch.rows = 0;
		for (int64_t i = 0; i < rows; i++)
			r->which[i] = data_order_at(f->order, r->at.epoch,
			    r->at.sample + i);
		set_length(r, r->train);
	}
	if (features && features_read(r, r->train, rows) == 0)
		return true;
	if (f->train != NULL && !take_step(r, rows))
		return false;
	if (features)
		features_make(r, r->train);
	return true;
}

/* Another set than the last time. */
static bool
open_score(struct run *r, const struct data_set *d)
{
	const struct data_order_how how = { .batch = r->micro };
	struct feed *f = r->feed;
	struct rk_why why = { 0 };
	enum rk_err rc = RK_OK;

	data_loader_free(f->score);
	data_order_free(f->score_order);
	f->score = NULL;
	f->score_order = NULL;
	f->scored = d;
	f->next = -1;
	if (d->nlengths > 0)
		rc = data_order_new(d, &how, &f->score_order, &why);
	if (rc != RK_OK)
		return refuse_why(r, rc, &why);
	return open_loader(r, d, false, r->micro, &f->score);
}

/* Which samples come at this place of an evaluation; how many. */
static int64_t
order_score(struct run *r, const struct data_set *d, int64_t at)
{
	const struct data_order *o = d->nlengths > 0 ? r->feed->score_order :
	    NULL;
	const int64_t rows = o != NULL ? data_order_rows(o, 0, at, r->micro,
	    false) : data_rows(d->n, at, r->micro, false);

	for (int64_t i = 0; i < rows; i++)
		r->which[i] = o != NULL ? data_order_at(o, 0, at + i) : at + i;
	if (rows > 0)
		set_length(r, d);
	return rows;
}

/* The batch of the loader at this place. */
static int64_t
take_score(struct run *r, const struct data_set *d, int64_t at)
{
	struct feed *f = r->feed;

	if (f->next != at)
		data_loader_begin(f->score, 0, at, (d->n - at + r->micro - 1) /
		    r->micro + d->nlengths);
	if (!take(r, f->score, d, true)) {
		f->next = -1;
		return 0;
	}
	must(f->batch.from == at);
	f->next = at + f->batch.rows;
	memcpy(r->which, f->batch.which, (size_t)f->batch.rows *
	    sizeof(*r->which));
	set_length(r, d);
	return f->batch.rows;
}

int64_t
feed_score(struct run *r, const struct data_set *d, int64_t at)
{
	const bool features = features_of(r, d);
	struct feed *f = r->feed;
	int64_t rows = 0;

	f->batch.rows = 0;
	mix_none(&f->mix);
	if (feed_loads(d) && f->scored != d && !open_score(r, d))
		return 0;
	if (!feed_loads(d) || features)
		rows = order_score(r, d, at);
	if (features && features_read(r, d, rows) == 0)
		return rows;
	if (feed_loads(d))
		rows = take_score(r, d, at);
	if (features && rows > 0)
		features_make(r, d);
	return rows;
}

/* --- into the network ----------------------------------------------------- */

struct copy {
	float *to;
	const float *from;
	int64_t n;
};

static void
copy_piece(void *ctx, size_t i)
{
	const struct copy *c = ctx;
	const int64_t at = (int64_t)i * COPY_PIECE;

	memcpy(c->to + at, c->from + at, (size_t)RK_MIN(COPY_PIECE,
	    c->n - at) * sizeof(*c->to));
}

/* Tokens are as wide as floats. */
static void
load_input(struct run *r, const struct data_set *d, int64_t from,
    int64_t rows)
{
	const struct data_batch *b = &r->feed->batch;
	const float *x = b->x != NULL ? b->x :
	    (const float *)(const void *)b->ids;
	const int64_t width = r->feed->width;
	struct copy c = { nn_input(r->nn), x + from * d->width,
		rows * d->width };

	for (int64_t i = 0; width < d->width && i < rows; i++)
		memcpy(c.to + i * width, c.from + i * d->width,
		    (size_t)width * sizeof(*c.to));
	if (width < d->width)
		return;
	kernel_for((size_t)((c.n + COPY_PIECE - 1) / COPY_PIECE), copy_piece,
	    &c);
}

void
feed_copy_input(const struct run *r, struct nn *to, int64_t rows)
{
	const bool buckets = r->train->nlengths > 0;
	const int64_t width = buckets ? r->feed->width : r->train->width;
	struct copy c = { nn_input(to), nn_input(r->nn), rows * width };

	if (buckets)
		nn_set_length(to, width);
	kernel_for((size_t)((c.n + COPY_PIECE - 1) / COPY_PIECE), copy_piece,
	    &c);
}

static void
gather(struct run *r, const struct data_set *d, const int64_t *which,
    int64_t rows, int32_t *y, float *t)
{
	if (data_is_tokens(d))
		data_gather_tokens(d, which, rows, nn_input_ids(r->nn), y, t);
	else
		data_gather(d, which, rows, nn_input(r->nn), y, t);
}

void
feed_load_inputs(struct run *r, const struct data_set *d, const int64_t *row,
    int64_t n)
{
	const struct data_batch *b = &r->feed->batch;
	const int64_t width = r->feed->width;
	float *to = nn_input(r->nn);

	for (int64_t k = 0; k < n; k++, to += width) {
		const float *x = b->x != NULL ? b->x :
		    (const float *)(const void *)b->ids;
		if (b->rows > 0)
			memcpy(to, x + row[k] * d->width, (size_t)width *
			    sizeof(*to));
		else if (data_is_tokens(d))
			data_gather_tokens(d, &r->which[row[k]], 1,
			    (int32_t *)(void *)to, NULL, NULL);
		else
			data_gather(d, &r->which[row[k]], 1, to, NULL, NULL);
	}
}

static void
load_labels(struct run *r, const struct data_set *d, const int64_t *which,
    int64_t rows)
{
	for (int64_t i = 0; i < rows; i++) {
		if (r->targets_width == 1)
			r->targets[i] = d->targets[which[i]];
		else if (d->classes != NULL)
			r->classes[i] = d->classes[which[i]];
	}
}

/* Several outputs: 1 at the places of the labels. */
static void
spread_labels(struct run *r, const struct data_set *d, const int64_t *which,
    int64_t rows)
{
	const int64_t width = r->targets_width;

	memset(r->targets, 0, (size_t)(rows * width) * sizeof(float));
	for (int64_t i = 0; i < rows; i++) {
		float *t = r->targets + i * width;
		if (d->many_from == NULL) {
			t[r->classes[i]] = 1;
			continue;
		}
		for (int64_t k = d->many_from[which[i]];
		    k < d->many_from[which[i] + 1]; k++)
			t[d->many[k]] = 1;
		r->classes[i] = RK_MAX((int32_t)d->targets[which[i]], 0);
	}
}

void
feed_load(struct run *r, const struct data_set *d, int64_t from, int64_t rows)
{
	const int64_t *which = r->which + from;
	const int64_t width = r->targets_width;

	if (features_of(r, d)) {
		load_labels(r, d, which, rows);
	} else if (r->feed->batch.rows > 0) {
		if (mix_is_on(&r->feed->mix))
			mix_rows(&r->feed->mix, r, &r->feed->batch, from,
			    rows);
		else
			load_input(r, d, from, rows);
		load_labels(r, d, which, rows);
	} else {
		gather(r, d, which, rows, width == 1 ? NULL : r->classes,
		    width == 1 ? r->targets : NULL);
	}
	if (width >= 2)
		spread_labels(r, d, which, rows);
}

const float *
feed_targets(const struct run *r)
{
	return mix_is_on(&r->feed->mix) ? r->feed->mix.soft : r->targets;
}

const uint8_t *
feed_left_out(const struct run *r, int64_t from)
{
	const struct data_batch *b = &r->feed->batch;

	return b->rows > 0 && b->left_out != NULL ? b->left_out + from : NULL;
}

const char *
feed_why_left_out(const struct run *r, int64_t i)
{
	const struct data_batch *b = &r->feed->batch;

	for (int64_t k = 0; b->rows > 0 && k < b->nbroken; k++)
		if (b->broken[k].row == i)
			return b->broken[k].sentence;
	return NULL;
}

bool
feed_is_empty(const struct run *r)
{
	const struct data_batch *b = &r->feed->batch;

	return b->rows > 0 && b->nleft == b->rows;
}

/* --- numbers -------------------------------------------------------------- */

double
feed_wait_ratio(const struct run *r)
{
	const int64_t ms = mono_ms() - r->begun_ms;
	const struct feed *f = r->feed;

	if (f == NULL || f->train == NULL)
		return -1;
	return ms > 0 ? (double)data_loader_waited_ns(f->train) * 1e-6 /
	    (double)ms : 0;
}

int64_t
feed_broken(const struct run *r)
{
	return r->feed != NULL ? r->feed->nbroken : 0;
}

void
feed_put(const struct run *r, json_t *metric)
{
	const double ratio = feed_wait_ratio(r);

	if (ratio >= 0)
		js_put(metric, "data_wait_ratio", json_real(ratio));
	if (feed_broken(r) > 0)
		js_put(metric, "broken", json_integer(feed_broken(r)));
}
