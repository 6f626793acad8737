/*
 * The source image_folder: images in a folder or a tar, decoded when a batch
 * needs them.  image_names.h has how they are found; image.h what is decoded
 * and how.
 *
 * Of an image in a folder the file is opened, read whole, closed; who changes
 * it meanwhile is noticed where its length is another than it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_names.h"
#include "lazy.h"
#include "rekindle/format.h"
#include "rekindle/image.h"
#include "transform.h"

#define FOLDER_TAG  0x696d6766u
#define LIST_MAX    ((size_t)1 << 30)   /* bytes of a list */
#define FILE_MAX    ((uint64_t)256 << 20)       /* of an image */
#define LOOK_AT     16                  /* images that a size is sought in */
#define NAMED       3                   /* that are missing, in a message */

struct folder {
	struct data_lazy lazy;          /* first */
	unsigned tag;
	char *what;                     /* the path */
	int fd;                         /* of the folder; -1: it is a tar */
	struct format_tar *tar;
	struct image_names names;
	int channels, h, w;             /* of a sample */
	bool resize;                    /* ... which each is brought to */
	/* Of training and of validation; NULL: there are no transforms, and h
	 * and w are of a sample.  Else those are of each image before them, or
	 * 0. */
	struct transform_plan *plans[2];
};

/* A thread's. */
struct folder_scratch {
	struct image_room *room;
	struct transform_room *transforms;
	uint8_t *bytes;
	size_t room_bytes;
};

/* --- bytes ---------------------------------------------------------------- */

static void
make_room(struct folder_scratch *s, size_t n)
{
	if (n <= s->room_bytes)
		return;
	free(s->bytes);
	s->room_bytes = n + n / 4;
	s->bytes = xmalloc(s->room_bytes);
}

static enum rk_err
refuse_unread(const char *path, int e, struct rk_why *why)
{
	if (e == ENOENT || e == ENOTDIR)
		return rk_refuse(why, "%s: is not there any more", path);
	if (e == EACCES || e == EPERM || e == ELOOP)
		return rk_refuse(why, "%s: cannot be read: %s", path,
		    strerror(e));
	rk_refuse(why, "%s: %s", path, strerror(e));
	return rk_from_errno(e) == RK_EINVAL ? RK_EIO : rk_from_errno(e);
}

/* All that there is of an open file of `size` bytes, and one more if it has
 * grown.  RK_EIO: errno. */
static enum rk_err
read_whole(int fd, uint8_t *to, size_t size, size_t *got)
{
	*got = 0;
	while (*got < size + 1) {
		const ssize_t n = read(fd, to + *got, size + 1 - *got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return RK_EIO;
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return RK_OK;
}

static enum rk_err
refuse_size(const char *path, uint64_t size, struct rk_why *why)
{
	char most[RK_HUMAN];

	if (size == 0)
		return rk_refuse(why, "%s: is empty", path);
	return rk_refuse(why, "%s: has %llu bytes, and an image may have %s",
	    path, (unsigned long long)size, rk_human_bytes(most, FILE_MAX));
}

static enum rk_err
read_file(const struct folder *f, struct folder_scratch *s, const char *path,
    size_t *n, struct rk_why *why)
{
	enum rk_err rc = RK_OK;
	struct stat st;

	/* A pipe that somebody has put there has nobody to wait for. */
	int fd = openat(f->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
	    O_NOCTTY);
	if (fd < 0)
		return refuse_unread(path, errno, why);
	if (fstat(fd, &st) != 0)
		rc = refuse_unread(path, errno, why);
	else if (!S_ISREG(st.st_mode))
		rc = rk_refuse(why, "%s: is %s, want an image", path,
		    S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
	else if (st.st_size == 0 || (uint64_t)st.st_size > FILE_MAX)
		rc = refuse_size(path, (uint64_t)st.st_size, why);
	if (rc == RK_OK) {
		const size_t size = (size_t)st.st_size;
		make_room(s, size + 1);
		if (read_whole(fd, s->bytes, size, n) != RK_OK)
			rc = refuse_unread(path, errno, why);
		else if (*n != size)
			rc = rk_refuse(why, "%s: changed its length while it "
			    "was read", path);
	}
	rk_close(&fd);
	return rc;
}

static enum rk_err
read_member(const struct folder *f, struct folder_scratch *s,
    const char *path, size_t *n, struct rk_why *why)
{
	const int64_t k = format_tar_find(f->tar, path);

	if (k < 0)
		return rk_refuse(why, "%s: is not in %s", path, f->what);
	const uint64_t size = f->tar->files[k].size;
	if (size == 0 || size > FILE_MAX)
		return refuse_size(path, size, why);
	make_room(s, (size_t)size);
	*n = (size_t)size;
	return format_tar_read(f->tar, (size_t)k, 0, s->bytes, *n, why);
}

static enum rk_err
read_bytes(const struct folder *f, struct folder_scratch *s, const char *path,
    size_t *n, struct rk_why *why)
{
	return f->tar != NULL ? read_member(f, s, path, n, why) :
	    read_file(f, s, path, n, why);
}

/* --- what a loader asks for ----------------------------------------------- */

static const struct folder *
folder_of(const struct data_lazy *z)
{
	const struct folder *f = (const struct folder *)(const void *)z;

	must_be(f, FOLDER_TAG);
	return f;
}

static void *
folder_scratch_new(const struct data_lazy *z)
{
	struct folder_scratch *s = xcalloc(1, sizeof(*s));

	(void)z;
	s->room = image_room_new();
	s->transforms = transform_room_new();
	return s;
}

static void
folder_scratch_free(void *scratch)
{
	struct folder_scratch *s = scratch;

	if (s == NULL)
		return;
	image_room_free(s->room);
	transform_room_free(s->transforms);
	free(s->bytes);
	free(s);
}

static enum rk_err
refuse_shape(const struct folder *f, const char *path, int64_t w, int64_t h,
    struct rk_why *why)
{
	return rk_refuse(why, "%s: is %lld x %lld pixels, and the first image "
	    "is %d x %d (width x height): say size, or a transform that resizes",
	    path, (long long)w, (long long)h, f->w, f->h);
}

/* Through the transforms; where neither they nor the job say a size, each image
 * has that of the first. */
static enum rk_err
transformed(const struct folder *f, const struct data_set *d,
    struct folder_scratch *s, size_t n, const char *path, int64_t at,
    const struct data_key *k, float *x, struct rk_why *why)
{
	const struct transform_norm norm = { d->scale, d->shift, d->nnorm };
	const struct transform_key key = { k->seed, k->epoch, at };
	struct image_info info;

	if (f->h > 0 && !f->resize) {
		const enum rk_err rc = image_look(s->room, s->bytes, n, path,
		    NULL, &info, why);
		if (rc != RK_OK)
			return rc;
		if (info.w != f->w || info.h != f->h)
			return refuse_shape(f, path, info.w, info.h, why);
	}
	return transform_file(f->plans[k->train ? 0 : 1], s->transforms, &key,
	    s->bytes, n, path, &norm, x, why);
}

static enum rk_err
folder_get(const struct data_lazy *z, const struct data_set *d, void *scratch,
    int64_t at, const struct data_key *k, void *x, struct lazy_got *got,
    struct rk_why *why)
{
	const struct folder *f = folder_of(z);
	const char *path = image_path(&f->names, (size_t)at);
	struct folder_scratch *s = scratch;
	struct image im;
	size_t n;

	enum rk_err rc = read_bytes(f, s, path, &n, why);
	if (rc != RK_OK)
		return rc;
	got->content = rk_hash64(0, s->bytes, n);
	if (f->plans[0] != NULL)
		return transformed(f, d, s, n, path, at, k, x, why);
	rc = image_decode(s->room, s->bytes, n, path, NULL, f->channels, &im,
	    why);
	if (rc != RK_OK)
		return rc;
	if (f->resize)
		image_resize(s->room, &im, f->w, f->h);
	if (im.w != f->w || im.h != f->h)
		return refuse_shape(f, path, im.w, im.h, why);
	image_floats(&im, d->scale, d->shift, d->nnorm, x);
	return RK_OK;
}

static void
folder_identify(const struct data_lazy *z, int64_t at, bool size,
    struct lazy_id *id)
{
	const struct folder *f = folder_of(z);
	struct stat st;

	id->path = image_path(&f->names, (size_t)at);
	id->hash = rk_hash64(0, id->path, strlen(id->path));
	if (!size)
		return;
	id->size = UINT64_MAX;
	if (f->tar != NULL) {
		const int64_t k = format_tar_find(f->tar, id->path);
		if (k >= 0)
			id->size = f->tar->files[k].size;
	} else if (fstatat(f->fd, id->path, &st, 0) == 0) {
		id->size = (uint64_t)st.st_size;
	}
}

static void
folder_free(struct data_lazy *z)
{
	struct folder *f = (struct folder *)(void *)z;

	must_be(f, FOLDER_TAG);
	image_names_fini(&f->names);
	transform_plan_free(f->plans[0]);
	transform_plan_free(f->plans[1]);
	format_tar_free(f->tar);
	rk_close(&f->fd);
	free(f->what);
	f->tag = 0;
	free(f);
}

static const struct lazy_ops folder_ops = {
	.scratch_new = folder_scratch_new,
	.scratch_free = folder_scratch_free,
	.get = folder_get,
	.identify = folder_identify,
	.free = folder_free,
};

/* --- opening -------------------------------------------------------------- */

static enum rk_err
cannot_read(const char *path, int e, struct rk_why *why)
{
	char *reason = rk_why_unreadable(path, e);

	rk_refuse(why, "%s: %s", path, reason);
	free(reason);
	return rk_from_errno(e) == RK_OK ? RK_EIO : rk_from_errno(e);
}

/* A file of another kind is not known to be meant for a tar. */
static enum rk_err
open_tar(struct folder *f, struct rk_why *why)
{
	struct rk_why own = { 0 };
	enum rk_err rc = format_tar_open(f->what, &f->tar, &own);

	if (rc == RK_EINVAL)
		rk_refuse(why, "%s (want a folder, or a tar of one)",
		    rk_why_first(&own));
	else if (rc != RK_OK)
		rk_refuse(why, "%s", rk_why_first(&own));
	rk_why_fini(&own);
	return rc;
}

static enum rk_err
open_place(struct folder *f, struct rk_why *why)
{
	struct stat st;

	f->fd = open(f->what, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0 || fstat(f->fd, &st) != 0)
		return cannot_read(f->what, errno, why);
	if (S_ISDIR(st.st_mode))
		return RK_OK;
	rk_close(&f->fd);
	if (!S_ISREG(st.st_mode))
		return rk_refuse(why, "%s: is neither a folder nor a tar",
		    f->what);
	return open_tar(f, why);
}

static enum rk_err
read_list(struct folder *f, const char *path, struct rk_why *why)
{
	char *text = NULL;
	size_t n;

	enum rk_err rc = rk_read_file(AT_FDCWD, path, LIST_MAX, &text, &n);
	if (rc == RK_OK)
		rc = image_list(text, n, path, &f->names, why);
	else if (rc == RK_EINVAL || rc == RK_ELIMIT)
		rc = rk_refuse(why, "%s: is %s, want a list of images", path,
		    rc == RK_ELIMIT ? "longer than 1 GiB" :
		    "no regular file");
	else
		cannot_read(path, access(path, R_OK) != 0 ? errno : EIO, why);
	free(text);
	return rc;
}

static bool
is_there(const struct folder *f, const char *path)
{
	struct stat st;

	return f->tar != NULL ? format_tar_find(f->tar, path) >= 0 :
	    fstatat(f->fd, path, &st, 0) == 0 && S_ISREG(st.st_mode);
}

/* A list may name what is not there. */
static enum rk_err
check_list(const struct folder *f, const char *list, enum spec_broken broken,
    struct held *h, struct rk_why *why)
{
	struct strbuf b = { 0 };
	size_t missing = 0;
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < f->names.n; i++) {
		const char *path = image_path(&f->names, i);
		if (is_there(f, path))
			continue;
		if (++missing <= NAMED)
			sb_addf(&b, "%sline %u: %s", missing > 1 ? ", " : "",
			    f->names.line[i], path);
	}
	if (missing > NAMED)
		sb_adds(&b, ", ...");
	if (missing > 0 && (broken == SPEC_BROKEN_FAIL ||
	    missing == f->names.n))
		rc = rk_refuse(why, "%s: names %zu image%s that %s not in %s: "
		    "%s", list, missing, missing == 1 ? "" : "s",
		    missing == 1 ? "is" : "are", f->what, sb_str(&b));
	else if (missing > 0)
		held_remark(h, "%s: names %zu image%s that %s not in %s, and "
		    "will be skipped: %s", list, missing, missing == 1 ? "" :
		    "s", missing == 1 ? "is" : "are", f->what, sb_str(&b));
	sb_fini(&b);
	return rc;
}

/* The size of the first image that is none that is broken. */
static enum rk_err
find_size(struct folder *f, struct rk_why *why)
{
	struct folder_scratch *s = folder_scratch_new(&f->lazy);
	const size_t most = RK_MIN(f->names.n, (size_t)LOOK_AT);
	struct rk_why first = { 0 };
	struct image_info info;
	enum rk_err rc = RK_EINVAL;
	size_t n;

	for (size_t i = 0; rc == RK_EINVAL && i < most; i++) {
		const char *path = image_path(&f->names, i);
		struct rk_why own = { 0 };
		rc = read_bytes(f, s, path, &n, &own);
		if (rc == RK_OK)
			rc = image_look(s->room, s->bytes, n, path, NULL,
			    &info, &own);
		if (rc != RK_OK && first.n == 0 && own.n > 0)
			rk_refuse(&first, "%s", own.v[0].message);
		rk_why_fini(&own);
	}
	if (rc == RK_OK) {
		f->lazy.scratch_bytes = (uint64_t)(info.w * info.h) * 3 * 2 + n;
		if (!f->resize) {
			f->w = (int)info.w;
			f->h = (int)info.h;
		}
	} else {
		rk_refuse(why, "%s: none of the first %zu images can be read: "
		    "%s", f->what, most, rk_why_first(&first));
	}
	rk_why_fini(&first);
	folder_scratch_free(s);
	return rc;
}

/* Takes the labels that were found. */
static void
take_labels(struct held *h, struct image_names *v)
{
	h->targets = v->targets;
	h->class_names = v->classes;
	h->nclasses = v->nclasses;
	h->many_from = v->many_from;
	h->many = v->many;
	v->targets = NULL;
	v->classes = NULL;
	v->many_from = NULL;
	v->many = NULL;
}

/* By the transforms, where there are some: a size that they make, of whatever
 * images; else `size`, or the first image's. */
static enum rk_err
make_plans(struct folder *f, const struct spec_data *s, struct rk_why *why)
{
	if (s->train_transforms.n + s->validation_transforms.n == 0)
		return RK_OK;
	if (!f->resize && transform_makes_size(&s->train_transforms))
		f->h = f->w = 0;
	f->lazy.from[0] = f->channels;
	f->lazy.from[1] = f->h;
	f->lazy.from[2] = f->w;
	enum rk_err rc = transform_plans(s, f->lazy.from, f->plans, why);
	if (rc == RK_OK && transform_mixes(f->plans[0]))
		f->lazy.mixes = f->plans[0];
	if (f->resize || (f->h == 0 && (transform_shrinks(
	    &s->train_transforms) || transform_shrinks(
	    &s->validation_transforms))))
		f->lazy.decoder = image_jpeg_version_shrunk();
	return rc;
}

static void
set_shape(struct held *h, const struct folder *f)
{
	struct data_set *d = &h->pub;

	d->n = (int64_t)f->names.n;
	d->ndim = 3;
	d->d[0] = f->channels;
	d->d[1] = f->h;
	d->d[2] = f->w;
	if (f->plans[0] != NULL) {
		transform_remarks(f->plans, h);
		transform_shape(f->plans[0], d->d);
	}
	d->width = d->d[0] * d->d[1] * d->d[2];
}

static enum rk_err
find_images(struct folder *f, const struct spec_source *src,
    enum spec_broken broken, struct held *h, struct rk_why *why)
{
	enum rk_err rc = open_place(f, why);

	if (rc == RK_OK && src->list != NULL)
		rc = read_list(f, src->list, why);
	else if (rc == RK_OK)
		rc = f->tar != NULL ? image_tar(f->tar, f->what, &f->names,
		    why) : image_scan(f->what, &f->names, why);
	if (rc == RK_OK && src->list != NULL)
		rc = check_list(f, src->list, broken, h, why);
	if (rc == RK_OK)
		rc = find_size(f, why);
	return rc;
}

enum rk_err
image_folder_open(const struct spec_source *src,
    const struct spec_data *data, struct held **out, struct rk_why *why)
{
	struct folder *f = xcalloc(1, sizeof(*f));
	struct held *h = held_new(src->path);

	f->tag = FOLDER_TAG;
	f->fd = -1;
	f->what = xstrdup(src->path);
	f->lazy.ops = &folder_ops;
	f->lazy.pixels = true;
	f->lazy.decoder = image_jpeg_version();
	f->channels = src->channels;
	f->resize = src->image_size[0] > 0;
	f->h = src->image_size[0];
	f->w = src->image_size[1];
	lazy_hold(h, &f->lazy);
	if (src->list != NULL) {
		free(h->labels_what);
		h->labels_what = xstrdup(src->list);
	}
	enum rk_err rc = find_images(f, src, data->broken, h, why);
	if (rc == RK_OK)
		rc = make_plans(f, data, why);
	if (rc == RK_OK) {
		image_names_remark(&f->names, h);
		take_labels(h, &f->names);
		set_shape(h, f);
		f->lazy.index_bytes = f->names.text.cap + f->names.n *
		    sizeof(*f->names.at) + (f->tar != NULL ? f->tar->bytes : 0);
		rc = held_find_classes(h, why);
	}
	if (rc == RK_OK)
		*out = h;
	else
		held_free(h);
	return rc;
}
