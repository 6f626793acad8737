/* Does a path lie in a folder, symlinks and all? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rekindle/base.h"

static bool
has_dots(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2) {
		if ((p == path || p[-1] == '/') &&
		    (p[2] == '/' || p[2] == '\0'))
			return true;
	}
	return false;
}

/* Without the slashes at its end; the caller frees. */
static char *
trimmed(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return xstrndup(path, n);
}

/* Where it is, or would be once it is made; NULL: it cannot be told.  A symlink
 * that leads to nothing could be made to lead anywhere. */
static char *
followed(const char *path)
{
	char *at = trimmed(path), *real, *slash, *whole = NULL;
	size_t kept = strlen(at);
	struct stat st;

	while ((real = realpath(at, NULL)) == NULL && errno == ENOENT &&
	    lstat(at, &st) != 0 && errno == ENOENT &&
	    (slash = strrchr(at, '/')) != NULL && at[1] != '\0')
		slash[slash == at] = '\0';
	if (real != NULL) {
		const char *rest = path + strlen(at);
		while (*rest == '/')
			rest++;
		const size_t n = kept - RK_MIN(kept, (size_t)(rest - path));
		whole = n == 0 ? xstrdup(real) : xasprintf("%s/%.*s",
		    strcmp(real, "/") == 0 ? "" : real, (int)n, rest);
	}
	free(real);
	free(at);
	return whole;
}

static bool
is_below(const char *real, const char *folder)
{
	char *f = followed(folder);
	const size_t n = f != NULL ? strlen(f) : 0;
	const bool yes = f != NULL && (strcmp(f, "/") == 0 ||
	    (strncmp(real, f, n) == 0 && (real[n] == '/' || real[n] == '\0')));

	free(f);
	return yes;
}

static bool
within(const char *path, const char *const *folders, size_t n)
{
	char *real = followed(path);
	bool yes = false;

	for (size_t i = 0; real != NULL && i < n && !yes; i++)
		yes = is_below(real, folders[i]);
	free(real);
	return yes;
}

bool
rk_path_within(const char *path, const char *const *folders, size_t n)
{
	struct stat st;

	if (path[0] != '/' || has_dots(path) || !within(path, folders, n))
		return false;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return true;
	char *at = trimmed(path), *slash = strrchr(at, '/');
	slash[slash == at] = '\0';
	/* What is to be made may be one of the folders itself. */
	const bool yes = within(at, folders, n) || lstat(path, &st) != 0;
	free(at);
	return yes;
}
