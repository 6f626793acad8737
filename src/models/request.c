/*
 * What is to be registered: the body of POST /v1/models/{model}/versions, and
 * the same as a registration keeps it.
 */
#include <stdlib.h>
#include <string.h>

#include "register.h"

#define ADDRESS_MAX 4096
#define AUTHOR_MAX  128
#define LABELS_MAX  64
#define LABEL_MAX   256

static void
read_labels(struct reg_request *r, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "labels");
	const char *key;
	json_t *x;

	r->labels = json_object();
	if (v == NULL)
		return;
	if (!json_is_object(v) || json_object_size(v) > LABELS_MAX) {
		rkj_fault(o, "labels", "want an object of at most %d texts",
		    LABELS_MAX);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, x) {
		const char *s = json_string_value(x);
		if (s != NULL && strlen(key) > 0 && strlen(key) <= LABEL_MAX &&
		    json_string_length(x) <= LABEL_MAX &&
		    strlen(s) == json_string_length(x))
			must(json_object_set(r->labels, key, x) == 0);
		else
			rkj_fault(o, "labels", "\"%.*s\" is no label: want "
			    "text of at most %d bytes, under a key of 1 to %d",
			    (int)rk_text_fit(key, 80), key, LABEL_MAX,
			    LABEL_MAX);
	}
}

/* One of both, and what only goes with one. */
static void
read_source(struct reg_request *r, struct rkj_obj *o)
{
	struct rk_why own = {0};
	struct spec_select sel;

	(void)rkj_str(o, "job", &r->job, 256, RKJ_OPTIONAL);
	(void)rkj_str(o, "checkpoint", &r->checkpoint, 256, RKJ_OPTIONAL);
	(void)rkj_str(o, "address", &r->address, ADDRESS_MAX, RKJ_OPTIONAL);
	if (o->bad || o->v == NULL)
		return;
	if ((r->job != NULL) == (r->address != NULL))
		rkj_fault(o, r->job != NULL ? "address" : "job", "want job "
		    "(and which checkpoint), or the address of a file, one of "
		    "both");
	else if (r->address != NULL && r->checkpoint != NULL)
		rkj_fault(o, "checkpoint", "is \"%s\", which an address does "
		    "not have: it goes with job", r->checkpoint);
	else if (r->address != NULL && r->address[0] == '\0')
		rkj_fault(o, "address", "is \"\", want the address of a file "
		    "of weights");
	if (r->job != NULL && r->checkpoint != NULL && (spec_select_parse(
	    r->checkpoint, &sel, &own) != RK_OK || sel.kind == SPEC_SEL_NONE))
		rkj_fault(o, "checkpoint", "%s", own.n > 0 ?
		    own.v[0].message : "is none, want latest, best, step:N, a "
		    "name or a folder");
	rk_why_fini(&own);
}

static void
read_spec(struct reg_request *r, struct rkj_obj *o)
{
	const json_t *v = rkj_any(o, "spec");
	struct rk_why own = {0};

	if (v == NULL)
		return;
	if (r->address == NULL)
		rkj_fault(o, "spec", "is of a file: a job has its own");
	else if (spec_parse(v, &r->spec, &own) != RK_OK)
		for (size_t i = 0; i < own.n; i++) {
			char *key = xasprintf("spec%s%s", own.v[i].path[0] !=
			    '\0' ? "." : "", own.v[i].path);
			rkj_fault(o, key, "%s", own.v[i].message);
			free(key);
		}
	rk_why_fini(&own);
}

enum rk_err
request_read(const json_t *v, struct reg_request *r, struct rk_why *why)
{
	struct rk_why own = {0};
	struct rkj_obj o;

	*r = (struct reg_request){ .optimizer = true };
	rkj_open(&o, v, "", &own);
	read_source(r, &o);
	(void)rkj_str(&o, "notes", &r->notes, SPEC_NOTES_MAX, RKJ_OPTIONAL);
	(void)rkj_str(&o, "author", &r->author, AUTHOR_MAX, RKJ_OPTIONAL);
	if (rkj_str(&o, "alias", &r->alias, 256, RKJ_OPTIONAL)) {
		struct rk_why bad = {0};
		if (models_alias_ok(r->alias, &bad) != RK_OK)
			rkj_fault(&o, "alias", "%s", bad.v[0].message);
		rk_why_fini(&bad);
	}
	read_labels(r, &o);
	(void)rkj_bool(&o, "optimizer", &r->optimizer, RKJ_OPTIONAL);
	read_spec(r, &o);
	rkj_close(&o);
	const enum rk_err rc = own.n > 0 ? RK_EINVAL : RK_OK;
	for (size_t i = 0; i < own.n; i++)
		rk_refuse_at(why, own.v[i].path, "%s", own.v[i].message);
	rk_why_fini(&own);
	return rc;
}

static void
put(json_t *o, const char *key, const char *text)
{
	if (text != NULL)
		must(json_object_set_new(o, key, json_string(text)) == 0);
}

json_t *
request_json(const struct reg_request *r)
{
	json_t *o = json_object();

	put(o, "job", r->job);
	put(o, "checkpoint", r->checkpoint);
	put(o, "address", r->address);
	put(o, "notes", r->notes);
	put(o, "author", r->author);
	put(o, "alias", r->alias);
	must(json_object_set_new(o, "labels", r->labels != NULL ?
	    json_deep_copy(r->labels) : json_object()) == 0);
	must(json_object_set_new(o, "optimizer", json_boolean(r->optimizer)) ==
	    0);
	if (r->spec != NULL)
		must(json_object_set_new(o, "spec", spec_json(r->spec)) == 0);
	return o;
}

void
request_fini(struct reg_request *r)
{
	free(r->job);
	free(r->checkpoint);
	free(r->address);
	free(r->notes);
	free(r->author);
	free(r->alias);
	json_decref(r->labels);
	spec_free(r->spec);
	*r = (struct reg_request){ 0 };
}
