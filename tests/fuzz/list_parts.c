/* module: remote */
/* What a store answers to ListParts, and the headers that are taken apart. */
#include <stdlib.h>
#include <string.h>

#include "../../src/remote/large.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
part(void *ctx, const struct listed *l)
{
	must(l->number > 0 && l->number <= PARTS_MAX);
	must(strlen(l->etag) < ETAG_MAX);
	++*(size_t *)ctx;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint64_t first, last, total;
	unsigned char md5[16];
	char etag[ETAG_MAX];
	size_t parts = 0;
	unsigned next;
	char *s = xstrndup((const char *)p, n);

	if (parts_read((const char *)p, n, part, &parts, &next))
		must(next <= PARTS_MAX);
	if (content_range_read(s, &first, &last, &total))
		must(first <= last && last < total);
	if (etag_read(etag, s))
		(void)etag_md5(etag, md5);
	free(s);
	return 0;
}
