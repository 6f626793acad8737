/*
 * A tar of a folder of class folders, or of the folder that holds it: where all
 * of its files lie in one folder that has nothing but folders in it, that one
 * is not the class.
 */
#include <stdlib.h>
#include <string.h>

#include "image_names.h"
#include "rekindle/format.h"

static bool
any_part_hidden(const char *path)
{
	char part[256];

	while (*path != '\0') {
		const size_t n = strcspn(path, "/");
		snprintf(part, sizeof(part), "%.*s", (int)RK_MIN(n,
		    sizeof(part) - 1), path);
		if (image_is_hidden(part))
			return true;
		path += n + (path[n] == '/');
	}
	return false;
}

static bool
counts(const struct format_tar_file *f)
{
	return !any_part_hidden(f->path) &&
	    image_is_named(f->path, strlen(f->path));
}

/* Bytes of the folder that all images are in, its '/' with them, where each is
 * in a folder of that; 0: there is none. */
static size_t
common(const struct format_tar *t)
{
	const char *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		const char *p = t->files[i].path;
		if (!counts(&t->files[i]))
			continue;
		const char *slash = strchr(p, '/');
		if (slash == NULL || strchr(slash + 1, '/') == NULL)
			return 0;
		if (first == NULL) {
			first = p;
			n = (size_t)(slash - p) + 1;
		} else if (strncmp(p, first, n) != 0) {
			return 0;
		}
	}
	return n;
}

/* A class folder: its images are some of the files from `first` on, which come
 * one behind the other because the archive's paths are sorted by bytes. */
struct folder {
	char *name;
	size_t first;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct folder *)a)->name,
	    ((const struct folder *)b)->name);
}

/* Is the image, whose path begins at p, in the class folder? */
static bool
is_in(const struct folder *f, const char *p)
{
	const size_t n = strcspn(p, "/");

	return strlen(f->name) == n && memcmp(f->name, p, n) == 0;
}

/* The folders behind the first `skip` bytes, sorted by name.  That is not the
 * order of the archive: there "a b/" comes before "a/". */
static struct folder *
find_folders(const struct format_tar *t, size_t skip, size_t *n)
{
	struct folder *v = NULL;

	*n = 0;
	for (size_t i = 0; i < t->n; i++) {
		const char *p = t->files[i].path + skip;
		if (!counts(&t->files[i]) || strchr(p, '/') == NULL ||
		    (*n > 0 && is_in(&v[*n - 1], p)))
			continue;
		if ((*n & (*n - 1)) == 0)
			v = xrealloc(v, RK_MAX(2 * *n, (size_t)1) *
			    sizeof(*v));
		v[(*n)++] = (struct folder){ xstrndup(p, strcspn(p, "/")), i };
	}
	if (*n > 1)
		qsort(v, *n, sizeof(*v), by_name);
	return v;
}

/* The images of class c, in the order of their paths. */
static enum rk_err
take_images(const struct format_tar *t, const char *path, size_t skip,
    const struct folder *f, size_t c, struct image_names *v,
    struct rk_why *why)
{
	enum rk_err rc = image_class_ok(path, f->name, why);

	for (size_t i = f->first; rc == RK_OK && i < t->n; i++) {
		const char *p = t->files[i].path;
		if (!counts(&t->files[i]))
			continue;
		if (!is_in(f, p + skip))
			break;
		rc = image_names_add(v, path, "", p, (float)c, why);
	}
	return rc;
}

/* What is passed over, as of a folder. */
static void
count_others(const struct format_tar *t, size_t skip, struct image_names *v)
{
	for (size_t i = 0; i < t->n; i++) {
		const char *path = t->files[i].path;
		if (any_part_hidden(path))
			v->hidden++;
		else if (!image_is_named(path, strlen(path)))
			image_names_pass_over(&v->others, &v->first_other, "",
			    path);
		else if (strchr(path + skip, '/') == NULL)
			v->loose++;
	}
	v->links = t->links;
	v->replaced = t->replaced;
}

enum rk_err
image_tar(const struct format_tar *t, const char *path, struct image_names *v,
    struct rk_why *why)
{
	const size_t skip = common(t);
	enum rk_err rc = RK_OK;
	size_t n;
	struct folder *f = find_folders(t, skip, &n);

	if (n == 0)
		rc = rk_refuse(why, "%s: has %zu file%s and no image in a "
		    "class folder: want CLASS/IMAGE, or a list of images and "
		    "their labels", path, t->n, rk_s((int64_t)t->n));
	else if (n > DATA_MAX_CLASSES)
		rc = rk_refuse(why, "%s: has %zu class folders, want at most "
		    "%d", path, n, DATA_MAX_CLASSES);
	v->classes = xcalloc(RK_MAX(n, (size_t)1), sizeof(*v->classes));
	for (size_t c = 0; c < n; c++) {
		if (rc == RK_OK)
			rc = take_images(t, path, skip, &f[c], c, v, why);
		v->classes[v->nclasses++] = f[c].name;
	}
	free(f);
	count_others(t, skip, v);
	return rc;
}
