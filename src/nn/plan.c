/*
 * The plan: which slots share a storage, and where each storage lies.
 *
 * Sharing.  A slot v may join the storage of a slot u, from which it is made,
 * when no member m of that storage would be spoiled by v, nor v by m:
 *
 *	v is made in place    every m was read for the last time when v is made,
 *	                      and none is the caller's
 *	v is changed at w     every m was read for the last time before w
 *	m is changed at w     behind v's birth: v was read for the last time
 *	                      before w
 *
 * Shares are tried in the order of the births, so that each sees all members
 * that were there before.
 *
 * Places.  The largest storages choose first, each the lowest place in the
 * arena that is free of those in use at a common time.
 */
#include <stdlib.h>

#include "ops.h"

/* --- sharing -------------------------------------------------------------- */

static void
join(struct nn_program *p, int storage, int slot)
{
	struct nn_storage *st = &p->storages[storage];
	struct nn_slot *s = &p->slots[slot];

	/* Twice as many at each power of two. */
	if ((st->nmembers & (st->nmembers - 1)) == 0)
		st->member = xrealloc(st->member, (size_t)RK_MAX(2 *
		    st->nmembers, 1) * sizeof(*st->member));
	st->member[st->nmembers++] = slot;
	s->storage = storage;
	st->floats = RK_MAX(st->floats, s->floats);
	must(s->born >= st->first);
	st->last = RK_MAX(st->last, s->read);
	if (s->nwrites > 0)
		st->changed = RK_MAX(st->changed, s->writes[s->nwrites - 1]);
	st->outside |= s->fixed;
}

static void
own_storage(struct nn_program *p, int slot)
{
	p->storages[p->nstorages] = (struct nn_storage){
		.first = p->slots[slot].born, .last = p->slots[slot].read,
		.changed = -1 };
	join(p, p->nstorages++, slot);
}

/* Is no change of m from v's birth on before the last reading of v? */
static bool
spares(const struct nn_slot *m, const struct nn_slot *v)
{
	for (int i = 0; i < m->nwrites; i++)
		if (m->writes[i] >= v->born && v->read >= m->writes[i])
			return false;
	return true;
}

/* Of all members together what can be: long chains of views have many. */
static bool
may_join(const struct nn_program *p, const struct nn_share *how)
{
	const struct nn_slot *v = &p->slots[how->made];
	const struct nn_storage *st =
	    &p->storages[p->slots[how->from].storage];

	if (how->how == NN_IN_PLACE && (st->outside || st->last > v->born))
		return false;
	/* A slot is changed in the instruction that makes it at the
	 * earliest. */
	if (v->nwrites > 0 && st->last >= v->writes[0])
		return false;
	/* What is changed are gradients, and the caller's has none. */
	must(!st->outside || v->nwrites == 0);
	if (st->changed < v->born)
		return true;
	for (int i = 0; i < st->nmembers; i++)
		if (!spares(&p->slots[st->member[i]], v))
			return false;
	return true;
}

static void
share(struct nn_program *p, bool apart)
{
	int at = 0;

	p->storages = xcalloc((size_t)p->nslots, sizeof(*p->storages));
	for (int i = 0; i < p->nslots; i++) {
		for (; at < p->nshares && p->shares[at].made == i; at++)
			if (!apart && p->slots[i].storage < 0 &&
			    may_join(p, &p->shares[at]))
				join(p, p->slots[p->shares[at].from].storage,
				    i);
		if (p->slots[i].storage < 0)
			own_storage(p, i);
	}
	must(at == p->nshares);
}

/* --- places --------------------------------------------------------------- */

static int
larger_first(const void *a, const void *b)
{
	const struct nn_storage *const *x = a, *const *y = b;

	if ((*x)->floats != (*y)->floats)
		return (*x)->floats > (*y)->floats ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* Keep placed[] sorted by place; it grows by one. */
static void
insert(struct nn_storage **placed, int np, struct nn_storage *b)
{
	int i = np;

	for (; i > 0 && placed[i - 1]->at > b->at; i--)
		placed[i] = placed[i - 1];
	placed[i] = b;
}

static bool
meet(const struct nn_storage *a, const struct nn_storage *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static bool
lay_out(struct nn_program *p, bool apart)
{
	const size_t n = (size_t)p->nstorages;
	struct nn_storage **order = xcalloc(n, sizeof(*order));
	struct nn_storage **placed = xcalloc(n, sizeof(*placed));
	bool ok = true;
	int np = 0;

	for (size_t i = 0; i < n; i++)
		order[i] = &p->storages[i];
	qsort(order, n, sizeof(*order), larger_first);
	p->arena_floats = 0;
	for (size_t i = 0; i < n && ok; i++) {
		struct nn_storage *b = order[i];
		size_t at = 0, end;
		if (b->outside)
			continue;
		for (int k = 0; k < np; k++) {
			const struct nn_storage *o = placed[k];
			if (!apart && !meet(o, b))
				continue;
			if (o->at >= at && o->at - at >= b->floats)
				break;
			at = RK_MAX(at, o->at + o->floats);
		}
		b->at = at;
		ok = rk_add(at, b->floats, &end);
		p->arena_floats = RK_MAX(p->arena_floats, end);
		insert(placed, np++, b);
	}
	free(order);
	free(placed);
	return ok;
}

bool
nn_plan(struct nn_program *p, bool apart)
{
	share(p, apart);
	return lay_out(p, apart);
}
