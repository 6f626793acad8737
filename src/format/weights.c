/* Opening files of weights: which format it is, and what all of them need. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights_make.h"

const char *const weights_format_words[] = {
	"safetensors", "safetensors-index", "pytorch-zip", "pytorch-legacy",
	"paddle", "paddle-static", "npz", NULL
};
const char *const weights_framework_words[] = {
	"unknown", "pytorch", "paddle", NULL
};
const char *const weights_role_words[] = {
	"model", "average", "optimizer", "other", NULL
};
const char *const weights_lie_words[] = {
	"mapped", "strided", "streamed", NULL
};

/* The first whose bytes they are. */
static const struct weights_reader readers[] = {
	{ WEIGHTS_SAFETENSORS, safetensors_looks_like,
	    weights_read_safetensors },
	{ WEIGHTS_NPZ, weights_looks_npz, weights_read_npz },
	{ WEIGHTS_PYTORCH_ZIP, weights_looks_torch_zip,
	    weights_read_torch_zip },
	{ WEIGHTS_PYTORCH_LEGACY, weights_looks_torch_legacy,
	    weights_read_torch_legacy },
	{ WEIGHTS_PADDLE, weights_looks_paddle, weights_read_paddle },
	{ WEIGHTS_PADDLE_STATIC, weights_looks_static, weights_read_static },
	{ WEIGHTS_SAFETENSORS_INDEX, weights_looks_index, weights_read_index },
};

/* --- mappings ------------------------------------------------------------- */

struct weights_map {
	struct weights_map *before;
	void *p;
	size_t n;
};

/* The file's error as an rk_err, with the sentence. */
static enum rk_err
file_failed(struct rk_why *why, const char *what, int e)
{
	rk_refuse(why, "%s: %s", what, strerror(e));
	return rk_from_errno(e);
}

static enum rk_err
map_fd(struct weights *w, int fd, const uint8_t **p, size_t *n,
    struct rk_why *why)
{
	struct stat st;

	*p = (const uint8_t *)"";
	*n = 0;
	if (fstat(fd, &st) != 0)
		return file_failed(why, "cannot look at the file", errno);
	if (!S_ISREG(st.st_mode))
		return rk_refuse(why, "is not a regular file");
	if (st.st_size == 0)
		return RK_OK;
	struct weights_map *m = xcalloc(1, sizeof(*m));
	m->n = (size_t)st.st_size;
	m->p = mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m->p == MAP_FAILED) {
		free(m);
		return file_failed(why, "cannot map the file", errno);
	}
	m->before = w->inside->maps;
	w->inside->maps = m;
	*p = m->p;
	*n = m->n;
	return RK_OK;
}

static enum rk_err
map_opened(struct weights *w, int fd, int e, const uint8_t **p, size_t *n,
    struct rk_why *why)
{
	if (fd < 0 && e == EINVAL)      /* the opener's word for it */
		return rk_refuse(why, "is not a regular file");
	if (fd < 0)
		return file_failed(why, "cannot open the file", e);
	enum rk_err rc = map_fd(w, fd, p, n, why);
	rk_close(&fd);
	return rc;
}

static enum rk_err
map_path(struct weights *w, int folder, const char *path, const uint8_t **p,
    size_t *n, struct rk_why *why)
{
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
	    O_NOCTTY);

	return map_opened(w, fd, errno, p, n, why);
}

/* The same of a plain name beside the file. */
static enum rk_err
map_name(struct weights *w, const char *name, const uint8_t **p, size_t *n,
    struct rk_why *why)
{
	const struct weights_inside *in = w->inside;
	const struct weights_how *how = in->how;
	const char *slash = strrchr(in->path, '/');

	if (how->open != NULL) {
		const int fd = how->open(how->ctx, name);
		return map_opened(w, fd, -fd, p, n, why);
	}
	if (how->folder >= 0 || slash == NULL)
		return map_path(w, how->folder >= 0 ? how->folder : AT_FDCWD,
		    name, p, n, why);
	char *path = xasprintf("%.*s/%s", (int)(slash - in->path), in->path,
	    name);
	enum rk_err rc = map_path(w, AT_FDCWD, path, p, n, why);
	free(path);
	return rc;
}

/* The bytes of a file in the tar; RK_ENOENT. */
static enum rk_err
find_member(struct weights_inside *in, const char *path, const uint8_t **p,
    size_t *n, struct rk_why *why)
{
	struct format_tar *t = NULL;
	enum rk_err rc = format_tar_parse(in->archive, in->archive_n,
	    "the archive", &t, why);

	if (rc != RK_OK)
		return rc;
	while (strncmp(path, "./", 2) == 0)     /* as the index has paths */
		path += 2;
	const int64_t i = format_tar_find(t, path);
	if (i >= 0) {
		*p = in->archive + t->files[i].offset;
		*n = (size_t)t->files[i].size;
	} else {
		struct strbuf b = {0};
		weights_list_members(t, path, &b);
		rk_refuse(why, "has no file \"%.80s\"; there is %s", path,
		    b.s);
		sb_fini(&b);
	}
	format_tar_free(t);
	return i >= 0 ? RK_OK : RK_ENOENT;
}

static enum rk_err
member_beside(struct weights_inside *in, const char *name, const uint8_t **p,
    size_t *n, struct rk_why *why)
{
	const char *member = in->how->member, *slash = strrchr(member, '/');
	char *path = xasprintf("%.*s%s", slash != NULL ?
	    (int)(slash + 1 - member) : 0, member, name);
	enum rk_err rc = find_member(in, path, p, n, why);

	free(path);
	return rc;
}

enum rk_err
weights_map_beside(struct weights *w, const char *name, const uint8_t **p,
    size_t *n, struct rk_why *why)
{
	const struct weights_inside *in = w->inside;
	struct rk_why own = {0};

	must(strchr(name, '/') == NULL);
	if (in->archive != NULL)
		return member_beside(w->inside, name, p, n, why);
	if (in->path == NULL)
		return rk_refuse(why, "names the file %.80s beside it, and is "
		    "no file itself", name);
	enum rk_err rc = map_name(w, name, p, n, &own);
	if (rc != RK_OK)
		rk_refuse_at(why, name, "%s", rk_why_first(&own));
	rk_why_fini(&own);
	return rc;
}

/* --- gzip and tar --------------------------------------------------------- */

static enum rk_err
scratch_file(const struct weights_how *how, int *fd, struct rk_why *why)
{
	const char *dir = getenv("TMPDIR");

	if (how->open != NULL) {
		*fd = how->open(how->ctx, NULL);
		return *fd >= 0 ? RK_OK : file_failed(why, "cannot be "
		    "unpacked: no file can be made in $TMPDIR", -*fd);
	}
	if (dir == NULL || dir[0] == '\0')
		dir = "/tmp";
	*fd = how->scratch >= 0 ? dup(how->scratch) : open(dir, O_TMPFILE |
	    O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return RK_OK;
	return file_failed(why, "cannot be unpacked: no file can be made in "
	    "$TMPDIR", errno);
}

/* Weights hardly pack: what unpacks to more is made to. */
static uint64_t
most_unpacked(const struct weights_inside *in)
{
	if (in->how->unpacked > 0)
		return in->how->unpacked;
	return RK_MAX((uint64_t)64 << 20, (uint64_t)in->n * 32);
}

/* What gunzip makes of it, as a mapping of a file that has no name. */
static enum rk_err
unpack(struct weights *w, struct rk_why *why)
{
	struct weights_inside *in = w->inside;
	struct format_source s = { .fd = -1 };
	uint64_t size;
	int fd = -1;
	enum rk_err rc = scratch_file(in->how, &fd, why);

	if (rc == RK_OK)
		rc = format_source_open_mem(&s, in->p, in->n, "its gzip", why);
	if (rc == RK_OK)
		rc = source_copy(&s, fd, most_unpacked(in), &size, why);
	format_source_close(&s);
	if (rc == RK_OK)
		rc = map_fd(w, fd, &in->p, &in->n, why);
	rk_close(&fd);
	w->packed = true;
	return rc;
}

/* A file in the tar that it is. */
static enum rk_err
take_member(struct weights_inside *in, struct rk_why *why)
{
	in->archive = in->p;
	in->archive_n = in->n;
	enum rk_err rc = find_member(in, in->how->member, &in->p, &in->n, why);

	return rc == RK_ENOENT ? RK_EINVAL : rc;
}

static bool
is_gzip(const struct weights_inside *in)
{
	return in->n > 2 && in->p[0] == 0x1f && in->p[1] == 0x8b;
}

/* Is it what the caller means? */
static enum rk_err
check_digest(const struct weights_inside *in, struct rk_why *why)
{
	char hex[RK_SHA256_HEX];

	if (in->how->sha256 == NULL)
		return RK_OK;
	rk_sha256_of(in->p, in->n, hex);
	if (strcmp(hex, in->how->sha256) == 0)
		return RK_OK;
	return rk_refuse(why, "is another file than was meant: its SHA-256 is "
	    "%s, want %s", hex, in->how->sha256);
}

/* Down to the bytes of the weights: gzip, a tar, gzip in the tar. */
static enum rk_err
unwrap(struct weights *w, struct rk_why *why)
{
	struct weights_inside *in = w->inside;
	enum rk_err rc = in->how->member == NULL ? check_digest(in, why) :
	    RK_OK;

	if (rc == RK_OK && is_gzip(in))
		rc = unpack(w, why);
	if (rc != RK_OK || in->how->member == NULL)
		return rc;
	rc = take_member(in, why);
	if (rc == RK_OK)
		rc = check_digest(in, why);
	if (rc == RK_OK && is_gzip(in) && !w->packed)
		rc = unpack(w, why);
	return rc;
}

/* --- the end -------------------------------------------------------------- */

static int
compare_names(const struct weights_tensor *t, enum weights_role role,
    const char *name)
{
	if (t->role != role)
		return t->role < role ? -1 : 1;
	return strcmp(t->name, name);
}

/* The numbers of the tensors, sorted; NULL: the budget is spent. */
static uint32_t *
in_order(struct weights *w, int (*by)(const void *, const void *, void *))
{
	uint32_t *x = arena_array(&w->inside->arena, w->n, sizeof(*x));

	if (x == NULL)
		return NULL;
	for (uint32_t i = 0; i < w->n; i++)
		x[i] = i;
	if (w->n > 0)
		qsort_r(x, w->n, sizeof(*x), by, w->v);
	return x;
}

static int
by_name(const void *a, const void *b, void *ctx)
{
	const struct weights_tensor *v = ctx, *y = &v[*(const uint32_t *)b];

	return compare_names(&v[*(const uint32_t *)a], y->role, y->name);
}

enum rk_err
weights_make_index(struct weights *w, struct rk_why *why)
{
	uint32_t *x = in_order(w, by_name);

	if (x == NULL)
		return arena_full(why);
	for (size_t i = 1; i < w->n; i++)
		if (by_name(&x[i - 1], &x[i], w->v) == 0)
			return rk_refuse_at(why, w->v[x[i]].path, "has the "
			    "name of another tensor, %s", w->v[x[i]].name);
	w->inside->index = x;
	return RK_OK;
}

/* Where the elements are, and what they are: 0 for the very same ones. */
static int
compare_places(const struct weights_tensor *a, const struct weights_tensor *b)
{
	const struct weights_view *x = a->view, *y = b->view;

	if (x->store != y->store)
		return (uintptr_t)x->store < (uintptr_t)y->store ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (a->dtype != b->dtype)
		return a->dtype < b->dtype ? -1 : 1;
	if (a->ndim != b->ndim)
		return a->ndim - b->ndim;
	int c = memcmp(a->d, b->d, sizeof(a->d));
	if (c != 0 || x->stride == y->stride)
		return c;
	if (x->stride == NULL || y->stride == NULL)
		return x->stride == NULL ? -1 : 1;
	return memcmp(x->stride, y->stride, (size_t)a->ndim *
	    sizeof(*x->stride));
}

static int
by_place(const void *a, const void *b, void *ctx)
{
	const struct weights_tensor *v = ctx;
	const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const int c = compare_places(&v[i], &v[j]);

	return c != 0 ? c : (i > j) - (i < j);
}

static enum rk_err
find_same(struct weights *w, struct rk_why *why)
{
	uint32_t *x = in_order(w, by_place);

	if (x == NULL)
		return arena_full(why);
	for (size_t i = 1; i < w->n; i++) {
		const struct weights_tensor *before = &w->v[x[i - 1]];
		struct weights_tensor *t = &w->v[x[i]];
		/* Of nothing there is nothing that is the same. */
		if (t->count > 0 && compare_places(before, t) == 0)
			t->same_as = before->same_as >= 0 ? before->same_as :
			    (int64_t)x[i - 1];
	}
	return RK_OK;
}

static enum rk_err
seal(struct weights *w, struct rk_why *why)
{
	const uint64_t more = w->inside->values_left_out;
	enum rk_err rc = weights_make_index(w, why);

	if (more > 0)
		weights_note(w, "%llu number%s and texts of the file are left "
		    "out: at most %u are listed", (unsigned long long)more,
		    rk_s((int64_t)more), WEIGHTS_VALUES);
	return rc == RK_OK ? find_same(w, why) : rc;
}

/* --- opening -------------------------------------------------------------- */

static bool
is_tar(const struct weights_inside *in)
{
	return in->n > 262 && memcmp(in->p + 257, "ustar", 5) == 0;
}

static enum rk_err
refuse_tar(const struct weights_inside *in, struct rk_why *why)
{
	struct format_tar *t = NULL;
	struct strbuf b = {0};
	enum rk_err rc = format_tar_parse(in->p, in->n, "the archive", &t,
	    why);

	if (rc != RK_OK)
		return rc;
	weights_list_members(t, "", &b);
	rc = rk_refuse(why, "is a tar archive: say which file of it is meant, "
	    "#member=NAME; there is %s (a torch.save of before 0.2 is one, "
	    "too: load it with a PyTorch below 2 and save it again)", b.s);
	format_tar_free(t);
	sb_fini(&b);
	return rc;
}

static bool
is_called_safetensors(const char *path)
{
	static const char end[] = ".safetensors";
	const size_t n = path != NULL ? strlen(path) : 0, m = sizeof(end) - 1;

	return n > m && strcmp(path + n - m, end) == 0;
}

/* What no reader takes.  Of a file that is called safetensors and looks like
 * nothing else it is told what is wrong with it as such. */
static enum rk_err
refuse_format(const struct weights_inside *in, struct rk_why *why)
{
	if (is_called_safetensors(in->path) && !is_tar(in) &&
	    format_sniff(in->p, in->n) == NULL) {
		struct tensor_set *s = tensor_set_new();
		enum rk_err rc = safetensors_parse(in->p, in->n, s, why);
		tensor_set_free(s);
		if (rc != RK_OK)
			return rc;
	}
	return is_tar(in) ? refuse_tar(in, why) :
	    format_refuse(in->p, in->n, why);
}

static enum rk_err
read_any(struct weights *w, struct rk_why *why)
{
	struct weights_inside *in = w->inside;
	enum rk_err rc = unwrap(w, why);

	if (rc != RK_OK)
		return rc;
	for (size_t i = 0; i < RK_ARRAY_LEN(readers); i++) {
		if (!readers[i].looks(in->p, in->n))
			continue;
		w->format = readers[i].format;
		rc = readers[i].read(w, why);
		return rc == RK_OK ? seal(w, why) : rc;
	}
	return refuse_format(in, why);
}

struct weights *
weights_new(const char *path, const struct weights_how *how)
{
	struct weights *w = xcalloc(1, sizeof(*w));
	struct weights_inside *in = xcalloc(1, sizeof(*in));

	in->left = WEIGHTS_MEMORY;
	in->arena.left = &in->left;
	in->path = path;
	in->how = how;
	w->inside = in;
	return w;
}

static enum rk_err
finish(struct weights *w, enum rk_err rc, struct weights **out,
    struct rk_why *why)
{
	if (rc == RK_OK) {
		w->size = w->inside->n;
		rc = read_any(w, why);
	}
	w->inside->how = NULL;
	w->inside->path = NULL;
	if (rc != RK_OK)
		weights_free(w);
	*out = rc == RK_OK ? w : NULL;
	return rc;
}

static const struct weights_how plain = WEIGHTS_HOW;

enum rk_err
weights_open(const char *path, const struct weights_how *how,
    struct weights **out, struct rk_why *why)
{
	struct weights *w = weights_new(path, how != NULL ? how : &plain);
	struct weights_inside *in = w->inside;
	enum rk_err rc = in->how->fd >= 0 ? map_fd(w, in->how->fd, &in->p,
	    &in->n, why) : map_path(w, AT_FDCWD, path, &in->p, &in->n, why);

	return finish(w, rc, out, why);
}

enum rk_err
weights_open_mem(const void *p, size_t n, const struct weights_how *how,
    struct weights **out, struct rk_why *why)
{
	struct weights *w = weights_new(NULL, how != NULL ? how : &plain);

	w->inside->p = n > 0 ? p : "";
	w->inside->n = n;
	return finish(w, RK_OK, out, why);
}

void
weights_free(struct weights *w)
{
	if (w == NULL)
		return;
	struct weights_inside *in = w->inside;
	weights_stream_free(in);
	while (in->maps != NULL) {
		struct weights_map *m = in->maps;
		in->maps = m->before;
		munmap(m->p, m->n);
		free(m);
	}
	if (in->teller != NULL)
		in->teller->free(in->teller_ctx);
	arena_free(&in->arena);
	free(in);
	free(w);
}

/* --- finding -------------------------------------------------------------- */

const struct weights_tensor *
weights_find(const struct weights *w, enum weights_role role,
    const char *name)
{
	size_t lo = 0, hi = w->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct weights_tensor *t =
		    &w->v[w->inside->index[mid]];
		const int c = compare_names(t, role, name);
		if (c == 0)
			return t;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct weights_value *
weights_value(const struct weights *w, const char *path)
{
	for (size_t i = 0; i < w->nvalues; i++)
		if (strcmp(w->values[i].path, path) == 0)
			return &w->values[i];
	return NULL;
}

/* The one element of a tensor. */
static bool
one_number(const struct weights_tensor *t, double *out)
{
	int64_t i = 0;
	float f = 0;

	if (t->count != 1)
		return false;
	if (t->dtype == DT_F64)
		return weights_read(t, 0, 1, out, NULL) == RK_OK;
	if (t->dtype == DT_I64) {
		if (weights_read(t, 0, 1, &i, NULL) != RK_OK)
			return false;
		*out = (double)i;
		return true;
	}
	if (weights_read_f32(t, 0, 1, &f, NULL) != RK_OK)
		return false;
	*out = (double)f;
	return true;
}

bool
weights_number(const struct weights *w, const char *path, double *out)
{
	const struct weights_value *v = weights_value(w, path);

	if (v != NULL && v->kind <= WEIGHTS_FLOAT) {
		*out = v->f;
		return true;
	}
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->v[i].path, path) == 0)
			return one_number(&w->v[i], out);
	return false;
}
