/* Where a program of ours is. */
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/base.h"

bool
rk_program_ok(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    access(path, X_OK) == 0;
}

/* Takes path; returns it if it is a program, else frees it. */
static char *
if_program(char *path)
{
	if (rk_program_ok(path))
		return path;
	free(path);
	return NULL;
}

static char *
search_path(const char *name)
{
	const char *p = getenv("PATH");

	while (p != NULL && *p != '\0') {
		size_t n = strcspn(p, ":");
		char *found = n == 0 ? NULL : if_program(
		    xasprintf("%.*s/%s", (int)n, p, name));
		if (found != NULL)
			return found;
		p += n + (p[n] == ':');
	}
	return NULL;
}

char *
rk_program_find(const char *name)
{
	char self[PATH_MAX], *dir, *found;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		dir = dirname(self);
		found = if_program(xasprintf("%s/%s", dir, name));
		if (found == NULL)
			found = if_program(xasprintf(
			    "%s/../libexec/rekindle/%s", dir, name));
		if (found != NULL)
			return found;
	}
	return search_path(name);
}
