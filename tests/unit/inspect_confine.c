/* What a process may do once it is confined, tried in one. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "impl.h"
#include "t.h"

static int file;                        /* open before */

static bool
is_forbidden(long got)
{
	return got < 0 && errno == EPERM;
}

/* Try a call in a confined process: it must be forbidden. */
#define FORBIDDEN(call)                                                   \
	do {                                                              \
		errno = 0;                                                \
		if (!is_forbidden((long)(call)))                          \
			t_fail("is not forbidden: %s (errno %d)", #call,  \
			    errno);                                       \
	} while (0)

/* A case that ends with _exit() has no leaks looked for, which a confined process
 * cannot do. */
static void
confined(void)
{
	file = open(".", O_RDONLY | O_DIRECTORY);
	t_check(file >= 0);
	inspect_limit(0);
	if (!inspect_confine())
		t_skip("this kernel has no seccomp");
}

T_CASE(a_confined_process_opens_and_changes_no_file)
{
	confined();
	if (!RK_SANITIZED) {
		FORBIDDEN(open("/etc/passwd", O_RDONLY));
		FORBIDDEN(openat(file, ".", O_RDONLY));
		FORBIDDEN(readlink("/proc/self/exe", (char[8]){ 0 }, 8));
	}
	FORBIDDEN(open("new", O_WRONLY | O_CREAT, 0600));
	FORBIDDEN(open("new", O_RDWR));
	FORBIDDEN(unlink("new"));
	FORBIDDEN(rename("a", "b"));
	FORBIDDEN(mkdir("new", 0700));
	FORBIDDEN(link("a", "b"));
	FORBIDDEN(chmod(".", 0777));
	FORBIDDEN(ftruncate(file, 0));
	FORBIDDEN(memfd_create("x", 0));
	FORBIDDEN(access("/etc/passwd", R_OK));
	FORBIDDEN(syscall(SYS_getdents64, file, (char[64]){ 0 }, 64));
	/* Of paths nothing is told either: only of what is open. */
	struct stat st;
	FORBIDDEN(stat("/etc/passwd", &st));
	t_check(fstat(file, &st) == 0);
	_exit(0);
}

T_CASE(a_confined_process_reaches_no_network)
{
	static const int families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK,
		AF_PACKET, 40 /* AF_VSOCK */ };
	int pair[2];

	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	confined();
	for (size_t i = 0; i < RK_ARRAY_LEN(families); i++)
		FORBIDDEN(socket(families[i], SOCK_STREAM, 0));
	FORBIDDEN(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	FORBIDDEN(connect(pair[0], &(struct sockaddr){ .sa_family = AF_UNIX },
	    sizeof(struct sockaddr)));
	FORBIDDEN(syscall(SYS_sendmsg, pair[0], NULL, 0));
	FORBIDDEN(syscall(SYS_sendto, pair[0], "x", 1, 0, NULL, 0));
	/* Descriptors come by the one socket alone. */
	FORBIDDEN(syscall(SYS_recvmsg, pair[0] == INSPECT_SOCKET_FD ? pair[1] :
	    pair[0], NULL, 0));
	FORBIDDEN(syscall(SYS_io_uring_setup, 1, NULL));
	_exit(0);
}

T_CASE(a_confined_process_runs_nothing_and_touches_no_other)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL };

	confined();
	FORBIDDEN(execve("/bin/true", argv, NULL));
	FORBIDDEN(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0));
	FORBIDDEN(fork());
	FORBIDDEN(vfork());
	FORBIDDEN(unshare(CLONE_NEWUSER));
	FORBIDDEN(kill(getppid(), 0));
	FORBIDDEN(syscall(SYS_tgkill, 1, 1, 0));
	FORBIDDEN(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	FORBIDDEN(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
	FORBIDDEN(syscall(SYS_pidfd_open, 1, 0));
	FORBIDDEN(prctl(PR_SET_DUMPABLE, 1));
	FORBIDDEN(syscall(SYS_bpf, 0, NULL, 0));
	FORBIDDEN(syscall(SYS_seccomp, 0, 0, NULL));
	FORBIDDEN(syscall(SYS_ioctl, file, 0, NULL));
	_exit(0);
}

T_CASE(memory_of_a_confined_process_is_not_for_running)
{
	const size_t n = 4096;

	confined();
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0);
	t_check(p != MAP_FAILED);
	FORBIDDEN(mprotect(p, n, PROT_READ | PROT_EXEC));
	FORBIDDEN((long)mmap(NULL, n, PROT_READ | PROT_EXEC, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0);
	t_check(munmap(p, n) == 0);
	_exit(0);
}

T_CASE(a_confined_process_has_64_MiB_and_the_size_of_the_file)
{
	if (RK_SANITIZED)
		t_skip("sanitizers take terabytes of addresses");
	inspect_limit((uint64_t)32 << 20);
	char *p = malloc((size_t)90 << 20);
	t_check(p != NULL);
	memset(p, 1, (size_t)90 << 20);
	free(p);
	t_check(malloc((size_t)97 << 20) == NULL);
	struct rlimit r;
	t_check(getrlimit(RLIMIT_CORE, &r) == 0 && r.rlim_max == 0);
	t_check(getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max <= 64);
}

T_MAIN
