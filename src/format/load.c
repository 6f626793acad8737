/* Files to tensor sets. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

enum rk_err
format_parse(const void *p, size_t n, struct tensor_set **out,
    struct rk_why *why)
{
	const char *what = NULL;

	*out = NULL;
	if (!safetensors_looks_like(p, n))
		what = format_sniff(p, n);
	if (what != NULL)
		return rk_refuse(why, "looks like %s; a safetensors file is "
		    "wanted", what);
	struct tensor_set *s = tensor_set_new();
	enum rk_err rc = safetensors_parse(p, n, s, why);
	if (rc != RK_OK) {
		tensor_set_free(s);
		return rc;
	}
	*out = s;
	return RK_OK;
}

/* The file's error as an rk_err, with the sentence. */
static enum rk_err
file_failed(struct rk_why *why, const char *what, int e)
{
	rk_refuse(why, "%s: %s", what, strerror(e));
	return rk_from_errno(e);
}

static enum rk_err
load_fd(int fd, struct tensor_set **out, struct rk_why *why)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return file_failed(why, "cannot look at the file", errno);
	if (!S_ISREG(st.st_mode))
		return rk_refuse(why, "is not a regular file");
	size_t n = (size_t)st.st_size;
	if (n == 0)
		return format_parse("", 0, out, why);
	void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return file_failed(why, "cannot map the file", errno);
	enum rk_err rc = format_parse(p, n, out, why);
	if (rc != RK_OK) {
		munmap(p, n);
		return rc;
	}
	(*out)->backing = p;
	(*out)->backing_len = n;
	return RK_OK;
}

enum rk_err
format_load(const char *path, struct tensor_set **out, struct rk_why *why)
{
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	*out = NULL;
	if (fd < 0)
		return file_failed(why, "cannot open the file", errno);
	enum rk_err rc = load_fd(fd, out, why);
	rk_close(&fd);
	return rc;
}
