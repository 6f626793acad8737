/* What a warm start takes along beside weights: see carry.h. */
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "carry.h"
#include "phases.h"

struct carry {
	struct run *r;
	const struct plan *p;
	const struct warm_file *f;
	json_t *notes;
	struct span_counts *updates;    /* [tensors of the network] */
	int64_t steps;                  /* the most of them; of our
					   checkpoint */
	int64_t tensors;                /* whose moments are taken along */
	int64_t left;                   /* and were not */
	bool assumed;                   /* a power that is 0 was told of */
	bool *slots;                    /* those of which any was taken */
	bool dry;                       /* only what it would be */
};

/* --- which of it ---------------------------------------------------------- */

static bool
is_moment(const char *slot)
{
	return strncmp(slot, "exp_avg", 7) == 0;
}

/*
 * RMSProp's numbers are not the same everywhere: Paddle has its epsilon inside
 * the root and the rate inside the momentum.
 */
static bool
means_the_same(const struct carry *c, const char *slot, const char **reason)
{
	const struct spec_training *t = &c->r->spec->training;

	*reason = "it is taken along by training.warm_start.optimizer: all";
	if (t->warm_start.optimizer == SPEC_CARRY_MOMENTS && !is_moment(slot))
		return false;
	*reason = "RMSProp of Paddle has its epsilon inside the root and the "
	    "rate inside the momentum, so its state means something else";
	return t->optim.type != SPEC_RMSPROP ||
	    c->f->framework != WARM_PADDLE;
}

/* --- one tensor ----------------------------------------------------------- */

static bool
is_grown(const struct warm_row *row)
{
	return row->action == WARM_GROW;
}

/* Is it as it was, or does it have rows that are, with their state? */
static bool
has_state(const struct warm_row *row)
{
	return row->action != WARM_INIT && (row->steps & 1u << WARM_SLICE) ==
	    0 && row->added < 0 &&
	    (!is_grown(row) || row->grown.way == WARM_BY_ROWS);
}

/* The slot of a row's tensor into the optimizer's, as its weight went. */
static bool
take_slot(struct carry *c, const struct warm_row *row, int k)
{
	const struct nn_tensor *to = nn_tensor_at(c->r->nn,
	    (size_t)row->model);
	const struct warm_tensor *f = &c->f->v[row->file];
	const bool turned = (row->steps & 1u << WARM_TRANSPOSE) != 0;
	float *dst = optim_slot(c->r->optim, k) + to->offset;
	const char *name = optim_slot_name(c->r->optim, k);
	const size_t n = (size_t)warm_count(f);

	if (c->dry)
		return warm_file_slot(c->f, (size_t)row->file, name, NULL, n);
	if (!turned && !is_grown(row))
		return warm_file_slot(c->f, (size_t)row->file, name, dst, n);
	float *x = xcalloc(n + 1, sizeof(*x)), *y = x;
	const bool ok = warm_file_slot(c->f, (size_t)row->file, name, x, n);
	if (ok && turned) {
		y = is_grown(row) ? xcalloc(n + 1, sizeof(*y)) : dst;
		plan_turn(y, x, f->d[1], f->d[0]);
	}
	if (ok && is_grown(row))
		plan_grow(dst, y, to, &row->grown, true);
	if (y != x && y != dst)
		free(y);
	free(x);
	return ok;
}

/*
 * Adam's power of beta2 that is 0 has underflowed: so many updates that the
 * bias corrections are 1.  A momentum of which no updates are counted has had
 * one, so that the next is not dampened as a first one is, which is not at all.
 */
static int64_t
updates_told(struct carry *c, const struct warm_row *row)
{
	const struct spec_optim *o = &c->r->spec->training.optim;
	const char *reason;
	int64_t n = 0;

	if (warm_file_updates(c->f, (size_t)row->file, o->beta2, &n, &reason))
		return n;
	if (strstr(reason, "underflowed") == NULL)
		return o->type == SPEC_SGD ? 1 : 0;
	if (!c->assumed)
		js_note(c->notes,
		    "%s; it is taken to have had so many that the bias "
		    "corrections are 1", reason);
	c->assumed = true;
	return (int64_t)(log((double)FLT_TRUE_MIN) / log(o->beta2)) + 1;
}

/* Those of the rows of the file's tensor; a checkpoint of ours tells of those
 * that were not updated in every step. */
static struct span_counts
updates_of(struct carry *c, const struct warm_row *row, int64_t rows)
{
	const struct warm_tensor *f = &c->f->v[row->file];
	struct span_counts v = {0};
	struct rk_why why = {0};
	struct rkj_obj o;

	if (c->steps > 0 && c->r->warm_model.updates != NULL) {
		rkj_open(&o, c->r->warm_model.updates, "state.updates", &why);
		(void)!spans_read(&o, f->name, rows, &v);
		rkj_close_lenient(&o);
		rk_why_fini(&why);
	}
	if (v.n == 0)
		spans_add(&v, rows, c->steps > 0 ? c->steps :
		    updates_told(c, row));
	return v;
}

/* The updates of row i. */
static int64_t
updates_at(const struct span_counts *v, int64_t i)
{
	size_t k = 0;

	while (k + 1 < v->n && i >= v->v[k].rows)
		i -= v->v[k++].rows;
	return v->n > 0 ? v->v[k].updates : 0;
}

/* Rows that are new have had none. */
static void
take_updates(struct carry *c, const struct warm_row *row)
{
	const struct nn_tensor *to = nn_tensor_at(c->r->nn,
	    (size_t)row->model);
	const struct warm_grown *g = &row->grown;
	const int64_t rows = is_grown(row) ? g->nfile : to->ndim > 0 ?
	    to->d[0] : 1;
	struct span_counts v = updates_of(c, row, rows);
	struct span_counts *out = &c->updates[row->model];

	if (!is_grown(row)) {
		*out = v;
		return;
	}
	for (int64_t i = 0; i < g->n; i++)
		spans_add(out, 1, g->from[i] >= 0 ? updates_at(&v, g->from[i]) :
		    0);
	free(v.v);
}

static void
take_row(struct carry *c, const struct warm_row *row)
{
	const struct nn_tensor *to = nn_tensor_at(c->r->nn,
	    (size_t)row->model);
	const int slots = optim_slots(c->r->optim);
	const char *reason;
	int taken = 0, wanted = 0;

	if (to->is_buffer)
		return;
	for (int k = 0; k < slots; k++) {
		if (!means_the_same(c, optim_slot_name(c->r->optim, k),
		    &reason))
			continue;
		wanted++;
		if (has_state(row) && take_slot(c, row, k)) {
			c->slots[k] = true;
			taken++;
		}
	}
	if (taken > 0 && taken == wanted) {
		take_updates(c, row);
		/* What rests leaves them behind: spans_carry(). */
		c->tensors += phases_train(c->r, to->name);
	} else {
		/* Half of them would be worse than none. */
		for (int k = 0; k < slots && taken > 0 && !c->dry; k++)
			memset(optim_slot(c->r->optim, k) + to->offset, 0,
			    (size_t)to->count * sizeof(float));
		c->left++;
	}
}

/* --- all ------------------------------------------------------------------ */

static void
tell_slots(struct carry *c)
{
	const int slots = optim_slots(c->r->optim);
	const char *reason;

	if (slots == 0)
		js_note(c->notes, "the optimizer has no state");
	for (int k = 0; k < slots; k++) {
		const char *name = optim_slot_name(c->r->optim, k);
		if (!means_the_same(c, name, &reason))
			js_note(c->notes, "skip %s: %s", name, reason);
		else if (!c->slots[k])
			js_note(c->notes,
			    "skip %s: the state has none that fits", name);
	}
	if (c->tensors > 0 && c->left > 0)
		js_note(c->notes,
		    "%lld parameters have no moments to take along, and "
		    "begin without", (long long)c->left);
}

static int64_t
most_updates(const struct carry *c)
{
	int64_t most = 0;

	for (size_t i = 0; i < nn_ntensors(c->r->nn); i++)
		for (size_t k = 0; k < c->updates[i].n; k++)
			most = RK_MAX(most, c->updates[i].v[k].updates);
	return most;
}

/* What is missed of a state whose reader has ended half way is no reason to
 * begin without it. */
static bool
was_read(const struct carry *c, const char *path)
{
	struct rk_why why = {0};
	const bool ok = c->f->state == NULL ||
	    inspect_ended(c->f->state, &why) == RK_OK;

	if (!ok)
		run_fail(c->r, "warm_start", true, "training.warm_start."
		    "optimizer: cannot read the state of %s: %s", path,
		    rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

/* How many updates there were, of a checkpoint of which the daemon has put the
 * files one by one into its cache. */
static void
read_record(struct run *r)
{
	const char *uri = r->spec->training.warm_start.record;
	const char *path = r->o->model == NULL && uri != NULL ?
	    place_of(r, uri) : NULL;
	struct ckpt_info info;
	char *text = NULL;
	size_t n;

	if (path != NULL && rk_read_file(AT_FDCWD, path, CKPT_JSON_MAX, &text,
	    &n) == RK_OK && ckpt_info_parse(text, n, NULL, &info, NULL) ==
	    RK_OK) {
		json_decref(r->warm_model.updates);
		r->warm_model.step = info.step;
		r->warm_model.updates = json_incref(json_object_get(info.state,
		    "updates"));
		ckpt_info_fini(&info);
	}
	free(text);
}

/*
 * The state in the file or beside it.  Beside an address means where the daemon
 * has put what it found there, and beside job:// where it has put what a bucket
 * has: a file in its cache has no neighbours.
 */
static bool
find_state(struct carry *c, const char *path, char **reason)
{
	const struct run *r = c->r;
	const char *uri = r->spec->model.checkpoint;
	const char *beside = r->spec->training.warm_start.beside;
	const bool fetched = r->o->model == NULL && spec_is_address(uri) &&
	    *rk_part_of(path) == '\0';
	const char *state = r->o->model == NULL && beside != NULL &&
	    *rk_part_of(path) == '\0' ? place_of(r, beside) : NULL;

	if (warm_file_state(c->p->of, path, state, reason))
		return true;
	char *said = place_named(r, *reason);
	if (fetched && state == NULL && c->f->framework == WARM_PADDLE) {
		free(said);
		said = beside != NULL ? xasprintf("there is no %s", beside) :
		    xasprintf("%s does not end in .pdparams, so what is beside "
		    "it has no name", uri);
	}
	free(*reason);
	*reason = said;
	return false;
}

static void
take_moments(struct carry *c, const char *path)
{
	char *reason;

	if (!find_state(c, path, &reason)) {
		js_note(c->notes, "skip the optimizer's state: %s", reason);
		free(reason);
		return;
	}
	for (size_t i = 0; i < c->p->is->nmodel; i++)
		take_row(c, &c->p->is->v[i]);
	tell_slots(c);
	if (!c->dry)
		spans_carry(c->r, c->updates);
}

/* Where the schedule goes on: by the file, or by the updates that there
 * were. */
static bool
go_on_with_schedule(struct carry *c, const char *path)
{
	int64_t step = c->steps > 0 ? c->steps : -1;
	char *reason = NULL;

	if (c->f->state == NULL && c->f->state_set == NULL &&
	    !find_state(c, path, &reason))
		free(reason);
	if (step < 0)
		step = warm_file_step(c->f);
	if (step < 0 && most_updates(c) > 0)
		step = most_updates(c);
	if (step < 0)
		return run_fail(c->r, "warm_start", true, "training."
		    "warm_start.schedule: is continue, and the file does not "
		    "say how many steps it has been trained");
	if (!c->dry)
		rate_continue(c->r, step);
	js_note(c->notes, "the schedule goes on at its step %lld",
	    (long long)step);
	return true;
}

static bool
carry_all(struct run *r, const struct plan *p, const char *path, bool dry,
    json_t **told)
{
	const struct spec_warm_start *w = &r->spec->training.warm_start;
	const bool moments = w->optimizer != SPEC_CARRY_NONE;
	bool ok = true;

	read_record(r);
	struct carry c = { .r = r, .p = p, .f = p->of,
		.steps = r->warm_model.step, .dry = dry };
	*told = NULL;
	if (!moments && w->schedule == SPEC_FROM_RESTART)
		return true;
	c.notes = json_array();
	c.updates = xcalloc(nn_ntensors(r->nn) + 1, sizeof(*c.updates));
	c.slots = xcalloc((size_t)optim_slots(r->optim) + 1,
	    sizeof(*c.slots));
	if (moments)
		take_moments(&c, path);
	ok = was_read(&c, path);
	if (ok && w->schedule == SPEC_FROM_CONTINUE)
		ok = go_on_with_schedule(&c, path);
	*told = json_pack("{s:I, s:I, s:o}", "tensors",
	    (json_int_t)c.tensors, "updates", (json_int_t)most_updates(&c),
	    "notes", c.notes);
	for (size_t i = 0; i < nn_ntensors(r->nn); i++)
		free(c.updates[i].v);
	free(c.updates);
	free(c.slots);
	return ok;
}

bool
carry_over(struct run *r, const struct plan *p, const char *path,
    json_t **told)
{
	return carry_all(r, p, path, false, told);
}

bool
carry_foretell(struct run *r, const struct plan *p, const char *path,
    json_t **told)
{
	return carry_all(r, p, path, true, told);
}
