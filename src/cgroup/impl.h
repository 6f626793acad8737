/*
 * Control groups from inside.
 *
 *	find.c   from two files of /proc to folders
 *	value.c  what the files in a folder say
 *	cgroup.c limits over a folder and those above it
 */
#ifndef CGROUP_IMPL_H
#define CGROUP_IMPL_H

#include "rekindle/cgroup.h"

#define GROUPS_MAX 16           /* mounts that show a group of ours */
#define GROUP_PATH 4096

enum controller { MEMORY = 1, CPU = 2 };

/* A group of ours as one mount shows it. */
struct group {
	char *dir;              /* "/sys/fs/cgroup/system.slice/x.service" */
	size_t top;             /* bytes of dir that are the mount itself */
	bool v2;
	unsigned has;           /* of enum controller; version 2: both */
};

struct cgroup {
	char *root;
	struct group v[GROUPS_MAX];
	size_t n;
};

/* --- find.c --------------------------------------------------------------- */

/* From the texts of /proc/self/cgroup and /proc/self/mountinfo into c, whose
 * root is set. */
void find_groups(struct cgroup *c, const char *own, const char *mounts);

/* --- value.c: the text of a file; false: it says nothing ------------------ */

/* A limit in bytes.  False for "max" too, and for version 1's huge one. */
bool value_bytes(const char *text, uint64_t *v);
/* cpu.max: quota and period, or "max" and period; thousandths. */
bool value_cpu_max(const char *text, int64_t *millicpus);
/* cpu.cfs_quota_us and cpu.cfs_period_us. */
bool value_cfs(const char *quota, const char *period, int64_t *millicpus);
/* The number behind a key at the beginning of a line. */
bool value_count(const char *text, const char *key, int64_t *n);

#endif
