/*
 * The groups of this process, as folders.
 *
 *	/proc/self/cgroup      4:memory:/system.slice/x.service      version 1
 *	                       0::/system.slice/x.service            version 2
 *	/proc/self/mountinfo   31 23 0:28 ROOT MOUNT rw ... - cgroup2 src rw
 *
 * A mount shows the groups below ROOT at MOUNT; a group's folder is what is
 * left of its path without ROOT.  In a namespace of control groups both are as
 * seen from there, and what lies outside begins with "/..".
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* Our path in each hierarchy that counts; "" for none. */
struct own {
	char v2[GROUP_PATH], memory[GROUP_PATH], cpu[GROUP_PATH];
};

/* The next line of *p into line (cut at its size: then it is no line of ours
 * and false is in *whole); false: no more. */
static bool
next_line(const char **p, char *line, size_t size, bool *whole)
{
	size_t n = strcspn(*p, "\n");

	if (**p == '\0')
		return false;
	*whole = n < size;
	memcpy(line, *p, RK_MIN(n, size - 1));
	line[RK_MIN(n, size - 1)] = '\0';
	*p += n + ((*p)[n] == '\n');
	return true;
}

/* Is word one of a list with commas? */
static bool
lists(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p != '\0'; p += *p == ',') {
		size_t k = strcspn(p, ",");
		if (k == n && memcmp(p, word, n) == 0)
			return true;
		p += k;
	}
	return false;
}

/* A path that stays where it seems to be. */
static bool
is_inside(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *p = path; (p = strstr(p, "/..")) != NULL; p += 3) {
		if (p[3] == '\0' || p[3] == '/')
			return false;
	}
	return true;
}

static void
keep(char out[GROUP_PATH], const char *path)
{
	if (is_inside(path))
		snprintf(out, GROUP_PATH, "%s", path);
}

static void
read_own(struct own *o, const char *text)
{
	char line[GROUP_PATH];
	bool whole;

	memset(o, 0, sizeof(*o));
	while (next_line(&text, line, sizeof(line), &whole)) {
		char *list = strchr(line, ':');
		char *path = list != NULL ? strchr(list + 1, ':') : NULL;
		if (!whole || path == NULL)
			continue;
		*list++ = *path++ = '\0';
		if (*list == '\0' && strcmp(line, "0") == 0)
			keep(o->v2, path);
		if (lists(list, "memory"))
			keep(o->memory, path);
		if (lists(list, "cpu"))
			keep(o->cpu, path);
	}
}

/* Mount points have blanks and the like as \040, in place. */
static void
unescape(char *s)
{
	char *out = s;

	while (*s != '\0') {
		if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3) {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
			    (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* Our group's folder by this mount, if it shows it. */
static void
add(struct cgroup *c, const char *path, const char *root, const char *mount,
    bool v2, unsigned has)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
	struct group *g = &c->v[c->n];

	if (path[0] == '\0' || c->n == GROUPS_MAX || !is_inside(root) ||
	    !is_inside(mount) || strncmp(path, root, n) != 0 ||
	    (path[n] != '/' && path[n] != '\0'))
		return;
	path += n;
	if (strcmp(path, "/") == 0)
		path = "";
	g->dir = xasprintf("%s%s%s", c->root, mount, path);
	g->top = strlen(c->root) + strlen(mount);
	g->v2 = v2;
	g->has = has;
	c->n++;
}

/* The fields of a line of mountinfo that count. */
struct mount {
	char *root, *point, *type, *super;
};

static bool
split_mount(char *line, struct mount *m)
{
	char *save = NULL, *word = strtok_r(line, " ", &save);
	int i = 0;

	*m = (struct mount){0};
	/* Optional fields end with a dash of its own. */
	for (; word != NULL; word = strtok_r(NULL, " ", &save), i++) {
		if (i == 3)
			m->root = word;
		else if (i == 4)
			m->point = word;
		else if (i >= 6 && strcmp(word, "-") == 0)
			break;
	}
	if (word == NULL)
		return false;
	m->type = strtok_r(NULL, " ", &save);
	(void)strtok_r(NULL, " ", &save);
	m->super = strtok_r(NULL, " ", &save);
	if (m->super == NULL)
		return false;
	unescape(m->root);
	unescape(m->point);
	return true;
}

void
find_groups(struct cgroup *c, const char *own, const char *mounts)
{
	struct own *o = xmalloc(sizeof(*o));
	char *line = xmalloc(4 * GROUP_PATH);
	struct mount m;
	bool whole;

	read_own(o, own);
	while (next_line(&mounts, line, 4 * GROUP_PATH, &whole)) {
		if (!whole || !split_mount(line, &m))
			continue;
		if (strcmp(m.type, "cgroup2") == 0)
			add(c, o->v2, m.root, m.point, true, MEMORY | CPU);
		if (strcmp(m.type, "cgroup") != 0)
			continue;
		if (lists(m.super, "memory"))
			add(c, o->memory, m.root, m.point, false, MEMORY);
		if (lists(m.super, "cpu"))
			add(c, o->cpu, m.root, m.point, false, CPU);
	}
	free(line);
	free(o);
}
