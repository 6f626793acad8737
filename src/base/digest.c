/* SHA-256 by OpenSSL, which uses the processor's own instructions for it, and
 * XXH3 by its own library. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "rekindle/base.h"

#define READ_BYTES (256u << 10)

struct rk_sha256 {
	EVP_MD_CTX *ctx;
};

/* Looking an algorithm up by name takes longer than hashing a page. */
static EVP_MD *sha256_md;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void
fetch_md(void)
{
	sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(sha256_md != NULL);
}

static void
to_hex(const unsigned char *p, size_t n, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[p[i] >> 4];
		hex[2 * i + 1] = digits[p[i] & 15];
	}
	hex[2 * n] = '\0';
}

struct rk_sha256 *
rk_sha256_new(void)
{
	struct rk_sha256 *d = xmalloc(sizeof(*d));

	must(pthread_once(&sha256_once, fetch_md) == 0);
	d->ctx = EVP_MD_CTX_new();
	must(d->ctx != NULL);
	must(EVP_DigestInit_ex2(d->ctx, sha256_md, NULL) == 1);
	return d;
}

void
rk_sha256_add(struct rk_sha256 *d, const void *p, size_t n)
{
	if (n > 0)
		must(EVP_DigestUpdate(d->ctx, p, n) == 1);
}

void
rk_sha256_end(struct rk_sha256 *d, char hex[RK_SHA256_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	must(EVP_DigestFinal_ex(d->ctx, md, &len) == 1 && len == 32);
	to_hex(md, len, hex);
	rk_sha256_free(d);
}

void
rk_sha256_free(struct rk_sha256 *d)
{
	if (d == NULL)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

void
rk_sha256_of(const void *p, size_t n, char hex[RK_SHA256_HEX])
{
	struct rk_sha256 *d = rk_sha256_new();

	rk_sha256_add(d, p, n);
	rk_sha256_end(d, hex);
}

/* --- XXH3 ----------------------------------------------------------------- */

struct rk_xxh128 {
	XXH3_state_t *state;
};

struct rk_xxh128 *
rk_xxh128_new(void)
{
	struct rk_xxh128 *d = xmalloc(sizeof(*d));

	d->state = XXH3_createState();
	must(d->state != NULL);
	must(XXH3_128bits_reset(d->state) == XXH_OK);
	return d;
}

void
rk_xxh128_add(struct rk_xxh128 *d, const void *p, size_t n)
{
	if (n > 0)
		must(XXH3_128bits_update(d->state, p, n) == XXH_OK);
}

void
rk_xxh128_end(struct rk_xxh128 *d, char hex[RK_XXH128_HEX])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(d->state));
	to_hex(c.digest, sizeof(c.digest), hex);
	rk_xxh128_free(d);
}

void
rk_xxh128_free(struct rk_xxh128 *d)
{
	if (d == NULL)
		return;
	XXH3_freeState(d->state);
	free(d);
}

/* --- files ---------------------------------------------------------------- */

/* One read() or its errno; 0 at the end. */
static ssize_t
read_at(int fd, char *buf, uint64_t at)
{
	ssize_t n;

	do
		n = pread(fd, buf, READ_BYTES, (off_t)at);
	while (n < 0 && errno == EINTR);
	return n;
}

enum rk_err
rk_digests_of_fd(int fd, char *sha256, char *xxh128, uint64_t *size)
{
	struct rk_sha256 *s = sha256 != NULL ? rk_sha256_new() : NULL;
	struct rk_xxh128 *x = xxh128 != NULL ? rk_xxh128_new() : NULL;
	char *buf = xmalloc(READ_BYTES);
	uint64_t at = 0;
	ssize_t n;

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while ((n = read_at(fd, buf, at)) > 0) {
		if (s != NULL)
			rk_sha256_add(s, buf, (size_t)n);
		if (x != NULL)
			rk_xxh128_add(x, buf, (size_t)n);
		at += (uint64_t)n;
	}
	enum rk_err rc = n < 0 ? rk_from_errno(errno) : RK_OK;
	free(buf);
	if (rc != RK_OK) {
		rk_sha256_free(s);
		rk_xxh128_free(x);
		return rc;
	}
	if (s != NULL)
		rk_sha256_end(s, sha256);
	if (x != NULL)
		rk_xxh128_end(x, xxh128);
	if (size != NULL)
		*size = at;
	return RK_OK;
}

enum rk_err
rk_sha256_of_fd(int fd, char hex[RK_SHA256_HEX], uint64_t *size)
{
	return rk_digests_of_fd(fd, hex, NULL, size);
}
