/* What a run holds out, and what is said of it: see held_out.h. */
#include <stdlib.h>
#include <string.h>

#include "start.h"

static bool
go_by_checkpoint(struct run *r, const struct ckpt_info *i)
{
	struct rk_why why = {0};
	struct held_out *h = &r->held, was;
	const double part = h->part;

	if (held_out_of_info(&was, i, &why) != RK_OK) {
		run_fail(r, "bad_checkpoint", true, "%s: checkpoint.json: %s",
		    i->dir, rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	/* It held nothing out and the job does now: by the job. */
	if (was.how.rule == DATA_SPLIT_NONE) {
		h->lineage = false;
		h->trained_on = -1;
		return true;
	}
	*h = was;
	h->part = part;
	return true;
}

/* Rule and seed of the model, as far as the job does not say others. */
static void
inherit(struct run *r)
{
	const struct spec *s = r->spec;
	const struct held_out *of = &r->warm_model.of;
	struct held_out *h = &r->held;

	if (!r->warm_model.known || s->data.split_seed_said)
		return;
	h->how.seed = of->how.seed;
	if (!s->data.stratify_said)
		h->how.rule = of->how.rule;
	if (h->how.rule == DATA_SPLIT_STRATIFIED &&
	    spec_loss_is_regression(s->training.loss.type))
		h->how.rule = DATA_SPLIT_CONTENT;
	h->inherited = true;
}

static bool
ask_model(struct run *r)
{
	if (!warm_open(r))
		return false;
	inherit(r);
	return true;
}

bool
held_out_choose(struct run *r, struct start *start, bool ask)
{
	struct held_out *h = &r->held;

	*h = (struct held_out){
		.how = data_split_of(&r->spec->data),
		.part = r->spec->data.validation_split, .lineage = true,
	};
	if (h->how.rule == DATA_SPLIT_NONE)
		return true;
	if (start == NULL)
		return !ask || ask_model(r);
	if (!start_may(start, r))
		return false;
	if (start->rc == RK_OK)
		return go_by_checkpoint(r, &start->info);
	return !warm_wanted(r) || ask_model(r);
}

void
held_out_saw(struct held_out *h, const struct data_set *train)
{
	const struct data_seen own = { h->how.seed, train->first_rank };

	/* Ranks tell nothing of a permutation. */
	if (h->how.rule == DATA_SPLIT_PERMUTATION) {
		h->lineage = false;
		return;
	}
	for (size_t i = 0; i < h->nseen; i++) {
		if (h->seen[i].seed == own.seed) {
			h->seen[i].from = RK_MIN(h->seen[i].from, own.from);
			return;
		}
	}
	if (h->nseen < HELD_OUT_SEEN)
		h->seen[h->nseen++] = own;
	else
		h->lineage = false;
}

void
held_out_measure(struct run *r)
{
	struct held_out *h = &r->held;

	if (h->how.rule == DATA_SPLIT_NONE)
		return;
	h->samples = r->train->n + r->valid->n;
	h->validation = r->valid->n;
	h->whole = r->train->whole;
	held_out_saw(h, r->train);
}

/* --- what the model was trained on ---------------------------------------- */

static bool
same_split(const struct held_out *a, const struct held_out *b)
{
	return a->how.rule == b->how.rule && a->how.seed == b->how.seed &&
	    a->part == b->part && a->whole == b->whole;
}

/* By the digest of the training samples: these and no others. */
static bool
same_training(const struct run *r)
{
	return strcmp(r->warm_model.data_digest, r->data_digest) == 0 &&
	    r->warm_model.of.how.rule == r->held.how.rule &&
	    r->warm_model.of.how.seed == r->held.how.seed;
}

static void
count(struct run *r)
{
	const struct held_out *of = &r->warm_model.of;
	struct held_out *h = &r->held;

	if (same_split(h, of)) {
		/* Not on one by itself; if on some before, it says so. */
		h->trained_on = RK_MAX(of->trained_on, 0);
		h->at_most = of->at_most;
	} else if (of->how.rule == DATA_SPLIT_PERMUTATION) {
		h->trained_on = same_training(r) ? 0 : -1;
	} else {
		h->trained_on = data_count_seen(r->valid, of->seen, of->nseen);
		h->at_most = h->trained_on > 0 && (of->nseen > 1 ||
		    of->how.rule != DATA_SPLIT_CONTENT ||
		    of->whole != h->whole);
	}
}

void
held_out_count(struct run *r)
{
	const struct held_out *of = &r->warm_model.of;
	struct held_out *h = &r->held;

	h->trained_on = -1;
	h->at_most = false;
	if (h->how.rule == DATA_SPLIT_NONE || !r->warm_model.known) {
		h->lineage = false;
		return;
	}
	count(r);
	/* From here on these weights have seen what the model had, too. */
	h->lineage = of->lineage;
	h->nseen = of->nseen;
	memcpy(h->seen, of->seen, sizeof(h->seen));
	held_out_saw(h, r->train);
}

/* --- and said ------------------------------------------------------------- */

static void
say_trained_on(struct strbuf *b, const struct run *r)
{
	const struct held_out *h = &r->held;
	const char *model = warm_source(r);
	char n[RK_HUMAN];

	if (h->how.rule == DATA_SPLIT_NONE)
		sb_addf(b, "; whether %s was trained on any of them is not "
		    "known", model);
	else if (h->trained_on < 0)
		sb_addf(b, "; how many of them %s was trained on is not "
		    "known: %s", model, r->warm_model.known ?
		    "its samples were others, or in another order" :
		    r->warm_model.because);
	else if (h->trained_on == 0)
		sb_addf(b, "; %s was trained on none of them%s", model,
		    h->lineage ? "" : ", as far as its lineage is known");
	else
		sb_addf(b, "; %s was trained on %s%s of them%s, and what is "
		    "measured there is better than what it will do elsewhere%s",
		    model, h->at_most ? "up to " : "",
		    rk_group_digits(n, h->trained_on), h->at_most ?
		    " (a bound by their ranks alone, which counts samples that "
		    "came to the data later, too)" : "",
		    r->spec->data.split_seed_said ? ": leave data.split_seed "
		    "out to hold out what it held out" : "");
}

char *
held_out_sentence(const struct run *r)
{
	const struct held_out *h = &r->held;
	char some[RK_HUMAN], all[RK_HUMAN];
	struct strbuf b = {0};

	if (r->valid == NULL)
		return NULL;
	if (h->how.rule == DATA_SPLIT_NONE)
		sb_addf(&b, "%s samples of their own files validate",
		    rk_group_digits(some, r->valid->n));
	else
		sb_addf(&b, "%s of %s samples validate (%s, seed %llu%s)",
		    rk_group_digits(some, h->validation),
		    rk_group_digits(all, h->samples),
		    data_split_words[h->how.rule],
		    (unsigned long long)h->how.seed,
		    h->inherited ? ", the model's" : "");
	if (warm_wanted(r))
		say_trained_on(&b, r);
	return sb_detach(&b);
}

bool
held_out_warns(const struct run *r)
{
	return r->valid != NULL && r->held.how.rule != DATA_SPLIT_NONE &&
	    r->held.trained_on != 0;
}

void
held_out_tell(struct run *r)
{
	const struct held_out *h = &r->held;

	if (r->valid == NULL ||
	    (h->how.rule == DATA_SPLIT_NONE && !warm_wanted(r)))
		return;
	char *text = held_out_sentence(r);
	if (!held_out_warns(r))
		report_event(&r->rep, "split", "%s", text);
	else
		report_warning(&r->rep, h->trained_on < 0 ? "split_unknown" :
		    "split_leak", "%s", text);
	free(text);
}
