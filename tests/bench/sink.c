/*
 * sink: an S3 store that throws bodies away, for the row `ship` of bench.py.
 *
 * In real life a store is another machine.  On the one that is measured it must
 * take as little as can be, so this one has a single thread, checks no
 * signature, and lets the kernel drop what is sent without copying it.  It
 * knows the calls that pushing checkpoints makes, and remembers what a HEAD
 * asks for: length, ETag, metadata; of small objects the bytes, too.
 *
 *	sink        listens on a free port of loopback, prints it, and then a
 *	            line "MILLISECONDS BYTES KEY" for each object that is whole
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX (16u << 10)
#define KEPT_MAX (256u << 10)   /* bodies up to here are kept */
#define WAKE     (256 << 10)    /* bytes worth waking up for */
#define TEXT_MAX 1024

/* An object, or, with an upload id, one that is not yet whole. */
struct object {
	LIST_ENTRY(object) link;
	char key[TEXT_MAX], meta[TEXT_MAX];
	uint64_t size;
	unsigned etag, upload;
	char *body;             /* NULL: thrown away */
};
static LIST_HEAD(, object) objects = LIST_HEAD_INITIALIZER(objects);
static unsigned last;

struct conn {
	int fd;
	char head[HEAD_MAX + 1];
	size_t len;             /* of head that is filled */
	bool in_body;
	uint64_t size, left;    /* of the body */
	char *kept;

	char method[8], key[TEXT_MAX], query[TEXT_MAX], meta[TEXT_MAX];
	bool if_absent;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static struct object *
find(const char *key, unsigned upload)
{
	struct object *o;

	LIST_FOREACH(o, &objects, link)
		if (o->upload == upload && strcmp(o->key, key) == 0)
			return o;
	return NULL;
}

static void
forget(struct object *o)
{
	if (o == NULL)
		return;
	LIST_REMOVE(o, link);
	free(o->body);
	free(o);
}

static struct object *
make(const struct conn *c, bool upload)
{
	struct object *o = calloc(1, sizeof(*o));

	if (o == NULL)
		die("sink");
	o->etag = ++last;
	o->upload = upload ? last : 0;
	memcpy(o->key, c->key, sizeof(o->key));
	memcpy(o->meta, c->meta, sizeof(o->meta));
	LIST_INSERT_HEAD(&objects, o, link);
	return o;
}

static void
whole(const struct object *o)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	printf("%lld %llu %s\n", t.tv_sec * 1000LL + t.tv_nsec / 1000000,
	    (unsigned long long)o->size, o->key);
}

/* --- answers ------------------------------------------------------------ */

static void
say(const struct conn *c, const char *p, size_t n)
{
	/* Answers are small: a socket that cannot take one is broken. */
	if (send(c->fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		fprintf(stderr, "sink: an answer was not taken\n");
}

/* more: headers, each with its CR LF.  size: what a HEAD says. */
static void
answer(const struct conn *c, const char *status, const char *more,
    const char *body, uint64_t size)
{
	char b[4 * TEXT_MAX];
	int n = snprintf(b, sizeof(b), "HTTP/1.1 %s\r\nContent-Length: %llu\r\n"
	    "x-amz-request-id: sink\r\n%s\r\n", status,
	    (unsigned long long)size, more);

	say(c, b, (size_t)n);
	if (body != NULL && size > 0)
		say(c, body, size);
}

static void
error(const struct conn *c, const char *status, const char *code)
{
	char b[256];
	int n = snprintf(b, sizeof(b), "<Error><Code>%s</Code></Error>", code);

	answer(c, status, "", strcmp(c->method, "HEAD") == 0 ? NULL : b,
	    strcmp(c->method, "HEAD") == 0 ? 0 : (uint64_t)n);
}

static void
tagged(const struct conn *c, unsigned etag)
{
	char b[64];

	snprintf(b, sizeof(b), "ETag: \"sink-%u\"\r\n", etag);
	answer(c, "200 OK", b, NULL, 0);
}

static void
xml(const struct conn *c, const char *fmt, ...)
{
	char b[4 * TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(b, sizeof(b), fmt, ap);
	va_end(ap);
	answer(c, "200 OK", "Content-Type: application/xml\r\n", b,
	    (uint64_t)n);
}

/* --- calls -------------------------------------------------------------- */

/* The number behind a name of the query, 0 without. */
static unsigned
asked(const struct conn *c, const char *name)
{
	const char *p = strstr(c->query, name);

	return p != NULL ? (unsigned)strtoul(p + strlen(name), NULL, 10) : 0;
}

static void
put(struct conn *c)
{
	unsigned upload = asked(c, "uploadId=");
	struct object *o = find(c->key, upload);

	if (upload != 0 && o == NULL) {
		error(c, "404 Not Found", "NoSuchUpload");
	} else if (upload != 0) {
		o->size += c->size;
		tagged(c, ++last);
	} else if (o != NULL && c->if_absent) {
		error(c, "412 Precondition Failed", "PreconditionFailed");
	} else {
		forget(o);
		o = make(c, false);
		o->size = c->size;
		o->body = c->kept;
		c->kept = NULL;
		tagged(c, o->etag);
		whole(o);
	}
}

static void
complete(const struct conn *c)
{
	struct object *o = find(c->key, asked(c, "uploadId="));

	if (o == NULL) {
		error(c, "404 Not Found", "NoSuchUpload");
		return;
	}
	forget(find(c->key, 0));
	o->upload = 0;
	xml(c, "<CompleteMultipartUploadResult><Key>%s</Key>"
	    "<ETag>\"sink-%u\"</ETag></CompleteMultipartUploadResult>", o->key,
	    o->etag);
	whole(o);
}

static void
get(const struct conn *c)
{
	const struct object *o = find(c->key, 0);
	bool head = strcmp(c->method, "HEAD") == 0;
	char b[2 * TEXT_MAX];

	if (o == NULL || (!head && o->body == NULL)) {
		error(c, "404 Not Found", "NoSuchKey");
		return;
	}
	snprintf(b, sizeof(b), "ETag: \"sink-%u\"\r\n%s", o->etag, o->meta);
	answer(c, "200 OK", b, head ? NULL : o->body, o->size);
}

/* Nothing is listed: who pushes asks only for what others left behind. */
static void
handle(struct conn *c)
{
	const char *q = c->query;

	if (strcmp(c->method, "PUT") == 0)
		put(c);
	else if (strcmp(c->method, "POST") == 0 && strstr(q, "uploadId="))
		complete(c);
	else if (strcmp(c->method, "POST") == 0)
		xml(c, "<InitiateMultipartUploadResult><UploadId>%u</UploadId>"
		    "</InitiateMultipartUploadResult>", make(c, true)->upload);
	else if (strcmp(c->method, "GET") == 0 && strstr(q, "list-type="))
		xml(c, "<ListBucketResult><KeyCount>0</KeyCount>"
		    "<IsTruncated>false</IsTruncated></ListBucketResult>");
	else if (strcmp(c->method, "GET") == 0 && strstr(q, "uploads"))
		xml(c, "<ListMultipartUploadsResult><IsTruncated>false"
		    "</IsTruncated></ListMultipartUploadsResult>");
	else if (strcmp(c->method, "DELETE") == 0) {
		forget(find(c->key, asked(c, "uploadId=")));
		answer(c, "204 No Content", "", NULL, 0);
	} else
		get(c);
}

/* --- requests ----------------------------------------------------------- */

static void
wake_at(const struct conn *c, uint64_t n)
{
	int low = n < WAKE ? (int)n : WAKE;

	low = low > 0 ? low : 1;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
}

static void
header(struct conn *c, char *line, bool *expects)
{
	size_t n = strlen(c->meta);

	if (strncasecmp(line, "content-length:", 15) == 0)
		c->size = strtoull(line + 15, NULL, 10);
	else if (strncasecmp(line, "expect:", 7) == 0)
		*expects = strstr(line, "100") != NULL;
	else if (strncasecmp(line, "if-none-match:", 14) == 0)
		c->if_absent = true;
	else if (strncasecmp(line, "x-amz-meta-", 11) == 0)
		snprintf(c->meta + n, sizeof(c->meta) - n, "%s\r\n", line);
}

/* head holds a whole head, ended by a NUL in place of its empty line. */
static bool
read_head(struct conn *c)
{
	bool expects = false;
	char *save = NULL, *line = strtok_r(c->head, "\r\n", &save), target[2048];

	c->meta[0] = c->query[0] = '\0';
	c->if_absent = false;
	c->size = 0;
	if (line == NULL || sscanf(line, "%7s %2047s", c->method, target) != 2)
		return false;
	char *q = strchr(target, '?');
	if (q != NULL) {
		*q = '\0';
		snprintf(c->query, sizeof(c->query), "%.1000s", q + 1);
	}
	snprintf(c->key, sizeof(c->key), "%.1000s", target);
	while ((line = strtok_r(NULL, "\r\n", &save)) != NULL)
		header(c, line, &expects);
	c->left = c->size;
	c->kept = c->size > 0 && c->size <= KEPT_MAX ? malloc(c->size) : NULL;
	c->in_body = true;
	if (expects)
		say(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return true;
}

/* Bytes of the body that came with the head. */
static void
take(struct conn *c, const char *p, size_t n)
{
	if (c->kept != NULL)
		memcpy(c->kept + (c->size - c->left), p, n);
	c->left -= n;
}

/* What head holds, as far as it goes. */
static bool
parse(struct conn *c)
{
	for (;;) {
		if (!c->in_body) {
			c->head[c->len] = '\0';
			char *end = strstr(c->head, "\r\n\r\n");
			if (end == NULL)
				return c->len < HEAD_MAX;
			*end = '\0';
			size_t used = (size_t)(end - c->head) + 4;
			if (!read_head(c))
				return false;
			c->len -= used;
			memmove(c->head, c->head + used, c->len);
		}
		size_t n = c->len < c->left ? c->len : (size_t)c->left;
		take(c, c->head, n);
		c->len -= n;
		memmove(c->head, c->head + n, c->len);
		if (c->left > 0)
			break;
		handle(c);
		free(c->kept);
		c->kept = NULL;
		c->in_body = false;
	}
	if (c->kept == NULL)
		wake_at(c, c->left);
	return true;
}

static bool
go_on(struct conn *c)
{
	ssize_t n;

	if (c->in_body && c->kept == NULL) {
		/* Without a place to put it, the kernel lets it go. */
		n = recv(c->fd, NULL, c->left, MSG_TRUNC | MSG_DONTWAIT);
		if (n <= 0)
			return false;
		c->left -= (uint64_t)n;
		wake_at(c, c->left);
		return c->left > 0 || parse(c);
	}
	n = recv(c->fd, c->head + c->len, HEAD_MAX - c->len, MSG_DONTWAIT);
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	return parse(c);
}

int
main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0), s = socket(AF_INET, SOCK_STREAM, 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ep < 0 || s < 0 || bind(s, (struct sockaddr *)&a, len) != 0 ||
	    listen(s, 64) != 0 ||
	    getsockname(s, (struct sockaddr *)&a, &len) != 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, s, &e) != 0)
		die("sink");
	printf("%d\n", ntohs(a.sin_port));
	while (epoll_wait(ep, &e, 1, -1) == 1) {
		struct conn *c = e.data.ptr;
		if (c == NULL) {
			c = calloc(1, sizeof(*c));
			if (c == NULL || (c->fd = accept(s, NULL, NULL)) < 0)
				die("sink: accept");
			e = (struct epoll_event){ .events = EPOLLIN,
				.data.ptr = c };
			epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
		} else if (!go_on(c)) {
			close(c->fd);
			free(c->kept);
			free(c);
		}
	}
	die("sink: epoll_wait");
}
