/* module: data */
/*
 * Any bytes as a list of images and their labels: refused with one sentence, or
 * paths that stay in their folder, each with labels that are among the classes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_path(const char *path)
{
	must(path[0] != '\0' && path[0] != '/');
	must(strlen(path) < IMAGE_PATH_MAX);
	for (const char *at = path; *at != '\0';) {
		const size_t len = strcspn(at, "/");
		must(len > 0 && !(len == 2 && memcmp(at, "..", 2) == 0));
		at += len + (at[len] == '/');
	}
}

static void
check_several(const struct image_names *v)
{
	for (size_t i = 0; i < v->n; i++)
		for (int64_t k = v->many_from[i]; k < v->many_from[i + 1]; k++)
			must(v->many[k] >= 0 && v->many[k] < v->nclasses &&
			    (k == v->many_from[i] || v->many[k - 1] <
			    v->many[k]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct image_names v = { 0 };
	struct rk_why why = { 0 };
	const enum rk_err rc = image_list((const char *)p, n, "fuzz", &v, &why);

	if (rc != RK_OK) {
		must(rc == RK_EINVAL && why.n == 1);
		rk_why_fini(&why);
		image_names_fini(&v);
		return 0;
	}
	must(why.n == 0 && v.n > 0);
	for (size_t i = 0; i < v.n; i++) {
		check_path(image_path(&v, i));
		must(isfinite(v.targets[i]) && v.line[i] > 0);
		must(v.classes == NULL || v.targets[i] < (float)v.nclasses);
	}
	if (v.many_from != NULL)
		check_several(&v);
	image_names_fini(&v);
	return 0;
}
