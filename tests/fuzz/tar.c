/* module: format */
/*
 * Any bytes as a tar: refused with one sentence, or an index of files that lie
 * inside, by their paths, none of which leads out.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool
leads_out(const char *path)
{
	return path[0] == '\0' || path[0] == '/' || strcmp(path, "..") == 0 ||
	    strncmp(path, "../", 3) == 0 || strstr(path, "/../") != NULL ||
	    strstr(path, "//") != NULL || (strlen(path) > 2 &&
	    strcmp(path + strlen(path) - 3, "/..") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = { 0 };
	struct format_tar *t = NULL;
	enum rk_err rc = format_tar_parse(p, n, "fuzz", &t, &why);
	uint64_t sum = 0;

	if (rc != RK_OK) {
		must(t == NULL && why.n == 1);
		must(rc == RK_EINVAL || rc == RK_ENOMEM);
		rk_why_fini(&why);
		return 0;
	}
	must(why.n == 0);
	for (size_t i = 0; i < t->n; i++) {
		const struct format_tar_file *f = &t->files[i];
		uint8_t byte = 0;
		must(f->size <= n && f->offset <= n - f->size);
		must(!leads_out(f->path));
		must(i == 0 || strcmp(t->files[i - 1].path, f->path) < 0);
		must(format_tar_find(t, f->path) == (int64_t)i);
		if (f->size > 0)
			must(format_tar_read(t, i, f->size - 1, &byte, 1,
			    &why) == RK_OK);
		sum += byte;
	}
	must(sum <= 255 * (uint64_t)t->n);
	format_tar_free(t);
	return 0;
}
