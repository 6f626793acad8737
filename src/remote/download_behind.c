/*
 * What follows the bytes of a download, on workers: the SHA-256 of the object,
 * in order and as far as it is there, while the pages are still in memory; and
 * fdatasync() before a range is called got.
 *
 * A worker touches only the task that it was given; the download may be gone
 * when it comes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "download.h"

#define BEHIND_TAG 0x62686e64u
#define READ_BYTES (256u << 10)
#define STRETCH    (64ull << 20)        /* hashed at a time */

struct behind {
	unsigned tag;
	struct behind *next, **prev;
	struct download *d;             /* NULL: it is gone */
	struct loop *loop;
	int fd;
	bool hashing, syncing;          /* a worker has it */
	atomic_bool stop;

	/* the hashing worker's, while it has it */
	struct rk_sha256 *sha;
	bool want_crc;
	uint64_t crc, at, n;
	enum rk_err hash_err;

	/* the syncing worker's */
	enum rk_err sync_err;

	struct ranges fresh, synced;    /* to be synced; being synced */
};

/* Those that a worker may have; the loop may end before they come back. */
static struct behind *all;

static void
free_if_idle(struct behind *b)
{
	if (b->d != NULL || b->hashing || b->syncing)
		return;
	*b->prev = b->next;
	if (b->next != NULL)
		b->next->prev = b->prev;
	rk_sha256_free(b->sha);
	ranges_fini(&b->fresh);
	ranges_fini(&b->synced);
	rk_close(&b->fd);
	b->tag = 0;
	free(b);
}

/* --- hash --------------------------------------------------------------- */

static void
hash_work(void *ctx)
{
	struct behind *b = ctx;
	uint64_t at = b->at, end = b->at + b->n;
	char *buf = xmalloc(READ_BYTES);

	b->hash_err = RK_OK;
	while (at < end && !atomic_load(&b->stop)) {
		ssize_t n = pread(b->fd, buf, RK_MIN(READ_BYTES, end - at),
		    (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			b->hash_err = n < 0 ? rk_from_errno(errno) :
			    RK_ECORRUPT;
			break;
		}
		rk_sha256_add(b->sha, buf, (size_t)n);
		if (b->want_crc)
			b->crc = rk_crc64(b->crc, buf, (size_t)n);
		at += (uint64_t)n;
	}
	free(buf);
}

static void see(struct behind *b);

static void
hash_done(void *ctx)
{
	struct behind *b = ctx;

	must_be(b, BEHIND_TAG);
	b->hashing = false;
	if (b->d == NULL) {
		free_if_idle(b);
		return;
	}
	if (b->hash_err != RK_OK) {
		download_fail(b->d, REMOTE_LOCAL, b->hash_err,
		    "what was fetched cannot be read again: %s",
		    rk_strerror(b->hash_err));
		return;
	}
	b->at += b->n;
	b->n = 0;
	see(b);
}

/* --- sync --------------------------------------------------------------- */

static void
sync_work(void *ctx)
{
	struct behind *b = ctx;

	b->sync_err = fdatasync(b->fd) == 0 ? RK_OK : rk_from_errno(errno);
}

static void
sync_done(void *ctx)
{
	struct behind *b = ctx;

	must_be(b, BEHIND_TAG);
	if (b->d != NULL && b->sync_err != RK_OK) {
		b->syncing = false;
		download_fail(b->d, REMOTE_LOCAL, b->sync_err,
		    "what was fetched cannot be made durable: %s",
		    rk_strerror(b->sync_err));
		return;
	}
	for (size_t i = 0; b->d != NULL && i < b->synced.n; i++)
		b->d->got(b->d->op.ctx, b->synced.v[i].at,
		    b->synced.v[i].n);
	b->syncing = false;
	if (b->d == NULL) {
		free_if_idle(b);
		return;
	}
	b->synced.n = 0;
	see(b);
}

/* --- both --------------------------------------------------------------- */

static void
finish(struct behind *b)
{
	char hex[RK_SHA256_HEX];

	rk_sha256_end(b->sha, hex);
	b->sha = NULL;
	download_all(b->d, hex, b->crc);
}

/* Begin what can be begun; end the download when all is done. */
static void
see(struct behind *b)
{
	uint64_t there = ranges_head(&b->d->done);

	if (!b->hashing && there > b->at) {
		b->hashing = true;
		b->n = RK_MIN(there - b->at, STRETCH);
		loop_work(b->loop, hash_work, hash_done, b);
	}
	if (!b->syncing && b->fresh.n > 0) {
		struct ranges empty = b->synced;

		b->synced = b->fresh;
		b->fresh = empty;
		b->syncing = true;
		loop_work(b->loop, sync_work, sync_done, b);
	}
	if (!b->hashing && !b->syncing && b->at == b->d->size)
		finish(b);
}

void
behind_begin(struct download *d)
{
	struct behind *b = xcalloc(1, sizeof(*b));

	b->tag = BEHIND_TAG;
	b->d = d;
	b->loop = d->op.r->loop;
	b->fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 3);
	b->sha = rk_sha256_new();
	b->want_crc = d->want == NULL && d->has_crc;
	b->next = all;
	b->prev = &all;
	if (b->next != NULL)
		b->next->prev = &b->next;
	all = b;
	d->behind = b;
}

void
behind_see(struct download *d, uint64_t at, uint64_t n)
{
	must_be(d->behind, BEHIND_TAG);
	if (d->got != NULL && n > 0)
		ranges_add(&d->behind->fresh, at, n);
	see(d->behind);
}

void
behind_drop(struct download *d)
{
	struct behind *b = d->behind;

	if (b == NULL)
		return;
	must_be(b, BEHIND_TAG);
	d->behind = NULL;
	b->d = NULL;
	atomic_store(&b->stop, true);
	free_if_idle(b);
}
