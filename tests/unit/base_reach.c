/* The reason why a path cannot be used, as the person who gave it reads it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "rekindle/base.h"
#include "t.h"

#define NOBODY 65534

static char here[4096];

/* ./open (0755) with file (0600); ./closed (0700) with inside/file; all root's. */
static void
make_tree(void)
{
	t_check(getcwd(here, sizeof(here)) != NULL);
	t_eq_int(mkdir("open", 0755), 0);
	t_eq_int(mkdir("closed", 0700), 0);
	t_eq_int(mkdir("closed/inside", 0755), 0);
	t_check(close(open("open/file", O_CREAT | O_WRONLY, 0600)) == 0);
	t_check(close(open("closed/inside/file", O_CREAT | O_WRONLY, 0644)) ==
	    0);
	t_eq_int(chmod(".", 0755), 0);
}

static void
become_nobody(void)
{
	if (geteuid() != 0)
		t_skip("only root can become another user");
	make_tree();
	t_eq_int(setgid(NOBODY), 0);
	t_eq_int(setuid(NOBODY), 0);
}

static void
reads(const char *path, const char *want)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *said = rk_why_unreadable(path, errno);

	t_check(fd < 0);
	t_has(said, want);
	free(said);
}

T_CASE(the_first_folder_that_may_not_be_entered_is_named)
{
	become_nobody();
	reads("closed/inside/file", "may not enter the folder closed (mode "
	    "0700, root:root); `chmod o+x closed` would let it in");
}

T_CASE(a_file_that_may_not_be_read_has_its_mode_and_owner)
{
	become_nobody();
	reads("open/file", "may not read open/file (mode 0600, root:root)");
	reads("open/none", "there is no such file");
	reads("open/file/below", "there is no such file");
}

T_CASE(a_folder_that_may_not_be_written_to_is_found_above_what_is_to_be_made)
{
	become_nobody();
	char *said = rk_folder_fault("open/new/and/newer/");

	t_check(said != NULL);
	t_has(said, "may not write to the folder open (mode 0755, root:root)");
	free(said);
	said = rk_folder_fault("closed/inside/new");
	t_check(said != NULL);
	t_has(said, "may not enter the folder closed");
	free(said);
	t_check(rk_folder_fault("/dev/shm") == NULL);
	said = rk_folder_fault("/dev/null/models/");
	t_eq_str(said, "/dev/null is no folder");
	free(said);
}

static bool
read_only_here(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mkdir("ro", 0755) == 0 &&
	    mount("none", "ro", "tmpfs", MS_RDONLY, NULL) == 0;
}

T_CASE(what_a_service_may_not_write_to_wants_a_line_in_its_unit)
{
	if (!read_only_here())
		t_skip("nothing can be mounted here");
	setenv("NOTIFY_SOCKET", "/run/x", 1);
	char *said = rk_folder_fault("ro/models/");

	t_check(said != NULL);
	t_has(said, "ReadWritePaths=ro/models/, a folder");
	free(said);
	unsetenv("NOTIFY_SOCKET");
	said = rk_folder_fault("ro/models/");
	t_check(said != NULL);
	t_has(said, "Read-only");
	free(said);
}

T_CASE(a_tmp_of_the_service_s_own_is_told_from_a_missing_file)
{
	if (!read_only_here())
		t_skip("nothing can be mounted here");
	reads("/tmp/rk-none/x", "there is no such file");
	/* As PrivateTmp=yes does it. */
	t_eq_int(mkdir("systemd-private-1-x", 0700), 0);
	t_eq_int(mkdir("systemd-private-1-x/tmp", 01777), 0);
	t_eq_int(mount("systemd-private-1-x/tmp", "/tmp", NULL, MS_BIND, NULL),
	    0);
	reads("/tmp/rk-none/x", "the service has a /tmp of its own");
	reads("/tmpx/rk-none", "there is no such file");
}

T_MAIN
