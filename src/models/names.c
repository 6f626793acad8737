/* Names of models and of aliases, and of what lies below the root. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyz" "ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789"
#define NAME_MAX_BYTES 64

bool
models_word(const char *s)
{
	const size_t n = strlen(s);

	return n > 0 && n <= NAME_MAX_BYTES && strspn(s, ALNUM "._-") == n &&
	    strchr(ALNUM, s[0]) != NULL;
}

/* Those that a job may have, too. */
enum rk_err
models_name_ok(const char *name, struct rk_why *why)
{
	return spec_model_name_ok(name, why);
}

enum rk_err
models_alias_ok(const char *alias, struct rk_why *why)
{
	return spec_model_alias_ok(alias, why);
}

char *
model_dir(const struct models *m, const char *name, const char *what)
{
	return xasprintf("%s%s/%s", m->root, name, what);
}

char *
entry_key(const struct models *m, const char *name, int64_t seq)
{
	return xasprintf("%s%s/log/%010lld.json", m->root, name,
	    (long long)seq);
}

char *
models_folder(struct models *m, const char *name, const char *id)
{
	must_be(m, MODELS_TAG);
	must(models_word(name) && models_word(id));
	return xasprintf("%s%s/versions/%s/", m->root, name, id);
}

/* A % in a path would be read as an escape, a # as what follows an address. */
static void
add_path(struct strbuf *b, const char *path)
{
	for (const char *s = path; *s != '\0'; s++) {
		if (*s == '%' || *s == '#')
			sb_addf(b, "%%%02X", (unsigned)*s);
		else
			sb_addc(b, *s);
	}
}

char *
models_root(const char *prefix, const char *state_dir)
{
	struct strbuf b = { 0 };

	if (prefix != NULL) {
		sb_adds(&b, prefix);
	} else {
		char *whole = realpath(state_dir, NULL);
		sb_adds(&b, "file://");
		add_path(&b, whole != NULL ? whole : state_dir);
		free(whole);
	}
	if (b.s[b.len - 1] != '/')
		sb_addc(&b, '/');
	sb_adds(&b, "models/");
	return sb_detach(&b);
}
