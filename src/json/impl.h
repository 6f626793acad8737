/* What the files of json share among themselves. */
#ifndef JSON_IMPL_H
#define JSON_IMPL_H

#include "rekindle/json.h"

/* A fault at a place in the text; always RK_EINVAL. */
enum rk_err text_fault(struct rk_why *why, size_t line, size_t column,
    const char *fmt, ...) RK_PRINTF(4, 5);

/* What a plain scalar of YAML's core schema comes to. */
enum scalar_kind {
	SCALAR_OK,              /* *out is set */
	SCALAR_NOT_FINITE,      /* .inf, .nan, 1e999: JSON has no such number */
	SCALAR_TOO_BIG,         /* an integer that 64 bits do not hold */
	SCALAR_NOT_UTF8,
};
enum scalar_kind scalar_value(const char *text, json_t **out);

/* x in the fewest digits that read back as x, at least RK_HUMAN bytes in out;
 * with a ".0" where it would look like an integer if `point`. */
char *real_text(char *out, double x, bool point);

#endif
