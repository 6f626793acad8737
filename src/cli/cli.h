/*
 * cli - inside the program rekindle: one file a group of commands over one
 * HTTP client.  Everything that goes wrong is said once, on stderr, and is an
 * exit code.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "rekindle/http.h"
#include "rekindle/json.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_REFUSED = 1,        /* the daemon said no, or could not */
	CLI_USAGE = 2,
	CLI_NO_SERVER = 3,      /* no daemon could be reached */
	CLI_NO_JOB = 4,         /* no such job, or more than one */
	CLI_JOB_FAILED = 5,     /* watched, and it ended failed or cancelled */
	CLI_PERSON = 6,         /* watched, and it waits for a person */
	CLI_MACHINE = 7,        /* watched, and its machine was drained or taken
	                           away: it is saved and queued */
};

/* A command's words, taken apart by cli_args(). */
#define CLI_WORDS 1000
struct cli_args {
	const char *pos[CLI_WORDS];     /* what is not an option */
	int npos;
	bool json, follow, watch, hold, hint, rehearse, resume, plan, all;
	bool dry_run, statistics;
	const char *to, *out, *arch, *job;      /* of weights convert */
	bool as_is, force;
	const char *name, *from, *state, *label, *split, *member, *part;
	int64_t limit, tail, deadline, patience;        /* -1: not given */
	char **set;             /* PATH=VALUE, nset of them */
	int nset;
	const char **accept;    /* naccept words */
	int naccept;
	/* of models: */
	const char *alias, *author, *notes, *note, *if_better, *format,
	    *metric, *sort;
	bool no_optimizer;
	const char **labels;    /* nlabels of KEY=VALUE */
	int nlabels;
};

/* --- http.c -------------------------------------------------------------- */

struct cli_reply {
	long status;
	char *text;             /* body, NUL-terminated; never NULL */
	size_t len;
	json_t *json;           /* when the body is JSON; else NULL */
	char draining[24];      /* why the daemon takes no work, "" if it
				   does */
};
void cli_reply_fini(struct cli_reply *r);

/* Say where the daemon is: a URL or a socket's path; NULL: look for it (--help
 * says where).  False: it is neither, which has been printed. */
bool cli_server_set(const char *server);
const char *cli_server_text(void);

/*
 * One request.  body may be NULL; it goes out as JSON.  A POST carries an
 * Idempotency-Key and is tried again when the connection breaks.  CLI_OK for
 * 2xx; else what was wrong has been printed.  With patience (below) a daemon
 * that answers but is not ready is waited for.
 */
enum cli_exit cli_call(const char *method, const char *path,
    const json_t *body, struct cli_reply *r);

/* One GET of a thing, tried once, without a word.  why: a sentence, unless it
 * is there or gone.  r is to be freed in any case. */
#define CLI_WHY 256
enum cli_look {
	CLI_LOOK_OK,
	CLI_LOOK_GONE,          /* 404 */
	CLI_LOOK_NOT_READY,     /* another answer, or a stranger's */
	CLI_LOOK_NOBODY,
};
enum cli_look cli_look(const char *path, struct cli_reply *r,
    char why[CLI_WHY]);

/* How a call ended, kept behind its answer: for http.c and stream.c. */
struct cli_ended {
	enum http_end end;
	int status;
	int64_t ms;
	char error[256], draining[24], etag[96];
	uint64_t sunk;          /* of cli_fetch() */
	struct strbuf *body;    /* where the body goes, or NULL */
};
void cli_perform(const char *method, const char *path,
    const char *const *headers, const char *body, http_chunk_fn *chunk,
    void *cctx, int64_t total_ms, struct cli_ended *e);
/* GET a file into fd, from byte `at` of it on; e->sunk bytes came, also where
 * it broke off.  The status is 200, or 206 where `at` is not 0; of any other
 * the body is an answer. */
void cli_fetch(const char *path, int fd, uint64_t at, struct cli_ended *e);
const char *cli_why_unreachable(const struct cli_ended *e);
enum cli_exit cli_unreachable(const char *why);         /* printed */
/* Into r, and printed unless it is 2xx.  plain: it need not be JSON. */
enum cli_exit cli_judge(struct cli_reply *r, const struct cli_ended *e,
    bool plain);

/* --- stream.c ------------------------------------------------------------ */

/* A stream of server-sent events: fn gets each `data` once, until the daemon
 * ends the stream or fn returns false.  Over a restart of the daemon it goes on
 * behind the last one (Last-Event-ID). */
typedef bool cli_event_fn(void *ctx, const char *data, size_t len);
enum cli_exit cli_stream(const char *path, cli_event_fn *fn, void *ctx);

/* --- away.c -------------------------------------------------------------- */

/* How long a daemon that is away is waited for; 0 until this is called.
 * asked: a person said so, and it counts for one that was never there, too. */
#define CLI_PATIENCE_S 300
void cli_patience_set(int64_t seconds, bool asked);
bool cli_patience_asked(void);

struct cli_away {               /* {0}: it is there */
	bool on, said;
	int64_t since_ms;       /* mono */
};
/* It is away, since now or longer: true when that is long enough. */
bool cli_away_spent(struct cli_away *a);
void cli_away_over(struct cli_away *a);
/* Once, after a moment: is it time to say so? */
bool cli_away_say(struct cli_away *a);
/* "waiting for the daemon, 12 s of 300"; the caller frees. */
char *cli_away_text(const struct cli_away *a);
/* All of it: say so on stderr, sleep, true; or false when it is spent. */
bool cli_away_wait(struct cli_away *a, const char *why);
/* Does a new daemon still read its jobs from the bucket?  A job that it does
 * not know may come. */
bool cli_daemon_held(void);

/* Percent-encode for a path or a query; the caller frees. */
char *cli_escape(const char *s);        /* http.c */

/* --- find.c -------------------------------------------------------------- */

/* A job by id, unique id prefix or unique name. */
enum cli_exit cli_find_job(const char *ref, char id[RK_ID]);

/* Behind a sentence that says of a file that it is there already. */
#define CLI_SAY_FORCE "; --force replaces it"

/* --- print.c ------------------------------------------------------------- */

/* Text fields of a JSON object, "" where absent. */
const char *cli_text(const json_t *v);  /* "": it is no text */
const char *cli_str(const json_t *o, const char *key);
double cli_num(const json_t *o, const char *key, double absent);
/* Any value as JSON text, "" where it is absent or null.  The caller's. */
char *cli_value(const json_t *o, const char *key);

/* A table: header and rows of n cells each, columns as wide as they need; cut:
 * the last one ends where a terminal does. */
struct cli_table {
	size_t n, rows;
	bool cut;
	char **cells;
};
void cli_table_row(struct cli_table *t, size_t n, const char *const *cells);
void cli_table_print(struct cli_table *t);      /* and frees it */

void cli_print_json(const json_t *v);
/* "3 min ago" from an RFC 3339 time, "-" when there is none. */
char *cli_age(char *out, size_t n, const char *rfc3339);

/* --- look.c -------------------------------------------------------------- */

/* "&KEY=VALUE" at the end of a query; nothing where value is NULL. */
void cli_query_add(struct strbuf *q, const char *key, const char *value);

/*
 * The entries under `key` of all pages of a list, `limit` of them at most;
 * *more: there are others.  query begins with an ampersand or is empty.
 */
enum cli_exit cli_walk(const char *path, const char *query, const char *key,
    int64_t limit, json_t *all, bool *more);
/* And *page, which the caller sets to NULL before and frees, is the last of
 * them. */
enum cli_exit cli_walk_pages(const char *path, const char *query,
    const char *key, int64_t limit, json_t *all, bool *more, json_t **page);
/* GET /v1/jobs/ID + tail, of the job that the first word means. */
enum cli_exit cli_get(const struct cli_args *a, const char *tail,
    struct cli_reply *r);
/* The classes that a job has forgotten, with their recall before and now; how
 * many there are. */
size_t cli_forgotten(struct strbuf *b, const json_t *progress);

/* --- progress.c ---------------------------------------------------------- */

/* Is it of kind train?  What it counts are samples, else. */
bool cli_trains(const json_t *job);
/* A job's progress with a bar of `bar` characters, in `room` columns (0: any):
 * what matters least is left out, but the percentage stays. */
void cli_progress_line(struct strbuf *b, const json_t *job, int bar,
    size_t room);
/* "succeeded at step 938: val_accuracy 0.883, val_loss 0.3300; accuracy 0.938,
 * loss 0.2100 in training", in `room` columns (0: any): what matters least is
 * left out, but the state and the best figure stay, on two lines if need be. */
void cli_outcome(struct strbuf *b, const json_t *job, size_t room);

/* --- width.c ------------------------------------------------------------- */

/* Of the terminal; of COLUMNS where it does not know; else 80. */
size_t cli_columns(int fd);
/* The columns that a text takes, as UTF-8; cut it to so many. */
size_t cli_width(const char *s);
void cli_cut(char *s, size_t columns);

/* --- verdict.c ----------------------------------------------------------- */

/* What a watcher sees of a job; the words of the API. */
struct cli_seen {
	const char *state, *desired, *reason;
	const char *draining;   /* why the daemon takes no work, or "" */
};

enum cli_verdict {
	CLI_GOES_ON,            /* it runs, or waits for what passes by
				   itself */
	CLI_UNTIL_LIMIT,        /* the daemon is about to go: as if it had */
	CLI_SUCCEEDED,
	CLI_ENDED_BADLY,        /* failed, cancelled */
	CLI_NEEDS_PERSON,
	CLI_MACHINE_GONE,       /* nothing goes on on this machine */
	CLI_VERDICTS
};
extern const struct cli_verdict_def {
	bool over;              /* watching ends */
	enum cli_exit code;     /* with this; else when the limit is reached */
} cli_verdicts[CLI_VERDICTS];
enum cli_verdict cli_judge_job(const struct cli_seen *s);

/* --- submit.c ------------------------------------------------------------- */

/* The job of the first word, with what --set and --name say, and absolute
 * paths; the caller's, on CLI_OK. */
enum cli_exit cli_read_job(const struct cli_args *a, json_t **job);
/* What each --set says, into a job or into overrides. */
enum cli_exit cli_apply_sets(json_t *tree, const struct cli_args *a);

/* --- plan.c --------------------------------------------------------------- */

/* "0.0006, which is 0.2 times the job's 0.003"; "" where it is not cut; the
 * caller frees. */
char *cli_plan_rate(const json_t *plan);
/* A line a tensor. */
void cli_plan_table(const json_t *plan, const char *indent);
/* Ask what would become of the job, and print it. */
enum cli_exit cli_dry_run(const struct cli_args *a, const char *path,
    const char *name, const json_t *body);

/* --- suggest.c ------------------------------------------------------------ */

/* Of a job that was submitted (the daemon's answer) and begins cold: a line on
 * standard error, where that is a terminal or --hint says so, of what would
 * give it nearly all of its parameters. */
void cli_hint(const struct cli_args *a, const json_t *job);

/* --- weights_address.c ---------------------------------------------------- */

bool cli_is_address(const char *s);
/* What the daemon says of the file that it leads to, printed. */
enum cli_exit cli_weights_address(const struct cli_args *a,
    const char *address);
/* The file itself, without a name on this disk: *place is "ADDRESS=PATH", for
 * the program that takes the place of this one; the caller's. */
enum cli_exit cli_weights_fetch(const char *address, char **place);

/* Who does it: --author, else the login name; NULL: nobody knows. */
const char *cli_author(const struct cli_args *a);

/* --- models.c ------------------------------------------------------------- */

/* The verb of models by its name ("pull"), or NULL. */
const struct cli_command *cli_models_verb(const char *name);

/* --- judged.c ------------------------------------------------------------- */

/* Figures, classes and what is confused most, of judge_report(). */
void cli_judged(const json_t *report);

/* --- predict.c, report.c -------------------------------------------------- */

/* What a job of kind predict or evaluate found, and where the rest of it is;
 * out: where its predictions were written, or NULL. */
void cli_report(const json_t *report, const char *id, const char *out);

/* --- commands ------------------------------------------------------------ */

typedef enum cli_exit cli_command_fn(const struct cli_args *a);
struct cli_command {
	const char *name;       /* one word; of a verb of models two */
	int min, max;           /* words that are not options */
	const char *usage, *what;
	cli_command_fn *fn;
};
extern const struct cli_command cli_models_verbs[];
extern const size_t cli_nmodels_verbs;
void cli_help(FILE *f, const struct cli_command *commands, size_t n);
void cli_command_help(FILE *f, const struct cli_command *c);
cli_command_fn cmd_submit, cmd_plan, cmd_suggest, cmd_list, cmd_show, cmd_watch,
    cmd_start,
    cmd_pause, cmd_resume, cmd_cancel, cmd_retry, cmd_delete, cmd_drain,
    cmd_adopt, cmd_checkpoint, cmd_checkpoints, cmd_metrics, cmd_evaluations, cmd_plot,
    cmd_log,
    cmd_events, cmd_attempts,
    cmd_status, cmd_weights, cmd_export, cmd_models, cmd_predict,
    cmd_evaluate;

/* Watch a job until it has ended, or will not go on by itself.  met: the daemon
 * has answered before, so it is waited for. */
enum cli_exit cli_watch(const char *id, bool met);

#endif
