/*
 * What the files of api share: the server, a request on its way through, and
 * the table of routes.
 *
 *	door ──▶ request.c ──▶ guard.c   may it come in
 *	             │    ───▶ route.c   what does it want
 *	             │    ───▶ idem.c    was it answered before
 *	             ▼
 *	  jobs.c plans.c checkpoints.c lines.c evaluations.c results.c history.c
 *	  probes.c openapi.c
 *	             │
 *	             ▼  reply.c: one answer a request, problem+json for refusals
 */
#ifndef REKINDLE_API_IMPL_H
#define REKINDLE_API_IMPL_H

#include <microhttpd.h>

#include "rekindle/api.h"
#include "rekindle/ckpt.h"
#include "rekindle/json.h"

#define API_TAG  0xa9100001u
#define REQ_TAG  0xa9100002u
#define STREAM_TAG 0xa9100003u
#define DOWNLOAD_TAG 0xa9100004u

struct req;
struct settling;
struct version_file;
typedef void route_fn(struct req *q);

/* --- route.c, table.c ---------------------------------------------------- */

#define ROUTE_ARGS 3
#define ROUTE_ARG_MAX 128

enum route_flags {
	ROUTE_CACHE  = 1u << 0,         /* the answer is kept until a change */
	ROUTE_FOLLOW = 1u << 1,         /* can be followed as a stream */
	ROUTE_STREAM = 1u << 2,         /* is always a stream */
	ROUTE_IF_MATCH = 1u << 3,       /* takes If-Match */
	ROUTE_ETAG   = 1u << 4,         /* answers with an ETag */
};

/* One endpoint: what the router, the checks and the OpenAPI document know. */
struct route {
	const char *method;
	const char *path;       /* "/v1/jobs/{id}" */
	const char *op;         /* operationId, and the label in /metrics */
	route_fn *fn;
	const char *summary;
	const char *query;      /* the parameters it takes, by blanks */
	const char *body;       /* the schema of its body; NULL: none */
	const char *answers;    /* "201:Job 409 422": status and schema */
	unsigned flags;
};
extern const struct route routes[];
extern const size_t nroutes;

/* Query and path parameters by name: their schema (YAML) and a sentence. */
struct param {
	const char *name, *schema, *text;
};
extern const struct param query_params[], path_params[];

/*
 * The route for a method (HEAD counts as GET) and a path.  NULL: none; then
 * *allow (caller frees) lists the methods of that path, NULL if there is no
 * such path.  args get the parts in braces.
 */
const struct route *route_find(const char *method, const char *path,
    char args[ROUTE_ARGS][ROUTE_ARG_MAX], char **allow);

/* --- guard.c ------------------------------------------------------------- */

enum body_kind { BODY_ABSENT, BODY_JSON, BODY_YAML, BODY_OTHER };

/* Is this Host header ours: localhost or the address we listen on, with the
 * port (which may be left out when it is 80)? */
bool guard_host_ok(const char *host, const char *listen_host, int port);
/* Is this Origin the host that the request was sent to? */
bool guard_origin_ok(const char *origin, const char *host);
/* Does the browser say that another site made the request? */
bool guard_cross_site(const char *sec_fetch_site);
enum body_kind guard_body_kind(const char *content_type);
/* A key of an Idempotency-Key header: 1 to 255 printable ASCII characters. */
bool guard_idem_key_ok(const char *key);

/* --- query.c ------------------------------------------------------------- */

#define QUERY_MAX 16
struct query {
	struct {
		const char *key, *value;        /* "" when there is no = */
	} v[QUERY_MAX];
	size_t n;
	bool overflow;          /* more parameters than any route takes */
	struct rk_why *why;
};
void query_add(struct query *q, const char *key, const char *value);
/* Faults for what is not in `known` (by blanks) and for what comes twice. */
void query_check(struct query *q, const char *known);
const char *query_get(const struct query *q, const char *key);  /* or NULL */
/* Absent: fallback; wrong: a fault, and fallback. */
int64_t query_int(struct query *q, const char *key, int64_t fallback,
    int64_t min, int64_t max);
/* ?cursor= of a page, or ?after=, which is the same place as a number. */
int64_t query_after(struct query *q, int64_t fallback);
bool query_flag(struct query *q, const char *key);
/* "running,queued" to bits of enum job_state. */
unsigned query_states(struct query *q, const char *key);

/* --- problem.c ----------------------------------------------------------- */

enum problem {
	P_BAD_REQUEST, P_INVALID_QUERY, P_MALFORMED_BODY, P_FORBIDDEN_ORIGIN,
	P_WRONG_HOST, P_NOT_FOUND, P_METHOD, P_CONFLICT, P_IN_PROGRESS,
	P_PRECONDITION, P_TOO_LARGE, P_MEDIA_TYPE, P_RANGE, P_INVALID_JOB,
	P_INVALID_FIELDS, P_KEY_REUSED, P_INTERNAL, P_DRAINING, P_NOT_READY,
	P_TOO_MANY_STREAMS, P_READ_ONLY, P_DATABASE_GONE, P_TIMEOUT,
	P_NO_SPACE, P_CORRUPT, P_STORE, P_NO_CONDITION,
	PROBLEMS
};
struct problem_def {
	const char *slug, *title;
	int status;
};
extern const struct problem_def problems[PROBLEMS];
/* The document; faults may be NULL. */
void problem_write(struct strbuf *b, enum problem p, const char *detail,
    const struct rk_why *faults);

/* --- text.c: JSON text by hand, for what is served often ----------------- */

void put_str(struct strbuf *b, const char *s);          /* quoted, escaped */
void put_strn(struct strbuf *b, const char *s, size_t n);
void put_key(struct strbuf *b, const char *key);        /* ,"key": */
void put_time(struct strbuf *b, int64_t ms);            /* null for 0 */
void put_or_null(struct strbuf *b, const char *s);      /* null for "" */
/* The end of a page of what only grows: `after` is where to look again later,
 * `next` the cursor of what there is more already. */
void put_next(struct strbuf *b, int64_t after, bool more);
void put_raw(struct strbuf *b, const char *json, const char *empty);

/* --- the server ---------------------------------------------------------- */

struct guest;

struct door {
	struct api *api;
	bool local;             /* the Unix socket: any Host will do */
	struct MHD_Daemon *mhd;
	struct loop_fd *watch;  /* of its epoll set */
	int listen_fd;          /* -1: this door is not there */
	struct loop_fd *listen_watch;
	struct loop_timer *again;
	bool no_descriptor;     /* until `again` */
	int64_t told_ms;
	struct guest *guests;   /* all */
	struct guest *idle_first, *idle_last;   /* the longest idle is first */
	int nguests, ncut;
};
enum { DOOR_TCP, DOOR_UNIX, DOORS };

/* Answers kept until something changes; see cache.c. */
#define CACHE_SLOTS 256
struct cache_entry {
	char *uri;
	const struct route *route;
	struct MHD_Response *resp;
	char etag[48];
	size_t size;
};
struct cache {
	struct cache_entry slot[CACHE_SLOTS];
	int64_t change;         /* what api->change was when they were made */
	size_t bytes;
};

#define STATS_BUCKETS 9
#define STATS_STATUS 600
struct stats {
	uint64_t *by_status;    /* [nroutes + 1][STATS_STATUS], sparse use */
	uint64_t bucket[STATS_BUCKETS + 1];
	double seconds;
	uint64_t count;
	int64_t began_ms;
};

struct stream;
struct download;
struct lingering;

struct api {
	unsigned tag;
	struct loop *loop;
	struct store *store;
	struct sup *sup;
	struct remote *remote;
	struct ship *ship;
	struct mirror *mirror;          /* or NULL */
	struct models *models;
	struct preempt *preempt;
	struct api_config cfg;
	char *tcp_host;
	struct door door[DOORS];
	struct loop_timer *tick;        /* while there are streams */
	int64_t change;         /* grows with all that a GET could show */
	struct cache cache;
	struct stats stats;
	struct req *reqs;
	struct stream *streams;
	int nstreams;
	struct download *downloads;
	struct lingering *lingers;
	int nlingers;
	struct loop_timer *linger_timer;
	unsigned idle_seconds;
	struct MHD_Response *openapi;
	int64_t unseen_ms;      /* of mono_ms(), by the loop, so far */
	bool opened;            /* the listening sockets are ours */
	bool closing;
	int watchers, told;     /* connections that watch a job; of these, those
	                           that have heard the last word */
	int64_t last_words_ns;  /* mono, when that was written; 0: not yet */
};

/* A job changed through us and not through the supervisor. */
void api_changed(struct api *a, const char *job, char what);

/* --- a request ----------------------------------------------------------- */

struct req {
	unsigned tag;
	struct api *api;
	struct door *door;
	struct MHD_Connection *conn;
	struct req *prev, *next;
	char *uri;              /* as it was sent */
	char method[12];
	const struct route *route;      /* NULL until found */
	char arg[ROUTE_ARGS][ROUTE_ARG_MAX];
	int64_t began_ns;
	bool begun;
	bool waiting;           /* suspended until somebody answers */
	bool asked;             /* sup waits for a checkpoint or name for us */
	bool checked;           /* sup checks a job for us */
	bool bringing;          /* ship brings results here for us */
	struct settling *settling;      /* models settles an address for us */
	struct version_file *version_file;      /* that is being brought */
	bool at_models;         /* the registry has been asked for us */
	enum rk_err models_rc;  /* what came of looking at it */
	route_fn *then;         /* ... and what comes behind that */
	bool registers;         /* waits for a registration */
	json_t *resume;         /* the body of a resume that waits for that */
	json_t *suggest;        /* {job, known}: suggest.c; or NULL */
	struct sup_export *exporting;   /* a download, until its size is
					   known */
	struct views *views;            /* of a version, until its answer */
	bool counted;
	enum body_kind kind;
	char *body;
	size_t len, cap, seen;
	struct query query;
	struct rk_why why;      /* faults found on the way; freed at the end */

	char *idem_key;         /* NULL: none */
	char idem_digest[RK_SHA256_HEX];

	/* the answer: status 0 until there is one; then either resp, which the
	 * request holds a reference of, or the bytes in out */
	int status;
	struct MHD_Response *resp;
	const char *ctype;
	struct strbuf out;
	char etag[48];
	char *location;
	char *name;             /* that it gives to a checkpoint, or NULL */
	struct sup_named was;   /* ... and which had it */
	char *allow;
	const char *draining;   /* sup_drain_reason(), of a job; or NULL */
	bool replayed, retry_later;
	bool shared;            /* resp is somebody else's */
};

const char *req_header(struct req *q, const char *name);
/* The note that goes with a write on behalf of this request. */
struct store_note req_note(const struct req *q);
/* Does the client want a stream: ?follow, or Accept: text/event-stream? */
bool req_follows(struct req *q);
/* Its body as a tree, a new reference.  An empty body is an empty object when
 * that is allowed.  NULL: the refusal is the answer already. */
json_t *req_tree(struct req *q, bool may_be_empty);
/* The body's fields read into o's getters leave faults in q->why; if there are
 * any, they become the answer and this is true. */
bool req_refused(struct req *q, enum problem p);
/* Wait for req_wake(), which must come with an answer set. */
void req_wait(struct req *q);
void req_wake(struct req *q);

/* libmicrohttpd's three ways in: request.c */
void *req_uri(void *door, const char *uri, struct MHD_Connection *c);
enum MHD_Result req_handle(void *door, struct MHD_Connection *c,
    const char *url, const char *method, const char *version,
    const char *data, size_t *size, void **ctx);
void req_completed(void *door, struct MHD_Connection *c, void **ctx,
    enum MHD_RequestTerminationCode why);

/* --- reply.c ------------------------------------------------------------- */

/* q->out is the answer. */
void reply_json(struct req *q, int status);
void reply_empty(struct req *q, int status);
/* Takes the tree. */
void reply_tree(struct req *q, int status, json_t *v);
/* One that the caller keeps. */
void reply_shared(struct req *q, int status, struct MHD_Response *r);
/* Takes the reference. */
void reply_with(struct req *q, int status, struct MHD_Response *r);
void reply_problem(struct req *q, enum problem p, const char *fmt, ...)
    RK_PRINTF(3, 4);
/* detail from the faults, which are listed if they have paths */
void reply_faults(struct req *q, enum problem p, const struct rk_why *why);
/* What there is more of than max bytes is not taken. */
void reply_too_long(struct req *q, const char *what, uint64_t max);
/* While a machine takes over it cannot tell what does not exist: what
 * would be P_NOT_FOUND of a job is "not ready", and so is a list that lacks
 * what may come. */
bool api_taking_over(const struct api *a);
/* What the mirror's error says, "" where there is none; the caller frees. */
char *api_mirror_error(const struct api *a);
void reply_taking_over(struct req *q);
/* What a module said no with; `what` names the thing, for RK_ENOENT. */
void reply_err(struct req *q, enum rk_err e, const struct rk_why *why,
    const char *what);
/* Make the answer a response (once) and queue it. */
enum MHD_Result reply_send(struct req *q);

/* --- idem.c -------------------------------------------------------------- */

/* Before a POST runs: false when the answer is set already. */
bool idem_begin(struct req *q);
/* After it: keep the answer, if it is one to keep. */
void idem_end(struct req *q);

/* --- checkpoint_file.c, download.c ------------------------------------------ */

/* What of a file is asked for. */
struct file_part {
	uint64_t size;                  /* of the whole file */
	uint64_t from, len;
	bool is;                        /* by a Range */
};
/* By the request's Range; false: there is no such part, which is the answer. */
bool file_part(struct req *q, uint64_t size, struct file_part *p);
/* From which byte on, while the size is not known; what counts from the end is
 * sent whole. */
uint64_t file_from(struct req *q);
/* The answer with the headers of a file, q->etag among them; takes the
 * reference. */
/* What fd has, which is taken; digest: for the ETag, or NULL. */
void file_send(struct req *q, int fd, uint64_t size, const char *digest);
void file_reply(struct req *q, struct MHD_Response *r,
    const struct file_part *p);
/* The same of another Content-Type. */
void file_headers(struct req *q, struct MHD_Response *r,
    const struct file_part *p, const char *type);
/* A checkpoint as a file of another framework, while it is made. */
void download(struct req *q, const struct ckpt_info *i, const char *file);
void download_close_all(struct api *a);
/* What sup_export() calls of a request that waits, whose etag is set. */
sup_export_fn download_begun;
/* version_file.c: NULL inside is fine. */
void version_file_free(struct version_file **v);

/* --- accept.c ------------------------------------------------------------ */

/* Take connections from fd, which stays the caller's. */
enum rk_err accept_open(struct door *d, int fd) RK_MUSTCHECK;
void accept_close(struct door *d);
/* Somebody may have left: watch for callers, or not. */
void accept_look(struct door *d);
/* The most connections that this door may have. */
int accept_limit(const struct door *d);

/* --- guests.c ------------------------------------------------------------ */

void guest_notify(void *door, struct MHD_Connection *c, void **ctx,
    enum MHD_ConnectionNotificationCode code);
void guest_busy(struct MHD_Connection *c);      /* a request has begun */
void guest_idle(struct MHD_Connection *c);      /* it is over */
void guest_watches(struct MHD_Connection *c);
void guest_told(struct MHD_Connection *c);
void guests_thin(struct door *d);
void guests_pardon(struct door *d);

/* --- linger.c ------------------------------------------------------------ */

/* This connection is about to be closed; keep its socket if that is better. */
void linger_keep(struct api *a, struct MHD_Connection *c);
void linger_tick(void *api);
void linger_close_all(struct api *a);

/* --- cache.c ------------------------------------------------------------- */

struct cache_entry *cache_find(struct api *a, const char *uri);
bool cache_keep(struct req *q, size_t size);
void cache_clear(struct cache *c);

/* --- stream.c ------------------------------------------------------------ */

enum stream_kind { STREAM_EVENTS, STREAM_METRICS, STREAM_LOG };
struct stream_want {
	enum stream_kind kind;
	const char *job;        /* "" for all (events) */
	int64_t after;          /* event number, or byte of the file */
	int64_t attempt;        /* of metrics; 0: any */
	const char *split;      /* of metrics; NULL: any */
};
/* Answer with a stream of server-sent events. */
void stream_reply(struct req *q, const struct stream_want *w);
/* Where Last-Event-ID says to go on; fallback if there is none. */
int64_t stream_after(struct req *q, int64_t fallback);
void stream_told(struct api *a, const char *job, char what);
void stream_tick(void *api);
void stream_close_all(struct api *a);

/* --- lines.c: the files that a trainer appends to ------------------------ */

#define LINES_METRICS "metrics.jsonl"
#define LINES_CHUNK   16384

/* Open <job's folder>/name for reading; -1 and errno if it is not there, or
 * no file. */
int lines_open(struct api *a, const char *job, const char *name);

/*
 * Go through the lines in one chunk of the file from byte pos on; `end` is
 * where the next one begins.  A line longer than a chunk comes in pieces.  fn
 * returns false when it does not take the line: it stays unread.  `rest`: the
 * bytes behind the last newline are a line too.  Returns the byte to go on
 * from, which is pos when there is nothing to read.
 */
typedef bool lines_fn(void *ctx, const char *s, size_t n, int64_t end);
int64_t lines_read(int fd, int64_t pos, bool rest, lines_fn *fn, void *ctx);
/* The same of a job's log; what is there no more is passed over. */
int64_t lines_read_log(struct api *a, const char *job, int64_t pos, bool rest,
    lines_fn *fn, void *ctx);

/* Is this line a JSON object, and one of this attempt (0: any) and split
 * (NULL: any)?  A trainer that was killed may have left half a line. */
bool lines_metric_ok(const char *s, size_t n, int64_t attempt,
    const char *split);

/* --- what writes JSON ---------------------------------------------------- */

void job_write(struct strbuf *b, struct api *a, const struct job_row *r,
    bool whole);
void event_write(struct strbuf *b, const struct event_row *e);
/* The answer is job `id` as it is now. */
void reply_job(struct req *q, int status, const char *id);
/* Reads the row of {id}; false when the refusal is the answer already. */
bool req_job(struct req *q, struct job_row *r);

/* The checkpoint that {name} of {id} selects: both are then the caller's.
 * False: the refusal is the answer already. */
bool checkpoint_select(struct req *q, struct ckpt **cp, struct ckpt_info *i);

/* --- plans.c --------------------------------------------------------------- */

/* use.c: a job of kind predict or evaluate gets what is known of its model. */
enum rk_err use_lay(struct req *q, json_t **tree) RK_MUSTCHECK;
/* The answer is what would become of this job. */
void dry_run(struct req *q, const struct spec *spec);
/* jobs.c: the answer to a verb. */
void verb_done(struct req *q, enum rk_err rc);
void dry_resume(struct req *q, const json_t *overrides);
/* The resume itself, with all that the body says (a tree, which is kept): at
 * once, or, where it names parameters, when a trainer has looked whether there
 * are such. */
void go_resume(struct req *q, json_t *body);

/* --- settle.c -------------------------------------------------------------- */

/*
 * go(q, body), now or later, when a version of a model that the body names - in
 * model.checkpoint, in that of overrides, as address - is a number with a
 * digest there.  body is a reference that is given away; go() only looks at
 * it.  What cannot be settled is the answer.
 */
typedef void settled_fn(struct req *q, json_t *body);
void settle_job(struct req *q, json_t *body, settled_fn *go);
void settle_overrides(struct req *q, json_t *body, settled_fn *go);
void settle_address(struct req *q, json_t *body, settled_fn *go);
void settling_free(struct settling **s);        /* NULL inside is fine */

/* --- model_views.c --------------------------------------------------------- */

struct views;
void views_free(struct views **vp);

/* --- adopt.c --------------------------------------------------------------- */

/* Folders without a record: {count, jobs}; a new reference. */
json_t *adopt_status(struct api *a);

/* --- union.c: checkpoints here, in buckets, and lost ----------------------- */

/* Oldest first, by branch and step; one of each folder's name. */
struct union_ckpt {
	const struct ckpt_info *info;   /* borrowed from the lists below */
	bool local;
};
struct union_list {
	struct union_ckpt *v;
	size_t n;
	struct ckpt_info *here, *there, *lost;
	size_t nhere, nthere, nlost;
};
/* c NULL: the job has no folder of checkpoints. */
enum rk_err union_open(struct union_list *u, struct api *a, const char *job,
    struct ckpt *c) RK_MUSTCHECK;
void union_close(struct union_list *u);

/* --- stats.c ------------------------------------------------------------- */

void stats_init(struct stats *s);
void stats_fini(struct stats *s);
void stats_count(struct stats *s, const struct route *r, int status,
    int64_t ns);
void stats_write(struct strbuf *b, struct api *a);

/* --- handlers, by table.c ------------------------------------------------ */

route_fn h_jobs, h_submit, h_job, h_job_patch, h_job_delete;
route_fn h_plan, h_warm_plan, h_weights_inspect, h_weights_fetch;
route_fn h_suggest, h_suggest_job;
route_fn h_start, h_pause, h_resume, h_cancel, h_retry;
route_fn h_checkpoints, h_checkpoint_now, h_checkpoint, h_checkpoint_patch;
route_fn h_checkpoint_delete, h_checkpoint_file;
route_fn h_evaluations, h_evaluation;
route_fn h_predictions, h_report;
route_fn h_models, h_model, h_versions, h_all_versions, h_version,
    h_version_patch, h_version_delete, h_aliases, h_alias, h_alias_move,
    h_alias_rollback, h_alias_delete, h_model_history;
route_fn h_metrics_page, h_log, h_events, h_attempts, h_all_events, h_drain,
    h_adopt;
route_fn h_model_lineage, h_model_compare, h_model_card, h_version_file;
route_fn h_register, h_registration, h_registrations, h_registration_drop;
route_fn h_status, h_health, h_ready, h_prometheus, h_openapi;

/* YAML, each a part of the components. */
extern const char openapi_schemas[], openapi_spec_schemas[],
    openapi_warm_schemas[], openapi_suggest_schemas[],
    openapi_judged_schemas[], openapi_registry_schemas[],
    openapi_views_schemas[], openapi_registrations_schemas[];
/* model_schemas.c: what of a job's model is made from tables. */
void openapi_put_model(json_t *schemas);
void openapi_put_transforms(json_t *schemas);
json_t *openapi_tree(void);             /* the whole document */

#endif
