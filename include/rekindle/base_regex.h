/*
 * base_regex - regular expressions that cannot hang.
 *
 * A pattern is compiled to a program that looks at each byte of a text once,
 * with all its ways at the same time (K. Thompson, "Regular expression search
 * algorithm", CACM 11(6), 1968; R. Pike's simulation, which keeps the groups of
 * each way): time is bounded by the program's length times the text's, whatever
 * the pattern, and so is memory.
 *
 *	a  \.            a byte; \ before any that is no letter and no digit
 *	.  [a-z_]  [^.]  any; one of; none of (bytes of ASCII)
 *	\d \w \s         a digit; a letter, digit or '_'; white space; \D \W \S
 *	                 are all others.  Also in [ ]
 *	^  $             where the text begins and ends
 *	( )  (?: )       a group, numbered by its '('; one without a number
 *	a|b              the first of them that leads to a match
 *	* + ? {m,n}      as often as can be; with '?' behind, as seldom
 *
 * A match is the one that begins first; of several there that whose choices
 * come first, as in Perl and Python.  There are no references back, no looking
 * around and no flags; what is not here is refused.  Limits: RK_REGEX_BYTES of
 * pattern, RK_REGEX_GROUPS groups, RK_REGEX_PROGRAM instructions when repeats
 * are written out.
 */
#ifndef REKINDLE_BASE_REGEX_H
#define REKINDLE_BASE_REGEX_H

#include "rekindle/base.h"

#define RK_REGEX_BYTES    256
#define RK_REGEX_GROUPS   9
#define RK_REGEX_PROGRAM  512
#define RK_REGEX_NESTED   32

struct rk_regex;

/* On RK_OK *out is the caller's.  RK_EINVAL: what is wrong, and at which
 * byte. */
enum rk_err rk_regex_new(struct rk_regex **out, const char *pattern,
    struct rk_why *why) RK_MUSTCHECK;
void rk_regex_free(struct rk_regex *x);         /* NULL is fine */
int rk_regex_groups(const struct rk_regex *x);

/* Can it stand for a match?  \1 to \9 are groups of x, \\ is a backslash. */
enum rk_err rk_regex_text_ok(const struct rk_regex *x, const char *text,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Each match in s (one behind the other, none of them empty but where s is
 * begun or ended) replaced by text, which rk_regex_text_ok(): *out is the
 * caller's; NULL: nothing matches.  *budget counts down by what is done, an
 * instruction at a byte being 1; RK_ELIMIT: it is used up, or what came of s is
 * longer than `most` bytes.  From any thread, several at once with one x.
 */
enum rk_err rk_regex_replace(const struct rk_regex *x, const char *s,
    const char *text, size_t most, uint64_t *budget, char **out) RK_MUSTCHECK;

#endif
