/* The OpenAPI 3.1 document, made from the table of routes and the schemas. */
#include "impl.h"

#include <ctype.h>
#include <string.h>

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v) == 0);
}

static void
put_text(json_t *o, const char *key, const char *s)
{
	put(o, key, json_string(s));
}

static void
append(json_t *a, json_t *v)
{
	must(json_array_append_new(a, v) == 0);
}

/* Our own YAML: a fault in it is a bug, found by the unit tests. */
static json_t *
yaml(const char *text)
{
	json_t *v = NULL;
	struct rk_why why = { 0 };
	enum rk_err rc = rkj_parse_yaml(text, strlen(text), &v, &why);

	if (rc != RK_OK)
		log_error("api: schemas: %s", rk_why_first(&why));
	must(rc == RK_OK);
	return v;
}

/* A part of the schemas, which is YAML, beside the others. */
static void
put_schemas(json_t *schemas, const char *text)
{
	json_t *part = yaml(text);

	must(json_object_update_missing(schemas, part) == 0);
	json_decref(part);
}

static json_t *
schema_ref(const char *name)
{
	char *path = xasprintf("#/components/schemas/%s", name);
	json_t *o = json_object();

	put_text(o, "$ref", path);
	free(path);
	return o;
}

/* {TYPE: {schema: ...}} for a key of a `content` object. */
static void
put_media(json_t *content, const char *type, json_t *schema)
{
	json_t *m = json_object();

	put(m, "schema", schema);
	put(content, type, m);
}

/* --- parameters ---------------------------------------------------------- */

static json_t *
parameter(const char *in, const char *name, const char *schema,
    const char *text)
{
	json_t *p = json_object();

	put_text(p, "name", name);
	put_text(p, "in", in);
	put_text(p, "description", text);
	put(p, "schema", yaml(schema));
	if (strcmp(in, "path") == 0)
		put(p, "required", json_true());
	return p;
}

static const struct param *
param_find(const struct param *list, const char *name, size_t n)
{
	while (list->name != NULL && (strlen(list->name) != n ||
	    memcmp(list->name, name, n) != 0))
		list++;
	must(list->name != NULL);
	return list;
}

static json_t *
path_parameters(const char *path)
{
	json_t *a = json_array();

	while ((path = strchr(path, '{')) != NULL) {
		size_t n = strcspn(++path, "}");
		const struct param *p = param_find(path_params, path, n);
		append(a, parameter("path", p->name, p->schema, p->text));
	}
	return a;
}

static json_t *
parameters(const struct route *r)
{
	json_t *a = json_array();

	for (const char *s = r->query; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		const struct param *p = param_find(query_params, s, n);
		append(a, parameter("query", p->name, p->schema, p->text));
		s += n;
	}
	if (strcmp(r->method, "POST") == 0)
		append(a, parameter("header", "Idempotency-Key",
		    "{type: string, minLength: 1, maxLength: 255}",
		    "The same key and request again, within 24 hours, has the "
		    "same answer and no second effect"));
	if (r->flags & ROUTE_IF_MATCH)
		append(a, parameter("header", "If-Match", "{type: string}",
		    "An ETag of the job: refused with 412 if it has changed "
		    "since"));
	if ((r->flags & ROUTE_ETAG) && strcmp(r->method, "GET") == 0)
		append(a, parameter("header", "Rekindle-Watch",
		    "{type: string}", "Whatever it says: this client looks "
		    "again within a second, and a daemon that ends waits so "
		    "long for it"));
	if (r->flags & (ROUTE_FOLLOW | ROUTE_STREAM))
		append(a, parameter("header", "Last-Event-ID",
		    "{type: string}", "Of a stream: go on behind this id"));
	return a;
}

/* --- bodies and answers -------------------------------------------------- */

static json_t *
request_body(const struct route *r)
{
	static const char *const types[] = { "application/json",
	    "application/yaml" };
	bool may_be_empty = strcmp(r->method, "POST") == 0 &&
	    strcmp(r->body, "JobSpec") != 0;
	json_t *b = json_object(), *content = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(types); i++)
		put_media(content, types[i], schema_ref(r->body));
	put(b, "content", content);
	put(b, "required", json_boolean(!may_be_empty));
	return b;
}

static void
put_header(json_t *answer, const char *name, bool always, const char *text)
{
	json_t *headers = json_object_get(answer, "headers"), *h;

	if (headers == NULL) {
		headers = json_object();
		put(answer, "headers", headers);
	}
	h = json_object();
	put_text(h, "description", text);
	put(h, "required", json_boolean(always));
	put(h, "schema", yaml("{type: string}"));
	put(headers, name, h);
}

static json_t *
content_of(const char *schema, unsigned flags)
{
	json_t *c = json_object();

	if (strcmp(schema, "text") == 0)
		put_media(c, "text/plain", yaml("{type: string}"));
	else if (strcmp(schema, "markdown") == 0)
		put_media(c, "text/markdown", yaml("{type: string}"));
	else if (strcmp(schema, "binary") == 0)
		put_media(c, "application/octet-stream", yaml("{}"));
	else if (strcmp(schema, "lines") == 0)
		put_media(c, "application/x-ndjson", yaml("{type: string}"));
	else if (!(flags & ROUTE_STREAM))
		put_media(c, "application/json", schema_ref(schema));
	if (flags & (ROUTE_FOLLOW | ROUTE_STREAM))
		put_media(c, "text/event-stream", yaml("{type: string}"));
	return c;
}

static const char *
answer_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} words[] = {
		{ 200, "What was asked for" }, { 201, "It was made" },
		{ 202, "It will be done; this is how it is now" },
		{ 204, "Done, or (of a stream) there will be no more" },
		{ 206, "A part of the file" }, { 304, "It has not changed" },
		{ 503, "Not now: no new work is taken, the state directory "
		    "cannot be written, or the jobs of this instance are being "
		    "taken over from the bucket, and what was asked for may be "
		    "among them" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++) {
		if (words[i].status == status)
			return words[i].text;
	}
	for (size_t i = 0; i < PROBLEMS; i++) {
		if (problems[i].status == status)
			return problems[i].title;
	}
	return "Refused";
}

static json_t *
answer(const struct route *r, int status, const char *schema)
{
	json_t *a = json_object();

	put_text(a, "description", answer_text(status));
	if (status >= 400) {
		json_t *c = json_object();
		put_media(c, "application/problem+json",
		    schema_ref("Problem"));
		put(a, "content", c);
	} else if (schema[0]) {
		put(a, "content", content_of(schema, r->flags));
	}
	if (status == 201)
		put_header(a, "Location", true, "Where it is");
	const bool of_none = status == 200 && strcmp(r->method, "POST") == 0;
	if ((r->flags & ROUTE_ETAG) && status < 300 && !of_none)
		put_header(a, "ETag", true, "Of the job as it is here");
	if ((r->flags & ROUTE_ETAG) && status == 200 && !of_none)
		put_header(a, "Rekindle-Draining", false, "Why the daemon "
		    "takes no work: shutdown, drain, preempted, taken_over; "
		    "absent where it does");
	if (status == 503)
		put_header(a, "Retry-After", true, "Ask again after so many "
		    "seconds");
	if (status == 405)
		put_header(a, "Allow", true, "The methods that it takes");
	return a;
}

static json_t *
answers(const struct route *r)
{
	/* what any route may say */
	static const int any[] = { 400, 403, 405, 421, 500, 503 };
	json_t *o = json_object();

	for (const char *s = r->answers; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		int status = atoi(s);
		char key[8], schema[32] = "";
		if (n > 4)
			snprintf(schema, sizeof(schema), "%.*s", (int)(n - 4),
			    s + 4);
		snprintf(key, sizeof(key), "%d", status);
		put(o, key, answer(r, status, schema));
		s += n;
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(any); i++) {
		char key[8];
		snprintf(key, sizeof(key), "%d", any[i]);
		put(o, key, answer(r, any[i], ""));
	}
	return o;
}

/* --- the document -------------------------------------------------------- */

static json_t *
operation(const struct route *r)
{
	json_t *o = json_object();

	put_text(o, "operationId", r->op);
	put_text(o, "summary", r->summary);
	put(o, "parameters", parameters(r));
	if (r->body != NULL)
		put(o, "requestBody", request_body(r));
	put(o, "responses", answers(r));
	return o;
}

static json_t *
paths(void)
{
	json_t *all = json_object();

	for (size_t i = 0; i < nroutes; i++) {
		const struct route *r = &routes[i];
		json_t *item = json_object_get(all, r->path);
		char method[12];
		size_t n = 0;

		if (item == NULL) {
			item = json_object();
			put(item, "parameters", path_parameters(r->path));
			put(all, r->path, item);
		}
		for (; r->method[n]; n++)
			method[n] = (char)tolower((unsigned char)r->method[n]);
		method[n] = '\0';
		put(item, method, operation(r));
	}
	return all;
}

json_t *
openapi_tree(void)
{
	json_t *doc = json_object(), *info = json_object();
	json_t *parts = json_object(), *schemas = json_object();

	put_text(doc, "openapi", "3.1.0");
	put_text(info, "title", "rekindle");
	put_text(info, "version", REKINDLE_VERSION);
	put_text(info, "summary", "A training daemon that never starts cold");
	put_text(info, "description", "Every refusal is "
	    "application/problem+json.  POST and PATCH need one of the "
	    "content types named here, also when the body is empty.  Times "
	    "are RFC 3339, in UTC.");
	put(doc, "info", info);
	put(doc, "paths", paths());
	put_schemas(schemas, openapi_schemas);
	put_schemas(schemas, openapi_warm_schemas);
	put_schemas(schemas, openapi_suggest_schemas);
	put_schemas(schemas, openapi_registrations_schemas);
	put_schemas(schemas, openapi_judged_schemas);
	put_schemas(schemas, openapi_registry_schemas);
	put_schemas(schemas, openapi_spec_schemas);
	put_schemas(schemas, openapi_views_schemas);
	openapi_put_model(schemas);
	openapi_put_transforms(schemas);
	put(parts, "schemas", schemas);
	put(doc, "components", parts);
	return doc;
}
