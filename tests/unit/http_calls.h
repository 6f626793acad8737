/*
 * An engine against http_server.h's server in the same process, and calls that
 * keep how they ended.
 *
 *	open_plain();
 *	struct got g = perform(get("/status/200"));
 *	t_eq_str(g.body, "status 200");
 *	close_all();
 */
#ifndef HTTP_CALLS_H
#define HTTP_CALLS_H

#include <fcntl.h>
#include <sys/stat.h>

#include "http_server.h"
#include "rekindle/http.h"
#include "u_loop.h"

/* A name that is too long for any resolver to be asked. */
#define X32     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define NOWHERE X32 X32 ".invalid"

static struct loop *l;
static struct http *h;

static inline void
open_all(const struct http_config *c)
{
	static const char *const proxies[] = { "http_proxy", "all_proxy",
	    "ALL_PROXY", "no_proxy", "NO_PROXY" };

	for (size_t i = 0; i < RK_ARRAY_LEN(proxies); i++)
		unsetenv(proxies[i]);
	server_start();
	t_eq_int(loop_open(&l), RK_OK);
	t_eq_int(http_open(&h, l, c), RK_OK);
}

static inline void
open_plain(void)
{
	open_all(&(struct http_config){0});
}

static inline void
close_all(void)
{
	http_close(&h);
	t_check(h == NULL);
	loop_close(&l);
}

/* --- how calls ended ----------------------------------------------------- */

/* Of several calls the last; the bodies of the last few are kept. */
struct got {
	int calls, answered;
	enum http_end end;
	enum rk_err err;
	int status;
	char error[256], header[256];   /* of X-Test: "-" if there is none */
	const char *body;
	size_t len;
	uint64_t sent, sunk;
	int64_t ms;
};

static inline const char *
keep_body(const struct http_answer *a)
{
	static char *kept[8];
	static unsigned n;
	char **b = &kept[n++ % RK_ARRAY_LEN(kept)];

	t_check(a->body[a->len] == '\0');
	free(*b);
	*b = xmalloc(a->len + 1);
	memcpy(*b, a->body, a->len + 1);
	return *b;
}

static inline void
ended(void *ctx, const struct http_answer *a)
{
	struct got *g = ctx;
	const char *v = http_header(a, "x-test");

	g->calls++;
	g->answered += a->end == HTTP_ANSWERED;
	g->end = a->end;
	g->err = a->err;
	g->status = a->status;
	g->body = keep_body(a);
	g->len = a->len;
	g->sent = a->sent;
	g->sunk = a->sunk;
	g->ms = a->ms;
	snprintf(g->error, sizeof(g->error), "%s", a->error);
	snprintf(g->header, sizeof(g->header), "%s", v != NULL ? v : "-");
}

/* --- requests ------------------------------------------------------------ */

static inline const char *
url(const char *path)
{
	static char u[8][512];
	static int i;

	i = (i + 1) % 8;
	snprintf(u[i], sizeof(u[i]), "http://127.0.0.1:%d%s", server.port,
	    path);
	return u[i];
}

static inline struct http_request
get(const char *path)
{
	return (struct http_request){ .method = "GET", .url = url(path),
	    .body_fd = -1, .sink_fd = -1, .no_proxy = true, .done = ended };
}

/* An answer of that status goes into the file. */
static inline struct http_request
get_into(int fd, const char *path, int status, uint64_t size)
{
	struct http_request r = get(path);

	r.sink_fd = fd;
	r.sink_status = status;
	r.sink_size = size;
	return r;
}

/* So much of the file goes out. */
static inline struct http_request
put_from(int fd, const char *path, uint64_t size)
{
	struct http_request r = get(path);

	r.method = "PUT";
	r.body_fd = fd;
	r.body_size = size;
	return r;
}

static inline struct http_call *
send_for(struct got *g, struct http_request r)
{
	r.ctx = g;
	return http_send(h, &r);
}

static inline struct got
perform(struct http_request r)
{
	struct got g = {0};

	(void)send_for(&g, r);
	run_until(l, g.calls > 0);
	t_eq_int(g.calls, 1);
	return g;
}

/* --- files --------------------------------------------------------------- */

/* A file of n bytes as the server has them. */
static inline int
file_of(const char *name, uint64_t n)
{
	int fd = open(name, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	static char buf[1 << 16];

	t_check(fd >= 0);
	for (uint64_t at = 0; at < n;) {
		size_t k = 0;
		while (k < sizeof(buf) && at < n)
			buf[k++] = (char)server_byte(at++);
		t_check(rk_write_all(fd, buf, k) == 0);
	}
	return fd;
}

static inline int64_t
size_of(const char *name)
{
	struct stat st;

	t_check(stat(name, &st) == 0);
	return st.st_size;
}

/* The sum of byte * place, as /put answers it. */
static inline char *
sum_of(uint64_t from, uint64_t n)
{
	unsigned long long sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += server_byte(from + i) * (i + 1);
	return xasprintf("%llu %llu", (unsigned long long)n, sum);
}

#endif
