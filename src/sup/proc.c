/* What the kernel knows of a trainer's process. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PROC_MAX 65536

/* The file's text, or "". */
static void
read_text(char *path, char **text)
{
	size_t len;

	if (rk_read_file(AT_FDCWD, path, PROC_MAX, text, &len) != RK_OK)
		*text = xstrdup("");
	free(path);
}

/* The third word of /proc/PID/stat, behind a name in brackets that may hold
 * anything: T, or t under a tracer. */
static bool
by_signal(pid_t pid)
{
	char *text = NULL;

	read_text(xasprintf("/proc/%ld/stat", (long)pid), &text);
	const char *end = strrchr(text, ')');
	bool yes = end != NULL && (strncmp(end, ") T", 3) == 0 ||
	    strncmp(end, ") t", 3) == 0);
	free(text);
	return yes;
}

/* Does a file of the group's folder have this text? */
static bool
group_says(const char *root, const char *group, const char *file,
    const char *what)
{
	char *text = NULL;

	read_text(xasprintf("%s%s/%s", root, group, file), &text);
	bool yes = strstr(text, what) != NULL;
	free(text);
	return yes;
}

/* Lines of /proc/PID/cgroup are NUMBER:CONTROLLERS:FOLDER, the folder of
 * version 2 has number 0 and no controllers. */
static bool
by_freezer(pid_t pid)
{
	char *text = NULL, *rest, *line;
	bool yes = false;

	read_text(xasprintf("/proc/%ld/cgroup", (long)pid), &text);
	rest = text;
	while (!yes && (line = strsep(&rest, "\n")) != NULL) {
		char *folder = strchr(line, ':');
		folder = folder != NULL ? strchr(folder + 1, ':') : NULL;
		if (folder == NULL)
			continue;
		*folder++ = '\0';
		if (strcmp(line, "0:") == 0)
			yes = group_says("/sys/fs/cgroup", folder,
			    "cgroup.events", "frozen 1") ||
			    group_says("/sys/fs/cgroup/unified", folder,
			    "cgroup.events", "frozen 1");
		else if (strstr(line, ":freezer") != NULL)
			yes = group_says("/sys/fs/cgroup/freezer", folder,
			    "freezer.state", "FR");
	}
	free(text);
	return yes;
}

bool
proc_stopped(pid_t pid)
{
	return pid > 0 && (by_signal(pid) || by_freezer(pid));
}
