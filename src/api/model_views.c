/*
 * Routes that show a version of a model: its lineage, its card, and how it
 * differs from another.
 *
 *	each side: LOOK ──▶ its record ──▶ TENSORS, where they are shown
 *	                                      │ of all sides
 *	                                      ▼
 *	                                   an answer
 *
 * A store that does not answer costs freshness: the copy is shown, with its
 * age.  Tensors that cannot be read are not recorded.
 */
#include "models.h"

#include <stdlib.h>
#include <string.h>

#include "rekindle/models_views.h"

#define ONE_MS 2000             /* so old the copy may be */

struct side {
	char name[65];
	char which[65];                 /* a number, an alias, or latest */
	int64_t version;
	json_t *record, *tensors;       /* or NULL */
};

struct views {
	enum view { VIEW_LINEAGE, VIEW_CARD, VIEW_COMPARE } view;
	struct side side[2];
	int n, at;                      /* sides; that are ready */
};

static void step(struct req *q);

void
views_free(struct views **vp)
{
	struct views *v = *vp;

	if (v == NULL)
		return;
	for (int i = 0; i < v->n; i++) {
		json_decref(v->side[i].record);
		json_decref(v->side[i].tensors);
	}
	free(v);
	*vp = NULL;
}

/* --- the answers ---------------------------------------------------------- */

static enum models_now
now(void *ctx, const char *model, int64_t version)
{
	struct api *a = ctx;
	json_t *record = NULL;

	if (models_version(a->models, model, version, &record, NULL) != RK_OK)
		return MODELS_UNKNOWN;
	const bool gone = json_is_true(json_object_get(record, "deleted"));
	json_decref(record);
	return gone ? MODELS_DELETED : MODELS_THERE;
}

static void
answer_card(struct req *q, const struct side *s)
{
	json_t *lineage = models_lineage(s->record, now, q->api);
	char *card = models_card(s->record, lineage, s->tensors);

	sb_reset(&q->out);
	sb_adds(&q->out, card);
	q->status = 200;
	q->ctype = "text/markdown; charset=utf-8";
	json_decref(lineage);
	free(card);
}

/* Takes the tree. */
static void
answer_tree(struct req *q, json_t *o, const char *model)
{
	char *text = rkj_text(o);

	sb_reset(&q->out);
	sb_add(&q->out, text, strlen(text) - 1);
	put_age(q, model);
	sb_adds(&q->out, "}\n");
	reply_json(q, 200);
	free(text);
	json_decref(o);
}

static void
answer(struct req *q)
{
	const struct views *v = q->views;
	const struct side *s = v->side;

	if (v->view == VIEW_CARD)
		answer_card(q, s);
	else if (v->view == VIEW_COMPARE)
		answer_tree(q, models_compare(s[0].record, s[1].record,
		    s[0].tensors, s[1].tensors), s->name);
	else
		answer_tree(q, json_pack("{s:s, s:I, s:o}", "model", s->name,
		    "version", (json_int_t)s->version, "lineage",
		    models_lineage(s->record, now, q->api)), s->name);
}

/* --- the steps ------------------------------------------------------------ */

/* The answer is set: whoever waits gets it. */
static void
finish(struct req *q)
{
	views_free(&q->views);
	if (q->waiting)
		req_wake(q);
}

static void
tensors_came(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	(void)why;
	must_be(q, REQ_TAG);
	q->at_models = false;
	struct side *s = &q->views->side[q->views->at++];
	if (rc == RK_OK)
		s->tensors = json_incref((json_t *)(uintptr_t)said);
	step(q);
}

/* A deleted version has a record, too: it is found by its number. */
static enum rk_err
find(struct req *q, struct side *s)
{
	struct models *m = q->api->models;
	struct models_which w = { .version = 0 };
	enum rk_err rc = RK_OK;

	if (strspn(s->which, "0123456789") == strlen(s->which)) {
		s->version = strlen(s->which) < 10 ? strtoll(s->which, NULL,
		    10) : 0;
	} else {
		char *text = xasprintf("%s@%s", s->name, s->which);
		rc = models_which(m, text, &w, &q->why);
		s->version = w.version;
		free(text);
	}
	return rc == RK_OK ? models_version(m, s->name, s->version, &s->record,
	    &q->why) : rc;
}

static void
looked(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	(void)said;
	(void)why;
	must_be(q, REQ_TAG);
	q->at_models = false;
	q->models_rc = rc != RK_OK ? rc : q->models_rc;
	struct views *v = q->views;
	struct side *s = &v->side[v->at];
	if (models_lacks(q, find(q, s), &q->why, "version")) {
		finish(q);
	} else if (v->view == VIEW_LINEAGE) {
		v->at++;
		step(q);
	} else {
		q->at_models = true;
		models_tensors(q->api->models, s->name, s->version,
		    tensors_came, q);
	}
}

static void
step(struct req *q)
{
	struct views *v = q->views;

	if (v->at == v->n) {
		answer(q);
		finish(q);
		return;
	}
	q->at_models = true;
	models_look(q->api->models, v->side[v->at].name, ONE_MS, looked, q);
}

static bool
fill(struct req *q, struct side *s, const char *name, const char *which)
{
	if (models_name_ok(name, &q->why) != RK_OK || strlen(which) >=
	    sizeof(s->which)) {
		reply_problem(q, P_NOT_FOUND, "there is no such model: the "
		    "name %s", rk_why_first(&q->why));
		return false;
	}
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->which, sizeof(s->which), "%s", which);
	return true;
}

/* "N" or "ALIAS" of the same model, "NAME/N", "NAME@ALIAS". */
static bool
fill_other(struct req *q, struct side *s, const char *with)
{
	const size_t n = strcspn(with, "/@");

	if (with[n] == '\0')
		return fill(q, s, q->arg[0], with);
	char *name = xstrndup(with, n);
	const bool ok = fill(q, s, name, with + n + 1);
	free(name);
	return ok;
}

/* --- the routes ----------------------------------------------------------- */

static void
begin(struct req *q, enum view view)
{
	struct views *v = xcalloc(1, sizeof(*v));
	const char *with = query_get(&q->query, "with");
	bool ok;

	q->views = v;
	v->view = view;
	v->n = view == VIEW_COMPARE ? 2 : 1;
	ok = fill(q, &v->side[0], q->arg[0], q->arg[1]);
	if (ok && view == VIEW_COMPARE && with == NULL) {
		reply_problem(q, P_INVALID_QUERY, "with is missing, want the "
		    "version to compare with: N, NAME/N or NAME@ALIAS");
		ok = false;
	}
	if (ok && view == VIEW_COMPARE)
		ok = fill_other(q, &v->side[1], with);
	if (!ok) {
		views_free(&q->views);
		return;
	}
	step(q);
	req_wait(q);
}

void
h_model_lineage(struct req *q)
{
	begin(q, VIEW_LINEAGE);
}

void
h_model_card(struct req *q)
{
	begin(q, VIEW_CARD);
}

void
h_model_compare(struct req *q)
{
	begin(q, VIEW_COMPARE);
}
