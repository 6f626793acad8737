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

bool
file_part(struct req *q, uint64_t size, struct file_part *p)
{
	const char *range = req_header(q, "Range");

	*p = (struct file_part){ .size = size, .len = size };
	const int is = range != NULL ? range_of(range, size, &p->from,
	    &p->len) : 0;
	p->is = is > 0;
	if (is < 0)
		reply_problem(q, P_RANGE, "the file has %llu bytes",
		    (unsigned long long)size);
	return is >= 0;
}

uint64_t
file_from(struct req *q)
{
	const char *range = req_header(q, "Range");
	uint64_t from = 0, len;

	if (range == NULL || strncmp(range, "bytes=-", 7) == 0 ||
	    range_of(range, UINT64_MAX, &from, &len) <= 0)
		return 0;
	return from;
}

void
file_reply(struct req *q, struct MHD_Response *r, const struct file_part *p)
{
	file_headers(q, r, p, "application/octet-stream");
}

void
file_headers(struct req *q, struct MHD_Response *r, const struct file_part *p,
    const char *type)
{
	char text[96];

	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Accept-Ranges", "bytes");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (q->etag[0] != '\0')
		MHD_add_response_header(r, "ETag", q->etag);
	if (p->is) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu",
		    (unsigned long long)p->from,
		    (unsigned long long)(p->from + p->len - 1),
		    (unsigned long long)p->size);
		MHD_add_response_header(r, "Content-Range", text);
	}
	reply_with(q, p->is ? 206 : 200, r);
}

void
file_send(struct req *q, int fd, uint64_t size, const char *digest)
{
	struct MHD_Response *r;
	struct file_part p;

	if (!file_part(q, size, &p)) {
		close(fd);
		return;
	}
	if (digest != NULL)
		snprintf(q->etag, sizeof(q->etag), "\"%.*s\"",
		    (int)sizeof(q->etag) - 3, digest);
	r = MHD_create_response_from_fd_at_offset64(p.len, fd, p.from);
	if (r == NULL) {
		close(fd);
		reply_err(q, RK_ENOMEM, NULL, "file");
		return;
	}
	file_reply(q, r, &p);
}

static bool
is_form(const char *name)
{
	for (int k = 0; ckpt_form_files[k] != NULL; k++)
		if (strcmp(ckpt_form_files[k], name) == 0)
			return true;
	return false;
}

/* Only files that checkpoint.json lists, and itself, and what it can be
 * exported as: no path leaves here. */
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
		file_send(q, fd, (uint64_t)st.st_size, digest);
	} else if (!known && is_form(name)) {
		download(q, &i, name);
	} else {
		rk_close(&fd);
		reply_problem(q, P_NOT_FOUND, "%s has no file of that name",
		    i.dir);
	}
	ckpt_info_fini(&i);
	ckpt_close(&c);
}
