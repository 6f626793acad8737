/* module: json */
/*
 * JSON text: parsed or refused with a clean sentence; what is parsed is printed
 * and parsed again to the same tree.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_why(struct rk_why *why)
{
	must(why->n == 1 && why->more == 0);
	json_t *s = json_string(why->v[0].message);
	must(s != NULL && json_string_length(s) > 0);
	json_decref(s);
	rk_why_fini(why);
}

static void
check_again(const json_t *v, char *text)
{
	json_t *again = NULL;

	must(rkj_parse_json(text, strlen(text), &again, NULL) == RK_OK);
	must(json_equal(v, again));
	json_decref(again);
	free(text);
}

/* Read it as some specification would, so that messages are made. */
static void
read_fields(const json_t *v)
{
	struct rk_why why = {0};
	struct rkj_obj o;
	int64_t i;
	uint64_t u;
	double d;
	bool b;
	char *s = NULL;

	rkj_open(&o, v, "", &why);
	rkj_int(&o, "i", &i, 1, 10, RKJ_REQUIRED);
	rkj_real(&o, "r", &d, 0, 1, RKJ_OPTIONAL);
	rkj_bytes(&o, "m", &u, 1, UINT64_MAX, RKJ_OPTIONAL);
	rkj_bool(&o, "b", &b, RKJ_OPTIONAL);
	rkj_str(&o, "s", &s, 16, RKJ_OPTIONAL);
	rkj_close(&o);
	free(s);
	rk_why_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = {0};
	json_t *v = NULL;

	enum rk_err rc = rkj_parse_json((const char *)p, n, &v, &why);
	/* Printed, text may grow past the limit on what is parsed. */
	if (rc == RK_OK && n > RKJ_MAX_BYTES / 8) {
		json_decref(v);
		return 0;
	}
	if (rc != RK_OK) {
		must(rc == RK_EINVAL && v == NULL);
		check_why(&why);
		return 0;
	}
	check_again(v, rkj_text(v));
	check_again(v, rkj_pretty(v));
	read_fields(v);
	json_decref(v);
	return 0;
}
