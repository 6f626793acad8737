/* A schedule in checkpoint.json, in the API, and for people. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/schedule.h"

static const char *const mode_words[] = { "min", "max", NULL };

/* --- checkpoint.json ------------------------------------------------------ */

static json_t *
terms_json(const struct schedule_terms *m)
{
	json_t *v = json_pack("{s:o, s:f, s:I, s:I}",
	    "schedule", spec_schedule_json(&m->shape),
	    "learning_rate", m->peak,
	    "steps_per_epoch", (json_int_t)m->steps_per_epoch,
	    "total", (json_int_t)m->total);

	must(v != NULL);
	return v;
}

static json_t *
plateau_json(const struct schedule_plateau *p)
{
	json_t *v = json_pack("{s:f, s:I, s:I}", "scale", p->scale,
	    "bad", (json_int_t)p->bad, "cooldown", (json_int_t)p->cooldown);

	must(v != NULL);
	if (p->metric[0] == '\0')
		return v;
	json_t *of = json_pack("{s:s, s:s, s:f}", "metric", p->metric,
	    "mode", mode_words[p->mode_max], "best", p->best);
	must(of != NULL && json_object_update(v, of) == 0);
	json_decref(of);
	return v;
}

json_t *
schedule_json(const struct schedule *s)
{
	json_t *said = terms_json(&s->said), *now = terms_json(&s->now);
	json_t *v = json_pack("{s:I, s:I, s:s}", "from", (json_int_t)s->from,
	    "since", (json_int_t)s->since, "by", spec_on_resume_words[s->by]);

	must(v != NULL);
	if (s->now.shape.type == SPEC_S_PLATEAU)
		must(json_object_set_new(v, "plateau",
		    plateau_json(&s->plateau)) == 0);
	if (!json_equal(said, now))
		must(json_object_set(v, "now", now) == 0);
	must(json_object_set_new(v, "said", said) == 0);
	json_decref(now);
	return v;
}

static void
read_terms(struct rkj_obj *in, const char *key, struct schedule_terms *m,
    struct rk_why *why)
{
	const json_t *v = rkj_any(in, key);
	struct rkj_obj o;

	if (v == NULL)
		return;
	char *path = rkj_child(in, key);
	rkj_open(&o, v, path, why);
	if (spec_schedule_parse(rkj_any(&o, "schedule"), &m->shape, why) !=
	    RK_OK)
		rkj_fault(&o, "schedule", "is no schedule");
	rkj_real(&o, "learning_rate", &m->peak, 0, 1e6, RKJ_REQUIRED);
	rkj_int(&o, "steps_per_epoch", &m->steps_per_epoch, 1,
	    SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_int(&o, "total", &m->total, 1, SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_close_lenient(&o);
	free(path);
}

static void
read_plateau(struct rkj_obj *in, struct schedule_plateau *p,
    struct rk_why *why)
{
	const json_t *v = rkj_any(in, "plateau");
	char *metric = NULL;
	struct rkj_obj o;
	int mode = 0;

	p->scale = 1;
	if (v == NULL)
		return;
	rkj_open(&o, v, "schedule.plateau", why);
	rkj_real(&o, "scale", &p->scale, 0, 1, RKJ_REQUIRED);
	rkj_int(&o, "bad", &p->bad, 0, SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_int(&o, "cooldown", &p->cooldown, 0, SCHEDULE_STEPS_MAX,
	    RKJ_REQUIRED);
	if (rkj_str(&o, "metric", &metric, SCHEDULE_METRIC_MAX - 1,
	    RKJ_OPTIONAL)) {
		snprintf(p->metric, sizeof(p->metric), "%s", metric);
		rkj_enum(&o, "mode", &mode, mode_words, RKJ_REQUIRED);
		rkj_real(&o, "best", &p->best, -HUGE_VAL, HUGE_VAL,
		    RKJ_REQUIRED);
	}
	p->mode_max = mode == 1;
	free(metric);
	rkj_close_lenient(&o);
}

enum rk_err
schedule_parse(const json_t *v, struct schedule *out, struct rk_why *why)
{
	struct rk_why own = {0};
	struct rkj_obj o;
	int by = 0;

	*out = (struct schedule){0};
	rkj_open(&o, v, "schedule", &own);
	if (o.v != NULL && rkj_any(&o, "said") == NULL)
		rkj_fault(&o, "said", "is missing");
	read_terms(&o, "said", &out->said, &own);
	out->now = out->said;
	read_terms(&o, "now", &out->now, &own);
	rkj_int(&o, "from", &out->from, -SCHEDULE_STEPS_MAX,
	    SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_int(&o, "since", &out->since, 0, SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_enum(&o, "by", &by, spec_on_resume_words, RKJ_REQUIRED);
	out->by = (enum spec_on_resume)by;
	read_plateau(&o, &out->plateau, &own);
	rkj_close_lenient(&o);
	return rk_why_end(&own, why);
}

/* --- for people ----------------------------------------------------------- */

/* Warm-up and decay of what decays, the training of what does not; 2^53 at
 * most. */
static int64_t
steps_of(const struct schedule *s)
{
	double n = (double)s->now.total;

	if (schedule_decays(&s->now.shape))
		n = schedule_warmup(&s->now) + schedule_decay(&s->now);
	return (int64_t)RK_MIN(n, (double)SCHEDULE_STEPS_MAX);
}

json_t *
schedule_look(const struct schedule *s, double scale)
{
	json_t *v = json_pack("{s:s, s:f, s:I, s:I, s:I, s:s}",
	    "type", spec_schedule_words[s->now.shape.type],
	    "learning_rate", scale * s->now.peak,
	    "from", (json_int_t)s->from,
	    "steps", (json_int_t)steps_of(s), "since", (json_int_t)s->since,
	    "by", spec_on_resume_words[s->by]);

	must(v != NULL);
	if (s->now.shape.type == SPEC_S_PLATEAU)
		must(json_object_set_new(v, "scale",
		    json_real(s->plateau.scale)) == 0);
	return v;
}

char *
schedule_text(const struct schedule *s, double scale)
{
	char from[RK_HUMAN], steps[RK_HUMAN], now[RK_HUMAN] = "";

	if (s->now.shape.type == SPEC_S_PLATEAU && s->plateau.scale < 1)
		snprintf(now, sizeof(now), ", times %.3g so far",
		    s->plateau.scale);
	return xasprintf("%s over %s steps from step %s, peak %g%s",
	    spec_schedule_words[s->now.shape.type],
	    rk_group_digits(steps, steps_of(s)),
	    rk_group_digits(from, s->from), scale * s->now.peak, now);
}

/* --- what may not have been meant ----------------------------------------- */

struct remarks {
	const struct schedule *s;
	double scale;
	schedule_remark_fn *fn;
	void *ctx;
};

static void remark(const struct remarks *r, const char *fmt, ...)
    RK_PRINTF(2, 3);

static void
remark(const struct remarks *r, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	r->fn(r->ctx, sb_str(&b));
	sb_fini(&b);
}

static const char *
digits(char out[RK_HUMAN], double n)
{
	return rk_group_digits(out, (int64_t)RK_MIN(n,
	    (double)SCHEDULE_STEPS_MAX));
}

static void
remark_warmup(const struct remarks *r)
{
	const struct schedule *s = r->s;
	const double w = schedule_warmup(&s->now);
	char a[RK_HUMAN], b[RK_HUMAN];

	if (w > (double)s->now.total)
		remark(r, "the warm-up of %s steps is longer than the run of "
		    "%s: the learning rate never arrives at %g, it ends at "
		    "%.3g", digits(a, w), digits(b, (double)s->now.total),
		    r->scale * s->now.peak, r->scale * schedule_rate(s,
		    s->from + s->now.total - 1));
}

/* Something that would happen `at` steps after the warm-up; whether it lies
 * behind the end. */
static bool
remark_point(const struct remarks *r, const char *field, double at)
{
	const struct schedule_terms *m = &r->s->now;
	const double left = (double)m->total - schedule_warmup(m);
	char a[RK_HUMAN], b[RK_HUMAN];

	if (at < left || left <= 0)     /* the warm-up's own line says it */
		return false;
	remark(r, "training.schedule.%s: step %s after the warm-up is never "
	    "reached: the run has %s steps there, so the learning rate never "
	    "drops%s", field, digits(a, at), digits(b, left),
	    strcmp(field, "milestones") == 0 ? " there" : "");
	return true;
}

static void
remark_length(const struct remarks *r)
{
	const struct schedule_terms *m = &r->s->now;
	const double l = schedule_decay(m), w = schedule_warmup(m);
	char a[RK_HUMAN], b[RK_HUMAN];

	if (m->shape.length > 0 && w + l > (double)m->total)
		remark(r, "training.schedule.length: %s steps after the "
		    "warm-up are longer than the run of %s: the learning rate "
		    "ends at %.3g", digits(a, l), digits(b, (double)m->total),
		    r->scale * schedule_rate(r->s, r->s->from + m->total - 1));
}

/* The first epoch may set the best; patience + 1 bad ones lower the rate, which
 * another has to come to use. */
static void
remark_patience(const struct remarks *r)
{
	const struct schedule_terms *m = &r->s->now;
	const double epochs = ((double)m->total - schedule_warmup(m)) /
	    (double)m->steps_per_epoch;

	if (epochs > 0 && epochs <= (double)m->shape.patience + 2)
		remark(r, "training.schedule.patience: more than %lld bad "
		    "epochs in a row do not fit into a run of %.3g: the "
		    "learning rate never drops", (long long)m->shape.patience,
		    epochs);
}

void
schedule_remarks(const struct schedule *s, double scale,
    schedule_remark_fn *fn, void *ctx)
{
	const struct spec_schedule *p = &s->now.shape;
	const struct remarks r = { s, scale, fn, ctx };
	const int64_t spe = s->now.steps_per_epoch;

	remark_warmup(&r);
	if (p->type == SPEC_S_STEP)
		remark_point(&r, "step_size", schedule_in_steps(p->step_size,
		    p->unit_epochs, spe));
	/* They grow: the first that is too late stands for those behind it. */
	for (int i = 0; p->type == SPEC_S_MULTISTEP && i < p->nmilestones; i++)
		if (remark_point(&r, "milestones", schedule_in_steps(
		    p->milestones[i], p->unit_epochs, spe)))
			break;
	if (schedule_decays(p))
		remark_length(&r);
	if (p->type == SPEC_S_PLATEAU)
		remark_patience(&r);
}
