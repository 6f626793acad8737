/* Weights by way of a process that reads them: see inspect.h. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"
#include "start.h"

/* --- its end -------------------------------------------------------------- */

/* How it ended, by the signal; what has no row was from outside. */
static const struct end {
	int signal;
	const char *what;
} ends[] = {
	{ SIGBUS, "the file was cut short, or its disk failed, while it was "
	    "read" },
	{ SIGSEGV, "the file is damaged, or made to do harm: nothing of it was "
	    "taken" },
	{ SIGABRT, "the file takes more memory than it may, or is made to do "
	    "harm: nothing of it was taken" },
	{ SIGILL, "the file is damaged, or made to do harm: nothing of it was "
	    "taken" },
	{ SIGFPE, "the file is damaged, or made to do harm: nothing of it was "
	    "taken" },
	{ SIGSYS, "the file made it ask for what it may not: nothing of it was "
	    "taken" },
};

static void
describe_end(struct inspect *i, int status)
{
	const int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	i->end = RK_EIO;
	for (size_t k = 0; k < RK_ARRAY_LEN(ends); k++) {
		if (ends[k].signal != sig)
			continue;
		i->end = RK_EINVAL;
		i->sentence = xasprintf("%s (the process that reads it was "
		    "ended by signal %d, %s)", ends[k].what, sig,
		    strsignal(sig));
		return;
	}
	i->sentence = sig != 0 ? xasprintf("the process that reads it was "
	    "killed by signal %d, %s%s", sig, strsignal(sig), sig == SIGKILL ?
	    ": is there enough memory?" : "") : xasprintf("the process that "
	    "reads it ended without an answer (exit code %d)",
	    WEXITSTATUS(status));
}

/* It has ended, or is ended now; sentence: why, or NULL for how it ended. */
static void
end_it(struct inspect *i, enum rk_err rc, const char *sentence)
{
	int status = 0;

	rk_close(&i->socket);
	if (i->pid == 0)
		return;
	/* What is ending already keeps the status that it ends with. */
	(void)kill(i->pid, SIGKILL);
	while (waitpid(i->pid, &status, 0) < 0 && errno == EINTR)
		;
	i->pid = 0;
	if (sentence == NULL) {
		describe_end(i, status);
	} else {
		i->end = rc;
		i->sentence = xstrdup(sentence);
	}
}

static void
inspect_end(struct inspect *i)
{
	end_it(i, RK_OK, "");
	if (i->window != NULL)
		munmap((void *)(uintptr_t)i->window, INSPECT_WINDOW);
	free(i->sentence);
	free(i->path);
	free(i);
}

static enum rk_err
has_ended(const struct inspect *i, struct rk_why *why)
{
	rk_refuse(why, "%s", i->sentence);
	return i->end;
}

enum rk_err
inspect_ended(const struct weights *w, struct rk_why *why)
{
	const struct inspect *i = weights_teller_ctx(w);

	return i == NULL || i->pid > 0 ? RK_OK : has_ended(i, why);
}

/* --- what it needs -------------------------------------------------------- */

static int
open_scratch(void)
{
	const char *dir = getenv("TMPDIR");
	const int fd = open(dir != NULL && dir[0] != '\0' ? dir : "/tmp",
	    O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : -errno;
}

/* A file in the folder of the one that is read, and no other. */
static int
open_beside(const struct inspect *i, const char *name)
{
	const char *slash = strrchr(i->path, '/');
	struct stat st;

	if (name[0] == '.' || strchr(name, '/') != NULL)
		return -EACCES;
	char *path = xasprintf("%.*s%s", slash != NULL ?
	    (int)(slash + 1 - i->path) : 0, i->path, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const int e = fd < 0 ? errno : fstat(fd, &st) != 0 ||
	    !S_ISREG(st.st_mode) ? EINVAL : 0;
	free(path);
	if (e != 0)
		rk_close(&fd);
	return e != 0 ? -e : fd;
}

static bool
send_with(const struct inspect *i, const struct inspect_packet *p, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec io = { (void *)(uintptr_t)p, sizeof(*p) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(i->socket, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(*p);
}

static bool
give(struct inspect *i, const char *name)
{
	struct inspect_packet p = { .kind = SAY_NEED };
	int fd = i->opened++ >= INSPECT_BESIDE ? -EMFILE : name[0] == '\0' ?
	    open_scratch() : open_beside(i, name);

	p.rc = fd < 0 ? (uint32_t)-fd : 0;
	const bool ok = send_with(i, &p, fd);
	rk_close(&fd);
	return ok;
}

/* --- asking --------------------------------------------------------------- */

/* The next packet; false: there will be none, and why is known. */
static bool
hear(struct inspect *i, struct inspect_packet *p, int64_t until_ms)
{
	struct pollfd w = { .fd = i->socket, .events = POLLIN };
	int64_t left;
	int n;

	/* Who always has something to say runs out of time, too. */
	do {
		left = until_ms - mono_ms();
		n = left > 0 ? poll(&w, 1, (int)left) : 0;
	} while (n < 0 && errno == EINTR);
	if (n == 0) {
		end_it(i, RK_ETIMEDOUT, "the process that reads it was too "
		    "long about it, and is ended");
		return false;
	}
	const ssize_t got = recv(i->socket, p, sizeof(*p), 0);
	if (got == (ssize_t)sizeof(*p)) {
		p->text[sizeof(p->text) - 1] = '\0';
		return true;
	}
	if (got <= 0)
		end_it(i, RK_EIO, NULL);
	else
		end_it(i, RK_EINVAL, "the process that reads it says what "
		    "cannot be");
	return false;
}

/* Ask, and give what is needed until the answer is there, in *p. */
static enum rk_err
ask(struct inspect *i, struct inspect_packet *p, struct rk_why *why)
{
	const int64_t until_ms = mono_ms() + i->wait_ms;

	if (i->pid == 0)
		return has_ended(i, why);
	if (!send_with(i, p, -1)) {
		end_it(i, RK_EIO, NULL);
		return has_ended(i, why);
	}
	do {
		if (!hear(i, p, until_ms))
			return has_ended(i, why);
		if (p->kind == SAY_NEED && !give(i, p->text)) {
			end_it(i, RK_EIO, NULL);
			return has_ended(i, why);
		}
	} while (p->kind == SAY_NEED);
	if (p->kind != SAY_DONE || p->rc > RK_ELIMIT) {
		end_it(i, RK_EINVAL, "the process that reads it says what "
		    "cannot be");
		return has_ended(i, why);
	}
	if (p->rc != RK_OK)
		rk_refuse(why, "%s", p->text);
	return (enum rk_err)p->rc;
}

/* --- elements ------------------------------------------------------------- */

/* n elements of `size` bytes, a window at a time. */
static enum rk_err
take(struct inspect *i, enum inspect_kind kind, uint64_t tensor, uint64_t from,
    size_t n, size_t size, unsigned char *dst, struct rk_why *why)
{
	const size_t most = INSPECT_WINDOW / size;
	enum rk_err rc = RK_OK;

	while (rc == RK_OK && n > 0) {
		const size_t some = RK_MIN(n, most);
		struct inspect_packet p = { .kind = kind, .tensor = tensor,
			.from = from, .n = some };
		rc = ask(i, &p, why);
		if (rc == RK_OK)
			memcpy(dst, i->window, some * size);
		from += some;
		n -= some;
		dst += some * size;
	}
	return rc;
}

static enum rk_err
read_bytes(void *ctx, uint64_t tensor, uint64_t from, size_t n, size_t size,
    void *dst, struct rk_why *why)
{
	return take(ctx, ASK_READ, tensor, from, n, size, dst, why);
}

static enum rk_err
read_floats(void *ctx, uint64_t tensor, uint64_t from, size_t n, float *dst,
    struct rk_why *why)
{
	return take(ctx, ASK_READ_F32, tensor, from, n, sizeof(*dst),
	    (unsigned char *)dst, why);
}

static void
end_ctx(void *ctx)
{
	inspect_end(ctx);
}

static const struct weights_teller teller = { read_bytes, read_floats,
	end_ctx };

/* A number that a text of ours can have. */
static double
finite_or_0(double x)
{
	return isfinite(x) ? x : 0;
}

enum rk_err
inspect_figures(const struct weights *w, const struct weights_tensor *t,
    struct inspect_figures *out, struct rk_why *why)
{
	struct inspect *i = weights_teller_ctx(w);
	struct inspect_packet p = { .kind = ASK_FIGURES,
		.tensor = (uint64_t)(t - w->v) };
	enum rk_err rc = ask(i, &p, why);

	if (rc != RK_OK)
		return rc;
	memcpy(out, i->window, sizeof(*out));
	/* A bool of another process may be neither. */
	out->numbers = t->dtype != DT_C64 && t->dtype != DT_C128;
	out->min = finite_or_0(out->min);
	out->max = finite_or_0(out->max);
	out->mean = finite_or_0(out->mean);
	out->std = finite_or_0(out->std);
	return RK_OK;
}

/* --- opening -------------------------------------------------------------- */

static enum rk_err
hear_items(struct inspect *i, struct weights_told *told, struct rk_why *why)
{
	struct inspect_packet p = { .kind = ASK_TELL };
	unsigned char *copy = xmalloc(INSPECT_WINDOW);
	enum rk_err rc;

	for (;;) {
		rc = ask(i, &p, why);
		if (rc != RK_OK || p.n == 0)
			break;
		/* What is looked at must not change meanwhile. */
		const size_t n = (size_t)RK_MIN(p.n, INSPECT_WINDOW);
		memcpy(copy, i->window, n);
		rc = weights_told_add(told, copy, n, why);
		if (rc != RK_OK)
			break;
		p = (struct inspect_packet){ .kind = ASK_TELL, .from = p.from };
	}
	free(copy);
	return rc;
}

static enum rk_err
hear_all(struct inspect *i, struct weights **out, struct rk_why *why)
{
	struct weights_told *told = weights_told_new(&teller, i);
	enum rk_err rc = hear_items(i, told, why);

	if (rc == RK_OK)
		return weights_told_end(told, out, why);
	weights_told_free(told);
	return rc;
}

/* What is no file; of a checkpoint's folder with the file that is meant. */
static enum rk_err
refuse_folder(const char *path, struct rk_why *why)
{
	static const char *const names[] = { "model.safetensors",
		"model.safetensors.index.json" };

	for (size_t k = 0; k < RK_ARRAY_LEN(names); k++) {
		char *in = xasprintf("%s/%s", path, names[k]);
		const bool there = access(in, F_OK) == 0;
		free(in);
		if (there)
			return rk_refuse(why, "is a folder: want %s in it",
			    names[k]);
	}
	return rk_refuse(why, "is not a regular file");
}

static enum rk_err
open_it(struct inspect *i, const struct inspect_how *how, struct weights **out,
    struct rk_why *why)
{
	static bool warned;
	struct inspect_packet p = { .kind = ASK_OPEN };
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	int fd = open(i->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		const int e = errno;
		rk_close(&fd);
		rk_refuse(why, "cannot open the file: %s", strerror(e));
		return rk_from_errno(e);
	}
	if (!S_ISREG(st.st_mode)) {
		rk_close(&fd);
		return refuse_folder(i->path, why);
	}
	enum rk_err rc = inspect_start(i, i->path, how, fd, why);
	if (rc == RK_OK)
		rc = ask(i, &p, why);
	if (rc == RK_OK && p.n != 0 && !warned) {
		log_warn("inspect: this kernel does not let a process give up "
		    "calls (seccomp): %s is read by one that could make all "
		    "calls", i->path);
		warned = true;
	}
	return rc == RK_OK ? hear_all(i, out, why) : rc;
}

enum rk_err
inspect_open(const char *path, const struct inspect_how *how,
    struct weights **out, struct rk_why *why)
{
	struct inspect_how own = { .wait_ms = 0 };
	struct rk_part part;
	enum rk_err rc = rk_part_parse(&part, path, why);

	*out = NULL;
	if (rc != RK_OK)
		return rc;
	if (how != NULL)
		own = *how;
	if (own.member == NULL)
		own.member = part.member;
	if (own.sha256 == NULL && part.sha256[0] != '\0')
		own.sha256 = part.sha256;
	struct inspect *i = xcalloc(1, sizeof(*i));
	*i = (struct inspect){ .socket = -1,
		.path = xstrdup(own.at != NULL ? own.at : part.bare),
		.wait_ms = own.wait_ms > 0 ? own.wait_ms : INSPECT_WAIT_MS };
	rc = open_it(i, &own, out, why);
	if (rc != RK_OK)
		inspect_end(i);
	rk_part_fini(&part);
	return rc;
}
