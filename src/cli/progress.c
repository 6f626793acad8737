/*
 * A line about how far a job is: training figures, and beside them those of
 * validation.  Where there is no room for all, what matters least is left out.
 */
#include <math.h>
#include <string.h>

#include "cli.h"

#define BAR_MAX 60

/* In the order in which they stand. */
enum field {
	F_BAR, F_PERCENT, F_PHASE, F_EPOCH, F_STEP, F_LOSS, F_ACC, F_VAL_LOSS,
	F_VAL_ACC, F_RATE, F_LEFT, FIELDS
};

/* What is left out, from the first on; the percentage stays. */
static const enum field leave_out[] = {
	F_BAR, F_PHASE, F_RATE, F_STEP, F_VAL_LOSS, F_EPOCH, F_LEFT, F_LOSS,
	F_ACC, F_VAL_ACC
};

struct fields {
	char text[FIELDS][96];  /* "" for none */
};

static void
put_bar(char *p, int width, double part)
{
	int n = RK_MIN(width, BAR_MAX), full = (int)(part * n);

	if (n <= 0)
		return;
	*p++ = '[';
	for (int i = 0; i < n; i++)
		*p++ = i < full ? '#' : '-';
	memcpy(p, "]", 2);
}

/* A figure, where it is known. */
static void
put(struct fields *f, enum field i, const char *fmt, const json_t *o,
    const char *key)
{
	double v = cli_num(o, key, NAN);

	if (!isnan(v))
		snprintf(f->text[i], sizeof(f->text[i]), fmt, v);
}

/* A daemon of before says no kind. */
bool
cli_trains(const json_t *job)
{
	const char *kind = cli_str(job, "kind");

	return *kind == '\0' || strcmp(kind, "train") == 0;
}

static void
fill(struct fields *f, const json_t *job, int width)
{
	const json_t *p = json_object_get(job, "progress");
	const json_t *m = json_object_get(p, "metrics");
	double step = cli_num(p, "step", 0), rate, left;
	double total = cli_num(p, "steps_total", 0);
	double part = total > 0 ? RK_MIN(step / total, 1.0) : 0;
	char a[RK_HUMAN], b[RK_HUMAN];
	const bool trains = cli_trains(job);

	*f = (struct fields){0};
	put_bar(f->text[F_BAR], width, part);
	snprintf(f->text[F_PERCENT], 96, "%3.0f%%", floor(part * 100));
	if (cli_num(p, "phases", 0) > 0)
		snprintf(f->text[F_PHASE], 96, "phase %.0f/%.0f",
		    cli_num(p, "phase", 0), cli_num(p, "phases", 0));
	/* A job whose length is of steps has none that it counts to. */
	if (trains && cli_num(p, "epochs_total", 0) > 0)
		snprintf(f->text[F_EPOCH], 96, "epoch %.0f/%.0f",
		    cli_num(p, "epoch", 0), cli_num(p, "epochs_total", 0));
	else if (trains && cli_num(p, "epoch", 0) > 0)
		snprintf(f->text[F_EPOCH], 96, "epoch %.0f",
		    cli_num(p, "epoch", 0));
	snprintf(f->text[F_STEP], 96, "%s %s/%s", trains ? "step" : "sample",
	    rk_group_digits(a, (int64_t)step),
	    rk_group_digits(b, (int64_t)total));
	put(f, F_LOSS, "loss %.4f", p, "loss");
	put(f, F_ACC, "acc %.3f", p, "accuracy");
	put(f, F_VAL_LOSS, "val_loss %.4f", m, "val_loss");
	put(f, F_VAL_ACC, "val_accuracy %.3f", m, "val_accuracy");
	if ((rate = cli_num(p, "samples_per_second", 0)) > 0)
		snprintf(f->text[F_RATE], 96, "%s samples/s",
		    rk_human_rate(a, rate));
	/* 0: no step was timed yet, as after a start. */
	left = cli_num(p, "eta_seconds", 0);
	if (left > 0 && part < 1)
		snprintf(f->text[F_LEFT], 96, "%ld:%02ld:%02ld left",
		    (long)left / 3600, (long)left / 60 % 60, (long)left % 60);
}

/* The columns of all that is there, two blanks between each. */
static size_t
columns_of(const struct fields *f)
{
	size_t n = 0;

	for (int i = 0; i < FIELDS; i++) {
		if (f->text[i][0] != '\0')
			n += strlen(f->text[i]) + (n > 0 ? 2 : 0);
	}
	return n;
}

void
cli_progress_line(struct strbuf *b, const json_t *job, int bar, size_t room)
{
	struct fields f;
	bool first = true;

	fill(&f, job, bar);
	for (size_t i = 0; i < RK_ARRAY_LEN(leave_out); i++) {
		if (room == 0 || columns_of(&f) <= room)
			break;
		f.text[leave_out[i]][0] = '\0';
	}
	for (int i = 0; i < FIELDS; i++) {
		if (f.text[i][0] == '\0')
			continue;
		sb_addf(b, "%s%s", first ? "" : "  ", f.text[i]);
		first = false;
	}
}

/* Two figures, or the one that is there. */
static void
put_pair(struct strbuf *b, const char *x, const char *y)
{
	sb_addf(b, "%s%s%s", x, *x != '\0' && *y != '\0' ? ", " : "", y);
}

/* The last line of what is left of f. */
static void
put_outcome(struct strbuf *b, const char *state, const struct fields *f,
    const char *behind_colon)
{
	const char *const t[] = { f->text[F_VAL_ACC], f->text[F_VAL_LOSS],
	    f->text[F_ACC], f->text[F_LOSS] };
	bool validated = *t[0] != '\0' || *t[1] != '\0';
	bool trained = *t[2] != '\0' || *t[3] != '\0';

	sb_addf(b, "%s%s", state, f->text[F_STEP]);
	if (validated || trained)
		sb_addf(b, ":%s", behind_colon);
	put_pair(b, t[0], t[1]);
	if (validated && trained)
		sb_adds(b, "; ");
	put_pair(b, t[2], t[3]);
	if (trained)
		sb_adds(b, " in training");
}

void
cli_outcome(struct strbuf *b, const json_t *job, size_t room)
{
	static const enum field cut[] = { F_LOSS, F_ACC, F_VAL_LOSS,
	    F_VAL_ACC };
	const json_t *p = json_object_get(job, "progress");
	const char *state = cli_str(job, "state");
	double step = cli_num(p, "step", 0);
	char digits[RK_HUMAN];
	struct fields f;

	fill(&f, job, 0);
	f.text[F_STEP][0] = '\0';
	if (step > 0)
		snprintf(f.text[F_STEP], 96, " at %s %s", cli_trains(job) ?
		    "step" : "sample", rk_group_digits(digits, (int64_t)step));
	put(&f, F_ACC, "accuracy %.3f", p, "accuracy");
	put_outcome(b, state, &f, " ");
	/* The best figure that there is stays; the step goes before it. */
	enum field best = F_VAL_ACC;
	for (size_t i = 0; i < RK_ARRAY_LEN(cut); i++)
		best = f.text[cut[i]][0] != '\0' ? cut[i] : best;
	for (size_t i = 0; room > 0 && b->len > room && i <=
	    RK_ARRAY_LEN(cut); i++) {
		enum field left_out = i < RK_ARRAY_LEN(cut) ? cut[i] : F_STEP;
		if (left_out == best)
			continue;
		f.text[left_out][0] = '\0';
		sb_reset(b);
		put_outcome(b, state, &f, " ");
	}
	if (room > 0 && b->len > room) {
		sb_reset(b);
		put_outcome(b, state, &f, "\n");
	}
}
