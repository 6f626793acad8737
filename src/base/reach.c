/* Why a path cannot be used, for the person who gave it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "rekindle/base.h"

#define MOUNTS_MAX (4u << 20)
#define NAME_ROOM 1024          /* of a line of /etc/passwd or /etc/group */

/* Names as `ls -l` has them; from any thread. */
static void
user_name(uid_t uid, char out[64])
{
	char room[NAME_ROOM];
	struct passwd p, *found = NULL;

	if (getpwuid_r(uid, &p, room, sizeof(room), &found) == 0 &&
	    found != NULL)
		snprintf(out, 64, "%s", p.pw_name);
	else
		snprintf(out, 64, "%lu", (unsigned long)uid);
}

static void
group_name(gid_t gid, char out[64])
{
	char room[NAME_ROOM];
	struct group g, *found = NULL;

	if (getgrgid_r(gid, &g, room, sizeof(room), &found) == 0 &&
	    found != NULL)
		snprintf(out, 64, "%s", g.gr_name);
	else
		snprintf(out, 64, "%lu", (unsigned long)gid);
}

/* "user rekindle may not enter the folder /home/ana (mode 0700, ana:ana)" */
static char *
may_not(const char *what, const char *path, const char *more)
{
	char me[64], owner[64], group[64];
	struct stat st;

	user_name(geteuid(), me);
	if (stat(path, &st) != 0)
		return xasprintf("user %s may not %s %s%s", me, what, path,
		    more);
	user_name(st.st_uid, owner);
	group_name(st.st_gid, group);
	return xasprintf("user %s may not %s %s (mode %04o, %s:%s)%s", me,
	    what, path, (unsigned)st.st_mode & 07777, owner, group, more);
}

static bool
may(const char *path, int how)
{
	return faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0;
}

/* The first folder on the way to path that we may not enter; the caller frees;
 * NULL: none. */
static char *
closed_folder(const char *path)
{
	const char *at = path;

	while ((at = strchr(at, '/')) != NULL) {
		char *dir = at == path ? xstrdup("/") :
		    xstrndup(path, (size_t)(at - path));
		if (!may(dir, X_OK) && errno == EACCES)
			return dir;
		free(dir);
		at++;
	}
	return NULL;
}

static bool
is_service(void)
{
	const char *s = getenv("NOTIFY_SOCKET");

	return s != NULL && s[0] != '\0';
}

/* Is `dir` a mount that systemd has made for one service (PrivateTmp=)? */
static bool
is_private(const char *dir)
{
	char *text = NULL, *rest, *line, point[64], root[256];
	size_t len;
	bool yes = false;

	if (rk_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTS_MAX, &text,
	    &len) != RK_OK)
		return false;
	for (line = strtok_r(text, "\n", &rest); line != NULL;
	    line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "%*d %*d %*s %255s %63s", root, point) == 2 &&
		    strcmp(point, dir) == 0)
			yes = strstr(root, "/systemd-private-") != NULL;
	}
	free(text);
	return yes;
}

static const char *
private_tmp(const char *path)
{
	static const char *const dirs[] = { "/tmp", "/var/tmp" };

	for (size_t i = 0; i < RK_ARRAY_LEN(dirs); i++) {
		size_t n = strlen(dirs[i]);
		if (strncmp(path, dirs[i], n) == 0 && path[n] == '/' &&
		    is_private(dirs[i]))
			return dirs[i];
	}
	return NULL;
}

char *
rk_why_unreadable(const char *path, int err)
{
	const char *tmp = err == ENOENT || err == ENOTDIR ? private_tmp(path) :
	    NULL;
	char *dir, *said, *more;

	if (tmp != NULL)
		return xasprintf("there is no such file; the service has a %s "
		    "of its own, which users do not see: put the file "
		    "elsewhere, such as in /srv", tmp);
	if (err == ENOENT || err == ENOTDIR)
		return xstrdup("there is no such file");
	if (err != EACCES)
		return xstrdup(strerror(err));
	dir = closed_folder(path);
	if (dir == NULL)
		return may_not("read", path, "");
	more = xasprintf("; `chmod o+x %s` would let it in", dir);
	said = may_not("enter the folder", dir, more);
	free(more);
	free(dir);
	return said;
}

char *
rk_why_unwritable(const char *path, int err)
{
	char *dir = closed_folder(path), *said;

	if (dir != NULL)
		said = may_not("enter the folder", dir, "");
	else if (err == EROFS && is_service())
		said = xasprintf("the service may not write to %s: its unit "
		    "wants ReadWritePaths=%s, a folder that is there and "
		    "that its user may write to, in a drop-in (systemctl edit "
		    "rekindled)", path, path);
	else if (err == EACCES)
		said = may_not("write to the folder", path, is_service() ?
		    "; a group of the unit would do (SupplementaryGroups= in a "
		    "drop-in)" : "");
	else
		said = xstrdup(strerror(err));
	free(dir);
	return said;
}

char *
rk_folder_fault(const char *path)
{
	char *at = xstrdup(path), *slash, *said = NULL;
	struct statvfs fs;
	struct stat st;

	for (size_t n = strlen(at); n > 1 && at[n - 1] == '/'; n--)
		at[n - 1] = '\0';
	/* What is not there is made, in the nearest that is. */
	while (!may(at, F_OK) && (errno == ENOENT || errno == ENOTDIR) &&
	    (slash = strrchr(at, '/')) != NULL && at[1] != '\0')
		slash[slash == at] = '\0';
	if (stat(at, &st) == 0 && !S_ISDIR(st.st_mode))
		said = xasprintf("%s is no folder", at);
	/* access(2) speaks of a read-only mount only to who has the right. */
	else if (statvfs(at, &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0)
		said = rk_why_unwritable(path, EROFS);
	else if (!may(at, W_OK | X_OK) && (errno == EACCES || errno == EROFS))
		said = rk_why_unwritable(errno == EROFS ? path : at, errno);
	free(at);
	return said;
}
