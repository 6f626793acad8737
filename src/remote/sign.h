/* What the signatures share, and nobody else sees. */
#ifndef REMOTE_SIGN_H
#define REMOTE_SIGN_H

#include "impl.h"

/* Headers that are signed: names in lower case, values trimmed. */
#define CANON_MAX 48
struct canon_header {
	char *name, *value;
};
struct canon {
	size_t n;
	struct canon_header v[CANON_MAX];
};
void canon_add(struct canon *c, const char *name, const char *value);
void canon_squeeze(struct canon *c);
void canon_sort(struct canon *c);
void canon_text(const struct canon *c, struct strbuf *b);
void canon_fini(struct canon *c);

#define SIGN_STAMP 24           /* "20231216T162057Z" */
#define SIGN_DATE  32           /* "Wed, 28 Dec 2022 10:27:41 GMT" */
void sign_stamp(int64_t ms, char out[SIGN_STAMP]);
void sign_date(int64_t ms, char out[SIGN_DATE]);

/* The scheme that AWS V4 and OSS V4 have in common. */
struct sign_v4 {
	const char *algorithm, *begin, *end;    /* "AWS4-HMAC-SHA256", "AWS4",
	                                           "aws4_request" */
	const char *stamp, *region, *product, *scope, *secret;
};
void sign_v4(const struct sign_v4 *v, const char *canonical,
    char hex[RK_SHA256_HEX]);

#endif
