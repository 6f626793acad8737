/* How much memory a run takes, before it takes any. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/cgroup.h"

#include "distill.h"
#include "feature_cache.h"
#include "feed.h"
#include "judging.h"
#include "phases.h"
#include "seen.h"
#include "writer.h"

/* What comes while it trains, beside the arrays: code that is read in when it
 * is first run, stacks, what products pack, lines of metrics. */
#define COMES ((uint64_t)4 << 20)

static uint64_t
page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
memory_of_process(void)
{
	unsigned long long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f != NULL && fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	if (f != NULL)
		fclose(f);
	return resident * page_bytes() + COMES;
}

static uint64_t
bytes_of(const struct data_set *d)
{
	return d != NULL ? data_bytes(d) : 0;
}

static int
slots_of(const struct spec_optim *s)
{
	struct optim *o = NULL;
	int n = 0;

	if (optim_new(&o, s, 1) == RK_OK)
		n = optim_slots(o);
	optim_free(o);
	return n;
}

/* A network for each bucket: of a set whose samples are the job's. */
static void
want_lengths(const struct run *r, struct nn_want *w)
{
	const struct spec_source *s = &r->spec->data.train;

	if (w->ndim == 0 || s->type != SPEC_TEXT)
		return;
	w->lengths = s->text.buckets;
	w->nlengths = s->text.nbuckets;
}

/* nn computes no gradients of what is not trained. */
static bool
trains(void *ctx, const char *tensor)
{
	return phases_train(ctx, tensor);
}

struct nn_want
memory_want(const struct run *r, uint64_t limit)
{
	const struct spec *s = r->spec;
	struct nn_want w = {
		.model = &s->model, .loss = &s->training.loss,
		.batch = r->batch, .micro = s->training.micro_batch_size,
		.memory_limit = limit,
		.fast = s->training.arithmetic == SPEC_ARITHMETIC_FAST,
		.trains = s->training.ngroups > 0 || s->training.nphases > 0 ?
		    trains : NULL,
		.ctx = (void *)(uintptr_t)r,
		.evaluate_frozen = spec_phase_evaluates(&s->training,
		    r->phase.index),
	};

	if (r->train != NULL) {
		w.dtype = data_is_tokens(r->train) ? NN_I32 : NN_F32;
		w.ndim = r->train->ndim;
		memcpy(w.d, r->train->d, (size_t)w.ndim * sizeof(w.d[0]));
	} else if (r->sample.ndim > 0) {
		w.dtype = r->sample.dtype;
		w.ndim = r->sample.ndim;
		memcpy(w.d, r->sample.d, sizeof(w.d));
	}
	want_lengths(r, &w);
	return w;
}

static void
add_up(const struct run *r, struct run_memory *m)
{
	const int slots = slots_of(&r->spec->training.optim);
	const bool ema = r->spec->training.ema.decay > 0;
	const int64_t buffers = (int64_t)(m->sizes.buffer_bytes /
	    sizeof(float));

	m->parameters = m->sizes.parameters;
	if (r->spec->kind == SPEC_JOB_TRAIN) {
		m->optimizer = (unsigned)(slots + ema) * (uint64_t)
		    kernel_alloc_bytes((size_t)m->parameters * sizeof(float));
		m->copy = writer_shadow_bytes(m->parameters, buffers, slots,
		    ema);
	}
	m->checkpoint = m->copy + seen_bytes(r);
	m->data += bytes_of(r->train) + bytes_of(r->valid) + feed_bytes(r) +
	    seen_bytes(r);
	m->network = m->total = m->sizes.total_bytes;
	if (m->total != UINT64_MAX && (!rk_add(m->total, m->optimizer +
	    m->copy + m->data + m->process, &m->total) ||
	    !rk_add(m->total, m->ancestor, &m->total)))
		m->total = UINT64_MAX;
	m->wanted = m->total < UINT64_MAX / 2 ? m->total + m->total / 10 :
	    UINT64_MAX;
}

/* What the control group of this process may have; 0: as much as there is.  The
 * daemon, which says --memory, has looked itself. */
static uint64_t
group_bytes(const struct run *r)
{
	const char *root = getenv("REKINDLE_TRAIN_MACHINE");    /* tests' */
	struct cgroup *g;

	if (r->o->memory > 0)
		return 0;
	g = cgroup_open(root != NULL ? root : "");
	const uint64_t bytes = cgroup_memory(g, NULL);
	cgroup_close(&g);
	return bytes;
}

/* resources.memory, or what there is to give, or what the machine has. */
static uint64_t
told_bytes(const struct run *r)
{
	if (r->spec->memory > 0)
		return r->spec->memory;
	return r->o->memory > 0 ? (uint64_t)r->o->memory :
	    (uint64_t)sysconf(_SC_PHYS_PAGES) * page_bytes();
}

static uint64_t
limit_of(const struct run *r)
{
	const uint64_t told = told_bytes(r), group = group_bytes(r);

	return group > 0 ? RK_MIN(told, group) : told;
}

static const char *
limit_words(const struct run *r)
{
	if (limit_of(r) < told_bytes(r))
		return "the control group of this process may have";
	return r->spec->memory > 0 ? "resources.memory is" :
	    r->o->memory > 0 ? "there is for jobs" : "this machine has";
}

bool
memory_fits(struct run *r, const struct run_memory *m)
{
	char total[RK_HUMAN], limit[RK_HUMAN], a[RK_HUMAN], b[RK_HUMAN];
	char c[RK_HUMAN], d[RK_HUMAN], e[RK_HUMAN], f[RK_HUMAN];

	if (m->total <= m->limit)
		return true;
	char *ancestor = m->ancestor == 0 ? xstrdup("") : xasprintf("the "
	    "ancestor of training.distill %s, ", rk_human_bytes(f,
	    m->ancestor));
	run_fail(r, "no_memory", true, "%s needs %s (network %s, %s"
	    "optimizer %s, copy for checkpoints %s, data %s, the process "
	    "itself %s), %s %s", r->spec->kind == SPEC_JOB_TRAIN ? "training" :
	    "the job", rk_human_bytes(total, m->total),
	    rk_human_bytes(a, m->network), ancestor,
	    rk_human_bytes(b, m->optimizer),
	    rk_human_bytes(c, m->copy), rk_human_bytes(d, m->data),
	    rk_human_bytes(e, m->process), limit_words(r),
	    rk_human_bytes(limit, m->limit));
	free(ancestor);
	return false;
}

bool
memory_draws(struct run *r)
{
	const struct spec_data *d = &r->spec->data;
	char need[RK_HUMAN], have[RK_HUMAN];
	const uint64_t bytes = spec_drawn_bytes(&d->train) +
	    (d->has_validation ? spec_drawn_bytes(&d->validation) : 0);

	return bytes <= limit_of(r) || run_fail(r, "no_memory", true,
	    "the samples of data alone take %s, %s %s", rk_human_bytes(need,
	    bytes), limit_words(r), rk_human_bytes(have, limit_of(r)));
}

/* Floating-point operations of a step of training. */
static double
cost_of(const struct nn *nn)
{
	struct nn_cost c;
	double sum = 0;

	for (size_t i = 0; i < nn_ninstrs(nn); i++) {
		nn_cost_at(nn, i, &c);
		sum += c.flops;
	}
	return sum;
}

/* The network in the phase under way, without memory for its values: its sizes,
 * of which the largest of all phases counts. */
static bool
measure(struct run *r, struct run_memory *m, int64_t *outputs)
{
	const struct nn_want w = memory_want(r, m->limit);
	const struct nn_sizes before = m->sizes;
	struct rk_why why = {0};
	struct nn *nn;
	enum rk_err rc = nn_outline(&nn, &w, &why);
	if (rc != RK_OK)
		run_fail(r, rc == RK_ENOMEM ? "no_memory" : "bad_spec", true,
		    "%s", rk_why_first(&why));
	rk_why_fini(&why);
	if (rc != RK_OK)
		return false;
	nn_sizes(nn, &m->sizes);
	if (before.total_bytes > m->sizes.total_bytes)
		m->sizes = before;
	*outputs = nn_outputs(nn);
	m->data = RK_MAX(m->data, features_bytes(r, nn_features(nn)));
	m->features = RK_MAX(m->features, features_disk(r, nn_features(nn)));
	r->phase_cost[r->phase.index] = cost_of(nn);
	nn_free(nn);
	return true;
}

bool
memory_estimate(struct run *r, struct run_memory *m)
{
	const struct schedule_phase now = r->phase;
	int64_t outputs = 0;
	bool ok = true;

	*m = (struct run_memory){ .process = r->process_bytes,
		.said = r->spec->memory, .limit = limit_of(r) };
	for (int k = 0; ok && k < RK_MAX(r->spec->training.nphases, 1); k++) {
		r->phase.index = k;
		ok = measure(r, m, &outputs);
	}
	r->phase = now;
	if (!ok || !distill_bytes(r, m->limit, &m->ancestor))
		return false;
	m->process += judging_bytes(r, outputs);
	add_up(r, m);
	return true;
}
