/* Data sets, network and optimiser. */
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "judging.h"
#include "row_names.h"
#include "start.h"

/* The field that names the file which a sentence begins with; NULL: it begins
 * with none. */
static const char *
field_of(const struct spec_file *f, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		const size_t len = strlen(*f[i].name);
		if (strncmp(text, *f[i].name, len) == 0 &&
		    strncmp(text + len, ": ", 2) == 0)
			return f[i].field;
	}
	return NULL;
}

bool
run_refuse_data(struct run *r, enum rk_err rc, struct rk_why *why)
{
	struct rk_why told = { .more = why->more };
	struct spec_file f[SPEC_FILES];
	const size_t n = spec_files(&r->spec->data, f);

	for (size_t i = 0; i < why->n; i++) {
		char *named = place_named(r, why->v[i].message);
		const char *field = field_of(f, n, named);
		rk_refuse_at(&told, field != NULL ? field : why->v[i].path,
		    "%s", named);
		free(named);
	}
	char *text = rk_why_text(&told);
	run_fail(r, rc == RK_ENOMEM ? "no_memory" : "bad_data",
	    rc != RK_ENOMEM, "%s", text);
	free(text);
	rk_why_fini(&told);
	rk_why_fini(why);
	return false;
}

bool
run_asks(const struct run *r)
{
	return r->o->plan || r->o->check || r->o->evaluate != NULL ||
	    (r->o->summary && warm_at_hand(r));
}

/* As far as the outputs are those of the model of a warm start. */
static bool
match_model(struct run *r)
{
	const json_t *names = r->warm_model.classes;
	const size_t n = json_array_size(names);
	const int64_t places = n == 0 || r->o->evaluate != NULL ? (int64_t)n :
	    row_names_places(r, (int64_t)n);
	json_t *some = json_array();

	for (size_t i = 0; i < (size_t)places; i++)
		must(json_array_append(some, json_array_get(names, i)) == 0);
	const bool ok = classes_match(r, some, warm_source(r));
	json_decref(some);
	return ok;
}

/* The classes in the order of what the weights are from: a checkpoint of ours,
 * else the model of a warm start. */
static bool
match(struct run *r, struct start *start)
{
	if (r->train->names == NULL)
		return true;
	if (start != NULL && !start_may(start, r))
		return false;
	if (start != NULL && start->rc == RK_OK)
		return classes_match(r, start->info.classes, start->info.dir);
	if (!warm_wanted(r) || (start == NULL && !run_asks(r)))
		return true;
	return warm_open(r) && match_model(r);
}

bool
run_open_data(struct run *r, struct start *start)
{
	struct data_files *files = NULL;
	struct rk_why why = {0};
	struct spec_data local;

	if (!memory_draws(r) || !place_data(r, &local))
		return false;
	enum rk_err rc = data_read(&local, &files, &why);
	if (rc != RK_OK)
		return run_refuse_data(r, rc, &why);
	bool ok = held_out_choose(r, start, run_asks(r) && warm_wanted(r));
	if (ok)
		rc = data_divide(files, &r->held.how, &r->train, &r->valid,
		    &why);
	data_files_free(files);
	if (rc != RK_OK)
		return run_refuse_data(r, rc, &why);
	if (ok && (r->train->n < 1 || (r->valid != NULL && r->valid->n < 1)))
		return run_fail(r, "bad_data", true, "there are no %s samples",
		    r->train->n < 1 ? "training" : "validation");
	if (ok)
		held_out_measure(r);
	return ok && match(r, start);
}

/* --- lengths -------------------------------------------------------------- */

static bool
set_lengths(struct run *r)
{
	const struct spec_training *t = &r->spec->training;
	/* Of a question without data: those of one full batch. */
	const int64_t n = r->train != NULL ? r->train->n : t->batch_size;

	const bool buckets = r->train != NULL && r->train->nlengths > 0;

	if (t->drop_last && buckets && data_batches(r->train, t->batch_size,
	    true) == 0)
		return run_fail(r, "bad_data", true, "none of the buckets of "
		    "data.train has a batch of %lld samples, and "
		    "training.drop_last leaves out what is less",
		    (long long)t->batch_size);
	if (t->drop_last && n < t->batch_size)
		return run_fail(r, "bad_data", true, "%lld sample%s no "
		    "batch of %lld, and training.drop_last leaves out what is "
		    "less", (long long)n, n == 1 ? " makes" : "s make",
		    (long long)t->batch_size);
	r->batch = RK_MIN(t->batch_size, n);
	r->steps_per_epoch = buckets ? data_batches(r->train, r->batch,
	    t->drop_last) : t->drop_last ? n / r->batch :
	    (n + r->batch - 1) / r->batch;
	const int64_t epochs = spec_phase_epochs(t);

	r->epochs_limit = epochs > 0 ? epochs : INT64_MAX;
	r->steps_limit = t->steps > 0 ? t->steps : INT64_MAX;
	r->steps_total = schedule_total_at(t, r->steps_per_epoch, &r->phase);
	return true;
}

/* --- labels --------------------------------------------------------------- */

bool
run_classifies(const struct run *r)
{
	return !spec_loss_is_regression(r->spec->training.loss.type) ||
	    r->targets_width > 1;
}

/* The first sample with several labels, and which; the caller frees. */
static char *
several_of(const struct data_set *d)
{
	struct strbuf b = {0};
	int64_t i = 0;

	while (i + 1 < d->n && d->many_from[i + 1] - d->many_from[i] == 1)
		i++;
	const int64_t n = d->many_from[i + 1] - d->many_from[i];
	char *name = data_sample_name(d, i);
	sb_addf(&b, "%s has %lld label%s", name, (long long)n, rk_s(n));
	for (int64_t k = 0; k < RK_MIN(n, 4); k++) {
		const int32_t c = d->many[d->many_from[i] + k];
		if (d->names != NULL)
			sb_addf(&b, "%s\"%.80s\"", k > 0 ? ", " : ": ",
			    d->names[c]);
		else
			sb_addf(&b, "%s%d", k > 0 ? ", " : ": ", (int)c);
	}
	free(name);
	return sb_detach(&b);
}

/* Several labels a sample are targets, one an output. */
static bool
check_many(struct run *r, const struct data_set *const sets[2])
{
	for (int k = 0; k < 2; k++) {
		if (sets[k] == NULL || sets[k]->many_from == NULL)
			continue;
		if (r->spec->training.loss.type != SPEC_BINARY_CROSS_ENTROPY) {
			char *which = several_of(sets[k]);
			run_fail(r, "bad_data", true, "data.%s: %s, and a "
			    "sample may have several labels, or none, with "
			    "binary_cross_entropy alone; in a list a label "
			    "with blanks in it stands in double quotes",
			    k == 0 ? "train" : "validation", which);
			free(which);
			return false;
		}
		if (r->targets_width == 1)
			return run_fail(r, "bad_data", true, "data.%s: a sample "
			    "may have several labels, and the network has one "
			    "output", k == 0 ? "train" : "validation");
	}
	return true;
}

/* Labels of one output of binary_cross_entropy: probabilities. */
static bool
check_binary(struct run *r, const struct data_set *const sets[2])
{
	for (int k = 0; k < 2; k++)
		for (int64_t i = 0; sets[k] != NULL && i < sets[k]->n; i++)
			if (!(sets[k]->targets[i] >= 0 &&
			    sets[k]->targets[i] <= 1))
				return run_fail(r, "bad_data", true,
				    "data.%s: sample %lld has the label %g, "
				    "and binary_cross_entropy wants 0 to 1",
				    k == 0 ? "train" : "validation",
				    (long long)i, sets[k]->targets[i]);
	return true;
}

/* Does the loss see a sample of this class?  Not where ignore_index names it or
 * its class weight is 0. */
static bool
counts(const struct spec_loss *l, int64_t class)
{
	return !(l->ignoring && class == l->ignore_index) &&
	    (l->nweights == 0 || l->class_weights[class] > 0);
}

/* A mean over no sample is no number: the loss would be 0 and say nothing.
 * Class weights are as many as there are outputs, labels are below that or
 * ignored. */
static bool
check_counts(struct run *r, const struct data_set *const sets[2])
{
	const struct spec_loss *l = &r->spec->training.loss;

	for (int k = 0; k < 2; k++) {
		const struct data_set *d = sets[k];
		int64_t i = 0;
		if (d == NULL || (!l->ignoring && l->nweights == 0))
			continue;
		while (i < d->n && !counts(l, (int64_t)d->targets[i]))
			i++;
		if (i < d->n)
			continue;
		return run_fail(r, "bad_data", true, "data.%s: none of the "
		    "%lld sample%s counts for the loss: the first has the "
		    "label %lld, which %s; want one at least of another class",
		    k == 0 ? "train" : "validation", (long long)d->n,
		    rk_s(d->n),
		    (long long)d->targets[0],
		    l->ignoring && (int64_t)d->targets[0] == l->ignore_index ?
		    "training.loss.ignore_index leaves out" :
		    "has weight 0 in training.loss.class_weights");
	}
	return true;
}

/*
 * Cross entropy wants classes.  Other losses want as many targets as there are
 * outputs: the label itself for one output, and for more a 1 at the label's
 * place among zeros.
 */
static bool
check_labels(struct run *r)
{
	const int64_t outputs = nn_outputs(r->nn);
	const enum spec_loss_type loss = r->spec->training.loss.type;
	const struct data_set *sets[] = { r->train, r->valid };
	const int64_t ignored = r->spec->training.loss.ignoring ?
	    r->spec->training.loss.ignore_index : -1;
	struct rk_why why = {0};

	r->targets_width = loss == SPEC_CROSS_ENTROPY ? 0 : outputs;
	if (!check_many(r, sets))
		return false;
	if (r->targets_width == 1)
		return loss != SPEC_BINARY_CROSS_ENTROPY ||
		    check_binary(r, sets);
	for (size_t i = 0; i < RK_ARRAY_LEN(sets); i++) {
		if (sets[i] == NULL || data_check_classes(sets[i], outputs,
		    ignored, &why) == RK_OK)
			continue;
		run_fail(r, "bad_data", true, "data.%s: %s",
		    i == 0 ? "train" : "validation", rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	return loss != SPEC_CROSS_ENTROPY || check_counts(r, sets);
}

/* Where the samples are not there to be asked. */
enum rk_err
run_check_vocabulary(const struct run *r, const struct data_set *d,
    struct rk_why *why)
{
	int32_t *ids = xcalloc((size_t)d->width, sizeof(*ids));
	struct rk_why its = {0};

	for (int64_t i = 0; i < d->width; i++)
		ids[i] = (int32_t)d->vocabulary - 1;
	enum rk_err rc = nn_check_ids(r->nn, ids, 1, &its);
	if (rc != RK_OK)
		rk_refuse(why, "its vocabulary has %lld tokens: %s",
		    (long long)d->vocabulary, rk_why_first(&its));
	rk_why_fini(&its);
	free(ids);
	return rc;
}

/* The second text of a pair is told from the first by what parts them. */
static bool
check_pairs(struct run *r)
{
	const struct spec_model *m = &r->spec->model;
	const int32_t sep = r->train != NULL ? data_separator(r->train) : -1;

	if (sep < 0 || m->arch == SPEC_ARCH_LAYERS ||
	    spec_family_of(m->arch) != SPEC_FAMILY_bert ||
	    m->u.bert.token_types == 0 || m->u.bert.separator == sep)
		return true;
	return run_fail(r, "bad_spec", true, "model.separator is %lld, and the "
	    "texts of a pair of data.train are parted by token %d ([SEP]): want "
	    "model.separator: %d, or model.token_types: 0 for a network that "
	    "does not tell them apart", (long long)m->u.bert.separator,
	    (int)sep, (int)sep);
}

/* Tokens choose rows of a table: each must have one. */
static bool
check_tokens(struct run *r)
{
	const struct data_set *sets[] = { r->train, r->valid };
	struct rk_why why = {0};

	for (size_t i = 0; i < RK_ARRAY_LEN(sets); i++) {
		enum rk_err rc = RK_OK;
		if (sets[i] != NULL && r->spec->data.train.type == SPEC_TEXT)
			rc = run_check_vocabulary(r, sets[i], &why);
		else if (sets[i] != NULL && sets[i]->tokens != NULL)
			rc = nn_check_ids(r->nn, sets[i]->tokens, sets[i]->n,
			    &why);
		if (rc == RK_OK)
			continue;
		const bool text = r->spec->data.train.type == SPEC_TEXT;
		char *its = xasprintf("its vocabulary is %lld, and not all of "
		    "that is in the network's: ",
		    (long long)sets[i]->vocabulary);
		run_fail(r, "bad_data", true, "data.%s: %s%s",
		    i == 0 ? "train" : "validation", text ? "" : its,
		    rk_why_first(&why));
		free(its);
		rk_why_fini(&why);
		return false;
	}
	return true;
}

bool
run_check_samples(struct run *r)
{
	return check_labels(r) && check_tokens(r) && check_pairs(r);
}

bool
run_measure(struct run *r, struct run_memory *m)
{
	return set_lengths(r) && memory_estimate(r, m);
}

/* The arrays that a batch is gathered into, beside the network's input. */
static bool
make_batch(struct run *r)
{
	size_t n;

	r->micro = nn_micro(r->nn);
	r->which = xcalloc((size_t)r->batch, sizeof(*r->which));
	if (r->targets_width != 1)
		r->classes = xcalloc((size_t)r->micro, sizeof(*r->classes));
	if (r->targets_width == 0)
		return true;
	if (rk_mul((size_t)r->micro, (size_t)r->targets_width, &n) &&
	    rk_mul(n, sizeof(float), &n))
		r->targets = malloc(n);
	return r->targets != NULL || run_fail(r, "no_memory", false,
	    "the system has no memory for the targets of a batch");
}

static bool
make_optimizer(struct run *r)
{
	const struct spec_training *t = &r->spec->training;
	int64_t nparams, nbuffers;

	nn_params(r->nn, &nparams);
	nn_buffers(r->nn, &nbuffers);
	enum rk_err rc = optim_new(&r->optim, &t->optim, nparams);
	if (rc == RK_OK && t->ema.decay > 0)
		rc = optim_ema_new(&r->ema, &t->ema, nparams, nbuffers);
	return rc == RK_OK || run_fail(r, "no_memory", false, "the system has "
	    "no memory for the optimizer's state");
}

bool
run_build(struct run *r, const struct run_memory *m)
{
	struct rk_why why = {0};

	if (!memory_fits(r, m))
		return false;
	const struct nn_want w = memory_want(r, m->limit);
	enum rk_err rc = nn_build(&r->nn, &w, &why);
	if (rc != RK_OK)
		run_fail(r, rc == RK_ENOMEM ? "no_memory" : "bad_spec",
		    rc != RK_ENOMEM, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	if (rc != RK_OK || !run_check_samples(r))
		return false;
	nn_digest(r->nn, r->program);
	judging_new(r);
	if (r->spec->kind != SPEC_JOB_TRAIN)
		return make_batch(r) && feed_open(r);
	return make_optimizer(r) && spans_check(r) && make_batch(r) &&
	    feed_open(r);
}
