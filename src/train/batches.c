/* Samples into batches, and batches into lines: see predict.h. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/data_loader.h"
#include "predict.h"

#define WAIT_MS 1000
/* Lines of inputs that cannot be read wait for the batch, but no more. */
#define MOST_ERRORS 4096

/* Of an input or a sample, in their order. */
struct batch_line {
	json_t *o;
	int64_t place;                  /* in the batch; -1: it is an error */
};

static void
add_line(struct prediction *p, json_t *o, int64_t place)
{
	if ((p->nlines & (p->nlines - 1)) == 0)
		p->line = xrealloc(p->line, RK_MAX(2 * p->nlines, (size_t)1) *
		    sizeof(*p->line));
	p->line[p->nlines++] = (struct batch_line){ o, place };
}

bool
batches_flush(struct run *r, struct prediction *p)
{
	const int64_t outputs = nn_outputs(r->nn);

	if (p->rows > 0)
		nn_forward(r->nn, &(struct nn_step){ .rows = p->rows,
		    .all = p->rows }, false);
	for (size_t i = 0; i < p->nlines; i++) {
		const struct batch_line *l = &p->line[i];
		if (l->place >= 0)
			lines_put_outputs(&p->lines, l->o, nn_output(r->nn) +
			    l->place * outputs, outputs);
		p->take(p->ctx, l->o);
	}
	p->rows = 0;
	p->nlines = 0;
	return p->flushed == NULL || p->flushed(p->ctx);
}

void
batches_fini(struct prediction *p)
{
	for (size_t i = 0; i < p->nlines; i++)
		json_decref(p->line[i].o);
	free(p->line);
	p->line = NULL;
	p->nlines = 0;
}

bool
batches_refuse(struct run *r, struct prediction *p, const char *name,
    const struct rk_why *why)
{
	char *text = place_named(r, rk_why_first(why));
	json_t *o = json_object();

	js_put(o, "input", lines_path(name));
	js_put(o, "error", js_text(text));
	free(text);
	add_line(p, o, -1);
	p->failed++;
	p->row = BATCHES_THROUGH;
	return p->nlines - (size_t)p->rows < MOST_ERRORS ||
	    batches_flush(r, p);
}

/* --- texts ---------------------------------------------------------------- */

/* Row i of a batch of texts; those of one length go together. */
static bool
put_text(struct run *r, struct prediction *p, const struct sample_file *f,
    const struct data_set *d, const struct data_batch *b, int64_t i)
{
	const int64_t length = data_length(d, b->from + i);
	json_t *o;

	p->row = b->from + i;
	if (p->rows > 0 && p->length != length && !batches_flush(r, p))
		return false;
	o = json_object();
	p->length = length;
	nn_set_length(r->nn, length);
	memcpy(nn_input_ids(r->nn) + p->rows * length, b->ids + i * d->width,
	    (size_t)length * sizeof(*b->ids));
	js_put(o, "input", lines_path(f->name));
	js_put(o, "row", json_integer(b->from + i));
	js_put(o, "line", json_integer(data_sample_line(d, b->from + i)));
	add_line(p, o, p->rows++);
	p->row++;
	return p->rows < r->micro || batches_flush(r, p);
}

/* One that has changed ends the file. */
static enum rk_err
put_texts(struct run *r, struct prediction *p, const struct sample_file *f,
    const struct data_set *d, struct data_loader *l, int64_t from, bool *leave,
    struct rk_why *why)
{
	struct data_batch b;
	enum rk_err rc = RK_OK;

	data_loader_begin(l, 0, from, INT64_MAX);
	for (int64_t at = from; at < d->n && !*leave; at += b.rows) {
		b.rows = 0;
		rc = data_loader_next(l, WAIT_MS, &b, why);
		if (rc == RK_OK && b.nleft > 0)
			rc = rk_refuse(why, "%s", b.broken[0].sentence);
		if (rc != RK_OK && rc != RK_ETIMEDOUT)
			return rc;
		*leave = !p->goes_on(p->ctx);
		for (int64_t i = 0; i < b.rows && !*leave; i++)
			*leave = !put_text(r, p, f, d, &b, i);
	}
	return RK_OK;
}

static bool
add_texts(struct run *r, struct prediction *p, const struct sample_file *f,
    const struct data_set *d, int64_t from)
{
	const struct data_loading how = { .threads = data_loader_threads(),
		.batch = r->micro };
	struct data_loader *l = NULL;
	struct rk_why why = {0};
	bool leave = false;
	enum rk_err rc = data_loader_new(d, &how, &l, &why);

	if (rc == RK_OK)
		rc = put_texts(r, p, f, d, l, from, &leave, &why);
	if (rc == RK_EINVAL)
		leave = !batches_refuse(r, p, f->name, &why);
	else if (rc != RK_OK)
		leave = !run_fail(r, rc == RK_ENOMEM ? "no_memory" : "io",
		    false, "%s", rk_why_first(&why));
	data_loader_free(l);
	rk_why_fini(&why);
	return !leave;
}

/* --- numbers -------------------------------------------------------------- */

static bool
add_numbers(struct run *r, struct prediction *p, const struct sample_file *f,
    const struct inputs *in, int64_t from)
{
	for (int64_t at = from; at < in->n; at++) {
		if (!p->goes_on(p->ctx))
			return false;
		json_t *o = json_object();
		js_put(o, "input", lines_path(f->name));
		if (in->several)
			js_put(o, "row", json_integer(at));
		inputs_put(in, &p->recipe, at, nn_input(r->nn) + p->rows *
		    p->recipe.width);
		add_line(p, o, p->rows++);
		p->row = at + 1;
		if (p->rows == r->micro && !batches_flush(r, p))
			return false;
	}
	return true;
}

bool
batches_file(struct run *r, struct prediction *p, const struct sample_file *f,
    int64_t from)
{
	struct rk_why why = {0};
	struct inputs in;
	bool ok;

	p->row = from;
	if (inputs_open(&in, r, &p->recipe, f, &why) != RK_OK) {
		ok = batches_refuse(r, p, f->name, &why);
	} else {
		if (from == 0)
			remarks_print(in.set, "");
		ok = in.set != NULL && p->recipe.dtype == NN_I32 ?
		    add_texts(r, p, f, in.set, from) :
		    add_numbers(r, p, f, &in, from);
	}
	inputs_close(&in);
	rk_why_fini(&why);
	return ok && r->fail.reason == NULL;
}
