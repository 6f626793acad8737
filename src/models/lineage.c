/*
 * What a job was begun from, down to the first ancestor: a tree of nodes
 *
 *	{kind: "job", job, name, checkpoint, step, epoch, at, data, metrics,
 *	 plan, parents}
 *	{kind: "version", model, version, id, created_at, author, digest,
 *	 metrics, parents}
 *	{kind: "file", address, sha256, parents: []}
 *
 * A node has what is known of it: of a job that is gone its id, and of a
 * version that the copy does not have its number and digest.
 */
#include <stdlib.h>
#include <string.h>

#include "register.h"

/* --- addresses ------------------------------------------------------------ */

static bool
is_web(const char *s)
{
	return strncasecmp(s, "http://", 7) == 0 ||
	    strncasecmp(s, "https://", 8) == 0;
}

/* Is it "scheme://..."? */
static bool
is_address(const char *s)
{
	const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return n > 0 && strncmp(s + n, "://", 3) == 0;
}

/* Of s3: and oss: a ? is a part of the key, and of a file's path, too. */
char *
lineage_address(const char *address)
{
	const char *host = strstr(address, "://");
	struct strbuf b = {0};

	if (host == NULL || !is_address(address))
		return xstrdup(address);
	host += 3;
	const size_t n = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', n);
	const bool model = strncasecmp(address, "model://", 8) == 0;
	if (at != NULL && !model) {
		sb_add(&b, address, (size_t)(host - address));
		sb_adds(&b, at + 1);
	} else {
		sb_adds(&b, address);
	}
	if (is_web(address)) {
		const char *part = rk_part_of(sb_str(&b));
		char *query = memchr(b.s, '?', (size_t)(part - b.s));
		if (query != NULL) {
			char *rest = xstrdup(part);
			b.len = (size_t)(query - b.s);
			*query = '\0';
			sb_adds(&b, rest);
			free(rest);
		}
	}
	return sb_detach(&b);
}

/* v's own text, or NULL where it needs no change. */
static json_t *
scrubbed(const json_t *v)
{
	const char *s = json_string_value(v);

	if (s == NULL || !is_address(s))
		return NULL;
	char *text = lineage_address(s);
	json_t *out = strcmp(text, s) != 0 ? json_string(text) : NULL;
	free(text);
	return out;
}

void
lineage_scrub(json_t *v)
{
	const char *key;
	json_t *x, *to;
	size_t i;

	json_object_foreach(v, key, x) {
		if ((to = scrubbed(x)) != NULL)
			must(json_object_set_new(v, key, to) == 0);
		else
			lineage_scrub(x);
	}
	if (!json_is_array(v))
		return;
	json_array_foreach(v, i, x) {
		if ((to = scrubbed(x)) != NULL)
			must(json_array_set_new(v, i, to) == 0);
		else
			lineage_scrub(x);
	}
}

/* --- nodes ---------------------------------------------------------------- */

static json_t *
text_or_null(const char *s)
{
	return s != NULL && s[0] != '\0' ? json_string(s) : json_null();
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v != NULL ? v : json_null()) == 0);
}

static json_t *
node(const char *kind)
{
	json_t *o = json_object();

	put(o, "kind", json_string(kind));
	return o;
}

json_t *
lineage_of_file(const char *address, const char *sha256)
{
	json_t *o = node("file");
	char *text = lineage_address(address);

	put(o, "address", json_string(rk_text_clean(text)));
	put(o, "sha256", text_or_null(sha256));
	put(o, "parents", json_array());
	free(text);
	return o;
}

static void
put_checkpoint(json_t *o, const struct spec *spec, const struct ckpt_info *i)
{
	char at[RK_TIME];

	put(o, "checkpoint", json_string(i->dir));
	put(o, "step", json_integer(i->step));
	put(o, "epoch", json_integer(i->epoch));
	put(o, "at", json_string(rk_time_text(at, i->created_ms)));
	put(o, "data", record_data(spec, i));
	put(o, "metrics", i->metrics != NULL ? json_deep_copy(i->metrics) :
	    json_object());
}

static json_t *parents_of(const struct lineage_world *w,
    const struct job_row *r, const struct spec *spec, int depth);

static json_t *
job_node(const struct lineage_world *w, const struct job_row *r,
    const struct spec *spec, const struct ckpt_info *i, const char *selector,
    int depth)
{
	json_t *o = node("job");

	put(o, "job", json_string(r->id));
	put(o, "name", json_string(r->name));
	if (i != NULL)
		put_checkpoint(o, spec, i);
	else
		put(o, "checkpoint", text_or_null(selector));
	if (r->plan_summary[0] != '\0')
		put(o, "plan", json_string(r->plan_summary));
	put(o, "parents", parents_of(w, r, spec, depth + 1));
	return o;
}

/* Of one that is gone. */
static json_t *
lost_job(const char *id, const char *selector)
{
	json_t *o = node("job");

	put(o, "job", json_string(id));
	put(o, "checkpoint", text_or_null(selector));
	put(o, "parents", json_array());
	return o;
}

static json_t *
ancestor_job(const struct lineage_world *w, const char *id,
    const char *selector, int depth)
{
	struct ckpt_info i = {0};
	struct spec *spec = NULL;
	json_t *tree = NULL, *o;
	struct job_row r;

	if (!w->job(w->ctx, id, &r))
		return lost_job(id, selector);
	if (rkj_parse_json(r.spec, strlen(r.spec), &tree, NULL) == RK_OK &&
	    spec_parse(tree, &spec, NULL) == RK_OK) {
		const bool has = w->checkpoint(w->ctx, &r, spec, selector, &i);
		o = job_node(w, &r, spec, has ? &i : NULL, selector, depth);
		ckpt_info_fini(&i);
	} else {
		o = lost_job(id, selector);
	}
	json_decref(tree);
	spec_free(spec);
	store_job_fini(&r);
	return o;
}

static json_t *
ancestor_version(const struct lineage_world *w, const char *model,
    int64_t version, const char *sha256)
{
	static const char *const keys[] = { "id", "created_at", "author",
		"metrics" };
	json_t *record = w->version(w->ctx, model, version), *o =
	    node("version"), *parents = json_array();
	json_t *digest = json_object_get(record, "digest");

	put(o, "model", json_string(model));
	put(o, "version", json_integer(version));
	put(o, "digest", json_is_string(digest) ? json_incref(digest) :
	    text_or_null(sha256));
	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(record, keys[i]);
		if (v != NULL)
			put(o, keys[i], json_deep_copy(v));
	}
	json_t *above = json_object_get(record, "lineage");
	if (json_is_object(above))
		must(json_array_append_new(parents, json_deep_copy(above)) ==
		    0);
	put(o, "parents", parents);
	json_decref(record);
	return o;
}

/* --- the tree ------------------------------------------------------------- */

/* The node that an address names; job (or NULL): of whose model.checkpoint. */
static json_t *
ancestor(const struct lineage_world *w, const char *job, const char *address,
    int depth)
{
	char *began = job != NULL ? w->began(w->ctx, job) : NULL;
	char hex[RK_SHA256_HEX];
	struct rk_part p = {0};
	struct rk_uri u = {0};
	json_t *o = NULL;

	if (rk_part_parse(&p, address, NULL) == RK_OK &&
	    rk_uri_parse(&u, p.bare, NULL) == RK_OK && u.kind == RK_URI_JOB) {
		const char *from = began != NULL ? strrchr(began, '/') : NULL;
		o = ancestor_job(w, u.host, from != NULL ? from + 1 : u.path,
		    depth);
	} else if (u.kind == RK_URI_MODEL && u.path != NULL) {
		o = ancestor_version(w, u.host, strtoll(u.path, NULL, 10),
		    p.sha256);
	} else {
		hex[0] = '\0';
		if (p.sha256[0] == '\0' && p.bare != NULL && p.member == NULL)
			w->digest(w->ctx, p.bare, hex);
		/* What pins it has a field of its own. */
		o = lineage_of_file(p.bare != NULL && p.member == NULL ?
		    p.bare : address, p.sha256[0] != '\0' ? p.sha256 : hex);
	}
	rk_uri_fini(&u);
	rk_part_fini(&p);
	free(began);
	return o;
}

static json_t *
parents_of(const struct lineage_world *w, const struct job_row *r,
    const struct spec *spec, int depth)
{
	const char *address = spec->model.checkpoint;
	json_t *list;

	if (address == NULL)
		return json_array();
	if ((list = w->kept(w->ctx, r->id)) != NULL)
		return list;
	list = json_array();
	if (depth <= LINEAGE_DEPTH)     /* one more, which is cut off */
		must(json_array_append_new(list, ancestor(w, r->id, address,
		    depth)) == 0);
	return list;
}

json_t *
lineage_parents(const struct lineage_world *w, const struct job_row *r,
    const struct spec *spec)
{
	json_t *list = parents_of(w, r, spec, 0), *p;
	size_t i;

	json_array_foreach(list, i, p)
		lineage_cut(p, LINEAGE_DEPTH - 1);
	return list;
}

json_t *
lineage_of_address(const struct lineage_world *w, const char *address)
{
	json_t *o = ancestor(w, NULL, address, 0);

	lineage_cut(o, LINEAGE_DEPTH);
	return o;
}

json_t *
lineage_of_job(const struct lineage_world *w, const struct job_row *r,
    const struct spec *spec, const struct ckpt_info *i, const char *selector)
{
	json_t *o = job_node(w, r, spec, i, selector, 0);

	lineage_cut(o, LINEAGE_DEPTH);
	return o;
}

void
lineage_cut(json_t *o, int depth)
{
	json_t *parents = json_object_get(o, "parents"), *p;
	size_t i;

	if (depth <= 1 && json_array_size(parents) > 0) {
		put(o, "cut", json_true());
		put(o, "parents", json_array());
		return;
	}
	json_array_foreach(parents, i, p)
		lineage_cut(p, depth - 1);
}
