/*
 * number - decimal numbers in text, the same whatever the locale is.
 */
#ifndef DATA_NUMBER_H
#define DATA_NUMBER_H

#include <stdbool.h>

/*
 * The number that begins at p: [+-] digits [. digits] [e [+-] digits], with a
 * digit before or after the point.  Returns where it ends and sets *v to the
 * nearest double (infinite when too large for one), or returns NULL when there
 * is none.  Reads nothing at or past end.
 */
const char *number_parse(const char *p, const char *end, double *v);

#endif
