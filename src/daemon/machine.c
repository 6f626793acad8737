/* What depends on the machine: its cores, its memory, where the trainer is. */
#include "impl.h"

#include <limits.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/cgroup.h"

#define TRAINER "rekindle-train"

/* What we may use, which taskset, a cpuset or a CPUQuota= may have made
 * less. */
static int64_t
threads(const struct cgroup *c)
{
	int64_t cores = RK_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = CPU_COUNT(&set);
	return cgroup_threads(c, cores);
}

/* The machine's memory, or what our control group may have of it. */
static uint64_t
memory(const struct cgroup *c)
{
	uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) *
	    (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t max = cgroup_memory(c, NULL);

	return max > 0 && max < all ? max : all;
}

/* Where nobody has said how much of the machine is for jobs. */
static void
measure(struct config *c)
{
	struct cgroup *g = cgroup_open("");

	if (c->threads == 0)
		c->threads = threads(g);
	if (c->memory == 0)
		c->memory = memory(g) / 10 * 8;
	cgroup_close(&g);
}

static char *
absolute(char *path)
{
	char cwd[PATH_MAX], *full;

	if (path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return path;
	full = xasprintf("%s/%s", cwd, path);
	free(path);
	return full;
}

enum rk_err
config_settle(struct config *c, struct rk_why *why)
{
	c->state_dir = absolute(c->state_dir);
	if (c->socket == NULL)
		c->socket = xasprintf("%s/rekindled.sock", c->state_dir);
	else if (strcmp(c->socket, "none") != 0)
		c->socket = absolute(c->socket);
	measure(c);
	if (c->trainer == NULL)
		c->trainer = rk_program_find(TRAINER);
	else
		c->trainer = absolute(c->trainer);
	if (c->trainer == NULL)
		return rk_refuse_at(why, "trainer", "there is no "
		    TRAINER " beside rekindled, in ../libexec/rekindle or in "
		    "PATH; name it with --trainer");
	if (!rk_program_ok(c->trainer))
		return rk_refuse_at(why, "trainer", "%s is no program that we "
		    "may run", c->trainer);
	return RK_OK;
}
