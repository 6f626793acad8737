/* file://: what lies below a prefix. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

#define DEPTH_MAX   32
#define ENTRIES_MAX 1000000

struct walk {
	struct file_job *j;
	const char *begins;             /* with what names must, at the top */
	size_t skip;                    /* its length: keys come without */
	int depth;
};

static void walk(struct walk *w, int fd, const char *key);

static void
add(struct file_job *j, const char *key, const struct stat *st)
{
	struct file_entries *l = &j->list;

	if (l->n == ENTRIES_MAX) {
		file_said(j, REMOTE_REFUSED, "%s holds more than %d files",
		    j->path, ENTRIES_MAX);
		return;
	}
	if (l->n == l->cap) {
		l->cap = RK_MAX(l->cap * 2, 64);
		l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	struct file_entry *e = &l->v[l->n++];
	*e = (struct file_entry){ .key = xstrdup(key) };
	if (st != NULL) {
		struct file_job of = { .tag = FILE_TAG };
		file_stat(&of, st);
		e->size = of.size;
		e->at_ms = of.modified_ms;
		memcpy(e->etag, of.etag, sizeof(e->etag));
	}
}

static bool
is_ours(const char *name)
{
	return strncmp(name, RK_TMP_PREFIX, strlen(RK_TMP_PREFIX)) == 0 ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Objects have no empty folders: is there a file anywhere in it? */
static bool
holds_file(int fd, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	struct stat st;
	bool found = false;

	if (d == NULL) {
		rk_close(&fd);
		return false;
	}
	while (!found && (e = readdir(d)) != NULL) {
		if (is_ours(e->d_name) || fstatat(dirfd(d), e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISREG(st.st_mode))
			found = true;
		else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			int sub = openat(dirfd(d), e->d_name, O_RDONLY |
			    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			found = sub >= 0 && holds_file(sub, depth + 1);
		}
	}
	closedir(d);
	return found;
}

static void
enter(struct walk *w, int dir, const char *name, const char *key)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);

	if (fd < 0) {
		if (errno != ENOENT)
			file_failed(w->j, "list it");
		return;
	}
	char *folder = xasprintf("%s/", key);
	if (w->j->folders) {
		if (holds_file(fd, w->depth))
			add(w->j, folder + w->skip, NULL);
	} else if (w->depth < DEPTH_MAX) {
		w->depth++;
		walk(w, fd, folder);
		w->depth--;
	} else {
		rk_close(&fd);
	}
	free(folder);
}

/* Takes fd.  key: "" at the top, else it ends in a slash. */
static void
walk(struct walk *w, int fd, const char *key)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (d == NULL) {
		file_failed(w->j, "list it");
		rk_close(&fd);
		return;
	}
	while (w->j->end == REMOTE_OK && !atomic_load(&w->j->stop) &&
	    (e = readdir(d)) != NULL) {
		if (is_ours(e->d_name) || (key[0] == '\0' &&
		    strncmp(e->d_name, w->begins, w->skip) != 0) ||
		    fstatat(dirfd(d), e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		char *full = xasprintf("%s%s", key, e->d_name);
		if (S_ISDIR(st.st_mode))
			enter(w, dirfd(d), e->d_name, full);
		else if (S_ISREG(st.st_mode))
			add(w->j, full + w->skip, &st);
		free(full);
	}
	closedir(d);
}

static int
by_key(const void *a, const void *b)
{
	const struct file_entry *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void
list_work(struct file_job *j)
{
	char *dir = xstrdup(j->path), *slash = strrchr(dir, '/');
	struct walk w = { .j = j };
	char *begins;
	int fd;

	must(slash != NULL);
	begins = xstrdup(slash + 1);
	*slash = '\0';
	w.begins = begins;
	w.skip = strlen(begins);
	fd = open(slash == dir ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		walk(&w, fd, "");
	else if (errno != ENOENT && errno != ENOTDIR)
		file_failed(j, "list it");
	if (j->list.n > 0)
		qsort(j->list.v, j->list.n, sizeof(*j->list.v), by_key);
	free(begins);
	free(dir);
}

static void
list_done(struct file_job *j)
{
	struct remote_entry *v = xcalloc(j->list.n + 1, sizeof(*v));

	for (size_t i = 0; i < j->list.n; i++) {
		const struct file_entry *e = &j->list.v[i];
		v[i] = (struct remote_entry){ e->key, e->size, e->at_ms,
		    e->etag };
	}
	if (j->list.n > 0 && !j->each(j->op->ctx, v, j->list.n))
		file_said(j, REMOTE_CANCELLED, "%s", "");
	free(v);
	file_next(j, NULL, NULL);
}

void
file_list(struct remote_op *op, bool folders, remote_entry_fn *each)
{
	struct file_job *j = file_job(op, list_work, list_done);

	j->folders = folders;
	j->each = each;
	file_start(j);
}
