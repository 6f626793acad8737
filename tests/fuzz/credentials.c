/* module: remote */
/*
 * Any bytes as each answer that may hold keys, as an INI file, and as a command
 * line: keys that could go into a header, or one sentence and none.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/remote/cred.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check(struct cred *c, char *why)
{
	must((c == NULL) == (why != NULL));
	free(why);
	if (c == NULL)
		return;
	must(c->id[0] != '\0' && c->secret[0] != '\0');
	must(strpbrk(c->id, " \t\r\n") == NULL &&
	    strpbrk(c->secret, " \t\r\n") == NULL &&
	    strpbrk(c->token, " \t\r\n") == NULL);
	cred_unref(&c);
	must(c == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const sections[] = { "default", "profile a b" };
	static const char *const keys[] = { "aws_access_key_id", "k", NULL };
	char *text = xmalloc(n + 1), *why = NULL;

	memcpy(text, p, n);
	text[n] = '\0';
	for (int f = FORM_AWS; f <= FORM_ALIBABA_STS; f++) {
		struct cred *c = cred_of_json(text, n, (enum cred_form)f,
		    &why);
		check(c, why);
	}
	struct cred *c = cred_of_xml(text, n, &why);
	check(c, why);
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < 3; j++) {
			char *v = ini_get(text, sections[i], keys[j]);
			must(v == NULL || strlen(v) <= n);
			free(v);
		}
	}
	char *nested = ini_nested(text, "default", "s3", "k");
	must(nested == NULL || strlen(nested) <= n);
	free(nested);
	char **w = words_of(text);
	size_t all = 0;
	for (char **q = w; q != NULL && *q != NULL; q++)
		all += strlen(*q);
	must(all <= n);
	words_free(w);
	(void)cred_host_near(text);
	free(text);
	return 0;
}
