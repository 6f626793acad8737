/*
 * One fetch: along the chain, link by link, until one has keys.
 *
 * It waits for at most one thing at a time: an answer, files, a program, or a
 * second to pass.  fetch_free() lets go of whichever it is.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cred.h"

#define AGAIN_MS 1000
#define WHY_MAX  800

/* --- the chains ---------------------------------------------------------- */

struct link {
	enum cred_kind kind;    /* by which it can be asked for alone */
	fetch_link_fn *fn;
};
static const struct link aws_links[] = {
	{ CRED_ENVIRONMENT, link_aws_env },
	{ CRED_WEB_IDENTITY, link_aws_web },
	{ CRED_PROFILE, link_aws_profile },
	{ CRED_CONTAINER, link_aws_container },
	{ CRED_INSTANCE, link_aws_machine },
	{ CRED_AUTO, NULL },
};
static const struct link oss_links[] = {
	{ CRED_ENVIRONMENT, link_oss_env },
	{ CRED_WEB_IDENTITY, link_oss_oidc },
	{ CRED_PROFILE, link_oss_cli },
	{ CRED_PROFILE, link_oss_ini },
	{ CRED_INSTANCE, link_oss_machine },
	{ CRED_CONTAINER, link_oss_uri },
	{ CRED_AUTO, NULL },
};

static void
wipe_free(char **s)
{
	if (*s != NULL)
		rk_wipe(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

static void
forget_step(struct fetch *f)
{
	char **all[] = { &f->role, &f->url, &f->auth, &f->arn,
	    &f->session_name };

	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		wipe_free(all[i]);
	for (int i = 0; i < FETCH_FILES; i++)
		wipe_free(&f->text[i]);
	f->from_file = f->v1 = f->renewed = f->bound = false;
}

/* The next link that is wanted, from f->link on. */
static void
go(struct fetch *f)
{
	const struct link *l = f->cs->oss ? oss_links : aws_links;

	for (l += f->link; l->fn != NULL; l++, f->link++) {
		if (f->cs->kind == CRED_AUTO || f->cs->kind == l->kind) {
			l->fn(f);
			return;
		}
	}
	struct creds *cs = f->cs;
	char *why = xasprintf("no credentials: %s", sb_str(&f->why));
	fetch_free(&cs->fetch);
	creds_fetched(cs, NULL, false, why);
}

static void
on_again(void *ctx)
{
	struct fetch *f = ctx;

	must_be(f, FETCH_TAG);
	f->again(f);
}

struct fetch *
fetch_new(struct creds *cs)
{
	struct fetch *f = xcalloc(1, sizeof(*f));

	f->tag = FETCH_TAG;
	f->cs = cs;
	f->timer = loop_timer_add(cs->loop, on_again, f);
	return f;
}

/* In the next round: so nobody is answered while the source is still being
 * asked. */
void
fetch_start(struct fetch *f)
{
	must_be(f, FETCH_TAG);
	f->again = go;
	loop_timer_at(f->timer, 0);
}

void
fetch_free(struct fetch **fp)
{
	struct fetch *f = *fp;

	if (f == NULL)
		return;
	must_be(f, FETCH_TAG);
	*fp = NULL;
	http_cancel(&f->call);
	if (f->files != NULL)
		files_leave(f->files);
	process_free(&f->process);
	loop_timer_del(&f->timer);
	forget_step(f);
	sb_fini(&f->why);
	f->tag = 0;
	free(f);
}

void
fetch_next(struct fetch *f, const char *fmt, ...)
{
	va_list ap;

	must_be(f, FETCH_TAG);
	if (f->why.len > 0 && f->why.len < WHY_MAX)
		sb_adds(&f->why, "; ");
	va_start(ap, fmt);
	if (f->why.len < WHY_MAX)
		sb_vaddf(&f->why, fmt, ap);
	va_end(ap);
	forget_step(f);
	f->link++;
	go(f);
}

void
fetch_fail(struct fetch *f, const char *fmt, ...)
{
	struct creds *cs = f->cs;
	struct strbuf b = {0};
	va_list ap;

	must_be(f, FETCH_TAG);
	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	fetch_free(&cs->fetch);
	creds_fetched(cs, NULL, false, rk_text_clean(sb_detach(&b)));
}

void
fetch_got(struct fetch *f, struct cred *c)
{
	struct creds *cs = f->cs;
	bool file = f->from_file;

	must_be(f, FETCH_TAG);
	fetch_free(&cs->fetch);
	creds_fetched(cs, c, file, NULL);
}

void
fetch_take(struct fetch *f, struct cred *c, const char *from, char *why)
{
	if (c != NULL && c->expires_ms != 0 && c->expires_ms <= now_ms()) {
		cred_unref(&c);
		fetch_fail(f, "%s: the keys have expired", from);
	} else if (c != NULL) {
		fetch_got(f, c);
	} else {
		fetch_fail(f, "%s: %s", from, why);
	}
	free(why);
}

/* --- asking -------------------------------------------------------------- */

static void
on_answer(void *ctx, const struct http_answer *a)
{
	struct fetch *f = ctx;

	must_be(f, FETCH_TAG);
	f->call = NULL;
	f->answered(f, a);
}

void
fetch_ask(struct fetch *f, const struct http_request *r, fetch_http_fn *then)
{
	struct http_request own = *r;

	must(f->call == NULL);
	own.body_fd = own.sink_fd = -1;
	own.max = CRED_ANSWER_MAX;
	own.done = on_answer;
	own.ctx = f;
	f->answered = then;
	f->call = http_send(f->cs->http, &own);
}

bool
fetch_retry(struct fetch *f, const struct http_answer *a)
{
	if (a->end == HTTP_ANSWERED && a->status != 429 && a->status < 500)
		return false;
	if (a->end == HTTP_NO_TRUST || a->end == HTTP_BAD_REQUEST ||
	    a->end == HTTP_TOO_LONG || --f->tries <= 0)
		return false;
	loop_timer_at(f->timer, mono_ms() + AGAIN_MS);
	return true;
}

/* --- files --------------------------------------------------------------- */

/* Read by a worker; the fetch may be gone before it is through.  All of them
 * are on a list, for a loop that closes drops what is in its queues. */
struct fetch_files {
	struct fetch_files *next, **prev;
	struct fetch *f;                /* NULL: nobody waits */
	char *path[FETCH_FILES], *text[FETCH_FILES];
	enum rk_err err[FETCH_FILES];
	bool open[FETCH_FILES];
};
static struct fetch_files *all_files;

static void
files_read(void *ctx)
{
	struct fetch_files *j = ctx;

	for (int i = 0; i < FETCH_FILES; i++) {
		size_t n;
		struct stat st;
		j->err[i] = j->path[i] == NULL ? RK_ENOENT : rk_read_file(
		    AT_FDCWD, j->path[i], CRED_FILE_MAX, &j->text[i], &n);
		j->open[i] = j->err[i] == RK_OK && stat(j->path[i], &st) == 0 &&
		    (st.st_mode & 077) != 0;
	}
}

static void
files_done(void *ctx)
{
	struct fetch_files *j = ctx;
	struct fetch *f = j->f;

	*j->prev = j->next;
	if (j->next != NULL)
		j->next->prev = j->prev;
	for (int i = 0; i < FETCH_FILES; i++) {
		if (f != NULL) {
			wipe_free(&f->text[i]);
			f->text[i] = j->text[i];
			f->text_err[i] = j->err[i];
			f->text_open[i] = j->open[i];
			j->text[i] = NULL;
		}
		wipe_free(&j->text[i]);
		free(j->path[i]);
	}
	free(j);
	if (f == NULL)
		return;
	must_be(f, FETCH_TAG);
	f->files = NULL;
	f->have_files(f);
}

void
files_leave(struct fetch_files *j)
{
	j->f = NULL;
}

void
fetch_read(struct fetch *f, const char *a, const char *b, fetch_link_fn *then)
{
	struct fetch_files *j = xcalloc(1, sizeof(*j));

	must(f->files == NULL);
	j->f = f;
	j->path[0] = a != NULL ? xstrdup(a) : NULL;
	j->path[1] = b != NULL ? xstrdup(b) : NULL;
	if ((j->next = all_files) != NULL)
		j->next->prev = &j->next;
	j->prev = &all_files;
	all_files = j;
	f->files = j;
	f->have_files = then;
	loop_work(f->cs->loop, files_read, files_done, j);
}

char *
fetch_line(struct fetch *f, int i)
{
	const char *s = f->text[i];

	if (s == NULL)
		return NULL;
	s += strspn(s, " \t\r\n");
	size_t n = strlen(s);
	while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL)
		n--;
	if (n == 0 || n > CRED_TOKEN_MAX || strcspn(s, "\r\n") < n)
		return NULL;
	return xstrndup(s, n);
}

/* --- environment --------------------------------------------------------- */

const char *
cred_env(const char *name)
{
	const char *s = secret_env(name);

	if (s == NULL)
		s = getenv(name);
	return s != NULL && *s != '\0' ? s : NULL;
}

bool
cred_env_true(const char *name)
{
	const char *s = cred_env(name);

	return s != NULL && strcasecmp(s, "true") == 0;
}

char *
cred_path(const char *variable, const char *rest)
{
	const char *said = variable != NULL ? cred_env(variable) : NULL;
	const char *home = cred_env("HOME");

	if (said != NULL && strncmp(said, "~/", 2) != 0)
		return xstrdup(said);
	if (home == NULL)
		return NULL;
	return xasprintf("%s/%s", home, said != NULL ? said + 2 : rest);
}

bool
cred_host_near(const char *url)
{
	static const char *const near[] = { "localhost", "169.254.170.2",
	    "169.254.170.23", "[::1]", "[fd00:ec2::23]" };
	const char *p = strstr(url, "://");
	struct in_addr v4;

	if (p == NULL)
		return false;
	p += 3;
	size_t n = strcspn(p, "/?#");
	if (memchr(p, '@', n) != NULL)
		return false;
	size_t host = *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":/?#");
	if (host > n || (p[host] != ':' && host != n))
		return false;
	char *name = xstrndup(p, host);
	bool ok = inet_pton(AF_INET, name, &v4) == 1 &&
	    ntohl(v4.s_addr) >> 24 == 127;
	for (size_t i = 0; !ok && i < RK_ARRAY_LEN(near); i++)
		ok = strcasecmp(name, near[i]) == 0;
	free(name);
	return ok;
}
