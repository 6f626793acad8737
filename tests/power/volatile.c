/*
 * The disk of a machine under User Mode Linux as a disk with a write cache, which
 * the end of the power empties.  A library for LD_PRELOAD:
 *
 *	POWER_DISK=disk.img POWER_LOG=log LD_PRELOAD=./volatile.so linux.uml ...
 *
 * Before bytes of the disk are replaced they are written to the log, so that
 * disk.py can put back any of them, as long as no flush came behind.  The log is a
 * page with `struct head` and then records: offset, length, old bytes.
 *
 * A position in the log has a generation in its upper bits.  When all that is in the
 * log is durable, the next write begins the log anew, in the next generation; so the
 * log is as long as what one flush covers, and a flush that comes at the same moment
 * on the other thread says a position of the old generation, which says nothing about
 * the new one.  That is how two threads, one of which may be stopped anywhere by a
 * signal, do without a lock.
 *
 * Linux as it comes with Debian 12 (6.1) loses flushes here: ubd_submit_request()
 * makes a request without any descriptor of it, and the thread that does the work
 * goes through the descriptors.  So flushes are seen when the kernel passes the
 * request to that thread: the address of a struct io_thread_req on a socket.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE       4096
#define POSITION   40                   /* bits of it; above: the generation */
#define BYTES(at)  ((at) & ((1ull << POSITION) - 1))
#define RECORD_MAX (4u << 20)           /* more than a request of ubd has */

struct head {
	_Atomic uint64_t end;           /* of the last record */
	_Atomic uint64_t durable;       /* behind the last that was flushed */
	_Atomic uint64_t fuse;          /* written from outside: the machine ends
	                                   when so many bytes, and not 0, are not
	                                   durable */
};

static struct head *head;
static int log_fd = -1;
static struct stat disk;
static pid_t worker;                    /* the thread that writes to the disk */

/* Before the kernel has any threads. */
static void __attribute__((constructor))
begin(void)
{
	const char *path = getenv("POWER_DISK"), *log = getenv("POWER_LOG");

	if (path == NULL || log == NULL || stat(path, &disk) != 0)
		return;
	log_fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log_fd < 0 || ftruncate(log_fd, PAGE) != 0)
		abort();
	head = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	if (head == MAP_FAILED)
		abort();
	head->end = head->durable = PAGE;
}

static bool
is_disk(int fd)
{
	struct stat st;

	return head != NULL && fstat(fd, &st) == 0 && st.st_dev == disk.st_dev &&
	    st.st_ino == disk.st_ino;
}

/* What is there now goes to the log.  Only the worker comes here. */
static void
keep_old(int fd, size_t n, off64_t off)
{
	static unsigned char record[16 + RECORD_MAX];
	uint64_t at = head->end, what[2] = { (uint64_t)off, n };

	if (n > RECORD_MAX)
		abort();
	if (head->durable == at) {
		/* BYTES of what `durable` says then are of no matter. */
		at = (((at >> POSITION) + 1) << POSITION) | PAGE;
		head->end = at;
	}
	memcpy(record, what, sizeof(what));
	memset(record + 16, 0, n);              /* behind the end of the file */
	if (syscall(SYS_pread64, fd, record + 16, n, off) < 0 ||
	    syscall(SYS_pwrite64, log_fd, record, n + 16, BYTES(at)) !=
	    (long)n + 16)
		abort();
	head->end = at + n + 16;
}

static uint64_t
not_durable(void)
{
	uint64_t end = head->end, durable = head->durable;

	return end - (end >> POSITION == durable >> POSITION ? durable :
	    (end & ~BYTES(~0ull)) + PAGE);
}

static ssize_t
put(int fd, const void *buf, size_t n, off64_t off)
{
	ssize_t put;

	if (!is_disk(fd))
		return syscall(SYS_pwrite64, fd, buf, n, off);
	worker = gettid();
	keep_old(fd, n, off);
	put = syscall(SYS_pwrite64, fd, buf, n, off);
	if (head->fuse != 0 && not_durable() >= head->fuse) {
		/* The kernel must not see its processes go. */
		kill(getsid(0), SIGSTOP);
		kill(0, SIGKILL);
	}
	return put;
}

/* The machine that this one runs on keeps its power: nothing is synced. */
static void
flush(void)
{
	head->durable = head->end;
}

ssize_t
pwrite64(int fd, const void *buf, size_t n, off64_t off)
{
	return put(fd, buf, n, off);
}

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t off)
{
	return put(fd, buf, n, off);
}

int
fsync(int fd)
{
	if (!is_disk(fd))
		return (int)syscall(SYS_fsync, fd);
	flush();
	return 0;
}

int
fdatasync(int fd)
{
	if (!is_disk(fd))
		return (int)syscall(SYS_fdatasync, fd);
	flush();
	return 0;
}

/* How struct io_thread_req of arch/um/drivers/ubd_kern.c begins, in Linux 4.21 to
 * 6.1. */
struct request {
	void *of;
	int fds[2];
	unsigned long offsets[2];
	unsigned long long offset;
	int sector_size;
	int error;
	int descriptors;
};

/* Where the kernel's memory is that can hold one. */
#define KERNEL_LOW  0x60000000ull
#define KERNEL_HIGH 0x160000000ull

ssize_t
write(int fd, const void *buf, size_t n)
{
	const struct request *r;
	uintptr_t p;
	struct stat st;

	/* The worker's own writes of this length are answers. */
	if (n == sizeof(p) && head != NULL && fstat(fd, &st) == 0 &&
	    S_ISSOCK(st.st_mode) && gettid() != worker) {
		memcpy(&p, buf, sizeof(p));
		if (p >= KERNEL_LOW && p < KERNEL_HIGH && p % 8 == 0) {
			r = (const struct request *)p;
			if (r->descriptors == 0 && is_disk(r->fds[0]))
				flush();
		}
	}
	return syscall(SYS_write, fd, buf, n);
}
