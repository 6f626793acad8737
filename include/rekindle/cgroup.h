/*
 * cgroup - what the kernel lets this process have: the limits of its control
 * group and of all groups above it, and how often it killed one of the group
 * for memory.
 *
 * Version 2 (memory.max, cpu.max, memory.events), version 1 (memory.
 * limit_in_bytes, cpu.cfs_quota_us, memory.oom_control), and both at once, each
 * controller where it is.  /proc/self/cgroup names the groups and
 * /proc/self/mountinfo where their files are; a group that is not to be seen
 * from here (outside a namespace, or not mounted) has no limit for us.  A file
 * that is missing, or is not what the kernel writes, says nothing.
 *
 * One thread.
 */
#ifndef REKINDLE_CGROUP_H
#define REKINDLE_CGROUP_H

#include "rekindle/base.h"

struct cgroup;

/* Find the groups.  root: "" for this machine; tests have a tree of their own,
 * with proc/ and the mounts in it.  Never NULL: it may know of no group. */
struct cgroup *cgroup_open(const char *root);
void cgroup_close(struct cgroup **cp);

/* The smallest limit of memory, in bytes; 0: none.  *where (may be NULL): the
 * group that has it, as "/system.slice/rekindled.service"; the caller frees; ""
 * with 0. */
uint64_t cgroup_memory(const struct cgroup *c, char **where);

/* The smallest limit of processor time, in thousandths of a processor; 0:
 * none. */
int64_t cgroup_millicpus(const struct cgroup *c);

/* Whole threads that so much processor time is good for: rounded down, since
 * those that share a processor's rest are throttled together, and 1 at least.
 * max: what there is without a limit. */
int64_t cgroup_threads(const struct cgroup *c, int64_t max);

/* How many processes of our group the kernel has killed for memory since the
 * group was made; of the whole machine where the group has no count (the root
 * group of version 2).  -1: nobody counts. */
int64_t cgroup_oom_kills(const struct cgroup *c);

#endif
