/*
 * A tar of a folder of class folders, or of the folder that holds it: where all
 * of its files lie in one folder that has nothing but folders in it, that one is
 * not the class.
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

/* Bytes of the folder that all images are in, its '/' with them, where each is in
 * a folder of that; 0: there is none. */
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

/* Class folders behind the first `skip` bytes.  Paths come sorted by bytes, which
 * is not the order of their folders ("a b/" is before "a/"). */
static int
by_class(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum rk_err
take_classes(const struct format_tar *t, const char *path, size_t skip,
    struct image_names *v, struct rk_why *why)
{
	char *last = NULL;
	int64_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		const char *p = t->files[i].path + skip;
		if (!counts(&t->files[i]) || strchr(p, '/') == NULL)
			continue;
		const size_t len = strcspn(p, "/");
		if (last != NULL && strlen(last) == len &&
		    strncmp(last, p, len) == 0)
			continue;
		if ((v->nclasses & (v->nclasses - 1)) == 0)
			v->classes = xrealloc(v->classes, (size_t)RK_MAX(
			    2 * v->nclasses, 1) * sizeof(*v->classes));
		last = v->classes[v->nclasses++] = xstrndup(p, len);
		enum rk_err rc = image_class_ok(path, last, why);
		if (rc != RK_OK)
			return rc;
		if (v->nclasses > DATA_MAX_CLASSES)
			return rk_refuse(why, "%s: has more than %d class "
			    "folders", path, DATA_MAX_CLASSES);
	}
	if (v->nclasses > 1)
		qsort(v->classes, (size_t)v->nclasses, sizeof(*v->classes),
		    by_class);
	for (int64_t i = 0; i < v->nclasses; i++) {
		if (n > 0 && strcmp(v->classes[n - 1], v->classes[i]) == 0)
			free(v->classes[i]);
		else
			v->classes[n++] = v->classes[i];
	}
	v->nclasses = n;
	return RK_OK;
}

static int64_t
class_of(const struct image_names *v, const char *p, size_t len)
{
	int64_t lo = 0, hi = v->nclasses - 1;

	while (lo < hi) {
		const int64_t mid = (lo + hi) / 2;
		int c = strncmp(v->classes[mid], p, len);
		if (c == 0 && v->classes[mid][len] != '\0')
			c = 1;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One class behind the other, as of a folder; in a class they are in order. */
static enum rk_err
take_images(const struct format_tar *t, const char *path, size_t skip,
    struct image_names *v, struct rk_why *why)
{
	size_t *next = xcalloc((size_t)v->nclasses + 1, sizeof(*next));
	size_t *order = xcalloc(t->n + 1, sizeof(*order));
	enum rk_err rc = RK_OK;
	size_t n = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < t->n; i++) {
			const char *p = t->files[i].path + skip;
			if (!counts(&t->files[i]) || strchr(p, '/') == NULL)
				continue;
			const int64_t c = class_of(v, p, strcspn(p, "/"));
			if (pass == 0)
				next[c + 1]++;
			else
				order[next[c]++] = i;
			n += pass;
		}
		for (int64_t c = 0; pass == 0 && c < v->nclasses; c++)
			next[c + 1] += next[c];
	}
	for (size_t k = 0; rc == RK_OK && k < n; k++) {
		const char *p = t->files[order[k]].path;
		rc = image_names_add(v, path, "", p, (float)class_of(v, p +
		    skip, strcspn(p + skip, "/")), why);
	}
	free(next);
	free(order);
	return rc;
}

enum rk_err
image_tar(const struct format_tar *t, const char *path, struct image_names *v,
    struct rk_why *why)
{
	const size_t skip = common(t);
	enum rk_err rc = take_classes(t, path, skip, v, why);

	if (rc == RK_OK && v->nclasses == 0)
		return rk_refuse(why, "%s: has %zu file%s and no image in a "
		    "class folder: want CLASS/IMAGE, or a list of images and "
		    "their labels", path, t->n, t->n == 1 ? "" : "s");
	if (rc == RK_OK)
		rc = take_images(t, path, skip, v, why);
	return rc;
}
