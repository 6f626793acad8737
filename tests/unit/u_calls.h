/*
 * The order of the system calls that change files, written down as they happen.
 *
 * What includes this file calls them itself, in libc's place: a unit test does
 * for all of its program, and $(B)/calls.so (tests/calls.c) for any other, which
 * it is loaded into (LD_PRELOAD; tests/outside/calls.py).  It needs no right to
 * trace.  The file that $RK_CALLS names, or calls_begin(), gets a line for each
 * call that went well, behind it, of all threads and children:
 *
 *	write /state/jobs/j/metrics.jsonl
 *	sync /state/jobs/j/metrics.jsonl        fsync(2), fdatasync(2)
 *	rename /state/x.tmp /state/x            link: a name for another
 *	remove /state/jobs/j/.del-1             unlink(2), rmdir(2)
 *	sync /state/jobs/j                      of a folder
 */
#ifndef U_CALLS_H
#define U_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CALLS_PATH 4200
#define CALLS_LINE (2 * CALLS_PATH + 32)

static char calls_to[CALLS_PATH];       /* "": nobody listens */
static size_t calls_most;               /* that one write takes; 0: all of it */

static inline void
calls_begin(const char *path)
{
	char here[CALLS_PATH / 2];

	if (path[0] == '/')
		here[0] = '\0';
	else if (getcwd(here, sizeof(here)) == NULL)
		abort();
	(void)!snprintf(calls_to, sizeof(calls_to), "%s%s%s", here,
	    here[0] != '\0' ? "/" : "", path);
	const int fd = open(calls_to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		abort();
	close(fd);
}

/* --- names ---------------------------------------------------------------- */

static bool
calls_of_fd(char out[CALLS_PATH], int fd)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t n = readlink(link, out, CALLS_PATH - 1);
	out[n > 0 ? n : 0] = '\0';
	/* Not pipes, sockets and devices. */
	return n > 0 && out[0] == '/' && strncmp(out, "/dev/", 5) != 0 &&
	    strncmp(out, "/proc/", 6) != 0 && strncmp(out, "/sys/", 5) != 0;
}

static void
calls_of_name(char out[CALLS_PATH], int dirfd, const char *name)
{
	char base[CALLS_PATH];

	base[0] = '\0';
	if (name[0] != '/' && dirfd != AT_FDCWD)
		(void)calls_of_fd(base, dirfd);
	else if (name[0] != '/' && getcwd(base, sizeof(base)) == NULL)
		base[0] = '\0';
	(void)!snprintf(out, CALLS_PATH, "%s%s%s", base,
	    name[0] != '/' ? "/" : "", name);
}

static void
calls_say(const char *verb, const char *a, const char *b)
{
	char line[CALLS_LINE];
	const int was = errno, n = snprintf(line, sizeof(line), "%s %s%s%s\n",
	    verb, a, b[0] != '\0' ? " " : "", b);
	const int fd = (int)syscall(SYS_openat, AT_FDCWD, calls_to,
	    O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd >= 0) {
		(void)!syscall(SYS_write, fd, line, (size_t)n);
		(void)!syscall(SYS_close, fd);
	}
	errno = was;
}

static void
calls_fd(bool good, const char *verb, int fd)
{
	char path[CALLS_PATH];

	if (good && calls_to[0] != '\0' && calls_of_fd(path, fd))
		calls_say(verb, path, "");
}

static void
calls_names(bool good, const char *verb, int fd, const char *name, int fd2,
    const char *name2)
{
	char a[CALLS_PATH], b[CALLS_PATH];

	if (!good || calls_to[0] == '\0')
		return;
	b[0] = '\0';
	calls_of_name(a, fd, name);
	if (name2 != NULL)
		calls_of_name(b, fd2, name2);
	calls_say(verb, a, b);
}

/* --- in libc's place ------------------------------------------------------ */

ssize_t
write(int fd, const void *p, size_t n)
{
	const size_t most = calls_most > 0 && calls_most < n ? calls_most : n;
	const ssize_t rc = syscall(SYS_write, fd, p, most);

	calls_fd(rc > 0, "write", fd);
	return rc;
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	const ssize_t rc = syscall(SYS_writev, fd, v, n);

	calls_fd(rc > 0, "write", fd);
	return rc;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	const ssize_t rc = syscall(SYS_pwrite64, fd, p, n, at);

	calls_fd(rc > 0, "write", fd);
	return rc;
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return pwrite(fd, p, n, at);
}

int
fsync(int fd)
{
	const int rc = (int)syscall(SYS_fsync, fd);

	calls_fd(rc == 0, "sync", fd);
	return rc;
}

int
fdatasync(int fd)
{
	const int rc = (int)syscall(SYS_fdatasync, fd);

	calls_fd(rc == 0, "sync", fd);
	return rc;
}

int
renameat2(int fd, const char *from, int fd2, const char *to, unsigned flags)
{
	const int rc = (int)syscall(SYS_renameat2, fd, from, fd2, to, flags);

	calls_names(rc == 0, "rename", fd, from, fd2, to);
	return rc;
}

int
renameat(int fd, const char *from, int fd2, const char *to)
{
	return renameat2(fd, from, fd2, to, 0);
}

int
rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
linkat(int fd, const char *from, int fd2, const char *to, int flags)
{
	const int rc = (int)syscall(SYS_linkat, fd, from, fd2, to, flags);

	calls_names(rc == 0, "link", fd, from, fd2, to);
	return rc;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
unlinkat(int fd, const char *name, int flags)
{
	const int rc = (int)syscall(SYS_unlinkat, fd, name, flags);

	calls_names(rc == 0, "remove", fd, name, -1, NULL);
	return rc;
}

int
unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int
rmdir(const char *name)
{
	return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

/* --- what a unit test asks ------------------------------------------------ */

#ifdef T_H

/* One more line of the file, its end taken off; false behind the last. */
static inline bool
calls_next(FILE *f, char line[CALLS_LINE])
{
	if (fgets(line, CALLS_LINE, f) == NULL)
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* All of them, a letter each: w(rite) s(ync) r(ename) l(ink), x: remove. */
static inline void
calls_are(const char *letters)
{
	FILE *f = fopen(calls_to, "re");
	char line[CALLS_LINE], got[1000];
	size_t n = 0;

	t_check(f != NULL);
	while (calls_next(f, line) && n < sizeof(got) - 1)
		got[n++] = strncmp(line, "remove", 6) == 0 ? 'x' : line[0];
	got[n] = '\0';
	fclose(f);
	t_eq_str(got, letters);
}

/* Behind each line like `first` comes one like `then`, before the next like
 * `before`; NULL: by now.  Patterns as in the shell; each happened. */
static inline void
calls_always(const char *first, const char *then, const char *before)
{
	FILE *f = fopen(calls_to, "re");
	char line[CALLS_LINE], open_line[CALLS_LINE] = "";
	int firsts = 0, befores = 0;

	t_check(f != NULL);
	while (calls_next(f, line)) {
		if (before != NULL && fnmatch(before, line, 0) == 0) {
			befores++;
			if (open_line[0] != '\0')
				t_fail("\"%s\" came before any \"%s\", behind "
				    "\"%s\"", line, then, open_line);
		}
		if (fnmatch(then, line, 0) == 0)
			open_line[0] = '\0';
		if (fnmatch(first, line, 0) == 0) {
			firsts++;
			memcpy(open_line, line, sizeof(open_line));
		}
	}
	fclose(f);
	if (open_line[0] != '\0' && before == NULL)
		t_fail("no \"%s\" behind \"%s\"", then, open_line);
	if (firsts == 0 || (before != NULL && befores == 0))
		t_fail("\"%s\" never happened", firsts == 0 ? first : before);
}

#endif
#endif
