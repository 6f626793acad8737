/* What the kernel writes into a group's files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define NO_LIMIT (UINT64_C(1) << 62)    /* version 1 says 2^63 less a page */
#define CPUS_MAX 1000000                /* of a quota that can be meant */

/* A whole number at *p, which is moved behind it. */
static bool
number(const char **p, uint64_t *v)
{
	char *end;

	if (**p < '0' || **p > '9')
		return false;
	errno = 0;
	*v = strtoull(*p, &end, 10);
	*p = end;
	return errno == 0;
}

static bool
ends(const char *p)
{
	return *p == '\0' || strcmp(p, "\n") == 0;
}

bool
value_bytes(const char *text, uint64_t *v)
{
	return number(&text, v) && ends(text) && *v > 0 && *v < NO_LIMIT;
}

static bool
ratio(uint64_t quota, uint64_t period, int64_t *millicpus)
{
	if (quota == 0 || period == 0 || quota / period > CPUS_MAX ||
	    quota > UINT64_MAX / 1000)
		return false;
	*millicpus = RK_MAX((int64_t)(quota * 1000 / period), 1);
	return true;
}

bool
value_cpu_max(const char *text, int64_t *millicpus)
{
	uint64_t quota, period;

	if (!number(&text, &quota) || *text++ != ' ' ||
	    !number(&text, &period) || !ends(text))
		return false;
	return ratio(quota, period, millicpus);
}

bool
value_cfs(const char *quota, const char *period, int64_t *millicpus)
{
	uint64_t q, p;

	/* No limit is -1, and no number here. */
	if (!number(&quota, &q) || !ends(quota) || !number(&period, &p) ||
	    !ends(period))
		return false;
	return ratio(q, p, millicpus);
}

bool
value_count(const char *text, const char *key, int64_t *n)
{
	size_t len = strlen(key);
	uint64_t v;

	while (text != NULL) {
		if (strncmp(text, key, len) == 0 && text[len] == ' ') {
			text += len + 1;
			if (!number(&text, &v) || v > INT64_MAX ||
			    (*text != '\n' && *text != '\0'))
				return false;
			*n = (int64_t)v;
			return true;
		}
		text = strchr(text, '\n');
		text = text != NULL ? text + 1 : NULL;
	}
	return false;
}
