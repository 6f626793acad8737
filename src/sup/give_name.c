/*
 * Names that people give, by a worker: what has a name has SHA-256 of every
 * file (ckpt.h), and a large one is read for seconds.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct given {
	struct given *next, **prev;     /* of `under_way` */
	struct sup *s;                  /* NULL: it has gone */
	char id[RK_ID], dir[CKPT_DIR_MAX];
	char *path, *name;
	struct sup_named was;
	sup_checkpoint_fn *fn;          /* NULL: the asker has gone */
	void *ctx;
	enum rk_err rc;
};

/* The worker's while it works, whoever has gone meanwhile. */
static struct given *under_way;

static void
work(void *ctx)
{
	struct given *g = ctx;
	struct ckpt *c = NULL;

	g->rc = ckpt_open(&c, g->path, false);
	if (g->rc == RK_OK)
		g->rc = ckpt_name(c, g->dir, g->name);
	ckpt_close(&c);
}

/* It has its name, also where nobody waits for the answer any more. */
static void
tell(struct given *g)
{
	char *moved = sup_named_moved(&g->was, g->name, g->dir);
	char *text = xasprintf("%s is named %s%s%s", g->dir, g->name,
	    moved != NULL ? "; " : "", moved != NULL ? moved : "");

	sup_event(g->s, g->id, "checkpoint_named", text, NULL);
	sup_tell(g->s, g->id, 'c');
	free(text);
	free(moved);
}

static void
answer(const struct given *g)
{
	char *why = g->rc == RK_OK ? NULL : xasprintf("%s gets no name: %s",
	    g->dir, g->rc == RK_ECORRUPT ? "a file of it is not what was "
	    "written" : rk_strerror(g->rc));

	g->fn(g->ctx, g->rc, why == NULL ? g->dir : NULL, why);
	free(why);
}

static void
done(void *ctx)
{
	struct given *g = ctx;

	*g->prev = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	if (g->s != NULL && g->rc == RK_OK)
		tell(g);
	if (g->fn != NULL)
		answer(g);
	free(g->path);
	free(g->name);
	free(g);
}

void
sup_give_name(struct sup *s, const char *id, const char *dir, const char *name,
    sup_checkpoint_fn *fn, void *ctx)
{
	struct given *g = xcalloc(1, sizeof(*g));

	must_be(s, SUP_TAG);
	g->s = s;
	snprintf(g->id, sizeof(g->id), "%s", id);
	snprintf(g->dir, sizeof(g->dir), "%s", dir);
	g->path = xasprintf("%s/checkpoints", sup_job_dir(s, id));
	g->name = xstrdup(name);
	sup_named_look(s, id, name, &g->was);
	g->fn = fn;
	g->ctx = ctx;
	g->next = under_way;
	g->prev = &under_way;
	if (g->next != NULL)
		g->next->prev = &g->next;
	under_way = g;
	loop_work(s->loop, work, done, g);
}

void
give_name_forget(const struct sup *s, const void *ctx)
{
	for (struct given *g = under_way; g != NULL; g = g->next) {
		if (g->s == s && g->ctx == ctx)
			g->fn = NULL;
	}
}

void
give_name_fini(const struct sup *s)
{
	for (struct given *g = under_way; g != NULL; g = g->next) {
		if (g->s == s) {
			g->s = NULL;
			g->fn = NULL;
		}
	}
}
