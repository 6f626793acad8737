/* module: preempt */
/*
 * Answers of metadata services, as any of the six clouds would have them read:
 * the first byte chooses cloud and question, the second the status.  A notice's
 * text must be fit to be logged and sent as JSON.
 */
#include <string.h>

#include "../../src/preempt/clouds.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct cloud *const all[] = { &cloud_aws, &cloud_gcp,
	    &cloud_azure, &cloud_alibaba, &cloud_tencent, &cloud_volcengine };
	struct notice out = { 0 };
	struct sight s = { .me = "", .now_ms = 1763900000000LL,
	    .begun_ms = 1763899000000LL, .boot_ms = 1763898000000LL };

	if (n < 2)
		return 0;
	char *body = xmalloc(n - 1);    /* with a NUL behind, as http has it */
	memcpy(body, p + 2, n - 2);
	body[n - 2] = '\0';
	s.me = p[1] % 2 ? "vm" : "";
	s.first = p[1] % 8 >= 4;
	all[p[0] % RK_ARRAY_LEN(all)]->read(p[0] / 8 % QUESTIONS_MAX,
	    p[1] % 4 == 3 ? 404 : 200, body, n - 2, &s, &out);
	free(body);
	must(s.overs <= OVER_MAX);
	must(memchr(out.text, '\0', sizeof(out.text)) != NULL);
	must(memchr(out.id, '\0', sizeof(out.id)) != NULL);
	json_t *v = json_string(out.text), *id = json_string(out.id);
	must(v != NULL && id != NULL);
	must(out.kind == NOTICE_NONE || out.text[0] != '\0');
	json_decref(v);
	json_decref(id);
	return 0;
}
