/* What there is in a folder of checkpoints. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

/* One pass over the folder: its step-* entries and its symlinks. */
struct entries {
	char (*dirs)[CKPT_DIR_MAX];
	size_t ndirs;
	struct link {
		char *name;
		char target[CKPT_DIR_MAX];
	} *links;
	size_t nlinks;
	char (*pins)[CKPT_DIR_MAX];     /* targets */
	size_t npins;
};

static void
entries_fini(struct entries *e)
{
	for (size_t i = 0; i < e->nlinks; i++)
		free(e->links[i].name);
	free(e->links);
	free(e->dirs);
	free(e->pins);
}

/* A person's name is a symlink to a step-* folder beside it; others are not
 * ours. */
static bool
read_link(struct ckpt *c, const char *name, bool pin, char target[CKPT_DIR_MAX])
{
	int64_t step;
	int branch;

	if (pin ? strncmp(name, PIN_PREFIX, strlen(PIN_PREFIX)) != 0 :
	    !person_name_ok(name))
		return false;
	ssize_t n = readlinkat(c->dirfd, name, target, CKPT_DIR_MAX - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return dir_parse(target, &step, &branch);
}

static void
add_entry(struct ckpt *c, struct entries *e, const char *name)
{
	struct link l;
	int64_t step;
	int branch;

	if (dir_parse(name, &step, &branch)) {
		e->dirs = xrealloc(e->dirs, (e->ndirs + 1) * sizeof(*e->dirs));
		dir_text(e->dirs[e->ndirs++], step, branch);
	} else if (read_link(c, name, true, l.target)) {
		e->pins = xrealloc(e->pins, (e->npins + 1) * sizeof(*e->pins));
		memcpy(e->pins[e->npins++], l.target, CKPT_DIR_MAX);
	} else if (read_link(c, name, false, l.target)) {
		l.name = xstrdup(name);
		e->links = xrealloc(e->links,
		    (e->nlinks + 1) * sizeof(*e->links));
		e->links[e->nlinks++] = l;
	}
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct link *)a)->name,
	    ((const struct link *)b)->name);
}

static enum rk_err
entries_read(struct ckpt *c, struct entries *e)
{
	*e = (struct entries){0};
	int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL) {
		log_errno("ckpt: cannot list %s", c->path);
		enum rk_err rc = rk_from_errno(errno);
		rk_close(&fd);
		return rc;
	}
	for (struct dirent *ent; (errno = 0, ent = readdir(d)) != NULL;)
		add_entry(c, e, ent->d_name);
	int err = errno;
	closedir(d);
	if (err != 0) {
		errno = err;
		log_errno("ckpt: cannot list %s", c->path);
		entries_fini(e);
		return rk_from_errno(err);
	}
	if (e->nlinks > 0)
		qsort(e->links, e->nlinks, sizeof(*e->links), by_name);
	return RK_OK;
}

/* --- branch.json ---------------------------------------------------------- */

#define BRANCHES_VERSION 1

void
branches_fini(struct branches *b)
{
	free(b->from);
	*b = (struct branches){0};
}

void
branches_extend(struct branches *b, int next, const char *from)
{
	must(next > b->current && next <= MAX_BRANCHES);
	b->from = xrealloc(b->from, ((size_t)next + 1) * sizeof(*b->from));
	for (int i = b->current + 1; i <= next; i++)
		b->from[i][0] = '\0';
	b->current = next;
	snprintf(b->from[next], CKPT_DIR_MAX, "%s", from);
}

void
branches_init(struct branches *b)
{
	b->current = 1;
	b->from = xcalloc(2, sizeof(*b->from));
}

/* The origins of all branches, oldest first; those that are no checkpoint's
 * name become "". */
static bool
branches_parse(struct branches *b, const json_t *o)
{
	int64_t current = json_integer_value(json_object_get(o, "branch"));
	const json_t *older = json_object_get(o, "older");
	int64_t step;
	int branch;

	if (current < 1 || current > MAX_BRANCHES)
		return false;
	for (int i = 2; i <= current; i++) {
		const json_t *v = i == current ? json_object_get(o, "from") :
		    json_array_get(older, (size_t)i - 2);
		const char *s = json_string_value(v);
		bool good = s != NULL && dir_parse(s, &step, &branch) &&
		    branch < i;
		branches_extend(b, i, good ? s : "");
	}
	return true;
}

void
branches_read(struct ckpt *c, struct branches *b)
{
	struct rk_why why = {0};
	json_t *o = NULL;
	char *s = NULL;
	size_t len;

	branches_init(b);
	enum rk_err rc = rk_read_file(c->dirfd, CKPT_BRANCHES, CKPT_JSON_MAX,
	    &s, &len);
	if (rc == RK_ENOENT)
		return;
	b->lost = rc != RK_OK || rkj_parse_json(s, len, &o, &why) != RK_OK ||
	    !branches_parse(b, o);
	if (b->lost)
		log_warn("ckpt: %s/" CKPT_BRANCHES " cannot be read (%s); "
		    "branches are told from the folders", c->path,
		    rc != RK_OK ? rk_strerror(rc) :
		    why.n > 0 ? rk_why_first(&why) : "not a branch");
	rk_why_fini(&why);
	json_decref(o);
	free(s);
}

enum rk_err
branches_write(struct ckpt *c, const struct branches *b)
{
	json_t *older = json_array(), *o;

	for (int i = 2; i < b->current; i++)
		json_array_append_new(older, json_string(b->from[i]));
	o = json_pack("{s:i, s:i, s:s, s:o}", "version", BRANCHES_VERSION,
	    "branch", b->current, "from", b->from[b->current], "older", older);
	must(o != NULL);
	char *s = rkj_text(o);
	enum rk_err rc = rk_replace_file(c->dirfd, CKPT_BRANCHES, s,
	    strlen(s));
	free(s);
	json_decref(o);
	return rc;
}

/* --- checkpoints ---------------------------------------------------------- */

bool
dir_exists(struct ckpt *c, const char *dir)
{
	struct stat st;

	return fstatat(c->dirfd, dir, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode);
}

/* The disk or its permissions say no; that says nothing of what is there. */
bool
is_unreadable(int e)
{
	return e == EIO || e == EACCES || e == EPERM;
}

static uint64_t
bytes_shared(int fd, const struct ckpt_info *i)
{
	uint64_t bytes = 0;
	struct stat st;

	for (int k = 0; k < i->nfiles; k++) {
		if (ckpt_is_shared(&i->files[k]) && fstatat(fd,
		    i->files[k].name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_nlink > 1)
			bytes += i->files[k].size;
	}
	return bytes;
}

enum rk_err
read_dir_info(struct ckpt *c, const char *dir, struct ckpt_info *out,
    struct rk_why *why)
{
	char *s = NULL;
	size_t len;

	*out = (struct ckpt_info){0};
	int fd = openat(c->dirfd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (fd < 0 && is_unreadable(errno)) {
		rk_refuse(why, "%s", strerror(errno));
		return rk_from_errno(errno);
	}
	if (fd < 0)
		return rk_from_errno(errno);
	errno = 0;
	enum rk_err rc = rk_read_file(fd, CKPT_JSON, CKPT_JSON_MAX, &s, &len);
	bool unreadable = rc != RK_OK && is_unreadable(errno);
	if (rc == RK_OK) {
		rc = ckpt_info_parse(s, len, dir, out, why);
		if (rc == RK_OK) {
			read_sums(fd, out);
			out->shared = bytes_shared(fd, out);
		}
		free(s);
	} else if (rc != RK_ENOMEM && dir_exists(c, dir)) {
		rk_refuse(why, CKPT_JSON ": %s", rk_strerror(rc));
		rc = unreadable ? rc : RK_ECORRUPT;
	}                               /* else deleted under our hands */
	rk_close(&fd);
	return rc;
}

static void
set_names(struct ckpt_info *i, const struct entries *e)
{
	size_t n = 0;

	must(i->names == NULL);
	i->names = xcalloc(e->nlinks + 1, sizeof(*i->names));
	for (size_t k = 0; k < e->nlinks; k++) {
		if (strcmp(e->links[k].target, i->dir) == 0)
			i->names[n++] = xstrdup(e->links[k].name);
	}
}

int
by_place(const void *a, const void *b)
{
	const struct ckpt_info *x = a, *y = b;

	if (x->branch != y->branch)
		return x->branch < y->branch ? -1 : 1;
	return (x->step > y->step) - (x->step < y->step);
}

static void
add_broken(struct view *w, const char *dir, const char *reason,
    enum rk_err rc)
{
	w->broken = xrealloc(w->broken, (w->nbroken + 1) * sizeof(*w->broken));
	struct broken *b = &w->broken[w->nbroken++];
	snprintf(b->dir, sizeof(b->dir), "%s", dir);
	b->reason = xstrdup(reason);
	b->unreadable = rc != RK_ECORRUPT;
	b->newer = rc == RK_EINVAL;
}

static enum rk_err
add_info(struct ckpt *c, struct view *w, const struct entries *e,
    const char *dir)
{
	struct ckpt_info *i = &w->v[w->n];
	struct rk_why why = {0};
	enum rk_err rc = read_dir_info(c, dir, i, &why);

	if (rc == RK_OK) {
		set_names(i, e);
		w->n++;
	} else if (rc == RK_ECORRUPT || why.n > 0) {
		add_broken(w, dir, rk_why_first(&why), rc);
		rc = RK_ECORRUPT;
		log_warn("ckpt: %s/%s is left out: %s", c->path, dir,
		    rk_why_first(&why));
	} else if (rc == RK_ENOENT) {
		rc = RK_OK;             /* deleted since we listed it */
	}
	rk_why_fini(&why);
	return rc == RK_ECORRUPT ? RK_OK : rc;
}

enum rk_err
view_open(struct ckpt *c, struct view *w)
{
	struct entries e;

	must_be(c, CKPT_TAG);
	*w = (struct view){0};
	enum rk_err rc = entries_read(c, &e);
	if (rc != RK_OK)
		return rc;
	branches_read(c, &w->br);
	w->v = xcalloc(e.ndirs + 1, sizeof(*w->v));
	for (size_t k = 0; k < e.ndirs && rc == RK_OK; k++)
		rc = add_info(c, w, &e, e.dirs[k]);
	w->pins = e.pins;
	w->npins = e.npins;
	e.pins = NULL;
	entries_fini(&e);
	if (rc != RK_OK) {
		log_error("ckpt: cannot read %s: %s", c->path,
		    rk_strerror(rc));
		view_fini(w);
		return rc;
	}
	qsort(w->v, w->n, sizeof(*w->v), by_place);
	/* branch.json lost: then the newest branch is what the folders say. */
	if (w->n > 0 && w->v[w->n - 1].branch > w->br.current)
		branches_extend(&w->br, w->v[w->n - 1].branch, "");
	return RK_OK;
}

void
view_fini(struct view *w)
{
	for (size_t k = 0; k < w->n; k++)
		ckpt_info_fini(&w->v[k]);
	free(w->v);
	for (size_t k = 0; k < w->nbroken; k++)
		free(w->broken[k].reason);
	free(w->broken);
	free(w->pins);
	branches_fini(&w->br);
	*w = (struct view){0};
}

void
view_take(struct view *w, size_t i, struct ckpt_info *out)
{
	must(i < w->n);
	if (out != NULL)
		*out = w->v[i];
	else
		ckpt_info_fini(&w->v[i]);
	w->n--;
	memmove(&w->v[i], &w->v[i + 1], (w->n - i) * sizeof(*w->v));
}

enum rk_err
ckpt_list(struct ckpt *c, struct ckpt_info **v, size_t *n)
{
	struct view w;
	enum rk_err rc = view_open(c, &w);

	*v = NULL;
	*n = 0;
	if (rc != RK_OK)
		return rc;
	*v = w.v;
	*n = w.n;
	w.v = NULL;
	w.n = 0;
	view_fini(&w);
	return RK_OK;
}

void
ckpt_list_free(struct ckpt_info *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ckpt_info_fini(&v[i]);
	free(v);
}

enum rk_err
read_names(struct ckpt *c, struct ckpt_info *i)
{
	struct entries e;
	enum rk_err rc = entries_read(c, &e);

	if (rc != RK_OK)
		return rc;
	set_names(i, &e);
	entries_fini(&e);
	return RK_OK;
}

enum rk_err
ckpt_read(struct ckpt *c, const char *dir_or_name, struct ckpt_info *out)
{
	char dir[CKPT_DIR_MAX];
	struct rk_why why = {0};
	int64_t step;
	int branch;

	must_be(c, CKPT_TAG);
	*out = (struct ckpt_info){0};
	if (dir_parse(dir_or_name, &step, &branch))
		snprintf(dir, sizeof(dir), "%s", dir_or_name);
	else if (!read_link(c, dir_or_name, false, dir))
		return RK_ENOENT;
	enum rk_err rc = read_dir_info(c, dir, out, &why);
	if (rc == RK_ECORRUPT)
		log_warn("ckpt: %s/%s: %s", c->path, dir, rk_why_first(&why));
	rk_why_fini(&why);
	if (rc != RK_OK)
		return rc;
	rc = read_names(c, out);
	if (rc != RK_OK)
		ckpt_info_fini(out);
	return rc;
}
