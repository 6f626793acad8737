/*
 * What the three signatures share: keys, percent-encoding, the query, the
 * canonical headers and the chain of HMACs.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sign.h"

/* --- one set of keys ------------------------------------------------------ */

struct cred *
cred_new(const char *id, const char *secret, const char *token,
    int64_t expires_ms)
{
	struct cred *c = xcalloc(1, sizeof(*c));

	*c = (struct cred){ .refs = 1, .id = xstrdup(id),
	    .secret = xstrdup(secret),
	    .token = xstrdup(token != NULL ? token : ""),
	    .expires_ms = expires_ms };
	return c;
}

struct cred *
cred_ref(struct cred *c)
{
	must(c->refs > 0);
	c->refs++;
	return c;
}

void
cred_unref(struct cred **cp)
{
	struct cred *c = *cp;

	*cp = NULL;
	if (c == NULL || --c->refs > 0)
		return;
	rk_wipe(c->id, strlen(c->id));
	rk_wipe(c->secret, strlen(c->secret));
	rk_wipe(c->token, strlen(c->token));
	free(c->id);
	free(c->secret);
	free(c->token);
	free(c);
}

/* --- encoding ------------------------------------------------------------- */

void
sign_encode(struct strbuf *b, const char *s, bool keep_slash)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    (c >= '0' && c <= '9') || strchr("-_.~", c) != NULL ||
		    (c == '/' && keep_slash)) {
			sb_addc(b, (char)c);
		} else {
			sb_addc(b, '%');
			sb_addc(b, hex[c >> 4]);
			sb_addc(b, hex[c & 15]);
		}
	}
}

struct pair {
	char *name, *value;
};

static int
by_name_and_value(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int d = strcmp(x->name, y->name);

	return d != 0 ? d : strcmp(x->value, y->value);
}

static char *
encoded(const char *s)
{
	struct strbuf b = {0};

	sb_adds(&b, "");
	sign_encode(&b, s, false);
	return sb_detach(&b);
}

void
sign_query_text(struct strbuf *b, const struct sign_query *q, size_t n,
    bool always_eq)
{
	struct pair *v = xcalloc(n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++) {
		v[i].name = encoded(q[i].name);
		v[i].value = encoded(q[i].value != NULL ? q[i].value : "");
	}
	qsort(v, n, sizeof(*v), by_name_and_value);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sb_addc(b, '&');
		sb_adds(b, v[i].name);
		if (always_eq || v[i].value[0] != '\0')
			sb_addf(b, "=%s", v[i].value);
		free(v[i].name);
		free(v[i].value);
	}
	free(v);
}

/* --- canonical headers ---------------------------------------------------- */

void
canon_add(struct canon *c, const char *name, const char *value)
{
	if (c->n == CANON_MAX)
		return;
	struct canon_header *h = &c->v[c->n++];
	h->name = xstrdup(name);
	for (char *p = h->name; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	while (*value == ' ' || *value == '\t')
		value++;
	size_t n = strlen(value);
	while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	h->value = xstrndup(value, n);
}

/* A run of blanks within a value counts as one (AWS's rule alone). */
void
canon_squeeze(struct canon *c)
{
	for (size_t i = 0; i < c->n; i++) {
		char *to = c->v[i].value;
		for (const char *p = to; *p != '\0'; p++) {
			bool blank = *p == ' ' || *p == '\t';
			if (blank && to > c->v[i].value && to[-1] == ' ')
				continue;
			*to++ = blank ? ' ' : *p;
		}
		*to = '\0';
	}
}

static int
by_header(const void *a, const void *b)
{
	const struct canon_header *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void
canon_sort(struct canon *c)
{
	qsort(c->v, c->n, sizeof(c->v[0]), by_header);
}

void
canon_fini(struct canon *c)
{
	for (size_t i = 0; i < c->n; i++) {
		rk_wipe(c->v[i].value, strlen(c->v[i].value));
		free(c->v[i].name);
		free(c->v[i].value);
	}
	c->n = 0;
}

void
canon_text(const struct canon *c, struct strbuf *b)
{
	for (size_t i = 0; i < c->n; i++)
		sb_addf(b, "%s:%s\n", c->v[i].name, c->v[i].value);
}

/* --- time and keys -------------------------------------------------------- */

void
sign_stamp(int64_t ms, char out[SIGN_STAMP])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	must(gmtime_r(&t, &tm) != NULL);
	must(strftime(out, SIGN_STAMP, "%Y%m%dT%H%M%SZ", &tm) == 16);
}

/* Not strftime: days and months are English whatever the locale. */
void
sign_date(int64_t ms, char out[SIGN_DATE])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	must(gmtime_r(&t, &tm) != NULL);
	snprintf(out, SIGN_DATE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100u,
	    months + 3 * tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000u,
	    (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
	    (unsigned)tm.tm_sec % 100u);
}

void
sign_v4(const struct sign_v4 *v, const char *canonical, char hex[RK_SHA256_HEX])
{
	const char *const chain[] = { v->region, v->product, v->end };
	unsigned char key[32];
	char digest[RK_SHA256_HEX];
	struct strbuf b = {0};

	sb_addf(&b, "%s%s", v->begin, v->secret);
	rk_hmac_sha256(b.s, b.len, v->stamp, 8, key);
	rk_wipe(b.s, b.len);
	for (size_t i = 0; i < RK_ARRAY_LEN(chain); i++)
		rk_hmac_sha256(key, 32, chain[i], strlen(chain[i]), key);
	rk_sha256_of(canonical, strlen(canonical), digest);
	sb_reset(&b);
	sb_addf(&b, "%s\n%s\n%s\n%s", v->algorithm, v->stamp, v->scope, digest);
	rk_hmac_sha256(key, 32, b.s, b.len, key);
	rk_hex(hex, key, 32);
	rk_wipe(key, sizeof(key));
	sb_fini(&b);
}
