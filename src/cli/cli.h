/*
 * cli - inside the program rekindle: one file a group of commands over one
 * HTTP client.  Everything that goes wrong is said once, on stderr, and is an
 * exit code.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "rekindle/json.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_REFUSED = 1,        /* the daemon said no, or could not */
	CLI_USAGE = 2,
	CLI_NO_SERVER = 3,      /* no daemon could be reached */
	CLI_NO_JOB = 4,         /* no such job, or more than one */
	CLI_JOB_FAILED = 5,     /* watched, and it ended failed or cancelled */
};

/* A command's words, taken apart by cli_args(). */
struct cli_args {
	const char *pos[8];     /* what is not an option */
	int npos;
	bool json, follow, watch, hold, rehearse, plan, all;
	const char *name, *from, *state, *label, *split;
	int64_t limit, tail, deadline;  /* -1: not given */
	char **set;             /* PATH=VALUE, nset of them */
	int nset;
};

/* --- http.c -------------------------------------------------------------- */

struct cli_reply {
	long status;
	char *text;             /* body, NUL-terminated; never NULL */
	size_t len;
	json_t *json;           /* when the body is JSON; else NULL */
};
void cli_reply_fini(struct cli_reply *r);

/* Say where the daemon is: a URL or a socket's path; NULL: look for it (--help
 * says where).  False: it is neither, which has been printed. */
bool cli_server_set(const char *server);
const char *cli_server_text(void);

/*
 * One request.  body may be NULL; it goes out as JSON.  A POST carries an
 * Idempotency-Key and is tried again when the connection breaks.  CLI_OK for
 * 2xx; else what was wrong has been printed.
 */
enum cli_exit cli_call(const char *method, const char *path,
    const json_t *body, struct cli_reply *r);

/* A stream of server-sent events: fn gets each `data`, until the daemon ends
 * the stream or fn returns false.  Reconnects with Last-Event-ID. */
typedef bool cli_event_fn(void *ctx, const char *data, size_t len);
enum cli_exit cli_stream(const char *path, cli_event_fn *fn, void *ctx);

/* Percent-encode for a path or a query; the caller frees. */
char *cli_escape(const char *s);

/* --- find.c -------------------------------------------------------------- */

/* A job by id, unique id prefix or unique name. */
enum cli_exit cli_find_job(const char *ref, char id[RK_ID]);

/* --- print.c ------------------------------------------------------------- */

/* Text fields of a JSON object, "" where absent. */
const char *cli_str(const json_t *o, const char *key);
double cli_num(const json_t *o, const char *key, double absent);

/* A table: header and rows of n cells each, columns as wide as they need. */
struct cli_table {
	size_t n, rows;
	char **cells;
};
void cli_table_row(struct cli_table *t, size_t n, const char *const *cells);
void cli_table_print(struct cli_table *t);      /* and frees it */

void cli_print_json(const json_t *v);
/* "3 min ago" from an RFC 3339 time, "-" when there is none. */
char *cli_age(char *out, size_t n, const char *rfc3339);
/* One line of a job's progress with a bar of `width` characters. */
void cli_progress_line(struct strbuf *b, const json_t *job, int width);

/* --- submit.c ---------------------------------------------------------------- */

/* What each --set says, into a job or into overrides. */
enum cli_exit cli_apply_sets(json_t *tree, const struct cli_args *a);

/* --- commands ------------------------------------------------------------ */

typedef enum cli_exit cli_command_fn(const struct cli_args *a);
cli_command_fn cmd_submit, cmd_list, cmd_show, cmd_watch, cmd_start, cmd_pause,
    cmd_resume, cmd_cancel, cmd_retry, cmd_delete, cmd_drain, cmd_checkpoint,
    cmd_checkpoints, cmd_metrics, cmd_log, cmd_events, cmd_attempts,
    cmd_status;

/* Watch a job to its end. */
enum cli_exit cli_watch(const char *id);

#endif
