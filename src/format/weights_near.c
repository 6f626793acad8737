/* The files of an archive, for who has not named one that is there. */
#include <string.h>

#include "weights_make.h"

#define LISTED   8
#define COMPARED 4096           /* files of an archive; the others are far */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* By the whole path, or by the name alone, which is what people remember. */
static size_t
far_from(const char *want, const char *path)
{
	return RK_MIN(rkj_distance(want, path), 1 +
	    rkj_distance(base_name(want), base_name(path)));
}

/* The nearest first; of equally far ones the first by path. */
static size_t
nearest_members(const struct format_tar *t, const char *want,
    const char *found[LISTED])
{
	size_t far[LISTED], n = 0;

	for (size_t i = 0; i < RK_MIN(t->n, (size_t)COMPARED); i++) {
		const size_t x = far_from(want, t->files[i].path);
		if (n == LISTED && x >= far[n - 1])
			continue;
		n += n < LISTED;
		size_t k = n - 1;
		for (; k > 0 && far[k - 1] > x; k--) {
			far[k] = far[k - 1];
			found[k] = found[k - 1];
		}
		far[k] = x;
		found[k] = t->files[i].path;
	}
	return n;
}

void
weights_list_members(const struct format_tar *t, const char *want,
    struct strbuf *b)
{
	const char *found[LISTED];
	const size_t n = nearest_members(t, want, found);

	for (size_t i = 0; i < n; i++)
		sb_addf(b, "%s\"%.60s\"", i > 0 ? ", " : "", found[i]);
	if (n == 0)
		sb_adds(b, "no file");
	if (t->n > n)
		sb_addf(b, " and %zu more", t->n - n);
}
