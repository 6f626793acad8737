/* Which route a method and a path mean. */
#include "impl.h"

#include <string.h>

/*
 * Does path fit the template?  The parts that stand for a name in braces are
 * copied to args; one that is empty or too long fits nothing.
 */
static bool
path_fits(const char *tmpl, const char *path,
    char args[ROUTE_ARGS][ROUTE_ARG_MAX])
{
	int n = 0;

	for (;;) {
		if (*tmpl == '{') {
			size_t len = strcspn(path, "/");
			if (len == 0 || len >= ROUTE_ARG_MAX)
				return false;
			must(n < ROUTE_ARGS);
			memcpy(args[n], path, len);
			args[n++][len] = '\0';
			path += len;
			tmpl += strcspn(tmpl, "}") + 1;
		}
		if (*tmpl != *path)
			return false;
		if (*tmpl == '\0')
			return true;
		tmpl++;
		path++;
	}
}

static void
allow_add(char **allow, const char *method)
{
	char *old = *allow;

	if (old == NULL)
		*allow = xasprintf("%s%s", method,
		    strcmp(method, "GET") == 0 ? ", HEAD" : "");
	else
		*allow = xasprintf("%s, %s%s", old, method,
		    strcmp(method, "GET") == 0 ? ", HEAD" : "");
	free(old);
}

const struct route *
route_find(const char *method, const char *path,
    char args[ROUTE_ARGS][ROUTE_ARG_MAX], char **allow)
{
	*allow = NULL;
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (size_t i = 0; i < nroutes; i++) {
		if (!path_fits(routes[i].path, path, args))
			continue;
		if (strcmp(routes[i].method, method) == 0) {
			free(*allow);
			*allow = NULL;
			return &routes[i];
		}
		allow_add(allow, routes[i].method);
	}
	return NULL;
}
