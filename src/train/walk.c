/* The files that data.inputs names: see walk.h. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "walk.h"

static bool
is_picture(const char *name)
{
	static const char *const ends[] = { ".jpg", ".jpeg", ".jpe", ".jfif",
		".png" };
	const size_t n = strlen(name);

	for (size_t i = 0; i < RK_ARRAY_LEN(ends); i++) {
		const size_t m = strlen(ends[i]);
		if (n > m && strcasecmp(name + n - m, ends[i]) == 0)
			return true;
	}
	return false;
}

/* --- a folder ------------------------------------------------------------- */

static bool
add(struct run *r, struct walk_folder *f, const char *path, const char *name)
{
	if (f->n == WALK_MOST)
		return run_fail(r, "bad_data", true, "%s: has more than %zu "
		    "pictures, want them in several folders", path, WALK_MOST);
	if (f->n == f->room) {
		f->room = RK_MAX(2 * f->room, (size_t)64);
		f->at = xrealloc(f->at, f->room * sizeof(*f->at));
	}
	f->at[f->n++] = f->names.len;
	sb_add(&f->names, name, strlen(name) + 1);
	return true;
}

/* Of what is in a folder: a folder of its own, a file, or nothing of ours. */
enum kind { KIND_NOTHING, KIND_FILE, KIND_FOLDER };

static enum kind
kind_of(const char *path, const struct dirent *e)
{
	struct stat st;

	if (e->d_name[0] == '.')
		return KIND_NOTHING;
	if (e->d_type == DT_DIR)
		return KIND_FOLDER;
	if (e->d_type == DT_REG)
		return is_picture(e->d_name) ? KIND_FILE : KIND_NOTHING;
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return KIND_FOLDER;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    is_picture(e->d_name) ? KIND_FILE : KIND_NOTHING;
}

/* What lies below root/name; a folder that cannot be read is one of the files,
 * so that reading it says why. */
static bool
list(struct run *r, struct walk_folder *f, const char *root, const char *name,
    int deep)
{
	char *here = xasprintf("%s%s%s", root, name[0] != '\0' ? "/" : "",
	    name);
	DIR *d = deep < WALK_DEEP ? opendir(here) : NULL;
	bool ok = true;

	if (d == NULL)
		ok = add(r, f, root, name[0] != '\0' ? name : ".");
	for (struct dirent *e; ok && d != NULL && (e = readdir(d)) != NULL;) {
		char *path = xasprintf("%s/%s", here, e->d_name);
		char *below = xasprintf("%s%s%s", name, name[0] != '\0' ?
		    "/" : "", e->d_name);
		const enum kind k = kind_of(path, e);
		if (k == KIND_FILE)
			ok = add(r, f, root, below);
		else if (k == KIND_FOLDER)
			ok = list(r, f, root, below, deep + 1);
		free(path);
		free(below);
	}
	if (d != NULL)
		closedir(d);
	free(here);
	return ok;
}

static int
by_name(const void *a, const void *b, void *names)
{
	const char *all = names;

	return strcmp(all + *(const size_t *)a, all + *(const size_t *)b);
}

static bool
open_folder(struct run *r, struct walk_folder *f, const char *path)
{
	f->is = true;
	if (!list(r, f, path, "", 0))
		return false;
	if (f->n > 0)
		qsort_r(f->at, f->n, sizeof(*f->at), by_name, f->names.s);
	return true;
}

/* --- all of them ---------------------------------------------------------- */

bool
walk_open(struct run *r, struct walk *w)
{
	struct stat st;
	char field[32];
	bool ok = true;

	*w = (struct walk){ .data = &r->spec->data };
	for (int i = 0; ok && i < w->data->ninputs; i++) {
		const char *name = w->data->inputs[i];
		w->path[i] = spec_is_address(name) ? place_of(r, name) : name;
		snprintf(field, sizeof(field), "data.inputs[%d]", i);
		if (w->path[i] == NULL)
			ok = place_missing(r, field, name);
		else if (stat(w->path[i], &st) == 0 && S_ISDIR(st.st_mode))
			ok = open_folder(r, &w->v[i], w->path[i]);
	}
	return ok;
}

void
walk_close(struct walk *w)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(w->v); i++) {
		sb_fini(&w->v[i].names);
		free(w->v[i].at);
	}
	*w = (struct walk){0};
}

int
walk_inputs(const struct walk *w)
{
	return w->data->ninputs;
}

/* An empty folder is one file: reading it says that it has nothing. */
int64_t
walk_files(const struct walk *w, int i)
{
	return w->v[i].is ? RK_MAX((int64_t)w->v[i].n, 1) : 1;
}

struct walk_file
walk_file(const struct walk *w, int i, int64_t k)
{
	const struct walk_folder *f = &w->v[i];
	const char *name = w->data->inputs[i], *path = w->path[i];

	if (!f->is || f->n == 0)
		return (struct walk_file){ xstrdup(path), xstrdup(name) };
	const char *below = f->names.s + f->at[k];
	const char *slash = name[strlen(name) - 1] == '/' ? "" : "/";
	return (struct walk_file){ xasprintf("%s%s%s", path, slash, below),
		xasprintf("%s%s%s", name, slash, below) };
}

void
walk_file_fini(struct walk_file *f)
{
	free(f->path);
	free(f->name);
	*f = (struct walk_file){0};
}

uint64_t
walk_listing(const struct walk *w)
{
	uint64_t h = 0;

	for (int i = 0; i < walk_inputs(w); i++) {
		const struct walk_folder *f = &w->v[i];
		h = rk_hash64(h, w->data->inputs[i],
		    strlen(w->data->inputs[i]) + 1);
		for (size_t k = 0; k < f->n; k++)
			h = rk_hash64(h, f->names.s + f->at[k],
			    strlen(f->names.s + f->at[k]) + 1);
	}
	return h;
}
