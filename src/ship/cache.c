/*
 * Files by digest: <state>/cache/sha256/<hex>, and those on their way in
 * <state>/cache/partial/.  Beside one that is a gzipped tar a trainer may have
 * put what is in it (SPEC_UNPACKED): its bytes count, and it goes with the
 * file.
 *
 * What was used longest ago goes first when there are more bytes than
 * cache_limit, or less room on the disk than is to be kept; what a job needs
 * that runs or waits to run never does.  The limit gives way to what jobs need,
 * the reserve of the disk does not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

#define USED_EVERY_MS 60000     /* how exactly the last use is kept on disk */
#define PART_OLD_MS (7 * 24 * 3600 * 1000LL)

char *
cache_path(const struct ship *h, const char *hex)
{
	return xasprintf("%s/sha256/%s", h->cache_dir, hex);
}

/* --- what is there ------------------------------------------------------- */

static bool
is_hex(const char *s)
{
	return strlen(s) == RK_SHA256_HEX - 1 &&
	    strspn(s, "0123456789abcdef") == RK_SHA256_HEX - 1;
}

/* The bytes that trainers made of a file. */
static uint64_t
unpacked_bytes(const struct ship *h, const char *hex)
{
	char *name = xasprintf("%s" SPEC_UNPACKED "/" SPEC_UNPACKED_TAR, hex);
	struct stat st;
	const bool is = fstatat(h->cache_fd, name, &st, AT_SYMLINK_NOFOLLOW) ==
	    0 && S_ISREG(st.st_mode);

	free(name);
	return is ? (uint64_t)st.st_size : 0;
}

static void
see_unpacked(struct ship *h, struct centry *e)
{
	const uint64_t now = unpacked_bytes(h, e->hex);

	h->cache_bytes = h->cache_bytes - e->unpacked + now;
	e->unpacked = now;
}

static void
remove_unpacked(const struct ship *h, const char *hex)
{
	static const char *const behind[] = { SPEC_UNPACKED, SPEC_UNPACKING };

	for (size_t i = 0; i < RK_ARRAY_LEN(behind); i++) {
		char *name = xasprintf("%s%s", hex, behind[i]);
		(void)!rk_remove_tree(h->cache_fd, name);
		free(name);
	}
}

static struct centry *
find_entry(const struct ship *h, const char *hex)
{
	struct centry *e = h->entries;

	while (e != NULL && strcmp(e->hex, hex) != 0)
		e = e->next;
	return e;
}

static struct centry *
add_entry(struct ship *h, const char *hex, uint64_t size, int64_t used_ms)
{
	struct centry *e = find_entry(h, hex);

	if (e == NULL) {
		e = xcalloc(1, sizeof(*e));
		snprintf(e->hex, sizeof(e->hex), "%s", hex);
		e->next = h->entries;
		h->entries = e;
		h->cache_files++;
		e->size = size;
		h->cache_bytes += size;
		see_unpacked(h, e);
	}
	e->used_ms = RK_MAX(e->used_ms, used_ms);
	return e;
}

static void
drop_entry(struct ship *h, struct centry *e)
{
	struct centry **q = &h->entries;

	while (*q != e)
		q = &(*q)->next;
	*q = e->next;
	h->cache_bytes -= e->size + e->unpacked;
	h->cache_files--;
	free(e);
}

static bool
see_row(void *ctx, const struct cache_row *c)
{
	struct centry *e = find_entry(ctx, c->digest);

	if (e != NULL)
		e->used_ms = RK_MAX(e->used_ms, c->used_ms);
	return true;
}

static DIR *
open_list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL)
		rk_close(&fd);
	return d;
}

/* What was made of a file that is gone. */
static void
sweep_unpacked(struct ship *h)
{
	DIR *d = open_list(h->cache_fd);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char hex[RK_SHA256_HEX];
		const size_t n = strcspn(e->d_name, ".");
		if (n != sizeof(hex) - 1 || e->d_name[n] == '\0')
			continue;
		memcpy(hex, e->d_name, n);
		hex[n] = '\0';
		if (is_hex(hex) && find_entry(h, hex) == NULL)
			remove_unpacked(h, hex);
	}
	if (d != NULL)
		closedir(d);
}

static void
read_entries(struct ship *h)
{
	DIR *d = open_list(h->cache_fd);
	struct dirent *e;
	struct stat st;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (is_hex(e->d_name) && fstatat(h->cache_fd, e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			add_entry(h, e->d_name, (uint64_t)st.st_size,
			    (int64_t)st.st_mtim.tv_sec * 1000);
	}
	if (d != NULL)
		closedir(d);
	(void)!store_caches(h->store, see_row, h);
	sweep_unpacked(h);
}

/* What was given up long ago. */
static void
sweep_parts(struct ship *h)
{
	DIR *d = open_list(h->part_fd);
	struct dirent *e;
	struct stat st;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.' && fstatat(h->part_fd, e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    (int64_t)st.st_mtim.tv_sec * 1000 < now_ms() - PART_OLD_MS)
			(void)unlinkat(h->part_fd, e->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
}

static enum rk_err
open_dir(struct ship *h, const char *name, int *fd, struct rk_why *why)
{
	char *path = xasprintf("%s/%s", h->cache_dir, name);
	enum rk_err rc = rk_mkdirs(path, 0750);

	if (rc == RK_OK) {
		*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*fd < 0)
			rc = rk_from_errno(errno);
	}
	if (rc != RK_OK)
		rk_refuse(why, "cannot use the folder %s: %s", path,
		    rk_strerror(rc));
	free(path);
	return rc;
}

static enum rk_err
open_folders(struct ship *h, struct rk_why *why)
{
	enum rk_err rc = open_dir(h, "sha256", &h->cache_fd, why);

	if (rc == RK_OK)
		rc = open_dir(h, "partial", &h->part_fd, why);
	if (rc == RK_OK) {
		read_entries(h);
		sweep_parts(h);
	}
	return rc;
}

enum rk_err
cache_open(struct ship *h, struct rk_why *why)
{
	h->cache_dir = xasprintf("%s/cache", h->c.state_dir);
	return open_folders(h, why);
}

static bool
is_there(const struct ship *h, const char *name, int fd)
{
	char *path = xasprintf("%s/%s", h->cache_dir, name);
	struct stat want, st;
	bool yes = fstat(fd, &want) == 0 && stat(path, &st) == 0 &&
	    st.st_dev == want.st_dev && st.st_ino == want.st_ino;

	free(path);
	return yes;
}

void
cache_again(struct ship *h)
{
	struct rk_why why = {0};

	if (is_there(h, "sha256", h->cache_fd) &&
	    is_there(h, "partial", h->part_fd))
		return;
	log_warn("ship: the cache's folder has gone; it is made anew");
	while (h->entries != NULL)
		drop_entry(h, h->entries);
	rk_close(&h->cache_fd);
	rk_close(&h->part_fd);
	if (open_folders(h, &why) != RK_OK)
		log_warn("ship: %s", rk_why_first(&why));
	rk_why_fini(&why);
}

void
cache_fini(struct ship *h)
{
	struct cuse *u;

	while (h->entries != NULL)
		drop_entry(h, h->entries);
	while ((u = h->uses) != NULL) {
		h->uses = u->next;
		free(u);
	}
	rk_close(&h->cache_fd);
	rk_close(&h->part_fd);
	free(h->cache_dir);
	h->cache_dir = NULL;
}

/* --- use ----------------------------------------------------------------- */

static bool
touch_row(void *ctx, const struct cache_row *c)
{
	struct cache_row *out = ctx;

	if (strcmp(c->digest, out->digest) != 0)
		return true;
	free(out->uri);
	free(out->etag);
	out->uri = xstrdup(c->uri);
	out->etag = xstrdup(c->etag);
	out->size = c->size;
	return true;
}

static void
touch(struct ship *h, struct centry *e)
{
	struct cache_row c = { .used_ms = now_ms() };

	if (c.used_ms < e->used_ms + USED_EVERY_MS)
		return;
	e->used_ms = c.used_ms;
	memcpy(c.digest, e->hex, sizeof(c.digest));
	if (store_caches(h->store, touch_row, &c) == RK_OK && c.uri != NULL)
		(void)!store_cache_put(h->store, &c);
	store_cache_fini(&c);
}

bool
cache_has(struct ship *h, const char *hex, uint64_t size)
{
	cache_again(h);

	struct centry *e = find_entry(h, hex);
	struct stat st;

	if (e == NULL)
		return false;
	if (fstatat(h->cache_fd, hex, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    (uint64_t)st.st_size != e->size || (size > 0 && e->size != size)) {
		cache_forget(h, hex);
		return false;
	}
	touch(h, e);
	return true;
}

void
cache_use(struct ship *h, const char *job, const char *hex)
{
	struct cuse *u;

	for (u = h->uses; u != NULL; u = u->next) {
		if (strcmp(u->job, job) == 0 && strcmp(u->hex, hex) == 0)
			return;
	}
	u = xcalloc(1, sizeof(*u));
	snprintf(u->job, sizeof(u->job), "%s", job);
	snprintf(u->hex, sizeof(u->hex), "%s", hex);
	u->next = h->uses;
	h->uses = u;
}

void
cache_unuse(struct ship *h, const char *job)
{
	struct cuse **q = &h->uses, *u;

	while ((u = *q) != NULL) {
		if (strcmp(u->job, job) == 0) {
			*q = u->next;
			free(u);
		} else {
			q = &u->next;
		}
	}
}

static bool
in_use(const struct ship *h, const char *hex)
{
	for (const struct cuse *u = h->uses; u != NULL; u = u->next) {
		if (strcmp(u->hex, hex) == 0)
			return true;
	}
	return false;
}

/* --- room ---------------------------------------------------------------- */

void
cache_forget(struct ship *h, const char *hex)
{
	struct centry *e = find_entry(h, hex);
	char copy[RK_SHA256_HEX];

	snprintf(copy, sizeof(copy), "%s", hex);
	(void)unlinkat(h->cache_fd, copy, 0);
	remove_unpacked(h, copy);
	(void)!store_cache_drop(h->store, copy);
	if (e != NULL)
		drop_entry(h, e);
}

static bool
evict_one(struct ship *h)
{
	struct centry *oldest = NULL;

	for (struct centry *e = h->entries; e != NULL; e = e->next) {
		if (!in_use(h, e->hex) && (oldest == NULL ||
		    e->used_ms < oldest->used_ms))
			oldest = e;
	}
	if (oldest == NULL)
		return false;
	char bytes[RK_HUMAN];
	log_info("ship: %.12s... (%s) leaves the cache", oldest->hex,
	    rk_human_bytes(bytes, oldest->size + oldest->unpacked));
	cache_forget(h, oldest->hex);
	return true;
}

enum rk_err
cache_room(struct ship *h, const char *uri, uint64_t need, struct rk_why *why)
{
	char n[RK_HUMAN], f[RK_HUMAN], k[RK_HUMAN];
	uint64_t free_bytes = UINT64_MAX;

	for (struct centry *e = h->entries; e != NULL; e = e->next)
		see_unpacked(h, e);
	while (h->cache_bytes > 0 && (need > h->c.cache_limit ||
	    h->cache_bytes > h->c.cache_limit - need) && evict_one(h))
		;
	for (;;) {
		if (rk_disk_free(h->cache_fd, &free_bytes) != RK_OK)
			return RK_OK;           /* the write will tell */
		if (free_bytes >= need &&
		    free_bytes - need >= h->c.disk_reserve)
			return RK_OK;
		if (!evict_one(h))
			break;
	}
	rk_refuse(why, "%s needs %s, and %s are free, of which %s are to stay "
	    "free", uri, rk_human_bytes(n, need), rk_human_bytes(f,
	    free_bytes), rk_human_bytes(k, h->c.disk_reserve));
	return RK_ENOSPC;
}

enum rk_err
cache_take(struct ship *h, const char *part, int fd, const char *hex,
    const char *uri, const char *etag)
{
	struct cache_row c = { .uri = (char *)(uintptr_t)uri,
		.etag = (char *)(uintptr_t)etag, .used_ms = now_ms() };
	struct stat st;

	if (fstat(fd, &st) != 0 || fchmod(fd, 0640) != 0 || fsync(fd) != 0 ||
	    renameat(h->part_fd, part, h->cache_fd, hex) != 0 ||
	    rk_fsync_dir(h->cache_fd) != 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("ship: cannot put %s into the cache", uri);
		return rc;
	}
	snprintf(c.digest, sizeof(c.digest), "%s", hex);
	c.size = (uint64_t)st.st_size;
	add_entry(h, hex, c.size, c.used_ms);
	/* Without its row it is found by its digest alone. */
	(void)!store_cache_put(h->store, &c);
	return RK_OK;
}
