/* module: remote */
/*
 * What a store may answer: the reader walks it within its limits, an error and
 * a page of a list are made of it or refused, and nothing is read behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/remote/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
walk(const char *p, size_t n)
{
	enum xml_event e;
	size_t opened = 0, closed = 0;
	struct xml x;

	xml_open(&x, p, n);
	while ((e = xml_next(&x)) != XML_END && e != XML_BAD) {
		must(x.depth >= 0 && x.depth <= XML_DEPTH);
		must(strlen(x.name) > 0 && strlen(x.name) < XML_NAME);
		must(strlen(sb_str(&x.text)) == x.text.len);
		must(x.text.len <= 2 * n);
		opened += e == XML_OPEN;
		closed += e == XML_CLOSE;
		must(opened - closed == (size_t)x.depth);
	}
	must(xml_next(&x) == e);
	must(e == XML_BAD || (opened > 0 && opened == closed));
	xml_fini(&x);
	free(xml_find(p, n, "Code"));
}

static void
fault(const char *p, size_t n, enum store_kind kind)
{
	static const int statuses[] = { 200, 400, 403, 404, 409, 503 };
	struct rstore s = { .kind = kind };

	for (size_t i = 0; i < RK_ARRAY_LEN(statuses); i++) {
		struct req_result q = {0};
		struct http_answer a = { .end = HTTP_ANSWERED, .error = "",
			.status = statuses[i], .body = p, .len = n };
		char region[64];
		enum fault f = fault_of(&s, &a, false, BODY_COMPLETED, &q);
		must(f != F_NONE || a.status == 200);
		must(strlen(q.code) < sizeof(q.code) &&
		    strlen(q.message) < sizeof(q.message));
		(void)end_of(f);
		(void)fault_region(&a, q.code, region, sizeof(region));
	}
}

static void
list(const char *p, size_t n, const char *root)
{
	struct page page = {0};

	if (page_read(&page, p, n, root)) {
		for (size_t i = 0; i < page.n; i++) {
			char etag[ETAG_MAX];
			must(page.v[i].key != NULL);
			must(i == 0 || strcmp(page.v[i - 1].key,
			    page.v[i].key) <= 0);
			etag_clean(page.v[i].etag, etag);
		}
	}
	page_fini(&page);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	/* As long as it is, and with the NUL behind it that http gives. */
	char *p = xmalloc(n + 1);

	if (n > 0)
		memcpy(p, bytes, n);
	p[n] = '\0';
	walk(p, n);
	fault(p, n, STORE_S3);
	fault(p, n, STORE_OSS);
	list(p, n, "ListBucketResult");
	list(p, n, "ListMultipartUploadsResult");
	free(p);
	return 0;
}
