/* What --profile prints; profile.h says of what, train.h what the figures
 * are. */
#include <stdlib.h>
#include <string.h>

#include "profile.h"

/* Of one row, or of several: sums of a step. */
struct figures {
	double ns, waiting_ns, flops, read, written;
};

static void
add(struct figures *to, const struct figures *f)
{
	to->ns += f->ns;
	to->waiting_ns += f->waiting_ns;
	to->flops += f->flops;
	to->read += f->read;
	to->written += f->written;
}

static struct figures
of_cell(const struct profile *p, const struct profile_cell *c)
{
	const double steps = (double)p->steps;

	return (struct figures){ .ns = (double)c->ns / steps,
		.waiting_ns = (double)c->waiting_ns / steps };
}

static struct figures
of_instr(const struct profile *p, size_t i, const struct nn_cost *k)
{
	const struct profile_cell *c = &p->instr[i];
	struct figures f = of_cell(p, c);
	const double rows = (double)c->rows / (double)p->steps;
	const double calls = (double)c->calls / (double)p->steps;

	f.flops = k->flops * rows;
	f.read = k->read * rows + k->read_once * calls;
	f.written = k->written * rows + k->written_once * calls;
	return f;
}

/* What of a step is in no other row. */
static struct figures
of_rest(const struct profile *p)
{
	struct figures f = of_cell(p, &p->part[PROFILE_STEP]);

	for (size_t i = 0; i < p->ninstrs; i++) {
		const struct figures g = of_cell(p, &p->instr[i]);
		f.ns -= g.ns;
		f.waiting_ns -= g.waiting_ns;
	}
	for (int k = 0; k < PROFILE_STEP; k++) {
		const struct figures g = of_cell(p, &p->part[k]);
		f.ns -= g.ns;
		f.waiting_ns -= g.waiting_ns;
	}
	return f;
}

static struct figures
of_step(const struct profile *p)
{
	struct figures f = of_cell(p, &p->part[PROFILE_STEP]);
	struct nn_cost c;

	for (size_t i = 0; i < p->ninstrs; i++) {
		nn_cost_at(p->nn, i, &c);
		const struct figures g = of_instr(p, i, &c);
		f.flops += g.flops;
		f.read += g.read;
		f.written += g.written;
	}
	return f;
}

/* --- rows ----------------------------------------------------------------- */

/* A layer, a kind of op (layers > 0: so many), or what is neither. */
struct row {
	const char *name, *type;
	const char *way[3];             /* forward, gradients of w and of x */
	int layers;
	size_t instr;                   /* of a layer: its first */
	struct figures part[2];
};
struct rows {
	struct row *v;
	size_t n;
};

static struct row *
row_of(struct rows *r, const struct nn_cost *c, size_t instr, bool by_type)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(by_type ? r->v[i].type : r->v[i].name,
		    by_type ? c->type : c->name) == 0)
			return &r->v[i];
	r->v[r->n] = (struct row){ .name = c->name, .type = c->type,
		.instr = instr };
	return &r->v[r->n++];
}

/* The instructions by layer, in the order of forward; or by kind of op. */
static struct rows
make_rows(const struct profile *p, bool by_type)
{
	struct rows r = { .v = xcalloc(p->ninstrs, sizeof(*r.v)) };
	struct nn_cost c;

	for (size_t i = 0; i < p->ninstrs; i++) {
		nn_cost_at(p->nn, i, &c);
		if (c.part == NN_LOSS)
			continue;
		struct row *to = row_of(&r, &c, i, by_type);
		const struct figures f = of_instr(p, i, &c);
		const bool back = c.part == NN_BACKWARD;
		add(&to->part[back], &f);
		to->way[back] = c.way;
		to->way[2] = back ? c.way_dx : to->way[2];
		to->layers += by_type && !back;
	}
	return r;
}

static struct figures
both(const struct row *r)
{
	struct figures f = r->part[0];

	add(&f, &r->part[1]);
	return f;
}

static int
longer(const void *a, const void *b)
{
	const double x = both(a).ns, y = both(b).ns;

	return (x < y) - (x > y);
}

/* --- for people ----------------------------------------------------------- */

static double
gflops(const struct figures *f)
{
	return f->ns > 0 ? f->flops / f->ns : 0;
}

static double
waiting(const struct profile *p, const struct figures *f)
{
	return f->ns > 0 ? f->waiting_ns / (f->ns * p->threads) : 0;
}

static double
share(const struct profile *p, const struct figures *f)
{
	return f->ns / of_cell(p, &p->part[PROFILE_STEP]).ns;
}

static void
put_rate(struct strbuf *b, const struct figures *f)
{
	if (f->flops > 0)
		sb_addf(b, " %8.1f", gflops(f));
	else
		sb_addf(b, " %8s", "");
}

/* "winograd", or "winograd/direct/winograd": forward, and backward the
 * gradients of the weights and of x. */
static void
put_way(struct strbuf *b, const struct row *r)
{
	const char *all = r->way[0];
	struct strbuf way = {0};

	for (int k = 1; k < 3; k++)
		if (all != NULL && r->way[k] != NULL &&
		    strcmp(all, r->way[k]) != 0)
			all = NULL;
	if (r->layers > 0)
		sb_addf(&way, "%d", r->layers);
	else if (all != NULL)
		sb_adds(&way, all);
	for (int k = 0; all == NULL && r->way[0] != NULL && k < 3; k++)
		sb_addf(&way, "%s%s", k > 0 ? "/" : "", r->way[k] != NULL ?
		    r->way[k] : "-");
	sb_addf(b, " %-26s", sb_str(&way));
	sb_fini(&way);
}

static void
put_head(const struct profile *p, struct strbuf *b, const char *name,
    const char *op, const char *way)
{
	sb_addf(b, "\n%-*s %-18s %-26s %9s %9s %6s %8s %8s %5s %9s %9s %5s\n",
	    p->name_width, name, op, way, "forward", "backward", "share",
	    "GF/s f", "GF/s b", "peak", "read", "written", "waits");
	sb_addf(b, "%-*s %-18s %-26s %9s %9s %6s %8s %8s %5s %9s %9s %5s\n",
	    p->name_width, "", "", "", "ms", "ms", "%", "", "", "%", "MB", "MB",
	    "%");
}

static void
put_name(const struct profile *p, struct strbuf *b, const char *name)
{
	const int len = (int)rk_text_fit(name, (size_t)p->name_width);

	sb_addf(b, "%.*s%*s", len, name, p->name_width - len, "");
}

static void
put_row(const struct profile *p, struct strbuf *b, const struct row *r)
{
	const struct figures all = both(r);

	put_name(p, b, r->name);
	sb_addf(b, " %-18s", r->type);
	put_way(b, r);
	sb_addf(b, " %9.3f", r->part[0].ns * 1e-6);
	if (r->part[1].ns > 0)
		sb_addf(b, " %9.3f", r->part[1].ns * 1e-6);
	else
		sb_addf(b, " %9s", "");
	sb_addf(b, " %6.2f", 100 * share(p, &all));
	put_rate(b, &r->part[0]);
	put_rate(b, &r->part[1]);
	if (all.flops > 0)
		sb_addf(b, " %5.1f", 100 * gflops(&all) / p->peak);
	else
		sb_addf(b, " %5s", "");
	sb_addf(b, " %9.2f %9.2f %5.1f\n", all.read * 1e-6, all.written * 1e-6,
	    100 * waiting(p, &all));
}

/* Layers that a row's layer does besides. */
static void
put_folded(const struct profile *p, struct strbuf *b, const struct row *r)
{
	const char *name;

	for (size_t k = 0; (name = nn_folded_at(p->nn, r->instr, k)) != NULL;
	    k++) {
		put_name(p, b, name);
		sb_addf(b, " in %s\n", r->name);
	}
}

/* Loss, data, optimiser, what is left, and all. */
static void
put_others(const struct profile *p, struct strbuf *b)
{
	struct nn_cost c;

	for (size_t i = 0; i < p->ninstrs; i++) {
		nn_cost_at(p->nn, i, &c);
		if (c.part == NN_LOSS)
			put_row(p, b, &(struct row){ c.name, "",
			    .part = { of_instr(p, i, &c) } });
	}
	for (int k = 0; k < PROFILE_STEP; k++)
		put_row(p, b, &(struct row){ profile_part_words[k], "",
		    .part = { of_cell(p, &p->part[k]) } });
	put_row(p, b, &(struct row){ "other", "", .part = { of_rest(p) } });
	put_row(p, b, &(struct row){ "step", "", .part = { of_step(p) } });
}

void
profile_table(const struct profile *p, struct strbuf *b)
{
	struct rows layers = make_rows(p, false), kinds = make_rows(p, true);
	const struct figures all = of_step(p);

	qsort(kinds.v, kinds.n, sizeof(*kinds.v), longer);
	sb_addf(b, "%s: %.3f ms a step of %lld sample%s, mean of %lld step%s; %d "
	    "thread%s, arithmetic %s\n%.1f GFLOP/s, %.1f %% of the peak of "
	    "multiply-adds, %.1f GFLOP/s (%s)\n", p->name, all.ns * 1e-6,
	    (long long)p->batch, rk_s(p->batch), (long long)p->steps,
	    rk_s(p->steps), p->threads, rk_s(p->threads), p->arithmetic,
	    gflops(&all),
	    100 * gflops(&all) / p->peak, p->peak, p->isa);
	put_head(p, b, "layer", "op", "way");
	for (size_t i = 0; i < layers.n; i++) {
		put_row(p, b, &layers.v[i]);
		put_folded(p, b, &layers.v[i]);
	}
	put_others(p, b);
	put_head(p, b, "kind of op", "", "layers");
	for (size_t i = 0; i < kinds.n; i++) {
		kinds.v[i].name = kinds.v[i].type;
		kinds.v[i].type = "";
		put_row(p, b, &kinds.v[i]);
	}
	free(layers.v);
	free(kinds.v);
}

/* --- JSON ----------------------------------------------------------------- */

static json_t *
figures_json(const struct profile *p, const struct figures *f)
{
	json_t *o = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
	    "ms", f->ns * 1e-6, "share", share(p, f),
	    "waiting", waiting(p, f), "gflops", gflops(f),
	    "peak_share", gflops(f) / p->peak, "read", f->read,
	    "written", f->written);

	must(o != NULL);
	return o;
}

static json_t *
add_json(const struct profile *p, json_t *to, const char *name,
    const char *type, const char *part, const struct figures *f)
{
	json_t *o = figures_json(p, f);

	js_put(o, "name", js_text(name));
	js_put(o, "type", js_text(type));
	js_put(o, "part", js_text(part));
	must(json_array_append_new(to, o) == 0);
	return o;
}

static json_t *
folded_json(const struct profile *p, size_t instr)
{
	json_t *v = json_array();
	const char *name;

	for (size_t k = 0; (name = nn_folded_at(p->nn, instr, k)) != NULL; k++)
		must(json_array_append_new(v, js_text(name)) == 0);
	return v;
}

static json_t *
rows_json(const struct profile *p)
{
	static const char *const parts[] = { "forward", "loss", "backward" };
	json_t *v = json_array();
	struct figures f;
	struct nn_cost c;

	for (size_t i = 0; i < p->ninstrs; i++) {
		nn_cost_at(p->nn, i, &c);
		f = of_instr(p, i, &c);
		json_t *o = add_json(p, v, c.name, c.type, parts[c.part], &f);
		if (c.part == NN_FORWARD)
			js_put(o, "folded", folded_json(p, i));
		if (c.way != NULL)
			js_put(o, "way", js_text(c.way));
		if (c.way_dx != NULL)
			js_put(o, "way_dx", js_text(c.way_dx));
	}
	for (int k = 0; k < PROFILE_STEP; k++) {
		f = of_cell(p, &p->part[k]);
		add_json(p, v, profile_part_words[k], "",
		    profile_part_words[k], &f);
	}
	f = of_rest(p);
	add_json(p, v, "other", "", "other", &f);
	return v;
}

static json_t *
kinds_json(const struct profile *p)
{
	struct rows kinds = make_rows(p, true);
	json_t *v = json_array();

	qsort(kinds.v, kinds.n, sizeof(*kinds.v), longer);
	for (size_t i = 0; i < kinds.n; i++) {
		const struct row *r = &kinds.v[i];
		const struct figures f = both(r);
		json_t *o = figures_json(p, &f);
		js_put(o, "type", js_text(r->type));
		js_put(o, "layers", json_integer(r->layers));
		js_put(o, "forward_ms", json_real(r->part[0].ns * 1e-6));
		js_put(o, "backward_ms", json_real(r->part[1].ns * 1e-6));
		must(json_array_append_new(v, o) == 0);
	}
	free(kinds.v);
	return v;
}

json_t *
profile_json(const struct profile *p)
{
	const struct figures all = of_step(p);
	json_t *o = json_pack("{s:o, s:s, s:i, s:I, s:I, s:s, s:f, s:f, s:f, "
	    "s:f}", "name", js_text(p->name), "arithmetic", p->arithmetic,
	    "threads", p->threads, "steps", (json_int_t)p->steps,
	    "samples", (json_int_t)p->batch, "isa", p->isa,
	    "peak_gflops", p->peak, "step_ms", all.ns * 1e-6,
	    "gflops", gflops(&all), "peak_share", gflops(&all) / p->peak);

	must(o != NULL);
	js_put(o, "rows", rows_json(p));
	js_put(o, "kinds", kinds_json(p));
	return o;
}
