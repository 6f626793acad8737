/*
 * arena - memory that is taken piece by piece and given back at once.
 *
 * What is read of a stranger's file lives in arenas of one budget, so that no
 * file takes more than the budget whatever it says: arena_get() then gives
 * NULL, and the reader refuses with arena_full().
 */
#ifndef REKINDLE_FORMAT_ARENA_H
#define REKINDLE_FORMAT_ARENA_H

#include "rekindle/base.h"

struct arena_block;
struct arena {
	struct arena_block *last;
	size_t *left;                   /* bytes of the budget; shared */
};

/* n bytes of zeros, aligned for any type; NULL: there is no room for them. */
void *arena_get(struct arena *a, size_t n);
/* n items of `size` bytes. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A copy of n bytes with a NUL behind. */
char *arena_text(struct arena *a, const void *p, size_t n);
/* Room for one more in an array of n items that doubles whenever n is a power
 * of two; false: there is none.  Where it was before is not for use any
 * more. */
bool arena_grow(struct arena *a, void *arrayp, size_t n, size_t size);
void arena_free(struct arena *a);

/* "takes more than 48 MiB ..."; RK_ELIMIT. */
enum rk_err arena_full(struct rk_why *why);

#endif
