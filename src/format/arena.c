/* Memory of one budget, see arena.h. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define BLOCK ((size_t)32 << 10)        /* bytes of a block and its head */

struct arena_block {
	struct arena_block *before;
	size_t used, room;
	max_align_t bytes[];
};

#define ALIGN _Alignof(max_align_t)

static struct arena_block *
new_block(struct arena *a, size_t n)
{
	size_t room = RK_MAX(n, BLOCK - sizeof(struct arena_block));
	size_t all = room + sizeof(struct arena_block);

	if (all > *a->left)
		return NULL;
	struct arena_block *b = calloc(1, all);
	if (b == NULL)
		return NULL;
	*a->left -= all;
	b->room = room;
	/* A big one goes behind the block that still has room. */
	if (n > BLOCK / 4 && a->last != NULL) {
		b->before = a->last->before;
		a->last->before = b;
	} else {
		b->before = a->last;
		a->last = b;
	}
	return b;
}

void *
arena_get(struct arena *a, size_t n)
{
	struct arena_block *b = a->last;

	if (n > *a->left && (b == NULL || n > b->room - b->used))
		return NULL;
	n = RK_ROUND_UP(n, ALIGN);
	if (b == NULL || n > b->room - b->used)
		b = new_block(a, n);
	if (b == NULL)
		return NULL;
	void *p = (unsigned char *)b->bytes + b->used;
	b->used += n;
	return p;
}

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	size_t all;

	return rk_mul(n, size, &all) ? arena_get(a, all) : NULL;
}

char *
arena_text(struct arena *a, const void *p, size_t n)
{
	char *s = n < SIZE_MAX ? arena_get(a, n + 1) : NULL;

	if (s != NULL && n > 0)
		memcpy(s, p, n);
	return s;
}

/* Where the block is linked in that has n bytes at p and nothing else; NULL:
 * what lies there shares its block. */
static struct arena_block **
alone(struct arena *a, const void *p, size_t n)
{
	for (struct arena_block **at = &a->last; *at != NULL;
	    at = &(*at)->before) {
		struct arena_block *b = *at;
		if ((const void *)b->bytes == p)
			return b == a->last || b->used != RK_ROUND_UP(n,
			    ALIGN) ? NULL : at;
	}
	return NULL;
}

/* A block of its own grows where it is, or is moved by whole pages: a copy
 * beside the old one would be half as much again. */
static void *
stretch(struct arena *a, struct arena_block **at, size_t n, size_t to)
{
	struct arena_block *b = *at;
	const size_t was = b->room, room = RK_ROUND_UP(to, ALIGN);

	if (room <= was || room - was > *a->left)
		return NULL;
	b = realloc(b, sizeof(*b) + room);
	if (b == NULL)
		return NULL;
	*a->left -= room - was;
	memset((unsigned char *)b->bytes + n, 0, room - n);
	b->used = b->room = room;
	*at = b;
	return b->bytes;
}

bool
arena_grow(struct arena *a, void *arrayp, size_t n, size_t size)
{
	void **array = arrayp, *more;
	struct arena_block **own;
	size_t to;

	if (n > 0 && (n < 4 || (n & (n - 1)) != 0))
		return true;
	if (!rk_mul(n < 4 ? 4 : 2 * n, size, &to))
		return false;
	own = n * size > BLOCK ? alone(a, *array, n * size) : NULL;
	if (own != NULL) {
		more = stretch(a, own, n * size, to);
	} else {
		more = arena_get(a, to);
		if (more != NULL && n > 0)
			memcpy(more, *array, n * size);
	}
	if (more == NULL)
		return false;
	*array = more;
	return true;
}

void
arena_free(struct arena *a)
{
	while (a->last != NULL) {
		struct arena_block *b = a->last;
		a->last = b->before;
		*a->left += b->room + sizeof(*b);
		free(b);
	}
}

enum rk_err
arena_full(struct rk_why *why)
{
	rk_refuse(why, "takes more than 48 MiB to describe what is in it: it "
	    "is no file of weights, or made to take memory");
	return RK_ELIMIT;
}
