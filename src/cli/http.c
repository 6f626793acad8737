/*
 * The daemon's client: to a URL or over a Unix socket, one call at a time.
 * stream.c follows what it sends on and on; away.c is for when it is not there.
 */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "rekindle/http.h"

#define DEFAULT_URL     "http://127.0.0.1:7450"
#define DEFAULT_SOCKET  "/run/rekindle/rekindled.sock"
#define REPLY_MAX       (256u << 20)
#define TRIES           4
#define CALL_MS         150000
#define LOOK_MS         30000   /* one look of a watch */
#define SOON_MS         9000
#define FETCH_MS        600000  /* without a byte: the daemon may have to
                                   fetch it first */

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

static void
take(void *ctx, const struct http_answer *a)
{
	struct cli_ended *e = ctx;
	const char *draining = http_header(a, "Rekindle-Draining");
	const char *etag = http_header(a, "ETag");

	e->end = a->end;
	e->status = a->status;
	e->ms = a->ms;
	snprintf(e->error, sizeof(e->error), "%s", a->error);
	snprintf(e->draining, sizeof(e->draining), "%s",
	    draining != NULL ? draining : "");
	snprintf(e->etag, sizeof(e->etag), "%s", etag != NULL ? etag : "");
	e->sunk = a->sunk;
	if (e->body != NULL) {
		sb_reset(e->body);
		sb_add(e->body, a->body, a->len);
	}
}

/* The daemon is on this machine: a proxy would only be in the way. */
void
cli_perform(const char *method, const char *path, const char *const *headers,
    const char *body, http_chunk_fn *chunk, void *cctx, int64_t total_ms,
    struct cli_ended *e)
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

void
cli_fetch(const char *path, int fd, uint64_t at, struct cli_ended *e)
{
	char range[48], *url = xasprintf("%s%s", base_url, path);
	const char *headers[] = { at > 0 ? range : NULL, NULL };

	snprintf(range, sizeof(range), "Range: bytes=%llu-",
	    (unsigned long long)at);
	const struct http_request r = { .method = "GET", .url = url,
	    .headers = headers, .body_fd = -1, .sink_fd = fd,
	    .sink_status = at > 0 ? 206 : 200, .sink_at = at,
	    .sink_size = UINT64_MAX - at, .slow = 1, .slow_ms = FETCH_MS,
	    .unix_socket = socket_path, .no_proxy = true, .done = take,
	    .ctx = e };
	http_now(&r, NULL, NULL);
	free(url);
}

/* Not so when the time to connect ran out. */
static bool
worth_another_try(const struct cli_ended *e)
{
	return e->end == HTTP_BROKEN ||
	    (e->end == HTTP_NO_CONNECTION && e->ms < SOON_MS);
}

/* A service's socket may be one for a group alone. */
static const char *
kept_out(void)
{
	static char text[256];
	struct stat st;
	const struct group *g;

	if (stat(socket_path, &st) != 0)
		return "you may not enter its folder";
	g = getgrgid(st.st_gid);
	snprintf(text, sizeof(text), "you may not use this socket: its mode is "
	    "%04o (socket_mode of rekindled.yaml) and its group %s",
	    (unsigned)st.st_mode & 0777, g != NULL ? g->gr_name : "has no name");
	return text;
}

const char *
cli_why_unreachable(const struct cli_ended *e)
{
	/* libcurl speaks of a port, also where there is none. */
	if (socket_path != NULL && e->end == HTTP_NO_CONNECTION)
		return access(socket_path, F_OK) != 0 ?
		    "there is no such socket" :
		    access(socket_path, R_OK | W_OK) != 0 ?
		    kept_out() :
		    "nobody listens on this socket";
	return e->error;
}

enum cli_exit
cli_unreachable(const char *why)
{
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

/* Has the sentence before the list said this fault already? */
static bool
is_said(const char *detail, const json_t *fault)
{
	const char *path = cli_str(fault, "path");
	size_t n = strlen(path);

	if (n > 0 && strncmp(detail, path, n) == 0 &&
	    strncmp(detail + n, ": ", 2) == 0)
		detail += n + 2;
	return strcmp(detail, cli_str(fault, "message")) == 0;
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
	if (json_array_size(list) == 1 &&
	    is_said(detail, json_array_get(list, 0)))
		return;
	json_array_foreach(list, i, e)
		fprintf(stderr, "  %s%s%s\n", cli_str(e, "path"),
		    *cli_str(e, "path") ? ": " : "", cli_str(e, "message"));
}

/* The body becomes r's. */
static void
fill(struct cli_reply *r, const struct cli_ended *e)
{
	r->status = e->status;
	memcpy(r->draining, e->draining, sizeof(r->draining));
	r->len = e->body->len;
	r->text = r->len > 0 ? sb_detach(e->body) : xstrdup("");
	sb_fini(e->body);
	if (r->len > 0 && (*r->text == '{' || *r->text == '[')) {
		/* Our own daemon's words, of any size: no limits of ours. */
		r->json = json_loadb(r->text, r->len, 0, NULL);
	}
}

static bool
is_good(const struct cli_reply *r)
{
	return r->status >= 200 && r->status < 300;
}

/* Some other program, or a proxy without a daemon behind it. */
static bool
is_strange(const struct cli_reply *r, bool plain)
{
	return r->json == NULL && (!is_good(r) || (r->len > 0 && !plain));
}

enum cli_exit
cli_judge(struct cli_reply *r, const struct cli_ended *e, bool plain)
{
	fill(r, e);
	if (is_strange(r, plain))
		return stranger(r);
	if (is_good(r))
		return CLI_OK;
	print_problem(r);
	return r->status == 404 ? CLI_NO_JOB : CLI_REFUSED;
}

/* What it says itself, where it says something. */
static const char *
not_ready(const struct cli_ended *e)
{
	static char text[CLI_WHY];
	json_t *o = json_loadb(sb_str(e->body), e->body->len, 0, NULL);
	const char *detail = cli_str(o, "detail");

	snprintf(text, sizeof(text), "it answers, and is not ready%s%s",
	    *detail != '\0' ? ": " : "", detail);
	json_decref(o);
	return text;
}

/* Says why it is worth waiting for another answer than this, or NULL: it is
 * final.  A daemon that was never there may be a wrong address: only who gives
 * --patience waits for one.  A daemon that drains, or has too many followers,
 * has said no. */
static const char *
not_yet(const struct cli_ended *e)
{
	static const char *const finals[] = { "/problems/draining",
	    "/problems/too-many-streams" };

	if (e->end == HTTP_NO_CONNECTION && cli_patience_asked())
		return cli_why_unreachable(e);
	if (e->end != HTTP_ANSWERED || e->status < 502 || e->status > 504)
		return NULL;
	for (size_t i = 0; i < RK_ARRAY_LEN(finals); i++) {
		if (strstr(sb_str(e->body), finals[i]) != NULL)
			return NULL;
	}
	return not_ready(e);
}

/* A few tries, for a connection that breaks. */
static void
ask(const char *method, const char *path, const char *const *headers,
    const char *text, struct cli_ended *e)
{
	for (int i = 0; i < TRIES; i++) {
		if (i > 0)
			usleep(150000u << i);
		cli_perform(method, path, headers, text, NULL, NULL, CALL_MS,
		    e);
		if (!worth_another_try(e))
			break;
		/* A daemon that is not there at all is not waited for. */
		if (e->end == HTTP_NO_CONNECTION && i == 0 &&
		    socket_path != NULL && access(socket_path, F_OK) != 0)
			break;
	}
}

enum cli_exit
cli_call(const char *method, const char *path, const json_t *body,
    struct cli_reply *r)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	char key[RK_ID], line[64 + RK_ID];
	const char *headers[] = { "Content-Type: application/json", "Expect:",
	    NULL, NULL }, *why;
	struct cli_away away = { .on = true, .since_ms = mono_ms() };
	struct strbuf b = {0};
	struct cli_ended e = { .body = &b };

	*r = (struct cli_reply){0};
	/* One key for all tries of a POST: it is done once. */
	if (strcmp(method, "POST") == 0) {
		rk_id_new(key);
		snprintf(line, sizeof(line), "Idempotency-Key: %s", key);
		headers[2] = line;
	}
	do {
		ask(method, path, headers, text, &e);
		why = not_yet(&e);
	} while (why != NULL && cli_away_wait(&away, why));
	free(text);
	if (e.end != HTTP_ANSWERED) {
		sb_fini(&b);
		r->text = xstrdup("");
		return cli_unreachable(cli_why_unreachable(&e));
	}
	return cli_judge(r, &e, strstr(path, "/log") != NULL ||
	    strstr(path, "/card") != NULL);
}

enum cli_look
cli_look(const char *path, struct cli_reply *r, char why[CLI_WHY])
{
	static const char *const headers[] = { "Rekindle-Watch: 1", NULL };
	struct strbuf b = {0};
	struct cli_ended e = { .body = &b };

	*r = (struct cli_reply){0};
	cli_perform("GET", path, headers, NULL, NULL, NULL, LOOK_MS, &e);
	if (e.end != HTTP_ANSWERED) {
		snprintf(why, CLI_WHY, "%s", cli_why_unreachable(&e));
		sb_fini(&b);
		return CLI_LOOK_NOBODY;
	}
	fill(r, &e);
	if (r->status == 404 && r->json != NULL)
		return CLI_LOOK_GONE;
	if (r->status == 200 && json_is_object(r->json))
		return CLI_LOOK_OK;
	const char *detail = cli_str(r->json, "detail");
	snprintf(why, CLI_WHY, "it answers with %ld%s%s", r->status,
	    *detail != '\0' ? ": " : "", detail);
	return CLI_LOOK_NOT_READY;
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
