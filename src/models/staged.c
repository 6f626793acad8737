/*
 * The files of a version before they are sent, in a folder of their own: hard
 * links, so that what retention deletes and the cache evicts stays, and copies
 * of what somebody may write into.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "register.h"

#define TMP    RK_TMP_PREFIX "file"
#define JOINED RK_TMP_PREFIX "joined"

/* --- a list of files ------------------------------------------------------ */

void
staged_fini(struct staged *s)
{
	for (int k = 0; k < s->n; k++)
		free(s->v[k].from);
	*s = (struct staged){ 0 };
}

struct staged_file *
staged_add(struct staged *s, const char *name, char *from)
{
	struct staged_file *f = &s->v[s->n];

	must(s->n < STAGED_FILES && strlen(name) < sizeof(f->name));
	s->n++;
	*f = (struct staged_file){ .from = from };
	snprintf(f->name, sizeof(f->name), "%s", name);
	return f;
}

static void
staged_copy(struct staged *to, const struct staged *from)
{
	*to = *from;
	for (int k = 0; k < to->n; k++)
		if (to->v[k].from != NULL)
			to->v[k].from = xstrdup(to->v[k].from);
}

json_t *
staged_json(const struct staged *s)
{
	json_t *list = json_array();

	for (int k = 0; k < s->n; k++) {
		const struct staged_file *f = &s->v[k];
		json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:b, s:b, s:b}",
		    "name", f->name, "size", (json_int_t)f->size, "sha256",
		    f->sha256, "xxh128", f->xxh128, "model", (int)f->model,
		    "copy", (int)f->copy, "sent", (int)f->sent);
		if (f->from != NULL)
			must(json_object_set_new(o, "from",
			    json_string(f->from)) == 0);
		must(json_array_append_new(list, o) == 0);
	}
	return list;
}

static void
copy_hex(char *to, size_t size, const char *text, struct rkj_obj *o,
    const char *key)
{
	if (text == NULL || text[0] == '\0')
		return;
	if (strlen(text) != size - 1 || strspn(text, "0123456789abcdef") !=
	    size - 1)
		rkj_fault(o, key, "is \"%.80s\", want %zu hexadecimal digits",
		    text, size - 1);
	else
		memcpy(to, text, size);
}

static void
read_file(struct staged *s, const json_t *v, const char *path,
    struct rk_why *why)
{
	char *name = NULL, *from = NULL, *sha = NULL, *xxh = NULL;
	struct staged_file f = { 0 };
	struct rkj_obj o;

	rkj_open(&o, v, path, why);
	if (rkj_str(&o, "name", &name, sizeof(f.name) - 1, RKJ_REQUIRED) &&
	    (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL))
		rkj_fault(&o, "name", "is \"%s\", want the name of a file",
		    name);
	(void)rkj_bytes(&o, "size", &f.size, 0, INT64_MAX, RKJ_REQUIRED);
	(void)rkj_str(&o, "from", &from, 8192, RKJ_OPTIONAL);
	(void)rkj_str(&o, "sha256", &sha, 64, RKJ_OPTIONAL);
	(void)rkj_str(&o, "xxh128", &xxh, 64, RKJ_OPTIONAL);
	(void)rkj_bool(&o, "model", &f.model, RKJ_OPTIONAL);
	(void)rkj_bool(&o, "copy", &f.copy, RKJ_OPTIONAL);
	(void)rkj_bool(&o, "sent", &f.sent, RKJ_OPTIONAL);
	copy_hex(f.sha256, sizeof(f.sha256), sha, &o, "sha256");
	copy_hex(f.xxh128, sizeof(f.xxh128), xxh, &o, "xxh128");
	if (!o.bad && o.v != NULL) {
		struct staged_file *to = staged_add(s, name, from);
		from = NULL;
		f.from = to->from;
		memcpy(f.name, to->name, sizeof(f.name));
		*to = f;
	}
	rkj_close(&o);
	free(name);
	free(from);
	free(sha);
	free(xxh);
}

enum rk_err
staged_read(struct staged *s, const json_t *v, struct rk_why *why)
{
	struct rk_why own = { 0 };

	*s = (struct staged){ 0 };
	if (!json_is_array(v) || json_array_size(v) > STAGED_FILES)
		return rk_refuse_at(why, "files", "want a list of at most %d "
		    "files", STAGED_FILES);
	for (size_t i = 0; i < json_array_size(v); i++) {
		char path[32];
		snprintf(path, sizeof(path), "files[%zu]", i);
		read_file(s, json_array_get(v, i), path, &own);
	}
	if (own.n > 0)
		staged_fini(s);
	return rk_why_end(&own, why);
}

bool
staged_whole(const struct staged *s, const char *dir)
{
	for (int k = 0; k < s->n; k++) {
		char *path = xasprintf("%s/%s", dir, s->v[k].name);
		struct stat st;
		const bool here = lstat(path, &st) == 0 &&
		    S_ISREG(st.st_mode) && (uint64_t)st.st_size ==
		    s->v[k].size;
		free(path);
		if (!here)
			return false;
	}
	return s->n > 0;
}

static int
open_dir(const char *dir)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum rk_err
staged_link(struct staged *s, const char *dir)
{
	enum rk_err rc = rk_mkdirs(dir, 0750);
	int fd = rc == RK_OK ? open_dir(dir) : -1;

	if (rc == RK_OK && fd < 0)
		rc = rk_from_errno(errno);
	for (int k = 0; k < s->n && rc == RK_OK; k++) {
		struct staged_file *f = &s->v[k];
		if (f->from == NULL || f->copy)
			continue;
		if (linkat(AT_FDCWD, f->from, fd, f->name, 0) == 0 ||
		    errno == EEXIST) {
			free(f->from);
			f->from = NULL;
		} else if (errno == ENOENT) {
			rc = RK_ENOENT;
		}
	}
	if (rc == RK_OK && rk_fsync_dir(fd) != 0)
		rc = rk_from_errno(errno);
	rk_close(&fd);
	return rc;
}

void
staged_sweep(const char *folder, staged_needed_fn *needed, void *ctx)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.' && !needed(ctx, e->d_name))
			(void)!rk_remove_tree(dirfd(d), e->d_name);
	}
	if (d != NULL)
		closedir(d);
}

/* --- the worker ----------------------------------------------------------- */

struct staging {
	struct staging *next, **prev;   /* of `under_way` */
	staging_fn *fn;                 /* NULL: nobody waits any more */
	void *ctx;
	char *dir;
	struct staged s;
	uint64_t reserve;
	char digest[RK_SHA256_HEX];
	enum rk_err rc;
	struct rk_why why;
};

/* The worker's while it works, whoever has gone meanwhile. */
static struct staging *under_way;

static enum rk_err
failed(struct staging *g, const char *what, const char *name)
{
	const int e = errno;

	(void)rk_refuse(&g->why, "%s %s: %s", what, name, strerror(e));
	return rk_from_errno(e);
}

/* A whole copy takes its name when it is on the disk. */
static enum rk_err
copy_in(struct staging *g, int dirfd, const struct staged_file *f)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	int in = open(f->from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), out = -1;
	enum rk_err rc = RK_OK;
	uint64_t room = 0;
	struct stat st;

	if (in < 0 || fstat(in, &st) != 0)
		rc = failed(g, "cannot read", f->from);
	else if (!S_ISREG(st.st_mode))
		rc = rk_refuse(&g->why, "%s is no file", f->from);
	else if (rk_disk_free(dirfd, &room) == RK_OK &&
	    room < (uint64_t)st.st_size + g->reserve) {
		(void)rk_refuse(&g->why, "%s has %s, and %s are free (%llu "
		    "bytes stay free)", f->from, rk_human_bytes(need,
		    (uint64_t)st.st_size), rk_human_bytes(have, room),
		    (unsigned long long)g->reserve);
		rc = RK_ENOSPC;
	}
	if (rc == RK_OK) {
		out = openat(dirfd, TMP, O_WRONLY | O_CREAT | O_TRUNC |
		    O_CLOEXEC | O_NOFOLLOW, 0640);
		if (out < 0 || rk_copy_fd(in, out) != 0 || fsync(out) != 0 ||
		    renameat(dirfd, TMP, dirfd, f->name) != 0)
			rc = failed(g, "cannot copy", f->from);
	}
	rk_close(&in);
	rk_close(&out);
	if (rc != RK_OK)
		(void)unlinkat(dirfd, TMP, 0);
	return rc;
}

static enum rk_err
bring(struct staging *g, int dirfd, struct staged_file *f)
{
	enum rk_err rc = RK_OK;

	if (f->from == NULL || faccessat(dirfd, f->name, F_OK,
	    AT_SYMLINK_NOFOLLOW) == 0)
		return RK_OK;
	if (f->copy || linkat(AT_FDCWD, f->from, dirfd, f->name, 0) != 0)
		rc = copy_in(g, dirfd, f);
	return rc;
}

/* Its digests, held against those that are known. */
static enum rk_err
check(struct staging *g, int dirfd, struct staged_file *f)
{
	int fd = openat(dirfd, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char sha[RK_SHA256_HEX], xxh[RK_XXH128_HEX];
	uint64_t size = 0;
	enum rk_err rc = fd < 0 ? failed(g, "cannot read", f->name) :
	    rk_digests_of_fd(fd, sha, xxh, &size);

	rk_close(&fd);
	if (rc != RK_OK)
		return rc;
	if (f->size > 0 && f->size != size)
		(void)rk_refuse(&g->why, "%s has %llu bytes, want %llu",
		    f->name, (unsigned long long)size,
		    (unsigned long long)f->size);
	else if (f->sha256[0] != '\0' && strcmp(f->sha256, sha) != 0)
		(void)rk_refuse(&g->why, "%s has the SHA-256 %s, want %s",
		    f->name, sha, f->sha256);
	else if (f->xxh128[0] != '\0' && strcmp(f->xxh128, xxh) != 0)
		(void)rk_refuse(&g->why, "%s has the XXH3 digest %s, want %s",
		    f->name, xxh, f->xxh128);
	if (g->why.n > 0)
		return RK_ECORRUPT;
	f->size = size;
	memcpy(f->sha256, sha, sizeof(sha));
	memcpy(f->xxh128, xxh, sizeof(xxh));
	return RK_OK;
}

/* Of shards: the digest of the one file that they stand for. */
static enum rk_err
digest_of_shards(struct staging *g, int dirfd)
{
	char *paths[CKPT_MAX_FILES] = { NULL };
	struct ckpt_info i = { .nfiles = 0 };
	uint64_t size;

	for (int k = 0; k < g->s.n; k++) {
		const struct staged_file *f = &g->s.v[k];
		struct ckpt_file *to = &i.files[i.nfiles];
		if (!f->model || i.nfiles == CKPT_MAX_FILES)
			continue;
		paths[i.nfiles++] = xasprintf("%s/%s", g->dir, f->name);
		memcpy(to->name, f->name, sizeof(to->name));
		to->size = f->size;
		memcpy(to->sha256, f->sha256, sizeof(to->sha256));
		memcpy(to->xxh128, f->xxh128, sizeof(to->xxh128));
	}
	int fd = openat(dirfd, JOINED, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC |
	    O_NOFOLLOW, 0640);
	enum rk_err rc = fd < 0 ? failed(g, "cannot write", JOINED) :
	    ckpt_join((const char *const *)paths, &i, fd, g->digest, &size,
	    &g->why);
	(void)unlinkat(dirfd, JOINED, 0);
	rk_close(&fd);
	for (int k = 0; k < i.nfiles; k++)
		free(paths[k]);
	return rc;
}

static enum rk_err
digest_of_model(struct staging *g, int dirfd)
{
	const struct staged_file *one = NULL;
	int n = 0;

	for (int k = 0; k < g->s.n; k++) {
		if (g->s.v[k].model) {
			one = &g->s.v[k];
			n++;
		}
	}
	if (n != 1)
		return digest_of_shards(g, dirfd);
	memcpy(g->digest, one->sha256, sizeof(g->digest));
	return RK_OK;
}

static void
stage_work(void *ctx)
{
	struct staging *g = ctx;
	int fd;

	g->rc = rk_mkdirs(g->dir, 0750);
	if (g->rc != RK_OK)
		return;
	if ((fd = open_dir(g->dir)) < 0) {
		g->rc = failed(g, "cannot open", g->dir);
		return;
	}
	for (int k = 0; k < g->s.n && g->rc == RK_OK; k++)
		g->rc = bring(g, fd, &g->s.v[k]);
	if (g->rc == RK_OK && rk_fsync_dir(fd) != 0)
		g->rc = failed(g, "cannot write", g->dir);
	for (int k = 0; k < g->s.n && g->rc == RK_OK; k++)
		g->rc = check(g, fd, &g->s.v[k]);
	if (g->rc == RK_OK)
		g->rc = digest_of_model(g, fd);
	rk_close(&fd);
}

static void
stage_done(void *ctx)
{
	struct staging *g = ctx;

	*g->prev = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	if (g->fn != NULL)
		g->fn(g->ctx, g->rc, &g->s, g->digest, g->why.n > 0 ?
		    rk_why_first(&g->why) : rk_strerror(g->rc));
	staged_fini(&g->s);
	rk_why_fini(&g->why);
	free(g->dir);
	free(g);
}

struct staging *
staging_start(struct loop *l, const char *dir, const struct staged *s,
    uint64_t reserve, staging_fn *fn, void *ctx)
{
	struct staging *g = xcalloc(1, sizeof(*g));

	g->fn = fn;
	g->ctx = ctx;
	g->dir = xstrdup(dir);
	staged_copy(&g->s, s);
	g->reserve = reserve;
	g->next = under_way;
	g->prev = &under_way;
	if (g->next != NULL)
		g->next->prev = &g->next;
	under_way = g;
	loop_work(l, stage_work, stage_done, g);
	return g;
}

void
staging_drop(struct staging **gp)
{
	if (*gp != NULL)
		(*gp)->fn = NULL;
	*gp = NULL;
}
