/*
 * remote from inside.
 *
 *	sign*.c                signatures: pure functions, tested with vectors
 *	stores.c endpoint.c    the configuration
 *	wishes.c               what of it becomes headers
 *	place.c                address to store and key, and to a URL
 *	cred*.c                credentials: chains, refresh, caches
 *	req*.c fault.c         one request: signed anew for each try, answered,
 *	                       classified, tried again
 *	redirect.c             where plain servers send us
 *	xml.c                  the little XML that stores speak
 *	op.c small.c list.c    operations: begin and end, of one request, lists
 *	upload.c download.c    large objects
 *	file*.c                file://
 *
 * Layers within: an operation (remote_op) makes requests (req), a request asks
 * for credentials (cred), signs, and calls http.
 */
#ifndef REMOTE_IMPL_H
#define REMOTE_IMPL_H

#include "rekindle/remote.h"

#define REMOTE_TAG 0x72656d6fu
#define OP_TAG     0x72656d70u
#define REQ_TAG    0x72657120u

/* --- sign_s3.c, sign_oss.c ------------------------------------------------ */

/* One set of keys; strings are owned.  Wiped when freed. */
struct cred {
	int refs;
	char *id, *secret, *token;      /* token: "" for none */
	int64_t expires_ms;             /* wall clock; 0: never */
};
struct cred *cred_new(const char *id, const char *secret, const char *token,
    int64_t expires_ms);
struct cred *cred_ref(struct cred *c);
void cred_unref(struct cred **c);

struct sign_header {
	const char *name, *value;
};
struct sign_query {
	const char *name, *value;       /* not encoded; "" or NULL: no value */
};
/* What is signed.  path is the encoded path on the wire ("/bucket/a%20b");
 * bucket and key are for OSS, which signs them whatever the style. */
struct sign_in {
	const char *method, *host, *path, *bucket, *key;
	const char *region, *product;   /* "s3", "oss" */
	const struct sign_query *query;
	size_t nquery;
	const struct sign_header *headers;      /* sent; those that the rules
	                                   name are signed */
	size_t nheaders;
	const char *payload;            /* hex SHA-256, or UNSIGNED-PAYLOAD */
	const char *const *additional;  /* oss: headers (v4) or parameters (v1)
	                                   also signed, NULL behind; or NULL */
	int64_t at_ms;                  /* wall clock, corrected for skew */
};
/* Append the headers that carry the signature: "Name: value", one string each,
 * to out (NULL-terminated when full; the caller frees each).  cred NULL:
 * anonymous, nothing but the payload's header. */
#define SIGN_HEADERS 8
void sign_s3(const struct sign_in *in, const struct cred *c,
    char *out[SIGN_HEADERS]);
void sign_oss4(const struct sign_in *in, const struct cred *c,
    char *out[SIGN_HEADERS]);
void sign_oss1(const struct sign_in *in, const struct cred *c,
    char *out[SIGN_HEADERS]);
/* Percent-encode all but A-Za-z0-9-_.~ (and '/' when keep_slash). */
void sign_encode(struct strbuf *b, const char *s, bool keep_slash);
/* The query as it goes on the wire: encoded, sorted; S3 always has '=', OSS not
 * for empty values. */
void sign_query_text(struct strbuf *b, const struct sign_query *q, size_t n,
    bool always_eq);

/* --- cred.c --------------------------------------------------------------- */

enum cred_kind {
	CRED_AUTO, CRED_FIXED, CRED_ENVIRONMENT, CRED_PROFILE,
	CRED_WEB_IDENTITY, CRED_CONTAINER, CRED_INSTANCE, CRED_ANONYMOUS
};
/* Where one store's keys come from; shared by stores with the same source. */
struct creds;
struct creds_config {
	bool oss;                       /* Alibaba's chain */
	enum cred_kind kind;
	const char *id, *secret, *token;        /* CRED_FIXED */
	const char *profile;            /* or NULL */
	const char *region;             /* for STS */
	const char *metadata_url;       /* or NULL */
};
struct creds *creds_open(struct loop *l, struct http *h,
    const struct creds_config *c);
void creds_close(struct creds **c);
/*
 * The newest set, to be unref'd.  When there is none yet, or less than 60 s are
 * left of it, fn is called later; else before the return, too - so fn must
 * bear both.  NULL and a sentence: there are none to be had; NULL and "": it is
 * anonymous.  creds_forget(): fn is not called any more.
 */
typedef void creds_fn(void *ctx, struct cred *c, const char *why);
void creds_get(struct creds *c, creds_fn *fn, void *ctx);
void creds_forget(struct creds *c, void *ctx);
/* The store said that `old` is no good any more: get others before the next
 * creds_get() answers. */
void creds_expired(struct creds *c, const struct cred *old);
/* Region and endpoint that the chain's environment or profile say, or NULL;
 * borrowed. */
const char *creds_region(const struct creds *c);
const char *creds_endpoint(const struct creds *c);

/* --- stores.c ------------------------------------------------------------- */

enum store_kind { STORE_S3, STORE_OSS, STORE_HTTPS, STORE_FILE };

/* A bucket that answered from another region than its store's. */
struct bucket_region {
	struct bucket_region *next;
	char *bucket, *region;
};

/* wishes.c: how a store is to keep what we put. */
enum wish {
	WISH_ENCRYPTION, WISH_KMS_KEY, WISH_CLASS, WISH_ACL, WISH_OWNER, WISHES
};

/* One entry of `stores`, or a default.  Host state that requests share. */
struct rstore {
	struct rstore *next;
	enum store_kind kind;
	char *match;                    /* "s3://", "s3://bucket/", ... */
	bool named;                     /* an entry of `stores` */
	char *missing;                  /* why it cannot be used, or NULL */
	char *scheme, *host;            /* of the endpoint; host has the port */
	char *base;                     /* path behind the host, or "" */
	char *region, *ca_file;
	bool path_style, cname, v1, tls;
	bool aws;                       /* amazonaws.com: ETags are MD5s */
	bool check_etag;
	char *wishes[WISHES];           /* NULL: none */
	bool no_conditional;            /* learnt: 501 */
	bool no_expect;                 /* learnt: 417 */
	bool wants_md5;                 /* learnt: object lock, over http */
	struct bucket_region *regions;
	enum { SUM_NONE, SUM_CRC32C, SUM_SHA256 } checksum;
	struct creds *creds;
	bool own_creds;                 /* else another store's of the list */
	int source;                     /* stores.c: which chain creds is */
	const void *told;               /* the keys whose end was logged */
	int64_t skew_ms;                /* server's clock minus ours */
	int window, good;               /* parts in flight: halved by SlowDown,
	                                   grows by one each 20 good tries */
	int inflight;                   /* metered tries on the wire */
};
#define WINDOW_MAX 16
/* The region that requests for this bucket are signed for. */
const char *store_region(const struct rstore *s, const char *bucket);
void store_learn_region(struct rstore *s, const char *bucket,
    const char *region);
/* An address taken apart: its store, bucket and key.  RK_EINVAL, why. */
struct place {
	struct rstore *store;
	char *bucket, *key;             /* https: key is the whole URL;
	                                   file: the path */
	char *sha256;                   /* of "#sha256=...", or NULL */
};
enum rk_err place_of(struct remote *r, const char *uri, struct place *p,
    struct rk_why *why) RK_MUSTCHECK;
void place_fini(struct place *p);
enum rk_err stores_open(struct remote *r, const json_t *list,
    struct rk_why *why) RK_MUSTCHECK;
void stores_close(struct remote *r);
/* Read an entry's wishes; then, with its kind known, check them.  Strings are
 * the caller's, also behind a fault. */
void wishes_read(struct rkj_obj *o, char *wishes[WISHES]);
void wishes_check(struct rkj_obj *o, enum store_kind kind,
    char *wishes[WISHES]);
/* The headers that go with a request because of them, borrowed; how many. */
size_t wishes_headers(const struct rstore *s, const char *method,
    const struct sign_query *q, size_t nq, struct sign_header out[WISHES]);
/* endpoint.c: "https://HOST[:PORT][/BASE]" into scheme, host and base; the
 * region that a host says, or NULL; the cloud's own endpoint. */
bool endpoint_split(struct rstore *s, const char *e);
char *endpoint_region(const char *host);
char *endpoint_default(enum store_kind kind, const char *region);
bool endpoint_is_address(const char *host);
bool endpoint_is_aws(const char *host);
bool endpoint_is_cloud(const char *host);
/* The URL of bucket and key with a query, and the host and encoded path that
 * are signed; strings are new. */
void store_url(const struct rstore *s, const char *bucket, const char *key,
    const struct sign_query *q, size_t nq, char **url, char **host,
    char **path);

/* --- req.c ---------------------------------------------------------------- */

/* Classes of section "Retry" of the protocol; fault.c has the table. */
enum fault {
	F_NONE, F_THROTTLE, F_SERVER, F_TRANSPORT, F_INTEGRITY, F_CLOCK,
	F_TOKEN, F_REGION, F_CONFLICT, F_MISSING, F_EXISTS, F_CHANGED,
	F_DENIED, F_PERMANENT, F_DISK
};

struct req;
/* Ended: f F_NONE for a 2xx whose body holds no <Error>; else the last fault,
 * when tries or time are used up or it is permanent. */
struct req_result {
	enum fault fault;
	const struct http_answer *a;    /* of the last try, or NULL */
	char code[64], message[512], request_id[160];
	const char *error;              /* the sentence */
	int tries;
	bool ambiguous;                 /* an earlier try may have done it */
	bool hidden;                    /* denied, and perhaps not there */
};
/* The store does not know how to do this: 501, which some say with 400. */
bool fault_not_implemented(const struct req_result *q);
/* It wants Content-MD5, as a bucket with object lock does. */
bool fault_wants_md5(const struct req_result *q);
typedef void req_fn(void *ctx, const struct req_result *r);

struct req_spec {
	const struct place *place;      /* borrowed while the request lives */
	const char *method;
	struct sign_query query[8];
	size_t nquery;
	struct sign_header headers[16]; /* without host, date, signature */
	size_t nheaders;
	/* body: as in struct http_request; payload: its hex SHA-256 when the
	 * store is not TLS (computed by req for bytes in memory).  Descriptors
	 * are borrowed while the request lives. */
	const void *body;
	size_t body_len;
	int body_fd;
	uint64_t body_at, body_size;
	const char *payload;
	const char *content_md5;        /* base64, or NULL */
	int sink_fd, sink_status;
	uint64_t sink_at, sink_size;
	size_t max;
	bool complete;                  /* CompleteMultipartUpload: may take
	                                   minutes; its body is looked into */
	bool metered;
	struct remote_patience patience;
	/* Called before each further try: the owner may move sink_at and
	 * sink_size, and give headers other values, in place of the first
	 * try's; *last is the last try's answer.  May be NULL. */
	void (*again)(void *ctx, const struct http_answer *last,
	    struct req_spec *s);
	req_fn *fn;
	void *ctx;
};
/*
 * Copies the spec; strings too.  Each try is signed anew, with the newest
 * credentials.  Waits for none but transport, server, throttle and conflict
 * faults; wrong bytes (F_INTEGRITY) are sent again twice if they lie in memory,
 * and at once reported if they lie in a file: its owner reads it anew.
 * 412 is F_CHANGED for GET and HEAD, F_EXISTS for others.  A redirect of a
 * plain https store is F_PERMANENT.
 */
struct req *req_send(struct remote *r, const struct req_spec *s);
void req_cancel(struct req **q);
void req_moved(const struct req *q, uint64_t *sent, uint64_t *sunk);
/* The class of an answer; code etc. are filled in.  body: what an answer with
 * a status of success may hold. */
enum fault_body {
	BODY_OBJECT,            /* anything: it is not looked at */
	BODY_ANSWER,            /* XML or nothing; <Error> is one */
	BODY_COMPLETED,         /* <CompleteMultipartUploadResult> */
};
enum fault fault_of(const struct rstore *s, const struct http_answer *a,
    bool head, enum fault_body body, struct req_result *out);
/* The region that an answer names in place of ours; false if none. */
bool fault_region(const struct http_answer *a, const char *code, char *out,
    size_t n);
enum remote_end end_of(enum fault f);
/* Wait before try n (from 1): full jitter, 200 ms (throttle 1 s) doubling, 20 s
 * at most; Retry-After wins. */
int64_t fault_wait_ms(enum fault f, int tries, const struct http_answer *a);

/* --- redirect.c ----------------------------------------------------------- */

#define REDIRECTS 10
/* Where an operation has been: nobody goes in circles. */
struct hops {
	char *seen[REDIRECTS + 1];
	int n;
};
/* An answer of a plain server that sends us elsewhere. */
bool redirect_is(const struct place *p, const struct http_answer *a);
/*
 * NONE: it is no redirect of a plain server.  GO: *p is now where it leads.
 * NO: *why, the caller's, says why nobody goes there.  No request may be under
 * way whose place *p is.
 */
enum redirect { REDIRECT_NONE, REDIRECT_GO, REDIRECT_NO };
enum redirect redirect_follow(struct remote *r, struct place *p,
    struct hops *h, const struct http_answer *a, char **why);
void hops_fini(struct hops *h);
/* The absolute address, without a fragment, that `where` means to who is at
 * `from`; a new string. */
char *redirect_target(const char *from, const char *where);

/* --- xml.c ---------------------------------------------------------------- */

/* A pull reader of elements and text, under limits: depth 16, names 64 bytes,
 * no DTD, the five entities and character references.  Hostile bytes end it. */
#define XML_DEPTH 16
#define XML_NAME 64
struct xml {
	const char *p, *end;
	int depth;
	bool bad, empty, rooted;        /* empty: <a/> was opened */
	char stack[XML_DEPTH][XML_NAME];
	const char *name;
	struct strbuf text;
};
enum xml_event { XML_END, XML_OPEN, XML_CLOSE, XML_BAD };
void xml_open(struct xml *x, const char *p, size_t n);
/* OPEN: name is the element's; CLOSE: name, and the text behind the last tag,
 * unescaped.  Names come without a namespace's prefix. */
enum xml_event xml_next(struct xml *x);
void xml_fini(struct xml *x);
/* The text of the first element of that name anywhere; a new string or NULL. */
char *xml_find(const char *p, size_t n, const char *name);

/* --- rate.c --------------------------------------------------------------- */

/* What the line gives.  Every metered try is watched while it is on the wire:
 * rate_begin() after http_send(), rate_end() before the call is gone, with the
 * bytes that it moved in all; of one that was not begun, it does nothing. */
struct rate_watch {
	struct remote_rate *rate;       /* NULL: not watched */
	struct rate_watch *next, **prev;
	const struct http_call *call;
	bool up;
	uint64_t seen;
};
struct remote_rate *rate_new(struct loop *l);
void rate_free(struct remote_rate **rp);
void rate_begin(struct remote_rate *r, struct rate_watch *w,
    const struct http_call *c, bool up);
void rate_end(struct rate_watch *w, uint64_t bytes);
/* Bytes a second, 0 when not known. */
void rate_get(const struct remote_rate *r, double *up, double *down);
/* From inside, for tests: n bytes more went by, at_ms on mono_ms()'s clock; and
 * since when bytes may go by. */
void rate_note(struct remote_rate *r, bool up, uint64_t n, int64_t at_ms);
void rate_idle(struct remote_rate *r, bool up, int64_t at_ms);

/* --- operations ----------------------------------------------------------- */

struct remote {
	unsigned tag;
	struct loop *loop;
	struct http *http;
	struct remote_config c;
	struct rstore *stores;
	struct remote_op *ops;
	struct remote_totals totals;
	struct remote_rate *rate;       /* rate.c */
};

/* Every operation begins with this; kind files keep their own struct behind it.
 * op_end() calls done once, from the loop, and frees. */
struct remote_op {
	unsigned tag;
	struct remote *r;
	struct remote_op *next, **prev;
	struct place place;
	remote_done_fn *done;
	void *ctx;
	struct remote_patience patience;
	/* Drop requests and free own parts. */
	void (*cancel)(struct remote_op *op);
	void (*moved)(const struct remote_op *op, uint64_t *d, uint64_t *t);
	void (*hold)(struct remote_op *op, bool hold);
	struct loop_timer *timer;       /* op.c: op_later() */
	enum remote_end later;
	char *later_error;
	struct file_job *file;          /* file.c: at work for this, or NULL */
};
/* Allocate size bytes, beginning with a remote_op.  A bad address is answered
 * later with REMOTE_REFUSED: then the place is empty and the caller must not go
 * on (returns false). */
bool op_begin(struct remote *r, size_t size, const char *uri,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx,
    struct remote_op **op);
void op_end(struct remote_op *op, const struct remote_result *res);
/* op_end() from the loop, with that end and sentence. */
void op_later(struct remote_op *op, enum remote_end end, const char *fmt, ...)
    RK_PRINTF(3, 4);
/* The result that a request's end stands for; etag is read into `etag`. */
#define ETAG_MAX 160
void op_result(const struct req_result *q, struct remote_result *res,
    char etag[ETAG_MAX]);
/* Without quotes, in lower case where it is hexadecimal. */
void etag_clean(const char *s, char etag[ETAG_MAX]);

/* --- file.c --------------------------------------------------------------- */

/* Operations on place.store of STORE_FILE, begun and given an end here. */
void file_head(struct remote_op *op);
void file_get(struct remote_op *op, size_t max);
void file_put(struct remote_op *op, const void *p, size_t n, bool if_absent);
void file_delete(struct remote_op *op);
void file_list(struct remote_op *op, bool folders, remote_entry_fn *each);
/* Copy a->fd's bytes to the place, or the place's to a->fd; what is asked for
 * in `a` is copied.  The digest is computed and compared. */
void file_upload(struct remote_op *op, const struct remote_upload *a);
void file_download(struct remote_op *op, const struct remote_download *a);
/* The operation ends: its job does not answer any more. */
void file_forget(struct remote_op *op);

#endif
