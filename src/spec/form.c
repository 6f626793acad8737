/* The tables of ops and of architectures, and reading and printing by them. */
#include <stdlib.h>
#include <string.h>

#include "form.h"

/* --- the rows ------------------------------------------------------------- */

#include "rows.inc"
#define HELD(op) spec_op_##op
#define OP(op, mi, ma, t) static const struct spec_field op_##op[] = {
#define END(op) LAST
#include "rekindle/ops.def"
#undef HELD

/* ops.def has taken its macros away. */
#include "rows.inc"
#define HELD(op) spec_arch_##op
#define FAMILY(family) static const struct spec_field family_##family[] = {
#define END(op) LAST
#include "rekindle/archs.def"
#undef HELD
/* Those that archs.def does not know. */
#undef PAIR
#undef NODE
#undef SIZE
#undef RANGE

const struct spec_form spec_ops[SPEC_OP_COUNT] = {
#define OP(op, mi, ma, t)                                                 \
	[SPEC_OP_##op] = { .word = #op, .text = t, .min = mi, .max = ma,  \
	    .fields = op_##op },
#include "rekindle/ops.def"
};

static const struct spec_field no_fields[] = { { .key = NULL } };
const struct spec_form spec_families[SPEC_FAMILY_COUNT] = {
	[SPEC_FAMILY_NONE] = { .word = "layers", .fields = no_fields },
#define FAMILY(family)                                                    \
	[SPEC_FAMILY_##family] = { .word = #family,                       \
	    .fields = family_##family },
#include "rekindle/archs.def"
};

const char *const spec_op_words[SPEC_OP_COUNT + 1] = {
#define OP(op, mi, ma, t) #op,
#include "rekindle/ops.def"
	NULL
};

const bool spec_op_learns[SPEC_OP_COUNT] = {
#define LEARNS(op) [SPEC_OP_##op] = true,
#include "rekindle/ops.def"
};

const char *const spec_arch_words[SPEC_ARCH_COUNT + 1] = {
	"layers",
#define ARCH(id, word, family) word,
#include "rekindle/archs.def"
	NULL
};

enum spec_family
spec_family_of(enum spec_arch a)
{
	static const enum spec_family of[SPEC_ARCH_COUNT] = {
		[SPEC_ARCH_LAYERS] = SPEC_FAMILY_NONE,
#define ARCH(id, word, family) [SPEC_ARCH_##id] = SPEC_FAMILY_##family,
#include "rekindle/archs.def"
	};

	must((int)a >= 0 && a < SPEC_ARCH_COUNT);
	return of[a];
}

/* --- words ---------------------------------------------------------------- */

int
spec_word(const char *words, const char *word)
{
	const size_t len = strlen(word);

	for (int i = 0; *words != '\0'; i++) {
		const size_t n = strcspn(words, "|");
		if (n == len && memcmp(words, word, n) == 0)
			return i;
		words += n + (words[n] == '|');
	}
	return -1;
}

char *
sp_nth_word(const char *words, int i)
{
	for (; i > 0; i--) {
		words = strchr(words, '|');
		must(words != NULL);
		words++;
	}
	return xasprintf("%.*s", (int)strcspn(words, "|"), words);
}

/* "torch or paddle" of "torch|paddle" */
static void
offer_words(struct strbuf *b, const char *words)
{
	for (int i = 0; *words != '\0'; i++) {
		const size_t n = strcspn(words, "|");
		const bool last = words[n] == '\0';
		sb_addf(b, "%s%.*s", i == 0 ? "" : last ? " or " : ", ",
		    (int)n, words);
		words += n + !last;
	}
}

/* --- values --------------------------------------------------------------- */

static void *
place(void *u, const struct spec_field *f)
{
	return (char *)u + f->at;
}

/* The count behind the numbers of INTS. */
static int *
count_of(void *u, const struct spec_field *f)
{
	return (int *)(void *)((char *)place(u, f) +
	    (size_t)f->max * sizeof(int64_t));
}

static void
set_default(const struct spec_field *f, void *u)
{
	void *to = place(u, f);
	/* What must be given, or follows another field, is 0 until then. */
	const double d = isfinite(f->def) ? f->def : 0;

	switch (f->kind) {
	case SPEC_KIND_INT:
		*(int64_t *)to = (int64_t)d;
		break;
	case SPEC_KIND_REAL:
		*(double *)to = d;
		break;
	case SPEC_KIND_BOOL:
		*(bool *)to = d != 0;
		break;
	case SPEC_KIND_PAIR:
		((int *)to)[0] = ((int *)to)[1] = (int)d;
		break;
	case SPEC_KIND_WORD:
		*(int *)to = (int)d;
		break;
	case SPEC_KIND_INTS:
	case SPEC_KIND_SIZE:
		*count_of(u, f) = 0;
		break;
	case SPEC_KIND_NODE:
		*(char **)to = NULL;
		break;
	case SPEC_KIND_RANGE:
		((double *)to)[0] = f->def;
		((double *)to)[1] = f->def_to;
		break;
	}
}

void
sp_form_defaults(const struct spec_field *fields, void *u)
{
	for (const struct spec_field *f = fields; f->key != NULL; f++)
		set_default(f, u);
}

void
spec_op_defaults(enum spec_op op, union spec_op_fields *u)
{
	memset(u, 0, sizeof(*u));
	sp_form_defaults(spec_ops[op].fields, u);
}

void
sp_form_free(const struct spec_field *fields, void *u)
{
	for (const struct spec_field *f = fields; f->key != NULL; f++) {
		if (f->kind != SPEC_KIND_NODE)
			continue;
		char **s = place(u, f);
		free(*s);
		*s = NULL;
	}
}

/* Has the field what it would have had, had nobody said anything? */
static bool
is_default(const struct spec_field *f, const void *u)
{
	const void *at = (const char *)u + f->at;

	switch (f->kind) {
	case SPEC_KIND_INT:
		return (double)*(const int64_t *)at == f->def;
	case SPEC_KIND_REAL:
		return *(const double *)at == f->def;
	case SPEC_KIND_BOOL:
		return *(const bool *)at == (f->def != 0);
	case SPEC_KIND_PAIR:
		return ((const int *)at)[0] == f->def &&
		    ((const int *)at)[1] == f->def;
	case SPEC_KIND_WORD:
		return *(const int *)at == (int)f->def;
	case SPEC_KIND_INTS:
	case SPEC_KIND_SIZE:
		return false;
	case SPEC_KIND_NODE:
		return *(char *const *)at == NULL;
	case SPEC_KIND_RANGE:
		return ((const double *)at)[0] == f->def &&
		    ((const double *)at)[1] == f->def_to;
	}
	return false;
}

/* --- reading -------------------------------------------------------------- */

static void
read_real(const struct spec_field *f, struct rkj_obj *o, double *to)
{
	char want[96];

	if (f->ends == 0) {
		rkj_real(o, f->key, to, f->lo, f->hi, isnan(f->def) ?
		    RKJ_REQUIRED : RKJ_OPTIONAL);
		return;
	}
	snprintf(want, sizeof(want), "a number %s %g%s %g",
	    f->ends & SPEC_ABOVE ? "above" : "from", f->lo,
	    f->ends & SPEC_BELOW ? " to below" : ", at most", f->hi);
	sp_real(o, f->key, to, f->lo, f->hi, f->ends, want);
}

static void
read_word(const struct spec_field *f, struct rkj_obj *o, int *to)
{
	const json_t *v = rkj_any(o, f->key);
	char shown[SP_SHOWN];
	struct strbuf b = {0};

	if (v == NULL)
		return;
	const int w = json_is_string(v) ?
	    spec_word(f->words, json_string_value(v)) : -1;
	if (w >= 0) {
		*to = w;
		return;
	}
	offer_words(&b, f->words);
	rkj_fault(o, f->key, "is %s, want %s", sp_shown(v, shown), sb_str(&b));
	sb_fini(&b);
}

static void
read_pair(const struct spec_field *f, const struct spec_field *fields,
    struct rkj_obj *o, void *u)
{
	int *to = place(u, f);

	if (isinf(f->def)) {
		while (strcmp(fields->key, "kernel") != 0)
			fields++;
		memcpy(to, place(u, fields), 2 * sizeof(*to));
	}
	sp_pair(o, f->key, to, (int)f->lo, (int)f->hi, isnan(f->def) ?
	    RKJ_REQUIRED : RKJ_OPTIONAL);
}

/* A number, or [height, width]. */
static void
read_size(const struct spec_field *f, struct rkj_obj *o, int64_t *to, int *n)
{
	int pair[2];

	if (!sp_pair(o, f->key, pair, (int)f->lo, (int)f->hi, RKJ_REQUIRED))
		return;
	to[0] = pair[0];
	to[1] = pair[1];
	*n = json_is_array(rkj_any(o, f->key)) ? 2 : 1;
}

static void
read_range(const struct spec_field *f, struct rkj_obj *o, double *to)
{
	const json_t *v = rkj_any(o, f->key);
	const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);
	char shown[SP_SHOWN];

	if (v == NULL)
		return;
	if (json_array_size(v) == 2 && json_is_number(a) &&
	    json_is_number(b) && json_number_value(a) >= f->lo &&
	    json_number_value(b) <= f->hi &&
	    json_number_value(a) <= json_number_value(b)) {
		to[0] = json_number_value(a);
		to[1] = json_number_value(b);
		return;
	}
	rkj_fault(o, f->key, "is %s, want [from, to], two numbers of %g to %g, "
	    "the first not above the second", sp_shown(v, shown), f->lo,
	    f->hi);
}

void
sp_form_read(const struct spec_field *fields, struct rkj_obj *o, void *u)
{
	for (const struct spec_field *f = fields; f->key != NULL; f++) {
		const int need = isnan(f->def) ? RKJ_REQUIRED : RKJ_OPTIONAL;
		void *to = place(u, f);

		switch (f->kind) {
		case SPEC_KIND_INT:
			rkj_int(o, f->key, to, (int64_t)f->lo, (int64_t)f->hi,
			    need);
			break;
		case SPEC_KIND_REAL:
			read_real(f, o, to);
			break;
		case SPEC_KIND_BOOL:
			rkj_bool(o, f->key, to, need);
			break;
		case SPEC_KIND_PAIR:
			read_pair(f, fields, o, u);
			break;
		case SPEC_KIND_WORD:
			read_word(f, o, to);
			break;
		case SPEC_KIND_INTS:
			/* A list that a PRESET has filled need not be given. */
			sp_ints(o, f->key, to, count_of(u, f), f->min, f->max,
			    (int64_t)f->lo, (int64_t)f->hi,
			    *count_of(u, f) < f->min ? RKJ_REQUIRED :
			    RKJ_OPTIONAL);
			break;
		case SPEC_KIND_NODE:
			rkj_str(o, f->key, to, SPEC_NAME_MAX, RKJ_OPTIONAL);
			break;
		case SPEC_KIND_SIZE:
			read_size(f, o, to, count_of(u, f));
			break;
		case SPEC_KIND_RANGE:
			read_range(f, o, to);
			break;
		}
	}
}

static const struct spec_field *
find_field(const struct spec_field *f, const char *key)
{
	for (; f->key != NULL; f++)
		if (strcmp(f->key, key) == 0)
			return f;
	return NULL;
}

/* "linear and conv2d": the forms of a table that have the field; of a family
 * its architectures, for no job has its name. */
static char *
takers(const struct spec_form *forms, size_t n, const char *key)
{
	const char *v[RK_MAX((int)SPEC_OP_COUNT, (int)SPEC_ARCH_COUNT)];
	struct strbuf b = {0};
	size_t all = 0;

	for (int a = SPEC_ARCH_LAYERS + 1; forms == spec_families &&
	    a < SPEC_ARCH_COUNT; a++)
		if (find_field(forms[spec_family_of((enum spec_arch)a)].fields,
		    key) != NULL)
			v[all++] = spec_arch_words[a];
	for (size_t i = 0; forms != spec_families && i < n; i++)
		if (find_field(forms[i].fields, key) != NULL)
			v[all++] = forms[i].word;
	for (size_t i = 0; i < all; i++)
		sb_addf(&b, "%s%s", i == 0 ? "" : i + 1 == all ? " and " :
		    ", ", v[i]);
	return sb_detach(&b);
}

void
sp_form_refuse_others(const struct spec_form *forms, size_t n,
    const struct spec_form *mine, const char *word, struct rkj_obj *o)
{
	for (size_t i = 0; i < n; i++) {
		for (const struct spec_field *f = forms[i].fields;
		    f->key != NULL; f++) {
			if (mine != NULL && find_field(mine->fields, f->key))
				continue;
			if (rkj_any(o, f->key) == NULL || mine == NULL)
				continue;
			/* Another form may have the key, too: once is
			 * enough. */
			bool said = false;
			for (size_t k = 0; k < i; k++)
				said |= find_field(forms[k].fields, f->key) !=
				    NULL;
			if (said)
				continue;
			char *of = takers(forms, n, f->key);
			sp_takes(o, f->key, false, of, word);
			free(of);
		}
	}
}

/* --- printing ------------------------------------------------------------- */

static json_t *
value_json(const struct spec_field *f, const void *u)
{
	const void *at = (const char *)u + f->at;
	const int64_t *v = at;
	const int *p = at;
	json_t *a;

	switch (f->kind) {
	case SPEC_KIND_INT:
		return json_integer(*v);
	case SPEC_KIND_REAL:
		return json_real(*(const double *)at);
	case SPEC_KIND_BOOL:
		return json_boolean(*(const bool *)at);
	case SPEC_KIND_PAIR:
		return json_pack("[i, i]", p[0], p[1]);
	case SPEC_KIND_WORD: {
		char *w = sp_nth_word(f->words, *p);
		a = json_string(w);
		free(w);
		return a;
	}
	case SPEC_KIND_INTS:
		a = json_array();
		for (int i = 0; i < *(const int *)(const void *)(v + f->max);
		    i++)
			must(json_array_append_new(a, json_integer(v[i])) ==
			    0);
		return a;
	case SPEC_KIND_NODE:
		return json_string(*(char *const *)at);
	case SPEC_KIND_SIZE:
		return *(const int *)(const void *)(v + f->max) == 1 ?
		    json_integer(v[0]) : json_pack("[I, I]", (json_int_t)v[0],
		    (json_int_t)v[1]);
	case SPEC_KIND_RANGE:
		return json_pack("[f, f]", ((const double *)at)[0],
		    ((const double *)at)[1]);
	}
	return NULL;
}

void
sp_form_put(const struct spec_field *fields, const void *u, bool brief,
    json_t *o)
{
	for (const struct spec_field *f = fields; f->key != NULL; f++) {
		if (f->kind == SPEC_KIND_NODE && is_default(f, u))
			continue;
		if (brief && f->since > 1 && is_default(f, u))
			continue;
		json_t *v = value_json(f, u);
		must(v != NULL && json_object_set_new(o, f->key, v) == 0);
	}
}
