/* Files: whole or not at all, and nothing left behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "rekindle/base.h"
#include "t.h"
#include "u_calls.h"

static int
entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;
	t_check(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static void
file_is(const char *path, const char *want)
{
	char *s = NULL;
	size_t n = 0;
	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &s, &n), RK_OK);
	t_eq_str(s, want);
	t_eq_int(n, strlen(want));
	free(s);
}

T_CASE(a_file_is_replaced_whole_and_no_temporary_stays)
{
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "one", 3), RK_OK);
	file_is("f", "one");
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "", 0), RK_OK);
	file_is("f", "");
	t_eq_int(mkdir("d", 0755), 0);
	int d = open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t_eq_int(rk_replace_file(d, "g", "two", 3), RK_OK);
	file_is("d/g", "two");
	t_eq_int(entries("d"), 1);
	t_eq_int(entries("."), 2);
}

T_CASE(a_replacement_is_synced_before_its_name_and_its_folder_behind_that)
{
	calls_begin("calls");
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "one", 3), RK_OK);
	calls_are("wsrs");
	calls_always("rename * */f", "sync *", NULL);
}

T_CASE(a_write_that_is_cut_short_goes_on_where_it_was)
{
	calls_most = 3;
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "one two three", 13), RK_OK);
	file_is("f", "one two three");
}

T_CASE(a_failed_replacement_leaves_the_old_file_and_no_temporary)
{
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "old", 3), RK_OK);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit r = { 4, 4 };
	t_eq_int(setrlimit(RLIMIT_FSIZE, &r), 0);
	/* stderr may be a file that is longer than that by now */
	t_check(freopen("/dev/null", "w", stderr) != NULL);
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "longer", 6), RK_ELIMIT);
	file_is("f", "old");
	t_eq_int(entries("."), 1);
	t_eq_int(mkdir("dir", 0755), 0);
	t_check(rk_replace_file(AT_FDCWD, "dir", "x", 1) != RK_OK);
	t_eq_int(entries("."), 2);
	t_aborts((void)!rk_replace_file(AT_FDCWD, "a/b", "x", 1));
}

T_CASE(a_file_in_pieces_is_there_at_its_end_or_not_at_all)
{
	struct rk_replacing r;
	struct rk_why why = { 0 };

	t_eq_int(rk_replace_file(AT_FDCWD, "f", "old", 3), RK_OK);
	t_eq_int(rk_replacing_begin(&r, "f", RK_REPLACE_OLD, &why), RK_OK);
	t_eq_int(rk_write_all(r.fd, "ne", 2), 0);
	file_is("f", "old");
	t_eq_int(rk_write_all(r.fd, "w", 1), 0);
	t_eq_int(rk_replacing_end(&r, true, &why), RK_OK);
	file_is("f", "new");
	t_eq_int(rk_replacing_begin(&r, "./f", RK_REPLACE_OLD, &why), RK_OK);
	t_eq_int(rk_write_all(r.fd, "other", 5), 0);
	t_eq_int(rk_replacing_end(&r, false, &why), RK_OK);
	file_is("f", "new");
	t_eq_int(entries("."), 1);
	t_eq_int(rk_replacing_begin(&r, "no/f", RK_REPLACE_OLD, &why),
	    RK_ENOENT);
	t_has(rk_why_first(&why), "cannot write no/f: ");
	rk_why_fini(&why);
	t_eq_int(mkdir("dir", 0755), 0);
	t_eq_int(rk_replacing_begin(&r, "dir", RK_REPLACE_OLD, &why),
	    RK_EINVAL);
	rk_why_fini(&why);
}

T_CASE(what_is_to_stay_is_not_replaced_and_no_file_takes_a_device_s_place)
{
	static const enum rk_old both[] = { RK_REPLACE_OLD, RK_KEEP_OLD };
	struct rk_replacing r;
	struct rk_why why = { 0 };

	t_eq_int(rk_replace_file(AT_FDCWD, "f", "old", 3), RK_OK);
	t_eq_int(rk_replacing_begin(&r, "f", RK_KEEP_OLD, &why), RK_EEXIST);
	t_eq_str(rk_why_first(&why), "f is there already");
	rk_why_fini(&why);
	/* It comes while ours is written. */
	t_eq_int(rk_replacing_begin(&r, "g", RK_KEEP_OLD, &why), RK_OK);
	t_eq_int(rk_write_all(r.fd, "new", 3), 0);
	t_eq_int(rk_replace_file(AT_FDCWD, "g", "theirs", 6), RK_OK);
	t_eq_int(rk_replacing_end(&r, true, &why), RK_EEXIST);
	rk_why_fini(&why);
	file_is("g", "theirs");
	t_eq_int(rk_replacing_begin(&r, "h", RK_KEEP_OLD, &why), RK_OK);
	t_eq_int(rk_replacing_end(&r, true, &why), RK_OK);
	file_is("h", "");
	t_eq_int(entries("."), 3);

	t_eq_int(mkfifo("pipe", 0644), 0);
	t_eq_int(symlink("/dev/null", "link"), 0);
	for (int i = 0; i < 2; i++) {
		t_eq_int(rk_replacing_begin(&r, "pipe", both[i], &why),
		    RK_EINVAL);
		t_has(rk_why_first(&why), "it is a pipe");
		rk_why_fini(&why);
		t_eq_int(rk_replacing_begin(&r, "link", both[i], &why),
		    RK_EINVAL);
		t_has(rk_why_first(&why), "it is a device");
		rk_why_fini(&why);
	}
}

/* A file system of our own, so small that it can be filled. */
static void
small_tmpfs(const char *options)
{
	t_eq_int(mkdir("m", 0755), 0);
	if (geteuid() != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		t_skip("no user namespaces here");
	if (geteuid() == 0 && unshare(CLONE_NEWNS) != 0)
		t_skip("no mount namespaces here");
	/* In a chroot / is no mount; what we mounted would be seen outside. */
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		t_skip("cannot keep mounts to myself here");
	if (mount("tmpfs", "m", "tmpfs", 0, options) != 0)
		t_skip("tmpfs cannot be mounted here");
}

T_CASE(a_full_disk_is_told_from_other_trouble)
{
	small_tmpfs("size=64k");
	int d = open("m", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *big = xcalloc(1, 1 << 20);
	uint64_t free_bytes = 0;
	t_eq_int(rk_disk_free(d, &free_bytes), RK_OK);
	t_eq_int(free_bytes, 65536);
	t_eq_int(rk_replace_file(d, "f", "old", 3), RK_OK);
	t_eq_int(rk_replace_file(d, "f", big, 1 << 20), RK_ENOSPC);
	file_is("m/f", "old");
	t_eq_int(entries("m"), 1);
	free(big);
	t_eq_int(mount("tmpfs", "m", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
	t_eq_int(rk_replace_file(d, "f", "new", 3), RK_EROFS);
	t_eq_int(rk_mkdirs("m/x/y", 0755), RK_EROFS);
	t_eq_int(rk_mkdirs("m", 0755), RK_OK);
	t_eq_int(rk_remove_tree(d, "f"), RK_EROFS);
}

T_CASE(reading_stops_at_the_limit_and_takes_only_regular_files)
{
	char *s = NULL;
	size_t n = 0;
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "12345", 5), RK_OK);
	t_eq_int(rk_read_file(AT_FDCWD, "f", 4, &s, &n), RK_ELIMIT);
	t_eq_int(rk_read_file(AT_FDCWD, "f", 5, &s, &n), RK_OK);
	free(s);
	t_eq_int(rk_read_file(AT_FDCWD, "none", 5, &s, &n), RK_ENOENT);
	t_eq_int(rk_read_file(AT_FDCWD, "f/x", 5, &s, &n), RK_ENOENT);
	t_eq_int(rk_read_file(AT_FDCWD, ".", 5, &s, &n), RK_EINVAL);
	t_eq_int(rk_read_file(AT_FDCWD, "/dev/zero", 5, &s, &n), RK_EINVAL);
	t_eq_int(mkfifo("fifo", 0600), 0);
	t_eq_int(rk_read_file(AT_FDCWD, "fifo", 5, &s, &n), RK_EINVAL);
}

/* Files in /proc say that they are empty, and are not. */
T_CASE(a_file_longer_than_it_says_is_read_to_its_end)
{
	char *s = NULL;
	size_t n = 0;
	t_eq_int(rk_read_file(AT_FDCWD, "/proc/self/smaps", 16 << 20, &s, &n),
	    RK_OK);
	t_check(n > 4096 && strlen(s) == n);
	free(s);
	t_eq_int(rk_read_file(AT_FDCWD, "/proc/self/smaps", 100, &s, &n),
	    RK_ELIMIT);
}

T_CASE(directories_are_made_on_the_way)
{
	struct stat st;
	t_eq_int(rk_mkdirs("a//b/c/", 0700), RK_OK);
	t_check(stat("a/b/c", &st) == 0 && S_ISDIR(st.st_mode));
	t_eq_int(st.st_mode & 0777, 0700);
	t_eq_int(rk_mkdirs("a/b/c", 0700), RK_OK);
	t_eq_int(rk_mkdirs("/", 0700), RK_OK);
	t_eq_int(rk_mkdirs("./x/../y", 0700), RK_OK);
	char *cwd = get_current_dir_name();
	char *abs = xasprintf("%s/p/q", cwd);
	t_eq_int(rk_mkdirs(abs, 0700), RK_OK);
	t_check(access("p/q", F_OK) == 0 && access("y", F_OK) == 0);
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "", 0), RK_OK);
	t_eq_int(rk_mkdirs("f", 0700), RK_EEXIST);
	t_eq_int(rk_mkdirs("f/x", 0700), RK_EEXIST);
	t_check(rk_mkdirs("", 0700) != RK_OK);
	free(abs);
	free(cwd);
}

T_CASE(a_tree_is_removed_but_not_what_its_links_point_to)
{
	t_eq_int(rk_mkdirs("keep", 0700), RK_OK);
	t_eq_int(rk_replace_file(AT_FDCWD, "keep_me", "x", 1), RK_OK);
	t_eq_int(rk_mkdirs("t/a/b", 0700), RK_OK);
	for (int i = 0; i < 300; i++) {
		char *name = xasprintf("t/a/f%d", i);
		int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		t_check(fd >= 0);
		close(fd);
		free(name);
	}
	t_check(symlink("../keep", "t/link") == 0);
	t_check(symlink("../keep_me", "t/a/link") == 0);
	t_eq_int(rk_remove_tree(AT_FDCWD, "t"), RK_OK);
	t_check(access("t", F_OK) != 0);
	t_check(access("keep", F_OK) == 0 && access("keep_me", F_OK) == 0);
	t_eq_int(rk_remove_tree(AT_FDCWD, "t"), RK_OK);
	t_check(symlink("keep", "l") == 0);
	t_eq_int(rk_remove_tree(AT_FDCWD, "l"), RK_OK);
	t_check(access("keep", F_OK) == 0);
	t_eq_int(rk_remove_tree(AT_FDCWD, "keep_me"), RK_OK);
	t_eq_int(entries("."), 1);
}

T_CASE(descriptor_flags_are_set_and_cleared)
{
	int p[2];
	t_eq_int(pipe(p), 0);
	t_eq_int(rk_set_cloexec(p[0], true), 0);
	t_check(fcntl(p[0], F_GETFD) & FD_CLOEXEC);
	t_eq_int(rk_set_cloexec(p[0], false), 0);
	t_check(!(fcntl(p[0], F_GETFD) & FD_CLOEXEC));
	t_eq_int(rk_set_nonblock(p[0], true), 0);
	t_check(fcntl(p[0], F_GETFL) & O_NONBLOCK);
	t_eq_int(rk_set_nonblock(p[0], false), 0);
	t_check(!(fcntl(p[0], F_GETFL) & O_NONBLOCK));
	rk_close(&p[0]);
	t_eq_int(p[0], -1);
	rk_close(&p[0]);
	t_eq_int(rk_set_nonblock(-1, true), -1);
}

T_CASE(errnos_become_our_errors)
{
	t_eq_int(rk_from_errno(EDQUOT), RK_ENOSPC);
	t_eq_int(rk_from_errno(EACCES), RK_EROFS);
	t_eq_int(rk_from_errno(EROFS), RK_EROFS);
	t_eq_int(rk_from_errno(EIO), RK_EIO);
	t_eq_int(rk_from_errno(EBADF), RK_EIO);
	t_eq_int(rk_from_errno(0), RK_OK);
}

/* FIPS 180-2, appendix B, and the empty message. */
T_CASE(sha256_gives_the_known_answers)
{
	char hex[RK_SHA256_HEX];
	rk_sha256_of("", 0, hex);
	t_eq_str(hex, "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
	rk_sha256_of("abc", 3, hex);
	t_eq_str(hex, "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad");
	struct rk_sha256 *d = rk_sha256_new();
	char as[1000];
	memset(as, 'a', sizeof(as));
	for (int i = 0; i < 1000; i++)
		rk_sha256_add(d, as, sizeof(as));
	rk_sha256_end(d, hex);
	t_eq_str(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
	    "f1809a48a497200e046d39ccc7112cd0");
	rk_sha256_free(rk_sha256_new());
	rk_sha256_free(NULL);
}

T_CASE(the_digest_of_a_descriptor_is_of_the_whole_file)
{
	char hex[RK_SHA256_HEX];
	uint64_t size = 0;
	t_eq_int(rk_replace_file(AT_FDCWD, "f", "abc", 3), RK_OK);
	int fd = open("f", O_RDONLY | O_CLOEXEC);
	t_check(lseek(fd, 2, SEEK_SET) == 2);
	t_eq_int(rk_sha256_of_fd(fd, hex, &size), RK_OK);
	t_eq_int(size, 3);
	t_check(strncmp(hex, "ba7816bf", 8) == 0);
	t_eq_int(lseek(fd, 0, SEEK_CUR), 2);
	close(fd);
	t_check(rk_sha256_of_fd(fd, hex, NULL) == RK_EIO);
}

T_MAIN
