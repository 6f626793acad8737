/* module: remote */
/*
 * Any bytes as the Location of an answer: an absolute address in printable
 * ASCII, without a fragment, whose path does not climb.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/remote/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const from[] = { "https://h.example/a/b?c",
		"http://h:1", "http://[::1]/" };
	char *where = xmalloc(n + 1);

	memcpy(where, p, n);
	where[n] = '\0';
	for (size_t i = 0; i < RK_ARRAY_LEN(from); i++) {
		char *to = redirect_target(from[i], where);
		must(strlen(to) <= strlen(from[i]) + 3 * n + 2);
		for (const char *s = to; *s != '\0'; s++)
			must(*s > ' ' && *s < 0x7f && *s != '#');
		char *query = strchr(to, '?');
		if (query != NULL)
			*query = '\0';
		if (strncmp(to, "http://", 7) == 0 ||
		    strncmp(to, "https://", 8) == 0) {
			const char *path = strchr(strstr(to, "//") + 2, '/');
			must(path != NULL && strstr(path, "/../") == NULL &&
			    strstr(path, "/./") == NULL);
		}
		(void)http_leads_to_metadata(to);
		free(to);
	}
	free(where);
	return 0;
}
