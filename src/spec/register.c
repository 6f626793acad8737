/* `training.register`: names of models and aliases, conditions, the block. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyz" "ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789"
#define WORD_MAX_BYTES 64
#define COND_MAX_BYTES 256
#define BLANKS " \t"

const char *const spec_than_words[] = { ">=", ">", "<=", "<", NULL };

/* --- names ---------------------------------------------------------------- */

static bool
is_word(const char *s)
{
	const size_t n = strlen(s);

	return n > 0 && n <= WORD_MAX_BYTES && strspn(s, ALNUM "._-") == n &&
	    strchr(ALNUM, s[0]) != NULL;
}

enum rk_err
spec_model_name_ok(const char *name, struct rk_why *why)
{
	if (is_word(name))
		return RK_OK;
	return rk_refuse(why, "is \"%.*s\", want the name of a model: a letter "
	    "or digit, and up to 63 more of [A-Za-z0-9._-]",
	    (int)rk_text_fit(name, 80), name);
}

enum rk_err
spec_model_alias_ok(const char *alias, struct rk_why *why)
{
	if (is_word(alias) && strcmp(alias, "latest") != 0 &&
	    strspn(alias, "0123456789") != strlen(alias))
		return RK_OK;
	return rk_refuse(why, "is \"%.*s\", want the name of an alias: a "
	    "letter or digit, and up to 63 more of [A-Za-z0-9._-], not digits alone, "
	    "and not latest", (int)rk_text_fit(alias, 80), alias);
}

/* --- conditions ----------------------------------------------------------- */

/* Its place in the words; the longer of two that fit comes first there. */
static int
than_at(const char *s)
{
	int k = 0;

	while (spec_than_words[k] != NULL && strncmp(s, spec_than_words[k],
	    strlen(spec_than_words[k])) != 0)
		k++;
	return spec_than_words[k] != NULL ? k : -1;
}

/* Digits alone: strtod() would take "nan", "inf" and "0x1p3", too. */
static bool
read_number(const char *s, double *out)
{
	char *end;

	if (s[0] == '\0' || strspn(s, "0123456789+-.eE" BLANKS) != strlen(s))
		return false;
	errno = 0;
	*out = strtod(s, &end);
	return end != s && errno == 0 && isfinite(*out) &&
	    end[strspn(end, BLANKS)] == '\0';
}

enum rk_err
spec_condition_parse(const char *text, struct spec_condition *out,
    struct rk_why *why)
{
	const char *s = text + strspn(text, BLANKS);
	const size_t n = strspn(s, ALNUM "._-");
	const char *op = s + n + strspn(s + n, BLANKS);
	const int than = than_at(op);
	double value = 0;

	if (n == 0 || n > WORD_MAX_BYTES || than < 0 ||
	    strlen(text) > COND_MAX_BYTES ||
	    !read_number(op + strlen(spec_than_words[than]), &value))
		return rk_refuse(why, "is \"%.*s\", want METRIC OP NUMBER with "
		    ">= > <= or < as OP: \"val_accuracy >= 0.9\"",
		    (int)rk_text_fit(text, 80), text);
	*out = (struct spec_condition){ .metric = xstrndup(s, n),
		.than = (enum spec_than)than, .value = value };
	return RK_OK;
}

bool
spec_condition_holds(const struct spec_condition *c, double x)
{
	switch (c->than) {
	case SPEC_THAN_GE: return x >= c->value;
	case SPEC_THAN_GT: return x > c->value;
	case SPEC_THAN_LE: return x <= c->value;
	case SPEC_THAN_LT: return x < c->value;
	}
	return false;
}

/* --- the block ------------------------------------------------------------ */

/* A text that one of the above has to find good. */
static void
check_text(struct rkj_obj *o, const char *key, const char *text,
    enum rk_err (*ok)(const char *, struct rk_why *))
{
	struct rk_why own = {0};

	if (text != NULL && ok(text, &own) != RK_OK)
		rkj_fault(o, key, "%s", own.v[0].message);
	rk_why_fini(&own);
}

static bool
is_metric(const char *word)
{
	for (size_t i = 0; sp_metric_words[i] != NULL; i++) {
		if (strcmp(sp_metric_words[i], word) == 0)
			return true;
	}
	return false;
}

static void
read_condition(struct spec_register *r, struct rkj_obj *o)
{
	struct rk_why own = {0};

	if (!rkj_str(o, "if", &r->cond_text, COND_MAX_BYTES, RKJ_OPTIONAL))
		return;
	if (spec_condition_parse(r->cond_text, &r->cond, &own) != RK_OK)
		rkj_fault(o, "if", "%s", own.v[0].message);
	else if (!is_metric(r->cond.metric))
		rkj_fault(o, "if", "is of %s, want a metric of "
		    "checkpoint.keep.metric: val_accuracy, val_loss, "
		    "val_macro_f1, ...", r->cond.metric);
	rk_why_fini(&own);
}

void
sp_read_register(struct spec_register *r, const json_t *v, struct rk_why *why)
{
	char shown[SP_SHOWN];
	struct sp_obj s;

	if (v == NULL || json_is_null(v))
		return;
	if (!json_is_object(v)) {
		rk_refuse_at(why, "training.register", "is %s, want {name: "
		    "MODEL, alias: candidate, if: \"val_accuracy >= 0.9\"} or "
		    "some of it", sp_shown(v, shown));
		return;
	}
	sp_open(&s, v, "training.register", why);
	rkj_str(&s.o, "name", &r->name, SP_MAX_PATH, RKJ_REQUIRED);
	check_text(&s.o, "name", r->name, spec_model_name_ok);
	rkj_str(&s.o, "alias", &r->alias, SP_MAX_PATH, RKJ_OPTIONAL);
	check_text(&s.o, "alias", r->alias, spec_model_alias_ok);
	read_condition(r, &s.o);
	rkj_str(&s.o, "notes", &r->notes, SPEC_NOTES_MAX, RKJ_OPTIONAL);
	sp_close(&s);
}

/* Will there be such a number? */
void
sp_check_register(const struct spec *s, struct rk_why *why)
{
	const struct spec_register *r = &s->training.reg;

	if (r->cond.metric != NULL)
		sp_check_metric(s, "training.register.if", r->cond.metric,
		    why);
}

json_t *
sp_json_register(const struct spec_register *r)
{
	json_t *o = json_object();

	sp_put(o, "name", json_string(r->name));
	if (r->alias != NULL)
		sp_put(o, "alias", json_string(r->alias));
	if (r->cond_text != NULL)
		sp_put(o, "if", json_string(r->cond_text));
	if (r->notes != NULL)
		sp_put(o, "notes", json_string(r->notes));
	return o;
}

void
sp_free_register(struct spec_register *r)
{
	free(r->name);
	free(r->alias);
	free(r->notes);
	free(r->cond_text);
	free(r->cond.metric);
}
