/* module: wire */
/* Any bytes on the line, in two pieces: messages or refusals, and an end. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rekindle/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Strings are there for whom the type has them. */
static void
check(const struct wire_msg *m)
{
	must((unsigned)m->type <= WIRE_UNKNOWN);
	if (m->type == WIRE_CHECKPOINT)
		must(m->name != NULL && m->checkpoint != NULL &&
		    m->digest != NULL);
	if (m->type == WIRE_HELLO)
		must(m->version == WIRE_VERSION && m->from != NULL);
	if (m->type == WIRE_EVENT || m->type == WIRE_LOG)
		must(m->message != NULL);
	must(m->step >= 0 && m->epoch >= 0 && m->bytes >= 0);
}

static void
take_all(struct wire *w)
{
	struct wire_msg m;
	enum rk_err rc;

	for (;;) {
		struct rk_why why = {0};
		if (!wire_next(w, &m, &rc, &why))
			break;
		must((rc == RK_OK) == (why.n == 0));
		if (rc == RK_OK) {
			check(&m);
			wire_msg_fini(&m);
		}
		rk_why_fini(&why);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int fd[2];

	if (n == 0 || n > 100000 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
		return 0;
	struct wire *w = wire_new(fd[0]);
	size_t cut = p[0] * n / 256;
	must(rk_write_all(fd[1], p, cut) == 0);
	must(wire_fill(w) == RK_OK);
	take_all(w);
	must(rk_write_all(fd[1], p + cut, n - cut) == 0);
	close(fd[1]);
	must(wire_fill(w) == RK_ENOENT);
	take_all(w);
	wire_free(&w);
	return 0;
}
