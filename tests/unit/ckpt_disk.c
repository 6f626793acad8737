/* Disks that are full, read-only or shared with another writer. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_ckpt.h"

/* All that is below path, as text: what must not change. */
static char *
picture(struct ckpt *c)
{
	struct ckpt_info *v;
	struct strbuf b = {0};
	size_t n;

	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	for (size_t k = 0; k < n; k++) {
		t_eq_int(ckpt_verify(c, &v[k], NULL), RK_OK);
		sb_addf(&b, "%s %s", v[k].dir, v[k].digest);
		for (char **s = v[k].names; *s != NULL; s++)
			sb_addf(&b, " %s", *s);
		sb_addc(&b, '\n');
	}
	sb_addf(&b, "%d entries", entries("c"));
	ckpt_list_free(v, n);
	return sb_detach(&b);
}

/* A save of n tensors that must fail with rc and change nothing. */
static void
save_fails(struct ckpt *c, int64_t step, const struct tensor_set *m,
    enum rk_err rc)
{
	struct ckpt_info i = info_at(step);
	char *before = picture(c);

	t_eq_int(ckpt_save(c, &i, m, m, "wanted"), rc);
	t_eq_str(i.dir, "");
	t_eq_int(i.nfiles, 0);
	char *after = picture(c);
	t_eq_str(after, before);
	free(before);
	free(after);
	ckpt_info_fini(&i);
}

T_CASE(a_file_too_large_for_the_process_changes_nothing)
{
	struct ckpt *c = folder();
	struct tensor_set *big = tensors(3, 200);
	struct rlimit lim = { 20000, RLIM_INFINITY };

	saves(c, 1, 10);
	signal(SIGXFSZ, SIG_IGN);
	log_set_level(LOG_L_ERROR + 1);
	t_check(setrlimit(RLIMIT_FSIZE, &lim) == 0);
	save_fails(c, 20, big, RK_ENOSPC);
	lim.rlim_cur = RLIM_INFINITY;
	t_check(setrlimit(RLIMIT_FSIZE, &lim) == 0);
	saves(c, 1, 20);
	tensor_set_free(big);
	ckpt_close(&c);
}

static void
put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	t_check(fd >= 0);
	t_check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Mounts of our own, gone when this process is; without root by a name space
 * of users, in which we are root. */
static void
own_mounts(void)
{
	char *uid = xasprintf("0 %u 1", (unsigned)geteuid());
	char *gid = xasprintf("0 %u 1", (unsigned)getegid());
	bool root = geteuid() == 0;

	if (unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) != 0)
		t_skip("cannot have mounts of my own here");
	if (!root) {
		put_text("/proc/self/setgroups", "deny");
		put_text("/proc/self/uid_map", uid);
		put_text("/proc/self/gid_map", gid);
	}
	/* In a chroot / is no mount; what we mounted would be seen outside. */
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		t_skip("cannot keep mounts to myself here");
	free(uid);
	free(gid);
}

/* A small file system on "c". */
static void
mount_small(const char *options)
{
	own_mounts();
	t_check(mkdir("c", 0755) == 0);
	if (mount("small", "c", "tmpfs", 0, options) != 0)
		t_skip("cannot mount a tmpfs here");
}

static void
fill_up(const char *path)
{
	char block[4096] = "";
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	t_check(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		continue;
	t_eq_int(errno, ENOSPC);
	close(fd);
}

T_CASE(a_full_disk_changes_nothing_and_room_makes_it_good)
{
	struct ckpt *c;
	struct tensor_set *m = tensors(20, 30);
	int64_t turns = 0;

	mount_small("size=256k");
	t_eq_int(ckpt_open(&c, "c", true), RK_OK);
	saves(c, 1, 10);
	log_set_level(LOG_L_ERROR + 1);
	fill_up("c/other");
	save_fails(c, 20, m, RK_ENOSPC);
	/* Every amount of room that is not enough, page by page. */
	off_t size = 400 << 10;
	for (struct ckpt_info i = info_at(20);; turns++) {
		size -= 4096;
		t_check(truncate("c/other", size) == 0 || turns < 100);
		int rc = ckpt_save(c, &i, m, m, "wanted");
		if (rc == RK_OK) {
			ckpt_info_fini(&i);
			break;
		}
		t_eq_int(rc, RK_ENOSPC);
		t_eq_int(count(c), 1);
		t_eq_int(entries("c"), 3);
	}
	t_check(turns > 2);
	selects(c, "wanted", "step-000000020");
	tensor_set_free(m);
	ckpt_close(&c);
}

T_CASE(a_disk_without_inodes_changes_nothing)
{
	struct ckpt *c;
	struct tensor_set *m = tensors(20, 2);
	char name[32];
	int n = 0, fd;

	mount_small("size=1m,nr_inodes=20");
	t_eq_int(ckpt_open(&c, "c", true), RK_OK);
	saves(c, 1, 10);
	log_set_level(LOG_L_ERROR + 1);
	for (;; n++) {
		snprintf(name, sizeof(name), "c/f%d", n);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0)
			break;
		close(fd);
	}
	t_eq_int(errno, ENOSPC);
	/* A checkpoint with a name needs five: the folder, three files, the
	 * symlink. */
	for (int k = 0; k < 5; k++) {
		save_fails(c, 20, m, RK_ENOSPC);
		snprintf(name, sizeof(name), "c/f%d", --n);
		t_check(unlink(name) == 0);
	}
	struct ckpt_info i = info_at(20);
	t_eq_int(ckpt_save(c, &i, m, m, "wanted"), RK_OK);
	ckpt_info_fini(&i);
	tensor_set_free(m);
	ckpt_close(&c);
}

T_CASE(a_read_only_folder_can_be_read_and_nothing_else)
{
	struct ckpt *c = folder();
	struct ckpt_info i;
	struct tensor_set *m = tensors(20, 2), *rm, *ro;
	int deleted;

	own_mounts();
	saves(c, 2, 5, 10);
	ckpt_close(&c);
	if (mount("c", "c", NULL, MS_BIND, NULL) != 0 ||
	    mount(NULL, "c", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
		t_skip("cannot mount read-only here");
	log_set_level(LOG_L_ERROR + 1);
	t_eq_int(ckpt_open(&c, "c", true), RK_EROFS);
	t_check(c == NULL);
	t_eq_int(ckpt_open(&c, "c", false), RK_OK);
	save_fails(c, 20, m, RK_EROFS);
	t_eq_int(ckpt_name(c, "step-000000010", "x"), RK_EROFS);
	t_eq_int(ckpt_delete(c, "step-000000005"), RK_EROFS);
	t_eq_int(ckpt_retain(c, 1, 0, NULL, true, &deleted), RK_EROFS);
	t_eq_int(deleted, 0);
	t_eq_int(ckpt_load(c, "latest", NULL, true, &i, &rm, &ro, NULL, NULL,
	    NULL), RK_OK);
	tensor_set_free(rm);
	tensor_set_free(ro);
	tensor_set_free(m);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(a_second_writer_waits_for_the_first)
{
	struct ckpt *c = folder(), *d;
	int64_t t0 = mono_ms();

	log_set_level(LOG_L_ERROR + 1);
	pid_t pid = fork();
	if (pid == 0) {
		usleep(200000);
		_exit(0);               /* and with it goes its lock */
	}
	ckpt_close(&c);                 /* ours alone would free it */
	t_eq_int(ckpt_open(&d, "c", true), RK_OK);
	t_check(mono_ms() - t0 >= 150);
	/* A reader need not wait. */
	t_eq_int(ckpt_open(&c, "c", false), RK_OK);
	ckpt_close(&c);
	ckpt_close(&d);
	waitpid(pid, NULL, 0);
}

T_CASE(a_folder_that_cannot_be_is_refused)
{
	struct ckpt *c;

	log_set_level(LOG_L_ERROR + 1);
	write_file("file", "");
	t_check(ckpt_open(&c, "file", false) != RK_OK);
	t_check(c == NULL);
	t_check(ckpt_open(&c, "file/below", true) != RK_OK);
}

T_MAIN
