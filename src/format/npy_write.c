/* A matrix as a file of NumPy: see format.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/format.h"

#define ALIGN 64                /* of the first number in the file */
#define FIXED 10                /* magic, version and the header's length */

static enum rk_err
failed(const struct format_npy_out *n)
{
	enum rk_err rc = rk_from_errno(errno);

	log_errno("format: cannot write %s", n->path);
	return rc;
}

static enum rk_err
put(struct format_npy_out *n, const void *p, size_t size)
{
	rk_sha256_add(n->sha, p, size);
	return rk_write_all(n->fd, p, size) == 0 ? RK_OK : failed(n);
}

/* The length counts spaces and a newline that end it at a multiple of ALIGN. */
static enum rk_err
put_header(struct format_npy_out *n, int64_t rows, int64_t columns)
{
	char *text = xasprintf("{'descr': '<f4', 'fortran_order': False, "
	    "'shape': (%lld, %lld), }", (long long)rows, (long long)columns);
	const size_t size = strlen(text), all = (FIXED + size + 1 + ALIGN - 1) /
	    ALIGN * ALIGN, len = all - FIXED;
	char head[4 * ALIGN];

	must(all <= sizeof(head));
	memset(head, ' ', all);
	memcpy(head, "\x93NUMPY\x01\x00", 8);
	head[8] = (char)(len & 255);
	head[9] = (char)(len >> 8);
	memcpy(head + FIXED, text, size);
	head[all - 1] = '\n';
	free(text);
	return put(n, head, all);
}

enum rk_err
format_npy_begin(struct format_npy_out *n, const char *path, int64_t rows,
    int64_t columns)
{
	const char *slash = strrchr(path, '/');
	uint64_t r;

	rk_random_bytes(&r, sizeof(r));
	*n = (struct format_npy_out){ .fd = -1, .path = path,
		.columns = columns,
		.left = (uint64_t)rows * (uint64_t)columns,
		.sha = rk_sha256_new(),
		.dir = slash == NULL ? xstrdup(".") :
		    xstrndup(path, RK_MAX((size_t)(slash - path), (size_t)1)),
	};
	n->tmp = xasprintf("%s/" RK_TMP_PREFIX "%016llx", n->dir,
	    (unsigned long long)r);
	n->fd = open(n->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (n->fd < 0)
		return failed(n);
	return put_header(n, rows, columns);
}

enum rk_err
format_npy_add(struct format_npy_out *n, const float *p, int64_t rows)
{
	const uint64_t some = (uint64_t)rows * (uint64_t)n->columns;

	must(some <= n->left);
	n->left -= some;
	return put(n, p, (size_t)some * sizeof(*p));
}

static int
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : rk_fsync_dir(fd);

	rk_close(&fd);
	return rc;
}

enum rk_err
format_npy_end(struct format_npy_out *n, char hex[RK_SHA256_HEX])
{
	must(n->left == 0);
	if (fsync(n->fd) != 0 || rename(n->tmp, n->path) != 0)
		return failed(n);
	free(n->tmp);
	n->tmp = NULL;
	if (sync_dir(n->dir) != 0)
		return failed(n);
	rk_sha256_end(n->sha, hex);
	n->sha = NULL;
	return RK_OK;
}

void
format_npy_drop(struct format_npy_out *n)
{
	if (n->fd >= 0 && n->tmp != NULL)
		unlink(n->tmp);
	rk_close(&n->fd);
	rk_sha256_free(n->sha);
	free(n->tmp);
	free(n->dir);
	*n = (struct format_npy_out){ .fd = -1 };
}
