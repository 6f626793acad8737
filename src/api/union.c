/* Checkpoints of a job: those in its folder, those that only a bucket has, and
 * those that a bucket had and that are lost. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

static int
by_place(const void *a, const void *b)
{
	const struct ckpt_info *x = ((const struct union_ckpt *)a)->info;
	const struct ckpt_info *y = ((const struct union_ckpt *)b)->info;

	if (x->branch != y->branch)
		return x->branch < y->branch ? -1 : 1;
	return x->step < y->step ? -1 : x->step > y->step;
}

static bool
has(const struct union_list *u, const char *dir)
{
	for (size_t i = 0; i < u->n; i++) {
		if (strcmp(u->v[i].info->dir, dir) == 0)
			return true;
	}
	return false;
}

static void
add_others(struct union_list *u, const struct ckpt_info *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!has(u, v[i].dir))
			u->v[u->n++] = (struct union_ckpt){ &v[i], false };
	}
}

enum rk_err
union_open(struct union_list *u, struct api *a, const char *job,
    struct ckpt *c)
{
	enum rk_err rc = RK_OK;

	*u = (struct union_list){ 0 };
	if (c != NULL)
		rc = ckpt_list(c, &u->here, &u->nhere);
	if (rc == RK_OK)
		rc = ship_remote_list(a->ship, job, &u->there, NULL,
		    &u->nthere);
	if (rc == RK_OK)
		rc = ship_missing_list(a->ship, job, &u->lost, &u->nlost);
	if (rc != RK_OK) {
		union_close(u);
		return rc;
	}
	u->v = xcalloc(u->nhere + u->nthere + u->nlost + 1, sizeof(*u->v));
	for (size_t i = 0; i < u->nhere; i++)
		u->v[u->n++] = (struct union_ckpt){ &u->here[i], true };
	add_others(u, u->there, u->nthere);
	add_others(u, u->lost, u->nlost);
	qsort(u->v, u->n, sizeof(*u->v), by_place);
	return RK_OK;
}

void
union_close(struct union_list *u)
{
	ckpt_list_free(u->here, u->nhere);
	ckpt_list_free(u->there, u->nthere);
	ckpt_list_free(u->lost, u->nlost);
	free(u->v);
	*u = (struct union_list){ 0 };
}
