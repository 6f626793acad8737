/* Limits: of our group, and of each above it as far as the mount shows them. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PROC_MAX  (4u << 20)    /* mountinfo of a host with many containers */
#define VALUE_MAX 16384         /* /proc/vmstat is the longest */

static char *
read_text(const char *path, size_t max)
{
	char *text = NULL;
	size_t len;

	if (rk_read_file(AT_FDCWD, path, max, &text, &len) != RK_OK)
		return NULL;
	return text;
}

struct cgroup *
cgroup_open(const char *root)
{
	struct cgroup *c = xcalloc(1, sizeof(*c));
	char *own, *mounts, *path;

	c->root = xstrdup(root);
	path = xasprintf("%s/proc/self/cgroup", root);
	own = read_text(path, PROC_MAX);
	free(path);
	path = xasprintf("%s/proc/self/mountinfo", root);
	mounts = read_text(path, PROC_MAX);
	free(path);
	if (own != NULL && mounts != NULL)
		find_groups(c, own, mounts);
	free(own);
	free(mounts);
	return c;
}

void
cgroup_close(struct cgroup **cp)
{
	struct cgroup *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++)
		free(c->v[i].dir);
	free(c->root);
	free(c);
	*cp = NULL;
}

/* A file of the group whose folder are the first n bytes of g->dir; NULL if
 * there is none.  The caller frees. */
static char *
value(const struct group *g, size_t n, const char *name)
{
	char *path = xasprintf("%.*s/%s", (int)n, g->dir, name);
	char *text = read_text(path, VALUE_MAX);

	free(path);
	return text;
}

/* From a group to the one above it; false: this is the mount's own. */
static bool
up(const struct group *g, size_t *n)
{
	if (*n <= g->top)
		return false;
	while (*n > g->top && g->dir[*n - 1] != '/')
		--*n;
	*n = *n > g->top ? *n - 1 : g->top;
	return true;
}

uint64_t
cgroup_memory(const struct cgroup *c, char **where)
{
	const struct group *at = NULL;
	uint64_t least = 0, v;
	size_t at_n = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct group *g = &c->v[i];
		size_t n = strlen(g->dir);
		if (!(g->has & MEMORY))
			continue;
		do {
			char *text = value(g, n, g->v2 ? "memory.max" :
			    "memory.limit_in_bytes");
			if (text != NULL && value_bytes(text, &v) &&
			    (least == 0 || v < least)) {
				least = v;
				at = g;
				at_n = n;
			}
			free(text);
		} while (up(g, &n));
	}
	if (where != NULL)
		*where = at == NULL ? xstrdup("") : at_n == at->top ?
		    xstrdup("/") : xstrndup(at->dir + at->top, at_n - at->top);
	return least;
}

static bool
cpus_of(const struct group *g, size_t n, int64_t *millicpus)
{
	char *quota = value(g, n, g->v2 ? "cpu.max" : "cpu.cfs_quota_us");
	char *period = g->v2 ? NULL : value(g, n, "cpu.cfs_period_us");
	bool ok = quota != NULL && (g->v2 ? value_cpu_max(quota, millicpus) :
	    period != NULL && value_cfs(quota, period, millicpus));

	free(quota);
	free(period);
	return ok;
}

int64_t
cgroup_millicpus(const struct cgroup *c)
{
	int64_t least = 0, v;

	for (size_t i = 0; i < c->n; i++) {
		const struct group *g = &c->v[i];
		size_t n = strlen(g->dir);
		if (!(g->has & CPU))
			continue;
		do {
			if (cpus_of(g, n, &v) && (least == 0 || v < least))
				least = v;
		} while (up(g, &n));
	}
	return least;
}

int64_t
cgroup_threads(const struct cgroup *c, int64_t max)
{
	int64_t milli = cgroup_millicpus(c);

	if (milli == 0 || milli / 1000 >= max)
		return max;
	return RK_MAX(milli / 1000, 1);
}

static bool
count_in(char *text, int64_t *n)
{
	bool ok = text != NULL && value_count(text, "oom_kill", n);

	free(text);
	return ok;
}

int64_t
cgroup_oom_kills(const struct cgroup *c)
{
	int64_t n;

	for (size_t i = 0; i < c->n; i++) {
		const struct group *g = &c->v[i];
		if ((g->has & MEMORY) && count_in(value(g, strlen(g->dir),
		    g->v2 ? "memory.events" : "memory.oom_control"), &n))
			return n;
	}
	char *path = xasprintf("%s/proc/vmstat", c->root);
	bool ok = count_in(read_text(path, VALUE_MAX), &n);
	free(path);
	return ok ? n : -1;
}
