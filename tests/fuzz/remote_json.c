/* module: ship */
/*
 * Any bytes as remote.json and as names.json of a bucket.  What is taken must
 * stay within its folder and its limits.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/ship/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_names(char **names)
{
	size_t k = 0;

	for (; names != NULL && names[k] != NULL; k++)
		must(spec_checkpoint_name_ok(names[k], NULL) == RK_OK);
	must(k <= NAMES_MAX);
}

static void
check_note(const struct rnote *n)
{
	static const char base[] = "s3://bucket/prefix/";
	struct rfiles f;

	must(rk_id_ok(n->job) && n->epoch >= 0);
	must(n->nfiles >= 0 && n->nfiles <= CKPT_MAX_FILES);
	check_names(n->names);
	rnote_files(n, base, &f);
	for (int i = 0; i < f.n; i++) {
		const char *rest = f.v[i].uri + strlen(base);
		must(starts_with(f.v[i].uri, base));
		must(starts_with(rest, "step-") && strstr(rest, "..") == NULL);
		must(strchr(strchr(rest, '/') + 1, '/') == NULL);
	}
	char *text = rfiles_text(&f);
	rfiles_fini(&f);
	rfiles_parse(&f, text);
	must(f.n == n->nfiles && names_same(f.names, n->names));
	rfiles_fini(&f);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *text = (const char *)p;
	struct rk_why why = {0};
	struct rnote note;

	if (n > 65536)
		return 0;
	enum rk_err rc = rnote_parse(text, n, &note, &why);
	must((rc == RK_OK) == (why.n == 0));
	if (rc == RK_OK) {
		check_note(&note);
		rnote_fini(&note);
	}
	rk_why_fini(&why);
	char **names = names_parse(text, n);
	check_names(names);
	names_free(names);
	(void)rnote_same(text, n, "{\"version\": 1}");
	return 0;
}
