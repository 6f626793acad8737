/*
 * The tensors of a version, by the tensors.json beside its files: names, dtypes
 * and shapes.  It is read when somebody asks; nothing of it is kept.
 */
#include <stdlib.h>

#include "impl.h"

#define TENSORS_FILE "tensors.json"

struct mtensors {
	struct mtensors *next;
	struct models *m;
	struct remote_op *op;
	models_fn *fn;                  /* NULL: has gone */
	void *ctx;
};

static void
take_out(struct mtensors *t)
{
	struct mtensors **at = &t->m->tensors;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
}

static void
answer(struct mtensors *t, enum rk_err rc, const json_t *said,
    const char *why)
{
	struct rk_why w = { 0 };

	if (rc != RK_OK)
		(void)rk_refuse(&w, "%s", why);
	if (t->fn != NULL)
		t->fn(t->ctx, rc, said, &w);
	rk_why_fini(&w);
}

static void
came(void *ctx, const struct remote_result *r)
{
	struct mtensors *t = ctx;
	struct rk_why why = { 0 };
	json_t *v = NULL;
	enum rk_err rc = models_end(r);

	t->op = NULL;
	take_out(t);
	if (rc == RK_OK && rkj_parse_json(r->body, r->len, &v, &why) !=
	    RK_OK)
		rc = RK_ECORRUPT;
	if (rc == RK_ENOENT)
		answer(t, rc, NULL, "the version has no " TENSORS_FILE);
	else
		answer(t, rc, v, rc == RK_ECORRUPT ? rk_why_first(&why) :
		    r->error);
	rk_why_fini(&why);
	json_decref(v);
	free(t);
}

void
models_tensors(struct models *m, const char *name, int64_t version,
    models_fn *fn, void *ctx)
{
	const struct remote_patience patience = models_patience(READ_MS);
	struct rk_why why = { 0 };
	json_t *record = NULL;
	enum rk_err rc = models_version(m, name, version, &record, &why);
	const char *id = json_string_value(json_object_get(record, "id"));

	must_be(m, MODELS_TAG);
	if (rc != RK_OK || id == NULL || json_is_true(json_object_get(record,
	    "deleted"))) {
		answer_later(m, fn, ctx, rc != RK_OK ? rc : RK_ENOENT, NULL,
		    rc != RK_OK ? rk_why_first(&why) : "the version was "
		    "deleted, and its tensors with it");
	} else {
		struct mtensors *t = xcalloc(1, sizeof(*t));
		char *folder = models_folder(m, name, id);
		char *uri = remote_join(folder, TENSORS_FILE);
		*t = (struct mtensors){ .next = m->tensors, .m = m, .fn = fn,
			.ctx = ctx };
		m->tensors = t;
		t->op = remote_get(m->remote, uri, RKJ_MAX_BYTES, &patience,
		    came, t);
		free(folder);
		free(uri);
	}
	json_decref(record);
	rk_why_fini(&why);
}

void
tensors_forget(struct models *m, const void *ctx)
{
	for (struct mtensors *t = m->tensors; t != NULL; t = t->next)
		t->fn = t->ctx == ctx ? NULL : t->fn;
}

void
tensors_fini(struct models *m)
{
	struct mtensors *t;

	while ((t = m->tensors) != NULL) {
		m->tensors = t->next;
		remote_cancel(&t->op);
		free(t);
	}
}
