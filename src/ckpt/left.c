/* What is left to go on from, and putting back what was set aside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define SHOWN_MAX 3

/* One that was set aside, under the name that it has now. */
struct put_aside {
	char as[HIDDEN_MAX], dir[CKPT_DIR_MAX];
	int64_t step;
	int branch;
};

struct asides {
	struct put_aside *v;
	size_t n;
};

/* "bad-step-000000100", "late-step-000000100-b2-3": the name that it had. */
static bool
aside_parse(const char *name, struct put_aside *a)
{
	const size_t bad = strlen(BAD_PREFIX), late = strlen(LATE_PREFIX);
	const char *rest = strncmp(name, BAD_PREFIX, bad) == 0 ? name + bad :
	    strncmp(name, LATE_PREFIX, late) == 0 ? name + late : NULL;

	if (rest == NULL || strlen(name) >= sizeof(a->as) ||
	    strlen(rest) >= sizeof(a->dir))
		return false;
	snprintf(a->as, sizeof(a->as), "%s", name);
	snprintf(a->dir, sizeof(a->dir), "%s", rest);
	if (dir_parse(a->dir, &a->step, &a->branch))
		return true;
	char *dash = strrchr(a->dir, '-');
	if (dash == NULL || dash[1] == '\0' ||
	    dash[1 + strspn(dash + 1, "0123456789")] != '\0')
		return false;
	*dash = '\0';
	return dir_parse(a->dir, &a->step, &a->branch);
}

/* Does the current branch go back to it?  A branch that is newer than any that
 * is known is one that branch.json has lost. */
static bool
is_of_line(const struct branches *br, const struct put_aside *a)
{
	int64_t step = INT64_MAX;
	int branch = br->current, older = 0;

	if (a->branch > branch)
		return true;
	for (;;) {
		if (a->branch == branch)
			return a->step <= step;
		if (!dir_parse(br->from[branch], &step, &older))
			return false;
		must(older < branch);
		branch = older;
	}
}

static int
newest_first(const void *a, const void *b)
{
	const struct put_aside *x = a, *y = b;

	if (x->branch != y->branch)
		return x->branch > y->branch ? -1 : 1;
	if (x->step != y->step)
		return x->step > y->step ? -1 : 1;
	return strcmp(x->as, y->as);
}

static enum rk_err
asides_read(struct ckpt *c, const struct branches *br, struct asides *out)
{
	int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct put_aside a;

	*out = (struct asides){0};
	if (d == NULL) {
		enum rk_err rc = rk_from_errno(errno);
		rk_close(&fd);
		return rc;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (!aside_parse(e->d_name, &a) || !is_of_line(br, &a))
			continue;
		out->v = xrealloc(out->v, (out->n + 1) * sizeof(*out->v));
		out->v[out->n++] = a;
	}
	closedir(d);
	if (out->n > 0)
		qsort(out->v, out->n, sizeof(*out->v), newest_first);
	return RK_OK;
}

bool
asides_any(struct ckpt *c, const struct branches *br)
{
	struct asides a;
	bool any = asides_read(c, br, &a) == RK_OK && a.n > 0;

	free(a.v);
	return any;
}

/* --- what is left --------------------------------------------------------- */

static void
say_left(struct ckpt *c, const struct view *w, const struct ckpt_left *l,
    const struct asides *a, struct rk_why *why)
{
	struct strbuf b = {0};

	for (size_t k = 0; k < RK_MIN(w->nbroken, (size_t)SHOWN_MAX); k++)
		sb_addf(&b, "; %s is %s: %s", w->broken[k].dir,
		    w->broken[k].unreadable ? "not readable" : "damaged",
		    w->broken[k].reason);
	for (size_t k = 0; k < RK_MIN(a->n, (size_t)SHOWN_MAX); k++)
		sb_addf(&b, "; %s is set aside", a->v[k].as);
	if (l->others > 0)
		sb_addf(&b, "; of other branches there is %s%s",
		    w->v[w->n - 1].dir, l->others > 1 ? " and more" : "");
	rk_refuse(why, "there is none to go on from in %s%s", c->path,
	    sb_str(&b));
	sb_fini(&b);
}

enum rk_err
ckpt_left(struct ckpt *c, struct ckpt_left *out, struct rk_why *why)
{
	struct asides a = {0};
	struct view w;

	*out = (struct ckpt_left){0};
	enum rk_err rc = view_open(c, &w);
	if (rc != RK_OK)
		return rc;
	out->usable = view_latest(&w) >= 0 && view_newer(&w) == NULL;
	out->others = (int)w.n;
	for (size_t k = 0; k < w.nbroken; k++) {
		out->unreadable += w.broken[k].unreadable;
		out->damaged += !w.broken[k].unreadable;
	}
	if (!out->usable) {
		rc = asides_read(c, &w.br, &a);
		out->aside = (int)a.n;
		if (rc == RK_OK)
			say_left(c, &w, out, &a, why);
	}
	free(a.v);
	view_fini(&w);
	return rc;
}

/* --- putting back --------------------------------------------------------- */

/* Under its name of today: is it what was written? */
static bool
is_whole(struct ckpt *c, const struct put_aside *a)
{
	struct ckpt_info i = {0};
	char *text = NULL;
	size_t len;
	int fd = openat(c->dirfd, a->as, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	bool good = fd >= 0 && rk_read_file(fd, CKPT_JSON, CKPT_JSON_MAX,
	    &text, &len) == RK_OK && ckpt_info_parse(text, len, a->dir, &i,
	    NULL) == RK_OK;

	for (int k = 0; good && k < i.nfiles; k++)
		good = verify_file(fd, &i.files[k], NULL) == RK_OK;
	ckpt_info_fini(&i);
	free(text);
	rk_close(&fd);
	return good;
}

static enum rk_err
put_back(struct ckpt *c, const struct put_aside *a)
{
	enum rk_err rc = lock_changes(c);

	if (rc != RK_OK)
		return rc;
	/* Another may have its name, and be damaged: that one stays. */
	if (faccessat(c->dirfd, a->dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		rc = RK_EEXIST;
	else if (renameat(c->dirfd, a->as, c->dirfd, a->dir) != 0)
		rc = rk_from_errno(errno);
	if (rc == RK_OK)
		rc = sync_dir(c);
	unlock_changes(c);
	return rc;
}

enum rk_err
ckpt_put_back(struct ckpt *c, ckpt_note_fn *note, void *ctx)
{
	enum rk_err rc = RK_ENOENT;
	struct asides a = {0};
	struct view w;

	must_be(c, CKPT_TAG);
	if (view_open(c, &w) != RK_OK)
		return RK_ENOENT;
	if (view_latest(&w) < 0 && asides_read(c, &w.br, &a) != RK_OK)
		a.n = 0;
	for (size_t k = 0; rc != RK_OK && k < a.n; k++) {
		if (!is_whole(c, &a.v[k]) || put_back(c, &a.v[k]) != RK_OK)
			continue;
		rc = RK_OK;
		char *s = xasprintf("no other checkpoint is left: %s is whole "
		    "and is %s again", a.v[k].as, a.v[k].dir);
		log_warn("ckpt: %s", s);
		if (note != NULL)
			note(ctx, s);
		free(s);
	}
	free(a.v);
	view_fini(&w);
	return rc;
}
