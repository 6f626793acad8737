/* SHA-256 by OpenSSL, which uses the processor's own instructions for it. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

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

enum rk_err
rk_sha256_of_fd(int fd, char hex[RK_SHA256_HEX], uint64_t *size)
{
	char *buf = xmalloc(READ_BYTES);
	struct rk_sha256 *d = rk_sha256_new();
	uint64_t at = 0;
	ssize_t n;

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (;;) {
		n = pread(fd, buf, READ_BYTES, (off_t)at);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			enum rk_err rc = rk_from_errno(errno);
			rk_sha256_free(d);
			free(buf);
			return rc;
		}
		rk_sha256_add(d, buf, (size_t)n);
		at += (uint64_t)n;
	}
	rk_sha256_end(d, hex);
	free(buf);
	if (size != NULL)
		*size = at;
	return RK_OK;
}
