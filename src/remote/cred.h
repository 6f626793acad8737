/*
 * Credentials from inside.
 *
 *	cred.c           a source of keys: the newest set, who waits for it,
 *	                 when it is fetched anew
 *	cred_fetch.c     one fetch: goes along a chain, does the waiting
 *	cred_env.c       links of the chains: environment, web identity,
 *			 container
 *	cred_profile.c   profiles in files
 *	cred_machine.c   the role of an EC2 or ECS instance
 *	cred_process.c   a program that prints keys
 *	cred_secrets.c   the environment's secrets, out of others' sight
 *	cred_answer.c    keys out of JSON, XML and INI; words of a command line
 *
 * All of it runs on the loop; files are read by a worker.  A link is a function
 * that, now or later, ends in exactly one of fetch_next(), fetch_fail() and
 * fetch_got(); after calling one it touches the fetch no more.
 */
#ifndef REMOTE_CRED_H
#define REMOTE_CRED_H

#include "impl.h"

#define CREDS_TAG 0x63726564u
#define FETCH_TAG 0x66657463u

#define CRED_FILE_MAX   (1u << 20)      /* of a file with profiles */
#define CRED_TOKEN_MAX  16384           /* of any token */
#define CRED_VALUE_MAX  65536           /* of a value over several lines */
#define CRED_ANSWER_MAX 65536
#define FETCH_FILES     2

/* --- cred_answer.c ------------------------------------------------------- */

/* A new set, or NULL and a sentence: keys must be there, printable and of a
 * sensible length.  expires: as rk_time_parse() takes it; NULL or "": never. */
struct cred *cred_checked(const char *id, const char *secret,
    const char *token, const char *expires, char **why);

enum cred_form {
	FORM_AWS,               /* EC2, ECS: Token */
	FORM_PROCESS,           /* SessionToken, and Version must be 1 */
	FORM_ALIBABA,           /* AccessKeySecret, SecurityToken */
	FORM_ALIBABA_STS,       /* the same under Credentials */
};
struct cred *cred_of_json(const char *p, size_t n, enum cred_form form,
    char **why);
/* Of an AWS STS answer; also the error's code and message. */
struct cred *cred_of_xml(const char *p, size_t n, char **why);

/*
 * The value of a key in a section of an INI file as awscli reads it, by
 * Python's configparser: a new string, or NULL.  '=' or ':' is between key and
 * value, blanks around them do not count; '#' and ';' begin comments at the
 * beginning of a line only; names of keys know no case; what [DEFAULT] says is
 * said of every section.  A line that is indented more than the key before it
 * goes on with that one's value, "\n" between them: so one that begins with
 * "\n" is a nested block.  Others that are indented are keys like any.  Where
 * awscli refuses the file, as little as can be is passed over: of several keys
 * the last one counts.  key NULL: "" if there is such a section.
 */
char *ini_get(const char *text, const char *section, const char *key);
/* The value of a key in the block "key =\n  sub = value". */
char *ini_nested(const char *text, const char *section, const char *key,
    const char *sub);

/* A command line taken apart as a shell would, with quotes and backslashes and
 * nothing else.  NULL if there is no word or a quote stays open; the caller
 * gives it to words_free(). */
char **words_of(const char *line);
void words_free(char **words);

/* --- cred.c: the source -------------------------------------------------- */

struct creds_wait {
	struct creds_wait *next;
	creds_fn *fn;
	void *ctx;
};

struct creds {
	unsigned tag;
	struct loop *loop;
	struct http *http;
	bool oss;
	enum cred_kind kind;
	char *profile, *region, *metadata;
	char *said_region, *said_endpoint;

	struct cred *now;               /* the newest set, or NULL */
	bool refused;                   /* the store does not take it */
	bool file;                      /* it is of a file: look again */
	int64_t looked_ms;              /* when, mono */
	int64_t granted_ms;             /* how long it was good for then */
	int64_t stretch_ms;             /* served till then although expired */
	struct creds_wait *waiting, *answering;
	struct fetch *fetch;
	struct loop_timer *refresh;
	char *why;                      /* of the last failure */
	int64_t failed_ms;              /* when, mono */
	bool *gone;                     /* set when closed from a callback */

	/* cred_machine.c: the metadata service's own token */
	char *session;
	int64_t session_ms;             /* good until, mono */
};
/* A fetch has ended: c (taken) or NULL and a sentence (taken). */
void creds_fetched(struct creds *cs, struct cred *c, bool file, char *why);

/* --- cred_fetch.c -------------------------------------------------------- */

struct fetch;
typedef void fetch_link_fn(struct fetch *f);
typedef void fetch_http_fn(struct fetch *f, const struct http_answer *a);

struct fetch_files;
struct cred_process;
struct fetch {
	unsigned tag;
	struct creds *cs;
	int link;                       /* in the chain */
	struct strbuf why;              /* what each link said, "; " between */

	/* What it waits for. */
	struct http_call *call;
	fetch_http_fn *answered;
	struct fetch_files *files;
	fetch_link_fn *have_files;
	struct cred_process *process;
	struct loop_timer *timer;       /* before `again` */
	fetch_link_fn *again;
	int tries;                      /* left */

	/* Of files: their text, NULL where there is none; theirs to wipe. */
	char *text[FETCH_FILES];
	enum rk_err text_err[FETCH_FILES];
	bool text_open[FETCH_FILES];    /* others than the owner may read it */
	/* Between the steps of a link. */
	char *role, *url, *auth, *arn, *session_name;
	bool from_file, v1, renewed, bound;
};
struct fetch *fetch_new(struct creds *cs);
void fetch_free(struct fetch **fp);     /* without a word to cs */

void fetch_start(struct fetch *f);
void files_leave(struct fetch_files *j);         /* nobody waits for them */

/* There is nothing at this link; it was wrong, and the chain ends; it is c. */
void fetch_next(struct fetch *f, const char *fmt, ...) RK_PRINTF(2, 3);
void fetch_fail(struct fetch *f, const char *fmt, ...) RK_PRINTF(2, 3);
void fetch_got(struct fetch *f, struct cred *c);
/* c, or if it is NULL or has expired fetch_fail() with "from: why"; why is
 * freed. */
void fetch_take(struct fetch *f, struct cred *c, const char *from, char *why);

/* Ask; then(f, answer).  The body lives until then returns.  fetch_retry() asks
 * again in a second by f->again, if the answer may get better and there are
 * tries left: then the answer must not be looked at any more. */
void fetch_ask(struct fetch *f, const struct http_request *r,
    fetch_http_fn *then);
bool fetch_retry(struct fetch *f, const struct http_answer *a);
/* Read up to FETCH_FILES files (NULL: none) into f->text; then(f). */
void fetch_read(struct fetch *f, const char *a, const char *b,
    fetch_link_fn *then);
/* A token's file, one line without blanks around: a new string or NULL. */
char *fetch_line(struct fetch *f, int i);

/* cred_secrets.c: what remote_hide_secrets() took of the environment; NULL. */
const char *secret_env(const char *name);
/* An environment variable that is not empty, or NULL; is it "true"? */
const char *cred_env(const char *name);
bool cred_env_true(const char *name);
/* What the variable says, or $HOME/rest; "~/" at its beginning is $HOME.  A new
 * string, or NULL. */
char *cred_path(const char *variable, const char *rest);
/* A URL's authority is this machine or one of those that hand out container
 * credentials: http is allowed to them. */
bool cred_host_near(const char *url);

/* --- links --------------------------------------------------------------- */

fetch_link_fn link_aws_env, link_aws_web, link_aws_profile, link_aws_container,
    link_aws_machine;
fetch_link_fn link_oss_env, link_oss_oidc, link_oss_cli, link_oss_ini,
    link_oss_machine, link_oss_uri;
/* The keys of this machine's role; f->role, if it is set, names it. */
void machine_ask(struct fetch *f);
/* Exchange the token in a file for keys. */
void web_ask(struct fetch *f, const char *file, const char *role,
    const char *session_name);
/* The name of the profile that is asked for; *said: by a person. */
const char *profile_name(const struct creds *cs, bool *said);
/* Read at the start what files and environment say of region and endpoint. */
void profile_places(struct creds *cs);

/* Run a command line; the keys it prints, then as fetch_take().  It has so many
 * milliseconds: a minute, but tests have less patience. */
extern int64_t cred_process_ms;
void process_run(struct fetch *f, const char *line);
void process_free(struct cred_process **pp);

#endif
