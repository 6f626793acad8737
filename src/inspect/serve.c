/* The process that reads: it answers at its socket, confined, until that
 * closes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

struct server {
	void *window;
	struct weights *w;
	bool free_to_call;              /* the kernel forbids it nothing */
};

/* No more words: who asked has gone. */
static void
leave(void)
{
	_exit(0);
}

static void
say(const struct inspect_packet *p)
{
	if (write(INSPECT_SOCKET_FD, p, sizeof(*p)) != (ssize_t)sizeof(*p))
		leave();
}

/* --- other files ---------------------------------------------------------- */

/* The descriptor that came with a packet; -1: none. */
static int
take_fd(struct msghdr *m)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd;

	if (c == NULL || c->cmsg_level != SOL_SOCKET ||
	    c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int
need(void *ctx, const char *name)
{
	struct inspect_packet p = { .kind = SAY_NEED };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec io = { &p, sizeof(p) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control) };

	(void)ctx;
	if (name != NULL && strlen(name) >= sizeof(p.text))
		return -ENAMETOOLONG;
	if (name != NULL)
		strcpy(p.text, name);
	say(&p);
	if (recvmsg(INSPECT_SOCKET_FD, &m, 0) != (ssize_t)sizeof(p))
		leave();
	const int fd = take_fd(&m);
	return fd >= 0 ? fd : p.rc != 0 ? -(int)p.rc : -EIO;
}

/* --- answers -------------------------------------------------------------- */

static enum rk_err
open_file(struct server *s, char **words, struct rk_why *why)
{
	struct weights_how how = WEIGHTS_HOW;

	how.fd = INSPECT_FILE_FD;
	how.open = need;
	how.member = words[1][0] != '\0' ? words[1] : NULL;
	how.part = words[2][0] == '=' ? words[2] + 1 : NULL;
	how.sha256 = words[3][0] != '\0' ? words[3] : NULL;
	return weights_open(words[0], &how, &s->w, why);
}

static enum rk_err
read_some(struct server *s, const struct inspect_packet *q, struct rk_why *why)
{
	const bool floats = q->kind == ASK_READ_F32;

	must(q->tensor < s->w->n);
	const struct weights_tensor *t = &s->w->v[q->tensor];
	must(q->n <= INSPECT_WINDOW / (floats ? sizeof(float) :
	    dtype_bits(t->dtype) / 8));
	return floats ? weights_read_f32(t, q->from, (size_t)q->n, s->window,
	    why) : weights_read(t, q->from, (size_t)q->n, s->window, why);
}

static enum rk_err
tell(const struct server *s, struct inspect_packet *a, struct rk_why *why)
{
	size_t n = 0;
	enum rk_err rc = weights_tell(s->w, &a->from, s->window,
	    INSPECT_WINDOW, &n, why);

	a->n = n;
	return rc;
}

static void
answer(struct server *s, const struct inspect_packet *q, char **words)
{
	struct inspect_packet a = { .kind = SAY_DONE, .from = q->from,
		.n = q->n };
	struct inspect_figures f;
	struct rk_why why = {0};
	enum rk_err rc = RK_EINVAL;

	/* Who asks is our own program, and asks for what there is. */
	must((q->kind == ASK_OPEN) == (s->w == NULL));
	switch (q->kind) {
	case ASK_OPEN:
		rc = open_file(s, words, &why);
		a.n = s->free_to_call;
		break;
	case ASK_TELL:
		rc = tell(s, &a, &why);
		break;
	case ASK_READ: case ASK_READ_F32:
		rc = read_some(s, q, &why);
		break;
	case ASK_FIGURES:
		must(q->tensor < s->w->n);
		rc = inspect_count(&s->w->v[q->tensor], &f, &why);
		memcpy(s->window, &f, sizeof(f));
		break;
	default:
		must(!"a question that nobody asks");
	}
	a.rc = rc;
	if (rc != RK_OK)
		snprintf(a.text, sizeof(a.text), "%s", why.n > 0 ?
		    rk_why_first(&why) : rk_strerror(rc));
	rk_why_fini(&why);
	say(&a);
}

/* What libraries look up when they are first used, before they may no more. */
static void
warm_up(void)
{
	char hex[RK_SHA256_HEX];

	rk_sha256_of("", 0, hex);
	(void)strerror(ENOENT);
}

int
inspect_serve(int n, char **words)
{
	struct inspect_packet q;
	struct server s = {0};
	struct stat st;

	if (n != 4 || fstat(INSPECT_FILE_FD, &st) != 0) {
		fprintf(stderr, "rekindle-train: --inspect --wire is for this "
		    "program itself\n");
		return 2;
	}
	/* A signal for our group is not meant for this process, which ends with
	 * the one that started it. */
	rk_signals_block(NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	s.window = mmap(NULL, INSPECT_WINDOW, PROT_READ | PROT_WRITE,
	    MAP_SHARED, INSPECT_WINDOW_FD, 0);
	close(INSPECT_WINDOW_FD);
	if (s.window == MAP_FAILED)
		return 1;
	warm_up();
	inspect_limit((uint64_t)st.st_size);
	s.free_to_call = !inspect_confine();
	while (read(INSPECT_SOCKET_FD, &q, sizeof(q)) == (ssize_t)sizeof(q))
		answer(&s, &q, words);
	leave();
	return 0;
}
