/*
 * Writing a checkpoint.
 *
 *	.tmp-step-000001200-<random>/   files, fsynced; checkpoint.json last
 *	step-000001200/                 by one rename, the parent fsynced
 *
 * A name that comes with it is made as a hidden symlink before the commit, so
 * that the one thing left to do after it is a rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

static enum rk_err
failed(const struct save *s, const char *what)
{
	log_errno("ckpt: cannot write %s of %s/%s", what, s->c->path,
	    s->info->dir);
	return errno == EFBIG ? RK_ENOSPC : rk_from_errno(errno);
}

/* A file to be written, and its line in info. */
static enum rk_err
begin_file(struct save *s, const char *name, struct ckpt_file **f, int *fd)
{
	struct ckpt_info *i = s->info;

	*f = &i->files[i->nfiles++];
	**f = (struct ckpt_file){0};
	snprintf((*f)->name, sizeof((*f)->name), "%s", name);
	*fd = openat(s->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0644);
	return *fd < 0 ? failed(s, name) : RK_OK;
}

static enum rk_err
end_file(struct save *s, const struct ckpt_file *f, int fd, enum rk_err rc)
{
	if (rc == RK_OK && fsync(fd) != 0)
		rc = failed(s, f->name);
	if (close(fd) != 0 && rc == RK_OK && errno != EINTR)
		rc = failed(s, f->name);
	s->info->bytes += f->size;
	return rc;
}

enum rk_err
save_set(struct save *s, const char *name, const struct tensor_set *set,
    bool sha256)
{
	struct ckpt_file *f;
	int fd;
	enum rk_err rc = begin_file(s, name, &f, &fd);

	if (rc != RK_OK)
		return rc;
	rc = format_write(fd, set, sha256 ? f->sha256 : NULL, f->xxh128,
	    &f->size);
	return end_file(s, f, fd, rc);
}

enum rk_err
save_text(struct save *s, const char *name, const char *text, bool sha256)
{
	struct ckpt_file *f;
	int fd;
	enum rk_err rc = begin_file(s, name, &f, &fd);

	if (rc != RK_OK)
		return rc;
	f->size = strlen(text);
	if (sha256)
		rk_sha256_of(text, strlen(text), f->sha256);
	struct rk_xxh128 *d = rk_xxh128_new();
	rk_xxh128_add(d, text, strlen(text));
	rk_xxh128_end(d, f->xxh128);
	if (rk_write_all(fd, text, strlen(text)) != 0)
		rc = failed(s, name);
	return end_file(s, f, fd, rc);
}

static enum rk_err
write_json(struct save *s)
{
	char *text = info_text(s->info);
	size_t n = strlen(text);
	enum rk_err rc = RK_OK;

	if (n > CKPT_JSON_MAX) {
		log_error("ckpt: " CKPT_JSON " would have %zu bytes, at most "
		    "%u are taken", n, CKPT_JSON_MAX);
		free(text);
		return RK_ELIMIT;
	}
	int fd = openat(s->fd, CKPT_JSON, O_WRONLY | O_CREAT | O_EXCL |
	    O_CLOEXEC, 0644);
	if (fd < 0 || rk_write_all(fd, text, n) != 0 || fsync(fd) != 0)
		rc = failed(s, CKPT_JSON);
	rk_close(&fd);
	free(text);
	return rc;
}

static enum rk_err
write_all(struct save *s, const struct tensor_set *model,
    const struct tensor_set *optim, bool sha256)
{
	if (mkdirat(s->c->dirfd, s->tmp, 0755) != 0)
		return failed(s, "the folder");
	s->fd = openat(s->c->dirfd, s->tmp, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0)
		return failed(s, "the folder");
	enum rk_err rc = is_to_share(model) ? save_shards(s, model, sha256) :
	    save_set(s, CKPT_MODEL_FILE, model, sha256);
	if (rc == RK_OK && optim != NULL)
		rc = save_set(s, CKPT_OPTIM_FILE, optim, sha256);
	if (rc == RK_OK && s->info->data != NULL)
		rc = save_set(s, CKPT_DATA_FILE, s->info->data, sha256);
	if (rc == RK_OK)
		rc = write_json(s);
	if (rc == RK_OK && fsync(s->fd) != 0)
		rc = failed(s, "the folder");
	return rc;
}

static enum rk_err
commit(struct save *s, const char *name)
{
	const char *dir = s->info->dir;
	enum rk_err rc = RK_OK;

	if (name != NULL)
		rc = make_link(s->c, dir, name, s->link);
	if (rc != RK_OK) {
		s->link[0] = '\0';
		return rc;
	}
	if (renameat(s->c->dirfd, s->tmp, s->c->dirfd, dir) != 0)
		return failed(s, "the folder");
	s->tmp[0] = '\0';
	if (name != NULL) {
		rc = place_link(s->c, s->link, name);
		s->link[0] = '\0';
	}
	if (rc == RK_OK && rk_fsync_dir(s->c->dirfd) != 0)
		rc = failed(s, "the folder");
	if (rc != RK_OK)
		take_back(s->c, dir);
	return rc;
}

static void
clean_up(struct save *s)
{
	rk_close(&s->fd);
	if (s->tmp[0] != '\0')
		(void)!rk_remove_tree(s->c->dirfd, s->tmp);
	if (s->link[0] != '\0')
		unlinkat(s->c->dirfd, s->link, 0);
}

/* Are the files there, as long as they should be? */
static bool
sizes_agree(struct ckpt *c, const struct ckpt_info *i)
{
	for (int k = 0; k < i->nfiles; k++) {
		struct stat st;
		char *path = xasprintf("%s/%s", i->dir, i->files[k].name);
		int rc = fstatat(c->dirfd, path, &st, AT_SYMLINK_NOFOLLOW);
		free(path);
		if (rc != 0 || !S_ISREG(st.st_mode) ||
		    (uint64_t)st.st_size != i->files[k].size)
			return false;
	}
	return true;
}

/*
 * Is this step of this branch there already?  Then it is the result.  One that
 * is damaged makes room: *rc is RK_ENOENT.
 */
static enum rk_err
adopt(struct ckpt *c, struct ckpt_info *info, const char *name)
{
	char as[HIDDEN_MAX];
	struct ckpt_info old;
	enum rk_err rc = read_dir_info(c, info->dir, &old, NULL);

	if (rc == RK_OK && !sizes_agree(c, &old)) {
		ckpt_info_fini(&old);
		rc = RK_ECORRUPT;
	}
	if (rc == RK_ECORRUPT) {
		rc = set_aside(c, BAD_PREFIX, info->dir, as);
		return rc == RK_OK ? RK_ENOENT : rc;
	}
	if (rc != RK_OK)
		return rc;
	memcpy(info->files, old.files, sizeof(info->files));
	info->nfiles = old.nfiles;
	info->bytes = old.bytes;
	memcpy(info->digest, old.digest, sizeof(info->digest));
	ckpt_info_fini(&old);
	return name != NULL ? ckpt_name(c, info->dir, name) : RK_OK;
}

enum rk_err
ckpt_save(struct ckpt *c, struct ckpt_info *info,
    const struct tensor_set *model, const struct tensor_set *optim,
    const char *name)
{
	struct ckpt_info next = *info;  /* borrows what info owns */
	struct save s = { .c = c, .info = &next, .fd = -1 };
	struct branches br;

	must_be(c, CKPT_TAG);
	must(info->step >= 0 && model != NULL);
	if (name != NULL && !person_name_ok(name))
		return RK_EINVAL;
	branches_read(c, &br);
	next.branch = br.current;
	branches_fini(&br);
	dir_text(next.dir, next.step, next.branch);
	next.nfiles = 0;
	next.bytes = 0;
	if (next.created_ms == 0)
		next.created_ms = now_ms();

	enum rk_err rc = adopt(c, &next, name);
	if (rc == RK_ENOENT) {
		hidden_name(s.tmp, TMP_PREFIX, next.dir);
		rc = write_all(&s, model, optim, info->leaves ||
		    name != NULL);
		if (rc == RK_OK)
			rc = commit(&s, name);
		clean_up(&s);
	}
	if (rc == RK_OK)
		*info = next;
	return rc;
}
