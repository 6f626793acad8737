/* Directories made to stay, and trees removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/base_folders.h"

/* The entry of path in its parent is on disk after this. */
static int
sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent;

	if (slash == NULL)
		parent = xstrdup(".");
	else if (slash == path)
		parent = xstrdup("/");
	else
		parent = xstrndup(path, (size_t)(slash - path));
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	if (fd < 0)
		return -1;
	int rc = rk_fsync_dir(fd);
	rk_close(&fd);
	return rc;
}

static int
make_one(const char *path, unsigned mode)
{
	struct stat st;

	if (mkdir(path, (mode_t)mode) == 0)
		return sync_parent(path);
	if (errno != EEXIST)
		return -1;
	if (stat(path, &st) != 0)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	return 0;
}

int
rk_make_folders(const char *path, unsigned mode, char **which)
{
	char *p = xstrdup(path);
	size_t n = strlen(p);
	int e = n > 0 ? 0 : ENOENT;

	*which = NULL;
	while (n > 1 && p[n - 1] == '/')
		p[--n] = '\0';
	for (size_t i = 1; i <= n && e == 0; i++) {
		if (i < n && p[i] != '/')
			continue;
		if (p[i - 1] == '/' && i < n)
			continue;
		p[i] = '\0';
		if (make_one(p, mode) != 0) {
			e = errno;
			*which = xstrdup(p);
		}
		if (i < n)
			p[i] = '/';
	}
	free(p);
	return e;
}

enum rk_err
rk_mkdirs(const char *path, unsigned mode)
{
	char *which;
	const int e = rk_make_folders(path, mode, &which);

	if (which != NULL) {
		errno = e;
		log_errno("cannot make directory %s", which);
	}
	free(which);
	errno = e;
	return e == 0 ? RK_OK : rk_from_errno(e);
}

static bool
is_dots(const char *s)
{
	return strcmp(s, ".") == 0 || strcmp(s, "..") == 0;
}

static int remove_at(int dirfd, const char *name);

/* Remove all that is in the directory fd, and close it. */
static int
empty_dir(int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (d == NULL) {
		rk_close(&fd);
		return -1;
	}
	while (rc == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (!is_dots(e->d_name))
			rc = remove_at(dirfd(d), e->d_name);
	}
	if (rc == 0 && errno != 0)
		rc = -1;
	int saved = errno;
	closedir(d);
	errno = saved;
	return rc;
}

static int
remove_at(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	int saved = errno;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (fd < 0) {
		/* Not a directory: then what unlink said is the reason. */
		if (errno == ENOTDIR || errno == ELOOP)
			errno = saved;
		return errno == ENOENT ? 0 : -1;
	}
	if (empty_dir(fd) != 0)
		return -1;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return -1;
	return 0;
}

enum rk_err
rk_remove_tree(int dirfd, const char *name)
{
	must(name[0] != '\0');
	if (remove_at(dirfd, name) == 0)
		return RK_OK;
	log_errno("cannot remove %s", name);
	return rk_from_errno(errno);
}
