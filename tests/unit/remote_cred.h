/*
 * Sources of keys in tests: one loop and engine, an environment with nothing of
 * ours in it, and a stand-in for the services that hand out keys, started as a
 * program (tests/outside/metadata.py says what it does).
 *
 * It hands out AKID, HUSH and TOKEN.  Every secret here begins with HUSH or is
 * spelled as oddly as a file can have it: no sentence may repeat it.
 */
#ifndef T_REMOTE_CRED_H
#define T_REMOTE_CRED_H

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "cred.h"
#include "u_loop.h"

static struct loop *l;
static struct http *h;

/* --- the world ----------------------------------------------------------- */

static inline void
clean_env(void)
{
	extern char **environ;
	static const char *const ours[] = { "AWS_", "OSS_", "ALIBABA_" };

	for (char **e = environ; *e != NULL;) {
		char name[256];
		bool drop = strcasestr(*e, "proxy") != NULL;
		for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++)
			drop |= strncmp(*e, ours[i], strlen(ours[i])) == 0;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="),
		    *e);
		if (drop)
			unsetenv(name);
		else
			e++;
	}
	char dir[1000];
	t_check(getcwd(dir, sizeof(dir)) != NULL);
	setenv("HOME", dir, 1);
}

static inline void
open_all(void)
{
	clean_env();
	t_eq_int(loop_open(&l), RK_OK);
	t_eq_int(http_open(&h, l, &(struct http_config){0}), RK_OK);
}

static inline void
close_all(void)
{
	http_close(&h);
	loop_close(&l);
}

static inline void
write_file(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	t_check(fd >= 0 && rk_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

/* --- the services -------------------------------------------------------- */

#define AWS_ROLE "/latest/meta-data/iam/security-credentials/"
#define OSS_ROLE "/latest/meta-data/ram/security-credentials/"

static char service[64];        /* http://127.0.0.1:PORT, or "" */
static char script[4096];
static char *said;              /* its last answer to us */

/* Cases run elsewhere: where the tree is, is known before them. */
__attribute__((constructor)) static void
find_script(void)
{
	char dir[3000] = "";

	if (getcwd(dir, sizeof(dir)) != NULL)
		snprintf(script, sizeof(script),
		    "%s/tests/outside/metadata.py", dir);
}

/* It ends with the case's process. */
static inline void
start_service(void)
{
	int out[2], in[2];

	if (access(script, R_OK) != 0)
		t_skip("no stand-in: run it from the tree's root");
	t_check(pipe(out) == 0 && pipe2(in, O_CLOEXEC) == 0);
	fflush(NULL);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("python3", "python3", script, NULL);
		_exit(77);
	}
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	if (f == NULL || fgets(service, sizeof(service), f) == NULL)
		t_skip("no python3");
	service[strcspn(service, "\n")] = '\0';
	fclose(f);
}

static inline void
on_control(void *ctx, const struct http_answer *a)
{
	(void)ctx;
	if (a->status != 200)
		t_fail("control: %d %s", a->status, a->error);
	free(said);
	said = xstrndup(a->body, a->len);
}

static inline void
control(const char *method, const char *query)
{
	char *url = xasprintf("%s/_ctl%s", service, query);
	struct http_request r = { .method = method, .url = url, .body_fd = -1,
	    .sink_fd = -1, .no_proxy = true, .done = on_control };

	http_now(&r, NULL, NULL);
	free(url);
}

/* "lifetime=60&fail=2" */
static inline void
set(const char *knobs)
{
	char *query = xasprintf("?%s", knobs);

	control("POST", query);
	free(query);
}

/* How often it was asked for "GET /ecs". */
static inline int
count(const char *what)
{
	json_t *t;

	control("GET", "");
	t_eq_int(rkj_parse_json(said, strlen(said), &t, NULL), RK_OK);
	int n = (int)json_integer_value(json_object_get(json_object_get(t,
	    "counts"), what));
	json_decref(t);
	return n;
}

/* The variable has the address of one of its paths. */
static inline void
setenv_at(const char *variable, const char *path)
{
	char *url = xasprintf("%s%s", service, path);

	setenv(variable, url, 1);
	free(url);
}

/* --- sources ------------------------------------------------------------- */

enum cloud { AWS, OSS };

static inline struct creds *
open_creds(enum cloud cloud, enum cred_kind kind)
{
	struct creds_config c = { .oss = cloud == OSS, .kind = kind,
	    .id = "FIXED", .secret = "fixed",
	    .metadata_url = *service ? service : NULL };

	return creds_open(l, h, &c);
}

struct got {
	int calls;
	char id[64], secret[64], token[64], why[1024];
	struct cred *c;
};
static struct got g;            /* by the functions below */

static inline void
on_keys(void *ctx, struct cred *c, const char *why)
{
	struct got *got = ctx;

	got->calls++;
	snprintf(got->id, sizeof(got->id), "%s", c != NULL ? c->id : "-");
	snprintf(got->secret, sizeof(got->secret), "%s",
	    c != NULL ? c->secret : "-");
	snprintf(got->token, sizeof(got->token), "%s",
	    c != NULL ? c->token : "-");
	snprintf(got->why, sizeof(got->why), "%s", why);
	cred_unref(&got->c);
	got->c = c;
	/* Whatever went wrong, no key is told. */
	t_check(strstr(got->why, "HUSH") == NULL);
}

/* A second between two tries is over at once. */
static bool hurried;
static inline void
hurry(struct creds *cs)
{
	struct fetch *f = cs->fetch;

	if (hurried && f != NULL && f->call == NULL && f->files == NULL &&
	    f->process == NULL)
		loop_timer_at(f->timer, 0);
}

static inline void
get(struct creds *cs)
{
	int before = g.calls;

	creds_get(cs, on_keys, &g);
	run_until(l, (hurry(cs), g.calls > before));
	t_eq_int(g.calls, before + 1);
}

static inline void
expect(struct creds *cs, const char *id, const char *secret, const char *token)
{
	get(cs);
	if (strcmp(g.id, id) != 0)
		t_fail("id is %s, want %s: %s", g.id, id, g.why);
	t_eq_str(g.secret, secret);
	t_eq_str(g.token, token);
	t_eq_str(g.why, "");
	cred_unref(&g.c);
}

static inline void
expect_none(struct creds *cs, const char *why)
{
	get(cs);
	t_eq_str(g.id, "-");
	t_has(g.why, why);
}

/* The store does not take the keys that there are. */
static inline void
refuse(struct creds *cs)
{
	get(cs);
	t_check(g.c != NULL);
	creds_expired(cs, g.c);
}

/* A new source of that kind gives these keys, or none for this reason. */
static inline void
gives(enum cloud cloud, enum cred_kind kind, const char *id,
    const char *secret, const char *token)
{
	struct creds *cs = open_creds(cloud, kind);

	expect(cs, id, secret, token);
	creds_close(&cs);
}

static inline void
gives_none(enum cloud cloud, enum cred_kind kind, const char *why)
{
	struct creds *cs = open_creds(cloud, kind);

	expect_none(cs, why);
	creds_close(&cs);
}

#endif
