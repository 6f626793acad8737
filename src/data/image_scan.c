/*
 * A folder of class folders: the names of its folders, in the order of their
 * bytes, are the classes, and all images in one of them, at any depth, are of
 * that class, in the order of their paths' bytes.
 *
 * Folders are read and nothing else is asked about: 100,000 names take some
 * tens of milliseconds.  Only where a file system does not say what an entry
 * is, and of symbolic links, which are followed, is there a stat(2) each.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_names.h"

enum entry_kind { ENTRY_FILE, ENTRY_FOLDER, ENTRY_ODD };

/* The folders around the one that is being read. */
struct chain {
	const struct chain *up;
	dev_t dev;
	ino_t ino;
	int depth;
};

struct scan {
	const char *root;
	struct image_names *v;
	float target;                   /* of the class that is being read */
	struct rk_why *why;
};

/* --- entries -------------------------------------------------------------- */

static enum entry_kind
kind_of(int dirfd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type == DT_REG)
		return ENTRY_FILE;
	if (e->d_type == DT_DIR)
		return ENTRY_FOLDER;
	if (e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)
		return ENTRY_ODD;
	if (fstatat(dirfd, e->d_name, &st, 0) != 0)
		return ENTRY_ODD;
	return S_ISREG(st.st_mode) ? ENTRY_FILE : S_ISDIR(st.st_mode) ?
	    ENTRY_FOLDER : ENTRY_ODD;
}

static enum rk_err
refuse_folder(const struct scan *s, const char *path)
{
	const int e = errno;
	char *full = path[0] == '\0' ? xstrdup(s->root) :
	    xasprintf("%s/%s", s->root, path);
	char *reason = rk_why_unreadable(full, e);
	enum rk_err rc = rk_refuse(s->why, "%s: cannot read the folder: %s",
	    full, reason);

	free(reason);
	free(full);
	return rc;
}

/* --- names that wait ------------------------------------------------------ */

struct names {
	char **v;
	size_t n;
};

static void
names_add(struct names *f, const char *name)
{
	if ((f->n & (f->n - 1)) == 0)
		f->v = xrealloc(f->v, RK_MAX(2 * f->n, (size_t)1) *
		    sizeof(*f->v));
	f->v[f->n++] = xstrdup(name);
}

static void
names_fini(struct names *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i]);
	free(f->v);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* --- folders -------------------------------------------------------------- */

/* RK_EINVAL: it cannot be opened, or is one of those around it. */
static enum rk_err
enter(struct scan *s, int at, const char *name, const char *path,
    const struct chain *up, struct chain *own, DIR **dir)
{
	struct stat st;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		enum rk_err rc = refuse_folder(s, path);
		rk_close(&fd);
		return rc;
	}
	*own = (struct chain){ up, st.st_dev, st.st_ino, up != NULL ?
		up->depth + 1 : 0 };
	for (const struct chain *c = up; c != NULL; c = c->up) {
		if (c->dev != st.st_dev || c->ino != st.st_ino)
			continue;
		rk_close(&fd);
		return rk_refuse(s->why, "%s: %s is a link to a folder that it "
		    "is in: it has no end", s->root, path);
	}
	if (own->depth > IMAGE_DEPTH_MAX) {
		rk_close(&fd);
		return rk_refuse(s->why, "%s: %s is more than %d folders deep",
		    s->root, path, IMAGE_DEPTH_MAX);
	}
	*dir = fdopendir(fd);
	if (*dir != NULL)
		return RK_OK;
	enum rk_err rc = refuse_folder(s, path);
	rk_close(&fd);
	return rc;
}

static enum rk_err
take_entry(struct scan *s, DIR *dir, const struct dirent *e, const char *path,
    struct names *folders)
{
	struct image_names *v = s->v;

	if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
		return RK_OK;
	if (image_is_hidden(e->d_name)) {
		v->hidden++;
		return RK_OK;
	}
	switch (kind_of(dirfd(dir), e)) {
	case ENTRY_FOLDER:
		names_add(folders, e->d_name);
		return RK_OK;
	case ENTRY_ODD:
		image_names_pass_over(&v->odd, &v->first_odd, path,
		    e->d_name);
		return RK_OK;
	case ENTRY_FILE:
		break;
	}
	if (!image_is_named(e->d_name, strlen(e->d_name)))
		image_names_pass_over(&v->others, &v->first_other, path,
		    e->d_name);
	else if (path[0] == '\0')
		v->loose++;
	else
		return image_names_add(v, s->root, path, e->d_name, s->target,
		    s->why);
	return RK_OK;
}

/* The entries of a folder; the folders among them are for later, when this one
 * is no longer open. */
static enum rk_err
read_folder(struct scan *s, int at, const char *name, const char *path,
    const struct chain *up, struct chain *own, struct names *folders, int *fd)
{
	const struct dirent *e;
	DIR *dir = NULL;

	enum rk_err rc = enter(s, at, name, path, up, own, &dir);
	if (rc != RK_OK)
		return rc;
	while (rc == RK_OK && (errno = 0, e = readdir(dir)) != NULL)
		rc = take_entry(s, dir, e, path, folders);
	if (rc == RK_OK && errno != 0)
		rc = refuse_folder(s, path);
	*fd = rc == RK_OK && folders->n > 0 ? fcntl(dirfd(dir),
	    F_DUPFD_CLOEXEC, 0) : -1;
	if (rc == RK_OK && folders->n > 0 && *fd < 0)
		rc = refuse_folder(s, path);
	closedir(dir);
	return rc;
}

static enum rk_err
walk(struct scan *s, int at, const char *name, const char *path,
    const struct chain *up)
{
	struct names folders = { 0 };
	struct chain own;
	int fd = -1;

	enum rk_err rc = read_folder(s, at, name, path, up, &own, &folders,
	    &fd);
	for (size_t i = 0; rc == RK_OK && i < folders.n; i++) {
		char *below = xasprintf("%s/%s", path, folders.v[i]);
		rc = walk(s, fd, folders.v[i], below, &own);
		free(below);
	}
	rk_close(&fd);
	names_fini(&folders);
	return rc;
}

/* --- classes -------------------------------------------------------------- */

static enum rk_err
scan_class(struct scan *s, int root, const char *name, const struct chain *own)
{
	struct image_names *v = s->v;
	const size_t first = v->n;

	enum rk_err rc = image_class_ok(s->root, name, s->why);
	if (rc == RK_OK)
		rc = walk(s, root, name, name, own);
	if (rc != RK_OK)
		return rc;
	image_names_sort(v, first);
	if (v->n == first) {
		v->empty = xrealloc(v->empty, (v->nempty + 1) *
		    sizeof(*v->empty));
		v->empty[v->nempty++] = (int64_t)s->target;
	}
	return RK_OK;
}

enum rk_err
image_scan(const char *path, struct image_names *v, struct rk_why *why)
{
	struct scan s = { .root = path, .v = v, .why = why };
	struct names folders = { 0 };
	struct chain own;
	int fd = -1;

	enum rk_err rc = read_folder(&s, AT_FDCWD, path, "", NULL, &own,
	    &folders, &fd);
	if (rc == RK_OK && folders.n == 0)
		rc = rk_refuse(why, "%s: has no class folders%s: want "
		    "FOLDER/CLASS/IMAGE, or a list of images and their labels",
		    path, v->loose > 0 ? ", but images beside each other" : "");
	if (rc == RK_OK && folders.n > DATA_MAX_CLASSES)
		rc = rk_refuse(why, "%s: has %zu class folders, want at most "
		    "%d", path, folders.n, DATA_MAX_CLASSES);
	if (folders.n > 1)
		qsort(folders.v, folders.n, sizeof(*folders.v), by_bytes);
	for (size_t c = 0; rc == RK_OK && c < folders.n; c++) {
		s.target = (float)c;
		rc = scan_class(&s, fd, folders.v[c], &own);
	}
	rk_close(&fd);
	if (rc != RK_OK) {
		names_fini(&folders);
		return rc;
	}
	v->classes = folders.v;
	v->nclasses = (int64_t)folders.n;
	return v->n > 0 ? RK_OK : rk_refuse(why, "%s: has %zu class folder%s "
	    "and no image in %s", path, folders.n, folders.n == 1 ? "" : "s",
	    folders.n == 1 ? "it" : "them");
}
