/* What is there of an object, and what is missing: ranges in order. */
#include <stdlib.h>
#include <string.h>

#include "large.h"

#define MIB (1ull << 20)

/* The first range that ends at or behind `at`. */
static size_t
place_for(const struct ranges *r, uint64_t at)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->v[mid].at + r->v[mid].n < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void
ranges_add(struct ranges *r, uint64_t at, uint64_t n)
{
	size_t i = place_for(r, at), j = i;
	uint64_t end = at + n;

	if (n == 0)
		return;
	for (; j < r->n && r->v[j].at <= end; j++) {
		at = RK_MIN(at, r->v[j].at);
		end = RK_MAX(end, r->v[j].at + r->v[j].n);
	}
	if (i == j && r->n == r->room) {
		r->room = RK_MAX(2 * r->room, 16);
		r->v = xrealloc(r->v, r->room * sizeof(*r->v));
	}
	/* One takes the place of those from i to j. */
	if (r->n > j || i == j)
		memmove(r->v + i + 1, r->v + j, (r->n - j) * sizeof(*r->v));
	r->n = r->n - (j - i) + 1;
	r->v[i] = (struct remote_range){ at, end - at };
}

bool
ranges_gap(const struct ranges *r, uint64_t from, uint64_t size,
    uint64_t most, struct remote_range *gap)
{
	size_t i = place_for(r, from);
	uint64_t end;

	if (i < r->n && r->v[i].at <= from) {
		from = RK_MAX(from, r->v[i].at + r->v[i].n);
		i++;
	}
	if (from >= size)
		return false;
	end = i < r->n ? RK_MIN(r->v[i].at, size) : size;
	*gap = (struct remote_range){ from, RK_MIN(end - from, most) };
	return true;
}

uint64_t
ranges_head(const struct ranges *r)
{
	return r->n > 0 && r->v[0].at == 0 ? r->v[0].n : 0;
}

void
ranges_fini(struct ranges *r)
{
	free(r->v);
	*r = (struct ranges){ 0 };
}

/* Small enough that what breaks costs little and several are under way, large
 * enough that a request is nothing: a part at least, 64 MiB at most. */
uint64_t
plan_range_size(uint64_t part_size, uint64_t size)
{
	uint64_t n = RK_MIN((size / 256 + MIB - 1) / MIB * MIB, 64 * MIB);

	return RK_MAX(n, part_size);
}
