/* Regular expressions: a pattern to a tree, the tree to a program. */
#include <stdlib.h>
#include <string.h>

#include "regex.h"

/* --- sets of bytes -------------------------------------------------------- */

static void
set_add(struct regex_set *s, unsigned lo, unsigned hi)
{
	for (unsigned c = lo; c <= hi; c++)
		s->bits[c / 8] |= (uint8_t)(1u << (c % 8));
}

static void
set_invert(struct regex_set *s)
{
	for (size_t i = 0; i < sizeof(s->bits); i++)
		s->bits[i] = (uint8_t)~s->bits[i];
}

static void
set_join(struct regex_set *s, const struct regex_set *more)
{
	for (size_t i = 0; i < sizeof(s->bits); i++)
		s->bits[i] |= more->bits[i];
}

/* \d and its like; false: this letter is none of them. */
static bool
set_class(struct regex_set *s, char letter)
{
	struct regex_set k = {0};
	const char low = letter >= 'A' && letter <= 'Z' ?
	    (char)(letter - 'A' + 'a') : letter;

	switch (low) {
	case 'w':
		set_add(&k, 'a', 'z');
		set_add(&k, 'A', 'Z');
		set_add(&k, '_', '_');
		/* FALLTHROUGH */
	case 'd':
		set_add(&k, '0', '9');
		break;
	case 's':
		set_add(&k, '\t', '\r');
		set_add(&k, ' ', ' ');
		break;
	default:
		return false;
	}
	if (low != letter)
		set_invert(&k);
	set_join(s, &k);
	return true;
}

/* --- a pattern to a tree -------------------------------------------------- */

enum kind {
	N_EMPTY, N_SET, N_BEGIN, N_END, N_GROUP, N_JOIN, N_EITHER, N_REPEAT
};

struct node {
	enum kind kind;
	int a, b;               /* nodes */
	int group;              /* of N_GROUP; -1: without a number */
	int min, max;           /* of N_REPEAT; max -1: any number */
	bool lazy;
	struct regex_set set;
};

#define MOST_NODES (4 * RK_REGEX_BYTES)

struct parser {
	const char *pattern, *p;
	struct node *v;
	int n, groups, depth;
	struct rk_why *why;
	bool bad;
};

static int
add(struct parser *k, enum kind kind, int a, int b)
{
	must(k->n < MOST_NODES);
	k->v[k->n] = (struct node){ .kind = kind, .a = a, .b = b };
	return k->n++;
}

/* The first fault counts. */
static int
fail(struct parser *k, const char *what)
{
	if (!k->bad)
		rk_refuse(k->why, "%s at byte %td", what, k->p - k->pattern +
		    1);
	k->bad = true;
	k->p += strlen(k->p);
	return add(k, N_EMPTY, -1, -1);
}

static int parse_either(struct parser *k);

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9');
}

/* A byte of [ ], or a class there (then -1). */
static int
class_byte(struct parser *k, struct regex_set *s)
{
	if (*k->p != '\\')
		return (unsigned char)*k->p++;
	k->p++;
	if (set_class(s, *k->p)) {
		k->p++;
		return -1;
	}
	if (*k->p == '\0' || is_word(*k->p)) {
		fail(k, "there is a \\ that means nothing here");
		return -1;
	}
	return (unsigned char)*k->p++;
}

static int
parse_class(struct parser *k)
{
	const int at = add(k, N_SET, -1, -1);
	struct regex_set *s = &k->v[at].set;
	const bool not = *k->p == '^';
	bool first = true;

	if (not)
		k->p++;
	for (; *k->p != '\0' && (*k->p != ']' || first); first = false) {
		if ((unsigned char)*k->p >= 128)
			return fail(k, "[ ] is for bytes of ASCII, there is "
			    "another");
		const int lo = class_byte(k, s);
		if (lo < 0)
			continue;
		int hi = lo;
		if (k->p[0] == '-' && k->p[1] != ']' && k->p[1] != '\0') {
			k->p++;
			hi = class_byte(k, s);
		}
		if (hi < lo)
			return fail(k, "a range in [ ] ends before it begins");
		set_add(s, (unsigned)lo, (unsigned)hi);
	}
	if (*k->p != ']')
		return fail(k, "a [ is not closed");
	k->p++;
	if (not)
		set_invert(s);
	s->bits[0] &= (uint8_t)~1u;     /* a NUL is never in a text */
	return at;
}

static int
parse_group(struct parser *k)
{
	const bool plain = strncmp(k->p, "?:", 2) == 0;
	int group = -1;

	if (*k->p == '?' && !plain)
		return fail(k, "(? begins something that is not taken");
	if (plain)
		k->p += 2;
	else if (k->groups == RK_REGEX_GROUPS)
		return fail(k, "there are more than 9 groups");
	else
		group = ++k->groups;
	if (++k->depth > RK_REGEX_NESTED)
		return fail(k, "groups are nested too deep");
	const int in = parse_either(k);
	k->depth--;
	if (*k->p != ')')
		return fail(k, "a ( is not closed");
	k->p++;
	const int at = add(k, N_GROUP, in, -1);
	k->v[at].group = group;
	return at;
}

static int
parse_escape(struct parser *k)
{
	const int at = add(k, N_SET, -1, -1);

	if (set_class(&k->v[at].set, *k->p)) {
		k->v[at].set.bits[0] &= (uint8_t)~1u;
		k->p++;
		return at;
	}
	if (*k->p == '\0' || is_word(*k->p))
		return fail(k, "there is a \\ that means nothing here");
	set_add(&k->v[at].set, (unsigned char)*k->p, (unsigned char)*k->p);
	k->p++;
	return at;
}

static int
parse_atom(struct parser *k)
{
	const unsigned char c = (unsigned char)*k->p++;
	int at;

	switch (c) {
	case '(':
		return parse_group(k);
	case '[':
		return parse_class(k);
	case '\\':
		return parse_escape(k);
	case '^':
		return add(k, N_BEGIN, -1, -1);
	case '$':
		return add(k, N_END, -1, -1);
	case '*':
	case '+':
	case '?':
	case '{':
		k->p--;
		return fail(k, "there is nothing to repeat");
	default:
		at = add(k, N_SET, -1, -1);
		if (c == '.')
			set_add(&k->v[at].set, 1, 255);
		else
			set_add(&k->v[at].set, c, c);
		return at;
	}
}

/* A number of {m,n}, at most 99; -1: there is none. */
static int
count_of(struct parser *k)
{
	int n = -1;

	for (; *k->p >= '0' && *k->p <= '9' && n < 10; k->p++)
		n = RK_MAX(n, 0) * 10 + (*k->p - '0');
	return n;
}

static int
parse_braces(struct parser *k, struct node *r)
{
	r->min = count_of(k);
	r->max = r->min;
	if (*k->p == ',') {
		k->p++;
		r->max = *k->p == '}' ? -1 : count_of(k);
		if (r->max < 0 && *k->p != '}')
			return fail(k, "{ } is not {m}, {m,} or {m,n} of "
			    "numbers below 100");
	}
	if (r->min < 0 || *k->p != '}' || (r->max >= 0 && r->max < r->min))
		return fail(k, "{ } is not {m}, {m,} or {m,n} of numbers "
		    "below 100");
	k->p++;
	return 0;
}

static int
parse_repeat(struct parser *k)
{
	const int in = parse_atom(k);
	struct node r = { .kind = N_REPEAT, .a = in, .b = -1, .max = -1 };

	switch (k->bad ? '\0' : *k->p) {
	case '*':
		k->p++;
		break;
	case '+':
		k->p++;
		r.min = 1;
		break;
	case '?':
		k->p++;
		r.max = 1;
		break;
	case '{':
		k->p++;
		parse_braces(k, &r);
		break;
	default:
		return in;
	}
	if (*k->p == '?') {
		k->p++;
		r.lazy = true;
	}
	if (strchr("*+?{", *k->p) != NULL && *k->p != '\0')
		return fail(k, "a repeat is repeated");
	const int at = add(k, N_EMPTY, -1, -1);
	k->v[at] = r;
	return at;
}

static int
parse_join(struct parser *k)
{
	int at = -1;

	while (*k->p != '\0' && *k->p != '|' && *k->p != ')') {
		const int next = parse_repeat(k);
		at = at < 0 ? next : add(k, N_JOIN, at, next);
	}
	return at < 0 ? add(k, N_EMPTY, -1, -1) : at;
}

static int
parse_either(struct parser *k)
{
	int at = parse_join(k);

	while (*k->p == '|') {
		k->p++;
		const int next = parse_join(k);
		at = add(k, N_EITHER, at, next);
	}
	return at;
}

/* --- a tree to a program -------------------------------------------------- */

struct maker {
	const struct node *v;
	struct rk_regex *x;
	bool full;
};

static int
emit(struct maker *m, enum regex_op op, int to, int or)
{
	struct rk_regex *x = m->x;

	if (x->n == RK_REGEX_PROGRAM) {
		m->full = true;
		return x->n - 1;
	}
	x->v[x->n] = (struct regex_instr){ .op = op, .to = to, .or = or };
	return x->n++;
}

static void make(struct maker *m, int at);

/* Around a loop or a choice: what goes in first is what is tried first. */
static int
emit_split(struct maker *m, bool lazy)
{
	return emit(m, lazy ? X_SPLIT_LAST : X_SPLIT, 0, 0);
}

static void
make_repeat(struct maker *m, const struct node *n)
{
	int ends[100], nends = 0;

	for (int i = 0; i < n->min && !m->full; i++)
		make(m, n->a);
	if (n->max < 0) {
		const int split = emit_split(m, n->lazy);
		m->x->v[split].to = split + 1;
		make(m, n->a);
		emit(m, X_JUMP, split, 0);
		m->x->v[split].or = m->x->n;
		return;
	}
	for (int i = n->min; i < n->max && !m->full; i++) {
		ends[nends] = emit_split(m, n->lazy);
		m->x->v[ends[nends]].to = ends[nends] + 1;
		nends++;
		make(m, n->a);
	}
	for (int i = 0; i < nends; i++)
		m->x->v[ends[i]].or = m->x->n;
}

static void
make_either(struct maker *m, const struct node *n)
{
	const int split = emit_split(m, false);

	m->x->v[split].to = split + 1;
	make(m, n->a);
	const int jump = emit(m, X_JUMP, 0, 0);
	m->x->v[split].or = m->x->n;
	make(m, n->b);
	m->x->v[jump].to = m->x->n;
}

static void
make(struct maker *m, int at)
{
	const struct node *n = &m->v[at];
	int i;

	switch (n->kind) {
	case N_EMPTY:
		break;
	case N_SET:
		i = emit(m, X_SET, 0, 0);
		m->x->v[i].set = n->set;
		break;
	case N_BEGIN:
		emit(m, X_BEGIN, 0, 0);
		break;
	case N_END:
		emit(m, X_END, 0, 0);
		break;
	case N_GROUP:
		if (n->group > 0)
			emit(m, X_SAVE, 2 * n->group, 0);
		make(m, n->a);
		if (n->group > 0)
			emit(m, X_SAVE, 2 * n->group + 1, 0);
		break;
	case N_JOIN:
		make(m, n->a);
		make(m, n->b);
		break;
	case N_EITHER:
		make_either(m, n);
		break;
	case N_REPEAT:
		make_repeat(m, n);
		break;
	}
}

enum rk_err
rk_regex_new(struct rk_regex **out, const char *pattern, struct rk_why *why)
{
	struct parser k = { .pattern = pattern, .p = pattern, .why = why };
	struct rk_regex *x;

	*out = NULL;
	if (strlen(pattern) > RK_REGEX_BYTES)
		return rk_refuse(why, "is longer than %d bytes",
		    RK_REGEX_BYTES);
	k.v = xcalloc(MOST_NODES, sizeof(*k.v));
	const int root = parse_either(&k);
	if (!k.bad && *k.p == ')')
		fail(&k, "a ) closes nothing");
	if (k.bad) {
		free(k.v);
		return RK_EINVAL;
	}
	x = xcalloc(1, sizeof(*x));
	x->v = xcalloc(RK_REGEX_PROGRAM, sizeof(*x->v));
	x->groups = k.groups;
	struct maker m = { .v = k.v, .x = x };
	make(&m, root);
	emit(&m, X_MATCH, 0, 0);
	free(k.v);
	if (m.full) {
		rk_regex_free(x);
		return rk_refuse(why, "is too long when its repeats are "
		    "written out: more than %d steps", RK_REGEX_PROGRAM);
	}
	*out = x;
	return RK_OK;
}

void
rk_regex_free(struct rk_regex *x)
{
	if (x == NULL)
		return;
	free(x->v);
	free(x);
}

int
rk_regex_groups(const struct rk_regex *x)
{
	return x->groups;
}
