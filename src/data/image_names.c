/* Which images a source has: see image_names.h. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "image_names.h"

#define TEXT_MAX    ((size_t)1 << 30)   /* bytes of all paths */
#define CLASS_MAX   1024                /* bytes of a class's name, see
					   ckpt.h */
#define EMPTY_NAMED 8

static const char *const endings[] = {
	".jpg", ".jpeg", ".jpe", ".jfif", ".png"
};
static const char *const litter[] = {
	"Thumbs.db", "ehthumbs.db", "desktop.ini", "__MACOSX", "@eaDir",
	"$RECYCLE.BIN", "System Volume Information", "lost+found"
};

void
image_names_fini(struct image_names *v)
{
	for (int64_t i = 0; v->classes != NULL && i < v->nclasses; i++)
		free(v->classes[i]);
	free(v->classes);
	sb_fini(&v->text);
	free(v->at);
	free(v->targets);
	free(v->many_from);
	free(v->many);
	free(v->line);
	free(v->first_other);
	free(v->first_odd);
	free(v->empty);
	*v = (struct image_names){ 0 };
}

bool
image_is_named(const char *s, size_t n)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(endings); i++) {
		const size_t m = strlen(endings[i]);
		if (n > m && strncasecmp(s + n - m, endings[i], m) == 0)
			return true;
	}
	return false;
}

bool
image_is_hidden(const char *name)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(litter); i++)
		if (strcasecmp(name, litter[i]) == 0)
			return true;
	return name[0] == '.';
}

enum rk_err
image_class_ok(const char *what, const char *name, struct rk_why *why)
{
	char *clean = rk_text_clean(xstrdup(name));
	const bool same = strcmp(clean, name) == 0;

	free(clean);
	if (!same)
		return rk_refuse(why, "%s: the class \"%s\" has a name that is no "
		    "UTF-8, or has control characters in it", what, name);
	if (strlen(name) > CLASS_MAX)
		return rk_refuse(why, "%s: a class has a name of %zu bytes, want "
		    "at most %d", what, strlen(name), CLASS_MAX);
	return RK_OK;
}

static void
grow(struct image_names *v)
{
	if (v->n < v->room)
		return;
	v->room = RK_MAX(2 * v->room, (size_t)1024);
	v->at = xrealloc(v->at, v->room * sizeof(*v->at));
	v->targets = xrealloc(v->targets, v->room * sizeof(*v->targets));
}

enum rk_err
image_names_add(struct image_names *v, const char *what, const char *folder,
    const char *name, float target, struct rk_why *why)
{
	const size_t more = strlen(folder) + strlen(name) + 2;

	if (more > IMAGE_PATH_MAX)
		return rk_refuse(why, "%s: %.80s/%.80s... is a path of %zu "
		    "bytes, want at most %d", what, folder, name, more - 1,
		    IMAGE_PATH_MAX - 1);
	if (v->n >= (size_t)DATA_MAX_SAMPLES || v->text.len + more > TEXT_MAX)
		return rk_refuse(why, "%s: has more images than can be kept in "
		    "mind: at most %lld, whose paths take at most %zu bytes",
		    what, (long long)DATA_MAX_SAMPLES, TEXT_MAX);
	grow(v);
	v->at[v->n] = v->text.len;
	v->targets[v->n++] = target;
	if (folder[0] != '\0') {
		sb_adds(&v->text, folder);
		sb_addc(&v->text, '/');
	}
	sb_add(&v->text, name, strlen(name) + 1);
	return RK_OK;
}

static int
by_path(const void *a, const void *b, void *text)
{
	const char *s = text;

	return strcmp(s + *(const uint64_t *)a, s + *(const uint64_t *)b);
}

void
image_names_sort(struct image_names *v, size_t first)
{
	/* They have one label. */
	if (v->n > first)
		qsort_r(v->at + first, v->n - first, sizeof(*v->at), by_path,
		    v->text.s);
}

void
image_names_pass_over(uint64_t *n, char **first, const char *folder,
    const char *name)
{
	if (++*n == 1)
		*first = folder[0] == '\0' ? xstrdup(name) :
		    xasprintf("%s/%s", folder, name);
}

static void
remark_empty(const struct image_names *v, struct held *h)
{
	struct strbuf b = { 0 };

	if (v->nempty == 0)
		return;
	for (size_t i = 0; i < RK_MIN(v->nempty, (size_t)EMPTY_NAMED); i++)
		sb_addf(&b, "%s\"%s\"", i > 0 ? ", " : "",
		    v->classes[v->empty[i]]);
	held_remark(h, "%s: %zu of %lld classes %s no image: %s%s", h->what,
	    v->nempty, (long long)v->nclasses, v->nempty == 1 ? "has" :
	    "have", sb_str(&b), v->nempty > EMPTY_NAMED ? ", ..." : "");
	sb_fini(&b);
}

void
image_names_remark(const struct image_names *v, struct held *h)
{
	if (v->hidden + v->others > 0)
		held_remark(h, "%s: %llu file%s passed over: %llu hidden, "
		    "%llu without the ending of an image that is read (.jpg, "
		    ".jpeg, .png)%s%s", h->what,
		    (unsigned long long)(v->hidden + v->others),
		    v->hidden + v->others == 1 ? " was" : "s were",
		    (unsigned long long)v->hidden,
		    (unsigned long long)v->others, v->first_other != NULL ?
		    ", the first " : "", v->first_other != NULL ?
		    v->first_other : "");
	if (v->loose > 0)
		held_remark(h, "%s: %llu image%s beside the class folders, in "
		    "none of them, and not used", h->what,
		    (unsigned long long)v->loose, v->loose == 1 ? " is" :
		    "s are");
	if (v->odd > 0)
		held_remark(h, "%s: %llu entr%s neither a file nor a folder, "
		    "or a link to nothing, and not used, the first %s",
		    h->what, (unsigned long long)v->odd, v->odd == 1 ? "y is" :
		    "ies are", v->first_odd);
	if (v->links > 0)
		held_remark(h, "%s: %llu link%s, that an archive's reader does "
		    "not follow, and not used", h->what,
		    (unsigned long long)v->links, v->links == 1 ? " is in it" :
		    "s are in it");
	if (v->replaced > 0)
		held_remark(h, "%s: %llu file%s again under the same path, and "
		    "the last of them counts", h->what,
		    (unsigned long long)v->replaced, v->replaced == 1 ?
		    " comes" : "s come");
	if (v->again > 0)
		held_remark(h, "%s: %llu line%s an image that an earlier one "
		    "has, %llu of them with another label: the first is line "
		    "%u, as line %u", h->labels_what,
		    (unsigned long long)v->again, v->again == 1 ? " has" :
		    "s have", (unsigned long long)v->at_odds,
		    v->again_line[1], v->again_line[0]);
	remark_empty(v, h);
}
