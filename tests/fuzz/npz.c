/* module: format */
/*
 * Any bytes as an archive of arrays: refused with one sentence, or a header and
 * as many bytes of elements as it says, no more than the archive bears out.
 */
#include <stdlib.h>

#include "rekindle/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static enum rk_err
read_through(struct format_source *s, struct rk_why *why)
{
	uint8_t buf[4096];
	struct format_npy a;
	size_t got = sizeof(buf);
	uint64_t all = 0;
	enum rk_err rc = format_npy_head(s, &a, why);

	while (rc == RK_OK && got == sizeof(buf)) {
		rc = format_source_read(s, buf, sizeof(buf), &got, why);
		all += got;
	}
	if (rc == RK_OK)
		rc = format_source_end(s, why);
	must(rc != RK_OK || all <= format_source_most(s));
	return rc;
}

static void
parse(const uint8_t *p, size_t n, const char *name)
{
	struct rk_why why = { 0 };
	struct format_source s;
	enum rk_err rc = format_npz_open_mem(&s, p, n, "fuzz", name, &why);

	must(rc != RK_OK || format_source_most(&s) / 1032 <= n);
	if (rc == RK_OK)
		rc = read_through(&s, &why);
	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ENOMEM);
	must(why.n == (rc != RK_OK));
	rk_why_fini(&why);
	format_source_close(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	parse(p, n, "x");
	parse(p, n, "y");
	return 0;
}
