/* MD5 by OpenSSL, because object stores speak it: Content-MD5 and ETags. */
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "rekindle/base.h"

struct rk_md5 {
	EVP_MD_CTX *ctx;
};

static EVP_MD *md5_md;
static pthread_once_t md5_once = PTHREAD_ONCE_INIT;

static void
fetch_md(void)
{
	/* Where only approved algorithms are let through, MD5 is not one; it
	 * is no matter of trust here, so that rule is asked to stand aside. */
	md5_md = EVP_MD_fetch(NULL, "MD5", "-fips");
	must(md5_md != NULL);
}

struct rk_md5 *
rk_md5_new(void)
{
	struct rk_md5 *d = xmalloc(sizeof(*d));

	must(pthread_once(&md5_once, fetch_md) == 0);
	d->ctx = EVP_MD_CTX_new();
	must(d->ctx != NULL);
	must(EVP_DigestInit_ex2(d->ctx, md5_md, NULL) == 1);
	return d;
}

void
rk_md5_add(struct rk_md5 *d, const void *p, size_t n)
{
	if (n > 0)
		must(EVP_DigestUpdate(d->ctx, p, n) == 1);
}

void
rk_md5_end(struct rk_md5 *d, unsigned char out[16])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	must(EVP_DigestFinal_ex(d->ctx, md, &len) == 1 && len == 16);
	for (unsigned i = 0; i < len; i++)
		out[i] = md[i];
	EVP_MD_CTX_free(d->ctx);
	free(d);
}
