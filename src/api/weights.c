/* What is in a file of weights that an address leads to: a trainer's answer,
 * which the request waits for. */
#include "impl.h"

#include <stdlib.h>

#define ADDRESS_MAX 4096

static void
inspected(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc == RK_OK)
		reply_tree(q, 200, json_deep_copy(said));
	else
		reply_err(q, rc, why, "file");
	req_wake(q);
}

void
h_weights_inspect(struct req *q)
{
	json_t *tree = req_tree(q, false);
	struct rkj_obj o;
	char *address = NULL;
	bool statistics = false;

	if (tree == NULL)
		return;
	rkj_open(&o, tree, "", &q->why);
	rkj_str(&o, "address", &address, ADDRESS_MAX, RKJ_REQUIRED);
	rkj_bool(&o, "statistics", &statistics, RKJ_OPTIONAL);
	rkj_close(&o);
	json_decref(tree);
	enum rk_err rc = q->why.n > 0 ? RK_EINVAL : sup_inspect(q->api->sup,
	    address, statistics, inspected, q, &q->why);
	free(address);
	if (rc == RK_OK) {
		q->checked = true;
		req_wait(q);
	} else {
		reply_err(q, rc, &q->why, "file");
	}
}
