/* What object stores ask for in their headers: HMAC, hex, base64; and a way to
 * forget the secrets that it was made with. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

static void
hmac(const char *digest, const void *key, size_t key_len, const void *p,
    size_t n, unsigned char *out, size_t size)
{
	size_t len = 0;

	/* OpenSSL takes a missing key for an error, and an empty one not. */
	must(EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL,
	    key_len > 0 ? key : "", key_len,
	    n > 0 ? p : (const unsigned char *)"", n, out, size, &len) != NULL);
	must(len == size);
}

void
rk_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n,
    unsigned char out[32])
{
	hmac("SHA256", key, key_len, p, n, out, 32);
}

void
rk_hmac_sha1(const void *key, size_t key_len, const void *p, size_t n,
    unsigned char out[20])
{
	hmac("SHA1", key, key_len, p, n, out, 20);
}

void
rk_hex(char *out, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * n] = '\0';
}

static const char sixty_four[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
rk_base64(const void *p, size_t n)
{
	const unsigned char *b = p;
	size_t size;

	must(rk_mul(n / 3 + 1, 4, &size));
	char *out = xmalloc(size + 1), *o = out;
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)b[i] << 16;
		if (i + 1 < n)
			v |= (unsigned)b[i + 1] << 8;
		if (i + 2 < n)
			v |= b[i + 2];
		*o++ = sixty_four[v >> 18];
		*o++ = sixty_four[v >> 12 & 63];
		*o++ = i + 1 < n ? sixty_four[v >> 6 & 63] : '=';
		*o++ = i + 2 < n ? sixty_four[v & 63] : '=';
	}
	*o = '\0';
	return out;
}

/* The six bits of a digit, or -1. */
static int
six_bits(char c)
{
	const char *at = c != '\0' ? strchr(sixty_four, c) : NULL;

	return at != NULL ? (int)(at - sixty_four) : -1;
}

/* Four digits a group, padded with '=' at the end and only there (RFC 4648). */
enum rk_err
rk_base64_decode(const char *s, void **out, size_t *n)
{
	size_t len = strlen(s), pad = 0, left = 0;

	while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
		pad++;
	if (len % 4 != 0)
		return RK_EINVAL;
	unsigned char *b = xmalloc(len / 4 * 3 + 1), *o = b;
	unsigned v = 0;
	for (size_t i = 0; i < len - pad; i++) {
		int six = six_bits(s[i]);
		if (six < 0) {
			free(b);
			return RK_EINVAL;
		}
		v = v << 6 | (unsigned)six;
		left += 6;
		if (left >= 8) {
			left -= 8;
			*o++ = (unsigned char)(v >> left);
		}
	}
	*o = '\0';
	*n = (size_t)(o - b);
	*out = b;
	return RK_OK;
}

void
rk_wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}
