/* An array of an npz: a member of a zip archive, found by its name. */
#include <string.h>

#include "zip.h"

#define NAME_SHOWN 60
#define LISTED     8            /* names that a refusal lists */

static bool
is_named(const struct zip_member *m, const char *name)
{
	const size_t n = strlen(name);

	return m->name_len == n + 4 && memcmp(m->name, name, n) == 0 &&
	    memcmp(m->name + n, ".npy", 4) == 0;
}

/* " "x", "y"": what there is, for who asked for something else. */
static enum rk_err
list_names(struct zip *z, struct strbuf *b)
{
	struct zip_member m;
	uint64_t at = 0;
	int listed = 0;

	for (uint64_t i = 0; i < z->members; i++) {
		enum rk_err rc = zip_next(z, &at, &m);
		if (rc != RK_OK)
			return rc;
		size_t n = m.name_len;
		if (n < 4 || memcmp(m.name + n - 4, ".npy", 4) != 0)
			continue;
		if (listed++ == LISTED) {
			sb_adds(b, ", ...");
			return RK_OK;
		}
		sb_adds(b, listed > 1 ? ", \"" : "\"");
		sb_add(b, m.name, RK_MIN(n - 4, (size_t)NAME_SHOWN));
		sb_addc(b, '"');
	}
	if (listed == 0)
		sb_adds(b, "none");
	return RK_OK;
}

static enum rk_err
find_entry(struct zip *z, const char *name, struct zip_member *out)
{
	struct strbuf names = {0};
	struct zip_member m;
	uint64_t at = 0;
	int found = 0;

	for (uint64_t i = 0; i < z->members; i++) {
		enum rk_err rc = zip_next(z, &at, &m);
		if (rc != RK_OK)
			return rc;
		if (is_named(&m, name)) {
			*out = m;
			found++;
		}
	}
	if (found == 1)
		return RK_OK;
	if (found > 1)
		return rk_refuse(z->why, "%s: has two arrays \"%s\"", z->what,
		    name);
	enum rk_err rc = list_names(z, &names);
	if (rc == RK_OK)
		rc = rk_refuse(z->why, "%s: has no array \"%s\"; there is %s",
		    z->what, name, sb_str(&names));
	sb_fini(&names);
	return rc;
}

static enum rk_err
open_member(struct format_source *s, struct zip *z, const char *name)
{
	struct source_part part = { 0 };
	struct zip_member m = { 0 };

	z->what = s->what;
	z->kind = "npz";
	z->member = "array";
	z->most = FORMAT_NPZ_MEMBERS;
	enum rk_err rc = zip_open(z);
	if (rc == RK_OK)
		rc = find_entry(z, name, &m);
	if (rc == RK_OK)
		rc = zip_place(z, &m, name, strlen(name), &part);
	zip_close(z);
	if (rc != RK_OK)
		return rc;
	s->own_what = xasprintf("%s: %s", s->what, name);
	s->what = s->own_what;
	return source_narrow(s, &part, z->why);
}

enum rk_err
format_npz_open(struct format_source *s, const char *path, const char *name,
    struct rk_why *why)
{
	enum rk_err rc = source_open_file(s, path, why);
	struct zip z = { .fd = s->fd, .size = s->size, .why = why };

	return rc == RK_OK ? open_member(s, &z, name) : rc;
}

enum rk_err
format_npz_open_mem(struct format_source *s, const void *p, size_t n,
    const char *what, const char *name, struct rk_why *why)
{
	struct zip z = { .fd = -1, .mem = p, .size = n, .why = why };

	source_open_bytes(s, p, n, what);
	return open_member(s, &z, name);
}
