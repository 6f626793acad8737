/* The index of a tar: see format.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "tar.h"

#define TAR_TAG     0x74617266u
#define NAMES_FIRST ((size_t)4096)
#define LINKS_DEEP  16          /* links to links to ... */

/* What is found, in the archive's order, until it is sorted.  Paths move while
 * they are gathered, so they are places in `names`. */
struct item {
	size_t path;                    /* where it begins in names */
	uint64_t offset, size;
	bool linked;                    /* by a hard link: link is its aim */
	size_t link;
};

struct tar {
	struct format_tar pub;          /* first: a format_tar * is a tar * */
	unsigned tag;
	char *what;                     /* names it in messages */
	const unsigned char *mem;       /* or NULL: fd */
	int fd;
	char *names;
	struct format_tar_file *files;
};

struct gather {
	struct tar *t;
	struct item *items;
	size_t n, room;
	size_t used, names_room;
	struct rk_why *why;
};

static struct tar *
tar_of(const struct format_tar *t)
{
	struct tar *own = (struct tar *)(uintptr_t)t;

	must_be(own, TAR_TAG);
	return own;
}

static enum rk_err
no_memory(struct gather *g)
{
	rk_refuse(g->why, "%s: there is no memory for the index of %zu files",
	    g->t->what, g->n);
	return RK_ENOMEM;
}

/* --- gathering ------------------------------------------------------------ */

static enum rk_err
keep_name(struct gather *g, const char *s, size_t *at)
{
	const size_t n = strlen(s) + 1;

	if (n > FORMAT_TAR_NAMES - g->used)
		return rk_refuse(g->why, "%s: the paths of its files have more "
		    "than the %zu bytes that are taken", g->t->what,
		    FORMAT_TAR_NAMES);
	if (n > g->names_room - g->used) {
		size_t room = RK_MAX(g->names_room * 2, NAMES_FIRST);
		while (room - g->used < n)
			room *= 2;
		char *more = realloc(g->t->names, room);
		if (more == NULL)
			return no_memory(g);
		g->t->names = more;
		g->names_room = room;
	}
	memcpy(g->t->names + g->used, s, n);
	*at = g->used;
	g->used += n;
	return RK_OK;
}

static enum rk_err
keep(struct gather *g, const struct tar_member *m)
{
	if (g->n == FORMAT_TAR_FILES)
		return rk_refuse(g->why, "%s: has more than the %zu files that "
		    "are taken", g->t->what, FORMAT_TAR_FILES);
	if (g->n == g->room) {
		const size_t room = RK_MAX(g->room * 2, (size_t)64);
		void *more = reallocarray(g->items, room, sizeof(*g->items));
		if (more == NULL)
			return no_memory(g);
		g->items = more;
		g->room = room;
	}
	struct item *i = &g->items[g->n];
	*i = (struct item){ .offset = m->offset, .size = m->size,
		.linked = m->kind == TAR_HARD_LINK };
	enum rk_err rc = keep_name(g, m->path, &i->path);
	if (rc == RK_OK && i->linked)
		rc = keep_name(g, m->link, &i->link);
	if (rc == RK_OK)
		g->n++;
	return rc;
}

static enum rk_err
take(struct gather *g, const struct tar_member *m)
{
	switch (m->kind) {
	case TAR_FILE:
		return keep(g, m);
	case TAR_HARD_LINK:
		if (m->link[0] != '\0')
			return keep(g, m);
		/* FALLTHROUGH */
	case TAR_SYMBOLIC_LINK:
		g->t->pub.links++;
		break;
	case TAR_OTHER:
		g->t->pub.others++;
		break;
	case TAR_FOLDER:
		break;
	}
	return RK_OK;
}

/* --- sorting -------------------------------------------------------------- */

/* By path, then by their order in the archive, which the places of their names
 * have, too. */
static int
by_path(const void *a, const void *b, void *names)
{
	const struct item *x = a, *y = b;
	const int c = strcmp((char *)names + x->path, (char *)names + y->path);

	return c != 0 ? c : x->path < y->path ? -1 : x->path > y->path;
}

/* The newest item of a path that comes before `before` in the archive, or
 * NULL. */
static const struct item *
find_before(const struct gather *g, const char *path, size_t before)
{
	const struct item *found = NULL;
	size_t lo = 0, hi = g->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct item *i = &g->items[mid];
		const int c = strcmp(g->t->names + i->path, path);
		if (c > 0 || (c == 0 && i->path >= before)) {
			hi = mid;
			continue;
		}
		lo = mid + 1;
		if (c == 0)
			found = i;
	}
	return found;
}

/* What a hard link is of, which may be one, too, but not on and on. */
static const struct item *
aim_of(const struct gather *g, const struct item *i)
{
	for (int depth = 0; i != NULL && i->linked; depth++)
		i = depth == LINKS_DEEP ? NULL :
		    find_before(g, g->t->names + i->link, i->path);
	return i;
}

static enum rk_err
finish(struct gather *g)
{
	struct tar *t = g->t;
	size_t n = 0;

	if (g->n > 0)
		qsort_r(g->items, g->n, sizeof(*g->items), by_path, t->names);
	t->files = calloc(RK_MAX(g->n, (size_t)1), sizeof(*t->files));
	if (t->files == NULL)
		return no_memory(g);
	for (size_t k = 0; k < g->n; k++) {
		const struct item *i = &g->items[k], *aim = aim_of(g, i);
		const char *path = t->names + i->path;
		if (aim == NULL) {
			t->pub.links++;
			continue;
		}
		if (n > 0 && strcmp(t->files[n - 1].path, path) == 0) {
			t->pub.replaced++;
			n--;
		}
		t->files[n++] = (struct format_tar_file){ path, aim->offset,
			aim->size };
	}
	t->pub.files = t->files;
	t->pub.n = n;
	t->pub.bytes = g->names_room + g->n * sizeof(*t->files) + sizeof(*t);
	return RK_OK;
}

/* --- the face ------------------------------------------------------------- */

static enum rk_err
gather_all(struct gather *g, struct format_source *in)
{
	struct tar_walk w = { .in = in, .why = g->why };
	struct tar_member m;
	enum rk_err rc = RK_OK;

	if (in->packed)
		return rk_refuse(g->why, "%s: is packed by gzip, and files can "
		    "be read in place only in a tar that is not", in->what);
	for (;;) {
		rc = tar_next(&w, &m);
		if (rc != RK_OK || w.ended)
			break;
		rc = take(g, &m);
		if (rc != RK_OK)
			break;
	}
	tar_fini(&w);
	return rc == RK_OK ? finish(g) : rc;
}

static enum rk_err
make(struct format_source *in, const void *mem, struct format_tar **out,
    struct rk_why *why)
{
	struct tar *t = xcalloc(1, sizeof(*t));
	struct gather g = { .t = t, .why = why };

	*t = (struct tar){ .tag = TAR_TAG, .what = xstrdup(in->what),
		.mem = mem, .fd = -1 };
	enum rk_err rc = gather_all(&g, in);
	free(g.items);
	if (rc == RK_OK && mem == NULL) {
		t->fd = in->fd;         /* the source's; now ours */
		in->fd = -1;
	}
	if (rc == RK_OK)
		*out = &t->pub;
	else
		format_tar_free(&t->pub);
	return rc;
}

enum rk_err
format_tar_open(const char *path, struct format_tar **out,
    struct rk_why *why)
{
	struct format_source in;
	enum rk_err rc = format_source_open(&in, path, why);

	*out = NULL;
	if (rc == RK_OK)
		rc = make(&in, NULL, out, why);
	format_source_close(&in);
	return rc;
}

enum rk_err
format_tar_parse(const void *p, size_t n, const char *what,
    struct format_tar **out, struct rk_why *why)
{
	struct format_source in;
	enum rk_err rc = format_source_open_mem(&in, p, n, what, why);

	*out = NULL;
	if (rc == RK_OK)
		rc = make(&in, n > 0 ? p : "", out, why);
	format_source_close(&in);
	return rc;
}

void
format_tar_free(struct format_tar *t)
{
	if (t == NULL)
		return;
	struct tar *own = tar_of(t);

	rk_close(&own->fd);
	free(own->what);
	free(own->names);
	free(own->files);
	own->tag = 0;
	free(own);
}

int64_t
format_tar_find(const struct format_tar *t, const char *path)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const int c = strcmp(t->files[mid].path, path);
		if (c == 0)
			return (int64_t)mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

static enum rk_err
read_failed(const struct tar *t, const char *path, int e, struct rk_why *why)
{
	if (e == 0) {
		rk_refuse(why, "%s: the archive %s was cut off since it was "
		    "opened", path, t->what);
		return RK_ECORRUPT;
	}
	rk_refuse(why, "%s: cannot be read in %s: %s", path, t->what,
	    strerror(e));
	return rk_from_errno(e);
}

enum rk_err
format_tar_read(const struct format_tar *t, size_t i, uint64_t from,
    void *dst, size_t n, struct rk_why *why)
{
	const struct tar *own = tar_of(t);
	const struct format_tar_file *f = &t->files[i];
	unsigned char *p = dst;

	must(i < t->n && n <= f->size && from <= f->size - n);
	if (own->mem != NULL) {
		if (n > 0)
			memcpy(dst, own->mem + f->offset + from, n);
		return RK_OK;
	}
	while (n > 0) {
		ssize_t k = pread(own->fd, p, n, (off_t)(f->offset + from));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return read_failed(own, f->path, k < 0 ? errno : 0,
			    why);
		p += k;
		from += (uint64_t)k;
		n -= (size_t)k;
	}
	return RK_OK;
}
