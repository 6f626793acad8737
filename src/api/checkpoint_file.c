/* A checkpoint's files, for whoever wants to take them elsewhere. */
#include "impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "bytes=A-B", "bytes=A-" or "bytes=-N" of a file of size bytes.  1: *from and
 * *len are set; 0: no range we know, send all; -1: not in the file. */
static int
range_of(const char *s, uint64_t size, uint64_t *from, uint64_t *len)
{
	unsigned long long a, b;
	int end = 0;

	if (strncmp(s, "bytes=", 6) != 0 || strchr(s, ',') != NULL)
		return 0;
	s += 6;
	if (sscanf(s, "-%19llu%n", &b, &end) == 1 && s[end] == '\0') {
		if (b == 0 || size == 0)
			return -1;
		*len = RK_MIN(b, size);
		*from = size - *len;
		return 1;
	}
	if (strspn(s, "-0123456789") != strlen(s))
		return 0;
	b = UINT64_MAX;
	if (sscanf(s, "%19llu-%n", &a, &end) != 1 || end == 0)
		return 0;
	if (s[end] != '\0' && sscanf(s + end, "%19llu", &b) != 1)
		return 0;
	if (b < a)
		return 0;
	if (a >= size)
		return -1;
	*from = a;
	*len = RK_MIN(b, size - 1) - a + 1;
	return 1;
}

static void
send_file(struct req *q, int fd, uint64_t size, const char *digest)
{
	const char *range = req_header(q, "Range");
	uint64_t from = 0, len = size;
	struct MHD_Response *r;
	char text[96];
	int part = range != NULL ? range_of(range, size, &from, &len) : 0;

	if (part < 0) {
		close(fd);
		reply_problem(q, P_RANGE, "the file has %llu bytes",
		    (unsigned long long)size);
		return;
	}
	r = MHD_create_response_from_fd_at_offset64(len, fd, from);
	if (r == NULL) {
		close(fd);
		reply_err(q, RK_ENOMEM, NULL, "file");
		return;
	}
	MHD_add_response_header(r, "Content-Type", "application/octet-stream");
	MHD_add_response_header(r, "Accept-Ranges", "bytes");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (digest != NULL) {
		snprintf(text, sizeof(text), "\"%s\"", digest);
		MHD_add_response_header(r, "ETag", text);
	}
	if (part > 0) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu",
		    (unsigned long long)from,
		    (unsigned long long)(from + len - 1),
		    (unsigned long long)size);
		MHD_add_response_header(r, "Content-Range", text);
	}
	reply_with(q, part > 0 ? 206 : 200, r);
}

/* Only files that checkpoint.json lists, and itself: no path leaves here. */
void
h_checkpoint_file(struct req *q)
{
	const char *name = q->arg[2], *digest = NULL;
	struct ckpt_info i = { 0 };
	struct ckpt *c;
	struct stat st;
	char *path;
	bool known;
	int fd = -1;

	if (!checkpoint_select(q, &c, &i))
		return;
	known = strcmp(name, "checkpoint.json") == 0;
	for (int f = 0; f < i.nfiles; f++) {
		if (strcmp(i.files[f].name, name) == 0) {
			known = true;
			/* The one that stays when a name adds the other. */
			digest = i.files[f].xxh128[0] != '\0' ?
			    i.files[f].xxh128 : i.files[f].sha256;
		}
	}
	if (known && strchr(name, '/') == NULL) {
		path = xasprintf("%s/%s/%s", ckpt_path(c), i.dir, name);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		free(path);
	}
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		send_file(q, fd, (uint64_t)st.st_size, digest);
	} else {
		rk_close(&fd);
		reply_problem(q, P_NOT_FOUND, "%s has no file of that name",
		    i.dir);
	}
	ckpt_info_fini(&i);
	ckpt_close(&c);
}
