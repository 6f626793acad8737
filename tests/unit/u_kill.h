/* Watching a process at its system calls, and killing it there. */
#ifndef U_KILL_H
#define U_KILL_H

#include <sys/ptrace.h>
#include <sys/syscall.h>

static inline void
need_ptrace(void)
{
	int st;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
	waitpid(pid, &st, 0);
	if (st != 0)
		t_fail("this machine does not permit ptrace(2), without "
		    "which a process cannot be killed at a system call");
}

/* Let the traced child go on to its n-th system call, and kill it there.
 * False if it ended before. */
static inline bool
kill_at(pid_t pid, long n)
{
	int st;

	t_check(waitpid(pid, &st, 0) == pid && WIFSTOPPED(st));
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (long k = 0; k < n; k++) {
		t_check(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
		t_check(waitpid(pid, &st, 0) == pid);
		if (!WIFSTOPPED(st))
			return false;
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, &st, 0) == pid && WIFSTOPPED(st))
		continue;
	return true;
}

#endif
