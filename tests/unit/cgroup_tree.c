/* Limits and counts, read from trees that are made here as kernels make them. */
#include <sys/stat.h>

#include "impl.h"
#include "t.h"

static void
put(const char *path, const char *text)
{
	char buf[1024];

	snprintf(buf, sizeof(buf), "tree%s", path);
	for (char *p = buf; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(buf, 0755);
		*p = '/';
	}
	FILE *f = fopen(buf, "w");
	t_check(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

#define V2_MOUNT "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 master:9 - " \
	"cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNTS \
	"30 23 0:27 / /sys rw - sysfs sysfs rw\n" \
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup " \
	    "rw,cpu,cpuacct\n" \
	"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" \
	"36 31 0:33 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" \
	"40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup " \
	    "rw,name=systemd\n" \
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

/* What is known of the tree: memory, where, thousandths of a processor, kills. */
static void
is(uint64_t memory, const char *where, int64_t milli, int64_t kills)
{
	struct cgroup *c = cgroup_open("tree");
	char *at = NULL;

	t_eq_int(cgroup_memory(c, &at), memory);
	t_eq_str(at, where);
	t_eq_int(cgroup_memory(c, NULL), memory);
	t_eq_int(cgroup_millicpus(c), milli);
	t_eq_int(cgroup_oom_kills(c), kills);
	free(at);
	cgroup_close(&c);
	t_check(c == NULL);
}

static void
v2_service(void)
{
	put("/proc/self/cgroup", "0::/system.slice/rekindled.service\n");
	put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	    V2_MOUNT);
	put("/sys/fs/cgroup/system.slice/rekindled.service/memory.max",
	    "536870912\n");
	put("/sys/fs/cgroup/system.slice/rekindled.service/cpu.max",
	    "150000 100000\n");
	put("/sys/fs/cgroup/system.slice/rekindled.service/memory.events",
	    "low 0\nhigh 3\nmax 17\noom 2\noom_kill 2\noom_group_kill 0\n");
	put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
	put("/sys/fs/cgroup/system.slice/cpu.max", "max 100000\n");
}

T_CASE(the_limits_of_a_service_are_those_of_its_own_group)
{
	v2_service();
	is(536870912, "/system.slice/rekindled.service", 1500, 2);
}

T_CASE(a_group_above_that_allows_less_counts)
{
	v2_service();
	put("/sys/fs/cgroup/system.slice/memory.max", "268435456\n");
	put("/sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n");
	is(268435456, "/system.slice", 500, 2);
	/* Of a container's root there are such files, too. */
	put("/sys/fs/cgroup/memory.max", "104857600\n");
	put("/sys/fs/cgroup/cpu.max", "10000 100000\n");
	is(104857600, "/", 100, 2);
}

T_CASE(the_root_groups_limit_is_not_taken_for_that_of_another_group)
{
	v2_service();
	put("/sys/fs/cgroup/system.slice/other.service/memory.max", "4096\n");
	put("/sys/fs/cgroup/system.slice/rekindled.service/sub/memory.max",
	    "4096\n");
	is(536870912, "/system.slice/rekindled.service", 1500, 2);
}

T_CASE(version_1_has_a_path_for_each_controller)
{
	put("/proc/self/cgroup", "9:name=systemd:/user.slice\n"
	    "4:memory:/pool/train\n3:cpuset:/\n2:cpu,cpuacct:/half\n0::/\n");
	put("/proc/self/mountinfo", V1_MOUNTS);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes",
	    "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/pool/memory.limit_in_bytes", "700000000\n");
	put("/sys/fs/cgroup/memory/pool/train/memory.limit_in_bytes",
	    "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/pool/train/memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
	put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/half/cpu.cfs_quota_us", "50000\n");
	put("/sys/fs/cgroup/cpu,cpuacct/half/cpu.cfs_period_us", "100000\n");
	is(700000000, "/pool", 500, 5);
}

T_CASE(in_a_hybrid_each_controller_is_where_it_is)
{
	/* cpu on version 2, memory on version 1. */
	put("/proc/self/cgroup", "4:memory:/m\n0::/u\n");
	put("/proc/self/mountinfo", V1_MOUNTS);
	put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "1000000\n");
	put("/sys/fs/cgroup/memory/m/memory.oom_control", "oom_kill 1\n");
	put("/sys/fs/cgroup/unified/u/cpu.max", "200000 100000\n");
	is(1000000, "/m", 2000, 1);
}

T_CASE(in_a_namespace_the_own_group_is_the_root)
{
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/memory.max", "2000000\n");
	put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	put("/sys/fs/cgroup/memory.events", "oom 0\noom_kill 0\n");
	is(2000000, "/", 3000, 0);
}

T_CASE(a_mount_of_a_part_shows_what_is_below_that_part)
{
	put("/proc/self/cgroup", "0::/docker/abc/inner\n");
	put("/proc/self/mountinfo", "31 23 0:28 /docker/abc /sys/fs/cgroup rw "
	    "- cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/memory.max", "3000000\n");
	put("/sys/fs/cgroup/inner/memory.max", "max\n");
	is(3000000, "/", 0, -1);
	/* Not one whose name only begins alike. */
	put("/proc/self/cgroup", "0::/docker/abcdef\n");
	is(0, "", 0, -1);
}

T_CASE(a_group_outside_of_the_namespace_or_the_mount_has_no_limit_here)
{
	v2_service();
	put("/sys/fs/cgroup/memory.max", "4096\n");
	put("/proc/self/cgroup", "0::/../other\n");
	is(0, "", 0, -1);
	put("/proc/self/cgroup", "0::/a/../b\n");
	is(0, "", 0, -1);
	put("/proc/self/cgroup", "0::/system.slice/rekindled.service\n");
	put("/proc/self/mountinfo", "31 23 0:28 /../.. /sys/fs/cgroup rw - "
	    "cgroup2 cgroup2 rw\n");
	is(0, "", 0, -1);
	/* Nothing is mounted. */
	put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
	is(0, "", 0, -1);
}

T_CASE(a_mount_point_with_a_blank_in_its_name_is_found)
{
	put("/proc/self/cgroup", "0::/x\n");
	put("/proc/self/mountinfo", "31 23 0:28 / /my\\040groups rw - cgroup2 "
	    "none rw\n");
	put("/my groups/x/memory.max", "5000000\n");
	is(5000000, "/x", 0, -1);
}

T_CASE(garbage_says_nothing)
{
	static const char *const bad[] = { "", "\n", "-1\n", "max\n", "0\n",
	    "12x\n", "1 2\n", "99999999999999999999999\n",
	    "9223372036854771712\n", "0x10\n", " 5\n" };

	v2_service();
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		put("/sys/fs/cgroup/system.slice/rekindled.service/memory.max",
		    bad[i]);
		put("/sys/fs/cgroup/system.slice/rekindled.service/cpu.max",
		    bad[i]);
		put("/sys/fs/cgroup/system.slice/rekindled.service/"
		    "memory.events", bad[i]);
		is(0, "", i == 6 ? 500 : 0, -1);
	}
	put("/sys/fs/cgroup/system.slice/rekindled.service/cpu.max",
	    "100000 0\n");
	put("/sys/fs/cgroup/system.slice/rekindled.service/memory.events",
	    "oom_kill x\nxoom_kill 3\noom_kill_2 3\n");
	is(0, "", 0, -1);
	put("/proc/self/cgroup", "0:/a\n0\n:::\n\n0::relative\n4:memory\n");
	put("/proc/self/mountinfo", "- - -\n1 2 3 4\n31 23 0:28 / /x rw -\n"
	    "31 23 0:28 / /x rw - cgroup2\n\n   \n");
	is(0, "", 0, -1);
	(void)!system("rm -r tree/proc");
	is(0, "", 0, -1);
}

T_CASE(without_a_count_of_the_group_the_machines_counts)
{
	v2_service();
	put("/proc/vmstat", "nr_free_pages 1\noom_kill 8\n");
	is(536870912, "/system.slice/rekindled.service", 1500, 2);
	(void)!unlink("tree/sys/fs/cgroup/system.slice/rekindled.service/"
	    "memory.events");
	is(536870912, "/system.slice/rekindled.service", 1500, 8);
}

T_CASE(threads_are_whole_processors_and_one_at_least)
{
	static const struct {
		const char *max;
		int64_t cores, threads;
	} of[] = {
		{ "max 100000\n", 16, 16 }, { "150000 100000\n", 16, 1 },
		{ "200000 100000\n", 16, 2 }, { "399999 100000\n", 16, 3 },
		{ "1000 100000\n", 16, 1 }, { "1 1000000\n", 16, 1 },
		{ "3200000 100000\n", 16, 16 }, { "200000 100000\n", 1, 1 },
	};

	v2_service();
	for (size_t i = 0; i < RK_ARRAY_LEN(of); i++) {
		put("/sys/fs/cgroup/system.slice/rekindled.service/cpu.max",
		    of[i].max);
		struct cgroup *c = cgroup_open("tree");
		t_eq_int(cgroup_threads(c, of[i].cores), of[i].threads);
		cgroup_close(&c);
	}
}

T_CASE(this_machine_can_be_asked)
{
	struct cgroup *c = cgroup_open("");

	t_check(cgroup_millicpus(c) >= 0);
	t_check(cgroup_threads(c, 4) >= 1 && cgroup_threads(c, 4) <= 4);
	t_check(cgroup_oom_kills(c) >= -1);
	(void)cgroup_memory(c, NULL);
	cgroup_close(&c);
}

T_MAIN
