/* Open, close, addresses and sums. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

const char *const remote_end_words[] = { "ok", "missing", "exists", "changed",
	"denied", "refused", "unavailable", "damaged", "local", "cancelled",
	NULL };

#define PARTS     4
#define PART_SIZE (16u << 20)

enum rk_err
remote_open(struct remote **rp, struct loop *l, struct http *h,
    const struct remote_config *c, struct rk_why *why)
{
	struct remote *r = xcalloc(1, sizeof(*r));

	r->tag = REMOTE_TAG;
	r->loop = l;
	r->http = h;
	r->c = *c;
	if (r->c.parts <= 0)
		r->c.parts = PARTS;
	if (r->c.part_size == 0)
		r->c.part_size = PART_SIZE;
	r->c.stores = NULL;             /* the caller's */
	enum rk_err rc = stores_open(r, c->stores, why);
	if (rc != RK_OK) {
		free(r);
		return rc;
	}
	r->c.aws_metadata_url = r->c.alibaba_metadata_url = NULL;
	r->rate = rate_new(l);
	*rp = r;
	return RK_OK;
}

void
remote_close(struct remote **rp)
{
	struct remote *r = *rp;

	if (r == NULL)
		return;
	must_be(r, REMOTE_TAG);
	*rp = NULL;
	while (r->ops != NULL) {
		struct remote_op *op = r->ops;
		remote_cancel(&op);
	}
	rate_free(&r->rate);
	stores_close(r);
	r->tag = 0;
	free(r);
}

enum rk_err
remote_check(struct remote *r, const char *uri, struct rk_why *why)
{
	struct place p;

	must_be(r, REMOTE_TAG);
	enum rk_err rc = place_of(r, uri, &p, why);
	if (rc == RK_OK)
		place_fini(&p);
	return rc;
}

char *
remote_join(const char *uri, const char *key)
{
	size_t n = strlen(uri);

	return xasprintf("%s%s%s", uri, n > 0 && uri[n - 1] == '/' ? "" : "/",
	    key);
}

void
remote_totals(const struct remote *r, struct remote_totals *out)
{
	must_be(r, REMOTE_TAG);
	*out = r->totals;
	rate_get(r->rate, &out->up_rate, &out->down_rate);
}
