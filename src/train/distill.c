/* The ancestor, which answers what the network is asked: see distill.h. */
#include <stdlib.h>
#include <string.h>

#include "class_map.h"
#include "distill.h"
#include "feed.h"
#include "plan.h"
#include "row_names.h"
#include "start.h"

struct distill {
	struct nn *nn;
	int64_t outputs;
	int32_t *ours, *theirs;         /* [pairs] */
	size_t pairs;
	char digest[RK_SHA256_HEX];
};

bool
distill_wanted(const struct run *r)
{
	return spec_distills(r->spec);
}

/* --- its network ---------------------------------------------------------- */

/* outputs 0: as many as the job's. */
static struct nn_want
want_of(const struct run *r, uint64_t limit, int64_t outputs)
{
	static const struct spec_loss plain = { .type = SPEC_CROSS_ENTROPY };
	struct nn_want w = memory_want(r, limit);

	/* Its layouts follow from what is trained, and so its bits; an attempt
	 * may begin in any phase. */
	if (r->spec->training.nphases > 0)
		w.trains = NULL;
	w.loss = &plain;
	w.answers = true;
	w.outputs = outputs;
	return w;
}

bool
distill_bytes(struct run *r, uint64_t limit, uint64_t *bytes)
{
	const struct nn_want w = want_of(r, limit, 0);
	struct rk_why why = {0};
	struct nn_sizes s;
	struct nn *n;

	*bytes = 0;
	if (!distill_wanted(r))
		return true;
	if (nn_outline(&n, &w, &why) != RK_OK) {
		run_fail(r, "bad_spec", true, "%s", rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	nn_sizes(n, &s);
	nn_free(n);
	*bytes = s.total_bytes;
	return true;
}

/* As many outputs as the file's head has rows. */
static enum rk_err
count_outputs(struct run *r, int64_t *outputs, struct rk_why *why)
{
	const struct plan_how how = { .model = &r->spec->model,
		.ancestor = true };
	struct rk_why ignored = {0};
	struct plan *p = NULL;

	(void)!plan_new(&p, r->nn, r->warm, &how, &ignored);
	const struct warm_row *head = p != NULL ? plan_head(p, r->nn) : NULL;
	const bool there = head != NULL && head->file >= 0;
	if (there) {
		const struct warm_tensor *t = &p->want.file[head->file];
		const bool turned = t->ndim == 2 &&
		    p->model[head->model].kind == WARM_LINEAR &&
		    p->is->layout == WARM_PADDLE;
		*outputs = turned ? t->d[1] : t->d[0];
	}
	rk_why_fini(&ignored);
	plan_free(p);
	return there ? RK_OK : rk_refuse_at(why, "training.distill",
	    "%s has no head whose answers could be learned from",
	    warm_source(r));
}

/* --- which class is which ------------------------------------------------- */

/* Does the job say that class i is class i, whatever they are called? */
static bool
is_by_number(const struct run *r)
{
	int len;
	const char *head = row_names_head(r->nn, &len);
	const struct spec_grow *g = len == 0 ? NULL :
	    spec_grow_of(&r->spec->model.warm, head);

	return g != NULL && g->match == SPEC_GROW_INDEX;
}

static enum rk_err
refuse_pairs(const struct distill *d, const struct run *r, size_t least,
    bool told, struct rk_why *why)
{
	if (!told)
		return rk_refuse_at(why, "training.distill", "learns from the "
		    "classes that %s knows, and which of its %lld these are is "
		    "not told: model.checkpoint_classes can name them",
		    warm_source(r), (long long)d->outputs);
	return rk_refuse_at(why, "training.distill", "%s knows %zu of the "
	    "job's classes, and %zu at least are wanted to learn from its "
	    "answers", warm_source(r), d->pairs, least);
}

static enum rk_err
pair_up(struct distill *d, struct run *r, struct rk_why *why)
{
	const size_t least = r->spec->training.loss.type ==
	    SPEC_BINARY_CROSS_ENTROPY ? 1 : 2;
	const int64_t outputs = nn_outputs(r->nn);
	struct class_map m = {0};

	const bool named = !is_by_number(r) && class_map_make(&m, r,
	    d->outputs);
	const bool told = named || is_by_number(r) || d->outputs == outputs;
	d->ours = xcalloc((size_t)outputs + 1, sizeof(*d->ours));
	d->theirs = xcalloc((size_t)outputs + 1, sizeof(*d->theirs));
	for (int64_t i = 0; told && i < outputs; i++) {
		const int64_t from = !named ? i : i < m.n ? m.from[i] : -1;
		if (from < 0 || from >= d->outputs)
			continue;
		d->ours[d->pairs] = (int32_t)i;
		d->theirs[d->pairs++] = (int32_t)from;
	}
	class_map_fini(&m);
	return d->pairs >= least ? RK_OK : refuse_pairs(d, r, least, told, why);
}

/* --- its numbers ---------------------------------------------------------- */

static void
make_digest(struct distill *d)
{
	struct rk_sha256 *h = rk_sha256_new();
	int64_t n;

	const float *v = nn_params(d->nn, &n);
	rk_sha256_add(h, v, (size_t)n * sizeof(*v));
	v = nn_buffers(d->nn, &n);
	rk_sha256_add(h, v, (size_t)n * sizeof(*v));
	rk_sha256_add(h, d->ours, d->pairs * sizeof(*d->ours));
	rk_sha256_add(h, d->theirs, d->pairs * sizeof(*d->theirs));
	rk_sha256_end(h, d->digest);
}

/* "training.distill: the network of ... is not the job's: conv1.weight: ..." */
static enum rk_err
refuse_plan(const struct run *r, enum rk_err rc, struct rk_why *its,
    struct rk_why *why)
{
	char *text = rk_why_text(its);

	rk_refuse_at(why, "training.distill", "the ancestor would be the job's "
	    "network with the outputs of %s, which it is not: %s",
	    warm_source(r), text);
	free(text);
	rk_why_fini(its);
	return rc;
}

/* Its network, without numbers (outline: without memory), and its plan. */
static enum rk_err
make(struct distill **dp, struct run *r, bool outline, struct plan **pp,
    struct rk_why *why)
{
	const struct plan_how how = { .model = &r->spec->model,
		.ancestor = true };
	struct distill *d = xcalloc(1, sizeof(*d));
	struct rk_why its = {0};

	*dp = d;
	*pp = NULL;
	enum rk_err rc = count_outputs(r, &d->outputs, why);
	if (rc == RK_OK)
		rc = pair_up(d, r, why);
	if (rc != RK_OK)
		return rc;
	const struct nn_want w = want_of(r, UINT64_MAX, d->outputs);
	rc = outline ? nn_outline(&d->nn, &w, &its) :
	    nn_build(&d->nn, &w, &its);
	if (rc == RK_OK)
		rc = plan_new(pp, d->nn, r->warm, &how, &its);
	return rc == RK_OK ? RK_OK : refuse_plan(r, rc, &its, why);
}

void
distill_free(struct distill *d)
{
	if (d == NULL)
		return;
	nn_free(d->nn);
	free(d->ours);
	free(d->theirs);
	free(d);
}

static enum rk_err
read_ancestor(struct run *r, struct rk_why *why)
{
	struct plan *p = NULL;

	enum rk_err rc = make(&r->distill, r, false, &p, why);
	if (rc == RK_OK)
		rc = plan_apply(p, r->distill->nn, r->spec->training.seed, why);
	if (rc == RK_OK)
		make_digest(r->distill);
	plan_free(p);
	return rc;
}

/* --- at the beginning of an attempt --------------------------------------- */

/* What a run that goes on cannot do without, and a person can bring back; what
 * the machine has no room for may pass by itself. */
static bool
wait_for_it(struct run *r)
{
	char *text = r->fail.message;

	if (!r->fail.permanent || r->ancestor[0] == '\0')
		return false;
	json_decref(r->fail.details);
	r->fail = (struct failure){0};
	run_fail_waits(r, "ancestor_missing", NULL, "%s; the run learns from "
	    "its answers (training.distill): put back what was there%s", text,
	    r->rep.wire != NULL ? "" :  /* the daemon has words of its own */
	    ", or go on without it by --set training.distill=null");
	free(text);
	return false;
}

static bool
is_the_same(struct run *r)
{
	if (r->ancestor[0] == '\0' ||
	    strcmp(r->ancestor, r->distill->digest) == 0)
		return true;
	return run_fail(r, "warm_start", true, "model.checkpoint: %s is not "
	    "what it was when the run began: digest %.16s, was %.16s",
	    warm_source(r), r->distill->digest, r->ancestor);
}

/* The caller frees. */
static char *
sentence(const struct run *r, const struct distill *d)
{
	const struct spec_distill *s = &r->spec->training.distill;

	return xasprintf("learns from the answers of %s, too, on %zu of its "
	    "%lld classes: weight %g, temperature %g", warm_source(r),
	    d->pairs, (long long)d->outputs, s->weight, s->temperature);
}

static json_t *
summary_json(const struct run *r, const struct distill *d)
{
	char *text = sentence(r, d);
	json_t *v = js_text(text);

	free(text);
	return v;
}

static void
tell(struct run *r)
{
	char *text = sentence(r, r->distill);

	report_event(&r->rep, "distill", "%s", text);
	free(text);
}

/* The daemon, which has found it before, has no file for its address. */
static bool
is_nowhere(struct run *r)
{
	const char *uri = r->spec->model.checkpoint;

	if (r->ancestor[0] == '\0' || r->o->model != NULL ||
	    r->rep.wire == NULL || place_of(r, uri) != NULL ||
	    !(spec_is_address(uri) || strncmp(uri, "job://", 6) == 0))
		return false;
	run_fail(r, "warm_start", true, "model.checkpoint: %s cannot be had "
	    "(any more)", uri);
	return true;
}

bool
distill_begin(struct run *r)
{
	struct rk_why why = {0};
	enum rk_err rc = RK_OK;

	if (!distill_wanted(r)) {
		r->ancestor[0] = '\0';
		return true;
	}
	if (is_nowhere(r) || !warm_open(r))
		return wait_for_it(r);
	rc = read_ancestor(r, &why);
	if (rc != RK_OK)
		run_fail(r, rc == RK_ENOMEM ? "no_memory" : rc == RK_EIO ?
		    "io" : "warm_start", rc != RK_ENOMEM && rc != RK_EIO, "%s",
		    why.n > 0 ? rk_why_first(&why) : rk_strerror(rc));
	rk_why_fini(&why);
	warm_file_free(r->warm);
	r->warm = NULL;
	if (rc != RK_OK || !is_the_same(r))
		return wait_for_it(r);
	if (r->ancestor[0] == '\0')
		tell(r);
	memcpy(r->ancestor, r->distill->digest, sizeof(r->ancestor));
	return true;
}

bool
distill_begin_random(struct run *r)
{
	const struct nn_want w = want_of(r, UINT64_MAX, 0);
	struct distill *d;
	struct rk_why why = {0};

	if (!distill_wanted(r))
		return true;
	d = r->distill = xcalloc(1, sizeof(*d));
	d->outputs = nn_outputs(r->nn);
	d->ours = xcalloc((size_t)d->outputs, sizeof(*d->ours));
	d->theirs = xcalloc((size_t)d->outputs, sizeof(*d->theirs));
	for (int64_t i = 0; i < d->outputs; i++)
		d->ours[i] = d->theirs[i] = (int32_t)i;
	d->pairs = (size_t)d->outputs;
	if (nn_build(&d->nn, &w, &why) != RK_OK) {
		run_fail(r, "no_memory", false, "%s", rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	nn_init(d->nn, r->spec->training.seed);
	return true;
}

json_t *
distill_plan(struct run *r, struct rk_why *why)
{
	const struct spec_distill *s = &r->spec->training.distill;
	struct distill *d = NULL;
	struct plan *p = NULL;
	json_t *o = NULL;

	if (make(&d, r, true, &p, why) == RK_OK)
		o = json_pack("{s:f, s:f, s:I, s:I, s:o}",
		    "weight", s->weight, "temperature", s->temperature,
		    "outputs", (json_int_t)d->outputs,
		    "classes", (json_int_t)d->pairs,
		    "summary", summary_json(r, d));
	plan_free(p);
	distill_free(d);
	return o;
}

/* --- steps ---------------------------------------------------------------- */

void
distill_ask(struct run *r, struct nn_step *s, int64_t counted)
{
	const struct spec_distill *c = &r->spec->training.distill;
	struct distill *d = r->distill;

	if (d == NULL)
		return;
	feed_copy_input(r, d->nn, s->rows);
	nn_forward(d->nn, &(struct nn_step){ .rows = s->rows, .all = s->rows,
	    .left_out = s->left_out }, false);
	r->taught = (struct nn_taught){ .z = nn_output(d->nn),
		.width = d->outputs, .ours = d->ours, .theirs = d->theirs,
		.pairs = d->pairs, .weight = c->weight,
		.temperature = c->temperature, .norm = (double)counted };
	s->taught = &r->taught;
}

double
distill_loss(const struct run *r, double task, double taught_sum,
    int64_t taught)
{
	const double w = r->spec->training.distill.weight;

	return taught > 0 ? (1 - w) * task + w * taught_sum / (double)taught :
	    task;
}

void
distill_put(const struct tally *t, json_t *metric)
{
	if (t->taught == 0)
		return;
	js_put(metric, "task_loss", js_number(run_task_loss(t)));
	js_put(metric, "distill_loss", js_number(t->taught_sum /
	    (double)t->taught));
}

/* --- in a checkpoint ------------------------------------------------------ */

json_t *
distill_json(const struct run *r)
{
	return r->ancestor[0] != '\0' ? json_pack("{s:s}", "digest",
	    r->ancestor) : NULL;
}

void
distill_read(struct run *r, const json_t *v, struct rk_why *why)
{
	char *digest = NULL;
	struct rkj_obj o;

	r->ancestor[0] = '\0';
	if (v == NULL)
		return;
	rkj_open(&o, v, "state.distill", why);
	if (rkj_str(&o, "digest", &digest, RK_SHA256_HEX - 1, RKJ_REQUIRED))
		snprintf(r->ancestor, sizeof(r->ancestor), "%s", digest);
	rkj_close_lenient(&o);
	free(digest);
}
