/*
 * Running a program of regex.c: all its ways at once, a byte at a time.
 *
 * A way is where it is in the program and where its groups began and ended.  Of
 * two ways at one place of the program the first one counts, so there are never
 * more than the program has places.
 */
#include <stdlib.h>
#include <string.h>

#include "regex.h"

#define SLOTS (2 * (RK_REGEX_GROUPS + 1))

struct ways {
	int at[RK_REGEX_PROGRAM];
	int slots[RK_REGEX_PROGRAM][SLOTS];
	int n;
};

struct runner {
	const struct rk_regex *x;
	const char *s;
	size_t len;
	uint64_t *budget;
	bool spent;
	uint32_t seen[RK_REGEX_PROGRAM], mark;  /* places of this byte */
	struct ways a, b;
	int found[SLOTS];
};

/* A way to place pc, and on through all that takes no byte. */
static void
enter(struct runner *r, struct ways *w, int pc, size_t pos, int *slots)
{
	for (;;) {
		const struct regex_instr *i = &r->x->v[pc];
		if (*r->budget == 0) {
			r->spent = true;
			return;
		}
		--*r->budget;
		if (r->seen[pc] == r->mark)
			return;
		r->seen[pc] = r->mark;
		int old;
		switch (i->op) {
		case X_JUMP:
			pc = i->to;
			continue;
		case X_SPLIT:
			enter(r, w, i->to, pos, slots);
			pc = i->or;
			continue;
		case X_SPLIT_LAST:
			enter(r, w, i->or, pos, slots);
			pc = i->to;
			continue;
		case X_SAVE:
			old = slots[i->to];
			slots[i->to] = (int)pos;
			enter(r, w, pc + 1, pos, slots);
			slots[i->to] = old;
			return;
		case X_BEGIN:
			if (pos != 0)
				return;
			pc++;
			continue;
		case X_END:
			if (pos != r->len)
				return;
			pc++;
			continue;
		case X_SET:
		case X_MATCH:
			w->at[w->n] = pc;
			memcpy(w->slots[w->n++], slots, SLOTS * sizeof(int));
			return;
		}
	}
}

/* All ways of `now` over the byte at pos; those that matched end the ones
 * behind them. */
static bool
step(struct runner *r, const struct ways *now, struct ways *next, size_t pos)
{
	const unsigned c = (unsigned char)r->s[pos];    /* NUL at the end */
	bool found = false;

	next->n = 0;
	r->mark++;
	for (int k = 0; k < now->n && !found; k++) {
		const struct regex_instr *i = &r->x->v[now->at[k]];
		if (i->op == X_MATCH) {
			memcpy(r->found, now->slots[k], sizeof(r->found));
			r->found[1] = (int)pos;
			found = true;
		} else if (pos < r->len && (i->set.bits[c / 8] >> (c % 8) &
		    1) != 0) {
			int slots[SLOTS];
			memcpy(slots, now->slots[k], sizeof(slots));
			enter(r, next, now->at[k] + 1, pos + 1, slots);
		}
	}
	return found;
}

/* The first match from byte `from` on, in r->found. */
static bool
search(struct runner *r, size_t from)
{
	struct ways *now = &r->a, *next = &r->b, *t;
	bool found = false;

	now->n = 0;
	r->mark++;
	for (size_t pos = from; pos <= r->len && !r->spent; pos++) {
		int slots[SLOTS];
		if (!found) {
			memset(slots, 0xff, sizeof(slots));
			slots[0] = (int)pos;
			enter(r, now, 0, pos, slots);
		}
		if (now->n == 0 && found)
			break;
		found |= step(r, now, next, pos);
		t = now;
		now = next;
		next = t;
	}
	return found && !r->spent;
}

static void
add_text(struct strbuf *b, const struct runner *r, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		const int group = p[0] == '\\' && p[1] >= '1' && p[1] <= '9' ?
		    p[1] - '0' : 0;
		if (group > 0 && r->found[2 * group] >= 0 &&
		    r->found[2 * group + 1] >= 0)
			sb_add(b, r->s + r->found[2 * group],
			    (size_t)(r->found[2 * group + 1] -
			    r->found[2 * group]));
		else if (group == 0)
			sb_addc(b, p[0] == '\\' ? p[1] : p[0]);
		p += p[0] == '\\';
	}
}

enum rk_err
rk_regex_text_ok(const struct rk_regex *x, const char *text,
    struct rk_why *why)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p != '\\')
			continue;
		p++;
		if (*p == '\\')
			continue;
		if (*p < '1' || *p > '9')
			return rk_refuse(why, "there is a \\ that means "
			    "nothing at byte %td: want \\1 to \\9 or \\\\",
			    p - text);
		if (*p - '0' > x->groups)
			return rk_refuse(why, "asks for group %c, and the "
			    "expression has %d", *p, x->groups);
	}
	return RK_OK;
}

/* r->found and what is before it, from `from` on; where to go on. */
static size_t
take(struct runner *r, struct strbuf *b, size_t from, const char *text)
{
	const size_t at = (size_t)r->found[0], end = (size_t)r->found[1];

	sb_add(b, r->s + from, at - from);
	add_text(b, r, text);
	if (end > at || end == r->len)
		return end;
	sb_addc(b, r->s[end]);          /* an empty one: behind a byte */
	return end + 1;
}

enum rk_err
rk_regex_replace(const struct rk_regex *x, const char *s, const char *text,
    size_t most, uint64_t *budget, char **out)
{
	struct runner *r = xcalloc(1, sizeof(*r));
	struct strbuf b = {0};
	enum rk_err rc = RK_OK;
	size_t from = 0;
	bool any = false;

	*out = NULL;
	r->x = x;
	r->s = s;
	r->len = strlen(s);
	r->budget = budget;
	while (rc == RK_OK && from <= r->len && search(r, from)) {
		const bool last = (size_t)r->found[1] == r->len;
		from = take(r, &b, from, text);
		any = true;
		if (b.len > most)
			rc = RK_ELIMIT;
		if (last)
			break;
	}
	if (r->spent || b.len + (r->len - RK_MIN(from, r->len)) > most)
		rc = RK_ELIMIT;
	if (rc == RK_OK && any) {
		sb_adds(&b, s + from);
		*out = sb_detach(&b);
	}
	sb_fini(&b);
	free(r);
	return rc;
}
