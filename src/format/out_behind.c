/*
 * A thread that writes what has been read while the next is being read: a chunk
 * is filled by the caller, handed over, written and summed there, and given
 * back.  Its order is the caller's, and so are the bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "out.h"

#define CHUNKS 2

struct out_behind {
	const struct format_sink *to;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved;           /* any of what follows has */
	size_t full[CHUNKS];            /* bytes to be written; 0: empty */
	uint64_t given, taken;          /* chunks handed over, and written */
	bool ends;
	enum rk_err rc;                 /* of the sink; then no more is put */
	struct rk_why why;
	uint32_t crc;                   /* since the last drain */
	char *chunk[CHUNKS];
};

/* With the lock held; a chunk is its thread's until it is taken. */
static void
write_one(struct out_behind *b)
{
	const size_t i = b->taken % CHUNKS, n = b->full[i];
	enum rk_err rc = b->rc;
	uint32_t crc = b->crc;

	pthread_mutex_unlock(&b->lock);
	if (rc == RK_OK)
		rc = b->to->put(b->to->ctx, b->chunk[i], n, &b->why);
	if (rc == RK_OK)
		crc = (uint32_t)crc32(crc, (const Bytef *)b->chunk[i],
		    (uInt)n);
	pthread_mutex_lock(&b->lock);
	b->rc = rc;
	b->crc = crc;
	b->full[i] = 0;
	b->taken++;
	pthread_cond_broadcast(&b->moved);
}

static void *
writes(void *arg)
{
	struct out_behind *b = arg;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		if (b->taken < b->given)
			write_one(b);
		else if (b->ends)
			break;
		else
			pthread_cond_wait(&b->moved, &b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

struct out_behind *
out_behind_new(const struct format_sink *to)
{
	struct out_behind *b = calloc(1, sizeof(*b));
	bool ok = b != NULL;

	for (int i = 0; i < CHUNKS && ok; i++)
		ok = (b->chunk[i] = malloc(OUT_CHUNK)) != NULL;
	if (ok) {
		b->to = to;
		pthread_mutex_init(&b->lock, NULL);
		pthread_cond_init(&b->moved, NULL);
		ok = rk_thread_start(&b->thread, writes, b) == 0;
	}
	if (ok)
		return b;
	for (int i = 0; b != NULL && i < CHUNKS; i++)
		free(b->chunk[i]);
	free(b);
	return NULL;
}

void *
out_behind_chunk(struct out_behind *b)
{
	const size_t i = b->given % CHUNKS;

	pthread_mutex_lock(&b->lock);
	while (b->full[i] > 0)
		pthread_cond_wait(&b->moved, &b->lock);
	pthread_mutex_unlock(&b->lock);
	return b->chunk[i];
}

enum rk_err
out_behind_put(struct out_behind *b, size_t n)
{
	must(n > 0 && n <= OUT_CHUNK);
	pthread_mutex_lock(&b->lock);
	b->full[b->given++ % CHUNKS] = n;
	const enum rk_err rc = b->rc;
	pthread_cond_broadcast(&b->moved);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

enum rk_err
out_behind_drain(struct out_behind *b, uint32_t *crc, struct rk_why *why)
{
	pthread_mutex_lock(&b->lock);
	while (b->taken < b->given)
		pthread_cond_wait(&b->moved, &b->lock);
	*crc = b->crc;
	b->crc = 0;
	const enum rk_err rc = b->rc;
	if (rc != RK_OK && b->why.n > 0)
		rk_refuse(why, "%s", rk_why_first(&b->why));
	pthread_mutex_unlock(&b->lock);
	return rc;
}

void
out_behind_free(struct out_behind *b)
{
	if (b == NULL)
		return;
	pthread_mutex_lock(&b->lock);
	b->ends = true;
	pthread_cond_broadcast(&b->moved);
	pthread_mutex_unlock(&b->lock);
	must(pthread_join(b->thread, NULL) == 0);
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->moved);
	rk_why_fini(&b->why);
	for (int i = 0; i < CHUNKS; i++)
		free(b->chunk[i]);
	free(b);
}
