/*
 * The daemon's client: to a URL or over a Unix socket, one call at a time.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "rekindle/http.h"

#define DEFAULT_URL     "http://127.0.0.1:7450"
#define DEFAULT_SOCKET  "/run/rekindle/rekindled.sock"
#define REPLY_MAX       (256u << 20)
#define TRIES           4
#define CALL_MS         150000
#define SOON_MS         9000

static char *base_url;          /* "http://127.0.0.1:7450" */
static char *socket_path;       /* or NULL */

void
cli_reply_fini(struct cli_reply *r)
{
	free(r->text);
	json_decref(r->json);
	*r = (struct cli_reply){0};
}

static void
use_socket(const char *path)
{
	free(socket_path);
	free(base_url);
	socket_path = xstrdup(path);
	base_url = xstrdup("http://localhost");
}

static bool
use_url(const char *url)
{
	const char *scheme = strstr(url, "://");

	if (scheme != NULL && strncmp(url, "http://", 7) != 0 &&
	    strncmp(url, "https://", 8) != 0) {
		fprintf(stderr, "rekindle: the server is \"%s\", want "
		    "http://HOST:PORT or a socket's path\n", url);
		return false;
	}
	free(socket_path);
	free(base_url);
	socket_path = NULL;
	base_url = scheme != NULL ? xstrdup(url) : xasprintf("http://%s", url);
	for (size_t n = strlen(base_url); n > 0 && base_url[n - 1] == '/'; n--)
		base_url[n - 1] = '\0';
	return true;
}

static bool
try_state_dir(const char *dir)
{
	char *path = xasprintf("%s/rekindled.sock", dir);
	bool there = access(path, F_OK) == 0;
	if (there)
		use_socket(path);
	free(path);
	return there;
}

/*
 * --server, then REKINDLE_SERVER, then the socket under REKINDLE_STATE_DIR,
 * then the one that the service makes, then the default port.
 */
bool
cli_server_set(const char *server)
{
	const char *dir = getenv("REKINDLE_STATE_DIR");

	if (server == NULL)
		server = getenv("REKINDLE_SERVER");
	if (server != NULL && *server != '\0') {
		if (strncmp(server, "unix:", 5) == 0)
			use_socket(server + 5);
		else if (*server == '/' || *server == '.')
			use_socket(server);
		else
			return use_url(server);
		return true;
	}
	if (dir != NULL && *dir != '\0' && try_state_dir(dir))
		return true;
	if (access(DEFAULT_SOCKET, F_OK) != 0)
		return use_url(DEFAULT_URL);
	use_socket(DEFAULT_SOCKET);
	return true;
}

const char *
cli_server_text(void)
{
	return socket_path != NULL ? socket_path : base_url;
}

/* How the last call ended, kept behind its answer. */
struct ended {
	enum http_end end;
	int status;
	int64_t ms;
	char error[256];
	struct strbuf *body;    /* where the body goes, or NULL */
};

static void
take(void *ctx, const struct http_answer *a)
{
	struct ended *e = ctx;

	e->end = a->end;
	e->status = a->status;
	e->ms = a->ms;
	snprintf(e->error, sizeof(e->error), "%s", a->error);
	if (e->body != NULL) {
		sb_reset(e->body);
		sb_add(e->body, a->body, a->len);
	}
}

/* The daemon is on this machine: a proxy would only be in the way. */
static void
perform(const char *method, const char *path, const char *const *headers,
    const char *body, http_chunk_fn *chunk, void *cctx, int64_t total_ms,
    struct ended *e)
{
	char *url = xasprintf("%s%s", base_url, path);
	const struct http_request r = { .method = method, .url = url,
	    .headers = headers, .body = body,
	    .body_len = body != NULL ? strlen(body) : 0, .body_fd = -1,
	    .sink_fd = -1, .max = REPLY_MAX, .total_ms = total_ms,
	    .unix_socket = socket_path, .no_proxy = true, .done = take,
	    .ctx = e };

	http_now(&r, chunk, cctx);
	free(url);
}

/* Not so when the time to connect ran out. */
static bool
worth_another_try(const struct ended *e)
{
	return e->end == HTTP_BROKEN ||
	    (e->end == HTTP_NO_CONNECTION && e->ms < SOON_MS);
}

static enum cli_exit
unreachable(const struct ended *e)
{
	const char *why = e->error;

	/* libcurl speaks of a port, also where there is none. */
	if (socket_path != NULL && e->end == HTTP_NO_CONNECTION)
		why = access(socket_path, F_OK) != 0 ?
		    "there is no such socket" :
		    access(socket_path, R_OK | W_OK) != 0 ?
		    "you may not use this socket" :
		    "nobody listens on this socket";
	fprintf(stderr, "rekindle: cannot reach rekindled at %s: %s\n"
	    "Is it running?  Say where with --server or REKINDLE_SERVER.\n",
	    cli_server_text(), why);
	return CLI_NO_SERVER;
}

/* Each answer of the daemon is JSON, but for empty ones and a job's log. */
static enum cli_exit
stranger(const struct cli_reply *r)
{
	fprintf(stderr, "rekindle: what answers at %s is no rekindled: %ld, and "
	    "no JSON\nSay where with --server or REKINDLE_SERVER.\n",
	    cli_server_text(), r->status);
	return CLI_NO_SERVER;
}

/* A problem document, as RFC 9457 has it, in words. */
static void
print_problem(const struct cli_reply *r)
{
	const json_t *e, *list = json_object_get(r->json, "errors");
	const char *detail = cli_str(r->json, "detail");
	const char *title = cli_str(r->json, "title");
	size_t i;

	fprintf(stderr, "rekindle: %s\n", *detail ? detail : *title ? title :
	    r->len > 0 && r->len < 500 ? r->text : "the daemon refused");
	json_array_foreach(list, i, e)
		fprintf(stderr, "  %s%s%s\n", cli_str(e, "path"),
		    *cli_str(e, "path") ? ": " : "", cli_str(e, "message"));
}

static enum cli_exit
finish(struct cli_reply *r, struct strbuf *b, bool plain)
{
	bool good = r->status >= 200 && r->status < 300;

	r->len = b->len;
	r->text = b->len > 0 ? sb_detach(b) : xstrdup("");
	sb_fini(b);
	if (r->len > 0 && (*r->text == '{' || *r->text == '[')) {
		/* Our own daemon's words, of any size: no limits of ours. */
		r->json = json_loadb(r->text, r->len, 0, NULL);
	}
	if (r->json == NULL && (!good || (r->len > 0 && !plain)))
		return stranger(r);
	if (good)
		return CLI_OK;
	print_problem(r);
	return r->status == 404 ? CLI_NO_JOB : CLI_REFUSED;
}

enum cli_exit
cli_call(const char *method, const char *path, const json_t *body,
    struct cli_reply *r)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	char key[RK_ID], line[64 + RK_ID];
	const char *headers[] = { "Content-Type: application/json", "Expect:",
	    NULL, NULL };
	struct strbuf b = {0};
	struct ended e = { .body = &b };

	*r = (struct cli_reply){0};
	/* One key for all tries of a POST: it is done once. */
	if (strcmp(method, "POST") == 0) {
		rk_id_new(key);
		snprintf(line, sizeof(line), "Idempotency-Key: %s", key);
		headers[2] = line;
	}
	for (int i = 0; i < TRIES; i++) {
		if (i > 0)
			usleep(150000u << i);
		perform(method, path, headers, text, NULL, NULL, CALL_MS, &e);
		if (!worth_another_try(&e))
			break;
		/* A daemon that is not there at all is not waited for. */
		if (e.end == HTTP_NO_CONNECTION && i == 0 &&
		    socket_path != NULL && access(socket_path, F_OK) != 0)
			break;
	}
	free(text);
	if (e.end != HTTP_ANSWERED) {
		sb_fini(&b);
		r->text = xstrdup("");
		return unreachable(&e);
	}
	r->status = e.status;
	return finish(r, &b, strstr(path, "/log") != NULL);
}

/* --- server-sent events -------------------------------------------------- */

struct stream {
	struct strbuf in, data, all;
	char id[64];
	cli_event_fn *fn;
	void *ctx;
	bool stopped, got;
	bool end;               /* the daemon has said that this is all */
};

static void
stream_line(struct stream *s, const char *p, size_t n)
{
	if (n == 0) {
		if (s->data.len > 0 && !s->stopped) {
			/* The newline behind the last data line is not part. */
			s->stopped = !s->fn(s->ctx, s->data.s, s->data.len - 1);
			s->got = true;
		}
		sb_reset(&s->data);
	} else if (n >= 5 && memcmp(p, "data:", 5) == 0) {
		size_t skip = n > 5 && p[5] == ' ' ? 6 : 5;
		sb_add(&s->data, p + skip, n - skip);
		sb_addc(&s->data, '\n');
	} else if (n >= 3 && memcmp(p, "id:", 3) == 0) {
		size_t skip = n > 3 && p[3] == ' ' ? 4 : 3;
		snprintf(s->id, sizeof(s->id), "%.*s", (int)(n - skip),
		    p + skip);
	} else if (n >= 9 && memcmp(p, ": the end", 9) == 0) {
		s->end = true;
	}
}

static bool
stream_take(void *ctx, const char *p, size_t n)
{
	struct stream *s = ctx;
	char *nl;

	sb_add(&s->in, p, n);
	while (!s->stopped && s->in.len > 0 &&
	    (nl = memchr(s->in.s, '\n', s->in.len)) != NULL) {
		size_t len = (size_t)(nl - s->in.s);
		bool cr = len > 0 && s->in.s[len - 1] == '\r';
		stream_line(s, s->in.s, cr ? len - 1 : len);
		sb_cut(&s->in, len + 1);
	}
	return !s->stopped;
}

/* Connect, from where we are, and take what comes until it ends. */
static void
stream_once(struct stream *s, const char *path, struct ended *e)
{
	const char *headers[] = { "Accept: text/event-stream", NULL, NULL };
	char line[96];

	if (*s->id != '\0') {
		snprintf(line, sizeof(line), "Last-Event-ID: %s", s->id);
		headers[1] = line;
	}
	s->got = false;
	sb_reset(&s->in);
	sb_reset(&s->data);
	perform("GET", path, headers, NULL, stream_take, s, 0, e);
}

enum cli_exit
cli_stream(const char *path, cli_event_fn *fn, void *ctx)
{
	struct stream s = { .fn = fn, .ctx = ctx };
	enum cli_exit ret = CLI_OK;
	int failures = 0;

	for (;;) {
		struct ended e = { .body = &s.all };
		stream_once(&s, path, &e);
		bool answered = e.end == HTTP_ANSWERED;
		if (s.stopped || s.end || (answered && e.status == 204))
			break;
		/* Without those words it was the daemon that ended: the next
		 * one goes on. */
		if (answered && e.status != 200) {
			struct cli_reply r = { .status = e.status };
			ret = finish(&r, &s.all, false);
			cli_reply_fini(&r);
			break;
		}
		failures = s.got ? 1 : failures + 1;
		if (failures > 20) {
			if (answered)
				snprintf(e.error, sizeof(e.error),
				    "the stream ends without a word");
			ret = unreachable(&e);
			break;
		}
		usleep(500000);
	}
	sb_fini(&s.in);
	sb_fini(&s.data);
	sb_fini(&s.all);
	return ret;
}

char *
cli_escape(const char *s)
{
	struct strbuf b = {0};

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || strchr("-._~", c) != NULL)
			sb_addc(&b, (char)c);
		else
			sb_addf(&b, "%%%02X", c);
	}
	return b.s != NULL ? sb_detach(&b) : xstrdup("");
}
