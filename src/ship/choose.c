/*
 * Which checkpoint a start needs, and where it is.
 *
 * latest: the local one, unless the bucket has a newer one of the branch that
 * the folder is on, or of a later branch: then this folder is behind, as after
 * a take-over.  best: of all that there is.  step:N and names: the local one,
 * if there is one.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

struct choice {
	struct ship *h;
	const struct spec *spec;
	struct ckpt *c;                 /* NULL: no folder */
	struct ckpt_info *local, *remote;
	size_t nlocal, nremote, *at;
	struct rows rows;
};

static bool
is_local(const struct choice *x, const char *dir)
{
	for (size_t i = 0; i < x->nlocal; i++) {
		if (strcmp(x->local[i].dir, dir) == 0)
			return true;
	}
	return false;
}

static int
find_remote(const struct choice *x, const char *dir)
{
	for (size_t i = 0; i < x->nremote; i++) {
		if (strcmp(x->remote[i].dir, dir) == 0)
			return (int)i;
	}
	return -1;
}

/*
 * The newest one there is i, of an older branch than the one that this folder
 * is on: then that began with another, or with nothing, and so does this start.
 */
static int
choose_origin(const struct choice *x, int i, const char *from, bool known)
{
	int origin = from[0] != '\0' ? find_remote(x, from) : -1;

	if (origin >= 0)
		return origin;
	return known && from[0] == '\0' ? -1 : i;
}

/* Index in x->remote, or -1: the local one, or none at all. */
static int
choose_latest(const struct choice *x, bool *local)
{
	struct ckpt_info mine = {0};
	char from[CKPT_DIR_MAX] = "";
	int branch = 1, i = ckpt_info_select(x->remote, x->nremote, "latest",
	    NULL, true, NULL);
	bool known = x->c == NULL || ckpt_origin(x->c, &branch, from);

	*local = x->c != NULL && ckpt_select(x->c, "latest", NULL, true, &mine,
	    NULL) == RK_OK;
	if (i >= 0 && *local) {
		const struct ckpt_info *there = &x->remote[i];
		bool behind = there->branch > branch ||
		    (there->branch == branch && (mine.branch < branch ||
		    there->step > mine.step));
		if (!behind || is_local(x, there->dir))
			i = -1;
	} else if (i >= 0 && x->remote[i].branch < branch) {
		i = choose_origin(x, i, from, known);
	}
	ckpt_info_fini(&mine);
	return i;
}

static int
choose_best(const struct choice *x, bool *local)
{
	const char *metric = x->spec->checkpoint.metric;
	bool max = x->spec->checkpoint.mode_max;
	struct ckpt_info *all = xcalloc(x->nlocal + x->nremote + 1,
	    sizeof(*all));
	size_t n = x->nlocal;
	int i;

	/* Borrowed; the local ones first, which win where equal. */
	memcpy(all, x->local, x->nlocal * sizeof(*all));
	for (size_t k = 0; k < x->nremote; k++) {
		if (!is_local(x, x->remote[k].dir))
			all[n++] = x->remote[k];
	}
	i = ckpt_info_select(all, n, "best", metric, max, NULL);
	*local = i >= 0 && (size_t)i < x->nlocal;
	i = i >= 0 && !*local ? find_remote(x, all[i].dir) : -1;
	free(all);
	return i;
}

static int
choose_one(const struct choice *x, const char *selector, bool *local)
{
	struct ckpt_info mine = {0};

	*local = x->c != NULL && ckpt_select(x->c, selector, NULL, true, &mine,
	    NULL) == RK_OK;
	ckpt_info_fini(&mine);
	return *local ? -1 : ckpt_info_select(x->remote, x->nremote, selector,
	    NULL, true, NULL);
}

static void
open_choice(struct choice *x, const char *job)
{
	char *path = job_folder(x->h, job);

	if (access(path, F_OK) == 0 && ckpt_open(&x->c, path, false) == RK_OK &&
	    ckpt_list(x->c, &x->local, &x->nlocal) != RK_OK)
		x->nlocal = 0;
	free(path);
	rows_load(x->h, job, RS_THERE, &x->rows);
	rows_infos(&x->rows, &x->remote, &x->at, &x->nremote);
}

static void
close_choice(struct choice *x)
{
	ckpt_close(&x->c);
	ckpt_list_free(x->local, x->nlocal);
	ckpt_list_free(x->remote, x->nremote);
	free(x->at);
	rows_fini(&x->rows);
}

enum chosen
choose(struct ship *h, const char *job, const struct spec *spec,
    const char *selector, struct remote_row *out)
{
	struct choice x = { .h = h, .spec = spec };
	bool local = false;
	int i;

	if (strcmp(selector, "none") == 0)
		return CHOSE_NOTHING;
	open_choice(&x, job);
	if (strcmp(selector, "latest") == 0)
		i = choose_latest(&x, &local);
	else if (strcmp(selector, "best") == 0)
		i = choose_best(&x, &local);
	else
		i = choose_one(&x, selector, &local);
	if (i >= 0 && out != NULL)
		row_copy(out, &x.rows.v[x.at[i]]);
	close_choice(&x);
	return i >= 0 ? CHOSE_REMOTE : local ? CHOSE_LOCAL : CHOSE_NOTHING;
}
