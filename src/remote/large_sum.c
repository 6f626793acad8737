/*
 * Digests of a range of a file, by a worker of the loop: one read, and every
 * digest that is wanted from the same buffer while the cache has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "large.h"

#define SUM_TAG    0x73756d6au
#define READ_BYTES (256u << 10)

struct sum_job {
	unsigned tag;
	struct sum_job *next, **prev;
	int fd;
	uint64_t at, n;
	unsigned want;
	atomic_bool stop;       /* nobody waits for it any more */
	enum rk_err err;
	struct sums s;
	sum_fn *fn;
	void *ctx;
};

/* Those that a worker has or will have; the loop may end before they do. */
static struct sum_job *jobs;

struct running {
	struct rk_md5 *md5;
	struct rk_sha256 *sha;
};

static void
add(struct sum_job *j, struct running *r, const char *p, size_t n)
{
	if (r->md5 != NULL)
		rk_md5_add(r->md5, p, n);
	if (r->sha != NULL)
		rk_sha256_add(r->sha, p, n);
	if (j->want & SUM_CRC64_)
		j->s.crc64 = rk_crc64(j->s.crc64, p, n);
	if (j->want & SUM_CRC32_)
		j->s.crc32c = crc32c(j->s.crc32c, p, n);
}

static enum rk_err
read_all(struct sum_job *j, struct running *r, char *buf)
{
	uint64_t at = j->at, end = j->at + j->n;

	while (at < end && !atomic_load(&j->stop)) {
		ssize_t n = pread(j->fd, buf, RK_MIN(READ_BYTES, end - at),
		    (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rk_from_errno(errno);
		if (n == 0)
			return RK_ECORRUPT;
		add(j, r, buf, (size_t)n);
		at += (uint64_t)n;
	}
	return RK_OK;
}

static void
work(void *ctx)
{
	struct sum_job *j = ctx;
	struct running r = { 0 };
	unsigned char md[16];
	char *buf;

	must_be(j, SUM_TAG);
	if (atomic_load(&j->stop))
		return;
	buf = xmalloc(READ_BYTES);
	if (j->want & SUM_MD5_)
		r.md5 = rk_md5_new();
	if (j->want & SUM_SHA_)
		r.sha = rk_sha256_new();
	j->err = read_all(j, &r, buf);
	if (r.md5 != NULL) {
		rk_md5_end(r.md5, md);
		memcpy(j->s.md5, md, sizeof(md));
	}
	if (r.sha != NULL)
		rk_sha256_end(r.sha, j->s.sha256);
	free(buf);
}

static void
done(void *ctx)
{
	struct sum_job *j = ctx;

	must_be(j, SUM_TAG);
	*j->prev = j->next;
	if (j->next != NULL)
		j->next->prev = j->prev;
	rk_close(&j->fd);
	if (!atomic_load(&j->stop))
		j->fn(j->ctx, j->err, &j->s);
	j->tag = 0;
	free(j);
}

struct sum_job *
sum_start(struct loop *l, int fd, uint64_t at, uint64_t n, unsigned want,
    sum_fn *fn, void *ctx)
{
	struct sum_job *j = xcalloc(1, sizeof(*j));

	j->tag = SUM_TAG;
	j->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	j->at = at;
	j->n = n;
	j->want = want;
	j->fn = fn;
	j->ctx = ctx;
	j->next = jobs;
	j->prev = &jobs;
	if (j->next != NULL)
		j->next->prev = &j->next;
	jobs = j;
	loop_work(l, work, done, j);
	return j;
}

void
sum_cancel(struct sum_job **jp)
{
	if (*jp != NULL) {
		must_be(*jp, SUM_TAG);
		atomic_store(&(*jp)->stop, true);
	}
	*jp = NULL;
}

/* --- CRC-32C ------------------------------------------------------------ */

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void
crc_make(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0);
		crc_table[0][i] = c;
	}
	for (unsigned i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++) {
			uint32_t c = crc_table[k - 1][i];

			crc_table[k][i] = (c >> 8) ^ crc_table[0][c & 255];
		}
}

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint32_t c = ~crc;

	must(pthread_once(&crc_once, crc_make) == 0);
	for (; n >= 8; n -= 8, p += 8) {
		c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 |
		    (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		c = crc_table[7][c & 255] ^ crc_table[6][c >> 8 & 255] ^
		    crc_table[5][c >> 16 & 255] ^ crc_table[4][c >> 24] ^
		    crc_table[3][p[4]] ^ crc_table[2][p[5]] ^
		    crc_table[1][p[6]] ^ crc_table[0][p[7]];
	}
	for (; n > 0; n--, p++)
		c = (c >> 8) ^ crc_table[0][(c ^ *p) & 255];
	return ~c;
}
