/* What is said of what a plan does not use: much of the file, and what the job
 * says of names that nobody has. */
#include <string.h>

#include "impl.h"

#define LARGE 0.1               /* of the file's parameters */

/* --- the file's ----------------------------------------------------------- */

static bool
is_number(const struct warm_tensor *f)
{
	return f->dtype == DT_F32 || f->dtype == DT_F16 ||
	    f->dtype == DT_BF16 || f->dtype == DT_F64;
}

static int
layer_len(const char *name)
{
	const char *dot = strrchr(name, '.');

	return (int)(dot != NULL ? (size_t)(dot - name) : strlen(name));
}

static bool
is_running(const char *name)
{
	static const char *const words[] = { ".running_mean", ".running_var",
		"._mean", "._variance" };
	const char *dot = strrchr(name, '.');

	for (size_t k = 0; dot != NULL && k < RK_ARRAY_LEN(words); k++)
		if (strcmp(dot, words[k]) == 0)
			return true;
	return false;
}

/* The file's last table of two dimensions, which is its head, as a rule. */
static const char *
head_of_file(const struct warm_want *w)
{
	for (size_t j = w->nfile; j-- > 0;)
		if (w->file[j].ndim == 2)
			return w->file[j].name;
	return "";
}

static bool
same_layer(const char *a, const char *b)
{
	const int n = layer_len(a);

	return n == layer_len(b) && strncmp(a, b, (size_t)n) == 0;
}

/* A head that has another name is no other network. */
static void
note_ignored(struct warm_plan *p)
{
	const struct warm_want *w = p->want;
	const char *head = head_of_file(w);
	char left[RK_HUMAN], all[RK_HUMAN];
	int64_t ignored = 0, total = 0;
	size_t tensors = 0;

	for (size_t j = 0; j < w->nfile; j++)
		if (is_number(&w->file[j]) && !is_running(w->file[j].name) &&
		    !same_layer(w->file[j].name, head))
			total += warm_count(&w->file[j]);
	for (size_t i = p->nmodel; i < p->n; i++) {
		const struct warm_tensor *f = &w->file[p->v[i].file];
		if (p->v[i].fault != SPEC_UNEXPECTED || !is_number(f) ||
		    same_layer(f->name, head))
			continue;
		tensors++;
		ignored += is_running(f->name) ? 0 : warm_count(f);
	}
	if ((double)ignored > LARGE * (double)total)
		warm_note(p, "the file has %zu tensor%s (%s of its %s "
		    "parameters) that the model has not: is it the same "
		    "network?", tensors, rk_s((int64_t)tensors),
		    warm_human(left, ignored, total),
		    warm_human(all, total, total));
}

/* --- the job's ------------------------------------------------------------ */

/* A fault of what the file lacks or has otherwise is by the model's names, of
 * what the model lacks by the file's. */
static bool
fits_any(const struct warm_plan *p, enum spec_fault f, const char *pattern)
{
	const bool theirs = f == SPEC_UNEXPECTED;

	for (size_t i = theirs ? p->nmodel : 0; i < (theirs ? p->n :
	    p->nmodel); i++)
		if (spec_pattern_fits(pattern, warm_row_name(p, &p->v[i])))
			return true;
	return false;
}

/* What the sentence of a fault's patterns ends with. */
static const char *const whose[SPEC_FAULTS] = {
	[SPEC_MISSING] = "model", [SPEC_MISMATCH] = "model",
	[SPEC_UNEXPECTED] = "file that the model has not",
};

static void
note_patterns(struct warm_plan *p)
{
	const struct spec_warm *s = p->want->spec;

	for (int f = 0; f < SPEC_FAULTS; f++)
		for (int k = 0; k < s->of[f].n; k++)
			if (!fits_any(p, (enum spec_fault)f,
			    s->of[f].v[k].match))
				warm_note(p, "model.%s has \"%.80s\", which "
				    "fits no tensor of the %s",
				    spec_fault_words[f], s->of[f].v[k].match,
				    whose[f]);
}

void
warm_add_unused(struct strbuf *b, const struct warm_plan *p, enum spec_fault f)
{
	const struct spec_policies *s = &p->want->spec->of[f];

	for (int k = 0; k < s->n; k++)
		if (!fits_any(p, f, s->v[k].match))
			sb_addf(b, "; model.%s has \"%.80s\", which fits no "
			    "tensor of the %s", spec_fault_words[f],
			    s->v[k].match, whose[f]);
}

void
warm_note_unused(struct warm_plan *p, const bool *renames)
{
	const struct spec_warm *s = p->want->spec;

	for (int k = 0; k < s->nrename; k++)
		if (!renames[k])
			warm_note(p, "model.rename has \"%.80s\", which fits "
			    "no name of the file", s->rename[k].from);
	note_patterns(p);
	note_ignored(p);
}
