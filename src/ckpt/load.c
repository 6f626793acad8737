/* Verifying and loading, and walking back past what is damaged. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

static enum rk_err
damaged(struct rk_why *why, const struct ckpt_file *f, const char *what)
{
	rk_refuse(why, "%s %s", f->name, what);
	return RK_ECORRUPT;
}

enum rk_err
ckpt_file_sums(int fd, const struct ckpt_file *f, char *sha256,
    struct rk_why *why)
{
	const bool fast = f->xxh128[0] != '\0';
	char sha[RK_SHA256_HEX], xxh[RK_XXH128_HEX], what[128];
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return damaged(why, f, "is no file");
	if ((uint64_t)st.st_size != f->size) {
		snprintf(what, sizeof(what), "has %lld byte%s, should have "
		    "%llu", (long long)st.st_size, rk_s(st.st_size),
		    (unsigned long long)f->size);
		return damaged(why, f, what);
	}
	const bool slow = sha256 != NULL || !fast;
	enum rk_err rc = rk_digests_of_fd(fd, slow ? sha : NULL, fast ? xxh :
	    NULL, NULL);
	if (rc != RK_OK) {
		rk_refuse(why, "%s cannot be read: %s", f->name,
		    rk_strerror(rc));
		return rc;
	}
	if (fast && strcmp(xxh, f->xxh128) != 0)
		return damaged(why, f, "is not what was written: its XXH3 "
		    "digest is another");
	if (slow && f->sha256[0] != '\0' && strcmp(sha, f->sha256) != 0)
		return damaged(why, f, "is not what was written: its SHA-256 "
		    "is another");
	if (sha256 != NULL)
		memcpy(sha256, sha, sizeof(sha));
	return RK_OK;
}

enum rk_err
open_file(int dirfd, const struct ckpt_file *f, int *out, struct rk_why *why)
{
	int fd = openat(dirfd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC);

	*out = fd;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return rk_from_errno(errno);
	if (fd < 0 && is_unreadable(errno)) {
		int e = errno;
		rk_refuse(why, "%s cannot be opened: %s", f->name,
		    strerror(e));
		return rk_from_errno(e);
	}
	if (fd < 0)
		return damaged(why, f, errno == ENOENT ? "is missing" :
		    "cannot be opened");
	return RK_OK;
}

enum rk_err
verify_file(int dirfd, const struct ckpt_file *f, struct rk_why *why)
{
	int fd;
	enum rk_err rc = open_file(dirfd, f, &fd, why);

	if (rc == RK_OK)
		rc = ckpt_file_sums(fd, f, NULL, why);
	rk_close(&fd);
	return rc;
}

enum rk_err
ckpt_verify(struct ckpt *c, const struct ckpt_info *i, struct rk_why *why)
{
	enum rk_err rc = RK_OK;
	int64_t step;
	int branch;

	must_be(c, CKPT_TAG);
	if (!dir_parse(i->dir, &step, &branch))
		return RK_ENOENT;
	int fd = openat(c->dirfd, i->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (fd < 0)
		return rk_from_errno(errno);
	for (int k = 0; k < i->nfiles && rc == RK_OK; k++) {
		rc = verify_file(fd, &i->files[k], why);
		if (rc == RK_OK && ckpt_is_shared(&i->files[k]))
			shared_is_good(c, fd, &i->files[k]);
	}
	rk_close(&fd);
	/* Deleted while we read: gone, not damaged. */
	if (rc == RK_ECORRUPT && !dir_exists(c, i->dir))
		rc = RK_ENOENT;
	return rc;
}

static enum rk_err
load_set(struct ckpt *c, const struct ckpt_info *i, const char *name,
    struct tensor_set **out, struct rk_why *why)
{
	struct rk_why own = {0};
	char *path = xasprintf("%s/%s/%s", c->path, i->dir, name);
	enum rk_err rc = format_load(path, out, &own);

	free(path);
	if (rc != RK_OK)
		rk_refuse(why, "%s %s", name, rk_why_first(&own));
	rk_why_fini(&own);
	/* Its digest is right, so it was written like this: as useless. */
	return rc == RK_EINVAL ? RK_ECORRUPT : rc;
}

enum rk_err
ckpt_load_data(struct ckpt *c, const struct ckpt_info *i,
    struct tensor_set **out, struct rk_why *why)
{
	*out = NULL;
	return has_file(i, CKPT_DATA_FILE) ?
	    load_set(c, i, CKPT_DATA_FILE, out, why) : RK_ENOENT;
}

static void
tell_mended(const struct ckpt_info *i, ckpt_note_fn *note, void *ctx)
{
	char *s = xasprintf("a shard of checkpoint %s was damaged, and is "
	    "whole again: another checkpoint had a copy", i->dir);

	log_warn("ckpt: %s", s);
	if (note != NULL)
		note(ctx, s);
	free(s);
}

/* why is empty before. */
static enum rk_err
load_one(struct ckpt *c, const struct ckpt_info *i, struct tensor_set **model,
    struct tensor_set **optim, ckpt_note_fn *note, void *ctx,
    struct rk_why *why)
{
	char *folder = xasprintf("%s/%s", c->path, i->dir);

	*model = *optim = NULL;
	enum rk_err rc = ckpt_verify(c, i, why);
	if (rc == RK_ECORRUPT && shared_repair(c, i)) {
		rk_why_fini(why);
		*why = (struct rk_why){0};
		rc = ckpt_verify(c, i, why);
		if (rc == RK_OK)
			tell_mended(i, note, ctx);
	}
	if (rc == RK_OK)
		rc = ckpt_load_model(folder, i, model, why);
	if (rc == RK_OK && has_file(i, CKPT_OPTIM_FILE))
		rc = load_set(c, i, CKPT_OPTIM_FILE, optim, why);
	if (rc != RK_OK) {
		tensor_set_free(*model);
		*model = NULL;
	}
	free(folder);
	return rc;
}

/* Put a damaged one where nobody looks, and say so. */
static void
aside(struct ckpt *c, const char *dir, const char *reason, ckpt_note_fn *note,
    void *ctx)
{
	char as[HIDDEN_MAX];
	bool moved = set_aside(c, BAD_PREFIX, dir, as) == RK_OK;
	char *s = moved ?
	    xasprintf("checkpoint %s is damaged (%s); it is now %s", dir,
		reason, as) :
	    xasprintf("checkpoint %s is damaged (%s) and passed over", dir,
		reason);

	log_warn("ckpt: %s", s);
	if (note != NULL)
		note(ctx, s);
	free(s);
}

/* What a view of one moment needs to try one after another. */
struct walk {
	struct ckpt *c;
	struct view w;
	ckpt_note_fn *note;
	void *ctx;
	bool one;               /* a person meant this one and no other */
	int passed;             /* how many were no good */
	int unreadable;         /* ... of them gave an error that may pass */
};

static void
pass_unreadable(struct walk *k, const char *dir, const char *reason)
{
	char *s = xasprintf("checkpoint %s is passed over: %s", dir, reason);

	log_warn("ckpt: %s", s);
	if (k->note != NULL)
		k->note(k->ctx, s);
	free(s);
	k->unreadable++;
}

/* Entry `at` has failed with rc: RK_OK to go on without it. */
static enum rk_err
pass_over(struct walk *k, size_t at, enum rk_err rc, struct rk_why *own,
    struct rk_why *why)
{
	const char *dir = k->w.v[at].dir;

	if (rc == RK_ENOMEM || rc == RK_ELIMIT)
		return rc;
	if (k->one) {
		rk_refuse(why, "checkpoint %s is no good: %s", dir,
		    rc == RK_ENOENT ? "it was deleted" : rk_why_first(own));
		return rc;
	}
	if (rc == RK_ECORRUPT) {
		aside(k->c, dir, rk_why_first(own), k->note, k->ctx);
	} else if (rc != RK_ENOENT) {
		pass_unreadable(k, dir, rk_why_first(own));
	}
	k->passed += rc != RK_ENOENT;
	view_take(&k->w, at, NULL);
	return RK_OK;
}

static enum rk_err
walk(struct walk *k, const char *selector, const char *metric, bool mode_max,
    struct ckpt_info *out, struct tensor_set **model,
    struct tensor_set **optim, struct rk_why *why)
{
	for (;;) {
		struct rk_why own = {0};
		size_t at = 0;
		enum rk_err rc = view_select(&k->w, selector, metric, mode_max,
		    &at, k->passed > 0 ? NULL : why);
		if (rc == RK_ENOENT && k->passed > 0)
			rk_refuse(why, "no checkpoint is good any more; %d "
			    "passed over", k->passed);
		if (rc == RK_ENOENT && k->unreadable > 0)
			rc = RK_EIO;
		if (rc != RK_OK)
			return rc;
		rc = load_one(k->c, &k->w.v[at], model, optim, k->note, k->ctx,
		    &own);
		if (rc == RK_OK)
			view_take(&k->w, at, out);
		bool done = rc == RK_OK;
		if (!done) {
			rc = pass_over(k, at, rc, &own, why);
			done = rc != RK_OK;
		}
		rk_why_fini(&own);
		if (done)
			return rc;
	}
}

/* Never behind what a newer rekindle has done; a person may name another. */
static enum rk_err
refuse_newer(const struct walk *k, struct rk_why *why)
{
	const struct broken *b = k->one ? NULL : view_newer(&k->w);

	if (b == NULL)
		return RK_OK;
	rk_refuse(why, "%s cannot be read: %s", b->dir, b->reason);
	return RK_EIO;
}

enum rk_err
ckpt_load(struct ckpt *c, const char *selector, const char *metric,
    bool mode_max, struct ckpt_info *out, struct tensor_set **model,
    struct tensor_set **optim, ckpt_note_fn *note, void *ctx,
    struct rk_why *why)
{
	struct walk k = { .c = c, .note = note, .ctx = ctx,
	    .one = selects_one(selector) };

	*out = (struct ckpt_info){0};
	*model = *optim = NULL;
	enum rk_err rc = view_open(c, &k.w);
	if (rc != RK_OK)
		return rc;
	if ((rc = refuse_newer(&k, why)) != RK_OK) {
		view_fini(&k.w);
		return rc;
	}
	if (k.w.br.lost && note != NULL)
		note(ctx, CKPT_BRANCHES " cannot be read: which branch the job "
		    "was on is told from the folders");
	for (size_t i = 0; i < k.w.nbroken && !k.one; i++) {
		const struct broken *b = &k.w.broken[i];
		if (b->unreadable)
			pass_unreadable(&k, b->dir, b->reason);
		else
			aside(c, b->dir, b->reason, note, ctx);
		k.passed++;
	}
	rc = walk(&k, selector, metric, mode_max, out, model, optim, why);
	view_fini(&k.w);
	return rc;
}
