/*
 * scan - JSON read piece by piece out of memory, without a tree.
 *
 * For the headers of tensor files: up to 100 MB that somebody else wrote, of
 * which we want numbers and names.  Nothing is allocated and nothing recurses.
 * The text must be UTF-8 (rk_utf8_good).  The first thing that goes
 * wrong is told to `why`; after that every call returns false.
 */
#ifndef REKINDLE_FORMAT_SCAN_H
#define REKINDLE_FORMAT_SCAN_H

#include "rekindle/base.h"

#define SCAN_MAX_DEPTH 64

struct scan {
	const unsigned char *p;
	size_t n, at;
	struct rk_why *why;
	bool failed;
};

/* A string as it stands in the text, without its quotes, escapes in place. */
struct scan_text {
	const unsigned char *p;
	size_t n;
};

/* The next byte behind white space, not taken; -1 at the end. */
int scan_peek(struct scan *s);
/* Take the byte c, behind white space, or fail. */
bool scan_take(struct scan *s, char c);
/* Take c if it is next. */
bool scan_try(struct scan *s, char c);
/* White space up to the end of the text, or fail. */
bool scan_end(struct scan *s);

bool scan_string(struct scan *s, struct scan_text *out);
/* A whole number from 0 to 2^64-1, without fraction or exponent. */
bool scan_u64(struct scan *s, uint64_t *out);
/* Any value, checked and passed over. */
bool scan_skip(struct scan *s);

/* The string's bytes into out, at most cap of them; returns how many there
 * are, which may be more than cap.  No NUL is appended. */
size_t scan_unescape(const struct scan_text *t, char *out, size_t cap);
bool scan_text_is(const struct scan_text *t, const char *word);

/* Fail with "the header is no good at byte N: want WHAT". */
bool scan_fail(struct scan *s, const char *want);

#endif
