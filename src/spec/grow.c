/* What grows in a warm start, and what the rows of its file are called. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const spec_grow_match_words[] = { "name", "index", NULL };
const char *const spec_grow_init_words[] = { "default", "mean", "zero", NULL };

/* --- which layers --------------------------------------------------------- */

static bool
fits(const char *pattern, const char *tensor)
{
	const char *dot = strrchr(tensor, '.');

	if (spec_pattern_fits(pattern, tensor))
		return true;
	if (dot == NULL)
		return false;
	char *layer = xstrndup(tensor, (size_t)(dot - tensor));
	const bool is = spec_pattern_fits(pattern, layer);
	free(layer);
	return is;
}

const struct spec_grow *
spec_grow_of(const struct spec_warm *w, const char *tensor)
{
	const struct spec_grow *best = NULL;

	for (int i = 0; i < w->ngrow; i++)
		if (fits(w->grow[i].layer, tensor) && (best == NULL ||
		    sp_goes_before(w->grow[i].layer, best->layer)))
			best = &w->grow[i];
	return best;
}

/* --- reading: grow -------------------------------------------------------- */

static bool
pattern_ok(const char *s)
{
	return s != NULL && s[0] != '\0' && strlen(s) <= SPEC_MAX_PATTERN;
}

/* v: {match, init}, or NULL. */
static void
read_layer(struct spec_warm *w, const char *layer, const json_t *v,
    const char *path, struct rk_why *why)
{
	struct spec_grow g = { .match = SPEC_GROW_NAME };
	char *at = xasprintf("%s.%.64s", path, layer);
	int word;
	struct sp_obj s;

	for (int i = 0; i < w->ngrow; i++)
		if (strcmp(w->grow[i].layer, layer) == 0)
			rk_refuse_at(why, path, "has \"%.64s\" twice", layer);
	sp_open(&s, v, at, why);
	if (rkj_enum(&s.o, "match", &word, spec_grow_match_words,
	    RKJ_OPTIONAL))
		g.match = (enum spec_grow_match)word;
	if (rkj_enum(&s.o, "init", &word, spec_grow_init_words, RKJ_OPTIONAL))
		g.init = (enum spec_grow_init)word;
	sp_close(&s);
	g.layer = xstrdup(layer);
	w->grow[w->ngrow++] = g;
	free(at);
}

static void
read_all(struct spec_warm *w, json_t *v, const char *path, struct rk_why *why)
{
	const size_t n = json_is_array(v) ? json_array_size(v) :
	    json_object_size(v);
	char shown[SP_SHOWN];
	const char *layer;
	json_t *e;
	size_t i;

	if ((!json_is_array(v) && !json_is_object(v)) || n > SPEC_MAX_GROW) {
		rk_refuse_at(why, path, "is %s, want a list of at most %d "
		    "layers, or {LAYER: {match: name, init: default}}",
		    sp_shown(v, shown), SPEC_MAX_GROW);
		return;
	}
	w->grow = xcalloc(n + 1, sizeof(*w->grow));
	json_array_foreach(v, i, e) {
		if (pattern_ok(json_string_value(e)))
			read_layer(w, json_string_value(e), NULL, path, why);
		else
			rk_refuse_at(why, path, "has %s, want the name of a "
			    "layer of 1 to %d bytes, such as fc",
			    sp_shown(e, shown), SPEC_MAX_PATTERN);
	}
	json_object_foreach(v, layer, e) {
		if (pattern_ok(layer))
			read_layer(w, layer, e, path, why);
		else
			rk_refuse_at(why, path, "has a layer whose name is not "
			    "of 1 to %d bytes", SPEC_MAX_PATTERN);
	}
}

/* --- reading: names ------------------------------------------------------- */

void
spec_names_fini(struct spec_names *n)
{
	for (int64_t i = 0; i < n->n; i++)
		free(n->v[i]);
	free(n->v);
	free(n->file);
	*n = (struct spec_names){0};
}

/* A list of texts; whole numbers are taken as such. */
static void
read_list(struct spec_names *n, const json_t *v, const char *path,
    struct rk_why *why)
{
	const size_t len = json_array_size(v);
	char shown[SP_SHOWN];

	if (len < 1 || len > SPEC_MAX_CLASSES) {
		rk_refuse_at(why, path, "has %zu names, want 1 to %d", len,
		    SPEC_MAX_CLASSES);
		return;
	}
	n->v = xcalloc(len, sizeof(*n->v));
	for (size_t i = 0; i < len; i++) {
		const json_t *e = json_array_get(v, i);
		const char *s = json_string_value(e);
		if (json_is_integer(e))
			n->v[n->n++] = xasprintf("%lld",
			    (long long)json_integer_value(e));
		else if (s != NULL && s[0] != '\0' && strlen(s) <=
		    SPEC_MAX_CLASS_NAME && strlen(s) == json_string_length(e))
			n->v[n->n++] = xstrdup(s);
		else
			rk_refuse_at(why, path, "has %s, want the name of a "
			    "class of 1 to %d bytes", sp_shown(e, shown),
			    SPEC_MAX_CLASS_NAME);
	}
}

static void
check_file(char *where, const char *path, struct rk_why *why)
{
	struct rk_why own = {0};

	if (spec_is_address(where) && sp_check_address(where, &own) != RK_OK)
		rk_refuse_at(why, path, "%s", rk_why_first(&own));
	else if (strchr(where, '#') != NULL && !spec_is_address(where))
		rk_refuse_at(why, path, "is \"%.80s\", want a path without #",
		    where);
	rk_why_fini(&own);
}

static void
read_names(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *v = rkj_any(o, "checkpoint_classes");
	char *path = rkj_child(o, "checkpoint_classes");
	char shown[SP_SHOWN];

	if (json_is_array(v)) {
		read_list(&w->classes, v, path, why);
	} else if (json_is_string(v)) {
		if (rkj_str(o, "checkpoint_classes", &w->classes.file,
		    SP_MAX_PATH, RKJ_OPTIONAL))
			check_file(w->classes.file, path, why);
	} else if (v != NULL) {
		rk_refuse_at(why, path, "is %s, want a list of names, or a "
		    "file with one a line", sp_shown(v, shown));
	}
	free(path);
}

void
sp_read_grow(struct spec_warm *w, struct rkj_obj *o, struct rk_why *why)
{
	json_t *v = (json_t *)(uintptr_t)rkj_any(o, "grow");
	char *path = rkj_child(o, "grow");

	if (v != NULL)
		read_all(w, v, path, why);
	free(path);
	read_names(w, o, why);
	path = rkj_child(o, "checkpoint_vocabulary");
	if (rkj_str(o, "checkpoint_vocabulary", &w->vocabulary, SP_MAX_PATH,
	    RKJ_OPTIONAL))
		check_file(w->vocabulary, path, why);
	free(path);
}

/* --- a file of names ------------------------------------------------------ */

/* The number that a line begins with, and where the name behind it is; -1. */
static int64_t
index_of(const char *line, const char **name)
{
	const size_t n = strspn(line, "0123456789");

	*name = line + n + strspn(line + n, " \t");
	if (n == 0 || n > 9 || *name == line + n || **name == '\0')
		return -1;
	return strtoll(line, NULL, 10);
}

/* Lines `index name` into their order; false: they are none, and stay. */
static bool
sort_by_index(struct spec_names *n)
{
	char **v = xcalloc((size_t)n->n + 1, sizeof(*v));
	bool ok = n->n > 0;

	for (int64_t i = 0; ok && i < n->n; i++) {
		const char *name;
		const int64_t k = index_of(n->v[i], &name);
		ok = k >= 0 && k < n->n && v[k] == NULL;
		if (ok)
			v[k] = xstrdup(name);
	}
	for (int64_t i = 0; i < n->n; i++)
		free(ok ? n->v[i] : v[i]);
	if (ok)
		memcpy(n->v, v, (size_t)n->n * sizeof(*v));
	free(v);
	return ok;
}

/* A line without blanks at its ends; NULL: it counts for nothing. */
static char *
trimmed(const char *s, size_t len)
{
	static const char blanks[] = " \t\r";

	while (len > 0 && strchr(blanks, s[len - 1]) != NULL)
		len--;
	while (len > 0 && strchr(blanks, *s) != NULL) {
		s++;
		len--;
	}
	return len == 0 || (len > 1 && s[0] == '#' && s[1] == ' ') ? NULL :
	    xstrndup(s, len);
}

static enum rk_err
add_line(struct spec_names *n, const char *s, size_t len, int64_t line,
    struct rk_why *why)
{
	char *name = memchr(s, '\0', len) == NULL ? trimmed(s, len) : xstrdup(
	    "\xff");
	json_t *text = name != NULL ? json_string(name) : NULL;
	const bool sound = name == NULL || text != NULL;

	json_decref(text);
	if (name == NULL)
		return RK_OK;
	if (sound && strlen(name) <= SPEC_MAX_CLASS_NAME && n->n <
	    SPEC_MAX_CLASSES) {
		n->v = xrealloc(n->v, (size_t)(n->n + 1) * sizeof(*n->v));
		n->v[n->n++] = name;
		return RK_OK;
	}
	const bool many = n->n == SPEC_MAX_CLASSES;
	free(name);
	if (many)
		return rk_refuse(why, "has more than %d names",
		    SPEC_MAX_CLASSES);
	return rk_refuse(why, "line %lld is no name: want at most %d bytes of "
	    "UTF-8", (long long)line, SPEC_MAX_CLASS_NAME);
}

enum rk_err
spec_names_of_text(const char *text, size_t len, struct spec_names *out,
    struct rk_why *why)
{
	const char *end = text + len;
	enum rk_err rc = RK_OK;
	int64_t line = 1;

	*out = (struct spec_names){0};
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (const char *s = text; s < end && rc == RK_OK; line++) {
		const char *eol = memchr(s, '\n', (size_t)(end - s));
		rc = add_line(out, s, (size_t)((eol != NULL ? eol : end) - s),
		    line, why);
		s = eol != NULL ? eol + 1 : end;
	}
	if (rc == RK_OK)
		sort_by_index(out);
	if (rc == RK_OK && out->n == 0)
		rc = rk_refuse(why, "has no names");
	if (rc != RK_OK)
		spec_names_fini(out);
	return rc;
}

/* --- the normal form ------------------------------------------------------ */

/* Young fields: at their default they are not there. */
void
sp_put_grow(json_t *o, const struct spec_warm *w)
{
	json_t *v = json_object();

	for (int i = 0; i < w->ngrow; i++)
		sp_put(v, w->grow[i].layer, json_pack("{s:s, s:s}", "match",
		    spec_grow_match_words[w->grow[i].match], "init",
		    spec_grow_init_words[w->grow[i].init]));
	if (w->ngrow > 0)
		sp_put(o, "grow", json_incref(v));
	json_decref(v);
	if (w->classes.n > 0) {
		v = json_array();
		for (int64_t i = 0; i < w->classes.n; i++)
			must(json_array_append_new(v, json_string(
			    w->classes.v[i])) == 0);
		sp_put(o, "checkpoint_classes", v);
	}
	if (w->classes.file != NULL)
		sp_put(o, "checkpoint_classes", json_string(w->classes.file));
	if (w->vocabulary != NULL)
		sp_put(o, "checkpoint_vocabulary", json_string(
		    w->vocabulary));
}

void
sp_free_grow(struct spec_warm *w)
{
	for (int i = 0; i < w->ngrow; i++)
		free(w->grow[i].layer);
	free(w->grow);
	spec_names_fini(&w->classes);
	free(w->vocabulary);
}
