/* Names that were given, or taken, after a checkpoint was pushed. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

struct naming {
	struct ship *h;
	struct naming *next;
	struct remote_row row;
	char **names;
	struct remote_op *op;
	bool found;                     /* the row is still there */
};

static void
free_naming(struct naming *g)
{
	struct naming **q = &g->h->namings;

	while (*q != g)
		q = &(*q)->next;
	*q = g->next;
	remote_cancel(&g->op);
	store_remote_fini(&g->row);
	names_free(g->names);
	free(g);
}

static bool
take(void *ctx, const struct remote_row *r)
{
	struct naming *g = ctx;

	if (!row_same(r, &g->row))
		return true;
	store_remote_fini(&g->row);
	row_copy(&g->row, r);
	g->found = true;
	return false;
}

/* The row as it is now gets them: it may have moved on meanwhile, or gone. */
static void
put(void *ctx, const struct remote_result *r)
{
	struct naming *g = ctx;
	struct rfiles f;

	g->op = NULL;
	if (r->end != REMOTE_OK) {
		log_info("job=%s ship: names of %s were not sent: %s",
		    g->row.job, g->row.dir, r->error);
	} else if (store_remotes(g->h->store, g->row.job, RS_THERE, take, g) ==
	    RK_OK && g->found) {
		rfiles_parse(&f, g->row.files);
		names_free(f.names);
		f.names = names_copy(g->names);
		free(g->row.files);
		g->row.files = rfiles_text(&f);
		rfiles_fini(&f);
		(void)row_save(g->h, &g->row);
	}
	free_naming(g);
}

void
naming_start(struct ship *h, const struct remote_row *r, char *const *names)
{
	struct remote_patience pt = push_patience();
	struct naming *g;

	/* One at a time; the next look finds what is still different. */
	for (g = h->namings; g != NULL; g = g->next) {
		if (row_same(&g->row, r))
			return;
	}
	if (push_find(h, r) != NULL)
		return;
	g = xcalloc(1, sizeof(*g));
	g->h = h;
	g->next = h->namings;
	h->namings = g;
	row_copy(&g->row, r);
	g->names = names_copy(names);
	char *text = names_text(names);
	char *uri = xasprintf("%snames.json", r->uri);
	g->op = remote_put(h->remote, uri, text, strlen(text), false, &pt, put,
	    g);
	free(uri);
	free(text);
}

char **
names_here(struct ship *h, const char *job, const char *dir)
{
	char *path = job_folder(h, job);
	struct ckpt_info i = {0};
	struct ckpt *c = NULL;
	char **names = NULL;

	/* ckpt_open() would make the folder. */
	if (access(path, F_OK) == 0 && ckpt_open(&c, path, false) == RK_OK &&
	    ckpt_read(c, dir, &i) == RK_OK) {
		names = i.names;
		i.names = NULL;
		ckpt_info_fini(&i);
	}
	ckpt_close(&c);
	free(path);
	return names;
}

void
naming_gone(struct ship *h, const char *job)
{
	struct naming *g, *next;

	for (g = h->namings; g != NULL; g = next) {
		next = g->next;
		if (strcmp(g->row.job, job) == 0)
			free_naming(g);
	}
}

void
naming_fini(struct ship *h)
{
	while (h->namings != NULL)
		free_naming(h->namings);
}
