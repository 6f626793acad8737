/* The names of folders, and those that people give. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

void
dir_text(char out[CKPT_DIR_MAX], int64_t step, int branch)
{
	must(step >= 0 && branch >= 1);
	int n = snprintf(out, CKPT_DIR_MAX, "step-%09" PRId64, step);
	if (branch > 1)
		snprintf(out + n, CKPT_DIR_MAX - (size_t)n, "-b%d", branch);
}

bool
dir_parse(const char *name, int64_t *step, int *branch)
{
	char again[CKPT_DIR_MAX];
	char *end;
	long b = 1;

	if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9' ||
	    strlen(name) > 5 + 18 + 8)
		return false;
	long long s = strtoll(name + 5, &end, 10);
	if (strncmp(end, "-b", 2) == 0)
		b = strtol(end + 2, &end, 10);
	if (b < 1 || b > MAX_BRANCHES)
		return false;
	dir_text(again, s, (int)b);
	if (strcmp(again, name) != 0)
		return false;
	*step = s;
	*branch = (int)b;
	return true;
}

bool
person_name_ok(const char *name)
{
	static const char *const ours[] = {
		"latest", "best", "none", CKPT_BRANCHES
	};

	if (!rk_name_ok(name) || strncmp(name, "step-", 5) == 0)
		return false;
	for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++) {
		if (strcmp(name, ours[i]) == 0)
			return false;
	}
	return true;
}

void
hidden_name(char out[HIDDEN_MAX], const char *prefix, const char *name)
{
	uint64_t r;

	rk_random_bytes(&r, sizeof(r));
	snprintf(out, HIDDEN_MAX, "%s%.*s-%016" PRIx64, prefix,
	    CKPT_DIR_MAX - 1, name, r);
}
