/* What is in a file of weights that an address leads to, and its bytes: after a
 * trainer's answer, which the request waits for. */
#include "impl.h"

#include <stdlib.h>
#include <sys/stat.h>

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

static void
fetched(void *ctx, enum rk_err rc, int fd, const struct rk_why *why)
{
	struct req *q = ctx;
	struct stat st;

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc == RK_OK && fstat(fd, &st) != 0)
		rc = RK_EIO;
	if (rc == RK_OK) {
		file_send(q, fd, (uint64_t)st.st_size, NULL);
	} else {
		rk_close(&fd);
		reply_err(q, rc, why, "file");
	}
	req_wake(q);
}

static void
await(struct req *q, enum rk_err rc)
{
	if (rc == RK_OK) {
		q->checked = true;
		req_wait(q);
	} else {
		reply_err(q, rc, &q->why, "file");
	}
}

static void
inspect(struct req *q, json_t *body)
{
	await(q, sup_inspect(q->api->sup, json_string_value(json_object_get(
	    body, "address")), json_is_true(json_object_get(body,
	    "statistics")), inspected, q, &q->why));
}

static void
fetch(struct req *q, json_t *body)
{
	await(q, sup_weights(q->api->sup, json_string_value(json_object_get(
	    body, "address")), fetched, q, &q->why));
}

/* The body, which has an address; NULL: refused. */
static json_t *
body_of(struct req *q, bool statistics)
{
	json_t *tree = req_tree(q, false);
	struct rkj_obj o;
	char *address = NULL;
	bool v;

	if (tree == NULL)
		return NULL;
	rkj_open(&o, tree, "", &q->why);
	rkj_str(&o, "address", &address, ADDRESS_MAX, RKJ_REQUIRED);
	if (statistics)
		rkj_bool(&o, "statistics", &v, RKJ_OPTIONAL);
	rkj_close(&o);
	free(address);
	if (q->why.n == 0)
		return tree;
	reply_err(q, RK_EINVAL, &q->why, "file");
	json_decref(tree);
	return NULL;
}

void
h_weights_inspect(struct req *q)
{
	json_t *body = body_of(q, true);

	if (body != NULL)
		settle_address(q, body, inspect);
}

void
h_weights_fetch(struct req *q)
{
	json_t *body = body_of(q, false);

	if (body != NULL)
		settle_address(q, body, fetch);
}
