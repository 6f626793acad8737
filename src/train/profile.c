/* --profile: some steps of the job, measured; see profile.h. */
#include <stdlib.h>
#include <string.h>

#include "distill.h"
#include "profile.h"
#include "summary.h"

#define WARM_UP      2                  /* steps that do not count */
#define STEPS        10                 /* unless --profile says */
#define TRACE_EVENTS 100000             /* in all, at most */
#define TRACE_MAIN   (TRACE_EVENTS / 5) /* of them instructions */

const char *const profile_part_words[PROFILE_PARTS] = {
	[PROFILE_DATA] = "data", [PROFILE_OPTIMIZER] = "optimizer",
	[PROFILE_STEP] = "step",
};

/* --- measuring ------------------------------------------------------------ */

static void
enter(struct profile *p, struct profile_mark *m, size_t tag)
{
	m->sums = kernel_watch_sums(p->team);
	p->team->tag = (int64_t)tag;
	m->from_ns = mono_ns();
}

static void
leave(struct profile *p, const struct profile_mark *m, size_t tag,
    struct profile_cell *c, int64_t rows)
{
	struct kernel_lane *l = &p->spans;
	const int64_t to = mono_ns(), ns = to - m->from_ns;

	c->ns += ns;
	c->waiting_ns += kernel_watch_waiting(p->team, &m->sums, ns);
	c->calls++;
	c->rows += rows;
	if (l->nspans < l->most)
		l->spans[l->nspans++] = (struct kernel_span){ m->from_ns, to,
			(int64_t)tag };
	else
		l->left_out++;
}

void
profile_enter(struct profile *p, enum profile_part part)
{
	enter(p, &p->now_part[part], p->ninstrs + part);
}

void
profile_leave(struct profile *p, enum profile_part part)
{
	leave(p, &p->now_part[part], p->ninstrs + part, &p->part[part], 0);
}

static void
begin_instr(void *ctx, size_t i)
{
	struct profile *p = ctx;

	enter(p, &p->now, i);
}

static void
end_instr(void *ctx, size_t i, int64_t rows)
{
	struct profile *p = ctx;

	leave(p, &p->now, i, &p->instr[i], rows);
}

/* --- the steps ------------------------------------------------------------ */

/* Whole batches only: the last of an epoch may be smaller. */
static bool
step(struct run *r)
{
	if (next_rows(r) < r->batch) {
		r->at.epoch++;
		r->at.sample = 0;
	}
	if (signals_came())
		return run_fail(r, "io", false, "was told to end before all "
		    "steps were measured");
	return loop_step(r);
}

static bool
measure(struct run *r, struct profile *p)
{
	const struct nn_watch w = { begin_instr, end_instr, p };
	bool ok = true;

	for (int k = 0; ok && k < WARM_UP; k++)
		ok = step(r);
	nn_watch(r->nn, &w);
	kernel_watch(p->team);
	r->profile = p;
	for (int64_t k = 0; ok && k < p->steps; k++) {
		profile_enter(p, PROFILE_STEP);
		ok = step(r);
		profile_leave(p, PROFILE_STEP);
	}
	r->profile = NULL;
	kernel_watch(NULL);
	nn_watch(r->nn, NULL);
	return ok;
}

/* As wide as the longest name, but not so wide that a line breaks. */
static int
name_width(const struct nn *n)
{
	size_t w = 16;
	struct nn_layer l;

	for (size_t i = 0; i < nn_nlayers(n); i++)
		if (nn_layer_at(n, i, &l))
			w = RK_MAX(w, strlen(l.name));
	return (int)RK_MIN(w, 56);
}

static void
begin(struct run *r, struct profile *p)
{
	const bool traces = r->o->trace != NULL;

	p->nn = r->nn;
	p->name = r->spec->name;
	p->arithmetic = spec_arithmetic_words[r->spec->training.arithmetic];
	p->steps = r->o->profile > 0 ? r->o->profile : STEPS;
	p->batch = r->batch;
	p->threads = kernel_threads();
	p->ninstrs = nn_ninstrs(r->nn);
	p->name_width = name_width(r->nn);
	p->instr = xcalloc(p->ninstrs, sizeof(*p->instr));
	p->team = kernel_watch_new(!traces ? 0 :
	    (TRACE_EVENTS - TRACE_MAIN) / (size_t)p->threads);
	if (traces) {
		p->spans.most = TRACE_MAIN;
		p->spans.spans = xcalloc(p->spans.most,
		    sizeof(*p->spans.spans));
	}
	/* As a run that begins cold; what the weights are costs no time. */
	r->at = (struct cursor){ .rate_scale = 1, .scored = -1 };
	r->same.final = true;
	rate_begin(r);
	spans_begin(r, NULL, NULL);
	nn_init(r->nn, r->spec->training.seed);
}

/* --- what comes of it ----------------------------------------------------- */

static bool
write_trace(struct run *r, const struct profile *p)
{
	struct rk_why why = {0};
	struct strbuf b = {0};

	profile_trace(p, &b);
	const enum rk_err rc = rk_replace_path(r->o->trace, b.s, b.len, &why);
	sb_fini(&b);
	if (rc != RK_OK)
		run_fail(r, "io", false, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return rc == RK_OK;
}

static void
print(const struct run *r, const struct profile *p)
{
	struct strbuf b = {0};

	if (r->o->json) {
		json_t *o = profile_json(p);
		char *text = rkj_pretty(o);
		sb_addf(&b, "%s\n", text);
		free(text);
		json_decref(o);
	} else {
		profile_table(p, &b);
	}
	fputs(sb_str(&b), stdout);
	sb_fini(&b);
}

bool
profile_print(struct run *r)
{
	struct profile p = { .isa = "" };
	struct run_memory m;

	exact_settle(r, NULL);
	p.peak = kernel_peak_gflops(&p.isa);
	if (!run_open_data(r, NULL) || !run_measure(r, &m) || !run_build(r, &m))
		return false;
	begin(r, &p);
	bool ok = distill_begin_random(r) && measure(r, &p) && (r->o->trace == NULL ||
	    write_trace(r, &p));
	if (ok)
		print(r, &p);
	kernel_watch_free(p.team);
	free(p.spans.spans);
	free(p.instr);
	return ok;
}
