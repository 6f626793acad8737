/*
 * The confusion matrix off its diagonal: a table of the cells that are not 0.
 * Which of too many are kept is decided by the order of the rows alone.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* Half of the places stay free, so that a search ends soon. */
size_t
cells_room(const struct judge_want *w)
{
	const uint64_t k = (uint64_t)w->outputs, all = k * (k - 1);
	size_t room = 16;

	if (w->task != JUDGE_TASK_CLASSES)
		return 0;
	while (room < 2 * RK_MIN(all, (uint64_t)JUDGE_CELLS))
		room *= 2;
	return room;
}

static size_t
place_of(const struct judge *j, uint32_t label, uint32_t class)
{
	const uint64_t key = (uint64_t)label << 32 | class;
	size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & (j->room - 1);

	while (j->cells[at].rows != 0 && (j->cells[at].label != label ||
	    j->cells[at].class != class))
		at = (at + 1) & (j->room - 1);
	return at;
}

void
cells_add(struct judge *j, int64_t label, int64_t class, int64_t rows)
{
	struct cell *c = &j->cells[place_of(j, (uint32_t)label,
	    (uint32_t)class)];

	if (c->rows == 0 && j->used == JUDGE_CELLS) {
		j->others += rows;
		return;
	}
	j->used += c->rows == 0;
	c->label = (uint32_t)label;
	c->class = (uint32_t)class;
	c->rows += rows;
}

static int
more_rows(const void *a, const void *b)
{
	const struct cell *x = a, *y = b;

	if (x->rows != y->rows)
		return x->rows < y->rows ? 1 : -1;
	if (x->label != y->label)
		return x->label < y->label ? -1 : 1;
	return x->class < y->class ? -1 : x->class > y->class;
}

struct cell *
cells_sorted(const struct judge *j, size_t *n)
{
	struct cell *v = xcalloc(j->used + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i < j->room; i++) {
		if (j->cells[i].rows != 0)
			v[(*n)++] = j->cells[i];
	}
	qsort(v, *n, sizeof(*v), more_rows);
	return v;
}
