/* Trees changed: one merged into another, one value set by its path. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

void
rkj_merge(json_t *a, const json_t *b)
{
	json_t *v, *from = (json_t *)(uintptr_t)b;
	const char *key;

	must(json_is_object(a) && json_is_object(b) && a != b);
	json_object_foreach(from, key, v) {
		if (json_is_null(v)) {
			json_object_del(a, key);
			continue;
		}
		if (!json_is_object(v)) {
			/* A copy: what is changed in a is not changed in b. */
			must(json_object_set_new(a, key,
			    json_deep_copy(v)) == 0);
			continue;
		}
		json_t *to = json_object_get(a, key);
		if (!json_is_object(to)) {
			/* Merged into nothing, so that nulls in it go. */
			to = json_object();
			must(json_object_set_new(a, key, to) == 0);
		}
		rkj_merge(to, v);
	}
}

/* The object under `key` of `at`, made if there is none; NULL if what is there
 * is something else. */
static json_t *
step_into(json_t *at, const char *key)
{
	json_t *next = json_object_get(at, key);

	if (next == NULL || json_is_null(next)) {
		next = json_object();
		must(next != NULL);
		return json_object_set_new(at, key, next) == 0 ? next : NULL;
	}
	return json_is_object(next) ? next : NULL;
}

static enum rk_err
check_path(const char *path, struct rk_why *why)
{
	size_t parts = 1, len = 0;

	for (const char *s = path;; s++) {
		if (*s != '.' && *s != '\0') {
			len++;
			continue;
		}
		if (len == 0)
			return rk_refuse_at(why, path, "is not a field's name: "
			    "want names with a dot between, such as "
			    "training.epochs");
		if (*s == '\0')
			break;
		len = 0;
		parts++;
	}
	if (parts > RKJ_MAX_DEPTH)
		return rk_refuse_at(why, "", "the field's name has more than "
		    "%d parts", RKJ_MAX_DEPTH);
	return RK_OK;
}

enum rk_err
rkj_set_path(json_t *root, const char *path, json_t *v, struct rk_why *why)
{
	enum rk_err rc = check_path(path, why);
	char *names = xstrdup(path), *name = names, *dot;
	json_t *at = root;

	must(v != NULL);
	while (rc == RK_OK && (dot = strchr(name, '.')) != NULL) {
		*dot = '\0';
		if (!json_is_object(at) || (at = step_into(at, name)) == NULL)
			rc = rk_refuse_at(why, names, "is not an object, so "
			    "%s cannot be set", path);
		*dot = '.';
		name = dot + 1;
	}
	if (rc == RK_OK && json_object_set(at, name, v) != 0)
		rc = rk_refuse_at(why, path, "cannot be set here");
	json_decref(v);
	free(names);
	return rc;
}
