/*
 * What a job from a record may reach for on this machine.
 *
 * Whoever may write to the bucket writes records, and a record says what is
 * read, fetched and written for its job: with this machine's keys, by this
 * daemon's user.  So such a job has the stores that the configuration names
 * (`stores`; the bucket of `mirror.prefix`, for that is where it came from) and
 * what lies in the folders of `paths.allow`.  What was said here counts as any
 * job's: struct job_row, said_here.
 *
 * spec_places() has all that a job names; job:// are jobs of this directory,
 * and model:// is below the prefix that the records come from, wherever a
 * record of the registry says that it is (models.h).
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define SHOWN 200               /* bytes of a text in a message */

const char *const ship_allow_words[] = {
	[SHIP_ALLOWED] = "", [SHIP_STORE] = "store_not_allowed",
	[SHIP_PATH] = "path_not_allowed", NULL
};

/* What is missing, to become the line that would do. */
struct missing {
	json_t *stores, *folders;       /* lists of texts */
	struct strbuf what;
};

void
allow_open(struct ship *h, const struct ship_config *c)
{
	const size_t n = json_array_size(c->paths);
	struct rk_uri u;

	h->paths_said = json_is_array(c->paths);
	h->paths = xcalloc(n + 1, sizeof(*h->paths));
	for (size_t i = 0; i < n; i++)
		h->paths[h->npaths++] = xstrdup(json_string_value(
		    json_array_get(c->paths, i)));
	if (h->c.prefix[0] == '\0' || rk_uri_parse(&u, h->c.prefix, NULL) !=
	    RK_OK)
		return;
	/* The bucket that records come from, or the folder that is one. */
	if (u.kind == RK_URI_FILE)
		h->paths[h->npaths++] = xstrdup(u.path);
	else
		h->bucket = xasprintf("%s://%s/", u.scheme, u.host);
	rk_uri_fini(&u);
}

void
allow_fini(struct ship *h)
{
	for (size_t i = 0; i < h->npaths; i++)
		free(h->paths[i]);
	free(h->paths);
	free(h->bucket);
}

static bool
is_path(const struct spec_place *p)
{
	return p->kind == SPEC_PLACE_FILE || p->kind == SPEC_PLACE_FOLDER;
}

static bool
is_push(const struct spec_place *p)
{
	return p->kind == SPEC_PLACE_FOLDER || p->kind == SPEC_PLACE_PREFIX;
}

static bool
may(struct ship *h, const struct spec_place *p)
{
	if (p->kind == SPEC_PLACE_JOB || p->kind == SPEC_PLACE_MODEL)
		return true;
	if (!is_path(p))
		return remote_named(h->remote, p->text, h->bucket);
	if (p->kind == SPEC_PLACE_FILE)
		return rk_path_within(p->text, (const char *const *)h->paths,
		    h->npaths);
	/* Where the first of its checkpoints would be. */
	char *at = xasprintf("%s/jobs", p->text);
	const bool yes = rk_path_within(at, (const char *const *)h->paths,
	    h->npaths);
	free(at);
	return yes;
}

/* --- the line ---------------------------------------------------------------- */

static bool
list_has(const json_t *list, const json_t *text)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (json_equal(json_array_get(list, i), text))
			return true;
	}
	return false;
}

static void
add_text(json_t *list, const char *text)
{
	json_t *v = json_string(text);

	if (v != NULL && !list_has(list, v))
		json_array_append(list, v);
	json_decref(v);
}

/* "s3://bucket/key" to "s3://bucket/". */
static void
add_store(struct missing *m, const char *uri)
{
	const char *host = strstr(uri, "://");
	const size_t n = host != NULL ? (size_t)(host + 3 - uri) +
	    strcspn(host + 3, "/") : strlen(uri);
	/* Plain http:// goes by what https:// is said of. */
	const bool plain = strncmp(uri, "http://", 7) == 0;
	char *match = xasprintf("%s%.*s/", plain ? "https://" : "",
	    (int)(plain ? n - 7 : n), plain ? uri + 7 : uri);

	add_text(m->stores, match);
	free(match);
}

/* The folders that a path would have to lie in; none: no setting lets it. */
static bool
add_folders(struct ship *h, struct missing *m, const struct spec_place *p)
{
	char *real = realpath(p->text, NULL);
	const char *ways[] = { p->text, real };
	static const char *const root[] = { "/" };
	bool any = false;

	for (size_t i = 0; p->text[0] == '/' && i < 2; i++) {
		if (ways[i] == NULL)
			continue;
		char *dir = xstrdup(ways[i]), *slash;
		for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--)
			dir[n - 1] = '\0';
		slash = strrchr(dir, '/');
		if (p->kind == SPEC_PLACE_FILE)
			slash[slash == dir] = '\0';
		const char *const one[] = { dir };
		any = any || rk_path_within(p->text, one, 1) || i == 1;
		if (!rk_path_within(dir, (const char *const *)h->paths,
		    h->npaths) && rk_path_within(dir, root, 1))
			add_text(m->folders, dir);
		free(dir);
	}
	free(real);
	return any && rk_path_within(p->text, root, 1);
}

/* All folders that are said, and those that are missing: the line replaces the
 * one that is there. */
static char *
paths_line(struct ship *h, const struct missing *m)
{
	json_t *all = json_array();

	for (size_t i = 0; i < h->npaths && h->paths_said; i++)
		add_text(all, h->paths[i]);
	for (size_t i = 0; i < json_array_size(m->folders); i++)
		add_text(all, json_string_value(json_array_get(m->folders,
		    i)));
	char *list = rkj_text(all);
	char *line = xasprintf("paths: {allow: %s}", list);
	free(list);
	json_decref(all);
	return line;
}

static char *
stores_line(struct ship *h, const struct missing *m)
{
	const bool some = remote_has_stores(h->remote);
	struct strbuf b = { 0 };

	sb_adds(&b, some ? "" : "stores: [");
	for (size_t i = 0; i < json_array_size(m->stores); i++) {
		char *text = rkj_text(json_array_get(m->stores, i));
		sb_addf(&b, "%s%s{match: %s}", i > 0 ? ", " : "",
		    some ? "- " : "", text);
		free(text);
	}
	sb_adds(&b, some ? "" : "]");
	char *line = xstrdup(sb_str(&b));
	sb_fini(&b);
	return line;
}

static void
say(struct ship *h, const struct missing *m, struct rk_why *why)
{
	const char *file = h->c.config_file;
	struct strbuf b = { 0 };

	sb_addf(&b, "%s; the job came from the bucket, and this machine's "
	    "configuration does not let it", sb_str(&m->what));
	if (json_array_size(m->stores) > 0) {
		char *line = stores_line(h, m);
		sb_addf(&b, "; to let it, add to %s%s: %s", file,
		    remote_has_stores(h->remote) ? ", in `stores`" : "", line);
		free(line);
	}
	if (json_array_size(m->folders) > 0) {
		char *line = paths_line(h, m);
		if (json_array_size(m->stores) > 0)
			sb_addf(&b, "; and say there: %s", line);
		else
			sb_addf(&b, "; to let it, say in %s: %s", file, line);
		free(line);
	}
	if (json_array_size(m->stores) > 0 || json_array_size(m->folders) > 0)
		sb_adds(&b, "; and restart rekindled");
	rk_refuse(why, "%s", sb_str(&b));
	sb_fini(&b);
}

/* --- asking ----------------------------------------------------------------- */

static enum ship_allow
look(struct ship *h, const json_t *said, const struct spec_place *p,
    struct missing *m)
{
	json_t *text = spec_place_said(p);
	const bool fine = (json_string_length(text) > 0 &&
	    list_has(said, text)) || may(h, p);

	json_decref(text);
	if (fine)
		return SHIP_ALLOWED;
	sb_addf(&m->what, "%s%s is %.*s", m->what.len > 0 ? ", " : "",
	    p->field, (int)rk_text_fit(p->text, SHOWN), p->text);
	if (!is_path(p))
		add_store(m, p->text);
	else if (!add_folders(h, m, p))
		sb_adds(&m->what, " (no setting lets a path that is relative "
		    "or has .. in it)");
	return is_path(p) ? SHIP_PATH : SHIP_STORE;
}

enum ship_allow
ship_allows(struct ship *h, const char *said_here, const struct spec *spec,
    bool push_only, struct rk_why *why)
{
	struct spec_place v[SPEC_PLACES];
	struct missing m = { json_array(), json_array(), { 0 } };
	enum ship_allow worst = SHIP_ALLOWED;
	json_t *said = NULL;

	must_be(h, SHIP_TAG);
	const size_t n = said_here[0] != '\0' ? spec_places(spec, v) : 0;
	if (n > 0 && rkj_parse_json(said_here, strlen(said_here), &said,
	    NULL) != RK_OK)
		said = NULL;            /* nothing was said here */
	for (size_t i = 0; i < n; i++) {
		if (push_only && !is_push(&v[i]))
			continue;
		enum ship_allow one = look(h, said, &v[i], &m);
		if (one != SHIP_ALLOWED && worst != SHIP_STORE)
			worst = one;
	}
	if (worst != SHIP_ALLOWED && why != NULL)
		say(h, &m, why);
	spec_places_fini(v, n);
	json_decref(said);
	json_decref(m.stores);
	json_decref(m.folders);
	sb_fini(&m.what);
	return worst;
}

enum rk_err
allow_place(struct ship *h, const struct spec_place *p, struct rk_why *why)
{
	struct missing m = { NULL, NULL, { 0 } };

	if (!h->paths_said || !is_path(p) || may(h, p))
		return RK_OK;
	m.folders = json_array();
	(void)add_folders(h, &m, p);
	char *line = paths_line(h, &m);
	rk_refuse_at(why, p->field, "is \"%.*s\", which is in no folder that "
	    "%s allows; this would: %s", (int)rk_text_fit(p->text, SHOWN),
	    p->text, h->c.config_file, line);
	free(line);
	json_decref(m.folders);
	return RK_EINVAL;
}

void
allow_check(struct ship *h, const struct spec *spec, struct rk_why *why)
{
	struct spec_place v[SPEC_PLACES];
	const size_t n = h->paths_said ? spec_places(spec, v) : 0;

	for (size_t i = 0; i < n; i++)
		(void)!allow_place(h, &v[i], why);
	spec_places_fini(v, n);
}
