/*
 * SHA-256 of a checkpoint's files whose checkpoint.json does without: made by a
 * worker in the reading that holds them against their XXH3 digests.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct sums {
	struct sums *next, **prev;      /* of `under_way` */
	sums_done_fn *done;             /* NULL: nobody waits any more */
	void *ctx;
	struct ckpt_file files[CKPT_MAX_FILES];
	int fd[CKPT_MAX_FILES];         /* ours */
	int n;
	enum rk_err rc;
	struct rk_why why;
};

/* The worker's while it works, whoever has gone meanwhile. */
static struct sums *under_way;

static void
work(void *ctx)
{
	struct sums *s = ctx;
	char hex[RK_SHA256_HEX];

	for (int k = 0; k < s->n && s->rc == RK_OK; k++) {
		struct ckpt_file *f = &s->files[k];
		bool known = f->sha256[0] != '\0';
		s->rc = s->fd[k] < 0 ? RK_EIO : ckpt_file_sums(s->fd[k], f,
		    known ? NULL : hex, &s->why);
		if (s->rc == RK_OK && !known)
			memcpy(f->sha256, hex, sizeof(hex));
	}
}

static void
done(void *ctx)
{
	struct sums *s = ctx;

	*s->prev = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	for (int k = 0; k < s->n; k++)
		rk_close(&s->fd[k]);
	if (s->done != NULL)
		s->done(s->ctx, s->rc, s->files, s->why.n > 0 ?
		    rk_why_first(&s->why) : rk_strerror(s->rc));
	rk_why_fini(&s->why);
	free(s);
}

struct sums *
sums_start(struct ship *h, const int *fd, const struct ckpt_file *files, int n,
    sums_done_fn *fn, void *ctx)
{
	struct sums *s = xcalloc(1, sizeof(*s));

	must(n <= CKPT_MAX_FILES);
	s->done = fn;
	s->ctx = ctx;
	s->n = n;
	for (int k = 0; k < n; k++) {
		s->files[k] = files[k];
		s->fd[k] = fcntl(fd[k], F_DUPFD_CLOEXEC, 0);
	}
	s->next = under_way;
	s->prev = &under_way;
	if (s->next != NULL)
		s->next->prev = &s->next;
	under_way = s;
	loop_work(h->loop, work, done, s);
	return s;
}

void
sums_drop(struct sums **sp)
{
	if (*sp != NULL)
		(*sp)->done = NULL;
	*sp = NULL;
}
