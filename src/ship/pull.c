/*
 * A checkpoint that only the bucket has, brought here before its job starts.
 *
 * Its files go through the cache, so that what is there already, or shared with
 * another checkpoint, is not fetched again; then they are linked (copied, where
 * that cannot be) into a folder that ckpt_admit() checks and renames into
 * place.  Nothing is kept of a pull but what is in the cache: it is driven by
 * sup's asking, and asked again it goes on.
 *
 * One that turns out damaged is passed over from then on, and the choice is
 * made anew: so the next older whole one is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define CHOICES 64              /* damaged ones passed over at one asking */

enum pull_state { PULL_HISTORY, PULL_FILES, PULL_ADMIT, PULL_DONE };

/* What a worker needs to put it in place; its own copies. */
struct admit {
	struct admit *next, **prev;     /* of admits */
	struct pull *pull;              /* NULL: nobody waits any more */
	struct ship *h;
	char *folder, *dir, *info;
	char **from, **names;           /* paths, by file */
	char (*files)[64];
	int n;
	int branch;
	char parent[CKPT_DIR_MAX];
	int above;                      /* 0; or it is not the newest one there,
	                                   and this branch is to be left */
	bool bad[CKPT_MAX_FILES];       /* not what the cache says it is */
	enum rk_err rc;
	struct rk_why why;
};

/* All that a worker may still hold; the loop's close may drop some of them. */
static struct admit *admits;

struct pull {
	unsigned tag;
	struct ship *h;
	struct pull *next;
	enum pull_state state;
	struct remote_row row;
	struct rfiles files;
	char hex[CKPT_MAX_FILES][RK_SHA256_HEX];
	struct remote_op *op;
	struct admit *admit;
	size_t history;                 /* the one that op is about */
	bool older;                     /* than the newest one there */
	bool again;                     /* the cache was found damaged once */
	int64_t begun_ms;
	enum rk_err rc;                 /* of PULL_DONE */
	char *error;
};

static struct pull *
find(const struct ship *h, const char *job)
{
	struct pull *p = h->pulls;

	while (p != NULL && strcmp(p->row.job, job) != 0)
		p = p->next;
	return p;
}

bool
pull_uses(const struct ship *h, const struct remote_row *r)
{
	const struct pull *p = find(h, r->job);

	return p != NULL && row_same(&p->row, r);
}

static void
free_pull(struct pull *p)
{
	struct pull **q = &p->h->pulls;

	must_be(p, PULL_TAG);
	while (*q != p)
		q = &(*q)->next;
	*q = p->next;
	remote_cancel(&p->op);
	if (p->admit != NULL)
		p->admit->pull = NULL;  /* the worker's end frees it */
	store_remote_fini(&p->row);
	rfiles_fini(&p->files);
	free(p->error);
	p->tag = 0;
	free(p);
}

void
pull_gone(struct ship *h, const char *job)
{
	struct pull *p = find(h, job);

	if (p != NULL)
		free_pull(p);
}

void
pull_fini(struct ship *h)
{
	while (h->pulls != NULL)
		free_pull(h->pulls);
}

/* --- history ------------------------------------------------------------- */

static void get_history(struct pull *p);

/* History from the machine before, if there is none here. */
static void
history_got(void *ctx, const struct remote_result *r)
{
	struct pull *p = ctx;
	const char *name = ship_histories[p->history];

	must_be(p, PULL_TAG);
	p->op = NULL;
	if (r->end == REMOTE_OK && r->len > 0) {
		int fd = open(sup_job_dir(p->h->sup, p->row.job), O_RDONLY |
		    O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && faccessat(fd, name, F_OK, 0) != 0)
			(void)!rk_replace_file(fd, name, r->body, r->len);
		rk_close(&fd);
	} else if (r->end != REMOTE_MISSING && r->end != REMOTE_OK) {
		log_info("job=%s ship: its %s was not fetched: %s",
		    p->row.job, name, r->error);
	}
	p->history++;
	get_history(p);
	sup_supplied(p->h->sup);
}

static void
get_history(struct pull *p)
{
	struct remote_patience pt = { .tries = 3 };
	const char *dir = sup_job_dir(p->h->sup, p->row.job);

	p->state = PULL_FILES;
	if (rk_mkdirs(dir, 0750) != RK_OK)
		return;
	for (; p->history < SHIP_HISTORIES; p->history++) {
		const char *name = ship_histories[p->history];
		char *path = xasprintf("%s/%s", dir, name);
		const bool here = access(path, F_OK) == 0;
		free(path);
		if (here)
			continue;
		char *uri = xasprintf("%s%s", p->row.uri, name);
		p->state = PULL_HISTORY;
		p->op = remote_get(p->h->remote, uri, HISTORY_MAX, &pt,
		    history_got, p);
		free(uri);
		return;
	}
}

/* --- into place: a worker's part ----------------------------------------- */

static enum rk_err
copy_file(const char *from, int to_dir, const char *name)
{
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0644);
	enum rk_err rc = RK_OK;

	if (in < 0 || out < 0 || rk_copy_fd(in, out) != 0)
		rc = rk_from_errno(errno);
	rk_close(&in);
	rk_close(&out);
	return rc;
}

static enum rk_err
fill(const struct admit *a, const char *tmp)
{
	int fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rk_err rc = RK_OK;

	if (fd < 0)
		return rk_from_errno(errno);
	for (int i = 0; i < a->n && rc == RK_OK; i++) {
		if (linkat(AT_FDCWD, a->from[i], fd, a->files[i], 0) != 0)
			rc = errno == ENOENT ? RK_ENOENT :
			    copy_file(a->from[i], fd, a->files[i]);
	}
	int json = rc == RK_OK ? openat(fd, "checkpoint.json", O_WRONLY |
	    O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
	if (rc == RK_OK && (json < 0 || rk_write_all(json, a->info,
	    strlen(a->info)) != 0))
		rc = rk_from_errno(errno);
	rk_close(&json);
	rk_close(&fd);
	return rc;
}

/* Which of them are to be fetched anew? */
static void
find_bad(struct admit *a)
{
	char hex[RK_SHA256_HEX];

	for (int i = 0; i < a->n; i++) {
		const char *slash = strrchr(a->from[i], '/');
		int fd = open(a->from[i], O_RDONLY | O_CLOEXEC);
		a->bad[i] = fd < 0 || rk_sha256_of_fd(fd, hex, NULL) !=
		    RK_OK || strcmp(hex, slash + 1) != 0;
		rk_close(&fd);
	}
}

/*
 * What follows an older one than the newest in the bucket is another branch, as
 * it would be in a folder that has both.
 */
static enum rk_err
leave_branch(struct ckpt *c, int above, const char *from)
{
	char origin[CKPT_DIR_MAX];
	int branch;

	(void)!ckpt_origin(c, &branch, origin);
	return branch <= above ? ckpt_branch_set(c, above + 1, from) : RK_OK;
}

static void
admit_work(void *ctx)
{
	struct admit *a = ctx;
	struct ckpt *c = NULL;
	char *tmp = NULL;

	a->rc = ckpt_open(&c, a->folder, false);
	if (a->rc == RK_OK)
		a->rc = ckpt_admit_begin(c, a->dir, &tmp);
	if (a->rc == RK_OK) {
		a->rc = fill(a, tmp);
		if (a->rc == RK_OK)
			a->rc = ckpt_admit(c, tmp, a->dir, &a->why);
		if (a->rc != RK_OK)
			ckpt_admit_drop(c, tmp);
		if (a->rc == RK_ECORRUPT)
			find_bad(a);
	}
	if (a->rc == RK_OK)
		a->rc = ckpt_branch_set(c, a->branch, a->parent);
	if (a->rc == RK_OK && a->above > 0)
		a->rc = leave_branch(c, a->above, a->dir);
	/* A name that is in use here means what it means here. */
	for (size_t i = 0; a->rc == RK_OK && a->names != NULL &&
	    a->names[i] != NULL; i++) {
		struct ckpt_info other = {0};
		if (ckpt_read(c, a->names[i], &other) == RK_ENOENT)
			(void)!ckpt_name(c, a->dir, a->names[i]);
		ckpt_info_fini(&other);
	}
	free(tmp);
	ckpt_close(&c);
}

static void
free_admit(struct admit *a)
{
	*a->prev = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	for (int i = 0; i < a->n; i++)
		free(a->from[i]);
	free(a->from);
	free(a->files);
	free(a->folder);
	free(a->dir);
	free(a->info);
	names_free(a->names);
	rk_why_fini(&a->why);
	free(a);
}

static void
pulled(struct pull *p)
{
	struct ship *h = p->h;
	char step[RK_HUMAN], bytes[RK_HUMAN];
	double s = (double)(mono_ms() - p->begun_ms) / 1000;

	h->pulled++;
	rk_group_digits(step, p->row.step);
	rk_human_bytes(bytes, p->row.bytes);
	log_info("job=%s ship: %s is here (%s, %.1f s)", p->row.job,
	    p->row.uri, bytes, s);
	json_t *data = json_pack("{s:s, s:s, s:I, s:f}", "checkpoint",
	    p->row.dir, "uri", p->row.uri, "bytes", (json_int_t)p->row.bytes,
	    "seconds", s);
	ship_event(h, p->row.job, "pulled", data, "step %s came from the "
	    "bucket: %s in %.1f s", step, bytes, s);
	json_decref(data);
}

static void
admit_done(void *ctx)
{
	struct admit *a = ctx;
	struct pull *p = a->pull;

	if (p == NULL) {
		free_admit(a);
		return;
	}
	must_be(p, PULL_TAG);
	p->admit = NULL;
	p->state = PULL_DONE;
	p->rc = a->rc;
	free(p->error);
	p->error = a->why.n > 0 ? rk_why_text(&a->why) :
	    xstrdup(rk_strerror(a->rc));
	for (int i = 0; i < a->n; i++) {
		if (a->bad[i])
			cache_forget(p->h, p->hex[i]);
	}
	if (a->rc == RK_OK)
		pulled(p);
	free_admit(a);
	sup_supplied(p->h->sup);
}

static bool
see_branch(void *ctx, const struct remote_row *r)
{
	int *highest = ctx;

	*highest = RK_MAX(*highest, (int)r->branch);
	return true;
}

/* Of those that are in the bucket; 0: there are none. */
static int
highest_branch(struct ship *h, const char *job)
{
	int highest = 0;

	if (store_remotes(h->store, job, RS_THERE, see_branch, &highest) !=
	    RK_OK)
		log_error("job=%s ship: cannot read what is remote", job);
	return highest;
}

static void
admit(struct pull *p)
{
	struct admit *a = p->admit = xcalloc(1, sizeof(*a));
	struct ckpt_info i = {0};

	a->next = admits;
	a->prev = &admits;
	if (a->next != NULL)
		a->next->prev = &a->next;
	admits = a;
	a->pull = p;
	a->h = p->h;
	a->folder = job_folder(p->h, p->row.job);
	a->dir = xstrdup(p->row.dir);
	a->info = xstrdup(p->row.info);
	a->names = names_copy(p->files.names);
	a->branch = (int)p->row.branch;
	if (row_info(&p->row, &i))
		snprintf(a->parent, sizeof(a->parent), "%s", i.parent);
	ckpt_info_fini(&i);
	if (p->older)
		a->above = highest_branch(p->h, p->row.job);
	a->n = p->files.n;
	a->from = xcalloc((size_t)a->n + 1, sizeof(*a->from));
	a->files = xcalloc((size_t)a->n + 1, sizeof(*a->files));
	for (int k = 0; k < a->n; k++) {
		a->from[k] = cache_path(p->h, p->hex[k]);
		memcpy(a->files[k], p->files.v[k].name, sizeof(a->files[k]));
	}
	p->state = PULL_ADMIT;
	loop_work(p->h->loop, admit_work, admit_done, a);
}

/* --- driven by sup ------------------------------------------------------- */

static struct pull *
pull_new(struct ship *h, const struct remote_row *r)
{
	struct pull *p = xcalloc(1, sizeof(*p));

	p->tag = PULL_TAG;
	p->h = h;
	row_copy(&p->row, r);
	rfiles_parse(&p->files, r->files);
	p->begun_ms = mono_ms();
	p->next = h->pulls;
	h->pulls = p;
	log_info("job=%s ship: %s is newer than what is here, and is fetched",
	    r->job, r->uri);
	get_history(p);
	return p;
}

/* RK_OK: all are in the cache. */
static enum rk_err
ask_files(struct pull *p, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (int i = 0; i < p->files.n; i++) {
		const struct rfile *f = &p->files.v[i];
		struct fetch_ask a = { .uri = f->uri, .sha256 = f->sha256,
			.size = f->size, .job = p->row.job, .patient = true };
		enum rk_err one = fetch_want(p->h, &a, p->hex[i], why);
		/* Trouble wins over waiting. */
		if (one != RK_OK && (rc == RK_OK || rc == RK_EBUSY))
			rc = one;
	}
	return rc;
}

/* RK_OK: it is here, or another choice is to be made; RK_ECORRUPT: it is
 * damaged. */
static enum rk_err
finish(struct pull *p, struct rk_why *why)
{
	enum rk_err rc = p->rc;

	if ((rc == RK_ECORRUPT || rc == RK_ENOENT) && !p->again) {
		p->again = true;
		p->state = PULL_FILES;
		return RK_EBUSY;
	}
	if (rc == RK_EEXIST)            /* the one that is here is whole */
		rc = RK_OK;
	if (rc != RK_OK)
		rk_refuse(why, "%s: %s", p->row.uri, p->error);
	return rc;
}

static enum rk_err
go_on(struct pull *p, struct rk_why *why)
{
	enum rk_err rc = RK_EBUSY;

	if (p->state == PULL_DONE)
		rc = finish(p, why);
	if (p->state == PULL_FILES) {
		rc = ask_files(p, why);
		if (rc == RK_OK) {
			admit(p);
			rc = RK_EBUSY;
		}
	}
	if (rc == RK_EBUSY && why->n == 0)
		rk_refuse(why, "fetches its checkpoint %s", p->row.uri);
	return rc;
}

static enum rk_err
end_pull(struct pull *p, enum rk_err rc, struct rk_why *why)
{
	if (rc == RK_ECORRUPT)          /* it will not get better */
		p->row.remote_ms = 0;
	if (rc == RK_ECORRUPT || rc == RK_ENOENT) {
		row_damaged(p->h, &p->row, rk_why_first(why));
		rk_why_fini(why);
		*why = (struct rk_why){0};
		rc = RK_ECORRUPT;
	}
	fetch_unwait(p->h, p->row.job);
	free_pull(p);
	return rc;
}

/* Is it another one than `latest` would be, if there were no folder here? */
static bool
is_older(struct ship *h, const struct remote_row *r)
{
	struct ckpt_info *v;
	struct rows rows;
	size_t *at, n;

	rows_load(h, r->job, RS_THERE, &rows);
	rows_infos(&rows, &v, &at, &n);
	int i = ckpt_info_select(v, n, "latest", NULL, true, NULL);
	bool older = i >= 0 && strcmp(v[i].dir, r->dir) != 0;
	free(at);
	ckpt_list_free(v, n);
	rows_fini(&rows);
	return older;
}

/* From nothing, where the bucket has some: that is another branch, which a
 * folder that has none of them would not know. */
static enum rk_err
begin_beside(struct ship *h, const char *job, struct rk_why *why)
{
	int highest = highest_branch(h, job);
	char *path = job_folder(h, job);
	struct ckpt *c = NULL;
	enum rk_err rc = RK_OK;

	if (highest > 0) {
		rc = rk_mkdirs(sup_job_dir(h->sup, job), 0750);
		if (rc == RK_OK)
			rc = ckpt_open(&c, path, false);
		if (rc == RK_OK)
			rc = leave_branch(c, highest, NULL);
		if (rc != RK_OK)
			rk_refuse(why, "cannot open a branch in %s: %s", path,
			    rk_strerror(rc));
	}
	ckpt_close(&c);
	free(path);
	return rc;
}

/* step:N, a name, best: a person meant that one. */
static enum rk_err
none_left(const char *selector, struct rk_why *why)
{
	if (strcmp(selector, "latest") == 0 || strcmp(selector, "best") == 0)
		return RK_OK;
	return rk_refuse_at(why, "training.resume_from", "the checkpoint "
	    "\"%s\" is damaged in the bucket, and is not here", selector);
}

enum rk_err
pull_step(struct ship *h, const struct job_row *r, const struct spec *spec,
    bool *own, struct rk_why *why)
{
	struct rk_why one = {0};
	bool damaged = false;

	*own = false;
	for (int k = 0; k < CHOICES; k++) {
		struct remote_row row;
		struct pull *p = find(h, r->id);
		if (p != NULL && p->state == PULL_ADMIT) {
			/* It may be seen already, but is not through. */
			*own = true;
			return go_on(p, why);
		}
		enum chosen what = choose(h, r->id, spec, r->resume_from,
		    &row);
		*own = what != CHOSE_NOTHING;
		if (what != CHOSE_REMOTE) {
			if (p != NULL)
				free_pull(p);
			if (strcmp(r->resume_from, "none") == 0)
				return begin_beside(h, r->id, why);
			if (what == CHOSE_LOCAL)
				return mend_step(h, r, why);
			return what == CHOSE_NOTHING && damaged ?
			    none_left(r->resume_from, why) : RK_OK;
		}
		if (p != NULL && !row_same(&p->row, &row)) {
			free_pull(p);
			p = NULL;
		}
		if (p == NULL) {
			p = pull_new(h, &row);
			p->older = is_older(h, &row);
		}
		store_remote_fini(&row);
		enum rk_err rc = go_on(p, &one);
		if (rc != RK_EBUSY)
			rc = end_pull(p, rc, &one);
		if (rc == RK_ECORRUPT)
			damaged = true;
		if (rc != RK_OK && rc != RK_ECORRUPT) {
			for (size_t i = 0; i < one.n; i++)
				rk_refuse(why, "%s", one.v[i].message);
			rk_why_fini(&one);
			return rc;
		}
		rk_why_fini(&one);
		one = (struct rk_why){0};
	}
	return RK_OK;
}
