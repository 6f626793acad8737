/* module: mirror */
/*
 * Any bytes as a base, and each of its lines as names of objects.  The first
 * byte says whether the lines between are given a right head and end, without
 * which a fuzzer would not get far.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/mirror/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check(struct base *b, const char *text, size_t len)
{
	struct rk_why why = {0};

	must(b->epoch >= 1 && rk_id_ok(b->claim));
	for (size_t i = 0; i < b->n; i++) {
		struct bjob *j = &b->v[i];
		must(rk_id_ok(j->id) && base_find(b, j->id) == j);
		must(i == 0 || strcmp(b->v[i - 1].id, j->id) < 0);
		must(j->at + j->len <= len);
		json_t *o = bjob_record(j, text, &why);
		must(o == NULL || !j->gone);
		(void)bjob_names(j, "s3://b/k/");
		json_decref(o);
	}
	rk_why_fini(&why);
}

static void
names(const char *text)
{
	struct numbers l = { .suffix = ".json" };
	struct remote_entry e = { .key = text };
	char id[RK_ID];
	int64_t version;

	must(numbers_see(&l, &e, 1));
	must(l.n == 0 || (l.v[0] > 0 && l.v[0] <= NUMBER_TOP));
	numbers_fini(&l);
	if (record_name(text, id, &version))
		must(rk_id_ok(id) && version > 0 && version <= NUMBER_TOP);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char id[] = "01m84mmyytsgv1qwmhja2wsjzr";
	struct rk_why why = {0};
	struct strbuf s = {0};
	struct base b;
	size_t lines = 0;

	log_set_level(LOG_L_ERROR + 1);
	if (n == 0 || n > 65536)
		return 0;
	if (p[0] != '!')
		base_put_head(&s, 7, id);
	sb_add(&s, p + 1, n - 1);
	for (size_t i = 1; i < n; i++)
		lines += p[i] == '\n';
	if (p[0] != '!') {
		if (p[n - 1] != '\n') {
			sb_addc(&s, '\n');
			lines++;
		}
		base_put_end(&s, lines);
	}
	enum rk_err rc = base_parse(&b, sb_str(&s), s.len, &why);
	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ELIMIT);
	must((rc == RK_OK) == (why.n == 0));
	if (rc == RK_OK)
		check(&b, s.s, s.len);
	base_fini(&b);
	rk_why_fini(&why);
	char *text = xstrndup((const char *)p, n);
	names(text);
	free(text);
	sb_fini(&s);
	return 0;
}
