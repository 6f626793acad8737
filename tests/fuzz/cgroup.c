/* module: cgroup */
/*
 * Any bytes as /proc/self/cgroup and, behind the first NUL, as mountinfo; and as
 * the files of a group: folders below the root, numbers in their ranges.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/cgroup/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
values(const char *text)
{
	int64_t milli, count;
	uint64_t bytes;

	if (value_bytes(text, &bytes))
		must(bytes > 0 && bytes < UINT64_C(1) << 62);
	if (value_cpu_max(text, &milli))
		must(milli > 0);
	if (value_cfs(text, text, &milli))
		must(milli == 1000);
	if (value_count(text, "oom_kill", &count))
		must(count >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct cgroup c = { .root = xstrdup("/nowhere") };
	char *own = xmalloc(n + 2), *mounts;
	size_t len;

	if (n > 0)
		memcpy(own, bytes, n);
	own[n] = own[n + 1] = '\0';
	len = strlen(own);
	mounts = len < n ? own + len + 1 : own + len;
	find_groups(&c, own, mounts);
	must(c.n <= GROUPS_MAX);
	for (size_t i = 0; i < c.n; i++) {
		const struct group *g = &c.v[i];
		must(g->top <= strlen(g->dir) && g->has != 0);
		must(strncmp(g->dir, "/nowhere/", 9) == 0);
		must(strstr(g->dir + g->top, "/../") == NULL);
		free(g->dir);
	}
	values(own);
	values(mounts);
	free(c.root);
	free(own);
	return 0;
}
