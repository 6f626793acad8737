/*
 * number - decimal numbers in text, the same whatever the locale is.
 */
#ifndef DATA_NUMBER_H
#define DATA_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The number that begins at p: [+-] digits [. digits] [e [+-] digits], with a
 * digit before or after the point.  Returns where it ends and sets *v to the
 * nearest double (infinite when too large for one), or returns NULL when there
 * is none.  Reads nothing at or past end.
 */
const char *number_parse(const char *p, const char *end, double *v);

/* Are these n bytes nan, inf or infinity, in capitals or not, with a sign or
 * not?  Some programs write them for missing values. */
bool number_is_nonfinite(const char *s, size_t n);

#endif
