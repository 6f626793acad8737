/*
 * Tensor sets to safetensors files.
 *
 * A checkpoint is written next to a training run that wants both cores and the
 * memory bus.  So the bytes are read once: a piece is hashed and goes to the
 * disk at once, while it is in cache; and they go past the page cache, by
 * O_DIRECT straight from where they lie if that is page-aligned, through a
 * buffer of ours if not.  Where the file system knows no O_DIRECT, the page
 * cache is at least kept from filling up with what nobody will read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/format_out.h"
#include "impl.h"

#define ALIGN  4096u                    /* of O_DIRECT, and of our data */
#define PIECE  (4u << 20)
#define BIG    (8u << 20)               /* smaller files: plain writes */

struct out {
	int fd;
	bool direct;                    /* O_DIRECT is on */
	bool big;
	uint64_t at;                    /* written so far, hashed so far */
	unsigned char *buf;             /* PIECE bytes, page-aligned */
	size_t fill;
	struct rk_sha256 *sha;          /* or NULL: not wanted */
	struct rk_xxh128 *xxh;
};

/* --- the header ----------------------------------------------------------- */

static void
put_string(struct strbuf *b, const char *s)
{
	sb_addc(b, '"');
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			sb_addc(b, '\\');
		if (c < 0x20)
			sb_addf(b, "\\u%04x", c);
		else
			sb_addc(b, *s);
	}
	sb_addc(b, '"');
}

static void
put_meta(struct strbuf *b, char *const *meta)
{
	sb_adds(b, "\"__metadata__\":{");
	for (size_t i = 0; meta[i] != NULL; i += 2) {
		if (i > 0)
			sb_addc(b, ',');
		put_string(b, meta[i]);
		sb_addc(b, ':');
		put_string(b, meta[i + 1]);
	}
	sb_addc(b, '}');
}

static void
put_tensor(struct strbuf *b, const struct tensor *t, uint64_t begin)
{
	char shape[TENSOR_SHAPE_TEXT];

	put_string(b, t->name);
	sb_addf(b, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,"
	    "%llu]}", dtype_name(t->dtype),
	    tensor_shape_text(shape, t->ndim, t->d),
	    (unsigned long long)begin, (unsigned long long)begin + t->nbytes);
}

void
format_header(const struct tensor_set *s, size_t align, char **header,
    size_t *len)
{
	static const char no_len[ST_LEN_BYTES];
	struct strbuf b = {0};
	uint64_t at = 0;

	must(align >= 8 && align % 8 == 0);
	sb_add(&b, no_len, sizeof(no_len));
	sb_addc(&b, '{');
	if (s->meta != NULL && s->meta[0] != NULL)
		put_meta(&b, s->meta);
	for (size_t i = 0; i < s->n; i++) {
		if (b.len > ST_LEN_BYTES + 1)
			sb_addc(&b, ',');
		put_tensor(&b, &s->v[i], at);
		at += s->v[i].nbytes;
	}
	sb_addc(&b, '}');
	while (b.len % align != 0)
		sb_addc(&b, ' ');
	uint64_t n = b.len - ST_LEN_BYTES;
	for (int i = 0; i < ST_LEN_BYTES; i++)
		b.s[i] = (char)(n >> 8 * i & 0xff);
	*len = b.len;
	*header = sb_detach(&b);
}

/* --- bytes to the disk ---------------------------------------------------- */

static int
set_direct(int fd, bool on)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0)
		return -1;
	return fcntl(fd, F_SETFL, on ? fl | O_DIRECT : fl & ~O_DIRECT);
}

/* Ask for the disk early and for all of it, so that a full one is seen before
 * the work is done. */
static int
reserve(int fd, uint64_t total)
{
	int rc;

	do
		rc = fallocate(fd, 0, 0, (off_t)total);
	while (rc != 0 && errno == EINTR);
	if (rc != 0 && errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
		return 0;               /* it can't; the writes will tell */
	return rc;
}

/* Let the disk begin with this piece, and forget the one before it. */
static void
drain_cache(struct out *o, size_t n)
{
	off_t at = (off_t)o->at;

	(void)sync_file_range(o->fd, at, (off_t)n, SYNC_FILE_RANGE_WRITE);
	if (at < PIECE)
		return;
	(void)sync_file_range(o->fd, at - PIECE, PIECE,
	    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
	    SYNC_FILE_RANGE_WAIT_AFTER);
	(void)posix_fadvise(o->fd, at - PIECE, PIECE, POSIX_FADV_DONTNEED);
}

/* Write n bytes at o->at.  O_DIRECT is given up when it is refused. */
static int
put(struct out *o, const unsigned char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pwrite(o->fd, p + done, n - done,
		    (off_t)(o->at + done));
		if (k < 0 && errno == EINTR)
			continue;
		bool odd = k < 0 ? errno == EINVAL : k % ALIGN != 0;
		if (o->direct && odd) {
			if (set_direct(o->fd, false) != 0)
				return -1;
			o->direct = false;
		} else if (k <= 0) {
			if (k == 0)
				errno = EIO;
			return -1;
		}
		if (k > 0)
			done += (size_t)k;
	}
	if (o->big && !o->direct)
		drain_cache(o, n);
	return 0;
}

static void
hash(struct out *o, const unsigned char *p, size_t n)
{
	if (o->xxh != NULL)
		rk_xxh128_add(o->xxh, p, n);
	if (o->sha != NULL)
		rk_sha256_add(o->sha, p, n);
}

static int
flush(struct out *o)
{
	size_t n = o->fill;

	if (n == 0)
		return 0;
	hash(o, o->buf, n);
	if (o->direct && n % ALIGN != 0) {
		/* Only the last piece; what is too much is cut off then. */
		size_t pad = ALIGN - n % ALIGN;
		memset(o->buf + n, 0, pad);
		n += pad;
	}
	if (put(o, o->buf, n) != 0)
		return -1;
	o->at += o->fill;
	o->fill = 0;
	return 0;
}

static bool
can_go_straight(const struct out *o, const unsigned char *p, size_t n)
{
	if (!o->direct)
		return n >= PIECE;
	return n >= ALIGN && (uintptr_t)p % ALIGN == 0 && o->fill % ALIGN == 0;
}

static int
add(struct out *o, const unsigned char *p, size_t n)
{
	while (n > 0) {
		size_t k;
		if (!can_go_straight(o, p, n)) {
			k = RK_MIN(n, PIECE - o->fill);
			memcpy(o->buf + o->fill, p, k);
			o->fill += k;
			if (o->fill == PIECE && flush(o) != 0)
				return -1;
		} else {
			if (flush(o) != 0)
				return -1;
			k = RK_MIN(n, PIECE);
			if (o->direct)
				k -= k % ALIGN;
			hash(o, p, k);
			if (put(o, p, k) != 0)
				return -1;
			o->at += k;
		}
		p += k;
		n -= k;
	}
	return 0;
}

/* Tensors that lie one behind the other in memory are one run of bytes. */
static int
add_set(struct out *o, const struct tensor_set *s)
{
	for (size_t i = 0; i < s->n;) {
		const unsigned char *p = s->v[i].data;
		size_t n = s->v[i].nbytes;
		for (i++; i < s->n && n > 0 && s->v[i].data == p + n; i++)
			n += s->v[i].nbytes;
		if (add(o, p, n) != 0)
			return -1;
	}
	return 0;
}

static int
write_all(struct out *o, const struct tensor_set *s, const char *header,
    size_t len, uint64_t total)
{
	if (o->big && reserve(o->fd, total) != 0)
		return -1;
	if (o->big && set_direct(o->fd, true) == 0)
		o->direct = true;
	if (add(o, (const unsigned char *)header, len) != 0 ||
	    add_set(o, s) != 0 || flush(o) != 0)
		return -1;
	must(o->at == total);
	return ftruncate(o->fd, (off_t)total);
}

static void
end_digests(struct out *o, char *sha256, char *xxh128)
{
	if (o->sha != NULL)
		rk_sha256_end(o->sha, sha256);
	if (o->xxh != NULL)
		rk_xxh128_end(o->xxh, xxh128);
}

enum rk_err
format_write(int fd, const struct tensor_set *s, char *sha256, char *xxh128,
    uint64_t *size)
{
	struct out o = { .fd = fd };
	enum rk_err rc = RK_OK;
	char *header;
	size_t len;

	format_header(s, ALIGN, &header, &len);
	uint64_t total = len;
	for (size_t i = 0; i < s->n; i++)
		total += s->v[i].nbytes;
	o.big = total >= BIG;
	if (len > ST_HEADER_MAX || total > INT64_MAX - ALIGN)
		rc = RK_ELIMIT;
	else if (posix_memalign((void **)&o.buf, ALIGN, PIECE) != 0)
		rc = RK_ENOMEM;
	if (rc != RK_OK)
		goto out;

	o.sha = sha256 != NULL ? rk_sha256_new() : NULL;
	o.xxh = xxh128 != NULL ? rk_xxh128_new() : NULL;
	if (write_all(&o, s, header, len, total) != 0) {
		/* EFBIG: over what this process or file system may write. */
		rc = errno == EFBIG ? RK_ENOSPC : rk_from_errno(errno);
		log_errno("format: cannot write %zu tensors", s->n);
	}
	if (o.direct)
		(void)set_direct(fd, false);
	if (rc == RK_OK) {
		end_digests(&o, sha256, xxh128);
		*size = total;
	} else {
		rk_sha256_free(o.sha);
		rk_xxh128_free(o.xxh);
	}
out:
	free(o.buf);
	free(header);
	return rc;
}

void
format_digests(const struct tensor_set *s, char *sha256, char *xxh128,
    uint64_t *size)
{
	struct out o = { .sha = sha256 != NULL ? rk_sha256_new() : NULL,
		.xxh = xxh128 != NULL ? rk_xxh128_new() : NULL };
	char *header;
	size_t len;

	format_header(s, ALIGN, &header, &len);
	hash(&o, (const unsigned char *)header, len);
	uint64_t total = len;
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].nbytes > 0)
			hash(&o, s->v[i].data, s->v[i].nbytes);
		total += s->v[i].nbytes;
	}
	end_digests(&o, sha256, xxh128);
	if (size != NULL)
		*size = total;
	free(header);
}

enum rk_err
format_out_set(const struct format_sink *to, const struct tensor_set *s,
    uint64_t *size, struct rk_why *why)
{
	enum rk_err rc = RK_OK;
	char *header;
	size_t len;

	format_header(s, ALIGN, &header, &len);
	uint64_t total = len;
	if (to->put != NULL)
		rc = to->put(to->ctx, header, len, why);
	free(header);
	for (size_t i = 0; i < s->n && rc == RK_OK; i++) {
		if (to->put != NULL && s->v[i].nbytes > 0)
			rc = to->put(to->ctx, s->v[i].data, s->v[i].nbytes,
			    why);
		total += s->v[i].nbytes;
	}
	if (size != NULL)
		*size = total;
	return rc;
}

/* --- a file that is there whole or not at all ----------------------------- */

/* A name next to path that nobody else uses; the caller frees it. */
static char *
temp_beside(const char *path, char **dir)
{
	const char *slash = strrchr(path, '/');
	uint64_t r;

	rk_random_bytes(&r, sizeof(r));
	*dir = slash == NULL ? xstrdup(".") :
	    xstrndup(path, RK_MAX((size_t)(slash - path), (size_t)1));
	return xasprintf("%s/" RK_TMP_PREFIX "%016llx", *dir,
	    (unsigned long long)r);
}

static int
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	int rc = rk_fsync_dir(fd);
	rk_close(&fd);
	return rc;
}

enum rk_err
format_save(const char *path, const struct tensor_set *s)
{
	char *dir, *tmp = temp_beside(path, &dir);
	uint64_t size;
	enum rk_err rc;

	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		log_errno("format: cannot create %s", tmp);
		rc = rk_from_errno(errno);
		goto out;
	}
	rc = format_write(fd, s, NULL, NULL, &size);
	if (rc == RK_OK && (fsync(fd) != 0 || rename(tmp, path) != 0)) {
		log_errno("format: cannot write %s", path);
		rc = rk_from_errno(errno);
	}
	rk_close(&fd);
	if (rc != RK_OK)
		unlink(tmp);
	else if (sync_dir(dir) != 0) {
		log_errno("format: cannot sync %s", dir);
		rc = rk_from_errno(errno);
	}
out:
	free(tmp);
	free(dir);
	return rc;
}
