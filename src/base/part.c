/* Which bytes of a file are meant: what follows its address. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

#define MEMBER "#member="
#define PIN    "#sha256="
#define BEHIND "&sha256="       /* of a member */

const char *
rk_part_of(const char *address)
{
	const char *at = strstr(address, MEMBER);

	if (at == NULL)
		at = strrchr(address, '#');
	if (at != NULL && (strncmp(at, MEMBER, strlen(MEMBER)) == 0 ||
	    strncmp(at, PIN, strlen(PIN)) == 0))
		return at;
	return address + strlen(address);
}

/* 64 digits, and nothing behind them. */
static bool
take_digest(const char *s, char out[RK_SHA256_HEX])
{
	if (strlen(s) != RK_SHA256_HEX - 1 ||
	    strspn(s, "0123456789abcdefABCDEF") != RK_SHA256_HEX - 1)
		return false;
	for (size_t i = 0; i < RK_SHA256_HEX; i++)
		out[i] = s[i] >= 'A' && s[i] <= 'F' ?
		    (char)(s[i] - 'A' + 'a') : s[i];
	return true;
}

static enum rk_err
take_member(struct rk_part *p, const char *name, struct rk_why *why)
{
	/* The last one: a name may have it in it. */
	const char *digest = NULL;
	size_t n = strlen(name);

	for (const char *s = name; (s = strstr(s, BEHIND)) != NULL; s++)
		digest = s;
	if (digest != NULL) {
		n = (size_t)(digest - name);
		if (!take_digest(digest + strlen(BEHIND), p->sha256))
			return rk_refuse(why, "has \"" BEHIND "\" at its end "
			    "and not 64 hexadecimal digits behind it");
	}
	if (n == 0)
		return rk_refuse(why, "has \"" MEMBER "\" and no name behind "
		    "it: want the path of a file in the archive");
	p->member = xstrndup(name, n);
	return RK_OK;
}

enum rk_err
rk_part_parse(struct rk_part *p, const char *address, struct rk_why *why)
{
	const char *at = rk_part_of(address);
	enum rk_err rc = RK_OK;

	*p = (struct rk_part){ .bare = xstrndup(address,
	    (size_t)(at - address)) };
	if (strncmp(at, MEMBER, strlen(MEMBER)) == 0)
		rc = take_member(p, at + strlen(MEMBER), why);
	else if (*at != '\0' && !take_digest(at + strlen(PIN), p->sha256))
		rc = rk_refuse(why, "has \"" PIN "\" at its end and not 64 "
		    "hexadecimal digits behind it%s", strstr(at, "&member=") !=
		    NULL ? ": a digest comes last, #member=NAME&sha256=HEX" :
		    "");
	if (rc != RK_OK)
		rk_part_fini(p);
	return rc;
}

void
rk_part_fini(struct rk_part *p)
{
	free(p->bare);
	free(p->member);
	*p = (struct rk_part){0};
}
