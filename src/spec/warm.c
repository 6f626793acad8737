/* The warm start: how names are read, what may not fit, what is taken along. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base_regex.h"
#include "read.h"

#define LOOSE_MINIMUM 0.9
#define DIGEST_DIGITS (RK_SHA256_HEX - 1)

const char *const spec_dialect_words[] = {
	"unsaid", "rekindle", "torchvision", "timm", "huggingface", "pytorch",
	"paddle", "paddleclas", "paddlenlp", NULL
};
const char *const spec_fault_words[] = {
	"missing", "unexpected", "mismatch", NULL
};
const char *const spec_policy_words[] = {
	"error", "init", "skip", "slice", NULL
};
const char *const spec_carry_words[] = { "none", "moments", "all", NULL };
const char *const spec_from_words[] = { "restart", "continue", NULL };

/* Which policies a fault may have, and what a loose start does. */
static const struct {
	unsigned may;
	enum spec_policy loose;
	const char *want;
} faults[SPEC_FAULTS] = {
	[SPEC_MISSING] = { 1u << SPEC_POLICY_ERROR | 1u << SPEC_POLICY_INIT,
	    SPEC_POLICY_INIT, "error or init" },
	[SPEC_UNEXPECTED] = { 1u << SPEC_POLICY_ERROR |
	    1u << SPEC_POLICY_SKIP, SPEC_POLICY_SKIP, "error or skip" },
	[SPEC_MISMATCH] = { 1u << SPEC_POLICY_ERROR | 1u << SPEC_POLICY_INIT |
	    1u << SPEC_POLICY_SLICE, SPEC_POLICY_INIT,
	    "error, init or slice" },
};

/* --- what they mean ------------------------------------------------------- */

/* Of patterns that fit the longest, then the last by its bytes. */
bool
sp_goes_before(const char *a, const char *b)
{
	const size_t n = strlen(a), m = strlen(b);

	return n != m ? n > m : strcmp(a, b) > 0;
}

enum spec_policy
spec_policy_for(const struct spec_warm *w, bool strict, enum spec_fault fault,
    const char *name)
{
	const struct spec_policies *p = &w->of[fault];
	const struct spec_policy_of *best = NULL;

	if (p->said)
		return p->is;
	for (int i = 0; i < p->n; i++)
		if (spec_pattern_fits(p->v[i].match, name) && (best == NULL ||
		    sp_goes_before(p->v[i].match, best->match)))
			best = &p->v[i];
	if (best != NULL)
		return best->is;
	return strict ? SPEC_POLICY_ERROR : faults[fault].loose;
}

bool
spec_warm_is_loose(const struct spec_warm *w, bool strict)
{
	for (int f = 0; f < SPEC_FAULTS; f++) {
		const struct spec_policies *p = &w->of[f];
		if (p->said ? p->is != SPEC_POLICY_ERROR : !strict)
			return true;
		for (int i = 0; i < p->n; i++)
			if (p->v[i].is != SPEC_POLICY_ERROR)
				return true;
	}
	return false;
}

double
spec_warm_minimum(const struct spec_warm *w, bool strict)
{
	if (w->minimum_said)
		return w->minimum;
	return spec_warm_is_loose(w, strict) ? LOOSE_MINIMUM : 0;
}

/* --- versions ------------------------------------------------------------- */

/* "2.6.1" against "2.6", number by number, as far as the shorter one goes: then
 * they are equal, so that ==2.6 is any 2.6. */
static int
compare_versions(const char *a, const char *b)
{
	for (;;) {
		char *x, *y;
		const long m = strtol(a, &x, 10), n = strtol(b, &y, 10);
		if (x == a || y == b)
			return 0;
		if (m != n)
			return m < n ? -1 : 1;
		if (*x != '.' || *y != '.')
			return 0;
		a = x + 1;
		b = y + 1;
	}
}

static const struct {
	const char *word;
	bool less, equal, more;         /* what it takes */
} comparisons[] = {
	{ ">=", false, true, true }, { "<=", true, true, false },
	{ "==", false, true, false }, { "!=", true, false, true },
	{ ">", false, false, true }, { "<", true, false, false },
};

/* The comparison at s, past it; -1: there is none. */
static int
comparison_at(const char **s)
{
	for (size_t k = 0; k < RK_ARRAY_LEN(comparisons); k++) {
		const size_t n = strlen(comparisons[k].word);
		if (strncmp(*s, comparisons[k].word, n) == 0) {
			*s += n;
			return (int)k;
		}
	}
	return -1;
}

/* All comparisons of a text of versions_ok(). */
static bool
version_fits(const char *versions, const char *v)
{
	if (strcmp(versions, "*") == 0)
		return true;
	for (const char *s = versions; *s != '\0';) {
		s += strspn(s, " ,");
		const int k = comparison_at(&s);
		s += strspn(s, " ");
		if (k < 0)
			return false;
		const int c = compare_versions(v, s);
		if (c < 0 ? !comparisons[k].less : c > 0 ?
		    !comparisons[k].more : !comparisons[k].equal)
			return false;
		s += strcspn(s, ",");
	}
	return true;
}

static bool
versions_ok(const char *s)
{
	if (strcmp(s, "*") == 0)
		return true;
	for (bool more = true; more;) {
		s += strspn(s, " ");
		if (comparison_at(&s) < 0)
			return false;
		s += strspn(s, " ");
		const size_t n = strspn(s, "0123456789.");
		if (n == 0 || n > 32 || *s == '.')
			return false;
		s += n;
		s += strspn(s, " ");
		more = *s == ',';
		s += more;
	}
	return *s == '\0';
}

/* A framework by the name of its package, too. */
static const char *
producer_name(const char *name)
{
	return strcmp(name, "torch") == 0 ? "pytorch" :
	    strcmp(name, "paddlepaddle") == 0 ? "paddle" : name;
}

enum spec_version
spec_producer_fits(const struct spec_warm *w, const char *writer)
{
	if (w->nproducer == 0)
		return SPEC_VERSION_FITS;
	if (writer == NULL)
		return SPEC_VERSION_UNSAID;
	const size_t n = strcspn(writer, " ");
	const char *version = writer + n + strspn(writer + n, " ");
	enum spec_version is = SPEC_VERSION_OTHER;
	for (int i = 0; i < w->nproducer; i++) {
		const struct spec_producer *p = &w->producer[i];
		const char *name = producer_name(p->name);
		if (strlen(name) != n || strncmp(name, writer, n) != 0)
			continue;
		const bool said = *version >= '0' && *version <= '9';
		if (!said && strcmp(p->versions, "*") != 0)
			is = SPEC_VERSION_UNSAID;
		else if (version_fits(p->versions, version))
			return SPEC_VERSION_FITS;
	}
	return is;
}

/* --- reading -------------------------------------------------------------- */

/* A word that this fault may have; false with a fault. */
static bool
read_policy(const json_t *v, const char *path, enum spec_fault f,
    enum spec_policy *out, struct rk_why *why)
{
	const char *s = json_string_value(v);
	char shown[SP_SHOWN];

	for (int k = 0; s != NULL && spec_policy_words[k] != NULL; k++)
		if ((faults[f].may & 1u << k) != 0 &&
		    strcmp(s, spec_policy_words[k]) == 0) {
			*out = (enum spec_policy)k;
			return true;
		}
	rk_refuse_at(why, path, "is %s, want %s", sp_shown(v, shown),
	    faults[f].want);
	return false;
}

static void
read_pattern(struct spec_policies *p, const char *pattern, const json_t *v,
    const char *path, enum spec_fault f, struct rk_why *why)
{
	char *at = xasprintf("%s.%.64s", path, pattern);
	enum spec_policy is;

	if (pattern[0] == '\0' || strlen(pattern) > SPEC_MAX_PATTERN)
		rk_refuse_at(why, path, "has a pattern that is no pattern of "
		    "names of 1 to %d bytes", SPEC_MAX_PATTERN);
	else if (read_policy(v, at, f, &is, why))
		p->v[p->n++] = (struct spec_policy_of){ xstrdup(pattern), is };
	free(at);
}

static void
read_policies(struct spec_policies *p, struct rkj_obj *o, enum spec_fault f,
    struct rk_why *why)
{
	json_t *v = (json_t *)(uintptr_t)rkj_any(o, spec_fault_words[f]), *e;
	char *path = rkj_child(o, spec_fault_words[f]);
	const size_t n = json_object_size(v);
	const char *pattern;
	char shown[SP_SHOWN];

	if (json_is_string(v)) {
		p->said = read_policy(v, path, f, &p->is, why);
	} else if (v != NULL && (!json_is_object(v) || n > SPEC_MAX_POLICIES)) {
		rk_refuse_at(why, path, "is %s, want %s, or at most %d of "
		    "PATTERN: WORD", sp_shown(v, shown), faults[f].want,
		    SPEC_MAX_POLICIES);
	} else if (n > 0) {
		p->v = xcalloc(n, sizeof(*p->v));
		json_object_foreach(v, pattern, e)
			read_pattern(p, pattern, e, path, f, why);
	}
	free(path);
}

static void
read_rename(struct spec_warm *w, const char *from, const json_t *v,
    const char *path, struct rk_why *why)
{
	const char *to = json_string_value(v);
	struct rk_why own = {0};
	struct rk_regex *x = NULL;
	char shown[SP_SHOWN];

	if (w->nrename == SPEC_MAX_RENAMES)
		rk_refuse_at(why, path, "has more than %d expressions",
		    SPEC_MAX_RENAMES);
	else if (to == NULL || strlen(to) > SPEC_MAX_RENAMED ||
	    strlen(to) != json_string_length(v))
		rk_refuse_at(why, path, "makes %.40s %s, want a text of at "
		    "most %d bytes", from, sp_shown(v, shown),
		    SPEC_MAX_RENAMED);
	else if (rk_regex_new(&x, from, &own) != RK_OK)
		rk_refuse_at(why, path, "has \"%.80s\", which is no regular "
		    "expression: %s", from, own.v[0].message);
	else if (rk_regex_text_ok(x, to, &own) != RK_OK)
		rk_refuse_at(why, path, "makes \"%.40s\" \"%.40s\", which %s",
		    from, to, own.v[0].message);
	else
		w->rename[w->nrename++] = (struct spec_rename){
			xstrdup(from), xstrdup(to) };
	rk_regex_free(x);
	rk_why_fini(&own);
}

/* A list of objects of one field, or one object. */
static void
read_renames(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why)
{
	json_t *v = (json_t *)(uintptr_t)rkj_any(o, "rename"), *e, *to;
	char shown[SP_SHOWN];
	const char *from;
	size_t i;

	if (v == NULL)
		return;
	json_t *list = json_is_array(v) ? json_incref(v) : json_pack("[O]", v);
	char *path = rkj_child(o, "rename");
	w->rename = xcalloc(SPEC_MAX_RENAMES, sizeof(*w->rename));
	json_array_foreach(list, i, e) {
		if (!json_is_object(e))
			rk_refuse_at(why, path, "has %s, want {EXPRESSION: "
			    "TEXT}", sp_shown(e, shown));
		else
			json_object_foreach(e, from, to)
				read_rename(w, from, to, path, why);
	}
	json_decref(list);
	free(path);
}

static void
read_producer(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why)
{
	json_t *v = (json_t *)(uintptr_t)rkj_any(o, "producer"), *e;
	char *path = rkj_child(o, "producer");
	const char *name;
	char shown[SP_SHOWN];

	if (v != NULL && (!json_is_object(v) || json_object_size(v) == 0 ||
	    json_object_size(v) > SPEC_MAX_PRODUCERS))
		rk_refuse_at(why, path, "is %s, want 1 to %d of NAME: "
		    "VERSIONS, such as {paddle: \">=2.6\"}",
		    sp_shown(v, shown), SPEC_MAX_PRODUCERS);
	else if (v != NULL)
		w->producer = xcalloc(SPEC_MAX_PRODUCERS,
		    sizeof(*w->producer));
	if (w->producer != NULL)
		json_object_foreach(v, name, e) {
			const char *s = json_string_value(e);
			if (!rk_name_ok(name) || s == NULL || !versions_ok(s))
				rk_refuse_at(why, path, "has %.40s: %s, want "
				    "a name and comparisons such as "
				    "\">=2.6,<3\", or \"*\"", name,
				    sp_shown(e, shown));
			else
				w->producer[w->nproducer++] =
				    (struct spec_producer){ xstrdup(name),
				    xstrdup(s) };
		}
	free(path);
}

void
sp_read_warm(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why)
{
	int word;

	if (rkj_enum(o, "dialect", &word, spec_dialect_words + 1,
	    RKJ_OPTIONAL))
		w->dialect = (enum spec_dialect)(word + 1);
	read_renames(w, o, why);
	for (int f = 0; f < SPEC_FAULTS; f++)
		read_policies(&w->of[f], o, (enum spec_fault)f, why);
	w->minimum_said = rkj_real(o, "minimum", &w->minimum, 0, 1,
	    RKJ_OPTIONAL);
	read_producer(w, o, why);
	sp_read_grow(w, o, why);
}

static bool
digest_ok(const char *s)
{
	return strlen(s) == DIGEST_DIGITS &&
	    strspn(s, "0123456789abcdef") == DIGEST_DIGITS;
}

void
sp_read_warm_start(struct spec_training *t, const json_t *v,
    struct rk_why *why)
{
	struct spec_warm_start *w = &t->warm_start;
	struct sp_obj s;
	int word;

	if (v == NULL)
		return;
	sp_open(&s, v, "training.warm_start", why);
	sp_real(&s.o, "learning_rate_scale", &t->warm_start_lr_scale, 0, 1,
	    SP_ABOVE, "a number above 0, at most 1");
	if (rkj_enum(&s.o, "optimizer", &word, spec_carry_words, RKJ_OPTIONAL))
		w->optimizer = (enum spec_carry)word;
	if (rkj_enum(&s.o, "schedule", &word, spec_from_words, RKJ_OPTIONAL))
		w->schedule = (enum spec_from)word;
	rkj_bool(&s.o, "ema", &w->ema, RKJ_OPTIONAL);
	rkj_bool(&s.o, "watch", &w->watch, RKJ_OPTIONAL);
	if (rkj_str(&s.o, "plan", &w->plan, 128, RKJ_OPTIONAL) &&
	    !digest_ok(w->plan))
		rkj_fault(&s.o, "plan", "is no digest of a plan: want the %d "
		    "hexadecimal digits that a plan shows", DIGEST_DIGITS);
	sp_close(&s);
}

/* --- the normal form ------------------------------------------------------ */

static json_t *
json_policies(const struct spec_policies *p)
{
	json_t *o;

	if (p->said)
		return json_string(spec_policy_words[p->is]);
	o = json_object();
	for (int i = 0; i < p->n; i++)
		sp_put(o, p->v[i].match,
		    json_string(spec_policy_words[p->v[i].is]));
	return o;
}

/* Young fields: at their default they are not there. */
void
sp_put_warm(json_t *o, const struct spec_warm *w)
{
	json_t *v;

	if (w->dialect != SPEC_DIALECT_UNSAID)
		sp_put(o, "dialect", json_string(
		    spec_dialect_words[w->dialect]));
	if (w->nrename > 0) {
		v = json_array();
		for (int i = 0; i < w->nrename; i++)
			must(json_array_append_new(v, json_pack("{s:s}",
			    w->rename[i].from, w->rename[i].to)) == 0);
		sp_put(o, "rename", v);
	}
	for (int f = 0; f < SPEC_FAULTS; f++)
		if (w->of[f].said || w->of[f].n > 0)
			sp_put(o, spec_fault_words[f], json_policies(
			    &w->of[f]));
	if (w->minimum_said)
		sp_put(o, "minimum", json_real(w->minimum));
	if (w->nproducer > 0) {
		v = json_object();
		for (int i = 0; i < w->nproducer; i++)
			sp_put(v, w->producer[i].name, json_string(
			    w->producer[i].versions));
		sp_put(o, "producer", v);
	}
	sp_put_grow(o, w);
}

json_t *
sp_json_warm_start(const struct spec_training *t, bool brief)
{
	const struct spec_warm_start *w = &t->warm_start;
	json_t *o = json_object();

	sp_put(o, "learning_rate_scale", json_real(t->warm_start_lr_scale));
	if (w->optimizer != SPEC_CARRY_NONE)
		sp_put(o, "optimizer", json_string(
		    spec_carry_words[w->optimizer]));
	if (w->schedule != SPEC_FROM_RESTART)
		sp_put(o, "schedule", json_string(
		    spec_from_words[w->schedule]));
	if (w->ema)
		sp_put(o, "ema", json_true());
	if (!w->watch && !brief)
		sp_put(o, "watch", json_false());
	if (w->plan != NULL && !brief)
		sp_put(o, "plan", json_string(w->plan));
	return o;
}

void
sp_free_warm(struct spec_warm *w)
{
	for (int i = 0; i < w->nrename; i++) {
		free(w->rename[i].from);
		free(w->rename[i].to);
	}
	free(w->rename);
	for (int f = 0; f < SPEC_FAULTS; f++) {
		for (int i = 0; i < w->of[f].n; i++)
			free(w->of[f].v[i].match);
		free(w->of[f].v);
	}
	for (int i = 0; i < w->nproducer; i++) {
		free(w->producer[i].name);
		free(w->producer[i].versions);
	}
	free(w->producer);
	sp_free_grow(w);
}
