/*
 * What the process that reads a stranger's file may do.
 *
 * Limits (setrlimit(2)) bound what it takes, and a filter (seccomp(2), BPF over
 * the number and the arguments of each call) what it asks of the kernel.  Calls
 * that are not in the table fail with EPERM, so that what a library tries
 * without need does not end the process; an open, a socket or an execve does
 * not happen either way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "impl.h"

#define FILES_MOST 32

/* --- limits --------------------------------------------------------------- */

static void
limit(__rlimit_resource_t what, uint64_t most)
{
	const struct rlimit r = { most, most };

	if (setrlimit(what, &r) != 0)
		log_errno("inspect: cannot set a limit");
}

/* Bytes of memory that are ours alone, as RLIMIT_DATA counts them: the sixth
 * number of proc(5)'s statm, in pages, with the stack. */
static uint64_t
private_bytes(void)
{
	unsigned long long pages = 0;
	char *text = NULL;
	size_t n;

	if (rk_read_file(AT_FDCWD, "/proc/self/statm", 4096, &text, &n) ==
	    RK_OK && sscanf(text, "%*s %*s %*s %*s %*s %llu", &pages) != 1)
		pages = 0;
	free(text);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void
inspect_limit(uint64_t size)
{
	uint64_t memory = private_bytes() + INSPECT_MEMORY, unpacked;

	if (__builtin_add_overflow(memory, size, &memory))
		memory = RLIM_INFINITY;
	if (__builtin_mul_overflow(size, 32, &unpacked))
		unpacked = RLIM_INFINITY;
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, FILES_MOST);
	/* A .gz, into the file that we give it (format_weights.h). */
	limit(RLIMIT_FSIZE, RK_MAX(unpacked, (uint64_t)64 << 20));
	/* Sanitizers take terabytes of addresses. */
	if (!RK_SANITIZED)
		limit(RLIMIT_DATA, memory);
}

/* --- calls ---------------------------------------------------------------- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH

#define ANY (-1)
#define OUR_PID UINT32_MAX

/* A call, and what the lower 32 bits of one of its arguments must be under a
 * mask. */
static const struct allowed {
	int call;
	int arg;
	uint32_t mask, want;
} allowed[] = {
	/* of what it has open */
	{ __NR_read, ANY, 0, 0 },
	{ __NR_write, ANY, 0, 0 },
	{ __NR_recvmsg, 0, UINT32_MAX, INSPECT_SOCKET_FD },
	{ __NR_lseek, ANY, 0, 0 },
	{ __NR_fstat, ANY, 0, 0 },
	{ __NR_newfstatat, 3, UINT32_MAX, AT_EMPTY_PATH },      /* fstat() */
	{ __NR_dup, ANY, 0, 0 },
	{ __NR_close, ANY, 0, 0 },
	/* memory, which is not for running */
	{ __NR_brk, ANY, 0, 0 },
	{ __NR_mmap, 2, PROT_EXEC, 0 },
	{ __NR_mprotect, 2, PROT_EXEC, 0 },
	{ __NR_munmap, ANY, 0, 0 },
	{ __NR_mremap, ANY, 0, 0 },
	{ __NR_madvise, ANY, 0, 0 },
	{ __NR_sysinfo, ANY, 0, 0 },                            /* qsort() */
	/* itself */
	{ __NR_futex, ANY, 0, 0 },
	{ __NR_clock_gettime, ANY, 0, 0 },
	{ __NR_getpid, ANY, 0, 0 },
	{ __NR_gettid, ANY, 0, 0 },
	{ __NR_rt_sigprocmask, ANY, 0, 0 },                     /* abort() */
	{ __NR_tgkill, 0, UINT32_MAX, OUR_PID },
	{ __NR_exit, ANY, 0, 0 },
	{ __NR_exit_group, ANY, 0, 0 },
#if RK_SANITIZED
	/* to say what they found, and where */
	{ __NR_openat, 2, O_ACCMODE, O_RDONLY },
	{ __NR_readlinkat, ANY, 0, 0 },
#ifdef __NR_readlink
	{ __NR_readlink, ANY, 0, 0 },
#endif
	{ __NR_rt_sigaction, ANY, 0, 0 },
	{ __NR_sigaltstack, ANY, 0, 0 },
	{ __NR_prlimit64, ANY, 0, 0 },
	{ __NR_sched_yield, ANY, 0, 0 },
#endif
};

/* The place of a call's number or, of one argument, its lower half: both
 * machines have that first. */
#define NUMBER   ((uint32_t)offsetof(struct seccomp_data, nr))
#define MACHINE  ((uint32_t)offsetof(struct seccomp_data, arch))
#define ARG(i)   ((uint32_t)(offsetof(struct seccomp_data, args) + 8 * (i)))

#define LOAD(at)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define MASK(bits)  BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits)
#define END(what)   BPF_STMT(BPF_RET | BPF_K, what)
/* Go on, or pass over the next n. */
#define UNLESS(value, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, n)

static size_t
put(struct sock_filter *out, size_t n, const struct sock_filter *v, size_t more)
{
	memcpy(out + n, v, more * sizeof(*v));
	return n + more;
}

static size_t
put_allowed(struct sock_filter *out, size_t n, const struct allowed *a)
{
	const uint32_t want = a->want == OUR_PID ? (uint32_t)getpid() : a->want;
	const struct sock_filter whole[] = {
		UNLESS((uint32_t)a->call, 1),
		END(SECCOMP_RET_ALLOW),
	};
	/* Behind it the number is wanted again, but no call stands here twice:
	 * another argument is refused. */
	const struct sock_filter by_arg[] = {
		UNLESS((uint32_t)a->call, 5),
		LOAD(ARG((uint32_t)a->arg)),
		MASK(a->mask),
		UNLESS(want, 1),
		END(SECCOMP_RET_ALLOW),
		END(SECCOMP_RET_ERRNO | EPERM),
	};

	return a->arg == ANY ? put(out, n, whole, RK_ARRAY_LEN(whole)) :
	    put(out, n, by_arg, RK_ARRAY_LEN(by_arg));
}

static bool
forbid_calls(void)
{
	const struct sock_filter first[] = {
		LOAD(MACHINE),
		UNLESS(ARCH, 1),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		END(SECCOMP_RET_KILL_PROCESS),
		LOAD(NUMBER),
	};
	const struct sock_filter last[] = { END(SECCOMP_RET_ERRNO | EPERM) };
	struct sock_filter code[8 + 6 * RK_ARRAY_LEN(allowed)];
	struct sock_fprog program = { .filter = code };
	size_t n = put(code, 0, first, RK_ARRAY_LEN(first));

	for (size_t i = 0; i < RK_ARRAY_LEN(allowed); i++)
		n = put_allowed(code, n, &allowed[i]);
	program.len = (unsigned short)put(code, n, last, 1);
	/* TSYNC: also of threads that a library may have started. */
	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

#else

static bool
forbid_calls(void)
{
	errno = ENOSYS;
	return false;
}

#endif

bool
inspect_confine(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && forbid_calls();
}
